//! Batched system calls for datagrams: up to [`BATCH`] per `recvmmsg` or `sendmmsg`.
//!
//! All memory is allocated once; a call only writes pointers into headers. Control
//! messages carry the address that was asked, so that the answer leaves from it, and the
//! count of datagrams the kernel dropped. Parsing of what the kernel wrote is safe code
//! over bytes; only the calls themselves are not.
//!
//! The invariants that the `unsafe` blocks lean on:
//! - **armed-pointers**: every pointer in a header handed to the kernel was taken in the
//!   same method from a buffer owned by the same struct, with that buffer's length; the
//!   method holds `&mut self`, so nothing else touches the buffers during the call.
//! - **open-descriptor**: a descriptor comes as `BorrowedFd`, open for the whole call.
//! - **zero-is-valid**: the C struct consists of integers and pointers; all-zero bytes
//!   are one of its values.
#![allow(unsafe_code)]

use std::io;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Datagrams per system call.
pub const BATCH: usize = 64;
/// The longest datagram in either direction, bytes: 1280 (IPv6 minimum MTU) − 40 − 8.
pub const MAX_DATAGRAM: usize = crate::wire::MAX_DATAGRAM;
/// What one receive may write: one byte more, so that too long is told from just fitting.
const RECEIVE_BYTES: usize = MAX_DATAGRAM + 1;
/// The stride of buffers, bytes: whole cache lines.
const BUFFER_BYTES: usize = 1280;
/// Room for the control messages of one datagram, bytes.
const CONTROL_BYTES: usize = 96;
/// How often one batch may be interrupted by signals before a message is given up.
const MAX_INTERRUPTIONS: usize = 16;

const CONTROL_HEADER: usize = size_of::<ControlHeader>();
const _: () = assert!(RECEIVE_BYTES <= BUFFER_BYTES && BUFFER_BYTES.is_multiple_of(64));
const _: () = assert!(BATCH <= u8::MAX as usize && BATCH <= libc::UIO_MAXIOV as usize);
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

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Buffer([u8; BUFFER_BYTES]);

/// `sockaddr_in` or `sockaddr_in6`, as the kernel wrote it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Name {
    family: u16,
    port: [u8; 2],
    rest: [u8; 24],
}

impl Name {
    const EMPTY: Name = Name { family: 0, port: [0; 2], rest: [0; 24] };

    /// Address and port, an IPv4 address of a socket for both families as IPv4.
    fn source(&self) -> Option<(IpAddr, u16)> {
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

/// Control messages of one datagram.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

impl Control {
    const EMPTY: Control = Control([0; CONTROL_BYTES]);

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

    /// Writes one message; returns the length to tell the kernel.
    fn write<T: IntoBytes + Immutable>(&mut self, level: i32, kind: i32, data: T) -> usize {
        let length = CONTROL_HEADER + size_of::<T>();
        let header = ControlHeader { length, level, kind };
        self.0[..CONTROL_HEADER].copy_from_slice(header.as_bytes());
        self.0[CONTROL_HEADER..length].copy_from_slice(data.as_bytes());
        CONTROL_HEADER + padded(size_of::<T>())
    }
}

/// The address that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Local {
    Unknown,
    V4([u8; 4]),
    V6([u8; 16], u32),
}

impl Local {
    /// Reads it, and the kernel's count of drops, out of received control messages.
    fn parse(control: &Control, length: usize) -> (Local, Option<u32>) {
        let (mut local, mut dropped) = (Local::Unknown, None);
        control.walk(length, |level, kind, data| match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                if let Ok((info, _)) = PacketInfo4::read_from_prefix(data) {
                    local = Local::V4(info.local);
                }
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                if let Ok((info, _)) = PacketInfo6::read_from_prefix(data) {
                    local = Local::V6(info.local, info.interface);
                }
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                dropped = u32::read_from_prefix(data).ok().map(|(count, _)| count);
            }
            _ => {}
        });
        (local, dropped)
    }

    /// Writes the message that makes an answer leave from this address; 0 if unknown.
    ///
    /// The route chooses the interface, except for a link-local address, which means
    /// nothing without one.
    fn write(self, control: &mut Control) -> usize {
        match self {
            Local::Unknown => 0,
            Local::V4(local) => {
                let info = PacketInfo4 { interface: 0, local, destination: [0; 4] };
                control.write(libc::IPPROTO_IP, libc::IP_PKTINFO, info)
            }
            Local::V6(local, interface) => {
                let link_local = Ipv6Addr::from(local).is_unicast_link_local();
                let info = PacketInfo6 { local, interface: if link_local { interface } else { 0 } };
                control.write(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
            }
        }
    }
}

