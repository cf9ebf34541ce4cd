//! Why the writer refuses: each with what was asked, what limits it, and what to do.

use super::guard::ClockAlarm;
use super::params::ParamsError;

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
    /// No such provider.
    #[error("there is no provider {provider}; `tekctl provider list` shows those there are")]
    NoProvider {
        /// The provider asked for.
        provider: u32,
    },
    /// An issuer is another provider's, or of none.
    #[error("provider {provider} has the issuer {issuer:?} already; nothing was changed")]
    IssuerExists {
        /// Who has it.
        provider: u32,
        /// The issuer.
        issuer: String,
    },
    /// A key is there already.
    #[error(
        "provider {provider} has this key, or another one called {key_id:?}, already; nothing was changed"
    )]
    KeyExists {
        /// Who has it.
        provider: u32,
        /// Its id.
        key_id: String,
    },
    /// No such key.
    #[error(
        "provider {provider} has no key {fingerprint}, or it is revoked and nothing more would be taken back; nothing was \
         changed: `tekctl provider show {provider}` shows its keys"
    )]
    NoProviderKey {
        /// The provider.
        provider: u32,
        /// The fingerprint asked for.
        fingerprint: String,
    },
    /// The provider stands so already, or does not come back from where it is so.
    #[error("provider {provider} is {standing} already; nothing was changed")]
    StandsAlready {
        /// The provider.
        provider: u32,
        /// Its standing.
        standing: &'static str,
    },
    /// A provider that may not authorise reports gets no codes.
    #[error(
        "provider {provider} is {standing}; `tekctl provider resume {provider}` lets it authorise reports again"
    )]
    NotActive {
        /// The provider.
        provider: u32,
        /// Its standing.
        standing: &'static str,
    },
    /// No such batch.
    #[error(
        "there is no batch {batch} of codes, or it is long over; `tekctl codes list` shows those there are"
    )]
    NoBatch {
        /// The batch asked for.
        batch: u32,
    },
    /// A batch is revoked or void already.
    #[error("batch {batch} is {standing} already; nothing was changed")]
    BatchStands {
        /// The batch.
        batch: u32,
        /// Its standing.
        standing: &'static str,
    },
    /// A number is outside its limits.
    #[error("{what} is {value}, allowed are {least} to {most}; nothing was changed")]
    Range {
        /// Of what.
        what: &'static str,
        /// What was asked for.
        value: u64,
        /// Least value allowed.
        least: u64,
        /// Greatest value allowed.
        most: u64,
    },
    /// The codes key is not there.
    #[error(
        "the codes key is missing: no codes can be issued or told; put back keys/codes.key from where it was \
         exported to, and restart tekd"
    )]
    NoCodesKey,
    /// No such report.
    #[error("there is no report of that id that is remembered; `tekctl journal dump` shows what there was")]
    NoReport,
    /// Nothing to take back.
    #[error(
        "nothing is left to take back there: it was never accepted, is withdrawn already, or has expired"
    )]
    NothingLeft,
    /// Nothing to bring back.
    #[error(
        "event {seq} took nothing back that could come back: it is no withdrawal by an operator, is undone already, \
         or what it took has expired"
    )]
    NothingTaken {
        /// The event asked for.
        seq: u64,
    },
    /// An event of the future.
    #[error("the journal ends at event {newest}, before event {seq}; nothing was changed")]
    NoEvent {
        /// The event asked for.
        seq: u64,
        /// The newest there is.
        newest: u64,
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
    /// The journal's disk is full.
    #[error(
        "the disk of the journal is full: the {room} bytes it has left are kept for withdrawals, revocations and \
         releases; nothing was changed: free space on it, and tekd goes on by itself within {retry_s} seconds"
    )]
    JournalFull {
        /// Bytes of groups that can still be written.
        room: u64,
        /// Seconds after which the disk is asked for space again, at the latest.
        retry_s: u64,
    },
    /// The clock jumped.
    #[error("{0}")]
    ClockHeld(ClockAlarm),
}
