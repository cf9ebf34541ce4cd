//! Times and intervals as values: seconds since 1970, ten-minute intervals, the horizon.
//!
//! Everything that depends on time in tekd is computed here from numbers the caller
//! brings; nothing here reads a clock. Sums that could leave 32 bits are made in 64, so
//! that a hostile start or period never wraps into a key that lives for ever.

/// Seconds of one interval (spec, Conventions).
pub const INTERVAL_S: u64 = 600;

/// Intervals of one day.
pub const INTERVALS_PER_DAY: u32 = 144;

const _: () = assert!(INTERVAL_S * INTERVALS_PER_DAY as u64 == 86_400);

/// The interval that holds the time `unix_s`, saturating at the last one a `u32` can number.
pub const fn interval_of(unix_s: u64) -> u32 {
    saturate(unix_s / INTERVAL_S)
}

/// The first second of an interval.
pub const fn start_of(interval: u32) -> u64 {
    interval as u64 * INTERVAL_S
}

/// The horizon of a release made at `time_s` (spec 3.2.1), 0 where it would be negative.
pub const fn horizon(time_s: u64, retention_days: u16) -> u32 {
    let kept = retention_days as u64 * INTERVALS_PER_DAY as u64;
    saturate((time_s / INTERVAL_S).saturating_sub(kept))
}

/// Whether an entry is unexpired: `start + period > horizon`, in unbounded integers (spec 3.2.1).
pub const fn is_live(start: u32, period: u16, horizon: u32) -> bool {
    start as u64 + period as u64 > horizon as u64
}

/// The second at which a key ceases to be valid: `start + period` intervals (spec 3.2.5).
pub const fn end_of_validity(start: u32, period: u16) -> u64 {
    (start as u64 + period as u64) * INTERVAL_S
}

/// The next multiple of `interval_s` strictly after `time_s`: when the next release is due.
///
/// An interval of 0 is taken as 1 second; at the end of time the answer saturates.
pub const fn next_border(time_s: u64, interval_s: u64) -> u64 {
    let step = if interval_s == 0 { 1 } else { interval_s };
    (time_s - time_s % step).saturating_add(step)
}

const fn saturate(interval: u64) -> u32 {
    if interval > u32::MAX as u64 { u32::MAX } else { interval as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_interval_is_the_time_divided_by_600_rounded_down() {
        assert_eq!(interval_of(0), 0);
        assert_eq!(interval_of(599), 0);
        assert_eq!(interval_of(600), 1);
        assert_eq!(start_of(interval_of(1_592_913_599)), 1_592_913_000);
        assert_eq!(interval_of(u64::MAX), u32::MAX);
    }

    #[test]
    fn the_horizon_lies_the_retention_behind_and_never_below_zero() {
        // spec 3.2.1
        assert_eq!(horizon(1_592_913_600, 14), 1_592_913_600 / 600 - 14 * 144);
        assert_eq!(horizon(1_592_914_199, 14), 1_592_913_600 / 600 - 14 * 144);
        assert_eq!(horizon(600, 14), 0);
        assert_eq!(horizon(u64::MAX, u16::MAX), u32::MAX);
    }

    #[test]
    fn a_key_lives_until_the_horizon_reaches_its_end() {
        // spec 3.2.1
        assert!(is_live(1_000, 144, 1_143));
        assert!(!is_live(1_000, 144, 1_144));
        assert!(!is_live(0, 0, 0));
    }

    #[test]
    fn a_start_near_the_last_interval_does_not_wrap() {
        // spec 3.2.1: sums are of unbounded integers
        assert!(is_live(u32::MAX, u16::MAX, u32::MAX));
        assert!(!is_live(u32::MAX, 0, u32::MAX));
        assert_eq!(end_of_validity(u32::MAX, u16::MAX), (4_294_967_295 + 65_535) * 600);
    }

    #[test]
    fn a_border_is_always_ahead() {
        assert_eq!(next_border(0, 900), 900);
        assert_eq!(next_border(899, 900), 900);
        assert_eq!(next_border(900, 900), 1_800);
        assert_eq!(next_border(7, 0), 8);
        assert_eq!(next_border(u64::MAX, 900), u64::MAX);
    }

    proptest! {
        #[test]
        fn the_next_border_is_the_only_multiple_within_one_interval(
            time in 0u64..1 << 40,
            step in 1u64..1 << 20,
        ) {
            let border = next_border(time, step);
            prop_assert_eq!(border % step, 0);
            prop_assert!(border > time && border - time <= step);
        }
    }
}
