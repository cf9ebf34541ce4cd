//! Power cuts after every operation of the disk in the life of a young origin, each in several ways: what was
//! confirmed is there, what was seen stays as it was, what was begun is finished, and no code is spent
//! without its report.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use tekd::authority::{Code, Grant, Scope};
use tekd::engine::{
    CodeOrder, Event, Input, Moment, ParamsChange, Presented, Rebuild, Reply, ReportReply, ReportRequest,
};
use tekd::node::StartError;
use tekd::store::MemoryDisk;
use tekd::store::journal::Record;
use tekd::wire::report::{Outcome, ReportType, RequestKind};

use super::phone::{Phone, days};
use super::world::{Dice, NOON, REASON, World, event, keys_of_day, records};

const SET: u32 = 1;
const SEED: u64 = 77;
/// Ways in which the power goes at each operation.
const WAYS: u64 = 4;
/// How many operations a recovery is cut after, at some of the cuts.
const SECOND_CUTS: u64 = 40;

/// How a world is opened.
pub(super) type Open = fn(MemoryDisk, Moment, u64) -> Result<World, StartError>;

/// What somebody outside knows for sure.
#[derive(Default)]
pub(super) struct Witness {
    /// Sequence number of the last confirmed event.
    pub(super) confirmed: u64,
    /// Newest version shown to readers, and its root.
    seen: Option<(u64, [u8; 32])>,
    /// What phones asked, and what they were answered before the power went.
    asked: Vec<(ReportRequest, Option<ReportReply>)>,
}

impl Witness {
    fn look(&mut self, world: &World) {
        self.confirmed = world.origin.head().seq;
        self.seen = shown(world).or(self.seen);
    }
}

fn shown(world: &World) -> Option<(u64, [u8; 32])> {
    let view = world.view.load();
    let checkpoint = view.set(SET)?.release.as_ref()?.checkpoint;
    Some((checkpoint.version(), checkpoint.root()))
}

/// A life in progress, step by step.
struct Life<'w> {
    world: World,
    witness: &'w mut Witness,
    dice: Dice,
}

impl Life<'_> {
    fn turn(&mut self, seconds: u64, input: Input) -> Result<Reply, StartError> {
        self.world.pass(seconds);
        let reply = self.world.try_turn(input)?.expect("fair inputs");
        self.witness.look(&self.world);
        Ok(reply)
    }

    fn import(&mut self, ago: u64, n: usize) -> Result<Scope, StartError> {
        let keys = keys_of_day(&mut self.dice, NOON, ago, n);
        let scope = Scope::Key { set: SET, key: keys[3].key };
        self.turn(10, Input::Import { set: SET, provider: "import".to_owned(), keys })?;
        Ok(scope)
    }

    fn codes(&mut self, provider: u32, report_type: ReportType) -> Result<Vec<Code>, StartError> {
        let (count, onset_day, lifetime_s) = (3, None, 86_400);
        let order = CodeOrder { provider, set: SET, count, report_type, onset_day, lifetime_s };
        match self.turn(10, Input::IssueCodes(order))? {
            Reply::Codes(issued) => Ok(issued.codes),
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, request: ReportRequest) -> Result<(), StartError> {
        self.witness.asked.push((request.clone(), None));
        match self.turn(10, Input::Report(Box::new(request)))? {
            Reply::Report(reply) => {
                assert_eq!(reply.outcome, Outcome::Done);
                self.witness.asked.last_mut().expect("pushed above").1 = Some(*reply);
                Ok(())
            }
            other => panic!("{other:?}"),
        }
    }

    fn snapshot(&mut self) -> Result<(), StartError> {
        self.world.origin.idle()?;
        let now = self.world.now;
        self.world.origin.base(now)?;
        self.witness.look(&self.world);
        Ok(())
    }
}

