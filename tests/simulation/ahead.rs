//! What the origin's journal wants to be made ahead: ordered after a turn, carried out between later ones, in
//! time, too late, or never, on the disk that may fail under it.

use std::path::Path;

use tekd::node::journal_path;
use tekd::store::journal::Ahead;
use tekd::store::{Disk, Fault, OperationKind};

use super::network::Place;
use super::origin::DIR;
use super::world::{Event, World};

/// How long it takes until an order is carried out, at most.
const SOON_MS: usize = 5_000;
/// How long it takes when whoever is to do it hardly ever runs.
const LATE_MS: usize = 3_600_000;
/// Of so many orders one meets an error of the medium, and one a power cut.
const HURT: usize = 20;
/// What comes of orders: each is to be seen.
pub(crate) const ENDS: [&str; 6] =
    ["in vain", "made in time", "made late", "met a full disk", "met an I/O error", "met a power cut"];

/// An order that is out.
pub(crate) struct Order {
    work: Ahead,
    /// Segments that were there when it was given.
    segments: usize,
}

impl World {
    /// The writer orders what its journal wants, as it does after each turn.
    pub(crate) fn look_ahead(&mut self) {
        let (now_ms, segments) = (self.now_ms, self.segments());
        let start = self.origin.starts;
        let Some(process) = self.origin.running(now_ms) else { return };
        match process.single.origin().wants_ahead() {
            Ok(None) => {}
            // Nobody has room for the order: it is given again.
            Ok(Some(_)) if self.preparer.one_in(3) => self.counts.ended("segment ahead", "in vain"),
            Ok(Some(work)) => {
                process.ahead = Some(Order { work, segments });
                let within = if self.preparer.one_in(2) { LATE_MS } else { SOON_MS };
                let in_ms = self.preparer.below(within) as u64;
                self.later(in_ms, Event::Ahead { start });
            }
            Err(error) => self.failed(&error.to_string()),
        }
    }

    /// The order of a start is carried out unless its process is gone, also beside a journal that has
    /// stopped.
    pub(crate) fn make_ahead(&mut self, start: u64) {
        if self.origin.starts != start {
            return;
        }
        let Some(order) = self.origin.process.as_mut().and_then(|process| process.ahead.take()) else {
            return;
        };
        self.hurt_work();
        let (before, is_late) = (self.origin.medium.met(), self.segments() > order.segments);
        let made = (order.work)();
        let met = self.origin.medium.met();
        let how = match made {
            Ok(()) if is_late => "made late",
            Ok(()) => "made in time",
            Err(_) if met.cut => "met a power cut",
            Err(_) if met.full > before.full => "met a full disk",
            Err(_) => "met an I/O error",
        };
        self.counts.ended("segment ahead", how);
        self.tell(format!("a segment ahead: {how}"));
        self.note_medium(Place::Origin);
    }

    /// Something goes wrong while an order is carried out, or right after it.
    fn hurt_work(&mut self) {
        if self.calm {
            return;
        }
        match self.preparer.below(HURT) {
            0 => {
                let kind =
                    self.preparer.pick(&[OperationKind::Create, OperationKind::Write, OperationKind::Sync]);
                self.origin.disk.fail(kind, 1, Fault::Eio);
            }
            1 => {
                let operations = self.preparer.below(4) as u64;
                self.power_goes_after(operations);
            }
            _ => {}
        }
    }

    fn segments(&self) -> usize {
        let names = self.origin.disk.list(&journal_path(Path::new(DIR))).unwrap_or_default();
        names.iter().filter(|name| name.extension().is_some_and(|end| end == "journal")).count()
    }
}
