//! Grants, contents and faults of sealed questions, sealed by a client of a few lines.

use proptest::prelude::*;
use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use super::*;
use crate::authority::certificate::{Certificate, CertificateFields};
use crate::authority::jwt::Claims;
use crate::authority::seal::seal;
use crate::authority::{Issuer, KeyMaterial, Provider, ProviderKey, Registry};
use crate::engine::set::ReportStanding;
use crate::wire::layout::SealedAnswer;
use crate::wire::report::{ReportState, ReportType, RequestKind, Verdict};
use crate::wire::request::{REQUEST_LEN, Request};
use crate::wire::{Answer, Body, Parsed, QuestionBuilder, parse};

const SERVICE: ServiceId = *b"service!";
const SET: u32 = 3;
const NOW: u64 = 1_767_614_400;
const SIGNER: [u8; 32] = [5; 32];
const KEY: [u8; 16] = [0xab; 16];

fn secret() -> SealSecret {
    SealSecret::from_bytes(&[7; 32])
}

fn seal_key() -> SealKey {
    let public = secret().public();
    SealKey { public, id: secret().id(), not_before: NOW, not_after: NOW + 100 }
}

/// Provider 4 signs certificates with [`SIGNER`], and JWTs of the issuer `lab` with the same secret.
fn keys() -> OpeningKeys {
    let ed25519 = ed25519_dalek::SigningKey::from_bytes(&SIGNER).verifying_key();
    let p256 = p256::ecdsa::SigningKey::from_bytes(&SIGNER.into()).unwrap();
    let point = p256.verifying_key().to_sec1_point(true);
    let key = |key_id: &str, material| ProviderKey {
        key_id: key_id.to_owned(),
        material,
        not_before: 0,
        not_after: u64::MAX,
        revoked: None,
    };
    let mut provider = Provider::new("a laboratory".to_owned(), NOW);
    provider.issuer = Some(Issuer { name: "lab".to_owned(), audience: "tekd".to_owned(), set: SET });
    provider.keys = vec![
        key("certificates", KeyMaterial::Ed25519(ed25519.to_bytes())),
        key("tokens", KeyMaterial::es256(point.as_bytes()).unwrap()),
    ];
    let mut registry = Registry::default();
    registry.providers.insert(4, provider);
    OpeningKeys {
        service: SERVICE,
        ring: SealRing::new(vec![secret()], &[seal_key()]),
        providers: Keyring::of(&registry),
    }
}

fn sent() -> [SentKey<'static>; 1] {
    [SentKey { key: &KEY, start: 2_946_000, period: 144, risk: 3 }]
}

fn counting() -> impl FnMut(&mut [u8]) {
    let mut next = 0u8;
    move |bytes| bytes.iter_mut().for_each(|byte| (*byte, next) = (next, next.wrapping_add(1)))
}

/// The frame of a request, and what opens its answer.
fn sealed(bytes: &[u8; REQUEST_LEN]) -> (Vec<u8>, AnswerKey) {
    let associated = associated_data(0x81, &SERVICE, SET);
    let (question, asker) = seal(&secret().public(), &associated, bytes, counting()).unwrap();
    let mut frame = vec![0; SEALED_FRAME];
    let length = QuestionBuilder::new(SERVICE, SET, 9).sealed(&question, &mut frame).unwrap();
    assert_eq!(length, SEALED_FRAME);
    (frame, asker)
}

fn question(frame: &[u8]) -> (&Question, &SealedQuestion) {
    match parse(frame, &SERVICE, true) {
        Parsed::Question(header, Body::Sealed(question)) => (header, question),
        other => panic!("no sealed question: {other:?}"),
    }
}

fn opened(request: &Request<'_>) -> ReportRequest {
    let mut bytes = [0; REQUEST_LEN];
    request.write(&mut bytes).unwrap();
    let (frame, _) = sealed(&bytes);
    let (header, question) = question(&frame);
    open(&keys(), header, question).unwrap().request.unwrap()
}

fn asking<'a>(grant: (u16, &'a [u8]), keys: &'a [SentKey<'a>]) -> Request<'a> {
    Request { grant: Some(grant), keys, ..Request::about(RequestKind::Submit, [1; 16], [2; 32]) }
}

fn presented(kind: u16, value: &[u8]) -> Presented {
    opened(&asking((kind, value), &sent())).grant
}

fn certificate(provider: u32) -> Vec<u8> {
    let fields = CertificateFields {
        service: SERVICE,
        set: SET,
        provider,
        report_type: ReportType::Confirmed,
        onset_day: None,
        not_before: NOW,
        not_after: NOW + 3600,
        nonce: [6; 16],
    };
    Certificate::sign(&fields, &sent(), &SIGNER).to_vec()
}

