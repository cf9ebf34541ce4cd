//! SIGTERM: what is in flight is answered, then the process ends with 0, whoever holds on to it.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use tekd::wire::{FLAG_DRAINING, ResultCode};

use super::answers::{FLAGS, result_of, u16_at};
use super::asker::{Asker, TXID};
use super::imported::import_all;
use super::keys::keys;
use super::server::{Place, Server};
use super::stream::Stream;

/// Questions in flight on each transport.
const IN_FLIGHT: u64 = 50;
/// Longer than any drain of a server that nobody asks any more.
const PROMPT: Duration = Duration::from_secs(8);

fn origin(dir: &std::path::Path) -> Server {
    let origin = Place::new(dir, "origin").start().without_decoys();
    import_all(&origin, &keys(1, 100));
    origin.release();
    origin
}

#[test]
fn what_is_in_flight_at_sigterm_is_answered() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut origin = origin(dir.path());
    let mut asker = Asker::new(origin.udp(), origin.trust().service);
    let mut stream = Stream::open(origin.tls());
    let first = asker.info();
    stream.ask(&first);
    let questions: Vec<Vec<u8>> = (0..IN_FLIGHT).map(|_| asker.info()).collect();
    for question in &questions {
        asker.send(question);
        stream.send(question);
    }
    origin.terminate();
    for question in &questions {
        for answer in [asker.receive(), stream.receive().expect("an answer")] {
            assert_eq!(answer[TXID], question[TXID]);
            assert_eq!(result_of(&answer), ResultCode::Ok);
        }
    }
    assert_eq!(origin.ended().code(), Some(0));
    assert_eq!(stream.receive(), None, "the connection was closed");
    let place = origin.place.clone();
    drop(origin);
    assert!(!place.data.join("control.sock").exists(), "the control socket is gone");
    let again = place.start();
    assert_eq!(again.serial(), 1);
}

#[test]
fn a_draining_server_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = origin(dir.path());
    let mut asker = Asker::new(origin.udp(), origin.trust().service);
    let mut draining = |origin: &Server, request| {
        origin.done(&request);
        let info = asker.info();
        u16_at(&asker.ask(&info), FLAGS) & FLAG_DRAINING
    };
    use tekd::service::control::ControlRequest::{Drain, Undrain};
    assert_eq!(draining(&origin, Drain {}), FLAG_DRAINING);
    origin.release();
    assert_eq!(draining(&origin, Drain {}), FLAG_DRAINING, "also in the next release");
    assert_eq!(draining(&origin, Undrain {}), 0);
}

#[test]
fn nobody_who_holds_on_delays_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut origin = origin(dir.path());
    let idle = Stream::open(origin.tls());
    let unshaken = TcpStream::connect(origin.tls()).expect("a connection");
    let mut slow = TcpStream::connect(origin.ready.metrics.expect("metrics are on")).expect("a connection");
    slow.write_all(b"GET /met").expect("sent");
    let mut operator = UnixStream::connect(&origin.ready.control).expect("a connection");
    operator.write_all(b"{\"command\":").expect("sent");
    let began = Instant::now();
    origin.terminate();
    assert_eq!(origin.ended().code(), Some(0));
    assert!(began.elapsed() < PROMPT, "it took {} ms", began.elapsed().as_millis());
    drop((idle, unshaken, slow, operator));
}

#[test]
fn a_node_ends_promptly_while_its_upstream_keeps_it_waiting() {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = origin(dir.path());
    // Sockets that take everything and answer nothing.
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("an ephemeral port");
    let address = tcp.local_addr().expect("bound");
    let _udp = std::net::UdpSocket::bind(address).expect("the same port");
    let mut node = Place::new(dir.path(), "node").following(address, &origin.ready.trust).start();
    let (_taken, _) = tcp.accept().expect("the node turns to a stream");
    let began = Instant::now();
    node.terminate();
    assert_eq!(node.ended().code(), Some(0));
    assert!(began.elapsed() < PROMPT, "it took {} ms", began.elapsed().as_millis());
}

#[test]
fn sigterm_right_after_the_ready_file_is_a_clean_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), "origin");
    for _ in 0..5 {
        place.start().stop();
    }
    let origin = place.start();
    let info = Asker::new(origin.udp(), origin.trust().service).version();
    assert_eq!(info, 0);
}
