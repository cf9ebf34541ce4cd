//! The protobuf messages inside a package, and a look at them before they are decoded.
//!
//! A decoder of nested messages turns two bytes into a structure forty times as large. So the outermost
//! fields are counted first, by a walk that allocates nothing, and only a message within limits is decoded.
//! Fields that are not named here are ignored, as protobuf demands. Meaning is given to the values elsewhere.

use prost::{DecodeError, Message};

/// First bytes of `export.bin`; the message follows.
pub const EXPORT_HEADER: [u8; 16] = *b"EK Export v1    ";
/// Most keys of one package, revised ones included.
pub const MAX_KEYS: usize = 1_000_000;
/// Most signatures of one package, and most descriptions of them. The field's limit is 10.
pub const MAX_SIGNATURES: usize = 64;

const TAG_SIGNATURE_INFOS: u64 = 6;
const TAG_KEYS: u64 = 7;
const TAG_REVISED_KEYS: u64 = 8;
const TAG_SIGNATURES: u64 = 1;
const MAX_VARINT_BYTES: usize = 10;

/// Most bytes of one well-formed key in a message: tag and length (2), key (18), five varints of up to 10
/// bytes with their tags (55).
const MAX_KEY_MESSAGE_BYTES: usize = 2 + 18 + 55;
const _: () = assert!(
    MAX_KEYS * MAX_KEY_MESSAGE_BYTES < super::container::MAX_EXPORT_BYTES,
    "as many keys as are allowed fit into export.bin"
);

/// `TemporaryExposureKeyExport`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Export {
    #[prost(fixed64, optional, tag = "1")]
    pub(super) start_timestamp: Option<u64>,
    #[prost(fixed64, optional, tag = "2")]
    pub(super) end_timestamp: Option<u64>,
    #[prost(string, optional, tag = "3")]
    pub(super) region: Option<String>,
    #[prost(int32, optional, tag = "4")]
    pub(super) batch_num: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub(super) batch_size: Option<i32>,
    #[prost(message, repeated, tag = "6")]
    pub(super) signature_infos: Vec<SignatureInfo>,
    #[prost(message, repeated, tag = "7")]
    pub(super) keys: Vec<Key>,
    #[prost(message, repeated, tag = "8")]
    pub(super) revised_keys: Vec<Key>,
}

/// Which key signed a package and how. Nothing of it is trusted: a signature is tried against a given key.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SignatureInfo {
    /// Bundle id of the iOS app; reserved in the final format, written by early services.
    #[prost(string, optional, tag = "1")]
    pub app_bundle_id: Option<String>,
    /// Package name of the Android app; reserved in the final format, written by early services.
    #[prost(string, optional, tag = "2")]
    pub android_package: Option<String>,
    /// Version of the verification key, usually `v1` and counting.
    #[prost(string, optional, tag = "3")]
    pub verification_key_version: Option<String>,
    /// Name of the verification key, usually the mobile country code.
    #[prost(string, optional, tag = "4")]
    pub verification_key_id: Option<String>,
    /// OID of the algorithm: `1.2.840.10045.4.3.2` is ECDSA with SHA-256.
    #[prost(string, optional, tag = "5")]
    pub signature_algorithm: Option<String>,
}

/// `TemporaryExposureKey`. The enum travels as the `int32` that it is on the wire.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Key {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub(super) key_data: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "2")]
    pub(super) transmission_risk_level: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub(super) rolling_start_interval_number: Option<i32>,
    #[prost(int32, optional, tag = "4", default = "144")]
    pub(super) rolling_period: Option<i32>,
    #[prost(int32, optional, tag = "5")]
    pub(super) report_type: Option<i32>,
    #[prost(sint32, optional, tag = "6")]
    pub(super) days_since_onset_of_symptoms: Option<i32>,
}

/// `TEKSignatureList`: all of `export.sig`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SignatureList {
    #[prost(message, repeated, tag = "1")]
    pub(super) signatures: Vec<Signature>,
}

/// `TEKSignature`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Signature {
    #[prost(message, optional, tag = "1")]
    pub(super) signature_info: Option<SignatureInfo>,
    #[prost(int32, optional, tag = "2")]
    pub(super) batch_num: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    pub(super) batch_size: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(super) signature: Option<Vec<u8>>,
}

