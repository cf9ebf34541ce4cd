//! The next segment, made ahead: it takes as long as hundreds of groups, so the writer has it made while it
//! goes on, and only puts a header on it when the present one is full.
//!
//! Nobody waits for it and nothing depends on it: a segment that is not there in time, or has another length
//! than is needed, is made when it is needed. What a crash leaves of it the next start removes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::contract::JournalError;
use super::segment::{Segment, create};
use super::spare::Spare;
use crate::store::disk::{Disk, DiskFile};

/// Nothing was ordered.
const NOTHING: u64 = 0;
/// It is being made.
const MAKING: u64 = 1;
/// It could not be made, and is not tried again before the next one. Any greater number is the length of one
/// that is ready.
const FAILED: u64 = 2;

/// How the segment ahead stands: whoever makes it touches the file only while it is being made, the journal
/// only when it is not.
#[derive(Debug, Default)]
pub(super) struct NextSegment(Arc<AtomicU64>);

impl NextSegment {
    /// An order for one of `len` bytes in `dir`, if none is out and none is ready.
    pub(super) fn order(&self, disk: &Arc<dyn Disk>, dir: &Path, len: u64) -> Option<SegmentAhead> {
        let free = self.0.compare_exchange(NOTHING, MAKING, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let place = Arc::clone(&self.0);
        free.then(|| SegmentAhead { disk: Arc::clone(disk), dir: dir.to_path_buf(), len, place })
    }

    /// Opens `segment`, which is new, for writing: the one that is ready if it has that length, else one that
    /// is made now.
    pub(super) fn begin(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        segment: &Segment,
    ) -> Result<Box<dyn DiskFile>, JournalError> {
        let found = self.0.load(Ordering::Acquire);
        if found != MAKING {
            self.0.store(NOTHING, Ordering::Relaxed);
        }
        if found == segment.len {
            return Spare::ahead(dir).take(disk, segment);
        }
        if found > FAILED {
            Spare::ahead(dir).remove(disk)?;
        }
        create(disk, segment)
    }
}

/// An order to make the next segment. Dropped, it is off.
pub(super) struct SegmentAhead {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    len: u64,
    place: Arc<AtomicU64>,
}

impl SegmentAhead {
    /// Makes it, which takes a while.
    ///
    /// # Errors
    /// If the disk fails or is full; the journal is as it was, and makes the segment when it needs it.
    pub(super) fn make(self) -> Result<(), JournalError> {
        let made = Spare::ahead(&self.dir).prepare(&*self.disk, self.len);
        let found = if made.is_ok() { self.len } else { FAILED };
        self.place.store(found, Ordering::Release);
        made
    }
}

impl Drop for SegmentAhead {
    fn drop(&mut self) {
        let _ = self.place.compare_exchange(MAKING, NOTHING, Ordering::Release, Ordering::Relaxed);
    }
}
