//! A disk that fills up and is freed, under the real server: small file systems, 1 MiB segments.
//!
//! What comes in is turned away cleanly, withdrawals and releases go on, readers notice nothing, and it
//! recovers by itself once there is space.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tekd::service::control::{ControlRequest, Exit};
use tekd::wire::Key;
use tekd::wire::report::Outcome;

use super::account::{ask_again, settle};
use super::clients::tls_client;
use super::clock::{Clock, DAY, is_held, is_let_go};
use super::dice::Dice;
use super::injected::answers;
use super::keys::{fresh_seed, import};
use super::ledger::{Fate, Ledger};
use super::mounted::Mounted;
use super::operator::{bring, codes, release, withdraw_key};
use super::phone::{Failed, Phone, Shared, Way, open};
use super::server::{Place, Server, until};

/// Of each file system: room for a few segments, and the reserve.
const MIB: u64 = 16;
/// Releases and withdrawals while the disk is full.
const GO_ON: u64 = 25;

/// Writes to a file until no byte more fits.
fn fill(ballast: &Path) {
    let mut file = File::create(ballast).expect("a name fits");
    for step in [1 << 20, 4096, 64] {
        let some = vec![0xa5; step];
        while file.write_all(&some).and_then(|()| file.sync_data()).is_ok() {}
    }
}

/// Imports less and less until not one key comes in. What was refused is nowhere.
fn use_up(server: &Server, dice: &mut Dice, ledger: &Shared) -> u64 {
    let mut imports = 0;
    for count in [2000, 200, 20, 1] {
        loop {
            let keys: Vec<Key> = dice.keys(count);
            let reply = import(server, &keys).expect("an answer");
            let fate = if reply.ok { Fate::In } else { Fate::Out };
            open(ledger).decide(keys, fate);
            if let Some(why) = reply.error {
                assert_eq!(reply.exit, Exit::Refused, "{why}");
                assert!(
                    why.contains("the disk of the journal is full") && why.contains("free space"),
                    "{why}"
                );
                break;
            }
            imports += 1;
        }
    }
    imports
}

/// What goes on, and what does not, while the disk is full.
fn is_full(server: &Server, code: &str, dice: &mut Dice, ledger: &Shared) {
    let mut phone = Phone::new(server, Way::Tls, dice.draw(), ledger).impatient();
    let report = phone.submit(code);
    assert!(matches!(report, Err(Failed::Refused(Outcome::Busy))), "asked to come back: {report:?}");
    let health = server.command(&ControlRequest::Health {});
    let findings = health.result.unwrap_or_default().to_string();
    assert!(
        health.exit == Exit::Degraded && findings.contains("the disk of the journal is full"),
        "{findings}"
    );
    assert_eq!(server.metric("tekd_health{property=\"space\"}"), 1.0);
    answers(server, &server.trust(), ledger);
}

fn suffer(small: &Mounted, scratch: &Path) {
    let place = Place::new(&small.parent(), small.name());
    let server = place.start().without_decoys();
    let ledger: Shared = Arc::new(Mutex::new(Ledger::default()));
    let mut dice = Dice::new(fresh_seed("a full disk"));
    bring(&server, &dice.keys(200), &ledger).expect("room");
    release(&server, &ledger).expect("room");
    let mut codes = codes(&server, "clinic", 4);
    let mut phone = Phone::new(&server, Way::Tls, dice.draw(), &ledger);
    let reported = phone.submit(&codes.pop().expect("a code")).expect("room");
    let ballast = place.data.join("ballast");
    fill(&ballast);
    let imports = use_up(&server, &mut dice, &ledger);
    let code = codes.pop().expect("a code");
    is_full(&server, &code, &mut dice, &ledger);
    phone.cancel(reported).expect("an author's withdrawal goes on");
    for _ in 0..GO_ON {
        withdraw_key(&server, &mut dice, &ledger).expect("an operator's withdrawal goes on");
        release(&server, &ledger).expect("releases go on");
    }
    answers(&server, &server.trust(), &ledger);
    server.kill();
    let server = place.start();
    assert_eq!(use_up(&server, &mut dice, &ledger), 0, "it is as full after a restart");
    is_full(&server, &codes.pop().expect("a code"), &mut dice, &ledger);
    withdraw_key(&server, &mut dice, &ledger).expect("a withdrawal goes on");
    release(&server, &ledger).expect("releases go on");
    server.stop();
    let server = place.start();
    std::fs::remove_file(&ballast).expect("removed");
    // The reports that were turned away ask again, as phones do.
    let healthy = || !place_is_full(&server);
    until("it goes on by itself", || healthy().then_some(()));
    ask_again(&server, &mut dice, &ledger);
    bring(&server, &dice.keys(2000), &ledger).expect("room");
    settle(&server, &mut open(&ledger), scratch);
    server.stop();
    let server = place.start();
    settle(&server, &mut open(&ledger), scratch);
    println!("{imports} imports until it was full");
    server.stop();
}

fn place_is_full(server: &Server) -> bool {
    server.command(&ControlRequest::Health {}).result.unwrap_or_default().to_string().contains("\"space\"")
}

#[test]
fn a_loop_file_system_that_fills_up_and_is_freed() {
    let dir = tempfile::tempdir().expect("a directory");
    match Mounted::ext4(dir.path(), MIB) {
        Ok(small) => suffer(&small, dir.path()),
        Err(why) => {
            println!("SKIPPED: no loop file system can be mounted here ({why}); a tmpfs is filled instead");
        }
    }
}

#[test]
fn a_tmpfs_that_fills_up_and_is_freed() {
    let dir = tempfile::tempdir().expect("a directory");
    match Mounted::tmpfs(dir.path(), MIB) {
        Ok(small) => suffer(&small, dir.path()),
        Err(why) => println!("SKIPPED: no tmpfs can be mounted here, not in a user namespace either: {why}"),
    }
}

#[test]
fn keys_expire_while_the_disk_is_full() {
    let dir = tempfile::tempdir().expect("a directory");
    let small = match Mounted::tmpfs(dir.path(), MIB) {
        Ok(small) => small,
        Err(why) => return println!("SKIPPED: no tmpfs can be mounted here: {why}"),
    };
    let clock = Clock::new(dir.path());
    let place = clock.before(Place::new(&small.parent(), small.name()), dir.path());
    let server = place.start().without_decoys();
    let ledger: Shared = Arc::new(Mutex::new(Ledger::default()));
    let mut dice = Dice::new(fresh_seed("expiry"));
    bring(&server, &dice.keys(50), &ledger).expect("room");
    release(&server, &ledger).expect("room");
    let ballast = place.data.join("ballast");
    fill(&ballast);
    use_up(&server, &mut dice, &ledger);
    clock.set(15 * DAY);
    is_held(&server, &ledger);
    is_let_go(&server, &ledger);
    let checkpoint = tls_client(server.tls(), server.trust()).checkpoint().expect("a verified checkpoint");
    assert_eq!(checkpoint.count(), 0, "what is too old has left");
    open(&ledger).fates.values_mut().for_each(|fate| *fate = Fate::Out);
    std::fs::remove_file(&ballast).expect("removed");
    server.stop();
    let server = place.start();
    settle(&server, &mut open(&ledger), dir.path());
    server.stop();
}
