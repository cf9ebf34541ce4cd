//! tekd beside a bare echo of QUIC with the same settings, run in turn, so that only ratios count.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tekd::gaen::Epidemic;
use tekd::release::{Trust, TrustFileError};
use tekd::service::readyfile::ReadyFile;
use tekd::wire::Key;

use crate::comparison::{Comparison, Idle, Numbers, Part, Row};
use crate::core_times::watching;
use crate::data_directory::{DataDirectoryError, GeneratedData, write_data_directory};
use crate::lookups::{Echoes, Lookups, LookupsError};
use crate::machine::Machine;
use crate::progress::Progress;
use crate::quic_arguments::QuicWay;
use crate::quic_idle::measure_idle;
use crate::quic_measure::{QuicMeasureError, QuicPlan, measure_quic};
use crate::report::Report;
use crate::servers::{Process, Server, ServerError};
use crate::sizes::short;
use crate::system;

/// A question without an answer for so long is lost.
const PATIENCE: Duration = Duration::from_millis(500);
/// Before each run: caches and the processor's clock settle.
const WARM_UP: Duration = Duration::from_millis(200);

/// Part of the questions that are about keys of the set.
const HIT_RATIO: f64 = 0.5;

/// What is compared.
#[derive(Debug, Clone)]
pub struct QuicCompareOptions {
    /// In which ways.
    pub ways: Vec<QuicWay>,
    /// Keys in the set; half of the questions are about them.
    pub keys: u64,
    /// Seed of keys and questions.
    pub seed: u64,
    /// Newest day of the keys, the interval it starts at.
    pub newest_day: u32,
    /// Length of each run.
    pub length: Duration,
    /// Rounds.
    pub runs: usize,
    /// The server.
    pub tekd: PathBuf,
    /// This program, for the echo.
    pub own: PathBuf,
    /// When it begins, RFC 3339.
    pub date: String,
    /// The command, without directories.
    pub command: String,
}

