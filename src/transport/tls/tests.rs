//! The server on loopback with a certificate made for the test.

use std::io::ErrorKind;
use std::sync::Mutex;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::engine::{Outcome, Ticket};
use crate::transport::{ALPN, listen, server_config};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Echoes; promises for later what has 1, panics on what has 2 as its second byte.
#[derive(Default)]
struct Echo {
    peers: Mutex<Vec<Peer>>,
    promised: Mutex<Vec<oneshot::Sender<Vec<u8>>>>,
}

impl AnswerFrame for Echo {
    fn answer_frame(&self, peer: Peer, request: &[u8], answer: &mut Vec<u8>) -> Outcome {
        self.peers.lock().expect("never poisoned").push(peer);
        answer[..request.len()].copy_from_slice(request);
        match request[1] {
            1 => Outcome::Later(Ticket(1)),
            2 => panic!("on purpose"),
            _ => Outcome::Respond(request.len()),
        }
    }

    fn later(&self, _ticket: Ticket) -> oneshot::Receiver<Vec<u8>> {
        let (sender, receiver) = oneshot::channel();
        self.promised.lock().expect("never poisoned").push(sender);
        receiver
    }
}

struct Bench {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    counters: Arc<StreamCounters>,
    echo: Arc<Echo>,
    server: Arc<TlsServer>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

fn start(address: &str, limits: StreamLimits) -> Bench {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a PKCS#8 key");
    let certificate = made.cert.der().clone();
    let config = server_config(vec![certificate.clone()], key).expect("a pair that fits");
    let listener = listen(address.parse().expect("an address")).expect("an ephemeral port");
    let listener = TcpListener::from_std(listener).expect("a listener that does not block");
    let address = listener.local_addr().expect("bound");
    let echo = Arc::new(Echo::default());
    let server = Arc::new(TlsServer::new(config, Arc::<Echo>::clone(&echo), limits));
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.serve(listener, stopping).await }
    });
    Bench { address, certificate, counters: server.counters(), echo, server, stop, serving }
}

impl Bench {
    async fn connect_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: Option<&[u8]>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions of the provider")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_with(&[&rustls::version::TLS13], Some(ALPN)).await
    }

    /// A connection that has been answered once.
    async fn connected(&self) -> TlsStream<TcpStream> {
        let mut stream = self.connect().await.expect("a handshake");
        exchange(&mut stream, &frame(64, 0, 0)).await.expect("an echo");
        stream
    }

    /// Stops the server, waits for its end, returns its counters.
    async fn finish(self) -> StreamCounts {
        self.stop.send_replace(true);
        timeout(PATIENCE, self.serving).await.expect("an end in time").expect("no panic");
        assert_eq!(self.server.open(), 0);
        self.counters.snapshot()
    }
}

fn frame(length: usize, what: u8, fill: u8) -> Vec<u8> {
    let mut frame = vec![fill; length];
    (frame[0], frame[1]) = (0xBF, what);
    frame[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    frame
}

async fn exchange(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> std::io::Result<()> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut answer = vec![0; request.len()];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await??;
    assert!(answer == request, "an echo of {} bytes", request.len());
    Ok(())
}

/// Reads until the server has closed, in whatever way; returns what came before.
async fn rest(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut rest = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the server closes") {
        Ok(_) => rest,
        Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => rest,
        Err(e) => panic!("closed with {e}"),
    }
}

#[tokio::test]
async fn frames_are_echoed_on_both_families_whole_split_and_pipelined() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        if address.starts_with('[') && std::net::TcpListener::bind(address).is_err() {
            eprintln!("skipped: IPv6, which this machine does not have");
            continue;
        }
        let bench = start(address, StreamLimits::default());
        let mut stream = bench.connected().await;
        for byte in frame(100, 0, 3).chunks(1) {
            stream.write_all(byte).await.expect("written");
            stream.flush().await.expect("sent");
        }
        let pipelined: Vec<u8> = (0..50).flat_map(|n| frame(64 + 80 * usize::from(n), 0, n)).collect();
        stream.write_all(&pipelined).await.expect("written");
        stream.flush().await.expect("sent");
        let mut answers = vec![0; 100 + pipelined.len()];
        timeout(PATIENCE, stream.read_exact(&mut answers)).await.expect("in time").expect("answers");
        assert!(answers == [frame(100, 0, 3), pipelined].concat());

        let peers = bench.echo.peers.lock().expect("never poisoned").clone();
        let from = stream.get_ref().0.local_addr().expect("connected");
        let peer = Peer { ip: from.ip(), port: from.port(), carrier: Carrier::Tls };
        assert_eq!(peers, vec![peer; 52]);
        stream.shutdown().await.expect("closed");
        assert_eq!(rest(&mut stream).await, b"");
        let counts = bench.finish().await;
        assert_eq!((counts.accepted, counts.requests, counts.answered, counts.closed), (1, 52, 52, 1));
    }
}

