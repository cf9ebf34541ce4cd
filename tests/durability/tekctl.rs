//! `tekctl` as a process of its own.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs a command on a data directory, and returns its exit code, its lines and what it says besides.
pub(crate) fn run(data: &Path, words: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tekctl"));
    command.arg("--json").arg("--data").arg(data).args(words).env_remove("TEKD_DATA");
    let output = command.output().expect("tekctl can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines = lines.map(|line| serde_json::from_slice(line).expect("a JSON document")).collect();
    (output.status.code(), lines, said)
}

/// Runs a command that has to end with `code`, and returns its document and what it says besides.
#[track_caller]
pub(crate) fn operate(data: &Path, words: &[&str], code: i32) -> (Value, String) {
    let (found, mut lines, said) = run(data, words);
    assert_eq!(found, Some(code), "{words:?}: {said}");
    (lines.pop().unwrap_or_default(), said)
}
