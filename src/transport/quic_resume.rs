//! How a QUIC client may go on where an earlier connection ended, and ask before the handshake is complete.
//!
//! Relays, proxies and nodes may; a phone never does, for that would tell that a device comes back (spec
//! 1.5.6). What is asked early could be an old packet that somebody sent again, so the TLS library takes it
//! only where each ticket is good once: it names a session that this process keeps and forgets when it is
//! used. A stateless ticket could be used again by whoever has seen it; TLS over TCP, which takes nothing
//! early, gives those. Another process, or this one after a restart, knows no ticket: clients then shake
//! hands in full, and ask again what they asked early.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache};

/// Sessions that are kept, over all endpoints of a server; over it the oldest is forgotten.
const MAX_SESSIONS: usize = 8192;
/// Tickets for each connection: one, because a client that goes on gets another.
const TICKETS: usize = 1;
/// Bytes of early data: all that the windows have room for. QUIC knows nothing between this and none.
const EARLY_DATA: u32 = u32::MAX;

/// The TLS of QUIC: as that of TCP, with sessions that are kept and early data.
pub(super) fn resumable(tls: &ServerConfig) -> ServerConfig {
    let mut config = tls.clone();
    config.ticketer = Arc::new(NoTickets);
    // no-trace: a session is a secret and parameters of the connection, nothing about its client.
    config.session_storage = ServerSessionMemoryCache::new(MAX_SESSIONS);
    config.send_tls13_tickets = TICKETS;
    config.max_early_data_size = EARLY_DATA;
    config
}

/// Has tickets name sessions instead of holding them.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
