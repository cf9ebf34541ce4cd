//! Reports against an origin that loses, spoils, refuses and lies.

use std::sync::Mutex;
use std::time::Duration;

use super::fake::{BEGAN, Fake, SET, delegate};
use super::origin::{Origin, SEAL_S, Trouble, UNKNOWN_GRANT, seal_key};
use super::{by_datagrams, random};
use crate::authority::seal::SealSecret;
use crate::client::{
    Ask, Asking, Author, Client, ClientError, DummyForm, FailureKind, MemoryDatagrams, MemoryStream,
    NotSealed, Patience, ReceiptFault, Reply, ReportAnswer, ReportDraft, Unverifiable,
};
use crate::release::{
    DelegationError, ReceiptBundle, ReceiptError, ReceiptFields, SUCCESSION_S, SigningKey, TrustError,
};
use crate::wire::report::{Outcome, ReportState, RequestKind, SentKey, Verdict};
use crate::wire::{AnswerBody, MAX_QUESTION_STREAM, Operation, ResultCode};

const NOW: u64 = BEGAN + 100;
const GRANT: (u16, &[u8]) = (1, b"ABCD-EFGH-JKMN");
const KEY_A: [u8; 16] = [0xa7; 16];
const KEY_B: [u8; 16] = [0xb6; 16];
/// An old key that the origin does not accept.
const OLD: SentKey<'static> = SentKey { key: &KEY_B, start: 0, period: 144, risk: 1 };
const GOOD: SentKey<'static> = SentKey { key: &KEY_A, start: 2_666_000, period: 144, risk: 1 };
const DRAFT: ReportDraft<'static> =
    ReportDraft { grant: Some(GRANT), keys: &[GOOD, OLD], report_type: None, onset_day: Some(18_500) };

fn author() -> Author {
    Author::new(&mut random(99))
}

fn stream(origin: &Mutex<Origin>) -> MemoryStream<impl FnMut(&[u8]) -> Option<Vec<u8>>> {
    MemoryStream::new(|frame: &[u8]| origin.lock().unwrap().answer(frame))
}

fn client(origin: &Mutex<Origin>) -> Client<'_> {
    let trust = origin.lock().unwrap().fake.trust();
    Client::new(stream(origin), trust, SET, random(5), super::no_sleep)
}

fn submit(origin: &Mutex<Origin>) -> Result<ReportAnswer, ClientError> {
    client(origin).submit(NOW, &author(), &DRAFT)
}

