//! Questions by QUIC: one connection to one server, kept for the next question, a stream for each.
//!
//! The carrier is asked by ordinary code that waits; the connection is driven by a thread of its own, so
//! that packets are acknowledged, and the server's farewell is heard, between two questions as well.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, NoneTokenStore, ReadError,
    TokioRuntime, TransportConfig, TransportErrorCode, VarInt, WriteError,
};
use rustls::pki_types::ServerName;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::asking::{Asking, Random, Reply};
use super::carrier::{Carrier, CarrierError};
use super::certificates::client_config;
use super::line::{Deadline, Failure, ask_keeping};
use crate::wire::header::stream_frame_len;
use crate::wire::{Expected, MAX_ANSWER_STREAM, MAX_QUESTION_STREAM};

/// Ends a connection in peace (spec 1.5.7).
const CLOSE_DONE: VarInt = VarInt::from_u32(0);
/// How long the farewell may take. A server that misses it waits for its idle time-out.
const FAREWELL: Duration = Duration::from_millis(20);
/// Bytes of an answer that the server may send ahead: all of it.
const RECEIVE_WINDOW: u32 = MAX_ANSWER_STREAM as u32;
/// Bytes of a question on their way: all of it.
const SEND_WINDOW: u64 = 64 << 10;

const _: () = assert!(MAX_QUESTION_STREAM as u64 <= SEND_WINDOW);

/// Carries questions to one server by QUIC. Not to be asked or dropped on a thread of an async runtime.
#[derive(Debug)]
pub struct QuicCarrier {
    peer: SocketAddr,
    name: String,
    line: Option<Line>,
}

impl QuicCarrier {
    /// A carrier to `peer`. `host` is the name it is known by, sent to servers that have several;
    /// `None`, or what is no name, sends none. The connection is made with the first question.
    #[must_use]
    pub fn new(peer: SocketAddr, host: Option<&str>) -> Self {
        let name = host.filter(|host| ServerName::try_from(*host).is_ok());
        let name = name.map_or_else(|| peer.ip().to_string(), str::to_owned);
        Self { peer, name, line: None }
    }

    /// The server's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl Carrier for QuicCarrier {
    fn is_stream(&self) -> bool {
        true
    }

    fn ask(&mut self, asking: &Asking<'_>, random: &mut Random<'_>) -> Result<Reply, CarrierError> {
        let peer = self.peer;
        let line = match &mut self.line {
            Some(line) => line,
            none => none.insert(Line::open(peer).map_err(|source| CarrierError::Io {
                peer: peer.to_string(),
                doing: "opening a socket to",
                source,
            })?),
        };
        let Line { connection, endpoint, runtime } = line;
        let connecting_ms = asking.patience.stream_ms.min(asking.patience.datagrams_ms);
        ask_keeping(
            connection,
            peer,
            asking,
            random,
            |deadline| runtime.block_on(connect(endpoint, peer, &self.name, connecting_ms, deadline)),
            |connection, question, expected, deadline| {
                runtime.block_on(async {
                    let asked = ask_on(connection, question, expected, deadline);
                    timeout(deadline.left()?, asked).await.map_err(|_| deadline.slow())?
                })
            },
        )
    }
}

/// A socket and the thread that drives it.
#[derive(Debug)]
struct Line {
    connection: Option<Connection>,
    endpoint: Endpoint,
    runtime: Runtime,
}

impl Line {
    fn open(peer: SocketAddr) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("tekd-quic").enable_all().build()?;
        let any = match peer {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        let mut config = EndpointConfig::default();
        config.grease_quic_bit(false);
        let mut endpoint = {
            let _inside = runtime.enter();
            Endpoint::new(config, None, socket, Arc::new(TokioRuntime))?
        };
        endpoint.set_default_client_config(quic_config());
        Ok(Self { connection: None, endpoint, runtime })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.endpoint.close(CLOSE_DONE, b"");
        // Whether it was sent in time or not, all that was asked is answered.
        let _ = self.runtime.block_on(async { timeout(FAREWELL, self.endpoint.wait_idle()).await });
    }
}

