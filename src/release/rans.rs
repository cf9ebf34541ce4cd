//! rANS: the entropy code of the tuples of a delta (protocol-spec 3.8.9, 3.8.10).
//!
//! Symbols are positions in a table of tuples. Their frequencies are whole 65,536ths or, in large
//! tables, 262,144ths, worked out in integers alone, so that equal inputs give equal bytes on every
//! machine. The state has 64 bits and moves 32 at a time; what the code loses against the entropy is
//! the rounding of frequencies.

use std::collections::BinaryHeap;

/// What the frequencies of a table sum to (3.8.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Scale {
    /// 2^16.
    Narrow = 16,
    /// 2^18: thousands of rare symbols, each with a frequency of at least 1, leave room for the others.
    Wide = 18,
}

impl Scale {
    /// The logarithm of the sum.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self as u32
    }

    /// The sum.
    #[must_use]
    pub const fn sum(self) -> u32 {
        1 << self.bits()
    }
}

/// Most symbols a table may have (3.8.7): each has a frequency of at least 1.
pub const MAX_SYMBOLS: usize = Scale::Narrow.sum() as usize;

const STATE_LEN: usize = 8;
const WORD_LEN: usize = 4;

/// Least state between two symbols; the greatest is below `LEAST << 32`.
const LEAST: u64 = 1 << 31;

const _: () = assert!(MAX_SYMBOLS - 1 <= u16::MAX as usize);

/// Why an rANS section is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RansError {
    /// The first state is outside its range.
    #[error("the first state {0:#x} is outside 2^31 to 2^63")]
    State(u64),
    /// The section ends before the last entry.
    #[error("the coded tuples are too short")]
    Short,
    /// The last state is not the one the encoder began with, or bytes are left.
    #[error("the coded tuples do not end where they began: state {state:#x}, {left} bytes left")]
    End {
        /// Last state.
        state: u64,
        /// Bytes not used.
        left: usize,
    },
    /// The frequencies of a table do not sum to what they must.
    #[error("frequencies sum to {found}, not {expected}")]
    Sum {
        /// Their sum.
        found: u64,
        /// What they must sum to.
        expected: u32,
    },
    /// A table with too many symbols.
    #[error("{0} distinct tuples, more than {MAX_SYMBOLS}")]
    Symbols(usize),
}

/// The frequencies of symbols that occur `counts` times (3.8.10): at least 1 each, the scale in all.
///
/// Every count must be at least 1, and there are 1 to [`MAX_SYMBOLS`] of them.
#[must_use]
pub fn frequencies(counts: &[u32], scale: Scale) -> Vec<u32> {
    debug_assert!(!counts.is_empty() && counts.len() <= MAX_SYMBOLS && counts.iter().all(|&n| n > 0));
    let all: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let scaled = |count: u32| u64::from(count) << scale.bits();
    let mut frequencies: Vec<u32> = counts.iter().map(|&count| (scaled(count) / all).max(1) as u32).collect();
    let sum: u32 = frequencies.iter().sum();
    if let Some(missing) = scale.sum().checked_sub(sum) {
        let rest = |count: u32| if scaled(count) < all { 0 } else { scaled(count) % all };
        let mut order: Vec<usize> = (0..counts.len()).collect();
        order.sort_by_key(|&symbol| std::cmp::Reverse(rest(counts[symbol])));
        for &symbol in order.iter().cycle().take(missing as usize) {
            frequencies[symbol] += 1;
        }
    } else {
        take_from_greatest(&mut frequencies, sum - scale.sum());
    }
    frequencies
}

fn take_from_greatest(frequencies: &mut [u32], excess: u32) {
    let mut greatest: BinaryHeap<(u32, std::cmp::Reverse<usize>)> =
        frequencies.iter().enumerate().map(|(symbol, &f)| (f, std::cmp::Reverse(symbol))).collect();
    for _ in 0..excess {
        let mut top = greatest.peek_mut().expect("a sum above the scale has symbols");
        top.0 -= 1;
        frequencies[top.1.0] -= 1;
    }
}

