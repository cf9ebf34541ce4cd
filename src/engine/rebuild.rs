//! Everything again from event one: the state, every table, every checkpoint, compared with what was signed.
//!
//! Replay never judges, draws or signs. It carries out the decisions, recomputes each root and stops at the
//! first that differs.

use std::collections::BTreeMap;

use super::checkpoint::checkpoint_of;
use super::event::{Event, Published};
use super::set::{FoldError, ReleaseOutcome};
use super::state::{Applied, State};
use super::table::{BuiltTable, Place, TableContext, build, build_from};
use crate::store::{GenerationError, Record};

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
        let table = next_table(&self.state, self.tables.get(&outcome.set), outcome, Place::Memory)?;
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

/// The table after `outcome`: the one before if nothing changed, else a new one.
///
/// # Errors
/// Those of the disk.
pub fn next_table(
    state: &State,
    before: Option<&BuiltTable>,
    outcome: &ReleaseOutcome,
    place: Place<'_>,
) -> Result<BuiltTable, GenerationError> {
    let Some(set) = state.set(outcome.set) else {
        unreachable!("a release's outcome comes from a set of this state")
    };
    let context = TableContext {
        service: state.service(),
        version: state.version(outcome.serial),
        schema: set.params().schema,
    };
    match before {
        // A schema changes only while the set is empty: the table before may be of another width.
        Some(table) if table.generation.meta().schema == context.schema.number() => {
            if outcome.is_empty() {
                let built = super::input::BuiltRelease { serial: outcome.serial, ..table.built };
                return Ok(BuiltTable { generation: table.generation.clone(), built });
            }
            build(&context, table.generation.entry_bytes(), outcome, place)
        }
        _ => build_from(&context, &set.history(), outcome, place),
    }
}
