//! Deciding a release: what comes in, what leaves, what waits, and who keeps them company.
//!
//! unlinkable: nothing leaves its embargo early, and no release adds or withdraws one report's
//! keys alone. With decoys on, the writer adds reports made of random keys, shaped like the real
//! ones they accompany, and lets some of them go when few others do; what finds no company waits.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Changes, DECOY_PROVIDER, Released, Reported, ReportedKey};
use super::random::Random;
use super::set::{Leaving, Pending, SetState, start_day};
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

type Template = Vec<(crate::release::Fields, u64)>;

/// Plans the next release of `set` at `now` (Unix seconds).
pub(crate) fn plan(set: &SetState, now: u64, occasion: Occasion, random: &mut dyn Random) -> Plan {
    // fail-stop: time never moves back, whatever the clock says.
    let time = now.max(set.time);
    let horizon = set.horizon_at(time);
    let unexpired = |p: &&Pending| time::is_live(p.fields.start, p.fields.period, horizon);
    let embargoed = set.pending.values().filter(unexpired).filter(|p| p.embargo_end > time).count();
    let mut planning = Planning {
        set,
        small_allowed: matches!(occasion, Occasion::Now { allow_small: true }),
        held: Held { embargo: clamp(embargoed), minimum: 0 },
        decoys: Vec::new(),
        release: Released {
            set: set.id,
            serial: set.serial + 1,
            time,
            horizon,
            bits: 0,
            admit: false,
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
        let missing = set.params.min_reports.saturating_sub(clamp(present.len()));
        if leaving.is_empty() || self.small_allowed || missing == 0 {
            return;
        }
        if set.params.decoys {
            self.release.decoys_leaving = self.draw_leaving(missing as usize, &present, random);
        }
        if clamp(self.release.decoys_leaving.len()) == missing {
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
        let Released { time, horizon, withdraw, .. } = self.release;
        let coming: Vec<&Pending> = self.set.ready(time, horizon, withdraw).map(|(_, p)| p).collect();
        self.release.admit = !coming.is_empty();
        if coming.is_empty() || self.small_allowed {
            return;
        }
        if self.set.params.decoys {
            self.decoys = self.company(&coming, random);
        } else if reports(coming.iter().map(|p| p.report)) < self.set.params.min_reports {
            self.release.admit = self.has_waited(coming.iter().map(|p| p.since));
            self.release.forced |= self.release.admit;
            if !self.release.admit {
                self.held.minimum += clamp(coming.len());
            }
        }
    }

    /// Whether the first of a small change has waited for company long enough.
    fn has_waited(&self, since: impl Iterator<Item = u64>) -> bool {
        let max_wait = u64::from(self.set.params.max_wait_s);
        since.min().is_some_and(|s| s.saturating_add(max_wait) <= self.release.time)
    }

    /// The decoy reports that are live after this release, with the days their live keys start on.
    fn decoys_staying(&self) -> impl Iterator<Item = (u64, BTreeSet<u32>)> {
        let (set, horizon, leaving) = (self.set, self.release.horizon, &self.release.decoys_leaving);
        let withdraw = self.release.withdraw;
        set.decoys.iter().filter(|seq| leaving.binary_search(seq).is_err()).map(move |seq| {
            // A decoy's key that an operator withdrew is no company once it has left.
            let leaves = |key: &&Key| withdraw && set.leaving.contains_key(*key);
            let live =
                set.reports[seq].keys.iter().filter(|key| set.is_unexpired(key, horizon) && !leaves(key));
            let days = live.filter_map(|key| Some(start_day(set.keys.get(key)?.live()?.fields.start)));
            (*seq, days.collect())
        })
    }

    /// Up to `n` decoy reports other than those in `present` whose live keys nobody else claims, drawn at
    /// random, in the order of their events.
    fn draw_leaving(&self, n: usize, present: &BTreeSet<u64>, random: &mut dyn Random) -> Vec<u64> {
        let set = self.set;
        let alone = |key: &Key| set.keys.get(key).is_some_and(|k| k.claims.len() == 1);
        let mut candidates: Vec<u64> = self
            .decoys_staying()
            .filter(|(seq, days)| !days.is_empty() && !present.contains(seq))
            .filter(|(seq, _)| set.reports[seq].keys.iter().all(alone))
            .map(|(seq, _)| seq)
            .collect();
        let mut drawn = BTreeSet::new();
        while drawn.len() < n && !candidates.is_empty() {
            drawn.insert(candidates.swap_remove(random.below(candidates.len())));
        }
        drawn.into_iter().collect()
    }

    /// Decoys for the reports that come in: enough that the release has `min_reports` reports, and that
    /// each start day it touches holds `min_reports` live decoy reports, so that later withdrawals find
    /// company too.
    fn company(&self, coming: &[&Pending], random: &mut dyn Random) -> Vec<Reported> {
        let wanted = self.set.params.min_reports;
        let mut templates: BTreeMap<u64, Template> = BTreeMap::new();
        for p in coming.iter().filter(|p| !p.decoy) {
            templates.entry(p.report).or_default().push((p.fields, p.embargo_end));
        }
        let templates: Vec<Template> = templates.into_values().collect();
        let mut by_day: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (i, template) in templates.iter().enumerate() {
            for day in days_of(template) {
                by_day.entry(day).or_default().push(i);
            }
        }
        let mut live: BTreeMap<u32, u32> = BTreeMap::new();
        for (_, days) in self.decoys_staying() {
            days.into_iter().for_each(|day| *live.entry(day).or_default() += 1);
        }
        let mut decoys = Vec::new();
        for (day, having) in &by_day {
            while live.get(day).copied().unwrap_or(0) < wanted {
                let template = &templates[having[random.below(having.len())]];
                days_of(template).into_iter().for_each(|day| *live.entry(day).or_default() += 1);
                decoys.push(self.decoy_like(template, random));
            }
        }
        let present = reports(coming.iter().map(|p| p.report));
        while !templates.is_empty() && present.saturating_add(clamp(decoys.len())) < wanted {
            let template = &templates[random.below(templates.len())];
            decoys.push(self.decoy_like(template, random));
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

/// The days on which a report's keys start.
fn days_of(template: &Template) -> BTreeSet<u32> {
    template.iter().map(|(fields, _)| start_day(fields.start)).collect()
}
