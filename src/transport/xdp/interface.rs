//! Network interfaces as the kernel describes them: number, station, queues, addresses.
//!
//! The files of `/sys/class/net` tell the first three. Addresses are asked of the kernel by one message on a
//! routing socket (RFC 3549), so that it is known which interface has them.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where interfaces are described.
const INTERFACES: &str = "/sys/class/net";
/// How the names of links to interfaces on top begin.
const UPPER: &str = "upper_";
/// What an interface of Ethernet says its type is.
const TYPE_ETHERNET: &str = "1";
/// The interface whose addresses every other one may be asked for: where anycast addresses are put.
const LOOPBACK_INDEX: u32 = 1;
/// The longest prefix of a subnet that has a broadcast address, bits.
pub(super) const LONGEST_WITH_BROADCAST: u8 = 30;
/// Queues looked for, at most.
const MAX_QUEUES: u32 = 1024;
/// How long the kernel may take to tell addresses.
const PATIENCE: Duration = Duration::from_secs(2);
/// Messages of the kernel about addresses, at most.
const MAX_READS: usize = 1024;
/// One read of such messages, bytes.
const READ_BYTES: usize = 32 << 10;
/// The name of an interface, bytes at most.
pub const MAX_NAME: usize = 15;

/// An interface of Ethernet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    /// The kernel's number for it.
    pub(super) index: u32,
    pub(super) station: [u8; 6],
    /// Queues that can be both received from and sent to.
    pub(super) queues: u32,
    /// An interface that lies on top of it, such as a VLAN or a bridge, if one does.
    pub(super) upper: Option<String>,
}

impl Interface {
    /// The interface called `name`.
    pub(super) fn find(name: &str) -> io::Result<Interface> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        if name.is_empty() || name.len() > MAX_NAME || name.contains(['/', '\0']) || name.starts_with('.') {
            return Err(invalid("not the name of an interface".to_owned()));
        }
        let dir = Path::new(INTERFACES).join(name);
        let text = |file: &str| fs::read_to_string(dir.join(file)).map(|text| text.trim().to_owned());
        let index = text("ifindex")?.parse().map_err(|_| invalid("it has no number".to_owned()))?;
        let (kind, station) = (text("type")?, text("address")?);
        let station = parse_station(&station).filter(|_| kind == TYPE_ETHERNET);
        let station = station.ok_or_else(|| invalid("it is not an interface of Ethernet".to_owned()))?;
        let has = |queue: u32, direction: &str| dir.join(format!("queues/{direction}-{queue}")).exists();
        let queues = (0..MAX_QUEUES).take_while(|queue| has(*queue, "rx") && has(*queue, "tx")).count();
        let upper = fs::read_dir(&dir)?.flatten().find_map(|entry| {
            entry.file_name().to_str().and_then(|file| file.strip_prefix(UPPER)).map(str::to_owned)
        });
        Ok(Interface { name: name.to_owned(), index, station, queues: queues as u32, upper })
    }
}

