//! Sealed questions to an origin on a stepped clock: reports, the life of seal keys, refusals.

mod seal_keys;

use std::path::{Path, PathBuf};

use zerocopy::FromBytes;

use super::*;
use crate::authority::seal::{AnswerKey, associated_data, seal};
use crate::engine::{CodeOrder, SEALED_FRAME, Seeded};
use crate::node::{Clock, SteppedClock};
use crate::store::{Disk, MemoryDisk};
use crate::time;
use crate::wire::QuestionBuilder;
use crate::wire::layout::SealedAnswer;
use crate::wire::outcome::{OUTCOME_LEN, ReportOutcome};
use crate::wire::report::{GRANT_CODE, ReportType, RequestKind, SentKey};
use crate::wire::request::{REQUEST_LEN, Request};

const NOON: u64 = 1_767_614_400;
const WEEK: u64 = 7 * 86_400;
const DAY: u64 = 86_400;

struct World {
    disk: MemoryDisk,
    clock: Arc<SteppedClock>,
    origin: SingleOrigin,
}

fn world() -> World {
    World::open(MemoryDisk::new(), NOON, 1)
}

impl World {
    fn open(disk: MemoryDisk, unix: u64, seed: u64) -> World {
        let clock = Arc::new(SteppedClock::new(unix));
        let options = OriginOptions {
            disk: Arc::new(disk.clone()),
            dir: PathBuf::from("/data"),
            segment_bytes: 1 << 20,
        };
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        let random = Box::new(Seeded::new(seed));
        let origin = SingleOrigin::open(options, MemoryMode::Copy, shared, random).unwrap();
        World { disk, clock, origin }
    }

    fn newest_seal_key(&self) -> [u8; 32] {
        self.origin.origin().state().seal_keys().last().unwrap().public
    }

    fn frame(&self, public: &[u8; 32], request: &Request<'_>) -> (Vec<u8>, AnswerKey) {
        let service = self.origin.origin().identity().service_id;
        let mut inside = [0; REQUEST_LEN];
        request.write(&mut inside).unwrap();
        let fill = |out: &mut [u8]| SystemRandom.fill(out);
        let (question, asker) = seal(public, &associated_data(0x81, &service, 1), &inside, fill).unwrap();
        let mut frame = vec![0; SEALED_FRAME];
        QuestionBuilder::new(service, 1, 7).sealed(&question, &mut frame).unwrap();
        (frame, asker)
    }

    fn result(&mut self, frame: &[u8]) -> ResultCode {
        let answer = self.origin.answer_sealed(frame);
        ResultCode::from_u16(u16::from_le_bytes([answer[36], answer[37]])).unwrap()
    }

    /// Lets days pass, hour by hour.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds / 3600 {
            self.clock.advance(3600);
            self.origin.tick().unwrap();
        }
    }

    fn seal_files(&self) -> usize {
        let names = self.disk.list(Path::new("/data/keys")).unwrap();
        names.iter().filter(|name| name.to_string_lossy().contains("seal-")).count()
    }
}

fn inside(answer: &[u8], asker: &AnswerKey) -> Box<[u8; OUTCOME_LEN]> {
    asker.open_answer(SealedAnswer::ref_from_bytes(&answer[HEADER_LEN..]).unwrap()).unwrap()
}

fn status() -> Request<'static> {
    Request::about(RequestKind::Status, [1; 16], [2; 32])
}

