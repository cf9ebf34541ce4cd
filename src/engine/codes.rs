//! The codes that are alive: told from the registry's batches and the codes key, which the journal has not.

use std::collections::BTreeMap;

use super::random::Random;
use crate::authority::{Batch, BatchSecret, BatchStanding, Code, CodeBook, CodesKey, NotEntered, Registry};

/// Nonces that are tried until the codes of a batch are nobody else's. Two codes in 2^55 rarely meet.
const NONCES_TRIED: usize = 8;

/// A batch whose codes are in the book.
#[derive(Debug, Clone, Copy)]
struct Booked {
    nonce: [u8; 16],
    count: u32,
}

/// The codes key and the book of its codes.
#[derive(Default)]
pub struct Codes {
    key: Option<CodesKey>,
    book: CodeBook,
    booked: BTreeMap<u32, Booked>,
    /// Batches whose codes come from another key.
    lost: Vec<u32>,
}

impl std::fmt::Debug for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codes").field("codes", &self.book.len()).finish_non_exhaustive()
    }
}

impl Codes {
    /// The codes of all batches that come from `key`.
    pub(crate) fn new(key: Option<CodesKey>, registry: &Registry) -> Self {
        let mut codes = Codes { key, ..Codes::default() };
        let id = codes.key_id();
        for (number, batch) in registry.batches.iter().filter(|(_, b)| b.standing != BatchStanding::Voided) {
            if Some(batch.key_id) == id {
                codes.enter(*number, batch.nonce, batch.count).expect("these codes were in a book before");
            } else {
                codes.lost.push(*number);
            }
        }
        codes
    }

    /// Id of the codes key, if it is there.
    pub fn key_id(&self) -> Option<[u8; 8]> {
        self.key.as_ref().map(CodesKey::id)
    }

    fn secret(&self, nonce: &[u8; 16]) -> Option<BatchSecret> {
        self.key.as_ref().map(|key| key.batch(nonce))
    }

    fn enter(&mut self, batch: u32, nonce: [u8; 16], count: u32) -> Result<(), NotEntered> {
        if let Some(secret) = self.secret(&nonce) {
            self.book.insert(batch, &secret, count, |_| false)?;
            self.booked.insert(batch, Booked { nonce, count });
        }
        Ok(())
    }

    /// Draws a nonce whose codes are new and enters them.
    pub(crate) fn draw(
        &mut self,
        batch: u32,
        count: u32,
        random: &mut dyn Random,
    ) -> Result<[u8; 16], NotEntered> {
        let mut tried = Ok([0; 16]);
        for _ in 0..NONCES_TRIED {
            let mut nonce = [0; 16];
            random.fill(&mut nonce);
            tried = self.enter(batch, nonce, count).map(|()| nonce);
            if !matches!(tried, Err(NotEntered::Collision { .. })) {
                break;
            }
        }
        tried
    }

    /// Forgets the codes of batches that are forgotten.
    pub(crate) fn tidy(&mut self, registry: &Registry) {
        let past: Vec<(u32, Booked)> = self
            .booked
            .iter()
            .filter(|(n, _)| !registry.batches.contains_key(n))
            .map(|(n, b)| (*n, *b))
            .collect();
        for (number, booked) in past {
            if let Some(secret) = self.secret(&booked.nonce) {
                self.book.remove(number, &secret, booked.count);
            }
            self.booked.remove(&number);
        }
    }

    /// Whether codes of `set` are outstanding that come from another key than the one that is here: what is
    /// not found may be one of them.
    pub(crate) fn cannot_tell(&self, registry: &Registry, set: u32, now: u64) -> bool {
        let mut lost = self.lost.iter().filter_map(|number| registry.batches.get(number));
        let active = |batch: &Batch| batch.set == set && batch.standing == BatchStanding::Active;
        lost.any(|batch| active(batch) && batch.outstanding(now) > 0)
    }

    /// Batch and index of a code.
    pub fn find(&self, code: &Code) -> Option<(u32, u32)> {
        self.book.find(code)
    }

    /// The codes of a batch that nobody used, to be printed once more.
    pub fn unspent(&self, registry: &Registry, number: u32) -> Option<Vec<Code>> {
        let batch = registry.batches.get(&number)?;
        let booked = self.booked.get(&number)?;
        let secret = self.secret(&booked.nonce)?;
        let unspent = (0..batch.count).filter(|index| !batch.spent.contains_key(index));
        Some(unspent.map(|index| secret.code(index)).collect())
    }
}
