//! Claims on keys come, change and go: reports, amendments, withdrawals, reinstatements.
//!
//! A claim that is taken back stays, marked, until it expires, so that a withdrawal can be undone. After any
//! change a key is settled: it waits for a release, leaves with one, or neither.

use std::collections::BTreeSet;

use super::super::event::{Amended, Reported, ReportedKey};
use super::super::told::Told;
use super::{Change, Claim, Course, Handle, Later, Leaving, Pending, ReportRecord, SetState, Taker, end_of};
use crate::authority::{ClaimFacts, Scope, Warrant};
use crate::time::interval_of;
use crate::wire::Key;
use crate::wire::report::{ReportType, RequestKind};

/// How much a withdrawal takes back, or a reinstatement brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClaimCount {
    /// Reports that lose or regain a claim.
    pub reports: u64,
    /// Keys of these claims.
    pub keys: u64,
    /// Of these, live now.
    pub live: u64,
    /// Changes of report type that are taken back or made again.
    pub changes: u64,
    /// Keys that stand again because a report is *negative* no more.
    pub returning: u64,
}

impl ClaimCount {
    pub(crate) fn add(&mut self, other: ClaimCount) {
        self.reports += other.reports;
        self.keys += other.keys;
        self.live += other.live;
        self.changes += other.changes;
        self.returning += other.returning;
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys == 0 && self.changes == 0
    }
}

/// Who claims keys, and when.
struct Claimant {
    report: u64,
    /// Sequence number of the event that brings the claims.
    seq: u64,
    /// Sequence number of the event that brought the grant they stand on.
    under: u64,
    received: u64,
    decoy: bool,
}

/// What is taken back or brought back of one report.
#[derive(Debug)]
pub(crate) struct Chosen {
    report: u64,
    /// The keys whose claims are meant.
    keys: Vec<Handle>,
    /// The changes of its type that are meant, by the event that brought them.
    changes: Vec<u64>,
}

impl SetState {
    pub(crate) fn reported(&mut self, seq: u64, received: u64, r: &Reported) {
        self.by_id.insert(r.report, seq);
        self.received.entry(interval_of(received)).or_default().push(seq);
        if r.is_decoy() {
            self.decoys.insert(seq);
        }
        let from = Claimant { report: seq, seq, under: seq, received, decoy: r.is_decoy() };
        let (keys, released) = self.claim(&from, &r.keys);
        let record = ReportRecord {
            report: r.report,
            warrant: Warrant { seq, received, provider: r.provider, grant: r.grant },
            keys,
            authored: r.authored.clone().map(Box::new),
            later: Vec::new(),
            changes: Vec::new(),
            released,
            withdrawn: false,
        };
        self.reports.insert(seq, record);
    }

    /// Adds claims; a key that is public already changes nothing there. Returns the keys, and the newest
    /// release that brought one of them, 0 for none: a report whose key is live when it is claimed is
    /// released without a release of its own (spec 7.6.2).
    fn claim(&mut self, from: &Claimant, keys: &[ReportedKey]) -> (Vec<Handle>, u32) {
        let Claimant { report, seq, under, received, decoy } = *from;
        let (handles, mut released) = (self.keys.open(keys.iter().map(|k| &k.key)), 0);
        for (k, at) in keys.iter().zip(&handles) {
            let mut claim = Claim::new(report, received, k.fields, k.embargo_end, decoy);
            if (seq, under) != (report, report) {
                claim.change(|course| (course.seq, course.under) = (seq, under));
            }
            self.ends.entry(end_of(&k.fields)).or_default().push(*at);
            let state = &mut self.keys[*at];
            state.claims.push(claim);
            released = released.max(state.live().map_or(0, |entry| entry.add_serial));
            self.settle(*at, None);
        }
        (handles, released)
    }

    /// A report whose claim stands again on a key that is live is released by that, too.
    fn sees(&mut self, report: u64, at: Handle) {
        if let Some(entry) = self.keys[at].live()
            && let Some(record) = self.reports.get_mut(&report)
        {
            record.released = record.released.max(entry.add_serial);
        }
    }

