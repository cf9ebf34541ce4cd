//! What the targets share: a limit on memory, seeds, edits of real files, and a small world.
//!
//! A target alone decides what must hold. Nothing here is drawn at random or read from a clock,
//! so that an input does the same each time it runs.

pub mod bounded;
pub mod edits;
pub mod mend;
pub mod seal;
pub mod seeds;
pub mod world;
