//! Floor 1, pure: who may report, and what of a report is accepted.

mod provider_key;
mod vouched;
#[cfg(test)]
mod few_keys;
pub mod certificate;
pub mod tekmac;
mod json_object;
pub mod jwt;
mod verdict;

pub use provider_key::{FINGERPRINT_LEN, KeyDirectory, KeyMaterial, KeyTextError, MAX_KEY_TEXT, ProviderKey};
pub use verdict::{Limits, Verdict, judge};
pub use vouched::{CLOCK_GRACE_S, GRANT_IDENTITY_LEN, MAX_GRANT_LIFE_S, Vouched};
