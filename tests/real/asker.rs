//! One datagram socket and the questions sent from it, well-formed or not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use tekd::wire::QuestionBuilder;

use super::server::NEVER;

/// Place of the transaction id in a header (spec 1.1.2).
pub(crate) const TXID: std::ops::Range<usize> = 16..24;

/// Asks one server about set 1.
pub(crate) struct Asker {
    socket: UdpSocket,
    service: [u8; 8],
    txid: u64,
}

impl Asker {
    pub(crate) fn new(server: SocketAddr, service: [u8; 8]) -> Self {
        let any = match server.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, 0)).expect("an ephemeral port");
        socket.connect(server).expect("a connected socket");
        socket.set_read_timeout(Some(NEVER)).expect("a timeout");
        Asker { socket, service, txid: 1 << 40 }
    }

    /// Builds questions under a transaction id of their own.
    pub(crate) fn builder(&mut self) -> QuestionBuilder {
        self.txid += 1;
        QuestionBuilder::new(self.service, 1, self.txid)
    }

    pub(crate) fn info(&mut self) -> Vec<u8> {
        let mut frame = vec![0; 64];
        self.builder().info(&mut frame).expect("a question");
        frame
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        // What the kernel says of an earlier datagram to a port that is gone is not about this one.
        let _ = self.socket.send(frame);
    }

    #[track_caller]
    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        let length = self.socket.recv(&mut buffer).expect("an answer");
        buffer.truncate(length);
        buffer
    }

    /// Sends a frame; the next datagram has to be its answer.
    #[track_caller]
    pub(crate) fn ask(&self, frame: &[u8]) -> Vec<u8> {
        self.send(frame);
        let answer = self.receive();
        assert_eq!(answer[TXID], frame[TXID], "the answer to another question");
        answer
    }
}
