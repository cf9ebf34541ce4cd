//! `provider`: who may authorise reports, and with which keys.

use std::path::Path;

use serde_json::{Value, json};
use tekd::authority::{KeyMaterial, MAX_KEY_TEXT};
use tekd::service::control::{Base64, ControlRequest, SignerKey};
use tekd::service::timetext::format_time;

use crate::args::Global;
use crate::authority_args::{KeyLifeArgs, ProviderCommand, ProviderKeyCommand};
use crate::operator::{ask, outcome};
use crate::output::{Done, Failure};
use crate::tables::{self, scalar};

/// Carries out a command about providers.
pub(crate) fn run(global: &Global, command: &ProviderCommand) -> Done {
    let request = request(global, command)?;
    let reply = ask(global, &request)?;
    Ok(outcome(reply, |document| text(&request, document)))
}

fn request(global: &Global, command: &ProviderCommand) -> Result<ControlRequest, Failure> {
    Ok(match command {
        ProviderCommand::Add { name, key, life, issuer, audience } => ControlRequest::ProviderAdd {
            name: name.clone(),
            key: key.as_deref().map(|file| signer_key(file, life)).transpose()?,
            issuer: issuer.clone(),
            audience: audience.clone(),
            set: global.set(),
        },
        ProviderCommand::List => ControlRequest::ProviderList {},
        ProviderCommand::Show { id } => ControlRequest::ProviderShow { provider: *id },
        ProviderCommand::Key(ProviderKeyCommand::Add { id, key, life }) => {
            ControlRequest::ProviderKeyAdd { provider: *id, key: signer_key(key, life)? }
        }
        ProviderCommand::Key(ProviderKeyCommand::Revoke { id, fingerprint, since, reason, dry_run }) => {
            ControlRequest::ProviderKeyRevoke {
                provider: *id,
                fingerprint: fingerprint.clone(),
                since: *since,
                reason: reason.clone(),
                dry_run: *dry_run,
            }
        }
        ProviderCommand::Suspend { id, reason } => {
            ControlRequest::ProviderSuspend { provider: *id, reason: reason.clone() }
        }
        ProviderCommand::Resume { id, reason } => {
            ControlRequest::ProviderResume { provider: *id, reason: reason.clone() }
        }
        ProviderCommand::Revoke { id, since, reason, dry_run } => ControlRequest::ProviderRevoke {
            provider: *id,
            since: *since,
            reason: reason.clone(),
            dry_run: *dry_run,
        },
    })
}

/// The public key in a file. A file that is no such thing is not sent: it may be a secret by mistake.
fn signer_key(file: &Path, life: &KeyLifeArgs) -> Result<SignerKey, Failure> {
    // One byte more than is looked at, so that a longer file is told to be too long.
    let text = tekd::store::read_file(&tekd::store::RealDisk, file, MAX_KEY_TEXT as u64 + 1)
        .map_err(|e| Failure::failed(format!("cannot read {}: {e}; nothing was sent", file.display())))?;
    let material = KeyMaterial::from_text(&text)
        .map_err(|e| Failure::usage(format!("{}: {e}; nothing was sent", file.display())))?;
    Ok(SignerKey {
        algorithm: material.algorithm().to_owned(),
        public_key: Base64(material.as_bytes().to_vec()),
        key_id: life.key_id.clone(),
        not_before: life.key_from,
        not_after: life.key_until,
    })
}

fn text(request: &ControlRequest, document: &Value) -> String {
    let field = |name: &str| scalar(&document[name]);
    match request {
        ControlRequest::ProviderAdd { key, .. } => {
            let added = format!("provider {}: {}", field("provider"), field("name"));
            match key {
                Some(key) => format!("{added}\n{}", key_text(key, &field("fingerprint"))),
                None => added,
            }
        }
        ControlRequest::ProviderList {} => list(document),
        ControlRequest::ProviderKeyAdd { key, .. } => {
            let whose = format!("provider {} ({})", field("provider"), field("name"));
            format!("{whose}: {}", key_text(key, &field("fingerprint")))
        }
        ControlRequest::ProviderKeyRevoke { provider, fingerprint, since, dry_run, .. } => {
            revoked(&format!("key {fingerprint} of provider {provider}"), None, *since, *dry_run, document)
        }
        ControlRequest::ProviderSuspend { provider, .. } => format!(
            "provider {provider} is suspended: what it authorised stays, and its codes and certificates wait for \
             `tekctl provider resume {provider}`"
        ),
        ControlRequest::ProviderResume { provider, .. } => format!(
            "provider {provider} may authorise reports; what was taken back comes back by `tekctl reinstate SEQ`"
        ),
        ControlRequest::ProviderRevoke { provider, since, dry_run, .. } => {
            let resume = format!("`tekctl provider resume {provider}` undoes it");
            revoked(&format!("provider {provider}"), Some(&resume), *since, *dry_run, document)
        }
        _ => tables::lines(document),
    }
}