fn token(issuer: &str) -> Vec<u8> {
    let claims = Claims {
        issuer,
        audience: "tekd",
        key_id: "tokens",
        report_type: ReportType::Likely,
        onset_interval: None,
        issued: NOW,
        expires: NOW + 3600,
    };
    jwt::sign(&claims, &[8; 32], &sent(), &SIGNER).unwrap()
}

#[test]
fn an_opened_request_says_what_was_sent() {
    let sent = sent();
    let code = b"0000-0000-001j";
    let request = Request {
        report_type: Some(ReportType::Likely),
        onset_day: Some(20_000),
        puzzle: Some(([3; 16], 77)),
        ..asking((GRANT_CODE, code), &sent)
    };
    let read = opened(&request);
    assert_eq!((read.set, read.kind, read.report, read.secret), (SET, RequestKind::Submit, [1; 16], [2; 32]));
    assert_eq!((read.report_type, read.onset_day), (Some(ReportType::Likely), Some(20_000)));
    assert_eq!((read.puzzle, &read.grant_bytes[..]), (([3; 16], 77), &code[..]));
    let key = PresentedKey { key: Key::from_slice(&KEY).unwrap(), start: 2_946_000, period: 144, risk: 3 };
    assert_eq!(read.keys, [key]);
    assert_eq!(read.grant, Presented::Code(Code::parse(code).unwrap()));
}

#[test]
fn the_content_is_all_of_a_request_but_its_puzzle() {
    // spec 7.2.5
    let sent = sent();
    let request = asking((GRANT_CODE, b"0000-0000-001J"), &sent);
    let mut bytes = [0; REQUEST_LEN];
    request.write(&mut bytes).unwrap();
    let grant_and_keys = 96..96 + 14 + 28;
    let expected: [u8; 32] = Sha256::digest(
        [b"tekd/1 content\0", &SERVICE[..], &[3, 0, 0, 0], &bytes[..64], &bytes[grant_and_keys]].concat(),
    )
    .into();
    assert_eq!(opened(&request).content, expected);
    assert_eq!(opened(&Request { puzzle: Some(([9; 16], 1)), ..request }).content, expected);
    assert_ne!(opened(&Request { kind: RequestKind::Dummy, ..request }).content, expected);
}

#[test]
fn grants_are_told_apart_and_their_faults_named() {
    let faulty = |outcome, provider| Presented::Faulty(outcome, provider);
    assert_eq!(presented(GRANT_CODE, b"0000-0000-0010"), faulty(Outcome::Mistyped, None));
    assert_eq!(presented(9, b"whatever"), faulty(Outcome::Kind, None));
    for (kind, good, other) in
        [(GRANT_CERTIFICATE, certificate(4), certificate(5)), (GRANT_JWT, token("lab"), token("another lab"))]
    {
        assert!(matches!(presented(kind, &good), Presented::Vouched(v) if v.provider == 4), "{kind}");
        let mut forged = good.clone();
        let last = forged.len() - 2;
        forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
        assert_eq!(presented(kind, &forged), faulty(Outcome::Signature, Some(4)), "{kind}");
        assert_eq!(presented(kind, &other), faulty(Outcome::Unknown, None), "{kind}: nobody's name");
        assert_eq!(presented(kind, &good[..20]), faulty(Outcome::Grant, None), "{kind}");
        let moved = [SentKey { start: 2_946_144, ..sent()[0] }];
        let read = opened(&asking((kind, &good), &moved));
        assert_eq!(read.grant, faulty(Outcome::Keys, Some(4)), "{kind}");
    }
    let status = opened(&Request::about(RequestKind::Status, [1; 16], [2; 32]));
    assert_eq!(status.grant, Presented::None);
}

#[test]
fn a_request_that_cannot_be_read_still_gets_a_sealed_answer() {
    let (frame, asker) = sealed(&[0xff; REQUEST_LEN]);
    let (header, question) = question(&frame);
    let opened = open(&keys(), header, question).unwrap();
    assert_eq!(opened.request, Err(MalformedRequest::Kind(0xff)));
    let reply = ReportReply::of(Outcome::Malformed, NOW);
    let answer = answer(header, &opened.answer_key, [1; 32], &reply);
    let body = SealedAnswer::read_from_bytes(&answer[HEADER_LEN..]).unwrap();
    let inside = asker.open_answer(&body).unwrap();
    assert_eq!(ReportOutcome::parse(&inside).unwrap(), ReportOutcome::of(Outcome::Malformed, NOW));
}

