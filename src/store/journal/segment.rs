//! Segment files: their names, their creation, and a walk over the groups of one.
//!
//! A segment is born whole (zeros, header, sync, rename, directory sync), so a name that
//! ends in a number always has a header; what a crash leaves of a birth is a `.new` file.

use std::io;
use std::path::{Path, PathBuf};

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::contract::{Head, JournalError, LogId};
use super::format::{
    Checked, FORMAT, Fault, GroupHeader, MAX_NUMBER, MAX_SEGMENT_FILE, PAGE, Place, SEGMENT_MAGIC,
    SegmentHeader, check_group, is_at_home, padded_len, page_crc,
};
use super::head::Mark;
use crate::store::disk::{Disk, DiskFile, has_no_space};

/// Bytes read at once while walking, and written at once while preallocating.
const WINDOW: usize = 1 << 20;
static ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];
const PREFIX: &str = "segment-";
const SUFFIX: &str = ".journal";

/// A segment as its header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) number: u32,
    pub(super) log_id: LogId,
    pub(super) len: u64,
    pub(super) created_ms: u64,
    /// The head before its first group, with the incarnation that wrote its groups.
    pub(super) base: Head,
}

impl Segment {
    /// Whether this segment begins right after `head`.
    pub(super) fn continues(&self, head: &Head) -> bool {
        Head { incarnation: self.base.incarnation, ..*head } == self.base
            && self.base.incarnation >= head.incarnation
    }
}

/// The path of segment `number`.
pub(super) fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{PREFIX}{number:010}{SUFFIX}"))
}

fn number_of(path: &Path) -> Option<u32> {
    let digits = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    (digits.len() == 10).then(|| digits.parse().ok())?
}

/// Whether `path` has the name of a segment.
pub(super) fn is_segment(path: &Path) -> bool {
    number_of(path).is_some()
}

/// The name under which the file `path` is made.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    path.with_file_name(name)
}

pub(super) fn disk_error(what: &'static str, file: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let file = file.to_path_buf();
    move |source| JournalError::Disk { what, file, source }
}

/// The segments of `dir` in order, their headers checked; all of them belong to `log_id`.
pub(super) fn list(disk: &dyn Disk, dir: &Path, log_id: &LogId) -> Result<Vec<Segment>, JournalError> {
    let mut names: Vec<(u32, PathBuf)> = Vec::new();
    for path in disk.list(dir).map_err(disk_error("list", dir))? {
        names.extend(number_of(&path).map(|number| (number, path)));
    }
    names.sort();
    let mut segments: Vec<Segment> = Vec::with_capacity(names.len());
    for (number, path) in names {
        let segment = read_header(disk, path, number, log_id)?;
        if let Some(last) = segments.last() {
            let wrong = |what: String| {
                let (file, gno) = (segment.path.clone(), segment.base.gno);
                Err(JournalError::Corrupt { file, offset: 0, gno, what })
            };
            if last.number.checked_add(1) != Some(number) {
                let missing = self::path(dir, last.number.saturating_add(1));
                let name = missing.file_name().unwrap_or_default().display();
                return wrong(format!("{name}, which comes before it, is missing"));
            }
            if segment.base.gno < last.base.gno || segment.base.seq < last.base.seq {
                return wrong("it begins before the segment before it".to_string());
            }
        }
        segments.push(segment);
    }
    Ok(segments)
}

fn read_header(disk: &dyn Disk, path: PathBuf, number: u32, log_id: &LogId) -> Result<Segment, JournalError> {
    let file = disk.open(&path).map_err(disk_error("open", &path))?;
    let len = file.len().map_err(disk_error("read", &path))?;
    let mut header = SegmentHeader::new_zeroed();
    let corrupt = |gno: u64, what: &str| {
        Err(JournalError::Corrupt { file: path.clone(), offset: 0, gno, what: what.to_string() })
    };
    if !(PAGE..=MAX_SEGMENT_FILE).contains(&len) {
        return corrupt(0, "it is too short or too long for a segment");
    }
    file.read_exact_at(header.as_mut_bytes(), 0).map_err(disk_error("read", &path))?;
    if header.magic != SEGMENT_MAGIC || header.crc.get() != page_crc(header.as_bytes()) {
        return corrupt(0, "its header is damaged");
    }
    if header.format.get() > FORMAT {
        return Err(JournalError::Newer { file: path, found: header.format.get(), max: FORMAT });
    }
    if header.log_id != *log_id {
        return Err(JournalError::Foreign { file: path, found: header.log_id, expected: *log_id });
    }
    let gno = header.base_gno.get();
    if header.segment.get() != number || u64::from(header.header_len.get()) != PAGE {
        return corrupt(gno, "its header is of another segment");
    }
    if header.segment_len.get() != len {
        return corrupt(gno, &format!("it has {len} bytes, its header says {}", header.segment_len.get()));
    }
    let (Some(gno), Some(seq)) = (gno.checked_sub(1), header.base_seq.get().checked_sub(1)) else {
        return corrupt(gno, "its first group or record has number 0");
    };
    if gno.max(seq) > MAX_NUMBER {
        return corrupt(gno, "its first group or record has an impossible number");
    }
    let base = Head { incarnation: header.incarnation.get(), gno, seq, chain: header.prev_chain };
    Ok(Segment { number, log_id: *log_id, len, created_ms: header.created_ms.get(), base, path })
}

