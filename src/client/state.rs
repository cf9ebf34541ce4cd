//! What a client keeps between syncs, as bytes (spec 4.3.3).
//!
//! One string holds everything and ends with its SHA-256, so that whoever replaces it in one step
//! has the old or the new state. Reading checks the sum, and that the data match the checkpoint they
//! are kept with; signatures are not checked again, for roots may have changed since.
//!
//! Layout: a head of 64 bytes, the verifier's memory, the answer that the data match, the manifest, the
//! evidence (two lengths, two answers each), the entries, the log leaves, the sum.

use sha2::{Digest, Sha256};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::data::Data;
use super::set::{Evidence, Follower, Held, MAX_EVIDENCE};
use super::verify::Mismatch;
use crate::release::{
    AnswerError, Hash, Manifest, ManifestError, MemoryError, Schema, SetError, Trust, Verifier,
    parse_answer_body,
};

const MAGIC: [u8; 8] = *b"TEKDCLI1";
const LAYOUT: u16 = 1;
const HEAD_LEN: usize = size_of::<Head>();
const SUM_LEN: usize = size_of::<Hash>();

const _: () = assert!(HEAD_LEN == 64);

/// Why bytes are not the state of this client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Not a state at all.
    #[error("it is no state of a tekd client")]
    Magic,
    /// A layout of another program version.
    #[error("its layout is {0}, this program knows {LAYOUT}")]
    Layout(u16),
    /// The state of a client that follows the other kind of data.
    #[error("it holds data of kind {found}, not {expected}")]
    Kind {
        /// Kind found: 1 live, 2 history.
        found: u8,
        /// Kind of the client.
        expected: u8,
    },
    /// Longer or shorter than it says: it was cut or written over.
    #[error("it has {found} bytes and should have {expected}: it was damaged")]
    Length {
        /// Bytes there are.
        found: u64,
        /// Bytes it should have.
        expected: u64,
    },
    /// The sum at its end is wrong.
    #[error("its checksum is wrong: it was damaged")]
    Sum,
    /// The verifier's memory cannot be read, or is of another service or set.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// An answer in it cannot be read.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// An unknown schema.
    #[error("its schema is {0}, which this program does not know")]
    Schema(u16),
    /// The entries are not in order.
    #[error(transparent)]
    Entries(#[from] SetError),
    /// The data are not those of their checkpoint.
    #[error("its data are not those of its checkpoint: {0}")]
    Mismatch(#[from] Mismatch),
    /// The manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The pairs of contradicting checkpoints cannot be read.
    #[error("its evidence cannot be read")]
    Evidence,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Head {
    magic: [u8; 8],
    layout: U16,
    kind: u8,
    evidence: u8,
    schema: U16,
    reserved: U16,
    version: U64,
    horizon: U32,
    memory_len: U32,
    answer_len: U32,
    manifest_len: U32,
    evidence_len: U32,
    reserved_44: U32,
    entries_len: U64,
    leaves_len: U64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct PairHead {
    kept_len: U32,
    other_len: U32,
}

impl Head {
    /// Bytes of the whole state, sum included.
    fn total(&self) -> u64 {
        let small = [self.memory_len, self.answer_len, self.manifest_len, self.evidence_len];
        let small: u64 = small.iter().map(|length| u64::from(length.get())).sum();
        let large = self.entries_len.get().saturating_add(self.leaves_len.get());
        large.saturating_add(small + (HEAD_LEN + SUM_LEN) as u64)
    }
}

impl<D: Data> Follower<D> {
    /// Everything known, as bytes to keep.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let memory = self.verifier.to_bytes();
        let answer = self.answer().map(crate::release::CheckpointAnswer::to_body).unwrap_or_default();
        let manifest = self.manifest_bytes().unwrap_or_default();
        let evidence = write_evidence(&self.evidence);
        let entries = self.data().map_or(&[][..], Data::entries);
        let leaves = self.data().map_or(&[][..], Data::leaves).as_bytes();
        let head = Head {
            magic: MAGIC,
            layout: LAYOUT.into(),
            kind: D::KIND,
            evidence: self.evidence.len() as u8,
            schema: self.data().map_or(0, |data| data.schema().number()).into(),
            reserved: 0.into(),
            version: self.version().into(),
            horizon: self.data().map_or(0, Data::horizon).into(),
            memory_len: (memory.len() as u32).into(),
            answer_len: (answer.len() as u32).into(),
            manifest_len: (manifest.len() as u32).into(),
            evidence_len: (evidence.len() as u32).into(),
            reserved_44: 0.into(),
            entries_len: (entries.len() as u64).into(),
            leaves_len: (leaves.len() as u64).into(),
        };
        let mut bytes = [head.as_bytes(), &memory, &answer, manifest, &evidence, entries, leaves].concat();
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    /// The client of kept bytes, which must be of this service and set.
    ///
    /// # Errors
    /// [`StateError`]; nothing of such bytes may be used.
    pub fn from_bytes(trust: Trust, set: u32, bytes: &[u8]) -> Result<Self, StateError> {
        let (head, _) = Head::ref_from_prefix(bytes).map_err(|_| StateError::Magic)?;
        check_head::<D>(head, bytes.len() as u64)?;
        let (body, sum) = bytes.split_at(bytes.len() - SUM_LEN);
        if Hash::from(Sha256::digest(body)) != sum {
            return Err(StateError::Sum);
        }
        let mut rest = &body[HEAD_LEN..];
        let mut take = |length: u64| {
            // The lengths add up to that of `body`, so none is beyond it.
            let (part, after) = rest.split_at(length as usize);
            rest = after;
            part
        };
        let verifier = Verifier::from_bytes(trust, set, take(head.memory_len.get().into()))?;
        let answer = take(head.answer_len.get().into());
        let manifest = take(head.manifest_len.get().into()).to_vec();
        let evidence = read_evidence(take(head.evidence_len.get().into()), head.evidence)?;
        let entries = take(head.entries_len.get());
        let leaves = take(head.leaves_len.get());
        let held = if answer.is_empty() { None } else { Some(read_held(head, answer, entries, leaves)?) };
        let manifest = if manifest.is_empty() {
            None
        } else {
            let read = Manifest::parse_unverified(&manifest)?;
            Some((manifest, read))
        };
        Ok(Self { verifier, held, manifest, evidence })
    }
}

fn check_head<D: Data>(head: &Head, found: u64) -> Result<(), StateError> {
    if head.magic != MAGIC {
        return Err(StateError::Magic);
    }
    if head.layout.get() != LAYOUT {
        return Err(StateError::Layout(head.layout.get()));
    }
    if head.kind != D::KIND {
        return Err(StateError::Kind { found: head.kind, expected: D::KIND });
    }
    let expected = head.total();
    if found != expected {
        return Err(StateError::Length { found, expected });
    }
    Ok(())
}

fn read_held<D: Data>(
    head: &Head,
    answer: &[u8],
    entries: &[u8],
    leaves: &[u8],
) -> Result<Held<D>, StateError> {
    let answer = parse_answer_body(answer)?;
    let schema = Schema::from_number(head.schema.get()).ok_or(StateError::Schema(head.schema.get()))?;
    let (leaves, _) = leaves.as_chunks::<SUM_LEN>();
    let (version, horizon) = (head.version.get(), head.horizon.get());
    let data = D::from_parts(schema, version, horizon, entries.to_vec(), leaves.to_vec())?;
    data.check(&answer.checkpoint)?;
    Ok(Held { data, answer })
}

fn write_evidence(evidence: &[Evidence]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for pair in evidence {
        let (kept, other) = (pair.kept.to_body(), pair.other.to_body());
        let head = PairHead { kept_len: (kept.len() as u32).into(), other_len: (other.len() as u32).into() };
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(&kept);
        bytes.extend_from_slice(&other);
    }
    bytes
}

fn read_evidence(mut bytes: &[u8], pairs: u8) -> Result<Vec<Evidence>, StateError> {
    let mut evidence = Vec::new();
    for _ in 0..pairs.min(MAX_EVIDENCE as u8) {
        let (head, rest) = PairHead::ref_from_prefix(bytes).map_err(|_| StateError::Evidence)?;
        let split = rest.split_at_checked(head.kept_len.get() as usize);
        let (kept, rest) = split.ok_or(StateError::Evidence)?;
        let split = rest.split_at_checked(head.other_len.get() as usize);
        let (other, rest) = split.ok_or(StateError::Evidence)?;
        evidence.push(Evidence { kept: parse_answer_body(kept)?, other: parse_answer_body(other)? });
        bytes = rest;
    }
    if bytes.is_empty() { Ok(evidence) } else { Err(StateError::Evidence) }
}
