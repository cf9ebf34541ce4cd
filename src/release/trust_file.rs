//! Trust as text: `trust.json` (spec 3.5.3).
//!
//! Unknown fields are refused: a reader that skipped one could believe more than the writer meant. Text in, text out;
//! who reads and writes the file is elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::signature::PublicKey;
use super::trust::{MAX_ROOTS, MAX_TRUST_SETS, Trust, TrustError};

/// Longest trust file in bytes.
pub const MAX_TRUST_FILE: usize = 65_536;
const FORMAT: u32 = 1;

const _: () = assert!(256 + MAX_ROOTS * 64 + MAX_TRUST_SETS * 16 <= MAX_TRUST_FILE);

/// Why text is no trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustFileError {
    /// Longer than any honest file.
    #[error("trust of {0} bytes, at most {MAX_TRUST_FILE}")]
    TooLong(usize),
    /// Not JSON of this shape; says where.
    #[error("trust: {0}")]
    Json(#[from] serde_json::Error),
    /// A format this version does not know.
    #[error("trust format {0}, known is {FORMAT}")]
    Format(u32),
    /// The service id is not 16 hex digits.
    #[error("service id {0:?} is not 16 hex digits")]
    Service(String),
    /// A root key is not the standard base64 of 32 bytes.
    #[error("root key {0:?} is not the base64 of 32 bytes")]
    Root(String),
    /// A limit of trust is broken.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    service: String,
    threshold: usize,
    roots: Vec<String>,
    sets: Vec<u32>,
}

impl Trust {
    /// Reads the text of a trust file and checks its limits.
    ///
    /// # Errors
    /// [`TrustFileError`].
    pub fn parse_json(text: &str) -> Result<Self, TrustFileError> {
        if text.len() > MAX_TRUST_FILE {
            return Err(TrustFileError::TooLong(text.len()));
        }
        let file: File = serde_json::from_str(text)?;
        if file.format != FORMAT {
            return Err(TrustFileError::Format(file.format));
        }
        let mut service = [0; 8];
        hex::decode_to_slice(&file.service, &mut service)
            .map_err(|_| TrustFileError::Service(file.service))?;
        let roots = file.roots.into_iter().map(root).collect::<Result<_, _>>()?;
        let trust = Self { service, threshold: file.threshold, roots, sets: file.sets };
        trust.check()?;
        Ok(trust)
    }

    /// The text of a trust file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let file = File {
            format: FORMAT,
            service: hex::encode(self.service),
            threshold: self.threshold,
            roots: self.roots.iter().map(|root| STANDARD.encode(root.0)).collect(),
            sets: self.sets.clone(),
        };
        serde_json::to_string(&file).expect("strings and numbers are always JSON")
    }
}

fn root(text: String) -> Result<PublicKey, TrustFileError> {
    let bytes = STANDARD.decode(&text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(PublicKey).ok_or(TrustFileError::Root(text))
}
