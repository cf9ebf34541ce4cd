//! The commands that report to a server, done.

use tekd::service::control::Exit;

use crate::code_file::read_codes;
use crate::confirm::{ConfirmError, ConfirmOptions, confirm};
use crate::ending::{Done, Failure, failed, failure, misused, tell};
use crate::lines::ReportTransport;
use crate::naming::{address, ready_file, server_program, trusted};
use crate::output::empty_directory;
use crate::pace::Pace;
use crate::patients::Patients;
use crate::report_arguments::{ConfirmArguments, SubmitArguments};
use crate::submit_run::{Desk, SubmitError};
use crate::submitting::{SubmitPlan, lines_for};
use crate::times::now;

/// Reports on their way at once when nothing is said.
const DEFAULT_WINDOW: u32 = 64;

impl From<SubmitError> for Failure {
    fn from(e: SubmitError) -> Self {
        match e {
            SubmitError::Connect { .. } => failure(Exit::Unreachable)(&e),
            other => failed(other),
        }
    }
}

impl From<ConfirmError> for Failure {
    fn from(e: ConfirmError) -> Self {
        failed(e)
    }
}

/// `tekd-load submit`.
pub(crate) fn submit(arguments: &SubmitArguments, json: bool) -> Done {
    let ready = arguments.known.ready_file.as_deref().map(ready_file).transpose()?;
    let server = address(arguments.server.as_deref(), ready.as_ref(), |ready| match arguments.transport {
        ReportTransport::Tls => ready.tls,
        ReportTransport::Quic => ready.quic,
    })?;
    let trust = trusted(arguments.known.trust.as_deref(), ready.as_ref(), arguments.set)?;
    let codes = read_codes(&arguments.codes).map_err(misused)?;
    let patients = Patients::new(codes, arguments.keys, arguments.seed, now());
    let pid = arguments.pid.or_else(|| Some(ready.as_ref()?.pid));
    let desk = Desk::meet(server, arguments.transport, trust, arguments.set, pid, now())?;
    let run = desk.run(&plan(arguments, server), &patients)?;
    for fault in run.faults.iter().flatten() {
        eprintln!("the first of its kind: {fault}");
    }
    tell(json, &run.report, || run.report.to_string())?;
    Ok(if run.report.wrong > 0 { Exit::Failed } else { Exit::Ok })
}

fn plan(arguments: &SubmitArguments, server: std::net::SocketAddr) -> SubmitPlan {
    let window = arguments.window.unwrap_or(DEFAULT_WINDOW);
    let (pace, lines) = match arguments.rate {
        Some(rate) => (Pace::Rate(rate), arguments.connections.unwrap_or_else(|| lines_for(rate))),
        None => (Pace::Window(window), window),
    };
    SubmitPlan {
        server,
        transport: arguments.transport,
        pace,
        lines,
        length: arguments.duration,
        patience: arguments.timeout,
    }
}

/// `tekd-load confirm`.
pub(crate) fn confirm_reports(arguments: &ConfirmArguments, json: bool) -> Done {
    let tekd = server_program(arguments.tekd.as_deref())?;
    empty_directory(&arguments.out).map_err(misused)?;
    let options = ConfirmOptions {
        dir: arguments.out.clone(),
        tekd,
        rounds: arguments.rounds.into(),
        length: arguments.duration,
        keys: arguments.keys,
        lines: arguments.connections,
        seed: arguments.seed,
    };
    let confirmation = confirm(&options)?;
    tell(json, &confirmation, || confirmation.to_string())?;
    Ok(if confirmation.wrong + confirmation.lost > 0 { Exit::Failed } else { Exit::Ok })
}
