//! What QUIC alone shows, on loopback; what it shares with TLS stands in `transport::tests`.

use std::net::SocketAddr;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ReadToEndError, RecvStream, TransportConfig, WriteError};
use tokio::net::UdpSocket as AsyncUdpSocket;
use tokio::sync::mpsc;

use std::time::Duration;

use super::super::frame::MAX_REQUEST;
use super::super::quic_config::{CLOSE_BUSY, CLOSE_FRAME, CLOSE_SLOW, MAX_STREAMS};
use super::super::stream_limits::{LONG_ANSWER, SHARE_BYTES};
use super::*;
use crate::engine::Carrier;
use crate::transport::fake::{
    ECHO, IGNORE, IMPOSSIBLE, LATER, LONGEST, PANIC, PATIENCE, Running, SOON, Script, Served, frame,
};
use crate::transport::{ALPN, MAX_ANSWER, bind_quic};

mod beside;
mod datagrams;
mod early;

type Bench = crate::transport::fake::Bench<QuicServer>;

impl Served for QuicServer {
    type Line = Connection;
    type Unread = (Connection, RecvStream);
    const CARRIER: Carrier = Carrier::Quic;

    fn start(
        at: SocketAddr,
        config: Arc<ServerConfig>,
        script: Arc<Script>,
        limits: StreamLimits,
        stopping: watch::Receiver<bool>,
    ) -> Running<Self> {
        let socket = bind_quic(at, 1).expect("an ephemeral port").remove(0);
        let address = socket.local_addr().expect("bound");
        let server = Arc::new(QuicServer::new(config, socket, script, limits).expect("a server"));
        let serving = tokio::spawn({
            let server = Arc::clone(&server);
            async move { server.serve(stopping).await }
        });
        Running { address, counters: server.counters(), server, serving }
    }

    fn connections(&self) -> usize {
        self.open()
    }

    async fn connect(bench: &Bench, alpn: Option<&[u8]>) -> Option<Self::Line> {
        bench.connect_with(bench.quic_client_config(alpn)).await.ok()
    }

    async fn ask(line: &mut Self::Line, pieces: std::slice::Chunks<'_, u8>, _length: usize) -> Vec<u8> {
        ask_in_pieces(line, pieces).await.unwrap_or_default()
    }

    async fn hoard(bench: &Bench) -> Self::Unread {
        let connection = bench.narrow().await;
        let unread = begin_longest(&connection).await;
        (connection, unread)
    }

    async fn ended(line: &mut Self::Line) {
        match timeout(PATIENCE, line.closed()).await.expect("the server closes") {
            quinn::ConnectionError::ApplicationClosed(close) => assert_eq!(close.error_code, CLOSE_DONE),
            other => panic!("closed with {other}"),
        }
    }

    async fn leave(line: Self::Line) {
        line.close(CLOSE_DONE, b"");
    }
}

impl Bench {
    fn quic_client_config(&self, alpn: Option<&[u8]>) -> ClientConfig {
        let config = self.client_config(&[&rustls::version::TLS13], alpn);
        ClientConfig::new(Arc::new(
            QuicClientConfig::try_from(config).expect("the suite that QUIC begins with"),
        ))
    }

    async fn connect_with(&self, config: ClientConfig) -> Result<Connection, quinn::ConnectionError> {
        let address = self.running.address;
        let any = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let endpoint = Endpoint::client(any.parse().expect("an address")).expect("a socket");
        let connecting = endpoint.connect_with(config, address, "localhost").expect("a good address");
        timeout(PATIENCE, connecting).await.expect("a handshake in time")
    }

    /// A client that takes a kilobyte of each answer ahead.
    async fn narrow(&self) -> Connection {
        let mut config = self.quic_client_config(Some(ALPN));
        let mut narrow = TransportConfig::default();
        narrow.stream_receive_window(1024u32.into());
        config.transport_config(Arc::new(narrow));
        self.connect_with(config).await.expect("a handshake")
    }
}

/// Asks on a stream of its own; gives whatever the server sent before it finished.
async fn ask_in_pieces(
    connection: &Connection,
    pieces: std::slice::Chunks<'_, u8>,
) -> Result<Vec<u8>, ReadToEndError> {
    let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
    for piece in pieces {
        // A server that has seen enough stops the stream under the writer.
        let _ = send.write_all(piece).await;
        tokio::task::yield_now().await;
    }
    let _ = send.finish();
    timeout(PATIENCE, recv.read_to_end(MAX_ANSWER)).await.expect("an end in time")
}

async fn ask_raw(connection: &Connection, bytes: &[u8]) -> Result<Vec<u8>, ReadToEndError> {
    ask_in_pieces(connection, bytes.chunks(usize::MAX)).await
}

