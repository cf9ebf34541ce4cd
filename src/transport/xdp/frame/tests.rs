//! Frames made by hand, frames cut, bent and random; checksums against a plain sum.

use proptest::prelude::*;

use super::*;

pub(in crate::transport::xdp) const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(in crate::transport::xdp) const SERVER_V4: [u8; 4] = [192, 0, 2, 1];
const CLIENT_V4: [u8; 4] = [192, 0, 2, 77];
pub(in crate::transport::xdp) const SERVER_V6: [u8; 16] =
    [0x20, 1, 13, 184, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const CLIENT_V6: [u8; 16] = [0x20, 1, 13, 184, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 77];
pub(in crate::transport::xdp) const SERVER_PORT: u16 = 8353;
const CLIENT_PORT: u16 = 40_001;

/// The sum of RFC 1071, word by word.
fn plain_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn datagram(addresses: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = (UDP + payload.len()) as u16;
    let mut udp =
        [CLIENT_PORT.to_be_bytes(), SERVER_PORT.to_be_bytes(), length.to_be_bytes(), [0; 2]].concat();
    udp.extend_from_slice(payload);
    let covered = [addresses, &[0, PROTOCOL_UDP], &length.to_be_bytes(), &udp].concat();
    let checksum = match !plain_sum(&covered) {
        0 => u16::MAX,
        checksum => checksum,
    };
    udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    udp
}

fn sum_header(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let checksum = !plain_sum(&frame[ETHERNET..ETHERNET + IPV4]);
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
}

/// A question over IPv4 as a phone's router would hand it over.
pub(in crate::transport::xdp) fn question_v4(payload: &[u8]) -> Vec<u8> {
    let udp = datagram(&[CLIENT_V4, SERVER_V4].concat(), payload);
    let total = ((IPV4 + udp.len()) as u16).to_be_bytes();
    let mut frame = [&SERVER_MAC[..], &CLIENT_MAC, &TYPE_V4].concat();
    frame.extend_from_slice(&[
        VERSION_V4,
        0,
        total[0],
        total[1],
        0xab,
        0xcd,
        0x40,
        0,
        57,
        PROTOCOL_UDP,
        0,
        0,
    ]);
    frame.extend_from_slice(&[CLIENT_V4, SERVER_V4].concat());
    frame.extend_from_slice(&udp);
    sum_header(&mut frame);
    frame
}

/// The same over IPv6.
pub(in crate::transport::xdp) fn question_v6(payload: &[u8]) -> Vec<u8> {
    let udp = datagram(&[CLIENT_V6, SERVER_V6].concat(), payload);
    let length = (udp.len() as u16).to_be_bytes();
    let mut frame = [&SERVER_MAC[..], &CLIENT_MAC, &TYPE_V6].concat();
    frame.extend_from_slice(&[0x6a, 0xbc, 0xde, 0xf0, length[0], length[1], PROTOCOL_UDP, 57]);
    frame.extend_from_slice(&[CLIENT_V6, SERVER_V6].concat());
    frame.extend_from_slice(&udp);
    frame
}

/// The whole frame of `answer` to the question in `frame`.
fn answered(frame: &[u8], answer: &[u8]) -> Vec<u8> {
    let question = Question::parse(frame).expect("a question");
    let mut room = [0xee; HEAD];
    let length = question.write_headers(&mut room, answer);
    [&room[HEAD - length..], answer].concat()
}

/// What a receiver of an answer sees: stations, addresses, ports, payload; all checksums hold.
fn opened(frame: &[u8]) -> (Vec<u8>, Vec<u8>, [u16; 2], Vec<u8>) {
    let v4 = frame[12..14] == TYPE_V4;
    let (start, addresses) = if v4 { (ETHERNET + IPV4, 26..34) } else { (ETHERNET + IPV6, 22..54) };
    let udp = &frame[start..];
    if v4 {
        assert_eq!(plain_sum(&frame[ETHERNET..start]), u16::MAX);
        assert_eq!(usize::from(u16_at(frame, 16)), IPV4 + udp.len());
        assert_eq!(&frame[18..22], &[0, 0, 0x40, 0], "no identification, not to be fragmented");
    } else {
        assert_eq!(usize::from(u16_at(frame, 18)), udp.len());
        assert_eq!(&frame[14..18], &[0x60, 0, 0, 0]);
    }
    assert_eq!(usize::from(u16_at(udp, 4)), udp.len());
    let covered = [&frame[addresses.clone()], &[0, PROTOCOL_UDP], &udp[4..6], udp].concat();
    assert_eq!(plain_sum(&covered), u16::MAX);
    assert_ne!(u16_at(udp, 6), 0);
    let ports = [u16_at(udp, 0), u16_at(udp, 2)];
    (frame[..12].to_vec(), frame[addresses].to_vec(), ports, udp[UDP..].to_vec())
}

#[test]
fn an_answer_goes_back_the_way_its_question_came() {
    let asked = question_v4(b"who");
    let question = Question::parse(&asked).expect("a question");
    assert_eq!((question.ip, question.port), (IpAddr::from(CLIENT_V4), CLIENT_PORT));
    assert_eq!(question.payload, b"who");
    let stations = [CLIENT_MAC, SERVER_MAC].concat();
    let ports = [SERVER_PORT, CLIENT_PORT];
    let addresses = [SERVER_V4, CLIENT_V4].concat();
    assert_eq!(
        opened(&answered(&asked, b"nobody")),
        (stations.clone(), addresses, ports, b"nobody".to_vec())
    );

    let asked = question_v6(b"who");
    let question = Question::parse(&asked).expect("a question");
    assert_eq!((question.ip, question.port), (IpAddr::from(CLIENT_V6), CLIENT_PORT));
    let addresses = [SERVER_V6, CLIENT_V6].concat();
    assert_eq!(opened(&answered(&asked, b"nobody")), (stations, addresses, ports, b"nobody".to_vec()));
}

#[test]
fn a_frame_padded_to_the_least_of_ethernet_is_read_to_its_own_length() {
    for asked in [question_v4(b"short"), question_v6(b"short")] {
        let padded = [&asked[..], &[0xff; 30]].concat();
        assert_eq!(Question::parse(&padded).expect("a question").payload, b"short");
    }
}

#[test]
fn lengths_that_do_not_agree_are_refused() {
    for (asked, total, udp) in [(question_v4(b"four"), 16, 38), (question_v6(b"four"), 18, 58)] {
        for (at, by) in [(total, 1), (total, -1), (total, i16::MAX), (udp, 1), (udp, -1), (udp, -9)] {
            let mut frame = asked.clone();
            let bent = (u16_at(&frame, at) as i16).wrapping_add(by);
            frame[at..at + 2].copy_from_slice(&bent.to_be_bytes());
            if frame[12..14] == TYPE_V4 {
                sum_header(&mut frame);
            }
            frame.extend_from_slice(&[0; 64]);
            assert!(Question::parse(&frame).is_none(), "{at} by {by}");
        }
        for length in 0..asked.len() {
            assert!(Question::parse(&asked[..length]).is_none(), "cut to {length}");
        }
    }
}

#[test]
fn what_is_not_plain_is_refused() {
    // Place, value: version, header length, fragments, protocol, stations, types.
    let of_v4: [(usize, u8); 8] =
        [(14, 0x46), (14, 0x55), (20, 0x20), (20, 0x60), (21, 1), (23, 6), (6, 1), (13, 6)];
    for (at, value) in of_v4 {
        let mut frame = question_v4(b"four");
        frame[at] = value;
        sum_header(&mut frame);
        assert!(Question::parse(&frame).is_none(), "{value:#x} at {at}");
    }
    for (at, value) in [(14, 0x40), (20, 0), (20, 44), (6, 1), (12, 0x81)] {
        let mut frame = question_v6(b"four");
        frame[at] = value;
        assert!(Question::parse(&frame).is_none(), "{value:#x} at {at}");
    }
}

#[test]
fn sources_that_nobody_can_have_are_refused() {
    for source in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]] {
        let mut frame = question_v4(b"four");
        frame[26..30].copy_from_slice(&source);
        frame[40..42].fill(0);
        sum_header(&mut frame);
        assert!(Question::parse(&frame).is_none(), "{source:?}");
    }
    let loopback = Ipv6Addr::LOCALHOST.octets();
    let mapped = Ipv4Addr::new(192, 0, 2, 77).to_ipv6_mapped().octets();
    for source in [[0; 16], loopback, [0xff; 16], mapped] {
        let payload = datagram(&[source, SERVER_V6].concat(), b"four");
        let mut frame = question_v6(b"four");
        frame[22..38].copy_from_slice(&source);
        frame[54..].copy_from_slice(&payload);
        assert!(Question::parse(&frame).is_none(), "{source:?}");
    }
    for mut frame in [question_v4(b"four"), question_v6(b"four")] {
        let udp = frame.len() - 12;
        let (port, checksum) = (u16_at(&frame, udp), u16_at(&frame, udp + 6));
        frame[udp..udp + 2].fill(0);
        let checksum = fold(u64::from(checksum) + u64::from(port)).to_be_bytes();
        frame[udp + 6..udp + 8].copy_from_slice(&checksum);
        assert!(Question::parse(&frame).is_none(), "port 0");
    }
}

