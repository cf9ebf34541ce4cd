//! The QUIC server: one question and its answer per bidirectional stream.
//!
//! Who has not proved its address gets a Retry and leaves nothing behind here. At the limit the newest
//! connection is refused, so that a flood cannot push out those who are served. One task per connection and
//! one per stream; every wait has a deadline, every way to end is one counter. A stream that is not exactly
//! one frame ends alone, its connection goes on. Stopping is as with TLS: no new connection, those that are
//! idle end after a grace, questions in flight have until the drain deadline.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connecting, Connection, Endpoint, Incoming, RecvStream, SendStream, TokioRuntime};
use rustls::ServerConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::answering::{AnswerFrame, Budget, ask};
use super::frame::{MAX_ANSWER, MAX_REQUEST, frame_length};
use super::quic_config::{CLOSE_DONE, CLOSE_SLOW, endpoint_config, quic_config};
use super::quic_counters::{End, QuicCounters, QuicCounts, StreamEnd};
use super::stream::{StreamLimits, past_grace, stopped};
use crate::engine::{Carrier, Outcome, Peer};

/// How long the last packets may take, which tell clients that the server is gone.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A QUIC server on one UDP socket.
pub struct QuicServer {
    endpoint: Endpoint,
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

/// What all connections share.
struct Shared {
    answerer: Arc<dyn AnswerFrame>,
    limits: StreamLimits,
    counters: Arc<QuicCounters>,
    budget: Budget,
}

impl QuicServer {
    /// A server on `socket` with a configuration from [`server_config`](super::server_config). To be made
    /// within the runtime that serves it; first packets wait until [`serve`](Self::serve).
    ///
    /// # Errors
    /// If the socket or the configuration does not do for QUIC.
    pub fn new(
        config: Arc<ServerConfig>,
        socket: UdpSocket,
        answerer: Arc<dyn AnswerFrame>,
        limits: StreamLimits,
    ) -> io::Result<Self> {
        let config = quic_config(config, &limits)?;
        let endpoint = Endpoint::new(endpoint_config(), Some(config), socket, Arc::new(TokioRuntime))?;
        let budget = Budget::new(limits.pending_bytes);
        Ok(QuicServer {
            endpoint,
            shared: Arc::new(Shared { answerer, limits, counters: Arc::default(), budget }),
            places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
        })
    }

    /// The server's counters, to keep and read at any time.
    pub fn counters(&self) -> Arc<QuicCounters> {
        Arc::clone(&self.shared.counters)
    }

    /// Connections that are open now, handshakes included.
    pub fn open(&self) -> usize {
        self.shared.limits.connections.saturating_sub(self.places.available_permits())
    }

    /// Serves until `stop` holds `true` or its sender is gone; returns once all connections have ended, at
    /// the latest a second after the drain deadline. The socket is closed when the server is dropped.
    pub async fn serve(&self, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let stopping = stop.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(ended) = connections.join_next() => self.note(ended),
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(&mut connections, incoming, &stopping),
                    None => {
                        self.shared.counters.add(&QuicCounts { socket_lost: 1, ..QuicCounts::default() });
                        break;
                    }
                },
            }
        }
        self.drain(connections).await;
        self.endpoint.close(CLOSE_DONE, b"");
        // A client that misses the last packet has lost nothing but the news.
        let _ = timeout(CLOSE_TIMEOUT, self.endpoint.wait_idle()).await;
    }

    fn admit(&self, connections: &mut JoinSet<()>, incoming: Incoming, stop: &watch::Receiver<bool>) {
        // never-amplify: a Retry is shorter than the packet it answers, and all that an unproved source gets.
        if !incoming.remote_address_validated() {
            self.shared.counters.add(&QuicCounts { retried: 1, ..QuicCounts::default() });
            // What has not proved its address can always be told to.
            let _ = incoming.retry();
            return;
        }
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        let refused = u64::from(place.is_none());
        self.shared.counters.add(&QuicCounts { accepted: 1, refused, ..QuicCounts::default() });
        let Some(place) = place else { return incoming.refuse() };
        match incoming.accept() {
            Ok(connecting) => {
                connections.spawn(connection(connecting, Arc::clone(&self.shared), stop.clone(), place));
            }
            Err(_) => self.shared.counters.count_end(End::HandshakeFailed),
        }
    }

    /// Counts a connection that did not come to count itself.
    fn note(&self, ended: Result<(), JoinError>) {
        if ended.is_err_and(|error| error.is_cancelled()) {
            self.shared.counters.add(&QuicCounts { aborted: 1, ..QuicCounts::default() });
        }
    }

    async fn drain(&self, mut connections: JoinSet<()>) {
        let all = async {
            loop {
                tokio::select! {
                    ended = connections.join_next() => match ended {
                        Some(ended) => self.note(ended),
                        None => break,
                    },
                    Some(incoming) = self.endpoint.accept() => {
                        let counts = QuicCounts { accepted: 1, refused: 1, ..QuicCounts::default() };
                        self.shared.counters.add(&counts);
                        incoming.refuse();
                    }
                }
            }
        };
        if timeout(self.shared.limits.drain, all).await.is_err() {
            connections.abort_all();
            while let Some(ended) = connections.join_next().await {
                self.note(ended);
            }
        }
    }
}

/// One connection from its first packet to its last; holds its place among the limited number.
async fn connection(
    connecting: Connecting,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let handshake = tokio::select! {
        biased;
        handshake = timeout(shared.limits.handshake, connecting) => handshake,
        () = stopped(&mut stop) => return shared.counters.count_end(End::Stopped),
    };
    let connection = match handshake {
        Ok(Ok(connection)) => connection,
        Ok(Err(_)) => return shared.counters.count_end(End::HandshakeFailed),
        Err(_) => return shared.counters.count_end(End::HandshakeTimeout),
    };
    let end = converse(&connection, &shared, stop).await;
    shared.counters.count_end(end);
    connection.close(CLOSE_DONE, b"");
}

