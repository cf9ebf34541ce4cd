//! Imports: keys come in pieces over one connection, and are judged and stored at its word.
//!
//! What is not committed when the connection closes is forgotten.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Commands, Done, failed};
use crate::engine::{ImportedKey, Input, MAX_IMPORT_KEYS, Reply};
use crate::release::{Fields, ONSET_NONE};
use crate::service::control::{ControlReply, ImportKey, MAX_IMPORT_CHUNK};
use crate::wire::Key;

/// Imports one connection may have begun.
const MAX_OPEN_IMPORTS: usize = 4;

/// What a control connection remembers between its commands.
#[derive(Debug, Default)]
pub(crate) struct Session {
    next: u64,
    imports: BTreeMap<u64, Import>,
}

#[derive(Debug)]
struct Import {
    set: u32,
    keys: Vec<ImportedKey>,
    /// Keys whose bytes are no key.
    malformed: u64,
}

impl Commands {
    pub(super) fn commit_import(&self, session: &mut Session, import: u64) -> Done {
        let Some(begun) = session.imports.remove(&import) else { return Err(no_import(import)) };
        let input = Input::Import { set: begun.set, provider: "import".to_owned(), keys: begun.keys };
        let Reply::Imported(counts) = self.ask(input)? else {
            return Err(failed("the import got no counts"));
        };
        let mut rejected: BTreeMap<&str, u64> = counts.rejected.into_iter().collect();
        if begun.malformed > 0 {
            *rejected.entry("malformed").or_default() += begun.malformed;
        }
        let keys = counts.keys + begun.malformed;
        let result = json!({ "keys": keys, "accepted": counts.accepted, "rejected": rejected });
        if counts.accepted == 0 && keys > 0 {
            let of = if keys == 1 { "its one key".to_owned() } else { format!("its {keys} keys") };
            let why = format!("none of {of} was accepted: {}; nothing was stored", reasons(&rejected));
            return Err(ControlReply::failed_with(result, why));
        }
        Ok(result)
    }
}

fn reasons(rejected: &BTreeMap<&str, u64>) -> String {
    rejected.iter().map(|(reason, n)| format!("{n} {reason}")).collect::<Vec<_>>().join(", ")
}

fn no_import(import: u64) -> ControlReply {
    ControlReply::usage(format!("no import {import} was begun on this connection"))
}

pub(super) fn begin_import(session: &mut Session, set: u32) -> Done {
    if session.imports.len() >= MAX_OPEN_IMPORTS {
        let why = format!(
            "{MAX_OPEN_IMPORTS} imports are open on this connection, the most allowed; commit one first"
        );
        return Err(ControlReply::usage(why));
    }
    session.next += 1;
    session.imports.insert(session.next, Import { set, keys: Vec::new(), malformed: 0 });
    Ok(json!({ "import": session.next }))
}

pub(super) fn add_keys(session: &mut Session, import: u64, keys: &[ImportKey]) -> Done {
    let begun = session.imports.get_mut(&import).ok_or_else(|| no_import(import))?;
    if keys.len() > MAX_IMPORT_CHUNK || begun.keys.len() + keys.len() > MAX_IMPORT_KEYS {
        let why = format!(
            "{} keys after {} are too many: at most {MAX_IMPORT_CHUNK} at a time and {MAX_IMPORT_KEYS} \
             in all; nothing of this import was stored",
            keys.len(),
            begun.keys.len()
        );
        session.imports.remove(&import);
        return Err(ControlReply::usage(why));
    }
    for key in keys {
        match imported(key) {
            Some(key) => begun.keys.push(key),
            None => begun.malformed += 1,
        }
    }
    Ok(json!({ "keys": begun.keys.len() }))
}

/// A key as it was sent; what is out of range is left for the writer to judge. An onset beyond what schemas
/// know counts as none.
fn imported(k: &ImportKey) -> Option<ImportedKey> {
    let key = Key::from_slice(&k.key.0)?;
    let small = |v: Option<i64>| v.map_or(0, |v| u8::try_from(v).unwrap_or(u8::MAX));
    let onset = k.days_since_onset.and_then(|d| i8::try_from(d).ok()).filter(|d| (-14..=14).contains(d));
    let fields = Fields {
        start: k.rolling_start_number,
        period: u16::try_from(k.rolling_period).unwrap_or(0),
        report: small(k.report_type.map(i64::from)),
        risk: small(k.transmission_risk.map(i64::from)),
        onset: onset.unwrap_or(ONSET_NONE),
    };
    Some(ImportedKey { key, fields, period: k.rolling_period })
}
