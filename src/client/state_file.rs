//! The file that holds a client's state: read whole, replaced in one step (spec 4.3.3).
//!
//! The new state is written beside the old one, brought to stable storage and renamed over it. An
//! interruption leaves the old state, and at most a file beside it that no one reads.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::data::Data;
use super::set::Follower;
use super::state::StateError;
use crate::release::Trust;

/// Longest state file that is read: far above any set, far below what a slip of the hand could name.
const MAX_STATE_FILE: u64 = 1 << 36;

/// Why a state file cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// The operating system refused.
    #[error("{doing} the state file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// It is no state of this client.
    #[error("the state file {} cannot be used: {source}; move it away to start from nothing", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: StateError,
    },
    /// It is longer than any state.
    #[error("the state file {} has {length} bytes, at most {MAX_STATE_FILE} are read", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        length: u64,
    },
}

/// The client of the state in `path`, or a new one if there is no such file.
///
/// # Errors
/// [`StateFileError`]: the file cannot be read or is no state of this service and set.
pub fn load_state<D: Data>(path: &Path, trust: Trust, set: u32) -> Result<Follower<D>, StateFileError> {
    let io = |source| StateFileError::Io { path: path.to_owned(), doing: "reading", source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Follower::new(trust, set)),
        Err(error) => return Err(io(error)),
    };
    let length = file.metadata().map_err(io)?.len();
    if length > MAX_STATE_FILE {
        return Err(StateFileError::Length { path: path.to_owned(), length });
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io)?;
    Follower::from_bytes(trust, set, &bytes)
        .map_err(|source| StateFileError::State { path: path.to_owned(), source })
}

/// Replaces the state in `path` in one step.
///
/// # Errors
/// [`StateFileError::Io`]; the old state is then still there.
pub fn save_state<D: Data>(path: &Path, follower: &Follower<D>) -> Result<(), StateFileError> {
    let replaced = replace(path, &follower.to_bytes());
    replaced.map_err(|source| StateFileError::Io { path: path.to_owned(), doing: "writing", source })
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
        // The first error is the one to tell; the file beside is overwritten the next time.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Another name in the same folder, of this process alone.
fn beside(path: &Path) -> PathBuf {
    let mut name: OsString = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}
