//! Floor 1: what is published. Keys' schemas and entries, the bucket tree whose root a
//! checkpoint signs, and the deltas that lead from one version of a set to another.
//!
//! Everything here is a pure function over bytes: no clock, no I/O, no randomness. Keys,
//! objects and paths arrive as slices, and what a stranger may have written is checked and
//! bounded before anything is allocated for it.

pub mod schema;
pub mod bits;
pub mod rice;
pub mod rans;
pub mod tree;
pub mod live;
pub mod delta;

pub use live::{LiveSet, SetError};
pub use schema::{EntryView, Fields, FieldsError, LIVE, ONSET_NONE, Schema};
pub use tree::{BucketError, Hash, Tree, TreeBuilder, build_tree};
