//! The files of format 1 as they were frozen: today's tekd writes the same bytes, and reads what was written
//! then.
//!
//! `format-1/` holds the files of one small directory, without its keys, which come from the seed again, and
//! without the zeros at the end of a segment. A later format gets a directory of its own; this one stays.
//! `format-1-coarser-index/` holds what other files it had when the index of a generation was coarser: such
//! are still read (5.6.6).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tekd::engine::{Moment, ParamsChange, Rebuild, Rebuilt, Recompute, ReportReply, ReportRequest};
use tekd::node::{first_state, journal_path, set_path, snapshots_path};
use tekd::store::generation::{Generation, generations};
use tekd::store::{DIRECTORY_FORMAT, Disk, Identity, MemoryDisk, MemoryMode, read_file};
use tekd::wire::report::Outcome;

use super::phone::{Phone, days};
use super::world::{DIR, Dice, NOON, World, keys_of_day, records};

const SET: u32 = 1;
const SEED: u64 = 71;
/// The table that the newest release left.
const NEWEST: &str = "sets/1/gen-0000000100000002.tekd";
/// Where a generation says how fine its index is (spec 5.6.3).
const INDEX_BITS_AT: usize = 51;
/// Where a segment's header has the length of its file (spec 5.3.4).
const SEGMENT_LEN_AT: usize = 40;

/// What a phone asked, and what it was told.
type Told = (ReportRequest, ReportReply);

/// A short life with a provider, codes, reports, imports, a withdrawal, releases, a base and what comes
/// after it.
fn lived() -> (MemoryDisk, Told) {
    let mut dice = Dice::new(SEED);
    let mut world = World::new(NOON, SEED);
    world.configure(SET, ParamsChange { decoys: Some(false), ..ParamsChange::default() });
    let ward = world.provider("ward");
    let codes = world.codes(ward, SET, 3).codes;
    let phone = Phone::new(&mut dice, SET);
    let asked = phone.submit(codes[0], days(&mut dice, NOON, 1, 3));
    let told = world.report(&asked);
    assert_eq!(told.outcome, Outcome::Done);
    let keys = keys_of_day(&mut dice, NOON, 2, 9);
    let mistaken = keys[0].key;
    world.import(SET, keys);
    world.pass(900);
    world.release(SET, true).expect("a release");
    world.withdraw(SET, mistaken, false).expect("a withdrawal");
    world.snapshot();
    world.import(SET, keys_of_day(&mut dice, NOON, 3, 4));
    world.pass(900);
    world.release(SET, true).expect("a release");
    world.origin.idle().expect("the disk is well");
    (world.disk.crash_clean(), (asked, told))
}

fn is_segment(file: &Path) -> bool {
    file.extension().is_some_and(|end| end == "journal")
}

/// Where an identity has the inode number of its file, which is the disk's affair, and its checksum.
const OF_THE_DISK: [std::ops::Range<usize>; 2] = [40..48, 124..128];

/// Every file but keys, locks and the reserve, by its path below the directory.
fn files(disk: &MemoryDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let dir = Path::new(DIR);
    let dirs = [dir.to_path_buf(), journal_path(dir), snapshots_path(dir), set_path(dir, SET)];
    let mut found = BTreeMap::new();
    for file in dirs.iter().flat_map(|dir| disk.list(dir).expect("a directory")) {
        if file.extension().is_some_and(|end| end == "spare") {
            continue;
        }
        let mut bytes = read_file(disk, &file, 1 << 26).expect("a file");
        if is_segment(&file) {
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes.truncate(end);
        }
        if file.ends_with("identity") {
            OF_THE_DISK.into_iter().for_each(|range| bytes[range].fill(0));
        }
        found.insert(file.strip_prefix(dir).expect("below it").to_path_buf(), bytes);
    }
    found
}

fn frozen() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/origin/format-1")
}

/// The files that were others before.
fn frozen_before() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/origin/format-1-coarser-index")
}

