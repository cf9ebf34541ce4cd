//! What the command line names: servers, their trust, their program.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use tekd::release::Trust;
use tekd::service::readyfile::ReadyFile;

use crate::ending::{Failure, failed, misused};
use crate::servers;

pub(crate) fn ready_file(file: &Path) -> Result<ReadyFile, Failure> {
    servers::read(file)
        .ok_or_else(|| misused(format_args!("{} is no ready file of a server", file.display())))
}

/// The address that was given, or else what a ready file says that the server `listens` at.
pub(crate) fn address(
    given: Option<&str>,
    ready: Option<&ReadyFile>,
    listens: impl FnOnce(&ReadyFile) -> Option<SocketAddr>,
) -> Result<SocketAddr, Failure> {
    match (given, ready) {
        (Some(server), _) => resolve(server),
        (None, Some(ready)) => listens(ready)
            .ok_or_else(|| misused("the server of this ready file does not have this transport")),
        (None, None) => Err(misused("no server: give --server or --ready-file")),
    }
}

pub(crate) fn resolve(server: &str) -> Result<SocketAddr, Failure> {
    let mut found = server.to_socket_addrs().map_err(|e| misused(format_args!("--server {server}: {e}")))?;
    found.next().ok_or_else(|| misused(format_args!("--server {server}: no address")))
}

/// The trust of a file, or else of a ready file, which has `set` in it.
pub(crate) fn trusted(file: Option<&Path>, ready: Option<&ReadyFile>, set: u32) -> Result<Trust, Failure> {
    let file = file.or_else(|| Some(&ready?.trust));
    let trust = trust(file.ok_or_else(|| misused("no trust: give --trust or --ready-file"))?)?;
    if trust.sets.contains(&set) {
        return Ok(trust);
    }
    Err(misused(format_args!("set {set} is not in the trust file: {:?} are", trust.sets)))
}

fn trust(file: &Path) -> Result<Trust, Failure> {
    let named = |e: &dyn std::fmt::Display| misused(format_args!("{}: {e}", file.display()));
    Trust::parse_json(&std::fs::read_to_string(file).map_err(|e| named(&e))?).map_err(|e| named(&e))
}

/// The server that was named, or else the one beside this program.
pub(crate) fn server_program(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(failed)?;
    let tekd = named.map_or_else(|| own.with_file_name("tekd"), Path::to_path_buf);
    if tekd.is_file() {
        return Ok(tekd);
    }
    Err(misused(format_args!(
        "{} is not there: build it (`cargo build --release`), or name it with --tekd",
        tekd.display()
    )))
}
