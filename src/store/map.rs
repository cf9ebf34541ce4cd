//! Bytes that do not change: a file's content in memory, private or mapped.
//!
//! The public half reads one immutable run of bytes. [`Table`] is that run, whichever
//! of two ways it came into memory:
//!
//! - [`MemoryMode::Copy`]: read into anonymous memory of this process, advised to use
//!   huge pages (only anonymous memory gets them) and then write-protected. The file may
//!   be lost, truncated or overwritten afterwards: nothing happens to the readers.
//! - [`MemoryMode::Map`]: the file itself, mapped read-only. It costs no memory of its
//!   own, but whoever breaks the invariant below, or a bad sector, changes what readers
//!   see or tears a hole under them. So the sums of its blocks are kept from when it was
//!   verified, and a reader asks [`Table::vouches`] for what it is about to answer with.
//!   A hole, which ends a process with SIGBUS, is filled with zeros, and the table is
//!   *hurt*: it vouches for nothing from then on. Only a hole in a range that is
//!   guarded here is filled; any other SIGBUS does what it did before.
//!
//! # Invariants
//!
//! - **published-bytes-never-change** (clause 5.6.11): a generation file is written under a temporary
//!   name, synced, and only then opened for reading; from then on no code of tekd opens
//!   it for writing, truncates it or overwrites it. Its names are only renamed and
//!   unlinked, and neither touches the bytes under a map. The data directory belongs to one
//!   process (its lock) and is mode 0700, so no other program has business in it.
//! - **a-guard-covers-its-map**: a range stands in `GUARDS` from after it is mapped until before it
//!   is unmapped, so what the handler puts zeros over is memory of a table that is still there.
//! - **an-action-is-whole**: what the system gets or gives as the action of SIGBUS is made whole before,
//!   and what was there before stays where the handler finds it, for ever.
//! - **a-handler-waits-for-nobody**: the handler reads atomics and calls what a handler may call; it
//!   neither locks nor allocates.
//! - **advice-changes-no-byte**: where memory lies on huge pages it holds what it would hold without.
//!
//! What this file does not do: look at the bytes. [`super::generation`] verifies them.

use std::io;
use std::ops::Range;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use memmap2::{Mmap, MmapMut};

use super::DiskFile;

/// Bytes read from the disk in one call when a file is copied into memory.
const COPY_CHUNK: usize = 1 << 20;

/// Bytes whose sum is kept, of a mapped file: few, for each answer sums up the blocks it is read from.
const BLOCK: usize = 1024;
/// Bytes from which huge pages are asked for: several of them.
const HUGE_FROM: usize = 8 << 20;
/// Bytes of the smallest huge page: who has less gets none.
const HUGE_PAGE: usize = 2 << 20;
/// Tables that are mapped at once at most; one more is copied.
const MAPPED_MAX: usize = 1024;

/// How a generation is held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemoryMode {
    /// A private copy in anonymous memory, on huge pages where the system gives them.
    #[default]
    Copy,
    /// The file itself, mapped read-only. On a disk without files of the operating
    /// system (see [`DiskFile::os_file`]) the bytes are copied all the same.
    Map,
}

/// An immutable run of bytes, shared by any number of readers.
#[derive(Debug)]
pub struct Table {
    /// Dropped before the bytes it guards (a-guard-covers-its-map).
    guard: Option<Guard>,
    bytes: Mmap,
    mode: MemoryMode,
}

impl Table {
    /// Brings the first `len` bytes of `file` into memory; `len` is at least one.
    pub(super) fn load(file: &dyn DiskFile, len: usize, mode: MemoryMode) -> io::Result<Self> {
        match (mode, file.os_file()) {
            (MemoryMode::Map, Some(os_file)) => match Self::map(os_file, len)? {
                Some(mapped) => Ok(mapped),
                None => {
                    tracing::warn!("{MAPPED_MAX} files are mapped, the most allowed: one more is copied");
                    Self::copy(file, len)
                }
            },
            _ => Self::copy(file, len),
        }
    }

