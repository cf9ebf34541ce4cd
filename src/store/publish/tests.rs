//! Publication with real threads: what readers see is whole, newest and alive.

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc;
use std::thread;

use super::*;

const ALIVE: u64 = 0x7ec0_ffee_7ec0_ffee;
const DEAD: u64 = 0xdead_dead_dead_dead;

/// A value whose end leaves a trace: a poisoned canary and a count.
struct Canary {
    number: u64,
    again: u64,
    state: AtomicU64,
    drops: Arc<AtomicUsize>,
}

impl Canary {
    fn new(number: u64, drops: &Arc<AtomicUsize>) -> Arc<Self> {
        let drops = Arc::clone(drops);
        Arc::new(Self { number, again: !number, state: AtomicU64::new(ALIVE), drops })
    }

    fn check(&self) -> u64 {
        assert_eq!(self.state.load(Ordering::SeqCst), ALIVE, "a reader saw a dropped value");
        assert_eq!(self.again, !self.number, "a reader saw a torn value");
        self.number
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        assert_eq!(self.state.swap(DEAD, Ordering::SeqCst), ALIVE, "dropped twice");
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

/// Collects until `drops` is `wanted`. The tests of a process share its epochs, so a pinned
/// thread of another test may hold things up for a while; it cannot for long.
fn collect_until(published: &Published<Canary>, drops: &AtomicUsize, wanted: usize) -> bool {
    (0..100_000).any(|_| {
        published.collect();
        thread::yield_now();
        drops.load(Ordering::SeqCst) == wanted
    })
}

#[test]
fn a_reader_sees_the_newest_value_and_keeps_the_one_it_pinned() {
    let drops = Arc::default();
    let published = Published::new(Canary::new(1, &drops));
    let before = published.pin();
    published.publish(Canary::new(2, &drops)).unwrap();
    assert_eq!(before.check(), 1);
    assert_eq!(published.pin().check(), 2);
    for _ in 0..100 {
        assert_eq!(published.collect(), 1, "a pinned value was given up");
    }
    assert_eq!(before.check(), 1);
    drop(before);
    assert!(collect_until(&published, &drops, 1));
}

#[test]
fn an_old_value_is_dropped_by_collecting_although_idle_readers_exist() {
    let drops: Arc<AtomicUsize> = Arc::default();
    let published = Published::new(Canary::new(1, &drops));
    thread::scope(|scope| {
        let mut parked = Vec::new();
        for _ in 0..4 {
            let (seen, wait) = mpsc::channel();
            let (go, stop) = mpsc::channel::<()>();
            let published = &published;
            scope.spawn(move || {
                seen.send(published.pin().check()).unwrap();
                stop.recv().unwrap();
            });
            assert_eq!(wait.recv(), Ok(1));
            parked.push(go);
        }
        published.publish(Canary::new(2, &drops)).unwrap();
        assert!(collect_until(&published, &drops, 1), "idle readers kept the memory");
        assert_eq!(published.collect(), 0);
        for go in parked {
            go.send(()).unwrap();
        }
    });
    drop(published);
    assert_eq!(drops.load(Ordering::SeqCst), 2);
}

#[test]
fn a_loaded_value_lives_until_its_holder_lets_go() {
    let drops: Arc<AtomicUsize> = Arc::default();
    let published = Published::new(Canary::new(1, &drops));
    let held = published.load();
    published.publish(Canary::new(2, &drops)).unwrap();
    assert!((0..100_000).any(|_| published.collect() == 0));
    assert_eq!((held.check(), drops.load(Ordering::SeqCst)), (1, 0));
    drop(held);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_stuck_reader_stops_publication_and_not_the_other_readers() {
    let drops: Arc<AtomicUsize> = Arc::default();
    let published = Published::new(Canary::new(0, &drops));
    let stuck = published.pin();
    let limit = RETIRED_MAX as u64;
    for number in 1..=limit {
        published.publish(Canary::new(number, &drops)).unwrap();
    }
    let refused = published.publish(Canary::new(limit + 1, &drops));
    assert_eq!(refused, Err(PublishError::ReadersStuck { waiting: RETIRED_MAX }));
    assert_eq!((stuck.check(), published.pin().check()), (0, limit));
    drop(stuck);
    assert!(collect_until(&published, &drops, RETIRED_MAX + 1));
    published.publish(Canary::new(limit + 1, &drops)).unwrap();
    assert_eq!(published.pin().check(), limit + 1);
}

#[test]
fn readers_under_a_storm_of_publications_see_whole_living_values_in_order() {
    const PUBLICATIONS: u64 = 5_000;
    let drops: Arc<AtomicUsize> = Arc::default();
    let published = Published::new(Canary::new(0, &drops));
    thread::scope(|scope| {
        for reader in 0..4 {
            let published = &published;
            scope.spawn(move || {
                let mut newest = 0;
                let mut kept = published.load();
                while newest < PUBLICATIONS {
                    let pinned = published.pin();
                    let number = pinned.check();
                    assert!(number >= newest, "a release went back");
                    if reader % 2 == 1 && number.is_multiple_of(3) {
                        kept = published.load();
                    }
                    for _ in 0..32 {
                        assert_eq!(pinned.check(), number, "a batch saw two releases");
                    }
                    kept.check();
                    newest = number;
                }
            });
        }
        let mut number = 0;
        while number < PUBLICATIONS {
            match published.publish(Canary::new(number + 1, &drops)) {
                Ok(()) => number += 1,
                Err(PublishError::ReadersStuck { .. }) => thread::yield_now(),
            }
        }
    });
    assert!((0..100_000).any(|_| published.collect() == 0));
    drop(published);
    // Refused values are made and dropped too.
    assert!(drops.load(Ordering::SeqCst) as u64 > PUBLICATIONS);
}
