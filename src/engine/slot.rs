//! The answering boundary: one request of a batch, its peer, its buffer, its outcome.
//!
//! A transport fills slots from what it received, hands the whole batch to a
//! [`Respond`], and sends what came back. It never looks inside a request, and what
//! answers never sees a socket.

use std::net::IpAddr;

/// How a request arrived; decides which operations are served and how long an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// One datagram each way.
    Udp,
    /// Frames on a TLS 1.3 stream over TCP.
    Tls,
    /// One frame each way on a QUIC stream.
    Quic,
    /// One QUIC datagram each way, on a connection whose address is proved.
    QuicDatagram,
}

/// Where a request came from. Used for cookie and limiter only, never stored or logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Source address in its canonical form: one of IPv4 never as IPv6 ([`IpAddr::to_canonical`]). A source
    /// in another form gets no answer.
    pub ip: IpAddr,
    /// Source port.
    pub port: u16,
    /// How the request arrived.
    pub carrier: Carrier,
}

/// Why a request got no answer. One counter each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Silence {
    /// Shorter than a header, or a length field that disagrees with what arrived.
    Length,
    /// The first byte is not tekd's.
    FirstByte,
    /// A service id that is not ours.
    Service,
    /// The response bit is set: no reply to a reply.
    Reply,
    /// A source that cannot be answered (port 0, multicast, broadcast, unspecified).
    Source,
    /// Over the limit of its prefix and not slipped.
    Limited,
}

impl Silence {
    /// All reasons, in the order of their counters.
    pub const ALL: [Silence; 6] =
        [Self::Length, Self::FirstByte, Self::Service, Self::Reply, Self::Source, Self::Limited];

    /// The label of this reason in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::FirstByte => "first_byte",
            Self::Service => "service_id",
            Self::Reply => "reply",
            Self::Source => "source",
            Self::Limited => "limited",
        }
    }
}

/// A request that goes through the opener and the writer; the transport keeps the
/// stream until its answer arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is sent.
    Ignore(Silence),
    /// The first `n` bytes of the slot's buffer are the answer.
    Respond(usize),
    /// The answer comes later, under this ticket. Never on UDP.
    Later(Ticket),
}

/// One request of a batch.
#[derive(Debug)]
pub struct Slot<'a> {
    /// The frame as it arrived, header included.
    pub request: &'a [u8],
    /// Who sent it.
    pub peer: Peer,
    /// Room for the answer: at least 1232 bytes on UDP, at least 1 MiB on streams; in datagrams of QUIC what
    /// the path takes, at least 64 and at most 1232 bytes.
    pub answer: &'a mut [u8],
    /// Written by the responder; `Ignore` until then.
    pub outcome: Outcome,
    /// Whether the peer has proved its address; written by the responder, `false` until then.
    /// The UDP transport refuses an answer longer than its question unless this is set.
    pub proved: bool,
}

impl<'a> Slot<'a> {
    /// A slot that is not answered yet.
    pub fn new(request: &'a [u8], peer: Peer, answer: &'a mut [u8]) -> Self {
        Slot { request, peer, answer, outcome: Outcome::Ignore(Silence::Length), proved: false }
    }
}

/// Seconds since 1970 and a monotonic millisecond counter, read once per batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Unix time in seconds.
    pub unix: u64,
    /// Milliseconds of a clock that never goes back, from any origin.
    pub monotonic_ms: u64,
}

/// Answers batches. One per worker: it may keep counters of its own.
pub trait Respond {
    /// Sets the outcome of every slot. Does not allocate, lock or wait.
    fn respond(&mut self, now: Moment, slots: &mut [Slot<'_>]);
}
