//! The load generator: makes data of any size, asks a server for them as fast as wanted, and says what came
//! back.
//!
//! *One question's way*: [`pace`] says when it is due, [`traffic`] writes it, [`flights`] remembers that it
//! is out, [`system`] sends and receives whole batches, [`traffic`] judges the answer, [`report`] counts.
//! [`measure`] is the one loop in which they meet; it alone reads the clock and owns the socket.
//!
//! *One report's way*: [`sealing`] seals it before the run, [`submitting`] sends it on one of many [`lines`]
//! and keeps what comes back, [`sealing`] judges that after the run, [`submit_run`] counts. [`confirm`] sets
//! what an origin confirms beside the [`yardsticks`] of its disk and processor.
//!
//! *Over QUIC*: [`quic_measure`] asks on streams, in datagrams and by fresh handshakes, [`quic_idle`] weighs
//! connections that ask nothing, and [`quic_compare`] sets tekd beside [`quic_echo`].
//!
//! What is measured: latency counts from the moment a question was *due*, not from when it left, so that a
//! server that stalls cannot hide the questions it kept from being sent. Lost answers are counted and never
//! become samples. An answer is wrong if it breaks a rule of the wire, or disagrees with what is known of its
//! keys.

mod system;
mod cpu;
mod times;
mod draw;
mod pace;
mod flights;
mod key_file;
mod traffic;
mod report;
mod measure;
mod progress;
mod output;
mod packages;
mod data_directory;
mod echo;
mod xdp_echo;
mod median;
mod servers;
mod compare;
mod code_file;
mod patients;
mod sealing;
mod lines;
mod submitting;
mod submit_run;
mod scrape;
mod own_origin;
mod yardsticks;
mod confirmation;
mod confirm;
mod report_arguments;
mod quic_arguments;
mod quic_echo;
mod quic_measure;
mod quic_idle;
mod quic_compare;
mod arguments;
mod ending;
mod naming;
mod report_commands;
mod quic_commands;
mod commands;

pub use arguments::{
    Arguments, Command, CompareArguments, EchoArguments, GenerateArguments, LookupArguments, Peer, Transport,
};
pub use code_file::{CodeFileError, read_codes};
pub use commands::run;
pub use compare::{CompareError, CompareOptions, Comparison, Row, compare};
pub use confirm::{ConfirmError, ConfirmOptions, confirm};
pub use confirmation::{Confirmation, Round};
pub use cpu::{CpuTimes, StatError, parse_stat};
pub use data_directory::{DataDirectoryError, GeneratedData, default_newest_day, write_data_directory};
pub use draw::Draw;
pub use echo::{Echo, EchoError};
pub use flights::{CAPACITY, Flights};
pub use key_file::{KeyFileError, read_keys, write_keys};
pub use lines::ReportTransport;
pub use measure::{MeasureError, Plan, greet, measure};
pub use median::Spread;
pub use output::{OutputError, empty_directory};
pub use own_origin::OriginError;
pub use pace::{MAX_RATE, MAX_WINDOW, Pace};
pub use packages::{GeneratedPackage, GeneratedPackages, MAX_PACKAGE_KEYS, PackagesError, write_packages};
pub use quic_arguments::{CompareQuicArguments, QuicArguments, QuicWay};
pub use quic_compare::{QuicCompareError, QuicCompareOptions, QuicComparison, QuicRow, compare_quic};
pub use quic_echo::{QuicEcho, QuicEchoError};
pub use quic_idle::{IdleMemory, measure_idle};
pub use quic_measure::{QuicMeasureError, QuicPlan, measure_quic};
pub use report::Report;
pub use report_arguments::{ConfirmArguments, SubmitArguments};
pub use servers::ServerError;
pub use traffic::{Echoes, Judged, Lookups, LookupsError, TXID, Traffic};
pub use xdp_echo::{XdpEcho, XdpEchoError};
