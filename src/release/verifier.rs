//! A client's memory of one set, and what it lets in (spec 3.5.2, 4.1.1, 4.1.2, 4.2).
//!
//! The memory is the last accepted answer, whole: its checkpoint says what may not go back, its delegation
//! carries the highest epoch, and its signatures make it evidence should the service sign something else. An
//! answer is accepted whole or changes nothing. Age is judged against times that are handed in; no clock is
//! read here.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::answer::{AnswerError, CheckpointAnswer, parse_answer_body};
use super::checkpoint::Checkpoint;
use super::delegation::Delegation;
use super::signature::{CHECKPOINT_CONTEXT, PublicKey, SignatureError, verify};
use super::trust::{Trust, TrustError};

/// Age in seconds above which nothing is called absent, where no manifest is known (spec 4.2.2).
pub const DEFAULT_TOO_OLD_S: u32 = 604_800;

/// Why a CHECKPOINT answer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Checkpoint or delegation of another service.
    #[error("service {}, trusted is {}", hex::encode(.got), hex::encode(.trusted))]
    Service {
        /// Service id found.
        got: [u8; 8],
        /// Service id of the trust.
        trusted: [u8; 8],
    },
    /// A checkpoint of another set.
    #[error("set {got}, asked for {asked}")]
    Set {
        /// Set found.
        got: u32,
        /// Set of this verifier.
        asked: u32,
    },
    /// The trust does not name the set.
    #[error("set {0} is not in the trust")]
    SetNotTrusted(u32),
    /// The roots do not vouch for the delegation.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The delegation is older than one accepted before.
    #[error("delegation of epoch {epoch}, accepted before was {highest}")]
    EpochBack {
        /// Epoch found.
        epoch: u32,
        /// Highest epoch accepted.
        highest: u32,
    },
    /// The checkpoint names another epoch than its delegation.
    #[error("checkpoint of epoch {checkpoint} under a delegation of epoch {delegation}")]
    Epoch {
        /// Epoch in the checkpoint.
        checkpoint: u32,
        /// Epoch in the delegation.
        delegation: u32,
    },
    /// The online key's signature is wrong.
    #[error("checkpoint: {0}")]
    Signature(#[from] SignatureError),
    /// The online key did not sign.
    #[error("checkpoint without a signature of the online key {0}")]
    Unsigned(PublicKey),
    /// The checkpoint's time is outside its delegation.
    #[error("checkpoint time {time} outside its delegation, {not_before} to {not_after}")]
    Time {
        /// Time of the checkpoint.
        time: u64,
        /// First second allowed.
        not_before: u64,
        /// Last second allowed.
        not_after: u64,
    },
    /// An older version than one accepted before.
    #[error("version {version}, accepted before was {held}")]
    VersionBack {
        /// Version found.
        version: u64,
        /// Version held.
        held: u64,
    },
    /// An earlier time than one accepted before.
    #[error("checkpoint time {time}, accepted before was {held}")]
    TimeBack {
        /// Time found.
        time: u64,
        /// Time held.
        held: u64,
    },
    /// Two validly signed checkpoints of one version: evidence, to be kept and shown (spec 3.4.6).
    #[error("the service signed two different checkpoints of version {}", .kept.checkpoint.version())]
    Equivocation {
        /// The answer accepted first.
        kept: Box<CheckpointAnswer>,
        /// The answer that contradicts it.
        other: Box<CheckpointAnswer>,
    },
}

/// Why bytes are no memory of this verifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// Shorter than its head.
    #[error("memory of {0} bytes, at least {HEAD_LEN}")]
    Short(usize),
    /// A layout this version does not know.
    #[error("memory layout {0}, known is {LAYOUT}")]
    Layout(u16),
    /// The memory of another service or set.
    #[error("memory of service {} set {set}", hex::encode(.service))]
    Other {
        /// Service id found.
        service: [u8; 8],
        /// Set found.
        set: u32,
    },
    /// The answer in it cannot be read.
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

const LAYOUT: u16 = 1;
const HEAD_LEN: usize = size_of::<MemoryHead>();

const _: () = assert!(HEAD_LEN == 16);

/// Head of a saved memory; the last answer follows unless `answered` is 0.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct MemoryHead {
    layout: U16,
    answered: U16,
    set: U32,
    service: [u8; 8],
}

/// Accepts the checkpoints of one set under one trust, and never goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    trust: Trust,
    set: u32,
    last: Option<CheckpointAnswer>,
}

impl Verifier {
    /// A verifier that has accepted nothing yet. It accepts nothing at all for a set the trust does not name.
    #[must_use]
    pub fn new(trust: Trust, set: u32) -> Self {
        Self { trust, set, last: None }
    }

    /// Accepts an answer, remembers it and gives its checkpoint; or refuses it and remembers what it had.
    ///
    /// # Errors
    /// [`VerifyError`]; `Equivocation` is evidence against the service that the caller MUST keep (spec
    /// 3.4.6).
    pub fn accept(&mut self, answer: &CheckpointAnswer) -> Result<Checkpoint, VerifyError> {
        // verified-before-served: nothing below the signatures is believed before they verified.
        self.is_asked_for(answer)?;
        self.is_signed(answer)?;
        self.goes_forward(answer)?;
        self.last = Some(answer.clone());
        Ok(answer.checkpoint)
    }

    /// The set.
    #[must_use]
    pub fn set(&self) -> u32 {
        self.set
    }

    /// The trust.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The last accepted answer, byte for byte as it came.
    #[must_use]
    pub fn last(&self) -> Option<&CheckpointAnswer> {
        self.last.as_ref()
    }

