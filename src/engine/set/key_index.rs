//! Where each key is in a table: a hash table of numbers beside what they stand for.
//!
//! It grows by a segment at a time (linear hashing: Litwin, VLDB 1980), so that no key that comes in has to
//! wait until all that are there are put elsewhere.
//!
//! Keys come from strangers: the hash takes in random numbers of this process, so that nobody can choose keys
//! that meet. Nobody sees in which order it holds anything.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::slab::Slab;
use crate::store::Pages;

/// Places of a segment, as a power of two.
const PLACE_BITS: u32 = 10;
const PLACES: usize = 1 << PLACE_BITS;
/// Of sixteen places of a segment, how many are taken when the first one of its round is divided.
const FIRST_OF_16: usize = 10;
/// The same for the last one of the round.
const LAST_OF_16: usize = 13;

// A round that is over leaves the next one nothing to catch up with.
const _: () = assert!(FIRST_OF_16 < LAST_OF_16 && LAST_OF_16 <= 2 * FIRST_OF_16 && LAST_OF_16 < 16);

/// The hash of a key, in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyHash(u32);

/// A place holds the hash and the number plus one, or zero.
type Segment = [u64; PLACES];

/// The numbers of keys by their hash. The last bits of a hash name a segment, the first bits a place in it;
/// who looks for a hash begins there and goes round the segment until it finds a zero.
///
/// In a round each segment is divided once, in turn: of 2^n + s segments those below s, and those from 2^n
/// on, go by one bit of the hash more than the others.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyIndex {
    hasher: RandomState,
    segments: Slab<Segment, 12>,
    /// How many segments there are, and how many there were when the round began.
    count: u32,
    round: u32,
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
        if self.count == 0 { 0 } else { self.segments[self.segment(hash)][home(hash)] }
    }

    /// The number under `hash` that `is` the right one.
    pub(super) fn find(&self, hash: KeyHash, is: impl Fn(u32) -> bool) -> Option<u32> {
        if self.count == 0 {
            return None;
        }
        let segment = &self.segments[self.segment(hash)];
        for at in around(home(hash)) {
            let (found, number) = parts(segment[at])?;
            if found == hash && is(number) {
                return Some(number);
            }
        }
        None
    }

    /// Adds a number below 2³² − 1 that is not there.
    pub(super) fn insert(&mut self, hash: KeyHash, number: u32) {
        self.len += 1;
        if !self.has_room() {
            self.divide();
        }
        while !self.place(hash, number) {
            // A segment that is full before its turn, which random hashes hardly ever make.
            self.divide();
        }
    }

    /// Takes a number out that is there.
    pub(super) fn remove(&mut self, hash: KeyHash, number: u32) {
        let at = self.segment(hash);
        let segment = &mut self.segments[at];
        let mut hole = around(home(hash)).find(|at| parts(segment[*at]) == Some((hash, number)));
        self.len -= usize::from(hole.is_some());
        while let Some(free) = hole.take() {
            // What was pushed on by what leaves moves up, so that no search ends too early.
            for at in around(free).skip(1) {
                let Some((moved, _)) = parts(segment[at]) else { break };
                if distance(home(moved), at) >= distance(free, at) {
                    segment[free] = segment[at];
                    hole = Some(at);
                    break;
                }
            }
            segment[hole.unwrap_or(free)] = 0;
        }
    }

    /// Memory for what comes from here on is taken in such pages.
    pub(super) fn grow_in(&mut self, pages: Pages) {
        self.segments.grow_in(pages);
    }

    /// The segment of a hash; there is one.
    fn segment(&self, hash: KeyHash) -> u32 {
        match hash.0 & (2 * self.round - 1) {
            divided if divided < self.count => divided,
            whole => whole - self.round,
        }
    }

    /// Whether no segment is due to be divided: the fuller those are that still wait for it in this round,
    /// the more of the round must be done.
    fn has_room(&self) -> bool {
        let (round, done) = (self.round as usize, (self.count - self.round) as usize);
        self.len * 16 <= (FIRST_OF_16 * round + (LAST_OF_16 - FIRST_OF_16) * done) * PLACES
    }

    /// Divides the segment whose turn it is; the first one comes of itself.
    fn divide(&mut self) {
        self.segments.push([0; PLACES]);
        let turn = self.count - self.round;
        self.count += 1;
        if self.count >= 2 * self.round {
            self.round = self.count;
        }
        let divided = std::mem::replace(&mut self.segments[turn], [0; PLACES]);
        for (hash, number) in divided.into_iter().filter_map(parts) {
            self.place(hash, number);
        }
    }

    /// Whether there was a place for it.
    fn place(&mut self, hash: KeyHash, number: u32) -> bool {
        let at = self.segment(hash);
        let segment = &mut self.segments[at];
        let free = around(home(hash)).find(|at| segment[*at] == 0);
        if let Some(free) = free {
            segment[free] = u64::from(hash.0) << 32 | u64::from(number + 1);
        }
        free.is_some()
    }
}

