//! The body of a CHECKPOINT answer (spec 2.2.1): checkpoint, signatures, delegation, signatures.
//!
//! It is small enough for one datagram, so a client without a connection can verify everything it needs. This
//! file cuts it into parts and keeps them byte for byte (spec 4.4.3); it verifies nothing.

use super::checkpoint::{CHECKPOINT_LEN, Checkpoint, CheckpointError};
use super::delegation::{DELEGATION_LEN, Delegation, DelegationError, MAX_DELEGATION_SIGNATURES};
use super::signature::{MAX_SIGNATURES, SignatureError, SignatureList, list_len};

/// Longest body of a CHECKPOINT answer: a datagram of 1232 bytes less the header of 64 (spec 1.3.1, 2.2.2).
pub const MAX_ANSWER_BODY: usize = 1232 - 64;

const _: () = assert!(
    CHECKPOINT_LEN + list_len(MAX_SIGNATURES) + DELEGATION_LEN + list_len(MAX_DELEGATION_SIGNATURES)
        <= MAX_ANSWER_BODY
);

/// Why bytes are not the body of a CHECKPOINT answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The bytes end before the part that is named.
    #[error("answer ends before its {part}: {have} bytes")]
    Short {
        /// The part that is missing or cut.
        part: &'static str,
        /// Bytes there are.
        have: usize,
    },
    /// Longer than a datagram carries.
    #[error("answer body of {0} bytes, at most {MAX_ANSWER_BODY}")]
    TooLong(usize),
    /// Bytes are left after the last part.
    #[error("{0} bytes after the answer body")]
    Trailing(usize),
    /// More signatures on the delegation than an answer may carry.
    #[error("{0} signatures on the delegation, at most {MAX_DELEGATION_SIGNATURES}")]
    DelegationSignatures(usize),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The delegation cannot be read.
    #[error(transparent)]
    Delegation(#[from] DelegationError),
    /// A signature list cannot be read.
    #[error(transparent)]
    Signatures(#[from] SignatureError),
}

/// A CHECKPOINT answer in its parts. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointAnswer {
    /// The newest checkpoint.
    pub checkpoint: Checkpoint,
    /// Signatures over it.
    pub signatures: SignatureList,
    /// The delegation of the online key.
    pub delegation: Delegation,
    /// Signatures of the roots over it.
    pub delegation_signatures: SignatureList,
}

impl CheckpointAnswer {
    /// The body, the same bytes it was read from.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        [
            self.checkpoint.as_bytes(),
            self.signatures.as_bytes(),
            self.delegation.as_bytes(),
            self.delegation_signatures.as_bytes(),
        ]
        .concat()
    }
}

/// Joins a checkpoint, its signature list and a delegation with its own list to an answer body.
#[must_use]
pub fn compose_answer_body(
    checkpoint: &[u8],
    signatures: &[u8],
    delegation_with_signatures: &[u8],
) -> Vec<u8> {
    [checkpoint, signatures, delegation_with_signatures].concat()
}

/// Reads a body that ends with `bytes`.
///
/// # Errors
/// [`AnswerError`], also for bytes left over.
pub fn parse_answer_body(bytes: &[u8]) -> Result<CheckpointAnswer, AnswerError> {
    let (answer, used) = parse_answer_prefix(bytes)?;
    if used < bytes.len() {
        return Err(AnswerError::Trailing(bytes.len() - used));
    }
    Ok(answer)
}

/// Reads a body at the start of `bytes`, behind which TLVs may follow; gives it and the bytes it took.
///
/// # Errors
/// [`AnswerError`].
pub fn parse_answer_prefix(bytes: &[u8]) -> Result<(CheckpointAnswer, usize), AnswerError> {
    let short = |part| AnswerError::Short { part, have: bytes.len() };
    let (checkpoint, rest) = bytes.split_at_checked(CHECKPOINT_LEN).ok_or(short("checkpoint"))?;
    let checkpoint = Checkpoint::parse(checkpoint)?;
    let (signatures, used) = SignatureList::parse(rest)?;
    let (delegation, rest) = rest[used..].split_at_checked(DELEGATION_LEN).ok_or(short("delegation"))?;
    let delegation = Delegation::parse(delegation)?;
    let (delegation_signatures, used) = SignatureList::parse(rest)?;
    let count = delegation_signatures.entries().count();
    if count > MAX_DELEGATION_SIGNATURES {
        return Err(AnswerError::DelegationSignatures(count));
    }
    let used = bytes.len() - (rest.len() - used);
    if used > MAX_ANSWER_BODY {
        return Err(AnswerError::TooLong(used));
    }
    Ok((CheckpointAnswer { checkpoint, signatures, delegation, delegation_signatures }, used))
}
