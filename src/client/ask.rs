//! A client of one set: asks, waits where the server says so, verifies, and tells what holds.
//!
//! Questions go by the first carrier; what it cannot carry goes by the stream, if there is one
//! (spec 1.3.5, 2.6.3, 4.5.5). The client keeps the newest checkpoint it verified and never goes
//! back behind it. It has no clock: time, randomness and sleep are handed in.

use std::fmt;
use std::time::Duration;

use super::asking::{Ask, Asking, Patience, Refused, Reply};
use super::carrier::{Carrier, CarrierError};
use super::error::ClientError;
use super::pace::bounded_wait_s;
use super::set::{Evidence, accept, manifest_for};
use super::verify::{Unverifiable, schema_of};
use crate::release::{
    self, Checkpoint, CheckpointAnswer, Fields, Hash, MAX_MANIFEST, Manifest, Schema, Trust, Verifier,
    parse_answer_body,
};
use crate::wire::key::LONG_KEY_LEN;
use crate::wire::layout::MAX_UDP_OBJECT;
use crate::wire::question::Fetch;
use crate::wire::slot::max_slots;
use crate::wire::{
    AnswerBody, AnswerError, FLAG_DRAINING, FLAG_STALE, HEADER_LEN, Key, MAX_ANSWER_STREAM, MAX_DATAGRAM,
    Operation, ResultCode,
};

/// Seconds that PENDING and BUSY are waited for in all, unless told otherwise.
const PENDING_S: u64 = 30;
/// Rounds to find checkpoint and answer of one version (spec 4.3.2).
pub(super) const ROUNDS: u32 = 3;

/// Bytes of an object that one datagram carries.
const PART_DATAGRAM: usize = MAX_DATAGRAM - HEADER_LEN;
/// Bytes of an object that one answer on a stream carries.
const PART_STREAM: usize = MAX_ANSWER_STREAM - HEADER_LEN;

const _: () = assert!(PART_DATAGRAM < PART_STREAM && MAX_MANIFEST <= MAX_UDP_OBJECT as usize);

type BoxedCarrier<'e> = Box<dyn Carrier + Send + 'e>;
type BoxedRandom<'e> = Box<dyn FnMut(&mut [u8]) + Send + 'e>;
type BoxedSleep<'e> = Box<dyn FnMut(Duration) + Send + 'e>;

/// A client of one set of one server.
pub struct Client<'e> {
    carrier: BoxedCarrier<'e>,
    stream: Option<BoxedCarrier<'e>>,
    pub(super) random: BoxedRandom<'e>,
    pub(super) sleep: BoxedSleep<'e>,
    patience: Patience,
    pub(super) pending_s: u64,
    pub(super) verifier: Verifier,
    evidence: Vec<Evidence>,
    pub(super) manifest: Option<Manifest>,
}

/// What INFO says. A hint (spec 1.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InfoReport {
    /// Newest version of the set, 0 if it has no release.
    pub version: u64,
    /// The node that answered.
    pub node: u32,
    /// Least protocol version it speaks.
    pub least: u8,
    /// Newest protocol version it speaks.
    pub newest: u8,
    /// Time of its newest checkpoint, Unix seconds, 0 if none.
    pub checkpoint_time: u64,
    /// Seconds it asks to wait before the next question about the set.
    pub wait_s: u16,
    /// Its newest checkpoint is past its `fresh_until`.
    pub stale: bool,
    /// It is about to leave.
    pub draining: bool,
}

/// What LOOKUP says. A hint (spec 2.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupReport {
    /// The version of the last answer.
    pub version: u64,
    /// For each key in order its public fields, or `None` if it is not live.
    pub keys: Vec<Option<Fields>>,
}

/// A verified manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestReport {
    /// What it says.
    pub manifest: Manifest,
    /// H of its bytes.
    pub digest: Hash,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client(set {})", self.set())
    }
}

