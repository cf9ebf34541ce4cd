//! The two kinds of data a client follows: the live set, and the history that nodes need.
//!
//! Both are applied to and matched alike (spec 3.7.1, 3.8), so the one that follows them need
//! not know which it has. Pure: objects and checkpoints are handed in.

use sha2::{Digest, Sha256};

use super::verify::{Mismatch, same, same_hash};
use crate::release::delta::{ApplyLimits, DeltaError, Header, HistoryResult, apply_history, apply_live};
use crate::release::schema::expired;
use crate::release::tree::{build_tree, depth};
use crate::release::{Checkpoint, Hash, LiveSet, LogTree, Schema, SetError};
use crate::wire::layout::{KIND_HISTORY, KIND_LIVE};

/// Least bytes of an added entry in a delta, its key's tail: what bounds a version between.
const LEAST_ADDED_LEN: u64 = 8;

/// Data of one version of a set that lead to those of another by an object.
pub trait Data: Sized {
    /// Kind of the objects (spec 2.5.2).
    const KIND: u8;

    /// The data of version 0.
    fn empty(schema: Schema) -> Self;

    /// The data of bytes that were kept.
    ///
    /// # Errors
    /// If the entries are not in order.
    fn from_parts(
        schema: Schema,
        version: u64,
        horizon: u32,
        entries: Vec<u8>,
        leaves: Vec<Hash>,
    ) -> Result<Self, SetError>;

    /// Schema of the set.
    fn schema(&self) -> Schema;

    /// Version, 0 for none.
    fn version(&self) -> u64;

    /// Horizon of the version.
    fn horizon(&self) -> u32;

    /// The entries, one after the other.
    fn entries(&self) -> &[u8];

    /// The leaves of the checkpoint log; none in a live set.
    fn leaves(&self) -> &[Hash];

    /// Bytes of an entry.
    fn width(schema: Schema) -> usize;

    /// The live public entries in key order.
    fn live(&self) -> impl Iterator<Item = &[u8]>;

    /// What an object on the way to `checkpoint` may be, for one who holds this (spec 3.8.12).
    fn limits(&self, checkpoint: &Checkpoint, schema: Schema) -> ApplyLimits;

    /// The data that `object` leads to. To be believed when they [match](Self::check).
    ///
    /// # Errors
    /// [`DeltaError`].
    fn apply(&self, object: &[u8], limits: &ApplyLimits) -> Result<Self, DeltaError>;

    /// Whether these are the data that a checkpoint speaks of (spec 3.7.1).
    ///
    /// # Errors
    /// In what they differ.
    fn check(&self, checkpoint: &Checkpoint) -> Result<(), Mismatch>;

    /// Number of entries.
    fn count(&self) -> u64 {
        (self.entries().len() / Self::width(self.schema())) as u64
    }
}

/// The limits of an object that leads to a version between, whose count nobody signed for us.
pub(super) fn between(limits: ApplyLimits, held: u64) -> ApplyLimits {
    let max_after = held.saturating_add(limits.max_length / LEAST_ADDED_LEN);
    ApplyLimits { max_after: limits.max_after.max(max_after), ..limits }
}

fn check_numbers(data: &impl Data, checkpoint: &Checkpoint) -> Result<(), Mismatch> {
    same("version", data.version(), checkpoint.version())?;
    same("horizon", data.horizon().into(), checkpoint.horizon().into())?;
    same("schema", data.schema().number().into(), checkpoint.schema().into())?;
    same("depth", depth(checkpoint.count()).into(), checkpoint.bits().into())
}

impl Data for LiveSet {
    const KIND: u8 = KIND_LIVE;

    fn empty(schema: Schema) -> Self {
        Self::empty(schema)
    }

    fn from_parts(
        schema: Schema,
        version: u64,
        horizon: u32,
        entries: Vec<u8>,
        _leaves: Vec<Hash>,
    ) -> Result<Self, SetError> {
        Self::new(schema, version, horizon, entries)
    }

    fn schema(&self) -> Schema {
        self.schema()
    }

    fn version(&self) -> u64 {
        self.version()
    }

    fn horizon(&self) -> u32 {
        self.horizon()
    }

    fn entries(&self) -> &[u8] {
        self.entries()
    }

    fn leaves(&self) -> &[Hash] {
        &[]
    }

    fn width(schema: Schema) -> usize {
        schema.public_len()
    }

    fn live(&self) -> impl Iterator<Item = &[u8]> {
        self.entries().chunks_exact(self.schema().public_len())
    }

    fn limits(&self, checkpoint: &Checkpoint, schema: Schema) -> ApplyLimits {
        let (service, set) = (checkpoint.service(), checkpoint.set());
        ApplyLimits::for_live(service, set, schema, checkpoint.count(), self.count())
    }

    fn apply(&self, object: &[u8], limits: &ApplyLimits) -> Result<Self, DeltaError> {
        apply_live(self.schema(), self, object, limits)
    }

