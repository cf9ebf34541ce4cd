//! The control socket: what an operator's tool and a running server say to each other.
//!
//! A unix stream. Each way one JSON document per line: the tool sends a
//! [`ControlRequest`], the server answers with any number of [`Progress`] lines and then
//! one [`ControlReply`]; then the tool may ask again. The socket belongs to the server's
//! user and lies in its data directory; whoever may open it may do everything.
//!
//! What the commands mean and who carries them out is not here.

mod exit;
mod base64text;
mod parts;
mod messages;
mod reply;
mod framing;
mod client;
#[cfg(test)]
mod tests;

pub use base64text::Base64;
pub use client::ControlClient;
pub use exit::Exit;
pub use framing::{ControlError, MAX_SOCKET_PATH};
pub use framing::{check_socket_path, read_line, read_request, write_progress, write_reply, write_request};
pub use messages::{ControlRequest, MAX_LINE};
pub use parts::{ImportKey, MAX_IMPORT_CHUNK, SetSettings, SignatureState, SignerKey, TypedCode};
pub use reply::{ControlReply, Progress, ServerLine};
