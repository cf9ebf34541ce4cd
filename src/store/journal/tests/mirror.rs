//! A journal and its mirror: level again whatever a crash, an absence or a full disk left of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::store::read_file;

const MIRROR: &str = "/mirror";

fn both(disk: &MemoryDisk) -> Result<Levelled, MirrorError> {
    level(disk, Path::new(DIR), Path::new(MIRROR), &LOG, 1, &mut |done, all| assert!(done <= all))
}

/// A journal in each directory of so many groups, some of them in new segments; equal where both have them.
fn pair(groups: [u64; 2]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for (dir, groups) in [DIR, MIRROR].into_iter().zip(groups) {
        let mut journal = LocalJournal::create(shared(&disk), Path::new(dir), LOG, 1, OPTIONS).unwrap();
        for nth in 0..groups {
            grow(&mut journal, nth);
        }
        journal.idle().unwrap();
    }
    disk
}

fn grow(journal: &mut LocalJournal, nth: u64) -> Head {
    let lens: &[usize] = [&[10][..], &[4000, 300], &[300_000], &[6000, 0]][nth as usize % 4];
    append(journal, lens, NOON + nth / 5 * DAY_MS).unwrap()
}

fn files(disk: &MemoryDisk, dir: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = disk.list(Path::new(dir)).unwrap().into_iter();
    let segments = names.filter(|file| file.extension().is_some_and(|e| e == "journal"));
    let read = |file: PathBuf| {
        let bytes = read_file(disk, &file, 1 << 26).unwrap();
        (PathBuf::from(file.file_name().unwrap()), bytes)
    };
    segments.map(read).collect()
}

/// Both open, have `groups` groups and the same segments, byte for byte.
fn are_level(disk: &MemoryDisk, groups: u64, what: &str) {
    for dir in [DIR, MIRROR] {
        let opened = LocalJournal::open(shared(disk), Path::new(dir), LOG, 1, OPTIONS);
        let (journal, _) = opened.unwrap_or_else(|error| panic!("{what}: {dir}: {error}"));
        assert_eq!(journal.head().gno, groups, "{what}: {dir}");
    }
    assert!(files(disk, DIR) == files(disk, MIRROR), "{what}: the segments differ");
}

#[test]
fn the_one_that_is_behind_gets_what_it_lacks_whichever_it_is() {
    for (groups, behind) in
        [([20, 17], MIRROR), ([20, 19], MIRROR), ([3, 20], DIR), ([20, 0], MIRROR), ([0, 9], DIR)]
    {
        let disk = pair(groups);
        let levelled = both(&disk).unwrap();
        let [least, most] = [groups[0].min(groups[1]), groups[0].max(groups[1])];
        let caught_up = CaughtUp { dir: PathBuf::from(behind), from: least, to: most };
        assert_eq!(levelled, Levelled { caught_up: Some(caught_up), ..Levelled::default() }, "{groups:?}");
        are_level(&disk, most, &format!("{groups:?}"));
        assert_eq!(both(&disk).unwrap().caught_up, None, "nothing is left to do");
    }
}

#[test]
fn an_empty_directory_becomes_a_mirror_and_no_other_does() {
    let disk = pair([12, 0]);
    let missing = level(&disk, Path::new(DIR), Path::new("/away"), &LOG, 1, &mut |_, _| ()).unwrap_err();
    assert!(matches!(&missing, MirrorError::Missing { mirror } if mirror == Path::new("/away")), "{missing}");
    assert!(missing.to_string().contains("mount its disk"), "{missing}");

    let new = Path::new("/new");
    disk.create_dir(new).unwrap();
    let note = new.join("note.txt");
    disk.create(&note).unwrap();
    let before = disk.operations().len();
    let refused = level(&disk, Path::new(DIR), new, &LOG, 1, &mut |_, _| ()).unwrap_err();
    assert!(matches!(&refused, MirrorError::NotEmpty { file, .. } if *file == note), "{refused}");
    assert_eq!(disk.operations().len(), before, "nothing was changed");
    disk.remove(&note).unwrap();
    let filled = level(&disk, Path::new(DIR), new, &LOG, 1, &mut |_, _| ()).unwrap();
    assert_eq!(filled.caught_up, Some(CaughtUp { dir: new.to_path_buf(), from: 0, to: 12 }));
    let (journal, _) = LocalJournal::open(shared(&disk), new, LOG, 1, OPTIONS).unwrap();
    assert_eq!(journal.head().gno, 12);
}

