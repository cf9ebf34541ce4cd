//! The mirror of a journal: a directory, on another disk, in which everything is done that is done in the
//! journal's own.
//!
//! It is a [`Disk`] under the journal, not a second journal beside it: which segment a group goes to is
//! decided once, by one writer, for the chain covers the place of each group (spec 5.3.3, 5.9.2). What
//! fails in either of the two fails for both. Reads are those of the journal's own directory; before it is
//! opened, both are made level.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::directory::{OriginError, journal_path};
use super::writer_counts::MirrorCounts;
use crate::service::sizetext::format_size;
use crate::store::journal::{Levelled, MirrorError, level, whole_in};
use crate::store::{Disk, DiskFile, Identity};

/// Steps in which the progress of a filling is told.
const TOLD_STEPS: u64 = 10;

/// A disk on which one directory has a mirror.
#[derive(Clone)]
pub(super) struct MirrorDisk {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    mirror: PathBuf,
    counts: Arc<MirrorCounts>,
}

impl fmt::Debug for MirrorDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorDisk")
            .field("dir", &self.dir)
            .field("mirror", &self.mirror)
            .finish_non_exhaustive()
    }
}

impl MirrorDisk {
    /// Makes the journal of the data directory `data` and its `mirror` level, and gives the disk that keeps
    /// them so.
    ///
    /// # Errors
    /// If the mirror is not there, or the two do not belong together.
    pub(super) fn attach(
        disk: Arc<dyn Disk>,
        data: &Path,
        mirror: &Path,
        identity: &Identity,
    ) -> Result<MirrorDisk, MirrorError> {
        let dir = journal_path(data);
        check_apart(&dir, mirror)?;
        let mut told = 0;
        let levelled =
            level(&*disk, &dir, mirror, &identity.log_id, identity.incarnation, &mut |done, all| {
                let step = done * TOLD_STEPS / all.max(1);
                if step > told {
                    told = step;
                    let (done, all) = (format_size(done), format_size(all));
                    tracing::info!("journal and mirror are made level: {done} of {all}");
                }
            })?;
        tell(&levelled, mirror);
        Ok(MirrorDisk { disk, dir, mirror: mirror.to_path_buf(), counts: Arc::default() })
    }

    /// The directory of the mirror.
    pub(super) fn path(&self) -> &Path {
        &self.mirror
    }

    /// What it counts.
    pub(super) fn counts(&self) -> &Arc<MirrorCounts> {
        &self.counts
    }

    /// Adds to an error about the journal that its mirror has the same file whole, if so.
    pub(super) fn explain(&self, error: OriginError, identity: &Identity) -> OriginError {
        match error {
            OriginError::Journal(error) => {
                whole_in(&*self.disk, &self.mirror, &identity.log_id, error).into()
            }
            error => error,
        }
    }

    /// Where the mirror has what is at `path`, if it has that.
    fn twin(&self, path: &Path) -> Option<PathBuf> {
        let name = path.file_name().filter(|_| path.parent() == Some(&*self.dir))?;
        Some(self.mirror.join(name))
    }

    fn pair(
        &self,
        path: &Path,
        open: impl Fn(&dyn Disk, &Path) -> io::Result<Box<dyn DiskFile>>,
    ) -> io::Result<Box<dyn DiskFile>> {
        let file = open(&*self.disk, path)?;
        let Some(twin) = self.twin(path) else { return Ok(file) };
        let second = open(&*self.disk, &twin).map_err(|error| at(&twin, error))?;
        Ok(Box::new(MirrorFile { file, second, twin, counts: Arc::clone(&self.counts) }))
    }

