//! Counters of questions and of what became of them.
//!
//! Workers share one [`AnswerCounters`]; each tallies a batch on its own stack and adds it at the end: a
//! question costs no shared memory, a batch a few additions.

use std::sync::atomic::{AtomicU64, Ordering};

use super::cookie::Proof;
use super::slot::Silence;
use crate::wire::{Operation, ResultCode};

const ASKED: usize = 0;
const RESULTS: usize = ASKED + Operation::ALL.len();
const SILENT: usize = RESULTS + ResultCode::ALL.len();
const COOKIES: usize = SILENT + Silence::ALL.len();
const SLIPPED: usize = COOKIES + COOKIE_NAMES.len();
const ALL: usize = SLIPPED + 1;

/// What the cookies of questions proved, in the order of [`Proof`].
const COOKIE_NAMES: [&str; 3] = ["none", "present", "neighbour"];

const _: () = assert!(Proof::None as usize == 0 && Proof::Neighbour as usize == COOKIE_NAMES.len() - 1);

/// Counters of questions and results. One block per process, relaxed.
#[derive(Debug)]
pub struct AnswerCounters([AtomicU64; ALL]);

impl Default for AnswerCounters {
    fn default() -> Self {
        AnswerCounters([const { AtomicU64::new(0) }; ALL])
    }
}

impl AnswerCounters {
    /// Questions by operation.
    pub fn asked(&self) -> impl Iterator<Item = (Operation, u64)> {
        Operation::ALL.into_iter().zip(self.read(ASKED))
    }

    /// Answers by result.
    pub fn results(&self) -> impl Iterator<Item = (ResultCode, u64)> {
        ResultCode::ALL.into_iter().zip(self.read(RESULTS))
    }

    /// Questions that got no answer, by reason.
    pub fn silent(&self) -> impl Iterator<Item = (Silence, u64)> {
        Silence::ALL.into_iter().zip(self.read(SILENT))
    }

    /// Cookies seen on UDP: none or wrong, of the present hour, of a neighbouring hour.
    pub fn cookies(&self) -> impl Iterator<Item = (&'static str, u64)> {
        COOKIE_NAMES.into_iter().zip(self.read(COOKIES))
    }

    /// Questions over the limit that were answered by a cookie.
    pub fn slipped(&self) -> u64 {
        self.0[SLIPPED].load(Ordering::Relaxed)
    }

    fn read(&self, from: usize) -> impl Iterator<Item = u64> {
        self.0[from..].iter().map(|counter| counter.load(Ordering::Relaxed))
    }

    pub(super) fn add(&self, tally: &Tally) {
        for (counter, counted) in self.0.iter().zip(tally.0) {
            if counted != 0 {
                counter.fetch_add(counted.into(), Ordering::Relaxed);
            }
        }
    }
}

/// What one worker counted in one batch.
pub(super) struct Tally([u32; ALL]);

impl Tally {
    pub(super) fn new() -> Self {
        Tally([0; ALL])
    }

    pub(super) fn asked(&mut self, operation: Operation) {
        // Operations count from 1 on the wire.
        self.0[ASKED + operation as usize - 1] += 1;
    }

    pub(super) fn result(&mut self, result: ResultCode) {
        self.0[RESULTS + result as usize] += 1;
    }

    pub(super) fn silent(&mut self, reason: Silence) {
        self.0[SILENT + reason as usize] += 1;
    }

    pub(super) fn cookie(&mut self, proof: Proof) {
        self.0[COOKIES + proof as usize] += 1;
    }

    pub(super) fn slipped(&mut self) {
        self.0[SLIPPED] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tallied_is_added_under_its_own_name_and_nowhere_else() {
        let counters = AnswerCounters::default();
        let mut tally = Tally::new();
        Operation::ALL.into_iter().for_each(|operation| tally.asked(operation));
        for (times, result) in (1..).zip(ResultCode::ALL) {
            (0..times).for_each(|_| tally.result(result));
        }
        Silence::ALL.into_iter().for_each(|reason| tally.silent(reason));
        tally.cookie(Proof::Neighbour);
        tally.slipped();
        counters.add(&tally);
        counters.add(&tally);
        assert!(counters.asked().all(|(_, count)| count == 2));
        let expected = (1..).map(|times| 2 * times);
        assert!(counters.results().map(|(_, count)| count).eq(expected.take(ResultCode::ALL.len())));
        assert!(counters.silent().all(|(_, count)| count == 2));
        assert!(counters.cookies().eq([("none", 0), ("present", 0), ("neighbour", 2)]));
        assert_eq!(counters.slipped(), 2);
    }
}