#[test]
fn a_mirror_of_a_trimmed_journal_begins_where_the_journal_does() {
    let disk = pair([20, 0]);
    let (mut journal, _) = open(&disk).unwrap();
    journal.trim(12, u64::MAX).unwrap();
    drop(journal);
    both(&disk).unwrap();
    are_level(&disk, 20, "trimmed");
    // The mirror was away while the journal dropped segments.
    let (mut journal, _) = open(&disk).unwrap();
    journal.trim(17, u64::MAX).unwrap();
    drop(journal);
    assert_eq!(both(&disk).unwrap().older, 1);
    // For longer than the journal remembers.
    let disk = pair([20, 4]);
    let (mut journal, _) = open(&disk).unwrap();
    journal.trim(12, u64::MAX).unwrap();
    drop(journal);
    let apart = both(&disk).unwrap_err().to_string();
    assert!(apart.contains("/mirror ends at group 4, /data/journal begins at group 11"), "{apart}");
}

#[test]
fn what_does_not_belong_together_is_refused_by_both_names_and_not_touched() {
    let refused = |disk: &MemoryDisk, says: &str| {
        let before = (files(disk, DIR), files(disk, MIRROR), disk.operations().len());
        let error = both(disk).unwrap_err();
        assert!(before == (files(disk, DIR), files(disk, MIRROR), disk.operations().len()), "it was touched");
        let text = error.to_string();
        assert!(text.contains(DIR) && text.contains(MIRROR) && text.contains(says), "{text}");
        error
    };
    // Each went on alone.
    let disk = pair([6, 6]);
    for (dir, len) in [(DIR, 7), (MIRROR, 8)] {
        let (mut journal, _) = LocalJournal::open(shared(&disk), Path::new(dir), LOG, 1, OPTIONS).unwrap();
        append(&mut journal, &[len], NOON + DAY_MS).unwrap();
        append(&mut journal, &[len], NOON + DAY_MS).unwrap();
        journal.idle().unwrap();
    }
    refused(&disk, "different histories up to group 8");
    // Another log.
    let disk = pair([6, 0]);
    for file in disk.list(Path::new(MIRROR)).unwrap() {
        disk.remove(&file).unwrap();
    }
    let other = LocalJournal::create(shared(&disk), Path::new(MIRROR), [7; 16], 1, OPTIONS);
    append(&mut other.unwrap(), &[5], NOON).unwrap();
    assert!(matches!(refused(&disk, "belongs to another log"), MirrorError::Apart { .. }));
    // The journal is gone.
    let disk = pair([6, 6]);
    for file in disk.list(Path::new(DIR)).unwrap() {
        disk.remove(&file).unwrap();
    }
    assert!(matches!(refused(&disk, "copy the files of the mirror"), MirrorError::Lost { .. }));
    // A later incarnation wrote the mirror.
    let disk = pair([6, 6]);
    let (mut journal, _) = LocalJournal::open(shared(&disk), Path::new(MIRROR), LOG, 2, OPTIONS).unwrap();
    append(&mut journal, &[1], NOON + 2 * DAY_MS).unwrap();
    let error = both(&disk).unwrap_err();
    assert!(matches!(error, MirrorError::Journal(JournalError::Incarnation { found: 2, own: 1 })), "{error}");
}

