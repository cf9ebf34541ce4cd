//! Batched system calls for datagrams: up to [`BATCH`] messages per `recvmmsg` or `sendmmsg`.
//!
//! A message is a datagram, or a *train*: datagrams of one peer that the kernel hands over in one piece, its
//! cars all of one length but the last (`UDP_GRO`). The answers to a train leave as a train (`UDP_SEGMENT`),
//! for what a message costs is its way through the kernel, not its bytes.
//!
//! All memory is taken once; a call only writes pointers into headers. Parsing of what the kernel wrote is
//! safe code over bytes; only the calls themselves are not.
//!
//! The invariants that the `unsafe` blocks lean on:
//! - **armed-pointers**: every pointer in a header handed to the kernel was taken from memory owned by the
//!   same struct, which neither moves nor goes while the struct lives, with that memory's length; the method
//!   that calls holds `&mut self`, so nothing else touches it during the call.
//! - **open-descriptor**: a descriptor comes as `BorrowedFd`, open for the whole call.
//! - **zero-is-valid**: the C struct consists of integers and pointers; all-zero bytes
//!   are one of its values.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use memmap2::MmapMut;

use super::control::{Arrival, CONTROL_BYTES, Control, Name, write_car};

/// Messages per system call, and answers per call.
pub const BATCH: usize = 64;
/// The longest datagram in either direction, bytes: 1280 (IPv6 minimum MTU) − 40 − 8.
pub const MAX_DATAGRAM: usize = crate::wire::MAX_DATAGRAM;
/// What one receive may write, bytes: the longest train.
const RECEIVE_BYTES: usize = 1 << 16;
/// From one received message to the next, bytes: whole cache lines, an odd number of them, so that the first
/// lines of messages, which are always read, do not all want the same few places of the cache.
const RECEIVE_STRIDE: usize = RECEIVE_BYTES + 3 * 64;
/// From one answer to the next, bytes: whole cache lines.
const ANSWER_STRIDE: usize = 1280;
/// Cars of one train, at most: what the kernel joins and cuts.
pub(super) const CARS_MAX: usize = 64;
/// Bytes of one train of answers, at most: what UDP over IPv6 carries, and headers of any kind.
const TRAIN_BYTES: usize = 65_000;
/// How often one batch may be interrupted by signals before a message is given up.
const MAX_INTERRUPTIONS: usize = 16;

const _: () = assert!(RECEIVE_STRIDE.is_multiple_of(64) && (RECEIVE_STRIDE / 64) % 2 == 1);
const _: () = assert!(MAX_DATAGRAM <= ANSWER_STRIDE && ANSWER_STRIDE.is_multiple_of(64));
const _: () = assert!(BATCH <= u8::MAX as usize && BATCH <= libc::UIO_MAXIOV as usize);
const _: () = assert!(TRAIN_BYTES > MAX_DATAGRAM && MAX_DATAGRAM <= u16::MAX as usize);

const EMPTY_VECTOR: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };

fn per_message<T: Clone>(value: T) -> Box<[T]> {
    vec![value; BATCH].into_boxed_slice()
}

/// The arrays behind the headers of one direction.
struct Lanes {
    /// [`BATCH`] times `stride` bytes. Pages that nothing was written to take no memory.
    buffers: MmapMut,
    stride: usize,
    names: Box<[Name]>,
    controls: Box<[Control]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl Lanes {
    fn new(stride: usize) -> io::Result<Self> {
        Ok(Lanes {
            buffers: MmapMut::map_anon(BATCH * stride)?,
            stride,
            names: per_message(Name::EMPTY),
            controls: per_message(Control::EMPTY),
            vectors: per_message(EMPTY_VECTOR),
            // SAFETY: zero-is-valid: mmsghdr is integers and pointers.
            headers: per_message(unsafe { std::mem::zeroed() }),
        })
    }

    /// Points vector `at` to the first `length` bytes of buffer `lane` (armed-pointers).
    fn point(&mut self, at: usize, lane: usize, length: usize) {
        let buffer = &mut self.buffers[lane * self.stride..][..length];
        self.vectors[at] = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: length };
    }

