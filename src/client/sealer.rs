//! Submissions sealed before anybody sends them: for a program that reports for many and brings transport and
//! pace of its own.
//!
//! Question and answer are those of [`Client::submit`](super::Client::submit), in three steps at three times:
//! what is sealed here is sent by whoever wants to, and what came back is judged here when there is time. A
//! puzzle is not solved and nothing is asked again.

use super::asking::Random;
use super::draft::{Author, ReportDraft};
use super::reporting::{ReportAnswer, Reporting, answered, prove, read};
use super::verify::Unverifiable;
use crate::authority::seal::{AnswerKey, SEAL_KEY_LEN, SealError, seal};
use crate::release::{Delegation, Trust};
use crate::wire::layout::{SealedAnswer, SealedQuestion};
use crate::wire::request::RequestError;

/// Seals submissions to the seal key of a verified manifest, and judges their answers.
#[derive(Debug, Clone)]
pub struct Sealer {
    pub(super) trust: Trust,
    pub(super) set: u32,
    pub(super) public: [u8; SEAL_KEY_LEN],
    /// The delegation of the newest checkpoint that was verified.
    pub(super) newest: Option<Delegation>,
}

/// Why a submission was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSealed {
    /// It is no request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Nothing can be sealed to the manifest's key.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl Sealer {
    /// The question that submits a report, and what opens its answer.
    ///
    /// # Errors
    /// [`NotSealed`].
    pub fn submission(
        &self,
        author: &Author,
        draft: &ReportDraft<'_>,
        random: &mut Random<'_>,
    ) -> Result<(SealedQuestion, AnswerKey), NotSealed> {
        let reporting = Reporting::new(self.trust.service, self.set, draft.submission(author))?;
        Ok(seal(&self.public, &reporting.associated(), reporting.bytes(), random)?)
    }

    /// What the answer to that question says, its receipt verified if there must be one.
    ///
    /// # Errors
    /// [`Unverifiable`].
    ///
    /// # Panics
    /// If author and draft are not those of a question that was sealed, and are no request.
    pub fn judge(
        &self,
        author: &Author,
        draft: &ReportDraft<'_>,
        key: &AnswerKey,
        answer: &SealedAnswer,
    ) -> Result<ReportAnswer, Unverifiable> {
        let reporting = Reporting::new(self.trust.service, self.set, draft.submission(author))
            .expect("what was sealed was a request");
        let bytes = key.open_answer(answer).map_err(|_| Unverifiable::Unopened(1))?;
        let outcome = read(&bytes)?;
        let receipt = match (reporting.receipt(&outcome)?, outcome.receipt) {
            (Some(receipt), Some(bytes)) => Some(prove(&self.trust, receipt, bytes, self.newest.as_ref())?),
            _ => None,
        };
        Ok(answered(&outcome, receipt))
    }
}
