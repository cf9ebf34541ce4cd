//! Questions over QUIC: so many out at once, on streams, in datagrams, or on a connection each.
//!
//! One thread drives all connections. A closed loop: the next question leaves when an answer has come.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, TokioRuntime, TransportConfig, VarInt};
use tekd::client::quic_config;
use tekd::wire::MAX_DATAGRAM;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::cpu::{CpuTimes, StatError};
use crate::measure::roomy;
use crate::quic_arguments::QuicWay;
use crate::report::{Report, Tally};
use crate::system::ROOM;
use crate::traffic::{Judged, Traffic};

/// Streams that a server lets a connection have (spec 1.5.6).
const STREAMS: u32 = 16;
/// Bytes of datagrams that have arrived and were not looked at.
const DATAGRAMS_IN: usize = 4 << 20;
/// From the first packet to the end of a handshake.
const CONNECTING: Duration = Duration::from_secs(5);

/// A run.
#[derive(Debug, Clone)]
pub struct QuicPlan {
    /// Where.
    pub server: SocketAddr,
    /// What.
    pub way: QuicWay,
    /// Questions out at once, over all connections.
    pub window: u32,
    /// Connections.
    pub connections: u32,
    /// For how long.
    pub length: Duration,
    /// After how long without an answer a question is lost.
    pub patience: Duration,
    /// The server's process, if it runs here.
    pub pid: Option<u32>,
}

/// Why nothing is measured.
#[derive(Debug, thiserror::Error)]
pub enum QuicMeasureError {
    /// More streams than a server lets a connection have.
    #[error("{window} questions on streams of {connections} connections: at most {STREAMS} fit on each")]
    Window {
        /// Questions out at once.
        window: u32,
        /// Connections.
        connections: u32,
    },
    /// No connection.
    #[error("{server}: {why}")]
    Connect {
        /// The server.
        server: SocketAddr,
        /// Why not.
        why: String,
    },
    /// A socket or the runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server's process.
    #[error(transparent)]
    Stat(#[from] StatError),
    /// Nobody answers.
    #[error("{0} answers nothing")]
    Silent(SocketAddr),
}

/// Runs `plan` with the questions of `traffic`.
///
/// # Errors
/// [`QuicMeasureError`].
pub fn measure_quic<T: Traffic + 'static>(plan: &QuicPlan, traffic: T) -> Result<Report, QuicMeasureError> {
    let QuicPlan { window, connections, .. } = *plan;
    if plan.way == QuicWay::Streams && window > STREAMS * connections {
        return Err(QuicMeasureError::Window { window, connections });
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let report = local.block_on(&runtime, async {
        let mut callers = Vec::new();
        for _ in 0..connections.min(window) {
            callers.push(Caller::new(plan)?);
        }
        let open = if plan.way == QuicWay::Handshakes { Vec::new() } else { connect_all(&callers).await? };
        let before = plan.pid.map(CpuTimes::of).transpose()?;
        let run = Rc::new(Run::new(plan, traffic));
        let tasks = start(&run, &callers, &open);
        for task in tasks {
            task.await.map_err(io::Error::other)?;
        }
        let after = plan.pid.map(CpuTimes::of).transpose()?;
        let cpu = before.zip(after).map(|(before, after)| after.since(before));
        let report = run.tally.borrow().report(plan.length, run.next.get(), cpu);
        run.tell();
        Ok::<_, QuicMeasureError>(report)
    })?;
    if report.answered + report.refused + report.wrong == 0 {
        return Err(QuicMeasureError::Silent(plan.server));
    }
    Ok(report)
}

async fn connect_all(callers: &[Caller]) -> Result<Vec<Connection>, QuicMeasureError> {
    let mut open = Vec::new();
    for caller in callers {
        let connected =
            timeout(CONNECTING, caller.connect()).await.unwrap_or_else(|e| Err(io::Error::other(e)));
        open.push(connected.map_err(|e| caller.refused(&e))?);
    }
    Ok(open)
}

/// Starts everybody who asks, with the window shared out among them.
fn start<T: Traffic + 'static>(
    run: &Rc<Run<T>>,
    callers: &[Caller],
    open: &[Connection],
) -> Vec<tokio::task::JoinHandle<()>> {
    let count = callers.len();
    let mut tasks = Vec::new();
    for at in 0..run.plan.window as usize {
        let run = Rc::clone(run);
        match run.plan.way {
            QuicWay::Streams => {
                tasks.push(tokio::task::spawn_local(on_streams(run, open[at % count].clone())));
            }
            QuicWay::Handshakes => {
                tasks.push(tokio::task::spawn_local(by_handshakes(run, callers[at % count].clone())));
            }
            // One task for each connection.
            QuicWay::Datagrams if at < count => {
                let share = (run.plan.window as usize - at).div_ceil(count);
                tasks.push(tokio::task::spawn_local(in_datagrams(run, open[at].clone(), share)));
            }
            QuicWay::Datagrams | QuicWay::Idle => {}
        }
    }
    tasks
}

/// A socket that connections are made from.
#[derive(Clone)]
pub(crate) struct Caller {
    endpoint: Endpoint,
    server: SocketAddr,
}

