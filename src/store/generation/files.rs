//! Names of generation files (clause 5.6.1) and the end of their lives (5.6.12).

use std::path::{Path, PathBuf};

use super::GenerationError;
use crate::store::{Disk, DiskFile};

/// What the name of a file in the making ends with.
pub const TEMPORARY_SUFFIX: &str = ".new";

const PREFIX: &str = "gen-";
const SUFFIX: &str = ".tekd";

/// Hexadecimal digits of a version in a name, so that names sort as versions do.
const VERSION_DIGITS: usize = 16;

/// Name of the generation file of `version`.
pub fn file_name(version: u64) -> String {
    format!("{PREFIX}{version:016x}{SUFFIX}")
}

/// Creates the file of `version` in `dir` (made if missing) under its temporary name. A file left over from
/// an interrupted attempt is replaced.
pub(super) fn create_temporary(
    disk: &dyn Disk,
    dir: &Path,
    version: u64,
) -> Result<(PathBuf, Box<dyn DiskFile>), GenerationError> {
    let temporary = dir.join(format!("{}{TEMPORARY_SUFFIX}", file_name(version)));
    disk.create_dir(dir).map_err(GenerationError::io(dir))?;
    match disk.remove(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(GenerationError::io(&temporary)(error));
        }
        _ => {}
    }
    let file = disk.create(&temporary).map_err(GenerationError::io(&temporary))?;
    Ok((temporary, file))
}

/// The generation files in `dir`, newest version first. A missing directory has none.
pub fn generations(disk: &dyn Disk, dir: &Path) -> Result<Vec<(u64, PathBuf)>, GenerationError> {
    let mut found: Vec<_> =
        list(disk, dir)?.into_iter().filter_map(|path| Some((version(name(&path)?)?, path))).collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    Ok(found)
}

/// Unlinks all generation files but the newest `keep` (the newest always stays), and what
/// interrupted builders left. Other files are not touched; readers of an unlinked file
/// keep its bytes. To be called when no builder works in `dir`. Gives the removed paths.
pub fn retire_older(disk: &dyn Disk, dir: &Path, keep: usize) -> Result<Vec<PathBuf>, GenerationError> {
    let mut gone: Vec<PathBuf> =
        generations(disk, dir)?.into_iter().skip(keep.max(1)).map(|(_, path)| path).collect();
    gone.extend(list(disk, dir)?.into_iter().filter(|path| {
        name(path).and_then(|name| name.strip_suffix(TEMPORARY_SUFFIX)).and_then(version).is_some()
    }));
    for path in &gone {
        disk.remove(path).map_err(GenerationError::io(path))?;
    }
    if !gone.is_empty() {
        disk.sync_dir(dir).map_err(GenerationError::io(dir))?;
    }
    Ok(gone)
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>, GenerationError> {
    match disk.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(GenerationError::io(dir)),
    }
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// The version in a name that [`file_name`] gives.
fn version(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let canonical = digits.len() == VERSION_DIGITS
        && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    canonical.then(|| u64::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::super::super::RealDisk;
    use super::*;

    #[test]
    fn only_names_that_are_written_are_read() {
        assert_eq!(file_name(0x1_0000_00ab), "gen-00000001000000ab.tekd");
        assert_eq!(version(&file_name(u64::MAX)), Some(u64::MAX));
        for other in ["gen-1.tekd", "gen-00000001000000AB.tekd", "gen-+0000001000000ab.tekd", "gen-.tekd"] {
            assert_eq!(version(other), None, "{other}");
        }
    }

    #[test]
    fn retiring_keeps_the_newest_and_what_is_not_a_generation() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for number in [3, 1 << 32, 2, 1] {
            std::fs::write(dir.join(file_name(number)), b"x").unwrap();
        }
        std::fs::write(dir.join("gen-0000000000000009.tekd.new"), b"x").unwrap();
        std::fs::write(dir.join("notes.tekd"), b"x").unwrap();
        let gone = retire_older(&RealDisk, dir, 2).unwrap();
        assert_eq!(gone.len(), 3);
        let versions: Vec<_> = generations(&RealDisk, dir).unwrap().into_iter().map(|(v, _)| v).collect();
        assert_eq!(versions, [1 << 32, 3]);
        assert!(dir.join("notes.tekd").exists());
        assert_eq!(retire_older(&RealDisk, dir, 0).unwrap(), [dir.join(file_name(3))]);
        assert_eq!(retire_older(&RealDisk, dir, 2).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(generations(&RealDisk, &dir.join("none")).unwrap(), []);
    }
}
