//! Deciding a release: what comes in, what leaves, what waits, and who keeps them company.
//!
//! unlinkable: nothing leaves its embargo early, and no release adds or withdraws one report's
//! keys alone. With decoys on, the writer adds reports made of random keys, with the fields of the
//! real ones they accompany, and lets those go with them that came with them; what finds no
//! company waits.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Changes, DECOY_PROVIDER, Released, Reported, ReportedKey};
use super::random::Random;
use super::set::{KeyState, Leaving, Pending, SetState};
use crate::release::Fields;
use crate::time;
use crate::wire::Key;

/// Why a release is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The interval is over.
    Interval,
    /// An operator asked for it.
    Now {
        /// Without company, however small.
        allow_small: bool,
    },
}

/// Keys that were ready or nearly so and did not go out, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Their embargo has not ended.
    pub embargo: u32,
    /// They wait for company.
    pub minimum: u32,
}

/// A release as planned: decoys to add first, then the release itself with its counts still open.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) decoys: Vec<Reported>,
    pub(crate) release: Released,
    pub(crate) held: Held,
}

/// Fields and end of embargo of the keys of a report that come in.
type Template = Vec<(Fields, u64)>;
/// What the public can tell a live key by: when it came in, and its fields.
type Kind = (u32, Fields);

/// Plans the next release of `set` at `now` (Unix seconds).
pub(crate) fn plan(set: &SetState, now: u64, occasion: Occasion, random: &mut dyn Random) -> Plan {
    // fail-stop: time never moves back, whatever the clock says.
    let time = now.max(set.time);
    let horizon = set.horizon_at(time);
    let unexpired = |p: &&Pending| time::is_live(p.fields.start, p.fields.period, horizon);
    let waiting = set.keys.waiting().map(|(_, p)| p);
    let embargoed = waiting.filter(unexpired).filter(|p| p.embargo_end > now).count();
    let mut planning = Planning {
        set,
        now,
        small_allowed: matches!(occasion, Occasion::Now { allow_small: true }),
        held: Held { embargo: clamp(embargoed), minimum: 0 },
        decoys: Vec::new(),
        release: Released {
            set: set.id,
            serial: set.next_serial(),
            time,
            horizon,
            bits: 0,
            admit: 0,
            withdraw: false,
            forced: occasion != Occasion::Interval,
            decoys_leaving: Vec::new(),
            changes: Changes::default(),
        },
    };
    planning.plan_leaving(random);
    planning.plan_coming(random);
    let Planning { held, decoys, release, .. } = planning;
    Plan { decoys, release, held }
}

fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// How many different reports there are.
fn reports(of: impl Iterator<Item = u64>) -> u32 {
    clamp(of.collect::<BTreeSet<_>>().len())
}

struct Planning<'s> {
    set: &'s SetState,
    now: u64,
    small_allowed: bool,
    held: Held,
    decoys: Vec<Reported>,
    release: Released,
}

