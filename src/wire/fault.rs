//! What a client can find wrong with an answer, each with the clause it breaks.

use thiserror::Error;

use super::header::{HEADER_LEN, MAX_DATAGRAM, Operation};
use super::layout::MAX_OBJECTS;
use super::tlv::TlvError;

/// The rule an answer breaks. Nothing of such an answer may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// Shorter than a header, or not as long as it says.
    #[error("{received} bytes received of a frame that says {says} (spec 1.1.4)")]
    Length {
        /// Bytes received.
        received: usize,
        /// What the length field says; 0 if it was not reached.
        says: usize,
    },
    /// Longer than the transport allows.
    #[error("an answer of {length} bytes, where at most {limit} are allowed (spec 1.3)")]
    TooLong {
        /// Bytes received.
        length: usize,
        /// The most on this transport.
        limit: usize,
    },
    /// No frame begins so.
    #[error("a frame begins with 0x80 to 0xbf, not {0:#04x} (spec 1.1.3)")]
    FirstByte(u8),
    /// The service id is not the one that was asked.
    #[error("the answer is of another service (spec 1.1.4)")]
    Service,
    /// Bit 7 of byte 1 is clear: a question.
    #[error("the frame is a question (spec 1.1.2)")]
    NotAnAnswer,
    /// The transaction id is not that of the question.
    #[error("the answer is to another question (spec 4.5.4)")]
    Transaction,
    /// The operation is not that of the question.
    #[error("operation {got:#04x} answers {} (spec 4.5.4)", asked.name())]
    Operation {
        /// Operation code of the answer, bit 7 set.
        got: u8,
        /// What was asked.
        asked: Operation,
    },
    /// The set is not that of the question.
    #[error("the answer is about set {got}, the question was about {asked} (spec 4.5.4)")]
    Set {
        /// Set of the answer.
        got: u32,
        /// Set of the question.
        asked: u32,
    },
    /// Neither this version nor the answer of a server that does not speak it.
    #[error("first byte {0:#04x} answers a question of version 1 (spec 1.1.6)")]
    Version(u8),
    /// First byte 0x80, but not the 64 bytes of 1.1.6.
    #[error("the answer to an unknown version has {length} bytes and result {result} (spec 1.1.6)")]
    VersionAnswer {
        /// Bytes received.
        length: usize,
        /// Result code.
        result: u16,
    },
    /// No such result code.
    #[error("result code {0} is unknown (spec 1.4)")]
    Result(u16),
    /// A refusal on UDP with more than a header.
    #[error("a refusal of {0} bytes on UDP, where {HEADER_LEN} are allowed (spec 1.3.3)")]
    RefusalLength(usize),
    /// The frame ends inside the body.
    #[error("{} has a body of {need} bytes and {have} are there (spec {})", operation.name(), body_clause(*operation))]
    Body {
        /// The operation.
        operation: Operation,
        /// Bytes of the body, or of the part that was read last.
        need: usize,
        /// Bytes after the header.
        have: usize,
    },
    /// Bytes after a body that allows no TLVs.
    #[error("{extra} bytes follow the body of {} (spec {})", operation.name(), body_clause(*operation))]
    Extra {
        /// The operation.
        operation: Operation,
        /// Bytes after the body.
        extra: usize,
    },
    /// What follows the body is not a run of TLVs.
    #[error("{0} (spec 1.2.2)")]
    Tlvs(#[from] TlvError),
    /// A critical TLV that version 1 does not know.
    #[error("critical TLV {0:#06x} is unknown (spec 1.2.3)")]
    Critical(u16),
    /// A CHECKPOINT answer that no datagram could hold.
    #[error("a CHECKPOINT answer of {0} bytes, where {MAX_DATAGRAM} are allowed (spec 2.2.2)")]
    CheckpointLength(usize),
    /// More signatures than a CHECKPOINT answer may have.
    #[error("{count} signatures, where at most {limit} are allowed (spec 2.2.2)")]
    Signatures {
        /// How many the list says.
        count: usize,
        /// 8 on the checkpoint, 3 on the delegation.
        limit: usize,
    },
    /// Another key than was asked for stands in a slot.
    #[error("slot {0} holds another key than was asked for (spec 2.3.2)")]
    SlotKey(usize),
    /// A state above 1, or fields without a live key.
    #[error("slot {0} has an unknown state or fields of a key that is not live (spec 2.3.2)")]
    SlotState(usize),
    /// The head of a BUCKET answer is not of the question.
    #[error("bits {bits} and held {held} answer bits {asked_bits} and held {asked_held} (spec 2.4.3)")]
    BucketHead {
        /// Bits of the answer.
        bits: u8,
        /// Held of the answer.
        held: u8,
        /// Bits of the question.
        asked_bits: u8,
        /// Held of the question.
        asked_held: u8,
    },
    /// A depth for which the question is RANGE.
    #[error("a prefix of {bits} bits in a tree of depth {depth} (spec 2.4.2)")]
    BucketDepth {
        /// Depth of the tree.
        depth: u8,
        /// Bits of the prefix.
        bits: u8,
    },
    /// More objects than a SYNC answer may name.
    #[error("{0} objects, where at most {MAX_OBJECTS} are allowed (spec 2.5.2)")]
    Objects(u8),
    /// An object of a kind that was not asked for.
    #[error("object {index} is of kind {kind} (spec 2.5.2)")]
    ObjectKind {
        /// Its place in the answer.
        index: usize,
        /// Its kind.
        kind: u8,
    },
    /// The objects do not lead from what is held to the version of the header.
    #[error("the objects go on from version {got:#x}, not from {from:#x} (spec 2.5.3)")]
    Chain {
        /// Where the objects before lead.
        from: u64,
        /// Where the next begins, or the header's version after the last.
        got: u64,
    },
    /// A part of an object that was not asked for, or that goes beyond the object.
    #[error("{length} bytes at {offset} of {total} answer a FETCH (spec 2.6.1)")]
    Part {
        /// Where the part begins.
        offset: u32,
        /// Length of the object.
        total: u32,
        /// Bytes of the part.
        length: u32,
    },
}

