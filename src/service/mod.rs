//! Floor 3: the server's face towards its operator, as text and messages.
//!
//! The configuration file, the metrics page, log lines, the control socket's messages,
//! the ready file, the judge of the machine, and times, durations and sizes as people write
//! them. What stands here
//! turns values into text and back; `node` and the programs decide what the values are.
//! One thing touches a socket: [`control::ControlClient`], the operator's end of the
//! control socket.

pub mod timetext;
pub mod sizetext;
pub mod metrics;
pub mod logging;
pub mod control;
pub mod config;
pub mod readyfile;
pub mod doctor;
