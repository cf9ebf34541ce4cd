//! What one run found: counts, rate, latencies, the server's processor time.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cpu::CpuTimes;

/// The longest latency told apart, nanoseconds.
const MAX_LATENCY_NS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

/// What one run found. `sent` = `answered` + `refused` + `wrong` + `lost`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Questions sent.
    pub sent: u64,
    /// Right answers. Only these are in the rate and the percentiles.
    pub answered: u64,
    /// Questions without an answer in time.
    pub lost: u64,
    /// Answers that break a rule or disagree with what is known.
    pub wrong: u64,
    /// Answers that say there is none, such as over the limit.
    pub refused: u64,
    /// Datagrams that answer nothing that was out: late, twice, or foreign.
    pub stray: u64,
    /// Right answers a second.
    pub qps: f64,
    /// Median latency, microseconds.
    pub p50_us: f64,
    /// Latency of nine in ten, microseconds.
    pub p90_us: f64,
    /// Latency of 99 in 100, microseconds.
    pub p99_us: f64,
    /// Latency of 999 in 1000, microseconds.
    pub p999_us: f64,
    /// Longest latency, microseconds.
    pub max_us: f64,
    /// The server's processor time for each right answer, nanoseconds; absent when its process is not known.
    pub server_cpu_ns_per_answer: Option<u64>,
    /// Of this, in its own code; absent when its process is not known.
    pub server_user_ns_per_answer: Option<u64>,
    /// How much of one core the server used; absent when its process is not known.
    pub server_busy: Option<f64>,
    /// How little the core that the server keeps to was idle, whoever used it; absent where it keeps to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_busy: Option<f64>,
    /// Seconds from the first question to the last answer, at least the length of the run.
    pub seconds: f64,
    /// What the right answers were, by name, where there is more than one kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub of_these: BTreeMap<&'static str, u64>,
}

impl Report {
    /// So many of the answers that were taken for right are wrong.
    pub(crate) fn found_wrong(&mut self, count: u64) {
        let count = count.min(self.answered);
        self.answered -= count;
        self.wrong += count;
        self.qps = if self.seconds > 0.0 { (self.answered as f64 / self.seconds).round() } else { 0.0 };
    }
}

/// Counts while a run goes on.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) lost: u64,
    pub(crate) wrong: u64,
    pub(crate) refused: u64,
    pub(crate) stray: u64,
    latencies: Histogram<u64>,
    last: Duration,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, MAX_LATENCY_NS, DIGITS)
            .expect("the bounds and digits are constants that a histogram takes");
        Tally { lost: 0, wrong: 0, refused: 0, stray: 0, latencies, last: Duration::ZERO }
    }

    /// A right answer at `now` to a question that was due at `due`.
    pub(crate) fn answered(&mut self, due: Duration, now: Duration) {
        let latency = u64::try_from(now.saturating_sub(due).as_nanos()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(latency);
        self.last = self.last.max(now);
    }

    pub(crate) fn right(&self) -> u64 {
        self.latencies.len()
    }

    /// The report of a run of `length` in which `sent` questions left and the server used `cpu`.
    pub(crate) fn report(&self, length: Duration, sent: u64, cpu: Option<CpuTimes>) -> Report {
        let seconds = length.max(self.last).as_secs_f64();
        let answered = self.right();
        let micros = |ns: u64| (ns as f64 / 100.0).round() / 10.0;
        let percentile =
            |p: f64| micros(if answered == 0 { 0 } else { self.latencies.value_at_percentile(p) });
        let each = |ns: u64| ns.checked_div(answered);
        Report {
            sent,
            answered,
            lost: self.lost,
            wrong: self.wrong,
            refused: self.refused,
            stray: self.stray,
            qps: if seconds > 0.0 { (answered as f64 / seconds).round() } else { 0.0 },
            p50_us: percentile(50.0),
            p90_us: percentile(90.0),
            p99_us: percentile(99.0),
            p999_us: percentile(99.9),
            max_us: percentile(100.0),
            server_cpu_ns_per_answer: cpu.and_then(|cpu| each(cpu.total_ns())),
            server_user_ns_per_answer: cpu.and_then(|cpu| each(cpu.user_ns)),
            server_busy: cpu.filter(|_| seconds > 0.0).map(|cpu| busy(cpu.total_ns(), seconds)),
            core_busy: None,
            seconds,
            of_these: BTreeMap::new(),
        }
    }
}

/// Part of one core, to the thousandth.
fn busy(cpu_ns: u64, seconds: f64) -> f64 {
    (cpu_ns as f64 / seconds / 1e6).round() / 1e3
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} sent in {:.1} s: {} answered, {} lost, {} wrong, {} refused, {} stray",
            self.sent, self.seconds, self.answered, self.lost, self.wrong, self.refused, self.stray
        )?;
        writeln!(f, "{:.0} right answers a second", self.qps)?;
        write!(
            f,
            "latency in µs: {} at 50 %, {} at 90 %, {} at 99 %, {} at 99.9 %, {} at most",
            self.p50_us, self.p90_us, self.p99_us, self.p999_us, self.max_us
        )?;
        match (self.server_cpu_ns_per_answer, self.server_user_ns_per_answer) {
            (Some(all), Some(user)) => {
                write!(f, "\nserver: {all} ns of processor an answer, {user} in user code")
            }
            _ => Ok(()),
        }?;
        for (name, count) in &self.of_these {
            write!(f, "\n{name}: {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn percentiles_are_of_right_answers_from_the_moment_they_were_due() {
        let mut tally = Tally::new();
        for n in 1..=1000 {
            tally.answered(us(1000), us(1000 + n));
        }
        tally.lost = 7;
        let cpu = CpuTimes { user_ns: 1_000_000, system_ns: 3_000_000 };
        let report = tally.report(Duration::from_secs(2), 1007, Some(cpu));
        let near = |found: f64, wanted: f64| (found - wanted).abs() <= wanted / 500.0;
        assert!(near(report.p50_us, 500.0) && near(report.p90_us, 900.0), "{report:?}");
        assert!(near(report.p99_us, 990.0) && near(report.p999_us, 999.0) && near(report.max_us, 1000.0));
        assert_eq!((report.answered, report.lost, report.qps), (1000, 7, 500.0));
        assert_eq!(report.server_cpu_ns_per_answer, Some(4000));
        assert_eq!((report.server_user_ns_per_answer, report.server_busy), (Some(1000), Some(0.002)));
    }

    #[test]
    fn answers_after_the_end_lengthen_the_run_they_are_divided_by() {
        let mut tally = Tally::new();
        tally.answered(us(0), Duration::from_secs(4));
        assert_eq!(tally.report(Duration::from_secs(2), 1, None).seconds, 4.0);
    }

    #[test]
    fn a_run_without_answers_has_no_percentiles_and_no_cost() {
        let report = Tally::new().report(Duration::from_secs(1), 5, Some(CpuTimes::default()));
        assert_eq!((report.qps, report.p99_us, report.server_cpu_ns_per_answer), (0.0, 0.0, None));
        let text = serde_json::to_string(&report).expect("numbers");
        assert!(text.starts_with("{\"sent\":5,\"answered\":0,\"lost\":0,\"wrong\":0,"), "{text}");
    }
}
