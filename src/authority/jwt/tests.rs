//! JWTs that hold, and every way in which one does not.

use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::super::few_keys::{Entry, FewKeys};
use super::super::provider_key::ProviderKey;
use super::super::vouched::MAX_GRANT_LIFE_S;
use super::*;

const SECRET: [u8; 32] = [5; 32];
const MAC_KEY: [u8; 16] = [6; 16];
const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "issuer.example";
const AUDIENCE: &str = "audience.example";
const KEYS: [[u8; 16]; 2] = [[3; 16], [1; 16]];

fn public(secret: &[u8; 32]) -> KeyMaterial {
    let signer = SigningKey::from_bytes(&(*secret).into()).expect("a scalar");
    KeyMaterial::es256(signer.verifying_key().to_sec1_point(false).as_bytes()).expect("a point")
}

fn directory_of(material: KeyMaterial) -> FewKeys {
    let mut key = ProviderKey::named_by_fingerprint(material, 0, u64::MAX);
    key.key_id = "v1".to_owned();
    FewKeys(vec![Entry { provider: 17, issuer: ISSUER, audience: AUDIENCE, key }])
}

fn keys() -> [SentKey<'static>; 2] {
    KEYS.each_ref().map(|key| SentKey { key, start: 2_999_808, period: 144, risk: 0 })
}

fn check(value: &[u8]) -> Result<Vouched, Outcome> {
    verify(value, &keys(), &directory_of(public(&SECRET)))
}

fn claims() -> Claims<'static> {
    Claims {
        issuer: ISSUER,
        audience: AUDIENCE,
        key_id: "v1",
        report_type: ReportType::Confirmed,
        onset_interval: Some(2_999_500),
        issued: NOW,
        expires: NOW + 900,
    }
}

fn good() -> Vec<u8> {
    sign(&claims(), &MAC_KEY, &keys(), &SECRET).expect("signable")
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": "v1", "typ": "JWT" })
}

fn payload() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 900, "reportType": "confirmed",
        "tekmac": STANDARD.encode(tekmac(&MAC_KEY, &keys())),
    })
}

