//! Claims on keys come, change and go: reports, amendments, withdrawals, reinstatements.
//!
//! A claim that is taken back stays, marked, until it expires, so that a withdrawal can be undone. After any
//! change a key is settled: it waits for a release, leaves with one, or neither.

use std::collections::BTreeSet;

use super::super::event::{Amended, Reported, ReportedKey, Told};
use super::{Claim, KeyState, Leaving, Pending, ReportRecord, SetState, TakenBack, end_of};
use crate::authority::{ClaimFacts, Scope};
use crate::wire::Key;
use crate::wire::report::ReportType;

/// How much a withdrawal takes back, or a reinstatement brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClaimCount {
    /// Reports that lose or regain a claim.
    pub reports: u64,
    /// Keys of these claims.
    pub keys: u64,
    /// Of these, live now.
    pub live: u64,
}

impl ClaimCount {
    pub(crate) fn add(&mut self, other: ClaimCount) {
        self.reports += other.reports;
        self.keys += other.keys;
        self.live += other.live;
    }
}

/// Claims by report: which of its keys.
pub(crate) type Chosen = Vec<(u64, Vec<Key>)>;

impl SetState {
    pub(crate) fn reported(&mut self, seq: u64, received: u64, r: &Reported) {
        let record = ReportRecord {
            report: r.report,
            provider: r.provider,
            grant: r.grant,
            received,
            keys: Vec::new(),
            authored: r.authored.clone(),
            told: Vec::new(),
            released: 0,
            withdrawn: false,
        };
        self.reports.insert(seq, record);
        self.by_id.insert(r.report, seq);
        if r.is_decoy() {
            self.decoys.insert(seq);
        }
        self.claim(seq, seq, received, &r.keys);
    }

    /// Adds claims of a report; a key that is public already changes nothing there.
    fn claim(&mut self, report: u64, seq: u64, received: u64, keys: &[ReportedKey]) {
        let decoy = self.decoys.contains(&report);
        for k in keys {
            let (fields, embargo_end) = (k.fields, k.embargo_end);
            let since = received;
            let claim = Claim { report, seq, fields, embargo_end, decoy, received, since, taken_back: None };
            self.ends.entry(end_of(&fields)).or_default().push(k.key);
            self.keys.entry(k.key).or_default().claims.push(claim);
            if let Some(record) = self.reports.get_mut(&report) {
                record.keys.push(k.key);
                record.withdrawn = false;
            }
            self.sees(report, &k.key);
            self.settle(&k.key, None);
        }
    }

    /// A report whose key is live when it is claimed is released without a release of its own (spec 7.6.2).
    fn sees(&mut self, report: u64, key: &Key) {
        let live = self.keys.get(key).and_then(KeyState::live);
        if let (Some(entry), Some(record)) = (live, self.reports.get_mut(&report)) {
            record.released = record.released.max(entry.add_serial);
        }
    }

    pub(crate) fn amended(&mut self, seq: u64, at: u64, a: &Amended) {
        let Some(record) = self.reports.get_mut(&a.report) else { return };
        record.told.push(a.told.clone());
        if let (Some(report_type), Some(authored)) = (a.report_type, &mut record.authored) {
            authored.report_type = report_type;
        }
        match a.report_type {
            Some(ReportType::Negative) => {
                let all = self.of_report(a.report);
                self.take_back(&all, TakenBack { seq, by_author: true }, at, false);
            }
            Some(other) => self.revise(a.report, at, other),
            None => {}
        }
        self.claim(a.report, seq, at, &a.keys);
    }

    /// What the author of a report was told when it was cancelled.
    pub(crate) fn cancelled(&mut self, report: u64, told: &Told) {
        if let Some(record) = self.reports.get_mut(&report) {
            record.told.push(told.clone());
        }
    }

    /// A revised entry is a new entry: the old one leaves, the key waits with its new fields.
    fn revise(&mut self, report: u64, at: u64, report_type: ReportType) {
        for key in self.reports.get(&report).map(|r| r.keys.clone()).unwrap_or_default() {
            let Some(state) = self.keys.get_mut(&key) else { continue };
            for claim in state.claims.iter_mut().filter(|c| c.report == report) {
                claim.fields.report = report_type.number();
                claim.since = at;
            }
            self.settle(&key, Some(Leaving { report, urgent: false, since: at }));
        }
    }

    /// The claims a scope covers, those that were taken back already apart; an author's word covers also what
    /// an operator took back. Decoys are only ever covered by their keys.
    pub(crate) fn covered(&self, scope: &Scope, by_author: bool) -> Chosen {
        let open = |claim: &Claim| match claim.taken_back {
            None => true,
            Some(taken) => by_author && !taken.by_author,
        };
        self.chosen(self.candidates(scope), |key, claim, record| {
            open(claim) && scope.covers(&self.facts(key, claim, record))
        })
    }

    /// The reports that may have a claim the scope covers.
    fn candidates(&self, scope: &Scope) -> Vec<u64> {
        match scope {
            Scope::Report { report } if self.decoys.contains(report) => Vec::new(),
            Scope::Report { report } => vec![*report],
            Scope::Key { key, .. } => {
                self.keys.get(key).map(|k| k.claims.iter().map(|c| c.report).collect()).unwrap_or_default()
            }
            Scope::Batch { .. } | Scope::Provider { .. } | Scope::After { .. } => {
                self.reports.keys().filter(|seq| !self.decoys.contains(seq)).copied().collect()
            }
        }
    }

