//! Releases: made, listed, shown, held, approved.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::listing;
use super::{Commands, Done, asked, failed, unexpected};
use crate::engine::{Input, ReleaseSummary, Reply};
use crate::service::control::ControlReply;

impl Commands {
    pub(super) fn release_now(&self, set: u32, allow_small: bool) -> Done {
        match self.ask(Input::Release { set, allow_small })? {
            Reply::Released(summary) => self.seen(&summary),
            other => Err(unexpected(&other)),
        }
    }

    /// The summary of a release, if readers see it.
    fn seen(&self, summary: &ReleaseSummary) -> Done {
        let document = listing::release_summary(summary);
        let (set, serial) = (summary.set, summary.serial);
        let shown = self.view.load().set(set).and_then(|s| Some(s.release.as_ref()?.checkpoint.serial()));
        if shown.is_some_and(|shown| shown >= serial) {
            return Ok(document);
        }
        let seen = shown.map_or("no release".to_owned(), |shown| format!("release {shown}"));
        let what =
            format!("release {serial} of set {set} is durable, but readers still see {seen}; see the log");
        Err(ControlReply::degraded(document, what))
    }

    /// The newest releases of a set, or the one of that serial.
    pub(super) fn releases(&self, set: u32, only: Option<u32>) -> Result<Vec<Value>, ControlReply> {
        self.origin()?;
        listing::releases(Arc::clone(&self.disk), &self.data, set, only).map_err(failed)
    }

    pub(super) fn release(&self, set: u32, serial: u32) -> Done {
        let found = self.releases(set, Some(serial))?.into_iter().next();
        found.ok_or_else(|| {
            ControlReply::usage(format!(
                "set {set} has no release {serial} in its journal; `tekctl release list` shows them"
            ))
        })
    }

    pub(super) fn held(&self, only: Option<u32>) -> Done {
        let now = self.clock.now().unix;
        let origin = self.origin()?;
        let sets = origin.look(move |o| {
            let alarm = o.writer().clock_alarm().map(ToString::to_string);
            let sets: Vec<Value> = o
                .state()
                .sets()
                .filter(|(id, _)| only.is_none_or(|o| o == *id))
                .map(|(id, s)| {
                    let (embargo, waiting) = s.waiting_at(now);
                    let held = json!({ "embargo": embargo, "waiting": waiting, "leaving": s.leaving() });
                    json!({ "set": id, "held": held })
                })
                .collect();
            json!({ "clock": alarm, "sets": sets })
        });
        sets.map_err(asked)
    }

    pub(super) fn approve(&self, reason: &str) -> Done {
        if reason.trim().is_empty() {
            return Err(ControlReply::usage("an approval needs a reason: say it with --reason TEXT"));
        }
        match self.ask(Input::ApproveClock)? {
            Reply::Approved { was } => {
                if was.is_some() {
                    tracing::warn!("the clock was approved by an operator: {reason}");
                }
                Ok(json!({ "approved": was.is_some(), "was": was.map(|a| a.to_string()) }))
            }
            other => Err(unexpected(&other)),
        }
    }
}
