//! A life in which segments are made ahead, on a disk that writes it down: one late, beside turns that begin
//! a segment without it; it has another length than is due and goes; one in time, which is taken.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tekd::engine::{Input, Moment, ParamsChange};
use tekd::node::{NOBODY, OriginOptions, journal_path};
use tekd::store::Disk;
use tekd::store::journal::{Ahead, Record};

use super::crash_tape::Recorder;
use super::world::{DIR, Dice, NOON, World, keys_of_day, options};

const SEED: u64 = 733;
const SET: u32 = 1;
/// Inputs of a turn: a fortieth of the smallest segment.
const INPUTS: u32 = 150;
/// A segment takes fewer turns.
const MANY: usize = 100;
const DAY: u64 = 86_400;
/// Longest segment: not every one has the same length.
const SEGMENT: u64 = 2 << 20;

fn in_journal(name: &str) -> PathBuf {
    journal_path(Path::new(DIR)).join(name)
}

fn segment(number: u32) -> PathBuf {
    in_journal(&format!("segment-{number:010}.journal"))
}

struct Life {
    recorder: Recorder,
    world: World,
}

impl Life {
    fn founded(mirror: Option<&'static Path>) -> Life {
        let recorder = Recorder::default();
        recorder.know(NOON, 0);
        mirror.into_iter().for_each(|dir| recorder.create_dir(dir).expect("a new directory"));
        let now = Moment { unix: NOON, monotonic_ms: 1000 };
        let medium: Arc<dyn Disk> = Arc::new(recorder.clone());
        let disk = recorder.disk.clone();
        let options = OriginOptions { disk: medium, segment_bytes: SEGMENT, ..options(&disk) };
        let world = World::with(options, disk, mirror, now, SEED).expect("it opens");
        recorder.readers_see(Some(Arc::clone(&world.view)));
        let life = Life { recorder, world };
        life.confirmed();
        life
    }

    fn confirmed(&self) {
        self.recorder.know(self.world.now.unix, self.world.origin.head().seq);
    }

    fn steps(&self) -> usize {
        self.recorder.tape().steps.len()
    }

    fn is_there(&self, file: &Path) -> bool {
        self.recorder.disk.inode(file).is_ok()
    }

    /// A turn with much to write and little to keep.
    fn turn(&mut self) {
        self.world.pass(1);
        self.recorder.tape().known.now = self.world.now.unix;
        let change = |n| ParamsChange { embargo_s: Some(600 + n % 2), ..ParamsChange::default() };
        let configure = |n| (NOBODY, Input::Configure { set: SET, change: change(n) });
        let inputs = (0..INPUTS).map(configure).collect();
        let committed = self.world.origin.step(self.world.now, inputs).expect("the disk is well");
        assert!(committed.replies.iter().all(|(_, reply)| reply.is_ok()));
        self.confirmed();
    }

    /// Turns until a segment ahead is wanted.
    fn order(&mut self) -> Ahead {
        for _ in 0..MANY {
            self.turn();
            if let Some(work) = self.world.origin.wants_ahead().expect("the disk is well") {
                return work;
            }
        }
        panic!("none was wanted in {MANY} turns");
    }

    /// Turns until a file is there, or is not.
    fn turns_until(&mut self, file: &Path, there: bool) {
        for _ in 0..MANY {
            if self.is_there(file) == there {
                return;
            }
            self.turn();
        }
        panic!("{} in {MANY} turns", file.display());
    }

    /// The order is out while the segment it is for is begun without it, and carried out beside that.
    fn late(&mut self, dice: &mut Dice) {
        let work = self.order();
        let ordered = self.steps();
        self.turns_until(&segment(2), true);
        self.turn();
        let beside = self.steps();
        work().expect("the disk is well");
        self.recorder.tape().shuffle(ordered, beside, dice);
    }

    /// The day is over early: what is due is shorter than what is ready, which goes.
    fn of_another_length(&mut self) {
        assert!(self.is_there(&in_journal("ahead.new")));
        self.world.pass(DAY);
        self.turn();
        assert!(self.is_there(&segment(3)) && !self.is_there(&in_journal("ahead.new")));
    }

    /// In time, beside turns; then the segment is taken as it is.
    fn in_time(&mut self, dice: &mut Dice) {
        let work = self.order();
        let ordered = self.steps();
        (0..4).for_each(|_| self.turn());
        let beside = self.steps();
        work().expect("the disk is well");
        self.recorder.tape().shuffle(ordered, beside, dice);
        let made = self.recorder.disk.inode(&in_journal("ahead.new")).expect("it is ready");
        self.turns_until(&in_journal("ahead.new"), false);
        assert_eq!(self.recorder.disk.inode(&segment(4)).expect("begun"), made);
    }
}

/// The whole life: what the disk was asked, and all records. `dice` shuffle what two threads do at once.
pub(super) fn lived(mirror: Option<&'static Path>, dice: &mut Dice) -> (Recorder, Vec<Record>) {
    let mut life = Life::founded(mirror);
    life.late(dice);
    life.of_another_length();
    life.in_time(dice);
    let keys = keys_of_day(&mut Dice::new(SEED), life.world.now.unix, 2, 4);
    life.world.import(SET, keys);
    life.confirmed();
    life.world.origin.idle().expect("the disk is well");
    life.confirmed();
    life.recorder.readers_see(None);
    (life.recorder, life.world.records(1))
}
