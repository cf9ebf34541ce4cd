//! What an adoption knows from elsewhere, kept beside the identity until the journal has it.
//!
//! `tekctl adopt` may ask a node for its newest checkpoints; the server records them with the adoption at
//! its next start. They are opaque here. The file is removed once its incarnation has begun.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, read_file, replace_file};

const MAGIC: &[u8; 8] = b"TEKDADOP";
/// Format of the file.
const FORMAT: u32 = 1;
/// Magic, format and count.
const HEAD: usize = 16;
/// Most bytes of the file.
const MAX_FILE: u64 = 1 << 20;

/// Why what an adoption knows cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum AdoptionError {
    #[error("cannot {what} {}: {source}", file.display())]
    Disk { what: &'static str, file: PathBuf, source: io::Error },
    #[error("{} is damaged; nothing was changed: run `tekctl adopt` again", file.display())]
    Damaged { file: PathBuf },
    #[error("{} was written by a newer tekd: format {found}, this one reads up to {FORMAT}", file.display())]
    Newer { file: PathBuf, found: u32 },
}

fn path(dir: &Path) -> PathBuf {
    dir.join("adoption")
}

fn failed(what: &'static str, file: &Path) -> impl FnOnce(io::Error) -> AdoptionError {
    let file = file.to_path_buf();
    move |source| AdoptionError::Disk { what, file, source }
}

/// Keeps `parts` for the adoption that follows, in place of what an earlier one left.
///
/// # Errors
/// If the disk fails.
pub fn keep(disk: &dyn Disk, dir: &Path, parts: &[Vec<u8>]) -> Result<(), AdoptionError> {
    let file = path(dir);
    let mut bytes = Vec::from(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&(parts.len() as u32).to_le_bytes());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    replace_file(disk, &file, &bytes).map_err(failed("write", &file))
}

/// What [`keep`] kept; nothing if there is no file.
///
/// # Errors
/// [`AdoptionError`].
pub fn kept(disk: &dyn Disk, dir: &Path) -> Result<Vec<Vec<u8>>, AdoptionError> {
    let file = path(dir);
    let bytes = match read_file(disk, &file, MAX_FILE) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(failed("read", &file))?,
    };
    let damaged = || AdoptionError::Damaged { file: file.clone() };
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
    if body.len() < HEAD || !body.starts_with(MAGIC) || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(damaged());
    }
    let (format, rest) = body[MAGIC.len()..].split_first_chunk::<4>().ok_or_else(damaged)?;
    match u32::from_le_bytes(*format) {
        FORMAT => parts(rest).ok_or_else(damaged),
        found => Err(AdoptionError::Newer { file, found }),
    }
}

fn parts(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (count, mut rest) = bytes.split_first_chunk::<4>()?;
    let mut parts = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let (part, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        parts.push(part.to_vec());
        rest = after;
    }
    rest.is_empty().then_some(parts)
}

/// Forgets what was kept.
///
/// # Errors
/// If the disk fails.
pub fn forget(disk: &dyn Disk, dir: &Path) -> Result<(), AdoptionError> {
    let file = path(dir);
    match disk.remove(&file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| disk.sync_dir(dir)).map_err(failed("remove", &file)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryDisk;

    #[test]
    fn what_is_kept_is_found_once_and_no_damage_is_read() {
        let (disk, dir) = (MemoryDisk::new(), Path::new("/data"));
        disk.create_dir(dir).unwrap();
        assert!(kept(&disk, dir).unwrap().is_empty());
        for known in [vec![vec![1; 208], vec![2; 7]], vec![vec![3; 208]], vec![]] {
            keep(&disk, dir, &known).unwrap();
            assert_eq!(kept(&disk, dir).unwrap(), known);
        }
        keep(&disk, dir, &[vec![5; 40]]).unwrap();
        for offset in 0..disk.open(&path(dir)).unwrap().len().unwrap() {
            disk.damage(&path(dir), offset, 4).unwrap();
            assert!(matches!(kept(&disk, dir), Err(AdoptionError::Damaged { .. })), "{offset}");
            disk.damage(&path(dir), offset, 4).unwrap();
        }
        forget(&disk, dir).unwrap();
        forget(&disk, dir).unwrap();
        assert!(kept(&disk, dir).unwrap().is_empty());
    }
}