#[test]
fn a_report_is_made_and_repeated_on_a_stepped_clock() {
    let mut world = world();
    world.origin.turn(Input::AddProvider { name: "a".to_owned(), issuer: None, key: None }).unwrap();
    let order = CodeOrder {
        provider: 1,
        set: 1,
        count: 1,
        report_type: ReportType::Confirmed,
        onset_day: None,
        lifetime_s: DAY,
    };
    let Reply::Codes(issued) = world.origin.turn(Input::IssueCodes(order)).unwrap() else {
        panic!("no codes")
    };
    let code = issued.codes[0].to_text();
    let keys =
        [SentKey { key: &[9; 16], start: time::interval_of(NOON) / 144 * 144 - 144, period: 144, risk: 1 }];
    let request = Request {
        keys: &keys,
        grant: Some((GRANT_CODE, code.as_bytes())),
        ..Request::about(RequestKind::Submit, [1; 16], [2; 32])
    };
    let public = world.newest_seal_key();
    let mut receipts = Vec::new();
    for _ in 0..2 {
        let (frame, asker) = world.frame(&public, &request);
        let answer = world.origin.answer_sealed(&frame);
        let inside = inside(&answer, &asker);
        let read = ReportOutcome::parse(&inside).unwrap();
        assert_eq!((read.outcome, read.counts.keys), (Outcome::Done, 1));
        receipts.push(*read.receipt.unwrap());
    }
    assert_eq!(receipts[0], receipts[1], "spec 7.3.2");
    let other = Request { report: [3; 16], ..request };
    let (frame, asker) = world.frame(&public, &other);
    let answer = world.origin.answer_sealed(&frame);
    assert_eq!(ReportOutcome::parse(&inside(&answer, &asker)).unwrap().outcome, Outcome::Spent);
}

#[test]
fn a_seal_key_opens_for_fifteen_days_and_is_then_forgotten() {
    // spec 7.1.4
    let mut world = world();
    let first = world.newest_seal_key();
    let (frame, asker) = world.frame(&first, &status());
    world.pass(WEEK);
    assert_ne!(world.newest_seal_key(), first, "a week later there is another");
    world.pass(WEEK + DAY);
    assert_eq!(world.seal_files(), 3);
    let answer = world.origin.answer_sealed(&frame);
    assert_eq!(ReportOutcome::parse(&inside(&answer, &asker)).unwrap().outcome, Outcome::Report);
    world.pass(3600);
    assert_eq!(world.result(&frame), ResultCode::Gone);
    assert_eq!(world.seal_files(), 2, "its secret is gone, days before the next key is made");
    let (fresh, asker) = world.frame(&world.newest_seal_key(), &status());
    let answer = world.origin.answer_sealed(&fresh);
    assert_eq!(ReportOutcome::parse(&inside(&answer, &asker)).unwrap().outcome, Outcome::Report);
}

#[test]
fn a_clock_that_nobody_believes_forgets_no_secret() {
    let mut world = world();
    let (frame, _) = world.frame(&world.newest_seal_key(), &status());
    let far = Arc::new(SteppedClock::new(NOON + 300 * DAY));
    world.origin.clock = far;
    world.origin.tick().unwrap();
    assert!(world.origin.origin().writer().clock_alarm().is_some());
    assert_eq!(world.result(&frame), ResultCode::Gone, "over is over");
    assert!(world.seal_files() >= 1);
    world.origin.clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    assert_eq!(world.result(&frame), ResultCode::Ok, "the clock is right again");
}

#[test]
fn what_cannot_be_answered_is_refused_in_a_header() {
    let mut world = world();
    let service = world.origin.origin().identity().service_id;
    let (good, _) = world.frame(&world.newest_seal_key(), &status());
    let mut other_set = good.clone();
    other_set[32] = 9;
    assert_eq!(world.result(&other_set), ResultCode::Set);
    let mut unopenable = good.clone();
    unopenable[SEALED_FRAME - 1] ^= 1;
    assert_eq!(world.result(&unopenable), ResultCode::Ok, "random bytes look like any answer");
    assert_eq!(world.origin.answer_sealed(&unopenable).len(), SEALED_FRAME);
    let mut info = [0; HEADER_LEN];
    QuestionBuilder::new(service, 1, 7).info(&mut info).unwrap();
    assert_eq!(world.result(&info), ResultCode::Refused);
    assert!(world.origin.answer_sealed(&good[..HEADER_LEN]).is_empty(), "junk is not answered");
    let mut version = good;
    version[0] = 0x82;
    assert_eq!(world.result(&version), ResultCode::Version);
}
