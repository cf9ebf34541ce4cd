//! The time, and lengths of time as the command line has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A duration like `10s` or `250ms`, from a millisecond to a day.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|e| format!("{e}; write it like 10s or 250ms"))?;
    let allowed = Duration::from_millis(1)..=Duration::from_secs(86_400);
    if allowed.contains(&length) { Ok(length) } else { Err("not between 1ms and 1d".to_owned()) }
}

/// A duration like `50us`, from nothing to a second.
pub(crate) fn pause(text: &str) -> Result<Duration, String> {
    let pause = humantime::parse_duration(text).map_err(|e| format!("{e}; write it like 50us"))?;
    if pause <= Duration::from_secs(1) { Ok(pause) } else { Err("more than a second".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_its_unit_and_its_bounds() {
        assert_eq!(length("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(length("1d"), Ok(Duration::from_secs(86_400)));
        for text in ["10", "0s", "25h", "-1s", "soon"] {
            assert!(length(text).is_err(), "{text}");
        }
        assert_eq!((pause("0us"), pause("50us")), (Ok(Duration::ZERO), Ok(Duration::from_micros(50))));
        assert!(pause("2s").is_err() && pause("50").is_err());
    }
}
