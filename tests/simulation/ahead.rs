//! What the origin's journal wants to be made ahead: ordered after a turn, carried out between later ones, in
//! time, too late, or never, on the disk that may fail under it.

use super::network::Place;
use super::world::{Event, World};

/// How long it takes until an order is carried out, at most.
const SOON_MS: usize = 5_000;
/// How long it takes when whoever is to do it hardly ever runs.
const LATE_MS: usize = 6 * 3_600_000;

impl World {
    /// The writer orders what its journal wants, as it does after each turn.
    pub(crate) fn look_ahead(&mut self) {
        let now_ms = self.now_ms;
        let Some(process) = self.origin.running(now_ms) else { return };
        match process.single.origin().wants_ahead() {
            Ok(None) => {}
            // Nobody has room for the order: it is given again.
            Ok(Some(_)) if self.slow.one_in(3) => self.counts.ended("segment ahead", "an order in vain"),
            Ok(Some(work)) => {
                process.ahead = Some(work);
                let within = if self.slow.one_in(4) { LATE_MS } else { SOON_MS };
                let in_ms = self.slow.below(within) as u64;
                self.later(in_ms, Event::Ahead);
            }
            Err(error) => self.failed(&error.to_string()),
        }
    }

    /// The order is carried out unless its process is gone, also beside a journal that has stopped.
    pub(crate) fn make_ahead(&mut self) {
        let Some(work) = self.origin.process.as_mut().and_then(|process| process.ahead.take()) else {
            return;
        };
        let how = if work().is_ok() { "made" } else { "not made" };
        self.counts.ended("segment ahead", how);
        self.tell(format!("a segment ahead: {how}"));
        self.note_medium(Place::Origin);
    }
}
