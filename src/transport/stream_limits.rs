//! Limits of a server of TLS or QUIC: how many, how long, how much.

use std::time::Duration;

use super::frame::{MAX_ANSWER, MAX_REQUEST};

/// Connections at a time, handshakes included.
pub(super) const MAX_CONNECTIONS: usize = 4096;
/// From accept to the end of the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between an answer and the first byte of the next request.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// From the first byte of a request to its last.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// From the first byte of an answer to its last.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// From a request to the answer that was promised for later.
const LATER_TIMEOUT: Duration = Duration::from_secs(10);
/// From stop to the end of the last connection.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// From stop to the end of idle connections: what was sent before the stop may not have been noticed yet.
pub(super) const STOP_GRACE: Duration = Duration::from_millis(100);
/// A longer answer, bytes, is charged to the budget that all connections share; shorter ones are not, so that
/// nobody can take another's room for a receipt by leaving long answers unread.
pub(super) const LONG_ANSWER: usize = 16 << 10;
/// Bytes of long answers on their way to clients, over all connections.
pub(super) const MAX_PENDING_BYTES: usize = 256 << 20;
/// Bytes of other answers on their way to one client; over it an answer waits for those before it. Of QUIC
/// each stream may have its part of as much again on its way, which need not wait.
pub(super) const SHARE_BYTES: usize = 64 << 10;
/// The same over all connections.
const MAX_SHARES_BYTES: usize = 512 << 20;

const _: () = assert!(LONG_ANSWER >= MAX_REQUEST, "a sealed answer is as long as its question");
const _: () = assert!(LONG_ANSWER <= SHARE_BYTES, "each answer that is not long fits into a share");
const _: () = assert!(MAX_CONNECTIONS * 2 * SHARE_BYTES <= MAX_SHARES_BYTES, "no share depends on another's");
const _: () = assert!(STOP_GRACE.as_millis() < DRAIN_TIMEOUT.as_millis());
const _: () = assert!(MAX_PENDING_BYTES >= MAX_ANSWER);

/// Limits of a stream server; the defaults are the named constants of this module.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Connections at a time, handshakes included (4096); the newest over it is refused.
    /// Each may make the server hold 64 KiB of answers whatever the others do, 208 KiB over QUIC; and over
    /// QUIC 159 KiB of questions that were not read, with what is kept around them while they have gaps at
    /// most 13 MiB, for as long as a question may take.
    pub connections: usize,
    /// From accept to the end of the handshake (5 s).
    pub handshake: Duration,
    /// Between an answer and the first byte of the next request (10 s).
    pub idle: Duration,
    /// From the first byte of a request to its last (10 s).
    pub frame: Duration,
    /// From the first byte of an answer to its last (10 s).
    pub write: Duration,
    /// From a request to the answer promised for later (10 s).
    pub later: Duration,
    /// From stop to the end of the last connection (10 s).
    pub drain: Duration,
    /// Bytes of answers over 16 KiB on their way, over all connections (256 MiB).
    pub pending_bytes: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits {
            connections: MAX_CONNECTIONS,
            handshake: HANDSHAKE_TIMEOUT,
            idle: IDLE_TIMEOUT,
            frame: FRAME_TIMEOUT,
            write: WRITE_TIMEOUT,
            later: LATER_TIMEOUT,
            drain: DRAIN_TIMEOUT,
            pending_bytes: MAX_PENDING_BYTES,
        }
    }
}
