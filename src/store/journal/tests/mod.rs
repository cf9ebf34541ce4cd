//! The journal against disks that fail, forget and rot.

mod ahead;
mod crash;
mod damage;
mod mirror;
mod room;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::PAGE;
use super::*;
use crate::store::{Disk, MemoryDisk, Operation, RealDisk};

const LOG: LogId = [0xA5; 16];
const DIR: &str = "/data/journal";
const OPTIONS: Options = Options { segment_bytes: MIN_SEGMENT, check_all: true };
const DAY_MS: u64 = 86_400_000;
const NOON: u64 = 20_000 * DAY_MS + DAY_MS / 2;

fn shared(disk: &MemoryDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn create(disk: &MemoryDisk) -> LocalJournal {
    LocalJournal::create(shared(disk), Path::new(DIR), LOG, 1, OPTIONS).unwrap()
}

fn open(disk: &MemoryDisk) -> Result<(LocalJournal, Recovered), JournalError> {
    LocalJournal::open(shared(disk), Path::new(DIR), LOG, 1, OPTIONS)
}

fn read(disk: &MemoryDisk) -> JournalReader {
    JournalReader::open(shared(disk), Path::new(DIR)).unwrap()
}

fn check(disk: &MemoryDisk) -> Result<Verified, JournalError> {
    verify(shared(disk), Path::new(DIR), &mut |_, _| {})
}

fn segment(number: u32) -> PathBuf {
    Path::new(DIR).join(format!("segment-{number:010}.journal"))
}

/// The record `seq`: everything in it follows from the number.
fn record(seq: u64, len: usize) -> Record {
    let payload = (0..len).map(|i| (seq as usize * 31 + i * 7) as u8).collect();
    Record { kind: seq as u16 % 9, version: 1, seq, time_s: seq * 10, payload }
}

fn records(after: u64, lens: &[usize]) -> Vec<Record> {
    lens.iter().zip(after + 1..).map(|(len, seq)| record(seq, *len)).collect()
}

fn append(journal: &mut LocalJournal, lens: &[usize], now_ms: u64) -> Result<Head, AppendError> {
    let head = journal.head();
    journal.append(&head, &records(head.seq, lens), now_ms)
}

/// Every record from `seq` on, checked to be itself.
fn sequence(reader: JournalReader) -> Vec<u64> {
    let groups = reader.map(|group| group.unwrap());
    let all: Vec<Record> = groups.flat_map(|group| group.records).collect();
    for read in &all {
        assert_eq!(*read, record(read.seq, read.payload.len()));
    }
    all.iter().map(|record| record.seq).collect()
}

#[test]
fn what_is_appended_is_read_back_in_order_with_its_chain() {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    assert_eq!(journal.acquire().unwrap(), Head::genesis(&LOG, 1));
    let mut heads = Vec::new();
    for lens in [&[0, 1, 8][..], &[5000], &[7; 40]] {
        heads.push(append(&mut journal, lens, NOON).unwrap());
    }
    journal.idle().unwrap();
    let groups: Vec<Group> = read(&disk).map(|group| group.unwrap()).collect();
    assert_eq!(groups.iter().map(|group| group.head).collect::<Vec<_>>(), heads);
    assert_eq!(sequence(read(&disk)), (1..=44).collect::<Vec<_>>());
    let from = |seq| sequence(JournalReader::from_seq(shared(&disk), Path::new(DIR), seq).unwrap());
    assert_eq!(from(3), (3..=44).collect::<Vec<_>>());
    assert_eq!(from(45), Vec::<u64>::new());
    let (journal, recovered) = open(&disk.crash_clean()).unwrap();
    assert_eq!(journal.head(), heads[2]);
    let base = Head::genesis(&LOG, 1);
    assert_eq!(recovered, Recovered { groups: 3, events: 44, base, cut: None, damaged_slot: None });
    assert_eq!(check(&disk).unwrap(), Verified { events: 44, groups: 3, head: heads[2] });
}

#[test]
fn a_group_is_refused_whole_when_it_does_not_fit_the_head_or_the_limits() {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    let genesis = journal.head();
    let head = append(&mut journal, &[1], NOON).unwrap();
    let stale = journal.append(&genesis, &records(0, &[1]), NOON);
    assert!(matches!(stale, Err(AppendError::Conflict(now)) if now == head));
    let gap = journal.append(&head, &records(5, &[1]), NOON);
    assert!(matches!(gap, Err(AppendError::Sequence { index: 0, found: 6, expected: 2 })));
    assert!(matches!(journal.append(&head, &[], NOON), Err(AppendError::Empty)));
    let big = append(&mut journal, &[MAX_GROUP as usize], NOON);
    assert!(matches!(big, Err(AppendError::TooLarge { max: MAX_GROUP, .. })));
    assert_eq!(append(&mut journal, &[1], NOON).unwrap().gno, 2);
}

#[test]
fn one_group_is_one_write_of_whole_pages_and_one_sync() {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    append(&mut journal, &[1], NOON).unwrap();
    let before = disk.operations().len();
    append(&mut journal, &[5000], NOON).unwrap();
    let write = Operation::Write { path: segment(1), offset: 2 * PAGE, len: 2 * PAGE as usize };
    assert_eq!(disk.operations()[before..], [write, Operation::Sync(segment(1))]);
}

#[test]
fn a_journal_on_a_real_disk_takes_ten_megabytes_in_one_group_and_is_read_back() {
    let real = tempfile::tempdir().unwrap();
    let (disk, dir) = (Arc::new(RealDisk) as Arc<dyn Disk>, real.path().join("journal"));
    let options = Options::default();
    let mut journal = LocalJournal::create(Arc::clone(&disk), &dir, LOG, 1, options).unwrap();
    append(&mut journal, &[100; 3], NOON).unwrap();
    append(&mut journal, &[1000; 10_000], NOON).unwrap();
    let head = append(&mut journal, &[100], NOON).unwrap();
    journal.idle().unwrap();
    drop(journal);
    let (journal, recovered) = LocalJournal::open(Arc::clone(&disk), &dir, LOG, 1, options).unwrap();
    assert_eq!((journal.head(), recovered.events, recovered.cut), (head, 10_004, None));
    let from = JournalReader::from_seq(disk, &dir, 10_000).unwrap();
    assert_eq!(sequence(from), [10_000, 10_001, 10_002, 10_003, 10_004]);
}

#[test]
fn segments_close_when_full_and_when_the_day_is_over_and_large_groups_get_their_own() {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    append(&mut journal, &[600_000], NOON).unwrap();
    append(&mut journal, &[600_000], NOON).unwrap();
    append(&mut journal, &[10], NOON + DAY_MS).unwrap();
    append(&mut journal, &[10], NOON).unwrap();
    append(&mut journal, &[10 << 20], NOON + DAY_MS).unwrap();
    append(&mut journal, &[10], NOON + DAY_MS).unwrap();
    journal.idle().unwrap();
    let lens: Vec<u64> = (1..=5).map(|n| disk.open(&segment(n)).unwrap().len().unwrap()).collect();
    assert_eq!(lens, [MIN_SEGMENT, MIN_SEGMENT, MIN_SEGMENT, PAGE + (10 << 20) + PAGE, MIN_SEGMENT]);
    assert_eq!(sequence(read(&disk)), [1, 2, 3, 4, 5, 6]);
    let last_only = Options { check_all: false, ..OPTIONS };
    let opened = LocalJournal::open(shared(&disk), Path::new(DIR), LOG, 1, last_only).unwrap();
    assert_eq!((opened.0.head(), opened.1.events), (journal.head(), 6));
}

#[test]
fn trimming_drops_whole_segments_and_readers_begin_at_the_oldest_kept() {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    for day in 0..4 {
        append(&mut journal, &[1, 2], NOON + day * DAY_MS).unwrap();
        append(&mut journal, &[3], NOON + day * DAY_MS).unwrap();
    }
    journal.trim(6, u64::MAX).unwrap();
    journal.idle().unwrap();
    assert!(disk.open(&segment(2)).is_err() && disk.open(&segment(3)).is_ok());
    assert_eq!(sequence(read(&disk)), (7..=12).collect::<Vec<_>>());
    let (mut journal, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.groups, recovered.events, recovered.base.gno), (4, 6, 4));
    journal.trim(u64::MAX, u64::MAX).unwrap();
    assert_eq!(append(&mut journal, &[1], NOON + 3 * DAY_MS).unwrap().seq, 13);
    assert_eq!(open(&disk).unwrap().1.base.gno, 6, "the segment being written is never dropped");
}

