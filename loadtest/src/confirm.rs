//! How many reports a second one origin confirms, and how fast, beside what disk and processor allow.
//!
//! Machines have fast and slow states that last minutes, so every round measures all of it, one after the
//! other, and its ratios are of that round; what is told is the median over the rounds. In a round:
//!
//! 1. reports with as many connections as confirm the most (closed loop), and how large the journal's groups
//!    were,
//! 2. synced groups of that size, by the journal's own append in a directory beside it,
//! 3. the public-key operations of one core,
//! 4. reports at half the rate of 1 (open loop): the time from admission to receipt inside the server, its
//!    deadline apart, and synced writes of the size and at the pace of its groups, without any reports,
//! 5. how long a thread that only spins stands still at most, while nothing is asked of the server.

use std::path::PathBuf;
use std::time::Duration;

use crate::confirmation::{Confirmation, Round};
use crate::lines::{MAX_LINES, ReportTransport};
use crate::own_origin::{OriginError, OwnOrigin};
use crate::pace::Pace;
use crate::patients::Patients;
use crate::progress::Progress;
use crate::scrape::Scrape;
use crate::submit_run::{Desk, SubmitError, SubmitRun, reports_of};
use crate::submitting::{SubmitPlan, lines_for};
use crate::system::stand_back;
use crate::times::now;
use crate::yardsticks::{Probe, PublicKeys, YardstickError, longest_pause};

/// Events of a group, and receipts, by the server's own count.
const GROUPS: &str = "tekd_journal_group_events";
const RECEIPTS: &str = "tekd_receipt_seconds";
/// Connections that are tried, one after the other, while more confirm more.
const LINES: [u32; 9] = [256, 512, 768, 1024, 1280, 1536, 2048, 2560, 3072];
/// More connections are worth it if they confirm so much more.
const WORTH: f64 = 1.05;
/// A yardstick takes this part of a run's length.
const YARDSTICK_PART: u32 = 4;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const PROGRESS_STEPS: u64 = 2;

const _: () = assert!(LINES[LINES.len() - 1] <= MAX_LINES);

/// What is measured.
#[derive(Debug, Clone)]
pub struct ConfirmOptions {
    /// A new or empty directory on the disk that is measured.
    pub dir: PathBuf,
    /// The server.
    pub tekd: PathBuf,
    /// Rounds.
    pub rounds: usize,
    /// Length of each run of reports.
    pub length: Duration,
    /// Keys in a report.
    pub keys: u8,
    /// Connections of the closed loop; `None` to try how many confirm the most.
    pub lines: Option<u32>,
    /// Seed of the reports.
    pub seed: u64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The origin.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// A run.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// A yardstick.
    #[error(transparent)]
    Yardstick(#[from] YardstickError),
}

/// Starts an origin, measures, and ends it.
///
/// # Errors
/// [`ConfirmError`].
pub fn confirm(options: &ConfirmOptions) -> Result<Confirmation, ConfirmError> {
    let origin = OwnOrigin::start(&options.tekd, &options.dir)?;
    let desk = origin.desk()?;
    let mut bench = Bench { options, origin, desk, counts: [0; 5] };
    let lines = match options.lines {
        Some(lines) => lines,
        None => bench.best_lines()?,
    };
    // The first reports are there for the probe to copy, and what is counted starts here.
    bench.closed(lines.min(LINES[0]), options.length / YARDSTICK_PART)?;
    bench.counts = [0; 5];
    let mut probe = Probe::new(&options.dir.join("probe"), bench.origin.data())?;
    let keys = PublicKeys::new();
    let progress = Progress::new("runs", PROGRESS_STEPS * options.rounds as u64);
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        rounds.push(bench.round(lines, &mut probe, &keys, &progress)?);
    }
    Ok(Confirmation::of(rounds, lines, options.keys, options.length, bench.counts))
}

struct Bench<'a> {
    options: &'a ConfirmOptions,
    origin: OwnOrigin,
    desk: Desk,
    /// Sent, answered, lost, wrong, refused.
    counts: [u64; 5],
}