/// Where in its segment a hash belongs.
fn home(hash: KeyHash) -> usize {
    (hash.0 >> (u32::BITS - PLACE_BITS)) as usize
}

/// All places of a segment, from this one on.
fn around(from: usize) -> impl Iterator<Item = usize> {
    (from..from + PLACES).map(|at| at & (PLACES - 1))
}

fn distance(from: usize, to: usize) -> usize {
    to.wrapping_sub(from) & (PLACES - 1)
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
    fn it_grows_by_a_segment_at_a_time_and_stays_as_full_as_it_should() {
        let mut index = KeyIndex::default();
        let hashes: Vec<_> = (0..200_000_u32).map(|n| index.hash(&n.to_le_bytes())).collect();
        for (n, hash) in (0..).zip(&hashes) {
            let before = index.segments.len();
            index.insert(*hash, n);
            assert!(index.segments.len() - before <= 1, "{n}");
        }
        let places = index.segments.len() * PLACES;
        assert!((places / 3..places * 5 / 8).contains(&index.len), "{} in {places}", index.len);
        assert!((0..).zip(&hashes).all(|(n, hash)| index.find(*hash, |number| number == n) == Some(n)));
    }

    #[test]
    fn whatever_comes_and_goes_while_it_grows_is_found_or_not() {
        let mut index = KeyIndex::default();
        let mut in_it = vec![false; 20_000];
        for step in 0..120_000_u32 {
            // More come than go.
            let n = step.wrapping_mul(2_654_435_761) >> 8;
            let n = n % in_it.len() as u32;
            let hash = index.hash(&n.to_le_bytes());
            if !in_it[n as usize] {
                index.insert(hash, n);
                in_it[n as usize] = true;
            } else if step % 3 == 0 {
                index.remove(hash, n);
                in_it[n as usize] = false;
            }
        }
        assert!(index.segments.len() > 8, "{}", index.segments.len());
        assert_eq!(index.len, in_it.iter().filter(|is| **is).count());
        for (n, is) in (0..).zip(in_it) {
            let found = index.find(index.hash(&u32::to_le_bytes(n)), |number| number == n);
            assert_eq!(found, is.then_some(n), "{n}");
        }
    }

    #[test]
    fn a_segment_that_is_full_before_its_turn_loses_nothing() {
        let mut index = KeyIndex::default();
        // Hashes that end alike, so that of eight segments all but one stay empty.
        let hash = |n: u32| KeyHash(n << 3);
        let count = 3 * PLACES as u32;
        (0..count).for_each(|n| index.insert(hash(n), n));
        assert!((0..count).all(|n| index.find(hash(n), |number| number == n) == Some(n)));
        assert_eq!(index.find(hash(count), |_| true), None, "and the search for what is not there ends");
        (0..count).for_each(|n| index.remove(hash(n), n));
        assert_eq!(index.len, 0);
        assert!(index.segments.iter().flatten().all(|place| *place == 0));
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        let index = KeyIndex::default();
        assert_eq!(index.find(index.hash(&[7; 16]), |_| true), None);
    }
}
