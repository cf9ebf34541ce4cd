//! An answerer that does as its questions say, and a bench to try a server on, with a certificate of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::engine::{Carrier, Outcome, Peer, Silence, Slot, Ticket};
use crate::transport::{
    ALPN, AnswerFrame, MAX_ANSWER, StreamCounters, StreamCounts, StreamLimits, server_config,
};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A limit that a test waits for.
pub(crate) const SOON: Duration = Duration::from_millis(50);

/// What the second byte of a question asks for.
pub(crate) const ECHO: u8 = 0;
pub(crate) const LATER: u8 = 1;
pub(crate) const PANIC: u8 = 2;
pub(crate) const IGNORE: u8 = 3;
pub(crate) const IMPOSSIBLE: u8 = 4;
pub(crate) const LONGEST: u8 = 5;

/// Does what the second byte of a question says.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) peers: Mutex<Vec<Peer>>,
    promised: Mutex<Vec<oneshot::Sender<Vec<u8>>>>,
}

impl AnswerFrame for Script {
    fn is_repeatable(&self, request: &[u8]) -> bool {
        request[1] != LATER
    }

    fn answer_datagrams(&self, slots: &mut [Slot<'_>]) {
        assert!(!slots.is_empty());
        for slot in slots {
            assert_eq!(slot.peer.carrier, Carrier::QuicDatagram);
            let (room, length) = (slot.answer.len(), slot.request.len());
            slot.outcome = match slot.request.get(1) {
                Some(&ECHO) if length <= room => Outcome::Respond(length),
                Some(&LONGEST) => Outcome::Respond(room),
                Some(&IMPOSSIBLE) => Outcome::Respond(room + 1),
                _ => Outcome::Ignore(Silence::Length),
            };
            let copied = length.min(room);
            slot.answer[..copied].copy_from_slice(&slot.request[..copied]);
        }
    }

    fn answer_frame(&self, peer: Peer, request: &[u8], answer: &mut Vec<u8>) -> Outcome {
        self.peers.lock().expect("never poisoned").push(peer);
        assert_eq!(answer.len(), MAX_ANSWER);
        answer[..request.len()].copy_from_slice(request);
        match request[1] {
            LATER => Outcome::Later(Ticket(7)),
            PANIC => panic!("on purpose"),
            IGNORE => Outcome::Ignore(Silence::Service),
            IMPOSSIBLE => Outcome::Respond(MAX_ANSWER + 1),
            LONGEST => Outcome::Respond(MAX_ANSWER),
            _ => Outcome::Respond(request.len()),
        }
    }

    fn later(&self, ticket: Ticket) -> oneshot::Receiver<Vec<u8>> {
        assert_eq!(ticket, Ticket(7));
        let (sender, receiver) = oneshot::channel();
        self.promised.lock().expect("never poisoned").push(sender);
        receiver
    }
}

impl Script {
    /// Waits until `count` answers are promised and gives where to send them.
    pub(crate) async fn promises(&self, count: usize) -> Vec<oneshot::Sender<Vec<u8>>> {
        let waiting = async {
            loop {
                {
                    let mut promised = self.promised.lock().expect("never poisoned");
                    if promised.len() >= count {
                        return std::mem::take(&mut *promised);
                    }
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("promises in time")
    }

    /// Waits until an answer is promised and gives where to send it.
    pub(crate) async fn promise(&self) -> oneshot::Sender<Vec<u8>> {
        self.promises(1).await.pop().expect("one at least")
    }
}

/// A question of `length` bytes that asks for `what`.
pub(crate) fn frame(length: usize, what: u8, fill: u8) -> Vec<u8> {
    let mut frame = vec![fill; length];
    (frame[0], frame[1]) = (0xBF, what);
    frame[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    frame
}

/// A server that runs, and where.
pub(crate) struct Running<S> {
    pub(crate) server: Arc<S>,
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<StreamCounters>,
    pub(crate) serving: JoinHandle<()>,
}

/// A transport whose server is tried, and how its clients talk.
pub(crate) trait Served: Sized {
    /// A client's connection.
    type Line;
    /// What keeps answers on their way that nobody reads.
    type Unread;
    const CARRIER: Carrier;

    fn start(
        at: SocketAddr,
        config: Arc<ServerConfig>,
        script: Arc<Script>,
        limits: StreamLimits,
        stopping: watch::Receiver<bool>,
    ) -> Running<Self>;

    fn connections(&self) -> usize;

    async fn connect(bench: &Bench<Self>, alpn: Option<&[u8]>) -> Option<Self::Line>;

    /// Sends these pieces of a question; gives what came until the answer was this long, or nothing if the
    /// server ended it before.
    async fn ask(line: &mut Self::Line, pieces: std::slice::Chunks<'_, u8>, length: usize) -> Vec<u8>;

    /// A client of its own that asks for more of the longest answers than fit on their way, and reads none.
    async fn hoard(bench: &Bench<Self>) -> Self::Unread;

    /// Waits until the server has ended the connection in peace.
    async fn ended(line: &mut Self::Line);

    async fn leave(line: Self::Line);
}

/// A server and the reins of it.
pub(crate) struct Bench<S> {
    pub(crate) running: Running<S>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) script: Arc<Script>,
    pub(crate) stop: watch::Sender<bool>,
}

impl<S: Served> Bench<S> {
    /// Starts a server on an ephemeral port.
    pub(crate) fn start(address: &str, limits: StreamLimits) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a PKCS#8 key");
        let certificate = made.cert.der().clone();
        let config = server_config(vec![certificate.clone()], key).expect("a pair that fits");
        let script = Arc::new(Script::default());
        let (stop, stopping) = watch::channel(false);
        let at = address.parse().expect("an address");
        let running = S::start(at, config, Arc::clone(&script), limits, stopping);
        Bench { running, certificate, script, stop }
    }

    /// The TLS of a client that trusts the server.
    pub(crate) fn client_config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: Option<&[u8]>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions of the provider")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    pub(crate) async fn connect(&self) -> Option<S::Line> {
        S::connect(self, Some(ALPN)).await
    }

    /// A connection that has been answered once.
    pub(crate) async fn connected(&self) -> S::Line {
        let mut line = self.connect().await.expect("a handshake");
        assert!(echoed::<S>(&mut line, &frame(64, ECHO, 0)).await);
        line
    }

    pub(crate) fn counts(&self) -> StreamCounts {
        self.running.counters.snapshot()
    }

    /// Waits until the counts are like this.
    pub(crate) async fn until(&self, like_this: impl Fn(StreamCounts) -> bool) {
        let waiting = async {
            while !like_this(self.counts()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("counted in time");
    }

    /// Stops the server, waits for its end, returns its counters.
    pub(crate) async fn finish(self) -> StreamCounts {
        self.stop.send_replace(true);
        timeout(PATIENCE, self.running.serving).await.expect("an end in time").expect("no panic");
        assert_eq!(self.running.server.connections(), 0);
        self.running.counters.snapshot()
    }
}

/// Whether the server gives back what it was sent.
pub(crate) async fn echoed<S: Served>(line: &mut S::Line, request: &[u8]) -> bool {
    S::ask(line, request.chunks(request.len()), request.len()).await == request
}
