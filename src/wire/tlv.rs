//! What may follow a body: type, length, value (spec 1.2).
//!
//! [`Tlvs::parse`] checks the whole run once; after that reading it cannot fail. What a
//! type means is not known here beyond PAD and ERROR_TEXT, the types of version 1.

use thiserror::Error;

/// Makes a question long enough for its answer, or an answer as long as others (spec 1.2.4).
pub const PAD: u16 = 1;

/// UTF-8 that explains a refusal on a stream (spec 1.2.4).
pub const ERROR_TEXT: u16 = 2;

/// Longest ERROR_TEXT in bytes (spec 1.2.4).
pub const MAX_ERROR_TEXT: usize = 200;

/// Most TLVs of a frame (spec 1.2.2).
pub const MAX_TLVS: usize = 16;

/// Bit 15 of a type (spec 1.2.1).
pub const CRITICAL_BIT: u16 = 0x8000;

/// Bytes of type and length before a value.
pub const HEAD: usize = 4;

/// Whether a type, without its critical bit, is one of version 1 (spec 1.2.4).
fn is_known(kind: u16) -> bool {
    kind == PAD || kind == ERROR_TEXT
}

/// One TLV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The type without bit 15.
    pub kind: u16,
    /// Bit 15: who does not know it must not go on (spec 1.2.3).
    pub critical: bool,
    /// The value, without the bytes that fill it up.
    pub value: &'a [u8],
}

/// What is wrong with a run of TLVs: the frame is MALFORMED (spec 1.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TlvError {
    /// The frame ends inside a TLV.
    #[error("a TLV needs {need} bytes and the frame has {left} left")]
    Cut {
        /// Bytes of the TLV, filled up to a multiple of 4.
        need: usize,
        /// Bytes that are there.
        left: usize,
    },
    /// A byte after the value is not zero.
    #[error("the bytes that fill up TLV {kind:#06x} are not zero")]
    Filling {
        /// Its type without bit 15.
        kind: u16,
    },
    /// Not in strictly ascending order of type.
    #[error("TLV {kind:#06x} follows {previous:#06x}")]
    Order {
        /// Type of the TLV before, without bit 15.
        previous: u16,
        /// Type of this one, without bit 15.
        kind: u16,
    },
    /// More than 16.
    #[error("more than {MAX_TLVS} TLVs")]
    TooMany,
}

/// A run of TLVs that was checked whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlvs<'a> {
    bytes: &'a [u8],
}

impl<'a> Tlvs<'a> {
    /// Checks that `bytes`, from the body's end to the frame's end, are TLVs and nothing else.
    ///
    /// # Errors
    /// The first rule of 1.2.2 that is broken.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TlvError> {
        let (mut rest, mut previous, mut count) = (bytes, None, 0);
        while !rest.is_empty() {
            let (tlv, after) = split(rest)?;
            if let Some(previous) = previous.filter(|&previous| previous >= tlv.kind) {
                return Err(TlvError::Order { previous, kind: tlv.kind });
            }
            count += 1;
            if count > MAX_TLVS {
                return Err(TlvError::TooMany);
            }
            (rest, previous) = (after, Some(tlv.kind));
        }
        Ok(Tlvs { bytes })
    }

    /// The TLVs in order.
    pub fn iter(&self) -> TlvIter<'a> {
        TlvIter { rest: self.bytes }
    }

    /// The value of a type, by its number without bit 15.
    pub fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.iter().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value)
    }

    /// The type, bit 15 included, of the first critical TLV that version 1 does not know (spec 1.2.3).
    pub fn unknown_critical(&self) -> Option<u16> {
        let unknown = self.iter().find(|tlv| tlv.critical && !is_known(tlv.kind));
        unknown.map(|tlv| tlv.kind | CRITICAL_BIT)
    }
}

impl<'a> IntoIterator for &Tlvs<'a> {
    type Item = Tlv<'a>;
    type IntoIter = TlvIter<'a>;

    fn into_iter(self) -> TlvIter<'a> {
        self.iter()
    }
}

/// The TLVs of a checked run, in order.
#[derive(Debug, Clone)]
pub struct TlvIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for TlvIter<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let (tlv, rest) = split(self.rest).ok()?;
        self.rest = rest;
        Some(tlv)
    }
}

/// The first TLV and what follows it.
fn split(bytes: &[u8]) -> Result<(Tlv<'_>, &[u8]), TlvError> {
    let left = bytes.len();
    let Some((&[t0, t1, l0, l1], after)) = bytes.split_first_chunk::<HEAD>() else {
        return Err(TlvError::Cut { need: HEAD, left });
    };
    let (raw, len) = (u16::from_le_bytes([t0, t1]), usize::from(u16::from_le_bytes([l0, l1])));
    let kind = raw & !CRITICAL_BIT;
    let filled = len.next_multiple_of(4);
    let Some((value, rest)) = after.split_at_checked(filled) else {
        return Err(TlvError::Cut { need: HEAD + filled, left });
    };
    let (value, filling) = value.split_at(len);
    if filling.iter().any(|&byte| byte != 0) {
        return Err(TlvError::Filling { kind });
    }
    Ok((Tlv { kind, critical: raw & CRITICAL_BIT != 0, value }, rest))
}

