//! Whom a client believes: a service, its root keys and how many of them must agree (spec 3.5.3).
//!
//! Trust is configured, never learnt from the network. Its file form is in `trust_file`, its use in
//! `verifier`.

use super::delegation::{Delegation, MAX_DELEGATION_SIGNATURES};
use super::signature::{DELEGATION_CONTEXT, PublicKey, SignatureError, SignatureList, verify};

/// Most root keys (spec 3.5.3).
pub const MAX_ROOTS: usize = 16;
/// Greatest threshold: as many signatures as a delegation can bring along (spec 2.2.2, 3.5.3).
pub const MAX_THRESHOLD: usize = MAX_DELEGATION_SIGNATURES;
/// Most sets one trust names.
pub const MAX_TRUST_SETS: usize = 1024;

const _: () = assert!(MAX_THRESHOLD <= MAX_ROOTS);

/// Why a trust is not usable, or a delegation not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The threshold is 0 or above what a delegation can carry.
    #[error("threshold {0}, must be 1 to {MAX_THRESHOLD}")]
    Threshold(usize),
    /// Fewer roots than the threshold, or too many.
    #[error("{roots} root keys, must be {threshold} to {MAX_ROOTS}")]
    Roots {
        /// Root keys named.
        roots: usize,
        /// The threshold.
        threshold: usize,
    },
    /// The same root key twice.
    #[error("root key {0} stands twice")]
    RootTwice(PublicKey),
    /// A root key that verifies nothing.
    #[error("root key {0} is not a canonical key of full order")]
    RootUnsound(PublicKey),
    /// No set or too many.
    #[error("{0} sets, must be 1 to {MAX_TRUST_SETS}")]
    Sets(usize),
    /// The same set twice.
    #[error("set {0} stands twice")]
    SetTwice(u32),
    /// Fewer roots signed the delegation than must.
    #[error("delegation signed by {valid} roots, {threshold} must")]
    Unsigned {
        /// Different roots that signed.
        valid: usize,
        /// The threshold.
        threshold: usize,
    },
    /// A root's signature on the delegation is wrong.
    #[error("delegation: {0}")]
    Signature(#[from] SignatureError),
}

/// What a client is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Service id, random, permanent.
    pub service: [u8; 8],
    /// How many different roots must sign a delegation, 1 to [`MAX_THRESHOLD`].
    pub threshold: usize,
    /// The root keys, at least `threshold`, at most [`MAX_ROOTS`].
    pub roots: Vec<PublicKey>,
    /// The sets the client may ask for.
    pub sets: Vec<u32>,
}

impl Trust {
    /// Checks the limits of spec 3.5.3.
    ///
    /// # Errors
    /// [`TrustError`], the first limit that is broken.
    pub fn check(&self) -> Result<(), TrustError> {
        let (threshold, roots, sets) = (self.threshold, self.roots.len(), self.sets.len());
        if !(1..=MAX_THRESHOLD).contains(&threshold) {
            return Err(TrustError::Threshold(threshold));
        }
        if !(threshold..=MAX_ROOTS).contains(&roots) {
            return Err(TrustError::Roots { roots, threshold });
        }
        if let Some(twice) = first_twice(&self.roots) {
            return Err(TrustError::RootTwice(twice));
        }
        if let Some(unsound) = self.roots.iter().find(|root| !root.is_sound()) {
            return Err(TrustError::RootUnsound(*unsound));
        }
        if !(1..=MAX_TRUST_SETS).contains(&sets) {
            return Err(TrustError::Sets(sets));
        }
        first_twice(&self.sets).map_or(Ok(()), |twice| Err(TrustError::SetTwice(twice)))
    }

    /// Checks that at least `threshold` different roots signed the delegation (spec 3.5.1). Epoch, service
    /// and time are the verifier's business.
    ///
    /// # Errors
    /// [`TrustError::Unsigned`], [`TrustError::Signature`]; those of [`Trust::check`] for a trust that breaks
    /// its limits.
    pub fn verify_delegation(&self, delegation: &Delegation, list: &SignatureList) -> Result<(), TrustError> {
        self.check()?;
        let valid = verify(list, DELEGATION_CONTEXT, delegation.as_bytes(), &self.roots)?;
        if valid < self.threshold {
            return Err(TrustError::Unsigned { valid, threshold: self.threshold });
        }
        Ok(())
    }
}

fn first_twice<T: Copy + Ord>(items: &[T]) -> Option<T> {
    let mut sorted = items.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
