//! What servers of TLS and QUIC are tested with, and the tests that both pass.

pub(super) mod fake;
mod both;
