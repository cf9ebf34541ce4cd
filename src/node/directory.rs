//! The data directory of an origin: where things are in it, and what it says before anything is touched.
//!
//! A directory whose parts do not belong together is refused and stays as it was. What is then done with it
//! is the origin's business.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::keys::{KeyError, Keys};
use super::reading::Reading;
use crate::engine::{Based, DecodeError, FoldError, State, replay};
use crate::release::{
    DELEGATION_LEN, Delegation, MAX_TRUST_FILE, SigningKey, Trust, TrustError, TrustFileError,
};
use crate::store::journal::{
    AppendError, Head, JournalError, JournalReader, LocalJournal, LogId, MirrorError,
};
use crate::store::snapshot::{self, Snapshot, SnapshotError};
use crate::store::{AdoptionError, Disk, Identity, IdentityError, read_file, remove_unfinished};

/// Why an origin cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// The directory is not ours to serve.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal cannot be written. Nothing is confirmed any more (fail-stop).
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What an adoption knows from elsewhere cannot be used.
    #[error(transparent)]
    Adoption(#[from] AdoptionError),
    /// The journal and its mirror cannot be brought together.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// A snapshot directory cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The journal's events do not fit together.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A whole snapshot has a payload this program cannot read.
    #[error("the newest snapshot is whole but unreadable ({0}); remove it, and the journal is read instead")]
    Payload(#[from] DecodeError),
    /// A secret is missing or damaged.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// `trust.json` cannot be made.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// `trust.json` cannot be read.
    #[error("{}: {source}; nothing was changed: put it back from a backup", file.display())]
    TrustFile {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: TrustFileError,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}; nothing was changed", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", file.display())]
    Disk {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory's parts belong to different origins.
    #[error(
        "{} holds parts of different origins: {what}; nothing was changed: put back the right part from a backup",
        dir.display()
    )]
    Mixed {
        /// The directory.
        dir: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// Whoever wanted it has gone meanwhile.
    #[error("tekd was told to stop while it read its state; nothing was changed")]
    Stopped,
    /// A public node lives here.
    #[error(
        "{} is the directory of a public node; nothing was changed: start it with --upstream and --trust, or choose \
         an empty directory with --data",
        dir.display()
    )]
    NodeHere {
        /// The directory.
        dir: PathBuf,
    },
    /// A snapshot knows more than the journal.
    #[error(
        "the newest snapshot stands at event {snapshot}, the journal ends at event {journal}: the journal lost \
         events; nothing was changed: put back its missing files from a backup"
    )]
    Ahead {
        /// Sequence number of the snapshot.
        snapshot: u64,
        /// Last sequence number of the journal.
        journal: u64,
    },
    /// What is between the newest snapshot and the oldest segment is gone.
    #[error(
        "the journal begins after event {begins}, and the newest whole snapshot stands at event {snapshot}: what \
         is between them is gone; nothing was changed: put back a newer snapshot, or older segments, from a \
         backup"
    )]
    Gap {
        /// The event before the oldest that the journal holds.
        begins: u64,
        /// Sequence number of the snapshot, 0 for none.
        snapshot: u64,
    },
    /// Segments are gone that tekd did not drop.
    #[error(
        "the journal begins after event {begins} and names no snapshot that stands for what came before: tekd did not \
         drop its oldest segments; nothing was changed: put them back from a backup, or the journal's mirror"
    )]
    Beheaded {
        /// The event before the oldest that the journal holds.
        begins: u64,
    },
    /// A snapshot that is whole, but not the one that the journal names (spec 5.5.4).
    #[error(
        "the snapshot at event {snapshot} is not the one that the journal names there: its digest is {found}, event \
         {event} says {named}; nothing was changed: remove it, and the one before is used instead"
    )]
    OtherSnapshot {
        /// Sequence number of the snapshot.
        snapshot: u64,
        /// The event that names it.
        event: u64,
        /// Digest of the file, in hex.
        found: String,
        /// Digest the journal names, in hex.
        named: String,
    },
    /// A snapshot of another history (spec 5.5.3).
    #[error(
        "the newest snapshot stands at event {snapshot}, but the journal has another history up to there; nothing \
         was changed: put back the journal that belongs to it, or remove the snapshot"
    )]
    Astray {
        /// Sequence number of the snapshot.
        snapshot: u64,
    },
}

