//! `journal audit`: every signature that the journal holds, verified again.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};
use tekd::engine::{Audit, SignedKind, Unverifiable};
use tekd::node::{Audited, AuditingError, audit_journal, journal_path, trust_path};
use tekd::store::{Disk, RealDisk};

use crate::args::Global;
use crate::journal::{beginning, unreadable};
use crate::output::{Done, Failure, Outcome};
use crate::progress::Progress;
use crate::remote::read_trust;
use crate::tables::counted;

/// Verifies delegations under the roots of the trust, and all else under the delegations.
pub(crate) fn run(global: &Global) -> Done {
    let trust = read_trust(global.trust.as_deref().unwrap_or(&trust_path(&global.data)))?;
    let began = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut progress = Progress::of("groups");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let first = beginning(&disk, global)?;
    let journal = journal_path(&global.data);
    let audited = Audit::from_state(trust, &first).map_err(AuditingError::from).and_then(|audit| {
        audit_journal(disk, &journal, audit, cores, &mut |done, all| progress.at(done, Some(all)))
    });
    drop(progress);
    match audited {
        Ok(audited) => Ok(passed(&audited, began.elapsed().as_secs_f64())),
        Err(AuditingError::Journal(error)) => Err(unreadable(&error)),
        Err(AuditingError::Audit(error)) => {
            let document = json!({ "ok": false, "event": error.seq(), "error": error.to_string() });
            Err(Failure::failed(error).with(document, ""))
        }
    }
}

fn passed(audited: &Audited, seconds: f64) -> Outcome {
    let of = |kind| audited.kinds.get(&kind).copied().unwrap_or(0);
    let signatures: u64 = audited.kinds.values().sum();
    let kinds: Map<String, Value> =
        SignedKind::ALL.iter().map(|kind| (kind.name().to_owned(), json!(of(*kind)))).collect();
    let Unverifiable { certificates, codes } = audited.unverifiable;
    let document = json!({
        "events": audited.events,
        "signatures": signatures,
        "kinds": kinds,
        "not_held": { "certificates": certificates, "codes": codes },
        "seconds": seconds,
        "ok": true,
    });
    let named = SignedKind::ALL.iter().map(|kind| counted(of(*kind), kind.name()));
    let text = format!(
        "{} in {seconds:.1} s; {} hold: {}\n\
         not in the journal, so not verified: what authorised reports ({}, {})",
        counted(audited.events, "event"),
        counted(signatures, "signature"),
        named.collect::<Vec<_>>().join(", "),
        counted(certificates, "certificate"),
        counted(codes, "code"),
    );
    Outcome::new(document, text)
}
