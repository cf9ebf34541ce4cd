//! A set of any size for the benchmarks.

use tekd::engine::{BuiltTable, Changes, Place, ReleaseOutcome, TableContext, build_from};
use tekd::release::tree::depth;
use tekd::release::{Fields, LIVE};
use tekd::time::horizon;
use tekd::wire::Key;

use crate::keys::{Entries, SCHEMA, TIME, entries_as_reported};

pub(crate) const SERVICE: [u8; 8] = *b"benching";
pub(crate) const SET: u32 = 1;
const RETENTION_DAYS: u16 = 14;

/// The entries of a set, in key order.
pub(crate) fn entries(keys: usize) -> Entries {
    let mut entries = entries_as_reported(keys);
    entries.sort_unstable();
    entries
}

/// The history entries of keys that the first release published.
pub(crate) fn history(entries: &[(Key, Fields)]) -> Vec<u8> {
    let mut history = Vec::with_capacity(entries.len() * SCHEMA.entry_len());
    for (key, fields) in entries {
        SCHEMA.history_entry(key.as_bytes(), fields, 1, LIVE, &mut history);
    }
    history
}

/// The first release of `entries`, in memory.
pub(crate) fn table(entries: Entries) -> BuiltTable {
    let (context, outcome) = outcome(1, entries.len(), Vec::new());
    let history = history(&entries);
    drop(entries);
    build_from(&context, &history, &outcome, Place::Memory).expect("a sorted history")
}

/// The release `serial`, after which `live` keys are live and which adds `adds`.
pub(crate) fn outcome(serial: u32, live: usize, adds: Entries) -> (TableContext, ReleaseOutcome) {
    let live = live as u64;
    let outcome = ReleaseOutcome {
        set: SET,
        serial,
        time: TIME + 900 * u64::from(serial),
        horizon: horizon(TIME, RETENTION_DAYS),
        live,
        bits: depth(live),
        changes: Changes::default(),
        adds,
        dels: Vec::new(),
        dropped: false,
    };
    (TableContext { service: SERVICE, version: version(serial), schema: SCHEMA }, outcome)
}

/// The version of a release.
pub(crate) fn version(serial: u32) -> u64 {
    1 << 32 | u64::from(serial)
}
