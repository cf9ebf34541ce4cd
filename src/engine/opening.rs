//! A sealed question opened, and its answer sealed (spec 2.9, 7.1, 7.2).
//!
//! What costs public-key work happens here, before the writer's queue, on any thread: the seal, the signature
//! of a certificate or a JWT. What depends on the state is left to the writer. DUMMY takes the way of SUBMIT
//! through all of it. Randomness is handed in; when an answer leaves is decided elsewhere.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use zerocopy::IntoBytes;

use super::event::SealKey;
use super::input::{Presented, PresentedKey, ReportReply, ReportRequest};
use super::state::SEAL_KEY_GRACE_S;
use crate::authority::seal::{
    AnswerKey, SUITE_AEAD, SUITE_KDF, SUITE_KEM, SealError, SealSecret, associated_data, open as unseal,
};
use crate::authority::{Code, Keyring, certificate, jwt};
use crate::wire::answer::with_body;
use crate::wire::layout::{SEALED_BODY, SealedQuestion};
use crate::wire::outcome::{OUTCOME_LEN, ReportCounts, ReportOutcome};
use crate::wire::report::{GRANT_CERTIFICATE, GRANT_CODE, GRANT_JWT, Outcome, SentKey};
use crate::wire::request::{CONTENT_CONTEXT, MalformedRequest, RequestView};
use crate::wire::{AnswerHeader, HEADER_LEN, Key, Question, ResultCode, ServiceId};

/// Bytes of the nonce of an answer (spec 7.1.3).
pub const ANSWER_NONCE_LEN: usize = 32;
/// Bytes of a SEALED frame, whichever way it goes (spec 2.9.1).
pub const SEALED_FRAME: usize = HEADER_LEN + SEALED_BODY;

/// The secrets of seal keys, each with its end.
#[derive(Debug, Default)]
pub struct SealRing(Vec<RingKey>);

#[derive(Debug)]
struct RingKey {
    id: [u8; 8],
    secret: Arc<SealSecret>,
    /// The last second in which it may be sealed to, Unix time.
    not_after: u64,
    /// The last second in which it opens anything, Unix time.
    until: u64,
}

impl SealRing {
    /// Those of `secrets` whose keys are among `keys`.
    pub fn new(secrets: Vec<impl Into<Arc<SealSecret>>>, keys: &[SealKey]) -> Self {
        let ring = secrets.into_iter().filter_map(|secret| {
            let secret: Arc<SealSecret> = secret.into();
            let id = secret.id();
            let key = keys.iter().find(|key| key.id == id)?;
            Some(RingKey { id, secret, not_after: key.not_after, until: opens_until(key) })
        });
        SealRing(ring.collect())
    }

    /// The last second (Unix time) in which there is a key to seal to, if there is one.
    pub fn sealed_until(&self) -> Option<u64> {
        self.0.iter().map(|key| key.not_after).max()
    }

    /// The secret of a key, if it is here.
    pub fn secret(&self, id: &[u8; 8]) -> Option<Arc<SealSecret>> {
        self.find(id).map(|key| Arc::clone(&key.secret))
    }

    fn find(&self, id: &[u8; 8]) -> Option<&RingKey> {
        self.0.iter().find(|key| key.id == *id)
    }
}

/// The last second in which what is sealed to a key is opened (spec 7.1.4).
pub fn opens_until(key: &SealKey) -> u64 {
    key.not_after.saturating_add(SEAL_KEY_GRACE_S)
}

/// What questions are opened and grants are verified with.
#[derive(Debug)]
pub struct OpeningKeys {
    /// Service id.
    pub service: ServiceId,
    /// Secrets of seal keys.
    pub ring: SealRing,
    /// Public keys of providers.
    pub providers: Keyring,
}

impl OpeningKeys {
    /// Whether a question can be opened at `now` (Unix seconds), before anything is computed.
    ///
    /// # Errors
    /// REFUSED for another suite, GONE for a key that is unknown or over (spec 7.1.5).
    pub fn accepts(&self, now: u64, question: &SealedQuestion) -> Result<(), ResultCode> {
        let suite = (question.kem.get(), question.kdf.get(), question.aead.get());
        if suite != (SUITE_KEM, SUITE_KDF, SUITE_AEAD) {
            return Err(ResultCode::Refused);
        }
        match self.ring.find(&question.key_id) {
            Some(key) if now <= key.until => Ok(()),
            _ => Err(ResultCode::Gone),
        }
    }
}

/// A question that could be opened.
#[derive(Debug)]
pub struct Opened {
    /// What is asked, or why it cannot be read: the answer is then MALFORMED.
    pub request: Result<ReportRequest, MalformedRequest>,
    /// What seals its answer.
    pub answer_key: AnswerKey,
}

/// Why a question was not opened: the answer is random bytes (spec 2.9.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// The key was dropped since [`OpeningKeys::accepts`] found it.
    #[error("the seal key is gone")]
    Gone,
    /// It was sealed to another key, or changed on its way.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Opens a question that [`OpeningKeys::accepts`], and verifies the signature of its grant.
