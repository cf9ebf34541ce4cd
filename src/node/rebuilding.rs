//! A rebuild on two threads: one reads the journal and checks it, the other carries out what it says. Then
//! all cores make the newest tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::crew::Threads;
use super::directory::set_path;
use crate::engine::{Event, FoldError, Rebuild, RebuildError, Rebuilt, read_event};
use crate::store::Disk;
use crate::store::generation::{EntriesAhead, GenerationError};
use crate::store::journal::{Group, Head, JournalError, JournalReader};

/// Groups that are read ahead of what is carried out.
const GROUPS_AHEAD: usize = 16;

/// Why a journal is not rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildingError {
    /// It cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An event does not follow, or gives something else than was signed.
    #[error("event {seq}: {error}")]
    Event {
        /// Its sequence number.
        seq: u64,
        /// What is wrong.
        error: RebuildError,
    },
    /// The newest table of a set cannot be made, or is not what was signed.
    #[error(transparent)]
    Table(RebuildError),
    /// The newest table of a set cannot be written.
    #[error("a rebuilt table cannot be written: {0}")]
    File(#[from] GenerationError),
}

/// What was rebuilt from which part of the journal.
#[derive(Debug)]
pub struct RebuiltJournal {
    /// State and tables.
    pub rebuilt: Rebuilt,
    /// The head it began at.
    pub base: Head,
    /// The head it ended at: the newest acknowledged when it began.
    pub head: Head,
}

/// Events with their sequence numbers and times.
type Events = Vec<(u64, u64, Event)>;

/// The events of one group.
struct Batch {
    gno: u64,
    events: Events,
}

/// Carries out the journal in `dir` after `rebuild`, which stands at an event the journal still follows.
/// `progress` hears groups done and groups in all.
///
/// # Errors
/// [`RebuildingError`] at the first group, event or table that is wrong.
pub fn rebuild_journal(
    disk: Arc<dyn Disk>,
    dir: &Path,
    rebuild: Rebuild,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<RebuiltJournal, RebuildingError> {
    let (rebuild, base, head) = carry_out(disk, dir, rebuild, progress)?;
    let made = rebuild.finish_by(&Threads::on_all_cores(), &mut |_, make| make());
    Ok(RebuiltJournal { rebuilt: made.map_err(RebuildingError::Table)?, base, head })
}

/// As [`rebuild_journal`], and writes the newest table of each set where the data directory `into` has it.
/// The entries of a table are written while the rest of it is made.
///
/// # Errors
/// As there; the disk.
pub fn rebuild_journal_into(
    disk: Arc<dyn Disk>,
    dir: &Path,
    rebuild: Rebuild,
    into: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<RebuiltJournal, RebuildingError> {
    let (rebuild, base, head) = carry_out(Arc::clone(&disk), dir, rebuild, progress)?;
    let mut ahead = BTreeMap::new();
    let write =
        |set, version, entries: &[u8]| EntriesAhead::write(&*disk, &set_path(into, set), version, entries);
    let made = rebuild.finish_by(&Threads::on_all_cores(), &mut |mend, make| {
        std::thread::scope(|threads| {
            let writing = threads.spawn(|| write(mend.set(), mend.version(), mend.entries()));
            make();
            ahead.insert(mend.set(), writing.join().expect("writing a file does not panic"));
        });
    });
    let rebuilt = made.map_err(RebuildingError::Table)?;
    for (set, table) in &rebuilt.tables {
        let generation = &table.generation;
        let written = ahead.remove(set);
        let written =
            written.unwrap_or_else(|| write(*set, generation.meta().version, generation.entry_bytes()));
        written?.complete(generation)?;
    }
    Ok(RebuiltJournal { rebuilt, base, head })
}

/// Carries out every event; the heads it began and ended at.
fn carry_out(
    disk: Arc<dyn Disk>,
    dir: &Path,
    mut rebuild: Rebuild,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Rebuild, Head, Head), RebuildingError> {
    let mut reader = JournalReader::from_seq(disk, dir, rebuild.seq() + 1)?;
    let (base, until) = (reader.head(), reader.until());
    let (send, receive) = sync_channel(GROUPS_AHEAD);
    // What was carried out goes back to where it was made: the other thread has time to take it apart.
    let (give_back, done) = sync_channel(GROUPS_AHEAD);
    let head = std::thread::scope(|threads| {
        let reading = threads.spawn(move || {
            read_ahead(&mut reader, &send, &done);
            reader.head()
        });
        for batch in receive {
            let Batch { gno, events } = batch?;
            for (seq, time, event) in &events {
                let at = |error| RebuildingError::Event { seq: *seq, error };
                rebuild.push_event(*seq, *time, event).map_err(at)?;
            }
            progress(gno - base.gno, until - base.gno);
            // Who takes nothing back leaves it to this thread.
            drop(give_back.try_send(events));
        }
        Ok::<_, RebuildingError>(reading.join().expect("reading a journal does not panic"))
    })?;
    Ok((rebuild, base, head))
}

/// Reads groups until the journal ends, something is wrong or nobody listens any more.
fn read_ahead(
    reader: &mut JournalReader,
    send: &SyncSender<Result<Batch, RebuildingError>>,
    done: &Receiver<Events>,
) {
    for group in reader {
        done.try_iter().for_each(drop);
        let batch = group.map_err(RebuildingError::from).and_then(|group| decode(&group));
        let failed = batch.is_err();
        if send.send(batch).is_err() || failed {
            return;
        }
    }
}

fn decode(group: &Group) -> Result<Batch, RebuildingError> {
    let mut events = Vec::with_capacity(group.records.len());
    for record in &group.records {
        let at = |error: FoldError| RebuildingError::Event { seq: record.seq, error: error.into() };
        events.push((record.seq, record.time_s, read_event(record).map_err(at)?));
    }
    Ok(Batch { gno: group.head.gno, events })
}
