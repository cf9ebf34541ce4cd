//! A disk in memory for tests and simulation: it records, fails and forgets on purpose.
//!
//! Every file has the bytes a reader sees now and, for each 512-byte sector written since
//! the last sync, the bytes that are durable; names have the same two states. From that,
//! [`MemoryDisk::crash`] makes the disk a power cut would leave: each un-synced sector
//! kept, dropped or torn, each un-synced name kept or dropped, by a seeded choice. A failed
//! sync leaves its sectors clean but not durable, as Linux does; who reads past the cache
//! ([`Disk::open_direct_read`]) sees the durable bytes only. It promises what [`Disk`] promises and
//! nothing more. It is no store for production: the list of operations grows without a limit.

mod content;
mod cuts;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use content::{Content, SplitMix};
pub use content::{Fate, Loose, SECTOR};

use super::disk::{Disk, DiskFile};

/// One operation that changes the disk, in the order it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    /// A new file.
    Create(PathBuf),
    /// Bytes written to a file.
    Write { path: PathBuf, offset: u64, len: usize },
    /// A file's bytes made durable.
    Sync(PathBuf),
    /// A name replaced.
    Rename { from: PathBuf, to: PathBuf },
    /// A name removed.
    Remove(PathBuf),
    /// A directory made.
    CreateDir(PathBuf),
    /// A directory's names made durable.
    SyncDir(PathBuf),
}

/// The kind of an [`Operation`], to say which one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OperationKind {
    Create,
    Write,
    Sync,
    Rename,
    Remove,
    CreateDir,
    SyncDir,
}

impl Operation {
    /// What kind of operation this is.
    pub fn kind(&self) -> OperationKind {
        match self {
            Operation::Create(_) => OperationKind::Create,
            Operation::Write { .. } => OperationKind::Write,
            Operation::Sync(_) => OperationKind::Sync,
            Operation::Rename { .. } => OperationKind::Rename,
            Operation::Remove(_) => OperationKind::Remove,
            Operation::CreateDir(_) => OperationKind::CreateDir,
            Operation::SyncDir(_) => OperationKind::SyncDir,
        }
    }
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The medium failed (`EIO`).
    Eio,
    /// No space is left (`ENOSPC`).
    Enospc,
    /// The file system is read-only (`EROFS`).
    Erofs,
    /// A sync says that all is well, and what it should have made durable never will be: a disk that lies.
    /// Any other operation goes as it should.
    Lost,
}

impl Fault {
    fn error(self) -> Option<io::Error> {
        let code = match self {
            Fault::Eio => libc::EIO,
            Fault::Enospc => libc::ENOSPC,
            Fault::Erofs => libc::EROFS,
            Fault::Lost => return None,
        };
        Some(io::Error::from_raw_os_error(code))
    }
}

/// A handle on a disk in memory; clones share the disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    names: Names,
    durable: Names,
    changes: Vec<Change>,
    directories: BTreeSet<PathBuf>,
    inodes: u64,
    operations: Vec<Operation>,
    faults: Vec<(OperationKind, u64, Fault)>,
    budget: Option<u64>,
    /// Directory whose files have so many bytes together at most.
    quota: Option<(PathBuf, u64)>,
    frozen: bool,
}

type Names = BTreeMap<PathBuf, Arc<Node>>;

struct Node {
    inode: u64,
    content: Mutex<Content>,
}

#[derive(Clone)]
enum Change {
    Create(PathBuf, Arc<Node>),
    Rename(PathBuf, PathBuf, Arc<Node>),
    Remove(PathBuf, Arc<Node>),
}

