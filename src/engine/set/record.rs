//! A report as the origin remembers it, and the grants it stands on.
//!
//! A report is made on one grant. Another may change its type later; until that change is taken back the
//! report says what the newest says. What its author adds in between stands on the grant of that time.

use super::super::event::Authored;
use super::super::told::Told;
use super::Handle;
use crate::authority::Warrant;
use crate::wire::report::{ReportType, RequestKind};

/// A change of a report's type, on a grant of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it stands on.
    pub warrant: Warrant,
    /// What the report says by it.
    pub report_type: ReportType,
    /// Operators' events that took it back and were not undone, the oldest first.
    pub taken_back: Vec<u64>,
}

/// A later request of a report's author that changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// Sequence number of its event.
    pub seq: u64,
    /// When it came, Unix seconds.
    pub time: u64,
    /// AMEND or CANCEL.
    pub kind: RequestKind,
    /// What its author was told.
    pub told: Told,
}

/// One report as the origin remembers it (spec 7.3.8); a decoy, until its keys expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRecord {
    /// 16 random bytes, by which its author calls it.
    pub report: [u8; 16],
    /// What it was made on.
    pub warrant: Warrant,
    /// Its unexpired keys, taken back or not.
    pub(crate) keys: Vec<Handle>,
    /// The phone's part, as it was first; none in an import or a decoy.
    pub authored: Option<Box<Authored>>,
    /// Later requests of its author that changed something.
    pub later: Vec<Later>,
    /// Later changes of its type, the oldest first.
    pub changes: Vec<Change>,
    /// Serial of the newest release that brought a key of it, 0 for none.
    pub released: u32,
    /// Whether its last claim was taken back.
    pub withdrawn: bool,
}

impl ReportRecord {
    /// The newest change that was not taken back.
    fn newest(&self) -> Option<&Change> {
        self.changes.iter().rev().find(|change| change.taken_back.is_empty())
    }

    /// What it would say without these changes.
    pub(super) fn report_type_without(&self, changes: &[u64]) -> Option<ReportType> {
        let mut rest = self.changes.iter().rev().filter(|change| !changes.contains(&change.warrant.seq));
        let newest = rest.find(|change| change.taken_back.is_empty());
        let first = self.authored.as_ref().map(|authored| authored.report_type);
        newest.map(|change| change.report_type).or(first)
    }

    /// What it stands on now.
    #[must_use]
    pub fn stands_on(&self) -> &Warrant {
        self.newest().map_or(&self.warrant, |change| &change.warrant)
    }

    /// What it says now; nothing without a phone.
    #[must_use]
    pub fn report_type(&self) -> Option<ReportType> {
        self.report_type_without(&[])
    }

    /// Everything it ever stood on.
    pub fn warrants(&self) -> impl Iterator<Item = &Warrant> {
        std::iter::once(&self.warrant).chain(self.changes.iter().map(|change| &change.warrant))
    }

    /// Everything its author was told.
    pub(crate) fn told(&self) -> impl Iterator<Item = &Told> {
        let first = self.authored.iter().map(|authored| &authored.told);
        first.chain(self.later.iter().map(|later| &later.told))
    }

    /// The grant that event brought.
    pub(crate) fn brought_by(&self, seq: u64) -> &Warrant {
        self.warrants().find(|warrant| warrant.seq == seq).unwrap_or(&self.warrant)
    }
}
