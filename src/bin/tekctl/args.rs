//! The command line as types.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tekd::service::control::SetSettings;
use tekd::wire::Key;

use crate::authority_args::{CodesCommand, KeyCommand, ProviderCommand, ReportCommand, RollbackArgs};
use crate::report_args::{AmendArgs, OwnArgs, SubmitArgs};
use crate::values::{self, Prefix, Transport};

/// Operates a tekd server, or asks one as a client and verifies its answers.
#[derive(Debug, Parser)]
#[command(name = "tekctl", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that may stand anywhere on the line.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Print one JSON document on stdout; everything else goes to stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The server's data directory
    #[arg(long, global = true, value_name = "DIR", env = "TEKD_DATA", default_value = "/var/lib/tekd")]
    pub(crate) data: PathBuf,
    /// The server's control socket, if it is not control.sock in the data directory
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
    /// The server to ask, HOST or HOST:PORT
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) server: Option<String>,
    /// The trust.json of the service
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
    /// How to ask: udp, tls or quic
    #[arg(long, global = true, value_name = "NAME", default_value = "udp", value_parser = values::transport)]
    pub(crate) transport: Transport,
    /// Address of TLS for what datagrams cannot carry
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) stream: Option<String>,
    /// The set; 1 unless told otherwise
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) set: Option<u32>,
}

/// Set that commands are about unless told otherwise.
const DEFAULT_SET: u32 = 1;

impl Global {
    /// The set the command is about.
    pub(crate) fn set(&self) -> u32 {
        self.set.unwrap_or(DEFAULT_SET)
    }

    /// The control socket of the server.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.control.clone().unwrap_or_else(|| self.data.join("control.sock"))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Operator(OperatorCommand),
    #[command(flatten)]
    Client(ClientCommand),
}