/// The code of `symbols` under a table of frequencies that sum to the scale.
#[must_use]
pub fn encode(symbols: &[u16], frequencies: &[u32], scale: Scale) -> Vec<u8> {
    let bits = scale.bits();
    let spans: Vec<(u64, u64)> = spans(frequencies).map(|(f, c)| (u64::from(f), u64::from(c))).collect();
    let mut words: Vec<u32> = Vec::with_capacity(symbols.len() / 4 + 1);
    let mut state = LEAST;
    for &symbol in symbols.iter().rev() {
        let (frequency, below) = spans[usize::from(symbol)];
        if state >= frequency << (63 - bits) {
            words.push(state as u32);
            state >>= 32;
        }
        state = ((state / frequency) << bits) + state % frequency + below;
    }
    let mut code = Vec::with_capacity(STATE_LEN + words.len() * WORD_LEN);
    code.extend_from_slice(&state.to_le_bytes());
    code.extend(words.iter().rev().flat_map(|word| word.to_le_bytes()));
    code
}

/// Each frequency with the sum of those before it.
fn spans(frequencies: &[u32]) -> impl Iterator<Item = (u32, u32)> {
    frequencies.iter().scan(0, |below, &frequency| {
        let span = (frequency, *below);
        *below += frequency;
        Some(span)
    })
}

/// The frequencies of a table, ready for decoding.
#[derive(Debug)]
pub struct Model {
    scale: Scale,
    spans: Vec<Span>,
    slots: Vec<u16>,
}

/// Frequency of a symbol, and the sum of those before it.
#[derive(Clone, Copy, Debug)]
struct Span {
    frequency: u32,
    below: u32,
}

impl Model {
    /// The model of a table of frequencies, each at least 1.
    ///
    /// # Errors
    /// If there are more than [`MAX_SYMBOLS`] or they do not sum to the scale.
    pub fn new(frequencies: &[u32], scale: Scale) -> Result<Self, RansError> {
        if frequencies.len() > MAX_SYMBOLS {
            return Err(RansError::Symbols(frequencies.len()));
        }
        let found: u64 = frequencies.iter().map(|&frequency| u64::from(frequency)).sum();
        if found != u64::from(scale.sum()) || frequencies.contains(&0) {
            return Err(RansError::Sum { found, expected: scale.sum() });
        }
        let mut slots = Vec::with_capacity(scale.sum() as usize);
        let mut model = Vec::with_capacity(frequencies.len());
        for (symbol, (frequency, below)) in spans(frequencies).enumerate() {
            slots.resize(slots.len() + frequency as usize, symbol as u16);
            model.push(Span { frequency, below });
        }
        Ok(Self { scale, spans: model, slots })
    }
}

/// Takes symbols from an rANS section.
#[derive(Debug)]
pub struct RansReader<'a> {
    model: Model,
    state: u64,
    rest: &'a [u8],
}

impl<'a> RansReader<'a> {
    /// A reader at the first symbol of `code`.
    ///
    /// # Errors
    /// If the state is cut short or out of range.
    pub fn new(model: Model, code: &'a [u8]) -> Result<Self, RansError> {
        let (state, rest) = code.split_first_chunk().ok_or(RansError::Short)?;
        let state = u64::from_le_bytes(*state);
        if !(LEAST..LEAST << 32).contains(&state) {
            return Err(RansError::State(state));
        }
        Ok(Self { model, state, rest })
    }

    /// Takes the next symbol.
    ///
    /// # Errors
    /// If the section has no more.
    #[inline]
    pub fn take(&mut self) -> Result<u16, RansError> {
        let scale = self.model.scale;
        let slot = self.state as u32 & (scale.sum() - 1);
        let symbol = self.model.slots[slot as usize];
        let Span { frequency, below } = self.model.spans[usize::from(symbol)];
        self.state = u64::from(frequency) * (self.state >> scale.bits()) + u64::from(slot - below);
        if self.state < LEAST {
            let (word, rest) = self.rest.split_first_chunk().ok_or(RansError::Short)?;
            self.state = self.state << 32 | u64::from(u32::from_le_bytes(*word));
            self.rest = rest;
        }
        Ok(symbol)
    }

