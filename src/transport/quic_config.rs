//! The QUIC that servers speak: ALPN `tekd/1`, few streams, small windows, no surprises (spec 1.5.3, 1.5.6).
//!
//! What a client may make the server hold is bounded here: streams, bytes of questions and what QUIC keeps
//! around them, bytes of answers that are not acknowledged, first packets that wait. What it may make the
//! server send elsewhere is nothing: connections do not migrate.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{EndpointConfig, IdleTimeout, TransportConfig, ValidationTokenConfig, VarInt};

use super::frame::{HEADER_BYTES, MAX_ANSWER, MAX_REQUEST};
use super::mmsg::{BATCH, MAX_DATAGRAM};
use super::quic_resume::resumable;
use super::stream_limits::{LONG_ANSWER, MAX_CONNECTIONS, MAX_PENDING_BYTES, SHARE_BYTES, StreamLimits};

/// Questions that one client may have open at a time (spec 1.5.6).
pub(super) const MAX_STREAMS: u32 = 16;
/// Bytes of a question that a client may send ahead: the longest and something more, so that a client that
/// sends too much is seen to.
const STREAM_WINDOW: u32 = MAX_REQUEST as u32 + 1024;
/// The same over all streams of a connection.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;
/// Bytes sent to one client that it has not acknowledged; a longer answer flows through in parts.
const SEND_WINDOW: u64 = 256 << 10;
/// Bytes of an answer that is sent at once and not waited for: as many as each stream has of a share.
pub(super) const SMALL_ANSWER: usize = SHARE_BYTES / MAX_STREAMS as usize;
/// Bytes of datagrams that have arrived and were not read, a full batch of the longest; over it the oldest is
/// dropped.
const DATAGRAMS_IN: usize = BATCH * (MAX_DATAGRAM + DATAGRAM_COST);
/// Bytes of datagrams that are answered and were not sent, a full batch too; over it the newest is dropped.
const DATAGRAMS_OUT: usize = BATCH * (MAX_DATAGRAM + DATAGRAM_COST);
/// What each datagram counts for beside its own bytes: the handle of them.
pub(super) const DATAGRAM_COST: usize = size_of::<Bytes>();
/// Datagrams that have arrived and were not read, at most: all empty.
pub(super) const MAX_DATAGRAMS_IN: usize = DATAGRAMS_IN / DATAGRAM_COST;
/// First packets that wait to be looked at.
const MAX_INCOMING: usize = 1024;
/// Bytes that may follow one first packet while it waits.
const INCOMING_BYTES: u64 = 16 << 10;
/// The same over all that wait.
const INCOMING_BYTES_TOTAL: u64 = 4 << 20;
/// Bytes of a packet that are taken (RFC 9000, 18.2): an Ethernet frame has room for no more.
pub(super) const MAX_PACKET: usize = 1472;
/// Packets that leave together: the shortest answers to a full batch. Each connection keeps the memory for so
/// many, idle or not.
pub(super) const SEND_TRAIN: usize = 6;
/// Bytes of a handshake that may come before those that they follow.
const HANDSHAKE_AHEAD: usize = 8 << 10;
/// What QUIC keeps of a stream beside what it has use for, until it copies that together: packets of which a
/// part is wanted, and bytes that came twice (quinn-proto 0.11; of longer windows it is half as much again).
const STREAM_WASTE: usize = 32 << 10;
/// Pieces that QUIC keeps of a stream, when a client sends it in crumbs and leaves gaps; over it they are
/// copied together, and where that is not enough the connection ends.
const STREAM_PIECES: usize = 2048;
/// What each piece costs beside its bytes: its handle, twice while the list grows, head and tail of its
/// packet, and what the allocator adds.
const PIECE_COST: usize = 256;
/// What QUIC holds at most of the questions in one stream until they are read, STREAM_WINDOW of which is the
/// question. To come near a client has to send some 2000 packets, and it is let go when the time for a
/// question is over.
const STREAM_HELD: usize = STREAM_WINDOW as usize + STREAM_WASTE + MAX_PACKET + STREAM_PIECES * PIECE_COST;
/// The same of the handshake.
const HANDSHAKE_HELD: usize = HANDSHAKE_AHEAD + STREAM_WASTE + MAX_PACKET + STREAM_PIECES * PIECE_COST;
/// The same of datagrams, each alone in a packet of its own: what a client sends faster than its turn comes.
const DATAGRAMS_HELD: usize = MAX_DATAGRAMS_IN * MAX_PACKET;
/// What one connection may hold at most of what came and was not read, whatever its client does. One that
/// does not break its questions up holds what the windows say: 80 KiB in streams, 79 KiB in datagrams.
const CONNECTION_HELD: usize = 13 << 20;
/// Bytes of questions, as the windows have them, of all clients together.
const MAX_QUESTION_BYTES: usize = 640 << 20;
/// The same of answers in datagrams.
const MAX_DATAGRAMS_BYTES: usize = 320 << 20;

