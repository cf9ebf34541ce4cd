//! One set that a public node follows: what was verified of it, what readers see of it, what is kept.
//!
//! verified-before-served: what readers get is built from a history that matched a checkpoint signed under
//! the node's trust. What was kept is read at a start and shown before anybody is asked.

use std::io;
use std::path::PathBuf;

use super::builder::{BuildError, Builder, TableStore};
use super::directory::set_path;
use super::news::SetNews;
use crate::client::{Client, ClientError, HistoryClient, StateError, SyncMode};
use crate::release::Trust;
use crate::store::{Disk, read_file, replace_file};

/// Longest state that is read.
const MAX_STATE: u64 = 1 << 36;

/// Why what a node keeps of a set cannot be used, or not be kept.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The operating system refused.
    #[error("{doing} the state file {}: {source}", file.display())]
    Disk {
        /// The file.
        file: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// It is no state of this node.
    #[error("the state file {} cannot be used: {source}; move it away to start from nothing", file.display())]
    State {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: StateError,
    },
    /// A table cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// A set that is followed.
#[derive(Debug)]
pub struct Following {
    store: TableStore,
    history: HistoryClient,
}

impl Following {
    /// Follows `set` from where it was left, in the directory of `store` if it has one, and lets readers see
    /// that.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn open(
        builder: &mut Builder,
        store: TableStore,
        trust: Trust,
        set: u32,
    ) -> Result<Self, FollowError> {
        let mut following = Following { store, history: HistoryClient::new(trust.clone(), set) };
        if let Some(file) = following.file() {
            let disk = &*following.store.disk;
            if let Some(bytes) = kept(disk, &file)? {
                let state = |source| FollowError::State { file, source };
                following.history = HistoryClient::from_bytes(trust, set, &bytes).map_err(state)?;
            }
        }
        if !show(builder, &following.history)? {
            builder.announce(set)?;
        }
        Ok(following)
    }

    /// Where the state is kept.
    fn file(&self) -> Option<PathBuf> {
        self.store.dir.as_ref().map(|dir| set_path(dir, self.history.set()).join("node.state"))
    }

    /// What was verified of the set.
    pub fn history(&self) -> &HistoryClient {
        &self.history
    }

    /// Asks for the newest release. Readers see nothing of it before [`Following::take_over`].
    ///
    /// # Errors
    /// [`ClientError`]; what was verified before stays.
    pub fn poll(&mut self, client: &mut Client<'_>) -> Result<SyncMode, ClientError> {
        client.sync(&mut self.history, false).map(|report| report.mode)
    }

    /// Keeps what a poll brought, all of it verified, and shows it: kept first, so that no restart goes back
    /// behind what readers saw. Readers see also what could not be kept.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn take_over(&self, builder: &mut Builder, mode: SyncMode) -> Result<(), FollowError> {
        let view = builder.view().load();
        let shown = view.set(self.history.set()).and_then(|s| s.release.as_ref()).map(|r| r.checkpoint);
        if mode != SyncMode::Current || shown.as_ref() != self.history.checkpoint() {
            let kept = self.keep();
            show(builder, &self.history)?;
            return kept;
        }
        Ok(())
    }

    fn keep(&self) -> Result<(), FollowError> {
        let Some(file) = self.file() else { return Ok(()) };
        let replaced = replace_file(&*self.store.disk, &file, &self.history.to_bytes());
        replaced.map_err(|source| FollowError::Disk { file, doing: "writing", source })
    }
}

fn kept(disk: &dyn Disk, file: &std::path::Path) -> Result<Option<Vec<u8>>, FollowError> {
    let failed = |source| FollowError::Disk { file: file.to_path_buf(), doing: "reading", source };
    if let Some(dir) = file.parent() {
        disk.create_dir(dir).map_err(failed)?;
    }
    match read_file(disk, file, MAX_STATE) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(failed),
    }
}

/// Lets readers see what is held; `false` if nothing is.
pub(super) fn show(builder: &mut Builder, history: &HistoryClient) -> Result<bool, BuildError> {
    let Some(news) = SetNews::verified(history) else { return Ok(false) };
    if let (Some(data), Some(checkpoint)) = (history.data(), history.checkpoint()) {
        builder.adopt(checkpoint, data)?;
    }
    builder.show(&news)?;
    Ok(true)
}
