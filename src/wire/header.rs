//! The 64-byte header of every frame, its flags and its codes (spec 1.1–1.4, 2).
//!
//! [`Question`] and [`Answer`] are the header itself, seen in place: one cache line,
//! little-endian, no copy. Whether a header may be believed is decided by `question`
//! and `reply`.

use core::fmt;

use thiserror::Error;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The first byte of a frame of this version: `0x80 | 1` (spec 1.1.2).
pub const FIRST_BYTE: u8 = 0x81;

/// The first byte of the answer to an unknown version (spec 1.1.6).
pub const VERSION_FIRST_BYTE: u8 = 0x80;

/// The protocol versions spoken, newest first (spec 1.1.6).
pub const VERSIONS: [u8; 1] = [FIRST_BYTE & 0x3f];

/// Bit 7 of byte 1: set in answers (spec 1.1.2).
pub const ANSWER_BIT: u8 = 0x80;

/// Bytes of the header, and of the smallest frame (spec 1.3.3).
pub const HEADER_LEN: usize = 64;

/// Longest frame on UDP (spec 1.3.1).
pub const MAX_DATAGRAM: usize = 1232;

/// Longest question on a stream (spec 1.3.2).
pub const MAX_QUESTION_STREAM: usize = 4096;

/// Longest answer on a stream (spec 1.3.2).
pub const MAX_ANSWER_STREAM: usize = 1 << 20;

const _: () = assert!(size_of::<Question>() == HEADER_LEN && size_of::<Answer>() == HEADER_LEN);
const _: () = assert!(HEADER_LEN < MAX_DATAGRAM && MAX_DATAGRAM < MAX_QUESTION_STREAM);
const _: () = assert!(MAX_QUESTION_STREAM < MAX_ANSWER_STREAM);
const _: () = assert!(MAX_DATAGRAM.is_multiple_of(4) && MAX_QUESTION_STREAM.is_multiple_of(4));

/// Question flag: SYNC asks for what a node needs (spec 1.1.7).
pub const FLAG_HISTORY: u16 = 1 << 0;
/// Question flag: keys of 32 bytes, slots of 48 (spec 1.1.7).
pub const FLAG_LONG_KEYS: u16 = 1 << 1;
/// Answer flag: the server's newest checkpoint is past its `fresh_until` (spec 1.1.7).
pub const FLAG_STALE: u16 = 1 << 0;
/// Answer flag: the node is about to leave (spec 1.1.7).
pub const FLAG_DRAINING: u16 = 1 << 1;
/// Flags without meaning that senders set at random (spec 1.1.7).
pub const FLAGS_GREASE: u16 = 0xf000;

/// Which service a frame belongs to: random, permanent, 8 bytes.
pub type ServiceId = [u8; 8];

/// The header of a question, in place (spec 1.1.2).
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Question {
    /// `0x80 | version`.
    pub first_byte: u8,
    /// Operation code, bit 7 clear.
    pub operation: u8,
    /// `FLAG_HISTORY`, `FLAG_LONG_KEYS`; others are ignored.
    pub flags: U16,
    /// Length of the whole frame, header included.
    pub length: U32,
    /// The service that is asked.
    pub service: ServiceId,
    /// Chosen by the client, copied into the answer.
    pub txid: U64,
    /// Proof of address (spec 1.6), or zero.
    pub cookie: U64,
    /// The set that is asked about.
    pub set: U32,
    /// Longest datagram wanted in answer, 0 = 1232; see [`Question::datagram_room`].
    pub max_answer: U16,
    /// LOOKUP: slots; BUCKET: levels held; PROOF: kind.
    pub count: u8,
    /// BUCKET: length of the prefix.
    pub bits: u8,
    /// Version held or announced, or 0.
    pub version: U64,
    /// Argument of the operation.
    pub argument: [u8; 16],
}

impl Question {
    /// Whether a flag is set.
    pub fn has(&self, flag: u16) -> bool {
        self.flags.get() & flag != 0
    }

