//! The loop of a UDP worker does not allocate: counted per thread, through real sockets.
//!
//! Once with an echo in place of what answers, for the transport alone, and once with the gate of a node
//! that serves a set, question by question.

#[path = "udp_alloc/counting.rs"]
mod counting;
#[path = "udp_alloc/echo.rs"]
mod echo;
#[path = "udp_alloc/gate.rs"]
mod gate;

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use echo::{Echo, ask_in_windows};
use tekd::engine::Moment;
use tekd::transport::{UdpPlan, UdpWorker, bind};

/// Sends `datagrams` through a worker in windows; returns the allocations of its thread.
fn allocations_over(datagrams: usize, spoil: bool) -> u64 {
    let allocated = Arc::new(AtomicU64::new(0));
    let responder = Echo::new(&allocated, spoil);
    let server = bind("127.0.0.1:0".parse().expect("an address"), 1).expect("a socket").remove(0);
    let address = server.local_addr().expect("bound");
    let clock = || Moment { unix: 0, monotonic_ms: 0 };
    let worker = UdpWorker::spawn("udp-0", server, UdpPlan::default(), clock, responder).expect("a thread");

    let client = UdpSocket::bind("127.0.0.1:0").expect("an ephemeral port");
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    client.connect(address).expect("connected");
    ask_in_windows(&client, datagrams);
    let counters = worker.counters();
    worker.join().expect("a clean end");
    assert_eq!(counters.snapshot().answered, datagrams as u64);
    allocated.load(Ordering::Relaxed)
}

#[test]
fn four_thousand_datagrams_cost_the_worker_no_allocation() {
    assert_eq!(allocations_over(4_000, false), 0);
}

#[test]
fn an_allocating_responder_would_be_noticed() {
    assert!(allocations_over(500, true) >= 400);
}
