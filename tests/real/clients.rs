//! Clients of set 1 that verify what they are told.

use std::net::SocketAddr;

use tekd::client::{Carrier, Client, Patience, TlsCarrier, UdpCarrier};
use tekd::engine::{Random, Seeded};
use tekd::release::Trust;

use super::keys::now;

/// One by datagrams.
pub(crate) fn udp_client(server: SocketAddr, trust: Trust) -> Client<'static> {
    client(UdpCarrier::new(server), trust)
}

/// One by a stream.
pub(crate) fn tls_client(server: SocketAddr, trust: Trust) -> Client<'static> {
    client(TlsCarrier::new(server, None), trust)
}

/// One by `carrier`.
pub(crate) fn client(carrier: impl Carrier + Send + 'static, trust: Trust) -> Client<'static> {
    let mut random = Seeded::new(now());
    let patience = Patience { stream_ms: 10_000, ..Patience::default() };
    let client = Client::new(carrier, trust, 1, move |out: &mut [u8]| random.fill(out), std::thread::sleep);
    client.with_patience(patience, 30)
}
