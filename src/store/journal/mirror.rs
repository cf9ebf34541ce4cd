//! A journal and its mirror: two directories with the same files, made level at a start (spec 5.9.3–5.9.6).
//!
//! Each is judged alone, as a start judges one, and no group of one repairs the other. Then the one that is
//! behind gets what it lacks: in the segment that both have, group by group as a writer would have written
//! them; whole segments after it as copies that get their name once they are verified. A power cut at any
//! moment leaves both as a cut leaves a journal, and the next start goes on.

use std::io;
use std::path::{Path, PathBuf};

use super::append::sweep;
use super::closed::closed_segments;
use super::contract::{Cut, Head, JournalError, LogId};
use super::head::{self, HeadFile, Mark};
use super::recover::{Found, Tail, recover};
use super::segment::{self, Segment, Step, Walk, disk_error};
use super::spare::Spare;
use crate::store::disk::Disk;

/// Bytes copied at once.
const WINDOW: u64 = 1 << 20;
/// Name of the lock that may lie in a mirror beside the journal's files.
const LOCK: &str = "lock";

/// Why a journal and its mirror cannot be made level. Groups that were acknowledged are not touched.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum MirrorError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(
        "the mirror {} is not there; nothing was changed: mount its disk; make the directory if it is a new one; or take \
         mirror out of [journal], and the journal goes on alone",
        mirror.display()
    )]
    Missing { mirror: PathBuf },
    #[error(
        "{} is to become a mirror, but {} is in it; nothing was changed: name an empty directory",
        mirror.display(), file.display()
    )]
    NotEmpty { mirror: PathBuf, file: PathBuf },
    #[error(
        "{} holds no journal, but its mirror {} does; nothing was changed: copy the files of the mirror to it, and start \
         again",
        dir.display(), mirror.display()
    )]
    Lost { dir: PathBuf, mirror: PathBuf },
    #[error(
        "{error}; {} is whole there, up to group {gno}: copy the file from it", other.display()
    )]
    OneWhole { error: Box<JournalError>, other: PathBuf, gno: u64 },
    #[error(
        "the journal {} and its mirror {} do not belong together: {what}; nothing was changed: name the right mirror; \
         or move away the files of the one that is of no use any more, and a mirror is then filled anew",
        dir.display(), mirror.display()
    )]
    Apart { dir: PathBuf, mirror: PathBuf, what: String },
}

/// What was found and done to make a journal and its mirror level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levelled {
    /// The one that was behind, if any.
    pub caught_up: Option<CaughtUp>,
    /// Incomplete last groups that were left out.
    pub cuts: Vec<Cut>,
    /// Segments that the mirror still has from before the journal's first; they go with the next drop.
    pub older: usize,
    /// The head file of the mirror if one of its slots was damaged; the writer replaces it.
    pub damaged_slot: Option<PathBuf>,
}

/// A directory that got the groups it lacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaughtUp {
    /// Which one.
    pub dir: PathBuf,
    /// The last group it had, 0 if none.
    pub from: u64,
    /// The last group it has.
    pub to: u64,
}

/// One of the two directories, judged.
struct Side {
    dir: PathBuf,
    found: Found,
    segments: Vec<Segment>,
}

