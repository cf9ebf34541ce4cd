//! The life of a set on a stepped clock that starts at 12:00 UTC: releases, deltas, withdrawals, expiry,
//! company, waiting, downtime and clocks that jump.

use tekd::engine::{Event, Held, Input, ParamsChange, Refusal, Released, Reply, ReportRequest};
use tekd::release::{Checkpoint, LiveSet, Schema};
use tekd::store::journal::Record;
use tekd::time::{end_of_validity, horizon, next_border};
use tekd::wire::Key;
use tekd::wire::report::{Outcome, RequestKind};

use super::checks::Watcher;
use super::naive::Naive;
use super::phone::{Phone, days};
use super::world::{Dice, NOON, World, day_start, event, imported, keys_of_day};

const SET: u32 = 1;
const INTERVAL: u64 = 900;
/// A delta that says nothing but where it leads.
const HEADER_ONLY: u32 = 128;

fn without_decoys() -> ParamsChange {
    ParamsChange { decoys: Some(false), ..ParamsChange::default() }
}

fn released(records: &[Record]) -> Vec<Released> {
    let release = |r: &Record| match event(r) {
        Event::Released(r) => Some(r),
        _ => None,
    };
    records.iter().filter_map(release).collect()
}

fn last_release(world: &mut World) -> Released {
    released(&world.records(1)).pop().expect("there was a release")
}

fn checkpoint(world: &World) -> Checkpoint {
    world.view.load().set(SET).unwrap().release.as_ref().expect("a release").checkpoint
}

fn is_live(world: &World, key: &Key) -> bool {
    let view = world.view.load();
    view.set(SET).unwrap().release.as_ref().unwrap().generation.find_live(key.as_bytes()).is_some()
}

/// Three days of a set, looked at after every release.
struct Days {
    world: World,
    model: Naive,
    watcher: Watcher,
    dice: Dice,
    seen: u64,
    /// A client that syncs at every release.
    client: LiveSet,
    /// Lengths of what it fetched at each, with what had changed.
    fetched: Vec<(u32, Released)>,
}

impl Days {
    fn new(seed: u64) -> Days {
        let world = World::new(NOON, seed);
        let model = Naive::new(SET, world.params(SET));
        let watcher = Watcher::new(&world, SET);
        let client = LiveSet::empty(Schema::GaenMinimal);
        let dice = Dice::new(seed);
        Days { world, model, watcher, dice, seen: 0, client, fetched: Vec::new() }
    }

    fn import(&mut self, ago: u64, n: usize) -> Vec<Key> {
        let keys = keys_of_day(&mut self.dice, self.world.now.unix, ago, n);
        assert_eq!(self.world.import(SET, keys.clone()), n as u64);
        keys.iter().map(|k| k.key).collect()
    }

    /// One interval later there is one release more, and everything holds.
    fn next(&mut self) -> Released {
        let before = self.world.set(SET).serial();
        let border = next_border(self.world.now.unix, INTERVAL);
        self.world.tick_to(SET, border);
        assert_eq!(self.world.set(SET).serial(), before + 1, "each interval makes exactly one serial");
        let records = self.world.records(self.seen + 1);
        for record in &records {
            self.model.take(record, false);
            self.seen = record.seq;
        }
        self.watcher.check(&mut self.world, &self.model, &mut self.dice);
        let release = released(&records).pop().expect("a release");
        assert_eq!(release.time, border);
        let checkpoint = checkpoint(&self.world);
        let objects = self.watcher.sync(&mut self.world, self.client.version(), false);
        assert_eq!(objects.len(), 1, "one serial behind, one object");
        self.fetched.push((objects[0].length.get(), release.clone()));
        self.client = self.watcher.follow(&mut self.world, Schema::GaenMinimal, &self.client, &checkpoint);
        assert!(self.client.entries() == self.model.newest().unwrap().live);
        release
    }

    fn until(&mut self, unix: u64) {
        while self.world.now.unix < unix {
            self.next();
        }
    }
}