    pub(crate) fn amended(&mut self, seq: u64, at: u64, a: &Amended) {
        let Some(record) = self.reports.get_mut(&a.report) else { return };
        record.later.push(Later { seq, time: at, kind: RequestKind::Amend, told: a.told.clone() });
        if let Some(report_type) = a.report_type {
            let warrant = Warrant { seq, received: at, provider: a.provider, grant: a.grant };
            record.changes.push(Change { warrant, report_type, taken_back: Vec::new() });
            self.restate(a.report, at, false);
            self.tell_whether_withdrawn(a.report);
        }
        self.claim_more(seq, at, a);
    }

    /// The keys that come with an amendment.
    fn claim_more(&mut self, seq: u64, received: u64, a: &Amended) {
        let Some(record) = self.reports.get(&a.report).filter(|_| !a.keys.is_empty()) else { return };
        let (under, decoy) = (record.stands_on().seq, self.decoys.contains(&a.report));
        let from = Claimant { report: a.report, seq, under, received, decoy };
        let (keys, released) = self.claim(&from, &a.keys);
        if let Some(record) = self.reports.get_mut(&a.report) {
            record.keys.extend(keys);
            record.released = record.released.max(released);
            record.withdrawn = false;
        }
    }

    /// The author of a report cancelled it.
    pub(crate) fn cancelled(&mut self, seq: u64, at: u64, report: u64, told: &Told) {
        if let Some(record) = self.reports.get_mut(&report) {
            record.later.push(Later { seq, time: at, kind: RequestKind::Cancel, told: told.clone() });
        }
    }

    /// Makes every claim say what its report says now. A revised entry is a new entry: the old one leaves,
    /// the key waits with its new fields; of a report that says *negative* no claim stands.
    fn restate(&mut self, report: u64, at: u64, urgent: bool) {
        let Some(record) = self.reports.get(&report) else { return };
        let Some(report_type) = record.report_type().map(ReportType::number) else { return };
        for key in record.keys.clone() {
            let other = |claim: &&mut Claim| claim.report == report && claim.fields.report != report_type;
            let Some(claim) = self.keys[key].claims.iter_mut().find(other) else { continue };
            claim.fields.report = report_type;
            claim.change(|course| course.since = at);
            if claim.stands() {
                self.sees(report, key);
            }
            self.settle(key, Some(Leaving { report, urgent, since: at }));
        }
    }

    fn tell_whether_withdrawn(&mut self, report: u64) {
        let withdrawn = !self.stands(report);
        if let Some(record) = self.reports.get_mut(&report).filter(|record| !record.keys.is_empty()) {
            record.withdrawn = withdrawn;
        }
    }

    /// What a scope covers, what other operators' events took among it: whoever undoes these brings back only
    /// what no other took. What its author took back is nobody's. Decoys are only ever covered by their keys.
    ///
    /// A withdrawal of everything after an event makes nothing public: a report that became *negative* stays
    /// so.
    pub(crate) fn covered(&self, scope: &Scope) -> Vec<Chosen> {
        let claims = |key: Handle, claim: &Claim, record: &ReportRecord| {
            !claim.is_cancelled() && scope.covers(&self.facts(self.keys.key(key), claim, record))
        };
        let stays = |change: &Change| {
            matches!(scope, Scope::After { .. }) && change.report_type == ReportType::Negative
        };
        let changes = |change: &Change| scope.covers_grant(&change.warrant) && !stays(change);
        self.chosen(self.candidates(scope), claims, changes)
    }

    /// The reports of which a scope may cover something.
    fn candidates(&self, scope: &Scope) -> Vec<u64> {
        match scope {
            Scope::Report { report } if self.decoys.contains(report) => Vec::new(),
            Scope::Report { report } => vec![*report],
            Scope::Key { key, .. } => {
                self.keys.get(key).map(|k| k.claims.iter().map(|c| c.report).collect()).unwrap_or_default()
            }
            Scope::Batch { .. } | Scope::Provider { .. } | Scope::After { .. } | Scope::Signer { .. } => {
                self.reports.keys().filter(|seq| !self.decoys.contains(seq)).copied().collect()
            }
        }
    }

