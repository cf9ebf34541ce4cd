//! The safe parts, on bytes: the send loop, names, control messages.

use std::io::ErrorKind::{Interrupted, Other, WouldBlock};

use proptest::prelude::*;

use super::*;

/// Runs the send loop over scripted results; returns what it did and the indices it asked for.
fn run(total: usize, script: &[Result<usize, io::ErrorKind>]) -> ((usize, usize), Vec<usize>) {
    let (mut asked, mut script) = (Vec::new(), script.iter());
    let result = send_all(total, |from| {
        asked.push(from);
        script.next().expect("the loop asks no more often than scripted").map_err(io::Error::from)
    });
    (result, asked)
}

#[test]
fn a_batch_taken_whole_is_one_call() {
    assert_eq!(run(64, &[Ok(64)]), ((64, 0), vec![0]));
    assert_eq!(run(0, &[]), ((0, 0), vec![]));
}

#[test]
fn a_partial_send_goes_on_where_it_stopped() {
    assert_eq!(run(10, &[Ok(3), Ok(6), Ok(1)]), ((10, 0), vec![0, 3, 9]));
}

#[test]
fn a_message_with_an_error_is_skipped_and_the_rest_is_sent() {
    assert_eq!(run(5, &[Ok(2), Err(Other), Ok(2)]), ((4, 1), vec![0, 2, 3]));
}

#[test]
fn no_room_gives_up_the_rest() {
    assert_eq!(run(9, &[Ok(4), Err(WouldBlock)]), ((4, 5), vec![0, 4]));
}

#[test]
fn signals_repeat_the_call_but_not_for_ever() {
    assert_eq!(run(2, &[Err(Interrupted), Ok(2)]), ((2, 0), vec![0, 0]));
    let endless = vec![Err(Interrupted); MAX_INTERRUPTIONS + 1];
    assert_eq!(run(1, &endless).0, (0, 1));
}

#[test]
fn a_kernel_that_takes_nothing_ends_the_loop() {
    assert_eq!(run(2, &[Ok(0), Ok(0)]).0, (0, 2));
}

proptest! {
    #[test]
    fn every_message_is_asked_for_once_and_accounted_for(
        total in 0usize..=64,
        script in proptest::collection::vec((0usize..80, 0u8..4), 200),
    ) {
        let (mut script, mut last) = (script.into_iter(), 0);
        let (sent, failed) = send_all(total, |from| {
            assert!(from < total && from >= last);
            last = from;
            match script.next() {
                Some((count, 0 | 1)) => Ok(count),
                Some((_, 2)) => Err(Interrupted.into()),
                _ => Err(Other.into()),
            }
        });
        prop_assert_eq!(sent + failed, total);
    }

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
    }
}

#[test]
fn the_address_asked_survives_from_receive_to_send() {
    for (local, expected) in [
        (Local::V4([127, 0, 0, 2]), Local::V4([127, 0, 0, 2])),
        (Local::V6(Ipv6Addr::LOCALHOST.octets(), 7), Local::V6(Ipv6Addr::LOCALHOST.octets(), 0)),
    ] {
        let mut control = Control::EMPTY;
        let length = local.write(&mut control);
        assert_eq!(Local::parse(&control, length), (expected, None));
    }
    let mut control = Control::EMPTY;
    assert_eq!(Local::Unknown.write(&mut control), 0);
}

#[test]
fn a_link_local_address_keeps_its_interface() {
    let address: Ipv6Addr = "fe80::1".parse().expect("an address");
    let mut control = Control::EMPTY;
    let length = Local::V6(address.octets(), 3).write(&mut control);
    assert_eq!(Local::parse(&control, length).0, Local::V6(address.octets(), 3));
}

#[test]
fn the_count_of_drops_is_found_behind_the_address() {
    let (mut control, mut second) = (Control::EMPTY, Control::EMPTY);
    let first = Local::V4([10, 0, 0, 1]).write(&mut control);
    let length = second.write(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 42u32);
    control.0[first..first + length].copy_from_slice(&second.0[..length]);
    assert_eq!(Local::parse(&control, first + length), (Local::V4([10, 0, 0, 1]), Some(42)));
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
