//! A run of reports from beginning to end: sealed, sent, judged, counted.

use std::net::SocketAddr;
use std::time::Duration;

use tekd::client::{Carrier, Client, ClientError, NotSealed, QuicCarrier, Sealer, TlsCarrier};
use tekd::engine::{ANSWER_AFTER_MS, Random as _};
use tekd::node::SystemRandom;
use tekd::release::Trust;

use crate::cpu::{CpuTimes, StatError};
use crate::lines::ReportTransport;
use crate::pace::Pace;
use crate::patients::Patients;
use crate::report::{Report, Tally};
use crate::sealing::{Fate, Sealing};
use crate::submitting::{Flown, SubmitPlan, submit};

/// Reports of one run at most: each takes 4 KiB of memory from its sealing to its judging.
pub(crate) const MAX_REPORTS: u64 = 1 << 18;
/// At both ends of a run its rate is not the server's: the first answers are late by the deadline, the last
/// questions too.
const ENDS: Duration = Duration::from_millis(2 * ANSWER_AFTER_MS);

/// Why no reports were sent.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The server's manifest is not had or not believed.
    #[error(transparent)]
    Client(#[from] Box<ClientError>),
    /// A report cannot be sealed.
    #[error(transparent)]
    NotSealed(#[from] NotSealed),
    /// A connection cannot be made.
    #[error("connecting to {server}: {source}")]
    Connect {
        /// Whom to.
        server: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server's process cannot be watched.
    #[error(transparent)]
    Stat(#[from] StatError),
}

/// A server that reports go to.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) server: SocketAddr,
    pub(crate) trust: Trust,
    pub(crate) set: u32,
    /// The server's process, if it runs here.
    pub(crate) pid: Option<u32>,
    sealer: Sealer,
}

impl Desk {
    /// Has the manifest of a set from its server, verified, at `now`, Unix seconds.
    ///
    /// # Errors
    /// [`SubmitError::Client`].
    pub(crate) fn meet(
        server: SocketAddr,
        transport: ReportTransport,
        trust: Trust,
        set: u32,
        pid: Option<u32>,
        now: u64,
    ) -> Result<Self, SubmitError> {
        let random = |out: &mut [u8]| SystemRandom.fill(out);
        let carrier: Box<dyn Carrier + Send> = match transport {
            ReportTransport::Tls => Box::new(TlsCarrier::new(server, None)),
            ReportTransport::Quic => Box::new(QuicCarrier::new(server, None)),
        };
        let mut client = Client::new(carrier, trust.clone(), set, random, std::thread::sleep);
        let sealer = client.sealer(now).map_err(Box::new)?;
        Ok(Desk { server, trust, set, pid, sealer })
    }

    /// Sends the reports of `patients` as `plan` says, and verifies what came back.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub(crate) fn run(&self, plan: &SubmitPlan, patients: &Patients) -> Result<SubmitRun, SubmitError> {
        let sealing = Sealing { patients, sealer: &self.sealer, trust: &self.trust, set: self.set };
        let flights = sealing.seal(reports_of(plan) as usize)?;
        let before = self.pid.map(CpuTimes::of).transpose()?;
        let flown =
            submit(plan, flights).map_err(|source| SubmitError::Connect { server: plan.server, source })?;
        let after = self.pid.map(CpuTimes::of).transpose()?;
        let cpu = before.zip(after).map(|(before, after)| after.since(before));
        Ok(counted(&sealing, flown, cpu))
    }
}

/// Reports that a run takes at most, [`MAX_REPORTS`] or fewer.
pub(crate) fn reports_of(plan: &SubmitPlan) -> u64 {
    let wanted = match plan.pace {
        Pace::Rate(rate) => (u128::from(rate) * plan.length.as_millis()).div_ceil(1000) as u64,
        Pace::Window(window) => {
            let turns = plan.length.as_millis() as u64 / ANSWER_AFTER_MS + 1;
            u64::from(window) * turns
        }
    };
    wanted.min(MAX_REPORTS)
}

/// What a run found.
#[derive(Debug)]
pub(crate) struct SubmitRun {
    pub(crate) report: Report,
    /// Confirmed reports a second between the ends of the run; 0 if it is too short to have a middle.
    pub(crate) steady_qps: f64,
    /// The first report that was wrong, and the first that was told to come back, in words.
    pub(crate) faults: [Option<String>; 2],
}

fn counted(sealing: &Sealing<'_>, flown: Flown, cpu: Option<CpuTimes>) -> SubmitRun {
    let (mut tally, mut faults) = (Tally::new(), [None, None]);
    let (sent, until) = (flown.flights.len() as u64, flown.last_left);
    let middle = ENDS..until;
    let mut in_middle = 0_u64;
    for (due, came, fate) in sealing.judge(flown.flights) {
        match (fate, came) {
            (Fate::Confirmed, Some(came)) => {
                tally.answered(due, came);
                in_middle += u64::from(middle.contains(&came));
            }
            (Fate::Later(what), _) => {
                tally.refused += 1;
                faults[1].get_or_insert(what);
            }
            (Fate::Wrong(what), _) => {
                tally.wrong += 1;
                faults[0].get_or_insert(what);
            }
            (Fate::Confirmed | Fate::Lost, _) => tally.lost += 1,
        }
    }
    let seconds = until.saturating_sub(ENDS).as_secs_f64();
    let steady_qps = if seconds > 0.0 { in_middle as f64 / seconds } else { 0.0 };
    SubmitRun { report: tally.report(until, sent, cpu), steady_qps, faults }
}
