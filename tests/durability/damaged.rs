//! Files of the data directory cut, flipped, removed and replaced by older copies under a running server.
//!
//! The server lives and its answers stay right. What comes after a stop is one of two: it refuses to start
//! and names the file, or it serves and everything that was confirmed is there.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tekd::release::Trust;
use tekd::service::control::ControlRequest;

use super::account::settle;
use super::dice::Dice;
use super::injected::answers;
use super::keys::fresh_seed;
use super::ledger::Ledger;
use super::operator::{Unconfirmed, bring, release, turn};
use super::phone::{Shared, open};
use super::server::{Place, Server};
use super::tree::{copy, newest};

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Cut,
    Flip,
    Remove,
    /// An older copy renamed over it, as most programs that put something back do it.
    Older,
    /// An older copy written over it, as `cp` does it.
    Over,
}
use Damage::{Cut, Flip, Older, Over, Remove};

/// How a start after it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Nothing was confirmed under the damage, and a start is refused.
    Stopped,
    Refused,
    Served,
    /// It depends on the bytes: a key file may still be one.
    Either,
}
use After::{Either, Refused, Served, Stopped};

/// A server that has confirmed a few things, and its directory as it was a while before.
struct World {
    dir: tempfile::TempDir,
    server: Server,
    /// As it was before anything was damaged.
    trust: Trust,
    ledger: Shared,
    dice: Dice,
    older: PathBuf,
}

fn world() -> World {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Place::new(dir.path(), "origin").start().without_decoys();
    let ledger: Shared = Arc::new(Mutex::new(Ledger::default()));
    let mut dice = Dice::new(fresh_seed("damage"));
    let older = dir.path().join("older");
    bring(&server, &dice.keys(30), &ledger).expect("an import");
    // Large enough for another segment each.
    for _ in 0..3 {
        bring(&server, &dice.keys(40_000), &ledger).expect("an import");
    }
    assert!(segment(&server.place.data, 3).exists(), "the second is closed");
    release(&server, &ledger).expect("a release");
    server.done(&ControlRequest::SnapshotNow {});
    copy(&server.place.data, &older);
    for _ in 0..2 {
        turn(&server, &mut dice, &ledger).expect("confirmed");
    }
    World { dir, trust: server.trust(), server, ledger, dice, older }
}

fn writable(file: &Path) -> File {
    File::options().read(true).write(true).open(file).expect("a file")
}

impl World {
    fn damage(&self, file: &Path, damage: Damage) {
        let len = std::fs::metadata(file).expect("a file").len();
        match damage {
            Cut => writable(file).set_len(len.min(5000) / 2).expect("cut"),
            Flip => {
                let (open, mut byte, at) = (writable(file), [0], len.min(4096 + 200) * 2 / 3);
                open.read_exact_at(&mut byte, at).expect("a byte");
                open.write_all_at(&[byte[0] ^ 0x10], at).expect("written");
            }
            Remove => std::fs::remove_file(file).expect("removed"),
            Older => {
                let aside = file.with_extension("aside");
                std::fs::copy(self.before(file), &aside).expect("copied");
                std::fs::rename(aside, file).expect("renamed");
            }
            Over => drop(std::fs::copy(self.before(file), file).expect("copied")),
        }
    }

    /// The file as it was a while before.
    fn before(&self, file: &Path) -> PathBuf {
        self.older.join(file.strip_prefix(&self.server.place.data).expect("below it"))
    }

    /// Goes on under the damage, stops, and starts again.
    fn goes_on(mut self, file: &Path, what: &str) -> After {
        answers(&self.server, &self.trust, &self.ledger);
        let confirms = match turn(&self.server, &mut self.dice, &self.ledger) {
            Ok(()) => true,
            Err(Unconfirmed::Refused(_)) => false,
            Err(Unconfirmed::Gone) => panic!("{what}: the server is gone: {}", self.server.place.log()),
        };
        answers(&self.server, &self.trust, &self.ledger);
        let place = self.server.place.clone();
        self.server.stop();
        place.forget_log();
        match place.try_start() {
            Ok(server) => {
                settle(&server, &mut open(&self.ledger), self.dir.path());
                server.stop();
                Served
            }
            Err(status) => {
                let log = place.log();
                assert_eq!(status.code(), Some(1), "{what}: {log}");
                assert!(log.contains("tekd cannot serve"), "{what}: {log}");
                let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
                assert!(log.contains(name), "{what}: {name} is not named: {log}");
                println!("{what}: {}", log.lines().last().unwrap_or_default());
                if confirms { Refused } else { Stopped }
            }
        }
    }
}

/// Does each damage to the file that `find` finds, and compares what comes after.
fn suffer(name: &str, find: impl Fn(&Path) -> PathBuf, expected: &[(Damage, After)]) {
    for (damage, after) in expected {
        let what = format!("{name}, {damage:?}");
        let world = world();
        let file = find(&world.server.place.data);
        world.damage(&file, *damage);
        println!("{what}");
        let found = world.goes_on(&file, &what);
        assert!(found == *after || *after == Either, "{what}: {found:?}");
    }
}

fn segment(data: &Path, number: u32) -> PathBuf {
    data.join("journal").join(format!("segment-{number:010}.journal"))
}

#[test]
fn segments() {
    suffer(
        "a closed segment",
        |data| segment(data, 2),
        &[(Cut, Refused), (Flip, Refused), (Remove, Refused)],
    );
    suffer(
        "the segment that is written",
        |data| newest(&data.join("journal"), "segment-", ".journal"),
        &[(Cut, Stopped), (Flip, Refused), (Remove, Stopped), (Older, Stopped), (Over, Refused)],
    );
}

#[test]
fn the_head_file() {
    let head = |data: &Path| data.join("journal/head");
    suffer(
        "the head file",
        head,
        &[(Cut, Served), (Flip, Served), (Remove, Refused), (Older, Served), (Over, Served)],
    );
}

#[test]
fn snapshots() {
    let snapshot = |data: &Path| newest(&data.join("snapshots"), "snapshot-", ".tekd");
    suffer("a snapshot", snapshot, &[(Cut, Served), (Flip, Served), (Remove, Served)]);
}

#[test]
fn the_identity_and_the_trust_file() {
    let identity = |data: &Path| data.join("identity");
    suffer("the identity", identity, &[(Cut, Refused), (Flip, Refused), (Remove, Refused), (Older, Refused)]);
    let trust = |data: &Path| data.join("trust.json");
    suffer("the trust file", trust, &[(Cut, Refused), (Flip, Refused), (Remove, Served), (Older, Served)]);
}

#[test]
fn keys() {
    for (name, changed, gone) in [
        ("keys/online-1.key", Refused, Refused),
        ("keys/root.key", Refused, Served),
        // Another key: codes of the one before cannot be told from wrong ones, and health says so.
        ("keys/codes.key", Either, Served),
    ] {
        let key = |data: &Path| data.join(name);
        suffer(name, key, &[(Cut, Refused), (Flip, changed), (Remove, gone), (Older, Served)]);
    }
    for name in ["keys/tls-key.pem", "keys/tls-cert.pem", "keys/cookie.key"] {
        suffer(name, |data| data.join(name), &[(Cut, Refused), (Remove, Served)]);
    }
    let seal = |data: &Path| newest(&data.join("keys"), "seal-", ".key");
    suffer("a seal key", seal, &[(Cut, Refused), (Flip, Either), (Remove, Served)]);
}
