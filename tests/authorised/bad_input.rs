//! What is wrong with a request: each fault has its verdict or its outcome, and where nothing was stored the
//! grant is not spent (spec 7.2.4, 7.3, 7.4).

use tekd::client::ReportDraft;
use tekd::engine::{MAX_KEYS_PER_REPORT, MAX_KEYS_PER_START, SEALED_FRAME, opens_until};
use tekd::time;
use tekd::wire::report::{
    GRANT_CODE, GRANT_JWT, MAX_GRANT, MAX_SENT_KEYS, Outcome, RequestKind, SentKey, Verdict,
};
use tekd::wire::request::{REQUEST_LEN, Request};
use tekd::wire::{HEADER_LEN, ResultCode};

use crate::world::{CLINIC, DAY, OTHER_SET, SET, Sealed, World, is_bare, opened, read, written};

const HOUR: u64 = 3_600;

/// The verdicts on keys sent under a fresh code. If none is good the code is not spent.
fn judged(world: &mut World, set: u32, onset_day: Option<u32>, keys: &[SentKey<'_>]) -> Vec<Verdict> {
    let code = world.codes_for(CLINIC, set, 1, DAY)[0].to_text();
    let author = world.author();
    let grant = Some((GRANT_CODE, code.as_bytes()));
    let draft = ReportDraft { grant, keys, onset_day, ..ReportDraft::default() };
    let answer = world.submit_to(set, &author, &draft);
    assert_eq!(answer.verdicts.len(), keys.len(), "one for each key");
    if answer.verdicts.contains(&Verdict::Accepted) {
        assert_eq!(answer.outcome, Outcome::Done);
    } else {
        assert_eq!(answer.outcome, Outcome::Nothing);
        assert_eq!(world.outcome_in(set, (GRANT_CODE, code.as_bytes())), Outcome::Done, "it was not spent");
    }
    answer.verdicts
}

/// The verdict on one key.
fn verdict(world: &mut World, key: SentKey<'_>) -> Verdict {
    judged(world, SET, None, &[key])[0]
}

#[test]
fn the_31st_key_and_those_after_it_are_too_many() {
    let mut world = World::new();
    let diary = world.diary(MAX_SENT_KEYS);
    let keys = diary.sent_with(3);
    let verdicts = judged(&mut world, SET, None, &keys[..MAX_KEYS_PER_REPORT + 1]);
    assert_eq!(verdicts[..MAX_KEYS_PER_REPORT], [Verdict::Accepted; 30]);
    assert_eq!(verdicts[MAX_KEYS_PER_REPORT], Verdict::Count);
    let verdicts = judged(&mut world, SET, None, &keys);
    assert_eq!(verdicts[..30], [Verdict::Accepted; 30]);
    assert_eq!(verdicts[30..], [Verdict::Count; 6]);
}

#[test]
fn of_four_keys_with_one_start_the_fourth_is_refused() {
    let mut world = World::new();
    let diary = world.diary(5);
    let keys = diary.sent_with(4);
    let verdicts = judged(&mut world, SET, None, &keys);
    let good = [Verdict::Accepted; MAX_KEYS_PER_START as usize];
    assert_eq!(verdicts[..3], good);
    assert_eq!(verdicts[3..], [Verdict::Start, Verdict::Accepted]);
}

#[test]
fn periods_starts_and_fields_have_their_limits() {
    // spec 7.4.1
    let mut world = World::new();
    let diary = world.diary(1);
    let key = diary.sent()[0];
    for (period, expected) in [
        (0, Verdict::Period),
        (1, Verdict::Accepted),
        (144, Verdict::Accepted),
        (145, Verdict::Period),
        (1 << 16, Verdict::Period),
        ((1 << 16) + 144, Verdict::Period),
        (u32::MAX, Verdict::Period),
    ] {
        assert_eq!(verdict(&mut world, SentKey { period, ..key }), expected, "period {period}");
    }
    let soon = time::interval_of(world.now() + 2 * HOUR);
    for (start, expected) in
        [(soon, Verdict::Accepted), (soon + 1, Verdict::Future), (u32::MAX, Verdict::Future)]
    {
        assert_eq!(verdict(&mut world, SentKey { start, ..key }), expected, "start {start}");
    }
    let horizon = time::horizon(world.now(), 14);
    for (start, expected) in
        [(horizon - 143, Verdict::Accepted), (horizon - 144, Verdict::Expired), (0, Verdict::Expired)]
    {
        assert_eq!(verdict(&mut world, SentKey { start, ..key }), expected, "start {start}");
    }
    for (risk, expected) in
        [(0, Verdict::Accepted), (8, Verdict::Accepted), (9, Verdict::Field), (255, Verdict::Field)]
    {
        assert_eq!(verdict(&mut world, SentKey { risk, ..key }), expected, "risk {risk}");
    }
    let long = [7; 32];
    assert_eq!(verdict(&mut world, SentKey { key: &long, ..key }), Verdict::Malformed);
}

#[test]
fn a_key_twice_in_a_report_is_a_duplicate_and_in_two_reports_is_none() {
    // spec 7.4.1, 7.4.2
    let mut world = World::new();
    let diary = world.diary(2);
    let keys = diary.sent();
    let again = [keys[0], keys[1], SentKey { start: keys[1].start, ..keys[0] }, keys[0]];
    let expected = [Verdict::Accepted, Verdict::Accepted, Verdict::Duplicate, Verdict::Duplicate];
    assert_eq!(judged(&mut world, SET, None, &again), expected);
    assert_eq!(judged(&mut world, SET, None, &keys), [Verdict::Accepted; 2]);
}

#[test]
fn a_day_is_near_the_onset_where_the_schema_tells_it() {
    let mut world = World::new();
    let diary = world.diary(1);
    let key = diary.sent()[0];
    let day = key.start / 144;
    for (onset, expected) in [
        (day - 15, Verdict::Onset),
        (day - 14, Verdict::Accepted),
        (day + 14, Verdict::Accepted),
        (day + 15, Verdict::Onset),
        (u32::MAX, Verdict::Onset),
    ] {
        let keys = [key];
        assert_eq!(judged(&mut world, OTHER_SET, Some(onset), &keys), [expected], "{onset}");
        assert_eq!(judged(&mut world, SET, Some(onset), &keys), [Verdict::Accepted], "it tells no onset");
    }
}

#[test]
fn a_report_without_a_key_is_nothing() {
    // spec 7.2.4, 7.3.1
    let mut world = World::new();
    assert_eq!(judged(&mut world, SET, None, &[]), []);
    assert_eq!(world.reports(SET), 1, "what followed under the same code");
}

#[test]
fn what_is_no_request_is_malformed_and_spends_nothing() {
    // spec 7.2.4
    let mut world = World::new();
    let (code, diary) = (world.code(), world.diary(2));
    let keys = diary.sent();
    let good = written(&world.request((GRANT_CODE, code.as_bytes()), &keys));
    let first_key = 96 + code.len();
    let edits: [&[(usize, u8)]; 20] = [
        &[(0, 0)],
        &[(0, 6)],
        &[(0, 255)],
        &[(0, RequestKind::Status as u8)],
        &[(0, RequestKind::Cancel as u8)],
        &[(1, 17)],
        &[(1, 0)],
        &[(1, 255)],
        &[(2, 37)],
        &[(2, 0)],
        &[(2, 1)],
        &[(3, 4)],
        &[(3, 6)],
        &[(4, 0)],
        &[(6, 1), (7, 4)],
        &[(12, 1)],
        &[(15, 1)],
        &[(88, 1)],
        &[(first_key + 25, 1)],
        &[(REQUEST_LEN - 1, 1)],
    ];
    for edit in edits {
        let mut inside = good.clone();
        edit.iter().for_each(|(at, byte)| inside[*at] = *byte);
        let answer = world.ask(&inside);
        assert_eq!(read(&answer).outcome, Outcome::Malformed, "{edit:?}");
        is_bare(&answer);
    }
    let mut ungranted = good.clone();
    ungranted[1..8].fill(0);
    ungranted[96..].fill(0);
    assert_eq!(read(&world.ask(&ungranted)).outcome, Outcome::Malformed, "SUBMIT without a grant");
    assert_eq!(world.reports(SET), 0);
    assert_eq!(read(&world.ask(&good)).outcome, Outcome::Done, "the same without the fault");
}

#[test]
fn a_jwt_fits_a_request_or_is_not_sent() {
    let mut world = World::new();
    let (author, diary, now) = (world.author(), world.diary(1), world.now());
    let long = [b'a'; MAX_GRANT + 1];
    let draft =
        ReportDraft { grant: Some((GRANT_JWT, &long)), keys: &diary.sent(), ..ReportDraft::default() };
    let error = world.phone(SET).submit(now, &author, &draft).unwrap_err();
    assert!(error.to_string().contains("1025 bytes"), "{error}");
    assert_eq!(world.outcome((GRANT_JWT, &long[..MAX_GRANT])), Outcome::Grant, "the longest is read");
    // One that says it is longer than any.
    let keys = diary.sent();
    let mut inside = written(&world.request((GRANT_JWT, &long[..MAX_GRANT]), &keys));
    inside[6..8].copy_from_slice(&1025u16.to_le_bytes());
    assert_eq!(read(&world.ask(&inside)).outcome, Outcome::Malformed);
}

#[test]
fn an_old_seal_key_opens_for_a_day_after_its_end_and_others_not_at_all() {
    // spec 7.1.4, 7.1.5
    let mut world = World::new();
    let first = world.origin().origin().state().seal_keys()[0].clone();
    let status = written(&Request::about(RequestKind::Status, [1; 16], [2; 32]));
    let Sealed { frame, asker } = world.seal_to(&first.public, SET, &status);
    let left = opens_until(&first) - world.now();
    world.pass(left);
    let answer = world.answer(&frame);
    assert_eq!(read(&opened(&answer, &asker).expect("it opens to its last second")).outcome, Outcome::Report);
    world.clock.advance(1);
    assert_eq!(world.result(&frame), ResultCode::Gone);
    let stranger = tekd::authority::seal::SealSecret::from_bytes(&[9; 32]).public();
    let unknown = world.seal_to(&stranger, SET, &status).frame;
    assert_eq!(world.result(&unknown), ResultCode::Gone);
    let mut suite = unknown.clone();
    suite[HEADER_LEN] ^= 1;
    assert_eq!(world.result(&suite), ResultCode::Refused, "before GONE");
    let mut set = suite;
    set[32] = 99;
    assert_eq!(world.result(&set), ResultCode::Set, "before REFUSED");
    assert_eq!(world.answer(&set).len(), HEADER_LEN, "a refusal is a header");
}

#[test]
fn a_seal_that_is_cut_is_junk_and_one_that_is_changed_does_not_open() {
    let mut world = World::new();
    let (code, diary) = (world.code(), world.diary(2));
    let keys = diary.sent();
    let inside = written(&world.request((GRANT_CODE, code.as_bytes()), &keys));
    let Sealed { frame, asker } = world.seal(SET, &inside);
    for length in (0..SEALED_FRAME).step_by(61).chain([SEALED_FRAME - 1]) {
        let answer = world.answer(&frame[..length]);
        assert!(answer.len() <= HEADER_LEN, "{length} bytes are answered with {}", answer.len());
    }
    let (encapsulation, ciphertext) = (HEADER_LEN + 16, HEADER_LEN + 16 + 1152);
    let places = (encapsulation..encapsulation + 32)
        .chain((encapsulation + 32..ciphertext).step_by(97))
        .chain((ciphertext..SEALED_FRAME).step_by(101))
        .chain([SEALED_FRAME - 1]);
    for place in places {
        let mut changed = frame.clone();
        changed[place] ^= 0x80;
        let answer = world.answer(&changed);
        assert!(opened(&answer, &asker).is_none(), "byte {place}");
    }
    let mut elsewhere = frame.clone();
    elsewhere[32] = OTHER_SET as u8;
    assert!(opened(&world.answer(&elsewhere), &asker).is_none(), "the seal is bound to its set");
    assert_eq!(world.reports(SET) + world.reports(OTHER_SET), 0);
    assert_eq!(read(&opened(&world.answer(&frame), &asker).unwrap()).outcome, Outcome::Done);
}

#[test]
fn a_frame_that_is_replayed_changes_nothing_and_its_answers_share_no_key() {
    // spec 2.9.4, 7.3.2
    let mut world = World::new();
    let (code, diary) = (world.code(), world.diary(3));
    let keys = diary.sent();
    let inside = written(&world.request((GRANT_CODE, code.as_bytes()), &keys));
    let Sealed { frame, asker } = world.seal(SET, &inside);
    let answers = [world.answer(&frame), world.answer(&frame)];
    let insides = answers.each_ref().map(|answer| opened(answer, &asker).expect("both open"));
    assert!(insides[0] == insides[1], "the same receipt and verdicts");
    assert!(read(&insides[0]).receipt.is_some());
    let [nonce, ciphertext] = [HEADER_LEN..HEADER_LEN + 32, HEADER_LEN + 32..SEALED_FRAME];
    assert_ne!(answers[0][nonce.clone()], answers[1][nonce]);
    let same = answers[0][ciphertext.clone()].iter().zip(&answers[1][ciphertext]).filter(|(a, b)| a == b);
    assert!(same.count() < 100, "of 4000 random bytes about 16 are the same");
    assert_eq!(world.reports(SET), 1);
}

#[test]
fn a_report_takes_more_keys_for_48_hours_and_not_without_any() {
    // spec 7.3.4
    let mut world = World::new();
    let (code, author, diary) = (world.code(), world.author(), world.diary(4));
    let keys = diary.sent();
    let draft = |at: usize| ReportDraft { keys: &keys[at..=at], ..ReportDraft::default() };
    let first = ReportDraft { grant: Some((GRANT_CODE, code.as_bytes())), ..draft(0) };
    assert_eq!(world.submit(&author, &first).outcome, Outcome::Done);
    let received = world.now();
    let amend = |world: &mut World, draft: &ReportDraft<'_>| {
        let now = world.now();
        let answer = world.phone(SET).amend(now, &author, draft).expect("the origin answers");
        (answer.outcome, answer.verdicts)
    };
    assert_eq!(amend(&mut world, &ReportDraft::default()), (Outcome::Nothing, vec![]));
    assert_eq!(amend(&mut world, &draft(0)), (Outcome::Nothing, vec![Verdict::Duplicate]));
    assert_eq!(amend(&mut world, &draft(1)), (Outcome::Done, vec![Verdict::Accepted]));
    world.wait_until(received + 48 * HOUR);
    assert_eq!(amend(&mut world, &draft(2)), (Outcome::Done, vec![Verdict::Accepted]), "exactly 48 hours");
    world.wait_until(received + 48 * HOUR + 1);
    assert_eq!(amend(&mut world, &draft(3)), (Outcome::Late, vec![]));
    assert_eq!(amend(&mut world, &draft(2)), (Outcome::Done, vec![Verdict::Accepted]), "a repetition");
}

