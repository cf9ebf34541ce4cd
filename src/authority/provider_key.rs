//! A provider's key: the public half of what signs its certificates, how long it holds, and how an operator
//! hands it in.
//!
//! Keys are kept as their bytes and not as numbers of a curve, so that the state of providers is plain data;
//! whether the bytes are a key is settled once, when they are read. Which provider has which key is told by a
//! [`KeyDirectory`], which the state of providers implements.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use ed25519_dalek::VerifyingKey as Ed25519Key;
use p256::ecdsa::VerifyingKey as P256Key;
use p256::pkcs8::der::{Decode as _, asn1::ObjectIdentifier};
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;
use sha2::{Digest as _, Sha256};

/// Bytes of a key's fingerprint (spec 7.8.5).
pub const FINGERPRINT_LEN: usize = 8;
/// Most bytes of a key's text that are looked at.
pub const MAX_KEY_TEXT: usize = 16 << 10;

const ED25519_LEN: usize = 32;
const P256_LEN: usize = 33;
const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";
const LABEL: &str = "PUBLIC KEY";
const END: &str = "-----END PUBLIC KEY-----";
/// Most characters of a stranger's text in an error.
const MAX_SHOWN: usize = 32;
/// What every error ends with.
const EXPECTED: &str = "expected is the PEM of an Ed25519 or ECDSA P-256 public key (-----BEGIN PUBLIC KEY-----), or an \
                        Ed25519 public key as 32 raw bytes, as base64 or as hex";

/// id-Ed25519 (RFC 8410).
const OID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// id-ecPublicKey (RFC 5480).
const OID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// secp256r1, the curve P-256 (RFC 5480).
const OID_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// What operators hand in by mistake.
const OTHER_OIDS: [(&str, &str); 8] = [
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.113", "Ed448"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
];

/// Why a text is no provider's key. Never repeats the text: it may be a secret by mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTextError {
    /// Longer than any key.
    #[error("found {bytes} bytes, more than {MAX_KEY_TEXT}; {EXPECTED}")]
    Long {
        /// Bytes found.
        bytes: usize,
    },
    /// Neither PEM nor 32 bytes in any form.
    #[error("found {found}; {EXPECTED}")]
    Form {
        /// What the text looks like.
        found: String,
    },
    /// PEM that is damaged.
    #[error("found a PEM that cannot be read: {what}; {EXPECTED}")]
    Pem {
        /// What is wrong.
        what: &'static str,
    },
    /// PEM of something else.
    #[error(
        "found the PEM of a {label}: extract its public key (openssl pkey -pubout, or openssl x509 -pubkey); {EXPECTED}"
    )]
    Label {
        /// The label found.
        label: String,
    },
    /// A public key of another algorithm.
    #[error("found a public key of {found}; {EXPECTED}")]
    Algorithm {
        /// Its name, or its object identifier.
        found: String,
    },
    /// The right algorithm, but the bytes are no key of it.
    #[error("found {bytes} bytes that are no {algorithm} public key: {what}; {EXPECTED}")]
    Point {
        /// Bytes of the key.
        bytes: usize,
        /// Name of the algorithm.
        algorithm: &'static str,
        /// What is wrong.
        what: &'static str,
    },
}

/// The bytes of a public key, by what it is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyMaterial {
    /// Ed25519, for certificates of spec 7.8.5.
    Ed25519([u8; ED25519_LEN]),
    /// ECDSA on P-256 with SHA-256, for JWTs (spec 7.8.7): the compressed point of SEC1.
    Es256([u8; P256_LEN]),
}

impl KeyMaterial {
    /// An Ed25519 key that can verify: a point of the curve, not of small order.
    ///
    /// # Errors
    /// [`KeyTextError::Point`].
    pub fn ed25519(bytes: &[u8]) -> Result<Self, KeyTextError> {
        let point = |what| KeyTextError::Point { bytes: bytes.len(), algorithm: "Ed25519", what };
        let array = <[u8; ED25519_LEN]>::try_from(bytes).map_err(|_| point("it has 32 bytes"))?;
        let key = Ed25519Key::from_bytes(&array).map_err(|_| point("it is no point of the curve"))?;
        if key.is_weak() {
            return Err(point("it is a point of small order, under which anything is signed"));
        }
        Ok(Self::Ed25519(array))
    }

