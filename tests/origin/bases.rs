//! Snapshots that the journal names: they stand for all before them, old segments and old keys go, and what
//! is damaged is noticed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tekd::engine::{Event, Input, ParamsChange, Rebuild, Rebuilt, Recompute, State, replay};
use tekd::node::{OriginError, StartError, first_state, fold, journal_path, snapshots_path};
use tekd::store::journal::Record;
use tekd::store::{Disk, MemoryDisk, read_file};
use tekd::wire::Key;

use super::world::{DIR, Dice, NOON, World, event, keys_of_day, options, records};

const SET: u32 = 1;
const DAY: u64 = 86_400;
const RETENTION: u64 = 14;
/// Days that pass before the first segment is dropped, and some.
const DAYS: u64 = RETENTION + 5;

/// A set whose every day has its keys, a base each day.
struct Days {
    world: World,
    dice: Dice,
    /// All records ever, also of segments that are gone.
    records: Vec<Record>,
    /// The keys of each day, by the day they were received.
    keys: Vec<Vec<Key>>,
}

impl Days {
    fn new() -> Days {
        let mut world = World::new(NOON, 51);
        let change = ParamsChange { interval_s: Some(21_600), ..ParamsChange::default() };
        world.configure(SET, change);
        Days { world, dice: Dice::new(51), records: Vec::new(), keys: Vec::new() }
    }

    /// Noon to noon: keys come in, and the first release of the next day makes a base due.
    fn pass(&mut self) {
        let keys = keys_of_day(&mut self.dice, self.world.now.unix, 1, 12);
        self.keys.push(keys.iter().map(|key| key.key).collect());
        self.world.import(SET, keys);
        let noon = self.world.now.unix + DAY;
        while self.world.now.unix < noon {
            let next = (self.world.now.unix + 21_600).min(noon);
            self.world.tick_to(SET, next);
            if self.world.origin.base_is_due() {
                self.note();
                self.world.snapshot();
            }
        }
        self.note();
    }

    /// Keeps the records before a base drops them.
    fn note(&mut self) {
        let after = self.records.last().map_or(1, |record| record.seq + 1);
        self.records.extend(self.world.records(after));
    }

    fn bases(&self) -> usize {
        self.records.iter().filter(|record| matches!(event(record), Event::Based(_))).count()
    }
}

fn aged() -> Days {
    let mut days = Days::new();
    (0..DAYS).for_each(|_| days.pass());
    days
}

fn generations(rebuild: Rebuild) -> (Vec<u8>, Vec<(u32, Vec<u8>)>) {
    let Rebuilt { state, tables, .. } = rebuild.finish().expect("as it was signed");
    let bytes = tables.into_iter().map(|(set, table)| (set, table.generation.bytes().to_vec())).collect();
    (state.to_bytes(), bytes)
}

#[test]
fn base_and_event_one_rebuild_to_the_same_bytes() {
    let days = aged();
    assert_eq!(days.bases() as u64, DAYS, "one a day");
    let disk: Arc<dyn Disk> = Arc::new(days.world.disk.clone());
    let kept = records(&days.world.disk, 1);
    assert!(kept[0].seq > 1, "the first segments are gone");
    assert_eq!(kept[..], days.records[kept[0].seq as usize - 1..]);

    let mut from_one = Rebuild::new();
    days.records.iter().for_each(|record| from_one.push(record).expect("it was lived"));
    let base = first_state(&disk, Path::new(DIR)).expect("a base");
    let at = base.seq();
    assert!(at >= kept[0].seq);
    let mut from_base = Rebuild::from_state(base, Recompute::EverySerial).expect("tables of the base");
    kept.iter().filter(|record| record.seq > at).for_each(|r| from_base.push(r).expect("it was lived"));
    let (one, base) = (generations(from_one), generations(from_base));
    assert!(one.0 == days.world.origin.state().to_bytes() && one == base);
}

/// The directories of all files.
fn all_dirs() -> [PathBuf; 4] {
    let dir = Path::new(DIR);
    [dir.to_path_buf(), journal_path(dir), snapshots_path(dir), dir.join("sets/1")]
}

