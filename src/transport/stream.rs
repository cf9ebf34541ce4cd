//! One connection after its handshake: frames in, answers out, in order, on any byte stream.
//!
//! One request is in flight per connection; what a client pipelines waits in its buffer
//! and in the kernel's. Every wait has a deadline, every way to end is one counter.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::answering::{AnswerFrame, Budget, ask};
use super::counters::counters;
use super::frame::{FrameBuffer, FrameError, MAX_ANSWER, MAX_REQUEST};
use crate::engine::{Outcome, Peer};

/// Connections at a time, handshakes included.
pub(super) const MAX_CONNECTIONS: usize = 4096;
/// From accept to the end of the handshake.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between an answer and the first byte of the next request.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// From the first byte of a request to its last.
pub(super) const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// From the first byte of an answer to its last.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// From a request to the answer that was promised for later.
pub(super) const LATER_TIMEOUT: Duration = Duration::from_secs(10);
/// From stop to the end of the last connection.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// From stop to the end of idle connections: what was sent before the stop may not have been noticed yet.
pub(super) const STOP_GRACE: Duration = Duration::from_millis(100);
/// Bytes of answers on their way to clients, over all connections.
pub(super) const MAX_PENDING_BYTES: usize = 256 << 20;
/// What a connection keeps of its answer buffer between requests, bytes.
const KEPT_ANSWER_BYTES: usize = 4096;

const _: () = assert!(STOP_GRACE.as_millis() < DRAIN_TIMEOUT.as_millis());
const _: () = assert!(MAX_PENDING_BYTES >= MAX_ANSWER && KEPT_ANSWER_BYTES <= MAX_ANSWER);

/// Limits of a stream server; the defaults are the named constants of this module.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Connections at a time, handshakes included (4096); the newest over it is refused.
    pub connections: usize,
    /// From accept to the end of the handshake (5 s).
    pub handshake: Duration,
    /// Between an answer and the first byte of the next request (10 s).
    pub idle: Duration,
    /// From the first byte of a request to its last (10 s).
    pub frame: Duration,
    /// From the first byte of an answer to its last (10 s).
    pub write: Duration,
    /// From a request to the answer promised for later (10 s).
    pub later: Duration,
    /// From stop to the end of the last connection (10 s).
    pub drain: Duration,
    /// Bytes of answers on their way, over all connections (256 MiB).
    pub pending_bytes: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits {
            connections: MAX_CONNECTIONS,
            handshake: HANDSHAKE_TIMEOUT,
            idle: IDLE_TIMEOUT,
            frame: FRAME_TIMEOUT,
            write: WRITE_TIMEOUT,
            later: LATER_TIMEOUT,
            drain: DRAIN_TIMEOUT,
            pending_bytes: MAX_PENDING_BYTES,
        }
    }
}

counters! {
    /// What a stream server has done. Every connection accepted ends in exactly one
    /// counter from `refused` to `panicked`, or is open.
    pub StreamCounters,
    /// A reading of [`StreamCounters`].
    StreamCounts {
        /// Connections accepted by the system.
        accepted,
        /// Accept calls that failed.
        accept_errors,
        /// Whole requests received.
        requests,
        /// Answers written.
        answered,
        /// Requests that got no answer because the answerer said so.
        ignored,
        /// Requests whose answer was promised for later.
        deferred,
        /// Bytes of requests, before encryption.
        bytes_in,
        /// Bytes of answers, before encryption.
        bytes_out,
        /// Connections over the limit, closed at once.
        refused,
        /// Handshakes that failed.
        handshake_failed,
        /// Handshakes that took too long.
        handshake_timeout,
        /// Ended by the client between two requests.
        closed,
        /// Ended between two requests because the server stops.
        stopped,
        /// Ended because no request came.
        idle_timeout,
        /// Ended because a request did not arrive whole in time.
        frame_timeout,
        /// Ended because the client did not take its answer in time.
        write_timeout,
        /// Ended because a promised answer did not come in time.
        later_timeout,
        /// Ended because a promised answer was given up.
        later_lost,
        /// Ended by a request over 4096 bytes.
        long_request,
        /// Ended by a length under 64 bytes.
        short_request,
        /// Ended by a first byte that is not tekd's.
        first_byte,
        /// Ended by the client within a request.
        truncated,
        /// Ended because the answerer gave a frame of impossible length: a defect.
        bad_answer,
        /// Ended because too many bytes of answers were on their way.
        over_budget,
        /// Ended by an error of the network or of TLS.
        io_error,
        /// Cut off when the server stopped and the drain deadline came.
        aborted,
        /// Ended by a panic of the answerer: a defect.
        panicked,
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    HandshakeFailed,
    HandshakeTimeout,
    Closed,
    Stopped,
    IdleTimeout,
    FrameTimeout,
    WriteTimeout,
    LaterTimeout,
    LaterLost,
    LongRequest,
    ShortRequest,
    FirstByte,
    Truncated,
    BadAnswer,
    OverBudget,
    IoError,
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::FirstByte { .. } => End::FirstByte,
            FrameError::Short { .. } => End::ShortRequest,
            FrameError::Long { .. } => End::LongRequest,
        }
    }
}

