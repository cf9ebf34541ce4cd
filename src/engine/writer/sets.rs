//! Sets, their parameters, and what their manifests name: the online key and the seal keys.

use super::super::event::{Configured, Event, SealKey};
use super::super::input::{ParamsChange, Reply};
use super::super::manifest::manifest_of;
use super::super::params::Params;
use super::super::refusal::Refusal;
use super::{MAX_SEAL_KEYS, MAX_SETS, SEAL_KEY_LIFE_S, Work, Writer};
use crate::authority::seal::seal_key_id;
use crate::release::SigningKey;

impl Writer {
    pub(super) fn create_set(&mut self, now: u64, set: u32, params: Params) -> Result<Reply, Refusal> {
        if set == 0 || self.state.set(set).is_some() {
            return Err(Refusal::SetExists { set });
        }
        if self.state.sets.len() >= MAX_SETS {
            return Err(Refusal::TooMany { what: "sets", limit: MAX_SETS });
        }
        params.check()?;
        self.record(now, &Event::Configured(Configured { set, params }));
        self.state.sets.get_mut(&set).expect("it was just made").opens();
        self.issue_manifest(now, set);
        self.paced.insert(set, now);
        Ok(Reply::Configured { set, params })
    }

    pub(super) fn configure(&mut self, now: u64, set: u32, change: &ParamsChange) -> Result<Reply, Refusal> {
        let state = self.state.set(set).ok_or(Refusal::NoSet { set })?;
        let old = *state.params();
        let params = change.apply_to(old);
        params.check()?;
        if params.schema != old.schema && !state.is_empty() {
            let (live, waiting) = (state.live(), state.waiting());
            return Err(Refusal::SchemaInUse { set, schema: old.schema.name(), live, waiting });
        }
        if params.schema != old.schema && state.in_flight() {
            return Err(Refusal::ReleaseInFlight { set, serial: state.serial() });
        }
        if params != old {
            self.record(now, &Event::Configured(Configured { set, params }));
            self.issue_manifest(now, set);
        }
        Ok(Reply::Configured { set, params })
    }

    pub(super) fn issue_manifest(&mut self, now: u64, set: u32) {
        let Some(state) = self.state.set(set) else { return };
        let manifest =
            manifest_of(state, &self.state.seal_keys, self.state.service(), now, self.state.key_epoch());
        let bytes =
            manifest.encode_signed(&self.online).expect("a manifest with a few seal keys fits its limit");
        self.record(now, &Event::ManifestIssued { set, bytes });
        self.out.work.push(Work::Show { set });
    }

    fn issue_manifests(&mut self, now: u64) {
        let sets: Vec<u32> = self.state.sets().map(|(id, _)| id).collect();
        for set in sets {
            self.issue_manifest(now, set);
        }
    }

    pub(super) fn delegate(&mut self, now: u64, delegation: Vec<u8>, key: SigningKey) {
        self.record(now, &Event::Delegated(delegation));
        self.online = key;
        self.issue_manifests(now);
    }

    /// A key to seal to; every manifest names it from now on. Those that are over are dropped with it, so a
    /// clock that is not believed makes none.
    pub(super) fn add_seal_key(&mut self, now: u64, public: [u8; 32]) -> Result<Reply, Refusal> {
        if let Some(alarm) = self.guard.alarm() {
            return Err(Refusal::ClockHeld(alarm.clone()));
        }
        if self.state.seal_keys_at(now) >= MAX_SEAL_KEYS {
            return Err(Refusal::TooMany { what: "seal keys", limit: MAX_SEAL_KEYS });
        }
        let not_after = now.saturating_add(SEAL_KEY_LIFE_S);
        let key = SealKey { public, id: seal_key_id(&public), not_before: now, not_after };
        self.record(now, &Event::SealKeyMade(key));
        self.issue_manifests(now);
        Ok(Reply::Done)
    }
}
