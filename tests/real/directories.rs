//! Directories that must not be served: each is refused with its reason, and left as it was.

use std::path::Path;
use std::process::Command;

use tekd::store::{Identity, RealDisk};

use super::clients::tls_client;
use super::edits::{edit, seal};
use super::imported::import_all;
use super::keys::keys;
use super::server::Place;
use super::tree::{contents, copy, newest};

/// The directory of an origin that has made a release, and its root.
pub(crate) fn released(dir: &Path, name: &str) -> (Place, String) {
    let place = Place::new(dir, name);
    let origin = place.start().without_decoys();
    import_all(&origin, &keys(1, 200));
    let (_, root) = origin.release();
    origin.stop();
    (place, root)
}

/// Asserts that `place` is refused with `says`, all of them, and that nothing in it changes.
#[track_caller]
pub(crate) fn refused(place: &Place, says: &[&str]) {
    let before = contents(&place.data);
    let (code, text) = place.refused();
    assert_eq!(code, Some(1), "{text}");
    for part in says {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert_eq!(contents(&place.data), before, "nothing was changed");
}

/// Replaces one entry of a directory by that of another.
fn swap(place: &Place, other: &Place, name: &str) {
    let (to, from) = (place.data.join(name), other.data.join(name));
    if from.is_dir() {
        std::fs::remove_dir_all(&to).expect("removed");
        copy(&from, &to);
    } else {
        std::fs::copy(&from, &to).expect("copied");
    }
}

#[test]
fn a_directory_with_parts_of_another_origin_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (other, _) = released(dir.path(), "other");
    for (name, says) in [
        ("keys", "keys/root.key is none of the root keys in trust.json"),
        ("journal", "belongs to another log"),
        ("trust.json", "trust.json is of service"),
        ("keys/online-1.key", "keys/online-1.key is not the key that the journal's delegation names"),
    ] {
        let (place, _) = released(dir.path(), &name.replace(['/', '.'], "-"));
        swap(&place, &other, name);
        refused(&place, &["tekd cannot serve", says]);
    }
}

#[test]
fn an_identity_of_another_origin_is_refused_as_a_copy() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, _) = released(dir.path(), "origin");
    let (other, _) = released(dir.path(), "other");
    swap(&place, &other, "identity");
    refused(&place, &["is a copy or a restored backup", "tekctl adopt"]);
}

#[test]
fn an_origin_is_not_founded_where_something_else_lives() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, _) = released(dir.path(), "origin");
    let node = Place::new(dir.path(), "node");
    let trust = place.data.join("trust.json");
    let nowhere = "127.0.0.1:1".parse().expect("an address");
    node.clone().following(nowhere, &trust).start().stop();
    refused(&node, &["is the directory of a public node", "--upstream", "choose an empty directory"]);
    std::fs::remove_file(place.data.join("identity")).expect("removed");
    refused(&place, &["its identity file is missing, but", "nothing was changed"]);
}

#[test]
fn a_node_is_not_started_where_an_origin_lives() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, root) = released(dir.path(), "origin");
    let nowhere = "127.0.0.1:1".parse().expect("an address");
    let trust = place.data.join("trust.json");
    refused(&place.clone().following(nowhere, &trust), &["is the directory of an origin", "--data"]);
    assert_eq!(place.start().release().1, root, "an empty release has the root of the one before");
}

#[test]
fn a_copied_directory_is_refused_until_it_is_adopted() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, root) = released(dir.path(), "origin");
    let twin = Place::new(dir.path(), "twin");
    copy(&place.data, &twin.data);
    refused(&twin, &["is a copy or a restored backup of a data directory", "tekctl adopt"]);
    Identity::adopt(&RealDisk, &twin.data, 0).expect("adopted");
    let adopted = twin.start();
    let (_, again) = adopted.release();
    assert_eq!(again, root);
    let version =
        tls_client(adopted.tls(), adopted.trust()).checkpoint().expect("a verified checkpoint").version();
    assert_eq!(version >> 32, 2, "no version of the first incarnation is signed again");
    place.start().stop();
}

#[test]
fn a_directory_that_is_served_is_not_served_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), "origin");
    let first = place.start().without_decoys();
    let pid = first.ready.pid;
    refused(&place, &[&format!("another tekd (pid {pid}) serves {}", place.data.display())]);
    assert_eq!(first.release().0, 1, "the first one serves on");
    first.stop();
}

#[test]
fn a_directory_of_a_newer_format_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, root) = released(dir.path(), "origin");
    let newer = "was written by a newer tekd: format 9, this one reads up to 1";
    let identity = place.data.join("identity");
    let segment = newest(&place.data.join("journal"), "segment-", ".journal");
    let head = place.data.join("journal").join("head");
    for (file, sealed) in
        [(&identity, vec![(0, 124)]), (&segment, vec![(0, 4092)]), (&head, vec![(0, 4092), (4096, 8188)])]
    {
        let good = std::fs::read(file).expect("a file");
        edit(file, |bytes| {
            for (start, end) in &sealed {
                bytes[start + 8..start + 12].copy_from_slice(&9u32.to_le_bytes());
                seal(bytes, *start, *end);
            }
        });
        refused(&place, &[&file.display().to_string(), newer]);
        edit(file, |bytes| *bytes = good);
    }
    assert_eq!(place.start().release().1, root, "put right again it is served");
}

/// A command that runs as somebody who may not write to a directory, or what stands in the way.
fn as_nobody(place: &Place) -> Result<Command, &'static str> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    let inner = place.command();
    if !is_root {
        return Ok(inner);
    }
    let drop_rights = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let probe = Command::new("setpriv").args(drop_rights).arg(inner.get_program()).arg("--version").output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        return Err("running as root, and setpriv cannot run tekd as nobody");
    }
    Ok(place.clone().under(&[&["setpriv"], &drop_rights[..]].concat()).command())
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let (place, _) = released(dir.path(), "origin");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let mut command = match as_nobody(&place) {
        Ok(command) => command,
        Err(why) => return println!("a read-only directory is not tried: {why}"),
    };
    mode(dir.path(), 0o755);
    let before = contents(&place.data);
    let mut all = vec![(place.data.clone(), 0o555)];
    all.extend(
        before
            .iter()
            .map(|(name, digest)| (place.data.join(name), if digest.is_some() { 0o444 } else { 0o555 })),
    );
    all.push((place.data.join("lock"), 0o444));
    all.iter().for_each(|(path, bits)| mode(path, *bits));
    let output = command.stderr(std::process::Stdio::piped()).output().expect("tekd can be run");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("is read-only: tekd needs to write there"), "{text}");
    assert_eq!(contents(&place.data), before, "nothing was changed");
    all.iter().for_each(|(path, _)| mode(path, 0o755));
}