#[tokio::test]
async fn only_tls_1_3_and_only_our_protocol_are_spoken() {
    let bench = start("127.0.0.1:0", StreamLimits::default());
    let tls13: &[_] = &[&rustls::version::TLS13];
    let mut without = bench.connect_with(tls13, None).await.expect("ALPN is optional");
    exchange(&mut without, &frame(64, 0, 1)).await.expect("an echo");
    assert!(bench.connect_with(tls13, Some(b"h2")).await.is_err());
    assert!(bench.connect_with(&[&rustls::version::TLS12], Some(ALPN)).await.is_err());
    let ours = bench.connected().await;
    assert_eq!(ours.get_ref().1.alpn_protocol(), Some(ALPN));
    assert_eq!(bench.finish().await.handshake_failed, 2);
}

#[tokio::test]
async fn junk_and_oversize_close_the_connection_with_a_counted_reason() {
    let bench = start("127.0.0.1:0", StreamLimits::default());
    for bad in [frame(4097, 0, 0), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut stream = bench.connected().await;
        stream.write_all(&bad).await.expect("written");
        stream.flush().await.expect("sent");
        assert_eq!(rest(&mut stream).await, b"");
    }
    let counts = bench.finish().await;
    assert_eq!((counts.long_request, counts.first_byte, counts.answered), (1, 1, 2));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let limits = StreamLimits { idle: Duration::from_millis(50), ..StreamLimits::default() };
    let bench = start("127.0.0.1:0", limits);
    let mut stream = bench.connect().await.expect("a handshake");
    assert_eq!(rest(&mut stream).await, b"");
    assert_eq!(bench.finish().await.idle_timeout, 1);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let limits = StreamLimits { handshake: Duration::from_millis(50), ..StreamLimits::default() };
    let bench = start("127.0.0.1:0", limits);
    let mut mute = TcpStream::connect(bench.address).await.expect("connected");
    let mut nothing = Vec::new();
    timeout(PATIENCE, mute.read_to_end(&mut nothing)).await.expect("in time").expect("closed");
    assert_eq!((nothing, bench.finish().await.handshake_timeout), (vec![], 1));
}

#[tokio::test]
async fn at_the_limit_the_newest_is_refused_and_a_place_comes_back() {
    let bench = start("127.0.0.1:0", StreamLimits { connections: 2, ..StreamLimits::default() });
    let (mut first, mut second) = (bench.connected().await, bench.connected().await);
    assert!(bench.connect().await.is_err());
    assert_eq!((bench.counters.snapshot().refused, bench.server.open()), (1, 2));
    exchange(&mut first, &frame(64, 0, 1)).await.expect("the first is still served");
    second.shutdown().await.expect("closed");
    rest(&mut second).await;
    let again = async {
        loop {
            if let Ok(mut stream) = bench.connect().await {
                break exchange(&mut stream, &frame(64, 0, 2)).await;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("a place in time").expect("an echo");
    let counts = bench.finish().await;
    assert_eq!(counts.accepted, counts.refused + 3);
}

/// Waits until the echo has promised something; returns where to send it.
async fn promise(echo: &Echo) -> oneshot::Sender<Vec<u8>> {
    loop {
        if let Some(sender) = echo.promised.lock().expect("never poisoned").pop() {
            return sender;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn stop_refuses_new_connections_and_lets_a_request_in_flight_finish() {
    let bench = start("127.0.0.1:0", StreamLimits::default());
    let (mut idle, mut busy) = (bench.connected().await, bench.connected().await);
    busy.write_all(&frame(64, 1, 0)).await.expect("written");
    busy.flush().await.expect("sent");
    let sender = promise(&bench.echo).await;
    bench.stop.send_replace(true);
    assert_eq!(rest(&mut idle).await, b"");
    timeout(PATIENCE, async { while bench.connect().await.is_ok() {} }).await.expect("the listener closes");
    sender.send(frame(4096, 1, 9)).expect("the stream waits");
    assert!(rest(&mut busy).await == frame(4096, 1, 9));
    let counts = bench.finish().await;
    assert_eq!((counts.aborted, counts.deferred, counts.answered), (0, 1, 3));
}

#[tokio::test]
async fn the_drain_deadline_cuts_off_what_does_not_finish() {
    let limits = StreamLimits { drain: Duration::from_millis(50), ..StreamLimits::default() };
    let bench = start("127.0.0.1:0", limits);
    let mut stream = bench.connected().await;
    stream.write_all(&frame(64, 1, 0)).await.expect("written");
    stream.flush().await.expect("sent");
    let _never_sent = promise(&bench.echo).await;
    assert_eq!(bench.finish().await.aborted, 1);
    assert_eq!(rest(&mut stream).await, b"");
}

#[tokio::test]
async fn a_panic_costs_one_connection_and_is_counted() {
    let bench = start("127.0.0.1:0", StreamLimits::default());
    let mut stream = bench.connected().await;
    stream.write_all(&frame(64, 2, 0)).await.expect("written");
    stream.flush().await.expect("sent");
    assert_eq!(rest(&mut stream).await, b"");
    bench.connected().await;
    assert_eq!(bench.finish().await.panicked, 1);
}
