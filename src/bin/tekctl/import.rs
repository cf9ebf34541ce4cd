//! `import`: an export package of the field, read and checked here, judged and stored by the server.
//!
//! Nothing is sent before the whole package was read and its signature, if a key is given, has verified;
//! nothing is stored before the server has all keys.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tekd::gaen::{ExportedKey, MAX_PEM_BYTES, MAX_ZIP_BYTES, Package, SignatureError, rebase, verify};
use tekd::service::control::{
    Base64, ControlClient, ControlRequest, ImportKey, MAX_IMPORT_CHUNK, SignatureState,
};
use tekd::store::{RealDisk, read_file};
use tekd::time::INTERVAL_S;

use crate::args::{Global, ImportArgs};
use crate::operator::{call, connect};
use crate::output::{Done, Failure, Outcome};
use crate::progress::Progress;
use crate::tables::counted;

/// The server's name for keys that are none.
const MALFORMED: &str = "malformed";

/// Imports a package.
pub(crate) fn run(global: &Global, args: &ImportArgs) -> Done {
    let name = args.file.display();
    let zip = read(&args.file, MAX_ZIP_BYTES)?;
    let mut package =
        Package::read(&zip).map_err(|e| Failure::failed(format!("{name}: {e}; nothing was sent")))?;
    let signature = match &args.public_key {
        None => SignatureState::Unchecked,
        Some(key) => check_signature(&args.file, &package, key)?,
    };
    let shift_days = match args.rebase {
        false => 0,
        true => rebase(&mut package.keys, now_interval())
            .map_err(|e| Failure::failed(format!("{name}: {e}; nothing was sent")))?,
    };
    let source = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut client = connect(global)?;
    let counts = upload(&mut client, global.set(), source, signature, &package.keys)?;
    let counts = counts.with_malformed(package.malformed.total() as u64);
    conclude(&counts, shift_days, signature, package.revised_keys.len())
}

fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let read = read_file(&RealDisk, path, limit as u64);
    read.map_err(|e| Failure::failed(format!("cannot read {}: {e}; nothing was sent", path.display())))
}

fn check_signature(file: &Path, package: &Package, key: &Path) -> Result<SignatureState, Failure> {
    let pem = read(key, MAX_PEM_BYTES)?;
    match verify(package, &String::from_utf8_lossy(&pem)) {
        Ok(_) => Ok(SignatureState::Valid),
        Err(error @ (SignatureError::Unsigned | SignatureError::NoneValid { .. })) => {
            Err(Failure::failed(format!("{}: {error}; nothing was sent", file.display())))
        }
        Err(error) => Err(Failure::usage(format!("{}: {error}; nothing was sent", key.display()))),
    }
}

fn now_interval() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(now / INTERVAL_S).unwrap_or(u32::MAX)
}

/// Sends the keys and lets the server judge and store them: its counts, or why it refuses.
fn upload(
    client: &mut ControlClient,
    set: u32,
    source: String,
    signature: SignatureState,
    keys: &[ExportedKey],
) -> Result<Counts, Failure> {
    let begun = call(client, &ControlRequest::ImportBegin { set, source, signature })?;
    let import = begun.result.as_ref().and_then(|r| r["import"].as_u64());
    let import = import.ok_or_else(|| Failure::failed("the server began an import without a number"))?;
    let mut progress = Progress::of("keys sent");
    let (mut sent, total) = (0, keys.len() as u64);
    for chunk in keys.chunks(MAX_IMPORT_CHUNK) {
        let keys = chunk.iter().map(import_key).collect();
        call(client, &ControlRequest::ImportKeys { import, keys })?;
        sent += chunk.len() as u64;
        progress.at(sent, Some(total));
    }
    drop(progress);
    let reply = client.call(&ControlRequest::ImportCommit { import }, |_| ())?;
    // An import of which nothing was accepted fails with its counts.
    match reply.result.map(serde_json::from_value) {
        Some(Ok(counts)) => Ok(counts),
        _ => Err(Failure::exiting(
            reply.exit,
            reply.error.unwrap_or_else(|| "the server gave no counts of the import".to_owned()),
        )),
    }
}

