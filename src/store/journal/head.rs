//! The head file: two slots of one page, written in turn, that name an acknowledged head.
//!
//! A power cut can damage only the slot being written, so the other one stays. Every
//! `open` replaces the whole file, so that a slot which only the page cache holds is
//! never the one to rely on.

use std::io;
use std::path::{Path, PathBuf};

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use super::contract::{Head, JournalError, LogId};
use super::format::{FORMAT, HEAD_MAGIC, HeadSlot, MAX_NUMBER, PAGE, page_crc};
use crate::store::disk::{Disk, DiskFile, has_no_space, replace_file};

/// What the newest valid slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) log_id: LogId,
    /// Which write of the head file this is.
    pub(super) count: u64,
    pub(super) head: Head,
    /// Segment and offset at which the group after `head` would begin.
    pub(super) segment: u32,
    pub(super) offset: u64,
}

/// The path of the head file of the journal in `dir`.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("head")
}

/// Both slots.
fn slots(disk: &dyn Disk, dir: &Path) -> Result<Vec<u8>, JournalError> {
    let file = path(dir);
    let mut bytes = vec![0; 2 * PAGE as usize];
    let read = disk.open(&file).and_then(|open| open.read_exact_at(&mut bytes, 0));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(JournalError::Missing { dir: dir.to_path_buf() })
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(JournalError::HeadDamaged { file }),
        Err(source) => Err(JournalError::Disk { what: "read", file, source }),
        Ok(()) => Ok(bytes),
    }
}

/// The head file of the journal in `dir` if one of its slots is damaged: by a power cut while it was
/// written, or by rot.
pub(super) fn damaged_slot(disk: &dyn Disk, dir: &Path) -> Result<Option<PathBuf>, JournalError> {
    let damaged = slots(disk, dir)?.chunks_exact(PAGE as usize).any(|page| valid(page).is_none());
    Ok(damaged.then(|| path(dir)))
}

/// Reads the newest valid slot.
pub(super) fn read(disk: &dyn Disk, dir: &Path) -> Result<Mark, JournalError> {
    let (file, bytes) = (path(dir), slots(disk, dir)?);
    let slots = bytes.chunks_exact(PAGE as usize).filter_map(valid);
    let newest = slots.max_by_key(|slot| slot.count.get());
    let slot = newest.ok_or_else(|| JournalError::HeadDamaged { file: file.clone() })?;
    if slot.format.get() > FORMAT {
        return Err(JournalError::Newer { file, found: slot.format.get(), max: FORMAT });
    }
    let head = Head {
        incarnation: slot.incarnation.get(),
        gno: slot.gno.get(),
        seq: slot.seq.get(),
        chain: slot.chain,
    };
    Ok(Mark {
        log_id: slot.log_id,
        count: slot.count.get(),
        head,
        segment: slot.segment.get(),
        offset: slot.offset.get(),
    })
}

fn valid(page: &[u8]) -> Option<&HeadSlot> {
    let slot = HeadSlot::ref_from_bytes(page).ok()?;
    let possible = [slot.count, slot.gno, slot.seq, slot.offset].iter().all(|n| n.get() <= MAX_NUMBER);
    (slot.magic == HEAD_MAGIC && slot.crc.get() == page_crc(page) && possible).then_some(slot)
}

fn encode(mark: &Mark) -> HeadSlot {
    let mut slot = HeadSlot {
        magic: HEAD_MAGIC,
        format: U32::new(FORMAT),
        incarnation: U32::new(mark.head.incarnation),
        log_id: mark.log_id,
        count: U64::new(mark.count),
        gno: U64::new(mark.head.gno),
        seq: U64::new(mark.head.seq),
        segment: U32::new(mark.segment),
        reserved: U32::new(0),
        offset: U64::new(mark.offset),
        chain: mark.head.chain,
        zero: [0; 3988],
        crc: U32::new(0),
    };
    slot.crc = U32::new(page_crc(slot.as_bytes()));
    slot
}

/// The head file, open for writing.
pub(super) struct HeadFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    mark: Mark,
}

impl HeadFile {
    /// Writes a new head file with `mark` in both slots over whatever is there.
    pub(super) fn replace(disk: &dyn Disk, dir: &Path, mark: Mark) -> Result<HeadFile, JournalError> {
        let path = path(dir);
        let slot = encode(&mark);
        let fail = |what, source| JournalError::Disk { what, file: path.clone(), source };
        match replace_file(disk, &path, [slot.as_bytes(), slot.as_bytes()].concat().as_slice()) {
            Err(source) if has_no_space(&source) => {
                let file = disk.open_write(&path).map_err(|_| fail("write", source))?;
                return HeadFile::overwrite(file, path, mark);
            }
            replaced => replaced.map_err(|source| fail("write", source))?,
        }
        let file = disk.open_write(&path).map_err(|source| fail("open", source))?;
        Ok(HeadFile { file, path, mark })
    }

    /// Writes both slots in place, for a disk without space for another file: the one that does
    /// not hold first, so that one is whole at any time (spec 5.4.6).
    fn overwrite(file: Box<dyn DiskFile>, path: PathBuf, mark: Mark) -> Result<HeadFile, JournalError> {
        let before = Mark { count: mark.count.saturating_sub(1), ..mark };
        let mut held = HeadFile { file, path, mark: before };
        held.write(mark.head, mark.segment, mark.offset)?;
        held.write(mark.head, mark.segment, mark.offset)?;
        Ok(held)
    }

    /// The group the file names as acknowledged.
    pub(super) fn gno(&self) -> u64 {
        self.mark.head.gno
    }

    /// Names `head` in the slot that is not the newest, and syncs.
    pub(super) fn write(&mut self, head: Head, segment: u32, offset: u64) -> Result<(), JournalError> {
        let mark = Mark { count: self.mark.count + 1, head, segment, offset, ..self.mark };
        let at = (mark.count % 2) * PAGE;
        let written = self.file.write_all_at(encode(&mark).as_bytes(), at).and_then(|()| self.file.sync());
        written.map_err(|source| JournalError::Disk { what: "write", file: self.path.clone(), source })?;
        self.mark = mark;
        Ok(())
    }
}
