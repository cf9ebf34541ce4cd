//! What a release costs, and what it costs to start from one: table, delta, verification, opening.
//!
//! `cargo bench --bench release [-- --keys N]`. Of three releases the first publishes nine tenths of the
//! keys, the third adds one in a hundred.

#[path = "set/keys.rs"]
mod keys;
mod set;
#[path = "set/stopwatch.rs"]
mod stopwatch;

use std::path::Path;

use tekd::engine::{BuiltTable, Place, next_table};
use tekd::release::LiveSet;
use tekd::release::delta::{ApplyLimits, DeltaContext, apply_live, encode_live};
use tekd::store::generation::Generation;
use tekd::store::{MemoryMode, RealDisk};

use keys::{Entries, SCHEMA};
use set::{SERVICE, SET, version};
use stopwatch::{Bench, PER_KEY};

/// Of a hundred keys, how many come with the second and with the third release.
const SECOND_OF_100: usize = 9;
const THIRD_OF_100: usize = 1;

fn main() {
    let mut bench = Bench::new();
    let [first, second, third] = split(set::entries(bench.keys));
    let (context, outcome) = set::outcome(2, first.len() + second.len(), second);
    let oldest = set::table(first);
    let before = next_table(&context, Some(&oldest), &outcome, Place::Memory).expect("additions in order");
    let after = releases(&mut bench, &before, third);
    let held = |table: &BuiltTable, serial| {
        let (horizon, entries) = (table.generation.meta().horizon, table.generation.entry_bytes());
        LiveSet::from_history(SCHEMA, version(serial), horizon, entries).expect("a history")
    };
    deltas(&mut bench, "1 % added", &held(&before, 2), &after);
    deltas(&mut bench, "10 % added", &held(&oldest, 1), &after);
    deltas(&mut bench, "full", &LiveSet::empty(SCHEMA), &after);
    bench.finish();
}

/// Splits a set into what three releases publish.
fn split(entries: Entries) -> [Entries; 3] {
    let mut releases = [const { Entries::new() }; 3];
    for (at, entry) in entries.into_iter().enumerate() {
        let release = match at % 100 {
            ..THIRD_OF_100 => 2,
            at if at < THIRD_OF_100 + SECOND_OF_100 => 1,
            _ => 0,
        };
        releases[release].push(entry);
    }
    releases
}

/// The next release, in memory and as a file, and the file opened as at a start.
fn releases(bench: &mut Bench, before: &BuiltTable, adds: Entries) -> Generation {
    let keys = bench.keys;
    let (context, outcome) = set::outcome(3, keys, adds);
    let release = |place: Place<'_>| {
        next_table(&context, Some(before), &outcome, place).expect("additions in order, room on the disk")
    };
    bench.time("release: merge and tree, in memory", keys, PER_KEY, || release(Place::Memory).built.root);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = |dir: &Path| release(Place::File(&RealDisk, dir, MemoryMode::Copy));
    bench
        .time("release: merge and tree, file synced and read", keys, PER_KEY, || file(dir.path()).built.root);
    let path = file(dir.path()).generation.path().to_path_buf();
    let open = |mode| Generation::open(&RealDisk, &path, mode).expect("just written");
    bench.time("start: generation opened, copied", keys, PER_KEY, || *open(MemoryMode::Copy).root());
    bench.time("start: generation opened, mapped", keys, PER_KEY, || *open(MemoryMode::Map).root());
    open(MemoryMode::Copy)
}

/// The delta from a base to the newest release: made, applied, verified.
fn deltas(bench: &mut Bench, name: &str, base: &LiveSet, after: &Generation) {
    let (keys, meta) = (bench.keys, after.meta());
    let context = DeltaContext { service: SERVICE, set: SET, schema: SCHEMA, horizon: meta.horizon };
    let limits = ApplyLimits::for_live(SERVICE, SET, SCHEMA, after.live(), base.count());
    let encode = || encode_live(&context, base.version(), version(3), after.entry_bytes()).expect("in order");
    let object = encode();
    let added = keys - usize::try_from(base.count()).expect("as many as are in memory");
    println!("{name}: {} bytes, {:.3} a key added", object.len(), object.len() as f64 / added as f64);
    bench.time(&format!("{name}: encoded"), keys, PER_KEY, encode);
    let apply = || apply_live(SCHEMA, base, &object, &limits).expect("just made");
    bench.time(&format!("{name}: applied"), keys, PER_KEY, || apply().count().to_le_bytes());
    bench.time(&format!("{name}: applied and verified"), keys, PER_KEY, || {
        let set = apply();
        assert!(set.matches(version(3), meta.horizon, after.live(), after.root()), "{name} leads elsewhere");
        *after.root()
    });
}
