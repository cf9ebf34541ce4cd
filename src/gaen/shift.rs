//! Old keys made current: all rolling starts moved by the same whole number of days.
//!
//! Real packages are years old. Moved by whole days they keep what matters: which keys share a day, which day
//! is the newest, the time of day at which a key starts. The newest key then ended yesterday: at least 24 and
//! less than 48 hours ago, so it is past every embargo and within every retention.

use super::key::{ExportedKey, INTERVALS_PER_DAY};

const DAY: i64 = INTERVALS_PER_DAY as i64;

/// Why keys were not shifted. None of them is changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShiftError {
    /// A rolling start would leave the range of interval numbers.
    #[error("key {index} starts at interval {start}: {days} days from there is before 1970 or beyond \
             {limit}; leave the key out", limit = u32::MAX)]
    OutOfRange {
        /// The key's place in what was given, from 0.
        index: usize,
        /// Its rolling start.
        start: u32,
        /// The days it should have moved.
        days: i64,
    },
}

/// The whole number of days by which `keys` have to move so that the newest of them ended at least 24 h and
/// less than 48 h before `now_interval` (⌊now / 600 s⌋); 0 if there are no keys.
#[must_use]
pub fn rebase_days(keys: &[ExportedKey], now_interval: u32) -> i64 {
    let Some(newest_end) = keys.iter().map(ExportedKey::end).max() else {
        return 0;
    };
    let newest_end = i64::try_from(newest_end).expect("the sum of two u32");
    (i64::from(now_interval) - DAY - newest_end).div_euclid(DAY)
}

/// Moves every rolling start by `days` days of 144 intervals; a negative number moves into the past.
///
/// # Errors
/// If a start would leave the range of `u32`; then nothing is changed.
pub fn shift(keys: &mut [ExportedKey], days: i64) -> Result<(), ShiftError> {
    let moved = |start: u32| {
        let intervals = days.checked_mul(DAY)?;
        u32::try_from(i64::from(start).checked_add(intervals)?).ok()
    };
    if let Some((index, key)) = keys.iter().enumerate().find(|(_, key)| moved(key.start).is_none()) {
        return Err(ShiftError::OutOfRange { index, start: key.start, days });
    }
    for key in keys {
        key.start = moved(key.start).expect("tried for every key above");
    }
    Ok(())
}

/// Shifts `keys` as [`rebase_days`] says and returns that number of days (`import --rebase`).
///
/// # Errors
/// If a start would leave the range of `u32`; then nothing is changed.
pub fn rebase(keys: &mut [ExportedKey], now_interval: u32) -> Result<i64, ShiftError> {
    let days = rebase_days(keys, now_interval);
    shift(keys, days)?;
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(start: u32, period: u32) -> ExportedKey {
        ExportedKey { key: [7; 16], risk: 0, start, period, report_type: 1, onset: None }
    }

    #[test]
    fn the_newest_key_ends_a_day_to_two_days_ago_whenever_now_is() {
        for period in [1, 17, 143, 144] {
            for now in 2_900_000..2_900_000 + 2 * INTERVALS_PER_DAY {
                let mut keys = [key(2_650_032, period), key(2_649_888, 144)];
                let days = rebase(&mut keys, now).expect("in range");
                let newest_end = keys.iter().map(ExportedKey::end).max().expect("two keys");
                let age = u64::from(now) - newest_end;
                assert!((144..288).contains(&age), "age {age} at {now} with period {period}");
                assert_eq!(i64::from(keys[0].start) - 2_650_032, days * DAY);
                assert_eq!(keys[0].start - keys[1].start, 144);
            }
        }
    }

    #[test]
    fn keys_of_the_future_move_into_the_past() {
        let mut keys = [key(2_900_016, 144)];
        assert_eq!(rebase(&mut keys, 2_800_000), Ok(-697));
        assert!(keys[0].end() + 144 <= 2_800_000 && keys[0].end() + 288 > 2_800_000);
    }

    #[test]
    fn nothing_moves_if_one_key_cannot() {
        let mut keys = [key(2_900_016, 144), key(100, 144)];
        let before = keys;
        let error = rebase(&mut keys, 2_800_000).expect_err("the second key would start before 1970");
        assert_eq!(error, ShiftError::OutOfRange { index: 1, start: 100, days: -697 });
        assert_eq!(keys, before);
        let mut late = [key(u32::MAX - 143, 144)];
        assert!(shift(&mut late, 1).is_err());
        assert!(shift(&mut late, i64::MAX).is_err());
        assert!(shift(&mut late, i64::MIN).is_err());
        assert_eq!(late, [key(u32::MAX - 143, 144)]);
    }

    #[test]
    fn no_keys_need_no_shift() {
        assert_eq!(rebase(&mut [], 2_800_000), Ok(0));
    }
}
