//! An origin of our own: `tekd serve` on a new directory, with a release to seal by and codes to report with.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tekd::authority::MAX_BATCH_CODES;
use tekd::release::{Trust, TrustFileError};
use tekd::service::control::{ControlClient, ControlError, ControlRequest, SetSettings};
use tekd::service::readyfile::ReadyFile;

use crate::lines::ReportTransport;
use crate::scrape::Scrape;
use crate::servers::{Process, Server, ServerError};
use crate::submit_run::{Desk, SubmitError};
use crate::times::now;

/// The set that is reported to: the one that a new directory has.
const SET: u32 = 1;
/// The provider that hands out the codes: the first of a new directory.
const PROVIDER: u32 = 1;
/// Seconds between releases: none falls into a run, unless it crosses midnight in UTC.
const INTERVAL_S: u32 = 86_400;
/// How long codes hold, in seconds.
const CODES_HOLD_S: u64 = 86_400;

/// Why there is no origin to report to.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// Its process.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Its control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// It does not do what it is asked.
    #[error("tekd does not {what}: {why}")]
    Refused {
        /// What.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// Its trust file cannot be read.
    #[error("{}: {source}", file.display())]
    TrustFile {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its trust file.
    #[error(transparent)]
    Trust(#[from] TrustFileError),
    /// Its manifest.
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// A running origin. Dropping it ends its process.
pub(crate) struct OwnOrigin {
    server: Server,
    ready: ReadyFile,
    data: PathBuf,
}

impl OwnOrigin {
    /// Starts `tekd` on the new directory `dir/data`, founded by it.
    ///
    /// # Errors
    /// [`OriginError`].
    pub(crate) fn start(tekd: &Path, dir: &Path) -> Result<Self, OriginError> {
        let (data, ready, control) = (dir.join("data"), dir.join("ready.json"), dir.join("control.sock"));
        let fixed =
            ["serve", "--udp", "127.0.0.1:0", "--tls", "127.0.0.1:0", "--quic", "off", "--log-level", "warn"];
        let mut command = Command::new(tekd);
        command.args(fixed).arg("--data").arg(&data).arg("--control").arg(control);
        command.arg("--ready-file").arg(&ready);
        let (server, ready) = Process::start(&mut command)?.with_ready_file(&ready)?;
        let origin = OwnOrigin { server, ready, data };
        let settings = SetSettings { interval_s: Some(INTERVAL_S), ..SetSettings::default() };
        origin.ask("configure its set", &ControlRequest::SetConfigure { set: SET, settings })?;
        origin.ask("make a release", &ControlRequest::ReleaseNow { set: SET, allow_small: true })?;
        let provider = ControlRequest::ProviderAdd {
            name: "load".to_owned(),
            key: None,
            issuer: None,
            audience: None,
            set: SET,
        };
        origin.ask("add a provider", &provider)?;
        Ok(origin)
    }

    /// Where its reports go.
    ///
    /// # Errors
    /// [`OriginError`].
    pub(crate) fn desk(&self) -> Result<Desk, OriginError> {
        let ready = &self.ready;
        let file = || ready.trust.clone();
        let text = std::fs::read_to_string(&ready.trust)
            .map_err(|source| OriginError::TrustFile { file: file(), source })?;
        let tls = ready.tls.ok_or_else(|| OriginError::Refused {
            what: "serve TLS",
            why: "its ready file names no address of it".to_owned(),
        })?;
        Ok(Desk::meet(
            tls,
            ReportTransport::Tls,
            Trust::parse_json(&text)?,
            SET,
            Some(self.server.pid()),
            now(),
        )?)
    }

    /// So many fresh codes, of as many batches as it takes.
    ///
    /// # Errors
    /// [`OriginError`].
    pub(crate) fn codes(&self, count: u32) -> Result<Vec<String>, OriginError> {
        let mut codes = Vec::new();
        for begun in (0..count).step_by(MAX_BATCH_CODES as usize) {
            codes.extend(self.batch((count - begun).min(MAX_BATCH_CODES))?);
        }
        Ok(codes)
    }

    fn batch(&self, count: u32) -> Result<Vec<String>, OriginError> {
        let issue = ControlRequest::CodesIssue {
            provider: PROVIDER,
            set: SET,
            count,
            lifetime_s: CODES_HOLD_S,
            report_type: "confirmed".to_owned(),
            onset_day: None,
        };
        let batch = self.ask("issue codes", &issue)?;
        let codes = batch["codes"].as_array().into_iter().flatten();
        Ok(codes.filter_map(|code| Some(code.as_str()?.to_owned())).collect())
    }

    /// Its metrics now.
    ///
    /// # Errors
    /// [`OriginError`].
    pub(crate) fn scrape(&self) -> Result<Scrape, OriginError> {
        let page = self.ask("tell its metrics", &ControlRequest::Metrics {})?;
        Ok(Scrape::read(page["text"].as_str().unwrap_or_default()))
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    fn ask(&self, what: &'static str, request: &ControlRequest) -> Result<Value, OriginError> {
        let mut client = ControlClient::connect(&self.ready.control)?;
        let reply = client.call(request, |_| ())?;
        match (reply.ok, reply.result) {
            (true, Some(result)) => Ok(result),
            (_, _) => Err(OriginError::Refused { what, why: reply.error.unwrap_or_default() }),
        }
    }
}
