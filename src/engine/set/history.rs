//! All entries of a set in key order, as its published table has them.
//!
//! Keys lie in the table as they came. Their entries are dealt out by the first byte of the key before they
//! are sorted, so that what is sorted and copied at a time fits in the processor's caches however large the
//! set is, and so that a crew can share the work.

use super::super::crew::{Alone, Crew, Task};
use super::key_table::Share;
use super::{KeyState, SetState};
use crate::release::Schema;
use crate::store::Pages;
use crate::wire::Key;

/// Parts the entries are dealt out to: one for each first byte.
const PARTS: usize = 256;
/// Bytes of the two serials at the end of an entry.
const SERIALS_LEN: usize = 8;

impl SetState {
    /// All unexpired entries in order, as history entries (spec 3.1.4).
    pub fn history(&self) -> Vec<u8> {
        self.history_by(&Alone)
    }

    /// As [`SetState::history`], by a crew.
    pub fn history_by(&self, crew: &dyn Crew) -> Vec<u8> {
        let (schema, len) = (self.params.schema, self.params.schema.entry_len());
        let shares = self.keys.shares(crew.hands());
        let mut counts = vec![[0; PARTS]; shares.len()];
        let counting = |(share, counts): (&Share<'_>, &'_ mut [usize; PARTS])| {
            for (key, state) in share.keys() {
                counts[part_of(key)] += state.entries.len();
            }
        };
        let tasks = shares.iter().zip(&mut counts).map(|it| -> Task<'_> { Box::new(move || counting(it)) });
        crew.carry_out(tasks.collect());
        let sizes = |part: usize| counts.iter().map(move |counts| counts[part] * len);
        let mut all = vec![0; (0..PARTS).flat_map(sizes).sum()];
        Pages::Huge.under(&all);
        // Of each part every share has a piece of its own.
        let mut pieces = divide(&mut all, (0..PARTS).flat_map(sizes));
        let mut dealt: Vec<Vec<&mut [u8]>> = shares.iter().map(|_| Vec::with_capacity(PARTS)).collect();
        for _ in 0..PARTS {
            dealt.iter_mut().zip(&mut pieces).for_each(|(of_share, piece)| of_share.push(piece));
        }
        drop(pieces);
        let tasks = shares.iter().zip(dealt);
        let tasks = tasks.map(|(share, pieces)| -> Task<'_> { Box::new(|| deal(schema, share, pieces)) });
        crew.carry_out(tasks.collect());
        let parts = divide(&mut all, (0..PARTS).map(|part| sizes(part).sum()));
        let tasks = parts.map(|part| -> Task<'_> { Box::new(|| sort(part, schema.key_len(), len)) });
        crew.carry_out(tasks.collect());
        all
    }
}

fn part_of(key: &Key) -> usize {
    usize::from(key.as_bytes()[0])
}

/// The bytes in pieces of these lengths.
fn divide(bytes: &mut [u8], lens: impl Iterator<Item = usize>) -> impl Iterator<Item = &mut [u8]> {
    lens.scan(bytes, |rest, len| {
        let (piece, after) = std::mem::take(rest).split_at_mut(len);
        *rest = after;
        Some(piece)
    })
}

/// Writes the entries of a share where they belong.
fn deal(schema: Schema, share: &Share<'_>, pieces: Vec<&mut [u8]>) {
    let mut pieces: Vec<_> =
        pieces.into_iter().map(|piece| piece.chunks_exact_mut(schema.entry_len())).collect();
    for (key, KeyState { entries, .. }) in share.keys() {
        for (e, out) in entries.iter().zip(&mut pieces[part_of(key)]) {
            let (public, serials) = out.split_at_mut(schema.public_len());
            let (bytes, fields) = public.split_at_mut(schema.key_len());
            bytes.copy_from_slice(key.as_bytes());
            schema.write_fields(&e.fields, fields);
            serials[..SERIALS_LEN / 2].copy_from_slice(&e.add_serial.to_le_bytes());
            serials[SERIALS_LEN / 2..].copy_from_slice(&e.del_serial.to_le_bytes());
        }
    }
}

/// Brings the entries of a part in order. Those of one key stand in the order of their serials already.
fn sort(part: &mut [u8], key_len: usize, entry_len: usize) {
    // The first bytes of each key, then the place of its entry.
    let first = |entry: &[u8]| u64::from_be_bytes(*entry.first_chunk().expect("keys have 16 or 32 bytes"));
    let entries = (0..).zip(part.chunks_exact(entry_len));
    let mut order: Vec<u128> = entries.map(|(n, e)| u128::from(first(e)) << 64 | n).collect();
    order.sort_unstable();
    let dealt = part.to_vec();
    let at = |number: &u128| *number as u64 as usize * entry_len;
    for run in order.chunk_by_mut(|a, b| *a >> 64 == *b >> 64) {
        // Keys with the same first bytes.
        if run.len() > 1 {
            run.sort_by_key(|number| &dealt[at(number)..][..key_len]);
        }
    }
    for (out, number) in part.chunks_exact_mut(entry_len).zip(&order) {
        out.copy_from_slice(&dealt[at(number)..][..entry_len]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::params::DEFAULT_PARAMS;
    use super::super::EntryState;
    use super::*;
    use crate::release::{Fields, LIVE};

    /// Three hands that take up the last task first.
    struct Backwards;

    impl Crew for Backwards {
        fn hands(&self) -> usize {
            3
        }

        fn carry_out(&self, tasks: Vec<Task<'_>>) {
            tasks.into_iter().rev().for_each(|task| task());
        }
    }

    #[test]
    fn whoever_makes_it_the_history_is_all_entries_in_order() {
        let mut s = SetState::new(1, DEFAULT_PARAMS);
        let mut expected = Vec::new();
        for n in 0..300_000_u32 {
            // Of two keys the first bytes are the same.
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&(n / 2).wrapping_mul(2_654_435_761).to_be_bytes());
            bytes[15] = u8::from(n % 2 == 0);
            let key = Key::from_slice(&bytes).unwrap();
            let at = s.keys.open([&key].into_iter())[0];
            let fields = Fields { start: n, period: 144, ..Fields::default() };
            let serials = [(1, 2), (3, LIVE)];
            for (add_serial, del_serial) in serials.into_iter().take(n as usize % 3) {
                s.keys[at].entries.push(EntryState { fields, add_serial, del_serial, decoy: false });
                let mut entry = Vec::new();
                let schema = DEFAULT_PARAMS.schema;
                schema.history_entry(&bytes, &fields, add_serial, del_serial, &mut entry);
                expected.push(((bytes, add_serial), entry));
            }
        }
        expected.sort_unstable();
        let expected: Vec<u8> = expected.into_iter().flat_map(|(_, entry)| entry).collect();
        assert!(s.keys.shares(3).len() == 3, "enough keys for three");
        assert!(s.history() == expected);
        assert!(s.history_by(&Backwards) == expected);
    }

    #[test]
    fn a_set_without_keys_has_no_history() {
        let s = SetState::new(1, DEFAULT_PARAMS);
        assert!(s.history().is_empty() && s.history_by(&Backwards).is_empty());
    }
}
