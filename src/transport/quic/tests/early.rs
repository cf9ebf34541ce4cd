//! Resumption, and questions that come before the handshake is complete.

use quinn::{VarInt, ZeroRttAccepted};
use tokio::sync::Notify;

use super::*;
use crate::transport::fake::LATER;

/// A client that goes on with its sessions and asks early.
fn returning(bench: &Bench) -> ClientConfig {
    let mut config = bench.client_config(&[&rustls::version::TLS13], Some(ALPN));
    config.enable_early_data = true;
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).expect("the suite that QUIC begins with")))
}

/// Connects in full until there is a session to go on with.
async fn come_once(bench: &Bench, config: &ClientConfig) {
    let connection = bench.connect_with(config.clone()).await.expect("a handshake");
    exchange(&connection, &frame(64, ECHO, 1)).await.expect("an echo");
    QuicServer::leave(connection).await;
}

/// A connection that goes on with a session.
fn come_again(endpoint: &Endpoint, config: &ClientConfig, to: SocketAddr) -> (Connection, ZeroRttAccepted) {
    let connecting = endpoint.connect_with(config.clone(), to, "localhost").expect("a good address");
    connecting.into_0rtt().unwrap_or_else(|_| panic!("the server gave a session to go on with"))
}

fn client() -> Endpoint {
    Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket")
}

/// A network that lets the client's packets through up to the server's first answer but the Retry, and then
/// holds them until it is opened. The other way all pass.
async fn holding(to: SocketAddr) -> (SocketAddr, Arc<Notify>, tokio::task::JoinHandle<()>) {
    let inside = AsyncUdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let outside = AsyncUdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    outside.connect(to).await.expect("a route");
    let (address, open) = (inside.local_addr().expect("bound"), Arc::new(Notify::new()));
    let opening = Arc::clone(&open);
    let network = tokio::spawn(async move {
        let (mut buffer, mut reply) = ([0; 2048], [0; 2048]);
        let (mut back, mut held, mut holds) = (None, Vec::new(), false);
        let mut opened = false;
        loop {
            tokio::select! {
                // All that the client sent at a time goes before what the server says to a part of it.
                biased;
                received = inside.recv_from(&mut buffer) => {
                    let (length, from) = received.expect("a packet");
                    back = Some(from);
                    if holds {
                        held.push(buffer[..length].to_vec());
                    } else {
                        outside.send(&buffer[..length]).await.expect("sent");
                    }
                }
                received = outside.recv(&mut reply) => {
                    let length = received.expect("a packet");
                    // RFC 9000 17.2.5: a Retry is a long header of type 3.
                    holds |= !opened && reply[0] & 0xF0 != 0xF0;
                    inside.send_to(&reply[..length], back.expect("asked first")).await.expect("sent");
                }
                () = opening.notified() => {
                    (opened, holds) = (true, false);
                    for packet in held.drain(..) {
                        outside.send(&packet).await.expect("sent");
                    }
                }
            }
        }
    });
    (address, open, network)
}

#[tokio::test]
async fn an_early_read_is_answered_at_once_and_an_early_change_waits_for_the_handshake() {
    // spec 1.5.9
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let config = returning(&bench);
    come_once(&bench, &config).await;
    let (address, open, network) = holding(bench.running.address).await;
    let endpoint = client();
    let (connection, accepted) = come_again(&endpoint, &config, address);
    let (mut change, mut changed) = connection.open_bi().await.expect("a stream");
    change.write_all(&frame(64, LATER, 1)).await.expect("written");
    change.finish().expect("the half is finished");
    let (mut read, mut answer) = connection.open_bi().await.expect("a stream");
    read.write_all(&frame(96, ECHO, 2)).await.expect("written");
    read.finish().expect("the half is finished");

    let got = timeout(PATIENCE, answer.read_to_end(MAX_ANSWER)).await.expect("in time");
    assert!(got.expect("an answer") == frame(96, ECHO, 2), "answered before the handshake is complete");
    bench.until(|counts| counts.early == 2).await;
    let asked = |bench: &Bench| bench.script.peers.lock().expect("never poisoned").len();
    assert_eq!((asked(&bench), bench.counts().deferred), (2, 0), "the change waits");

    open.notify_one();
    assert!(timeout(PATIENCE, accepted).await.expect("in time"), "the server took what came early");
    let promised = timeout(PATIENCE, bench.script.promise()).await.expect("the change is taken now");
    promised.send(frame(64, LATER, 9)).expect("the stream waits");
    let got = timeout(PATIENCE, changed.read_to_end(MAX_ANSWER)).await.expect("in time");
    assert!(got.expect("an answer") == frame(64, LATER, 9));
    assert_eq!(asked(&bench), 3);
    network.abort();
    QuicServer::leave(connection).await;
    assert_eq!(bench.finish().await.early, 2);
}

