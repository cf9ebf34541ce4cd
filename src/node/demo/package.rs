//! The keys of the demo: those of a package, or made up and packed first, so that both go the same way.

use std::path::Path;

use super::error::{DemoError, failed};
use crate::engine::ImportedKey;
use crate::gaen::{Epidemic, ExportedKey, MAX_ZIP_BYTES, Package, PackageMeta, rebase, write_package};
use crate::release::{Fields, ONSET_NONE};
use crate::store::{RealDisk, read_file};
use crate::time::{INTERVALS_PER_DAY, interval_of};
use crate::wire::Key;

/// Keys of a generated package.
const GENERATED_KEYS: u64 = 20_000;
/// Seed of a generated package.
const GENERATED_SEED: u64 = 1;
/// Newest day of a generated package: 2025-12-01, some weeks before the story, so that it has to be moved.
const GENERATED_DAY: u32 = 1_764_547_200 / 600;

const _: () = assert!(GENERATED_DAY.is_multiple_of(INTERVALS_PER_DAY));

/// A package whose keys were moved to the days before the story.
pub(super) struct KeyPackage {
    /// Where it is from, in words.
    pub(super) origin: String,
    /// Keys it holds, also those that are none.
    pub(super) total: u64,
    /// Its keys, moved.
    pub(super) keys: Vec<ImportedKey>,
    /// Bytes of the ZIP.
    pub(super) zip_bytes: u64,
    /// Days by which keys were moved.
    pub(super) moved_days: i64,
}

impl KeyPackage {
    /// Reads `file`, or makes a package up, and moves its keys so that the newest ended yesterday.
    ///
    /// # Errors
    /// If the file cannot be read, is no package, or holds no key.
    pub(super) fn load(file: Option<&Path>, now: u64) -> Result<Self, DemoError> {
        let (origin, zip, package) = match file {
            Some(file) => {
                let zip = read_file(&RealDisk, file, MAX_ZIP_BYTES as u64)
                    .map_err(|source| DemoError::File { file: file.to_path_buf(), source })?;
                let package = Package::read(&zip)
                    .map_err(|source| DemoError::Package { file: file.to_path_buf(), source })?;
                let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
                (name, zip, package)
            }
            None => {
                let zip = generated()?;
                let package = Package::read(&zip).map_err(failed("reading the generated package"))?;
                ("a generated package".to_owned(), zip, package)
            }
        };
        let mut keys = package.keys;
        let moved_days =
            rebase(&mut keys, interval_of(now)).map_err(failed("moving the package to these days"))?;
        let total = (keys.len() + package.malformed.total()) as u64;
        if keys.is_empty() {
            return Err(DemoError::NoKeys(format!("it holds {total} keys, none of them well-formed")));
        }
        let keys = keys.iter().map(imported).collect();
        Ok(KeyPackage { origin, total, keys, zip_bytes: zip.len() as u64, moved_days })
    }

    /// The shortest retention in days with which no key is expired at `now`; `least` at least, `most` at
    /// most.
    pub(super) fn retention_days(&self, now: u64, least: u16, most: u16) -> u16 {
        let oldest_end = self.keys.iter().map(|k| u64::from(k.fields.start) + u64::from(k.period)).min();
        let age = u64::from(interval_of(now)).saturating_sub(oldest_end.unwrap_or(u64::MAX));
        // Live while start + period > now − retention: a key that ended now is live from one day on.
        let days = age / u64::from(INTERVALS_PER_DAY) + 1;
        u16::try_from(days).unwrap_or(most).clamp(least, most)
    }
}

/// Reports of later days: of each patient the keys as they would be imported.
pub(super) fn reports(
    seed: u64,
    keys: u64,
    newest_day_start: u32,
) -> Result<Vec<Vec<ImportedKey>>, DemoError> {
    let reports = Epidemic::new(seed).reports(keys, newest_day_start).map_err(failed("making reports up"))?;
    Ok(reports.map(|report| report.keys.iter().map(imported).collect()).collect())
}

fn generated() -> Result<Vec<u8>, DemoError> {
    let reports = Epidemic::new(GENERATED_SEED)
        .reports(GENERATED_KEYS, GENERATED_DAY)
        .map_err(failed("making an epidemic up"))?;
    let keys: Vec<ExportedKey> = reports.flat_map(|report| report.keys).collect();
    let start = crate::time::start_of(GENERATED_DAY);
    let meta =
        PackageMeta { region: "ZZ".to_owned(), start, end: start + 86_400, batch_num: 1, batch_size: 1 };
    write_package(&keys, &meta, None).map_err(failed("packing the generated keys"))
}

/// A key of a package as the writer takes it. What is out of range is left for the writer to judge; an
/// onset that no schema knows counts as none.
fn imported(key: &ExportedKey) -> ImportedKey {
    let onset = key.onset.filter(|days| (-14..=14).contains(days)).unwrap_or(ONSET_NONE);
    ImportedKey {
        key: Key::from_slice(&key.key).expect("an exported key has 16 bytes"),
        fields: Fields {
            start: key.start,
            period: u16::try_from(key.period).unwrap_or(0),
            report: key.report_type,
            risk: key.risk,
            onset,
        },
        period: key.period,
    }
}
