//! Canaries: plausible bugs, each built into something around the program, that the simulation must find.
//!
//! None of them is in tekd: they sit in a disk that lies, a journal that bends what it is given, an operator
//! whose settings are not passed on, a node or a gate that skips a step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tekd::authority::Scope;
use tekd::engine::{
    Amended, Event, Input, Kind, ParamsChange, ReleaseView, ReportReply, SetView, Shelf, Source, View,
};
use tekd::node::{Keys, journal_path};
use tekd::release::{Receipt, ReceiptFields};
use tekd::store::generation::Generation;
use tekd::store::journal::{Ahead, AppendError, Durability, Head, Journal, LocalJournal, Options, Record};
use tekd::store::{Disk, Identity, MemoryDisk, Published};
use tekd::wire::outcome::ReceiptBytes;
use tekd::wire::report::Outcome;

use super::invariant::Invariant;
use super::origin::{DIR, SET};

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Canary {
    ReceiptBeforeSync,
    CodeSpentWithoutReport,
    DeltaFromTheWrongHorizon,
    StaleGenerationAfterSwap,
    TornGroupAccepted,
    RetryGetsASecondReceipt,
    EmbargoIgnored,
    WithdrawalLostOnRestart,
    NodeAcceptsOlderVersion,
    ConfirmsAfterAnIoError,
    ReleaseOfOneReportAlone,
    AnswerLongerThanQuestion,
    ClockJumpReleased,
}

impl Canary {
    pub(crate) const ALL: [Canary; 13] = [
        Canary::ReceiptBeforeSync,
        Canary::CodeSpentWithoutReport,
        Canary::DeltaFromTheWrongHorizon,
        Canary::StaleGenerationAfterSwap,
        Canary::TornGroupAccepted,
        Canary::RetryGetsASecondReceipt,
        Canary::EmbargoIgnored,
        Canary::WithdrawalLostOnRestart,
        Canary::NodeAcceptsOlderVersion,
        Canary::ConfirmsAfterAnIoError,
        Canary::ReleaseOfOneReportAlone,
        Canary::AnswerLongerThanQuestion,
        Canary::ClockJumpReleased,
    ];

    /// What it breaks, and what must say so.
    pub(crate) fn breaks(self) -> Invariant {
        match self {
            Canary::ReceiptBeforeSync => Invariant::DurableBeforeReceipt,
            Canary::CodeSpentWithoutReport => Invariant::SpentWithReport,
            Canary::DeltaFromTheWrongHorizon => Invariant::Deltas,
            Canary::StaleGenerationAfterSwap => Invariant::OneRelease,
            Canary::TornGroupAccepted => Invariant::WholeGroups,
            Canary::RetryGetsASecondReceipt => Invariant::OneReceipt,
            Canary::EmbargoIgnored => Invariant::Embargo,
            Canary::WithdrawalLostOnRestart => Invariant::TakenBack,
            Canary::NodeAcceptsOlderVersion => Invariant::VerifiedBeforeServed,
            Canary::ConfirmsAfterAnIoError => Invariant::FailStop,
            Canary::ReleaseOfOneReportAlone => Invariant::Company,
            Canary::AnswerLongerThanQuestion => Invariant::NeverAmplify,
            Canary::ClockJumpReleased => Invariant::ClockGuard,
        }
    }
}

/// What operators ask, as it arrives.
pub(crate) fn arriving(canary: Option<Canary>, input: Input) -> Input {
    match (canary, input) {
        // The setting is taken and not passed on.
        (Some(Canary::EmbargoIgnored), Input::Configure { set, change }) => {
            let change = ParamsChange { embargo_s: change.embargo_s.map(|_| 0), ..change };
            Input::Configure { set, change }
        }
        // The word that allows a small release is taken as given.
        (Some(Canary::ReleaseOfOneReportAlone), Input::Release { set, .. }) => {
            Input::Release { set, allow_small: true }
        }
        (_, input) => input,
    }
}

