//! A desk before a real writer: on the clock of the machine, and on one that is stepped.

use std::path::PathBuf;

use super::*;
use crate::authority::Code;
use crate::authority::seal::{associated_data, seal};
use crate::engine::{CodeOrder, Seeded, View};
use crate::node::{Origin, OriginOptions, SteppedClock, SystemClock, TableStore};
use crate::store::{Disk, Fault, MemoryDisk, MemoryMode, OperationKind, Published};
use crate::time;
use crate::wire::layout::SealedAnswer;
use crate::wire::outcome::ReportOutcome;
use crate::wire::report::{GRANT_CODE, ReportType, RequestKind, SentKey};
use crate::wire::request::{REQUEST_LEN, Request};
use crate::wire::{HEADER_LEN, MAX_QUESTION_STREAM, QuestionBuilder};
use zerocopy::FromBytes;

/// An origin on its threads, with a provider and some codes.
struct Place {
    disk: MemoryDisk,
    clock: Arc<dyn Clock>,
    origin: Arc<OriginHandle>,
    codes: Vec<Code>,
    service: [u8; 8],
}

fn place(clock: Arc<dyn Clock>) -> Place {
    let disk = MemoryDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let dir = PathBuf::from("/data");
    let options = OriginOptions { disk: Arc::clone(&shared), dir, segment_bytes: 1 << 20 };
    let origin = Origin::open(options, clock.now(), Box::new(Seeded::new(1))).unwrap();
    let service = origin.identity().service_id;
    let view = Arc::new(Published::new(Arc::new(View::empty(service, 1))));
    let store = TableStore { disk: shared, dir: None, mode: MemoryMode::Copy };
    let origin = Arc::new(OriginHandle::start(origin, store, view, Arc::clone(&clock)).unwrap());
    origin.ask(Input::AddProvider { name: "a".to_owned(), issuer: None, key: None }).unwrap();
    let order = CodeOrder {
        provider: 1,
        set: 1,
        count: 200,
        report_type: ReportType::Confirmed,
        onset_day: None,
        lifetime_s: 86_400,
    };
    let Reply::Codes(issued) = origin.ask(Input::IssueCodes(order)).unwrap() else { panic!("no codes") };
    Place { disk, clock, origin, codes: issued.codes, service }
}

impl Place {
    /// A frame of `kind` with three keys, and what opens its answer.
    fn frame(&self, kind: RequestKind, id: u8, code: Code) -> (Vec<u8>, AnswerKey) {
        let today = time::interval_of(self.clock.now().unix) / 144 * 144;
        let bytes: Vec<[u8; 16]> = (0..3).map(|day| [id, day, 9, 9].repeat(4).try_into().unwrap()).collect();
        let keys: Vec<SentKey<'_>> = (1..)
            .zip(&bytes)
            .map(|(day, key)| SentKey { key, start: today - 144 * day, period: 144, risk: 1 })
            .collect();
        let text = code.to_text();
        let request = Request {
            keys: &keys,
            grant: Some((GRANT_CODE, text.as_bytes())),
            ..Request::about(kind, [id; 16], [id; 32])
        };
        let mut inside = [0; REQUEST_LEN];
        request.write(&mut inside).unwrap();
        self.sealed(&inside)
    }

    fn sealed(&self, inside: &[u8; REQUEST_LEN]) -> (Vec<u8>, AnswerKey) {
        let public = self.origin.look(|o| o.state().seal_keys()[0].public).unwrap();
        let associated = associated_data(0x81, &self.service, 1);
        let fill = |out: &mut [u8]| crate::engine::Random::fill(&mut SystemRandom, out);
        let (question, asker) = seal(&public, &associated, inside, fill).unwrap();
        let mut frame = vec![0; MAX_QUESTION_STREAM];
        QuestionBuilder::new(self.service, 1, 7).sealed(&question, &mut frame).unwrap();
        (frame, asker)
    }
}

fn take(desk: &Desk, now: Moment, frame: &[u8]) -> Result<Ticket, ResultCode> {
    let (header, rest) = Question::ref_from_prefix(frame).unwrap();
    desk.take(now, header, SealedQuestion::ref_from_bytes(rest).unwrap())
}

fn outcome_of(frame: &[u8], asker: &AnswerKey) -> Option<(Outcome, u16)> {
    assert_eq!(frame.len(), MAX_QUESTION_STREAM, "spec 2.9.1");
    let inside = asker.open_answer(SealedAnswer::ref_from_bytes(&frame[HEADER_LEN..]).unwrap()).ok()?;
    let read = ReportOutcome::parse(&inside).unwrap();
    Some((read.outcome, read.wait_s))
}

