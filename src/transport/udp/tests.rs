//! Workers on loopback: echo, limits at the exit, stop, the end of a worker.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::engine::{Outcome, Silence};
use crate::transport::{MAX_DATAGRAM, Steering, bind, receive_cpus, steer};

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const SPINNING: UdpPlan = UdpPlan { cpu: None, spin: true };

/// Answers every slot with what the function says of its request.
struct Answers<F>(F);

impl<F: FnMut(&Slot<'_>) -> (Outcome, bool)> Respond for Answers<F> {
    fn respond(&mut self, _now: Moment, slots: &mut [Slot<'_>]) {
        for slot in slots {
            let shared = slot.request.len().min(slot.answer.len());
            slot.answer[..shared].copy_from_slice(&slot.request[..shared]);
            (slot.outcome, slot.proved) = (self.0)(slot);
        }
    }
}

fn echo(slot: &Slot<'_>) -> (Outcome, bool) {
    (Outcome::Respond(slot.request.len()), false)
}

fn moment() -> Moment {
    Moment { unix: 1_800_000_000, monotonic_ms: 7 }
}

fn local(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Starts workers that answer with `answer`; returns them and their address.
fn serve<F>(address: &str, workers: usize, answer: F) -> (Vec<UdpWorker>, SocketAddr)
where
    F: FnMut(&Slot<'_>) -> (Outcome, bool) + Clone + Send + 'static,
{
    let sockets = bind(local(address), workers).expect("sockets on loopback");
    let address = sockets[0].local_addr().expect("bound");
    let start = |(index, socket): (usize, UdpSocket)| {
        let name = format!("udp-{index}");
        UdpWorker::spawn(&name, socket, SPINNING, moment, Answers(answer.clone())).expect("a thread")
    };
    (sockets.into_iter().enumerate().map(start).collect(), address)
}

/// Whether this machine has IPv6; a test without it says what it skips.
fn has_ipv6() -> bool {
    let has = UdpSocket::bind("[::1]:0").is_ok();
    if !has {
        eprintln!("skipped: IPv6, which this machine does not have");
    }
    has
}

fn client(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(local(address)).expect("an ephemeral port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).expect("an answer");
    (buffer[..length].to_vec(), from)
}

/// Stops all and returns the totals, which must account for every datagram.
fn finish(workers: Vec<UdpWorker>) -> UdpCounts {
    let counters: Vec<_> = workers.iter().map(UdpWorker::counters).collect();
    workers.into_iter().for_each(|worker| worker.join().expect("a clean end"));
    let mut total = UdpCounts::default();
    counters.iter().for_each(|c| total += c.snapshot());
    let ends = total.answered + total.ignored + total.oversize + total.send_errors + total.amplify_blocked;
    assert_eq!(total.received, ends, "{total:?}");
    total
}

#[test]
fn four_workers_answer_many_sources_on_both_families() {
    for (server, source) in
        [("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0"), ("[::]:0", "127.0.0.1:0")]
    {
        if server.starts_with('[') && !has_ipv6() {
            continue;
        }
        let (workers, mut address) = serve(server, 4, echo);
        if server == "[::]:0" {
            address = SocketAddr::new(local(source).ip(), address.port());
        }
        let clients: Vec<UdpSocket> = (0..64).map(|_| client(source)).collect();
        for (index, socket) in clients.iter().enumerate() {
            for round in 0..4u8 {
                socket.send_to(&vec![round; 64 + index], address).expect("sent");
            }
        }
        for (index, socket) in clients.iter().enumerate() {
            for round in 0..4u8 {
                assert_eq!(receive(socket), (vec![round; 64 + index], address));
            }
        }
        let busy = workers.iter().filter(|w| w.counters().snapshot().received > 0).count();
        assert!(busy >= 2, "the kernel spreads 64 sources over the workers, not {busy}");
        let counts = finish(workers);
        assert_eq!((counts.received, counts.answered), (256, 256));
        assert_eq!(counts.bytes_in, counts.bytes_out);
    }
}

#[test]
fn the_answer_leaves_from_the_address_that_was_asked() {
    let (workers, address) = serve("0.0.0.0:0", 1, echo);
    for asked in ["127.0.0.1", "127.0.0.2", "127.9.8.7"] {
        let asked = SocketAddr::new(asked.parse().expect("an address"), address.port());
        let socket = client("0.0.0.0:0");
        socket.send_to(&[0x80; 64], asked).expect("sent");
        assert_eq!(receive(&socket).1, asked);
    }
    finish(workers);
}

#[test]
fn the_responder_sees_the_peer_and_the_moment() {
    struct Witness(mpsc::Sender<(Moment, Peer)>);
    impl Respond for Witness {
        fn respond(&mut self, now: Moment, slots: &mut [Slot<'_>]) {
            slots.iter().for_each(|slot| self.0.send((now, slot.peer)).expect("the test listens"));
        }
    }
    let (seen, peers) = mpsc::channel();
    let every = if has_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = bind(local(every), 1).expect("a socket").remove(0);
    let port = socket.local_addr().expect("bound").port();
    let worker =
        UdpWorker::spawn("udp-0", socket, UdpPlan::default(), moment, Witness(seen)).expect("a thread");
    let socket = client("127.0.0.1:0");
    socket.send_to(&[0x80; 64], SocketAddr::new(local("127.0.0.1:0").ip(), port)).expect("sent");
    let source = socket.local_addr().expect("bound");
    let peer = Peer { ip: source.ip(), port: source.port(), carrier: Carrier::Udp };
    assert_eq!(peers.recv_timeout(PATIENCE).expect("a batch"), (moment(), peer));
    worker.join().expect("a clean end");
}

#[test]
fn an_exact_datagram_is_answered_and_one_byte_more_is_not() {
    let (workers, address) = serve("127.0.0.1:0", 1, echo);
    let socket = client("127.0.0.1:0");
    for length in [MAX_DATAGRAM + 1, 9000, MAX_DATAGRAM] {
        socket.send_to(&vec![0x81; length], address).expect("sent");
    }
    assert_eq!(receive(&socket).0.len(), MAX_DATAGRAM);
    let counts = finish(workers);
    assert_eq!((counts.received, counts.oversize, counts.answered), (3, 2, 1));
}

#[test]
fn a_proved_source_may_get_more_than_it_asked_with() {
    let (workers, address) = serve("127.0.0.1:0", 1, |_| (Outcome::Respond(MAX_DATAGRAM), true));
    let socket = client("127.0.0.1:0");
    socket.send_to(&[0x80; 64], address).expect("sent");
    assert_eq!(receive(&socket).0.len(), MAX_DATAGRAM);
    finish(workers);
}

#[test]
fn silence_is_silent_and_counted() {
    let (workers, address) = serve("127.0.0.1:0", 1, |slot| match slot.request[0] {
        0 => (Outcome::Ignore(Silence::FirstByte), false),
        _ => echo(slot),
    });
    let socket = client("127.0.0.1:0");
    for first in [0, 1, 0, 2] {
        socket.send_to(&[first; 64], address).expect("sent");
    }
    assert_eq!([receive(&socket).0[0], receive(&socket).0[0]], [1, 2]);
    let counts = finish(workers);
    assert_eq!((counts.ignored, counts.answered), (2, 2));
}

#[test]
fn an_amplifying_answer_never_leaves_is_counted_and_ends_a_checked_build() {
    let (mut workers, address) =
        serve("127.0.0.1:0", 1, |slot| (Outcome::Respond(slot.request.len() + 1), false));
    let socket = client("127.0.0.1:0");
    socket.send_to(&[0x80; 64], address).expect("sent");
    let worker = workers.remove(0);
    let (counters, deadline) = (worker.counters(), Instant::now() + PATIENCE);
    while counters.snapshot().amplify_blocked == 0 || (cfg!(debug_assertions) && !worker.life().failed()) {
        assert!(Instant::now() < deadline, "the worker never met its answer");
        thread::yield_now();
    }
    assert_eq!(counters.snapshot().answered, 0);
    assert_eq!(worker.join().is_err(), cfg!(debug_assertions));
}

#[test]
fn a_worker_that_panics_is_noticed() {
    let (mut workers, address) = serve("127.0.0.1:0", 1, |_| panic!("on purpose"));
    let worker = workers.remove(0);
    assert!(!worker.life().failed());
    client("127.0.0.1:0").send_to(&[0x80; 64], address).expect("sent");
    let deadline = Instant::now() + PATIENCE;
    while !worker.life().failed() {
        assert!(Instant::now() < deadline, "the panic went unnoticed");
        thread::yield_now();
    }
    assert!(matches!(worker.join(), Err(UdpError::Panicked { worker }) if worker == "udp-0"));
}

#[test]
fn stop_is_prompt_when_idle() {
    let (workers, _) = serve("127.0.0.1:0", 4, echo);
    let start = Instant::now();
    finish(workers);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn what_is_queued_at_stop_is_still_answered() {
    let (entered, first) = mpsc::channel();
    let (release, held) = mpsc::channel();
    let socket = bind(local("127.0.0.1:0"), 1).expect("a socket").remove(0);
    let address = socket.local_addr().expect("bound");
    let mut hold = Some((entered, held));
    let answer = Answers(move |slot: &Slot<'_>| {
        if let Some((entered, held)) = hold.take() {
            entered.send(()).expect("the test listens");
            let _: () = held.recv_timeout(PATIENCE).expect("the test lets go");
        }
        echo(slot)
    });
    let worker = UdpWorker::spawn("udp-0", socket, UdpPlan::default(), moment, answer).expect("a thread");
    let socket = client("127.0.0.1:0");
    socket.send_to(&[0x80; 64], address).expect("sent");
    first.recv_timeout(PATIENCE).expect("the worker is busy");
    for _ in 0..3 * BATCH {
        socket.send_to(&[0x80; 64], address).expect("sent");
    }
    worker.stop();
    release.send(()).expect("the worker waits");
    let counters = worker.counters();
    worker.join().expect("a clean end");
    assert_eq!(counters.snapshot().answered, 1 + 3 * BATCH as u64);
}

#[test]
fn what_the_kernel_dropped_is_counted() {
    let (entered, first) = mpsc::channel();
    let (release, held) = mpsc::channel();
    let socket = bind(local("127.0.0.1:0"), 1).expect("a socket").remove(0);
    socket2::SockRef::from(&socket).set_recv_buffer_size(16 << 10).expect("a small buffer");
    let address = socket.local_addr().expect("bound");
    let mut hold = Some((entered, held));
    let answer = Answers(move |slot: &Slot<'_>| {
        if let Some((entered, held)) = hold.take() {
            entered.send(()).expect("the test listens");
            let _: () = held.recv_timeout(PATIENCE).expect("the test lets go");
        }
        (Outcome::Ignore(Silence::Limited), slot.proved)
    });
    let worker = UdpWorker::spawn("udp-0", socket, UdpPlan::default(), moment, answer).expect("a thread");
    let socket = client("127.0.0.1:0");
    socket.send_to(&[0x80; 64], address).expect("sent");
    first.recv_timeout(PATIENCE).expect("the worker is busy");
    for _ in 0..500 {
        socket.send_to(&[0x80; 1232], address).expect("sent");
    }
    release.send(()).expect("the worker waits");
    let (counters, deadline) = (worker.counters(), Instant::now() + PATIENCE);
    // The count of drops arrives with a datagram received after them.
    while counters.snapshot().rx_overflow == 0 {
        assert!(Instant::now() < deadline, "no drop was reported");
        socket.send_to(&[0x80; 64], address).expect("sent");
        thread::yield_now();
    }
    worker.join().expect("a clean end");
}

/// Sends `bytes` to `address` as one train with cars of `car` bytes.
fn send_train(bytes: &[u8], car: usize, address: SocketAddr) -> UdpSocket {
    let socket = client(if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
    options::send_trains(socket.as_fd(), car as i32).expect("a kernel that cuts trains");
    assert_eq!(socket.send_to(bytes, address).expect("sent"), bytes.len());
    options::send_trains(socket.as_fd(), 0).expect("an option");
    socket
}

/// Cars of 96 bytes that begin with their number, and a last one of 64.
fn questions(count: u8) -> Vec<Vec<u8>> {
    let length = |at: u8| if at + 1 == count { 64 } else { 96 };
    (0..count).map(|at| [vec![0x80, at], vec![at; length(at) - 2]].concat()).collect()
}

#[test]
fn a_train_is_answered_by_a_train_car_by_car() {
    for server in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
        if server.starts_with('[') && !has_ipv6() {
            continue;
        }
        let (workers, mut address) = serve(server, 1, echo);
        if address.ip().is_unspecified() {
            address.set_ip(local("127.0.0.2:0").ip());
        }
        let questions = questions(50);
        let socket = send_train(&questions.concat(), 96, address);
        for question in &questions {
            assert_eq!(receive(&socket), (question.clone(), address));
        }
        let counts = finish(workers);
        assert_eq!((counts.received, counts.answered), (50, 50), "{server}");
        assert_eq!(counts.bytes_in, 49 * 96 + 64);
        assert!((1..50).contains(&counts.trains), "{counts:?}");
    }
}

#[test]
fn cars_without_an_answer_leave_gaps_and_no_car_goes_astray() {
    let (workers, address) = serve("127.0.0.1:0", 1, |slot| match slot.request[1] % 3 {
        0 => (Outcome::Ignore(Silence::Reply), false),
        1 => (Outcome::Respond(64), false),
        _ => echo(slot),
    });
    let questions = questions(60);
    let socket = send_train(&questions.concat(), 96, address);
    for (at, question) in questions.iter().enumerate().filter(|(at, _)| at % 3 != 0) {
        let length = if at % 3 == 1 { 64 } else { question.len() };
        assert_eq!(receive(&socket).0, question[..length], "car {at}");
    }
    let counts = finish(workers);
    assert_eq!((counts.received, counts.answered, counts.ignored), (60, 40, 20));
}

#[test]
fn where_no_train_can_leave_each_car_goes_alone() {
    let socket = bind(local("127.0.0.1:0"), 1).expect("a socket").remove(0);
    options::refuse_trains(socket.as_fd()).expect("an option");
    let address = socket.local_addr().expect("bound");
    let worker = UdpWorker::spawn("udp-0", socket, SPINNING, moment, Answers(echo)).expect("a thread");
    let questions = questions(40);
    let socket = send_train(&questions.concat(), 96, address);
    for question in &questions {
        assert_eq!(receive(&socket).0, *question);
    }
    let counts = finish(vec![worker]);
    assert_eq!((counts.answered, counts.trains, counts.send_errors), (40, 0, 0));
}

#[test]
fn a_train_of_cars_that_are_too_long_is_dropped_unread() {
    let (workers, address) = serve("127.0.0.1:0", 1, echo);
    let socket = send_train(&vec![0x80; 10 * (MAX_DATAGRAM + 1)], MAX_DATAGRAM + 1, address);
    socket.send_to(&[0x80; 64], address).expect("sent");
    assert_eq!(receive(&socket).0.len(), 64);
    let counts = finish(workers);
    assert_eq!((counts.received, counts.oversize, counts.answered), (11, 10, 1));
}

#[test]
fn what_the_kernel_drops_is_counted() {
    let socket = bind(local("127.0.0.1:0"), 1).expect("a socket").remove(0);
    let address = socket.local_addr().expect("bound");
    let (asked, sent) = (client("127.0.0.1:0"), 20_000u32);
    // Nobody takes them, and that many do not fit into any receive buffer that was asked for.
    for _ in 0..sent {
        asked.send_to(&[0x80; MAX_DATAGRAM], address).expect("sent");
    }
    let silent = Answers(|_: &Slot<'_>| (Outcome::Ignore(Silence::Reply), false));
    let worker = UdpWorker::spawn("udp-0", socket, UdpPlan::default(), moment, silent).expect("a thread");
    let counts = finish(vec![worker]);
    assert!(counts.rx_overflow > 0, "{counts:?}");
    assert_eq!(counts.received + counts.rx_overflow, u64::from(sent));
}

#[test]
fn steered_by_processor_each_worker_gets_what_its_own_received() {
    let cpus = receive_cpus().expect("the system's");
    let sockets = bind(local("127.0.0.1:0"), cpus.len()).expect("sockets");
    let Steering::Cpu(order) = steer(&sockets, &cpus).expect("steered") else {
        return eprintln!("skipped: {} processors, whose numbers give no places", cpus.len());
    };
    let address = sockets[0].local_addr().expect("bound");
    let workers: Vec<UdpWorker> = sockets
        .into_iter()
        .zip(&order)
        .map(|(socket, cpu)| {
            let plan = UdpPlan { cpu: Some(*cpu), spin: false };
            UdpWorker::spawn(&format!("udp-{cpu}"), socket, plan, moment, Answers(echo)).expect("a thread")
        })
        .collect();
    // On loopback the processor that sends is the one that receives.
    for cpu in order {
        let asking = move || {
            steering::stay_on(cpu);
            let clients: Vec<UdpSocket> = (0..16).map(|_| client("127.0.0.1:0")).collect();
            for socket in &clients {
                socket.send_to(&[0x80; 64], address).expect("sent");
                assert_eq!(receive(socket).0, [0x80; 64]);
            }
        };
        thread::spawn(asking).join().expect("answered");
    }
    let each: Vec<_> = workers.iter().map(UdpWorker::counters).collect();
    finish(workers);
    // Only now: a worker counts what it has sent already.
    assert!(each.iter().all(|counters| counters.snapshot().received == 16));
}