    fn copy(file: &dyn DiskFile, len: usize) -> io::Result<Self> {
        Self::fill(len, |bytes| {
            let mut offset = 0;
            for chunk in bytes.chunks_mut(COPY_CHUNK) {
                file.read_exact_at(chunk, offset)?;
                offset += chunk.len() as u64;
            }
            Ok(())
        })
    }

    /// `len` bytes of anonymous memory (zero at first), written once by `write` and
    /// protected from then on; `len` is at least one.
    pub(super) fn fill(len: usize, write: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<Self> {
        let mut bytes = MmapMut::map_anon(len)?;
        // A hint: where the kernel has no huge pages the table is slower, not wrong.
        #[cfg(target_os = "linux")]
        let _ = bytes.advise(memmap2::Advice::HugePage);
        write(&mut bytes)?;
        Ok(Self { guard: None, bytes: bytes.make_read_only()?, mode: MemoryMode::Copy })
    }

    /// None if there are too many already.
    #[allow(unsafe_code)]
    fn map(file: &std::fs::File, len: usize) -> io::Result<Option<Self>> {
        let there = file.metadata()?.len();
        if there < len as u64 {
            let what = format!("the file has {there} bytes, {len} were to be mapped");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        let mut options = memmap2::MmapOptions::new();
        options.len(len);
        // SAFETY: published-bytes-never-change: the file is complete and synced before it
        // is opened here, and nobody writes or truncates it while a map of it exists.
        let bytes = unsafe { options.map(file)? };
        let Some(guard) = Guard::over(&bytes) else { return Ok(None) };
        Ok(Some(Self { guard: Some(guard), bytes, mode: MemoryMode::Map }))
    }

    /// Whether the bytes of `range`, or those of its blocks, are still those that were loaded. To be
    /// asked after they were read; once the answer is no, the table is hurt.
    pub fn vouches(&self, range: Range<usize>) -> bool {
        self.guard.as_ref().is_none_or(|guard| guard.vouches(&self.bytes, range))
    }

    /// Whether somebody changed the file under the table, or tore a hole into it, and a reader found it.
    pub fn is_hurt(&self) -> bool {
        self.guard.as_ref().is_some_and(Guard::is_hurt)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How they are held: [`MemoryMode::Copy`] also when a map was asked for and the disk has none.
    pub fn mode(&self) -> MemoryMode {
        self.mode
    }
}

/// The pages that memory of the process comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pages {
    /// Huge ones: what is large and read here and there is found sooner, and much of it comes with few
    /// interruptions.
    #[default]
    Huge,
    /// Small ones: who adds a little does not wait until a huge page is cleared.
    Small,
}

impl Pages {
    /// Asks the system for such pages under what `list` has room for, where none are there yet. A hint: with
    /// others it is slower, not wrong.
    pub fn under<T>(self, list: &Vec<T>) {
        let len = list.capacity().saturating_mul(size_of::<T>());
        let from = match self {
            Pages::Huge => HUGE_FROM,
            Pages::Small => HUGE_PAGE,
        };
        if len >= from {
            self.advise(list.as_ptr().addr(), len);
        }
    }

    #[allow(unsafe_code)]
    fn advise(self, start: usize, len: usize) {
        let size = page_size();
        let (from, to) = (start.next_multiple_of(size), (start + len) & !(size - 1));
        #[cfg(target_os = "linux")]
        {
            let advice = match self {
                Pages::Huge => libc::MADV_HUGEPAGE,
                Pages::Small => libc::MADV_NOHUGEPAGE,
            };
            // SAFETY: advice-changes-no-byte: the pages are whole ones of memory of ours.
            let _ = unsafe { libc::madvise(from as *mut libc::c_void, to - from, advice) };
        }
    }
}

/// A mapped range that may lose its pages. A start of 0 is nobody's.
struct Place {
    start: AtomicUsize,
    len: AtomicUsize,
    taken: AtomicBool,
    hurt: AtomicBool,
}

impl Place {
    const fn free() -> Place {
        Place {
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            taken: AtomicBool::new(false),
            hurt: AtomicBool::new(false),
        }
    }
}

/// Every mapped range of the process, for the handler of SIGBUS, which may neither lock nor allocate.
static GUARDS: [Place; MAPPED_MAX] = [const { Place::free() }; MAPPED_MAX];
static PAGE: AtomicUsize = AtomicUsize::new(0);
/// What SIGBUS did before.
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());

/// What is known of the bytes of one map.
struct Guard {
    place: &'static Place,
    /// CRC-32C of each block.
    sums: Vec<u32>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("hurt", &self.is_hurt()).finish_non_exhaustive()
    }
}

