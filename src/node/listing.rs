//! What operators see of an origin, as JSON: sets, releases, keys of the service.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::origin::{Origin, journal_path};
use crate::engine::{Event, Params, ReleaseSummary, SealKey, SetState};
use crate::release::{Checkpoint, Delegation};
use crate::service::timetext::format_time;
use crate::store::Disk;
use crate::store::journal::{JournalError, JournalReader};

/// Releases that a listing shows at most, the newest ones.
pub const LISTED_RELEASES: usize = 1000;

/// A set in short.
pub(crate) fn set_line(id: u32, s: &SetState) -> Value {
    json!({
        "set": id,
        "schema": s.params().schema.name(),
        "serial": s.serial(),
        "live": s.live(),
        "waiting": s.waiting(),
    })
}

/// A set with its parameters.
pub(crate) fn set_page(id: u32, s: &SetState, now: u64) -> Value {
    let (embargo, waiting) = s.waiting_at(now);
    let checkpoint = s.published_checkpoint().and_then(|(c, _)| Checkpoint::parse(c).ok());
    json!({
        "set": id,
        "params": params(s.params()),
        "serial": s.serial(),
        "time": (s.serial() > 0).then(|| format_time(s.time())),
        "live": s.live(),
        "root": checkpoint.map(|c| hex::encode(c.root())),
        "waiting": { "embargo": embargo, "waiting": waiting, "leaving": s.leaving() },
        "next_release": format_time(crate::engine::next_release(s, now)),
        "manifest": { "number": s.manifest_number(), "digest": hex::encode(crate::release::manifest_digest(s.manifest())) },
        "horizon_moves_from": format_time(horizon_moves_from(s, now)),
    })
}

/// When the horizon of the retention now configured passes the one in force; now, if it already has.
pub(crate) fn horizon_moves_from(s: &SetState, now: u64) -> u64 {
    let plain = crate::time::horizon(now, s.params().retention_days);
    let behind = s.horizon_at(now).saturating_sub(plain);
    now + u64::from(behind) * crate::time::INTERVAL_S
}

/// Parameters.
pub(crate) fn params(p: &Params) -> Value {
    json!({
        "schema": p.schema.name(),
        "interval_s": p.interval_s,
        "retention_days": p.retention_days,
        "embargo_s": p.embargo_s,
        "min_reports": p.min_reports,
        "max_wait_s": p.max_wait_s,
        "decoys": p.decoys,
    })
}

/// What `release now` answers.
pub(crate) fn release_summary(r: &ReleaseSummary) -> Value {
    let mut held = serde_json::Map::new();
    for (reason, n) in [("embargo", r.held.embargo), ("minimum", r.held.minimum)] {
        if n > 0 {
            held.insert(reason.to_owned(), n.into());
        }
    }
    json!({
        "set": r.set,
        "serial": r.serial,
        "time": format_time(r.time),
        "added": r.changes.added,
        "withdrawn": r.changes.withdrawn,
        "expired": r.changes.expired,
        "held": held,
        "decoys": r.changes.decoys_added,
        "decoys_withdrawn": r.changes.decoys_withdrawn,
        "live": r.live,
        "root": hex::encode(r.root),
    })
}

/// The releases of a set from its journal, newest first: the newest [`LISTED_RELEASES`], or the one of
/// serial `only`.
///
/// # Errors
/// If the journal cannot be read.
pub(crate) fn releases(
    disk: Arc<dyn Disk>,
    data: &Path,
    set: u32,
    only: Option<u32>,
) -> Result<Vec<Value>, JournalError> {
    let wanted = |of: u32, serial: u32| of == set && only.is_none_or(|o| o == serial);
    let mut found: Vec<Value> = Vec::new();
    for group in JournalReader::open(disk, &journal_path(data))? {
        for record in group?.records {
            match Event::decode(record.kind, record.version, &record.payload) {
                Ok(Event::Released(r)) if wanted(r.set, r.serial) => {
                    if found.len() == LISTED_RELEASES {
                        found.remove(0);
                    }
                    found.push(json!({
                        "set": set,
                        "serial": r.serial,
                        "seq": record.seq,
                        "time": format_time(r.time),
                        "horizon": r.horizon,
                        "forced": r.forced,
                        "added": r.changes.added,
                        "withdrawn": r.changes.withdrawn,
                        "expired": r.changes.expired,
                        "decoys": r.changes.decoys_added,
                        "decoys_withdrawn": r.changes.decoys_withdrawn,
                    }));
                }
                Ok(Event::Published(p)) if wanted(p.set, p.serial) => {
                    if let Some(Value::Object(last)) = found.last_mut() {
                        last.insert("live".to_owned(), p.count.into());
                        last.insert("root".to_owned(), hex::encode(p.root).into());
                    }
                }
                _ => {}
            }
        }
    }
    found.reverse();
    Ok(found)
}

/// The online key in force.
pub(crate) fn delegation(origin: &Origin) -> Option<Value> {
    let signed = origin.state().delegation();
    let d = Delegation::parse(signed.get(..crate::release::DELEGATION_LEN)?).ok()?;
    Some(json!({
        "epoch": d.epoch(),
        "not_before": format_time(d.not_before()),
        "not_after": format_time(d.not_after()),
    }))
}

/// A key that reports are sealed to; `here`: whether its secret is.
pub(crate) fn seal_key(key: &SealKey, here: bool) -> Value {
    json!({
        "id": hex::encode(key.id),
        "not_before": format_time(key.not_before),
        "not_after": format_time(key.not_after),
        "secret": if here { "here" } else { "missing" },
    })
}

/// The codes key: it has no end of its own, and is needed until the last of its outstanding codes expires.
pub(crate) fn codes_key(origin: &Origin, now: u64) -> Value {
    let id = origin.writer().codes().key_id();
    let batches = origin.state().registry().batches.values();
    let open = || batches.clone().filter(|batch| batch.outstanding(now) > 0);
    json!({
        "id": id.map(hex::encode),
        "secret": if id.is_some() { "here" } else { "missing" },
        "outstanding": open().map(|batch| u64::from(batch.outstanding(now))).sum::<u64>(),
        "needed_until": open().map(|batch| batch.expires).max().map(format_time),
    })
}
