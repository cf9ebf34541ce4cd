//! Certificates and JWTs that hold, and every way in which one does not (spec 7.8.5–7.8.8).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tekd::authority::certificate::{Certificate, CertificateFields};
use tekd::authority::jwt::{self, Claims};
use tekd::authority::{ProviderKey, Standing};
use tekd::client::{Author, ReportDraft};
use tekd::engine::{Input, Reply};
use tekd::wire::report::{
    GRANT_CERTIFICATE, GRANT_JWT, MAX_GRANT, Outcome, ReportState, ReportType, SentKey,
};

use crate::world::{
    AUDIENCE, DAY, Diary, ELSEWHERE_NAME, ISSUER, ISSUER_NAME, ISSUER_SECRET, KEY_ID, LABORATORY,
    LABORATORY_SECRET, OTHER_SET, REASON, SET, World, ed25519, is_bare, read, written,
};

/// Seconds by which clocks may differ.
const GRACE: u64 = 300;
const MAC_KEY: [u8; 16] = [9; 16];
const STRANGER: [u8; 32] = [77; 32];

/// A certificate that holds from now for a day.
fn fields(world: &mut World) -> CertificateFields {
    CertificateFields {
        service: world.trust.service,
        set: SET,
        provider: LABORATORY,
        report_type: ReportType::Confirmed,
        onset_day: None,
        not_before: world.now(),
        not_after: world.now() + DAY,
        nonce: world.random(),
    }
}

/// How a new report under a certificate of the laboratory over its keys ends, after a change of what it says.
fn certified(world: &mut World, change: impl FnOnce(&mut CertificateFields)) -> Outcome {
    signed(world, &LABORATORY_SECRET, change)
}

fn signed(world: &mut World, secret: &[u8; 32], change: impl FnOnce(&mut CertificateFields)) -> Outcome {
    let mut fields = fields(world);
    change(&mut fields);
    let diary = world.diary(3);
    let value = Certificate::sign(&fields, &diary.sent(), secret);
    submitted(world, (GRANT_CERTIFICATE, &value), &diary)
}

fn submitted(world: &mut World, grant: (u16, &[u8]), diary: &Diary) -> Outcome {
    let author = world.author();
    let draft = ReportDraft { grant: Some(grant), keys: &diary.sent(), ..ReportDraft::default() };
    world.submit(&author, &draft).outcome
}

#[test]
fn a_certificate_authorises_one_report_over_its_keys() {
    // spec 7.8.8
    let mut world = World::new();
    let (fields, diary) = (fields(&mut world), world.diary(3));
    let value = Certificate::sign(&fields, &diary.sent(), &LABORATORY_SECRET);
    let grant = (GRANT_CERTIFICATE, &value[..]);
    let keys = diary.sent();
    let draft = ReportDraft { grant: Some(grant), keys: &keys, ..ReportDraft::default() };
    let others = world.diary(3);
    assert_eq!(submitted(&mut world, grant, &others), Outcome::Keys, "and is not spent by it");
    let fewer = ReportDraft { keys: &keys[..2], ..draft };
    let (author, stranger) = (world.author(), world.author());
    assert_eq!(world.submit(&author, &fewer).outcome, Outcome::Keys);
    let first = world.submit(&author, &draft);
    assert_eq!(first.outcome, Outcome::Done);
    assert_eq!(world.submit(&author, &draft), first, "repeated: the same receipt and verdicts");
    assert_eq!(world.submit(&stranger, &draft).outcome, Outcome::Spent, "replayed for another report");
    let turned: Vec<SentKey<'_>> = keys.iter().rev().copied().collect();
    let turned = ReportDraft { keys: &turned, ..draft };
    assert_eq!(world.submit(&stranger, &turned).outcome, Outcome::Spent, "in whatever order");
    assert_eq!(world.reports(SET), 1);
}

