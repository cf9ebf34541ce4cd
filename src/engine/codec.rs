//! Plain little-endian encoding of what the journal and the snapshot keep: integers,
//! byte strings with a length, lists with a count.
//!
//! Decoding trusts nothing: every length is checked against what is left before a byte is
//! read or a buffer made.

use crate::release::Fields;
use crate::wire::Key;

/// Why stored bytes could not be read back.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("{what} needs {needed} bytes, {left} are left")]
    Short {
        /// What was being read.
        what: &'static str,
        /// Bytes it needs.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// Bytes are left over at the end.
    #[error("{left} bytes are left after the last field of {what}")]
    Excess {
        /// What was being read.
        what: &'static str,
        /// Bytes left over.
        left: usize,
    },
    /// A value that no writer of this format makes.
    #[error("{what} has the impossible value {value}")]
    Value {
        /// What was being read.
        what: &'static str,
        /// The value found.
        value: u64,
    },
}

/// Appends fields to a buffer.
#[derive(Default)]
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn u8(&mut self, v: u8) -> &mut Self {
        self.0.push(v);
        self
    }

    pub(crate) fn u16(&mut self, v: u16) -> &mut Self {
        self.raw(&v.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, v: u32) -> &mut Self {
        self.raw(&v.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, v: u64) -> &mut Self {
        self.raw(&v.to_le_bytes())
    }

    /// A number in as few bytes as it needs: seven bits each, the lowest first, the highest bit says that
    /// more follow.
    pub(crate) fn varint(&mut self, mut v: u64) -> &mut Self {
        while v >= 0x80 {
            self.u8(v as u8 | 0x80);
            v >>= 7;
        }
        self.u8(v as u8)
    }

    /// A number that may be negative, as a varint: 0, -1, 1, -2, …
    pub(crate) fn signed(&mut self, v: i64) -> &mut Self {
        self.varint(((v << 1) ^ (v >> 63)) as u64)
    }

    /// Bytes whose length the reader knows.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes with their length in front.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes)
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn flag(&mut self, flag: bool) -> &mut Self {
        self.u8(u8::from(flag))
    }

    /// The length of a list.
    pub(crate) fn count(&mut self, n: usize) -> &mut Self {
        self.u32(u32::try_from(n).expect("lists are bounded far below 2^32 items"))
    }

    pub(crate) fn key(&mut self, key: &Key) -> &mut Self {
        self.u8(u8::try_from(key.as_bytes().len()).expect("keys have 16 or 32 bytes")).raw(key.as_bytes())
    }

    pub(crate) fn fields(&mut self, f: &Fields) -> &mut Self {
        self.u32(f.start).u16(f.period).u8(f.report).u8(f.risk).raw(&f.onset.to_le_bytes())
    }
}

/// Takes fields off the front of a slice.
pub(crate) struct Decoder<'a> {
    left: &'a [u8],
    what: &'static str,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { left: bytes, what }
    }

    pub(crate) fn raw(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, left)) = self.left.split_at_checked(n) else {
            return Err(DecodeError::Short { what: self.what, needed: n, left: self.left.len() });
        };
        self.left = left;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.raw(N)?);
        Ok(out)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.raw(1)?[0])
    }

    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.value(u64::from(other))),
        }
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut v = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            // One number has one form, and none is longer than 64 bits.
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err(self.value(byte.into()));
            }
            v |= bits << shift;
            if byte < 0x80 {
                return Ok(v);
            }
        }
        Err(self.value(v))
    }

    /// A varint of what has 32 bits.
    pub(crate) fn varint32(&mut self) -> Result<u32, DecodeError> {
        let v = self.varint()?;
        u32::try_from(v).map_err(|_| self.value(v))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, DecodeError> {
        let v = self.varint()?;
        Ok((v >> 1) as i64 ^ -((v & 1) as i64))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = self.u32()? as usize;
        self.raw(n)
    }

    pub(crate) fn text(&mut self) -> Result<String, DecodeError> {
        let what = self.what;
        let bytes = self.bytes()?;
        String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Value { what, value: bytes.len() as u64 })
    }

    /// The length of a list whose items have at least `least` bytes each.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, DecodeError> {
        let n = self.u32()? as usize;
        let needed = n.saturating_mul(least);
        if needed > self.left.len() {
            return Err(DecodeError::Short { what: self.what, needed, left: self.left.len() });
        }
        Ok(n)
    }

    pub(crate) fn key(&mut self) -> Result<Key, DecodeError> {
        let len = self.u8()?;
        let bytes = self.raw(usize::from(len))?;
        Key::from_slice(bytes).ok_or(self.value(u64::from(len)))
    }

    pub(crate) fn fields(&mut self) -> Result<Fields, DecodeError> {
        Ok(Fields {
            start: self.u32()?,
            period: self.u16()?,
            report: self.u8()?,
            risk: self.u8()?,
            onset: i8::from_le_bytes(self.array()?),
        })
    }

    pub(crate) fn value(&self, value: u64) -> DecodeError {
        DecodeError::Value { what: self.what, value }
    }

    pub(crate) fn end(self) -> Result<(), DecodeError> {
        match self.left.len() {
            0 => Ok(()),
            left => Err(DecodeError::Excess { what: self.what, left }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_form_of_the_fewest_bytes() {
        let numbers = [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::MAX >> 1, u64::MAX];
        for v in numbers.into_iter().chain((0..64).map(|bit| 1 << bit)) {
            let mut e = Encoder::new();
            e.varint(v).signed(v as i64);
            let bytes = e.finish();
            let mut d = Decoder::new("a number", &bytes);
            assert_eq!((d.varint(), d.signed()), (Ok(v), Ok(v as i64)));
            assert_eq!(d.end(), Ok(()));
        }
        let mut e = Encoder::new();
        e.varint(300).signed(-1).signed(144);
        assert_eq!(e.finish(), [0xac, 2, 1, 0xa0, 2]);
        for other in [&[0x80, 0][..], &[0x80; 12], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert!(Decoder::new("a number", other).varint().is_err(), "{other:?}");
        }
    }
}
