//! A journal with a mirror: both have everything that was confirmed, one of them alone is enough, and what
//! fails in one fails for both.

use std::path::{Path, PathBuf};

use tekd::engine::{Input, Moment, Reply};
use tekd::node::{OriginError, StartError, journal_path};
use tekd::release::Receipt;
use tekd::store::journal::MirrorError;
use tekd::store::{Disk, Fault, MemoryDisk, OperationKind, read_file, replace_file};
use tekd::wire::report::{Durability, Outcome};

use super::crash::{Witness, check, live, reference};
use super::phone::{Phone, days};
use super::world::{DIR, Dice, MIRROR, NOON, World, keys_of_day, records};

const SET: u32 = 1;
const SEED: u64 = 61;
/// Ways in which the power goes at each operation, beside that in which nothing un-synced is left.
const WAYS: u64 = 2;

/// A disk with a directory for a mirror.
fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new(MIRROR)).expect("a directory");
    disk
}

fn founded() -> World {
    World::mirrored(disk(), Moment { unix: NOON, monotonic_ms: 1000 }, SEED).expect("an empty disk")
}

fn opened(disk: &MemoryDisk) -> Result<World, StartError> {
    World::mirrored(disk.clone(), Moment { unix: NOON + 200_000, monotonic_ms: 0 }, SEED + 1)
}

fn journal() -> PathBuf {
    journal_path(Path::new(DIR))
}

/// Names and bytes of a directory's files, without what a full disk left for the next start to remove.
fn files(disk: &MemoryDisk, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |file: PathBuf| {
        let bytes = read_file(disk, &file, 1 << 26).expect("readable");
        (file.file_name().expect("a name").into(), bytes)
    };
    let files = disk.list(dir).expect("a directory").into_iter();
    files.filter(|file| file.extension().is_none_or(|end| end != "new")).map(read).collect()
}

fn empty(disk: &MemoryDisk, dir: &Path) {
    for file in disk.list(dir).expect("a directory") {
        disk.remove(&file).expect("removed");
    }
    disk.sync_dir(dir).expect("durable");
}

/// The journal's directory is lost, and its files are those of the mirror now.
fn put_back(disk: &MemoryDisk) {
    empty(disk, &journal());
    for (name, bytes) in files(disk, Path::new(MIRROR)) {
        replace_file(disk, &journal().join(name), &bytes).expect("copied");
    }
}

fn import(world: &mut World, dice: &mut Dice, n: usize) -> bool {
    let keys = keys_of_day(dice, NOON, 2, n);
    world.turn(Input::Import { set: SET, provider: "import".to_owned(), keys }).is_ok()
}

#[test]
fn both_directories_hold_the_same_bytes_and_the_mirror_alone_is_enough() {
    let mut dice = Dice::new(SEED);
    let mut world = founded();
    let provider = world.provider("ward");
    let codes = world.codes(provider, SET, 2).codes;
    let keys = days(&mut dice, NOON, 1, 3);
    let ask = Phone::new(&mut dice, SET).submit(codes[0], keys);
    let told = world.report(&ask);
    assert_eq!(told.outcome, Outcome::Done);
    for _ in 0..2 {
        // Another day begins with its release.
        world.pass(86_400);
        world.tick();
        assert!(import(&mut world, &mut dice, 300));
        world.snapshot();
        world = world.restart();
    }
    world.origin.idle().expect("the disk is well");
    let all = world.records(1);
    let disk = world.disk.clone();
    drop(world);
    let own = files(&disk, &journal());
    assert_eq!(own.len(), 5, "three segments, the reserve and the head file");
    assert!(own == files(&disk, Path::new(MIRROR)), "every file, byte for byte");

    empty(&disk, &journal());
    let lost = opened(&disk).map(drop).expect_err("the journal is gone");
    assert!(matches!(lost, StartError::Origin(OriginError::Mirror(MirrorError::Lost { .. }))), "{lost}");
    put_back(&disk);
    let mut world = opened(&disk).expect("all of it is there");
    assert!(records(&disk, 1).starts_with(&all), "every event");
    let again = world.report(&ask);
    assert_eq!((again.outcome, again.receipt), (Outcome::Done, told.receipt), "the same receipt");
    let receipt = Receipt::parse(&told.receipt.expect("what is done has a receipt").receipt);
    assert_eq!(receipt.expect("a receipt").durability(), Some(Durability::Mirror), "spec 7.7.1: two disks");
}

#[test]
fn a_mirror_that_is_not_there_stops_the_start_and_an_empty_one_is_filled() {
    let mut dice = Dice::new(SEED);
    let mut world = World::new(NOON, SEED);
    assert!(import(&mut world, &mut dice, 20));
    world.origin.idle().expect("the disk is well");
    let disk = world.disk.clone();
    drop(world);
    let before = files(&disk, &journal());
    let missing = opened(&disk).map(drop).expect_err("there is none");
    assert!(
        missing.to_string().contains("the mirror /mirror is not there; nothing was changed"),
        "{missing}"
    );
    assert!(before == files(&disk, &journal()));
    disk.create_dir(Path::new(MIRROR)).expect("a directory");
    drop(opened(&disk).expect("it is filled"));
    assert!(files(&disk, &journal()) == files(&disk, Path::new(MIRROR)));
    // Nothing is founded on a mirror that holds a journal.
    for dir in [Path::new(DIR), &journal(), &Path::new(DIR).join("keys")] {
        empty(&disk, dir);
    }
    let before = disk.operations().len();
    let error = opened(&disk).map(drop).expect_err("another log is there").to_string();
    assert!(error.contains("/mirror is to become a mirror, but"), "{error}");
    assert_eq!(disk.operations().len(), before, "nothing was changed");
}