fn key_text(key: &SignerKey, fingerprint: &str) -> String {
    let from = key.not_before.map_or("now".to_owned(), format_time);
    let until = key.not_after.map_or("it is revoked".to_owned(), format_time);
    format!("{} key {fingerprint} holds from {from} until {until}", key.algorithm)
}

/// A line for each provider.
fn list(document: &Value) -> String {
    let row = |p: &Value| {
        let current = p["keys"].as_array().into_iter().flatten().filter(|key| key["revoked"].is_null());
        json!({
            "provider": p["provider"], "name": p["name"], "standing": p["standing"],
            "reports": p["counts"]["reports"], "keys": p["counts"]["keys"],
            "withdrawn": p["counts"]["withdrawn"],
            "codes": p["codes"]["issued"], "spent": p["codes"]["spent"],
            "outstanding": p["codes"]["outstanding"], "spent_share": p["codes"]["spent_share"],
            "signing keys": current.count(),
        })
    };
    tables::lines(&document.as_array().into_iter().flatten().map(row).collect())
}

/// A provider or a key of one that authorises nothing any more. `resume`: how that is undone, if it can be.
fn revoked(who: &str, resume: Option<&str>, since: Option<u64>, dry_run: bool, document: &Value) -> String {
    let field = |name: &str| scalar(&document[name]);
    let (head, would) = if dry_run { ("would be", "would be") } else { ("is", "are") };
    let mut text = format!("{who} {head} revoked");
    match since {
        None => text.push_str("; nothing that it authorised is taken back: --since TIME does that"),
        Some(since) => text.push_str(&format!(
            "; {}, {would} taken back: all it authorised since {}",
            tables::reports_in(document),
            format_time(since)
        )),
    }
    if dry_run {
        text.push_str("\nnothing was changed");
        return text;
    }
    let reinstate = format!("`tekctl reinstate {}` brings back what was taken back", field("seq"));
    let undo: Vec<&str> = resume.into_iter().chain(since.map(|_| &*reinstate)).collect();
    text.push_str(&format!("\nevent {}", field("seq")));
    if !undo.is_empty() {
        text.push_str(&format!(": {}", undo.join(", and ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command, OperatorCommand};

    fn asked(line: &str) -> Result<ControlRequest, Failure> {
        let cli = Cli::try_parse_from(line.split_ascii_whitespace()).expect(line);
        let Command::Operator(OperatorCommand::Provider(command)) = &cli.command else { panic!("{line}") };
        request(&cli.global, command)
    }

    #[test]
    fn a_key_is_read_from_its_file_and_sent_as_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let hex = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
        std::fs::write(&file, format!("{hex}\n")).unwrap();
        let line =
            format!("tekctl provider key add 3 --key {} --key-until 2030-01-01T00:00:00Z", file.display());
        let key = SignerKey {
            algorithm: "ed25519".to_owned(),
            public_key: Base64(hex::decode(hex).unwrap()),
            key_id: None,
            not_before: None,
            not_after: Some(1_893_456_000),
        };
        assert_eq!(asked(&line).unwrap(), ControlRequest::ProviderKeyAdd { provider: 3, key });
        std::fs::write(&file, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
        assert!(asked(&line).is_err());
        std::fs::write(&file, vec![b'x'; MAX_KEY_TEXT + 1]).unwrap();
        assert!(asked(&line).is_err());
    }

    #[test]
    fn suspending_and_resuming_need_no_reason_and_revoking_does() {
        let reason = "suspended by an operator".to_owned();
        assert_eq!(
            asked("tekctl provider suspend 2").unwrap(),
            ControlRequest::ProviderSuspend { provider: 2, reason }
        );
        let words = |line: &str| Cli::try_parse_from(line.split_ascii_whitespace());
        assert!(words("tekctl provider revoke 2").is_err());
        assert!(words("tekctl provider add Lab --key-id k").is_err(), "a name for a key that is not there");
        assert!(words("tekctl provider add Lab --issuer i").is_err(), "no audience");
    }

    #[test]
    fn revoking_says_which_moment_was_understood() {
        let document = json!({ "reports": 2, "keys": 28, "live": 26, "seq": 40 });
        assert_eq!(
            revoked("provider 3", Some("`resume 3` undoes it"), Some(1_795_512_600), false, &document),
            "provider 3 is revoked; 2 reports with 28 keys, 26 of them live, are taken back: all it authorised \
             since 2026-11-24T09:30:00Z\n\
             event 40: `resume 3` undoes it, and `tekctl reinstate 40` brings back what was taken back"
        );
        assert!(revoked("key k", None, None, true, &document).ends_with("nothing was changed"));
        assert!(revoked("key k", None, None, false, &document).ends_with("\nevent 40"));
    }
}
