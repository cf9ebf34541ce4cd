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
    /// Whose word it is: the grant of the report, or of the change of type before it.
    word: (u32, Grant),
    pub(super) received: u64,
    pub(super) decoy: bool,
    pub(super) fields: Fields,
    pub(super) embargo_end: u64,
    /// Made, revised or reinstated.
    pub(super) since: u64,
    /// Operators' events that took it and were not undone.
    pub(super) taken: BTreeSet<u64>,
    /// Its author took it.
    pub(super) cancelled: bool,
}

impl Claim {
    pub(super) fn stands(&self) -> bool {
        self.taken.is_empty() && !self.cancelled && self.fields.report != ReportType::Negative.number()
    }
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
    /// H of its secret, the type it was made with, its onset; none without a phone.
    pub(crate) phone: Option<([u8; 32], ReportType, Option<u32>)>,
    /// Changes of its type in their order.
    pub(crate) changes: Vec<TypeChange>,
    /// Everything its phone was told, the report itself first.
    pub(crate) told: Vec<Told>,
    /// The newest release in which a key of it became public, or was when it was claimed.
    pub(super) released: u32,
    pub(crate) withdrawn: bool,
}

/// A change of a report's type: which event, when, on whose word, to what, and who took it back.
#[derive(Debug, Clone)]
pub(crate) struct TypeChange {
    pub(super) event: u64,
    at: u64,
    word: (u32, Grant),
    to: ReportType,
    pub(super) undone: BTreeSet<u64>,
}

impl Report {
    /// What it says now.
    pub(crate) fn says(&self) -> Option<ReportType> {
        let last = self.changes.iter().rfind(|c| c.undone.is_empty());
        last.map(|c| c.to).or(self.phone.map(|phone| phone.1))
    }

    /// Whose word that is.
    pub(crate) fn word(&self) -> (u32, Grant) {
        let last = self.changes.iter().rfind(|c| c.undone.is_empty());
        last.map_or((self.provider, self.grant), |c| c.word)
    }
}

/// What an event takes back or brings back: claims by report and key, changes by report and event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Meant {
    pub(crate) claims: Vec<(u64, Key)>,
    pub(crate) changes: Vec<(u64, u64)>,
}