    /// Removes from the mirror a segment the journal drops and what it still has from before it, or a file of
    /// another name.
    fn remove_twin(&self, twin: &Path) -> io::Result<()> {
        let is_segment = |file: &Path| file.extension().is_some_and(|extension| extension == "journal");
        let mut files = vec![twin.to_path_buf()];
        if is_segment(twin) {
            // Their names ascend with their numbers.
            let listed = self.disk.list(&self.mirror)?.into_iter();
            files = listed.filter(|file| is_segment(file) && **file <= *twin).collect();
        }
        for file in files {
            match self.disk.remove(&file) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // A crash may bring back the last one only.
                removed => removed.and_then(|()| self.disk.sync_dir(&self.mirror))?,
            }
        }
        Ok(())
    }
}

/// Refuses a mirror that is the journal itself, and warns of one that fails together with it.
fn check_apart(dir: &Path, mirror: &Path) -> Result<(), MirrorError> {
    let found = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino()));
    // Neither is there on a disk in memory.
    let (Ok(own), Ok(other)) = (found(dir), found(mirror)) else { return Ok(()) };
    if own == other {
        let what = "they are the same directory".to_owned();
        return Err(MirrorError::Apart { dir: dir.to_path_buf(), mirror: mirror.to_path_buf(), what });
    }
    if own.0 == other.0 {
        tracing::warn!(
            "the mirror {} is on the same file system as the journal: if that disk fails both are gone",
            mirror.display()
        );
    }
    Ok(())
}

/// Tells what was found and done.
fn tell(levelled: &Levelled, mirror: &Path) {
    for cut in &levelled.cuts {
        tracing::warn!(
            "an unfinished group {} at byte {} of {} was left out: it was never acknowledged",
            cut.gno,
            cut.offset,
            cut.file.display()
        );
    }
    if let Some(file) = &levelled.damaged_slot {
        tracing::warn!("one of the two slots of {} was damaged; it is written anew", file.display());
    }
    if levelled.older > 0 {
        tracing::warn!(
            "the mirror {} has {} older segments than the journal: they go with the next drop; if the journal has lost \
             its own, stop tekd and copy them back before that",
            mirror.display(),
            levelled.older
        );
    }
    match &levelled.caught_up {
        Some(caught) => tracing::warn!(
            "{} ended at group {}, it has got what it lacked up to group {}: journal and mirror {} are level",
            caught.dir.display(),
            caught.from,
            caught.to,
            mirror.display()
        ),
        None => tracing::info!("the journal and its mirror {} are level", mirror.display()),
    }
}

/// The error with its place in the mirror.
fn at(twin: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("in the mirror, {}: {error}", twin.display()))
}

/// A file of the journal and the same one of its mirror.
struct MirrorFile {
    file: Box<dyn DiskFile>,
    second: Box<dyn DiskFile>,
    twin: PathBuf,
    counts: Arc<MirrorCounts>,
}

impl MirrorFile {
    fn twice(&self, act: impl Fn(&dyn DiskFile) -> io::Result<()>) -> io::Result<()> {
        act(&*self.file)?;
        act(&*self.second).map_err(|error| at(&self.twin, error))
    }
}

impl DiskFile for MirrorFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.twice(|file| file.write_all_at(buf, offset))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.len()?.min(self.second.len()?))
    }

    fn sync(&self) -> io::Result<()> {
        self.twice(|file| file.sync())
    }

    fn write_durable_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        // durable-before-receipt: of the mirror too.
        let second = || {
            let began = Instant::now();
            let written = self.second.write_durable_at(buf, offset);
            self.counts.wrote(began.elapsed());
            written.map_err(|error| at(&self.twin, error))
        };
        std::thread::scope(|scope| {
            // At once: a lone group then waits for the slower of two disks, not for both.
            match std::thread::Builder::new().spawn_scoped(scope, second) {
                Ok(beside) => {
                    let first = self.file.write_durable_at(buf, offset);
                    let second = beside.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
                    first.and(second)
                }
                Err(_) => self.file.write_durable_at(buf, offset).and_then(|()| second()),
            }
        })
    }
}

