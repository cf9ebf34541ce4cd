//! The operator's end of the control socket: connect, ask, wait for the reply.
//!
//! Blocking, for a program that does one thing at a time. The only place of this floor
//! that opens a socket.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::framing::{ControlError, check_socket_path, read_server_line, write_request};
use super::messages::ControlRequest;
use super::reply::{ControlReply, Progress, ServerLine};

/// A connection to a running server.
#[derive(Debug)]
pub struct ControlClient {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl ControlClient {
    /// Connects to the server whose control socket is `path`.
    ///
    /// # Errors
    /// [`ControlError::PathTooLong`], or [`ControlError::NotReachable`] with what to do.
    pub fn connect(path: &Path) -> Result<Self, ControlError> {
        check_socket_path(path)?;
        let not_reachable = |source| ControlError::NotReachable { path: path.to_owned(), source };
        let writer = UnixStream::connect(path).map_err(not_reachable)?;
        Self::over(writer)
    }

    /// Speaks over a stream that is connected already.
    pub fn over(stream: UnixStream) -> Result<Self, ControlError> {
        let reader = BufReader::new(stream.try_clone()?);
        Ok(Self { reader, writer: stream })
    }

    /// Asks and waits for the reply; `on_progress` hears how far the server has come.
    /// A reply that says the command failed is `Ok`: the talking worked.
    pub fn call(
        &mut self,
        request: &ControlRequest,
        mut on_progress: impl FnMut(&Progress),
    ) -> Result<ControlReply, ControlError> {
        write_request(&mut self.writer, request)?;
        loop {
            match read_server_line(&mut self.reader)? {
                ServerLine::Progress { progress } => on_progress(&progress),
                ServerLine::Reply(reply) => return Ok(reply),
            }
        }
    }
}
