//! Conversations over a pipe in memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::engine::Carrier;
use crate::transport::fake::{ECHO, IGNORE, IMPOSSIBLE, LATER, LONGEST, Script, frame};
use crate::transport::stream_limits::{IDLE_TIMEOUT, LONG_ANSWER};
use crate::transport::{HEADER_BYTES, StreamCounters, StreamCounts, StreamLimits};

const PEER: Peer =
    Peer { ip: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port: 4242, carrier: Carrier::Tls };

struct Bench {
    client: DuplexStream,
    server: JoinHandle<End>,
    counters: Arc<StreamCounters>,
    script: Arc<Script>,
    stop: watch::Sender<bool>,
}

/// A conversation over a pipe of `room` bytes.
fn converse(room: usize, limits: StreamLimits) -> Bench {
    let (client, mut far) = duplex(room);
    let (stop, stopping) = watch::channel(false);
    let script = Arc::new(Script::default());
    let shared = Shared::new(Arc::<Script>::clone(&script), limits);
    let counters = Arc::clone(&shared.counters);
    let server =
        tokio::spawn(async move { Conversation::new(&mut far, PEER, &shared, stopping).run().await });
    Bench { client, server, counters, script, stop }
}

impl Bench {
    async fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.expect("the server reads");
    }

    async fn expect(&mut self, bytes: &[u8]) {
        let mut answer = vec![0; bytes.len()];
        self.client.read_exact(&mut answer).await.expect("an answer");
        assert!(answer == bytes, "another answer of {} bytes", bytes.len());
    }

    async fn end(self) -> (End, StreamCounts) {
        let end = self.server.await.expect("no panic");
        (end, self.counters.snapshot())
    }
}

