//! The private state: everything the origin knows, as a fold over the journal.
//!
//! state-is-a-fold: [`State::apply`] is the only way the state changes. The writer calls it for
//! each event it decides, a restart calls it for each event it reads, and both end equal.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{
    Amended, Based, CodesIssued, Configured, Event, ProviderAdded, ProviderKeyRevoked, Published, Released,
    Reported, SealKey, Withdrawn,
};
use super::set::{ClaimCount, FoldError, ReleaseOutcome, ReportRecord, SetState, Taker};
use crate::authority::{Batch, BatchStanding, Provider, Registry, Scope};
use crate::release::{Checkpoint, DELEGATION_LEN, Delegation};

/// Seconds after its end that a seal key is remembered: what was sealed to it may still come (spec 7.1.4).
pub(crate) const SEAL_KEY_GRACE_S: u64 = 86_400;
/// Most delegations kept beside the one in force (spec 5.7.10): more epochs than anybody begins while one
/// report is remembered.
pub const MAX_EARLIER_DELEGATIONS: usize = 64;

/// All private state.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(crate) service: [u8; 8],
    pub(crate) incarnation: u32,
    pub(crate) delegation: Vec<u8>,
    pub(crate) key_epoch: u32,
    /// Those before it by epoch, with their signature lists, that receipts may still need.
    pub(crate) earlier_delegations: BTreeMap<u32, Vec<u8>>,
    pub(crate) registry: Registry,
    /// Keys to seal to, the oldest first.
    pub(crate) seal_keys: Vec<SealKey>,
    pub(crate) sets: BTreeMap<u32, SetState>,
    pub(crate) seq: u64,
    /// Time of the newest event, Unix seconds.
    pub(crate) time: u64,
    /// The newest base.
    pub(crate) base: Option<Base>,
    /// Counts changes of providers and their keys since this state was made or read; no part of it.
    pub(crate) keyring_mark: u64,
}

/// A snapshot that the journal names (spec 5.5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The snapshot.
    pub snapshot: Based,
    /// Sequence number of the event that names it.
    pub event: u64,
    /// What was believed of time when it was named, Unix seconds: no clock that is wrong makes a base old or
    /// young.
    pub time: u64,
}

/// What applying an event changed beyond the state itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// Nothing readers will ever see by itself.
    Quiet,
    /// A release was decided: the published table has to follow.
    Released(ReleaseOutcome),
    /// A release may be seen.
    Published {
        /// The set.
        set: u32,
        /// Its serial.
        serial: u32,
    },
}

impl State {
    /// The state before the first event.
    pub fn new() -> Self {
        State::default()
    }

    /// Sequence number of the newest event applied, 0 for none.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Time of the newest event, Unix seconds; 0 before the first.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// The newest snapshot that the journal names.
    pub fn base(&self) -> Option<&Base> {
        self.base.as_ref()
    }

    /// Service id.
    pub fn service(&self) -> [u8; 8] {
        self.service
    }

    /// Incarnation of the journal.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// The delegation in force with its signature list.
    pub fn delegation(&self) -> &[u8] {
        &self.delegation
    }

    /// The delegation of an epoch with its signature list: the one in force, or one that was and that a
    /// remembered receipt named when the next came.
    pub fn delegation_of(&self, epoch: u32) -> Option<&[u8]> {
        if epoch == self.key_epoch {
            return Some(&self.delegation);
        }
        self.earlier_delegations.get(&epoch).map(Vec::as_slice)
    }

    /// Epoch of the online key in force.
    pub fn key_epoch(&self) -> u32 {
        self.key_epoch
    }

    /// Sets by number.
    pub fn sets(&self) -> impl Iterator<Item = (u32, &SetState)> {
        self.sets.iter().map(|(id, set)| (*id, set))
    }

    /// One set.
    pub fn set(&self, id: u32) -> Option<&SetState> {
        self.sets.get(&id)
    }

    /// Providers by number.
    pub fn providers(&self) -> impl Iterator<Item = (u32, &Provider)> {
        self.registry.providers.iter().map(|(id, p)| (*id, p))
    }

    /// Who may report, and what was used for it.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Keys to seal to, the oldest first; those that are over are kept for a day.
    pub fn seal_keys(&self) -> &[SealKey] {
        &self.seal_keys
    }

    /// The newest time, Unix seconds, of what is decided only while the clock is believed: releases and seal
    /// keys. 0 before the first.
    pub(crate) fn believed_time(&self) -> u64 {
        let releases = self.sets.values().map(SetState::time);
        releases.chain(self.seal_keys.iter().map(|key| key.not_before)).max().unwrap_or(0)
    }