/// Why nothing is compared.
#[derive(Debug, thiserror::Error)]
pub enum QuicCompareError {
    /// The data.
    #[error(transparent)]
    Data(#[from] DataDirectoryError),
    /// A temporary directory, a file in it, or the cores.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The trust file that the server was given.
    #[error(transparent)]
    Trust(#[from] TrustFileError),
    /// The questions.
    #[error(transparent)]
    Lookups(#[from] LookupsError),
    /// A run.
    #[error(transparent)]
    Measure(#[from] QuicMeasureError),
    /// A server without QUIC.
    #[error("the {0} does not listen on QUIC")]
    NoQuic(&'static str),
}

/// Starts both servers and runs them in turn.
///
/// # Errors
/// [`QuicCompareError`].
pub fn compare_quic(options: &QuicCompareOptions) -> Result<Comparison, QuicCompareError> {
    let dir = tempfile::tempdir()?;
    let data =
        write_data_directory(&dir.path().join("data"), options.keys, options.seed, options.newest_day)?;
    let machine = Machine::this();
    let cores = system::cores()?;
    let pinned = cores.len() >= 2;
    if pinned {
        system::pin(&cores[..1])?;
    }
    let servers = start(options, dir.path(), &data);
    if pinned {
        system::pin(&cores[1..2])?;
    }
    let core = cores.first().copied().filter(|_| pinned);
    let found = servers.and_then(|servers| rounds(options, &data, &servers, core));
    if pinned {
        system::pin(&cores)?;
    }
    let (also, idle) = found?;
    Ok(Comparison {
        date: options.date.clone(),
        machine,
        command: options.command.clone(),
        versions: Vec::new(),
        runs: options.runs,
        seconds: options.length.as_secs_f64(),
        hit_ratio: HIT_RATIO,
        names: 0,
        pinned,
        network: "loopback",
        rows: Vec::new(),
        also,
        idle,
    })
}

struct Both {
    echo: (Server, SocketAddr),
    tekd: (Server, SocketAddr),
}

fn start(options: &QuicCompareOptions, dir: &Path, data: &GeneratedData) -> Result<Both, QuicCompareError> {
    let ready = dir.join("echo.json");
    let fixed = ["echo", "--quic", "--listen", "127.0.0.1:0", "--ready-file"];
    let mut command = Command::new(&options.own);
    let echo = Process::start(command.args(fixed).arg(&ready))?.with_ready_file(&ready)?;
    let (ready, control) = (dir.join("tekd.json"), dir.join("control.sock"));
    let local = "127.0.0.1:0";
    let fixed = ["serve", "--udp", local, "--tls", "off", "--quic", local, "--log-level", "warn"];
    let mut command = Command::new(&options.tekd);
    command.args(fixed).arg("--data").arg(&data.data).arg("--control").arg(&control);
    let tekd = Process::start(command.arg("--ready-file").arg(&ready))?.with_ready_file(&ready)?;
    let at = |(server, ready): (Server, ReadyFile), name| match ready.quic {
        Some(address) => Ok((server, address)),
        None => Err(QuicCompareError::NoQuic(name)),
    };
    Ok(Both { echo: at(echo, "echo")?, tekd: at(tekd, "tekd")? })
}

/// Every way in turn, and idle connections where they are asked for.
fn rounds(
    options: &QuicCompareOptions,
    data: &GeneratedData,
    servers: &Both,
    core: Option<usize>,
) -> Result<(Vec<Part>, Option<Idle>), QuicCompareError> {
    let trust = Trust::parse_json(&std::fs::read_to_string(&data.trust)?)?;
    let hits = Arc::new(hits(options)?);
    let lookups = Lookups::new(trust.service, data.set, hits, HIT_RATIO, 1, options.seed)?;
    let progress = Progress::new("runs", 2 * (options.runs * options.ways.len()) as u64);
    let (mut parts, mut weighed) = (Vec::new(), None);
    for way in &options.ways {
        if *way == QuicWay::Idle {
            weighed = Some(idle(options, servers)?);
            continue;
        }
        let (mut of_echo, mut of_tekd) = (Vec::new(), Vec::new());
        for _ in 0..options.runs {
            let run = plan(options, *way, &servers.echo);
            measure_quic(&QuicPlan { length: WARM_UP, ..run.clone() }, Echoes(lookups.clone()))?;
            let (report, core_busy) = watching(core, || measure_quic(&run, Echoes(lookups.clone())));
            of_echo.push(Report { core_busy, ..report? });
            progress.advance(1);
            let run = plan(options, *way, &servers.tekd);
            measure_quic(&QuicPlan { length: WARM_UP, ..run.clone() }, lookups.clone())?;
            let (report, core_busy) = watching(core, || measure_quic(&run, lookups.clone()));
            of_tekd.push(Report { core_busy, ..report? });
            progress.advance(1);
        }
        let row = |name: String, reports: &[Report], (server, _): &(Server, SocketAddr)| {
            let start_s = server.started_in.as_secs_f64();
            Row::of(name, true, Numbers::of(reports, Some(&of_echo), start_s))
        };
        let echo = row("echo-quic".to_owned(), &of_echo, &servers.echo);
        let tekd = row(format!("tekd-{}", short(options.keys)), &of_tekd, &servers.tekd);
        let (course, title) = (way.name().to_owned(), way.title());
        parts.push(Part { course, title, fills: true, rows: vec![echo, tekd] });
    }
    Ok((parts, weighed))
}

fn plan(options: &QuicCompareOptions, way: QuicWay, (server, address): &(Server, SocketAddr)) -> QuicPlan {
    let (window, connections) = way.usual();
    let (length, pid) = (options.length, Some(server.pid()));
    QuicPlan { server: *address, way, window, connections, length, patience: PATIENCE, pid }
}

fn idle(options: &QuicCompareOptions, servers: &Both) -> Result<Idle, QuicCompareError> {
    let weigh =
        |server: &(Server, SocketAddr)| measure_idle(&plan(options, QuicWay::Idle, server), server.0.pid());
    let (echo, tekd) = (weigh(&servers.echo)?, weigh(&servers.tekd)?);
    let (echo_bytes, tekd_bytes) = (echo.bytes_per_connection, tekd.bytes_per_connection);
    Ok(Idle { connections: tekd.connections, tekd_bytes, echo_bytes })
}

/// The keys that were released: the epidemic drawn again.
fn hits(options: &QuicCompareOptions) -> Result<Vec<Key>, DataDirectoryError> {
    let reports = Epidemic::new(options.seed).reports(options.keys, options.newest_day)?;
    let key = |bytes: &[u8; 16]| Key::from_slice(bytes).expect("16 bytes are a key");
    Ok(reports.flat_map(|report| report.keys).map(|exported| key(&exported.key)).collect())
}
