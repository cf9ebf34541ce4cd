//! The puzzle of spec 7.5.1: work that makes guessing grants dear, and bans nobody.
//!
//! A solution is bound to the seed, the report id and the grant, so that it serves one guess; a seed holds
//! for the hour it was drawn in and the next, so that nobody works ahead. The seeds are the writer's and no
//! state: after a restart a client is asked once more. Whether a puzzle is asked for, the budgets say.

use sha2::{Digest, Sha256};

/// Bytes of a seed.
pub const SEED_LEN: usize = 16;
/// Fewest bits of a puzzle (spec 7.5.2).
pub const MIN_PUZZLE_BITS: u8 = 16;
/// Most bits of a puzzle (spec 7.5.2): 17 million hashes on average.
pub const MAX_PUZZLE_BITS: u8 = 24;
/// Hashes after which a solver gives up: 16 times what the hardest puzzle takes on average, so that it fails
/// once in nine million times.
pub const MAX_PUZZLE_HASHES: u64 = 1 << 28;
/// Seconds for which a seed is given out; it holds for as long again (spec 7.5.1: at least an hour).
const SEED_S: u64 = 3_600;
/// What a puzzle's hash begins with.
const PUZZLE: &[u8] = b"tekd/1 puzzle\0";

const _: () = assert!(MIN_PUZZLE_BITS <= MAX_PUZZLE_BITS && (MAX_PUZZLE_BITS as u32) < u64::BITS);
const _: () = assert!(MAX_PUZZLE_HASHES >= 16 << MAX_PUZZLE_BITS);

/// The seed of this hour and the one before it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seeds {
    current: Option<Seed>,
    previous: Option<Seed>,
}

#[derive(Debug, Clone, Copy)]
struct Seed {
    hour: u64,
    bytes: [u8; SEED_LEN],
}

impl Seeds {
    /// No seeds yet.
    pub const fn new() -> Seeds {
        Seeds { current: None, previous: None }
    }

    /// The seed to give out at `now` (Unix seconds): that of this hour, drawn by `fill` with the first
    /// question of the hour. A clock that went back draws none.
    pub fn at(&mut self, now: u64, fill: impl FnOnce(&mut [u8; SEED_LEN])) -> [u8; SEED_LEN] {
        let hour = now / SEED_S;
        match self.current {
            Some(seed) if hour <= seed.hour => seed.bytes,
            _ => {
                let mut bytes = [0; SEED_LEN];
                fill(&mut bytes);
                self.previous = self.current.replace(Seed { hour, bytes });
                bytes
            }
        }
    }

    /// Whether a seed was given out in this hour or the one before.
    pub fn holds(&self, seed: &[u8; SEED_LEN], now: u64) -> bool {
        let hour = now / SEED_S;
        let held = [self.current, self.previous];
        held.into_iter().flatten().any(|known| known.bytes == *seed && hour <= known.hour + 1)
    }
}

/// Whether `H("tekd/1 puzzle\0" ‖ seed ‖ report id ‖ H(grant) ‖ solution)`, the solution little-endian,
/// begins with `bits` zero bits (spec 7.5.1).
pub fn solved(seed: &[u8; SEED_LEN], bits: u8, report: &[u8; 16], grant: &[u8], solution: u64) -> bool {
    Riddle::new(seed, report, grant).fits(bits, solution)
}

/// The least solution, if one is among the first `hashes`; `None` at once above [`MAX_PUZZLE_BITS`], which no
/// honest server asks for.
pub fn solve(seed: &[u8; SEED_LEN], bits: u8, report: &[u8; 16], grant: &[u8], hashes: u64) -> Option<u64> {
    if bits > MAX_PUZZLE_BITS {
        return None;
    }
    let riddle = Riddle::new(seed, report, grant);
    // bounded: no puzzle costs more than MAX_PUZZLE_HASHES, whatever the caller allows.
    (0..hashes.min(MAX_PUZZLE_HASHES)).find(|&solution| riddle.fits(bits, solution))
}

/// The hash of everything but the solution.
struct Riddle(Sha256);

impl Riddle {
    fn new(seed: &[u8; SEED_LEN], report: &[u8; 16], grant: &[u8]) -> Riddle {
        let start = Sha256::new().chain_update(PUZZLE).chain_update(seed).chain_update(report);
        Riddle(start.chain_update(Sha256::digest(grant)))
    }

