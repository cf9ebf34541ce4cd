//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tekd::gaen::Epidemic;
use tekd::service::timetext::parse_time;
use tekd::time::interval_of;

use crate::asking_arguments::{AskArguments, BucketArguments, DnsArguments, LookupArguments, MixedArguments};
use crate::compare_arguments::CompareArguments;
use crate::quic_arguments::{CompareQuicArguments, QuicArguments};
use crate::report_arguments::{ConfirmArguments, SubmitArguments};
use crate::times::pause;

/// Keys generated, at most: what one table holds.
const MAX_KEYS: u64 = 1 << 32;

/// Load for tekd and its peers.
#[derive(Debug, Parser)]
#[command(name = "tekd-load", version, about, propagate_version = true)]
pub struct Arguments {
    /// Print one JSON document on stdout.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make keys: a data directory for `tekd serve`, or packages for `tekctl import`.
    Generate(GenerateArguments),
    /// Ask for keys as fast as told, and say what came back.
    Lookup(LookupArguments),
    /// Ask for the newest checkpoint.
    Checkpoint(AskArguments),
    /// Ask for leaves of the tree with their proofs.
    Bucket(BucketArguments),
    /// Ask for the way to the newest version, and fetch it.
    Sync(AskArguments),
    /// Ask all of this in a mixture.
    Mixed(MixedArguments),
    /// Ask a name server.
    Dns(DnsArguments),
    /// Report as fast as told, and say what was confirmed.
    Submit(SubmitArguments),
    /// Measure how many reports a second an origin of its own confirms, and how fast, beside what disk and
    /// processor allow.
    Confirm(ConfirmArguments),
    /// Send every datagram back: what the kernel alone costs.
    Echo(EchoArguments),
    /// Measure tekd beside its peers, in turn.
    Compare(CompareArguments),
    /// Ask over QUIC, on streams, in datagrams or by fresh connections, or weigh idle ones.
    Quic(QuicArguments),
    /// Measure tekd beside a bare echo of QUIC, in turn.
    CompareQuic(CompareQuicArguments),
}

/// `tekd-load generate`.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// How many keys.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=MAX_KEYS))]
    pub keys: u64,
    /// The same seed gives the same keys.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A new or empty directory.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Make a data directory whose one release has all the keys. Its secrets come from the seed.
    #[arg(long, conflicts_with = "packages")]
    pub journal: bool,
    /// Make ZIPs keys-00001.zip … of at most 500000 keys. This is the default.
    #[arg(long, alias = "package")]
    pub packages: bool,
    /// First day of the newest keys, YYYY-MM-DD in UTC. Without it: the last day that can be published by
    /// now.
    #[arg(long, value_name = "DATE", value_parser = day)]
    pub newest_day: Option<u32>,
    /// Also write the keys as JSON Lines, for `lookup --keys`.
    #[arg(long, value_name = "FILE")]
    pub keys_out: Option<PathBuf>,
}

/// `tekd-load echo`.
#[derive(Debug, Args)]
pub struct EchoArguments {
    /// An address of the loopback, of 198.18.0.0/15, or of the interface; port 0 is any free one.
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// How long to look for more datagrams before waiting, like 50us.
    #[arg(long, value_name = "TIME", default_value = "0us", value_parser = pause)]
    pub spin: Duration,
    /// By AF_XDP on this interface: one end of a veth pair in a network namespace.
    #[arg(long, value_name = "INTERFACE")]
    pub xdp: Option<String>,
    /// Written once it answers.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// Echo over QUIC, streams and datagrams, with the settings of tekd.
    #[arg(long)]
    pub quic: bool,
}

