//! Who a data directory is: its identity file, and the lock of the process that serves it.
//!
//! The identity names the inode of its own file, and when that was made. A copied or
//! restored directory has another file and is refused until `tekctl adopt` starts a new
//! incarnation, so that two directories never continue one log. (A directory moved within
//! its file system keeps its files, and its identity; so does one whose files were written
//! over in place, which nothing in it can tell.)

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::disk::{Disk, DiskFile, read_file};

/// The newest format of a data directory that this program writes; it says the format of every file in it
/// (spec 5.10.1).
pub const DIRECTORY_FORMAT: u32 = 1;
/// Bytes of the identity file.
const IDENTITY_BYTES: usize = 128;
const MAGIC: [u8; 8] = *b"TEKDIDEN";
const _: () = assert!(size_of::<Layout>() == IDENTITY_BYTES);

/// The identity file (spec 5.2).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Layout {
    magic: [u8; 8],
    format: U32,
    incarnation: U32,
    log_id: [u8; 16],
    service_id: [u8; 8],
    inode: U64,
    born: U64,
    zero: [u8; 68],
    crc: U32,
}

/// Which file an identity is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMark {
    /// Its inode number.
    pub inode: u64,
    /// When it was made, nanoseconds since 1970; 0 if the file system does not tell.
    pub born: u64,
}

impl fmt::Display for FileMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) = (self.born / 1_000_000_000, self.born % 1_000_000_000);
        write!(f, "inode {}, made at {seconds}.{rest:09}", self.inode)
    }
}

impl FileMark {
    /// No file has it.
    const NONE: FileMark = FileMark { inode: 0, born: 0 };

    fn of(disk: &dyn Disk, file: &Path) -> io::Result<FileMark> {
        Ok(FileMark { inode: disk.inode(file)?, born: disk.born(file)? })
    }

    /// Whether `found` may be the file that this names.
    fn is(self, found: FileMark) -> bool {
        self.inode == found.inode && (self.born == 0 || self.born == found.born)
    }
}

/// The identity of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The random name of the log, in all of its files.
    pub log_id: [u8; 16],
    /// The service whose sets the directory holds.
    pub service_id: [u8; 8],
    /// Which life of the log this is, 1 at first.
    pub incarnation: u32,
    /// The format of the directory: what is written into it, whoever writes.
    pub format: u32,
}

/// What [`Identity::adopt`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// The identity from now on.
    pub identity: Identity,
    /// The incarnation before.
    pub before: u32,
}

/// Why a directory cannot be served.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum IdentityError {
    #[error("{} holds no tekd data: it has no identity file", dir.display())]
    Missing { dir: PathBuf },
    #[error("{} already holds tekd data", dir.display())]
    Exists { dir: PathBuf },
    #[error(
        "{} is a copy or a restored backup of a data directory ({found}; its identity says {named}); \
         make sure that the original is not served any more, then run `tekctl adopt`",
        dir.display()
    )]
    Copy { dir: PathBuf, found: FileMark, named: FileMark },
    #[error(
        "{} was written by a newer tekd: format {found}, this one reads up to {max}; nothing was changed: serve it \
         with the tekd that finalized the upgrade, or a newer one",
        file.display()
    )]
    Newer { file: PathBuf, found: u32, max: u32 },
    #[error("{} is damaged ({what}); put it back from a backup, then run `tekctl adopt`", file.display())]
    Damaged { file: PathBuf, what: &'static str },
    #[error("no incarnation is left after {last}")]
    Exhausted { last: u32 },
    #[error("{} is read-only: tekd needs to write there", dir.display())]
    ReadOnly { dir: PathBuf, source: io::Error },
    #[error("another tekd (pid {pid}) serves {}", dir.display())]
    Locked { dir: PathBuf, pid: String },
    #[error("cannot {what} {}: {source}", file.display())]
    Disk { what: &'static str, file: PathBuf, source: io::Error },
}

fn failed(what: &'static str, file: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let (file, dir) = (file.to_path_buf(), file.parent().unwrap_or(file).to_path_buf());
    move |source| match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            IdentityError::ReadOnly { dir, source }
        }
        _ => IdentityError::Disk { what, file, source },
    }
}

