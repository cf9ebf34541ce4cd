//! What the journal holds signed, taken out of its events and verified again.
//!
//! Delegations are verified in order, for they say whose signatures count; everything else by itself, in any
//! order. What authorised a report cannot be verified again: of a certificate, a JWT or a code the journal
//! keeps what it is called by, not the thing (spec 5.7.3).

use std::collections::BTreeMap;

use super::event::Event;
use super::rebuild::read_event;
use super::set::FoldError;
use super::state::State;
use super::told::{Stored, Told};
use crate::authority::{Grant, Scope};
use crate::release::{
    CHECKPOINT_CONTEXT, Checkpoint, DELEGATION_LEN, Delegation, Manifest, RECEIPT_CONTEXT, Receipt,
    SIGNATURE_LEN, SignatureList, Trust, verify,
};
use crate::store::journal::Record;
use crate::wire::report::RequestKind;

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignedKind {
    /// By the roots: whose signatures count.
    Delegation,
    /// What clients are told of a set.
    Manifest,
    /// A release.
    Checkpoint,
    /// What a phone was told.
    Receipt,
}

impl SignedKind {
    /// All kinds.
    pub const ALL: [SignedKind; 4] =
        [SignedKind::Delegation, SignedKind::Manifest, SignedKind::Checkpoint, SignedKind::Receipt];

    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SignedKind::Delegation => "delegation",
            SignedKind::Manifest => "manifest",
            SignedKind::Checkpoint => "checkpoint",
            SignedKind::Receipt => "receipt",
        }
    }
}

/// Why a journal does not pass an audit.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A record that cannot be read.
    #[error(transparent)]
    Unreadable(#[from] FoldError),
    /// Something signed that does not hold.
    #[error("event {seq}: the {} does not hold: {why}", kind.name())]
    Fails {
        /// Sequence number of the event.
        seq: u64,
        /// What it is.
        kind: SignedKind,
        /// Why not.
        why: String,
    },
}

impl AuditError {
    /// Sequence number of the event.
    #[must_use]
    pub fn seq(&self) -> u64 {
        match self {
            AuditError::Unreadable(
                FoldError::NoSet { seq, .. }
                | FoldError::Disagrees { seq, .. }
                | FoldError::Unreadable { seq, .. },
            )
            | AuditError::Fails { seq, .. } => *seq,
        }
    }
}

/// What an audit has seen that it cannot verify, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unverifiable {
    /// Grants that were certificates or JWTs.
    pub certificates: u64,
    /// Grants that were codes.
    pub codes: u64,
}

/// Goes through the events of a journal in order.
#[derive(Debug)]
pub struct Audit {
    trust: Trust,
    /// Sequence number of the event it goes on after.
    after: u64,
    delegations: BTreeMap<u32, Delegation>,
    /// Set and id of the reports that phones made, by the sequence number of their event: receipts name them.
    reports: BTreeMap<u64, (u32, [u8; 16])>,
    newest: u32,
    verified: u64,
    unverifiable: Unverifiable,
}

/// Something signed by the online key of a delegation that was verified.
#[derive(Debug)]
pub struct Signed {
    seq: u64,
    delegation: Delegation,
    what: What,
}

#[derive(Debug)]
enum What {
    Manifest(Vec<u8>),
    Checkpoint { checkpoint: Checkpoint, signatures: Vec<u8> },
    Receipt { receipt: Receipt, signature: Box<[u8; SIGNATURE_LEN]> },
}

