//! A kernel that a test plays: the other side of the rings and of the memory of a socket that is on no
//! interface. Nothing happens unless the test has it happen.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;

use super::*;

/// Where the indices, the flags and the entries of a played ring are.
const OFFSETS: libc::xdp_ring_offset =
    libc::xdp_ring_offset { producer: 0, consumer: 64, flags: 128, desc: 192 };
const ALL_OFFSETS: libc::xdp_mmap_offsets =
    libc::xdp_mmap_offsets { rx: OFFSETS, tx: OFFSETS, fr: OFFSETS, cr: OFFSETS };
/// Where the last of the rings ends.
const RINGS_BYTES: u64 = libc::XDP_UMEM_PGOFF_COMPLETION_RING + (1 << 20);

/// The kernel's side.
pub(in crate::transport::xdp) struct PlayedKernel {
    pub(super) rings: Rings,
    memory: File,
    /// Frames that it has been given to send and that have not left.
    pub(super) leaving: Vec<u64>,
    /// What the socket's calls go to.
    called: Option<UnixDatagram>,
}

impl PlayedKernel {
    /// A kernel and a socket of it. It wants no calls.
    pub(in crate::transport::xdp) fn new() -> (Self, XdpSocket) {
        let rings = OwnedFd::from(sized(RINGS_BYTES));
        let memory = sized((FRAMES * FRAME_BYTES) as u64);
        let (called, calling) = UnixDatagram::pair().expect("two sockets");
        called.set_nonblocking(true).expect("a mode");
        let mapped = || Rings::map(&rings, &ALL_OFFSETS).expect("four rings in the file");
        let shared = MmapOptions::new().map_raw(&memory).expect("a mapping");
        let socket = XdpSocket::new(calling.into(), mapped(), shared, false);
        (PlayedKernel { rings: mapped(), memory, leaving: Vec::new(), called: Some(called) }, socket)
    }

    /// Has `frame` come, in the next frame lent to receive into.
    pub(in crate::transport::xdp) fn deliver(&mut self, frame: &[u8]) {
        assert!(self.rings.fill.readable() > 0, "no frame is lent");
        let addr = self.rings.fill.read() + HEADROOM as u64;
        self.rings.fill.release();
        self.memory.write_all_at(frame, addr).expect("memory");
        self.announce(libc::xdp_desc { addr, len: frame.len() as u32, options: 0 });
    }

    /// Says that a frame has come.
    pub(super) fn announce(&mut self, entry: libc::xdp_desc) {
        self.rings.incoming.write(entry);
        self.rings.incoming.publish();
    }

    /// Takes over what is to be sent; what each frame holds.
    pub(in crate::transport::xdp) fn take_outgoing(&mut self) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        for _ in 0..self.rings.outgoing.readable() {
            let entry = self.rings.outgoing.read();
            let mut frame = vec![0; entry.len as usize];
            self.memory.read_exact_at(&mut frame, entry.addr).expect("memory");
            self.leaving.push(entry.addr);
            taken.push(frame);
        }
        self.rings.outgoing.release();
        taken
    }

    /// Has `count` of the frames taken over leave, the last first.
    pub(in crate::transport::xdp) fn complete(&mut self, count: usize) {
        for _ in 0..count {
            let frame = self.leaving.pop().expect("a frame that was taken over");
            self.give_back(frame);
        }
    }

    /// Says that a frame has left.
    pub(super) fn give_back(&mut self, address: u64) {
        self.rings.completed.write(address);
        self.rings.completed.publish();
    }

    /// Whether it sends only when it is called.
    pub(in crate::transport::xdp) fn want_calls(&mut self, wants: bool) {
        let flags = if wants { libc::XDP_RING_NEED_WAKEUP } else { 0 };
        self.rings.outgoing.word(OFFSETS.flags).store(flags, Ordering::Relaxed);
    }

    /// How often it has been called since it was last asked.
    pub(in crate::transport::xdp) fn calls(&self) -> usize {
        let called = self.called.as_ref().expect("there is something to be called");
        std::iter::from_fn(|| called.recv(&mut []).ok()).count()
    }

    /// Every call fails from now on.
    pub(in crate::transport::xdp) fn break_down(&mut self) {
        self.called = None;
    }
}

/// An empty file of so many bytes that has no name.
fn sized(bytes: u64) -> File {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(bytes).expect("room for its length");
    file
}