/// Asks for a longest answer and takes only its first byte.
async fn begin_longest(connection: &Connection) -> RecvStream {
    let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
    send.write_all(&frame(64, LONGEST, 0)).await.expect("written");
    send.finish().expect("the half is finished");
    timeout(PATIENCE, recv.read_exact(&mut [0])).await.expect("in time").expect("a first byte");
    recv
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

#[tokio::test]
async fn questions_side_by_side_are_answered_each_on_its_stream() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let connection = bench.connected().await;
    let mut asking = JoinSet::new();
    for n in 0..50u8 {
        let connection = connection.clone();
        let request = frame(64 + 80 * usize::from(n), ECHO, n);
        asking.spawn(async move { exchange(&connection, &request).await.expect("an echo") });
    }
    assert_eq!(asking.join_all().await.len(), 50);
    QuicServer::leave(connection).await;
    bench.until(|counts| counts.closed > 0).await;
    let counts = bench.finish().await;
    assert_eq!((counts.accepted, counts.retried, counts.closed), (1, 1, 1));
    assert_eq!((counts.streams, counts.requests, counts.answered, counts.unacknowledged), (51, 51, 51, 0));
}

#[tokio::test]
async fn only_our_protocol_is_spoken_and_nothing_else_is_opened() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    assert!(QuicServer::connect(&bench, None).await.is_none());
    let connection = bench.connected().await;
    assert!(connection.max_datagram_size().is_some(), "datagrams are taken");
    tokio::select! {
        biased;
        opened = connection.open_uni() => panic!("a stream of one direction: {opened:?}"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(bench.finish().await.handshake_failed, 1);
}

#[tokio::test]
async fn what_is_not_one_frame_ends_its_stream_alone_with_a_counted_reason() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let connection = bench.connected().await;
    let mut short = frame(64, ECHO, 0);
    short[4] = 63;
    let two = [frame(64, ECHO, 1), frame(64, ECHO, 2)].concat();
    let junk = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    let bad = [
        frame(4097, ECHO, 0),
        frame(100_000, ECHO, 0),
        short,
        junk,
        two,
        frame(64, ECHO, 0)[..63].to_vec(),
        vec![],
    ];
    for bytes in bad {
        assert_eq!(reset_code(ask_raw(&connection, &bytes).await), CLOSE_FRAME.into_inner());
        exchange(&connection, &frame(64, ECHO, 9)).await.expect("the connection goes on");
    }
    let counts = bench.finish().await;
    assert_eq!((counts.long_request, counts.short_request, counts.first_byte), (2, 1, 1));
    assert_eq!((counts.second_frame, counts.truncated, counts.answered), (1, 2, 8));
}

#[tokio::test]
async fn silence_a_defect_and_a_panic_each_cost_one_stream() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let connection = bench.connected().await;
    assert_eq!(ask_raw(&connection, &frame(64, IGNORE, 0)).await.expect("finished"), b"");
    assert_eq!(reset_code(ask_raw(&connection, &frame(64, IMPOSSIBLE, 0)).await), CLOSE_BUSY.into_inner());
    assert_eq!(ask_raw(&connection, &frame(64, PANIC, 0)).await.expect("finished"), b"");
    exchange(&connection, &frame(64, ECHO, 1)).await.expect("the connection goes on");
    let counts = bench.finish().await;
    assert_eq!((counts.ignored, counts.bad_answer, counts.panicked, counts.answered), (1, 1, 1, 2));
}

#[tokio::test]
async fn a_stream_over_the_limit_waits_for_one_that_ends() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let connection = bench.connect().await.expect("a handshake");
    let mut waiting = JoinSet::new();
    for _ in 0..MAX_STREAMS {
        let connection = connection.clone();
        waiting.spawn(async move { ask_raw(&connection, &frame(64, LATER, 0)).await.expect("an answer") });
    }
    let promised = bench.script.promises(MAX_STREAMS as usize).await;
    let mut opening = Box::pin(connection.open_bi());
    tokio::select! {
        biased;
        _ = &mut opening => panic!("a stream over the limit"),
        () = std::future::ready(()) => {}
    }
    for sender in promised {
        sender.send(frame(64, LATER, 7)).expect("the stream waits");
    }
    for answer in waiting.join_all().await {
        assert!(answer == frame(64, LATER, 7));
    }
    let opened = timeout(PATIENCE, opening).await.expect("a place in time").expect("a stream");
    drop(opened);
    assert_eq!(bench.finish().await.deferred, u64::from(MAX_STREAMS));
}

