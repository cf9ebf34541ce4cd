//! The shape of an entry and the order of entries (clauses 5.6.4–5.6.6).
//!
//! The order is checked in one pass while a generation is written and again while one is
//! opened; the same pass yields the prefix index, so index and order cannot disagree.

use std::ops::Range;

/// Longest entry, in bytes.
pub const ENTRY_LEN_MAX: usize = 48;

/// `del_serial` of an entry that is live.
pub const LIVE: u32 = u32::MAX;

/// Bytes of the two serials at the end of every entry.
const SERIALS_LEN: usize = 8;

/// Bytes of a key that choose its slot in the prefix index.
const PREFIX_LEN: usize = 4;

/// Lengths of a key and of an entry, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    key_len: u8,
    entry_len: u8,
}

/// Lengths that no schema has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("keys of {key_len} bytes in entries of {entry_len}: keys have 16 or 32, entries 32, 36 or 48")]
pub struct ShapeError {
    /// Length of the key.
    pub key_len: u8,
    /// Length of the entry.
    pub entry_len: u8,
}

/// What an entry violates.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OrderError {
    /// The entry has another length than the generation's entries.
    #[error("{got} bytes, entries have {want}")]
    Length {
        /// Its length.
        got: usize,
        /// The length of entries.
        want: usize,
    },
    /// (key, add_serial) is not above that of the entry before.
    #[error("not above its predecessor in (key, add_serial)")]
    NotAscending,
    /// The entry before has the same key and is live: a live entry is the last of its key.
    #[error("follows a live entry of the same key")]
    AfterLive,
}

impl Shape {
    /// A shape of entries: keys of 16 or 32 bytes, entries of 32, 36 or 48 that hold the key and both
    /// serials.
    pub fn new(key_len: u8, entry_len: u8) -> Result<Self, ShapeError> {
        let known = matches!(key_len, 16 | 32) && matches!(entry_len, 32 | 36 | 48);
        if known && usize::from(entry_len) >= usize::from(key_len) + SERIALS_LEN {
            Ok(Self { key_len, entry_len })
        } else {
            Err(ShapeError { key_len, entry_len })
        }
    }

    /// Length of a key in bytes.
    pub fn key_len(self) -> usize {
        usize::from(self.key_len)
    }

    /// Length of an entry in bytes.
    pub fn entry_len(self) -> usize {
        usize::from(self.entry_len)
    }

    /// The key of `entry`, which has this shape.
    pub fn key(self, entry: &[u8]) -> &[u8] {
        &entry[..self.key_len()]
    }
}

/// Serial of the release that added the entry (u32 at length − 8).
pub fn add_serial(entry: &[u8]) -> u32 {
    serial_at(entry, SERIALS_LEN)
}

/// Serial of the release that withdrew the entry (u32 at length − 4), or [`LIVE`].
pub fn del_serial(entry: &[u8]) -> u32 {
    serial_at(entry, SERIALS_LEN / 2)
}

/// Whether no release has withdrawn the entry.
pub fn is_live(entry: &[u8]) -> bool {
    del_serial(entry) == LIVE
}

fn serial_at(entry: &[u8], from_end: usize) -> u32 {
    let bytes = entry.get(entry.len().wrapping_sub(from_end)..).and_then(<[u8]>::first_chunk);
    u32::from_le_bytes(*bytes.expect("an entry ends with its two serials"))
}

/// The first 32 bits of a key as a number; a missing byte counts as zero.
#[inline]
pub(super) fn prefix(key: &[u8]) -> u32 {
    if let Some(first) = key.first_chunk::<PREFIX_LEN>() {
        return u32::from_be_bytes(*first);
    }
    key.iter()
        .take(PREFIX_LEN)
        .zip([24, 16, 8, 0])
        .fold(0, |sum, (byte, shift)| sum | u32::from(*byte) << shift)
}

/// The top `bits` (at most 32) bits of a 32-bit prefix.
pub(super) fn top_bits(prefix: u32, bits: u8) -> usize {
    (u64::from(prefix) >> (u32::BITS - u32::from(bits))) as usize
}

/// One pass over entries in order.
pub(super) struct OrderCheck {
    shape: Shape,
    index_bits: u8,
    previous: [u8; ENTRY_LEN_MAX],
    count: u64,
    live: u64,
    next_slot: usize,
}

impl OrderCheck {
    pub(super) fn new(shape: Shape, index_bits: u8) -> Self {
        Self { shape, index_bits, previous: [0; ENTRY_LEN_MAX], count: 0, live: 0, next_slot: 0 }
    }

    /// Takes the next entry. Gives the slots of the prefix index whose first entry it is:
    /// those above the last one seen, up to its own.
    pub(super) fn step(&mut self, entry: &[u8]) -> Result<Range<usize>, OrderError> {
        if entry.len() != self.shape.entry_len() {
            return Err(OrderError::Length { got: entry.len(), want: self.shape.entry_len() });
        }
        let key = self.shape.key(entry);
        if self.count > 0 {
            self.follows(entry, key)?;
        }
        self.previous[..entry.len()].copy_from_slice(entry);
        self.count += 1;
        self.live += u64::from(is_live(entry));
        let slot = top_bits(prefix(key), self.index_bits);
        let first_of = self.next_slot..slot + 1;
        self.next_slot = slot + 1;
        Ok(first_of)
    }

    fn follows(&self, entry: &[u8], key: &[u8]) -> Result<(), OrderError> {
        let previous = &self.previous[..entry.len()];
        match self.shape.key(previous).cmp(key) {
            std::cmp::Ordering::Less => Ok(()),
            std::cmp::Ordering::Greater => Err(OrderError::NotAscending),
            std::cmp::Ordering::Equal if add_serial(previous) >= add_serial(entry) => {
                Err(OrderError::NotAscending)
            }
            std::cmp::Ordering::Equal if is_live(previous) => Err(OrderError::AfterLive),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }

    /// The slots that no entry opened: they begin behind the last entry, and the one past the end with them.
    pub(super) fn rest(&self) -> Range<usize> {
        self.next_slot..(1 << self.index_bits) + 1
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn live(&self) -> u64 {
        self.live
    }
}
