//! Reports: made, amended, asked for and taken back, sealed to the origin (spec 7).
//!
//! The seal key comes from the manifest that the newest verified checkpoint names, so nobody can hand a
//! client a key of his own. A question whose answer is lost, or cannot be opened, is asked again with the
//! same request sealed anew; the origin answers a repetition as it answered first. What is done is believed
//! with a receipt that verifies, and what an answer says otherwise on the word of the seal.

use std::time::Duration;

use super::ask::Client;
use super::asking::Ask;
use super::carrier::CarrierError;
use super::draft::{Author, DummyForm, DummyKeys, ReportDraft};
use super::error::ClientError;
use super::pace::bounded_wait_s;
use super::reporting::{MAX_LOST, Next, ReportAnswer, Reporting, answered, prove, read};
use super::sealer::Sealer;
use super::verify::{ReceiptFault, Unverifiable};
use crate::authority::seal::{AnswerKey, SEAL_KEY_LEN, SUITE_AEAD, SUITE_KDF, SUITE_KEM, seal, seal_key_id};
use crate::release::{Manifest, ReceiptBundle, SealKey};
use crate::wire::layout::SealedQuestion;
use crate::wire::outcome::{OUTCOME_LEN, ReportOutcome};
use crate::wire::report::RequestKind;
use crate::wire::request::Request;
use crate::wire::{AnswerBody, Operation, ResultCode};

