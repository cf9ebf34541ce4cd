//! The system calls that the standard library lacks: batches of datagrams, waiting to the nanosecond, cores,
//! networks.
//!
//! The invariants that the `unsafe` blocks lean on:
//! - **armed-pointers**: every pointer handed to the kernel was taken in the same method from memory owned by
//!   the same struct or frame, with that memory's length; nothing else touches it during the call.
//! - **open-descriptor**: a descriptor comes as `BorrowedFd`, open for the whole call.
//! - **zero-is-valid**: the C struct consists of integers and pointers; all-zero bytes are one of its values.
//! - **no-pointers**: the call takes integers alone.
//! - **core-in-set**: a core's number is below the number of bits of the set it is looked up in.
#![allow(unsafe_code)]

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

/// Datagrams per system call.
pub(crate) const BATCH: usize = 64;
/// Room for one datagram, bytes: more than the longest of the protocol (1232), so that too long is seen.
pub(crate) const ROOM: usize = 1280;

const _: () = assert!(ROOM > tekd::wire::MAX_DATAGRAM);
const _: () = assert!(BATCH <= libc::UIO_MAXIOV as usize);

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Buffer([u8; ROOM]);

/// Room for [`BATCH`] datagrams and, on a socket that is not connected, their addresses.
///
/// What was received can be sent back where it came from as it is.
pub(crate) struct Batch {
    buffers: Box<[Buffer]>,
    /// Length of each datagram, bytes.
    lengths: [usize; BATCH],
    names: Option<Box<[libc::sockaddr_storage]>>,
    name_lengths: [libc::socklen_t; BATCH],
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl Batch {
    /// A batch for a connected socket, or with addresses for one that is not.
    pub(crate) fn new(connected: bool) -> Self {
        // SAFETY: zero-is-valid: mmsghdr is integers and pointers.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        // SAFETY: zero-is-valid: sockaddr_storage is integers.
        let name: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let vector = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Batch {
            buffers: vec![Buffer([0; ROOM]); BATCH].into_boxed_slice(),
            lengths: [0; BATCH],
            names: (!connected).then(|| vec![name; BATCH].into_boxed_slice()),
            name_lengths: [0; BATCH],
            vectors: vec![vector; BATCH].into_boxed_slice(),
            headers: vec![header; BATCH].into_boxed_slice(),
        }
    }

    /// The room of datagram `at`; [`Batch::set_length`] says how much of it is used.
    pub(crate) fn room(&mut self, at: usize) -> &mut [u8] {
        &mut self.buffers[at].0
    }

    /// The first `length` bytes of the room of `at` are the datagram.
    pub(crate) fn set_length(&mut self, at: usize, length: usize) {
        self.lengths[at] = length.min(ROOM);
    }

    /// Datagram `at`.
    pub(crate) fn datagram(&self, at: usize) -> &[u8] {
        &self.buffers[at].0[..self.lengths[at]]
    }

    /// Points header `at` to its buffer and name (armed-pointers).
    fn arm(&mut self, at: usize, length: usize, name_length: libc::socklen_t) {
        let vector = &mut self.vectors[at];
        vector.iov_base = self.buffers[at].0.as_mut_ptr().cast();
        vector.iov_len = length.min(ROOM);
        let header = &mut self.headers[at].msg_hdr;
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        if let Some(names) = &mut self.names {
            header.msg_name = ptr::from_mut(&mut names[at]).cast();
            header.msg_namelen = name_length;
        }
    }

    /// Takes what is queued, at most [`BATCH`] datagrams, without waiting; 0 if nothing is.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for at in 0..BATCH {
            self.arm(at, ROOM, size_of::<libc::sockaddr_storage>() as libc::socklen_t);
        }
        // SAFETY: armed-pointers, open-descriptor: BATCH headers were armed just above.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let count = taken(count)?.min(BATCH);
        for at in 0..count {
            self.lengths[at] = (self.headers[at].msg_len as usize).min(ROOM);
            self.name_lengths[at] = self.headers[at].msg_hdr.msg_namelen;
        }
        Ok(count)
    }

    /// Sends datagrams `from..to` without waiting; returns how many the kernel took, 0 if it has no room.
    ///
    /// # Panics
    /// If the range is not within the batch.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>, from: usize, to: usize) -> io::Result<usize> {
        for at in from..to {
            self.arm(at, self.lengths[at], self.name_lengths[at]);
        }
        let headers = &mut self.headers[from..to];
        // SAFETY: armed-pointers, open-descriptor: exactly these headers were armed just above.
        let count = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        taken(count)
    }
}

impl Batch {
    /// Sends datagrams `from..to` of a connected socket as one message; returns how many the kernel took: all
    /// or, if it has no room, none.
    ///
    /// # Panics
    /// If the range is not within the batch.
    pub(crate) fn send_train(&mut self, socket: BorrowedFd<'_>, from: usize, to: usize) -> io::Result<usize> {
        for at in from..to {
            self.arm(at, self.lengths[at], 0);
        }
        let vectors = &mut self.vectors[from..to];
        // SAFETY: zero-is-valid: msghdr is integers and pointers.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = vectors.as_mut_ptr();
        header.msg_iovlen = vectors.len() as _;
        // SAFETY: armed-pointers, open-descriptor: exactly these vectors were armed just above.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &header, libc::MSG_DONTWAIT) };
        let bytes = libc::c_int::try_from(sent).unwrap_or(libc::c_int::MAX);
        Ok(if taken(bytes)? > 0 { to - from } else { 0 })
    }
}

