//! The slot of LOOKUP: a key goes out, the same slot comes back answered in place (spec 2.3).
//!
//! A slot is a key and 16 bytes more, so 32 bytes with keys of 16 and 48 with keys of
//! 32. A server copies the question's slots and answers each; a client reads them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::header::{HEADER_LEN, MAX_DATAGRAM};
use super::key::{KEY_LEN, LONG_KEY_LEN};

/// Bytes of a slot beside its key.
pub const SLOT_TAIL: usize = 16;

/// Bytes of a slot with a key of 16 bytes.
pub const SLOT_LEN: usize = KEY_LEN + SLOT_TAIL;

/// Bytes of a slot with a key of 32 bytes.
pub const LONG_SLOT_LEN: usize = LONG_KEY_LEN + SLOT_TAIL;

/// Most slots of a question (spec 2.3.1).
pub const MAX_SLOTS: usize = 32;

/// Most slots of a question with LONG_KEYS (spec 2.3.1).
pub const MAX_LONG_SLOTS: usize = 24;

/// Room for the public fields of an entry (spec 2.3.2).
pub const SLOT_FIELDS: usize = 12;

const _: () = assert!(HEADER_LEN + MAX_SLOTS * SLOT_LEN <= MAX_DATAGRAM);
const _: () = assert!(HEADER_LEN + MAX_LONG_SLOTS * LONG_SLOT_LEN <= MAX_DATAGRAM);
const _: () = assert!(size_of::<Tail>() == SLOT_TAIL);

/// State of a key that is live in this version; 0 where it is not (spec 2.3.2).
const LIVE: u8 = 1;

/// What follows the key in an answered slot.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Tail {
    fields: [u8; SLOT_FIELDS],
    state: u8,
    reserved: [u8; 3],
}

/// Bytes of a slot with or without LONG_KEYS.
pub const fn slot_len(long: bool) -> usize {
    if long { LONG_SLOT_LEN } else { SLOT_LEN }
}

/// Most slots of a question with or without LONG_KEYS.
pub const fn max_slots(long: bool) -> usize {
    if long { MAX_LONG_SLOTS } else { MAX_SLOTS }
}

/// Writes an answered slot: `fields` of the live entry (3.1, at most 12 bytes), or `None` where the key is
/// not live.
///
/// # Panics
/// If `slot` is not 16 bytes longer than `key`, or `fields` are more than 12 bytes: both are fixed by
/// the set's schema, not by what was received.
#[inline]
pub fn write_slot(slot: &mut [u8], key: &[u8], fields: Option<&[u8]>) {
    let (into, tail) = slot.split_at_mut(key.len());
    copy(into, key);
    let mut answered = Tail { fields: [0; SLOT_FIELDS], state: 0, reserved: [0; 3] };
    if let Some(fields) = fields {
        copy(&mut answered.fields[..fields.len()], fields);
        answered.state = LIVE;
    }
    copy(tail, answered.as_bytes());
}

/// Copies a key, the fields of a schema or a tail: of a length that the compiler knows, so a move, no call.
#[inline]
fn copy(into: &mut [u8], from: &[u8]) {
    match from.len() {
        8 => into[..8].copy_from_slice(&from[..8]),
        12 => into[..12].copy_from_slice(&from[..12]),
        16 => into[..16].copy_from_slice(&from[..16]),
        _ => into.copy_from_slice(from),
    }
}

/// An answered slot. A hint: it proves nothing (spec 2.3.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LookupSlot<'a> {
    /// The key that was asked for.
    pub key: &'a [u8],
    /// The entry's public fields, zero-padded; `None` if the key is not live.
    pub fields: Option<&'a [u8; SLOT_FIELDS]>,
}

impl<'a> LookupSlot<'a> {
    /// Reads a slot of 32 or 48 bytes, or `None` if it has another length, a state above 1, or
    /// fields without a live key (spec 2.3.2).
    pub fn read(slot: &'a [u8]) -> Option<Self> {
        if slot.len() != SLOT_LEN && slot.len() != LONG_SLOT_LEN {
            return None;
        }
        let (key, tail) = slot.split_at(slot.len() - SLOT_TAIL);
        let tail = Tail::ref_from_bytes(tail).ok()?;
        match tail.state {
            LIVE => Some(LookupSlot { key, fields: Some(&tail.fields) }),
            0 if tail.fields == [0; SLOT_FIELDS] => Some(LookupSlot { key, fields: None }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_key_comes_back_with_its_fields_and_state_one() {
        // spec 2.3.2
        let mut slot = [0xee; SLOT_LEN];
        write_slot(&mut slot, &[7; 16], Some(&[1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(slot[..16], [7; 16]);
        assert_eq!(slot[16..], [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 1, 0, 0, 0]);
        let read = LookupSlot::read(&slot).unwrap();
        assert_eq!(read.fields, Some(&[1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0]));
    }

    #[test]
    fn a_key_that_is_not_live_comes_back_with_zeros() {
        // spec 2.3.2
        let mut slot = [0xee; LONG_SLOT_LEN];
        write_slot(&mut slot, &[7; 32], None);
        assert_eq!(slot[32..], [0; 16]);
        let read = LookupSlot::read(&slot).unwrap();
        assert_eq!((read.key, read.fields), (&[7; 32][..], None));
    }

    #[test]
    fn another_state_or_fields_without_a_key_are_no_slot() {
        // spec 2.3.2
        let mut slot = [0; SLOT_LEN];
        slot[28] = 2;
        assert!(LookupSlot::read(&slot).is_none());
        slot[28] = 0;
        slot[20] = 1;
        assert!(LookupSlot::read(&slot).is_none());
        assert!(LookupSlot::read(&slot[1..]).is_none());
    }
}
