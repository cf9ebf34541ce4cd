//! The local journal: one writer, one write and one sync per group.
//!
//! After the first I/O error it appends nothing ever again: what the disk then holds is
//! unknown until a restart has read it. It has no threads and no clock of its
//! own; the directory's lock is the caller's.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ahead::NextSegment;
use super::contract::{
    Ahead, AppendError, Durability, Head, Journal, JournalError, LogId, Options, Record, Recovered,
};
use super::format::{
    FRAME, MAX_GROUP, MAX_SEGMENT, MIN_SEGMENT, PAGE, Place, encode_group, group_bytes, padded,
};
use super::head::{self, HeadFile, Mark};
use super::recover::{Tail, recover, tail};
use super::segment::{self, Segment};
use super::spare::{Spare, reserve_len};
use crate::store::disk::{Disk, DiskFile, remove_unfinished};

const DAY_MS: u64 = 86_400_000;
/// How long a disk that was full is not asked for space again, in seconds: each attempt writes
/// all that is left of it.
pub const RETRY_S: u64 = 10;
const RETRY_MS: u64 = RETRY_S * 1000;

/// A journal in one directory of this machine.
pub struct LocalJournal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log_id: LogId,
    options: Options,
    head: Head,
    current: Option<Current>,
    head_file: HeadFile,
    buffer: Vec<u8>,
    /// Length of the reserve, if it is there.
    reserve: Option<u64>,
    next: NextSegment,
    /// When the disk was last found full.
    full_ms: Option<u64>,
    /// fail-stop: the first error; nothing is appended after it.
    stopped: Option<String>,
}

/// The segment being written.
struct Current {
    file: Box<dyn DiskFile>,
    inode: u64,
    segment: Segment,
    at: u64,
    /// The next write zeroes up to here what a cut group left.
    dirty_end: u64,
}

