//! The segment that is made ahead: taken when it is ready, done without when it is not.

use std::io;
use std::sync::Mutex;

use super::*;
use crate::store::{DiskFile, Fate, Fault, OperationKind};

const HALF: usize = MIN_SEGMENT as usize / 2;

fn ahead() -> PathBuf {
    Path::new(DIR).join("ahead.new")
}

fn wants(journal: &LocalJournal) -> Option<Ahead> {
    journal.wants_ahead().expect("it has not stopped")
}

/// A journal whose first segment is half full, and the work that it wants.
fn half_full(disk: &MemoryDisk) -> (LocalJournal, Ahead) {
    let mut journal = create(disk);
    append(&mut journal, &[10], NOON).unwrap();
    assert!(wants(&journal).is_none(), "it is not worth it yet");
    append(&mut journal, &[HALF], NOON).unwrap();
    assert!(wants(&journal).is_none(), "the reserve comes first");
    journal.make_room(0, NOON).unwrap();
    let work = wants(&journal).expect("the next segment is wanted");
    (journal, work)
}

/// Fills what is left of a segment, so that the next group needs another.
fn fill(journal: &mut LocalJournal, now_ms: u64) {
    append(journal, &[HALF - 6 * PAGE as usize], now_ms).unwrap();
    append(journal, &[5 * PAGE as usize], now_ms).unwrap();
}

#[test]
fn a_segment_that_is_ready_is_taken_as_it_is() {
    let disk = MemoryDisk::new();
    let (mut journal, work) = half_full(&disk);
    assert!(wants(&journal).is_none(), "one order is out");
    work().unwrap();
    assert!(wants(&journal).is_none(), "one is ready");
    let made = disk.inode(&ahead()).unwrap();
    fill(&mut journal, NOON);
    assert_eq!(disk.inode(&segment(2)).unwrap(), made);
    assert!(disk.inode(&ahead()).is_err(), "it was renamed");
    append(&mut journal, &[HALF], NOON).unwrap();
    assert!(wants(&journal).is_some(), "and the next one is wanted");
    journal.idle().unwrap();
    assert_eq!(check(&disk.crash_clean()).unwrap().head, journal.head());
}

#[test]
fn a_segment_that_is_not_ready_is_made_when_it_is_needed() {
    let disk = MemoryDisk::new();
    let (mut journal, work) = half_full(&disk);
    fill(&mut journal, NOON);
    assert!(disk.inode(&segment(2)).is_ok());
    work().unwrap();
    let made = disk.inode(&ahead()).unwrap();
    assert!(wants(&journal).is_none(), "what came late is for the next one");
    append(&mut journal, &[HALF], NOON).unwrap();
    fill(&mut journal, NOON);
    assert_eq!(disk.inode(&segment(3)).unwrap(), made);
    journal.idle().unwrap();
    assert_eq!(check(&disk.crash_clean()).unwrap().head, journal.head());
}

#[test]
fn an_order_that_nobody_carries_out_is_given_again() {
    let disk = MemoryDisk::new();
    let (journal, work) = half_full(&disk);
    drop(work);
    assert!(wants(&journal).is_some());
}

fn is_full(made: &Result<(), JournalError>) -> bool {
    made.as_ref().is_err_and(segment::is_full)
}

#[test]
fn what_finds_no_space_is_left_to_the_journal() {
    let disk = MemoryDisk::new();
    let (mut journal, work) = half_full(&disk);
    disk.set_quota(Path::new(DIR), Some(disk.used(Path::new(DIR)) + MIN_SEGMENT / 2));
    assert!(is_full(&work()));
    assert!(wants(&journal).is_none(), "a full disk is not asked at every turn");
    disk.set_quota(Path::new(DIR), None);
    fill(&mut journal, NOON);
    append(&mut journal, &[HALF], NOON).unwrap();
    assert!(wants(&journal).is_some(), "the next one may find some");
    let names = disk.list(Path::new(DIR)).unwrap();
    assert!(names.iter().all(|name| name.extension().is_none_or(|end| end != "new")), "{names:?}");
}

#[test]
fn a_disk_that_fails_while_it_is_made_stops_the_journal() {
    for kind in [OperationKind::Create, OperationKind::Write, OperationKind::Sync] {
        let disk = MemoryDisk::new();
        let (mut journal, work) = half_full(&disk);
        disk.fail(kind, 1, Fault::Eio);
        let error = work().unwrap_err().to_string();
        let stopped = append(&mut journal, &[1], NOON).unwrap_err();
        assert!(matches!(&stopped, AppendError::Stopped { first } if *first == error), "{kind:?}: {stopped}");
        assert!(journal.make_room(1, NOON).is_err() && journal.idle().is_err(), "{kind:?}");
        assert!(journal.wants_ahead().is_err(), "who asks for work hears of it, though nothing is appended");
    }
}

