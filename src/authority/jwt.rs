//! The field's JWT: what a verification server signs for a phone, taken as a grant (spec 7.8.7).
//!
//! One algorithm, one form, one key by issuer and name: a JWT's header chooses nothing but which registered
//! ES256 key it is, so `none`, a MAC under a public key, or a key that comes along can never be believed. The
//! set is not bound by a JWT; the provider's is judged where the state of providers is.

use base64::Engine as _;
use base64::engine::general_purpose::{
    STANDARD, STANDARD_PAD_INDIFFERENT, URL_SAFE_NO_PAD, URL_SAFE_PAD_INDIFFERENT,
};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use serde_json::{Value, json};

use super::json_object::{JsonObject, whole};
use super::provider_key::{KeyDirectory, KeyMaterial};
use super::tekmac::{is_tekmac, tekmac};
use super::vouched::{Vouched, identity, is_life};
use crate::time::INTERVALS_PER_DAY;
use crate::wire::report::{GRANT_JWT, MAX_GRANT, Outcome, ReportType, SentKey};

/// Fewest bytes of the MAC's key.
pub const MIN_MAC_KEY: usize = 16;
/// Most bytes of the MAC's key.
pub const MAX_MAC_KEY: usize = 64;

const ALGORITHM: &str = "ES256";
const SIGNATURE_LEN: usize = 64;
/// The claim's words for report types.
const REPORT_TYPES: [(&str, ReportType); 4] = [
    ("confirmed", ReportType::Confirmed),
    ("likely", ReportType::Likely),
    ("user-report", ReportType::SelfReport),
    ("negative", ReportType::Negative),
];

const _: () =
    assert!(MIN_MAC_KEY <= MAX_MAC_KEY && MAX_MAC_KEY <= u8::MAX as usize && 1 + MAX_MAC_KEY < MAX_GRANT);

/// What a JWT of this form says, as plain values; the keys come apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims<'a> {
    /// `iss`: who signs.
    pub issuer: &'a str,
    /// `aud`: whom it is for.
    pub audience: &'a str,
    /// `kid`: the issuer's name for its key.
    pub key_id: &'a str,
    /// What it says of the person.
    pub report_type: ReportType,
    /// Interval number in which symptoms began.
    pub onset_interval: Option<u32>,
    /// `iat`, and first second (Unix time) it is valid.
    pub issued: u64,
    /// `exp`: last second it is valid, at most 14 days later.
    pub expires: u64,
}

/// Why no JWT was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtSignError {
    /// The MAC's key is too short or too long.
    #[error("the key of the MAC has {0} bytes, not {MIN_MAC_KEY} to {MAX_MAC_KEY}")]
    MacKey(usize),
    /// The secret is no key.
    #[error("the secret is no P-256 key: it is 0 or not below the order of the curve")]
    Secret,
    /// It would not fit a request.
    #[error("the grant would have {0} bytes, at most {MAX_GRANT} fit a request")]
    Long(usize),
}

/// The grant's value: `claims` over `keys`, signed by the P-256 key with this secret. The same input gives
/// the same bytes (RFC 6979). For tests and demonstrations; the origin signs none.
///
/// # Errors
/// [`JwtSignError`].
pub fn sign(
    claims: &Claims<'_>,
    mac_key: &[u8],
    keys: &[SentKey<'_>],
    secret: &[u8; 32],
) -> Result<Vec<u8>, JwtSignError> {
    let wrong_length = JwtSignError::MacKey(mac_key.len());
    let length = u8::try_from(mac_key.len()).map_err(|_| wrong_length)?;
    if !is_mac_key(mac_key) {
        return Err(wrong_length);
    }
    let signer = SigningKey::from_bytes(&(*secret).into()).map_err(|_| JwtSignError::Secret)?;
    let header = json!({ "alg": ALGORITHM, "kid": claims.key_id, "typ": "JWT" });
    let mut payload = json!({
        "iss": claims.issuer,
        "aud": claims.audience,
        "iat": claims.issued,
        "nbf": claims.issued,
        "exp": claims.expires,
        "reportType": word_of(claims.report_type),
        "tekmac": STANDARD.encode(tekmac(mac_key, keys)),
    });
    if let Some(interval) = claims.onset_interval {
        payload["symptomOnsetInterval"] = interval.into();
    }
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let input = format!("{}.{}", part(&header), part(&payload));
    let signature: Signature = signer.sign(input.as_bytes());
    let text = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()));
    let value = [&[length], mac_key, text.as_bytes()].concat();
    if value.len() > MAX_GRANT {
        return Err(JwtSignError::Long(value.len()));
    }
    Ok(value)
}

