//! Trust as text: `trust.json` (spec 3.5.3).
//!
//! Unknown fields are refused: a reader that skipped one could believe more than the writer meant. Text in,
//! text out; who reads and writes the file is elsewhere.

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

#[cfg(test)]
mod tests {
    use super::super::signature::SigningKey;
    use super::*;

    fn trust(roots: u8, threshold: usize) -> Trust {
        let roots = (0..roots).map(|seed| SigningKey::from_secret([seed; 32]).public()).collect();
        Trust { service: *b"\x01\xab\0\0\0\0\0\xff", threshold, roots, sets: vec![1, 7] }
    }

    #[test]
    fn trust_comes_back_from_its_text() {
        for (roots, threshold) in [(1, 1), (3, 2), (16, 3)] {
            let trust = trust(roots, threshold);
            assert_eq!(Trust::parse_json(&trust.to_json()).unwrap(), trust);
        }
        assert!(
            trust(1, 1)
                .to_json()
                .starts_with(r#"{"format":1,"service":"01ab0000000000ff","threshold":1,"roots":[""#)
        );
    }

    #[test]
    fn the_longest_allowed_trust_fits_its_file() {
        let mut longest = trust(16, 3);
        longest.sets = (u32::MAX - 1023..=u32::MAX).collect();
        assert!(longest.to_json().len() <= MAX_TRUST_FILE);
        assert_eq!(Trust::parse_json(&longest.to_json()).unwrap(), longest);
    }

    #[test]
    fn broken_limits_are_refused() {
        let refused = |change: &dyn Fn(&mut Trust)| {
            let mut it = trust(3, 2);
            change(&mut it);
            match Trust::parse_json(&it.to_json()) {
                Err(TrustFileError::Trust(error)) => error,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refused(&|it| it.threshold = 0), TrustError::Threshold(0));
        assert_eq!(refused(&|it| it.threshold = 4), TrustError::Threshold(4));
        assert_eq!(refused(&|it| it.roots.truncate(1)), TrustError::Roots { roots: 1, threshold: 2 });
        assert_eq!(
            refused(&|it| it.roots = trust(17, 2).roots),
            TrustError::Roots { roots: 17, threshold: 2 }
        );
        let first = trust(1, 1).roots[0];
        assert_eq!(refused(&|it| it.roots[2] = first), TrustError::RootTwice(first));
        let neutral = PublicKey(std::array::from_fn(|i| u8::from(i == 0)));
        assert_eq!(refused(&|it| it.roots[0] = neutral), TrustError::RootUnsound(neutral));
        assert_eq!(refused(&|it| it.sets.clear()), TrustError::Sets(0));
        assert_eq!(refused(&|it| it.sets = (0..1025).collect()), TrustError::Sets(1025));
        assert_eq!(refused(&|it| it.sets = vec![3, 1, 3]), TrustError::SetTwice(3));
    }

    #[test]
    fn text_of_another_shape_is_refused() {
        let good = trust(1, 1).to_json();
        for (from, to) in [
            ("\"format\":1", "\"format\":2"),
            ("{\"format\"", "{\"extra\":0,\"format\""),
            ("\"threshold\":1,", ""),
            ("\"threshold\":1", "\"threshold\":-1"),
            ("01ab", "01a"),
            ("01ab", "01ag"),
            ("[1,7]", "[1,4294967296]"),
            ("=\"]", "\"]"),
            ("[\"", "[\" "),
            ("}", "} x"),
        ] {
            assert!(good.contains(from));
            assert!(Trust::parse_json(&good.replacen(from, to, 1)).is_err(), "{from} to {to}");
        }
        let padded = good.clone() + &" ".repeat(MAX_TRUST_FILE);
        assert!(matches!(Trust::parse_json(&padded), Err(TrustFileError::TooLong(_))));
    }
}
