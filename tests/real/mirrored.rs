//! A journal with a mirror, in the real binary: said by status, found again after the journal is lost,
//! refused where it is not right, and rot told while the other copy is whole.

use std::path::{Path, PathBuf};
use std::process::Command;

use tekd::service::control::{ControlRequest, Exit};

use super::directories::{refused, released};
use super::edits::flip;
use super::imported::import_all;
use super::keys::keys;
use super::server::{Place, until};
use super::tree::{contents, copy, newest};

/// A place whose journal has a mirror.
fn mirrored(dir: &Path, name: &str) -> (Place, PathBuf) {
    let mirror = dir.join(format!("{name}-mirror"));
    std::fs::create_dir(&mirror).expect("a directory");
    (configured(Place::new(dir, name), dir, &mirror), mirror)
}

fn configured(place: Place, dir: &Path, mirror: &Path) -> Place {
    let file = dir.join(format!("{}.toml", mirror.file_name().and_then(|n| n.to_str()).expect("text")));
    std::fs::write(&file, format!("[journal]\nmirror = \"{}\"\n", mirror.display())).expect("a file");
    place.with("--config", file)
}

fn journal(place: &Place) -> PathBuf {
    place.data.join("journal")
}

#[test]
fn a_lost_journal_is_put_back_from_its_mirror() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, mirror) = mirrored(dir.path(), "origin");
    let origin = place.start().without_decoys();
    import_all(&origin, &keys(1, 200));
    let (serial, root) = origin.release();
    let status = origin.done(&ControlRequest::Status {});
    assert_eq!(status["journal"]["mirror"]["dir"].as_str(), mirror.to_str());
    assert_eq!(status["journal"]["mirror"]["whole"], true);
    assert!(origin.metric("tekd_mirror_write_seconds_count") >= 4.0);
    assert_eq!(origin.metric("tekd_health{property=\"mirror\"}"), 0.0);
    let seq = status["journal"]["seq"].as_u64().expect("a number");
    origin.kill();
    std::fs::remove_dir_all(journal(&place)).expect("the disk of the journal is lost");
    std::fs::create_dir(journal(&place)).expect("another");
    refused(&place, &["holds no journal, but its mirror", mirror.to_str().expect("text"), "copy the files"]);
    copy(&mirror, &journal(&place));
    let origin = place.start();
    assert_eq!(origin.serial(), serial);
    assert!(origin.done(&ControlRequest::Status {})["journal"]["seq"].as_u64() >= Some(seq));
    assert_eq!(origin.release().1, root, "the same keys");
    origin.stop();
    let same = |dir: &Path| {
        contents(dir).into_iter().filter(|(name, _)| name != Path::new("lock")).collect::<Vec<_>>()
    };
    assert_eq!(same(&journal(&place)), same(&mirror));
}

#[test]
fn a_lost_directory_is_a_backup_with_the_journal_of_the_mirror() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, mirror) = mirrored(dir.path(), "origin");
    let origin = place.start().without_decoys();
    import_all(&origin, &keys(1, 200));
    let backup = dir.path().join("backup");
    tekctl(&place.data, &["backup", backup.to_str().expect("text")]);
    import_all(&origin, &keys(2, 100));
    let (serial, root) = origin.release();
    origin.kill();
    std::fs::remove_dir_all(&place.data).expect("the disk is lost");
    copy(&backup, &place.data);
    std::fs::remove_dir_all(journal(&place)).expect("that of the backup is older");
    copy(&mirror, &journal(&place));
    tekctl(&place.data, &["adopt"]);
    let origin = place.start();
    assert_eq!(origin.serial(), serial, "what came after the backup is there");
    let (after, same) = origin.release();
    assert!(after > serial && same == root, "another incarnation of the same keys");
    origin.stop();
    place.start().stop();
}

fn tekctl(data: &Path, words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tekctl"));
    let done = command.arg("--data").arg(data).args(words).env_remove("TEKD_DATA").output().expect("it runs");
    assert!(done.status.success(), "{words:?}: {done:?}");
}

#[test]
fn a_mirror_that_is_not_right_stops_the_start_and_a_late_one_is_filled() {
    let dir = tempfile::tempdir().expect("a directory");
    let (alone, root) = released(dir.path(), "origin");
    let mirror = dir.path().join("late");
    let place = configured(alone, dir.path(), &mirror);
    refused(&place, &["late is not there; nothing was changed", "mount its disk"]);
    std::fs::create_dir(&mirror).expect("a directory");
    std::fs::write(mirror.join("letter"), "dear").expect("a file");
    refused(&place, &["is to become a mirror, but", "letter is in it"]);
    std::fs::remove_file(mirror.join("letter")).expect("removed");
    let origin = place.start();
    assert_eq!(origin.release().1, root);
    assert!(place.log().contains("ended at group 0, it has got what it lacked"), "{}", place.log());
    // Another server cannot have the same mirror.
    let (other, _) = released(dir.path(), "other");
    refused(&configured(other.clone(), dir.path(), &mirror), &["another tekd (pid", "late"]);
    origin.stop();
    refused(&configured(other, dir.path(), &mirror), &["do not belong together", "belongs to another log"]);
}

#[test]
fn rot_in_a_closed_segment_is_told_while_the_mirror_has_it_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, _) = mirrored(dir.path(), "origin");
    let origin = place.start().without_decoys();
    for seed in 0..3 {
        import_all(&origin, &keys(seed, 20_000));
    }
    origin.release();
    origin.stop();
    let first = journal(&place).join("segment-0000000001.journal");
    assert_ne!(first, newest(&journal(&place), "segment-", ".journal"), "it is closed");
    flip(&first, 4096 + 300);
    let head = journal(&place).join("head");
    flip(&head, 4096 + 100);
    place.forget_log();
    let origin = place.start();
    let told = until("the verifier's finding", || {
        let health = origin.command(&ControlRequest::Health {});
        let findings = health.result?["findings"].as_array()?.clone();
        let found = findings.into_iter().find(|finding| finding["property"] == "journal")?;
        Some((health.exit, found["finding"].as_str()?.to_owned()))
    });
    assert_eq!(told.0, Exit::Degraded);
    let file = first.display().to_string();
    assert!(told.1.contains(&format!("{file} is damaged at byte 4096")), "{}", told.1);
    assert!(told.1.contains("origin-mirror is whole there"), "{}", told.1);
    assert_eq!(origin.metric("tekd_health{property=\"journal\"}"), 1.0);
    let log = place.log();
    assert!(log.contains(&format!("one of the two slots of {} was damaged", head.display())), "{log}");
    origin.release();
}