/// What a call took; having to wait, or a signal, is nothing.
fn taken(count: libc::c_int) -> io::Result<usize> {
    usize::try_from(count).or_else(|_| match io::Error::last_os_error() {
        e if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        e => Err(e),
    })
}

/// Questions in one train, at most.
pub(crate) const MAX_TRAIN: usize = 64;
/// Trains taken by one system call, and room for each: the longest datagram there is.
const ARRIVING: usize = 16;
const TRAIN_ROOM: usize = 1 << 16;

const _: () = assert!(MAX_TRAIN <= BATCH && MAX_TRAIN * ROOM > TRAIN_ROOM);

/// A control message with one number, as the kernel writes it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Control {
    header: libc::cmsghdr,
    number: libc::c_int,
    rest: libc::c_int,
}

/// What arrives in trains: datagrams of one sender that the kernel put together (UDP_GRO), told apart again.
pub(crate) struct Arrivals {
    rooms: Box<[[u8; TRAIN_ROOM]]>,
    controls: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    /// Room, first byte and byte after the last of each datagram.
    datagrams: Vec<(usize, usize, usize)>,
}

impl Arrivals {
    /// For a connected socket that [`take_trains`] was asked of.
    pub(crate) fn new() -> Self {
        // SAFETY: zero-is-valid: mmsghdr is integers and pointers.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        // SAFETY: zero-is-valid: a control message is integers.
        let control: Control = unsafe { std::mem::zeroed() };
        let vector = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Arrivals {
            rooms: vec![[0; TRAIN_ROOM]; ARRIVING].into_boxed_slice(),
            controls: vec![control; ARRIVING].into_boxed_slice(),
            vectors: vec![vector; ARRIVING].into_boxed_slice(),
            headers: vec![header; ARRIVING].into_boxed_slice(),
            datagrams: Vec::new(),
        }
    }

    /// Datagram `at`.
    pub(crate) fn datagram(&self, at: usize) -> &[u8] {
        let (room, from, to) = self.datagrams[at];
        &self.rooms[room][from..to]
    }

    /// Takes what is queued without waiting; returns how many datagrams that is.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for at in 0..ARRIVING {
            let vector = &mut self.vectors[at];
            vector.iov_base = self.rooms[at].as_mut_ptr().cast();
            vector.iov_len = TRAIN_ROOM;
            let header = &mut self.headers[at].msg_hdr;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = ptr::from_mut(&mut self.controls[at]).cast();
            header.msg_controllen = size_of::<Control>() as _;
        }
        // SAFETY: armed-pointers, open-descriptor: all headers were armed just above.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                ARRIVING as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let count = taken(count)?.min(ARRIVING);
        self.datagrams.clear();
        for at in 0..count {
            let length = (self.headers[at].msg_len as usize).min(TRAIN_ROOM);
            let segment = self.segment(at).filter(|segment| *segment > 0).unwrap_or(length.max(1));
            let starts = (0..length.max(1)).step_by(segment);
            self.datagrams.extend(starts.map(|from| (at, from, (from + segment).min(length))));
        }
        Ok(self.datagrams.len())
    }

    /// Length of the datagrams of train `at`, if the kernel put any together.
    fn segment(&self, at: usize) -> Option<usize> {
        let Control { header, number, .. } = self.controls[at];
        let written = self.headers[at].msg_hdr.msg_controllen >= offset_of!(Control, rest);
        let of_udp = header.cmsg_level == libc::SOL_UDP && header.cmsg_type == libc::UDP_GRO;
        usize::try_from(number).ok().filter(|_| written && of_udp)
    }
}

/// Lets the kernel hand over datagrams of one sender put together.
pub(crate) fn take_trains(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_udp(socket, libc::UDP_GRO, 1)
}

/// From now on a longer message is sent as datagrams of this many bytes.
pub(crate) fn send_trains(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_udp(socket, libc::UDP_SEGMENT, bytes)
}

