//! One backup put back while others still hold what came after it: serials go on above all that is known,
//! and whoever holds a version of the lost history gets the full set.

use std::path::Path;

use tekd::engine::{Bridge, Moment, ParamsChange};
use tekd::release::{Checkpoint, LiveSet, Schema, log_leaf_hash};
use tekd::store::{Identity, MemoryDisk, adoption};

use super::checks::Watcher;
use super::world::{DIR, Dice, NOON, World, keys_of_day};

const SET: u32 = 1;
const SCHEMA: Schema = Schema::GaenMinimal;

/// A phone that follows one set.
struct Follower(LiveSet);

impl Follower {
    fn sync(&mut self, world: &mut World) -> Checkpoint {
        let mut watcher = Watcher::new(world, SET);
        let checkpoint = watcher.checkpoint(world);
        self.0 = watcher.follow(world, SCHEMA, &self.0, &checkpoint);
        checkpoint
    }
}

fn release(world: &mut World, dice: &mut Dice) {
    let keys = if world.set(SET).serial() == 0 { 300 } else { 15 };
    world.import(SET, keys_of_day(dice, NOON, 2, keys));
    world.pass(900);
    world.release(SET, true).expect("a release");
}

/// The directory on `disk`, adopted with what somebody else has.
fn adopted(disk: &MemoryDisk, known: &[Checkpoint], seed: u64) -> World {
    let parts: Vec<Vec<u8>> = known.iter().map(|c| c.as_bytes().to_vec()).collect();
    let newest = known.iter().map(|c| (c.version() >> 32) as u32).max().unwrap_or(0);
    adoption::keep(disk, Path::new(DIR), &parts).expect("the disk is well");
    Identity::adopt(disk, Path::new(DIR), newest + 1).expect("an identity");
    World::open(disk.clone(), Moment { unix: NOON + 20_000, monotonic_ms: 0 }, seed).expect("it opens")
}

#[test]
fn after_a_backup_serials_go_on_above_what_a_node_knows_and_lost_versions_get_the_full_set() {
    let mut dice = Dice::new(61);
    let mut world = World::new(NOON, 61);
    world.configure(SET, ParamsChange { decoys: Some(false), ..ParamsChange::default() });
    let (mut early, mut late) = (Follower(LiveSet::empty(SCHEMA)), Follower(LiveSet::empty(SCHEMA)));
    (0..3).for_each(|_| release(&mut world, &mut dice));
    early.sync(&mut world);
    world.origin.idle().expect("the disk is well");
    let backup = world.disk.crash_clean();
    // What comes now is lost with the origin; a node and a phone have it.
    (0..4).for_each(|_| release(&mut world, &mut dice));
    let lost = late.sync(&mut world);
    assert_eq!((lost.serial(), early.0.version(), late.0.version()), (7, 1 << 32 | 3, 1 << 32 | 7));
    drop(world);

    let mut world = adopted(&backup, &[lost], 62);
    let set = world.set(SET);
    assert_eq!(set.bridges(), [Bridge { incarnation: 1, serial: 3 }]);
    assert_eq!(set.log().leaves(), [log_leaf_hash(lost.as_bytes())], "an honest restore is no equivocation");
    assert!(adoption::kept(&backup, Path::new(DIR)).expect("no file").is_empty(), "the journal has it");
    release(&mut world, &mut dice);
    let watcher = Watcher::new(&world, SET);
    let from = |world: &mut World, version| watcher.sync(world, version, false)[0].from.get();
    assert_eq!(from(&mut world, 1 << 32 | 3), 1 << 32 | 3, "a version of this history: a delta");
    for lost in [1 << 32 | 4, 1 << 32 | 7, 1 << 32 | 8, 7 << 32 | 1] {
        assert_eq!(from(&mut world, lost), 0, "{lost:x} is of another history: the full set");
    }
    for phone in [&mut early, &mut late] {
        let checkpoint = phone.sync(&mut world);
        assert_eq!(checkpoint.version(), 2 << 32 | 8, "above both");
        assert_eq!(phone.0.version(), checkpoint.version());
    }
    assert!(early.0.entries() == late.0.entries());
    // Put back once more, later: both ends are remembered, and a start finds them.
    world.origin.idle().expect("the disk is well");
    let again = world.disk.crash_clean();
    let third = adopted(&again, &[], 63).restart();
    let ends = [Bridge { incarnation: 2, serial: 8 }, Bridge { incarnation: 1, serial: 3 }];
    assert_eq!(third.set(SET).bridges(), ends);
}
