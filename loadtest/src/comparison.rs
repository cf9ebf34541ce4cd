//! What a comparison found: rows of medians, and the ratios to the echo in each round.

use serde::Serialize;

use crate::chart::{Bar, Panel};
use crate::course::Course;
use crate::machine::Machine;
use crate::median::Spread;
use crate::report::Report;
use crate::table::Table;

/// A server's part of its core from which on it was the server that was measured, and not the generator.
pub(crate) const SATURATED: f64 = 0.97;

/// All servers, all courses.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// When it began, RFC 3339.
    pub date: String,
    /// On what.
    pub machine: Machine,
    /// The command, without directories.
    pub command: String,
    /// What each program says of itself: (name of the row, version).
    pub versions: Vec<(String, String)>,
    /// Rounds.
    pub runs: usize,
    /// Length of each run, seconds.
    pub seconds: f64,
    /// Part of the keys asked for that is in the set. Every name that a name server is asked for is in its
    /// zone.
    pub hit_ratio: f64,
    /// Names of the name servers' zone; 0 where none takes part.
    pub names: u64,
    /// Whether server and generator each had a core of its own.
    pub pinned: bool,
    /// `veth`, a pair of virtual interfaces between two networks, or `loopback`.
    pub network: &'static str,
    /// One for each server, of the course `throughput`.
    pub rows: Vec<Row>,
    /// The other courses.
    pub also: Vec<Part>,
    /// Connections that ask nothing, where they were weighed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
}

/// Resident memory of a connection of QUIC that asks nothing, measured once: memory that was given back does
/// not show a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Idle {
    /// Connections to each.
    pub connections: u32,
    /// Bytes of tekd for each.
    pub tekd_bytes: u64,
    /// Of the echo.
    pub echo_bytes: u64,
}

impl std::fmt::Display for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Idle { connections, tekd_bytes, echo_bytes } = self;
        write!(f, "{connections} idle connections: {tekd_bytes} bytes each, of the echo {echo_bytes}")
    }
}

/// All servers on one course.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// `keys-16`, `train-16`, `outstanding-1`, `rate-20000`; over QUIC `streams`, `datagrams`, `handshakes`.
    pub course: String,
    /// What that is, in words.
    pub title: String,
    /// Whether answers a second are what counts, or else latencies.
    pub fills: bool,
    /// One for each server that takes part in it.
    pub rows: Vec<Row>,
}

/// One server on one course.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name: `echo`, `tekd-1M`.
    pub name: String,
    /// Whether its numbers say something of the server.
    pub counts: bool,
    /// Why it does not take part, or why it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Absent if it does not take part.
    #[serde(flatten)]
    pub numbers: Option<Numbers>,
}

/// Medians over the rounds, and ratios to the echo in the same round: of AF_XDP to that on AF_XDP. Without an
/// echo there are none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Numbers {
    /// Right answers a second.
    pub qps: f64,
    /// Least and most.
    pub qps_min: f64,
    /// Least and most.
    pub qps_max: f64,
    /// Of answers a second.
    pub ratio: Option<f64>,
    /// Of each round.
    pub ratios: Vec<f64>,
    /// Processor time for each answer, nanoseconds.
    pub server_cpu_ns_per_answer: f64,
    /// Of processor time for each answer.
    pub cpu_ratio: Option<f64>,
    /// Of each round.
    pub cpu_ratios: Vec<f64>,
    /// Processor time in its own code for each answer, nanoseconds.
    pub server_user_ns_per_answer: f64,
    /// How little its core was idle; where it keeps to none, how much of one it used.
    pub server_busy: f64,
    /// The same of the echo that the ratios are to, median.
    pub echo_busy: Option<f64>,
    /// Half of the answers took at most so long, microseconds.
    pub p50_us: f64,
    /// Nine in ten.
    pub p90_us: f64,
    /// Ninety-nine in a hundred.
    pub p99_us: f64,
    /// Of half of the answers.
    pub p50_ratio: Option<f64>,
    /// Of each round.
    pub p50_ratios: Vec<f64>,
    /// Of nine in ten.
    pub p90_ratio: Option<f64>,
    /// Of each round.
    pub p90_ratios: Vec<f64>,
    /// In all rounds.
    pub lost: u64,
    /// Wrong and refused, in all rounds.
    pub wrong: u64,
    /// From the start of the process until it answers, seconds.
    pub start_s: f64,
}

