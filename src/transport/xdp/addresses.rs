//! What the program of an interface looks addresses up in, and bringing it to what the interface has now.
//!
//! One entry is changed at a time, while the program goes on: each frame is judged by what is there when it
//! comes.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::bpf::AddressSet;
use super::interface::Own;
use super::program::ADDRESS_BYTES;

/// Addresses that an interface is asked at, at most; frames to the others go to the kernel. As many are known
/// that stand for subnets.
pub const MAX_ADDRESSES: usize = 256;

const _: () = assert!(MAX_ADDRESSES <= u32::MAX as usize);

/// The addresses of one interface.
#[derive(Debug)]
pub(super) struct Addresses {
    local: IpAddr,
    asked: Known,
    broadcasts: Known,
}

impl Addresses {
    /// None yet. `local` is the address that is served; an unspecified one stands for every one, `[::]` for
    /// those of both families.
    pub(super) fn none(local: IpAddr) -> io::Result<Self> {
        Ok(Addresses { local, asked: Known::nothing()?, broadcasts: Known::nothing()? })
    }

    /// Takes over what the interface has now.
    pub(super) fn become_those_of(&mut self, owns: &[Own]) -> io::Result<Change> {
        let broadcasts = owns.iter().filter_map(|own| own.broadcast).map(IpAddr::from).collect();
        // First what nobody asks from, so that no new address is answered there in between.
        self.broadcasts.become_these(broadcasts)?;
        let of_those = owns.iter().filter(|own| stands_for(self.local, own.ip));
        // An address whose subnet's found no room is left to the kernel, which knows it.
        let (asked, left): (Vec<&Own>, Vec<&Own>) =
            of_those.partition(|own| own.broadcast.is_none_or(|ip| self.broadcasts.now.contains(&ip.into())));
        let change = self.asked.become_these(asked.into_iter().map(|own| own.ip).collect())?;
        Ok(Change { unserved: change.unserved + left.len(), ..change })
    }

    /// The map of those that are asked.
    pub(super) fn asked(&self) -> BorrowedFd<'_> {
        self.asked.set.as_fd()
    }

    /// The map of those that stand for subnets.
    pub(super) fn broadcasts(&self) -> BorrowedFd<'_> {
        self.broadcasts.set.as_fd()
    }
}

/// Whether `local` stands for `ip`.
fn stands_for(local: IpAddr, ip: IpAddr) -> bool {
    match local {
        IpAddr::V6(all) if all.is_unspecified() => true,
        IpAddr::V4(all) if all.is_unspecified() => ip.is_ipv4(),
        one => ip == one,
    }
}

/// What became of the addresses that are asked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// How many came.
    pub added: usize,
    /// How many went.
    pub removed: usize,
    /// How many there are.
    pub served: usize,
    /// How many there are beyond [`MAX_ADDRESSES`].
    pub unserved: usize,
}

/// A set of the kernel, and what is in it.
#[derive(Debug)]
struct Known {
    set: AddressSet,
    now: BTreeSet<IpAddr>,
}

impl Known {
    fn nothing() -> io::Result<Self> {
        Ok(Known { set: AddressSet::create(MAX_ADDRESSES as u32)?, now: BTreeSet::new() })
    }

    fn become_these(&mut self, wanted: BTreeSet<IpAddr>) -> io::Result<Change> {
        // Those that are there stay, so that too many do not push each other out.
        let gone: Vec<IpAddr> = self.now.difference(&wanted).copied().collect();
        for address in &gone {
            self.set.remove(bytes(*address))?;
            self.now.remove(address);
        }
        let mut change = Change { removed: gone.len(), ..Change::default() };
        let new: Vec<IpAddr> = wanted.difference(&self.now).copied().collect();
        for address in new {
            // bounded: what finds no room is left to the kernel.
            if self.now.len() == MAX_ADDRESSES {
                change.unserved += 1;
                continue;
            }
            self.set.add(bytes(address))?;
            self.now.insert(address);
            change.added += 1;
        }
        change.served = self.now.len();
        Ok(change)
    }
}

fn bytes(address: IpAddr) -> [u8; ADDRESS_BYTES] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn own(number: u32) -> Own {
        Own {
            ip: Ipv4Addr::from_bits(0x0a00_0001 + number).into(),
            broadcast: Some(Ipv4Addr::new(10, 0, 255, 255)),
        }
    }

    /// Addresses in the kernel, if this process may have some.
    fn addresses(local: IpAddr) -> Option<Addresses> {
        match Addresses::none(local) {
            Ok(none) => Some(none),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                eprintln!("skipped: sets of addresses in the kernel, which need CAP_BPF: {e}");
                None
            }
            Err(e) => panic!("two maps: {e}"),
        }
    }

    #[test]
    fn an_unspecified_address_stands_for_those_of_its_families() {
        let [one, other]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        let v6 = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
        let (any, any_v4) = (IpAddr::from(Ipv6Addr::UNSPECIFIED), IpAddr::from(Ipv4Addr::UNSPECIFIED));
        for (local, ip, stands) in [
            (any, one, true),
            (any, v6, true),
            (any_v4, one, true),
            (any_v4, v6, false),
            (one, one, true),
            (one, other, false),
            (v6, v6, true),
        ] {
            assert_eq!(stands_for(local, ip), stands, "{local} for {ip}");
        }
    }

    #[test]
    fn what_comes_is_added_what_goes_is_removed_and_what_is_too_much_is_counted() {
        let Some(mut addresses) = addresses(Ipv4Addr::UNSPECIFIED.into()) else { return };
        let mut become_all = |numbers: std::ops::Range<u32>| {
            let owns: Vec<Own> = numbers.map(own).collect();
            addresses.become_those_of(&owns).expect("the kernel does as it is told")
        };
        assert_eq!(become_all(0..2), Change { added: 2, removed: 0, served: 2, unserved: 0 });
        assert_eq!(become_all(0..2), Change { added: 0, removed: 0, served: 2, unserved: 0 });
        assert_eq!(become_all(1..4), Change { added: 2, removed: 1, served: 3, unserved: 0 });
        let all = MAX_ADDRESSES as u32;
        assert_eq!(
            become_all(0..all + 2),
            Change { added: MAX_ADDRESSES - 3, removed: 0, served: MAX_ADDRESSES, unserved: 2 }
        );
        assert_eq!(become_all(all..all), Change { added: 0, removed: MAX_ADDRESSES, served: 0, unserved: 0 });
        assert_eq!(addresses.broadcasts.now.len(), 0);
        assert_eq!(addresses.become_those_of(&[own(7), own(8)]).map(|change| change.served).ok(), Some(2));
        assert_eq!(addresses.broadcasts.now, [IpAddr::from([10, 0, 255, 255])].into());
    }
}
