//! A rebuild on two threads: one reads the journal and checks it, the other carries out what it says.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::engine::{Event, FoldError, Rebuild, RebuildError, Rebuilt, read_event};
use crate::store::Disk;
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

/// The events of one group.
struct Batch {
    gno: u64,
    events: Vec<(u64, u64, Event)>,
}

/// Carries out the journal in `dir` after `rebuild`, which stands at an event the journal still follows.
/// `progress` hears groups done and groups in all.
///
/// # Errors
/// [`RebuildingError`] at the first group, event or table that is wrong.
pub fn rebuild_journal(
    disk: Arc<dyn Disk>,
    dir: &Path,
    mut rebuild: Rebuild,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<RebuiltJournal, RebuildingError> {
    let mut reader = JournalReader::from_seq(disk, dir, rebuild.seq() + 1)?;
    let (base, until) = (reader.head(), reader.until());
    let (send, receive) = sync_channel(GROUPS_AHEAD);
    let head = std::thread::scope(|threads| {
        let reading = threads.spawn(|| {
            read_ahead(&mut reader, &send);
            drop(send);
            reader.head()
        });
        for batch in receive {
            let Batch { gno, events } = batch?;
            for (seq, time, event) in &events {
                let at = |error| RebuildingError::Event { seq: *seq, error };
                rebuild.push_event(*seq, *time, event).map_err(at)?;
            }
            progress(gno - base.gno, until - base.gno);
        }
        Ok::<_, RebuildingError>(reading.join().expect("reading a journal does not panic"))
    })?;
    let rebuilt = rebuild.finish().map_err(RebuildingError::Table)?;
    Ok(RebuiltJournal { rebuilt, base, head })
}

/// Reads groups until the journal ends, something is wrong or nobody listens any more.
fn read_ahead(reader: &mut JournalReader, send: &SyncSender<Result<Batch, RebuildingError>>) {
    for group in reader {
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