impl Numbers {
    /// Of the reports of all rounds, and of the echo's in the same rounds.
    pub(crate) fn of(reports: &[Report], echo: Option<&[Report]>, start_s: f64) -> Self {
        let spread = |of: fn(&Report) -> f64| {
            Spread::of(reports.iter().map(of)).unwrap_or(Spread { median: 0.0, min: 0.0, max: 0.0 })
        };
        let ratios = |of: fn(&Report) -> f64| -> Vec<f64> {
            let pairs = reports.iter().zip(echo.unwrap_or_default());
            let ratios = pairs.map(|(own, echo)| (of(own) / of(echo) * 1e4).round() / 1e4);
            ratios.filter(|ratio| ratio.is_finite()).collect()
        };
        let median = |ratios: &Vec<f64>| Spread::of(ratios.iter().copied()).map(|spread| spread.median);
        let cpu = |report: &Report| report.server_cpu_ns_per_answer.unwrap_or(0) as f64;
        let (qps, qps_ratios) = (spread(|r| r.qps), ratios(|r| r.qps));
        let (cpu_ratios, p50_ratios, p90_ratios) = (ratios(cpu), ratios(|r| r.p50_us), ratios(|r| r.p90_us));
        Numbers {
            qps: qps.median,
            qps_min: qps.min,
            qps_max: qps.max,
            ratio: median(&qps_ratios),
            server_cpu_ns_per_answer: spread(cpu).median,
            cpu_ratio: median(&cpu_ratios),
            server_user_ns_per_answer: spread(|r| r.server_user_ns_per_answer.unwrap_or(0) as f64).median,
            server_busy: spread(busy).median,
            echo_busy: echo.and_then(|echo| Spread::of(echo.iter().map(busy))).map(|spread| spread.median),
            p50_us: spread(|r| r.p50_us).median,
            p90_us: spread(|r| r.p90_us).median,
            p99_us: spread(|r| r.p99_us).median,
            p50_ratio: median(&p50_ratios),
            p90_ratio: median(&p90_ratios),
            ratios: qps_ratios,
            cpu_ratios,
            p50_ratios,
            p90_ratios,
            lost: reports.iter().map(|r| r.lost).sum(),
            wrong: reports.iter().map(|r| r.wrong + r.refused).sum(),
            start_s,
        }
    }
}

impl Row {
    /// A server that took part. `fills`: its course is one that fills a server.
    pub(crate) fn of(name: String, fills: bool, numbers: Numbers) -> Self {
        let note = if !fills {
            None
        } else if numbers.server_busy < SATURATED {
            Some(format!("not saturated: busy {:.2}", numbers.server_busy))
        } else {
            let echo = numbers.echo_busy.filter(|busy| *busy < SATURATED);
            echo.map(|busy| format!("its echo was not saturated: busy {busy:.2}"))
        };
        Row { name, counts: note.is_none(), note, numbers: Some(numbers) }
    }

    /// A server that does not.
    pub(crate) fn absent(name: String, why: String) -> Self {
        Row { name, counts: false, note: Some(why), numbers: None }
    }

    fn note(&self) -> String {
        self.note.clone().unwrap_or_default()
    }
}

fn busy(report: &Report) -> f64 {
    report.core_busy.or(report.server_busy).unwrap_or(0.0)
}

/// `0.93 (0.91–0.95)`.
fn ranged(ratios: &[f64]) -> String {
    Spread::of(ratios.iter().copied()).map_or_else(
        || "–".to_owned(),
        |Spread { median, min, max }| format!("{median:.3} ({min:.3}–{max:.3})"),
    )
}

fn each(ratios: &[f64]) -> String {
    ratios.iter().map(|ratio| format!("{ratio:.3}")).collect::<Vec<_>>().join(" ")
}

