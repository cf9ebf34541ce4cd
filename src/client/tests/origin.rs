//! An origin for reports: opens what is sealed, remembers reports, signs receipts, and fails on request.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};
use zerocopy::IntoBytes;

use super::fake::{BEGAN, Fake, SERVICE, SET};
use crate::authority::seal::{SUITE_AEAD, SUITE_KDF, SUITE_KEM, SealSecret, associated_data, open};
use crate::release::{Receipt, ReceiptFields, SealKey, SigningKey, content_digest, verdicts_digest};
use crate::wire::answer::{self, AnswerHeader};
use crate::wire::layout::{SealedAnswer, SealedQuestion};
use crate::wire::outcome::{OUTCOME_LEN, ReceiptBytes, ReportCounts, ReportOutcome};
use crate::wire::question::Body;
use crate::wire::report::{Durability, Outcome, ReportState, RequestKind, Verdict};
use crate::wire::request::RequestView;
use crate::wire::{FIRST_BYTE, HEADER_LEN, Parsed, Question, ResultCode, parse};

/// Seconds for which a seal key is valid.
pub(super) const SEAL_S: u64 = 14 * 86_400;
/// The one grant that the origin does not know.
pub(super) const UNKNOWN_GRANT: &[u8] = b"0000-0000-0000";

/// What happens to a sealed question or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing.
    None,
    /// The question does not arrive.
    QuestionLost,
    /// The answer does not arrive.
    AnswerLost,
    /// The question cannot be opened: random bytes answer it.
    Unread,
    /// The answer is replaced by random bytes.
    AnswerSpoilt,
}

/// A report as it is remembered.
pub(super) struct Stored {
    pub(super) content: [u8; 32],
    pub(super) secret_hash: [u8; 32],
    pub(super) verdicts: Vec<Verdict>,
    pub(super) receipt: ReceiptBytes,
    pub(super) state: ReportState,
    pub(super) keys: u16,
}

/// The origin and its public side.
pub(super) struct Origin {
    pub(super) fake: Fake,
    secrets: Vec<SealSecret>,
    /// What happens to the next sealed questions, in order.
    pub(super) troubles: VecDeque<Trouble>,
    /// Bits of the puzzle that is asked for, 0 for none, and whether solutions are believed.
    pub(super) puzzle: (u8, bool),
    /// How many of the next answers are BUSY, with this wait.
    pub(super) busy: (u32, u16),
    /// What a receipt says instead of the truth.
    pub(super) tamper: fn(&mut ReceiptFields),
    /// Who signs receipts, if not the online key; `None` in it leaves the receipt out.
    pub(super) signer: Option<Option<SigningKey>>,
    /// What vouches for who signs receipts, if not the delegation in force.
    pub(super) vouched: Option<Vec<u8>>,
    /// Reports by id.
    pub(super) reports: HashMap<[u8; 16], Stored>,
    /// Kinds of the requests that were opened.
    pub(super) opened: Vec<RequestKind>,
    /// Every frame of a sealed question or its answer that passed.
    pub(super) seen: Vec<Vec<u8>>,
    sequence: u64,
    nonce: u8,
}

/// A seal key of the manifest.
pub(super) fn seal_key(secret: &SealSecret, not_before: u64) -> SealKey {
    SealKey {
        kem: SUITE_KEM,
        kdf: SUITE_KDF,
        aead: SUITE_AEAD,
        not_before,
        not_after: not_before + SEAL_S,
        id: secret.id(),
        public: secret.public().to_vec(),
    }
}

impl Origin {
    /// An origin with one seal key, valid from the first release on.
    pub(super) fn new() -> Self {
        let secret = SealSecret::from_bytes(&[0x51; 32]);
        let mut fake = Fake::new();
        fake.announce(vec![seal_key(&secret, BEGAN)]);
        fake.release(0, &[], &[]);
        Self {
            fake,
            secrets: vec![secret],
            troubles: VecDeque::new(),
            puzzle: (0, true),
            busy: (0, 0),
            tamper: |_| (),
            signer: None,
            vouched: None,
            reports: HashMap::new(),
            opened: Vec::new(),
            seen: Vec::new(),
            sequence: 0,
            nonce: 0,
        }
    }

    /// Forgets every seal key and announces `keys` in a new release; `known` are those it opens.
    pub(super) fn rotate(&mut self, known: Vec<SealSecret>, keys: Vec<SealKey>) {
        let after_s = self.fake.checkpoint().time() - BEGAN + 900;
        self.secrets = known;
        self.fake.announce(keys);
        self.fake.release(after_s, &[], &[]);
    }

    /// The answer to a frame on a stream, or the end of the connection.
    pub(super) fn answer(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let Parsed::Question(question, Body::Sealed(sealed)) = parse(frame, &SERVICE, true) else {
            return self.fake.answer(frame, true);
        };
        self.seen.push(frame.to_vec());
        let trouble = self.troubles.pop_front().unwrap_or(Trouble::None);
        if trouble == Trouble::QuestionLost {
            return None;
        }
        let head = AnswerHeader::to(question);
        let mut out = vec![0; HEADER_LEN + size_of::<SealedAnswer>()];
        let length = match self.sealed(question, sealed, trouble) {
            Ok(answer) => answer::with_body(head, answer.as_bytes(), &mut out).unwrap(),
            Err(result) => answer::refuse(question, result, 0, 0, 0, &mut out),
        };
        out.truncate(length);
        self.seen.push(out.clone());
        (trouble != Trouble::AnswerLost).then_some(out)
    }

