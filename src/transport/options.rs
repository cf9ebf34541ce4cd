//! What is asked of the kernel for sockets of datagrams, beyond what a library has.
//!
//! The invariants that the `unsafe` blocks lean on:
//! - **own-value**: what the kernel reads or writes is on this frame or borrowed for the call, with its size.
//! - **open-descriptor**: a descriptor comes as `BorrowedFd`, open for the whole call.
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, size_of_val};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Numbers that the kernel gives with `SO_MEMINFO`.
const MEMINFO: usize = libc::SK_MEMINFO_DROPS as usize + 1;

/// Asks for what is read and written here: which address was asked where the socket has several, and
/// datagrams that ignore a path MTU which anybody can forge.
///
/// # Errors
/// The system's.
pub(super) fn set_options(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    let any = i32::from(address.ip().is_unspecified());
    set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_OMIT)?;
    if address.is_ipv6() {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, &libc::IPV6_PMTUDISC_OMIT)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &any)
    } else {
        set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, &any)
    }
}

/// Asks for trains in one piece: only for who cuts them.
///
/// # Errors
/// The system's.
pub(super) fn take_trains(socket: BorrowedFd<'_>) -> io::Result<()> {
    match set(socket, libc::SOL_UDP, libc::UDP_GRO, &1) {
        // A kernel before 5.0 gives every datagram alone.
        Err(e) if e.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(()),
        result => result,
    }
}

/// Has the kernel give each datagram to the socket of its group at place `cpu mod sockets`, `cpu` being the
/// processor that received it. For the whole group, by any of its sockets.
///
/// # Errors
/// The system's.
pub(super) fn steer_by_cpu(socket: BorrowedFd<'_>, sockets: u32) -> io::Result<()> {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let modulo = (libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K) as u16;
    let give = (libc::BPF_RET | libc::BPF_A) as u16;
    let step = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let mut program = [
        step(load, (libc::SKF_AD_OFF + libc::SKF_AD_CPU) as u32),
        step(modulo, sockets.max(1)),
        step(give, 0),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &program)
}

/// How many datagrams this socket has ever dropped because nobody took them; it begins again at 2³².
///
/// # Errors
/// The system's.
pub(super) fn dropped(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut numbers = [0u32; MEMINFO];
    let mut length = size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: own-value, open-descriptor: the numbers and their length are on this frame.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(numbers[libc::SK_MEMINFO_DROPS as usize]) } else { Err(io::Error::last_os_error()) }
}

/// Has every message that is sent cut into datagrams of `car` bytes.
///
/// # Errors
/// The system's.
#[cfg(test)]
pub(super) fn send_trains(socket: BorrowedFd<'_>, car: i32) -> io::Result<()> {
    set(socket, libc::SOL_UDP, libc::UDP_SEGMENT, &car)
}

/// Has datagrams leave without a checksum, and so no train.
///
/// # Errors
/// The system's.
#[cfg(test)]
pub(super) fn refuse_trains(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_NO_CHECK, &1)
}

fn set<T>(socket: BorrowedFd<'_>, level: i32, option: i32, value: &T) -> io::Result<()> {
    // SAFETY: own-value, open-descriptor: the value is borrowed for the call, with its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
