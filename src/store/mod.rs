//! Floor 1: bytes that last. Files through a [`Disk`], the journal, snapshots,
//! generations, and the one pointer through which readers see a new one.
//!
//! Nothing here knows what a key or a report is: the journal keeps opaque records, a
//! generation keeps sorted entries of one width.

mod direct;
mod disk;
mod memory;
mod identity;
pub mod adoption;
pub mod journal;
mod copying;
pub mod snapshot;
mod map;
mod prefetch;
pub mod generation;
mod publish;

pub use adoption::AdoptionError;
pub use copying::copy_journal;
pub use disk::{Disk, DiskFile, RealDisk, read_file, remove_unfinished, replace_file};
pub use identity::{Adopted, DIRECTORY_FORMAT, DirLock, Identity, IdentityError};
pub use map::{MemoryMode, Pages, Table};
pub use memory::{Fate, Fault, Loose, MemoryDisk, Operation, OperationKind, SECTOR};
pub use prefetch::{LINE, prefetch};
pub use publish::{Pinned, PublishError, Published, RETIRED_MAX};
