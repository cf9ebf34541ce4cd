//! What a set knows of its keys, by key: found by hash, kept where it was put, read out in key order.
//!
//! A key in the table has a handle, by which everything else in the state names it. The keys that wait for a
//! release are a list of their own beside the table.

use std::hint::black_box;
use std::ops::{Index, IndexMut};

use super::key_index::{KeyHash, KeyIndex};
use super::slab::Slab;
use super::{KeyState, Pending};
use crate::store::Pages;
use crate::wire::Key;

/// A key in the table: good as long as something is known of the key. After that it is of no key, or of
/// another that came later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Handle(u32);

/// Where a key that does not wait stands among those that do.
const NOWHERE: u32 = u32::MAX;
/// The same of a slot that no key has.
const FREE: u32 = u32::MAX - 1;

#[derive(Debug, Clone)]
struct Slot {
    key: Key,
    /// Its place among those that wait, [`NOWHERE`] or [`FREE`].
    waits: u32,
    state: KeyState,
}

/// A part of all keys.
#[derive(Debug)]
pub(super) struct Share<'t>(&'t [Vec<Slot>]);

impl<'t> Share<'t> {
    /// Those of them of which something is known, with that.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'t Key, &'t KeyState)> + use<'t> {
        self.0.iter().flatten().filter(|slot| !slot.state.is_empty()).map(|slot| (&slot.key, &slot.state))
    }
}

/// Keys and what is known of each.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyTable {
    slots: Slab<Slot>,
    free: Vec<Handle>,
    index: KeyIndex,
    waiting: Slab<(Handle, Pending)>,
    /// Hashes of the keys that were opened last: its memory is used again.
    hashes: Vec<KeyHash>,
}

impl KeyTable {
    /// How many keys are in the table.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn find(&self, key: &Key) -> Option<Handle> {
        self.find_hashed(self.index.hash(key.as_bytes()), key)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&KeyState> {
        self.find(key).map(|at| &self[at])
    }

    pub(crate) fn key(&self, at: Handle) -> &Key {
        &self.slots[at.0].key
    }

