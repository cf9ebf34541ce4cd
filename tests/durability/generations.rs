//! The file of a generation changed under a running server that asks no disk, or that has it mapped.
//!
//! Whatever happens to the file, an answer is right or there is none; the process lives; and what was changed
//! is made again from the journal without anybody's help.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tekd::client::{Client, ClientError};
use tekd::service::control::ControlRequest;
use tekd::store::RealDisk;
use tekd::store::generation::generations;
use tekd::wire::{Key, ResultCode};

use super::account::settle;
use super::clients::tls_client;
use super::dice::Dice;
use super::keys::fresh_seed;
use super::ledger::Ledger;
use super::operator::{bring, release};
use super::phone::{Shared, open};
use super::server::{Place, Server, until};

/// Keys of the first release: a table of many pages.
const KEYS: u64 = 4_000;
/// Keys that nobody reported.
const STRANGERS: u64 = 200;
/// Bits of the buckets that are asked for.
const BITS: u8 = 6;

/// What happens to a file. `older` is that of the release before.
type Damage = fn(file: &Path, older: &Path);

fn writable(file: &Path) -> File {
    File::options().read(true).write(true).open(file).expect("a file")
}

fn flip(file: &Path, at: u64) {
    let (file, mut byte) = (writable(file), [0]);
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x40], at).expect("written");
}

fn length(file: &Path) -> u64 {
    std::fs::metadata(file).expect("a file").len()
}

/// Damage that changes what a map shows, and where.
const UNDER_A_MAP: [(&str, Damage); 7] = [
    ("cut to nothing", |file, _| writable(file).set_len(0).expect("cut")),
    ("cut within a page", |file, _| writable(file).set_len(length(file) / 2 + 100).expect("cut")),
    ("cut and as long as before", |file, _| {
        let long = length(file);
        writable(file).set_len(5000).expect("cut");
        writable(file).set_len(long).expect("longer");
    }),
    ("a bit of each entry's page", |file, _| {
        (5000..length(file)).step_by(4096).for_each(|at| flip(file, at));
    }),
    ("a bit of an entry", |file, _| flip(file, 4096 + 77 * 32 + 3)),
    ("a bit of the root", |file, _| {
        // The nodes come last, the root first of them.
        let nodes = (2u64 << tree_bits(file)) - 1;
        flip(file, length(file) - nodes * 32);
    }),
    ("the bytes of an older one", |file, older| {
        let bytes = std::fs::read(older).expect("a file");
        writable(file).write_all_at(&bytes, 0).expect("written");
    }),
];

/// Damage that a map does not see.
const BESIDE_A_MAP: [(&str, Damage); 2] = [
    ("removed", |file, _| std::fs::remove_file(file).expect("removed")),
    ("replaced by an older one", |file, older| {
        let aside = file.with_extension("aside");
        std::fs::copy(older, &aside).expect("copied");
        std::fs::rename(aside, file).expect("renamed");
    }),
];

fn tree_bits(file: &Path) -> u8 {
    let generation =
        tekd::store::generation::Generation::open(&RealDisk, file, tekd::store::MemoryMode::Copy);
    generation.expect("a whole generation").meta().bits
}

/// Everything a reader may ask, and what is right.
struct Reader {
    client: Client<'static>,
    live: BTreeSet<Key>,
    strangers: Vec<Key>,
}

impl Reader {
    /// Asks for every key and every bucket. Whether all of it was answered; what was, was right.
    fn all_is_answered(&mut self) -> bool {
        let mut whole = true;
        let live: Vec<Key> = self.live.iter().copied().collect();
        for (keys, there) in [(&live, true), (&self.strangers, false)] {
            for some in keys.chunks(32) {
                match self.client.lookup(some) {
                    Ok(report) => {
                        assert!(report.keys.iter().all(|key| key.is_some() == there), "a wrong answer");
                    }
                    Err(error) => whole &= is_unavailable(&error),
                }
            }
        }
        for top in 0..1u8 << BITS {
            let mut prefix = [0; 16];
            prefix[0] = top << (8 - BITS);
            match self.client.bucket(&prefix, BITS) {
                Ok(report) => {
                    let of = |key: &&Key| key.as_bytes()[0] >> (8 - BITS) == top;
                    let there = self.live.iter().filter(of).copied();
                    assert!(there.eq(report.keys.iter().map(|(key, _)| *key)), "a wrong bucket");
                }
                Err(error) => whole &= is_unavailable(&error),
            }
        }
        whole
    }
}

/// No: it says that it has no answer. Anything else is not allowed.
fn is_unavailable(error: &ClientError) -> bool {
    let result = error.refused().map(|refused| refused.result);
    assert_eq!(result, Some(ResultCode::Unavailable), "{error}");
    false
}

struct World {
    dir: tempfile::TempDir,
    server: Server,
    ledger: Shared,
    dice: Dice,
    reader: Reader,
}