/// Answers a second and what they cost, to the echo.
fn throughput(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "name",
        "answers/s",
        "min–max",
        "× echo",
        "CPU ns",
        "× echo",
        "user ns",
        "busy",
        "p50 µs",
        "p99 µs",
        "lost",
        "wrong",
        "start s",
        "× echo in each round",
        "",
    ]);
    for row in rows {
        let mut cells = vec![row.name.clone()];
        match &row.numbers {
            Some(n) => cells.extend([
                format!("{:.0}", n.qps),
                format!("{:.0}–{:.0}", n.qps_min, n.qps_max),
                ranged(&n.ratios),
                format!("{:.0}", n.server_cpu_ns_per_answer),
                ranged(&n.cpu_ratios),
                format!("{:.0}", n.server_user_ns_per_answer),
                format!("{:.2}", n.server_busy),
                format!("{:.1}", n.p50_us),
                format!("{:.1}", n.p99_us),
                n.lost.to_string(),
                n.wrong.to_string(),
                format!("{:.2}", n.start_s),
                each(&n.ratios),
                row.note(),
            ]),
            None => {
                cells.resize(14, String::new());
                cells.push(row.note());
            }
        }
        table.push(cells);
    }
    table
}

/// How long answers took, to the echo.
fn latency(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        "name",
        "p50 µs",
        "× echo",
        "p90 µs",
        "× echo",
        "p99 µs",
        "answers/s",
        "CPU ns",
        "busy",
        "lost",
        "wrong",
        "p50 × echo in each round",
        "",
    ]);
    for row in rows {
        let mut cells = vec![row.name.clone()];
        match &row.numbers {
            Some(n) => cells.extend([
                format!("{:.1}", n.p50_us),
                ranged(&n.p50_ratios),
                format!("{:.1}", n.p90_us),
                ranged(&n.p90_ratios),
                format!("{:.1}", n.p99_us),
                format!("{:.0}", n.qps),
                format!("{:.0}", n.server_cpu_ns_per_answer),
                format!("{:.2}", n.server_busy),
                n.lost.to_string(),
                n.wrong.to_string(),
                each(&n.p50_ratios),
                row.note(),
            ]),
            None => {
                cells.resize(12, String::new());
                cells.push(row.note());
            }
        }
        table.push(cells);
    }
    table
}

impl Comparison {
    /// Every course: title, whether it fills the server, rows.
    fn parts(&self) -> impl Iterator<Item = (String, bool, &[Row])> {
        let full = (Course::Full.title(), true, &self.rows[..]);
        let also = self.also.iter().map(|part| (part.title.clone(), part.fills, &part.rows[..]));
        std::iter::once(full).filter(|(_, _, rows)| !rows.is_empty()).chain(also)
    }

    fn tables(&self) -> impl Iterator<Item = (String, Table)> {
        self.parts().map(|(title, fills, rows)| (title, if fills { throughput(rows) } else { latency(rows) }))
    }

    /// Whether any answer of any server was wrong.
    pub fn has_wrong(&self) -> bool {
        let also = self.also.iter().flat_map(|part| &part.rows);
        self.rows.iter().chain(also).any(|row| row.numbers.as_ref().is_some_and(|n| n.wrong > 0))
    }

    /// A panel of bars for each course.
    pub(crate) fn panels(&self) -> Vec<Panel> {
        let panel = |(title, fills, rows): (String, bool, &[Row])| {
            let bars = rows.iter().filter_map(|row| {
                let numbers = row.numbers.as_ref()?;
                let ratios = if fills { &numbers.ratios } else { &numbers.p50_ratios };
                let spread = Spread::of(ratios.iter().copied())?;
                Some(Bar { name: row.name.clone(), spread, faint: !row.counts })
            });
            let better = if fills { "more is better" } else { "p50, less is better" };
            Panel { title: format!("{title}: ratio to the echo ({better})"), bars: bars.collect() }
        };
        self.parts().map(panel).filter(|panel| !panel.bars.is_empty()).collect()
    }

    /// How it was measured, a line each.
    fn circumstances(&self) -> Vec<String> {
        let cores = if self.pinned {
            "a core each for server and generator"
        } else {
            "one core for server and generator"
        };
        let network = match self.network {
            "veth" => "a pair of virtual interfaces between two networks",
            other => other,
        };
        vec![
            format!("{}; {}", self.date, self.machine),
            format!("`{}`", self.command),
            format!("{} rounds of {} s for each server in turn; {cores}; {network}", self.runs, self.seconds),
            match self.names {
                0 => format!("{} of the keys are in the set", self.hit_ratio),
                names => {
                    format!("{} of the keys are in the set, all names in a zone of {names}", self.hit_ratio)
                }
            },
        ]
    }

