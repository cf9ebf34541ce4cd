//! Command lines of a phone's reports.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use tekd::wire::report::ReportType;

use crate::{moments, values};

/// What authorises a report.
#[derive(Args)]
pub(crate) struct GrantArgs {
    /// The code, as it was told
    #[arg(long, value_name = "CODE", group = "grant")]
    pub(crate) code: Option<String>,
    /// A provider's certificate: a file of 224 bytes, bare or in base64
    #[arg(long, value_name = "FILE", group = "grant")]
    pub(crate) certificate: Option<PathBuf>,
    /// A JWT of the field's verification servers, in a file
    #[arg(long, value_name = "FILE", group = "grant", requires = "mac_key")]
    pub(crate) jwt: Option<PathBuf>,
    /// The key of the MAC over the keys that the JWT was asked for with
    #[arg(long, value_name = "BASE64", requires = "jwt")]
    pub(crate) mac_key: Option<String>,
}

#[derive(Args)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    pub(crate) grant: GrantArgs,
    /// The keys: {"temporaryExposureKeys":[{"key","rollingStartNumber","rollingPeriod","transmissionRisk"}]}
    #[arg(long, value_name = "FILE", required_unless_present = "dummy")]
    pub(crate) keys: Option<PathBuf>,
    /// The report's id, to repeat a submission whose answer was lost
    #[arg(long, value_name = "HEX", value_parser = values::id)]
    pub(crate) report_id: Option<[u8; 16]>,
    /// The report's secret, to repeat a submission
    #[arg(long, value_name = "HEX", value_parser = values::secret)]
    pub(crate) secret: Option<[u8; 32]>,
    /// The day on which symptoms began
    #[arg(long, value_name = "DATE", value_parser = moments::day)]
    pub(crate) onset: Option<u32>,
    /// What the report says; by default what its grant says
    #[arg(long, value_name = "confirmed|likely|self-report", value_parser = values::report_type)]
    pub(crate) report_type: Option<ReportType>,
    /// Keep receipt and proof in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt_out: Option<PathBuf>,
    /// Report nothing, in the form of a report
    #[arg(long, conflicts_with_all = ["grant", "keys", "report_id", "secret", "onset", "report_type", "receipt_out"])]
    pub(crate) dummy: bool,
}

/// A report that was made, and the proof that one made it.
#[derive(Args)]
pub(crate) struct OwnArgs {
    /// The report's id
    #[arg(value_name = "ID", value_parser = values::id)]
    pub(crate) report: [u8; 16],
    /// The report's secret
    #[arg(long, value_name = "HEX", value_parser = values::secret)]
    pub(crate) secret: [u8; 32],
}

#[derive(Debug, Args)]
pub(crate) struct AmendArgs {
    #[command(flatten)]
    pub(crate) own: OwnArgs,
    #[command(flatten)]
    pub(crate) grant: GrantArgs,
    /// More keys, in a file as for submit
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// The day on which symptoms began
    #[arg(long, value_name = "DATE", value_parser = moments::day)]
    pub(crate) onset: Option<u32>,
    /// Keep receipt and proof in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt_out: Option<PathBuf>,
}

/// no-trace: what a command line has of codes, keys of MACs, ids and secrets is not printed.
macro_rules! prints_only_its_name {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

prints_only_its_name!(GrantArgs, SubmitArgs, OwnArgs);
