//! Configurations of name servers for a comparison: one zone, one worker, nothing else to do.

use std::net::SocketAddr;
use std::path::Path;

use crate::names::ZONE;

/// NSD: one process that answers. Its limit on answers is off, for all questions come from one address.
pub(crate) fn nsd_configuration(address: SocketAddr, dir: &Path, zone: &Path) -> String {
    let (ip, port, dir, zone) = (address.ip(), address.port(), dir.display(), zone.display());
    format!(
        "server:\n  server-count: 1\n  ip-address: {ip}@{port}\n  port: {port}\n  username: \"\"\n  \
         zonesdir: \"{dir}\"\n  pidfile: \"\"\n  database: \"\"\n  xfrdfile: \"{dir}/xfrd.state\"\n  \
         xfrdir: \"{dir}\"\n  zonelistfile: \"{dir}/zone.list\"\n  verbosity: 0\n  rrl-ratelimit: 0\n  \
         minimal-responses: yes\nremote-control:\n  control-enable: no\nzone:\n  name: {ZONE}\n  \
         zonefile: \"{zone}\"\n"
    )
}

/// Knot DNS: one thread that answers over UDP sockets.
pub(crate) fn knot_configuration(address: SocketAddr, dir: &Path, zone: &Path) -> String {
    let listen = format!("  listen: {}@{}\n", address.ip(), address.port());
    knot(&listen, "", dir, zone)
}

/// Knot DNS on the AF_XDP socket of an interface, in whatever mode its driver has.
pub(crate) fn knot_xdp_configuration(interface: &str, port: u16, dir: &Path, zone: &Path) -> String {
    knot("", &format!("xdp:\n  listen: {interface}@{port}\n"), dir, zone)
}

fn knot(listen: &str, xdp: &str, dir: &Path, zone: &Path) -> String {
    let (dir, zone) = (dir.display(), zone.display());
    format!(
        "server:\n  rundir: \"{dir}\"\n{listen}  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\n{xdp}log:\n  - target: stderr\n    any: error\ndatabase:\n  \
         storage: \"{dir}\"\nzone:\n  - domain: {ZONE}\n    file: \"{zone}\"\n    zonefile-sync: -1\n    \
         zonefile-load: whole\n    journal-content: none\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_worker_one_address_and_the_zone() {
        let address = "198.18.0.1:5300".parse().expect("an address");
        let (dir, zone) = (Path::new("dir"), Path::new("dir/zone"));
        let nsd = nsd_configuration(address, dir, zone);
        let knot = knot_configuration(address, dir, zone);
        let xdp = knot_xdp_configuration("tekd3", 53, dir, zone);
        assert!(nsd.contains("\n  server-count: 1\n") && nsd.contains("\n  ip-address: 198.18.0.1@5300\n"));
        assert!(knot.contains("\n  listen: 198.18.0.1@5300\n") && !knot.contains("xdp"));
        assert!(xdp.contains("\nxdp:\n  listen: tekd3@53\n") && !xdp.contains("198.18"));
        for text in [nsd, knot, xdp] {
            assert!(text.contains("load.test\n") && text.contains("\"dir/zone\"\n"), "{text}");
        }
    }
}
