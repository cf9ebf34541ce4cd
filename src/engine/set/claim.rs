//! A report's claim on a key.
//!
//! Nearly every claim was made by its report and left alone since. Such a claim is kept small; what another
//! one has beside that lies elsewhere.

use crate::release::Fields;
use crate::wire::report::ReportType;

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The report, by the sequence number of its event.
    pub(crate) report: u64,
    /// When the event that brought it was recorded, Unix seconds.
    pub(crate) received: u64,
    pub(crate) embargo_end: u64,
    /// Nothing as long as it is as its report made it.
    course: Option<Box<Course>>,
    pub(crate) fields: Fields,
    pub(crate) decoy: bool,
}

/// Where a claim came from and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Course {
    /// Sequence number of the event that brought it: the report's or an amendment's.
    pub(crate) seq: u64,
    /// Sequence number of the event that brought the grant it stands on.
    pub(crate) under: u64,
    /// Since when it has been as it is: made, revised or reinstated.
    pub(crate) since: u64,
    /// Operators' events that took it back and were not undone, the oldest first.
    pub(crate) taken_back: Vec<u64>,
    /// Its author took it back.
    pub(crate) cancelled: bool,
}

impl Claim {
    /// A claim as its report makes it at `received`.
    pub(crate) fn new(report: u64, received: u64, fields: Fields, embargo_end: u64, decoy: bool) -> Self {
        Claim { report, received, embargo_end, course: None, fields, decoy }
    }

    /// Its course.
    pub(crate) fn course(&self) -> Course {
        self.course.as_deref().cloned().unwrap_or_else(|| self.plain())
    }

    /// Gives it a course.
    pub(crate) fn set_course(&mut self, course: Course) {
        self.course = (course != self.plain()).then(|| Box::new(course));
    }

    /// Changes its course.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Course)) {
        let mut course = self.course();
        change(&mut course);
        self.set_course(course);
    }

    /// The course of a claim as its report made it.
    fn plain(&self) -> Course {
        let Claim { report, received, .. } = *self;
        Course { seq: report, under: report, since: received, taken_back: Vec::new(), cancelled: false }
    }

    pub(crate) fn since(&self) -> u64 {
        self.course.as_ref().map_or(self.received, |course| course.since)
    }

    pub(crate) fn taken_back(&self) -> &[u64] {
        self.course.as_ref().map(|course| &course.taken_back[..]).unwrap_or_default()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.course.as_ref().is_some_and(|course| course.cancelled)
    }

    /// Whether nobody took it back.
    pub(crate) fn is_there(&self) -> bool {
        self.taken_back().is_empty() && !self.is_cancelled()
    }

    /// Whether it counts for its key.
    pub(crate) fn stands(&self) -> bool {
        self.is_there() && self.fields.report != ReportType::Negative.number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_is_as_it_was_made_is_small() {
        assert!(size_of::<Claim>() <= 48, "{}", size_of::<Claim>());
        let fields = Fields { start: 0, period: 144, report: 1, risk: 0, onset: 0 };
        let mut claim = Claim::new(7, 1000, fields, 2000, false);
        assert!(claim.course.is_none() && claim.stands() && claim.since() == 1000);
        claim.change(|course| course.taken_back.push(9));
        assert!(claim.course.is_some() && !claim.is_there() && claim.taken_back() == [9]);
        claim.change(|course| course.taken_back.clear());
        assert!(claim.course.is_none() && claim.stands());
    }
}
