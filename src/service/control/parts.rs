//! What commands carry besides plain fields: settings, keys of imports and of providers, a typed code.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::base64text::Base64;

/// Most keys in one [`super::ControlRequest::ImportKeys`]; larger packages go in several.
pub const MAX_IMPORT_CHUNK: usize = 50_000;

/// Upper bound of one [`ImportKey`] as JSON: names, six numbers, 64 bytes of base64.
pub(super) const MAX_IMPORT_KEY_JSON: usize = 320;

/// Settings of a set; what is absent stays as it is (or at its default, in a new set).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SetSettings {
    /// Seconds between releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_s: Option<u32>,
    /// Reports a release waits for when decoys are off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_reports: Option<u32>,
    /// Seconds after which a small release goes out all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_wait_s: Option<u32>,
    /// Whether decoys are added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoys: Option<bool>,
    /// Seconds a key is held after its validity ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embargo_s: Option<u32>,
    /// Days a key stays published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u16>,
    /// Metadata schema by name; changes only while the set is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// What is known of an imported package's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureState {
    /// No public key was given to check it against.
    Unchecked,
    /// It verified.
    Valid,
}

/// One key of an import, with the numbers as its package has them, not yet judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportKey {
    /// 16 or 32 bytes.
    pub key: Base64,
    /// Interval number of its first interval.
    pub rolling_start_number: u32,
    /// Intervals it is valid for.
    pub rolling_period: u32,
    /// Report type, a number of the field's export format; absent when the package has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub report_type: Option<u32>,
    /// Transmission risk level; absent when the package has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transmission_risk: Option<i32>,
    /// Days from the onset of symptoms to the key's day; absent when the package has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub days_since_onset: Option<i32>,
}

/// A provider's public key and how long it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerKey {
    /// `ed25519` or `es256`.
    pub algorithm: String,
    /// 32 bytes of Ed25519, or the compressed point of P-256 (33 bytes).
    pub public_key: Base64,
    /// The `kid` by which JWTs name an `es256` key. An `ed25519` key is named by its fingerprint.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_id: Option<String>,
    /// First second it holds, Unix time; now when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_before: Option<u64>,
    /// Last second it holds, Unix time; open when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_after: Option<u64>,
}

/// A code as somebody typed it. Debug output shows only that there is one (no-trace).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TypedCode(pub String);

impl fmt::Debug for TypedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedCode(…)")
    }
}