#[tokio::test]
async fn promises_that_are_broken_or_late_are_told() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits { later: SOON, ..StreamLimits::default() });
    let connection = bench.connected().await;
    assert_eq!(reset_code(ask_raw(&connection, &frame(64, LATER, 0)).await), CLOSE_BUSY.into_inner());
    let late = bench.script.promises(1).await;
    let request = frame(64, LATER, 0);
    let asking = ask_raw(&connection, &request);
    let (ended, ()) = tokio::join!(asking, async { drop(bench.script.promises(1).await) });
    assert_eq!(reset_code(ended), CLOSE_BUSY.into_inner());
    assert!(late.into_iter().all(|sender| sender.send(Vec::new()).is_err()));
    let counts = bench.finish().await;
    assert_eq!(counts.later_timeout + counts.later_lost, 2);
    assert!(counts.later_timeout >= 1);
}

#[tokio::test]
async fn answers_over_the_budget_are_not_sent() {
    let limits = StreamLimits { pending_bytes: MAX_ANSWER, ..StreamLimits::default() };
    let bench = Bench::start("127.0.0.1:0", limits);
    let connection = bench.narrow().await;
    let mut unread = begin_longest(&connection).await;
    let other = bench.connect().await.expect("a handshake");
    assert_eq!(reset_code(ask_raw(&other, &frame(64, LONGEST, 0)).await), CLOSE_BUSY.into_inner());
    unread.stop(CLOSE_DONE).expect("taken back");
    let again = async { while ask_raw(&other, &frame(64, LONGEST, 0)).await.is_err() {} };
    timeout(PATIENCE, again).await.expect("the budget is given back");
    let counts = bench.finish().await;
    assert!(counts.over_budget >= 1 && counts.withdrawn == 1, "{counts:?}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_one_long_answer_however_many_it_asks_for() {
    let limits = StreamLimits { pending_bytes: 2 * MAX_ANSWER, ..StreamLimits::default() };
    let bench = Bench::start("127.0.0.1:0", limits);
    let greedy = bench.narrow().await;
    let _unread = begin_longest(&greedy).await;
    let mut more = Vec::new();
    for _ in 1..MAX_STREAMS {
        let (mut send, recv) = greedy.open_bi().await.expect("a stream");
        send.write_all(&frame(64, LONGEST, 0)).await.expect("written");
        send.finish().expect("the half is finished");
        more.push(recv);
    }
    bench.until(|counts| counts.streams == u64::from(MAX_STREAMS)).await;
    let modest = bench.connected().await;
    let longest = ask_raw(&modest, &frame(64, LONGEST, 0)).await.expect("within the budget");
    assert_eq!(longest.len(), MAX_ANSWER);
    assert_eq!(bench.counts().requests, 3, "one question of the greedy was taken up");
    QuicServer::leave(greedy).await;
    let counts = bench.finish().await;
    assert_eq!((counts.over_budget, counts.lost), (0, u64::from(MAX_STREAMS)));
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_its_share_of_short_answers_and_the_rest_wait_for_it() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let lazy = bench.narrow().await;
    let mut unread = Vec::new();
    for _ in 0..MAX_STREAMS {
        let (mut send, recv) = lazy.open_bi().await.expect("a stream");
        send.write_all(&frame(64, LATER, 0)).await.expect("written");
        send.finish().expect("the half is finished");
        unread.push(recv);
    }
    for sender in bench.script.promises(MAX_STREAMS as usize).await {
        sender.send(frame(LONG_ANSWER, LATER, 7)).expect("the stream waits");
    }
    let (begun, mut beginning) = mpsc::unbounded_channel();
    let (read_on, _) = watch::channel(false);
    let mut reading = JoinSet::new();
    for mut recv in unread {
        let (begun, mut read_on) = (begun.clone(), read_on.subscribe());
        reading.spawn(async move {
            recv.read_exact(&mut [0]).await.expect("a first byte");
            begun.send(()).expect("counted");
            stopped(&mut read_on).await;
            recv.read_to_end(MAX_ANSWER).await.expect("the others")
        });
    }
    for _ in 0..SHARE_BYTES / LONG_ANSWER {
        timeout(PATIENCE, beginning.recv()).await.expect("in time").expect("a share of them begins");
    }
    let modest = bench.connected().await;
    exchange(&modest, &frame(MAX_REQUEST, ECHO, 0)).await.expect("others are served");
    assert!(beginning.try_recv().is_err(), "the others wait");
    read_on.send_replace(true);
    let answers = timeout(PATIENCE, reading.join_all()).await.expect("in time");
    assert!(answers.iter().all(|answer| *answer == frame(LONG_ANSWER, LATER, 7)[1..]));
    let counts = bench.finish().await;
    assert_eq!((counts.answered, counts.write_timeout), (u64::from(MAX_STREAMS) + 2, 0));
}

#[tokio::test]
async fn who_opens_and_leaves_at_once_is_held_up_though_his_place_is_free() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits { connections: 1, ..StreamLimits::default() });
    let held_up = async {
        while let Some(connection) = bench.connect().await {
            QuicServer::leave(connection).await;
            while bench.running.server.open() > 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    timeout(PATIENCE, held_up).await.expect("refused in time");
    let (refused, open) = (bench.counts().refused, bench.running.server.open());
    assert_eq!((refused, open), (1, 0));
    let again = async { while bench.connect().await.is_none() {} };
    timeout(PATIENCE, again).await.expect("what was known is forgotten in time");
    let counts = bench.finish().await;
    assert!(counts.accepted >= counts.refused + 3, "{counts:?}");
}

#[tokio::test]
async fn a_client_that_does_not_finish_or_does_not_read_is_given_up() {
    let limits = StreamLimits { frame: SOON, write: SOON, ..StreamLimits::default() };
    let bench = Bench::start("127.0.0.1:0", limits);
    let connection = bench.narrow().await;
    for part in [&frame(64, ECHO, 0)[..], &frame(64, ECHO, 0)[..10]] {
        let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
        send.write_all(part).await.expect("written");
        let ended = timeout(PATIENCE, recv.read_to_end(MAX_ANSWER)).await.expect("in time");
        assert_eq!(reset_code(ended), CLOSE_SLOW.into_inner());
        let stopped = timeout(PATIENCE, send.stopped()).await.expect("in time").expect("connected");
        assert_eq!(stopped, Some(CLOSE_SLOW));
        assert_eq!(send.write_all(&[0]).await, Err(WriteError::Stopped(CLOSE_SLOW)));
    }
    let (mut send, mut unread) = connection.open_bi().await.expect("a stream");
    send.write_all(&frame(4096, ECHO, 0)).await.expect("written");
    send.finish().expect("the half is finished");
    let reset = timeout(PATIENCE, unread.received_reset()).await.expect("in time").expect("connected");
    assert_eq!(reset, Some(CLOSE_SLOW));
    exchange(&connection, &frame(64, ECHO, 1)).await.expect("the connection goes on");
    let counts = bench.finish().await;
    assert_eq!((counts.frame_timeout, counts.write_timeout, counts.answered), (2, 1, 1));
}

#[tokio::test]
async fn an_idle_connection_is_closed_though_it_is_kept_alive() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits { idle: SOON, ..StreamLimits::default() });
    let mut config = bench.quic_client_config(Some(ALPN));
    let mut lively = TransportConfig::default();
    lively.keep_alive_interval(Some(Duration::from_millis(5)));
    config.transport_config(Arc::new(lively));
    let mut connection = bench.connect_with(config).await.expect("a handshake");
    QuicServer::ended(&mut connection).await;
    assert_eq!(bench.finish().await.idle_timeout, 1);
}

