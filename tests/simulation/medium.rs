//! The disks of the simulation: those in memory, watched, so that it is known which faults a program met.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tekd::store::{Disk, DiskFile, MemoryDisk};

/// What a program met on its disk since it began.
#[derive(Debug, Default, Clone)]
pub(crate) struct Met {
    /// Errors in files of the journal, want of space apart.
    pub(crate) journal_errors: u64,
    /// Errors of the medium anywhere.
    pub(crate) errors: u64,
    /// No space was left.
    pub(crate) full: u64,
    /// The power went.
    pub(crate) cut: bool,
    /// Segments made ahead that got their names.
    pub(crate) taken: u64,
}

impl Met {
    pub(crate) fn anything(&self) -> bool {
        self.errors + self.full > 0 || self.cut
    }
}

/// What is shared by a medium and its files.
#[derive(Clone)]
struct Notes {
    met: Arc<Mutex<Met>>,
    /// A canary: the bytes of segments are said to be durable and are not.
    lies: bool,
}

impl Notes {
    fn note<T>(&self, path: &Path, result: io::Result<T>) -> io::Result<T> {
        if let Err(e) = &result {
            let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
            match e.raw_os_error() {
                Some(libc::EIO) => {
                    met.errors += 1;
                    met.journal_errors += u64::from(is_journal(path));
                }
                Some(libc::ENOSPC) => met.full += 1,
                None if e.kind() == io::ErrorKind::Other => {
                    met.cut = true;
                    met.journal_errors += u64::from(is_journal(path));
                }
                _ => {}
            }
        }
        result
    }
}

/// A disk in memory that notes what it is made to do.
#[derive(Clone)]
pub(crate) struct Medium {
    disk: MemoryDisk,
    notes: Notes,
    told: Met,
}

impl Medium {
    pub(crate) fn new(disk: MemoryDisk, lies: bool) -> Medium {
        Medium { disk, notes: Notes { met: Arc::default(), lies }, told: Met::default() }
    }

    /// What was met since the medium was made.
    pub(crate) fn met(&self) -> Met {
        self.notes.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was met since this was last asked.
    pub(crate) fn news(&mut self) -> Met {
        let met = self.met();
        let told = std::mem::replace(&mut self.told, met.clone());
        Met {
            journal_errors: met.journal_errors - told.journal_errors,
            errors: met.errors - told.errors,
            full: met.full - told.full,
            cut: met.cut && !told.cut,
            taken: met.taken - told.taken,
        }
    }

    /// For whoever looks at it from within the program.
    pub(crate) fn shared(&self) -> Arc<Mutex<Met>> {
        Arc::clone(&self.notes.met)
    }

    fn opened(&self, path: &Path, file: io::Result<Box<dyn DiskFile>>) -> io::Result<Box<dyn DiskFile>> {
        let file = self.notes.note(path, file)?;
        Ok(Box::new(WatchedFile { file, path: path.to_path_buf(), notes: self.notes.clone() }))
    }
}

fn is_journal(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "journal")
}

fn is_segment(path: &Path) -> bool {
    is_journal(path) && path.extension().is_some_and(|extension| extension == "journal")
}

struct WatchedFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    notes: Notes,
}

impl DiskFile for WatchedFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.notes.note(&self.path, self.file.read_exact_at(buf, offset))
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.notes.note(&self.path, self.file.write_all_at(buf, offset))
    }

    fn len(&self) -> io::Result<u64> {
        self.notes.note(&self.path, self.file.len())
    }

    fn sync(&self) -> io::Result<()> {
        if self.notes.lies && is_segment(&self.path) {
            return Ok(());
        }
        self.notes.note(&self.path, self.file.sync())
    }
}

impl Disk for Medium {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.opened(path, self.disk.create(path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.opened(path, self.disk.open(path))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.opened(path, self.disk.open_write(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.notes.note(to, self.disk.rename(from, to))?;
        if is_segment(to) && from.ends_with("ahead.new") {
            self.notes.met.lock().unwrap_or_else(PoisonError::into_inner).taken += 1;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.notes.note(path, self.disk.remove(path))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.notes.note(path, self.disk.create_dir(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.notes.note(dir, self.disk.list(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.notes.note(dir, self.disk.sync_dir(dir))
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        self.notes.note(path, self.disk.inode(path))
    }

    fn born(&self, path: &Path) -> io::Result<u64> {
        self.notes.note(path, self.disk.born(path))
    }
}
