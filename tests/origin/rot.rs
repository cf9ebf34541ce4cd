//! Rot: after a clean stop, each byte of the journal up to its head, of the head file, of the newest snapshot
//! and of the newest generation, one bit of it flipped and then all of them.
//!
//! Journal, snapshot and generation: all of it is detected, and nothing of the file is used. Head file: its
//! two slots are judged alone, so a flip costs at most the newer one; the older names an earlier group, all
//! after it is whole, and nothing is cut. Behind the head a flip is cut off like a group that was never
//! written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tekd::engine::{Input, Moment};
use tekd::node::{journal_path, set_path, snapshots_path};
use tekd::store::generation::{Generation, generations};
use tekd::store::journal::{
    Head, Journal, JournalError, JournalReader, LocalJournal, Options, Record, closed_segments, verify,
};
use tekd::store::{Disk, Identity, MemoryDisk, MemoryMode, read_file, snapshot};

use super::world::{DIR, Dice, NOON, World, keys_of_day, records};

const SET: u32 = 1;
const PAGE: u64 = 4096;
const DAY: u64 = 86_400;
/// Of so many flips one is followed by a whole start.
const STARTED: u64 = 31;

/// What readers see of a set: version and table.
type Shown = (u64, Vec<u8>);

/// A small origin, stopped cleanly.
struct Stopped {
    disk: MemoryDisk,
    now: u64,
    log_id: [u8; 16],
    head: Head,
    records: Vec<Record>,
    shown: Shown,
    segments: Vec<PathBuf>,
}

fn shown(world: &World) -> Shown {
    let view = world.view.load();
    let release = view.set(SET).and_then(|s| s.release.as_ref()).expect("a release");
    (release.checkpoint.version(), release.generation.bytes().to_vec())
}

fn head(disk: &MemoryDisk) -> Option<Head> {
    let log_id = Identity::open(disk, Path::new(DIR)).expect("an identity").log_id;
    LocalJournal::look(disk, &journal_path(Path::new(DIR)), &log_id).ok()
}

/// The records before the first damage.
fn readable(disk: &MemoryDisk) -> Vec<Record> {
    let medium: Arc<dyn Disk> = Arc::new(disk.clone());
    let reader = JournalReader::open(medium, &journal_path(Path::new(DIR))).into_iter().flatten();
    reader.map_while(Result::ok).flat_map(|group| group.records).collect()
}

/// A few groups in each of two segments, a snapshot between them, and a generation.
fn stopped() -> Stopped {
    let mut world = World::new(NOON, 41);
    let mut dice = Dice::new(41);
    let change =
        tekd::engine::ParamsChange { decoys: Some(false), min_reports: Some(1), ..Default::default() };
    world.configure(SET, change);
    world.import(SET, keys_of_day(&mut dice, NOON, 2, 12));
    world.pass(DAY);
    world.tick();
    world.origin.idle().expect("the disk is well");
    world.snapshot();
    world.import(SET, keys_of_day(&mut dice, NOON, 2, 3));
    assert_eq!(world.turn(Input::Tick), Ok(tekd::engine::Reply::Done));
    world.origin.idle().expect("the disk is well");
    let (disk, now, shown) = (world.disk.clone(), world.now.unix, shown(&world));
    drop(world);
    let journal = journal_path(Path::new(DIR));
    let names = disk.list(&journal).expect("a journal").into_iter();
    let segments: Vec<PathBuf> =
        names.filter(|name| name.extension().is_some_and(|e| e == "journal")).collect();
    assert_eq!(segments.len(), 2);
    let log_id = Identity::open(&disk, Path::new(DIR)).expect("an identity").log_id;
    let head = head(&disk).expect("a whole journal");
    Stopped { records: records(&disk, 1), disk, now, log_id, head, shown, segments }
}

