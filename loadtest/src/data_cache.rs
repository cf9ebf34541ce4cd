//! Data directories for a comparison, made once and used again: `keys-1000000-seed-1-20787` has the keys of
//! that number, seed and newest day (days since 1970).

use std::io;
use std::path::{Path, PathBuf};

use tekd::gaen::{Epidemic, INTERVALS_PER_DAY};
use tekd::node::trust_path;
use tekd::release::{Trust, TrustFileError};
use tekd::wire::Key;

use crate::data_directory::{DataDirectoryError, SET, write_data_directory};

/// Days for which the keys of a directory live long enough to be used again; they are kept for thirty.
const GOOD_FOR_DAYS: u32 = 12;

/// Why there is no data directory.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be made.
    #[error(transparent)]
    Data(#[from] DataDirectoryError),
    /// The directory it is in, or a file of it.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its trust file.
    #[error("{}: {source}", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TrustFileError,
    },
}

impl CacheError {
    fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| CacheError::Io { path: path.to_path_buf(), source }
    }
}

/// A data directory with all that is known of it.
#[derive(Debug)]
pub(crate) struct KnownData {
    /// For `tekd serve --data`.
    pub(crate) path: PathBuf,
    pub(crate) trust: Trust,
    pub(crate) set: u32,
    keys: u64,
    seed: u64,
    newest_day: u32,
}

impl KnownData {
    /// The directory in `cache` with the epidemic of `keys` and `seed`: one that is there, or else a new one
    /// whose newest day is `newest_day`, the interval it starts at.
    ///
    /// # Errors
    /// [`CacheError`].
    pub(crate) fn find_or_make(
        cache: &Path,
        keys: u64,
        seed: u64,
        newest_day: u32,
    ) -> Result<Self, CacheError> {
        std::fs::create_dir_all(cache).map_err(CacheError::io(cache))?;
        let name = |day: u32| format!("keys-{keys}-seed-{seed}-{day}");
        let today = newest_day / INTERVALS_PER_DAY;
        let mut good = (today.saturating_sub(GOOD_FOR_DAYS)..=today).rev();
        let found = good.find(|day| cache.join(name(*day)).is_dir());
        let path = cache.join(name(found.unwrap_or(today)));
        if found.is_none() {
            // Renamed when it is whole: a run that was stopped leaves nothing that looks like one.
            let unfinished = path.with_extension("unfinished");
            let _ = std::fs::remove_dir_all(&unfinished);
            std::fs::create_dir(&unfinished).map_err(CacheError::io(&unfinished))?;
            write_data_directory(&unfinished, keys, seed, newest_day)?;
            std::fs::rename(&unfinished, &path).map_err(CacheError::io(&path))?;
        }
        let newest_day = found.unwrap_or(today) * INTERVALS_PER_DAY;
        let file = trust_path(&path);
        let text = std::fs::read_to_string(&file).map_err(CacheError::io(&file))?;
        let trust = Trust::parse_json(&text).map_err(|source| CacheError::Trust { path: file, source })?;
        Ok(KnownData { path, trust, set: SET, keys, seed, newest_day })
    }

    /// Every key that is in the set.
    pub(crate) fn hits(&self) -> Vec<Key> {
        let reports = Epidemic::new(self.seed).reports(self.keys, self.newest_day);
        let reports = reports.expect("a directory was made of this day");
        let mut hits = Vec::with_capacity(usize::try_from(self.keys).expect("keys fit memory"));
        for report in reports {
            let keys = report.keys.iter();
            hits.extend(keys.map(|key| Key::from_slice(&key.key).expect("a generated key has 16 bytes")));
        }
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_once_and_again_when_its_keys_are_old() {
        let cache = tempfile::tempdir().expect("a directory");
        let day = 20_787 * INTERVALS_PER_DAY;
        let find = |keys, days| {
            let newest = day + days * INTERVALS_PER_DAY;
            KnownData::find_or_make(cache.path(), keys, 1, newest).expect("found or made")
        };
        let first = find(20, 0);
        assert_eq!(first.hits().len(), 20);
        let again = find(20, GOOD_FOR_DAYS);
        assert_eq!((&again.path, again.hits()), (&first.path, first.hits()));
        assert_eq!(again.trust.service, first.trust.service);
        assert_ne!(find(30, 0).path, first.path);
        assert_ne!(find(20, GOOD_FOR_DAYS + 1).path, first.path);
        assert!(std::fs::read_dir(cache.path()).expect("there").all(|entry| {
            let name = entry.expect("there").file_name();
            !name.to_string_lossy().ends_with("unfinished")
        }));
    }
}