fn per_datagram<T: Clone>(value: T) -> Box<[T]> {
    vec![value; BATCH].into_boxed_slice()
}

fn empty_headers() -> Box<[libc::mmsghdr]> {
    // SAFETY: zero-is-valid: mmsghdr is integers and pointers.
    per_datagram(unsafe { std::mem::zeroed() })
}

const EMPTY_VECTOR: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };

/// The arrays behind the headers of one direction.
struct Lanes {
    buffers: Box<[Buffer]>,
    names: Box<[Name]>,
    controls: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

/// What one header says about its buffers, bytes.
#[derive(Clone, Copy, Default)]
struct Lengths {
    buffer: usize,
    name: u32,
    control: usize,
}

impl Lanes {
    fn new() -> Self {
        Lanes {
            buffers: per_datagram(Buffer([0; BUFFER_BYTES])),
            names: per_datagram(Name::EMPTY),
            controls: per_datagram(Control::EMPTY),
            vectors: per_datagram(EMPTY_VECTOR),
            headers: empty_headers(),
        }
    }

    /// Points header `at` to its name and control and to buffer `lane` (armed-pointers).
    fn arm(&mut self, at: usize, lane: usize, lengths: Lengths) {
        let vector = &mut self.vectors[at];
        vector.iov_base = self.buffers[lane].0.as_mut_ptr().cast();
        vector.iov_len = lengths.buffer.min(BUFFER_BYTES);
        let header = &mut self.headers[at].msg_hdr;
        header.msg_name = ptr::from_mut(&mut self.names[at]).cast();
        header.msg_namelen = lengths.name;
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        header.msg_control =
            if lengths.control == 0 { ptr::null_mut() } else { self.controls[at].0.as_mut_ptr().cast() };
        header.msg_controllen = lengths.control;
        header.msg_flags = 0;
    }
}

/// Received datagrams. Made and used on one thread.
pub(super) struct Inbox {
    lanes: Lanes,
    received: usize,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Inbox { lanes: Lanes::new(), received: 0 }
    }

    /// Takes what is queued, at most [`BATCH`] datagrams, without waiting; 0 if nothing is.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.received = 0;
        let lengths =
            Lengths { buffer: RECEIVE_BYTES, name: size_of::<Name>() as u32, control: CONTROL_BYTES };
        for at in 0..BATCH {
            self.lanes.arm(at, at, lengths);
        }
        // SAFETY: armed-pointers, open-descriptor: BATCH headers were armed just above.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.lanes.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_WAITFORONE,
                ptr::null_mut(),
            )
        };
        match usize::try_from(count) {
            Ok(count) => self.received = count.min(BATCH),
            Err(_) => match io::Error::last_os_error() {
                e if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                e => return Err(e),
            },
        }
        Ok(self.received)
    }

    /// The bytes of datagram `at`; `None` if it was longer than [`MAX_DATAGRAM`].
    pub(super) fn bytes(&self, at: usize) -> Option<&[u8]> {
        let length = self.length(at);
        self.lanes.buffers[at].0[..RECEIVE_BYTES].get(..length).filter(|_| length <= MAX_DATAGRAM)
    }

    /// How many bytes of datagram `at` arrived, at most one more than [`MAX_DATAGRAM`].
    pub(super) fn length(&self, at: usize) -> usize {
        self.lanes.headers[at].msg_len as usize
    }

    /// Address and port of the sender of datagram `at`; `None` if it is of neither family.
    pub(super) fn source(&self, at: usize) -> Option<(IpAddr, u16)> {
        self.lanes.names[at].source()
    }

    /// How many datagrams this socket has ever dropped, if the last batch tells.
    pub(super) fn dropped(&self) -> Option<u32> {
        (0..self.received).rev().find_map(|at| self.control(at).1)
    }

    fn control(&self, at: usize) -> (Local, Option<u32>) {
        Local::parse(&self.lanes.controls[at], self.lanes.headers[at].msg_hdr.msg_controllen)
    }
}