#[test]
fn an_error_in_either_is_not_confirmed_and_stops_the_writer() {
    for kind in [OperationKind::Write, OperationKind::Sync] {
        for nth in 1..=2 {
            let mut dice = Dice::new(SEED);
            let mut world = founded();
            let before = world.records(1);
            world.disk.fail(kind, nth, Fault::Eio);
            let mut import = || {
                let keys = keys_of_day(&mut dice, NOON, 2, 3);
                Input::Import { set: SET, provider: "import".to_owned(), keys }
            };
            assert!(world.try_turn(import()).is_err(), "{kind:?} {nth}");
            assert!(
                world.try_turn(import()).is_err(),
                "{kind:?} {nth}: the disk is well again, not the writer"
            );
            let disk = world.disk.crash_clean();
            drop(world);
            let mut world = opened(&disk).unwrap_or_else(|error| panic!("{kind:?} {nth}: {error}"));
            assert!(world.records(1).starts_with(&before), "{kind:?} {nth}");
        }
    }
}

#[test]
fn a_full_mirror_is_a_full_disk() {
    let mut dice = Dice::new(SEED);
    let mut world = founded();
    let keys = keys_of_day(&mut dice, NOON, 1, 30);
    let first = keys[0].key;
    world.import(SET, keys);
    let mirror = Path::new(MIRROR);
    world.disk.set_quota(mirror, Some(world.disk.used(mirror)));
    while import(&mut world, &mut dice, 2000) {}
    let full = world.origin.journal_full().expect("it is full");
    assert!(full.contains("or of its mirror /mirror is full"), "{full}");
    // Withdrawals and releases go on, in the reserve of both at last.
    assert_eq!(world.withdraw(SET, first, true).map(|count| count.claims.keys), Ok(1));
    for _ in 0..100 {
        world.pass(900);
        let released = world.turn(Input::Release { set: SET, allow_small: true });
        assert!(matches!(released, Ok(Reply::Released(_))), "{released:?}");
    }
    let second = "segment-0000000002.journal";
    assert!(world.disk.inode(&journal().join(second)).is_ok());
    assert!(world.disk.inode(&mirror.join(second)).is_ok(), "the reserve became a segment in both");
    let mut world = world.restart();
    assert!(!import(&mut world, &mut dice, 1), "the mirror is as full after a restart");
    world.disk.set_quota(mirror, None);
    world.pass(10);
    assert!(import(&mut world, &mut dice, 1), "and has space again");
    world.origin.idle().expect("the disks are well");
    assert!(files(&world.disk, &journal()) == files(&world.disk, mirror));
}

#[test]
fn damage_that_a_start_meets_is_told_with_where_it_is_whole() {
    let mut dice = Dice::new(SEED);
    let mut world = founded();
    assert!(import(&mut world, &mut dice, 30));
    world.pass(86_400);
    assert!(import(&mut world, &mut dice, 30));
    world.origin.idle().expect("the disk is well");
    let disk = world.disk.clone();
    drop(world);
    // Without a snapshot a start reads all segments.
    disk.damage(&journal().join("segment-0000000001.journal"), 3 * 4096 + 200, 1).expect("a byte");
    let error = opened(&disk).map(drop).expect_err("it is damaged").to_string();
    assert!(error.contains("segment-0000000001.journal is damaged at byte"), "{error}");
    assert!(error.contains("/mirror is whole there"), "{error}");
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_confirmed_though_one_disk_is_lost_with_it() {
    let (reference, _) = reference(disk(), World::mirrored);
    let whole = disk();
    let before = whole.operations().len();
    drop(live(whole.clone(), World::mirrored, &mut Witness::default()).expect("the disk is well"));
    let operations = (whole.operations().len() - before) as u64;
    let mut recovered = 0;
    for cut in 0..=operations {
        let disk = disk();
        disk.freeze_after(cut);
        let mut witness = Witness::default();
        drop(live(disk.clone(), World::mirrored, &mut witness));
        for way in 0..=WAYS {
            let image = || if way < WAYS { disk.crash(way) } else { disk.crash_clean() };
            let what = |lost| format!("cut {cut}, way {way}, {lost}");
            check(image(), World::mirrored, &witness, &reference, &what("both there"));
            let lost = image();
            empty(&lost, Path::new(MIRROR));
            check(lost, World::mirrored, &witness, &reference, &what("mirror lost"));
            recovered += 2;
            // Before anything was confirmed there may be no journal to put back.
            if witness.confirmed > 0 {
                let lost = image();
                put_back(&lost);
                check(lost, World::mirrored, &witness, &reference, &what("mirror put back"));
                recovered += 1;
            }
        }
    }
    println!("{operations} operations, {recovered} recoveries");
    assert!(operations > 150 && recovered > 1000);
}
