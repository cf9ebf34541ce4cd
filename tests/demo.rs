//! The demo as a newcomer runs it: the real program, its exit code and what it tells.
#![cfg(feature = "net")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tekd::gaen::{Epidemic, ExportedKey, PackageMeta, write_package};

/// An ordinary midnight years before the demo's days.
const OLD_DAY: u32 = 144 * 18_400;

fn demo(arguments: &[&str], temporary: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tekd"));
    command.arg("demo").args(arguments).env("TMPDIR", temporary).output().expect("tekd runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the demo prints UTF-8")
}

/// What a demo told that has to have held to its end.
fn told(output: &Output) -> String {
    let (told, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    for key_line in [
        "  released    serial 1: ",
        "the root computed from what came is the one that was signed",
        "over TLS alone: the same bytes, keys and root",
        "  LOOKUP ",
        "  BUCKET ",
        "releases 2 to 5 have no news",
        "  withdrawn ",
        "  provider ",
        "all accepted, one is in use today;",
        "its receipt verifies offline, with one bit changed not",
        "13 live, 1 under embargo",
        "  amended ",
        "  cancelled ",
        "an operator takes a third report back",
        "exactly their 25 keys left",
        "has the 25 keys again, as new entries",
        "15 of 15 are live",
        "it holds what phone A holds",
        "  expired ",
        "  PROOF ",
        "  restarted ",
        "byte for byte the origin's",
        "the one that is served",
        "All of it held: 538 releases, three phones and a public node agree on every key.",
    ] {
        assert!(told.contains(key_line), "{key_line:?} is missing in\n{told}");
    }
    assert!(told.lines().all(|line| line.chars().count() <= 110), "lines fit a terminal\n{told}");
    told
}

fn left_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the directory is there");
    entries.map(|entry| entry.expect("it can be listed").path()).collect()
}

fn small_package(reports: usize) -> Vec<u8> {
    let epidemic = Epidemic::new(5).reports(10_000, OLD_DAY).expect("a midnight");
    let keys: Vec<ExportedKey> = epidemic.take(reports).flat_map(|report| report.keys).collect();
    let meta = PackageMeta { region: "ZZ".to_owned(), start: 0, end: 0, batch_num: 1, batch_size: 1 };
    write_package(&keys, &meta, None).expect("a few keys fit")
}

/// Where the real input is, if this machine has it.
fn shared_data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let dir = std::env::var_os("TEKD_SHARED_DATA").map_or_else(beside, PathBuf::from);
    dir.is_dir().then_some(dir)
}

#[test]
fn on_generated_keys_everything_holds_and_nothing_is_left() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let output = demo(&[], temporary.path());
    let told = told(&output);
    assert!(told.contains("20,000 of 20,000 keys from a generated package"), "{told}");
    assert!(text(&output.stderr).is_empty(), "{}", text(&output.stderr));
    assert_eq!(left_in(temporary.path()), Vec::<PathBuf>::new());
}

#[test]
fn on_the_real_package_everything_holds() {
    let Some(data) = shared_data() else {
        eprintln!("skipped: no ../shared/data and no TEKD_SHARED_DATA with the real package");
        return;
    };
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let package = data.join("cwa-demo-package.zip");
    let told = told(&demo(&["--package", package.to_str().expect("a path in UTF-8")], temporary.path()));
    assert!(told.contains("2,392 of 2,392 keys from cwa-demo-package.zip"), "{told}");
    assert!(told.contains("serial 1: 2,392 keys"), "{told}");
}

#[test]
fn a_package_of_two_patients_tells_the_same_story_twice_and_is_kept_when_asked() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let package = temporary.path().join("small.zip");
    std::fs::write(&package, small_package(2)).expect("the package is written");
    let package = package.to_str().expect("a path in UTF-8");
    let first = told(&demo(&["--package", package], temporary.path()));
    let kept = told(&demo(&["--package", package, "--keep"], temporary.path()));
    let place = kept.lines().find_map(|line| line.strip_prefix("The directory is kept: "));
    let place = Path::new(place.expect("it says where"));
    assert!(place.starts_with(temporary.path()) && place.join("origin/journal").is_dir(), "{kept}");
    let without_place = |line: &&str| !line.starts_with("The directory is kept: ");
    let second: Vec<&str> = kept.lines().filter(without_place).collect();
    assert_eq!(first.lines().collect::<Vec<_>>(), second);
}

#[test]
fn a_damaged_package_is_refused_before_anything_is_told() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let package = temporary.path().join("damaged.zip");
    let mut zip = small_package(20);
    let middle = zip.len() / 2;
    zip[middle] ^= 1;
    std::fs::write(&package, &zip).expect("the package is written");
    let output = demo(&["--package", package.to_str().expect("a path in UTF-8")], temporary.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    let errors = text(&output.stderr);
    assert!(errors.contains("damaged.zip is no export package that can be read: "), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn a_package_that_is_not_there_is_named() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let missing = temporary.path().join("missing.zip");
    let output = demo(&["--package", missing.to_str().expect("a path in UTF-8")], temporary.path());
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(errors.contains("cannot read ") && errors.contains("missing.zip"), "{errors}");
}
