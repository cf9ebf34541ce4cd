//! A backup: a consistent copy of an origin's data directory, made beside the running server or of one that
//! stands still.
//!
//! The order is what makes it consistent. Snapshots come first, since each stands at a head that the
//! journal has already; then the journal ([`copy_journal`]); then the keys, since a secret is kept before
//! an event names it. The copy is opened, settled and read whole, and its parts are held against each other
//! as a start does it. Only then does it get an identity, and its name last: what a crash leaves has
//! another name and no identity, and is never taken for a backup. The codes key is left out, and so are
//! generations, which are made again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::{Known, OriginError, OriginOptions, journal_path, snapshots_path, trust_path};
use super::keys::{KeyError, Keys};
use crate::release::MAX_TRUST_FILE;
use crate::store::journal::{Journal, JournalError, JournalReader, LocalJournal, Options, verify};
use crate::store::snapshot::{self, MAX_SNAPSHOT};
use crate::store::{DirLock, Disk, Identity, IdentityError, RealDisk, copy_journal, read_file};

/// What the name of an unfinished backup ends in.
const UNFINISHED: &str = ".tekd-backup.new";
/// How often a copy is begun at most: a busy writer may drop what was to be copied next.
const ATTEMPTS: usize = 3;
/// Largest configuration file that is copied.
const MAX_CONFIG: u64 = 1 << 20;
/// Largest snapshot file: its payload and a page for its header.
const MAX_SNAPSHOT_FILE: u64 = MAX_SNAPSHOT + 4096;