    /// The handles of these keys; those that are new come into the table with nothing known of them.
    pub(crate) fn open<'k>(&mut self, keys: impl Iterator<Item = &'k Key> + Clone) -> Vec<Handle> {
        let mut hashes = std::mem::take(&mut self.hashes);
        hashes.clear();
        hashes.extend(keys.clone().map(|key| self.index.hash(key.as_bytes())));
        // Places are read for all before one is looked at: the processor waits for memory once, not in turn.
        black_box(hashes.iter().fold(0, |read, hash| read ^ self.index.peek(*hash)));
        let opened = keys.zip(&hashes);
        let opened = opened
            .map(|(key, hash)| self.find_hashed(*hash, key).unwrap_or_else(|| self.put(*hash, key)))
            .collect();
        self.hashes = hashes;
        opened
    }

    /// Takes a key out of the table if nothing is known of it.
    pub(crate) fn close(&mut self, at: Handle) {
        if !self[at].is_empty() || self.slots[at.0].waits == FREE {
            return;
        }
        self.wait_for(at, None);
        let hash = self.index.hash(self.key(at).as_bytes());
        self.index.remove(hash, at.0);
        self.slots[at.0].waits = FREE;
        self.free.push(at);
    }

    /// Memory for what comes from here on is taken in such pages.
    pub(crate) fn grow_in(&mut self, pages: Pages) {
        self.slots.grow_in(pages);
        self.waiting.grow_in(pages);
        self.index.grow_in(pages);
    }

    /// All keys of which something is known, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Handle, &Key, &KeyState)> {
        let slots = (0..).map(Handle).zip(self.slots.iter()).filter(|(_, slot)| !slot.state.is_empty());
        slots.map(|(at, slot)| (at, &slot.key, &slot.state))
    }

    /// All keys in as many shares, if there are enough for them.
    pub(super) fn shares(&self, shares: usize) -> Vec<Share<'_>> {
        let runs = self.slots.runs();
        runs.chunks(runs.len().div_ceil(shares)).map(Share).collect()
    }

    /// All keys of which something is known, in key order.
    pub(crate) fn in_order(&self) -> Vec<Handle> {
        self.sorted(self.iter().map(|(at, ..)| at))
    }

    /// Handles in the order of their keys.
    pub(crate) fn sorted(&self, handles: impl Iterator<Item = Handle>) -> Vec<Handle> {
        // The first bytes of a key and its handle in one number: the keys themselves are looked at only where
        // those are equal.
        let number = |at: Handle| u128::from(first_bytes(self.key(at))) << 64 | u128::from(at.0);
        let mut numbers: Vec<u128> = handles.map(number).collect();
        numbers.sort_unstable();
        let mut order: Vec<Handle> = numbers.iter().map(|number| Handle(*number as u32)).collect();
        let mut from = 0;
        for run in numbers.chunk_by(|a, b| a >> 64 == b >> 64) {
            if run.len() > 1 {
                order[from..from + run.len()].sort_unstable_by_key(|at| self.key(*at));
            }
            from += run.len();
        }
        order
    }

    /// Keys that wait for a release, in no order that means anything.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &(Handle, Pending)> {
        self.waiting.iter()
    }

    /// How many keys wait for a release.
    pub(crate) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// What a key waits for.
    pub(crate) fn waits_for(&self, at: Handle) -> Option<&Pending> {
        self.waiting.get(self.slots[at.0].waits).map(|(_, pending)| pending)
    }

    /// Lets a key wait for that, or not at all. As long as it waits for the same thing, since when stays.
    pub(crate) fn wait_for(&mut self, at: Handle, next: Option<Pending>) {
        let place = &mut self.slots[at.0].waits;
        match (self.waiting.get_mut(*place), next) {
            (Some((_, now)), Some(next)) if (Pending { since: next.since, ..*now }) == next => {}
            (Some((_, now)), Some(next)) => *now = next,
            (None, Some(next)) => {
                *place = u32::try_from(self.waiting.len()).expect("no more wait than there are handles");
                self.waiting.push((at, next));
            }
            (Some(_), None) => {
                let left = std::mem::replace(place, NOWHERE);
                self.waiting.swap_remove(left);
                if let Some((moved, _)) = self.waiting.get(left) {
                    self.slots[moved.0].waits = left;
                }
            }
            (None, None) => {}
        }
    }

    /// Lets keys that wait come out of the list, all at once: calls `each` with what they waited for.
    pub(crate) fn admit(&mut self, ready: &[Handle], mut each: impl FnMut(&Key, &mut KeyState, Pending)) {
        for at in ready {
            let slot = &mut self.slots[at.0];
            let Some((_, pending)) = self.waiting.get(slot.waits) else { continue };
            slot.waits = NOWHERE;
            each(&slot.key, &mut slot.state, *pending);
        }
        let mut kept = 0;
        for place in 0..self.waiting.len() as u32 {
            let (at, pending) = self.waiting[place];
            let waits = &mut self.slots[at.0].waits;
            if *waits != NOWHERE {
                *waits = kept;
                self.waiting[kept] = (at, pending);
                kept += 1;
            }
        }
        self.waiting.truncate(kept as usize);
    }

    fn find_hashed(&self, hash: KeyHash, key: &Key) -> Option<Handle> {
        self.index.find(hash, |number| self.is(number, key)).map(Handle)
    }

    fn is(&self, number: u32, key: &Key) -> bool {
        self.slots[number].key == *key
    }

    fn put(&mut self, hash: KeyHash, key: &Key) -> Handle {
        let slot = Slot { key: *key, waits: NOWHERE, state: KeyState::default() };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at.0] = slot;
                at
            }
            None => {
                let at = u32::try_from(self.slots.len()).ok().filter(|at| *at < FREE);
                self.slots.push(slot);
                Handle(at.expect("a set in memory has fewer keys than 2^32 - 2"))
            }
        };
        self.index.insert(hash, at.0);
        at
    }
}

impl Index<Handle> for KeyTable {
    type Output = KeyState;

    fn index(&self, at: Handle) -> &KeyState {
        &self.slots[at.0].state
    }
}

impl IndexMut<Handle> for KeyTable {
    fn index_mut(&mut self, at: Handle) -> &mut KeyState {
        &mut self.slots[at.0].state
    }
}

/// The number that the first eight bytes of a key spell.
fn first_bytes(key: &Key) -> u64 {
    u64::from_be_bytes(*key.as_bytes().first_chunk().expect("keys have 16 or 32 bytes"))
}
