//! Snapshots: one opaque payload that stands for everything up to a head of the journal.
//!
//! A snapshot is written under a temporary name, synced, read back from the disk and verified, and
//! only then named, before an older one may go. It is a short cut: whoever has none reads the journal.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::disk::{Disk, DiskFile};
use super::journal::{Head, LogId};

/// Format of a snapshot file.
const FORMAT: u32 = 1;
const MAGIC: [u8; 8] = *b"TEKDSNAP";
const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".tekd";
/// Digits of the group in a name.
const DIGITS: usize = 20;
/// Bytes written at once, and verified at once.
const CHUNK: usize = 1 << 20;
/// Bytes that are made durable at once.
const SYNCED: usize = 4 << 20;
/// Largest payload. It is held in memory whole, beside the state it was made of or gives.
pub const MAX_SNAPSHOT: u64 = 64 << 30;
/// Keys that one service may have to hold: a retention of the largest countries.
const KEYS: u64 = 300_000_000;
/// Bytes that a key takes in a payload with its claim, its entry and its part of a report, and some more.
const BYTES_PER_KEY: u64 = 200;

const _: () = assert!(size_of::<Header>() == 144);
const _: () = assert!(MAX_SNAPSHOT <= usize::MAX as u64 && KEYS * BYTES_PER_KEY <= MAX_SNAPSHOT);

/// Beginning of a snapshot file; the payload follows (spec 5.5).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    format: U32,
    incarnation: U32,
    log_id: LogId,
    gno: U64,
    seq: U64,
    chain: [u8; 32],
    payload_len: U64,
    payload_sha256: [u8; 32],
    zero: [u8; 20],
    crc: U32,
}

/// A payload and the head it stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Everything up to this head is in the payload.
    pub head: Head,
    /// Opaque here.
    pub payload: Vec<u8>,
    /// SHA-256 of the payload.
    pub digest: [u8; 32],
}

/// A snapshot that could not be used.
#[derive(Debug)]
pub struct Skipped {
    /// Its file.
    pub file: PathBuf,
    /// Why not.
    pub why: SnapshotError,
}

/// What a directory of snapshots offers.
#[derive(Debug)]
pub struct Found {
    /// The newest snapshot that is whole.
    pub snapshot: Option<Snapshot>,
    /// Newer ones that are not.
    pub skipped: Vec<Skipped>,
}

