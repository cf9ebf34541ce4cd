//! `journal verify` and `journal rebuild`: the journal's files read without a lock, beside a running server
//! or in a copy of its directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tekd::engine::{BuiltTable, Rebuild};
use tekd::node::{journal_path, set_path};
use tekd::store::generation::file_name;
use tekd::store::journal::{JournalError, JournalReader, verify as verify_journal};
use tekd::store::{Disk, RealDisk, replace_file};

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
    let verified = verify_journal(Arc::new(RealDisk), &journal_path(&global.data), &mut |done, all| {
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

/// Computes every release again, compares each with what was signed, and writes the newest generation of
/// each set.
pub(crate) fn rebuild(global: &Global, into: &Path) -> Done {
    if into.join("sets").exists() {
        return Err(Failure::usage(format!("{} holds sets already: name another directory", into.display())));
    }
    let began = Instant::now();
    let mut reader = JournalReader::open(Arc::new(RealDisk), &journal_path(&global.data))
        .map_err(|error| unreadable(&error))?;
    let (base, until) = (reader.base(), reader.until());
    let mut progress = Progress::of("groups");
    let mut rebuild = Rebuild::new();
    for group in &mut reader {
        let group = group.map_err(|error| unreadable(&error))?;
        for record in &group.records {
            rebuild.push(record).map_err(|e| Failure::failed(format!("event {}: {e}", record.seq)))?;
        }
        progress.at(group.head.gno - base.gno, Some(until - base.gno));
    }
    drop(progress);
    let head = reader.head();
    let (_, tables) = rebuild.finish();
    let mut sets = Vec::new();
    for (set, table) in &tables {
        write(into, *set, table)?;
        sets.push(set_document(*set, table));
    }
    let (events, chain) = (head.seq - base.seq, hex::encode(head.chain));
    let seconds = began.elapsed().as_secs_f64();
    let text = text(events, seconds, &chain, &tables.into_iter().collect::<Vec<_>>());
    let document = json!({ "events": events, "seconds": seconds, "chain": chain, "sets": sets });
    Ok(Outcome::new(document, text))
}

/// Writes the generation of a set where a data directory has it, with the same bytes.
fn write(into: &Path, set: u32, table: &BuiltTable) -> Result<(), Failure> {
    let dir = set_path(into, set);
    let path = dir.join(file_name(table.generation.meta().version));
    let written = RealDisk.create_dir(&dir);
    written
        .and_then(|()| replace_file(&RealDisk, &path, table.generation.bytes()))
        .map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))
}

fn set_document(set: u32, table: &BuiltTable) -> Value {
    let built = &table.built;
    json!({ "set": set, "serial": built.serial, "root": hex::encode(built.root), "live": built.count })
}

fn text(events: u64, seconds: f64, chain: &str, tables: &[(u32, BuiltTable)]) -> String {
    let mut lines = vec![format!(
        "{} in {seconds:.1} s; every root as it was signed; chain {chain}",
        counted(events, "event")
    )];
    lines.extend(tables.iter().map(|(set, table)| {
        let built = &table.built;
        format!("set {set}: release {}, {} live, root {}", built.serial, built.count, hex::encode(built.root))
    }));
    lines.join("\n")
}