impl Stopped {
    /// Where the journal's bytes in a segment end.
    fn end_of(&self, segment: &Path) -> u64 {
        let bytes = read_file(&self.disk, segment, 1 << 26).expect("a segment");
        let last = bytes.iter().rposition(|byte| *byte != 0).expect("a header") as u64;
        (last + 1).next_multiple_of(PAGE)
    }

    /// A start on a copy of the disk: what can then be read of its journal, and what it shows; or why not.
    fn start(&self) -> Result<(Vec<Record>, Shown), String> {
        let now = Moment { unix: self.now + 1, monotonic_ms: 0 };
        let world = World::open(self.disk.crash_clean(), now, 42).map_err(|error| error.to_string())?;
        Ok((readable(&world.disk), shown(&world)))
    }

    /// It starts, and has and shows what it had and showed.
    fn is_unharmed(&self, what: &str) {
        let (records, shown) = self.start().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(records == self.records, "{what}: other records");
        assert!(shown == self.shown, "{what}: readers see something else");
    }

    /// Does `judge` after each flip of each byte of `file` before `end`; the flip is undone. How many.
    fn flipped(&self, file: &Path, end: u64, mut judge: impl FnMut(u64, &str)) -> u64 {
        let mut flips = 0;
        for offset in 0..end {
            for mask in [1 << (offset % 8), 0xff] {
                self.disk.damage(file, offset, mask).expect("a byte");
                flips += 1;
                judge(flips, &format!("byte {offset} of {} ^ {mask:#04x}", file.display()));
                self.disk.damage(file, offset, mask).expect("a byte");
            }
        }
        println!("{}: {flips} flips", file.display());
        flips
    }
}

#[test]
fn every_flipped_byte_of_the_journal_is_detected_and_nothing_is_cut() {
    let stopped = stopped();
    stopped.is_unharmed("no flip");
    let dir = journal_path(Path::new(DIR));
    let medium: Arc<dyn Disk> = Arc::new(stopped.disk.clone());
    for (nth, segment) in stopped.segments.iter().enumerate() {
        let end = stopped.end_of(segment);
        assert!(end >= 3 * PAGE, "a few groups");
        stopped.flipped(segment, end, |flips, what| {
            assert!(verify(Arc::clone(&medium), &dir, &mut |_, _| ()).is_err(), "{what}: undetected");
            let newest = nth + 1 == stopped.segments.len();
            let looked = LocalJournal::look(&*medium, &dir, &stopped.log_id);
            if newest {
                assert!(looked.is_err(), "{what}: a start does not detect it");
            } else {
                // A snapshot stands for it: a start does not read its groups, and cuts nothing.
                assert!(looked.is_err() || looked.is_ok_and(|head| head == stopped.head), "{what}");
            }
            if flips.is_multiple_of(STARTED) {
                let read = readable(&stopped.disk);
                assert!(stopped.records.starts_with(&read), "{what}: a wrong record is read");
                match stopped.start() {
                    Err(_) => {}
                    Ok(_) if newest => panic!("{what}: it starts"),
                    Ok((read, shown)) => {
                        assert!(shown == stopped.shown, "{what}: wrong bytes are served");
                        assert!(stopped.records.starts_with(&read), "{what}: a wrong record is read");
                    }
                }
            }
        });
    }
}

