//! `report`, `key withdraw`, `rollback`, `reinstate`: what was reported, and what of it is taken back.

use serde_json::Value;
use tekd::service::control::{Base64, ControlRequest};

use crate::args::{Global, OperatorCommand};
use crate::authority_args::{KeyCommand, ReportCommand, TakeBackArgs};
use crate::operator::{ask, outcome};
use crate::output::Done;
use crate::tables::{self, counted_in, reports_in, scalar};

/// What `--urgent` costs.
const URGENT: &str = "tekctl: urgent: the keys leave with the next release without company; whoever compares it with the \
                      release before can tell that they belong together";

/// Columns of a listing; the rest is in `report show`.
const LISTED: [&str; 13] = [
    "report",
    "set",
    "provider",
    "batch",
    "seq",
    "received",
    "state",
    "serial",
    "keys",
    "live",
    "embargo",
    "waiting",
    "taken_back",
];

/// Carries out a command about reports and keys; `None` if it is about something else.
pub(crate) fn run(global: &Global, command: &OperatorCommand) -> Option<Done> {
    let request = request(global, command)?;
    Some(ask(global, &request).map(|reply| {
        let mut outcome = outcome(reply, |document| text(&request, document));
        outcome.notes.extend(is_urgent(&request).then(|| URGENT.to_owned()));
        outcome
    }))
}

fn request(global: &Global, command: &OperatorCommand) -> Option<ControlRequest> {
    Some(match command {
        OperatorCommand::Report(ReportCommand::Show { id }) => {
            ControlRequest::ReportShow { report: id.clone() }
        }
        OperatorCommand::Report(ReportCommand::List { provider, batch, limit }) => {
            ControlRequest::ReportList { set: global.set, provider: *provider, batch: *batch, limit: *limit }
        }
        OperatorCommand::Report(ReportCommand::Withdraw { id, how }) => {
            let TakeBackArgs { reason, urgent, dry_run } = how.clone();
            ControlRequest::ReportWithdraw { report: id.clone(), reason, urgent, dry_run }
        }
        OperatorCommand::Key(KeyCommand::Withdraw { key, how }) => {
            let TakeBackArgs { reason, urgent, dry_run } = how.clone();
            let (set, key) = (global.set(), Base64(key.as_bytes().to_vec()));
            ControlRequest::KeyWithdraw { set, key, reason, urgent, dry_run }
        }
        OperatorCommand::Rollback(args) => {
            let TakeBackArgs { reason, urgent, dry_run } = args.how.clone();
            ControlRequest::Rollback { to: args.to, provider: args.provider, reason, urgent, dry_run }
        }
        OperatorCommand::Reinstate { seq } => ControlRequest::Reinstate { seq: *seq },
        _ => return None,
    })
}

fn is_urgent(request: &ControlRequest) -> bool {
    matches!(
        request,
        ControlRequest::ReportWithdraw { urgent: true, .. }
            | ControlRequest::KeyWithdraw { urgent: true, .. }
            | ControlRequest::Rollback { urgent: true, .. }
    )
}

fn text(request: &ControlRequest, document: &Value) -> String {
    match request {
        ControlRequest::ReportList { .. } => list(document),
        ControlRequest::ReportWithdraw { dry_run, .. }
        | ControlRequest::KeyWithdraw { dry_run, .. }
        | ControlRequest::Rollback { dry_run, .. } => taken_back(*dry_run, document),
        ControlRequest::Reinstate { seq } => {
            let field = |name: &str| scalar(&document[name]);
            let reports = counted_in(document, "reports", "report");
            let keys = counted_in(document, "keys", "key");
            format!(
                "what event {seq} took is back: {reports} with {keys}, coming out again as new entries; event {}",
                field("seq")
            )
        }
        _ => tables::lines(document),
    }
}

fn list(document: &Value) -> String {
    let row = |report: &Value| -> Value {
        LISTED.iter().map(|name| ((*name).to_owned(), report[*name].clone())).collect()
    };
    tables::lines(&document.as_array().into_iter().flatten().map(row).collect())
}

fn taken_back(dry_run: bool, document: &Value) -> String {
    let field = |name: &str| scalar(&document[name]);
    let what = reports_in(document);
    if dry_run {
        return format!("would be taken back: {what}\nnothing was changed");
    }
    format!("taken back: {what}\nevent {0}: `tekctl reinstate {0}` brings them back", field("seq"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::args::{Cli, Command};

    fn asked(line: &str) -> ControlRequest {
        let cli = Cli::try_parse_from(line.split_ascii_whitespace()).expect(line);
        let Command::Operator(command) = &cli.command else { panic!("{line}") };
        request(&cli.global, command).expect(line)
    }

    #[test]
    fn commands_become_requests() {
        let (reason, id) = (|| "mix-up".to_owned(), || "07".repeat(16));
        assert_eq!(
            asked(&format!("tekctl report withdraw {} --reason mix-up --urgent", id())),
            ControlRequest::ReportWithdraw { report: id(), reason: reason(), urgent: true, dry_run: false }
        );
        assert_eq!(
            asked("tekctl rollback --to 7 --provider 2 --reason mix-up --dry-run"),
            ControlRequest::Rollback {
                to: 7,
                provider: Some(2),
                reason: reason(),
                urgent: false,
                dry_run: true
            }
        );
        assert_eq!(
            asked("tekctl report list --batch 3"),
            ControlRequest::ReportList { set: None, provider: None, batch: Some(3), limit: 100 }
        );
        assert_eq!(asked("tekctl reinstate 9"), ControlRequest::Reinstate { seq: 9 });
    }

    #[test]
    fn taking_back_counts_and_says_how_to_undo_it() {
        let document = json!({ "reports": 1, "keys": 14, "live": 13, "seq": 21 });
        assert_eq!(
            taken_back(false, &document),
            "taken back: 1 report with 14 keys, 13 of them live\n\
             event 21: `tekctl reinstate 21` brings them back"
        );
        assert!(taken_back(true, &document).ends_with("nothing was changed"));
    }

    #[test]
    fn urgency_is_told_apart() {
        assert!(is_urgent(&asked("tekctl rollback --to 7 --reason x --urgent")));
        assert!(!is_urgent(&asked("tekctl rollback --to 7 --reason x")));
    }
}