#[tokio::test]
async fn an_early_change_without_the_rest_of_its_handshake_is_never_taken() {
    // spec 1.5.9
    let bench = Bench::start("127.0.0.1:0", StreamLimits { handshake: 4 * SOON, ..StreamLimits::default() });
    let config = returning(&bench);
    come_once(&bench, &config).await;
    let (address, _never_opened, network) = holding(bench.running.address).await;
    let endpoint = client();
    let (connection, _) = come_again(&endpoint, &config, address);
    let (mut change, _recv) = connection.open_bi().await.expect("a stream");
    change.write_all(&frame(64, LATER, 1)).await.expect("written");
    change.finish().expect("the half is finished");
    bench.until(|counts| counts.handshake_timeout == 1 && counts.lost == 1).await;
    network.abort();
    assert_eq!(bench.script.peers.lock().expect("never poisoned").len(), 1, "the first echo alone");
    let counts = bench.finish().await;
    assert_eq!((counts.early, counts.deferred), (1, 0));
}

#[tokio::test]
async fn a_session_is_good_for_one_early_question() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let endpoint = client();
    let config = returning(&bench);
    come_once(&bench, &config).await;
    // All that a client sends, up to the moment when it would be told of its next session.
    let relay = AsyncUdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let outside = AsyncUdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    outside.connect(bench.running.address).await.expect("a route");
    let address = relay.local_addr().expect("bound");
    let (connection, _) = come_again(&endpoint, &config, address);
    let (mut read, _answer) = connection.open_bi().await.expect("a stream");
    read.write_all(&frame(96, ECHO, 2)).await.expect("written");
    read.finish().expect("the half is finished");
    let (mut buffer, mut reply, mut sent) = ([0; 2048], [0; 2048], Vec::new());
    let recording = async {
        let mut back = None;
        loop {
            tokio::select! {
                received = relay.recv_from(&mut buffer) => {
                    let (length, from) = received.expect("a packet");
                    back = Some(from);
                    sent.push(buffer[..length].to_vec());
                    outside.send(&buffer[..length]).await.expect("sent");
                }
                received = outside.recv(&mut reply) => {
                    let length = received.expect("a packet");
                    relay.send_to(&reply[..length], back.expect("asked first")).await.expect("sent");
                    if reply[0] & 0xF0 != 0xF0 {
                        return;
                    }
                }
            }
        }
    };
    timeout(PATIENCE, recording).await.expect("an answer in time");
    bench.until(|counts| counts.early == 1).await;
    connection.close(VarInt::from_u32(0), b"");
    let forgotten = async {
        while bench.running.server.begin.known() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, forgotten).await.expect("the connection is forgotten in time");
    // The same packets again, from the address that its Retry was for.
    let accepted = bench.counts().accepted;
    for packet in &sent {
        outside.send(packet).await.expect("sent");
    }
    exchange(&bench.connected().await, &frame(64, ECHO, 4)).await.expect("all before is read");
    let counts = bench.counts();
    assert_eq!(counts.accepted - accepted, 2, "the packets begin a connection");
    assert_eq!(counts.early, 1, "and ask nothing again");
}
