//! The journal against disks that fail, forget and rot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::format::PAGE;
use super::*;
use crate::store::{Disk, Fault, MemoryDisk, Operation, OperationKind, read_file};

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
    assert_eq!(recovered, Recovered { groups: 3, events: 44, base, cut: None });
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
    journal.trim(6).unwrap();
    journal.idle().unwrap();
    assert!(disk.open(&segment(2)).is_err() && disk.open(&segment(3)).is_ok());
    assert_eq!(sequence(read(&disk)), (7..=12).collect::<Vec<_>>());
    let (mut journal, recovered) = open(&disk).unwrap();
    assert_eq!((recovered.groups, recovered.events, recovered.base.gno), (4, 6, 4));
    journal.trim(u64::MAX).unwrap();
    assert_eq!(append(&mut journal, &[1], NOON + 3 * DAY_MS).unwrap().seq, 13);
    assert_eq!(open(&disk).unwrap().1.base.gno, 6, "the segment being written is never dropped");
}

/// Three groups of which the last is not named as acknowledged anywhere, and its place.
fn unnamed_last() -> (MemoryDisk, std::ops::Range<u64>) {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    for lens in [&[100][..], &[200, 5], &[3000]] {
        append(&mut journal, lens, NOON).unwrap();
    }
    (disk, 3 * PAGE..4 * PAGE)
}

#[test]
fn a_last_group_nobody_named_is_cut_whichever_byte_of_it_is_wrong() {
    let (disk, place) = unnamed_last();
    for offset in place {
        let image = disk.crash_clean();
        image.damage(&segment(1), offset, 0x04).unwrap();
        let (mut journal, recovered) = open(&image).unwrap();
        let cut = recovered.cut.unwrap_or_else(|| panic!("byte {offset} is not noticed"));
        assert_eq!((cut.offset, cut.gno, cut.bytes), (3 * PAGE, 3, PAGE));
        assert_eq!((recovered.events, journal.head().gno), (3, 2));
        if offset % 97 == 0 {
            append(&mut journal, &[9], NOON).unwrap();
            journal.idle().unwrap();
            assert_eq!(sequence(read(&image)), [1, 2, 3, 4]);
            assert_eq!(open(&image).unwrap().1.cut, None);
        }
    }
}

#[test]
fn a_wrong_byte_in_an_acknowledged_group_is_an_error_that_changes_nothing() {
    let (disk, last) = unnamed_last();
    let named = disk.crash_clean();
    open(&named).unwrap();
    // The second group is named by the third; the third, in the other image, by the head file.
    for (image, place, gno) in [(disk, 2 * PAGE..3 * PAGE, 2), (named, last, 3)] {
        let operations = image.operations().len();
        for offset in place.clone() {
            image.damage(&segment(1), offset, 0x80).unwrap();
            let error = open(&image).unwrap_err();
            let JournalError::Corrupt { file, offset: at, gno: named, .. } = &error else {
                panic!("byte {offset}: {error}")
            };
            assert_eq!((file, *at, *named), (&segment(1), place.start, gno), "byte {offset}: {error}");
            assert!(matches!(check(&image), Err(JournalError::Corrupt { .. })));
            image.damage(&segment(1), offset, 0x80).unwrap();
        }
        assert_eq!(image.operations().len(), operations, "opening a damaged journal wrote");
        open(&image).unwrap();
    }
}

#[test]
fn a_cut_tail_is_zeroed_by_the_next_append_and_by_a_new_segment() {
    for (now_ms, zero_until) in [(NOON, 3 * PAGE), (NOON + DAY_MS, 2 * PAGE)] {
        let disk = MemoryDisk::new();
        let mut journal = create(&disk);
        append(&mut journal, &[1], NOON).unwrap();
        append(&mut journal, &[30_000], NOON).unwrap();
        disk.damage(&segment(1), 2 * PAGE + 5000, 1).unwrap();
        let (mut journal, recovered) = open(&disk).unwrap();
        assert_eq!(recovered.cut.unwrap().bytes, 8 * PAGE);
        append(&mut journal, &[1], now_ms).unwrap();
        let bytes = read_file(&disk, &segment(1), MIN_SEGMENT).unwrap();
        assert!(bytes[zero_until as usize..].iter().all(|byte| *byte == 0));
        assert_eq!(open(&disk).unwrap().1.cut, None);
    }
}

