//! The exit codes of every program, as the contract with the outside names them.

use std::fmt;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How a command ended. The number is the program's exit code and the `exit` of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
#[repr(u8)]
pub enum Exit {
    /// It worked.
    Ok = 0,
    /// It did not work.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Nobody answered.
    Unreachable = 3,
    /// The server will not do it.
    Refused = 4,
    /// It worked, but a stated property does not hold.
    Degraded = 5,
}

/// A number that is no exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0} is no exit code: 0 to 5 are")]
pub struct UnknownExit(pub u8);

impl TryFrom<u8> for Exit {
    type Error = UnknownExit;

    fn try_from(code: u8) -> Result<Self, UnknownExit> {
        match code {
            0 => Ok(Exit::Ok),
            1 => Ok(Exit::Failed),
            2 => Ok(Exit::Usage),
            3 => Ok(Exit::Unreachable),
            4 => Ok(Exit::Refused),
            5 => Ok(Exit::Degraded),
            other => Err(UnknownExit(other)),
        }
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> u8 {
        exit as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Exit::Ok => "ok",
            Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::Unreachable => "unreachable",
            Exit::Refused => "refused",
            Exit::Degraded => "degraded",
        })
    }
}
