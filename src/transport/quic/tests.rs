//! The server on loopback with a certificate made for the test.

use std::net::SocketAddr;
use std::sync::Mutex;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ReadToEndError, TransportConfig, WriteError};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::UdpSocket as AsyncUdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::quic_config::{CLOSE_BUSY, CLOSE_FRAME, MAX_STREAMS};
use super::*;
use crate::engine::{Silence, Ticket};
use crate::transport::{ALPN, bind_one, server_config};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// A limit that a test waits for.
const SOON: Duration = Duration::from_millis(50);

/// Echoes; by its second byte, 1 is promised for later, 2 is a panic, 3 is ignored, 4 is answered too long,
/// 5 is answered by the longest answer.
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
            3 => Outcome::Ignore(Silence::Service),
            4 => Outcome::Respond(MAX_ANSWER + 1),
            5 => Outcome::Respond(MAX_ANSWER),
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
    counters: Arc<QuicCounters>,
    echo: Arc<Echo>,
    server: Arc<QuicServer>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

fn start(address: &str, limits: StreamLimits) -> Bench {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a PKCS#8 key");
    let certificate = made.cert.der().clone();
    let config = server_config(vec![certificate.clone()], key).expect("a pair that fits");
    let socket = bind_one(address.parse().expect("an address")).expect("an ephemeral port");
    let address = socket.local_addr().expect("bound");
    let echo = Arc::new(Echo::default());
    let server = QuicServer::new(config, socket, Arc::<Echo>::clone(&echo), limits).expect("a server");
    let server = Arc::new(server);
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.serve(stopping).await }
    });
    Bench { address, certificate, counters: server.counters(), echo, server, stop, serving }
}

impl Bench {
    fn client_config(&self, alpn: Option<&[u8]>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("versions of the provider")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let crypto = QuicClientConfig::try_from(config).expect("the suite that QUIC begins with");
        ClientConfig::new(Arc::new(crypto))
    }

    async fn connect_with(&self, config: ClientConfig) -> Result<Connection, quinn::ConnectionError> {
        let any = if self.address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let endpoint = Endpoint::client(any.parse().expect("an address")).expect("a socket");
        let connecting = endpoint.connect_with(config, self.address, "localhost").expect("a good address");
        timeout(PATIENCE, connecting).await.expect("a handshake in time")
    }

    async fn connect(&self) -> Result<Connection, quinn::ConnectionError> {
        self.connect_with(self.client_config(Some(ALPN))).await
    }

    /// A connection that has been answered once.
    async fn connected(&self) -> Connection {
        let connection = self.connect().await.expect("a handshake");
        exchange(&connection, &frame(64, 0, 0)).await.expect("an echo");
        connection
    }