#[test]
fn what_was_changed_on_its_way_is_not_opened() {
    let (frame, _) = sealed(&[1; REQUEST_LEN]);
    let not_opened = |frame: &[u8]| {
        let (header, question) = question(frame);
        open(&keys(), header, question).map(|_| ()).unwrap_err()
    };
    let mut other_set = frame.clone();
    other_set[32] ^= 1;
    assert_eq!(not_opened(&other_set), NotOpened::Seal(SealError::Open), "spec 2.9.3");
    let mut flipped = frame.clone();
    flipped[SEALED_FRAME - 1] ^= 1;
    assert_eq!(not_opened(&flipped), NotOpened::Seal(SealError::Open));
    let mut other_key = frame;
    other_key[HEADER_LEN + 8] ^= 1;
    assert_eq!(not_opened(&other_key), NotOpened::Gone);
}

#[test]
fn suite_and_key_are_judged_before_anything_is_computed() {
    // spec 7.1.5, 7.1.4
    let (frame, _) = sealed(&[1; REQUEST_LEN]);
    let (_, good) = question(&frame);
    let keys = keys();
    let end = NOW + 100 + SEAL_KEY_GRACE_S;
    assert_eq!([NOW, end].map(|now| keys.accepts(now, good)), [Ok(()); 2]);
    assert_eq!(keys.accepts(end + 1, good), Err(ResultCode::Gone));
    let unknown = SealedQuestion { key_id: [0; 8], ..good.clone() };
    assert_eq!(keys.accepts(NOW, &unknown), Err(ResultCode::Gone));
    for at in 0..3 {
        let mut other = good.clone();
        [&mut other.kem, &mut other.kdf, &mut other.aead][at].set(0x7777);
        assert_eq!(keys.accepts(NOW, &other), Err(ResultCode::Refused));
    }
}

#[test]
fn every_answer_has_one_size_and_one_header() {
    let (frame, asker) = sealed(&[1; REQUEST_LEN]);
    let (header, question) = question(&frame);
    let key = open(&keys(), header, question).unwrap().answer_key;
    let standing = ReportStanding {
        state: ReportState::Released,
        serial: 7,
        keys: 5,
        live: 1,
        embargo: 2,
        waiting: 3,
        taken_back: 4,
    };
    let full = ReportReply {
        standing: Some(standing),
        verdicts: vec![Verdict::Accepted, Verdict::Onset],
        puzzle: Some(([5; 16], 20)),
        wait_s: 60,
        receipt: Some(([3; 128], [4; 80])),
        ..ReportReply::of(Outcome::Done, NOW)
    };
    let frames = [
        answer(header, &key, [1; 32], &full),
        answer(header, &key, [2; 32], &ReportReply::of(Outcome::Report, NOW)),
        unopened_answer(header, &[0x5a; SEALED_BODY]),
    ];
    for frame in &frames {
        assert_eq!((frame.len(), &frame[..HEADER_LEN]), (SEALED_FRAME, &frames[0][..HEADER_LEN]));
        let answer = Answer::read_from_bytes(&frame[..HEADER_LEN]).unwrap();
        assert_eq!((answer.operation, answer.set, answer.txid.get()), (0x89, U32::new(SET), 9));
    }
    let body = SealedAnswer::read_from_bytes(&frames[0][HEADER_LEN..]).unwrap();
    let inside = asker.open_answer(&body).unwrap();
    let read = ReportOutcome::parse(&inside).unwrap();
    assert_eq!((read.outcome, read.state, read.serial), (Outcome::Done, Some(ReportState::Released), 7));
    let counts = ReportCounts { keys: 5, live: 1, embargo: 2, waiting: 3, withdrawn: 4 };
    assert_eq!((read.counts, read.verdicts, read.wait_s), (counts, &full.verdicts[..], 60));
    assert_eq!(read.puzzle, full.puzzle);
    let receipt = read.receipt.unwrap();
    assert_eq!((receipt.receipt, receipt.signatures), ([3; 128], [4; 80]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_inside_a_seal_panic(at in 0..REQUEST_LEN, len in 0usize..64, byte: u8, kind in 1u8..=5) {
        let mut bytes = [0; REQUEST_LEN];
        asking((GRANT_CERTIFICATE, &certificate(4)), &sent()).write(&mut bytes).unwrap();
        bytes[0] = kind;
        bytes[at..(at + len).min(REQUEST_LEN)].fill(byte);
        let (frame, _) = sealed(&bytes);
        let (header, question) = question(&frame);
        prop_assert!(open(&keys(), header, question).is_ok());
    }
}
