//! The journal as its users see it: the blocking trait, heads, records, errors.
//!
//! Nothing above this trait knows whether the groups go to a local disk or to a quorum.

use std::fmt;
use std::io;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

/// The random name of a log, 16 bytes, the same in all of its files.
pub type LogId = [u8; 16];

/// A point between two groups: everything up to it, in one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Which life of the log writes now; `adopt` starts the next one.
    pub incarnation: u32,
    /// Number of the last group, 0 before the first.
    pub gno: u64,
    /// Sequence number of the last record, 0 before the first.
    pub seq: u64,
    /// Hash chain over all groups up to here.
    pub chain: [u8; 32],
}

impl Head {
    /// The head of a log without groups: its chain is `SHA-256("tekd-genesis-v1" ‖ log id)`
    /// (spec 5.3.3).
    pub fn genesis(log_id: &LogId, incarnation: u32) -> Head {
        let chain = Sha256::new().chain_update(b"tekd-genesis-v1").chain_update(log_id).finalize();
        Head { incarnation, gno: 0, seq: 0, chain: chain.into() }
    }
}

/// One event, opaque to the journal.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// What the payload is.
    pub kind: u16,
    /// Version of the kind's layout.
    pub version: u16,
    /// Position in the log: one more than the record before.
    pub seq: u64,
    /// When it was decided, Unix seconds.
    pub time_s: u64,
    /// The kind's bytes.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Record {
    // no-trace: the payload of a report is its keys and who made it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("kind", &self.kind)
            .field("version", &self.version)
            .field("seq", &self.seq)
            .field("time_s", &self.time_s)
            .field("payload", &self.payload.len())
            .finish()
    }
}

/// The records that one write made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The head after this group; its incarnation is the one that wrote the group.
    pub head: Head,
    /// When it was written, Unix milliseconds.
    pub time_ms: u64,
    /// Its records in order.
    pub records: Vec<Record>,
}

/// What an acknowledged group has survived: printed in every receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Synced on the disk of this machine it was given: two, if that is one with a mirror.
    LocalDisk,
    /// Synced by `acks` of `of` sites.
    Quorum {
        /// Sites that have it.
        acks: u8,
        /// Sites there are.
        of: u8,
    },
}

/// How a local journal lays out its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes up to which preallocated segments grow, [`MIN_SEGMENT`](super::MIN_SEGMENT) to
    /// [`MAX_SEGMENT`](super::MAX_SEGMENT), whole pages.
    pub segment_bytes: u64,
    /// Whether `open` reads every group, or only the headers and the last segment.
    pub check_all: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { segment_bytes: 16 << 20, check_all: true }
    }
}

/// What `open` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Groups the journal holds.
    pub groups: u64,
    /// Records the journal holds.
    pub events: u64,
    /// The head before the oldest group held.
    pub base: Head,
    /// The incomplete group that was cut, if any.
    pub cut: Option<Cut>,
    /// The head file, if one of its two slots was damaged; `open` has replaced it.
    pub damaged_slot: Option<PathBuf>,
}

/// A last group that a crash left incomplete and nobody had acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The segment it is in.
    pub file: PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// How many bytes from there are not zero-filled yet; the next append overwrites them.
    pub bytes: u64,
    /// The number it would have had.
    pub gno: u64,
}

