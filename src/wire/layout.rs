//! The fixed parts of bodies, arguments and details, operation by operation (spec 2).
//!
//! Each struct is its bytes; arguments and details are the 16 bytes at offset 48 of a
//! header and turn into them with `into()`.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute};

use super::header::{HEADER_LEN, MAX_DATAGRAM, MAX_QUESTION_STREAM};

/// Bytes of a hash, and so of a digest.
pub const HASH_LEN: usize = 32;

/// Most objects a SYNC answer names (spec 2.5.2).
pub const MAX_OBJECTS: usize = 8;

/// Longest object served by FETCH on UDP, in bytes (spec 2.6.3).
pub const MAX_UDP_OBJECT: u32 = 256 * 1024;

/// How far a BUCKET prefix may end above the leaves, in levels (spec 2.4.2).
pub const MAX_BUCKET_SPAN: u8 = 12;

/// What a BUCKET answer on a stream is padded to a multiple of when it holds more than one leaf (spec 2.4.5).
pub const BUCKET_PAD: usize = 8192;

/// Bytes of a checkpoint (spec 3.4.1).
pub const CHECKPOINT_LEN: usize = 208;

/// Bytes of a delegation (spec 3.5.1).
pub const DELEGATION_LEN: usize = 80;

/// Bytes before the first signature of a list (spec 3.4.3).
pub const SIGNATURE_LIST_HEAD: usize = 4;

/// Bytes of an Ed25519 signature in a list: algorithm, length, key id, signature (spec 3.4.3).
pub const SIGNATURE_ENTRY_LEN: usize = 76;

/// Most signatures on the checkpoint of a CHECKPOINT answer (spec 2.2.2).
pub const MAX_CHECKPOINT_SIGNATURES: usize = 8;

/// Most signatures on the delegation of a CHECKPOINT answer (spec 2.2.2).
pub const MAX_DELEGATION_SIGNATURES: usize = 3;

/// Bytes of the body of a SEALED question or answer (spec 2.9.1).
pub const SEALED_BODY: usize = MAX_QUESTION_STREAM - HEADER_LEN;

const _: () = assert!(HEADER_LEN + MAX_OBJECTS * size_of::<ObjectDescriptor>() <= MAX_DATAGRAM);
const _: () = assert!(
    HEADER_LEN
        + CHECKPOINT_LEN
        + DELEGATION_LEN
        + 2 * SIGNATURE_LIST_HEAD
        + (MAX_CHECKPOINT_SIGNATURES + MAX_DELEGATION_SIGNATURES) * SIGNATURE_ENTRY_LEN
        <= MAX_DATAGRAM
);
const _: () = assert!(size_of::<ObjectDescriptor>() == 56);
const _: () = assert!(size_of::<SealedQuestion>() == SEALED_BODY && size_of::<SealedAnswer>() == SEALED_BODY);
const _: () = assert!(size_of::<BucketHead>() == 8);

/// Argument of FETCH (spec 2.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct FetchArgument {
    /// First byte wanted.
    pub offset: U32,
    /// Bytes wanted.
    pub length: U32,
    /// Zero.
    pub reserved: U64,
}

/// Argument of PROOF (spec 2.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ProofArgument {
    /// Index of the leaf, or the older size.
    pub first: U64,
    /// Size of the log, or the newer size.
    pub second: U64,
}

/// Detail of INFO (spec 2.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct InfoDetail {
    /// The node that answers.
    pub node: U32,
    /// Least protocol version spoken.
    pub least: u8,
    /// Newest protocol version spoken.
    pub newest: u8,
    /// Zero.
    pub reserved: U16,
    /// Time of the newest checkpoint, 0 if none.
    pub checkpoint_time: U64,
}

/// Detail of SYNC (spec 2.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SyncDetail {
    /// Descriptors in the body.
    pub objects: u8,
    /// Zero.
    pub reserved: [u8; 15],
}

/// Detail of FETCH (spec 2.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct FetchDetail {
    /// Where in the object the body begins.
    pub offset: U32,
    /// Length of the object.
    pub total: U32,
    /// Bytes of the body.
    pub length: U32,
    /// Zero.
    pub reserved: U32,
}

/// Detail of PROOF (spec 2.7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ProofDetail {
    /// Hashes in the body.
    pub hashes: u8,
    /// Zero.
    pub reserved: [u8; 15],
}

/// Detail of a refusal (spec 1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RefusalDetail {
    /// CRITICAL: the type; TRUNCATED: the length; RANGE: the limit; else zero.
    pub info: U32,
    /// Zero.
    pub reserved: [u8; 12],
}

