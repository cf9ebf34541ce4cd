//! AF_XDP sockets: memory shared with the kernel, cut into frames, and four rings that pass frames over.
//!
//! A frame is at any time in one place: free, lent to the kernel to receive into, received, or lent to the
//! kernel to be sent. [`Owner`] says where, and what the kernel hands back is believed only if it agrees.
//! Each ring has room for every frame there is, so none can run over.
//!
//! A batch: [`receive`](XdpSocket::receive) takes frames over and puts an empty one beside each;
//! [`lanes`](XdpSocket::lanes) gives both to whoever answers; an answer is queued with
//! [`queue`](XdpSocket::queue) as it stands, without a copy; [`flush`](XdpSocket::flush) hands everything
//! back.
//!
//! The invariants that the `unsafe` blocks lean on:
//! - **one-owner**: a slice of a frame is made only while it is in a lane, where no other lane has it; what
//!   is in a lane the kernel leaves alone until `flush` hands the batch back, queued frames too.
//! - **frame-in-memory**: numbers of frames are below [`FRAMES`] and the memory is [`FRAMES`] frames long, so
//!   that every frame, and every part of it, lies inside.
//! - **ring-in-mapping**: when a ring is made, its indices, flags and all of its entries are checked to lie
//!   in its mapping and to be aligned; the number of an entry is masked before use.
//! - **live-buffers**: addresses given to a system call are of values on the caller's frame, or of the
//!   memory that the socket owns beyond its own life, with their lengths.
//! - **zero-is-valid**: the C struct consists of integers; all-zero bytes are one of its values.
//! - **fresh-descriptor**: a descriptor that the kernel has just returned belongs to nobody else.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::mem::{align_of, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

use super::frame::MAX_FRAME;
use crate::transport::mmsg::BATCH;

/// Frames of a socket.
pub const FRAMES: usize = 4096;
/// Bytes of a frame.
pub const FRAME_BYTES: usize = 2048;
/// Frames lent to the kernel to receive into; the rest are for answers.
const LENT: usize = 3072;
/// What the kernel keeps free in front of a received frame, bytes.
const HEADROOM: usize = 256;
/// Asked of the kernel for frames being sent, bytes; it may grant less (`net.core.wmem_max`).
const SEND_BUFFER_BYTES: usize = 4 << 20;
/// Frames sent per system call, where the kernel lets itself be told (Linux 6.16).
const SEND_BUDGET: u32 = 256;
/// `XDP_MAX_TX_SKB_BUDGET`
const XDP_SEND_BUDGET: libc::c_int = 9;
/// System calls to get one batch sent, at most; what is left goes with the next.
const MAX_KICKS: usize = 8;

const _: () = assert!(FRAMES.is_power_of_two() && FRAMES <= u16::MAX as usize);
const _: () = assert!(FRAME_BYTES.is_power_of_two() && HEADROOM + MAX_FRAME <= FRAME_BYTES);
const _: () = assert!(LENT + 2 * BATCH <= FRAMES);
// Even where the kernel sends 32 in a call a whole batch leaves.
const _: () = assert!(MAX_KICKS * 32 >= BATCH);

/// What may be read and written of memory that a kernel writes too.
trait Entry: Copy {}
impl Entry for u64 {}
impl Entry for libc::xdp_desc {}

/// One ring, seen from this side.
struct Ring<T> {
    mapping: MmapRaw,
    offsets: libc::xdp_ring_offset,
    /// Our own index: of entries written, or read.
    at: u32,
    entries: PhantomData<T>,
}

impl<T: Entry> Ring<T> {
    fn map(socket: &OwnedFd, page: u64, offsets: libc::xdp_ring_offset) -> io::Result<Self> {
        let start = usize::try_from(offsets.desc).unwrap_or(usize::MAX);
        let length = start.saturating_add(FRAMES * size_of::<T>());
        let fits = |at: u64| at.is_multiple_of(4) && at.saturating_add(4) <= length as u64;
        let aligned = start.is_multiple_of(align_of::<T>());
        if !(aligned && fits(offsets.producer) && fits(offsets.consumer) && fits(offsets.flags)) {
            return Err(io::Error::other("the kernel lays its rings out in a way that is not known"));
        }
        let mapping = MmapOptions::new().offset(page).len(length).populate().map_raw(socket)?;
        Ok(Ring { mapping, offsets, at: 0, entries: PhantomData })
    }