/// Where an origin keeps things and what it is made with.
#[derive(Clone)]
pub struct OriginOptions {
    /// Its disk.
    pub disk: Arc<dyn Disk>,
    /// Its data directory.
    pub dir: PathBuf,
    /// Bytes of a journal segment.
    pub segment_bytes: u64,
}

impl std::fmt::Debug for OriginOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OriginOptions").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Where a data directory's trust file is.
pub fn trust_path(dir: &Path) -> PathBuf {
    dir.join("trust.json")
}

/// Where a data directory's journal is.
pub fn journal_path(dir: &Path) -> PathBuf {
    dir.join("journal")
}

/// Where a data directory's snapshots are.
pub fn snapshots_path(dir: &Path) -> PathBuf {
    dir.join("snapshots")
}

/// Where a data directory's generations of a set are.
pub fn set_path(dir: &Path, set: u32) -> PathBuf {
    dir.join("sets").join(set.to_string())
}

/// Refuses to found an origin where there was one: it would publish other releases under the versions of
/// the old. What shows that there was one: `trust.json` and snapshots, made after the first group of the
/// journal, and the files of `journal`, where they are made after what is missing.
pub(super) fn nothing_founded(
    options: &OriginOptions,
    what: &str,
    journal: Option<&Path>,
) -> Result<(), OriginError> {
    let (trust, snapshots) = (trust_path(&options.dir), snapshots_path(&options.dir));
    for dir in [Some(&*options.dir), Some(&*snapshots), journal].into_iter().flatten() {
        let names = match options.disk.list(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            listed => listed.map_err(|source| OriginError::Disk { file: dir.to_path_buf(), source })?,
        };
        if let Some(file) = names.into_iter().find(|file| *file == trust || dir != options.dir) {
            let what = format!("{what}, but {} is there", file.display());
            return Err(OriginError::Mixed { dir: options.dir.clone(), what });
        }
    }
    Ok(())
}

/// Removes what interrupted writers left in a directory that is known to be ours, its journal apart, which
/// does the same (spec 5.1.5): a snapshot that a crash cut short holds keys, and nothing would end its life.
pub(super) fn remove_all_unfinished(options: &OriginOptions, state: &State) -> Result<(), OriginError> {
    let dir = &options.dir;
    // Readers may be served already: what is made for them, cookie and certificates, is not ours, nor is what
    // somebody else keeps in the directory.
    let own = |name: &str| ["identity", "trust.json", "adoption"].contains(&name);
    let private =
        |name: &str| ["root.", "online-", "codes.", "seal-"].iter().any(|key| name.starts_with(key));
    let every = |_: &str| true;
    let sweep = |dir: PathBuf, ours: &dyn Fn(&str) -> bool| {
        let removed = remove_unfinished(&*options.disk, &dir, ours);
        removed.map_err(|source| OriginError::Disk { file: dir, source })
    };
    sweep(dir.clone(), &own)?;
    sweep(snapshots_path(dir), &every)?;
    sweep(dir.join("keys"), &private)?;
    state.sets().try_for_each(|(set, _)| sweep(set_path(dir, set), &every))
}

/// The state as the files of a directory give it.
pub(super) struct Fold {
    pub(super) state: State,
    /// The snapshot it began with.
    pub(super) began: Option<(Head, [u8; 32])>,
    /// Who waits for it.
    reading: Arc<Reading>,
}

impl Fold {
    fn empty(reading: Arc<Reading>) -> Self {
        Fold { state: State::new(), began: None, reading }
    }

    /// Begins with the newest whole snapshot; if there is none, before event one.
    pub(super) fn begin(disk: &dyn Disk, dir: &Path, log_id: &LogId) -> Result<Self, OriginError> {
        Fold::begin_for(Arc::default(), disk, dir, log_id)
    }