impl Identity {
    /// Gives `dir`, which is made if it does not exist, its first identity.
    pub fn create(
        disk: &dyn Disk,
        dir: &Path,
        log_id: [u8; 16],
        service_id: [u8; 8],
    ) -> Result<Identity, IdentityError> {
        let file = dir.join("identity");
        disk.create_dir(dir).map_err(failed("create", dir))?;
        if disk.list(dir).map_err(failed("list", dir))?.contains(&file) {
            return Err(IdentityError::Exists { dir: dir.to_path_buf() });
        }
        let identity = Identity { log_id, service_id, incarnation: 1, format: DIRECTORY_FORMAT };
        identity.write(disk, &file, true)?;
        Ok(identity)
    }

    /// Reads the identity of `dir` and refuses a copy, a newer format and damage.
    pub fn open(disk: &dyn Disk, dir: &Path) -> Result<Identity, IdentityError> {
        let file = dir.join("identity");
        let (identity, named) = Identity::read(disk, dir)?;
        let found = FileMark::of(disk, &file).map_err(failed("read", &file))?;
        if !named.is(found) {
            return Err(IdentityError::Copy { dir: dir.to_path_buf(), found, named });
        }
        Ok(identity)
    }

    /// Makes `dir`, a copy or not, a directory of its own: the same log, in a new
    /// incarnation that is later than its own and at least `at_least`.
    pub fn adopt(disk: &dyn Disk, dir: &Path, at_least: u32) -> Result<Adopted, IdentityError> {
        let (old, _) = Identity::read(disk, dir)?;
        let next = old.incarnation.checked_add(1);
        let next = next.ok_or(IdentityError::Exhausted { last: old.incarnation })?;
        let identity = Identity { incarnation: next.max(at_least), ..old };
        identity.write(disk, &dir.join("identity"), true)?;
        Ok(Adopted { identity, before: old.incarnation })
    }

    /// Raises the format of `dir` to `to`, one that this program writes: an older one that does not know it
    /// refuses the directory from then on (spec 5.10.3). Returns the format before. A directory never goes
    /// back.
    pub fn finalize(disk: &dyn Disk, dir: &Path, to: u32) -> Result<u32, IdentityError> {
        let identity = Identity::open(disk, dir)?;
        if identity.format < to {
            Identity { format: to, ..identity }.write(disk, &dir.join("identity"), true)?;
        }
        Ok(identity.format)
    }

    /// What the identity of `dir` says, whichever inode it names: of a directory that is read and not served.
    pub fn stated(disk: &dyn Disk, dir: &Path) -> Result<Identity, IdentityError> {
        Ok(Identity::read(disk, dir)?.0)
    }

    /// Writes this identity into the backup `dir`. It names inode 0, which no file has: wherever the backup
    /// is put back, it is refused until it is adopted (spec 5.2.6).
    pub fn write_backup(&self, disk: &dyn Disk, dir: &Path) -> Result<(), IdentityError> {
        self.write(disk, &dir.join("identity"), false)
    }

