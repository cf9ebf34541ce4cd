//! Events: the decisions the journal keeps.
//!
//! An event carries everything its effect depends on: verdicts, embargo ends, random draws,
//! signatures. Applying it needs no clock, no key and no judgement (state-is-a-fold).

use super::params::Params;
use super::told::Told;
use crate::authority::{Grant, Issuer, ProviderKey, Scope, Standing};
use crate::release::Fields;
use crate::wire::Key;
use crate::wire::report::ReportType;

/// Most keys in one report; the manifest announces at most this.
pub const MAX_KEYS_PER_REPORT: usize = 30;
/// Longest text (a name, a reason) in an event, in bytes.
pub const MAX_TEXT: usize = 500;
/// Version of every event's layout written by this program.
pub const EVENT_VERSION: u16 = 1;

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first event of a journal.
    Founded(Founded),
    /// A signed delegation came into force: 80 bytes and the signature list.
    Delegated(Vec<u8>),
    /// A set was made or its parameters changed.
    Configured(Configured),
    /// A new manifest of a set, all its bytes.
    ManifestIssued {
        /// The set it describes.
        set: u32,
        /// The object.
        bytes: Vec<u8>,
    },
    /// A provider was registered.
    ProviderAdded(ProviderAdded),
    /// A report, or a decoy, was accepted.
    Reported(Reported),
    /// Claims were taken back.
    Withdrawn(Withdrawn),
    /// A release was decided; readers do not see it yet.
    Released(Released),
    /// The release was built, signed, and may be seen.
    Published(Published),
    /// A copy or a restored backup of the directory was taken over: versions are of this incarnation from
    /// here on.
    Adopted {
        /// The new incarnation, above all before it.
        incarnation: u32,
        /// The newest checkpoint of each set that somebody else was known to have: serials go on above.
        known: Vec<Vec<u8>>,
    },
    /// A report got more keys, or another report type.
    Amended(Amended),
    /// A withdrawal was undone.
    Reinstated {
        /// Sequence number of the event that is undone.
        seq: u64,
    },
    /// A provider got a key.
    ProviderKeyAdded {
        /// The provider.
        provider: u32,
        /// The key.
        key: ProviderKey,
    },
    /// A provider's key was revoked.
    ProviderKeyRevoked(ProviderKeyRevoked),
    /// A provider was suspended, resumed or revoked.
    ProviderStood(ProviderStood),
    /// A batch of codes was issued.
    CodesIssued(CodesIssued),
    /// What is left of a batch was revoked.
    BatchRevoked {
        /// The batch.
        batch: u32,
        /// The reports it authorised are taken back too.
        retroactive: bool,
        /// Why, in the operator's words.
        reason: String,
    },
    /// The codes of all keys but one cannot be told any more.
    CodesVoided {
        /// The id of the key whose codes hold.
        key_id: [u8; 8],
    },
    /// A key to seal to was made.
    SealKeyMade(SealKey),
    /// A snapshot is whole: from here on the journal can be read from there.
    Based(Based),
}

/// Who this journal belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founded {
    /// Service id, random and permanent.
    pub service: [u8; 8],
    /// Incarnation that starts here.
    pub incarnation: u32,
}

/// A snapshot that stands for everything up to a head of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Based {
    /// Number of the last group in it.
    pub gno: u64,
    /// Sequence number of the last event in it.
    pub seq: u64,
    /// Hash chain up to there.
    pub chain: [u8; 32],
    /// SHA-256 of its payload.
    pub digest: [u8; 32],
}

/// Parameters of a set from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The set.
    pub set: u32,
    /// All parameters, changed or not.
    pub params: Params,
}

/// A health-care provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderAdded {
    /// Its number.
    pub provider: u32,
    /// Its name, unique.
    pub name: String,
    /// What its JWTs say, if it issues any.
    pub issuer: Option<Issuer>,
}

/// One accepted key of a report, coarsened to the set's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedKey {
    /// The key.
    pub key: Key,
    /// Its public fields.
    pub fields: Fields,
    /// Unix time before which it must not be published.
    pub embargo_end: u64,
}

/// What ties a report to the phone that made it.
#[derive(Clone, PartialEq, Eq)]
pub struct Authored {
    /// H of the secret that the phone keeps.
    pub secret_hash: [u8; 32],
    /// Day of onset, days since 1970.
    pub onset_day: Option<u32>,
    /// What the report says.
    pub report_type: ReportType,
    /// What it was told.
    pub told: Told,
}

