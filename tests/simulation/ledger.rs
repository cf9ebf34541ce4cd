//! What the journal was asked to keep and said it kept: the word that a recovered journal is held to.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tekd::node::journal_path;
use tekd::store::journal::{Ahead, AppendError, Durability, Head, Journal, JournalReader, Record};
use tekd::store::{Disk, MemoryDisk};

use super::invariant::Invariant;
use super::medium::Met;

/// A group as it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) head: Head,
    pub(crate) records: Vec<Record>,
}

/// Everything that was acknowledged, and what was being written when a writer ended.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) groups: Vec<Kept>,
    /// The group that was under way when the last writer failed.
    under_way: Option<Vec<Record>>,
    /// The group that was under way and was found by the next writer.
    found: Option<u64>,
    /// Groups that were read back from the disk so far.
    read_back: usize,
    /// What is wrong with how a journal was found, to be told where it is looked at.
    wrong: Option<(Invariant, String)>,
}

pub(crate) type SharedLedger = Arc<Mutex<Ledger>>;

pub(crate) fn open(ledger: &SharedLedger) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    fn last(&self) -> u64 {
        self.groups.last().map_or(0, |group| group.head.gno)
    }

    /// A writer begins at `head`.
    fn begun(&mut self, head: Head) {
        let under_way = self.under_way.take();
        let last = self.last();
        match under_way {
            _ if head.gno < last => {
                let what = format!("group {last} was acknowledged, the journal ends at {}", head.gno);
                self.wrong.get_or_insert((Invariant::DurableBeforeReceipt, what));
            }
            Some(records) if head.gno == last + 1 => {
                self.found = Some(head.gno);
                self.groups.push(Kept { head, records });
            }
            _ if head.gno > last => {
                let what = format!("group {} is there, nobody wrote more than {last}", head.gno);
                self.wrong.get_or_insert((Invariant::AppendOnly, what));
            }
            _ => {}
        }
    }

    fn appended(&mut self, head: Head, records: &[Record], met: &Met) {
        if met.journal_errors > 0 {
            let what = format!("group {} is acknowledged after an I/O error", head.gno);
            self.wrong.get_or_insert((Invariant::FailStop, what));
        }
        self.groups.push(Kept { head, records: records.to_vec() });
    }

    /// The group that was being written when the last writer failed.
    pub(crate) fn under_way(&self) -> Option<Vec<Record>> {
        self.under_way.clone()
    }

    /// What was found wrong while nobody could be told.
    pub(crate) fn judge(&mut self) {
        if let Some((invariant, what)) = self.wrong.take() {
            invariant.broken(&what);
        }
    }

    /// Records from `seq` on, as acknowledged.
    pub(crate) fn records_from(&self, seq: u64) -> Vec<Record> {
        let groups = self.groups.iter().rev().take_while(|group| group.head.seq >= seq);
        let mut groups: Vec<&Kept> = groups.collect();
        groups.reverse();
        groups.iter().flat_map(|g| &g.records).filter(|r| r.seq >= seq).cloned().collect()
    }

    /// The record of that sequence number, if it was acknowledged.
    pub(crate) fn record(&self, seq: u64) -> Option<&Record> {
        let at = self.groups.partition_point(|group| group.head.seq < seq);
        self.groups.get(at)?.records.iter().find(|record| record.seq == seq)
    }

    /// Reads what is on the disk and was not read back since it was acknowledged, or everything.
    pub(crate) fn read_back(&mut self, disk: &MemoryDisk, everything: bool) -> Vec<Kept> {
        let from = if everything { 0 } else { self.read_back.min(self.groups.len()) };
        let Some(next) = self.groups.get(from) else { return Vec::new() };
        let (seq, first) = (next.records[0].seq, next.head.gno);
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let reader = JournalReader::from_seq(disk, &journal_path(Path::new(super::origin::DIR)), seq);
        let groups = reader.and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let groups = match groups {
            Ok(groups) => groups,
            Err(e) => Invariant::DurableBeforeReceipt.broken(&format!("the journal: {e}")),
        };
        let read = groups.into_iter().filter(|group| group.head.gno >= first);
        read.map(|group| Kept { head: group.head, records: group.records }).collect()
    }

    /// Compares what was read back with what was acknowledged.
    pub(crate) fn compare(&mut self, read: &[Kept], everything: bool) {
        let from = if everything { 0 } else { self.read_back.min(self.groups.len()) };
        let kept = &self.groups[from..];
        Invariant::DurableBeforeReceipt.must(read.len() >= kept.len(), || {
            format!("{} of {} acknowledged groups are there", read.len(), kept.len())
        });
        for (read, kept) in read.iter().zip(kept) {
            let gno = kept.head.gno;
            let found = self.found == Some(gno);
            let invariant = if found { Invariant::WholeGroups } else { Invariant::AppendOnly };
            invariant
                .must(read == kept, || format!("group {gno} is not what was written: {read:?}, {kept:?}"));
        }
        Invariant::AppendOnly.must(read.len() == kept.len(), || "there are groups nobody wrote".to_owned());
        (self.found, self.read_back) = (None, self.groups.len());
    }
}

/// A journal that writes down what is asked of it and what it answers.
pub(crate) struct Ledgered {
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) ledger: SharedLedger,
    pub(crate) met: Arc<Mutex<Met>>,
}

impl Journal for Ledgered {
    fn acquire(&mut self) -> Result<Head, AppendError> {
        let head = self.journal.acquire()?;
        open(&self.ledger).begun(head);
        Ok(head)
    }

    fn append(&mut self, expect: &Head, records: &[Record], now_ms: u64) -> Result<Head, AppendError> {
        let appended = self.journal.append(expect, records, now_ms);
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match &appended {
            Ok(head) => open(&self.ledger).appended(*head, records, &met),
            Err(AppendError::Failed(_) | AppendError::Stopped { .. }) => {
                open(&self.ledger).under_way.get_or_insert_with(|| records.to_vec());
            }
            Err(_) => {}
        }
        appended
    }

    fn make_room(&mut self, bytes: u64, now_ms: u64) -> Result<(), AppendError> {
        self.journal.make_room(bytes, now_ms)
    }

    fn room(&self) -> u64 {
        self.journal.room()
    }

    fn wants_ahead(&self) -> Result<Option<Ahead>, AppendError> {
        self.journal.wants_ahead()
    }

    fn head(&self) -> Head {
        self.journal.head()
    }

    fn idle(&mut self) -> Result<(), AppendError> {
        self.journal.idle()
    }

    fn class(&self) -> Durability {
        self.journal.class()
    }

    fn trim(&mut self, below_gno: u64, begun_ms: u64) -> Result<(), AppendError> {
        self.journal.trim(below_gno, begun_ms)
    }
}
