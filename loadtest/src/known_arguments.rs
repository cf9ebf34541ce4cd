//! What a command line says about a server beside its address.

use std::path::PathBuf;

use clap::Args;

/// How the server is known.
#[derive(Debug, Args)]
pub struct KnownArguments {
    /// Its trust.json. Without it: the one of --ready-file.
    #[arg(long, value_name = "FILE", required_unless_present = "ready_file")]
    pub trust: Option<PathBuf>,
    /// The server's ready file: address, trust, and the process whose processor time is told.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}
