//! The loop of a UDP worker does not allocate: counted per thread, through real sockets.
//!
//! Once with an echo in place of what answers, for the transport alone, and once with the gate of a node
//! that serves a set, question by question.

#[path = "udp_alloc/counting.rs"]
mod counting;
#[path = "udp_alloc/gate.rs"]
mod gate;

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use counting::allocations;
use tekd::engine::{Moment, Outcome, Respond, Slot};
use tekd::transport::{UdpPlan, UdpWorker, bind};

/// Echoes, and publishes how often its thread allocated since its first batch.
struct Echo {
    first: Option<u64>,
    allocated: Arc<AtomicU64>,
    spoil: bool,
}

impl Respond for Echo {
    fn respond(&mut self, _now: Moment, slots: &mut [Slot<'_>]) {
        let now = allocations();
        self.allocated.store(now - *self.first.get_or_insert(now), Ordering::Relaxed);
        for slot in slots {
            if self.spoil {
                std::hint::black_box(Box::new(0u8));
            }
            slot.answer[..slot.request.len()].copy_from_slice(slot.request);
            slot.outcome = Outcome::Respond(slot.request.len());
        }
    }
}

/// Sends `datagrams` through a worker in windows; returns the allocations of its thread.
fn allocations_over(datagrams: usize, spoil: bool) -> u64 {
    const WINDOW: usize = 50;
    let allocated = Arc::new(AtomicU64::new(0));
    let responder = Echo { first: None, allocated: Arc::clone(&allocated), spoil };
    let server = bind("127.0.0.1:0".parse().expect("an address"), 1).expect("a socket").remove(0);
    let address = server.local_addr().expect("bound");
    let clock = || Moment { unix: 0, monotonic_ms: 0 };
    let worker = UdpWorker::spawn("udp-0", server, UdpPlan::default(), clock, responder).expect("a thread");

    let client = UdpSocket::bind("127.0.0.1:0").expect("an ephemeral port");
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut buffer = [0; 2048];
    for window in 0..datagrams / WINDOW {
        for index in 0..WINDOW {
            client.send_to(&buffer[..64 + (window + index) % 1000], address).expect("sent");
        }
        for _ in 0..WINDOW {
            client.recv(&mut buffer).expect("an answer");
        }
    }
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
