//! `sync`: a copy of the set brought to the newest release, verified, kept in a file between runs.

use serde_json::{Value, json};
use tekd::client::{ClientError, SetClient, SyncReport, load_state, save_state};
use tekd::release::{Age, Checkpoint};

use crate::args::{Global, SyncArgs};
use crate::entry::write_keys;
use crate::output::{Done, Failure, Outcome};
use crate::remote::{Carriers, age_name, aged, client, now, serial, trust_for};
use crate::watch::Fetched;

/// Syncs the state file and writes the keys if they are wanted.
pub(crate) fn run(global: &Global, args: &SyncArgs) -> Done {
    let Carriers { first, stream } = Carriers::new(global)?;
    let trust = trust_for(global)?;
    let mut held: SetClient = load_state(&args.state, trust.clone(), global.set())
        .map_err(|e| Failure::from(ClientError::from(e)))?;
    let known = knowledge(&held);
    let fetched = Fetched::nothing();
    let stream = stream.map(|stream| fetched.by(stream));
    let mut client = client(fetched.by(first), stream, trust, global.set());
    let synced = client.sync(&mut held, args.full);
    // What was learnt is kept even if the sync failed: nothing older than the newest checkpoint will do any
    // more.
    if synced.is_ok() || knowledge(&held) != known {
        save_state(&args.state, &held).map_err(|e| Failure::from(ClientError::from(e)))?;
    }
    let report = synced?;
    if let (Some(path), Some(set)) = (&args.keys_out, held.data()) {
        write_keys(path, set)
            .map_err(|e| Failure::failed(format!("cannot write the keys to {}: {e}", path.display())))?;
    }
    let (state, seconds) = held.age(now()).expect("a set that was synced has a checkpoint");
    let mut outcome = Outcome::new(document(&report, state, seconds), text(global.set(), &report));
    if let Some(why) = &report.delta_failed {
        outcome.notes.push(format!("tekctl: the delta failed, so the whole set was fetched: {why}"));
    }
    let evidence = held.evidence().len();
    if evidence > 0 {
        outcome.notes.push(format!(
            "tekctl: the state file keeps {evidence} pairs of signed checkpoints that contradict each other"
        ));
    }
    Ok(aged(outcome, state, seconds))
}

/// What a failed sync may have added to.
fn knowledge(held: &SetClient) -> (Option<u64>, usize, bool) {
    (held.newest().map(Checkpoint::version), held.evidence().len(), held.manifest().is_some())
}

fn document(report: &SyncReport, state: Age, seconds: u64) -> Value {
    json!({
        "mode": report.mode.name(),
        "from": serial(report.from),
        "to": serial(report.to),
        "incarnation": report.to >> 32,
        "added": report.change.added,
        "removed": report.change.removed,
        "expired": report.change.expired,
        "live": report.live,
        "bytes": report.bytes,
        "root": hex::encode(report.root),
        "wait_s": report.wait_s,
        "verified": true,
        "age_s": seconds,
        "state": age_name(state),
    })
}

fn text(set: u32, report: &SyncReport) -> String {
    let (change, to) = (&report.change, serial(report.to));
    let way = match (report.mode.name(), serial(report.from)) {
        ("current", _) => format!("release {to} is the newest"),
        (mode, 0) => format!("{mode}, from nothing to release {to}"),
        (mode, from) => format!("{mode}, from release {from} to {to}"),
    };
    format!(
        "set {set}: {way}, verified: {} added, {} removed, {} expired; {} live in {} bytes, root {}",
        change.added,
        change.removed,
        change.expired,
        report.live,
        report.bytes,
        hex::encode(report.root)
    )
}
