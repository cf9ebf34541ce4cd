//! The preparer's thread: does ahead what the journal would else do while a receipt waits.

use std::sync::mpsc::Receiver;

use crate::store::journal::Ahead;

/// Carries out each piece of work until nobody is left to order one. Of a disk that fails the journal knows
/// too, and stops; of what found no space it makes do without.
pub(crate) fn run(orders: &Receiver<Ahead>) {
    for work in orders {
        if let Err(e) = work() {
            tracing::error!("nothing was made ahead for the journal: {e}");
        }
    }
}
