//! The field's export packages, read and written, and keys to fill them with.
//!
//! A package is a ZIP of `export.bin` (header, then a protobuf message) and, when signed, `export.sig`. It is
//! how apps and backends exchanged temporary exposure keys before tekd, so tekd reads it (`import`), writes
//! it (legacy downloads) and makes it up (`generate`, `demo`, tests). Everything here is a pure function of
//! its bytes and numbers: no file, no clock, no randomness. What a set accepts (periods, horizon, doubles) is
//! not decided here: a reader of packages reports what they say.

mod key;
mod container;
mod proto;
mod package;
mod signature;
mod write;
mod shift;
mod epidemic;
#[cfg(test)]
mod tests;

pub use container::{ContainerError, MAX_EXPORT_BYTES, MAX_MEMBERS, MAX_SIGNATURE_BYTES, MAX_ZIP_BYTES};
pub use epidemic::{
    Epidemic, EpidemicError, GeneratedReport, MAX_KEYS_PER_REPORT, ONSET_RANGE, Reports, START_DAYS,
};
pub use key::{DEFAULT_ROLLING_PERIOD, ExportedKey, INTERVALS_PER_DAY};
pub use package::{Malformed, Package, PackageError};
pub use proto::{EXPORT_HEADER, MAX_KEYS, MAX_SIGNATURES, ProtoError, SignatureInfo};
pub use shift::{ShiftError, rebase, rebase_days, shift};
pub use signature::{MAX_PEM_BYTES, SignatureCheck, SignatureError, verify};
pub use write::{PackageMeta, PackageSigner, SignError, SignFunction, WriteError, write_package};