///
/// # Errors
/// [`NotOpened`].
pub fn open(keys: &OpeningKeys, header: &Question, question: &SealedQuestion) -> Result<Opened, NotOpened> {
    let key = keys.ring.find(&question.key_id).ok_or(NotOpened::Gone)?;
    let set = header.set.get();
    let associated = associated_data(header.first_byte, &header.service, set);
    let (bytes, answer_key) = unseal(&key.secret, &associated, question)?;
    let request = RequestView::parse(&bytes).map(|view| read(keys, set, &view));
    Ok(Opened { request, answer_key })
}

fn read(keys: &OpeningKeys, set: u32, view: &RequestView<'_>) -> ReportRequest {
    let sent: Vec<SentKey<'_>> = view.keys().collect();
    let presented = |k: &SentKey<'_>| PresentedKey {
        key: Key::from_slice(k.key).expect("a well-formed request has keys of 16 or 32 bytes"),
        start: k.start,
        period: k.period,
        risk: k.risk,
    };
    ReportRequest {
        set,
        kind: view.kind(),
        report: *view.report(),
        secret: *view.secret_or_hash(),
        report_type: view.report_type(),
        onset_day: view.onset_day(),
        grant: grant_of(keys, view, &sent),
        puzzle: (*view.puzzle_seed(), view.puzzle_solution()),
        grant_bytes: view.grant().map(|(_, value)| value.to_vec()).unwrap_or_default(),
        keys: sent.iter().map(presented).collect(),
        content: content(&keys.service, set, view),
    }
}

/// Reads a grant as far as can be told without the state.
fn grant_of(keys: &OpeningKeys, view: &RequestView<'_>, sent: &[SentKey<'_>]) -> Presented {
    let Some((kind, value)) = view.grant() else { return Presented::None };
    let providers = &keys.providers;
    // Whoever names a provider that is there spends its budget; names that nobody has fill no table.
    match kind {
        GRANT_CODE => Code::parse(value).map_or(Presented::Faulty(Outcome::Mistyped, None), Presented::Code),
        GRANT_CERTIFICATE => match certificate::verify(value, keys.service, sent, providers) {
            Ok(vouched) => Presented::Vouched(vouched),
            Err(outcome) => {
                let named = certificate::named_provider(value).filter(|provider| providers.has(*provider));
                Presented::Faulty(outcome, named)
            }
        },
        GRANT_JWT => match jwt::verify(value, sent, providers) {
            Ok(vouched) => Presented::Vouched(vouched),
            Err(outcome) => {
                let named = jwt::named_issuer(value).and_then(|issuer| providers.of_issuer(&issuer));
                Presented::Faulty(outcome, named)
            }
        },
        _ => Presented::Faulty(Outcome::Kind, None),
    }
}

/// The content of a request (spec 7.2.5).
fn content(service: &ServiceId, set: u32, view: &RequestView<'_>) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(CONTENT_CONTEXT.as_bytes());
    hash.update(service);
    hash.update(set.to_le_bytes());
    view.content_parts().iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// Seals an answer into a frame of 4096 bytes. `nonce` MUST be fresh for every answer (spec 2.9.4).
///
/// The header is the same for every answer: nothing of what is inside is told by it.
pub fn answer(
    header: &Question,
    key: &AnswerKey,
    nonce: [u8; ANSWER_NONCE_LEN],
    reply: &ReportReply,
) -> Vec<u8> {
    let mut inside = [0; OUTCOME_LEN];
    write(reply, &mut inside);
    frame(header, key.seal_answer(nonce, &inside).as_bytes())
}

/// The answer to what could not be opened, made of random bytes (spec 2.9.4).
pub fn unopened_answer(header: &Question, random: &[u8; SEALED_BODY]) -> Vec<u8> {
    frame(header, random)
}

fn frame(header: &Question, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0; SEALED_FRAME];
    let length = with_body(AnswerHeader::to(header), body, &mut out).expect("a frame has room for its body");
    debug_assert_eq!(length, SEALED_FRAME, "a SEALED answer has one size");
    out
}

fn write(reply: &ReportReply, out: &mut [u8; OUTCOME_LEN]) {
    let standing = reply.standing;
    let counts = standing.map(|s| ReportCounts {
        keys: s.keys,
        live: s.live,
        embargo: s.embargo,
        waiting: s.waiting,
        withdrawn: s.taken_back,
    });
    let outcome = ReportOutcome {
        outcome: reply.outcome,
        state: standing.map(|s| s.state),
        verdicts: &reply.verdicts,
        puzzle: reply.puzzle,
        wait_s: reply.wait_s,
        time: reply.time,
        serial: standing.map_or(0, |s| s.serial),
        counts: counts.unwrap_or_default(),
        receipt: reply.receipt.as_ref(),
    };
    outcome.write(out);
}

#[cfg(test)]
mod tests;
