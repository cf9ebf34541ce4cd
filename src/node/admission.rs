//! What comes in while the journal's disk is full: withdrawals, revocations and releases do, from the
//! reserve; reports, imports and new codes are refused before anything is decided about them.

use std::path::Path;

use super::unwritten::Answer;
use crate::engine::{Input, MAX_IMPORT_KEYS, Moment, Refusal, Reply, ReportReply, Ticket};
use crate::store::journal::{MAX_GROUP, RETRY_S};
use crate::wire::report::RequestKind;

/// What a report's or a batch's event takes beside its keys, in bytes: more than any does.
const EVENT_BYTES: u64 = 512;
/// What a key takes in an event, in bytes: more than any does, with its share of an import's events (spec
/// 5.7.4).
const KEY_BYTES: u64 = 64;
/// Bytes of inputs that find room together at most: in one segment, whatever groups they make.
const PART_BYTES: u64 = MAX_GROUP - GROUPS_BYTES;
/// What several groups take beside their records, in bytes: more than they do.
const GROUPS_BYTES: u64 = 1 << 20;

// The largest import finds room as a whole or is turned away as a whole.
const _: () = assert!(EVENT_BYTES + KEY_BYTES * MAX_IMPORT_KEYS as u64 <= PART_BYTES);

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
    let all = inputs.iter().filter_map(|(_, input)| bytes_of(input)).reduce(u64::saturating_add)?;
    Some(if all > GROUPS_BYTES { all.saturating_add(GROUPS_BYTES) } else { all })
}

/// Cuts the inputs of a turn into parts that find room together: nearly always one.
pub(super) fn parts(inputs: Vec<(Ticket, Input)>) -> Vec<Vec<(Ticket, Input)>> {
    let (mut parts, mut bytes) = (vec![Vec::new()], 0_u64);
    for (ticket, input) in inputs {
        let more = bytes_of(&input).unwrap_or(0);
        bytes = bytes.saturating_add(more);
        if bytes > PART_BYTES {
            bytes = more;
            parts.push(Vec::new());
        }
        parts.last_mut().expect("there is one").push((ticket, input));
    }
    parts
}

/// What is the case while a disk of the journal is full and `room` bytes are left, or so few that what was
/// decided `waits`, and what to do.
pub(super) fn full_text(waits: bool, room: u64, mirror: Option<&Path>) -> String {
    let or_mirror = mirror.map_or(String::new(), |mirror| format!(" or of its mirror {}", mirror.display()));
    if waits {
        return format!(
            "the disk of the journal{or_mirror} is full, and what was kept for withdrawals and releases is used up: \
             nothing comes in and nothing is released, readers go on with what is published; free space, \
             and tekd goes on by itself within {RETRY_S} seconds"
        );
    }
    format!(
        "the disk of the journal{or_mirror} is full: reports, imports and new codes are turned away, withdrawals, \
         revocations and releases go on in the {room} bytes that were kept for them; free space on it, and \
         tekd goes on by itself within {RETRY_S} seconds"
    )
}

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