/// A payload with one claim changed; `null` takes it out.
fn payload_with(name: &str, value: Value) -> Value {
    let mut payload = payload();
    payload[name] = value;
    payload
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn value_of(jwt: &str) -> Vec<u8> {
    [&[16], &MAC_KEY[..], jwt.as_bytes()].concat()
}

/// Header and payload as texts, signed as they stand.
fn signed_texts(header: &str, payload: &str) -> Vec<u8> {
    let input = format!("{}.{}", encoded(header), encoded(payload));
    let signer = SigningKey::from_bytes(&SECRET.into()).expect("a scalar");
    let signature: Signature = signer.sign(input.as_bytes());
    value_of(&format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
}

fn signed(header: &Value, payload: &Value) -> Vec<u8> {
    signed_texts(&header.to_string(), &payload.to_string())
}

fn with_claim(name: &str, value: Value) -> Vec<u8> {
    signed(&header(), &payload_with(name, value))
}

/// The text of the JWT that holds.
fn good_text() -> String {
    String::from_utf8(good()[17..].to_vec()).expect("a JWT is ASCII")
}

#[test]
fn a_jwt_says_what_was_signed() {
    let vouched = check(&good()).expect("it holds");
    assert_eq!((vouched.provider, vouched.set), (17, None));
    assert_eq!((vouched.report_type, vouched.onset_day), (ReportType::Confirmed, Some(2_999_500 / 144)));
    assert_eq!((vouched.not_before, vouched.not_after), (NOW, NOW + 900));
    assert_eq!(vouched.key, public(&SECRET).fingerprint());
    assert_eq!(good(), good(), "the same input gives the same bytes");
    let text = good_text();
    let (input, _) = text.rsplit_once('.').expect("three parts");
    let hashed = [b"tekd/1 grant\0".as_slice(), &[3, 0], input.as_bytes()].concat();
    assert_eq!(vouched.identity, Sha256::digest(hashed)[..16]);
}

#[test]
fn a_signature_of_the_standards_own_example_is_valid() {
    // RFC 7515, appendix A.3.
    let coordinate = |text| URL_SAFE_NO_PAD.decode(text).expect("base64url");
    let x = coordinate("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
    let y = coordinate("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let key = KeyMaterial::es256(&[&[4][..], &x, &y].concat()).expect("a point");
    let input = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let mut signature: [u8; 64] = coordinate(signature).try_into().expect("64 bytes");
    assert!(is_signed(key.as_bytes(), input, &signature));
    assert!(!is_signed(key.as_bytes(), &input[1..], &signature));
    signature[63] ^= 1;
    assert!(!is_signed(key.as_bytes(), input, &signature));
}

#[test]
fn both_halves_of_s_are_taken_and_are_one_grant() {
    let text = good_text();
    let (input, signature) = text.rsplit_once('.').expect("three parts");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let (r, s) = Signature::from_slice(&signature).expect("a signature").split_scalars();
    let other = Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).expect("the other half");
    assert_ne!(other.to_vec(), signature);
    let other = value_of(&format!("{input}.{}", URL_SAFE_NO_PAD.encode(other.to_bytes())));
    assert_eq!(check(&other), check(&good()));
}

#[test]
fn claims_may_be_written_in_other_ways() {
    let accepted = |name: &str, value: Value| {
        check(&with_claim(name, value)).unwrap_or_else(|e| panic!("{name}: {e:?}"))
    };
    assert_eq!(accepted("exp", json!((NOW + 900) as f64 + 0.75)).not_after, NOW + 900);
    assert_eq!(accepted("nbf", json!(NOW + 30)).not_before, NOW + 30);
    assert_eq!(accepted("nbf", json!(NOW - 30)).not_before, NOW);
    assert_eq!(accepted("symptomOnsetInterval", json!(null)).onset_day, None);
    assert_eq!(accepted("symptomOnsetInterval", json!(0)).onset_day, None);
    assert_eq!(accepted("symptomOnsetInterval", json!(144)).onset_day, Some(1));
    assert_eq!(accepted("reportType", json!("likely")).report_type, ReportType::Likely);
    assert_eq!(accepted("reportType", json!("user-report")).report_type, ReportType::SelfReport);
    assert_eq!(accepted("reportType", json!("negative")).report_type, ReportType::Negative);
    accepted("aud", json!(["another", AUDIENCE]));
    accepted("more", json!({ "of": ["anything"] }));
    let mac = tekmac(&MAC_KEY, &keys());
    accepted("tekmac", json!(URL_SAFE_NO_PAD.encode(mac)));
    let mut typed = header();
    typed["typ"] = json!(7);
    check(&signed(&typed, &payload())).expect("typ is ignored");
}

#[test]
fn claims_that_are_wrong_each_have_their_reason() {
    let table = [
        ("iss", json!(null), Outcome::Grant),
        ("iss", json!(7), Outcome::Grant),
        ("iss", json!("issuer.Example"), Outcome::Unknown),
        ("aud", json!(null), Outcome::Audience),
        ("aud", json!("other"), Outcome::Audience),
        ("aud", json!([]), Outcome::Audience),
        ("aud", json!(["other", 7]), Outcome::Audience),
        ("aud", json!(7), Outcome::Grant),
        ("iat", json!(null), Outcome::Grant),
        ("iat", json!("1800000000"), Outcome::Grant),
        ("iat", json!(-1), Outcome::Grant),
        ("exp", json!(null), Outcome::Grant),
        ("exp", json!(NOW - 1), Outcome::Grant),
        ("exp", json!(NOW + MAX_GRANT_LIFE_S + 1), Outcome::Grant),
        ("exp", json!(1e300), Outcome::Grant),
        ("nbf", json!("now"), Outcome::Grant),
        ("nbf", json!(NOW + 901), Outcome::Grant),
        ("reportType", json!(null), Outcome::Grant),
        ("reportType", json!("Confirmed"), Outcome::Grant),
        ("symptomOnsetInterval", json!("2999500"), Outcome::Grant),
        ("symptomOnsetInterval", json!(u64::from(u32::MAX) + 1), Outcome::Grant),
        ("tekmac", json!(null), Outcome::Grant),
        ("tekmac", json!("!"), Outcome::Grant),
        ("tekmac", json!(""), Outcome::Keys),
        ("tekmac", json!(STANDARD.encode([0; 32])), Outcome::Keys),
    ];
    for (name, value, outcome) in table {
        assert_eq!(check(&with_claim(name, value.clone())), Err(outcome), "{name}: {value}");
    }
    assert!(check(&with_claim("exp", json!(NOW + MAX_GRANT_LIFE_S))).is_ok(), "14 days are allowed");
}

#[test]
fn a_header_chooses_no_algorithm() {
    let head = |name: &str, value: Value| {
        let mut header = header();
        header[name] = value;
        signed(&header, &payload())
    };
    for alg in ["none", "None", "HS256", "RS256", "ES384", "EdDSA", "es256", ""] {
        assert_eq!(check(&head("alg", json!(alg))), Err(Outcome::Grant), "{alg}");
    }
    assert_eq!(check(&head("alg", json!(null))), Err(Outcome::Grant));
    assert_eq!(check(&head("alg", json!(["ES256"]))), Err(Outcome::Grant));
    assert_eq!(check(&head("kid", json!(null))), Err(Outcome::Grant));
    assert_eq!(check(&head("kid", json!(1))), Err(Outcome::Grant));
    assert_eq!(check(&head("kid", json!("v2"))), Err(Outcome::Unknown));
    assert_eq!(check(&head("crit", json!(["exp"]))), Err(Outcome::Grant));
    check(&head("jwk", json!({ "kty": "EC" }))).expect("a key that comes along is ignored");
}

#[test]
fn unsigned_and_under_a_public_key_as_secret_are_refused() {
    let none = format!("{}.{}.", encoded(r#"{"alg":"none","kid":"v1"}"#), encoded(&payload().to_string()));
    assert_eq!(check(&value_of(&none)), Err(Outcome::Grant));
    for alg in ["HS256", "ES256"] {
        let header = json!({ "alg": alg, "kid": "v1" }).to_string();
        let input = format!("{}.{}", encoded(&header), encoded(&payload().to_string()));
        let mut mac = Hmac::<Sha256>::new_from_slice(public(&SECRET).as_bytes()).expect("any length");
        mac.update(input.as_bytes());
        let mac = mac.finalize().into_bytes();
        let short = value_of(&format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac)));
        assert_eq!(check(&short), Err(Outcome::Grant), "{alg}");
        let doubled = value_of(&format!("{input}.{}", URL_SAFE_NO_PAD.encode([mac, mac].concat())));
        let outcome = if alg == "HS256" { Outcome::Grant } else { Outcome::Signature };
        assert_eq!(check(&doubled), Err(outcome), "{alg}");
    }
}

#[test]
fn a_member_that_stands_twice_makes_it_unreadable() {
    let (header, payload) = (header().to_string(), payload().to_string());
    check(&signed_texts(&header, &payload)).expect("once it holds");
    let twice = |object: &str, member: &str| object.replacen('{', &format!("{{{member},"), 1);
    let refused = |header: &str, payload: &str| check(&signed_texts(header, payload)) == Err(Outcome::Grant);
    assert!(refused(&twice(&header, r#""alg":"ES256""#), &payload));
    assert!(refused(&twice(&header, r#""kid":"v2""#), &payload));
    assert!(refused(&header, &twice(&payload, r#""reportType":"likely""#)));
    assert!(refused(&header, &twice(&payload, r#""x":1,"x":1"#)));
}

#[test]
fn only_the_compact_form_without_padding_is_read() {
    let text = good_text();
    let parts: Vec<&str> = text.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let shapes = [
        String::new(),
        "..".to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!(".{payload}.{signature}"),
        format!("{header}..{signature}"),
        format!("{text}."),
        format!("{text}.{signature}"),
        format!("{text}=="),
        format!("{text}\n"),
        format!(" {text}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{}", &signature[..84]),
        format!("{header}.{payload}.{signature}AA"),
        // 64 bytes end in two free bits, which must not be set.
        format!("{header}.{payload}.{}", &signature[..85]) + &next_letter(&signature[85..]),
    ];
    for shape in shapes {
        assert_eq!(check(&value_of(&shape)), Err(Outcome::Grant), "{shape}");
    }
    let mut not_text = good();
    not_text[40] = 0xff;
    assert_eq!(check(&not_text), Err(Outcome::Grant));
}

/// The letter after this one in base64url, for one whose last four bits are 0.
fn next_letter(letter: &str) -> String {
    let next = letter.bytes().next().expect("a letter") + 1;
    char::from(next).to_string()
}

#[test]
fn lengths_have_their_limits() {
    let good = good();
    for end in 0..good.len() {
        assert_eq!(check(&good[..end]), Err(Outcome::Grant), "cut at {end}");
    }
    for length in [0, 15, 65, 255] {
        let value = [&[length][..], &vec![6; usize::from(length)], good_text().as_bytes()].concat();
        assert_eq!(check(&value), Err(Outcome::Grant), "a MAC key of {length} bytes");
        let mac_key = vec![6; usize::from(length)];
        let signed = sign(&claims(), &mac_key, &keys(), &SECRET);
        assert_eq!(signed, Err(JwtSignError::MacKey(mac_key.len())));
    }
    let longest = vec![6; MAX_MAC_KEY];
    check(&sign(&claims(), &longest, &keys(), &SECRET).expect("signable")).expect("64 bytes are allowed");
    let padded = |chars: usize| with_claim("pad", json!("p".repeat(chars)));
    let fits = (0..MAX_GRANT).rev().find(|chars| padded(*chars).len() <= MAX_GRANT).expect("some do");
    check(&padded(fits)).expect("what fits holds");
    assert_eq!(check(&padded(fits + 3)), Err(Outcome::Grant), "oversized");
    let long = "i".repeat(MAX_GRANT);
    let claims = Claims { issuer: &long, ..claims() };
    assert!(matches!(sign(&claims, &MAC_KEY, &keys(), &SECRET), Err(JwtSignError::Long(_))));
    assert_eq!(sign(&claims, &MAC_KEY, &keys(), &[0; 32]), Err(JwtSignError::Secret));
}

#[test]
fn time_is_judged_apart() {
    let vouched = check(&good()).expect("it verifies at any time");
    assert_eq!(vouched.judge(NOW - 301, 9), Err(Outcome::Early));
    assert_eq!(vouched.judge(NOW - 300, 9), Ok(()));
    assert_eq!(vouched.judge(NOW + 1200, 9), Ok(()));
    assert_eq!(vouched.judge(NOW + 1201, 9), Err(Outcome::Expired));
}

#[test]
fn it_stands_over_its_keys_and_its_signer_only() {
    let directory = directory_of(public(&SECRET));
    let over = |keys: &[SentKey<'_>]| verify(&good(), keys, &directory).map(|_| ());
    let [one, two] = keys();
    assert_eq!(over(&[two, one]), Ok(()));
    assert_eq!(over(&[one]), Err(Outcome::Keys));
    assert_eq!(over(&[]), Err(Outcome::Keys));
    assert_eq!(over(&[one, SentKey { start: 1, ..two }]), Err(Outcome::Keys));
    assert_eq!(over(&[one, SentKey { risk: 1, ..two }]), Err(Outcome::Keys));
    let mut other_mac_key = good();
    other_mac_key[1] ^= 1;
    assert_eq!(check(&other_mac_key), Err(Outcome::Keys));
    let stranger = directory_of(public(&[4; 32]));
    assert_eq!(verify(&good(), &keys(), &stranger), Err(Outcome::Signature));
    let no_es256 = directory_of(KeyMaterial::Ed25519([5; 32]));
    assert_eq!(verify(&good(), &keys(), &no_es256), Err(Outcome::Unknown));
}

#[test]
fn a_jwt_with_any_byte_changed_is_not_accepted() {
    let good = good();
    let signature_at = good.iter().rposition(|byte| *byte == b'.').expect("three parts");
    for at in 0..good.len() {
        for change in [1, 2, 0x20, 0x80] {
            let mut value = good.clone();
            value[at] ^= change;
            let refused = check(&value).expect_err("no byte is free");
            let of_signature = matches!(refused, Outcome::Signature | Outcome::Grant);
            assert!(at <= signature_at || of_signature, "byte {at}: {refused:?}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_signed_is_vouched_for(
        secret in 1..u64::MAX,
        mac_key in proptest::collection::vec(any::<u8>(), MIN_MAC_KEY..=MAX_MAC_KEY),
        report_type in prop::sample::select(ReportType::ALL),
        onset_interval in proptest::option::of(144_u32..),
        (issued, life) in (0..u64::MAX - MAX_GRANT_LIFE_S, 0..=MAX_GRANT_LIFE_S),
        sent in proptest::collection::vec(any::<([u8; 16], u32, u32, u8)>(), 0..37),
    ) {
        let mut scalar = [0; 32];
        scalar[24..].copy_from_slice(&secret.to_be_bytes());
        let keys: Vec<SentKey<'_>> = sent
            .iter()
            .map(|(key, start, period, risk)| SentKey { key, start: *start, period: *period, risk: *risk })
            .collect();
        let claims = Claims { report_type, onset_interval, issued, expires: issued + life, ..claims() };
        let value = sign(&claims, &mac_key, &keys, &scalar).expect("it fits");
        let vouched = verify(&value, &keys, &directory_of(public(&scalar))).expect("it was signed so");
        prop_assert_eq!((vouched.not_before, vouched.not_after), (issued, issued + life));
        prop_assert_eq!(vouched.report_type, report_type);
        prop_assert_eq!(vouched.onset_day, onset_interval.map(|interval| interval / 144));
        let reversed: Vec<SentKey<'_>> = keys.iter().rev().copied().collect();
        prop_assert_eq!(verify(&value, &reversed, &directory_of(public(&scalar))), Ok(vouched));
    }

    #[test]
    fn bytes_of_strangers_are_refused(jwt in "[A-Za-z0-9._=-]{0,300}", length in any::<u8>()) {
        let mut value = value_of(&jwt);
        value[0] = length;
        prop_assert!(check(&value).is_err());
    }
}
