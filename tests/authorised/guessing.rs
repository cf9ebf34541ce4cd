//! Guesses: what they cost, what they set off, and whom they leave alone (spec 7.5).

use tekd::authority::certificate::{Certificate, CertificateFields};
use tekd::authority::{FIRST_PUZZLE_BITS, Level, MAX_PUZZLE_HASHES, PROVIDER_BUDGET, TOTAL_BUDGET, solve};
use tekd::client::DummyForm;
use tekd::wire::report::{GRANT_CERTIFICATE, GRANT_CODE, Outcome, ReportType, RequestKind};
use tekd::wire::request::Request;

use crate::world::{DAY, LABORATORY, SET, World, is_bare, read};

const PUZZLE: Level = Level::Puzzle { bits: FIRST_PUZZLE_BITS };

fn guess(world: &mut World, times: u64) {
    for _ in 0..times {
        let code = world.unknown_code();
        assert_eq!(world.typed(&code), Outcome::Unknown);
    }
}

/// A world in which as much was guessed as nobody works for.
fn flooded() -> World {
    let mut world = World::new();
    guess(&mut world, TOTAL_BUDGET.size);
    assert_eq!(world.guessing(), [(None, PUZZLE)]);
    world
}

#[test]
fn half_a_budget_raises_an_alarm_and_a_whole_one_sets_a_puzzle() {
    // spec 7.5.3
    let mut world = World::new();
    guess(&mut world, TOTAL_BUDGET.size / 2 - 1);
    assert!(world.guessing().is_empty());
    guess(&mut world, 1);
    assert_eq!(world.guessing(), [(None, Level::Alarm)]);
    guess(&mut world, TOTAL_BUDGET.size / 2);
    assert_eq!(world.guessing(), [(None, PUZZLE)]);
    // The phone solves what it is asked for, and is not refused.
    let code = world.code();
    assert_eq!(world.typed(&code), Outcome::Done);
    // Who guesses with work learns that the code is unknown, and pays for it.
    let unknown = world.unknown_code();
    assert_eq!(world.typed(&unknown), Outcome::Unknown);
    assert_eq!(world.guessing(), [(None, PUZZLE)]);
    world.clock.advance(3_600);
    assert!(world.guessing().is_empty(), "an hour refills 600");
    let (known, unknown) = (world.code(), world.unknown_code());
    let answers = [&unknown, &known].map(|code| {
        let diary = world.diary(1);
        let keys = diary.sent();
        let request = world.request((GRANT_CODE, code.as_bytes()), &keys);
        let answer = world.ask_for(&request);
        read(&answer).outcome
    });
    assert_eq!(answers, [Outcome::Unknown, Outcome::Done], "without a puzzle");
}

#[test]
fn a_puzzle_comes_before_any_look_at_the_grant_and_a_solution_serves_once() {
    // spec 7.5.1
    let mut world = flooded();
    let (valid, unknown, spent) = (world.code(), world.unknown_code(), world.code());
    assert_eq!(world.typed(&spent), Outcome::Done);
    let diary = world.diary(1);
    let keys = diary.sent();
    let codes = [&valid, &unknown, &spent, &"0000-0000-0001".to_owned()];
    let asked: Vec<Request<'_>> =
        codes.iter().map(|code| world.request((GRANT_CODE, code.as_bytes()), &keys)).collect();
    let answers: Vec<_> = asked.iter().map(|request| world.ask_for(request)).collect();
    assert!(answers.iter().all(|answer| answer == &answers[0]), "one answer for all, to the byte");
    let said = read(&answers[0]);
    let (seed, bits) = said.puzzle.expect("a puzzle");
    assert_eq!((said.outcome, bits), (Outcome::Puzzle, FIRST_PUZZLE_BITS));
    let mut rest = answers[0].clone();
    rest[3] = 0;
    rest[16..32].fill(0);
    is_bare(&rest);

    let before = world.reports(SET);
    let solution = |request: &Request<'_>| {
        let (_, grant) = request.grant.expect("it has one");
        solve(&seed, bits, &request.report, grant, MAX_PUZZLE_HASHES).expect("it is solved")
    };
    let solved = Request { puzzle: Some((seed, solution(&asked[0]))), ..asked[0] };
    for not_solved in [
        Request { puzzle: solved.puzzle.map(|(seed, solution)| (seed, solution + 1)), ..solved },
        Request { puzzle: solved.puzzle.map(|(_, solution)| ([1; 16], solution)), ..solved },
        Request { report: [9; 16], ..solved },
        Request { grant: asked[1].grant, ..solved },
    ] {
        assert_eq!(read(&world.ask_for(&not_solved)).outcome, Outcome::Puzzle, "{not_solved:?}");
    }
    assert_eq!(world.reports(SET), before);
    assert_eq!(read(&world.ask_for(&solved)).outcome, Outcome::Done);
    assert_eq!(read(&world.ask_for(&asked[0])).outcome, Outcome::Done, "repeated without any work");
    let worked = Request { puzzle: Some((seed, solution(&asked[1]))), ..asked[1] };
    assert_eq!(read(&world.ask_for(&worked)).outcome, Outcome::Unknown);
}

#[test]
fn dummies_never_count_and_work_as_reports_do() {
    // spec 7.1.8
    let mut world = World::new();
    for _ in 0..=TOTAL_BUDGET.size {
        let code = world.unknown_code();
        let (now, form) =
            (world.now(), DummyForm { grant: (GRANT_CODE, code.as_bytes()), keys: 3, key_len: 16 });
        let answer = world.phone(SET).dummy(now, &form).unwrap();
        assert_eq!((answer.outcome, answer.state), (Outcome::Done, None));
    }
    assert!(world.guessing().is_empty());
    assert_eq!(world.reports(SET), 0);
    let mut world = flooded();
    let (diary, code) = (world.diary(3), world.unknown_code());
    let keys = diary.sent();
    let request = world.request((GRANT_CODE, code.as_bytes()), &keys);
    // Spared the puzzle, a dummy would be told from a report by the second question that it never sends.
    let answer = world.ask_for(&Request { kind: RequestKind::Dummy, ..request });
    assert_eq!(read(&answer).outcome, Outcome::Puzzle);
}

#[test]
fn who_guesses_at_one_provider_sets_puzzles_for_it_alone() {
    // spec 7.5.3
    let mut world = World::new();
    let fields = CertificateFields {
        service: world.trust.service,
        set: SET,
        provider: LABORATORY,
        report_type: ReportType::Confirmed,
        onset_day: None,
        not_before: world.now(),
        not_after: world.now() + DAY,
        nonce: [0; 16],
    };
    let diary = world.diary(1);
    let forged = Certificate::sign(&fields, &diary.sent(), &[99; 32]);
    for _ in 0..PROVIDER_BUDGET.size {
        assert_eq!(world.outcome((GRANT_CERTIFICATE, &forged)), Outcome::Unknown);
    }
    assert_eq!(world.guessing(), [(Some(LABORATORY), PUZZLE)]);
    let keys = diary.sent();
    let request = world.request((GRANT_CERTIFICATE, &forged), &keys);
    assert_eq!(read(&world.ask_for(&request)).outcome, Outcome::Puzzle);
    let code = world.code();
    let request = world.request((GRANT_CODE, code.as_bytes()), &keys);
    assert_eq!(read(&world.ask_for(&request)).outcome, Outcome::Done, "codes are left alone");
}
