//! Operators' commands: each becomes one request on the control socket of a running server.

use std::path::Path;

use serde_json::Value;
use tekd::service::control::{Base64, ControlClient, ControlReply, ControlRequest, SetSettings};

use crate::args::{
    Global, KeyCommand, KeysCommand, OperatorCommand, ProviderCommand, ReleaseCommand, SetCommand,
    SnapshotCommand,
};
use crate::output::{Done, Failure, Outcome};
use crate::progress::Progress;
use crate::tables;
use crate::values;

/// Longest file that may hold a provider's public key.
const MAX_KEY_FILE: u64 = 4096;

/// Carries out a command that is one request.
pub(crate) fn run(global: &Global, command: &OperatorCommand) -> Done {
    let request = request(global, command)?;
    let mut client = connect(global)?;
    let reply = call(&mut client, &request)?;
    let document = reply.result.unwrap_or(Value::Null);
    let text = text(&request, &document);
    let mut notes: Vec<String> = reply.error.into_iter().map(|what| format!("tekctl: {what}")).collect();
    notes.extend(warning(&request));
    Ok(Outcome { exit: reply.exit, document: Some(document), text, notes })
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
    let set = global.set();
    Ok(match command {
        OperatorCommand::Status => ControlRequest::Status {},
        OperatorCommand::Health => ControlRequest::Health {},
        OperatorCommand::Stats => ControlRequest::Stats {},
        OperatorCommand::Metrics => ControlRequest::Metrics {},
        OperatorCommand::Set(command) => set_request(command)?,
        OperatorCommand::Provider(ProviderCommand::List) => ControlRequest::ProviderList {},
        OperatorCommand::Provider(ProviderCommand::Add { name, key }) => {
            let key = key.as_deref().map(provider_key).transpose()?;
            ControlRequest::ProviderAdd { name: name.clone(), key }
        }
        OperatorCommand::Key(KeyCommand::Withdraw { key, reason, urgent, dry_run }) => {
            let (key, reason) = (Base64(key.as_bytes().to_vec()), reason.clone());
            ControlRequest::KeyWithdraw { set, key, reason, urgent: *urgent, dry_run: *dry_run }
        }
        OperatorCommand::Release(command) => release_request(global, command),
        OperatorCommand::Snapshot(SnapshotCommand::Now) => ControlRequest::SnapshotNow {},
        OperatorCommand::Keys(command) => keys_request(command)?,
        OperatorCommand::Drain => ControlRequest::Drain {},
        OperatorCommand::Undrain => ControlRequest::Undrain {},
        OperatorCommand::Import(_) | OperatorCommand::Journal(_) | OperatorCommand::Adopt => {
            unreachable!("these are more than one request, or none, and are carried out elsewhere")
        }
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
        // The server has another working directory.
        KeysCommand::ExportRoot { to } => ControlRequest::KeysExportRoot {
            path: std::path::absolute(to)
                .map_err(|e| Failure::usage(format!("--to {}: {e}", to.display())))?,
        },
        KeysCommand::RotateOnline => ControlRequest::KeysRotateOnline {},
        KeysCommand::RotateTls => ControlRequest::KeysRotateTls {},
    })
}

fn provider_key(path: &Path) -> Result<Base64, Failure> {
    let file = tekd::store::read_file(&tekd::store::RealDisk, path, MAX_KEY_FILE)
        .map_err(|e| Failure::failed(format!("cannot read {}: {e}", path.display())))?;
    let key = values::ed25519_key(&file).ok_or_else(|| {
        let shapes = "PEM (\"-----BEGIN PUBLIC KEY-----\"), or 32 bytes bare, in hex or in base64";
        Failure::usage(format!("{} holds no Ed25519 public key: expected {shapes}", path.display()))
    })?;
    Ok(Base64(key.to_vec()))
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
        ControlRequest::ProviderAdd { .. } => format!("provider {}: {}", field("provider"), field("name")),
        ControlRequest::KeysExportRoot { .. } => {
            format!("the root key is in {} and no longer on the server: keep it safe", field("exported"))
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
        "set {set}, release {}: {} added, {} withdrawn, {} expired, {} decoys; {} live, root {}",
        field("serial"),
        field("added"),
        field("withdrawn"),
        field("expired"),
        field("decoys"),
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
            "serial": 2, "added": 5, "withdrawn": 0, "expired": 1, "decoys": 0, "live": 9, "root": "ab",
            "held": { "embargo": 3 },
        });
        assert_eq!(
            released(1, &document),
            "set 1, release 2: 5 added, 0 withdrawn, 1 expired, 0 decoys; 9 live, root ab\n\
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
