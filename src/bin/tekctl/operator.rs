//! Operators' commands: each becomes one request on the control socket of a running server.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tekd::service::control::{ControlClient, ControlReply, ControlRequest, SetSettings};

use crate::args::{Global, KeysCommand, OperatorCommand, ReleaseCommand, SetCommand, SnapshotCommand};
use crate::output::{Done, Failure, Outcome};
use crate::progress::Progress;
use crate::tables;

/// Carries out a command about the server, its sets, releases and keys.
pub(crate) fn run(global: &Global, command: &OperatorCommand) -> Done {
    let request = request(global, command)?;
    let reply = ask(global, &request)?;
    let mut outcome = outcome(reply, |document| text(&request, document));
    outcome.notes.extend(warning(&request));
    Ok(outcome)
}

/// Sends one request on a connection of its own.
pub(crate) fn ask(global: &Global, request: &ControlRequest) -> Result<ControlReply, Failure> {
    call(&mut connect(global)?, request)
}

/// A reply that says yes, as the end of a command; `text` puts its document in words.
pub(crate) fn outcome(reply: ControlReply, text: impl FnOnce(&Value) -> String) -> Outcome {
    let document = reply.result.unwrap_or(Value::Null);
    let text = text(&document);
    let notes = reply.error.into_iter().map(|what| format!("tekctl: {what}")).collect();
    Outcome { exit: reply.exit, document: Some(document), text, notes }
}

/// Connects to the server's control socket.
pub(crate) fn connect(global: &Global) -> Result<ControlClient, Failure> {
    Ok(ControlClient::connect(&global.control_socket())?)
}

/// Asks and shows how far the server has come; a reply that says no is a [`Failure`].
pub(crate) fn call(client: &mut ControlClient, request: &ControlRequest) -> Result<ControlReply, Failure> {
    let mut progress = Progress::of("done");
    let reply = client.call(request, |p| progress.at(p.done, p.total))?;
    if reply.ok {
        return Ok(reply);
    }
    let failure =
        Failure::exiting(reply.exit, reply.error.unwrap_or_else(|| "the server said no".to_owned()));
    Err(match reply.result {
        Some(document) => {
            let text = tables::lines(&document);
            failure.with(document, text)
        }
        None => failure,
    })
}

fn request(global: &Global, command: &OperatorCommand) -> Result<ControlRequest, Failure> {
    Ok(match command {
        OperatorCommand::Status => ControlRequest::Status {},
        OperatorCommand::Health => ControlRequest::Health {},
        OperatorCommand::Stats => ControlRequest::Stats {},
        OperatorCommand::Metrics => ControlRequest::Metrics {},
        OperatorCommand::Set(command) => set_request(command)?,
        OperatorCommand::Release(command) => release_request(global, command),
        OperatorCommand::Snapshot(SnapshotCommand::Now) => ControlRequest::SnapshotNow {},
        OperatorCommand::Keys(command) => keys_request(command)?,
        OperatorCommand::Drain => ControlRequest::Drain {},
        OperatorCommand::Undrain => ControlRequest::Undrain {},
        OperatorCommand::Import(_)
        | OperatorCommand::Journal(_)
        | OperatorCommand::Backup { .. }
        | OperatorCommand::Adopt
        | OperatorCommand::Doctor
        | OperatorCommand::Upgrade(_)
        | OperatorCommand::Provider(_)
        | OperatorCommand::Codes(_)
        | OperatorCommand::Report(_)
        | OperatorCommand::Key(_)
        | OperatorCommand::Rollback(_)
        | OperatorCommand::Reinstate { .. } => unreachable!("these are carried out elsewhere"),
    })
}

fn set_request(command: &SetCommand) -> Result<ControlRequest, Failure> {
    Ok(match command {
        SetCommand::List => ControlRequest::SetList {},
        SetCommand::Show { id } => ControlRequest::SetShow { set: *id },
        SetCommand::Create { id, settings } => {
            ControlRequest::SetCreate { set: *id, settings: settings.settings() }
        }
        SetCommand::Configure { id, settings } => {
            let settings = settings.settings();
            if settings == SetSettings::default() {
                let why = "nothing to change: name a setting, such as --retention 14d (see --help)";
                return Err(Failure::usage(why));
            }
            ControlRequest::SetConfigure { set: *id, settings }
        }
    })
}

