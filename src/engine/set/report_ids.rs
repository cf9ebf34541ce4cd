//! Reports by the id their authors call them by: found out when the first is asked for, kept from then on.
//!
//! Nobody asks a rebuild, so it spends nothing on them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::ReportRecord;

/// Sequence numbers by report id, decoys and imports among them; nothing until they are asked for. A tree,
/// though ids are looked up only: a hash table would make one report wait until all are put elsewhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReportIds(OnceLock<BTreeMap<[u8; 16], u64>>);

impl ReportIds {
    /// The sequence numbers of these reports, which are all there are, by their ids.
    pub(super) fn of(&self, reports: &BTreeMap<u64, ReportRecord>) -> &BTreeMap<[u8; 16], u64> {
        self.0.get_or_init(|| reports.iter().map(|(seq, record)| (record.report, *seq)).collect())
    }

    pub(super) fn insert(&mut self, report: [u8; 16], seq: u64) {
        if let Some(known) = self.0.get_mut() {
            known.insert(report, seq);
        }
    }

    pub(super) fn remove(&mut self, report: &[u8; 16]) {
        if let Some(known) = self.0.get_mut() {
            known.remove(report);
        }
    }
}
