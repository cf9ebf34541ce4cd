//! Floor 4: clocks, threads, files and sockets put together into an origin or a public node.

mod clock;
mod entropy;
mod keys;
mod directory;
mod admission;
mod origin;
mod offline;
mod keyhole;
mod builder;
mod building;
mod latch;
mod handle;
mod sealed_counts;
mod desk;
mod single;
mod answering;
mod listing;
mod authority_listing;
mod polls;
mod health;
mod metrics;
mod commands;
mod control;
mod page;
mod upstream;
mod signals;
mod streams;
mod serve;
pub mod demo;

pub use builder::{BuildError, Builder, SetNews, TableStore};
pub use clock::{Clock, SteppedClock, SystemClock};
pub use commands::Commands;
pub use control::ControlSocket;
pub use desk::{Desk, MAX_AT_WRITER, MAX_OPENERS, MAX_TO_OPEN};
pub use entropy::SystemRandom;
pub use handle::{AskError, OriginHandle, QUEUE_MAX, StartError, bring_up};
pub use health::{Finding, OriginHealth, ReportingHealth, findings};
pub use keyhole::Keyhole;
pub use keys::{KeyError, Keys, TlsFiles};
pub use listing::LISTED_RELEASES;
pub use metrics::Counters;
pub use offline::{lost_codes, read_state};
pub use origin::{
    NOBODY, Origin, OriginError, OriginOptions, journal_path, set_path, snapshots_path, trust_path,
    write_snapshot,
};
pub use polls::{PollState, Polls};
pub use sealed_counts::SealedCounts;
pub use serve::{ServeError, Serving};
pub use signals::Signals;
pub use single::{SingleOrigin, TurnError};
pub use streams::StreamsError;
pub use upstream::{Upstream, UpstreamError};
