//! Faults, drawn from the seed, and how each is over after a while.

use std::collections::BTreeMap;
use std::path::Path;

use tekd::node::{journal_path, set_path, snapshots_path};
use tekd::store::journal::Record;
use tekd::store::{Disk, Fault, MemoryDisk, OperationKind, read_file};

use super::canary::{Canary, accept_torn};
use super::dice::Dice;
use super::invariant::Invariant;
use super::ledger;
use super::network::Place;
use super::origin::{DIR, SET, after_cut};
use super::world::{Event, NODES, World};

/// What is mended, and when somebody gets to it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mend {
    /// Two places reach each other again.
    Heal(Place, Place),
    /// The origin starts.
    StartOrigin,
    /// A node starts.
    StartNode(usize),
    /// The origin's clock is set right.
    Clock,
    /// An operator looks at the clock's alarm.
    Approve,
    /// The origin's disk has space again.
    Space,
    /// The power goes, unless it went since there were so many cuts.
    Power(u64),
}

/// What can go wrong beside the network.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    PowerCut,
    Kill,
    NodePowerCut,
    NodeKill,
    MediumError,
    NodeMediumError,
    NoSpace,
    Partition,
    ClockForward,
    ClockBack,
    RotOfGeneration,
    RotOfSnapshot,
    RotOfJournal,
}

const TROUBLES: [Trouble; 13] = [
    Trouble::PowerCut,
    Trouble::Kill,
    Trouble::NodePowerCut,
    Trouble::NodeKill,
    Trouble::MediumError,
    Trouble::NodeMediumError,
    Trouble::NoSpace,
    Trouble::Partition,
    Trouble::ClockForward,
    Trouble::ClockBack,
    Trouble::RotOfGeneration,
    Trouble::RotOfSnapshot,
    Trouble::RotOfJournal,
];

const KINDS: [OperationKind; 6] = [
    OperationKind::Write,
    OperationKind::Write,
    OperationKind::Sync,
    OperationKind::Sync,
    OperationKind::Rename,
    OperationKind::SyncDir,
];

impl World {
    /// One more thing goes wrong.
    pub(crate) fn trouble(&mut self, dice: &mut Dice) {
        let trouble = dice.pick(&TROUBLES);
        self.tell(format!("trouble: {trouble:?}"));
        let now_ms = self.now_ms;
        match trouble {
            Trouble::PowerCut => self.power_goes_after(dice.below(5) as u64),
            Trouble::Kill => {
                self.counts.fault("process killed", now_ms);
                self.origin.kill();
                self.start_origin_later();
            }
            Trouble::NodePowerCut => {
                // It goes while the node keeps its next release, or now.
                let number = dice.below(NODES);
                if dice.one_in(3) {
                    self.cut_node(number);
                } else {
                    self.nodes[number].disk.freeze_after(dice.below(9) as u64);
                }
            }
            Trouble::NodeKill => self.end_node(dice.below(NODES)),
            Trouble::MediumError => {
                self.origin.disk.fail(dice.pick(&KINDS), 1 + dice.below(4) as u64, Fault::Eio);
            }
            Trouble::NodeMediumError => {
                let fault = dice.pick(&[Fault::Eio, Fault::Enospc]);
                let node = &self.nodes[dice.below(NODES)];
                node.disk.fail(dice.pick(&KINDS), 1 + dice.below(3) as u64, fault);
            }
            Trouble::NoSpace => self.fill(dice),
            Trouble::Partition => self.part(dice),
            Trouble::ClockForward | Trouble::ClockBack => self.jump(trouble, dice),
            Trouble::RotOfGeneration => self.rot_of_generation(dice),
            Trouble::RotOfSnapshot => {
                let files = self.origin.disk.list(&snapshots_path(Path::new(DIR))).unwrap_or_default();
                if let Some(file) = files.last() {
                    rot(&self.origin.disk, file, dice);
                    self.counts.fault("rot of a snapshot", now_ms);
                    self.origin.kill();
                    self.start_origin_later();
                }
            }
            Trouble::RotOfJournal => self.rot_of_journal(dice),
        }
    }

    /// The power of the origin goes after so many operations of its disk, or in a while.
    pub(crate) fn power_goes_after(&mut self, operations: u64) {
        self.origin.disk.freeze_after(operations);
        self.later(200_000, Event::Mend(Mend::Power(self.origin.cuts)));
    }

    fn end_node(&mut self, number: usize) {
        if self.nodes[number].process.take().is_some() {
            self.counts.fault("node killed", self.now_ms);
            self.restart_node_later(number);
        }
    }