/// In how many files of these directories a key is.
fn files_with(world: &World, dirs: &[PathBuf], key: &Key) -> usize {
    let files = dirs.iter().flat_map(|dir| world.disk.list(dir).expect("a directory"));
    let has = |file: &PathBuf| {
        let bytes = read_file(&world.disk, file, 1 << 26).expect("a file");
        bytes.windows(16).any(|window| window == key.as_bytes())
    };
    files.filter(has).count()
}

/// It is noon, and on day `received` at noon it came.
fn keys_have_left(days: &Days, today: u64) {
    for (received, keys) in days.keys.iter().enumerate() {
        let age = today - received as u64;
        let found = keys.iter().filter(|key| files_with(&days.world, &all_dirs(), key) > 0).count();
        if age >= RETENTION + 2 {
            assert_eq!(found, 0, "keys that came {age} days ago");
        } else {
            assert_eq!(found, keys.len(), "keys that came {age} days ago are in the journal at least");
        }
    }
}

#[test]
fn a_key_leaves_every_file_after_its_retention_and_two_days() {
    let days = aged();
    keys_have_left(&days, days.keys.len() as u64);
}

#[test]
fn segments_go_though_no_new_base_can_be_made() {
    let mut days = Days::new();
    (0..3).for_each(|_| days.pass());
    days.world.disk.set_quota(&journal_path(Path::new(DIR)), Some(0));
    let made = days.bases();
    for today in 3..RETENTION + 3 {
        days.world.tick_to(SET, NOON + (today + 1) * DAY);
    }
    days.note();
    assert_eq!((days.bases(), made), (3, 3), "the disk is full, and none was made");
    // It frees space of its own that way: for a base, whose keys are of today.
    let journal = [journal_path(Path::new(DIR))];
    for (received, keys) in days.keys.iter().enumerate() {
        let files: usize = keys.iter().map(|key| files_with(&days.world, &journal, key)).sum();
        let age = RETENTION + 3 - received as u64;
        assert_eq!(files > 0, age < RETENTION + 2, "keys that came {age} days ago");
    }
}

#[test]
fn one_event_under_a_clock_that_is_ahead_puts_off_no_base_and_keeps_no_segment() {
    let mut days = Days::new();
    (0..2).for_each(|_| days.pass());
    let ahead = 365 * DAY;
    days.world.now.unix += ahead;
    days.world.provider("ahead");
    days.world.now.unix -= ahead;
    days.world.tick();
    days.world.turn(Input::ApproveClock).expect("approved");
    let made = days.bases();
    let more = RETENTION + 4;
    (0..more).for_each(|_| days.pass());
    assert_eq!((days.bases() - made) as u64, more, "one a day");
    keys_have_left(&days, days.keys.len() as u64);
}

#[test]
fn nothing_is_dropped_on_the_word_of_a_snapshot_that_nobody_has_read() {
    let mut days = Days::new();
    (0..2).for_each(|_| days.pass());
    let mut world = days.world;
    for snapshot in world.disk.list(&snapshots_path(Path::new(DIR))).expect("a directory") {
        world.disk.remove(&snapshot).expect("removed");
    }
    // Everything comes from event one; then a day begins on which segments would go.
    world = world.restart();
    let state = world.origin.state().to_bytes();
    world.pass((RETENTION + 5) * DAY);
    world.tick();
    assert!(world.origin.state().to_bytes() != state, "a release");
    let image = world.disk.crash_clean();
    let mut again = World::open(image, world.now, 52).expect("the journal has all of it");
    assert!(again.records(1)[0].seq == 1 && again.origin.state().seq() >= world.origin.state().seq());
}

#[test]
fn a_start_removes_what_its_writer_left_and_nothing_else() {
    let world = World::new(NOON, 53);
    let path = |name: &str| Path::new(DIR).join(name);
    let (others, own) = (["notes.new", "keys/cookie.key.new"], ["identity.new", "keys/seal-00.key.new"]);
    for name in others.iter().chain(&own) {
        world.disk.create(&path(name)).expect("a file").write_all_at(b"?", 0).expect("written");
    }
    let world = world.restart();
    assert!(others.iter().all(|name| world.disk.inode(&path(name)).is_ok()));
    assert!(own.iter().all(|name| world.disk.inode(&path(name)).is_err()));
}