impl StreamCounters {
    /// Counts how a connection ended.
    pub(super) fn count_end(&self, end: End) {
        let counter = match end {
            End::HandshakeFailed => &self.handshake_failed,
            End::HandshakeTimeout => &self.handshake_timeout,
            End::Closed => &self.closed,
            End::Stopped => &self.stopped,
            End::IdleTimeout => &self.idle_timeout,
            End::FrameTimeout => &self.frame_timeout,
            End::WriteTimeout => &self.write_timeout,
            End::LaterTimeout => &self.later_timeout,
            End::LaterLost => &self.later_lost,
            End::LongRequest => &self.long_request,
            End::ShortRequest => &self.short_request,
            End::FirstByte => &self.first_byte,
            End::Truncated => &self.truncated,
            End::BadAnswer => &self.bad_answer,
            End::OverBudget => &self.over_budget,
            End::IoError => &self.io_error,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What all connections of a server share.
pub(super) struct Shared {
    pub(super) answerer: Arc<dyn AnswerFrame>,
    pub(super) limits: StreamLimits,
    pub(super) counters: Arc<StreamCounters>,
    budget: Budget,
}

impl Shared {
    pub(super) fn new(answerer: Arc<dyn AnswerFrame>, limits: StreamLimits) -> Self {
        Shared { answerer, limits, counters: Arc::default(), budget: Budget::new(limits.pending_bytes) }
    }
}

/// One connection.
pub(super) struct Conversation<'a, S> {
    stream: &'a mut S,
    peer: Peer,
    shared: &'a Shared,
    stop: watch::Receiver<bool>,
    inbound: FrameBuffer,
    answer: Vec<u8>,
    deadline: Instant,
    /// When an idle connection ends, once the server stops.
    grace: Option<Instant>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Conversation<'a, S> {
    pub(super) fn new(
        stream: &'a mut S,
        peer: Peer,
        shared: &'a Shared,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let inbound = FrameBuffer::new(MAX_REQUEST);
        let deadline = Instant::now() + shared.limits.idle;
        Conversation { stream, peer, shared, stop, inbound, answer: Vec::new(), deadline, grace: None }
    }

    /// Answers requests until something ends the connection.
    pub(super) async fn run(mut self) -> End {
        loop {
            let step = match self.take_request() {
                Err(end) => Err(end),
                Ok(None) => self.read().await,
                Ok(Some(outcome)) => self.reply(outcome).await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Cuts one request off and has it answered into `self.answer`; `None` if none is whole.
    fn take_request(&mut self) -> Result<Option<Outcome>, End> {
        let Some(request) = self.inbound.cut()? else { return Ok(None) };
        let counts = StreamCounts { requests: 1, bytes_in: request.len() as u64, ..StreamCounts::default() };
        self.shared.counters.add(&counts);
        let outcome = ask(&*self.shared.answerer, self.peer, request, &mut self.answer);
        outcome.map(Some).ok_or(End::BadAnswer)
    }

    async fn reply(&mut self, outcome: Outcome) -> Result<(), End> {
        match outcome {
            Outcome::Ignore(_) => {
                self.shared.counters.add(&StreamCounts { ignored: 1, ..StreamCounts::default() });
            }
            Outcome::Respond(_) => self.write().await?,
            Outcome::Later(ticket) => {
                self.shared.counters.add(&StreamCounts { deferred: 1, ..StreamCounts::default() });
                let promised = self.shared.answerer.later(ticket);
                let arrived = timeout(self.shared.limits.later, promised).await;
                self.answer = arrived.map_err(|_| End::LaterTimeout)?.map_err(|_| End::LaterLost)?;
                self.write().await?;
            }
        }
        self.expect_next();
        Ok(())
    }

    /// Sets the deadline for the next request, of which a part may be here already.
    fn expect_next(&mut self) {
        let limits = &self.shared.limits;
        self.deadline = Instant::now() + if self.inbound.is_empty() { limits.idle } else { limits.frame };
    }

    async fn write(&mut self) -> Result<(), End> {
        let length = self.answer.len();
        if length == 0 || length > MAX_ANSWER {
            return Err(End::BadAnswer);
        }
        let _charge = self.shared.budget.charge(length).ok_or(End::OverBudget)?;
        let write = async {
            self.stream.write_all(&self.answer).await?;
            self.stream.flush().await
        };
        let written = timeout(self.shared.limits.write, write).await;
        written.map_err(|_| End::WriteTimeout)?.map_err(|_| End::IoError)?;
        let counts = StreamCounts { answered: 1, bytes_out: length as u64, ..StreamCounts::default() };
        self.shared.counters.add(&counts);
        self.answer.clear();
        self.answer.shrink_to(KEPT_ANSWER_BYTES);
        Ok(())
    }

    /// Waits for more bytes. The deadline of a request does not move with its bytes.
    async fn read(&mut self) -> Result<(), End> {
        let idle = self.inbound.is_empty();
        let more = async {
            tokio::select! {
                biased;
                read = self.stream.read(self.inbound.space()) => Some(read),
                () = past_grace(&mut self.stop, &mut self.grace), if idle => None,
            }
        };
        match timeout_at(self.deadline, more).await {
            Err(_) => Err(if idle { End::IdleTimeout } else { End::FrameTimeout }),
            Ok(None) => Err(End::Stopped),
            Ok(Some(Ok(0))) => Err(if idle { End::Closed } else { End::Truncated }),
            Ok(Some(Ok(count))) => {
                self.inbound.filled(count);
                if idle {
                    self.expect_next();
                }
                Ok(())
            }
            // TLS reports a connection that ended without its closing alert like this.
            Ok(Some(Err(e))) if e.kind() == std::io::ErrorKind::UnexpectedEof && idle => Err(End::Closed),
            Ok(Some(Err(e))) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(End::Truncated),
            Ok(Some(Err(_))) => Err(End::IoError),
        }
    }
}

/// Resolves [`STOP_GRACE`] after the stop was seen; `until` keeps when that is.
pub(super) async fn past_grace(stop: &mut watch::Receiver<bool>, until: &mut Option<Instant>) {
    stopped(stop).await;
    sleep_until(*until.get_or_insert_with(|| Instant::now() + STOP_GRACE)).await;
}

/// Resolves once the value is `true` or its owner is gone.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An owner that is gone wants no server either, so its error means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests;
