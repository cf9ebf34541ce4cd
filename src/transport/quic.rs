//! The QUIC server: one question and its answer per bidirectional stream.
//!
//! Who has not proved its address gets a Retry and leaves nothing behind here. One task per connection and
//! one per stream; every wait has a deadline, every way to end is one counter. A stream that is not exactly
//! one frame ends alone, its connection goes on. Stopping is as with TLS: no new connection, those that are
//! idle end after a grace, questions in flight have until the drain deadline.

use std::io;
use std::net::UdpSocket;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use quinn::{
    Connecting, Connection, Endpoint, EndpointConfig, Incoming, RecvStream, SendStream, TokioRuntime,
};
use rustls::ServerConfig;
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::answering::AnswerFrame;
use super::connections::{Connections, Shared, past_grace, stopped};
use super::frame::{MAX_REQUEST, frame_length};
use super::quic_config::{CLOSE_DONE, CLOSE_SLOW, endpoint_config, quic_config};
use super::stream_counters::{End, StreamCounters, StreamCounts};
use super::stream_limits::{LONG_ANSWER, SHARE_BYTES, StreamLimits};
use crate::engine::{Carrier, Outcome, Peer};

/// How long the last packets may take, which tell clients that the server is gone.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Connections that are known, ended ones among them, for each that may be open.
const KNOWN_PER_PLACE: usize = 2;

const _: () = assert!(KNOWN_PER_PLACE > 1, "the newest of those who stay is refused for want of a place");

/// A QUIC server on one UDP socket; several [`beside`](Self::beside) each other share address and limits.
pub struct QuicServer {
    endpoint: Endpoint,
    connections: Connections,
    begin: Arc<Begin>,
}

/// What the endpoints of a server begin with and know of each other.
struct Begin {
    /// One key for Retry tokens and one for resets: what one endpoint said holds at each.
    endpoint: EndpointConfig,
    server: quinn::ServerConfig,
    all: RwLock<Vec<Endpoint>>,
}

impl Begin {
    fn endpoint(&self, socket: UdpSocket) -> io::Result<Endpoint> {
        let (endpoint, server) = (self.endpoint.clone(), self.server.clone());
        let made = Endpoint::new(endpoint, Some(server), socket, Arc::new(TokioRuntime))?;
        self.all.write().unwrap_or_else(PoisonError::into_inner).push(made.clone());
        Ok(made)
    }