    fn fits(&self, bits: u8, solution: u64) -> bool {
        let digest = self.0.clone().chain_update(solution.to_le_bytes()).finalize();
        let first = *digest.first_chunk().expect("a SHA-256 digest has 32 bytes");
        u64::from_be_bytes(first).leading_zeros() >= u32::from(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 1_700_000_000 / SEED_S * SEED_S;

    fn draw(byte: u8) -> impl FnOnce(&mut [u8; SEED_LEN]) {
        move |seed| *seed = [byte; SEED_LEN]
    }

    fn none(_: &mut [u8; SEED_LEN]) {
        panic!("a seed is drawn once an hour");
    }

    #[test]
    fn a_seed_is_drawn_once_an_hour() {
        let mut seeds = Seeds::new();
        assert_eq!(seeds.at(HOUR, draw(1)), [1; 16]);
        assert_eq!(seeds.at(HOUR + 3_599, none), [1; 16]);
        assert_eq!(seeds.at(HOUR + 3_600, draw(2)), [2; 16]);
        assert_eq!(seeds.at(HOUR + 7_199, none), [2; 16]);
    }

    #[test]
    fn a_seed_holds_for_at_least_an_hour_and_less_than_two() {
        // spec 7.5.1
        let mut seeds = Seeds::new();
        let seed = seeds.at(HOUR + 3_599, draw(1));
        assert!(seeds.holds(&seed, HOUR + 3_599 + 3_600), "nobody asked in between");
        seeds.at(HOUR + 3_600, draw(2));
        assert!(seeds.holds(&seed, HOUR + 3_599 + 3_600));
        assert!(!seeds.holds(&seed, HOUR + 7_200));
        assert!(seeds.holds(&[2; 16], HOUR + 10_799));
        assert!(!seeds.holds(&[2; 16], HOUR + 10_800));
        seeds.at(HOUR + 7_200, draw(3));
        assert!(!seeds.holds(&seed, HOUR + 7_200));
        assert!(seeds.holds(&[2; 16], HOUR + 7_200));
    }

    #[test]
    fn no_seed_holds_that_was_never_given_out() {
        let mut seeds = Seeds::default();
        assert!(!seeds.holds(&[0; 16], 0));
        seeds.at(HOUR, draw(1));
        assert!(!seeds.holds(&[0; 16], HOUR));
        assert!(!seeds.holds(&[2; 16], HOUR));
    }

    #[test]
    fn a_clock_that_goes_back_draws_no_seed_and_forgets_none() {
        let mut seeds = Seeds::new();
        seeds.at(HOUR, draw(1));
        seeds.at(HOUR + 3_600, draw(2));
        assert_eq!(seeds.at(HOUR, none), [2; 16]);
        assert!(seeds.holds(&[1; 16], HOUR) && seeds.holds(&[2; 16], HOUR));
    }

    #[test]
    fn the_solution_is_the_one_the_specification_gives() {
        // spec 7.5.1: computed by another program
        let seed = std::array::from_fn(|i| i as u8);
        let report = std::array::from_fn(|i| 16 + i as u8);
        let solution = solve(&seed, MIN_PUZZLE_BITS, &report, b"0000-0000-0000", MAX_PUZZLE_HASHES);
        assert_eq!(solution, Some(25_534));
        assert!(solved(&seed, 18, &report, b"0000-0000-0000", 25_534), "its hash begins 00003c");
        assert!(!solved(&seed, 19, &report, b"0000-0000-0000", 25_534));
        assert_eq!(solve(&seed, 16, &report, b"0000-0000-0000", 25_534), None, "one hash too few");
        assert_eq!(solve(&seed, 16, &report, b"0000-0000-0000", 25_535), Some(25_534));
    }

    #[test]
    fn a_solver_is_not_made_to_work_for_more_bits_than_there_are() {
        assert_eq!(solve(&[0; 16], MAX_PUZZLE_BITS + 1, &[0; 16], b"", u64::MAX), None);
        assert!(!solved(&[0; 16], u8::MAX, &[0; 16], b"", 0));
    }

    proptest! {
        #[test]
        fn a_solution_serves_its_own_seed_report_and_grant(
            seed: [u8; 16],
            report: [u8; 16],
            grant: [u8; 12],
            at in 0usize..16,
        ) {
            let bits = 8;
            let solution = solve(&seed, bits, &report, &grant, 1 << 16).expect("8 bits within 65,536 hashes");
            prop_assert!(solved(&seed, bits, &report, &grant, solution));
            let turned = |mut bytes: [u8; 16]| { bytes[at] ^= 1; bytes };
            let longer = [&grant[..], &[0]].concat();
            // A solution fits elsewhere by chance once in 256 times: of sixteen or so not half may fit.
            let fitting: Vec<u64> =
                (0..1 << 12).filter(|&n| solved(&seed, bits, &report, &grant, n)).collect();
            for (seed, report, grant) in [
                (turned(seed), report, &grant[..]),
                (seed, turned(report), &grant[..]),
                (seed, report, &longer[..]),
            ] {
                let elsewhere = fitting.iter().filter(|&&n| solved(&seed, bits, &report, grant, n)).count();
                prop_assert!(elsewhere * 2 < fitting.len().max(6));
            }
        }
    }
}
