//! The field's export packages, read and written, and keys to fill them with.
//!
//! A package is a ZIP of `export.bin` (header, then a protobuf message) and, when signed, `export.sig`. It is
//! how apps and backends exchanged temporary exposure keys before tekd, so tekd reads it (`import`), writes it
//! (legacy downloads) and makes it up (`generate`, `demo`, tests). Everything here is a pure function of its
//! bytes and numbers: no file, no clock, no randomness. What a set accepts (periods, horizon, duplicates) is
//! not decided here: a reader of packages reports what they say.

mod key;
mod shift;
mod epidemic;

pub use epidemic::{
    Epidemic, EpidemicError, GeneratedReport, MAX_KEYS_PER_REPORT, ONSET_RANGE, Reports, START_DAYS,
};
pub use key::{DEFAULT_ROLLING_PERIOD, ExportedKey, INTERVALS_PER_DAY};
pub use shift::{ShiftError, rebase, rebase_days, shift};
