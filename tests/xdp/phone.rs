//! A server with AF_XDP on its interface, and sockets that ask it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use tekd::wire::QuestionBuilder;

use super::network::{Network, SERVER_SIDE};
use super::server::{NEVER, Place, Server};

/// Place of the transaction id in a header (spec 1.1.2).
pub(crate) const TXID: std::ops::Range<usize> = 16..24;

/// A place for a server that has AF_XDP on the interface of the network.
pub(crate) fn place(network: &Network, dir: &Path, name: &str) -> Place {
    let any = "[::]:0";
    let place = Place::new(dir, name).with("--udp", any).with("--tls", any).with("--quic", any);
    place.with("--metrics", "off").with("--xdp", SERVER_SIDE).under(&network.at_server())
}

/// One socket that asks about set 1.
pub(crate) struct Phone {
    socket: UdpSocket,
    service: [u8; 8],
    txid: u64,
}

impl Phone {
    /// Asks `server` at `address`.
    pub(crate) fn new(server: &Server, address: IpAddr) -> Self {
        Phone::at(SocketAddr::new(address, server.udp().port()), server.trust().service)
    }

    pub(crate) fn at(server: SocketAddr, service: [u8; 8]) -> Self {
        let any = match server.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, 0)).expect("an ephemeral port");
        socket.connect(server).expect("a route");
        socket.set_read_timeout(Some(NEVER)).expect("a timeout");
        Phone { socket, service, txid: 1 << 40 }
    }

    pub(crate) fn builder(&mut self) -> QuestionBuilder {
        self.txid += 1;
        QuestionBuilder::new(self.service, 1, self.txid)
    }

    pub(crate) fn info(&mut self) -> Vec<u8> {
        let mut frame = vec![0; 64];
        self.builder().info(&mut frame).expect("a question");
        frame
    }

    pub(crate) fn send(&self, datagram: &[u8]) {
        self.socket.send(datagram).expect("sent");
    }

    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        let length = self.socket.recv(&mut buffer).expect("an answer");
        buffer.truncate(length);
        buffer
    }

    pub(crate) fn ask(&self, question: &[u8]) -> Vec<u8> {
        self.send(question);
        let answer = self.receive();
        assert_eq!(answer[TXID], question[TXID], "the answer to another question");
        answer
    }
}

/// The value of an event of AF_XDP, or of the workers of UDP beside it.
pub(crate) fn counted(server: &Server, transport: &str, event: &str) -> u64 {
    server.metric(&format!("tekd_{transport}_total{{event=\"{event}\"}}")) as u64
}
