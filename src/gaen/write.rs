//! Packages written: the same keys in any order give the same bytes, on any day and any machine.
//!
//! Keys are sorted, so that a package does not tell which ones came together (unlinkable). The signing key is
//! not held here: whoever holds it lends a function. Splitting into files of a size is the caller's.

use std::error::Error;

use prost::Message as _;
use zip::result::ZipError;

use super::container::{EXPORT, MAX_EXPORT_BYTES, MAX_ZIP_BYTES, SIGNATURE, write_members};
use super::key::{DEFAULT_ROLLING_PERIOD, ExportedKey};
use super::proto::{self, EXPORT_HEADER, MAX_KEYS, SignatureInfo};

/// What a package says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageMeta {
    /// Region of the health authority.
    pub region: String,
    /// Start of the window of publication, seconds since 1970.
    pub start: u64,
    /// End of the window of publication, seconds since 1970.
    pub end: u64,
    /// Number of this file in its batch, from 1. Services of the field always wrote 1.
    pub batch_num: i32,
    /// Files in the batch. Services of the field always wrote 1.
    pub batch_size: i32,
}

/// Why a signer did not sign.
pub type SignError = Box<dyn Error + Send + Sync>;

/// From the bytes to be signed to the signature.
pub type SignFunction<'a> = dyn FnMut(&[u8]) -> Result<Vec<u8>, SignError> + 'a;

/// Signs a package while it is written.
pub struct PackageSigner<'a> {
    /// What clients look the key up by; stands in both members.
    pub info: SignatureInfo,
    /// Makes the ECDSA P-256 SHA-256 signature, in ASN.1 DER, over the bytes it is given.
    pub sign: &'a mut SignFunction<'a>,
}

/// Why a package was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// More keys than a package may have.
    #[error("{found} keys are too many for one package of at most {limit}: write several")]
    TooManyKeys {
        /// Keys given.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A number of a key does not fit into the file's `int32`.
    #[error("key {index}: {field} {value}, the format ends at {limit}: leave it out", limit = i32::MAX)]
    OutOfRange {
        /// The key's place in what was given, from 0.
        index: usize,
        /// Which number.
        field: &'static str,
        /// The number.
        value: u32,
    },
    /// The package would be too long to be read again.
    #[error(
        "{what} would be {bytes} bytes long, at most {limit} are allowed: write fewer keys or shorter texts"
    )]
    TooLarge {
        /// `export.bin` or the ZIP.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The signer failed.
    #[error("the package could not be signed: {cause}")]
    Sign {
        /// What the signer says.
        cause: SignError,
    },
    /// The ZIP writer failed.
    #[error("the ZIP could not be written: {cause}")]
    Zip {
        /// What the ZIP writer says.
        cause: ZipError,
    },
}

/// Writes `keys` as an export package: a ZIP of `export.bin` and, with a signer, `export.sig`.
///
/// Equal keys, meta and signature give equal bytes: keys are sorted by their bytes, the date is 1980-01-01.
/// As services of the field do, a period of 144 is left to its default and a risk is always written.
///
/// # Errors
/// If there are too many keys, a number does not fit the format, or the signer fails.
pub fn write_package(
    keys: &[ExportedKey],
    meta: &PackageMeta,
    signer: Option<PackageSigner<'_>>,
) -> Result<Vec<u8>, WriteError> {
    let export = export_bin(keys, meta, signer.as_ref().map(|signer| &signer.info))?;
    let signature = signer.map(|signer| export_sig(&export, meta, signer)).transpose()?;
    let mut members = vec![(EXPORT, export.as_slice())];
    members.extend(signature.as_deref().map(|bytes| (SIGNATURE, bytes)));
    let zip = write_members(&members).map_err(|cause| WriteError::Zip { cause })?;
    within("the ZIP", zip.len(), MAX_ZIP_BYTES)?;
    Ok(zip)
}

fn export_bin(
    keys: &[ExportedKey],
    meta: &PackageMeta,
    info: Option<&SignatureInfo>,
) -> Result<Vec<u8>, WriteError> {
    if keys.len() > MAX_KEYS {
        return Err(WriteError::TooManyKeys { found: keys.len(), limit: MAX_KEYS });
    }
    for (index, key) in keys.iter().enumerate() {
        in_range(index, "rolling start", key.start)?;
        in_range(index, "rolling period", key.period)?;
    }
    // unlinkable: keys leave in the order of their bytes, not in the order in which they came.
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    let message = proto::Export {
        start_timestamp: Some(meta.start),
        end_timestamp: Some(meta.end),
        region: Some(meta.region.clone()),
        batch_num: Some(meta.batch_num),
        batch_size: Some(meta.batch_size),
        signature_infos: info.into_iter().cloned().collect(),
        keys: sorted.iter().map(key_message).collect(),
        revised_keys: Vec::new(),
    };
    let bytes = EXPORT_HEADER.len() + message.encoded_len();
    within(EXPORT, bytes, MAX_EXPORT_BYTES)?;
    let mut export = Vec::with_capacity(bytes);
    export.extend_from_slice(&EXPORT_HEADER);
    export.extend_from_slice(&message.encode_to_vec());
    Ok(export)
}

fn export_sig(export: &[u8], meta: &PackageMeta, signer: PackageSigner<'_>) -> Result<Vec<u8>, WriteError> {
    let signature = (signer.sign)(export).map_err(|cause| WriteError::Sign { cause })?;
    let list = proto::SignatureList {
        signatures: vec![proto::Signature {
            signature_info: Some(signer.info),
            batch_num: Some(meta.batch_num),
            batch_size: Some(meta.batch_size),
            signature: Some(signature),
        }],
    };
    Ok(list.encode_to_vec())
}

fn key_message(key: &ExportedKey) -> proto::Key {
    let int32 = |value: u32| i32::try_from(value).expect("in_range was asked of every key");
    proto::Key {
        key_data: Some(key.key.to_vec()),
        transmission_risk_level: Some(i32::from(key.risk)),
        rolling_start_interval_number: Some(int32(key.start)),
        rolling_period: Some(key.period).filter(|period| *period != DEFAULT_ROLLING_PERIOD).map(int32),
        report_type: Some(i32::from(key.report_type)),
        days_since_onset_of_symptoms: key.onset.map(i32::from),
    }
}

fn in_range(index: usize, field: &'static str, value: u32) -> Result<(), WriteError> {
    match i32::try_from(value) {
        Ok(_) => Ok(()),
        Err(_) => Err(WriteError::OutOfRange { index, field, value }),
    }
}

fn within(what: &'static str, bytes: usize, limit: usize) -> Result<(), WriteError> {
    if bytes > limit { Err(WriteError::TooLarge { what, bytes, limit }) } else { Ok(()) }
}
