//! What can be found wrong with what a server says: nothing of it is taken over then (spec 4.1.3).
//!
//! Each variant is one check that failed, with both sides of the comparison. Reaching a server
//! and being refused by it are other matters, and stand in the errors of [`Client`](super::Client).

use crate::authority::seal::SealError;
use crate::release::delta::DeltaError;
use crate::release::{
    self, BucketError, Checkpoint, DelegationError, FieldsError, ManifestError, ReceiptError, SignatureError,
    VerifyError,
};
use crate::wire;
use crate::wire::outcome::MalformedOutcome;

/// Which check failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unverifiable {
    /// The answer breaks the rules of the wire.
    #[error("the answer breaks the protocol: {0}")]
    Frame(#[from] wire::AnswerError),
    /// The body of a CHECKPOINT answer cannot be read.
    #[error("the checkpoint cannot be read: {0}")]
    Body(#[from] release::AnswerError),
    /// The checkpoint or its delegation is not to be believed (spec 4.1.1, 4.1.2).
    #[error("the checkpoint is not believed: {0}")]
    Checkpoint(#[from] Box<VerifyError>),
    /// The set has a schema that this program does not know.
    #[error("the set has schema {0}, which this program does not know: a newer one is needed")]
    Schema(u16),
    /// An object longer than any honest one (spec 3.8.12); it was not fetched.
    #[error("an object of {length} bytes is announced, no honest one has more than {limit} (spec 3.8.12)")]
    Length {
        /// Length announced.
        length: u64,
        /// The most.
        limit: u64,
    },
    /// The objects of a SYNC answer do not lead to its version (spec 2.5.3).
    #[error("the objects lead to version {got:#x}, not {wanted:#x} (spec 2.5.3)")]
    Path {
        /// Where they lead.
        got: u64,
        /// Where they should.
        wanted: u64,
    },
    /// The bytes are not those of the digest (spec 4.3.1).
    #[error("{have} bytes do not have the digest of the object of {length} bytes")]
    Digest {
        /// Bytes that came.
        have: u64,
        /// Bytes announced.
        length: u64,
    },
    /// Parts of an object contradict its descriptor or each other.
    #[error("a part says that the object has {total} bytes, its descriptor {length}")]
    Part {
        /// What the part says.
        total: u64,
        /// What was announced.
        length: u64,
    },
    /// An object cannot be applied.
    #[error("the object to version {to:#x} cannot be applied: {source}")]
    Delta {
        /// Version it should lead to.
        to: u64,
        /// Why not.
        source: DeltaError,
    },
    /// What the objects lead to is not what the checkpoint says (spec 3.7.1).
    #[error("the objects lead to another set than the checkpoint's: {0} (spec 3.7.1)")]
    Mismatch(#[from] Mismatch),
    /// The manifest is not the checkpoint's, or cannot be read (spec 3.6.3).
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The bucket does not lead to the root (spec 2.4.4).
    #[error("the bucket proves nothing: {0} (spec 2.4.4)")]
    Bucket(#[from] BucketError),
    /// The bucket is of a tree of another depth than the checkpoint's.
    #[error("the bucket is of a tree of depth {got}, the checkpoint's has {signed} (spec 3.4.1)")]
    Depth {
        /// Depth in the answer.
        got: u8,
        /// Depth signed.
        signed: u8,
    },
    /// The public fields of an entry cannot be read.
    #[error("an entry cannot be read: {0}")]
    Fields(#[from] FieldsError),
    /// A proof of the checkpoint log does not lead to the signed log root (spec 2.7).
    #[error("{hashes} hashes do not lead from position {first} to the log root of {second} checkpoints")]
    Log {
        /// Hashes of the proof.
        hashes: usize,
        /// Index of the leaf, or the older size.
        first: u64,
        /// Size of the log.
        second: u64,
    },
    /// The manifest names a seal key that nothing can be sealed to.
    #[error("a report cannot be sealed: {0}")]
    Seal(#[from] SealError),
    /// No answer to a sealed question could be opened, so nothing follows from any (spec 7.1.6).
    #[error(
        "none of {0} sealed answers could be opened; the report may have been made, repeat it (spec 7.1.6)"
    )]
    Unopened(u32),
    /// The origin says what nobody understands.
    #[error("the sealed answer cannot be read: {0} (spec 7.6)")]
    Outcome(#[from] MalformedOutcome),
    /// A puzzle that no honest server sets.
    #[error("a puzzle of {0} bits is not solved: honest servers ask for 16 to 24 (spec 7.5.2)")]
    Puzzle(u8),
    /// What was done is not proved (spec 7.7.2).
    #[error("the receipt is not believed: {0} (spec 7.7.2)")]
    Receipt(#[from] ReceiptFault),
}

impl From<VerifyError> for Unverifiable {
    fn from(error: VerifyError) -> Self {
        Self::Checkpoint(Box::new(error))
    }
}

impl Unverifiable {
    /// Whether the checkpoint was only older than one that is held: a server that lags behind, perhaps behind
    /// a change of the online key.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        use VerifyError::{EpochBack, TimeBack, VersionBack};
        let Self::Checkpoint(error) = self else { return false };
        matches!(**error, VersionBack { .. } | TimeBack { .. } | EpochBack { .. })
    }

    /// Whether the service signed two checkpoints of one version: evidence (spec 3.4.6).
    #[must_use]
    pub fn is_equivocation(&self) -> bool {
        let Self::Checkpoint(error) = self else { return false };
        matches!(**error, VerifyError::Equivocation { .. })
    }
}

/// What is wrong with the receipt of an answer that says DONE (spec 7.7.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// There is none.
    #[error("it says done and brings no receipt")]
    Missing,
    /// It cannot be read or is not the service's.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// Nobody vouches for the key that signed it.
    #[error("it brings no delegation")]
    Undelegated,
    /// Its delegation cannot be read.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    /// It is the receipt of something else.
    #[error("its {0} is not that of the request")]
    Other(&'static str),
    /// There is not one verdict for each key.
    #[error("{verdicts} verdicts on {keys} keys")]
    Verdicts {
        /// Verdicts that came.
        verdicts: usize,
        /// Keys that were sent.
        keys: usize,
    },
}

impl From<SignatureError> for ReceiptFault {
    fn from(error: SignatureError) -> Self {
        Self::Receipt(error.into())
    }
}

/// In what data differ from a checkpoint (spec 3.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A number.
    #[error("{field} is {got}, signed is {signed}")]
    Number {
        /// version, horizon, schema, count, depth or `log_size`.
        field: &'static str,
        /// Of the data.
        got: u64,
        /// Of the checkpoint.
        signed: u64,
    },
    /// A hash.
    #[error("{field} is {}, signed is {}", hex::encode(.got), hex::encode(.signed))]
    Hash {
        /// root, history digest or log root.
        field: &'static str,
        /// Of the data.
        got: [u8; 32],
        /// Of the checkpoint.
        signed: [u8; 32],
    },
}

pub(super) fn same(field: &'static str, got: u64, signed: u64) -> Result<(), Mismatch> {
    if got == signed { Ok(()) } else { Err(Mismatch::Number { field, got, signed }) }
}

pub(super) fn same_hash(field: &'static str, got: [u8; 32], signed: [u8; 32]) -> Result<(), Mismatch> {
    if got == signed { Ok(()) } else { Err(Mismatch::Hash { field, got, signed }) }
}

/// The schema of a verified checkpoint.
pub(super) fn schema_of(checkpoint: &Checkpoint) -> Result<release::Schema, Unverifiable> {
    release::Schema::from_number(checkpoint.schema()).ok_or(Unverifiable::Schema(checkpoint.schema()))
}