impl<'e> Client<'e> {
    /// A client of `set` under `trust`.
    ///
    /// `random` fills a slice with unpredictable bytes; `sleep` returns after the time it is given.
    pub fn new(
        carrier: impl Carrier + Send + 'e,
        trust: Trust,
        set: u32,
        random: impl FnMut(&mut [u8]) + Send + 'e,
        sleep: impl FnMut(Duration) + Send + 'e,
    ) -> Self {
        Self {
            carrier: Box::new(carrier),
            stream: None,
            random: Box::new(random),
            sleep: Box::new(sleep),
            patience: Patience::default(),
            pending_s: PENDING_S,
            verifier: Verifier::new(trust, set),
            evidence: Vec::new(),
            manifest: None,
        }
    }

    /// Gives the client a stream for what datagrams cannot carry, and for when they get no answer.
    #[must_use]
    pub fn with_stream(mut self, stream: impl Carrier + Send + 'e) -> Self {
        self.stream = Some(Box::new(stream));
        self
    }

    /// How long answers are waited for, and for how many seconds in all PENDING and BUSY are.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience, pending_s: u64) -> Self {
        (self.patience, self.pending_s) = (patience, pending_s);
        self
    }

    /// The set.
    #[must_use]
    pub fn set(&self) -> u32 {
        self.verifier.set()
    }

    /// The newest checkpoint that [`checkpoint`](Self::checkpoint) verified.
    #[must_use]
    pub fn newest(&self) -> Option<&Checkpoint> {
        self.verifier.checkpoint()
    }

    /// Whether there is a stream, for what datagrams never carry.
    pub(super) fn has_stream(&self) -> bool {
        self.carrier.is_stream() || self.stream.is_some()
    }

    /// Contradictions that the service signed (spec 3.4.6).
    #[must_use]
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// INFO: what the server says of itself and the set.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn info(&mut self) -> Result<InfoReport, ClientError> {
        let reply = self.ask(&Ask::Info)?;
        let (header, AnswerBody::Info(detail)) = (reply.view().header, reply.view().body) else {
            return Err(self.other_body(Operation::Info));
        };
        Ok(InfoReport {
            version: header.version.get(),
            node: detail.node.get(),
            least: detail.least,
            newest: detail.newest,
            checkpoint_time: detail.checkpoint_time.get(),
            wait_s: header.wait.get(),
            stale: header.has(FLAG_STALE),
            draining: header.has(FLAG_DRAINING),
        })
    }

    /// The newest checkpoint, verified and not older than any before (spec 4.1.1).
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn checkpoint(&mut self) -> Result<Checkpoint, ClientError> {
        let answer = self.checkpoint_answer()?;
        let accepted = accept(&mut self.verifier, &mut self.evidence, &answer);
        self.judged(accepted.is_ok());
        accepted.map_err(|what| self.unverifiable(Operation::Checkpoint, what))
    }

    /// The newest checkpoint with what vouches for it, unverified.
    pub(super) fn checkpoint_answer(&mut self) -> Result<CheckpointAnswer, ClientError> {
        let reply = self.ask(&Ask::Checkpoint)?;
        let AnswerBody::Checkpoint(parts) = reply.view().body else {
            return Err(self.other_body(Operation::Checkpoint));
        };
        let vouched = [parts.signatures, &parts.delegation[..], parts.delegation_signatures].concat();
        let answer = parse_answer_body(&[&parts.checkpoint[..], &vouched].concat());
        answer.map_err(|what: release::AnswerError| self.unverifiable(Operation::Checkpoint, what.into()))
    }

    /// The manifest that the newest verified checkpoint names (spec 3.6.3).
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn manifest(&mut self) -> Result<ManifestReport, ClientError> {
        let digest = self.checkpoint()?.manifest();
        let bytes = self.fetch_manifest(&digest)?;
        let manifest = manifest_for(&bytes, &self.verifier);
        self.judged(manifest.is_ok());
        let manifest = manifest.map_err(|what| self.unverifiable(Operation::Manifest, what))?;
        self.heed(&manifest);
        Ok(ManifestReport { manifest, digest, bytes })
    }

    /// The bytes of a manifest by its digest, which they have.
    pub(super) fn fetch_manifest(&mut self, digest: &Hash) -> Result<Vec<u8>, ClientError> {
        self.fetch(digest, None, MAX_MANIFEST as u64)
    }

    /// Bounds later waits by what a verified manifest says of the interval (spec 4.5.1).
    pub(super) fn heed(&mut self, manifest: &Manifest) {
        self.manifest = Some(manifest.clone());
    }

    /// Looks keys up, as many questions as it takes. A hint, not a proof.
    ///
    /// # Errors
    /// [`ClientError`]; also if the keys are not of one length.
    pub fn lookup(&mut self, keys: &[Key]) -> Result<LookupReport, ClientError> {
        let schema = self.schema()?;
        let mut report = LookupReport { version: 0, keys: Vec::with_capacity(keys.len()) };
        let long = keys.first().is_some_and(|key| key.len() == LONG_KEY_LEN);
        for keys in keys.chunks(max_slots(long)) {
            let reply = self.ask(&Ask::Lookup(keys))?;
            let view = reply.view();
            let AnswerBody::Lookup(answer) = view.body else {
                return Err(self.other_body(Operation::Lookup));
            };
            let slots =
                answer.read(keys).map_err(|what| self.unverifiable(Operation::Lookup, what.into()))?;
            for slot in slots {
                let fields = slot.fields.map(|fields| schema.read_fields(&fields[..schema.fields_len()]));
                let fields = fields.transpose();
                report.keys.push(fields.map_err(|what| self.unverifiable(Operation::Lookup, what.into()))?);
            }
            report.version = view.header.version.get();
        }
        Ok(report)
    }

    /// The schema of the set, from a verified checkpoint.
    fn schema(&mut self) -> Result<Schema, ClientError> {
        let checkpoint = match self.newest() {
            Some(newest) => *newest,
            None => self.checkpoint()?,
        };
        schema_of(&checkpoint).map_err(|what| self.unverifiable(Operation::Checkpoint, what))
    }

    /// An object by its digest, whose bytes are checked against it by the caller if `length` is known, and
    /// here if not.
    ///
    /// Nothing beyond `limit` bytes is fetched.
    pub(super) fn fetch(
        &mut self,
        digest: &Hash,
        length: Option<u32>,
        limit: u64,
    ) -> Result<Vec<u8>, ClientError> {
        let (mut object, mut known) = (Vec::new(), length);
        loop {
            let at = object.len() as u32;
            let left = known.map_or(u32::MAX, |length| length - at);
            if left == 0 {
                return Ok(object);
            }
            let by_stream = self.carrier.is_stream() || known.is_some_and(|length| length > MAX_UDP_OBJECT);
            if by_stream && !self.carrier.is_stream() && self.stream.is_none() {
                let length = known.unwrap_or_default().into();
                return Err(ClientError::NeedsStream {
                    operation: Operation::Fetch,
                    set: self.set(),
                    length,
                });
            }
            let most = if by_stream { PART_STREAM } else { PART_DATAGRAM };
            let asked = Fetch { digest, offset: at, length: left.min(most as u32) };
            let reply = self.ask_by(&Ask::Fetch(asked), by_stream)?;
            let AnswerBody::Fetch(answer) = reply.view().body else {
                return Err(self.other_body(Operation::Fetch));
            };
            let part = answer.read(&asked);
            let part = part.map_err(|what| self.unverifiable(Operation::Fetch, what.into()))?;
            let (total, length) = (part.total, known.unwrap_or(part.total));
            if total != length || (part.bytes.is_empty() && at < total) {
                let what = Unverifiable::Part { total: total.into(), length: length.into() };
                return Err(self.unverifiable(Operation::Fetch, what));
            }
            if u64::from(total) > limit {
                let what = Unverifiable::Length { length: total.into(), limit };
                return Err(self.unverifiable(Operation::Fetch, what));
            }
            known = Some(total);
            object.extend_from_slice(part.bytes);
        }
    }

    /// Asks, and waits for what is being prepared.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::Refused`], [`ClientError::NeedsStream`],
    /// [`ClientError::Question`], and [`ClientError::Unverifiable`] for an answer that breaks the wire.
    pub fn ask(&mut self, ask: &Ask<'_>) -> Result<Reply, ClientError> {
        self.ask_by(ask, false)
    }

    fn ask_by(&mut self, ask: &Ask<'_>, by_stream: bool) -> Result<Reply, ClientError> {
        let (operation, set) = (ask.operation(), self.set());
        let mut left_s = self.pending_s;
        loop {
            let reply = self.carry(ask, by_stream)?;
            let Some(refused) = reply.refused() else { return Ok(reply) };
            let wait_s = self.pause_s(&refused);
            match wait_s.filter(|wait_s| *wait_s <= left_s) {
                Some(wait_s) => {
                    left_s -= wait_s;
                    (self.sleep)(Duration::from_secs(wait_s));
                }
                None if refused.result == ResultCode::Transport => {
                    return Err(ClientError::NeedsStream { operation, set, length: 0 });
                }
                None => return Err(ClientError::Refused { operation, set, refused }),
            }
        }
    }

    /// The seconds to wait before the same question is worth asking again, at least one; `None` if it never
    /// is.
    fn pause_s(&self, refused: &Refused) -> Option<u64> {
        let interval_s = self.manifest.as_ref().map_or(0, |manifest| manifest.interval_s);
        let worth = matches!(refused.result, ResultCode::Pending | ResultCode::Busy);
        worth.then(|| bounded_wait_s(refused.wait_s, interval_s).max(1))
    }

    /// Carries one question: by the first carrier, and by the stream where that does not do.
    fn carry(&mut self, ask: &Ask<'_>, by_stream: bool) -> Result<Reply, ClientError> {
        let (operation, set) = (ask.operation(), self.set());
        let only_stream = by_stream || operation.needs_stream();
        let service = self.verifier.trust().service;
        let mut asking = Asking { service, set, ask: *ask, patience: self.patience };
        if self.carrier.is_stream() || !only_stream {
            if self.stream.is_some() && !self.carrier.is_stream() {
                asking.patience = asking.patience.before_stream();
            }
            let carried = self.carrier.ask(&asking, &mut *self.random);
            if self.stream.is_none() || self.carrier.is_stream() || !wants_stream(&carried) {
                return carried.map_err(|source| self.uncarried(operation, source));
            }
        }
        let Some(stream) = &mut self.stream else {
            return Err(ClientError::NeedsStream { operation, set, length: 0 });
        };
        asking.patience = self.patience;
        let carried = stream.ask(&asking, &mut *self.random);
        carried.map_err(|source| self.uncarried(operation, source))
    }

    fn uncarried(&self, operation: Operation, source: CarrierError) -> ClientError {
        match source {
            CarrierError::Answer(what) => self.unverifiable(operation, what.into()),
            CarrierError::Question(error) => error.into(),
            source => ClientError::Unreachable { operation, set: self.set(), source },
        }
    }

    /// Tells the carriers whether what came through them verified (spec 4.5.3).
    pub(super) fn judged(&mut self, held: bool) {
        self.carrier.verified(held);
        if let Some(stream) = &mut self.stream {
            stream.verified(held);
        }
    }

    pub(super) fn unverifiable(&self, operation: Operation, what: Unverifiable) -> ClientError {
        let kept = self.newest().map_or(0, Checkpoint::version);
        ClientError::Unverifiable { operation, set: self.set(), what: Box::new(what), kept }
    }

    /// The body is that of another operation than was asked.
    pub(super) fn other_body(&self, asked: Operation) -> ClientError {
        self.unverifiable(asked, AnswerError::Operation { got: 0, asked }.into())
    }
}

/// Whether datagrams got no answer, or one that only a stream can give.
fn wants_stream(carried: &Result<Reply, CarrierError>) -> bool {
    match carried {
        Ok(reply) => reply
            .refused()
            .is_some_and(|refused| matches!(refused.result, ResultCode::Transport | ResultCode::Truncated)),
        Err(CarrierError::Answer(_) | CarrierError::Question(_)) => false,
        Err(_) => true,
    }
}