#[test]
fn each_fault_of_a_certificate_is_its_own() {
    let mut world = World::new();
    assert_eq!(certified(&mut world, |f| f.set = OTHER_SET), Outcome::Set);
    assert_eq!(certified(&mut world, |f| f.service = [1; 8]), Outcome::Audience);
    assert_eq!(certified(&mut world, |f| f.provider = 99), Outcome::Unknown);
    assert_eq!(certified(&mut world, |f| f.provider = ISSUER), Outcome::Unknown, "it has no such key");
    assert_eq!(signed(&mut world, &STRANGER, |_| ()), Outcome::Unknown);
    assert_eq!(certified(&mut world, |f| f.not_after += 14 * DAY), Outcome::Grant, "it lives too long");
    assert_eq!(certified(&mut world, |f| f.report_type = ReportType::Negative), Outcome::Type);
    let (fields, diary) = (fields(&mut world), world.diary(3));
    let value = Certificate::sign(&fields, &diary.sent(), &LABORATORY_SECRET);
    let with = |at: usize| {
        let mut value = value;
        value[at] ^= 1;
        value
    };
    for (at, expected) in [
        (0, Outcome::Grant),
        (2, Outcome::Grant),
        (3, Outcome::Grant),
        (4, Outcome::Signature),
        (8, Outcome::Audience),
        (16, Outcome::Unknown),
        (24, Outcome::Signature),
        (40, Outcome::Unknown),
        (64, Outcome::Signature),
        (96, Outcome::Grant),
        (160, Outcome::Signature),
        (223, Outcome::Signature),
    ] {
        assert_eq!(submitted(&mut world, (GRANT_CERTIFICATE, &with(at)), &diary), expected, "byte {at}");
    }
    let longer = [&value[..], &[0]].concat();
    for other in [&value[..223], &longer, &[]] {
        assert_eq!(submitted(&mut world, (GRANT_CERTIFICATE, other), &diary), Outcome::Grant);
    }
    assert_eq!(
        submitted(&mut world, (GRANT_CERTIFICATE, &value), &diary),
        Outcome::Done,
        "none of it spent it"
    );
}

#[test]
fn clocks_may_differ_by_300_seconds_and_not_by_one_more() {
    // spec 7.8.6
    let mut world = World::new();
    let now = world.now();
    let early = |f: &mut CertificateFields, ahead: u64| f.not_before = now + ahead;
    assert_eq!(certified(&mut world, |f| early(f, GRACE)), Outcome::Done);
    assert_eq!(certified(&mut world, |f| early(f, GRACE + 1)), Outcome::Early);
    let late = |f: &mut CertificateFields, ago: u64| {
        (f.not_before, f.not_after) = (now - DAY, now - ago);
    };
    assert_eq!(certified(&mut world, |f| late(f, GRACE)), Outcome::Done);
    assert_eq!(certified(&mut world, |f| late(f, GRACE + 1)), Outcome::Expired);
    assert_eq!(token(&mut world, |c| c.issued = now + GRACE), Outcome::Done);
    assert_eq!(token(&mut world, |c| c.issued = now + GRACE + 1), Outcome::Early);
    let over = |c: &mut Claims<'_>, ago: u64| (c.issued, c.expires) = (now - DAY, now - ago);
    assert_eq!(token(&mut world, |c| over(c, GRACE)), Outcome::Done);
    assert_eq!(token(&mut world, |c| over(c, GRACE + 1)), Outcome::Expired);
}

