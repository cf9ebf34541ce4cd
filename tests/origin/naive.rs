//! What is live at each version, the slow and plain way: lists of keys and reports, looked through whole at
//! every event.
//!
//! The model knows from the journal what was decided (reports, amendments, withdrawals, when a release was
//! made and whether it let in or out) and finds by itself what that must lead to: which claims stand, what is
//! public, where each report stands. It also says whether the decision was allowed: horizon, embargo,
//! company. What a request must be answered it foresees in `foresee.rs`.

use std::collections::{BTreeMap, BTreeSet};

use tekd::authority::{Grant, Scope};
use tekd::engine::{
    Amended, ClaimCount, Event, Params, ReportStanding, Reported, ReportedKey, Told, Withdrawn,
};
use tekd::release::{Fields, LIVE, Schema};
use tekd::store::journal::Record;
use tekd::wire::Key;
use tekd::wire::report::{ReportState, ReportType};

use super::desk::Desk;
use super::world::event;

#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) report: u64,
    /// The event that made it: a report or an amendment.
    event: u64,
    received: u64,
    pub(super) decoy: bool,
    pub(super) fields: Fields,
    pub(super) embargo_end: u64,
    /// Made, revised or reinstated.
    pub(super) since: u64,
    pub(super) taken: Option<Taken>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    ByOperator(u64),
    ByAuthor,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) fields: Fields,
    pub(super) add: u32,
    pub(super) del: u32,
    pub(super) decoy: bool,
    /// The report whose claim it was made from.
    pub(super) report: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) claims: Vec<Claim>,
    pub(super) entries: Vec<Entry>,
    /// The report whose claim the last entry lost while it was live, if so, and when and how.
    pub(super) orphan: Option<(u64, u64, bool)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) seq: u64,
    pub(crate) id: [u8; 16],
    pub(crate) provider: u32,
    pub(crate) grant: Grant,
    pub(crate) received: u64,
    pub(crate) decoy: bool,
    /// H of its secret, the type it has now, its onset; none without a phone.
    pub(crate) phone: Option<([u8; 32], ReportType, Option<u32>)>,
    /// Everything its phone was told, the report itself first.
    pub(crate) told: Vec<Told>,
    /// The newest release in which a key of it became public, or was when it was claimed.
    pub(super) released: u32,
    pub(crate) withdrawn: bool,
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

/// One set, and who may report to it.
pub(crate) struct Naive {
    pub(crate) set: u32,
    pub(crate) params: Params,
    pub(super) keys: BTreeMap<Key, Known>,
    pub(crate) reports: Vec<Report>,
    pub(crate) desk: Desk,
    pub(super) horizon: u32,
    pub(super) time: u64,
    pub(crate) releases: Vec<Release>,
}

pub(super) fn expired(fields: &Fields, horizon: u32) -> bool {
    u64::from(fields.start) + u64::from(fields.period) <= u64::from(horizon)
}

impl Known {
    pub(super) fn live(&self) -> Option<&Entry> {
        self.entries.iter().find(|e| e.del == LIVE)
    }

    /// The claim whose fields the key has.
    fn first(&self) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.taken.is_none())
    }

    /// The claim that waits to be published.
    pub(super) fn waiting(&self) -> Option<&Claim> {
        (self.live().is_none() || self.orphan.is_some()).then(|| self.first())?
    }

    /// After a change by `report`: what is public leaves if it is not what the first claim says.
    fn outdated(&mut self, report: u64, at: u64, urgent: bool) {
        let Some(entry) = self.live() else { return };
        if self.first().is_none_or(|claim| claim.fields != entry.fields) {
            self.orphan.get_or_insert((report, at, false)).2 |= urgent;
        }
    }
}

impl Naive {
    pub(crate) fn new(set: u32, params: Params) -> Naive {
        let (keys, reports, desk) = (BTreeMap::new(), Vec::new(), Desk::default());
        Naive { set, params, keys, reports, desk, horizon: 0, time: 0, releases: Vec::new() }
    }

    pub(crate) fn newest(&self) -> Option<&Release> {
        self.releases.last()
    }

    pub(crate) fn schema(&self) -> Schema {
        self.params.schema
    }

    /// Keys with a claim that stands, whether live or waiting.
    pub(crate) fn claimed(&self) -> Vec<Key> {
        self.keys.iter().filter(|(_, k)| k.first().is_some()).map(|(key, _)| *key).collect()
    }

