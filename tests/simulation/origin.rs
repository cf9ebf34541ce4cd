//! The origin's machine: its disk, its clocks, the process that runs on it, and how that begins and ends.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tekd::engine::{AnswerCounters, Cookies, Gate, Moment, TakeSealed, Ticket};
use tekd::node::{Clock, Keyhole, Origin, OriginError, OriginOptions, SingleOrigin, StartError};
use tekd::store::journal::Head;
use tekd::store::{Fate, Loose, MemoryDisk, MemoryMode, SECTOR};
use tekd::wire::layout::SealedQuestion;
use tekd::wire::{Question, ResultCode};

use super::ahead::Order;
use super::canary::{BadBuilder, Canary, bent};
use super::counts::Counts;
use super::dice::{Dice, seeded};
use super::ledger::{Ledgered, SharedLedger};
use super::medium::{Medium, Met};

/// Where the origin's files are.
pub(crate) const DIR: &str = "/data";
/// The set that everybody follows.
pub(crate) const SET: u32 = 1;
pub(crate) const SEGMENT: u64 = 1 << 20;
/// Purposes of randomness, with the number of the start.
const WRITER: u64 = 1 << 32;
const SECRETS: u64 = 2 << 32;
/// The secret of cookies, shared by all of the fleet.
const COOKIES: [u8; 32] = *b"one fleet of one operator, told!";

/// The clocks of a machine, set by the simulation.
#[derive(Debug)]
pub(crate) struct Clocks(Mutex<Moment>);

impl Clocks {
    pub(crate) fn new() -> Arc<Clocks> {
        Arc::new(Clocks(Mutex::new(Moment { unix: 0, monotonic_ms: 0 })))
    }

