//! Floor 1, pure: who may report, and what of a report is accepted.
//!
//! What is sealed is opened here, grants are told apart and judged, keys get their verdicts, and a withdrawal
//! says what it means. What must survive a restart is in the [`Registry`] alone, which changes only as the
//! journal says: [`Budgets`] and [`Seeds`] begin anew, and a [`CodeBook`] is computed again.

mod verdict;
pub mod seal;
mod code;
mod code_book;
mod puzzle;
mod budget;
mod provider_key;
mod vouched;
#[cfg(test)]
mod few_keys;
pub mod certificate;
pub mod tekmac;
mod json_object;
pub mod jwt;
mod provider;
mod batch;
mod registry;
mod scope;
#[cfg(test)]
mod guessing;

pub use batch::{Batch, BatchStanding};
pub use budget::{
    Budget, Budgets, FIRST_PUZZLE_BITS, Level, MAX_COUNTED_PROVIDERS, PROVIDER_BUDGET, TOTAL_BUDGET,
};
pub use code::{CODE_DATA_BITS, CODE_DATA_SYMBOLS, CODE_SYMBOLS, Code, MAX_TYPED, MIN_TYPED, Mistyped};
pub use code_book::{BatchSecret, CodeBook, CodesKey, MAX_BATCH_CODES, MAX_LIVE_CODES, NotEntered};
pub use provider::{Issuer, MAX_PROVIDER_KEYS, Provider, ProviderCounts, Standing};
pub use provider_key::{FINGERPRINT_LEN, KeyDirectory, KeyMaterial, KeyTextError, MAX_KEY_TEXT, ProviderKey};
pub use puzzle::{MAX_PUZZLE_BITS, MAX_PUZZLE_HASHES, MIN_PUZZLE_BITS, SEED_LEN, Seeds, solve, solved};
pub use registry::{
    Authorisation, Grant, Keyring, REPORT_INTERVALS, Registry, SpentCertificate, is_forgotten,
};
pub use scope::{ClaimFacts, Scope, Warrant};
pub use verdict::{Limits, ReportJudge, Verdict, judge};
pub use vouched::{CLOCK_GRACE_S, GRANT_IDENTITY_LEN, MAX_GRANT_LIFE_S, Vouched};
