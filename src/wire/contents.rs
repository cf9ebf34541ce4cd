//! The bodies of answers as a client reads them, one type per operation (spec 2).
//!
//! What the frame alone can show is checked when it is read; what depends on the
//! question is checked by the `read` of each body, which takes what was asked. Nothing
//! here is proved: signatures, roots and digests are checked in `release`.

use zerocopy::{FromBytes, transmute_ref};

use super::fault::AnswerError;
use super::header::{Answer, HEADER_LEN, MAX_DATAGRAM, Operation, ResultCode};
use super::key::{Key, LONG_KEY_LEN};
use super::layout::{
    BucketHead, CHECKPOINT_LEN, DELEGATION_LEN, FetchDetail, HASH_LEN, InfoDetail, KIND_HISTORY, KIND_LIVE,
    MAX_BUCKET_SPAN, MAX_CHECKPOINT_SIGNATURES, MAX_DELEGATION_SIGNATURES, MAX_OBJECTS, ObjectDescriptor,
    ProofDetail, SIGNATURE_LIST_HEAD, SealedAnswer, SyncDetail,
};
use super::question::{Bucket, Fetch, Sync};
use super::slot::{LookupSlot, slot_len};
use super::tlv::Tlvs;

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerBody<'a> {
    /// Anything but OK: a hint (spec 1.4.2).
    Refused(Refusal<'a>),
    /// Spec 2.1.
    Info(&'a InfoDetail),
    /// Spec 2.2.
    Checkpoint(CheckpointAnswer<'a>),
    /// Spec 2.3.
    Lookup(LookupAnswer<'a>),
    /// Spec 2.4.
    Bucket(BucketAnswer<'a>),
    /// Spec 2.5.
    Sync(SyncAnswer<'a>),
    /// Spec 2.6.
    Fetch(FetchAnswer<'a>),
    /// Spec 2.7: the hashes of the path.
    Proof(&'a [[u8; HASH_LEN]]),
    /// Spec 2.8: the manifest, all its bytes.
    Manifest(&'a [u8]),
    /// Spec 2.9.
    Sealed(&'a SealedAnswer),
    /// Spec 2.10.
    Notify,
}

impl<'a> AnswerBody<'a> {
    /// Reads the body of an OK answer; `rest` is what follows the header.
    pub(super) fn read(
        operation: Operation,
        header: &'a Answer,
        rest: &'a [u8],
    ) -> Result<Self, AnswerError> {
        Ok(match operation {
            Operation::Info => {
                read_tlvs(rest)?;
                Self::Info(transmute_ref!(&header.detail))
            }
            Operation::Checkpoint => Self::Checkpoint(CheckpointAnswer::read(rest)?),
            Operation::Lookup => Self::Lookup(LookupAnswer { slots: rest }),
            Operation::Bucket => Self::Bucket(BucketAnswer::split(rest)?),
            Operation::Sync => Self::Sync(SyncAnswer::split(header, rest)?),
            Operation::Fetch => Self::Fetch(FetchAnswer::split(header, rest)?),
            Operation::Proof => Self::Proof(read_proof(header, rest)?),
            Operation::Manifest => Self::Manifest(rest),
            Operation::Sealed => Self::Sealed(read_sealed(rest)?),
            Operation::Notify => {
                read_tlvs(rest)?;
                Self::Notify
            }
        })
    }
}

/// Why a question was not answered. A client concludes nothing about a key or a set from it (spec 1.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// Anything but OK.
    pub result: ResultCode,
    /// CRITICAL: the type; TRUNCATED: the length; RANGE: the limit.
    pub info: u32,
    /// What the server adds on a stream, for people; at most 200 bytes, not cleaned of control characters.
    pub text: Option<&'a str>,
}

/// The newest checkpoint with what vouches for it (spec 2.2.1). Unverified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointAnswer<'a> {
    /// The 208 bytes of the checkpoint (spec 3.4.1).
    pub checkpoint: &'a [u8; CHECKPOINT_LEN],
    /// Its signature list, head included (spec 3.4.3).
    pub signatures: &'a [u8],
    /// The 80 bytes of the delegation (spec 3.5.1).
    pub delegation: &'a [u8; DELEGATION_LEN],
    /// Its signature list, head included.
    pub delegation_signatures: &'a [u8],
}

impl<'a> CheckpointAnswer<'a> {
    fn read(rest: &'a [u8]) -> Result<Self, AnswerError> {
        if HEADER_LEN + rest.len() > MAX_DATAGRAM {
            return Err(AnswerError::CheckpointLength(HEADER_LEN + rest.len()));
        }
        let short = |need| AnswerError::Body { operation: Operation::Checkpoint, need, have: rest.len() };
        let (checkpoint, after) = rest.split_first_chunk().ok_or(short(CHECKPOINT_LEN))?;
        let (signatures, after) = split_signatures(after, rest, MAX_CHECKPOINT_SIGNATURES)?;
        let need = rest.len() - after.len() + DELEGATION_LEN;
        let (delegation, after) = after.split_first_chunk().ok_or(short(need))?;
        let (delegation_signatures, after) = split_signatures(after, rest, MAX_DELEGATION_SIGNATURES)?;
        // A list with an unknown algorithm may end anywhere; TLVs begin at the next multiple of 4 (spec
        // 1.2.1).
        let filling = (rest.len() - after.len()).next_multiple_of(4) - (rest.len() - after.len());
        read_tlvs(after.get(filling..).unwrap_or_default())?;
        Ok(CheckpointAnswer { checkpoint, signatures, delegation, delegation_signatures })
    }
}

/// Splits a signature list off `bytes`, a tail of `rest`, by its lengths alone (spec 3.4.3).
fn split_signatures<'a>(
    bytes: &'a [u8],
    rest: &[u8],
    limit: usize,
) -> Result<(&'a [u8], &'a [u8]), AnswerError> {
    const ENTRY_HEAD: usize = 12;
    let before = rest.len() - bytes.len();
    let short =
        |end| AnswerError::Body { operation: Operation::Checkpoint, need: before + end, have: rest.len() };
    let &[c0, c1, _, _] = bytes.first_chunk().ok_or(short(SIGNATURE_LIST_HEAD))?;
    let count = usize::from(u16::from_le_bytes([c0, c1]));
    if count > limit {
        return Err(AnswerError::Signatures { count, limit });
    }
    let mut end = SIGNATURE_LIST_HEAD;
    for _ in 0..count {
        let head: Option<&[u8; ENTRY_HEAD]> = bytes.get(end..).and_then(<[u8]>::first_chunk);
        let &[_, _, l0, l1, ..] = head.ok_or(short(end + ENTRY_HEAD))?;
        end += ENTRY_HEAD + usize::from(u16::from_le_bytes([l0, l1]));
    }
    bytes.split_at_checked(end).ok_or(short(end))
}

/// Slots not yet compared with what was asked (spec 2.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LookupAnswer<'a> {
    slots: &'a [u8],
}

impl<'a> LookupAnswer<'a> {
    /// The slots of the keys that were asked for, in their order.
    ///
    /// # Errors
    /// If the answer is not exactly the slots of these keys, or a slot breaks 2.3.2.
    pub fn read(&self, asked: &[Key]) -> Result<LookupSlots<'a>, AnswerError> {
        let slot_len = slot_len(asked.first().is_some_and(|key| key.len() == LONG_KEY_LEN));
        let (need, have) = (asked.len() * slot_len, self.slots.len());
        if have < need {
            return Err(AnswerError::Body { operation: Operation::Lookup, need, have });
        }
        if have > need {
            return Err(AnswerError::Extra { operation: Operation::Lookup, extra: have - need });
        }
        for (index, (slot, key)) in self.slots.chunks_exact(slot_len).zip(asked).enumerate() {
            let slot = LookupSlot::read(slot).ok_or(AnswerError::SlotState(index))?;
            if slot.key != key.as_bytes() {
                return Err(AnswerError::SlotKey(index));
            }
        }
        Ok(LookupSlots { slots: self.slots, slot_len })
    }
}

impl core::fmt::Debug for LookupAnswer<'_> {
    // no-trace: a device's lookups are nobody's business.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "LookupAnswer({} bytes)", self.slots.len())
    }
}

/// The answered slots, one per key that was asked for.
#[derive(Clone)]
pub struct LookupSlots<'a> {
    slots: &'a [u8],
    slot_len: usize,
}

impl<'a> Iterator for LookupSlots<'a> {
    type Item = LookupSlot<'a>;

    fn next(&mut self) -> Option<LookupSlot<'a>> {
        let (slot, rest) = self.slots.split_at_checked(self.slot_len)?;
        self.slots = rest;
        LookupSlot::read(slot)
    }
}

