//! What TLS alone shows, on loopback; what it shares with QUIC stands in `transport::tests`.

use std::io::ErrorKind;

use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::transport::fake::{ECHO, LONGEST, PATIENCE, Running, SOON, Script, Served, frame};
use crate::transport::{ALPN, listen};

/// Longest answers that the buffers of two sockets have no room for.
const MORE_THAN_THE_SYSTEM_TAKES: usize = 64;

type Bench = crate::transport::fake::Bench<TlsServer>;

impl Served for TlsServer {
    type Line = TlsStream<TcpStream>;
    type Unread = TlsStream<TcpStream>;
    const CARRIER: Carrier = Carrier::Tls;

    fn start(
        at: SocketAddr,
        config: Arc<ServerConfig>,
        script: Arc<Script>,
        limits: StreamLimits,
        stopping: watch::Receiver<bool>,
    ) -> Running<Self> {
        let listener = TcpListener::from_std(listen(at, 1).expect("an ephemeral port").remove(0));
        let listener = listener.expect("a listener that does not block");
        let address = listener.local_addr().expect("bound");
        let server = Arc::new(TlsServer::new(config, script, limits));
        let serving = tokio::spawn({
            let server = Arc::clone(&server);
            async move { server.serve(listener, stopping).await }
        });
        Running { address, counters: server.counters(), server, serving }
    }

    fn connections(&self) -> usize {
        self.open()
    }

    async fn connect(bench: &Bench, alpn: Option<&[u8]>) -> Option<Self::Line> {
        connect_with(bench, TLS_1_3, alpn).await.ok()
    }

    async fn ask(line: &mut Self::Line, pieces: std::slice::Chunks<'_, u8>, length: usize) -> Vec<u8> {
        for piece in pieces {
            line.write_all(piece).await.expect("written");
            line.flush().await.expect("sent");
        }
        let mut answer = vec![0; length];
        let read = timeout(PATIENCE, line.read_exact(&mut answer)).await.expect("an end in time");
        if read.is_ok() { answer } else { Vec::new() }
    }

    async fn hoard(bench: &Bench) -> Self::Unread {
        let mut line = bench.connect().await.expect("a handshake");
        line.write_all(&frame(64, LONGEST, 0).repeat(MORE_THAN_THE_SYSTEM_TAKES)).await.expect("written");
        line.flush().await.expect("sent");
        line
    }

    async fn ended(line: &mut Self::Line) {
        assert_eq!(rest(line).await, b"");
    }

    async fn leave(mut line: Self::Line) {
        line.shutdown().await.expect("closed");
        assert_eq!(rest(&mut line).await, b"");
    }
}

const TLS_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

async fn connect_with(
    bench: &Bench,
    versions: &[&'static SupportedProtocolVersion],
    alpn: Option<&[u8]>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let config = bench.client_config(versions, alpn);
    let stream = TcpStream::connect(bench.running.address).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
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
async fn pipelined_frames_are_echoed_in_order() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let mut stream = bench.connected().await;
    let pipelined: Vec<u8> = (0..50).flat_map(|n| frame(64 + 80 * usize::from(n), ECHO, n)).collect();
    let answers = TlsServer::ask(&mut stream, pipelined.chunks(pipelined.len()), pipelined.len()).await;
    assert!(answers == pipelined);
    let from = stream.get_ref().0.local_addr().expect("connected");
    let peer = Peer { ip: from.ip(), port: from.port(), carrier: Carrier::Tls };
    assert_eq!(*bench.script.peers.lock().expect("never poisoned"), vec![peer; 51]);
}

#[tokio::test]
async fn only_tls_1_3_is_spoken_and_alpn_may_be_left_out() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let mut without = TlsServer::connect(&bench, None).await.expect("ALPN is optional");
    let question = frame(64, ECHO, 1);
    assert_eq!(TlsServer::ask(&mut without, question.chunks(64), 64).await, question);
    assert!(connect_with(&bench, &[&rustls::version::TLS12], Some(ALPN)).await.is_err());
    let ours = bench.connected().await;
    assert_eq!(ours.get_ref().1.alpn_protocol(), Some(ALPN));
    assert_eq!(bench.finish().await.handshake_failed, 1);
}

#[tokio::test]
async fn junk_and_oversize_close_the_connection_with_a_counted_reason() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    for bad in [frame(4097, ECHO, 0), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
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
    let limits = StreamLimits { idle: SOON, ..StreamLimits::default() };
    let bench = Bench::start("127.0.0.1:0", limits);
    let mut stream = bench.connect().await.expect("a handshake");
    assert_eq!(rest(&mut stream).await, b"");
    assert_eq!(bench.finish().await.idle_timeout, 1);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let limits = StreamLimits { handshake: SOON, ..StreamLimits::default() };
    let bench = Bench::start("127.0.0.1:0", limits);
    let mut mute = TcpStream::connect(bench.running.address).await.expect("connected");
    let mut nothing = Vec::new();
    timeout(PATIENCE, mute.read_to_end(&mut nothing)).await.expect("in time").expect("closed");
    assert_eq!((nothing, bench.finish().await.handshake_timeout), (vec![], 1));
}
