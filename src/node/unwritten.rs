//! What was decided and is not durable yet: written at once, or, where the disk has no room even in the
//! reserve, as soon as it has. Until then nothing else is decided, and nobody hears of it.

use std::time::Instant;

use super::writer_counts::WriterCounts;
use crate::engine::{Input, Moment, Refusal, Reply, ReportReply, Ticket};
use crate::store::journal::{AppendError, Head, Journal, MAX_GROUP, RETRY_S, Record, record_bytes};

/// Bytes of records in one group at most; a part of a turn with more makes several.
const GROUP_BYTES: u64 = MAX_GROUP / 2;

/// An answer to who asked.
pub(super) type Answer = (Ticket, Result<Reply, Refusal>);

/// Records that are to be written.
#[derive(Default)]
pub(super) struct Unwritten {
    records: Vec<Record>,
    /// Tables that came meanwhile; nobody makes them again. bounded: one for each set.
    built: Vec<(Ticket, Input)>,
}

impl Unwritten {
    /// Whether something was decided that the journal does not have.
    pub(super) fn waits(&self) -> bool {
        !self.records.is_empty()
    }

    /// Bytes of it.
    pub(super) fn bytes(&self) -> u64 {
        self.records.iter().map(|record| record_bytes(record.payload.len())).sum()
    }

    /// Takes what was decided. What was decided before must have been written.
    pub(super) fn decided(&mut self, records: Vec<Record>) {
        debug_assert!(self.records.is_empty(), "the writer decides on what is durable");
        self.records = records;
    }

    /// Writes it after `head`, which moves with each group. False if the disk has no room for all of it.
    ///
    /// # Errors
    /// Any of the journal's but that it is full.
    pub(super) fn write(
        &mut self,
        journal: &mut dyn Journal,
        head: &mut Head,
        now_ms: u64,
        counts: &WriterCounts,
    ) -> Result<bool, AppendError> {
        let mut written = 0;
        for group in groups_of(&self.records) {
            let began = Instant::now();
            match journal.append(head, group, now_ms) {
                Ok(next) => *head = next,
                Err(AppendError::Full { .. }) => break,
                Err(error) => return Err(error),
            }
            counts.wrote(group.len(), began.elapsed());
            written += group.len();
        }
        self.records.drain(..written);
        Ok(self.records.is_empty())
    }

    /// Answers `inputs` that come while something waits, and keeps the tables among them.
    pub(super) fn put_off(&mut self, inputs: Vec<(Ticket, Input)>, now: Moment, room: u64) -> Vec<Answer> {
        let mut answers = Vec::new();
        for (ticket, input) in inputs {
            match input {
                Input::Built(_) => self.built.push((ticket, input)),
                Input::Tick => {}
                // Who is told so asks again; no code is spent.
                Input::Report(_) => {
                    answers.push((ticket, Ok(Reply::Report(Box::new(ReportReply::busy(now.unix))))));
                }
                _ => answers.push((ticket, Err(Refusal::JournalFull { room, retry_s: RETRY_S }))),
            }
        }
        answers
    }

    /// The tables that came while something waited.
    pub(super) fn take_built(&mut self) -> Vec<(Ticket, Input)> {
        std::mem::take(&mut self.built)
    }
}

/// Cuts records into groups that the journal takes.
fn groups_of(records: &[Record]) -> impl Iterator<Item = &[Record]> {
    let mut bytes = 0;
    records.chunk_by(move |_, next| {
        bytes += record_bytes(next.payload.len());
        let fits = bytes <= GROUP_BYTES;
        if !fits {
            bytes = 0;
        }
        fits
    })
}