/// A bucket whose entries cannot be told from its siblings before the schema is known (spec 2.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketAnswer<'a> {
    /// What the answer says of itself.
    pub head: &'a BucketHead,
    rest: &'a [u8],
}

/// Entries and siblings of a bucket. Unproved until they give the root (spec 2.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketContents<'a> {
    /// Depth of the tree, *b*.
    pub depth: u8,
    /// The live public entries under the prefix, one after the other, in key order.
    pub entries: &'a [u8],
    /// `bits − held` hashes, deepest first.
    pub siblings: &'a [[u8; HASH_LEN]],
}

impl<'a> BucketAnswer<'a> {
    fn split(rest: &'a [u8]) -> Result<Self, AnswerError> {
        let (head, rest) = BucketHead::ref_from_prefix(rest).map_err(|_| AnswerError::Body {
            operation: Operation::Bucket,
            need: size_of::<BucketHead>(),
            have: rest.len(),
        })?;
        Ok(BucketAnswer { head, rest })
    }

    /// Entries and siblings, if the answer is one to `asked`.
    ///
    /// `entry_len`: bytes of a public entry of the set's schema (spec 3.1.1).
    ///
    /// # Errors
    /// If head, lengths or TLVs are not what 2.4.2 and 2.4.3 say.
    pub fn read(&self, asked: &Bucket<'_>, entry_len: usize) -> Result<BucketContents<'a>, AnswerError> {
        let BucketHead { depth, bits, held, .. } = *self.head;
        if (bits, held) != (asked.bits, asked.held) {
            return Err(AnswerError::BucketHead {
                bits,
                held,
                asked_bits: asked.bits,
                asked_held: asked.held,
            });
        }
        if bits > depth || u16::from(bits) + u16::from(MAX_BUCKET_SPAN) < u16::from(depth) {
            return Err(AnswerError::BucketDepth { depth, bits });
        }
        let have = self.rest.len() + size_of::<BucketHead>();
        let need = self.head.answer_len(entry_len).saturating_sub(HEADER_LEN);
        let short = AnswerError::Body { operation: Operation::Bucket, need, have };
        let entries_len = (self.head.entries.get() as usize).checked_mul(entry_len).ok_or(short)?;
        let (entries, after) = self.rest.split_at_checked(entries_len).ok_or(short)?;
        let (siblings, tlvs) =
            <[[u8; HASH_LEN]]>::ref_from_prefix_with_elems(after, self.head.siblings()).map_err(|_| short)?;
        read_tlvs(tlvs)?;
        Ok(BucketContents { depth, entries, siblings })
    }
}

/// The way to the newest version, not yet compared with what is held (spec 2.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncAnswer<'a> {
    version: u64,
    objects: &'a [ObjectDescriptor],
}

