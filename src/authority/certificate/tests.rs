//! Certificates that hold, and every way in which one does not.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::few_keys::{Entry, FewKeys};
use super::super::provider_key::ProviderKey;
use super::super::vouched::MAX_GRANT_LIFE_S;
use super::*;

const SERVICE: [u8; 8] = *b"service!";
const SECRET: [u8; 32] = [7; 32];
const SET: u32 = 3;
const NOW: u64 = 1_800_000_000;

fn public(secret: &[u8; 32]) -> KeyMaterial {
    KeyMaterial::Ed25519(SigningKey::from_bytes(secret).verifying_key().to_bytes())
}

fn directory() -> FewKeys {
    let key = ProviderKey::named_by_fingerprint(public(&SECRET), 0, u64::MAX);
    FewKeys(vec![Entry { provider: 42, issuer: "", audience: "", key }])
}

fn fields() -> CertificateFields {
    CertificateFields {
        service: SERVICE,
        set: SET,
        provider: 42,
        report_type: ReportType::Likely,
        onset_day: Some(20_830),
        not_before: NOW - 60,
        not_after: NOW + 3600,
        nonce: [9; 16],
    }
}

fn sent(key: &[u8]) -> SentKey<'_> {
    SentKey { key, start: 2_999_808, period: 144, risk: 2 }
}

const KEYS: [[u8; 16]; 3] = [[3; 16], [1; 16], [2; 16]];

fn keys() -> [SentKey<'static>; 3] {
    [sent(&KEYS[0]), sent(&KEYS[1]), sent(&KEYS[2])]
}

fn check(value: &[u8]) -> Result<Vouched, Outcome> {
    verify(value, SERVICE, &keys(), &directory())
}

/// A certificate that says something else in some bytes, signed as it stands.
fn altered(fields: &CertificateFields, alter: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut value = Certificate::sign(fields, &keys(), &SECRET).to_vec();
    alter(&mut value[..CERTIFICATE_LEN]);
    let message = [CONTEXT, &value[..CERTIFICATE_LEN]].concat();
    value[CERTIFICATE_LEN..].copy_from_slice(&SigningKey::from_bytes(&SECRET).sign(&message).to_bytes());
    value
}

#[test]
fn a_certificate_says_what_was_signed() {
    let vouched = check(&Certificate::sign(&fields(), &keys(), &SECRET)).expect("it holds");
    assert_eq!((vouched.provider, vouched.set, vouched.onset_day), (42, Some(SET), Some(20_830)));
    assert_eq!((vouched.not_before, vouched.not_after), (NOW - 60, NOW + 3600));
    assert_eq!((vouched.report_type, vouched.key), (ReportType::Likely, public(&SECRET).fingerprint()));
    assert_eq!(vouched.judge(NOW, SET), Ok(()));
    let untold = CertificateFields { onset_day: None, ..fields() };
    let vouched = check(&Certificate::sign(&untold, &keys(), &SECRET)).expect("it holds");
    assert_eq!(vouched.onset_day, None);
}

#[test]
fn the_layout_is_that_of_the_spec() {
    let value = Certificate::sign(&fields(), &keys(), &SECRET);
    assert_eq!(value.len(), 224);
    assert_eq!(value[..4], [1, 0, 2, 0]);
    assert_eq!(value[4..8], SET.to_le_bytes());
    assert_eq!(value[8..16], SERVICE);
    assert_eq!(value[16..20], 42_u32.to_le_bytes());
    assert_eq!(value[20..24], 20_830_u32.to_le_bytes());
    assert_eq!(value[24..32], (NOW - 60).to_le_bytes());
    assert_eq!(value[32..40], (NOW + 3600).to_le_bytes());
    assert_eq!(value[40..48], public(&SECRET).fingerprint());
    assert_eq!(value[48..64], [9; 16]);
    assert_eq!(value[96..160], [0; 64]);
    let mut committed = b"tekd/1 keys\0".to_vec();
    for key in [1, 2, 3] {
        committed.extend([key; 16]);
        committed.extend(2_999_808_u32.to_le_bytes());
        committed.extend(144_u32.to_le_bytes());
    }
    assert_eq!(value[64..96], Sha256::digest(committed)[..]);
}

