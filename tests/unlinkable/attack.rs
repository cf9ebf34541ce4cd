//! The attacker: naive Bayes over what is public of two entries, and how well it does.
//!
//! It looks at one release at a time. An *anchor* is a key of a real report; a *partner* is another key of
//! that report, of another day; every other key of the partner's day in the same release, real or decoy, is a
//! *candidate*. Candidates of the partner's own day only: a report has one key a day, so that a day tells who
//! is no partner, which is no secret and would flatter the defence. Decoys are candidates and never anchors:
//! which decoys were made together is fiction, there is nobody behind them to be followed.
//!
//! The attacker learns from one half of the reports, with the truth, and is judged on the other half. Keys of
//! one report are not independent, nor are reports of one release: σ is that of a bootstrap over releases.

use std::collections::BTreeMap;

use tekd::engine::{Random, Seeded};
use tekd::release::{LIVE, ONSET_NONE, Schema};

use crate::world::{Entry, Seen};

const BOOTSTRAPS: usize = 300;
/// Days apart, or of age, from which on they count the same.
const MAX_DAYS: u32 = 15;
/// Values of one feature at most.
const VALUES: usize = 1 << 11;
const FEATURES: usize = 6;

/// Which releases of an entry are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Keys that came in together, as that release shows them.
    Added,
    /// The same, by somebody who has seen since which of them were withdrawn, and when.
    Hindsight,
    /// Keys that left together.
    Withdrawn,
    /// Keys that came in again, with other fields or taken back by mistake.
    Returned,
}

/// A mean with its standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Estimate {
    pub(crate) mean: f64,
    pub(crate) sigma: f64,
}

impl Estimate {
    /// Whether it is above the limit by more than three σ.
    pub(crate) fn exceeds(&self, limit: f64) -> bool {
        self.mean > limit + 3.0 * self.sigma + 1e-9
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.4} ± {:.4}", self.mean, self.sigma)
    }
}

/// How well the attacker does.
#[derive(Debug)]
pub(crate) struct Findings {
    /// Anchors with partners that were judged.
    pub(crate) pairs: usize,
    /// Over all pairs of a release with different days, days and all: what the metadata of a report and the
    /// number of keys a day tell.
    pub(crate) whole: Estimate,
    /// How often the partner is scored above a candidate.
    pub(crate) auc: Estimate,
    /// The same with candidates that have the partner's fields: what the server adds to the metadata.
    pub(crate) alike: Estimate,
    /// How often the best guess is the partner.
    pub(crate) guess: Estimate,
    /// The fewest keys of the partner's fields in its release, itself among them.
    pub(crate) crowd: usize,
}

type Pair = [usize; FEATURES];

struct Bayes(Vec<[[f64; 2]; VALUES]>);

impl Bayes {
    fn new() -> Self {
        Bayes(vec![[[1.0; 2]; VALUES]; FEATURES])
    }

    fn learn(&mut self, pair: &Pair, same: bool) {
        for (counts, value) in self.0.iter_mut().zip(pair) {
            counts[*value][usize::from(same)] += 1.0;
        }
    }

    /// From counts to log-likelihood ratios.
    fn finish(mut self) -> Self {
        for counts in &mut self.0 {
            let sums = counts.iter().fold([0.0; 2], |s, c| [s[0] + c[0], s[1] + c[1]]);
            for count in counts {
                *count = [(count[1] / sums[1]).ln() - (count[0] / sums[0]).ln(), 0.0];
            }
        }
        self
    }

    fn score(&self, pair: &Pair) -> f64 {
        // Rounded, so that equal evidence is a tie whatever order it was summed in.
        let sum: f64 = self.0.iter().zip(pair).map(|(ratios, value)| ratios[*value][0]).sum();
        (sum * 1e9).round()
    }
}

pub(crate) fn day(entry: &Entry) -> u32 {
    entry.fields.start / 144
}

/// What two entries of a release of `today` have in common, or not, as small numbers.
fn pair(schema: Schema, side: Side, today: u32, a: &Entry, b: &Entry) -> Pair {
    let (a, b) = if (day(a), a.key) <= (day(b), b.key) { (a, b) } else { (b, a) };
    let small = |n: u32| n.min(MAX_DAYS) as usize;
    let apart = small(day(b) - day(a));
    let (x, y) = (a.fields, b.fields);
    let period = match (x.period, y.period) {
        (144, 144) => 0,
        (p, q) if p == q => 1,
        (144, _) | (_, 144) => 2,
        _ => 3,
    };
    let serials = match side {
        Side::Added => [LIVE; 2],
        Side::Hindsight => [a.del, b.del],
        Side::Withdrawn => [a.add, b.add],
        Side::Returned => [a.again, b.again].map(|again| if again { 0 } else { LIVE }),
    };
    let serials = match serials {
        [LIVE, LIVE] => 0,
        [p, q] if p == q => 1,
        [LIVE, _] | [_, LIVE] => 2,
        _ => 3,
    };
    let of_onset = |e: &Entry| i64::from(day(e)) - i64::from(e.fields.onset);
    let onset = match (x.onset, y.onset) {
        _ if schema != Schema::GaenFull => 0,
        (ONSET_NONE, ONSET_NONE) => 1,
        (ONSET_NONE, _) | (_, ONSET_NONE) => 2,
        _ if of_onset(a) == of_onset(b) => 3,
        _ => 4,
    };
    let risks = usize::from(x.risk) * 9 + usize::from(y.risk);
    [
        apart * 16 + small(today - day(b)),
        usize::from(x.report) * 5 + usize::from(y.report),
        risks * 16 + apart,
        period,
        serials,
        onset,
    ]
}

