//! `adopt`: takes over a copied or restored data directory, while no server serves it.
//!
//! The directory goes on as a new incarnation, so that nothing it signs can contradict what the original
//! signed or still signs. The server records it in the journal at its next start, and gives up the codes
//! whose key is not there: backups leave that key out.
//!
//! A backup does not know what came after it, another adoption of the same backup among it. A node that
//! followed knows: if one is named with `--server`, incarnation and serials go on above all that it has seen
//! signed.

use std::sync::Arc;

use serde_json::json;
use tekd::node::{lost_codes, trust_path};
use tekd::release::Checkpoint;
use tekd::service::control::Exit;
use tekd::store::{DirLock, Identity, RealDisk, adoption};

use crate::args::Global;
use crate::moments;
use crate::output::{Done, Failure, Outcome};
use crate::remote;
use crate::tables::counted;

/// Gives the directory its next incarnation.
pub(crate) fn run(global: &Global) -> Done {
    let _lock = DirLock::acquire(&RealDisk, &global.data).map_err(Failure::failed)?;
    let known = known_elsewhere(global)?;
    let above = known.iter().map(|checkpoint| (checkpoint.version() >> 32) as u32).max();
    let at_least = above.map_or(0, |newest| newest.saturating_add(1));
    let parts: Vec<Vec<u8>> = known.iter().map(|checkpoint| checkpoint.as_bytes().to_vec()).collect();
    adoption::keep(&RealDisk, &global.data, &parts).map_err(Failure::failed)?;
    let adopted = Identity::adopt(&RealDisk, &global.data, at_least).map_err(Failure::failed)?;
    let (incarnation, before) = (adopted.identity.incarnation, adopted.before);
    let mut text = format!("incarnation {before} became {incarnation}; it begins when the server is started");
    for checkpoint in &known {
        let (set, serial, of) = (checkpoint.set(), checkpoint.serial(), checkpoint.version() >> 32);
        text.push_str(&format!("\nthe node has release {serial} of incarnation {of} of set {set}"));
    }
    let lost = lost_codes(Arc::new(RealDisk), &global.data, &adopted.identity, moments::now());
    let node: Vec<_> = known
        .iter()
        .map(|c| json!({ "set": c.set(), "incarnation": c.version() >> 32, "serial": c.serial() }))
        .collect();
    let document = json!({
        "incarnation": incarnation, "before": before, "void_codes": lost.as_ref().ok(), "node": node,
    });
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

/// What the node named with `--server`, if one is, has seen signed.
fn known_elsewhere(global: &Global) -> Result<Vec<Checkpoint>, Failure> {
    if global.server.is_none() {
        return Ok(Vec::new());
    }
    let trust = global.trust.clone().unwrap_or_else(|| trust_path(&global.data));
    remote::newest_checkpoints(global, &trust)
}
