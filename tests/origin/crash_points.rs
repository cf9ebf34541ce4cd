//! Crash points: every prefix of what the disk was asked in a life with every kind of event, each left by a
//! power cut in all ways there are while those are few, else in seeded ones.
//!
//! At most [`FEW`] loose things are gone through whole: every subset kept and the rest dropped, and each of
//! these with each kept thing torn. By default a seeded part of all points is tried, with every prefix in it;
//! `TEKD_CRASH_POINTS=all` tries all of them, a number that many, drawn again where there are fewer.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tekd::store::{Disk, Fate, Loose, MemoryDisk, SECTOR, read_file};

use super::crash_ahead;
use super::crash_check::{FOUNDING, Found, Reference};
use super::crash_life::lived;
use super::crash_tape::{Known, Lie, Player, Step, Tape};
use super::world::{Dice, MIRROR, World, seed};

/// So many loose things are gone through whole.
const FEW: usize = 8;
/// Ways in which more of them are left.
const SEEDED: usize = 256;
/// Crash points of a run by default.
const POINTS: usize = 5_000;
/// As many around a segment that is made ahead.
const POINTS_AHEAD: usize = 1_000;
/// Longest file that is read to tell images apart.
const MAX_FILE: u64 = 1 << 26;

type Way = Vec<Fate>;

/// What a run did.
#[derive(Debug, Default)]
struct Summary {
    /// Crash points there are.
    all: usize,
    prefixes: usize,
    images: usize,
    recoveries: usize,
}

fn torn(of: Loose, dice: &mut Dice) -> Fate {
    match of {
        Loose::Name => Fate::Dropped,
        Loose::Length(grown) => Fate::Torn(dice.below(grown)),
        Loose::Sector => Fate::Torn(1 + dice.below(SECTOR - 1)),
    }
}

/// The ways in which a power cut leaves what is loose; the first drops and the second keeps all of it.
fn ways(loose: &[Loose], dice: &mut Dice) -> Vec<Way> {
    let n = loose.len();
    let mut ways = vec![vec![Fate::Dropped; n]];
    if n == 0 {
        return ways;
    }
    ways.push(vec![Fate::Kept; n]);
    if n > FEW {
        ways.resize_with(SEEDED, || seeded(loose, dice));
        return ways;
    }
    for kept in 1..1_usize << n {
        let whole: Way =
            (0..n).map(|i| if kept >> i & 1 == 1 { Fate::Kept } else { Fate::Dropped }).collect();
        for (i, of) in loose.iter().enumerate().filter(|(i, of)| kept >> i & 1 == 1 && **of != Loose::Name) {
            let mut way = whole.clone();
            way[i] = torn(*of, dice);
            ways.push(way);
        }
        if kept + 1 < 1 << n {
            ways.push(whole);
        }
    }
    ways
}

/// One of many ways: any, or a beginning, or all but one, or one; torn here and there.
fn seeded(loose: &[Loose], dice: &mut Dice) -> Way {
    let (mode, at) = (dice.below(4), dice.below(loose.len()));
    let mut fate = |i: usize, of: Loose| {
        let kept = match mode {
            0 => dice.one_in(2),
            1 => i < at,
            2 => i != at,
            _ => i == at,
        };
        let edge = if mode == 0 { dice.one_in(8) } else { i == at && dice.one_in(2) };
        match (edge, kept) {
            (true, _) => torn(of, dice),
            (false, true) => Fate::Kept,
            (false, false) => Fate::Dropped,
        }
    };
    loose.iter().enumerate().map(|(i, of)| fate(i, *of)).collect()
}

/// Some of the ways, always with the first two of them.
fn some(mut ways: Vec<Way>, quota: usize, dice: &mut Dice) -> Vec<Way> {
    for i in 2..quota.min(ways.len()) {
        let other = i + dice.below(ways.len() - i);
        ways.swap(i, other);
    }
    ways.truncate(quota.max(2));
    ways
}

/// How many points of each prefix make `points` in all.
fn quota(counts: &[usize], points: usize) -> usize {
    let all = |quota: usize| counts.iter().map(|count| quota.min(*count)).sum::<usize>();
    (2..)
        .find(|quota| all(*quota) >= points || all(*quota) == all(usize::MAX))
        .expect("it grows to all of them")
}

/// Names and bytes of a disk, without the zeros, as one number.
fn fingerprint(disk: &MemoryDisk, dirs: &BTreeSet<PathBuf>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in dirs.iter().flat_map(|dir| disk.list(dir).unwrap_or_default()) {
        let bytes = read_file(disk, &file, MAX_FILE).expect("a file of ours");
        (file, bytes.len()).hash(&mut hasher);
        for (nth, page) in bytes.chunks(4096).enumerate() {
            if page != &[0; 4096][..page.len()] {
                (nth, page).hash(&mut hasher);
            }
        }
    }
    hasher.finish()
}

fn dirs(tape: &Tape) -> BTreeSet<PathBuf> {
    let made = tape.steps.iter().filter_map(|(step, _)| match step {
        Step::CreateDir(dir) => Some(dir.clone()),
        _ => None,
    });
    made.collect()
}

/// A run over the crash points of a tape.
struct Run<'r> {
    reference: &'r Reference,
    dirs: BTreeSet<PathBuf>,
    found: BTreeMap<u64, Found>,
    summary: Summary,
}

