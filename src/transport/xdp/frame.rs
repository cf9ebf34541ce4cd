//! Ethernet, IP and UDP around one question and around its answer: bytes to bytes, no I/O.
//!
//! A question comes in a frame of IPv4 without options or of IPv6 without extension headers, whole and
//! untagged; all else the program in front has passed to the kernel, and is refused here once more. Its
//! answer goes back the way it came: addresses and ports change places, nothing is looked up.
//!
//! *Checksums.* The IPv4 header's has to hold. That of UDP has to hold too, or be absent where IPv4 allows
//! it, or be the sum over the pseudo-header alone: so it stands in a frame that never was on a wire, from a
//! sender on this machine that left the rest to a network card which is not there. Answers carry full
//! checksums.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::transport::mmsg::MAX_DATAGRAM;

pub(super) const ETHERNET: usize = 14;
pub(super) const IPV4: usize = 20;
pub(super) const IPV6: usize = 40;
pub(super) const UDP: usize = 8;
const HEADERS_V4: usize = ETHERNET + IPV4 + UDP;
const HEADERS_V6: usize = ETHERNET + IPV6 + UDP;
/// The longest frame that is taken and the longest that is sent, bytes.
pub const MAX_FRAME: usize = HEADERS_V6 + MAX_DATAGRAM;
/// Room in front of an answer for its headers, bytes: a cache line.
pub const HEAD: usize = 64;

pub(super) const TYPE_V4: [u8; 2] = [0x08, 0x00];
pub(super) const TYPE_V6: [u8; 2] = [0x86, 0xdd];
/// Version 4, five words of header.
pub(super) const VERSION_V4: u8 = 0x45;
const VERSION_V6: u8 = 0x60;
/// More-fragments flag and offset.
pub(super) const FRAGMENT_V4: u16 = 0x3fff;
const DONT_FRAGMENT: [u8; 2] = [0x40, 0x00];
pub(super) const PROTOCOL_UDP: u8 = 17;
/// Routers an answer may pass.
const HOPS: u8 = 64;

const _: () = assert!(HEADERS_V6 <= HEAD);
const _: () = assert!(UDP + MAX_DATAGRAM <= u16::MAX as usize);

/// The headers of a question, as they came.
#[derive(Debug, Clone, Copy)]
enum Headers<'a> {
    V4(&'a [u8; HEADERS_V4]),
    V6(&'a [u8; HEADERS_V6]),
}

/// A question in its frame.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub ip: IpAddr,
    /// From which port; not 0.
    pub port: u16,
    /// What the datagram holds.
    pub payload: &'a [u8],
    headers: Headers<'a>,
}

impl<'a> Question<'a> {
    /// Finds the question in `frame`; `None` if it is not exactly of the form described above.
    pub fn parse(frame: &'a [u8]) -> Option<Self> {
        let ethernet = frame.first_chunk::<ETHERNET>()?;
        // A group of stations never asks, and must not be answered.
        let from_group = ethernet[6] & 1 != 0;
        match [ethernet[12], ethernet[13]] {
            TYPE_V4 if !from_group => Self::parse_v4(frame),
            TYPE_V6 if !from_group => Self::parse_v6(frame),
            _ => None,
        }
    }

    fn parse_v4(frame: &'a [u8]) -> Option<Self> {
        let headers = frame.first_chunk::<HEADERS_V4>()?;
        let ip = frame[ETHERNET..].first_chunk::<IPV4>()?;
        let plain = ip[0] == VERSION_V4 && u16_at(ip, 6) & FRAGMENT_V4 == 0 && ip[9] == PROTOCOL_UDP;
        if !plain || fold(sum(ip)) != u16::MAX {
            return None;
        }
        let datagram = frame[ETHERNET..].get(IPV4..usize::from(u16_at(ip, 2)))?;
        let source = Ipv4Addr::from(*ip[12..].first_chunk::<4>()?);
        // What the kernel would not take either: this network (0/8), itself, groups, the reserved (240/4).
        if source.octets()[0] == 0 || source.is_loopback() || source.octets()[0] >= 224 {
            return None;
        }
        let (port, payload) = unwrap_udp(datagram, sum(&ip[12..]), true)?;
        Some(Question { ip: source.into(), port, payload, headers: Headers::V4(headers) })
    }

    fn parse_v6(frame: &'a [u8]) -> Option<Self> {
        let headers = frame.first_chunk::<HEADERS_V6>()?;
        let ip = frame[ETHERNET..].first_chunk::<IPV6>()?;
        if ip[0] & 0xf0 != VERSION_V6 || ip[6] != PROTOCOL_UDP {
            return None;
        }
        let datagram = frame[ETHERNET + IPV6..].get(..usize::from(u16_at(ip, 4)))?;
        let source = Ipv6Addr::from(*ip[8..].first_chunk::<16>()?);
        let asked = Ipv6Addr::from(*ip[24..].first_chunk::<16>()?);
        let mapped = source.to_ipv4_mapped().is_some() || asked.to_ipv4_mapped().is_some();
        if source.is_unspecified() || source.is_loopback() || source.is_multicast() || mapped {
            return None;
        }
        let (port, payload) = unwrap_udp(datagram, sum(&ip[8..]), false)?;
        Some(Question { ip: source.into(), port, payload, headers: Headers::V6(headers) })
    }

