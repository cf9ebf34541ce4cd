//! Everything that is not ours passes: other protocols, other ports, frames that are too long or in pieces.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

use tekd::client::{Ask, Carrier, Client, Patience, QuicCarrier, TlsCarrier};
use tekd::engine::{Random, Seeded};
use tekd::wire::MAX_DATAGRAM;
use tekd::wire::question::Sync;

use super::network::{SERVER_V4, SERVER_V6, inside};
use super::phone::{counted, phone, place};
use super::server::{NEVER, Server, until};

fn streamed(carrier: impl Carrier + Send + 'static, server: &Server) {
    let mut random = Seeded::new(7);
    let fill = move |out: &mut [u8]| random.fill(out);
    let patience = Patience { stream_ms: 20_000, ..Patience::default() };
    let mut client =
        Client::new(carrier, server.trust(), 1, fill, std::thread::sleep).with_patience(patience, 30);
    client.ask(&Ask::Sync(Sync { version: 0, history: false })).expect("an answer");
}

#[test]
fn streams_of_tcp_and_quic_pass() {
    inside("passing::streams_of_tcp_and_quic_pass", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let server = place(network, dir.path(), "origin").start().without_decoys();
        server.release();
        for address in [SERVER_V4, SERVER_V6] {
            streamed(TlsCarrier::new(SocketAddr::new(address, server.tls().port()), None), &server);
            streamed(QuicCarrier::new(SocketAddr::new(address, server.quic().port()), None), &server);
        }
        assert_eq!(counted(&server, "xdp", "received"), 0);
        server.stop();
    });
}

#[test]
fn a_port_where_nobody_is_is_refused_by_the_kernel() {
    inside("passing::a_port_where_nobody_is_is_refused_by_the_kernel", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let server = place(network, dir.path(), "origin").start();
        for (own, address) in [("0.0.0.0:0", SERVER_V4), ("[::]:0", SERVER_V6)] {
            let socket = UdpSocket::bind(own).expect("an ephemeral port");
            socket.set_read_timeout(Some(NEVER)).expect("a timeout");
            let (udp, quic) = (server.udp().port(), server.quic().port());
            let closed = (1024..).find(|port| ![udp, quic].contains(port)).expect("there are more ports");
            socket.connect((address, closed)).expect("a route");
            socket.send(&[0x81; 64]).expect("sent");
            // It comes as a message of ICMP, which passes too.
            let refused = socket.recv(&mut [0; 64]).expect_err("nobody is there");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        }
        assert_eq!(counted(&server, "xdp", "received"), 0);
        server.stop();
    });
}

#[test]
fn what_is_too_long_or_in_pieces_is_counted_where_it_belongs() {
    inside("passing::what_is_too_long_or_in_pieces_is_counted_where_it_belongs", |network| {
        let dir = tempfile::tempdir().expect("a directory");
        let server = place(network, dir.path(), "origin").start();
        let mut phone = phone(&server, SERVER_V4);
        // One byte too long fits the longest frame of IPv6; the others do not, one of them not any frame.
        for length in [MAX_DATAGRAM + 1, MAX_DATAGRAM + 100, 4000] {
            phone.send(&vec![0x81; length]);
        }
        until("all counted", || {
            let counts = [counted(&server, "xdp", "oversize"), counted(&server, "udp", "oversize")];
            (counts == [1, 2]).then_some(())
        });
        let info = phone.info();
        phone.ask(&info);
        assert_eq!(counted(&server, "xdp", "answered"), 1);
        server.stop();
    });
}
