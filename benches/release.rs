//! What a release costs, and what it costs to start from one: table, delta, verification, opening.
//!
//! `cargo bench --bench release [-- --keys N]`. The second of two releases adds one key in a hundred.

mod set;

use std::path::Path;

use tekd::engine::{BuiltTable, Place, build_from, next_table};
use tekd::release::LiveSet;
use tekd::release::delta::{ApplyLimits, DeltaContext, apply_live, encode_live};
use tekd::store::generation::Generation;
use tekd::store::{MemoryMode, RealDisk};

use set::{Bench, Entries, SCHEMA, SERVICE, SET, version};

/// Of a hundred keys, how many come with the second release; the others came with the first.
const SECOND_OF_100: usize = 1;

fn main() {
    let mut bench = Bench::new();
    let entries = set::entries(bench.keys);
    let (first, second) = split(entries);
    let (context, outcome) = set::outcome(1, first.len(), Vec::new());
    let before =
        build_from(&context, &set::history(&first), &outcome, Place::Memory).expect("a sorted history");
    let after = releases(&mut bench, &before, second);
    deltas(&mut bench, &before.generation, &after);
    bench.finish();
}

/// Splits a set into what the first release published and what the second one adds.
fn split(entries: Entries) -> (Entries, Entries) {
    let (mut first, mut second) = (Entries::new(), Entries::new());
    for (at, entry) in entries.into_iter().enumerate() {
        if at % 100 < SECOND_OF_100 { &mut second } else { &mut first }.push(entry);
    }
    (first, second)
}

/// The next release, in memory and as a file, and the file opened as at a start.
fn releases(bench: &mut Bench, before: &BuiltTable, adds: Entries) -> Generation {
    let keys = bench.keys;
    let (context, outcome) = set::outcome(2, keys, adds);
    let release = |place: Place<'_>| {
        next_table(&context, Some(before), &outcome, place).expect("additions in order, room on the disk")
    };
    bench.time("release: merge and tree, in memory", keys, "a key", || release(Place::Memory).built.root);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = |dir: &Path| release(Place::File(&RealDisk, dir, MemoryMode::Copy));
    bench
        .time("release: merge and tree, file synced and read", keys, "a key", || file(dir.path()).built.root);
    let path = file(dir.path()).generation.path().to_path_buf();
    let open = |mode| Generation::open(&RealDisk, &path, mode).expect("just written");
    bench.time("start: generation opened, copied", keys, "a key", || *open(MemoryMode::Copy).root());
    bench.time("start: generation opened, mapped", keys, "a key", || *open(MemoryMode::Map).root());
    open(MemoryMode::Copy)
}

/// The delta over one release and the full set: made, applied, verified.
fn deltas(bench: &mut Bench, before: &Generation, after: &Generation) {
    let keys = bench.keys;
    let meta = after.meta();
    let context = DeltaContext { service: SERVICE, set: SET, schema: SCHEMA, horizon: meta.horizon };
    let empty = LiveSet::empty(SCHEMA);
    let held =
        LiveSet::from_history(SCHEMA, version(1), meta.horizon, before.entry_bytes()).expect("a history");
    for (name, base) in [("delta over one release", &held), ("full", &empty)] {
        let limits = ApplyLimits::for_live(SERVICE, SET, SCHEMA, after.live(), base.count());
        let encode =
            || encode_live(&context, base.version(), version(2), after.entry_bytes()).expect("in order");
        let object = encode();
        let added = keys - usize::try_from(base.count()).expect("as many as are in memory");
        println!("{name}: {} bytes, {:.3} a key added", object.len(), object.len() as f64 / added as f64);
        bench.time(&format!("{name}: encoded"), keys, "a key", encode);
        let apply = || apply_live(SCHEMA, base, &object, &limits).expect("just made");
        let set = apply();
        assert!(set.matches(version(2), meta.horizon, after.live(), after.root()), "{name} leads elsewhere");
        bench.time(&format!("{name}: applied"), keys, "a key", || apply().count().to_le_bytes());
        bench.time(&format!("{name}: root verified"), keys, "a key", || set.root());
    }
}
