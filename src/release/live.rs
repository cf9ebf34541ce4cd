//! The live set of one version as a client keeps it: sorted public entries and what they are of.
//!
//! A [`LiveSet`] is in key order by construction, so that its root can be computed and a delta
//! applied without looking again. It is not verified by itself: it is to be believed when it
//! matches a verified checkpoint (protocol-spec 3.7.1).

use super::schema::{Schema, key_head};
use super::tree::{Hash, root_of};

/// The live entries of a set at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSet {
    schema: Schema,
    version: u64,
    horizon: u32,
    entries: Vec<u8>,
}

/// Why bytes are not a sorted set of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// Not a whole number of entries.
    #[error("{found} bytes are not entries of {entry} bytes")]
    Length {
        /// Bytes given.
        found: usize,
        /// Length of an entry.
        entry: usize,
    },
    /// An entry does not come after the one before it.
    #[error("entry {0} is not above the one before it")]
    Order(usize),
}

impl LiveSet {
    /// The empty set, version 0: what a client starts from.
    #[must_use]
    pub const fn empty(schema: Schema) -> Self {
        Self { schema, version: 0, horizon: 0, entries: Vec::new() }
    }

    /// The set of public entries that were kept somewhere.
    ///
    /// # Errors
    /// If they are not whole entries whose keys strictly ascend.
    pub fn new(schema: Schema, version: u64, horizon: u32, entries: Vec<u8>) -> Result<Self, SetError> {
        check_order(&entries, schema.public_len(), schema.key_len())?;
        Ok(Self { schema, version, horizon, entries })
    }

    /// The entries of a sorted, unexpired history that are live in its version.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_history(
        schema: Schema,
        version: u64,
        horizon: u32,
        history: &[u8],
    ) -> Result<Self, SetError> {
        let live = || schema.views(history).filter(|entry| entry.live_at(version as u32));
        let mut entries = Vec::with_capacity(live().count() * schema.public_len());
        live().for_each(|entry| entries.extend_from_slice(entry.public));
        Self::new(schema, version, horizon, entries)
    }

    /// A set whose entries are in key order because they were merged so.
    pub(super) const fn sorted(schema: Schema, version: u64, horizon: u32, entries: Vec<u8>) -> Self {
        Self { schema, version, horizon, entries }
    }

    /// Schema of the set.
    #[must_use]
    pub const fn schema(&self) -> Schema {
        self.schema
    }

    /// Version of the set, 0 for none.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Horizon of the version: no entry is expired under it.
    #[must_use]
    pub const fn horizon(&self) -> u32 {
        self.horizon
    }

    /// All public entries in key order, one after the other.
    #[must_use]
    pub fn entries(&self) -> &[u8] {
        &self.entries
    }

    /// Number of entries.
    #[must_use]
    pub fn count(&self) -> u64 {
        (self.entries.len() / self.schema.public_len()) as u64
    }

    /// The public entry of a key, if it is live.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<&[u8]> {
        let (public_len, key_len) = (self.schema.public_len(), self.schema.key_len());
        let (mut low, mut high) = (0, self.entries.len() / public_len);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = &self.entries[middle * public_len..][..public_len];
            match entry[..key_len].cmp(key) {
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Equal => return Some(entry),
                core::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Root of the bucket tree of the entries (3.3.3).
    #[must_use]
    pub fn root(&self) -> Hash {
        root_of(self.schema, &self.entries).expect("a live set is in key order")
    }

    /// Whether this is the set that a checkpoint speaks of (3.7.1): its version, horizon, count of
    /// live entries and root.
    #[must_use]
    pub fn matches(&self, version: u64, horizon: u32, count: u64, root: &Hash) -> bool {
        (self.version, self.horizon, self.count()) == (version, horizon, count) && self.root() == *root
    }
}

fn check_order(entries: &[u8], entry: usize, key_len: usize) -> Result<(), SetError> {
    if !entries.len().is_multiple_of(entry) {
        return Err(SetError::Length { found: entries.len(), entry });
    }
    let mut before: Option<&[u8]> = None;
    for (i, key) in entries.chunks_exact(entry).map(|entry| &entry[..key_len]).enumerate() {
        if before.is_some_and(|before| !ascends(before, key)) {
            return Err(SetError::Order(i));
        }
        before = Some(key);
    }
    Ok(())
}

#[inline]
fn ascends(before: &[u8], key: &[u8]) -> bool {
    let (low, high) = (key_head(before), key_head(key));
    low < high || low == high && before < key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::schema::{Fields, LIVE};

    const SCHEMA: Schema = Schema::GaenMinimal;

    fn public(keys: &[u8]) -> Vec<u8> {
        let mut entries = Vec::new();
        keys.iter().for_each(|&key| SCHEMA.public_entry(&[key; 16], &Fields::default(), &mut entries));
        entries
    }

    #[test]
    fn only_strictly_ascending_whole_entries_are_a_set() {
        assert!(LiveSet::new(SCHEMA, 1, 0, public(&[1, 2, 3])).is_ok());
        assert_eq!(LiveSet::new(SCHEMA, 1, 0, public(&[1, 3, 2])), Err(SetError::Order(2)));
        assert_eq!(LiveSet::new(SCHEMA, 1, 0, public(&[1, 1])), Err(SetError::Order(1)));
        let cut = public(&[1])[1..].to_vec();
        assert_eq!(LiveSet::new(SCHEMA, 1, 0, cut), Err(SetError::Length { found: 23, entry: 24 }));
    }

    #[test]
    fn keys_are_found_where_they_are_and_nowhere_else() {
        let set = LiveSet::new(SCHEMA, 1, 0, public(&[1, 4, 9])).unwrap();
        for key in 0..12 {
            assert_eq!(set.find(&[key; 16]).is_some(), [1, 4, 9].contains(&key), "key {key}");
        }
        assert_eq!(LiveSet::empty(SCHEMA).find(&[0; 16]), None);
    }

    #[test]
    fn a_set_matches_its_own_checkpoint_alone() {
        let set = LiveSet::new(SCHEMA, 7, 100, public(&[1, 4, 9])).unwrap();
        let root = set.root();
        assert!(set.matches(7, 100, 3, &root));
        assert!(
            !set.matches(8, 100, 3, &root) && !set.matches(7, 99, 3, &root) && !set.matches(7, 100, 2, &root)
        );
        assert!(!set.matches(7, 100, 3, &[0; 32]));
    }

    #[test]
    fn the_live_part_of_a_history_is_that_of_its_serial() {
        let mut history = Vec::new();
        SCHEMA.history_entry(&[1; 16], &Fields::default(), 1, 3, &mut history);
        SCHEMA.history_entry(&[1; 16], &Fields::default(), 4, LIVE, &mut history);
        SCHEMA.history_entry(&[2; 16], &Fields::default(), 2, LIVE, &mut history);
        let counts =
            [1, 2, 3, 4].map(|v| LiveSet::from_history(SCHEMA, 1 << 32 | v, 0, &history).unwrap().count());
        assert_eq!(counts, [1, 2, 1, 2]);
    }
}