    /// A P-256 key from its point in SEC1 form, compressed or not.
    ///
    /// # Errors
    /// [`KeyTextError::Point`].
    pub fn es256(sec1: &[u8]) -> Result<Self, KeyTextError> {
        let key = P256Key::from_sec1_bytes(sec1).map_err(|_| KeyTextError::Point {
            bytes: sec1.len(),
            algorithm: "ECDSA P-256",
            what: "it is no point of the curve, of 33 bytes compressed or 65 uncompressed",
        })?;
        let point = key.to_sec1_point(true);
        Ok(Self::Es256(point.as_bytes().try_into().expect("a compressed point of P-256 has 33 bytes")))
    }

    /// Reads what an operator hands in: PEM of a SubjectPublicKeyInfo (RFC 8410, RFC 5480), or an Ed25519 key
    /// as 32 raw bytes, base64 or hex.
    ///
    /// # Errors
    /// [`KeyTextError`]: what was found, and what is expected.
    pub fn from_text(text: &[u8]) -> Result<Self, KeyTextError> {
        if text.len() > MAX_KEY_TEXT {
            return Err(KeyTextError::Long { bytes: text.len() });
        }
        let Ok(readable) = core::str::from_utf8(text) else { return Self::from_raw(text) };
        if readable.contains(BEGIN) {
            return Self::from_der(&pem_body(readable)?);
        }
        let trimmed = readable.trim();
        let decoded = hex::decode(trimmed).ok().or_else(|| STANDARD_PAD_INDIFFERENT.decode(trimmed).ok());
        match decoded {
            Some(bytes) if bytes.len() == ED25519_LEN => Self::ed25519(&bytes),
            Some(bytes) if !bytes.is_empty() => {
                Err(KeyTextError::Form { found: format!("hex or base64 of {} bytes", bytes.len()) })
            }
            _ => Self::from_raw(text),
        }
    }

    fn from_raw(bytes: &[u8]) -> Result<Self, KeyTextError> {
        match bytes.len() {
            ED25519_LEN => Self::ed25519(bytes),
            0 => Err(KeyTextError::Form { found: "nothing".to_owned() }),
            len => Err(KeyTextError::Form { found: format!("{len} bytes that are no PEM, hex or base64") }),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyTextError> {
        let info = SubjectPublicKeyInfoRef::from_der(der)
            .map_err(|_| KeyTextError::Pem { what: "its body is no SubjectPublicKeyInfo" })?;
        let bits = info.subject_public_key.as_bytes().unwrap_or_default();
        if info.algorithm.oid == OID_ED25519 {
            return match info.algorithm.parameters {
                None => Self::ed25519(bits),
                Some(_) => Err(KeyTextError::Pem { what: "Ed25519 has no parameters" }),
            };
        }
        if info.algorithm.oid != OID_EC {
            return Err(KeyTextError::Algorithm { found: name_of(info.algorithm.oid) });
        }
        match info.algorithm.parameters_oid() {
            Ok(OID_P256) => Self::es256(bits),
            Ok(curve) => Err(KeyTextError::Algorithm { found: format!("ECDSA on {}", name_of(curve)) }),
            Err(_) => Err(KeyTextError::Pem { what: "its curve is not named" }),
        }
    }

    /// The public key's bytes: 32 of Ed25519, 33 of P-256.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(bytes) => bytes,
            Self::Es256(bytes) => bytes,
        }
    }

    /// The first 8 bytes of the SHA-256 of the public key's bytes (spec 7.8.5).
    #[must_use]
    pub fn fingerprint(&self) -> [u8; FINGERPRINT_LEN] {
        let digest = Sha256::digest(self.as_bytes());
        digest[..FINGERPRINT_LEN].try_into().expect("8 of 32 bytes")
    }

    /// The algorithm's word in lists and commands.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "ed25519",
            Self::Es256(_) => "es256",
        }
    }
}

/// A key of a provider and how long it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderKey {
    /// The public key.
    pub material: KeyMaterial,
    /// How grants name it: a JWT's `kid`; of Ed25519 the hex of its fingerprint.
    pub key_id: String,
    /// First second (Unix time) it holds.
    pub not_before: u64,
    /// Last second it holds; `u64::MAX` = open.
    pub not_after: u64,
    /// The second from which it is revoked.
    pub revoked: Option<u64>,
}

