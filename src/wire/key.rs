//! A key as a value: 16 bytes (exposure notification) or 32 (DP-3T).
//!
//! Keys are compared byte by byte, which is the order of the big-endian numbers they
//! spell. A key says nothing about itself in logs.

use core::cmp::Ordering;
use core::fmt;

/// Bytes of a temporary exposure key.
pub const KEY_LEN: usize = 16;

/// Bytes of a long key (flag LONG_KEYS, spec 1.1.7).
pub const LONG_KEY_LEN: usize = 32;

/// A key of 16 or 32 bytes, held in place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Zero beyond `len`, so that equality of the whole is equality of the key.
    bytes: [u8; LONG_KEY_LEN],
    len: u8,
}

#[expect(clippy::len_without_is_empty, reason = "a key is never empty")]
impl Key {
    /// The key these bytes are, or `None` unless there are 16 or 32 of them.
    #[inline]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != KEY_LEN && bytes.len() != LONG_KEY_LEN {
            return None;
        }
        let mut key = Key { bytes: [0; LONG_KEY_LEN], len: bytes.len() as u8 };
        key.bytes[..bytes.len()].copy_from_slice(bytes);
        Some(key)
    }

    /// The 16 or 32 bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    /// 16 or 32.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The first four bytes as a big-endian number: the order of prefixes is the order of keys.
    pub fn prefix_u32(&self) -> u32 {
        let [a, b, c, d, ..] = self.bytes;
        u32::from_be_bytes([a, b, c, d])
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Key {
    // no-trace: a key in a log would outlive its day.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_16_and_32_bytes_are_a_key() {
        let bytes = [7; 40];
        for len in 0..=40 {
            assert_eq!(Key::from_slice(&bytes[..len]).is_some(), len == 16 || len == 32, "{len} bytes");
        }
    }

    #[test]
    fn keys_order_like_the_numbers_they_spell() {
        let mut low = [0xff; 16];
        low[0] = 0x01;
        let mut high = [0; 16];
        high[0] = 0x02;
        let (low, high) = (Key::from_slice(&low).unwrap(), Key::from_slice(&high).unwrap());
        assert!(low < high);
        assert!(low.prefix_u32() < high.prefix_u32());
        assert_eq!(low.prefix_u32(), 0x01ff_ffff);
    }

    #[test]
    fn a_short_key_is_not_a_long_key_with_zeros() {
        assert_ne!(Key::from_slice(&[0; 16]), Key::from_slice(&[0; 32]));
    }

    #[test]
    fn a_key_prints_its_length_and_nothing_else() {
        let key = Key::from_slice(&[0xab; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "Key(32 bytes)");
    }
}
