//! The worker itself: its loop does not allocate, and its end is noticed.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tekd::engine::{Moment, Respond, Slot};
use tekd::transport::xdp::{XdpWorker, attach};

use super::echo::{Echo, ask_in_windows};
use super::network::{CLIENT_SIDE, CLIENT_V4, Network, inside};
use super::server::{NEVER, until};

/// Tells the asking half of a test whom to ask, and how often.
const ASKED: &str = "TEKD_TEST_ASKED";

/// Answers nobody.
struct Panics;

impl Respond for Panics {
    fn respond(&mut self, _now: Moment, _slots: &mut [Slot<'_>]) {
        panic!("on purpose");
    }
}

/// The half that asks, where the other end of the pair is; nothing unless it is told whom.
#[test]
fn asks_if_it_is_told_whom() {
    let Ok(told) = std::env::var(ASKED) else { return };
    let (address, datagrams) = told.split_once(' ').expect("an address and a number");
    let datagrams: usize = datagrams.parse().expect("a number");
    let client = UdpSocket::bind("0.0.0.0:0").expect("an ephemeral port");
    client.connect(address).expect("a route");
    client.set_read_timeout(Some(NEVER)).expect("a timeout");
    ask_in_windows(&client, datagrams);
}

/// Has the other half ask `address` that often.
fn have_asked(network: &Network, address: SocketAddr, datagrams: usize) {
    let words = network.at_server();
    let asked = Command::new(&words[0])
        .args(&words[1..])
        .arg(std::env::current_exe().expect("a test program"))
        .args(["--exact", "worker::asks_if_it_is_told_whom", "--nocapture"])
        .env(ASKED, format!("{address} {datagrams}"))
        .output()
        .expect("`ip` of iproute2 can be run");
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.success(), "{said}");
}

/// The allocations of a worker's thread over so many datagrams.
fn allocations_over(network: &Network, datagrams: usize, spoil: bool) -> u64 {
    let beside = UdpSocket::bind((CLIENT_V4, 0)).expect("an ephemeral port");
    let address = beside.local_addr().expect("bound");
    let (attachment, sockets) = attach(CLIENT_SIDE, address, false).expect("attached");
    let allocated = Arc::new(AtomicU64::new(0));
    let start = |socket| {
        let responder = Echo::new(&allocated, spoil);
        let clock = || Moment { unix: 0, monotonic_ms: 0 };
        XdpWorker::spawn("xdp", socket, clock, responder).expect("a thread")
    };
    let workers: Vec<XdpWorker> = sockets.into_iter().map(start).collect();
    assert_eq!(workers.len(), 2);
    have_asked(network, address, datagrams);
    drop(attachment);
    let counters: Vec<_> = workers.iter().map(XdpWorker::counters).collect();
    workers.into_iter().for_each(|worker| worker.join().expect("a clean end"));
    let answered: u64 = counters.iter().map(|counters| counters.snapshot().answered).sum();
    assert_eq!(answered, datagrams as u64);
    allocated.load(Ordering::Relaxed)
}

#[test]
fn four_thousand_datagrams_cost_the_worker_no_allocation() {
    inside("worker::four_thousand_datagrams_cost_the_worker_no_allocation", |network| {
        assert_eq!(allocations_over(network, 4_000, false), 0);
        assert!(allocations_over(network, 500, true) >= 100, "an allocating responder is noticed");
    });
}

#[test]
fn a_queue_is_had_again_at_once_and_one_that_stays_taken_is_told() {
    inside("worker::a_queue_is_had_again_at_once_and_one_that_stays_taken_is_told", |_network| {
        let beside = UdpSocket::bind((CLIENT_V4, 0)).expect("an ephemeral port");
        let address = beside.local_addr().expect("bound");
        for _ in 0..10 {
            attach(CLIENT_SIDE, address, false).expect("the kernel may still be about to free its queues");
        }
        let (attachment, sockets) = attach(CLIENT_SIDE, address, false).expect("attached");
        drop(attachment);
        let error = attach(CLIENT_SIDE, address, false).expect_err("its queues are taken").to_string();
        assert!(error.contains("queue 0") && error.contains("another program has had that queue"), "{error}");
        drop(sockets);
        attach(CLIENT_SIDE, address, false).expect("free again");
    });
}

#[test]
fn a_worker_that_panics_is_noticed_and_the_kernel_has_its_queue_again() {
    inside("worker::a_worker_that_panics_is_noticed_and_the_kernel_has_its_queue_again", |network| {
        let beside = UdpSocket::bind((CLIENT_V4, 0)).expect("an ephemeral port");
        beside.set_read_timeout(Some(NEVER)).expect("a timeout");
        let address = beside.local_addr().expect("bound");
        let (_attachment, sockets) = attach(CLIENT_SIDE, address, false).expect("attached");
        let start = |socket| {
            let clock = || Moment { unix: 0, monotonic_ms: 0 };
            XdpWorker::spawn("xdp", socket, clock, Panics).expect("a thread")
        };
        let workers: Vec<XdpWorker> = sockets.into_iter().map(start).collect();
        let words = network.at_server();
        let shout = |times: usize| {
            // Each from a port of its own, so that every queue has some.
            let script = format!(
                "import socket\nfor i in range({times}):\n s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n \
                 s.sendto(b'!' * 64, ('{}', {}))",
                address.ip(),
                address.port()
            );
            let sent = Command::new(&words[0]).args(&words[1..]).args(["python3", "-c", &script]).status();
            assert!(sent.expect("python3 can be run").success());
        };
        until("both have panicked", || {
            shout(16);
            workers.iter().all(|worker| worker.life().failed()).then_some(())
        });
        let mut buffer = [0; 128];
        shout(1);
        assert_eq!(beside.recv(&mut buffer).expect("by way of the kernel"), 64);
        for worker in workers {
            let error = worker.join().expect_err("it panicked");
            assert_eq!(
                error.to_string(),
                "AF_XDP worker xdp panicked; the kernel's sockets answer for its queue"
            );
        }
    });
}