/// Founding, configuration, a provider and codes, imports, reports and what becomes of them, releases, a
/// snapshot; until the end or the first error.
pub(super) fn live(disk: MemoryDisk, open: Open, witness: &mut Witness) -> Result<World, StartError> {
    let world = open(disk, Moment { unix: NOON, monotonic_ms: 0 }, SEED)?;
    witness.look(&world);
    let mut life = Life { world, witness, dice: Dice::new(SEED) };
    let reason = || REASON.to_owned();
    let change = ParamsChange { min_reports: Some(2), ..ParamsChange::default() };
    life.turn(10, Input::Configure { set: SET, change })?;
    let imported = life.import(2, 40)?;
    let name = "ward".to_owned();
    let Reply::Provider { provider, .. } =
        life.turn(10, Input::AddProvider { name, issuer: None, key: None })?
    else {
        panic!("a provider is answered with its number")
    };
    let likely = life.codes(provider, ReportType::Likely)?;
    let confirmed = life.codes(provider, ReportType::Confirmed)?;
    let (one, two) = (Phone::new(&mut life.dice, SET), Phone::new(&mut life.dice, SET));
    let keys = days(&mut life.dice, NOON, 1, 3);
    life.ask(one.submit(likely[0], keys))?;
    let keys = days(&mut life.dice, NOON, 1, 2);
    life.ask(two.submit(likely[1], keys))?;
    let keys = days(&mut life.dice, NOON, 4, 1);
    life.ask(one.amend(keys))?;
    life.turn(820, Input::Tick)?;
    life.turn(10, Input::Withdraw { scope: imported, urgent: false, reason: reason(), dry_run: false })?;
    life.import(3, 5)?;
    life.ask(two.cancel())?;
    let (batch, retroactive) = (1, true);
    let revoke = Input::RevokeBatch { batch, retroactive, reason: reason(), dry_run: false };
    let Reply::Withdrawn(revoked) = life.turn(10, revoke)? else { panic!("a revocation is counted") };
    assert_eq!((revoked.claims.reports, revoked.claims.keys), (1, 4), "the cancelled report apart");
    life.turn(860, Input::Tick)?;
    life.snapshot()?;
    life.turn(10, Input::Reinstate { seq: revoked.seq.expect("it was done") })?;
    life.ask(one.request(RequestKind::Amend, Presented::Code(confirmed[0]), Vec::new()))?;
    life.turn(880, Input::Tick)?;
    // What readers see is kept after all that is confirmed, and nobody fails without it: this one is noticed.
    life.world.origin.idle()?;
    Ok(life.world)
}

fn same_beginning(found: &[Record], reference: &[Record]) -> bool {
    found.len() <= reference.len() && found.iter().zip(reference).all(|(a, b)| a == b)
}

pub(super) struct Reference {
    pub(super) records: Vec<Record>,
    /// Root of each version.
    roots: Vec<(u64, [u8; 32])>,
}

pub(super) fn check(disk: MemoryDisk, open: Open, witness: &Witness, reference: &Reference, what: &str) {
    let now = Moment { unix: NOON + 4000, monotonic_ms: 0 };
    let mut world = open(disk, now, SEED + 1).unwrap_or_else(|e| panic!("{what}: {e}"));
    let found = world.records(1);
    assert!(found.len() as u64 >= witness.confirmed, "{what}: {} of {}", found.len(), witness.confirmed);
    assert!(found.len() >= 4, "{what}: founding is completed");
    if witness.confirmed > 0 {
        // A release that was in flight is finished by the same Published event, a little later.
        let same = |a: &Record, b: &Record| (a.kind, a.seq, &a.payload) == (b.kind, b.seq, &b.payload);
        assert!(found.iter().zip(&reference.records).all(|(a, b)| same(a, b)), "{what}: another history");
    }
    if let Some((version, root)) = witness.seen {
        let (newest, _) = shown(&world).unwrap_or_else(|| panic!("{what}: nothing is shown"));
        assert!(newest >= version, "{what}: readers went back");
        assert!(reference.roots.contains(&(version, root)), "{what}");
    }
    if witness.confirmed > 0 {
        let newest = shown(&world);
        assert!(newest.is_none_or(|n| reference.roots.contains(&n)), "{what}: another root at {newest:?}");
    }
    assert!(!world.set(SET).in_flight(), "{what}: what was begun is finished");
    spent_with_report(&mut world, what);
    repeated(&mut world, witness, what);
    assert!(world.trust().sets.contains(&SET));
    // It lives on, and all of it can be rebuilt.
    world.tick_to(SET, NOON + 4500);
    assert!(shown(&world).is_some(), "{what}");
    let mut rebuild = Rebuild::new();
    for record in world.records(1) {
        rebuild.push(&record).unwrap_or_else(|e| panic!("{what}: {e}"));
    }
}

/// spent-with-report: a code is spent if and only if a report or an amendment spent it, that one.
fn spent_with_report(world: &mut World, what: &str) {
    let spending = world.records(1).into_iter().filter_map(|record| {
        let grant = match event(&record) {
            Event::Reported(r) => r.grant,
            Event::Amended(a) => a.grant,
            _ => Grant::None,
        };
        match grant {
            Grant::Code { batch, index } => Some((batch, index, record.seq)),
            _ => None,
        }
    });
    let spending: BTreeSet<(u32, u32, u64)> = spending.collect();
    let batches = &world.origin.state().registry().batches;
    let spent = batches
        .iter()
        .flat_map(|(number, batch)| batch.spent.iter().map(|(index, seq)| (*number, *index, *seq)));
    assert_eq!(spent.collect::<BTreeSet<_>>(), spending, "{what}: spent codes and their events");
}

