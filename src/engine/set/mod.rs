//! The private state of one set: which keys are claimed, live, waiting or leaving.
//!
//! Here is what a set is and what can be asked of it. It changes in two ways, both steps of the fold, the
//! same for a fresh event and for a replayed one: claims come and go in `claims.rs`, a release turns the
//! public page in `turn.rs`.

mod few;
mod claim;
mod slab;
mod key_index;
mod key_table;
mod record;
mod report_ids;
mod claims;
mod turn;
mod standing;
mod history;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use claim::{Claim, Course};
pub use claims::ClaimCount;
pub(crate) use few::Few;
pub(crate) use key_table::{Handle, KeyTable};
pub use record::{Change, Later, ReportRecord};
use report_ids::ReportIds;
use slab::Slab;
pub use standing::ReportStanding;

use super::event::{Changes, Published};
use super::params::Params;
use crate::release::{Checkpoint, Fields, LIVE, LogTree, Schema};
use crate::time;
use crate::wire::Key;

/// Most earlier incarnations whose end a set remembers.
pub(crate) const MAX_BRIDGES: usize = 64;

/// Why an event does not fit the state it is applied to: the journal is not one this program wrote.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FoldError {
    /// An event about a set that no event made.
    #[error("event {seq} is about set {set}, which no earlier event made")]
    NoSet {
        /// Sequence number of the event.
        seq: u64,
        /// The set it names.
        set: u32,
    },
    /// A number that must follow from the events before it does not.
    #[error("event {seq}: {what} is {found}, the events before it give {expected}")]
    Disagrees {
        /// Sequence number of the event.
        seq: u64,
        /// What was compared.
        what: &'static str,
        /// What the event says.
        found: String,
        /// What the state says.
        expected: String,
    },
    /// The payload cannot be read.
    #[error("event {seq}: {error}")]
    Unreadable {
        /// Sequence number of the event.
        seq: u64,
        /// What is wrong with it.
        error: super::codec::DecodeError,
    },
}

/// Who takes claims back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taker {
    /// Their author: no operator brings them back.
    Author,
    /// An operator, by the event of that sequence number.
    Operator(u64),
}

/// One published entry of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryState {
    pub(crate) fields: Fields,
    pub(crate) add_serial: u32,
    pub(crate) del_serial: u32,
    pub(crate) decoy: bool,
}

/// What is known of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyState {
    /// Unexpired claims in the order they were made, those that were taken back among them.
    pub(crate) claims: Few<Claim>,
    /// Unexpired entries in the order of their serials; at most the last is live.
    pub(crate) entries: Few<EntryState>,
}

impl KeyState {
    pub(crate) fn live(&self) -> Option<&EntryState> {
        self.entries.last().filter(|e| e.del_serial == LIVE)
    }

    /// The earliest claim that stands: the key has its fields.
    pub(crate) fn first(&self) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.stands())
    }

    fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.entries.is_empty()
    }
}

/// A key that waits for a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) fields: Fields,
    pub(crate) embargo_end: u64,
    pub(crate) report: u64,
    pub(crate) decoy: bool,
    /// When it could first have gone out: the later of receipt and embargo end.
    pub(crate) since: u64,
}

impl Pending {
    fn of(claim: &Claim) -> Self {
        let Claim { report, fields, embargo_end, decoy, .. } = *claim;
        Pending { fields, embargo_end, report, decoy, since: claim.since().max(embargo_end) }
    }
}

/// A live key that nobody claims any more, or whose fields have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaving {
    pub(crate) report: u64,
    pub(crate) urgent: bool,
    pub(crate) since: u64,
}

/// The newest release readers may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublishedState {
    pub(crate) serial: u32,
    /// The manifest its checkpoint names; a newer one may have been issued since.
    pub(crate) manifest: Vec<u8>,
    /// The delegation it was signed under; a newer one may be in force since.
    pub(crate) delegation: Vec<u8>,
    pub(crate) checkpoint: Vec<u8>,
    pub(crate) signatures: Vec<u8>,
}

