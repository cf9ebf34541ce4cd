//! The bpf system call: maps, programs, and the link that holds a program on an interface.
//!
//! Everything made here is a descriptor. The kernel gives up a link when its descriptor closes, however the
//! process ends, so no program outlives the server that needs it.
//!
//! The invariants that the `unsafe` blocks lean on:
//! - **attributes-live**: the attributes, and every buffer whose address is in them, live in the caller for
//!   the whole call, and the lengths in the attributes are those of the buffers.
//! - **fresh-descriptor**: a descriptor that the kernel has just returned belongs to nobody else.
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use zerocopy::{Immutable, IntoBytes};

use super::program::{ADDRESS_BYTES, Instruction};

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_DELETE_ELEM: libc::c_int = 3;
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;

const MAP_TYPE_HASH: u32 = 1;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// By the driver itself, before a packet buffer is made; without that there is nothing to gain.
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// What the verifier may write, bytes.
const LOG_BYTES: usize = 64 << 10;
/// Nothing that a program like ours calls asks for more.
const LICENSE: &[u8] = b"Apache-2.0\0";

#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct MapCreate {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    max_entries: u32,
}

#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct MapUpdate {
    map: RawFd,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct ProgLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach: u32,
}

#[repr(C)]
#[derive(IntoBytes, Immutable)]
struct LinkCreate {
    program: RawFd,
    interface: u32,
    attach: u32,
    flags: u32,
}

/// One call; the result is the kernel's, 0 or a descriptor.
fn bpf<A: IntoBytes + Immutable>(command: libc::c_int, attributes: &mut A) -> io::Result<RawFd> {
    // SAFETY: attributes-live: they are the caller's, exclusively, with the size of their type.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, ptr::from_mut(attributes), size_of::<A>() as libc::c_uint)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
}

fn owned(descriptor: RawFd) -> OwnedFd {
    // SAFETY: fresh-descriptor: called only with what a call that makes one has just returned.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn address_of<T: ?Sized>(buffer: &T) -> u64 {
    ptr::from_ref(buffer).cast::<u8>() as u64
}

fn create_map(kind: u32, key_bytes: usize, value_bytes: usize, max_entries: u32) -> io::Result<OwnedFd> {
    let (key_bytes, value_bytes) = (key_bytes as u32, value_bytes as u32);
    bpf(MAP_CREATE, &mut MapCreate { kind, key_bytes, value_bytes, max_entries }).map(owned)
}

/// Sets an entry of a map whose keys and values are of these types.
fn update<K, V>(map: BorrowedFd<'_>, key: &K, value: &V) -> io::Result<()> {
    let mut attributes = MapUpdate {
        map: map.as_raw_fd(),
        padding: 0,
        key: address_of(key),
        value: address_of(value),
        flags: 0,
    };
    bpf(MAP_UPDATE_ELEM, &mut attributes).map(|_| ())
}

/// A set of addresses.
#[derive(Debug)]
pub(super) struct AddressSet(OwnedFd);

impl AddressSet {
    pub(super) fn create(max_entries: u32) -> io::Result<Self> {
        create_map(MAP_TYPE_HASH, ADDRESS_BYTES, size_of::<u32>(), max_entries).map(AddressSet)
    }

    pub(super) fn add(&self, address: [u8; ADDRESS_BYTES]) -> io::Result<()> {
        update(self.0.as_fd(), &address, &1u32)
    }

    /// Removes an address that is in it.
    pub(super) fn remove(&self, address: [u8; ADDRESS_BYTES]) -> io::Result<()> {
        let map = self.0.as_raw_fd();
        let mut attributes = MapUpdate { map, padding: 0, key: address_of(&address), value: 0, flags: 0 };
        bpf(MAP_DELETE_ELEM, &mut attributes).map(|_| ())
    }
}

impl AsFd for AddressSet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The sockets of an interface, by queue.
#[derive(Debug)]
pub(super) struct QueueSockets(OwnedFd);

