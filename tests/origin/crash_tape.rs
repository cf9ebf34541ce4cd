//! A disk that writes down all it is asked, with what somebody outside knew at each moment, and its replay on
//! another disk, one operation at a time, that may lie.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tekd::engine::View;
use tekd::store::{Disk, DiskFile, MemoryDisk, Published};

use super::world::Dice;

/// The sets that readers look at.
pub(super) const SETS: [u32; 2] = [1, 2];

/// One operation; files are called by the number of their opening.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Create(PathBuf, usize),
    Open(PathBuf, usize),
    Write(usize, u64, Vec<u8>),
    Sync(usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    CreateDir(PathBuf),
    SyncDir(PathBuf),
}

/// What somebody outside knows for sure.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Unix time.
    pub(super) now: u64,
    /// Sequence number of the last confirmed event.
    pub(super) confirmed: u64,
    /// Newest version that readers of each set saw.
    pub(super) shown: BTreeMap<u32, u64>,
}

/// What a disk was asked, each with what was known before it.
#[derive(Default)]
pub(super) struct Tape {
    pub(super) steps: Vec<(Step, Known)>,
    pub(super) known: Known,
    handles: usize,
    view: Option<Arc<Published<View>>>,
}

impl Tape {
    fn write(&mut self, step: Step) {
        self.look();
        self.steps.push((step, self.known.clone()));
    }

    /// The steps from `began` to `beside`, and those after them, which another thread asked for meanwhile,
    /// come as the dice have it, each thread's in their order.
    ///
    /// # Panics
    /// When they are played, if one thread's cannot come before the other's.
    pub(super) fn shuffle(&mut self, began: usize, beside: usize, dice: &mut Dice) {
        let mut other = self.steps.split_off(beside).into_iter();
        let mut own = self.steps.split_off(began).into_iter().peekable();
        // What another thread does confirms nothing and shows nothing.
        while let Some((_, known)) = own.peek() {
            let known = known.clone();
            let step = if dice.one_in(3) { other.next().map(|(step, _)| (step, known)) } else { None };
            self.steps.extend(step.or_else(|| own.next()));
        }
        self.steps.extend(other);
    }

    fn look(&mut self) {
        let Some(view) = &self.view else { return };
        let view = view.load();
        let released = |set: &u32| Some((*set, view.set(*set)?.release.as_ref()?));
        for (set, shown) in SETS.iter().filter_map(released) {
            let newest = self.known.shown.entry(set).or_default();
            let version = shown.checkpoint.version();
            assert!(version >= *newest, "readers of a disk that is well go back");
            *newest = version;
        }
    }
}

/// A disk in memory that is written down. Clones share disk and tape.
#[derive(Clone, Default)]
pub(super) struct Recorder {
    pub(super) disk: MemoryDisk,
    tape: Arc<Mutex<Tape>>,
}

impl Recorder {
    pub(super) fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is `now`, and everything up to event `confirmed` is confirmed.
    pub(super) fn know(&self, now: u64, confirmed: u64) {
        let mut tape = self.tape();
        tape.look();
        tape.known.now = now;
        assert!(confirmed >= tape.known.confirmed, "events are confirmed in their order");
        tape.known.confirmed = confirmed;
    }

    /// Readers look at `view` from now on; at nothing while there is none.
    pub(super) fn readers_see(&self, view: Option<Arc<Published<View>>>) {
        self.tape().view = view;
    }

    fn opened(&self, file: Box<dyn DiskFile>, step: impl FnOnce(usize) -> Step) -> Box<dyn DiskFile> {
        let mut tape = self.tape();
        tape.handles += 1;
        let handle = tape.handles;
        tape.write(step(handle));
        Box::new(RecordedFile { file, handle, recorder: self.clone() })
    }
}

struct RecordedFile {
    file: Box<dyn DiskFile>,
    handle: usize,
    recorder: Recorder,
}

impl DiskFile for RecordedFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.recorder.tape().write(Step::Write(self.handle, offset, buf.to_vec()));
        self.file.write_all_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn sync(&self) -> io::Result<()> {
        self.recorder.tape().write(Step::Sync(self.handle));
        self.file.sync()
    }
}

/// What is refused changes nothing and is not written down.
impl Disk for Recorder {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.create(path)?;
        Ok(self.opened(file, |handle| Step::Create(path.to_path_buf(), handle)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.open_write(path)?;
        Ok(self.opened(file, |handle| Step::Open(path.to_path_buf(), handle)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.tape().write(Step::Rename(from.to_path_buf(), to.to_path_buf()));
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)?;
        self.tape().write(Step::Remove(path.to_path_buf()));
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.tape().write(Step::CreateDir(path.to_path_buf()));
        self.disk.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.tape().write(Step::SyncDir(dir.to_path_buf()));
        self.disk.sync_dir(dir)
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        self.disk.inode(path)
    }

    fn born(&self, path: &Path) -> io::Result<u64> {
        self.disk.born(path)
    }
}

/// What a disk says it did and did not, once an origin is founded on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    /// Groups of the journal are durable after a sync.
    Sync,
    /// Names are durable after a sync of their directory.
    SyncDir,
    /// New files are synced before they get their names; they are, but only after.
    SyncBeforeRename,
    /// The same of a segment that is made ahead.
    SyncAhead,
}

/// A tape played on an empty disk.
pub(super) struct Player {
    pub(super) disk: MemoryDisk,
    handles: BTreeMap<usize, (PathBuf, Box<dyn DiskFile>)>,
    pub(super) lie: Option<Lie>,
    late: Vec<usize>,
}

impl Player {
    pub(super) fn new() -> Player {
        Player { disk: MemoryDisk::new(), handles: BTreeMap::new(), lie: None, late: Vec::new() }
    }

    /// Does what was asked; whether that may have changed the disk.
    pub(super) fn play(&mut self, step: &Step) -> bool {
        self.try_to(step).expect("what succeeded once succeeds again");
        !matches!(step, Step::Open(..))
    }

    fn try_to(&mut self, step: &Step) -> io::Result<()> {
        match step {
            Step::Create(path, handle) => {
                let file = self.disk.create(path)?;
                self.handles.insert(*handle, (path.clone(), file));
            }
            Step::Open(path, handle) => {
                let file = self.disk.open_write(path)?;
                self.handles.insert(*handle, (path.clone(), file));
            }
            Step::Write(handle, offset, bytes) => self.handles[handle].1.write_all_at(bytes, *offset)?,
            Step::Sync(handle) => self.sync(*handle)?,
            Step::Rename(from, to) => self.disk.rename(from, to)?,
            Step::Remove(path) => self.disk.remove(path)?,
            Step::CreateDir(path) => self.disk.create_dir(path)?,
            Step::SyncDir(_) if self.lie == Some(Lie::SyncDir) => {}
            Step::SyncDir(dir) => {
                self.disk.sync_dir(dir)?;
                for handle in std::mem::take(&mut self.late) {
                    self.handles[&handle].1.sync()?;
                }
            }
        }
        Ok(())
    }

    fn sync(&mut self, handle: usize) -> io::Result<()> {
        let (path, file) = &self.handles[&handle];
        match self.lie {
            Some(Lie::Sync) if path.extension().is_some_and(|e| e == "journal") => Ok(()),
            Some(Lie::SyncAhead) if path.ends_with("ahead.new") => {
                self.late.push(handle);
                Ok(())
            }
            Some(Lie::SyncBeforeRename) if path.extension().is_some_and(|e| e == "new") => {
                self.late.push(handle);
                Ok(())
            }
            _ => file.sync(),
        }
    }
}
