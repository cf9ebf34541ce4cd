//! Where results go: a directory that is nobody's yet.

use std::path::{Path, PathBuf};

/// Why a directory is not written to.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// It holds something.
    #[error("{} is not empty; nothing was written: name a new directory", .0.display())]
    NotEmpty(PathBuf),
    /// It cannot be made or looked into.
    #[error("{}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Makes `path` a directory if it is not there, and refuses one that holds anything.
///
/// # Errors
/// [`OutputError`].
pub fn empty_directory(path: &Path) -> Result<(), OutputError> {
    let io = |source| OutputError::Io { path: path.to_path_buf(), source };
    std::fs::create_dir_all(path).map_err(io)?;
    match std::fs::read_dir(path).map_err(io)?.next() {
        None => Ok(()),
        Some(Ok(_)) => Err(OutputError::NotEmpty(path.to_path_buf())),
        Some(Err(source)) => Err(io(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_or_empty_directory_is_written_to() {
        let dir = tempfile::tempdir().expect("a directory");
        let deep = dir.path().join("a/b");
        empty_directory(&deep).expect("made");
        empty_directory(&deep).expect("still empty");
        assert!(matches!(empty_directory(dir.path()), Err(OutputError::NotEmpty(_))));
        std::fs::write(deep.join("file"), "").expect("written");
        assert!(matches!(empty_directory(&deep), Err(OutputError::NotEmpty(_))));
        assert!(matches!(empty_directory(&deep.join("file")), Err(OutputError::Io { .. })));
    }
}