    /// The last accepted checkpoint. Its time is the newest signed time of this set.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.last.as_ref().map(|last| &last.checkpoint)
    }

    /// The delegated key of the last accepted answer: who signs manifests.
    #[must_use]
    pub fn online_key(&self) -> Option<PublicKey> {
        self.last.as_ref().map(|last| last.delegation.online())
    }

    /// The highest epoch accepted.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        self.last.as_ref().map(|last| last.delegation.epoch())
    }

    /// The memory as bytes, at most 16 and the longest answer body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = MemoryHead {
            layout: LAYOUT.into(),
            answered: u16::from(self.last.is_some()).into(),
            set: self.set.into(),
            service: self.trust.service,
        };
        let body = self.last.as_ref().map(CheckpointAnswer::to_body).unwrap_or_default();
        [head.as_bytes(), &body].concat()
    }

    /// The verifier with this memory. The roots may have changed since: the memory is not verified again, it
    /// still says what may not go back. Whoever keeps it guards it against change.
    ///
    /// # Errors
    /// [`MemoryError`]: it cannot be read or is that of another service or set.
    pub fn from_bytes(trust: Trust, set: u32, bytes: &[u8]) -> Result<Self, MemoryError> {
        let (head, body) = MemoryHead::ref_from_prefix(bytes).map_err(|_| MemoryError::Short(bytes.len()))?;
        if head.layout.get() != LAYOUT {
            return Err(MemoryError::Layout(head.layout.get()));
        }
        let other = |service, set| MemoryError::Other { service, set };
        if head.service != trust.service || head.set.get() != set {
            return Err(other(head.service, head.set.get()));
        }
        if head.answered.get() == 0 && body.is_empty() {
            return Ok(Self::new(trust, set));
        }
        let last = parse_answer_body(body)?;
        if last.checkpoint.service() != trust.service || last.checkpoint.set() != set {
            return Err(other(last.checkpoint.service(), last.checkpoint.set()));
        }
        Ok(Self { trust, set, last: Some(last) })
    }

    fn is_asked_for(&self, answer: &CheckpointAnswer) -> Result<(), VerifyError> {
        if !self.trust.sets.contains(&self.set) {
            return Err(VerifyError::SetNotTrusted(self.set));
        }
        let trusted = self.trust.service;
        for got in [answer.checkpoint.service(), answer.delegation.service()] {
            if got != trusted {
                return Err(VerifyError::Service { got, trusted });
            }
        }
        let got = answer.checkpoint.set();
        if got != self.set {
            return Err(VerifyError::Set { got, asked: self.set });
        }
        Ok(())
    }

    fn is_signed(&self, answer: &CheckpointAnswer) -> Result<(), VerifyError> {
        let CheckpointAnswer { checkpoint, signatures, delegation, delegation_signatures } = answer;
        self.trust.verify_delegation(delegation, delegation_signatures)?;
        let epoch = delegation.epoch();
        if let Some(highest) = self.epoch().filter(|highest| epoch < *highest) {
            return Err(VerifyError::EpochBack { epoch, highest });
        }
        let online = delegation.online();
        if verify(signatures, CHECKPOINT_CONTEXT, checkpoint.as_bytes(), &[online])? == 0 {
            return Err(VerifyError::Unsigned(online));
        }
        if checkpoint.key_epoch() != epoch {
            return Err(VerifyError::Epoch { checkpoint: checkpoint.key_epoch(), delegation: epoch });
        }
        is_in_time(checkpoint, delegation)
    }

    fn goes_forward(&self, answer: &CheckpointAnswer) -> Result<(), VerifyError> {
        let Some(last) = &self.last else { return Ok(()) };
        let (held, new) = (&last.checkpoint, &answer.checkpoint);
        if new.version() == held.version() && new != held {
            return Err(VerifyError::Equivocation {
                kept: Box::new(last.clone()),
                other: Box::new(answer.clone()),
            });
        }
        if new.version() < held.version() {
            return Err(VerifyError::VersionBack { version: new.version(), held: held.version() });
        }
        if new.time() < held.time() {
            return Err(VerifyError::TimeBack { time: new.time(), held: held.time() });
        }
        Ok(())
    }
}

fn is_in_time(checkpoint: &Checkpoint, delegation: &Delegation) -> Result<(), VerifyError> {
    let (time, not_before, not_after) = (checkpoint.time(), delegation.not_before(), delegation.not_after());
    if !(not_before..=not_after).contains(&time) {
        return Err(VerifyError::Time { time, not_before, not_after });
    }
    Ok(())
}

/// How far a checkpoint may be relied on (spec 4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// May be taken as the newest.
    Fresh,
    /// Used, and shown with its age.
    Stale,
    /// No key may be called absent any more.
    TooOld,
}

/// The age of a checkpoint and its seconds. `now` is the client's clock, `newest_signed_time` the newest
/// signed time it has verified, of whatever set: a clock that lags cannot make old data young (spec 4.2.1).
/// `too_old_s` is the manifest's, or [`DEFAULT_TOO_OLD_S`].
#[must_use]
pub fn age(checkpoint: &Checkpoint, now: u64, newest_signed_time: u64, too_old_s: u32) -> (Age, u64) {
    let now = now.max(newest_signed_time).max(checkpoint.time());
    let seconds = now - checkpoint.time();
    let age = if seconds > u64::from(too_old_s) {
        Age::TooOld
    } else if now > checkpoint.fresh_until() {
        Age::Stale
    } else {
        Age::Fresh
    };
    (age, seconds)
}

#[cfg(test)]
mod tests;
