//! The verdict on one key: accepted, or why not. Never all-or-nothing: a bad key costs only itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::time;
pub use crate::wire::report::Verdict;

/// What a set's manifest announces about the keys it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a key.
    pub key_len: usize,
    /// Least rolling period, in intervals.
    pub min_period: u16,
    /// Greatest rolling period, in intervals.
    pub max_period: u16,
    /// How far a start may lie ahead of now, in seconds.
    pub max_future_s: u32,
    /// Interval number at or below which a key has ended too long ago.
    pub horizon: u32,
    /// Most keys in a report.
    pub max_keys: usize,
    /// Most keys of a report with the same start.
    pub max_keys_per_start: u16,
}

/// Judges a key of `len` bytes with rolling `start` and `period` (intervals) received at `now` (Unix
/// seconds) by itself (spec 7.4.1, verdicts 1 to 4).
///
/// # Errors
/// The first reason that applies.
pub fn judge(limits: &Limits, now: u64, len: usize, start: u32, period: u32) -> Result<(), Verdict> {
    if len != limits.key_len {
        return Err(Verdict::Malformed);
    }
    let Some(period) =
        u16::try_from(period).ok().filter(|p| (limits.min_period..=limits.max_period).contains(p))
    else {
        return Err(Verdict::Period);
    };
    if time::start_of(start) > now + u64::from(limits.max_future_s) {
        return Err(Verdict::Future);
    }
    if !time::is_live(start, period, limits.horizon) {
        return Err(Verdict::Expired);
    }
    Ok(())
}

/// Judges the keys of one report in their order: each by itself and beside those before it.
#[derive(Debug)]
pub struct ReportJudge<'l> {
    limits: &'l Limits,
    now: u64,
    seen: BTreeSet<Vec<u8>>,
    starts: BTreeMap<u32, u16>,
    accepted: usize,
}

impl<'l> ReportJudge<'l> {
    /// A judge of a report received at `now` (Unix seconds).
    #[must_use]
    pub fn new(limits: &'l Limits, now: u64) -> Self {
        ReportJudge { limits, now, seen: BTreeSet::new(), starts: BTreeMap::new(), accepted: 0 }
    }

    /// Counts a key that the report has already.
    pub fn holds(&mut self, key: &[u8], start: u32) {
        self.seen.insert(key.to_vec());
        *self.starts.entry(start).or_default() += 1;
        self.accepted += 1;
    }

    /// Judges the next key. `known` and `near` say whether its fields have values the schema knows, and
    /// whether its day is near enough to the onset.
    pub fn judge(&mut self, key: &[u8], start: u32, period: u32, known: bool, near: bool) -> Verdict {
        let first = self.seen.insert(key.to_vec());
        let with_start = self.starts.get(&start).copied().unwrap_or(0);
        let verdict = match judge(self.limits, self.now, key.len(), start, period) {
            Err(reason) => reason,
            Ok(()) if !known => Verdict::Field,
            Ok(()) if !first => Verdict::Duplicate,
            Ok(()) if with_start >= self.limits.max_keys_per_start => Verdict::Start,
            Ok(()) if self.accepted >= self.limits.max_keys => Verdict::Count,
            Ok(()) if !near => Verdict::Onset,
            Ok(()) => Verdict::Accepted,
        };
        if verdict == Verdict::Accepted {
            *self.starts.entry(start).or_default() += 1;
            self.accepted += 1;
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn limits() -> Limits {
        Limits {
            key_len: 16,
            min_period: 1,
            max_period: 144,
            max_future_s: 7200,
            horizon: time::horizon(NOW, 14),
            max_keys: 5,
            max_keys_per_start: 3,
        }
    }

    #[test]
    fn each_limit_has_its_own_reason() {
        let now = time::interval_of(NOW);
        let l = limits();
        assert_eq!(judge(&l, NOW, 16, now - 144, 144), Ok(()));
        assert_eq!(judge(&l, NOW, 15, now - 144, 144), Err(Verdict::Malformed));
        assert_eq!(judge(&l, NOW, 16, now - 144, 0), Err(Verdict::Period));
        assert_eq!(judge(&l, NOW, 16, now - 144, 145), Err(Verdict::Period));
        assert_eq!(judge(&l, NOW, 16, now - 144, 1 << 20), Err(Verdict::Period));
        assert_eq!(judge(&l, NOW, 16, now + 13, 144), Err(Verdict::Future));
        assert_eq!(judge(&l, NOW, 16, l.horizon - 144, 144), Err(Verdict::Expired));
        assert_eq!(judge(&l, NOW, 16, l.horizon - 143, 144), Ok(()));
    }

    #[test]
    fn a_report_is_judged_key_by_key_and_as_a_whole() {
        let l = limits();
        let mut report = ReportJudge::new(&l, NOW);
        let day = time::interval_of(NOW) - 288;
        report.holds(&[9; 16], day);
        assert_eq!(report.judge(&[9; 16], day, 144, true, true), Verdict::Duplicate);
        assert_eq!(report.judge(&[1; 16], day, 144, false, true), Verdict::Field);
        assert_eq!(report.judge(&[1; 16], day, 144, true, true), Verdict::Duplicate, "it stood there before");
        assert_eq!(report.judge(&[2; 16], day, 144, true, true), Verdict::Accepted);
        assert_eq!(report.judge(&[3; 16], day, 144, true, true), Verdict::Accepted);
        assert_eq!(report.judge(&[4; 16], day, 144, true, true), Verdict::Start);
        assert_eq!(report.judge(&[5; 16], day + 144, 144, true, false), Verdict::Onset);
        assert_eq!(report.judge(&[6; 16], day + 144, 144, true, true), Verdict::Accepted);
        assert_eq!(report.judge(&[7; 16], day + 144, 144, true, true), Verdict::Accepted);
        assert_eq!(report.judge(&[8; 16], day + 144, 144, true, true), Verdict::Count);
        assert_eq!(report.judge(&[10; 15], day + 144, 144, true, true), Verdict::Malformed);
    }
}
