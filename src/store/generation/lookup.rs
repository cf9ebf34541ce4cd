//! Finding keys and buckets in a generation: prefix index, then a short scan.
//!
//! An answerer takes a whole receive batch through three passes, each of which asks the
//! processor for the memory of the next: [`Generation::foresee_slot`],
//! [`Generation::foresee_entries`], then [`Generation::find_live`]. Nothing here allocates.
//! Keys are submitters' choice, so a slot can be made long on purpose: above [`SCAN_MAX`]
//! entries it is searched by halving, and a key with many withdrawn entries costs no more,
//! for a live entry is the last of its key.

use std::ops::Range;

use super::Generation;
use super::layout::OFFSET_LEN;
use super::order::{is_live, prefix, top_bits};
use crate::store::{LINE, prefetch};

/// Longest range of entries that is scanned from its start.
pub const SCAN_MAX: usize = 16;
/// Lines of entries that are asked for ahead at most: of a usual slot, all.
const LINES_MAX: usize = 4;
/// Bytes of the entries that most sets have: a length the compiler knows.
const SHORT_ENTRY: usize = 32;
/// Bytes of a key that are compared at once: all of a short one.
const LEAD: usize = size_of::<u128>();

/// The first bytes of a key or an entry; of one without so many, 0.
#[inline]
fn lead(bytes: &[u8]) -> u128 {
    bytes.first_chunk::<LEAD>().map_or(0, |lead| u128::from_le_bytes(*lead))
}

impl Generation {
    /// Slot of the prefix index that `key` falls into.
    #[inline]
    fn slot_of(&self, key: &[u8]) -> usize {
        top_bits(prefix(key), self.layout.index_bits)
    }

    /// Asks for the place of the index that says where `key` is.
    #[inline]
    pub fn foresee_slot(&self, key: &[u8]) {
        prefetch(&self.index_bytes()[self.slot_of(key) * OFFSET_LEN..]);
    }

    /// Asks for the entries among which `key` is.
    #[inline]
    pub fn foresee_entries(&self, key: &[u8]) {
        self.scanned(&self.range(key)).chunks(LINE).take(LINES_MAX).for_each(prefetch);
    }

    /// The entries of the slot that `key` falls into.
    #[inline]
    pub fn range(&self, key: &[u8]) -> Range<usize> {
        self.slot_range(self.slot_of(key))
    }

    /// Position of the live entry of `key`. There is one at most, and it is the last of its key.
    #[inline]
    pub fn find_live(&self, key: &[u8]) -> Option<usize> {
        let range = self.range(key);
        if range.len() > SCAN_MAX {
            let last = self.end_of(range.clone(), key).checked_sub(1).filter(|last| *last >= range.start)?;
            return (self.key(last) == key && is_live(self.entry(last))).then_some(last);
        }
        let wanted = lead(key);
        let is_it = |entry: &[u8]| {
            let same = lead(entry) == wanted && (key.len() == LEAD || self.shape.key(entry) == key);
            same && is_live(entry)
        };
        let (entries, len) = (self.scanned(&range), self.shape.entry_len());
        let found = match len {
            SHORT_ENTRY => entries.as_chunks::<SHORT_ENTRY>().0.iter().position(|entry| is_it(entry)),
            _ => entries.chunks_exact(len).position(is_it),
        };
        found.map(|at| range.start + at)
    }

    /// The bytes of a short range.
    #[inline]
    fn scanned(&self, range: &Range<usize>) -> &[u8] {
        let len = self.shape.entry_len();
        // An index that was changed under a map may name none.
        self.entry_bytes().get(range.start * len..range.end * len).unwrap_or_default()
    }

    /// Position in `range` behind the last entry of `key`.
    pub(super) fn end_of(&self, range: Range<usize>, key: &[u8]) -> usize {
        if range.len() > SCAN_MAX {
            // bounded: whatever keys a submitter chose, about log2(entries) steps.
            return self.first_where(range, |other| other > key);
        }
        range.clone().find(|position| self.key(*position) > key).unwrap_or(range.end)
    }

    /// All entries of `key`, withdrawn ones included, oldest first.
    pub fn find_all(&self, key: &[u8]) -> Range<usize> {
        let range = self.range(key);
        let start = self.first_where(range.clone(), |other| other >= key);
        start..self.first_where(start..range.end, |other| other > key)
    }

    /// The entries whose keys begin with the `bits` (at most 32) bits of `prefix`, a number
    /// below 2^bits; any other prefix has none.
    pub fn bucket(&self, prefix: u32, bits: u8) -> Range<usize> {
        let bits = bits.min(u32::BITS as u8);
        if u64::from(prefix) >> bits != 0 {
            return 0..0;
        }
        self.bucket_start(u64::from(prefix), bits)..self.bucket_start(u64::from(prefix) + 1, bits)
    }

    /// First entry whose top `bits` bits are at least `prefix` ≤ 2^bits.
    fn bucket_start(&self, prefix: u64, bits: u8) -> usize {
        let index_bits = self.layout.index_bits;
        if bits <= index_bits {
            return self.begin_of((prefix as usize) << (index_bits - bits));
        }
        let slot = (prefix >> (bits - index_bits)) as usize;
        if slot == 1 << index_bits {
            return self.len();
        }
        let below = self.slot_range(slot);
        self.first_where(below, |key| top_bits(super::order::prefix(key), bits) as u64 >= prefix)
    }

    /// Entry `position`.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn entry(&self, position: usize) -> &[u8] {
        let len = self.shape.entry_len();
        &self.entry_bytes()[position * len..(position + 1) * len]
    }

    /// The entries of `range`, back to back.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn entries(&self, range: Range<usize>) -> &[u8] {
        let len = self.shape.entry_len();
        &self.entry_bytes()[range.start * len..range.end * len]
    }

    /// Key of entry `position`.
    ///
    /// # Panics
    /// If there are not that many.
    pub fn key(&self, position: usize) -> &[u8] {
        self.shape.key(self.entry(position))
    }

    #[inline]
    fn slot_range(&self, slot: usize) -> Range<usize> {
        let (begin, end) = self.offsets(slot);
        // An index that was changed under a map leads nowhere else.
        begin.min(self.len())..end.min(self.len())
    }

    /// First entry of a slot. An index that was changed under a map leads nowhere else.
    fn begin_of(&self, slot: usize) -> usize {
        self.offset(slot).min(self.len())
    }

    /// First position in `range` (in key order) whose key satisfies `reached`; its end if none does.
    fn first_where(&self, range: Range<usize>, reached: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (range.start, range.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if reached(self.key(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}
