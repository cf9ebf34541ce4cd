//! Deltas: the bytes that lead from one version of a set to another (protocol-spec 3.8).
//!
//! *Live* deltas lead clients from live set to live set, *history* deltas lead nodes from history
//! to history and bring the leaves of the checkpoint log. A full is the delta from nothing. Both
//! are made by one pass over the history of the newer version, and both are canonical: equal
//! inputs give equal bytes everywhere, so that nodes can serve what the origin would.
//!
//! What an object claims is bounded by its own length before anything is allocated, and nothing
//! that it leads to is to be believed before it matches a verified checkpoint.

mod header;
mod tuples;
mod encode;
mod sections;
mod apply;

pub use apply::{ApplyLimits, HistoryResult, apply_history, apply_live};
pub use encode::{DeltaContext, encode_history, encode_live, prefer_full};
pub use header::{DeltaError, HEADER_LEN, Header, Kind, TupleMode};
