//! Nanoseconds of an answer without the network, through the gate, from a set in memory; and of what an
//! answer is made of: reading the question, the limiter, the search of the table.
//!
//! `cargo bench --bench answer [-- --keys N]`. Questions from this machine are exempt from the limiter,
//! those from elsewhere are charged. The search stands beside what it cannot beat: as many lines of the same
//! memory, drawn at random and asked for in batches of the same size, each read once.

#[path = "set/asking.rs"]
mod asking;
#[path = "set/keys.rs"]
mod keys;
mod set;
#[path = "set/stopwatch.rs"]
mod stopwatch;

use std::hint::black_box;

use tekd::engine::{Admission, BuiltTable, Gate};
use tekd::release::tree::depth;
use tekd::store::{LINE, prefetch};
use tekd::wire::{Key, Parsed, parse};

use asking::{IsRight, LOOKUP, NOW, Questions, Sources, ask};
use set::SERVICE;
use stopwatch::Bench;

/// Of a thousand buckets, those whose answer may be longer than a datagram.
const LONG_OF_1000: usize = 10;

/// Answers questions in batches of one size.
type Answer = fn(&mut Gate, &Questions, &mut [u8], IsRight) -> usize;

fn main() {
    let mut bench = Bench::new();
    let bits = depth(bench.keys as u64);
    let table = set::table(set::entries(bench.keys));
    let count = if bench.smoke { 8 * asking::BATCH_MAX } else { 1 << 17 };
    let (hits, misses) = (asking::hits(&table.generation, count), asking::misses(count));
    let mut gate = asking::gate(&table, bits);
    for sources in [Sources::Exempt, Sources::Charged] {
        lookups(&mut bench, &mut gate, "hit", &Questions::lookups(&hits, sources), asking::is_present);
        lookups(&mut bench, &mut gate, "miss", &Questions::lookups(&misses, sources), asking::is_absent);
    }
    others(&mut bench, &mut gate, &hits, bits);
    parts(&mut bench, &hits);
    searches(&mut bench, &table, &hits, &misses);
    bench.finish();
}

fn lookups(bench: &mut Bench, gate: &mut Gate, kind: &str, questions: &Questions, is_right: IsRight) {
    let charged = if questions.peers[0].ip.is_loopback() { "exempt" } else { "charged" };
    let (count, mut out) = (questions.peers.len(), asking::room());
    let mut batches = |size: usize, answer: Answer| {
        let what = format!("LOOKUP, {kind}, {charged}, batches of {size}");
        bench.time(&what, count, "an answer", || {
            assert_eq!(answer(gate, questions, &mut out, is_right), count, "{what}");
            out[..LOOKUP].to_vec()
        });
    };
    batches(1, ask::<1>);
    batches(32, ask::<32>);
    batches(64, ask::<64>);
}

/// BUCKET with its proof, and INFO.
fn others(bench: &mut Bench, gate: &mut Gate, keys: &[Key], bits: u8) {
    let (count, mut out) = (keys.len(), asking::room());
    let buckets = Questions::buckets(keys, bits, Sources::Exempt);
    let infos = Questions::infos(count, Sources::Exempt);
    for (what, questions, is_right, long) in [
        ("BUCKET with its proof, batches of 32", &buckets, asking::has_body as IsRight, LONG_OF_1000),
        ("INFO, batches of 32", &infos, asking::is_header, 0),
    ] {
        bench.time(what, count, "an answer", || {
            let right = ask::<32>(gate, questions, &mut out, is_right);
            assert!(right * 1000 >= count * (1000 - long), "{what}: {right} of {count} are right");
            right.to_le_bytes()
        });
    }
}

/// What every answer begins with.
fn parts(bench: &mut Bench, keys: &[Key]) {
    let count = keys.len();
    let questions = Questions::lookups(keys, Sources::Charged);
    bench.time("LOOKUP read (parse)", count, "a question", || {
        let read = |asked| matches!(black_box(parse(asked, &SERVICE, false)), Parsed::Question(..));
        let read = questions.bytes.chunks_exact(LOOKUP).filter(|asked| read(asked)).count();
        assert_eq!(read, count);
        read.to_le_bytes()
    });
    let limiter = asking::limiter();
    bench.time("limiter, charged", count, "a question", || {
        let passes = |ip| limiter.admit(ip, true, LOOKUP as u64, NOW.monotonic_ms) == Admission::Pass;
        let passed = questions.peers.iter().filter(|peer| passes(peer.ip)).count();
        assert_eq!(passed, count);
        passed.to_le_bytes()
    });
}

/// The search alone, beside its bound.
fn searches(bench: &mut Bench, table: &BuiltTable, hits: &[Key], misses: &[Key]) {
    let table = &*table.generation;
    let lines: Vec<u32> = (0..hits.len())
        .map(|at| asking::scattered(at, table.entry_bytes().len() / LINE))
        .map(|line| u32::try_from(line).expect("at most ENTRIES_MAX entries, two in a line"))
        .collect();
    let mut batch = |size: usize, find: fn(&_, &[Key]) -> usize, read: fn(&[u8], &[u32]) -> u64| {
        let name = |what: &str| format!("{what}, batches of {size}");
        let mut search = |what: &str, keys: &[Key], there: usize| {
            bench.time(&name(what), keys.len(), "a search", || {
                assert_eq!(find(table, keys), there, "{what}");
                there.to_le_bytes()
            })
        };
        let [hit, miss] = [("hit", hits, hits.len()), ("miss", misses, 0)]
            .map(|(kind, keys, there)| search(&format!("search of the table, {kind}"), keys, there));
        let bound =
            bench.time(&name("bound: lines at random, asked for ahead"), lines.len(), "a line", || {
                read(table.entry_bytes(), &lines).to_le_bytes()
            });
        println!("  search to bound, batches of {size}: {:.2} hit, {:.2} miss", hit / bound, miss / bound);
    };
    batch(16, asking::find::<16>, read_lines::<16>);
    batch(32, asking::find::<32>, read_lines::<32>);
}

/// Reads one byte of each line, `N` of them asked for ahead.
fn read_lines<const N: usize>(memory: &[u8], lines: &[u32]) -> u64 {
    let (batches, _) = lines.as_chunks::<N>();
    let mut sum = 0;
    for batch in batches {
        batch.iter().for_each(|line| prefetch(&memory[*line as usize * LINE..]));
        sum += batch.iter().map(|line| u64::from(memory[*line as usize * LINE])).sum::<u64>();
    }
    sum
}
