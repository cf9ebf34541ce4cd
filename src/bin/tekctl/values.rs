//! Values on the command line: keys, prefixes, durations, transports. Text in, values or a sentence out.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use tekd::release::MAX_BITS;
use tekd::service::timetext::parse_duration;
use tekd::wire::Key;
use tekd::wire::key::KEY_LEN;
use tekd::wire::report::ReportType;

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// How questions travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tls,
    Quic,
}

/// A transport by name.
pub(crate) fn transport(text: &str) -> Result<Transport, String> {
    match text {
        "udp" => Ok(Transport::Udp),
        "tls" => Ok(Transport::Tls),
        "quic" => Ok(Transport::Quic),
        _ => Err("use udp, tls or quic".to_owned()),
    }
}

/// A key of 16 or 32 bytes, in hex or base64.
pub(crate) fn key(text: &str) -> Result<Key, String> {
    bytes(text).and_then(|bytes| Key::from_slice(&bytes)).ok_or_else(|| {
        "a key is 16 or 32 bytes, as 32 or 64 hex digits or as 24 or 44 characters of base64".to_owned()
    })
}

/// 16 or 32 bytes in hex or base64; the length tells which of them it is.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    match text.len() {
        32 | 64 => hex::decode(text).ok(),
        24 | 44 => STANDARD.decode(text).ok(),
        22 | 43 => STANDARD_NO_PAD.decode(text).ok(),
        _ => None,
    }
}

/// A report's id: 16 bytes in hex.
pub(crate) fn id(text: &str) -> Result<[u8; 16], String> {
    hexed(text).ok_or_else(|| "a report id is 16 bytes, 32 hex digits".to_owned())
}

/// A report's secret: 32 bytes in hex.
pub(crate) fn secret(text: &str) -> Result<[u8; 32], String> {
    hexed(text).ok_or_else(|| "a secret is 32 bytes, 64 hex digits".to_owned())
}

fn hexed<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}

/// What a report says.
pub(crate) fn report_type(text: &str) -> Result<ReportType, String> {
    ReportType::from_name(text)
        .filter(|report_type| *report_type != ReportType::Negative)
        .ok_or_else(|| "use confirmed, likely or self-report".to_owned())
}

/// A prefix of keys: what is beyond its bits is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) bytes: [u8; KEY_LEN],
    pub(crate) bits: u8,
}

impl Prefix {
    /// The first `bits` bits of `bytes`.
    pub(crate) fn new(bytes: [u8; KEY_LEN], bits: u8) -> Self {
        let mask = u128::MAX.checked_shl(u128::BITS - u32::from(bits)).unwrap_or(0);
        Self { bytes: (u128::from_be_bytes(bytes) & mask).to_be_bytes(), bits }
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = usize::from(self.bits).div_ceil(4);
        write!(f, "{}/{}", &hex::encode(self.bytes)[..digits], self.bits)
    }
}

/// `HEX/BITS`; hex digits beyond the bits are left out of account.
pub(crate) fn prefix(text: &str) -> Result<Prefix, String> {
    let shape = || format!("a prefix is HEX/BITS with 0 to {MAX_BITS} bits, such as a3f/12");
    let (digits, bits) = text.split_once('/').ok_or_else(shape)?;
    let bits: u8 = bits.parse().map_err(|_| shape())?;
    if bits > MAX_BITS || digits.len() > 2 * KEY_LEN {
        return Err(shape());
    }
    if digits.len() * 4 < usize::from(bits) {
        return Err(format!(
            "{} hex digits are {} bits, {bits} are asked for",
            digits.len(),
            digits.len() * 4
        ));
    }
    let mut bytes = [0; KEY_LEN];
    hex::decode_to_slice(format!("{digits:0<32}"), &mut bytes).map_err(|_| shape())?;
    Ok(Prefix::new(bytes, bits))
}

/// Seconds of a duration.
pub(crate) fn seconds(text: &str) -> Result<u32, String> {
    let seconds = parse_duration(text).map_err(|e| e.to_string())?;
    u32::try_from(seconds).map_err(|_| format!("`{text}` is too long: at most {} seconds", u32::MAX))
}

/// Days of a duration that is whole days.
pub(crate) fn days(text: &str) -> Result<u16, String> {
    let seconds = parse_duration(text).map_err(|e| e.to_string())?;
    if !seconds.is_multiple_of(DAY_S) {
        return Err(format!("`{text}` is not a whole number of days: write it like 14d"));
    }
    u16::try_from(seconds / DAY_S).map_err(|_| format!("`{text}` is too long: at most {}d", u16::MAX))
}

/// `on` or `off`.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_hex_and_from_base64() {
        let expected = Key::from_slice(&[0xa5; 16]).unwrap();
        for text in [hex::encode([0xa5; 16]), STANDARD.encode([0xa5; 16]), STANDARD_NO_PAD.encode([0xa5; 16])]
        {
            assert_eq!(key(&text), Ok(expected), "{text}");
        }
        let long = Key::from_slice(&[7; 32]).unwrap();
        assert_eq!(key(&hex::encode([7; 32])), Ok(long));
        assert_eq!(key(&STANDARD.encode([7; 32])), Ok(long));
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_shapes_of_one() {
        for text in ["", "a5", &"g".repeat(32), &STANDARD.encode([1; 20]), &"!".repeat(24)] {
            assert!(key(text).unwrap_err().contains("16 or 32 bytes"), "{text}");
        }
    }

    #[test]
    fn a_prefix_keeps_its_bits_and_shows_no_others() {
        let whole = prefix(&format!("{}/9", "f".repeat(32))).unwrap();
        assert_eq!(&whole.bytes[..3], &[0xff, 0x80, 0]);
        assert_eq!(whole.to_string(), "ff8/9");
        assert_eq!(prefix("a3f/12").unwrap().to_string(), "a3f/12");
        assert_eq!(prefix("/0").unwrap(), Prefix { bytes: [0; 16], bits: 0 });
        assert_eq!(prefix("ff/0").unwrap(), Prefix { bytes: [0; 16], bits: 0 });
    }

    #[test]
    fn a_prefix_shorter_than_its_bits_or_out_of_range_is_refused() {
        assert_eq!(prefix("ab/9").unwrap_err(), "2 hex digits are 8 bits, 9 are asked for");
        for text in ["ab", "ab/", "ab/x", "xy/8", "ffffffff/29", "ab/-1", "ab/8/9"] {
            assert!(prefix(text).is_err(), "{text}");
        }
    }

    #[test]
    fn retention_is_whole_days() {
        assert_eq!(days("14d"), Ok(14));
        assert_eq!(days("2w"), Ok(14));
        assert!(days("36h").unwrap_err().contains("whole number of days"));
        assert!(days("14").unwrap_err().contains("no unit"));
    }

    #[test]
    fn transports_are_known_by_name() {
        assert_eq!(transport("udp"), Ok(Transport::Udp));
        assert_eq!(transport("tls"), Ok(Transport::Tls));
        assert_eq!(transport("quic"), Ok(Transport::Quic));
        assert!(transport("tcp").unwrap_err().contains("udp, tls or quic"));
    }
}