impl ProviderKey {
    /// A key that signs certificates, named by its fingerprint; a JWT's key is named by its issuer and made
    /// as the plain struct.
    #[must_use]
    pub fn named_by_fingerprint(material: KeyMaterial, not_before: u64, not_after: u64) -> Self {
        Self { material, key_id: hex::encode(material.fingerprint()), not_before, not_after, revoked: None }
    }

    /// The first 8 bytes of the SHA-256 of the public key's bytes.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; FINGERPRINT_LEN] {
        self.material.fingerprint()
    }

    /// Whether it holds at `now` (Unix seconds), with `grace` seconds for another clock at both ends of its
    /// validity. A revocation has no grace.
    #[must_use]
    pub fn holds_at(&self, now: u64, grace: u64) -> bool {
        let begun = self.not_before <= now.saturating_add(grace);
        let ended = now > self.not_after.saturating_add(grace);
        begun && !ended && self.revoked.is_none_or(|moment| now < moment)
    }
}

/// Whose key it is that a grant names.
pub trait KeyDirectory {
    /// The Ed25519 key of a provider with this fingerprint, whether it holds or not.
    fn ed25519(&self, provider: u32, id: [u8; FINGERPRINT_LEN]) -> Option<&ProviderKey>;

    /// The provider of a JWT's issuer, the audience its JWTs must be for, and its key of this name, whether
    /// it holds or not.
    fn es256(&self, issuer: &str, kid: &str) -> Option<(u32, &str, &ProviderKey)>;
}

/// The bytes between the first BEGIN and its END.
fn pem_body(text: &str) -> Result<Vec<u8>, KeyTextError> {
    let damaged = |what| KeyTextError::Pem { what };
    let (_, from_label) = text.split_once(BEGIN).ok_or(damaged("it has no BEGIN line"))?;
    let (label, from_body) = from_label.split_once(DASHES).ok_or(damaged("its BEGIN line does not end"))?;
    if label != LABEL {
        return Err(KeyTextError::Label { label: label.escape_debug().take(MAX_SHOWN).collect() });
    }
    let (body, _) = from_body.split_once(END).ok_or(damaged("it has no END line"))?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD_PAD_INDIFFERENT.decode(body).map_err(|_| damaged("its body is not base64"))
}

