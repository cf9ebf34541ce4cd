//! Files with wrong bytes, missing files, files of others.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::store::{Fault, OperationKind, read_file};

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
fn what_is_left_of_a_cut_group_names_nothing_as_acknowledged() {
    let (disk, place) = unnamed_last();
    // A group number and, below it, an acknowledged one that no group has: found by fuzzing.
    disk.damage(&segment(1), place.start + 8, 0x80).unwrap();
    disk.damage(&segment(1), place.start + 48, 0x40).unwrap();
    let (journal, recovered) = open(&disk).unwrap();
    assert_eq!((journal.head().gno, recovered.cut.unwrap().gno), (2, 3));
    assert_eq!(check(&disk).unwrap().head, journal.head());
    assert_eq!(sequence(read(&disk)), [1, 2, 3]);
}

#[test]
fn a_group_that_the_disk_lost_is_missed_though_memory_has_it() {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    append(&mut journal, &[100], NOON).unwrap();
    disk.fail(OperationKind::Sync, 1, Fault::Lost);
    for lens in [&[200, 5][..], &[3000]] {
        append(&mut journal, lens, NOON).unwrap();
    }
    assert!(matches!(open(&disk), Err(JournalError::Corrupt { gno: 2, .. })), "a start");
    append(&mut journal, &[9], NOON + DAY_MS).unwrap();
    let closed = closed_segments(&disk, Path::new(DIR), &LOG).unwrap().remove(0);
    let verified = closed.verify(&disk, &mut |_| true);
    assert!(matches!(verified, Err(JournalError::Corrupt { gno: 2, .. })), "the scrubber: {verified:?}");
    assert_eq!(sequence(read(&disk)), [1, 2, 3, 4], "memory has it");
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
    let missing = "ends at group 2, but group 4 was acknowledged: segment-0000000002.journal is missing";
    says(without(segment(2)), missing);
    says(without(head), "holds no journal");
    let disk = two_segments();
    let mut journal = open(&disk).unwrap().0;
    append(&mut journal, &[1], NOON + 3 * DAY_MS).unwrap();
    disk.remove(&segment(2)).unwrap();
    says(open(&disk).map(|_| ()).map_err(|e| e.to_string()), "which comes before it, is missing");
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
    file.write_durable_at(&group, last.start).unwrap();
    let error = open(&disk).unwrap_err();
    assert!(error.to_string().contains("written to another place"), "{error}");
}

/// Damages pages 0–5 of the segment and the head file, and opens: the head's gno, or `None`.
fn open_damaged(hits: &[(u64, u8)], head_hits: &[(u64, u8)]) -> Option<u64> {
    let (disk, _) = unnamed_last();
    let head = Path::new(DIR).join("head");
    hits.iter().for_each(|(offset, mask)| disk.damage(&segment(1), *offset, *mask).unwrap());
    head_hits.iter().for_each(|(offset, mask)| disk.damage(&head, *offset, *mask).unwrap());
    open(&disk).ok().map(|(journal, _)| journal.head().gno)
}

proptest! {
    #[test]
    fn damage_anywhere_is_an_error_or_a_cut_and_never_a_panic(
        hits in prop::collection::vec((0_u64..6 * PAGE, 1_u8..), 1..40),
        head_hits in prop::collection::vec((0_u64..2 * PAGE, 1_u8..), 0..3),
    ) {
        prop_assert!(open_damaged(&hits, &head_hits).is_none_or(|gno| gno <= 3));
    }

    #[test]
    fn damage_of_any_one_page_never_cuts_an_acknowledged_group(
        page in 0_u64..6,
        hits in prop::collection::vec((0_u64..PAGE, 1_u8..), 1..40),
        head_hits in prop::collection::vec((0_u64..2 * PAGE, 1_u8..), 0..3),
    ) {
        let hits: Vec<_> = hits.into_iter().map(|(offset, mask)| (page * PAGE + offset, mask)).collect();
        prop_assert!(open_damaged(&hits, &head_hits).is_none_or(|gno| gno >= 2));
    }
}

#[test]
fn a_segment_that_is_taken_away_while_it_is_written_confirms_nothing_more() {
    let remove = |disk: &MemoryDisk| disk.remove(&segment(1)).unwrap();
    let replace = |disk: &MemoryDisk| {
        let copy = Path::new("/copy");
        let bytes = read_file(disk, &segment(1), u64::MAX).unwrap();
        disk.create(copy).unwrap().write_all_at(&bytes, 0).unwrap();
        disk.rename(copy, &segment(1)).unwrap();
    };
    let aside = |disk: &MemoryDisk| disk.rename(&segment(1), Path::new("/aside")).unwrap();
    for take in [&remove as &dyn Fn(&MemoryDisk), &replace, &aside] {
        let disk = MemoryDisk::new();
        let mut journal = create(&disk);
        let head = append(&mut journal, &[100], NOON).unwrap();
        take(&disk);
        let error = append(&mut journal, &[100], NOON).unwrap_err();
        let AppendError::Failed(JournalError::Taken { file, named: false, .. }) = &error else {
            panic!("{error}")
        };
        assert_eq!((file, journal.head()), (&segment(1), head), "nothing more is acknowledged");
        assert!(matches!(append(&mut journal, &[100], NOON), Err(AppendError::Stopped { .. })));
    }
}
