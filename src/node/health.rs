//! Health: the properties tekd states of itself, and which of them do not hold.

use serde_json::{Value, json};

use super::polls::PollState;
use crate::engine::View;
use crate::service::timetext::format_duration;

/// How long before the end of a delegation its coming end is a finding, in seconds.
const DELEGATION_WARNING_S: u64 = 14 * 86_400;

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
    found
}

/// Findings as `tekctl health` prints them.
pub(crate) fn as_json(findings: &[Finding]) -> Value {
    let list: Vec<Value> =
        findings.iter().map(|f| json!({ "property": f.property, "finding": f.text })).collect();
    json!({ "healthy": findings.is_empty(), "findings": list })
}