    /// The claims and changes of these reports that are meant.
    fn chosen(
        &self,
        reports: Vec<u64>,
        claims: impl Fn(Handle, &Claim, &ReportRecord) -> bool,
        changes: impl Fn(&Change) -> bool,
    ) -> Vec<Chosen> {
        let of_report = |report: u64| {
            let record = self.reports.get(&report)?;
            let of_key = |key: &&Handle| {
                let known = &self.keys[**key].claims;
                known.iter().any(|claim| claim.report == report && claims(**key, claim, record))
            };
            let keys: Vec<Handle> = record.keys.iter().filter(of_key).copied().collect();
            let changes = record.changes.iter().filter(|c| changes(c)).map(|c| c.warrant.seq);
            let chosen = Chosen { report, keys, changes: changes.collect() };
            (!chosen.keys.is_empty() || !chosen.changes.is_empty()).then_some(chosen)
        };
        reports.into_iter().filter_map(of_report).collect()
    }

    fn facts(&self, key: &Key, claim: &Claim, record: &ReportRecord) -> ClaimFacts {
        let Course { seq, under, .. } = claim.course();
        let Warrant { provider, grant, .. } = *record.brought_by(under);
        let warrant = Warrant { seq, received: claim.received, provider, grant };
        ClaimFacts { set: self.id, key: *key, report: claim.report, warrant }
    }

    /// What a withdrawal or its undoing would change of these: what no other event took.
    pub(crate) fn count(&self, chosen: &[Chosen], by: Option<u64>) -> ClaimCount {
        let mine = |taken: &[u64]| taken.iter().all(|seq| Some(*seq) == by);
        let (mut keys, mut count) = (BTreeSet::new(), ClaimCount::default());
        for Chosen { report, keys: meant, changes } in chosen {
            let Some(record) = self.reports.get(report) else { continue };
            let claim =
                |key: &&Handle| self.claim_of(*report, **key).is_some_and(|claim| mine(claim.taken_back()));
            let of_report: Vec<Handle> = meant.iter().filter(claim).copied().collect();
            let known = record.changes.iter().filter(|c| changes.contains(&c.warrant.seq));
            let of_type = known.filter(|change| mine(&change.taken_back)).count() as u64;
            count.reports += u64::from(!of_report.is_empty() || of_type > 0);
            count.changes += of_type;
            count.returning += if by.is_none() { self.returning(record, *report, meant, changes) } else { 0 };
            keys.extend(of_report);
        }
        count.keys = keys.len() as u64;
        count.live = keys.iter().filter(|key| self.keys[**key].live().is_some()).count() as u64;
        count
    }

    fn claim_of(&self, report: u64, key: Handle) -> Option<&Claim> {
        self.keys[key].claims.iter().find(|claim| claim.report == report)
    }

    /// Keys of a report that stand again once these changes and the claims on `gone` are taken back.
    fn returning(&self, record: &ReportRecord, report: u64, gone: &[Handle], changes: &[u64]) -> u64 {
        let negative = Some(ReportType::Negative);
        if record.report_type() != negative || record.report_type_without(changes) == negative {
            return 0;
        }
        let back =
            |key: &&Handle| !gone.contains(key) && self.claim_of(report, **key).is_some_and(Claim::is_there);
        record.keys.iter().filter(back).count() as u64
    }

