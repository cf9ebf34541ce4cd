//! `backup`: a verified copy of the data directory, made from its files beside a running server or without
//! one.

use std::path::Path;
use std::time::Instant;

use serde_json::json;
use tekd::node::{BackupError, back_up};
use tekd::store::IdentityError;
use tekd::store::journal::JournalError;

use crate::args::Global;
use crate::output::{Done, Failure, Outcome};
use crate::progress::Progress;
use crate::tables::counted;

/// Makes a backup in the new directory `to`.
pub(crate) fn run(global: &Global, to: &Path) -> Done {
    let slip = |what: &Path, e| Failure::usage(format!("{}: {e}", what.display()));
    let to = std::path::absolute(to).map_err(|e| slip(to, e))?;
    let began = Instant::now();
    let mut progress = Progress::of_bytes("journal");
    let made = back_up(&global.data, &to, &mut |done, all| progress.at(done, Some(all)));
    drop(progress);
    let backup = made.map_err(|error| failure(&error))?;
    let seconds = began.elapsed().as_secs_f64();
    let (path, chain) = (backup.path.display(), hex::encode(backup.chain));
    let (events, groups) = (counted(backup.events, "event"), counted(backup.groups, "group"));
    let text = format!(
        "{path}: {events} in {groups}, {} bytes in {seconds:.1} s, all whole; chain {chain}\n\
         to go on from it: stop the original for good, copy it to its place, and run `tekctl adopt` there",
        backup.bytes
    );
    let document = json!({
        "path": backup.path, "events": backup.events, "groups": backup.groups, "chain": chain,
        "bytes": backup.bytes, "seconds": seconds,
    });
    let mut outcome = Outcome::new(document, text);
    let secrets = if backup.root_key { "the root key and the online key" } else { "the online key" };
    outcome.notes.push(format!(
        "tekctl: {secrets} are in the backup: keep it as safe as the directory; the codes key is not (`tekctl keys \
         export-codes`)"
    ));
    Ok(outcome)
}

fn failure(error: &BackupError) -> Failure {
    let nothing_there = matches!(
        error,
        BackupError::Identity(IdentityError::Missing { .. })
            | BackupError::Journal(JournalError::Missing { .. })
    );
    match error {
        BackupError::NotEmpty { .. } | BackupError::NoName { .. } => Failure::usage(error),
        _ if nothing_there => Failure::usage(format!(
            "{error}: say with --data DIR where the origin's is; a public node needs no backup, it follows again"
        )),
        _ => Failure::failed(format!("no backup was made: {error}")),
    }
}
