//! An epidemic as export packages: ZIPs of at most [`MAX_PACKAGE_KEYS`] keys each.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use tekd::gaen::{
    Epidemic, EpidemicError, ExportedKey, INTERVALS_PER_DAY, PackageMeta, WriteError, write_package,
};
use tekd::time::start_of;

use crate::progress::Progress;

/// Keys in one file, at most.
pub const MAX_PACKAGE_KEYS: usize = 500_000;
/// A region that no country has.
const REGION: &str = "ZZ";

const _: () = assert!(MAX_PACKAGE_KEYS <= tekd::gaen::MAX_KEYS);
const _: () = assert!(MAX_PACKAGE_KEYS as u64 >= tekd::gaen::MAX_KEYS_PER_REPORT);

/// Why packages are not written.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// The newest day.
    #[error(transparent)]
    Epidemic(#[from] EpidemicError),
    /// A package.
    #[error(transparent)]
    Package(#[from] WriteError),
    /// A file.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GeneratedPackage {
    /// Its name.
    pub file: PathBuf,
    /// Keys in it.
    pub keys: usize,
    /// Its length.
    pub bytes: usize,
    /// Its digest in hex.
    pub sha256: String,
}

/// What was generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GeneratedPackages {
    /// Keys in all files.
    pub keys: u64,
    /// Reports they came from.
    pub reports: u64,
    /// The files, in order.
    pub packages: Vec<GeneratedPackage>,
}

/// Writes the epidemic of `seed` with `keys` keys, whose newest day starts at interval `newest_day`, into
/// `dir`. The keys of one report are in one file.
///
/// # Errors
/// [`PackagesError`]; files written before stay.
pub fn write_packages(
    dir: &Path,
    keys: u64,
    seed: u64,
    newest_day: u32,
) -> Result<GeneratedPackages, PackagesError> {
    let progress = Progress::new("keys in packages", keys);
    let mut made = GeneratedPackages { keys: 0, reports: 0, packages: Vec::new() };
    let mut waiting: Vec<ExportedKey> = Vec::new();
    for report in Epidemic::new(seed).reports(keys, newest_day)? {
        if waiting.len() + report.keys.len() > MAX_PACKAGE_KEYS {
            write(dir, newest_day, &mut waiting, &mut made)?;
        }
        made.keys += report.keys.len() as u64;
        made.reports += 1;
        progress.advance(report.keys.len() as u64);
        waiting.extend(report.keys);
    }
    if !waiting.is_empty() || made.packages.is_empty() {
        write(dir, newest_day, &mut waiting, &mut made)?;
    }
    Ok(made)
}

fn write(
    dir: &Path,
    newest_day: u32,
    keys: &mut Vec<ExportedKey>,
    made: &mut GeneratedPackages,
) -> Result<(), PackagesError> {
    let meta = PackageMeta {
        region: REGION.to_owned(),
        start: start_of(newest_day),
        end: start_of(newest_day + INTERVALS_PER_DAY),
        batch_num: 1,
        batch_size: 1,
    };
    let zip = write_package(keys, &meta, None)?;
    let file = dir.join(format!("keys-{:05}.zip", made.packages.len() + 1));
    std::fs::write(&file, &zip).map_err(|source| PackagesError::Io { file: file.clone(), source })?;
    let sha256 = hex::encode(Sha256::digest(&zip));
    made.packages.push(GeneratedPackage { file, keys: keys.len(), bytes: zip.len(), sha256 });
    keys.clear();
    Ok(())
}