fn release_request(global: &Global, command: &ReleaseCommand) -> ControlRequest {
    let set = global.set();
    match command {
        ReleaseCommand::Now { allow_small } => ControlRequest::ReleaseNow { set, allow_small: *allow_small },
        ReleaseCommand::List => ControlRequest::ReleaseList { set },
        ReleaseCommand::Show { serial } => ControlRequest::ReleaseShow { set, serial: *serial },
        ReleaseCommand::Held => ControlRequest::ReleaseHeld { set: global.set },
        ReleaseCommand::Approve { reason } => ControlRequest::ReleaseApprove { set, reason: reason.clone() },
    }
}

fn keys_request(command: &KeysCommand) -> Result<ControlRequest, Failure> {
    Ok(match command {
        KeysCommand::List => ControlRequest::KeysList {},
        KeysCommand::ExportRoot { to } => ControlRequest::KeysExportRoot { path: absolute(to)? },
        KeysCommand::ExportCodes { to } => ControlRequest::KeysExportCodes { path: absolute(to)? },
        KeysCommand::RotateSeal => ControlRequest::KeysRotateSeal {},
        KeysCommand::RotateOnline => ControlRequest::KeysRotateOnline {},
        KeysCommand::RotateTls => ControlRequest::KeysRotateTls {},
    })
}

/// A path as the server understands it, which has another working directory.
fn absolute(to: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(to).map_err(|e| Failure::usage(format!("--to {}: {e}", to.display())))
}

/// What a setting costs that not everybody may know.
fn warning(request: &ControlRequest) -> Option<String> {
    let (ControlRequest::SetCreate { settings, .. } | ControlRequest::SetConfigure { settings, .. }) =
        request
    else {
        return None;
    };
    let full = settings.schema.as_deref() == Some("gaen-full");
    full.then(|| {
        "tekctl: gaen-full publishes risk and days since onset, by which keys of one report can be told to \
         belong together; gaen-minimal does not"
            .to_owned()
    })
}

fn text(request: &ControlRequest, document: &Value) -> String {
    let field = |name: &str| tables::scalar(&document[name]);
    match request {
        ControlRequest::Metrics {} => field("text"),
        ControlRequest::Health {} => health(document),
        ControlRequest::SetConfigure { set, .. } => format!(
            "{}\nset {set}: the settings hold from the next release, {}; \
             the horizon follows the retention from {}",
            tables::lines(document),
            field("next_release"),
            field("horizon_moves_from"),
        ),
        ControlRequest::ReleaseNow { set, .. } => released(*set, document),
        ControlRequest::KeysExportRoot { .. } => {
            format!("the root key is in {} and no longer on the server: keep it safe", field("exported"))
        }
        ControlRequest::KeysExportCodes { .. } => format!(
            "the codes key {} is in {} and stays on the server too\nkeep it safe and apart from backups, which leave it \
             out: put back as keys/codes.key after a restore, it keeps the outstanding codes alive",
            field("codes_key"),
            field("exported")
        ),
        ControlRequest::KeysRotateSeal {} => {
            let of_key = |name: &str| tables::scalar(&document["seal"][name]);
            format!(
                "seal key {} is in force until {}; what is sealed to the keys before it is opened until they end",
                of_key("id"),
                of_key("not_after")
            )
        }
        ControlRequest::Drain {} => "draining: clients are told to go elsewhere".to_owned(),
        ControlRequest::Undrain {} => "serving".to_owned(),
        _ => tables::lines(document),
    }
}

