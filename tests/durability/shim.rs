//! A layer of C between the server and the system, compiled by the test and loaded before the C library.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::Place;

/// `place` under the shim `source`, which finds the file `word` in its environment as `variable`.
pub(crate) fn under(place: Place, dir: &Path, source: &str, variable: &str, word: &Path) -> Place {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/durability").join(source);
    let library: PathBuf = dir.join(source.file_stem().expect("a name")).with_extension("so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source);
    assert!(cc.status().expect("there is a C compiler").success());
    let (library, word) = (library.display(), word.display());
    place.under(&["env", &format!("LD_PRELOAD={library}"), &format!("{variable}={word}")])
}
