//! Floor 3: bytes in, bytes out. Datagrams over UDP, frames over TLS 1.3 and over QUIC streams and datagrams.
//!
//! Nothing here looks into a frame beyond its first byte and its length: what a request
//! means is decided behind [`Respond`](crate::engine::Respond) (batches of datagrams) and
//! [`AnswerFrame`] (frames of streams, and of the datagrams of QUIC). What leaves is checked here once more:
//! never-amplify at the exit of UDP, the largest frame on streams.

mod counters;
mod control;
mod mmsg;
mod options;
mod exit;
mod running;
mod socket;
mod steering;
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
mod quic_resume;
mod quic_config;
mod quic_end;
mod at_once;
mod quic_datagrams;
mod quic_exchange;
mod quic_connection;
mod quic_socket;
mod quic;

pub use answering::AnswerFrame;
pub use frame::{FIRST_BYTES, FrameBuffer, FrameError, HEADER_BYTES, MAX_ANSWER, MAX_REQUEST};
pub use mmsg::{BATCH, MAX_DATAGRAM};
pub use quic::QuicServer;
pub use quic_config::quic_settings;
pub use running::WorkerLife;
pub use socket::{bind, bind_quic, listen};
pub use steering::{Steering, receive_cpus, steer};
pub use stream_counters::{StreamCounters, StreamCounts};
pub use stream_limits::StreamLimits;
pub use tls::TlsServer;
pub use tls_config::{ALPN, TlsConfigError, certificates_from_pem, key_from_pem, server_config};
pub use udp::{UdpCounters, UdpCounts, UdpError, UdpPlan, UdpWorker};

#[cfg(test)]
mod tests;
