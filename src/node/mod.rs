//! Floor 4: clocks, threads, files and sockets put together into an origin or a public node.
//!
//! `serve.rs` starts and stops it all; `directory.rs` and `keys.rs` say what lies where. The threads:
//!
//! | thread | file | what it does |
//! |---|---|---|
//! | `tekd-udp-N` | `transport`'s | answers datagrams from one view a batch |
//! | `tekd-xdp-INTERFACE-N` | `transport`'s, started by `xdp.rs` | the same, past the kernel's network stack |
//! | `tekd-addresses` | `xdp_addresses.rs` | has AF_XDP follow the addresses of its interfaces |
//! | those of the runtime | `streams.rs`, `answering.rs` | frames over TLS and QUIC, sealed ones to the desk |
//! | `tekd-opener-N`, `tekd-releaser` | `desk.rs` | opens what is sealed; lets answers out at their deadlines |
//! | `tekd-writer` | `writing.rs`, turning `origin.rs` | decides, makes durable, then answers |
//! | one for each group | `mirror.rs` | writes it to the mirror, while the writer writes it to the journal |
//! | `tekd-preparer` | `preparing.rs` | makes the journal's next segment while the writer fills this one |
//! | `tekd-reading` | `private.rs`, `reading.rs` | reads the state after a start, while readers are served |
//! | `tekd-builder` | `building.rs`, driving `builder.rs` | makes tables and shows views |
//! | `tekd-folder` | `folding.rs` | folds snapshots out of the files, beside the writer |
//! | `tekd-scrubber` | `scrubbing.rs` | reads closed segments of the journal and its mirror, once a day |
//! | `tekd-upstream` | `upstream.rs`, driving `following.rs` | a public node's polls; its builder is there too |
//! | `tekd-control`, `tekd-command` | `control.rs`, `commands/` | what operators ask |
//! | `tekd-metrics` | `metrics_page.rs` | the page of `metrics.rs` |
//!
//! `single.rs` is an origin without the threads, for the demo, tests and the simulation.
//!
//! *A report is lost*: `desk.rs`, where each question has a promise that answers it, then `handle.rs`, whose
//! queue it waits in. `engine/writer/reporting.rs` decides about it.
//!
//! *A deadline is missed*: `desk.rs`, `engine/deadlines.rs`; `sealed_counts.rs` counts, `health.rs` says so.
//!
//! *A release is stuck*: `engine/guard.rs` holds it while the clock is in doubt, `engine/releasing.rs` says
//! which keys wait, and `building.rs` tries again what could not be made or shown.

mod clock;
mod entropy;
mod crew;
mod background;
mod keys;
mod reading;
mod directory;
mod snapshots;
mod spread;
mod writer_counts;
mod unwritten;
mod admission;
mod mirror;
mod origin;
mod offline;
mod verifying;
mod rebuilding;
mod auditing;
mod backup;
mod opening_keys;
mod showing;
mod news;
mod builder;
mod building;
mod latch;
mod folding;
mod preparing;
mod writing;
mod handle;
mod sealed_counts;
mod desk;
mod private;
mod single;
mod answering;
mod listing;
mod authority_listing;
mod polls;
mod health;
mod scrubbing;
#[cfg(feature = "xdp")]
mod xdp_addresses;
#[cfg(feature = "xdp")]
mod xdp;
#[cfg(not(feature = "xdp"))]
mod xdp_left_out;
mod metrics;
mod commands;
mod control;
mod metrics_page;
mod following;
mod upstream;
mod signals;
mod machine;
mod streams;
mod spreading;
mod serve;
pub mod demo;

pub use auditing::{Audited, AuditingError, audit_journal};
pub use backup::{Backup, BackupError, back_up};
pub use builder::{BuildError, Builder, TableStore};
pub use clock::{Clock, SteppedClock, SystemClock};
pub use commands::Commands;
pub use control::ControlSocket;
pub use desk::{Desk, MAX_AT_WRITER, MAX_OPENERS, MAX_TO_OPEN};
pub use entropy::SystemRandom;
pub use following::{FollowError, Following};
pub use handle::{AskError, OriginHandle, QUEUE_MAX, StartError, bring_up};
pub use health::{Finding, OriginHealth, ReportingHealth, findings};
pub use keys::{KeyError, Keys, TlsFiles};
pub use listing::LISTED_RELEASES;
pub use machine::read_machine;
pub use metrics::{Counters, HeldKeys};
pub use news::SetNews;
pub use offline::{lost_codes, read_state};
pub use opening_keys::Keyhole;
pub use origin::{
    NOBODY, Origin, OriginError, OriginOptions, journal_path, set_path, snapshots_path, trust_path,
};
pub use polls::{PollState, Polls};
pub use private::PrivateHalf;
pub use rebuilding::{RebuildingError, RebuiltJournal, rebuild_journal, rebuild_journal_into};
pub use scrubbing::Scrubbing;
pub use sealed_counts::SealedCounts;
pub use serve::{ServeError, Serving};
pub use signals::Signals;
pub use single::{SingleOrigin, TurnError};
pub use snapshots::{bytes_to_oldest_base, first_state, fold};
pub use streams::StreamsError;
pub use upstream::{Upstream, UpstreamError};
pub use verifying::verify_journal;
pub use writer_counts::WriterCounts;
#[cfg(feature = "xdp")]
pub use xdp::XdpState;
#[cfg(not(feature = "xdp"))]
use xdp_left_out as xdp;
#[cfg(not(feature = "xdp"))]
pub use xdp_left_out::XdpState;