/// The first packet of a client.
async fn first_packet(bench: &Bench) -> Vec<u8> {
    let nobody = AsyncUdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let endpoint = Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket");
    let config = bench.quic_client_config(Some(ALPN));
    let address = nobody.local_addr().expect("bound");
    let _connecting = endpoint.connect_with(config, address, "localhost").expect("a good address");
    let mut packet = vec![0; 2048];
    let length = timeout(PATIENCE, nobody.recv(&mut packet)).await.expect("in time").expect("a packet");
    packet.truncate(length);
    packet
}

#[tokio::test]
async fn who_has_not_proved_its_address_gets_a_retry_shorter_than_its_packet_and_no_more() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let packet = first_packet(&bench).await;
    let socket = AsyncUdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    socket.connect(bench.running.address).await.expect("a route");
    let (mut sent, mut got, mut buffer) = (0, 0, vec![0; 2048]);
    for _ in 0..20 {
        for junk in [&[0x80; 700][..], &[0x40; 700], &packet[..1199], &[0xC0; 40]] {
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
    assert_eq!(bench.running.server.open(), 0, "nothing is kept of who has proved nothing");
    let counts = bench.finish().await;
    assert_eq!((counts.retried, counts.accepted), (20, 0));
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits { handshake: SOON, ..StreamLimits::default() });
    // A network that loses everything from the server but the first packet, which is the Retry.
    let (inside, outside) =
        (AsyncUdpSocket::bind("127.0.0.1:0").await, AsyncUdpSocket::bind("127.0.0.1:0").await);
    let (inside, outside) = (inside.expect("a socket"), outside.expect("a socket"));
    outside.connect(bench.running.address).await.expect("a route");
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
    let config = bench.quic_client_config(Some(ALPN));
    let connecting = endpoint.connect_with(config, address, "localhost").expect("a good address");
    bench.until(|counts| counts.handshake_timeout > 0).await;
    network.abort();
    drop(connecting);
    let counts = bench.finish().await;
    assert_eq!((counts.accepted, counts.handshake_timeout), (1, 1));
}
