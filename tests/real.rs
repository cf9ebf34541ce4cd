//! The real binary from outside: processes, sockets, signals and directories, nothing of it replaced.
//!
//! Every server here is `tekd` itself on ephemeral ports and in a temporary directory, known by its ready
//! file alone. What is asserted is what others rely on: answers to the byte, exit codes, texts on stderr, and
//! what is left on disk.

#[path = "real/server.rs"]
mod server;
#[path = "real/keys.rs"]
mod keys;
#[path = "real/tree.rs"]
mod tree;
#[path = "real/edits.rs"]
mod edits;
#[path = "real/imported.rs"]
mod imported;
#[path = "real/servers.rs"]
mod servers;
#[path = "real/asker.rs"]
mod asker;
#[path = "real/answers.rs"]
mod answers;
#[path = "real/clients.rs"]
mod clients;
#[path = "real/published.rs"]
mod published;
#[path = "real/stream.rs"]
mod stream;
#[path = "real/relay.rs"]
mod relay;
#[path = "real/following.rs"]
mod following;
#[path = "real/unbelieved.rs"]
mod unbelieved;
#[path = "real/stopped.rs"]
mod stopped;
#[path = "real/directories.rs"]
mod directories;
#[path = "real/rotten.rs"]
mod rotten;
#[path = "real/mirrored.rs"]
mod mirrored;
#[path = "real/configuration.rs"]
mod configuration;
#[path = "real/malformed.rs"]
mod malformed;
#[path = "real/amplification.rs"]
mod amplification;
#[path = "real/no_trace.rs"]
mod no_trace;
#[path = "real/quic.rs"]
mod quic;
#[path = "real/datagrams.rs"]
mod datagrams;
#[path = "real/operators.rs"]
mod operators;
#[path = "real/blind.rs"]
mod blind;
#[path = "real/backups.rs"]
mod backups;