    /// How many seal keys are in force at `time`, Unix seconds, or ended within a day.
    pub fn seal_keys_at(&self, time: u64) -> usize {
        self.seal_keys.iter().filter(|key| is_remembered(key, time)).count()
    }

    /// A number that differs whenever the keys of providers may have changed since it was asked for last.
    pub fn keyring_mark(&self) -> u64 {
        self.keyring_mark
    }

    /// The version of a release of this incarnation.
    pub fn version(&self, serial: u32) -> u64 {
        u64::from(self.incarnation) << 32 | u64::from(serial)
    }

    /// Applies one event.
    ///
    /// # Errors
    /// [`FoldError`] if the event cannot follow those before it; the state is then not to be used.
    pub fn apply(&mut self, seq: u64, time: u64, event: &Event) -> Result<Applied, FoldError> {
        self.fold(seq, time, event, true)
    }

    /// As [`State::apply`]. Unless `listed`, what a release adds and takes away is counted, not listed: for
    /// whoever makes no table of it.
    pub(crate) fn fold(
        &mut self,
        seq: u64,
        time: u64,
        event: &Event,
        listed: bool,
    ) -> Result<Applied, FoldError> {
        if seq != self.seq + 1 {
            return Err(disagrees(seq, "its sequence number", seq, self.seq + 1));
        }
        self.seq = seq;
        self.time = self.time.max(time);
        match event {
            Event::Founded(f) => {
                self.service = f.service;
                self.incarnation = f.incarnation;
            }
            Event::Delegated(bytes) => self.delegated(seq, bytes)?,
            Event::Configured(c) => self.configured(c),
            Event::ManifestIssued { set, bytes } => {
                let state = self.set_mut(seq, *set)?;
                state.manifest_number += 1;
                state.manifest.clone_from(bytes);
            }
            Event::ProviderAdded(p) => self.provider_added(time, p),
            Event::Reported(r) => self.reported(seq, time, r)?,
            Event::Amended(a) => self.amended(seq, time, a)?,
            Event::Withdrawn(w) => self.withdrawn(seq, time, w),
            Event::Reinstated { seq: undone } => self.reinstated(*undone, time),
            Event::ProviderKeyAdded { provider, key } => {
                self.provider_mut(seq, *provider)?.keys.push(key.clone());
            }
            Event::ProviderKeyRevoked(r) => self.provider_key_revoked(seq, time, r)?,
            Event::ProviderStood(p) => {
                self.provider_mut(seq, p.provider)?.standing = p.standing;
                if let Some(since) = p.since {
                    let scope = Scope::Provider { provider: p.provider, since };
                    self.take_back(time, &scope, false, Taker::Operator(seq));
                }
            }
            Event::CodesIssued(c) => self.codes_issued(time, c),
            Event::BatchRevoked { batch, retroactive, .. } => {
                if let Some(batch) = self.registry.batches.get_mut(batch) {
                    batch.standing = BatchStanding::Revoked;
                }
                if *retroactive {
                    self.take_back(time, &Scope::Batch { batch: *batch }, false, Taker::Operator(seq));
                }
            }
            Event::CodesVoided { key_id } => self.registry.voided(key_id),
            Event::SealKeyMade(key) => {
                self.seal_keys.retain(|old| is_remembered(old, time));
                self.seal_keys.push(key.clone());
            }
            Event::Released(r) => return self.released(seq, r, listed).map(Applied::Released),
            Event::Adopted { incarnation, known } => self.adopted(seq, *incarnation, known)?,
            Event::Published(p) => return self.published(seq, p),
            Event::Based(based) => self.based(seq, *based)?,
        }
        Ok(Applied::Quiet)
    }

    /// Carries out a release that is being decided: the same fold as [`State::apply`], which here finds the
    /// counts and the depth that the event then records.
    pub(crate) fn decide(
        &mut self,
        seq: u64,
        time: u64,
        draft: Released,
    ) -> Result<(Released, ReleaseOutcome), FoldError> {
        self.seq = seq;
        self.time = self.time.max(time);
        let incarnation = self.incarnation;
        let outcome = self.set_mut(seq, draft.set)?.released(&draft, incarnation, true);
        self.registry.forget(draft.set, draft.horizon);
        Ok((Released { changes: outcome.changes, bits: outcome.bits, ..draft }, outcome))
    }

    pub(crate) fn set_mut(&mut self, seq: u64, set: u32) -> Result<&mut SetState, FoldError> {
        self.sets.get_mut(&set).ok_or(FoldError::NoSet { seq, set })
    }