#[test]
fn reports_dummies_and_nonsense_are_answered_alike_and_never_early() {
    let place = place(Arc::new(SystemClock::new()));
    let desk = Desk::start(&place.origin, Arc::clone(&place.clock)).unwrap();
    let frames: Vec<(Vec<u8>, AnswerKey, Option<Outcome>)> = (0..200u8)
        .map(|id| {
            let kind = if id % 2 == 0 { RequestKind::Submit } else { RequestKind::Dummy };
            let (mut frame, asker) = place.frame(kind, id, place.codes[usize::from(id)]);
            let broken = id % 20 == 7;
            frame[MAX_QUESTION_STREAM - 1] ^= u8::from(broken);
            (frame, asker, (!broken).then_some(Outcome::Done))
        })
        .collect();
    let mut awaited = Vec::new();
    for (at, (frame, ..)) in frames.iter().enumerate() {
        let now = place.clock.now();
        let ticket = take(&desk, now, frame).expect("there is room for 200");
        awaited.push((at, now.monotonic_ms, desk.later(ticket)));
    }
    let mut answered = 0;
    while !awaited.is_empty() {
        awaited.retain_mut(|(at, asked, answer)| {
            let Ok(answer) = answer.try_recv() else { return true };
            let took = place.clock.now().monotonic_ms - *asked;
            assert!(took >= crate::engine::ANSWER_AFTER_MS, "answered after {took} ms");
            let (_, asker, expected) = &frames[*at];
            assert_eq!(outcome_of(&answer, asker).map(|(outcome, _)| outcome), *expected, "frame {at}");
            answered += 1;
            false
        });
        std::thread::yield_now();
    }
    assert_eq!(answered, 200);
    let stored = place.origin.look(|o| o.state().set(1).unwrap().reports().count()).unwrap();
    assert_eq!(stored, 100, "dummies leave nothing");
    let counts = desk.counts();
    let of = |name| counts.named().into_iter().find(|(n, _)| *n == name).unwrap().1;
    let seen = ["received", "opened", "unopenable", "malformed", "full", "waiting"].map(of);
    assert_eq!(seen, [200, 190, 10, 0, 0, 0]);
    assert_eq!(of("deadlines_kept") + of("deadlines_missed"), 200);
    assert_eq!(counts.outcomes.iter().map(|(_, n)| n).sum::<u64>(), 190);
    assert!(!counts.named().iter().any(|(name, _)| name.contains("dummy") || name.contains("dummies")));
    let mut page = MetricsText::new();
    desk.write_receipts(&mut page);
    let page = page.render();
    assert!(page.contains("\ntekd_receipt_seconds_count 100\n"), "one for each that is stored: {page}");
    desk.stop();
    place.origin.stop();
}

/// The one answer under `ticket`, on a clock that stands until the answer is ready.
fn wait_for(desk: &Desk, clock: &SteppedClock, ticket: Ticket) -> Vec<u8> {
    let mut answer = desk.later(ticket);
    loop {
        clock.advance(1);
        // The releaser looks at the clock when its pause is over; here the clock runs ahead of it.
        desk.hatch.to_release.notify_all();
        match answer.try_recv() {
            Ok(answer) => return answer,
            Err(oneshot::error::TryRecvError::Closed) => panic!("nobody answers"),
            Err(oneshot::error::TryRecvError::Empty) => std::thread::yield_now(),
        }
    }
}

#[test]
fn what_cannot_be_read_is_malformed_and_what_cannot_be_stored_is_busy() {
    let clock = Arc::new(SteppedClock::new(1_767_614_400));
    let place = place(Arc::clone(&clock) as Arc<dyn Clock>);
    let desk = Desk::start(&place.origin, Arc::clone(&place.clock)).unwrap();
    let (frame, asker) = place.sealed(&[0xff; REQUEST_LEN]);
    let ticket = take(&desk, clock.now(), &frame).unwrap();
    let answer = wait_for(&desk, &clock, ticket);
    assert_eq!(outcome_of(&answer, &asker), Some((Outcome::Malformed, 0)));

    let (frame, asker) = place.frame(RequestKind::Submit, 1, place.codes[0]);
    place.disk.fail(OperationKind::Write, 1, Fault::Eio);
    for what in ["while the writer fails", "after it has stopped"] {
        let ticket = take(&desk, clock.now(), &frame).unwrap();
        let answer = wait_for(&desk, &clock, ticket);
        assert_eq!(outcome_of(&answer, &asker), Some((Outcome::Busy, 5)), "{what}");
    }
    assert!(place.origin.stopped().is_some());
    let reached = desk.hatch.at_writer.load(Ordering::Relaxed);
    assert_eq!(reached, 0, "what is answered is at the writer no more");
}

