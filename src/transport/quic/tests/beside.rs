//! Several endpoints of one server: a connection stays where it began, the limits are totals.

use socket2::{Domain, Protocol, Socket, Type};

use super::*;

/// One more endpoint of the server of `bench`, on `socket`, and what it counts.
fn another(bench: &Bench, socket: UdpSocket) -> (Arc<StreamCounters>, tokio::task::JoinHandle<()>) {
    let server = bench.running.server.beside(socket).expect("a socket that does");
    let (counters, stopping) = (server.counters(), bench.stop.subscribe());
    (counters, tokio::spawn(async move { server.serve(stopping).await }))
}

/// A socket of the same address as that of `bench`.
fn same_address(bench: &Bench) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).expect("a socket");
    socket.set_reuse_port(true).expect("an option");
    socket.bind(&bench.running.address.into()).expect("an address that is shared");
    socket.into()
}

#[tokio::test]
async fn connections_spread_over_the_endpoints_and_stay_where_they_began() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let (other, serving) = another(&bench, same_address(&bench));
    let mut connections = Vec::new();
    let spread = async {
        while bench.counts().accepted == 0 || other.snapshot().accepted == 0 {
            connections.push(bench.connected().await);
        }
    };
    timeout(PATIENCE, spread).await.expect("both endpoints have some");
    for n in 1..20 {
        for connection in &connections {
            exchange(connection, &frame(64 + usize::from(n), ECHO, n)).await.expect("an echo");
        }
    }
    let (here, there) = (bench.counts(), other.snapshot());
    let all = connections.len() as u64;
    assert_eq!((here.accepted + there.accepted, here.answered + there.answered), (all, 20 * all));
    assert_eq!((here.answered, there.answered), (20 * here.accepted, 20 * there.accepted));
    for connection in connections {
        QuicServer::leave(connection).await;
    }
    bench.finish().await;
    timeout(PATIENCE, serving).await.expect("an end in time").expect("no panic");
}

#[tokio::test]
async fn the_limits_are_totals_over_the_endpoints() {
    let limits = StreamLimits { connections: 4, pending_bytes: MAX_ANSWER, ..StreamLimits::default() };
    let bench = Bench::start("127.0.0.1:0", limits);
    let (other, _serving) = another(&bench, same_address(&bench));
    let unread = {
        let connection = bench.narrow().await;
        let recv = begin_longest(&connection).await;
        (connection, recv)
    };
    let mut connections = Vec::new();
    while let Some(connection) = bench.connect().await {
        assert_eq!(
            reset_code(ask_raw(&connection, &frame(64, LONGEST, 0)).await),
            CLOSE_BUSY.into_inner(),
            "the bytes that one endpoint has on their way are missing at each"
        );
        connections.push(connection);
    }
    assert_eq!((connections.len(), bench.running.server.open()), (3, 4));
    let (here, there) = (bench.counts(), other.snapshot());
    assert_eq!((here.accepted + there.accepted, here.refused + there.refused), (5, 1));
    assert_eq!(here.over_budget + there.over_budget, 3);
    drop(unread);
}

#[tokio::test]
async fn what_one_endpoint_had_proved_by_retry_holds_at_another() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let elsewhere = bind_quic("127.0.0.1:0".parse().expect("an address"), 1).expect("a socket").remove(0);
    let second = elsewhere.local_addr().expect("bound");
    let (other, _serving) = another(&bench, elsewhere);
    // A network that takes all but the first packet to another endpoint.
    let inside = AsyncUdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let outside = AsyncUdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let (address, first) = (inside.local_addr().expect("bound"), bench.running.address);
    let network = tokio::spawn(async move {
        let (mut buffer, mut reply) = ([0; 2048], [0; 2048]);
        let (mut back, mut to) = (None, first);
        loop {
            tokio::select! {
                received = inside.recv_from(&mut buffer) => {
                    let (length, from) = received.expect("a packet");
                    back = Some(from);
                    outside.send_to(&buffer[..length], to).await.expect("sent");
                    to = second;
                }
                received = outside.recv_from(&mut reply) => {
                    let (length, _) = received.expect("a packet");
                    inside.send_to(&reply[..length], back.expect("asked first")).await.expect("sent");
                }
            }
        }
    });
    let endpoint = Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket");
    let config = bench.quic_client_config(Some(ALPN));
    let connecting = endpoint.connect_with(config, address, "localhost").expect("a good address");
    let connection = timeout(PATIENCE, connecting).await.expect("in time").expect("a handshake");
    exchange(&connection, &frame(64, ECHO, 1)).await.expect("an echo");
    let (here, there) = (bench.counts(), other.snapshot());
    assert_eq!((here.retried, here.accepted), (1, 0));
    assert_eq!((there.retried, there.accepted, there.answered), (0, 1, 1));
    network.abort();
}
