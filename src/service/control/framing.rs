//! Lines on the control socket: one JSON document each, of bounded length.
//!
//! Works over anything that reads or writes, so the server may sit on a socket and a
//! test on a vector of bytes.

use std::io::{self, BufRead, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::exit::Exit;
use super::messages::{ControlRequest, MAX_LINE};
use super::reply::{ControlReply, Progress, ServerLine};

/// Most bytes in the path of a unix socket: `sockaddr_un` has 108, one of them the final zero.
pub const MAX_SOCKET_PATH: usize = 107;

/// Why the two ends of a control socket could not talk.
#[derive(Debug, Error)]
pub enum ControlError {
    /// The path does not fit the address of a unix socket.
    #[error(
        "the path of the control socket has {length} bytes, at most {MAX_SOCKET_PATH} are possible: {}\n\
         name a shorter one with --control or control in [listen]",
        path.display()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its bytes.
        length: usize,
    },
    /// No server listens there.
    #[error(
        "no server answers at {}: {source}\n\
         start one with `tekd serve --data DIR`, or say where it is with --data DIR or --control PATH",
        path.display()
    )]
    NotReachable {
        /// The socket's path.
        path: PathBuf,
        /// What connecting said.
        source: io::Error,
    },
    /// A line longer than [`MAX_LINE`]. The stream is unusable afterwards.
    #[error("a line on the control socket is longer than {MAX_LINE} bytes")]
    LineTooLong,
    /// The stream ended inside a line or before the reply.
    #[error("the control socket closed before the {0} was complete")]
    Closed(&'static str),
    /// A line that is not the document it should be. The next line can still be read.
    #[error("not a {what}: {why}")]
    Malformed {
        /// What was expected.
        what: &'static str,
        /// What the parser says.
        why: String,
    },
    /// Reading or writing failed.
    #[error("the control socket failed: {0}")]
    Io(#[from] io::Error),
}

impl ControlError {
    /// The exit code of a program that ends because of this.
    pub fn exit(&self) -> Exit {
        match self {
            ControlError::PathTooLong { .. } => Exit::Usage,
            ControlError::NotReachable { .. } | ControlError::Closed(_) | ControlError::Io(_) => {
                Exit::Unreachable
            }
            ControlError::LineTooLong | ControlError::Malformed { .. } => Exit::Failed,
        }
    }
}

/// Whether `path` fits the address of a unix socket.
pub fn check_socket_path(path: &Path) -> Result<(), ControlError> {
    let length = path.as_os_str().as_bytes().len();
    if length > MAX_SOCKET_PATH {
        return Err(ControlError::PathTooLong { path: path.to_owned(), length });
    }
    Ok(())
}

/// Reads one line without its newline; `None` at the end of the stream. `what` names the
/// line in errors. Memory grows with what arrives, never with what is announced.
pub fn read_line(reader: &mut impl BufRead, what: &'static str) -> Result<Option<Vec<u8>>, ControlError> {
    read_bounded_line(reader, what, MAX_LINE)
}

pub(super) fn read_bounded_line(
    reader: &mut impl BufRead,
    what: &'static str,
    max: usize,
) -> Result<Option<Vec<u8>>, ControlError> {
    let mut line = Vec::new();
    // bounded: one line is at most `max` bytes, whatever the other end sends.
    reader.take(max as u64).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() + 1 == max => Err(ControlError::LineTooLong),
        Some(_) => Err(ControlError::Closed(what)),
    }
}

/// The server's side: the next request; `None` when the tool has gone. After
/// [`ControlError::Malformed`] the next request can be read; after any other error the
/// connection is to be closed.
pub fn read_request(reader: &mut impl BufRead) -> Result<Option<ControlRequest>, ControlError> {
    match read_line(reader, "request")? {
        None => Ok(None),
        Some(line) => parse(&line, "request").map(Some),
    }
}

/// The tool's side: sends a request.
pub fn write_request(writer: &mut impl Write, request: &ControlRequest) -> Result<(), ControlError> {
    write_line(writer, "request", request)
}

/// The server's side: says how far a command has come.
pub fn write_progress(writer: &mut impl Write, progress: &Progress) -> Result<(), ControlError> {
    write_line(writer, "progress", &ServerLine::Progress { progress: progress.clone() })
}

/// The server's side: ends a command.
pub fn write_reply(writer: &mut impl Write, reply: &ControlReply) -> Result<(), ControlError> {
    write_line(writer, "reply", reply)
}

/// The tool's side: the server's next line; an end of the stream is [`ControlError::Closed`].
pub(super) fn read_server_line(reader: &mut impl BufRead) -> Result<ServerLine, ControlError> {
    let line = read_line(reader, "reply")?.ok_or(ControlError::Closed("reply"))?;
    let mut document: Value = parse(&line, "reply")?;
    match document.get_mut("progress") {
        Some(progress) => Ok(ServerLine::Progress { progress: typed(progress.take(), "progress line")? }),
        None => Ok(ServerLine::Reply(typed(document, "reply")?)),
    }
}

fn typed<T: DeserializeOwned>(document: Value, what: &'static str) -> Result<T, ControlError> {
    serde_json::from_value(document).map_err(|e| ControlError::Malformed { what, why: e.to_string() })
}

fn parse<T: DeserializeOwned>(line: &[u8], what: &'static str) -> Result<T, ControlError> {
    serde_json::from_slice(line).map_err(|e| ControlError::Malformed { what, why: e.to_string() })
}

fn write_line(
    writer: &mut impl Write,
    what: &'static str,
    message: &impl Serialize,
) -> Result<(), ControlError> {
    let mut line =
        serde_json::to_vec(message).map_err(|e| ControlError::Malformed { what, why: e.to_string() })?;
    line.push(b'\n');
    if line.len() > MAX_LINE {
        return Err(ControlError::LineTooLong);
    }
    writer.write_all(&line)?;
    writer.flush()?;
    Ok(())
}