fn import_key(key: &ExportedKey) -> ImportKey {
    ImportKey {
        key: Base64(key.key.to_vec()),
        rolling_start_number: key.start,
        rolling_period: key.period,
        report_type: Some(key.report_type.into()),
        transmission_risk: Some(key.risk.into()),
        days_since_onset: key.onset.map(i32::from),
    }
}

/// How the keys of an import were judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    keys: u64,
    accepted: u64,
    rejected: BTreeMap<String, u64>,
}

impl Counts {
    /// With keys that the package has and that are none.
    fn with_malformed(mut self, malformed: u64) -> Self {
        if malformed > 0 {
            self.keys += malformed;
            *self.rejected.entry(MALFORMED.to_owned()).or_default() += malformed;
        }
        self
    }

    fn reasons(&self) -> String {
        self.rejected.iter().map(|(reason, n)| format!("{n} {reason}")).collect::<Vec<_>>().join(", ")
    }
}

fn conclude(counts: &Counts, shift_days: i64, signature: SignatureState, revised: usize) -> Done {
    let document = json!({
        "keys": counts.keys,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "shift_days": shift_days,
        "signature": signature,
    });
    let mut text = format!("{} of {} accepted", counts.accepted, counted(counts.keys, "key"));
    if !counts.rejected.is_empty() {
        text.push_str(&format!("; rejected: {}", counts.reasons()));
    }
    if shift_days != 0 {
        text.push_str(&format!(
            "; shifted by {}{}",
            if shift_days < 0 { "-" } else { "" },
            counted(shift_days.unsigned_abs(), "day")
        ));
    }
    text.push_str(match signature {
        SignatureState::Unchecked => "; signature unchecked",
        SignatureState::Valid => "; signature valid",
    });
    if counts.accepted == 0 && counts.keys > 0 {
        let why = format!(
            "none of {} was accepted: {}; nothing was stored",
            counted(counts.keys, "key"),
            counts.reasons()
        );
        return Err(Failure::failed(why).with(document, text));
    }
    let mut outcome = Outcome::new(document, text);
    if revised > 0 {
        outcome.notes.push(format!(
            "tekctl: left out: {} of earlier packages",
            counted(revised as u64, "revised key")
        ));
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(keys: u64, accepted: u64, expired: u64) -> Counts {
        let rejected = (expired > 0).then(|| ("expired".to_owned(), expired));
        Counts { keys, accepted, rejected: rejected.into_iter().collect() }
    }

    #[test]
    fn keys_that_are_none_count_as_rejected() {
        let with = counts(10, 8, 2).with_malformed(3);
        assert_eq!((with.keys, with.accepted), (13, 8));
        assert_eq!(with.reasons(), "2 expired, 3 malformed");
        assert_eq!(counts(10, 10, 0).with_malformed(0), counts(10, 10, 0));
    }

    #[test]
    fn an_import_of_which_nothing_was_accepted_has_failed() {
        let unchecked = SignatureState::Unchecked;
        assert!(conclude(&counts(5, 0, 5), 0, unchecked, 0).is_err());
        assert!(conclude(&counts(0, 0, 0).with_malformed(1), 0, unchecked, 0).is_err());
        assert!(conclude(&counts(0, 0, 0), 0, unchecked, 0).is_ok());
        assert!(conclude(&counts(5, 1, 4), 0, unchecked, 0).is_ok());
    }

    #[test]
    fn the_document_has_the_fields_of_the_contract() {
        let done = conclude(&counts(5, 4, 1), -7, SignatureState::Valid, 0).unwrap();
        let expected = json!({
            "keys": 5, "accepted": 4, "rejected": { "expired": 1 }, "shift_days": -7, "signature": "valid",
        });
        assert_eq!(done.document, Some(expected));
        assert_eq!(
            done.text,
            "4 of 5 keys accepted; rejected: 1 expired; shifted by -7 days; signature valid"
        );
    }
}
