//! The load generator: makes data of any size, asks a server for them as fast as wanted, and says what came
//! back.
//!
//! *One question's way*: [`pace`] says when it is due, a [`traffic`] ([`lookups`], [`dns`]) writes it,
//! [`flights`] remembers that it is out, [`system`] sends and receives whole batches, the traffic judges the
//! answer, [`report`] counts. [`measure`] is the one loop in which they meet; it alone reads the clock and
//! owns the socket.
//!
//! *One comparison's way*: [`stage`] makes networks and takes cores, [`peers`] starts the servers on it,
//! [`compare`](mod@compare) lets them answer in turn on each [`course`], [`comparison`] makes rows of it,
//! [`results`] keeps them with a [`chart`].
//!
//! The same loop asks for [`checkpoints`], [`buckets`], [`syncs`] or all of it [`mixed`], after [`learning`]
//! what has to be known; over connections the loop is that of [`streams`].
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
mod core_times;
mod times;
mod draw;
mod pace;
mod flights;
mod key_file;
mod dns_message;
mod traffic;
mod conversation;
mod lookups;
mod names;
mod dns;
mod report;
mod verdicts;
mod measure;
mod progress;
mod output;
mod packages;
mod data_directory;
mod data_cache;
#[cfg(test)]
mod gate_for_tests;
mod checkpoints;
mod buckets;
mod syncs;
mod mixed;
mod transports;
mod learning;
mod echo;
mod xdp_echo;
mod xdp_measure;
mod median;
mod scrape;
mod servers;
mod sizes;
mod stage;
mod name_servers;
mod peers;
mod course;
mod machine;
mod table;
mod chart;
mod comparison;
mod compare;
mod results;
mod code_file;
mod patients;
mod sealing;
mod lines;
mod submitting;
mod streams;
mod submit_run;
mod own_origin;
mod yardsticks;
mod confirmation;
mod confirm;
mod known_arguments;
mod report_arguments;
mod compare_arguments;
mod asking_arguments;
mod quic_arguments;
mod quic_echo;
mod quic_measure;
mod quic_idle;
mod quic_compare;
mod arguments;
mod ending;
mod naming;
mod report_commands;
mod asking_commands;
mod compare_command;
mod quic_commands;
mod commands;

pub use arguments::{Arguments, Command, EchoArguments, GenerateArguments};
pub use asking_arguments::{
    AskArguments, BucketArguments, DnsArguments, KeysArguments, Kind, LookupArguments, MixedArguments,
    RunArguments, ServerArguments,
};
pub use code_file::{CodeFileError, read_codes};
pub use commands::run;
pub use compare::{CompareError, CompareOptions, compare};
pub use compare_arguments::CompareArguments;
pub use comparison::{Comparison, Idle, Numbers, Part, Row};
pub use confirm::{ConfirmError, ConfirmOptions, confirm};
pub use confirmation::{Confirmation, Round};
pub use course::Course;
pub use cpu::{CpuTimes, StatError, parse_stat};
pub use data_cache::CacheError;
pub use data_directory::{DataDirectoryError, GeneratedData, default_newest_day, write_data_directory};
pub use dns::DnsQuestions;
pub use dns_message::DnsFault;
pub use draw::Draw;
pub use echo::{Echo, EchoError};
pub use flights::{CAPACITY, Flights};
pub use key_file::{KeyFileError, read_keys, write_keys};
pub use known_arguments::KnownArguments;
pub use learning::LearningError;
pub use lines::ReportTransport;
pub use lookups::{Echoes, Lookups, LookupsError};
pub use machine::Machine;
pub use measure::{MeasureError, Plan, greet, measure};
pub use median::Spread;
pub use names::{Names, NamesError};
pub use output::{OutputError, empty_directory};
pub use own_origin::OriginError;
pub use pace::{MAX_RATE, MAX_WINDOW, Pace};
pub use packages::{GeneratedPackage, GeneratedPackages, MAX_PACKAGE_KEYS, PackagesError, write_packages};
pub use peers::{Peer, PeerError};
pub use quic_arguments::{CompareQuicArguments, QuicArguments, QuicWay};
pub use quic_compare::{QuicCompareError, QuicCompareOptions, compare_quic};
pub use quic_echo::{QuicEcho, QuicEchoError};
pub use quic_idle::{IdleMemory, measure_idle};
pub use quic_measure::{QuicMeasureError, QuicPlan, measure_quic};
pub use report::Report;
pub use report_arguments::{ConfirmArguments, SubmitArguments};
pub use results::{ResultsError, keep};
pub use servers::ServerError;
pub use stage::StageError;
pub use traffic::{Judged, TXID, Traffic};
pub use transports::Transport;
pub use xdp_echo::{XdpEcho, XdpEchoError};
