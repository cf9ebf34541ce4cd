//! A journal's files copied beside its running writer, without its lock.
//!
//! The head file is read first, so that all it names is in the segments read after it. Segments before the
//! newest are sealed. The newest is read *backwards*, page by page: a page that is read later stands before
//! those read already, and so shows the writer at least as far. What is copied therefore ends like a
//! journal whose power was cut: whole groups, then at most one that is not, which nothing names (spec 5.4).
//! Opening the copy settles where it ends. Forwards, a group could be missed whose follower, which names
//! it, is there.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile, read_file};
use super::journal::JournalError;

/// What is read at once where a writer may be at work.
const PAGE: u64 = 4096;
/// What is read at once of a sealed segment.
const CHUNK: u64 = 1 << 20;
/// Longest head file: two pages, and room for what later formats may add.
const MAX_HEAD: u64 = 16 * PAGE;

const _: () = assert!(CHUNK.is_multiple_of(PAGE));

/// Copies the journal in `from` into the new directory `to` and makes it durable; `progress` hears bytes done
/// and bytes in all. The oldest segments may be dropped meanwhile: the copy then begins later. Returns the
/// bytes copied.
///
/// # Errors
/// If a file cannot be read or written; `to` is then of no use.
pub fn copy_journal(
    disk: &dyn Disk,
    from: &Path,
    to: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, JournalError> {
    let head = from.join("head");
    let bytes = match read_file(disk, &head, MAX_HEAD) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(JournalError::Missing { dir: from.to_path_buf() });
        }
        read => read.map_err(failed("read", &head))?,
    };
    disk.create_dir(to).map_err(failed("create", to))?;
    let copy = to.join("head");
    let write = |file: Box<dyn DiskFile>| file.write_all_at(&bytes, 0).and_then(|()| file.sync());
    disk.create(&copy).and_then(write).map_err(failed("write", &copy))?;
    let segments = segments(disk, from)?;
    let total: u64 = segments.iter().map(|(_, len)| len).sum();
    let mut done = bytes.len() as u64;
    for (age, (path, _)) in segments.iter().rev().enumerate() {
        let source = match disk.open(path) {
            // Dropped, and all before it with it.
            Err(e) if e.kind() == io::ErrorKind::NotFound && age > 0 => break,
            opened => opened.map_err(failed("open", path))?,
        };
        let copy = to.join(path.file_name().unwrap_or_default());
        let target = disk.create(&copy).map_err(failed("create", &copy))?;
        let step = if age == 0 { PAGE } else { CHUNK };
        let mut at = source.len().map_err(failed("read", path))?;
        let mut piece = Vec::new();
        while at > 0 {
            let end = at;
            at = (end - 1) / step * step;
            piece.resize(usize::try_from(end - at).unwrap_or_default(), 0);
            source.read_exact_at(&mut piece, at).map_err(failed("read", path))?;
            target.write_all_at(&piece, at).map_err(failed("write", &copy))?;
            done += end - at;
            progress(done.min(total), total);
        }
        target.sync().map_err(failed("write", &copy))?;
    }
    disk.sync_dir(to).map_err(failed("write", to))?;
    Ok(done)
}

/// The segments in `dir` with their lengths, oldest first (spec 5.3.1); those dropped meanwhile are left out.
fn segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<(PathBuf, u64)>, JournalError> {
    let is_segment = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix("segment-")?.strip_suffix(".journal")).is_some()
    };
    let mut found = Vec::new();
    for path in disk.list(dir).map_err(failed("list", dir))?.into_iter().filter(is_segment) {
        match disk.open(&path).and_then(|file| file.len()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            len => {
                let len = len.map_err(failed("read", &path))?;
                found.push((path, len));
            }
        }
    }
    Ok(found)
}

