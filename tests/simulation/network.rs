//! The network between phones, nodes and the origin: it loses, doubles, delays, reorders and parts, as the
//! seed says. It changes no byte: what forgers do is tested elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::counts::Counts;
use super::dice::Dice;

/// One in so many messages is lost, doubled, or much delayed.
const LOST: usize = 40;
const DOUBLED: usize = 40;
const DELAYED: usize = 40;
const QUICKEST_MS: u64 = 5;
const JITTER_MS: usize = 60;
const DELAY_MS: usize = 9_000;

/// Who sends and receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Origin,
    Node(usize),
    Phone(usize),
}

/// Where a message is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leg {
    /// A question to a server, perhaps passed on by a node.
    Question { to: Place, by: Option<usize> },
    /// An answer on its way back, perhaps by the node that passed the question on.
    Answer { by: Option<usize> },
}

/// A message.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    /// Who asked.
    pub(crate) asker: Place,
    /// Which of its questions.
    pub(crate) number: u64,
    pub(crate) leg: Leg,
    pub(crate) on_stream: bool,
    pub(crate) bytes: Vec<u8>,
}

/// The network.
#[derive(Default)]
pub(crate) struct Network {
    /// Pairs that do not reach each other.
    parted: BTreeSet<(Place, Place)>,
    /// When the newest message of each link arrives.
    newest: BTreeMap<(Place, Place), u64>,
    /// Whether it is well: no faults any more.
    pub(crate) calm: bool,
}

fn pair(a: Place, b: Place) -> (Place, Place) {
    (a.min(b), a.max(b))
}

impl Network {
    pub(crate) fn part(&mut self, a: Place, b: Place) {
        self.parted.insert(pair(a, b));
    }

    pub(crate) fn heal(&mut self, a: Place, b: Place) {
        self.parted.remove(&pair(a, b));
    }

    pub(crate) fn heal_all(&mut self) {
        self.parted.clear();
    }

    /// When what is sent now arrives: never, once, or more often. What a stream carries comes in one piece;
    /// the stream may break, or somebody may repeat what went through it.
    pub(crate) fn arrivals(
        &mut self,
        now_ms: u64,
        (from, to): (Place, Place),
        dice: &mut Dice,
        counts: &mut Counts,
    ) -> Vec<u64> {
        if self.parted.contains(&pair(from, to)) {
            counts.fault("message into a partition", now_ms);
            return Vec::new();
        }
        if self.calm {
            return vec![now_ms + QUICKEST_MS];
        }
        if dice.one_in(LOST) {
            counts.fault("loss", now_ms);
            return Vec::new();
        }
        let mut copies = 1;
        if dice.one_in(DOUBLED) {
            counts.fault("duplication", now_ms);
            copies = 2;
        }
        let mut arrivals = Vec::with_capacity(copies);
        for _ in 0..copies {
            let mut at = now_ms + QUICKEST_MS + dice.below(JITTER_MS) as u64;
            if dice.one_in(DELAYED) {
                counts.fault("delay", now_ms);
                at += dice.below(DELAY_MS) as u64;
            }
            let newest = self.newest.entry((from, to)).or_default();
            if at < *newest {
                counts.fault("reordering", now_ms);
            }
            *newest = at.max(*newest);
            arrivals.push(at);
        }
        arrivals
    }
}
