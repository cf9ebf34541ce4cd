//! `tekd demo`: to come with the client.

use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of the demo.
#[derive(clap::Args)]
pub(crate) struct DemoArgs {
    /// Keys from this GAEN export package instead of generated ones
    #[arg(long, value_name = "FILE.zip")]
    pub(crate) package: Option<PathBuf>,
    /// Keep the temporary directory
    #[arg(long)]
    pub(crate) keep: bool,
}

pub(crate) fn run(args: &DemoArgs) -> ExitCode {
    let _ = (&args.package, args.keep);
    ExitCode::FAILURE
}
