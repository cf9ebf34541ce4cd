//! The checkpoint: 208 signed bytes about one version of one set (spec 3.4.1, 3.4.2).
//!
//! A `Checkpoint` is its wire layout, so what was signed, logged and compared is what is held. Parsing checks
//! the layout only; a checkpoint is believed after a `Verifier` accepted it.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::signature::{CHECKPOINT_CONTEXT, SignatureList, SigningKey};

/// Bytes of a checkpoint without its signatures.
pub const CHECKPOINT_LEN: usize = 208;
/// Greatest depth of the bucket tree (spec 3.3.1).
pub const MAX_BITS: u8 = 28;
const LAYOUT: u16 = 1;

const _: () = assert!(size_of::<Checkpoint>() == CHECKPOINT_LEN);

/// Why bytes are no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not 208 bytes.
    #[error("a checkpoint is {CHECKPOINT_LEN} bytes, not {0}")]
    Length(usize),
    /// A layout this version does not know.
    #[error("checkpoint layout {0}, known is {LAYOUT}")]
    Layout(u16),
    /// A tree deeper than any set has.
    #[error("tree depth {0}, at most {MAX_BITS}")]
    Bits(u8),
}

/// What a checkpoint says, as plain values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointFields {
    /// Set id.
    pub set: u32,
    /// Service id.
    pub service: [u8; 8],
    /// `incarnation << 32 | serial`.
    pub version: u64,
    /// Time of the release, Unix seconds.
    pub time: u64,
    /// Time until which it may be taken as the newest.
    pub fresh_until: u64,
    /// Interval number: entries that end at or before it are expired.
    pub horizon: u32,
    /// Schema number of the entries.
    pub schema: u16,
    /// Depth of the bucket tree, at most [`MAX_BITS`].
    pub bits: u8,
    /// Live entries.
    pub count: u64,
    /// Checkpoints in the log before this one.
    pub log_size: u64,
    /// Root of the bucket tree.
    pub root: [u8; 32],
    /// Root of the checkpoint log of `log_size` leaves.
    pub log_root: [u8; 32],
    /// Digest of the manifest.
    pub manifest: [u8; 32],
    /// Digest of the history entries.
    pub history: [u8; 32],
    /// Epoch of the delegation whose key signs.
    pub key_epoch: u32,
}

/// A checkpoint in its wire layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Checkpoint {
    layout: U16,
    flags: U16,
    set: U32,
    service: [u8; 8],
    version: U64,
    time: U64,
    fresh_until: U64,
    horizon: U32,
    schema: U16,
    bits: u8,
    reserved: u8,
    count: U64,
    log_size: U64,
    root: [u8; 32],
    log_root: [u8; 32],
    manifest: [u8; 32],
    history: [u8; 32],
    key_epoch: U32,
    reserved_end: [u8; 12],
}

impl Checkpoint {
    /// The checkpoint that says `fields`. Depth above [`MAX_BITS`] is written as given and refused by
    /// readers.
    #[must_use]
    pub fn new(fields: &CheckpointFields) -> Self {
        Self {
            layout: LAYOUT.into(),
            flags: 0.into(),
            set: fields.set.into(),
            service: fields.service,
            version: fields.version.into(),
            time: fields.time.into(),
            fresh_until: fields.fresh_until.into(),
            horizon: fields.horizon.into(),
            schema: fields.schema.into(),
            bits: fields.bits,
            reserved: 0,
            count: fields.count.into(),
            log_size: fields.log_size.into(),
            root: fields.root,
            log_root: fields.log_root,
            manifest: fields.manifest,
            history: fields.history,
            key_epoch: fields.key_epoch.into(),
            reserved_end: [0; 12],
        }
    }

    /// Reads exactly 208 bytes. Nothing is verified.
    ///
    /// # Errors
    /// [`CheckpointError`]: another length or layout, or an impossible depth.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let it = Self::read_from_bytes(bytes).map_err(|_| CheckpointError::Length(bytes.len()))?;
        if it.layout.get() != LAYOUT {
            return Err(CheckpointError::Layout(it.layout.get()));
        }
        if it.bits > MAX_BITS {
            return Err(CheckpointError::Bits(it.bits));
        }
        Ok(it)
    }

    /// The signature list with the one signature of the online key.
    #[must_use]
    pub fn sign(&self, online: &SigningKey) -> Vec<u8> {
        SignatureList::sign(CHECKPOINT_CONTEXT, self.as_bytes(), [online]).encode()
    }

    /// What it says, as plain values. Flags and reserved bytes are left behind.
    #[must_use]
    pub fn fields(&self) -> CheckpointFields {
        CheckpointFields {
            set: self.set(),
            service: self.service(),
            version: self.version(),
            time: self.time(),
            fresh_until: self.fresh_until(),
            horizon: self.horizon(),
            schema: self.schema(),
            bits: self.bits(),
            count: self.count(),
            log_size: self.log_size(),
            root: self.root(),
            log_root: self.log_root(),
            manifest: self.manifest(),
            history: self.history(),
            key_epoch: self.key_epoch(),
        }
    }

    /// Set id.
    #[must_use]
    pub fn set(&self) -> u32 {
        self.set.get()
    }

    /// Service id.
    #[must_use]
    pub fn service(&self) -> [u8; 8] {
        self.service
    }

    /// `incarnation << 32 | serial`.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.get()
    }

    /// The low half of the version.
    #[must_use]
    pub fn serial(&self) -> u32 {
        let [s0, s1, s2, s3, ..] = self.version.to_bytes();
        u32::from_le_bytes([s0, s1, s2, s3])
    }

    /// Time of the release, Unix seconds.
    #[must_use]
    pub fn time(&self) -> u64 {
        self.time.get()
    }

    /// Time until which it may be taken as the newest.
    #[must_use]
    pub fn fresh_until(&self) -> u64 {
        self.fresh_until.get()
    }

    /// Interval number of the horizon.
    #[must_use]
    pub fn horizon(&self) -> u32 {
        self.horizon.get()
    }

    /// Schema number.
    #[must_use]
    pub fn schema(&self) -> u16 {
        self.schema.get()
    }

    /// Depth of the bucket tree, at most [`MAX_BITS`] in a parsed checkpoint.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Live entries.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// Checkpoints in the log before this one.
    #[must_use]
    pub fn log_size(&self) -> u64 {
        self.log_size.get()
    }

    /// Root of the bucket tree.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// Root of the checkpoint log before this one.
    #[must_use]
    pub fn log_root(&self) -> [u8; 32] {
        self.log_root
    }

    /// Digest of the manifest.
    #[must_use]
    pub fn manifest(&self) -> [u8; 32] {
        self.manifest
    }

    /// Digest of the history entries.
    #[must_use]
    pub fn history(&self) -> [u8; 32] {
        self.history
    }

    /// Epoch of the delegation whose key signed.
    #[must_use]
    pub fn key_epoch(&self) -> u32 {
        self.key_epoch.get()
    }

    /// The 208 bytes: what is signed and what is a leaf of the log.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        IntoBytes::as_bytes(self)
    }
}
