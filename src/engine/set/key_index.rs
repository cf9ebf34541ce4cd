//! Where each key is in a table: a hash table of numbers beside what they stand for.
//!
//! Keys come from strangers: the hash takes in random numbers of this process, so that nobody can choose keys
//! that meet. Nobody sees in which order it holds anything.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::store::on_huge_pages;

/// Places of the smallest index that is not empty.
const FIRST_PLACES: usize = 16;
/// Of four places, how many are taken at most.
const TAKEN_OF_4: usize = 3;

const _: () = assert!(FIRST_PLACES.is_power_of_two() && TAKEN_OF_4 < 4);

/// The hash of a key, in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyHash(u32);

/// The numbers of keys by their hash. A place holds the hash and the number plus one, or zero; who looks for
/// a hash begins at the place that its first bits name and goes on to the next until it finds a zero.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyIndex {
    hasher: RandomState,
    places: Vec<u64>,
    len: usize,
}

impl KeyIndex {
    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        KeyHash((hasher.finish() >> 32) as u32)
    }

    /// Reads where the search for `hash` begins. What is read says nothing: it is near from then on.
    pub(super) fn peek(&self, hash: KeyHash) -> u64 {
        self.places.get(self.home(hash)).copied().unwrap_or(0)
    }

    /// The number under `hash` that `is` the right one.
    pub(super) fn find(&self, hash: KeyHash, is: impl Fn(u32) -> bool) -> Option<u32> {
        if self.places.is_empty() {
            return None;
        }
        let mut at = self.home(hash);
        loop {
            let (found, number) = parts(self.places[at])?;
            if found == hash && is(number) {
                return Some(number);
            }
            at = self.next(at);
        }
    }

    /// Adds a number below 2³² − 1 that is not there.
    pub(super) fn insert(&mut self, hash: KeyHash, number: u32) {
        if self.places.len() * TAKEN_OF_4 <= self.len * 4 {
            self.grow();
        }
        self.len += 1;
        self.place(hash, number);
    }

    /// Takes a number out that is there.
    pub(super) fn remove(&mut self, hash: KeyHash, number: u32) {
        let mut hole = self.home(hash);
        while parts(self.places[hole]) != Some((hash, number)) {
            hole = self.next(hole);
        }
        self.len -= 1;
        // What was pushed on by what leaves moves up, so that no search ends too early.
        let mut at = self.next(hole);
        while let Some((moved, _)) = parts(self.places[at]) {
            if self.distance(self.home(moved), at) >= self.distance(hole, at) {
                self.places[hole] = self.places[at];
                hole = at;
            }
            at = self.next(at);
        }
        self.places[hole] = 0;
    }

    fn home(&self, hash: KeyHash) -> usize {
        ((u64::from(hash.0) * self.places.len() as u64) >> 32) as usize
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.places.len() - 1)
    }

    fn place(&mut self, hash: KeyHash, number: u32) {
        let mut at = self.home(hash);
        while self.places[at] != 0 {
            at = self.next(at);
        }
        self.places[at] = u64::from(hash.0) << 32 | u64::from(number + 1);
    }

    /// Twice the places. Homes keep their order, so that both are gone through from front to back.
    fn grow(&mut self) {
        let twice = (self.places.len() * 2).max(FIRST_PLACES);
        let places = vec![0; twice];
        on_huge_pages(&places);
        for (hash, number) in std::mem::replace(&mut self.places, places).into_iter().filter_map(parts) {
            self.place(hash, number);
        }
    }
}

fn parts(place: u64) -> Option<(KeyHash, u32)> {
    let number = (place as u32).checked_sub(1)?;
    Some((KeyHash((place >> 32) as u32), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_is_found_and_what_was_taken_out_is_not() {
        let mut index = KeyIndex::default();
        // Few hashes for many numbers: long runs, some of which go over the end.
        let hash = |n: u32| KeyHash(u32::MAX - n % 7 * 3);
        let mut in_it = std::collections::BTreeSet::new();
        for step in 0..3000_u32 {
            let n = step.wrapping_mul(2_654_435_761) >> 23;
            if in_it.insert(n) {
                index.insert(hash(n), n);
            } else {
                in_it.remove(&n);
                index.remove(hash(n), n);
            }
            assert_eq!(index.len, in_it.len());
        }
        for n in 0..512 {
            let found = index.find(hash(n), |number| number == n);
            assert_eq!(found, in_it.contains(&n).then_some(n), "{n}");
        }
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        let index = KeyIndex::default();
        assert_eq!(index.find(index.hash(&[7; 16]), |_| true), None);
    }
}
