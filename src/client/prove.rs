//! Proofs on demand: one bucket against a verified checkpoint, one checkpoint against the log.
//!
//! A bucket proves presence and absence of every key under its prefix (spec 2.4.4), so one
//! question confirms what LOOKUP only hints at. Proofs of the log show that a checkpoint seen
//! before is part of what the service shows now (spec 2.7).

use super::ask::{Client, ROUNDS};
use super::asking::Ask;
use super::error::ClientError;
use super::verify::{Unverifiable, schema_of};
use crate::release::tree::{prefix_of, verify_bucket};
use crate::release::{Checkpoint, Fields, Hash, log_leaf_hash, verify_consistency, verify_inclusion};
use crate::wire::question::{Bucket, Proof, ProofKind};
use crate::wire::{AnswerBody, Key, Operation};

/// A bucket, proved: these are all live keys under the prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketReport {
    /// The checkpoint it is proved under.
    pub checkpoint: Checkpoint,
    /// The keys in order, with their public fields.
    pub keys: Vec<(Key, Fields)>,
}

impl Client<'_> {
    /// All live keys that begin with the first `bits` bits of `prefix`, proved under the newest checkpoint.
    ///
    /// # Errors
    /// [`ClientError`]; RANGE names the depth of the tree, TRUNCATED asks for a stream.
    pub fn bucket(&mut self, prefix: &[u8; 16], bits: u8) -> Result<BucketReport, ClientError> {
        let (operation, set) = (Operation::Bucket, self.set());
        let mut versions = (0, 0);
        for _ in 0..ROUNDS {
            let checkpoint = self.checkpoint()?;
            let asked = Bucket { prefix, bits, held: 0 };
            let reply = self.ask(&Ask::Bucket(asked))?;
            versions = (checkpoint.version(), reply.view().header.version.get());
            let AnswerBody::Bucket(answer) = reply.view().body else {
                return Err(self.other_body(operation));
            };
            if versions.0 == versions.1 {
                let proved = prove(&checkpoint, &asked, &answer);
                self.judged(proved.is_ok());
                return proved.map_err(|what| self.unverifiable(operation, what));
            }
        }
        let (checkpoint, answer) = versions;
        Err(ClientError::NoAgreement { operation, set, rounds: ROUNDS, checkpoint, answer, kept: checkpoint })
    }

    /// The hashes of a proof of the checkpoint log, unverified.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn proof(&mut self, proof: Proof) -> Result<Vec<Hash>, ClientError> {
        let reply = self.ask(&Ask::Proof(proof))?;
        match reply.view().body {
            AnswerBody::Proof(hashes) => Ok(hashes.to_vec()),
            _ => Err(self.other_body(Operation::Proof)),
        }
    }

    /// Proves that `older`, a checkpoint of this incarnation, is in the log of the newest one, and gives
    /// that.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn prove_inclusion(&mut self, older: &Checkpoint) -> Result<Checkpoint, ClientError> {
        let newest = self.checkpoint()?;
        let (first, second) = (older.log_size(), newest.log_size());
        let hashes = self.proof(Proof { kind: ProofKind::Inclusion, first, second })?;
        let leaf = log_leaf_hash(older.as_bytes());
        let holds = verify_inclusion(&leaf, first, second, &hashes, &newest.log_root());
        self.proved(holds, &hashes, first, second).map(|()| newest)
    }

    /// Proves that the log before `older` is a beginning of the log before the newest checkpoint, and gives
    /// that.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn prove_consistency(&mut self, older: &Checkpoint) -> Result<Checkpoint, ClientError> {
        let newest = self.checkpoint()?;
        let (first, second) = (older.log_size(), newest.log_size());
        let hashes = self.proof(Proof { kind: ProofKind::Consistency, first, second })?;
        let holds = verify_consistency(first, second, &older.log_root(), &newest.log_root(), &hashes);
        self.proved(holds, &hashes, first, second).map(|()| newest)
    }

    fn proved(&mut self, holds: bool, hashes: &[Hash], first: u64, second: u64) -> Result<(), ClientError> {
        self.judged(holds);
        let what = Unverifiable::Log { hashes: hashes.len(), first, second };
        if holds { Ok(()) } else { Err(self.unverifiable(Operation::Proof, what)) }
    }
}

/// Checks a bucket against the root of a checkpoint of the same version (spec 2.4.4).
fn prove(
    checkpoint: &Checkpoint,
    asked: &Bucket<'_>,
    answer: &crate::wire::contents::BucketAnswer<'_>,
) -> Result<BucketReport, Unverifiable> {
    let schema = schema_of(checkpoint)?;
    let contents = answer.read(asked, schema.public_len())?;
    let (got, signed) = (contents.depth, checkpoint.bits());
    if got != signed {
        return Err(Unverifiable::Depth { got, signed });
    }
    let number = prefix_of(asked.prefix, asked.bits);
    let (entries, path) = (contents.entries, contents.siblings.as_flattened());
    verify_bucket(&checkpoint.root(), got, asked.bits, 0, number, schema, entries, path)?;
    let mut keys = Vec::with_capacity(entries.len() / schema.public_len());
    for entry in entries.chunks_exact(schema.public_len()) {
        let (key, fields) = entry.split_at(schema.key_len());
        let key = Key::from_slice(key).expect("keys of every schema have 16 or 32 bytes");
        keys.push((key, schema.read_fields(fields)?));
    }
    Ok(BucketReport { checkpoint: *checkpoint, keys })
}
