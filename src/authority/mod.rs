//! Floor 1, pure: who may report, and what of a report is accepted.

pub mod seal;
mod verdict;

pub use verdict::{Limits, Verdict, judge};
