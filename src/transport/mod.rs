//! Floor 3: bytes in, bytes out. Datagrams over UDP.
//!
//! Nothing here looks into a frame: what a request means is decided behind
//! [`Respond`](crate::engine::Respond). What leaves is checked here once more:
//! never-amplify at the exit.

mod counters;
mod mmsg;
mod socket;
mod udp;

pub use mmsg::{BATCH, MAX_DATAGRAM};
pub use socket::{bind, listen};
pub use udp::{UdpCounters, UdpCounts, UdpError, UdpWorker};
