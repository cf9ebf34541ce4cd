//! From the bytes of an answer to what it says, as a client reads them (spec 1.1.4, 1.4, 4.5.4).
//!
//! First whether the frame answers the question at all, then whether it keeps the
//! rules. An error names the clause that is broken; what an answer proves is decided
//! in `release`.

use zerocopy::{FromBytes, transmute_ref};

use super::contents::{AnswerBody, Refusal, read_tlvs};
use super::fault::AnswerError;
use super::header::{
    ANSWER_BIT, Answer, FIRST_BYTE, HEADER_LEN, MAX_ANSWER_STREAM, MAX_DATAGRAM, Operation, ResultCode,
    ServiceId, VERSION_FIRST_BYTE, begins_frame,
};
use super::layout::RefusalDetail;
use super::tlv::{ERROR_TEXT, MAX_ERROR_TEXT};

/// What ties an answer to its question (spec 4.5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The service that was asked.
    pub service: ServiceId,
    /// The transaction id of the question.
    pub txid: u64,
    /// The set that was asked about.
    pub set: u32,
    /// What was asked.
    pub operation: Operation,
}

/// An answer that keeps the rules of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerView<'a> {
    /// Version, wait, cookie and flags are read here; all are hints. Of a VERSION refusal with first
    /// byte 0x80 only the detail means something: the versions that the server speaks.
    pub header: &'a Answer,
    /// What it says.
    pub body: AnswerBody<'a>,
}

/// Reads a frame as the answer to an open question.
///
/// `on_stream`: whether it came on TLS or QUIC, where answers may be longer.
///
/// # Errors
/// The first rule that is broken. While [`AnswerError::is_foreign`] the question stays open.
pub fn parse_answer<'a>(
    frame: &'a [u8],
    expected: &Expected,
    on_stream: bool,
) -> Result<AnswerView<'a>, AnswerError> {
    let received = frame.len();
    let (header, rest) =
        Answer::ref_from_prefix(frame).map_err(|_| AnswerError::Length { received, says: 0 })?;
    is_ours(header, received, expected)?;
    let limit = if on_stream { MAX_ANSWER_STREAM } else { MAX_DATAGRAM };
    if received > limit {
        return Err(AnswerError::TooLong { length: received, limit });
    }
    match header.first_byte {
        FIRST_BYTE => {}
        // Its set is zero whatever was asked (spec 1.1.6), so it is read before the set is compared.
        VERSION_FIRST_BYTE => return read_version_answer(header, received),
        other => return Err(AnswerError::Version(other)),
    }
    let (got, asked) = (header.set.get(), expected.set);
    if got != asked {
        return Err(AnswerError::Set { got, asked });
    }
    let code = header.result.get();
    let body = match ResultCode::from_u16(code).ok_or(AnswerError::Result(code))? {
        ResultCode::Ok => AnswerBody::read(expected.operation, header, rest)?,
        _ if !on_stream && received > HEADER_LEN => return Err(AnswerError::RefusalLength(received)),
        result => AnswerBody::Refused(read_refusal(result, header, rest)?),
    };
    Ok(AnswerView { header, body })
}

/// Whether the frozen fields (spec 1.1.6) are those of an answer to the question.
fn is_ours(header: &Answer, received: usize, expected: &Expected) -> Result<(), AnswerError> {
    let says = header.length.get() as usize;
    if !begins_frame(header.first_byte) {
        return Err(AnswerError::FirstByte(header.first_byte));
    }
    if says != received {
        return Err(AnswerError::Length { received, says });
    }
    if header.service != expected.service {
        return Err(AnswerError::Service);
    }
    if header.operation & ANSWER_BIT == 0 {
        return Err(AnswerError::NotAnAnswer);
    }
    if header.txid.get() != expected.txid {
        return Err(AnswerError::Transaction);
    }
    if header.operation != expected.operation.answer_code() {
        return Err(AnswerError::Operation { got: header.operation, asked: expected.operation });
    }
    Ok(())
}

fn read_version_answer(header: &Answer, length: usize) -> Result<AnswerView<'_>, AnswerError> {
    let result = header.result.get();
    if length != HEADER_LEN || result != ResultCode::Version as u16 {
        return Err(AnswerError::VersionAnswer { length, result });
    }
    let refusal = Refusal { result: ResultCode::Version, info: 0, text: None };
    Ok(AnswerView { header, body: AnswerBody::Refused(refusal) })
}

fn read_refusal<'a>(
    result: ResultCode,
    header: &'a Answer,
    rest: &'a [u8],
) -> Result<Refusal<'a>, AnswerError> {
    let detail: &RefusalDetail = transmute_ref!(&header.detail);
    let text = read_tlvs(rest)?.get(ERROR_TEXT).filter(|text| text.len() <= MAX_ERROR_TEXT);
    Ok(Refusal {
        result,
        info: detail.info.get(),
        text: text.and_then(|text| core::str::from_utf8(text).ok()),
    })
}
