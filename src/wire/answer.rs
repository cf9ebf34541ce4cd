//! Building answers into the caller's buffer (spec 1.1, 1.4, 2).
//!
//! [`AnswerHeader`] writes the 64 bytes; the functions beside it write header and body
//! of the operations whose body is known at once. LOOKUP slots are written with
//! `slot::write_slot`, BUCKET and CHECKPOINT bodies by who holds their bytes. How long
//! an answer may be is the room of the buffer that is handed in.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::header::{
    ANSWER_BIT, Answer, FIRST_BYTE, HEADER_LEN, MAX_ANSWER_STREAM, Question, ResultCode, VERSION_FIRST_BYTE,
    VERSIONS,
};
use super::layout::{
    FetchDetail, HASH_LEN, MAX_OBJECTS, ObjectDescriptor, ProofDetail, RefusalDetail, SyncDetail,
};

const _: () = assert!(VERSIONS.len() <= 16);
const _: () = assert!(MAX_ANSWER_STREAM <= u32::MAX as usize);

/// The header of an answer before it is bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerHeader<'q> {
    /// The question that is answered: operation, service, transaction and set are its own.
    pub question: &'q Question,
    /// `FLAG_STALE`, `FLAG_DRAINING`, grease.
    pub flags: u16,
    /// Length of the whole frame in bytes, header included.
    pub length: usize,
    /// A fresh cookie, or zero.
    pub cookie: u64,
    /// How the question was met.
    pub result: ResultCode,
    /// Seconds to wait (spec 4.5.1).
    pub wait: u16,
    /// The version the answer is from, or 0.
    pub version: u64,
    /// Detail of the operation or of the refusal.
    pub detail: [u8; 16],
}

impl<'q> AnswerHeader<'q> {
    /// OK and nothing else, in 64 bytes.
    pub fn to(question: &'q Question) -> Self {
        AnswerHeader {
            question,
            flags: 0,
            length: HEADER_LEN,
            cookie: 0,
            result: ResultCode::Ok,
            wait: 0,
            version: 0,
            detail: [0; 16],
        }
    }

    /// Writes the 64 bytes and returns `length`.
    ///
    /// # Panics
    /// If `out` is shorter than a header or `length` above 4 GiB: every buffer for answers has room
    /// for a refusal, and no answer is longer than 1 MiB.
    #[inline]
    pub fn write(&self, out: &mut [u8]) -> usize {
        let answer = Answer {
            first_byte: FIRST_BYTE,
            operation: self.question.operation | ANSWER_BIT,
            flags: U16::new(self.flags),
            length: U32::new(u32::try_from(self.length).expect("an answer is at most 1 MiB (spec 1.3.2)")),
            service: self.question.service,
            txid: self.question.txid,
            cookie: U64::new(self.cookie),
            set: self.question.set,
            result: U16::new(self.result as u16),
            wait: U16::new(self.wait),
            version: U64::new(self.version),
            detail: self.detail,
        };
        out[..HEADER_LEN].copy_from_slice(answer.as_bytes());
        self.length
    }
}

/// Writes a refusal of exactly 64 bytes and returns 64 (spec 1.3.3, 1.4).
///
/// `info`: the type for CRITICAL, the length for TRUNCATED, the limit for RANGE, else 0.
///
/// # Panics
/// If `out` is shorter than 64 bytes.
pub fn refuse(
    question: &Question,
    result: ResultCode,
    info: u32,
    wait: u16,
    cookie: u64,
    out: &mut [u8],
) -> usize {
    let detail = RefusalDetail { info: U32::new(info), reserved: [0; 12] }.into();
    AnswerHeader { result, wait, cookie, detail, ..AnswerHeader::to(question) }.write(out)
}

/// Writes the answer to a question of another version and returns 64 (spec 1.1.6).
///
/// # Panics
/// If `out` is shorter than 64 bytes.
pub fn version_answer(question: &Question, out: &mut [u8]) -> usize {
    let mut detail = [0; 16];
    detail[..VERSIONS.len()].copy_from_slice(&VERSIONS);
    let answer = Answer {
        first_byte: VERSION_FIRST_BYTE,
        operation: question.operation | ANSWER_BIT,
        length: U32::new(HEADER_LEN as u32),
        service: question.service,
        txid: question.txid,
        result: U16::new(ResultCode::Version as u16),
        detail,
        ..Answer::new_zeroed()
    };
    out[..HEADER_LEN].copy_from_slice(answer.as_bytes());
    HEADER_LEN
}

/// The answer is longer than its room: TRUNCATED, with this length (spec 1.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoesNotFit(pub usize);

