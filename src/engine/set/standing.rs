//! Where a report stands: what its author and operators may ask.

use super::{ReportRecord, SetState};
use crate::store::Pages;
use crate::wire::Key;
use crate::wire::report::ReportState;

/// Where a report stands (spec 7.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportStanding {
    /// In a word.
    pub state: ReportState,
    /// Serial of the newest release that brought a key of it, 0 for none.
    pub serial: u32,
    /// Keys it has that have not expired.
    pub keys: u16,
    /// Of these, live.
    pub live: u16,
    /// Of these, under embargo.
    pub embargo: u16,
    /// Of these, waiting for a release or for company.
    pub waiting: u16,
    /// Of these, taken back.
    pub taken_back: u16,
}

impl SetState {
    /// Reports by the sequence number of their event, decoys among them.
    pub fn reports(&self) -> impl Iterator<Item = (u64, &ReportRecord)> {
        self.reports.iter().map(|(seq, record)| (*seq, record))
    }

    /// The report of that id: the sequence number of its event and what is known of it. Decoys are none.
    pub fn report(&self, id: &[u8; 16]) -> Option<(u64, &ReportRecord)> {
        let seq = self.seq_of(id).filter(|seq| !self.decoys.contains(seq))?;
        Some((seq, self.reports.get(&seq)?))
    }

    /// The sequence number of the report of that id, decoys and imports among them.
    pub(crate) fn seq_of(&self, id: &[u8; 16]) -> Option<u64> {
        self.by_id.of(&self.reports).get(id).copied()
    }

    /// From here on reports come one at a time, and none should wait for more than itself: the ids of all
    /// reports are found out now, and memory is taken in small pages.
    pub(crate) fn opens(&mut self) {
        self.by_id.of(&self.reports);
        self.keys.grow_in(Pages::Small);
    }

    /// The unexpired keys of a report with their rolling starts, those that were taken back among them.
    pub fn keys_of(&self, report: u64) -> impl Iterator<Item = (Key, u32)> {
        let keys = self.reports.get(&report).map(|record| &record.keys[..]).unwrap_or_default();
        keys.iter().filter_map(move |at| {
            let claim = self.keys[*at].claims.iter().find(|claim| claim.report == report)?;
            Some((*self.keys.key(*at), claim.fields.start))
        })
    }

    /// Where a report stands at `now`.
    pub fn standing(&self, report: u64, now: u64) -> Option<ReportStanding> {
        let record = self.reports.get(&report)?;
        let state = match record {
            ReportRecord { withdrawn: true, .. } => ReportState::Withdrawn,
            ReportRecord { released: 0, .. } => ReportState::Accepted,
            ReportRecord { .. } => ReportState::Released,
        };
        let (serial, keys) = (record.released, small(record.keys.len()));
        let mut standing =
            ReportStanding { state, serial, keys, live: 0, embargo: 0, waiting: 0, taken_back: 0 };
        for at in &record.keys {
            let known = &self.keys[*at];
            standing.live += u16::from(known.live().is_some());
            let claim = known.claims.iter().find(|claim| claim.report == report);
            if claim.is_some_and(|claim| !claim.stands()) {
                standing.taken_back += 1;
            } else if let Some(pending) = self.keys.waits_for(*at) {
                if pending.embargo_end > now {
                    standing.embargo += 1;
                } else {
                    standing.waiting += 1;
                }
            }
        }
        Some(standing)
    }
}

/// A report has few keys.
fn small(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}
