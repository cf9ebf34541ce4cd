//! How the demo is told: one line per step, with the time on the stepped clock.

use std::fmt;
use std::io::Write;

use super::error::DemoError;

/// 1 January 1970 was a Thursday.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const DAY_S: u64 = 86_400;
/// Width of the word that says what a line is about.
const TOPIC: usize = 11;

/// Prints the steps. Nothing is printed before it held.
pub(super) struct Story<'o> {
    out: &'o mut dyn Write,
}

impl<'o> Story<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        Story { out }
    }

    /// A step at `now` (Unix seconds).
    pub(super) fn tell(&mut self, now: u64, topic: &str, text: impl fmt::Display) -> Result<(), DemoError> {
        writeln!(self.out, "{}  {topic:<TOPIC$} {text}", time_of(now))?;
        Ok(self.out.flush()?)
    }

    /// What follows from the step before.
    pub(super) fn and(&mut self, text: impl fmt::Display) -> Result<(), DemoError> {
        writeln!(self.out, "{:>width$}{text}", "", width = "Mon 12:00  ".len() + TOPIC + 1)?;
        Ok(self.out.flush()?)
    }

    /// A line of its own.
    pub(super) fn say(&mut self, text: impl fmt::Display) -> Result<(), DemoError> {
        writeln!(self.out, "{text}")?;
        Ok(self.out.flush()?)
    }
}

/// Weekday, hour and minute of `unix` in UTC.
pub(super) fn time_of(unix: u64) -> String {
    let weekday = WEEKDAYS[usize::try_from(unix / DAY_S % 7).expect("below 7")];
    format!("{weekday} {:02}:{:02}", unix % DAY_S / 3600, unix % 3600 / 60)
}

/// A number with its thousands apart.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number and what it counts, in singular or plural.
pub(super) fn counted(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{} {one}s", count(n)) }
}

/// Bytes per key with two decimals.
pub(super) fn per_key(bytes: u64, keys: u64) -> String {
    let hundredths = (bytes * 100 + keys / 2).checked_div(keys).unwrap_or(0);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The beginning of a hash, enough to compare by eye.
pub(super) fn short(hash: &[u8; 32]) -> String {
    format!("{}…", hex::encode(&hash[..6]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_as_people_write_them() {
        assert_eq!(
            [count(7), count(999), count(1_000), count(20_000_000)],
            ["7", "999", "1,000", "20,000,000"]
        );
        assert_eq!(time_of(1_767_614_400), "Mon 12:00");
        assert_eq!(time_of(1_767_614_400 + DAY_S + 900), "Tue 12:15");
        assert_eq!(per_key(301_234, 20_000), "15.06");
        assert_eq!(per_key(5, 0), "0.00");
        assert_eq!(counted(1, "key"), "1 key");
        assert_eq!(counted(1_200, "key"), "1,200 keys");
    }
}
