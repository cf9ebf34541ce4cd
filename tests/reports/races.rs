//! Two phones race with one code: exactly one wins, every time.

use std::path::PathBuf;
use std::sync::{Arc, Barrier};

use tekd::authority::Code;
use tekd::engine::{
    CodeOrder, DECOY_PROVIDER, Input, Moment, Presented, PresentedKey, Random, Reply, ReportRequest, Seeded,
    State, Ticket, View,
};
use tekd::node::{AskError, Clock, Origin, OriginHandle, OriginOptions, SteppedClock, TableStore};
use tekd::store::{MemoryDisk, MemoryMode, Published};
use tekd::wire::report::{Outcome, ReportType, RequestKind};

use super::world::{DAY_S, Dice, MORNING, SET, options};

const CODES: u32 = 1000;

fn founded(disk: &MemoryDisk) -> Origin {
    let now = Moment { unix: MORNING, monotonic_ms: 0 };
    let OriginOptions { disk, dir, segment_bytes } = options(disk);
    let options = OriginOptions { disk, dir, segment_bytes: segment_bytes.max(16 << 20) };
    Origin::open(options, now, Box::new(Seeded::new(61))).expect("an empty disk becomes an origin")
}

fn add_provider() -> Input {
    Input::AddProvider { name: "clinic".to_owned(), issuer: None, key: None }
}

fn issue() -> Input {
    let (report_type, onset_day, lifetime_s) = (ReportType::Confirmed, None, DAY_S);
    Input::IssueCodes(CodeOrder { provider: 1, set: SET, count: CODES, report_type, onset_day, lifetime_s })
}

fn codes(reply: Reply) -> Vec<Code> {
    match reply {
        Reply::Codes(issued) => issued.codes,
        other => panic!("codes are answered with codes, not {other:?}"),
    }
}

/// What an opener makes of a report of one key under `code`.
fn request(dice: &mut Dice, code: Code) -> Input {
    let (mut report, mut secret, mut content) = ([0; 16], [0; 32], [0; 32]);
    dice.0.fill(&mut report);
    dice.0.fill(&mut secret);
    dice.0.fill(&mut content);
    let keys: Vec<PresentedKey> = vec![dice.key(MORNING, 2, 3)];
    Input::Report(Box::new(ReportRequest {
        set: SET,
        kind: RequestKind::Submit,
        report,
        secret,
        report_type: None,
        onset_day: None,
        grant: Presented::Code(code),
        puzzle: ([0; 16], 0),
        grant_bytes: code.to_text().into_bytes(),
        keys,
        content,
    }))
}

fn outcome(reply: Reply) -> Outcome {
    match reply {
        Reply::Report(reply) => {
            assert_eq!(reply.receipt.is_some(), reply.outcome == Outcome::Done);
            reply.outcome
        }
        other => panic!("a report is answered with a reply, not {other:?}"),
    }
}

/// Each code is spent, once, by the one report that there is of it.
fn one_report_a_code(state: &State) {
    let batch = &state.registry().batches[&1];
    let mut spent: Vec<u64> = batch.spent.values().copied().collect();
    spent.sort_unstable();
    let reports = state.set(SET).expect("the set").reports();
    let mut reports: Vec<u64> =
        reports.filter(|(_, r)| r.warrant.provider != DECOY_PROVIDER).map(|(seq, _)| seq).collect();
    reports.sort_unstable();
    assert_eq!((spent.len(), batch.unspent()), (CODES as usize, 0));
    assert_eq!(spent, reports);
}

#[test]
fn in_one_group_who_is_first_wins_in_either_order() {
    let mut origin = founded(&MemoryDisk::new());
    let mut dice = Dice(Seeded::new(62));
    let mut step = |inputs: Vec<(Ticket, Input)>| {
        let done = origin.step(Moment { unix: MORNING, monotonic_ms: 1 }, inputs).expect("the disk is well");
        done.replies.into_iter().map(|(ticket, reply)| (ticket, reply.expect("taken"))).collect::<Vec<_>>()
    };
    step(vec![(Ticket(1), add_provider())]);
    let (_, issued) = step(vec![(Ticket(1), issue())]).pop().expect("an answer");
    for (i, code) in (0..).zip(codes(issued)) {
        let pair = [request(&mut dice, code), request(&mut dice, code)];
        let mut inputs: Vec<(Ticket, Input)> = [Ticket(1), Ticket(2)].into_iter().zip(pair).collect();
        if i % 2 == 1 {
            inputs.reverse();
        }
        let first = inputs[0].0;
        let told: Vec<_> = step(inputs).into_iter().map(|(t, reply)| (t == first, outcome(reply))).collect();
        assert_eq!(told.len(), 2);
        assert!(told.contains(&(true, Outcome::Done)) && told.contains(&(false, Outcome::Spent)), "{told:?}");
    }
    one_report_a_code(origin.state());
}

#[test]
fn of_two_threads_with_one_code_exactly_one_wins_a_thousand_times() {
    let disk = MemoryDisk::new();
    let origin = founded(&disk);
    let view = Arc::new(Published::new(Arc::new(View::empty(origin.identity().service_id, 1))));
    let store =
        TableStore { disk: Arc::new(disk), dir: Some(PathBuf::from("/data")), mode: MemoryMode::Copy };
    let clock: Arc<dyn Clock> = Arc::new(SteppedClock::new(MORNING));
    let handle = OriginHandle::start(origin, store, view, clock).expect("threads start");
    handle.ask(add_provider()).expect("a provider");
    let codes = codes(handle.ask(issue()).expect("codes"));
    let start = Barrier::new(2);
    // Nobody panics between two meetings: the other would wait for ever.
    let phone = |seed: u64| {
        let mut dice = Dice(Seeded::new(seed));
        let ask = |code: &Code| {
            let input = request(&mut dice, *code);
            start.wait();
            handle.ask(input)
        };
        codes.iter().map(ask).collect::<Vec<_>>()
    };
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| phone(64));
        (phone(63), other.join().expect("a thread that ends"))
    });
    let mut won = 0;
    let told = |answer: Result<Reply, AskError>| outcome(answer.expect("an answer"));
    for (one, other) in one.into_iter().zip(other) {
        let pair = (told(one), told(other));
        match pair {
            (Outcome::Done, Outcome::Spent) => won += 1,
            (Outcome::Spent, Outcome::Done) => {}
            _ => panic!("one wins, one finds the code spent, not {pair:?}"),
        }
    }
    println!("the first thread won {won} of {CODES}");
    handle.look(|origin| one_report_a_code(origin.state())).expect("the writer runs");
}
