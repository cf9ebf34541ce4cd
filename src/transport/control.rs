//! Names and control messages of datagrams, as the kernel writes and reads them: safe code over bytes.
//!
//! A received message tells who sent it, which address was asked, and, of a train, how long its cars are. A
//! message that is sent says where from and, of a train, how to cut it.

use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Room for the control messages of one message, bytes.
pub(super) const CONTROL_BYTES: usize = 96;

const CONTROL_HEADER: usize = size_of::<ControlHeader>();

// Received: one of either family and a length; sent: the same.
const _: () = assert!(CONTROL_BYTES >= 2 * CONTROL_HEADER + padded(size_of::<PacketInfo6>()) + padded(4));
const _: () = assert!(CONTROL_HEADER == size_of::<libc::cmsghdr>());
const _: () = assert!(offset_of!(ControlHeader, level) == offset_of!(libc::cmsghdr, cmsg_level));
const _: () = assert!(offset_of!(ControlHeader, kind) == offset_of!(libc::cmsghdr, cmsg_type));
const _: () = assert!(size_of::<PacketInfo4>() == size_of::<libc::in_pktinfo>());
const _: () = assert!(size_of::<PacketInfo6>() == size_of::<libc::in6_pktinfo>());
const _: () = assert!(size_of::<Name>() == size_of::<libc::sockaddr_in6>());
const _: () =
    assert!(offset_of!(libc::sockaddr_in, sin_addr) == 4 && offset_of!(libc::sockaddr_in6, sin6_addr) == 8);

/// Control data are padded to the word of the kernel.
const fn padded(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>())
}

/// `sockaddr_in` or `sockaddr_in6`, as the kernel wrote it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Name {
    family: u16,
    port: [u8; 2],
    rest: [u8; 24],
}

impl Name {
    pub(super) const EMPTY: Name = Name { family: 0, port: [0; 2], rest: [0; 24] };

    /// Address and port, an IPv4 address of a socket for both families as IPv4.
    pub(super) fn source(&self) -> Option<(IpAddr, u16)> {
        let ip = match i32::from(self.family) {
            libc::AF_INET => IpAddr::V4(Ipv4Addr::from(*self.rest.first_chunk::<4>()?)),
            libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(*self.rest.get(4..)?.first_chunk::<16>()?)),
            _ => return None,
        };
        Some((ip.to_canonical(), u16::from_be_bytes(self.port)))
    }
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct ControlHeader {
    length: usize,
    level: i32,
    kind: i32,
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct PacketInfo4 {
    interface: i32,
    local: [u8; 4],
    destination: [u8; 4],
}

#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct PacketInfo6 {
    local: [u8; 16],
    interface: u32,
}

/// Control messages of one message.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Control(pub(super) [u8; CONTROL_BYTES]);

impl Control {
    pub(super) const EMPTY: Control = Control([0; CONTROL_BYTES]);

    /// Calls `each` with level, type and data of every message in the first `length` bytes.
    fn walk(&self, length: usize, mut each: impl FnMut(i32, i32, &[u8])) {
        let mut rest = &self.0[..length.min(CONTROL_BYTES)];
        while let Ok((header, _)) = ControlHeader::read_from_prefix(rest) {
            let Some(data) = rest.get(CONTROL_HEADER..header.length) else { return };
            each(header.level, header.kind, data);
            let next = padded(header.length);
            rest = rest.get(next..).unwrap_or_default();
        }
    }

    /// Writes one message behind the first `at` bytes; returns the length to tell the kernel.
    fn write<T: IntoBytes + Immutable>(&mut self, at: usize, level: i32, kind: i32, data: T) -> usize {
        let header = ControlHeader { length: CONTROL_HEADER + size_of::<T>(), level, kind };
        let (head, body) = self.0[at..].split_at_mut(CONTROL_HEADER);
        head.copy_from_slice(header.as_bytes());
        body[..size_of::<T>()].copy_from_slice(data.as_bytes());
        at + CONTROL_HEADER + padded(size_of::<T>())
    }
}

/// What the kernel says of a received message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// The address that was asked.
    pub(super) local: Local,
    /// Bytes of each car of a train, of which the last may have fewer; `None` of a datagram that came alone.
    pub(super) car: Option<usize>,
}

/// The address that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Local {
    /// The one that the socket is bound to.
    Bound,
    /// One of this machine's.
    V4([u8; 4]),
    /// One of this machine's, and the interface.
    V6([u8; 16], u32),
}