    /// Ends reading: the state must be the encoder's first and every byte used.
    ///
    /// # Errors
    /// [`RansError::End`].
    pub fn finish(self) -> Result<(), RansError> {
        if self.state == LEAST && self.rest.is_empty() {
            return Ok(());
        }
        Err(RansError::End { state: self.state, left: self.rest.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: u32 = Scale::Narrow.sum();

    fn frequencies(counts: &[u32]) -> Vec<u32> {
        super::frequencies(counts, Scale::Narrow)
    }

    fn encode(symbols: &[u16], frequencies: &[u32]) -> Vec<u8> {
        super::encode(symbols, frequencies, Scale::Narrow)
    }

    fn decode(code: &[u8], frequencies: &[u32], count: usize) -> Result<Vec<u16>, RansError> {
        decode_at(Scale::Narrow, code, frequencies, count)
    }

    fn decode_at(
        scale: Scale,
        code: &[u8],
        frequencies: &[u32],
        count: usize,
    ) -> Result<Vec<u16>, RansError> {
        let mut reader = RansReader::new(Model::new(frequencies, scale)?, code)?;
        let symbols = (0..count).map(|_| reader.take()).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(symbols)
    }

    #[test]
    fn frequencies_sum_to_the_scale_whatever_the_counts() {
        let skewed: Vec<u32> =
            (0..MAX_SYMBOLS as u32).map(|s| if s == 9 { 1_000_000_000 } else { 1 }).collect();
        for counts in [vec![1], vec![1, 1, 1], vec![u32::MAX, 1], vec![3; 5000], vec![1; MAX_SYMBOLS], skewed]
        {
            for scale in [Scale::Narrow, Scale::Wide] {
                let frequencies = super::frequencies(&counts, scale);
                assert_eq!(frequencies.iter().sum::<u32>(), scale.sum());
                assert!(frequencies.iter().all(|&frequency| frequency >= 1));
            }
        }
    }

    #[test]
    fn what_is_missing_goes_to_the_greatest_remainders() {
        // 65536 = 3 · 21845 + 1: equal remainders, the first in the table gets the one.
        assert_eq!(frequencies(&[1, 1, 1]), [21_846, 21_845, 21_845]);
        // 65536 · 2/7 = 18724 + 4/7, 65536 · 5/7 = 46811 + 3/7.
        assert_eq!(frequencies(&[2, 5]), [18_725, 46_811]);
        // The one raised to 1 takes from the greatest.
        assert_eq!(frequencies(&[1, 100_000_000]), [1, 65_535]);
    }

    #[test]
    fn symbols_come_back_in_their_order() {
        let counts = [1_u32, 500, 20, 3, 4000];
        let symbols: Vec<u16> =
            (0..4524_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u16 % 5).collect();
        for scale in [Scale::Narrow, Scale::Wide] {
            let table = super::frequencies(&counts, scale);
            let code = super::encode(&symbols, &table, scale);
            assert_eq!(decode_at(scale, &code, &table, symbols.len()).as_ref(), Ok(&symbols));
        }
    }

    #[test]
    fn one_symbol_alone_takes_no_bytes_but_the_state() {
        let code = encode(&[0; 1000], &[SCALE]);
        assert_eq!(code, LEAST.to_le_bytes());
        assert_eq!(decode(&code, &[SCALE], 1000), Ok(vec![0; 1000]));
    }

    #[test]
    fn broken_codes_and_tables_are_refused() {
        let table = [60_000, 5_536];
        let code = encode(&[0, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], &table);
        assert_eq!(decode(&code[..7], &table, 14), Err(RansError::Short));
        assert_eq!(decode(&code[..code.len() - 4], &table, 14), Err(RansError::Short));
        assert!(matches!(decode(&code, &table, 13), Err(RansError::End { .. })));
        assert_eq!(decode(&[0; 8], &table, 1), Err(RansError::State(0)));
        assert_eq!(decode(&[0xFF; 8], &table, 1), Err(RansError::State(u64::MAX)));
        let refused = |frequencies: &[u32], scale| Model::new(frequencies, scale).err();
        let sum = |found, scale: Scale| Some(RansError::Sum { found, expected: scale.sum() });
        assert_eq!(refused(&[60_000, 5_537], Scale::Narrow), sum(65_537, Scale::Narrow));
        assert_eq!(refused(&[0, SCALE], Scale::Narrow), sum(65_536, Scale::Narrow));
        assert_eq!(refused(&table, Scale::Wide), sum(65_536, Scale::Wide));
        assert_eq!(refused(&[1; MAX_SYMBOLS + 1], Scale::Wide), Some(RansError::Symbols(65_537)));
    }
}