fn receipt_fault(error: &ClientError) -> &ReceiptFault {
    match error.unverifiable() {
        Some(Unverifiable::Receipt(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_report_is_made_amended_asked_for_and_taken_back() {
    let origin = Mutex::new(Origin::new());
    let (mut client, author) = (client(&origin), author());
    let answer = client.submit(NOW, &author, &DRAFT).unwrap();
    assert_eq!((answer.outcome, answer.state), (Outcome::Done, Some(ReportState::Accepted)));
    assert_eq!(answer.verdicts, [Verdict::Accepted, Verdict::Expired]);
    assert_eq!((answer.counts.keys, answer.counts.waiting, answer.server_time), (1, 1, BEGAN + 60));
    let receipt = answer.receipt.unwrap().receipt;
    assert_eq!((receipt.report(), receipt.keys(), receipt.sequence()), (author.report, 1, 1));

    let more = ReportDraft { grant: None, keys: &[SentKey { key: &KEY_B, ..GOOD }], ..DRAFT };
    let answer = client.amend(NOW, &author, &more).unwrap();
    assert_eq!((answer.counts.keys, answer.receipt.unwrap().receipt.kind()), (2, Some(RequestKind::Amend)));
    let status = client.report_status(NOW, &author).unwrap();
    assert_eq!((status.state, status.receipt), (Some(ReportState::Accepted), None));
    let answer = client.cancel(NOW, &author).unwrap();
    assert_eq!((answer.state, answer.receipt.is_some()), (Some(ReportState::Withdrawn), true));

    let stranger = Author { secret: [1; 32], ..author };
    assert_eq!(client.cancel(NOW, &stranger).unwrap().outcome, Outcome::Report);
    let unknown = ReportDraft { grant: Some((1, UNKNOWN_GRANT)), ..DRAFT };
    let answer = client.submit(NOW, &stranger, &unknown).unwrap();
    assert_eq!((answer.outcome, answer.receipt, answer.state), (Outcome::Unknown, None, None));
    let asked = &origin.lock().unwrap().fake.asked;
    assert_eq!(asked.iter().filter(|asked| **asked == Operation::Checkpoint).count(), 1, "{asked:?}");
}

#[test]
fn a_report_whose_answers_are_lost_is_one_report_with_one_receipt() {
    // spec 7.1.6, 7.3.2
    use Trouble::{AnswerLost, AnswerSpoilt, QuestionLost, Unread};
    let troubles = [QuestionLost, AnswerLost, Unread, AnswerSpoilt];
    for (first, second) in troubles.iter().flat_map(|first| troubles.map(|second| (*first, second))) {
        let origin = Mutex::new(Origin::new());
        origin.lock().unwrap().troubles = [first, second, Trouble::None, Trouble::None].into();
        let slept_ms = Mutex::new(Vec::new());
        let trust = origin.lock().unwrap().fake.trust();
        let sleep = |time: Duration| slept_ms.lock().unwrap().push(time.as_millis());
        let mut client = Client::new(stream(&origin), trust, SET, random(5), sleep);
        let answer = client.submit(NOW, &author(), &DRAFT).unwrap();
        let again = client.submit(NOW + 5_000, &author(), &DRAFT).unwrap();
        assert_eq!(answer, again, "{first:?}, {second:?}");
        let origin = origin.lock().unwrap();
        assert_eq!((origin.reports.len(), answer.receipt.unwrap().receipt.sequence()), (1, 1));
        assert_eq!(slept_ms.lock().unwrap().len(), 2);
        let longer = slept_ms.lock().unwrap().iter().all(|ms| (500..=1_500).contains(ms));
        assert!(longer, "{slept_ms:?}");
    }
}

#[test]
fn a_submission_that_was_sealed_ahead_is_judged_as_one_that_was_asked() {
    // spec 7.1, 7.7.2
    let origin = Mutex::new(Origin::new());
    let (sealer, author) = (client(&origin).sealer(NOW).unwrap(), author());
    let (question, key) = sealer.submission(&author, &DRAFT, &mut random(7)).unwrap();
    let asking = Asking {
        service: origin.lock().unwrap().fake.trust().service,
        set: SET,
        ask: Ask::Sealed(&question),
        patience: Patience::default(),
    };
    let mut frame = [0; MAX_QUESTION_STREAM];
    let (length, expected) = asking.write(0, 0, &mut random(8), &mut frame).unwrap();
    let frame = origin.lock().unwrap().answer(&frame[..length]).unwrap();
    let reply = Reply::read(&frame, &expected, true).unwrap();
    let AnswerBody::Sealed(answer) = reply.view().body else { panic!("not sealed") };
    let judged = sealer.judge(&author, &DRAFT, &key, answer).unwrap();
    assert!(judged.receipt.is_some());
    assert_eq!(judged, client(&origin).submit(NOW, &author, &DRAFT).unwrap(), "it is the same report");

    let other = Author { report: [3; 16], ..author.clone() };
    let fault = sealer.judge(&other, &DRAFT, &key, answer).unwrap_err();
    assert_eq!(fault, Unverifiable::Receipt(ReceiptFault::Other("report")));
    let (_, stranger) = sealer.submission(&author, &DRAFT, &mut random(9)).unwrap();
    let fault = sealer.judge(&author, &DRAFT, &stranger, answer).unwrap_err();
    assert_eq!(fault, Unverifiable::Unopened(1));
    let many = vec![GOOD; 37];
    let refused = sealer.submission(&author, &ReportDraft { keys: &many, ..DRAFT }, &mut random(7));
    assert!(matches!(refused, Err(NotSealed::Request(_))));
}

#[test]
fn a_request_is_sealed_anew_each_time() {
    let origin = Mutex::new(Origin::new());
    origin.lock().unwrap().troubles = [Trouble::AnswerSpoilt, Trouble::Unread].into();
    submit(&origin).unwrap();
    let seen = &origin.lock().unwrap().seen;
    let questions: Vec<_> = seen.iter().step_by(2).map(|frame| &frame[80..1232]).collect();
    assert!(questions.len() == 3 && questions[0] != questions[1] && questions[1] != questions[2]);
}

#[test]
fn a_client_gives_up_after_five_answers_and_concludes_nothing() {
    let origin = Mutex::new(Origin::new());
    origin.lock().unwrap().troubles = [Trouble::AnswerSpoilt; 9].into();
    let error = submit(&origin).unwrap_err();
    assert_eq!(error.unverifiable(), Some(&Unverifiable::Unopened(5)));
    assert!(error.to_string().contains("may have been made"), "{error}");
    assert_eq!(origin.lock().unwrap().opened.len(), 5);
    origin.lock().unwrap().troubles = [Trouble::QuestionLost; 9].into();
    let error = submit(&origin).unwrap_err();
    assert_eq!((error.kind(), origin.lock().unwrap().troubles.len()), (FailureKind::Unreachable, 4));
}

#[test]
fn a_puzzle_is_solved_if_an_honest_server_may_ask_for_it() {
    // spec 7.5
    let origin = Mutex::new(Origin::new());
    origin.lock().unwrap().puzzle = (12, true);
    let answer = submit(&origin).unwrap();
    assert_eq!((answer.outcome, origin.lock().unwrap().opened.len()), (Outcome::Done, 2));
    origin.lock().unwrap().puzzle = (0, true);
    assert_eq!(submit(&origin).unwrap(), answer, "the solution is no part of the content");

    origin.lock().unwrap().puzzle = (1, false);
    origin.lock().unwrap().opened.clear();
    assert_eq!(submit(&origin).unwrap().outcome, Outcome::Puzzle);
    assert_eq!(origin.lock().unwrap().opened.len(), 4, "three solutions are not believed");
    origin.lock().unwrap().puzzle = (25, true);
    assert_eq!(submit(&origin).unwrap_err().unverifiable(), Some(&Unverifiable::Puzzle(25)));
}

#[test]
fn a_busy_origin_is_waited_for_and_no_longer_than_patience() {
    for (times, wait, slept, outcome) in [
        (2, 3, vec![3, 3], Outcome::Done),
        (1, 0, vec![1], Outcome::Done),
        (9, 12, vec![12, 12], Outcome::Busy),
    ] {
        let origin = Mutex::new(Origin::new());
        origin.lock().unwrap().busy = (times, wait);
        let slept_s = Mutex::new(Vec::new());
        let trust = origin.lock().unwrap().fake.trust();
        let sleep = |time: Duration| slept_s.lock().unwrap().push(time.as_secs());
        let mut client = Client::new(stream(&origin), trust, SET, random(5), sleep);
        assert_eq!(client.submit(NOW, &author(), &DRAFT).unwrap().outcome, outcome);
        assert_eq!(*slept_s.lock().unwrap(), slept);
    }
}

#[test]
fn a_receipt_of_something_else_is_no_receipt() {
    // spec 7.7.2
    type Tamper = fn(&mut ReceiptFields);
    let other = |what| ReceiptFault::Other(what);
    let cases: [(Tamper, ReceiptFault); 9] = [
        (|it| it.set = 2, other("set")),
        (|it| it.report = [1; 16], other("report")),
        (|it| it.kind = RequestKind::Amend, other("kind")),
        (|it| it.content = [1; 32], other("content")),
        (|it| it.verdicts = [1; 32], other("digest of the verdicts")),
        (|it| it.keys = 2, other("number of keys")),
        (|it| it.kind = RequestKind::Dummy, ReceiptFault::Receipt(ReceiptError::Kind(5))),
        (|it| it.key_epoch = 2, ReceiptFault::Receipt(ReceiptError::Epoch { receipt: 2, delegation: 3 })),
        (
            |it| it.time = BEGAN - 2,
            ReceiptFault::Receipt(ReceiptError::Time {
                time: BEGAN - 2,
                not_before: BEGAN - 1,
                not_after: BEGAN + 100_000_000,
            }),
        ),
    ];
    for (tamper, expected) in cases {
        let origin = Mutex::new(Origin::new());
        origin.lock().unwrap().tamper = tamper;
        let error = submit(&origin).unwrap_err();
        assert_eq!((receipt_fault(&error), error.exit_code()), (&expected, 1));
    }
}

#[test]
fn a_receipt_that_is_missing_or_of_a_strangers_hand_is_refused() {
    let origin = Mutex::new(Origin::new());
    origin.lock().unwrap().signer = Some(None);
    assert_eq!(receipt_fault(&submit(&origin).unwrap_err()), &ReceiptFault::Missing);
    let origin = Mutex::new(Origin::new());
    origin.lock().unwrap().signer = Some(Some(SigningKey::from_secret([77; 32])));
    let error = submit(&origin).unwrap_err();
    let online = origin.lock().unwrap().fake.online().public();
    assert_eq!(receipt_fault(&error), &ReceiptFault::Receipt(ReceiptError::Unsigned(online)));
}

#[test]
fn a_receipt_is_verified_by_the_delegation_it_comes_with() {
    // spec 7.7.2
    let origin = Mutex::new(Origin::new());
    let (mut client, author) = (client(&origin), author());
    let first = client.submit(NOW, &author, &DRAFT).unwrap().receipt.unwrap();
    let trust = origin.lock().unwrap().fake.trust();
    origin.lock().unwrap().fake.delegate(BEGAN + 60);
    // No release yet: the newest checkpoint is of the epoch before, the receipt of the next.
    let more = ReportDraft { grant: None, keys: &[SentKey { key: &KEY_B, ..GOOD }], ..DRAFT };
    let next = client.amend(NOW, &author, &more).unwrap().receipt.unwrap();
    assert_eq!((first.delegation.epoch(), next.delegation.epoch()), (3, 4));
    assert_eq!((client.newest().unwrap().key_epoch(), next.verify(&trust)), (3, Ok(())));
    // Another phone's answer is lost, and the key is replaced before it asks again.
    let other = Author { report: [8; 16], ..author };
    let told = client.submit(NOW, &other, &DRAFT).unwrap().receipt.unwrap();
    origin.lock().unwrap().fake.delegate(BEGAN + 120);
    origin.lock().unwrap().fake.release(900, &[], &[]);
    assert_eq!(client.checkpoint().unwrap().key_epoch(), 5);
    let again = client.submit(NOW + 900, &other, &DRAFT).unwrap().receipt.unwrap();
    assert_eq!((&again, again.delegation.epoch()), (&told, 4));
    let kept = ReceiptBundle::from_bytes(&again.to_bytes()).unwrap();
    assert_eq!(kept.verify(&trust), Ok(()), "without a server");
    // verified-before-served: the older delegation counts for the receipt alone.
    assert_eq!(client.newest().unwrap().key_epoch(), 5);
    origin.lock().unwrap().fake.forget_newest();
    assert!(client.checkpoint().unwrap_err().unverifiable().is_some(), "an older epoch is refused as ever");
}

#[test]
fn an_online_key_that_was_stolen_signs_no_receipt_of_today_once_it_was_replaced() {
    // spec 7.7.4
    let origin = Mutex::new(Origin::new());
    let (stolen, old) = {
        let mut origin = origin.lock().unwrap();
        let stolen = SigningKey::from_secret([2; 32]);
        assert_eq!(origin.fake.online().public(), stolen.public());
        let old = origin.fake.delegation().to_vec();
        origin.fake.delegate(BEGAN + 100_000);
        origin.fake.release(100_000 + SUCCESSION_S, &[], &[]);
        (stolen, old)
    };
    {
        let mut origin = origin.lock().unwrap();
        origin.signer = Some(Some(stolen));
        origin.vouched = Some(old.clone());
        origin.tamper = |it| it.key_epoch = 3;
    }
    let now = BEGAN + 100_000 + SUCCESSION_S;
    let error = client(&origin).submit(now, &author(), &DRAFT).unwrap_err();
    let superseded = ReceiptError::Superseded { epoch: 3, time: now + 60, successor: 4, since: now };
    assert_eq!(receipt_fault(&error), &ReceiptFault::Receipt(superseded));
    // The epoch is not to be had by naming it: the delegation is of the other.
    origin.lock().unwrap().tamper = |_| ();
    let error = client(&origin).submit(now, &Author::new(&mut random(7)), &DRAFT).unwrap_err();
    let epoch = ReceiptError::Epoch { receipt: 4, delegation: 3 };
    assert_eq!(receipt_fault(&error), &ReceiptFault::Receipt(epoch));
    // A receipt that is dated before the successor verifies: that is what the end of a delegation is for.
    origin.lock().unwrap().tamper = |it| (it.key_epoch, it.time) = (3, BEGAN + 100_000 + SUCCESSION_S);
    let answer = client(&origin).submit(now, &Author::new(&mut random(8)), &DRAFT).unwrap();
    assert_eq!(answer.receipt.unwrap().delegation.epoch(), 3);
}

#[test]
fn a_delegation_that_the_roots_did_not_sign_or_that_is_missing_is_refused() {
    let (thief, root) = (SigningKey::from_secret([66; 32]), SigningKey::from_secret([67; 32]));
    for (vouched, expected) in [
        (delegate(2, BEGAN, &thief, &root), None),
        (delegate(9, BEGAN, &thief, &root), None),
        (Vec::new(), Some(ReceiptFault::Undelegated)),
        (vec![7; 312], Some(ReceiptFault::Delegation(DelegationError::Layout(0x0707)))),
    ] {
        let origin = Mutex::new(Origin::new());
        origin.lock().unwrap().signer = Some(Some(SigningKey::from_secret([66; 32])));
        origin.lock().unwrap().tamper = |it| it.key_epoch = 2;
        origin.lock().unwrap().vouched = Some(vouched);
        let error = submit(&origin).unwrap_err();
        let fault = receipt_fault(&error);
        match expected {
            Some(expected) => assert_eq!(fault, &expected),
            None => assert!(matches!(fault, ReceiptFault::Receipt(ReceiptError::Trust(_))), "{fault:?}"),
        }
    }
}

#[test]
fn a_kept_receipt_proves_itself_without_a_server() {
    // spec 7.7.3
    let origin = Mutex::new(Origin::new());
    let kept = submit(&origin).unwrap().receipt.unwrap().to_bytes();
    let mut trust = origin.lock().unwrap().fake.trust();
    drop(origin);
    let bundle = ReceiptBundle::from_bytes(&kept).unwrap();
    assert_eq!(bundle.verify(&trust), Ok(()));
    trust.roots = vec![SigningKey::from_secret([78; 32]).public()];
    assert!(matches!(bundle.verify(&trust), Err(ReceiptError::Trust(TrustError::Unsigned { .. }))));
}

#[test]
fn a_seal_key_that_is_over_is_followed_by_the_next_manifests() {
    // spec 7.1.5
    let origin = Mutex::new(Origin::new());
    let mut client = client(&origin);
    client.manifest().unwrap();
    let next = SealSecret::from_bytes(&[0x52; 32]);
    let keys = vec![seal_key(&next, BEGAN)];
    origin.lock().unwrap().rotate(vec![next], keys);
    assert_eq!(client.submit(NOW, &author(), &DRAFT).unwrap().outcome, Outcome::Done);
    assert_eq!(origin.lock().unwrap().seen.len(), 4, "one question was in vain");

    origin.lock().unwrap().rotate(vec![], vec![seal_key(&SealSecret::from_bytes(&[0x53; 32]), BEGAN)]);
    let error = client.report_status(NOW, &author()).unwrap_err();
    assert_eq!((error.refused().unwrap().result, error.exit_code()), (ResultCode::Gone, 4));
    assert_eq!(origin.lock().unwrap().seen.len(), 8, "a fresh manifest is fetched once");
}

#[test]
fn the_newest_valid_key_is_sealed_to_and_none_if_there_is_none() {
    // spec 7.1.1
    let secret = |byte| SealSecret::from_bytes(&[byte; 32]);
    let origin = Mutex::new(Origin::new());
    let (old, new, early) = (secret(1), secret(2), secret(3));
    let mut foreign = seal_key(&secret(4), BEGAN + 90);
    foreign.kem = 0x647a;
    let mut misnamed = seal_key(&secret(5), BEGAN + 91);
    misnamed.id = [0; 8];
    let keys = vec![
        seal_key(&old, BEGAN),
        seal_key(&new, BEGAN + 50),
        seal_key(&early, BEGAN + 10_000),
        foreign,
        misnamed,
    ];
    origin.lock().unwrap().rotate(vec![secret(2)], keys);
    let mut client = client(&origin);
    assert_eq!(client.submit(NOW, &author(), &DRAFT).unwrap().outcome, Outcome::Done);

    let late = BEGAN + 10_000 + SEAL_S + 1;
    let error = client.submit(late, &author(), &DRAFT).unwrap_err();
    assert!(matches!(&error, ClientError::NoSealKey { at, ends, .. } if *at == late && ends.len() == 5));
    let words = error.to_string();
    assert!(
        words.contains("none of the 5 seal keys") && words.contains(&(BEGAN + SEAL_S).to_string()),
        "{words}"
    );
    let bare = Mutex::new(Origin::new());
    bare.lock().unwrap().rotate(vec![], vec![]);
    let error = submit(&bare).unwrap_err();
    assert!(error.to_string().contains("its manifest has no seal key"), "{error}");
    assert_eq!(error.exit_code(), 4);
}

#[test]
fn a_clock_that_lags_cannot_choose_a_key_that_is_over() {
    let origin = Mutex::new(Origin::new());
    origin.lock().unwrap().fake.release(SEAL_S + 1, &[], &[]);
    let error = submit(&origin).unwrap_err();
    assert!(matches!(error, ClientError::NoSealKey { at, .. } if at == BEGAN + SEAL_S + 1), "{error}");
}

#[test]
fn datagrams_carry_no_report_and_a_stream_beside_them_does() {
    let server = Mutex::new(Fake::with_history(5));
    let error = by_datagrams(&server).submit(NOW, &author(), &DRAFT).unwrap_err();
    let words = error.to_string();
    assert!(words.contains("--transport tls") && words.contains("quic"), "{words}");
    assert!(server.lock().unwrap().asked.is_empty());
    let origin = Mutex::new(Origin::new());
    let datagrams = MemoryDatagrams::new(|frame: &[u8]| {
        origin.lock().unwrap().fake.answer(frame, false).into_iter().collect()
    });
    let trust = origin.lock().unwrap().fake.trust();
    let client = Client::new(datagrams, trust, SET, random(5), super::no_sleep);
    let answer = client.with_stream(stream(&origin)).submit(NOW, &author(), &DRAFT).unwrap();
    assert_eq!(answer.outcome, Outcome::Done);
}

#[test]
fn a_dummy_is_a_report_to_whoever_watches() {
    // spec 7.1.8
    let origin = Mutex::new(Origin::new());
    let mut client = client(&origin);
    let form = DummyForm { grant: GRANT, keys: 14, key_len: 16 };
    let answer = client.dummy(NOW, &form).unwrap();
    assert_eq!((answer.outcome, answer.verdicts.len(), answer.receipt), (Outcome::Done, 14, None));
    client.submit(NOW, &author(), &DRAFT).unwrap();
    client.report_status(NOW, &author()).unwrap();
    let origin = origin.lock().unwrap();
    assert_eq!(origin.opened, [RequestKind::Dummy, RequestKind::Submit, RequestKind::Status]);
    assert!(origin.seen.len() == 6 && origin.seen.iter().all(|frame| frame.len() == 4_096));
    // Two bytes of flags are greased at random, whatever is asked.
    let heads: Vec<_> = origin.seen.iter().step_by(2).map(|frame| (&frame[..2], &frame[4..16])).collect();
    assert!(heads.iter().all(|head| *head == heads[0]), "heads of questions are alike");
}

#[test]
fn nothing_of_a_report_passes_in_the_open() {
    let origin = Mutex::new(Origin::new());
    let (mut client, author) = (client(&origin), author());
    client.submit(NOW, &author, &DRAFT).unwrap();
    client.cancel(NOW, &author).unwrap();
    let seen = origin.lock().unwrap().seen.concat();
    let secrets: [&[u8]; 5] = [&author.report, &author.secret, &KEY_A, &KEY_B, GRANT.1];
    for secret in secrets {
        let start = &secret[..8];
        assert!(!seen.windows(start.len()).any(|window| window == start));
    }
    assert!(!seen.windows(8).any(|window| window == &author.secret_hash()[..8]));
}

#[test]
fn what_is_no_report_is_not_sent() {
    let origin = Mutex::new(Origin::new());
    let mut client = client(&origin);
    let many = ReportDraft { keys: &[GOOD; 37], ..DRAFT };
    let error = client.submit(NOW, &author(), &many).unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (FailureKind::Local, 2));
    assert!(error.to_string().contains("37 keys in one request, at most 36"), "{error}");
    let ungranted = ReportDraft { grant: None, ..DRAFT };
    let error = client.submit(NOW, &author(), &ungranted).unwrap_err();
    assert!(error.to_string().contains("submit without a grant"), "{error}");
    let form = DummyForm { grant: GRANT, keys: 3, key_len: 17 };
    assert!(matches!(client.dummy(NOW, &form), Err(ClientError::Request(_))));
    assert!(origin.lock().unwrap().seen.is_empty());
}
