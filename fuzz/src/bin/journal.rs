//! Journals with damage of all kinds, sealed again or not: the input edits the files of a real one.
//!
//! Beside not panicking: memory stays bounded, reading without the lock and opening agree, what was
//! opened is whole, opens again at the same place, and takes another group.

#![no_main]

use std::path::Path;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use tekd::store::journal::{Journal, JournalReader, LocalJournal, Options, Record, verify};
use tekd::store::{Disk, MemoryDisk, read_file};
use tekd_fuzz::edits::{self, Reader};
use tekd_fuzz::{bounded, seal};

const DIR: &str = "/j";
const NAMES: [&str; 3] = ["head", "segment-0000000001.journal", "segment-0000000002.journal"];
const LOG: [u8; 16] = [7; 16];
const DAY_MS: u64 = 86_400_000;
/// Two windows, a group, and copies of the files on the disk in memory.
const MOST: usize = (16 << 20) + 16 * edits::LONGEST;

/// Bits of the first byte.
const SEAL_HEAD: u8 = 1;
const SEAL_SEGMENTS: u8 = 2;
const RAW: u8 = 4;
const ONE_SEGMENT: u8 = 8;
/// Opened by a later incarnation, which begins a segment of its own.
const LATER: u8 = 128;

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    let mut reader = Reader::new(input);
    let control = reader.byte();
    let mut files = real().to_vec();
    if control & RAW == 0 {
        edits::apply(&mut reader, &mut files);
    } else {
        let file = usize::from(control >> 4) % files.len();
        files[file] = reader.rest().to_vec();
    }
    if control & SEAL_HEAD != 0 {
        seal::pages(&mut files[0]);
    }
    if control & SEAL_SEGMENTS != 0 {
        files[1..].iter_mut().for_each(|file| seal::segment(file));
    }
    let present = if control & ONE_SEGMENT == 0 { 3 } else { 2 };
    let disk = disk(&files[..present]);
    let incarnation = if control & LATER == 0 { 1 } else { 9 };
    bounded::within(MOST, || check(&disk, incarnation));
});

fn check(disk: &MemoryDisk, incarnation: u32) {
    let dir = Path::new(DIR);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = |check_all| Options { segment_bytes: 1 << 20, check_all };
    let read = verify(Arc::clone(&shared), dir, &mut |done, all| assert!(done <= all));
    let opened = LocalJournal::open(Arc::clone(&shared), dir, LOG, incarnation, options(true));
    let (mut journal, recovered) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let head = journal.head();
    if let Ok(read) = read {
        assert!(read.head.gno <= head.gno && read.head.seq <= head.seq, "an acknowledged group is gone");
    }
    let whole = verify(Arc::clone(&shared), dir, &mut |_, _| {}).expect("what was opened is whole");
    assert_eq!((whole.head.gno, whole.head.seq, whole.head.chain), (head.gno, head.seq, head.chain));
    assert_eq!((whole.groups, whole.events), (recovered.groups, recovered.events));
    let groups = JournalReader::from_seq(Arc::clone(&shared), dir, head.seq).expect("it is whole");
    for group in groups {
        assert!(group.expect("it is whole").records.iter().all(|record| record.seq >= head.seq));
    }
    let (again, _) = LocalJournal::open(Arc::clone(&shared), dir, LOG, incarnation, options(false))
        .expect("what was opened opens again");
    assert_eq!(again.head(), head);
    let record = Record { kind: 6, version: 0, seq: head.seq + 1, time_s: 1, payload: vec![1; 40] };
    let after = journal.append(&head, &[record], 2).expect("there is room for one more");
    let whole = verify(shared, dir, &mut |_, _| {}).expect("what was appended is whole");
    assert!(whole.head.gno == after.gno || whole.head.gno == head.gno);
}

/// A disk that holds these files, durable.
fn disk(files: &[Vec<u8>]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let dir = Path::new(DIR);
    disk.create_dir(dir).expect("a new disk");
    for (name, bytes) in NAMES.iter().zip(files) {
        let file = disk.create(&dir.join(name)).expect("a new name");
        file.write_all_at(bytes, 0).and_then(|()| file.sync()).expect("a disk without faults");
    }
    disk.sync_dir(dir).expect("a disk without faults");
    disk
}

/// Head file and two segments of three groups each, cut short behind their groups.
fn real() -> &'static [Vec<u8>; 3] {
    static FILES: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    FILES.get_or_init(|| {
        let (disk, dir) = (MemoryDisk::new(), Path::new(DIR));
        disk.create_dir(Path::new("/")).expect("a new disk");
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let options = Options { segment_bytes: 1 << 20, check_all: true };
        let mut journal = LocalJournal::create(shared, dir, LOG, 1, options).expect("a new directory");
        for group in 0..6 {
            let head = journal.head();
            let record = |nth: u64| {
                let payload = vec![group as u8; 100 * nth as usize];
                Record { kind: nth as u16, version: 0, seq: head.seq + nth, time_s: group, payload }
            };
            let records: Vec<Record> = (1..=1 + group % 3).map(record).collect();
            journal.append(&head, &records, group / 3 * DAY_MS).expect("a disk without faults");
            if group == 3 {
                journal.idle().expect("a disk without faults");
            }
        }
        let read = |name: &str| read_file(&disk, &dir.join(name), 1 << 21).expect("a disk without faults");
        let mut files = NAMES.map(read);
        for segment in &mut files[1..] {
            // The header, three groups of one page, and two pages for more.
            segment.truncate(6 * seal::PAGE);
            seal::segment(segment);
        }
        files
    })
}

fn seeds() -> Vec<Vec<u8>> {
    let both = SEAL_HEAD | SEAL_SEGMENTS;
    let page = seal::PAGE;
    let edit = |control: u8, edits: &[Vec<u8>]| [&[control][..], &edits.concat()].concat();
    vec![
        vec![both],
        vec![both | LATER],
        vec![0],
        // The last group torn, whole but not acknowledged, and with another number.
        edit(SEAL_HEAD, &[edits::overwriting(2, 3 * page + 200, &[9; 8])]),
        edit(0, &[edits::overwriting(2, 3 * page + 4, &[0xff; 4])]),
        edit(both, &[edits::overwriting(2, 3 * page + 8, &[77])]),
        edit(both, &[edits::overwriting(0, 40, &[6]), edits::overwriting(0, page + 40, &[6])]),
        edit(both, &[edits::resizing(2, 3 * page)]),
        edit(both | ONE_SEGMENT, &[]),
        edit(both, &[edits::overwriting(1, page + 24, &[2, 0, 0, 0, 16, 1])]),
    ]
}
