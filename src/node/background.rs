//! Threads whose work can wait: they take what the others leave of the processor.

/// How far such a thread stands back (`nice`, 0 to 19): a tenth of what another one gets where both want it.
const STANDS_BACK: i32 = 10;

/// Lets the calling thread, and those it will start, stand back behind who answers and who confirms.
pub(super) fn stand_back() {
    // Elsewhere it would be the whole process.
    #[cfg(target_os = "linux")]
    if let Err(e) = rustix::process::nice(STANDS_BACK) {
        tracing::debug!("a thread in the background has the priority of all others: {e}");
    }
}