/// Whether a report is one the attacker learns from.
fn is_taught(owner: usize) -> bool {
    // Fibonacci hashing: halves that have nothing to do with the order of reports.
    (owner as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 63 == 0
}

/// Sums of one release.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    hits: f64,
    weight: f64,
}

impl Sum {
    fn add(&mut self, hit: f64) {
        self.hits += hit;
        self.weight += 1.0;
    }
}

/// The mean over all releases, with the σ of a bootstrap over releases.
fn estimate(sums: &[Sum], seed: u64) -> Estimate {
    let mut random = Seeded::new(seed);
    let mean = |of: &mut dyn Iterator<Item = &Sum>| {
        let (hits, weight) = of.fold((0.0, 0.0), |(h, w), s| (h + s.hits, w + s.weight));
        hits / weight
    };
    let drawn: Vec<f64> = (0..BOOTSTRAPS)
        .map(|_| mean(&mut (0..sums.len()).map(|_| &sums[random.below(sums.len())])))
        .filter(|m| m.is_finite())
        .collect();
    let center = drawn.iter().sum::<f64>() / drawn.len() as f64;
    let variance = drawn.iter().map(|m| (m - center).powi(2)).sum::<f64>() / (drawn.len() as f64 - 1.0);
    Estimate { mean: mean(&mut sums.iter()), sigma: variance.sqrt() }
}

/// Entries by the release that brought or took them.
fn by_release(seen: &Seen, side: Side) -> BTreeMap<u32, Vec<&Entry>> {
    let mut releases: BTreeMap<u32, Vec<&Entry>> = BTreeMap::new();
    for entry in &seen.entries {
        let serial = match side {
            Side::Added | Side::Hindsight | Side::Returned => entry.add,
            Side::Withdrawn => entry.del,
        };
        if serial != LIVE {
            releases.entry(serial).or_default().push(entry);
        }
    }
    releases
}

/// Lets the attacker learn and judges it.
pub(crate) fn link(seen: &Seen, side: Side, seed: u64) -> Findings {
    let releases = by_release(seen, side);
    let bayes = learn(seen, side, &releases);
    let mut sums = [const { Vec::new() }; 4];
    let (mut pairs, mut crowd) = (0, usize::MAX);
    for (serial, entries) in &releases {
        let judged = judge(&bayes, seen.schema, side, seen.days[serial], entries);
        for (all, one) in sums.iter_mut().zip(judged.sums) {
            all.push(one);
        }
        pairs += judged.pairs;
        crowd = crowd.min(judged.crowd);
    }
    let [whole, auc, alike, guess] = sums.map(|sums| estimate(&sums, seed));
    Findings { pairs, whole, auc, alike, guess, crowd }
}

fn learn(seen: &Seen, side: Side, releases: &BTreeMap<u32, Vec<&Entry>>) -> Bayes {
    let mut bayes = Bayes::new();
    for (serial, entries) in releases {
        let today = seen.days[serial];
        for anchor in entries.iter().filter(|e| e.owner.is_some_and(is_taught)) {
            for other in entries.iter().filter(|e| day(e) != day(anchor)) {
                if other.owner.is_none_or(is_taught) {
                    let same = other.owner == anchor.owner;
                    bayes.learn(&pair(seen.schema, side, today, anchor, other), same);
                }
            }
        }
    }
    bayes.finish()
}

struct Judged {
    sums: [Sum; 4],
    pairs: usize,
    crowd: usize,
}