/// What the writer was told while the workload ran.
#[derive(Debug, Default, Clone, Copy)]
struct Ledger {
    created: bool,
    acked: u64,
    attempted: u64,
    trimmed_gno: u64,
}

fn tracked(
    journal: &mut LocalJournal,
    ledger: &mut Ledger,
    lens: &[usize],
    now_ms: u64,
) -> Result<(), AppendError> {
    ledger.attempted = journal.head().seq + lens.len() as u64;
    ledger.acked = append(journal, lens, now_ms)?.seq;
    Ok(())
}

/// Appends, rolls by size and by day, head slots and a trim, until the disk fails.
fn workload(disk: &MemoryDisk, ledger: &mut Ledger) -> Option<()> {
    let mut journal = LocalJournal::create(shared(disk), Path::new(DIR), LOG, 1, OPTIONS).ok()?;
    ledger.created = true;
    for step in 0..16_u64 {
        let now_ms = NOON + step / 9 * DAY_MS;
        let lens: &[usize] = match step % 5 {
            0 => &[10],
            1 => &[4000, 300],
            2 => &[1; 30],
            3 => &[420_000],
            _ => &[6000, 0, 6000],
        };
        tracked(&mut journal, ledger, lens, now_ms).ok()?;
        if step % 6 == 3 {
            journal.idle().ok()?;
        }
        if step == 13 {
            ledger.trimmed_gno = 12;
            journal.trim(ledger.trimmed_gno).ok()?;
        }
    }
    journal.idle().ok()
}

/// Opens what a crash left and checks it against the ledger; the head then counts as told.
fn survives(disk: &MemoryDisk, ledger: &mut Ledger, what: &str) -> Option<LocalJournal> {
    let (journal, recovered) = match open(disk) {
        Err(JournalError::Missing { .. }) if !ledger.created => return None,
        opened => opened.unwrap_or_else(|error| panic!("{what}: {error}")),
    };
    let seq = journal.head().seq;
    assert!(seq == ledger.acked || seq == ledger.attempted, "{what}: head {seq}, {ledger:?}");
    assert!(recovered.base.gno < ledger.trimmed_gno.max(1), "{what}: {recovered:?}");
    let expected: Vec<u64> = (recovered.base.seq + 1..=seq).collect();
    assert_eq!(sequence(read(disk)), expected, "{what}");
    assert_eq!(check(disk).unwrap().head, journal.head(), "{what}");
    (ledger.acked, ledger.attempted, ledger.created) = (seq, seq, true);
    Some(journal)
}

/// Crashes twice: at `step` of the workload, and while the survivor is opened and used.
fn crash_twice(frozen: &MemoryDisk, ledger: &Ledger, step: u64, seed: u64) {
    let what = format!("frozen after {step}, seed {seed}");
    let mut told = *ledger;
    let image = frozen.crash(seed);
    if let Some(mut journal) = survives(&image, &mut told, &what) {
        tracked(&mut journal, &mut told, &[500], NOON + 2 * DAY_MS).unwrap();
        survives(&image.crash_clean(), &mut told, &format!("{what}, continued"));
    }
    let again = frozen.crash(seed);
    let mut told = *ledger;
    again.freeze_after(seed % 12);
    if let Ok((mut journal, _)) = open(&again) {
        let seq = journal.head().seq;
        (told.acked, told.attempted) = (seq, seq);
        let _ = tracked(&mut journal, &mut told, &[2000], NOON + 2 * DAY_MS);
    }
    survives(&again.crash(seed ^ 0x5eed), &mut told, &format!("{what}, twice"));
}