fn failed(what: &'static str, file: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let file = file.to_path_buf();
    move |source| JournalError::Disk { what, file, source }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::store::MemoryDisk;
    use crate::store::journal::{
        Head, Journal, JournalReader, LocalJournal, MIN_SEGMENT, Options, Record, verify,
    };

    const LOG: [u8; 16] = [7; 16];
    const OPTIONS: Options = Options { segment_bytes: MIN_SEGMENT, check_all: true };

    fn append(journal: &mut LocalJournal, len: usize) -> Head {
        let head = journal.head();
        let record =
            Record { kind: 1, version: 1, seq: head.seq + 1, time_s: 0, payload: vec![head.seq as u8; len] };
        journal.append(&head, &[record], 1_000).unwrap()
    }

    /// A disk whose journal gets a group whenever somebody has read a piece of it, so many times.
    #[derive(Clone)]
    struct Growing {
        disk: MemoryDisk,
        journal: Arc<Mutex<LocalJournal>>,
        turns: Arc<Mutex<usize>>,
    }

    struct GrowingFile(Box<dyn DiskFile>, Growing);

    impl DiskFile for GrowingFile {
        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.read_exact_at(buf, offset)?;
            let mut turns = self.1.turns.lock().unwrap();
            if *turns > 0 {
                *turns -= 1;
                append(&mut self.1.journal.lock().unwrap(), 100 + 977 * (*turns % 10));
            }
            Ok(())
        }
        fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
            self.0.write_all_at(buf, offset)
        }
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn sync(&self) -> io::Result<()> {
            self.0.sync()
        }
    }

    impl Disk for Growing {
        fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
            self.disk.create(path)
        }
        fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
            Ok(Box::new(GrowingFile(self.disk.open(path)?, self.clone())))
        }
        fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
            self.disk.open_write(path)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.disk.rename(from, to)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            self.disk.remove(path)
        }
        fn create_dir(&self, path: &Path) -> io::Result<()> {
            self.disk.create_dir(path)
        }
        fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
            self.disk.list(dir)
        }
        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            self.disk.sync_dir(dir)
        }
        fn inode(&self, path: &Path) -> io::Result<u64> {
            self.disk.inode(path)
        }
        fn born(&self, path: &Path) -> io::Result<u64> {
            self.disk.born(path)
        }
    }

    #[test]
    fn a_journal_copied_while_it_grows_is_whole_and_has_all_from_before() {
        let (from, to) = (Path::new("/data/journal"), Path::new("/copy/journal"));
        for before in [1, 60, 130, 254] {
            let disk = MemoryDisk::new();
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            let mut journal = LocalJournal::create(shared.clone(), from, LOG, 1, OPTIONS).unwrap();
            let acked = (0..before).map(|_| append(&mut journal, 3000)).last().unwrap();
            let growing = Growing {
                disk: disk.clone(),
                journal: Arc::new(Mutex::new(journal)),
                turns: Arc::new(Mutex::new(400)),
            };
            copy_journal(&growing, from, to, &mut |done, all| assert!(done <= all)).unwrap();
            let (mut copy, recovered) = LocalJournal::open(shared.clone(), to, LOG, 1, OPTIONS).unwrap();
            let end = copy.acquire().unwrap();
            assert!(end.gno >= acked.gno, "{} of {} groups", end.gno, acked.gno);
            assert_eq!(recovered.groups, end.gno);
            assert_eq!(verify(shared.clone(), to, &mut |_, _| {}).unwrap().head, end);
            let mut original = JournalReader::open(shared, from).unwrap();
            assert!(original.any(|group| group.unwrap().head == end), "it is a head of the original");
        }
    }

    #[test]
    fn segments_that_are_dropped_meanwhile_are_left_out() {
        let (from, to) = (Path::new("/data/journal"), Path::new("/copy/journal"));
        let disk = MemoryDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut journal = LocalJournal::create(shared.clone(), from, LOG, 1, OPTIONS).unwrap();
        let end = (0..600).map(|_| append(&mut journal, 3000)).last().unwrap();
        let mut dropped = false;
        let bytes = copy_journal(&disk, from, to, &mut |_, _| {
            if !std::mem::replace(&mut dropped, true) {
                disk.remove(&from.join("segment-0000000001.journal")).unwrap();
            }
        });
        assert_eq!(bytes.unwrap(), 8192 + 2 * MIN_SEGMENT);
        let (mut copy, recovered) = LocalJournal::open(shared, to, LOG, 1, OPTIONS).unwrap();
        assert_eq!(copy.acquire().unwrap(), end);
        assert!(recovered.base.gno > 0 && recovered.groups < end.gno);
    }
}