/// A journal that does to what it is given what the canary says.
pub(crate) fn bent(canary: Option<Canary>, journal: Box<dyn Journal>) -> Box<dyn Journal> {
    match canary {
        Some(
            canary @ (Canary::CodeSpentWithoutReport
            | Canary::WithdrawalLostOnRestart
            | Canary::ConfirmsAfterAnIoError),
        ) => Box::new(Bent { journal, canary, earlier: None }),
        _ => journal,
    }
}

struct Bent {
    journal: Box<dyn Journal>,
    canary: Canary,
    /// A report by a phone, by its sequence number.
    earlier: Option<u64>,
}

impl Bent {
    fn bend(&mut self, record: &Record) -> Record {
        let event = Event::decode(record.kind, record.version, &record.payload).expect("an event of ours");
        let event = match (self.canary, event) {
            (Canary::WithdrawalLostOnRestart, Event::Withdrawn(mut w)) => {
                w.scope = Scope::After { seq: record.seq, provider: None };
                Event::Withdrawn(w)
            }
            (Canary::CodeSpentWithoutReport, Event::Reported(r)) => match (r.authored, self.earlier) {
                (Some(authored), Some(earlier)) => {
                    let (report_type, keys) = (None, Vec::new());
                    let (set, grant, provider, told) = (r.set, r.grant, r.provider, authored.told);
                    Event::Amended(Amended { set, report: earlier, report_type, grant, provider, keys, told })
                }
                (authored, earlier) => {
                    self.earlier = earlier.or(authored.is_some().then_some(record.seq));
                    return record.clone();
                }
            },
            _ => return record.clone(),
        };
        Record { kind: event.kind(), payload: event.encode(), ..record.clone() }
    }
}

impl Journal for Bent {
    fn acquire(&mut self) -> Result<Head, AppendError> {
        self.journal.acquire()
    }

    fn append(&mut self, expect: &Head, records: &[Record], now_ms: u64) -> Result<Head, AppendError> {
        let bent: Vec<Record> = records.iter().map(|record| self.bend(record)).collect();
        match self.journal.append(expect, &bent, now_ms) {
            Err(AppendError::Failed(_) | AppendError::Stopped { .. } | AppendError::Conflict(_))
                if self.canary == Canary::ConfirmsAfterAnIoError =>
            {
                Ok(Head { gno: expect.gno + 1, seq: expect.seq + records.len() as u64, ..*expect })
            }
            appended => appended,
        }
    }

    fn make_room(&mut self, bytes: u64, now_ms: u64) -> Result<(), AppendError> {
        match self.journal.make_room(bytes, now_ms) {
            Err(AppendError::Failed(_) | AppendError::Stopped { .. })
                if self.canary == Canary::ConfirmsAfterAnIoError =>
            {
                Ok(())
            }
            made => made,
        }
    }

    fn room(&self) -> u64 {
        self.journal.room()
    }

    fn wants_ahead(&self) -> Result<Option<Ahead>, AppendError> {
        self.journal.wants_ahead()
    }

    fn head(&self) -> Head {
        self.journal.head()
    }

    fn idle(&mut self) -> Result<(), AppendError> {
        self.journal.idle()
    }

    fn class(&self) -> Durability {
        self.journal.class()
    }

    fn trim(&mut self, below_gno: u64, begun_ms: u64) -> Result<(), AppendError> {
        self.journal.trim(below_gno, begun_ms)
    }
}

/// Recovery that takes what arrived of a torn group for a whole one: `under_way` was being written to `disk`.
pub(crate) fn accept_torn(disk: &MemoryDisk, under_way: &[Record], now_ms: u64) {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let Ok(identity) = Identity::open(disk, Path::new(DIR)) else { return };
    let options = Options { segment_bytes: super::origin::SEGMENT, check_all: false };
    let dir: PathBuf = journal_path(Path::new(DIR));
    let opened = LocalJournal::open(shared, &dir, identity.log_id, identity.incarnation, options);
    let Ok((mut journal, _)) = opened else { return };
    let Ok(head) = journal.acquire() else { return };
    if head.seq + 1 != under_way[0].seq {
        return;
    }
    let mut arrived = under_way.to_vec();
    if arrived.len() > 1 {
        arrived.pop();
    } else if let Ok(Event::Reported(mut r)) = decoded(&arrived[0]) {
        r.keys.truncate(r.keys.len().div_ceil(2));
        arrived[0].payload = Event::Reported(r).encode();
    }
    // A disk that fails now leaves the group out, as it should be.
    let _ = journal.append(&head, &arrived, now_ms).and_then(|_| journal.idle());
}