/// Commands that need the server's control socket or its files.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// What the server is and does, in short
    Status,
    /// Whether every stated property holds; exit code 5 if one does not
    Health,
    /// All counters
    Stats,
    /// The metrics page
    Metrics,
    /// Sets: list, show, configure, create
    #[command(subcommand)]
    Set(SetCommand),
    /// Health-care providers: add, list, show, key, suspend, resume, revoke
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// Codes that authorise reports: issue, list, check, show, revoke
    #[command(subcommand)]
    Codes(CodesCommand),
    /// Reports: show, list, withdraw
    #[command(subcommand)]
    Report(ReportCommand),
    /// Single keys: withdraw
    #[command(subcommand)]
    Key(KeyCommand),
    /// Take back everything that was stored after an event
    Rollback(RollbackArgs),
    /// Bring back what a withdrawal, a revocation or a rollback took, as new entries
    Reinstate {
        /// Sequence number of that event
        #[arg(value_name = "SEQ")]
        seq: u64,
    },
    /// Releases: now, list, show, held, approve
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// Import an export package of the field, as reports of provider "import"
    Import(ImportArgs),
    /// The journal's files, read without a lock: verify, dump, rebuild
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Snapshots of the private state: now
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Keys of the service: list, export-root, export-codes, rotate-online, rotate-seal, rotate-tls
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Copy the data directory, while it is served or not, without the codes key; the copy is verified
    Backup {
        /// The new directory
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
    /// Take over a copied or restored data directory that no server serves: it goes on as a new incarnation,
    /// above all that the node named with --server knows
    Adopt,
    /// Formats of a data directory that no server serves: status, finalize
    #[command(subcommand)]
    Upgrade(UpgradeCommand),
    /// Whether this machine is as a server wants it, and what to do; exit code 5 if something is advised
    Doctor,
    /// Tell clients to go elsewhere and go on answering
    Drain,
    /// Take drain back
    Undrain,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum UpgradeCommand {
    /// The format the directory is in, and the newest this tekd writes
    Status,
    /// Raise it to the newest: from then on an older tekd refuses the directory
    Finalize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SetCommand {
    /// All sets
    List,
    /// One set with its settings
    Show {
        /// The set
        #[arg(value_name = "ID")]
        id: u32,
    },
    /// Change a set from its next release on
    Configure {
        /// The set
        #[arg(value_name = "ID")]
        id: u32,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Make a set
    Create {
        /// The new set's number, not 0
        #[arg(value_name = "ID")]
        id: u32,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    /// Time between releases
    #[arg(long, value_name = "DURATION", value_parser = values::seconds)]
    interval: Option<u32>,
    /// Reports a release waits for when decoys are off
    #[arg(long, value_name = "N")]
    min_reports: Option<u32>,
    /// Time after which a small release goes out all the same
    #[arg(long, value_name = "DURATION", value_parser = values::seconds)]
    max_wait: Option<u32>,
    /// Whether decoys are added
    #[arg(long, value_name = "on|off", value_parser = values::switch)]
    decoys: Option<bool>,
    /// Time a key is held after its validity ends
    #[arg(long, value_name = "DURATION", value_parser = values::seconds)]
    embargo: Option<u32>,
    /// Days a key stays published
    #[arg(long, value_name = "DURATION", value_parser = values::days)]
    retention: Option<u16>,
    /// gaen-minimal, gaen-full or dp3t; changes only while the set is empty
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
}

impl SettingsArgs {
    /// As the control socket has them.
    pub(crate) fn settings(&self) -> SetSettings {
        SetSettings {
            interval_s: self.interval,
            min_reports: self.min_reports,
            max_wait_s: self.max_wait,
            decoys: self.decoys,
            embargo_s: self.embargo,
            retention_days: self.retention,
            schema: self.schema.clone(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseCommand {
    /// Make a release now
    Now {
        /// Go out without the minimum and without company, recorded as forced
        #[arg(long)]
        allow_small: bool,
    },
    /// The releases of a set, newest first
    List,
    /// One release
    Show {
        /// Its serial
        #[arg(value_name = "SERIAL")]
        serial: u32,
    },
    /// What waits and why, of one set or of all
    Held,
    /// Let held releases go
    Approve {
        /// Why; recorded
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The package
    #[arg(value_name = "FILE.zip")]
    pub(crate) file: PathBuf,
    /// Shift all keys by the same whole number of days, so that the newest ended 24 to 48 hours ago
    #[arg(long)]
    pub(crate) rebase: bool,
    /// Check the package's signature under this key (PEM) before anything is sent
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Read every group and check every hash
    Verify,
    /// Print every event, with --json one JSON document per line
    Dump {
        /// First event
        #[arg(long, value_name = "SEQ", default_value_t = 1)]
        from: u64,
        /// Print the keys as well
        #[arg(long)]
        keys: bool,
    },
    /// Carry out every event again, compare with what was signed, and write the newest generations
    Rebuild {
        /// A directory that holds no sets yet
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
        /// Make the table of every release, not of the newest alone
        #[arg(long)]
        every_serial: bool,
    },
    /// Verify every signature the journal holds, under trust.json of the data directory or --trust FILE
    Audit,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Write one now
    Now,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// All keys with their ends
    List,
    /// Move the root key out of the data directory
    ExportRoot {
        /// Where to; must not exist
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Copy the codes key out of the data directory, for safe keeping apart from backups
    ExportCodes {
        /// Where to; must not exist
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Make a new key that reports are sealed to, now and not only when the newest is a week old
    RotateSeal,
    /// Make the next online key
    RotateOnline,
    /// Make a new TLS certificate
    RotateTls,
}

/// Commands that ask a server as any client may.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// What a server says of itself; unproved
    Info,
    /// The newest checkpoint, verified
    Checkpoint,
    /// The manifest of a set, verified
    Manifest,
    /// Ask whether a key is published; a hint
    Lookup {
        /// The key, in hex or base64
        #[arg(value_name = "KEY", value_parser = values::key)]
        key: Key,
    },
    /// All keys under a prefix, proved
    Bucket {
        /// The prefix and how many of its bits count
        #[arg(value_name = "PREFIXHEX/BITS", value_parser = values::prefix)]
        prefix: Prefix,
    },
    /// Bring a copy of the set to the newest release, verified
    Sync(SyncArgs),
    /// Submit a report, sealed to the origin
    Submit(Box<SubmitArgs>),
    /// How a report stands
    ReportStatus(OwnArgs),
    /// Take a report back
    ReportCancel(OwnArgs),
    /// Add keys to a report, or change its type
    ReportAmend(Box<AmendArgs>),
    /// Verify a receipt that was kept, without a server
    Receipt {
        /// The file of --receipt-out
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// What is kept between syncs
    #[arg(long, value_name = "FILE")]
    pub(crate) state: PathBuf,
    /// Fetch the whole set whatever is held
    #[arg(long)]
    pub(crate) full: bool,
    /// Write all keys, one JSON document per line, in key order
    #[arg(long, value_name = "FILE")]
    pub(crate) keys_out: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_ascii_whitespace())
    }

    fn refused(line: &str) -> String {
        parse(line).expect_err(line).to_string()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_may_stand_anywhere() {
        for line in [
            "tekctl --json --data /d --set 7 release now --allow-small",
            "tekctl release --data /d now --json --set 7 --allow-small",
            "tekctl release now --allow-small --json --set 7 --data /d",
        ] {
            let cli = parse(line).unwrap();
            assert!(cli.global.json, "{line}");
            assert_eq!((cli.global.set(), cli.global.control_socket()), (7, "/d/control.sock".into()));
            let wanted = matches!(
                cli.command,
                Command::Operator(OperatorCommand::Release(ReleaseCommand::Now { allow_small: true }))
            );
            assert!(wanted, "{line}");
        }
    }

    #[test]
    fn the_control_socket_may_lie_elsewhere_and_the_set_is_1() {
        let cli = parse("tekctl status --data /d --control /run/c.sock").unwrap();
        assert_eq!(cli.global.control_socket(), PathBuf::from("/run/c.sock"));
        assert_eq!(cli.global.set(), 1);
    }

    #[test]
    fn settings_come_as_durations_and_words() {
        let line = "tekctl set configure 3 --interval 15m --retention 14d --decoys off --max-wait 24h \
                    --embargo 2h --min-reports 10 --schema gaen-full";
        let Command::Operator(OperatorCommand::Set(SetCommand::Configure { id: 3, settings })) =
            parse(line).unwrap().command
        else {
            panic!("{line}");
        };
        let expected = SetSettings {
            interval_s: Some(900),
            min_reports: Some(10),
            max_wait_s: Some(86_400),
            decoys: Some(false),
            embargo_s: Some(7_200),
            retention_days: Some(14),
            schema: Some("gaen-full".to_owned()),
        };
        assert_eq!(settings.settings(), expected);
    }

    #[test]
    fn wrong_values_say_what_would_be_right() {
        for (line, hint) in [
            ("tekctl info --transport tcp", "udp, tls or quic"),
            ("tekctl set configure 1 --decoys maybe", "on or off"),
            ("tekctl set configure 1 --interval 15", "no unit"),
            ("tekctl provider revoke 1 --reason x --since yesterday", "like 09:30"),
            ("tekctl codes issue --provider 1 --count 1 --onset 24.11.", "like 2026-11-24"),
            ("tekctl lookup abc", "16 or 32 bytes"),
            ("tekctl bucket ab/9", "9 are asked for"),
        ] {
            assert!(refused(line).contains(hint), "{line}: {}", refused(line));
        }
    }

    #[test]
    fn what_must_be_said_is_asked_for() {
        for line in [
            "tekctl",
            "tekctl key withdraw 00000000000000000000000000000000",
            "tekctl sync",
            "tekctl journal rebuild",
            "tekctl backup",
            "tekctl release approve",
            "tekctl keys export-root",
            "tekctl keys export-codes",
            "tekctl codes issue --provider 1",
            "tekctl codes check",
            "tekctl codes revoke --batch 1",
            "tekctl report withdraw 00",
            "tekctl rollback --to 1",
            "tekctl provider revoke 1",
            "tekctl provider key revoke 1 00",
            "tekctl import",
        ] {
            let kind = parse(line).expect_err(line).kind();
            let missing = [
                ErrorKind::MissingRequiredArgument,
                ErrorKind::MissingSubcommand,
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
            ];
            assert!(missing.contains(&kind), "{line}: {kind:?}");
        }
    }

    #[test]
    fn a_command_line_that_is_printed_shows_no_code_and_no_secret() {
        let (id, secret) = ("a7".repeat(16), "a7".repeat(32));
        for line in [
            format!("tekctl submit --code 1A2B-3C4D-5E6F --keys k --secret {secret}"),
            format!("tekctl report-status {id} --secret {secret}"),
            format!("tekctl report-amend {id} --secret {secret} --code 1A2B-3C4D-5E6F"),
        ] {
            let printed = format!("{:?}", parse(&line).expect("a command line")).to_lowercase();
            for form in ["1a2b", "a7a7", "167, 167"] {
                assert!(!printed.contains(form), "{printed}");
            }
        }
    }
}
