//! SIGKILL at any moment loses nothing that was confirmed.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::Duration;

use tekd::client::SetClient;
use tekd::engine::{Random, Seeded};
use tekd::release::LiveSet;
use tekd::service::control::{ControlClient, ControlRequest};
use tekd::wire::Key;

use super::asker::{tls_client, udp_client};
use super::keys::{fresh_seed, import, keys};
use super::server::{Place, Server, serial_and_root};

const ROUNDS: u64 = 10;

/// What the server confirmed to somebody.
#[derive(Debug, Default)]
struct Ledger {
    releases: BTreeMap<u64, String>,
    keys: Vec<Key>,
}

/// Imports and releases in turns until the server is gone; tells when it began.
fn work(server: &Server, seed: u64, ledger: &mut Ledger, begun: &std::sync::mpsc::Sender<()>) {
    for turn in 0.. {
        let batch = keys(seed + turn, 7);
        match import(server, &batch) {
            Ok(reply) if reply.ok => ledger.keys.extend(batch),
            Ok(reply) => panic!("an import was refused: {reply:?}"),
            Err(_) => return,
        }
        let Ok(mut control) = ControlClient::connect(&server.ready.control) else { return };
        let release = ControlRequest::ReleaseNow { set: 1, allow_small: true };
        let Ok(reply) = control.call(&release, |_| ()) else { return };
        let (serial, root) = serial_and_root(&reply.result.unwrap_or_else(|| panic!("{:?}", reply.error)));
        ledger.releases.insert(serial, root);
        let _ = begun.send(());
    }
}

/// Everything in the ledger is there.
fn check(server: &Server, ledger: &Ledger) {
    let listed = server.done(&ControlRequest::ReleaseList { set: 1 });
    let listed: BTreeMap<u64, String> =
        listed.as_array().expect("a list").iter().map(serial_and_root).collect();
    for (serial, root) in &ledger.releases {
        assert_eq!(listed.get(serial), Some(root), "release {serial} was confirmed");
    }
    let newest = listed.last_key_value().map_or(0, |(serial, _)| *serial);
    assert_eq!(server.serial(), newest, "the newest release is served");
    let (serial, root) = server.release();
    assert_eq!(serial, newest + 1, "serials go on without a gap");
    let checkpoint = udp_client(server.udp(), server.trust()).checkpoint().expect("a verified checkpoint");
    assert_eq!(hex::encode(checkpoint.root()), root);
    let mut phone = SetClient::new(server.trust(), 1);
    tls_client(server.tls(), server.trust()).sync(&mut phone, false).expect("a sync");
    let live: Vec<Key> = phone.data().map(live_keys).unwrap_or_default();
    for key in &ledger.keys {
        assert!(live.binary_search(key).is_ok(), "a key whose import was confirmed is in the next release");
    }
}

fn live_keys(set: &LiveSet) -> Vec<Key> {
    let entries = set.entries().chunks_exact(set.schema().public_len());
    entries.map(|entry| Key::from_slice(&entry[..16]).expect("16 bytes")).collect()
}

#[test]
fn what_was_confirmed_before_sigkill_is_there_after_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), "origin");
    let seed = fresh_seed("SIGKILL");
    let mut random = Seeded::new(seed);
    let mut ledger = Ledger::default();
    for round in 0..ROUNDS {
        let server = place.start().without_decoys();
        check(&server, &ledger);
        let mut dice = [0; 2];
        random.fill(&mut dice);
        // Somewhere within the next turns, which take some milliseconds each.
        let after = Duration::from_micros(u64::from(u16::from_le_bytes(dice)) * 2);
        let (begun, begins) = channel();
        let (pid, ledger) = (server.ready.pid, &mut ledger);
        std::thread::scope(|scope| {
            let server = &server;
            scope.spawn(move || work(server, seed + round * 1_000_000, ledger, &begun));
            begins.recv().expect("a first turn");
            std::thread::sleep(after);
            let kill = std::process::Command::new("sh").arg("-c").arg(format!("kill -KILL {pid}")).status();
            assert!(kill.expect("a shell").success());
        });
        server.kill();
    }
    println!("{} releases and {} keys were confirmed", ledger.releases.len(), ledger.keys.len());
    let server = place.start();
    check(&server, &ledger);
    server.stop();
    check(&place.start(), &ledger);
}