    /// Longest datagram this question may be answered with (spec 1.3.4), in bytes.
    ///
    /// `proved`: the source has shown that it receives at its address (spec 1.6).
    pub fn datagram_room(&self, proved: bool) -> usize {
        let wanted = match self.max_answer.get() {
            0 => MAX_DATAGRAM,
            wanted => usize::from(wanted).clamp(HEADER_LEN, MAX_DATAGRAM),
        };
        // never-amplify: an unproved source gets no more than it sent.
        if proved { wanted } else { wanted.min(self.length.get() as usize) }
    }
}

impl fmt::Debug for Question {
    // no-trace: neither what was asked for nor anything that ties two questions together.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question(operation {:#04x}, set {}, {} bytes)", self.operation, self.set, self.length)
    }
}

/// The header of an answer, in place (spec 1.1.2).
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Answer {
    /// `0x80 | version`.
    pub first_byte: u8,
    /// Operation code of the question, bit 7 set.
    pub operation: u8,
    /// `FLAG_STALE`, `FLAG_DRAINING`; others are ignored.
    pub flags: U16,
    /// Length of the whole frame, header included.
    pub length: U32,
    /// The service that answers.
    pub service: ServiceId,
    /// Copied from the question.
    pub txid: U64,
    /// A fresh cookie, or zero.
    pub cookie: U64,
    /// Copied from the question.
    pub set: U32,
    /// A [`ResultCode`].
    pub result: U16,
    /// Seconds before the client asks the same server about the set again (spec 4.5.1).
    pub wait: U16,
    /// The version the answer is from, or 0.
    pub version: U64,
    /// Detail of the operation, or of the refusal.
    pub detail: [u8; 16],
}

impl Answer {
    /// Whether a flag is set.
    pub fn has(&self, flag: u16) -> bool {
        self.flags.get() & flag != 0
    }
}

impl fmt::Debug for Answer {
    // no-trace: as for questions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Answer(operation {:#04x}, set {}, result {}, {} bytes)",
            self.operation, self.set, self.result, self.length
        )
    }
}

/// What a question asks for (spec 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Operation {
    /// About one set in 64 bytes.
    Info = 0x01,
    /// Newest checkpoint, signatures, delegation.
    Checkpoint = 0x02,
    /// Keys, answered in place: a hint.
    Lookup = 0x03,
    /// The keys under a prefix, with proof.
    Bucket = 0x04,
    /// What leads from the version held to the newest.
    Sync = 0x05,
    /// A range of an object.
    Fetch = 0x06,
    /// A proof of the checkpoint log.
    Proof = 0x07,
    /// The newest manifest.
    Manifest = 0x08,
    /// A sealed message to the origin.
    Sealed = 0x09,
    /// A new version exists.
    Notify = 0x0a,
}

impl Operation {
    /// Every operation, by code.
    pub const ALL: [Operation; 10] = [
        Self::Info,
        Self::Checkpoint,
        Self::Lookup,
        Self::Bucket,
        Self::Sync,
        Self::Fetch,
        Self::Proof,
        Self::Manifest,
        Self::Sealed,
        Self::Notify,
    ];

    /// The operation of a code with bit 7 clear.
    pub fn from_u8(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code.wrapping_sub(1))).copied()
    }

    /// The code in an answer: bit 7 set.
    pub fn answer_code(self) -> u8 {
        self as u8 | ANSWER_BIT
    }

    /// Whether UDP does not serve it (spec 1.5.5).
    pub fn needs_stream(self) -> bool {
        matches!(self, Self::Manifest | Self::Sealed | Self::Notify)
    }

    /// Whether it asks for what is published and changes nothing, so that answering it twice does no harm
    /// (spec 1.5.9).
    pub fn is_read(self) -> bool {
        !matches!(self, Self::Sealed | Self::Notify)
    }

    /// The name in the spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Checkpoint => "CHECKPOINT",
            Self::Lookup => "LOOKUP",
            Self::Bucket => "BUCKET",
            Self::Sync => "SYNC",
            Self::Fetch => "FETCH",
            Self::Proof => "PROOF",
            Self::Manifest => "MANIFEST",
            Self::Sealed => "SEALED",
            Self::Notify => "NOTIFY",
        }
    }

    /// The label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Checkpoint => "checkpoint",
            Self::Lookup => "lookup",
            Self::Bucket => "bucket",
            Self::Sync => "sync",
            Self::Fetch => "fetch",
            Self::Proof => "proof",
            Self::Manifest => "manifest",
            Self::Sealed => "sealed",
            Self::Notify => "notify",
        }
    }
}

