//! The private state of one set: which keys are claimed, live, waiting or leaving.
//!
//! Every method here is a step of the fold: it takes a decision and changes the state, the
//! same way for a fresh event and for a replayed one.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Changes, KeyWithdrawn, Published, Released, Reported};
use super::params::Params;
use crate::release::tree::depth;
use crate::release::{Fields, LIVE, LogTree, Schema};
use crate::time;
use crate::wire::Key;

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

/// A report's claim on a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) report: u64,
    pub(crate) fields: Fields,
    pub(crate) embargo_end: u64,
    pub(crate) decoy: bool,
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
    /// Claims in the order they were made.
    pub(crate) claims: Vec<Claim>,
    /// Unexpired entries in the order of their serials; at most the last is live.
    pub(crate) entries: Vec<EntryState>,
}

impl KeyState {
    pub(crate) fn live(&self) -> Option<&EntryState> {
        self.entries.last().filter(|e| e.del_serial == LIVE)
    }
}

/// A key that waits for a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) fields: Fields,
    pub(crate) embargo_end: u64,
    pub(crate) report: u64,
    pub(crate) decoy: bool,
    /// When it could first have gone out: the later of receipt and embargo end.
    pub(crate) since: u64,
}

impl Pending {
    fn of(claim: &Claim, received: u64) -> Self {
        let Claim { report, fields, embargo_end, decoy } = *claim;
        Pending { fields, embargo_end, report, decoy, since: received.max(embargo_end) }
    }
}

/// A live key that nobody claims any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaving {
    pub(crate) report: u64,
    pub(crate) urgent: bool,
    pub(crate) since: u64,
}

/// One report as the origin remembers it until its keys expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportState {
    pub(crate) report: [u8; 16],
    pub(crate) provider: u32,
    pub(crate) received: u64,
    /// Keys it still claims.
    pub(crate) keys: Vec<Key>,
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
    /// Its serial, 0 before the first.
    pub serial: u32,
    /// Schema of its entries.
    pub schema: Schema,
    /// Its time.
    pub time: u64,
    /// Its horizon.
    pub horizon: u32,
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
    pub(crate) keys: BTreeMap<Key, KeyState>,
    pub(crate) pending: BTreeMap<Key, Pending>,
    pub(crate) leaving: BTreeMap<Key, Leaving>,
    pub(crate) reports: BTreeMap<u64, ReportState>,
    /// Reports of decoys.
    pub(crate) decoys: BTreeSet<u64>,
    /// Keys by the interval at which a claim or entry of theirs ends.
    pub(crate) ends: BTreeMap<u64, Vec<Key>>,
    pub(crate) live: u64,
    pub(crate) unexpired: u64,
}