/// `YYYY-MM-DD`, as the interval the day starts at.
fn day(text: &str) -> Result<u32, String> {
    let seconds = parse_time(&format!("{text}T00:00:00Z"))
        .map_err(|_| format!("`{text}` is not a day: write it like 2026-11-24"))?;
    let interval = interval_of(seconds);
    let (least, most) = (Epidemic::LEAST_NEWEST_DAY, Epidemic::MOST_NEWEST_DAY);
    if (least..=most).contains(&interval) { Ok(interval) } else { Err(format!("`{text}` is out of range")) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::lines::ReportTransport;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    fn lookup(line: &str) -> LookupArguments {
        match parse(&format!("tekd-load lookup {line}")).expect("a good line").command {
            Command::Lookup(arguments) => arguments,
            other => panic!("not a lookup: {other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn lookup_has_the_defaults_of_the_contract_and_json_anywhere() {
        let plain = lookup("--server 127.0.0.1:8353 --trust t.json");
        assert_eq!(
            (plain.run.duration, plain.keys.hit_ratio, plain.server.set),
            (Duration::from_secs(10), 0.5, 1)
        );
        assert_eq!((plain.run.rate, plain.run.window, plain.keys.keys_per_question), (None, None, 1));
        for line in ["tekd-load --json echo --listen [::1]:0", "tekd-load echo --listen [::1]:0 --json"] {
            assert!(parse(line).expect("a good line").json);
        }
        assert!(lookup("--ready-file r.json --rate 1000 --duration 250ms").server.server.is_none());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for line in [
            "tekd-load lookup --server a:1",
            "tekd-load lookup --ready-file r --rate 5 --window 5",
            "tekd-load lookup --ready-file r --rate 0",
            "tekd-load lookup --ready-file r --rate 1000001",
            "tekd-load lookup --ready-file r --window 65537",
            "tekd-load lookup --ready-file r --hit-ratio 1.5",
            "tekd-load lookup --ready-file r --hit-ratio NaN",
            "tekd-load lookup --ready-file r --duration 10",
            "tekd-load lookup --ready-file r --duration 0s",
            "tekd-load lookup --ready-file r --keys-per-question 33",
            "tekd-load lookup --ready-file r --transport carrier-pigeon",
            "tekd-load lookup --ready-file r --train 65",
            "tekd-load mixed --ready-file r --mix lookup=0",
            "tekd-load bucket --ready-file r --bits 33",
            "tekd-load dns --server a:1",
            "tekd-load compare --keys 0",
            "tekd-load generate --keys 5 --out d --journal --packages",
            "tekd-load generate --out d",
            "tekd-load compare --runs 0",
            "tekd-load compare --peers echo,nobody",
        ] {
            let error = parse(line).map(|_| ()).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_day_is_a_utc_midnight() {
        assert_eq!(day("1970-02-01"), Ok(31 * 144));
        assert_eq!(day("2026-11-24"), Ok(20_781 * 144));
        for text in ["1970-01-01", "2026-02-30", "24.11.2026", "2026-11-24T10:00:00Z", "10000-01-01"] {
            assert!(day(text).is_err(), "{text}");
        }
    }

    #[test]
    fn submit_has_its_defaults_and_refuses_what_does_not_fit() {
        let line = |text: &str| Arguments::try_parse_from(text.split(' '));
        let good = line("tekd-load submit --ready-file r --codes c --rate 50").expect("a good line");
        let Command::Submit(submit) = good.command else { panic!("not a submit") };
        assert_eq!((submit.keys, submit.transport), (14, ReportTransport::Tls));
        assert_eq!((submit.duration, submit.connections), (Duration::from_secs(10), None));
        for bad in [
            "tekd-load submit --ready-file r",
            "tekd-load submit --server a:1 --codes c",
            "tekd-load submit --ready-file r --codes c --rate 5 --window 5",
            "tekd-load submit --ready-file r --codes c --window 4097",
            "tekd-load submit --ready-file r --codes c --window 5 --connections 5",
            "tekd-load submit --ready-file r --codes c --keys 31",
            "tekd-load submit --ready-file r --codes c --transport udp",
        ] {
            assert_eq!(line(bad).map(|_| ()).expect_err(bad).exit_code(), 2, "{bad}");
        }
    }
}