    fn read(disk: &dyn Disk, dir: &Path) -> Result<(Identity, FileMark), IdentityError> {
        let file = dir.join("identity");
        let damaged = |what| IdentityError::Damaged { file: file.clone(), what };
        let bytes = match read_file(disk, &file, IDENTITY_BYTES as u64) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(IdentityError::Missing { dir: dir.to_path_buf() });
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(damaged("it is too long"));
            }
            read => read.map_err(failed("read", &file))?,
        };
        let layout = Layout::ref_from_bytes(&bytes).map_err(|_| damaged("it is too short"))?;
        if layout.magic != MAGIC {
            return Err(damaged("it does not begin as an identity"));
        }
        if layout.crc.get() != crc32c::crc32c(&bytes[..IDENTITY_BYTES - 4]) {
            return Err(damaged("its checksum does not match"));
        }
        match layout.format.get() {
            0 => return Err(damaged("its format was never released")),
            1..=DIRECTORY_FORMAT => {}
            found => return Err(IdentityError::Newer { file, found, max: DIRECTORY_FORMAT }),
        }
        let identity = Identity {
            log_id: layout.log_id,
            service_id: layout.service_id,
            incarnation: layout.incarnation.get(),
            format: layout.format.get(),
        };
        Ok((identity, FileMark { inode: layout.inode.get(), born: layout.born.get() }))
    }

    /// Writes a new file, which names itself if it is `bound`, and puts it in place of the old one.
    fn write(&self, disk: &dyn Disk, file: &Path, bound: bool) -> Result<(), IdentityError> {
        let temporary = file.with_extension("new");
        match disk.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &temporary)(error));
            }
            _ => {}
        }
        let new = disk.create(&temporary).map_err(failed("create", &temporary))?;
        let mark = if bound { FileMark::of(disk, &temporary) } else { Ok(FileMark::NONE) };
        let mark = mark.map_err(failed("read", &temporary))?;
        let mut layout = Layout {
            magic: MAGIC,
            format: U32::new(self.format),
            incarnation: U32::new(self.incarnation),
            log_id: self.log_id,
            service_id: self.service_id,
            inode: U64::new(mark.inode),
            born: U64::new(mark.born),
            zero: [0; 68],
            crc: U32::new(0),
        };
        layout.crc = U32::new(crc32c::crc32c(&layout.as_bytes()[..IDENTITY_BYTES - 4]));
        new.write_all_at(layout.as_bytes(), 0)
            .and_then(|()| new.sync())
            .map_err(failed("write", &temporary))?;
        let dir = file.parent().unwrap_or(Path::new(""));
        disk.rename(&temporary, file).and_then(|()| disk.sync_dir(dir)).map_err(failed("write", file))
    }
}

/// The lock of the process that serves a directory, held until dropped or until the
/// process ends. Its file holds the process id as text; the directory is locked itself
/// too, for that file can be removed.
pub struct DirLock {
    _file: Box<dyn DiskFile>,
    _dir: Option<File>,
}

impl fmt::Debug for DirLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirLock").finish_non_exhaustive()
    }
}

