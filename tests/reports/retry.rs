//! Retry safety: whatever is lost, garbled or cut off on the way, who repeats has one report and one receipt,
//! and no code is ever spent without its report.

use std::path::Path;

use tekd::authority::{Code, TOTAL_BUDGET};
use tekd::client::{Author, Client, ReportAnswer, ReportDraft};
use tekd::engine::{DECOY_PROVIDER, PresentedKey};
use tekd::release::ReceiptBundle;
use tekd::store::{Disk as _, read_file, replace_file};
use tekd::wire::report::{GRANT_CODE, Outcome, ReportType, RequestKind};

use super::world::{Core, DIR, MORNING, World, accepted, amend, is_sealed, sent, submit};

/// Places at which a frame's ciphertext is garbled.
const GARBLED: [usize; 4] = [64, 100, 2000, 4095];
/// Disks that one power cut may leave.
const CRASHES: u64 = 6;

/// What happens to a question.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It does not arrive.
    Lost,
    /// Its answer does not arrive.
    AnswerLost,
    /// Its answer arrives with a changed byte there.
    Garbled(usize),
    /// The power is cut before it arrives.
    CutBefore(u64),
    /// The power is cut after it is answered, and the answer is lost.
    CutAfter(u64),
    /// The power is cut after so many operations of the disk; what is answered then does not arrive.
    CutAt(u64, u64),
    /// As before, but the answer arrives.
    CutAtAndTold(u64, u64),
}

impl Fault {
    fn strike(self, core: &mut Core, question: &[u8]) -> Option<Vec<u8>> {
        match self {
            Fault::Lost => None,
            Fault::AnswerLost => {
                core.answer(question);
                None
            }
            Fault::Garbled(at) => {
                let mut answer = core.answer(question)?;
                answer[at] ^= 0x10;
                Some(answer)
            }
            Fault::CutBefore(seed) => {
                core.crash(seed);
                None
            }
            Fault::CutAfter(seed) => {
                core.answer(question);
                core.crash(seed);
                None
            }
            Fault::CutAt(operations, seed) => {
                cut_at(core, question, operations, seed);
                None
            }
            Fault::CutAtAndTold(operations, seed) => cut_at(core, question, operations, seed),
        }
    }
}

fn cut_at(core: &mut Core, question: &[u8], operations: u64, seed: u64) -> Option<Vec<u8>> {
    core.disk.freeze_after(operations);
    let answer = core.answer(question);
    core.crash(seed);
    answer
}

/// A request as its author repeats it.
struct Step {
    kind: RequestKind,
    author: Author,
    code: Code,
    batch: u32,
    keys: Vec<PresentedKey>,
}

impl Step {
    fn ask(&self, client: &mut Client<'_>, now: u64) -> ReportAnswer {
        match self.kind {
            RequestKind::Submit => submit(client, now, &self.author, self.code, &self.keys),
            RequestKind::Amend => amend(client, now, &self.author, &self.keys),
            _ => client.cancel(now, &self.author).expect("an answer"),
        }
    }

    /// Whether the origin has done it; a spent code has its report, and a report its spent code.
    fn done(&self, core: &Core) -> bool {
        let set = core.set();
        let record = set.report(&self.author.report).map(|(seq, record)| (seq, record.clone()));
        let spent = &core.origin.origin().state().registry().batches[&self.batch].spent;
        assert_eq!(
            spent.values().copied().collect::<Vec<_>>(),
            record.iter().map(|r| r.0).collect::<Vec<_>>()
        );
        let reports = set.reports().filter(|(_, record)| record.warrant.provider != DECOY_PROVIDER).count();
        assert_eq!(reports, usize::from(record.is_some()), "never two reports");
        record.is_some_and(|(seq, record)| match self.kind {
            RequestKind::Submit => {
                assert!(record.later.is_empty());
                set.keys_of(seq).count() == self.keys.len() - 1
            }
            RequestKind::Amend => !record.later.is_empty(),
            _ => record.withdrawn,
        })
    }
}

/// A world before each step: to submit, to amend, to cancel what is out already.
fn steps() -> Vec<(World, Step)> {
    let mut steps = Vec::new();
    for kind in [RequestKind::Submit, RequestKind::Amend, RequestKind::Cancel] {
        let mut world = World::new(31);
        let provider = world.provider("clinic");
        let issued = world.codes(provider, 3, ReportType::Confirmed);
        let (code, batch) = (issued.codes[0], issued.batch);
        let mut keys = world.dice.days(MORNING, 1, 3);
        // One of them is not accepted: verdicts are not all alike.
        keys.insert(1, PresentedKey { period: 1000, ..world.dice.key(MORNING, 2, 1) });
        let author = if kind == RequestKind::Submit {
            world.dice.author()
        } else {
            let before = world.dice.days(MORNING, 4, 2);
            world.report(code, &before)
        };
        if kind == RequestKind::Cancel {
            world.next_release();
        }
        steps.push((world, Step { kind, author, code, batch, keys }));
    }
    steps
}