impl LocalJournal {
    /// Creates the journal of `log_id` in `dir`, which holds none, and its directory.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        log_id: LogId,
        incarnation: u32,
        options: Options,
    ) -> Result<LocalJournal, JournalError> {
        check_options(&options)?;
        let fail = |what| move |source| JournalError::Disk { what, file: dir.to_path_buf(), source };
        disk.create_dir(dir).map_err(fail("create"))?;
        let head = Head::genesis(&log_id, incarnation);
        let names = disk.list(dir).map_err(fail("list"))?;
        if names.contains(&head::path(dir)) || !segment::list(&*disk, dir, &log_id)?.is_empty() {
            return Err(JournalError::Exists { dir: dir.to_path_buf() });
        }
        let head_file =
            HeadFile::replace(&*disk, dir, Mark { log_id, count: 1, head, segment: 0, offset: 0 })?;
        let reserve = Spare::reserve(dir).look(&*disk)?;
        Ok(LocalJournal {
            disk,
            dir: dir.to_path_buf(),
            log_id,
            options,
            head,
            current: None,
            head_file,
            buffer: Vec::new(),
            reserve,
            next: NextSegment::default(),
            full_ms: None,
            stopped: None,
        })
    }

    /// Where the journal of `log_id` in `dir` ends, as [`open`](Self::open) would find it.
    /// Changes nothing.
    pub fn look(disk: &dyn Disk, dir: &Path, log_id: &LogId) -> Result<Head, JournalError> {
        Ok(recover(disk, dir, log_id, false)?.head)
    }

    /// As [`look`](Self::look), and gives each record after the oldest head of `from` to `see`; none if the
    /// journal does not pass through one of them, their incarnations apart.
    pub fn look_after(
        disk: &dyn Disk,
        dir: &Path,
        log_id: &LogId,
        from: &[Head],
        see: &mut dyn FnMut(Record),
    ) -> Result<Option<Head>, JournalError> {
        tail(disk, dir, log_id, from, see)
    }

    /// Opens the journal of `log_id` in `dir` to continue it as `incarnation`: reads it,
    /// leaves out an incomplete last group, and makes durable what it found whole.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        log_id: LogId,
        incarnation: u32,
        options: Options,
    ) -> Result<(LocalJournal, Recovered), JournalError> {
        check_options(&options)?;
        let found = recover(&*disk, dir, &log_id, options.check_all)?;
        let damaged_slot = head::damaged_slot(&*disk, dir)?;
        let newest = found.head.incarnation.max(found.mark.head.incarnation);
        if newest > incarnation {
            return Err(JournalError::Incarnation { found: newest, own: incarnation });
        }
        let head = Head { incarnation, ..found.head };
        sweep(&*disk, dir)?;
        let acked = found.mark.head.gno;
        let current = found.tail.map(|tail| resume(&*disk, tail, found.head.gno > acked)).transpose()?;
        let mark = Mark {
            log_id,
            count: found.mark.count.saturating_add(1),
            head,
            segment: current.as_ref().map_or(0, |c| c.segment.number),
            offset: current.as_ref().map_or(0, |c| c.at),
        };
        let head_file = HeadFile::replace(&*disk, dir, mark)?;
        let reserve = Spare::reserve(dir).look(&*disk)?;
        let (groups, events) = (head.gno - found.base.gno, head.seq - found.base.seq);
        let recovered = Recovered { groups, events, base: found.base, cut: found.cut, damaged_slot };
        let journal = LocalJournal {
            disk,
            dir: dir.to_path_buf(),
            log_id,
            options,
            head,
            current,
            head_file,
            buffer: Vec::new(),
            reserve,
            next: NextSegment::default(),
            full_ms: None,
            stopped: None,
        };
        Ok((journal, recovered))
    }

    fn alive(&self) -> Result<(), AppendError> {
        match self.stopped.clone().or_else(|| self.next.failure()) {
            Some(first) => Err(AppendError::Stopped { first }),
            None => Ok(()),
        }
    }

    /// fail-stop: remembers the first error on the files; a full disk while a segment is
    /// prepared has changed nothing and is not one.
    fn latch<T>(&mut self, result: Result<T, JournalError>) -> Result<T, AppendError> {
        result.map_err(|error| match error {
            error if segment::is_full(&error) => AppendError::Full { bytes: self.next_len() },
            error => {
                self.stopped = Some(error.to_string());
                AppendError::Failed(error)
            }
        })
    }

    fn check(&self, expect: &Head, records: &[Record]) -> Result<u64, AppendError> {
        if *expect != self.head {
            return Err(AppendError::Conflict(self.head));
        }
        if records.is_empty() {
            return Err(AppendError::Empty);
        }
        for (index, (record, expected)) in records.iter().zip(self.head.seq + 1..).enumerate() {
            if record.seq != expected {
                return Err(AppendError::Sequence { index, found: record.seq, expected });
            }
        }
        let bytes = group_bytes(records);
        if bytes > MAX_GROUP {
            return Err(AppendError::TooLarge { bytes, max: MAX_GROUP });
        }
        Ok(bytes)
    }

    /// Whether the current segment takes a group of `bytes` at `now_ms`: it has room, and
    /// was begun on the same day, by the same incarnation.
    fn takes(&self, bytes: u64, now_ms: u64) -> bool {
        let begun = self.current.as_ref().map_or(0, |current| current.segment.created_ms / DAY_MS);
        self.left() >= bytes && now_ms / DAY_MS <= begun
    }

    /// Bytes that the current segment has room for.
    fn left(&self) -> u64 {
        let current = self.current.as_ref();
        let ours = current.filter(|current| current.segment.base.incarnation == self.head.incarnation);
        ours.map_or(0, |current| current.segment.len - current.at)
    }

    /// Bytes to preallocate for the next segment.
    fn next_len(&self) -> u64 {
        self.len_after(self.current.as_ref().map_or(0, |current| current.at))
    }

    /// Bytes to preallocate for a segment after one that holds so much (spec 5.3.12): twice that.
    fn len_after(&self, held: u64) -> u64 {
        (2 * held).next_multiple_of(MIN_SEGMENT).clamp(MIN_SEGMENT, self.options.segment_bytes)
    }

    /// Runs `prepare` and notes whether the disk is full; asks a disk that was full a moment ago
    /// nothing.
    fn with_space(
        &mut self,
        now_ms: u64,
        prepare: impl FnOnce(&mut Self) -> Result<(), JournalError>,
    ) -> Result<(), AppendError> {
        if self.full_ms.is_some_and(|at| (at..at.saturating_add(RETRY_MS)).contains(&now_ms)) {
            return Err(AppendError::Full { bytes: self.next_len() });
        }
        let prepared = prepare(self);
        let prepared = self.latch(prepared);
        self.full_ms = matches!(prepared, Err(AppendError::Full { .. })).then_some(now_ms);
        prepared
    }

    /// Finds room for a group of `bytes`: in a new segment; if the disk is full, in the current
    /// one though its day is over; at last in the reserve.
    fn find_room(&mut self, bytes: u64, now_ms: u64) -> Result<(), AppendError> {
        let full = match self.begin_next(bytes, now_ms) {
            Err(full @ AppendError::Full { .. }) => full,
            other => return other,
        };
        if self.left() >= bytes {
            return Ok(());
        }
        match self.reserve {
            Some(len) if PAGE + bytes <= len => {
                let taken = self.take_reserve(len, now_ms);
                self.latch(taken)
            }
            _ => Err(full),
        }
    }

    /// Closes the current segment and begins the next: as long as is due if there is space for that, or it is
    /// there already; else in what is there, if a group of `bytes` finds room in it.
    fn begin_next(&mut self, bytes: u64, now_ms: u64) -> Result<(), AppendError> {
        let (needed, due) = (PAGE + bytes, self.next_len().max(PAGE + bytes));
        if self.next.ready() != Some(due) {
            let full = match self.with_space(now_ms, |journal| journal.roll(due, now_ms)) {
                Err(full @ AppendError::Full { .. }) => full,
                begun => return begun,
            };
            match self.next.ready() {
                None => return Err(full),
                Some(len) if len < needed => {
                    // Too short: its space may be what lacks.
                    let given_up = self.next.give_up(&*self.disk, &self.dir);
                    self.latch(given_up)?;
                    self.full_ms = None;
                    return self.with_space(now_ms, |journal| journal.roll(due, now_ms));
                }
                Some(_) => {}
            }
        }
        let begun = self.roll(self.next.ready().unwrap_or(due), now_ms);
        self.latch(begun)
    }

    /// Closes the current segment and begins the next, `len` bytes long.
    fn roll(&mut self, len: u64, now_ms: u64) -> Result<(), JournalError> {
        let segment = self.next_segment(len, now_ms)?;
        let file = self.next.begin(&*self.disk, &self.dir, &segment)?;
        self.current = Some(Current::of(&*self.disk, file, segment, (PAGE, PAGE))?);
        Ok(())
    }

    /// Closes the current segment and begins the next in the reserve.
    fn take_reserve(&mut self, len: u64, now_ms: u64) -> Result<(), JournalError> {
        let segment = self.next_segment(len, now_ms)?;
        let file = Spare::reserve(&self.dir).take(&*self.disk, &segment)?;
        self.current = Some(Current::of(&*self.disk, file, segment, (PAGE, PAGE))?);
        self.reserve = None;
        Ok(())
    }

    fn prepare_reserve(&mut self) -> Result<(), JournalError> {
        let len = reserve_len(self.options.segment_bytes);
        let (reserve, disk) = (Spare::reserve(&self.dir), &*self.disk);
        match reserve.prepare(disk, len) {
            // The segment ahead spares time, the reserve keeps withdrawals going.
            Err(error) if segment::is_full(&error) && self.next.give_up(disk, &self.dir)? => {
                reserve.prepare(disk, len)?;
            }
            prepared => prepared?,
        }
        self.reserve = Some(len);
        Ok(())
    }

    /// The segment after the current one, in which nothing of a cut group is left.
    fn next_segment(&mut self, len: u64, now_ms: u64) -> Result<Segment, JournalError> {
        let mut number = 1;
        if let Some(current) = &mut self.current {
            number = current.segment.number.checked_add(1).expect("2^32 segments are 4 PiB at least");
            let dirty = current.dirty_end.saturating_sub(current.at);
            if dirty > 0 {
                current.write(&*self.disk, &vec![0; usize::try_from(dirty).unwrap_or(usize::MAX)])?;
                current.dirty_end = current.at;
            }
        }
        Ok(Segment {
            path: segment::path(&self.dir, number),
            number,
            log_id: self.log_id,
            len,
            created_ms: now_ms,
            base: self.head,
        })
    }

    fn write_group(&mut self, records: &[Record], now_ms: u64) -> Result<Head, JournalError> {
        let current = self.current.as_mut().expect("roll made a current segment");
        let place = Place {
            log_id: self.log_id,
            segment: current.segment.number,
            offset: current.at,
            before: self.head,
        };
        let head = encode_group(&mut self.buffer, &place, records, now_ms);
        let len = self.buffer.len() as u64;
        let dirty = current.dirty_end.saturating_sub(current.at);
        self.buffer.resize(len.max(dirty) as usize, 0);
        current.write(&*self.disk, &self.buffer)?;
        current.at += len;
        // bounded: a group of the largest size does not keep its memory.
        self.buffer.clear();
        self.buffer.shrink_to(1 << 20);
        Ok(head)
    }

    fn drop_below(&self, below_gno: u64, begun_ms: u64) -> Result<(), JournalError> {
        let segments = segment::list(&*self.disk, &self.dir, &self.log_id)?;
        for pair in segments.windows(2) {
            if pair[1].base.gno + 1 > below_gno || pair[1].created_ms >= begun_ms {
                break;
            }
            // One name at a time, oldest first: a crash may bring back the oldest only.
            let file = &pair[0].path;
            let removed = self.disk.remove(file).and_then(|()| self.disk.sync_dir(&self.dir));
            removed.map_err(|source| JournalError::Disk { what: "remove", file: file.clone(), source })?;
        }
        Ok(())
    }
}

