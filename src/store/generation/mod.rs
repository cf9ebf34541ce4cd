//! Generations: one set at one version, as an immutable sorted file and as the table
//! that answers are read from.
//!
//! `header · sorted entries · prefix index · Merkle nodes` (file clause 5.6). A generation
//! is a disposable cache: it is computed from the journal or from an upstream's history,
//! written once, verified whole before a byte of it is served, and thrown away; damage is
//! reported and never repaired in place.
//!
//! What an entry means is not known here. It is `key · opaque fields · add_serial ·
//! del_serial`, and the nodes are bytes that the caller computed.

mod order;
mod layout;
mod files;
mod table;
mod lookup;
mod vouching;
mod build;
mod ahead;

pub use ahead::EntriesAhead;
pub use build::GenerationBuilder;
pub use files::{TEMPORARY_SUFFIX, file_name, generations, retire_older};
pub use layout::{
    BUCKET_BITS_MAX, DIGEST_LEN, ENTRIES_MAX, FORMAT, GenerationMeta, HEADER_LEN, INDEX_BITS_MAX, MAGIC,
    index_bits, nodes_len,
};
pub use lookup::SCAN_MAX;
pub use order::{ENTRY_LEN_MAX, LIVE, OrderError, Shape, ShapeError, add_serial, del_serial, is_live};
pub use table::{Generation, InOrder, entries_digest};

use std::io;
use std::path::{Path, PathBuf};

/// The parts of a generation file, as errors name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The first 4096 bytes.
    Header,
    /// The sorted entries.
    Entries,
    /// The prefix index.
    Index,
    /// The Merkle nodes.
    Nodes,
    /// The zero bytes between sections.
    Padding,
    /// The file as a whole: its length.
    File,
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Entries => "entries",
            Self::Index => "index",
            Self::Nodes => "nodes",
            Self::Padding => "padding",
            Self::File => "file",
        })
    }
}

/// Why a generation could not be written or opened.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what was written; it is to be thrown away and computed anew.
    #[error("{}: {section} damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The part that does not verify.
        section: Section,
        /// What is wrong with it.
        what: String,
    },
    /// The file has a format of a later tekd.
    #[error("{}: format {format} was written by a newer version, this one reads {FORMAT}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format it has.
        format: u16,
    },
    /// Entries of these lengths are not kept.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The set uses more prefix bits than a tree may have.
    #[error("{bits} bucket bits, at most {BUCKET_BITS_MAX} are possible")]
    Bits {
        /// The bits.
        bits: u8,
    },
    /// An entry was pushed that the ones before it do not allow.
    #[error("entry {position}: {source}")]
    Order {
        /// How many entries stood before it.
        position: u64,
        /// What it violates.
        source: OrderError,
    },
    /// More entries than announced, or than a generation may have.
    #[error("more than {limit} entries")]
    TooMany {
        /// The announced or the general limit, whichever is smaller.
        limit: u64,
    },
    /// The node section does not have the length that the bucket bits give it.
    #[error("{got} bytes of nodes, {bits} bucket bits need {need}")]
    Nodes {
        /// Length handed in.
        got: u64,
        /// Length needed.
        need: u64,
        /// The bucket bits.
        bits: u8,
    },
}

impl GenerationError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_path_buf(), source }
    }

    fn damaged(path: &Path, section: Section, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_path_buf(), section, what: what.into() }
    }
}

#[cfg(test)]
mod tests;
