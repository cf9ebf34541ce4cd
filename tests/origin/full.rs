//! A disk of the journal that is full: what comes in, what is turned away, and that it ends by itself.

use std::path::{Path, PathBuf};

use tekd::authority::Code;
use tekd::engine::{Input, Rebuild, Refusal, Reply};
use tekd::store::Disk;
use tekd::wire::Key;
use tekd::wire::report::Outcome;

use super::phone::{Phone, days};
use super::world::{Dice, NOON, World, keys_of_day};

const SET: u32 = 1;

fn journal() -> PathBuf {
    Path::new("/data").join("journal")
}

fn import(world: &mut World, dice: &mut Dice, n: usize) -> Result<Reply, Refusal> {
    let keys = keys_of_day(dice, NOON, 1, n);
    world.turn(Input::Import { set: SET, provider: "import".to_owned(), keys })
}

/// An origin with keys and codes whose journal finds no more space than it has.
fn filled(dice: &mut Dice) -> (World, Vec<Code>, Key) {
    let mut world = World::new(NOON, 5);
    let keys = keys_of_day(dice, NOON, 1, 30);
    let first = keys[0].key;
    world.import(SET, keys);
    let provider = world.provider("ward");
    let codes = world.codes(provider, SET, 4).codes;
    world.disk.set_quota(&journal(), Some(world.disk.used(&journal())));
    // Until what is left of the segment is too little for one more.
    while import(&mut world, dice, 2000).is_ok() {}
    (world, codes, first)
}

#[test]
fn the_reserve_is_there_before_the_first_report() {
    let world = World::new(NOON, 5);
    let reserve = journal().join("reserve.spare");
    assert!(world.disk.inode(&reserve).is_ok());
    assert_eq!(world.origin.journal_full(), None);
    // A start on a disk without space for it says so at once.
    world.disk.remove(&reserve).unwrap();
    world.disk.set_quota(&journal(), Some(world.disk.used(&journal()) + 10_000));
    let world = world.restart();
    assert!(world.origin.journal_full().is_some_and(|text| text.contains("free space")));
}

#[test]
fn a_large_import_comes_in_whole_or_not_at_all() {
    let mut dice = Dice::new(7);
    let mut world = World::new(NOON, 7);
    let keys = keys_of_day(&mut dice, NOON, 1, 30);
    let first = keys[0].key;
    world.import(SET, keys);
    // Room for half of it.
    world.disk.set_quota(&journal(), Some(world.disk.used(&journal()) + (10 << 20)));
    let before = world.origin.head();
    let refused = import(&mut world, &mut dice, 1_000_000);
    assert!(matches!(refused, Err(Refusal::JournalFull { .. })), "{refused:?}");
    assert_eq!(world.origin.head(), before, "nothing was decided");
    assert_eq!(world.withdraw(SET, first, true).map(|count| count.claims.keys), Ok(1));
    world.disk.set_quota(&journal(), None);
    world.pass(10);
    let taken = import(&mut world, &mut dice, 1_000_000);
    assert!(matches!(taken, Ok(Reply::Imported(counts)) if counts.accepted == 1_000_000));
}

#[test]
fn a_full_disk_turns_reports_imports_and_codes_away_until_it_has_space_again() {
    let mut dice = Dice::new(5);
    let (mut world, codes, _) = filled(&mut dice);
    let refused = import(&mut world, &mut dice, 2000);
    assert!(matches!(refused, Err(Refusal::JournalFull { room, .. }) if room > 1 << 20), "{refused:?}");
    let keys = days(&mut dice, world.now.unix, 2, 3);
    let ask = Phone::new(&mut dice, SET).submit(codes[0], keys);
    world.disk.set_quota(&journal(), None);
    world.pass(9);
    world.disk.set_quota(&journal(), Some(0));
    let refused = import(&mut world, &mut dice, 2000);
    assert!(matches!(refused, Err(Refusal::JournalFull { .. })), "{refused:?}");
    let small = world.turn(Input::Report(Box::new(ask.clone())));
    assert!(matches!(&small, Ok(Reply::Report(reply)) if reply.outcome == Outcome::Done), "{small:?}");
    assert_eq!(world.origin.journal_full(), None, "what is small enough for the room left comes in");

    // A new day wants a new segment, for which there is no space.
    world.pass(43_200);
    let keys = days(&mut dice, world.now.unix, 2, 3);
    let ask = Phone::new(&mut dice, SET).submit(codes[1], keys);
    let busy = world.turn(Input::Report(Box::new(ask.clone())));
    assert!(matches!(&busy, Ok(Reply::Report(reply)) if reply.outcome == Outcome::Busy), "{busy:?}");
    assert!(world.origin.journal_full().is_some_and(|text| text.contains("free space")));
    let stranger = Phone::new(&mut dice, SET);
    let more = days(&mut dice, world.now.unix, 2, 1);
    assert_eq!(world.report(&stranger.amend(more)).outcome, Outcome::Busy);
    assert_eq!(
        world.report(&stranger.amend(Vec::new())).outcome,
        Outcome::Report,
        "a *negative* is looked at"
    );

    world.disk.set_quota(&journal(), None);
    world.pass(10);
    world.tick();
    assert_eq!(world.origin.journal_full(), None, "it is noticed without anybody asking");
    let taken = world.turn(Input::Report(Box::new(ask)));
    let done = matches!(&taken, Ok(Reply::Report(reply)) if reply.outcome == Outcome::Done);
    assert!(done, "the code was not spent: {taken:?}");
}

