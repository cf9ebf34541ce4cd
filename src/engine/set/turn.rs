//! A release turns the public page: what expired goes, what was withdrawn leaves, what waited comes in.

use super::super::event::{Changes, Released};
use super::{EntryState, Handle, LIVE, Pending, ReleaseOutcome, SetState, TableMark};
use crate::authority::is_forgotten;
use crate::release::Fields;
use crate::release::tree::depth;
use crate::time::{self, start_of};
use crate::wire::Key;

impl SetState {
    /// Carries out a release: expiry, then withdrawals, then additions. The counts and the depth
    /// are found here; a planner records them, a replay compares them. Unless `listed`, what comes and goes
    /// is counted only.
    pub(crate) fn released(&mut self, r: &Released, incarnation: u32, listed: bool) -> ReleaseOutcome {
        let mut changes = Changes::default();
        // What was planned comes in, not what expiry uncovers: another report's claim on a key waits for
        // its own turn.
        let ready: Vec<Handle> = match r.admit {
            0 => Vec::new(),
            until => self.ready(until, r.horizon, r.withdraw).collect(),
        };
        let dropped = self.expire(r.horizon, &mut changes);
        let mut dels = Vec::new();
        if r.withdraw {
            for (key, _) in std::mem::take(&mut self.leaving) {
                let Some(at) = self.keys.find(&key) else { continue };
                if let Some(add) = self.end_entry(at, r.serial, &mut changes) {
                    dels.push((key, add));
                }
            }
        }
        for seq in &r.decoys_leaving {
            self.withdraw_decoy(*seq, r.serial, &mut changes, &mut dels);
        }
        let mut adds = Vec::new();
        self.admit(&ready, r.serial, &mut changes, |key, fields| {
            if listed {
                adds.push((*key, fields));
            }
        });
        let added = changes.added + changes.decoys_added;
        let unchanged = added == 0 && dels.is_empty() && !dropped;
        if !listed {
            dels.clear();
        }
        dels.sort_unstable();
        adds.sort_unstable();
        self.forget(r.horizon);
        self.serial = r.serial;
        self.time = r.time;
        self.horizon = r.horizon;
        let (live, bits) = (self.live, depth(self.live));
        let (set, serial, time, horizon) = (self.id, r.serial, r.time, r.horizon);
        let outcome = ReleaseOutcome { set, serial, time, horizon, live, bits, changes, adds, dels, dropped };
        let schema = self.params.schema;
        if !unchanged || self.table.version == 0 || self.table.schema != schema {
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
        for at in ended.into_values().flatten() {
            dropped |= self.expire_key(at, horizon, changes);
        }
        dropped
    }

    fn expire_key(&mut self, at: Handle, horizon: u32, changes: &mut Changes) -> bool {
        let state = &mut self.keys[at];
        let expired = |f: &Fields| !time::is_live(f.start, f.period, horizon);
        let before = state.entries.len();
        let mut was_live = false;
        state.entries.retain(|e| {
            let drop = expired(&e.fields);
            was_live |= drop && e.del_serial == LIVE;
            !drop
        });
        let dropped = before - state.entries.len();
        let over = state.claims.iter().filter(|c| expired(&c.fields));
        let gone: Vec<u64> = over.map(|claim| claim.report).collect();
        state.claims.retain(|c| !expired(&c.fields));
        self.unexpired -= dropped as u64;
        if was_live {
            self.live -= 1;
            changes.expired += 1;
            self.leaving.remove(self.keys.key(at));
        }
        for report in gone {
            self.unclaim(report, at);
        }
        // Another report's claim may outlive the one that came first.
        self.settle(at, None);
        self.keys.close(at);
        dropped > 0
    }

    /// A claim on a key is over; a decoy is forgotten with its last.
    fn unclaim(&mut self, report: u64, at: Handle) {
        let Some(record) = self.reports.get_mut(&report) else { return };
        record.keys.retain(|key| *key != at);
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
        let mut past = Vec::new();
        while let Some(oldest) =
            self.received.first_entry().filter(|e| is_forgotten(start_of(*e.key()), horizon))
        {
            past.push(oldest.remove_entry());
        }
        for (interval, reports) in past {
            for report in reports {
                match self.reports.get(&report).map(|record| record.keys.len()) {
                    Some(0) => self.drop_report(report),
                    Some(_) => self.received.entry(interval).or_default().push(report),
                    None => {}
                }
            }
        }
    }

    /// Ends the live entry of a key; its `add_serial`, if there was one.
    fn end_entry(&mut self, at: Handle, serial: u32, changes: &mut Changes) -> Option<u32> {
        let entry = self.keys[at].entries.last_mut().filter(|e| e.del_serial == LIVE)?;
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
        for at in keys {
            if let Some(add) = self.end_entry(at, serial, changes) {
                dels.push((*self.keys.key(at), add));
            }
            self.keys[at].claims.retain(|c| c.report != seq);
            self.settle(at, None);
            self.keys.close(at);
        }
    }

    fn admit(
        &mut self,
        ready: &[Handle],
        serial: u32,
        changes: &mut Changes,
        mut each: impl FnMut(&Key, Fields),
    ) {
        let (reports, mut released, mut added) = (&mut self.reports, 0, 0);
        self.keys.admit(ready, |key, state, Pending { fields, decoy, .. }| {
            state.entries.push(EntryState { fields, add_serial: serial, del_serial: LIVE, decoy });
            for claim in state.claims.iter().filter(|c| c.stands()) {
                // The keys of a report stand together.
                if released != claim.report
                    && let Some(record) = reports.get_mut(&claim.report)
                {
                    (released, record.released) = (claim.report, serial);
                }
            }
            added += 1;
            if decoy {
                changes.decoys_added += 1;
            } else {
                changes.added += 1;
            }
            each(key, fields);
        });
        self.live += added;
        self.unexpired += added;
    }
}