#[test]
fn a_report_that_is_not_there_and_a_secret_that_is_wrong_are_answered_alike() {
    // spec 7.3.3
    let mut world = World::new();
    let (code, author, diary) = (world.code(), world.author(), world.diary(2));
    let keys = diary.sent();
    let grant = Some((GRANT_CODE, code.as_bytes()));
    let draft = ReportDraft { grant, keys: &keys, ..ReportDraft::default() };
    assert_eq!(world.submit(&author, &draft).outcome, Outcome::Done);
    for kind in [RequestKind::Status, RequestKind::Cancel, RequestKind::Amend] {
        let unknown = world.ask_for(&Request::about(kind, [9; 16], author.secret));
        let wrong = world.ask_for(&Request::about(kind, author.report, [9; 32]));
        let hash = world.ask_for(&Request::about(kind, author.report, author.secret_hash()));
        assert_eq!(read(&unknown).outcome, Outcome::Report);
        is_bare(&unknown);
        assert!(unknown == wrong && unknown == hash, "{kind:?}");
    }
    let now = world.now();
    let status = world.phone(SET).report_status(now, &author).unwrap();
    assert_eq!((status.outcome, status.counts.keys), (Outcome::Done, 2), "nothing happened to it");
}

#[test]
fn another_content_under_a_report_id_is_a_conflict_and_spends_nothing() {
    // spec 7.3.2
    let mut world = World::new();
    let (code, other, author, diary) = (world.code(), world.code(), world.author(), world.diary(2));
    let keys = diary.sent();
    let draft = |code, keys| ReportDraft { grant: Some((GRANT_CODE, code)), keys, ..ReportDraft::default() };
    assert_eq!(world.submit(&author, &draft(code.as_bytes(), &keys)).outcome, Outcome::Done);
    assert_eq!(world.submit(&author, &draft(code.as_bytes(), &keys[..1])).outcome, Outcome::Conflict);
    assert_eq!(world.submit(&author, &draft(other.as_bytes(), &keys)).outcome, Outcome::Conflict);
    world.is_unspent(&other);
}
