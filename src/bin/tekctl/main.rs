//! `tekctl`: the operator's tool and a client. Parses the command line and calls the library.
//!
//! Operators' commands go to a running server's control socket, except those that only read the journal's
//! files; the client's commands ask any server and verify what it says.

mod values;
mod moments;
mod authority_args;
mod report_args;
mod args;
mod output;
mod tables;
mod upgrade;
mod progress;
mod entry;
mod operator;
mod providers;
mod codes;
mod reports;
mod import;
mod journal;
mod dump;
mod backup;
mod remote;
mod audit;
mod adopt;
mod doctor;
mod watch;
mod sync;
mod reporting;

use std::process::ExitCode;

use args::{ClientCommand, Command, JournalCommand, OperatorCommand};
use clap::Parser;
use output::Done;

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::misused(&error, std::env::args_os().any(|arg| arg == "--json")),
    };
    let json = cli.global.json;
    output::finish(run(&cli), json)
}

fn run(cli: &args::Cli) -> Done {
    let global = &cli.global;
    match &cli.command {
        Command::Operator(OperatorCommand::Import(args)) => import::run(global, args),
        Command::Operator(OperatorCommand::Journal(JournalCommand::Verify)) => journal::verify(global),
        Command::Operator(OperatorCommand::Journal(JournalCommand::Audit)) => audit::run(global),
        Command::Operator(OperatorCommand::Journal(JournalCommand::Dump { from, keys })) => {
            dump::run(global, *from, *keys)
        }
        Command::Operator(OperatorCommand::Journal(JournalCommand::Rebuild { into, every_serial })) => {
            journal::rebuild(global, into, *every_serial)
        }
        Command::Operator(OperatorCommand::Backup { to }) => backup::run(global, to),
        Command::Operator(OperatorCommand::Adopt) => adopt::run(global),
        Command::Operator(OperatorCommand::Doctor) => doctor::run(global),
        Command::Operator(OperatorCommand::Upgrade(command)) => upgrade::run(global, *command),
        Command::Operator(OperatorCommand::Provider(command)) => providers::run(global, command),
        Command::Operator(OperatorCommand::Codes(command)) => codes::run(global, command),
        Command::Operator(command) => {
            reports::run(global, command).unwrap_or_else(|| operator::run(global, command))
        }
        Command::Client(ClientCommand::Sync(args)) => sync::run(global, args),
        Command::Client(ClientCommand::Submit(args)) => reporting::submit(global, args),
        Command::Client(ClientCommand::ReportStatus(own)) => reporting::status(global, own),
        Command::Client(ClientCommand::ReportCancel(own)) => reporting::cancel(global, own),
        Command::Client(ClientCommand::ReportAmend(args)) => reporting::amend(global, args),
        Command::Client(ClientCommand::Receipt { file }) => reporting::receipt(global, file),
        Command::Client(command) => remote::run(global, command),
    }
}
