//! A release as the naive model carries it out, and whether it was allowed.

use std::collections::BTreeSet;

use tekd::engine::Released;
use tekd::release::LIVE;
use tekd::wire::Key;

use super::naive::{Claim, Entry, Naive, Release, expired};

impl Naive {
    pub(super) fn released(&mut self, r: &Released, at: u64, alone: bool) {
        assert_eq!(r.serial, self.releases.last().map_or(0, |l| l.serial) + 1, "serials have no gap");
        assert!(r.time >= self.time, "time never goes back");
        assert_eq!(r.horizon, self.horizon_at(r.time), "the horizon of release {}", r.serial);
        assert!(r.admit == 0 || r.admit == at, "what the clock said");
        let ready: Vec<(Key, Claim)> = if r.admit > 0 { self.ready(r, at) } else { Vec::new() };
        self.is_in_time(r, at, alone);
        self.expire(r.horizon);
        let out = self.let_out(r);
        let coming: BTreeSet<u64> = ready.iter().map(|(_, c)| c.report).collect();
        let added = ready.len();
        let waited = self.have_waited(r, &ready);
        let days: BTreeSet<u32> =
            ready.iter().filter(|(_, c)| !c.decoy).map(|(_, c)| c.fields.start / 144).collect();
        for (key, c) in ready {
            assert!(c.embargo_end <= at, "embargo is never bypassed");
            let entry =
                Entry { fields: c.fields, add: r.serial, del: LIVE, decoy: c.decoy, report: c.report };
            let known = self.keys.entry(key).or_default();
            assert!(known.live().is_none(), "one live entry a key");
            known.entries.push(entry);
            for report in known.claims.iter().filter(|c| c.stands()).map(|c| c.report) {
                let report = self.reports.iter_mut().find(|r| r.seq == report);
                report.expect("a claim's report is remembered").released = r.serial;
            }
        }
        self.keys.retain(|_, k| !k.claims.is_empty() || !k.entries.is_empty());
        if !alone {
            self.is_company(r, &coming, &out, &days);
            let alone = coming.len() < self.params.min_reports as usize && !coming.is_empty();
            assert!(!alone || waited, "{coming:?} come alone and have not waited");
        }
        (self.horizon, self.time) = (r.horizon, r.time);
        self.forget();
        let (live, history) = self.published();
        self.releases.push(Release {
            serial: r.serial,
            time: r.time,
            horizon: r.horizon,
            live,
            history,
            added,
            withdrawn: out.len(),
            forced: r.forced,
        });
    }

    /// A report is remembered until every key that could have been in it has expired; a decoy, until its own
    /// have.
    fn forget(&mut self) {
        let claimed: BTreeSet<u64> =
            self.keys.values().flat_map(|k| &k.claims).map(|claim| claim.report).collect();
        let over = u64::from(self.horizon);
        self.reports.retain(|r| claimed.contains(&r.seq) || (!r.decoy && r.received / 600 + 156 > over));
    }

    /// What waits, is out of its embargo, and has no live entry once withdrawn ones have left.
    fn ready(&self, r: &Released, at: u64) -> Vec<(Key, Claim)> {
        let mut ready = Vec::new();
        for (key, known) in &self.keys {
            let Some(claim) = known.waiting() else { continue };
            let leaves = r.withdraw || known.live().is_none_or(|e| expired(&e.fields, r.horizon));
            if leaves && claim.embargo_end <= at && !expired(&claim.fields, r.horizon) {
                ready.push((*key, claim.clone()));
            }
        }
        ready
    }