/// Creates `segment` full of zeros behind its header, durable in content and name, and
/// opens it for writing.
pub(super) fn create(disk: &dyn Disk, segment: &Segment) -> Result<Box<dyn DiskFile>, JournalError> {
    birth(disk, &segment.path, segment.len, &encode_header(segment))?;
    disk.open_direct(&segment.path).map_err(disk_error("open", &segment.path))
}

/// Makes the file `path`: a first page and zeros to `len`, durable in content and name. An
/// error before the rename has left nothing but a `.new` file.
pub(super) fn birth(
    disk: &dyn Disk,
    path: &Path,
    len: u64,
    first: &SegmentHeader,
) -> Result<(), JournalError> {
    let temporary = temporary(path);
    fill(disk, &temporary, len, first, Pieces::Together)?;
    disk.rename(&temporary, path).map_err(disk_error("create", path))?;
    let dir = path.parent().unwrap_or(Path::new(""));
    disk.sync_dir(dir).map_err(disk_error("sync", dir))
}

/// How zeros become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    /// All at once: somebody waits for them.
    Together,
    /// Each when it is written: a group that is synced meanwhile waits for one of them on the disk, not for
    /// all.
    Synced,
}

/// Makes the file `unused` anew: a first page and zeros to `len`, durable in content and not in name.
pub(super) fn fill(
    disk: &dyn Disk,
    unused: &Path,
    len: u64,
    first: &SegmentHeader,
    pieces: Pieces,
) -> Result<(), JournalError> {
    filled(disk, unused, len, first, pieces).map_err(|source| {
        // A disk that failed is left alone: the next start removes the file.
        if has_no_space(&source)
            && let Err(error) = disk.remove(unused)
            && error.kind() != io::ErrorKind::NotFound
        {
            return disk_error("remove", unused)(error);
        }
        disk_error("prepare", unused)(source)
    })
}

fn filled(disk: &dyn Disk, unused: &Path, len: u64, first: &SegmentHeader, pieces: Pieces) -> io::Result<()> {
    match disk.remove(unused) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(unused)?;
    let zeros = vec![0; WINDOW];
    let mut at = PAGE;
    while at < len {
        if at > PAGE && pieces == Pieces::Synced {
            file.sync()?;
        }
        let step = (len - at).min(WINDOW as u64);
        file.write_all_at(&zeros[..step as usize], at)?;
        at += step;
    }
    file.write_all_at(first.as_bytes(), 0)?;
    file.sync()
}

/// Whether what failed was to get space for a file that is not part of the journal yet.
pub(super) fn is_full(error: &JournalError) -> bool {
    matches!(error, JournalError::Disk { what: "prepare", source, .. } if has_no_space(source))
}

pub(super) fn encode_header(segment: &Segment) -> SegmentHeader {
    let mut header = SegmentHeader {
        magic: SEGMENT_MAGIC,
        format: U32::new(FORMAT),
        header_len: U32::new(PAGE as u32),
        log_id: segment.log_id,
        incarnation: U32::new(segment.base.incarnation),
        segment: U32::new(segment.number),
        segment_len: U64::new(segment.len),
        base_gno: U64::new(segment.base.gno + 1),
        base_seq: U64::new(segment.base.seq + 1),
        prev_chain: segment.base.chain,
        created_ms: U64::new(segment.created_ms),
        zero: [0; 3988],
        crc: U32::new(0),
    };
    header.crc = U32::new(page_crc(header.as_bytes()));
    header
}

