//! `journal verify` and `journal rebuild`: the journal's files read without a lock, beside a running server
//! or in a copy of its directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tekd::engine::{BuiltTable, Rebuild, Rebuilt, Recompute, State};
use tekd::node::{
    OriginError, RebuildingError, RebuiltJournal, first_state, journal_path, rebuild_journal_into,
    verify_journal,
};
use tekd::store::journal::{Head, JournalError};
use tekd::store::{Disk, RealDisk};

use crate::args::Global;
use crate::output::{Done, Failure, Outcome};
use crate::progress::Progress;
use crate::tables::counted;

/// Why a journal cannot be read; naming a directory without one is a slip of the command line.
pub(crate) fn unreadable(error: &JournalError) -> Failure {
    match error {
        JournalError::Missing { .. } => Failure::usage(format!("{error}: say where it is with --data DIR")),
        _ => Failure::failed(error),
    }
}

/// Reads every group and checks every hash.
pub(crate) fn verify(global: &Global) -> Done {
    let mut progress = Progress::of("groups");
    let mut groups = 0;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let verified =
        verify_journal(Arc::new(RealDisk), &journal_path(&global.data), cores, &mut |done, all| {
            groups = done;
            progress.at(done, Some(all));
        });
    drop(progress);
    match verified {
        Ok(v) => {
            let chain = hex::encode(v.head.chain);
            let text = format!(
                "{} in {}, all whole; chain {chain}",
                counted(v.events, "event"),
                counted(v.groups, "group")
            );
            let document = json!({ "events": v.events, "groups": v.groups, "chain": chain, "ok": true });
            Ok(Outcome::new(document, text))
        }
        Err(error) => {
            let document = json!({ "ok": false, "groups": groups, "error": error.to_string() });
            Err(unreadable(&error).with(document, ""))
        }
    }
}

/// Carries out every event again, compares with what was signed, and writes the newest generations.
pub(crate) fn rebuild(global: &Global, into: &Path, every_serial: bool) -> Done {
    if into.join("sets").exists() {
        return Err(Failure::usage(format!("{} holds sets already: name another directory", into.display())));
    }
    let began = Instant::now();
    let recompute = if every_serial { Recompute::EverySerial } else { Recompute::Newest };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let first = beginning(&disk, global)?;
    let base = first.seq();
    let start = Rebuild::from_state(first, recompute).map_err(Failure::failed)?;
    let mut progress = Progress::of("groups");
    let made = rebuild_journal_into(disk, &journal_path(&global.data), start, into, &mut |done, all| {
        progress.at(done, Some(all));
    });
    drop(progress);
    let RebuiltJournal { rebuilt, head, .. } = made.map_err(|error| match error {
        RebuildingError::Journal(error) => unreadable(&error),
        other => Failure::failed(other),
    })?;
    let sets: Vec<Value> = rebuilt.tables.iter().map(|(set, t)| set_document(&rebuilt, *set, t)).collect();
    let (events, seconds) = (head.seq - base, began.elapsed().as_secs_f64());
    let document = json!({
        "events": events,
        "base": base,
        "seconds": seconds,
        "chain": hex::encode(head.chain),
        "sets": sets,
        "checkpoints": rebuilt.checkpoints,
        "recomputed": if every_serial { "every-serial" } else { "newest" },
    });
    let text = text((base, events), seconds, &head, &rebuilt, recompute);
    // What was rebuilt is large, and the program ends: nothing is gained by taking it apart.
    std::mem::forget(rebuilt);
    Ok(Outcome::new(document, text))
}

/// The state that a journal is carried out from: that before event one, or that of its oldest base.
pub(crate) fn beginning(disk: &Arc<dyn Disk>, global: &Global) -> Result<State, Failure> {
    first_state(disk, &global.data).map_err(|error| match &error {
        OriginError::Journal(error) => unreadable(error),
        error => Failure::failed(error),
    })
}

fn set_document(rebuilt: &Rebuilt, set: u32, table: &BuiltTable) -> Value {
    let built = &table.built;
    json!({
        "set": set,
        "serial": built.serial,
        "root": hex::encode(built.root),
        "live": built.count,
        "compared": rebuilt.is_compared(set),
    })
}

fn text(
    (base, events): (u64, u64),
    seconds: f64,
    head: &Head,
    rebuilt: &Rebuilt,
    recompute: Recompute,
) -> String {
    let checked = match recompute {
        Recompute::Newest => "every release as it was signed, the root of the newest computed again",
        Recompute::EverySerial => "every release as it was signed, every root computed again",
    };
    let chain = hex::encode(head.chain);
    let after = if base == 0 { String::new() } else { format!(" after the base at event {base}") };
    let mut lines = vec![format!(
        "{}{after} in {seconds:.1} s; {}: {checked}; chain {chain}",
        counted(events, "event"),
        counted(rebuilt.checkpoints, "checkpoint"),
    )];
    lines.extend(rebuilt.tables.iter().map(|(set, table)| {
        let built = &table.built;
        let open =
            if rebuilt.is_compared(*set) { "" } else { "; not published yet, so nothing to compare with" };
        let root = hex::encode(built.root);
        format!("set {set}: release {}, {} live, root {root}{open}", built.serial, built.count)
    }));
    lines.join("\n")
}