    /// Takes claims and changes back at `at`; returns the provider of each claim that nobody had taken.
    pub(crate) fn take_back(&mut self, chosen: &[Chosen], taker: Taker, at: u64, urgent: bool) -> Vec<u32> {
        let mut providers = Vec::new();
        for Chosen { report, keys, changes } in chosen {
            for key in keys {
                let Some(claim) = self.keys[*key].claims.iter_mut().find(|c| c.report == *report) else {
                    continue;
                };
                if claim.is_there() {
                    providers.extend(
                        self.reports.get(report).map(|r| r.brought_by(claim.course().under).provider),
                    );
                }
                match taker {
                    Taker::Author => claim.change(|course| course.cancelled = true),
                    Taker::Operator(seq) => claim.change(|course| course.taken_back.push(seq)),
                }
                self.settle(*key, Some(Leaving { report: *report, urgent, since: at }));
            }
            if let Taker::Operator(seq) = taker {
                self.changes_mut(*report, changes).for_each(|change| change.taken_back.push(seq));
            }
            self.restate(*report, at, urgent);
            self.tell_whether_withdrawn(*report);
        }
        providers
    }

    fn changes_mut<'s>(&'s mut self, report: u64, meant: &'s [u64]) -> impl Iterator<Item = &'s mut Change> {
        let changes = self.reports.get_mut(&report).map(|record| &mut record.changes[..]).unwrap_or_default();
        changes.iter_mut().filter(|change| meant.contains(&change.warrant.seq))
    }

    /// Whether any claim of a report stands.
    fn stands(&self, report: u64) -> bool {
        let keys = self.reports.get(&report).map(|r| &r.keys[..]).unwrap_or_default();
        let mut claims = keys.iter().flat_map(|key| &*self.keys[*key].claims);
        claims.any(|claim| claim.report == report && claim.stands())
    }

    /// What an operator's event took back and nobody undid.
    pub(crate) fn taken_by(&self, seq: u64) -> Vec<Chosen> {
        let reports = self.reports.keys().copied().collect();
        let claims = |_: Handle, claim: &Claim, _: &ReportRecord| {
            !claim.is_cancelled() && claim.taken_back().contains(&seq)
        };
        self.chosen(reports, claims, |change| change.taken_back.contains(&seq))
    }

    /// Undoes what an operator's event took. A claim that no other took comes back as the newest of its key,
    /// always as a new entry; a change of type holds again.
    pub(crate) fn reinstate(&mut self, chosen: &[Chosen], seq: u64, at: u64) {
        for Chosen { report, keys, changes } in chosen {
            self.changes_mut(*report, changes).for_each(|change| change.taken_back.retain(|by| *by != seq));
            for key in keys {
                self.reinstate_claim(*report, *key, seq, at);
            }
            self.restate(*report, at, false);
            self.tell_whether_withdrawn(*report);
        }
    }

    fn reinstate_claim(&mut self, report: u64, key: Handle, seq: u64, at: u64) {
        let claims = &mut self.keys[key].claims;
        let Some(place) = claims.iter().position(|claim| claim.report == report) else { return };
        let claim = &mut claims[place];
        claim.change(|course| course.taken_back.retain(|by| *by != seq));
        if !claim.is_there() {
            return;
        }
        claim.change(|course| course.since = at);
        let stands = claim.stands();
        claims.move_last(place);
        if stands {
            self.sees(report, key);
        }
        self.settle(key, None);
    }

    /// Brings a key in order after its claims changed. It waits if a claim stands and what is public is not
    /// what that claim says; what is public leaves if it is not what the first claim says, or when it was to
    /// leave already. `cause`: who made it leave.
    pub(super) fn settle(&mut self, at: Handle, cause: Option<Leaving>) {
        let (state, key) = (&self.keys[at], self.keys.key(at));
        let first = state.first();
        let next = first.map(Pending::of);
        if let Some(entry) = state.live() {
            let fits = first.is_some_and(|claim| claim.fields == entry.fields);
            if let Some(cause) = cause.filter(|_| !fits) {
                let urgent = cause.urgent;
                self.leaving.entry(*key).or_insert(cause).urgent |= urgent;
            }
            if !self.leaving.contains_key(key) {
                self.keys.wait_for(at, None);
                return;
            }
        }
        self.keys.wait_for(at, next);
    }
}