    /// Stops the server, waits for its end, returns its counters.
    async fn finish(self) -> QuicCounts {
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

/// Asks on a stream of its own; gives whatever the server sent before it finished.
async fn ask_raw(connection: &Connection, bytes: &[u8]) -> Result<Vec<u8>, ReadToEndError> {
    let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
    // A server that has seen enough stops the stream under the writer.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    timeout(PATIENCE, recv.read_to_end(MAX_ANSWER)).await.expect("an end in time")
}

async fn exchange(connection: &Connection, request: &[u8]) -> Result<(), ReadToEndError> {
    let answer = ask_raw(connection, request).await?;
    assert!(answer == request, "an echo of {} bytes, not {}", request.len(), answer.len());
    Ok(())
}

/// The code with which the server ended a stream.
#[track_caller]
fn reset_code(ended: Result<Vec<u8>, ReadToEndError>) -> u64 {
    match ended {
        Err(ReadToEndError::Read(quinn::ReadError::Reset(code))) => code.into_inner(),
        other => panic!("not reset: {other:?}"),
    }
}

/// How a connection ended by the server, with its code.
async fn closed(connection: &Connection) -> u64 {
    match timeout(PATIENCE, connection.closed()).await.expect("the server closes") {
        quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("closed with {other}"),
    }
}

/// Waits until the echo has promised `count` answers and gives where to send them.
async fn promises(echo: &Echo, count: usize) -> Vec<oneshot::Sender<Vec<u8>>> {
    let waiting = async {
        loop {
            {
                let mut promised = echo.promised.lock().expect("never poisoned");
                if promised.len() >= count {
                    return std::mem::take(&mut *promised);
                }
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("promises in time")
}

#[tokio::test]
async fn frames_are_echoed_on_both_families_whole_split_and_side_by_side() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        if address.starts_with('[') && UdpSocket::bind(address).is_err() {
            eprintln!("skipped: IPv6, which this machine does not have");
            continue;
        }
        let bench = start(address, StreamLimits::default());
        let connection = bench.connected().await;
        let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
        for byte in frame(100, 0, 3).chunks(1) {
            send.write_all(byte).await.expect("written");
            tokio::task::yield_now().await;
        }
        send.finish().expect("the half is finished");
        let answer = timeout(PATIENCE, recv.read_to_end(MAX_ANSWER)).await.expect("in time");
        assert!(answer.expect("an answer") == frame(100, 0, 3));
        let mut asking = JoinSet::new();
        for n in 0..50u8 {
            let connection = connection.clone();
            let request = frame(64 + 80 * usize::from(n), 0, n);
            asking.spawn(async move { exchange(&connection, &request).await.expect("an echo") });
        }
        assert_eq!(asking.join_all().await.len(), 50);
        exchange(&connection, &frame(MAX_REQUEST, 0, 1)).await.expect("the longest question");
        let longest = ask_raw(&connection, &frame(64, 5, 1)).await.expect("the longest answer");
        assert_eq!(longest.len(), MAX_ANSWER);

        let peers = bench.echo.peers.lock().expect("never poisoned").clone();
        assert_eq!(peers.len(), 54);
        let proper = |peer: &Peer| peer.ip == bench.address.ip() && peer.carrier == Carrier::Quic;
        assert!(peers.iter().all(|peer| proper(peer) && peer.port == peers[0].port), "{peers:?}");
        connection.close(CLOSE_DONE, b"");
        let gone = async {
            while bench.counters.snapshot().closed == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.expect("the server hears of it");
        let counts = bench.finish().await;
        assert_eq!((counts.accepted, counts.retried, counts.closed), (1, 1, 1));
        assert_eq!(
            (counts.streams, counts.requests, counts.answered, counts.unacknowledged),
            (54, 54, 54, 0)
        );
    }
}

#[tokio::test]
async fn only_our_protocol_is_spoken_and_nothing_else_is_opened() {
    let bench = start("127.0.0.1:0", StreamLimits::default());
    for alpn in [None, Some(&b"h3"[..])] {
        assert!(bench.connect_with(bench.client_config(alpn)).await.is_err());
    }
    let connection = bench.connected().await;
    assert_eq!(connection.max_datagram_size(), None, "datagrams are not taken");
    tokio::select! {
        biased;
        opened = connection.open_uni() => panic!("a stream of one direction: {opened:?}"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(bench.finish().await.handshake_failed, 2);
}

#[tokio::test]
async fn what_is_not_one_frame_ends_its_stream_alone_with_a_counted_reason() {
    let bench = start("127.0.0.1:0", StreamLimits::default());
    let connection = bench.connected().await;
    let mut short = frame(64, 0, 0);
    short[4] = 63;
    let two = [frame(64, 0, 1), frame(64, 0, 2)].concat();
    let junk = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    let bad =
        [frame(4097, 0, 0), frame(100_000, 0, 0), short, junk, two, frame(64, 0, 0)[..63].to_vec(), vec![]];
    for bytes in bad {
        assert_eq!(reset_code(ask_raw(&connection, &bytes).await), CLOSE_FRAME.into_inner());
        exchange(&connection, &frame(64, 0, 9)).await.expect("the connection goes on");
    }
    let counts = bench.finish().await;
    assert_eq!((counts.long_request, counts.short_request, counts.first_byte), (2, 1, 1));
    assert_eq!((counts.second_frame, counts.truncated, counts.answered), (1, 2, 8));
}

#[tokio::test]
async fn silence_a_defect_and_a_panic_each_cost_one_stream() {
    let bench = start("127.0.0.1:0", StreamLimits::default());
    let connection = bench.connected().await;
    assert_eq!(ask_raw(&connection, &frame(64, 3, 0)).await.expect("finished"), b"");
    assert_eq!(reset_code(ask_raw(&connection, &frame(64, 4, 0)).await), CLOSE_BUSY.into_inner());
    assert_eq!(ask_raw(&connection, &frame(64, 2, 0)).await.expect("finished"), b"");
    exchange(&connection, &frame(64, 0, 1)).await.expect("the connection goes on");
    let counts = bench.finish().await;
    assert_eq!((counts.ignored, counts.bad_answer, counts.panicked, counts.answered), (1, 1, 1, 2));
}

#[tokio::test]
async fn a_stream_over_the_limit_waits_for_one_that_ends() {
    let bench = start("127.0.0.1:0", StreamLimits::default());
    let connection = bench.connect().await.expect("a handshake");
    let mut waiting = JoinSet::new();
    for _ in 0..MAX_STREAMS {
        let connection = connection.clone();
        waiting.spawn(async move { ask_raw(&connection, &frame(64, 1, 0)).await.expect("an answer") });
    }
    let promised = promises(&bench.echo, MAX_STREAMS as usize).await;
    let mut opening = Box::pin(connection.open_bi());
    tokio::select! {
        biased;
        _ = &mut opening => panic!("a stream over the limit"),
        () = std::future::ready(()) => {}
    }
    for sender in promised {
        sender.send(frame(64, 1, 7)).expect("the stream waits");
    }
    for answer in waiting.join_all().await {
        assert!(answer == frame(64, 1, 7));
    }
    let opened = timeout(PATIENCE, opening).await.expect("a place in time").expect("a stream");
    drop(opened);
    assert_eq!(bench.finish().await.deferred, u64::from(MAX_STREAMS));
}

#[tokio::test]
async fn promises_that_are_broken_or_late_are_told() {
    let bench = start("127.0.0.1:0", StreamLimits { later: SOON, ..StreamLimits::default() });
    let connection = bench.connected().await;
    assert_eq!(reset_code(ask_raw(&connection, &frame(64, 1, 0)).await), CLOSE_BUSY.into_inner());
    let late = promises(&bench.echo, 1).await;
    let request = frame(64, 1, 0);
    let asking = ask_raw(&connection, &request);
    let (ended, ()) = tokio::join!(asking, async { drop(promises(&bench.echo, 1).await) });
    assert_eq!(reset_code(ended), CLOSE_BUSY.into_inner());
    assert!(late.into_iter().all(|sender| sender.send(Vec::new()).is_err()));
    let counts = bench.finish().await;
    assert_eq!(counts.later_timeout + counts.later_lost, 2);
    assert!(counts.later_timeout >= 1);
}

#[tokio::test]
async fn answers_over_the_budget_are_not_sent() {
    let limits = StreamLimits { pending_bytes: MAX_ANSWER, ..StreamLimits::default() };
    let bench = start("127.0.0.1:0", limits);
    let mut config = bench.client_config(Some(ALPN));
    let mut narrow = TransportConfig::default();
    narrow.stream_receive_window(1024u32.into());
    config.transport_config(Arc::new(narrow));
    let connection = bench.connect_with(config).await.expect("a handshake");
    let (mut send, mut unread) = connection.open_bi().await.expect("a stream");
    send.write_all(&frame(64, 5, 0)).await.expect("written");
    send.finish().expect("the half is finished");
    let mut begun = [0; 1];
    timeout(PATIENCE, unread.read_exact(&mut begun)).await.expect("in time").expect("a first byte");
    assert_eq!(reset_code(ask_raw(&connection, &frame(64, 0, 0)).await), CLOSE_BUSY.into_inner());
    unread.stop(CLOSE_DONE).expect("taken back");
    let again = async { while exchange(&connection, &frame(64, 0, 0)).await.is_err() {} };
    timeout(PATIENCE, again).await.expect("the budget is given back");
    let counts = bench.finish().await;
    assert!(counts.over_budget >= 1 && counts.withdrawn == 1, "{counts:?}");
}

#[tokio::test]
async fn a_client_that_does_not_finish_or_does_not_read_is_given_up() {
    let limits = StreamLimits { frame: SOON, write: SOON, ..StreamLimits::default() };
    let bench = start("127.0.0.1:0", limits);
    let mut config = bench.client_config(Some(ALPN));
    let mut narrow = TransportConfig::default();
    narrow.stream_receive_window(1024u32.into());
    config.transport_config(Arc::new(narrow));
    let connection = bench.connect_with(config).await.expect("a handshake");
    for part in [&frame(64, 0, 0)[..], &frame(64, 0, 0)[..10]] {
        let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
        send.write_all(part).await.expect("written");
        let ended = timeout(PATIENCE, recv.read_to_end(MAX_ANSWER)).await.expect("in time");
        assert_eq!(reset_code(ended), CLOSE_SLOW.into_inner());
        let stopped = timeout(PATIENCE, send.stopped()).await.expect("in time").expect("connected");
        assert_eq!(stopped, Some(CLOSE_SLOW));
        assert_eq!(send.write_all(&[0]).await, Err(WriteError::Stopped(CLOSE_SLOW)));
    }
    let (mut send, mut unread) = connection.open_bi().await.expect("a stream");
    send.write_all(&frame(4096, 0, 0)).await.expect("written");
    send.finish().expect("the half is finished");
    let reset = timeout(PATIENCE, unread.received_reset()).await.expect("in time").expect("connected");
    assert_eq!(reset, Some(CLOSE_SLOW));
    exchange(&connection, &frame(64, 0, 1)).await.expect("the connection goes on");
    let counts = bench.finish().await;
    assert_eq!((counts.frame_timeout, counts.write_timeout, counts.answered), (2, 1, 1));
}

#[tokio::test]
async fn an_idle_connection_is_closed_though_it_is_kept_alive() {
    let bench = start("127.0.0.1:0", StreamLimits { idle: SOON, ..StreamLimits::default() });
    let mut config = bench.client_config(Some(ALPN));
    let mut lively = TransportConfig::default();
    lively.keep_alive_interval(Some(Duration::from_millis(5)));
    config.transport_config(Arc::new(lively));
    let connection = bench.connect_with(config).await.expect("a handshake");
    assert_eq!(closed(&connection).await, CLOSE_DONE.into_inner());
    assert_eq!(bench.finish().await.idle_timeout, 1);
}

#[tokio::test]
async fn at_the_limit_the_newest_is_refused_and_a_place_comes_back() {
    let bench = start("127.0.0.1:0", StreamLimits { connections: 2, ..StreamLimits::default() });
    let (first, second) = (bench.connected().await, bench.connected().await);
    assert!(bench.connect().await.is_err());
    assert_eq!((bench.counters.snapshot().refused, bench.server.open()), (1, 2));
    exchange(&first, &frame(64, 0, 1)).await.expect("the first is still served");
    second.close(CLOSE_DONE, b"");
    let again = async {
        loop {
            if let Ok(connection) = bench.connect().await {
                break exchange(&connection, &frame(64, 0, 2)).await;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("a place in time").expect("an echo");
    let counts = bench.finish().await;
    assert_eq!(counts.accepted, counts.refused + 3);
}

#[tokio::test]
async fn stop_refuses_new_connections_and_lets_a_question_in_flight_finish() {
    let bench = start("127.0.0.1:0", StreamLimits::default());
    let (idle, busy) = (bench.connected().await, bench.connected().await);
    let asking = tokio::spawn({
        let busy = busy.clone();
        async move { ask_raw(&busy, &frame(64, 1, 0)).await }
    });
    let promised = promises(&bench.echo, 1).await;
    bench.stop.send_replace(true);
    assert_eq!(closed(&idle).await, CLOSE_DONE.into_inner());
    assert!(bench.connect().await.is_err());
    for sender in promised {
        sender.send(frame(4096, 1, 9)).expect("the stream waits");
    }
    let answer = asking.await.expect("no panic").expect("an answer");
    assert!(answer == frame(4096, 1, 9));
    assert_eq!(closed(&busy).await, CLOSE_DONE.into_inner());
    let counts = bench.finish().await;
    assert_eq!((counts.aborted, counts.deferred, counts.answered, counts.stopped), (0, 1, 3, 2));
}

#[tokio::test]
async fn the_drain_deadline_cuts_off_what_does_not_finish() {
    let bench = start("127.0.0.1:0", StreamLimits { drain: SOON, ..StreamLimits::default() });
    let connection = bench.connected().await;
    let asking = tokio::spawn({
        let connection = connection.clone();
        async move { ask_raw(&connection, &frame(64, 1, 0)).await }
    });
    let _never_sent = promises(&bench.echo, 1).await;
    assert_eq!(bench.finish().await.aborted, 1);
    assert_eq!(closed(&connection).await, CLOSE_DONE.into_inner());
    assert!(asking.await.expect("no panic").is_err());
}

/// The first packet of a client.
async fn first_packet(bench: &Bench) -> Vec<u8> {
    let nobody = AsyncUdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let endpoint = Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket");
    let config = bench.client_config(Some(ALPN));
    let address = nobody.local_addr().expect("bound");
    let _connecting = endpoint.connect_with(config, address, "localhost").expect("a good address");
    let mut packet = vec![0; 2048];
    let length = timeout(PATIENCE, nobody.recv(&mut packet)).await.expect("in time").expect("a packet");
    packet.truncate(length);
    packet
}

#[tokio::test]
async fn who_has_not_proved_its_address_gets_a_retry_shorter_than_its_packet_and_no_more() {
    let bench = start("127.0.0.1:0", StreamLimits::default());
    let packet = first_packet(&bench).await;
    let socket = AsyncUdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    socket.connect(bench.address).await.expect("a route");
    let (mut sent, mut got, mut buffer) = (0, 0, vec![0; 2048]);
    for _ in 0..20 {
        for junk in [&[0x80; 700][..], &packet[..1199], &[0xC0; 40]] {
            sent += socket.send(junk).await.expect("sent");
        }
        sent += socket.send(&packet).await.expect("sent");
        let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("in time").expect("an answer");
        // RFC 9000 17.2.5: a long header of type 3.
        assert_eq!(buffer[0] & 0xF0, 0xF0, "a Retry");
        assert!(length < packet.len() / 4, "{length} bytes for {}", packet.len());
        got += length;
    }
    assert!(got < sent);
    assert_eq!(socket.try_recv(&mut buffer).expect_err("no more").kind(), io::ErrorKind::WouldBlock);
    assert_eq!(bench.server.open(), 0, "nothing is kept of who has proved nothing");
    let counts = bench.finish().await;
    assert_eq!((counts.retried, counts.accepted), (20, 0));
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let bench = start("127.0.0.1:0", StreamLimits { handshake: SOON, ..StreamLimits::default() });
    // A network that loses everything from the server but the first packet, which is the Retry.
    let (inside, outside) =
        (AsyncUdpSocket::bind("127.0.0.1:0").await, AsyncUdpSocket::bind("127.0.0.1:0").await);
    let (inside, outside) = (inside.expect("a socket"), outside.expect("a socket"));
    outside.connect(bench.address).await.expect("a route");
    let address = inside.local_addr().expect("bound");
    let network = tokio::spawn(async move {
        let (mut buffer, mut back) = ([0; 2048], None);
        let (mut reply, mut replied) = ([0; 2048], false);
        loop {
            tokio::select! {
                received = inside.recv_from(&mut buffer) => {
                    let (length, from) = received.expect("a packet");
                    back = Some(from);
                    outside.send(&buffer[..length]).await.expect("sent");
                }
                received = outside.recv(&mut reply) => {
                    let length = received.expect("a packet");
                    if let (Some(to), false) = (back, replied) {
                        inside.send_to(&reply[..length], to).await.expect("sent");
                        replied = true;
                    }
                }
            }
        }
    });
    let endpoint = Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket");
    let config = bench.client_config(Some(ALPN));
    let connecting = endpoint.connect_with(config, address, "localhost").expect("a good address");
    let counted = async {
        while bench.counters.snapshot().handshake_timeout == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, counted).await.expect("the server gives up in time");
    network.abort();
    drop(connecting);
    let counts = bench.finish().await;
    assert_eq!((counts.accepted, counts.handshake_timeout), (1, 1));
}
