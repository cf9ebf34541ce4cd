//! How a command ends: what it prints, and why it did not work, with the exit code of the contract.

use serde::Serialize;
use tekd::service::control::Exit;

/// Why a command did not work, in words and as an exit code.
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

pub(crate) fn failure(exit: Exit) -> impl Fn(&dyn std::fmt::Display) -> Failure {
    move |text| Failure { exit, text: text.to_string() }
}

pub(crate) fn failed(text: impl std::fmt::Display) -> Failure {
    failure(Exit::Failed)(&text)
}

pub(crate) fn misused(text: impl std::fmt::Display) -> Failure {
    failure(Exit::Usage)(&text)
}

/// How a command ended.
pub(crate) type Done = Result<Exit, Failure>;

/// Prints `result` as JSON, or as text.
pub(crate) fn tell<T: Serialize>(
    json: bool,
    result: &T,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let text = if json { serde_json::to_string(result).map_err(failed)? } else { text() };
    println!("{text}");
    Ok(())
}
