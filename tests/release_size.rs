//! How long fulls are beside what information theory demands: log₂ C(2^128, n) bits for the keys
//! and the order-0 entropy of the tuples. Header and table are counted apart. It prints a table,
//! with the speed of encoding and applying on one thread.

use std::collections::BTreeMap;
use std::time::Instant;

use tekd::release::delta::{ApplyLimits, DeltaContext, HEADER_LEN, Header, apply_live, encode_live};
use tekd::release::{Fields, LIVE, LiveSet, ONSET_NONE, Schema, build_tree};

const SERVICE: [u8; 8] = [1; 8];
const FIRST_DAY: u32 = 2_660_256;
const DAY: u32 = 144;

/// A generator of numbers (SplitMix64), the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }
}

/// A key of one of 14 start days; risk and onset follow from the day of the report.
fn epidemic(numbers: &mut Numbers) -> Fields {
    let day = numbers.below(14);
    let onset = day as i64 - numbers.below(6) as i64;
    let risk = (8 - onset.unsigned_abs().min(8)) as u8;
    let period = if numbers.below(20) == 0 { numbers.below(144) as u16 + 1 } else { 144 };
    let report = if numbers.below(10) == 0 { 3 } else { 1 };
    let onset = if report == 3 { ONSET_NONE } else { onset as i8 };
    Fields { start: FIRST_DAY + day as u32 * DAY, period, report, risk, onset }
}

/// One start day, one tuple in 99 of 100.
fn dominant(numbers: &mut Numbers) -> Fields {
    let report = if numbers.below(100) == 0 { 2 } else { 1 };
    Fields { start: FIRST_DAY, period: 144, report, risk: 3, onset: 0 }
}

fn history(schema: Schema, n: usize, fields: fn(&mut Numbers) -> Fields) -> Vec<u8> {
    let mut numbers = Numbers(1);
    let mut keys: Vec<u128> =
        (0..n).map(|_| u128::from(numbers.next()) << 64 | u128::from(numbers.next())).collect();
    keys.sort_unstable();
    let mut history = Vec::with_capacity(n * schema.entry_len());
    for key in keys {
        let fields = schema.coarsen(fields(&mut numbers));
        schema.history_entry(&key.to_be_bytes(), &fields, 1, LIVE, &mut history);
    }
    history
}

/// Bits that n random keys of 128 bits and their tuples take at least.
fn bound(schema: Schema, history: &[u8], n: f64) -> f64 {
    let mut counts = BTreeMap::new();
    for entry in schema.views(history) {
        *counts.entry(entry.fields).or_insert(0_u32) += 1;
    }
    let entropy: f64 = counts.values().map(|&count| f64::from(count) * (n / f64::from(count)).log2()).sum();
    // Stirling: log2 C(2^128, n) = n (128 − log2 n + log2 e) − log2(2 π n) / 2.
    let keys = n * (128.0 - n.log2() + std::f64::consts::LOG2_E) - (std::f64::consts::TAU * n).log2() / 2.0;
    keys + entropy
}

fn measure(name: &str, schema: Schema, n: usize, fields: fn(&mut Numbers) -> Fields) {
    let history = history(schema, n, fields);
    let context = DeltaContext { service: SERVICE, set: 1, schema, horizon: 0 };
    let start = Instant::now();
    let object = encode_live(&context, 0, 1, &history).unwrap();
    let encode = start.elapsed();
    let limits = ApplyLimits::for_live(SERVICE, 1, schema, n as u64, 0);
    let start = Instant::now();
    let set = apply_live(schema, &LiveSet::empty(schema), &object, &limits).unwrap();
    let apply = start.elapsed();
    let start = Instant::now();
    let root = set.root();
    let hashing = start.elapsed();
    assert_eq!((set.count(), root), (n as u64, build_tree(schema, &history, 1).root));
    let table = Header::read(&object).unwrap().rows as usize * 8;
    let coded = (object.len() - HEADER_LEN - table) as f64;
    let ratio = coded / (bound(schema, &history, n as f64) / 8.0);
    let per_key = coded / n as f64;
    let speed = |time: std::time::Duration| n as f64 / time.as_secs_f64() / 1e6;
    println!(
        "{name:9} {n:8} {:9} {table:6} {per_key:7.3} {ratio:8.5} {:7.1} {:7.1} {:7.1}",
        object.len(),
        speed(encode),
        speed(apply),
        speed(hashing)
    );
    assert!(ratio <= 1.005, "{name} of {n} keys takes {ratio} of its bound");
}

#[test]
fn fulls_are_within_half_a_percent_of_their_bound() {
    println!("set           keys     bytes  table   B/key    ratio  enc M/s app M/s root M/s");
    for n in [10_000, 100_000, 1_000_000, 3_000_000] {
        measure("minimal", Schema::GaenMinimal, n, epidemic);
        measure("full", Schema::GaenFull, n, epidemic);
        measure("one day", Schema::GaenMinimal, n, dominant);
    }
}

#[test]
fn a_small_delta_of_a_large_set_is_small() {
    let schema = Schema::GaenMinimal;
    let mut history = history(schema, 100_000, epidemic);
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
