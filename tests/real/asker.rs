//! One datagram socket and the questions sent from it, well-formed or not.

use std::net::{SocketAddr, UdpSocket};

use tekd::client::{Ask, Client, Patience, QuicCarrier, TlsCarrier, UdpCarrier};
use tekd::engine::{Random, Seeded};
use tekd::release::Trust;
use tekd::wire::layout::ObjectDescriptor;
use tekd::wire::question::{Fetch, Sync};
use tekd::wire::{AnswerBody, QuestionBuilder, ResultCode};

use super::keys::now;
use super::server::{NEVER, until};

/// Place of fields in a header (spec 1.1.2).
pub(crate) const TXID: std::ops::Range<usize> = 16..24;
pub(crate) const COOKIE: std::ops::Range<usize> = 24..32;
pub(crate) const RESULT: std::ops::Range<usize> = 36..38;
pub(crate) const FLAGS: std::ops::Range<usize> = 2..4;
pub(crate) const DETAIL: std::ops::Range<usize> = 48..64;
pub(crate) const VERSION: std::ops::Range<usize> = 40..48;

pub(crate) fn u16_at(frame: &[u8], at: std::ops::Range<usize>) -> u16 {
    u16::from_le_bytes(frame[at].try_into().expect("two bytes"))
}

pub(crate) fn u64_at(frame: &[u8], at: std::ops::Range<usize>) -> u64 {
    u64::from_le_bytes(frame[at].try_into().expect("eight bytes"))
}

/// Asks one server about set 1.
pub(crate) struct Asker {
    socket: UdpSocket,
    service: [u8; 8],
    txid: u64,
}

impl Asker {
    pub(crate) fn new(server: SocketAddr, service: [u8; 8]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("an ephemeral port");
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
        let mut buffer = vec![0; 2048];
        let length = self.socket.recv(&mut buffer).expect("an answer");
        buffer.truncate(length);
        buffer
    }

    /// Sends a frame and takes the next datagram for its answer.
    #[track_caller]
    pub(crate) fn ask(&self, frame: &[u8]) -> Vec<u8> {
        self.send(frame);
        self.receive()
    }

    /// Asserts that a frame gets no answer: the next datagram answers the question after it. One worker
    /// answers in the order of arrival.
    #[track_caller]
    pub(crate) fn silent(&mut self, frame: &[u8], what: &str) {
        self.send(frame);
        let next = self.info();
        let answer = self.ask(&next);
        assert_eq!(answer[TXID], next[TXID], "{what} was answered");
    }

    /// The version the server has, 0 for none.
    #[track_caller]
    pub(crate) fn version(&mut self) -> u64 {
        let info = self.info();
        u64_at(&self.ask(&info), VERSION)
    }
}

/// A client of set 1 by datagrams.
pub(crate) fn udp_client(server: SocketAddr, trust: Trust) -> Client<'static> {
    client(UdpCarrier::new(server), trust)
}

/// A client of set 1 by a stream.
pub(crate) fn tls_client(server: SocketAddr, trust: Trust) -> Client<'static> {
    client(TlsCarrier::new(server, None), trust)
}

/// A client of set 1 by streams of QUIC.
pub(crate) fn quic_client(server: SocketAddr, trust: Trust) -> Client<'static> {
    client(QuicCarrier::new(server, None), trust)
}

fn client(carrier: impl tekd::client::Carrier + Send + 'static, trust: Trust) -> Client<'static> {
    let mut random = Seeded::new(now());
    let patience = Patience { stream_ms: 10_000, ..Patience::default() };
    let client = Client::new(carrier, trust, 1, move |out: &mut [u8]| random.fill(out), std::thread::sleep);
    client.with_patience(patience, 30)
}

/// What SYNC offers from `version` on, once it is made.
#[track_caller]
pub(crate) fn offered(client: &mut Client<'_>, asked: Sync) -> (u64, Vec<ObjectDescriptor>) {
    let reply = client.ask(&Ask::Sync(asked)).expect("an answer");
    let AnswerBody::Sync(answer) = reply.view().body else { panic!("no SYNC answer") };
    let objects = answer.read(asked).expect("objects that lead on").to_vec();
    (reply.view().header.version.get(), objects)
}

/// The bytes of an object.
#[track_caller]
pub(crate) fn fetched(client: &mut Client<'_>, digest: &[u8; 32], length: u32) -> Vec<u8> {
    let mut object = Vec::new();
    while object.len() < length as usize {
        let asked = Fetch { digest, offset: object.len() as u32, length: length - object.len() as u32 };
        let reply = client.ask(&Ask::Fetch(asked)).expect("an answer");
        let AnswerBody::Fetch(answer) = reply.view().body else { panic!("no FETCH answer") };
        object.extend_from_slice(answer.read(&asked).expect("a part").bytes);
    }
    object
}

/// Waits until the server has at least serial `serial`.
#[track_caller]
pub(crate) fn until_serial(asker: &mut Asker, serial: u64) {
    until("the serial", || (asker.version() & 0xffff_ffff >= serial).then_some(()));
}

/// The result code of an answer.
#[track_caller]
pub(crate) fn result_of(answer: &[u8]) -> ResultCode {
    let code = u16_at(answer, RESULT);
    ResultCode::ALL.into_iter().find(|result| *result as u16 == code).expect("a known result")
}