    /// Nothing that has waited for company as long as the set allows is held by a release.
    fn is_in_time(&self, r: &Released, at: u64, alone: bool) {
        let late = |since: u64| since + u64::from(self.params.max_wait_s) <= r.time;
        for (key, known) in &self.keys {
            if let Some((_, since, urgent)) = known.orphan
                && known.live().is_some_and(|e| !expired(&e.fields, r.horizon))
            {
                assert!(r.withdraw || !(late(since) || urgent || alone), "{key:?} leaves in time");
            }
        }
        if r.admit == 0 {
            for (key, c) in self.ready(r, at) {
                assert!(!self.params.decoys, "with decoys nothing waits: {key:?}");
                assert!(!late(c.since.max(c.embargo_end)) && !alone, "{key:?} comes in time");
            }
        }
    }

    /// Whether what comes in may have waited for company as long as the set allows.
    fn have_waited(&self, r: &Released, ready: &[(Key, Claim)]) -> bool {
        let claims = ready.iter().flat_map(|(key, _)| &self.keys[key].claims);
        let since = claims.map(|c| c.received.min(c.since).max(c.embargo_end)).min();
        since.is_some_and(|since| since + u64::from(self.params.max_wait_s) <= r.time)
    }

    fn expire(&mut self, horizon: u32) {
        for known in self.keys.values_mut() {
            known.claims.retain(|c| !expired(&c.fields, horizon));
            known.entries.retain(|e| !expired(&e.fields, horizon));
            if known.live().is_none() {
                known.orphan = None;
            }
        }
    }

    /// Ends what was withdrawn and the decoys that go with it; each ended entry with the report it counts
    /// for.
    fn let_out(&mut self, r: &Released) -> Vec<u64> {
        let leaving: BTreeSet<u64> = r.decoys_leaving.iter().copied().collect();
        let decoys = |seq: &u64| self.reports.iter().any(|r| r.seq == *seq && r.decoy);
        assert!(leaving.iter().all(decoys), "only decoys go along");
        let mut out = Vec::new();
        for known in self.keys.values_mut() {
            let withdrawn = known.orphan.filter(|_| r.withdraw).map(|(report, ..)| report);
            let Some(entry) = known.entries.iter_mut().find(|e| e.del == LIVE) else {
                known.claims.retain(|c| !leaving.contains(&c.report));
                continue;
            };
            let decoy = known.claims.iter().any(|c| leaving.contains(&c.report)).then_some(entry.report);
            if let Some(report) = withdrawn.or(decoy) {
                entry.del = r.serial;
                known.orphan = None;
                out.push(report);
            }
            known.claims.retain(|c| !leaving.contains(&c.report));
        }
        out
    }

    /// unlinkable: nothing comes or goes with fewer reports than the minimum, unless that is on record.
    fn is_company(&self, r: &Released, coming: &BTreeSet<u64>, out: &[u64], days: &BTreeSet<u32>) {
        let min = self.params.min_reports as usize;
        let out: BTreeSet<u64> = out.iter().copied().collect();
        assert!(coming.is_empty() || coming.len() >= min || r.forced, "{coming:?} come alone");
        assert!(out.is_empty() || out.len() >= min || r.forced, "{out:?} leave alone");
        if !self.params.decoys {
            assert!(r.decoys_leaving.is_empty());
            return;
        }
        assert!(coming.is_empty() || coming.len() >= min, "with decoys there is always company: {coming:?}");
        for day in days {
            let of_day = |e: &&Entry| e.del == LIVE && e.decoy && e.fields.start / 144 == *day;
            let entries = self.keys.values().flat_map(|k| &k.entries);
            let decoys: BTreeSet<u64> = entries.filter(of_day).map(|e| e.report).collect();
            assert!(decoys.len() >= min, "day {day} has only {} decoys of {min}: {r:?}", decoys.len());
        }
    }

    fn published(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut live, mut history) = (Vec::new(), Vec::new());
        for (key, known) in &self.keys {
            for e in &known.entries {
                self.params.schema.history_entry(key.as_bytes(), &e.fields, e.add, e.del, &mut history);
                if e.del == LIVE {
                    self.params.schema.public_entry(key.as_bytes(), &e.fields, &mut live);
                }
            }
        }
        (live, history)
    }
}
