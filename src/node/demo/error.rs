//! Why a demo ended early: the first thing that could not be done, or that did not hold.

use std::error::Error;
use std::path::PathBuf;

use crate::gaen::PackageError;

/// The first thing that went wrong; everything printed before it held.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The package cannot be read from its file.
    #[error("cannot read {}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no export package.
    #[error("{} is no export package that can be read: {source}", file.display())]
    Package {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: PackageError,
    },
    /// No key of the package can be published.
    #[error("no key of the package was accepted: {0}; take a package with keys of valid periods")]
    NoKeys(String),
    /// A part of the system said no where it should not.
    #[error("{doing} failed: {source}")]
    Failed {
        /// What was being done.
        doing: String,
        /// What it said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It worked, and the result is wrong.
    #[error("this did not hold: {0}")]
    DoesNotHold(String),
    /// The story cannot be printed.
    #[error("cannot print: {0}")]
    Print(#[from] std::io::Error),
}

/// Makes an error of what was being done and what went wrong.
pub(super) fn failed<E: Into<Box<dyn Error + Send + Sync>>>(doing: &str) -> impl FnOnce(E) -> DemoError {
    let doing = doing.to_owned();
    move |source| DemoError::Failed { doing, source: source.into() }
}

/// Stops the demo unless what was stated holds.
pub(super) fn must(holds: bool, statement: impl FnOnce() -> String) -> Result<(), DemoError> {
    if holds { Ok(()) } else { Err(DemoError::DoesNotHold(statement())) }
}

/// Stops the demo unless two numbers are equal.
pub(super) fn equal(what: &str, found: u64, expected: u64) -> Result<(), DemoError> {
    must(found == expected, || format!("{what}: {found}, expected {expected}"))
}
