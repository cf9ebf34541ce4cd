//! Which worker gets a datagram: the one on the processor that received it, where there is one for each.
//!
//! Then the kernel's half of the way and ours run in one cache and no worker waits for a line of another. It
//! wants that the network spreads what it receives over the processors: with a single receive queue one
//! processor would get everything, and the kernel's hash of addresses and ports, which spreads by itself, is
//! better.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::options;

/// How datagrams are spread over workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steering {
    /// By a hash of addresses and ports.
    Hash,
    /// By the processor that received them; each worker stays on its own, in the order of sockets.
    Cpu(Vec<usize>),
}

/// The processors this process may run on.
///
/// # Errors
/// The system's.
pub fn receive_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

/// Has the kernel steer by processor, if `sockets` (one group of [`bind`](super::bind)) are as many as `cpus`
/// and these are told apart by their number modulo how many they are. Else it goes on by its hash.
///
/// # Errors
/// The system's.
pub fn steer(sockets: &[UdpSocket], cpus: &[usize]) -> io::Result<Steering> {
    let Some(order) = places(cpus).filter(|order| order.len() == sockets.len() && order.len() > 1) else {
        return Ok(Steering::Hash);
    };
    options::steer_by_cpu(sockets[0].as_fd(), order.len() as u32)?;
    Ok(Steering::Cpu(order))
}

/// The processors in the order of `number mod how many`, if that gives each a place of its own.
fn places(cpus: &[usize]) -> Option<Vec<usize>> {
    let mut order = vec![None; cpus.len()];
    for cpu in cpus {
        let place = &mut order[cpu % cpus.len()];
        if place.replace(*cpu).is_some() {
            return None;
        }
    }
    order.into_iter().collect()
}

/// Keeps the calling thread on `cpu`. Where it may not, it goes where it is put: slower, not wrong.
pub(super) fn stay_on(cpu: usize) {
    if cpu < CpuSet::MAX_CPU {
        let mut set = CpuSet::new();
        set.set(cpu);
        let _ = sched_setaffinity(None, &set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::bind;

    #[test]
    fn each_processor_has_a_place_if_their_numbers_give_one() {
        assert_eq!(places(&[0, 1, 2, 3]), Some(vec![0, 1, 2, 3]));
        assert_eq!(places(&[2, 3]), Some(vec![2, 3]));
        assert_eq!(places(&[3, 4, 5]), Some(vec![3, 4, 5]));
        assert_eq!(places(&[5, 6, 7]), Some(vec![6, 7, 5]));
        assert_eq!(places(&[0, 2, 4, 6]), None, "two of them would share a place");
        assert_eq!(places(&[]), Some(vec![]));
    }

    #[test]
    fn where_not_every_worker_has_a_processor_the_hash_spreads() {
        let sockets = bind("127.0.0.1:0".parse().expect("an address"), 3).expect("sockets");
        for cpus in [&[0, 1][..], &[0, 2, 3], &[]] {
            assert_eq!(steer(&sockets, cpus).expect("not asked of the kernel"), Steering::Hash);
        }
        assert_eq!(steer(&sockets[..1], &[0]).expect("alone"), Steering::Hash);
    }
}