    fn word(&self, at: u64) -> &AtomicU32 {
        let place = self.mapping.as_mut_ptr().wrapping_add(at as usize);
        // SAFETY: ring-in-mapping: `at` is one of the three offsets checked when the ring was made.
        unsafe { AtomicU32::from_ptr(place.cast()) }
    }

    fn entry(&self, index: u32) -> *mut T {
        let number = index as usize & (FRAMES - 1);
        self.mapping.as_mut_ptr().wrapping_add(self.offsets.desc as usize).cast::<T>().wrapping_add(number)
    }

    /// Whether the kernel wants a system call before it goes on.
    fn wants_call(&self) -> bool {
        // What was published has to be seen before the kernel decides that it may sleep.
        fence(Ordering::SeqCst);
        self.word(self.offsets.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    /// Entries that the kernel has written and we have not read, at most as many as there are frames.
    fn readable(&self) -> usize {
        let written = self.word(self.offsets.producer).load(Ordering::Acquire);
        (written.wrapping_sub(self.at) as usize).min(FRAMES)
    }

    /// Reads the next entry, which has to be one of the readable.
    fn read(&mut self) -> T {
        let entry = self.entry(self.at);
        self.at = self.at.wrapping_add(1);
        // SAFETY: ring-in-mapping: the number is masked, the entry aligned and inside.
        unsafe { entry.read_volatile() }
    }

    /// Lets the kernel write over what was read.
    fn release(&self) {
        self.word(self.offsets.consumer).store(self.at, Ordering::Release);
    }

    /// Writes the next entry. There is room: each ring holds all frames, and no frame is in one twice.
    fn write(&mut self, value: T) {
        let entry = self.entry(self.at);
        self.at = self.at.wrapping_add(1);
        // SAFETY: ring-in-mapping: the number is masked, the entry aligned and inside.
        unsafe { entry.write_volatile(value) }
    }

    /// Lets the kernel read what was written.
    fn publish(&self) {
        self.word(self.offsets.producer).store(self.at, Ordering::Release);
    }

    /// Whether the kernel has not read all of what was published.
    fn unread(&self) -> bool {
        self.word(self.offsets.consumer).load(Ordering::Acquire) != self.at
    }
}

/// The four rings of one socket.
struct Rings {
    fill: Ring<u64>,
    completed: Ring<u64>,
    incoming: Ring<libc::xdp_desc>,
    outgoing: Ring<libc::xdp_desc>,
}

impl Rings {
    fn map(socket: &OwnedFd, offsets: &libc::xdp_mmap_offsets) -> io::Result<Self> {
        Ok(Rings {
            fill: Ring::map(socket, libc::XDP_UMEM_PGOFF_FILL_RING, offsets.fr)?,
            completed: Ring::map(socket, libc::XDP_UMEM_PGOFF_COMPLETION_RING, offsets.cr)?,
            incoming: Ring::map(socket, libc::XDP_PGOFF_RX_RING as u64, offsets.rx)?,
            outgoing: Ring::map(socket, libc::XDP_PGOFF_TX_RING as u64, offsets.tx)?,
        })
    }
}

/// Where a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Free,
    /// Lent to the kernel to receive into.
    Lent,
    /// In a lane: received, or beside a received one.
    Lane,
    /// Lent to the kernel to be sent.
    Sending,
}

/// Two frames: what was received and what may be answered.
#[derive(Debug, Clone, Copy, Default)]
struct Lane {
    received: u16,
    start: u16,
    length: u16,
    beside: u16,
    /// Which of the two is to be sent, if one is.
    sent: Option<u16>,
}

/// What is not as it should be, over the life of a socket.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Mishaps {
    /// Frames that came while every other one was on its way out.
    pub no_room: u64,
    /// Entries of the kernel that do not agree with what is known; they are left alone.
    pub disagreements: u64,
}

/// An AF_XDP socket on one queue of an interface, with its memory. For one thread.
pub struct XdpSocket {
    // The rings and the descriptor go before the memory that they lead the kernel to.
    fill: Ring<u64>,
    completed: Ring<u64>,
    incoming: Ring<libc::xdp_desc>,
    outgoing: Ring<libc::xdp_desc>,
    socket: OwnedFd,
    memory: MmapRaw,
    owners: Box<[Owner]>,
    free: Vec<u16>,
    lanes: [Lane; BATCH],
    count: usize,
    mishaps: Mishaps,
    zero_copy: bool,
}

