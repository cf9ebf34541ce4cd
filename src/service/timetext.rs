//! Times and durations as people read and write them.
//!
//! Times are RFC 3339 in UTC beside whole seconds since 1970; durations are numbers with
//! units (`15m`, `7d`, `1h 30m`) beside whole seconds. Months and years are refused as
//! durations because they have no fixed length (and because `15M` would otherwise be
//! fifteen months). Nothing here reads a clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;

/// Seconds of one interval number, the unit in which keys count time.
const INTERVAL_SECONDS: u64 = crate::time::INTERVAL_S;

/// The last second RFC 3339 can write: 9999-12-31T23:59:59Z.
pub const MAX_TIME: u64 = 253_402_300_799;

/// The longest duration taken: 100 years of 365 days, in seconds.
pub const MAX_DURATION: u64 = 100 * 365 * 86_400;

/// Units a duration may use, with the letters each may be written in.
const UNITS: [&[&str]; 5] = [
    &["s", "sec", "secs", "second", "seconds"],
    &["m", "min", "mins", "minute", "minutes"],
    &["h", "hr", "hrs", "hour", "hours"],
    &["d", "day", "days"],
    &["w", "week", "weeks"],
];

const _: () = assert!(MAX_DURATION < MAX_TIME);
const _: () = assert!(u32::MAX as u64 * INTERVAL_SECONDS > MAX_TIME); // so intervals past it must be clamped

/// Why a text is no time or no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimeTextError {
    /// Not RFC 3339 in UTC.
    #[error("`{0}` is not a time: write it in UTC like 2026-11-24T13:00:00Z")]
    NotATime(String),
    /// A time before 1970.
    #[error("`{0}` is before 1970-01-01T00:00:00Z, the first time there is")]
    BeforeEpoch(String),
    /// No number, or a character that belongs to neither a number nor a unit.
    #[error("`{0}` is not a duration: write a number and a unit like 30s, 15m, 2h or 7d")]
    NotADuration(String),
    /// A number alone.
    #[error("`{0}` has no unit: write {0}s, {0}m, {0}h or {0}d")]
    NoUnit(String),
    /// A unit that is not taken.
    #[error("`{unit}` in `{text}` is not a unit of time: use s, m, h, d or w")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The part that is no unit.
        unit: String,
    },
    /// More than [`MAX_DURATION`].
    #[error("`{0}` is too long: at most 36500d")]
    TooLong(String),
}

/// `seconds` since 1970 as RFC 3339 in UTC, to the second. A time after
/// [`MAX_TIME`] is written as [`MAX_TIME`].
pub fn format_time(seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(MAX_TIME));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Seconds since 1970 of an RFC 3339 time in UTC; fractions of a second are cut off.
pub fn parse_time(text: &str) -> Result<u64, TimeTextError> {
    let text = text.trim();
    let time: SystemTime =
        humantime::parse_rfc3339(text).map_err(|_| TimeTextError::NotATime(text.to_owned()))?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| TimeTextError::BeforeEpoch(text.to_owned()))?;
    Ok(since.as_secs())
}

/// The start of interval number `interval` as RFC 3339 in UTC.
pub fn format_interval(interval: u32) -> String {
    format_time(u64::from(interval) * INTERVAL_SECONDS)
}

/// Seconds of a duration like `15m`, `7d` or `1h 30m`; at most [`MAX_DURATION`].
pub fn parse_duration(text: &str) -> Result<u64, TimeTextError> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TimeTextError::NoUnit(text.to_owned()));
    }
    check_units(text)?;
    let not_a_duration = |_| TimeTextError::NotADuration(text.to_owned());
    let seconds = match humantime::parse_duration(text) {
        Err(humantime::DurationError::NumberOverflow) => u64::MAX,
        other => other.map_err(not_a_duration)?.as_secs(),
    };
    if seconds > MAX_DURATION {
        return Err(TimeTextError::TooLong(text.to_owned()));
    }
    Ok(seconds)
}

/// `seconds` in the largest units that fit, such as `15m`, `7d` or `1h 30m`; what
/// [`parse_duration`] reads back.
pub fn format_duration(seconds: u64) -> String {
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

fn check_units(text: &str) -> Result<(), TimeTextError> {
    for unit in text.split(|c: char| !c.is_alphabetic()).filter(|unit| !unit.is_empty()) {
        if !UNITS.iter().any(|names| names.contains(&unit)) {
            return Err(TimeTextError::UnknownUnit { text: text.to_owned(), unit: unit.to_owned() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_is_written_in_utc_to_the_second() {
        assert_eq!(format_time(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_time(1_795_525_200), "2026-11-24T13:00:00Z");
        assert_eq!(format_time(MAX_TIME), "9999-12-31T23:59:59Z");
        assert_eq!(format_time(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_fraction_of_a_second_is_cut_off() {
        assert_eq!(parse_time(" 2026-11-24T13:00:00.999Z ").unwrap(), 1_795_525_200);
    }

    #[test]
    fn what_is_no_time_is_named_with_an_example() {
        for text in ["", "yesterday", "2026-11-24", "2026-11-24T13:00:00+01:00", "2026-13-01T00:00:00Z"] {
            let e = parse_time(text).unwrap_err();
            assert_eq!(
                e.to_string(),
                format!("`{text}` is not a time: write it in UTC like 2026-11-24T13:00:00Z")
            );
        }
        assert!(parse_time("1969-12-31T23:59:59Z").is_err());
    }

    #[test]
    fn an_interval_is_shown_by_its_first_second() {
        assert_eq!(format_interval(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_interval(2_992_542), "2026-11-24T13:00:00Z");
        assert_eq!(format_interval(u32::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn durations_with_units_are_read() {
        for (text, seconds) in [
            ("30s", 30),
            ("15m", 900),
            ("2h", 7_200),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1h 30m", 5_400),
            ("1h30min", 5_400),
            ("1.5h", 5_400),
            ("90 seconds", 90),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn each_bad_duration_says_what_is_wrong_and_what_to_write() {
        for (text, message) in [
            ("", "`` is not a duration: write a number and a unit like 30s, 15m, 2h or 7d"),
            ("soon", "`soon` in `soon` is not a unit of time: use s, m, h, d or w"),
            ("-5m", "`-5m` is not a duration: write a number and a unit like 30s, 15m, 2h or 7d"),
            ("15", "`15` has no unit: write 15s, 15m, 15h or 15d"),
            ("15M", "`M` in `15M` is not a unit of time: use s, m, h, d or w"),
            ("500ms", "`ms` in `500ms` is not a unit of time: use s, m, h, d or w"),
            ("36501d", "`36501d` is too long: at most 36500d"),
            ("99999999999999999999w", "`99999999999999999999w` is too long: at most 36500d"),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn every_second_reads_back_from_its_text(seconds in 0..=MAX_TIME) {
            prop_assert_eq!(parse_time(&format_time(seconds)), Ok(seconds));
        }

        #[test]
        fn every_duration_reads_back_from_its_text(seconds in 0..=MAX_DURATION) {
            prop_assert_eq!(parse_duration(&format_duration(seconds)), Ok(seconds));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,40}") {
            let _ = parse_time(&text);
            let _ = parse_duration(&text);
        }
    }
}