/// Phones ask once more what they asked before the power went: who was answered is answered the same, who was
/// not is answered now, and both again the same.
fn repeated(world: &mut World, witness: &Witness, what: &str) {
    for (request, answered) in &witness.asked {
        let reply = world.report(request);
        assert_eq!(reply.outcome, Outcome::Done, "{what}: {:?}", request.kind);
        let receipt = reply.receipt.expect("what is done has a receipt");
        if let Some(answered) = answered {
            assert_eq!(Some(receipt), answered.receipt, "{what}: the same receipt");
            assert_eq!(reply.verdicts, answered.verdicts, "{what}");
        }
        let seq = world.origin.state().seq();
        let again = world.report(request);
        assert_eq!((again.outcome, again.receipt), (Outcome::Done, Some(receipt)), "{what}: once more");
        assert_eq!(world.origin.state().seq(), seq, "{what}: a repetition decides nothing");
    }
    spent_with_report(world, what);
}

/// The life without a cut, and what it showed.
pub(super) fn reference(disk: MemoryDisk, open: Open) -> (Reference, u64) {
    let mut witness = Witness::default();
    let world = live(disk.clone(), open, &mut witness).expect("the disk is well");
    assert_eq!(witness.asked.iter().filter(|(_, answer)| answer.is_some()).count(), 5);
    drop(world);
    let operations = disk.operations().len() as u64;
    let mut world =
        World::open(disk, Moment { unix: NOON + 4000, monotonic_ms: 0 }, SEED).expect("it opens again");
    let records = world.records(1);
    let roots = records.iter().filter_map(|r| match event(r) {
        Event::Published(p) => Some((1 << 32 | u64::from(p.serial), p.root)),
        _ => None,
    });
    let roots = roots.collect();
    (Reference { records, roots }, operations)
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_confirmed() {
    let (reference, operations) = reference(MemoryDisk::new(), World::open);
    println!("{operations} operations, {} events", reference.records.len());
    assert!(operations > 80 && reference.roots.len() == 3);
    for cut in 0..=operations {
        let disk = MemoryDisk::new();
        disk.freeze_after(cut);
        let mut witness = Witness::default();
        let lived = live(disk.clone(), World::open, &mut witness);
        assert_eq!(lived.is_ok(), cut == operations, "cut {cut}");
        drop(lived);
        for way in 0..WAYS {
            check(disk.crash(way), World::open, &witness, &reference, &format!("cut {cut}, way {way}"));
        }
        check(disk.crash_clean(), World::open, &witness, &reference, &format!("cut {cut}, clean"));
    }
}

#[test]
fn a_second_power_cut_during_recovery_loses_nothing_either() {
    let (reference, operations) = reference(MemoryDisk::new(), World::open);
    for cut in (0..operations).step_by(7) {
        let disk = MemoryDisk::new();
        disk.freeze_after(cut);
        let mut witness = Witness::default();
        drop(live(disk.clone(), World::open, &mut witness));
        for second in (0..SECOND_CUTS).step_by(3) {
            let disk = disk.crash(cut ^ second);
            disk.freeze_after(second);
            let now = Moment { unix: NOON + 3900, monotonic_ms: 0 };
            let opened =
                std::panic::catch_unwind(AssertUnwindSafe(|| World::open(disk.clone(), now, SEED + 2)));
            drop(opened.unwrap_or_else(|_| panic!("cut {cut}, second {second}: a panic")));
            let what = format!("cut {cut}, second {second}");
            check(disk.crash(second), World::open, &witness, &reference, &what);
        }
    }
}

#[test]
fn what_the_disk_refuses_is_not_confirmed_and_stops_the_writer() {
    use tekd::store::{Fault, OperationKind};
    for kind in [OperationKind::Write, OperationKind::Sync] {
        let mut world = World::new(NOON, SEED);
        let before = world.records(1);
        world.disk.fail(kind, 1, Fault::Eio);
        let keys = keys_of_day(&mut Dice::new(1), NOON, 2, 3);
        let import = Input::Import { set: SET, provider: "import".to_owned(), keys };
        assert!(world.try_turn(import).is_err());
        // fail-stop: the disk is well again, the writer is not.
        let again = Input::Import {
            set: SET,
            provider: "import".to_owned(),
            keys: keys_of_day(&mut Dice::new(2), NOON, 2, 3),
        };
        assert!(world.try_turn(again).is_err());
        let reopened = World::open(world.disk.crash_clean(), world.now, SEED).expect("it opens again");
        assert!(same_beginning(&before, &records(&reopened.disk, 1)));
    }
}
