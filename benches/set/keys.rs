//! Keys as patients report them, in any number: equal numbers give equal keys on every machine.

use tekd::gaen::{Epidemic, INTERVALS_PER_DAY};
use tekd::release::{Fields, ONSET_NONE, Schema};
use tekd::wire::Key;

pub(crate) const SCHEMA: Schema = Schema::GaenMinimal;
const NEWEST_DAY: u32 = 20_700 * INTERVALS_PER_DAY;
/// When the first release of a set comes.
pub(crate) const TIME: u64 = (NEWEST_DAY as u64 + 150) * 600;

/// Keys with their public fields.
pub(crate) type Entries = Vec<(Key, Fields)>;

/// The entries of a set, report by report.
pub(crate) fn entries_as_reported(keys: usize) -> Entries {
    let mut entries = Entries::with_capacity(keys);
    let reports = Epidemic::new(1).reports(keys as u64, NEWEST_DAY).expect("the newest day is a midnight");
    let entry = |exported: tekd::gaen::ExportedKey| {
        let fields = Fields {
            start: exported.start,
            period: u16::try_from(exported.period).expect("at most 144"),
            report: exported.report_type,
            risk: exported.risk,
            onset: exported.onset.unwrap_or(ONSET_NONE),
        };
        (Key::from_slice(&exported.key).expect("16 bytes"), SCHEMA.coarsen(fields))
    };
    entries.extend(reports.flat_map(|report| report.keys).map(entry));
    entries
}
