//! The command line of what is measured over QUIC.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::lines::MAX_LINES;
use crate::pace::MAX_WINDOW;
use crate::sizes::{short, size};
use crate::times::length;

/// What is asked for over QUIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QuicWay {
    /// A question on a stream of its own, over open connections.
    Streams,
    /// A question in a datagram, over open connections.
    Datagrams,
    /// A connection for each question, Retry included.
    Handshakes,
    /// Connections that ask nothing: how much memory the server needs for each.
    Idle,
}

impl QuicWay {
    /// Questions out at once, and connections, when nothing is said.
    #[must_use]
    pub fn usual(self) -> (u32, u32) {
        match self {
            QuicWay::Streams => (64, 4),
            QuicWay::Datagrams => (256, 4),
            QuicWay::Handshakes => (16, 16),
            QuicWay::Idle => (1, 2000),
        }
    }

    /// What it asks for, in words.
    #[must_use]
    pub fn title(self) -> String {
        let (window, connections) = self.usual();
        match self {
            QuicWay::Streams => {
                format!(
                    "a question on each stream of QUIC, {window} out at once on {connections} connections"
                )
            }
            QuicWay::Datagrams => {
                format!(
                    "a question in each DATAGRAM frame, {window} out at once on {connections} connections"
                )
            }
            QuicWay::Handshakes => format!("a connection for each question, {window} at once"),
            QuicWay::Idle => format!("{connections} connections that ask nothing"),
        }
    }

    /// Its name in a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            QuicWay::Streams => "streams",
            QuicWay::Datagrams => "datagrams",
            QuicWay::Handshakes => "handshakes",
            QuicWay::Idle => "idle",
        }
    }
}

/// `tekd-load quic`.
#[derive(Debug, Args)]
pub struct QuicArguments {
    /// The server's ready file: address, trust, and the process whose processor time is told.
    #[arg(long, value_name = "FILE")]
    pub ready_file: PathBuf,
    /// The server is `tekd-load echo --quic`: what comes back has to be what was sent.
    #[arg(long)]
    pub echo: bool,
    /// What is asked for.
    #[arg(long, value_enum, default_value = "streams")]
    pub way: QuicWay,
    /// Questions out at once, over all connections; of streams at most 16 on each.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_WINDOW)))]
    pub window: Option<u32>,
    /// Connections.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LINES)))]
    pub connections: Option<u32>,
    /// For how long.
    #[arg(long, default_value = "10s", value_parser = length)]
    pub duration: Duration,
    /// After how long without an answer a question is lost.
    #[arg(long, default_value = "1s", value_parser = length)]
    pub timeout: Duration,
    /// Keys that are in the set, half of the questions: as `tekctl sync --keys-out` writes them.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// The same seed asks the same questions.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The set that is asked about.
    #[arg(long, default_value_t = 1)]
    pub set: u32,
    /// Run on this core alone.
    #[arg(long, value_name = "CORE")]
    pub core: Option<usize>,
}

/// `tekd-load compare-quic`.
#[derive(Debug, Args)]
pub struct CompareQuicArguments {
    /// What is compared.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "streams,datagrams,handshakes,idle")]
    pub ways: Vec<QuicWay>,
    /// Keys in the set.
    #[arg(long, default_value = "1M", value_parser = size)]
    pub keys: u64,
    /// Length of each run.
    #[arg(long, default_value = "10s", value_parser = length)]
    pub duration: Duration,
    /// Rounds; each runs both servers once in each way.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: u16,
    /// Seed of keys and questions.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write page, numbers and chart into this directory.
    #[arg(long, value_name = "DIR", default_value = "loadtest/results")]
    pub out: PathBuf,
    /// The server. Without it: the `tekd` beside this program.
    #[arg(long, value_name = "FILE")]
    pub tekd: Option<PathBuf>,
}

impl CompareQuicArguments {
    /// The command that measures the same, without directories.
    pub(crate) fn command(&self) -> String {
        let ways: Vec<&str> = self.ways.iter().map(|way| way.name()).collect();
        let (ways, keys, runs, seed) = (ways.join(","), short(self.keys), self.runs, self.seed);
        let duration = humantime::format_duration(self.duration).to_string().replace(' ', "");
        format!(
            "tekd-load compare-quic --ways {ways} --keys {keys} --duration {duration} --runs {runs} --seed {seed}"
        )
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        compare: CompareQuicArguments,
    }

    #[test]
    fn the_command_that_is_told_measures_the_same() {
        let line =
            "tekd-load compare-quic --ways streams,idle --keys 300k --duration 250ms --runs 3 --seed 9";
        let parsed =
            Line::try_parse_from(format!("{line} --out /a/b").split(' ').skip(1)).expect("a good line");
        assert_eq!(parsed.compare.command(), line);
        assert_eq!(parsed.compare.keys, 300_000);
    }
}