#[test]
fn three_days_of_a_set() {
    let mut days = Days::new(3);
    let midnight = NOON + 43_200;
    // Day 1: a first wave of reports, over all days that are still kept.
    let mut first: Vec<Key> = (1..=13).flat_map(|ago| days.import(ago, 40)).collect();
    let release = days.next();
    assert_eq!(release.changes.added, 13 * 40);
    assert!(release.changes.decoys_added > 0);
    days.until(NOON + 8 * 3600);
    let client_of_day_one = days.client.clone();
    // A small report gets company, and reaches a client in a small delta.
    let lonely = days.import(2, 1)[0];
    let release = days.next();
    assert_eq!(release.changes.added, 1);
    assert!(release.changes.decoys_added >= 9, "at least ten reports come in: {:?}", release.changes);
    assert!(is_live(&days.world, &lonely));
    // A small withdrawal takes decoys with it.
    let gone = first.swap_remove(100);
    assert_eq!(days.world.withdraw(SET, gone, false).unwrap().claims.live, 1);
    assert!(is_live(&days.world, &gone), "until the next release");
    let release = days.next();
    assert_eq!((release.changes.withdrawn, release.decoys_leaving.len()), (1, 9));
    assert!(!is_live(&days.world, &gone) && !release.forced);
    // Midnight: the oldest day falls below the horizon, and costs no byte.
    days.until(midnight - INTERVAL);
    let before = days.model.newest().unwrap().live.len();
    let release = days.next();
    assert_eq!(days.world.now.unix, midnight);
    assert_eq!((release.changes.added, release.changes.withdrawn), (0, 0));
    assert!(release.changes.expired == 0, "the oldest keys ended thirteen days ago");
    days.until(midnight + 86_400 - INTERVAL);
    let release = days.next();
    assert!(release.changes.expired >= 40 && days.model.newest().unwrap().live.len() < before);
    let (length, _) = days.fetched.last().unwrap();
    assert_eq!(*length, HEADER_ONLY, "expiry costs no byte");
    // Day 3.
    days.import(1, 300);
    days.until(NOON + 3 * 86_400);
    assert_eq!(days.fetched.len(), 3 * 96, "three days, empty releases too");
    for (length, r) in &days.fetched[1..] {
        let c = r.changes;
        let (added, removed) = (c.added + c.decoys_added, c.withdrawn + c.decoys_withdrawn);
        if added + removed == 0 {
            assert_eq!(*length, HEADER_ONLY, "an empty release is a header: {r:?}");
        }
        // 16 bytes of key less what sorting saves, 1 of tuple, 8 for each row of a table; 2 for an index.
        assert!(*length <= HEADER_ONLY + 8 + 8 * 14 + 17 * added + 2 * removed, "{length} for {r:?}");
    }
    // Two days behind: one object, and the right set.
    let newest = checkpoint(&days.world);
    let objects = days.watcher.sync(&mut days.world, client_of_day_one.version(), false);
    assert_eq!((objects.len(), objects[0].from.get()), (1, client_of_day_one.version()));
    let full = days.watcher.sync(&mut days.world, 0, false)[0].length.get();
    assert!(objects[0].length.get() < full * 4 / 5);
    let caught_up = days.watcher.follow(&mut days.world, Schema::GaenMinimal, &client_of_day_one, &newest);
    assert!(caught_up == days.client);
}

#[test]
fn empty_releases_reuse_the_generation() {
    let mut world = World::new(NOON, 4);
    let mut dice = Dice::new(4);
    world.import(SET, keys_of_day(&mut dice, NOON, 2, 100));
    world.tick_to(SET, NOON + INTERVAL);
    let generation = |world: &World| {
        let view = world.view.load();
        std::sync::Arc::clone(&view.set(SET).unwrap().release.as_ref().unwrap().generation)
    };
    let (first, before) = (generation(&world), checkpoint(&world));
    world.tick_to(SET, NOON + 3 * INTERVAL);
    let after = checkpoint(&world);
    assert!(std::sync::Arc::ptr_eq(&first, &generation(&world)));
    assert_eq!((after.serial(), before.serial()), (before.serial() + 2, 1));
    assert_eq!((after.root(), after.history()), (before.root(), before.history()));
    assert_eq!(after.time(), NOON + 3 * INTERVAL);
}

