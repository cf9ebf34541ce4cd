//! One request on its way to the origin, without the way: what is asked, repeated, solved and believed.
//!
//! The request stays the same however often it is asked; only its seal and, when a puzzle is set, its
//! solution are new (spec 7.1.6, 7.5.1). Pure but for the hashes of a puzzle, which are bounded.

use super::pace::Backoff;
use super::verify::{ReceiptFault, Unverifiable};
use crate::authority::seal::{ASSOCIATED_LEN, associated_data};
use crate::authority::{MAX_PUZZLE_HASHES, solve};
use crate::release::{
    Delegation, Receipt, ReceiptBundle, SignatureList, Trust, content_digest, verdicts_digest,
};
use crate::wire::outcome::{OUTCOME_LEN, ReceiptBytes, ReportCounts, ReportOutcome};
use crate::wire::report::{Outcome, ReportState, RequestKind, Verdict};
use crate::wire::request::{REQUEST_LEN, Request, RequestError};
use crate::wire::{FIRST_BYTE, ServiceId};

/// Answers that may be lost or unreadable before the request is given up.
pub(super) const MAX_LOST: u32 = 5;
/// Puzzles that are solved for one request: a seed may end while its puzzle is being solved.
const MAX_PUZZLES: u32 = 3;

/// What the origin answered, authentic by the seal and with a receipt that verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportAnswer {
    /// How the request ended.
    pub outcome: Outcome,
    /// Where the report stands, if one is meant.
    pub state: Option<ReportState>,
    /// One for each key that was sent, in order.
    pub verdicts: Vec<Verdict>,
    /// The receipt, where something was done: SUBMIT, AMEND and CANCEL with outcome DONE.
    pub receipt: Option<ReceiptBundle>,
    /// Where the keys of the report are.
    pub counts: ReportCounts,
    /// Serial of the newest release that holds a key of the report, 0 for none.
    pub serial: u32,
    /// Seconds the server asks to wait, 0 for none.
    pub wait_s: u16,
    /// Time of the server, Unix seconds.
    pub server_time: u64,
}

/// What to do after an answer was opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask the same again, with the solution that was found.
    Solved,
    /// Ask the same again after so many seconds.
    Wait(u16),
    /// This is the answer.
    Arrived,
}

/// One request until its answer.
pub(super) struct Reporting<'a> {
    request: Request<'a>,
    bytes: Box<[u8; REQUEST_LEN]>,
    content: [u8; 32],
    service: ServiceId,
    set: u32,
    puzzles: u32,
    /// Answers that were lost or could not be opened.
    pub(super) lost: u32,
    /// How long to wait after the next of them.
    pub(super) backoff: Backoff,
}

impl<'a> Reporting<'a> {
    /// A request to a set of a service.
    ///
    /// # Errors
    /// [`RequestError`] if it is none.
    pub(super) fn new(service: ServiceId, set: u32, request: Request<'a>) -> Result<Self, RequestError> {
        let mut bytes = Box::new([0; REQUEST_LEN]);
        let content = content_digest(&service, set, &request.write(&mut bytes)?);
        let backoff = Backoff::default();
        Ok(Self { request, bytes, content, service, set, puzzles: 0, lost: 0, backoff })
    }

    /// What is sealed.
    pub(super) fn bytes(&self) -> &[u8; REQUEST_LEN] {
        &self.bytes
    }

    /// What the seal is bound to.
    pub(super) fn associated(&self) -> [u8; ASSOCIATED_LEN] {
        associated_data(FIRST_BYTE, &self.service, self.set)
    }