/// Interfaces that are network cards, by name: those with a device behind them.
pub fn network_cards() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(INTERFACES)? {
        let entry = entry?;
        if entry.path().join("device").exists() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn parse_station(text: &str) -> Option<[u8; 6]> {
    let mut station = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut station {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(station)
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
struct MessageHeader {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
struct AddressMessage {
    family: u8,
    prefix: u8,
    flags: u8,
    scope: u8,
    interface: u32,
}

#[derive(FromBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
struct Attribute {
    length: u16,
    kind: u16,
}

/// An address of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) ip: IpAddr,
    /// What stands for all of its subnet, of IPv4 and of more than two addresses (RFC 3021).
    pub(super) broadcast: Option<Ipv4Addr>,
}

/// Addresses at which the interface with this number may be asked: its own, and those of the loopback that
/// other machines can know.
pub(super) fn addresses_of(interface: u32) -> io::Result<Vec<Own>> {
    let route = Protocol::from(libc::NETLINK_ROUTE);
    let mut socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(route))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let header = MessageHeader {
        length: (size_of::<MessageHeader>() + size_of::<AddressMessage>()) as u32,
        kind: libc::RTM_GETADDR,
        flags: (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16,
        sequence: 1,
        port: 0,
    };
    let all = AddressMessage { family: libc::AF_UNSPEC as u8, prefix: 0, flags: 0, scope: 0, interface: 0 };
    socket.write_all(&[header.as_bytes(), all.as_bytes()].concat())?;
    let (mut found, mut buffer) = (Vec::new(), vec![0; READ_BYTES]);
    for _ in 0..MAX_READS {
        let length = socket.read(&mut buffer)?;
        if !read_messages(&buffer[..length], interface, &mut found)? {
            return Ok(found);
        }
    }
    Err(io::Error::other("the kernel does not come to an end with addresses"))
}

/// Reads what one answer of the kernel says; whether more is to come.
fn read_messages(mut rest: &[u8], interface: u32, found: &mut Vec<Own>) -> io::Result<bool> {
    while let Ok((header, _)) = MessageHeader::read_from_prefix(rest) {
        let length = header.length as usize;
        let Some(body) = rest.get(size_of::<MessageHeader>()..length) else { break };
        match i32::from(header.kind) {
            libc::NLMSG_DONE => return Ok(false),
            libc::NLMSG_ERROR => {
                let code = i32::read_from_prefix(body).map_or(0, |(code, _)| code);
                return Err(io::Error::from_raw_os_error(code.saturating_neg()));
            }
            _ if header.kind == libc::RTM_NEWADDR => found.extend(read_address(body, interface)),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

/// The address in one message, if the interface may be asked at it.
fn read_address(body: &[u8], interface: u32) -> Option<Own> {
    let (message, mut rest) = AddressMessage::read_from_prefix(body).ok()?;
    if message.interface != interface && message.interface != LOOPBACK_INDEX {
        return None;
    }
    let (mut local, mut peer) = (None, None);
    while let Ok((attribute, _)) = Attribute::read_from_prefix(rest) {
        let length = usize::from(attribute.length);
        let value = rest.get(size_of::<Attribute>()..length)?;
        let address = match i32::from(message.family) {
            libc::AF_INET => value.first_chunk::<4>().map(|bytes| IpAddr::from(Ipv4Addr::from(*bytes))),
            libc::AF_INET6 => value.first_chunk::<16>().map(|bytes| IpAddr::from(Ipv6Addr::from(*bytes))),
            _ => None,
        };
        match attribute.kind {
            libc::IFA_LOCAL => local = address,
            libc::IFA_ADDRESS => peer = address,
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    // Of two ends of a line ours is the local one, the subnet is the other's; elsewhere they are the same.
    let ip = local.or(peer).filter(|address| !address.is_loopback())?;
    Some(Own { ip, broadcast: peer.and_then(|peer| broadcast(peer, message.prefix)) })
}

/// The address in whose host part each bit is set (RFC 919).
fn broadcast(ip: IpAddr, prefix: u8) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(ip) if prefix <= LONGEST_WITH_BROADCAST => {
            Some(Ipv4Addr::from_bits(ip.to_bits() | u32::MAX >> prefix))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_station_is_six_bytes_in_hex() {
        assert_eq!(parse_station("02:00:5e:10:00:ff"), Some([2, 0, 0x5e, 0x10, 0, 0xff]));
        for bad in ["", "02:00:5e:10:00", "02:00:5e:10:00:ff:01", "02:00:5e:10:00:zz", "02005e1000ff"] {
            assert_eq!(parse_station(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_interface_of_ethernet_is_refused() {
        for name in ["", "../net/lo", ".", "..", "a-name-that-is-too-long", "nosuch0"] {
            assert!(Interface::find(name).is_err(), "{name}");
        }
        let error = Interface::find("lo").expect_err("the loopback is none");
        assert!(error.to_string().contains("Ethernet"), "{error}");
    }

    #[test]
    fn the_kernel_tells_addresses_and_none_of_the_loopback_alone() {
        let found = addresses_of(LOOPBACK_INDEX).expect("addresses");
        assert!(found.iter().all(|own| !own.ip.is_loopback()), "{found:?}");
    }

    #[test]
    fn a_subnet_of_more_than_two_addresses_has_one_that_stands_for_all() {
        let of = |prefix| broadcast([192, 0, 2, 77].into(), prefix).map(|address| address.octets());
        assert_eq!(of(24), Some([192, 0, 2, 255]));
        assert_eq!(of(26), Some([192, 0, 2, 127]));
        assert_eq!(of(30), Some([192, 0, 2, 79]));
        assert_eq!(of(8), Some([192, 255, 255, 255]));
        assert_eq!(of(0), Some([255; 4]));
        for prefix in [31, 32, 33, 255] {
            assert_eq!(of(prefix), None, "{prefix}");
        }
        assert_eq!(broadcast(Ipv6Addr::LOCALHOST.into(), 24), None);
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = (4 + value.len()) as u16;
        [&length.to_le_bytes(), &kind.to_le_bytes(), value].concat()
    }

    fn message(family: i32, interface: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let address = AddressMessage { family: family as u8, prefix: 24, flags: 0, scope: 0, interface };
        let body = [address.as_bytes(), &attributes.concat()].concat();
        let length = (size_of::<MessageHeader>() + body.len()) as u32;
        let header = MessageHeader { length, kind: libc::RTM_NEWADDR, flags: 0, sequence: 1, port: 0 };
        [header.as_bytes(), &body].concat()
    }

    #[test]
    fn addresses_are_taken_from_messages_about_the_interface() {
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
        let v4 = |last: u8, kind: u16| attribute(kind, &[192, 0, 2, last]);
        let text = [
            message(libc::AF_INET, 3, &[v4(9, libc::IFA_ADDRESS), v4(1, libc::IFA_LOCAL)]),
            message(libc::AF_INET, 4, &[v4(2, libc::IFA_LOCAL)]),
            message(libc::AF_INET, LOOPBACK_INDEX, &[attribute(libc::IFA_LOCAL, &[127, 0, 0, 1])]),
            message(libc::AF_INET, LOOPBACK_INDEX, &[v4(53, libc::IFA_LOCAL), v4(53, libc::IFA_ADDRESS)]),
            message(libc::AF_INET6, 3, &[attribute(libc::IFA_ADDRESS, &v6.octets())]),
        ]
        .concat();
        let mut found = Vec::new();
        assert!(read_messages(&text, 3, &mut found).expect("no error"));
        let of_v4 = |last| Own { ip: [192, 0, 2, last].into(), broadcast: Some([192, 0, 2, 255].into()) };
        assert_eq!(found, [of_v4(1), of_v4(53), Own { ip: v6.into(), broadcast: None }]);
        for cut in 0..text.len() {
            let mut some = Vec::new();
            read_messages(&text[..cut], 3, &mut some).expect("no error");
            assert!(found.starts_with(&some), "{cut}");
        }
    }
}
