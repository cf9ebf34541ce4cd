//! An export package as a value: what the file says, in this program's types.
//!
//! Reading refuses files that are not packages and keeps quiet about keys that a set will not want: expired,
//! odd or doubled keys are the caller's verdict, key by key. Only what cannot be held in an [`ExportedKey`]
//! at all is left out, and counted. The bytes of `export.bin` are kept, because signatures cover them.

use super::container::{self, ContainerError};
use super::key::ExportedKey;
use super::proto::{self, ProtoError, SignatureInfo};

const MAX_REPORT_TYPE: i32 = 5;

/// Why bytes could not be read as an export package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The ZIP is not readable or not within limits.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A member is not the message it should be.
    #[error(transparent)]
    Proto(#[from] ProtoError),
}

/// Keys of a package that are not in its lists because they are no keys, by what is wrong with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Malformed {
    /// `key_data` is absent or not 16 bytes long.
    pub key_length: usize,
    /// `rolling_start_interval_number` is negative.
    pub rolling_start: usize,
    /// `rolling_period` is negative.
    pub rolling_period: usize,
}

impl Malformed {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.key_length + self.rolling_start + self.rolling_period
    }
}

/// A signature over a package, not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawSignature {
    pub(super) info: SignatureInfo,
    /// ASN.1 DER.
    pub(super) bytes: Vec<u8>,
}

/// An export package that was read. Its signatures are not checked: see [`super::verify`].
#[derive(Debug, Clone)]
pub struct Package {
    /// Region of the health authority, as it names itself; empty if absent.
    pub region: String,
    /// Start of the window of publication, seconds since 1970; 0 if absent.
    pub start: u64,
    /// End of the window of publication, seconds since 1970; 0 if absent.
    pub end: u64,
    /// Number of this file in its batch, from 1; 0 if absent.
    pub batch_num: i32,
    /// Files in the batch; 0 if absent.
    pub batch_size: i32,
    /// Which keys the package says it is signed with.
    pub signature_infos: Vec<SignatureInfo>,
    /// The keys, in the order of the file.
    pub keys: Vec<ExportedKey>,
    /// Keys of earlier packages whose metadata changed, in the order of the file.
    pub revised_keys: Vec<ExportedKey>,
    /// What is missing from both lists.
    pub malformed: Malformed,
    export_bin: Vec<u8>,
    signatures: Vec<RawSignature>,
}

impl Package {
    /// Reads a ZIP with `export.bin` and, if it is signed, `export.sig`.
    ///
    /// At most [`super::MAX_ZIP_BYTES`] are read, at most [`super::MAX_EXPORT_BYTES`] unpacked and at most
    /// [`super::MAX_KEYS`] keys decoded.
    ///
    /// # Errors
    /// If the bytes are not a ZIP, `export.bin` is not in it, a member is damaged, or a limit is passed.
    pub fn read(zip: &[u8]) -> Result<Self, PackageError> {
        let members = container::read_members(zip)?;
        let export = proto::decode_export(&members.export)?;
        let signatures = match &members.signature {
            Some(bytes) => proto::decode_signatures(bytes)?.signatures,
            None => Vec::new(),
        };
        let mut malformed = Malformed::default();
        let keys = well_formed(export.keys, &mut malformed);
        let revised_keys = well_formed(export.revised_keys, &mut malformed);
        Ok(Self {
            region: export.region.unwrap_or_default(),
            start: export.start_timestamp.unwrap_or_default(),
            end: export.end_timestamp.unwrap_or_default(),
            batch_num: export.batch_num.unwrap_or_default(),
            batch_size: export.batch_size.unwrap_or_default(),
            signature_infos: export.signature_infos,
            keys,
            revised_keys,
            malformed,
            export_bin: members.export,
            signatures: signatures.into_iter().map(raw_signature).collect(),
        })
    }

    /// The bytes that signatures cover: all of `export.bin`, header included.
    #[must_use]
    pub fn signed_bytes(&self) -> &[u8] {
        &self.export_bin
    }

    /// Signatures in `export.sig`, checked or not; 0 if the package is unsigned.
    #[must_use]
    pub fn signature_count(&self) -> usize {
        self.signatures.len()
    }

    pub(super) fn signatures(&self) -> &[RawSignature] {
        &self.signatures
    }
}

fn raw_signature(signature: proto::Signature) -> RawSignature {
    RawSignature {
        info: signature.signature_info.unwrap_or_default(),
        bytes: signature.signature.unwrap_or_default(),
    }
}

fn well_formed(keys: Vec<proto::Key>, malformed: &mut Malformed) -> Vec<ExportedKey> {
    keys.into_iter().filter_map(|key| exported(&key, malformed)).collect()
}

fn exported(key: &proto::Key, malformed: &mut Malformed) -> Option<ExportedKey> {
    let Ok(bytes) = <[u8; 16]>::try_from(key.key_data()) else {
        malformed.key_length += 1;
        return None;
    };
    let Ok(start) = u32::try_from(key.rolling_start_interval_number()) else {
        malformed.rolling_start += 1;
        return None;
    };
    let Ok(period) = u32::try_from(key.rolling_period()) else {
        malformed.rolling_period += 1;
        return None;
    };
    let risk = key.transmission_risk_level().clamp(0, i32::from(u8::MAX));
    let report_type = Some(key.report_type()).filter(|value| (0..=MAX_REPORT_TYPE).contains(value));
    Some(ExportedKey {
        key: bytes,
        risk: u8::try_from(risk).expect("clamped to the range of u8"),
        start,
        period,
        report_type: report_type.and_then(|value| u8::try_from(value).ok()).unwrap_or_default(),
        onset: key.days_since_onset_of_symptoms.and_then(|days| i8::try_from(days).ok()),
    })
}
