//! The server's configuration: file, then environment, then flags, the later winning.
//!
//! One table ([`FIELDS`]) names every field with its section, environment variable,
//! flag, default and meaning. The file is checked against it, so an unknown field stops
//! the start; the template is written from it; every value takes the same way from text
//! to type wherever it came from, and an error points at that place: `file:line:column`
//! with the line and a caret, or the flag or variable by its name.
//!
//! What a set is configured to (interval, decoys, retention) is not here: sets are
//! configured by `tekctl`, as events of the journal.

mod error;
mod fields;
mod values;
mod words;
mod xdp;
mod resolve;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod refused;

pub use error::{ConfigError, Place};
pub use fields::{FIELDS, Field, FieldInfo, environment_help, template};
pub use resolve::{Config, Limits, Listen, MAX_CONFIG_FILE, MAX_NODE_NAME, Node, Upstream, load, resolve};
pub use values::{ConfigFile, Overrides};
pub use words::{MemoryMode, UdpIdle, UdpSteering};
pub use xdp::{MAX_INTERFACE_NAME, MAX_XDP_INTERFACES, Xdp, XdpMode};