impl Run<'_> {
    /// Tries the points of a tape that a disk with that lie plays, from its step `from` on, up to the first
    /// that is wrong.
    fn over(
        &mut self,
        tape: &Tape,
        lie: Option<Lie>,
        seed: u64,
        points: usize,
        from: usize,
    ) -> Result<(), String> {
        let counts = counts(tape);
        self.summary.all = counts.iter().sum();
        let quota = quota(&counts, points);
        let mut player = Player::new();
        let mut dice = Dice::new(seed);
        self.summary.prefixes = 0;
        let after = tape.steps.iter().skip(1).map(|(_, known)| known).chain([&tape.known]);
        for (nth, ((step, _), known)) in tape.steps.iter().zip(after).enumerate() {
            player.lie = lie.filter(|_| known.confirmed > FOUNDING);
            if !player.play(step) || nth < from {
                continue;
            }
            self.summary.prefixes += 1;
            let all = ways(&player.disk.loose(), &mut dice);
            for way in some(all, quota, &mut dice) {
                self.point(&player.disk, &way, known)
                    .map_err(|what| format!("after operation {nth} ({}), {way:?}: {what}", short(step)))?;
            }
        }
        Ok(())
    }

    fn point(&mut self, disk: &MemoryDisk, way: &[Fate], known: &Known) -> Result<(), String> {
        self.summary.images += 1;
        let image = disk.crash_as(way);
        let print = fingerprint(&image, &self.dirs);
        if !self.found.contains_key(&print) {
            let found = self.reference.recover(image, known.now, print)?;
            self.summary.recoveries += 1;
            self.found.insert(print, found);
        }
        self.found[&print].keeps(known)
    }
}

/// How many ways there are after each operation.
fn counts(tape: &Tape) -> Vec<usize> {
    let mut player = Player::new();
    let mut dice = Dice::new(0);
    let mut counts = Vec::new();
    for (step, _) in &tape.steps {
        if player.play(step) {
            counts.push(ways(&player.disk.loose(), &mut dice).len());
        }
    }
    counts
}

fn short(step: &Step) -> String {
    match step {
        Step::Write(handle, offset, bytes) => format!("write {} bytes at {offset} of {handle}", bytes.len()),
        other => format!("{other:?}"),
    }
}

fn run<'r>(reference: &'r Reference, tape: &Tape) -> Run<'r> {
    Run { reference, dirs: dirs(tape), found: BTreeMap::new(), summary: Summary::default() }
}

#[test]
fn whatever_a_power_cut_leaves_has_all_that_was_confirmed_and_nothing_else() {
    let (recorder, records, operations) = lived();
    let kinds: BTreeSet<u16> = records.iter().map(|record| record.kind).collect();
    assert!(kinds.into_iter().eq(1..=20), "every kind of event occurs");
    assert!(operations >= 200, "{operations} operations");
    survives(&recorder.tape(), &Reference::new(records, World::open), seed(), POINTS);
}

#[test]
fn a_segment_made_ahead_is_no_weak_place() {
    let seed = seed();
    let (recorder, records) = crash_ahead::lived(None, &mut Dice::new(seed));
    survives(&recorder.tape(), &Reference::new(records, World::open), seed, POINTS_AHEAD);
}

#[test]
fn nor_is_one_that_is_made_in_two_directories() {
    let seed = seed();
    let (recorder, records) = crash_ahead::lived(Some(Path::new(MIRROR)), &mut Dice::new(seed));
    survives(&recorder.tape(), &Reference::new(records, World::mirrored), seed, POINTS_AHEAD);
}

/// Tries `points` of the points of a tape, or as many as the environment says, and tells what was done.
fn survives(tape: &Tape, reference: &Reference, seed: u64, points: usize) {
    let began = Instant::now();
    let points = match std::env::var("TEKD_CRASH_POINTS").as_deref() {
        Ok("all") => usize::MAX,
        Ok(number) => number.parse().expect("a number, or all"),
        Err(_) => points,
    };
    let mut run = run(reference, tape);
    let mut told = run.over(tape, None, seed, points, 0);
    // More points than there are: once more with other tears and other seeded ways.
    for again in 1.. {
        if told.is_err() || points == usize::MAX || run.summary.images >= points {
            break;
        }
        told = run.over(tape, None, seed.wrapping_add(again), points - run.summary.images, 0);
    }
    let (summary, took) = (&run.summary, began.elapsed().as_secs_f64());
    println!("{} events; {summary:?} in {took:.1} s", reference.records.len());
    told.unwrap_or_else(|what| panic!("{what}"));
    assert!(points == usize::MAX || summary.images >= points);
    assert!(summary.recoveries > summary.prefixes / 4);
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let seed = seed();
    let (life, records, _) = lived();
    let whole = (life, Reference::new(records, World::open));
    let (life, records) = crash_ahead::lived(None, &mut Dice::new(seed));
    let ahead = (life, Reference::new(records, World::open));
    let is_taken =
        |(step, _): &(Step, Known)| matches!(step, Step::Rename(from, _) if from.ends_with("ahead.new"));
    let taken = ahead.0.tape().steps.iter().position(is_taken).expect("one is taken");
    for ((recorder, reference), lie, from, sign) in [
        (&whole, Lie::Sync, 0, "confirmed ones"),
        (&whole, Lie::SyncDir, 0, ""),
        (&whole, Lie::SyncBeforeRename, 0, "does not start"),
        (&ahead, Lie::SyncAhead, taken, "does not start"),
    ] {
        let tape = recorder.tape();
        let mut run = run(reference, &tape);
        let told = run.over(&tape, Some(lie), seed, POINTS, from);
        println!("{lie:?}: {told:?}, {:?}", run.summary);
        let what = told.expect_err("a lie that nobody finds");
        assert!(what.contains(sign), "{what}");
    }
}
