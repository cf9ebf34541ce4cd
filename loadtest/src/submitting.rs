//! The loop of a run of reports: each line takes the next report, waits until it is due, asks, and keeps the
//! answer for later. The only place of it with a clock and sockets.
//!
//! A server answers a sealed question a fixed time after it came, so a rate needs many reports on their way.
//! In a closed loop the lines begin one after the other within that time: a patient does not wait for
//! others, and answers that all leave at once would bring all next questions at once.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tekd::engine::{ANSWER_AFTER_MS, SEALED_FRAME};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::lines::{Dialler, Line, MAX_LINES, ReportTransport};
use crate::pace::Pace;
use crate::sealing::Flight;

/// Handshakes at a time: each costs both sides a signature.
const DIALLING: usize = 32;
/// After the server said that it has no room, and after a connection that broke.
const REST: Duration = Duration::from_millis(ANSWER_AFTER_MS);

/// Connections beyond those that a rate needs.
const SPARE_LINES: u64 = 16;

/// Connections for a rate to a server that answers within twice its deadline.
pub(crate) fn lines_for(rate: u64) -> u32 {
    let lines = rate.saturating_mul(2 * ANSWER_AFTER_MS) / 1000 + SPARE_LINES;
    u32::try_from(lines).map_or(MAX_LINES, |lines| lines.min(MAX_LINES))
}

/// One run of reports.
#[derive(Debug, Clone)]
pub(crate) struct SubmitPlan {
    pub(crate) server: SocketAddr,
    pub(crate) transport: ReportTransport,
    pub(crate) pace: Pace,
    /// Connections, each with one report on its way at most.
    pub(crate) lines: u32,
    /// For how long reports leave.
    pub(crate) length: Duration,
    /// After how long without an answer a report is lost.
    pub(crate) patience: Duration,
}

/// Reports that left, answered or not, and when the last one did.
pub(crate) struct Flown {
    pub(crate) flights: Vec<Flight>,
    pub(crate) last_left: Duration,
}

/// What all lines of a run share.
struct Shared {
    plan: SubmitPlan,
    dialler: Dialler,
    start: Instant,
    next: u64,
    waiting: std::vec::IntoIter<Flight>,
    flown: Vec<Flight>,
    last_left: Duration,
}

/// Sends the reports as planned until the time is over or none is left.
///
/// # Errors
/// If the first connections cannot be made.
pub(crate) fn submit(plan: &SubmitPlan, flights: Vec<Flight>) -> std::io::Result<Flown> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let dialler = Dialler::new(plan.server, plan.transport)?;
        let lines = dial(&dialler, plan.lines as usize).await?;
        let shared = Rc::new(RefCell::new(Shared {
            plan: plan.clone(),
            dialler,
            start: Instant::now(),
            next: 0,
            waiting: flights.into_iter(),
            flown: Vec::new(),
            last_left: Duration::ZERO,
        }));
        let mut talking = JoinSet::new();
        for (index, line) in (0..).zip(lines) {
            talking.spawn_local(talk(Rc::clone(&shared), index, line));
        }
        while let Some(ended) = talking.join_next().await {
            ended.expect("a line does not panic");
        }
        let shared = Rc::into_inner(shared).expect("all lines have ended").into_inner();
        Ok(Flown { flights: shared.flown, last_left: shared.last_left })
    })
}

/// So many connections, some at a time.
pub(crate) async fn dial(dialler: &Dialler, count: usize) -> std::io::Result<Vec<Line>> {
    let (mut lines, mut dialling) = (Vec::with_capacity(count), JoinSet::new());
    let mut left = count;
    while lines.len() < count {
        while left > 0 && dialling.len() < DIALLING {
            left -= 1;
            let dialler = dialler.clone();
            dialling.spawn_local(async move { dialler.connect().await });
        }
        let dialled = dialling.join_next().await.expect("as many are dialled as are wanted");
        lines.push(dialled.expect("dialling does not panic")?);
    }
    Ok(lines)
}

/// One line, until no report is due any more or the server is gone.
async fn talk(shared: Rc<RefCell<Shared>>, index: u32, mut line: Line) {
    let (start, plan, dialler) = {
        let shared = shared.borrow();
        (shared.start, shared.plan.clone(), shared.dialler.clone())
    };
    if let Pace::Window(_) = plan.pace {
        sleep_until(start + REST * index / plan.lines).await;
    }
    loop {
        let next = take(&shared, &plan);
        let Some(mut flight) = next else { return };
        sleep_until(start + flight.due).await;
        let asked = timeout(plan.patience, line.ask(&mut flight.frame)).await;
        let answered = matches!(asked, Ok(Ok(())));
        flight.came = answered.then(|| start.elapsed());
        let no_room = answered && flight.frame.len() < SEALED_FRAME;
        shared.borrow_mut().flown.push(flight);
        if no_room {
            sleep(REST).await;
        }
        if !answered {
            sleep(REST).await;
            let Ok(again) = dialler.connect().await else { return };
            line = again;
        }
    }
}

/// The next report with the moment it is due, if there is one before the end.
fn take(shared: &Rc<RefCell<Shared>>, plan: &SubmitPlan) -> Option<Flight> {
    let mut shared = shared.borrow_mut();
    let now = shared.start.elapsed();
    let due = plan.pace.moment(shared.next, now);
    if due >= plan.length {
        return None;
    }
    let mut flight = shared.waiting.next()?;
    flight.due = due;
    shared.next += 1;
    shared.last_left = shared.last_left.max(due);
    Some(flight)
}
