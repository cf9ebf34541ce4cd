//! Health: the properties tekd states of itself, and which of them do not hold.

use serde_json::{Value, json};

use super::polls::PollState;
use crate::authority::Level;
use crate::engine::{Punctuality, View};
use crate::service::timetext::format_duration;

/// How long before the end of a delegation its coming end is a finding, in seconds.
const DELEGATION_WARNING_S: u64 = 14 * 86_400;

/// How long before the end of the newest seal key its coming end is a finding, in seconds: the next one
/// should have been made days before.
const SEAL_KEY_WARNING_S: u64 = 6 * 86_400;

/// A property that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub property: &'static str,
    /// What is the case, and what to do.
    pub text: String,
}

/// What the private half knows that readers do not.
#[derive(Debug, Clone, Default)]
pub struct OriginHealth {
    /// Why the writer stopped.
    pub stopped: Option<String>,
    /// Why releases are held.
    pub clock_alarm: Option<String>,
    /// Whether the root key is still on this machine.
    pub root_here: bool,
    /// When the online key's delegation ends.
    pub delegation_ends: Option<u64>,
    /// When the last key that reports can be sealed to and opened with ends, 0 without any.
    pub seal_key_ends: Option<u64>,
    /// Whether the key that codes come from is missing.
    pub codes_key_missing: bool,
    /// Whose budgets of wrong grants are half spent or more: a provider, or all together.
    pub guessing: Vec<(Option<u32>, Level)>,
    /// Deadlines of sealed answers in the last hour.
    pub deadlines: Punctuality,
}

/// Every property that does not hold at `now`, Unix seconds. `polls`: those of a public node.
pub fn findings(
    view: &View,
    origin: Option<&OriginHealth>,
    polls: Option<&PollState>,
    now: u64,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |property, text: String| found.push(Finding { property, text });
    for set in &view.sets {
        let id = set.set;
        match &set.release {
            None if polls.is_some() => {
                add("released", format!("no release of set {id} could be verified here yet"));
            }
            None => add(
                "released",
                format!("set {id} has no release yet; `tekctl release now --set {id}` makes one"),
            ),
            Some(r) if now > r.checkpoint.fresh_until() => {
                let age = format_duration(now.saturating_sub(r.checkpoint.time()));
                add(
                    "fresh",
                    format!("the newest release of set {id} is {age} old; questions are answered from it"),
                );
            }
            Some(_) => {}
        }
    }
    if view.is_draining() {
        add("serving", "this node is draining; `tekctl undrain` takes it back".to_owned());
    }
    for (set, why) in polls.iter().flat_map(|polls| &polls.errors) {
        add("upstream", format!("the last poll of set {set} failed: {why}"));
    }
    let Some(origin) = origin else { return found };
    if let Some(why) = &origin.stopped {
        add("writing", format!("the writer has stopped, nothing is confirmed: {why}"));
    }
    if let Some(alarm) = &origin.clock_alarm {
        add("clock", alarm.clone());
    }
    if origin.root_here {
        let what = "the root key is still on this machine; `tekctl keys export-root --to FILE` moves it out";
        add("root-key-offline", what.to_owned());
    }
    if let Some(end) = origin.delegation_ends.filter(|end| *end < now + DELEGATION_WARNING_S) {
        let left = format_duration(end.saturating_sub(now));
        add(
            "delegation",
            format!("the online key ends in {left}; `tekctl keys rotate-online` makes the next"),
        );
    }
    about_reports(origin, now, &mut add);
    found
}