impl std::fmt::Debug for XdpSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XdpSocket").field("socket", &self.socket).finish_non_exhaustive()
    }
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn set<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let (value, length) = (ptr::from_ref(value).cast(), size_of::<T>() as libc::socklen_t);
    // SAFETY: live-buffers: the value is the caller's, with the size of its type.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_XDP, option, value, length) }).map(|_| ())
}

fn get<T>(socket: &OwnedFd, option: libc::c_int, mut value: T) -> io::Result<T> {
    let mut length = size_of::<T>() as libc::socklen_t;
    let place = ptr::from_mut(&mut value).cast();
    // SAFETY: live-buffers: value and length are on this frame, and the length is the value's.
    checked(unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_XDP, option, place, &raw mut length) })?;
    if length as usize == size_of::<T>() {
        Ok(value)
    } else {
        Err(io::Error::other("the kernel is older than Linux 5.11"))
    }
}

fn open_socket() -> io::Result<OwnedFd> {
    // SAFETY: live-buffers: the call takes no address.
    let descriptor = checked(unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: fresh-descriptor: the call above has made it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Gives the memory to the kernel and sizes all four rings.
fn register(socket: &OwnedFd, memory: &MmapRaw) -> io::Result<()> {
    let registration = libc::xdp_umem_reg {
        addr: memory.as_mut_ptr() as u64,
        len: memory.len() as u64,
        chunk_size: FRAME_BYTES as u32,
        headroom: 0,
        flags: 0,
        tx_metadata_len: 0,
    };
    set(socket, libc::XDP_UMEM_REG, &registration)?;
    let rings =
        [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING];
    rings.into_iter().try_for_each(|ring| set(socket, ring, &(FRAMES as libc::c_int)))?;
    // Kernels that cannot be told send 32 a call.
    let _ = set(socket, XDP_SEND_BUDGET, &SEND_BUDGET);
    socket2::SockRef::from(socket).set_send_buffer_size(SEND_BUFFER_BYTES)
}

fn bind(socket: &OwnedFd, interface: u32, queue: u32, how: u16) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: libc::XDP_USE_NEED_WAKEUP | how,
        sxdp_ifindex: interface,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    let length = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
    // SAFETY: live-buffers: the address is on this frame, with its length.
    checked(unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), length) }).map(|_| ())
}

impl XdpSocket {
    /// Opens a socket on queue `queue` of the interface with this number; nothing comes before a program
    /// sends it here. With `zero_copy` the card itself reads and writes the frames.
    ///
    /// # Errors
    /// The system's; `EOPNOTSUPP` if zero copy is asked for and not offered.
    pub(super) fn open(interface: u32, queue: u32, zero_copy: bool) -> io::Result<XdpSocket> {
        let socket = open_socket()?;
        let memory = MmapRaw::from(MmapOptions::new().len(FRAMES * FRAME_BYTES).populate().map_anon()?);
        register(&socket, &memory)?;
        // SAFETY: zero-is-valid: the struct is twelve integers.
        let offsets =
            get(&socket, libc::XDP_MMAP_OFFSETS, unsafe { std::mem::zeroed::<libc::xdp_mmap_offsets>() })?;
        let rings = Rings::map(&socket, &offsets)?;
        let opened = XdpSocket::new(socket, rings, memory, zero_copy);
        bind(&opened.socket, interface, queue, if zero_copy { libc::XDP_ZEROCOPY } else { libc::XDP_COPY })?;
        Ok(opened)
    }

    /// A socket that has lent its first frames; `memory` is [`FRAMES`] frames long.
    fn new(socket: OwnedFd, rings: Rings, memory: MmapRaw, zero_copy: bool) -> XdpSocket {
        let Rings { fill, completed, incoming, outgoing } = rings;
        let mut new = XdpSocket {
            fill,
            completed,
            incoming,
            outgoing,
            socket,
            memory,
            owners: vec![Owner::Free; FRAMES].into_boxed_slice(),
            free: (LENT as u16..FRAMES as u16).collect(),
            lanes: [Lane::default(); BATCH],
            count: 0,
            mishaps: Mishaps::default(),
            zero_copy,
        };
        // The list never grows beyond this.
        new.free.reserve_exact(LENT);
        (0..LENT as u16).for_each(|frame| new.lend(frame));
        new.fill.publish();
        new
    }

