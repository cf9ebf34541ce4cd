//! Numbers as people write them: of keys `1M`, `300k`, `1234`; parts of a whole.

/// `1M`, `300k`, `1234`.
pub(crate) fn short(keys: u64) -> String {
    match keys {
        0 => "0".to_owned(),
        n if n.is_multiple_of(1_000_000) => format!("{}M", n / 1_000_000),
        n if n.is_multiple_of(1000) => format!("{}k", n / 1000),
        n => n.to_string(),
    }
}

/// The number that a text like `1M` stands for, from 1 to 2³².
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.strip_suffix(['k', 'M']) {
        Some(digits) => (digits, if text.ends_with('k') { 1000 } else { 1_000_000 }),
        None => (text, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let wrong = || format!("`{text}` is no number from 1 to 4294967296: write it like 1M, 300k or 1234");
    number.filter(|number| (1..=1 << 32).contains(number)).ok_or_else(wrong)
}

/// A number from 0 to 1.
pub(crate) fn part(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(part) if (0.0..=1.0).contains(&part) => Ok(part),
        _ => Err("not a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_where_numbers_are_round_and_are_read_back() {
        let pairs = [(1_000_000, "1M"), (10_000_000, "10M"), (300_000, "300k"), (1234, "1234")];
        for (keys, name) in pairs {
            assert_eq!(short(keys), name);
            assert_eq!(size(name), Ok(keys));
        }
        assert_eq!(short(0), "0");
        for bad in ["0", "M", "1m", "-1", "1.5M", "4294967297", "99999999999999999999M", ""] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
