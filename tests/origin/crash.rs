//! Power cuts after every operation of the disk in the life of a young origin, each in several ways: what was
//! confirmed is there, what was seen stays as it was, and what was begun is finished.

use std::panic::AssertUnwindSafe;

use tekd::authority::Scope;
use tekd::engine::{Input, Moment, ParamsChange, Rebuild};
use tekd::node::StartError;
use tekd::store::MemoryDisk;
use tekd::store::journal::Record;

use super::world::{Dice, NOON, World, keys_of_day, records};

const SET: u32 = 1;
const SEED: u64 = 77;
/// Ways in which the power goes at each operation.
const WAYS: u64 = 4;
/// How many operations a recovery is cut after, at some of the cuts.
const SECOND_CUTS: u64 = 40;

/// What somebody outside knows for sure.
#[derive(Default)]
struct Witness {
    /// Sequence number of the last confirmed event.
    confirmed: u64,
    /// Newest version shown to readers, and its root.
    seen: Option<(u64, [u8; 32])>,
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

/// Founding, configuration, imports, releases, a snapshot, a withdrawal; until the end or the first error.
fn live(disk: MemoryDisk, witness: &mut Witness) -> Result<World, StartError> {
    let mut world = World::open(disk, Moment { unix: NOON, monotonic_ms: 0 }, SEED)?;
    witness.look(&world);
    let mut dice = Dice::new(SEED);
    let keys = keys_of_day(&mut dice, NOON, 2, 40);
    let change = ParamsChange { min_reports: Some(2), ..ParamsChange::default() };
    let withdraw = Input::Withdraw {
        scope: Scope::Key { set: SET, key: keys[3].key },
        urgent: false,
        reason: "test".to_owned(),
        dry_run: false,
    };
    let import = |keys| Input::Import { set: SET, provider: "import".to_owned(), keys };
    let more = keys_of_day(&mut dice, NOON, 3, 5);
    for (seconds, input) in [
        (10, Input::Configure { set: SET, change }),
        (10, import(keys)),
        (880, Input::Tick),
        (10, withdraw),
        (10, import(more)),
        (880, Input::Tick),
        (900, Input::Tick),
    ] {
        world.pass(seconds);
        world.try_turn(input)?.expect("fair inputs");
        witness.look(&world);
        if world.set(SET).serial() == 2 {
            world.origin.idle()?;
            let (head, payload) = world.origin.snapshot();
            tekd::node::write_snapshot(world.origin.options(), world.origin.identity(), &head, &payload)?;
        }
    }
    Ok(world)
}

fn same_beginning(found: &[Record], reference: &[Record]) -> bool {
    found.len() <= reference.len() && found.iter().zip(reference).all(|(a, b)| a == b)
}

struct Reference {
    records: Vec<Record>,
    /// Root of each version.
    roots: Vec<(u64, [u8; 32])>,
}

fn check(disk: MemoryDisk, witness: &Witness, reference: &Reference, what: &str) {
    let now = Moment { unix: NOON + 4000, monotonic_ms: 0 };
    let mut world = World::open(disk, now, SEED + 1).unwrap_or_else(|e| panic!("{what}: {e}"));
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
    assert!(world.trust().sets.contains(&SET));
    // It lives on, and all of it can be rebuilt.
    world.tick_to(SET, NOON + 4500);
    assert!(shown(&world).is_some(), "{what}");
    let mut rebuild = Rebuild::new();
    for record in world.records(1) {
        rebuild.push(&record).unwrap_or_else(|e| panic!("{what}: {e}"));
    }
}

/// The life without a cut, and what it showed.
fn reference() -> (Reference, u64) {
    let disk = MemoryDisk::new();
    let world = live(disk.clone(), &mut Witness::default()).expect("the disk is well");
    drop(world);
    let operations = disk.operations().len() as u64;
    let mut world =
        World::open(disk, Moment { unix: NOON + 4000, monotonic_ms: 0 }, SEED).expect("it opens again");
    let records = world.records(1);
    let roots = records.iter().filter_map(|r| match super::world::event(r) {
        tekd::engine::Event::Published(p) => Some((1 << 32 | u64::from(p.serial), p.root)),
        _ => None,
    });
    let roots = roots.collect();
    (Reference { records, roots }, operations)
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_confirmed() {
    let (reference, operations) = reference();
    println!("{operations} operations, {} events", reference.records.len());
    assert!(operations > 80 && reference.roots.len() == 3);
    for cut in 0..=operations {
        let disk = MemoryDisk::new();
        disk.freeze_after(cut);
        let mut witness = Witness::default();
        let lived = live(disk.clone(), &mut witness);
        assert_eq!(lived.is_ok(), cut == operations, "cut {cut}");
        drop(lived);
        for way in 0..WAYS {
            check(disk.crash(way), &witness, &reference, &format!("cut {cut}, way {way}"));
        }
        check(disk.crash_clean(), &witness, &reference, &format!("cut {cut}, clean"));
    }
}

#[test]
fn a_second_power_cut_during_recovery_loses_nothing_either() {
    let (reference, operations) = reference();
    for cut in (0..operations).step_by(7) {
        let disk = MemoryDisk::new();
        disk.freeze_after(cut);
        let mut witness = Witness::default();
        drop(live(disk.clone(), &mut witness));
        for second in (0..SECOND_CUTS).step_by(3) {
            let disk = disk.crash(cut ^ second);
            disk.freeze_after(second);
            let now = Moment { unix: NOON + 3900, monotonic_ms: 0 };
            let opened =
                std::panic::catch_unwind(AssertUnwindSafe(|| World::open(disk.clone(), now, SEED + 2)));
            drop(opened.unwrap_or_else(|_| panic!("cut {cut}, second {second}: a panic")));
            let what = format!("cut {cut}, second {second}");
            check(disk.crash(second), &witness, &reference, &what);
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
