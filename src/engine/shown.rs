//! What readers of a set were shown last, as bytes: what they need beside its generation (spec 5.11).
//!
//! A start shows it again before the private state is read. It is a cache, as a generation is: nothing in it
//! is believed that does not verify under the set's trust, and what cannot be used is not.

use sha2::{Digest, Sha256};

use super::codec::{DecodeError, Decoder, Encoder};
use super::event::Event;
use super::rebuild::read_event;
use super::set::Bridge;
use crate::release::{
    AnswerError, CheckpointAnswer, LogTree, Manifest, ManifestError, Trust, Verifier, VerifyError,
    compose_answer_body, log_leaf_hash, parse_answer_body,
};
use crate::store::journal::{Head, LogId, Record};

/// What the file begins with.
const MAGIC: [u8; 8] = *b"TEKDSHOW";
/// Format of the file (spec 5.11.1).
const FORMAT: u16 = 1;
/// Bytes of H at the end.
const DIGEST_LEN: usize = 32;

/// What readers of one set are shown, and where in the journal that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The random name of the journal.
    pub log_id: LogId,
    /// Its head when the state was taken: all they see is decided up to there.
    pub head: Head,
    /// The set.
    pub set: u32,
    /// Version in the name of the generation.
    pub table: u64,
    /// The newest published checkpoint.
    pub checkpoint: Vec<u8>,
    /// Its signature list.
    pub signatures: Vec<u8>,
    /// The delegation it was signed under, with its signature list.
    pub delegation: Vec<u8>,
    /// The newest manifest.
    pub manifest: Vec<u8>,
    /// The manifest that the checkpoint names.
    pub published_manifest: Vec<u8>,
    /// Where earlier incarnations of the log ended.
    pub bridges: Vec<Bridge>,
    /// Leaves of the checkpoint log, that of the checkpoint the last.
    pub leaves: Vec<[u8; 32]>,
}

/// Why what was shown last is not shown again.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ShownError {
    #[error("it does not match its checksum")]
    Damaged,
    #[error("it is of format {found}, this tekd reads format {FORMAT}")]
    Format { found: u16 },
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("its manifest: {0}")]
    Manifest(#[from] ManifestError),
    #[error("its checkpoint log is not the one that the checkpoint names")]
    Log,
}

/// What was shown last and verified.
#[derive(Debug)]
pub struct VerifiedShown {
    /// Checkpoint and delegation with their signatures.
    pub answer: CheckpointAnswer,
    /// The newest manifest.
    pub manifest: Manifest,
    /// The checkpoint log.
    pub log: LogTree,
}

impl Shown {
    /// All of it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut e = Encoder::new();
        e.raw(&MAGIC).u16(FORMAT).raw(&self.log_id);
        e.u32(self.head.incarnation).u64(self.head.gno).u64(self.head.seq).raw(&self.head.chain);
        e.u32(self.set).u64(self.table);
        e.bytes(&self.checkpoint).bytes(&self.signatures).bytes(&self.delegation);
        e.bytes(&self.manifest).bytes(&self.published_manifest).count(self.bridges.len());
        for bridge in &self.bridges {
            e.u32(bridge.incarnation).u32(bridge.serial);
        }
        e.count(self.leaves.len());
        for leaf in &self.leaves {
            e.raw(leaf);
        }
        let mut bytes = e.finish();
        bytes.extend_from_slice(&Sha256::digest(&bytes));
        bytes
    }

    /// What these bytes were made from.
    ///
    /// # Errors
    /// [`ShownError`] for bytes that are damaged or of another format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Shown, ShownError> {
        let (body, digest) = bytes.split_last_chunk::<DIGEST_LEN>().ok_or(ShownError::Damaged)?;
        if !body.starts_with(&MAGIC) || Sha256::digest(body)[..] != digest[..] {
            return Err(ShownError::Damaged);
        }
        let mut d = Decoder::new("what was shown last", &body[MAGIC.len()..]);
        let format = d.u16()?;
        if format != FORMAT {
            return Err(ShownError::Format { found: format });
        }
        let shown = Shown {
            log_id: d.array()?,
            head: Head { incarnation: d.u32()?, gno: d.u64()?, seq: d.u64()?, chain: d.array()? },
            set: d.u32()?,
            table: d.u64()?,
            checkpoint: d.bytes()?.to_vec(),
            signatures: d.bytes()?.to_vec(),
            delegation: d.bytes()?.to_vec(),
            manifest: d.bytes()?.to_vec(),
            published_manifest: d.bytes()?.to_vec(),
            bridges: (0..d.count(8)?)
                .map(|_| Ok(Bridge { incarnation: d.u32()?, serial: d.u32()? }))
                .collect::<Result<_, DecodeError>>()?,
            leaves: (0..d.count(32)?).map(|_| d.array()).collect::<Result<_, _>>()?,
        };
        d.end()?;
        Ok(shown)
    }

    /// Verifies all that readers will see under `trust`.
    ///
    /// # Errors
    /// [`ShownError`].
    pub fn verified(&self, trust: &Trust) -> Result<VerifiedShown, ShownError> {
        let answer = parse_answer_body(&self.answer_body())?;
        // verified-before-served: also what tekd itself wrote here.
        let checkpoint = Verifier::new(trust.clone(), self.set).accept(&answer)?;
        Manifest::parse_matching(&self.published_manifest, &checkpoint)?;
        let manifest = Manifest::parse_verified(&self.manifest, &answer.delegation.online())?;
        let mut log = LogTree::new();
        self.leaves.iter().for_each(|leaf| log.push(*leaf));
        let covers = log.root_at(checkpoint.log_size()) == Some(checkpoint.log_root());
        let last = self.leaves.last() == Some(&log_leaf_hash(&self.checkpoint));
        if !covers || !last || log.len() != checkpoint.log_size() + 1 {
            return Err(ShownError::Log);
        }
        Ok(VerifiedShown { answer, manifest, log })
    }

    /// Body of a CHECKPOINT answer.
    pub fn answer_body(&self) -> Vec<u8> {
        compose_answer_body(&self.checkpoint, &self.signatures, &self.delegation)
    }

    /// Whether readers of this set see something else after `record`. What cannot be read may concern
    /// anybody.
    pub fn is_outdated_by(&self, record: &Record) -> bool {
        if record.seq <= self.head.seq {
            return false;
        }
        match read_event(record) {
            Ok(Event::Published(published)) => published.set == self.set,
            Ok(Event::ManifestIssued { set, .. }) => set == self.set,
            Ok(Event::Founded(_) | Event::Delegated(_) | Event::Configured(_) | Event::Adopted { .. })
            | Err(_) => true,
            Ok(_) => false,
        }
    }
}
