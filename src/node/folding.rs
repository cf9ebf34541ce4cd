//! The folder's thread: makes snapshots beside the writer, one at a time, and what the writer knows of it.
//!
//! A snapshot of a large set takes longer than a receipt may; so it is folded from the files, and the
//! writer only names it. One that fails is tried again after a pause; health says it meanwhile.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use super::building::Troubles;
use super::directory::OriginOptions;
use super::snapshots::fold_on;
use crate::engine::{Based, Ticket};
use crate::store::Identity;

/// How long a snapshot that failed is not tried again, in milliseconds, unless somebody asks for one.
const PAUSE_MS: u64 = 60_000;

/// A snapshot that was made and the group of an older one that is whole, if one was found; or why none was
/// made.
pub(crate) type Folded = Result<(Based, Option<u64>), String>;

/// Makes a snapshot for each order until nobody is left to order one.
pub(crate) fn run(
    orders: &Receiver<()>,
    options: &OriginOptions,
    identity: &Identity,
    tell: impl Fn(Folded),
) {
    while orders.recv().is_ok() {
        tell(fold_on(options, identity).map_err(|e| e.to_string()));
    }
}

/// What the writer knows of the folder.
pub(crate) struct Folding {
    orders: SyncSender<()>,
    troubles: Arc<Troubles>,
    under_way: bool,
    /// Who asked for the snapshot that is being made.
    asked: Vec<Ticket>,
    /// Who asked since it was begun. bounded: by those who may wait for the writer.
    wanted: Vec<Ticket>,
    /// The monotonic time before which none is ordered because it is due.
    not_before_ms: u64,
}

impl Folding {
    /// `orders` has room for one.
    pub(crate) fn new(orders: SyncSender<()>, troubles: Arc<Troubles>) -> Self {
        let (asked, wanted) = (Vec::new(), Vec::new());
        Folding { orders, troubles, under_way: false, asked, wanted, not_before_ms: 0 }
    }

    /// Somebody wants a snapshot of what is decided by now.
    pub(crate) fn want(&mut self, ticket: Ticket) {
        self.wanted.push(ticket);
    }

    /// Whether a snapshot is to be ordered now.
    pub(crate) fn is_wanted(&self, due: bool, now_ms: u64) -> bool {
        !self.under_way && (!self.wanted.is_empty() || due && now_ms >= self.not_before_ms)
    }

    /// Orders one; what the journal's head file names then is in it.
    pub(crate) fn order(&mut self) {
        self.asked.append(&mut self.wanted);
        // A folder that is gone has panicked, and the latch says so.
        self.under_way = self.orders.try_send(()).is_ok();
    }

    /// Whether the folder is at work.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// The folder is done: returns who asked for it.
    pub(crate) fn done(&mut self, folded: &Folded, now_ms: u64) -> Vec<Ticket> {
        self.under_way = false;
        match folded {
            Ok((base, _)) => {
                self.troubles.snapshot(None);
                tracing::info!("snapshot at event {} made", base.seq);
            }
            Err(e) => {
                self.not_before_ms = now_ms.saturating_add(PAUSE_MS);
                let trouble = format!(
                    "no snapshot can be made: {e}; the one before stays, nothing of the journal is dropped, and it is \
                     tried again"
                );
                tracing::error!("{trouble}");
                self.troubles.snapshot(Some(trouble));
            }
        }
        std::mem::take(&mut self.asked)
    }
}
