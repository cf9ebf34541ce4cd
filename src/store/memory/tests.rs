//! The disk in memory: what survives, what does not, and that seeds repeat.

use super::*;
use crate::store::read_file;

fn disk() -> (MemoryDisk, PathBuf) {
    let disk = MemoryDisk::new();
    disk.create_dir(Path::new("/d")).unwrap();
    (disk, PathBuf::from("/d/file"))
}

#[test]
fn what_was_never_synced_is_gone_after_a_clean_crash() {
    let (disk, path) = disk();
    let file = disk.create(&path).unwrap();
    file.write_all_at(b"first", 0).unwrap();
    file.sync().unwrap();
    assert!(disk.crash_clean().open(&path).is_err(), "the name was not synced");
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(b"later and longer", 0).unwrap();
    assert_eq!(read_file(&disk.crash_clean(), &path, 100).unwrap(), b"first");
    file.sync().unwrap();
    assert_eq!(read_file(&disk.crash_clean(), &path, 100).unwrap(), b"later and longer");
}

#[test]
fn crashes_keep_drop_and_tear_sectors_and_equal_seeds_agree() {
    let (disk, path) = disk();
    let file = disk.create(&path).unwrap();
    file.write_all_at(&[1; 4 * SECTOR], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    file.write_all_at(&[2; 4 * SECTOR], 0).unwrap();
    let images: BTreeSet<Vec<u8>> =
        (0..200).map(|seed| read_file(&disk.crash(seed), &path, 4096).unwrap()).collect();
    assert!(images.contains(&vec![1; 4 * SECTOR]));
    assert!(images.contains(&vec![2; 4 * SECTOR]));
    let torn = |image: &[u8]| image.chunks(SECTOR).any(|s| s.contains(&1) && s.contains(&2));
    assert!(images.iter().any(|image| torn(image)));
    let again = |seed| read_file(&disk.crash(seed), &path, 4096).unwrap();
    assert_eq!(again(7), again(7));
}

#[test]
fn an_unsynced_rename_leaves_the_old_or_the_new_file_whole() {
    let (disk, path) = disk();
    let other = PathBuf::from("/d/other");
    for (name, byte) in [(&path, 1), (&other, 2)] {
        let file = disk.create(name).unwrap();
        file.write_all_at(&[byte], 0).unwrap();
        file.sync().unwrap();
    }
    disk.sync_dir(Path::new("/d")).unwrap();
    disk.rename(&other, &path).unwrap();
    let seen: BTreeSet<Vec<u8>> =
        (0..50).map(|seed| read_file(&disk.crash(seed), &path, 1).unwrap()).collect();
    assert_eq!(seen, BTreeSet::from([vec![1], vec![2]]));
}

#[test]
fn a_failed_sync_makes_nothing_durable_and_the_next_one_lies() {
    let (disk, path) = disk();
    let file = disk.create(&path).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    disk.fail(OperationKind::Sync, 1, Fault::Eio);
    file.write_all_at(b"lost", 0).unwrap();
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(libc::EIO));
    file.sync().unwrap();
    assert_eq!(read_file(&disk, &path, 4).unwrap(), b"lost");
    assert_eq!(read_file(&disk.crash_clean(), &path, 4).unwrap(), [0; 4]);
}

#[test]
fn what_a_lying_sync_lost_is_seen_by_those_who_read_the_disk_itself() {
    let (disk, path) = disk();
    let file = disk.create(&path).unwrap();
    file.write_all_at(&[1; 700], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    disk.fail(OperationKind::Sync, 1, Fault::Lost);
    file.write_all_at(&[2; 1000], 600).unwrap();
    file.sync().unwrap();
    file.sync().unwrap();
    let expected = [vec![1; 700], vec![0; 900]].concat();
    let direct = disk.open_direct_read(&path).unwrap();
    for (at, len) in [(0, 1600), (511, 2), (690, 400), (1599, 1)] {
        let mut seen = vec![9; len];
        direct.read_exact_at(&mut seen, at as u64).unwrap();
        assert_eq!(seen, expected[at..at + len], "{len} bytes at {at}");
    }
    assert!(direct.read_exact_at(&mut [0; 2], 1599).is_err());
    assert_eq!(read_file(&disk, &path, 2000).unwrap()[600..], [2; 1000], "memory has it");
    assert_eq!(read_file(&disk.crash_clean(), &path, 2000).unwrap(), expected);
    file.write_all_at(&[3; 1600], 0).unwrap();
    file.sync().unwrap();
    let mut seen = vec![9; 1600];
    direct.read_exact_at(&mut seen, 0).unwrap();
    assert_eq!(seen, [3; 1600]);
}

#[test]
fn a_frozen_disk_refuses_everything_and_its_image_can_be_used() {
    let (disk, path) = disk();
    disk.freeze_after(1);
    let file = disk.create(&path).unwrap();
    assert!(file.write_all_at(b"x", 0).is_err());
    assert!(file.len().is_err() && disk.list(Path::new("/d")).is_err() && disk.open(&path).is_err());
    assert_eq!(disk.operations().len(), 2);
    assert!(disk.crash(3).list(Path::new("/d")).is_ok());
}

#[test]
fn a_chosen_cut_does_what_it_was_told_to_each_loose_thing() {
    let (disk, path) = disk();
    let file = disk.create(&path).unwrap();
    file.write_all_at(&[1; 2 * SECTOR], 0).unwrap();
    assert_eq!(disk.loose(), [Loose::Name, Loose::Length(2 * SECTOR), Loose::Sector, Loose::Sector]);
    let read = |fates: &[Fate]| read_file(&disk.crash_as(fates), &path, 4096);
    assert!(read(&[]).is_err(), "no name");
    use Fate::{Dropped, Kept, Torn};
    assert_eq!(read(&[Kept]).unwrap(), b"");
    assert_eq!(
        read(&[Kept, Torn(SECTOR + 7), Dropped, Torn(3)]).unwrap(),
        [vec![0; SECTOR], vec![1; 3], vec![0; 4]].concat()
    );
    file.sync().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(disk.loose(), []);
    file.write_all_at(&[1; SECTOR], 0).unwrap();
    assert_eq!(disk.loose(), [], "the same bytes again would not be missed");
    file.write_all_at(&[2; SECTOR], SECTOR as u64).unwrap();
    assert_eq!(disk.loose(), [Loose::Sector]);
    assert_eq!(
        read_file(&disk.crash_as(&[Torn(9)]), &path, 4096).unwrap(),
        [vec![1; SECTOR], vec![2; 9], vec![1; SECTOR - 9]].concat()
    );
}

#[test]
fn a_quota_stops_what_grows_and_nothing_else() {
    let disk = MemoryDisk::new();
    let dir = Path::new("/d");
    disk.create_dir(dir).unwrap();
    let file = disk.create(&dir.join("a")).unwrap();
    file.write_all_at(&[1; 1000], 0).unwrap();
    disk.set_quota(dir, Some(1500));
    let full = file.write_all_at(&[2; 1000], 900).unwrap_err();
    assert_eq!((full.kind(), file.len().unwrap()), (io::ErrorKind::StorageFull, 1500));
    file.write_all_at(&[3; 1500], 0).unwrap();
    disk.create(Path::new("/elsewhere")).unwrap().write_all_at(&[4; 5000], 0).unwrap();
    disk.remove(&dir.join("a")).unwrap();
    assert_eq!(disk.used(dir), 0);
    disk.create(&dir.join("b")).unwrap().write_all_at(&[5; 1500], 0).unwrap();
}
