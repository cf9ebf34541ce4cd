//! The next segment, made ahead: it takes as long as hundreds of groups, so the writer has it made while it
//! goes on, and only puts a header on it when the present one is full.
//!
//! A segment that is not there in time, or has another length than is needed, is made when it is needed. What
//! a crash leaves of it the next start removes. An error other than want of space is one of the journal's
//! disk: it stops the journal as if a group had met it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::contract::JournalError;
use super::segment::{Segment, create, is_full};
use super::spare::Spare;
use crate::store::disk::{Disk, DiskFile};

/// How the segment ahead stands. Who makes it touches the file only while it is being made, the journal only
/// when it is not.
#[derive(Debug, Default)]
enum Stands {
    /// Nothing was ordered.
    #[default]
    Nothing,
    /// It is being made.
    InWork,
    /// It is there, so long.
    Ready(u64),
    /// There was no space for it. It is not tried again before another segment was begun.
    NoSpace,
    /// The disk failed.
    Failed(String),
}

/// What the journal knows of the segment ahead.
#[derive(Debug, Default)]
pub(super) struct NextSegment(Arc<Mutex<Stands>>);

impl NextSegment {
    fn stands(&self) -> MutexGuard<'_, Stands> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An order for one of `len` bytes in `dir`, if none is out and none is ready.
    pub(super) fn order(&self, disk: &Arc<dyn Disk>, dir: &Path, len: u64) -> Option<SegmentAhead> {
        let mut stands = self.stands();
        if !matches!(*stands, Stands::Nothing) {
            return None;
        }
        *stands = Stands::InWork;
        let (disk, place, outcome) = (Arc::clone(disk), Arc::clone(&self.0), Stands::Nothing);
        Some(SegmentAhead { disk, dir: dir.to_path_buf(), len, place, outcome })
    }

    /// The error that the disk failed with, if it did.
    pub(super) fn failure(&self) -> Option<String> {
        match &*self.stands() {
            Stands::Failed(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// The length of the one that is ready.
    pub(super) fn ready(&self) -> Option<u64> {
        match *self.stands() {
            Stands::Ready(len) => Some(len),
            _ => None,
        }
    }

    /// Opens `segment`, which is new, for writing: the one that is ready if it has that length, else one that
    /// is made now.
    pub(super) fn begin(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        segment: &Segment,
    ) -> Result<Box<dyn DiskFile>, JournalError> {
        let (ahead, ready) = (Spare::ahead(dir), self.ready());
        // Somebody may have taken it away, or cut it.
        if ready == Some(segment.len) && ahead.look(disk)? == Some(segment.len) {
            let taken = ahead.take(disk, segment)?;
            *self.stands() = Stands::Nothing;
            return Ok(taken);
        }
        let created = create(disk, segment)?;
        let mut stands = self.stands();
        match *stands {
            // What became ready meanwhile is for the next one.
            Stands::Ready(_) if ready.is_some() => {
                ahead.remove(disk)?;
                *stands = Stands::Nothing;
            }
            Stands::NoSpace => *stands = Stands::Nothing,
            _ => {}
        }
        drop(stands);
        Ok(created)
    }

    /// Gives back the space of the one that is ready; whether there was one.
    pub(super) fn give_up(&self, disk: &dyn Disk, dir: &Path) -> Result<bool, JournalError> {
        let mut stands = self.stands();
        let was_ready = matches!(*stands, Stands::Ready(_));
        if was_ready {
            Spare::ahead(dir).remove(disk)?;
            *stands = Stands::Nothing;
        }
        Ok(was_ready)
    }
}

/// An order to make the next segment. Dropped, it is off.
pub(super) struct SegmentAhead {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    len: u64,
    place: Arc<Mutex<Stands>>,
    outcome: Stands,
}

impl SegmentAhead {
    /// Makes it, which takes a while.
    pub(super) fn make(mut self) -> Result<(), JournalError> {
        let made = Spare::ahead(&self.dir).prepare_for_now(&*self.disk, self.len);
        self.outcome = match &made {
            Ok(()) => Stands::Ready(self.len),
            Err(error) if is_full(error) => Stands::NoSpace,
            Err(error) => Stands::Failed(error.to_string()),
        };
        made
    }
}

impl Drop for SegmentAhead {
    /// The file is left alone from here on.
    fn drop(&mut self) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = std::mem::take(&mut self.outcome);
    }
}
