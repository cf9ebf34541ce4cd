//! Floor 3: bytes in, bytes out. Datagrams over UDP, frames over TLS 1.3 and over QUIC streams.
//!
//! Nothing here looks into a frame beyond its first byte and its length: what a request
//! means is decided behind [`Respond`](crate::engine::Respond) (batches of datagrams) and
//! [`AnswerFrame`] (frames of a stream). What leaves is checked here once more:
//! never-amplify at the exit of UDP, the largest frame on streams.

mod counters;
mod mmsg;
mod exit;
mod socket;
mod udp;
#[cfg(feature = "xdp")]
pub mod xdp;
mod frame;
mod answering;
mod stream_limits;
mod stream_counters;
mod connections;
mod tls_config;
#[cfg(test)]
mod fake;
mod stream;
mod tls;
mod quic_config;
mod quic_end;
mod quic;

pub use answering::AnswerFrame;
pub use frame::{FIRST_BYTES, FrameBuffer, FrameError, HEADER_BYTES, MAX_ANSWER, MAX_REQUEST};
pub use mmsg::{BATCH, MAX_DATAGRAM};
pub use quic::QuicServer;
pub use socket::{bind, bind_one, listen};
pub use stream_counters::{StreamCounters, StreamCounts};
pub use stream_limits::StreamLimits;
pub use tls::TlsServer;
pub use tls_config::{ALPN, TlsConfigError, certificates_from_pem, key_from_pem, server_config};
pub use udp::{UdpCounters, UdpCounts, UdpError, UdpWorker};

#[cfg(test)]
mod tests;