impl Audit {
    /// Before event one of a service that this trust is of.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Audit {
            trust,
            after: 0,
            delegations: BTreeMap::new(),
            reports: BTreeMap::new(),
            newest: 0,
            verified: 0,
            unverifiable: Unverifiable::default(),
        }
    }

    /// After the events that made `state`: the delegations it remembers are verified now.
    ///
    /// # Errors
    /// [`AuditError::Fails`] for one of them.
    pub fn from_state(trust: Trust, state: &State) -> Result<Self, AuditError> {
        let reports =
            state.sets().flat_map(|(id, set)| set.reports().map(move |(seq, r)| (seq, (id, r.report))));
        let mut audit = Audit { after: state.seq(), reports: reports.collect(), ..Audit::new(trust) };
        for bytes in state.earlier_delegations.values().chain([&state.delegation]) {
            if !bytes.is_empty() {
                audit.delegated(state.seq(), bytes)?;
            }
        }
        Ok(audit)
    }

    /// Sequence number of the event it goes on after, 0 for event one.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.after
    }

    /// Delegations that were verified.
    #[must_use]
    pub fn delegations(&self) -> u64 {
        self.verified
    }

    /// What was seen that cannot be verified.
    #[must_use]
    pub fn unverifiable(&self) -> Unverifiable {
        self.unverifiable
    }

    /// The next record: counts and verifies a delegation, and gives what else it holds signed.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn push(&mut self, record: &Record) -> Result<Option<Signed>, AuditError> {
        let seq = record.seq;
        match read_event(record)? {
            Event::Delegated(bytes) => {
                self.delegated(seq, &bytes)?;
                Ok(None)
            }
            Event::ManifestIssued { bytes, .. } => {
                self.signed(seq, SignedKind::Manifest, self.newest, What::Manifest(bytes))
            }
            Event::Published(p) => {
                let parsed = Checkpoint::parse(&p.checkpoint).map_err(fails(seq, SignedKind::Checkpoint))?;
                let what = What::Checkpoint { checkpoint: parsed, signatures: p.signatures };
                self.signed(seq, SignedKind::Checkpoint, parsed.key_epoch(), what)
            }
            Event::Reported(r) => {
                self.count(&r.grant);
                let Some(authored) = r.authored else { return Ok(None) };
                self.reports.insert(seq, (r.set, r.report));
                self.told(record, RequestKind::Submit, seq, &authored.told)
            }
            Event::Amended(a) => {
                self.count(&a.grant);
                self.told(record, RequestKind::Amend, a.report, &a.told)
            }
            Event::Withdrawn(w) => match (w.told, w.scope) {
                (Some(told), Scope::Report { report }) => {
                    self.told(record, RequestKind::Cancel, report, &told)
                }
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn count(&mut self, grant: &Grant) {
        match grant {
            Grant::None => {}
            Grant::Code { .. } => self.unverifiable.codes += 1,
            Grant::Certificate { .. } => self.unverifiable.certificates += 1,
        }
    }

    fn delegated(&mut self, seq: u64, bytes: &[u8]) -> Result<(), AuditError> {
        let kind = SignedKind::Delegation;
        let (body, list) = bytes.split_at_checked(DELEGATION_LEN).unwrap_or((bytes, &[]));
        let delegation = Delegation::parse(body).map_err(fails(seq, kind))?;
        let (list, _) = SignatureList::parse(list).map_err(fails(seq, kind))?;
        is_of(seq, kind, delegation.service(), &self.trust)?;
        self.trust.verify_delegation(&delegation, &list).map_err(fails(seq, kind))?;
        self.newest = delegation.epoch();
        self.delegations.insert(self.newest, delegation);
        self.verified += 1;
        Ok(())
    }

    /// The receipt of an event about the report of the event `of`. That of another event has another
    /// signature.
    fn told(
        &self,
        record: &Record,
        kind: RequestKind,
        of: u64,
        told: &Told,
    ) -> Result<Option<Signed>, AuditError> {
        let (seq, time, service) = (record.seq, record.time_s, self.trust.service);
        let none = || fails(seq, SignedKind::Receipt)(format!("event {of} before it is no report"));
        let (set, report) = *self.reports.get(&of).ok_or_else(none)?;
        let receipt = told.receipt(&Stored { service, set, report, seq, time, kind });
        let what = What::Receipt { receipt, signature: Box::new(told.signature) };
        self.signed(seq, SignedKind::Receipt, told.key_epoch, what)
    }

    fn signed(
        &self,
        seq: u64,
        kind: SignedKind,
        epoch: u32,
        what: What,
    ) -> Result<Option<Signed>, AuditError> {
        let none = || fails(seq, kind)(format!("no delegation of epoch {epoch} came before it"));
        let delegation = *self.delegations.get(&epoch).ok_or_else(none)?;
        Ok(Some(Signed { seq, delegation, what }))
    }
}

impl Signed {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> SignedKind {
        match self.what {
            What::Manifest(_) => SignedKind::Manifest,
            What::Checkpoint { .. } => SignedKind::Checkpoint,
            What::Receipt { .. } => SignedKind::Receipt,
        }
    }

    /// Verifies it.
    ///
    /// # Errors
    /// [`AuditError::Fails`].
    pub fn verify(&self) -> Result<(), AuditError> {
        let online = self.delegation.online();
        match &self.what {
            What::Manifest(bytes) => {
                Manifest::parse_verified(bytes, &online).map_err(fails(self.seq, self.kind()))?;
                Ok(())
            }
            What::Checkpoint { checkpoint, signatures } => {
                self.is_signed(CHECKPOINT_CONTEXT, checkpoint.as_bytes(), signatures, checkpoint.time())
            }
            What::Receipt { receipt, signature } => {
                let list = Receipt::signature_list(&online, signature);
                self.is_signed(RECEIPT_CONTEXT, receipt.as_bytes(), &list, receipt.time())
            }
        }
    }

    /// Whether the online key signed, in the time it was given (spec 3.5.2, 7.7.2).
    fn is_signed(&self, context: &str, body: &[u8], list: &[u8], time: u64) -> Result<(), AuditError> {
        let fails = |why: String| fails(self.seq, self.kind())(why);
        let (list, _) = SignatureList::parse(list).map_err(|e| fails(e.to_string()))?;
        let online = self.delegation.online();
        if verify(&list, context, body, &[online]).map_err(|e| fails(e.to_string()))? == 0 {
            return Err(fails(format!("no signature of the online key {online}")));
        }
        let (from, to) = (self.delegation.not_before(), self.delegation.not_after());
        if !(from..=to).contains(&time) {
            return Err(fails(format!("its time {time} is outside its delegation, {from} to {to}")));
        }
        Ok(())
    }
}

fn fails<E: std::fmt::Display>(seq: u64, kind: SignedKind) -> impl FnOnce(E) -> AuditError {
    move |why| AuditError::Fails { seq, kind, why: why.to_string() }
}

fn is_of(seq: u64, kind: SignedKind, service: [u8; 8], trust: &Trust) -> Result<(), AuditError> {
    if service == trust.service {
        return Ok(());
    }
    let (got, trusted) = (hex::encode(service), hex::encode(trust.service));
    Err(fails(seq, kind)(format!("it is of service {got}, the trust is of {trusted}")))
}
