//! Files that rotted: what was acknowledged and is damaged stops the start, what is only a short cut or a
//! cache is passed over and made again.

use super::directories::{refused, released};
use super::edits::{edit, flip, seal};
use super::imported::import_all;
use super::keys::keys;
use super::server::Place;
use super::tree::newest;

/// First byte of the records of the first group in a segment: behind the segment's page and its header.
const FIRST_RECORD: usize = 4096 + 128;

#[test]
fn a_flipped_byte_in_an_acknowledged_group_stops_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, root) = released(dir.path(), "origin");
    let segment = newest(&place.data.join("journal"), "segment-", ".journal");
    for offset in [4096, 4096 + 100, FIRST_RECORD, FIRST_RECORD + 40] {
        flip(&segment, offset);
        let file = segment.display().to_string();
        refused(&place, &[&file, "is damaged at byte 4096 (group 1)", "nothing was changed"]);
        flip(&segment, offset);
    }
    assert_eq!(place.start().release().1, root, "put right again it is served");
}

#[test]
fn a_damaged_segment_header_or_head_stops_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, _) = released(dir.path(), "origin");
    let segment = newest(&place.data.join("journal"), "segment-", ".journal");
    flip(&segment, 200);
    refused(&place, &[&segment.display().to_string(), "damaged"]);
    flip(&segment, 200);
    let head = place.data.join("journal").join("head");
    flip(&head, 200);
    flip(&head, 4096 + 200);
    refused(&place, &["both slots of", "are damaged; nothing was changed"]);
    flip(&head, 4096 + 200);
    place.start().stop();
}

#[test]
fn a_missing_part_of_the_journal_stops_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), "origin");
    let origin = place.start().without_decoys();
    for seed in 0..3 {
        import_all(&origin, &keys(seed, 20_000));
    }
    origin.release();
    origin.stop();
    let journal = place.data.join("journal");
    let aside = dir.path().join("aside");
    let last = newest(&journal, "segment-", ".journal");
    let number: u32 =
        last.to_str().and_then(|s| s[..s.len() - 8].rsplit('-').next()?.parse().ok()).expect("a number");
    assert!(number >= 3, "three segments at least, there are {number}");
    for (gone, says) in [
        (last.clone(), "put back the missing file"),
        (journal.join(format!("segment-{:010}.journal", number - 1)), "nothing was changed"),
        (journal.join("head"), "its journal or the head file of it is missing"),
    ] {
        std::fs::rename(&gone, &aside).expect("moved");
        refused(&place, &[says]);
        std::fs::rename(&aside, &gone).expect("moved back");
    }
    std::fs::rename(&journal, &aside).expect("moved");
    refused(&place, &["its journal or the head file of it is missing", "nothing was changed"]);
    std::fs::rename(&aside, &journal).expect("moved back");
    place.start().stop();
}

#[test]
fn a_damaged_or_newer_snapshot_is_passed_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, root) = released(dir.path(), "origin");
    let snapshots = place.data.join("snapshots");
    let damaged = newest(&snapshots, "snapshot-", ".tekd");
    flip(&damaged, 150);
    place.forget_log();
    let origin = place.start();
    let log = place.log();
    assert!(
        log.contains(&format!("snapshot {} is not used: the snapshot is damaged", damaged.display())),
        "{log}"
    );
    assert_eq!(origin.release().1, root, "the state is that of the journal");
    origin.stop();
    let newer = newest(&snapshots, "snapshot-", ".tekd");
    assert_ne!(newer, damaged, "a stop leaves a snapshot of its own");
    edit(&newer, |bytes| {
        bytes[8..12].copy_from_slice(&9u32.to_le_bytes());
        seal(bytes, 0, 140);
    });
    place.forget_log();
    let origin = place.start();
    let log = place.log();
    assert!(log.contains("is not used: the snapshot was written by a newer tekd: format 9"), "{log}");
    assert_eq!(origin.release().1, root);
}

#[test]
fn a_damaged_or_newer_generation_is_made_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, root) = released(dir.path(), "origin");
    let table = newest(&place.data.join("sets").join("1"), "gen-", ".tekd");
    let good = std::fs::read(&table).expect("a table");
    for (says, change) in [
        ("damaged", Box::new(|bytes: &mut Vec<u8>| bytes[5000] ^= 1) as Box<dyn Fn(&mut Vec<u8>)>),
        ("damaged", Box::new(|bytes: &mut Vec<u8>| bytes.truncate(5000))),
        (
            "format 9 was written by a newer version",
            Box::new(|bytes: &mut Vec<u8>| {
                bytes[8] = 9;
                seal(bytes, 0, 4092);
            }),
        ),
    ] {
        edit(&table, |bytes| change(bytes));
        place.forget_log();
        let origin = place.start();
        let log = place.log();
        assert!(log.contains(says) && log.contains("it is made again from the journal"), "{log}");
        assert_eq!(std::fs::read(&table).expect("a table"), good, "the same bytes as before");
        origin.stop();
    }
    std::fs::remove_dir_all(place.data.join("sets")).expect("removed");
    assert_eq!(place.start().release().1, root, "a cache that is gone is made again");
}

#[test]
fn a_damaged_trust_file_or_key_stops_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, _) = released(dir.path(), "origin");
    for (name, change, says) in [
        ("trust.json", "{", "nothing was changed: put it back from a backup"),
        ("trust.json", "{\"format\":9}", "trust.json"),
        ("keys/online-1.key", "no key", "is not a key file of tekd"),
        ("keys/root.key", "", "is not a key file of tekd"),
    ] {
        let file = place.data.join(name);
        let good = std::fs::read(&file).expect("a file");
        std::fs::write(&file, change).expect("written");
        refused(&place, &[name, says]);
        std::fs::write(&file, good).expect("written back");
    }
    std::fs::remove_file(place.data.join("trust.json")).expect("removed");
    let origin = place.start();
    assert_eq!(origin.trust().sets, [1], "a trust file that is gone is made again from the root key");
}
