//! What is drawn from the seed.

use tekd::engine::{Random, Seeded};

/// Numbers from a seed, for one purpose each.
pub(crate) struct Dice(Seeded);

impl Dice {
    /// The numbers of a seed for a purpose: other purposes get others.
    pub(crate) fn new(seed: u64, purpose: u64) -> Dice {
        Dice(Seeded::new(mixed(seed, purpose)))
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.below(n)
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }
}

/// The seed of one purpose of a run.
pub(crate) fn mixed(seed: u64, purpose: u64) -> u64 {
    // Odd, so that no two purposes of a run meet.
    seed.rotate_left(17) ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The randomness of one purpose of a run.
pub(crate) fn seeded(seed: u64, purpose: u64) -> Box<dyn Random> {
    Box::new(Seeded::new(mixed(seed, purpose)))
}