impl Planning<'_> {
    /// Decides whether withdrawn keys leave, and which decoys leave with them. What expires with this
    /// release leaves anyway and is no company.
    fn plan_leaving(&mut self, random: &mut dyn Random) {
        let set = self.set;
        let leaving: Vec<&Leaving> = set
            .leaving
            .iter()
            .filter(|(key, _)| set.is_unexpired(key, self.release.horizon))
            .map(|(_, l)| l)
            .collect();
        self.release.withdraw = !leaving.is_empty();
        let present: BTreeSet<u64> = leaving.iter().map(|l| l.report).collect();
        if leaving.is_empty() || self.small_allowed {
            return;
        }
        let missing = set.params.min_reports.saturating_sub(clamp(present.len()));
        if set.params.decoys {
            self.release.decoys_leaving = self.draw_leaving(missing, &present, random);
        }
        if clamp(self.release.decoys_leaving.len()) >= missing {
            return;
        }
        let urgent = leaving.iter().any(|l| l.urgent);
        if urgent || self.has_waited(leaving.iter().map(|l| l.since)) {
            self.release.forced = true;
        } else {
            self.release.withdraw = false;
            self.release.decoys_leaving.clear();
            self.held.minimum += clamp(leaving.len());
        }
    }

    /// Decides whether ready keys come in, and which decoys come with them.
    fn plan_coming(&mut self, random: &mut dyn Random) {
        let Released { horizon, withdraw, .. } = self.release;
        let keys = &self.set.keys;
        let ready = keys.sorted(self.set.ready(self.now, horizon, withdraw));
        let coming: Vec<&Pending> = ready.into_iter().filter_map(|at| keys.waits_for(at)).collect();
        if coming.is_empty() {
            return;
        }
        self.release.admit = self.now;
        if self.small_allowed {
            return;
        }
        if self.set.params.decoys {
            self.decoys = self.company(&coming, random);
        } else if reports(coming.iter().map(|p| p.report)) < self.set.params.min_reports {
            if self.has_waited(coming.iter().map(|p| p.since)) {
                self.release.forced = true;
            } else {
                self.release.admit = 0;
                self.held.minimum += clamp(coming.len());
            }
        }
    }

    /// Whether the first of a small change has waited for company long enough.
    fn has_waited(&self, since: impl Iterator<Item = u64>) -> bool {
        let max_wait = u64::from(self.set.params.max_wait_s);
        since.min().is_some_and(|s| s.saturating_add(max_wait) <= self.release.time)
    }

    /// Decoy reports other than those in `present` whose live keys nobody else claims, in the order of their
    /// events: those of the kinds that leave, then any, up to `missing`.
    fn draw_leaving(&self, missing: u32, present: &BTreeSet<u64>, random: &mut dyn Random) -> Vec<u64> {
        let set = self.set;
        let leaving = self.kinds_leaving();
        let serials: BTreeSet<u32> = leaving.keys().map(|(serial, _)| *serial).collect();
        let (mut twins, mut rest) = (Vec::new(), Vec::new());
        for seq in set.decoys.iter().filter(|seq| !present.contains(seq)) {
            // All keys of a decoy came in with the same release.
            let kinds = Some(seq).filter(|seq| serials.contains(&set.reports[seq].released));
            let kinds = kinds.and_then(|seq| self.kinds_of_decoy(*seq));
            match kinds.filter(|kinds| kinds.iter().all(|kind| leaving.contains_key(kind))) {
                Some(kinds) => twins.push((*seq, kinds)),
                None => rest.push(*seq),
            }
        }
        let mut wanted = self.twins_wanted(&leaving, &twins);
        let (mut drawn, mut last) = (BTreeSet::new(), Vec::new());
        while !twins.is_empty() {
            let (seq, kinds) = twins.swap_remove(random.below(twins.len()));
            if kinds.iter().all(|kind| wanted[kind] == 0) {
                last.push(seq);
                continue;
            }
            drawn.insert(seq);
            for kind in kinds {
                wanted.entry(kind).and_modify(|n| *n = n.saturating_sub(1));
            }
        }
        while drawn.len() < missing as usize && !rest.is_empty() {
            let seq = rest.swap_remove(random.below(rest.len()));
            drawn.extend(self.kinds_of_decoy(seq).map(|_| seq));
        }
        // Whoever stays needs the twins that are left: they go last.
        let more = (missing as usize).saturating_sub(drawn.len());
        drawn.extend(last.into_iter().take(more));
        drawn.into_iter().collect()
    }

    /// The kinds of key that leave, with the reports they leave for.
    fn kinds_leaving(&self) -> BTreeMap<Kind, BTreeSet<u64>> {
        let (set, horizon) = (self.set, self.release.horizon);
        let mut leaving: BTreeMap<Kind, BTreeSet<u64>> = BTreeMap::new();
        for (key, cause) in set.leaving.iter().filter(|(key, _)| set.is_unexpired(key, horizon)) {
            if let Some(entry) = set.keys.get(key).and_then(KeyState::live) {
                leaving.entry((entry.add_serial, entry.fields)).or_default().insert(cause.report);
            }
        }
        leaving
    }

    /// The kinds of a decoy's live keys; none if it has no such keys, if somebody else claims one, or if
    /// one waits to come back.
    fn kinds_of_decoy(&self, seq: u64) -> Option<BTreeSet<Kind>> {
        let (set, horizon) = (self.set, self.release.horizon);
        let mut kinds = BTreeSet::new();
        for at in &set.reports[&seq].keys {
            let waits = set.keys.waits_for(*at).is_some();
            let state = Some(&set.keys[*at]).filter(|state| state.claims.len() == 1 && !waits)?;
            let live = state.live().filter(|e| time::is_live(e.fields.start, e.fields.period, horizon));
            kinds.extend(live.map(|e| (e.add_serial, e.fields)));
        }
        Some(kinds).filter(|kinds| !kinds.is_empty())
    }

    /// How many decoys are to leave of each kind that leaves: all, but where reports of the kind stay, half
    /// of its decoys stay with them.
    fn twins_wanted(
        &self,
        leaving: &BTreeMap<Kind, BTreeSet<u64>>,
        twins: &[(u64, BTreeSet<Kind>)],
    ) -> BTreeMap<Kind, u32> {
        let set = self.set;
        let real = set.reports.iter().filter(|(seq, _)| !set.decoys.contains(seq));
        let keys = real.flat_map(|(_, record)| &record.keys);
        let stay = keys.filter(|at| !set.leaving.contains_key(set.keys.key(**at)));
        let staying: BTreeSet<Kind> = stay
            .filter_map(|at| set.keys[*at].live())
            .map(|e| (e.add_serial, e.fields))
            .filter(|kind| leaving.contains_key(kind))
            .collect();
        let mut there: BTreeMap<Kind, u32> = BTreeMap::new();
        for kind in twins.iter().flat_map(|(_, kinds)| kinds) {
            *there.entry(*kind).or_default() += 1;
        }
        let wanted = |(kind, reports): (&Kind, &BTreeSet<u64>)| {
            let there = there.get(kind).copied().unwrap_or(0);
            let missing = set.params.min_reports.saturating_sub(clamp(reports.len()));
            (*kind, if staying.contains(kind) { missing.min(there / 2) } else { there })
        };
        leaving.iter().map(wanted).collect()
    }

    /// Decoys for the reports that come in: `min_reports` for all fields that a key comes in with. Whoever
    /// sees that two keys differ in their fields still has so many to choose from, and later withdrawals find
    /// company that came in with them. A decoy is like those of a report's keys that the same reports have
    /// the like of, so that it can leave with any of these.
    fn company(&self, coming: &[&Pending], random: &mut dyn Random) -> Vec<Reported> {
        let mut templates: BTreeMap<u64, Template> = BTreeMap::new();
        // A decoy's key that was reinstated needs company as well if nothing else comes.
        let real = coming.iter().any(|p| !p.decoy);
        for p in coming.iter().filter(|p| !(real && p.decoy)) {
            templates.entry(p.report).or_default().push((p.fields, p.embargo_end));
        }
        let mut holders: BTreeMap<Fields, BTreeSet<u64>> = BTreeMap::new();
        for (report, template) in &templates {
            for (fields, _) in template {
                holders.entry(*fields).or_default().insert(*report);
            }
        }
        let mut parts: BTreeMap<&BTreeSet<u64>, BTreeSet<Fields>> = BTreeMap::new();
        for (fields, reports) in &holders {
            parts.entry(reports).or_default().insert(*fields);
        }
        let mut decoys = Vec::new();
        for (reports, part) in parts {
            let reports: Vec<&u64> = reports.iter().collect();
            for _ in 0..self.set.params.min_reports {
                let template = templates[reports[random.below(reports.len())]].iter();
                let like = template.filter(|(fields, _)| part.contains(fields)).copied().collect();
                decoys.push(self.decoy_like(&like, random));
            }
        }
        decoys
    }

    /// A report of random keys with the metadata of a real one: in public nothing tells them apart.
    fn decoy_like(&self, template: &Template, random: &mut dyn Random) -> Reported {
        let mut report = [0; 16];
        random.fill(&mut report);
        let keys = template
            .iter()
            .map(|(fields, embargo_end)| {
                let mut bytes = [0; 32];
                let bytes = &mut bytes[..self.set.params.schema.key_len()];
                random.fill(bytes);
                let key = Key::from_slice(bytes).expect("a schema's keys have 16 or 32 bytes");
                ReportedKey { key, fields: *fields, embargo_end: *embargo_end }
            })
            .collect();
        Reported::unauthored(self.set.id, DECOY_PROVIDER, report, keys)
    }
}
