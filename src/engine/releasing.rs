//! Deciding a release: what comes in, what leaves, what waits, and who keeps them company.
//!
//! unlinkable: nothing leaves its embargo early, and no release adds or withdraws one report's
//! keys alone. With decoys on, the writer adds reports made of random keys, shaped like the real
//! ones they accompany; with them off, small changes wait.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Changes, DECOY_PROVIDER, Released, Reported, ReportedKey};
use super::random::Random;
use super::set::{Pending, SetState, start_day};
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
    let unexpired = |p: &Pending| time::is_live(p.fields.start, p.fields.period, horizon);
    let coming: Vec<&Pending> =
        set.pending.values().filter(|p| unexpired(p) && p.embargo_end <= time).collect();
    let embargoed = set.pending.values().filter(|p| unexpired(p) && p.embargo_end > time).count();
    let mut held = Held { embargo: clamp(embargoed), minimum: 0 };
    let mut release = Released {
        set: set.id,
        serial: set.serial + 1,
        time,
        horizon,
        bits: 0,
        admit: !coming.is_empty(),
        withdraw: !set.leaving.is_empty(),
        forced: occasion != Occasion::Interval,
        decoys_leaving: Vec::new(),
        changes: Changes::default(),
    };
    let alone = matches!(occasion, Occasion::Now { allow_small: true });
    let mut decoys = Vec::new();
    if !set.params.decoys && !alone {
        hold_small(set, &coming, time, &mut release, &mut held);
    } else if set.params.decoys && !alone {
        if release.admit {
            decoys = company(set, &coming, random);
        }
        if release.withdraw {
            let missing = set.params.min_reports.saturating_sub(reports_leaving(set));
            release.decoys_leaving = draw_leaving(set, missing as usize, random);
            release.forced |= release.decoys_leaving.len() < missing as usize;
        }
    }
    Plan { decoys, release, held }
}

fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn reports_leaving(set: &SetState) -> u32 {
    clamp(set.leaving.values().map(|l| l.report).collect::<BTreeSet<_>>().len())
}

/// With decoys off, a change of fewer than the minimum of reports waits, at most `max_wait_s`.
fn hold_small(set: &SetState, coming: &[&Pending], time: u64, release: &mut Released, held: &mut Held) {
    let waited = |since: Option<u64>| since.is_some_and(|s| s + u64::from(set.params.max_wait_s) <= time);
    let coming_reports = clamp(coming.iter().map(|p| p.report).collect::<BTreeSet<_>>().len());
    if release.admit && coming_reports < set.params.min_reports {
        release.admit = waited(coming.iter().map(|p| p.since).min());
        release.forced |= release.admit;
        if !release.admit {
            held.minimum += clamp(coming.len());
        }
    }
    if release.withdraw && reports_leaving(set) < set.params.min_reports {
        let urgent = set.leaving.values().any(|l| l.urgent);
        release.withdraw = urgent || waited(set.leaving.values().map(|l| l.since).min());
        release.forced |= release.withdraw;
        if !release.withdraw {
            held.minimum += clamp(set.leaving.len());
        }
    }
}

/// Decoys for the reports that come in: enough that the release has `min_reports` reports, and that each
/// start day it touches holds `min_reports` live decoy keys, so that later withdrawals find company too.
fn company(set: &SetState, coming: &[&Pending], random: &mut dyn Random) -> Vec<Reported> {
    let mut templates: BTreeMap<u64, Template> = BTreeMap::new();
    for p in coming.iter().filter(|p| !p.decoy) {
        templates.entry(p.report).or_default().push((p.fields, p.embargo_end));
    }
    let templates: Vec<Template> = templates.into_values().collect();
    let mut by_day: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (i, template) in templates.iter().enumerate() {
        let days: BTreeSet<u32> = template.iter().map(|(f, _)| start_day(f.start)).collect();
        for day in days {
            by_day.entry(day).or_default().push(i);
        }
    }
    let mut live = set.decoys_live.clone();
    let mut decoys = Vec::new();
    for (day, having) in &by_day {
        while live.get(day).copied().unwrap_or(0) < set.params.min_reports {
            let template = &templates[having[random.below(having.len())]];
            for (fields, _) in template {
                *live.entry(start_day(fields.start)).or_default() += 1;
            }
            decoys.push(decoy_like(set, template, random));
        }
    }
    while !templates.is_empty() && clamp(templates.len() + decoys.len()) < set.params.min_reports {
        let template = &templates[random.below(templates.len())];
        decoys.push(decoy_like(set, template, random));
    }
    decoys
}

/// A report of random keys with the metadata of a real one: in public nothing tells them apart.
fn decoy_like(set: &SetState, template: &Template, random: &mut dyn Random) -> Reported {
    let mut report = [0; 16];
    random.fill(&mut report);
    let keys = template
        .iter()
        .map(|(fields, embargo_end)| {
            let mut bytes = [0; 32];
            let bytes = &mut bytes[..set.params.schema.key_len()];
            random.fill(bytes);
            let key = Key::from_slice(bytes).expect("a schema's keys have 16 or 32 bytes");
            ReportedKey { key, fields: *fields, embargo_end: *embargo_end }
        })
        .collect();
    Reported { set: set.id, provider: DECOY_PROVIDER, report, keys }
}

/// Up to `n` decoy reports with a live key, drawn at random, in the order of their events.
fn draw_leaving(set: &SetState, n: usize, random: &mut dyn Random) -> Vec<u64> {
    let is_live = |key: &Key| set.keys.get(key).is_some_and(|k| k.live().is_some());
    let mut candidates: Vec<u64> =
        set.decoys.iter().copied().filter(|seq| set.reports[seq].keys.iter().any(is_live)).collect();
    let mut drawn = BTreeSet::new();
    while drawn.len() < n && !candidates.is_empty() {
        drawn.insert(candidates.swap_remove(random.below(candidates.len())));
    }
    drawn.into_iter().collect()
}
