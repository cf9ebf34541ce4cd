//! How a public node's polls of its upstream go: counted, and kept for health.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What the polls of one node came to. Every poll of one set ends in `done` or `failed`.
#[derive(Debug, Default)]
pub struct Polls {
    state: Mutex<PollState>,
}

/// A reading of [`Polls`].
#[derive(Debug, Clone, Default)]
pub struct PollState {
    /// Polls that ended with the newest version held.
    pub done: u64,
    /// Polls that failed.
    pub failed: u64,
    /// Why the last poll of a set failed, for each set whose last one did.
    pub errors: BTreeMap<u32, String>,
}

impl Polls {
    /// What they came to so far.
    pub fn state(&self) -> PollState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how a poll of `set` ended.
    pub(crate) fn note(&self, set: u32, went: Result<(), String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match went {
            Ok(()) => {
                state.done += 1;
                state.errors.remove(&set);
            }
            Err(why) => {
                state.failed += 1;
                // bounded: one for each set of the trust file.
                state.errors.insert(set, why);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_that_works_takes_back_why_the_one_before_failed() {
        let polls = Polls::default();
        polls.note(1, Err("nobody there".to_owned()));
        polls.note(2, Ok(()));
        let state = polls.state();
        assert_eq!((state.done, state.failed), (1, 1));
        assert_eq!(state.errors, BTreeMap::from([(1, "nobody there".to_owned())]));
        polls.note(1, Ok(()));
        assert_eq!((polls.state().done, polls.state().errors.len()), (2, 0));
    }
}
