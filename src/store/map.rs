//! Bytes that do not change: a file's content in memory, private or mapped.
//!
//! The public half reads one immutable run of bytes. [`Table`] is that run, whichever
//! of two ways it came into memory:
//!
//! - [`MemoryMode::Copy`]: read into anonymous memory of this process, advised to use
//!   huge pages (only anonymous memory gets them) and then write-protected. The file may
//!   be lost, truncated or overwritten afterwards: nothing happens to the readers.
//! - [`MemoryMode::Map`]: the file itself, mapped read-only. It costs no memory of its
//!   own, but a hole torn into the file under the map, or a bad sector, ends the process
//!   with SIGBUS: there is no handler for it here. The guards are that the length is
//!   checked at opening, that opening reads every byte once, and the invariant below.
//!   Who cannot trust the medium or other programs on the machine uses `Copy`.
//!
//! # Invariants
//!
//! - **published-bytes-never-change** (clause 5.6.11): a generation file is written under a temporary
//!   name, synced, and only then opened for reading; from then on no code of tekd opens
//!   it for writing, truncates it or overwrites it. Its names are only renamed and
//!   unlinked, and neither touches the bytes under a map. The data directory belongs to one
//!   process (its lock) and is mode 0700, so no other program has business in it.
//!
//! What this file does not do: look at the bytes. [`super::generation`] verifies them.

use std::io;

use memmap2::{Mmap, MmapMut};

use super::DiskFile;

/// Bytes read from the disk in one call when a file is copied into memory.
const COPY_CHUNK: usize = 1 << 20;

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
    bytes: Mmap,
    mode: MemoryMode,
}

impl Table {
    /// Brings the first `len` bytes of `file` into memory; `len` is at least one.
    pub(super) fn load(file: &dyn DiskFile, len: usize, mode: MemoryMode) -> io::Result<Self> {
        match (mode, file.os_file()) {
            (MemoryMode::Map, Some(os_file)) => Self::map(os_file, len),
            _ => Self::fill(len, |bytes| {
                let mut offset = 0;
                for chunk in bytes.chunks_mut(COPY_CHUNK) {
                    file.read_exact_at(chunk, offset)?;
                    offset += chunk.len() as u64;
                }
                Ok(())
            }),
        }
    }

    /// `len` bytes of anonymous memory (zero at first), written once by `write` and
    /// protected from then on; `len` is at least one.
    pub(super) fn fill(len: usize, write: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<Self> {
        let mut bytes = MmapMut::map_anon(len)?;
        // A hint: where the kernel has no huge pages the table is slower, not wrong.
        #[cfg(target_os = "linux")]
        let _ = bytes.advise(memmap2::Advice::HugePage);
        write(&mut bytes)?;
        Ok(Self { bytes: bytes.make_read_only()?, mode: MemoryMode::Copy })
    }

    #[allow(unsafe_code)]
    fn map(file: &std::fs::File, len: usize) -> io::Result<Self> {
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
        Ok(Self { bytes, mode: MemoryMode::Map })
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

#[cfg(test)]
mod tests {
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
}