    /// All of it as a Markdown page that shows the chart in file `chart`.
    pub(crate) fn markdown(&self, chart: &str) -> String {
        let facts: String = self.circumstances().iter().map(|line| format!("- {line}\n")).collect();
        let versions = self.versions.iter().map(|(name, version)| format!("- {name}: {version}\n"));
        let tables = self.tables().map(|(title, table)| format!("\n## {title}\n\n{}", table.markdown()));
        let idle = self.idle.map(|idle| format!("\n## Memory\n\n{idle}\n")).unwrap_or_default();
        format!(
            "# tekd beside its peers\n\n{facts}{}\nMedians over the rounds; ratios are taken within a \
             round, with their least and most. A server whose core was less than {:.0} % busy (with what \
             interrupts and the host took of it) does not count: the generator was measured then.\n\n\
             ![ratios to the echo]({chart})\n{}{idle}",
            versions.collect::<String>(),
            SATURATED * 100.0,
            tables.collect::<String>()
        )
    }
}

impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.circumstances().join("\n"))?;
        for (title, table) in self.tables() {
            write!(f, "\n\n{title}\n{table}")?;
        }
        if let Some(idle) = &self.idle {
            write!(f, "\n\n{idle}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cpu::CpuTimes;
    use crate::report::Tally;

    fn report(answers: u64, latency_us: u64, cpu_ms: u64) -> Report {
        let mut tally = Tally::new();
        for _ in 0..answers {
            tally.answered(Duration::ZERO, Duration::from_micros(latency_us));
        }
        let cpu = CpuTimes { user_ns: 0, system_ns: cpu_ms * 1_000_000 };
        tally.report(Duration::from_secs(1), answers, Some(cpu))
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_an_idle_server_does_not_count() {
        let echo = [report(1000, 10, 990), report(500, 10, 990), report(2000, 10, 990)];
        let tekd = [report(900, 20, 980), report(450, 10, 900), report(1000, 10, 980)];
        let numbers = Numbers::of(&tekd, Some(&echo), 0.5);
        assert_eq!((numbers.ratio, &numbers.ratios[..]), (Some(0.9), &[0.9, 0.9, 0.5][..]));
        assert_eq!((numbers.qps, numbers.qps_min, numbers.qps_max), (900.0, 450.0, 1000.0));
        assert_eq!((numbers.p50_ratio, numbers.server_busy), (Some(1.0), 0.98));
        let row = Row::of("tekd-1k".to_owned(), Course::Full.fills(), numbers);
        assert!(row.counts && row.note.is_none(), "{row:?}");
        let idle = Numbers::of(&[report(900, 20, 960)], None, 0.5);
        assert_eq!((idle.ratio, idle.ratios.len()), (None, 0));
        let row = Row::of("tekd-1k".to_owned(), Course::Full.fills(), idle.clone());
        assert_eq!(row.note.as_deref(), Some("not saturated: busy 0.96"));
        let text = serde_json::to_value(&row).expect("numbers");
        assert_eq!((&text["counts"], &text["qps"]), (&false.into(), &900.0.into()));
        assert!(
            Row::of("tekd-1k".to_owned(), Course::Rate(900).fills(), idle).counts,
            "at a rate nobody is busy"
        );
    }

    #[test]
    fn who_does_not_take_part_has_a_row_that_says_why() {
        let row = Row::absent("nsd".to_owned(), "not installed: apt-get install nsd".to_owned());
        let text = throughput(std::slice::from_ref(&row)).to_string();
        assert!(text.lines().nth(1).is_some_and(|line| line.ends_with("apt-get install nsd")), "{text}");
        assert!(latency(std::slice::from_ref(&row)).to_string().contains("not installed"));
        let json = serde_json::to_string(&row).expect("text");
        assert_eq!(
            json,
            "{\"name\":\"nsd\",\"counts\":false,\"note\":\"not installed: apt-get install nsd\"}"
        );
    }
}
