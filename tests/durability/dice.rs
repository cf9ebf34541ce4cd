//! Choices of a test, from its seed.

use tekd::client::Author;
use tekd::engine::{Random, Seeded};
use tekd::wire::Key;

pub(crate) struct Dice(Seeded);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(Seeded::new(seed))
    }

    pub(crate) fn draw(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn keys(&mut self, count: u64) -> Vec<Key> {
        super::keys::keys(self.draw(), usize::try_from(count).expect("a small number"))
    }

    pub(crate) fn author(&mut self) -> Author {
        Author::new(&mut |bytes| self.0.fill(bytes))
    }
}