#[test]
fn checksums_hold_or_are_left_open_as_they_may_be() {
    for (asked, udp, addresses) in [(question_v4(b"odd"), 34, 26..34), (question_v6(b"odd"), 54, 22..54)] {
        let with = |checksum: u16| {
            let mut frame = asked.clone();
            frame[udp + 6..udp + 8].copy_from_slice(&checksum.to_be_bytes());
            Question::parse(&frame).is_some()
        };
        let pseudo = plain_sum(&[&asked[addresses], &[0, PROTOCOL_UDP], &asked[udp + 4..udp + 6]].concat());
        let right = u16_at(&asked, udp + 6);
        let accepted: Vec<u16> = (0..=u16::MAX).filter(|checksum| with(*checksum)).collect();
        let mut expected = vec![right, pseudo];
        expected.extend((udp == 34).then_some(0));
        expected.sort_unstable();
        assert_eq!(accepted, expected);
    }
    let mut frame = question_v4(b"odd");
    frame[24] ^= 1;
    assert!(Question::parse(&frame).is_none(), "the header's own checksum");
}

#[test]
fn the_longest_answer_fits_and_an_answer_whose_sum_is_zero_has_a_checksum() {
    let longest = vec![0xa5; MAX_DATAGRAM];
    assert_eq!(answered(&question_v6(b"x"), &longest).len(), MAX_FRAME);
    assert_eq!(opened(&answered(&question_v4(b"x"), &longest)).3, longest);
    // The last word is chosen so that the sum over all comes out as the zero that may not be sent.
    let bare = answered(&question_v4(b"x"), &[0, 0]);
    let answer = u16_at(&bare, 40).to_be_bytes();
    let frame = answered(&question_v4(b"x"), &answer);
    assert_eq!(u16_at(&frame, 40), u16::MAX);
    opened(&frame);
}

