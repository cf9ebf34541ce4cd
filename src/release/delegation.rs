//! The delegation: the root keys' word on which online key signs, from when, until when (spec 3.5.1).
//!
//! This file knows the 80 bytes and how to sign them. Whether enough roots signed, and whether the epoch goes
//! back, is judged in trust.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::signature::{DELEGATION_CONTEXT, PublicKey, SignatureList, SigningKey};

/// Bytes of a delegation without its signatures.
pub const DELEGATION_LEN: usize = 80;
/// Most signatures on a delegation: what fits a CHECKPOINT answer (spec 2.2.2).
pub const MAX_DELEGATION_SIGNATURES: usize = 3;
const LAYOUT: u16 = 1;

const _: () = assert!(size_of::<Delegation>() == DELEGATION_LEN);
// The wire has room for it: in a CHECKPOINT answer and beside a receipt.
const _: () = assert!(
    DELEGATION_LEN == crate::wire::layout::DELEGATION_LEN
        && MAX_DELEGATION_SIGNATURES == crate::wire::layout::MAX_DELEGATION_SIGNATURES
);

/// Why 80 bytes are no delegation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DelegationError {
    /// Not 80 bytes.
    #[error("a delegation is {DELEGATION_LEN} bytes, not {0}")]
    Length(usize),
    /// A layout this version does not know.
    #[error("delegation layout {0}, known is {LAYOUT}")]
    Layout(u16),
}

/// What a delegation says, as plain values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DelegationFields {
    /// Greater than that of any delegation before.
    pub epoch: u32,
    /// Service id.
    pub service: [u8; 8],
    /// First second (Unix time) a checkpoint may bear.
    pub not_before: u64,
    /// Last second a checkpoint may bear.
    pub not_after: u64,
    /// The online key.
    pub online: PublicKey,
}

/// A delegation in its wire layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Delegation {
    layout: U16,
    reserved: U16,
    epoch: U32,
    service: [u8; 8],
    not_before: U64,
    not_after: U64,
    online: [u8; 32],
    reserved_end: [u8; 16],
}

impl Delegation {
    /// The delegation that says `fields`.
    #[must_use]
    pub fn new(fields: &DelegationFields) -> Self {
        Self {
            layout: LAYOUT.into(),
            reserved: 0.into(),
            epoch: fields.epoch.into(),
            service: fields.service,
            not_before: fields.not_before.into(),
            not_after: fields.not_after.into(),
            online: fields.online.0,
            reserved_end: [0; 16],
        }
    }

    /// Reads exactly 80 bytes. Nothing is verified.
    ///
    /// # Errors
    /// [`DelegationError`]: another length or layout.
    pub fn parse(bytes: &[u8]) -> Result<Self, DelegationError> {
        let it = Self::read_from_bytes(bytes).map_err(|_| DelegationError::Length(bytes.len()))?;
        if it.layout.get() != LAYOUT {
            return Err(DelegationError::Layout(it.layout.get()));
        }
        Ok(it)
    }

    /// The 80 bytes and the signature list of `roots`. The first three sign: more would not fit an answer
    /// (spec 2.2.2), and no threshold asks for more (spec 3.5.3).
    #[must_use]
    pub fn sign(&self, roots: &[SigningKey]) -> Vec<u8> {
        let signers = roots.iter().take(MAX_DELEGATION_SIGNATURES);
        let list = SignatureList::sign(DELEGATION_CONTEXT, self.as_bytes(), signers);
        [self.as_bytes(), list.as_bytes()].concat()
    }

    /// Epoch of the online key.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch.get()
    }

    /// Service id.
    #[must_use]
    pub fn service(&self) -> [u8; 8] {
        self.service
    }

    /// First second a checkpoint may bear.
    #[must_use]
    pub fn not_before(&self) -> u64 {
        self.not_before.get()
    }

    /// Last second a checkpoint may bear.
    #[must_use]
    pub fn not_after(&self) -> u64 {
        self.not_after.get()
    }

    /// The online key.
    #[must_use]
    pub fn online(&self) -> PublicKey {
        PublicKey(self.online)
    }

    /// The 80 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        IntoBytes::as_bytes(self)
    }
}