impl fmt::Debug for LocalJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalJournal")
            .field("dir", &self.dir)
            .field("head", &self.head)
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}

impl Journal for LocalJournal {
    fn acquire(&mut self) -> Result<Head, AppendError> {
        self.alive()?;
        Ok(self.head)
    }

    fn append(&mut self, expect: &Head, records: &[Record], now_ms: u64) -> Result<Head, AppendError> {
        self.alive()?;
        let bytes = self.check(expect, records)?;
        if !self.takes(bytes, now_ms) {
            self.find_room(bytes, now_ms)?;
        }
        // durable-before-receipt: the head moves, and is returned, only after the sync.
        let written = self.write_group(records, now_ms);
        let head = self.latch(written)?;
        // fail-stop: what was made ahead meanwhile may have met an error, after which a sync proves nothing.
        self.alive()?;
        self.head = head;
        Ok(head)
    }

    fn make_room(&mut self, bytes: u64, now_ms: u64) -> Result<(), AppendError> {
        self.alive()?;
        let bytes = padded(bytes.saturating_add(FRAME as u64).min(MAX_GROUP));
        if !self.takes(bytes, now_ms) {
            self.begin_next(bytes, now_ms)?;
        }
        if self.reserve.is_none() {
            self.with_space(now_ms, Self::prepare_reserve)?;
        }
        Ok(())
    }