    /// Looks at an answer that was opened, and solves its puzzle.
    ///
    /// # Errors
    /// [`Unverifiable::Puzzle`] for a puzzle that no honest server sets.
    pub(super) fn opened(&mut self, answer: &ReportOutcome<'_>) -> Result<Next, Unverifiable> {
        match (answer.outcome, answer.puzzle) {
            (Outcome::Puzzle, Some((seed, bits))) if self.puzzles < MAX_PUZZLES => {
                self.puzzles += 1;
                let grant = self.request.grant.map_or(&[][..], |(_, value)| value);
                let solution = solve(&seed, bits, &self.request.report, grant, MAX_PUZZLE_HASHES);
                self.request.puzzle = Some((seed, solution.ok_or(Unverifiable::Puzzle(bits))?));
                self.request.write(&mut self.bytes).expect("a request stays one with another puzzle");
                Ok(Next::Solved)
            }
            (Outcome::Busy, _) => Ok(Next::Wait(answer.wait_s)),
            _ => Ok(Next::Arrived),
        }
    }

    /// The receipt of an answer, if there must be one, before it is verified.
    ///
    /// # Errors
    /// [`ReceiptFault`]: it is missing, unreadable, or of something else.
    pub(super) fn receipt(&self, answer: &ReportOutcome<'_>) -> Result<Option<Receipt>, ReceiptFault> {
        let (kind, keys, verdicts) = (self.request.kind, self.request.keys.len(), answer.verdicts.len());
        let stores = matches!(kind, RequestKind::Submit | RequestKind::Amend);
        if stores && matches!(answer.outcome, Outcome::Done | Outcome::Nothing) && verdicts != keys {
            return Err(ReceiptFault::Verdicts { verdicts, keys });
        }
        if answer.outcome != Outcome::Done || matches!(kind, RequestKind::Status | RequestKind::Dummy) {
            return Ok(None);
        }
        let receipt = Receipt::parse(&answer.receipt.ok_or(ReceiptFault::Missing)?.receipt)?;
        let accepted = answer.verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count();
        let same = [
            ("set", receipt.set() == self.set),
            ("report", receipt.report() == self.request.report),
            ("kind", receipt.kind() == Some(kind)),
            ("content", receipt.content() == self.content),
            ("digest of the verdicts", receipt.verdicts() == verdicts_digest(answer.verdicts)),
            ("number of keys", !stores || usize::from(receipt.keys()) == accepted),
        ];
        match same.iter().find(|(_, holds)| !holds) {
            Some((what, _)) => Err(ReceiptFault::Other(what)),
            None => Ok(Some(receipt)),
        }
    }
}

/// Puts a receipt together with what vouches for it, and verifies all of it (spec 7.7.2, 7.7.4). `newest` is
/// the delegation of the newest checkpoint that was accepted.
///
/// verified-before-served: the delegation beside a receipt is believed for that receipt and goes nowhere
/// else.
///
/// # Errors
/// [`ReceiptFault`].
pub(super) fn prove(
    trust: &Trust,
    receipt: Receipt,
    bytes: &ReceiptBytes,
    newest: Option<&Delegation>,
) -> Result<ReceiptBundle, ReceiptFault> {
    let (signatures, _) = SignatureList::parse(&bytes.signatures)?;
    if bytes.delegation.iter().all(|byte| *byte == 0) {
        return Err(ReceiptFault::Undelegated);
    }
    let delegation = Delegation::parse(&bytes.delegation)?;
    let (delegation_signatures, _) = SignatureList::parse(&bytes.delegation_signatures)?;
    let bundle = ReceiptBundle { receipt, signatures, delegation, delegation_signatures };
    bundle.verify(trust)?;
    newest.map_or(Ok(()), |newest| bundle.precedes(newest))?;
    Ok(bundle)
}

/// Reads an answer that was opened.
///
/// # Errors
/// [`Unverifiable::Outcome`].
pub(super) fn read(bytes: &[u8; OUTCOME_LEN]) -> Result<ReportOutcome<'_>, Unverifiable> {
    ReportOutcome::parse(bytes).map_err(Unverifiable::Outcome)
}

/// The answer as its owner gets it.
pub(super) fn answered(answer: &ReportOutcome<'_>, receipt: Option<ReceiptBundle>) -> ReportAnswer {
    ReportAnswer {
        outcome: answer.outcome,
        state: answer.state,
        verdicts: answer.verdicts.to_vec(),
        receipt,
        counts: answer.counts,
        serial: answer.serial,
        wait_s: answer.wait_s,
        server_time: answer.time,
    }
}
