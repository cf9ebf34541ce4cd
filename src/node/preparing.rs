//! The preparer's thread: does ahead what the journal would else do while a receipt waits.

use std::sync::mpsc::Receiver;

use crate::store::journal::Ahead;

/// Carries out each piece of work until nobody is left to order one. Of a disk that fails the journal knows
/// too, and stops; what found no space the journal makes itself, once it has to.
pub(crate) fn run(orders: &Receiver<Ahead>) {
    for work in orders {
        if let Err(e) = work() {
            tracing::error!("nothing was made ahead for the journal: {e}");
        }
    }
}