/// How a question was met (spec 1.4). Anything but `Ok` is a hint (spec 1.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum ResultCode {
    /// The body is the answer.
    Ok = 0,
    /// The frame cannot be read.
    Malformed = 1,
    /// The version is not spoken.
    Version = 2,
    /// The operation is unknown.
    Operation = 3,
    /// A critical TLV is unknown; info: its type.
    Critical = 4,
    /// Over the limit of an unproved source: come again with the cookie.
    Cookie = 5,
    /// The answer does not fit; info: its length.
    Truncated = 6,
    /// No such set, or its keys have another length.
    Set = 7,
    /// No such object or position.
    Gone = 8,
    /// Not served on this transport.
    Transport = 9,
    /// Not now; the wait says when.
    Busy = 10,
    /// Being prepared; the wait says when.
    Pending = 11,
    /// The set has no verified release here yet.
    Unavailable = 12,
    /// An argument is outside what the set has; info: the limit.
    Range = 13,
    /// The server does not do this.
    Refused = 14,
}

impl ResultCode {
    /// Every code, by number.
    pub const ALL: [ResultCode; 15] = [
        Self::Ok,
        Self::Malformed,
        Self::Version,
        Self::Operation,
        Self::Critical,
        Self::Cookie,
        Self::Truncated,
        Self::Set,
        Self::Gone,
        Self::Transport,
        Self::Busy,
        Self::Pending,
        Self::Unavailable,
        Self::Range,
        Self::Refused,
    ];

    /// The result of a number.
    pub fn from_u16(code: u16) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The name in the spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Malformed => "MALFORMED",
            Self::Version => "VERSION",
            Self::Operation => "OPERATION",
            Self::Critical => "CRITICAL",
            Self::Cookie => "COOKIE",
            Self::Truncated => "TRUNCATED",
            Self::Set => "SET",
            Self::Gone => "GONE",
            Self::Transport => "TRANSPORT",
            Self::Busy => "BUSY",
            Self::Pending => "PENDING",
            Self::Unavailable => "UNAVAILABLE",
            Self::Range => "RANGE",
            Self::Refused => "REFUSED",
        }
    }
}

/// Whether a byte can begin a frame of any version (spec 1.1.3).
pub fn begins_frame(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// What ends a connection (spec 1.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FramingError {
    /// No frame begins so.
    #[error("a frame begins with 0x80 to 0xbf, not {0:#04x} (spec 1.1.3)")]
    FirstByte(u8),
    /// Shorter than a header or longer than the stream allows.
    #[error("a frame of {length} bytes, where 64 to {longest} are allowed (spec 1.3.2, 1.3.3)")]
    Length {
        /// What the length field says.
        length: usize,
        /// The most that is allowed here.
        longest: usize,
    },
}

