//! Servers started for a measurement: as processes of their own, so that their processor time is theirs
//! alone, and ended with it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tekd::service::readyfile::ReadyFile;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(900);
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

/// A running process. Dropping it ends it, at any moment: nothing that a server confirmed is lost, and nobody
/// needs what it keeps.
#[derive(Debug)]
pub(crate) struct Process {
    program: PathBuf,
    child: Child,
    started: Instant,
}

impl Process {
    /// # Errors
    /// [`ServerError::Start`].
    pub(crate) fn start(command: &mut Command) -> Result<Self, ServerError> {
        let program = PathBuf::from(command.get_program());
        match command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
            Ok(child) => Ok(Process { program, child, started: Instant::now() }),
            Err(source) => Err(ServerError::Start { program, source }),
        }
    }

    /// Waits for the file that it makes when it answers; with the server, what that file says.
    ///
    /// # Errors
    /// [`ServerError`].
    pub(crate) fn with_ready_file(mut self, file: &Path) -> Result<(Server, ReadyFile), ServerError> {
        let (ready, started_in) = self.until(|| read(file))?;
        let udp = ready.udp.ok_or_else(|| ServerError::NoUdp { program: self.program.clone() })?;
        Ok((Server { process: self, udp, started_in }, ready))
    }

    /// Asks at `udp` by `answers` until it says so.
    ///
    /// # Errors
    /// [`ServerError`].
    pub(crate) fn that_answers(
        mut self,
        udp: SocketAddr,
        mut answers: impl FnMut() -> bool,
    ) -> Result<Server, ServerError> {
        let ((), started_in) = self.until(|| answers().then_some(()))?;
        Ok(Server { process: self, udp, started_in })
    }

    /// Looks again and again until `ready` finds something.
    fn until<T>(&mut self, mut ready: impl FnMut() -> Option<T>) -> Result<(T, Duration), ServerError> {
        let program = self.program.clone();
        loop {
            if let Some(found) = ready() {
                return Ok((found, self.started.elapsed()));
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(ServerError::Ended { program, status });
            }
            if self.started.elapsed() > PATIENCE {
                return Err(ServerError::NotReady { program });
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running server. Dropping it ends its process.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    /// Where it answers.
    pub(crate) udp: SocketAddr,
    /// From its start to its first answer.
    pub(crate) started_in: Duration,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }
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
        let start =
            |program: &str| Process::start(&mut Command::new(program))?.with_ready_file(&ready).map(|_| ());
        assert!(matches!(start("/no/such/program"), Err(ServerError::Start { .. })));
        assert!(matches!(start("/bin/false"), Err(ServerError::Ended { .. })));
    }
}
