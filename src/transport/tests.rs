//! What holds of the server of TLS and of that of QUIC alike.

use std::net::UdpSocket;

use tokio::time::timeout;

use super::fake::{Bench, ECHO, LATER, LONGEST, PANIC, PATIENCE, SOON, Served, echoed, frame};
use super::stream_limits::LONG_ANSWER;
use crate::engine::Peer;
use crate::transport::{MAX_ANSWER, MAX_REQUEST, QuicServer, StreamLimits, TlsServer};

/// Makes of each function a test of each server.
macro_rules! of_both {
    ($($name:ident,)+) => {
        mod tls {
            $(#[tokio::test] async fn $name() { super::$name::<super::TlsServer>().await })+
        }
        mod quic {
            $(#[tokio::test] async fn $name() { super::$name::<super::QuicServer>().await })+
        }
    };
}

of_both! {
    frames_are_echoed_on_both_families_whole_and_split,
    another_protocol_is_not_spoken,
    a_panic_is_counted_and_others_are_served,
    at_the_limit_the_newest_is_refused_and_a_place_comes_back,
    stop_refuses_newcomers_and_lets_a_question_in_flight_finish,
    the_drain_deadline_cuts_off_what_does_not_finish,
    answers_that_are_not_long_arrive_though_others_leave_the_long_ones_unread,
}

async fn frames_are_echoed_on_both_families_whole_and_split<S: Served>() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        if address.starts_with('[') && UdpSocket::bind(address).is_err() {
            eprintln!("skipped: IPv6, which this machine does not have");
            continue;
        }
        let bench = Bench::<S>::start(address, StreamLimits::default());
        let mut line = bench.connected().await;
        let split = S::ask(&mut line, frame(100, ECHO, 3).chunks(1), 100).await;
        assert!(split == frame(100, ECHO, 3));
        assert!(echoed::<S>(&mut line, &frame(MAX_REQUEST, ECHO, 1)).await, "the longest question");
        let longest = S::ask(&mut line, frame(64, LONGEST, 1).chunks(64), MAX_ANSWER).await;
        assert!(longest.len() == MAX_ANSWER && longest[..64] == frame(64, LONGEST, 1));

        let peers = bench.script.peers.lock().expect("never poisoned").clone();
        let peer = Peer { ip: bench.running.address.ip(), port: peers[0].port, carrier: S::CARRIER };
        assert_eq!(peers, vec![peer; 4]);
        S::leave(line).await;
        bench.until(|counts| counts.closed > 0).await;
        let counts = bench.finish().await;
        assert_eq!((counts.accepted, counts.requests, counts.answered, counts.closed), (1, 4, 4, 1));
    }
}

async fn another_protocol_is_not_spoken<S: Served>() {
    let bench = Bench::<S>::start("127.0.0.1:0", StreamLimits::default());
    assert!(S::connect(&bench, Some(b"h3")).await.is_none());
    bench.connected().await;
    assert_eq!(bench.finish().await.handshake_failed, 1);
}

async fn a_panic_is_counted_and_others_are_served<S: Served>() {
    let bench = Bench::<S>::start("127.0.0.1:0", StreamLimits::default());
    let mut line = bench.connected().await;
    assert_eq!(S::ask(&mut line, frame(64, PANIC, 0).chunks(64), 64).await, b"");
    bench.connected().await;
    assert_eq!(bench.finish().await.panicked, 1);
}

async fn at_the_limit_the_newest_is_refused_and_a_place_comes_back<S: Served>() {
    let bench = Bench::<S>::start("127.0.0.1:0", StreamLimits { connections: 2, ..StreamLimits::default() });
    let (mut first, second) = (bench.connected().await, bench.connected().await);
    assert!(bench.connect().await.is_none());
    assert_eq!((bench.counts().refused, bench.running.server.connections()), (1, 2));
    assert!(echoed::<S>(&mut first, &frame(64, ECHO, 1)).await, "the first is still served");
    S::leave(second).await;
    let again = async {
        loop {
            if let Some(mut line) = bench.connect().await {
                break echoed::<S>(&mut line, &frame(64, ECHO, 2)).await;
            }
        }
    };
    assert!(timeout(PATIENCE, again).await.expect("a place in time"));
    let counts = bench.finish().await;
    assert_eq!(counts.accepted, counts.refused + 3);
}

