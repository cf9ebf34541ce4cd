//! The loop of a run over connections: each line takes the next question, waits until it is due, asks, and
//! judges the answer. A connection of TLS is one line; one of QUIC has a stream for each.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::cpu::CpuTimes;
use crate::lines::{Dialler, Line, ReportTransport};
use crate::measure::{MeasureError, Plan};
use crate::report::Report;
use crate::submitting::dial;
use crate::system::ROOM;
use crate::traffic::Traffic;
use crate::verdicts::Verdicts;

/// One run over connections.
#[derive(Debug, Clone)]
pub(crate) struct StreamPlan {
    pub(crate) plan: Plan,
    pub(crate) transport: ReportTransport,
    pub(crate) connections: u32,
    /// Questions out at once, at most.
    pub(crate) lines: u32,
}

/// What all lines of a run share.
struct Shared {
    plan: Plan,
    dialler: Dialler,
    traffic: Box<dyn Traffic>,
    verdicts: Verdicts,
    start: Instant,
    next: u64,
}

/// Runs `plan` with the questions of `traffic`, which are handed back.
///
/// # Errors
/// If the connections cannot be made, the server's process is not here, or nobody answers.
pub(crate) fn measure_streams(
    plan: &StreamPlan,
    traffic: Box<dyn Traffic>,
) -> Result<(Report, Box<dyn Traffic>), MeasureError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (shared, cpu) = LocalSet::new().block_on(&runtime, run(plan, traffic))?;
    let report = shared.verdicts.tally.report(plan.plan.length, shared.next, cpu);
    if report.answered + report.refused + report.wrong == 0 && report.sent > 0 {
        return Err(MeasureError::Silent { server: plan.plan.server });
    }
    shared.verdicts.tell();
    Ok((report, shared.traffic))
}

async fn run(
    plan: &StreamPlan,
    traffic: Box<dyn Traffic>,
) -> Result<(Shared, Option<CpuTimes>), MeasureError> {
    let dialler = Dialler::new(plan.plan.server, plan.transport)?;
    let connections = dial(&dialler, plan.connections as usize).await?;
    let lines = spread(connections, plan.lines as usize);
    let before = plan.plan.pid.map(CpuTimes::of).transpose()?;
    let (verdicts, start) = (Verdicts::new(), Instant::now());
    let shared = Shared { plan: plan.plan.clone(), dialler, traffic, verdicts, start, next: 0 };
    let shared = Rc::new(RefCell::new(shared));
    let mut talking = JoinSet::new();
    for line in lines {
        talking.spawn_local(talk(Rc::clone(&shared), line));
    }
    while let Some(ended) = talking.join_next().await {
        ended.expect("a line does not panic");
    }
    let after = plan.plan.pid.map(CpuTimes::of).transpose()?;
    let cpu = before.zip(after).map(|(before, after)| after.since(before));
    Ok((Rc::into_inner(shared).expect("all lines have ended").into_inner(), cpu))
}

/// So many lines over the connections, as evenly as they go; a connection of TLS is one.
fn spread(connections: Vec<Line>, count: usize) -> Vec<Line> {
    let mut lines = Vec::with_capacity(count);
    let more: Vec<Option<Line>> = connections.iter().map(Line::another).collect();
    lines.extend(connections);
    for line in more.iter().cycle().take(count.saturating_sub(more.len())) {
        lines.extend(line.as_ref().and_then(Line::another));
    }
    lines
}

/// One line, until no question is due any more or the server is gone.
async fn talk(shared: Rc<RefCell<Shared>>, mut line: Line) {
    let (start, patience, dialler) = {
        let shared = shared.borrow();
        (shared.start, shared.plan.patience, shared.dialler.clone())
    };
    loop {
        let next = shared.borrow_mut().take();
        let Some((seq, due)) = next else { return };
        if start.elapsed() < due {
            sleep_until(start + due).await;
        }
        let mut frame = shared.borrow_mut().ask(seq);
        let asked = timeout(patience, line.ask(&mut frame)).await;
        if let Ok(Ok(())) = asked {
            shared.borrow_mut().landed(seq, due, &frame);
            continue;
        }
        shared.borrow_mut().verdicts.tally.lost += 1;
        let Ok(again) = dialler.connect().await else { return };
        line = again;
    }
}

impl Shared {
    /// The next question with the moment it is due, if that is before the end.
    fn take(&mut self) -> Option<(u64, Duration)> {
        let seq = self.next;
        let due = self.plan.pace.moment(seq, self.start.elapsed());
        (due < self.plan.length).then(|| {
            self.next += 1;
            (seq, due)
        })
    }

    fn ask(&mut self, seq: u64) -> Vec<u8> {
        let mut frame = vec![0; ROOM];
        let length = self.traffic.ask(seq, &mut frame);
        frame.truncate(length);
        frame
    }

    fn landed(&mut self, seq: u64, due: Duration, frame: &[u8]) {
        let judged = self.traffic.judge(seq, frame);
        self.verdicts.take(judged, due, self.start.elapsed());
    }
}
