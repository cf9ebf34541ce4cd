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
/// Lines of entries that are asked for ahead at most: of a usual slot or bucket, all.
const LINES_MAX: usize = 8;
/// Bytes of the entries that most sets have: a length the compiler knows.
const SHORT_ENTRY: usize = 32;
/// Bytes of the keys in them.
const SHORT_KEY: usize = 16;

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
        let (begin, end) = self.offsets(self.slot_of(key));
        self.foresee_range(begin..end);
    }

    /// Asks for the entries of a short range; an index that was changed under a map may name none.
    #[inline]
    fn foresee_range(&self, range: Range<usize>) {
        if let Some(entries) = self.short_entries() {
            // Two of them fill a line.
            if let Some([first, rest @ ..]) = entries.get(range) {
                prefetch(first);
                rest.iter().skip(1).step_by(2).take(LINES_MAX).for_each(|entry| prefetch(entry));
                rest.last().into_iter().for_each(|last| prefetch(last));
            }
            return;
        }
        let len = self.shape.entry_len();
        let entries = self.entry_bytes().get(range.start * len..range.end * len).unwrap_or_default();
        entries.chunks(LINE).take(LINES_MAX).for_each(prefetch);
        entries.last_chunk::<1>().into_iter().for_each(|last| prefetch(last));
    }

    /// The entries that `key` falls among: those of its slot.
    #[inline]
    pub fn range(&self, key: &[u8]) -> Range<usize> {
        self.slot_range(self.slot_of(key))
    }

    /// Position of the live entry of `key`. There is one at most, and it is the last of its key.
    #[inline]
    pub fn find_live(&self, key: &[u8]) -> Option<usize> {
        let (begin, end) = self.offsets(self.slot_of(key));
        let (Some(entries), Some(wanted)) = (self.short_entries(), key.first_chunk::<SHORT_KEY>()) else {
            return self.find_last(begin..end, key);
        };
        // An index that was changed under a map leads nowhere else.
        let entries = entries.get(begin..end)?;
        if entries.len() > SCAN_MAX {
            return self.find_last(begin..end, key);
        }
        let is_it = |entry: &[u8; SHORT_ENTRY]| entry.first_chunk() == Some(wanted) && is_live(entry);
        Some(begin + entries.iter().position(is_it)?)
    }

    /// The same in a range that may be long, or among entries of another shape.
    fn find_last(&self, range: Range<usize>, key: &[u8]) -> Option<usize> {
        let range = range.start.min(self.len())..range.end.min(self.len());
        let last = self.end_of(range.clone(), key).checked_sub(1).filter(|last| *last >= range.start)?;
        (self.key(last) == key && is_live(self.entry(last))).then_some(last)
    }

    /// All entries, if they are short.
    #[inline]
    fn short_entries(&self) -> Option<&[[u8; SHORT_ENTRY]]> {
        (self.shape.entry_len() == SHORT_ENTRY).then(|| self.entry_bytes().as_chunks().0)
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

    /// The bytes of the entries of [`Generation::bucket`], one after the other.
    pub fn bucket_entries(&self, prefix: u32, bits: u8) -> std::slice::ChunksExact<'_, u8> {
        let range = self.bucket(prefix, bits);
        // An index that was changed under a map may name an end before its begin.
        self.entries(range.start..range.end.max(range.start)).chunks_exact(self.shape.entry_len())
    }

    /// Asks for the places of the index that [`Generation::bucket`] reads.
    pub fn foresee_bucket_slots(&self, prefix: u32, bits: u8) {
        if bits <= self.layout.index_bits && u64::from(prefix) >> bits == 0 {
            for end in [u64::from(prefix), u64::from(prefix) + 1] {
                prefetch(&self.index_bytes()[self.slot_at(end, bits) * OFFSET_LEN..]);
            }
        }
    }

    /// Asks for the entries of [`Generation::bucket`].
    pub fn foresee_bucket_entries(&self, prefix: u32, bits: u8) {
        if bits <= self.layout.index_bits {
            self.foresee_range(self.bucket(prefix, bits));
        }
    }

    /// The slot where keys whose top `bits` bits are `prefix` ≤ 2^bits begin; behind all slots for 2^bits.
    fn slot_at(&self, prefix: u64, bits: u8) -> usize {
        let index_bits = self.layout.index_bits;
        let slot =
            if bits <= index_bits { prefix << (index_bits - bits) } else { prefix >> (bits - index_bits) };
        slot as usize
    }

    /// First entry whose top `bits` bits are at least `prefix` ≤ 2^bits.
    fn bucket_start(&self, prefix: u64, bits: u8) -> usize {
        let (slot, index_bits) = (self.slot_at(prefix, bits), self.layout.index_bits);
        if bits <= index_bits {
            return self.begin_of(slot);
        }
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