/// Takes streams until something ends the connection, and lets those that are open end first.
async fn converse(connection: &Connection, shared: &Arc<Shared>, mut stop: watch::Receiver<bool>) -> End {
    let (mut streams, mut grace) = (JoinSet::new(), None);
    let mut idle_until = Instant::now() + shared.limits.idle;
    let end = loop {
        let idle = streams.is_empty();
        tokio::select! {
            biased;
            Some(ended) = streams.join_next() => {
                note_stream(shared, ended);
                idle_until = Instant::now() + shared.limits.idle;
            }
            opened = connection.accept_bi() => match opened {
                Ok((send, recv)) => {
                    shared.counters.add(&QuicCounts { streams: 1, ..QuicCounts::default() });
                    // bounded: MAX_STREAMS, which the client cannot exceed.
                    streams.spawn(stream(Arc::clone(shared), connection.clone(), send, recv));
                }
                Err(error) => break End::from(error),
            },
            () = past_grace(&mut stop, &mut grace) => break End::Stopped,
            () = sleep_until(idle_until), if idle => break End::IdleTimeout,
        }
    };
    while let Some(ended) = streams.join_next().await {
        note_stream(shared, ended);
    }
    end
}

/// Counts a stream that did not come to count itself.
fn note_stream(shared: &Shared, ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        shared.counters.add(&QuicCounts { panicked: 1, ..QuicCounts::default() });
    }
}

/// One stream from its first byte to the acknowledgement of its last.
async fn stream(shared: Arc<Shared>, connection: Connection, mut send: SendStream, mut recv: RecvStream) {
    let exchange = Exchange { shared: &shared, connection: &connection };
    if let Err(end) = exchange.run(&mut send, &mut recv).await {
        shared.counters.count_stream_end(end);
        // Either half may have ended already, or the connection.
        let _ = (send.reset(end.code()), recv.stop(end.code()));
    }
}

/// One question and its answer.
struct Exchange<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
}

impl Exchange<'_> {
    async fn run(&self, send: &mut SendStream, recv: &mut RecvStream) -> Result<(), StreamEnd> {
        let arrived = timeout(self.shared.limits.frame, take_question(recv)).await;
        let question = arrived.map_err(|_| StreamEnd::FrameTimeout)??;
        let counts = QuicCounts { requests: 1, bytes_in: question.len() as u64, ..QuicCounts::default() };
        self.shared.counters.add(&counts);
        let from = self.connection.remote_address();
        let peer = Peer { ip: from.ip().to_canonical(), port: from.port(), carrier: Carrier::Quic };
        let mut answer = Vec::new();
        match ask(&*self.shared.answerer, peer, &question, &mut answer).ok_or(StreamEnd::BadAnswer)? {
            Outcome::Ignore(_) => {
                self.shared.counters.add(&QuicCounts { ignored: 1, ..QuicCounts::default() });
                send.finish().map_err(|_| StreamEnd::Withdrawn)
            }
            Outcome::Respond(_) => self.write(send, answer).await,
            Outcome::Later(ticket) => {
                self.shared.counters.add(&QuicCounts { deferred: 1, ..QuicCounts::default() });
                let promised = self.shared.answerer.later(ticket);
                let arrived = tokio::select! {
                    arrived = timeout(self.shared.limits.later, promised) => arrived,
                    _ = self.connection.closed() => return Err(StreamEnd::Lost),
                };
                let answer = arrived.map_err(|_| StreamEnd::LaterTimeout)?;
                self.write(send, answer.map_err(|_| StreamEnd::LaterLost)?).await
            }
        }
    }

    /// Sends the answer and keeps it charged until the client has it.
    async fn write(&self, send: &mut SendStream, answer: Vec<u8>) -> Result<(), StreamEnd> {
        let length = answer.len();
        if length == 0 || length > MAX_ANSWER {
            return Err(StreamEnd::BadAnswer);
        }
        let _charge = self.shared.budget.charge(length).ok_or(StreamEnd::OverBudget)?;
        let deadline = Instant::now() + self.shared.limits.write;
        let written = timeout_at(deadline, send.write_chunk(answer.into())).await;
        written.map_err(|_| StreamEnd::WriteTimeout)??;
        send.finish().map_err(|_| StreamEnd::Withdrawn)?;
        let counts = QuicCounts { answered: 1, bytes_out: length as u64, ..QuicCounts::default() };
        self.shared.counters.add(&counts);
        if timeout_at(deadline, send.stopped()).await.is_err() {
            self.shared.counters.add(&QuicCounts { unacknowledged: 1, ..QuicCounts::default() });
            // Its bytes are let go; the stream may have ended at this very moment.
            let _ = send.reset(CLOSE_SLOW);
        }
        Ok(())
    }
}

/// Reads until the client has finished its half: one whole frame and nothing else.
async fn take_question(recv: &mut RecvStream) -> Result<Vec<u8>, StreamEnd> {
    let mut question = Vec::new();
    let mut expected = None;
    // bounded: what is longer than its own length, at most MAX_REQUEST, is refused at once.
    while let Some(chunk) = recv.read_chunk(MAX_REQUEST + 1 - question.len(), true).await? {
        question.extend_from_slice(&chunk.bytes);
        expected = frame_length(&question, MAX_REQUEST)?;
        if expected.is_some_and(|length| question.len() > length) {
            return Err(StreamEnd::SecondFrame);
        }
    }
    if expected == Some(question.len()) { Ok(question) } else { Err(StreamEnd::Truncated) }
}

#[cfg(test)]
mod tests;