#[test]
fn a_full_queue_says_so_and_takes_nothing() {
    let clock = Arc::new(SteppedClock::new(1_767_614_400));
    let place = place(Arc::clone(&clock) as Arc<dyn Clock>);
    let desk = Desk::with_openers(&place.origin, Arc::clone(&place.clock), 0).unwrap();
    let (frame, _) = place.frame(RequestKind::Dummy, 1, place.codes[0]);
    for _ in 0..MAX_TO_OPEN {
        take(&desk, clock.now(), &frame).unwrap();
    }
    assert_eq!(take(&desk, clock.now(), &frame), Err(ResultCode::Pending));
    let counts = desk.counts();
    assert_eq!((counts.events[0], counts.events[4]), (("received", 512), ("full", 1)));
    clock.advance(1);
    desk.hatch.to_release.notify_all();
    while desk.last_hour().all < MAX_TO_OPEN as u64 {
        desk.hatch.to_release.notify_all();
        std::thread::yield_now();
    }
    let missed = Punctuality { all: 512, missed: 512 };
    assert_eq!((desk.last_hour(), desk.counts().deadlines), (missed, missed));
    clock.advance(3600);
    assert_eq!(desk.last_hour(), Punctuality::default());
}

#[test]
fn keys_that_are_unknown_or_over_are_gone_before_anything_waits() {
    let clock = Arc::new(SteppedClock::new(1_767_614_400));
    let place = place(Arc::clone(&clock) as Arc<dyn Clock>);
    let desk = Desk::start(&place.origin, Arc::clone(&place.clock)).unwrap();
    let (mut frame, _) = place.frame(RequestKind::Dummy, 1, place.codes[0]);
    let over = Moment { unix: clock.now().unix + 16 * 86_400, ..clock.now() };
    assert_eq!(take(&desk, over, &frame), Err(ResultCode::Gone));
    frame[HEADER_LEN + 8] ^= 1;
    assert_eq!(take(&desk, clock.now(), &frame), Err(ResultCode::Gone));
    frame[HEADER_LEN] ^= 1;
    assert_eq!(take(&desk, clock.now(), &frame), Err(ResultCode::Refused));
    assert_eq!(desk.counts().events[0], ("received", 0));
}

#[test]
fn two_seal_keys_made_in_one_group_are_both_kept_and_named() {
    let clock = Arc::new(SteppedClock::new(1_767_614_400));
    let place = place(Arc::clone(&clock) as Arc<dyn Clock>);
    let first = place.origin.look(|o| o.state().seal_keys()[0].id).unwrap();
    clock.advance(60);
    let made = place.origin.act(|o, _| [[5; 32], [6; 32]].map(|s| o.make_seal_key(s).unwrap()).into());
    made.unwrap();
    let look = |o: &Origin| {
        let named: Vec<[u8; 8]> = o.state().seal_keys().iter().map(|key| key.id).collect();
        (named, o.state().set(1).unwrap().manifest().to_vec())
    };
    let (named, manifest) = place.origin.look(look).unwrap();
    let own = [[5; 32], [6; 32]].map(|s| crate::authority::seal::SealSecret::from_bytes(&s).id());
    assert_eq!(named, [first, own[0], own[1]]);
    let public = crate::release::Manifest::parse_unverified(&manifest).unwrap().seal_keys;
    assert_eq!(public.iter().map(|key| key.id).collect::<Vec<_>>(), named, "spec 3.6.2, 7.1.4");
    let ends: Vec<(u64, u64)> = public.iter().map(|key| (key.not_before, key.not_after)).collect();
    assert_eq!(ends[1], (1_767_614_460, 1_767_614_460 + crate::engine::SEAL_KEY_LIFE_S));
    assert_eq!(ends[1], ends[2]);
    let keys = crate::node::keys::Keys::look(&place.disk, std::path::Path::new("/data"));
    for id in &named {
        assert_eq!(keys.seal(*id).unwrap().map(|secret| secret.id()), Some(*id), "its secret is here");
        assert!(place.origin.keyhole().look().ring.secret(id).is_some(), "and opens");
    }
}

#[test]
fn a_stopped_desk_takes_nothing_and_gives_up_what_waits() {
    let clock = Arc::new(SteppedClock::new(1_767_614_400));
    let place = place(Arc::clone(&clock) as Arc<dyn Clock>);
    let desk = Desk::start(&place.origin, Arc::clone(&place.clock)).unwrap();
    let (frame, _) = place.frame(RequestKind::Dummy, 1, place.codes[0]);
    let ticket = take(&desk, clock.now(), &frame).unwrap();
    let mut answer = desk.later(ticket);
    desk.stop();
    assert_eq!(answer.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    assert_eq!(take(&desk, clock.now(), &frame), Err(ResultCode::Pending));
}
