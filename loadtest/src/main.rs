//! `tekd-load`: parse, call, exit.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    tekd_load::run(&tekd_load::Arguments::parse())
}