/// Answers and where they go. Made and used on one thread.
pub(super) struct Outbox {
    lanes: Lanes,
    queued: [(u8, Lengths); BATCH],
    count: usize,
}

/// What became of the answers of one batch.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Datagrams the kernel took.
    pub(super) sent: usize,
    /// Datagrams it refused.
    pub(super) failed: usize,
    /// Bytes of the datagrams it took.
    pub(super) bytes: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Outbox { lanes: Lanes::new(), queued: [(0, Lengths::default()); BATCH], count: 0 }
    }

    /// The room for the answers, [`BATCH`] times [`MAX_DATAGRAM`] bytes.
    pub(super) fn answers(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.lanes.buffers.iter_mut().map(|buffer| &mut buffer.0[..MAX_DATAGRAM])
    }

    /// Queues the first `length` bytes of answer `lane` for the sender of datagram `at`.
    pub(super) fn queue(&mut self, lane: usize, length: usize, inbox: &Inbox, at: usize) {
        let slot = self.count;
        self.lanes.names[slot] = inbox.lanes.names[at];
        let control = inbox.control(at).0.write(&mut self.lanes.controls[slot]);
        let name = inbox.lanes.headers[at].msg_hdr.msg_namelen;
        self.queued[slot] = (lane as u8, Lengths { buffer: length, name, control });
        self.count += 1;
    }

    /// Sends what is queued and forgets it, sent or not.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>) -> Sent {
        let total = std::mem::take(&mut self.count);
        for (at, &(lane, lengths)) in self.queued[..total].iter().enumerate() {
            self.lanes.arm(at, lane.into(), lengths);
        }
        let mut bytes = 0;
        let (sent, failed) = send_all(total, |from| {
            let headers = &mut self.lanes.headers[from..total];
            // SAFETY: armed-pointers, open-descriptor: the first `total` headers were armed above.
            let count = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as libc::c_uint, 0)
            };
            let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
            bytes += self.queued[from..total].iter().take(count).map(|(_, l)| l.buffer).sum::<usize>();
            Ok(count)
        });
        Sent { sent, failed, bytes }
    }
}

/// Sends `total` messages by calling `send` with the index of the first unsent one.
///
/// `send` returns how many it took, or the error of that first one. A message with an
/// error is skipped; when there is no room (`WouldBlock`) the rest is given up, since a
/// late answer is worth nothing. Returns how many were sent and how many were not.
fn send_all(total: usize, mut send: impl FnMut(usize) -> io::Result<usize>) -> (usize, usize) {
    let (mut sent, mut failed, mut interruptions) = (0, 0, 0);
    while sent + failed < total {
        let next = sent + failed;
        match send(next) {
            Ok(count) if count > 0 => sent += count.min(total - next),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => failed += total - next,
            Err(e) if e.kind() == io::ErrorKind::Interrupted && interruptions < MAX_INTERRUPTIONS => {
                interruptions += 1;
            }
            _ => failed += 1,
        }
    }
    (sent, failed)
}

/// Blocks until the socket has a datagram (or an error to report) or `wake` is written or closed.
pub(super) fn wait(socket: BorrowedFd<'_>, wake: BorrowedFd<'_>) -> io::Result<()> {
    let watch = |fd: BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut watched = [watch(socket), watch(wake)];
    // SAFETY: armed-pointers, open-descriptor: the array is on this frame and its length is its own.
    let ready = unsafe { libc::poll(watched.as_mut_ptr(), watched.len() as libc::nfds_t, -1) };
    match ready {
        0.. => Ok(()),
        _ => match io::Error::last_os_error() {
            e if e.kind() == io::ErrorKind::Interrupted => Ok(()),
            e => Err(e),
        },
    }
}

/// Asks the kernel for the control messages read here and for datagrams that ignore a
/// path MTU which anybody can forge.
pub(super) fn set_options(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT)?;
    if ipv6 {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT)?;
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
    } else {
        set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
    }
    set(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
}

fn set(socket: BorrowedFd<'_>, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: armed-pointers, open-descriptor: the value is on this frame, with its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            ptr::from_ref(&value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;