async fn connect(
    endpoint: &Endpoint,
    peer: SocketAddr,
    name: &str,
    patience_ms: u64,
    deadline: &Deadline,
) -> Result<Connection, Failure> {
    let connecting = endpoint.connect(peer, name).map_err(|error| {
        let source = io::Error::new(io::ErrorKind::InvalidInput, error);
        Failure::Final(CarrierError::Io { peer: deadline.peer.clone(), doing: "connecting to", source })
    })?;
    let patience = deadline.left()?.min(Duration::from_millis(patience_ms));
    match timeout(patience, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(no_handshake(error, deadline)),
        Err(_) => Err(unheard(deadline)),
    }
}

fn unheard(deadline: &Deadline) -> Failure {
    Failure::Final(CarrierError::Unheard { peer: deadline.peer.clone(), waited_ms: deadline.waited_ms() })
}

fn no_handshake(error: ConnectionError, deadline: &Deadline) -> Failure {
    match error {
        ConnectionError::TimedOut => unheard(deadline),
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            Failure::Final(CarrierError::Full { peer: deadline.peer.clone() })
        }
        ConnectionError::ApplicationClosed(_) | ConnectionError::Reset => deadline.ended(),
        other => deadline.not_tekd("QUIC", other.to_string()),
    }
}

async fn ask_on(
    connection: &Connection,
    question: &[u8],
    expected: &Expected,
    deadline: &Deadline,
) -> Result<Reply, Failure> {
    let (mut send, mut recv) = connection.open_bi().await.map_err(|_| deadline.ended())?;
    match send.write_all(question).await {
        // A server that wants no more of the question tells why on the other half.
        Ok(()) | Err(WriteError::Stopped(_)) => {}
        Err(_) => return Err(deadline.ended()),
    }
    // It may have been stopped in the meantime, which the other half tells too.
    let _ = send.finish();
    let mut frame = Vec::new();
    let mut whole = false;
    // bounded: what is longer than its own length, at most 1 MiB, is no answer.
    while let Some(chunk) = recv
        .read_chunk(MAX_ANSWER_STREAM + 1 - frame.len(), true)
        .await
        .map_err(|error| not_read(&error, deadline))?
    {
        frame.extend_from_slice(&chunk.bytes);
        if let Some(head) = frame.first_chunk() {
            let length = stream_frame_len(head, MAX_ANSWER_STREAM).map_err(|source| {
                Failure::Final(CarrierError::Framing { peer: deadline.peer.clone(), source })
            })?;
            whole = frame.len() >= length;
            if frame.len() > length {
                break;
            }
        }
    }
    if !whole {
        return Err(gone(deadline));
    }
    Reply::read(&frame, expected, true).map_err(|error| Failure::Final(error.into()))
}

fn not_read(error: &ReadError, deadline: &Deadline) -> Failure {
    if matches!(error, ReadError::ConnectionLost(_)) { deadline.ended() } else { gone(deadline) }
}

/// The server gave up this question, and would so on another connection.
fn gone(deadline: &Deadline) -> Failure {
    Failure::Final(CarrierError::Ended { peer: deadline.peer.clone() })
}

/// What a client says and accepts in QUIC: as [`client_config`] in TLS, no streams and no datagrams from the
/// server, no memory.
///
/// # Panics
/// Never: the cryptography provider has the cipher suite of initial packets.
pub fn quic_config() -> ClientConfig {
    let crypto = QuicClientConfig::try_from(client_config()).expect("the provider has AES-128-GCM-SHA256");
    let mut config = ClientConfig::new(Arc::new(crypto));
    // no-trace: a token of an earlier connection would let the server tell that a device comes back.
    config.token_store(Arc::new(NoneTokenStore));
    let mut transport = TransportConfig::default();
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.datagram_receive_buffer_size(None);
    transport.stream_receive_window(VarInt::from_u32(RECEIVE_WINDOW));
    transport.receive_window(VarInt::from_u32(RECEIVE_WINDOW));
    transport.send_window(SEND_WINDOW);
    config.transport_config(Arc::new(transport));
    config
}
