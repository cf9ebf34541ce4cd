//! Servers side by side: the same generator, the same machine, runs alternated, so that only ratios count.
//!
//! Machines have fast and slow states that last minutes. So each round runs every server once, one after the
//! other, and the ratio to the echo is taken within the round; what is told is the median over the rounds.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tekd::gaen::Epidemic;
use tekd::release::{Trust, TrustFileError};
use tekd::wire::Key;

use crate::data_directory::{DataDirectoryError, GeneratedData, write_data_directory};
use crate::measure::{MeasureError, Plan, greet, measure};
use crate::median::Spread;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::report::Report;
use crate::servers::{Server, ServerError};
use crate::system;
use crate::traffic::{Echoes, Lookups, LookupsError};

/// Questions out at once: two batches, one being answered while the other is on its way.
const WINDOW: u32 = 128;
/// A question without an answer for so long is lost, and its place in the window with it until then.
const PATIENCE: Duration = Duration::from_millis(200);
/// Before each run: caches and the processor's clock settle.
const WARM_UP: Duration = Duration::from_millis(200);

/// What is compared.
#[derive(Debug, Clone)]
pub struct CompareOptions {
    /// Keys in the set.
    pub keys: u64,
    /// Seed of keys and questions.
    pub seed: u64,
    /// Newest day of the keys, the interval it starts at.
    pub newest_day: u32,
    /// Length of each run.
    pub length: Duration,
    /// Rounds.
    pub runs: usize,
    /// Part of the keys asked for that is in the set.
    pub hit_ratio: f64,
    /// The server.
    pub tekd: PathBuf,
    /// This program, for the echo.
    pub own: PathBuf,
}

/// Why nothing is compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
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
    Measure(#[from] MeasureError),
}

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name: `echo`, `tekd-1M`.
    pub name: String,
    /// Right answers a second, median.
    pub qps: f64,
    /// Least and most.
    pub qps_min: f64,
    /// Least and most.
    pub qps_max: f64,
    /// To the echo in the same round, median.
    pub ratio: f64,
    /// Processor time for each answer in nanoseconds, median.
    pub server_cpu_ns_per_answer: f64,
    /// Of this, in its own code, median.
    pub server_user_ns_per_answer: f64,
    /// How much of one core it used, median: well below 1 the generator is what was measured.
    pub server_busy: f64,
    /// Latency with the window full, median of the runs' medians, microseconds.
    pub p50_us: f64,
    /// Of 99 in 100, median.
    pub p99_us: f64,
    /// In all runs.
    pub lost: u64,
    /// In all runs.
    pub wrong: u64,
    /// From the start of the process until it answers, seconds.
    pub start_s: f64,
}

/// All servers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// One for each.
    pub rows: Vec<Row>,
    /// Keys in the set.
    pub keys: u64,
    /// Rounds.
    pub runs: usize,
    /// Length of each run, seconds.
    pub seconds: f64,
    /// Questions out at once.
    pub window: u32,
    /// Part of the keys asked for that is in the set.
    pub hit_ratio: f64,
    /// Whether server and generator each had a core of its own.
    pub pinned: bool,
}

/// Starts the servers, lets them answer in turn, and ends them.
///
/// # Errors
/// [`CompareError`].
pub fn compare(options: &CompareOptions) -> Result<Comparison, CompareError> {
    let dir = tempfile::tempdir()?;
    let data_path = dir.path().join("data");
    std::fs::create_dir(&data_path)?;
    let data = write_data_directory(&data_path, options.keys, options.seed, options.newest_day)?;
    let cores = system::cores()?;
    let pinned = cores.len() >= 2;
    if pinned {
        system::pin(&cores[..1])?;
    }
    let echo = start_echo(options, dir.path());
    let tekd = start_tekd(options, dir.path(), &data);
    if pinned {
        system::pin(&cores[1..2])?;
    }
    let result =
        echo.and_then(|echo| Ok((echo, tekd?))).and_then(|(echo, tekd)| rounds(options, &data, &echo, &tekd));
    if pinned {
        system::pin(&cores)?;
    }
    let rows = result?;
    let (keys, runs, seconds) = (options.keys, options.runs, options.length.as_secs_f64());
    Ok(Comparison { rows, keys, runs, seconds, window: WINDOW, hit_ratio: options.hit_ratio, pinned })
}

fn start_echo(options: &CompareOptions, dir: &std::path::Path) -> Result<Server, CompareError> {
    let ready = dir.join("echo.json");
    let arguments = ["echo", "--listen", "127.0.0.1:0", "--ready-file"].map(OsStr::new);
    Ok(Server::start(&options.own, &[&arguments[..], &[ready.as_os_str()]].concat(), &ready)?)
}

fn start_tekd(
    options: &CompareOptions,
    dir: &std::path::Path,
    data: &GeneratedData,
) -> Result<Server, CompareError> {
    let (ready, control) = (dir.join("tekd.json"), dir.join("control.sock"));
    let fixed = ["serve", "--udp", "127.0.0.1:0", "--tls", "off", "--quic", "off", "--log-level", "warn"];
    let mut arguments: Vec<&OsStr> = fixed.iter().map(OsStr::new).collect();
    arguments.extend([OsStr::new("--data"), data.data.as_os_str()]);
    arguments.extend([OsStr::new("--control"), control.as_os_str()]);
    arguments.extend([OsStr::new("--ready-file"), ready.as_os_str()]);
    Ok(Server::start(&options.tekd, &arguments, &ready)?)
}

