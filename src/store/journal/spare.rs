//! A spare: a file of zeros beside the segments that becomes one without asking the disk for space.
//!
//! One is the reserve, for when the disk is full (spec 5.3.15); one is the next segment, made ahead (5.3.12).
//! Who may use them is not decided here.

use std::io;
use std::path::{Path, PathBuf};

use zerocopy::{FromZeros, IntoBytes};

use super::contract::JournalError;
use super::format::{MAX_SEGMENT, MIN_SEGMENT, PAGE, SegmentHeader};
use super::segment::{Pieces, Segment, birth, disk_error, encode_header, fill};
use crate::store::disk::{Disk, DiskFile};

/// Part of the largest segment that a reserve has.
const PART: u64 = 4;

/// Bytes of the reserve beside segments of up to `segment_bytes` (spec 5.3.15).
pub(super) fn reserve_len(segment_bytes: u64) -> u64 {
    (segment_bytes / PART).next_multiple_of(PAGE).max(MIN_SEGMENT)
}

/// A spare, whether it is there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spare(PathBuf);

impl Spare {
    /// The reserve in `dir`.
    pub(super) fn reserve(dir: &Path) -> Spare {
        Spare(dir.join("reserve.spare"))
    }

    /// The segment that is made ahead in `dir`. By its name the next start removes it.
    pub(super) fn ahead(dir: &Path) -> Spare {
        Spare(dir.join("ahead.new"))
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Its length, if it is there and can become a segment.
    pub(super) fn look(&self, disk: &dyn Disk) -> Result<Option<u64>, JournalError> {
        // As it would be taken: of two disks both have it.
        let len = match disk.open_write(&self.0).and_then(|file| file.len()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.map_err(disk_error("read", &self.0))?,
        };
        let usable = (MIN_SEGMENT..=MAX_SEGMENT).contains(&len) && len.is_multiple_of(PAGE);
        Ok(usable.then_some(len))
    }

    /// Removes it; whether it was there.
    pub(super) fn remove(&self, disk: &dyn Disk) -> Result<bool, JournalError> {
        match disk.remove(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            removed => removed.map_err(disk_error("remove", &self.0))?,
        }
        let dir = self.0.parent().unwrap_or(Path::new(""));
        disk.sync_dir(dir).map_err(disk_error("sync", dir))?;
        Ok(true)
    }

    /// Makes it, of `len` bytes, in place of what is there, durably.
    pub(super) fn prepare(&self, disk: &dyn Disk, len: u64) -> Result<(), JournalError> {
        birth(disk, &self.0, len, &SegmentHeader::new_zeroed())
    }

    /// The same, for as long as the process runs: its name is not durable before it is taken, so nobody
    /// else's sync can be the one after a failed one of this.
    pub(super) fn prepare_for_now(&self, disk: &dyn Disk, len: u64) -> Result<(), JournalError> {
        fill(disk, &self.0, len, &SegmentHeader::new_zeroed(), Pieces::Synced)
    }

    /// Makes it the segment `segment`, which has its length, and opens that for writing.
    pub(super) fn take(&self, disk: &dyn Disk, segment: &Segment) -> Result<Box<dyn DiskFile>, JournalError> {
        let file = disk.open_write(&self.0).map_err(disk_error("open", &self.0))?;
        // The name comes last: whatever an interrupted taking leaves is no segment yet.
        file.write_all_at(encode_header(segment).as_bytes(), 0)
            .and_then(|()| file.sync())
            .map_err(disk_error("prepare", &self.0))?;
        if let Err(error) = disk.rename(&self.0, &segment.path) {
            // A disk too full for the name has changed nothing, but of two disks one may have.
            let what = if disk.inode(&self.0).is_ok() { "prepare" } else { "create" };
            return Err(disk_error(what, &segment.path)(error));
        }
        let dir = segment.path.parent().unwrap_or(Path::new(""));
        disk.sync_dir(dir).map_err(disk_error("sync", dir))?;
        disk.open_direct(&segment.path).map_err(disk_error("open", &segment.path))
    }
}
