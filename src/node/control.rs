//! The control socket: operators' commands, one JSON line each way.
//!
//! It listens on a unix socket in the data directory, mode 0600: who can open it is the operator. Every
//! command goes to the writer as an input, or looks at it between two groups.

use std::io::{BufReader, BufWriter};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::commands::{Commands, Session};
use crate::service::control::{ControlError, ControlReply, check_socket_path, read_request, write_reply};

/// Control connections at a time.
const MAX_CONTROL_CONNECTIONS: usize = 32;
/// How long a connection may say nothing: one that is forgotten makes room for another.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// How long a tool may leave its reply unread.
const UNREAD_MAX: Duration = Duration::from_secs(30);
/// How long nothing is accepted after accepting failed, as it does while no file can be opened.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening control socket. Dropping it stops listening and removes the socket.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ControlSocket {
    /// Listens at `path`, replacing a socket that a former process left there: the caller holds the
    /// directory's lock.
    ///
    /// # Errors
    /// If the path is too long, is something else than a socket, is listened on by another process, or
    /// cannot be listened on.
    pub fn listen(path: &Path, commands: Arc<Commands>) -> Result<Self, ControlError> {
        Self::check(path)?;
        let io = |what, e| failed(what, path, e);
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io("replace", e)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(|e| io("listen on", e))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .map_err(|e| io("protect", e))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("tekd-control".to_owned())
            .spawn(move || accept(&listener, &commands, &stopping))
            .map_err(|e| io("start a thread for", e))?;
        Ok(ControlSocket { path: path.to_path_buf(), stop, thread: Some(thread) })
    }

    /// Whether a server could listen at `path`. Changes nothing.
    ///
    /// # Errors
    /// If the path is too long, is something else than a socket, or is listened on by another process.
    pub fn check(path: &Path) -> Result<(), ControlError> {
        check_socket_path(path)?;
        let taken = |what: &str| {
            let what = format!("{what}; choose another path with --control");
            Err(failed("listen on", path, std::io::Error::other(what)))
        };
        match std::fs::symlink_metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed("listen on", path, e)),
            Ok(found) if !found.file_type().is_socket() => taken("it is no socket"),
            Ok(_) if UnixStream::connect(path).is_ok() => taken("another process listens there"),
            Ok(_) => Ok(()),
        }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn failed(what: &str, path: &Path, e: std::io::Error) -> ControlError {
    ControlError::Io(std::io::Error::new(e.kind(), format!("cannot {what} {}: {e}", path.display())))
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accepting thread; if that fails, nobody is listening any more.
        let _ = UnixStream::connect(&self.path);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn accept(listener: &UnixListener, commands: &Arc<Commands>, stop: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else {
            std::thread::park_timeout(ACCEPT_PAUSE);
            continue;
        };
        // bounded: in connections, and each in time.
        if stream.set_write_timeout(Some(UNREAD_MAX)).is_err()
            || stream.set_read_timeout(Some(IDLE_MAX)).is_err()
        {
            continue;
        }
        if open.load(Ordering::Relaxed) >= MAX_CONTROL_CONNECTIONS {
            let busy = format!(
                "{MAX_CONTROL_CONNECTIONS} control connections are open, the most allowed; ask again"
            );
            let _ = write_reply(&mut &stream, &ControlReply::failed(busy));
            continue;
        }
        let (commands, place) = (Arc::clone(commands), Place::taken(&open));
        let talk = move || {
            let _place = place;
            if let Err(e) = converse(&stream, &commands) {
                tracing::debug!("a control connection ended: {e}");
            }
        };
        // Without a thread the connection closes, and its place is free.
        let spawned = std::thread::Builder::new().name("tekd-command".to_owned()).spawn(talk);
        if let Err(e) = spawned {
            tracing::error!("a control connection was closed: no thread could be started: {e}");
        }
    }
}

/// One of the connections that may be open; dropped, also by a command that panics, it is free again.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn taken(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(open))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn converse(stream: &UnixStream, commands: &Commands) -> Result<(), ControlError> {
    let mut reader = BufReader::new(stream);
    let mut writer = BufWriter::new(stream);
    let mut session = Session::default();
    loop {
        let reply = match read_request(&mut reader) {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => commands.answer(&mut session, request),
            Err(e @ ControlError::Malformed { .. }) => ControlReply::usage(e.to_string()),
            Err(e) => return Err(e),
        };
        write_reply(&mut writer, &reply)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_panics_gives_its_place_back() {
        let open = Arc::new(AtomicUsize::new(0));
        let place = Place::taken(&open);
        assert_eq!(open.load(Ordering::Relaxed), 1);
        let ended = std::thread::spawn(move || {
            let _place = place;
            panic!("on purpose");
        });
        assert!(ended.join().is_err());
        assert_eq!(open.load(Ordering::Relaxed), 0);
    }
}
