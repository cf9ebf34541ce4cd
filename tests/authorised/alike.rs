//! From outside a report, a dummy and nonsense are the same: one size each way, one time to the answer
//! (spec 2.9.1, 7.1.7, 7.1.8).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tekd::authority::Code;
use tekd::authority::seal::{AnswerKey, associated_data, seal};
use tekd::engine::{
    ANSWER_AFTER_MS, CodeOrder, Deadlines, Input, Punctuality, Random, Reply, SEALED_FRAME, Seeded,
    TakeSealed, Ticket, View,
};
use tekd::node::{Clock, Desk, Origin, OriginHandle, OriginOptions, SystemClock, SystemRandom, TableStore};
use tekd::store::{Disk, MemoryDisk, MemoryMode, Published};
use tekd::time;
use tekd::wire::layout::SealedQuestion;
use tekd::wire::report::{
    GRANT_CERTIFICATE, GRANT_CODE, GRANT_JWT, MAX_GRANT, MAX_SENT_KEYS, Outcome, ReportType, RequestKind,
    SentKey,
};
use tekd::wire::request::Request;
use tekd::wire::{FIRST_BYTE, HEADER_LEN, Question, QuestionBuilder};
use zerocopy::FromBytes;

use crate::world::{NOON, SET, Sealed, World, opened, read, written};

/// A frame in which nothing but what is sealed, its encapsulation and the transaction differ from another's.
fn face(frame: &[u8]) -> Vec<u8> {
    assert_eq!(frame.len(), SEALED_FRAME);
    frame[..HEADER_LEN + 16].to_vec()
}