#[test]
fn the_identity_is_of_what_is_signed_and_not_of_the_signature() {
    let value = Certificate::sign(&fields(), &keys(), &SECRET);
    let signed = [b"tekd/1 grant\0".as_slice(), &[2, 0], b"tekd/1 certificate\0", &value[..160]].concat();
    let identity = check(&value).expect("it holds").identity;
    assert_eq!(identity, Sha256::digest(signed)[..16]);
    let other = CertificateFields { nonce: [8; 16], ..fields() };
    let other = check(&Certificate::sign(&other, &keys(), &SECRET)).expect("it holds");
    assert_ne!(other.identity, identity);
}

#[test]
fn each_fault_has_its_own_reason() {
    let good = Certificate::sign(&fields(), &keys(), &SECRET);
    let signed_with = |secret: u8| Certificate::sign(&fields(), &keys(), &[secret; 32]).to_vec();
    let with = |change: fn(&mut CertificateFields)| {
        let mut fields = fields();
        change(&mut fields);
        Certificate::sign(&fields, &keys(), &SECRET).to_vec()
    };
    let forged = {
        let mut value = signed_with(8);
        value[40..48].copy_from_slice(&public(&SECRET).fingerprint());
        value
    };
    let table: [(&str, Vec<u8>, Outcome); 14] = [
        ("truncated", good[..223].to_vec(), Outcome::Grant),
        ("empty", Vec::new(), Outcome::Grant),
        ("a byte too long", [&good[..], &[0]].concat(), Outcome::Grant),
        ("another layout", altered(&fields(), |bytes| bytes[0] = 2), Outcome::Grant),
        ("a report type that is none", altered(&fields(), |bytes| bytes[2] = 4), Outcome::Grant),
        ("a reserved byte", altered(&fields(), |bytes| bytes[3] = 1), Outcome::Grant),
        ("the last reserved byte", altered(&fields(), |bytes| bytes[159] = 1), Outcome::Grant),
        ("ends before it begins", with(|f| f.not_after = f.not_before - 1), Outcome::Grant),
        ("over 14 days", with(|f| f.not_after = f.not_before + MAX_GRANT_LIFE_S + 1), Outcome::Grant),
        ("another service", with(|f| f.service[7] ^= 1), Outcome::Audience),
        ("unknown provider", with(|f| f.provider = 43), Outcome::Unknown),
        ("unknown key", signed_with(8), Outcome::Unknown),
        ("another key under a known id", forged, Outcome::Signature),
        ("a flipped signature", [&good[..223], &[good[223] ^ 1]].concat(), Outcome::Signature),
    ];
    for (what, value, outcome) in table {
        assert_eq!(check(&value), Err(outcome), "{what}");
    }
    assert!(check(&with(|f| f.not_after = f.not_before + MAX_GRANT_LIFE_S)).is_ok(), "14 days are allowed");
}

#[test]
fn time_and_set_are_judged_apart() {
    let judged = |change: fn(&mut CertificateFields)| {
        let mut fields = fields();
        change(&mut fields);
        let value = Certificate::sign(&fields, &keys(), &SECRET);
        check(&value).expect("it verifies at any time").judge(NOW, SET)
    };
    assert_eq!(judged(|_| {}), Ok(()));
    assert_eq!(judged(|fields| fields.not_before = NOW + 301), Err(Outcome::Early));
    assert_eq!(judged(|fields| fields.not_before = NOW + 300), Ok(()));
    assert_eq!(judged(|f| (f.not_before, f.not_after) = (NOW - 900, NOW - 301)), Err(Outcome::Expired));
    assert_eq!(judged(|f| (f.not_before, f.not_after) = (NOW - 900, NOW - 300)), Ok(()));
    assert_eq!(judged(|fields| fields.set = SET + 1), Err(Outcome::Set));
}