const _: () = assert!(STREAM_WINDOW as usize > MAX_REQUEST);
const _: () = assert!(SEND_WINDOW as usize <= MAX_ANSWER && MAX_ANSWER <= MAX_PENDING_BYTES);
const _: () = assert!(MAX_STREAMS as usize * LONG_ANSWER <= SEND_WINDOW as usize, "a long one is alone");
const _: () = assert!(MAX_STREAMS as usize * MAX_REQUEST <= SHARE_BYTES, "one sealed answer in each stream");
const _: () = assert!(1200 <= MAX_PACKET && MAX_PACKET <= u16::MAX as usize);
const _: () = assert!(INCOMING_BYTES <= INCOMING_BYTES_TOTAL);
const _: () =
    assert!(MAX_REQUEST <= SMALL_ANSWER, "a read is answered by a frame as long as its own, at once");
const _: () = assert!(MAX_CONNECTIONS * (CONNECTION_WINDOW as usize + DATAGRAMS_IN) <= MAX_QUESTION_BYTES);
const _: () = assert!(MAX_CONNECTIONS * DATAGRAMS_OUT <= MAX_DATAGRAMS_BYTES);
const _: () = assert!(STREAM_WINDOW as usize * 3 / 2 <= STREAM_WASTE, "a window so short has no more waste");
const _: () = assert!(
    MAX_STREAMS as usize * STREAM_HELD + HANDSHAKE_HELD + DATAGRAMS_HELD <= CONNECTION_HELD,
    "every stream, the handshake and the datagrams at their worst"
);
const _: () = assert!(SEND_TRAIN * 1200 >= BATCH * (HEADER_BYTES + 32 + 3), "a LOOKUP of one key each");

/// Ends a connection in peace (spec 1.5.7).
pub(super) const CLOSE_DONE: VarInt = VarInt::from_u32(0);
/// Ends a stream that is not one frame.
pub(super) const CLOSE_FRAME: VarInt = VarInt::from_u32(1);
/// Ends a stream whose client took too long.
pub(super) const CLOSE_SLOW: VarInt = VarInt::from_u32(2);
/// Ends a stream that the server cannot answer now.
pub(super) const CLOSE_BUSY: VarInt = VarInt::from_u32(3);

/// All settings of a QUIC server over those of its TLS, for who measures them without what is behind them.
///
/// # Errors
/// If TLS lacks the cipher suite that QUIC begins with.
pub fn quic_settings(
    tls: &rustls::ServerConfig,
    limits: &StreamLimits,
) -> io::Result<(EndpointConfig, quinn::ServerConfig)> {
    Ok((endpoint_config(), quic_config(tls, limits)?))
}

/// What is shared by all connections of an endpoint.
fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    // First bytes 0x80 to 0xBF stay those of tekd's own frames (spec 1.1.3).
    config.grease_quic_bit(false);
    // bounded: a longer packet, which no client may send, is dropped by the socket.
    let longest = u16::try_from(MAX_PACKET).expect("asserted above");
    config.max_udp_payload_size(longest).expect("at least what the first packets of a client have");
    config
}

/// The configuration of a QUIC server over that of its TLS.
///
/// # Errors
/// If TLS lacks the cipher suite that QUIC begins with.
fn quic_config(tls: &rustls::ServerConfig, limits: &StreamLimits) -> io::Result<quinn::ServerConfig> {
    let unfit = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
    let crypto = QuicServerConfig::try_from(resumable(tls)).map_err(unfit)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config(limits)));
    // never-amplify: to a new address of an old connection up to three times of what came would be sent
    // before it has proved itself.
    config.migration(false);
    // no-trace: a token for the next connection would tell that a device comes back, and serves nobody: who
    // may come back has its session.
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0);
    config.validation_token_config(tokens);
    config.max_incoming(MAX_INCOMING);
    config.incoming_buffer_size(INCOMING_BYTES);
    config.incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    Ok(config)
}

fn transport_config(limits: &StreamLimits) -> TransportConfig {
    let mut config = TransportConfig::default();
    config.max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS));
    config.max_concurrent_uni_streams(VarInt::from_u32(0));
    config.datagram_receive_buffer_size(Some(DATAGRAMS_IN));
    config.datagram_send_buffer_size(DATAGRAMS_OUT);
    config.stream_receive_window(VarInt::from_u32(STREAM_WINDOW));
    config.receive_window(VarInt::from_u32(CONNECTION_WINDOW));
    config.send_window(SEND_WINDOW);
    config.crypto_buffer_size(HANDSHAKE_AHEAD);
    // A silent client may wait for an answer that was promised; one that asks nothing is ended earlier.
    let silence = (limits.idle + limits.later).try_into();
    config.max_idle_timeout(Some(silence.unwrap_or(IdleTimeout::from(VarInt::MAX))));
    config
}