/// Makes the journal of `log_id` in `dir` and its `mirror` level, before a writer opens them as
/// `incarnation`. `progress` hears bytes of whole segments done and in all.
///
/// # Errors
/// [`MirrorError`].
pub fn level(
    disk: &dyn Disk,
    dir: &Path,
    mirror: &Path,
    log_id: &LogId,
    incarnation: u32,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Levelled, MirrorError> {
    check_mirror(disk, mirror)?;
    let names = names(disk, mirror)?.unwrap_or_default();
    let mirrored = names.iter().any(|name| segment::is_segment(name));
    if disk.inode(&head::path(dir)).is_err() {
        let lost = MirrorError::Lost { dir: dir.to_path_buf(), mirror: mirror.to_path_buf() };
        return if mirrored { Err(lost) } else { Ok(Levelled::default()) };
    }
    if !names.contains(&head::path(mirror)) {
        // It is there before the first segment, so that what an interrupted filling leaves is a journal.
        let before =
            Mark { log_id: *log_id, count: 0, head: Head::genesis(log_id, 0), segment: 0, offset: 0 };
        HeadFile::replace(disk, mirror, before)?;
    }
    let (ours, theirs) = judge(disk, dir, mirror, log_id)?;
    let older = older(&ours, &theirs);
    let behind_first = order(&ours) < order(&theirs);
    let (ahead, behind) = if behind_first { (theirs, ours) } else { (ours, theirs) };
    belong_together(disk, &ahead, &behind, (dir, mirror))?;
    let found = ahead.found.head.incarnation;
    if found > incarnation {
        return Err(JournalError::Incarnation { found, own: incarnation }.into());
    }
    let mut cuts = Vec::new();
    for side in [&ahead, &behind] {
        if let Some(tail) = &side.found.tail {
            settle(disk, tail)?;
        }
        cuts.extend(side.found.cut.clone());
    }
    for swept in [dir, mirror] {
        sweep(disk, swept)?;
    }
    let caught_up = catch_up(disk, &ahead, &behind, (dir, mirror), progress)?;
    let reserves = [Spare::reserve(dir), Spare::reserve(mirror)];
    if reserves[0].look(disk)? != reserves[1].look(disk)? {
        // Neither is of use without the other; the writer makes both again.
        for reserve in reserves {
            reserve.remove(disk)?;
        }
    }
    Ok(Levelled { caught_up, cuts, older, damaged_slot: head::damaged_slot(disk, mirror)? })
}

/// Fails unless `mirror` is a directory that holds a mirror or can become one.
///
/// # Errors
/// [`MirrorError::Missing`] and [`MirrorError::NotEmpty`].
pub fn check_mirror(disk: &dyn Disk, mirror: &Path) -> Result<(), MirrorError> {
    let names = names(disk, mirror)?.ok_or_else(|| MirrorError::Missing { mirror: mirror.to_path_buf() })?;
    if names.contains(&head::path(mirror)) || names.iter().any(|name| segment::is_segment(name)) {
        return Ok(());
    }
    empty(mirror, &names)
}

/// Fails if `mirror` holds a journal already: before a log is founded.
///
/// # Errors
/// [`MirrorError::Missing`] and [`MirrorError::NotEmpty`].
pub fn check_new_mirror(disk: &dyn Disk, mirror: &Path) -> Result<(), MirrorError> {
    check_mirror(disk, mirror)?;
    let names = names(disk, mirror)?.unwrap_or_default();
    match names.into_iter().find(|file| *file == head::path(mirror) || segment::is_segment(file)) {
        Some(file) => Err(MirrorError::NotEmpty { mirror: mirror.to_path_buf(), file }),
        None => Ok(()),
    }
}

/// The files of a directory; none if it is not there.
fn names(disk: &dyn Disk, dir: &Path) -> Result<Option<Vec<PathBuf>>, JournalError> {
    match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        listed => Ok(Some(listed.map_err(disk_error("list", dir))?)),
    }
}

/// Fails if something else than an interrupted beginning of a mirror is among `names`.
fn empty(mirror: &Path, names: &[PathBuf]) -> Result<(), MirrorError> {
    let ours = |file: &&PathBuf| {
        let name = file.file_name().unwrap_or_default();
        **file == head::path(mirror)
            || *file == Spare::reserve(mirror).path()
            || name == LOCK
            || file.extension().is_some_and(|extension| extension == "new")
    };
    match names.iter().find(|file| !ours(file)) {
        Some(file) => Err(MirrorError::NotEmpty { mirror: mirror.to_path_buf(), file: file.clone() }),
        None => Ok(()),
    }
}

