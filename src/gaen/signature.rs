//! Whether a package is signed by a given key: ECDSA over P-256 with SHA-256, over all of `export.bin`.
//!
//! The key comes from whoever imports, never from the package: names and versions in a package only help to
//! say which signature it was. One valid signature is enough, because a package carries one per key that its
//! service has in use.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};

use super::package::Package;
use super::proto::SignatureInfo;

/// Most bytes of a PEM file that is looked at.
pub const MAX_PEM_BYTES: usize = 16 << 10;

/// DER of a SubjectPublicKeyInfo up to the point, for id-ecPublicKey on prime256v1 (RFC 5480).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT_BYTES: usize = 65;
const UNCOMPRESSED: u8 = 4;
const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";
/// Most characters of a stranger's text in an error.
const MAX_SHOWN_NAME: usize = 64;
const LABEL: &str = "PUBLIC KEY";

/// Which signature of a package was found valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureCheck {
    /// Its place in `export.sig`, from 0.
    pub index: usize,
    /// Signatures in `export.sig`.
    pub of: usize,
    /// What the package calls the key: not covered by the signature.
    pub info: SignatureInfo,
}

/// Why a package is not known to be signed by the given key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// There is no signature at all.
    #[error(
        "the package has no signature (no export.sig, or an empty one): import it without a public key \
             if you trust where it comes from"
    )]
    Unsigned,
    /// No signature is valid under the key.
    #[error(
        "none of the {count} signatures over the {bytes} bytes of export.bin is valid under the given \
             key: the package was changed, or it is signed by another key (it names {named})"
    )]
    NoneValid {
        /// Signatures tried.
        count: usize,
        /// Bytes they should cover.
        bytes: usize,
        /// What the package calls its keys.
        named: String,
    },
    /// The public key is not PEM.
    #[error("the public key is not a PEM file: {what}; expected \"-----BEGIN PUBLIC KEY-----\" and base64")]
    NotPem {
        /// What is wrong.
        what: &'static str,
    },
    /// PEM, but of something else.
    #[error(
        "the PEM holds a {label}, not a PUBLIC KEY: extract the public key \
             (openssl pkey -pubout, or openssl x509 -pubkey)"
    )]
    WrongLabel {
        /// The label found.
        label: String,
    },
    /// A public key, but not an uncompressed point on P-256.
    #[error(
        "the public key ({bytes} bytes of DER) is not an uncompressed ECDSA P-256 key, which has 91: {what}"
    )]
    NotP256 {
        /// Length of the DER.
        bytes: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// Checks that one of the package's signatures is valid under `public_key_pem` (SubjectPublicKeyInfo, P-256).
///
/// # Errors
/// If the key is not such a key, the package is unsigned, or no signature is valid.
pub fn verify(package: &Package, public_key_pem: &str) -> Result<SignatureCheck, SignatureError> {
    let key = parse_public_key(public_key_pem)?;
    let signatures = package.signatures();
    if signatures.is_empty() {
        return Err(SignatureError::Unsigned);
    }
    let message = package.signed_bytes();
    let valid =
        |der: &[u8]| Signature::from_der(der).is_ok_and(|signature| key.verify(message, &signature).is_ok());
    match signatures.iter().position(|signature| valid(&signature.bytes)) {
        Some(index) => {
            Ok(SignatureCheck { index, of: signatures.len(), info: signatures[index].info.clone() })
        }
        None => Err(SignatureError::NoneValid {
            count: signatures.len(),
            bytes: message.len(),
            named: names(signatures.iter().map(|signature| &signature.info)),
        }),
    }
}

fn names<'a>(infos: impl Iterator<Item = &'a SignatureInfo>) -> String {
    let name = |info: &SignatureInfo| {
        let text = format!("{} {}", info.verification_key_id(), info.verification_key_version());
        text.trim().escape_debug().take(MAX_SHOWN_NAME).collect::<String>()
    };
    infos.map(name).collect::<Vec<_>>().join(", ")
}

fn parse_public_key(pem: &str) -> Result<VerifyingKey, SignatureError> {
    let der = pem_body(pem)?;
    let not_p256 = |what| SignatureError::NotP256 { bytes: der.len(), what };
    let point = der.strip_prefix(&SPKI_PREFIX).ok_or(not_p256("it is of another algorithm or curve"))?;
    if point.len() != POINT_BYTES || point[0] != UNCOMPRESSED {
        return Err(not_p256("the point is compressed or of a wrong length"));
    }
    VerifyingKey::from_sec1_bytes(point).map_err(|_| not_p256("its point is not on the curve"))
}

/// The bytes between the first BEGIN and its END.
fn pem_body(pem: &str) -> Result<Vec<u8>, SignatureError> {
    let not_pem = |what| SignatureError::NotPem { what };
    if pem.len() > MAX_PEM_BYTES {
        return Err(not_pem("it is longer than 16 KiB"));
    }
    let (_, from_label) = pem.split_once(BEGIN).ok_or(not_pem("it has no BEGIN line"))?;
    let (label, from_body) = from_label.split_once(DASHES).ok_or(not_pem("its BEGIN line does not end"))?;
    if label != LABEL {
        return Err(SignatureError::WrongLabel {
            label: label.escape_debug().take(MAX_SHOWN_NAME).collect(),
        });
    }
    let (body, _) = from_body.split_once("-----END PUBLIC KEY-----").ok_or(not_pem("it has no END line"))?;
    let text: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(text).map_err(|_| not_pem("its body is not base64"))
}
