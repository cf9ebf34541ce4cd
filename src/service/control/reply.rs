//! What a server says to a command: how far it is, and how it ended.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::exit::Exit;

/// How far a command has come, for a progress bar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// What is being counted, such as `keys`.
    pub what: String,
    /// How many are done.
    pub done: u64,
    /// How many there are; absent while unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total: Option<u64>,
}

/// How a command ended.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlReply {
    /// Whether the command did what was asked ([`Exit::Ok`] or [`Exit::Degraded`]).
    pub ok: bool,
    /// The exit code of the program that asked.
    pub exit: Exit,
    /// What went wrong or does not hold: a sentence for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// The command's own document.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<Value>,
}

impl fmt::Debug for ControlReply {
    // no-trace: the document of a command may be a list of codes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlReply")
            .field("exit", &self.exit)
            .field("error", &self.error)
            .field("result", &self.result.is_some())
            .finish_non_exhaustive()
    }
}

impl ControlReply {
    /// It worked.
    pub fn done(result: Value) -> Self {
        Self { ok: true, exit: Exit::Ok, error: None, result: Some(result) }
    }

    /// It worked, but a stated property does not hold: which one.
    pub fn degraded(result: Value, what: impl Into<String>) -> Self {
        Self { ok: true, exit: Exit::Degraded, error: Some(what.into()), result: Some(result) }
    }

    /// It did not work.
    pub fn failed(why: impl Into<String>) -> Self {
        Self { ok: false, exit: Exit::Failed, error: Some(why.into()), result: None }
    }

    /// It did not work, and there is a document about it (counts of rejected keys).
    pub fn failed_with(result: Value, why: impl Into<String>) -> Self {
        Self { ok: false, exit: Exit::Failed, error: Some(why.into()), result: Some(result) }
    }

    /// The server says no, and there is a document about it (a code that does not hold).
    pub fn refused_with(result: Value, why: impl Into<String>) -> Self {
        Self { ok: false, exit: Exit::Refused, error: Some(why.into()), result: Some(result) }
    }

    /// The request makes no sense.
    pub fn usage(why: impl Into<String>) -> Self {
        Self { ok: false, exit: Exit::Usage, error: Some(why.into()), result: None }
    }

    /// The server will not do it.
    pub fn refused(why: impl Into<String>) -> Self {
        Self { ok: false, exit: Exit::Refused, error: Some(why.into()), result: None }
    }
}

/// One line from the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ServerLine {
    /// `{"progress":{…}}`: more follows.
    Progress {
        /// How far.
        progress: Progress,
    },
    /// The end of the command.
    Reply(ControlReply),
}