#[test]
fn one_that_somebody_took_away_or_cut_is_made_when_it_is_needed() {
    for cut in [false, true] {
        let disk = MemoryDisk::new();
        let (mut journal, work) = half_full(&disk);
        work().unwrap();
        disk.remove(&ahead()).unwrap();
        if cut {
            disk.create(&ahead()).unwrap().write_all_at(&[0; 8192], 0).unwrap();
        }
        fill(&mut journal, NOON);
        journal.idle().unwrap();
        assert_eq!(check(&disk.crash_clean()).unwrap().head, journal.head());
    }
}

#[test]
fn on_a_full_disk_what_is_ready_is_used_and_the_reserve_comes_before_it() {
    let disk = MemoryDisk::new();
    let (mut journal, work) = half_full(&disk);
    work().unwrap();
    // A header, a group of one page, one of half a segment and a page; then the reserve and the one ahead.
    let left = MIN_SEGMENT / 2 - 3 * PAGE;
    assert_eq!(journal.room(), left + 2 * (MIN_SEGMENT - PAGE));
    disk.set_quota(Path::new(DIR), Some(disk.used(Path::new(DIR))));
    fill(&mut journal, NOON);
    assert!(disk.inode(&segment(2)).is_ok(), "it needs no space");
    append(&mut journal, &[HALF], NOON).unwrap();
    assert!(is_full(&wants(&journal).expect("nobody knows that it is full")()));

    // The reserve is used up, and what was made ahead meanwhile becomes the reserve.
    let disk = MemoryDisk::new();
    let (mut journal, work) = half_full(&disk);
    let quota = disk.used(Path::new(DIR)) + MIN_SEGMENT;
    disk.set_quota(Path::new(DIR), Some(quota));
    disk.fail(OperationKind::Create, 1, Fault::Enospc);
    fill(&mut journal, NOON);
    assert!(!disk.list(Path::new(DIR)).unwrap().contains(&Path::new(DIR).join("reserve.spare")));
    work().unwrap();
    journal.make_room(0, NOON + 60_000).unwrap();
    assert!(disk.inode(&Path::new(DIR).join("reserve.spare")).is_ok());
    assert!(disk.inode(&ahead()).is_err(), "its space was given back");
}

/// A full disk with a segment of two MiB ready, beside a first one of one.
fn full_with_one_ready(disk: &MemoryDisk, free: u64) -> LocalJournal {
    let options = Options { segment_bytes: 4 * MIN_SEGMENT, ..OPTIONS };
    let mut journal = LocalJournal::create(shared(disk), Path::new(DIR), LOG, 1, options).unwrap();
    append(&mut journal, &[HALF], NOON).unwrap();
    journal.make_room(0, NOON).unwrap();
    wants(&journal).expect("twice as long")().unwrap();
    disk.set_quota(Path::new(DIR), Some(disk.used(Path::new(DIR)) + free));
    journal
}

#[test]
fn on_a_full_disk_one_of_another_length_is_taken_if_it_is_long_enough() {
    let disk = MemoryDisk::new();
    let mut journal = full_with_one_ready(&disk, 0);
    let made = disk.inode(&ahead()).unwrap();
    // The day is over: one MiB is due.
    append(&mut journal, &[10], NOON + DAY_MS).unwrap();
    assert_eq!(disk.inode(&segment(2)).unwrap(), made);
    assert!(disk.inode(&Path::new(DIR).join("reserve.spare")).is_ok(), "the reserve is as it was");
    journal.idle().unwrap();
    assert_eq!(check(&disk.crash_clean()).unwrap().head, journal.head());
}

#[test]
fn on_a_full_disk_one_that_is_too_short_gives_its_space_to_a_long_group() {
    let disk = MemoryDisk::new();
    let mut journal = full_with_one_ready(&disk, 2 * MIN_SEGMENT);
    append(&mut journal, &[3 * MIN_SEGMENT as usize], NOON).unwrap();
    assert!(disk.inode(&ahead()).is_err());
    assert!(disk.open(&segment(2)).unwrap().len().unwrap() > 3 * MIN_SEGMENT);
    let too_long = append(&mut journal, &[30 * MIN_SEGMENT as usize], NOON + 60_000).unwrap_err();
    assert!(matches!(too_long, AppendError::Full { .. }), "{too_long}");
    append(&mut journal, &[10], NOON + 120_000).unwrap();
}

#[test]
fn what_becomes_ready_while_a_segment_is_made_is_for_the_next() {
    let (disk, work) = (MemoryDisk::new(), Arc::default());
    let beside = Arc::new(Beside { disk: disk.clone(), work: Arc::clone(&work), fails: false });
    let mut journal = LocalJournal::create(beside, Path::new(DIR), LOG, 1, OPTIONS).unwrap();
    append(&mut journal, &[HALF], NOON).unwrap();
    journal.make_room(0, NOON).unwrap();
    *work.lock().unwrap() = wants(&journal);
    // The first write of this is one of zeros, into the second segment.
    append(&mut journal, &[HALF], NOON).unwrap();
    assert!(disk.inode(&segment(2)).is_ok() && disk.inode(&ahead()).is_ok());
}

