//! Which codes are alive: the secrets codes are derived from, and the book in which a typed code is found.
//!
//! Codes stand nowhere on disk (spec 7.8.4): the journal has a batch's nonce and size, the codes key is a
//! secret of its own, and from the three the book is made again at every start. The book tells a batch and an
//! index and nothing else; whether that code is spent, revoked or over is the writer's to know.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::code::{CODE_DATA_BITS, Code};

/// Most codes in a book at one time (spec 7.8.4). A code takes 16 bytes and its share of the tree around it:
/// about 30 bytes as a rule and never more than 50 (every node of the tree is at least five elevenths full),
/// so that the fullest book is below 50 MiB.
pub const MAX_LIVE_CODES: u32 = 1 << 20;
/// Most codes of one batch: one event, and 2 MiB for the time it takes to enter them.
pub const MAX_BATCH_CODES: u32 = 100_000;

/// Names a codes key.
const KEY_ID: &[u8] = b"tekd/1 codes key\0";
/// Makes a batch secret of the codes key.
const BATCH: &[u8] = b"tekd/1 batch\0";
/// Makes a code of a batch secret.
const CODE: &[u8] = b"tekd/1 code\0";

// One batch fits an empty book with room for the next while the first is used.
const _: () = assert!(MAX_BATCH_CODES <= MAX_LIVE_CODES / 2);
// The arithmetic of guessing (spec 7.8.4): one guess hits a full book with 2⁻³⁵.
const _: () = assert!(MAX_LIVE_CODES.is_power_of_two() && CODE_DATA_BITS - MAX_LIVE_CODES.ilog2() == 35);

/// The secret every code of a service is derived from (spec 7.8.4).
#[derive(Clone, PartialEq, Eq)]
pub struct CodesKey([u8; 32]);

impl CodesKey {
    /// The key of 32 secret random bytes.
    pub const fn new(bytes: [u8; 32]) -> CodesKey {
        CodesKey(bytes)
    }

    /// The secret itself, to be kept safe.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the key is called where it may not stand: the first 8 bytes of `H("tekd/1 codes key\0" ‖ key)`.
    pub fn id(&self) -> [u8; 8] {
        let digest = Sha256::new().chain_update(KEY_ID).chain_update(self.0).finalize();
        first_eight(&digest)
    }

    /// The secret of the batch with this nonce.
    pub fn batch(&self, nonce: &[u8; 16]) -> BatchSecret {
        let secret = keyed(&self.0).chain_update(BATCH).chain_update(nonce).finalize().into_bytes();
        BatchSecret(keyed(&secret))
    }
}

impl fmt::Debug for CodesKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("CodesKey(…)")
    }
}

/// The secret of one batch of codes; kept as the state HMAC starts with, which saves half of the hashing.
#[derive(Clone)]
pub struct BatchSecret(Hmac<Sha256>);

impl BatchSecret {
    /// The code with this index, from 0.
    pub fn code(&self, index: u32) -> Code {
        let mac = self.0.clone().chain_update(CODE).chain_update(index.to_le_bytes()).finalize().into_bytes();
        Code::from_first_bits(first_eight(&mac))
    }
}

impl fmt::Debug for BatchSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("BatchSecret(…)")
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn first_eight(digest: &[u8]) -> [u8; 8] {
    *digest.first_chunk().expect("a SHA-256 digest has 32 bytes")
}

/// Why a batch was not entered; the book is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotEntered {
    /// A code of the batch is in the book already, or twice in the batch: draw another nonce.
    #[error("code {index} of the batch is taken: draw another nonce")]
    Collision {
        /// Index of the code in its batch.
        index: u32,
    },
    /// The batch has too many codes.
    #[error("a batch of {count} codes: the limit is {MAX_BATCH_CODES}")]
    Batch {
        /// Codes of the batch.
        count: u32,
    },
    /// The book has no room for the batch.
    #[error("{live} codes are alive and {more} more would be: the limit is {MAX_LIVE_CODES}")]
    Full {
        /// Codes in the book.
        live: usize,
        /// Codes of the batch that would be entered.
        more: usize,
    },
}

/// The codes that are alive, each with its batch and its index there.
///
/// Ordered by code, so that nobody who chooses what he types chooses how long finding takes.
// bounded: at most MAX_LIVE_CODES entries, and nothing but `insert` adds one.
#[derive(Default)]
pub struct CodeBook {
    places: BTreeMap<Code, (u32, u32)>,
}

