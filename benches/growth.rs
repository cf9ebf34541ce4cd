//! Cost as the set grows: an answer, a search, a release, a delta, a start and memory, at each size.
//!
//! `cargo bench --bench growth [-- --keys 1k,10k,100k,1m,10m]`. A line for each size, then all of them as one
//! line of JSON, for a chart. The release adds one key in a hundred and ends with its file synced and read
//! back; the delta leads over it; the start opens that file. 100m takes 16 GB of memory and 5 GB of disk.

#[allow(dead_code, reason = "this benchmark asks one kind of question")]
#[path = "set/asking.rs"]
mod asking;
#[path = "set/keys.rs"]
mod keys;
mod set;

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tekd::engine::{BuiltTable, Place, next_table};
use tekd::release::delta::{DeltaContext, encode_live};
use tekd::release::tree::depth;
use tekd::store::generation::Generation;
use tekd::store::{MemoryMode, RealDisk};

use asking::{Questions, Sources};
use keys::{Entries, SCHEMA};
use set::{SERVICE, SET, version};

/// Sizes by hand, and in a test.
const USUAL: &str = "1k,10k,100k,1m,10m";
const SMOKE: &str = "1k,3k";
/// One key of so many comes with the second release.
const SECOND_OF: usize = 100;
/// A measurement is repeated until it took so long, but at most so often.
const LONG_MS: f64 = 3000.0;
const REPETITIONS_MAX: usize = 7;

/// Median milliseconds of a call.
fn milliseconds(smoke: bool, mut call: impl FnMut()) -> f64 {
    let mut taken = Vec::new();
    while taken.is_empty() || (!smoke && taken.len() < REPETITIONS_MAX && taken.iter().sum::<f64>() < LONG_MS)
    {
        let start = Instant::now();
        call();
        taken.push(start.elapsed().as_secs_f64() * 1e3);
    }
    taken.sort_by(f64::total_cmp);
    taken[taken.len() / 2]
}

fn main() {
    let (sizes, smoke) = wanted();
    println!(
        "{:>11} {:>10} {:>10} {:>12} {:>11} {:>11} {:>8}",
        "keys", "answer ns", "search ns", "release ms", "delta ms", "start ms", "B a key"
    );
    let rows: Vec<Value> = sizes.into_iter().map(|keys| row(keys, smoke)).collect();
    println!("{}", json!({ "rows": rows }));
}

/// Measures one size.
fn row(keys: usize, smoke: bool) -> Value {
    let (mut first, mut second) = (Entries::with_capacity(keys), Entries::new());
    for (at, entry) in set::entries(keys).into_iter().enumerate() {
        if at % SECOND_OF == 0 { &mut second } else { &mut first }.push(entry);
    }
    let before = set::table(first);
    let [answer, search] = reading(&before, smoke);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (context, outcome) = set::outcome(2, keys, second);
    let release = |dir: &Path| {
        let place = Place::File(&RealDisk, dir, MemoryMode::Copy);
        next_table(&context, Some(&before), &outcome, place).expect("additions in order, room on the disk")
    };
    let mut path = None;
    let release = milliseconds(smoke, || path = Some(release(dir.path()).generation.path().to_path_buf()));
    let path = path.expect("a release was made");
    drop(before);
    let open = || Generation::open(&RealDisk, &path, MemoryMode::Copy).expect("just written");
    let start = milliseconds(smoke, || drop(open()));
    let after = open();
    assert_eq!(after.live(), keys as u64);
    let context = DeltaContext { service: SERVICE, set: SET, schema: SCHEMA, horizon: after.meta().horizon };
    let delta = milliseconds(smoke, || {
        let delta = encode_live(&context, version(1), version(2), after.entry_bytes()).expect("in order");
        assert!(!delta.is_empty());
    });
    let bytes = after.bytes().len() as f64 / keys as f64;
    println!(
        "{keys:>11} {answer:>10.1} {search:>10.1} {release:>12.2} {delta:>11.2} {start:>11.2} {bytes:>8.2}"
    );
    json!({
        "keys": keys,
        "answer_ns": answer,
        "search_ns": search,
        "release_ms": release,
        "delta_ms": delta,
        "start_ms": start,
        "bytes_per_key": bytes,
    })
}

/// Nanoseconds of an answer to a LOOKUP that hits, exempt from the limiter, and of the search alone, in
/// batches of 32.
fn reading(table: &BuiltTable, smoke: bool) -> [f64; 2] {
    let count = if smoke { 256 } else { 1 << 17 };
    let keys = asking::hits(&table.generation, count);
    let mut gate = asking::gate(table, depth(table.generation.live()));
    let (questions, mut out) = (Questions::lookups(&keys, Sources::Exempt), asking::room());
    let answer = milliseconds(smoke, || {
        assert_eq!(asking::ask::<32>(&mut gate, &questions, &mut out, asking::is_present), count);
    });
    let search = milliseconds(smoke, || assert_eq!(asking::find::<32>(&table.generation, &keys), count));
    [answer, search].map(|ms| ms * 1e6 / count as f64)
}

/// What the command line says: sizes, and whether only to try.
fn wanted() -> (Vec<usize>, bool) {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let smoke = !words.iter().any(|word| word == "--bench");
    let given = words.iter().position(|word| word == "--keys").map(|at| words.get(at + 1));
    let text = match given {
        Some(text) => text.map_or("", String::as_str),
        None if smoke => SMOKE,
        None => USUAL,
    };
    let sizes: Option<Vec<usize>> = text.split(',').map(size).collect();
    let Some(sizes) = sizes else {
        eprintln!("--keys {text}? Give sizes of at least 200 keys, like 1k,10k,1m");
        std::process::exit(2);
    };
    (sizes, smoke)
}

/// A number of keys: `1000`, `1k`, `1m`.
fn size(text: &str) -> Option<usize> {
    let text = text.to_ascii_lowercase();
    let (digits, factor) = match text.strip_suffix(['k', 'm']) {
        Some(digits) => (digits, if text.ends_with('k') { 1_000 } else { 1_000_000 }),
        None => (text.as_str(), 1),
    };
    digits.parse::<usize>().ok()?.checked_mul(factor).filter(|keys| *keys >= 200)
}
