//! What the command line asks for over QUIC, done.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tekd::service::control::Exit;
use tekd::service::readyfile::ReadyFile;
use tekd::service::timetext::format_time;
use tekd::store::RealDisk;

use crate::arguments::EchoArguments;
use crate::data_directory::default_newest_day;
use crate::ending::{Done, Failure, failed, failure, misused, tell};
use crate::key_file::read_keys;
use crate::lookups::{Echoes, Lookups};
use crate::naming::{ready_file, server_program, trusted};
use crate::quic_arguments::{CompareQuicArguments, QuicArguments, QuicWay};
use crate::quic_compare::{QuicCompareError, QuicCompareOptions, compare_quic};
use crate::quic_echo::{QuicEcho, QuicEchoError};
use crate::quic_idle::measure_idle;
use crate::quic_measure::{QuicMeasureError, QuicPlan, measure_quic};
use crate::results::keep;
use crate::system;
use crate::times::now;

/// What an echo is asked about, which has no service.
const NO_SERVICE: [u8; 8] = *b"no tekd!";

impl From<QuicMeasureError> for Failure {
    fn from(e: QuicMeasureError) -> Self {
        let exit = match e {
            QuicMeasureError::Window { .. } => Exit::Usage,
            QuicMeasureError::Connect { .. } | QuicMeasureError::Silent(_) => Exit::Unreachable,
            QuicMeasureError::Io(_) | QuicMeasureError::Stat(_) => Exit::Failed,
        };
        failure(exit)(&e)
    }
}

/// `tekd-load quic`.
pub(crate) fn ask_over_quic(arguments: &QuicArguments, json: bool) -> Done {
    let ready = ready_file(&arguments.ready_file)?;
    let server = ready.quic.ok_or_else(|| misused("the server of this ready file has no QUIC"))?;
    let (window, connections) = arguments.way.usual();
    let plan = QuicPlan {
        server,
        way: arguments.way,
        window: arguments.window.unwrap_or(window),
        connections: arguments.connections.unwrap_or(connections),
        length: arguments.duration,
        patience: arguments.timeout,
        pid: Some(ready.pid),
    };
    if let Some(core) = arguments.core {
        system::pin(&[core]).map_err(|e| misused(format_args!("core {core}: {e}")))?;
    }
    if plan.way == QuicWay::Idle {
        let memory = measure_idle(&plan, ready.pid)?;
        tell(json, &memory, || memory.to_string())?;
        return Ok(Exit::Ok);
    }
    let service =
        if arguments.echo { NO_SERVICE } else { trusted(None, Some(&ready), arguments.set)?.service };
    let hits = arguments.keys.as_deref().map(read_keys).transpose().map_err(failed)?.unwrap_or_default();
    let ratio = if hits.is_empty() { 0.0 } else { 0.5 };
    let lookups = Lookups::new(service, arguments.set, Arc::new(hits), ratio, 1, arguments.seed);
    let lookups = lookups.map_err(misused)?;
    let report = match arguments.echo {
        true => measure_quic(&plan, Echoes(lookups))?,
        false => measure_quic(&plan, lookups)?,
    };
    tell(json, &report, || report.to_string())?;
    Ok(if report.wrong > 0 { Exit::Failed } else { Exit::Ok })
}

#[derive(Serialize)]
struct Echoing {
    quic: std::net::SocketAddr,
    pid: u32,
}

/// `tekd-load echo --quic`.
pub(crate) fn echo_quic(arguments: &EchoArguments, json: bool) -> Done {
    let echo = QuicEcho::bind(arguments.listen).map_err(|e| match e {
        QuicEchoError::NotLoopback(_) => failure(Exit::Refused)(&e),
        _ => failed(e),
    })?;
    let (quic, pid) = (echo.address(), std::process::id());
    tell(json, &Echoing { quic, pid }, || format!("echoing over QUIC on {quic}, process {pid}"))?;
    if let Some(file) = &arguments.ready_file {
        let (control, trust) = (PathBuf::new(), PathBuf::new());
        // Who starts servers knows them by their address of UDP.
        let (udp, quic) = (Some(quic), Some(quic));
        let ready = ReadyFile { udp, tls: None, quic, metrics: None, control, trust, pid };
        ready.write(&RealDisk, file).map_err(failed)?;
    }
    echo.run();
    Ok(Exit::Ok)
}

/// `tekd-load compare-quic`.
pub(crate) fn compare_over_quic(arguments: &CompareQuicArguments, json: bool) -> Done {
    let options = QuicCompareOptions {
        ways: arguments.ways.clone(),
        keys: arguments.keys,
        seed: arguments.seed,
        newest_day: default_newest_day(now()),
        length: arguments.duration,
        runs: arguments.runs.into(),
        tekd: server_program(arguments.tekd.as_deref())?,
        own: std::env::current_exe().map_err(failed)?,
        date: format_time(now()),
        command: arguments.command(),
    };
    let comparison = compare_quic(&options).map_err(|e| match e {
        QuicCompareError::Measure(e) => e.into(),
        other => failed(other),
    })?;
    tell(json, &comparison, || comparison.to_string())?;
    let page = keep(&arguments.out, "compare-quic", &comparison).map_err(failed)?;
    eprintln!("kept in {}", page.display());
    Ok(if comparison.has_wrong() { Exit::Failed } else { Exit::Ok })
}
