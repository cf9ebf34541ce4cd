//! The exit of datagrams: what may leave of an answered slot, whoever carries it.

use super::mmsg::MAX_DATAGRAM;
use crate::engine::{Outcome, Slot};

/// What becomes of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Its answer leaves, with this length.
    Leaves(usize),
    /// It has none.
    Silent,
    /// It has one that would amplify: a defect.
    Blocked,
}

impl Exit {
    pub(super) fn of(slot: &Slot<'_>) -> Exit {
        match slot.outcome {
            Outcome::Respond(length) if may_leave(slot.request.len(), length, slot.proved) => {
                Exit::Leaves(length)
            }
            Outcome::Respond(_) => Exit::Blocked,
            outcome @ (Outcome::Ignore(_) | Outcome::Later(_)) => {
                debug_assert!(matches!(outcome, Outcome::Ignore(_)), "no answer comes later over UDP");
                Exit::Silent
            }
        }
    }
}

/// never-amplify: at most 1232 bytes, and no more than were asked with unless the source is proved.
fn may_leave(question: usize, answer: usize, proved: bool) -> bool {
    answer <= MAX_DATAGRAM && (proved || answer <= question)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_leave_is_the_question_s_length_or_proof_and_never_over_1232() {
        assert!(may_leave(64, 64, false) && !may_leave(64, 65, false) && may_leave(64, 65, true));
        assert!(may_leave(1232, 1232, false) && !may_leave(1232, 1233, true));
    }
}
