//! What an answer out of a mapped generation rests on (5.6.14): asked once it is written, before it leaves.
//!
//! Of a copy all of it is as it was verified. Of a map the entries that the answer was read from, and those
//! beside them, have to be; that they stand in order around what was asked for shows that the search was not
//! misled, whatever the index held. Nothing here allocates.

use std::ops::Range;

use super::Generation;
use super::order::{is_live, prefix, top_bits};
use crate::store::MemoryMode;

impl Generation {
    /// Whether it is so that the live entry of `key` is `found`, as [`Generation::find_live`] said.
    #[inline]
    pub fn vouches_for(&self, key: &[u8], found: Option<usize>) -> bool {
        self.mode() == MemoryMode::Copy || self.is_found(key, found)
    }

    pub(super) fn is_found(&self, key: &[u8], found: Option<usize>) -> bool {
        let end = self.end_of(self.range(key), key);
        let below = end.checked_sub(1).filter(|below| self.key(*below) == key && is_live(self.entry(*below)));
        self.is_between(end..end, |before| before <= key, |after| after > key) && below == found
    }

    /// Whether the entries of [`Generation::bucket`] are all that there are.
    pub fn vouches_for_bucket(&self, bucket: u32, bits: u8) -> bool {
        if self.mode() == MemoryMode::Copy {
            return true;
        }
        let bits = bits.min(u32::BITS as u8);
        let range = self.bucket(bucket, bits);
        let of = |key: &[u8]| top_bits(prefix(key), bits) as u64;
        range.start <= range.end
            && self.is_between(range.clone(), |key| of(key) < bucket.into(), |key| of(key) > bucket.into())
            && self.vouches(self.entries(range))
    }

    /// Whether the entry before `range` and the one behind it are as they were verified, and where they
    /// have to be.
    fn is_between(
        &self,
        range: Range<usize>,
        before: impl Fn(&[u8]) -> bool,
        after: impl Fn(&[u8]) -> bool,
    ) -> bool {
        let holds = |position: usize, side: &dyn Fn(&[u8]) -> bool| {
            side(self.key(position)) && self.vouches(self.entry(position))
        };
        range.start.checked_sub(1).is_none_or(|position| holds(position, &before))
            && (range.end == self.len() || holds(range.end, &after))
    }
}