impl Bench<'_> {
    /// As many connections as confirm the most; beyond that more are asked to come back.
    fn best_lines(&mut self) -> Result<u32, ConfirmError> {
        let mut best = (LINES[0], 0.0);
        for lines in LINES {
            let (run, _) = self.closed(lines, self.options.length / 2)?;
            if run.steady_qps < best.1 * WORTH {
                break;
            }
            best = (lines, run.steady_qps);
            eprintln!("{lines} connections: {:.0} reports a second", run.steady_qps);
        }
        Ok(best.0)
    }

    fn round(
        &mut self,
        lines: u32,
        probe: &mut Probe,
        keys: &PublicKeys,
        progress: &Progress,
    ) -> Result<Round, ConfirmError> {
        let (length, part) = (self.options.length, self.options.length / YARDSTICK_PART);
        let (run, scrapes) = self.closed(lines, length)?;
        progress.advance(1);
        let group = scrapes[1].since(&scrapes[0], GROUPS).mean();
        let synced = probe.synced(group.round() as usize, part, Duration::ZERO)?;
        let public_key = keys.a_second(part);
        let least = public_key.min(synced.groups * group);
        let half_rate = ((run.steady_qps / 2.0) as u64).max(1);
        let (half, scrapes) = self.run(Pace::Rate(half_rate), lines_for(half_rate), length)?;
        progress.advance(1);
        let receipt_s = scrapes[1].since(&scrapes[0], RECEIPTS).at_most(0.99);
        let groups = scrapes[1].since(&scrapes[0], GROUPS);
        let every = Duration::from_secs_f64(half.report.seconds / groups.count.max(1.0));
        let halved = probe.synced(groups.mean().round() as usize, part, every)?;
        let write_s = halved.median_s;
        Ok(Round {
            confirmed: run.steady_qps,
            group,
            synced_groups: synced.groups,
            public_key,
            ratio: run.steady_qps / least,
            half_rate: half_rate as f64,
            half_confirmed: half.steady_qps,
            receipt_p99_ms: receipt_s * 1e3,
            write_ms: write_s * 1e3,
            write_p99_ms: halved.p99_s * 1e3,
            receipt_writes: receipt_s / write_s,
            pause_ms: longest_pause(part).as_secs_f64() * 1e3,
        })
    }

    fn closed(&mut self, lines: u32, length: Duration) -> Result<(SubmitRun, [Scrape; 2]), ConfirmError> {
        self.run(Pace::Window(lines), lines, length)
    }

    /// One run of reports with fresh codes, between two readings of the server's metrics.
    fn run(
        &mut self,
        pace: Pace,
        lines: u32,
        length: Duration,
    ) -> Result<(SubmitRun, [Scrape; 2]), ConfirmError> {
        let (server, transport) = (self.desk.server, ReportTransport::Tls);
        let plan = SubmitPlan { server, transport, pace, lines, length, patience: PATIENCE };
        let codes = self.origin.codes(u32::try_from(reports_of(&plan)).unwrap_or(u32::MAX))?;
        let patients = Patients::new(codes, self.options.keys, self.options.seed, now());
        let before = self.origin.scrape()?;
        let run = std::thread::scope(|threads| {
            let load = threads.spawn(|| {
                // Phones do not run where the server does: no receipt waits for what makes their reports.
                if let Err(e) = stand_back() {
                    eprintln!("the load has the server's own priority, which keeps receipts waiting: {e}");
                }
                self.desk.run(&plan, &patients)
            });
            load.join().expect("the load does not panic")
        })?;
        let after = self.origin.scrape()?;
        for fault in run.faults.iter().flatten() {
            eprintln!("the first of its kind: {fault}");
        }
        let report = &run.report;
        let counts = [report.sent, report.answered, report.lost, report.wrong, report.refused];
        self.counts.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        Ok((run, [before, after]))
    }
}
