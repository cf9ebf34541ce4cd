//! The certificate: 160 bytes by which a provider vouches for a person's keys, and its signature
//! (spec 7.8.5, 7.8.6).
//!
//! It is bound to the keys by a commitment, so it needs no secret channel, and to service, set, provider and
//! time, so it is of no use elsewhere. What the moment decides is judged with [`Vouched`].

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::provider_key::{KeyDirectory, KeyMaterial};
use super::vouched::{Vouched, identity, is_life};
use crate::wire::report::{GRANT_CERTIFICATE, MAX_GRANT, Outcome, ReportType, SentKey};

/// Bytes of what is signed.
pub const CERTIFICATE_LEN: usize = 160;
/// Bytes of the grant's value: certificate and signature.
pub const CERTIFICATE_GRANT_LEN: usize = CERTIFICATE_LEN + SIGNATURE_LEN;

const SIGNATURE_LEN: usize = 64;
const LAYOUT: u16 = 1;
const CONTEXT: &[u8; 19] = b"tekd/1 certificate\0";
const KEYS_CONTEXT: &[u8] = b"tekd/1 keys\0";

const _: () = assert!(size_of::<Certificate>() == CERTIFICATE_LEN);
const _: () = assert!(CERTIFICATE_GRANT_LEN <= MAX_GRANT);

/// What a provider vouches for, as plain values; the keys come apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateFields {
    /// Service id of the origin it is for.
    pub service: [u8; 8],
    /// The set it is for.
    pub set: u32,
    /// Number of the provider at that origin.
    pub provider: u32,
    /// What it says of the person.
    pub report_type: ReportType,
    /// Day on which symptoms began, in days since 1970-01-01.
    pub onset_day: Option<u32>,
    /// First second (Unix time) it is valid.
    pub not_before: u64,
    /// Last second it is valid, at most 14 days later.
    pub not_after: u64,
    /// Fresh random bytes.
    pub nonce: [u8; 16],
}

/// A certificate in its wire layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Certificate {
    layout: U16,
    report_type: u8,
    reserved: u8,
    set: U32,
    service: [u8; 8],
    provider: U32,
    onset_day: U32,
    not_before: U64,
    not_after: U64,
    key_id: [u8; 8],
    nonce: [u8; 16],
    commitment: [u8; 32],
    reserved_end: [u8; 64],
}

impl Certificate {
    /// The grant's value: `fields` over `keys`, signed by the Ed25519 key with this secret. For providers'
    /// tools and tests; the origin signs none.
    #[must_use]
    pub fn sign(
        fields: &CertificateFields,
        keys: &[SentKey<'_>],
        secret: &[u8; 32],
    ) -> [u8; CERTIFICATE_GRANT_LEN] {
        let signer = SigningKey::from_bytes(secret);
        let certificate = Self {
            layout: LAYOUT.into(),
            report_type: fields.report_type.number(),
            reserved: 0,
            set: fields.set.into(),
            service: fields.service,
            provider: fields.provider.into(),
            onset_day: fields.onset_day.unwrap_or(0).into(),
            not_before: fields.not_before.into(),
            not_after: fields.not_after.into(),
            key_id: KeyMaterial::Ed25519(signer.verifying_key().to_bytes()).fingerprint(),
            nonce: fields.nonce,
            commitment: commitment(keys),
            reserved_end: [0; 64],
        };
        let signature = signer.sign(&certificate.message());
        let mut value = [0; CERTIFICATE_GRANT_LEN];
        value[..CERTIFICATE_LEN].copy_from_slice(certificate.as_bytes());
        value[CERTIFICATE_LEN..].copy_from_slice(&signature.to_bytes());
        value
    }

    /// What is signed: the context, then the 160 bytes.
    fn message(&self) -> [u8; CONTEXT.len() + CERTIFICATE_LEN] {
        let mut message = [0; CONTEXT.len() + CERTIFICATE_LEN];
        message[..CONTEXT.len()].copy_from_slice(CONTEXT);
        message[CONTEXT.len()..].copy_from_slice(self.as_bytes());
        message
    }

    fn is_of_this_layout(&self) -> bool {
        self.layout.get() == LAYOUT && self.reserved == 0 && self.reserved_end == [0; 64]
    }
}

/// The commitment to keys: a hash of their bytes, starts and periods in the order of their bytes, so that it
/// does not depend on the order in which they are sent (spec 7.8.6). The risk is not part of it.
#[must_use]
pub fn commitment(keys: &[SentKey<'_>]) -> [u8; 32] {
    let mut sorted = keys.to_vec();
    sorted.sort_by_key(|key| (key.key, key.start, key.period));
    let mut hash = Sha256::new_with_prefix(KEYS_CONTEXT);
    for key in sorted {
        hash.update(key.key);
        hash.update(key.start.to_le_bytes());
        hash.update(key.period.to_le_bytes());
    }
    hash.finalize().into()
}

/// The number of the provider that a grant's value names, true or not.
#[must_use]
pub fn named_provider(value: &[u8]) -> Option<u32> {
    let (certificate, _) = Certificate::read_from_prefix(value).ok()?;
    Some(certificate.provider.get())
}

/// Verifies a grant's value that stands over `keys` in a request to this service.
///
/// # Errors
/// The first fault: [`Outcome::Grant`] if it cannot be read or lives too long, [`Outcome::Audience`] if it is
/// for another service, [`Outcome::Unknown`] without such a key of such a provider, [`Outcome::Signature`],
/// [`Outcome::Keys`] if it is over other keys.
pub fn verify(
    value: &[u8],
    service: [u8; 8],
    keys: &[SentKey<'_>],
    directory: &dyn KeyDirectory,
) -> Result<Vouched, Outcome> {
    let (certificate, signature) = Certificate::read_from_prefix(value).map_err(|_| Outcome::Grant)?;
    let signature = Signature::from_slice(signature).map_err(|_| Outcome::Grant)?;
    let report_type = ReportType::from_number(certificate.report_type).ok_or(Outcome::Grant)?;
    let (not_before, not_after) = (certificate.not_before.get(), certificate.not_after.get());
    if !certificate.is_of_this_layout() || !is_life(not_before, not_after) {
        return Err(Outcome::Grant);
    }
    if certificate.service != service {
        return Err(Outcome::Audience);
    }
    let provider = certificate.provider.get();
    let key = directory.ed25519(provider, certificate.key_id).ok_or(Outcome::Unknown)?;
    let KeyMaterial::Ed25519(public) = &key.material else { return Err(Outcome::Unknown) };
    let message = certificate.message();
    let verifier = VerifyingKey::from_bytes(public).map_err(|_| Outcome::Signature)?;
    verifier.verify_strict(&message, &signature).map_err(|_| Outcome::Signature)?;
    if certificate.commitment != commitment(keys) {
        return Err(Outcome::Keys);
    }
    Ok(Vouched {
        provider,
        key: key.fingerprint(),
        set: Some(certificate.set.get()),
        report_type,
        onset_day: Some(certificate.onset_day.get()).filter(|day| *day != 0),
        not_before,
        not_after,
        identity: identity(GRANT_CERTIFICATE, &[&message]),
    })
}

#[cfg(test)]
mod tests;
