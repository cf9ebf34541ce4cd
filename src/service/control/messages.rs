//! The control socket's commands, one variant each.
//!
//! A field this version does not know is refused, never skipped: a `dry_run` that an
//! older server overlooked would be a deed. Commands without fields are written `Status {}`
//! because a unit variant would skip what stands beside it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::base64text::Base64;
use super::parts::{
    ImportKey, MAX_IMPORT_CHUNK, MAX_IMPORT_KEY_JSON, SetSettings, SignatureState, SignerKey, TypedCode,
};

/// Most bytes in one line, its newline included.
pub const MAX_LINE: usize = 64 << 20;

const _: () = assert!(MAX_IMPORT_CHUNK * MAX_IMPORT_KEY_JSON + 1024 < MAX_LINE);

/// What an operator asks of a running server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ControlRequest {
    /// What the server is and does, in short.
    Status {},
    /// Whether every stated property holds; [`super::Exit::Degraded`] when one does not.
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
        /// Its first key, when it signs certificates or JWTs.
        key: Option<SignerKey>,
        /// What its JWTs call it; together with the audience.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        issuer: Option<String>,
        /// Whom its JWTs are for.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        audience: Option<String>,
        /// The set its JWTs are for, which name none.
        set: u32,
    },
    /// All providers with what they have done.
    ProviderList {},
    /// One provider.
    ProviderShow {
        /// The provider.
        provider: u32,
    },
    /// Registers a key of a provider.
    ProviderKeyAdd {
        /// The provider.
        provider: u32,
        /// The key.
        key: SignerKey,
    },
    /// Revokes a key of a provider.
    ProviderKeyRevoke {
        /// The provider.
        provider: u32,
        /// Fingerprint of the key: 16 hex digits.
        fingerprint: String,
        /// Takes back what it signed for at or after this time, Unix seconds.
        since: Option<u64>,
        /// Why; recorded.
        reason: String,
        /// Says what would happen and does nothing.
        #[serde(default)]
        dry_run: bool,
    },
    /// A provider authorises no reports for now.
    ProviderSuspend {
        /// The provider.
        provider: u32,
        /// Why; recorded.
        reason: String,
    },
    /// A provider authorises reports again.
    ProviderResume {
        /// The provider.
        provider: u32,
        /// Why; recorded.
        reason: String,
    },
    /// A provider authorises no reports any more.
    ProviderRevoke {
        /// The provider.
        provider: u32,
        /// Takes back what it authorised at or after this time, Unix seconds.
        since: Option<u64>,
        /// Why; recorded.
        reason: String,
        /// Says what would happen and does nothing.
        #[serde(default)]
        dry_run: bool,
    },
    /// Makes a batch of codes; the reply has them.
    CodesIssue {
        /// Who hands them out.
        provider: u32,
        /// The set they are for.
        set: u32,
        /// How many.
        count: u32,
        /// Seconds they hold.
        lifetime_s: u64,
        /// What a report with one of them says, by name.
        report_type: String,
        /// Day of onset that holds for all of them, days since 1970.
        onset_day: Option<u32>,
    },
    /// All batches of codes, without codes.
    CodesList {},
    /// Whether a code would be taken now; [`super::Exit::Refused`] if not.
    CodesCheck {
        /// The code.
        code: TypedCode,
    },
    /// The codes of a batch that nobody used yet.
    CodesShow {
        /// The batch.
        batch: u32,
    },
    /// Revokes what is left of a batch.
    CodesRevoke {
        /// The batch.
        batch: u32,
        /// Takes back the reports it authorised too.
        #[serde(default)]
        retroactive: bool,
        /// Why; recorded.
        reason: String,
        /// Says what would happen and does nothing.
        #[serde(default)]
        dry_run: bool,
    },
    /// Where one report stands.
    ReportShow {
        /// Its id: 32 hex digits.
        report: String,
    },
    /// Reports, newest first, decoys apart.
    ReportList {
        /// Of this set only.
        set: Option<u32>,
        /// Of this provider only.
        provider: Option<u32>,
        /// Of this batch of codes only.
        batch: Option<u32>,
        /// So many at most.
        limit: u32,
    },
    /// Takes one report back.
    ReportWithdraw {
        /// Its id: 32 hex digits.
        report: String,
        /// Why; recorded.
        reason: String,
        /// Does not wait for company, at a cost in privacy.
        #[serde(default)]
        urgent: bool,
        /// Says what would happen and does nothing.
        #[serde(default)]
        dry_run: bool,
    },
    /// Takes back everything that was stored after an event.
    Rollback {
        /// Sequence number of the last event whose reports stay.
        to: u64,
        /// Of this provider only.
        provider: Option<u32>,
        /// Why; recorded.
        reason: String,
        /// Does not wait for company, at a cost in privacy.
        #[serde(default)]
        urgent: bool,
        /// Says what would happen and does nothing.
        #[serde(default)]
        dry_run: bool,
    },
    /// Brings back what a withdrawal, a revocation or a rollback took.
    Reinstate {
        /// Sequence number of that event.
        seq: u64,
    },
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
    /// Writes the codes key to a file too; it stays in the data directory.
    KeysExportCodes {
        /// The file, which must not exist; seen from the server.
        path: PathBuf,
    },
    /// Makes a new key that reports are sealed to.
    KeysRotateSeal {},
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