    /// Points header `at` to its name, its control and `vectors` (armed-pointers).
    fn arm(&mut self, at: usize, vectors: std::ops::Range<usize>, name: u32, control: usize) {
        let header = &mut self.headers[at].msg_hdr;
        header.msg_name = ptr::from_mut(&mut self.names[at]).cast();
        header.msg_namelen = name;
        header.msg_iovlen = vectors.len();
        header.msg_iov = self.vectors[vectors].as_mut_ptr();
        header.msg_control =
            if control == 0 { ptr::null_mut() } else { self.controls[at].0.as_mut_ptr().cast() };
        header.msg_controllen = control;
        header.msg_flags = 0;
    }
}

/// Received messages. Made and used on one thread.
pub(super) struct Inbox {
    lanes: Lanes,
    received: usize,
    /// Headers, from the first, that the kernel has written to since they were armed.
    spent: usize,
}

impl Inbox {
    /// # Errors
    /// When the system has no memory.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Inbox { lanes: Lanes::new(RECEIVE_STRIDE)?, received: 0, spent: BATCH })
    }

    /// Takes what is queued, at most [`BATCH`] messages, without waiting; 0 if nothing is.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        for at in 0..self.spent {
            self.lanes.point(at, at, RECEIVE_BYTES);
            self.lanes.arm(at, at..at + 1, size_of::<Name>() as u32, CONTROL_BYTES);
        }
        (self.received, self.spent) = (0, 0);
        // SAFETY: armed-pointers, open-descriptor: BATCH headers were armed, above or before an earlier call.
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
            // One more: where the kernel met an error it may have begun to write.
            Ok(count) => (self.received, self.spent) = (count.min(BATCH), (count + 1).min(BATCH)),
            Err(_) => {
                self.spent = 1;
                match io::Error::last_os_error() {
                    e if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                    e => return Err(e),
                }
            }
        }
        Ok(self.received)
    }

    /// All bytes of message `at`.
    fn bytes(&self, at: usize) -> &[u8] {
        let length = (self.lanes.headers[at].msg_len as usize).min(RECEIVE_BYTES);
        &self.lanes.buffers[at * RECEIVE_STRIDE..][..length]
    }

    /// The datagrams of message `at`: itself, or the cars of a train.
    pub(super) fn datagrams(&self, at: usize) -> Datagrams<'_> {
        let rest = self.bytes(at);
        let car = self.arrival(at).car.unwrap_or(rest.len()).max(1);
        Datagrams { rest: Some(rest), car }
    }

    /// Address and port of the sender of message `at`; `None` if it is of neither family.
    pub(super) fn source(&self, at: usize) -> Option<(IpAddr, u16)> {
        self.lanes.names[at].source()
    }

    fn arrival(&self, at: usize) -> Arrival {
        Arrival::parse(&self.lanes.controls[at], self.lanes.headers[at].msg_hdr.msg_controllen)
    }
}

/// What is left of a message.
#[derive(Debug, Clone)]
pub(super) struct Datagrams<'a> {
    /// `None` behind the last.
    rest: Option<&'a [u8]>,
    /// Bytes of each but the last, which may have fewer; at least 1.
    car: usize,
}

impl<'a> Iterator for Datagrams<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        match rest.split_at_checked(self.car) {
            Some((first, after)) if !after.is_empty() => {
                self.rest = Some(after);
                Some(first)
            }
            _ => self.rest.take(),
        }
    }
}

/// An answer that waits to be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Queued {
    /// Where it lies.
    lane: u8,
    /// The message with its question.
    message: u8,
    /// Its bytes.
    length: u16,
}

/// Answers and where they go. Made and used on one thread.
pub(super) struct Outbox {
    lanes: Lanes,
    queued: [Queued; BATCH],
    count: usize,
    /// Answers in each armed header.
    cars: [u8; BATCH],
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
    /// Trains it took, of two cars or more.
    pub(super) trains: usize,
}

impl Outbox {
    /// # Errors
    /// When the system has no memory.
    pub(super) fn new() -> io::Result<Self> {
        let lanes = Lanes::new(ANSWER_STRIDE)?;
        Ok(Outbox { lanes, queued: [Queued::default(); BATCH], count: 0, cars: [0; BATCH] })
    }

