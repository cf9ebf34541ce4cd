//! Floor 1, pure: who may report, and what of a report is accepted.

pub mod seal;
mod verdict;
mod code;
mod code_book;
mod puzzle;
mod budget;
pub mod seal;
mod scope;
mod provider_key;
mod provider;
mod batch;
mod certificate;
mod registry;

pub use batch::{Batch, BatchStanding};
pub use budget::{
    Budget, Budgets, FIRST_PUZZLE_BITS, Level, MAX_COUNTED_PROVIDERS, PROVIDER_BUDGET, TOTAL_BUDGET,
};
pub use certificate::Vouched;
pub use code::{CODE_DATA_BITS, CODE_DATA_SYMBOLS, CODE_SYMBOLS, Code, MAX_TYPED, MIN_TYPED, Mistyped};
pub use code_book::{BatchSecret, CodeBook, CodesKey, MAX_BATCH_CODES, MAX_LIVE_CODES, NotEntered};
pub use provider::{MAX_PROVIDER_KEYS, Provider, ProviderCounts, Standing};
pub use provider_key::{KeyDirectory, KeyMaterial, ProviderKey};
pub use puzzle::{MAX_PUZZLE_BITS, MAX_PUZZLE_HASHES, MIN_PUZZLE_BITS, SEED_LEN, Seeds, solve, solved};
pub use registry::{
    Authorisation, CLOCK_GRACE_S, Grant, Keyring, REPORT_INTERVALS, Registry, SpentCertificate, is_forgotten,
};
pub use scope::{ClaimFacts, Scope};
pub use verdict::{Limits, ReportJudge, Verdict, judge};
