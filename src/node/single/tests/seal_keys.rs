//! The life of seal keys under clocks that are wrong, disks that fail and directories that were put back.

use super::*;
use crate::engine::{MAX_DOWNTIME_S, MAX_SEAL_KEYS, Refusal};
use crate::node::keys::Keys;
use crate::release::Manifest;
use crate::store::{Fault, OperationKind};

type Id = [u8; 8];

impl World {
    /// The process ends, and another begins when the clock says `unix`.
    fn restart(self, unix: u64) -> World {
        let World { disk, origin, .. } = self;
        drop(origin);
        World::open(disk.crash_clean(), unix, unix)
    }

    fn alarm(&self) -> bool {
        self.origin.origin().writer().clock_alarm().is_some()
    }

    fn tick(&mut self) {
        self.origin.tick().unwrap();
    }

    fn serial(&self) -> u32 {
        self.origin.origin().state().set(1).unwrap().serial()
    }

    fn named_by_state(&self) -> Vec<Id> {
        self.origin.origin().state().seal_keys().iter().map(|key| key.id).collect()
    }

    fn named_by_manifest(&self) -> Vec<Id> {
        let bytes = self.origin.origin().state().set(1).unwrap().manifest();
        Manifest::parse_unverified(bytes).unwrap().seal_keys.iter().map(|key| key.id).collect()
    }

    /// Seal files as they would be if there were those of these keys alone.
    fn has_only(&self, ids: &[Id]) -> bool {
        let mut expected: Vec<String> =
            ids.iter().map(|id| format!("seal-{}.key", hex::encode(id))).collect();
        expected.sort();
        self.seal_names() == expected
    }

    fn seal_names(&self) -> Vec<String> {
        let names = Keys::look(&self.disk, Path::new("/data")).names().unwrap();
        names.into_iter().filter(|name| name.starts_with("seal-")).collect()
    }

    fn rotate(&mut self) -> Result<Reply, TurnError> {
        let secret = entropy::bytes(&mut SystemRandom);
        let input = self.origin.origin().make_seal_key(secret)?;
        self.origin.turn(input)
    }

    /// Whether what is sealed to the newest key is opened.
    fn newest_opens(&mut self) -> bool {
        let (frame, asker) = self.frame(&self.newest_seal_key(), &status());
        let answer = self.origin.answer_sealed(&frame);
        answer.len() == SEALED_FRAME
            && ReportOutcome::parse(&inside(&answer, &asker)).unwrap().outcome == Outcome::Report
    }

    fn clock_says(&mut self, unix: u64) {
        self.clock = Arc::new(SteppedClock::new(unix));
        self.origin.clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
    }
}

#[test]
fn after_twenty_days_of_downtime_one_approval_brings_everything_back() {
    let mut world = world();
    world.pass(3 * 3600);
    let (before, serial) = (world.named_by_state(), world.serial());
    let mut world = world.restart(NOON + 20 * DAY);
    assert!(world.alarm());
    world.pass(3 * 3600);
    assert_eq!(world.serial(), serial, "held");
    assert!(matches!(world.rotate(), Err(TurnError::Refused(Refusal::ClockHeld(_)))), "also by hand");
    assert_eq!(world.named_by_manifest(), before);
    assert!(
        world.seal_names().contains(&format!("seal-{}.key", hex::encode(before[0]))),
        "none is forgotten"
    );
    world.origin.turn(Input::ApproveClock).unwrap();
    world.tick();
    let fresh = world.named_by_state();
    assert!(fresh.len() == 1 && fresh != before, "a fresh one is there at once");
    assert_eq!(world.named_by_manifest(), fresh);
    assert!(world.has_only(&fresh), "the old one and the one that was refused are gone");
    assert!(world.newest_opens());
    world.pass(3600);
    assert!(world.serial() > serial, "and releases go on");
}

