//! The journal: hash-chained groups of opaque records in preallocated segments.
//!
//! One group is one write and one sync, padded to whole pages, so that no later write
//! touches a block of an acknowledged group. What each byte means is in
//! `protocol-spec/5-files.md`; what a record means is none of the journal's business.

mod contract;
mod format;
mod head;
mod segment;
mod spare;
mod ahead;
mod read;
mod verify;
mod recover;
mod append;
mod closed;
mod mirror;
#[cfg(test)]
mod tests;

pub use append::{LocalJournal, RETRY_S};
pub use closed::{ClosedSegment, closed_segments};
pub use contract::{
    Ahead, AppendError, Cut, Durability, Group, Head, Journal, JournalError, LogId, Options, Record,
    Recovered,
};
pub use format::{FORMAT, MAX_GROUP, MAX_SEGMENT, MIN_SEGMENT, record_bytes};
pub use mirror::{CaughtUp, Levelled, MirrorError, check_mirror, check_new_mirror, level, whole_in};
pub use read::{JournalReader, segment_bytes_after};
pub use verify::{Verification, Verified, verify};
