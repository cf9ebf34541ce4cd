//! tekd beside a bare echo of QUIC with the same settings, run in turn, so that only ratios count.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tekd::gaen::Epidemic;
use tekd::release::{Trust, TrustFileError};
use tekd::service::readyfile::ReadyFile;
use tekd::wire::Key;

use crate::data_directory::{DataDirectoryError, GeneratedData, write_data_directory};
use crate::lookups::{Echoes, Lookups, LookupsError};
use crate::median::Spread;
use crate::progress::Progress;
use crate::quic_arguments::QuicWay;
use crate::quic_idle::measure_idle;
use crate::quic_measure::{QuicMeasureError, QuicPlan, measure_quic};
use crate::report::Report;
use crate::servers::{Process, Server, ServerError};
use crate::system;

/// A question without an answer for so long is lost.
const PATIENCE: Duration = Duration::from_millis(500);
/// Before each run: caches and the processor's clock settle.
const WARM_UP: Duration = Duration::from_millis(200);

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

/// One way of asking: medians over the rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuicRow {
    /// Its name: `streams`, `datagrams`, `handshakes`, and `idle`, which is bytes for each connection.
    pub name: &'static str,
    /// Right answers a second of tekd.
    pub tekd: f64,
    /// Of the echo.
    pub echo: f64,
    /// tekd to echo in the same round.
    pub ratio: f64,
    /// Least and most of the ratios.
    pub ratio_min: f64,
    /// Least and most of the ratios.
    pub ratio_max: f64,
    /// Processor time of tekd for each answer, nanoseconds.
    pub tekd_cpu_ns: f64,
    /// Of the echo.
    pub echo_cpu_ns: f64,
    /// Echo to tekd of these in the same round: what the ratio would be if the server alone were the limit.
    pub cpu_ratio: f64,
    /// How much of a core tekd used.
    pub tekd_busy: f64,
    /// How much the echo used.
    pub echo_busy: f64,
    /// Median latency of tekd, microseconds.
    pub tekd_p50_us: f64,
    /// Of the echo.
    pub echo_p50_us: f64,
    /// Lost and wrong answers in all runs.
    pub lost: u64,
    /// Lost and wrong answers in all runs.
    pub wrong: u64,
}

/// All ways.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuicComparison {
    /// One row for each way.
    pub rows: Vec<QuicRow>,
    /// Keys in the set.
    pub keys: u64,
    /// Rounds.
    pub runs: usize,
    /// Length of each run.
    pub seconds: f64,
    /// Whether servers and generator had a core each.
    pub pinned: bool,
}