    fn sealed(
        &mut self,
        question: &Question,
        sealed: &SealedQuestion,
        trouble: Trouble,
    ) -> Result<SealedAnswer, ResultCode> {
        let associated = associated_data(FIRST_BYTE, &question.service, question.set.get());
        let secret = self.secrets.iter().find(|secret| secret.id() == sealed.key_id);
        let opened = open(secret.ok_or(ResultCode::Gone)?, &associated, sealed);
        self.nonce += 1;
        let random = SealedAnswer { nonce: [self.nonce; 32], ciphertext: [0x5a; 4000] };
        let (Ok((request, key)), true) = (opened, trouble != Trouble::Unread) else { return Ok(random) };
        let mut answer = [0; OUTCOME_LEN];
        self.decide(&RequestView::parse(&request).unwrap(), &mut answer);
        if trouble == Trouble::AnswerSpoilt {
            return Ok(random);
        }
        Ok(key.seal_answer(random.nonce, &answer))
    }

    fn decide(&mut self, request: &RequestView<'_>, out: &mut [u8; OUTCOME_LEN]) {
        self.opened.push(request.kind());
        let now = self.fake.checkpoint().time() + 60;
        let only = |outcome| ReportOutcome::of(outcome, now);
        if self.busy.0 > 0 {
            self.busy.0 -= 1;
            return ReportOutcome { wait_s: self.busy.1, ..only(Outcome::Busy) }.write(out);
        }
        if self.puzzle.0 > 0 && !(self.puzzle.1 && self.solved(request)) {
            return ReportOutcome { puzzle: Some(([9; 16], self.puzzle.0)), ..only(Outcome::Puzzle) }
                .write(out);
        }
        if request.grant().is_some_and(|(_, value)| value == UNKNOWN_GRANT) {
            return only(Outcome::Unknown).write(out);
        }
        let secret_hash: [u8; 32] = match request.kind() {
            RequestKind::Submit | RequestKind::Dummy => *request.secret_or_hash(),
            _ => Sha256::digest(request.secret_or_hash()).into(),
        };
        if request.kind() == RequestKind::Dummy {
            let verdicts = vec![Verdict::Accepted; request.keys().len()];
            return ReportOutcome { verdicts: &verdicts, ..only(Outcome::Done) }.write(out);
        }
        let content = content_digest(&SERVICE, SET, request);
        let known = self.reports.get(request.report());
        match (request.kind(), known) {
            (RequestKind::Submit, Some(stored)) if stored.content != content => {
                return only(Outcome::Conflict).write(out);
            }
            (RequestKind::Submit, _) => {}
            (_, Some(stored)) if stored.secret_hash == secret_hash => {}
            _ => return only(Outcome::Report).write(out),
        }
        if known.is_none_or(|stored| stored.content != content) && request.kind() != RequestKind::Status {
            self.store(request, content, secret_hash, now);
        }
        let stored = &self.reports[request.report()];
        let speaks = request.kind() != RequestKind::Status;
        let receipt = speaks && !matches!(self.signer, Some(None));
        ReportOutcome {
            state: Some(stored.state),
            verdicts: if speaks { &stored.verdicts } else { &[] },
            counts: ReportCounts { keys: stored.keys, waiting: stored.keys, ..ReportCounts::default() },
            receipt: receipt.then_some(&stored.receipt),
            ..only(Outcome::Done)
        }
        .write(out);
    }

    /// One durable step: every key that does not start at 0 is accepted, and there is a receipt for it.
    fn store(&mut self, request: &RequestView<'_>, content: [u8; 32], secret_hash: [u8; 32], now: u64) {
        self.sequence += 1;
        let verdict = |start| if start == 0 { Verdict::Expired } else { Verdict::Accepted };
        let verdicts: Vec<_> = request.keys().map(|key| verdict(key.start)).collect();
        let accepted = verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count() as u16;
        let mut fields = ReceiptFields {
            service: SERVICE,
            set: SET,
            incarnation: 1,
            report: *request.report(),
            sequence: self.sequence,
            time: now,
            durability: Durability::Disk,
            kind: request.kind(),
            keys: accepted,
            key_epoch: self.fake.epoch(),
            content,
            verdicts: verdicts_digest(&verdicts),
        };
        (self.tamper)(&mut fields);
        let receipt = Receipt::new(&fields);
        let signer = self.signer.as_ref().and_then(Option::as_ref).unwrap_or(self.fake.online());
        let signatures = Receipt::signature_list(&signer.public(), &receipt.sign(signer));
        let vouched = self.vouched.as_deref().unwrap_or(self.fake.delegation());
        let receipt = ReceiptBytes::new(*receipt.as_bytes(), signatures, vouched);
        let before = self.reports.get(request.report()).map_or(0, |stored| stored.keys);
        let withdrawn = request.kind() == RequestKind::Cancel;
        let state = if withdrawn { ReportState::Withdrawn } else { ReportState::Accepted };
        let keys = before + accepted;
        let stored = Stored { content, secret_hash, verdicts, receipt, state, keys };
        self.reports.insert(*request.report(), stored);
    }

    /// Whether the puzzle is solved, as spec 7.5.1 says it.
    fn solved(&self, request: &RequestView<'_>) -> bool {
        let grant = Sha256::digest(request.grant().unwrap().1);
        let solution = request.puzzle_solution().to_le_bytes();
        let parts = [b"tekd/1 puzzle\0", &[9; 16][..], request.report(), &grant, &solution].concat();
        let digest = Sha256::digest(parts);
        let first = u32::from_be_bytes(*digest.first_chunk().unwrap());
        *request.puzzle_seed() == [9; 16] && first.leading_zeros() >= u32::from(self.puzzle.0)
    }
}
