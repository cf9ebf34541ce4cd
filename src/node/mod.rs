//! Floor 4: clocks, threads, files and sockets put together into an origin or a public node.

mod clock;
mod entropy;
mod keys;
mod origin;
mod builder;
mod handle;

pub use clock::{Clock, SteppedClock, SystemClock};
pub use entropy::SystemRandom;
pub use keys::{KeyError, Keys, TlsFiles};
pub use origin::{
    NOBODY, Origin, OriginError, OriginOptions, journal_path, set_path, snapshots_path, trust_path, write_snapshot,
};
pub use builder::{BuildError, Builder, SetNews, TableStore};
pub use handle::{AskError, OriginHandle, QUEUE_MAX, StartError, bring_up};
