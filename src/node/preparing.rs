//! The preparer's thread: does ahead what the journal would else do while a receipt waits.

use std::sync::mpsc::Receiver;

use crate::store::journal::Ahead;

/// Carries out each piece of work until nobody is left to order one. What fails is done by the journal itself
/// once it has to be, and is an error then.
pub(crate) fn run(orders: &Receiver<Ahead>) {
    for work in orders {
        if let Err(e) = work() {
            tracing::warn!("the journal goes on as it is, and does this itself when it has to: {e}");
        }
    }
}
