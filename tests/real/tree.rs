//! What a directory holds, to the byte: to show that nothing in it was changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Names that a start may touch in a directory it refuses: who holds the lock, and the control socket.
const OF_THE_PROCESS: [&str; 2] = ["lock", "control.sock"];

/// Every file below `dir` with its digest, every directory without.
pub(crate) fn contents(dir: &Path) -> BTreeMap<PathBuf, Option<String>> {
    let mut found = BTreeMap::new();
    walk(dir, Path::new(""), &mut found);
    found
}

fn walk(dir: &Path, below: &Path, found: &mut BTreeMap<PathBuf, Option<String>>) {
    for entry in std::fs::read_dir(dir.join(below)).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = below.join(entry.file_name());
        if OF_THE_PROCESS.iter().any(|of| name == Path::new(of)) {
            continue;
        }
        if entry.file_type().expect("a type").is_dir() {
            found.insert(name.clone(), None);
            walk(dir, &name, found);
        } else {
            let bytes = std::fs::read(entry.path()).expect("a file");
            found.insert(name, Some(hex::encode(Sha256::digest(bytes))));
        }
    }
}

/// Copies all files below `from` to `to`, as a backup would.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for (name, digest) in contents(from) {
        if digest.is_some() {
            std::fs::copy(from.join(&name), to.join(&name)).expect("a copy");
        } else {
            std::fs::create_dir_all(to.join(&name)).expect("a directory");
        }
    }
}

/// The only file in `dir` whose name begins and ends so; the newest by name if there are more.
#[track_caller]
pub(crate) fn newest(dir: &Path, prefix: &str, suffix: &str) -> PathBuf {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(prefix) && name.ends_with(suffix)
    };
    entries.filter(named).max().unwrap_or_else(|| panic!("no {prefix}*{suffix} in {}", dir.display()))
}