#[test]
fn every_request_and_every_answer_has_one_size_and_one_face() {
    // spec 2.9.1
    let mut world = World::new();
    let long_keys: Vec<[u8; 32]> = (0..MAX_SENT_KEYS).map(|_| world.random()).collect();
    let (code, longest) = (world.unknown_code(), [b'x'; MAX_GRANT]);
    let grants: [Option<(u16, &[u8])>; 5] = [
        None,
        Some((GRANT_CODE, code.as_bytes())),
        Some((GRANT_CERTIFICATE, &longest[..224])),
        Some((GRANT_JWT, &longest)),
        Some((99, b"")),
    ];
    let mut faces = std::collections::BTreeSet::new();
    let mut asked = BTreeMap::new();
    for kind in RequestKind::ALL {
        for keys in 0..=MAX_SENT_KEYS {
            for (key_len, grant) in [16, 32].into_iter().flat_map(|len| grants.map(|grant| (len, grant))) {
                let sent: Vec<SentKey<'_>> = long_keys[..keys]
                    .iter()
                    .map(|key| SentKey { key: &key[..key_len], start: 7, period: 144, risk: 1 })
                    .collect();
                let about = Request::about(*kind, [1; 16], [2; 32]);
                let mut inside = Box::new([0; tekd::wire::request::REQUEST_LEN]);
                if (Request { grant, keys: &sent, ..about }).write(&mut inside).is_err() {
                    continue;
                }
                let Sealed { frame, asker } = world.seal(SET, &inside);
                let answer = world.answer(&frame);
                assert!(opened(&answer, &asker).is_some());
                faces.insert((face(&frame), answer[..HEADER_LEN].to_vec()));
                *asked.entry(kind.name()).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(faces.len(), 1, "headers, suite and key id are the same for all");
    let counts: Vec<(&str, usize)> = asked.into_iter().collect();
    // Two lengths of keys; with grants 4 of the 5, AMEND also without.
    let expected = [("amend", 370), ("cancel", 2), ("dummy", 296), ("status", 2), ("submit", 296)];
    assert_eq!(counts, expected);
}

#[test]
fn on_the_virtual_clock_every_answer_leaves_250_ms_after_its_question() {
    // spec 7.1.7
    let mut world = World::new();
    let (code, unknown, diary) = (world.code(), world.unknown_code(), world.diary(14));
    let keys = diary.sent();
    let submit = world.request((GRANT_CODE, code.as_bytes()), &keys);
    let requests = [
        submit,
        Request { kind: RequestKind::Dummy, ..submit },
        world.request((GRANT_CODE, unknown.as_bytes()), &keys),
        world.request((GRANT_JWT, b"nonsense"), &keys[..1]),
        Request::about(RequestKind::Status, [1; 16], [2; 32]),
        Request::about(RequestKind::Cancel, submit.report, [2; 32]),
    ];
    let mut frames: Vec<Vec<u8>> =
        requests.iter().map(|request| world.seal(SET, &written(request)).frame).collect();
    let mut spoilt = frames[0].clone();
    spoilt[SEALED_FRAME - 1] ^= 1;
    frames.push(spoilt);

    let (mut deadlines, mut arrived, mut left) = (Deadlines::default(), BTreeMap::new(), BTreeMap::new());
    let (mut dice, mut decided): (Seeded, Vec<(u64, Ticket, Vec<u8>)>) = (Seeded::new(5), Vec::new());
    // Questions come at any time, several in some milliseconds, and take any time to decide.
    for now_ms in 0..20_000u64 {
        for _ in 0..dice.below(3) {
            if now_ms < 19_000 && dice.below(20) == 0 {
                let ticket = deadlines.admit(now_ms).expect("there is room");
                arrived.insert(ticket, now_ms);
                let frame = &frames[dice.below(frames.len())];
                let took = dice.below(ANSWER_AFTER_MS as usize) as u64;
                decided.push((now_ms + took, ticket, world.answer(frame)));
            }
        }
        let (ready, later): (Vec<_>, Vec<_>) = decided.into_iter().partition(|(at, ..)| *at <= now_ms);
        decided = later;
        ready.into_iter().for_each(|(_, ticket, frame)| deadlines.ready(now_ms, ticket, frame));
        for (ticket, frame) in deadlines.due(now_ms) {
            assert_eq!(frame.len(), SEALED_FRAME);
            left.insert(ticket, now_ms);
        }
    }
    assert!(arrived.len() > 500, "{} questions", arrived.len());
    assert_eq!(arrived.len(), left.len());
    for (ticket, asked) in &arrived {
        assert_eq!(left[ticket], asked + ANSWER_AFTER_MS, "neither before nor after");
    }
    assert_eq!(deadlines.total(), Punctuality { all: arrived.len() as u64, missed: 0 });
}

/// An origin on threads of its own with a desk before it, on the clock of the machine.
struct Place {
    clock: Arc<dyn Clock>,
    origin: Arc<OriginHandle>,
    desk: Desk,
    codes: Vec<Code>,
    service: [u8; 8],
    public: [u8; 32],
}

impl Place {
    fn new(codes: u32) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        let dir = PathBuf::from("/data");
        let options = OriginOptions { disk: Arc::clone(&disk), dir, segment_bytes: 1 << 20 };
        let origin = Origin::open(options, clock.now(), Box::new(Seeded::new(1))).unwrap();
        let service = origin.identity().service_id;
        let view = Arc::new(Published::new(Arc::new(View::empty(service, 1))));
        let store = TableStore { disk, dir: None, mode: MemoryMode::Copy };
        let origin = Arc::new(OriginHandle::start(origin, store, view, Arc::clone(&clock)).unwrap());
        origin.ask(Input::AddProvider { name: "clinic".to_owned(), issuer: None, key: None }).unwrap();
        let (report_type, onset_day, lifetime_s) = (ReportType::Confirmed, None, 3_600);
        let order = CodeOrder { provider: 1, set: SET, count: codes, report_type, onset_day, lifetime_s };
        let Reply::Codes(issued) = origin.ask(Input::IssueCodes(order)).unwrap() else { panic!("no codes") };
        let public = origin.look(|origin| origin.state().seal_keys()[0].public).unwrap();
        let desk = Desk::start(&origin, Arc::clone(&clock)).unwrap();
        Place { clock, origin, desk, codes: issued.codes, service, public }
    }

    /// A frame of a kind with keys of its own, under a grant.
    fn frame(&self, kind: RequestKind, id: u16, grant: &str) -> (Vec<u8>, AnswerKey) {
        let today = time::interval_of(self.clock.now().unix) / 144 * 144;
        let [low, high] = id.to_le_bytes();
        let bytes: Vec<[u8; 16]> =
            (0..14).map(|day| [[low, high, day, 9]; 4].concat().try_into().unwrap()).collect();
        let day = |ago: usize| today - 144 * (1 + ago as u32);
        let keys: Vec<SentKey<'_>> =
            (0..13).map(|ago| SentKey { key: &bytes[ago], start: day(ago), period: 144, risk: 1 }).collect();
        let mut report = [3; 16];
        report[..2].copy_from_slice(&id.to_le_bytes());
        let about = Request::about(kind, report, [4; 32]);
        let request = match kind {
            RequestKind::Status => about,
            _ => Request { keys: &keys, grant: Some((GRANT_CODE, grant.as_bytes())), ..about },
        };
        let associated = associated_data(FIRST_BYTE, &self.service, SET);
        let fill = |out: &mut [u8]| SystemRandom.fill(out);
        let (question, asker) = seal(&self.public, &associated, &written(&request), fill).unwrap();
        let mut frame = vec![0; SEALED_FRAME];
        QuestionBuilder::new(self.service, SET, 7).sealed(&question, &mut frame).unwrap();
        (frame, asker)
    }
}

#[test]
fn with_real_threads_no_answer_of_300_mixed_requests_leaves_early() {
    // spec 7.1.7
    let place = Place::new(60);
    let mut frames = Vec::new();
    for id in 0..300u16 {
        let code = place.codes[usize::from(id / 5)].to_text();
        let (kind, grant, expected) = match id % 5 {
            0 => (RequestKind::Submit, &code[..], Some(Outcome::Done)),
            1 => (RequestKind::Dummy, &code[..], Some(Outcome::Done)),
            2 => (RequestKind::Submit, "0000-0000-0001", Some(Outcome::Mistyped)),
            3 => (RequestKind::Status, "", Some(Outcome::Report)),
            _ => (RequestKind::Submit, &code[..], None),
        };
        let (mut frame, asker) = place.frame(kind, id, grant);
        if expected.is_none() {
            frame[SEALED_FRAME - 1] ^= 1;
        }
        frames.push((frame, asker, expected));
    }
    let mut awaited = Vec::new();
    for (at, (frame, ..)) in frames.iter().enumerate() {
        let now = place.clock.now();
        let (header, rest) = Question::ref_from_prefix(frame).unwrap();
        let ticket = place.desk.take(now, header, SealedQuestion::ref_from_bytes(rest).unwrap()).unwrap();
        awaited.push((at, now.monotonic_ms, place.desk.later(ticket)));
    }
    while !awaited.is_empty() {
        awaited.retain_mut(|(at, asked, answer)| {
            let Ok(answer) = answer.try_recv() else { return true };
            let took = place.clock.now().monotonic_ms - *asked;
            assert!(took >= ANSWER_AFTER_MS, "answered after {took} ms");
            let (_, asker, expected) = &frames[*at];
            let inside = opened(&answer, asker);
            assert_eq!(inside.as_ref().map(|inside| read(inside).outcome), *expected, "frame {at}");
            false
        });
        std::thread::yield_now();
    }
    let stored = place.origin.look(|o| o.state().set(SET).unwrap().reports().count()).unwrap();
    assert_eq!(stored, 60, "only the reports are stored");
    assert_eq!(place.desk.counts().deadlines.all, 300);
    place.desk.stop();
    place.origin.stop();
}

#[test]
fn a_dummy_and_a_report_are_written_by_the_client_in_frames_alike() {
    let mut world = World::new();
    assert_eq!(world.now(), NOON);
    let (code, diary) = (world.code(), world.diary(14));
    let keys = diary.sent();
    let request = world.request((GRANT_CODE, code.as_bytes()), &keys);
    let before = world.origin().origin().head();
    let dummy = world.seal(SET, &written(&Request { kind: RequestKind::Dummy, ..request }));
    let answered = world.answer(&dummy.frame);
    assert_eq!(world.origin().origin().head(), before, "nothing of a dummy is in the journal");
    let real = world.seal(SET, &written(&request));
    assert_eq!(face(&dummy.frame), face(&real.frame));
    assert_eq!(answered[..HEADER_LEN], world.answer(&real.frame)[..HEADER_LEN]);
    assert_ne!(world.origin().origin().head(), before);
}