#[test]
fn without_decoys_small_changes_wait_for_company_and_go_out_on_record_in_the_end() {
    let mut world = World::new(NOON, 5);
    let mut dice = Dice::new(5);
    world.configure(SET, without_decoys());
    let small = keys_of_day(&mut dice, NOON, 2, 3);
    world.import(SET, small.clone());
    world.tick_to(SET, NOON + INTERVAL);
    let summary = world.release(SET, false).unwrap();
    assert_eq!((summary.changes.added, summary.held), (0, Held { embargo: 0, minimum: 3 }));
    world.tick_to(SET, NOON + 86_400 - INTERVAL);
    assert!(!is_live(&world, &small[0].key), "not before it has waited a day");
    world.tick_to(SET, NOON + 86_400);
    let release = last_release(&mut world);
    assert!(is_live(&world, &small[0].key));
    assert!(release.forced && release.changes.added == 3 && release.changes.decoys_added == 0);
    // Ten reports are company for each other.
    for _ in 0..10 {
        world.import(SET, keys_of_day(&mut dice, NOON, 2, 1));
    }
    world.tick_to(SET, NOON + 86_400 + INTERVAL);
    let release = last_release(&mut world);
    assert!(!release.forced && release.changes.added == 10);
    // A small withdrawal waits as well, an urgent one does not, and is on record.
    world.withdraw(SET, small[0].key, false).unwrap();
    world.tick_to(SET, NOON + 86_400 + 2 * INTERVAL);
    assert!(is_live(&world, &small[0].key));
    world.withdraw(SET, small[1].key, true).unwrap();
    world.tick_to(SET, NOON + 86_400 + 3 * INTERVAL);
    let release = last_release(&mut world);
    assert!(release.forced && release.changes.withdrawn == 2);
    assert!(!is_live(&world, &small[0].key) && !is_live(&world, &small[1].key));
}

#[test]
fn an_operator_can_allow_a_small_release_on_record_but_never_break_an_embargo() {
    let mut world = World::new(NOON, 6);
    let mut dice = Dice::new(6);
    world.configure(SET, without_decoys());
    let today = imported(dice.key(16), day_start(NOON, 0), 72);
    let young = imported(dice.key(16), day_start(NOON, 0), 60);
    let old = imported(dice.key(16), day_start(NOON, 1), 144);
    assert_eq!(end_of_validity(today.fields.start, 72), NOON, "valid until now");
    assert_eq!(world.import(SET, vec![today, young, old]), 3);
    let summary = world.release(SET, true).unwrap();
    assert_eq!((summary.changes.added, summary.held), (2, Held { embargo: 1, minimum: 0 }));
    assert!(last_release(&mut world).forced);
    assert!(is_live(&world, &old.key) && is_live(&world, &young.key) && !is_live(&world, &today.key));
    // Its embargo ends two hours after its validity, on the second.
    world.tick_to(SET, NOON + 7199);
    assert_eq!(world.release(SET, true).unwrap().changes.added, 0);
    world.pass(1);
    assert_eq!(world.release(SET, true).unwrap().changes.added, 1);
}

#[test]
fn decoys_that_run_out_let_withdrawals_wait() {
    let mut world = World::new(NOON, 7);
    let mut dice = Dice::new(7);
    let keys: Vec<Key> = keys_of_day(&mut dice, NOON, 2, 30).iter().map(|k| k.key).collect();
    world.import(SET, keys.iter().map(|k| imported(*k, day_start(NOON, 2), 144)).collect());
    world.tick_to(SET, NOON + INTERVAL);
    assert_eq!(last_release(&mut world).changes.decoys_added, 300, "ten decoy reports for the day");
    world.withdraw(SET, keys[0], false).unwrap();
    world.tick_to(SET, NOON + 2 * INTERVAL);
    assert_eq!(last_release(&mut world).decoys_leaving.len(), 9);
    world.withdraw(SET, keys[1], false).unwrap();
    world.tick_to(SET, NOON + 3 * INTERVAL);
    let release = last_release(&mut world);
    assert!(!release.withdraw && release.decoys_leaving.is_empty(), "one decoy is no company: {release:?}");
    world.tick_to(SET, NOON + 86_400 + 3 * INTERVAL);
    assert!(!is_live(&world, &keys[1]), "but nothing waits longer than a day");
    assert!(released(&world.records(1)).iter().any(|r| r.forced && r.changes.withdrawn == 1));
}