#[test]
fn it_stands_over_its_keys_in_any_order_and_over_no_others() {
    let value = Certificate::sign(&fields(), &keys(), &SECRET);
    let over = |keys: &[SentKey<'_>]| verify(&value, SERVICE, keys, &directory()).map(|_| ());
    let [one, two, three] = keys();
    assert_eq!(over(&[three, one, two]), Ok(()));
    assert_eq!(over(&[SentKey { risk: 7, ..one }, two, three]), Ok(()), "the risk is not committed to");
    for keys in [
        vec![],
        vec![one, two],
        vec![one, two, three, three],
        vec![one, two, sent(&[4; 16])],
        vec![one, two, SentKey { start: 2_999_809, ..three }],
        vec![one, two, SentKey { period: 143, ..three }],
    ] {
        assert_eq!(over(&keys), Err(Outcome::Keys), "{keys:?}");
    }
}

#[test]
fn a_certificate_with_any_byte_changed_is_not_accepted() {
    let good = Certificate::sign(&fields(), &keys(), &SECRET);
    for at in 0..good.len() {
        for change in [1, 0x80, 0xff] {
            let mut value = good;
            value[at] ^= change;
            let refused = check(&value).expect_err("no byte is free");
            if at >= CERTIFICATE_LEN {
                assert_eq!(refused, Outcome::Signature, "byte {at}");
            }
        }
    }
    for end in 0..good.len() {
        assert_eq!(check(&good[..end]), Err(Outcome::Grant), "cut at {end}");
    }
}

#[test]
fn a_key_of_small_order_signs_nothing() {
    // The neutral element: R = A = 1, s = 0 satisfies the equation for every message.
    let mut point = [0; 32];
    point[0] = 1;
    let key = ProviderKey::named_by_fingerprint(KeyMaterial::Ed25519(point), 0, u64::MAX);
    let mut value = Certificate::sign(&fields(), &keys(), &SECRET);
    value[40..48].copy_from_slice(&key.fingerprint());
    value[CERTIFICATE_LEN..].fill(0);
    value[CERTIFICATE_LEN] = 1;
    let directory = FewKeys(vec![Entry { provider: 42, issuer: "", audience: "", key }]);
    assert_eq!(verify(&value, SERVICE, &keys(), &directory), Err(Outcome::Signature));
}

fn report_types() -> impl Strategy<Value = ReportType> {
    prop::sample::select(ReportType::ALL)
}

proptest! {
    #[test]
    fn what_is_signed_is_vouched_for(
        (service, set, provider) in any::<([u8; 8], u32, u32)>(),
        (secret, nonce, onset) in any::<([u8; 32], [u8; 16], u32)>(),
        report_type in report_types(),
        (not_before, life) in (0..u64::MAX - MAX_GRANT_LIFE_S, 0..=MAX_GRANT_LIFE_S),
        bytes in vec(any::<([u8; 16], u32, u32, u8)>(), 0..37),
    ) {
        let keys: Vec<SentKey<'_>> = bytes
            .iter()
            .map(|(key, start, period, risk)| SentKey { key, start: *start, period: *period, risk: *risk })
            .collect();
        let onset_day = Some(onset).filter(|day| *day != 0);
        let not_after = not_before + life;
        let bound = CertificateFields { service, set, provider, ..fields() };
        let fields = CertificateFields { report_type, onset_day, not_before, not_after, nonce, ..bound };
        let key = ProviderKey::named_by_fingerprint(public(&secret), 0, u64::MAX);
        let directory = FewKeys(vec![Entry { provider, issuer: "", audience: "", key }]);
        let value = Certificate::sign(&fields, &keys, &secret);
        let vouched = verify(&value, service, &keys, &directory).expect("it was signed so");
        prop_assert_eq!(vouched.provider, provider);
        prop_assert_eq!(vouched.set, Some(set));
        prop_assert_eq!((vouched.report_type, vouched.onset_day), (report_type, onset_day));
        prop_assert_eq!((vouched.not_before, vouched.not_after), (not_before, not_after));
    }

    #[test]
    fn bytes_of_strangers_are_refused(value in vec(any::<u8>(), 0..300)) {
        prop_assert!(check(&value).is_err());
    }
}
