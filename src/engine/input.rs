//! What the writer is asked, and what it answers.

use super::event::Changes;
use super::guard::ClockAlarm;
use super::params::{Params, ParamsError};
use super::releasing::Held;
use crate::release::{Fields, Schema, SigningKey};
use crate::wire::Key;

/// A request to the writer.
#[derive(Debug)]
pub enum Input {
    /// The first input of a new journal: whose it is.
    Found {
        /// Service id.
        service: [u8; 8],
        /// Incarnation.
        incarnation: u32,
        /// The signed delegation of the online key.
        delegation: Vec<u8>,
    },
    /// Go on in a new incarnation: the directory is a copy or a restored backup.
    Adopt {
        /// The incarnation of its identity.
        incarnation: u32,
    },
    /// Make a set.
    CreateSet {
        /// Its number, not 0.
        set: u32,
        /// Its parameters.
        params: Params,
    },
    /// Change a set's parameters.
    Configure {
        /// The set.
        set: u32,
        /// What changes.
        change: ParamsChange,
    },
    /// Register a provider.
    AddProvider {
        /// Its name, unique.
        name: String,
        /// Ed25519 key of its certificates.
        key: Option<[u8; 32]>,
    },
    /// Take keys from elsewhere as reports of a provider, which is made if there is none of that name.
    Import {
        /// The set.
        set: u32,
        /// Name of the provider.
        provider: String,
        /// The keys.
        keys: Vec<ImportedKey>,
    },
    /// Take a key back.
    WithdrawKey {
        /// The set.
        set: u32,
        /// The key.
        key: Key,
        /// Leave in the next release even without company.
        urgent: bool,
        /// Why.
        reason: String,
        /// Only count.
        dry_run: bool,
    },
    /// Release now.
    Release {
        /// The set.
        set: u32,
        /// However small, without company.
        allow_small: bool,
    },
    /// Time has passed: release what is due.
    Tick,
    /// The table of a decided release is made.
    Built(BuiltRelease),
    /// A new online key takes over.
    Delegate {
        /// 80 bytes and the signature list.
        delegation: Vec<u8>,
        /// The secret key it names.
        key: SigningKey,
    },
    /// The clock is right after all.
    ApproveClock,
}

/// A key as it arrives: not judged, not coarsened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportedKey {
    /// The key.
    pub key: Key,
    /// Its fields; `period` is the one of [`ImportedKey::period`] where that fits.
    pub fields: Fields,
    /// Rolling period as sent, in intervals.
    pub period: u32,
}

/// Parameters to change; `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParamsChange {
    /// New schema.
    pub schema: Option<Schema>,
    /// New retention in days.
    pub retention_days: Option<u16>,
    /// New interval in seconds.
    pub interval_s: Option<u32>,
    /// New embargo in seconds.
    pub embargo_s: Option<u32>,
    /// New minimum of reports.
    pub min_reports: Option<u32>,
    /// New longest wait in seconds.
    pub max_wait_s: Option<u32>,
    /// Decoys on or off.
    pub decoys: Option<bool>,
}

impl ParamsChange {
    /// The parameters after the change.
    pub fn apply_to(&self, old: Params) -> Params {
        Params {
            schema: self.schema.unwrap_or(old.schema),
            retention_days: self.retention_days.unwrap_or(old.retention_days),
            interval_s: self.interval_s.unwrap_or(old.interval_s),
            embargo_s: self.embargo_s.unwrap_or(old.embargo_s),
            min_reports: self.min_reports.unwrap_or(old.min_reports),
            max_wait_s: self.max_wait_s.unwrap_or(old.max_wait_s),
            decoys: self.decoys.unwrap_or(old.decoys),
        }
    }
}

/// What the builder found when it made the table of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltRelease {
    /// The set.
    pub set: u32,
    /// The release.
    pub serial: u32,
    /// Live entries.
    pub count: u64,
    /// Root of the bucket tree.
    pub root: [u8; 32],
    /// H of all history entries.
    pub history_digest: [u8; 32],
}

