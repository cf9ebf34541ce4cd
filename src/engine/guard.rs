//! The clock guard: time never moves state by itself.
//!
//! Releases carry wall-clock time, and a clock that jumps would expire a set or bring keys out of
//! their embargo early. The guard compares the wall clock with a clock that only counts, and holds
//! releases when they part by more than an hour, until an operator says the clock is right.
//!
//! At a start no such clock has counted yet. What is compared then is what the journal says of time: what was
//! decided while the clock was believed, for a clock that nobody believes stamps reports too.

use super::slot::Moment;

/// How far the wall clock may part from the monotonic clock, or fall behind the journal, in seconds.
pub const MAX_JUMP_S: u64 = 3600;

/// How far the clock may be ahead at a start of the time that was believed last, in seconds: longer downtime
/// is confirmed by hand. A clock that is wrong by less makes seal keys end that much early, and the newest
/// one must stay (asserted where its rhythm is set).
pub const MAX_DOWNTIME_S: u64 = 3 * 86_400;

/// A clock that cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock says {clock} (Unix seconds) where {expected} was expected, more than {MAX_JUMP_S} s apart; releases are held, \
     and no seal key is made or forgotten: set the clock right if it is wrong, then say so with \
     `tekctl release approve --reason …`"
)]
pub struct ClockAlarm {
    /// What the wall clock said.
    pub clock: u64,
    /// What was expected.
    pub expected: u64,
}

/// Watches the clock of one writer.
#[derive(Debug)]
pub struct ClockGuard {
    /// Where the clocks were believed last: many small steps away from here are as bad as one.
    anchor: Moment,
    last: Moment,
    alarm: Option<ClockAlarm>,
}

impl ClockGuard {
    /// Starts watching at `now`. `newest` is the time of the newest event in the journal, `believed` of what
    /// was decided last that no other clock decides; each 0 for none.
    pub fn new(now: Moment, newest: u64, believed: u64) -> Self {
        let believed = if believed == 0 { newest } else { believed };
        let latest = believed.saturating_add(MAX_DOWNTIME_S);
        let newest = if newest > latest { believed } else { newest };
        let behind = now.unix.saturating_add(MAX_JUMP_S) < newest;
        let ahead = believed > 0 && now.unix > latest;
        let alarm = (behind || ahead).then_some(ClockAlarm { clock: now.unix, expected: newest });
        ClockGuard { anchor: now, last: now, alarm }
    }

    /// Looks at the clock again.
    pub fn see(&mut self, now: Moment) {
        let passed = now.monotonic_ms.saturating_sub(self.anchor.monotonic_ms) / 1000;
        let expected = self.anchor.unix.saturating_add(passed);
        if now.unix.abs_diff(expected) > MAX_JUMP_S {
            self.alarm.get_or_insert(ClockAlarm { clock: now.unix, expected });
        }
        self.last = now;
    }

    /// The alarm, while releases are held.
    pub fn alarm(&self) -> Option<&ClockAlarm> {
        self.alarm.as_ref()
    }

    /// Believes the clock from now on; returns the alarm that was lifted.
    pub fn approve(&mut self) -> Option<ClockAlarm> {
        self.anchor = self.last;
        self.alarm.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix: u64, seconds: u64) -> Moment {
        Moment { unix, monotonic_ms: seconds * 1000 }
    }

    #[test]
    fn a_jump_of_more_than_an_hour_holds_until_approved() {
        let mut guard = ClockGuard::new(at(1_000_000, 0), 0, 0);
        guard.see(at(1_000_060, 60));
        assert!(guard.alarm().is_none());
        guard.see(at(1_000_060 + 86_400, 61));
        assert_eq!(guard.alarm().map(|a| a.clock), Some(1_086_460));
        assert!(guard.approve().is_some());
        guard.see(at(1_086_520, 121));
        assert!(guard.alarm().is_none());
        guard.see(at(1_000_000, 122));
        assert!(guard.alarm().is_some(), "a jump back holds as well");
    }

    #[test]
    fn a_clock_far_behind_the_journal_holds_from_the_start() {
        assert!(ClockGuard::new(at(1_000_000, 0), 1_003_601, 900_000).alarm().is_some());
        assert!(ClockGuard::new(at(1_000_000, 0), 1_003_600, 900_000).alarm().is_none());
    }

    #[test]
    fn many_small_steps_are_as_bad_as_one() {
        let mut guard = ClockGuard::new(at(1_000_000, 0), 0, 0);
        guard.see(at(1_003_000, 1));
        assert!(guard.alarm().is_none());
        guard.see(at(1_006_000, 2));
        assert!(guard.alarm().is_some());
    }

    #[test]
    fn a_clock_far_ahead_of_the_journal_holds_from_the_start() {
        let newest = 1_000_000;
        for believed in [newest, 0] {
            assert!(ClockGuard::new(at(newest + MAX_DOWNTIME_S, 0), newest, believed).alarm().is_none());
            assert!(ClockGuard::new(at(newest + MAX_DOWNTIME_S + 1, 0), newest, believed).alarm().is_some());
        }
    }

    #[test]
    fn what_a_clock_that_nobody_believed_stamped_vouches_for_nothing() {
        let (believed, wrong) = (1_000_000, 1_000_000 + 300 * 86_400);
        let alarm = |now| ClockGuard::new(at(now, 0), wrong, believed).alarm().cloned();
        assert_eq!(alarm(wrong + 60), Some(ClockAlarm { clock: wrong + 60, expected: believed }));
        assert_eq!(alarm(believed + 60), None, "the right clock is not behind it");
    }
}
