//! What became of sealed questions, in numbers.
//!
//! Dummies are not told apart, nor are the kinds of requests, whose counts would tell dummies by what is
//! missing: a number that moved when a dummy came, or did not, would let whoever reads the metrics tell which
//! of the frames on the wire were reports. A dummy counts where a report of its form would.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Punctuality;
use crate::wire::report::Outcome;

/// Counters of a desk.
#[derive(Debug, Default)]
pub(crate) struct SealedCounters {
    pub(crate) received: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) unopenable: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) full: AtomicU64,
    outcomes: [AtomicU64; Outcome::ALL.len()],
}

/// A reading of a desk's counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedCounts {
    /// Questions by what happened to them: `received`, then `opened` or `unopenable`, of the opened ones
    /// `malformed`; `full` were not received.
    pub events: Vec<(&'static str, u64)>,
    /// Answers that could be read, by outcome.
    pub outcomes: Vec<(&'static str, u64)>,
    /// Deadlines of answers since the start.
    pub deadlines: Punctuality,
    /// Questions without their answer so far.
    pub waiting: usize,
}

impl SealedCounts {
    /// All but the outcomes, by name.
    pub fn named(&self) -> Vec<(&'static str, u64)> {
        let Punctuality { all, missed } = self.deadlines;
        let more = [("deadlines_kept", all - missed), ("deadlines_missed", missed)];
        let waiting = [("waiting", self.waiting as u64)];
        self.events.iter().copied().chain(more).chain(waiting).collect()
    }
}

impl SealedCounters {
    pub(crate) fn outcome(&self, outcome: Outcome) {
        count(&self.outcomes[usize::from(outcome.number())]);
    }

    pub(crate) fn read(&self, deadlines: Punctuality, waiting: usize) -> SealedCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let events = [
            ("received", &self.received),
            ("opened", &self.opened),
            ("unopenable", &self.unopenable),
            ("malformed", &self.malformed),
            ("full", &self.full),
        ];
        let outcomes = Outcome::ALL.iter().zip(&self.outcomes);
        SealedCounts {
            events: events.map(|(name, counter)| (name, read(counter))).to_vec(),
            outcomes: outcomes.map(|(outcome, counter)| (outcome.name(), read(counter))).collect(),
            deadlines,
            waiting,
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

const _: () = {
    let mut number = 0;
    while number < Outcome::ALL.len() {
        assert!(Outcome::ALL[number] as usize == number, "outcomes are numbered without a gap");
        number += 1;
    }
};
