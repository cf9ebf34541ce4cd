//! Why an operation of the client failed, and what that means for whoever asked.
//!
//! The four kinds differ in what to do: an unreachable server is asked again later or by another
//! way, a refusal is obeyed, what cannot be verified is reported and changes nothing, and what is
//! local is mended here.

use super::asking::Refused;
use super::carrier::CarrierError;
use super::state_file::StateFileError;
use super::verify::Unverifiable;
use crate::wire::layout::MAX_UDP_OBJECT;
use crate::wire::request::RequestError;
use crate::wire::{BuildError, Operation};

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no answer.
    #[error("{} of set {set}: {source}", operation.name())]
    Unreachable {
        /// What was asked.
        operation: Operation,
        /// The set that was asked about.
        set: u32,
        /// Why not.
        source: CarrierError,
    },
    /// The server does not answer that.
    #[error("{} of set {set} was refused: {refused}", operation.name())]
    Refused {
        /// What was asked.
        operation: Operation,
        /// The set that was asked about.
        set: u32,
        /// What the server says.
        refused: Refused,
    },
    /// The answer does not fit datagrams, and there is no stream to ask on.
    #[error(
        "{} of set {set} needs a stream: {} (UDP carries objects of {MAX_UDP_OBJECT} bytes); \
         use --transport tls or --transport quic",
        operation.name(),
        stream_reason(*length)
    )]
    NeedsStream {
        /// What was asked.
        operation: Operation,
        /// The set that was asked about.
        set: u32,
        /// Bytes of what is wanted, 0 if the operation is not served on UDP at all.
        length: u64,
    },
    /// What the server said does not verify. Nothing of it was taken over.
    #[error("{} of set {set}: {what}; nothing of it is used, {}", operation.name(), kept_words(*kept))]
    Unverifiable {
        /// What was asked.
        operation: Operation,
        /// The set that was asked about.
        set: u32,
        /// Which check failed.
        what: Box<Unverifiable>,
        /// The version that stays, 0 for none.
        kept: u64,
    },
    /// Checkpoint and set were of different versions each time (spec 4.3.2).
    #[error(
        "{} of set {set}: in {rounds} rounds the checkpoint was of {}, the answer of {}; {}, try again later",
        operation.name(),
        version_words(*checkpoint),
        version_words(*answer),
        kept_words(*kept)
    )]
    NoAgreement {
        /// What was asked.
        operation: Operation,
        /// The set that was asked about.
        set: u32,
        /// Rounds made.
        rounds: u32,
        /// Version of the last checkpoint.
        checkpoint: u64,
        /// Version of the last answer, 0 if its object was gone.
        answer: u64,
        /// The version that stays, 0 for none.
        kept: u64,
    },
    /// The question cannot be asked.
    #[error("the question cannot be asked: {0}")]
    Question(#[from] BuildError),
    /// The request cannot be written.
    #[error("the report cannot be written: {0}")]
    Request(#[from] RequestError),
    /// The verified manifest has no seal key that may be sealed to now (spec 7.1.1).
    #[error("set {set} takes no reports at {at}: {}", ends_words(ends))]
    NoSealKey {
        /// The set.
        set: u32,
        /// The time for which one was sought, Unix seconds.
        at: u64,
        /// When each of the manifest's keys ends, Unix seconds.
        ends: Vec<u64>,
    },
    /// The state file cannot be used or written.
    #[error(transparent)]
    State(#[from] StateFileError),
}

/// What a failure means for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Nobody answered: exit code 3.
    Unreachable,
    /// The server refused: exit code 4.
    Refused,
    /// What was answered does not hold: exit code 1.
    Unverifiable,
    /// Something here is wrong: exit code 1, or 2 for a question that is none.
    Local,
}

impl ClientError {
    /// What the failure means.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Unreachable { .. } => FailureKind::Unreachable,
            Self::Refused { .. } | Self::NeedsStream { .. } | Self::NoSealKey { .. } => FailureKind::Refused,
            Self::Unverifiable { .. } | Self::NoAgreement { .. } => FailureKind::Unverifiable,
            Self::Question(_) | Self::Request(_) | Self::State(_) => FailureKind::Local,
        }
    }

    /// The exit code of a program that ends with this.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self.kind(), self) {
            (FailureKind::Unreachable, _) => 3,
            (FailureKind::Refused, _) => 4,
            (FailureKind::Local, Self::Question(_) | Self::Request(_)) => 2,
            (FailureKind::Local | FailureKind::Unverifiable, _) => 1,
        }
    }

    /// Which check failed, if one did.
    #[must_use]
    pub fn unverifiable(&self) -> Option<&Unverifiable> {
        let Self::Unverifiable { what, .. } = self else { return None };
        Some(what)
    }

    /// What the server said, if it refused.
    #[must_use]
    pub fn refused(&self) -> Option<&Refused> {
        let Self::Refused { refused, .. } = self else { return None };
        Some(refused)
    }
}

fn stream_reason(length: u64) -> String {
    match length {
        0 => "it is not served on UDP".to_owned(),
        length => format!("the answer has {length} bytes"),
    }
}

/// What the seal keys of a manifest are, when none will do.
fn ends_words(ends: &[u64]) -> String {
    if ends.is_empty() {
        return "its manifest has no seal key".to_owned();
    }
    let list: Vec<String> = ends.iter().map(u64::to_string).collect();
    match ends.len() {
        1 => format!("the only seal key of its manifest is not valid, it ends at {}", list[0]),
        count => {
            format!("none of the {count} seal keys of its manifest is valid, they end at {}", list.join(", "))
        }
    }
}

/// A version as people name it.
fn version_words(version: u64) -> String {
    match (version >> 32, version as u32) {
        (0, 0) => "no version".to_owned(),
        (incarnation, serial) => format!("serial {serial} in incarnation {incarnation}"),
    }
}

fn kept_words(kept: u64) -> String {
    match kept {
        0 => "nothing is held".to_owned(),
        kept => format!("{} stays", version_words(kept)),
    }
}
