//! Rice codes: how many bits a number takes, writing it, and which parameter a section of a
//! delta uses (protocol-spec 3.8.4–3.8.6).
//!
//! Gaps between sorted random numbers are nearly geometric, for which a Rice code with the right
//! parameter is within a few hundredths of a bit of the entropy. The parameters are chosen by
//! counting bits exactly, so that every encoder chooses the same.

use super::bits::BitWriter;

/// Greatest parameter of the removal section (3.8.5).
pub const MAX_REMOVAL_K: u32 = 31;

/// Greatest parameter of the gap section (3.8.6).
pub const MAX_KEY_K: u32 = 63;

const REMOVAL_CHOICES: usize = MAX_REMOVAL_K as usize + 1;

/// A parameter, and the bits that the numbers it was chosen for take with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The parameter `k`.
    pub k: u32,
    /// Length of all codes in bits.
    pub bits: u64,
}

/// Appends the Rice code of `x` with parameter `k`, at most 63.
#[inline]
pub fn put(writer: &mut BitWriter, x: u64, k: u32) {
    let quotient = x >> k;
    let low = x & ((1 << k) - 1);
    if quotient < u64::from(64 - k) {
        let zeros = quotient as u32;
        writer.put(1 << zeros, zeros + 1);
    } else {
        writer.zeros(quotient);
        writer.put(1, 1);
    }
    writer.put(low, k);
}

/// The parameter of the removal section: the one of 0–31 with the fewest bits, the smallest of
/// equals (3.8.5).
#[must_use]
pub fn choose_removal_k(gaps: &[u32]) -> Choice {
    let mut quotients = [0_u64; REMOVAL_CHOICES];
    for &gap in gaps {
        for (k, sum) in quotients.iter_mut().enumerate() {
            *sum += u64::from(gap >> k);
        }
    }
    fewest((0..=MAX_REMOVAL_K).zip(quotients), gaps.len() as u64)
}

/// The parameter of the gap section: the one of 62 − L, 63 − L, 64 − L with the fewest bits, each
/// confined to 0–63, the smallest of equals, L the logarithm of the number of keys (3.8.6).
/// Without gaps it is 0.
#[must_use]
pub fn choose_key_k(gaps: impl ExactSizeIterator<Item = u64>) -> Choice {
    let count = gaps.len() as u64;
    let Some(log) = count.checked_ilog2() else { return Choice { k: 0, bits: 0 } };
    let choices = [62, 63, 64].map(|k: u32| k.saturating_sub(log).min(MAX_KEY_K));
    let mut quotients = [0_u64; 3];
    for gap in gaps {
        for (sum, k) in quotients.iter_mut().zip(choices) {
            *sum += gap >> k;
        }
    }
    fewest(choices.into_iter().zip(quotients), count)
}

fn fewest(sums: impl Iterator<Item = (u32, u64)>, count: u64) -> Choice {
    sums.map(|(k, quotients)| Choice { k, bits: quotients + count * (u64::from(k) + 1) })
        .min_by_key(|choice| choice.bits)
        .expect("there is at least one parameter to choose from")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::bits::{BitError, BitReader};

    #[test]
    fn codes_of_every_shape_come_back() {
        let cases: [(u64, u32); 13] = [
            (0, 0),
            (1, 0),
            (5, 0),
            (63, 0),
            (64, 0),
            (200, 0),
            (9, 3),
            (u64::MAX, 63),
            (u64::MAX, 57),
            (u64::MAX >> 1, 56),
            (1 << 40, 33),
            ((1 << 63) - 1, 63),
            (60 << 5 | 3, 5),
        ];
        let mut writer = BitWriter::default();
        for (x, k) in cases {
            put(&mut writer, x, k);
        }
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        for (x, k) in cases {
            assert_eq!(reader.take_rice(k), Ok(x), "{x} with {k}");
        }
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let mut bytes = [0; 9];
        bytes[0] = 0b100;
        assert_eq!(BitReader::new(&bytes).take_rice(63), Err(BitError::Overflow));
    }

    #[test]
    fn the_chosen_parameter_has_the_fewest_bits() {
        for gaps in [vec![0], vec![7, 0, 3], vec![100; 5], vec![u32::MAX], vec![0, 1 << 20]] {
            let length = |k: u32| gaps.iter().map(|&gap| u64::from(gap >> k) + 1 + u64::from(k)).sum::<u64>();
            let best = (0..=MAX_REMOVAL_K).min_by_key(|&k| (length(k), k)).unwrap();
            assert_eq!(choose_removal_k(&gaps), Choice { k: best, bits: length(best) }, "{gaps:?}");
        }
        assert_eq!(choose_key_k([].into_iter()), Choice { k: 0, bits: 0 });
        assert_eq!(choose_key_k([0].into_iter()), Choice { k: 62, bits: 63 });
        assert_eq!(choose_key_k([u64::MAX].into_iter()), Choice { k: 63, bits: 65 });
    }
}
