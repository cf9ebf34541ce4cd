//! `tekd`: the server. Parses the command line and calls the library.

mod demo;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use tekd::node::{ServeError, Serving, Signals, SystemClock};
use tekd::service::config::{self, Config, ConfigError, Overrides};
use tekd::service::control::Exit;
use tekd::service::logging;
use tekd::store::RealDisk;

/// A backend for exposure notification: authorised keys in, signed releases out, questions answered.
#[derive(Parser)]
#[command(name = "tekd", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Live a whole life in a temporary directory on a stepped clock, every step verified and printed
    Demo(demo::DemoArgs),
    /// Serve: an origin, or with --upstream a public node
    Serve(Box<ServeArgs>),
    /// Check a configuration file
    Check(CheckArgs),
}

#[derive(Args)]
struct CheckArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "tekd.toml")]
    config: PathBuf,
    /// Print the configuration with every field, its default and its meaning, and exit
    #[arg(long)]
    template: bool,
}

#[derive(Args)]
struct ServeArgs {
    /// Configuration file (TOML); what stands here and in TEKD_… variables overrides it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory; an empty one is founded
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address of UDP, or off
    #[arg(long, value_name = "ADDR")]
    udp: Option<String>,
    /// Address of TLS, or off
    #[arg(long, value_name = "ADDR")]
    tls: Option<String>,
    /// Address of QUIC, or off
    #[arg(long, value_name = "ADDR")]
    quic: Option<String>,
    /// Interfaces whose datagrams are answered by AF_XDP, auto, or off
    #[arg(long, value_name = "INTERFACES")]
    xdp: Option<String>,
    /// Path of the control socket
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Address of the metrics page, or off
    #[arg(long, value_name = "ADDR")]
    metrics: Option<String>,
    /// File written once every socket answers
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Serve as a public node of the origin at this address
    #[arg(long, value_name = "ADDR", requires = "trust")]
    upstream: Option<String>,
    /// The origin's trust.json
    #[arg(long, value_name = "FILE", requires = "upstream")]
    trust: Option<PathBuf>,
    /// How often a public node asks its upstream
    #[arg(long, value_name = "DURATION")]
    poll: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve(*args),
        Command::Check(args) => check(&args),
    }
}

fn load(file: Option<&std::path::Path>, overrides: &Overrides) -> Result<Config, Box<ConfigError>> {
    config::load(&RealDisk, file, |name| std::env::var_os(name), overrides).map_err(Box::new)
}

fn check(args: &CheckArgs) -> ExitCode {
    if args.template {
        print!("{}", config::template());
        return Exit::Ok.into();
    }
    match load(Some(&args.config), &Overrides::default()) {
        Ok(_) => {
            eprintln!("{}: good", args.config.display());
            Exit::Ok.into()
        }
        Err(e) => {
            eprintln!("{e}");
            Exit::Usage.into()
        }
    }
}

fn serve(args: ServeArgs) -> ExitCode {
    let overrides = Overrides {
        data: args.data,
        udp: args.udp,
        tls: args.tls,
        quic: args.quic,
        xdp: args.xdp,
        control: args.control,
        metrics: args.metrics,
        ready_file: args.ready_file,
        upstream: args.upstream,
        trust: args.trust,
        poll: args.poll,
        log_level: args.log_level,
        log_format: args.log_format,
    };
    let config = match load(args.config.as_deref(), &overrides) {
        Ok(config) => config,
        Err(e) => {
            eprintln!("{e}");
            return Exit::Usage.into();
        }
    };
    logging::init(config.log);
    match serve_until_told(&config) {
        Ok(()) => Exit::Ok.into(),
        Err(e) => {
            eprintln!("tekd cannot serve: {e}");
            Exit::Failed.into()
        }
    }
}

fn serve_until_told(config: &Config) -> Result<(), ServeError> {
    let mut signals = Signals::catch()?;
    let mut serving = Serving::start(config, Arc::new(RealDisk), Arc::new(SystemClock::new()))?;
    announce(config, &serving);
    let ended = serving.wait(&mut signals);
    serving.stop();
    ended
}

fn announce(config: &Config, serving: &Serving) {
    let role = if config.upstream.is_some() { "public node" } else { "origin" };
    let shown = |address: Option<std::net::SocketAddr>| address.map_or("off".to_owned(), |a| a.to_string());
    tracing::info!(
        "{role} serving from {}: UDP {}, TLS {}, QUIC {}, control {}",
        config.data.display(),
        shown(serving.ready.udp),
        shown(serving.ready.tls),
        shown(serving.ready.quic),
        serving.ready.control.display()
    );
}
