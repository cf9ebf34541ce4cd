//! What the command line asks for, done: results on stdout, all else on stderr, the exit code of the
//! contract.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tekd::gaen::Epidemic;
use tekd::release::Trust;
use tekd::service::control::Exit;
use tekd::service::readyfile::ReadyFile;
use tekd::service::timetext::format_interval;
use tekd::store::RealDisk;
use tekd::wire::Key;

use crate::arguments::{
    Arguments, Command, CompareArguments, EchoArguments, GenerateArguments, LookupArguments, Transport,
};
use crate::compare::{CompareError, CompareOptions, compare};
use crate::data_directory::{GeneratedData, default_newest_day, released_at, write_data_directory};
use crate::echo::{Echo, EchoError};
use crate::key_file::{read_keys, write_keys};
use crate::measure::{MeasureError, Plan, greet, measure};
use crate::output::{OutputError, empty_directory};
use crate::pace::Pace;
use crate::packages::{GeneratedPackages, write_packages};
use crate::servers;
use crate::system;
use crate::traffic::Lookups;

/// Questions out at once when nothing is said.
const DEFAULT_WINDOW: u32 = 64;

/// Why a command did not work, in words and as an exit code.
struct Failure {
    exit: Exit,
    text: String,
}

fn failure(exit: Exit) -> impl Fn(&dyn std::fmt::Display) -> Failure {
    move |text| Failure { exit, text: text.to_string() }
}

fn failed(text: impl std::fmt::Display) -> Failure {
    failure(Exit::Failed)(&text)
}

fn misused(text: impl std::fmt::Display) -> Failure {
    failure(Exit::Usage)(&text)
}

impl From<MeasureError> for Failure {
    fn from(e: MeasureError) -> Self {
        let exit = if matches!(e, MeasureError::Silent { .. }) { Exit::Unreachable } else { Exit::Failed };
        failure(exit)(&e)
    }
}

type Done = Result<Exit, Failure>;

/// Does what the command line says; the exit code is that of the contract.
pub fn run(arguments: &Arguments) -> ExitCode {
    let json = arguments.json;
    let done = match &arguments.command {
        Command::Generate(arguments) => generate(arguments, json),
        Command::Lookup(arguments) => lookup(arguments, json),
        Command::Echo(arguments) => echo(arguments, json),
        Command::Compare(arguments) => compare_peers(arguments, json),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("tekd-load: {}", failure.text);
            failure.exit.into()
        }
    }
}