#[test]
fn a_snapshot_folded_from_the_files_is_that_of_the_state() {
    let mut days = Days::new();
    (0..3).for_each(|_| days.pass());
    days.world.origin.idle().expect("the disk is well");
    let files = days.world.disk.crash_clean();
    let (options, identity) = (options(&files), *days.world.origin.identity());
    let folded = fold(&options, &identity).expect("a snapshot");
    days.world.snapshot();
    assert_eq!(days.world.origin.state().base().expect("a base").snapshot, folded);
    // Once more there is nothing new to fold.
    assert_eq!(fold(&options, &identity).expect("the same"), folded);
}

#[test]
fn a_damaged_snapshot_costs_nothing_while_there_is_another() {
    let days = aged();
    let expected = days.world.origin.state().to_bytes();
    let disk = days.world.disk.clone();
    drop(days.world);
    let snapshots = disk.list(&snapshots_path(Path::new(DIR))).expect("snapshots");
    assert_eq!(snapshots.len(), 2);
    let now = |disk: &MemoryDisk| World::open(disk.crash_clean(), later(), 52);
    disk.damage(&snapshots[1], 1000, 1).expect("a byte");
    let world = now(&disk).expect("the one before is used");
    let same = State::from_bytes(&world.origin.state().to_bytes()).expect("a state").to_bytes();
    assert!(same.len() >= expected.len(), "a start may finish something, it loses nothing");
    // Both: what is between event one and the oldest segment is nowhere.
    disk.damage(&snapshots[0], 1000, 1).expect("a byte");
    let before = disk.operations().len();
    match now(&disk) {
        Err(StartError::Origin(OriginError::Gap { begins, snapshot: 0 })) => assert!(begins > 0),
        other => panic!("{:?}", other.err()),
    }
    assert_eq!(disk.operations().len(), before, "nothing was changed");
    let disk: Arc<dyn Disk> = Arc::new(disk);
    assert!(matches!(first_state(&disk, Path::new(DIR)), Err(OriginError::Gap { .. })));
}

