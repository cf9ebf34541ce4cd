//! Codes that hold, and every way in which one does not (spec 7.8.2, 7.6.3).

use tekd::authority::Standing;
use tekd::client::ReportDraft;
use tekd::engine::Input;
use tekd::wire::outcome::OUTCOME_LEN;
use tekd::wire::report::{GRANT_CODE, Outcome, ReportState, ReportType};

use crate::world::{CLINIC, DAY, OTHER_SET, REASON, SET, World, is_bare, read, written};

const ALPHABET: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn revoke_batch(world: &mut World, retroactive: bool) {
    let batch = world.last_batch();
    world.turn(Input::RevokeBatch { batch, retroactive, reason: REASON.to_owned(), dry_run: false });
}

/// What a new report of a key under a code is answered, from the inside.
fn inside(world: &mut World, code: &str) -> Box<[u8; OUTCOME_LEN]> {
    let diary = world.diary(1);
    let keys = diary.sent();
    let request = written(&world.request((GRANT_CODE, code.as_bytes()), &keys));
    world.ask(&request)
}

#[test]
fn a_code_holds_to_its_last_second_and_once() {
    let mut world = World::new();
    let codes: Vec<String> = world.codes_for(CLINIC, SET, 3, 600).iter().map(|code| code.to_text()).collect();
    assert_eq!(world.typed(&codes[0]), Outcome::Done);
    assert_eq!(world.typed(&codes[0]), Outcome::Spent);
    world.clock.advance(600);
    assert_eq!(world.typed(&codes[1]), Outcome::Done, "its last second");
    world.clock.advance(1);
    assert_eq!(world.typed(&codes[2]), Outcome::Expired);
    assert_eq!(world.typed(&codes[0]), Outcome::Spent, "who used it hears so also later");
}

#[test]
fn a_batch_is_revoked_from_now_on_or_with_what_it_authorised() {
    let mut world = World::new();
    for retroactive in [false, true] {
        let codes = world.codes(2);
        let (author, diary, text) = (world.author(), world.diary(3), codes[0].to_text());
        let grant = Some((GRANT_CODE, text.as_bytes()));
        let draft = ReportDraft { grant, keys: &diary.sent(), ..ReportDraft::default() };
        assert_eq!(world.submit(&author, &draft).outcome, Outcome::Done);
        revoke_batch(&mut world, retroactive);
        assert_eq!(world.typed(&codes[1].to_text()), Outcome::Revoked);
        let now = world.now();
        let status = world.phone(SET).report_status(now, &author).unwrap();
        let expected = if retroactive { ReportState::Withdrawn } else { ReportState::Accepted };
        assert_eq!(status.state, Some(expected), "retroactive: {retroactive}");
    }
}

#[test]
fn a_provider_is_suspended_resumed_and_revoked() {
    let mut world = World::new();
    let code = world.code();
    world.stand(CLINIC, Standing::Suspended, None);
    assert_eq!(world.typed(&code), Outcome::Suspended);
    world.stand(CLINIC, Standing::Active, None);
    assert_eq!(world.typed(&code), Outcome::Done, "it was not spent");
    let (before, after) = (world.code(), world.code());
    let (author, diary) = (world.author(), world.diary(3));
    let grant = Some((GRANT_CODE, before.as_bytes()));
    let draft = ReportDraft { grant, keys: &diary.sent(), ..ReportDraft::default() };
    assert_eq!(world.submit(&author, &draft).outcome, Outcome::Done);
    let now = world.now();
    world.stand(CLINIC, Standing::Revoked, Some(now));
    assert_eq!(world.typed(&after), Outcome::Revoked);
    let status = world.phone(SET).report_status(now, &author).unwrap();
    assert_eq!(status.state, Some(ReportState::Withdrawn), "from that moment on, that moment included");
}

#[test]
fn a_code_is_for_one_set_and_one_report_type() {
    let mut world = World::new();
    let code = world.code();
    assert_eq!(world.outcome_in(OTHER_SET, (GRANT_CODE, code.as_bytes())), Outcome::Set);
    let others = [ReportType::Likely, ReportType::SelfReport, ReportType::Negative];
    for asked in others {
        let (author, diary) = (world.author(), world.diary(1));
        let grant = Some((GRANT_CODE, code.as_bytes()));
        let report_type = Some(asked);
        let draft = ReportDraft { grant, keys: &diary.sent(), report_type, ..ReportDraft::default() };
        assert_eq!(world.submit(&author, &draft).outcome, Outcome::Type, "{asked:?}");
    }
    world.is_unspent(&code);
}

