//! Deterministic simulation: an origin, public nodes and phones on one thread, with virtual time, a network
//! and disks that fail, every choice from a printed seed; and canaries that it must find.
//!
//! `TEKD_SIM_SEED=… cargo test --profile ci --test simulation every_seed` lives one seed's life again, byte
//! for byte; `TEKD_SIM_CANARY=… … every_canary` lets one canary sing.

#![cfg(feature = "net")]

mod invariant;
mod dice;
mod counts;
mod network;
mod medium;
mod ledger;
mod canary;
mod ahead;
mod origin;
#[path = "../origin/desk.rs"]
mod desk;
#[path = "../origin/naive.rs"]
mod naive;
#[path = "../origin/naive_release.rs"]
mod naive_release;
// The judge has no use for the event that a request is foreseen to make: the model takes the real one.
#[allow(dead_code)]
#[path = "../origin/foresee.rs"]
mod foresee;
mod judge;
mod world;
mod carriers;
mod nodes;
mod serving;
mod operators;
mod faults;
mod phones;
mod run;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use canary::Canary;
use counts::Counts;
use run::{Lived, live};

/// Fixed seeds of every run; one fresh seed comes on top.
const SEEDS: u64 = 50;
/// Virtual hours of each.
const HOURS: u64 = 20;
/// Seeds in which a canary must be found.
const CANARY_SEEDS: u64 = 8;

/// How often each fault happens at least in all seeds together.
const FAULTS: [&str; 17] = [
    "loss",
    "duplication",
    "reordering",
    "delay",
    "partition",
    "I/O error",
    "no space",
    "power cut",
    "kept by a power cut",
    "dropped by a power cut",
    "torn by a power cut",
    "rot of a generation",
    "rot of a snapshot",
    "rot of a journal",
    "clock forward",
    "clock back",
    "process killed",
];

fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

/// Lives through each of `seeds` on two threads and looks at how each went.
fn all_of(seeds: &[u64], look: impl Fn(u64, Lived) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    println!("TEKD_SIM_SEED={seed}");
                    look(*seed, live(*seed, HOURS, u64::MAX, None));
                }
            });
        }
    });
}

#[test]
fn every_seed_holds_every_invariant() {
    let given = std::env::var("TEKD_SIM_SEED").ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = given.map_or_else(|| (0..SEEDS).chain([fresh_seed()]).collect(), |seed| vec![seed]);
    let sums = Mutex::new((Counts::default(), u64::MAX, u64::MAX));
    all_of(&seeds, |seed, lived| {
        if let Some((why, story)) = lived.broken {
            panic!("TEKD_SIM_SEED={seed}, operation {}: {why}\n{story}", lived.operations);
        }
        let (operations, faults) = lived.counts.quietest();
        let mut sums = sums.lock().expect("no look panicked");
        sums.0.add(&lived.counts);
        (sums.1, sums.2) = (sums.1.min(operations), sums.2.min(faults));
    });
    let (counts, operations, faults) = sums.into_inner().expect("no look panicked");
    println!("{counts:#?}\nleast in an hour: {operations} operations, {faults} faults");
    if given.is_some() {
        return;
    }
    assert!(counts.lived >= 1000, "{} virtual hours", counts.lived);
    assert!(operations >= 200 && faults >= 1, "{operations} operations and {faults} faults in an hour");
    for kind in FAULTS {
        let often = counts.faults.get(kind).copied().unwrap_or(0);
        assert!(often >= 50, "{kind}: {often} times, 50 is the least");
    }
    for how in ahead::ENDS.into_iter().chain(["taken"]) {
        let often = counts.done.get(&format!("segment ahead: {how}")).copied().unwrap_or(0);
        assert!(often >= 10, "a segment ahead, {how}: {often} times, 10 is the least");
    }
}

#[test]
fn one_seed_gives_the_same_life_twice() {
    for seed in [3, 4] {
        let twice = [live(seed, 3, u64::MAX, None), live(seed, 3, u64::MAX, None)];
        assert!(twice[0].broken.is_none(), "{:?}", twice[0].broken);
        assert_eq!(twice[0].digest, twice[1].digest, "seed {seed}");
        assert_eq!(twice[0].operations, twice[1].operations);
    }
}

#[test]
fn every_canary_is_found() {
    let only = std::env::var("TEKD_SIM_CANARY").ok();
    for canary in Canary::ALL.into_iter().filter(|c| only.as_ref().is_none_or(|o| *o == format!("{c:?}"))) {
        let found = (1000..1000 + CANARY_SEEDS).find_map(|seed| {
            let lived = live(seed, HOURS, u64::MAX, Some(canary));
            lived.broken.map(|broken| (seed, lived.operations, broken))
        });
        let (seed, operations, (why, story)) = found.unwrap_or_else(|| panic!("{canary:?} sings unheard"));
        let named = canary.breaks();
        println!("{canary:?}: found after {operations} operations of seed {seed}: {why}");
        assert!(named.is_named_in(&why), "{canary:?} must break {named:?}\n{why}\n{story}");
        let without = live(seed, HOURS, operations, None).broken;
        assert!(without.is_none(), "seed {seed} without {canary:?}: {without:?}");
    }
}