/// What a release did to the published table, in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseOutcome {
    /// The set.
    pub set: u32,
    /// The release.
    pub serial: u32,
    /// Its time.
    pub time: u64,
    /// Its horizon.
    pub horizon: u32,
    /// Live entries after it.
    pub live: u64,
    /// Depth of its bucket tree.
    pub bits: u8,
    /// Counts.
    pub changes: Changes,
    /// New entries.
    pub adds: Vec<(Key, Fields)>,
    /// Entries that leave: key and `add_serial`.
    pub dels: Vec<(Key, u32)>,
    /// Whether any entry, live or withdrawn, fell below the horizon.
    pub dropped: bool,
}

impl ReleaseOutcome {
    /// Whether the table is the one of the release before.
    pub fn is_empty(&self) -> bool {
        self.adds.is_empty() && self.dels.is_empty() && !self.dropped
    }
}

/// The release that made the present table: releases that change nothing reuse it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableMark {
    /// Its version, 0 before the first; also of an earlier incarnation than the newest release.
    pub version: u64,
    /// Schema of its entries.
    pub schema: Schema,
    /// Its time.
    pub time: u64,
    /// Its horizon.
    pub horizon: u32,
}

/// Where an incarnation of the log ended: versions of it up to there are versions of this journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bridge {
    /// The incarnation.
    pub incarnation: u32,
    /// The last serial it has in the journal.
    pub serial: u32,
}

/// One set.
#[derive(Debug, Clone)]
pub struct SetState {
    pub(crate) id: u32,
    pub(crate) params: Params,
    pub(crate) manifest: Vec<u8>,
    pub(crate) manifest_number: u32,
    pub(crate) serial: u32,
    pub(crate) time: u64,
    pub(crate) horizon: u32,
    pub(crate) table: TableMark,
    pub(crate) published: Option<PublishedState>,
    pub(crate) log: LogTree,
    /// The greatest serial that somebody else was known to have when the directory was adopted.
    pub(crate) known_serial: u32,
    pub(crate) bridges: Vec<Bridge>,
    pub(crate) keys: KeyTable,
    pub(crate) leaving: BTreeMap<Key, Leaving>,
    pub(crate) reports: BTreeMap<u64, ReportRecord>,
    by_id: ReportIds,
    /// Reports by the interval in which they were received: those that may be over are at the front.
    pub(crate) received: BTreeMap<u32, Slab<u64, 12>>,
    /// Reports of decoys.
    pub(crate) decoys: BTreeSet<u64>,
    /// Keys by the interval at which a claim or entry of theirs ends.
    pub(crate) ends: BTreeMap<u64, Slab<Handle, 12>>,
    pub(crate) live: u64,
    pub(crate) unexpired: u64,
}

pub(crate) fn end_of(fields: &Fields) -> u64 {
    u64::from(fields.start) + u64::from(fields.period)
}

