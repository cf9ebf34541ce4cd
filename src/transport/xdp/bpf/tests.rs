//! The kernel itself on the program: its verifier, and its verdict on the same table of frames.

use super::super::frame::tests::{SERVER_MAC, SERVER_PORT, SERVER_V4, SERVER_V6, question_v4};
use super::super::program::tests::{BROADCASTS, XDP_REDIRECT, mapped, program, table};
use super::super::program::{Wanted, XDP_PASS, assemble};
use super::*;

#[test]
fn the_kernel_takes_the_program_and_decides_the_table_alike() {
    let sockets = match rehearsal::somewhere() {
        Ok(map) => map,
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: the kernel's run of the program, which needs CAP_BPF and CAP_NET_ADMIN: {e}");
            return;
        }
        Err(e) => panic!("a map: {e}"),
    };
    let addresses = AddressSet::create(2).expect("a map");
    addresses.add(mapped(SERVER_V4)).expect("room for two");
    addresses.add(SERVER_V6).expect("room for two");
    let broadcasts = AddressSet::create(2).expect("a map");
    BROADCASTS.into_iter().for_each(|address| broadcasts.add(mapped(address)).expect("room for two"));
    let wanted = Wanted {
        station: SERVER_MAC,
        port: SERVER_PORT,
        addresses: addresses.as_fd(),
        broadcasts: broadcasts.as_fd(),
        sockets: sockets.as_fd(),
    };
    let program = load(&assemble(&wanted)).expect("a program that the verifier takes");
    for (what, frame, ours) in table() {
        let said = rehearsal::run(program.as_fd(), &frame).expect("a run");
        assert_eq!(said, if ours { XDP_REDIRECT as u32 } else { XDP_PASS as u32 }, "{what}");
    }
    let sockets = QueueSockets::create(1).expect("a map");
    let wanted = Wanted { sockets: sockets.as_fd(), ..wanted };
    let program = load(&assemble(&wanted)).expect("a program that the verifier takes");
    let said = rehearsal::run(program.as_fd(), &question_v4(&[7; 96])).expect("a run");
    assert_eq!(said, XDP_PASS as u32, "a queue without a socket");
}

#[test]
fn what_the_verifier_refuses_is_told_with_its_reason() {
    let mut program = program();
    program.truncate(3);
    match load(&program) {
        Ok(_) => panic!("a program without an end was taken"),
        Err(e) if e.source.raw_os_error() == Some(libc::EPERM) => {
            eprintln!("skipped: the kernel's verifier, which needs CAP_BPF and CAP_NET_ADMIN");
        }
        Err(e) => assert!(!e.verdict.is_empty(), "{e:?}"),
    }
}
