//! The command line of `tekd-load compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::course::Course;
use crate::pace::{MAX_RATE, MAX_WINDOW};
use crate::peers::Peer;
use crate::sizes::{part, short, size};
use crate::system::MAX_TRAIN;
use crate::times::{length, pause};

/// `tekd-load compare`.
#[derive(Debug, Args)]
pub struct CompareArguments {
    /// With whom, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "echo,nsd,knot")]
    pub peers: Vec<Peer>,
    /// Keys in the set, like 1M; more than one, separated by commas, is a row each.
    #[arg(long, value_delimiter = ',', default_value = "1M", value_parser = size)]
    pub keys: Vec<u64>,
    /// Let tekd take part on AF_XDP too, as a row more for each size.
    #[arg(long)]
    pub xdp: bool,
    /// Names in the zone of the name servers.
    #[arg(long, default_value = "1M", value_parser = size)]
    pub names: u64,
    /// Length of each run.
    #[arg(long, default_value = "10s", value_parser = length)]
    pub duration: Duration,
    /// Rounds; each runs every server once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: u16,
    /// Part of the keys asked for that is in the set, 0 to 1.
    #[arg(long, value_name = "PART", default_value_t = 0.5, value_parser = part)]
    pub hit_ratio: f64,
    /// Also measure latency with so many questions out at once.
    #[arg(long, value_name = "N", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_WINDOW)))]
    pub outstanding: Vec<u32>,
    /// Also measure latency at so many questions a second.
    #[arg(long, value_name = "N", value_delimiter = ',',
          value_parser = clap::value_parser!(u64).range(1..=MAX_RATE))]
    pub rate: Vec<u64>,
    /// Also measure answers a second with so many keys in each question, 2 to 32.
    #[arg(long, value_name = "N", value_delimiter = ',',
          value_parser = clap::value_parser!(u8).range(2..=32))]
    pub keys_per_question: Vec<u8>,
    /// Also measure answers a second to trains of so many questions (UDP_SEGMENT), 2 to 64.
    #[arg(long, value_name = "N", value_delimiter = ',',
          value_parser = clap::value_parser!(u8).range(2..=MAX_TRAIN as i64))]
    pub train: Vec<u8>,
    /// Leave out answers a second with one key in each question.
    #[arg(long)]
    pub no_throughput: bool,
    /// Let servers look for more datagrams before they wait: the echo for this time, tekd for its own 20 to
    /// 50us.
    #[arg(long, value_name = "TIME", default_value = "0us", value_parser = pause)]
    pub spin: Duration,
    /// Seed of keys, names and questions.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Keep data directories here, and use those that are here. They are for load tests only.
    #[arg(long, value_name = "DIR")]
    pub data_cache: Option<PathBuf>,
    /// Write page, numbers and chart into this directory.
    #[arg(long, value_name = "DIR", default_value = "loadtest/results")]
    pub out: PathBuf,
    /// The server. Without it: the `tekd` beside this program.
    #[arg(long, value_name = "FILE")]
    pub tekd: Option<PathBuf>,
}

impl CompareArguments {
    /// What each server is put through.
    pub(crate) fn courses(&self) -> Vec<Course> {
        let full = (!self.no_throughput).then_some(Course::Full);
        let keys = self.keys_per_question.iter().map(|keys| Course::Keys(*keys));
        let trains = self.train.iter().map(|questions| Course::Train(*questions));
        let outstanding = self.outstanding.iter().map(|window| Course::Outstanding(*window));
        let rates = self.rate.iter().map(|rate| Course::Rate(*rate));
        full.into_iter().chain(keys).chain(trains).chain(outstanding).chain(rates).collect()
    }

    /// The command that measures the same, without directories.
    pub(crate) fn command(&self) -> String {
        let list = |items: Vec<String>| items.join(",");
        let peers = list(self.peers.iter().map(|peer| peer.name().to_owned()).collect());
        let keys = list(self.keys.iter().map(|keys| short(*keys)).collect());
        let mut line =
            format!("tekd-load compare --peers {peers} --keys {keys} --names {}", short(self.names));
        let duration = humantime::format_duration(self.duration).to_string().replace(' ', "");
        line += &format!(" --duration {duration} --runs {} --hit-ratio {}", self.runs, self.hit_ratio);
        let numbers = [
            ("outstanding", list(self.outstanding.iter().map(u32::to_string).collect())),
            ("rate", list(self.rate.iter().map(u64::to_string).collect())),
            ("keys-per-question", list(self.keys_per_question.iter().map(u8::to_string).collect())),
            ("train", list(self.train.iter().map(u8::to_string).collect())),
        ];
        for (name, numbers) in numbers.iter().filter(|(_, numbers)| !numbers.is_empty()) {
            line += &format!(" --{name} {numbers}");
        }
        if self.xdp {
            line += " --xdp";
        }
        if self.no_throughput {
            line += " --no-throughput";
        }
        if !self.spin.is_zero() {
            line += &format!(" --spin {}us", self.spin.as_micros());
        }
        line + &format!(" --seed {}", self.seed)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        compare: CompareArguments,
    }

    fn parse(line: &str) -> CompareArguments {
        Line::try_parse_from(line.split(' ').skip(1)).expect("a good line").compare
    }

    #[test]
    fn the_command_that_is_told_measures_the_same() {
        let plain = parse("tekd-load compare --out /a/b --data-cache /c --tekd /d");
        assert_eq!(plain.courses(), [Course::Full]);
        assert!(!plain.command().contains('/'), "{}", plain.command());
        let line = "tekd-load compare --peers echo,knot-xdp --keys 1M,300k --names 5k --duration 250ms \
                    --runs 3 --hit-ratio 1 --outstanding 1 --rate 20000,5 --keys-per-question 16 \
                    --train 8 --no-throughput --spin 50us --seed 9";
        let compare = parse(line);
        assert_eq!(compare.command(), line);
        assert_eq!(
            compare.courses(),
            [
                Course::Keys(16),
                Course::Train(8),
                Course::Outstanding(1),
                Course::Rate(20_000),
                Course::Rate(5)
            ]
        );
    }
}
