//! Everything again from event one: the state, the tables, every checkpoint, compared with what was signed.
//!
//! Replay never judges, draws or signs. It carries out the decisions and stops at the first that does not
//! follow or gives something else than was signed.

use std::collections::BTreeMap;

use super::checkpoint::checkpoint_of;
use super::crew::{Alone, Crew};
use super::event::{Event, Published};
use super::input::BuiltRelease;
use super::set::{FoldError, ReleaseOutcome, SetState};
use super::state::{Applied, State};
use super::table::{BuiltTable, Mend, Place, TableContext, next_table};
use crate::release::Checkpoint;
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

/// The event of a record.
///
/// # Errors
/// [`FoldError`] for a record that cannot be read.
pub fn read_event(record: &Record) -> Result<Event, FoldError> {
    Event::decode(record.kind, record.version, &record.payload)
        .map_err(|error| FoldError::Unreadable { seq: record.seq, error })
}

/// Applies one record of the journal to `state`.
///
/// # Errors
/// [`FoldError`] for a record that cannot be read or cannot follow.
pub fn replay(state: &mut State, record: &Record) -> Result<Applied, FoldError> {
    state.apply(record.seq, record.time_s, &read_event(record)?)
}

/// Of which releases a rebuild makes the table again, to compare root and history digest. All else that a
/// checkpoint says is compared at every release, whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recompute {
    /// The newest of each set.
    Newest,
    /// All.
    #[default]
    EverySerial,
}

/// What is done beside the making of a table.
pub type Beside<'b> = &'b mut dyn FnMut(&Mend, &mut dyn FnMut());

/// A rebuild in progress.
#[derive(Debug, Default)]
pub struct Rebuild {
    state: State,
    recompute: Recompute,
    tables: BTreeMap<u32, BuiltTable>,
    checkpoints: u64,
}

/// What a rebuild made.
#[derive(Debug)]
pub struct Rebuilt {
    /// The state after the last event.
    pub state: State,
    /// The newest table of each set.
    pub tables: BTreeMap<u32, BuiltTable>,
    /// Checkpoints that were compared.
    pub checkpoints: u64,
}

impl Rebuilt {
    /// Whether the newest table of a set is that of a published release, and so was compared with what was
    /// signed. A release that is decided and not published yet has nothing to compare it with.
    #[must_use]
    pub fn is_compared(&self, set: u32) -> bool {
        self.state.set(set).is_some_and(|s| !s.in_flight())
    }
}

impl Rebuild {
    /// Before event one; makes every table again.
    #[must_use]
    pub fn new() -> Self {
        Rebuild::default()
    }

    /// Before event one.
    #[must_use]
    pub fn of(recompute: Recompute) -> Self {
        Rebuild { recompute, ..Rebuild::default() }
    }

    /// Goes on from `state`, whose tables it makes first if it makes every one that follows.
    ///
    /// # Errors
    /// [`RebuildError`] if the newest table of a set is not the one that was signed.
    pub fn from_state(state: State, recompute: Recompute) -> Result<Self, RebuildError> {
        let tables = match recompute {
            Recompute::Newest => BTreeMap::new(),
            Recompute::EverySerial => present_tables(&state, &Alone, &mut |_, make| make())?,
        };
        Ok(Rebuild { state, recompute, tables, checkpoints: 0 })
    }

    /// Sequence number of the newest event it carried out, 0 for none.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.state.seq()
    }

    /// The next record.
    ///
    /// # Errors
    /// [`RebuildError`] at the first event or checkpoint that disagrees.
    pub fn push(&mut self, record: &Record) -> Result<(), RebuildError> {
        self.push_event(record.seq, record.time_s, &read_event(record)?)
    }

    /// The next event, of a record that was read elsewhere.
    ///
    /// # Errors
    /// As [`Rebuild::push`].
    pub fn push_event(&mut self, seq: u64, time: u64, event: &Event) -> Result<(), RebuildError> {
        if let Event::Published(published) = event {
            self.verify(published)?;
            self.checkpoints += 1;
        }
        let listed = self.recompute == Recompute::EverySerial;
        match self.state.fold(seq, time, event, listed)? {
            Applied::Released(outcome) if listed => self.released(&outcome),
            Applied::Released(_) | Applied::Quiet | Applied::Published { .. } => Ok(()),
        }
    }

    /// The state and the newest table of each set.
    ///
    /// # Errors
    /// [`RebuildError`] if the newest table of a set is not the one that was signed.
    pub fn finish(self) -> Result<Rebuilt, RebuildError> {
        self.finish_by(&Alone, &mut |_, make| make())
    }

    /// As [`Rebuild::finish`], by a crew. Where the newest tables are made here, `beside` is given what each
    /// is made of, and what makes it, which it has to call: other work can be done at the same time.
    ///
    /// # Errors
    /// As there.
    pub fn finish_by(self, crew: &dyn Crew, beside: Beside<'_>) -> Result<Rebuilt, RebuildError> {
        let Rebuild { state, recompute, tables, checkpoints } = self;
        let tables = match recompute {
            Recompute::Newest => present_tables(&state, crew, beside)?,
            Recompute::EverySerial => tables,
        };
        Ok(Rebuilt { state, tables, checkpoints })
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
        let differs = |what| Err(RebuildError::Differs { set, serial, what });
        let Some(state) = self.state.set(set) else { return differs("the set") };
        let built = match self.recompute {
            // What the state alone gives is compared here, root and digest once the newest table is made.
            Recompute::Newest => {
                let (count, root, history_digest) = (p.count, p.root, p.history_digest);
                BuiltRelease { set, serial, count, root, history_digest }
            }
            Recompute::EverySerial => {
                self.tables.get(&set).ok_or(RebuildError::NoTable { set, serial })?.built
            }
        };
        if built.root != p.root {
            return differs("the root");
        }
        if built.history_digest != p.history_digest {
            return differs("the history digest");
        }
        if checkpoint_of(&self.state, state, &built).as_bytes() != p.checkpoint {
            return differs("the checkpoint");
        }
        Ok(())
    }
}

/// The newest table of each set, made from the state alone and compared with the newest checkpoint, unless
/// that one is of the release before.
fn present_tables(
    state: &State,
    crew: &dyn Crew,
    beside: Beside<'_>,
) -> Result<BTreeMap<u32, BuiltTable>, RebuildError> {
    let mut tables = BTreeMap::new();
    for (id, set) in state.sets().filter(|(_, set)| set.serial() > 0) {
        let (mend, mut made) = (Mend::of(state, set, crew), None);
        beside(&mend, &mut || made = Some(mend.table(crew)));
        let table = made.expect("what makes the table was called")?;
        is_as_signed(set, &table.built)?;
        tables.insert(id, table);
    }
    Ok(tables)
}

/// Compares a table of the newest release with its checkpoint, if it has one.
///
/// # Errors
/// [`RebuildError::Differs`].
pub fn is_as_signed(s: &SetState, built: &BuiltRelease) -> Result<(), RebuildError> {
    let published = s.published_checkpoint().filter(|_| !s.in_flight());
    let Some(checkpoint) = published.and_then(|(c, _)| Checkpoint::parse(c).ok()) else { return Ok(()) };
    let differs = |what| Err(RebuildError::Differs { set: s.id(), serial: s.serial(), what });
    if checkpoint.root() != built.root {
        return differs("the root");
    }
    if checkpoint.history() != built.history_digest {
        return differs("the history digest");
    }
    Ok(())
}