    /// Whether the card itself reads and writes the frames.
    pub fn zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// What was not as it should be so far.
    pub fn mishaps(&self) -> Mishaps {
        self.mishaps
    }

    /// Frames for this socket that the kernel dropped so far because it was too slow.
    ///
    /// # Errors
    /// The system's.
    pub fn dropped(&self) -> io::Result<u64> {
        // SAFETY: zero-is-valid: the struct is six integers.
        let statistics =
            get(&self.socket, libc::XDP_STATISTICS, unsafe { std::mem::zeroed::<libc::xdp_statistics>() })?;
        Ok(statistics.rx_dropped + statistics.rx_ring_full)
    }

    /// Takes an error that the interface has left for this socket, such as that it is gone.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        socket2::SockRef::from(&self.socket).take_error()
    }

    fn lend(&mut self, frame: u16) {
        self.owners[usize::from(frame)] = Owner::Lent;
        self.fill.write(u64::from(frame) * FRAME_BYTES as u64);
    }

    fn give_back(&mut self, frame: u16) {
        self.owners[usize::from(frame)] = Owner::Free;
        self.free.push(frame);
    }

    /// Takes over what has come, at most [`BATCH`] frames, without waiting; how many lanes there are now.
    /// What was left of the batch before is flushed.
    pub fn receive(&mut self) -> usize {
        if self.count > 0 {
            // A batch that nobody answered is handed back; an error shows itself at the next one.
            let _ = self.flush();
        }
        self.collect_sent();
        for _ in 0..self.incoming.readable().min(BATCH) {
            let entry = self.incoming.read();
            let Some((frame, start)) = self.lent_frame(entry.addr) else { continue };
            let length = entry.len as usize;
            if length > FRAME_BYTES - start {
                self.mishaps.disagreements += 1;
                self.lend(frame);
            } else if let Some(beside) = self.free.pop() {
                self.owners[usize::from(frame)] = Owner::Lane;
                self.owners[usize::from(beside)] = Owner::Lane;
                let (start, length) = (start as u16, length as u16);
                self.lanes[self.count] = Lane { received: frame, start, length, beside, sent: None };
                self.count += 1;
            } else {
                self.mishaps.no_room += 1;
                self.lend(frame);
            }
        }
        self.incoming.release();
        if self.count == 0 {
            self.fill.publish();
        }
        self.count
    }

    /// Number and offset of the frame at `address`, if the kernel had it to receive into.
    fn lent_frame(&mut self, address: u64) -> Option<(u16, usize)> {
        let frame = self.frame_at(address, Owner::Lent)?;
        Some((frame, address as usize % FRAME_BYTES))
    }

    /// Number of the frame at `address`, if it is where it should be.
    fn frame_at(&mut self, address: u64, owner: Owner) -> Option<u16> {
        let number = usize::try_from(address).unwrap_or(usize::MAX) / FRAME_BYTES;
        let agreed = self.owners.get(number) == Some(&owner);
        self.mishaps.disagreements += u64::from(!agreed);
        agreed.then_some(number as u16)
    }

    /// Takes back frames that were sent.
    fn collect_sent(&mut self) {
        let count = self.completed.readable();
        for _ in 0..count {
            let address = self.completed.read();
            if let Some(frame) = self.frame_at(address, Owner::Sending) {
                self.give_back(frame);
            }
        }
        if count > 0 {
            self.completed.release();
        }
    }

    fn slice(&self, frame: u16) -> *mut [u8; FRAME_BYTES] {
        self.memory.as_mut_ptr().cast::<[u8; FRAME_BYTES]>().wrapping_add(usize::from(frame))
    }

    /// Each lane's received frame and the whole of the empty one beside it.
    pub fn lanes(&mut self) -> impl Iterator<Item = (&[u8], &mut [u8; FRAME_BYTES])> {
        let this = &*self;
        this.lanes[..this.count].iter().map(|lane| {
            // SAFETY: one-owner, frame-in-memory: the frame is this lane's alone, and only read.
            let received = unsafe { &*this.slice(lane.received) };
            // SAFETY: one-owner, frame-in-memory: the frame is this lane's alone, given out once while the
            // socket is borrowed.
            let beside = unsafe { &mut *this.slice(lane.beside) };
            let (start, length) = (usize::from(lane.start), usize::from(lane.length));
            (&received[start..start + length], beside)
        })
    }

    /// The received frame of lane `lane`, to be changed where it lies.
    pub fn received_mut(&mut self, lane: usize) -> &mut [u8] {
        let Lane { received, start, length, .. } = self.lanes[..self.count][lane];
        // SAFETY: one-owner, frame-in-memory: the frame is this lane's alone, and the socket is borrowed.
        let frame = unsafe { &mut *self.slice(received) };
        &mut frame[usize::from(start)..][..usize::from(length)]
    }

    /// Queues a part of the frame beside lane `lane` to be sent. A lane sends once.
    pub fn queue(&mut self, lane: usize, start: usize, length: usize) {
        let beside = self.lanes[..self.count][lane].beside;
        self.send(lane, beside, start, length);
    }

    /// Queues the received frame of lane `lane` to be sent back as it is now. A lane sends once.
    pub fn queue_received(&mut self, lane: usize) {
        let Lane { received, start, length, .. } = self.lanes[..self.count][lane];
        self.send(lane, received, start.into(), length.into());
    }

    fn send(&mut self, lane: usize, frame: u16, start: usize, length: usize) {
        assert!(start + length <= FRAME_BYTES && self.lanes[lane].sent.is_none());
        self.lanes[lane].sent = Some(frame);
        self.owners[usize::from(frame)] = Owner::Sending;
        let addr = (usize::from(frame) * FRAME_BYTES + start) as u64;
        self.outgoing.write(libc::xdp_desc { addr, len: length as u32, options: 0 });
    }

    /// Hands everything of this batch back to the kernel, and has what is queued sent.
    ///
    /// # Errors
    /// The system's; what is queued goes with a later batch then.
    pub fn flush(&mut self) -> io::Result<()> {
        for lane in 0..std::mem::take(&mut self.count) {
            let Lane { received, beside, sent, .. } = self.lanes[lane];
            if sent == Some(received) {
                self.lend(beside);
            } else {
                self.lend(received);
            }
            if sent.is_none() {
                self.give_back(beside);
            }
        }
        self.outgoing.publish();
        self.fill.publish();
        if self.zero_copy && self.fill.wants_call() {
            self.wake_receiver()?;
        }
        self.kick()
    }

    /// Whether something is queued that the kernel has not looked at.
    pub fn unsent(&self) -> bool {
        self.outgoing.unread()
    }

    /// Asks the kernel to send what is queued.
    ///
    /// # Errors
    /// The system's, unless it only wants to be asked again.
    pub fn kick(&mut self) -> io::Result<()> {
        // bounded: the kernel may want to be asked again and again.
        for _ in 0..MAX_KICKS {
            if !self.outgoing.unread() || !self.outgoing.wants_call() {
                break;
            }
            let (flags, nowhere) = (libc::MSG_DONTWAIT, ptr::null());
            // SAFETY: live-buffers: the call is given no address.
            let result = unsafe { libc::sendto(self.socket.as_raw_fd(), nowhere, 0, flags, ptr::null(), 0) };
            again_later(result)?;
        }
        Ok(())
    }

    /// Tells the card that there are frames to receive into again.
    fn wake_receiver(&self) -> io::Result<()> {
        let (flags, nowhere) = (libc::MSG_DONTWAIT, ptr::null_mut());
        // SAFETY: live-buffers: the call is given no address.
        let result = unsafe {
            libc::recvfrom(self.socket.as_raw_fd(), nowhere, 0, flags, ptr::null_mut(), ptr::null_mut())
        };
        again_later(result)
    }
}

impl AsFd for XdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a call that moves frames says, unless it is that there is more to do or no room just now.
fn again_later(result: libc::ssize_t) -> io::Result<()> {
    if result >= 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        e if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR)) => {
            Ok(())
        }
        e => Err(e),
    }
}

#[cfg(test)]
pub(super) mod played;
#[cfg(test)]
mod tests;
