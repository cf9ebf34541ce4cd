//! An audit on all cores: one thread reads the journal, the others verify what it holds signed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam::channel::{Receiver, bounded};

use crate::engine::{Audit, AuditError, Signed, SignedKind, Unverifiable};
use crate::store::Disk;
use crate::store::journal::{JournalError, JournalReader};

/// Batches of signatures that wait for a core, for each core.
const BATCHES_WAITING: usize = 4;

/// Why a journal does not pass.
#[derive(Debug, thiserror::Error)]
pub enum AuditingError {
    /// It cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Something it holds signed does not hold.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// What was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Events read.
    pub events: u64,
    /// What was verified, by its kind.
    pub kinds: BTreeMap<SignedKind, u64>,
    /// What the journal does not hold so that it could be verified.
    pub unverifiable: Unverifiable,
}

/// Verifies everything signed in the journal in `dir` on `cores` cores, going on from `audit`. `progress`
/// hears groups read and groups in all.
///
/// # Errors
/// [`AuditingError`]: of what fails, the first in the journal.
pub fn audit_journal(
    disk: Arc<dyn Disk>,
    dir: &Path,
    mut audit: Audit,
    cores: usize,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Audited, AuditingError> {
    let after = audit.after();
    let mut reader = JournalReader::from_seq(disk, dir, after + 1)?;
    let (base, until) = (reader.head(), reader.until());
    let first_failure = Mutex::new(None);
    let (send, receive) = bounded::<Vec<Signed>>(BATCHES_WAITING * cores);
    let mut kinds: BTreeMap<SignedKind, u64> = BTreeMap::new();
    let read = std::thread::scope(|threads| {
        for _ in 0..cores.max(1) {
            let (receive, first_failure) = (receive.clone(), &first_failure);
            threads.spawn(move || verify_all(&receive, first_failure));
        }
        // What is sent is in the order of the journal: all before the first failure is verified.
        let send = send;
        for group in &mut reader {
            let group = group?;
            let mut batch = Vec::new();
            for record in &group.records {
                batch.extend(audit.push(record)?);
            }
            batch.iter().for_each(|signed| *kinds.entry(signed.kind()).or_default() += 1);
            if failure(&first_failure).is_some() || send.send(batch).is_err() {
                break;
            }
            progress(group.head.gno - base.gno, until - base.gno);
        }
        Ok::<_, AuditingError>(())
    });
    if let Some(error) = first_failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error.into());
    }
    read?;
    kinds.insert(SignedKind::Delegation, audit.delegations());
    Ok(Audited { events: reader.head().seq - after, kinds, unverifiable: audit.unverifiable() })
}

fn verify_all(batches: &Receiver<Vec<Signed>>, first_failure: &Mutex<Option<AuditError>>) {
    for batch in batches {
        let Some(error) = batch.iter().find_map(|signed| signed.verify().err()) else { continue };
        let mut first = failure(first_failure);
        if first.as_ref().is_none_or(|first| error.seq() < first.seq()) {
            *first = Some(error);
        }
    }
}

fn failure(of: &Mutex<Option<AuditError>>) -> std::sync::MutexGuard<'_, Option<AuditError>> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
