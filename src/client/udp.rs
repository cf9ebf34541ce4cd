//! Questions by UDP: one connected socket to one server, and the real clock.
//!
//! The socket is connected, so the system drops what comes from elsewhere. A socket that
//! fails is replaced, and its cookie forgotten: the network may have changed (spec 1.6.6).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::asking::{Asking, Random, Reply};
use super::carrier::{Acquaintance, Carrier, CarrierError, Datagrams, exchange_over};

/// Carries questions to one server by UDP.
#[derive(Debug)]
pub struct UdpCarrier {
    peer: SocketAddr,
    path: Option<Path>,
    known: Acquaintance,
}

#[derive(Debug)]
struct Path {
    socket: UdpSocket,
    began: Instant,
}

impl UdpCarrier {
    /// A carrier to `peer`. The socket is opened with the first question.
    #[must_use]
    pub fn new(peer: SocketAddr) -> Self {
        Self { peer, path: None, known: Acquaintance::default() }
    }

    /// The server's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Forgets cookie and socket, as a client must when its network changes (spec 1.6.6).
    pub fn forget(&mut self) {
        self.path = None;
        self.known.cookie = 0;
    }

    fn ask_once(&mut self, asking: &Asking<'_>, random: &mut Random<'_>) -> Result<Reply, CarrierError> {
        let peer = self.peer.to_string();
        let path = match &mut self.path {
            Some(path) => path,
            None => self.path.insert(Path::open(self.peer).map_err(|source| CarrierError::Io {
                peer: peer.clone(),
                doing: "opening a socket to",
                source,
            })?),
        };
        exchange_over(path, &peer, &mut self.known, asking, random)
    }
}

impl Carrier for UdpCarrier {
    fn is_stream(&self) -> bool {
        false
    }

    fn ask(&mut self, asking: &Asking<'_>, random: &mut Random<'_>) -> Result<Reply, CarrierError> {
        let was_open = self.path.is_some();
        match self.ask_once(asking, random) {
            Err(CarrierError::Io { .. }) if was_open => {
                self.forget();
                self.ask_once(asking, random)
            }
            asked => asked,
        }
    }

    fn verified(&mut self, held: bool) {
        self.known.verified(held);
    }
}

impl Path {
    fn open(peer: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = if peer.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(peer)?;
        Ok(Self { socket, began: Instant::now() })
    }
}

impl Datagrams for Path {
    fn now_ms(&mut self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send(datagram).map(|_| ())
    }

    fn receive(&mut self, until_ms: u64, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        // A timeout of zero would mean for ever.
        let wait_ms = until_ms.saturating_sub(self.now_ms()).max(1);
        self.socket.set_read_timeout(Some(Duration::from_millis(wait_ms)))?;
        match self.socket.recv(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if is_timeout(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}