impl DirLock {
    /// Takes the lock of `dir`. A disk without files of the operating system belongs to
    /// one process anyway and is not locked.
    pub fn acquire(disk: &dyn Disk, dir: &Path) -> Result<DirLock, IdentityError> {
        let path = dir.join("lock");
        let itself = disk.open_dir(dir).map_err(failed("open", dir))?;
        let lock = |file: Option<&File>, locked: &Path| match file.map_or(Ok(()), File::try_lock) {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                let text = read_file(disk, &path, 64).unwrap_or_default();
                let pid = String::from_utf8_lossy(&text).trim().to_string();
                let pid = if pid.is_empty() { "unknown".to_string() } else { pid };
                Err(IdentityError::Locked { dir: dir.to_path_buf(), pid })
            }
            Err(TryLockError::Error(source)) => Err(failed("lock", locked)(source)),
        };
        match lock(itself.as_ref(), dir) {
            // A network's file system may lock no directories: the file has to do.
            Err(IdentityError::Disk { .. }) | Ok(()) => {}
            Err(locked) => return Err(locked),
        }
        let file = match disk.open_write(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match disk.create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open_write(&path),
                created => created,
            },
            opened => opened,
        };
        let file = file.map_err(failed("open", &path))?;
        lock(file.os_file(), &path)?;
        // As wide as any process id, so that it covers whatever an earlier one left.
        let pid = format!("{:<20}\n", std::process::id());
        file.write_all_at(pid.as_bytes(), 0).map_err(failed("write", &path))?;
        Ok(DirLock { _file: file, _dir: itself })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Fault, MemoryDisk, OperationKind, RealDisk};

    const LOG: [u8; 16] = [7; 16];

    #[test]
    fn an_identity_is_read_back_and_created_once() {
        let disk = MemoryDisk::new();
        let dir = Path::new("/data");
        let made = Identity::create(&disk, dir, LOG, [9; 8]).unwrap();
        let format = DIRECTORY_FORMAT;
        assert_eq!(made, Identity { log_id: LOG, service_id: [9; 8], incarnation: 1, format });
        assert_eq!(Identity::open(&disk.crash_clean(), dir).unwrap(), made);
        assert!(matches!(Identity::create(&disk, dir, LOG, [9; 8]), Err(IdentityError::Exists { .. })));
        assert!(matches!(Identity::open(&disk, Path::new("/d")), Err(IdentityError::Missing { .. })));
    }

    #[test]
    fn a_copied_directory_is_refused_until_it_is_adopted() {
        let real = tempfile::tempdir().unwrap();
        let (dir, copy) = (real.path().join("a"), real.path().join("b"));
        let made = Identity::create(&RealDisk, &dir, LOG, [9; 8]).unwrap();
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(dir.join("identity"), copy.join("identity")).unwrap();
        let error = Identity::open(&RealDisk, &copy).unwrap_err();
        assert!(matches!(error, IdentityError::Copy { .. }));
        assert!(error.to_string().contains("tekctl adopt"), "{error}");
        let adopted = Identity::adopt(&RealDisk, &copy, 0).unwrap();
        assert_eq!(adopted, Adopted { identity: Identity { incarnation: 2, ..made }, before: 1 });
        assert_eq!(Identity::open(&RealDisk, &copy).unwrap(), adopted.identity);
        assert_eq!(Identity::adopt(&RealDisk, &copy, 9).unwrap().identity.incarnation, 9);
        std::fs::rename(&dir, real.path().join("moved")).unwrap();
        assert_eq!(Identity::open(&RealDisk, &real.path().join("moved")).unwrap(), made);
    }

    #[test]
    fn a_copy_that_got_the_same_inode_is_refused() {
        let real = tempfile::tempdir().unwrap();
        let (dir, copy) = (real.path().join("a"), real.path().join("copy"));
        Identity::create(&RealDisk, &dir, LOG, [9; 8]).unwrap();
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(dir.join("identity"), copy.join("identity")).unwrap();
        // Some file systems give the number of a removed file to the next one.
        for _ in 0..20 {
            std::fs::remove_file(dir.join("identity")).unwrap();
            std::fs::copy(copy.join("identity"), dir.join("identity")).unwrap();
            assert!(matches!(Identity::open(&RealDisk, &dir), Err(IdentityError::Copy { .. })));
        }
        // Whatever the file system does: the same inode, made at another time.
        let (disk, dir) = (MemoryDisk::new(), Path::new("/data"));
        Identity::create(&disk, dir, LOG, [9; 8]).unwrap();
        let mut bytes = read_file(&disk, &dir.join("identity"), 128).unwrap();
        bytes[48] = 1;
        let crc = crc32c::crc32c(&bytes[..124]).to_le_bytes();
        bytes[124..].copy_from_slice(&crc);
        disk.open_write(&dir.join("identity")).unwrap().write_all_at(&bytes, 0).unwrap();
        assert!(matches!(Identity::open(&disk, dir), Err(IdentityError::Copy { .. })));
    }

    #[test]
    fn every_flipped_byte_is_damage_and_a_newer_format_says_so() {
        let disk = MemoryDisk::new();
        let (dir, file) = (Path::new("/data"), Path::new("/data/identity"));
        Identity::create(&disk, dir, LOG, [9; 8]).unwrap();
        for offset in 0..IDENTITY_BYTES as u64 {
            disk.damage(file, offset, 0x10).unwrap();
            assert!(matches!(Identity::open(&disk, dir), Err(IdentityError::Damaged { .. })), "{offset}");
            disk.damage(file, offset, 0x10).unwrap();
        }
        let mut bytes = read_file(&disk, file, 128).unwrap();
        bytes[8] = 3;
        let crc = crc32c::crc32c(&bytes[..124]).to_le_bytes();
        bytes[124..].copy_from_slice(&crc);
        disk.open_write(file).unwrap().write_all_at(&bytes, 0).unwrap();
        let error = Identity::open(&disk, dir).unwrap_err().to_string();
        assert!(error.contains("newer tekd: format 3, this one reads up to 1"), "{error}");
    }

    #[test]
    fn a_finalized_upgrade_is_refused_by_who_does_not_know_it_and_not_before() {
        // A tekd of tomorrow serves and adopts a directory of today, and leaves it readable for today's.
        let (disk, dir) = (MemoryDisk::new(), Path::new("/data"));
        let made = Identity::create(&disk, dir, LOG, [9; 8]).unwrap();
        assert_eq!(Identity::adopt(&disk, dir, 0).unwrap().identity.format, made.format);
        assert_eq!(Identity::finalize(&disk, dir, DIRECTORY_FORMAT).unwrap(), DIRECTORY_FORMAT);
        assert!(Identity::open(&disk, dir).is_ok(), "nothing was to be raised");
        let tomorrow = DIRECTORY_FORMAT + 1;
        assert_eq!(Identity::finalize(&disk, dir, tomorrow).unwrap(), DIRECTORY_FORMAT);
        for asked in [Identity::open(&disk, dir).map(drop), Identity::adopt(&disk, dir, 0).map(drop)] {
            assert!(
                matches!(asked, Err(IdentityError::Newer { found, .. }) if found == tomorrow),
                "{asked:?}"
            );
        }
    }

    #[test]
    fn adopting_survives_a_crash_at_every_step_as_old_or_new() {
        for steps in 0..8 {
            for seed in 0..8 {
                let disk = MemoryDisk::new();
                Identity::create(&disk, Path::new("/data"), LOG, [9; 8]).unwrap();
                disk.freeze_after(steps);
                let done = Identity::adopt(&disk, Path::new("/data"), 0).is_ok();
                let after = Identity::open(&disk.crash(seed), Path::new("/data")).unwrap();
                assert!(
                    after.incarnation == 2 || after.incarnation == 1 && !done,
                    "steps {steps}, seed {seed}"
                );
            }
        }
    }

    #[test]
    fn a_second_process_is_told_who_serves_the_directory() {
        let real = tempfile::tempdir().unwrap();
        let lock = DirLock::acquire(&RealDisk, real.path()).unwrap();
        let error = DirLock::acquire(&RealDisk, real.path()).expect_err("it is locked").to_string();
        assert!(error.starts_with(&format!("another tekd (pid {}) serves", std::process::id())), "{error}");
        // A "stale" lock file is removed: whoever wrote it serves on.
        std::fs::remove_file(real.path().join("lock")).unwrap();
        let error = DirLock::acquire(&RealDisk, real.path()).expect_err("it is locked").to_string();
        assert!(error.starts_with("another tekd (pid unknown) serves"), "{error}");
        drop(lock);
        DirLock::acquire(&RealDisk, real.path()).unwrap();
    }

    #[test]
    fn a_read_only_directory_is_named() {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("/data")).unwrap();
        disk.fail(OperationKind::Create, 1, Fault::Erofs);
        let error = DirLock::acquire(&disk, Path::new("/data")).expect_err("it is read-only").to_string();
        assert_eq!(error, "/data is read-only: tekd needs to write there");
    }
}
