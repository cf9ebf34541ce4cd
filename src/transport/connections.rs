//! The connections of one server of TLS or QUIC: what they share, how many there may be, how they begin
//! and end.
//!
//! A server may have several listeners, one per core. Each has counters of its own; the limits are totals
//! over all of them. At the limit the newest connection is refused, so that a flood cannot push out those
//! who are served.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::answering::{AnswerFrame, Budget, Charge, ask};
use super::frame::MAX_ANSWER;
use super::stream_counters::{End, StreamCounters, StreamCounts};
use super::stream_limits::{LONG_ANSWER, STOP_GRACE, StreamLimits};
use crate::engine::{Outcome, Peer, Slot, Ticket};

/// What the listeners of a server have in common: the limits that are totals.
struct Totals {
    places: Arc<Semaphore>,
    budget: Budget,
}

/// What all connections of a listener share.
pub(super) struct Shared {
    answerer: Arc<dyn AnswerFrame>,
    pub(super) limits: StreamLimits,
    pub(super) counters: Arc<StreamCounters>,
    totals: Arc<Totals>,
}

impl Shared {
    pub(super) fn new(answerer: Arc<dyn AnswerFrame>, limits: StreamLimits) -> Self {
        let totals = Totals {
            places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            budget: Budget::new(limits.pending_bytes),
        };
        Shared { answerer, limits, counters: Arc::default(), totals: Arc::new(totals) }
    }

    /// The same for one more listener, which counts by itself.
    fn beside(&self) -> Self {
        let (answerer, totals) = (Arc::clone(&self.answerer), Arc::clone(&self.totals));
        Shared { answerer, limits: self.limits, counters: Arc::default(), totals }
    }

    /// Waits for a handshake; `None` if it came to nothing or the server stops, which is counted.
    pub(super) async fn handshake<T, E>(
        &self,
        handshake: impl Future<Output = Result<T, E>>,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<T> {
        let end = tokio::select! {
            biased;
            done = timeout(self.limits.handshake, handshake) => match done {
                Ok(Ok(connection)) => return Some(connection),
                Ok(Err(_)) => End::HandshakeFailed,
                Err(_) => End::HandshakeTimeout,
            },
            () = stopped(stop) => End::Stopped,
        };
        self.counters.count_end(end);
        None
    }

    /// Has a whole request answered; what `Respond` gives replaces the content of `answer`.
    pub(super) fn ask(&self, peer: Peer, request: &[u8], answer: &mut Vec<u8>) -> Result<Outcome, End> {
        let counts = StreamCounts { requests: 1, bytes_in: request.len() as u64, ..StreamCounts::default() };
        self.counters.add(&counts);
        let outcome = ask(&*self.answerer, peer, request, answer).ok_or(End::BadAnswer)?;
        let (ignored, deferred) = match outcome {
            Outcome::Ignore(_) => (1, 0),
            Outcome::Respond(_) => (0, 0),
            Outcome::Later(_) => (0, 1),
        };
        self.counters.add(&StreamCounts { ignored, deferred, ..StreamCounts::default() });
        Ok(outcome)
    }

    /// Has a batch of datagrams of one connection answered.
    pub(super) fn ask_batch(&self, slots: &mut [Slot<'_>]) {
        self.answerer.answer_datagrams(slots);
    }

    /// Whether answering a whole request twice does no harm.
    pub(super) fn is_repeatable(&self, request: &[u8]) -> bool {
        self.answerer.is_repeatable(request)
    }

    /// Waits for the answer that was promised.
    pub(super) async fn promised(&self, ticket: Ticket) -> Result<Vec<u8>, End> {
        let arrived = timeout(self.limits.later, self.answerer.later(ticket)).await;
        arrived.map_err(|_| End::LaterTimeout)?.map_err(|_| End::LaterLost)
    }

    /// Charges a long answer of `length` bytes to the budget of all connections. One that is not long costs
    /// that nothing: a connection has at most [`SHARE_BYTES`](super::stream_limits::SHARE_BYTES) of them on
    /// their way, which is for its transport to see to.
    pub(super) fn charge(&self, length: usize) -> Result<Option<Charge<'_>>, End> {
        match length {
            1..=LONG_ANSWER => Ok(None),
            // bounded: MAX_PENDING_BYTES, over all connections.
            ..=MAX_ANSWER if length > 0 => self.totals.budget.charge(length).map(Some).ok_or(End::OverBudget),
            _ => Err(End::BadAnswer),
        }
    }

    /// Counts an answer of `length` bytes that was sent.
    pub(super) fn answered(&self, length: usize) {
        let counts = StreamCounts { answered: 1, bytes_out: length as u64, ..StreamCounts::default() };
        self.counters.add(&counts);
    }

    /// Counts a connection or a stream that did not come to count itself.
    pub(super) fn note(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended {
            let (panicked, aborted) = (u64::from(error.is_panic()), u64::from(error.is_cancelled()));
            self.counters.add(&StreamCounts { panicked, aborted, ..StreamCounts::default() });
        }
    }
}

/// The connections of a listener.
pub(super) struct Connections {
    pub(super) shared: Arc<Shared>,
}

impl Connections {
    pub(super) fn new(answerer: Arc<dyn AnswerFrame>, limits: StreamLimits) -> Self {
        Connections { shared: Arc::new(Shared::new(answerer, limits)) }
    }

    /// Those of one more listener, within the same limits.
    pub(super) fn beside(&self) -> Self {
        Connections { shared: Arc::new(self.shared.beside()) }
    }

    pub(super) fn counters(&self) -> Arc<StreamCounters> {
        Arc::clone(&self.shared.counters)
    }

    /// How many are open, over all listeners.
    pub(super) fn open(&self) -> usize {
        self.shared.limits.connections.saturating_sub(self.shared.totals.places.available_permits())
    }

    /// A place for a newcomer, to be held until it has ended; `None` at the limit.
    pub(super) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.shared.totals.places).try_acquire_owned().ok();
        let refused = u64::from(place.is_none());
        self.shared.counters.add(&StreamCounts { accepted: 1, refused, ..StreamCounts::default() });
        place
    }

    /// Waits until all have ended, and cuts off what has not by the drain deadline.
    pub(super) async fn drain(&self, mut connections: JoinSet<()>) {
        let all = async {
            while let Some(ended) = connections.join_next().await {
                self.shared.note(ended);
            }
        };
        if timeout(self.shared.limits.drain, all).await.is_err() {
            connections.abort_all();
            while let Some(ended) = connections.join_next().await {
                self.shared.note(ended);
            }
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
