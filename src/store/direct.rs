//! A file written and read past the page cache: one synchronous write instead of a write and a
//! sync, and reads that see what the disk has.
//!
//! `O_DIRECT` takes whole blocks from memory that is aligned to them, so bytes go through an
//! aligned copy, made without `unsafe` in a vector that is a page too long. A file system that
//! refuses (`EINVAL`) gets ordinary writes with a sync instead; that is logged once.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Blocks are aligned to this: as large as those of any disk in use.
const PAGE: usize = 4096;

/// A file that is open twice: for direct synchronous input and output, and for the ordinary one.
#[derive(Debug)]
pub(super) struct DirectFile {
    /// None where the file system refused.
    direct: Option<File>,
    plain: File,
    path: PathBuf,
    /// The file system took the flags, but no write.
    refused: AtomicBool,
}

impl DirectFile {
    /// Opens the existing file `path` for reading, and for writing if `write`.
    pub(super) fn open(path: &Path, write: bool) -> io::Result<DirectFile> {
        let plain = OpenOptions::new().read(true).write(write).open(path)?;
        let flags = libc::O_DIRECT | libc::O_DSYNC;
        let direct = match OpenOptions::new().read(true).write(write).custom_flags(flags).open(path) {
            Ok(file) => Some(file),
            Err(error) if is_refusal(&error) => {
                tell(path);
                None
            }
            Err(error) => return Err(error),
        };
        Ok(DirectFile { direct, plain, path: path.to_path_buf(), refused: AtomicBool::new(false) })
    }

    /// The file for ordinary input and output.
    pub(super) fn plain(&self) -> &File {
        &self.plain
    }

    /// Whether input and output go past the page cache.
    fn is_direct(&self) -> bool {
        self.direct.is_some() && !self.refused.load(Ordering::Relaxed)
    }

    /// Writes whole pages at a whole page, durable on return.
    pub(super) fn write_durable_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let whole = buf.len().is_multiple_of(PAGE) && offset.is_multiple_of(PAGE as u64);
        if let Some(file) = self.direct.as_ref().filter(|_| whole && self.is_direct()) {
            let mut pages = Pages::new(buf.len());
            pages.bytes().copy_from_slice(buf);
            match FileExt::write_all_at(file, pages.bytes(), offset) {
                Err(error) if is_refusal(&error) => self.give_up(),
                written => return written,
            }
        }
        FileExt::write_all_at(&self.plain, buf, offset)?;
        self.plain.sync_data()
    }

    /// Fills `buf` from `offset` with what the disk has; an early end of file is `UnexpectedEof`.
    pub(super) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if let Some(file) = self.direct.as_ref().filter(|_| self.is_direct()) {
            match read_pages(file, buf, offset) {
                Err(error) if is_refusal(&error) => self.give_up(),
                read => return read,
            }
        }
        FileExt::read_exact_at(&self.plain, buf, offset)
    }

    fn give_up(&self) {
        self.refused.store(true, Ordering::Relaxed);
        tell(&self.path);
    }
}

/// Memory that begins on a page.
struct Pages {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Pages {
    /// Zeros, `len` of them.
    fn new(len: usize) -> Pages {
        let memory = vec![0; len + PAGE];
        // Past the end it would only be refused, and then written the ordinary way.
        let start = memory.as_ptr().align_offset(PAGE).min(PAGE);
        Pages { memory, start, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

/// Reads the pages around what is asked for.
fn read_pages(file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    let before = (offset % PAGE as u64) as usize;
    let mut pages = Pages::new((before + buf.len()).next_multiple_of(PAGE));
    let (from, mut got) = (offset - before as u64, 0);
    while got < before + buf.len() {
        match file.read_at(&mut pages.bytes()[got..], from + got as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buf.copy_from_slice(&pages.bytes()[before..before + buf.len()]);
    Ok(())
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
}

fn tell(path: &Path) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            "the file system of {} takes no direct writes: each group is written and then synced, and after a failed \
             sync a restart may see what only memory holds",
            path.display()
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(len: usize, salt: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7 + i / PAGE + salt) as u8).collect()
    }

    #[test]
    fn what_is_written_directly_is_read_back_both_ways_at_any_offset() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pages");
        std::fs::write(&path, vec![0; 8 * PAGE]).unwrap();
        let file = DirectFile::open(&path, true).unwrap();
        let mut expected = vec![0; 8 * PAGE];
        for (at, pages) in [(1, 1), (3, 4), (0, 2)] {
            let bytes = pattern(pages * PAGE, at);
            file.write_durable_at(&bytes, (at * PAGE) as u64).unwrap();
            expected[at * PAGE..(at + pages) * PAGE].copy_from_slice(&bytes);
        }
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        for (at, len) in [(0, 8 * PAGE), (1, 1), (4095, 2), (5000, 10_000), (8 * PAGE - 1, 1)] {
            let mut got = vec![0; len];
            file.read_exact_at(&mut got, at as u64).unwrap();
            assert_eq!(got, expected[at..at + len], "{len} bytes at {at}");
        }
        let beyond = file.read_exact_at(&mut [0; 2], 8 * PAGE as u64 - 1);
        assert_eq!(beyond.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_system_that_refuses_gets_a_write_and_a_sync() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plain");
        std::fs::write(&path, vec![0; 2 * PAGE]).unwrap();
        let file = DirectFile::open(&path, true).unwrap();
        file.give_up();
        assert!(!file.is_direct());
        file.write_durable_at(&pattern(PAGE, 1), PAGE as u64).unwrap();
        let mut got = vec![0; PAGE];
        file.read_exact_at(&mut got, PAGE as u64).unwrap();
        assert_eq!(got, pattern(PAGE, 1));
        assert!(is_refusal(&io::Error::from_raw_os_error(libc::EINVAL)));
        assert!(
            !is_refusal(&io::Error::from_raw_os_error(libc::EIO)),
            "a broken disk is not refused politely"
        );
    }
}
