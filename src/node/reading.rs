//! How far the state of an origin is read at a start, and whether to go on with that.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by who reads the state and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    read: AtomicU64,
    of: AtomicU64,
    hold: Mutex<Hold>,
}

#[derive(Debug, Default)]
struct Hold {
    /// Nobody wants the state any more.
    stopped: bool,
    /// Files may have been written.
    writes: bool,
}

impl Reading {
    fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the last event there is.
    pub(crate) fn ends_at(&self, seq: u64) {
        self.of.fetch_max(seq, Relaxed);
    }

    /// Notes that the state stands at this event.
    pub(crate) fn reached(&self, seq: u64) {
        self.read.fetch_max(seq, Relaxed);
    }

    /// The event the state stands at, and the last there is as far as known.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let read = self.read.load(Relaxed);
        (read, self.of.load(Relaxed).max(read))
    }

    /// Whether somebody still wants the state.
    pub(crate) fn goes_on(&self) -> bool {
        !self.hold().stopped
    }

    /// As [`Reading::goes_on`]; if so, files may be written from now on, and who stops waits.
    pub(crate) fn may_write(&self) -> bool {
        let mut hold = self.hold();
        hold.writes |= !hold.stopped;
        !hold.stopped
    }

    /// Says that nobody wants the state any more; whether files may have been written.
    pub(crate) fn stop(&self) -> bool {
        let mut hold = self.hold();
        hold.stopped = true;
        hold.writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_to_stop_before_it_writes_never_does() {
        let reading = Reading::default();
        assert!(reading.goes_on());
        assert!(!reading.stop());
        assert!(!reading.goes_on() && !reading.may_write());
        assert!(!reading.stop());

        let reading = Reading::default();
        assert!(reading.may_write());
        assert!(reading.stop(), "it is waited for");
        assert!(!reading.may_write());
    }

    #[test]
    fn progress_never_says_more_than_there_is() {
        let reading = Reading::default();
        reading.ends_at(7);
        reading.reached(3);
        assert_eq!(reading.progress(), (3, 7));
        reading.reached(9);
        assert_eq!(reading.progress(), (9, 9));
    }
}
