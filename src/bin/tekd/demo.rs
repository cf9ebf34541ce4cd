//! `tekd demo`: parses and calls.

use std::path::PathBuf;
use std::process::ExitCode;

use tekd::node::demo::{self, DemoOptions};
use tekd::service::control::Exit;

/// Arguments of the demo.
#[derive(clap::Args)]
pub(crate) struct DemoArgs {
    /// Keys from this GAEN export package instead of generated ones
    #[arg(long, value_name = "FILE.zip")]
    pub(crate) package: Option<PathBuf>,
    /// Keep the temporary directory and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
}

pub(crate) fn run(args: DemoArgs) -> ExitCode {
    let options = DemoOptions { package: args.package, keep: args.keep };
    match demo::run(&options, &mut std::io::stdout()) {
        Ok(()) => Exit::Ok.into(),
        Err(e) => {
            eprintln!("tekd demo: {e}");
            Exit::Failed.into()
        }
    }
}