impl Arrival {
    /// Reads it out of the first `length` bytes of received control messages.
    pub(super) fn parse(control: &Control, length: usize) -> Self {
        let mut arrival = Arrival { local: Local::Bound, car: None };
        control.walk(length, |level, kind, data| match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                if let Ok((info, _)) = PacketInfo4::read_from_prefix(data) {
                    arrival.local = Local::V4(info.local);
                }
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                if let Ok((info, _)) = PacketInfo6::read_from_prefix(data) {
                    arrival.local = Local::V6(info.local, info.interface);
                }
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                let length = i32::read_from_prefix(data).map_or(0, |(length, _)| length);
                arrival.car = usize::try_from(length).ok().filter(|length| *length > 0);
            }
            _ => {}
        });
        arrival
    }
}

impl Local {
    /// Writes the message that makes an answer leave from this address behind the first `at` bytes; returns
    /// the length to tell the kernel.
    ///
    /// The route chooses the interface, except for a link-local address, which means
    /// nothing without one.
    pub(super) fn write(self, control: &mut Control, at: usize) -> usize {
        match self {
            Local::Bound => at,
            Local::V4(local) => {
                let info = PacketInfo4 { interface: 0, local, destination: [0; 4] };
                control.write(at, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
            }
            Local::V6(local, interface) => {
                let link_local = Ipv6Addr::from(local).is_unicast_link_local();
                let info = PacketInfo6 { local, interface: if link_local { interface } else { 0 } };
                control.write(at, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
            }
        }
    }
}

/// Writes, behind the first `at` bytes, that what is sent is to be cut into datagrams of `car` bytes; returns
/// the length to tell the kernel.
pub(super) fn write_car(control: &mut Control, at: usize, car: u16) -> usize {
    control.write(at, libc::SOL_UDP, libc::UDP_SEGMENT, car)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn control_bytes_of_any_content_are_walked_within_bounds(
            bytes in proptest::collection::vec(any::<u8>(), CONTROL_BYTES),
            length in 0usize..200,
        ) {
            let mut control = Control::EMPTY;
            control.0.copy_from_slice(&bytes);
            let mut seen = 0;
            control.walk(length, |_, _, data| seen += CONTROL_HEADER + data.len());
            prop_assert!(seen <= CONTROL_BYTES);
            prop_assert!(Arrival::parse(&control, length).car != Some(0));
        }
    }

    #[test]
    fn the_address_asked_survives_from_receive_to_send() {
        for (local, expected) in [
            (Local::V4([127, 0, 0, 2]), Local::V4([127, 0, 0, 2])),
            (Local::V6(Ipv6Addr::LOCALHOST.octets(), 7), Local::V6(Ipv6Addr::LOCALHOST.octets(), 0)),
        ] {
            let mut control = Control::EMPTY;
            let length = local.write(&mut control, 0);
            assert_eq!(Arrival::parse(&control, length), Arrival { local: expected, car: None });
        }
        let mut control = Control::EMPTY;
        assert_eq!(Local::Bound.write(&mut control, 0), 0);
    }

    #[test]
    fn a_link_local_address_keeps_its_interface() {
        let address: Ipv6Addr = "fe80::1".parse().expect("an address");
        let mut control = Control::EMPTY;
        let length = Local::V6(address.octets(), 3).write(&mut control, 0);
        assert_eq!(Arrival::parse(&control, length).local, Local::V6(address.octets(), 3));
    }

    #[test]
    fn the_length_of_cars_is_found_behind_the_longest_address_and_fits_with_it() {
        let mut control = Control::EMPTY;
        let local = Local::V6(Ipv6Addr::LOCALHOST.octets(), 0);
        let address = local.write(&mut control, 0);
        let length = control.write(address, libc::SOL_UDP, libc::UDP_GRO, 96i32);
        assert_eq!(Arrival::parse(&control, length), Arrival { local, car: Some(96) });
        let length = write_car(&mut control, address, 1232);
        assert!(length <= CONTROL_BYTES && length == address + CONTROL_HEADER + 8);
    }

    #[test]
    fn cars_of_no_length_are_no_train() {
        for length in [0, -1] {
            let mut control = Control::EMPTY;
            let length = control.write(0, libc::SOL_UDP, libc::UDP_GRO, length);
            assert_eq!(Arrival::parse(&control, length).car, None);
        }
    }

    #[test]
    fn names_of_both_families_are_read_and_mapped_ones_are_ipv4() {
        let mut name = Name { family: libc::AF_INET as u16, port: [0x20, 0xA1], rest: [0; 24] };
        name.rest[..4].copy_from_slice(&[192, 0, 2, 1]);
        assert_eq!(name.source(), Some(("192.0.2.1".parse().expect("an address"), 8353)));
        name.family = libc::AF_INET6 as u16;
        let mapped = Ipv4Addr::new(192, 0, 2, 9).to_ipv6_mapped();
        name.rest[4..20].copy_from_slice(&mapped.octets());
        assert_eq!(name.source(), Some(("192.0.2.9".parse().expect("an address"), 8353)));
        assert_eq!(Name::EMPTY.source(), None);
    }
}
