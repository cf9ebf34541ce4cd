//! The reserve: room that was prepared while there was some, for when the disk is full.
//!
//! One file of zeros beside the segments, made as they are. When no other segment can be
//! prepared it gets the header of the next one and its name (spec 5.3.15): nothing that
//! would need space. Who may use it is not decided here.

use std::io;
use std::path::{Path, PathBuf};

use zerocopy::{FromZeros, IntoBytes};

use super::contract::JournalError;
use super::format::{MAX_SEGMENT, MIN_SEGMENT, PAGE, SegmentHeader};
use super::segment::{Segment, birth, disk_error, encode_header};
use crate::store::disk::{Disk, DiskFile};

/// Part of the largest segment that a reserve has.
const PART: u64 = 4;

/// The path of the reserve in `dir`.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("reserve.spare")
}

/// Bytes of the reserve beside segments of up to `segment_bytes` (spec 5.3.15).
pub(super) fn len_beside(segment_bytes: u64) -> u64 {
    (segment_bytes / PART).next_multiple_of(PAGE).max(MIN_SEGMENT)
}

/// Length of the reserve in `dir`, if one is there that can become a segment.
pub(super) fn look(disk: &dyn Disk, dir: &Path) -> Result<Option<u64>, JournalError> {
    let path = path(dir);
    let len = match disk.open(&path).and_then(|file| file.len()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(disk_error("read", &path))?,
    };
    let usable = (MIN_SEGMENT..=MAX_SEGMENT).contains(&len) && len.is_multiple_of(PAGE);
    Ok(usable.then_some(len))
}

/// Removes the reserve in `dir`; whether one was there.
pub(super) fn remove(disk: &dyn Disk, dir: &Path) -> Result<bool, JournalError> {
    let path = path(dir);
    match disk.remove(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        removed => removed.map_err(disk_error("remove", &path))?,
    }
    disk.sync_dir(dir).map_err(disk_error("sync", dir))?;
    Ok(true)
}

/// Makes a reserve of `len` bytes in place of what is there.
pub(super) fn prepare(disk: &dyn Disk, dir: &Path, len: u64) -> Result<(), JournalError> {
    birth(disk, &path(dir), len, &SegmentHeader::new_zeroed())
}

/// Makes the reserve the segment `segment`, which has its length, and opens it for writing.
pub(super) fn take(
    disk: &dyn Disk,
    dir: &Path,
    segment: &Segment,
) -> Result<Box<dyn DiskFile>, JournalError> {
    let spare = path(dir);
    let file = disk.open_write(&spare).map_err(disk_error("open", &spare))?;
    // The name comes last: whatever an interrupted taking leaves is still a reserve.
    file.write_all_at(encode_header(segment).as_bytes(), 0)
        .and_then(|()| file.sync())
        .and_then(|()| disk.rename(&spare, &segment.path))
        .map_err(disk_error("prepare", &spare))?;
    disk.sync_dir(dir).map_err(disk_error("sync", dir))?;
    disk.open_direct(&segment.path).map_err(disk_error("open", &segment.path))
}
