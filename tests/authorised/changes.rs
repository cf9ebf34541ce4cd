//! Changes of a report's type under grants of their own (spec 7.3.4).

use tekd::authority::jwt::{self, Claims};
use tekd::client::{Author, ReportAnswer, ReportDraft};
use tekd::wire::report::{GRANT_CODE, GRANT_JWT, Outcome, ReportState, ReportType, SentKey};

use crate::world::{
    AUDIENCE, CLINIC, DAY, Diary, ISSUER_NAME, ISSUER_SECRET, KEY_ID, SET, World, tells_nothing_else,
};

const TYPES: [ReportType; 3] = [ReportType::Confirmed, ReportType::Likely, ReportType::SelfReport];

fn code_of(world: &mut World, report_type: ReportType) -> String {
    world.codes_of(report_type, CLINIC, SET, 1, DAY)[0].to_text()
}

/// A report of a type, of two keys.
fn reported(world: &mut World, report_type: ReportType) -> (Author, Diary) {
    let (code, author, diary) = (code_of(world, report_type), world.author(), world.diary(3));
    let grant = Some((GRANT_CODE, code.as_bytes()));
    let draft = ReportDraft { grant, keys: &diary.sent()[..2], ..ReportDraft::default() };
    assert_eq!(world.submit(&author, &draft).outcome, Outcome::Done);
    (author, diary)
}

fn amend(world: &mut World, author: &Author, grant: (u16, &[u8]), keys: &[SentKey<'_>]) -> ReportAnswer {
    let draft = ReportDraft { grant: Some(grant), keys, ..ReportDraft::default() };
    let now = world.now();
    let answer = world.phone(SET).amend(now, author, &draft).expect("the origin answers");
    if answer.outcome != Outcome::Done {
        tells_nothing_else(&answer);
    }
    answer
}

/// A JWT of *negative* over keys. A code of *negative* takes a report back too; it is over no keys.
fn negative(world: &mut World, keys: &[SentKey<'_>]) -> Vec<u8> {
    let claims = Claims {
        issuer: ISSUER_NAME,
        audience: AUDIENCE,
        key_id: KEY_ID,
        report_type: ReportType::Negative,
        onset_interval: None,
        issued: world.now(),
        expires: world.now() + 3_600,
    };
    jwt::sign(&claims, &world.random::<16>(), keys, &ISSUER_SECRET).expect("a JWT")
}

#[test]
fn a_report_becomes_more_certain_and_nothing_else_and_a_refused_change_spends_nothing() {
    use ReportType::{Confirmed, Likely, SelfReport};
    let mut world = World::new();
    for (from, to) in TYPES.iter().flat_map(|from| TYPES.map(|to| (*from, to))) {
        let (author, _) = reported(&mut world, from);
        let code = code_of(&mut world, to);
        let grant = (GRANT_CODE, code.as_bytes());
        let answer = amend(&mut world, &author, grant, &[]);
        if matches!((from, to), (Likely, Confirmed) | (SelfReport, Likely | Confirmed)) {
            assert_eq!(answer.outcome, Outcome::Done, "{from:?} to {to:?}");
            assert_eq!(amend(&mut world, &author, grant, &[]), answer, "repeated: the same");
            assert_eq!(world.outcome(grant), Outcome::Spent);
        } else {
            assert_eq!(answer.outcome, Outcome::Change, "{from:?} to {to:?}");
            world.is_unspent(&code);
        }
    }
}

#[test]
fn negative_takes_a_report_back_unless_it_is_confirmed() {
    let mut world = World::new();
    for from in TYPES {
        let (author, diary) = reported(&mut world, from);
        let keys = diary.sent();
        let (over_none, over_one) = (negative(&mut world, &[]), negative(&mut world, &keys[2..]));
        let refused = amend(&mut world, &author, (GRANT_JWT, &over_one), &keys[2..]).outcome;
        let answer = amend(&mut world, &author, (GRANT_JWT, &over_none), &[]);
        if from == ReportType::Confirmed {
            assert_eq!((refused, answer.outcome), (Outcome::Change, Outcome::Change));
            continue;
        }
        assert_eq!(refused, Outcome::Type, "no key can be negative");
        assert_eq!((answer.outcome, answer.state), (Outcome::Done, Some(ReportState::Withdrawn)));
        let code = code_of(&mut world, ReportType::Confirmed);
        let after = amend(&mut world, &author, (GRANT_CODE, code.as_bytes()), &keys[2..]);
        assert_eq!(after.outcome, Outcome::Withdrawn);
        world.is_unspent(&code);
    }
}

#[test]
fn a_code_of_negative_takes_a_report_back_and_begins_none() {
    let mut world = World::new();
    let code = code_of(&mut world, ReportType::Negative);
    let (other, diary) = (world.author(), world.diary(3));
    let grant = (GRANT_CODE, code.as_bytes());
    let draft = ReportDraft { grant: Some(grant), keys: &diary.sent(), ..ReportDraft::default() };
    assert_eq!(world.submit(&other, &draft).outcome, Outcome::Type);
    let (author, _) = reported(&mut world, ReportType::SelfReport);
    let answer = amend(&mut world, &author, grant, &[]);
    assert_eq!((answer.outcome, answer.state), (Outcome::Done, Some(ReportState::Withdrawn)));
    assert_eq!(world.outcome(grant), Outcome::Spent);
}

#[test]
fn a_change_of_type_has_all_the_time_its_grant_has() {
    // spec 7.3.4: only keys under the grant of the report are LATE.
    let mut world = World::new();
    let (author, _) = reported(&mut world, ReportType::Likely);
    world.pass(3 * DAY);
    let code = code_of(&mut world, ReportType::Confirmed);
    let answer = amend(&mut world, &author, (GRANT_CODE, code.as_bytes()), &[]);
    assert_eq!(answer.outcome, Outcome::Done);
}