#[test]
fn a_flip_behind_the_groups_of_a_closed_segment_is_detected() {
    let stopped = stopped();
    let dir = journal_path(Path::new(DIR));
    let medium: Arc<dyn Disk> = Arc::new(stopped.disk.clone());
    let closed = closed_segments(&*medium, &dir, &stopped.log_id).expect("headers are whole");
    let [segment] = &closed[..] else { panic!("one of two is closed") };
    let (begin, end) = (stopped.end_of(segment.file()), segment.bytes());
    assert!(begin < end && stopped.segments[0] == segment.file());
    let layout = Options { segment_bytes: 1 << 20, check_all: true };
    for offset in (begin..end).step_by(4001).chain(begin..begin + 70).chain(end - 70..end) {
        stopped.disk.damage(segment.file(), offset, 1 << (offset % 8)).expect("a byte");
        let found = verify(Arc::clone(&medium), &dir, &mut |_, _| ()).expect_err("undetected");
        assert!(
            matches!(&found, JournalError::Corrupt { offset: told, file, .. }
                if file == segment.file() && *told == offset / PAGE * PAGE),
            "byte {offset}: {found}"
        );
        assert!(segment.verify(&*medium, &mut |_| true).is_err(), "byte {offset}: the scrubber");
        let opened: Arc<dyn Disk> = Arc::new(stopped.disk.crash_clean());
        assert!(LocalJournal::open(opened, &dir, stopped.log_id, 1, layout).is_err(), "byte {offset}");
        stopped.disk.damage(segment.file(), offset, 1 << (offset % 8)).expect("a byte");
    }
    assert!(segment.verify(&*medium, &mut |_| true).expect("whole again"));
    stopped.is_unharmed("no flip");
}

#[test]
fn a_flip_behind_the_head_is_cut_off_and_harms_nothing() {
    let stopped = stopped();
    let segment = stopped.segments.last().expect("two");
    let (begin, end) = (stopped.end_of(segment), 1 << 20);
    for offset in (begin..end).step_by(40_007).chain(begin..begin + 200) {
        let what = format!("byte {offset}");
        stopped.disk.damage(segment, offset, 0xff).expect("a byte");
        assert_eq!(head(&stopped.disk), Some(stopped.head), "{what}");
        if offset % 16 == 0 || offset > begin + 200 {
            stopped.is_unharmed(&what);
        }
        stopped.disk.damage(segment, offset, 0xff).expect("a byte");
    }
}

#[test]
fn a_flipped_byte_of_the_head_file_costs_one_of_two_slots_and_cuts_nothing() {
    let stopped = stopped();
    let dir = journal_path(Path::new(DIR));
    let layout = Options { segment_bytes: 1 << 20, check_all: true };
    stopped.flipped(&dir.join("head"), 2 * PAGE, |flips, what| {
        assert_eq!(head(&stopped.disk), Some(stopped.head), "{what}");
        if flips.is_multiple_of(STARTED) {
            let medium: Arc<dyn Disk> = Arc::new(stopped.disk.crash_clean());
            let (journal, recovered) =
                LocalJournal::open(medium, &dir, stopped.log_id, 1, layout).expect("it opens");
            assert_eq!((journal.head(), recovered.cut), (stopped.head, None), "{what}");
            stopped.is_unharmed(what);
        }
    });
}

#[test]
fn a_flipped_byte_of_a_snapshot_is_detected_and_the_journal_is_read_instead() {
    let stopped = stopped();
    let dir = snapshots_path(Path::new(DIR));
    let file = stopped.disk.list(&dir).expect("snapshots").pop().expect("one");
    let end = stopped.disk.open(&file).and_then(|file| file.len()).expect("a snapshot");
    stopped.flipped(&file, end, |flips, what| {
        let found = snapshot::newest_valid(&stopped.disk, &dir, &stopped.log_id).expect("a directory");
        assert!(found.snapshot.is_none() && found.skipped.len() == 1, "{what}: undetected");
        if flips.is_multiple_of(STARTED) {
            stopped.is_unharmed(what);
        }
    });
}

#[test]
fn a_flipped_byte_of_a_generation_is_detected_and_it_is_made_again() {
    let stopped = stopped();
    let dir = set_path(Path::new(DIR), SET);
    let (_, file) = generations(&stopped.disk, &dir).expect("a directory").remove(0);
    let end = stopped.disk.open(&file).and_then(|file| file.len()).expect("a generation");
    stopped.flipped(&file, end, |flips, what| {
        assert!(Generation::open(&stopped.disk, &file, MemoryMode::Copy).is_err(), "{what}: undetected");
        if flips.is_multiple_of(STARTED) {
            stopped.is_unharmed(what);
        }
    });
}
