//! Two network namespaces with a veth pair between them, for one test; both are gone when it ends, however it
//! does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// The server's interface.
pub(crate) const SERVER_SIDE: &str = "tk0";
/// Its clients'.
pub(crate) const CLIENT_SIDE: &str = "tk1";
pub(crate) const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub(crate) const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// An address that the server has on its loopback, as one that is announced from many places.
pub(crate) const ANYCAST: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 53));
pub(crate) const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77));

/// Tells a test which runs inside what its namespaces are called.
const INSIDE: &str = "TEKD_TEST_NAMESPACES";
/// How the names of all namespaces begin.
const PREFIX: &str = "tekd-test-";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The namespaces of one test.
pub(crate) struct Network {
    name: String,
    made_here: bool,
}

impl Network {
    fn server(&self) -> String {
        format!("{}-s", self.name)
    }

    fn client(&self) -> String {
        format!("{}-c", self.name)
    }

    /// The words that run a program where the server is.
    pub(crate) fn at_server(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.server()].map(str::to_owned).to_vec()
    }

    /// What `ip` says about the server's interface.
    pub(crate) fn described(&self) -> String {
        let shown = ip(&["-d", "-n", &self.server(), "link", "show", SERVER_SIDE]);
        String::from_utf8_lossy(&shown.stdout).into_owned()
    }

    /// Gives the server's interface an address, or takes one away: `change` is `add` or `delete`.
    #[track_caller]
    pub(crate) fn change_address(&self, change: &str, address: &str) {
        must(&["-n", &self.server(), "address", change, address, "dev", SERVER_SIDE]);
    }

    /// Makes both, joined, with addresses.
    fn make() -> Self {
        remove_leftovers();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let network = Network { name: format!("{PREFIX}{}-{number}", std::process::id()), made_here: true };
        let (server, client) = (network.server(), network.client());
        let (s, c) = (server.as_str(), client.as_str());
        must(&["netns", "add", s]);
        must(&["netns", "add", c]);
        let pair = ["link", "add", SERVER_SIDE, "netns", s, "numrxqueues", "2", "numtxqueues", "2"];
        let peer =
            ["type", "veth", "peer", "name", CLIENT_SIDE, "netns", c, "numrxqueues", "2", "numtxqueues", "2"];
        must(&[&pair[..], &peer[..]].concat());
        for (place, side, v4, v6) in [
            (s, SERVER_SIDE, "192.0.2.1/24", "2001:db8::1/64"),
            (c, CLIENT_SIDE, "192.0.2.77/24", "2001:db8::77/64"),
        ] {
            must(&["-n", place, "address", "add", v4, "dev", side]);
            must(&["-n", place, "address", "add", v6, "dev", side, "nodad"]);
            must(&["-n", place, "link", "set", "lo", "up"]);
            must(&["-n", place, "link", "set", side, "up"]);
        }
        must(&["-n", s, "address", "add", "198.51.100.53/32", "dev", "lo"]);
        must(&["-n", c, "route", "add", "198.51.100.53/32", "via", "192.0.2.1"]);
        network
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.made_here {
            // Processes that are left keep a namespace alive without its name, and only until they end.
            ip(&["netns", "delete", &self.server()]);
            ip(&["netns", "delete", &self.client()]);
        }
    }
}

fn ip(words: &[&str]) -> Output {
    Command::new("ip").args(words).output().expect("`ip` of iproute2 can be run")
}

#[track_caller]
fn must(words: &[&str]) {
    let done = ip(words);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "root cannot make the network of this test: ip {}: {said}",
        words.join(" ")
    );
}

/// Removes the namespaces of test processes that were killed.
fn remove_leftovers() {
    let listed = ip(&["netns", "list"]).stdout;
    for name in String::from_utf8_lossy(&listed).lines().filter_map(|line| line.split(' ').next()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            ip(&["netns", "delete", name]);
        }
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("`id` can be run");
    id.stdout.trim_ascii() == b"0"
}

/// Runs `test`, which is the test of this name, where the clients are.
#[track_caller]
pub(crate) fn inside(name: &str, test: impl FnOnce(&Network)) {
    if let Ok(names) = std::env::var(INSIDE) {
        return test(&Network { name: names, made_here: false });
    }
    if !is_root() {
        eprintln!("skipped: {name}, which makes network namespaces and needs root for it");
        return;
    }
    let network = Network::make();
    let own = std::env::current_exe().expect("a test program");
    let done = Command::new("ip")
        .args(["netns", "exec", &network.client()])
        .arg(own)
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .env(INSIDE, &network.name)
        .output()
        .expect("`ip` of iproute2 can be run");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{out}{err}");
    assert!(out.contains("1 passed"), "{name} is the name of no test: {out}");
}