    /// Whether nothing is unexpired and nothing waits or could come back.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.values().all(|k| k.entries.is_empty() && k.claims.is_empty())
    }

    /// The horizon of a release at `now`.
    pub(crate) fn horizon_at(&self, now: u64) -> u32 {
        let plain = u32::try_from((now / 600).saturating_sub(144 * u64::from(self.params.retention_days)));
        let plain = plain.expect("this century");
        if self.keys.values().any(|k| !k.entries.is_empty()) { plain.max(self.horizon) } else { plain }
    }

    pub(crate) fn report(&self, seq: u64) -> Option<&Report> {
        self.reports.iter().find(|r| r.seq == seq)
    }

    fn report_mut(&mut self, seq: u64) -> &mut Report {
        self.reports.iter_mut().find(|r| r.seq == seq).expect("a report that is remembered")
    }

    /// Takes one record of the journal. `alone`: a release that an operator allowed to be small.
    pub(crate) fn take(&mut self, record: &Record, alone: bool) {
        let (seq, at) = (record.seq, record.time_s);
        let event = event(record);
        self.desk.take(seq, at, &event);
        match event {
            Event::Configured(c) if c.set == self.set => self.params = c.params,
            Event::Reported(r) if r.set == self.set => self.reported(seq, at, &r),
            Event::Amended(a) if a.set == self.set => self.amended(seq, at, &a),
            Event::Withdrawn(w) => self.withdrawn(seq, at, &w),
            Event::ProviderStood(p) => {
                if let Some(since) = p.since {
                    self.ended(&Scope::Provider { provider: p.provider, since }, seq, at, false);
                }
            }
            Event::BatchRevoked { batch, retroactive: true, .. } => {
                self.ended(&Scope::Batch { batch }, seq, at, false);
            }
            Event::Reinstated { seq: undone } => self.reinstated(undone, at),
            Event::Released(r) if r.set == self.set => self.released(&r, alone),
            _ => {}
        }
    }

    fn reported(&mut self, seq: u64, at: u64, r: &Reported) {
        self.reports.push(Report {
            seq,
            id: r.report,
            provider: r.provider,
            grant: r.grant,
            received: at,
            decoy: r.is_decoy(),
            phone: r.authored.as_ref().map(|a| (a.secret_hash, a.report_type, a.onset_day)),
            told: r.authored.iter().map(|a| a.told.clone()).collect(),
            released: 0,
            withdrawn: false,
        });
        self.claim(seq, seq, at, &r.keys);
    }

    fn claim(&mut self, report: u64, event: u64, at: u64, keys: &[ReportedKey]) {
        let decoy = self.report_mut(report).decoy;
        for k in keys {
            let (fields, embargo_end) = (k.fields, k.embargo_end);
            let (received, since, taken) = (at, at, None);
            let claim = Claim { report, event, received, decoy, fields, embargo_end, since, taken };
            assert!(k.embargo_end >= 600 * (u64::from(k.fields.start) + u64::from(k.fields.period)));
            let known = self.keys.entry(k.key).or_default();
            assert!(known.claims.iter().all(|c| c.report != report), "one claim a report and key");
            known.claims.push(claim);
            self.sees(report, &k.key);
        }
        if !keys.is_empty() {
            self.report_mut(report).withdrawn = false;
        }
    }

    /// A report that claims a live key has seen its release.
    fn sees(&mut self, report: u64, key: &Key) {
        let serial = self.keys[key].live().map_or(0, |entry| entry.add);
        let report = self.report_mut(report);
        report.released = report.released.max(serial);
    }

    fn amended(&mut self, seq: u64, at: u64, a: &Amended) {
        let report = self.report_mut(a.report);
        report.told.push(a.told.clone());
        let provider = report.provider;
        self.desk.provider(provider).expect("a provider").counts[1] += a.keys.len() as u64;
        if let Some(report_type) = a.report_type {
            self.report_mut(a.report).phone.as_mut().expect("a phone amends").1 = report_type;
        }
        match a.report_type {
            Some(ReportType::Negative) => self.ended(&Scope::Report { report: a.report }, seq, at, true),
            Some(other) => {
                for known in self.keys.values_mut() {
                    let Some(claim) = known.claims.iter_mut().find(|c| c.report == a.report) else {
                        continue;
                    };
                    claim.fields.report = other.number();
                    claim.since = at;
                    known.outdated(a.report, at, false);
                }
            }
            None => {}
        }
        self.claim(a.report, seq, at, &a.keys);
    }

    fn withdrawn(&mut self, seq: u64, at: u64, w: &Withdrawn) {
        let covered = self.covered(&w.scope, w.told.is_some());
        self.end(&covered, seq, at, w.told.is_some(), w.urgent);
        if let (Some(told), Scope::Report { report }) = (&w.told, w.scope)
            && self.report(report).is_some()
        {
            self.report_mut(report).told.push(told.clone());
        }
    }

    /// The claims an operator's or an author's word covers, by report and key.
    pub(crate) fn covered(&self, scope: &Scope, by_author: bool) -> Vec<(u64, Key)> {
        let open = |claim: &Claim| match claim.taken {
            None => true,
            Some(Taken::ByOperator(_)) => by_author,
            Some(Taken::ByAuthor) => false,
        };
        if let Scope::Key { set, key } = *scope {
            let of_key = self.keys.get(&key).filter(|_| set == self.set);
            let claims = of_key.iter().flat_map(|k| &k.claims).filter(|c| open(c));
            return claims.map(|c| (c.report, key)).collect();
        }
        let mut covered = Vec::new();
        for report in self.reports.iter().filter(|r| !r.decoy) {
            for (key, known) in &self.keys {
                for claim in known.claims.iter().filter(|c| c.report == report.seq) {
                    let meant = match *scope {
                        Scope::Key { .. } => false,
                        Scope::Report { report } => claim.report == report,
                        Scope::Batch { batch } => report.grant.batch() == Some(batch),
                        Scope::Provider { provider, since } => {
                            report.provider == provider && claim.received >= since
                        }
                        Scope::After { seq, provider } => {
                            claim.event > seq && provider.is_none_or(|p| p == report.provider)
                        }
                    };
                    if meant && open(claim) {
                        covered.push((report.seq, *key));
                    }
                }
            }
        }
        covered
    }

    /// What a change of these claims counts.
    pub(crate) fn count(&self, claims: &[(u64, Key)]) -> ClaimCount {
        let reports: BTreeSet<u64> = claims.iter().map(|(report, _)| *report).collect();
        let keys: BTreeSet<Key> = claims.iter().map(|(_, key)| *key).collect();
        let live = keys.iter().filter(|key| self.keys[*key].live().is_some()).count();
        ClaimCount { reports: reports.len() as u64, keys: keys.len() as u64, live: live as u64 }
    }

    fn ended(&mut self, scope: &Scope, seq: u64, at: u64, by_author: bool) {
        let covered = self.covered(scope, by_author);
        self.end(&covered, seq, at, by_author, false);
    }

    fn end(&mut self, claims: &[(u64, Key)], seq: u64, at: u64, by_author: bool, urgent: bool) {
        let by = if by_author { Taken::ByAuthor } else { Taken::ByOperator(seq) };
        for (report, key) in claims {
            let known = self.keys.get_mut(key).expect("a key that is claimed");
            let claim = known.claims.iter_mut().find(|c| c.report == *report).expect("a claim");
            claim.taken = Some(by);
            known.outdated(*report, at, urgent);
        }
        for report in claims.iter().map(|(report, _)| *report).collect::<BTreeSet<_>>() {
            let mut all = self.keys.values().flat_map(|k| &k.claims).filter(|c| c.report == report);
            let withdrawn = all.all(|c| c.taken.is_some());
            self.report_mut(report).withdrawn = withdrawn;
        }
    }

    /// The claims that undoing an event brings back.
    pub(crate) fn taken_by(&self, seq: u64) -> Vec<(u64, Key)> {
        let by = Some(Taken::ByOperator(seq));
        let of = |report: &Report| {
            let report = report.seq;
            let taken = move |k: &Known| k.claims.iter().any(|c| c.report == report && c.taken == by);
            self.keys.iter().filter(move |(_, k)| taken(k)).map(move |(key, _)| (report, *key))
        };
        self.reports.iter().flat_map(of).collect()
    }

    fn reinstated(&mut self, seq: u64, at: u64) {
        for (report, key) in self.taken_by(seq) {
            let claims = &mut self.keys.get_mut(&key).expect("a key that is claimed").claims;
            let place = claims.iter().position(|c| c.report == report).expect("a claim");
            let claim = claims.remove(place);
            claims.push(Claim { taken: None, since: at, ..claim });
            self.report_mut(report).withdrawn = false;
            self.sees(report, &key);
        }
    }

    /// Where every report stands at `now`, decoys too.
    pub(crate) fn standings(&self, now: u64) -> BTreeMap<u64, ReportStanding> {
        let none = |report: &Report| {
            let state = match report {
                Report { withdrawn: true, .. } => ReportState::Withdrawn,
                Report { released: 0, .. } => ReportState::Accepted,
                Report { .. } => ReportState::Released,
            };
            let (serial, keys, live, embargo, waiting, taken_back) = (report.released, 0, 0, 0, 0, 0);
            (report.seq, ReportStanding { state, serial, keys, live, embargo, waiting, taken_back })
        };
        let mut standings: BTreeMap<u64, ReportStanding> = self.reports.iter().map(none).collect();
        for known in self.keys.values() {
            let (live, waits) = (known.live().is_some(), known.waiting());
            for claim in &known.claims {
                let standing = standings.get_mut(&claim.report).expect("a claim's report is remembered");
                standing.keys += 1;
                standing.live += u16::from(live);
                match waits {
                    _ if claim.taken.is_some() => standing.taken_back += 1,
                    Some(waits) if waits.embargo_end > now => standing.embargo += 1,
                    Some(_) => standing.waiting += 1,
                    None => {}
                }
            }
        }
        standings
    }
}
