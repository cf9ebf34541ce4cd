//! Health: the properties tekd states of itself, and which of them do not hold.

use serde_json::{Value, json};

use super::polls::PollState;
use crate::authority::Level;
use crate::engine::View;
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
    /// When the newest key that reports are sealed to ends.
    pub seal_key_ends: Option<u64>,
    /// Whether the key that codes come from is missing.
    pub codes_key_missing: bool,
    /// Whose budgets of wrong grants are half spent or more: a provider, or all together.
    pub guessing: Vec<(Option<u32>, Level)>,
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
        let left = format_duration(end.saturating_sub(now));
        add(
            "seal-key",
            format!(
                "the newest seal key ends in {left} and none followed it; `tekctl keys rotate-seal` makes the next"
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
