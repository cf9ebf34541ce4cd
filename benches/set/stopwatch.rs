//! The stopwatch of the benchmarks, and their command line.
//!
//! No framework: what is measured is one call of a closure, warmed up once, repeated, told as median, least
//! and most. Every call has to give the same result, and equal sizes give equal results on every machine,
//! which a framework would not check. Under `cargo test` everything runs once on a tiny set, so that the
//! benchmarks cannot rot.

use std::time::Instant;

use sha2::{Digest, Sha256};

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