    /// As [`Fold::begin`], and lets `reading` say how far it is.
    fn begin_for(
        reading: Arc<Reading>,
        disk: &dyn Disk,
        dir: &Path,
        log_id: &LogId,
    ) -> Result<Self, OriginError> {
        let found = snapshot::newest_valid(disk, &snapshots_path(dir), log_id)?;
        for skipped in &found.skipped {
            tracing::warn!("snapshot {} is not used: {}", skipped.file.display(), skipped.why);
        }
        let Some(snapshot) = found.snapshot else { return Ok(Fold::empty(reading)) };
        if !reading.goes_on() {
            return Err(OriginError::Stopped);
        }
        let fold = Fold::from(&snapshot)?;
        reading.reached(fold.state.seq());
        Ok(Fold { reading, ..fold })
    }

    /// Begins with this snapshot.
    pub(super) fn from(snapshot: &Snapshot) -> Result<Self, OriginError> {
        let state = State::from_bytes(&snapshot.payload)?;
        Ok(Fold { state, began: Some((snapshot.head, snapshot.digest)), reading: Arc::default() })
    }

    /// Replays what the journal is known to have after it. Returns the head after that.
    pub(super) fn go_on(&mut self, disk: Arc<dyn Disk>, dir: &Path) -> Result<Head, OriginError> {
        let mut reader = JournalReader::from_seq(disk, &journal_path(dir), self.state.seq() + 1)?;
        let begins = reader.base().seq;
        if begins > self.state.seq() {
            return Err(OriginError::Gap { begins, snapshot: self.state.seq() });
        }
        for group in &mut reader {
            for record in group?.records {
                replay(&mut self.state, &record)?;
                self.check_named(record.seq)?;
            }
            self.reading.reached(self.state.seq());
            if !self.reading.goes_on() {
                return Err(OriginError::Stopped);
            }
        }
        // spec 5.3.14: a base stands for all that was dropped.
        if begins > self.state.base().map_or(0, |base| base.snapshot.seq) {
            return Err(OriginError::Beheaded { begins });
        }
        Ok(reader.head())
    }

    /// If event `seq` names the snapshot this began with: that it is the same.
    fn check_named(&self, seq: u64) -> Result<(), OriginError> {
        let (Some((head, digest)), Some(base)) = (self.began, self.state.base()) else { return Ok(()) };
        let Based { seq: snapshot, digest: named, .. } = base.snapshot;
        if base.event != seq || snapshot != head.seq || named == digest {
            return Ok(());
        }
        let (found, named) = (hex::encode(digest), hex::encode(named));
        Err(OriginError::OtherSnapshot { snapshot, event: seq, found, named })
    }
}

/// What a directory says before anything in it is touched.
pub(super) struct Known {
    /// The newest whole snapshot and what the journal is known to have after it.
    fold: Fold,
    /// A snapshot at a group that nothing names yet: to be compared once the journal is open.
    unchecked: Option<Head>,
}

impl Known {
    /// Reads snapshot and journal, and checks that the parts of the directory belong together.
    pub(super) fn read(
        options: &OriginOptions,
        identity: &Identity,
        reading: &Arc<Reading>,
    ) -> Result<Self, OriginError> {
        let (disk, dir) = (&*options.disk, &options.dir);
        let journal = journal_path(dir);
        let end = match LocalJournal::look(disk, &journal, &identity.log_id) {
            Err(JournalError::Missing { .. }) => {
                nothing_founded(options, "its journal or the head file of it is missing", None)?;
                return Ok(Known { fold: Fold::empty(Arc::clone(reading)), unchecked: None });
            }
            end => end?,
        };
        if end.seq == 0 {
            nothing_founded(options, "its journal is empty", None)?;
        }
        reading.ends_at(end.seq);
        let fold = Fold::begin_for(Arc::clone(reading), disk, dir, &identity.log_id)?;
        let mut known = Known { fold, unchecked: None };
        if let Some((head, _)) = known.fold.began {
            match passes(options, &head)? {
                _ if head.seq > end.seq => {
                    return Err(OriginError::Ahead { snapshot: head.seq, journal: end.seq });
                }
                Some(false) => return Err(OriginError::Astray { snapshot: head.seq }),
                Some(true) => {}
                None => known.unchecked = Some(head),
            }
        }
        known.fold.go_on(Arc::clone(&options.disk), dir)?;
        check_trust(options, identity)?;
        if known.fold.state.seq() > 0 {
            check_keys(options, identity, &known.fold.state)?;
        }
        Ok(known)
    }