impl QueueSockets {
    pub(super) fn create(queues: u32) -> io::Result<Self> {
        create_map(MAP_TYPE_XSKMAP, size_of::<u32>(), size_of::<RawFd>(), queues).map(QueueSockets)
    }

    pub(super) fn set(&self, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        update(self.0.as_fd(), &queue, &socket.as_raw_fd())
    }
}

impl AsFd for QueueSockets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Why the kernel did not take a program, with the end of what its verifier says, if it says something.
#[derive(Debug)]
pub(super) struct NotLoaded {
    pub(super) source: io::Error,
    pub(super) verdict: String,
}

/// Gives `program` to the kernel.
pub(super) fn load(program: &[Instruction]) -> Result<OwnedFd, NotLoaded> {
    let source = match load_with_log(program, &mut []) {
        Ok(loaded) => return Ok(loaded),
        Err(source) => source,
    };
    let mut log = vec![0; LOG_BYTES];
    if source.kind() != io::ErrorKind::PermissionDenied || source.raw_os_error() == Some(libc::EACCES) {
        // Once more, to hear why; should it be taken now, so much the better.
        if let Ok(loaded) = load_with_log(program, &mut log) {
            return Ok(loaded);
        }
    }
    let text = String::from_utf8_lossy(&log);
    let verdict = text.trim_end_matches('\0').lines().rev().find(|line| !line.starts_with("processed"));
    Err(NotLoaded { source, verdict: verdict.unwrap_or_default().trim().to_owned() })
}

fn load_with_log(program: &[Instruction], log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut name = [0; 16];
    name[..4].copy_from_slice(b"tekd");
    let mut attributes = ProgLoad {
        kind: PROG_TYPE_XDP,
        instruction_count: program.len() as u32,
        instructions: address_of(program),
        license: address_of(LICENSE),
        log_level: u32::from(!log.is_empty()),
        log_bytes: size_of_val(log) as u32,
        log: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        kernel_version: 0,
        flags: 0,
        name,
        interface: 0,
        expected_attach: ATTACH_XDP,
    };
    bpf(PROG_LOAD, &mut attributes).map(owned)
}

/// Holds `program` on the interface with this index until what is returned is dropped.
pub(super) fn attach(program: BorrowedFd<'_>, interface: u32) -> io::Result<OwnedFd> {
    let program = program.as_raw_fd();
    let mut attributes = LinkCreate { program, interface, attach: ATTACH_XDP, flags: XDP_FLAGS_DRV_MODE };
    bpf(LINK_CREATE, &mut attributes).map(owned)
}

/// Runs programs on frames that nobody sent.
#[cfg(test)]
mod rehearsal {
    use super::*;

    const PROG_TEST_RUN: libc::c_int = 10;
    const MAP_TYPE_DEVMAP: u32 = 14;

    #[repr(C)]
    #[derive(IntoBytes, Immutable)]
    struct TestRun {
        program: RawFd,
        result: u32,
        bytes_in: u32,
        bytes_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }

    /// What `program` says of `frame`, that came by queue 0.
    pub(super) fn run(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<u32> {
        let mut attributes = TestRun {
            program: program.as_raw_fd(),
            result: 0,
            bytes_in: frame.len() as u32,
            bytes_out: 0,
            data_in: address_of(frame),
            data_out: 0,
            repeat: 1,
            duration: 0,
        };
        bpf(PROG_TEST_RUN, &mut attributes)?;
        Ok(attributes.result)
    }

    /// A map that queue 0 leads somewhere in, which no socket is needed for.
    pub(super) fn somewhere() -> io::Result<OwnedFd> {
        let map = create_map(MAP_TYPE_DEVMAP, size_of::<u32>(), size_of::<u32>(), 1)?;
        update(map.as_fd(), &0u32, &1u32)?;
        Ok(map)
    }
}

#[cfg(test)]
mod tests;
