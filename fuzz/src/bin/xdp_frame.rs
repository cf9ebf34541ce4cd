//! Frames as AF_XDP hands them over, and the headers of their answers.
//!
//! Beside not panicking: a question lies in its frame and nobody impossible asks it; its answer goes back to
//! where it came from under checksums that hold, and is no longer than its frame if it is not longer itself.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use tekd::transport::MAX_DATAGRAM;
use tekd::transport::xdp::{HEAD, MAX_FRAME, Question};

const ETHERNET: usize = 14;
const UDP: usize = 8;

/// What is made to hold before a frame is read, by bits of the first byte of the input.
const MEND_LENGTHS: u8 = 1;
const MEND_HEADER: u8 = 2;
const MEND_DATAGRAM: u8 = 4;
/// The rest of it says which part of the question's length the answer has.
const PARTS: usize = 31;

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    let Some((choice, frame)) = input.split_first() else { return };
    let mut frame = frame.to_vec();
    mend(&mut frame, *choice);
    let Some(question) = Question::parse(&frame) else { return };
    let inside = frame.as_ptr_range();
    let payload = question.payload.as_ptr_range();
    assert!(inside.start <= payload.start && payload.end <= inside.end);
    let map = Map::of(&frame);
    assert_eq!(question.port, u16_at(&frame, map.udp));
    assert_ne!(question.port, 0);
    assert!(!question.ip.is_unspecified() && !question.ip.is_loopback() && !question.ip.is_multicast());
    assert_eq!(question.ip, map.source(&frame));
    let part = question.payload.len() * usize::from(choice >> 3) / PARTS;
    let answer = &question.payload[..part.min(MAX_DATAGRAM)];
    let answered = check(&frame, &map, &question, answer);
    assert!(answered <= frame.len(), "never-amplify: {answered} bytes for {}", frame.len());
    // To who has proved its address.
    assert!(check(&frame, &map, &question, &[*choice; MAX_DATAGRAM]) <= MAX_FRAME);
});

/// Where the parts of a frame are.
struct Map {
    v4: bool,
    /// Both addresses.
    addresses: std::ops::Range<usize>,
    udp: usize,
}

impl Map {
    fn of(frame: &[u8]) -> Self {
        let v4 = frame[12..14] == [0x08, 0x00];
        let (addresses, udp) = if v4 { (26..34, 34) } else { (22..54, 54) };
        Map { v4, addresses, udp }
    }

    fn source(&self, frame: &[u8]) -> IpAddr {
        let both = &frame[self.addresses.clone()];
        match both.first_chunk::<16>() {
            Some(v6) => IpAddr::from(*v6),
            None => IpAddr::from(*both.first_chunk::<4>().expect("two addresses")),
        }
    }
}

/// Writes the headers of `answer` and reads them as their receiver does; the length of all of it.
fn check(asked: &[u8], map: &Map, question: &Question<'_>, answer: &[u8]) -> usize {
    let mut room = [0xee; HEAD];
    let length = question.write_headers(&mut room, answer);
    assert_eq!(length, map.udp + UDP);
    let (before, headers) = room.split_at(HEAD - length);
    assert!(before.iter().all(|byte| *byte == 0xee), "what is in front of the headers is left alone");
    let frame = [headers, answer].concat();
    assert_eq!(frame[..12], [&asked[6..12], &asked[..6]].concat()[..], "stations change places");
    assert_eq!(frame[12..14], asked[12..14]);
    let (from, to) = asked[map.addresses.clone()].split_at(map.addresses.len() / 2);
    assert_eq!(frame[map.addresses.clone()], [to, from].concat()[..], "addresses change places");
    let ports = [&asked[map.udp + 2..map.udp + 4], &asked[map.udp..map.udp + 2]].concat();
    assert_eq!(frame[map.udp..map.udp + 4], ports[..], "ports change places");
    if map.v4 {
        assert_eq!(usize::from(u16_at(&frame, 16)), frame.len() - ETHERNET);
        assert_eq!(sum(&frame[ETHERNET..map.udp]), 0xffff);
    } else {
        assert_eq!(usize::from(u16_at(&frame, 18)), frame.len() - map.udp);
    }
    assert_eq!(usize::from(u16_at(&frame, map.udp + 4)), UDP + answer.len());
    assert_ne!(u16_at(&frame, map.udp + 6), 0);
    assert_eq!(sum(&covered(&frame, map)), 0xffff);
    frame.len()
}

/// Makes lengths and checksums hold where `choice` says so and the frame is long enough.
fn mend(frame: &mut [u8], choice: u8) {
    if frame.len() < ETHERNET || frame.len() < Map::of(frame).udp + UDP {
        return;
    }
    let map = Map::of(frame);
    if choice & MEND_LENGTHS != 0 {
        let datagram = frame.len() - map.udp;
        put(frame, if map.v4 { 16 } else { 18 }, if map.v4 { frame.len() - ETHERNET } else { datagram });
        put(frame, map.udp + 4, datagram);
    }
    if choice & MEND_HEADER != 0 && map.v4 {
        put(frame, 24, 0);
        let checksum = !sum(&frame[ETHERNET..map.udp]);
        put(frame, 24, checksum.into());
    }
    if choice & MEND_DATAGRAM != 0 {
        put(frame, map.udp + 6, 0);
        let checksum = match !sum(&covered(frame, &map)) {
            0 => u16::MAX,
            checksum => checksum,
        };
        put(frame, map.udp + 6, checksum.into());
    }
}

/// What the checksum of UDP is over: pseudo-header, header, payload (RFC 768).
fn covered(frame: &[u8], map: &Map) -> Vec<u8> {
    let udp = &frame[map.udp..];
    [&frame[map.addresses.clone()], &[0, 17], &udp[4..6], udp].concat()
}

/// The sum of RFC 1071, word by word.
fn sum(bytes: &[u8]) -> u16 {
    bytes.chunks(2).fold(0, |sum: u16, pair| {
        let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        let (sum, carried) = sum.overflowing_add(word);
        sum + u16::from(carried)
    })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put(frame: &mut [u8], at: usize, value: usize) {
    frame[at..at + 2].copy_from_slice(&(value as u16).to_be_bytes());
}

/// Questions of both families, of several lengths.
fn seeds() -> Vec<Vec<u8>> {
    const ALL: u8 = MEND_LENGTHS | MEND_HEADER | MEND_DATAGRAM;
    let stations = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let v4 = [0x45, 0, 0, 0, 0, 7, 0x40, 0, 57, 17, 0, 0, 192, 0, 2, 77, 192, 0, 2, 1];
    let mut v6 = vec![0x60, 0, 0, 0, 0, 0, 17, 57];
    for last in [77, 1] {
        v6.extend_from_slice(&[0x20, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    let udp = [0x9c, 0x41, 0x20, 0xa1, 0, 0, 0, 0];
    let mut seeds = Vec::new();
    for length in [0, 30, 64, 97, MAX_DATAGRAM] {
        for (kind, ip) in [([0x08, 0x00], &v4[..]), ([0x86, 0xdd], &v6[..])] {
            seeds.push([&[ALL | 0xf8], &stations[..], &kind, ip, &udp, &vec![7; length]].concat());
        }
    }
    seeds
}
