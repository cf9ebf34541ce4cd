//! Questions in DATAGRAM frames: answered in batches, bounded, counted, and never waited for.

use super::*;
use crate::transport::fake::IMPOSSIBLE;
use crate::transport::{BATCH, MAX_DATAGRAM};

/// A client that takes datagrams of `window` bytes in all.
async fn taking(bench: &Bench, window: usize) -> Connection {
    let mut config = bench.quic_client_config(Some(ALPN));
    let mut transport = TransportConfig::default();
    transport.datagram_receive_buffer_size(Some(window));
    config.transport_config(Arc::new(transport));
    bench.connect_with(config).await.expect("a handshake")
}

fn send(connection: &Connection, datagram: Vec<u8>) {
    connection.send_datagram(datagram.into()).expect("sent");
}

async fn next(connection: &Connection) -> Vec<u8> {
    timeout(PATIENCE, connection.read_datagram()).await.expect("in time").expect("connected").to_vec()
}

#[tokio::test]
async fn each_datagram_is_answered_by_one_as_long_as_its_path_takes() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let connection = bench.connected().await;
    for n in 0..5 * BATCH {
        let question = frame(64 + n % 900, ECHO, n as u8);
        send(&connection, question.clone());
        if n % 16 == 0 {
            assert_eq!(next(&connection).await, question);
        } else {
            assert_eq!(next(&connection).await[..], question);
        }
    }
    send(&connection, frame(64, LONGEST, 1));
    let longest = next(&connection).await.len();
    assert!((1100..=MAX_DATAGRAM).contains(&longest), "{longest}");
    let counts = bench.finish().await;
    assert_eq!((counts.datagrams, counts.datagrams_answered), (321, 321));
    assert_eq!((counts.datagrams_ignored, counts.datagrams_unsent, counts.datagrams_lost), (0, 0, 0));
    assert_eq!(counts.answered, 1, "the stream of the first question");
}

#[tokio::test]
async fn many_at_a_time_are_all_answered() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let connection = bench.connected().await;
    let mut open = std::collections::BTreeSet::new();
    for round in 0..20u8 {
        for n in 0..128u8 {
            let question = frame(96, ECHO, n ^ round);
            open.insert(question.clone());
            send(&connection, question);
        }
        while !open.is_empty() {
            assert!(open.remove(&next(&connection).await), "each answer once");
        }
    }
    let counts = bench.finish().await;
    assert_eq!((counts.datagrams, counts.datagrams_answered), (2560, 2560));
}

#[tokio::test]
async fn silence_and_a_defect_cost_one_datagram() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let connection = bench.connected().await;
    for what in [IGNORE, IMPOSSIBLE] {
        send(&connection, frame(64, what, 0));
    }
    send(&connection, Vec::new());
    send(&connection, vec![0xFF]);
    send(&connection, frame(64, ECHO, 7));
    assert_eq!(next(&connection).await, frame(64, ECHO, 7), "nothing else is answered");
    let counts = bench.finish().await;
    assert_eq!((counts.datagrams, counts.datagrams_answered), (5, 1));
    assert_eq!((counts.datagrams_ignored, counts.bad_answer), (3, 1));
}

#[tokio::test]
async fn a_client_that_takes_no_frame_as_long_as_a_header_is_told_nothing() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let connection = taking(&bench, 40).await;
    send(&connection, frame(64, ECHO, 1));
    bench.until(|counts| counts.datagrams_unsent > 0).await;
    exchange(&connection, &frame(64, ECHO, 2)).await.expect("streams go on");
    let counts = bench.finish().await;
    assert_eq!((counts.datagrams, counts.datagrams_unsent, counts.datagrams_answered), (1, 1, 0));
}

#[tokio::test]
async fn a_flood_is_bounded_and_counted_and_others_are_served() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let (flooding, modest) = (bench.connected().await, bench.connected().await);
    let mut sent = 0;
    let flood = async {
        while bench.counts().datagrams_lost == 0 {
            for _ in 0..4096 {
                send(&flooding, vec![0xFF]);
            }
            sent += 4096;
            exchange(&modest, &frame(96, ECHO, 3)).await.expect("others are served");
        }
    };
    timeout(PATIENCE, flood).await.expect("more came than there is room for");
    let counts = bench.finish().await;
    assert_eq!(counts.datagrams, counts.datagrams_ignored);
    assert!(counts.datagrams + counts.datagrams_lost <= sent, "{counts:?}");
}

#[tokio::test]
async fn answers_that_the_network_does_not_take_are_dropped_and_counted() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits::default());
    let connection = bench.connected().await;
    let crowd = async {
        // A short question each, the longest answer: more than the window of a young connection.
        while bench.counts().datagrams_unsent == 0 {
            for n in 0..2 * BATCH {
                send(&connection, frame(64, LONGEST, n as u8));
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, crowd).await.expect("there is not room for all");
    bench.until(|counts| counts.datagrams == counts.datagrams_answered + counts.datagrams_unsent).await;
    exchange(&connection, &frame(64, ECHO, 2)).await.expect("streams go on");
    bench.finish().await;
}

#[tokio::test]
async fn datagrams_keep_a_connection_and_its_stop_ends_it() {
    let bench = Bench::start("127.0.0.1:0", StreamLimits { idle: 20 * SOON, ..StreamLimits::default() });
    let mut connection = bench.connect().await.expect("a handshake");
    let started = tokio::time::Instant::now();
    while started.elapsed() < 30 * SOON {
        send(&connection, frame(64, ECHO, 1));
        assert_eq!(next(&connection).await, frame(64, ECHO, 1));
    }
    bench.stop.send_replace(true);
    QuicServer::ended(&mut connection).await;
    let counts = bench.finish().await;
    assert_eq!((counts.stopped, counts.idle_timeout), (1, 0));
}