#[test]
fn every_slip_of_the_pen_is_known_as_one_and_never_counted() {
    // spec 7.8.3, 7.5.3
    let mut world = World::new();
    let code = world.code();
    let symbols = code.replace('-', "").into_bytes();
    let mut slips: Vec<Vec<u8>> = Vec::new();
    for at in 0..symbols.len() {
        for other in ALPHABET.iter().filter(|other| **other != symbols[at]) {
            let mut slip = symbols.clone();
            slip[at] = *other;
            slips.push(slip);
        }
    }
    assert_eq!(slips.len(), 12 * 31);
    for at in (1..symbols.len()).filter(|at| symbols[at - 1] != symbols[*at]) {
        let mut slip = symbols.clone();
        slip.swap(at - 1, at);
        slips.push(slip);
    }
    // Three times over: more than the budget of all, were they counted.
    for _ in 0..3 {
        for slip in &slips {
            let slip = std::str::from_utf8(slip).unwrap();
            assert_eq!(world.typed(slip), Outcome::Mistyped, "{slip} for {code}");
        }
    }
    assert!(3 * slips.len() > 1_000 && world.guessing().is_empty());
    for form in
        ["", "0", "0000-0000-000", "0000-0000-0000-0", "0000-0000-000U", "0000_0000_0000", &"0".repeat(25)]
    {
        assert_eq!(world.typed(form), Outcome::Mistyped, "{form:?}");
    }
    world.is_unspent(&code);
}

#[test]
fn what_looks_alike_is_the_same_code() {
    // spec 7.8.2
    let mut world = World::new();
    let mut seen = [false; 2];
    for (at, code) in world.codes(40).into_iter().enumerate() {
        let text = code.to_text();
        seen[0] |= text.contains('0');
        seen[1] |= text.contains('1');
        let typed = match at % 4 {
            0 => text.replace('0', "O").replace('1', "I"),
            1 => text.to_lowercase().replace('0', "o").replace('1', "l"),
            2 => text.replace('-', "").replace('1', "L"),
            _ => format!(" {} ", text.replace('-', " ").replace('0', "o").replace('1', "i")),
        };
        assert_eq!(world.typed(&typed), Outcome::Done, "{typed:?} for {text}");
        assert_eq!(world.typed(&text), Outcome::Spent, "it was that code");
    }
    assert_eq!(seen, [true; 2], "look-alikes were among them");
}

#[test]
fn a_code_that_never_was_and_one_that_is_forgotten_are_answered_alike() {
    // spec 7.6.4
    let mut world = World::new();
    let codes = world.codes_for(CLINIC, SET, 2, 60);
    let (spent, unspent) = (codes[0].to_text(), codes[1].to_text());
    assert_eq!(world.typed(&spent), Outcome::Done);
    let batch = world.last_batch();
    let known = |world: &World| world.origin().origin().state().registry().batches.contains_key(&batch);
    world.pass(2 * DAY);
    assert_eq!((world.typed(&unspent), world.typed(&spent)), (Outcome::Expired, Outcome::Spent));
    assert!(known(&world));
    world.pass(16 * DAY);
    assert!(!known(&world), "the batch is forgotten");
    let never = world.unknown_code();
    let answers = [&never, &spent, &unspent].map(|code| inside(&mut world, code));
    assert_eq!(read(&answers[0]).outcome, Outcome::Unknown);
    is_bare(&answers[0]);
    assert!(answers[0] == answers[1] && answers[0] == answers[2], "to the byte, at the same time");
}

#[test]
fn what_a_grant_is_answered_tells_the_outcome_and_the_time_alone() {
    // spec 7.6.4
    let mut world = World::new();
    let spent = world.code();
    world.is_unspent(&spent);
    let revoked = world.code();
    revoke_batch(&mut world, false);
    let elsewhere = world.codes_for(CLINIC, OTHER_SET, 1, DAY)[0].to_text();
    let expired = world.codes_for(CLINIC, SET, 1, 60)[0].to_text();
    world.clock.advance(61);
    let never = world.unknown_code();
    let states = [
        (spent, Outcome::Spent),
        (revoked, Outcome::Revoked),
        (elsewhere, Outcome::Set),
        (expired, Outcome::Expired),
        (never, Outcome::Unknown),
        ("0000-0000-0001".to_owned(), Outcome::Mistyped),
    ];
    for (code, expected) in &states {
        let answer = inside(&mut world, code);
        assert_eq!(read(&answer).outcome, *expected);
        is_bare(&answer);
    }
    let suspended = world.code();
    world.stand(CLINIC, Standing::Suspended, None);
    let answer = inside(&mut world, &suspended);
    assert_eq!(read(&answer).outcome, Outcome::Suspended);
    is_bare(&answer);
    for kind in [4, u16::MAX] {
        assert_eq!(world.outcome((kind, b"anything")), Outcome::Kind, "spec 7.6.3");
    }
}