/// Why a snapshot cannot be written or used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SnapshotError {
    #[error(
        "a snapshot of {len} bytes, at most {max} are possible: shorten the retention of the sets, or divide them among \
         several services"
    )]
    TooLarge { len: u64, max: u64 },
    #[error("the snapshot is damaged: {what}")]
    Damaged { what: &'static str },
    #[error("the snapshot was written by a newer tekd: format {found}, this one reads up to {max}")]
    Newer { found: u32, max: u32 },
    #[error("the snapshot belongs to another log")]
    Foreign,
    #[error("cannot {what} {}: {source}", file.display())]
    Disk { what: &'static str, file: PathBuf, source: io::Error },
}

fn failed(what: &'static str, file: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    let file = file.to_path_buf();
    move |source| SnapshotError::Disk { what, file, source }
}

/// Writes a snapshot of `log_id` at `head` into `dir`, which is made if need be, verifies
/// it by reading it back. Returns the digest of the payload.
pub fn write(
    disk: &dyn Disk,
    dir: &Path,
    log_id: &LogId,
    head: &Head,
    payload: &[u8],
) -> Result<[u8; 32], SnapshotError> {
    let len = payload.len() as u64;
    if len > MAX_SNAPSHOT {
        return Err(SnapshotError::TooLarge { len, max: MAX_SNAPSHOT });
    }
    disk.create_dir(dir).map_err(failed("create", dir))?;
    let header = header(log_id, head, payload);
    let path = path(dir, head.gno);
    let temporary = path.with_extension("new");
    let written = put(disk, &temporary, &header, payload).map_err(failed("write", &temporary));
    if let Err(error) = written.and_then(|()| read_back(disk, &temporary, log_id, head, &header)) {
        // Best effort: what it took is missed on a full disk, and the next start removes it too.
        let _ = disk.remove(&temporary);
        return Err(error);
    }
    disk.rename(&temporary, &path).and_then(|()| disk.sync_dir(dir)).map_err(failed("write", &path))?;
    Ok(header.payload_sha256)
}

/// Fails unless the disk itself has what was just written.
fn read_back(
    disk: &dyn Disk,
    path: &Path,
    log_id: &LogId,
    head: &Head,
    header: &Header,
) -> Result<(), SnapshotError> {
    if verify(disk, path, log_id)? != (*head, header.payload_sha256) {
        return Err(SnapshotError::Damaged { what: "it is not what was just written" });
    }
    Ok(())
}

/// The snapshot of `log_id` in `dir` that stands at group `gno`.
pub fn at(disk: &dyn Disk, dir: &Path, log_id: &LogId, gno: u64) -> Result<Snapshot, SnapshotError> {
    read(disk, &path(dir, gno), log_id)
}

/// The newest whole snapshot of `log_id` in `dir`; newer ones that are damaged, foreign or
/// of a newer format are skipped and reported. A missing directory holds none.
pub fn newest_valid(disk: &dyn Disk, dir: &Path, log_id: &LogId) -> Result<Found, SnapshotError> {
    let mut found = Found { snapshot: None, skipped: Vec::new() };
    for file in list(disk, dir)?.into_iter().rev() {
        match read(disk, &file, log_id) {
            Ok(snapshot) => {
                found.snapshot = Some(snapshot);
                break;
            }
            Err(why) => found.skipped.push(Skipped { file, why }),
        }
    }
    Ok(found)
}

fn path(dir: &Path, gno: u64) -> PathBuf {
    dir.join(format!("{PREFIX}{gno:0DIGITS$}{SUFFIX}"))
}

/// The group that a snapshot file is named by.
fn gno_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    if digits.len() == DIGITS { digits.parse().ok() } else { None }
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => Ok(listed
            .map_err(failed("list", dir))?
            .into_iter()
            .filter(|file| gno_of(file).is_some())
            .collect()),
    }
}

fn header(log_id: &LogId, head: &Head, payload: &[u8]) -> Header {
    let mut header = Header {
        magic: MAGIC,
        format: U32::new(FORMAT),
        incarnation: U32::new(head.incarnation),
        log_id: *log_id,
        gno: U64::new(head.gno),
        seq: U64::new(head.seq),
        chain: head.chain,
        payload_len: U64::new(payload.len() as u64),
        payload_sha256: Sha256::digest(payload).into(),
        zero: [0; 20],
        crc: U32::new(0),
    };
    header.crc = U32::new(header_crc(&header));
    header
}

fn header_crc(header: &Header) -> u32 {
    let bytes = header.as_bytes();
    crc32c::crc32c(&bytes[..bytes.len() - 4])
}