impl CodeBook {
    /// A book without codes.
    pub const fn new() -> CodeBook {
        CodeBook { places: BTreeMap::new() }
    }

    /// Enters the codes 0 to `count` − 1 of a batch, without those whose index is to be skipped.
    ///
    /// # Errors
    /// All or nothing: after an error no code of the batch is in the book that was not there before.
    pub fn insert(
        &mut self,
        batch: u32,
        secret: &BatchSecret,
        count: u32,
        skip: impl Fn(u32) -> bool,
    ) -> Result<(), NotEntered> {
        if count > MAX_BATCH_CODES {
            return Err(NotEntered::Batch { count });
        }
        let codes =
            (0..count).filter(|&index| !skip(index)).map(|index| (secret.code(index), index)).collect();
        self.enter(batch, codes)
    }

    /// Takes the codes 0 to `count` − 1 of a batch out, and says how many there were.
    pub fn remove(&mut self, batch: u32, secret: &BatchSecret, count: u32) -> u32 {
        let mut removed = 0;
        for index in 0..count.min(MAX_BATCH_CODES) {
            if let Entry::Occupied(entry) = self.places.entry(secret.code(index))
                && *entry.get() == (batch, index)
            {
                entry.remove();
                removed += 1;
            }
        }
        removed
    }

    /// The batch of a code and its index there.
    pub fn find(&self, code: &Code) -> Option<(u32, u32)> {
        self.places.get(code).copied()
    }

    /// Codes in the book.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no code is in the book.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn enter(&mut self, batch: u32, mut codes: Vec<(Code, u32)>) -> Result<(), NotEntered> {
        let (live, more) = (self.places.len(), codes.len());
        if live + more > MAX_LIVE_CODES as usize {
            return Err(NotEntered::Full { live, more });
        }
        codes.sort_unstable();
        let twice = codes.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1);
        let taken = || codes.iter().find(|(code, _)| self.places.contains_key(code)).map(|&(_, index)| index);
        if let Some(index) = twice.or_else(taken) {
            return Err(NotEntered::Collision { index });
        }
        self.places.extend(codes.into_iter().map(|(code, index)| (code, (batch, index))));
        Ok(())
    }
}

