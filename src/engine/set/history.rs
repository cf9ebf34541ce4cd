//! All entries of a set in key order, as its published table has them.
//!
//! Keys lie in the table as they came. They are dealt out by their first byte before they are sorted, so that
//! what is sorted and copied at a time fits in the processor's caches however large the set is.

use super::SetState;

/// Parts the keys are dealt out to: one for each first byte.
const PARTS: usize = 256;

/// Entries of keys with the same first byte.
#[derive(Clone, Default)]
struct Part {
    /// The first bytes of each entry's key, then its place among the entries.
    order: Vec<u128>,
    entries: Vec<u8>,
}

impl SetState {
    /// All unexpired entries in order, as history entries (spec 3.1.4).
    pub fn history(&self) -> Vec<u8> {
        let schema = self.params.schema;
        let unexpired =
            usize::try_from(self.unexpired).expect("a set in memory has fewer entries than addresses");
        let mut parts = vec![Part::default(); PARTS];
        for (_, key, state) in self.keys.iter() {
            let first = u64::from_be_bytes(*key.as_bytes().first_chunk().expect("keys have 16 or 32 bytes"));
            let part = &mut parts[usize::from(key.as_bytes()[0])];
            for e in &*state.entries {
                part.order.push(u128::from(first) << 64 | part.order.len() as u128);
                schema.history_entry(
                    key.as_bytes(),
                    &e.fields,
                    e.add_serial,
                    e.del_serial,
                    &mut part.entries,
                );
            }
        }
        let mut out = Vec::with_capacity(unexpired * schema.entry_len());
        for part in parts {
            part.sort_into(schema.key_len(), schema.entry_len(), &mut out);
        }
        out
    }
}

impl Part {
    fn sort_into(mut self, key_len: usize, entry_len: usize, out: &mut Vec<u8>) {
        self.order.sort_unstable();
        let at = |number: &u128| *number as u64 as usize * entry_len;
        for run in self.order.chunk_by_mut(|a, b| *a >> 64 == *b >> 64) {
            // Keys with the same first bytes; the entries of one key stand in the order of their serials.
            if run.len() > 1 {
                run.sort_by_key(|number| &self.entries[at(number)..][..key_len]);
            }
            run.iter().for_each(|number| out.extend_from_slice(&self.entries[at(number)..][..entry_len]));
        }
    }
}