fn in_mode(mode: &str) -> World {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), "origin");
    let place = place.under(&["env", &format!("TEKD_MEMORY_MODE={mode}")]);
    let server = place.start().without_decoys();
    let ledger: Shared = Arc::new(Mutex::new(Ledger::default()));
    let mut dice = Dice::new(fresh_seed("generations"));
    let strangers = dice.keys(STRANGERS);
    let reader =
        Reader { client: tls_client(server.tls(), server.trust()), live: BTreeSet::new(), strangers };
    let mut world = World { dir, server, ledger, dice, reader };
    world.import(KEYS);
    release(&world.server, &world.ledger).expect("a release");
    world.import(50);
    release(&world.server, &world.ledger).expect("a release");
    world
}

impl World {
    fn import(&mut self, count: u64) {
        let keys = self.dice.keys(count);
        bring(&self.server, &keys, &self.ledger).expect("an import");
        self.reader.live.extend(keys);
    }

    /// The files of the two newest generations.
    fn files(&self) -> (PathBuf, PathBuf) {
        let files = generations(&RealDisk, &self.server.place.data.join("sets/1")).expect("a directory");
        (files[0].1.clone(), files[1].1.clone())
    }

    /// Imports, and waits until the next release is seen; it may take a second attempt.
    fn next_release(&mut self) {
        let serial = self.server.serial();
        self.import(20);
        let request = ControlRequest::ReleaseNow { set: 1, allow_small: true };
        let reply = self.server.command(&request);
        let why = reply.error.unwrap_or_default();
        assert!(reply.ok || why.contains("its table cannot be made"), "{why}");
        until("the release", || (self.server.serial() > serial).then_some(()));
        open(&self.ledger).releases.clear();
    }

    /// Everything holds after a clean stop.
    fn ends_well(self) {
        let place = self.server.place.clone();
        self.server.stop();
        let server = place.start();
        settle(&server, &mut open(&self.ledger), self.dir.path());
        server.stop();
    }
}

#[test]
fn a_mapped_generation_that_is_changed_is_not_answered_from_and_made_again() {
    let mut world = in_mode("map");
    assert!(world.reader.all_is_answered());
    for (what, damage) in UNDER_A_MAP {
        println!("{what}");
        world.server.place.forget_log();
        let (file, older) = world.files();
        damage(&file, &older);
        until("it is made again", || {
            world.reader.all_is_answered();
            world.server.place.log().contains("the table of set 1 is made again").then_some(())
        });
        let log = world.server.place.log();
        assert!(log.contains("was changed or cut under the server"), "{what}: {log}");
        until("it is shown", || world.reader.all_is_answered().then_some(()));
        let findings = world.server.command(&ControlRequest::Health {}).result.unwrap_or_default();
        assert!(!findings.to_string().contains("building"), "{what}: {findings}");
        world.next_release();
        assert!(world.reader.all_is_answered(), "{what}: the next release");
    }
    world.ends_well();
}

#[test]
fn nothing_is_built_on_a_mapped_generation_that_was_changed() {
    let mut world = in_mode("map");
    for (what, damage) in UNDER_A_MAP {
        println!("{what}");
        world.server.place.forget_log();
        let (file, older) = world.files();
        damage(&file, &older);
        // Nobody has asked: the builder is the first who reads it.
        world.next_release();
        let log = world.server.place.log();
        assert!(log.contains("was changed or cut under the server"), "{what}: {log}");
        assert!(world.reader.all_is_answered(), "{what}");
    }
    world.ends_well();
}

#[test]
fn a_generation_in_memory_or_replaced_beside_its_map_is_answered_from_as_before() {
    for mode in ["copy", "map"] {
        let mut world = in_mode(mode);
        let seen: &[(&str, Damage)] = if mode == "copy" { &UNDER_A_MAP } else { &[] };
        for (what, damage) in seen.iter().chain(&BESIDE_A_MAP) {
            let (file, older) = world.files();
            damage(&file, &older);
            assert!(world.reader.all_is_answered(), "{mode}: {what}");
            world.next_release();
            assert!(world.reader.all_is_answered(), "{mode}: {what}: the next release");
        }
        let (file, older) = world.files();
        BESIDE_A_MAP[1].1(&file, &older);
        world.ends_well();
    }
}

#[test]
fn a_node_makes_a_mapped_generation_again_from_what_it_verified() {
    let mut world = in_mode("copy");
    let place = Place::new(world.dir.path(), "node").under(&["env", "TEKD_MEMORY_MODE=map"]);
    let node = place.following(world.server.udp(), &world.server.ready.trust).start();
    let files = || generations(&RealDisk, &node.place.data.join("sets/1")).unwrap_or_default();
    let shown = |serial| until("the release", || (node.serial() >= serial).then_some(()));
    shown(2);
    world.next_release();
    shown(3);
    world.reader.client = tls_client(node.tls(), node.trust());
    for (what, damage) in UNDER_A_MAP {
        node.place.forget_log();
        damage(&files()[0].1, &files()[1].1);
        until("it was made again", || {
            world.reader.all_is_answered();
            node.place.log().contains("was changed or cut under the server").then_some(())
        });
        until("it is answered from again", || world.reader.all_is_answered().then_some(()));
        println!("{what}: made again");
    }
    node.stop();
}
