//! What the command line asks for, done: results on stdout, all else on stderr, the exit code of the
//! contract.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use tekd::gaen::Epidemic;
use tekd::service::control::Exit;
use tekd::service::readyfile::ReadyFile;
use tekd::service::timetext::format_interval;
use tekd::store::RealDisk;

use crate::arguments::{Arguments, Command, EchoArguments, GenerateArguments};
use crate::asking_commands;
use crate::compare_command::compare_peers;
use crate::data_directory::{GeneratedData, default_newest_day, released_at, write_data_directory};
use crate::echo::{Echo, EchoError};
use crate::ending::{Done, Failure, failed, failure, misused, tell};
use crate::key_file::write_keys;
use crate::output::{OutputError, empty_directory};
use crate::packages::{GeneratedPackages, write_packages};
use crate::quic_commands::{ask_over_quic, compare_over_quic, echo_quic};
use crate::report_commands::{confirm_reports, submit};
use crate::times::now;
use crate::xdp_echo::{XdpEcho, XdpEchoError};

/// Does what the command line says; the exit code is that of the contract.
pub fn run(arguments: &Arguments) -> ExitCode {
    let json = arguments.json;
    let done = match &arguments.command {
        Command::Generate(arguments) => generate(arguments, json),
        Command::Lookup(arguments) => asking_commands::lookup(arguments, json),
        Command::Checkpoint(arguments) => asking_commands::checkpoint(arguments, json),
        Command::Bucket(arguments) => asking_commands::bucket(arguments, json),
        Command::Sync(arguments) => asking_commands::sync(arguments, json),
        Command::Mixed(arguments) => asking_commands::mixed(arguments, json),
        Command::Dns(arguments) => asking_commands::dns(arguments, json),
        Command::Submit(arguments) => submit(arguments, json),
        Command::Confirm(arguments) => confirm_reports(arguments, json),
        Command::Echo(arguments) if arguments.quic => echo_quic(arguments, json),
        Command::Echo(arguments) => echo(arguments, json),
        Command::Compare(arguments) => compare_peers(arguments, json),
        Command::Quic(arguments) => ask_over_quic(arguments, json),
        Command::CompareQuic(arguments) => compare_over_quic(arguments, json),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("tekd-load: {}", failure.text);
            failure.exit.into()
        }
    }
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

#[derive(Serialize)]
struct Echoing {
    udp: SocketAddr,
    pid: u32,
}

fn echo(arguments: &EchoArguments, json: bool) -> Done {
    if let Some(interface) = &arguments.xdp {
        return echo_by_xdp(interface, arguments, json);
    }
    let refuse = |e: EchoError| match e {
        EchoError::Reachable(_) => failure(Exit::Refused)(&e),
        EchoError::Socket { .. } => failed(e),
    };
    let echo = Echo::bind(arguments.listen, arguments.spin).map_err(refuse)?;
    tell_echo(echo.address(), arguments, json)?;
    echo.run(&AtomicBool::new(false)).map_err(refuse)?;
    Ok(Exit::Ok)
}

fn echo_by_xdp(interface: &str, arguments: &EchoArguments, json: bool) -> Done {
    let refuse = |e: XdpEchoError| match e {
        XdpEchoError::NotOfATest { .. } => failure(Exit::Refused)(&e),
        other => failed(other),
    };
    let echo = XdpEcho::bind(interface, arguments.listen).map_err(refuse)?;
    tell_echo(echo.address(), arguments, json)?;
    echo.run(&AtomicBool::new(false)).map_err(refuse)?;
    Ok(Exit::Ok)
}

fn tell_echo(udp: SocketAddr, arguments: &EchoArguments, json: bool) -> Result<(), Failure> {
    let pid = std::process::id();
    tell(json, &Echoing { udp, pid }, || format!("echoing on {udp}, process {pid}"))?;
    let Some(file) = &arguments.ready_file else { return Ok(()) };
    let nowhere = PathBuf::new();
    let (control, trust) = (nowhere.clone(), nowhere);
    let ready = ReadyFile { udp: Some(udp), tls: None, quic: None, metrics: None, control, trust, pid };
    ready.write(&RealDisk, file).map_err(failed)
}
