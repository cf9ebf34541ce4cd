//! A server with AF_XDP on its interface, and sockets that ask it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::asker::Asker;
use super::network::{Network, SERVER_SIDE};
use super::server::{Place, Server};

/// A place for a server that has AF_XDP on the interface of the network.
pub(crate) fn place(network: &Network, dir: &Path, name: &str) -> Place {
    let any = "[::]:0";
    let place = Place::new(dir, name).with("--udp", any).with("--tls", any).with("--quic", any);
    place.with("--metrics", "off").with("--xdp", SERVER_SIDE).under(&network.at_server())
}

/// A socket that asks `server` at `address`.
pub(crate) fn phone(server: &Server, address: IpAddr) -> Asker {
    Asker::new(SocketAddr::new(address, server.udp().port()), server.trust().service)
}

/// The value of an event of AF_XDP, or of the workers of UDP beside it.
pub(crate) fn counted(server: &Server, transport: &str, event: &str) -> u64 {
    server.metric(&format!("tekd_{transport}_total{{event=\"{event}\"}}")) as u64
}