#[test]
fn after_a_power_cut_at_any_operation_everything_acknowledged_is_there_once() {
    let whole = MemoryDisk::new();
    workload(&whole, &mut Ledger::default()).expect("nothing fails");
    let steps = whole.operations().len() as u64;
    assert!(steps > 60, "{steps}");
    for step in 0..=steps {
        let disk = MemoryDisk::new();
        let mut ledger = Ledger::default();
        disk.freeze_after(step);
        workload(&disk, &mut ledger);
        for seed in 0..6 {
            crash_twice(&disk, &ledger, step, seed * 1009 + step);
        }
    }
}

#[test]
fn after_any_failed_operation_nothing_more_is_confirmed_and_nothing_confirmed_is_lost() {
    for kind in [OperationKind::Write, OperationKind::Sync, OperationKind::Rename, OperationKind::SyncDir] {
        for nth in 1..30 {
            let disk = MemoryDisk::new();
            let mut journal = create(&disk);
            let mut ledger = Ledger { created: true, ..Ledger::default() };
            disk.fail(kind, nth, Fault::Eio);
            let mut failed = None;
            for step in 0..8 {
                let lens = [3000 + 90_000 * step as usize];
                if let Err(error) = tracked(&mut journal, &mut ledger, &lens, NOON + step * DAY_MS / 2) {
                    failed = Some(error);
                    break;
                }
            }
            let Some(error) = failed else { continue };
            assert!(matches!(error, AppendError::Failed(_)), "{kind:?} {nth}: {error}");
            let later = append(&mut journal, &[1], NOON).unwrap_err();
            assert!(matches!(&later, AppendError::Stopped { first } if first.contains("error")), "{later}");
            assert!(journal.idle().is_err() && journal.trim(1).is_err() && journal.acquire().is_err());
            let what = format!("{kind:?} {nth}");
            survives(&disk.crash(nth), &mut { ledger }, &what);
            // A restart without a crash sees what memory has; what it accepts must last.
            survives(&disk, &mut ledger, &what);
            survives(&disk.crash_clean(), &mut ledger, &format!("{what}, then a power cut"));
        }
    }
}

#[test]
fn a_full_disk_refuses_the_new_segment_and_goes_on_when_there_is_room() {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    append(&mut journal, &[1], NOON).unwrap();
    disk.fail(OperationKind::Write, 1, Fault::Enospc);
    let full = append(&mut journal, &[1], NOON + DAY_MS).unwrap_err();
    assert!(matches!(full, AppendError::Full { bytes: MIN_SEGMENT }), "{full}");
    assert_eq!(append(&mut journal, &[1], NOON + DAY_MS).unwrap().gno, 2);
    journal.idle().unwrap();
    assert_eq!(sequence(read(&disk)), [1, 2]);
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

/// Two segments of two groups each, stopped cleanly.
fn two_segments() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    for day in [0, 0, 1, 1] {
        append(&mut journal, &[50], NOON + day * DAY_MS).unwrap();
    }
    journal.idle().unwrap();
    disk
}

#[test]
fn missing_and_damaged_files_are_named_with_what_to_do() {
    let damaged = |file: &Path, offsets: &[u64]| {
        let disk = two_segments();
        offsets.iter().for_each(|offset| disk.damage(file, *offset, 1).unwrap());
        open(&disk).map(|_| ()).map_err(|error| error.to_string())
    };
    let says = |result: Result<(), String>, part: &str| {
        let error = result.unwrap_err();
        assert!(error.contains(part), "{error}");
    };
    let head = Path::new(DIR).join("head");
    assert_eq!(damaged(&head, &[40]), Ok(()), "one slot is enough");
    assert_eq!(damaged(&head, &[4100]), Ok(()), "the other slot is enough");
    says(damaged(&head, &[40, 4100]), "both slots of /data/journal/head are damaged");
    says(damaged(&segment(1), &[200]), "its header is damaged; nothing was changed: put back this file");
    says(damaged(&segment(1), &[PAGE + 130]), "is damaged at byte 4096 (group 1)");

    let without = |name: PathBuf| {
        let disk = two_segments();
        disk.remove(&name).unwrap();
        open(&disk).map(|_| ()).map_err(|error| error.to_string())
    };
    says(without(segment(2)), "ends at group 2, but group 4 was acknowledged: a segment is missing");
    says(without(head), "holds no journal");
    let disk = two_segments();
    let mut journal = open(&disk).unwrap().0;
    append(&mut journal, &[1], NOON + 3 * DAY_MS).unwrap();
    disk.remove(&segment(2)).unwrap();
    says(open(&disk).map(|_| ()).map_err(|e| e.to_string()), "the segment before it is missing");
}