    fn room(&self) -> u64 {
        self.left()
            + [self.reserve, self.next.ready()].into_iter().flatten().map(|len| len - PAGE).sum::<u64>()
    }

    fn wants_ahead(&self) -> Result<Option<Ahead>, AppendError> {
        self.alive()?;
        let half_full = self.current.as_ref().filter(|current| current.is_half_full());
        // On a full disk the reserve comes first.
        let Some(current) = half_full.filter(|_| self.reserve.is_some() && self.full_ms.is_none()) else {
            return Ok(None);
        };
        let order = self.next.order(&self.disk, &self.dir, self.len_after(current.segment.len));
        Ok(order.map(|order| -> Ahead { Box::new(|| order.make()) }))
    }

    fn head(&self) -> Head {
        self.head
    }

    fn idle(&mut self) -> Result<(), AppendError> {
        self.alive()?;
        if self.head_file.gno() == self.head.gno {
            return Ok(());
        }
        let place = self.current.as_ref().map_or((0, 0), |current| (current.segment.number, current.at));
        let written = self.head_file.write(self.head, place.0, place.1);
        self.latch(written)
    }

    fn class(&self) -> Durability {
        Durability::LocalDisk
    }

    fn trim(&mut self, below_gno: u64, begun_ms: u64) -> Result<(), AppendError> {
        self.alive()?;
        let dropped = self.drop_below(below_gno, begun_ms);
        self.full_ms = None;
        self.latch(dropped)
    }
}

