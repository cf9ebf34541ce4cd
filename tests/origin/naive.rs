//! What is live at each version, the slow and plain way: one list of keys, looked through whole at every
//! event.
//!
//! The model knows from the journal what was decided (reports, withdrawals, when a release was made and
//! whether it let in or out) and finds by itself what that must lead to. It also says whether the decision
//! was allowed: horizon, embargo, company.

use std::collections::{BTreeMap, BTreeSet};

use tekd::authority::Scope;
use tekd::engine::{Event, Params, Released, Reported, Withdrawn};
use tekd::release::{Fields, LIVE, Schema};
use tekd::store::journal::Record;
use tekd::wire::Key;

use super::world::event;

#[derive(Debug, Clone)]
struct Claim {
    report: u64,
    decoy: bool,
    fields: Fields,
    embargo_end: u64,
    received: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    fields: Fields,
    add: u32,
    del: u32,
    decoy: bool,
    /// The report whose claim it was made from.
    report: u64,
}

#[derive(Debug, Clone, Default)]
struct Known {
    claims: Vec<Claim>,
    entries: Vec<Entry>,
    /// The report that was withdrawn while the last entry was live, if so, and when and how.
    orphan: Option<(u64, u64, bool)>,
}

/// One release as the model sees it.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) serial: u32,
    pub(crate) time: u64,
    pub(crate) horizon: u32,
    /// Public entries in key order.
    pub(crate) live: Vec<u8>,
    /// History entries in order.
    pub(crate) history: Vec<u8>,
    pub(crate) added: usize,
    pub(crate) withdrawn: usize,
    pub(crate) forced: bool,
}

/// One set.
pub(crate) struct Naive {
    set: u32,
    params: Params,
    keys: BTreeMap<Key, Known>,
    horizon: u32,
    time: u64,
    pub(crate) releases: Vec<Release>,
}

fn expired(fields: &Fields, horizon: u32) -> bool {
    u64::from(fields.start) + u64::from(fields.period) <= u64::from(horizon)
}

impl Known {
    fn live(&self) -> Option<&Entry> {
        self.entries.iter().find(|e| e.del == LIVE)
    }

    /// The claim that waits to be published.
    fn waiting(&self) -> Option<&Claim> {
        (self.live().is_none() || self.orphan.is_some()).then(|| self.claims.first())?
    }
}

impl Naive {
    pub(crate) fn new(set: u32, params: Params) -> Naive {
        Naive { set, params, keys: BTreeMap::new(), horizon: 0, time: 0, releases: Vec::new() }
    }

    pub(crate) fn newest(&self) -> Option<&Release> {
        self.releases.last()
    }

    pub(crate) fn schema(&self) -> Schema {
        self.params.schema
    }

    /// Keys with a claim, whether live or waiting.
    pub(crate) fn claimed(&self) -> Vec<Key> {
        self.keys.iter().filter(|(_, k)| !k.claims.is_empty()).map(|(key, _)| *key).collect()
    }

    /// Whether nothing is unexpired and nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.values().all(|k| k.entries.is_empty() && k.claims.is_empty())
    }

    /// The horizon of a release at `now`.
    pub(crate) fn horizon_at(&self, now: u64) -> u32 {
        let plain = u32::try_from((now / 600).saturating_sub(144 * u64::from(self.params.retention_days)));
        let plain = plain.expect("this century");
        if self.keys.values().any(|k| !k.entries.is_empty()) { plain.max(self.horizon) } else { plain }
    }

    /// Takes one record of the journal. `alone`: a release that an operator allowed to be small.
    pub(crate) fn take(&mut self, record: &Record, alone: bool) {
        match event(record) {
            Event::Configured(c) if c.set == self.set => self.params = c.params,
            Event::Reported(r) if r.set == self.set => self.reported(record, &r),
            Event::Withdrawn(w) => self.withdrawn(record, &w),
            Event::Released(r) if r.set == self.set => self.released(&r, alone),
            _ => {}
        }
    }

    fn reported(&mut self, record: &Record, r: &Reported) {
        for k in &r.keys {
            let claim = Claim {
                report: record.seq,
                decoy: r.is_decoy(),
                fields: k.fields,
                embargo_end: k.embargo_end,
                received: record.time_s,
            };
            assert!(k.embargo_end >= 600 * (u64::from(k.fields.start) + u64::from(k.fields.period)));
            self.keys.entry(k.key).or_default().claims.push(claim);
        }
    }

    fn withdrawn(&mut self, record: &Record, w: &Withdrawn) {
        let Scope::Key { key, .. } = w.scope else { panic!("only keys so far") };
        let known = self.keys.get_mut(&key).expect("a key that was reported");
        let claims = std::mem::take(&mut known.claims);
        if known.live().is_some() {
            let orphan = known.orphan.get_or_insert((claims[0].report, record.time_s, false));
            orphan.2 |= w.urgent;
        }
    }

    fn released(&mut self, r: &Released, alone: bool) {
        assert_eq!(r.serial, self.releases.last().map_or(0, |l| l.serial) + 1, "serials have no gap");
        assert!(r.time >= self.time, "time never goes back");
        assert_eq!(r.horizon, self.horizon_at(r.time), "the horizon of release {}", r.serial);
        let ready: Vec<(Key, Claim)> = if r.admit { self.ready(r) } else { Vec::new() };
        self.is_in_time(r, alone);
        self.expire(r.horizon);
        let out = self.let_out(r);
        let coming: BTreeSet<u64> = ready.iter().map(|(_, c)| c.report).collect();
        let added = ready.len();
        let days: BTreeSet<u32> =
            ready.iter().filter(|(_, c)| !c.decoy).map(|(_, c)| c.fields.start / 144).collect();
        for (key, c) in ready {
            assert!(c.embargo_end <= r.time, "embargo is never bypassed");
            let entry =
                Entry { fields: c.fields, add: r.serial, del: LIVE, decoy: c.decoy, report: c.report };
            self.keys.entry(key).or_default().entries.push(entry);
        }
        self.keys.retain(|_, k| !k.claims.is_empty() || !k.entries.is_empty());
        if !alone {
            self.is_company(r, &coming, &out, &days);
        }
        (self.horizon, self.time) = (r.horizon, r.time);
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

    /// What waits, is out of its embargo, and has no live entry once withdrawn ones have left.
    fn ready(&self, r: &Released) -> Vec<(Key, Claim)> {
        let mut ready = Vec::new();
        for (key, known) in &self.keys {
            let Some(claim) = known.waiting() else { continue };
            let leaves = r.withdraw || known.live().is_none_or(|e| expired(&e.fields, r.horizon));
            if leaves && claim.embargo_end <= r.time && !expired(&claim.fields, r.horizon) {
                ready.push((*key, claim.clone()));
            }
        }
        ready
    }

    /// Nothing that has waited for company as long as the set allows is held by a release.
    fn is_in_time(&self, r: &Released, alone: bool) {
        let late = |since: u64| since + u64::from(self.params.max_wait_s) <= r.time;
        for (key, known) in &self.keys {
            if let Some((_, since, urgent)) = known.orphan
                && known.live().is_some_and(|e| !expired(&e.fields, r.horizon))
            {
                assert!(r.withdraw || !(late(since) || urgent || alone), "{key:?} leaves in time");
            }
        }
        if !r.admit {
            for (key, c) in self.ready(r) {
                assert!(!self.params.decoys, "with decoys nothing waits: {key:?}");
                assert!(!late(c.received.max(c.embargo_end)) && !alone, "{key:?} comes in time");
            }
        }
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