/// The accepted keys of one report.
#[derive(Clone, PartialEq, Eq)]
pub struct Reported {
    /// The set reported to.
    pub set: u32,
    /// The provider that authorised it; [`DECOY_PROVIDER`] for a decoy.
    pub provider: u32,
    /// 16 fresh random bytes.
    pub report: [u8; 16],
    /// What authorised it; spent by this event.
    pub grant: Grant,
    /// The phone's part; none in an import or a decoy.
    pub authored: Option<Authored>,
    /// The keys, at least one.
    pub keys: Vec<ReportedKey>,
}

/// The provider number of decoys: no real provider has it.
pub const DECOY_PROVIDER: u32 = 0;

impl Reported {
    /// A report without a phone: an import, or a decoy.
    pub fn unauthored(set: u32, provider: u32, report: [u8; 16], keys: Vec<ReportedKey>) -> Self {
        Reported { set, provider, report, grant: Grant::None, authored: None, keys }
    }

    /// Whether the writer made this report up to keep others company.
    pub fn is_decoy(&self) -> bool {
        self.provider == DECOY_PROVIDER
    }
}

/// A change of a report by its author.
#[derive(Clone, PartialEq, Eq)]
pub struct Amended {
    /// The set.
    pub set: u32,
    /// Sequence number of the report's event.
    pub report: u64,
    /// What the report says from now on, if that changes.
    pub report_type: Option<ReportType>,
    /// What authorised the change of type; spent by this event.
    pub grant: Grant,
    /// The provider of that grant, 0 for none.
    pub provider: u32,
    /// More keys.
    pub keys: Vec<ReportedKey>,
    /// What the phone was told.
    pub told: Told,
}

/// Claims taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    /// Which.
    pub scope: Scope,
    /// Goes out in the next release even without company.
    pub urgent: bool,
    /// Why, in the operator's words; empty from an author.
    pub reason: String,
    /// What the author was told who took back the report; none from an operator.
    pub told: Option<Told>,
}

/// A provider's key signs for nothing any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderKeyRevoked {
    /// The provider.
    pub provider: u32,
    /// Fingerprint of the key.
    pub fingerprint: [u8; 8],
    /// What it signed for at or after this time is taken back too.
    pub since: Option<u64>,
    /// Why, in the operator's words.
    pub reason: String,
}

/// A provider's standing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderStood {
    /// The provider.
    pub provider: u32,
    /// Its standing from here on.
    pub standing: Standing,
    /// What it authorised at or after this time is taken back too.
    pub since: Option<u64>,
    /// Why, in the operator's words.
    pub reason: String,
}

/// A batch of codes; the codes themselves stand nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodesIssued {
    /// Its number.
    pub batch: u32,
    /// Who hands the codes out.
    pub provider: u32,
    /// The set they are for.
    pub set: u32,
    /// What a report with one of them says.
    pub report_type: ReportType,
    /// Day of onset, days since 1970.
    pub onset_day: Option<u32>,
    /// What the codes come from, with the codes key.
    pub nonce: [u8; 16],
    /// Id of the codes key.
    pub key_id: [u8; 8],
    /// How many codes.
    pub count: u32,
    /// The last second they hold, Unix time.
    pub expires: u64,
}

/// A key reports are sealed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealKey {
    /// The public key (X25519).
    pub public: [u8; 32],
    /// Its id (spec 7.1.1).
    pub id: [u8; 8],
    /// First second it may be sealed to.
    pub not_before: u64,
    /// Last second it may be sealed to.
    pub not_after: u64,
}

/// What a release does, counted. Decoys apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Keys added, decoys not counted.
    pub added: u32,
    /// Live keys withdrawn, decoys not counted.
    pub withdrawn: u32,
    /// Live entries that expired, decoys counted.
    pub expired: u32,
    /// Decoy keys added.
    pub decoys_added: u32,
    /// Decoy keys withdrawn.
    pub decoys_withdrawn: u32,
}

/// A release as decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// The set.
    pub set: u32,
    /// One above the release before.
    pub serial: u32,
    /// Unix time; never before that of the release before.
    pub time: u64,
    /// Interval number below which keys are expired.
    pub horizon: u32,
    /// Depth of the bucket tree.
    pub bits: u8,
    /// Keys whose embargo ended at or before this time come in; 0 for none. It is what the clock said, and no
    /// later, where the release's own time goes on from that of the release before.
    pub admit: u64,
    /// Keys taken back leave.
    pub withdraw: bool,
    /// Went out although it was smaller than the set's minimum.
    pub forced: bool,
    /// Decoy reports that leave, by the sequence number of their event.
    pub decoys_leaving: Vec<u64>,
    /// What this does; the fold must find the same.
    pub changes: Changes,
}

/// A release as built and signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
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
    /// The checkpoint: 208 bytes.
    pub checkpoint: Vec<u8>,
    /// Its signature list.
    pub signatures: Vec<u8>,
}
