//! Floor 1, pure: who may report, and what of a report is accepted.

mod verdict;
mod code;
mod code_book;
mod puzzle;
mod budget;
#[cfg(test)]
mod guessing;

pub use budget::{
    Budget, Budgets, FIRST_PUZZLE_BITS, Level, MAX_COUNTED_PROVIDERS, PROVIDER_BUDGET, TOTAL_BUDGET,
};
pub use code::{CODE_DATA_BITS, CODE_DATA_SYMBOLS, CODE_SYMBOLS, Code, MAX_TYPED, MIN_TYPED, Mistyped};
pub use code_book::{BatchSecret, CodeBook, CodesKey, MAX_BATCH_CODES, MAX_LIVE_CODES, NotEntered};
pub use puzzle::{MAX_PUZZLE_BITS, MAX_PUZZLE_HASHES, MIN_PUZZLE_BITS, SEED_LEN, Seeds, solve, solved};
pub use verdict::{Limits, Verdict, judge};
