//! Moments and days on the command line, as operators say them: a time, a time of today, how long ago.

use std::time::{SystemTime, UNIX_EPOCH};

use tekd::service::timetext::{format_time, parse_duration, parse_time};

/// Seconds of a day.
const DAY_S: u64 = 86_400;
/// The day of the week on which 1970 began, counted from Sunday.
const FIRST_WEEKDAY: u64 = 4;

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// What a duration alone means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alone {
    Ago,
    Ahead,
}

/// Seconds since 1970, by this machine's clock.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A moment that is not to come: `2026-11-24T09:30:00Z`, `09:30` of today in UTC, or `2h` ago.
pub(crate) fn past(text: &str) -> Result<u64, String> {
    past_at(text, now())
}

fn past_at(text: &str, now: u64) -> Result<u64, String> {
    let moment = read(text, now, Alone::Ago)?;
    if moment > now {
        return Err(format!(
            "`{text}` is {}, which is still to come: it is {} now; for an earlier day write that time in full",
            format_time(moment),
            format_time(now)
        ));
    }
    Ok(moment)
}

/// Any moment; a duration alone means that long ago.
pub(crate) fn beginning(text: &str) -> Result<u64, String> {
    read(text, now(), Alone::Ago)
}

/// Any moment; a duration alone means that long from now on.
pub(crate) fn end(text: &str) -> Result<u64, String> {
    read(text, now(), Alone::Ahead)
}

fn read(text: &str, now: u64, alone: Alone) -> Result<u64, String> {
    if let Some(seconds) = time_of_day(text) {
        return Ok(now - now % DAY_S + seconds);
    }
    if let Ok(seconds) = parse_duration(text) {
        return Ok(match alone {
            Alone::Ago => now.saturating_sub(seconds),
            Alone::Ahead => now.saturating_add(seconds),
        });
    }
    parse_time(text).map_err(|_| {
        let duration = match alone {
            Alone::Ago => "how long ago",
            Alone::Ahead => "how long from now",
        };
        format!(
            "`{text}` is no moment: write a time in UTC like 2026-11-24T09:30:00Z, a time of today in UTC like 09:30, \
             or {duration} like 2h"
        )
    })
}

/// Seconds since midnight of `HH:MM`.
fn time_of_day(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| -> Option<u64> {
        let fits = (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|_| fits)
    };
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|_| minutes.len() == 2)?);
    (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)
}

/// A day that is not to come, `2026-11-24`, in days since 1970.
pub(crate) fn day(text: &str) -> Result<u32, String> {
    day_at(text, now())
}

fn day_at(text: &str, now: u64) -> Result<u32, String> {
    let midnight = parse_time(&format!("{text}T00:00:00Z"))
        .map_err(|_| format!("`{text}` is no day: write it like 2026-11-24"))?;
    if midnight > now {
        return Err(format!("`{text}` is still to come"));
    }
    u32::try_from(midnight / DAY_S).map_err(|_| format!("`{text}` is too far away"))
}

/// A time in words for a person: `Tuesday, 1 December 2026, 16:44 UTC`.
pub(crate) fn in_words(seconds: u64) -> String {
    let weekday = WEEKDAYS[usize::try_from((seconds / DAY_S + FIRST_WEEKDAY) % 7).unwrap_or_default()];
    let text = format_time(seconds);
    let number = |part: std::ops::Range<usize>| text[part].parse::<usize>().unwrap_or_default();
    let month = MONTHS[number(5..7).saturating_sub(1).min(11)];
    format!("{weekday}, {} {month} {}, {} UTC", number(8..10), &text[..4], &text[11..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24T13:00:00Z, a Tuesday.
    const NOW: u64 = 1_795_525_200;

    #[test]
    fn a_moment_is_a_time_a_time_of_today_or_a_while_ago() {
        for (text, expected) in [
            ("2026-11-23T09:30:00Z", NOW - DAY_S - 12_600),
            ("09:30", NOW - 12_600),
            ("9:30", NOW - 12_600),
            ("13:00", NOW),
            ("00:00", NOW - 13 * 3600),
            ("2h", NOW - 7200),
            ("1h 30m", NOW - 5400),
            ("0s", NOW),
        ] {
            assert_eq!(past_at(text, NOW), Ok(expected), "{text}");
        }
        assert_eq!(read("90d", NOW, Alone::Ahead), Ok(NOW + 90 * DAY_S));
        assert_eq!(read("23:59", NOW, Alone::Ahead), Ok(NOW + 39_540));
    }

    #[test]
    fn what_is_still_to_come_is_no_past_moment() {
        for text in ["13:01", "23:59", "2026-11-24T13:00:01Z"] {
            let told = past_at(text, NOW).unwrap_err();
            assert!(told.contains("still to come") && told.contains("2026-11-24T13:00:00Z"), "{told}");
        }
        assert!(day_at("2026-11-25", NOW).unwrap_err().contains("still to come"));
    }

    #[test]
    fn what_is_no_moment_says_how_to_write_one() {
        for text in
            ["", "yesterday", "24:00", "09:60", "9:3", "009:30", "0930", "+9:30", "09:30:00", "2h ago"]
        {
            let told = past_at(text, NOW).unwrap_err();
            assert!(
                told.contains(&format!("`{text}` is no moment")) && told.contains("like 09:30"),
                "{told}"
            );
        }
        assert!(day_at("24.11.2026", NOW).unwrap_err().contains("like 2026-11-24"));
    }

    #[test]
    fn a_day_is_counted_from_1970() {
        assert_eq!(day_at("1970-01-02", NOW), Ok(1));
        assert_eq!(day_at("2026-11-24", NOW), Ok(20_781));
    }

    #[test]
    fn a_time_in_words_names_its_weekday() {
        assert_eq!(in_words(NOW), "Tuesday, 24 November 2026, 13:00 UTC");
        assert_eq!(in_words(NOW + 7 * DAY_S), "Tuesday, 1 December 2026, 13:00 UTC");
        assert_eq!(in_words(0), "Thursday, 1 January 1970, 00:00 UTC");
    }
}