fn short(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_however_they_are_split() {
    for piece in [1, 7, 64, 1000, 100_000] {
        let mut bench = converse(1 << 16, StreamLimits::default());
        let requests: Vec<Vec<u8>> = (0..9).map(|n| frame(64 + 500 * usize::from(n), ECHO, n)).collect();
        for part in requests.concat().chunks(piece) {
            bench.send(part).await;
            tokio::task::yield_now().await;
        }
        bench.expect(&requests.concat()).await;
        bench.client.shutdown().await.expect("a pipe closes");
        assert_eq!(*bench.script.peers.lock().expect("never poisoned"), vec![PEER; 9]);
        let (end, counts) = bench.end().await;
        assert_eq!((end, counts.requests, counts.answered), (End::Closed, 9, 9));
        assert_eq!((counts.bytes_in, counts.bytes_out), (18_576, 18_576));
    }
}

#[tokio::test]
async fn an_ignored_request_gets_nothing_and_the_stream_goes_on() {
    let mut bench = converse(4096, StreamLimits::default());
    bench.send(&[frame(64, IGNORE, 1), frame(64, ECHO, 2)].concat()).await;
    bench.expect(&frame(64, ECHO, 2)).await;
    assert_eq!(bench.counters.snapshot().ignored, 1);
}

#[tokio::test]
async fn each_bad_frame_ends_the_stream_with_its_own_reason() {
    let too_long = frame(MAX_REQUEST + 1, ECHO, 0);
    let mut too_short = frame(HEADER_BYTES, ECHO, 0);
    too_short[4] = 63;
    let cases = [
        (vec![0x7F], End::FirstByte),
        (vec![0xC0], End::FirstByte),
        (too_long[..8].to_vec(), End::LongRequest),
    ];
    for (bytes, reason) in cases.into_iter().chain([(too_short, End::ShortRequest)]) {
        let mut bench = converse(8192, StreamLimits::default());
        bench.send(&bytes).await;
        assert_eq!(bench.end().await.0, reason);
    }
}

#[tokio::test]
async fn the_longest_request_passes() {
    let mut bench = converse(8192, StreamLimits::default());
    bench.send(&frame(MAX_REQUEST, ECHO, 5)).await;
    bench.expect(&frame(MAX_REQUEST, ECHO, 5)).await;
}

#[tokio::test]
async fn the_longest_answer_passes_and_a_longer_one_is_a_defect() {
    let mut bench = converse(8192, StreamLimits::default());
    bench.send(&frame(64, LONGEST, 5)).await;
    let mut answer = vec![0; MAX_ANSWER];
    bench.client.read_exact(&mut answer).await.expect("the whole answer");
    assert_eq!(answer[..64], frame(64, LONGEST, 5));
    bench.send(&frame(64, IMPOSSIBLE, 5)).await;
    assert_eq!(bench.end().await.0, End::BadAnswer);
}

#[tokio::test]
async fn a_client_that_leaves_within_a_request_is_told_apart() {
    let mut bench = converse(4096, StreamLimits::default());
    bench.send(&frame(64, ECHO, 0)[..63]).await;
    bench.client.shutdown().await.expect("a pipe closes");
    assert_eq!(bench.end().await.0, End::Truncated);
}

#[tokio::test]
async fn a_silent_client_is_idle() {
    let bench = converse(4096, StreamLimits { idle: short(30), ..StreamLimits::default() });
    assert_eq!(bench.end().await.0, End::IdleTimeout);
}

#[tokio::test]
async fn a_request_that_drips_in_does_not_move_its_deadline() {
    let limits = StreamLimits { frame: short(120), ..StreamLimits::default() };
    let mut bench = converse(4096, limits);
    let mut ticks = tokio::time::interval(short(10));
    for byte in frame(64, ECHO, 0) {
        ticks.tick().await;
        if bench.client.write_all(&[byte]).await.is_err() {
            break;
        }
    }
    assert_eq!(bench.end().await.0, End::FrameTimeout);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let limits = StreamLimits { write: short(50), ..StreamLimits::default() };
    let mut bench = converse(4096, limits);
    bench.send(&frame(64, LONGEST, 0)).await;
    assert_eq!(bench.end().await.0, End::WriteTimeout);
}

#[tokio::test]
async fn answers_over_the_common_budget_are_not_begun() {
    let limits = StreamLimits { pending_bytes: MAX_ANSWER - 1, ..StreamLimits::default() };
    let mut bench = converse(4096, limits);
    bench.send(&[frame(64, ECHO, 0), frame(64, LONGEST, 0)].concat()).await;
    bench.expect(&frame(64, ECHO, 0)).await;
    assert_eq!(bench.end().await.0, End::OverBudget);
}

#[test]
fn a_charge_is_given_back_whether_granted_or_not() {
    const LONG: usize = LONG_ANSWER + 1;
    let limits = StreamLimits { pending_bytes: 2 * LONG, ..StreamLimits::default() };
    let shared = Shared::new(Arc::new(Script::default()), limits);
    let held = shared.charge(LONG).expect("within the budget");
    assert!(shared.charge(LONG + 1).is_err());
    drop(held);
    assert!(shared.charge(2 * LONG).is_ok());
}

#[test]
fn only_long_answers_are_charged_and_impossible_ones_refused() {
    let limits = StreamLimits { pending_bytes: LONG_ANSWER, ..StreamLimits::default() };
    let shared = Shared::new(Arc::new(Script::default()), limits);
    let ends = [0, 1, LONG_ANSWER, LONG_ANSWER + 1, MAX_ANSWER, MAX_ANSWER + 1].map(|length| {
        let charged = shared.charge(length);
        charged.map(|charge| charge.is_some())
    });
    let over = Err(End::OverBudget);
    assert_eq!(ends, [Err(End::BadAnswer), Ok(false), Ok(false), over, over, Err(End::BadAnswer)]);
}

#[tokio::test]
async fn a_promised_answer_is_waited_for_and_keeps_its_turn() {
    let mut bench = converse(8192, StreamLimits::default());
    bench.send(&[frame(64, LATER, 1), frame(64, ECHO, 2)].concat()).await;
    let sender = bench.script.promise().await;
    sender.send(frame(4096, LATER, 9)).expect("the stream waits");
    bench.expect(&[frame(4096, LATER, 9), frame(64, ECHO, 2)].concat()).await;
    assert_eq!(bench.counters.snapshot().deferred, 1);
}

#[tokio::test]
async fn a_promise_given_up_or_too_late_ends_the_stream() {
    let mut bench = converse(8192, StreamLimits::default());
    bench.send(&frame(64, LATER, 1)).await;
    drop(bench.script.promise().await);
    assert_eq!(bench.end().await.0, End::LaterLost);

    let mut bench = converse(8192, StreamLimits { later: short(30), ..StreamLimits::default() });
    bench.send(&frame(64, LATER, 1)).await;
    let _kept = bench.script.promise().await;
    assert_eq!(bench.end().await.0, End::LaterTimeout);
}

#[tokio::test]
async fn stop_ends_idle_streams_soon_and_lets_requests_finish() {
    let bench = converse(4096, StreamLimits::default());
    bench.stop.send(true).expect("the server listens");
    assert_eq!(bench.end().await.0, End::Stopped);

    let mut bench = converse(4096, StreamLimits::default());
    bench.send(&frame(64, LATER, 1)).await;
    let sender = bench.script.promise().await;
    bench.stop.send(true).expect("the server listens");
    bench.send(&frame(64, ECHO, 2)).await;
    sender.send(frame(64, LATER, 9)).expect("the stream waits");
    bench.expect(&[frame(64, LATER, 9), frame(64, ECHO, 2)].concat()).await;
    assert_eq!(bench.end().await.0, End::Stopped);
}

#[tokio::test]
async fn what_is_noticed_only_after_stop_is_answered() {
    let mut bench = converse(4096, StreamLimits::default());
    tokio::task::yield_now().await;
    bench.stop.send(true).expect("the server listens");
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    bench.send(&frame(64, ECHO, 1)).await;
    bench.expect(&frame(64, ECHO, 1)).await;
    let began = Instant::now();
    assert_eq!(bench.end().await.0, End::Stopped);
    assert!(began.elapsed() < IDLE_TIMEOUT / 2, "soon");
}

#[tokio::test]
async fn a_stop_whose_owner_is_gone_stops_too() {
    let Bench { client: _open, server, stop, .. } = converse(4096, StreamLimits::default());
    drop(stop);
    assert_eq!(server.await.expect("no panic"), End::Stopped);
}