impl Current {
    /// The segment in `file`, in which the next group goes to the first place and there are zeros from the
    /// second on.
    fn of(
        disk: &dyn Disk,
        file: Box<dyn DiskFile>,
        segment: Segment,
        (at, dirty_end): (u64, u64),
    ) -> Result<Self, JournalError> {
        let inode = disk.inode(&segment.path);
        let inode = inode.map_err(|source| {
            let file = segment.path.clone();
            JournalError::Disk { what: "look at", file, source }
        })?;
        Ok(Current { file, inode, segment, at, dirty_end })
    }

    fn is_half_full(&self) -> bool {
        self.at >= self.segment.len / 2
    }

    /// Writes `bytes` where the next group begins, and makes them durable: in a file that a start will find.
    fn write(&mut self, disk: &dyn Disk, bytes: &[u8]) -> Result<(), JournalError> {
        // A write would make it longer again.
        self.stands(disk)?;
        let written = self.file.write_durable_at(bytes, self.at);
        written.map_err(|source| {
            let file = self.segment.path.clone();
            JournalError::Disk { what: "write", file, source }
        })?;
        self.stands(disk)
    }

    /// Whether the file is there by its name, and has its length.
    fn stands(&self, disk: &dyn Disk) -> Result<(), JournalError> {
        let (file, expected) = (self.segment.path.clone(), self.segment.len);
        let named = match disk.inode(&file) {
            Ok(inode) => inode == self.inode,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(JournalError::Disk { what: "look at", file, source }),
        };
        let found = self.file.len();
        let found = found.map_err(|source| {
            let file = file.clone();
            JournalError::Disk { what: "look at", file, source }
        })?;
        if named && found >= expected {
            return Ok(());
        }
        Err(JournalError::Taken { file, named, found, expected })
    }
}

fn check_options(options: &Options) -> Result<(), JournalError> {
    let found = options.segment_bytes;
    if !(MIN_SEGMENT..=MAX_SEGMENT).contains(&found) || !found.is_multiple_of(PAGE) {
        return Err(JournalError::SegmentSize { found, min: MIN_SEGMENT, max: MAX_SEGMENT });
    }
    Ok(())
}

/// Removes what interrupted births left, and makes the names that are there durable.
pub(super) fn sweep(disk: &dyn Disk, dir: &Path) -> Result<(), JournalError> {
    let fail = |what| move |source| JournalError::Disk { what, file: dir.to_path_buf(), source };
    remove_unfinished(disk, dir, &|_| true).map_err(fail("remove a temporary file from"))?;
    disk.sync_dir(dir).map_err(fail("sync"))
}

/// Opens the last segment for writing. A last group that nobody named as acknowledged is
/// written again, byte for byte, and synced: it may have been seen in memory only, after
/// a sync that failed.
fn resume(disk: &dyn Disk, tail: Tail, rewrite: bool) -> Result<Current, JournalError> {
    let path = tail.segment.path.clone();
    let fail = |what| {
        let file = path.clone();
        move |source| JournalError::Disk { what, file, source }
    };
    let file = disk.open_direct(&path).map_err(fail("open"))?;
    if let (true, Some((offset, len))) = (rewrite, tail.last) {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, offset).map_err(fail("read"))?;
        file.write_durable_at(&bytes, offset).map_err(fail("write"))?;
    }
    Current::of(disk, file, tail.segment, (tail.at, tail.at + tail.dirty))
}
