//! Room for what is decided: looked for before, missed after, and what is said of it.

use super::super::admission::{bytes_of_all, full_text, turn_away};
use super::super::unwritten::Answer;
use super::{Origin, OriginError};
use crate::engine::{Input, Moment, Refusal, Ticket};
use crate::store::journal::{AppendError, RETRY_S};

impl Origin {
    /// Whether something was decided that is in no file yet, for want of room: nobody was told, readers see
    /// nothing of it, and nothing else is decided until it is written.
    pub fn waits_for_space(&self) -> bool {
        self.unwritten.waits()
    }

    /// Takes out of `inputs`, answered, what a full disk has no room for; the reserve is for the others.
    pub(super) fn admit(
        &mut self,
        now: Moment,
        inputs: &mut Vec<(Ticket, Input)>,
    ) -> Result<Vec<Answer>, OriginError> {
        let Some(bytes) = bytes_of_all(inputs).or(self.full.then_some(0)) else { return Ok(Vec::new()) };
        self.find_space(now, bytes)?;
        Ok(if self.full { turn_away(inputs, now, self.journal.room()) } else { Vec::new() })
    }

    /// Makes sure of room for `bytes` beside a whole reserve, and notes whether the disk is full.
    pub(super) fn find_space(&mut self, now: Moment, bytes: u64) -> Result<(), OriginError> {
        let found = self.journal.make_room(bytes, self.journal_ms(now));
        let full = match found {
            Ok(()) => false,
            Err(AppendError::Full { .. }) => true,
            Err(e) => return Err(e.into()),
        };
        self.find_full(full);
        Ok(())
    }

    /// Notes whether the disk is full, and says so when that changes.
    pub(super) fn find_full(&mut self, full: bool) {
        let before = std::mem::replace(&mut self.full, full);
        match (before, full) {
            (false, true) => tracing::error!("{}", self.full_text()),
            (true, false) => tracing::info!("the disk of the journal has space again: reports come in"),
            _ => {}
        }
    }

    /// The answer to what cannot be decided, or told, for want of room.
    pub(in crate::node) fn full(&self) -> Refusal {
        Refusal::JournalFull { room: self.journal.room(), retry_s: RETRY_S }
    }

    fn full_text(&self) -> String {
        full_text(self.waits_for_space(), self.journal.room(), self.mirror())
    }

    /// Why reports, imports and new codes do not come in, if they do not.
    pub fn journal_full(&self) -> Option<String> {
        self.full.then(|| self.full_text())
    }
}
