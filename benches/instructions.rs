//! Instructions of an answer and of what goes into a release, counted under callgrind.
//!
//! `cargo bench --bench instructions` counts every case in the code that ships, compares with
//! `benches/instructions/BASELINE.json` and fails when one grew by more than 3 %. Counts do not depend on
//! what else a machine does, so CI can judge them, which it cannot do with times. A combination of compiler,
//! C library and processor features that the file does not know, or a case that is new to one it does, is
//! recorded in it, with a warning: commit it.
//!
//! `cargo bench --bench instructions -- --record` records the counts of this machine as the new baseline,
//! after a change that is worth its instructions. Needs valgrind. Under `cargo test` every case runs
//! uncounted.
//!
//! A framework with a runner of its own that has to be installed in the same version would only be a burden:
//! callgrind counts between the begin and the end of one function, and says the sum.

#[path = "set/asking.rs"]
mod asking;
#[path = "instructions/baseline.rs"]
mod baseline;
#[path = "instructions/cases.rs"]
mod cases;
#[path = "set/keys.rs"]
mod keys;
mod set;

use std::hint::black_box;
use std::process::{Command, ExitCode};

use baseline::{Baseline, Counts, GROWTH_MAX, Verdict, for_one, growth, judge};
use cases::{CASES, Case};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions/BASELINE.json");
/// What callgrind counts in: [`counted_call`], however the compiler adorns the name.
const COUNTED: &str = "--toggle-collect=*counted_call*";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|given| given == word);
    if let Some(at) = words.iter().position(|word| word == "--case") {
        return counted(words.get(at + 1).map_or("", String::as_str));
    }
    if !has("--bench") {
        return smoke();
    }
    match compare(has("--record")) {
        Ok(code) => code,
        Err(what) => {
            eprintln!("instructions: {what}");
            ExitCode::FAILURE
        }
    }
}

/// Every case twice, uncounted.
fn smoke() -> ExitCode {
    for case in &CASES {
        let mut work = (case.make)();
        assert_eq!(work(), work(), "{}: the same work gave another result", case.name);
    }
    println!("{} cases work; to count their instructions: cargo bench --bench instructions", CASES.len());
    ExitCode::SUCCESS
}

/// Under callgrind: one case, once to warm up and once counted. Says what the processor can as seen from
/// here, which is not all that it can outside.
fn counted(name: &str) -> ExitCode {
    let Some(case) = CASES.iter().find(|case| case.name == name) else {
        eprintln!("no case `{name}`");
        return ExitCode::FAILURE;
    };
    let mut work = (case.make)();
    let warm = work();
    assert_eq!(counted_call(&mut *work), warm);
    println!("{}", features().join(" "));
    ExitCode::SUCCESS
}

#[inline(never)]
fn counted_call(work: &mut dyn FnMut() -> usize) -> usize {
    black_box(work())
}

/// The features of the processor by which code is chosen.
fn features() -> Vec<&'static str> {
    let mut features = vec![std::env::consts::ARCH];
    macro_rules! note {
        ($($name:tt)*) => { $(if std::arch::is_x86_feature_detected!($name) { features.push($name); })* };
    }
    #[cfg(target_arch = "x86_64")]
    note!("adx" "aes" "avx" "avx2" "avx512f" "bmi1" "bmi2" "fma" "lzcnt" "movbe" "pclmulqdq" "popcnt" "sha"
        "sse4.2" "ssse3");
    features
}

/// Counts every case and judges, or records.
fn compare(record: bool) -> Result<ExitCode, String> {
    let text = std::fs::read_to_string(BASELINE).map_err(|error| format!("{BASELINE}: {error}"))?;
    let mut known = Baseline::from_text(&text).map_err(|error| format!("{BASELINE}: {error}"))?;
    let mut counts = Counts::new();
    let mut features = String::new();
    for case in &CASES {
        let (instructions, seen) = under_callgrind(case)?;
        counts.insert(case.name.to_owned(), for_one(instructions, case.units));
        features = seen;
    }
    let combination = format!("{}, {}, {features}", first_line("rustc", "-V")?, c_library());
    println!("{combination}");
    let before = known.of(&combination).filter(|_| !record).cloned();
    let grown = table(before.as_ref(), &counts);
    if before.is_none() {
        known.record(&combination, counts);
        let why =
            if record { "as asked" } else { "for this combination is not known yet: nothing was compared" };
        keep(&known, why)?;
    } else {
        let added = known.add_missing(&combination, &counts);
        if !added.is_empty() {
            keep(&known, &format!("for these are new: {}", added.join(", ")))?;
        }
    }
    if grown == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "{grown} of {} counts grew by more than {GROWTH_MAX} %. Make them small again; or, if what they do is worth \
         it, record them: cargo bench --bench instructions -- --record",
        CASES.len()
    );
    Ok(ExitCode::FAILURE)
}

/// Writes the baseline and says why.
fn keep(known: &Baseline, why: &str) -> Result<(), String> {
    std::fs::write(BASELINE, known.to_text()).map_err(|error| format!("{BASELINE}: {error}"))?;
    println!("WARNING: recorded in benches/instructions/BASELINE.json, {why}. Commit it.");
    Ok(())
}

/// Prints all counts; returns how many grew too much.
fn table(before: Option<&Counts>, counts: &Counts) -> usize {
    println!("{:<44} {:>12} {:>12} {:>8}", "instructions for one", "baseline", "now", "");
    let mut grown = 0;
    for (name, now) in counts {
        let recorded = before.and_then(|before| before.get(name)).copied();
        let old = recorded.map_or("–".to_owned(), |before| format!("{before:.1}"));
        let change = recorded.map_or(String::new(), |before| format!("{:+.2} %", growth(before, *now)));
        let verdict = judge(recorded, *now);
        let note = match verdict {
            Verdict::Same => "",
            Verdict::New => "new",
            Verdict::Less => "less: record it, so that it stays so",
            Verdict::More => "MORE",
        };
        grown += usize::from(verdict == Verdict::More);
        println!("{name:<44} {old:>12} {now:>12.1} {change:>8} {note}");
    }
    grown
}

/// Instructions of a case, and the features that it saw.
fn under_callgrind(case: &Case) -> Result<(u64, String), String> {
    let exe = std::env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", COUNTED]).arg(exe);
    // Nothing of the environment may change what is counted.
    command.args(["--case", case.name]).env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    let output = command.output().map_err(|error| {
        format!("valgrind: {error}. Install the package valgrind of your system; `./check tools` does")
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let instructions = collected.and_then(|(_, number)| number.trim().parse().ok()).filter(|n| *n > 0);
    match instructions {
        Some(instructions) if output.status.success() => {
            Ok((instructions, String::from_utf8_lossy(&output.stdout).trim().to_owned()))
        }
        _ => Err(format!("{}: valgrind counted nothing:\n{said}", case.name)),
    }
}

fn first_line(program: &str, argument: &str) -> Result<String, String> {
    let output = Command::new(program).arg(argument).output();
    let output = output.map_err(|error| format!("{program} {argument}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// The C library, whose copying and comparing is counted too.
fn c_library() -> String {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let said = said.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    if said.is_empty() { "C library unknown".to_owned() } else { said }
}
