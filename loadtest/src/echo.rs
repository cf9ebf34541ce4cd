//! A server that sends every datagram back where it came from: what the kernel alone costs, the anchor of
//! every comparison.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::system::{BATCH, Batch, wait_readable};

/// How often it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);
/// Batches between two waits.
const ROUNDS: usize = 16;

/// Why there is no echo.
#[derive(Debug, thiserror::Error)]
pub enum EchoError {
    /// Not this machine alone.
    #[error(
        "{0} can be reached from elsewhere; an echo serves whoever lies about his address, so only loopback \
         and 198.18.0.0/15 (measurements) are allowed"
    )]
    Reachable(SocketAddr),
    /// The socket.
    #[error("{address}: {source}")]
    Socket {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A bound echo server, for one thread.
#[derive(Debug)]
pub struct Echo {
    socket: UdpSocket,
    address: SocketAddr,
    spin: Duration,
}

/// Whether nobody elsewhere can reach an address: loopback, and 198.18.0.0/15, which RFC 2544 keeps for
/// measurements and no network routes.
fn stays_here(address: IpAddr) -> bool {
    let measuring = matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 198 && v4.octets()[1] & 0xfe == 18);
    measuring || address.is_loopback()
}

impl Echo {
    /// Binds `address`, which has to be of the loopback or for measurements; port 0 is any free one. Buffers
    /// are those of tekd. After a datagram it looks for the next without a pause for `spin`.
    ///
    /// # Errors
    /// [`EchoError`].
    pub fn bind(address: SocketAddr, spin: Duration) -> Result<Self, EchoError> {
        if !stays_here(address.ip()) {
            return Err(EchoError::Reachable(address));
        }
        let failed = |source| EchoError::Socket { address, source };
        let socket = tekd::transport::bind(address, 1).map_err(failed)?.remove(0);
        let address = socket.local_addr().map_err(failed)?;
        Ok(Echo { socket, address, spin })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Echoes until `stop` is set.
    ///
    /// # Errors
    /// If the socket fails.
    pub fn run(self, stop: &AtomicBool) -> Result<(), EchoError> {
        let address = self.address;
        self.echo(stop).map_err(|source| EchoError::Socket { address, source })
    }

    fn echo(&self, stop: &AtomicBool) -> io::Result<()> {
        let mut batch = Batch::new(false);
        while !stop.load(Ordering::Acquire) {
            wait_readable(self.socket.as_fd(), Some(LOOK))?;
            self.serve(&mut batch)?;
        }
        Ok(())
    }

    /// Sends back what is there, and what comes within the time to spin.
    fn serve(&self, batch: &mut Batch) -> io::Result<()> {
        let mut quiet_since = Instant::now();
        let mut rounds = 0;
        while rounds < ROUNDS {
            let count = self.round(batch)?;
            if self.spin.is_zero() && count < BATCH {
                break;
            }
            if count > 0 {
                rounds += 1;
                quiet_since = Instant::now();
            } else if quiet_since.elapsed() >= self.spin {
                break;
            }
        }
        Ok(())
    }

    fn round(&self, batch: &mut Batch) -> io::Result<usize> {
        let count = batch.receive(self.socket.as_fd())?;
        let mut sent = 0;
        while sent < count {
            match batch.send(self.socket.as_fd(), sent, count)? {
                // No room: what is left is lost, as it is with tekd.
                0 => break,
                more => sent += more,
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lookups::{Echoes, Lookups};
    use crate::measure::{Plan, measure};
    use crate::pace::Pace;

    #[test]
    fn every_question_comes_back_as_it_was() {
        let address = "127.0.0.1:0".parse().expect("an address");
        let echo = Echo::bind(address, Duration::from_micros(50)).expect("bound");
        let server = echo.address();
        let stop = Arc::new(AtomicBool::new(false));
        let running = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || echo.run(&stop)
        });
        let (length, patience) = (Duration::from_millis(100), Duration::from_secs(20));
        let plan =
            Plan { server, pace: Pace::Window(100), length, patience, pid: None, spin: true, train: 1 };
        let lookups = Lookups::new(*b"service!", 1, Arc::new(Vec::new()), 0.0, 1, 1).expect("sound");
        let report = measure(&plan, &mut Echoes(lookups)).expect("measured");
        assert!(report.answered >= 100 && report.answered == report.sent, "{report:?}");
        stop.store(true, Ordering::Release);
        running.join().expect("no panic").expect("a clean end");
    }

    #[test]
    fn only_this_machine_is_served() {
        for address in ["0.0.0.0:0", "192.0.2.1:0", "198.20.0.1:0", "[::]:0"] {
            let refused = Echo::bind(address.parse().expect("an address"), Duration::ZERO);
            assert!(matches!(refused, Err(EchoError::Reachable(_))), "{address}");
        }
    }
}