/// Writes a SYNC answer (spec 2.5.2) and returns its length. `head` brings version, flags, cookie and wait.
///
/// # Errors
/// The length it would have, if `out` is shorter.
///
/// # Panics
/// If there are more than 8 objects.
pub fn sync(
    head: AnswerHeader<'_>,
    objects: &[ObjectDescriptor],
    out: &mut [u8],
) -> Result<usize, DoesNotFit> {
    assert!(objects.len() <= MAX_OBJECTS, "a SYNC answer names at most 8 objects (spec 2.5.2)");
    let detail = SyncDetail { objects: objects.len() as u8, reserved: [0; 15] }.into();
    with_body(AnswerHeader { detail, ..head }, objects.as_bytes(), out)
}

/// Writes a PROOF answer (spec 2.7.2) and returns its length.
///
/// # Errors
/// The length it would have, if `out` is shorter.
///
/// # Panics
/// If there are more than 255 hashes: a path in a log of at most 2⁶⁴ leaves has at most 65.
pub fn proof(head: AnswerHeader<'_>, hashes: &[[u8; HASH_LEN]], out: &mut [u8]) -> Result<usize, DoesNotFit> {
    let count = u8::try_from(hashes.len()).expect("a path has at most 65 hashes");
    let detail = ProofDetail { hashes: count, reserved: [0; 15] }.into();
    with_body(AnswerHeader { detail, ..head }, hashes.as_bytes(), out)
}

/// Writes as much of `wanted` as fits, as the part of an object of `total` bytes that begins at `offset`,
/// and returns the length of the answer (spec 2.6.1, 2.6.2). Its version is 0: an object is of none.
///
/// # Panics
/// If `out` is shorter than 64 bytes.
pub fn fetch(head: AnswerHeader<'_>, offset: u32, total: u32, wanted: &[u8], out: &mut [u8]) -> usize {
    let room = out.len().min(MAX_ANSWER_STREAM) - HEADER_LEN;
    let part = &wanted[..wanted.len().min(room)];
    let detail = FetchDetail {
        offset: U32::new(offset),
        total: U32::new(total),
        length: U32::new(part.len() as u32),
        reserved: U32::new(0),
    };
    out[HEADER_LEN..HEADER_LEN + part.len()].copy_from_slice(part);
    AnswerHeader { length: HEADER_LEN + part.len(), version: 0, detail: detail.into(), ..head }.write(out)
}

/// Writes header and body, the length taken from the body: MANIFEST, SEALED, a prebuilt CHECKPOINT.
///
/// # Errors
/// The length it would have, if `out` is shorter.
pub fn with_body(head: AnswerHeader<'_>, body: &[u8], out: &mut [u8]) -> Result<usize, DoesNotFit> {
    let length = HEADER_LEN + body.len();
    let room = out.get_mut(HEADER_LEN..length).ok_or(DoesNotFit(length))?;
    room.copy_from_slice(body);
    Ok(AnswerHeader { length, ..head }.write(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            first_byte: FIRST_BYTE,
            operation: 0x05,
            service: *b"service!",
            txid: U64::new(7),
            set: U32::new(3),
            ..Question::new_zeroed()
        }
    }

    #[test]
    fn a_refusal_is_64_bytes_and_says_nothing_more() {
        // spec 1.3.3, 1.4
        let mut out = [0xee; 80];
        assert_eq!(refuse(&question(), ResultCode::Range, 28, 5, 9, &mut out), 64);
        assert_eq!(out[..4], [0x81, 0x85, 0, 0]);
        assert_eq!(out[4..8], [64, 0, 0, 0]);
        assert_eq!(out[24..36], [9, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(out[36..40], [13, 0, 5, 0]);
        assert_eq!(out[40..64], [0, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(out[64..], [0xee; 16]);
    }

    #[test]
    fn another_version_is_told_ours_and_nothing_else() {
        // spec 1.1.6
        let mut out = [0xee; 64];
        let newer = Question { first_byte: 0x82, cookie: U64::new(5), ..question() };
        assert_eq!(version_answer(&newer, &mut out), 64);
        assert_eq!(out[..4], [0x80, 0x85, 0, 0]);
        assert_eq!(out[8..24], *b"service!\x07\0\0\0\0\0\0\0");
        assert_eq!(out[24..36], [0; 12]);
        assert_eq!(out[36..48], [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(out[48..], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_does_not_fit_names_its_length_and_writes_nothing() {
        // spec 1.3.5
        let mut out = [0xee; 119];
        let question = question();
        let head = AnswerHeader::to(&question);
        assert_eq!(sync(head, &[ObjectDescriptor::new_zeroed()], &mut out), Err(DoesNotFit(120)));
        assert_eq!(out, [0xee; 119]);
    }

    #[test]
    fn a_fetch_sends_as_much_as_fits() {
        // spec 2.6.2
        let question = question();
        let head = AnswerHeader::to(&question);
        let mut out = [0; 100];
        assert_eq!(fetch(head, 10, 500, &[7; 490], &mut out), 100);
        assert_eq!(out[48..64], [10, 0, 0, 0, 244, 1, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(fetch(head, 10, 500, &[7; 5], &mut out), 69);
    }
}