    /// The state at `head`, the end of the journal now that it is open.
    pub(super) fn catch_up(mut self, options: &OriginOptions, head: &Head) -> Result<State, OriginError> {
        if let Some(snapshot) = self.unchecked
            && passes(options, &snapshot)? != Some(true)
        {
            return Err(OriginError::Astray { snapshot: snapshot.seq });
        }
        replay_to(options, &mut self.fold, head.seq)?;
        Ok(self.fold.state)
    }
}

/// Replays what the journal is known to have, if it is known to reach event `last`.
fn replay_to(options: &OriginOptions, fold: &mut Fold, last: u64) -> Result<(), OriginError> {
    if fold.state.seq() < last {
        fold.go_on(Arc::clone(&options.disk), &options.dir)?;
    }
    Ok(())
}

/// Whether the journal passes through `head`, its incarnation apart: adopting a directory changes that.
/// `None` if no group so far is known to be acknowledged there.
fn passes(options: &OriginOptions, head: &Head) -> Result<Option<bool>, OriginError> {
    let same = |other: Head| (other.gno, other.seq, other.chain) == (head.gno, head.seq, head.chain);
    let disk = Arc::clone(&options.disk);
    let mut reader = JournalReader::from_seq(disk, &journal_path(&options.dir), head.seq)?;
    if same(reader.base()) {
        return Ok(Some(true));
    }
    if head.gno > reader.until() {
        return Ok(None);
    }
    Ok(Some(reader.next().transpose()?.is_some_and(|group| same(group.head))))
}

/// The trust file of a directory, if there is one.
pub(super) fn trust_of(disk: &dyn Disk, dir: &Path) -> Result<Option<Trust>, OriginError> {
    let file = trust_path(dir);
    let bytes = match read_file(disk, &file, MAX_TRUST_FILE as u64) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|source| OriginError::Unreadable { file: file.clone(), source })?,
    };
    let trust = Trust::parse_json(&String::from_utf8_lossy(&bytes));
    trust.map(Some).map_err(|source| OriginError::TrustFile { file, source })
}

pub(super) fn check_trust(options: &OriginOptions, identity: &Identity) -> Result<(), OriginError> {
    let Some(trust) = trust_of(&*options.disk, &options.dir)? else { return Ok(()) };
    let mixed = |what: String| OriginError::Mixed { dir: options.dir.clone(), what };
    if trust.service != identity.service_id {
        let (named, own) = (hex::encode(trust.service), hex::encode(identity.service_id));
        return Err(mixed(format!("trust.json is of service {named}, the identity of {own}")));
    }
    match Keys::look(&*options.disk, &options.dir).root()? {
        Some(root) if !trust.roots.contains(&root.public()) => {
            Err(mixed("keys/root.key is none of the root keys in trust.json".to_owned()))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_keys(
    options: &OriginOptions,
    identity: &Identity,
    state: &State,
) -> Result<SigningKey, OriginError> {
    let mixed = |what: String| OriginError::Mixed { dir: options.dir.clone(), what };
    if state.service() != identity.service_id {
        let (journal, own) = (hex::encode(state.service()), hex::encode(identity.service_id));
        return Err(mixed(format!("the journal is of service {journal}, the identity of {own}")));
    }
    let signed = state.delegation();
    let delegation = Delegation::parse(signed.get(..DELEGATION_LEN).unwrap_or(signed))
        .map_err(|e| mixed(format!("the journal's delegation cannot be read: {e}")))?;
    check_online(options, &delegation)
}

/// The online key that a delegation names.
pub(super) fn check_online(
    options: &OriginOptions,
    delegation: &Delegation,
) -> Result<SigningKey, OriginError> {
    let mixed = |what: String| OriginError::Mixed { dir: options.dir.clone(), what };
    let epoch = delegation.epoch();
    let online = Keys::look(&*options.disk, &options.dir).online(epoch)?;
    let online = online.ok_or_else(|| mixed(format!("keys/online-{epoch}.key is missing")))?;
    if online.public() != delegation.online() {
        return Err(mixed(format!(
            "keys/online-{epoch}.key is not the key that the journal's delegation names"
        )));
    }
    Ok(online)
}