impl Caller {
    pub(crate) fn new(plan: &QuicPlan) -> io::Result<Self> {
        let (socket, runtime) = (roomy(plan.server)?, Arc::new(TokioRuntime));
        let mut endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime)?;
        endpoint.set_default_client_config(relay_config());
        Ok(Caller { endpoint, server: plan.server })
    }

    /// What is told of a connection that does not come about.
    pub(crate) fn refused(&self, error: &io::Error) -> QuicMeasureError {
        QuicMeasureError::Connect { server: self.server, why: error.to_string() }
    }

    pub(crate) async fn connect(&self) -> io::Result<Connection> {
        let name = self.server.ip().to_string();
        Ok(self.endpoint.connect(self.server, &name).map_err(io::Error::other)?.await?)
    }
}

/// As a phone, but taking datagrams.
fn relay_config() -> ClientConfig {
    let (mut config, mut transport) = (quic_config(), TransportConfig::default());
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.datagram_receive_buffer_size(Some(DATAGRAMS_IN));
    config.transport_config(Arc::new(transport));
    config
}

/// What everybody who asks shares.
struct Run<T> {
    plan: QuicPlan,
    traffic: RefCell<T>,
    tally: RefCell<Tally>,
    next: Cell<u64>,
    start: Instant,
    /// The first answer that was wrong.
    fault: Cell<Option<Judged>>,
}

impl<T: Traffic> Run<T> {
    fn new(plan: &QuicPlan, traffic: T) -> Self {
        let (traffic, tally) = (RefCell::new(traffic), RefCell::new(Tally::new()));
        Run {
            plan: plan.clone(),
            traffic,
            tally,
            next: Cell::new(0),
            start: Instant::now(),
            fault: Cell::new(None),
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn over(&self) -> bool {
        self.now() >= self.plan.length
    }

    /// The next question: its number, and its length in `frame`.
    fn ask(&self, frame: &mut [u8; ROOM]) -> (u64, usize) {
        let seq = self.next.get();
        self.next.set(seq + 1);
        (seq, self.traffic.borrow_mut().ask(seq, frame))
    }

    /// An answer that came at `now` to a question of `due`.
    fn answered(&self, seq: u64, due: Duration, now: Duration, frame: &[u8]) {
        let judged = self.traffic.borrow_mut().judge(seq, frame);
        let mut tally = self.tally.borrow_mut();
        match judged {
            Judged::Right => tally.answered(due, now),
            Judged::Refused(_) => tally.refused += 1,
            _ => {
                tally.wrong += 1;
                self.fault.set(self.fault.take().or(Some(judged)));
            }
        }
    }

    fn lost(&self, count: usize) {
        self.tally.borrow_mut().lost += count as u64;
    }

    fn tell(&self) {
        if let Some(fault) = self.fault.take() {
            eprintln!("the first wrong answer: {fault:?}");
        }
    }
}

async fn exchange(connection: &Connection, frame: &[u8]) -> io::Result<Vec<u8>> {
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(frame).await?;
    send.finish().map_err(io::Error::other)?;
    recv.read_to_end(MAX_DATAGRAM).await.map_err(io::Error::other)
}

/// One question after the other, each on its stream.
async fn on_streams<T: Traffic>(run: Rc<Run<T>>, connection: Connection) {
    let mut frame = [0; ROOM];
    while !run.over() && connection.close_reason().is_none() {
        let ((seq, length), due) = (run.ask(&mut frame), run.now());
        match timeout(run.plan.patience, exchange(&connection, &frame[..length])).await {
            Ok(Ok(answer)) => run.answered(seq, due, run.now(), &answer),
            Ok(Err(_)) | Err(_) => run.lost(1),
        }
    }
}

/// One connection after the other, each for one question.
async fn by_handshakes<T: Traffic>(run: Rc<Run<T>>, caller: Caller) {
    let mut frame = [0; ROOM];
    while !run.over() {
        let ((seq, length), due) = (run.ask(&mut frame), run.now());
        let asked = async {
            let connection = caller.connect().await?;
            let answer = exchange(&connection, &frame[..length]).await?;
            connection.close(VarInt::from_u32(0), b"");
            Ok::<_, io::Error>(answer)
        };
        match timeout(run.plan.patience, asked).await {
            Ok(Ok(answer)) => run.answered(seq, due, run.now(), &answer),
            Ok(Err(_)) | Err(_) => run.lost(1),
        }
    }
}

/// Up to `window` questions at once, each in a datagram. What came together is judged together: the generator
/// has to cost less than the server.
async fn in_datagrams<T: Traffic>(run: Rc<Run<T>>, connection: Connection, window: usize) {
    let (mut open, mut looked, mut frame) = (HashMap::new(), run.now(), [0; ROOM]);
    loop {
        let now = run.now();
        if now - looked > run.plan.patience {
            let before = open.len();
            open.retain(|_, due: &mut Duration| *due + run.plan.patience > now);
            run.lost(before - open.len());
            looked = now;
        }
        while open.len() < window && now < run.plan.length {
            let (seq, length) = run.ask(&mut frame);
            open.insert(seq, now);
            if connection.send_datagram(frame[..length].to_vec().into()).is_err() {
                return run.lost(open.len());
            }
        }
        if open.is_empty() {
            return;
        }
        let mut next = match timeout(run.plan.patience, connection.read_datagram()).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(_)) => return run.lost(open.len()),
            Err(_) => None,
        };
        let now = run.now();
        while let Some(answer) = next {
            let seq = run.traffic.borrow().answers(&answer);
            match seq.and_then(|seq| open.remove_entry(&seq)) {
                Some((seq, due)) => run.answered(seq, due, now, &answer),
                None => run.tally.borrow_mut().stray += 1,
            }
            next = at_hand(connection.read_datagram()).and_then(Result::ok);
        }
    }
}

/// What a future gives at once.
fn at_hand<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
