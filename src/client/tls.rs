//! Questions by TLS 1.3 over TCP: one connection to one server, kept for the next question.
//!
//! Frames follow one another; the answers come in the order of the questions, and here one
//! question is open at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::asking::{Asking, Random, Reply};
use super::carrier::{Carrier, CarrierError};
use super::certificates::{ALPN, client_config};
use super::line::{Deadline, Failure, ask_keeping};
use crate::wire::header::stream_frame_len;
use crate::wire::{Expected, MAX_ANSWER_STREAM};

/// Bytes of a frame that tell its length.
const FRAME_HEAD: usize = 8;
/// How the server was asked, in messages.
const TLS: &str = "TLS 1.3";

/// Carries questions to one server by TLS.
#[derive(Debug)]
pub struct TlsCarrier {
    peer: SocketAddr,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    connection: Option<Connection>,
}

type Connection = StreamOwned<ClientConnection, TcpStream>;

impl TlsCarrier {
    /// A carrier to `peer`. `host` is the name it is known by, sent to servers that have several;
    /// `None`, or what is no name, sends none. The connection is made with the first question.
    #[must_use]
    pub fn new(peer: SocketAddr, host: Option<&str>) -> Self {
        let name = host.and_then(|host| ServerName::try_from(host.to_owned()).ok());
        let name = name.unwrap_or(ServerName::IpAddress(peer.ip().into()));
        Self { peer, name, config: Arc::new(client_config()), connection: None }
    }

    /// The server's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl Carrier for TlsCarrier {
    fn is_stream(&self) -> bool {
        true
    }

    fn ask(&mut self, asking: &Asking<'_>, random: &mut Random<'_>) -> Result<Reply, CarrierError> {
        let Self { peer, name, config, connection } = self;
        ask_keeping(
            connection,
            *peer,
            asking,
            random,
            |deadline| connect(*peer, name, config, deadline),
            ask_on,
        )
    }
}

impl Deadline {
    fn io(&self, doing: &'static str, source: io::Error) -> Failure {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidData, TimedOut,
            UnexpectedEof, WouldBlock,
        };
        match source.kind() {
            TimedOut | WouldBlock => self.slow(),
            ConnectionRefused => Failure::Final(CarrierError::Closed { peer: self.peer.clone() }),
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => self.ended(),
            InvalidData => self.not_tekd(TLS, source.to_string()),
            _ => Failure::Broken(CarrierError::Io { peer: self.peer.clone(), doing, source }),
        }
    }

    /// Lets the socket wait no longer than is left.
    fn arm(&self, socket: &TcpStream) -> Result<(), Failure> {
        let left = self.left()?;
        let armed = socket.set_read_timeout(Some(left)).and_then(|()| socket.set_write_timeout(Some(left)));
        armed.map_err(|source| self.io("setting timeouts to", source))
    }
}

fn connect(
    peer: SocketAddr,
    name: &ServerName<'static>,
    config: &Arc<ClientConfig>,
    deadline: &Deadline,
) -> Result<Connection, Failure> {
    let connected = TcpStream::connect_timeout(&peer, deadline.left()?);
    let mut socket = connected.map_err(|source| deadline.io("connecting to", source))?;
    socket.set_nodelay(true).map_err(|source| deadline.io("setting options to", source))?;
    let session = ClientConnection::new(Arc::clone(config), name.clone());
    let mut session = session.map_err(|error| deadline.not_tekd(TLS, error.to_string()))?;
    while session.is_handshaking() {
        deadline.arm(&socket)?;
        session.complete_io(&mut socket).map_err(|source| deadline.io("shaking hands with", source))?;
    }
    if session.alpn_protocol() != Some(ALPN) {
        return Err(deadline.not_tekd(TLS, "it agrees to no ALPN tekd/1".to_owned()));
    }
    Ok(StreamOwned::new(session, socket))
}

fn ask_on(
    connection: &mut Connection,
    question: &[u8],
    expected: &Expected,
    deadline: &Deadline,
) -> Result<Reply, Failure> {
    deadline.arm(&connection.sock)?;
    let sent = connection.write_all(question).and_then(|()| connection.flush());
    sent.map_err(|source| deadline.io("sending to", source))?;
    let mut head = [0; FRAME_HEAD];
    fill(connection, &mut head, deadline)?;
    let length = stream_frame_len(&head, MAX_ANSWER_STREAM)
        .map_err(|source| Failure::Final(CarrierError::Framing { peer: deadline.peer.clone(), source }))?;
    // bounded: at most 1 MiB, checked above.
    let mut frame = vec![0; length];
    frame[..FRAME_HEAD].copy_from_slice(&head);
    fill(connection, &mut frame[FRAME_HEAD..], deadline)?;
    Reply::read(&frame, expected, true).map_err(|error| Failure::Final(error.into()))
}

/// Reads until `bytes` are full, however slowly they come, no longer than the deadline.
fn fill(connection: &mut Connection, mut bytes: &mut [u8], deadline: &Deadline) -> Result<(), Failure> {
    while !bytes.is_empty() {
        deadline.arm(&connection.sock)?;
        match connection.read(bytes) {
            Ok(0) => return Err(deadline.ended()),
            Ok(count) => bytes = &mut bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(deadline.io("receiving from", source)),
        }
    }
    Ok(())
}
