//! What carries a question to a server and its answer back: the seam between transports
//! and everything above them.
//!
//! A carrier promises that the answer keeps the rules of the wire and is to the question;
//! it promises nothing about what the answer says. [`exchange_over`] drives an [`Exchange`] over
//! anything that sends and receives datagrams.

use std::io;

use super::asking::{Asking, Random, Reply};
use super::exchange::{Exchange, ExchangeError, Next, Received};
use super::pace::Backoff;
use crate::wire::header::FramingError;
use crate::wire::{AnswerError, BuildError, MAX_DATAGRAM};

/// Room for a datagram, longer than any may be so that one that is too long is seen to be.
const DATAGRAM_ROOM: usize = 2048;
/// Times that the server's machine may say that nothing listens before it is believed.
const CLOSED_BELIEVED: u32 = 2;

const _: () = assert!(DATAGRAM_ROOM > MAX_DATAGRAM);

/// Carries questions to one server.
pub trait Carrier {
    /// Whether it is a stream: answers up to 1 MiB, every operation (spec 1.3.2, 1.5).
    fn is_stream(&self) -> bool;

    /// Asks until there is an answer or patience ends.
    ///
    /// # Errors
    /// [`CarrierError`]. A refusal by the server is no error here.
    fn ask(&mut self, asking: &Asking<'_>, random: &mut Random<'_>) -> Result<Reply, CarrierError>;

    /// Hears whether what the server answered verified: only then do retries become quick again (spec
    /// 4.5.3).
    fn verified(&mut self, _held: bool) {}
}

impl<C: Carrier + ?Sized> Carrier for Box<C> {
    fn is_stream(&self) -> bool {
        (**self).is_stream()
    }

    fn ask(&mut self, asking: &Asking<'_>, random: &mut Random<'_>) -> Result<Reply, CarrierError> {
        (**self).ask(asking, random)
    }

    fn verified(&mut self, held: bool) {
        (**self).verified(held);
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CarrierError {
    /// No datagram came back.
    #[error(
        "{peer} did not answer {datagrams} datagrams in {waited_ms} ms: check address and port, or use \
         --transport tls"
    )]
    Silent {
        /// The server's address.
        peer: String,
        /// Datagrams sent.
        datagrams: u32,
        /// Milliseconds waited.
        waited_ms: u64,
    },
    /// The server's machine says that nothing listens there.
    #[error("nothing listens on {peer}: check address and port, and that the server runs")]
    Closed {
        /// The server's address.
        peer: String,
    },
    /// The operating system refused.
    #[error("{doing} {peer}: {source}")]
    Io {
        /// The server's address.
        peer: String,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The connection ended before the answer.
    #[error("{peer} ended the connection before its answer")]
    Ended {
        /// The server's address.
        peer: String,
    },
    /// No answer on the stream in time.
    #[error("{peer} did not answer on its stream in {waited_ms} ms")]
    Slow {
        /// The server's address.
        peer: String,
        /// Milliseconds waited.
        waited_ms: u64,
    },
    /// No QUIC handshake in time.
    #[error(
        "{peer} did not answer by QUIC in {waited_ms} ms: check address and port (QUIC has a UDP port of its \
         own, 8354 unless told otherwise), or use --transport tls"
    )]
    Unheard {
        /// The server's address.
        peer: String,
        /// Milliseconds waited.
        waited_ms: u64,
    },
    /// The server takes no more connections.
    #[error("{peer} takes no connection now, it is full or about to stop: ask again later")]
    Full {
        /// The server's address.
        peer: String,
    },
    /// There is a server, and it does not speak this protocol.
    #[error("{peer} does not speak tekd/1 over {by}: {reason}")]
    NotTekd {
        /// The server's address.
        peer: String,
        /// How it was asked: `TLS 1.3` or `QUIC`.
        by: &'static str,
        /// What shows it.
        reason: String,
    },
    /// What came on the stream is no frame.
    #[error("{peer} sent what is no frame: {source}")]
    Framing {
        /// The server's address.
        peer: String,
        /// The rule that is broken.
        source: FramingError,
    },
    /// The answer breaks the rules of the wire.
    #[error("the answer breaks the protocol: {0}")]
    Answer(#[from] AnswerError),
    /// The question cannot be written.
    #[error(transparent)]
    Question(#[from] BuildError),
}

impl CarrierError {
    /// The error of an exchange with `peer`.
    pub(super) fn of_exchange(error: ExchangeError, peer: &str) -> Self {
        match error {
            ExchangeError::Silent { datagrams, waited_ms } => {
                Self::Silent { peer: peer.to_owned(), datagrams, waited_ms }
            }
            ExchangeError::Answer(error) => Self::Answer(error),
            ExchangeError::Question(error) => Self::Question(error),
        }
    }
}

/// A path for datagrams to and from one address, and the clock that goes with it.
pub trait Datagrams {
    /// Milliseconds since some fixed moment.
    fn now_ms(&mut self) -> u64;

    /// Sends one datagram.
    ///
    /// # Errors
    /// What the system says.
    fn send(&mut self, datagram: &[u8]) -> io::Result<()>;

    /// Waits for a datagram until `until_ms` and gives its length, cut to the buffer; `None` if none came.
    ///
    /// # Errors
    /// What the system says; `ConnectionRefused` if the other side says that nothing listens.
    fn receive(&mut self, until_ms: u64, buffer: &mut [u8]) -> io::Result<Option<usize>>;
}

/// What a client keeps about a server it talks to by datagrams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Acquaintance {
    /// The newest cookie, or 0. Never used at another address, forgotten with the network (spec 1.6.6).
    pub cookie: u64,
    /// How long the first retry of the next question waits.
    pub backoff: Backoff,
}

