//! First start, and the directories that are refused without a change.

use std::path::Path;

use tekd::engine::{Event, Input, Moment, Reply, Ticket};
use tekd::node::{OriginError, StartError, journal_path, snapshots_path, trust_path};
use tekd::store::{Disk, MemoryDisk, read_file, replace_file};

use super::world::{DIR, Dice, NOON, World, event, keys_of_day};

fn open(disk: &MemoryDisk) -> Result<World, StartError> {
    World::open(disk.clone(), Moment { unix: NOON + 60, monotonic_ms: 0 }, 99)
}

/// Every file and its bytes.
fn files(disk: &MemoryDisk) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let dir = Path::new(DIR);
    let dirs = [dir.to_path_buf(), dir.join("keys"), journal_path(dir), snapshots_path(dir)];
    let names = dirs.iter().flat_map(|dir| disk.list(dir).unwrap_or_default());
    names.map(|file| (file.clone(), read_file(disk, &file, 1 << 26).expect("readable"))).collect()
}

fn remove_all(disk: &MemoryDisk, dir: &Path) {
    for file in disk.list(dir).unwrap_or_default() {
        disk.remove(&file).unwrap();
    }
}

fn refused(disk: &MemoryDisk) -> OriginError {
    // A journal that is sound notes its head, whatever else is wrong.
    let head = journal_path(Path::new(DIR)).join("head");
    let files = |disk| files(disk).into_iter().filter(|(f, _)| *f != head).collect::<Vec<_>>();
    let before = files(disk);
    let error = match open(disk) {
        Err(StartError::Origin(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opens"),
    };
    assert!(before == files(disk), "a directory that is refused is not changed");
    error
}

#[test]
fn an_empty_directory_becomes_an_origin_with_set_one() {
    let mut world = World::new(NOON, 1);
    let kinds: Vec<&str> = world.records(1).iter().map(|r| event(r).name()).collect();
    let founded = ["founded", "delegated", "configured", "manifest-issued"];
    assert_eq!(kinds, [&founded[..], &["seal-key-made", "manifest-issued"]].concat());
    let trust = world.trust();
    assert_eq!((trust.sets, trust.threshold), (vec![1], 1));
    assert_eq!(trust.service, world.origin.identity().service_id);
    let service = trust.service;
    assert_eq!(world.restart().origin.identity().service_id, service);
}

#[test]
fn where_there_was_an_origin_none_is_founded() {
    // Its journal is gone.
    let world = World::new(NOON, 2);
    let disk = world.disk.clone();
    drop(world);
    remove_all(&disk, &journal_path(Path::new(DIR)));
    assert!(matches!(refused(&disk), OriginError::Mixed { .. }));
    // So is its identity.
    disk.remove(&Path::new(DIR).join("identity")).unwrap();
    assert!(matches!(refused(&disk), OriginError::Mixed { .. }));
    // Only its identity is.
    let disk = World::new(NOON, 3).disk;
    disk.remove(&Path::new(DIR).join("identity")).unwrap();
    disk.remove(&trust_path(Path::new(DIR))).unwrap();
    assert!(matches!(refused(&disk), OriginError::Mixed { .. }));
}

#[test]
fn a_snapshot_of_another_history_is_refused() {
    let mut world = World::new(NOON, 4);
    world.snapshot();
    let snapshots = snapshots_path(Path::new(DIR));
    let file = world.disk.list(&snapshots).unwrap().pop().unwrap();
    let bytes = read_file(&world.disk, &file, 1 << 20).unwrap();
    // The same origin, whose journal went another way: here, by a file put back too late.
    let other = World::new(NOON + 1, 4);
    other.disk.create_dir(&snapshots).unwrap();
    replace_file(&other.disk, &file, &bytes).unwrap();
    assert!(matches!(refused(&other.disk), OriginError::Astray { .. }));
}

#[test]
fn a_snapshot_ahead_of_the_journal_is_refused() {
    let mut world = World::new(NOON, 5);
    let early = files(&world.disk);
    world.tick_to(1, NOON + 1800);
    world.snapshot();
    let disk = world.disk.clone();
    drop(world);
    let journal = journal_path(Path::new(DIR));
    remove_all(&disk, &journal);
    for (file, bytes) in early.iter().filter(|(file, _)| file.parent() == Some(&*journal)) {
        replace_file(&disk, file, bytes).unwrap();
    }
    match refused(&disk) {
        OriginError::Ahead { snapshot, journal } => assert!(snapshot > journal),
        other => panic!("{other}"),
    }
}

#[test]
fn one_turn_may_be_larger_than_a_group() {
    let mut world = World::new(NOON, 6);
    let mut dice = Dice::new(6);
    let imports: Vec<(Ticket, Input)> = (0..2)
        .map(|i| {
            let keys = keys_of_day(&mut dice, NOON, 1 + i, 900_000);
            (Ticket(10 + i), Input::Import { set: 1, provider: "import".to_owned(), keys })
        })
        .collect();
    let before = world.origin.head().gno;
    let committed = world.origin.step(world.now, imports).expect("it fits in several");
    assert_eq!(committed.replies.len(), 2);
    for (_, reply) in committed.replies {
        assert!(matches!(reply, Ok(Reply::Imported(counts)) if counts.accepted == 900_000));
    }
    assert!(world.origin.head().gno > before + 1);
    let reported = |e: &Event| matches!(e, Event::Reported(_));
    assert_eq!(world.records(1).iter().filter(|r| reported(&event(r))).count(), 2 * 30_000);
}
