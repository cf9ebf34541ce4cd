//! How long fulls are beside what information theory demands: log₂ C(2^128, n) bits for the keys
//! and the order-0 entropy of the tuples. Header and table are counted apart. It prints a table,
//! with the speed of encoding and applying on one thread, and weighs the field's ZIP of real keys
//! beside the full of the same keys.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use tekd::gaen::{Epidemic, ExportedKey, Package};
use tekd::release::delta::{ApplyLimits, DeltaContext, HEADER_LEN, Header, apply_live, encode_live};
use tekd::release::{Fields, LIVE, LiveSet, ONSET_NONE, Schema, build_tree};

const SERVICE: [u8; 8] = [1; 8];
/// A UTC midnight.
const NEWEST_DAY: u32 = 2_900_016;
/// What a full may be longer than its bound, header and table apart.
const MOST_RATIO: f64 = 1.005;
/// Longest header, and most bytes of the table for each distinct tuple.
const MOST_HEADER: usize = 256;
const MOST_TABLE: usize = 8;
/// The real package.
const PACKAGE: &str = "cwa-demo-package.zip";

/// Keys of one start day, of one report in 99 of 100: 0 is not drawn, every hundredth is different.
fn one_day(number: usize, key: &mut ExportedKey) {
    let report_type = if number.is_multiple_of(100) { 2 } else { 1 };
    *key = ExportedKey { risk: 3, start: NEWEST_DAY, period: 144, report_type, onset: Some(0), ..*key };
}

/// The first `n` keys that `tekd-load generate --seed 1` writes, in key order.
fn generated(n: usize) -> Vec<ExportedKey> {
    let reports = Epidemic::new(1).reports(n as u64, NEWEST_DAY).unwrap();
    let mut keys: Vec<ExportedKey> = reports.flat_map(|report| report.keys).collect();
    keys.sort_unstable();
    keys
}

/// The history of a set whose first release has these keys, which are in order.
fn history(schema: Schema, keys: &[ExportedKey]) -> Vec<u8> {
    let mut history = Vec::with_capacity(keys.len() * schema.entry_len());
    for key in keys {
        let fields = schema.coarsen(Fields {
            start: key.start,
            period: key.period.try_into().unwrap(),
            report: key.report_type,
            risk: key.risk,
            onset: key.onset.unwrap_or(ONSET_NONE),
        });
        schema.history_entry(&key.key, &fields, 1, LIVE, &mut history);
    }
    history
}

/// Bits that n random keys of 128 bits and their tuples take at least, and the number of different tuples.
fn bound(schema: Schema, history: &[u8]) -> (f64, usize) {
    let mut counts = BTreeMap::new();
    for entry in schema.views(history) {
        *counts.entry(entry.fields).or_insert(0_u32) += 1;
    }
    let n = schema.views(history).len() as f64;
    let entropy: f64 = counts.values().map(|&count| f64::from(count) * (n / f64::from(count)).log2()).sum();
    // Stirling: log2 C(2^128, n) = n (128 − log2 n + log2 e) − log2(2 π n) / 2.
    let keys = n * (128.0 - n.log2() + std::f64::consts::LOG2_E) - (std::f64::consts::TAU * n).log2() / 2.0;
    (keys + entropy, counts.len())
}

/// The full of a history, and how long that took.
fn full(schema: Schema, history: &[u8]) -> (Vec<u8>, Duration) {
    let context = DeltaContext { service: SERVICE, set: 1, schema, horizon: 0 };
    let start = Instant::now();
    let object = encode_live(&context, 0, 1, history).unwrap();
    (object, start.elapsed())
}