async fn stop_refuses_newcomers_and_lets_a_question_in_flight_finish<S: Served>() {
    let bench = Bench::<S>::start("127.0.0.1:0", StreamLimits::default());
    let (mut idle, mut busy) = (bench.connected().await, bench.connected().await);
    let stopping = async {
        let sender = bench.script.promise().await;
        bench.stop.send_replace(true);
        S::ended(&mut idle).await;
        let refused = async { while bench.connect().await.is_some() {} };
        timeout(PATIENCE, refused).await.expect("the server takes no newcomer");
        sender.send(frame(4096, LATER, 9)).expect("the stream waits");
    };
    let question = frame(64, LATER, 0);
    let (answer, ()) = tokio::join!(S::ask(&mut busy, question.chunks(64), 4096), stopping);
    assert!(answer == frame(4096, LATER, 9));
    S::ended(&mut busy).await;
    let counts = bench.finish().await;
    assert_eq!((counts.aborted, counts.deferred, counts.answered), (0, 1, 3));
    assert!(counts.stopped >= 2, "{counts:?}");
}

async fn the_drain_deadline_cuts_off_what_does_not_finish<S: Served>() {
    let bench = Bench::<S>::start("127.0.0.1:0", StreamLimits { drain: SOON, ..StreamLimits::default() });
    let mut line = bench.connected().await;
    let question = frame(64, LATER, 0);
    let finished = async move {
        let _never_sent = bench.script.promise().await;
        bench.finish().await
    };
    let (answer, counts) = tokio::join!(S::ask(&mut line, question.chunks(64), 64), finished);
    assert_eq!((answer, counts.aborted), (vec![], 1));
    S::ended(&mut line).await;
}

async fn answers_that_are_not_long_arrive_though_others_leave_the_long_ones_unread<S: Served>() {
    let limits = StreamLimits { pending_bytes: MAX_ANSWER, ..StreamLimits::default() };
    let bench = Bench::<S>::start("127.0.0.1:0", limits);
    let unread = S::hoard(&bench).await;
    let spent = async { while takes_the_longest(&bench).await {} };
    timeout(PATIENCE, spent).await.expect("the budget is spent in time");

    let mut line = bench.connected().await;
    assert!(echoed::<S>(&mut line, &frame(MAX_REQUEST, ECHO, 1)).await, "at once");
    for length in [MAX_REQUEST, LONG_ANSWER] {
        let question = frame(64, LATER, 0);
        let keep_promise = async {
            let sender = bench.script.promise().await;
            sender.send(frame(length, LATER, 9)).expect("the stream waits");
        };
        let (answer, ()) = tokio::join!(S::ask(&mut line, question.chunks(64), length), keep_promise);
        assert!(answer == frame(length, LATER, 9), "{length} bytes, later");
    }
    assert!(!takes_the_longest(&bench).await, "the budget is spent still");
    let over_budget = bench.counts().over_budget;
    assert!(over_budget >= 2, "{over_budget}");
    drop(unread);
    let again = async { while !takes_the_longest(&bench).await {} };
    timeout(PATIENCE, again).await.expect("the budget is given back");
}

/// Whether a newcomer is given a longest answer.
async fn takes_the_longest<S: Served>(bench: &Bench<S>) -> bool {
    let mut line = bench.connect().await.expect("a handshake");
    S::ask(&mut line, frame(64, LONGEST, 0).chunks(64), MAX_ANSWER).await.len() == MAX_ANSWER
}
