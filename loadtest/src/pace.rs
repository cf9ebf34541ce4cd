//! When questions are due: at a rate whatever the server does (open loop), or when an answer came (closed
//! loop).
//!
//! Pure: moments are nanoseconds since the start of the run and come from the caller.

use std::time::Duration;

/// The highest rate, questions a second.
pub const MAX_RATE: u64 = 1_000_000;
/// The widest window, questions out at once.
pub const MAX_WINDOW: u32 = 65_536;

const SECOND_NS: u128 = 1_000_000_000;

/// How questions follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Open loop: this many a second, 1 to [`MAX_RATE`]. A late question keeps its moment.
    Rate(u64),
    /// Closed loop: this many out at once, 1 to [`MAX_WINDOW`].
    Window(u32),
}

impl Pace {
    /// How many more questions may leave at `now` of a run of `length`, when `sent` have left and `out` of
    /// them are neither answered nor given up.
    pub fn due(self, now: Duration, length: Duration, sent: u64, out: u64) -> u64 {
        match self {
            Pace::Rate(rate) => moments(rate, now).min(total(rate, length)).saturating_sub(sent),
            Pace::Window(window) if now < length => u64::from(window).saturating_sub(out),
            Pace::Window(_) => 0,
        }
    }

    /// The moment question `seq` was due, when it leaves at `now`.
    pub fn moment(self, seq: u64, now: Duration) -> Duration {
        match self {
            Pace::Rate(rate) => Duration::from_nanos(clamped(u128::from(seq) * SECOND_NS / u128::from(rate))),
            Pace::Window(_) => now,
        }
    }

    /// When the next question is due after `sent` have left; `None` when only an answer or the end changes
    /// that.
    pub fn next(self, length: Duration, sent: u64) -> Option<Duration> {
        match self {
            Pace::Rate(rate) if sent < total(rate, length) => Some(self.moment(sent, Duration::ZERO)),
            Pace::Rate(_) | Pace::Window(_) => None,
        }
    }

    /// Whether no question is due any more.
    pub fn over(self, now: Duration, length: Duration, sent: u64) -> bool {
        match self {
            Pace::Rate(rate) => sent >= total(rate, length),
            Pace::Window(_) => now >= length,
        }
    }
}

/// How many moments lie in `0..=now`; the first is 0.
fn moments(rate: u64, now: Duration) -> u64 {
    clamped(now.as_nanos() * u128::from(rate) / SECOND_NS + 1)
}

/// How many moments lie before `length`.
fn total(rate: u64, length: Duration) -> u64 {
    clamped((length.as_nanos() * u128::from(rate)).div_ceil(SECOND_NS))
}

fn clamped(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rate_is_kept_exactly_over_any_length() {
        for (rate, millis, wanted) in [(1, 1000, 1), (1, 1001, 2), (3, 1000, 3), (999_983, 10_000, 9_999_830)]
        {
            let length = Duration::from_millis(millis);
            assert_eq!(Pace::Rate(rate).due(length * 2, length, 0, 0), wanted, "{rate} for {millis} ms");
        }
    }

    #[test]
    fn a_late_question_keeps_its_moment() {
        let pace = Pace::Rate(1000);
        let now = Duration::from_millis(500);
        assert_eq!(pace.due(now, SECOND, 0, 0), 501, "none had left for half a second");
        assert_eq!(pace.moment(0, now), Duration::ZERO);
        assert_eq!(pace.moment(500, now), now);
        assert_eq!(pace.due(now, SECOND, 501, 501), 0, "open answers hold nothing back");
        assert_eq!(pace.next(SECOND, 501), Some(Duration::from_millis(501)));
    }

    #[test]
    fn every_question_is_due_at_its_moment_and_not_before() {
        for rate in [1, 3, 7, 1000, 333_333, MAX_RATE] {
            let pace = Pace::Rate(rate);
            for seq in [1, 2, 10, 999, 123_456] {
                let moment = pace.moment(seq, Duration::ZERO) + Duration::from_nanos(1);
                let length = moment + SECOND;
                assert!(pace.due(moment, length, seq, 0) >= 1, "question {seq} at {rate}/s");
                let before = pace.moment(seq, Duration::ZERO).saturating_sub(Duration::from_nanos(1));
                assert_eq!(pace.due(before, length, seq, 0), 0, "question {seq} at {rate}/s");
            }
        }
    }

    #[test]
    fn a_window_refills_as_answers_come_until_the_end() {
        let pace = Pace::Window(4);
        assert_eq!(pace.due(Duration::ZERO, SECOND, 0, 0), 4);
        assert_eq!(pace.due(Duration::from_millis(1), SECOND, 4, 4), 0);
        assert_eq!(pace.due(Duration::from_millis(2), SECOND, 4, 1), 3);
        assert_eq!(pace.due(SECOND, SECOND, 7, 0), 0);
        assert_eq!((pace.over(SECOND / 2, SECOND, 7), pace.over(SECOND, SECOND, 7)), (false, true));
        assert_eq!(pace.next(SECOND, 4), None);
        let now = Duration::from_micros(17);
        assert_eq!(pace.moment(9, now), now, "in a closed loop a question is due when it leaves");
    }

    #[test]
    fn an_open_loop_is_over_when_all_have_left_and_not_by_the_clock() {
        let pace = Pace::Rate(10);
        assert!(!pace.over(SECOND * 5, SECOND, 9));
        assert!(pace.over(SECOND, SECOND, 10));
        assert_eq!(pace.next(SECOND, 10), None);
    }
}
