//! The thread of a worker, as its owner sees it: told to stop, waited for, looked at from elsewhere.
//!
//! A worker sleeps on a pipe beside its socket; stopping writes the pipe. However a thread ends, by panic
//! too, it is marked as ended, so that one that nobody stopped is told from one that was.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// What a worker and its owner share beside its counters.
#[derive(Debug, Default)]
struct Flags {
    stop: AtomicBool,
    ended: AtomicBool,
}

/// Sets `ended` when the thread ends.
struct EndMark(Arc<Flags>);

impl Drop for EndMark {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
    }
}

/// The worker's side: whether it is to stop.
#[derive(Debug)]
pub(super) struct Orders {
    flags: Arc<Flags>,
    /// Written or closed when there is something new.
    pub(super) woken: UnixStream,
}

impl Orders {
    pub(super) fn stop(&self) -> bool {
        self.flags.stop.load(Ordering::Acquire)
    }
}

/// Tells whether a worker still runs, apart from the worker.
#[derive(Debug, Clone)]
pub struct WorkerLife(Arc<Flags>);

impl WorkerLife {
    /// Whether the thread has ended though nobody stopped it.
    pub fn failed(&self) -> bool {
        self.0.ended.load(Ordering::Acquire) && !self.0.stop.load(Ordering::Acquire)
    }
}

/// Why a worker ended other than by being stopped.
#[derive(Debug)]
pub(super) enum BadEnd {
    Panicked,
    Socket(io::Error),
}

/// A running thread. Dropping it stops the thread without waiting.
#[derive(Debug)]
pub(super) struct Running {
    thread: Option<JoinHandle<io::Result<()>>>,
    name: String,
    flags: Arc<Flags>,
    wake: UnixStream,
}

impl Running {
    /// Starts `work` on a thread called `name`.
    pub(super) fn start(
        name: &str,
        work: impl FnOnce(Orders) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        let flags = Arc::new(Flags::default());
        let mark = EndMark(Arc::clone(&flags));
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let flags = Arc::clone(&mark.0);
            work(Orders { flags, woken })
        })?;
        Ok(Running { thread: Some(thread), name: name.to_owned(), flags, wake })
    }

    /// The thread's name.
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    pub(super) fn life(&self) -> WorkerLife {
        WorkerLife(Arc::clone(&self.flags))
    }

    /// Tells the worker to answer what is queued and end. Returns at once.
    pub(super) fn stop(&self) {
        self.flags.stop.store(true, Ordering::Release);
        // A worker that is gone has closed its end, and then there is nobody to wake.
        let _ = (&self.wake).write(&[1]);
    }

    /// Stops the worker and waits for its end.
    pub(super) fn join(mut self) -> Result<(), BadEnd> {
        self.stop();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(source))) => Err(BadEnd::Socket(source)),
            Some(Err(_)) => Err(BadEnd::Panicked),
            Some(Ok(Ok(()))) | None => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