impl fmt::Debug for CodeBook {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CodeBook({} codes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> CodesKey {
        CodesKey::new(std::array::from_fn(|i| i as u8))
    }

    fn secret(nonce: u8) -> BatchSecret {
        key().batch(&[nonce; 16])
    }

    fn all(_: u32) -> bool {
        false
    }

    /// A code made by hand, of any of 2²⁰ data.
    fn forged(data: u32) -> Code {
        Code::from_first_bits((u64::from(data) << 40).to_be_bytes())
    }

    #[test]
    fn codes_are_derived_as_the_specification_says() {
        // spec 7.8.4: computed by another program
        assert_eq!(hex::encode(key().id()), "96decc8d96ea3fcf");
        let batch = key().batch(&std::array::from_fn(|i| 100 + i as u8));
        assert_eq!(batch.code(0).to_text(), "9YQG-ZCG5-0292");
        assert_eq!(batch.code(1).to_text(), "QW39-52ZY-38CD");
        assert_eq!(batch.code(99_999).to_text(), "JHB6-Z8TB-ZYYK");
    }

    #[test]
    fn every_code_of_a_batch_is_found_until_the_batch_is_removed() {
        let mut book = CodeBook::new();
        book.insert(7, &secret(1), 300, all).expect("a new batch");
        book.insert(8, &secret(2), 200, |index| index % 2 == 0).expect("a new batch");
        assert_eq!(book.len(), 400);
        for index in 0..300 {
            assert_eq!(book.find(&secret(1).code(index)), Some((7, index)));
        }
        for index in 0..200 {
            let found = (index % 2 == 1).then_some((8, index));
            assert_eq!(book.find(&secret(2).code(index)), found);
        }
        assert_eq!(book.find(&secret(1).code(300)), None);
        assert_eq!(book.find(&secret(3).code(0)), None);
        assert_eq!(book.remove(7, &secret(1), 300), 300);
        assert_eq!(book.remove(7, &secret(1), 300), 0);
        assert_eq!(book.find(&secret(1).code(0)), None);
        assert_eq!(book.find(&secret(2).code(1)), Some((8, 1)));
        assert_eq!(book.remove(8, &secret(2), 200), 100);
        assert!(book.is_empty());
    }

    #[test]
    fn only_the_codes_of_the_batch_itself_are_removed() {
        let mut book = CodeBook::new();
        book.insert(7, &secret(1), 10, all).expect("a new batch");
        assert_eq!(book.remove(8, &secret(1), 10), 0);
        assert_eq!(book.len(), 10);
    }

    #[test]
    fn a_code_that_is_taken_leaves_the_book_as_it_was() {
        let mut book = CodeBook::new();
        book.insert(1, &secret(1), 10, |index| index != 6).expect("a new batch");
        assert_eq!(book.insert(2, &secret(1), 10, all), Err(NotEntered::Collision { index: 6 }));
        assert_eq!((book.len(), book.find(&secret(1).code(6))), (1, Some((1, 6))));
        book.insert(2, &secret(1), 10, |index| index == 6).expect("without the code that is taken");
        assert_eq!((book.len(), book.find(&secret(1).code(5))), (10, Some((2, 5))));
    }

    #[test]
    fn a_code_twice_in_a_batch_leaves_the_book_as_it_was() {
        let mut book = CodeBook::new();
        let codes = vec![(forged(3), 0), (forged(1), 1), (forged(3), 2)];
        assert_eq!(book.enter(1, codes), Err(NotEntered::Collision { index: 2 }));
        assert!(book.is_empty());
    }

    #[test]
    fn the_limits_of_a_batch_and_of_the_book_hold() {
        let mut book = CodeBook::new();
        let count = MAX_BATCH_CODES + 1;
        assert_eq!(book.insert(1, &secret(1), count, all), Err(NotEntered::Batch { count }));
        book.insert(1, &secret(1), MAX_BATCH_CODES, |index| index > 0).expect("one code");
        let rest = (1..MAX_LIVE_CODES).map(|data| (forged(data), data)).collect();
        book.enter(2, rest).expect("the book is full to the last code");
        assert_eq!(book.len(), MAX_LIVE_CODES as usize);
        let full = NotEntered::Full { live: MAX_LIVE_CODES as usize, more: 1 };
        assert_eq!(book.insert(3, &secret(3), 1, all), Err(full));
        book.insert(3, &secret(3), 5, |_| true).expect("nothing fits a full book");
        assert_eq!(book.find(&forged(MAX_LIVE_CODES - 1)), Some((2, MAX_LIVE_CODES - 1)));
    }

    #[test]
    fn secrets_leave_nothing_in_a_log_line() {
        let mut book = CodeBook::new();
        book.insert(1, &secret(1), 3, all).expect("a new batch");
        assert_eq!(
            format!("{:?} {:?} {book:?}", key(), secret(1)),
            "CodesKey(…) BatchSecret(…) CodeBook(3 codes)"
        );
    }

    proptest! {
        #[test]
        fn codes_of_other_keys_nonces_and_indices_are_other_codes(
            a: [u8; 32],
            b: [u8; 32],
            n: [u8; 16],
            i: u32,
            j: u32,
        ) {
            let (one, two) = (CodesKey::new(a), CodesKey::new(b));
            prop_assume!(a != b && i != j);
            prop_assert_ne!(one.batch(&n).code(i), one.batch(&n.map(|byte| !byte)).code(i));
            prop_assert_ne!(one.id(), two.id());
            prop_assert_ne!(one.batch(&n).code(i), two.batch(&n).code(i));
            prop_assert_ne!(one.batch(&n).code(i), one.batch(&n).code(j));
            prop_assert_eq!(one.batch(&n).code(i), CodesKey::new(a).batch(&n).code(i));
        }

        #[test]
        fn a_book_is_what_a_list_of_its_batches_says(
            batches in prop::collection::vec((0u8..6, 0u32..40), 0..12),
        ) {
            let mut book = CodeBook::new();
            let mut model: Vec<(u32, u8, u32)> = Vec::new();
            for (number, (nonce, count)) in (0u32..).zip(batches) {
                let taken = model.iter().any(|&(_, other, size)| other == nonce && size.min(count) > 0);
                let entered = book.insert(number, &secret(nonce), count, all);
                prop_assert_eq!(entered.is_err(), taken);
                if !taken {
                    model.push((number, nonce, count));
                }
                if number % 3 == 2 && let Some((old, nonce, count)) = model.pop() {
                    prop_assert_eq!(book.remove(old, &secret(nonce), count), count);
                }
                prop_assert_eq!(book.len() as u32, model.iter().map(|&(_, _, count)| count).sum::<u32>());
                for &(number, nonce, count) in &model {
                    for index in 0..count {
                        prop_assert_eq!(book.find(&secret(nonce).code(index)), Some((number, index)));
                    }
                }
            }
        }
    }
}