#[test]
fn a_segment_of_another_length_goes() {
    let disk = MemoryDisk::new();
    let options = Options { segment_bytes: 4 * MIN_SEGMENT, ..OPTIONS };
    let mut journal = LocalJournal::create(shared(&disk), Path::new(DIR), LOG, 1, options).unwrap();
    append(&mut journal, &[HALF], NOON).unwrap();
    journal.make_room(0, NOON).unwrap();
    wants(&journal).expect("twice as long")().unwrap();
    assert_eq!(disk.open(&ahead()).unwrap().len().unwrap(), 2 * MIN_SEGMENT);
    // The day is over before the segment is full: the next one is as long as what came on it.
    append(&mut journal, &[10], NOON + DAY_MS).unwrap();
    assert_eq!(disk.open(&segment(2)).unwrap().len().unwrap(), 2 * MIN_SEGMENT);
    append(&mut journal, &[2 * HALF], NOON + DAY_MS).unwrap();
    wants(&journal).expect("four times as long")().unwrap();
    append(&mut journal, &[3 * MIN_SEGMENT as usize + HALF], NOON + DAY_MS).unwrap();
    assert!(disk.inode(&ahead()).is_err(), "it was longer than what is due after that group");
    journal.idle().unwrap();
    assert_eq!(check(&disk.crash_clean()).unwrap().head, journal.head());
}

#[test]
fn a_start_removes_what_was_made_ahead() {
    let disk = MemoryDisk::new();
    let (journal, work) = half_full(&disk);
    work().unwrap();
    let (kept, dropped) = (disk.crash_as(&vec![Fate::Kept; disk.loose().len()]), disk.crash_clean());
    assert!(kept.inode(&ahead()).is_ok() && dropped.inode(&ahead()).is_err(), "its name is not durable yet");
    for cut in [kept, dropped] {
        let (again, _) = open(&cut).unwrap();
        assert_eq!(again.head(), journal.head());
        assert!(cut.inode(&ahead()).is_err());
    }
}

/// A disk on which, while the next group is written, somebody else is at work.
struct Beside {
    disk: MemoryDisk,
    work: Arc<Mutex<Option<Ahead>>>,
    /// Whether the work meets an error.
    fails: bool,
}

struct BesideFile {
    file: Box<dyn DiskFile>,
    work: Arc<Mutex<Option<Ahead>>>,
    fails: bool,
}

impl DiskFile for BesideFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let work = self.work.lock().unwrap().take();
        let made = work.map(|work| work());
        assert!(made.is_none_or(|made| made.is_err() == self.fails));
        self.file.write_all_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

impl Disk for Beside {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.create(path)?;
        Ok(Box::new(BesideFile { file, work: Arc::clone(&self.work), fails: self.fails }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.open_write(path)?;
        Ok(Box::new(BesideFile { file, work: Arc::clone(&self.work), fails: self.fails }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        self.disk.inode(path)
    }

    fn born(&self, path: &Path) -> io::Result<u64> {
        self.disk.born(path)
    }
}

#[test]
fn an_error_met_while_a_group_is_written_keeps_that_group_from_being_confirmed() {
    let (disk, work) = (MemoryDisk::new(), Arc::default());
    let beside = Arc::new(Beside { disk: disk.clone(), work: Arc::clone(&work), fails: true });
    let mut journal = LocalJournal::create(beside, Path::new(DIR), LOG, 1, OPTIONS).unwrap();
    append(&mut journal, &[HALF], NOON).unwrap();
    journal.make_room(0, NOON).unwrap();
    let head = journal.head();
    *work.lock().unwrap() = wants(&journal);
    disk.fail(OperationKind::Sync, 1, Fault::Eio);
    let unconfirmed = append(&mut journal, &[10], NOON).unwrap_err();
    assert!(matches!(unconfirmed, AppendError::Stopped { .. }), "{unconfirmed}");
    assert_eq!(journal.head(), head);
    assert!(work.lock().unwrap().is_none(), "it was at work");
}

#[test]
fn it_is_made_beside_a_writer_that_does_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut journal = LocalJournal::create(Arc::clone(&disk), dir.path(), LOG, 1, OPTIONS).unwrap();
    journal.make_room(0, NOON).unwrap();
    let mut orders = 0;
    std::thread::scope(|threads| {
        for _ in 0..200 {
            append(&mut journal, &[100_000], NOON).unwrap();
            if let Some(work) = wants(&journal) {
                orders += 1;
                let made = threads.spawn(move || work().unwrap());
                // Of two, one is ready in time for sure.
                if orders % 2 == 0 {
                    made.join().unwrap();
                }
            }
        }
    });
    assert!(orders > 5, "{orders}");
    journal.idle().unwrap();
    let segments = segment::list(&*disk, dir.path(), &LOG).unwrap();
    assert!(segments.len() > 15, "{}", segments.len());
    assert_eq!(verify(disk, dir.path(), &mut |_, _| {}).unwrap().head, journal.head());
}