/// What does not hold where reports come in.
fn about_reports(origin: &OriginHealth, now: u64, add: &mut impl FnMut(&'static str, String)) {
    if let Some(end) = origin.seal_key_ends.filter(|end| *end < now + SEAL_KEY_WARNING_S) {
        let what = match end.checked_sub(now) {
            Some(left) => {
                let left = format_duration(left);
                format!("the newest seal key ends in {left} and none followed it")
            }
            None => "no seal key is valid and has its secret here: nobody can report".to_owned(),
        };
        add("seal-key", format!("{what}; `tekctl keys rotate-seal` makes the next"));
    }
    let Punctuality { all, missed } = origin.deadlines;
    if missed > 0 {
        add(
            "deadline",
            format!(
                "{missed} of {all} sealed answers of the last hour were not ready at their time, so that their times \
                 tell something; the disk or the processor is too slow for what is asked"
            ),
        );
    }
    if origin.codes_key_missing {
        let what = "the codes key is missing: no codes are issued or taken; put keys/codes.key back from where it \
                    was exported to, and restart tekd";
        add("codes-key", what.to_owned());
    }
    for (provider, level) in &origin.guessing {
        let whose = provider.map_or("in all".to_owned(), |provider| format!("for provider {provider}"));
        let puzzle = match level {
            Level::Puzzle { bits } => format!("; reports need a puzzle of {bits} bits now"),
            Level::Calm | Level::Alarm => String::new(),
        };
        add(
            "guessing",
            format!(
                "many wrong codes or certificates were presented {whose}: somebody may be guessing{puzzle}"
            ),
        );
    }
}

/// Findings as `tekctl health` prints them.
pub(crate) fn as_json(findings: &[Finding]) -> Value {
    let list: Vec<Value> =
        findings.iter().map(|f| json!({ "property": f.property, "finding": f.text })).collect();
    json!({ "healthy": findings.is_empty(), "findings": list })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_767_614_400;

    fn well() -> OriginHealth {
        OriginHealth { seal_key_ends: Some(NOW + 7 * 86_400), ..OriginHealth::default() }
    }

    fn found(origin: &OriginHealth) -> Vec<(&'static str, String)> {
        let found = findings(&View::empty([1; 8], 1), Some(origin), None, NOW);
        found.into_iter().map(|finding| (finding.property, finding.text)).collect()
    }

    #[test]
    fn an_origin_that_is_well_has_nothing_to_say() {
        assert_eq!(found(&well()), []);
        assert_eq!(found(&OriginHealth { deadlines: Punctuality { all: 9, missed: 0 }, ..well() }), []);
    }

    #[test]
    fn missed_deadlines_are_told_with_how_many_of_how_many() {
        let missed = OriginHealth { deadlines: Punctuality { all: 40, missed: 3 }, ..well() };
        let [(property, text)] = &found(&missed)[..] else { panic!("one finding") };
        assert_eq!(*property, "deadline");
        assert!(text.starts_with("3 of 40 sealed answers of the last hour"), "{text}");
    }

    #[test]
    fn guessing_is_told_with_whom_it_is_about() {
        let guessing = vec![(None, Level::Alarm), (Some(7), Level::Puzzle { bits: 21 })];
        let told = found(&OriginHealth { guessing, ..well() });
        let [("guessing", all), ("guessing", seven)] = &told[..] else { panic!("two findings: {told:?}") };
        assert!(all.contains("presented in all") && !all.contains("bits"), "{all}");
        assert!(seven.contains("provider 7") && seven.contains("21 bits"), "{seven}");
    }

    #[test]
    fn a_seal_key_that_ends_or_is_not_there_is_told() {
        let told = |seal_key_ends| found(&OriginHealth { seal_key_ends, ..OriginHealth::default() });
        assert_eq!(told(Some(NOW + SEAL_KEY_WARNING_S)), []);
        assert_eq!(told(None), [], "a writer that has stopped could not be asked");
        for (end, what) in [
            (NOW + SEAL_KEY_WARNING_S - 1, "ends in"),
            (NOW, "ends in"),
            (NOW - 1, "nobody can report"),
            (0, "nobody can report"),
        ] {
            assert!(matches!(&told(Some(end))[..], [("seal-key", text)] if text.contains(what)), "{end}");
        }
    }
}