/// Starts both servers and runs them in turn.
///
/// # Errors
/// [`QuicCompareError`].
pub fn compare_quic(options: &QuicCompareOptions) -> Result<QuicComparison, QuicCompareError> {
    let dir = tempfile::tempdir()?;
    let data =
        write_data_directory(&dir.path().join("data"), options.keys, options.seed, options.newest_day)?;
    let cores = system::cores()?;
    let pinned = cores.len() >= 2;
    if pinned {
        system::pin(&cores[..1])?;
    }
    let servers = start(options, dir.path(), &data);
    if pinned {
        system::pin(&cores[1..2])?;
    }
    let rows = servers.and_then(|servers| rounds(options, &data, &servers));
    if pinned {
        system::pin(&cores)?;
    }
    let (keys, runs, seconds) = (options.keys, options.runs, options.length.as_secs_f64());
    Ok(QuicComparison { rows: rows?, keys, runs, seconds, pinned })
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

fn rounds(
    options: &QuicCompareOptions,
    data: &GeneratedData,
    servers: &Both,
) -> Result<Vec<QuicRow>, QuicCompareError> {
    let trust = Trust::parse_json(&std::fs::read_to_string(&data.trust)?)?;
    let hits = hits(options)?;
    let ratio = if hits.is_empty() { 0.0 } else { 0.5 };
    let lookups = Lookups::new(trust.service, data.set, Arc::new(hits), ratio, 1, options.seed)?;
    let progress = Progress::new("runs", 2 * (options.runs * options.ways.len()) as u64);
    let mut rows = Vec::new();
    for way in &options.ways {
        if *way == QuicWay::Idle {
            rows.push(idle(options, servers)?);
            continue;
        }
        let (mut of_echo, mut of_tekd) = (Vec::new(), Vec::new());
        for _ in 0..options.runs {
            let run = plan(options, *way, &servers.echo);
            measure_quic(&QuicPlan { length: WARM_UP, ..run.clone() }, Echoes(lookups.clone()))?;
            of_echo.push(measure_quic(&run, Echoes(lookups.clone()))?);
            progress.advance(1);
            let run = plan(options, *way, &servers.tekd);
            measure_quic(&QuicPlan { length: WARM_UP, ..run.clone() }, lookups.clone())?;
            of_tekd.push(measure_quic(&run, lookups.clone())?);
            progress.advance(1);
        }
        rows.push(row(way.name(), &of_echo, &of_tekd));
    }
    Ok(rows)
}

fn plan(options: &QuicCompareOptions, way: QuicWay, (server, address): &(Server, SocketAddr)) -> QuicPlan {
    let (window, connections) = way.usual();
    let (length, pid) = (options.length, Some(server.pid()));
    QuicPlan { server: *address, way, window, connections, length, patience: PATIENCE, pid }
}

/// Bytes of an idle connection, once: memory that was given back does not show a second time.
fn idle(options: &QuicCompareOptions, servers: &Both) -> Result<QuicRow, QuicCompareError> {
    let echo = measure_idle(&plan(options, QuicWay::Idle, &servers.echo), servers.echo.0.pid())?;
    let tekd = measure_idle(&plan(options, QuicWay::Idle, &servers.tekd), servers.tekd.0.pid())?;
    let (echo, tekd) = (echo.bytes_per_connection as f64, tekd.bytes_per_connection as f64);
    let ratio = tekd / echo.max(1.0);
    Ok(QuicRow {
        tekd,
        echo,
        ratio,
        ratio_min: ratio,
        ratio_max: ratio,
        ..row(QuicWay::Idle.name(), &[], &[])
    })
}

/// The keys that were released: the epidemic drawn again.
fn hits(options: &QuicCompareOptions) -> Result<Vec<Key>, DataDirectoryError> {
    let reports = Epidemic::new(options.seed).reports(options.keys, options.newest_day)?;
    let key = |bytes: &[u8; 16]| Key::from_slice(bytes).expect("16 bytes are a key");
    Ok(reports.flat_map(|report| report.keys).map(|exported| key(&exported.key)).collect())
}

fn row(name: &'static str, echo: &[Report], tekd: &[Report]) -> QuicRow {
    let median = |reports: &[Report], of: fn(&Report) -> f64| {
        Spread::of(reports.iter().map(of)).map_or(0.0, |spread| spread.median)
    };
    let pairs = || tekd.iter().zip(echo);
    let nothing = Spread { median: 0.0, min: 0.0, max: 0.0 };
    let ratio = Spread::of(pairs().map(|(tekd, echo)| tekd.qps / echo.qps)).unwrap_or(nothing);
    let cpu_ratio = Spread::of(pairs().map(|(tekd, echo)| cpu(echo) / cpu(tekd).max(1.0)));
    QuicRow {
        name,
        tekd: median(tekd, |r| r.qps),
        echo: median(echo, |r| r.qps),
        ratio: ratio.median,
        ratio_min: ratio.min,
        ratio_max: ratio.max,
        tekd_cpu_ns: median(tekd, cpu),
        echo_cpu_ns: median(echo, cpu),
        cpu_ratio: cpu_ratio.unwrap_or(nothing).median,
        tekd_busy: median(tekd, busy),
        echo_busy: median(echo, busy),
        tekd_p50_us: median(tekd, |r| r.p50_us),
        echo_p50_us: median(echo, |r| r.p50_us),
        lost: tekd.iter().chain(echo).map(|r| r.lost).sum(),
        wrong: tekd.iter().chain(echo).map(|r| r.wrong + r.refused).sum(),
    }
}

fn cpu(report: &Report) -> f64 {
    report.server_cpu_ns_per_answer.unwrap_or(0) as f64
}

/// The part of one core that the server used.
fn busy(report: &Report) -> f64 {
    (cpu(report) * report.answered as f64 / report.seconds / 1e7).round() / 100.0
}

impl std::fmt::Display for QuicComparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cores = if self.pinned { "a core each for servers and generator" } else { "one core for all" };
        writeln!(f, "{} rounds of {} s, {} keys, {cores}; medians", self.runs, self.seconds, self.keys)?;
        write!(
            f,
            "{:<11} {:>9} {:>9} {:>6} {:>13} {:>8} {:>8} {:>6} {:>5} {:>5} {:>8} {:>8} {:>5} {:>5}",
            "way",
            "tekd",
            "echo",
            "ratio",
            "min–max",
            "cpu ns",
            "echo ns",
            "ratio",
            "busy",
            "busy",
            "p50 µs",
            "echo µs",
            "lost",
            "wrong"
        )?;
        for row in &self.rows {
            write!(
                f,
                "\n{:<11} {:>9.0} {:>9.0} {:>6.3} {:>13} {:>8.0} {:>8.0} {:>6.3} {:>5.2} {:>5.2} {:>8.1} {:>8.1} {:>5} \
                 {:>5}",
                row.name,
                row.tekd,
                row.echo,
                row.ratio,
                format!("{:.3}–{:.3}", row.ratio_min, row.ratio_max),
                row.tekd_cpu_ns,
                row.echo_cpu_ns,
                row.cpu_ratio,
                row.tekd_busy,
                row.echo_busy,
                row.tekd_p50_us,
                row.echo_p50_us,
                row.lost,
                row.wrong
            )?;
        }
        Ok(())
    }
}