    /// Connections that any endpoint knows, ended ones among them.
    fn known(&self) -> usize {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(Endpoint::open_connections).sum()
    }
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
        let (endpoint, server) = (endpoint_config(), quic_config(config, &limits)?);
        let begin = Arc::new(Begin { endpoint, server, all: RwLock::default() });
        let endpoint = begin.endpoint(socket)?;
        Ok(QuicServer { endpoint, connections: Connections::new(answerer, limits), begin })
    }

    /// One more of this server, on a socket of the same address (`SO_REUSEPORT`), to be made within a runtime
    /// of its own: it counts by itself, the limits are totals.
    ///
    /// The kernel gives a packet to the socket that the hash of its source and destination chooses, so all of
    /// a connection come to the endpoint that holds it: the sockets of the group do not change while they are
    /// served, and connections do not migrate. What comes to another endpoint all the same is told by a
    /// stateless reset that its connection is not there.
    ///
    /// # Errors
    /// If the socket does not do for QUIC.
    pub fn beside(&self, socket: UdpSocket) -> io::Result<Self> {
        let begin = Arc::clone(&self.begin);
        let endpoint = begin.endpoint(socket)?;
        Ok(QuicServer { endpoint, connections: self.connections.beside(), begin })
    }

    /// The server's counters, to keep and read at any time.
    pub fn counters(&self) -> Arc<StreamCounters> {
        self.connections.counters()
    }

    /// Connections that are open now, handshakes included, over all that are beside each other.
    pub fn open(&self) -> usize {
        self.connections.open()
    }

    /// Serves until `stop` holds `true` or its sender is gone; returns once all connections have ended, at
    /// the latest a second after the drain deadline. The socket is closed when all that are beside each other
    /// are dropped.
    pub async fn serve(&self, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let stopping = stop.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(ended) = connections.join_next() => self.connections.shared.note(ended),
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(&mut connections, incoming, &stopping),
                    None => {
                        self.count(&StreamCounts { socket_lost: 1, ..StreamCounts::default() });
                        break;
                    }
                },
            }
        }
        tokio::select! {
            () = self.connections.drain(connections) => {}
            () = self.turn_away() => {}
        }
        self.endpoint.close(CLOSE_DONE, b"");
        // A client that misses the last packet has lost nothing but the news.
        let _ = timeout(CLOSE_TIMEOUT, self.endpoint.wait_idle()).await;
    }

    fn admit(&self, connections: &mut JoinSet<()>, incoming: Incoming, stop: &watch::Receiver<bool>) {
        // never-amplify: a Retry is shorter than the packet it answers, and all that an unproved source gets.
        if !incoming.remote_address_validated() {
            self.count(&StreamCounts { retried: 1, ..StreamCounts::default() });
            // What has not proved its address can always be told to.
            let _ = incoming.retry();
            return;
        }
        // bounded: a connection that has ended is known for a while, to answer what still comes; who opens
        // and leaves at once is held up by that, though his place is free.
        if self.begin.known() >= self.most_known() {
            return self.refuse(incoming);
        }
        let Some(place) = self.connections.admit() else { return incoming.refuse() };
        match incoming.accept() {
            Ok(connecting) => {
                let shared = Arc::clone(&self.connections.shared);
                connections.spawn(connection(connecting, shared, stop.clone(), place));
            }
            Err(_) => self.connections.shared.counters.count_end(End::HandshakeFailed),
        }
    }

    /// Refuses every newcomer, for ever.
    async fn turn_away(&self) {
        while let Some(incoming) = self.endpoint.accept().await {
            self.refuse(incoming);
        }
        std::future::pending::<()>().await;
    }

    fn most_known(&self) -> usize {
        self.connections.shared.limits.connections.saturating_mul(KNOWN_PER_PLACE)
    }

    fn refuse(&self, incoming: Incoming) {
        self.count(&StreamCounts { accepted: 1, refused: 1, ..StreamCounts::default() });
        incoming.refuse();
    }

    fn count(&self, counts: &StreamCounts) {
        self.connections.shared.counters.add(counts);
    }
}

/// One connection from its first packet to its last; holds its place among the limited number.
async fn connection(
    connecting: Connecting,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let Some(connection) = shared.handshake(connecting, &mut stop).await else { return };
    let end = converse(&connection, &shared, stop).await;
    shared.counters.count_end(end);
    connection.close(CLOSE_DONE, b"");
}

/// Takes streams until something ends the connection, and lets those that are open end first.
async fn converse(connection: &Connection, shared: &Arc<Shared>, mut stop: watch::Receiver<bool>) -> End {
    let (mut streams, mut grace) = (JoinSet::new(), None);
    let exchange = Exchange {
        shared: Arc::clone(shared),
        connection: connection.clone(),
        turn: Arc::default(),
        share: Arc::new(Semaphore::new(SHARE_BYTES)),
    };
    let mut idle_until = Instant::now() + shared.limits.idle;
    let end = loop {
        let idle = streams.is_empty();
        tokio::select! {
            biased;
            Some(ended) = streams.join_next() => {
                shared.note(ended);
                idle_until = Instant::now() + shared.limits.idle;
            }
            opened = connection.accept_bi() => match opened {
                Ok((send, recv)) => {
                    shared.counters.add(&StreamCounts { streams: 1, ..StreamCounts::default() });
                    // bounded: MAX_STREAMS, which the client cannot exceed.
                    streams.spawn(exchange.clone().serve(send, recv));
                }
                Err(error) => break End::from(error),
            },
            () = past_grace(&mut stop, &mut grace) => break End::Stopped,
            () = sleep_until(idle_until), if idle => break End::IdleTimeout,
        }
    };
    while let Some(ended) = streams.join_next().await {
        shared.note(ended);
    }
    end
}

/// One question and its answer.
#[derive(Clone)]
struct Exchange {
    shared: Arc<Shared>,
    connection: Connection,
    /// Held while an answer is made, on until there is room for it, and on while a long one is on its way.
    turn: Arc<Mutex<()>>,
    /// Bytes that answers which are not long may still put on their way to this client.
    share: Arc<Semaphore>,
}

