//! `adopt`: takes over a copied or restored data directory, while no server serves it.
//!
//! The directory goes on as a new incarnation, so that nothing it signs can contradict what the original
//! signed or still signs. The server records it in the journal at its next start.

use serde_json::json;
use tekd::store::{DirLock, Identity, RealDisk};

use crate::args::Global;
use crate::output::{Done, Failure, Outcome};

/// Gives the directory its next incarnation.
pub(crate) fn run(global: &Global) -> Done {
    let _lock = DirLock::acquire(&RealDisk, &global.data).map_err(Failure::failed)?;
    let adopted = Identity::adopt(&RealDisk, &global.data, 0).map_err(Failure::failed)?;
    let (incarnation, before) = (adopted.identity.incarnation, adopted.before);
    let text = format!("incarnation {before} became {incarnation}; it begins when the server is started");
    Ok(Outcome::new(json!({ "incarnation": incarnation, "before": before }), text))
}