#[test]
fn a_journal_that_lost_its_first_segment_is_refused_though_a_snapshot_stands_for_it() {
    let mut world = World::new(NOON, 55);
    world.import(SET, keys_of_day(&mut Dice::new(55), NOON, 1, 5));
    world.pass(DAY);
    world.tick();
    world.origin.idle().expect("the disk is well");
    // A snapshot that no event names, as a crash leaves one.
    let (options, identity) = (options(&world.disk), *world.origin.identity());
    fold(&options, &identity).expect("a snapshot");
    world.pass(900);
    world.tick();
    world.origin.idle().expect("the disk is well");
    let (disk, journal) = (world.disk.crash_clean(), journal_path(Path::new(DIR)));
    let segments: Vec<PathBuf> = disk.list(&journal).expect("segments").into_iter().collect();
    let first = segments.iter().find(|file| file.ends_with("segment-0000000001.journal")).expect("the first");
    disk.remove(first).and_then(|()| disk.sync_dir(&journal)).expect("removed");
    match World::open(disk.crash_clean(), later(), 56).map(drop) {
        Err(StartError::Origin(OriginError::Beheaded { begins })) => assert!(begins > 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_that_are_no_snapshots_push_out_none_that_is() {
    let mut days = Days::new();
    days.pass();
    let dir = snapshots_path(Path::new(DIR));
    let write = |name: &str| {
        let file = days.world.disk.create(&dir.join(name)).expect("a file");
        file.write_all_at(b"junk", 0).and_then(|()| file.sync()).expect("written");
    };
    write("snapshot-00000000000000999998.tekd");
    write("snapshot-00000000000000999999.tekd");
    days.pass();
    let world = &mut days.world;
    world.origin.idle().expect("the disk is well");
    let base = world.origin.state().base().expect("a base").snapshot;
    let log_id = world.origin.identity().log_id;
    let found = tekd::store::snapshot::newest_valid(&world.disk, &dir, &log_id).expect("a directory");
    assert_eq!(found.snapshot.map(|s| (s.head.gno, s.digest)), Some((base.gno, base.digest)));
    assert_eq!(found.skipped.len(), 2);
    let kept = world.origin.state().to_bytes();
    let (options, identity) = (options(&world.disk), *world.origin.identity());
    fold(&options, &identity).expect("it is folded on from the newest that is whole");
    let disk: Arc<dyn Disk> = Arc::new(world.disk.clone());
    let mut rebuild =
        Rebuild::from_state(first_state(&disk, Path::new(DIR)).expect("event one"), Recompute::EverySerial)
            .expect("no table");
    records(&world.disk, 1).iter().for_each(|record| rebuild.push(record).expect("it was lived"));
    assert!(generations(rebuild).0 == kept);
}

/// Names of the directory's files, its journal's apart, that an interrupted writer left.
fn unfinished(disk: &MemoryDisk) -> Vec<PathBuf> {
    let dir = Path::new(DIR);
    let dirs = [dir.to_path_buf(), snapshots_path(dir), dir.join("keys"), dir.join("sets/1")];
    let files = dirs.iter().flat_map(|dir| disk.list(dir).unwrap_or_default());
    files.filter(|file| file.extension().is_some_and(|end| end == "new")).collect()
}

#[test]
fn what_a_power_cut_left_of_a_snapshot_is_gone_after_the_next_start() {
    let mut left = 0;
    for steps in 0..12 {
        let mut world = World::new(NOON, 58);
        world.import(SET, keys_of_day(&mut Dice::new(58), NOON, 1, 5));
        world.pass(900);
        world.tick();
        world.origin.idle().expect("the disk is well");
        world.disk.freeze_after(steps);
        let (options, identity) = (options(&world.disk), *world.origin.identity());
        let made = fold(&options, &identity).is_ok();
        for seed in 0..8 {
            let disk = world.disk.crash(seed);
            left += unfinished(&disk).len();
            World::open(disk.clone(), later(), 59).expect("it starts");
            assert_eq!(unfinished(&disk), [] as [PathBuf; 0], "cut after {steps}, seed {seed}");
        }
        if made {
            break;
        }
    }
    assert!(left > 5, "{left}");
    let disk = World::new(NOON, 58).disk.crash_clean();
    disk.create_dir(&Path::new(DIR).join("sets/1")).expect("a directory");
    for name in
        ["trust.json.new", "keys/seal-0123456789abcdef.key.new", "sets/1/gen-0000000100000001.tekd.new"]
    {
        disk.create(&Path::new(DIR).join(name)).expect("a file");
    }
    World::open(disk.clone(), later(), 60).expect("it starts");
    assert_eq!(unfinished(&disk), [] as [PathBuf; 0]);
}

#[test]
fn a_clock_that_went_back_makes_no_base_due_again_and_again() {
    let mut days = Days::new();
    days.pass();
    let world = &mut days.world;
    world.now.unix -= 2 * DAY;
    world.import(SET, keys_of_day(&mut Dice::new(57), NOON, 2, 3));
    world.snapshot();
    assert!(!world.origin.base_is_due(), "nothing came since");
}

fn later() -> tekd::engine::Moment {
    tekd::engine::Moment { unix: NOON + DAYS * DAY + 60, monotonic_ms: 0 }
}

#[test]
fn a_whole_snapshot_that_the_journal_names_otherwise_is_refused() {
    let mut days = Days::new();
    (0..2).for_each(|_| days.pass());
    let (world, dir) = (&mut days.world, snapshots_path(Path::new(DIR)));
    world.snapshot();
    let named = world.disk.list(&dir).expect("snapshots").pop().expect("one");
    let base = world.origin.state().base().expect("a base").snapshot;
    assert_eq!(world.turn(Input::Tick), Ok(tekd::engine::Reply::Done));
    world.origin.idle().expect("the disk is well");
    let disk = world.disk.clone();
    let log_id = world.origin.identity().log_id;
    // The same head, but the state of an event before it.
    let mut other = State::new();
    for record in days.records.iter().take_while(|record| record.seq < base.seq) {
        replay(&mut other, record).expect("it was lived");
    }
    let head = tekd::store::journal::Head { incarnation: 1, gno: base.gno, seq: base.seq, chain: base.chain };
    tekd::store::snapshot::write(&disk, &dir, &log_id, &head, &other.to_bytes()).expect("written");
    let opened = World::open(disk.crash_clean(), later(), 53);
    match opened.map(drop) {
        Err(StartError::Origin(OriginError::OtherSnapshot { snapshot, .. })) => {
            assert_eq!(snapshot, base.seq);
        }
        other => panic!("{other:?}"),
    }
    disk.remove(&named).and_then(|()| disk.sync_dir(&dir)).expect("removed");
    World::open(disk.crash_clean(), later(), 54).expect("the one before is used");
}