impl Exchange {
    /// One stream from its first byte to the acknowledgement of its last.
    async fn serve(self, mut send: SendStream, mut recv: RecvStream) {
        if let Err(end) = self.run(&mut send, &mut recv).await {
            self.shared.counters.count_end(end);
            // Either half may have ended already, or the connection.
            let _ = (send.reset(end.code()), recv.stop(end.code()));
        }
    }

    async fn run(&self, send: &mut SendStream, recv: &mut RecvStream) -> Result<(), End> {
        let arrived = timeout(self.shared.limits.frame, take_question(recv)).await;
        let question = arrived.map_err(|_| End::FrameTimeout)??;
        let from = self.connection.remote_address();
        let peer = Peer { ip: from.ip().to_canonical(), port: from.port(), carrier: Carrier::Quic };
        let mut answer = Vec::new();
        // bounded: a client that reads nothing holds one long answer, not one in each of its streams.
        let turn = timeout(self.shared.limits.write, self.turn.lock()).await;
        let turn = turn.map_err(|_| End::WriteTimeout)?;
        match self.shared.ask(peer, &question, &mut answer)? {
            Outcome::Ignore(_) => send.finish().map_err(|_| End::Withdrawn),
            Outcome::Respond(_) => self.write(send, answer, Some(turn)).await,
            Outcome::Later(ticket) => {
                drop(turn);
                let answer = tokio::select! {
                    answer = self.shared.promised(ticket) => answer?,
                    _ = self.connection.closed() => return Err(End::Lost),
                };
                self.write(send, answer, None).await
            }
        }
    }

    /// Sends the answer and keeps its room until the client has it.
    async fn write(
        &self,
        send: &mut SendStream,
        answer: Vec<u8>,
        turn: Option<MutexGuard<'_, ()>>,
    ) -> Result<(), End> {
        let length = answer.len();
        let _charge = self.shared.charge(length)?;
        let deadline = Instant::now() + self.shared.limits.write;
        let _share = self.share(length, deadline).await?;
        let _turn = turn.filter(|_| length > LONG_ANSWER);
        let written = timeout_at(deadline, send.write_chunk(answer.into())).await;
        written.map_err(|_| End::WriteTimeout)??;
        send.finish().map_err(|_| End::Withdrawn)?;
        self.shared.answered(length);
        if timeout_at(deadline, send.stopped()).await.is_err() {
            self.shared.counters.add(&StreamCounts { unacknowledged: 1, ..StreamCounts::default() });
            // Its bytes are let go; the stream may have ended at this very moment.
            let _ = send.reset(CLOSE_SLOW);
        }
        Ok(())
    }

    /// Room in the connection's share for an answer that is not long; `None` for one that is.
    async fn share(&self, length: usize, deadline: Instant) -> Result<Option<SemaphorePermit<'_>>, End> {
        let Some(bytes) = u32::try_from(length).ok().filter(|_| length <= LONG_ANSWER) else {
            return Ok(None);
        };
        // bounded: who takes none of its answers is waited for by itself alone.
        let room = timeout_at(deadline, self.share.acquire_many(bytes)).await;
        Ok(Some(room.map_err(|_| End::WriteTimeout)?.expect("a share is never closed")))
    }
}

/// Reads until the client has finished its half: one whole frame and nothing else.
async fn take_question(recv: &mut RecvStream) -> Result<Vec<u8>, End> {
    let mut question = Vec::new();
    let mut expected = None;
    // bounded: what is longer than its own length, at most MAX_REQUEST, is refused at once.
    while let Some(chunk) = recv.read_chunk(MAX_REQUEST + 1 - question.len(), true).await? {
        question.extend_from_slice(&chunk.bytes);
        expected = frame_length(&question, MAX_REQUEST)?;
        if expected.is_some_and(|length| question.len() > length) {
            return Err(End::SecondFrame);
        }
    }
    if expected == Some(question.len()) { Ok(question) } else { Err(End::Truncated) }
}

#[cfg(test)]
mod tests;
