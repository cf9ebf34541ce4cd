//! Bit strings that fill each byte from its least significant bit (protocol-spec 3.8.4).
//!
//! Writer and reader move whole 64-bit words. The reader never looks beyond its slice: bits
//! past the end read as zero in its window and are refused when they are taken.

/// Bits that [`BitReader::window`] holds at least, unless the string ends before.
const WINDOW: u32 = 57;

/// Why a bit string is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitError {
    /// A number continues beyond the last byte.
    #[error("the bit string is too short")]
    Short,
    /// Whole bytes are left when all numbers have been read.
    #[error("{0} unused bits at the end of the bit string")]
    Unused(u64),
    /// A bit that fills the last byte is not zero.
    #[error("a filling bit is not zero")]
    Filling,
    /// A Rice code stands for a number of more than 64 bits.
    #[error("a Rice code of more than 64 bits")]
    Overflow,
}

/// Appends numbers to a bit string.
#[derive(Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    word: u64,
    fill: u32,
}

impl BitWriter {
    /// An empty string with room for `bytes` bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), word: 0, fill: 0 }
    }

    /// Appends the `bits` low bits of `value`, at most 64; its other bits must be zero.
    #[inline]
    pub fn put(&mut self, value: u64, bits: u32) {
        debug_assert!(bits <= 64 && (bits == 64 || value >> bits == 0), "{value} in {bits} bits");
        if bits == 0 {
            return;
        }
        self.word |= value << self.fill;
        let end = self.fill + bits;
        if end < 64 {
            self.fill = end;
            return;
        }
        self.bytes.extend_from_slice(&self.word.to_le_bytes());
        let written = 64 - self.fill;
        self.word = if written == 64 { 0 } else { value >> written };
        self.fill = end - 64;
    }

    /// Appends `count` zero bits.
    pub fn zeros(&mut self, mut count: u64) {
        while count > 64 {
            self.put(0, 64);
            count -= 64;
        }
        self.put(0, u32::try_from(count).expect("at most 64 are left"));
    }

    /// The string, its last byte filled with zeros.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let rest = self.fill.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.word.to_le_bytes()[..rest]);
        self.bytes
    }
}

/// Takes numbers from a bit string.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    at: u64,
    end: u64,
}

impl<'a> BitReader<'a> {
    /// A reader at the first bit of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, end: bytes.len() as u64 * 8 }
    }

    /// The bits from the present one on, the first of them lowest: at least [`WINDOW`], zeros
    /// beyond the end.
    #[inline]
    fn window(&self) -> u64 {
        let byte = (self.at / 8) as usize;
        let word = match self.bytes.get(byte..byte + 8) {
            Some(eight) => u64::from_le_bytes(eight.try_into().expect("the slice has eight bytes")),
            None => self.last_word(byte),
        };
        word >> (self.at % 8)
    }

    #[cold]
    fn last_word(&self, byte: usize) -> u64 {
        let rest = self.bytes.get(byte..).unwrap_or_default();
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        u64::from_le_bytes(word)
    }

    #[inline]
    fn advance(&mut self, bits: u64) -> Result<(), BitError> {
        if bits > self.end - self.at {
            return Err(BitError::Short);
        }
        self.at += bits;
        Ok(())
    }

    /// Takes a plain number of `bits` bits, at most 64.
    ///
    /// # Errors
    /// [`BitError::Short`].
    #[inline]
    pub fn take(&mut self, bits: u32) -> Result<u64, BitError> {
        debug_assert!(bits <= 64);
        if bits >= WINDOW {
            let low = self.take(32)?;
            return Ok(low | self.take(bits - 32)? << 32);
        }
        let value = self.window() & low_bits(bits);
        self.advance(u64::from(bits))?;
        Ok(value)
    }

    /// Takes a Rice code with parameter `k`, at most 63 (3.8.4).
    ///
    /// # Errors
    /// [`BitError::Short`], or [`BitError::Overflow`] if the number has more than 64 bits.
    #[inline]
    pub fn take_rice(&mut self, k: u32) -> Result<u64, BitError> {
        let window = self.window();
        let zeros = window.trailing_zeros();
        if zeros + 1 + k <= WINDOW {
            self.advance(u64::from(zeros + 1 + k))?;
            return Ok(u64::from(zeros) << k | window >> (zeros + 1) & low_bits(k));
        }
        self.take_long_rice(k)
    }

    fn take_long_rice(&mut self, k: u32) -> Result<u64, BitError> {
        let mut quotient = 0;
        loop {
            let zeros = self.window().trailing_zeros();
            if zeros < WINDOW {
                quotient += u64::from(zeros);
                self.advance(u64::from(zeros) + 1)?;
                break;
            }
            quotient += u64::from(WINDOW);
            self.advance(u64::from(WINDOW))?;
        }
        if quotient > u64::MAX >> k {
            return Err(BitError::Overflow);
        }
        Ok(quotient << k | self.take(k)?)
    }

    /// Passes over `bits` bits.
    ///
    /// # Errors
    /// [`BitError::Short`].
    pub fn skip(&mut self, bits: u64) -> Result<(), BitError> {
        self.advance(bits)
    }

    /// Ends reading: nothing but the zero bits that fill the last byte may be left.
    ///
    /// # Errors
    /// [`BitError::Unused`] or [`BitError::Filling`].
    pub fn finish(self) -> Result<(), BitError> {
        match self.end - self.at {
            unused @ 8.. => Err(BitError::Unused(unused)),
            _ if self.window() != 0 => Err(BitError::Filling),
            _ => Ok(()),
        }
    }
}

#[inline]
const fn low_bits(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_come_back() {
        let mut writer = BitWriter::default();
        let number = |bits: u32| 0xF0E1_D2C3_B4A5_9687_u64 >> (64 - bits);
        for bits in (1..=64).chain([64, 64, 1]) {
            writer.put(number(bits), bits);
        }
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        for bits in (1..=64).chain([64, 64, 1]) {
            assert_eq!(reader.take(bits), Ok(number(bits)), "{bits} bits");
        }
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn bytes_fill_from_their_least_significant_bit() {
        let mut writer = BitWriter::default();
        writer.put(1, 1);
        writer.put(0b10, 2);
        writer.zeros(6);
        writer.put(1, 1);
        assert_eq!(writer.finish(), [0b101, 0b10]);
    }

    #[test]
    fn reading_ends_where_the_string_ends() {
        assert_eq!(BitReader::new(&[0xFF]).take(9), Err(BitError::Short));
        assert_eq!(BitReader::new(&[0xFF; 8]).take(64), Ok(u64::MAX));
        assert_eq!(BitReader::new(&[0xFF; 7]).take(57), Err(BitError::Short));
        assert_eq!(BitReader::new(&[0; 40]).take_rice(3), Err(BitError::Short));
        assert_eq!(BitReader::new(&[]).take_rice(0), Err(BitError::Short));
        assert_eq!(BitReader::new(&[0]).skip(9), Err(BitError::Short));
    }

    #[test]
    fn whole_unused_bytes_and_set_filling_bits_are_refused() {
        assert_eq!(BitReader::new(&[0]).finish(), Err(BitError::Unused(8)));
        let mut reader = BitReader::new(&[0x80]);
        reader.skip(7).unwrap();
        assert_eq!(reader.finish(), Err(BitError::Filling));
    }
}
