//! Chosen power cuts: the caller says what becomes of each thing that is not durable yet, so that all that a
//! cut can leave can be gone through. Seeded cuts are [`MemoryDisk::crash`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::content::{Fate, Loose};
use super::{Change, MemoryDisk, Node, State, guard};

impl MemoryDisk {
    /// What a power cut now decides about: changes of names in their order, then each file's length and
    /// sectors.
    pub fn loose(&self) -> Vec<Loose> {
        let state = guard(&self.state);
        let mut loose = vec![Loose::Name; state.changes.len()];
        for node in state.nameable().values() {
            loose.extend(guard(&node.content).loose());
        }
        loose
    }

    /// The disk as a power cut now leaves it when the n-th of [`MemoryDisk::loose`] has the n-th of `fates`;
    /// without one it is dropped.
    pub fn crash_as(&self, fates: &[Fate]) -> MemoryDisk {
        let mut fates = fates.iter().copied().chain(std::iter::repeat(Fate::Dropped));
        let state = guard(&self.state);
        let mut names = state.durable.clone();
        for (change, fate) in state.changes.iter().zip(fates.by_ref().take(state.changes.len())) {
            if fate == Fate::Kept {
                change.apply(&mut names);
            }
        }
        let mut settled = BTreeMap::new();
        for (inode, node) in state.nameable() {
            let content = guard(&node.content).settle(&mut fates);
            settled.insert(inode, Arc::new(Node { inode, content: Mutex::new(content) }));
        }
        for node in names.values_mut() {
            *node = Arc::clone(&settled[&node.inode]);
        }
        state.left(names)
    }
}

impl State {
    /// The files that have a name after some power cut, by inode.
    fn nameable(&self) -> BTreeMap<u64, Arc<Node>> {
        let changed = self.changes.iter().map(|change| match change {
            Change::Create(_, node) | Change::Rename(_, _, node) | Change::Remove(_, node) => node,
        });
        self.durable.values().chain(changed).map(|node| (node.inode, Arc::clone(node))).collect()
    }
}