fn rounds(
    options: &CompareOptions,
    data: &GeneratedData,
    echo: &Server,
    tekd: &Server,
) -> Result<Vec<Row>, CompareError> {
    let trust = Trust::parse_json(&std::fs::read_to_string(&data.trust)?)?;
    let hits = hits(options)?;
    let ratio = if hits.is_empty() { 0.0 } else { options.hit_ratio };
    let mut lookups = Lookups::new(trust.service, data.set, Arc::new(hits), ratio, 1, options.seed)?;
    let mut echoes = Echoes(lookups.clone());
    lookups.set_cookie(greet(tekd.udp, trust.service, data.set, options.seed)?);
    let progress = Progress::new("runs", 2 * options.runs as u64);
    let (mut of_echo, mut of_tekd) = (Vec::new(), Vec::new());
    for _ in 0..options.runs {
        let run = plan(options, echo);
        measure(&Plan { length: WARM_UP, ..run.clone() }, &mut echoes)?;
        of_echo.push(measure(&run, &mut echoes)?);
        progress.advance(1);
        let run = plan(options, tekd);
        measure(&Plan { length: WARM_UP, ..run.clone() }, &mut lookups)?;
        of_tekd.push(measure(&run, &mut lookups)?);
        progress.advance(1);
    }
    let name = format!("tekd-{}", short(options.keys));
    let ratios: Vec<f64> = of_tekd.iter().zip(&of_echo).map(|(tekd, echo)| tekd.qps / echo.qps).collect();
    let ones = vec![1.0; of_echo.len()];
    Ok(vec![row("echo".to_owned(), echo, &of_echo, ones), row(name, tekd, &of_tekd, ratios)])
}

fn plan(options: &CompareOptions, server: &Server) -> Plan {
    Plan {
        server: server.udp,
        pace: Pace::Window(WINDOW),
        length: options.length,
        patience: PATIENCE,
        pid: Some(server.pid()),
    }
}

/// The keys that were released: the epidemic drawn again.
fn hits(options: &CompareOptions) -> Result<Vec<Key>, DataDirectoryError> {
    let reports = Epidemic::new(options.seed).reports(options.keys, options.newest_day)?;
    let key = |bytes: &[u8; 16]| Key::from_slice(bytes).expect("16 bytes are a key");
    Ok(reports.flat_map(|report| report.keys).map(|exported| key(&exported.key)).collect())
}

fn row(name: String, server: &Server, reports: &[Report], ratios: Vec<f64>) -> Row {
    let spread = |of: fn(&Report) -> f64| Spread::of(reports.iter().map(of));
    let median = |of: fn(&Report) -> f64| spread(of).map_or(0.0, |spread| spread.median);
    let qps = spread(|r| r.qps).unwrap_or(Spread { median: 0.0, min: 0.0, max: 0.0 });
    Row {
        name,
        qps: qps.median,
        qps_min: qps.min,
        qps_max: qps.max,
        ratio: Spread::of(ratios).map_or(0.0, |spread| spread.median),
        server_cpu_ns_per_answer: median(|r| r.server_cpu_ns_per_answer.unwrap_or(0) as f64),
        server_user_ns_per_answer: median(|r| r.server_user_ns_per_answer.unwrap_or(0) as f64),
        server_busy: median(busy),
        p50_us: median(|r| r.p50_us),
        p99_us: median(|r| r.p99_us),
        lost: reports.iter().map(|r| r.lost).sum(),
        wrong: reports.iter().map(|r| r.wrong + r.refused).sum(),
        start_s: server.started_in.as_secs_f64(),
    }
}

/// The part of one core that the server used.
fn busy(report: &Report) -> f64 {
    let each = report.server_cpu_ns_per_answer.unwrap_or(0) as f64;
    (each * report.answered as f64 / report.seconds / 1e7).round() / 100.0
}

/// `1M`, `300k`, `1234`.
fn short(keys: u64) -> String {
    match keys {
        0 => "0".to_owned(),
        n if n.is_multiple_of(1_000_000) => format!("{}M", n / 1_000_000),
        n if n.is_multiple_of(1000) => format!("{}k", n / 1000),
        n => n.to_string(),
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cores = if self.pinned { "a core each for server and generator" } else { "one core for both" };
        writeln!(
            f,
            "{} rounds of {} s, {} keys, {} questions out at once, {} hits, {cores}; medians",
            self.runs, self.seconds, self.keys, self.window, self.hit_ratio
        )?;
        write!(
            f,
            "{:<12} {:>9} {:>21} {:>7} {:>8} {:>8} {:>8} {:>8} {:>5} {:>6} {:>6} {:>8}",
            "name",
            "qps",
            "min–max",
            "ratio",
            "cpu ns",
            "user ns",
            "p50 µs",
            "p99 µs",
            "busy",
            "lost",
            "wrong",
            "start s"
        )?;
        for row in &self.rows {
            write!(
                f,
                "\n{:<12} {:>9.0} {:>21} {:>7.3} {:>8.0} {:>8.0} {:>8.1} {:>8.1} {:>5.2} {:>6} {:>6} {:>8.2}",
                row.name,
                row.qps,
                format!("{:.0}–{:.0}", row.qps_min, row.qps_max),
                row.ratio,
                row.server_cpu_ns_per_answer,
                row.server_user_ns_per_answer,
                row.p50_us,
                row.p99_us,
                row.server_busy,
                row.lost,
                row.wrong,
                row.start_s
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_where_numbers_are_round() {
        for (keys, name) in
            [(1_000_000, "1M"), (10_000_000, "10M"), (300_000, "300k"), (1234, "1234"), (0, "0")]
        {
            assert_eq!(short(keys), name);
        }
    }
}
