//! Generations opened while the state is read: each takes the longer the larger a set is, and neither needs
//! the other.

use std::io;
use std::thread::JoinHandle;

use super::builder::{Opened, TableStore};
use crate::store::generation::{Generation, generations};

/// Generations being opened on a thread of their own.
#[derive(Debug)]
pub(super) struct Ahead(JoinHandle<Opened>);

impl Ahead {
    /// Begins with the generations of a data directory.
    pub(super) fn begin(store: &TableStore) -> io::Result<Self> {
        let store = store.clone();
        let opening = std::thread::Builder::new().name("tekd-ahead".to_owned());
        Ok(Ahead(opening.spawn(move || open_newest(&store))?))
    }

    /// What was opened, once all of it is.
    pub(super) fn finish(self) -> Opened {
        // Whoever lacks one opens it again, and says what is wrong with it.
        self.0.join().unwrap_or_default()
    }
}

fn open_newest(store: &TableStore) -> Opened {
    let Some(dir) = &store.dir else { return Opened::new() };
    let sets = store.disk.list(&dir.join("sets")).unwrap_or_default();
    let newest = sets.iter().filter_map(|set| generations(&*store.disk, set).ok()?.into_iter().next());
    newest.map(|(_, file)| (file.clone(), Generation::open(&*store.disk, &file, store.mode))).collect()
}
