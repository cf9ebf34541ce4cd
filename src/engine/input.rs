//! What the writer is asked, and what it answers.

use super::event::{Based, Changes};
use super::guard::ClockAlarm;
use super::params::Params;
use super::releasing::Held;
use super::set::{ClaimCount, ReportStanding};
use crate::authority::{Code, Issuer, ProviderKey, Scope, Standing, Vouched};
use crate::release::{Fields, Schema, SigningKey};
use crate::wire::Key;
use crate::wire::outcome::ReceiptBytes;
use crate::wire::report::{Outcome, ReportType, RequestKind, Verdict};

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
        /// The newest checkpoint of each set that somebody else is known to have, 208 bytes each.
        known: Vec<Vec<u8>>,
    },
    /// A snapshot is written and verified.
    Base(Based),
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
        /// What its JWTs say, if it issues any.
        issuer: Option<Issuer>,
        /// Its first key.
        key: Option<ProviderKey>,
    },
    /// Register a key of a provider.
    AddProviderKey {
        /// The provider.
        provider: u32,
        /// The key.
        key: ProviderKey,
    },
    /// Revoke a key of a provider.
    RevokeProviderKey {
        /// The provider.
        provider: u32,
        /// Fingerprint of the key.
        fingerprint: [u8; 8],
        /// Take back what it signed for at or after this time, Unix seconds.
        since: Option<u64>,
        /// Why.
        reason: String,
        /// Only count.
        dry_run: bool,
    },
    /// Suspend, resume or revoke a provider.
    SetStanding {
        /// The provider.
        provider: u32,
        /// Its standing from now on.
        standing: Standing,
        /// With [`Standing::Revoked`]: take back what it authorised at or after this time, Unix seconds.
        since: Option<u64>,
        /// Why.
        reason: String,
        /// Only count.
        dry_run: bool,
    },
    /// Issue codes.
    IssueCodes(CodeOrder),
    /// Revoke what is left of a batch of codes.
    RevokeBatch {
        /// The batch.
        batch: u32,
        /// Take back the reports it authorised too.
        retroactive: bool,
        /// Why.
        reason: String,
        /// Only count.
        dry_run: bool,
    },
    /// Give up codes whose key is lost.
    VoidCodes,
    /// A new key to seal to, whose secret is safe already.
    AddSealKey {
        /// The public key.
        public: [u8; 32],
    },
    /// A sealed request, opened.
    Report(Box<ReportRequest>),
    /// Take keys from elsewhere as reports of a provider, which is made if there is none of that name.
    Import {
        /// The set.
        set: u32,
        /// Name of the provider.
        provider: String,
        /// The keys.
        keys: Vec<ImportedKey>,
    },
    /// Take claims back.
    Withdraw {
        /// Which.
        scope: Scope,
        /// Leave in the next release even without company.
        urgent: bool,
        /// Why.
        reason: String,
        /// Only count.
        dry_run: bool,
    },
    /// Undo a withdrawal.
    Reinstate {
        /// Sequence number of the withdrawal.
        seq: u64,
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

/// Codes to be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeOrder {
    /// Who hands them out.
    pub provider: u32,
    /// The set they are for.
    pub set: u32,
    /// How many.
    pub count: u32,
    /// What a report with one of them says.
    pub report_type: ReportType,
    /// Day of onset that holds for all of them, days since 1970.
    pub onset_day: Option<u32>,
    /// How long they hold, in seconds.
    pub lifetime_s: u64,
}

/// What was inside a sealed question.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportRequest {
    /// The set.
    pub set: u32,
    /// What is wanted.
    pub kind: RequestKind,
    /// The report's id.
    pub report: [u8; 16],
    /// H of its secret for SUBMIT and DUMMY, else the secret.
    pub secret: [u8; 32],
    /// The report type asked for; none = that of the grant.
    pub report_type: Option<ReportType>,
    /// Day of onset, days since 1970.
    pub onset_day: Option<u32>,
    /// What authorises it, as far as that can be told without the state.
    pub grant: Presented,
    /// Seed and solution of a puzzle; zeros for none.
    pub puzzle: ([u8; 16], u64),
    /// The grant's value, which the puzzle is about.
    pub grant_bytes: Vec<u8>,
    /// The keys.
    pub keys: Vec<PresentedKey>,
    /// Content of the request (spec 7.2.5).
    pub content: [u8; 32],
}

/// A key of a request, of any length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedKey {
    /// The key; 16 or 32 bytes.
    pub key: Key,
    /// Rolling start interval number.
    pub start: u32,
    /// Rolling period, in intervals.
    pub period: u32,
    /// Transmission risk level.
    pub risk: u8,
}

/// A grant as it was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// None.
    None,
    /// A code with the right check symbol.
    Code(Code),
    /// A certificate or JWT whose signature holds.
    Vouched(Vouched),
    /// It fails already, and whose it would have been if that can be told.
    Faulty(Outcome, Option<u32>),
}

/// What a request is answered (spec 7.6).
#[derive(Clone, PartialEq, Eq)]
pub struct ReportReply {
    /// How it ended.
    pub outcome: Outcome,
    /// Where the report stands, if one is meant.
    pub standing: Option<ReportStanding>,
    /// The verdict on each key.
    pub verdicts: Vec<Verdict>,
    /// Seed and bits of a puzzle to solve.
    pub puzzle: Option<([u8; 16], u8)>,
    /// Seconds before the client asks again, 0 for none.
    pub wait_s: u16,
    /// Time of the server, Unix seconds.
    pub time: u64,
    /// Receipt, its signature list, and the delegation of its epoch.
    pub receipt: Option<ReceiptBytes>,
}

/// Seconds after which a client asks again when the writer had no room or has stopped.
const BUSY_WAIT_S: u16 = 5;

impl ReportReply {
    /// BUSY, with its wait, at `time` (Unix seconds).
    pub fn busy(time: u64) -> Self {
        ReportReply { wait_s: BUSY_WAIT_S, ..ReportReply::of(Outcome::Busy, time) }
    }

    /// An outcome at `time` (Unix seconds) and nothing else.
    pub fn of(outcome: Outcome, time: u64) -> Self {
        ReportReply {
            outcome,
            standing: None,
            verdicts: Vec::new(),
            puzzle: None,
            wait_s: 0,
            time,
            receipt: None,
        }
    }
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
    /// Claims were, or would be, taken back or brought back.
    Withdrawn(WithdrawCount),
    /// Codes were issued.
    Codes(IssuedCodes),
    /// So many outstanding codes were given up.
    Voided(u64),
    /// What a request is answered.
    Report(Box<ReportReply>),
    /// A release is published.
    Released(ReleaseSummary),
    /// The journal names the snapshot.
    Based(Based),
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

/// Counts of a withdrawal or a reinstatement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WithdrawCount {
    /// What it changes.
    pub claims: ClaimCount,
    /// Sequence number of the event; none in a dry run.
    pub seq: Option<u64>,
}

/// A batch of codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCodes {
    /// Its number.
    pub batch: u32,
    /// Who hands them out.
    pub provider: u32,
    /// The last second they hold, Unix time.
    pub expires: u64,
    /// The codes, those that were used apart.
    pub codes: Vec<Code>,
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