/// Judges both, each alone.
fn judge(disk: &dyn Disk, dir: &Path, mirror: &Path, log_id: &LogId) -> Result<(Side, Side), MirrorError> {
    let side = |dir: &Path| -> Result<Side, JournalError> {
        let found = recover(disk, dir, log_id, false)?;
        Ok(Side { dir: dir.to_path_buf(), found, segments: segment::list(disk, dir, log_id)? })
    };
    let damaged = |error: JournalError, whole: Side| {
        let gno = whole.found.head.gno;
        let needed = match &error {
            JournalError::Foreign { .. } => return apart((dir, mirror), error.to_string()),
            JournalError::Corrupt { gno, .. } => *gno,
            JournalError::Short { acked, .. } => *acked,
            JournalError::HeadDamaged { .. } => 0,
            _ => return error.into(),
        };
        if needed > gno {
            return error.into();
        }
        MirrorError::OneWhole { error: Box::new(error), other: whole.dir, gno }
    };
    match (side(dir), side(mirror)) {
        (Err(error), Ok(whole)) | (Ok(whole), Err(error)) => Err(damaged(error, whole)),
        (ours, theirs) => Ok((ours?, theirs?)),
    }
}

/// Adds to an error about a closed segment that the journal in `other` has it whole, if so.
pub fn whole_in(disk: &dyn Disk, other: &Path, log_id: &LogId, error: JournalError) -> MirrorError {
    let JournalError::Corrupt { file, gno, .. } = &error else { return error.into() };
    let gno = *gno;
    let of_its_name = || {
        let segments = closed_segments(disk, other, log_id).ok()?;
        segments.into_iter().find(|segment| segment.file().file_name() == file.file_name())
    };
    let whole = of_its_name().is_some_and(|segment| segment.verify(disk, &mut |_| true).is_ok());
    if !whole {
        return error.into();
    }
    MirrorError::OneWhole { error: Box::new(error), other: other.to_path_buf(), gno }
}

/// The greater is ahead. A segment that was only begun counts: the other has to have it too.
fn order(side: &Side) -> (u64, u32) {
    (side.found.head.gno, side.segments.last().map_or(0, |last| last.number))
}

fn older(ours: &Side, theirs: &Side) -> usize {
    let first = ours.segments.first().map_or(0, |first| first.number);
    theirs.segments.iter().take_while(|segment| segment.number < first).count()
}

/// Fails unless the history of `behind` is the beginning of that of `ahead`.
fn belong_together(
    disk: &dyn Disk,
    ahead: &Side,
    behind: &Side,
    named: (&Path, &Path),
) -> Result<(), MirrorError> {
    let end = behind.found.head;
    if behind.segments.is_empty() {
        return Ok(());
    }
    let Some(segment) = ahead.segments.iter().rfind(|segment| segment.base.gno <= end.gno) else {
        let begins = ahead.found.base.gno + 1;
        let what = format!(
            "{} ends at group {}, {} begins at group {begins}",
            behind.dir.display(),
            end.gno,
            ahead.dir.display()
        );
        return Err(apart(named, what));
    };
    let mut walk = Walk::open(disk, segment.clone())?;
    while walk.head.gno < end.gno {
        if let Step::End(fault) = walk.step()? {
            return Err(walk.corrupt(fault.unwrap_or("an acknowledged group is not there")).into());
        }
    }
    if (walk.head.seq, walk.head.chain) != (end.seq, end.chain) {
        return Err(apart(named, format!("they have different histories up to group {}", end.gno)));
    }
    Ok(())
}

fn apart((dir, mirror): (&Path, &Path), what: String) -> MirrorError {
    MirrorError::Apart { dir: dir.to_path_buf(), mirror: mirror.to_path_buf(), what }
}

/// Overwrites what follows the last whole group with zeros: the two may have torn it differently.
fn settle(disk: &dyn Disk, tail: &Tail) -> Result<(), JournalError> {
    if tail.dirty == 0 {
        return Ok(());
    }
    let path = &tail.segment.path;
    let zeros = vec![0; usize::try_from(tail.dirty).unwrap_or(usize::MAX)];
    let file = disk.open_direct(path).map_err(disk_error("open", path))?;
    file.write_durable_at(&zeros, tail.at).map_err(disk_error("write", path))
}