impl Guard {
    /// Guards `bytes` and sums up what they are; none if there are too many guards.
    fn over(bytes: &[u8]) -> Option<Guard> {
        watch_for_holes();
        let place = GUARDS.iter().find(|place| !place.taken.swap(true, Ordering::AcqRel))?;
        place.hurt.store(false, Ordering::SeqCst);
        place.len.store(bytes.len(), Ordering::SeqCst);
        place.start.store(bytes.as_ptr() as usize, Ordering::SeqCst);
        Some(Guard { place, sums: bytes.chunks(BLOCK).map(crc32c::crc32c).collect() })
    }

    fn vouches(&self, bytes: &[u8], range: Range<usize>) -> bool {
        let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
        let whole = self.sums.get(blocks.clone()).is_some_and(|sums| {
            let blocks = bytes[blocks.start * BLOCK..].chunks(BLOCK);
            sums.iter().zip(blocks).all(|(sum, block)| *sum == crc32c::crc32c(block))
        });
        if !whole {
            self.place.hurt.store(true, Ordering::SeqCst);
        }
        whole && !self.is_hurt()
    }

    fn is_hurt(&self) -> bool {
        self.place.hurt.load(Ordering::SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.place.start.store(0, Ordering::SeqCst);
        self.place.taken.store(false, Ordering::SeqCst);
    }
}

/// Puts [`fill_hole`] before what SIGBUS does, once.
fn watch_for_holes() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let size = page_size();
        PAGE.store(size, Ordering::SeqCst);
        if let Err(error) = handle_bus_errors() {
            tracing::error!("a hole in a mapped file will end the process: no handler of SIGBUS: {error}");
        }
    });
}

#[allow(unsafe_code)]
fn page_size() -> usize {
    // SAFETY: an-action-is-whole: nothing but a number goes in and comes out.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[allow(unsafe_code)]
fn handle_bus_errors() -> io::Result<()> {
    // SAFETY: an-action-is-whole: all zeros is one, the default, without flags and mask.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: an-action-is-whole: as above.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: an-action-is-whole: `before` is one, and none is given.
    if unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut before) } != 0 {
        return Err(io::Error::last_os_error());
    }
    BEFORE.store(Box::into_raw(Box::new(before)), Ordering::SeqCst);
    ours.sa_sigaction = fill_hole as *const () as usize;
    // On the stack for signals, where the thread has one: that of a thread may be what is broken.
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: an-action-is-whole: `ours` is one, and its handler waits for nobody.
    if unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The handler of SIGBUS: a page of a guarded map that is not there any more becomes zeros, and its table is