impl SetState {
    pub(crate) fn new(id: u32, params: Params) -> Self {
        SetState {
            id,
            params,
            manifest: Vec::new(),
            manifest_number: 0,
            serial: 0,
            time: 0,
            horizon: 0,
            table: TableMark { version: 0, schema: params.schema, time: 0, horizon: 0 },
            published: None,
            log: LogTree::new(),
            known_serial: 0,
            bridges: Vec::new(),
            keys: KeyTable::default(),
            leaving: BTreeMap::new(),
            reports: BTreeMap::new(),
            by_id: ReportIds::default(),
            received: BTreeMap::new(),
            decoys: BTreeSet::new(),
            ends: BTreeMap::new(),
            live: 0,
            unexpired: 0,
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Serial of the newest decided release, 0 before the first.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Time of the newest decided release, 0 before the first.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Live entries.
    pub fn live(&self) -> u64 {
        self.live
    }

    /// Keys that wait for a release.
    pub fn waiting(&self) -> usize {
        self.keys.waiting_len()
    }

    /// Whether no entry is unexpired, none waits and no claim could be reinstated: the schema may change.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a decided release is not yet published.
    pub fn in_flight(&self) -> bool {
        self.published.as_ref().map_or(0, |p| p.serial) != self.serial
    }

    /// The release whose table is the present one.
    pub fn table(&self) -> TableMark {
        self.table
    }

    /// Number of the newest manifest.
    pub fn manifest_number(&self) -> u32 {
        self.manifest_number
    }

    /// The newest manifest, all its bytes.
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// The manifest that the newest published checkpoint names.
    pub fn published_manifest(&self) -> Option<&[u8]> {
        self.published.as_ref().map(|p| &p.manifest[..])
    }

    /// The checkpoint log, the newest published checkpoint included.
    pub fn log(&self) -> &LogTree {
        &self.log
    }

    /// The newest published checkpoint and its signature list.
    pub fn published_checkpoint(&self) -> Option<(&[u8], &[u8])> {
        self.published.as_ref().map(|p| (&p.checkpoint[..], &p.signatures[..]))
    }

    /// The delegation that the newest published checkpoint was signed under, with its signature list.
    pub fn published_delegation(&self) -> Option<&[u8]> {
        self.published.as_ref().map(|p| &p.delegation[..])
    }

    /// Waiting keys by reason at `now`: still under embargo, or ready for the next release.
    pub fn waiting_at(&self, now: u64) -> (usize, usize) {
        let embargoed = self.keys.waiting().filter(|(_, p)| p.embargo_end > now).count();
        (embargoed, self.waiting() - embargoed)
    }

    /// Live keys that leave with the next release.
    pub fn leaving(&self) -> usize {
        self.leaving.len()
    }

    /// Keys that come in with a release of that horizon if their embargo ended by `until`, in no order that
    /// means anything. A withdrawn key that was reported again waits until its old entry has left: by
    /// `withdraw`, or because it expires.
    pub(crate) fn ready(&self, until: u64, horizon: u32, withdraw: bool) -> impl Iterator<Item = Handle> {
        let free = move |at: Handle| withdraw || self.leaving.is_empty() || !self.stays(at, horizon);
        let comes = move |(at, p): &&(Handle, Pending)| {
            p.embargo_end <= until && time::is_live(p.fields.start, p.fields.period, horizon) && free(*at)
        };
        self.keys.waiting().filter(comes).map(|(at, _)| *at)
    }

    /// Whether a key that is to leave is live and stays so under `horizon`.
    fn stays(&self, at: Handle, horizon: u32) -> bool {
        self.leaving.contains_key(self.keys.key(at)) && self.is_unexpired(self.keys.key(at), horizon)
    }

    /// Whether a key is live and stays so under `horizon`.
    pub(crate) fn is_unexpired(&self, key: &Key, horizon: u32) -> bool {
        let live = self.keys.get(key).and_then(KeyState::live);
        live.is_some_and(|e| time::is_live(e.fields.start, e.fields.period, horizon))
    }

    /// The horizon a release at `now` has. It never decreases while an entry is unexpired (spec 3.2.2).
    pub fn horizon_at(&self, now: u64) -> u32 {
        let plain = time::horizon(now, self.params.retention_days);
        if self.unexpired == 0 { plain } else { plain.max(self.horizon) }
    }

    /// `before` is over. The new incarnation has a checkpoint log of its own, whose first leaf is the last
    /// checkpoint before it (spec 3.4.5): its own, or a later one that somebody else is known to have. Its
    /// serials go on above both.
    pub(crate) fn adopted(&mut self, before: u32, known: Option<&Checkpoint>) {
        let own = self.published.as_ref().map(|last| &last.checkpoint[..]);
        let own = own.and_then(|bytes| Checkpoint::parse(bytes).ok());
        let last = own.into_iter().chain(known.copied()).max_by_key(Checkpoint::version);
        self.log = LogTree::new();
        if let Some(last) = last {
            self.log.push(crate::release::log_leaf_hash(last.as_bytes()));
        }
        self.known_serial = self.known_serial.max(known.map_or(0, Checkpoint::serial));
        // bounded: who holds a version of one that is forgotten gets the full set.
        self.bridges.truncate(MAX_BRIDGES - 1);
        self.bridges.insert(0, Bridge { incarnation: before, serial: self.serial });
    }

    /// Serial of the next release.
    pub(crate) fn next_serial(&self) -> u32 {
        self.serial.max(self.known_serial) + 1
    }

    /// Where earlier incarnations ended, the newest first.
    pub fn bridges(&self) -> &[Bridge] {
        &self.bridges
    }

    pub(crate) fn published(&mut self, p: &Published, delegation: Vec<u8>) {
        self.log.push(crate::release::log_leaf_hash(&p.checkpoint));
        self.published = Some(PublishedState {
            serial: p.serial,
            manifest: self.manifest.clone(),
            delegation,
            checkpoint: p.checkpoint.clone(),
            signatures: p.signatures.clone(),
        });
    }
}