/// Whether a scope that names grants means what stands on this word since that event.
fn means(scope: &Scope, event: u64, at: u64, word: (u32, Grant)) -> bool {
    match *scope {
        Scope::Key { .. } | Scope::Report { .. } => false,
        Scope::Batch { batch } => matches!(word.1, Grant::Code { batch: of, .. } if of == batch),
        Scope::Provider { provider, since } => word.0 == provider && at >= since,
        Scope::After { seq, provider } => event > seq && provider.is_none_or(|p| p == word.0),
        Scope::Signer { provider, signer, since } => {
            let by = matches!(word.1, Grant::Certificate { signer: by, .. } if by == signer);
            by && word.0 == provider && at >= since
        }
    }
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
        self.claims.iter().find(|claim| claim.stands())
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
                    self.ended(&Scope::Provider { provider: p.provider, since }, seq, at);
                }
            }
            Event::ProviderKeyRevoked(r) => {
                if let Some(since) = r.since {
                    let (provider, signer) = (r.provider, r.fingerprint);
                    self.ended(&Scope::Signer { provider, signer, since }, seq, at);
                }
            }
            Event::BatchRevoked { batch, retroactive: true, .. } => {
                self.ended(&Scope::Batch { batch }, seq, at);
            }
            Event::Reinstated { seq: undone } => self.reinstated(undone, at),
            Event::Released(r) if r.set == self.set => self.released(&r, at, alone),
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
            changes: Vec::new(),
            told: r.authored.iter().map(|a| a.told.clone()).collect(),
            released: 0,
            withdrawn: false,
        });
        self.claim(seq, seq, at, &r.keys);
    }

    fn claim(&mut self, report: u64, event: u64, at: u64, keys: &[ReportedKey]) {
        let (decoy, word) = (self.report_mut(report).decoy, self.report_mut(report).word());
        for k in keys {
            let (fields, embargo_end) = (k.fields, k.embargo_end);
            let (received, since, taken, cancelled) = (at, at, BTreeSet::new(), false);
            let claim =
                Claim { report, event, word, received, decoy, fields, embargo_end, since, taken, cancelled };
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
        if let Some(to) = a.report_type {
            let word = (a.provider, a.grant);
            report.changes.push(TypeChange { event: seq, at, word, to, undone: BTreeSet::new() });
        }
        let provider = report.word().0;
        self.desk.provider(provider).expect("a provider").counts[1] += a.keys.len() as u64;
        self.say(a.report, at, false);
        self.claim(a.report, seq, at, &a.keys);
    }

    /// Lets all claims of a report say what it says now.
    fn say(&mut self, report: u64, at: u64, urgent: bool) {
        let Some(says) = self.report_mut(report).says() else { return };
        for key in self.keys.keys().copied().collect::<Vec<_>>() {
            let known = self.keys.get_mut(&key).expect("it was listed");
            let Some(claim) = known.claims.iter_mut().find(|c| c.report == report) else { continue };
            if claim.fields.report == says.number() {
                continue;
            }
            claim.fields.report = says.number();
            claim.since = at;
            let stands = claim.stands();
            known.outdated(report, at, urgent);
            if stands {
                self.sees(report, &key);
            }
        }
        self.look_what_is_left(report);
    }

    fn look_what_is_left(&mut self, report: u64) {
        let claims = self.keys.values().flat_map(|k| &k.claims).filter(|c| c.report == report);
        let claims: Vec<bool> = claims.map(Claim::stands).collect();
        if !claims.is_empty() {
            self.report_mut(report).withdrawn = !claims.contains(&true);
        }
    }

    fn withdrawn(&mut self, seq: u64, at: u64, w: &Withdrawn) {
        let covered = self.covered(&w.scope);
        self.end(&covered, seq, at, w.told.is_some(), w.urgent);
        if let (Some(told), Scope::Report { report }) = (&w.told, w.scope)
            && self.report(report).is_some()
        {
            self.report_mut(report).told.push(told.clone());
        }
    }

    /// What a scope covers that its author did not take.
    pub(crate) fn covered(&self, scope: &Scope) -> Meant {
        let mut meant = Meant::default();
        if let Scope::Key { set, key } = *scope {
            let of_key = self.keys.get(&key).filter(|_| set == self.set);
            let claims = of_key.iter().flat_map(|k| &k.claims).filter(|c| !c.cancelled);
            meant.claims = claims.map(|c| (c.report, key)).collect();
            return meant;
        }
        let claims = self.claims_by_report();
        for report in self.reports.iter().filter(|r| !r.decoy) {
            for (key, claim) in claims.get(&report.seq).into_iter().flatten().filter(|(_, c)| !c.cancelled) {
                let named = *scope == Scope::Report { report: claim.report };
                if named || means(scope, claim.event, claim.received, claim.word) {
                    meant.claims.push((report.seq, *key));
                }
            }
            for change in &report.changes {
                let stays = matches!(scope, Scope::After { .. }) && change.to == ReportType::Negative;
                if !stays && means(scope, change.event, change.at, change.word) {
                    meant.changes.push((report.seq, change.event));
                }
            }
        }
        meant
    }

    /// The claims of each report, in the order of their keys.
    fn claims_by_report(&self) -> BTreeMap<u64, Vec<(Key, &Claim)>> {
        let mut by_report: BTreeMap<u64, Vec<(Key, &Claim)>> = BTreeMap::new();
        for (key, known) in &self.keys {
            for claim in &known.claims {
                by_report.entry(claim.report).or_default().push((*key, claim));
            }
        }
        by_report
    }

    fn claim_of(&self, report: u64, key: &Key) -> &Claim {
        self.keys[key].claims.iter().find(|c| c.report == report).expect("a claim")
    }

    /// What a withdrawal counts: what no event took before. What undoing `by` counts: what no other took.
    pub(crate) fn count(&self, meant: &Meant, by: Option<u64>) -> ClaimCount {
        let free = |taken: &BTreeSet<u64>| taken.iter().all(|seq| Some(*seq) == by);
        let claims: Vec<&(u64, Key)> =
            meant.claims.iter().filter(|(report, key)| free(&self.claim_of(*report, key).taken)).collect();
        let change = |(report, event): &&(u64, u64)| {
            let changes = &self.report(*report).expect("a report").changes;
            changes.iter().any(|c| c.event == *event && free(&c.undone))
        };
        let changes: Vec<&(u64, u64)> = meant.changes.iter().filter(change).collect();
        let reports: BTreeSet<u64> = claims.iter().map(|c| c.0).chain(changes.iter().map(|c| c.0)).collect();
        let keys: BTreeSet<Key> = claims.iter().map(|(_, key)| *key).collect();
        let live = keys.iter().filter(|key| self.keys[*key].live().is_some()).count();
        ClaimCount {
            reports: reports.len() as u64,
            keys: keys.len() as u64,
            live: live as u64,
            changes: changes.len() as u64,
            returning: if by.is_some() { 0 } else { self.returning(meant) },
        }
    }

    /// Keys of reports that would be negative no more.
    fn returning(&self, meant: &Meant) -> u64 {
        let mut returning = 0;
        let claims = self.claims_by_report();
        for report in self.reports.iter().filter(|r| r.says() == Some(ReportType::Negative)) {
            let mut then = report.clone();
            then.changes.retain(|c| !meant.changes.contains(&(report.seq, c.event)));
            if then.says() == Some(ReportType::Negative) {
                continue;
            }
            for (key, claim) in claims.get(&report.seq).into_iter().flatten() {
                let there = claim.taken.is_empty() && !claim.cancelled;
                returning += u64::from(there && !meant.claims.contains(&(report.seq, *key)));
            }
        }
        returning
    }

    fn ended(&mut self, scope: &Scope, seq: u64, at: u64) {
        let covered = self.covered(scope);
        self.end(&covered, seq, at, false, false);
    }

    fn end(&mut self, meant: &Meant, seq: u64, at: u64, by_author: bool, urgent: bool) {
        for (report, key) in &meant.claims {
            let known = self.keys.get_mut(key).expect("a key that is claimed");
            let claim = known.claims.iter_mut().find(|c| c.report == *report).expect("a claim");
            if by_author {
                claim.cancelled = true;
            } else {
                claim.taken.insert(seq);
            }
            known.outdated(*report, at, urgent);
        }
        self.mark(&meant.changes, |undone| _ = undone.insert(seq));
        for report in self.touched(meant) {
            self.say(report, at, urgent);
            self.look_what_is_left(report);
        }
    }

    fn mark(&mut self, changes: &[(u64, u64)], mark: impl Fn(&mut BTreeSet<u64>)) {
        for (report, event) in changes {
            let changes = &mut self.report_mut(*report).changes;
            mark(&mut changes.iter_mut().find(|c| c.event == *event).expect("a change").undone);
        }
    }

    fn touched(&self, meant: &Meant) -> Vec<u64> {
        let named = |seq: u64| {
            meant.claims.iter().any(|(of, _)| *of == seq) || meant.changes.iter().any(|(of, _)| *of == seq)
        };
        self.reports.iter().map(|r| r.seq).filter(|seq| named(*seq)).collect()
    }

    /// What an event took and nobody undid or cancelled.
    pub(crate) fn taken_by(&self, seq: u64) -> Meant {
        let mut meant = Meant::default();
        let claims = self.claims_by_report();
        for report in &self.reports {
            for (key, claim) in claims.get(&report.seq).into_iter().flatten() {
                if !claim.cancelled && claim.taken.contains(&seq) {
                    meant.claims.push((report.seq, *key));
                }
            }
            let undone = report.changes.iter().filter(|c| c.undone.contains(&seq));
            meant.changes.extend(undone.map(|c| (report.seq, c.event)));
        }
        meant
    }

    fn reinstated(&mut self, seq: u64, at: u64) {
        let meant = self.taken_by(seq);
        self.mark(&meant.changes, |undone| _ = undone.remove(&seq));
        for (report, key) in &meant.claims {
            let claims = &mut self.keys.get_mut(key).expect("a key that is claimed").claims;
            let place = claims.iter().position(|c| c.report == *report).expect("a claim");
            claims[place].taken.remove(&seq);
            if !claims[place].taken.is_empty() {
                continue;
            }
            let claim = Claim { since: at, ..claims.remove(place) };
            let stands = claim.stands();
            claims.push(claim);
            if stands {
                self.sees(*report, key);
            }
        }
        for report in self.touched(&meant) {
            self.say(report, at, false);
            self.look_what_is_left(report);
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
                    _ if !claim.stands() => standing.taken_back += 1,
                    Some(waits) if waits.embargo_end > now => standing.embargo += 1,
                    Some(_) => standing.waiting += 1,
                    None => {}
                }
            }
        }
        standings
    }
}