    /// A new life of the log: versions of the old one are never signed again, whoever else may still serve
    /// it.
    fn adopted(&mut self, seq: u64, incarnation: u32, known: &[Vec<u8>]) -> Result<(), FoldError> {
        if incarnation <= self.incarnation {
            return Err(disagrees(seq, "the incarnation", incarnation, self.incarnation + 1));
        }
        let known = known.iter().map(|bytes| {
            Checkpoint::parse(bytes).map_err(|e| disagrees(seq, "a checkpoint", e, "208 bytes of one"))
        });
        let known = known.collect::<Result<Vec<Checkpoint>, _>>()?;
        for (id, set) in &mut self.sets {
            let newest = known.iter().filter(|c| c.set() == *id).max_by_key(|c| c.version());
            set.adopted(self.incarnation, newest);
        }
        self.incarnation = incarnation;
        Ok(())
    }

    fn based(&mut self, seq: u64, snapshot: Based) -> Result<(), FoldError> {
        let before = self.base.map_or(0, |base| base.snapshot.seq);
        if snapshot.seq <= before || snapshot.seq >= seq {
            return Err(disagrees(seq, "the event of its snapshot", snapshot.seq, before + 1..seq));
        }
        self.base = Some(Base { snapshot, event: seq, time: self.believed_time() });
        Ok(())
    }

    fn delegated(&mut self, seq: u64, bytes: &[u8]) -> Result<(), FoldError> {
        let delegation = Delegation::parse(bytes.get(..DELEGATION_LEN).unwrap_or(bytes))
            .map_err(|e| disagrees(seq, "the delegation", e, "a delegation of 80 bytes"))?;
        if !self.delegation.is_empty() && delegation.epoch() <= self.key_epoch {
            return Err(disagrees(seq, "the key epoch", delegation.epoch(), self.key_epoch + 1));
        }
        let (epoch, before) = (self.key_epoch, std::mem::take(&mut self.delegation));
        self.earlier_delegations.insert(epoch, before);
        self.key_epoch = delegation.epoch();
        self.delegation = bytes.to_vec();
        let named = self.receipted_epochs();
        self.earlier_delegations.retain(|epoch, _| *epoch != self.key_epoch && named.contains(epoch));
        // bounded: the oldest go first.
        while self.earlier_delegations.len() > MAX_EARLIER_DELEGATIONS {
            self.earlier_delegations.pop_first();
        }
        Ok(())
    }

    /// The epochs of all receipts that are remembered.
    fn receipted_epochs(&self) -> BTreeSet<u32> {
        let records = self.sets.values().flat_map(|set| set.reports.values());
        records.flat_map(ReportRecord::told).map(|told| told.key_epoch).collect()
    }

    fn configured(&mut self, c: &Configured) {
        self.sets.entry(c.set).or_insert_with(|| SetState::new(c.set, c.params)).params = c.params;
    }

    fn provider_added(&mut self, time: u64, p: &ProviderAdded) {
        self.keyring_mark += 1;
        let mut provider = Provider::new(p.name.clone(), time);
        provider.issuer.clone_from(&p.issuer);
        self.registry.providers.insert(p.provider, provider);
    }

    fn provider_mut(&mut self, seq: u64, provider: u32) -> Result<&mut Provider, FoldError> {
        self.keyring_mark += 1;
        let known = self.registry.providers.get_mut(&provider);
        known.ok_or_else(|| disagrees(seq, "the provider", provider, "a provider that was added"))
    }

    fn provider_key_revoked(&mut self, seq: u64, time: u64, r: &ProviderKeyRevoked) -> Result<(), FoldError> {
        let keys = &mut self.provider_mut(seq, r.provider)?.keys;
        if let Some(key) = keys.iter_mut().find(|key| key.fingerprint() == r.fingerprint) {
            key.revoked.get_or_insert(time);
        }
        if let Some(since) = r.since {
            let scope = Scope::Signer { provider: r.provider, signer: r.fingerprint, since };
            self.take_back(time, &scope, false, Taker::Operator(seq));
        }
        Ok(())
    }

    fn codes_issued(&mut self, time: u64, c: &CodesIssued) {
        let batch = Batch {
            provider: c.provider,
            set: c.set,
            report_type: c.report_type,
            onset_day: c.onset_day,
            nonce: c.nonce,
            key_id: c.key_id,
            count: c.count,
            issued: time,
            expires: c.expires,
            standing: BatchStanding::Active,
            spent: BTreeMap::new(),
        };
        self.registry.issued(c.batch, batch);
    }

    fn reported(&mut self, seq: u64, time: u64, r: &Reported) -> Result<(), FoldError> {
        self.set_mut(seq, r.set)?.reported(seq, time, r);
        // spent-with-report: the same event does both.
        self.registry.spend(r.set, seq, r.provider, &r.grant);
        self.count_keys(r.provider, 1, r.keys.len());
        Ok(())
    }