/// A durable answer of the writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done, nothing more to say.
    Done,
    /// The set has these parameters now.
    Configured {
        /// The set.
        set: u32,
        /// All its parameters.
        params: Params,
    },
    /// The provider is registered.
    Provider {
        /// Its number.
        provider: u32,
        /// Its name.
        name: String,
    },
    /// An import was judged and what was good is stored.
    Imported(ImportCounts),
    /// A key was, or would be, taken back.
    Withdrawn(WithdrawCount),
    /// A release is published.
    Released(ReleaseSummary),
    /// The clock alarm was lifted.
    Approved {
        /// What it was, if there was one.
        was: Option<ClockAlarm>,
    },
}

/// Counts of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportCounts {
    /// Keys looked at.
    pub keys: u64,
    /// Keys stored.
    pub accepted: u64,
    /// Keys refused, by reason.
    pub rejected: Vec<(&'static str, u64)>,
}

/// Counts of a withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WithdrawCount {
    /// Reports that claimed the key.
    pub reports: u64,
    /// Keys taken back.
    pub keys: u64,
    /// Of these, keys the public sees until the next release.
    pub live: u64,
    /// Sequence number of the event; none in a dry run.
    pub seq: Option<u64>,
}

/// What a release did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseSummary {
    /// The set.
    pub set: u32,
    /// Its serial.
    pub serial: u32,
    /// Its time.
    pub time: u64,
    /// Counts.
    pub changes: Changes,
    /// What waits.
    pub held: Held,
    /// Live entries.
    pub live: u64,
    /// Root of the bucket tree.
    pub root: [u8; 32],
}

/// Why the writer refuses. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// No such set.
    #[error(
        "there is no set {set}; `tekctl set list` shows those there are, `tekctl set create {set}` makes it"
    )]
    NoSet {
        /// The set asked for.
        set: u32,
    },
    /// The set is there already, or its number is 0.
    #[error("set {set} cannot be made: it exists already, or its number is 0; nothing was changed")]
    SetExists {
        /// The set asked for.
        set: u32,
    },
    /// A parameter is outside its limits.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The schema changes only while a set is empty.
    #[error(
        "set {set} has {live} live and {waiting} waiting keys in schema {schema}; the schema changes only while \
         a set is empty: make another set, or wait until its keys have expired"
    )]
    SchemaInUse {
        /// The set.
        set: u32,
        /// The schema it has.
        schema: &'static str,
        /// Live entries.
        live: u64,
        /// Waiting keys.
        waiting: usize,
    },
    /// A name is taken.
    #[error("provider {provider} has the name {name:?} already; choose another name")]
    ProviderExists {
        /// Who has it.
        provider: u32,
        /// The name.
        name: String,
    },
    /// A limit is reached.
    #[error("there are {limit} {what} already, the most allowed; nothing was changed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// A text is empty, too long, or has control characters.
    #[error("{what} has {len} bytes; it needs 1 to {limit} and no control characters; nothing was changed")]
    Text {
        /// Which text.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// Nobody claims this key.
    #[error(
        "no report in set {set} claims this key: it was never accepted, is withdrawn already, or has expired"
    )]
    NoKey {
        /// The set.
        set: u32,
    },
    /// The release before is not out yet.
    #[error("release {serial} of set {set} is being built; ask again when it is published")]
    ReleaseInFlight {
        /// The set.
        set: u32,
        /// The serial being built.
        serial: u32,
    },
    /// A table for a release nobody waits for.
    #[error("no release {serial} of set {set} is being built")]
    NotInFlight {
        /// The set.
        set: u32,
        /// The serial offered.
        serial: u32,
    },
    /// The clock jumped.
    #[error("{0}")]
    ClockHeld(ClockAlarm),
}
