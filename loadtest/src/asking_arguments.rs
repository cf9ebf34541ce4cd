//! The command lines of what asks a server.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::known_arguments::KnownArguments;
use crate::lines::MAX_LINES;
use crate::pace::{MAX_RATE, MAX_WINDOW};
use crate::sizes::part;
use crate::system::MAX_TRAIN;
use crate::times::length;
use crate::transports::Transport;

/// Whom to ask.
#[derive(Debug, Args)]
pub struct ServerArguments {
    /// Host and port of the server. Without it: the one of --ready-file.
    #[arg(long, value_name = "ADDR", required_unless_present = "ready_file")]
    pub server: Option<String>,
    /// How it is known.
    #[command(flatten)]
    pub known: KnownArguments,
    /// How questions travel.
    #[arg(long, value_enum, default_value = "udp")]
    pub transport: Transport,
    /// TLS and QUIC: connections. Each of TLS has one question out at most, each of QUIC sixteen. Without it:
    /// as many as the window needs, or with --rate 64.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LINES)))]
    pub connections: Option<u32>,
    /// The set that is asked about.
    #[arg(long, default_value_t = 1)]
    pub set: u32,
    /// The server's process, if it runs on this machine.
    #[arg(long, conflicts_with = "ready_file")]
    pub pid: Option<u32>,
}

/// How fast and for how long.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Open loop: questions a second.
    #[arg(long, value_name = "N", conflicts_with = "window",
          value_parser = clap::value_parser!(u64).range(1..=MAX_RATE))]
    pub rate: Option<u64>,
    /// Closed loop: questions out at once. The default, with 64.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_WINDOW)))]
    pub window: Option<u32>,
    /// For how long.
    #[arg(long, default_value = "10s", value_parser = length)]
    pub duration: Duration,
    /// After how long without an answer a question is lost.
    #[arg(long, default_value = "1s", value_parser = length)]
    pub timeout: Duration,
    /// The same seed asks the same questions.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Run on this core alone.
    #[arg(long, value_name = "CORE")]
    pub core: Option<usize>,
}

/// Which keys to ask for.
#[derive(Debug, Args)]
pub struct KeysArguments {
    /// Part of the keys asked for that is in the set, 0 to 1. Needs --keys.
    #[arg(long, value_name = "PART", default_value_t = 0.5, value_parser = part)]
    pub hit_ratio: f64,
    /// Keys in one question, 1 to 32.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub keys_per_question: u8,
    /// Keys that are in the set, as `tekctl sync --keys-out` writes them.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
}

/// `tekd-load lookup`.
#[derive(Debug, Args)]
pub struct LookupArguments {
    /// Whom to ask.
    #[command(flatten)]
    pub server: ServerArguments,
    /// How fast and for how long.
    #[command(flatten)]
    pub run: RunArguments,
    /// Which keys to ask for.
    #[command(flatten)]
    pub keys: KeysArguments,
    /// UDP only: questions that leave in one train (UDP_SEGMENT), 1 to 64; answers may come in trains too.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=MAX_TRAIN as i64))]
    pub train: u8,
}

/// `tekd-load checkpoint` and `tekd-load sync`.
#[derive(Debug, Args)]
pub struct AskArguments {
    /// Whom to ask.
    #[command(flatten)]
    pub server: ServerArguments,
    /// How fast and for how long.
    #[command(flatten)]
    pub run: RunArguments,
}

/// `tekd-load bucket`.
///
/// Every answer is read to its end as it comes; the proof of one in 16 is verified after the run, and told as
/// `proved`.
#[derive(Debug, Args)]
pub struct BucketArguments {
    /// Whom to ask.
    #[command(flatten)]
    pub server: ServerArguments,
    /// How fast and for how long.
    #[command(flatten)]
    pub run: RunArguments,
    /// Length of the prefixes. Without it: the depth of the tree.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=32))]
    pub bits: Option<u8>,
}

/// `tekd-load mixed`.
#[derive(Debug, Args)]
pub struct MixedArguments {
    /// Whom to ask.
    #[command(flatten)]
    pub server: ServerArguments,
    /// How fast and for how long.
    #[command(flatten)]
    pub run: RunArguments,
    /// Which keys to ask for.
    #[command(flatten)]
    pub keys: KeysArguments,
    /// Kinds of questions and their weights.
    #[arg(long, value_name = "KIND=WEIGHT,…", value_delimiter = ',', value_parser = weighted,
          default_value = "lookup=90,checkpoint=4,bucket=3,sync=3")]
    pub mix: Vec<(Kind, u32)>,
}

/// `tekd-load dns`.
#[derive(Debug, Args)]
pub struct DnsArguments {
    /// Host and port of the name server.
    #[arg(long, value_name = "ADDR")]
    pub server: String,
    /// Names to ask for, one a line, with a type behind it unless that is A. Each is to have an answer.
    #[arg(long, value_name = "FILE")]
    pub names: PathBuf,
    /// The server's process, if it runs on this machine.
    #[arg(long)]
    pub pid: Option<u32>,
    /// How fast and for how long.
    #[command(flatten)]
    pub run: RunArguments,
}

/// A kind of question in a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Keys, present or absent.
    Lookup,
    /// The newest checkpoint.
    Checkpoint,
    /// A leaf of the tree with its proof.
    Bucket,
    /// The way to the newest version, and its parts.
    Sync,
}

fn weighted(text: &str) -> Result<(Kind, u32), String> {
    let wrong = || format!("`{text}` is no kind with a weight from 1 to 1000000: write it like lookup=90");
    let (kind, weight) = text.split_once('=').ok_or_else(wrong)?;
    let kind = <Kind as clap::ValueEnum>::from_str(kind, false).map_err(|_| wrong())?;
    let weight = weight.parse().ok().filter(|weight| (1..=1_000_000).contains(weight));
    Ok((kind, weight.ok_or_else(wrong)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_belongs_to_a_kind() {
        assert_eq!(weighted("lookup=90"), Ok((Kind::Lookup, 90)));
        assert_eq!(weighted("sync=1"), Ok((Kind::Sync, 1)));
        for bad in ["lookup", "lookup=0", "submit=1", "=1", "sync=-1", "sync=1.5", "bucket=1000001"] {
            assert!(weighted(bad).is_err(), "{bad}");
        }
    }
}