#[test]
fn a_journal_of_another_log_another_incarnation_or_a_newer_tekd_is_refused() {
    let disk = two_segments();
    let foreign = LocalJournal::open(shared(&disk), Path::new(DIR), [1; 16], 1, OPTIONS);
    assert!(matches!(foreign, Err(JournalError::Foreign { .. })));
    let again = LocalJournal::create(shared(&disk), Path::new(DIR), LOG, 1, OPTIONS);
    assert!(matches!(again, Err(JournalError::Exists { .. })));
    let odd = Options { segment_bytes: MIN_SEGMENT + 1, ..OPTIONS };
    let sized = LocalJournal::open(shared(&disk), Path::new(DIR), LOG, 1, odd);
    assert!(matches!(sized, Err(JournalError::SegmentSize { .. })));

    let (mut adopted, _) = LocalJournal::open(shared(&disk), Path::new(DIR), LOG, 3, OPTIONS).unwrap();
    assert_eq!(append(&mut adopted, &[1], NOON + DAY_MS).unwrap().incarnation, 3);
    adopted.idle().unwrap();
    assert_eq!(read(&disk).map(|group| group.unwrap().head.incarnation).collect::<Vec<_>>(), [1, 1, 1, 1, 3]);
    assert!(matches!(open(&disk), Err(JournalError::Incarnation { found: 3, own: 1 })));

    let mut page = vec![0; PAGE as usize];
    let file = disk.open_write(&segment(1)).unwrap();
    file.read_exact_at(&mut page, 0).unwrap();
    page[8] = 7;
    let crc = format::page_crc(&page).to_le_bytes();
    page[4092..].copy_from_slice(&crc);
    file.write_all_at(&page, 0).unwrap();
    assert!(matches!(check(&disk), Err(JournalError::Newer { found: 7, max: FORMAT, .. })));
}

#[test]
fn a_whole_group_in_the_wrong_place_is_never_cut() {
    let (disk, last) = unnamed_last();
    let file = disk.open_write(&segment(1)).unwrap();
    let mut group = vec![0; PAGE as usize];
    file.read_exact_at(&mut group, PAGE).unwrap();
    file.write_all_at(&group, last.start).unwrap();
    let error = open(&disk).unwrap_err();
    assert!(error.to_string().contains("written to another place"), "{error}");
}

proptest! {
    #[test]
    fn damage_anywhere_is_an_error_or_a_cut_and_never_a_panic(
        hits in prop::collection::vec((0_u64..6 * PAGE, 1_u8..), 1..40),
        head_hits in prop::collection::vec((0_u64..2 * PAGE, 1_u8..), 0..3),
    ) {
        let (disk, _) = unnamed_last();
        let head = Path::new(DIR).join("head");
        hits.iter().for_each(|(offset, mask)| disk.damage(&segment(1), *offset, *mask).unwrap());
        head_hits.iter().for_each(|(offset, mask)| disk.damage(&head, *offset, *mask).unwrap());
        if let Ok((journal, _)) = open(&disk) {
            prop_assert!(journal.head().gno >= 2, "an acknowledged group was cut");
        }
    }
}
