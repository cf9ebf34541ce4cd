//! An echo by AF_XDP: what frames cost past the kernel's network stack when nothing is asked of them, the
//! anchor for what tekd does there.
//!
//! It uses the rings and the program of tekd, changes addresses and ports in the frame that came, and sends
//! that. It answers IPv4 alone, without UDP checksums, and only on a veth pair in a network namespace from
//! which nothing else can be reached.

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tekd::transport::bind;
use tekd::transport::xdp::{Attachment, XdpError, XdpSocket, attach, network_cards};

use crate::system::wait_readable;

/// How often it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How long it looks for the next frame before it sleeps: as long as tekd does.
const SPIN: Duration = Duration::from_micros(40);
/// Bytes of Ethernet, of IPv4 without options, and of UDP.
pub(crate) const HEADERS: usize = 14 + 20 + 8;

/// Why there is no echo.
#[derive(Debug, thiserror::Error)]
pub enum XdpEchoError {
    /// It could be reached from elsewhere.
    #[error(
        "{interface} is not one end of a veth pair in a network namespace without network card and default \
         route; an echo serves whoever lies about his address, so nothing else is allowed: `ip netns add` \
         and `ip link add ... type veth` make one"
    )]
    NotOfATest {
        /// The interface.
        interface: String,
    },
    /// AF_XDP cannot be used.
    #[error(transparent)]
    Xdp(#[from] XdpError),
    /// A socket.
    #[error("{address}: {source}")]
    Socket {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// An echo on every queue of an interface.
#[derive(Debug)]
pub struct XdpEcho {
    address: SocketAddr,
    sockets: Vec<XdpSocket>,
    _attachment: Attachment,
    /// Has the port, so that nobody else gets it.
    _beside: UdpSocket,
}

impl XdpEcho {
    /// Binds `address`, which `interface` has to have; port 0 is any free one.
    ///
    /// # Errors
    /// [`XdpEchoError`].
    pub fn bind(interface: &str, address: SocketAddr) -> Result<Self, XdpEchoError> {
        if !is_of_a_test(interface) {
            return Err(XdpEchoError::NotOfATest { interface: interface.to_owned() });
        }
        let failed = |source| XdpEchoError::Socket { address, source };
        let beside = bind(address, 1).map_err(failed)?.remove(0);
        let address = beside.local_addr().map_err(failed)?;
        let (attachment, sockets) = attach(interface, address, false)?;
        Ok(XdpEcho { address, sockets, _attachment: attachment, _beside: beside })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Echoes until `stop` is set, on a thread for each queue.
    ///
    /// # Errors
    /// If a socket fails.
    pub fn run(self, stop: &AtomicBool) -> Result<(), XdpEchoError> {
        let address = self.address;
        let failed = |source| XdpEchoError::Socket { address, source };
        std::thread::scope(|scope| {
            let running: Vec<_> =
                self.sockets.into_iter().map(|socket| scope.spawn(|| echo(socket, stop))).collect();
            running.into_iter().try_for_each(|thread| thread.join().expect("an echo does not panic"))
        })
        .map_err(failed)
    }
}

/// One end of a veth pair, where there is no network card and no way out: an interface with no device, no
/// tunnel and no name for its type behind it. (Of what is left only a veth takes a program in its driver.)
fn is_of_a_test(interface: &str) -> bool {
    let dir = Path::new("/sys/class/net").join(interface);
    let Ok(described) = fs::read_to_string(dir.join("uevent")) else { return false };
    let plain = !described.contains("DEVTYPE=") && !dir.join("tun_flags").exists();
    let Ok(routes) = fs::read_to_string("/proc/self/net/route") else { return false };
    let way_out = routes.lines().any(|route| route.split_whitespace().nth(1) == Some("00000000"));
    plain && interface != "lo" && !way_out && network_cards().is_ok_and(|cards| cards.is_empty())
}

fn echo(mut socket: XdpSocket, stop: &AtomicBool) -> io::Result<()> {
    let mut last = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let count = socket.receive();
        if count > 0 {
            for lane in 0..count {
                if turn_round(socket.received_mut(lane)) {
                    socket.queue_received(lane);
                }
            }
            socket.flush()?;
            last = Instant::now();
        } else if last.elapsed() < SPIN {
            std::hint::spin_loop();
        } else {
            socket.kick()?;
            wait_readable(socket.as_fd(), Some(LOOK))?;
        }
    }
    Ok(())
}

/// Lets the frame go back where it came from; `false` if it is not of IPv4.
pub(crate) fn turn_round(frame: &mut [u8]) -> bool {
    let Some(headers) = frame.first_chunk_mut::<HEADERS>() else { return false };
    if headers[12..14] != [8, 0] {
        return false;
    }
    for (one, other, length) in [(0, 6, 6), (26, 30, 4), (34, 36, 2)] {
        for at in 0..length {
            headers.swap(one + at, other + at);
        }
    }
    // A sum over the same words; only that of UDP may not have been finished yet, and is left out.
    headers[40..42].fill(0);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_goes_back_the_way_it_came() {
        let mut frame: Vec<u8> = (0..64).collect();
        assert!(!turn_round(&mut frame), "not of IPv4");
        frame[12..14].copy_from_slice(&[8, 0]);
        assert!(turn_round(&mut frame));
        assert_eq!(frame[..12], [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]);
        assert_eq!(frame[26..34], [30, 31, 32, 33, 26, 27, 28, 29]);
        assert_eq!(frame[34..42], [36, 37, 34, 35, 38, 39, 0, 0]);
        assert_eq!(frame[42..], (42..64).collect::<Vec<u8>>());
        assert!(!turn_round(&mut frame[..41]), "too short for its headers");
    }

    #[test]
    fn only_a_network_of_a_test_is_served() {
        for interface in ["lo", "eth0", "nosuch0", "../lo"] {
            let refused = XdpEcho::bind(interface, "127.0.0.1:0".parse().expect("an address"));
            assert!(matches!(refused, Err(XdpEchoError::NotOfATest { .. })), "{interface}");
        }
    }
}
