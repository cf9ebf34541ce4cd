//! Segments that grow with what is written, and a disk that is full.

use std::path::Path;

use super::*;

const RETRY_MS: u64 = RETRY_S * 1000;

fn lens(disk: &MemoryDisk) -> Vec<u64> {
    let files = (1..).map_while(|number| disk.open(&segment(number)).ok());
    files.map(|file| file.len().unwrap() / MIN_SEGMENT).collect()
}

fn is_full(made: Result<(), AppendError>) -> bool {
    match made {
        Ok(()) => false,
        Err(AppendError::Full { .. }) => true,
        Err(other) => panic!("{other}"),
    }
}

/// Fills what the current segment has left with groups of a page.
fn fill(journal: &mut LocalJournal, now_ms: u64) -> u64 {
    let mut groups = 0;
    while append(journal, &[100], now_ms).is_ok() {
        groups += 1;
    }
    groups
}

#[test]
fn segments_grow_with_what_is_written_and_shrink_after_a_quiet_day() {
    // spec 5.3.12
    let disk = MemoryDisk::new();
    let options = Options { segment_bytes: 6 * MIN_SEGMENT, check_all: true };
    let mut journal = LocalJournal::create(shared(&disk), Path::new(DIR), LOG, 1, options).unwrap();
    for _ in 0..160 {
        append(&mut journal, &[100_000], NOON).unwrap();
    }
    assert_eq!(lens(&disk), [1, 2, 4, 6, 6]);
    append(&mut journal, &[10], NOON + DAY_MS).unwrap();
    append(&mut journal, &[10], NOON + 2 * DAY_MS).unwrap();
    assert_eq!(lens(&disk)[5..], [6, 1]);
    drop(journal);
    // A reader, and a writer that is configured otherwise, take what is there.
    let small = Options { segment_bytes: MIN_SEGMENT, check_all: true };
    let opened = LocalJournal::open(shared(&disk), Path::new(DIR), LOG, 1, small).unwrap();
    assert_eq!(opened.1.events, 162);
}

#[test]
fn a_full_disk_refuses_what_asks_first_and_takes_the_rest_until_the_reserve_is_used_up() {
    // spec 5.3.15
    let disk = MemoryDisk::new();
    let dir = Path::new(DIR);
    let mut journal = create(&disk);
    journal.make_room(1000, NOON).unwrap();
    let room = journal.room();
    assert_eq!(room, 2 * (MIN_SEGMENT - PAGE));
    disk.set_quota(dir, Some(disk.used(dir)));
    append(&mut journal, &[600_000], NOON).unwrap();
    journal.make_room(1000, NOON).unwrap();
    assert!(is_full(journal.make_room(600_000, NOON)), "there is no room for a group as large");

    let groups = fill(&mut journal, NOON + DAY_MS);
    assert_eq!(groups * PAGE, room - 147 * PAGE, "all that was left, and the reserve, over midnight");
    assert_eq!((journal.room(), lens(&disk)), (0, vec![1, 1]));
    assert!(is_full(journal.make_room(0, NOON + 2 * DAY_MS)));
    let head = journal.head();
    assert!(matches!(append(&mut journal, &[1], NOON + 2 * DAY_MS), Err(AppendError::Full { .. })));
    assert_eq!(journal.acquire().unwrap(), head, "nothing has stopped");
    drop(journal);
    let (mut journal, _) = open(&disk).expect("a restart needs no space");
    assert_eq!((journal.head(), journal.room()), (head, 0));
    assert!(is_full(journal.make_room(0, NOON + 2 * DAY_MS)));

    disk.set_quota(dir, None);
    let again = NOON + 2 * DAY_MS + RETRY_MS;
    assert!(is_full(journal.make_room(0, again - 1)), "it was asked a moment ago");
    journal.make_room(0, again).unwrap();
    append(&mut journal, &[1], again).unwrap();
    journal.idle().unwrap();
    assert_eq!(sequence(read(&disk)), (1..=groups + 2).collect::<Vec<_>>());
    let (journal, _) = open(&disk.crash_clean()).unwrap();
    assert_eq!(journal.room(), 2 * (MIN_SEGMENT - PAGE) - PAGE, "the reserve is whole again");
}

#[test]
fn the_reserve_is_left_alone_while_there_is_space() {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    journal.make_room(1000, NOON).unwrap();
    let spare = Path::new(DIR).join("reserve.spare");
    let inode = disk.inode(&spare).unwrap();
    for day in 0..5 {
        journal.make_room(600_000, NOON + day * DAY_MS).unwrap();
        append(&mut journal, &[600_000], NOON + day * DAY_MS).unwrap();
    }
    let (journal, _) = open(&disk).unwrap();
    assert_eq!(disk.inode(&spare).unwrap(), inode);
    assert!(journal.room() > MIN_SEGMENT);
}

#[test]
fn without_a_reserve_a_full_disk_refuses_the_new_segment_and_goes_on_when_there_is_room() {
    let disk = MemoryDisk::new();
    let mut journal = create(&disk);
    append(&mut journal, &[600_000], NOON).unwrap();
    disk.set_quota(Path::new(DIR), Some(disk.used(Path::new(DIR)) + 5000));
    let full = append(&mut journal, &[600_000], NOON).unwrap_err();
    assert!(matches!(full, AppendError::Full { bytes } if bytes == MIN_SEGMENT), "{full}");
    let last_words = append(&mut journal, &[1], NOON + DAY_MS).unwrap();
    assert_eq!((last_words.gno, lens(&disk).len()), (2, 1), "what is left is used, whatever the day");
    disk.set_quota(Path::new(DIR), None);
    assert_eq!(append(&mut journal, &[600_000], NOON + DAY_MS + RETRY_MS).unwrap().gno, 3);
    journal.idle().unwrap();
    assert_eq!(sequence(read(&disk)), [1, 2, 3]);
}