#[test]
fn who_comes_too_early_hears_when_to_come() {
    // spec 7.6.3
    let mut world = World::new();
    let now = world.now();
    let longest = u64::from(u16::MAX);
    for (ahead, wait) in
        [(1, 1), (3_600, 3_600), (longest, longest), (longest + 1, longest), (10 * DAY, longest)]
    {
        let mut fields = fields(&mut world);
        (fields.not_before, fields.not_after) = (now + GRACE + ahead, now + GRACE + 11 * DAY);
        let diary = world.diary(1);
        let keys = diary.sent();
        let value = Certificate::sign(&fields, &keys, &LABORATORY_SECRET);
        let request = world.request((GRANT_CERTIFICATE, &value), &keys);
        let answer = world.ask_for(&request);
        let said = read(&answer);
        assert_eq!((said.outcome, u64::from(said.wait_s)), (Outcome::Early, wait), "{ahead} s ahead");
        is_bare(&answer);
    }
    let (mut fields, diary) = (fields(&mut world), world.diary(1));
    fields.not_before = now + GRACE + 5;
    let value = Certificate::sign(&fields, &diary.sent(), &LABORATORY_SECRET);
    assert_eq!(submitted(&mut world, (GRANT_CERTIFICATE, &value), &diary), Outcome::Early);
    world.clock.advance(5);
    assert_eq!(submitted(&mut world, (GRANT_CERTIFICATE, &value), &diary), Outcome::Done);
}

#[test]
fn a_key_that_is_revoked_and_a_provider_that_may_not_vouch_for_nobody() {
    let mut world = World::new();
    world.stand(LABORATORY, Standing::Suspended, None);
    assert_eq!(certified(&mut world, |_| ()), Outcome::Suspended);
    world.stand(LABORATORY, Standing::Active, None);
    assert_eq!(certified(&mut world, |_| ()), Outcome::Done);
    let fingerprint = ed25519(&LABORATORY_SECRET).fingerprint();
    let next = [8; 32];
    world.turn(Input::AddProviderKey { provider: LABORATORY, key: ed25519(&next) });
    let (provider, reason) = (LABORATORY, REASON.to_owned());
    let (since, dry_run) = (None, false);
    world.turn(Input::RevokeProviderKey { provider, fingerprint, since, reason, dry_run });
    assert_eq!(certified(&mut world, |_| ()), Outcome::Revoked);
    assert_eq!(signed(&mut world, &next, |_| ()), Outcome::Done, "the next key holds at once");
    world.stand(LABORATORY, Standing::Revoked, None);
    assert_eq!(signed(&mut world, &next, |_| ()), Outcome::Revoked);
}

fn amended(world: &mut World, author: &Author, draft: &ReportDraft<'_>) -> Outcome {
    let now = world.now();
    world.phone(SET).amend(now, author, draft).expect("the origin answers").outcome
}

#[test]
fn a_stolen_key_takes_back_what_it_signed_for_and_nothing_of_its_provider_besides() {
    let mut world = World::new();
    let next = [8; 32];
    world.turn(Input::AddProviderKey { provider: LABORATORY, key: ed25519(&next) });
    let (mine, theirs) = (world.diary(3), world.diary(2));
    let submit = |world: &mut World, secret: &[u8; 32], diary: &Diary| {
        let value = Certificate::sign(&fields(world), &diary.sent(), secret);
        let author = world.author();
        let keys = diary.sent();
        let grant = Some((GRANT_CERTIFICATE, &value[..]));
        assert_eq!(
            world.submit(&author, &ReportDraft { grant, keys: &keys, ..Default::default() }).outcome,
            Outcome::Done
        );
        author
    };
    let honest = submit(&mut world, &next, &mine);
    let forged = submit(&mut world, &LABORATORY_SECRET, &theirs);
    let fingerprint = ed25519(&LABORATORY_SECRET).fingerprint();
    let (provider, since) = (LABORATORY, Some(world.now()));
    let revoke = |dry_run| {
        let reason = REASON.to_owned();
        Input::RevokeProviderKey { provider, fingerprint, since, reason, dry_run }
    };
    for dry_run in [true, false] {
        let Reply::Withdrawn(count) = world.turn(revoke(dry_run)) else { panic!("counts") };
        assert_eq!((count.claims.reports, count.claims.keys, count.seq.is_none()), (1, 2, dry_run));
    }
    let state = |world: &mut World, author| {
        let now = world.now();
        world.phone(SET).report_status(now, author).expect("the origin answers").state
    };
    assert_eq!(state(&mut world, &forged), Some(ReportState::Withdrawn));
    assert_eq!(state(&mut world, &honest), Some(ReportState::Accepted));
    let more = world.diary(1);
    let draft = ReportDraft { keys: &more.sent(), ..ReportDraft::default() };
    assert_eq!(amended(&mut world, &honest, &draft), Outcome::Done);
}