#[test]
fn the_horizon_never_goes_back_while_anything_is_unexpired_and_does_on_an_empty_set() {
    let mut world = World::new(NOON, 8);
    let mut dice = Dice::new(8);
    let retention = |days| ParamsChange { retention_days: Some(days), ..ParamsChange::default() };
    world.configure(SET, retention(3));
    world.import(SET, keys_of_day(&mut dice, NOON, 1, 20));
    world.tick_to(SET, NOON + INTERVAL);
    assert_eq!(checkpoint(&world).horizon(), horizon(NOON + INTERVAL, 3));
    world.configure(SET, retention(10));
    world.tick_to(SET, NOON + 2 * INTERVAL);
    assert_eq!(
        checkpoint(&world).horizon(),
        horizon(NOON + INTERVAL, 3),
        "it waits for the longer retention"
    );
    assert_eq!(world.import(SET, keys_of_day(&mut dice, NOON, 5, 1)), 0, "which does not hold yet");
    world.configure(SET, retention(1));
    world.tick_to(SET, NOON + 3 * INTERVAL);
    assert_eq!(checkpoint(&world).horizon(), horizon(NOON + 3 * INTERVAL, 1), "a shorter one holds at once");
    world.tick_to(SET, NOON + 2 * 86_400);
    assert_eq!(checkpoint(&world).count(), 0);
    world.configure(SET, retention(10));
    world.tick_to(SET, NOON + 2 * 86_400 + INTERVAL);
    assert_eq!(checkpoint(&world).horizon(), horizon(NOON + 2 * 86_400 + INTERVAL, 10));
    assert_eq!(world.import(SET, keys_of_day(&mut dice, NOON, 5, 1)), 1);
}

#[test]
fn after_downtime_one_release_is_made_at_the_next_border() {
    let mut world = World::new(NOON, 9);
    world.tick_to(SET, NOON + 4 * INTERVAL);
    assert_eq!(world.set(SET).serial(), 4);
    world.pass(10 * INTERVAL + 300);
    let mut world = world.restart();
    let started = world.now.unix;
    world.tick();
    assert_eq!(world.set(SET).serial(), 4, "not in the middle of an interval");
    world.tick_to(SET, next_border(started, INTERVAL));
    assert_eq!(world.set(SET).serial(), 5, "one, however long it was");
    assert_eq!(checkpoint(&world).time(), next_border(started, INTERVAL));
    world.tick_to(SET, next_border(started, INTERVAL) + INTERVAL);
    assert_eq!(world.set(SET).serial(), 6);
}

#[test]
fn a_set_is_first_released_at_the_first_border_after_it_was_made() {
    let mut world = World::new(NOON + 100, 10);
    world.pass(200);
    world.create_set(2, world.params(1));
    world.tick();
    assert_eq!(world.set(2).serial(), 0);
    world.pass(607);
    world.tick();
    assert_eq!((world.set(1).serial(), world.set(2).serial()), (1, 1), "late, but due");
}

#[test]
fn a_clock_that_jumps_holds_releases_until_it_is_approved() {
    let mut world = World::new(NOON, 11);
    world.tick_to(SET, NOON + INTERVAL);
    // Forward a day, while the other clock counts a minute.
    world.now.unix += 86_400;
    world.now.monotonic_ms += 60_000;
    world.tick();
    assert_eq!(world.set(SET).serial(), 1, "held");
    assert!(matches!(world.release(SET, true), Err(Refusal::ClockHeld(_))), "also for an operator");
    world.tick_to(SET, world.now.unix + 4 * INTERVAL);
    assert_eq!(world.set(SET).serial(), 1, "for as long as it takes");
    let Ok(Reply::Approved { was: Some(alarm) }) = world.turn(Input::ApproveClock) else {
        panic!("an alarm")
    };
    assert_eq!((alarm.clock, alarm.expected), (NOON + INTERVAL + 86_400, NOON + INTERVAL + 60));
    let border = next_border(world.now.unix, INTERVAL);
    world.tick_to(SET, border);
    assert_eq!((world.set(SET).serial(), checkpoint(&world).time()), (2, border));
    // Back a day, to what was right all the time: time stands still in releases, but they are made.
    world.now.unix -= 86_400;
    world.tick();
    assert_eq!(
        world.turn(Input::ApproveClock).map(|r| matches!(r, Reply::Approved { was: Some(_) })),
        Ok(true)
    );
    world.tick_to(SET, world.now.unix + 2 * INTERVAL);
    assert_eq!((world.set(SET).serial(), checkpoint(&world).time()), (4, border));
}