    fn cut_node(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.process = None;
        node.disk = after_cut(&node.disk, self.now_ms, &mut self.dice, &mut self.counts);
        self.restart_node_later(number);
    }

    /// The disk of the journal is full: the next segment finds no space, or a write meets that.
    fn fill(&mut self, dice: &mut Dice) {
        if dice.one_in(2) {
            self.origin.disk.fail(OperationKind::Write, 1 + dice.below(30) as u64, Fault::Enospc);
            return;
        }
        let dir = journal_path(Path::new(DIR));
        let used = self.origin.disk.used(&dir);
        self.origin.disk.set_quota(&dir, Some(used + dice.below(4096) as u64));
        self.later(600_000 + dice.below(3_000_000) as u64, Event::Mend(Mend::Space));
    }

    fn part(&mut self, dice: &mut Dice) {
        let places = [Place::Origin, Place::Node(0), Place::Node(1), Place::Node(2)];
        let one = dice.pick(&places);
        let other = match dice.below(3) {
            0 => Place::Phone(dice.below(super::phones::PHONES)),
            _ => dice.pick(&places),
        };
        if one == other {
            return;
        }
        self.counts.fault("partition", self.now_ms);
        self.network.part(one, other);
        self.later(30_000 + dice.below(900_000) as u64, Event::Mend(Mend::Heal(one, other)));
    }

    fn jump(&mut self, trouble: Trouble, dice: &mut Dice) {
        if self.origin.skew_s != 0 || self.origin.process.is_none() {
            return;
        }
        let by = 3_700 + dice.below(100_000) as i64;
        let (by, name) = match trouble {
            Trouble::ClockBack => (-by, "clock back"),
            _ => (by, "clock forward"),
        };
        self.counts.fault(name, self.now_ms);
        self.origin.skew_s = by;
        self.later(20_000 + dice.below(600_000) as u64, Event::Mend(Mend::Clock));
    }

    /// A generation is a cache: who starts with a damaged one makes it again.
    fn rot_of_generation(&mut self, dice: &mut Dice) {
        let number = dice.below(NODES + 1);
        let (disk, dir) = match self.nodes.get(number) {
            Some(node) => (node.disk.clone(), set_path(Path::new("/node"), SET)),
            None => (self.origin.disk.clone(), set_path(Path::new(DIR), SET)),
        };
        let files = disk.list(&dir).unwrap_or_default();
        let mut generations = files.iter().filter(|file| file.extension().is_some_and(|e| e == "tekd"));
        let Some(file) = generations.next_back() else { return };
        rot(&disk, file, dice);
        self.counts.fault("rot of a generation", self.now_ms);
        if number < NODES {
            self.end_node(number);
        } else {
            self.origin.kill();
            self.start_origin_later();
        }
    }

    /// A byte of the journal rots on a copy of the disk: an origin that is opened there refuses, or never
    /// needs that byte. Nothing acknowledged is cut off in silence.
    fn rot_of_journal(&mut self, dice: &mut Dice) {
        if self.origin.process.as_ref().is_none_or(|process| process.stopped) {
            return;
        }
        let now_ms = self.now_ms;
        if let Some(Err(error)) = self.origin.running(now_ms).map(|process| process.single.idle()) {
            self.failed(&error.to_string());
            return;
        }
        let disk = super::run::spared(&self.origin.disk);
        let files = disk.list(&journal_path(Path::new(DIR))).unwrap_or_default();
        let segments: Vec<_> = files.iter().filter(|f| f.to_string_lossy().contains("seg")).collect();
        let Some(file) = segments.get(dice.below(segments.len().max(1))) else { return };
        let used = used_of(&disk, file);
        if used == 0 {
            return;
        }
        let offset = dice.below(usize::try_from(used).expect("a segment fits memory")) as u64;
        disk.damage(file, offset, 1 << dice.below(8)).expect("a byte of the file");
        self.counts.fault("rot of a journal", now_ms);
        let last = ledger::open(&self.origin.ledger).groups.last().map(|group| group.head);
        let opened = super::origin::look(&disk, self.origin.moment(now_ms));
        if let Ok(head) = opened {
            Invariant::DurableBeforeReceipt.must(Some(head) == last, || {
                format!("a byte of {} rots, and the journal ends at {head:?}", file.display())
            });
        }
    }

