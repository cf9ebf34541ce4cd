//! Randomness as a value: whoever owns the writer passes it in, tests pass a seed.

/// A source of random bytes.
pub trait Random: Send {
    /// Fills `out`.
    fn fill(&mut self, out: &mut [u8]);

    /// A number below `n`, uniform up to a bias of n / 2^64. `n` is at least 1.
    fn below(&mut self, n: usize) -> usize {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        let product = u128::from(u64::from_le_bytes(bytes)) * n as u128;
        usize::try_from(product >> 64).expect("a product with n, shifted by 64 bits, is below n")
    }
}

/// A stream of bytes that depends on its seed alone: SHA-256 in counter mode. For tests, the demo
/// and the simulator; never for keys of a real origin.
#[derive(Debug, Clone)]
pub struct Seeded {
    seed: u64,
    counter: u64,
}

impl Seeded {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Seeded { seed, counter: 0 }
    }
}

impl Random for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        use sha2::Digest;
        for chunk in out.chunks_mut(32) {
            let block = sha2::Sha256::new()
                .chain_update(self.seed.to_le_bytes())
                .chain_update(self.counter.to_le_bytes())
                .finalize();
            self.counter += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}
