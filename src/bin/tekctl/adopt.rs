//! `adopt`: takes over a copied or restored data directory, while no server serves it.
//!
//! The directory goes on as a new incarnation, so that nothing it signs can contradict what the original
//! signed or still signs. The server records it in the journal at its next start, and gives up the codes
//! whose key is not there: backups leave that key out.

use std::sync::Arc;

use serde_json::json;
use tekd::node::lost_codes;
use tekd::service::control::Exit;
use tekd::store::{DirLock, Identity, RealDisk};

use crate::args::Global;
use crate::moments;
use crate::output::{Done, Failure, Outcome};
use crate::tables::counted;

/// Gives the directory its next incarnation.
pub(crate) fn run(global: &Global) -> Done {
    let _lock = DirLock::acquire(&RealDisk, &global.data).map_err(Failure::failed)?;
    let adopted = Identity::adopt(&RealDisk, &global.data, 0).map_err(Failure::failed)?;
    let (incarnation, before) = (adopted.identity.incarnation, adopted.before);
    let text = format!("incarnation {before} became {incarnation}; it begins when the server is started");
    let lost = lost_codes(Arc::new(RealDisk), &global.data, &adopted.identity, moments::now());
    let document = json!({ "incarnation": incarnation, "before": before, "void_codes": lost.as_ref().ok() });
    let mut outcome = Outcome::new(document, text);
    let file = global.data.join("keys/codes.key");
    let note = match lost {
        Ok(0) => return Ok(outcome),
        Ok(codes) => format!(
            "{} made with a key that is not in {}: void once the server is started; put the key there first, if it was \
             exported with `tekctl keys export-codes`, or have new codes issued",
            counted(codes, "outstanding code"),
            file.display()
        ),
        Err(error) => format!(
            "the directory is adopted, but whether codes are void at the next start could not be told: {error}"
        ),
    };
    outcome.exit = Exit::Degraded;
    outcome.notes.push(format!("tekctl: {note}"));
    Ok(outcome)
}
