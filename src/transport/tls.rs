//! The TLS server: accepts, limits, shakes hands, and lets each connection talk.
//!
//! One task per connection. At the limit the newest connection is refused, so that a flood
//! cannot push out those who are served. Stopping closes the listener and idle
//! connections at once and gives requests in flight until the drain deadline.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::answering::AnswerFrame;
use super::stream::{Conversation, End, Shared, StreamCounters, StreamCounts, StreamLimits, stopped};
use crate::engine::{Carrier, Peer};

/// How long the closing alert may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long accepting rests after an error such as too many open files.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A TLS server; one may serve several listeners, which then share its limits.
pub struct TlsServer {
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

impl TlsServer {
    /// A server with a configuration from [`server_config`](super::server_config).
    pub fn new(config: Arc<ServerConfig>, answerer: Arc<dyn AnswerFrame>, limits: StreamLimits) -> Self {
        TlsServer {
            acceptor: TlsAcceptor::from(config),
            shared: Arc::new(Shared::new(answerer, limits)),
            places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// The server's counters, to keep and read at any time.
    pub fn counters(&self) -> Arc<StreamCounters> {
        Arc::clone(&self.shared.counters)
    }

    /// Connections that are open now, handshakes included.
    pub fn open(&self) -> usize {
        self.shared.limits.connections.saturating_sub(self.places.available_permits())
    }

    /// Serves `listener` until `stop` holds `true` or its sender is gone; returns once all
    /// connections have ended, at the latest after the drain deadline.
    pub async fn serve(&self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let stopping = stop.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(ended) = connections.join_next() => self.note(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, from)) => self.admit(&mut connections, stream, from, &stopping),
                    Err(_) => {
                        let one = StreamCounts { accept_errors: 1, ..StreamCounts::default() };
                        self.shared.counters.add(&one);
                        sleep(ACCEPT_REST).await;
                    }
                },
            }
        }
        drop(listener);
        self.drain(connections).await;
    }

    fn admit(
        &self,
        connections: &mut JoinSet<()>,
        stream: TcpStream,
        from: SocketAddr,
        stop: &watch::Receiver<bool>,
    ) {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        let refused = u64::from(place.is_none());
        self.shared.counters.add(&StreamCounts { accepted: 1, refused, ..StreamCounts::default() });
        if let Some(place) = place {
            let (acceptor, shared) = (self.acceptor.clone(), Arc::clone(&self.shared));
            connections.spawn(connection(acceptor, shared, stream, from, stop.clone(), place));
        }
    }

    /// Counts a connection that did not come to count itself.
    fn note(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended {
            let (panicked, aborted) = (u64::from(error.is_panic()), u64::from(error.is_cancelled()));
            self.shared.counters.add(&StreamCounts { panicked, aborted, ..StreamCounts::default() });
        }
    }

    async fn drain(&self, mut connections: JoinSet<()>) {
        let all = async {
            while let Some(ended) = connections.join_next().await {
                self.note(ended);
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
    let handshake = tokio::select! {
        biased;
        handshake = timeout(shared.limits.handshake, acceptor.accept(stream)) => handshake,
        () = stopped(&mut stop) => return shared.counters.count_end(End::Stopped),
    };
    let mut stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) => return shared.counters.count_end(End::HandshakeFailed),
        Err(_) => return shared.counters.count_end(End::HandshakeTimeout),
    };
    let peer = Peer { ip: from.ip().to_canonical(), port: from.port(), carrier: Carrier::Tls };
    let end = Conversation::new(&mut stream, peer, &shared, stop).run().await;
    shared.counters.count_end(end);
    // A client that does not take the alert has lost nothing but the alert.
    let _ = timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
}

#[cfg(test)]
mod tests;
