//! Servers started for a comparison: as processes of their own, so that their processor time is theirs alone,
//! and ended with it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tekd::service::readyfile::ReadyFile;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(10);

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program cannot be started.
    #[error("{}: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it answered.
    #[error("{} ended before it answered ({status}); what it said is above", program.display())]
    Ended {
        /// The program.
        program: PathBuf,
        /// How.
        status: ExitStatus,
    },
    /// It does not get ready.
    #[error("{} did not get ready within {} s", program.display(), PATIENCE.as_secs())]
    NotReady {
        /// The program.
        program: PathBuf,
    },
    /// Its ready file says nothing of UDP.
    #[error("{} does not listen on UDP", program.display())]
    NoUdp {
        /// The program.
        program: PathBuf,
    },
}

/// A running server. Dropping it ends its process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it answers.
    pub(crate) udp: std::net::SocketAddr,
    /// All that its ready file says.
    pub(crate) ready: ReadyFile,
    /// From its start to its first answer.
    pub(crate) started_in: Duration,
}

impl Server {
    /// Starts `program` with `arguments`, which make it write `ready` when it answers.
    pub(crate) fn start(
        program: &Path,
        arguments: &[&std::ffi::OsStr],
        ready: &Path,
    ) -> Result<Self, ServerError> {
        let at = || program.to_path_buf();
        let started = Instant::now();
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|source| ServerError::Start { program: at(), source })?;
        let mut ended = Ended(Some(child));
        let ready = loop {
            if let Some(ready) = read(ready) {
                break ready;
            }
            if let Some(status) = ended.status() {
                return Err(ServerError::Ended { program: at(), status });
            }
            if started.elapsed() > PATIENCE {
                return Err(ServerError::NotReady { program: at() });
            }
            std::thread::sleep(LOOK);
        };
        let udp = ready.udp.ok_or_else(|| ServerError::NoUdp { program: at() })?;
        let child = ended.0.take().expect("taken only here");
        Ok(Server { child, udp, ready, started_in: started.elapsed() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A process that is ended if its server never gets ready.
struct Ended(Option<Child>);

impl Ended {
    fn status(&mut self) -> Option<ExitStatus> {
        self.0.as_mut()?.try_wait().ok()?
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.as_mut().map(end);
    }
}

/// At any moment: nothing that it confirmed is lost, and nobody needs what it keeps.
fn end(child: &mut Child) {
    // It may have ended already, and then there is nothing to end.
    let _ = child.kill();
    let _ = child.wait();
}

/// What a ready file says, once it is there.
pub(crate) fn read(file: &Path) -> Option<ReadyFile> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_or_ends_at_once_is_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let ready = dir.path().join("ready.json");
        let start = |program: &str| Server::start(Path::new(program), &[], &ready).map(|_| ());
        assert!(matches!(start("/no/such/program"), Err(ServerError::Start { .. })));
        assert!(matches!(start("/bin/false"), Err(ServerError::Ended { .. })));
    }
}