/// The frozen files on a disk, those in one of `dirs` that comes first, with the keys of the life they come
/// from.
fn thawed(lived: &MemoryDisk, dirs: &[PathBuf]) -> MemoryDisk {
    let (disk, dir) = (MemoryDisk::new(), Path::new(DIR));
    let write = |file: &Path, bytes: &[u8]| {
        disk.create_dir(file.parent().expect("a directory")).expect("made");
        disk.create(file)
            .and_then(|open| open.write_all_at(bytes, 0).and_then(|()| open.sync()))
            .expect("written");
    };
    for name in files(lived).keys() {
        let mut frozen = dirs.iter().filter_map(|dir| std::fs::read(dir.join(name)).ok());
        let mut bytes = frozen.next().expect("a frozen file");
        if is_segment(name) {
            let len = bytes[SEGMENT_LEN_AT..SEGMENT_LEN_AT + 8].try_into().expect("eight bytes");
            bytes.resize(u64::from_le_bytes(len) as usize, 0);
        }
        if name.ends_with("identity") {
            let crc = crc32c::crc32c(&bytes[..124]).to_le_bytes();
            bytes[124..].copy_from_slice(&crc);
        }
        write(&dir.join(name), &bytes);
    }
    for key in lived.list(&dir.join("keys")).expect("keys") {
        write(&key, &read_file(lived, &key, 1 << 12).expect("a key"));
    }
    disk
}

#[test]
fn what_is_written_today_is_what_was_frozen() {
    let (disk, _) = lived();
    let written = files(&disk);
    if let Some(dir) = std::env::var_os("TEKD_FREEZE") {
        for (name, bytes) in &written {
            let file = Path::new(&dir).join(name);
            std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
            std::fs::write(file, bytes).expect("written");
        }
    }
    assert!(written.len() >= 8, "identity, trust, head, segment, snapshot, two generations, what was shown");
    for (name, bytes) in &written {
        let before = std::fs::read(frozen().join(name)).unwrap_or_default();
        let differs = before.iter().zip(bytes).position(|(a, b)| a != b);
        assert!(
            before == *bytes,
            "{} has {} bytes, frozen are {}, other from byte {differs:?} on: a changed file needs a new format",
            name.display(),
            bytes.len(),
            before.len()
        );
    }
}

#[test]
fn what_was_frozen_is_served_and_rebuilt() {
    let rebuilt = served_and_rebuilt(&[frozen()]);
    let newest = std::fs::read(frozen().join(NEWEST)).expect("a frozen file");
    assert!(rebuilt.bytes() == newest);
}

#[test]
fn what_was_frozen_with_a_coarser_index_is_served_and_rebuilt() {
    let before = std::fs::read(frozen_before().join(NEWEST)).expect("a frozen file");
    let now = std::fs::read(frozen().join(NEWEST)).expect("a frozen file");
    assert_ne!(before[INDEX_BITS_AT], now[INDEX_BITS_AT], "another index");
    served_and_rebuilt(&[frozen_before(), frozen()]);
}

/// Serves what is thawed from `dirs`, and rebuilds its set, whose table is returned.
fn served_and_rebuilt(dirs: &[PathBuf]) -> Arc<Generation> {
    let (lived, (asked, told)) = lived();
    let (disk, dir) = (thawed(&lived, dirs), Path::new(DIR));
    let kept = records(&disk, 1);
    let medium: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut rebuild =
        Rebuild::from_state(first_state(&medium, dir).expect("event one"), Recompute::EverySerial)
            .expect("no table");
    kept.iter().for_each(|record| rebuild.push(record).expect("every root as it was signed"));
    let Rebuilt { state, tables, .. } = rebuild.finish().expect("as it was signed");
    let (_, newest) = generations(&disk, &set_path(dir, SET)).expect("generations").remove(0);
    let rebuilt = Arc::clone(&tables[&SET].generation);
    let served = Generation::open(&disk, &newest, MemoryMode::Copy).expect("as it was written");
    assert_eq!((served.entry_bytes(), served.node_bytes()), (rebuilt.entry_bytes(), rebuilt.node_bytes()));
    // From the snapshot it is the same, and who was confirmed is told the same.
    let stated = Identity::stated(&disk, dir).expect("an identity");
    assert_eq!(stated.format, 1, "older than or as {DIRECTORY_FORMAT}");
    Identity::adopt(&disk, dir, 0).expect("adopted: it has another inode here");
    let now = Moment { unix: NOON + 2000, monotonic_ms: 0 };
    let mut world = World::open(disk, now, SEED + 1).expect("it is served");
    let again = world.report(&asked);
    assert!(told.receipt.is_some() && again.receipt == told.receipt && again.verdicts == told.verdicts);
    assert_eq!(world.set(SET).live(), state.set(SET).expect("the set").live());
    world.pass(900);
    world.release(SET, true).expect("it goes on");
    rebuilt
}
