//! The signals that end a server: caught before it starts, so that none is missed and none kills it.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT from the moment of [`catch`](Self::catch) on. They never again end the process by
/// themselves.
#[derive(Debug)]
pub struct Signals {
    runtime: Runtime,
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Begins to catch them.
    ///
    /// # Errors
    /// If the system does not let us.
    pub fn catch() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (term, int) = {
            let _inside = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        Ok(Signals { runtime, term, int })
    }

    /// Waits until one comes, also one that came before, or until `other` is done; says which it was.
    pub(crate) fn wait(&mut self, other: impl Future<Output = &'static str>) -> &'static str {
        let (term, int) = (&mut self.term, &mut self.int);
        self.runtime.block_on(async {
            tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = int.recv() => "SIGINT",
                what = other => what,
            }
        })
    }
}