impl Disk for MirrorDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.pair(path, Disk::create)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.pair(path, Disk::open_write)
    }

    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.pair(path, Disk::open_direct)
    }

    fn open_direct_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open_direct_read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        match (self.twin(from), self.twin(to)) {
            (Some(from), Some(to)) => self.disk.rename(&from, &to).map_err(|error| at(&to, error)),
            _ => Ok(()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.disk.remove(path);
        if let Some(twin) = self.twin(path) {
            self.remove_twin(&twin).map_err(|error| at(&twin, error))?;
        }
        removed
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)?;
        if *dir == *self.dir {
            self.disk.sync_dir(&self.mirror).map_err(|error| at(&self.mirror, error))?;
        }
        Ok(())
    }

    /// That of the file; an error if its twin is not there.
    fn inode(&self, path: &Path) -> io::Result<u64> {
        if let Some(twin) = self.twin(path) {
            self.disk.inode(&twin).map_err(|error| at(&twin, error))?;
        }
        self.disk.inode(path)
    }

    fn born(&self, path: &Path) -> io::Result<u64> {
        self.disk.born(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::{Journal, LocalJournal, MIN_SEGMENT, Options, Record};
    use crate::store::{MemoryDisk, read_file};

    const LOG: [u8; 16] = [5; 16];
    const DATA: &str = "/data";
    const MIRROR: &str = "/mirror";
    const DAY_MS: u64 = 86_400_000;

    fn opened(disk: &MemoryDisk) -> (MirrorDisk, LocalJournal) {
        let identity = Identity { log_id: LOG, service_id: [1; 8], incarnation: 1, format: 1 };
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mirror = MirrorDisk::attach(shared, Path::new(DATA), Path::new(MIRROR), &identity).unwrap();
        let (medium, dir): (Arc<dyn Disk>, _) = (Arc::new(mirror.clone()), journal_path(Path::new(DATA)));
        let options = Options { segment_bytes: MIN_SEGMENT, check_all: true };
        let journal = match LocalJournal::open(Arc::clone(&medium), &dir, LOG, 1, options) {
            Ok((journal, _)) => journal,
            Err(_) => LocalJournal::create(medium, &dir, LOG, 1, options).unwrap(),
        };
        (mirror, journal)
    }

    fn append(journal: &mut LocalJournal, day: u64) {
        let head = journal.head();
        let record = Record { kind: 1, version: 0, seq: head.seq + 1, time_s: 1, payload: vec![3; 900] };
        journal.append(&head, &[record], (100 + day) * DAY_MS).unwrap();
    }

    fn segments(disk: &MemoryDisk, dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let files =
            disk.list(dir).unwrap().into_iter().filter(|f| f.extension().is_some_and(|e| e == "journal"));
        files.map(|f| (f.file_name().unwrap().into(), read_file(disk, &f, 1 << 26).unwrap())).collect()
    }

    #[test]
    fn what_the_journal_drops_goes_from_the_mirror_with_what_is_older() {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new(MIRROR)).unwrap();
        let (dir, mirror) = (journal_path(Path::new(DATA)), Path::new(MIRROR));
        let (_, mut journal) = opened(&disk);
        for day in 0..6 {
            append(&mut journal, day);
        }
        journal.idle().unwrap();
        drop(journal);
        // The mirror was away when the first was dropped.
        disk.remove(&dir.join("segment-0000000001.journal")).unwrap();
        let (_, mut journal) = opened(&disk);
        assert_eq!((segments(&disk, &dir).len(), segments(&disk, mirror).len()), (5, 6));
        journal.trim(4, u64::MAX).unwrap();
        assert_eq!(segments(&disk, &dir).len(), 3);
        assert!(segments(&disk, &dir) == segments(&disk, mirror));
        let names = disk.operations().into_iter().rev().take(12).collect::<Vec<_>>();
        assert!(
            names.iter().filter(|o| matches!(o, crate::store::Operation::SyncDir(d) if d == mirror)).count()
                >= 3
        );
        drop(journal);
        let (_, journal) = opened(&disk);
        assert_eq!(journal.head().gno, 6);
    }

    /// A journal whose first segment is half full, and what it wants to be done ahead.
    fn half_full(disk: &MemoryDisk) -> (LocalJournal, crate::store::journal::Ahead) {
        disk.create_dir(Path::new(MIRROR)).unwrap();
        let (_, mut journal) = opened(disk);
        journal.make_room(0, 100 * DAY_MS).unwrap();
        while journal.wants_ahead().unwrap().is_none() {
            append(&mut journal, 0);
        }
        let work = journal.wants_ahead().unwrap().expect("an order that was dropped is given again");
        (journal, work)
    }

    #[test]
    fn a_segment_that_is_made_ahead_is_made_in_both() {
        let disk = MemoryDisk::new();
        let (mut journal, work) = half_full(&disk);
        work().unwrap();
        assert!(disk.inode(&Path::new(MIRROR).join("ahead.new")).is_ok());
        append(&mut journal, 0);
        while segments(&disk, Path::new(MIRROR)).len() < 2 {
            append(&mut journal, 0);
        }
        assert!(disk.inode(&Path::new(MIRROR).join("ahead.new")).is_err());
        assert!(segments(&disk, &journal_path(Path::new(DATA))) == segments(&disk, Path::new(MIRROR)));
        journal.idle().unwrap();
        let (_, again) = opened(&disk.crash_clean());
        assert_eq!(again.head(), journal.head());
    }

    #[test]
    fn a_mirror_that_fails_while_a_segment_is_made_ahead_stops_the_journal() {
        for nth in 1..=2 {
            let disk = MemoryDisk::new();
            let (mut journal, work) = half_full(&disk);
            disk.fail(crate::store::OperationKind::Sync, nth, crate::store::Fault::Eio);
            work().unwrap_err();
            let head = journal.head();
            let record = Record { kind: 1, version: 0, seq: head.seq + 1, time_s: 1, payload: vec![3; 9] };
            assert!(journal.append(&head, &[record], 100 * DAY_MS).is_err(), "{nth}");
        }
    }

    #[test]
    fn one_that_is_gone_or_cut_in_either_is_made_when_it_is_needed() {
        let journal_dir = journal_path(Path::new(DATA));
        for dir in [journal_dir.as_path(), Path::new(MIRROR)] {
            for cut in [false, true] {
                let disk = MemoryDisk::new();
                let (mut journal, work) = half_full(&disk);
                work().unwrap();
                let ahead = dir.join("ahead.new");
                disk.remove(&ahead).unwrap();
                if cut {
                    disk.create(&ahead).unwrap().write_all_at(&[0; 8192], 0).unwrap();
                }
                (0..300).for_each(|_| append(&mut journal, 0));
                assert!(segments(&disk, Path::new(MIRROR)).len() > 1, "{cut}");
                assert!(segments(&disk, &journal_dir) == segments(&disk, Path::new(MIRROR)), "{cut}");
            }
        }
    }

    #[test]
    fn what_was_made_ahead_and_not_used_is_gone_from_both_after_a_start() {
        let disk = MemoryDisk::new();
        let (journal, work) = half_full(&disk);
        work().unwrap();
        drop(journal);
        let _ = opened(&disk);
        for dir in [&journal_path(Path::new(DATA)), Path::new(MIRROR)] {
            assert!(disk.inode(&dir.join("ahead.new")).is_err(), "{}", dir.display());
        }
    }

    #[test]
    fn a_group_is_timed_in_the_mirror_and_other_files_have_none() {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new(MIRROR)).unwrap();
        let (mirror, mut journal) = opened(&disk);
        append(&mut journal, 0);
        append(&mut journal, 0);
        let counts = super::super::writer_counts::WriterCounts::default();
        counts.has_mirror(mirror.counts());
        let mut page = crate::service::metrics::MetricsText::new();
        counts.write(&mut page, 1);
        let page = page.render();
        assert!(page.contains("tekd_mirror_write_seconds_count 2"), "{page}");
        mirror.create(&Path::new(DATA).join("note")).map(drop).unwrap();
        assert!(disk.inode(&Path::new(MIRROR).join("note")).is_err());
    }
}
