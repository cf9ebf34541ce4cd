//! Verifying a journal segment by segment: each names the head before it, so each is verified by itself, and
//! then that the next goes on from where it ends.

use std::path::Path;
use std::sync::Arc;

use super::contract::{Head, JournalError};
use super::head::Mark;
use super::read::{Extent, extent};
use super::segment::{Segment, Step, Walk};
use crate::store::disk::Disk;

/// What was found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Records read.
    pub events: u64,
    /// Groups read.
    pub groups: u64,
    /// The acknowledged head, reached.
    pub head: Head,
}

/// A journal that is being verified, up to the head that was acknowledged when it was opened.
pub struct Verification {
    disk: Arc<dyn Disk>,
    mark: Mark,
    segments: Vec<Segment>,
    /// How many of them hold something that was acknowledged.
    parts: usize,
    until: u64,
    base: Head,
}

impl std::fmt::Debug for Verification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verification")
            .field("base", &self.base)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl Verification {
    /// Looks at the segments of the journal in `dir`; reads none of them yet.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Verification, JournalError> {
        let Extent { mark, segments, until, base } = extent(&*disk, dir)?;
        // What begins at the acknowledged head or after it holds nothing that was acknowledged.
        let parts = 1.max(segments.partition_point(|segment| segment.base.gno < until)).min(segments.len());
        Ok(Verification { disk, mark, segments, parts, until, base })
    }

    /// How many parts there are, each of which [`Verification::verify`] takes by itself, in any order and on
    /// any thread.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// Groups in all.
    pub fn groups(&self) -> u64 {
        self.until.saturating_sub(self.base.gno)
    }

    /// Checks every byte of a part and that the next one goes on from it; of a segment that is written to,
    /// every byte up to the acknowledged head. Returns its groups and the head after it.
    pub fn verify(&self, part: usize) -> Result<(u64, Head), JournalError> {
        let mut walk = Walk::open(&*self.disk, self.segments[part].clone())?;
        let base = walk.head;
        while walk.head.gno < self.until {
            match walk.step()? {
                Step::Group(checked, _) => {
                    let head = checked.head;
                    self.mark.agrees(&walk, &head)?;
                }
                Step::End(fault) => match self.segments.get(part + 1) {
                    Some(next) if next.continues(&walk.head) => break,
                    _ => return Err(walk.corrupt(fault.unwrap_or("an acknowledged group is not there"))),
                },
            }
        }
        if self.segments.len() > part + 1 {
            walk.check_rest()?;
        }
        Ok((walk.head.gno - base.gno, walk.head))
    }

    /// What was verified, given the head after the last part; of a journal without parts its base.
    pub fn verified(&self, last: Option<Head>) -> Verified {
        let head = last.unwrap_or(self.base);
        Verified { events: head.seq - self.base.seq, groups: head.gno - self.base.gno, head }
    }
}

/// Reads the whole journal in `dir` up to its acknowledged head and checks every byte on
/// the way. `progress` hears groups done and groups in all.
pub fn verify(
    disk: Arc<dyn Disk>,
    dir: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, JournalError> {
    let verification = Verification::open(disk, dir)?;
    let (mut done, mut last) = (0, None);
    for part in 0..verification.parts() {
        let (groups, head) = verification.verify(part)?;
        (done, last) = (done + groups, Some(head));
        progress(done, verification.groups());
    }
    Ok(verification.verified(last))
}