macro_rules! sixteen_bytes {
    ($($layout:ty),*) => {$(
        impl From<$layout> for [u8; 16] {
            fn from(layout: $layout) -> Self {
                transmute!(layout)
            }
        }
    )*};
}
sixteen_bytes!(FetchArgument, ProofArgument, InfoDetail, SyncDetail, FetchDetail, ProofDetail, RefusalDetail);

/// What a BUCKET answer begins with (spec 2.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BucketHead {
    /// Depth of the tree, *b*.
    pub depth: u8,
    /// Length of the prefix, as asked.
    pub bits: u8,
    /// Levels the client holds, as asked.
    pub held: u8,
    /// Zero.
    pub reserved: u8,
    /// Entries that follow.
    pub entries: U32,
}

impl BucketHead {
    /// Siblings after the entries: `bits − held`.
    pub fn siblings(&self) -> usize {
        usize::from(self.bits.saturating_sub(self.held))
    }

    /// Length of the whole answer before any TLV, header included, in bytes.
    ///
    /// `entry_len`: bytes of a public entry of the set's schema (spec 3.1.1).
    pub fn answer_len(&self, entry_len: usize) -> usize {
        let entries = (self.entries.get() as usize).saturating_mul(entry_len);
        entries.saturating_add(HEADER_LEN + size_of::<Self>() + self.siblings() * HASH_LEN)
    }
}

/// Kind of an object: a live delta or full set (spec 2.5.2).
pub const KIND_LIVE: u8 = 1;
/// Kind of an object: a history (spec 2.5.2).
pub const KIND_HISTORY: u8 = 2;

/// One object of a SYNC answer (spec 2.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ObjectDescriptor {
    /// Version the object starts from, 0 = from nothing.
    pub from: U64,
    /// Version it leads to.
    pub to: U64,
    /// Length in bytes.
    pub length: U32,
    /// [`KIND_LIVE`] or [`KIND_HISTORY`].
    pub kind: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// H of the object.
    pub digest: [u8; HASH_LEN],
}

/// Body of a SEALED question (spec 2.9.2).
#[derive(Clone, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SealedQuestion {
    /// Key encapsulation, HPKE registry.
    pub kem: U16,
    /// Key derivation, HPKE registry.
    pub kdf: U16,
    /// Cipher, HPKE registry.
    pub aead: U16,
    /// Zero.
    pub reserved: U16,
    /// A seal key of the manifest.
    pub key_id: [u8; 8],
    /// The KEM's bytes, then zeros.
    pub encapsulation: [u8; 1152],
    /// What only the origin reads.
    pub ciphertext: [u8; 2864],
}

/// Body of a SEALED answer (spec 2.9.4).
#[derive(Clone, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SealedAnswer {
    /// Fresh for every answer.
    pub nonce: [u8; 32],
    /// What only the asker reads.
    pub ciphertext: [u8; 4000],
}

impl core::fmt::Debug for SealedQuestion {
    // no-trace: suite only.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SealedQuestion(kem {:#06x}, kdf {:#06x}, aead {:#06x})", self.kem, self.kdf, self.aead)
    }
}

impl core::fmt::Debug for SealedAnswer {
    // no-trace: nothing of it is worth a line.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SealedAnswer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn every_field_lies_where_the_tables_say() {
        // spec 2.5.2
        assert_eq!(offset_of!(ObjectDescriptor, to), 8);
        assert_eq!(offset_of!(ObjectDescriptor, length), 16);
        assert_eq!(offset_of!(ObjectDescriptor, kind), 20);
        assert_eq!(offset_of!(ObjectDescriptor, digest), 24);
        // spec 2.9.2
        assert_eq!(offset_of!(SealedQuestion, key_id), 8);
        assert_eq!(offset_of!(SealedQuestion, encapsulation), 16);
        assert_eq!(offset_of!(SealedQuestion, ciphertext), 1168);
        // spec 2.1.1
        assert_eq!(offset_of!(InfoDetail, checkpoint_time), 8);
    }

    #[test]
    fn a_refusal_names_its_info_in_the_first_bytes() {
        // spec 1.4
        let detail: [u8; 16] = RefusalDetail { info: U32::new(0x8bad), reserved: [0; 12] }.into();
        assert_eq!(detail, [0xad, 0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_bucket_answer_is_head_entries_and_siblings() {
        // spec 2.4.3
        let head = BucketHead { depth: 16, bits: 16, held: 8, reserved: 0, entries: U32::new(5) };
        assert_eq!(head.answer_len(24), 64 + 8 + 5 * 24 + 8 * 32);
        let endless = BucketHead { entries: U32::new(u32::MAX), ..head };
        assert_eq!(endless.answer_len(40), 64 + 8 + 40 * 4_294_967_295 + 8 * 32);
    }
}
