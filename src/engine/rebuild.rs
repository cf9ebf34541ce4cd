//! Everything again from event one: the state, every table, every checkpoint, compared with what was signed.
//!
//! Replay never judges, draws or signs. It carries out the decisions, recomputes each root and stops at the
//! first that differs.

use std::collections::BTreeMap;

use super::checkpoint::checkpoint_of;
use super::event::{Event, Published};
use super::set::{FoldError, ReleaseOutcome};
use super::state::{Applied, State};
use super::table::{BuiltTable, Place, TableContext, next_table, table_of};
use crate::store::generation::GenerationError;
use crate::store::journal::Record;

/// Why a journal cannot be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// An event does not follow from those before it.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// A table could not be made.
    #[error(transparent)]
    Table(#[from] GenerationError),
    /// A recomputed checkpoint is not the one that was signed.
    #[error(
        "release {serial} of set {set}: recomputing {what} gives another result than was signed; \
         this journal is not the one that made the release"
    )]
    Differs {
        /// The set.
        set: u32,
        /// The release.
        serial: u32,
        /// What differs.
        what: &'static str,
    },
    /// A release was published that was never decided.
    #[error("release {serial} of set {set} was published without a table")]
    NoTable {
        /// The set.
        set: u32,
        /// The release.
        serial: u32,
    },
}

fn decode(record: &Record) -> Result<Event, FoldError> {
    Event::decode(record.kind, record.version, &record.payload)
        .map_err(|error| FoldError::Unreadable { seq: record.seq, error })
}

/// Applies one record of the journal to `state`.
///
/// # Errors
/// [`FoldError`] for a record that cannot be read or cannot follow.
pub fn replay(state: &mut State, record: &Record) -> Result<Applied, FoldError> {
    state.apply(record.seq, record.time_s, &decode(record)?)
}

/// A rebuild in progress.
#[derive(Debug, Default)]
pub struct Rebuild {
    state: State,
    tables: BTreeMap<u32, BuiltTable>,
}

impl Rebuild {
    /// Before event one.
    pub fn new() -> Self {
        Rebuild::default()
    }

    /// From a state that has events already, with the newest table of each set made from it.
    ///
    /// # Errors
    /// [`RebuildError`] if a table cannot be made, or is not the one that was signed.
    pub fn from_state(state: State) -> Result<Self, RebuildError> {
        let mut tables = BTreeMap::new();
        for (id, set) in state.sets().filter(|(_, set)| set.serial() > 0) {
            tables.insert(id, table_of(&state, set, Place::Memory)?);
        }
        Ok(Rebuild { state, tables })
    }

    /// The next record.
    ///
    /// # Errors
    /// [`RebuildError`] at the first event or checkpoint that disagrees.
    pub fn push(&mut self, record: &Record) -> Result<(), RebuildError> {
        let event = decode(record)?;
        if let Event::Published(published) = &event {
            self.verify(published)?;
        }
        match self.state.apply(record.seq, record.time_s, &event)? {
            Applied::Released(outcome) => self.released(&outcome),
            Applied::Quiet | Applied::Published { .. } => Ok(()),
        }
    }

    /// The state and the newest table of each set.
    pub fn finish(self) -> (State, BTreeMap<u32, BuiltTable>) {
        (self.state, self.tables)
    }

    fn released(&mut self, outcome: &ReleaseOutcome) -> Result<(), RebuildError> {
        let Some(set) = self.state.set(outcome.set) else { return Ok(()) };
        let context = TableContext {
            service: self.state.service(),
            version: self.state.version(outcome.serial),
            schema: set.params().schema,
        };
        let table = next_table(&context, self.tables.get(&outcome.set), outcome, Place::Memory)?;
        self.tables.insert(outcome.set, table);
        Ok(())
    }

    fn verify(&self, p: &Published) -> Result<(), RebuildError> {
        let (set, serial) = (p.set, p.serial);
        let table = self.tables.get(&set).ok_or(RebuildError::NoTable { set, serial })?;
        let differs = |what| Err(RebuildError::Differs { set, serial, what });
        if table.built.root != p.root {
            return differs("the root");
        }
        if table.built.history_digest != p.history_digest {
            return differs("the history digest");
        }
        let Some(state) = self.state.set(set) else { return differs("the set") };
        if checkpoint_of(&self.state, state, &table.built).as_bytes() != p.checkpoint {
            return differs("the checkpoint");
        }
        Ok(())
    }
}