/// Why a journal cannot be created, opened or read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum JournalError {
    #[error("cannot {what} {}: {source}", file.display())]
    Disk { what: &'static str, file: PathBuf, source: io::Error },
    #[error("{} holds no journal", dir.display())]
    Missing { dir: PathBuf },
    #[error("{} already holds a journal", dir.display())]
    Exists { dir: PathBuf },
    #[error(
        "{} is damaged at byte {offset} (group {gno}): {what}; nothing was changed: \
         put back this file from another copy of the directory, then run `tekctl journal verify`",
        file.display()
    )]
    Corrupt { file: PathBuf, offset: u64, gno: u64, what: String },
    #[error(
        "both slots of {} are damaged; nothing was changed: \
         put back this file from another copy of the directory",
        file.display()
    )]
    HeadDamaged { file: PathBuf },
    #[error(
        "the journal in {} ends at group {last}, but group {acked} was acknowledged: \
         {} is missing; nothing was changed: \
         put back the missing file from another copy of the directory",
        dir.display(),
        missing.file_name().unwrap_or_default().display()
    )]
    Short { dir: PathBuf, last: u64, acked: u64, missing: PathBuf },
    #[error(
        "{} belongs to another log ({}, not {})",
        file.display(), hex::encode(found), hex::encode(expected)
    )]
    Foreign { file: PathBuf, found: LogId, expected: LogId },
    #[error(
        "{} was {} while tekd wrote to it; what was being written is not confirmed: put back the \
         file from its mirror or from another copy of the directory, then start tekd",
        file.display(),
        if *named { format!("cut to {found} of {expected} bytes") } else { "removed or replaced".to_owned() }
    )]
    Taken { file: PathBuf, named: bool, found: u64, expected: u64 },
    #[error("{} was written by a newer tekd: format {found}, this one reads up to {max}", file.display())]
    Newer { file: PathBuf, found: u32, max: u32 },
    #[error("{} is encrypted at byte {offset} with cipher {cipher}, this tekd knows none", file.display())]
    Cipher { file: PathBuf, offset: u64, cipher: u16 },
    #[error("the journal was written by incarnation {found}, the directory is incarnation {own}")]
    Incarnation { found: u32, own: u32 },
    #[error("a segment of {found} bytes: it must be whole 4096-byte pages from {min} to {max} bytes")]
    SegmentSize { found: u64, min: u64, max: u64 },
}

/// Why a group was not appended.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum AppendError {
    #[error("the journal is at group {}, not where the writer expected it", .0.gno)]
    Conflict(Head),
    #[error("record {index} of the group has sequence number {found}, it must have {expected}")]
    Sequence { index: usize, found: u64, expected: u64 },
    #[error("a group of {bytes} bytes, at most {max} are possible")]
    TooLarge { bytes: u64, max: u64 },
    #[error("a group needs at least one record")]
    Empty,
    #[error(
        "the disk has no space for {bytes} bytes of a new journal segment; the journal is unharmed: \
         free space on its disk"
    )]
    Full { bytes: u64 },
    #[error("the journal failed, nothing is confirmed any more: {0}")]
    Failed(#[from] JournalError),
    #[error("the journal stopped after an error ({first}); restart tekd once the disk is well")]
    Stopped { first: String },
}

/// Work ahead of the groups it is for. For want of space the journal does without; any other error stops it,
/// as one of its own would.
pub type Ahead = Box<dyn FnOnce() -> Result<(), JournalError> + Send>;

/// An ordered, durable log of groups with one writer.
pub trait Journal: Send {
    /// Makes this process the writer and returns where it continues.
    fn acquire(&mut self) -> Result<Head, AppendError>;

    /// Appends one group if the head is still `expect`, and returns once it is durable.
    /// `now_ms` is Unix milliseconds. After any error but `Conflict`, `Sequence`,
    /// `TooLarge`, `Empty` and `Full` nothing is appended ever again. On a full disk it uses
    /// what room is left, the reserve last. Whether a group is in the journal that met `Failed` or
    /// `Stopped` the next start finds out.
    fn append(&mut self, expect: &Head, records: &[Record], now_ms: u64) -> Result<Head, AppendError>;

    /// Makes sure, before anything is decided, that records of `bytes` ([`record_bytes`]) in one
    /// group find room at `now_ms` beside a whole reserve: begins a segment or prepares the
    /// reserve if need be. `Full` says that the disk has none; it is asked again at most every
    /// few seconds. Who appends what can wait asks first; who appends what cannot does not.
    ///
    /// [`record_bytes`]: super::record_bytes
    fn make_room(&mut self, bytes: u64, now_ms: u64) -> Result<(), AppendError>;

    /// Bytes of groups, padding included, that can be appended if the disk gives nothing more.
    fn room(&self) -> u64;

    /// Work that spares a later group time, if there is some to be done now: for a thread that nobody waits
    /// for, or to be dropped.
    ///
    /// # Errors
    /// Once the journal has stopped.
    fn wants_ahead(&self) -> Result<Option<Ahead>, AppendError>;

    /// The last acknowledged head.
    fn head(&self) -> Head;

    /// Notes the head where recovery finds it; for when the queue is empty, and at stop.
    fn idle(&mut self) -> Result<(), AppendError>;

    /// What an acknowledgement of this journal is worth.
    fn class(&self) -> Durability;

    /// Drops the oldest segments all of whose groups are below `below_gno`, if the segment after
    /// was begun before `begun_ms`, Unix milliseconds.
    fn trim(&mut self, below_gno: u64, begun_ms: u64) -> Result<(), AppendError>;
}