/// How many bytes the frame that begins with `head` has on a stream (spec 1.5.2).
///
/// `longest`: [`MAX_QUESTION_STREAM`] at a server, [`MAX_ANSWER_STREAM`] at a client.
///
/// # Errors
/// What the connection must be ended for: the frame's end cannot be told, or is too far.
pub fn stream_frame_len(head: &[u8; 8], longest: usize) -> Result<usize, FramingError> {
    let [first_byte, _, _, _, length @ ..] = *head;
    if !begins_frame(first_byte) {
        return Err(FramingError::FirstByte(first_byte));
    }
    let length = u32::from_le_bytes(length) as usize;
    if !(HEADER_LEN..=longest).contains(&length) {
        return Err(FramingError::Length { length, longest });
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;
    use zerocopy::FromZeros;

    #[test]
    fn every_field_lies_where_the_table_says() {
        // spec 1.1.2
        assert_eq!(offset_of!(Question, length), 4);
        assert_eq!(offset_of!(Question, service), 8);
        assert_eq!(offset_of!(Question, txid), 16);
        assert_eq!(offset_of!(Question, cookie), 24);
        assert_eq!(offset_of!(Question, set), 32);
        assert_eq!(offset_of!(Question, max_answer), 36);
        assert_eq!(offset_of!(Question, count), 38);
        assert_eq!(offset_of!(Question, bits), 39);
        assert_eq!(offset_of!(Question, version), 40);
        assert_eq!(offset_of!(Question, argument), 48);
        assert_eq!(offset_of!(Answer, result), 36);
        assert_eq!(offset_of!(Answer, wait), 38);
        assert_eq!(offset_of!(Answer, version), 40);
        assert_eq!(offset_of!(Answer, detail), 48);
    }

    #[test]
    fn codes_and_values_agree_in_both_directions() {
        for code in 0..=u8::MAX {
            assert!(Operation::from_u8(code).is_none_or(|operation| operation as u8 == code));
        }
        for operation in Operation::ALL {
            assert_eq!(Operation::from_u8(operation as u8), Some(operation));
            assert_eq!(operation.name().to_lowercase(), operation.label());
        }
        for (number, result) in ResultCode::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, number);
            assert_eq!(ResultCode::from_u16(number as u16), Some(result));
        }
        assert_eq!(ResultCode::from_u16(15), None);
    }

    #[test]
    fn no_operation_has_a_greased_code() {
        // spec 2.0.1
        assert!(Operation::ALL.iter().all(|&operation| operation as u8 & 0x0f != 0x0f));
    }

    #[test]
    fn a_datagram_has_the_room_of_its_question_until_its_source_is_proved() {
        // spec 1.3.4
        let mut question = Question::new_zeroed();
        question.length.set(96);
        assert_eq!(question.datagram_room(false), 96);
        assert_eq!(question.datagram_room(true), 1232);
        for (max_answer, room) in [(1, 64), (63, 64), (64, 64), (500, 500), (1232, 1232), (u16::MAX, 1232)] {
            question.max_answer.set(max_answer);
            assert_eq!(question.datagram_room(true), room);
            assert_eq!(question.datagram_room(false), room.min(96));
        }
    }

    #[test]
    fn a_stream_ends_with_a_frame_whose_end_cannot_be_told() {
        // spec 1.5.2
        let head = |first_byte: u8, length: u32| {
            let [a, b, c, d] = length.to_le_bytes();
            [first_byte, 0, 0, 0, a, b, c, d]
        };
        assert_eq!(stream_frame_len(&head(0x81, 64), MAX_QUESTION_STREAM), Ok(64));
        assert_eq!(stream_frame_len(&head(0xbf, 4096), MAX_QUESTION_STREAM), Ok(4096));
        assert_eq!(stream_frame_len(&head(0xc0, 64), 4096), Err(FramingError::FirstByte(0xc0)));
        assert_eq!(stream_frame_len(&head(0x7f, 64), 4096), Err(FramingError::FirstByte(0x7f)));
        for length in [0, 63, 4097, u32::MAX] {
            let refused = FramingError::Length { length: length as usize, longest: 4096 };
            assert_eq!(stream_frame_len(&head(0x81, length), 4096), Err(refused));
        }
    }

    #[test]
    fn headers_print_neither_argument_nor_transaction() {
        let question =
            Question { txid: U64::new(0x5157_5157), argument: [0x99; 16], ..Question::new_zeroed() };
        assert_eq!(format!("{question:?}"), "Question(operation 0x00, set 0, 0 bytes)");
    }
}