fn put(disk: &dyn Disk, temporary: &Path, header: &Header, payload: &[u8]) -> io::Result<()> {
    match disk.remove(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(temporary)?;
    file.write_all_at(header.as_bytes(), 0)?;
    let mut at = size_of::<Header>() as u64;
    for chunk in payload.chunks(SYNCED) {
        // Piece by piece: a group that is synced meanwhile waits for one of them on the disk, not for all.
        if at > size_of::<Header>() as u64 {
            file.sync()?;
        }
        file.write_all_at(chunk, at)?;
        at += chunk.len() as u64;
    }
    file.sync()
}

/// A snapshot file, its header checked.
struct Opened {
    file: Box<dyn DiskFile>,
    head: Head,
    payload_len: u64,
    payload_sha256: [u8; 32],
}

impl Opened {
    fn of(file: Box<dyn DiskFile>, path: &Path, log_id: &LogId) -> Result<Opened, SnapshotError> {
        let damaged = |what| Err(SnapshotError::Damaged { what });
        let len = file.len().map_err(failed("read", path))?;
        let mut bytes = [0; size_of::<Header>()];
        if len < bytes.len() as u64 {
            return damaged("it is shorter than its header");
        }
        file.read_exact_at(&mut bytes, 0).map_err(failed("read", path))?;
        let header: &Header = zerocopy::transmute_ref!(&bytes);
        if header.magic != MAGIC || header.crc.get() != header_crc(header) {
            return damaged("its header does not match its checksum");
        }
        if header.format.get() > FORMAT {
            return Err(SnapshotError::Newer { found: header.format.get(), max: FORMAT });
        }
        if header.log_id != *log_id {
            return Err(SnapshotError::Foreign);
        }
        let payload_len = header.payload_len.get();
        if payload_len > MAX_SNAPSHOT {
            return Err(SnapshotError::TooLarge { len: payload_len, max: MAX_SNAPSHOT });
        }
        if len != bytes.len() as u64 + payload_len {
            return damaged("its length is not what its header says");
        }
        let head = Head {
            incarnation: header.incarnation.get(),
            gno: header.gno.get(),
            seq: header.seq.get(),
            chain: header.chain,
        };
        Ok(Opened { file, head, payload_len, payload_sha256: header.payload_sha256 })
    }

    /// Fills `buf` from byte `at` of the payload.
    fn read_at(&self, buf: &mut [u8], at: u64, path: &Path) -> Result<(), SnapshotError> {
        self.file.read_exact_at(buf, size_of::<Header>() as u64 + at).map_err(failed("read", path))
    }

    fn check(&self, digest: [u8; 32]) -> Result<(), SnapshotError> {
        if digest != self.payload_sha256 {
            return Err(SnapshotError::Damaged { what: "its payload does not match its hash" });
        }
        Ok(())
    }
}

fn read(disk: &dyn Disk, path: &Path, log_id: &LogId) -> Result<Snapshot, SnapshotError> {
    let opened = Opened::of(disk.open(path).map_err(failed("open", path))?, path, log_id)?;
    let mut payload = vec![0; opened.payload_len as usize];
    opened.read_at(&mut payload, 0, path)?;
    let digest: [u8; 32] = Sha256::digest(&payload).into();
    opened.check(digest)?;
    Ok(Snapshot { head: opened.head, payload, digest })
}

/// Head and digest of the snapshot that the disk has in `path`, whatever memory has of it; read a piece at a
/// time.
fn verify(disk: &dyn Disk, path: &Path, log_id: &LogId) -> Result<(Head, [u8; 32]), SnapshotError> {
    let file = disk.open_direct_read(path).map_err(failed("open", path))?;
    let opened = Opened::of(file, path, log_id)?;
    let (mut hash, mut piece, mut at) = (Sha256::new(), vec![0; CHUNK], 0);
    while at < opened.payload_len {
        let len = (opened.payload_len - at).min(CHUNK as u64) as usize;
        opened.read_at(&mut piece[..len], at, path)?;
        hash.update(&piece[..len]);
        at += len as u64;
    }
    let digest = hash.finalize().into();
    opened.check(digest)?;
    Ok((opened.head, digest))
}

/// The group at which the oldest snapshot of `dir` stands.
pub fn oldest(disk: &dyn Disk, dir: &Path) -> Result<Option<u64>, SnapshotError> {
    Ok(list(disk, dir)?.first().and_then(|file| gno_of(file)))
}

/// The group at which the newest snapshot of `dir` stands, whole or not.
pub fn newest(disk: &dyn Disk, dir: &Path) -> Result<Option<u64>, SnapshotError> {
    Ok(list(disk, dir)?.last().and_then(|file| gno_of(file)))
}

/// Removes the snapshots of `log_id` in `dir` that `base`, the group of the newest one the journal names,
/// makes superfluous: all below the newest whole one before it, which is kept to fall back to. `whole`: the
/// group of that one, if it has just been read; else it is looked for. What is damaged or of another log
/// counts for nothing and goes with what is below (spec 5.5.4). Returns the group at which the oldest stands
/// that is whole.
pub fn remove_old(
    disk: &dyn Disk,
    dir: &Path,
    log_id: &LogId,
    base: u64,
    whole: Option<u64>,
) -> Result<u64, SnapshotError> {
    let files: Vec<_> =
        list(disk, dir)?.into_iter().filter_map(|file| Some((gno_of(&file)?, file))).collect();
    for (_, file) in files.iter().filter(|(gno, _)| *gno > base) {
        tracing::warn!("snapshot {} is after the newest that the journal names: it stays", file.display());
    }
    let below = || files.iter().rev().filter(|(gno, _)| *gno < base);
    let whole = whole.filter(|gno| *gno < base);
    let found = || below().find(|(_, file)| verify(disk, file, log_id).is_ok()).map(|(gno, _)| *gno);
    let Some(before) = whole.or_else(found) else { return Ok(base) };
    let mut removed = false;
    for (_, file) in below().filter(|(gno, _)| *gno < before) {
        disk.remove(file).map_err(failed("remove", file))?;
        removed = true;
    }
    if removed {
        disk.sync_dir(dir).map_err(failed("sync", dir))?;
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Fault, MemoryDisk, OperationKind};

    const LOG: LogId = [3; 16];
    const DIR: &str = "/snapshots";

    fn head(gno: u64) -> Head {
        Head { incarnation: 1, gno, seq: 10 * gno, chain: [gno as u8; 32] }
    }

    fn write(disk: &MemoryDisk, gno: u64) {
        super::write(disk, Path::new(DIR), &LOG, &head(gno), &gno.to_le_bytes()).unwrap();
    }

    fn remove_old(disk: &MemoryDisk, base: u64, whole: Option<u64>) -> u64 {
        super::remove_old(disk, Path::new(DIR), &LOG, base, whole).unwrap()
    }

    fn newest_whole(disk: &MemoryDisk) -> Found {
        newest_valid(disk, Path::new(DIR), &LOG).unwrap()
    }

    #[test]
    fn the_newest_snapshot_is_read_back_and_two_are_kept() {
        let disk = MemoryDisk::new();
        assert!(newest_whole(&disk).snapshot.is_none());
        for gno in [3, 20, 100] {
            write(&disk, gno);
            let found = newest_whole(&disk).snapshot.unwrap();
            assert_eq!((found.head, &found.payload[..]), (head(gno), &gno.to_le_bytes()[..]));
        }
        assert_eq!(at(&disk, Path::new(DIR), &LOG, 3).unwrap().head, head(3));
        assert_eq!(remove_old(&disk, 100, None), 20);
        assert!(at(&disk, Path::new(DIR), &LOG, 3).is_err());
        assert_eq!(disk.list(Path::new(DIR)).unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_whole_counts_for_nothing_when_old_snapshots_go() {
        for known in [None, Some(20)] {
            let disk = MemoryDisk::new();
            for gno in [3, 20, 25, 30] {
                write(&disk, gno);
            }
            disk.damage(&path(Path::new(DIR), 25), 150, 1).unwrap();
            super::write(&disk, Path::new(DIR), &[9; 16], &head(27), b"of another log").unwrap();
            for junk in [31, u64::MAX] {
                disk.create(&path(Path::new(DIR), junk)).unwrap();
            }
            assert_eq!(remove_old(&disk, 30, known), 20);
            let left: Vec<_> =
                list(&disk, Path::new(DIR)).unwrap().iter().filter_map(|f| gno_of(f)).collect();
            assert_eq!(left, [20, 25, 27, 30, 31, u64::MAX]);
            assert_eq!(newest_whole(&disk).snapshot.unwrap().head, head(30));
            // The next base takes along what is below.
            write(&disk, 40);
            assert_eq!(remove_old(&disk, 40, known), if known.is_some() { 20 } else { 30 });
        }
        let disk = MemoryDisk::new();
        write(&disk, 7);
        write(&disk, 8);
        disk.damage(&path(Path::new(DIR), 7), 150, 1).unwrap();
        assert_eq!(remove_old(&disk, 8, None), 8);
        assert_eq!(list(&disk, Path::new(DIR)).unwrap().len(), 2, "there is none to fall back to");
    }

    #[test]
    fn a_snapshot_that_finds_no_space_leaves_nothing_of_itself() {
        let payload = vec![7; 3 * SYNCED];
        for nth in 1.. {
            let disk = MemoryDisk::new();
            write(&disk, 1);
            disk.fail(OperationKind::Write, nth, Fault::Enospc);
            let done = super::write(&disk, Path::new(DIR), &LOG, &head(2), &payload).is_ok();
            let names = disk.list(Path::new(DIR)).unwrap();
            assert_eq!(names.len(), 1 + usize::from(done), "write {nth}: {names:?}");
            assert!(names.iter().all(|name| gno_of(name).is_some()), "write {nth}: {names:?}");
            if done {
                assert_eq!(nth, 5, "a header and three pieces");
                break;
            }
        }
        for nth in 1..=3 {
            let disk = MemoryDisk::new();
            disk.fail(OperationKind::Sync, nth, Fault::Eio);
            assert!(super::write(&disk, Path::new(DIR), &LOG, &head(1), &payload).is_err(), "sync {nth}");
            assert_eq!(disk.list(Path::new(DIR)).unwrap(), [] as [PathBuf; 0]);
        }
    }

    #[test]
    fn a_snapshot_that_the_disk_lost_is_none_though_memory_has_it() {
        let disk = MemoryDisk::new();
        write(&disk, 1);
        disk.fail(OperationKind::Sync, 1, Fault::Lost);
        let lost = super::write(&disk, Path::new(DIR), &LOG, &head(2), &vec![7; 2 * CHUNK + 5]);
        assert!(matches!(lost, Err(SnapshotError::Damaged { .. })), "{lost:?}");
        assert_eq!(list(&disk, Path::new(DIR)).unwrap().len(), 1);
        assert_eq!(disk.list(Path::new(DIR)).unwrap().len(), 1);
    }

    #[test]
    fn every_flipped_byte_makes_the_older_snapshot_the_newest() {
        let disk = MemoryDisk::new();
        write(&disk, 1);
        write(&disk, 2);
        let file = disk.list(Path::new(DIR)).unwrap().pop().unwrap();
        for offset in 0..disk.open(&file).unwrap().len().unwrap() {
            disk.damage(&file, offset, 0x40).unwrap();
            let found = newest_whole(&disk);
            assert_eq!(found.snapshot.unwrap().head, head(1), "{offset}");
            assert_eq!(found.skipped[0].file, file);
            disk.damage(&file, offset, 0x40).unwrap();
        }
    }

    #[test]
    fn a_length_beyond_four_gibibytes_is_as_good_as_any_up_to_the_limit() {
        let disk = MemoryDisk::new();
        write(&disk, 1);
        let file = path(Path::new(DIR), 1);
        let claim = |payload_len: u64| {
            let mut header = header(&LOG, &head(1), &1_u64.to_le_bytes());
            header.payload_len = U64::new(payload_len);
            header.crc = U32::new(header_crc(&header));
            disk.open_write(&file).unwrap().write_all_at(header.as_bytes(), 0).unwrap();
            at(&disk, Path::new(DIR), &LOG, 1).unwrap_err()
        };
        for len in [(4 << 30) + 1, MAX_SNAPSHOT] {
            assert!(matches!(claim(len), SnapshotError::Damaged { what } if what.contains("length")));
        }
        let refused = claim(MAX_SNAPSHOT + 1);
        assert!(matches!(refused, SnapshotError::TooLarge { max: MAX_SNAPSHOT, .. }), "{refused}");
    }

    #[test]
    fn a_snapshot_of_another_log_is_skipped() {
        let disk = MemoryDisk::new();
        write(&disk, 1);
        let found = newest_valid(&disk, Path::new(DIR), &[4; 16]).unwrap();
        assert!(found.snapshot.is_none());
        assert!(matches!(found.skipped[0].why, SnapshotError::Foreign));
    }

    #[test]
    fn a_crash_at_any_step_leaves_the_old_or_the_new_snapshot() {
        for steps in 0..12 {
            for seed in 0..8 {
                let disk = MemoryDisk::new();
                write(&disk, 1);
                write(&disk, 2);
                disk.freeze_after(steps);
                let done = super::write(&disk, Path::new(DIR), &LOG, &head(3), &[5; 3000]).is_ok();
                if done {
                    let _ = super::remove_old(&disk, Path::new(DIR), &LOG, 3, None);
                }
                let gno = newest_whole(&disk.crash(seed)).snapshot.unwrap().head.gno;
                assert!(gno == 3 || gno == 2 && !done, "steps {steps}, seed {seed}: {gno}");
            }
        }
    }
}