fn set_udp(socket: BorrowedFd<'_>, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let value = ptr::from_ref(&value).cast();
    // SAFETY: armed-pointers, open-descriptor: an integer on this frame, with its size.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, option, value, length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits until the socket has a datagram, at most this long; for ever without a limit.
pub(crate) fn wait_readable(socket: BorrowedFd<'_>, at_most: Option<Duration>) -> io::Result<()> {
    let mut watched = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let limit = at_most.map(|limit| libc::timespec {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: armed-pointers, open-descriptor: one pollfd and a timespec, both on this frame.
    let ready = unsafe { libc::ppoll(&mut watched, 1, limit, ptr::null()) };
    taken(ready).map(|_| ())
}

/// The cores that this thread may run on.
pub(crate) fn cores() -> io::Result<Vec<usize>> {
    // SAFETY: zero-is-valid: a set of cores is bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: armed-pointers: the set is on this frame, with its size; 0 is the calling thread.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let all = 0..libc::CPU_SETSIZE as usize;
    // SAFETY: core-in-set: the range ends at the set's size.
    Ok(all.filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect())
}

/// Keeps this thread, and the threads and processes that it starts from now on, to these cores.
pub(crate) fn pin(cores: &[usize]) -> io::Result<()> {
    // SAFETY: zero-is-valid: a set of cores is bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for core in cores.iter().filter(|core| **core < libc::CPU_SETSIZE as usize) {
        // SAFETY: core-in-set: filtered just above.
        unsafe { libc::CPU_SET(*core, &mut set) };
    }
    // SAFETY: armed-pointers: the set is on this frame, with its size; 0 is the calling thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets every thread of another process have the processor before this one, at once when it wants it.
pub(crate) fn stand_back() -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: armed-pointers: the parameter is on this frame; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &priority) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts this thread, and the processes that it starts from now on, into a network of its own with nothing in
/// it. The kernel ends it with the last thread, process and file that holds it.
pub(crate) fn new_network() -> io::Result<()> {
    // SAFETY: no-pointers: a flag is all that is handed over.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets this thread, and the processes that it starts from now on, mount what the others do not see.
pub(crate) fn new_files() -> io::Result<()> {
    // SAFETY: no-pointers: a flag is all that is handed over.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts this thread, and the processes that it starts from now on, into the network that a file of
/// `/proc/PID/ns/net` stands for.
pub(crate) fn enter_network(network: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: open-descriptor: nothing else is handed over.
    let result = unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
        client.connect(server.local_addr().expect("bound")).expect("loopback");
        (server, client)
    }

    fn receive_all(batch: &mut Batch, socket: &UdpSocket, wanted: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < wanted {
            wait_readable(socket.as_fd(), Some(Duration::from_secs(20))).expect("poll");
            let count = batch.receive(socket.as_fd()).expect("received");
            assert!(count > 0, "{} of {wanted} datagrams came", all.len());
            all.extend((0..count).map(|at| batch.datagram(at).to_vec()));
        }
        all
    }

    #[test]
    fn a_batch_comes_back_from_where_it_was_sent() {
        let (server, client) = pair();
        let (mut there, mut here) = (Batch::new(false), Batch::new(true));
        for at in 0..BATCH {
            here.room(at)[..at + 1].fill(at as u8);
            here.set_length(at, at + 1);
        }
        assert_eq!(here.send(client.as_fd(), 0, BATCH).expect("sent"), BATCH);
        wait_readable(server.as_fd(), None).expect("poll");
        let mut answered = 0;
        while answered < BATCH {
            let count = there.receive(server.as_fd()).expect("received");
            assert_eq!(there.send(server.as_fd(), 0, count).expect("sent"), count);
            answered += count;
        }
        let back = receive_all(&mut here, &client, BATCH);
        assert!(back.iter().enumerate().all(|(at, bytes)| *bytes == vec![at as u8; at + 1]));
    }

    #[test]
    fn a_train_arrives_as_the_datagrams_it_was_made_of() {
        let (server, client) = pair();
        take_trains(server.as_fd()).expect("the kernel has UDP_GRO");
        send_trains(client.as_fd(), 96).expect("the kernel has UDP_SEGMENT");
        let mut questions = Batch::new(true);
        for at in 0..10 {
            questions.room(at)[..96].fill(at as u8);
            questions.set_length(at, 96);
        }
        assert_eq!(questions.send_train(client.as_fd(), 2, 10).expect("sent"), 8);
        assert_eq!(questions.send_train(client.as_fd(), 0, 1).expect("sent"), 1);
        let mut arrivals = Arrivals::new();
        let mut all = Vec::new();
        while all.len() < 9 {
            wait_readable(server.as_fd(), Some(Duration::from_secs(20))).expect("poll");
            let count = arrivals.receive(server.as_fd()).expect("received");
            assert!(count > 0, "{} of 9 datagrams came", all.len());
            all.extend((0..count).map(|at| arrivals.datagram(at).to_vec()));
        }
        let wanted: Vec<Vec<u8>> = (2..10).chain(0..1).map(|at| vec![at; 96]).collect();
        assert_eq!(all, wanted);
        assert_eq!(arrivals.receive(server.as_fd()).expect("nothing"), 0);
    }

    #[test]
    fn nothing_queued_is_no_error_and_waiting_ends() {
        let (_server, client) = pair();
        assert_eq!(Batch::new(true).receive(client.as_fd()).expect("nothing"), 0);
        wait_readable(client.as_fd(), Some(Duration::from_micros(100))).expect("time is over");
    }

    #[test]
    fn a_thread_can_be_kept_to_one_core() {
        let all = cores().expect("known");
        let first = *all.first().expect("this thread runs somewhere");
        std::thread::spawn(move || {
            pin(&[first]).expect("allowed");
            assert_eq!(cores().expect("known"), [first]);
        })
        .join()
        .expect("no panic");
        assert_eq!(cores().expect("known"), all, "other threads stay as they are");
    }
}