/// What becomes of an operation.
enum Outcome {
    Run,
    /// It says so, and is lost.
    Lost,
    Fail(io::Error),
    /// The power goes while it runs: it may leave traces, none of them durable for sure.
    Cut,
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn power_cut() -> io::Error {
    io::Error::other("the power is cut")
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// Lets the `nth` operation of `kind` from now on (1 = the next) fail with `fault`.
    pub fn fail(&self, kind: OperationKind, nth: u64, fault: Fault) {
        guard(&self.state).faults.push((kind, nth.max(1), fault));
    }

    /// Lets the files of `dir` have `bytes` together at most, what they have now included; what
    /// would grow beyond is `ENOSPC`. None: as much as they want.
    pub fn set_quota(&self, dir: &Path, bytes: Option<u64>) {
        guard(&self.state).quota = bytes.map(|bytes| (dir.to_path_buf(), bytes));
    }

    /// Bytes that the files of `dir` have together.
    pub fn used(&self, dir: &Path) -> u64 {
        guard(&self.state).used(dir)
    }

    /// Cuts the power during the operation after the next `operations`: that one and
    /// everything later, reads included, fails.
    pub fn freeze_after(&self, operations: u64) {
        guard(&self.state).budget = Some(operations);
    }

    /// Every operation asked for so far, failed ones included.
    pub fn operations(&self) -> Vec<Operation> {
        guard(&self.state).operations.clone()
    }

    /// The disk as a power cut now may leave it; equal seeds give equal disks.
    pub fn crash(&self, seed: u64) -> MemoryDisk {
        self.image(&mut Some(SplitMix(seed)))
    }

    /// The disk as a power cut now leaves it when nothing un-synced survives.
    pub fn crash_clean(&self) -> MemoryDisk {
        self.image(&mut None)
    }

    /// Bit rot: XORs one byte of a file with `mask`, durably.
    pub fn damage(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let node = guard(&self.state).names.get(path).cloned().ok_or_else(|| missing(path))?;
        let mut content = guard(&node.content);
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        content.damage(at, mask)
    }

    fn image(&self, choice: &mut Option<SplitMix>) -> MemoryDisk {
        let state = guard(&self.state);
        let mut names = state.durable.clone();
        for change in &state.changes {
            if choice.as_mut().is_some_and(|c| c.below(2) == 1) {
                change.apply(&mut names);
            }
        }
        let mut nodes: BTreeMap<u64, Arc<Node>> = BTreeMap::new();
        for node in names.values_mut() {
            let kept = nodes.entry(node.inode).or_insert_with(|| {
                let content = guard(&node.content).after_crash(choice);
                Arc::new(Node { inode: node.inode, content: Mutex::new(content) })
            });
            *node = Arc::clone(kept);
        }
        state.left(names)
    }

    fn file(&self, path: &Path, direct: bool) -> io::Result<Box<dyn DiskFile>> {
        let state = guard(&self.state);
        state.alive()?;
        let node = state.names.get(path).cloned().ok_or_else(|| missing(path))?;
        Ok(Box::new(MemoryFile { disk: self.clone(), path: path.to_path_buf(), node, direct }))
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDisk").finish_non_exhaustive()
    }
}

impl State {
    /// The disk that a power cut leaves with these names, all of them durable.
    fn left(&self, names: Names) -> MemoryDisk {
        let durable = names.clone();
        let (directories, inodes) = (self.directories.clone(), self.inodes);
        let state = State { durable, names, directories, inodes, ..State::default() };
        MemoryDisk { state: Arc::new(Mutex::new(state)) }
    }

    fn alive(&self) -> io::Result<()> {
        if self.frozen { Err(power_cut()) } else { Ok(()) }
    }

    fn used(&self, dir: &Path) -> u64 {
        let names = self.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        names.map(|(_, node)| guard(&node.content).bytes.len() as u64).sum()
    }

    /// Bytes a file at `path` may grow by.
    fn space(&self, path: &Path) -> u64 {
        match &self.quota {
            Some((dir, bytes)) if path.parent() == Some(dir) => bytes.saturating_sub(self.used(dir)),
            _ => u64::MAX,
        }
    }

