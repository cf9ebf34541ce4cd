//! What became of sealed questions, in numbers.
//!
//! Dummies are not told apart, nor are the kinds of requests, whose counts would tell dummies by what is
//! missing: a number that moved when a dummy came, or did not, would let whoever reads the metrics tell which
//! of the frames on the wire were reports. A dummy counts where a report of its form would.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::spread::Spread;
use crate::engine::Punctuality;
use crate::service::metrics::MetricsText;
use crate::wire::report::Outcome;

/// Upper bounds of the time from a question to its receipt, in seconds: close together, for a bound is all
/// that is known of a percentile.
const RECEIPT_BOUNDS: [f64; 26] = [
    0.000_25, 0.000_5, 0.000_75, 0.001, 0.001_5, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.012,
    0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0,
];

/// Counters of a desk.
#[derive(Debug)]
pub(crate) struct SealedCounters {
    pub(crate) received: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) unopenable: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) full: AtomicU64,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    receipts: Spread<26>,
}

impl Default for SealedCounters {
    fn default() -> Self {
        SealedCounters {
            received: AtomicU64::default(),
            opened: AtomicU64::default(),
            unopenable: AtomicU64::default(),
            malformed: AtomicU64::default(),
            full: AtomicU64::default(),
            outcomes: Default::default(),
            receipts: Spread::new(&RECEIPT_BOUNDS),
        }
    }
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

    /// A receipt was ready so long after its question was admitted.
    ///
    /// Answers without a receipt, those to dummies among them, do not count: how many receipts there are is
    /// told by the journal's events already, how fast a dummy is answered must not be.
    pub(crate) fn receipted(&self, took: Duration) {
        self.receipts.add(took.as_secs_f64());
    }

    /// Adds the times of receipts to a page.
    pub(crate) fn write_receipts(&self, page: &mut MetricsText) {
        let help = "Time from the admission of a sealed question to its receipt being ready to leave, its deadline apart.";
        self.receipts.write(page, "tekd_receipt_seconds", help);
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