#[test]
fn a_clock_that_is_believed_at_a_start_and_wrong_ends_no_key_that_serves() {
    let mut world = world();
    world.pass(WEEK - 3600);
    let newest = world.newest_seal_key();
    let ahead = NOON + WEEK - 3600 + MAX_DOWNTIME_S;
    let mut world = world.restart(ahead);
    assert!(!world.alarm());
    world.tick();
    world.clock_says(NOON + WEEK);
    world.tick();
    assert!(world.alarm());
    let (frame, _) = world.frame(&newest, &status());
    assert_eq!(world.result(&frame), ResultCode::Ok);
    assert_eq!(world.seal_files(), 2);
    assert!(world.restart(ahead + 2 * DAY + MAX_DOWNTIME_S).alarm());
}

#[test]
fn what_was_stored_under_a_clock_that_nobody_believed_does_not_make_it_right() {
    let mut world = world();
    world.pass(3600);
    world.clock_says(NOON + 300 * DAY);
    world.tick();
    world.origin.turn(Input::AddProvider { name: "a".to_owned(), issuer: None, key: None }).unwrap();
    let mut world = world.restart(NOON + 300 * DAY + 60);
    assert!(world.alarm(), "after a restart as before it");
    world.pass(2 * 3600);
    assert_eq!((world.serial(), world.seal_files()), (1, 1));
    let mut world = world.restart(NOON + 2 * 3600);
    assert!(!world.alarm(), "nor the right one wrong");
    assert!(world.newest_opens());
}

#[test]
fn a_clock_that_was_set_back_gets_a_key_that_holds_already() {
    let mut world = world();
    world.clock.advance(1800);
    world.clock_says(NOON - 1800);
    world.tick();
    assert_eq!(world.named_by_state().len(), 1, "half an hour is nothing");
    world.clock_says(NOON - 10 * DAY);
    world.tick();
    assert!(world.alarm());
    assert_eq!(world.named_by_state().len(), 1);
    world.origin.turn(Input::ApproveClock).unwrap();
    world.tick();
    world.tick();
    let keys = world.origin.origin().state().seal_keys();
    let begins: Vec<u64> = keys.iter().map(|key| key.not_before).collect();
    assert_eq!(begins, [NOON, NOON - 10 * DAY], "one, not one a turn");
    assert_eq!(world.named_by_manifest(), world.named_by_state());
    assert!(world.newest_opens());
}

#[test]
fn a_secret_whose_event_was_lost_in_a_crash_is_removed_at_the_next_start() {
    let (mut orphans, mut half_written, mut kept) = (0, 0, 0);
    for operations in 0.. {
        let mut world = world();
        world.pass(3600);
        let before = world.named_by_state();
        world.disk.freeze_after(operations);
        let done = world.rotate().is_ok();
        for seed in 0..16 {
            let after = world.disk.crash(seed);
            let at_crash = Keys::look(&after, Path::new("/data")).names().unwrap();
            let mut next = World::open(after.clone(), NOON + 3600, seed + 2);
            let named = next.named_by_state();
            assert!(next.has_only(&named), "power cut {operations}, seed {seed}");
            assert!(named.starts_with(&before) && next.newest_opens());
            assert!(!done || named.len() == 2);
            let unnamed = |name: &&String| {
                name.starts_with("seal-") && !named.iter().any(|id| name.contains(&hex::encode(id)))
            };
            orphans += at_crash.iter().filter(unnamed).count();
            half_written += at_crash.iter().filter(|name| name.ends_with(".new")).count();
            kept += usize::from(!done && named.len() == 2);
        }
        if done {
            break;
        }
    }
    assert!(orphans > 0 && half_written > 0 && kept > 0, "{orphans} {half_written} {kept}");
}

#[test]
fn an_orphan_waits_for_a_clock_that_is_believed() {
    let mut world = world();
    world.pass(3600);
    let input = world.origin.origin().make_seal_key([5; 32]).unwrap();
    drop(input);
    let mut world = world.restart(NOON + 30 * DAY);
    assert_eq!((world.alarm(), world.seal_files()), (true, 2));
    world.origin.turn(Input::ApproveClock).unwrap();
    world.tick();
    assert!(world.has_only(&world.named_by_state()));
}

