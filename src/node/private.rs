//! The private half of an origin: being read while readers are answered already, or whole.
//!
//! *A reader never waits for the writer*, also not at a start. Until the state is read a sealed question is
//! told to come back, as before a full queue; who commands waits, but not for ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::clock::Clock;
use super::desk::Desk;
use super::handle::{AskError, OriginHandle, StartError};
use super::reading::Reading;
use crate::engine::{Moment, TakeSealed, Ticket};
use crate::wire::layout::SealedQuestion;
use crate::wire::{Question, ResultCode};

/// How long a command waits for the state.
const PATIENCE: Duration = Duration::from_secs(60);

/// An origin and the desk before it.
struct Whole {
    origin: Arc<OriginHandle>,
    desk: Arc<Desk>,
}

impl Whole {
    fn of(origin: OriginHandle, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let origin = Arc::new(origin);
        let desk = Arc::new(Desk::start(&origin, clock)?);
        Ok(Whole { origin, desk })
    }

    fn stop(&self) {
        self.desk.stop();
        self.origin.stop();
    }
}

/// How the reading ended, if it did not end well.
#[derive(Default)]
enum End {
    /// It has not, or well.
    #[default]
    None,
    /// It failed.
    Failed(StartError),
    /// It failed, and somebody was told so.
    Told(String),
}

/// What who reads and who waits share.
#[derive(Default)]
struct Shared {
    whole: OnceLock<Whole>,
    reading: Arc<Reading>,
    end: Mutex<End>,
    changed: Condvar,
}

impl Shared {
    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The private half of an origin. Dropping it stops it.
pub struct PrivateHalf {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for PrivateHalf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateHalf").field("reading", &self.shared.reading).finish_non_exhaustive()
    }
}

impl PrivateHalf {
    /// That of an origin whose state is read.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub(crate) fn whole(origin: OriginHandle, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::default());
        let _ = shared.whole.set(Whole::of(origin, clock)?);
        Ok(PrivateHalf { shared, thread: Mutex::default() })
    }

    /// Has it read by `read` on a thread of its own; `failed` is called if that fails.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn read(
        read: impl FnOnce(&Arc<Reading>) -> Result<OriginHandle, StartError> + Send + 'static,
        clock: Arc<dyn Clock>,
        failed: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let reader = Arc::clone(&shared);
        let run = move || {
            let began = Instant::now();
            let whole = || read(&reader.reading).and_then(|origin| Whole::of(origin, clock));
            let whole = catch_unwind(AssertUnwindSafe(whole)).unwrap_or(Err(StartError::Panicked));
            let mut end = reader.end();
            match whole {
                Ok(whole) => {
                    tracing::info!("the state is read, after {} ms", began.elapsed().as_millis());
                    let _ = reader.whole.set(whole);
                }
                Err(e) => {
                    *end = End::Failed(e);
                    failed();
                }
            }
            reader.changed.notify_all();
        };
        let thread = std::thread::Builder::new().name("tekd-reading".to_owned()).spawn(run)?;
        Ok(PrivateHalf { shared, thread: Mutex::new(Some(thread)) })
    }

    /// The origin, if its state is read.
    pub fn origin(&self) -> Option<&Arc<OriginHandle>> {
        self.shared.whole.get().map(|whole| &whole.origin)
    }

    /// The desk before it, if its state is read.
    pub(crate) fn desk(&self) -> Option<&Arc<Desk>> {
        self.shared.whole.get().map(|whole| &whole.desk)
    }

    /// The origin, once its state is read.
    ///
    /// # Errors
    /// [`AskError`] if that fails or takes too long.
    pub fn wait(&self) -> Result<&Arc<OriginHandle>, AskError> {
        self.wait_for(PATIENCE)
    }

    /// As [`PrivateHalf::wait`], with another patience.
    ///
    /// # Errors
    /// As for [`PrivateHalf::wait`].
    pub(crate) fn wait_for(&self, patience: Duration) -> Result<&Arc<OriginHandle>, AskError> {
        let until = Instant::now() + patience;
        let mut end = self.shared.end();
        loop {
            if let Some(origin) = self.origin() {
                return Ok(origin);
            }
            match &*end {
                End::Failed(e) => return Err(AskError::Stopped(e.to_string())),
                End::Told(why) => return Err(AskError::Stopped(why.clone())),
                End::None => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (read, of) = self.shared.reading.progress();
                return Err(AskError::Reading { read, of });
            }
            end = self.shared.changed.wait_timeout(end, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Events that are not read yet, as far as is known.
    pub(crate) fn events_left(&self) -> u64 {
        let (read, of) = self.shared.reading.progress();
        if self.origin().is_some() { 0 } else { of - read }
    }

    /// Why the state could not be read, for who ends because of it; told once.
    pub(crate) fn failure(&self) -> Option<StartError> {
        let mut end = self.shared.end();
        match std::mem::take(&mut *end) {
            End::Failed(e) => {
                *end = End::Told(e.to_string());
                Some(e)
            }
            other => {
                *end = other;
                None
            }
        }
    }

    /// Stops it: its threads after what they have begun; a state that is being read is given up.
    pub fn stop(&self) {
        let writes = self.shared.reading.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Who has only read so far writes nothing any more, and is not waited for.
        if let Some(thread) = thread.filter(|thread| writes || thread.is_finished())
            && thread.join().is_err()
        {
            tracing::error!("the thread that reads the state panicked");
        }
        if let Some(whole) = self.shared.whole.get() {
            whole.stop();
        }
    }
}

impl Drop for PrivateHalf {
    fn drop(&mut self) {
        self.stop();
    }
}

impl TakeSealed for PrivateHalf {
    fn take(&self, now: Moment, header: &Question, question: &SealedQuestion) -> Result<Ticket, ResultCode> {
        self.desk().ok_or(ResultCode::Pending)?.take(now, header, question)
    }
}

impl PrivateHalf {
    /// Where the answer under a ticket will arrive. To be asked once.
    pub(crate) fn later(&self, ticket: Ticket) -> oneshot::Receiver<Vec<u8>> {
        // There is no ticket without a desk.
        self.desk().map_or_else(|| oneshot::channel().1, |desk| desk.later(ticket))
    }
}
