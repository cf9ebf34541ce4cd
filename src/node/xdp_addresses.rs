//! The thread that has AF_XDP follow the addresses of its interfaces, and holds what is attached to them.
//!
//! A new address is answered by AF_XDP without a restart, and one that was taken away no more. Until the
//! thread has looked, sockets answer at a new one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::transport::xdp::{Attachment, Change, MAX_ADDRESSES};

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// How following fares, to be read at any time.
#[derive(Debug)]
pub(super) struct Following {
    /// The thread panicked: what it held is given back.
    lost: AtomicBool,
    /// Each interface, and whether its addresses cannot be followed at present.
    interfaces: Vec<(String, AtomicBool)>,
}

impl Following {
    fn of(attachments: &[Attachment]) -> Self {
        let name = |attachment: &Attachment| (attachment.interface().to_owned(), AtomicBool::new(false));
        Following { lost: AtomicBool::new(false), interfaces: attachments.iter().map(name).collect() }
    }

    /// Whether nothing is attached any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// The interfaces whose addresses cannot be followed.
    pub(super) fn failing(&self) -> impl Iterator<Item = &str> {
        let failing = self.interfaces.iter().filter(|(_, failing)| failing.load(Ordering::Relaxed));
        failing.map(|(name, _)| name.as_str())
    }
}

/// Notes that the thread panicked.
struct PanicMark(Arc<Following>);

impl Drop for PanicMark {
    fn drop(&mut self) {
        self.0.lost.store(thread::panicking(), Ordering::Release);
    }
}

/// The running thread. Dropping it gives every frame to the kernel again.
#[derive(Debug)]
pub(super) struct AddressFollower {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    following: Arc<Following>,
}

impl AddressFollower {
    /// Follows the addresses of what is attached.
    ///
    /// # Errors
    /// When the system gives no thread; then nothing is attached any more.
    pub(super) fn start(mut attachments: Vec<Attachment>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::sync_channel(1);
        let following = Arc::new(Following::of(&attachments));
        let mark = PanicMark(Arc::clone(&following));
        let thread = thread::Builder::new().name("tekd-addresses".to_owned()).spawn(move || {
            while stopped.recv_timeout(LOOK_PAUSE) == Err(RecvTimeoutError::Timeout) {
                for (attachment, (_, failing)) in attachments.iter_mut().zip(&mark.0.interfaces) {
                    look(attachment, failing);
                }
            }
        })?;
        Ok(AddressFollower { stop: Some(stop), thread: Some(thread), following })
    }

    /// How it fares, to keep.
    pub(super) fn following(&self) -> Arc<Following> {
        Arc::clone(&self.following)
    }
}

impl Drop for AddressFollower {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread that follows addresses for AF_XDP panicked");
        }
    }
}

/// Looks once, and says what has changed.
fn look(attachment: &mut Attachment, failing: &AtomicBool) {
    let outcome = attachment.follow();
    let name = attachment.interface();
    let failed = failing.swap(outcome.is_err(), Ordering::Relaxed);
    match outcome {
        Ok(change) => announce(name, change),
        Err(e) if !failed => tracing::warn!(
            "the addresses of {name} cannot be followed: {e}; AF_XDP answers at those it had, sockets at all others, \
             and tekd looks again every {} s",
            LOOK_PAUSE.as_secs()
        ),
        Err(_) => {}
    }
}

fn announce(name: &str, change: Change) {
    let Change { added, removed, served, unserved } = change;
    if added == 0 && removed == 0 {
        return;
    }
    tracing::info!("addresses of {name}: {added} came, {removed} went, AF_XDP answers at {served}");
    warn_unserved(name, unserved);
}

/// Says that an interface has more addresses than are served.
pub(super) fn warn_unserved(name: &str, more: usize) {
    if more > 0 {
        tracing::warn!(
            "{name} has {more} addresses more than the {MAX_ADDRESSES} served: sockets answer there"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_noted_and_a_stop_is_not() {
        let failing = [("tk0", true), ("tk1", false)];
        let interfaces = failing.map(|(name, failing)| (name.to_owned(), AtomicBool::new(failing))).into();
        let following = Arc::new(Following { lost: AtomicBool::new(false), interfaces });
        let ends = |panics: bool| {
            let mark = PanicMark(Arc::clone(&following));
            let thread = thread::spawn(move || {
                let _mark = mark;
                assert!(!panics, "on purpose");
            });
            assert_eq!(thread.join().is_err(), panics);
            following.is_lost()
        };
        assert_eq!((ends(false), ends(true)), (false, true));
        assert!(following.failing().eq(["tk0"]));
    }
}
