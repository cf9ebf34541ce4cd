//! Closed segments read again: rot is found while there are other copies, not on the day they are needed.
//!
//! A start reads headers and the last segment only. What lies before it never changes, so that it can be read
//! beside the writer, at leisure, until it is dropped.

use std::path::Path;

use super::contract::{JournalError, LogId};
use super::segment::{self, Segment, Step, Walk};
use crate::store::disk::Disk;

/// A segment that another one follows.
#[derive(Debug, Clone)]
pub struct ClosedSegment {
    segment: Segment,
    next: Segment,
}

/// The closed segments of the journal of `log_id` in `dir`, oldest first.
///
/// # Errors
/// If a header is damaged or a segment between others is missing.
pub fn closed_segments(
    disk: &dyn Disk,
    dir: &Path,
    log_id: &LogId,
) -> Result<Vec<ClosedSegment>, JournalError> {
    let segments = segment::list(disk, dir, log_id)?;
    let pair = |pair: &[Segment]| ClosedSegment { segment: pair[0].clone(), next: pair[1].clone() };
    Ok(segments.windows(2).map(pair).collect())
}

impl ClosedSegment {
    /// Its file.
    pub fn file(&self) -> &Path {
        &self.segment.path
    }

    /// Bytes of its file.
    pub fn bytes(&self) -> u64 {
        self.segment.len
    }

    /// Reads what the disk has of it and checks every group, that the next segment continues it, and that
    /// zeros fill the rest. `read`
    /// hears how far it is in the file, and ends it by `false`. Whether it was read whole.
    ///
    /// # Errors
    /// If it is damaged, or cannot be read.
    pub fn verify(&self, disk: &dyn Disk, read: &mut dyn FnMut(u64) -> bool) -> Result<bool, JournalError> {
        let mut walk = Walk::open_direct(disk, self.segment.clone())?;
        loop {
            if let Step::End(fault) = walk.step()? {
                let what = fault.unwrap_or("the groups before the next segment are not there");
                if !self.next.continues(&walk.head) {
                    return Err(walk.corrupt(what));
                }
                return walk.check_rest().map(|()| true);
            }
            if !read(walk.at) {
                return Ok(false);
            }
        }
    }
}
