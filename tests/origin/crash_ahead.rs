//! A life in which a segment is made ahead: ordered, made while groups are confirmed, ready, and taken; on a
//! disk that writes it down.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tekd::engine::{Input, Moment, ParamsChange};
use tekd::node::{NOBODY, journal_path};
use tekd::store::Disk;
use tekd::store::journal::Record;

use super::crash_tape::Recorder;
use super::world::{DIR, Dice, NOON, World, keys_of_day};

const SEED: u64 = 733;
const SET: u32 = 1;
/// Inputs of a turn: a fortieth of a segment.
const INPUTS: u32 = 150;
/// Turns while the segment is being made.
const BESIDE: usize = 4;

fn in_journal(name: &str) -> PathBuf {
    journal_path(Path::new(DIR)).join(name)
}

struct Life {
    recorder: Recorder,
    world: World,
}

impl Life {
    fn founded() -> Life {
        let recorder = Recorder::default();
        recorder.know(NOON, 0);
        let now = Moment { unix: NOON, monotonic_ms: 1000 };
        let medium: Arc<dyn Disk> = Arc::new(recorder.clone());
        let world = World::on(medium, recorder.disk.clone(), now, SEED).expect("it opens");
        recorder.readers_see(Some(Arc::clone(&world.view)));
        let life = Life { recorder, world };
        life.confirmed();
        life
    }

    fn confirmed(&self) {
        self.recorder.know(self.world.now.unix, self.world.origin.head().seq);
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

    /// Turns until a segment ahead is wanted, which is made beside the next turns, one operation of the
    /// disk beside one of theirs.
    fn make_beside_turns(&mut self) {
        let work = loop {
            self.turn();
            if let Some(work) = self.world.origin.wants_ahead().expect("the disk is well") {
                break work;
            }
        };
        let ordered = self.recorder.tape().steps.len();
        work().expect("the disk is well");
        let made = self.recorder.tape().steps.len();
        (0..BESIDE).for_each(|_| self.turn());
        self.recorder.tape().interleave(ordered, made);
    }

    /// Turns until the segment that was made ahead is the second one.
    fn take(&mut self) {
        let disk = self.recorder.disk.clone();
        let made = disk.inode(&in_journal("ahead.new")).expect("it is ready");
        while disk.inode(&in_journal("ahead.new")).is_ok() {
            self.turn();
        }
        let second = disk.inode(&in_journal("segment-0000000002.journal"));
        assert_eq!(second.expect("the second segment"), made);
    }
}

/// The whole life: what the disk was asked, and all records.
pub(super) fn lived() -> (Recorder, Vec<Record>) {
    let mut life = Life::founded();
    life.make_beside_turns();
    life.take();
    let keys = keys_of_day(&mut Dice::new(SEED), NOON, 2, 4);
    life.world.import(SET, keys);
    life.confirmed();
    life.world.tick_to(SET, NOON + 3600);
    life.world.origin.idle().expect("the disk is well");
    life.confirmed();
    life.recorder.readers_see(None);
    (life.recorder, life.world.records(1))
}