impl AnswerError {
    /// The clause that is broken.
    pub fn clause(&self) -> &'static str {
        match self {
            Self::Length { .. } | Self::Service => "1.1.4",
            Self::TooLong { limit: MAX_DATAGRAM, .. } => "1.3.1",
            Self::TooLong { .. } => "1.3.2",
            Self::FirstByte(_) => "1.1.3",
            Self::NotAnAnswer => "1.1.2",
            Self::Transaction | Self::Operation { .. } | Self::Set { .. } => "4.5.4",
            Self::Version(_) | Self::VersionAnswer { .. } => "1.1.6",
            Self::Result(_) => "1.4",
            Self::RefusalLength(_) => "1.3.3",
            Self::Body { operation, .. } | Self::Extra { operation, .. } => body_clause(*operation),
            Self::Tlvs(_) => "1.2.2",
            Self::Critical(_) => "1.2.3",
            Self::CheckpointLength(_) | Self::Signatures { .. } => "2.2.2",
            Self::SlotKey(_) | Self::SlotState(_) => "2.3.2",
            Self::BucketHead { .. } => "2.4.3",
            Self::BucketDepth { .. } => "2.4.2",
            Self::Objects(_) | Self::ObjectKind { .. } => "2.5.2",
            Self::Chain { .. } => "2.5.3",
            Self::Part { .. } => "2.6.1",
        }
    }

    /// Whether the frame is to be ignored while the question stays open (spec 1.1.4, 4.5.4): it
    /// is not an answer to it. Any other error is of the server that was asked.
    pub fn is_foreign(&self) -> bool {
        matches!(
            self,
            Self::Length { .. }
                | Self::TooLong { .. }
                | Self::FirstByte(_)
                | Self::Service
                | Self::NotAnAnswer
                | Self::Transaction
                | Self::Operation { .. }
                | Self::Set { .. }
        )
    }
}

/// The clause that fixes the length of an answer's body.
fn body_clause(operation: Operation) -> &'static str {
    match operation {
        Operation::Info => "2.1.1",
        Operation::Checkpoint => "2.2.1",
        Operation::Lookup => "2.3.3",
        Operation::Bucket => "2.4.3",
        Operation::Sync => "2.5.2",
        Operation::Fetch => "2.6.1",
        Operation::Proof => "2.7.2",
        Operation::Manifest => "2.8.1",
        Operation::Sealed => "2.9.1",
        Operation::Notify => "2.10.1",
    }
}