impl Acquaintance {
    /// Notes whether what the server answered verified (spec 4.5.3).
    pub fn verified(&mut self, held: bool) {
        if held {
            self.backoff = Backoff::default();
        } else {
            self.backoff.lengthen();
        }
    }
}

/// Drives one exchange to its end over `path`. An answer leaves the backoff as it was, silence lengthens
/// it.
///
/// # Errors
/// [`CarrierError`].
pub fn exchange_over(
    path: &mut dyn Datagrams,
    peer: &str,
    known: &mut Acquaintance,
    asking: &Asking<'_>,
    random: &mut Random<'_>,
) -> Result<Reply, CarrierError> {
    let mut exchange = Exchange::new(asking, known.cookie, known.backoff, path.now_ms());
    let (mut out, mut buffer, mut closed) = ([0; MAX_DATAGRAM], [0; DATAGRAM_ROOM], 0);
    loop {
        let next = exchange.poll(path.now_ms(), random, &mut out);
        let next = next.map_err(|error| {
            known.backoff = exchange.backoff();
            CarrierError::of_exchange(error, peer)
        })?;
        let (doing, done) = match next {
            Next::Send(length) => ("sending to", path.send(&out[..length]).map(|()| None)),
            Next::WaitUntil(until_ms) => ("receiving from", path.receive(until_ms, &mut buffer)),
        };
        let received = match done {
            Ok(received) => received,
            Err(source) if source.kind() == io::ErrorKind::ConnectionRefused => {
                closed += 1;
                if closed >= CLOSED_BELIEVED {
                    return Err(CarrierError::Closed { peer: peer.to_owned() });
                }
                None
            }
            Err(source) => return Err(CarrierError::Io { peer: peer.to_owned(), doing, source }),
        };
        let Some(length) = received else { continue };
        let received = exchange.received(&buffer[..length]);
        known.cookie = exchange.cookie();
        if let Received::Answer(reply) = received.map_err(|error| CarrierError::of_exchange(error, peer))? {
            return Ok(reply);
        }
    }
}
