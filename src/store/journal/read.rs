//! Reading a journal without its lock: beside a running writer, or on a copy.
//!
//! A reader goes up to the head that was acknowledged when it was opened and holds one
//! group at a time. Checksums, places and the hash chain are checked on the way, so what
//! it yields is what was written.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::contract::{Group, Head, JournalError, LogId};
use super::format::PAGE;
use super::head::{self, Mark};
use super::segment::{self, Segment, Step, Walk};
use crate::store::disk::Disk;

/// What there is of a journal when it is opened for reading.
pub(super) struct Extent {
    pub(super) mark: Mark,
    pub(super) segments: Vec<Segment>,
    /// Number of the newest acknowledged group.
    pub(super) until: u64,
    /// The head before the oldest group.
    pub(super) base: Head,
}

/// Looks what there is of the journal in `dir`.
pub(super) fn extent(disk: &dyn Disk, dir: &Path) -> Result<Extent, JournalError> {
    // The head file first: what it names is in the segments listed after it.
    let mark = head::read(disk, dir)?;
    let segments = segment::list(disk, dir, &mark.log_id)?;
    let mut until = mark.head.gno;
    if let Some(last) = segments.last() {
        // A segment is born only when all groups before it are acknowledged.
        until = until.max(last.base.gno);
        let from = if mark.segment == last.number { mark.offset.next_multiple_of(PAGE) } else { PAGE };
        // The group at `from` itself can name none after the one before it, which is known already; what
        // is left of a group that was cut there names anything.
        until = until.max(Walk::open(disk, last.clone())?.scan(from + PAGE)?.acked);
    }
    if until > 0 && segments.is_empty() {
        let missing = segment::path(dir, mark.segment);
        return Err(JournalError::Short { dir: dir.to_path_buf(), last: 0, acked: until, missing });
    }
    let genesis = Head::genesis(&mark.log_id, mark.head.incarnation);
    let base = segments.first().map_or(genesis, |first| first.base);
    Ok(Extent { mark, segments, until, base })
}

/// An iterator over the acknowledged groups of a journal, oldest first. After an error it
/// yields nothing more.
pub struct JournalReader {
    disk: Arc<dyn Disk>,
    segments: Vec<Segment>,
    next: usize,
    walk: Option<Walk>,
    head: Head,
    base: Head,
    mark: Mark,
    until: u64,
    from_seq: u64,
    failed: bool,
}

impl JournalReader {
    /// Opens the journal in `dir` at its oldest group.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<JournalReader, JournalError> {
        JournalReader::from_seq(disk, dir, 0)
    }

    /// Opens the journal in `dir` at the record `seq`: earlier records of its group are
    /// left out, earlier segments are not read.
    pub fn from_seq(disk: Arc<dyn Disk>, dir: &Path, seq: u64) -> Result<JournalReader, JournalError> {
        let Extent { mark, segments, until, base } = extent(&*disk, dir)?;
        let next = segments.iter().rposition(|segment| segment.base.seq < seq).unwrap_or(0);
        let head = segments.get(next).map_or(base, |first| first.base);
        Ok(JournalReader {
            disk,
            segments,
            next,
            walk: None,
            head,
            base,
            mark,
            until,
            from_seq: seq,
            failed: false,
        })
    }

    /// The random name of the log it reads.
    pub fn log_id(&self) -> LogId {
        self.mark.log_id
    }

    /// The head before the oldest group the journal still holds.
    pub fn base(&self) -> Head {
        self.base
    }

    /// The head after the groups yielded so far.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Number of the last group that is read: the newest acknowledged when the journal was opened.
    pub fn until(&self) -> u64 {
        self.until
    }

    fn advance(&mut self) -> Result<Option<Group>, JournalError> {
        while self.head.gno < self.until {
            let Some(walk) = &mut self.walk else {
                self.walk = Some(Walk::open(&*self.disk, self.segments[self.next].clone())?);
                self.next += 1;
                continue;
            };
            match walk.step()? {
                Step::Group(checked, bytes) => {
                    self.head = checked.head;
                    let wanted = self.head.seq >= self.from_seq;
                    let mut records = if wanted { checked.records(bytes) } else { Vec::new() };
                    self.mark.agrees(walk, &self.head)?;
                    if wanted {
                        records.retain(|record| record.seq >= self.from_seq);
                        return Ok(Some(Group { head: self.head, time_ms: checked.time_ms, records }));
                    }
                }
                Step::End(fault) => {
                    let what = fault.unwrap_or("an acknowledged group is not there");
                    match self.segments.get(self.next) {
                        Some(next) if next.continues(&walk.head) => self.walk = None,
                        _ => return Err(walk.corrupt(what)),
                    }
                }
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for JournalReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalReader")
            .field("head", &self.head)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl Iterator for JournalReader {
    type Item = Result<Group, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let group = self.advance();
        self.failed = group.is_err();
        group.transpose()
    }
}

/// Bytes of the segment files in `dir` that hold what came after group `gno`.
pub fn segment_bytes_after(
    disk: &dyn Disk,
    dir: &Path,
    log_id: &LogId,
    gno: u64,
) -> Result<u64, JournalError> {
    let segments = segment::list(disk, dir, log_id)?;
    let first = segments.iter().rposition(|segment| segment.base.gno <= gno).unwrap_or(0);
    Ok(segments[first..].iter().map(|segment| segment.len).sum())
}
