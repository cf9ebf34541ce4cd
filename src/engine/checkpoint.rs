//! The checkpoint of a release, from the state that decided it and the table that was built.
//!
//! The writer signs what this returns; a rebuild compares it with what was signed then.

use super::input::BuiltRelease;
use super::manifest::fresh_until;
use super::set::SetState;
use super::state::State;
use crate::release::tree::depth;
use crate::release::{Checkpoint, CheckpointFields, manifest_digest};

/// The checkpoint of the newest decided release of `set` (spec 3.4.1).
pub(crate) fn checkpoint_of(state: &State, set: &SetState, built: &BuiltRelease) -> Checkpoint {
    Checkpoint::new(&CheckpointFields {
        set: set.id,
        service: state.service(),
        version: state.version(set.serial),
        time: set.time,
        fresh_until: fresh_until(set.params(), set.time),
        horizon: set.horizon,
        schema: set.params.schema.number(),
        bits: depth(built.count),
        count: built.count,
        log_size: set.log.len(),
        root: built.root,
        log_root: set.log.root(),
        manifest: manifest_digest(&set.manifest),
        history: built.history_digest,
        key_epoch: state.key_epoch(),
    })
}