    /// What became of a disk since it was last looked at.
    pub(crate) fn note_medium(&mut self, place: Place) {
        let now_ms = self.now_ms;
        let (medium, at) = match place {
            Place::Node(number) => (&mut self.nodes[number].medium, place),
            _ => (&mut self.origin.medium, Place::Origin),
        };
        let news = medium.news();
        for _ in 0..news.errors {
            self.counts.fault("I/O error", now_ms);
        }
        for _ in 0..news.full {
            self.counts.fault("no space", now_ms);
        }
        for _ in 0..news.taken {
            self.counts.ended("segment ahead", "taken");
        }
        match at {
            Place::Node(number) if news.cut => self.cut_node(number),
            Place::Origin if news.cut => self.power_cut(),
            _ => {}
        }
    }

    /// The origin's journal failed: it decides nothing until it is started again.
    pub(crate) fn failed(&mut self, why: &str) {
        self.tell(format!("the origin stops: {why}"));
        let met = self.origin.medium.met();
        Invariant::Liveness.must(met.anything(), || format!("the origin stops without a fault: {why}"));
        if let Some(process) = self.origin.process.as_mut().filter(|process| !process.stopped) {
            process.stopped = true;
            self.start_origin_later();
        }
    }

    fn power_cut(&mut self) {
        let now_ms = self.now_ms;
        let (dice, counts) = (&mut self.dice, &mut self.counts);
        self.origin.cut(now_ms, dice, counts);
        self.tell("the power goes".to_owned());
        self.start_origin_later();
    }

    fn start_origin_later(&mut self) {
        let in_ms = 2_000 + self.dice.below(90_000) as u64;
        self.later(in_ms, Event::Mend(Mend::StartOrigin));
    }

    pub(crate) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Heal(one, other) => self.network.heal(one, other),
            Mend::StartOrigin => self.start_origin(),
            Mend::StartNode(_) => unreachable!("a node starts without the lock"),
            Mend::Clock => self.origin.skew_s = 0,
            Mend::Approve => self.approve(),
            Mend::Space => self.origin.disk.set_quota(&journal_path(Path::new(DIR)), None),
            Mend::Power(cuts) => {
                if self.origin.cuts == cuts {
                    self.power_cut();
                }
            }
        }
    }

    /// Starts the origin unless it runs: an attempt in vain is repeated.
    pub(crate) fn start_origin(&mut self) {
        if self.origin.process.as_ref().is_some_and(|process| !process.stopped) {
            return;
        }
        let now_ms = self.now_ms;
        self.origin.kill();
        if self.canary == Some(Canary::TornGroupAccepted)
            && let Some(records) = ledger::open(&self.origin.ledger).under_way()
        {
            accept_torn(&self.origin.disk, &records, now_ms);
        }
        if !self.calm && self.dice.one_in(6) {
            // The power goes again while the origin starts, or soon after.
            self.origin.disk.freeze_after(self.dice.below(12) as u64);
        }
        let started = self.origin.start(now_ms);
        self.judge.doubt = false;
        match started {
            Ok(()) => {
                self.counts.ended("origin", "starts");
                self.tell("the origin starts".to_owned());
                self.learn();
                (self.judge.alone, self.judge.intended) = (false, None);
                if self.origin.medium.met().cut {
                    // It started, and the power went at something that it can do without.
                    return self.note_medium(Place::Origin);
                }
                self.what_was_taken_stays_so();
                self.look_at_journal(false);
                self.compare_state();
                self.note_medium(Place::Origin);
            }
            Err(not) => {
                self.tell(format!("the origin does not start: {}", not.why));
                let broken = if not.journal { Invariant::DurableBeforeReceipt } else { Invariant::Liveness };
                broken.must(not.met.anything(), || format!("the origin does not start: {}", not.why));
                self.note_medium(Place::Origin);
                self.start_origin_later();
            }
        }
    }

    /// What is on the disk is what was acknowledged.
    pub(crate) fn look_at_journal(&mut self, everything: bool) {
        let mut ledger = ledger::open(&self.origin.ledger);
        ledger.judge();
        let read = ledger.read_back(&self.origin.disk, everything);
        let records: BTreeMap<u64, Record> =
            read.iter().flat_map(|group| &group.records).map(|r| (r.seq, r.clone())).collect();
        self.judge.spent_with_report(&records);
        ledger.compare(&read, everything);
    }
}

/// One bit of a file turns over.
fn rot(disk: &MemoryDisk, file: &Path, dice: &mut Dice) {
    let len = disk.open(file).and_then(|file| file.len()).expect("the file is there");
    let offset = dice.below(usize::try_from(len).expect("it fits memory").max(1)) as u64;
    if len > 0 {
        disk.damage(file, offset, 1 << dice.below(8)).expect("a byte of the file");
    }
}

/// Bytes of a segment up to its last that is not zero.
fn used_of(disk: &MemoryDisk, file: &Path) -> u64 {
    let bytes = read_file(disk, file, 1 << 30).expect("readable");
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1)
}
