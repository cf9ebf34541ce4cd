//! What comes in while the journal's disk is full: withdrawals, revocations and releases do, from the
//! reserve; reports, imports and new codes are refused before anything is decided about them.

use crate::engine::{Input, Moment, Refusal, Reply, ReportReply, Ticket};
use crate::store::journal::RETRY_S;
use crate::wire::report::RequestKind;

/// What a report's or a batch's event takes beside its keys, in bytes: more than any does.
const EVENT_BYTES: u64 = 512;
/// What a key takes in an event, in bytes: more than any does (spec 5.7.4).
const KEY_BYTES: u64 = 96;

/// Bytes that `input` makes the journal longer by at most, if it is one that can wait; none for what goes on
/// while the disk is full.
fn bytes_of(input: &Input) -> Option<u64> {
    let keys = match input {
        Input::Report(request) => match request.kind {
            // An amendment that brings no key takes back, or says otherwise of what is there.
            RequestKind::Amend if request.keys.is_empty() => return None,
            RequestKind::Submit | RequestKind::Dummy | RequestKind::Amend => request.keys.len(),
            RequestKind::Status | RequestKind::Cancel => return None,
        },
        Input::Import { keys, .. } => keys.len(),
        Input::IssueCodes(_) => 0,
        _ => return None,
    };
    Some(EVENT_BYTES + KEY_BYTES * keys as u64)
}

/// Bytes that the inputs that can wait make the journal longer by at most; none if there is no such input.
pub(super) fn bytes_of_all(inputs: &[(Ticket, Input)]) -> Option<u64> {
    inputs.iter().filter_map(|(_, input)| bytes_of(input)).reduce(u64::saturating_add)
}

/// What is the case while the journal's disk is full and `room` bytes are left, and what to do.
pub(super) fn full_text(room: u64) -> String {
    format!(
        "the disk of the journal is full: reports, imports and new codes are turned away, withdrawals, \
         revocations and releases go on in the {room} bytes that were kept for them; free space on it, and \
         tekd goes on by itself within {RETRY_S} seconds"
    )
}

/// An answer to who asked.
pub(super) type Answer = (Ticket, Result<Reply, Refusal>);

/// Takes out of `inputs` what has to wait, answered: the journal has `room` bytes left.
pub(super) fn turn_away(inputs: &mut Vec<(Ticket, Input)>, now: Moment, room: u64) -> Vec<Answer> {
    let waits = inputs.extract_if(.., |(_, input)| bytes_of(input).is_some());
    waits
        .map(|(ticket, input)| match input {
            // Who is told so asks again; the code is not spent.
            Input::Report(_) => (ticket, Ok(Reply::Report(Box::new(ReportReply::busy(now.unix))))),
            _ => (ticket, Err(Refusal::JournalFull { room, retry_s: RETRY_S })),
        })
        .collect()
}