    fn check(&self, checkpoint: &Checkpoint) -> Result<(), Mismatch> {
        check_numbers(self, checkpoint)?;
        same("count", self.count(), checkpoint.count())?;
        same_hash("root", self.root(), checkpoint.root())
    }
}

/// All unexpired entries of a version with their serials, and the whole checkpoint log before it:
/// what a node answers from (spec 4.4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    schema: Schema,
    version: u64,
    horizon: u32,
    entries: Vec<u8>,
    leaves: Vec<Hash>,
}

impl History {
    /// History entries and leaves of the checkpoint log, handed over.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, Vec<Hash>) {
        (self.entries, self.leaves)
    }
}

impl Data for History {
    const KIND: u8 = KIND_HISTORY;

    fn empty(schema: Schema) -> Self {
        Self { schema, version: 0, horizon: 0, entries: Vec::new(), leaves: Vec::new() }
    }

    fn from_parts(
        schema: Schema,
        version: u64,
        horizon: u32,
        entries: Vec<u8>,
        leaves: Vec<Hash>,
    ) -> Result<Self, SetError> {
        let (found, entry) = (entries.len(), schema.entry_len());
        if !found.is_multiple_of(entry) {
            return Err(SetError::Length { found, entry });
        }
        let key = |index: usize| {
            let view = schema.views(&entries[index * entry..]).next();
            view.map(|view| (view.key, view.add_serial))
        };
        if let Some(index) = (1..found / entry).find(|&index| key(index - 1) >= key(index)) {
            return Err(SetError::Order(index));
        }
        Ok(Self { schema, version, horizon, entries, leaves })
    }

    fn schema(&self) -> Schema {
        self.schema
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn horizon(&self) -> u32 {
        self.horizon
    }

    fn entries(&self) -> &[u8] {
        &self.entries
    }

    fn leaves(&self) -> &[Hash] {
        &self.leaves
    }

    fn width(schema: Schema) -> usize {
        schema.entry_len()
    }

    fn live(&self) -> impl Iterator<Item = &[u8]> {
        let serial = self.version as u32;
        self.schema.views(&self.entries).filter(move |entry| entry.live_at(serial)).map(|entry| entry.public)
    }

    fn limits(&self, checkpoint: &Checkpoint, schema: Schema) -> ApplyLimits {
        let (service, set) = (checkpoint.service(), checkpoint.set());
        let (count, log_size) = (checkpoint.count(), checkpoint.log_size());
        ApplyLimits::for_history(service, set, schema, count, self.count(), log_size)
    }

    fn apply(&self, object: &[u8], limits: &ApplyLimits) -> Result<Self, DeltaError> {
        let result = apply_history(self.schema, self.version, &self.entries, object, limits)?;
        let from_nothing = Header::read(object)?.from == 0;
        let before = if from_nothing { &[][..] } else { &self.leaves };
        let HistoryResult { schema, version, horizon, entries, leaves } = result;
        Ok(Self { schema, version, horizon, entries, leaves: [before, &leaves].concat() })
    }

    fn check(&self, checkpoint: &Checkpoint) -> Result<(), Mismatch> {
        check_numbers(self, checkpoint)?;
        same("log size", self.leaves.len() as u64, checkpoint.log_size())?;
        let mut log = LogTree::new();
        self.leaves.iter().for_each(|leaf| log.push(*leaf));
        same_hash("log root", log.root(), checkpoint.log_root())?;
        same_hash("history digest", Sha256::digest(&self.entries).into(), checkpoint.history())?;
        let tree = build_tree(self.schema, &self.entries, self.version as u32);
        same("count", tree.count, checkpoint.count())?;
        same_hash("root", tree.root, checkpoint.root())
    }
}

/// What changed from one version to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Live entries that were not.
    pub added: u64,
    /// Entries that are live no more and have not expired: withdrawn, or replaced.
    pub removed: u64,
    /// Entries that expired under the newer horizon.
    pub expired: u64,
}

/// Compares the live entries of two versions. Entries of different schemas have nothing in common.
pub(super) fn compare(old: Option<&impl Data>, new: &impl Data) -> Change {
    let mut change = Change::default();
    let (schema, horizon) = (new.schema(), new.horizon());
    if let Some(other) = old.filter(|old| old.schema() != schema) {
        let (added, removed) = (new.live().count() as u64, other.live().count() as u64);
        return Change { added, removed, expired: 0 };
    }
    let key_len = schema.key_len();
    let mut gone = |entry: &[u8]| {
        let counter =
            if expired(&entry[key_len..], horizon) { &mut change.expired } else { &mut change.removed };
        *counter += 1;
    };
    let mut before = old.into_iter().flat_map(Data::live).peekable();
    let mut added = 0;
    for entry in new.live() {
        while let Some(old) = before.next_if(|old| old[..key_len] < entry[..key_len]) {
            gone(old);
        }
        match before.next_if(|old| old[..key_len] == entry[..key_len]) {
            Some(old) if old == entry => {}
            Some(old) => {
                gone(old);
                added += 1;
            }
            None => added += 1,
        }
    }
    before.for_each(gone);
    Change { added, ..change }
}