    fn begin(&mut self, operation: Operation) -> Outcome {
        if self.frozen {
            return Outcome::Fail(power_cut());
        }
        match &mut self.budget {
            Some(0) => {
                self.frozen = true;
                return Outcome::Cut;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let kind = operation.kind();
        self.operations.push(operation);
        let mut hit = None;
        self.faults.retain_mut(|(of, countdown, fault)| {
            if *of == kind {
                *countdown -= 1;
                if *countdown == 0 {
                    hit = Some(*fault);
                }
            }
            *countdown > 0
        });
        match (hit.map(Fault::error), kind) {
            (Some(Some(error)), _) => Outcome::Fail(error),
            (Some(None), OperationKind::Sync) => Outcome::Lost,
            _ => Outcome::Run,
        }
    }

    /// Begins an operation on names: `make` gives the change, done now and durable later.
    fn change(
        &mut self,
        operation: Operation,
        make: impl FnOnce(&State) -> io::Result<Change>,
    ) -> io::Result<()> {
        let end = match self.begin(operation) {
            Outcome::Run | Outcome::Lost => Ok(()),
            Outcome::Fail(error) => return Err(error),
            Outcome::Cut => Err(power_cut()),
        };
        let change = make(self)?;
        change.apply(&mut self.names);
        self.changes.push(change);
        end
    }

    fn has_directory(&self, dir: &Path) -> bool {
        dir.as_os_str().is_empty() || self.directories.contains(dir)
    }
}

impl Change {
    fn apply(&self, names: &mut Names) {
        let mut forget = |path: &PathBuf, node: &Arc<Node>| {
            if names.get(path).is_some_and(|named| named.inode == node.inode) {
                names.remove(path);
            }
        };
        match self {
            Change::Create(path, node) => {
                names.insert(path.clone(), Arc::clone(node));
            }
            Change::Rename(from, to, node) => {
                forget(from, node);
                names.insert(to.clone(), Arc::clone(node));
            }
            Change::Remove(path, node) => forget(path, node),
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let lies_in = |path: &Path| path.parent() == Some(dir);
        match self {
            Change::Create(path, _) | Change::Remove(path, _) => lies_in(path),
            Change::Rename(from, to, _) => lies_in(from) || lies_in(to),
        }
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    path: PathBuf,
    node: Arc<Node>,
    /// Whether it reads past what memory has.
    direct: bool,
}

impl DiskFile for MemoryFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        guard(&self.disk.state).alive()?;
        let content = guard(&self.node.content);
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        if self.direct {
            return content.read_durable(buf, start);
        }
        let end = start.checked_add(buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(content.bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut state = guard(&self.disk.state);
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let outcome = state.begin(Operation::Write { path: self.path.clone(), offset, len: buf.len() });
        let space = state.space(&self.path);
        let mut content = guard(&self.node.content);
        match outcome {
            Outcome::Run | Outcome::Lost => {
                let end = usize::try_from(space).unwrap_or(usize::MAX).saturating_add(content.bytes.len());
                let fits = end.saturating_sub(at).min(buf.len());
                content.write(&buf[..fits], at);
                if fits < buf.len() {
                    return Err(io::Error::from_raw_os_error(libc::ENOSPC));
                }
            }
            Outcome::Fail(error) if state.frozen => return Err(error),
            Outcome::Fail(error) => {
                content.write(&buf[..buf.len() / 2], at);
                return Err(error);
            }
            Outcome::Cut => {
                content.write(buf, at);
                return Err(power_cut());
            }
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        guard(&self.disk.state).alive()?;
        Ok(guard(&self.node.content).bytes.len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = guard(&self.disk.state);
        let outcome = state.begin(Operation::Sync(self.path.clone()));
        let mut content = guard(&self.node.content);
        match outcome {
            Outcome::Run => content.sync(),
            Outcome::Lost => content.sync_failed(),
            Outcome::Fail(error) => {
                content.sync_failed();
                return Err(error);
            }
            Outcome::Cut => return Err(power_cut()),
        }
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = guard(&self.state);
        state.inodes += 1;
        let node = Arc::new(Node { inode: state.inodes, content: Mutex::default() });
        state.change(Operation::Create(path.to_path_buf()), |state| {
            if state.names.contains_key(path) {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, path.display().to_string()));
            }
            if !path.parent().is_some_and(|dir| state.has_directory(dir)) {
                return Err(missing(path));
            }
            Ok(Change::Create(path.to_path_buf(), Arc::clone(&node)))
        })?;
        drop(state);
        self.file(path, false)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(path, false)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(path, false)
    }

    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(path, true)
    }

    fn open_direct_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(path, true)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        let operation = Operation::Rename { from: from.clone(), to: to.clone() };
        guard(&self.state).change(operation, |state| {
            let node = state.names.get(&from).cloned().ok_or_else(|| missing(&from))?;
            if !to.parent().is_some_and(|dir| state.has_directory(dir)) {
                return Err(missing(&to));
            }
            Ok(Change::Rename(from, to, node))
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        guard(&self.state).change(Operation::Remove(path.to_path_buf()), |state| {
            let node = state.names.get(path).cloned().ok_or_else(|| missing(path))?;
            Ok(Change::Remove(path.to_path_buf(), node))
        })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = guard(&self.state);
        match state.begin(Operation::CreateDir(path.to_path_buf())) {
            Outcome::Run | Outcome::Lost => {
                state.directories.extend(path.ancestors().map(Path::to_path_buf));
                Ok(())
            }
            Outcome::Fail(error) => Err(error),
            Outcome::Cut => Err(power_cut()),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = guard(&self.state);
        state.alive()?;
        if !state.has_directory(dir) {
            return Err(missing(dir));
        }
        Ok(state.names.keys().filter(|path| path.parent() == Some(dir)).cloned().collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = guard(&self.state);
        match state.begin(Operation::SyncDir(dir.to_path_buf())) {
            Outcome::Run | Outcome::Lost => {}
            Outcome::Fail(error) => return Err(error),
            Outcome::Cut => return Err(power_cut()),
        }
        let (now, later): (Vec<_>, Vec<_>) = state.changes.drain(..).partition(|c| c.is_in(dir));
        state.changes = later;
        for change in now {
            change.apply(&mut state.durable);
        }
        Ok(())
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        let state = guard(&self.state);
        state.alive()?;
        state.names.get(path).map(|node| node.inode).ok_or_else(|| missing(path))
    }

    fn born(&self, path: &Path) -> io::Result<u64> {
        self.inode(path).map(|_| 0)
    }
}