#[test]
fn a_reader_beside_the_writer_ends_at_the_head_acknowledged_when_it_was_opened() {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    append(&mut journal, &[1, 1], NOON).unwrap();
    append(&mut journal, &[1], NOON).unwrap();
    let early = read(&disk);
    append(&mut journal, &[600_000], NOON + DAY_MS).unwrap();
    let rolled = read(&disk);
    append(&mut journal, &[600_000], NOON + DAY_MS).unwrap();
    journal.idle().unwrap();
    let idle = read(&disk);
    assert_eq!(sequence(early), [1, 2], "no later header names the second group yet");
    assert_eq!(sequence(rolled), [1, 2, 3], "a new segment names all groups before it");
    assert_eq!(sequence(idle), [1, 2, 3, 4, 5]);
}

#[test]
fn readers_on_other_threads_always_see_a_whole_prefix() {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let seen = check(&disk).unwrap().head.gno;
                assert!(seen >= last, "{seen} after {last}");
                last = seen;
            }
        });
        for step in 0..300 {
            append(&mut journal, &[step as usize * 20; 2], NOON + step * DAY_MS / 64).unwrap();
        }
        journal.idle().unwrap();
        done.store(true, std::sync::atomic::Ordering::Release);
        reader.join().unwrap();
    });
    assert_eq!(check(&disk).unwrap().groups, 300);
}

#[test]
fn what_is_after_some_heads_goes_up_to_where_a_start_would_go_on() {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    let mut heads = vec![journal.head()];
    for day in 0..4 {
        for lens in [&[3, 4][..], &[5]] {
            heads.push(append(&mut journal, lens, NOON + day * DAY_MS).unwrap());
        }
    }
    let after = |from: &[Head]| {
        let mut seen = Vec::new();
        let see = &mut |record: Record| seen.push(record.seq);
        let end = LocalJournal::look_after(&disk, Path::new(DIR), &LOG, from, see).unwrap();
        end.map(|end| (end, seen))
    };
    // The last group is named by nothing, and is there.
    let end = *heads.last().unwrap();
    for (i, head) in heads.iter().enumerate() {
        assert_eq!(after(&[*head]), Some((end, (head.seq + 1..=end.seq).collect())));
        let elsewhere = Head { chain: [7; 32], ..*head };
        assert_eq!(after(&[elsewhere]), None);
        assert_eq!(after(&[heads[0], elsewhere]), None);
        let both = after(&[*head, heads[i / 2]]).unwrap();
        assert_eq!(both, (end, (heads[i / 2].seq + 1..=end.seq).collect()));
    }
    assert_eq!(after(&[Head { gno: end.gno + 1, ..end }]), None);
    // Heads of another incarnation are the same place.
    assert!(after(&[Head { incarnation: 9, ..heads[3] }]).is_some());
}
