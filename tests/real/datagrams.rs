//! Questions in datagrams of QUIC, at the real process: as over UDP, on a connection that proves the address.

use std::sync::Arc;

use quinn::{Connection, Endpoint, TransportConfig};
use tekd::client::quic_config;
use tekd::service::control::ControlRequest;
use tekd::wire::{QuestionBuilder, ResultCode};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::answers::{COOKIE, RESULT, u16_at};
use super::asker::TXID;
use super::imported::import_all;
use super::keys::keys;
use super::server::{NEVER, Place, Server, until};

/// Place of `state` in the only slot of an answer to LOOKUP (spec 2.3.2).
const STATE: usize = 64 + 16 + 12;

/// A relay's connection.
struct Relay {
    runtime: Runtime,
    connection: Connection,
    _endpoint: Endpoint,
    service: [u8; 8],
    txid: u64,
}

impl Relay {
    fn of(origin: &Server) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (connection, endpoint) = runtime.block_on(async {
            let endpoint = Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("a socket");
            let (mut config, mut transport) = (quic_config(), TransportConfig::default());
            transport.datagram_receive_buffer_size(Some(1 << 20));
            config.transport_config(Arc::new(transport));
            let connecting = endpoint.connect_with(config, origin.quic(), "localhost").expect("sound");
            (connecting.await.expect("a handshake"), endpoint)
        });
        Relay { runtime, connection, _endpoint: endpoint, service: origin.trust().service, txid: 7 }
    }

    fn builder(&mut self) -> QuestionBuilder {
        self.txid += 1;
        QuestionBuilder::new(self.service, 1, self.txid)
    }

    fn send(&self, frame: &[u8]) {
        self.connection.send_datagram(frame.to_vec().into()).expect("sent");
    }

    fn receive(&self) -> Vec<u8> {
        let next = async { timeout(NEVER, self.connection.read_datagram()).await };
        self.runtime.block_on(next).expect("in time").expect("connected").to_vec()
    }

    /// Sends a question and takes the next datagram for its answer.
    fn ask(&self, frame: &[u8]) -> Vec<u8> {
        self.send(frame);
        let answer = self.receive();
        assert_eq!((answer[1], &answer[TXID], &answer[COOKIE]), (frame[1] | 0x80, &frame[TXID], &[0; 8][..]));
        answer
    }

    fn result(&self, frame: &[u8]) -> Option<ResultCode> {
        ResultCode::from_u16(u16_at(&self.ask(frame), RESULT))
    }

    /// Waits until the path is known to take datagrams of the longest length and one byte more.
    fn widen(&self) {
        until("a wide path", || self.connection.max_datagram_size().filter(|size| *size > 1232));
    }
}

#[test]
fn a_datagram_of_quic_asks_and_is_answered_as_one_of_udp() {
    // spec 1.5.8
    let dir = tempfile::tempdir().expect("a directory");
    let origin = Place::new(dir.path(), "origin").start().without_decoys();
    let some = keys(1, 60);
    import_all(&origin, &some[..50]);
    origin.release();
    let mut relay = Relay::of(&origin);
    let mut frame = vec![0; 4096];
    for (key, state) in [(some[0], 1), (some[49], 1), (some[55], 0)] {
        let length = relay.builder().lookup(&[key], &mut frame).expect("a question");
        let answer = relay.ask(&frame[..length]);
        assert_eq!((answer.len(), answer[STATE]), (length, state));
    }
    let length = relay.builder().info(&mut frame).expect("a question");
    assert_eq!(relay.result(&frame[..length]), Some(ResultCode::Ok));
    let length = relay.builder().manifest(&mut frame).expect("a question");
    assert_eq!(relay.result(&frame[..length]), Some(ResultCode::Transport), "spec 1.5.5");

    // spec 1.3.5: what does not fit is told in a header, here by the client's own wish.
    let length = relay.builder().checkpoint(&mut frame).expect("a question");
    frame[36..38].copy_from_slice(&64u16.to_le_bytes());
    let refused = relay.ask(&frame[..length]);
    assert_eq!((refused.len(), u16_at(&refused, RESULT)), (64, ResultCode::Truncated as u16));

    // spec 1.1.4, 1.1.5: an answer, junk, nothing, and what is too long get nothing.
    let length = relay.builder().info(&mut frame).expect("a question");
    let mut reply = frame[..length].to_vec();
    reply[1] |= 0x80;
    relay.widen();
    let mut long = frame[..1233].to_vec();
    long[4..8].copy_from_slice(&1233u32.to_le_bytes());
    for silent in [&reply[..], b"junk", b"", &long] {
        relay.send(silent);
    }
    assert_eq!(
        relay.result(&frame[..length]),
        Some(ResultCode::Ok),
        "the next answer is to the next question"
    );

    let counts = &origin.done(&ControlRequest::Stats {})["quic"];
    let count = |name: &str| counts[name].as_u64().unwrap_or_else(|| panic!("{name} in {counts}"));
    assert_eq!((count("datagrams"), count("datagrams_answered"), count("datagrams_ignored")), (11, 7, 4));
    assert_eq!((count("retried"), count("accepted")), (1, 1), "the address is proved");
}