/// hurt; whatever else it is about goes the way it went before.
#[allow(unsafe_code)]
extern "C" fn fill_hole(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: an-action-is-whole: with SA_SIGINFO the system gives its information.
    let info = unsafe { &*info };
    // SAFETY: a-handler-waits-for-nobody: it is read, and compared only.
    let at = unsafe { info.si_addr() } as usize;
    let covers = |place: &&Place| {
        let start = place.start.load(Ordering::SeqCst);
        start != 0 && (start..start + place.len.load(Ordering::SeqCst)).contains(&at)
    };
    if info.si_code > 0
        && let Some(place) = GUARDS.iter().find(covers)
    {
        // Before the zeros are there: who reads them finds it hurt.
        place.hurt.store(true, Ordering::SeqCst);
        let size = PAGE.load(Ordering::SeqCst);
        let page = (at & !(size - 1)) as *mut libc::c_void;
        let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a-guard-covers-its-map: the page belongs to a map of ours, which is read-only before
        // and after.
        let zeros = unsafe { libc::mmap(page, size, libc::PROT_READ, flags, -1, 0) };
        if zeros != libc::MAP_FAILED {
            return;
        }
    }
    // SAFETY: an-action-is-whole: it was stored before this handler was set.
    unsafe { libc::sigaction(signal, BEFORE.load(Ordering::SeqCst), std::ptr::null_mut()) };
    // SAFETY: a-handler-waits-for-nobody: the signal comes once this handler has returned.
    unsafe { libc::raise(signal) };
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Disk, RealDisk};
    use super::*;

    #[test]
    fn both_modes_show_the_bytes_of_the_file_and_survive_its_unlinking() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bytes");
        let content: Vec<u8> = (0..COPY_CHUNK + 5000).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let file = RealDisk.open(&path).unwrap();
        let copy = Table::load(&*file, content.len(), MemoryMode::Copy).unwrap();
        let map = Table::load(&*file, content.len(), MemoryMode::Map).unwrap();
        drop(file);
        RealDisk.remove(&path).unwrap();
        assert_eq!(copy.bytes(), content);
        assert_eq!(map.bytes(), content);
        assert_eq!((copy.mode(), map.mode()), (MemoryMode::Copy, MemoryMode::Map));
    }

    #[test]
    fn a_file_shorter_than_asked_for_is_refused_in_both_modes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("short");
        std::fs::write(&path, [7; 100]).unwrap();
        let file = RealDisk.open(&path).unwrap();
        for mode in [MemoryMode::Copy, MemoryMode::Map] {
            let error = Table::load(&*file, 101, mode).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{mode:?}");
        }
    }

    /// A table of some pages in a map of a file, and the file.
    fn mapped(dir: &Path) -> (Table, std::fs::File, Vec<u8>) {
        let path = dir.join("bytes");
        let content: Vec<u8> = (0..5 * 4096 + 100).map(|i| (i % 251) as u8 | 1).collect();
        std::fs::write(&path, &content).unwrap();
        let table = Table::load(&*RealDisk.open(&path).unwrap(), content.len(), MemoryMode::Map).unwrap();
        (table, std::fs::File::options().write(true).open(path).unwrap(), content)
    }

    #[test]
    fn a_hole_under_a_map_reads_as_zeros_and_hurts_the_table() {
        let dir = tempfile::tempdir().unwrap();
        let (table, file, content) = mapped(dir.path());
        assert!(table.vouches(0..content.len()) && !table.is_hurt());
        file.set_len(4096).unwrap();
        assert!(table.bytes()[8192..].iter().all(|byte| *byte == 0), "no SIGBUS");
        assert!(table.is_hurt() && !table.vouches(0..1), "it vouches for nothing any more");
        assert_eq!(table.bytes()[..4096], content[..4096]);
        drop(table);
        let (again, ..) = mapped(dir.path());
        assert!(!again.is_hurt(), "another table is not hurt");
    }

    #[test]
    fn what_was_changed_under_a_map_is_not_vouched_for() {
        let dir = tempfile::tempdir().unwrap();
        let (table, file, content) = mapped(dir.path());
        let last = content.len() - 1;
        std::os::unix::fs::FileExt::write_all_at(&file, &[content[last] ^ 1], last as u64).unwrap();
        assert!(table.vouches(0..last - BLOCK) && !table.is_hurt());
        assert!(!table.vouches(last..last + 1) && table.is_hurt());
        let copy = Table::fill(10, |_| Ok(())).unwrap();
        assert!(copy.vouches(0..10) && !copy.is_hurt(), "a copy cannot be changed");
    }

    #[test]
    fn a_cut_that_ends_within_a_page_is_found_without_a_signal() {
        let dir = tempfile::tempdir().unwrap();
        let (table, file, _) = mapped(dir.path());
        file.set_len(8192 + 10).unwrap();
        assert!(table.vouches(0..8192) && !table.is_hurt());
        assert!(!table.vouches(9000..9100) && table.is_hurt());
    }
}