    pub(crate) fn set(&self, now: Moment) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Clock for Clocks {
    fn now(&self) -> Moment {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes sealed questions that can be opened: the rest is done at once, by whoever asked the gate.
#[derive(Debug)]
struct Desk(Arc<Keyhole>);

impl TakeSealed for Desk {
    fn take(&self, now: Moment, _: &Question, question: &SealedQuestion) -> Result<Ticket, ResultCode> {
        self.0.look().accepts(now.unix, question).map(|()| Ticket(1))
    }
}

/// A running origin.
pub(crate) struct Process {
    pub(crate) single: SingleOrigin,
    pub(crate) gate: Gate,
    /// What was ordered for its journal and is not carried out yet.
    pub(crate) ahead: Option<Order>,
    /// Its journal failed: it answers questions and decides nothing.
    pub(crate) stopped: bool,
}

/// The machine.
pub(crate) struct OriginHost {
    pub(crate) disk: MemoryDisk,
    pub(crate) medium: Medium,
    pub(crate) process: Option<Process>,
    pub(crate) ledger: SharedLedger,
    pub(crate) clocks: Arc<Clocks>,
    /// Seconds by which the wall clock is wrong.
    pub(crate) skew_s: i64,
    booted_ms: u64,
    /// Starts so far.
    pub(crate) starts: u64,
    /// Power cuts so far.
    pub(crate) cuts: u64,
    seed: u64,
    canary: Option<Canary>,
    pub(crate) bad_builder: BadBuilder,
}

/// How a start ended that did not succeed.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) why: String,
    /// The journal is not what it was.
    pub(crate) journal: bool,
    /// What the disk did meanwhile.
    pub(crate) met: Met,
}

impl OriginHost {
    pub(crate) fn new(seed: u64, canary: Option<Canary>) -> OriginHost {
        let disk = MemoryDisk::new();
        OriginHost {
            medium: medium(&disk, canary),
            disk,
            process: None,
            ledger: SharedLedger::default(),
            clocks: Clocks::new(),
            skew_s: 0,
            booted_ms: 0,
            starts: 0,
            cuts: 0,
            seed,
            canary,
            bad_builder: BadBuilder::default(),
        }
    }

    /// What its clocks say.
    pub(crate) fn moment(&self, now_ms: u64) -> Moment {
        let unix = (now_ms / 1000).saturating_add_signed(self.skew_s);
        Moment { unix, monotonic_ms: now_ms - self.booted_ms }
    }

    /// The process, if it takes decisions.
    pub(crate) fn running(&mut self, now_ms: u64) -> Option<&mut Process> {
        self.clocks.set(self.moment(now_ms));
        self.process.as_mut().filter(|process| !process.stopped)
    }

    /// Starts the process on what the disk has. A machine that starts has the right time.
    pub(crate) fn start(&mut self, now_ms: u64) -> Result<(), NotStarted> {
        self.starts += 1;
        (self.skew_s, self.booted_ms) = (0, now_ms);
        self.clocks.set(self.moment(now_ms));
        self.medium = medium(&self.disk, self.canary);
        self.bad_builder = BadBuilder::default();
        let opened = self.open();
        let met = self.medium.met();
        let not = |why: StartError| {
            let journal = matches!(why, StartError::Origin(OriginError::Journal(_)));
            NotStarted { why: why.to_string(), journal, met }
        };
        self.process = Some(opened.map_err(not)?);
        Ok(())
    }

    fn open(&self) -> Result<Process, StartError> {
        let (writer, secrets) =
            (seeded(self.seed, WRITER + self.starts), seeded(self.seed, SECRETS + self.starts));
        let disk = Arc::new(self.medium.clone());
        let options = OriginOptions { disk, dir: PathBuf::from(DIR), segment_bytes: SEGMENT };
        let (ledger, met, canary) = (Arc::clone(&self.ledger), self.medium.shared(), self.canary);
        let origin = Origin::open_over(options, self.clocks.now(), writer, |journal| {
            Box::new(Ledgered { journal: bent(canary, journal), ledger, met })
        })?;
        let clock: Arc<dyn Clock> = Arc::clone(&self.clocks) as Arc<dyn Clock>;
        let single = SingleOrigin::over(origin, MemoryMode::Copy, clock, secrets)?;
        let desk = Arc::new(Desk(Arc::clone(single.keyhole())));
        let service = single.origin().identity().service_id;
        let counters = Arc::new(AnswerCounters::default());
        let gate = Gate::new(Arc::clone(single.view()), cookies(service), None, counters).with_desk(desk);
        Ok(Process { single, gate, ahead: None, stopped: false })
    }

    /// The process ends at once; what it wrote is in the machine's memory.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// The power goes: of what was not durable each thing is kept, dropped or torn.
    pub(crate) fn cut(&mut self, now_ms: u64, dice: &mut Dice, counts: &mut Counts) {
        self.process = None;
        self.cuts += 1;
        self.disk = after_cut(&self.disk, now_ms, dice, counts);
    }
}

/// The head of the journal of an origin that is opened on this disk, if it can be.
pub(crate) fn look(disk: &MemoryDisk, now: Moment) -> Result<Head, StartError> {
    let options =
        OriginOptions { disk: Arc::new(disk.clone()), dir: PathBuf::from(DIR), segment_bytes: SEGMENT };
    let origin = Origin::open(options, now, seeded(0, 0))?;
    Ok(origin.head())
}

/// The disk after a power cut that spares nobody.
pub(crate) fn after_cut(disk: &MemoryDisk, now_ms: u64, dice: &mut Dice, counts: &mut Counts) -> MemoryDisk {
    counts.fault("power cut", now_ms);
    let mut fates = Vec::new();
    let all = dice.pick(&[None, None, Some(Fate::Kept), Some(Fate::Dropped)]);
    for loose in disk.loose() {
        let fate = all.unwrap_or_else(|| match (dice.below(4), loose) {
            (0, _) => Fate::Kept,
            (1 | 2, Loose::Sector) => Fate::Torn(dice.below(SECTOR)),
            (1 | 2, Loose::Length(grown)) => Fate::Torn(dice.below(grown)),
            _ => Fate::Dropped,
        });
        counts.fault(
            match fate {
                Fate::Kept => "kept by a power cut",
                Fate::Dropped => "dropped by a power cut",
                Fate::Torn(_) => "torn by a power cut",
            },
            now_ms,
        );
        fates.push(fate);
    }
    disk.crash_as(&fates)
}

fn medium(disk: &MemoryDisk, canary: Option<Canary>) -> Medium {
    Medium::new(disk.clone(), canary == Some(Canary::ReceiptBeforeSync))
}

/// The cookies of everybody who answers.
pub(crate) fn cookies(service: [u8; 8]) -> Cookies {
    Cookies::new(COOKIES, service)
}
