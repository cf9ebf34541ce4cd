//! Sizes in bytes as people write them: `512B`, `64KiB`, `16MiB`, `1GiB`.
//!
//! Only binary units, so that a size is never read as 1000 where 1024 was meant.

use thiserror::Error;

/// Units with their bytes, largest first.
const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SizeTextError {
    /// Not a whole number followed by letters.
    #[error("`{0}` is not a size: write a whole number and a unit like 64KiB or 16MiB")]
    NotASize(String),
    /// A number alone.
    #[error("`{0}` has no unit: write {0}B, {0}KiB, {0}MiB or {0}GiB")]
    NoUnit(String),
    /// A unit that is not taken, such as `MB`.
    #[error("`{unit}` in `{text}` is not a unit of size: use B, KiB, MiB or GiB")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The part that is no unit.
        unit: String,
    },
    /// More than 2⁶⁴ − 1 bytes.
    #[error("`{0}` is more than a size can be: at most 18446744073709551615B")]
    TooLarge(String),
}

/// Bytes of a size like `64KiB`.
pub fn parse_size(text: &str) -> Result<u64, SizeTextError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    if number.is_empty() || !unit.chars().all(char::is_alphabetic) {
        return Err(SizeTextError::NotASize(text.to_owned()));
    }
    if unit.is_empty() {
        return Err(SizeTextError::NoUnit(text.to_owned()));
    }
    let Some((_, bytes)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(SizeTextError::UnknownUnit { text: text.to_owned(), unit: unit.to_owned() });
    };
    // Only digits: the one way to fail is a number above 64 bits.
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(*bytes))
        .ok_or_else(|| SizeTextError::TooLarge(text.to_owned()))
}

/// `bytes` in the largest unit that divides them, exactly what [`parse_size`] reads back.
pub fn format_size(bytes: u64) -> String {
    let whole = |unit: &&(&str, u64)| bytes != 0 && bytes.is_multiple_of(unit.1);
    let (name, unit) = UNITS.iter().find(whole).unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_with_binary_units_are_read() {
        for (text, bytes) in
            [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("16 MiB", 16 << 20), (" 1GiB ", 1 << 30)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn each_bad_size_says_what_is_wrong_and_what_to_write() {
        for (text, message) in [
            ("", "`` is not a size: write a whole number and a unit like 64KiB or 16MiB"),
            ("big", "`big` is not a size: write a whole number and a unit like 64KiB or 16MiB"),
            ("-1B", "`-1B` is not a size: write a whole number and a unit like 64KiB or 16MiB"),
            ("1.5MiB", "`1.5MiB` is not a size: write a whole number and a unit like 64KiB or 16MiB"),
            ("16", "`16` has no unit: write 16B, 16KiB, 16MiB or 16GiB"),
            ("16MB", "`MB` in `16MB` is not a unit of size: use B, KiB, MiB or GiB"),
            ("17179869184GiB", "`17179869184GiB` is more than a size can be: at most 18446744073709551615B"),
        ] {
            assert_eq!(parse_size(text).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn every_size_reads_back_from_its_text(bytes: u64) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }

        #[test]
        fn every_multiple_of_a_mebibyte_is_written_without_bytes(mebibytes in 1u64..4096) {
            prop_assert!(format_size(mebibytes << 20).len() <= 7);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            let _ = parse_size(&text);
        }
    }
}
