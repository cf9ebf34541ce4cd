//! What a report costs in the journal: bytes of its record, and of the group it is written with.

use std::path::Path;

use tekd::authority::Code;
use tekd::engine::{Input, Reply};
use tekd::node::{NOBODY, journal_path};
use tekd::store::Operation;
use tekd::store::journal::record_bytes;
use tekd::wire::report::Outcome;

use super::phone::{Phone, days};
use super::world::{DIR, Dice, NOON, World};

/// Keys of a report: a day each.
const KEYS: u64 = 14;
const RECORD: u64 = 500;
const BLOCK: u64 = 4096;
const AVERAGE: u64 = 620;
/// Reports in one group.
const GROUPS: std::ops::RangeInclusive<usize> = 28..=64;

/// Reports with one of these codes each, decided and written together; bytes of the journal they take.
fn write_together(world: &mut World, dice: &mut Dice, codes: &[Code]) -> u64 {
    let reports = codes.iter().map(|code| {
        let mut keys = days(dice, world.now.unix, 0, KEYS);
        for k in &mut keys {
            k.risk = dice.below(8) as u8;
        }
        // The key of the day it was confirmed ends early, as phones let it.
        keys[0].period = 1 + dice.below(144) as u32;
        (NOBODY, Input::Report(Box::new(Phone::new(dice, 1).submit(*code, keys))))
    });
    let reports = reports.collect();
    let before = world.disk.operations().len();
    let done = world.origin.step(world.now, reports).expect("the disk is well");
    for (_, reply) in &done.replies {
        assert!(matches!(reply, Ok(Reply::Report(reply)) if reply.outcome == Outcome::Done));
    }
    let journal = journal_path(Path::new(DIR));
    let mut done = world.disk.operations().split_off(before).into_iter().rev();
    // Before it, a segment may have been prepared for it.
    match done.find(|operation| matches!(operation, Operation::Write { .. })) {
        Some(Operation::Write { path, len, .. }) if path.starts_with(&journal) => len as u64,
        other => panic!("the group is written last, not {other:?}"),
    }
}

#[test]
fn a_report_of_fourteen_keys_is_short() {
    let (mut world, mut dice) = (World::new(NOON, 71), Dice::new(71));
    let provider = world.provider("ward");
    let one = world.codes(provider, 1, 2);
    write_together(&mut world, &mut dice, &one.codes[..1]);
    assert_eq!(write_together(&mut world, &mut dice, &one.codes[1..]), BLOCK, "a lone report");
    let record = world.records(world.origin.state().seq()).pop().expect("an event");
    let bytes = record_bytes(record.payload.len());
    println!("a record of {KEYS} keys: {bytes} bytes");
    assert!(bytes <= RECORD, "{bytes}");
    let mut most = 0;
    for n in GROUPS {
        let issued = world.codes(provider, 1, n as u32);
        let average = write_together(&mut world, &mut dice, &issued.codes).div_ceil(n as u64);
        assert!(average <= AVERAGE, "{average} bytes a report in a group of {n}");
        most = most.max(average);
    }
    println!("in groups of {GROUPS:?}: at most {most} bytes a report");
}