    fn amended(&mut self, seq: u64, time: u64, a: &Amended) -> Result<(), FoldError> {
        let set = self.set_mut(seq, a.set)?;
        set.amended(seq, time, a);
        let provider = set.reports.get(&a.report).map_or(0, |r| r.stands_on().provider);
        self.registry.spend(a.set, seq, a.provider, &a.grant);
        self.count_keys(provider, 0, a.keys.len());
        Ok(())
    }

    fn count_keys(&mut self, provider: u32, reports: u64, keys: usize) {
        if let Some(provider) = self.registry.providers.get_mut(&provider) {
            provider.counts.reports += reports;
            provider.counts.keys += keys as u64;
        }
    }

    fn withdrawn(&mut self, seq: u64, time: u64, w: &Withdrawn) {
        let taker = if w.told.is_some() { Taker::Author } else { Taker::Operator(seq) };
        self.take_back(time, &w.scope, w.urgent, taker);
        if let (Some(told), Scope::Report { report }) = (&w.told, w.scope) {
            self.sets.values_mut().for_each(|set| set.cancelled(seq, time, report, told));
        }
    }

    fn take_back(&mut self, time: u64, scope: &Scope, urgent: bool, taker: Taker) {
        for set in self.sets.values_mut() {
            let chosen = set.covered(scope);
            for provider in set.take_back(&chosen, taker, time, urgent) {
                if let Some(provider) = self.registry.providers.get_mut(&provider) {
                    provider.counts.withdrawn += 1;
                }
            }
        }
    }

    fn reinstated(&mut self, undone: u64, time: u64) {
        for set in self.sets.values_mut() {
            let chosen = set.taken_by(undone);
            set.reinstate(&chosen, undone, time);
        }
    }

    /// What a withdrawal by an operator would take back.
    pub fn would_take_back(&self, scope: &Scope) -> ClaimCount {
        let mut count = ClaimCount::default();
        self.sets.values().for_each(|set| count.add(set.count(&set.covered(scope), None)));
        count
    }

    /// What undoing the event of that sequence number would bring back; none if it took nothing, or all of
    /// it is undone or cancelled.
    pub fn would_reinstate(&self, seq: u64) -> Option<ClaimCount> {
        let taken = self.sets.values().map(|set| (set, set.taken_by(seq)));
        let taken: Vec<_> = taken.filter(|(_, chosen)| !chosen.is_empty()).collect();
        let mut count = ClaimCount::default();
        taken.iter().for_each(|(set, chosen)| count.add(set.count(chosen, Some(seq))));
        (!taken.is_empty()).then_some(count)
    }

    fn released(&mut self, seq: u64, r: &Released, listed: bool) -> Result<ReleaseOutcome, FoldError> {
        let incarnation = self.incarnation;
        let set = self.set_mut(seq, r.set)?;
        if r.serial != set.next_serial() {
            return Err(disagrees(seq, "the serial", r.serial, set.next_serial()));
        }
        if r.time < set.time {
            return Err(disagrees(seq, "the release time", r.time, set.time));
        }
        let outcome = set.released(r, incarnation, listed);
        if outcome.changes != r.changes {
            return Err(disagrees(seq, "what the release changes", r.changes, outcome.changes));
        }
        if outcome.bits != r.bits {
            return Err(disagrees(seq, "the depth of the bucket tree", r.bits, outcome.bits));
        }
        self.registry.forget(r.set, r.horizon);
        Ok(outcome)
    }

    fn published(&mut self, seq: u64, p: &Published) -> Result<Applied, FoldError> {
        let version = self.version(p.serial);
        let delegation = self.delegation.clone();
        let set = self.set_mut(seq, p.set)?;
        if p.serial != set.serial || !set.in_flight() {
            return Err(disagrees(seq, "the published serial", p.serial, set.serial));
        }
        if p.count != set.live {
            return Err(disagrees(seq, "the count of live entries", p.count, set.live));
        }
        let checkpoint = Checkpoint::parse(&p.checkpoint)
            .map_err(|e| disagrees(seq, "the checkpoint", e, "a checkpoint of 208 bytes"))?;
        if checkpoint.version() != version {
            return Err(disagrees(seq, "the checkpoint's version", checkpoint.version(), version));
        }
        set.published(p, delegation);
        Ok(Applied::Published { set: p.set, serial: p.serial })
    }
}

fn is_remembered(key: &SealKey, time: u64) -> bool {
    key.not_after.saturating_add(SEAL_KEY_GRACE_S) >= time
}

fn disagrees(
    seq: u64,
    what: &'static str,
    found: impl std::fmt::Debug,
    expected: impl std::fmt::Debug,
) -> FoldError {
    FoldError::Disagrees { seq, what, found: format!("{found:?}"), expected: format!("{expected:?}") }
}