proptest! {
    #[test]
    fn any_payload_comes_through_and_any_answer_is_well_summed(
        asked in proptest::collection::vec(any::<u8>(), 0..300),
        answer in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        for frame in [question_v4(&asked), question_v6(&asked)] {
            prop_assert_eq!(Question::parse(&frame).expect("a question").payload, &asked[..]);
            prop_assert_eq!(opened(&answered(&frame, &answer)).3, answer.clone());
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic_and_what_it_takes_lies_in_the_frame(
        start in any::<bool>(), at in 0usize..120, bytes in proptest::collection::vec(any::<u8>(), 0..80),
        length in 0usize..200,
    ) {
        let mut frame = if start { question_v4(&[7; 60]) } else { question_v6(&[7; 60]) };
        for (offset, byte) in bytes.iter().enumerate() {
            if let Some(place) = frame.get_mut(at + offset) {
                *place = *byte;
            }
        }
        frame.truncate(length);
        if let Some(question) = Question::parse(&frame) {
            let mut room = [0; HEAD];
            let headers = question.write_headers(&mut room, question.payload);
            prop_assert!(headers + question.payload.len() <= frame.len());
        }
    }

    #[test]
    fn sums_are_those_of_the_plain_way(bytes in proptest::collection::vec(any::<u8>(), 0..1300)) {
        prop_assert_eq!(fold(sum(&bytes)), plain_sum(&bytes));
    }
}
