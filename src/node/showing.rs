//! What readers were shown last, kept beside the generations, and shown again at a start before the private
//! state is read (spec 5.11): a reader never waits for the writer, also not for its start.
//!
//! It is shown only if it is what the state will say: it verifies under the trust of the directory, the
//! journal passes through the head it stands at, and nothing after that concerns readers. All sets are shown
//! or none; who finds a reason against it waits for the state, which is refused for the same reason or not.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::{
    OriginError, OriginOptions, check_online, check_trust, journal_path, set_path, snapshots_path, trust_of,
};
use super::keys::Keys;
use crate::engine::{Shown, ShownError, VerifiedShown};
use crate::release::Trust;
use crate::store::generation::{Generation, GenerationError, file_name};
use crate::store::journal::{Head, JournalError, LocalJournal};
use crate::store::snapshot::{self, SnapshotError};
use crate::store::{Disk, Identity, IdentityError, MemoryMode, read_file, replace_file};

/// Longest file that is read: the log of a set that was released every minute for ten years is shorter.
const MAX_FILE: u64 = 1 << 28;

/// A set as readers saw it last, all of it verified.
#[derive(Debug)]
pub(super) struct ShownSet {
    pub(super) shown: Shown,
    pub(super) verified: VerifiedShown,
    pub(super) generation: Arc<Generation>,
}

/// Why readers wait for the state.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(super) enum Unshown {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Origin(#[from] OriginError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error("no trust.json names a set")]
    NoTrust,
    #[error("cannot read {}: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{} cannot be used: {source}", file.display())]
    File { file: PathBuf, source: ShownError },
    #[error("{} is of another set, journal or incarnation", file.display())]
    Other { file: PathBuf },
    #[error("the journal does not pass through the head at which a set was shown last")]
    Elsewhere,
    #[error("the journal has event {seq} for readers of set {set} after they were shown it last")]
    Newer { set: u32, seq: u64 },
    #[error("the newest snapshot stands at group {snapshot}, the journal ends at group {journal}")]
    Ahead { snapshot: u64, journal: u64 },
    #[error("the journal and its mirror do not end at the same group")]
    NotLevel,
    #[error("{} is not the generation of the checkpoint that was shown", file.display())]
    OtherGeneration { file: PathBuf },
}

/// Where it is kept for a set.
fn path(dir: &Path, set: u32) -> PathBuf {
    set_path(dir, set).join("shown.tekd")
}

/// Keeps what readers of a set are shown. A crash leaves what was kept before, which the journal then tells
/// from the newest.
pub(super) fn keep(disk: &dyn Disk, dir: &Path, shown: &Shown) -> io::Result<()> {
    disk.create_dir(&set_path(dir, shown.set))?;
    replace_file(disk, &path(dir, shown.set), &shown.to_bytes())
}

/// Removes what was kept of a set.
pub(super) fn forget(disk: &dyn Disk, dir: &Path, set: u32) -> io::Result<()> {
    disk.remove(&path(dir, set))?;
    disk.sync_dir(&set_path(dir, set))
}

/// What the readers of all sets of a directory may be shown before its state is read. Changes nothing.
pub(super) fn look(
    options: &OriginOptions,
    mirror: Option<&Path>,
    mode: MemoryMode,
) -> Result<(Identity, Vec<ShownSet>), Unshown> {
    let (disk, dir) = (&*options.disk, &*options.dir);
    let identity = Identity::open(disk, dir)?;
    check_trust(options, &identity)?;
    Keys::look(disk, dir).are_readable().map_err(OriginError::from)?;
    let trust = trust_of(disk, dir)?.filter(|trust| !trust.sets.is_empty()).ok_or(Unshown::NoTrust)?;
    let kept = trust.sets.iter().map(|set| kept(disk, dir, &identity, *set));
    let kept = kept.collect::<Result<Vec<Shown>, _>>()?;
    is_newest(options, &identity, mirror, &kept)?;
    let sets = kept.into_iter().map(|shown| whole(options, &trust, shown, mode));
    Ok((identity, sets.collect::<Result<_, _>>()?))
}

fn kept(disk: &dyn Disk, dir: &Path, identity: &Identity, set: u32) -> Result<Shown, Unshown> {
    let file = path(dir, set);
    let bytes = match read_file(disk, &file, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(source) => return Err(Unshown::Unreadable { file, source }),
    };
    let shown = match Shown::from_bytes(&bytes) {
        Ok(shown) => shown,
        Err(source) => return Err(Unshown::File { file, source }),
    };
    // After an adoption the state decides what is shown until the first release of the new incarnation.
    let own = (identity.log_id, identity.incarnation, set);
    if (shown.log_id, shown.head.incarnation, shown.set) != own {
        return Err(Unshown::Other { file });
    }
    Ok(shown)
}

/// That the journal has nothing for readers after what they were shown (spec 5.11.4).
fn is_newest(
    options: &OriginOptions,
    identity: &Identity,
    mirror: Option<&Path>,
    kept: &[Shown],
) -> Result<(), Unshown> {
    let (disk, dir) = (&*options.disk, &*options.dir);
    let (journal, log_id) = (journal_path(dir), &identity.log_id);
    let heads: Vec<Head> = kept.iter().map(|shown| shown.head).collect();
    let mut newer = None;
    let end = LocalJournal::look_after(disk, &journal, log_id, &heads, &mut |record| {
        let outdated = || kept.iter().find(|shown| shown.is_outdated_by(&record));
        newer = newer.or_else(|| outdated().map(|shown| (shown.set, record.seq)));
    })?;
    let end = end.ok_or(Unshown::Elsewhere)?;
    if let Some((set, seq)) = newer {
        return Err(Unshown::Newer { set, seq });
    }
    if let Some(snapshot) = snapshot::newest(disk, &snapshots_path(dir))?.filter(|gno| *gno > end.gno) {
        return Err(Unshown::Ahead { snapshot, journal: end.gno });
    }
    // What only one of the two has is decided as well (spec 5.9.3).
    let same = |other: Head| (other.gno, other.chain) == (end.gno, end.chain);
    match mirror.map(|mirror| LocalJournal::look(disk, mirror, log_id)).transpose()? {
        Some(other) if !same(other) => Err(Unshown::NotLevel),
        _ => Ok(()),
    }
}

/// verified-before-served: checkpoint, manifest and log under the trust, the generation against them.
fn whole(
    options: &OriginOptions,
    trust: &Trust,
    shown: Shown,
    mode: MemoryMode,
) -> Result<ShownSet, Unshown> {
    let (disk, dir) = (&*options.disk, &*options.dir);
    let verified = shown.verified(trust);
    let verified = verified.map_err(|source| Unshown::File { file: path(dir, shown.set), source })?;
    check_online(options, &verified.answer.delegation)?;
    let file = set_path(dir, shown.set).join(file_name(shown.table));
    let generation = Generation::open(disk, &file, mode)?;
    let (meta, checkpoint) = (generation.meta(), &verified.answer.checkpoint);
    let of = (meta.service, meta.set, meta.version) == (checkpoint.service(), shown.set, shown.table);
    let names = *generation.root() == checkpoint.root()
        && *generation.digest() == checkpoint.history()
        && generation.live() == checkpoint.count();
    if !of || !names {
        return Err(Unshown::OtherGeneration { file });
    }
    Ok(ShownSet { shown, verified, generation: Arc::new(generation) })
}