#[test]
fn openers_get_a_new_key_also_when_an_old_secret_cannot_be_removed() {
    let mut world = world();
    let (old, _) = world.frame(&world.newest_seal_key(), &status());
    world.pass(2 * WEEK + DAY);
    assert_eq!(world.seal_files(), 3);
    // In one turn the first key is over and another is made.
    world.clock.advance(3600);
    let input = world.origin.origin().make_seal_key([5; 32]).unwrap();
    world.disk.fail(OperationKind::Remove, 1, Fault::Eio);
    world.origin.turn(input).unwrap();
    assert!(world.newest_opens());
    assert_eq!(world.result(&old), ResultCode::Gone, "it opens nothing meanwhile");
    assert_eq!(world.seal_files(), 4, "still there");
    world.tick();
    assert_eq!(world.seal_files(), 4, "not at every turn");
    world.clock.advance(60);
    world.tick();
    assert!(world.has_only(&world.named_by_state()), "but soon");
}

#[test]
fn a_secret_that_cannot_be_removed_is_in_no_memory_and_holds_up_no_provider() {
    let mut world = world();
    let first = world.named_by_state()[0];
    world.pass(2 * WEEK + DAY);
    let before = world.origin.keys.keyhole().look();
    assert!(before.ring.secret(&first).is_some());
    world.clock.advance(3600);
    world.disk.fail(OperationKind::Remove, 1, Fault::Eio);
    world.origin.turn(Input::AddProvider { name: "a".to_owned(), issuer: None, key: None }).unwrap();
    assert_eq!(world.seal_files(), 3, "it stays on the disk");
    let after = world.origin.keys.keyhole().look();
    assert!(!Arc::ptr_eq(&before, &after) && after.ring.secret(&first).is_none());
    assert!(world.newest_opens());
}

#[test]
fn a_key_file_that_rots_while_it_is_in_use_stops_no_key() {
    let mut world = world();
    let (frame, _) = world.frame(&world.newest_seal_key(), &status());
    world.disk.damage(&Path::new("/data/keys").join(&world.seal_names()[0]), 1, 0x55).unwrap();
    world.pass(WEEK);
    assert_eq!(world.named_by_state().len(), 2);
    assert!(world.newest_opens(), "the next one");
    assert_eq!(world.result(&frame), ResultCode::Ok, "and the one that is known");
}

#[test]
fn a_key_whose_secret_is_lost_is_followed_by_another_at_the_next_start() {
    let mut world = world();
    world.pass(WEEK);
    let lost = *world.named_by_state().last().unwrap();
    world.disk.remove(&Path::new("/data/keys").join(format!("seal-{}.key", hex::encode(lost)))).unwrap();
    world.disk.sync_dir(Path::new("/data/keys")).unwrap();
    let mut world = world.restart(NOON + WEEK + 3600);
    assert_eq!(world.named_by_manifest().len(), 3);
    assert!(world.newest_opens());
    world.tick();
    let mut world = world.restart(NOON + WEEK + 7200);
    assert_eq!(world.named_by_manifest().len(), 3, "by one");
    assert!(world.newest_opens());
}

#[test]
fn there_are_only_so_many_seal_keys() {
    let mut world = world();
    for _ in 1..MAX_SEAL_KEYS {
        world.rotate().unwrap();
    }
    assert_eq!(world.named_by_manifest().len(), MAX_SEAL_KEYS);
    let refused = Refusal::TooMany { what: "seal keys", limit: MAX_SEAL_KEYS };
    assert!(matches!(world.rotate(), Err(TurnError::Refused(e)) if e == refused));
    world.pass(WEEK);
    assert_eq!(world.seal_files(), MAX_SEAL_KEYS + 1, "none is made in vain");
    world.pass(WEEK + DAY + 3600);
    assert!(world.has_only(&world.named_by_state()) && world.newest_opens());
}