impl<'a> SyncAnswer<'a> {
    fn split(header: &'a Answer, rest: &'a [u8]) -> Result<Self, AnswerError> {
        let detail: &SyncDetail = transmute_ref!(&header.detail);
        let count = usize::from(detail.objects);
        if count > MAX_OBJECTS {
            return Err(AnswerError::Objects(detail.objects));
        }
        let (objects, tlvs) =
            <[ObjectDescriptor]>::ref_from_prefix_with_elems(rest, count).map_err(|_| AnswerError::Body {
                operation: Operation::Sync,
                need: count * size_of::<ObjectDescriptor>(),
                have: rest.len(),
            })?;
        read_tlvs(tlvs)?;
        Ok(SyncAnswer { version: header.version.get(), objects })
    }

    /// The objects to apply in order; none if what is held is the newest.
    ///
    /// # Errors
    /// If they are of another kind than asked or do not lead from the version held, or from nothing, to
    /// the answer's version (spec 2.5.3).
    pub fn read(&self, asked: Sync) -> Result<&'a [ObjectDescriptor], AnswerError> {
        let wanted = if asked.history { KIND_HISTORY } else { KIND_LIVE };
        let full = self.objects.first().is_some_and(|object| object.from.get() == 0);
        let mut at = if full { 0 } else { asked.version };
        for (index, object) in self.objects.iter().enumerate() {
            if object.kind != wanted {
                return Err(AnswerError::ObjectKind { index, kind: object.kind });
            }
            if object.from.get() != at {
                return Err(AnswerError::Chain { from: at, got: object.from.get() });
            }
            at = object.to.get();
        }
        if at != self.version {
            return Err(AnswerError::Chain { from: at, got: self.version });
        }
        Ok(self.objects)
    }
}

