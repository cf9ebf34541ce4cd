//! Codes: issued, listed, checked, printed once more, revoked.
//!
//! Codes stand in the replies to `issue` and `show`, for whoever hands them out; a code that is checked is
//! not repeated.

use serde_json::{Value, json};

use super::super::authority_listing::{batch_line, day_text};
use super::super::origin::Origin;
use super::reports::counts;
use super::{Commands, Done, unexpected};
use crate::authority::{Batch, BatchStanding, Code, Standing};
use crate::engine::{CodeOrder, Input, Refusal, Reply};
use crate::service::control::{ControlReply, TypedCode};
use crate::service::timetext::format_time;
use crate::wire::report::ReportType;

/// A report type by its name.
pub(super) fn report_type(name: &str) -> Result<ReportType, ControlReply> {
    ReportType::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = ReportType::ALL.iter().map(|t| t.name()).collect();
        ControlReply::usage(format!("there is no report type {name:?}; choose {}", known.join(", ")))
    })
}

/// What became of a code that stands in the book.
fn state_of(batch: &Batch, index: u32, now: u64) -> &'static str {
    match batch.standing {
        _ if batch.spent.contains_key(&index) => "spent",
        BatchStanding::Revoked => "revoked",
        BatchStanding::Voided => "voided",
        BatchStanding::Active if now > batch.expires => "expired",
        BatchStanding::Active => "unused",
    }
}

/// What a check found: a document, and why the code does not hold.
type Checked = (Value, Option<String>);

fn check(o: &Origin, code: &Code, now: u64) -> Result<Checked, Refusal> {
    let codes = o.writer().codes();
    codes.key_id().ok_or(Refusal::NoCodesKey)?;
    let registry = o.state().registry();
    let found = codes.find(code).and_then(|(n, index)| Some((n, index, registry.batches.get(&n)?)));
    let Some((number, index, batch)) = found else {
        let why = "no such code was issued, or its batch is long over";
        return Ok((json!({ "state": "unknown", "accepted": false }), Some(why.to_owned())));
    };
    let provider = registry.providers.get(&batch.provider);
    let standing = provider.map_or(Standing::Revoked, |p| p.standing);
    let state = state_of(batch, index, now);
    let spent_by = batch.spent.get(&index);
    let report = spent_by.and_then(|seq| o.state().set(batch.set)?.reports.get(seq));
    let why = match (state, standing) {
        ("unused", Standing::Active) => None,
        ("unused", other) => Some(format!("provider {} is {}", batch.provider, other.name())),
        ("spent", _) => Some(match report {
            Some(report) => format!("it was used for report {}", hex::encode(report.report)),
            None => "it was used for a report that is forgotten, or for a change of one".to_owned(),
        }),
        ("expired", _) => Some(format!("it expired at {}", format_time(batch.expires))),
        (other, _) => Some(format!("batch {number} is {other}")),
    };
    let document = json!({
        "state": state,
        "accepted": why.is_none(),
        "batch": number,
        "provider": batch.provider,
        "provider_standing": standing.name(),
        "set": batch.set,
        "report_type": batch.report_type.name(),
        "onset": batch.onset_day.map(day_text),
        "expires": format_time(batch.expires),
        "report": report.map(|r| hex::encode(r.report)),
        "event": spent_by,
    });
    Ok((document, why))
}

/// A batch with codes of it.
fn with_codes(o: &Origin, number: u32, codes: &[Code]) -> Option<Value> {
    let registry = o.state().registry();
    let batch = registry.batches.get(&number)?;
    Some(json!({
        "batch": number,
        "provider": batch.provider,
        "name": registry.providers.get(&batch.provider).map(|p| &p.name),
        "set": batch.set,
        "report_type": batch.report_type.name(),
        "onset": batch.onset_day.map(day_text),
        "issued": format_time(batch.issued),
        "expires": format_time(batch.expires),
        "codes": codes.iter().map(|code| code.to_text()).collect::<Vec<_>>(),
    }))
}

impl Commands {
    pub(super) fn issue_codes(&self, order: CodeOrder) -> Done {
        match self.ask(Input::IssueCodes(order))? {
            Reply::Codes(issued) => {
                let batch = issued.batch;
                self.look(move |o| with_codes(o, batch, &issued.codes).ok_or(Refusal::NoBatch { batch }))
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn list_batches(&self) -> Done {
        let now = self.clock.now().unix;
        let lines = self.look(move |o| {
            let registry = o.state().registry();
            Ok(registry.batches.iter().map(|(n, b)| batch_line(registry, *n, b, now)).collect::<Vec<_>>())
        })?;
        Ok(lines.into())
    }

    pub(super) fn check_code(&self, typed: &TypedCode) -> Done {
        self.origin()?;
        let code = Code::parse(typed.0.as_bytes()).map_err(|mistyped| {
            let why = mistyped.to_string();
            let document = json!({ "state": "mistyped", "accepted": false, "why": &why });
            ControlReply::refused_with(document, format!("the code is mistyped: {why}"))
        })?;
        let now = self.clock.now().unix;
        match self.look(move |o| check(o, &code, now))? {
            (document, None) => Ok(document),
            (mut document, Some(why)) => {
                document["why"] = Value::from(&*why);
                Err(ControlReply::refused_with(document, format!("the code is not taken now: {why}")))
            }
        }
    }

    pub(super) fn show_codes(&self, batch: u32) -> Done {
        let now = self.clock.now().unix;
        self.look(move |o| {
            let registry = o.state().registry();
            let known = registry.batches.get(&batch).ok_or(Refusal::NoBatch { batch })?;
            if known.standing != BatchStanding::Active {
                return Err(Refusal::BatchStands { batch, standing: known.standing.name() });
            }
            if now > known.expires {
                return Err(Refusal::BatchStands { batch, standing: "expired" });
            }
            let codes = o.writer().codes().unspent(registry, batch).ok_or(Refusal::NoCodesKey)?;
            with_codes(o, batch, &codes).ok_or(Refusal::NoBatch { batch })
        })
    }

    pub(super) fn revoke_batch(&self, batch: u32, retroactive: bool, reason: String, dry_run: bool) -> Done {
        let now = self.clock.now().unix;
        let outstanding = move |o: &Origin| {
            let known = o.state().registry().batches.get(&batch);
            known.map(|b| b.outstanding(now)).ok_or(Refusal::NoBatch { batch })
        };
        let outstanding = self.look(outstanding)?;
        match self.ask(Input::RevokeBatch { batch, retroactive, reason, dry_run })? {
            Reply::Withdrawn(w) => {
                let mut page = counts(&w);
                page["batch"] = json!(batch);
                page["codes"] = json!(outstanding);
                page["retroactive"] = json!(retroactive);
                page["dry_run"] = json!(dry_run);
                Ok(page)
            }
            other => Err(unexpected(&other)),
        }
    }
}
