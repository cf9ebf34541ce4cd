//! Where a comparison takes place: a core and a network for the servers, a core and a network for the
//! generator, and a pair of virtual interfaces between them for each server.
//!
//! The networks have no names: they end with this program, however it ends. Where they may not be made, all
//! happens on the loopback, and the stage says so.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use crate::system;

/// Servers on one stage, at most: each has four addresses of 198.18.0.0/24, which RFC 2544 keeps for
/// measurements.
const MAX_PLACES: u8 = 64;

/// Why there is no place for a server.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The system.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The program that sets interfaces up.
    #[error("`ip {arguments}` did not work: {said}")]
    Ip {
        /// What it was told.
        arguments: String,
        /// What it said.
        said: String,
    },
    /// Too many.
    #[error("more than {MAX_PLACES} servers in one comparison")]
    Full,
}

fn system(what: &'static str) -> impl Fn(io::Error) -> StageError {
    move |source| StageError::System { what, source }
}

/// Where one server is to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its address with a port that is free.
    pub(crate) address: SocketAddr,
    /// The interface that has the address, if it is a pair's.
    pub(crate) interface: Option<String>,
    /// The generator's end of that pair.
    pub(crate) other_end: Option<String>,
}

/// Cores and networks, taken until the stage is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    cores: Vec<usize>,
    networks: Option<Networks>,
    places: u8,
}

#[derive(Debug)]
struct Networks {
    home: File,
    servers: File,
    generator: File,
}

impl Stage {
    /// Takes this thread to the generator's core and network.
    ///
    /// # Errors
    /// If the cores cannot be told.
    pub(crate) fn set() -> Result<Self, StageError> {
        let cores = system::cores().map_err(system("cores of this thread"))?;
        let networks = Networks::make().inspect_err(|e| {
            eprintln!("no networks of our own ({e}): all goes over the loopback");
        });
        let stage = Stage { cores, networks: networks.ok(), places: 0 };
        stage.to_generator()?;
        Ok(stage)
    }

    /// Whether server and generator each have a core.
    pub(crate) fn pinned(&self) -> bool {
        self.cores.len() >= 2
    }

    /// The core that servers keep to, if they do.
    pub(crate) fn servers_core(&self) -> Option<usize> {
        self.cores.first().copied().filter(|_| self.pinned())
    }

    /// Whether server and generator each have a network.
    pub(crate) fn has_networks(&self) -> bool {
        self.networks.is_some()
    }

    /// A place for one more server.
    ///
    /// # Errors
    /// [`StageError`].
    pub(crate) fn place(&mut self) -> Result<Place, StageError> {
        let Some(networks) = &self.networks else {
            let address = self.among_servers(|| free(Ipv4Addr::LOCALHOST.into()))??;
            return Ok(Place { address, interface: None, other_end: None });
        };
        let number = self.places;
        if number >= MAX_PLACES {
            return Err(StageError::Full);
        }
        self.places += 1;
        let (here, there) = (format!("load{number}"), format!("tekd{number}"));
        let [server, generator] = [1, 2].map(|host| Ipv4Addr::new(198, 18, 0, 4 * number + host));
        let other = format!("/proc/{}/fd/{}", std::process::id(), networks.servers.as_raw_fd());
        // One queue each way, for one core: with more, AF_XDP would have threads in each other's way.
        let queues = "numrxqueues 1 numtxqueues 1";
        let pair = format!("link add {here} {queues} type veth peer name {there} netns {other} {queues}");
        ip(&pair.split(' ').collect::<Vec<_>>())?;
        up(&here, generator)?;
        let address = self.among_servers(|| {
            up(&there, server)?;
            free(server.into())
        })??;
        Ok(Place { address, interface: Some(there), other_end: Some(here) })
    }

    /// Does something as a server would: what it starts runs on the servers' core in their network.
    ///
    /// # Errors
    /// If core or network cannot be changed.
    pub(crate) fn among_servers<T>(&self, what: impl FnOnce() -> T) -> Result<T, StageError> {
        self.go(0, |networks| &networks.servers)?;
        let result = what();
        self.to_generator()?;
        Ok(result)
    }

