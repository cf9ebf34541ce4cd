//! The committed counts, and whether new ones are more than they may be.
//!
//! Counts differ between compilers, C libraries and processors, for code is chosen by what the processor can:
//! so each combination has counts of its own.

use std::collections::BTreeMap;

/// By how many per cent a count may grow.
pub(crate) const GROWTH_MAX: f64 = 3.0;

/// Instructions for one unit of each case, by its name.
pub(crate) type Counts = BTreeMap<String, f64>;

/// The counts of every combination that was recorded.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Baseline(BTreeMap<String, Counts>);

/// What a count is against the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// None was recorded.
    New,
    /// It is within the limit either way.
    Same,
    /// It is so much less that the recorded one allows too much.
    Less,
    /// It has grown beyond the limit.
    More,
}

impl Baseline {
    /// Reads what [`Baseline::to_text`] wrote.
    pub(crate) fn from_text(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Baseline)
    }

    /// As JSON, in order, a line for each count.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string_pretty(&self.0).expect("names and numbers") + "\n"
    }

    /// The counts of a combination.
    pub(crate) fn of(&self, combination: &str) -> Option<&Counts> {
        self.0.get(combination)
    }

    /// Adds the counts of cases that a combination does not have; returns their names.
    pub(crate) fn add_missing(&mut self, combination: &str, counts: &Counts) -> Vec<String> {
        let known = self.0.entry(combination.to_owned()).or_default();
        let missing: Vec<_> = counts.iter().filter(|(name, _)| !known.contains_key(*name)).collect();
        known.extend(missing.iter().map(|(name, count)| ((*name).clone(), **count)));
        missing.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// Puts counts in the place of those of a combination.
    pub(crate) fn record(&mut self, combination: &str, counts: Counts) {
        self.0.insert(combination.to_owned(), counts);
    }
}

/// Instructions for one of `units`, to a tenth.
pub(crate) fn for_one(instructions: u64, units: usize) -> f64 {
    (instructions as f64 * 10.0 / units as f64).round() / 10.0
}

/// By how many per cent `now` is more than `before`.
pub(crate) fn growth(before: f64, now: f64) -> f64 {
    (now / before - 1.0) * 100.0
}

/// Judges a count.
pub(crate) fn judge(before: Option<f64>, now: f64) -> Verdict {
    match before.map(|before| growth(before, now)) {
        None => Verdict::New,
        Some(growth) if growth > GROWTH_MAX => Verdict::More,
        Some(growth) if growth < -GROWTH_MAX => Verdict::Less,
        Some(_) => Verdict::Same,
    }
}