#[test]
fn damage_in_one_is_told_with_where_it_is_whole_and_never_repaired() {
    for (rotten, whole) in [(DIR, MIRROR), (MIRROR, DIR)] {
        let disk = pair([4, 4]);
        let file = Path::new(rotten).join("segment-0000000001.journal");
        disk.damage(&file, 2 * PAGE + 200, 1).unwrap();
        let error = both(&disk).unwrap_err();
        let MirrorError::OneWhole { other, gno: 4, .. } = &error else { panic!("{error}") };
        assert_eq!(other, Path::new(whole));
        let text = error.to_string();
        assert!(text.contains(&format!("{} is damaged at byte {}", file.display(), 2 * PAGE)), "{text}");
        assert!(text.contains(&format!("{whole} is whole there")), "{text}");
        assert!(both(&disk).is_err(), "nothing was repaired");
    }
    // A closed segment is not read at a start; who finds it damaged is told the same.
    let disk = pair([12, 12]);
    disk.damage(&segment(1), 2 * PAGE + 200, 1).unwrap();
    assert_eq!(both(&disk).unwrap(), Levelled::default());
    let error = check(&disk).unwrap_err();
    let told = whole_in(&disk, Path::new(MIRROR), &LOG, error).to_string();
    assert!(told.contains("/mirror is whole there, up to group 2"), "{told}");
    disk.damage(&Path::new(MIRROR).join("segment-0000000001.journal"), 2 * PAGE + 200, 1).unwrap();
    let told = whole_in(&disk, Path::new(MIRROR), &LOG, check(&disk).unwrap_err()).to_string();
    assert!(!told.contains("is whole"), "it is not: {told}");
}

#[test]
fn one_damaged_slot_of_either_head_file_is_told_and_written_anew() {
    let disk = pair([4, 4]);
    let head = Path::new(MIRROR).join("head");
    disk.damage(&head, 40, 1).unwrap();
    assert_eq!(both(&disk).unwrap().damaged_slot, Some(head));
    let head = Path::new(DIR).join("head");
    disk.damage(&head, PAGE + 40, 1).unwrap();
    assert_eq!(open(&disk).unwrap().1.damaged_slot, Some(head));
    assert_eq!(open(&disk).unwrap().1.damaged_slot, None, "it was written anew");
}

#[test]
fn torn_last_groups_are_left_out_of_both() {
    for torn in [DIR, MIRROR] {
        let disk = pair([4, 4]);
        for dir in [DIR, MIRROR] {
            let (mut journal, _) =
                LocalJournal::open(shared(&disk), Path::new(dir), LOG, 1, OPTIONS).unwrap();
            append(&mut journal, &[9000], NOON).unwrap();
        }
        let file = Path::new(torn).join("segment-0000000001.journal");
        let end = files(&disk, torn)[Path::new("segment-0000000001.journal")]
            .iter()
            .rposition(|byte| *byte != 0)
            .unwrap();
        disk.damage(&file, end as u64, 0xff).unwrap();
        let levelled = both(&disk).unwrap();
        assert_eq!(levelled.cuts.len(), 1, "{torn}");
        assert_eq!(levelled.caught_up.map(|caught| (caught.from, caught.to)), Some((4, 5)), "{torn}");
        are_level(&disk, 5, torn);
    }
}

#[test]
fn a_full_mirror_gives_its_reserve_for_a_segment_it_lacks() {
    let disk = pair([5, 5]);
    for dir in [DIR, MIRROR] {
        let (mut journal, _) = LocalJournal::open(shared(&disk), Path::new(dir), LOG, 1, OPTIONS).unwrap();
        journal.make_room(0, NOON).unwrap();
    }
    let (mut journal, _) = open(&disk).unwrap();
    grow(&mut journal, 5);
    drop(journal);
    disk.set_quota(Path::new(MIRROR), Some(disk.used(Path::new(MIRROR)) + 2 * PAGE));
    assert_eq!(both(&disk).unwrap().caught_up.map(|caught| caught.to), Some(6));
    let spare = |dir: &str| disk.inode(&Path::new(dir).join("reserve.spare")).is_ok();
    assert!(!spare(DIR) && !spare(MIRROR), "neither is of use without the other");
    are_level(&disk, 6, "full");
}

#[test]
fn a_power_cut_at_any_operation_of_it_is_made_good_by_the_next_start() {
    for groups in [[20, 0], [20, 13], [7, 20], [20, 19]] {
        let whole = pair(groups);
        let before = whole.operations().len();
        both(&whole).unwrap();
        let steps = (whole.operations().len() - before) as u64;
        for step in 0..=steps {
            for seed in 0..2 {
                let disk = pair(groups);
                disk.freeze_after(step);
                let _ = both(&disk);
                let image = disk.crash(seed * 977 + step);
                let what = format!("{groups:?}, step {step} of {steps}, seed {seed}");
                both(&image).unwrap_or_else(|error| panic!("{what}: {error}"));
                are_level(&image, 20, &what);
            }
        }
    }
}
