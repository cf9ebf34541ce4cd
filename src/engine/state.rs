//! The private state: everything the origin knows, as a fold over the journal.
//!
//! state-is-a-fold: [`State::apply`] is the only way the state changes. The writer calls it for
//! each event it decides, a restart calls it for each event it reads, and both end equal.

use std::collections::BTreeMap;

use super::event::{Configured, Event, ProviderAdded, Published, Released};
use super::set::{FoldError, ReleaseOutcome, SetState};
use crate::release::{Checkpoint, DELEGATION_LEN, Delegation};

/// A registered health-care provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// Key of its certificates.
    pub key: Option<[u8; 32]>,
    /// When it was registered, Unix time.
    pub since: u64,
}

/// All private state.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(crate) service: [u8; 8],
    pub(crate) incarnation: u32,
    pub(crate) delegation: Vec<u8>,
    pub(crate) key_epoch: u32,
    pub(crate) providers: BTreeMap<u32, Provider>,
    pub(crate) sets: BTreeMap<u32, SetState>,
    pub(crate) seq: u64,
    /// Time of the newest event, Unix seconds.
    pub(crate) time: u64,
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
        self.providers.iter().map(|(id, p)| (*id, p))
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
            Event::Reported(r) => self.set_mut(seq, r.set)?.reported(seq, time, r),
            Event::KeyWithdrawn(w) => self.set_mut(seq, w.set)?.key_withdrawn(time, w),
            Event::Released(r) => return self.released(seq, r).map(Applied::Released),
            Event::Adopted { incarnation } => self.adopted(seq, *incarnation)?,
            Event::Published(p) => return self.published(seq, p),
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
        let outcome = self.set_mut(seq, draft.set)?.released(&draft);
        Ok((Released { changes: outcome.changes, bits: outcome.bits, ..draft }, outcome))
    }

    pub(crate) fn set_mut(&mut self, seq: u64, set: u32) -> Result<&mut SetState, FoldError> {
        self.sets.get_mut(&set).ok_or(FoldError::NoSet { seq, set })
    }

    /// A new life of the log: versions of the old one are never signed again, whoever else may still serve
    /// it.
    fn adopted(&mut self, seq: u64, incarnation: u32) -> Result<(), FoldError> {
        if incarnation <= self.incarnation {
            return Err(disagrees(seq, "the incarnation", incarnation, self.incarnation + 1));
        }
        self.incarnation = incarnation;
        self.sets.values_mut().for_each(SetState::adopted);
        Ok(())
    }

    fn delegated(&mut self, seq: u64, bytes: &[u8]) -> Result<(), FoldError> {
        let delegation = Delegation::parse(bytes.get(..DELEGATION_LEN).unwrap_or(bytes))
            .map_err(|e| disagrees(seq, "the delegation", e, "a delegation of 80 bytes"))?;
        self.key_epoch = delegation.epoch();
        self.delegation = bytes.to_vec();
        Ok(())
    }

    fn configured(&mut self, c: &Configured) {
        self.sets.entry(c.set).or_insert_with(|| SetState::new(c.set, c.params)).params = c.params;
    }

    fn provider_added(&mut self, time: u64, p: &ProviderAdded) {
        let provider = Provider { name: p.name.clone(), key: p.key, since: time };
        self.providers.insert(p.provider, provider);
    }

    fn released(&mut self, seq: u64, r: &Released) -> Result<ReleaseOutcome, FoldError> {
        let set = self.set_mut(seq, r.set)?;
        if r.serial != set.serial + 1 {
            return Err(disagrees(seq, "the serial", r.serial, set.serial + 1));
        }
        if r.time < set.time {
            return Err(disagrees(seq, "the release time", r.time, set.time));
        }
        let outcome = set.released(r);
        if outcome.changes != r.changes {
            return Err(disagrees(seq, "what the release changes", r.changes, outcome.changes));
        }
        if outcome.bits != r.bits {
            return Err(disagrees(seq, "the depth of the bucket tree", r.bits, outcome.bits));
        }
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

fn disagrees(
    seq: u64,
    what: &'static str,
    found: impl std::fmt::Debug,
    expected: impl std::fmt::Debug,
) -> FoldError {
    FoldError::Disagrees { seq, what, found: format!("{found:?}"), expected: format!("{expected:?}") }
}