/// The day a start falls on, in days since 1970.
pub(crate) fn start_day(start: u32) -> u32 {
    start / time::INTERVALS_PER_DAY
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
            table: TableMark { serial: 0, schema: params.schema, time: 0, horizon: 0 },
            published: None,
            log: LogTree::new(),
            keys: BTreeMap::new(),
            pending: BTreeMap::new(),
            leaving: BTreeMap::new(),
            reports: BTreeMap::new(),
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
        self.pending.len()
    }

    /// Whether no entry is unexpired and none waits: the schema may change.
    pub fn is_empty(&self) -> bool {
        self.unexpired == 0 && self.pending.is_empty()
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
        let embargoed = self.pending.values().filter(|p| p.embargo_end > now).count();
        (embargoed, self.pending.len() - embargoed)
    }

    /// Live keys that leave with the next release.
    pub fn leaving(&self) -> usize {
        self.leaving.len()
    }

    /// Keys that come in with a release of that time and horizon, in key order. A withdrawn key that was
    /// reported again waits until its old entry has left: by `withdraw`, or because it expires.
    pub(crate) fn ready(
        &self,
        time: u64,
        horizon: u32,
        withdraw: bool,
    ) -> impl Iterator<Item = (&Key, &Pending)> {
        self.pending.iter().filter(move |(key, p)| {
            let unexpired = time::is_live(p.fields.start, p.fields.period, horizon);
            let free = withdraw || !self.leaving.contains_key(key) || !self.is_unexpired(key, horizon);
            unexpired && free && p.embargo_end <= time
        })
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

    pub(crate) fn reported(&mut self, seq: u64, received: u64, r: &Reported) {
        let decoy = r.is_decoy();
        for k in &r.keys {
            let state = self.keys.entry(k.key).or_default();
            let first = state.claims.is_empty();
            let claim = Claim { report: seq, fields: k.fields, embargo_end: k.embargo_end, decoy };
            self.ends.entry(end_of(&k.fields)).or_default().push(k.key);
            // A key is unique by its bytes: a claim on a live or waiting key changes nothing in public.
            let leaves = self.leaving.contains_key(&k.key);
            if first && (state.live().is_none() || leaves) {
                self.pending.insert(k.key, Pending::of(&claim, received));
            }
            state.claims.push(claim);
        }
        let keys = r.keys.iter().map(|k| k.key).collect();
        self.reports.insert(seq, ReportState { report: r.report, provider: r.provider, received, keys });
        if decoy {
            self.decoys.insert(seq);
        }
    }

    pub(crate) fn key_withdrawn(&mut self, at: u64, w: &KeyWithdrawn) {
        let Some(state) = self.keys.get_mut(&w.key) else { return };
        let claims = std::mem::take(&mut state.claims);
        let live = state.live().is_some();
        let gone = state.entries.is_empty();
        for claim in &claims {
            self.unclaim(claim.report, &w.key);
        }
        self.pending.remove(&w.key);
        if live {
            let report = claims.first().map_or(0, |c| c.report);
            self.leaving.entry(w.key).or_insert(Leaving { report, urgent: w.urgent, since: at }).urgent |=
                w.urgent;
        } else if gone {
            self.keys.remove(&w.key);
        }
    }

    fn unclaim(&mut self, report: u64, key: &Key) {
        let Some(state) = self.reports.get_mut(&report) else { return };
        state.keys.retain(|k| k != key);
        if state.keys.is_empty() {
            self.reports.remove(&report);
            self.decoys.remove(&report);
        }
    }

    /// Carries out a release: expiry, then withdrawals, then additions. The counts and the depth
    /// are found here; a planner records them, a replay compares them.
    pub(crate) fn released(&mut self, r: &Released) -> ReleaseOutcome {
        let mut changes = Changes::default();
        // What was planned comes in, not what expiry uncovers: another report's claim on a key waits for
        // its own turn.
        let ready: Vec<Key> = if r.admit {
            self.ready(r.time, r.horizon, r.withdraw).map(|(key, _)| *key).collect()
        } else {
            Vec::new()
        };
        let dropped = self.expire(r.horizon, &mut changes);
        let mut dels = Vec::new();
        if r.withdraw {
            for (key, _) in std::mem::take(&mut self.leaving) {
                if let Some(add) = self.end_entry(&key, r.serial, &mut changes) {
                    dels.push((key, add));
                }
            }
        }
        for seq in &r.decoys_leaving {
            self.withdraw_decoy(*seq, r.serial, &mut changes, &mut dels);
        }
        dels.sort_unstable();
        let adds = self.admit(ready, r.serial, &mut changes);
        self.serial = r.serial;
        self.time = r.time;
        self.horizon = r.horizon;
        let (live, bits) = (self.live, depth(self.live));
        let (set, serial, time, horizon) = (self.id, r.serial, r.time, r.horizon);
        let outcome = ReleaseOutcome { set, serial, time, horizon, live, bits, changes, adds, dels, dropped };
        let schema = self.params.schema;
        if !outcome.is_empty() || self.table.serial == 0 || self.table.schema != schema {
            self.table = TableMark { serial, schema, time, horizon };
        }
        outcome
    }

    /// Forgets everything that ended at or below the horizon; says whether an entry was among it.
    fn expire(&mut self, horizon: u32, changes: &mut Changes) -> bool {
        let later = self.ends.split_off(&(u64::from(horizon) + 1));
        let ended = std::mem::replace(&mut self.ends, later);
        let mut dropped = false;
        for key in ended.into_values().flatten() {
            dropped |= self.expire_key(&key, horizon, changes);
        }
        dropped
    }

    fn expire_key(&mut self, key: &Key, horizon: u32, changes: &mut Changes) -> bool {
        let Some(state) = self.keys.get_mut(key) else { return false };
        let expired = |f: &Fields| !time::is_live(f.start, f.period, horizon);
        let before = state.entries.len();
        let mut was_live = false;
        state.entries.retain(|e| {
            let drop = expired(&e.fields);
            was_live |= drop && e.del_serial == LIVE;
            !drop
        });
        let dropped = before - state.entries.len();
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.claims).into_iter().partition(|c| expired(&c.fields));
        state.claims = kept;
        let forget = state.claims.is_empty() && state.entries.is_empty();
        if self.pending.get(key).is_some_and(|p| expired(&p.fields)) {
            self.pending.remove(key);
        }
        self.unexpired -= dropped as u64;
        if was_live {
            self.live -= 1;
            changes.expired += 1;
            self.leaving.remove(key);
        }
        for claim in &gone {
            self.unclaim(claim.report, key);
        }
        if forget {
            self.keys.remove(key);
        }
        self.next_claim(key);
        dropped > 0
    }

    /// Lets the earliest claim on a key wait for a release when the entry or the waiting claim before it is
    /// gone: another report's claim may outlive the one that came first.
    fn next_claim(&mut self, key: &Key) {
        let Some(state) = self.keys.get(key) else { return };
        let leaves = state.live().is_none() || self.leaving.contains_key(key);
        let Some(claim) = state.claims.first().filter(|_| leaves && !self.pending.contains_key(key)) else {
            return;
        };
        let received = self.reports.get(&claim.report).map_or(0, |r| r.received);
        self.pending.insert(*key, Pending::of(claim, received));
    }

    /// Ends the live entry of a key; its `add_serial`, if there was one.
    fn end_entry(&mut self, key: &Key, serial: u32, changes: &mut Changes) -> Option<u32> {
        let entry = self.keys.get_mut(key)?.entries.last_mut().filter(|e| e.del_serial == LIVE)?;
        entry.del_serial = serial;
        let (add, decoy) = (entry.add_serial, entry.decoy);
        self.live -= 1;
        if decoy {
            changes.decoys_withdrawn += 1;
        } else {
            changes.withdrawn += 1;
        }
        Some(add)
    }

    fn withdraw_decoy(&mut self, seq: u64, serial: u32, changes: &mut Changes, dels: &mut Vec<(Key, u32)>) {
        let Some(report) = self.reports.remove(&seq) else { return };
        self.decoys.remove(&seq);
        for key in report.keys {
            self.pending.remove(&key);
            if let Some(add) = self.end_entry(&key, serial, changes) {
                dels.push((key, add));
            }
            if let Some(state) = self.keys.get_mut(&key) {
                state.claims.retain(|c| c.report != seq);
                if state.claims.is_empty() && state.entries.is_empty() {
                    self.keys.remove(&key);
                }
            }
            self.next_claim(&key);
        }
    }

    fn admit(&mut self, ready: Vec<Key>, serial: u32, changes: &mut Changes) -> Vec<(Key, Fields)> {
        let mut adds = Vec::with_capacity(ready.len());
        for key in ready {
            let Some(p) = self.pending.remove(&key) else { continue };
            let Some(state) = self.keys.get_mut(&key) else { continue };
            let (fields, decoy) = (p.fields, p.decoy);
            state.entries.push(EntryState { fields, add_serial: serial, del_serial: LIVE, decoy });
            self.live += 1;
            self.unexpired += 1;
            if decoy {
                changes.decoys_added += 1;
            } else {
                changes.added += 1;
            }
            adds.push((key, fields));
        }
        adds
    }

    /// A new incarnation has a checkpoint log of its own, whose first leaf is the last checkpoint before it
    /// (spec 3.4.5).
    pub(crate) fn adopted(&mut self) {
        self.log = LogTree::new();
        if let Some(last) = &self.published {
            self.log.push(crate::release::log_leaf_hash(&last.checkpoint));
        }
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

    /// All unexpired entries in order, as history entries (spec 3.1.4).
    pub fn history(&self) -> Vec<u8> {
        let schema = self.params.schema;
        let unexpired =
            usize::try_from(self.unexpired).expect("a set in memory has fewer entries than addresses");
        let mut out = Vec::with_capacity(unexpired * schema.entry_len());
        for (key, state) in &self.keys {
            for e in &state.entries {
                schema.public_entry(key.as_bytes(), &e.fields, &mut out);
                out.extend_from_slice(&e.add_serial.to_le_bytes());
                out.extend_from_slice(&e.del_serial.to_le_bytes());
            }
        }
        out
    }
}
