//! The disk as a trait: the few operations every file of tekd is made of.
//!
//! Everything above takes a [`Disk`], so crash tests can replace the real one by a
//! disk in memory that forgets, tears or fails on purpose. The trait promises no more
//! than POSIX does: bytes are durable after [`DiskFile::sync`], a file's name is durable after
//! [`Disk::sync_dir`] of its directory; a directory that was made is durable at once.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::direct::DirectFile;

/// An open file, addressed by absolute offsets.
pub trait DiskFile: Send + Sync {
    /// Fills `buf` from `offset`; an early end of file is `UnexpectedEof`.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `buf` at `offset`, growing the file when needed. Not yet durable.
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Makes every byte written so far durable, length included.
    fn sync(&self) -> io::Result<()>;
    /// Writes all of `buf` at `offset`, over bytes the file has, durable on return. Whole pages of
    /// 4096 bytes take one operation where [`Disk::open_direct`] could have it so.
    fn write_durable_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(buf, offset)?;
        self.sync()
    }
    /// The operating system's file, when there is one: for mapping and locking.
    fn os_file(&self) -> Option<&File> {
        None
    }
}

/// A directory tree of files.
pub trait Disk: Send + Sync + 'static {
    /// Creates a new file for reading and writing, mode 0600; an existing one is `AlreadyExists`.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading and [`DiskFile::write_durable_at`], past the page cache
    /// where the file system does that.
    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open_write(path)
    }
    /// Opens an existing file for reading what the disk has, not what a failed sync left in
    /// memory, where the file system does that.
    fn open_direct_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }
    /// Replaces `to` by `from` in one step. Durable after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory (mode 0700) and its missing parents, their names durable on return.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Names of the files of a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Makes names created, renamed or removed in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// The file's inode number: a copy has another, until the file system gives the number again.
    fn inode(&self, path: &Path) -> io::Result<u64>;
    /// When the file was made, nanoseconds since 1970: a copy is younger. 0 where the file system does not
    /// tell.
    fn born(&self, path: &Path) -> io::Result<u64>;
    /// The directory itself as the operating system has it, if it does: for locking.
    fn open_dir(&self, _dir: &Path) -> io::Result<Option<File>> {
        Ok(None)
    }
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl DiskFile for File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn os_file(&self) -> Option<&File> {
        Some(self)
    }
}

impl DiskFile for DirectFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        DirectFile::read_exact_at(self, buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self.plain(), buf, offset)
    }

    fn write_durable_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        DirectFile::write_durable_at(self, buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.plain().metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.plain().sync_data()
    }

    fn os_file(&self) -> Option<&File> {
        Some(self.plain())
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(DirectFile::open(path, true)?))
    }

    fn open_direct_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(DirectFile::open(path, false)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        make_directories(path, &|dir| self.sync_dir(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            match entry.file_type() {
                Ok(kind) if kind.is_file() => names.push(entry.path()),
                // Another thread has just renamed or removed it.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.ino())
    }

    fn born(&self, path: &Path) -> io::Result<u64> {
        let born = std::fs::metadata(path)?.created().ok();
        let since = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Ok(since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0))
    }

    fn open_dir(&self, dir: &Path) -> io::Result<Option<File>> {
        File::open(dir).map(Some)
    }
}

/// Makes the directory `path` and its missing parents. Each is durable, by a `sync` of the directory it is
/// in, before anything is made in it (spec 5.1.1).
fn make_directories(path: &Path, sync: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    let make = || std::fs::DirBuilder::new().mode(0o700).create(path);
    match make() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directories(parent, sync)?;
            make()?;
        }
        Err(_) if path.is_dir() => {
            // Best effort: it may be that of a start that was killed before it had synced, or of somebody
            // who keeps its parent for himself.
            let _ = sync(parent);
            return Ok(());
        }
        made => made?,
    }
    sync(parent)
}

/// Replaces the file `path` by `bytes` so that after a crash either the old or the new
/// content is there, whole: temporary name, sync, rename, sync of the directory.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::other("a file needs a directory"))?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let temporary = dir.join(name);
    match disk.remove(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = disk.create(&temporary)?;
    file.write_all_at(bytes, 0)?;
    file.sync()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(dir)
}

/// Removes the files of `dir` whose names end in `.new` and are `ours` without that, durably: what an
/// interrupted writer left (spec 5.1.5). To be called when nobody writes these. A missing directory has none.
pub fn remove_unfinished(disk: &dyn Disk, dir: &Path, ours: &dyn Fn(&str) -> bool) -> io::Result<()> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed?,
    };
    let is_ours = |path: &&PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_suffix(".new")).is_some_and(ours)
    };
    let mut unfinished = names.iter().filter(is_ours).peekable();
    if unfinished.peek().is_none() {
        return Ok(());
    }
    unfinished.try_for_each(|name| disk.remove(name))?;
    disk.sync_dir(dir)
}

/// Whether an operation failed because the disk or a quota is full.
pub(super) fn has_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Reads a whole file of at most `limit` bytes; a longer one is `InvalidData`.
pub fn read_file(disk: &dyn Disk, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let len = file.len()?;
    if len > limit {
        let what = format!("{} has {len} bytes, more than the {limit} it may have", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_directory_is_durable_before_anything_is_made_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "a/b", "a/b/c"].map(|name| dir.path().join(name));
        let synced = RefCell::new(Vec::new());
        let sync = |path: &Path| {
            let made = [&a, &b, &c].iter().filter(|dir| dir.is_dir()).count();
            synced.borrow_mut().push((path.to_path_buf(), made));
            RealDisk.sync_dir(path)
        };
        make_directories(&c, &sync).unwrap();
        let expected = [(dir.path().to_path_buf(), 1), (a.clone(), 2), (b.clone(), 3)];
        assert_eq!(synced.take(), expected);
        make_directories(&c, &sync).unwrap();
        assert_eq!(synced.take(), [(b.clone(), 3)], "whoever made it may not have come so far");
        let fails = |_: &Path| Err(io::Error::other("no"));
        assert!(make_directories(&dir.path().join("d"), &fails).is_err(), "it would not be durable");
        make_directories(&c, &fails).unwrap();
        std::fs::write(dir.path().join("file"), b"").unwrap();
        let refused = make_directories(&dir.path().join("file"), &sync).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    }
}
