//! How datagrams are spread over the workers of this machine.
//!
//! The operator says how, or leaves it to tekd, which looks at the network: steering by processor wants that
//! every worker's processor receives something, which a network card with fewer receive queues than workers
//! does not do by itself. Whether the queues' interrupts reach every processor is the operator's to see to
//! (tuning/irq).

use std::io;
use std::net::UdpSocket;
use std::path::Path;

use crate::service::config::{Listen, UdpIdle, UdpSteering};
use crate::transport::{Steering, UdpPlan, receive_cpus, steer};

/// Where the system shows its network interfaces.
const INTERFACES: &str = "/sys/class/net";
/// Interfaces that are looked at, at most.
const INTERFACES_MAX: usize = 4096;

/// The plan of each of the workers that answer `sockets`, one group of [`bind`](crate::transport::bind).
///
/// # Errors
/// When the system refuses to steer.
pub(crate) fn plans(listen: &Listen, sockets: &[UdpSocket]) -> io::Result<Vec<UdpPlan>> {
    let spin = listen.udp_idle == UdpIdle::Spin;
    let by_cpu = match listen.udp_steering {
        UdpSteering::Cpu => true,
        UdpSteering::Hash => false,
        UdpSteering::Auto => receive_queues(Path::new(INTERFACES)) >= sockets.len(),
    };
    let steering = if by_cpu { steer(sockets, &receive_cpus()?)? } else { Steering::Hash };
    match &steering {
        Steering::Cpu(_) => tracing::info!("datagrams go to the worker on the processor that received them"),
        Steering::Hash if sockets.len() > 1 => tracing::info!("datagrams are spread over workers by a hash"),
        Steering::Hash => {}
    }
    let cpu = |at: usize| match &steering {
        Steering::Cpu(cpus) => cpus.get(at).copied(),
        Steering::Hash => None,
    };
    Ok((0..sockets.len()).map(|at| UdpPlan { cpu: cpu(at), spin }).collect())
}

/// Receive queues of the network card below `interfaces` that has fewest, of those that are up; 0 where there
/// is none or the system does not say.
fn receive_queues(interfaces: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(interfaces) else { return 0 };
    let is_up = |dir: &Path| {
        let state = std::fs::read_to_string(dir.join("operstate"));
        dir.join("device").exists() && state.is_ok_and(|state| state.trim() == "up")
    };
    let cards = entries.take(INTERFACES_MAX).flatten().map(|entry| entry.path()).filter(|dir| is_up(dir));
    cards.map(|card| queues(&card.join("queues"))).min().unwrap_or(0)
}

fn queues(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(dir: &Path, name: &str, card: bool, queues: usize, state: &str) {
        let path = dir.join(name);
        std::fs::create_dir_all(&path).expect("a temporary directory");
        std::fs::write(path.join("operstate"), state).expect("a temporary directory");
        for queue in 0..queues {
            std::fs::create_dir_all(path.join(format!("queues/rx-{queue}"))).expect("a temporary directory");
            std::fs::create_dir_all(path.join(format!("queues/tx-{queue}"))).expect("a temporary directory");
        }
        if card {
            std::fs::create_dir_all(path.join("device")).expect("a temporary directory");
        }
    }

    #[test]
    fn the_card_with_fewest_receive_queues_counts_of_those_that_are_up() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(receive_queues(dir.path()), 0);
        interface(dir.path(), "lo", false, 1, "unknown\n");
        interface(dir.path(), "eth0", true, 4, "up\n");
        assert_eq!(receive_queues(dir.path()), 4);
        interface(dir.path(), "eth1", true, 2, "down\n");
        interface(dir.path(), "br0", false, 1, "up\n");
        assert_eq!(receive_queues(dir.path()), 4);
        interface(dir.path(), "eth2", true, 3, "up\n");
        assert_eq!(receive_queues(dir.path()), 3);
        assert_eq!(receive_queues(&dir.path().join("nowhere")), 0);
    }
}