fn name_of(oid: ObjectIdentifier) -> String {
    let text = oid.to_string();
    let known = OTHER_OIDS.iter().find(|(known, _)| *known == text);
    known.map_or_else(|| format!("the algorithm {text}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410, section 10.1.
    const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    const ED25519_HEX: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
    const P256_PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqO2wGlftjUFEnBwCnE2ovPFJJmfs
31n2VRk5z6ONThwMLf3bW8sbvpm9b9I804s0KS+140IVFMgYpjfvO+DCZA==
-----END PUBLIC KEY-----
";
    const P256_COMPRESSED: &str = "-----BEGIN PUBLIC KEY-----
MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgAC/WAkpfRxa7X4aOsvZCDgAND3M0D8
mhZWicGey+eUfnE=
-----END PUBLIC KEY-----
";
    const P384_PEM: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEF155hPJCqKXlaoMlpEiztyfd2fUFCBP+
csT15OrRiPvIJSXjENbd4Ao/1qb8oW6vs/e1jn9FmHxAoGpYfTXwBx43glBaytoh
GPtZncgJTOZlSz4ORdY/TQsm1vvu5kJE
-----END PUBLIC KEY-----
";
    const RSA_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDZKURBPtKyXTaWvt5Bx7w23K59
IYyj88O2S2NfuW4JQYFO1EH8r3TgmG0X3LJ07jBYI1A1ncfAuy+NzRIGS1zd3geL
gCn0YAdfFSh9s0p20Bxr3xlyfIjgEW3s1o4bTBV66jN7P0wAyCtGIYRsW1aEWJSH
FkeoniDjRFYcbCxjBQIDAQAB
-----END PUBLIC KEY-----
";
    const X25519_PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VuAyEA6CE1N4xLiSBDWap+xiFbYfTMcKzIsQB2OcGApVO3ChI=\n-----END PUBLIC KEY-----\n";

    fn read(text: &str) -> Result<KeyMaterial, KeyTextError> {
        KeyMaterial::from_text(text.as_bytes())
    }

    #[test]
    fn an_ed25519_key_is_read_in_every_form() {
        let raw = hex::decode(ED25519_HEX).expect("hex");
        let key = KeyMaterial::Ed25519(raw.clone().try_into().expect("32 bytes"));
        for text in [
            ED25519_PEM,
            ED25519_HEX,
            &ED25519_HEX.to_uppercase(),
            "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n",
            " Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE",
            &format!("a comment\r\n{}", ED25519_PEM.replace('\n', "\r\n")),
        ] {
            assert_eq!(read(text), Ok(key), "{text}");
        }
        assert_eq!(KeyMaterial::from_text(&raw), Ok(key));
        assert_eq!(key.algorithm(), "ed25519");
    }

    #[test]
    fn a_p256_key_is_kept_as_its_compressed_point() {
        let Ok(KeyMaterial::Es256(point)) = read(P256_PEM) else { panic!("{:?}", read(P256_PEM)) };
        assert_eq!(point[0], 2, "its y is even");
        assert_eq!(hex::encode(&point[1..5]), "a8edb01a");
        let Ok(compressed @ KeyMaterial::Es256(_)) = read(P256_COMPRESSED) else { panic!("compressed") };
        assert_eq!(KeyMaterial::es256(compressed.as_bytes()), Ok(compressed));
        assert_ne!(compressed.fingerprint(), KeyMaterial::Es256(point).fingerprint());
    }

    #[test]
    fn what_is_no_key_is_named_and_what_is_expected_too() {
        let off_curve = P256_PEM.replace("qO2w", "qO2x");
        let table = [
            ("", "found nothing"),
            ("hello, world", "12 bytes that are no PEM"),
            ("00112233445566778899aabbccddeeff", "base64 of 16 bytes"),
            (&ED25519_HEX[2..], "base64 of 31 bytes"),
            (&"0".repeat(64), "point of small order"),
            (&format!("02{}", "0".repeat(62)), "no point of the curve"),
            (RSA_PEM, "public key of RSA"),
            (P384_PEM, "ECDSA on P-384"),
            (X25519_PEM, "public key of X25519"),
            (&off_curve, "no ECDSA P-256 public key"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "PEM of a PRIVATE KEY"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "PEM of a CERTIFICATE"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA", "no END line"),
            ("-----BEGIN PUBLIC", "BEGIN line does not end"),
            ("-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----", "not base64"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "no SubjectPublicKeyInfo"),
            (&" ".repeat(MAX_KEY_TEXT + 1), "16385 bytes, more than 16384"),
        ];
        for (text, found) in table {
            let refused = read(text).expect_err(found).to_string();
            assert!(refused.contains(found), "{refused}");
            assert!(refused.ends_with(EXPECTED), "{refused}");
        }
    }

    #[test]
    fn a_fingerprint_is_the_beginning_of_the_hash_of_the_key() {
        let key = ProviderKey::named_by_fingerprint(read(ED25519_PEM).expect("a key"), 0, u64::MAX);
        let hash = Sha256::digest(hex::decode(ED25519_HEX).expect("hex"));
        assert_eq!(key.fingerprint(), hash[..8]);
        assert_eq!(key.key_id, hex::encode(&hash[..8]));
    }

    #[test]
    fn a_key_holds_between_its_ends_with_grace_and_until_it_is_revoked() {
        let material = read(ED25519_PEM).expect("a key");
        let mut key = ProviderKey::named_by_fingerprint(material, 1000, 2000);
        let holds = [(699, false), (700, true), (1000, true), (2000, true), (2300, true), (2301, false)];
        for (now, expected) in holds {
            assert_eq!(key.holds_at(now, 300), expected, "at {now}");
        }
        assert!(!key.holds_at(999, 0) && !key.holds_at(2001, 0));
        key.revoked = Some(1500);
        assert!(key.holds_at(1499, 300) && !key.holds_at(1500, 300));
        let open = ProviderKey::named_by_fingerprint(material, 0, u64::MAX);
        assert!(open.holds_at(u64::MAX, 300));
    }
}
