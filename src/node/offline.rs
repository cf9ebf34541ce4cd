//! The private state of a directory that no server serves, read and nothing else.
//!
//! What is here is asked by tools beside the server; the server itself opens an [`super::Origin`], which
//! checks more.

use std::path::Path;
use std::sync::Arc;

use super::directory::{Fold, OriginError};
use super::keys::Keys;
use crate::engine::State;
use crate::store::{Disk, Identity};

/// The newest whole snapshot and what the journal is known to have after it.
///
/// # Errors
/// If snapshot or journal cannot be read or do not fit together.
pub fn read_state(disk: Arc<dyn Disk>, dir: &Path, identity: &Identity) -> Result<State, OriginError> {
    let mut fold = Fold::begin(&*disk, dir, &identity.log_id)?;
    fold.go_on(disk, dir)?;
    Ok(fold.state)
}

/// How many outstanding codes come from another key than the one in `dir`: nobody can tell them any more, and
/// the server gives them up when it enters the incarnation the directory is adopted for.
///
/// # Errors
/// As [`read_state`], or if the key is unreadable.
pub fn lost_codes(
    disk: Arc<dyn Disk>,
    dir: &Path,
    identity: &Identity,
    now: u64,
) -> Result<u64, OriginError> {
    let key = Keys::look(&*disk, dir).codes()?.map(|key| key.id());
    let state = read_state(disk, dir, identity)?;
    let batches = state.registry().batches.values();
    let lost = batches.filter(|batch| Some(batch.key_id) != key);
    Ok(lost.map(|batch| u64::from(batch.outstanding(now))).sum())
}
