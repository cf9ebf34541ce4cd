//! `codes`: batches of codes, issued and printed for those who hand them out, checked, revoked.

use serde_json::{Value, json};
use tekd::service::control::{ControlRequest, TypedCode};
use tekd::service::timetext::parse_time;

use crate::args::Global;
use crate::authority_args::{CodesCommand, CodesFormat};
use crate::moments;
use crate::operator::{ask, outcome};
use crate::output::{Done, Failure};
use crate::tables::{self, counted, scalar};

/// Carries out a command about codes.
pub(crate) fn run(global: &Global, command: &CodesCommand) -> Done {
    let format = match command {
        CodesCommand::Issue { format, .. } | CodesCommand::Show { format, .. } => *format,
        _ => CodesFormat { csv: false, plain: false },
    };
    if global.json && (format.csv || format.plain) {
        let other = if format.csv { "--csv" } else { "--plain" };
        return Err(Failure::usage(format!(
            "--json and {other} are two formats: choose one; nothing was sent"
        )));
    }
    let reply = ask(global, &request(global, command))?;
    Ok(outcome(reply, |document| text(command, format, document)))
}

fn request(global: &Global, command: &CodesCommand) -> ControlRequest {
    match command {
        CodesCommand::Issue { provider, count, expires, report_type, onset, .. } => {
            ControlRequest::CodesIssue {
                provider: *provider,
                set: global.set(),
                count: *count,
                lifetime_s: u64::from(*expires),
                report_type: report_type.clone(),
                onset_day: *onset,
            }
        }
        CodesCommand::List => ControlRequest::CodesList {},
        CodesCommand::Check { code } => ControlRequest::CodesCheck { code: TypedCode(code.join(" ")) },
        CodesCommand::Show { batch, .. } => ControlRequest::CodesShow { batch: *batch },
        CodesCommand::Revoke { batch, retroactive, reason, dry_run } => ControlRequest::CodesRevoke {
            batch: *batch,
            retroactive: *retroactive,
            reason: reason.clone(),
            dry_run: *dry_run,
        },
    }
}

fn text(command: &CodesCommand, format: CodesFormat, document: &Value) -> String {
    match command {
        CodesCommand::Issue { .. } | CodesCommand::Show { .. } if format.csv => csv(document),
        CodesCommand::Issue { .. } | CodesCommand::Show { .. } if format.plain => plain(document),
        CodesCommand::Issue { .. } | CodesCommand::Show { .. } => table(document),
        CodesCommand::Revoke { retroactive, dry_run, .. } => revoked(*retroactive, *dry_run, document),
        CodesCommand::List | CodesCommand::Check { .. } => tables::lines(document),
    }
}