    /// Writes the headers of `answer` to the end of `room`; returns how many bytes they are.
    ///
    /// `answer` has at most [`MAX_DATAGRAM`] bytes.
    pub fn write_headers(&self, room: &mut [u8; HEAD], answer: &[u8]) -> usize {
        debug_assert!(answer.len() <= MAX_DATAGRAM);
        match self.headers {
            Headers::V4(asked) => {
                let out = room.last_chunk_mut::<HEADERS_V4>().expect("it fits, as asserted above");
                headers_v4(asked, out, answer);
                HEADERS_V4
            }
            Headers::V6(asked) => {
                let out = room.last_chunk_mut::<HEADERS_V6>().expect("it fits, as asserted above");
                headers_v6(asked, out, answer);
                HEADERS_V6
            }
        }
    }
}

/// Source port and payload of a datagram that is whole. `addresses` is the sum over both addresses.
fn unwrap_udp(datagram: &[u8], addresses: u64, may_be_unsummed: bool) -> Option<(u16, &[u8])> {
    let (header, payload) = datagram.split_first_chunk::<UDP>()?;
    let (port, length, checksum) = (u16_at(header, 0), u16_at(header, 4), u16_at(header, 6));
    if port == 0 || usize::from(length) != datagram.len() {
        return None;
    }
    let pseudo = addresses + u64::from(PROTOCOL_UDP) + u64::from(length);
    let holds = match checksum {
        0 => may_be_unsummed,
        _ => fold(pseudo + sum(datagram)) == u16::MAX || checksum == fold(pseudo),
    };
    holds.then_some((port, payload))
}

fn headers_v4(asked: &[u8; HEADERS_V4], out: &mut [u8; HEADERS_V4], answer: &[u8]) {
    swap_stations(asked, out);
    let length = ((IPV4 + UDP + answer.len()) as u16).to_be_bytes();
    let (asked_ip, ip) = (&asked[ETHERNET..], &mut out[ETHERNET..]);
    // One datagram in one packet: no identification is needed (RFC 6864).
    ip[..12].copy_from_slice(&[
        VERSION_V4,
        0,
        length[0],
        length[1],
        0,
        0,
        DONT_FRAGMENT[0],
        DONT_FRAGMENT[1],
        HOPS,
        PROTOCOL_UDP,
        0,
        0,
    ]);
    ip[12..16].copy_from_slice(&asked_ip[16..20]);
    ip[16..20].copy_from_slice(&asked_ip[12..16]);
    let checksum = !fold(sum(&ip[..IPV4]));
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let addresses = sum(&ip[12..IPV4]);
    write_udp(&asked_ip[IPV4..], &mut ip[IPV4..], addresses, answer);
}

fn headers_v6(asked: &[u8; HEADERS_V6], out: &mut [u8; HEADERS_V6], answer: &[u8]) {
    swap_stations(asked, out);
    let length = ((UDP + answer.len()) as u16).to_be_bytes();
    let (asked_ip, ip) = (&asked[ETHERNET..], &mut out[ETHERNET..]);
    ip[..8].copy_from_slice(&[VERSION_V6, 0, 0, 0, length[0], length[1], PROTOCOL_UDP, HOPS]);
    ip[8..24].copy_from_slice(&asked_ip[24..40]);
    ip[24..40].copy_from_slice(&asked_ip[8..24]);
    let addresses = sum(&ip[8..IPV6]);
    write_udp(&asked_ip[IPV6..], &mut ip[IPV6..], addresses, answer);
}

fn swap_stations(asked: &[u8], out: &mut [u8]) {
    out[..6].copy_from_slice(&asked[6..12]);
    out[6..12].copy_from_slice(&asked[..6]);
    out[12..ETHERNET].copy_from_slice(&asked[12..ETHERNET]);
}

/// Ports change places, the checksum is over all; `addresses` is the sum over both.
fn write_udp(asked: &[u8], out: &mut [u8], addresses: u64, answer: &[u8]) {
    let length = (UDP + answer.len()) as u16;
    out[..2].copy_from_slice(&asked[2..4]);
    out[2..4].copy_from_slice(&asked[..2]);
    out[4..6].copy_from_slice(&length.to_be_bytes());
    out[6..8].fill(0);
    let pseudo = addresses + u64::from(PROTOCOL_UDP) + u64::from(length);
    let checksum = match !fold(pseudo + sum(&out[..UDP]) + sum(answer)) {
        // Zero would say that there is none (RFC 768).
        0 => u16::MAX,
        checksum => checksum,
    };
    out[6..8].copy_from_slice(&checksum.to_be_bytes());
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The sum over the 16-bit words of `bytes`, an odd last one padded, to be folded (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    sum + u64::from(u32::from_be_bytes(last))
}

/// Adds the carries of a sum of at most 2³² words back in.
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

#[cfg(test)]
pub(super) mod tests;