    /// The claims of these reports that are meant.
    fn chosen(&self, reports: Vec<u64>, meant: impl Fn(&Key, &Claim, &ReportRecord) -> bool) -> Chosen {
        let keys_of = |report: u64| {
            let record = self.reports.get(&report)?;
            let of_key = |key: &&Key| {
                let claims = self.keys.get(key).map(|state| &state.claims[..]).unwrap_or_default();
                claims.iter().any(|claim| claim.report == report && meant(key, claim, record))
            };
            let keys: Vec<Key> = record.keys.iter().filter(of_key).copied().collect();
            (!keys.is_empty()).then_some((report, keys))
        };
        reports.into_iter().filter_map(keys_of).collect()
    }

    fn facts(&self, key: &Key, claim: &Claim, record: &ReportRecord) -> ClaimFacts {
        ClaimFacts {
            set: self.id,
            key: *key,
            report: claim.report,
            seq: claim.seq,
            received: claim.received,
            provider: record.provider,
            batch: record.grant.batch(),
        }
    }

    fn of_report(&self, report: u64) -> Chosen {
        self.reports.get(&report).map(|r| vec![(report, r.keys.clone())]).unwrap_or_default()
    }

    /// What taking these claims back would change.
    pub(crate) fn count(&self, chosen: &Chosen) -> ClaimCount {
        let keys: BTreeSet<&Key> = chosen.iter().flat_map(|(_, keys)| keys).collect();
        let live = keys.iter().filter(|key| self.keys.get(**key).is_some_and(|k| k.live().is_some()));
        ClaimCount { reports: chosen.len() as u64, keys: keys.len() as u64, live: live.count() as u64 }
    }

    /// Takes claims back at `at`; returns how many for each provider.
    pub(crate) fn take_back(
        &mut self,
        chosen: &Chosen,
        taken: TakenBack,
        at: u64,
        urgent: bool,
    ) -> Vec<(u32, u64)> {
        let mut counts = Vec::new();
        for (report, keys) in chosen {
            for key in keys {
                let claims = self.keys.get_mut(key).map(|state| &mut state.claims[..]).unwrap_or_default();
                claims.iter_mut().filter(|c| c.report == *report).for_each(|c| c.taken_back = Some(taken));
                self.settle(key, Some(Leaving { report: *report, urgent, since: at }));
            }
            let withdrawn = !self.stands(*report);
            if let Some(record) = self.reports.get_mut(report) {
                record.withdrawn = withdrawn;
                counts.push((record.provider, keys.len() as u64));
            }
        }
        counts
    }

    /// Whether any claim of a report stands.
    fn stands(&self, report: u64) -> bool {
        let keys = self.reports.get(&report).map(|r| &r.keys[..]).unwrap_or_default();
        let claims = keys.iter().filter_map(|key| self.keys.get(key)).flat_map(|state| &state.claims);
        claims.into_iter().any(|claim| claim.report == report && claim.stands())
    }

    /// The claims that an operator's event took back.
    pub(crate) fn taken_by(&self, seq: u64) -> Chosen {
        let taken = Some(TakenBack { seq, by_author: false });
        self.chosen(self.reports.keys().copied().collect(), |_, claim, _| claim.taken_back == taken)
    }

    /// Brings claims back as the newest of their keys: always a new entry.
    pub(crate) fn reinstate(&mut self, chosen: &Chosen, at: u64) {
        for (report, keys) in chosen {
            for key in keys {
                let Some(state) = self.keys.get_mut(key) else { continue };
                let back = |claim: &mut Claim| claim.report == *report;
                let mut claims: Vec<Claim> = state.claims.extract_if(.., back).collect();
                for claim in &mut claims {
                    claim.taken_back = None;
                    claim.since = at;
                }
                state.claims.append(&mut claims);
                self.sees(*report, key);
                self.settle(key, None);
            }
            if let Some(record) = self.reports.get_mut(report) {
                record.withdrawn = false;
            }
        }
    }

    /// Brings a key in order after its claims changed. It waits if a claim stands and what is public is not
    /// what that claim says; what is public leaves if it is not what the first claim says, or when it was to
    /// leave already. `cause`: who made it leave.
    pub(super) fn settle(&mut self, key: &Key, cause: Option<Leaving>) {
        let Some(state) = self.keys.get(key) else { return };
        let first = state.first();
        if let Some(entry) = state.live() {
            let fits = first.is_some_and(|claim| claim.fields == entry.fields);
            if let Some(cause) = cause.filter(|_| !fits) {
                let urgent = cause.urgent;
                self.leaving.entry(*key).or_insert(cause).urgent |= urgent;
            }
            if !self.leaving.contains_key(key) {
                self.pending.remove(key);
                return;
            }
        }
        match first {
            Some(claim) => {
                let next = Pending::of(claim);
                match self.pending.get_mut(key) {
                    // It goes on waiting for the same thing: since when stays.
                    Some(waiting) if Pending { since: next.since, ..waiting.clone() } == next => {}
                    Some(waiting) => *waiting = next,
                    None => {
                        self.pending.insert(*key, next);
                    }
                }
            }
            None => {
                self.pending.remove(key);
            }
        }
    }
}