fn measure(name: &str, schema: Schema, keys: &[ExportedKey]) {
    let n = keys.len() as u64;
    let history = history(schema, keys);
    let (object, encode) = full(schema, &history);
    let limits = ApplyLimits::for_live(SERVICE, 1, schema, n, 0);
    let start = Instant::now();
    let set = apply_live(schema, &LiveSet::empty(schema), &object, &limits).unwrap();
    let apply = start.elapsed();
    assert_eq!((set.count(), set.root()), (n, build_tree(schema, &history, 1).root));
    let (bound, tuples) = bound(schema, &history);
    let rows = Header::read(&object).unwrap().rows as usize;
    let table = MOST_TABLE * rows;
    let coded = (object.len() - HEADER_LEN - table) as f64;
    let (per_key, least, ratio) = (coded / n as f64, bound / 8.0 / n as f64, coded / (bound / 8.0));
    let speed = |time: Duration| n as f64 / time.as_secs_f64() / 1e6;
    let (whole, encode, apply) = (object.len(), speed(encode), speed(apply));
    println!(
        "{name:8} {n:8} {whole:9} {HEADER_LEN:6} {table:6} {rows:5} {per_key:8.4} {least:8.4} {ratio:8.5} \
         {encode:6.1} {apply:6.1}"
    );
    assert_eq!(rows, tuples, "a row for each distinct tuple");
    assert!(ratio <= MOST_RATIO, "{name} of {n} keys takes {ratio} of its bound");
}

#[test]
fn fulls_are_within_half_a_percent_of_their_bound() {
    const { assert!(HEADER_LEN <= MOST_HEADER) };
    println!("set          keys     bytes header  table  rows    B/key    bound    ratio  enc M  app M");
    for n in [10_000, 100_000, 1_000_000, 3_000_000] {
        let mut keys = generated(n);
        measure("minimal", Schema::GaenMinimal, &keys);
        measure("full", Schema::GaenFull, &keys);
        keys.iter_mut().enumerate().for_each(|(number, key)| one_day(number, key));
        measure("one day", Schema::GaenMinimal, &keys);
    }
}

/// The real package, or `None` and a line that says that it is skipped.
fn real_package() -> Option<Vec<u8>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let named = std::env::var_os("TEKD_SHARED_DATA").map(Into::into);
    let found =
        named.into_iter().chain([beside]).map(|folder| folder.join(PACKAGE)).find(|path| path.exists());
    if found.is_none() {
        println!("skipped: {PACKAGE} is neither in ../shared/data nor in $TEKD_SHARED_DATA");
    }
    found.map(|path| std::fs::read(path).unwrap())
}

#[test]
fn a_full_of_real_keys_is_shorter_than_the_zip_they_came_in() {
    let Some(zip) = real_package() else { return };
    let package = Package::read(&zip).unwrap();
    let keys: Vec<ExportedKey> = package.keys.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(keys.len(), 2392, "the package has no key twice");
    println!("the real package     bytes    B/key");
    let line = |name: &str, bytes: usize| {
        println!("{name:16} {bytes:9} {:8.4}", bytes as f64 / keys.len() as f64);
        bytes
    };
    let zip = line("zip", zip.len());
    line("its export.bin", package.signed_bytes().len());
    for schema in [Schema::GaenMinimal, Schema::GaenFull] {
        let history = history(schema, &keys);
        let full = line(schema.name(), full(schema, &history).0.len());
        line("  its bound", (bound(schema, &history).0 / 8.0).ceil() as usize);
        assert!(full < zip, "a full of {full} bytes for a ZIP of {zip}");
    }
}

#[test]
fn a_small_delta_of_a_large_set_is_small() {
    let schema = Schema::GaenMinimal;
    let mut history = history(schema, &generated(100_000));
    let serials = schema.public_len();
    // Release 2 adds every 1000th entry and withdraws its neighbour.
    for pair in history.chunks_exact_mut(1000 * schema.entry_len()) {
        pair[serials] = 2;
        pair[schema.entry_len() + serials + 4..][..4].copy_from_slice(&2_u32.to_le_bytes());
    }
    let context = DeltaContext { service: SERVICE, set: 1, schema, horizon: 0 };
    let delta = encode_live(&context, 1, 2, &history).unwrap();
    let header = Header::read(&delta).unwrap();
    assert_eq!((header.kept, header.removed, header.added), (99_900, 100, 100));
    let base = LiveSet::from_history(schema, 1, 0, &history).unwrap();
    let limits = ApplyLimits::for_live(SERVICE, 1, schema, 99_900, base.count());
    let result = apply_live(schema, &base, &delta, &limits).unwrap();
    assert_eq!(result, LiveSet::from_history(schema, 2, 0, &history).unwrap());
    let (keys, removals) = (f64::from(header.added) * 16.0, f64::from(header.removed) * 11.5 / 8.0);
    assert!((delta.len() as f64) < HEADER_LEN as f64 + keys + removals + 600.0, "{} bytes", delta.len());
}
