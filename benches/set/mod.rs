//! A set of any size for the benchmarks, and the stopwatch.
//!
//! No framework: what is measured is one call of a closure, warmed up once, repeated, told as median, least
//! and most. Every call has to give the same result, and equal sizes give equal results on every machine,
//! which a framework would not check. Under `cargo test` everything runs once on a tiny set, so that the
//! benchmarks cannot rot.

use std::time::Instant;

use sha2::{Digest, Sha256};
use tekd::engine::{BuiltTable, Changes, Place, ReleaseOutcome, TableContext, build_from};
use tekd::gaen::{Epidemic, INTERVALS_PER_DAY};
use tekd::release::tree::depth;
use tekd::release::{Fields, LIVE, ONSET_NONE, Schema};
use tekd::time::horizon;
use tekd::wire::Key;

pub(crate) const SCHEMA: Schema = Schema::GaenMinimal;
pub(crate) const SERVICE: [u8; 8] = *b"benching";
pub(crate) const SET: u32 = 1;
const NEWEST_DAY: u32 = 20_700 * INTERVALS_PER_DAY;
/// When the first release of a set comes.
pub(crate) const TIME: u64 = (NEWEST_DAY as u64 + 150) * 600;
const RETENTION_DAYS: u16 = 14;
/// The unit of what goes through a whole set.
pub(crate) const PER_KEY: &str = "a key";

/// What the command line says.
pub(crate) struct Bench {
    pub(crate) keys: usize,
    /// Only whether it runs.
    pub(crate) smoke: bool,
    work: Sha256,
}

impl Bench {
    /// Reads the command line: `--keys N`, and `--bench`, without which cargo only tests.
    pub(crate) fn new() -> Self {
        let mut bench = Bench { keys: 1_000_000, smoke: true, work: Sha256::new() };
        let (mut keys, mut words) = (None, std::env::args().skip(1));
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => bench.smoke = false,
                "--test" | "--nocapture" | "--quiet" => {}
                "--keys" => keys = words.next().and_then(|number| number.parse::<usize>().ok()),
                other => usage(other),
            }
            if word == "--keys" && keys.is_none_or(|keys| keys < 200) {
                usage("--keys without a number of at least 200");
            }
        }
        bench.keys = keys.unwrap_or(if bench.smoke { 2000 } else { bench.keys });
        println!(
            "{} keys{}",
            bench.keys,
            if bench.smoke { ", a smoke test: the times mean nothing" } else { "" }
        );
        bench
    }

    /// Runs `call` a few times; prints what one of its `units` took, and all if that is noticed. Returns the
    /// median of one in nanoseconds.
    pub(crate) fn time<T: AsRef<[u8]>>(
        &mut self,
        what: &str,
        units: usize,
        unit: &str,
        mut call: impl FnMut() -> T,
    ) -> f64 {
        let repetitions = if self.smoke { 1 } else { 7 };
        let warm = call();
        let mut nanoseconds: Vec<f64> = Vec::with_capacity(repetitions);
        for _ in 0..repetitions {
            let start = Instant::now();
            let result = call();
            nanoseconds.push(start.elapsed().as_nanos() as f64 / units as f64);
            assert!(result.as_ref() == warm.as_ref(), "{what}: the same work gave another result");
        }
        self.note(warm.as_ref());
        nanoseconds.sort_by(f64::total_cmp);
        let (least, most) = (nanoseconds[0], nanoseconds[repetitions - 1]);
        let median = nanoseconds[repetitions / 2];
        let all_ms = median * units as f64 / 1e6;
        let all = if unit == PER_KEY { format!(", {all_ms:.1} ms in all") } else { String::new() };
        println!("{what:<52} {median:>10.1} ns {unit} ({least:.1}–{most:.1}){all}");
        median
    }

    /// Takes a result into the hash of the work.
    pub(crate) fn note(&mut self, result: &[u8]) {
        self.work.update(Sha256::digest(result));
    }

    /// Prints the hash of the work: equal numbers of keys give equal hashes, on every machine.
    pub(crate) fn finish(self) {
        println!("work {}", hex::encode(&self.work.finalize()[..8]));
    }
}

fn usage(what: &str) -> ! {
    eprintln!("{what}? Give nothing, or --keys N with at least 200 keys");
    std::process::exit(2);
}

/// Keys with their public fields.
pub(crate) type Entries = Vec<(Key, Fields)>;

/// The entries of a set, in key order.
pub(crate) fn entries(keys: usize) -> Entries {
    let mut entries = entries_as_reported(keys);
    entries.sort_unstable();
    entries
}

/// The entries of a set, report by report.
pub(crate) fn entries_as_reported(keys: usize) -> Entries {
    let mut entries = Entries::with_capacity(keys);
    let reports = Epidemic::new(1).reports(keys as u64, NEWEST_DAY).expect("the newest day is a midnight");
    let entry = |exported: tekd::gaen::ExportedKey| {
        let fields = Fields {
            start: exported.start,
            period: u16::try_from(exported.period).expect("at most 144"),
            report: exported.report_type,
            risk: exported.risk,
            onset: exported.onset.unwrap_or(ONSET_NONE),
        };
        (Key::from_slice(&exported.key).expect("16 bytes"), SCHEMA.coarsen(fields))
    };
    entries.extend(reports.flat_map(|report| report.keys).map(entry));
    entries
}

/// The history entries of keys that the first release published.
pub(crate) fn history(entries: &[(Key, Fields)]) -> Vec<u8> {
    let mut history = Vec::with_capacity(entries.len() * SCHEMA.entry_len());
    for (key, fields) in entries {
        SCHEMA.history_entry(key.as_bytes(), fields, 1, LIVE, &mut history);
    }
    history
}

/// The first release of `entries`, in memory.
pub(crate) fn table(entries: Entries) -> BuiltTable {
    let (context, outcome) = outcome(1, entries.len(), Vec::new());
    let history = history(&entries);
    drop(entries);
    build_from(&context, &history, &outcome, Place::Memory).expect("a sorted history")
}

/// The release `serial`, after which `live` keys are live and which adds `adds`.
pub(crate) fn outcome(serial: u32, live: usize, adds: Entries) -> (TableContext, ReleaseOutcome) {
    let live = live as u64;
    let outcome = ReleaseOutcome {
        set: SET,
        serial,
        time: TIME + 900 * u64::from(serial),
        horizon: horizon(TIME, RETENTION_DAYS),
        live,
        bits: depth(live),
        changes: Changes::default(),
        adds,
        dels: Vec::new(),
        dropped: false,
    };
    (TableContext { service: SERVICE, version: version(serial), schema: SCHEMA }, outcome)
}

/// The version of a release.
pub(crate) fn version(serial: u32) -> u64 {
    1 << 32 | u64::from(serial)
}