#[test]
fn a_report_under_a_key_that_is_revoked_grows_no_more() {
    let mut world = World::new();
    let diary = world.diary(2);
    let value = Certificate::sign(&fields(&mut world), &diary.sent(), &LABORATORY_SECRET);
    let (author, keys) = (world.author(), diary.sent());
    let grant = Some((GRANT_CERTIFICATE, &value[..]));
    let draft = ReportDraft { grant, keys: &keys, ..ReportDraft::default() };
    assert_eq!(world.submit(&author, &draft).outcome, Outcome::Done);
    let (provider, fingerprint) = (LABORATORY, ed25519(&LABORATORY_SECRET).fingerprint());
    let (since, reason, dry_run) = (None, REASON.to_owned(), false);
    world.turn(Input::RevokeProviderKey { provider, fingerprint, since, reason, dry_run });
    let more = world.diary(1);
    let draft = ReportDraft { keys: &more.sent(), ..ReportDraft::default() };
    assert_eq!(amended(&mut world, &author, &draft), Outcome::Revoked);
}

#[test]
fn a_providers_key_has_a_beginning_and_an_end() {
    let mut world = World::new();
    let (now, next) = (world.now(), [8; 32]);
    let key = ProviderKey { not_before: now + 1_000, not_after: now + 2_000, ..ed25519(&next) };
    world.turn(Input::AddProviderKey { provider: LABORATORY, key });
    let at = |world: &mut World, unix: u64| {
        world.wait_until(unix);
        let (fields, diary) = (fields(world), world.diary(1));
        let keys = diary.sent();
        let value = Certificate::sign(&fields, &keys, &next);
        let request = world.request((GRANT_CERTIFICATE, &value), &keys);
        let answer = world.ask_for(&request);
        (read(&answer).outcome, read(&answer).wait_s)
    };
    assert_eq!(at(&mut world, now), (Outcome::Early, 700));
    assert_eq!(at(&mut world, now + 1_000 - GRACE - 1), (Outcome::Early, 1));
    assert_eq!(at(&mut world, now + 1_000 - GRACE), (Outcome::Done, 0));
    assert_eq!(at(&mut world, now + 2_000 + GRACE), (Outcome::Done, 0));
    assert_eq!(at(&mut world, now + 2_000 + GRACE + 1), (Outcome::Expired, 0));
}

/// A JWT that holds from now for an hour.
fn claims(world: &World) -> Claims<'static> {
    Claims {
        issuer: ISSUER_NAME,
        audience: AUDIENCE,
        key_id: KEY_ID,
        report_type: ReportType::Confirmed,
        onset_interval: None,
        issued: world.now(),
        expires: world.now() + 3_600,
    }
}

