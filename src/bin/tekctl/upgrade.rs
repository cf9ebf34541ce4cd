//! `upgrade`: the format of a data directory, and the step after which an older tekd cannot read it.
//!
//! A newer tekd writes what the directory's format says, so that going back to the one before stays
//! possible. Only `finalize` raises the format.

use serde_json::json;
use tekd::store::{DIRECTORY_FORMAT, DirLock, Identity, RealDisk};

use crate::args::{Global, UpgradeCommand};
use crate::output::{Done, Failure, Outcome};

/// Tells the format, or raises it.
pub(crate) fn run(global: &Global, command: UpgradeCommand) -> Done {
    let before = match command {
        UpgradeCommand::Status => Identity::stated(&RealDisk, &global.data).map_err(Failure::failed)?.format,
        UpgradeCommand::Finalize => {
            let _lock = DirLock::acquire(&RealDisk, &global.data).map_err(Failure::failed)?;
            Identity::finalize(&RealDisk, &global.data, DIRECTORY_FORMAT).map_err(Failure::failed)?
        }
    };
    let raised = matches!(command, UpgradeCommand::Finalize) && before < DIRECTORY_FORMAT;
    let format = if raised { DIRECTORY_FORMAT } else { before };
    let text = match command {
        _ if raised => format!("format {before} became {format}: an older tekd refuses this directory now"),
        _ if format == DIRECTORY_FORMAT => format!("format {format}, the newest this tekd writes"),
        _ => format!(
            "format {format}; this tekd writes up to {DIRECTORY_FORMAT}, but writes {format} here until `tekctl upgrade \
             finalize`, so that you can go back to the tekd before"
        ),
    };
    let document = json!({ "format": format, "newest": DIRECTORY_FORMAT, "raised": raised });
    Ok(Outcome::new(document, text))
}