fn decoded(record: &Record) -> Result<Event, tekd::engine::DecodeError> {
    Event::decode(record.kind, record.version, &record.payload)
}

/// An answer to a request that was answered before, signed once more as of now.
pub(crate) fn sign_again(reply: &mut ReportReply, disk: &dyn Disk, delegation: &[u8], now: u64) {
    let Some(told) = reply.receipt.as_mut().filter(|_| reply.outcome == Outcome::Done) else { return };
    let Ok(old) = Receipt::parse(&told.receipt) else { return };
    let Ok(Some(key)) = Keys::look(disk, Path::new(DIR)).online(old.key_epoch()) else { return };
    if old.time() == now {
        return;
    }
    let fields = ReceiptFields {
        service: old.service(),
        set: old.set(),
        incarnation: old.incarnation(),
        report: old.report(),
        sequence: old.sequence(),
        time: now,
        durability: old.durability().expect("a receipt of ours"),
        kind: old.kind().expect("a receipt of ours"),
        keys: old.keys(),
        key_epoch: old.key_epoch(),
        content: old.content(),
        verdicts: old.verdicts(),
    };
    let receipt = Receipt::new(&fields);
    let signatures = Receipt::signature_list(&key.public(), &receipt.sign(&key));
    *told = ReceiptBytes::new(*receipt.as_bytes(), signatures, delegation);
}

/// What a builder with a bug remembers from release to release.
#[derive(Default)]
pub(crate) struct BadBuilder {
    shelf: Shelf,
    generation: Option<Arc<Generation>>,
    horizons: BTreeMap<u64, u32>,
}

impl BadBuilder {
    /// Shows readers the newest release with its bug.
    pub(crate) fn spoil(&mut self, canary: Option<Canary>, view: &Published<View>) {
        let shown = view.load();
        let Some(set) = shown.set(SET) else { return };
        let Some(release) = &set.release else { return };
        let version = release.checkpoint.version();
        if self.horizons.contains_key(&version) {
            return;
        }
        let spoiled = match canary {
            Some(Canary::DeltaFromTheWrongHorizon) => self.wrong_horizon(set, release),
            Some(Canary::StaleGenerationAfterSwap) => self.stale(release),
            _ => None,
        };
        self.horizons.insert(version, release.checkpoint.horizon());
        self.generation = Some(Arc::clone(&release.generation));
        if let Some(release) = spoiled {
            let set = SetView { release: Some(release), ..set.clone() };
            view.publish(Arc::new(shown.with_set(set))).expect("no reader stays");
        }
    }

    /// Its deltas drop what the release before would have dropped.
    fn wrong_horizon(&mut self, set: &SetView, release: &ReleaseView) -> Option<ReleaseView> {
        let checkpoint = &release.checkpoint;
        let horizon = *self.horizons.last_key_value().map(|(_, horizon)| horizon)?;
        let source = Source {
            service: checkpoint.service(),
            set: checkpoint.set(),
            schema: set.schema,
            version: checkpoint.version(),
            time: checkpoint.time(),
            horizon,
            generation: Arc::clone(&release.generation),
            leaves: Arc::new(release.log.leaves().to_vec()),
            manifest: Arc::clone(&set.manifest),
        };
        let mut objects = self.shelf.release(&source).expect("objects");
        let back = u64::from(checkpoint.serial() - 1).min(20);
        for base in checkpoint.version() - back..checkpoint.version() {
            self.shelf.want(&source, Kind::Live, base).expect("an object");
            objects = self.shelf.objects();
        }
        Some(ReleaseView { objects, ..release.clone() })
    }

    /// Its checkpoint is new and its table is not.
    fn stale(&self, release: &ReleaseView) -> Option<ReleaseView> {
        let generation = self.generation.clone()?;
        Some(ReleaseView { generation, ..release.clone() })
    }
}
