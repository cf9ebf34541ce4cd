//! A generation file whose entries are on their way to the disk while the rest of it is still being made.

use std::path::{Path, PathBuf};

use super::files::create_temporary;
use super::layout::HEADER_LEN;
use super::{Generation, GenerationError, file_name};
use crate::store::{Disk, DiskFile};

/// The entries of a generation, on the disk under its temporary name.
pub struct EntriesAhead<'d> {
    disk: &'d dyn Disk,
    file: Box<dyn DiskFile>,
    temporary: PathBuf,
    path: PathBuf,
    len: usize,
}

impl<'d> EntriesAhead<'d> {
    /// Writes the entries of the generation of `version` to its file in `dir` (made if missing) and waits
    /// until they are durable. A file left over from an interrupted attempt is replaced.
    ///
    /// # Errors
    /// The disk.
    pub fn write(
        disk: &'d dyn Disk,
        dir: &Path,
        version: u64,
        entries: &[u8],
    ) -> Result<Self, GenerationError> {
        let path = dir.join(file_name(version));
        let (temporary, file) = create_temporary(disk, dir, version)?;
        file.write_all_at(entries, HEADER_LEN as u64).map_err(GenerationError::io(&temporary))?;
        file.sync().map_err(GenerationError::io(&temporary))?;
        Ok(EntriesAhead { disk, file, temporary, path, len: entries.len() })
    }

    /// Adds what else `generation` has, which is the one with these entries, makes the file durable and gives
    /// it its name.
    ///
    /// # Errors
    /// The disk.
    ///
    /// # Panics
    /// If the generation has more or fewer entries.
    pub fn complete(self, generation: &Generation) -> Result<(), GenerationError> {
        let (bytes, entries_end) = (generation.bytes(), HEADER_LEN + self.len);
        assert_eq!(generation.entry_bytes().len(), self.len, "the entries are those of the generation");
        for part in [entries_end..bytes.len(), 0..HEADER_LEN] {
            let at = part.start as u64;
            self.file.write_all_at(&bytes[part], at).map_err(GenerationError::io(&self.temporary))?;
        }
        self.file.sync().map_err(GenerationError::io(&self.temporary))?;
        self.disk.rename(&self.temporary, &self.path).map_err(GenerationError::io(&self.path))?;
        let dir = self.path.parent().expect("the path was joined to a directory");
        self.disk.sync_dir(dir).map_err(GenerationError::io(dir))
    }
}
