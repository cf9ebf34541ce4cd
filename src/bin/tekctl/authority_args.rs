//! The command line of those who may report and of what was reported: providers, codes, reports, and what is
//! taken back.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tekd::wire::Key;

use crate::{moments, values};

#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// Register a provider
    Add {
        /// Its name, unique
        #[arg(value_name = "NAME")]
        name: String,
        /// Its public key: PEM of Ed25519 (certificates) or P-256 (JWTs), or 32 bytes of Ed25519 bare, in hex
        /// or base64
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        #[command(flatten)]
        life: KeyLifeArgs,
        /// What its JWTs call it (`iss`); they are for the set of --set
        #[arg(long, value_name = "ISS", requires = "audience")]
        issuer: Option<String>,
        /// Whom its JWTs are for (`aud`)
        #[arg(long, value_name = "AUD", requires = "issuer")]
        audience: Option<String>,
    },
    /// All providers with what they have done
    List,
    /// One provider with its keys
    Show {
        /// The provider
        #[arg(value_name = "ID")]
        id: u32,
    },
    /// Keys of a provider: add, revoke
    #[command(subcommand)]
    Key(ProviderKeyCommand),
    /// For now, a provider authorises no reports; nothing is taken back
    Suspend {
        /// The provider
        #[arg(value_name = "ID")]
        id: u32,
        /// Why; recorded
        #[arg(long, value_name = "TEXT", default_value = "suspended by an operator")]
        reason: String,
    },
    /// A provider authorises reports again
    Resume {
        /// The provider
        #[arg(value_name = "ID")]
        id: u32,
        /// Why; recorded
        #[arg(long, value_name = "TEXT", default_value = "resumed by an operator")]
        reason: String,
    },
    /// From now on, a provider authorises no reports; with --since, what it authorised is taken back
    Revoke {
        /// The provider
        #[arg(value_name = "ID")]
        id: u32,
        /// Take back what it authorised from then on: 2026-11-24T09:30:00Z, 09:30 (today, UTC), or 2h (ago)
        #[arg(long, value_name = "TIME", value_parser = moments::past)]
        since: Option<u64>,
        /// Why; recorded
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Say what would happen and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// How a provider's key is named and how long it holds.
#[derive(Debug, Args)]
pub(crate) struct KeyLifeArgs {
    /// What JWTs call a P-256 key (`kid`); Ed25519 keys are named by their fingerprint
    #[arg(long, value_name = "ID", requires = "key")]
    pub(crate) key_id: Option<String>,
    /// When the key begins to hold; now unless told otherwise
    #[arg(long, value_name = "TIME", requires = "key", value_parser = moments::beginning)]
    pub(crate) key_from: Option<u64>,
    /// When it ends: a time, or how long from now, like 90d; open unless told otherwise
    #[arg(long, value_name = "TIME", requires = "key", value_parser = moments::end)]
    pub(crate) key_until: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProviderKeyCommand {
    /// Register another key of a provider
    Add {
        /// The provider
        #[arg(value_name = "ID")]
        id: u32,
        /// The public key, as in `provider add`
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        life: KeyLifeArgs,
    },
    /// From now on, nothing this key signed is accepted; with --since, what it signed for is taken back
    Revoke {
        /// The provider
        #[arg(value_name = "ID")]
        id: u32,
        /// The key's fingerprint, 16 hex digits
        #[arg(value_name = "FINGERPRINT")]
        fingerprint: String,
        /// Take back what it signed for from then on: 2026-11-24T09:30:00Z, 09:30 (today, UTC), or 2h (ago)
        #[arg(long, value_name = "TIME", value_parser = moments::past)]
        since: Option<u64>,
        /// Why; recorded
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Say what would happen and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// How codes are printed; a table unless told otherwise.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct CodesFormat {
    /// Print lines of code,batch,expires
    #[arg(long, conflicts_with = "plain")]
    pub(crate) csv: bool,
    /// Print a short heading and one code per line, to be handed out on paper
    #[arg(long)]
    pub(crate) plain: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CodesCommand {
    /// Make a batch of codes, each of which authorises one report
    Issue {
        /// Who hands them out
        #[arg(long, value_name = "ID")]
        provider: u32,
        /// How many
        #[arg(long, value_name = "N")]
        count: u32,
        /// How long they hold
        #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = values::seconds)]
        expires: u32,
        /// What a report with one of them says: confirmed, likely or self-report. A code of negative makes no
        /// report: it takes back, by `report-amend`, a likely or self-reported one whose test was negative
        #[arg(long, value_name = "TYPE", default_value = "confirmed")]
        report_type: String,
        /// Day on which symptoms began, of everybody who gets one of them
        #[arg(long, value_name = "DATE", value_parser = moments::day)]
        onset: Option<u32>,
        #[command(flatten)]
        format: CodesFormat,
    },
    /// All batches, without their codes
    List,
    /// Whether a code would be accepted now, and what became of it; exit code 4 if not
    Check {
        /// The code as it was typed; blanks may be left as they are
        #[arg(value_name = "CODE", required = true, num_args = 1..=6)]
        code: Vec<String>,
    },
    /// Print the codes of a batch that nobody used yet once more
    Show {
        /// The batch
        #[arg(long, value_name = "ID")]
        batch: u32,
        #[command(flatten)]
        format: CodesFormat,
    },
    /// From now on, no code of a batch is accepted
    Revoke {
        /// The batch
        #[arg(long, value_name = "ID")]
        batch: u32,
        /// Take back the reports they authorised too
        #[arg(long)]
        retroactive: bool,
        /// Why; recorded
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Say what would happen and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// How something is taken back.
#[derive(Debug, Clone, Args)]
pub(crate) struct TakeBackArgs {
    /// Why; recorded
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Do not wait for company, at a cost in privacy
    #[arg(long)]
    pub(crate) urgent: bool,
    /// Say what would happen and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Take one key back
    Withdraw {
        /// The key, in hex or base64
        #[arg(value_name = "KEY", value_parser = values::key)]
        key: Key,
        #[command(flatten)]
        how: TakeBackArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Where one report stands
    Show {
        /// Its id, 32 hex digits
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Reports, newest first; of all sets unless --set names one
    List {
        /// Those a provider authorised
        #[arg(long, value_name = "ID")]
        provider: Option<u32>,
        /// Those the codes of a batch authorised
        #[arg(long, value_name = "ID")]
        batch: Option<u32>,
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u32,
    },
    /// Take one report back
    Withdraw {
        /// Its id, 32 hex digits
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        how: TakeBackArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The last event whose reports stay
    #[arg(long, value_name = "SEQ")]
    pub(crate) to: u64,
    /// Only what this provider authorised
    #[arg(long, value_name = "ID")]
    pub(crate) provider: Option<u32>,
    #[command(flatten)]
    pub(crate) how: TakeBackArgs,
}