fn judge(bayes: &Bayes, schema: Schema, side: Side, today: u32, entries: &[&Entry]) -> Judged {
    let [mut auc, mut alike, mut guess] = [Sum::default(); 3];
    let (mut pairs, mut crowd) = (0, usize::MAX);
    let (mut same, mut different) = (Vec::new(), Vec::new());
    let judged = |e: &&&Entry| e.owner.is_some_and(|owner| !is_taught(owner));
    for anchor in entries.iter().filter(judged).filter(|e| e.again || side != Side::Returned) {
        let scored: Vec<(&Entry, f64)> = entries
            .iter()
            .filter(|e| day(e) != day(anchor))
            .map(|e| (*e, bayes.score(&pair(schema, side, today, anchor, e))))
            .collect();
        for (other, score) in &scored {
            let list = if other.owner == anchor.owner { &mut same } else { &mut different };
            list.push(*score);
        }
        for (partner, score) in scored.iter().filter(|(e, _)| e.owner == anchor.owner) {
            let candidates =
                || scored.iter().filter(|(e, _)| day(e) == day(partner) && e.owner != anchor.owner);
            let twins = || candidates().filter(|(e, _)| e.fields == partner.fields);
            pairs += 1;
            auc.add(rank(*score, candidates().map(|(_, s)| *s)));
            alike.add(rank(*score, twins().map(|(_, s)| *s)));
            let above = candidates().filter(|(_, s)| s > score).count();
            let level = candidates().filter(|(_, s)| s == score).count();
            guess.add(if above == 0 { 1.0 / (1.0 + level as f64) } else { 0.0 });
            crowd = crowd.min(1 + twins().count());
        }
    }
    let whole = mann_whitney(&mut same, &mut different);
    Judged { sums: [whole, auc, alike, guess], pairs, crowd }
}

/// The share of candidates that are scored below the partner, ties by half. Without candidates it is found.
fn rank(score: f64, candidates: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for other in candidates {
        sum += if score > other {
            1.0
        } else if score < other {
            0.0
        } else {
            0.5
        };
        n += 1.0;
    }
    if n > 0.0 { sum / n } else { 1.0 }
}

/// Mann–Whitney's U and the number of comparisons.
fn mann_whitney(same: &mut [f64], different: &mut [f64]) -> Sum {
    same.sort_unstable_by(f64::total_cmp);
    different.sort_unstable_by(f64::total_cmp);
    let hits = same
        .iter()
        .map(|s| {
            let below = different.partition_point(|d| d < s);
            let up_to = different.partition_point(|d| d <= s);
            below as f64 + (up_to - below) as f64 / 2.0
        })
        .sum();
    Sum { hits, weight: same.len() as f64 * different.len() as f64 }
}

/// How well decoys are told from real entries, within each release.
#[derive(Debug)]
pub(crate) struct Unmasked {
    /// By fields: how many decoys there are of some fields follows from how many reports have them.
    pub(crate) fields: Estimate,
    /// Among entries of equal fields, by the bytes of the key, as the release shows them.
    pub(crate) alike: Estimate,
    /// The same, by somebody who has seen since which of them were withdrawn.
    pub(crate) hindsight: Estimate,
}

/// Tells decoys from real entries: learns from every other release, is judged on the rest.
pub(crate) fn unmask(seen: &Seen, seed: u64) -> Unmasked {
    let releases = by_release(seen, Side::Added);
    let judge = |alike: bool, features: &dyn Fn(u32, &Entry) -> Pair| {
        let mut bayes = Bayes::new();
        for (serial, entries) in releases.iter().filter(|(serial, _)| *serial % 2 == 0) {
            for entry in entries {
                bayes.learn(&features(seen.days[serial], entry), entry.owner.is_some());
            }
        }
        let bayes = bayes.finish();
        let mut sums = Vec::new();
        for (serial, entries) in releases.iter().filter(|(serial, _)| *serial % 2 == 1) {
            let score = |e: &Entry| bayes.score(&features(seen.days[serial], e));
            let mut groups: BTreeMap<_, Vec<&Entry>> = BTreeMap::new();
            for entry in entries {
                groups.entry(alike.then_some(entry.fields)).or_default().push(entry);
            }
            let parts = groups.into_values().map(|group| tell_apart(group.into_iter(), score));
            sums.push(
                parts.fold(Sum::default(), |a, b| Sum { hits: a.hits + b.hits, weight: a.weight + b.weight }),
            );
        }
        estimate(&sums, seed)
    };
    let fields = |today: u32, e: &Entry| -> Pair {
        let age = (today - day(e)).min(MAX_DAYS) as usize;
        let (report, risk) = (usize::from(e.fields.report), usize::from(e.fields.risk));
        [age, report, risk, usize::from(e.fields.period != 144), age * 9 + risk, report * 9 + risk]
    };
    let bytes = |e: &Entry| -> Pair {
        let key = e.key.as_bytes();
        let ones = key.iter().map(|byte| byte.count_ones() as usize).sum();
        [key[0].into(), key[7].into(), key[15].into(), ones, usize::from(key[3] ^ key[9]), 0]
    };
    let end = |e: &Entry| -> Pair { [usize::from(e.del != LIVE), 0, 0, 0, 0, 0] };
    Unmasked {
        fields: judge(false, &fields),
        alike: judge(true, &|_, e| bytes(e)),
        hindsight: judge(true, &|_, e| end(e)),
    }
}

fn tell_apart<'e>(entries: impl Iterator<Item = &'e Entry>, score: impl Fn(&Entry) -> f64) -> Sum {
    let (real, decoys): (Vec<&Entry>, Vec<&Entry>) = entries.partition(|e| e.owner.is_some());
    let mut scores = [real, decoys].map(|list| list.into_iter().map(&score).collect::<Vec<f64>>());
    let [real, decoys] = &mut scores;
    mann_whitney(real, decoys)
}
