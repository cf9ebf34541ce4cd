//! The control socket's messages: one type per command, one reply for all.
//!
//! A field this version does not know is refused, never skipped: a `dry_run` that an
//! older server overlooked would be a deed. Commands without fields are written `Status {}`
//! because a unit variant would skip what stands beside it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::base64text::Base64;
use super::exit::Exit;

/// Most bytes in one line, its newline included.
pub const MAX_LINE: usize = 64 << 20;

/// Most keys in one [`ControlRequest::ImportKeys`]; larger packages go in several.
pub const MAX_IMPORT_CHUNK: usize = 50_000;

/// Upper bound of one [`ImportKey`] as JSON: names, six numbers, 64 bytes of base64.
const MAX_IMPORT_KEY_JSON: usize = 320;

const _: () = assert!(MAX_IMPORT_CHUNK * MAX_IMPORT_KEY_JSON + 1024 < MAX_LINE);

/// What an operator asks of a running server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ControlRequest {
    /// What the server is and does, in short.
    Status {},
    /// Whether every stated property holds; [`Exit::Degraded`] when one does not.
    Health {},
    /// All counters.
    Stats {},
    /// The metrics page, as `{"text"}`.
    Metrics {},
    /// All sets.
    SetList {},
    /// One set with its settings.
    SetShow {
        /// The set.
        set: u32,
    },
    /// Makes a set.
    SetCreate {
        /// The new set's id.
        set: u32,
        /// What differs from the defaults.
        settings: SetSettings,
    },
    /// Changes a set from the next release on.
    SetConfigure {
        /// The set.
        set: u32,
        /// What changes.
        settings: SetSettings,
    },
    /// Registers a provider.
    ProviderAdd {
        /// Its name, unique.
        name: String,
        /// Its Ed25519 public key, when it signs certificates.
        key: Option<Base64>,
    },
    /// All providers.
    ProviderList {},
    /// Starts an import; the reply's result is `{"import": id}`. Nothing is stored before
    /// [`ControlRequest::ImportCommit`], and an import not committed when its connection
    /// closes is forgotten.
    ImportBegin {
        /// Where the keys go.
        set: u32,
        /// What the package calls itself; recorded with its reports.
        source: String,
        /// What is known of the package's signature.
        signature: SignatureState,
    },
    /// Adds keys to an import, at most [`MAX_IMPORT_CHUNK`].
    ImportKeys {
        /// From the reply to [`ControlRequest::ImportBegin`].
        import: u64,
        /// The keys as the package has them.
        keys: Vec<ImportKey>,
    },
    /// Judges and stores an import: `{"keys","accepted","rejected":{reason:count}}`.
    ImportCommit {
        /// From the reply to [`ControlRequest::ImportBegin`].
        import: u64,
    },
    /// Takes one key back.
    KeyWithdraw {
        /// The set.
        set: u32,
        /// The key.
        key: Base64,
        /// Why; recorded.
        reason: String,
        /// Does not wait for company, at a cost in privacy.
        #[serde(default)]
        urgent: bool,
        /// Says what would happen and does nothing.
        #[serde(default)]
        dry_run: bool,
    },
    /// Makes a release now.
    ReleaseNow {
        /// The set.
        set: u32,
        /// Goes out without the minimum and without company, recorded as forced.
        #[serde(default)]
        allow_small: bool,
    },
    /// The releases of a set, newest first.
    ReleaseList {
        /// The set.
        set: u32,
    },
    /// One release.
    ReleaseShow {
        /// The set.
        set: u32,
        /// Its serial.
        serial: u32,
    },
    /// What waits and why, of one set or of all.
    ReleaseHeld {
        /// The set; all sets when absent.
        set: Option<u32>,
    },
    /// Lets held releases go.
    ReleaseApprove {
        /// The set.
        set: u32,
        /// Why; recorded.
        reason: String,
    },
    /// Writes a snapshot of the private state.
    SnapshotNow {},
    /// All keys of the service with their ends.
    KeysList {},
    /// Writes the root keys to a file and removes them from the data directory.
    KeysExportRoot {
        /// The file, which must not exist; seen from the server.
        path: PathBuf,
    },
    /// Makes a new online key.
    KeysRotateOnline {},
    /// Makes a new TLS certificate.
    KeysRotateTls {},
    /// Tells clients to go elsewhere and goes on answering.
    Drain {},
    /// Takes [`ControlRequest::Drain`] back.
    Undrain {},
    /// Drains and ends the process.
    Shutdown {},
}

/// Settings of a set; what is absent stays as it is (or at its default, in a new set).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SetSettings {
    /// Seconds between releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_s: Option<u32>,
    /// Reports a release waits for when decoys are off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_reports: Option<u32>,
    /// Seconds after which a small release goes out all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_wait_s: Option<u32>,
    /// Whether decoys are added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoys: Option<bool>,
    /// Seconds a key is held after its validity ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embargo_s: Option<u32>,
    /// Days a key stays published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u16>,
    /// Metadata schema by name; changes only while the set is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// What is known of an imported package's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureState {
    /// No public key was given to check it against.
    Unchecked,
    /// It verified.
    Valid,
}

/// One key of an import, with the numbers as its package has them, not yet judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportKey {
    /// 16 or 32 bytes.
    pub key: Base64,
    /// Interval number of its first interval.
    pub rolling_start_number: u32,
    /// Intervals it is valid for.
    pub rolling_period: u32,
    /// Report type, a number of the field's export format; absent when the package has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub report_type: Option<u32>,
    /// Transmission risk level; absent when the package has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transmission_risk: Option<i32>,
    /// Days from the onset of symptoms to the key's day; absent when the package has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub days_since_onset: Option<i32>,
}

/// How far a command has come, for a progress bar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// What is being counted, such as `keys`.
    pub what: String,
    /// How many are done.
    pub done: u64,
    /// How many there are; absent while unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total: Option<u64>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlReply {
    /// Whether the command did what was asked ([`Exit::Ok`] or [`Exit::Degraded`]).
    pub ok: bool,
    /// The exit code of the program that asked.
    pub exit: Exit,
    /// What went wrong or does not hold: a sentence for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// The command's own document.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<Value>,
}

impl ControlReply {
    /// It worked.
    pub fn done(result: Value) -> Self {
        Self { ok: true, exit: Exit::Ok, error: None, result: Some(result) }
    }

    /// It worked, but a stated property does not hold: which one.
    pub fn degraded(result: Value, what: impl Into<String>) -> Self {
        Self { ok: true, exit: Exit::Degraded, error: Some(what.into()), result: Some(result) }
    }

    /// It did not work.
    pub fn failed(why: impl Into<String>) -> Self {
        Self { ok: false, exit: Exit::Failed, error: Some(why.into()), result: None }
    }

    /// It did not work, and there is a document about it (counts of rejected keys).
    pub fn failed_with(result: Value, why: impl Into<String>) -> Self {
        Self { ok: false, exit: Exit::Failed, error: Some(why.into()), result: Some(result) }
    }

    /// The request makes no sense.
    pub fn usage(why: impl Into<String>) -> Self {
        Self { ok: false, exit: Exit::Usage, error: Some(why.into()), result: None }
    }

    /// The server will not do it.
    pub fn refused(why: impl Into<String>) -> Self {
        Self { ok: false, exit: Exit::Refused, error: Some(why.into()), result: None }
    }
}

/// One line from the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ServerLine {
    /// `{"progress":{…}}`: more follows.
    Progress {
        /// How far.
        progress: Progress,
    },
    /// The end of the command.
    Reply(ControlReply),
}
