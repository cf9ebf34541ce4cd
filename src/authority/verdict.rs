//! The verdict on one key: accepted, or why not. Never all-or-nothing: a bad key costs only itself.

use crate::time;

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
}

/// Why a key is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The key has another length than the set's keys.
    Malformed,
    /// The rolling period is outside the limits.
    Period,
    /// The rolling start lies too far ahead.
    Future,
    /// The key's validity ended before the horizon.
    Expired,
    /// A field has a value the schema does not know.
    Field,
    /// The same key stands twice in what was sent.
    Duplicate,
}

impl Verdict {
    /// The reason in answers, counts and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Malformed => "malformed",
            Verdict::Period => "period",
            Verdict::Future => "future",
            Verdict::Expired => "expired",
            Verdict::Field => "field",
            Verdict::Duplicate => "duplicate",
        }
    }
}

/// Judges a key of `len` bytes with rolling `start` and `period` (intervals) received at `now` (Unix
/// seconds).
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn limits() -> Limits {
        let horizon = time::horizon(NOW, 14);
        Limits { key_len: 16, min_period: 1, max_period: 144, max_future_s: 7200, horizon }
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
}
