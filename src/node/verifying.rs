//! A journal verified on all cores, a segment on each at a time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use crate::store::Disk;
use crate::store::journal::{JournalError, Verification, Verified};

/// Checks every byte of the journal in `dir` up to its acknowledged head, on `cores` cores. `progress` hears
/// groups done and groups in all.
///
/// # Errors
/// [`JournalError`]: of what is wrong, the first in the journal.
pub fn verify_journal(
    disk: Arc<dyn Disk>,
    dir: &Path,
    cores: usize,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, JournalError> {
    let verification = Verification::open(disk, dir)?;
    // Parts are taken in order, so that all before one that is wrong are verified.
    let next = AtomicUsize::new(0);
    let (send, receive) = channel();
    let mut verified = vec![None; verification.parts()];
    let mut wrong: Option<(usize, JournalError)> = None;
    std::thread::scope(|threads| {
        for _ in 0..cores.clamp(1, verified.len().max(1)) {
            let (send, next, verification) = (send.clone(), &next, &verification);
            threads.spawn(move || {
                loop {
                    let part = next.fetch_add(1, Ordering::Relaxed);
                    if part >= verification.parts() || send.send((part, verification.verify(part))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut done = 0;
        for (part, result) in &receive {
            match result {
                Ok((groups, head)) => {
                    done += groups;
                    verified[part] = Some(head);
                    progress(done, verification.groups());
                }
                Err(error) => {
                    next.store(verification.parts(), Ordering::Relaxed);
                    if wrong.as_ref().is_none_or(|(first, _)| part < *first) {
                        wrong = Some((part, error));
                    }
                }
            }
        }
    });
    match wrong {
        Some((_, error)) => Err(error),
        None => Ok(verification.verified(verified.last().copied().flatten())),
    }
}
