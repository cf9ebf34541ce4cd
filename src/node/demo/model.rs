//! What the set should hold, kept beside the origin in the simplest way there is, and compared with what
//! phones verified.

use std::collections::BTreeMap;

use super::error::{DemoError, equal, must};
use crate::client::SetClient;
use crate::engine::{Changes, ImportedKey};
use crate::release::{Fields, Schema};
use crate::time::{end_of_validity, is_live};
use crate::wire::Key;

/// A key that was reported.
struct Known {
    fields: Fields,
    /// Unix time from which releases hold it.
    from: u64,
    withdrawn: bool,
}

/// The reported keys, and how many entries there should be with decoys.
pub(super) struct Model {
    schema: Schema,
    embargo_s: u64,
    known: BTreeMap<Key, Known>,
    live: u64,
}

impl Model {
    pub(super) fn new(schema: Schema, embargo_s: u32) -> Self {
        Model { schema, embargo_s: embargo_s.into(), known: BTreeMap::new(), live: 0 }
    }

    /// Keys that were accepted.
    pub(super) fn reported(&mut self, keys: &[ImportedKey]) {
        for key in keys {
            let fields = self.schema.coarsen(key.fields);
            let from = end_of_validity(fields.start, fields.period) + self.embargo_s;
            self.known.entry(key.key).or_insert(Known { fields, from, withdrawn: false });
        }
    }

    /// Forgets what a phone does not hold: keys that were refused one by one.
    pub(super) fn keep_only(&mut self, phone: &SetClient) {
        self.known.retain(|key, _| phone.data().is_some_and(|set| set.find(key.as_bytes()).is_some()));
    }

    /// A key that left.
    pub(super) fn withdrawn(&mut self, key: &Key) {
        self.stands(key, true);
    }

    /// A key that left and came back.
    pub(super) fn reinstated(&mut self, key: &Key) {
        self.stands(key, false);
    }

    fn stands(&mut self, key: &Key, withdrawn: bool) {
        if let Some(known) = self.known.get_mut(key) {
            known.withdrawn = withdrawn;
        }
    }

    /// A release, in its counts.
    pub(super) fn released(&mut self, changes: &Changes) {
        let c = changes;
        self.live += u64::from(c.added) + u64::from(c.decoys_added);
        self.live -= u64::from(c.withdrawn) + u64::from(c.decoys_withdrawn) + u64::from(c.expired);
    }

    /// Compares all that a phone holds: every reported key is there exactly while it should be, with its
    /// fields, and all the rest are decoys. Returns their number.
    pub(super) fn check(&self, who: &str, phone: &SetClient) -> Result<u64, DemoError> {
        let (Some(set), Some(checkpoint)) = (phone.data(), phone.checkpoint()) else {
            return Err(DemoError::DoesNotHold(format!("{who} holds a set")));
        };
        let mut reported = 0;
        for (key, known) in &self.known {
            let live = !known.withdrawn
                && known.from <= checkpoint.time()
                && is_live(known.fields.start, known.fields.period, checkpoint.horizon());
            let mut entry = Vec::new();
            self.schema.public_entry(key.as_bytes(), &known.fields, &mut entry);
            let expected = live.then_some(&entry[..]);
            let serial = checkpoint.serial();
            must(set.find(key.as_bytes()) == expected, || {
                let is = if live { "is in" } else { "is not in" };
                format!("a reported key {is} release {serial} as {who} verified it, with its fields")
            })?;
            reported += u64::from(live);
        }
        equal(&format!("entries that {who} holds"), set.count(), self.live)?;
        Ok(set.count() - reported)
    }

    /// The newest key of `keys` that releases hold at `now`.
    pub(super) fn newest_out(&self, keys: &[ImportedKey], now: u64) -> Option<Key> {
        let out = keys.iter().filter(|k| self.known.get(&k.key).is_some_and(|known| known.from <= now));
        out.max_by_key(|k| (k.fields.start, k.key)).map(|k| k.key)
    }

    /// The first `n` reported keys.
    pub(super) fn first(&self, n: usize) -> Vec<Key> {
        self.known.keys().take(n).copied().collect()
    }

    /// Whether a key was reported.
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.known.contains_key(key)
    }
}