fn codes(document: &Value) -> impl Iterator<Item = &str> {
    document["codes"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The moment the codes end, in words.
fn until(document: &Value) -> String {
    let expires = scalar(&document["expires"]);
    parse_time(&expires).map_or(expires, moments::in_words)
}

fn csv(document: &Value) -> String {
    let (batch, expires) = (scalar(&document["batch"]), scalar(&document["expires"]));
    let lines = codes(document).map(|code| format!("{code},{batch},{expires}"));
    std::iter::once("code,batch,expires".to_owned()).chain(lines).collect::<Vec<_>>().join("\n")
}

/// For paper: what a doctor has to know, then the codes.
fn plain(document: &Value) -> String {
    let field = |name: &str| scalar(&document[name]);
    let count = counted(codes(document).count() as u64, "code");
    let mut lines = vec![
        format!("{}: batch {}, {count} ({})", field("name"), field("batch"), field("report_type")),
        "Give each person one code. It can be typed into the app once.".to_owned(),
        format!("The codes work until {}.", until(document)),
        "Do not photograph or send this list; cut off what was handed out.".to_owned(),
        String::new(),
    ];
    lines.extend(codes(document).map(str::to_owned));
    lines.join("\n")
}

fn table(document: &Value) -> String {
    let field = |name: &str| scalar(&document[name]);
    let rows = codes(document)
        .map(|code| json!({ "code": code, "batch": document["batch"], "expires": document["expires"] }));
    let rows: Vec<Value> = rows.collect();
    let head = format!(
        "batch {} of provider {} ({}), set {}: {}, valid until {}",
        field("batch"),
        field("provider"),
        field("name"),
        field("set"),
        counted(rows.len() as u64, "code"),
        until(document)
    );
    format!("{head}\n{}", tables::lines(&rows.into()))
}

fn revoked(retroactive: bool, dry_run: bool, document: &Value) -> String {
    let field = |name: &str| scalar(&document[name]);
    let (is, are) = if dry_run { ("would be", "would be") } else { ("is", "are") };
    let mut text = format!(
        "batch {} {is} revoked with {}",
        field("batch"),
        tables::counted_in(document, "codes", "outstanding code")
    );
    if retroactive {
        text.push_str(&format!("; {}, {are} taken back", tables::reports_in(document)));
    }
    if dry_run {
        text.push_str("\nnothing was changed");
    } else if retroactive {
        text.push_str(&format!("\nevent {0}: `tekctl reinstate {0}` brings the reports back", field("seq")));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command, OperatorCommand};

    fn batch() -> Value {
        json!({
            "batch": 3, "provider": 1, "name": "Clinic", "set": 1, "report_type": "confirmed",
            "expires": "2026-12-01T13:00:00Z", "codes": ["9YQG-ZCG5-0292", "QW39-52ZY-38CD"],
        })
    }

    fn asked(line: &str) -> ControlRequest {
        let cli = Cli::try_parse_from(line.split_ascii_whitespace()).expect(line);
        let Command::Operator(OperatorCommand::Codes(command)) = &cli.command else { panic!("{line}") };
        request(&cli.global, command)
    }

    #[test]
    fn csv_is_a_head_and_a_line_per_code() {
        assert_eq!(
            csv(&batch()),
            "code,batch,expires\n9YQG-ZCG5-0292,3,2026-12-01T13:00:00Z\nQW39-52ZY-38CD,3,2026-12-01T13:00:00Z"
        );
    }

    #[test]
    fn plain_text_says_what_to_do_and_until_when_and_then_only_codes() {
        let text = plain(&batch());
        assert!(text.starts_with("Clinic: batch 3, 2 codes (confirmed)\n"), "{text}");
        assert!(text.contains("until Tuesday, 1 December 2026, 13:00 UTC."), "{text}");
        assert!(text.ends_with("\n\n9YQG-ZCG5-0292\nQW39-52ZY-38CD"), "{text}");
    }

    #[test]
    fn the_table_has_a_row_per_code() {
        assert_eq!(
            table(&batch()),
            "batch 3 of provider 1 (Clinic), set 1: 2 codes, valid until Tuesday, 1 December 2026, 13:00 UTC\n\
             code            batch  expires\n\
             9YQG-ZCG5-0292  3      2026-12-01T13:00:00Z\n\
             QW39-52ZY-38CD  3      2026-12-01T13:00:00Z"
        );
    }

    #[test]
    fn codes_hold_a_week_and_confirm_unless_told_otherwise() {
        let plain = ControlRequest::CodesIssue {
            provider: 1,
            set: 1,
            count: 10,
            lifetime_s: 604_800,
            report_type: "confirmed".to_owned(),
            onset_day: None,
        };
        assert_eq!(asked("tekctl codes issue --provider 1 --count 10"), plain);
        let line = "tekctl codes issue --provider 1 --count 10 --set 2 --expires 36h --report-type likely --onset 2026-01-01";
        let other = ControlRequest::CodesIssue {
            provider: 1,
            set: 2,
            count: 10,
            lifetime_s: 129_600,
            report_type: "likely".to_owned(),
            onset_day: Some(20_454),
        };
        assert_eq!(asked(line), other);
        assert!(
            Cli::try_parse_from(["tekctl", "codes", "show", "--batch", "1", "--csv", "--plain"]).is_err()
        );
    }

    #[test]
    fn a_code_may_be_typed_in_groups() {
        let typed = TypedCode("9yqg zcg5 0292".to_owned());
        assert_eq!(asked("tekctl codes check 9yqg zcg5 0292"), ControlRequest::CodesCheck { code: typed });
    }
}
