//! The TLS server: accepts, limits, shakes hands, and lets each connection talk.
//!
//! One task per connection. Stopping closes the listener and idle
//! connections at once and gives requests in flight until the drain deadline.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::answering::AnswerFrame;
use super::connections::{Connections, Shared, stopped};
use super::stream::Conversation;
use super::stream_counters::{StreamCounters, StreamCounts};
use super::stream_limits::StreamLimits;
use crate::engine::{Carrier, Peer};

/// How long the closing alert may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long accepting rests after an error such as too many open files.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A TLS server; several [`beside`](Self::beside) each other share their limits.
pub struct TlsServer {
    acceptor: TlsAcceptor,
    connections: Connections,
}

impl TlsServer {
    /// A server with a configuration from [`server_config`](super::server_config).
    pub fn new(config: Arc<ServerConfig>, answerer: Arc<dyn AnswerFrame>, limits: StreamLimits) -> Self {
        TlsServer { acceptor: TlsAcceptor::from(config), connections: Connections::new(answerer, limits) }
    }

    /// One more of this server, for a listener and a thread of its own: it counts by itself, the limits are
    /// totals.
    pub fn beside(&self) -> Self {
        TlsServer { acceptor: self.acceptor.clone(), connections: self.connections.beside() }
    }

    /// The server's counters, to keep and read at any time.
    pub fn counters(&self) -> Arc<StreamCounters> {
        self.connections.counters()
    }

    /// Connections that are open now, handshakes included, over all that are beside each other.
    pub fn open(&self) -> usize {
        self.connections.open()
    }

    /// Serves `listener` until `stop` holds `true` or its sender is gone; returns once all
    /// connections have ended, at the latest after the drain deadline.
    pub async fn serve(&self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let stopping = stop.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(ended) = connections.join_next() => self.connections.shared.note(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, from)) => self.admit(&mut connections, stream, from, &stopping),
                    Err(_) => {
                        let one = StreamCounts { accept_errors: 1, ..StreamCounts::default() };
                        self.connections.shared.counters.add(&one);
                        sleep(ACCEPT_REST).await;
                    }
                },
            }
        }
        drop(listener);
        self.connections.drain(connections).await;
    }

    fn admit(
        &self,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        from: SocketAddr,
        stop: &watch::Receiver<bool>,
    ) {
        if let Some(place) = self.connections.admit() {
            let (acceptor, shared) = (self.acceptor.clone(), Arc::clone(&self.connections.shared));
            connections.spawn(connection(acceptor, shared, stream, from, stop.clone(), place));
        }
    }
}

/// One connection from accept to close; holds its place among the limited number.
async fn connection(
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    stream: TcpStream,
    from: SocketAddr,
    mut stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    // Without it small answers may wait for an acknowledgement; a failure costs only that.
    let _ = stream.set_nodelay(true);
    let Some(mut stream) = shared.handshake(acceptor.accept(stream), &mut stop).await else { return };
    let peer = Peer { ip: from.ip().to_canonical(), port: from.port(), carrier: Carrier::Tls };
    let end = Conversation::new(&mut stream, peer, &shared, stop).run().await;
    shared.counters.count_end(end);
    // A client that does not take the alert has lost nothing but the alert.
    let _ = timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
}

#[cfg(test)]
mod tests;