/// One step of a walk.
pub(super) enum Step<'a> {
    /// A group that is whole and continues the chain, and its bytes.
    Group(Checked, &'a [u8]),
    /// No group begins here: the walk's `at`. With a reason when bytes are there.
    End(Option<&'static str>),
}

/// Reads the groups of one segment in order, a window at a time.
pub(super) struct Walk {
    file: Box<dyn DiskFile>,
    pub(super) segment: Segment,
    /// The head after the groups walked so far.
    pub(super) head: Head,
    /// Where the next group begins.
    pub(super) at: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl Walk {
    /// Stands before the first group of `segment`.
    pub(super) fn open(disk: &dyn Disk, segment: Segment) -> Result<Walk, JournalError> {
        let file = disk.open(&segment.path).map_err(disk_error("open", &segment.path))?;
        Ok(Walk::of(file, segment))
    }

    /// As [`Walk::open`], but reads what the disk has: a sync that failed may have left in memory
    /// what is nowhere else.
    pub(super) fn open_direct(disk: &dyn Disk, segment: Segment) -> Result<Walk, JournalError> {
        let file = disk.open_direct_read(&segment.path).map_err(disk_error("open", &segment.path))?;
        Ok(Walk::of(file, segment))
    }

    fn of(file: Box<dyn DiskFile>, segment: Segment) -> Walk {
        let head = segment.base;
        Walk { file, segment, head, at: PAGE, window: Vec::new(), window_at: 0 }
    }

    /// The next group, checked, or the end. A whole group that does not belong here is
    /// an error: no crash explains it.
    pub(super) fn step(&mut self) -> Result<Step<'_>, JournalError> {
        let (offset, place) = (self.at, self.place());
        if offset + PAGE > self.segment.len {
            return Ok(Step::End(None));
        }
        let header = self.header(offset)?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(Step::End(None));
        }
        let Some(len) = padded_len(&header) else {
            return Ok(Step::End(Some("its header is damaged")));
        };
        if offset + len > self.segment.len {
            return Ok(Step::End(Some("it is longer than its segment")));
        }
        self.fill(offset, len as usize)?;
        let start = (offset - self.window_at) as usize;
        let bytes = &self.window[start..start + len as usize];
        match check_group(bytes, &place) {
            Ok(group) => {
                self.head = group.head;
                self.at += len;
                Ok(Step::Group(group, bytes))
            }
            Err(Fault::Torn(what)) => Ok(Step::End(Some(what))),
            Err(Fault::Wrong(what)) => Err(self.corrupt(what)),
            Err(Fault::Cipher(cipher)) => {
                Err(JournalError::Cipher { file: self.segment.path.clone(), offset, cipher })
            }
        }
    }

    /// The error that the group at `at` is damaged.
    pub(super) fn corrupt(&self, what: &str) -> JournalError {
        let (file, offset, gno) = (self.segment.path.clone(), self.at, self.head.gno.saturating_add(1));
        JournalError::Corrupt { file, offset, gno, what: what.to_string() }
    }

    /// Looks at every page from `from` to the end of the segment: how far something other
    /// than zeros goes, and the highest `acked_gno` of a header that names this log, this
    /// segment and its own place. Pages are not skipped by a header's length, so that a
    /// damaged header hides none behind it.
    pub(super) fn scan(&mut self, from: u64) -> Result<Scan, JournalError> {
        let mut scan = Scan { end: from, acked: 0 };
        let mut at = from;
        while at < self.segment.len {
            let len = (self.segment.len - at).min(PAGE);
            self.fill(at, len as usize)?;
            let start = (at - self.window_at) as usize;
            let page = &self.window[start..start + len as usize];
            at += len;
            if page == &ZEROS[..page.len()] {
                continue;
            }
            scan.end = at;
            if let Ok((header, _)) = GroupHeader::ref_from_prefix(page)
                && is_at_home(header, &self.segment.log_id, self.segment.number, at - len)
            {
                scan.acked = scan.acked.max(header.acked_gno.get());
            }
        }
        Ok(scan)
    }

    /// Fails unless only zeros follow the groups walked, as they do in a segment that another one follows
    /// (spec 5.3.4): what a cut group left there was overwritten before the next one was begun (spec 5.4.5).
    pub(super) fn check_rest(&mut self) -> Result<(), JournalError> {
        let end = self.scan(self.at)?.end;
        if end > self.at {
            self.at = end - PAGE;
            return Err(self.corrupt("something other than zeros follows the last group of the segment"));
        }
        Ok(())
    }

    fn place(&self) -> Place {
        let (log_id, segment) = (self.segment.log_id, self.segment.number);
        Place { log_id, segment, offset: self.at, before: self.head }
    }

    fn header(&mut self, at: u64) -> Result<GroupHeader, JournalError> {
        self.fill(at, size_of::<GroupHeader>())?;
        let start = (at - self.window_at) as usize;
        let mut header = GroupHeader::new_zeroed();
        header.as_mut_bytes().copy_from_slice(&self.window[start..start + size_of::<GroupHeader>()]);
        Ok(header)
    }

    /// Makes the window hold `len` bytes from `at`, which lie inside the segment.
    fn fill(&mut self, at: u64, len: usize) -> Result<(), JournalError> {
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if held.contains(&at) && at + len as u64 <= held.end {
            return Ok(());
        }
        let ahead = (self.segment.len - at).min(len.max(WINDOW) as u64);
        self.window.resize(ahead as usize, 0);
        self.window_at = at;
        let read = self.file.read_exact_at(&mut self.window, at);
        if read.is_err() {
            self.window.clear();
        }
        read.map_err(disk_error("read", &self.segment.path))
    }
}

/// What a [`Walk::scan`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scan {
    /// Only zeros follow from here.
    pub(super) end: u64,
    /// Highest group that a header names as acknowledged.
    pub(super) acked: u64,
}

impl Mark {
    /// Fails if the group just walked is the one the head file names, but another.
    pub(super) fn agrees(&self, walk: &Walk, head: &Head) -> Result<(), JournalError> {
        let other = self.head.gno == head.gno && (self.head.seq, self.head.chain) != (head.seq, head.chain);
        if other {
            Err(walk.corrupt("the group before it is not the one the head file names"))
        } else {
            Ok(())
        }
    }
}
