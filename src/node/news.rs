//! What the public half needs to know of a set, taken from the state or a verified history at one moment.

use std::sync::Arc;

use super::origin::Origin;
use crate::client::{Data, HistoryClient};
use crate::engine::{Bridge, ReleaseView, Shown, State, next_release};
use crate::release::{LogTree, Schema};
use crate::store::journal::{Head, LogId};
use crate::time::next_border;

/// What the public half needs to know of a set, taken from the state at one moment.
#[derive(Debug, Clone)]
pub struct SetNews {
    pub(super) set: u32,
    pub(super) schema: Schema,
    pub(super) interval_s: u32,
    pub(super) next_release: u64,
    pub(super) manifest: Arc<Vec<u8>>,
    /// The manifest that the newest checkpoint names.
    pub(super) published_manifest: Arc<Vec<u8>>,
    /// Checkpoint and signature list.
    pub(super) published: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) bridges: Arc<Vec<Bridge>>,
    pub(super) log: LogTree,
    pub(super) delegation: Vec<u8>,
    /// The journal and its head that they stand at, of an origin's.
    pub(super) at: Option<(LogId, Head)>,
}

impl SetNews {
    /// The news of `set` at `now` (Unix seconds) that an origin has, which a start shows again.
    pub fn from_origin(origin: &Origin, set: u32, now: u64) -> Option<Self> {
        let at = Some((origin.identity().log_id, origin.head()));
        SetNews::of(origin.state(), set, now).map(|news| SetNews { at, ..news })
    }

    /// The set it is about.
    pub fn set(&self) -> u32 {
        self.set
    }

    /// The news of `set` at `now` (Unix seconds).
    pub fn of(state: &State, set: u32, now: u64) -> Option<Self> {
        let s = state.set(set)?;
        Some(SetNews {
            set,
            schema: s.params().schema,
            interval_s: s.params().interval_s,
            next_release: next_release(s, now),
            manifest: Arc::new(s.manifest().to_vec()),
            published_manifest: Arc::new(s.published_manifest().unwrap_or_default().to_vec()),
            published: s.published_checkpoint().map(|(c, sig)| (c.to_vec(), sig.to_vec())),
            bridges: Arc::new(s.bridges().to_vec()),
            log: s.log().clone(),
            delegation: s.published_delegation().unwrap_or(state.delegation()).to_vec(),
            at: None,
        })
    }

    /// The news of a set that a public node follows; none before its first release is verified.
    pub fn verified(history: &HistoryClient) -> Option<Self> {
        let (answer, data) = (history.answer()?, history.data()?);
        let (manifest, bytes) = (history.manifest()?, history.manifest_bytes()?);
        let mut log = LogTree::new();
        for leaf in data.leaves() {
            log.push(*leaf);
        }
        let checkpoint = &answer.checkpoint;
        Some(SetNews {
            set: checkpoint.set(),
            schema: data.schema(),
            interval_s: manifest.interval_s,
            next_release: next_border(checkpoint.time(), manifest.interval_s.into()),
            manifest: Arc::new(bytes.to_vec()),
            published_manifest: Arc::new(bytes.to_vec()),
            published: Some((checkpoint.as_bytes().to_vec(), answer.signatures.as_bytes().to_vec())),
            // A history does not say where incarnations ended: who holds an earlier one gets the full set.
            bridges: Arc::default(),
            log,
            delegation: [answer.delegation.as_bytes(), answer.delegation_signatures.as_bytes()].concat(),
            at: None,
        })
    }

    /// What to keep of them for the next start while readers see `release`; nothing if that is not their
    /// newest, or they are of no origin.
    pub(super) fn shown(&self, release: &ReleaseView) -> Option<Shown> {
        let (log_id, head) = self.at?;
        let (checkpoint, signatures) = self.published.clone()?;
        (*release.checkpoint.as_bytes() == checkpoint[..]).then(|| Shown {
            log_id,
            head,
            set: self.set,
            table: release.generation.meta().version,
            checkpoint,
            signatures,
            delegation: self.delegation.clone(),
            manifest: self.manifest.to_vec(),
            published_manifest: self.published_manifest.to_vec(),
            bridges: self.bridges.to_vec(),
            leaves: self.log.leaves().to_vec(),
        })
    }
}