/// Verifies a grant's value that stands over `keys`.
///
/// # Errors
/// The first fault: [`Outcome::Grant`] if it is no such JWT or lives too long, [`Outcome::Unknown`] without
/// such a key of such an issuer, [`Outcome::Signature`], [`Outcome::Audience`], [`Outcome::Keys`] if it is
/// over other keys.
pub fn verify(value: &[u8], keys: &[SentKey<'_>], directory: &dyn KeyDirectory) -> Result<Vouched, Outcome> {
    let (mac_key, jwt) = split(value).ok_or(Outcome::Grant)?;
    let token = Token::read(jwt).ok_or(Outcome::Grant)?;
    let claims = Said::read(&token.payload).ok_or(Outcome::Grant)?;
    let (provider, audience, key) = directory.es256(claims.issuer, token.key_id()).ok_or(Outcome::Unknown)?;
    let KeyMaterial::Es256(point) = &key.material else { return Err(Outcome::Unknown) };
    if !is_signed(point, token.input, &token.signature) {
        return Err(Outcome::Signature);
    }
    if !claims.is_for(audience) {
        return Err(Outcome::Audience);
    }
    if !is_tekmac(&claims.tekmac, mac_key, keys) {
        return Err(Outcome::Keys);
    }
    Ok(Vouched {
        provider,
        key: key.fingerprint(),
        set: None,
        report_type: claims.report_type,
        onset_day: claims.onset_day,
        not_before: claims.not_before,
        not_after: claims.not_after,
        identity: identity(GRANT_JWT, &[token.input.as_bytes()]),
    })
}

/// The issuer that a grant's value names, true or not.
#[must_use]
pub fn named_issuer(value: &[u8]) -> Option<String> {
    let token = Token::read(split(value)?.1)?;
    token.payload.text("iss").map(str::to_owned)
}

/// The MAC's key and the JWT.
fn split(value: &[u8]) -> Option<(&[u8], &str)> {
    if value.len() > MAX_GRANT {
        return None;
    }
    let (length, rest) = value.split_first()?;
    let (mac_key, jwt) = rest.split_at_checked(usize::from(*length))?;
    is_mac_key(mac_key).then_some((mac_key, core::str::from_utf8(jwt).ok()?))
}

fn is_mac_key(bytes: &[u8]) -> bool {
    (MIN_MAC_KEY..=MAX_MAC_KEY).contains(&bytes.len())
}

/// Whether the ES256 key with this point signed the text. Issuers do not normalise s, so both are taken; what
/// a grant is spent by does not hold the signature.
fn is_signed(point: &[u8], input: &str, signature: &[u8; SIGNATURE_LEN]) -> bool {
    let Ok(key) = VerifyingKey::from_sec1_bytes(point) else { return false };
    let Ok(signature) = Signature::from_slice(signature) else { return false };
    key.verify(input.as_bytes(), &signature).is_ok()
}

/// A compact JWT of the one form that is taken, not verified.
struct Token<'a> {
    header: JsonObject,
    payload: JsonObject,
    /// Header and payload as they stand: what is signed.
    input: &'a str,
    signature: [u8; SIGNATURE_LEN],
}

impl<'a> Token<'a> {
    fn read(jwt: &'a str) -> Option<Self> {
        let (input, signature) = jwt.rsplit_once('.')?;
        let (header, payload) = input.split_once('.')?;
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header = JsonObject::read(&bytes(header)?)?;
        // A header with `crit` has extensions that must be understood (RFC 7515, 4.1.11): none is.
        let plain = header.text("alg") == Some(ALGORITHM) && header.get("crit").is_none();
        if !plain || header.text("kid").is_none() {
            return None;
        }
        let payload = JsonObject::read(&bytes(payload)?)?;
        Some(Self { header, payload, input, signature: bytes(signature)?.try_into().ok()? })
    }

    fn key_id(&self) -> &str {
        self.header.text("kid").expect("a header without a kid is not read")
    }
}

/// The claims of a payload, each of its form.
struct Said<'a> {
    issuer: &'a str,
    audience: Option<&'a Value>,
    report_type: ReportType,
    onset_day: Option<u32>,
    not_before: u64,
    not_after: u64,
    tekmac: Vec<u8>,
}

impl<'a> Said<'a> {
    fn read(payload: &'a JsonObject) -> Option<Self> {
        let number = |name: &str| payload.get(name).map(whole);
        let (issued, not_after) = (number("iat")??, number("exp")??);
        let not_before = match number("nbf") {
            Some(begins) => begins?.max(issued),
            None => issued,
        };
        if !is_life(issued, not_after) || not_before > not_after {
            return None;
        }
        let onset_day = match number("symptomOnsetInterval") {
            Some(interval) => {
                Some(u32::try_from(interval?).ok()? / INTERVALS_PER_DAY).filter(|day| *day != 0)
            }
            None => None,
        };
        let word = payload.text("reportType")?;
        let (_, report_type) = REPORT_TYPES.into_iter().find(|(known, _)| *known == word)?;
        let audience = payload.get("aud");
        if !audience.is_none_or(|audience| audience.is_string() || audience.is_array()) {
            return None;
        }
        let tekmac = any_base64(payload.text("tekmac")?)?;
        let issuer = payload.text("iss")?;
        Some(Self { issuer, audience, report_type, onset_day, not_before, not_after, tekmac })
    }

    fn is_for(&self, audience: &str) -> bool {
        match self.audience {
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(audience)),
            Some(one) => one.as_str() == Some(audience),
            None => false,
        }
    }
}

/// Bytes in either alphabet, padded or not: issuers differ.
fn any_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD_PAD_INDIFFERENT.decode(text).or_else(|_| URL_SAFE_PAD_INDIFFERENT.decode(text)).ok()
}

fn word_of(report_type: ReportType) -> &'static str {
    let known = REPORT_TYPES.iter().find(|(_, known)| *known == report_type);
    known.expect("every report type has a word").0
}

#[cfg(test)]
mod tests;