#[test]
fn a_full_disk_takes_withdrawals_and_releases_also_after_midnight_and_a_restart() {
    let mut dice = Dice::new(6);
    let (mut world, _, first) = filled(&mut dice);
    world.pass(86_400);
    assert!(import(&mut world, &mut dice, 1).is_err());
    assert_eq!(world.withdraw(SET, first, true).map(|count| count.claims.keys), Ok(1));
    for _ in 0..100 {
        world.pass(900);
        let released = world.turn(Input::Release { set: SET, allow_small: true });
        assert!(matches!(released, Ok(Reply::Released(_))), "{released:?}");
    }
    let reserve = journal().join("segment-0000000002.journal");
    assert!(world.disk.inode(&reserve).is_ok(), "the reserve became a segment");
    let mut world = world.restart();
    assert!(import(&mut world, &mut dice, 1).is_err(), "the disk is as full after a restart");
    let released = world.turn(Input::Release { set: SET, allow_small: true });
    assert!(matches!(released, Ok(Reply::Released(_))), "{released:?}");
}

/// The newest version that readers see.
fn shown(world: &World) -> Option<u64> {
    let view = world.view.load();
    let release = view.set(SET).and_then(|set| set.release.as_ref());
    release.map(|release| release.checkpoint.version())
}

/// Releases until one finds no room any more, not even in the reserve.
fn use_up(world: &mut World) {
    for _ in 0..2000 {
        world.pass(900);
        let release = Input::Release { set: SET, allow_small: true };
        if world.turn_or_wait(release).expect("a full disk ends nothing").is_none() {
            return;
        }
    }
    panic!("the reserve is never used up");
}

#[test]
fn with_the_reserve_used_up_what_was_decided_waits_and_goes_on_by_itself() {
    // One event more or less: what finds no room is a release as it is decided, and as it is published.
    let mut undecided = Vec::new();
    for events in 0..2 {
        let mut dice = Dice::new(8);
        let (mut world, _, first) = filled(&mut dice);
        (0..events).for_each(|_| drop(world.withdraw(SET, first, false)));
        use_up(&mut world);
        let (head, seen) = (world.origin.head(), shown(&world));
        assert!(world.origin.journal_full().is_some_and(|text| text.contains("is used up")));
        for turn in 0..3 {
            world.pass(900);
            let refused = world.turn_or_wait(Input::Withdraw {
                scope: tekd::authority::Scope::Key { set: SET, key: first },
                urgent: true,
                reason: "no room".to_owned(),
                dry_run: false,
            });
            let refused = refused.expect("the writer lives");
            assert!(matches!(refused, Some(Err(Refusal::JournalFull { .. }))), "{turn}: {refused:?}");
        }
        assert!(world.origin.base(world.now).is_err(), "no snapshot of what the journal does not have");
        assert_eq!((world.origin.head(), shown(&world)), (head, seen), "nothing came, nothing was seen");
        undecided.push(world.set(SET).in_flight());

        // A start on the full disk is a start, and what was not durable was never decided.
        let image = world.disk.crash_clean();
        image.set_quota(&journal(), Some(0));
        let mut restarted =
            World::open(image, world.now, 9).expect("a full disk does not keep it from starting");
        assert_eq!(restarted.origin.head(), head);
        for world in [&mut world, &mut restarted] {
            world.disk.set_quota(&journal(), None);
            world.pass(10);
            // Who asked for the release is answered now.
            world.turn_or_wait(Input::Tick).expect("the disk is well");
            assert_eq!((world.origin.journal_full(), world.origin.waits_for_space()), (None, false));
            let keys = days(&mut dice, world.now.unix, 2, 3);
            let provider = world.provider("clinic");
            let ask = Phone::new(&mut dice, SET).submit(world.codes(provider, SET, 1).codes[0], keys);
            assert_eq!(world.report(&ask).outcome, Outcome::Done);
            world.pass(900);
            world.release(SET, true).expect("a release");
            assert!(shown(world) > seen && !world.set(SET).in_flight());
            let mut rebuild = Rebuild::new();
            world.records(1).iter().for_each(|record| rebuild.push(record).expect("it was lived"));
            assert!(rebuild.finish().expect("as signed").state.to_bytes() == world.origin.state().to_bytes());
        }
    }
    undecided.sort_unstable();
    assert_eq!(undecided, [false, true], "both kinds of group found no room");
}