    /// The room for the answers, [`BATCH`] times [`MAX_DATAGRAM`] bytes.
    pub(super) fn answers(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.lanes.buffers.chunks_exact_mut(ANSWER_STRIDE).map(|buffer| &mut buffer[..MAX_DATAGRAM])
    }

    /// Queues the first `length` bytes of answer `lane` for the sender of message `message`.
    pub(super) fn queue(&mut self, lane: usize, length: usize, message: usize) {
        self.queued[self.count] = Queued { lane: lane as u8, message: message as u8, length: length as u16 };
        self.count += 1;
    }

    /// Sends what is queued and forgets it, sent or not. `inbox` has the messages it answers.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>, inbox: &Inbox) -> Sent {
        let total = std::mem::take(&mut self.count);
        let (mut bytes, mut trains) = (0, 0);
        let (sent, failed) = send_all(total, |from| {
            let mut headers = self.arm(from..total, inbox, CARS_MAX);
            let mut taken = self.send(socket, headers);
            let train = usize::from(self.cars[0]);
            if train > 1 && matches!(&taken, Err(e) if !is_passing(e)) {
                // The way there does not take trains, or none so long: each car goes alone.
                headers = self.arm(from..from + train, inbox, 1);
                taken = self.send(socket, headers);
            }
            let cars = &self.cars[..taken?.min(headers)];
            trains += cars.iter().filter(|cars| **cars > 1).count();
            let count = cars.iter().map(|cars| usize::from(*cars)).sum();
            bytes +=
                self.queued[from..total].iter().take(count).map(|q| usize::from(q.length)).sum::<usize>();
            Ok(count)
        });
        Sent { sent, failed, bytes, trains }
    }

    /// Arms headers for the answers of `range`, in order, with at most `cars_max` each; returns how many.
    fn arm(&mut self, range: std::ops::Range<usize>, inbox: &Inbox, cars_max: usize) -> usize {
        let (mut headers, mut first) = (0, range.start);
        while first < range.end {
            let cars = train(&self.queued[first..range.end], cars_max);
            let Queued { message, length, .. } = self.queued[first];
            let message = usize::from(message);
            self.lanes.names[headers] = inbox.lanes.names[message];
            let control = &mut self.lanes.controls[headers];
            let mut said = inbox.arrival(message).local.write(control, 0);
            if cars > 1 {
                said = write_car(control, said, length);
            }
            for at in first..first + cars {
                let Queued { lane, length, .. } = self.queued[at];
                self.lanes.point(at, lane.into(), length.into());
            }
            let name = inbox.lanes.headers[message].msg_hdr.msg_namelen;
            self.lanes.arm(headers, first..first + cars, name, said);
            self.cars[headers] = cars as u8;
            (headers, first) = (headers + 1, first + cars);
        }
        headers
    }

    /// Sends the first `headers` headers; returns how many were taken.
    fn send(&mut self, socket: BorrowedFd<'_>, headers: usize) -> io::Result<usize> {
        let headers = &mut self.lanes.headers[..headers];
        // SAFETY: armed-pointers, open-descriptor: the caller has just armed these headers.
        let count = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as libc::c_uint, 0)
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}

/// How many of the answers from the first can leave as one train: those to one message, all of one length but
/// the last, which may be shorter. At least one.
fn train(queued: &[Queued], cars_max: usize) -> usize {
    let Some(first) = queued.first() else { return 0 };
    let length = usize::from(first.length);
    let longest = cars_max.min(TRAIN_BYTES / length.max(1)).max(1);
    let mut cars = 1;
    for next in queued.iter().take(longest).skip(1) {
        if next.message != first.message || next.length > first.length {
            break;
        }
        cars += 1;
        if next.length < first.length {
            break;
        }
    }
    cars
}

/// Whether an error says nothing about the message.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Sends `total` answers by calling `send` with the index of the first unsent one.
///
/// `send` returns how many it took, or the error of that first one. An answer with an
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

#[cfg(test)]
mod tests;
