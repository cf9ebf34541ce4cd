//! A release turns the public page: what expired goes, what was withdrawn leaves, what waited comes in.

use super::super::event::{Changes, Released};
use super::{EntryState, LIVE, ReleaseOutcome, SetState, TableMark};
use crate::authority::is_forgotten;
use crate::release::Fields;
use crate::release::tree::depth;
use crate::time;
use crate::wire::Key;

impl SetState {
    /// Carries out a release: expiry, then withdrawals, then additions. The counts and the depth
    /// are found here; a planner records them, a replay compares them.
    pub(crate) fn released(&mut self, r: &Released, incarnation: u32) -> ReleaseOutcome {
        let mut changes = Changes::default();
        // What was planned comes in, not what expiry uncovers: another report's claim on a key waits for
        // its own turn.
        let ready: Vec<Key> = match r.admit {
            0 => Vec::new(),
            until => self.ready(until, r.horizon, r.withdraw).map(|(key, _)| *key).collect(),
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
        self.forget(r.horizon);
        self.serial = r.serial;
        self.time = r.time;
        self.horizon = r.horizon;
        let (live, bits) = (self.live, depth(self.live));
        let (set, serial, time, horizon) = (self.id, r.serial, r.time, r.horizon);
        let outcome = ReleaseOutcome { set, serial, time, horizon, live, bits, changes, adds, dels, dropped };
        let schema = self.params.schema;
        if !outcome.is_empty() || self.table.version == 0 || self.table.schema != schema {
            let version = u64::from(incarnation) << 32 | u64::from(serial);
            self.table = TableMark { version, schema, time, horizon };
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
        let gone: Vec<u64> =
            state.claims.extract_if(.., |c| expired(&c.fields)).map(|claim| claim.report).collect();
        let forget = state.is_empty();
        self.unexpired -= dropped as u64;
        if was_live {
            self.live -= 1;
            changes.expired += 1;
            self.leaving.remove(key);
        }
        for report in gone {
            self.unclaim(report, key);
        }
        if forget {
            self.keys.remove(key);
            self.pending.remove(key);
        } else {
            // Another report's claim may outlive the one that came first.
            self.settle(key, None);
        }
        dropped > 0
    }

    /// A claim on a key is over; a decoy is forgotten with its last.
    fn unclaim(&mut self, report: u64, key: &Key) {
        let Some(record) = self.reports.get_mut(&report) else { return };
        record.keys.retain(|k| k != key);
        if record.keys.is_empty() && self.decoys.remove(&report) {
            self.drop_report(report);
        }
    }

    fn drop_report(&mut self, report: u64) {
        if let Some(record) = self.reports.remove(&report) {
            self.by_id.remove(&record.report);
        }
    }

    /// Forgets reports no key of which can be left (spec 7.3.8).
    fn forget(&mut self, horizon: u32) {
        let over = |received: u64, keys: usize| keys == 0 && is_forgotten(received, horizon);
        let past = self.reports.iter().filter(|(_, r)| is_forgotten(r.warrant.received, horizon));
        let past: Vec<u64> =
            past.filter(|(_, r)| over(r.warrant.received, r.keys.len())).map(|(seq, _)| *seq).collect();
        for report in past {
            self.drop_report(report);
        }
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
        let Some(record) = self.reports.get(&seq) else { return };
        let keys = record.keys.clone();
        self.decoys.remove(&seq);
        self.drop_report(seq);
        for key in keys {
            if let Some(add) = self.end_entry(&key, serial, changes) {
                dels.push((key, add));
            }
            if let Some(state) = self.keys.get_mut(&key) {
                state.claims.retain(|c| c.report != seq);
                if state.is_empty() {
                    self.keys.remove(&key);
                    self.pending.remove(&key);
                }
            }
            self.settle(&key, None);
        }
    }

    fn admit(&mut self, ready: Vec<Key>, serial: u32, changes: &mut Changes) -> Vec<(Key, Fields)> {
        let mut adds = Vec::with_capacity(ready.len());
        for key in ready {
            let Some(p) = self.pending.remove(&key) else { continue };
            let Some(state) = self.keys.get_mut(&key) else { continue };
            let (fields, decoy) = (p.fields, p.decoy);
            state.entries.push(EntryState { fields, add_serial: serial, del_serial: LIVE, decoy });
            for claim in state.claims.iter().filter(|c| c.stands()) {
                if let Some(record) = self.reports.get_mut(&claim.report) {
                    record.released = serial;
                }
            }
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
}
