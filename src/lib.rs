//! tekd: the backend of exposure notification. Authorised keys in, signed releases out,
//! questions answered.
//!
//! *A reader never waits for the writer; the writer never publishes what is not durable.*
//!
//! # The map
//!
//! | floor | module | what it is |
//! |---|---|---|
//! | 0 | [`time`] | times and intervals as values; reads no clock |
//! | 0 | [`wire`] | frames, operations, TLVs, keys: types and codecs over the caller's bytes |
//! | 1 | [`authority`] | who may report, and what of a report is accepted: pure |
//! | 1 | [`release`] | entries, bucket tree, delta, checkpoint, log, manifest, trust: build, apply, verify: pure |
//! | 1 | `store` | the disk, the journal, snapshots, generation files, the pointer readers see |
//! | 1 | `gaen` | the field's export packages, read and written |
//! | 2 | `engine` | decisions: events from inputs, state from events, tables from releases, answers from views |
//! | 3 | `transport` | sockets: datagrams in batches or by AF_XDP, frames over TLS and QUIC |
//! | 3 | `client` | asking, verifying, keeping what held; reporting, sealed to the origin |
//! | 3 | `service` | configuration, metrics, logs, the control socket's messages |
//! | 4 | `node` | clocks, threads, files and sockets put together: an origin, or a public node |
//! | 5 | `bin` | `tekd`, `tekctl`: parse and call |
//!
//! A module imports from lower floors only, and modules of one floor do not know each other; inside a folder,
//! a file imports only what its `mod.rs` declares above it. `tests/architecture.rs` holds these laws. The
//! pure floors (0, `authority`, `release`) build without the feature `net`.
//!
//! # A question's way
//!
//! `transport::UdpWorker` (or an `XdpWorker`) receives a batch into `engine::Slot`s for `engine::Gate`, which
//! drops what must not be answered, checks cookie and limit, and lets `engine/answer.rs` write each answer
//! from one pinned `engine::View`. The worker checks at the exit that no unproved source gets more than it
//! sent, and sends the batch.
//!
//! # A report's way
//!
//! `client::Client` seals it into a frame of one size. A stream brings the frame to `engine::Gate`, which
//! hands it to `node::Desk`; the desk gives it a deadline in `engine::Deadlines` and a place before the
//! openers. An opener opens it with `engine::open_sealed` and queues it at `node::OriginHandle` as an
//! `engine::Input`. `engine::Writer::plan` judges it and turns it into events; `store::journal` makes them
//! durable; only then `committed` gives out the reply, which is sealed and leaves at the deadline.
//!
//! Its keys wait in `engine::State` until their embargo is over. At each interval the writer decides a
//! release, the builder merges it into the table before it, the root comes back, the checkpoint is signed
//! and made durable, and one pointer swap shows the new view. What operators ask goes the same way from
//! `OriginHandle` on.

pub mod time;
pub mod wire;
pub mod authority;
pub mod release;
#[cfg(feature = "net")]
pub mod store;
#[cfg(feature = "net")]
pub mod gaen;
#[cfg(feature = "net")]
pub mod engine;
#[cfg(feature = "net")]
pub mod transport;
#[cfg(feature = "net")]
pub mod client;
#[cfg(feature = "net")]
pub mod service;
#[cfg(feature = "net")]
pub mod node;