/// A part of an object, not yet compared with what was asked (spec 2.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchAnswer<'a> {
    detail: &'a FetchDetail,
    bytes: &'a [u8],
}

/// A part of an object. Unproved until the whole has its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Length of the object.
    pub total: u32,
    /// The bytes from the offset that was asked for; possibly fewer than wanted.
    pub bytes: &'a [u8],
}

impl<'a> FetchAnswer<'a> {
    fn split(header: &'a Answer, bytes: &'a [u8]) -> Result<Self, AnswerError> {
        let detail: &FetchDetail = transmute_ref!(&header.detail);
        let (need, have) = (detail.length.get() as usize, bytes.len());
        if have < need {
            return Err(AnswerError::Body { operation: Operation::Fetch, need, have });
        }
        if have > need {
            return Err(AnswerError::Extra { operation: Operation::Fetch, extra: have - need });
        }
        Ok(FetchAnswer { detail, bytes })
    }

    /// The part, if it is of what was asked.
    ///
    /// # Errors
    /// If it begins elsewhere, is longer than wanted, or goes beyond the object.
    pub fn read(&self, asked: &Fetch<'_>) -> Result<Part<'a>, AnswerError> {
        let (offset, total) = (self.detail.offset.get(), self.detail.total.get());
        let length = self.detail.length.get();
        let inside = u64::from(offset) + u64::from(length) <= u64::from(total);
        if offset != asked.offset || length > asked.length || !inside {
            return Err(AnswerError::Part { offset, total, length });
        }
        Ok(Part { total, bytes: self.bytes })
    }
}

fn read_proof<'a>(header: &'a Answer, rest: &'a [u8]) -> Result<&'a [[u8; HASH_LEN]], AnswerError> {
    let detail: &ProofDetail = transmute_ref!(&header.detail);
    let count = usize::from(detail.hashes);
    let (hashes, tlvs) = <[[u8; HASH_LEN]]>::ref_from_prefix_with_elems(rest, count).map_err(|_| {
        AnswerError::Body { operation: Operation::Proof, need: count * HASH_LEN, have: rest.len() }
    })?;
    read_tlvs(tlvs)?;
    Ok(hashes)
}

fn read_sealed(rest: &[u8]) -> Result<&SealedAnswer, AnswerError> {
    let (need, have) = (size_of::<SealedAnswer>(), rest.len());
    SealedAnswer::ref_from_bytes(rest).map_err(|_| {
        if have < need {
            AnswerError::Body { operation: Operation::Sealed, need, have }
        } else {
            AnswerError::Extra { operation: Operation::Sealed, extra: have - need }
        }
    })
}

/// Checks what follows a body (spec 1.2.2, 1.2.3).
pub(super) fn read_tlvs(bytes: &[u8]) -> Result<Tlvs<'_>, AnswerError> {
    let tlvs = Tlvs::parse(bytes)?;
    match tlvs.unknown_critical() {
        None => Ok(tlvs),
        Some(kind) => Err(AnswerError::Critical(kind)),
    }
}
