//! Numbers drawn from a seed, each a pure function of its position: any question can be made again at any
//! time.

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of numbers (SplitMix64: Steele, Lea, Flood 2014). Not randomness for anything secret.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    state: u64,
}

impl Draw {
    /// The stream of a seed.
    pub const fn new(seed: u64) -> Self {
        Draw { state: mix(seed) }
    }

    /// The stream of number `index` under this one: streams of different numbers have nothing in common.
    #[must_use]
    pub const fn at(self, index: u64) -> Self {
        Draw::new(self.state ^ mix(index.wrapping_add(STEP)))
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// The next number, below `bound` (at least 1) with a bias of at most `bound` / 2⁶⁴.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.number() as u128 * bound as u128) >> 64) as u64
    }
}

const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_stream_can_be_drawn_again_from_any_position() {
        let root = Draw::new(7);
        let first: Vec<u64> = (0..100).map(|at| root.at(at).number()).collect();
        let again: Vec<u64> = (0..100).rev().map(|at| root.at(at).number()).collect();
        assert!(first.iter().eq(again.iter().rev()));
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), 100);
        assert_ne!(Draw::new(8).at(0).number(), first[0]);
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_every_part() {
        let mut draw = Draw::new(1);
        let mut seen = [0; 10];
        for _ in 0..10_000 {
            seen[usize::try_from(draw.below(10)).expect("below 10")] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
        assert_eq!(draw.below(1), 0);
    }
}
