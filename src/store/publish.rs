//! The one pointer through which readers see a new release.
//!
//! A reader pins the current value for one batch ([`Published::pin`]) or takes a counted
//! reference for longer ([`Published::load`]); neither locks, waits or allocates (but for
//! the first pin of a thread, which registers it). The writer swaps the pointer. When every
//! reader that could have seen the old value has left, an epoch says so, and the next
//! [`Published::collect`] drops it: on the owner's thread, never on a reader's, because
//! returning gigabytes to the system takes milliseconds that no packet should wait for.
//!
//! Values stay owned by the writer's side under its lock; readers only borrow. So the
//! epoch's work is to raise one flag, and dropping is ordinary safe code.
//!
//! # Invariants
//!
//! - **owned-until-left**: the pointer always names a value that `owners` holds. A replaced
//!   value stays in `owners.retired` until its `left` flag is up, and the flag is raised by a
//!   function deferred after the swap, which crossbeam's epochs run only when every thread
//!   that was pinned at that moment has unpinned. A [`Pinned`] carries its guard and borrows
//!   the `Published`, so it outlives neither.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::epoch;

/// Replaced values that may wait for their readers at once. A reader holds a pin for one
/// batch, so more than a few mean a reader that is stuck.
pub const RETIRED_MAX: usize = 64;

/// Rounds of one [`Published::collect`]: the epoch advances by at most one in each, and
/// a value is free two epochs after its retirement.
const COLLECT_ROUNDS: usize = 4;

const _: () = assert!(COLLECT_ROUNDS > 2);

/// Why a value was not published.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PublishError {
    /// A reader is stuck: too many replaced values wait for it. Readers go on with the old value.
    #[error("{waiting} replaced values wait for their readers, at most {RETIRED_MAX} may")]
    ReadersStuck {
        /// Values that wait.
        waiting: usize,
    },
}

/// A value that is replaced as a whole and read without waiting.
#[derive(Debug)]
pub struct Published<T> {
    current: AtomicPtr<Place<T>>,
    owners: Mutex<Owners<T>>,
}

/// What the pointer names: it stays where it is although its owner moves from `current` to `retired`.
#[derive(Debug)]
struct Place<T> {
    value: Arc<T>,
}

#[derive(Debug)]
struct Owners<T> {
    current: Arc<Place<T>>,
    retired: Vec<Retired<T>>,
}

#[derive(Debug)]
struct Retired<T> {
    place: Arc<Place<T>>,
    left: Arc<AtomicBool>,
}

/// One thread's view of the value for one batch. Not `Send`: it cannot cross an await.
#[derive(Debug)]
pub struct Pinned<'a, T> {
    value: &'a Arc<T>,
    _guard: epoch::Guard,
}

impl<T> Published<T> {
    /// Publishes the first value.
    pub fn new(first: Arc<T>) -> Self {
        let first = Arc::new(Place { value: first });
        Self {
            current: AtomicPtr::new(Arc::as_ptr(&first).cast_mut()),
            owners: Mutex::new(Owners { current: first, retired: Vec::with_capacity(RETIRED_MAX) }),
        }
    }

    /// The current value, held for as long as the answer lives: one batch, not more, for
    /// while it lives nothing replaced in the process can be dropped.
    #[allow(unsafe_code)]
    pub fn pin(&self) -> Pinned<'_, T> {
        let guard = epoch::pin();
        let pointer = self.current.load(Ordering::Acquire);
        // one-release-at-a-time: the pointer is read once, everything in the batch comes from it.
        // SAFETY: owned-until-left: the guard was pinned before the pointer was read and is
        // returned with the reference.
        let place = unsafe { &*pointer };
        Pinned { value: &place.value, _guard: guard }
    }

    /// The current value for as long as the caller likes: for streams.
    pub fn load(&self) -> Arc<T> {
        self.pin().arc()
    }

    /// Makes `value` the current one: readers that come later see it. The old one is dropped
    /// by a later [`Published::collect`] (or by the last `Arc` that [`Published::load`] gave).
    ///
    /// # Errors
    /// [`PublishError::ReadersStuck`] when [`RETIRED_MAX`] replaced values still wait.
    pub fn publish(&self, value: Arc<T>) -> Result<(), PublishError> {
        let waiting = self.collect();
        let place = Arc::new(Place { value });
        let mut owners = self.owners();
        // bounded: a stuck reader stops publication, it does not fill the memory.
        if owners.retired.len() >= RETIRED_MAX {
            return Err(PublishError::ReadersStuck { waiting });
        }
        let old = std::mem::replace(&mut owners.current, place);
        self.current.store(Arc::as_ptr(&owners.current).cast_mut(), Ordering::Release);
        let left = Arc::new(AtomicBool::new(false));
        owners.retired.push(Retired { place: old, left: Arc::clone(&left) });
        drop(owners);
        let guard = epoch::pin();
        guard.defer(move || left.store(true, Ordering::Release));
        guard.flush();
        Ok(())
    }

    /// Drops the replaced values whose readers have left and tells how many still wait. The
    /// owner calls it once in a while (its ticker), so that memory comes back although
    /// nobody else retires anything.
    pub fn collect(&self) -> usize {
        for _ in 0..COLLECT_ROUNDS {
            epoch::pin().flush();
        }
        let mut owners = self.owners();
        let (gone, waiting): (Vec<_>, Vec<_>) =
            owners.retired.drain(..).partition(|retired| retired.left.load(Ordering::Acquire));
        owners.retired = waiting;
        let waiting = owners.retired.len();
        drop(owners);
        // The lock is free again: dropping may take long.
        gone.into_iter().for_each(|retired: Retired<T>| drop(retired.place));
        waiting
    }

    fn owners(&self) -> MutexGuard<'_, Owners<T>> {
        // Nothing under the lock leaves the owners half changed, so a panic elsewhere is no reason to stop.
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Pinned<'_, T> {
    /// A counted reference to the same value, to keep after the pin.
    pub fn arc(&self) -> Arc<T> {
        Arc::clone(self.value)
    }
}

impl<T> Deref for Pinned<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

#[cfg(test)]
mod tests;