    fn to_generator(&self) -> Result<(), StageError> {
        self.go(1, |networks| &networks.generator)
    }

    fn go(&self, core: usize, network: impl Fn(&Networks) -> &File) -> Result<(), StageError> {
        if self.pinned() {
            system::pin(&self.cores[core..=core]).map_err(system("keeping to a core"))?;
        }
        match &self.networks {
            Some(networks) => enter(network(networks)),
            None => Ok(()),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A thread that cannot go back is no worse off than before: its networks end with it.
        let _ = system::pin(&self.cores);
        if let Some(networks) = &self.networks {
            let _ = enter(&networks.home);
        }
    }
}

impl Networks {
    /// Two new networks with a loopback each; this thread is in its own when it returns, even if it fails.
    fn make() -> Result<Self, StageError> {
        let home = current()?;
        let new = || {
            system::new_network().map_err(system("a network of its own"))?;
            let network = current()?;
            ip(&["link", "set", "lo", "up"])?;
            Ok(network)
        };
        let both = new().and_then(|servers| Ok((servers, new()?)));
        enter(&home)?;
        let (servers, generator) = both?;
        Ok(Networks { home, servers, generator })
    }
}

fn current() -> Result<File, StageError> {
    File::open("/proc/thread-self/ns/net").map_err(system("this thread's network"))
}

fn enter(network: &File) -> Result<(), StageError> {
    system::enter_network(network.as_fd()).map_err(system("going to another network"))
}

fn up(interface: &str, address: Ipv4Addr) -> Result<(), StageError> {
    ip(&["addr", "add", &format!("{address}/30"), "dev", interface])?;
    ip(&["link", "set", interface, "up"])
}

fn ip(arguments: &[&str]) -> Result<(), StageError> {
    let output = Command::new("ip").args(arguments).output().map_err(system("starting `ip`"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(StageError::Ip { arguments: arguments.join(" "), said })
}

/// A port that was free a moment ago, for servers that cannot be told to take any.
fn free(address: IpAddr) -> Result<SocketAddr, StageError> {
    let socket = UdpSocket::bind((address, 0)).and_then(|socket| socket.local_addr());
    socket.map_err(system("a free port"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What a server receives that is asked from where the generator stands.
    fn asked(stage: &mut Stage) -> (Place, Vec<u8>) {
        let place = stage.place().expect("a place");
        let bound = stage.among_servers(|| UdpSocket::bind(place.address)).expect("there and back");
        let server = bound.expect("the port is free");
        server.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let client = UdpSocket::bind("0.0.0.0:0").expect("a port");
        client.send_to(b"asked", place.address).expect("there is a way");
        let mut buffer = [0; 16];
        let length = server.recv(&mut buffer).expect("it arrives");
        (place, buffer[..length].to_vec())
    }

    #[test]
    fn every_server_has_a_place_that_the_generator_reaches_and_all_ends_as_it_was() {
        let (cores, home) = (system::cores().expect("known"), current().expect("it has one"));
        let mut stage = Stage::set().expect("set");
        let (first, heard) = asked(&mut stage);
        let (second, heard_too) = asked(&mut stage);
        assert_eq!((heard, heard_too), (b"asked".to_vec(), b"asked".to_vec()));
        assert_ne!(first.address, second.address);
        assert_eq!(first.interface.is_some(), stage.has_networks());
        drop(stage);
        assert_eq!(system::cores().expect("known"), cores);
        let inode = |file: &File| std::os::unix::fs::MetadataExt::ino(&file.metadata().expect("open"));
        assert_eq!(inode(&current().expect("it has one")), inode(&home));
    }

    #[test]
    fn what_the_program_says_is_told() {
        let refused = ip(&["link", "set", "nothing-like-it", "up"]).expect_err("no such interface");
        assert!(
            refused.to_string().starts_with("`ip link set nothing-like-it up` did not work"),
            "{refused}"
        );
    }
}
