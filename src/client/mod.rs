//! Floor 3: the client. It asks servers, verifies what they say, keeps what held, and reports to the origin.
//!
//! Below, a question travels ([`Exchange`] and the [`Carrier`]s); in the middle, what came is
//! judged and kept ([`Follower`]), and what is reported ([`ReportDraft`]) is sealed to a key of
//! the verified manifest; above, [`Client`] puts all together into what a person or a node
//! wants. Only carriers and the state file touch a socket, a clock or a disk; the rest gets
//! time, randomness and sleep as values.

mod asking;
mod pace;
mod exchange;
mod carrier;
mod memory;
mod udp;
mod certificates;
mod line;
mod tls;
mod quic;
mod verify;
mod data;
mod set;
mod state;
mod state_file;
mod error;
mod ask;
mod sync;
mod prove;
mod draft;
mod reporting;
mod sealer;
mod report;

pub use ask::{Client, InfoReport, LookupReport, ManifestReport};
pub use asking::{Ask, Asking, Patience, Random, Refused, Reply};
pub use carrier::{Acquaintance, Carrier, CarrierError, Datagrams, exchange_over};
pub use certificates::client_config;
pub use data::{Change, Data, History};
pub use draft::{Author, DummyForm, ReportDraft};
pub use error::{ClientError, FailureKind};
pub use exchange::{Exchange, ExchangeError, Next, Received};
pub use memory::{MemoryDatagrams, MemoryStream};
pub use pace::{Backoff, bounded_wait_s, next_sync};
pub use prove::BucketReport;
pub use quic::{QuicCarrier, quic_config};
pub use reporting::ReportAnswer;
pub use sealer::{NotSealed, Sealer};
pub use set::{Evidence, Follower, HistoryClient, MAX_EVIDENCE, Plan, SetClient};
pub use state::StateError;
pub use state_file::{StateFileError, load_state, save_state};
pub use sync::{SyncMode, SyncReport};
pub use tls::TlsCarrier;
pub use udp::UdpCarrier;
pub use verify::{Mismatch, ReceiptFault, Unverifiable};

#[cfg(test)]
mod tests;
