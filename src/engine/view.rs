//! What readers see: every set at exactly one version, with its prepared answers.
//!
//! one-release-at-a-time: a [`View`] is made whole, published by one pointer swap and never changed. A
//! batch of questions is answered from one view.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::queue::ArrayQueue;

use super::objects::{Kind, Objects};
use super::set::Bridge;
use crate::release::{Checkpoint, LogTree, Schema};
use crate::store::generation::Generation;

/// Questions for objects that are not made yet; what does not fit is asked again by its client.
pub const WISHES_MAX: usize = 1024;

/// A base somebody holds and no object starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// The set.
    pub set: u32,
    /// What the object carries.
    pub kind: Kind,
    /// The version held.
    pub from: u64,
}

/// Everything a reader needs, at one moment.
#[derive(Debug)]
pub struct View {
    /// Service id.
    pub service: [u8; 8],
    /// Number of this node.
    pub node: u32,
    /// Whether the node is about to leave; the same flag in every view of a process.
    draining: Arc<AtomicBool>,
    /// The sets, by number.
    pub sets: Vec<SetView>,
    /// Where readers leave what they could not serve.
    pub wishes: Arc<ArrayQueue<Wish>>,
}

/// One set as readers see it.
#[derive(Debug, Clone)]
pub struct SetView {
    /// Its number.
    pub set: u32,
    /// Its schema.
    pub schema: Schema,
    /// Seconds between releases.
    pub interval_s: u32,
    /// When the next release is due, Unix seconds; 0 if unknown.
    pub next_release: u64,
    /// The manifest, all its bytes; empty at a node that has none yet.
    pub manifest: Arc<Vec<u8>>,
    /// Its newest release; none before the first.
    pub release: Option<ReleaseView>,
}

/// The newest release of a set.
#[derive(Debug, Clone)]
pub struct ReleaseView {
    /// Its checkpoint.
    pub checkpoint: Checkpoint,
    /// Body of a CHECKPOINT answer.
    pub checkpoint_answer: Arc<Vec<u8>>,
    /// Its table.
    pub generation: Arc<Generation>,
    /// Where earlier incarnations of its log ended.
    pub bridges: Arc<Vec<Bridge>>,
    /// The checkpoint log it covers.
    pub log: Arc<LogTree>,
    /// What can be fetched.
    pub objects: Objects,
}

impl ReleaseView {
    /// Whether `from` is an earlier version of this log: of its incarnation, or of one before up to where
    /// that ended (spec 2.5.5).
    pub(crate) fn leads_from(&self, from: u64) -> bool {
        let newest = self.checkpoint.version();
        let (incarnation, serial) = ((from >> 32) as u32, from as u32);
        let ended = |bridge: &Bridge| bridge.incarnation == incarnation && serial <= bridge.serial;
        from < newest && (newest >> 32 == from >> 32 || self.bridges.iter().any(ended))
    }
}

impl View {
    /// A view without any set.
    pub fn empty(service: [u8; 8], node: u32) -> Self {
        let wishes = Arc::new(ArrayQueue::new(WISHES_MAX));
        View { service, node, draining: Arc::new(AtomicBool::new(false)), sets: Vec::new(), wishes }
    }

    /// The set of that number.
    pub fn set(&self, set: u32) -> Option<&SetView> {
        let at = self.sets.binary_search_by_key(&set, |s| s.set).ok()?;
        Some(&self.sets[at])
    }

    /// This view with one set replaced or added.
    pub fn with_set(&self, set: SetView) -> Self {
        let mut sets: Vec<SetView> = self.sets.iter().filter(|s| s.set != set.set).cloned().collect();
        let at = sets.partition_point(|s| s.set < set.set);
        sets.insert(at, set);
        let (draining, wishes) = (Arc::clone(&self.draining), Arc::clone(&self.wishes));
        View { service: self.service, node: self.node, draining, sets, wishes }
    }

    /// Whether the node is about to leave.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Says that the node is about to leave, or is not any more.
    pub fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }
}