/// Why a member is not the message it should be. Offsets count from the start of the member.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtoError {
    /// `export.bin` does not start with [`EXPORT_HEADER`].
    #[error(
        "export.bin starts with \"{found}\", not with \"EK Export v1    \": it is another format or version"
    )]
    Header {
        /// The first bytes, escaped.
        found: String,
    },
    /// A field does not fit into the member or is not protobuf.
    #[error("{member} is damaged at byte {offset}: {what}; fetch the package again")]
    Damaged {
        /// Name of the member.
        member: &'static str,
        /// Where the field starts.
        offset: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More keys than [`MAX_KEYS`].
    #[error("export.bin has {found} keys, at most {limit} are read: split the export into smaller files")]
    TooManyKeys {
        /// Keys and revised keys found.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// More signatures or signature descriptions than [`MAX_SIGNATURES`].
    #[error("{member} has {found} signature entries, at most {limit} are read: it is not a sound package")]
    TooManySignatures {
        /// Name of the member.
        member: &'static str,
        /// Entries found.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The outermost fields are sound, something inside one of them is not.
    #[error("{member} is damaged inside: {cause}; fetch the package again")]
    Inside {
        /// Name of the member.
        member: &'static str,
        /// What the protobuf reader says.
        cause: DecodeError,
    },
}

/// Decodes `export.bin`.
pub(super) fn decode_export(bytes: &[u8]) -> Result<Export, ProtoError> {
    const MEMBER: &str = super::container::EXPORT;
    let Some(body) = bytes.strip_prefix(&EXPORT_HEADER) else {
        let start = &bytes[..bytes.len().min(EXPORT_HEADER.len())];
        return Err(ProtoError::Header { found: start.escape_ascii().to_string() });
    };
    let (mut keys, mut infos) = (0, 0);
    walk(MEMBER, EXPORT_HEADER.len(), body, |number| match number {
        TAG_KEYS | TAG_REVISED_KEYS => keys += 1,
        TAG_SIGNATURE_INFOS => infos += 1,
        _ => {}
    })?;
    // bounded: counted before anything is allocated for them.
    if keys > MAX_KEYS {
        return Err(ProtoError::TooManyKeys { found: keys, limit: MAX_KEYS });
    }
    if infos > MAX_SIGNATURES {
        return Err(ProtoError::TooManySignatures { member: MEMBER, found: infos, limit: MAX_SIGNATURES });
    }
    Export::decode(body).map_err(|cause| ProtoError::Inside { member: MEMBER, cause })
}

/// Decodes `export.sig`.
pub(super) fn decode_signatures(bytes: &[u8]) -> Result<SignatureList, ProtoError> {
    const MEMBER: &str = super::container::SIGNATURE;
    let mut found = 0;
    walk(MEMBER, 0, bytes, |number| found += usize::from(number == TAG_SIGNATURES))?;
    if found > MAX_SIGNATURES {
        return Err(ProtoError::TooManySignatures { member: MEMBER, found, limit: MAX_SIGNATURES });
    }
    SignatureList::decode(bytes).map_err(|cause| ProtoError::Inside { member: MEMBER, cause })
}

/// Calls `field` with the number of every outermost field. What is inside a (deprecated) group is seen as
/// well, which can only count too much.
fn walk(
    member: &'static str,
    base: usize,
    body: &[u8],
    mut field: impl FnMut(u64),
) -> Result<(), ProtoError> {
    let mut rest = body;
    while !rest.is_empty() {
        let offset = base + body.len() - rest.len();
        let damaged = |what| ProtoError::Damaged { member, offset, what };
        let tag = varint(&mut rest).ok_or(damaged("a field has no readable tag"))?;
        let length = match tag & 7 {
            0 => varint(&mut rest).map(|_| 0).ok_or(damaged("a number does not end"))?,
            1 => 8,
            2 => varint(&mut rest).ok_or(damaged("a length does not end"))?,
            3 | 4 => 0,
            5 => 4,
            _ => return Err(damaged("a field is of no known wire type")),
        };
        rest = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(length..))
            .ok_or(damaged("a field is longer than the rest of the member: it was cut short"))?;
        field(tag >> 3);
    }
    Ok(())
}

/// Takes one varint off the front; `None` if it does not end within its ten bytes or the slice.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for (index, byte) in rest.iter().take(MAX_VARINT_BYTES).enumerate() {
        value |= u64::from(byte & 0x7f).wrapping_shl(7 * index as u32);
        if byte & 0x80 == 0 {
            *rest = &rest[index + 1..];
            return Some(value);
        }
    }
    None
}