#[test]
fn no_key_leaves_its_embargo_early_because_a_clock_was_ahead() {
    let mut world = World::new(NOON, 14);
    let mut dice = Dice::new(14);
    world.tick_to(SET, NOON + INTERVAL);
    let jump = |world: &mut World, by: i64| {
        world.now.unix = world.now.unix.checked_add_signed(by).expect("this century");
        world.tick();
        let approved = world.turn(Input::ApproveClock);
        assert!(matches!(approved, Ok(Reply::Approved { was: Some(_) })));
    };
    jump(&mut world, 2 * 86_400);
    world.tick_to(SET, next_border(world.now.unix, INTERVAL));
    let ahead = checkpoint(&world).time();
    jump(&mut world, -2 * 86_400);
    world.import(SET, keys_of_day(&mut dice, NOON, 0, 3));
    let until = end_of_validity(day_start(NOON, 0), 144) + 7_200;
    while next_border(world.now.unix, INTERVAL) < until {
        world.tick_to(SET, next_border(world.now.unix, INTERVAL));
        assert_eq!((checkpoint(&world).time(), world.set(SET).live()), (ahead, 0), "the right clock decides");
    }
    world.tick_to(SET, next_border(world.now.unix, INTERVAL));
    assert!(world.set(SET).live() >= 3);
}

#[test]
fn a_clock_in_doubt_confirms_nothing_and_spends_nothing() {
    let mut world = World::new(NOON, 15);
    let mut dice = Dice::new(15);
    world.tick_to(SET, NOON + INTERVAL);
    let provider = world.provider("ward");
    let issued = world.codes(provider, SET, 2);
    let (early, phone) = (Phone::new(&mut dice, SET), Phone::new(&mut dice, SET));
    let stored = early.submit(issued.codes[0], days(&mut dice, NOON, 1, 2));
    assert_eq!(world.report(&stored).outcome, Outcome::Done);
    world.now.unix += 30 * 86_400;
    let asked = phone.submit(issued.codes[1], days(&mut dice, NOON, 1, 2));
    let dummy = ReportRequest { kind: RequestKind::Dummy, ..asked.clone() };
    for request in [&asked, &dummy, &early.cancel(), &stored] {
        let reply = world.report(request);
        assert_eq!((reply.outcome, reply.wait_s, reply.receipt.is_some()), (Outcome::Busy, 600, false));
    }
    let status = ReportRequest { kind: RequestKind::Status, ..early.cancel() };
    assert_eq!(world.report(&status).outcome, Outcome::Done, "it changes nothing");
    world.now.unix -= 30 * 86_400;
    assert!(matches!(world.turn(Input::ApproveClock), Ok(Reply::Approved { was: Some(_) })));
    assert_eq!(world.report(&asked).outcome, Outcome::Done, "no code is told to be past by a wrong clock");
}

#[test]
fn the_manifest_of_the_newest_checkpoint_can_be_fetched_when_a_newer_one_is_out() {
    let mut world = World::new(NOON, 12);
    world.tick_to(SET, NOON + INTERVAL);
    let named = checkpoint(&world).manifest();
    world.configure(SET, without_decoys());
    let watcher = Watcher::new(&world, SET);
    assert!(watcher.fetch(&mut world, &named).is_some());
    let mut world = world.restart();
    assert!(watcher.fetch(&mut world, &named).is_some(), "also after a restart");
}

#[test]
fn what_sync_named_can_be_fetched_for_two_more_releases() {
    let mut world = World::new(NOON, 13);
    let mut dice = Dice::new(13);
    world.import(SET, keys_of_day(&mut dice, NOON, 2, 100));
    world.tick_to(SET, NOON + INTERVAL);
    let watcher = Watcher::new(&world, SET);
    let full = watcher.sync(&mut world, 0, false)[0].digest;
    for _ in 0..2 {
        world.import(SET, keys_of_day(&mut dice, NOON, 2, 10));
        world.tick_to(SET, world.now.unix + INTERVAL);
        assert!(watcher.fetch(&mut world, &full).is_some());
    }
    world.tick_to(SET, world.now.unix + INTERVAL);
    assert!(watcher.fetch(&mut world, &full).is_none());
}

#[test]
fn however_many_bases_are_asked_for_each_gets_an_answer() {
    let mut world = World::new(NOON, 14);
    let mut dice = Dice::new(14);
    world.import(SET, keys_of_day(&mut dice, NOON, 1, 100));
    for _ in 0..2200 {
        world.release(SET, false).unwrap();
    }
    let watcher = Watcher::new(&world, SET);
    let newest = checkpoint(&world).version();
    let incarnation = newest & !0xffff_ffff;
    for serial in 1..2200 {
        let objects = watcher.sync(&mut world, incarnation | serial, false);
        assert_eq!((objects.len(), objects[0].to.get()), (1, newest));
    }
    // bounded: who came last got the full set.
    assert_eq!(watcher.sync(&mut world, incarnation | 2199, false)[0].from.get(), incarnation | 2199);
    assert_eq!(watcher.sync(&mut world, incarnation | 2150, false)[0].from.get(), 0);
}
