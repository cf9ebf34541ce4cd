//! Cost as the set grows: an answer, a search, a release, a delta, a start and memory, at each size.
//!
//! `cargo bench --bench growth [-- --keys 1k,10k,100k,1m,10m] [--out DIR]`. A line for each size; with
//! `--out` also `growth.md`, `growth.json` and the chart `growth.svg` in that directory. The release adds one
//! key in a hundred and ends with its file synced and read back; the delta leads over it; the start opens
//! that file. 100m takes 16 GB of memory and 5 GB of disk.

#[allow(dead_code, reason = "this benchmark asks one kind of question")]
#[path = "set/asking.rs"]
mod asking;
#[path = "growth/chart.rs"]
mod chart;
#[path = "set/keys.rs"]
mod keys;
mod set;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use tekd::engine::{BuiltTable, Place, next_table};
use tekd::release::delta::{DeltaContext, encode_live};
use tekd::release::tree::depth;
use tekd::store::generation::Generation;
use tekd::store::{MemoryMode, RealDisk};

use asking::{Questions, Sources};
use chart::Panel;
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

/// What is measured: its name in JSON, over its column, over its panel.
const COSTS: [(&str, &str, &str); 6] = [
    ("answer_ns", "answer ns", "LOOKUP answered, in batches of 32, ns"),
    ("search_ns", "search ns", "search alone, ns"),
    ("release_ms", "release ms", "release of 1 %, ms"),
    ("delta_ms", "delta ms", "delta over it, ms"),
    ("start_ms", "start ms", "start from its file, ms"),
    ("bytes_per_key", "B a key", "memory of the table, bytes a key"),
];

/// A size, and what each of [`COSTS`] is there.
type Row = (usize, [f64; COSTS.len()]);

fn main() {
    let Wanted { sizes, smoke, out } = Wanted::from_words(&std::env::args().skip(1).collect::<Vec<_>>());
    let scratch = tempfile::tempdir().expect("a temporary directory");
    // That the page can be written is tried too.
    let out = out.or_else(|| smoke.then(|| scratch.path().to_path_buf()));
    let heads: String = COSTS.iter().map(|(_, head, _)| format!(" {head:>11}")).collect();
    println!("{:>11}{heads}", "keys");
    let rows: Vec<Row> = sizes.into_iter().map(|keys| (keys, row(keys, smoke))).collect();
    if let Some(dir) = out {
        keep(&dir, &rows).unwrap_or_else(|e| panic!("{}: {e}; the numbers are above", dir.display()));
    }
}

/// Writes table, numbers and chart.
fn keep(dir: &Path, rows: &[Row]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let heads: String = COSTS.iter().map(|(_, head, _)| format!(" {head} |")).collect();
    let mut page = format!(
        "# Cost as the set grows\n\n![chart](growth.svg)\n\n| keys |{heads}\n|{}\n",
        "---|".repeat(COSTS.len() + 1)
    );
    for (keys, costs) in rows {
        let cells: String = costs.iter().map(|cost| format!(" {cost:.2} |")).collect();
        page += &format!("| {keys} |{cells}\n");
    }
    page += "\n`cargo bench --bench growth -- --keys SIZES --out DIR` makes this page.\n";
    let numbers = |(keys, costs): &Row| -> Value {
        let costs = COSTS.iter().zip(costs).map(|((name, ..), cost)| ((*name).to_owned(), json!(cost)));
        std::iter::once(("keys".to_owned(), json!(keys))).chain(costs).collect()
    };
    let numbers: Vec<Value> = rows.iter().map(numbers).collect();
    let panel = |(at, (.., title)): (usize, &(_, _, &'static str))| {
        let points = rows.iter().map(|(keys, costs)| (*keys as f64, costs[at])).collect();
        Panel { title, points }
    };
    let panels: Vec<Panel> = COSTS.iter().enumerate().map(panel).collect();
    std::fs::write(dir.join("growth.md"), page)?;
    std::fs::write(dir.join("growth.json"), format!("{:#}\n", json!({ "rows": numbers })))?;
    std::fs::write(dir.join("growth.svg"), chart::svg(&panels))
}

/// Measures one size.
fn row(keys: usize, smoke: bool) -> [f64; COSTS.len()] {
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
    let costs = [answer, search, release, delta, start, bytes];
    let cells: String = costs.iter().map(|cost| format!(" {cost:>11.2}")).collect();
    println!("{keys:>11}{cells}");
    costs
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

/// What the command line says.
struct Wanted {
    sizes: Vec<usize>,
    /// Only whether it runs.
    smoke: bool,
    out: Option<PathBuf>,
}

impl Wanted {
    fn from_words(words: &[String]) -> Wanted {
        let smoke = !words.iter().any(|word| word == "--bench");
        let after = |name: &str| {
            words
                .iter()
                .position(|word| word == name)
                .map(|at| words.get(at + 1).cloned().unwrap_or_default())
        };
        let text = after("--keys").unwrap_or_else(|| if smoke { SMOKE } else { USUAL }.to_owned());
        let Some(sizes) = text.split(',').map(size).collect() else {
            eprintln!("--keys {text}? Give sizes of at least 200 keys, like 1k,10k,1m");
            std::process::exit(2);
        };
        Wanted { sizes, smoke, out: after("--out").map(PathBuf::from) }
    }
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
