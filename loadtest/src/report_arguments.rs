//! The command line of what reports to a server.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::known_arguments::KnownArguments;
use crate::lines::{MAX_LINES, ReportTransport};
use crate::patients::MAX_KEYS_PER_PATIENT;
use crate::times::length;

/// Reports a second at most: what as many lines as there may be carry.
const MAX_REPORT_RATE: u64 = 4 * MAX_LINES as u64;

/// `tekd-load submit`.
///
/// Reports are sealed before the clock starts, and their receipts verified after it stopped: during the run
/// this program only moves bytes, so that the processor is the server's. `qps` counts receipts that verify.
/// `wrong` are reports that were refused or whose receipt does not verify, `refused` those that were asked to
/// come back later. Latency has the quarter of a second in it after which every server answers.
#[derive(Debug, Args)]
pub struct SubmitArguments {
    /// Host and port of the server, of its TLS or QUIC. Without it: the one of --ready-file.
    #[arg(long, value_name = "ADDR", required_unless_present = "ready_file")]
    pub server: Option<String>,
    /// How it is known.
    #[command(flatten)]
    pub known: KnownArguments,
    /// How reports travel.
    #[arg(long, value_enum, default_value = "tls")]
    pub transport: ReportTransport,
    /// Codes, as `tekctl codes issue --json` prints them. Each report spends one; the run ends with them.
    #[arg(long, value_name = "FILE")]
    pub codes: PathBuf,
    /// Open loop: reports a second.
    #[arg(long, value_name = "N", conflicts_with = "window",
          value_parser = clap::value_parser!(u64).range(1..=MAX_REPORT_RATE))]
    pub rate: Option<u64>,
    /// Closed loop: reports on their way at once, each on a connection of its own. The default, with 64.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LINES)))]
    pub window: Option<u32>,
    /// With --rate: connections, each with one report on its way at most. Without it: as many as a server
    /// needs that answers within half a second.
    #[arg(long, value_name = "N", requires = "rate", conflicts_with = "window",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LINES)))]
    pub connections: Option<u32>,
    /// For how long.
    #[arg(long, default_value = "10s", value_parser = length)]
    pub duration: Duration,
    /// After how long without an answer a report is lost.
    #[arg(long, default_value = "10s", value_parser = length)]
    pub timeout: Duration,
    /// Keys in one report.
    #[arg(long, value_name = "N", default_value_t = 14,
          value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_KEYS_PER_PATIENT)))]
    pub keys: u8,
    /// The same seed makes the same report of a code.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The set that is reported to.
    #[arg(long, default_value_t = 1)]
    pub set: u32,
    /// The server's process, if it runs on this machine.
    #[arg(long, conflicts_with = "ready_file")]
    pub pid: Option<u32>,
}

/// `tekd-load confirm`.
///
/// Named for what it measures: not reports that are sent, but those that are confirmed. Each round lets an
/// origin confirm what it can, and measures beside it what its disk syncs and what one core opens and signs;
/// then, at half the rate, the time to a receipt, and beside it what single writes at that pace take and how
/// long the machine lets a thread stand still. Exit code 1 if anything was lost or wrong.
#[derive(Debug, Args)]
pub struct ConfirmArguments {
    /// A new or empty directory on the disk that is to be measured; what it holds afterwards may be removed.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The server. Without it: the `tekd` beside this program.
    #[arg(long, value_name = "FILE")]
    pub tekd: Option<PathBuf>,
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: u16,
    /// Length of each run of reports.
    #[arg(long, default_value = "5s", value_parser = length)]
    pub duration: Duration,
    /// Connections while the origin confirms what it can. Without it: as many as confirm the most, which is
    /// tried first.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LINES)))]
    pub connections: Option<u32>,
    /// Keys in one report.
    #[arg(long, value_name = "N", default_value_t = 14,
          value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_KEYS_PER_PATIENT)))]
    pub keys: u8,
    /// Seed of the reports.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}