/// How a new report under a JWT over its keys ends, after a change of what it says.
fn token(world: &mut World, change: impl FnOnce(&mut Claims<'_>)) -> Outcome {
    let mut claims = claims(world);
    change(&mut claims);
    let diary = world.diary(3);
    let value = jwt::sign(&claims, &MAC_KEY, &diary.sent(), &ISSUER_SECRET).expect("a JWT");
    submitted(world, (GRANT_JWT, &value), &diary)
}

#[test]
fn each_fault_of_a_jwt_is_its_own() {
    // spec 7.8.7
    let mut world = World::new();
    let now = world.now();
    assert_eq!(token(&mut world, |_| ()), Outcome::Done);
    assert_eq!(token(&mut world, |c| c.report_type = ReportType::Likely), Outcome::Done);
    assert_eq!(token(&mut world, |c| c.audience = "somebody else"), Outcome::Audience);
    assert_eq!(token(&mut world, |c| c.issuer = "somebody else"), Outcome::Unknown);
    assert_eq!(token(&mut world, |c| c.key_id = "v2"), Outcome::Unknown);
    assert_eq!(token(&mut world, |c| c.issuer = ELSEWHERE_NAME), Outcome::Set, "bound to another set");
    assert_eq!(token(&mut world, |c| c.report_type = ReportType::Negative), Outcome::Type);
    assert_eq!(token(&mut world, |c| c.expires = now + 15 * DAY), Outcome::Grant, "it lives too long");
    assert_eq!(token(&mut world, |c| c.issued = c.expires + 1), Outcome::Grant);
    let (claims, diary, others) = (claims(&world), world.diary(3), world.diary(3));
    let foreign = jwt::sign(&claims, &MAC_KEY, &diary.sent(), &STRANGER).unwrap();
    assert_eq!(submitted(&mut world, (GRANT_JWT, &foreign), &diary), Outcome::Signature);
    let value = jwt::sign(&claims, &MAC_KEY, &diary.sent(), &ISSUER_SECRET).unwrap();
    assert_eq!(submitted(&mut world, (GRANT_JWT, &value), &others), Outcome::Keys);
    let mut other_mac = value.clone();
    other_mac[1] ^= 1;
    assert_eq!(submitted(&mut world, (GRANT_JWT, &other_mac), &diary), Outcome::Keys);
    for header in [
        r#"{"alg":"none","kid":"v1"}"#,
        r#"{"alg":"HS256","kid":"v1"}"#,
        r#"{"alg":"ES256","kid":"v1","crit":["x"]}"#,
        r#"{"alg":"ES256"}"#,
    ] {
        let text = String::from_utf8(value[17..].to_vec()).expect("a JWT is ASCII");
        let (_, rest) = text.split_once('.').expect("three parts");
        let unsigned = rest.rsplit_once('.').expect("three parts").0;
        for rest in [rest.to_owned(), format!("{unsigned}.")] {
            let jwt = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
            let forged = [&value[..17], jwt.as_bytes()].concat();
            assert_eq!(submitted(&mut world, (GRANT_JWT, &forged), &diary), Outcome::Grant, "{header}");
        }
    }
    for unreadable in [&b""[..], b"\x10", &[0; 40], &[16; MAX_GRANT], &value[..value.len() - 1]] {
        assert_eq!(submitted(&mut world, (GRANT_JWT, unreadable), &diary), Outcome::Grant);
    }
    assert_eq!(submitted(&mut world, (GRANT_JWT, &value), &diary), Outcome::Done, "none of it spent it");
    assert_eq!(submitted(&mut world, (GRANT_JWT, &value), &diary), Outcome::Spent);
}

#[test]
fn no_outcome_of_what_is_vouched_tells_more_than_itself() {
    // spec 7.6.4
    type Change = fn(&mut CertificateFields, u64);
    let mut world = World::new();
    let (now, diary) = (world.now(), world.diary(2));
    let keys = diary.sent();
    let changes: [(Change, Outcome); 6] = [
        (|f, _| f.set = OTHER_SET, Outcome::Set),
        (|f, _| f.service = [1; 8], Outcome::Audience),
        (|f, _| f.provider = 99, Outcome::Unknown),
        (|f, now| (f.not_before, f.not_after) = (now - DAY, now - 301), Outcome::Expired),
        (|f, now| (f.not_before, f.not_after) = (now + 400, now + DAY), Outcome::Early),
        (|f, _| f.report_type = ReportType::Negative, Outcome::Type),
    ];
    for (change, expected) in changes {
        let mut fields = fields(&mut world);
        change(&mut fields, now);
        let value = Certificate::sign(&fields, &keys, &LABORATORY_SECRET);
        let request = written(&world.request((GRANT_CERTIFICATE, &value), &keys));
        let answer = world.ask(&request);
        assert_eq!(read(&answer).outcome, expected);
        is_bare(&answer);
    }
}
