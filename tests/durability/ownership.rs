//! Whose directory it is: two servers that want the same one, and a copy that nobody adopted.

use std::sync::{Arc, Mutex};

use super::account::{ask_again, settle};
use super::clients::tls_client;
use super::dice::Dice;
use super::keys::fresh_seed;
use super::ledger::Ledger;
use super::operator::{codes, turn};
use super::phone::{Phone, Shared, Way, open};
use super::server::Place;
use super::tekctl::operate;
use super::tree::copy;

/// Pairs of servers that are started at once.
const PAIRS: usize = 8;

#[test]
fn of_two_servers_that_start_at_once_one_serves() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Place::new(dir.path(), "origin");
    for _ in 0..PAIRS {
        // The same directory by another name, so that each has a log and a ready file of its own.
        let second = Place::new(dir.path(), "other");
        if !second.data.exists() {
            std::fs::create_dir_all(&first.data).expect("a directory");
            std::os::unix::fs::symlink(&first.data, &second.data).expect("a link");
        }
        second.forget_log();
        first.forget_log();
        let (one, two) = std::thread::scope(|scope| {
            let two = scope.spawn(|| second.try_start());
            (first.try_start(), two.join().expect("no panic"))
        });
        let (server, status, log) = match (one, two) {
            (Ok(server), Err(status)) => (server, status, second.log()),
            (Err(status), Ok(server)) => (server, status, first.log()),
            (Ok(_), Ok(_)) => panic!("both serve"),
            (Err(_), Err(_)) => panic!("none serves: {} {}", first.log(), second.log()),
        };
        assert_eq!(status.code(), Some(1), "{log}");
        // Who comes in the instant between the lock and its name may read that of the holder before.
        assert!(log.contains("another tekd (pid "), "{log}");
        server.release();
        server.stop();
    }
}

#[test]
fn a_lock_file_that_was_removed_lets_nobody_else_in() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), "origin");
    let server = place.start();
    std::fs::remove_file(place.data.join("lock")).expect("a lock file");
    let (other, link) = (Place::new(dir.path(), "other"), dir.path().join("other"));
    std::os::unix::fs::symlink(&place.data, link).expect("a link");
    let status = other.try_start().map(drop).expect_err("it is served");
    assert_eq!(status.code(), Some(1), "{}", other.log());
    assert!(other.log().contains("another tekd (pid "), "{}", other.log());
    server.release();
    server.stop();
}

#[test]
fn a_copy_is_refused_until_it_is_adopted_and_then_holds_everything() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), "origin");
    let ledger: Shared = Arc::new(Mutex::new(Ledger::default()));
    let mut dice = Dice::new(fresh_seed("copies"));
    let server = place.start().without_decoys();
    let hand = codes(&server, "clinic", 2);
    turn(&server, &mut dice, &ledger).expect("confirmed");
    let mut phone = Phone::new(&server, Way::Tls, dice.draw(), &ledger);
    for code in &hand {
        phone.live(code).expect("receipts");
    }
    server.kill();
    let twin = Place::new(dir.path(), "twin");
    copy(&place.data, &twin.data);
    let (code, text) = twin.refused();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("is a copy or a restored backup of a data directory"), "{text}");
    let (adopted, _) = operate(&twin.data, &["adopt"], 0);
    assert_eq!(adopted["incarnation"], 2, "{adopted}");
    let server = twin.start();
    settle(&server, &mut open(&ledger), dir.path());
    ask_again(&server, &mut dice, &ledger);
    let version = tls_client(server.tls(), server.trust()).checkpoint().expect("verified").version();
    assert_eq!(version >> 32, 2, "a new incarnation is served");
    server.stop();
}
