//! Snapshots of the private state: when one is due, how it is made beside the writer, where a rebuild
//! begins, and what may go once the journal names it.
//!
//! A snapshot that an event names is a *base*: what came before it is not needed any more. A base is made
//! daily and two are kept; segments go when their day, the retention and two days are over.

use std::path::Path;
use std::sync::Arc;

use super::directory::{Fold, OriginError, OriginOptions, journal_path, snapshots_path};
use crate::engine::{Based, Event, State};
use crate::store::journal::{Head, JournalReader, Record, segment_bytes_after};
use crate::store::snapshot::{self, Snapshot};
use crate::store::{Disk, Identity};

/// Events after which a snapshot is made although the day is not over.
const SNAPSHOT_EVENTS: u64 = 100_000;
const DAY_S: u64 = 86_400;

/// The name of a snapshot in the journal.
pub(super) fn named(head: &Head, digest: [u8; 32]) -> Based {
    Based { gno: head.gno, seq: head.seq, chain: head.chain, digest }
}

/// Events after the newest base, the one that names it apart.
pub(super) fn events_since(state: &State) -> u64 {
    state.seq() - state.base().map_or(0, |base| base.event)
}

/// The day of a time in Unix seconds, in days since 1970.
pub(super) fn day_of(unix: u64) -> u64 {
    unix / DAY_S
}

/// Whether the state needs a new base: another day has begun since the newest, or since what was believed
/// when it was `opened` (Unix seconds) if there is none, or many events came. Days are those of releases:
/// what a clock that is not believed stamps makes none due, and puts none off.
pub(super) fn is_due(state: &State, opened: u64) -> bool {
    let since = state.base().map_or(opened, |base| base.time);
    events_since(state) >= SNAPSHOT_EVENTS || day_of(state.believed_time()) > day_of(since)
}

/// When a segment has to have been followed by another to be dropped, Unix milliseconds: before the day
/// that is the longest retention before the day of `believed` (spec 5.3.14).
pub(super) fn begun_before_ms(state: &State, believed: u64) -> u64 {
    let retention = state.sets().map(|(_, set)| u64::from(set.params().retention_days)).max();
    let day = (believed / DAY_S).saturating_sub(retention.unwrap_or(u64::MAX));
    day * DAY_S * 1000
}

/// Makes a new snapshot of the newest whole one and what the journal is known to have after it; written,
/// and verified by reading it back. It reads files only, so the writer goes on meanwhile.
///
/// # Errors
/// If the files do not fit together, or the disk fails; the snapshots before stay.
pub fn fold(options: &OriginOptions, identity: &Identity) -> Result<Based, OriginError> {
    Ok(fold_on(options, identity)?.0)
}

/// As [`fold`]; and the group of the snapshot it began with, whole, if that is an older one.
pub(super) fn fold_on(
    options: &OriginOptions,
    identity: &Identity,
) -> Result<(Based, Option<u64>), OriginError> {
    let disk = &*options.disk;
    let mut fold = Fold::begin(disk, &options.dir, &identity.log_id)?;
    let head = fold.go_on(Arc::clone(&options.disk), &options.dir)?;
    match fold.began {
        Some((before, digest)) if before.seq == fold.state.seq() => Ok((named(&before, digest), None)),
        began => Ok((write(options, identity, &head, &fold.state)?, began.map(|(before, _)| before.gno))),
    }
}

/// Writes the snapshot of a state that stands at `head`, and verifies it.
///
/// # Errors
/// If the disk fails; the snapshots before stay.
pub(super) fn write(
    options: &OriginOptions,
    identity: &Identity,
    head: &Head,
    state: &State,
) -> Result<Based, OriginError> {
    let dir = snapshots_path(&options.dir);
    let digest = snapshot::write(&*options.disk, &dir, &identity.log_id, head, &state.to_bytes())?;
    Ok(named(head, digest))
}

/// Bytes of the journal's segments from the oldest snapshot on: what a rebuild reads.
///
/// # Errors
/// If a file cannot be read.
pub fn bytes_to_oldest_base(disk: &dyn Disk, dir: &Path, identity: &Identity) -> Result<u64, OriginError> {
    let oldest = snapshot::oldest(disk, &snapshots_path(dir))?.unwrap_or(0);
    Ok(segment_bytes_after(disk, &journal_path(dir), &identity.log_id, oldest)?)
}

/// The state a rebuild of the journal in `dir` begins with: that before event one if the journal has all
/// events, else the oldest base that is here.
///
/// # Errors
/// If the journal cannot be read, or begins later and no base of it is here.
pub fn first_state(disk: &Arc<dyn Disk>, dir: &Path) -> Result<State, OriginError> {
    let reader = JournalReader::open(Arc::clone(disk), &journal_path(dir))?;
    let (begins, log_id) = (reader.base().seq, reader.log_id());
    if begins == 0 {
        return Ok(State::new());
    }
    for group in reader {
        for base in group?.records.iter().filter_map(base_of).filter(|base| base.seq >= begins) {
            if let Some(snapshot) = whole(&**disk, dir, &log_id, &base) {
                return Ok(Fold::from(&snapshot)?.state);
            }
        }
    }
    Err(OriginError::Gap { begins, snapshot: 0 })
}

fn base_of(record: &Record) -> Option<Based> {
    match Event::decode(record.kind, record.version, &record.payload) {
        Ok(Event::Based(base)) => Some(base),
        _ => None,
    }
}

/// The snapshot that the journal names so, if it is here and whole.
fn whole(disk: &dyn Disk, dir: &Path, log_id: &[u8; 16], base: &Based) -> Option<Snapshot> {
    let snapshot = snapshot::at(disk, &snapshots_path(dir), log_id, base.gno).ok()?;
    (named(&snapshot.head, snapshot.digest) == *base).then_some(snapshot)
}
