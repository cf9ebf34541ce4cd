//! Reports: shown, listed, taken back, brought back.

use serde_json::{Value, json};

use super::super::authority_listing::report_page;
use super::{Commands, Done, unexpected};
use crate::authority::Scope;
use crate::engine::{Input, Refusal, Reply, ReportRecord, WithdrawCount};
use crate::service::control::ControlReply;
use crate::wire::Key;
use crate::wire::report::REPORT_ID_LEN;

/// Reports that one listing shows at most.
const MAX_LISTED: u32 = 10_000;

/// Which reports a listing shows; what is absent does not matter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) set: Option<u32>,
    pub(super) provider: Option<u32>,
    pub(super) batch: Option<u32>,
}

impl Wanted {
    fn has(&self, record: &ReportRecord) -> bool {
        self.provider.is_none_or(|provider| record.warrants().any(|w| w.provider == provider))
            && self.batch.is_none_or(|batch| record.warrants().any(|w| w.grant.batch() == Some(batch)))
    }
}

fn report_id(text: &str) -> Result<[u8; REPORT_ID_LEN], ControlReply> {
    let mut id = [0; REPORT_ID_LEN];
    hex::decode_to_slice(text, &mut id).map_err(|_| {
        let (digits, found) = (2 * REPORT_ID_LEN, text.chars().count());
        ControlReply::usage(format!("a report id is {digits} hex digits, these are {found} characters"))
    })?;
    Ok(id)
}

/// What a withdrawal or its undoing changes, and its event.
pub(super) fn counts(w: &WithdrawCount) -> Value {
    let c = &w.claims;
    json!({
        "reports": c.reports,
        "keys": c.keys,
        "live": c.live,
        "changes": c.changes,
        "returning": c.returning,
        "seq": w.seq,
    })
}

impl Commands {
    pub(super) fn show_report(&self, report: &str) -> Done {
        let id = report_id(report)?;
        let now = self.clock.now().unix;
        self.look(move |o| {
            let page = o.state().sets().find_map(|(_, set)| {
                let (seq, record) = set.report(&id)?;
                report_page(set, seq, record, now)
            });
            page.ok_or(Refusal::NoReport)
        })
    }

    pub(super) fn list_reports(&self, wanted: Wanted, limit: u32) -> Done {
        if !(1..=MAX_LISTED).contains(&limit) {
            let why = format!("--limit is {limit}, allowed are 1 to {MAX_LISTED}");
            return Err(ControlReply::usage(why));
        }
        let now = self.clock.now().unix;
        let pages = self.look(move |o| {
            let (state, registry) = (o.state(), o.state().registry());
            match wanted {
                Wanted { set: Some(set), .. } if state.set(set).is_none() => {
                    return Err(Refusal::NoSet { set });
                }
                Wanted { provider: Some(provider), .. } if !registry.providers.contains_key(&provider) => {
                    return Err(Refusal::NoProvider { provider });
                }
                _ => {}
            }
            let mut newest = Vec::new();
            for (_, set) in state.sets().filter(|(id, _)| wanted.set.is_none_or(|set| set == *id)) {
                let people = set.reports.iter().rev().filter(|(seq, _)| !set.decoys.contains(seq));
                let of_set = people.filter(|(_, record)| wanted.has(record)).take(limit as usize);
                newest.extend(of_set.map(|(seq, record)| (*seq, set, record)));
            }
            newest.sort_by_key(|(seq, ..)| std::cmp::Reverse(*seq));
            newest.truncate(limit as usize);
            let pages = newest.into_iter().filter_map(|(seq, set, r)| report_page(set, seq, r, now));
            Ok(pages.collect::<Vec<_>>())
        })?;
        Ok(pages.into())
    }

    pub(super) fn withdraw_report(&self, report: &str, reason: String, urgent: bool, dry_run: bool) -> Done {
        let id = report_id(report)?;
        let seq = self.look(move |o| {
            let found = o.state().sets().find_map(|(_, set)| set.report(&id));
            found.map(|(seq, _)| seq).ok_or(Refusal::NoReport)
        })?;
        self.withdraw(Scope::Report { report: seq }, reason, urgent, dry_run)
    }

    pub(super) fn withdraw_key(
        &self,
        set: u32,
        key: &[u8],
        reason: String,
        urgent: bool,
        dry_run: bool,
    ) -> Done {
        let len = key.len();
        let key = Key::from_slice(key)
            .ok_or_else(|| ControlReply::usage(format!("a key has 16 or 32 bytes, this one has {len}")))?;
        self.withdraw(Scope::Key { set, key }, reason, urgent, dry_run)
    }

    /// Takes back what `scope` covers, or counts it.
    pub(super) fn withdraw(&self, scope: Scope, reason: String, urgent: bool, dry_run: bool) -> Done {
        match self.ask(Input::Withdraw { scope, urgent, reason, dry_run })? {
            Reply::Withdrawn(w) => {
                let mut document = counts(&w);
                document["urgent"] = urgent.into();
                document["dry_run"] = dry_run.into();
                Ok(document)
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn reinstate(&self, undone: u64) -> Done {
        match self.ask(Input::Reinstate { seq: undone })? {
            Reply::Withdrawn(w) => {
                let mut document = counts(&w);
                document["undone"] = undone.into();
                Ok(document)
            }
            other => Err(unexpected(&other)),
        }
    }
}
