//! The QUIC server: one question and its answer per bidirectional stream, or in a DATAGRAM frame each.
//!
//! Who has not proved its address gets a Retry and leaves nothing behind here. One task per connection.
//! Stopping is as with TLS: no new connection, those that are idle end after a grace, questions in flight
//! have until the drain deadline.

use std::io;
use std::net::UdpSocket;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use quinn::{Endpoint, EndpointConfig, Incoming, TokioRuntime};
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answering::AnswerFrame;
use super::connections::{Connections, stopped};
use super::quic_config::{CLOSE_DONE, quic_settings};
use super::quic_connection::serve;
use super::quic_socket::PacketSocket;
use super::stream_counters::{End, StreamCounters, StreamCounts};
use super::stream_limits::StreamLimits;

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
    /// They keep their sockets until the last server is dropped: were one closed before, the kernel would
    /// spread the packets of the others anew.
    all: RwLock<Vec<Endpoint>>,
}

impl Begin {
    fn endpoint(&self, socket: UdpSocket, counters: Arc<StreamCounters>) -> io::Result<Endpoint> {
        let (endpoint, server) = (self.endpoint.clone(), self.server.clone());
        let (socket, runtime) = (Arc::new(PacketSocket::new(socket, counters)?), Arc::new(TokioRuntime));
        let made = Endpoint::new_with_abstract_socket(endpoint, Some(server), socket, runtime)?;
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
        let (endpoint, server) = quic_settings(&config, &limits)?;
        let begin = Arc::new(Begin { endpoint, server, all: RwLock::default() });
        let connections = Connections::new(answerer, limits);
        let endpoint = begin.endpoint(socket, connections.counters())?;
        Ok(QuicServer { endpoint, connections, begin })
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
        let (begin, connections) = (Arc::clone(&self.begin), self.connections.beside());
        let endpoint = begin.endpoint(socket, connections.counters())?;
        Ok(QuicServer { endpoint, connections, begin })
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
                connections.spawn(serve(connecting, shared, stop.clone(), place));
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

#[cfg(test)]
mod tests;