/// The first `times` questions are struck by a fault, then all is well, and the author asks once more.
/// Returns whether it was done already after the first of them.
fn struck(world: &World, step: &Step, fault: Fault, times: u32) -> bool {
    let mut world = world.fork();
    assert!(!step.done(&world.core()));
    let (mut left, mut first, mut at_once) = (times, None, None);
    let relay = |core: &mut Core, question: &[u8]| {
        if !is_sealed(question) {
            return core.answer(question);
        }
        let (strikes, now) = (left > 0, tekd::node::Clock::now(&*core.clock).unix);
        left = left.saturating_sub(1);
        let answer = if strikes { fault.strike(core, question) } else { core.answer(question) };
        // Time passes until the author repeats.
        core.clock.advance(3);
        let done = step.done(core);
        at_once = at_once.or(Some(done));
        first = first.or(done.then_some(now));
        answer
    };
    let now = world.now();
    let mut client = world.client_through(relay);
    let answer = step.ask(&mut client, now);
    drop(client);
    assert_eq!(answer.outcome, Outcome::Done, "{:?} {fault:?}", step.kind);
    if step.kind != RequestKind::Cancel {
        assert_eq!((answer.verdicts.len(), accepted(&answer)), (4, 3));
    }
    let bundle = answer.receipt.as_ref().expect("a receipt");
    bundle.verify(&world.trust).expect("it holds");
    assert_eq!(
        Some(bundle.receipt.time()),
        first,
        "the receipt of the first time, {:?} {fault:?}",
        step.kind
    );

    // Repeated later and by a phone that forgot everything but the author and the draft.
    world.clock.advance(1000);
    let (mut client, now) = (world.client(), world.now());
    let again = step.ask(&mut client, now);
    assert_eq!((again.outcome, &again.verdicts), (Outcome::Done, &answer.verdicts));
    assert_eq!(again.receipt.as_ref().map(ReceiptBundle::to_bytes), Some(bundle.to_bytes()));
    assert!(step.done(&world.core()));
    world.core().crash(77);
    assert!(step.done(&world.core()));
    let survived = step.ask(&mut client, now);
    assert_eq!(
        survived.receipt.as_ref().map(ReceiptBundle::to_bytes),
        Some(bundle.to_bytes()),
        "also after a restart"
    );
    at_once.expect("it was asked")
}

#[test]
fn whatever_is_lost_on_the_way_who_repeats_has_one_report_and_one_receipt() {
    for (world, step) in steps() {
        let garbled = GARBLED.map(Fault::Garbled);
        for fault in [Fault::Lost, Fault::AnswerLost].into_iter().chain(garbled) {
            for times in 0..=4 {
                let at_once = struck(&world, &step, fault, times);
                assert_eq!(at_once, times == 0 || !matches!(fault, Fault::Lost), "{fault:?}");
            }
        }
    }
}

#[test]
fn whenever_the_power_is_cut_who_repeats_has_one_report_and_one_receipt() {
    for (world, step) in steps() {
        let disk_work = operations(&world, &step);
        assert!(disk_work > 1, "a decision is written and synced");
        let mut survived = [0, 0];
        for seed in 0..CRASHES {
            assert!(!struck(&world, &step, Fault::CutBefore(seed), 1));
            assert!(struck(&world, &step, Fault::CutAfter(seed), 1), "durable before it was answered");
            for at in 0..=disk_work {
                let done = struck(&world, &step, Fault::CutAt(at, seed), 1);
                assert!(done || at < disk_work, "nothing was cut");
                assert_eq!(struck(&world, &step, Fault::CutAtAndTold(at, seed), 1), done);
                survived[usize::from(done)] += 1;
            }
        }
        assert!(survived.iter().all(|n| *n > 0), "some cuts came too early, some too late: {survived:?}");
        struck(&world, &step, Fault::CutAt(1, 9), 3);
    }
}

/// Operations of the disk while the step is decided.
fn operations(world: &World, step: &Step) -> u64 {
    let mut world = world.fork();
    let mut counted = 0;
    let mut client = world.client_through(|core, question| {
        let before = core.disk.operations().len();
        let answer = core.answer(question);
        if is_sealed(question) {
            counted = core.disk.operations().len() - before;
        }
        answer
    });
    step.ask(&mut client, MORNING);
    drop(client);
    counted as u64
}

#[test]
fn a_code_whose_key_is_lost_waits_for_it_and_is_no_guess() {
    let mut world = World::new(24);
    let provider = world.provider("clinic");
    let issued = world.codes(provider, 1, ReportType::Confirmed);
    let keys = world.dice.days(MORNING, 1, 2);
    let file = Path::new(DIR).join("keys/codes.key");
    let key = read_file(&world.core().disk, &file, 1 << 10).expect("the codes key");
    world.core().restart(|disk| disk.remove(&file).expect("it was there"));
    let author = world.dice.author();
    let (now, code) = (world.now(), issued.codes[0].to_text());
    let draft =
        ReportDraft { grant: Some((GRANT_CODE, code.as_bytes())), keys: &sent(&keys), ..Default::default() };
    for _ in 0..=TOTAL_BUDGET.size / 2 {
        let answer = world.client().submit(now, &author, &draft).expect("an answer");
        assert_eq!(answer.outcome, Outcome::Busy);
    }
    assert_eq!(world.core().origin.origin().writer().guessing(now).count(), 0);
    world.core().restart(|disk| replace_file(disk, &file, &key).expect("it is put back"));
    let answer = world.client().submit(now, &author, &draft).expect("an answer");
    assert_eq!(answer.outcome, Outcome::Done, "with the same id and secret");
}
