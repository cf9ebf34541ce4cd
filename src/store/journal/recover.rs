//! Recovery: where a journal ends, and whether anything in it is damaged (spec 5.4).
//!
//! It only reads. The one thing it may leave out is an incomplete last group that neither
//! the head file nor a later header names as acknowledged; everything else that is not as
//! it should be is an error that names the place.

use std::cell::RefCell;
use std::path::Path;

use super::contract::{Cut, Head, JournalError, LogId, Record};
use super::format::{Checked, PAGE};
use super::head::{self, Mark};
use super::segment::{self, Segment, Step, Walk};
use crate::store::disk::Disk;

/// What a journal's files say.
pub(super) struct Found {
    pub(super) mark: Mark,
    pub(super) base: Head,
    pub(super) head: Head,
    pub(super) tail: Option<Tail>,
    pub(super) cut: Option<Cut>,
}

/// The last segment, where the next group goes if it fits.
pub(super) struct Tail {
    pub(super) segment: Segment,
    pub(super) at: u64,
    /// Bytes from `at` that are not zero and no group.
    pub(super) dirty: u64,
    /// Offset and length of the last group, if it is in this segment.
    pub(super) last: Option<(u64, u64)>,
}

/// Reads the journal of `log_id` in `dir`: all of it, or its last segment only.
pub(super) fn recover(
    disk: &dyn Disk,
    dir: &Path,
    log_id: &LogId,
    check_all: bool,
) -> Result<Found, JournalError> {
    let begins = |segments: &[Segment]| if check_all { 0 } else { segments.len() - 1 };
    recover_from(disk, dir, log_id, &begins, &mut |_, _| {})
}

/// What the journal of `log_id` in `dir` has after the oldest head of `from`, up to where [`recover`] finds
/// its end: each record is given to `see`. Returns that end; none if the journal does not pass through one of
/// the heads, their incarnations apart.
pub(super) fn tail(
    disk: &dyn Disk,
    dir: &Path,
    log_id: &LogId,
    from: &[Head],
    see: &mut dyn FnMut(Record),
) -> Result<Option<Head>, JournalError> {
    let oldest = from.iter().map(|head| head.gno).min().unwrap_or(0);
    let missing = RefCell::new(from.to_vec());
    let pass = |at: &Head| {
        missing.borrow_mut().retain(|head| (head.gno, head.seq, head.chain) != (at.gno, at.seq, at.chain));
    };
    let begins = |segments: &[Segment]| {
        let first = segments.iter().rposition(|segment| segment.base.gno <= oldest).unwrap_or(0);
        pass(&segments[first].base);
        first
    };
    let found = recover_from(disk, dir, log_id, &begins, &mut |checked, bytes| {
        if checked.head.gno > oldest {
            checked.records(bytes).into_iter().for_each(&mut *see);
        }
        pass(&checked.head);
    })?;
    Ok(missing.borrow().is_empty().then_some(found.head))
}

/// Reads the segments from the one that `begins` chooses on, and gives each group to `see`.
fn recover_from(
    disk: &dyn Disk,
    dir: &Path,
    log_id: &LogId,
    begins: &dyn Fn(&[Segment]) -> usize,
    see: &mut dyn FnMut(&Checked, &[u8]),
) -> Result<Found, JournalError> {
    let mark = head::read(disk, dir)?;
    if mark.log_id != *log_id {
        return Err(JournalError::Foreign { file: head::path(dir), found: mark.log_id, expected: *log_id });
    }
    let segments = segment::list(disk, dir, log_id)?;
    let missing = segment::path(dir, mark.segment);
    let short = |last| JournalError::Short { dir: dir.to_path_buf(), last, acked: mark.head.gno, missing };
    let Some(first) = segments.first() else {
        let genesis = Head::genesis(log_id, mark.head.incarnation);
        let found = Found { mark, base: genesis, head: genesis, tail: None, cut: None };
        return if mark.head.gno > 0 { Err(short(0)) } else { Ok(found) };
    };
    let base = first.base;
    let start = begins(&segments);
    let mut rest = segments.into_iter().skip(start).peekable();
    while let Some(segment) = rest.next() {
        let open = if rest.peek().is_some() { Walk::open } else { Walk::open_direct };
        let mut walk = open(disk, segment)?;
        let (fault, last) = walk_through(&mut walk, &mark, see)?;
        if let Some(next) = rest.peek() {
            if !next.continues(&walk.head) {
                return Err(walk.corrupt(fault.unwrap_or("the groups before the next segment are not there")));
            }
            walk.check_rest()?;
            continue;
        }
        if fault.is_none() && mark.head.gno > walk.head.gno && mark.segment > walk.segment.number {
            return Err(short(walk.head.gno));
        }
        let (dirty, cut) = end(&mut walk, fault, &mark)?;
        let (head, tail) = (walk.head, Tail { segment: walk.segment, at: walk.at, dirty, last });
        return Ok(Found { mark, base, head, tail: Some(tail), cut });
    }
    Err(short(0))
}

type LastGroup = Option<(u64, u64)>;

fn walk_through(
    walk: &mut Walk,
    mark: &Mark,
    see: &mut dyn FnMut(&Checked, &[u8]),
) -> Result<(Option<&'static str>, LastGroup), JournalError> {
    let mut last = None;
    loop {
        let at = walk.at;
        match walk.step()? {
            Step::Group(checked, bytes) => {
                last = Some((at, bytes.len() as u64));
                see(&checked, bytes);
                let head = checked.head;
                mark.agrees(walk, &head)?;
            }
            Step::End(fault) => return Ok((fault, last)),
        }
    }
}

/// Judges what follows the last whole group: nothing, a group to cut, or damage.
fn end(walk: &mut Walk, fault: Option<&str>, mark: &Mark) -> Result<(u64, Option<Cut>), JournalError> {
    let dirty = walk.scan(walk.at)?.end - walk.at;
    let later = walk.scan(walk.at + PAGE)?;
    let gno = walk.head.gno.saturating_add(1);
    let clean = fault.is_none() && dirty == 0;
    let what = fault.unwrap_or(if clean { "it is not there" } else { "its header is not there" });
    if mark.head.gno >= gno {
        return Err(walk.corrupt(&format!("{what}, but the head file names it as acknowledged")));
    }
    if later.acked >= gno {
        return Err(walk.corrupt(&format!("{what}, but a later group names it as acknowledged")));
    }
    if clean {
        return Ok((0, None));
    }
    let cut = Cut { file: walk.segment.path.clone(), offset: walk.at, bytes: dirty, gno };
    Ok((dirty, Some(cut)))
}
