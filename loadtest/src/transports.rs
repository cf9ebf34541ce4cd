//! How questions travel.

use clap::ValueEnum;

/// How questions travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// TLS 1.3 over TCP.
    Tls,
    /// QUIC, a stream for each question.
    Quic,
}