impl Client<'_> {
    /// Submits a report. `now`: the client's clock, Unix seconds.
    ///
    /// May be repeated with the same author and draft, also much later: it is one report.
    ///
    /// # Errors
    /// [`ClientError`]: nothing is known then, the report may have been made. An outcome other than DONE is
    /// no error here.
    pub fn submit(
        &mut self,
        now: u64,
        author: &Author,
        draft: &ReportDraft<'_>,
    ) -> Result<ReportAnswer, ClientError> {
        self.report(now, draft.submission(author))
    }

    /// Adds keys to the author's report, or changes its type under a grant for that (spec 7.3.4).
    ///
    /// # Errors
    /// As for [`submit`](Self::submit).
    pub fn amend(
        &mut self,
        now: u64,
        author: &Author,
        draft: &ReportDraft<'_>,
    ) -> Result<ReportAnswer, ClientError> {
        self.report(now, draft.amendment(author))
    }

    /// How the author's report stands (spec 7.3.6).
    ///
    /// # Errors
    /// As for [`submit`](Self::submit).
    pub fn report_status(&mut self, now: u64, author: &Author) -> Result<ReportAnswer, ClientError> {
        self.report(now, author.request(RequestKind::Status))
    }

    /// Takes the author's report back (spec 7.3.5).
    ///
    /// # Errors
    /// As for [`submit`](Self::submit).
    pub fn cancel(&mut self, now: u64, author: &Author) -> Result<ReportAnswer, ClientError> {
        self.report(now, author.request(RequestKind::Cancel))
    }

    /// Reports nothing, in the form of a report: whoever watches cannot tell it from one (spec 7.1.8).
    ///
    /// # Errors
    /// As for [`submit`](Self::submit).
    pub fn dummy(&mut self, now: u64, form: &DummyForm<'_>) -> Result<ReportAnswer, ClientError> {
        let author = Author::new(&mut *self.random);
        let drawn = DummyKeys::draw(form, now, &mut *self.random)?;
        let keys = drawn.sent();
        let draft = ReportDraft { grant: Some(form.grant), keys: &keys, ..ReportDraft::default() };
        self.report(now, Request { kind: RequestKind::Dummy, ..draft.submission(&author) })
    }

    /// What seals submissions to be sent by something else, from the manifest of the newest checkpoint.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn sealer(&mut self, now: u64) -> Result<Sealer, ClientError> {
        let public = self.seal_key(now)?;
        let newest = self.verifier.last().map(|newest| newest.delegation);
        Ok(Sealer { trust: self.verifier.trust().clone(), set: self.set(), public, newest })
    }

    /// Asks until there is an answer to the request, or it is given up.
    fn report(&mut self, now: u64, request: Request<'_>) -> Result<ReportAnswer, ClientError> {
        let (operation, set) = (Operation::Sealed, self.set());
        if !self.has_stream() {
            return Err(ClientError::NeedsStream { operation, set, length: 0 });
        }
        let mut reporting = Reporting::new(self.verifier.trust().service, set, request)?;
        let mut public = self.seal_key(now)?;
        let (mut refreshed, mut left_s) = (false, self.pending_s);
        // bounded: MAX_LOST, MAX_PUZZLES, one fresh manifest, and pending_s of waiting.
        loop {
            let associated = reporting.associated();
            let sealed = seal(&public, &associated, reporting.bytes(), &mut *self.random);
            let (question, key) = sealed.map_err(|what| self.unverifiable(operation, what.into()))?;
            let bytes = match self.ask_sealed(&question, &key) {
                Ok(Some(bytes)) => bytes,
                Err(error) if is_gone(&error) && !refreshed => {
                    refreshed = true;
                    self.manifest()?;
                    public = self.seal_key(now)?;
                    continue;
                }
                lost => {
                    self.lose(&mut reporting, lost)?;
                    continue;
                }
            };
            let answer = read(&bytes).map_err(|what| self.unverifiable(operation, what))?;
            let next = reporting.opened(&answer).map_err(|what| self.unverifiable(operation, what))?;
            let interval_s = self.manifest.as_ref().map_or(0, |manifest| manifest.interval_s);
            match next {
                Next::Solved => {}
                Next::Wait(wait_s) if bounded_wait_s(wait_s, interval_s).max(1) <= left_s => {
                    let wait_s = bounded_wait_s(wait_s, interval_s).max(1);
                    left_s -= wait_s;
                    (self.sleep)(Duration::from_secs(wait_s));
                }
                Next::Wait(_) | Next::Arrived => {
                    let receipt = self.receipt(&reporting, &answer)?;
                    return Ok(answered(&answer, receipt));
                }
            }
        }
    }

    /// Asks one question and opens its answer; `None` if it cannot be opened.
    fn ask_sealed(
        &mut self,
        question: &SealedQuestion,
        key: &AnswerKey,
    ) -> Result<Option<Box<[u8; OUTCOME_LEN]>>, ClientError> {
        let reply = self.ask(&Ask::Sealed(question))?;
        let AnswerBody::Sealed(sealed) = reply.view().body else {
            return Err(self.other_body(Operation::Sealed));
        };
        let opened = key.open_answer(sealed).ok();
        self.judged(opened.is_some());
        Ok(opened)
    }

    /// Counts an answer that did not arrive and waits before the next question.
    ///
    /// # Errors
    /// What happened last, once it happened too often, or if asking again is of no use.
    fn lose<T>(
        &mut self,
        reporting: &mut Reporting<'_>,
        lost: Result<Option<T>, ClientError>,
    ) -> Result<(), ClientError> {
        reporting.lost += 1;
        let again = reporting.lost < MAX_LOST;
        match lost {
            Err(error) if !again || !is_lost(&error) => return Err(error),
            Ok(_) if !again => {
                let what = Unverifiable::Unopened(reporting.lost);
                return Err(self.unverifiable(Operation::Sealed, what));
            }
            _ => {}
        }
        let wait_ms = reporting.backoff.draw_ms(&mut *self.random);
        (self.sleep)(Duration::from_millis(wait_ms));
        Ok(())
    }

    /// The receipt of an answer, verified, if there must be one (spec 7.7.2). The answer brings the
    /// delegation of its epoch, which may be before that of the newest checkpoint, or after it.
    fn receipt(
        &mut self,
        reporting: &Reporting<'_>,
        answer: &ReportOutcome<'_>,
    ) -> Result<Option<ReceiptBundle>, ClientError> {
        let fault = |it: &Self, what: ReceiptFault| it.unverifiable(Operation::Sealed, what.into());
        let receipt = reporting.receipt(answer).map_err(|what| fault(self, what))?;
        let (Some(receipt), Some(bytes)) = (receipt, answer.receipt) else { return Ok(None) };
        let newest = self.verifier.last().map(|newest| &newest.delegation);
        let proved = prove(self.verifier.trust(), receipt, bytes, newest);
        self.judged(proved.is_ok());
        proved.map(Some).map_err(|what| fault(self, what))
    }

    /// The public key to seal to: of the manifest that is known, or else of the newest one.
    fn seal_key(&mut self, now: u64) -> Result<[u8; SEAL_KEY_LEN], ClientError> {
        let known = self.manifest.as_ref().and_then(|manifest| choose(manifest, self.at(now)));
        if let Some(public) = known {
            return Ok(public);
        }
        let manifest = self.manifest()?.manifest;
        let at = self.at(now);
        choose(&manifest, at).ok_or_else(|| ClientError::NoSealKey {
            set: self.set(),
            at,
            ends: manifest.seal_keys.iter().map(|key| key.not_after).collect(),
        })
    }

    /// The client's time, which cannot lie before what was signed already (spec 4.2.1).
    fn at(&self, now: u64) -> u64 {
        self.newest().map_or(now, |newest| newest.time().max(now))
    }
}

/// The key of a verified manifest that a client seals to at a time (spec 7.1.1).
fn choose(manifest: &Manifest, at: u64) -> Option<[u8; SEAL_KEY_LEN]> {
    let fits = |key: &&SealKey| {
        (key.kem, key.kdf, key.aead) == (SUITE_KEM, SUITE_KDF, SUITE_AEAD)
            && (key.not_before..=key.not_after).contains(&at)
            && key.public.len() == SEAL_KEY_LEN
            && key.id == seal_key_id(&key.public)
    };
    let newest = manifest.seal_keys.iter().filter(fits).max_by_key(|key| key.not_before)?;
    newest.public.as_slice().try_into().ok()
}

/// Whether the key that was sealed to is over (spec 7.1.5).
fn is_gone(error: &ClientError) -> bool {
    error.refused().is_some_and(|refused| refused.result == ResultCode::Gone)
}

/// Whether question or answer were lost on the way, so that asking again may help.
fn is_lost(error: &ClientError) -> bool {
    let ClientError::Unreachable { source, .. } = error else { return false };
    matches!(
        source,
        CarrierError::Ended { .. }
            | CarrierError::Slow { .. }
            | CarrierError::Io { .. }
            | CarrierError::Silent { .. }
    )
}