/// Prints `result` as JSON, or as text.
fn tell<T: Serialize>(json: bool, result: &T, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let text = if json { serde_json::to_string(result).map_err(failed)? } else { text() };
    println!("{text}");
    Ok(())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What was generated, with what it was generated from.
#[derive(Serialize)]
struct Generated<T> {
    seed: u64,
    newest_day: String,
    #[serde(flatten)]
    made: T,
}

fn generate(arguments: &GenerateArguments, json: bool) -> Done {
    let newest_day = newest_day(arguments)?;
    empty_directory(&arguments.out).map_err(|e| match e {
        OutputError::NotEmpty(_) => failure(Exit::Refused)(&e),
        OutputError::Io { .. } => failed(e),
    })?;
    let (keys, seed) = (arguments.keys, arguments.seed);
    let date = format_interval(newest_day).chars().take(10).collect();
    if arguments.journal {
        eprintln!("the secrets of this data directory come from its seed: for load tests only");
        let made = write_data_directory(&arguments.out, keys, seed, newest_day).map_err(failed)?;
        write_keys_out(arguments, newest_day)?;
        let text = |made: &GeneratedData| {
            format!(
                "{} keys of {} reports in {}, root {}",
                made.keys,
                made.reports,
                made.data.display(),
                made.root
            )
        };
        let made = Generated { seed, newest_day: date, made };
        tell(json, &made, || text(&made.made))?;
    } else {
        let made = write_packages(&arguments.out, keys, seed, newest_day).map_err(failed)?;
        write_keys_out(arguments, newest_day)?;
        let text = |made: &GeneratedPackages| {
            let files = made.packages.iter().map(|package| {
                format!("{}: {} keys, {} bytes", package.file.display(), package.keys, package.bytes)
            });
            files.collect::<Vec<_>>().join("\n")
        };
        let made = Generated { seed, newest_day: date, made };
        tell(json, &made, || text(&made.made))?;
    }
    Ok(Exit::Ok)
}

fn newest_day(arguments: &GenerateArguments) -> Result<u32, Failure> {
    let latest = default_newest_day(now());
    let newest_day = arguments.newest_day.unwrap_or(latest);
    if arguments.journal && released_at(newest_day) > now() {
        return Err(misused(format_args!(
            "keys of {} cannot be published yet, and a server would hold their release; the newest day that \
             can is {}",
            &format_interval(newest_day)[..10],
            &format_interval(latest)[..10]
        )));
    }
    Ok(newest_day)
}

fn write_keys_out(arguments: &GenerateArguments, newest_day: u32) -> Result<(), Failure> {
    let Some(file) = &arguments.keys_out else { return Ok(()) };
    let reports = Epidemic::new(arguments.seed).reports(arguments.keys, newest_day).map_err(misused)?;
    write_keys(file, reports.flat_map(|report| report.keys).collect()).map_err(failed)
}

fn lookup(arguments: &LookupArguments, json: bool) -> Done {
    let Transport::Udp = arguments.transport;
    let ready = arguments.ready_file.as_deref().map(ready_file).transpose()?;
    let server = match (&arguments.server, &ready) {
        (Some(server), _) => resolve(server)?,
        (None, Some(ready)) => {
            ready.udp.ok_or_else(|| misused("the server of this ready file has no UDP"))?
        }
        (None, None) => return Err(misused("no server: give --server or --ready-file")),
    };
    let trust_file = arguments.trust.clone().or_else(|| Some(ready.as_ref()?.trust.clone()));
    let trust = trust(&trust_file.ok_or_else(|| misused("no trust: give --trust or --ready-file"))?)?;
    if !trust.sets.contains(&arguments.set) {
        return Err(misused(format_args!(
            "set {} is not in the trust file: {:?} are",
            arguments.set, trust.sets
        )));
    }
    let (hits, ratio) = hits(arguments)?;
    let (set, seed, per_question) = (arguments.set, arguments.seed, usize::from(arguments.keys_per_question));
    let mut lookups =
        Lookups::new(trust.service, set, Arc::new(hits), ratio, per_question, seed).map_err(misused)?;
    lookups.set_cookie(greet(server, trust.service, set, txid())?);
    if let Some(core) = arguments.core {
        system::pin(&[core]).map_err(|e| misused(format_args!("core {core}: {e}")))?;
    }
    let window = Pace::Window(arguments.window.unwrap_or(DEFAULT_WINDOW));
    let plan = Plan {
        server,
        pace: arguments.rate.map_or(window, Pace::Rate),
        length: arguments.duration,
        patience: arguments.timeout,
        pid: arguments.pid.or_else(|| Some(ready.as_ref()?.pid)),
    };
    let report = measure(&plan, &mut lookups)?;
    tell(json, &report, || report.to_string())?;
    Ok(if report.wrong > 0 { Exit::Failed } else { Exit::Ok })
}

/// The keys that are in the set, and the part of the questions that asks for them.
fn hits(arguments: &LookupArguments) -> Result<(Vec<Key>, f64), Failure> {
    match &arguments.keys {
        Some(file) => Ok((read_keys(file).map_err(failed)?, arguments.hit_ratio)),
        None => {
            if arguments.hit_ratio > 0.0 {
                eprintln!(
                    "without --keys no key of the set is known: only random keys are asked for, hit ratio 0"
                );
            }
            Ok((Vec::new(), 0.0))
        }
    }
}

/// A transaction id that another run hardly has.
fn txid() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

fn ready_file(file: &Path) -> Result<ReadyFile, Failure> {
    servers::read(file)
        .ok_or_else(|| misused(format_args!("{} is no ready file of a server", file.display())))
}

fn resolve(server: &str) -> Result<SocketAddr, Failure> {
    let mut found = server.to_socket_addrs().map_err(|e| misused(format_args!("--server {server}: {e}")))?;
    found.next().ok_or_else(|| misused(format_args!("--server {server}: no address")))
}

fn trust(file: &Path) -> Result<Trust, Failure> {
    let named = |e: &dyn std::fmt::Display| misused(format_args!("{}: {e}", file.display()));
    Trust::parse_json(&std::fs::read_to_string(file).map_err(|e| named(&e))?).map_err(|e| named(&e))
}

#[derive(Serialize)]
struct Echoing {
    udp: SocketAddr,
    pid: u32,
}

fn echo(arguments: &EchoArguments, json: bool) -> Done {
    let refuse = |e: EchoError| match e {
        EchoError::NotLoopback(_) => failure(Exit::Refused)(&e),
        EchoError::Socket { .. } => failed(e),
    };
    let echo = Echo::bind(arguments.listen).map_err(refuse)?;
    let (udp, pid) = (echo.address(), std::process::id());
    tell(json, &Echoing { udp, pid }, || format!("echoing on {udp}, process {pid}"))?;
    if let Some(file) = &arguments.ready_file {
        let nowhere = PathBuf::new();
        let (control, trust) = (nowhere.clone(), nowhere);
        let ready = ReadyFile { udp: Some(udp), tls: None, quic: None, metrics: None, control, trust, pid };
        ready.write(&RealDisk, file).map_err(failed)?;
    }
    echo.run(&AtomicBool::new(false)).map_err(refuse)?;
    Ok(Exit::Ok)
}

fn compare_peers(arguments: &CompareArguments, json: bool) -> Done {
    let own = std::env::current_exe().map_err(failed)?;
    let tekd = arguments.tekd.clone().unwrap_or_else(|| own.with_file_name("tekd"));
    if !tekd.is_file() {
        return Err(misused(format_args!(
            "{} is not there: build it (`cargo build --release`), or name it with --tekd",
            tekd.display()
        )));
    }
    let options = CompareOptions {
        keys: arguments.keys,
        seed: arguments.seed,
        newest_day: default_newest_day(now()),
        length: arguments.duration,
        runs: arguments.runs.into(),
        hit_ratio: arguments.hit_ratio,
        tekd,
        own,
    };
    let comparison = compare(&options).map_err(|e| match e {
        CompareError::Measure(e) => e.into(),
        other => failed(other),
    })?;
    tell(json, &comparison, || comparison.to_string())?;
    Ok(if comparison.rows.iter().any(|row| row.wrong > 0) { Exit::Failed } else { Exit::Ok })
}