/// A backup that was made and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its directory.
    pub path: PathBuf,
    /// Events in its journal.
    pub events: u64,
    /// Groups in its journal.
    pub groups: u64,
    /// Hash chain at the end of its journal.
    pub chain: [u8; 32],
    /// Bytes of its files.
    pub bytes: u64,
    /// Whether the root key is in it.
    pub root_key: bool,
}

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BackupError {
    #[error("{} is not empty: name a directory that does not exist yet", dir.display())]
    NotEmpty { dir: PathBuf },
    #[error("{} is no name for a new directory", dir.display())]
    NoName { dir: PathBuf },
    #[error("another backup (pid {pid}) is being made in {}", dir.display())]
    Busy { dir: PathBuf, pid: String },
    #[error("the copy ends at group {found}, but group {acked} was acknowledged before it was begun")]
    Short { found: u64, acked: u64 },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Origin(#[from] OriginError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("cannot {what} {}: {source}", file.display())]
    Disk { what: &'static str, file: PathBuf, source: io::Error },
}

fn failed(what: &'static str, file: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let file = file.to_path_buf();
    move |source| BackupError::Disk { what, file, source }
}

/// Copies the data directory `from` to `to`, which is made or empty; `progress` hears bytes of the journal
/// done and in all.
///
/// # Errors
/// [`BackupError`]; nothing is left at `to`.
pub fn back_up(from: &Path, to: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Backup, BackupError> {
    Identity::stated(&RealDisk, from)?;
    let (Some(name), Some(parent)) = (to.file_name(), to.parent()) else {
        return Err(BackupError::NoName { dir: to.to_path_buf() });
    };
    must_be_free(to)?;
    let mut unfinished = name.to_os_string();
    unfinished.push(UNFINISHED);
    let unfinished = parent.join(unfinished);
    let lock = begin(&unfinished)?;
    let made = fill(from, &unfinished, progress).and_then(|backup| {
        finish(&unfinished, to, parent)?;
        Ok(Backup { path: to.to_path_buf(), ..backup })
    });
    if made.is_err() {
        // What remains has the name of an unfinished backup; the next one removes it.
        let _ = std::fs::remove_dir_all(&unfinished);
    }
    drop(lock);
    made
}

fn must_be_free(to: &Path) -> Result<(), BackupError> {
    match std::fs::read_dir(to).map(Iterator::count) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() != io::ErrorKind::NotADirectory => Err(failed("read", to)(e)),
        Ok(0) => Ok(()),
        _ => Err(BackupError::NotEmpty { dir: to.to_path_buf() }),
    }
}

/// Makes the directory of an unfinished backup this process's own.
fn begin(unfinished: &Path) -> Result<DirLock, BackupError> {
    RealDisk.create_dir(unfinished).map_err(failed("create", unfinished))?;
    DirLock::acquire(&RealDisk, unfinished).map_err(|error| match error {
        IdentityError::Locked { pid, dir } => BackupError::Busy { dir, pid },
        error => error.into(),
    })
}

/// Removes what an attempt before left, but the lock.
fn clear(unfinished: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(unfinished)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != "lock" {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Copies and verifies until a copy holds together.
fn fill(from: &Path, into: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Backup, BackupError> {
    let mut attempt = 1;
    loop {
        clear(into).map_err(failed("clear", into))?;
        match copy(from, into, progress) {
            Err(error) if attempt < ATTEMPTS && changes(&error) => attempt += 1,
            done => return done,
        }
    }
}

/// Whether an error may come from what the server does meanwhile.
fn changes(error: &BackupError) -> bool {
    match error {
        BackupError::Short { .. } | BackupError::Journal(_) | BackupError::Origin(_) => true,
        BackupError::Disk { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

fn copy(from: &Path, into: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Backup, BackupError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let identity = Identity::stated(&*disk, from)?;
    let acked = JournalReader::open(Arc::clone(&disk), &journal_path(from))?.until();
    let mut bytes = copy_snapshots(from, into, &identity)?;
    bytes += copy_journal(&*disk, &journal_path(from), &journal_path(into), progress)?;
    let (keys, kept) = (Keys::look(&*disk, from).for_backup()?, Keys::open(&*disk, into)?);
    for (name, key) in &keys {
        kept.write(name, key)?;
        bytes += key.len() as u64;
    }
    bytes += copy_settings(from, into)?;

    let journal = journal_path(into);
    let options = Options { check_all: true, ..Options::default() };
    // Replaces the head file by one that names where the copy ends.
    let opened =
        LocalJournal::open(Arc::clone(&disk), &journal, identity.log_id, identity.incarnation, options);
    let head = opened?.0.head();
    if head.gno < acked {
        return Err(BackupError::Short { found: head.gno, acked });
    }
    let whole = verify(Arc::clone(&disk), &journal, &mut |_, _| {})?;
    if whole.head.gno != head.gno {
        return Err(BackupError::Short { found: whole.head.gno, acked: head.gno });
    }
    let options = OriginOptions { disk, dir: into.to_path_buf(), segment_bytes: 0 };
    Known::read(&options, &identity, &Arc::default())?;
    identity.write_backup(&RealDisk, into)?;
    Ok(Backup {
        path: into.to_path_buf(),
        events: whole.events,
        groups: whole.groups,
        chain: whole.head.chain,
        bytes,
        root_key: Keys::look(&RealDisk, into).root()?.is_some(),
    })
}

/// Copies every whole snapshot: the newest to start from, the one before to fall back to.
fn copy_snapshots(from: &Path, into: &Path, identity: &Identity) -> Result<u64, BackupError> {
    let (from, into) = (snapshots_path(from), snapshots_path(into));
    let files = match RealDisk.list(&from) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        listed => listed.map_err(failed("list", &from))?,
    };
    RealDisk.create_dir(&into).map_err(failed("create", &into))?;
    let mut bytes = 0;
    for file in files.iter().filter(|file| file.extension().is_none_or(|end| end != "new")) {
        // One that is gone made room for a newer one, which the next attempt finds if it is needed.
        bytes += copy_file(file, &into, MAX_SNAPSHOT_FILE)?.unwrap_or(0);
    }
    for damaged in
        snapshot::newest_valid(&RealDisk, &into, &identity.log_id).map_err(OriginError::from)?.skipped
    {
        tracing::warn!("snapshot {} is left out: {}", damaged.file.display(), damaged.why);
        RealDisk.remove(&damaged.file).map_err(failed("remove", &damaged.file))?;
    }
    RealDisk.sync_dir(&into).map_err(failed("write", &into))?;
    Ok(bytes)
}

/// Copies `trust.json` and what configuration lies in the directory.
fn copy_settings(from: &Path, into: &Path) -> Result<u64, BackupError> {
    let mut bytes = copy_file(&trust_path(from), into, MAX_TRUST_FILE as u64)?.unwrap_or(0);
    let files = RealDisk.list(from).map_err(failed("list", from))?;
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "toml")) {
        bytes += copy_file(file, into, MAX_CONFIG)?.unwrap_or(0);
    }
    Ok(bytes)
}

/// Copies one file into a directory and returns its length; `None` if it is not there (any more).
fn copy_file(file: &Path, into: &Path, limit: u64) -> Result<Option<u64>, BackupError> {
    let bytes = match read_file(&RealDisk, file, limit) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(failed("read", file))?,
    };
    let copy = into.join(file.file_name().unwrap_or_default());
    let created = RealDisk.create(&copy);
    let written = created.and_then(|open| open.write_all_at(&bytes, 0).and_then(|()| open.sync()));
    written.map_err(failed("write", &copy))?;
    Ok(Some(bytes.len() as u64))
}

/// Gives a whole backup its name.
fn finish(unfinished: &Path, to: &Path, parent: &Path) -> Result<(), BackupError> {
    let lock = unfinished.join("lock");
    RealDisk.remove(&lock).map_err(failed("remove", &lock))?;
    RealDisk.sync_dir(unfinished).map_err(failed("write", unfinished))?;
    let named = RealDisk.rename(unfinished, to).and_then(|()| RealDisk.sync_dir(parent));
    named.map_err(|e| match e.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory => {
            BackupError::NotEmpty { dir: to.to_path_buf() }
        }
        _ => failed("name", to)(e),
    })
}