/// Writes one TLV at `at` and returns where the next begins, or `None` if `out` ends before.
///
/// `at` is a multiple of 4; the caller keeps the order of types.
pub fn put(out: &mut [u8], at: usize, kind: u16, value: &[u8]) -> Option<usize> {
    let len = u16::try_from(value.len()).ok()?;
    let end = at.checked_add(HEAD + value.len().next_multiple_of(4))?;
    let room = out.get_mut(at..end)?;
    let (head, room) = room.split_at_mut(HEAD);
    head[..2].copy_from_slice(&kind.to_le_bytes());
    head[2..].copy_from_slice(&len.to_le_bytes());
    let (into, filling) = room.split_at_mut(value.len());
    into.copy_from_slice(value);
    filling.fill(0);
    Some(end)
}

/// Fills `out[at..to]` with one PAD of zeros and returns `to`; nothing is written if `at` is `to`.
///
/// Returns `None` if one PAD cannot do it: `at` or `to` is no multiple of 4, `to` lies
/// before `at` or beyond `out`, or the PAD would be longer than a TLV can be.
pub fn pad(out: &mut [u8], at: usize, to: usize) -> Option<usize> {
    if at == to {
        return Some(to);
    }
    let whole = at.is_multiple_of(4) && to.is_multiple_of(4);
    let value = to.checked_sub(at)?.checked_sub(HEAD).filter(|_| whole)?;
    let len = u16::try_from(value).ok()?;
    let room = out.get_mut(at..to)?;
    room.fill(0);
    room[..2].copy_from_slice(&PAD.to_le_bytes());
    room[2..HEAD].copy_from_slice(&len.to_le_bytes());
    Some(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tlvs_are_read_in_order_with_their_critical_bit() {
        // spec 1.2.1
        let bytes = [1, 0, 3, 0, 9, 9, 9, 0, 2, 0x80, 0, 0];
        let tlvs = Tlvs::parse(&bytes).unwrap();
        let pad = Tlv { kind: PAD, critical: false, value: &[9, 9, 9] };
        let text = Tlv { kind: ERROR_TEXT, critical: true, value: &[] };
        assert!(tlvs.iter().eq([pad, text]));
        assert_eq!(tlvs.get(ERROR_TEXT), Some(&[][..]));
        assert_eq!(tlvs.unknown_critical(), None);
    }

    #[test]
    fn the_order_is_of_types_without_the_critical_bit() {
        // spec 1.2.2
        assert_eq!(Tlvs::parse(&[5, 0x80, 0, 0, 5, 0, 0, 0]), Err(TlvError::Order { previous: 5, kind: 5 }));
        assert_eq!(Tlvs::parse(&[6, 0, 0, 0, 5, 0x80, 0, 0]), Err(TlvError::Order { previous: 6, kind: 5 }));
        assert!(Tlvs::parse(&[5, 0x80, 0, 0, 6, 0, 0, 0]).is_ok());
    }

    #[test]
    fn a_run_ends_with_the_frame_and_fills_with_zeros() {
        // spec 1.2.1, 1.2.2
        assert_eq!(Tlvs::parse(&[1, 0, 0]), Err(TlvError::Cut { need: 4, left: 3 }));
        assert_eq!(Tlvs::parse(&[1, 0, 1, 0, 7]), Err(TlvError::Cut { need: 8, left: 5 }));
        assert_eq!(Tlvs::parse(&[1, 0, 1, 0, 7, 0, 0, 1]), Err(TlvError::Filling { kind: 1 }));
    }

    #[test]
    fn sixteen_are_read_and_seventeen_are_not() {
        // spec 1.2.2
        let mut bytes = [0; 17 * 4];
        for (kind, tlv) in bytes.chunks_exact_mut(4).enumerate() {
            tlv[0] = kind as u8;
        }
        assert_eq!(Tlvs::parse(&bytes[..64]).unwrap().iter().count(), 16);
        assert_eq!(Tlvs::parse(&bytes), Err(TlvError::TooMany));
    }

    #[test]
    fn the_first_unknown_critical_type_is_named_with_its_bit() {
        // spec 1.2.3
        let tlvs = Tlvs::parse(&[0x33, 0, 0, 0, 0x44, 0x80, 0, 0, 0x55, 0x80, 0, 0]).unwrap();
        assert_eq!(tlvs.unknown_critical(), Some(0x8044));
    }

    #[test]
    fn what_is_put_is_what_is_read() {
        let mut out = [0xee; 32];
        let at = put(&mut out, 0, ERROR_TEXT, b"no set").unwrap();
        assert_eq!(at, 12);
        let end = put(&mut out, at, 0x0a0a, b"").unwrap();
        let tlvs = Tlvs::parse(&out[..end]).unwrap();
        assert_eq!(tlvs.get(ERROR_TEXT), Some(&b"no set"[..]));
        assert_eq!(put(&mut out, 28, PAD, b"1"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(tlvs) = Tlvs::parse(&bytes) {
                let read: usize = tlvs.iter().map(|tlv| HEAD + tlv.value.len().next_multiple_of(4)).sum();
                prop_assert_eq!(read, bytes.len());
            }
        }

        #[test]
        fn a_pad_reaches_every_multiple_of_four(at in 0usize..64, to in 0usize..512) {
            let mut out = [0xee; 512];
            match pad(&mut out, at, to) {
                Some(end) => {
                    prop_assert_eq!(end, to);
                    let tlvs = Tlvs::parse(&out[at..to]).unwrap();
                    prop_assert!(at == to || tlvs.get(PAD).is_some_and(|value| value.len() == to - at - 4));
                    prop_assert!(out[..at].iter().chain(&out[to..]).all(|&byte| byte == 0xee));
                }
                None => prop_assert!(to < at || at % 4 != 0 || to % 4 != 0),
            }
        }
    }
}