fn health(document: &Value) -> String {
    let findings = document["findings"].as_array().map_or(&[][..], Vec::as_slice);
    if findings.is_empty() {
        return "healthy".to_owned();
    }
    let line = |f: &Value| format!("{}: {}", tables::scalar(&f["property"]), tables::scalar(&f["finding"]));
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn released(set: u32, document: &Value) -> String {
    let field = |name: &str| tables::scalar(&document[name]);
    let mut text = format!(
        "set {set}, release {}: {} added, {} withdrawn, {} expired, {} decoys added, {} decoys withdrawn; {} live, root {}",
        field("serial"),
        field("added"),
        field("withdrawn"),
        field("expired"),
        field("decoys"),
        field("decoys_withdrawn"),
        field("live"),
        field("root"),
    );
    let held = tables::counts(&document["held"]);
    if !held.is_empty() {
        text.push_str(&format!("\nheld back: {held}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::args::{Cli, Command};

    fn asked(line: &str) -> Result<ControlRequest, Failure> {
        let cli = Cli::try_parse_from(line.split_ascii_whitespace()).expect(line);
        let Command::Operator(command) = &cli.command else { panic!("{line}") };
        request(&cli.global, command)
    }

    #[test]
    fn commands_become_requests_about_the_set_that_was_named() {
        assert_eq!(
            asked("tekctl release now --set 3").unwrap(),
            ControlRequest::ReleaseNow { set: 3, allow_small: false }
        );
        assert_eq!(asked("tekctl release held").unwrap(), ControlRequest::ReleaseHeld { set: None });
        assert_eq!(
            asked("tekctl release held --set 2").unwrap(),
            ControlRequest::ReleaseHeld { set: Some(2) }
        );
        let settings =
            SetSettings { retention_days: Some(30), decoys: Some(false), ..SetSettings::default() };
        assert_eq!(
            asked("tekctl set configure 1 --retention 30d --decoys off").unwrap(),
            ControlRequest::SetConfigure { set: 1, settings }
        );
    }

    #[test]
    fn the_root_key_goes_to_a_path_that_the_server_understands() {
        let ControlRequest::KeysExportRoot { path } = asked("tekctl keys export-root --to root.key").unwrap()
        else {
            panic!("another request");
        };
        assert!(path.is_absolute() && path.ends_with("root.key"));
    }

    #[test]
    fn the_codes_key_is_copied_to_a_path_that_the_server_understands() {
        let ControlRequest::KeysExportCodes { path } =
            asked("tekctl keys export-codes --to codes.key").unwrap()
        else {
            panic!("another request");
        };
        assert!(path.is_absolute() && path.ends_with("codes.key"));
        assert_eq!(asked("tekctl keys rotate-seal").unwrap(), ControlRequest::KeysRotateSeal {});
    }

    #[test]
    fn changing_nothing_is_no_command() {
        assert!(asked("tekctl set configure 1").is_err());
        assert!(asked("tekctl set create 2").is_ok());
    }

    #[test]
    fn a_schema_that_can_relink_reports_comes_with_a_warning() {
        assert!(warning(&asked("tekctl set create 2 --schema gaen-full").unwrap()).is_some());
        assert!(warning(&asked("tekctl set create 2 --schema gaen-minimal").unwrap()).is_none());
    }

    #[test]
    fn a_release_says_what_it_holds_back() {
        let document = json!({
            "serial": 2, "added": 5, "withdrawn": 0, "expired": 1, "decoys": 0, "decoys_withdrawn": 10, "live": 9,
            "root": "ab", "held": { "embargo": 3 },
        });
        assert_eq!(
            released(1, &document),
            "set 1, release 2: 5 added, 0 withdrawn, 1 expired, 0 decoys added, 10 decoys withdrawn; 9 live, root ab\n\
             held back: 3 embargo"
        );
    }

    #[test]
    fn health_is_one_line_per_finding() {
        assert_eq!(health(&json!({ "healthy": true, "findings": [] })), "healthy");
        let finding = json!({ "property": "fresh", "finding": "it is old" });
        assert_eq!(health(&json!({ "healthy": false, "findings": [finding] })), "fresh: it is old");
    }
}