/// Gives `behind` all that `ahead` has after it.
fn catch_up(
    disk: &dyn Disk,
    ahead: &Side,
    behind: &Side,
    named: (&Path, &Path),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Option<CaughtUp>, MirrorError> {
    let last = behind.segments.last().map_or(0, |last| last.number);
    let lacking = ahead.segments.iter().filter(|segment| segment.number >= last);
    let (mut lacking, mut head) = (lacking.peekable(), behind.found.head);
    if let Some(tail) = &behind.found.tail {
        let other = |_: &&Segment| apart(named, format!("their segments {last} begin differently"));
        let shared = lacking.next_if(|source| alike(source, &tail.segment));
        match (shared, lacking.peek()) {
            (Some(source), _) => follow(disk, source, tail, &mut head)?,
            // Begun and never written to: another takes its place.
            (None, Some(source)) if source.number == last && head.gno == tail.segment.base.gno => {}
            (None, source) => {
                return Err(source.map_or_else(|| apart(named, "one lacks a segment".to_owned()), other));
            }
        }
    } else {
        head = ahead.found.base;
    }
    let lacking: Vec<&Segment> = lacking.collect();
    let all = lacking.iter().map(|segment| segment.len).sum();
    let mut done = 0;
    for source in &lacking {
        head = match copy(disk, source, &behind.dir, &head) {
            // What was kept for a full disk makes room.
            Err(error) if segment::is_full(&error) && Spare::reserve(&behind.dir).remove(disk)? => {
                copy(disk, source, &behind.dir, &head)?
            }
            copied => copied?,
        };
        done += source.len;
        progress(done, all);
    }
    let (from, to) = (behind.found.head.gno, ahead.found.head.gno);
    if (head.gno, head.chain) != (to, ahead.found.head.chain) {
        return Err(apart(
            named,
            format!("group {} of {} was read in two ways", head.gno, ahead.dir.display()),
        ));
    }
    let changed = from < to || !lacking.is_empty();
    Ok(changed.then(|| CaughtUp { dir: behind.dir.clone(), from, to }))
}

/// Whether two segments have the same header and length.
fn alike(one: &Segment, other: &Segment) -> bool {
    Segment { path: other.path.clone(), ..one.clone() } == *other
}

/// Writes the groups of `source` after `head` into the same places of the segment of `tail`, one at a time:
/// a group is durable before the next one names it.
fn follow(disk: &dyn Disk, source: &Segment, tail: &Tail, head: &mut Head) -> Result<(), JournalError> {
    let path = &tail.segment.path;
    let file = disk.open_direct(path).map_err(disk_error("open", path))?;
    let mut walk = Walk::open(disk, source.clone())?;
    loop {
        let at = walk.at;
        match walk.step()? {
            Step::Group(group, bytes) if group.head.gno > head.gno => {
                file.write_durable_at(bytes, at).map_err(disk_error("write", path))?;
                *head = group.head;
            }
            Step::Group(..) => {}
            Step::End(_) => return Ok(()),
        }
    }
}

/// Copies a segment into a directory under another name, verifies the copy as the continuation of `before`,
/// and gives it its name. The head after it.
fn copy(disk: &dyn Disk, source: &Segment, into: &Path, before: &Head) -> Result<Head, JournalError> {
    let path = segment::path(into, source.number);
    let temporary = segment::temporary(&path);
    if let Err(error) = write_copy(disk, source, &temporary) {
        // Best effort: the next start removes it too.
        let _ = disk.remove(&temporary);
        return Err(JournalError::Disk { what: "prepare", file: temporary, source: error });
    }
    let mut walk = Walk::open_direct(disk, Segment { path: temporary.clone(), ..source.clone() })?;
    if !source.continues(before) {
        return Err(walk.corrupt("it does not continue the segment before it"));
    }
    while let Step::Group(..) = walk.step()? {}
    disk.rename(&temporary, &path).map_err(disk_error("create", &path))?;
    disk.sync_dir(into).map_err(disk_error("sync", into))?;
    Ok(walk.head)
}

fn write_copy(disk: &dyn Disk, source: &Segment, temporary: &Path) -> io::Result<()> {
    match disk.remove(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (from, to) = (disk.open(&source.path)?, disk.create(temporary)?);
    let mut window = Vec::new();
    let mut at = 0;
    while at < source.len {
        let step = (source.len - at).min(WINDOW);
        window.resize(step as usize, 0);
        from.read_exact_at(&mut window, at)?;
        to.write_all_at(&window, at)?;
        at += step;
    }
    to.sync()
}
