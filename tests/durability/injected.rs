//! System calls that fail: at the n-th write, sync or rename of a thread the kernel says EIO or ENOSPC.
//!
//! The calls are made to fail by `strace`, in the real process. Each thread counts its own: a fault strikes
//! the start, the writer and the builder at different moments of one run. Whatever it strikes, nothing is
//! confirmed that a restart does not find.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tekd::release::Trust;
use tekd::service::control::{ControlClient, ControlRequest, Exit};

use super::account::{ask_again, settle};
use super::clients::{tls_client, udp_client};
use super::dice::Dice;
use super::keys::{fresh_seed, import};
use super::ledger::{Fate, Ledger};
use super::operator::{Unconfirmed, bring, codes, release, turn, withdraw_key};
use super::phone::{Failed, Phone, Shared, Way, open};
use super::server::{Place, Server, until};
use tekd::client::SetClient;

/// Turns of the operators until it is clear that no fault strikes the writer.
const TURNS: u32 = 12;
/// Phones beside them.
const PHONES: u64 = 2;
/// Codes of a phone: more than it uses.
const CODES: usize = 6;

/// Whether `strace` may trace here. It has to be installed; only a system that forbids tracing excuses.
pub(crate) fn may_trace() -> bool {
    let probe = Command::new("strace").args(["-f", "-e", "trace=none", "true"]).output();
    let probe = probe.expect("strace is installed (`./check tools` does it)");
    if !probe.status.success() {
        println!("SKIPPED: strace may not trace here: {}", String::from_utf8_lossy(&probe.stderr));
    }
    probe.status.success()
}

/// `place` with the system calls of its server made to fail.
fn faulty(place: &Place, call: &str, error: &str, when: &str, of_file: Option<&Path>) -> Place {
    let log = place.data.with_extension("strace").display().to_string();
    let inject = format!("inject={call}:error={error}:when={when}");
    let traced = format!("trace={call}");
    let mut words = vec!["strace", "-f", "-qq", "-o", &log, "-e", &traced, "-e", &inject];
    let file = of_file.map(|file| file.display().to_string());
    match &file {
        Some(file) => words.extend(["-P", file]),
        // Threads are stopped at these calls alone.
        None => words.push("--seccomp-bpf"),
    }
    place.clone().under(&words)
}

/// How often a call was made to fail.
fn faults(place: &Place) -> usize {
    let log = std::fs::read_to_string(place.data.with_extension("strace")).unwrap_or_default();
    log.matches("(INJECTED)").count()
}

/// Starts a server that may have to give up, before it answers or once it reads its state.
fn start(place: &Place) -> Option<Server> {
    place.forget_log();
    let status = match place.try_start() {
        Ok(mut server) => {
            if reads_its_state(&server) {
                return Some(server);
            }
            server.ended()
        }
        Err(status) => status,
    };
    assert_eq!(status.code(), Some(1), "{}", place.log());
    assert!(place.log().contains("tekd cannot serve"), "{}", place.log());
    None
}

/// Whether a server that answers got its state, though its writer may have stopped since.
fn reads_its_state(server: &Server) -> bool {
    let status = ControlClient::connect(&server.ready.control)
        .and_then(|mut control| control.call(&ControlRequest::Status {}, |_| ()));
    let said = |what| server.place.log().contains(what);
    status.is_ok_and(|reply| reply.ok)
        || until("what became of it", || {
            let (stops, ends) = (said("the writer stops"), said("tekd cannot serve"));
            (stops || ends).then_some(!ends)
        })
}

/// Load until a writer stops confirming, or for some turns. Whether it stopped.
fn strain(server: &Server, hands: Vec<Vec<String>>, dice: &mut Dice, ledger: &Shared) -> bool {
    std::thread::scope(|scope| {
        for hand in hands {
            let mut phone = Phone::new(server, Way::Tls, dice.draw(), ledger).impatient();
            scope.spawn(move || {
                for code in &hand {
                    match phone.live(code) {
                        Ok(()) => {}
                        Err(Failed::Refused(_)) => return,
                        Err(Failed::Silent(error)) => panic!("a server that runs is silent: {error}"),
                    }
                }
            });
        }
        for _ in 0..TURNS {
            match turn(server, dice, ledger) {
                Ok(()) => {}
                Err(Unconfirmed::Refused(reply)) if reply.error.as_deref().is_some_and(is_stopped) => {
                    return true;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        false
    })
}

fn is_stopped(error: &str) -> bool {
    error.contains("the writer has stopped")
}

/// fail-stop: says so, confirms nothing more, and goes on answering from the last release.
fn has_stopped(server: &Server, code: &str, dice: &mut Dice, ledger: &Shared) {
    let health = server.command(&ControlRequest::Health {});
    assert_eq!(health.exit, Exit::Degraded);
    let findings = health.result.expect("findings").to_string();
    assert!(findings.contains("the writer has stopped, nothing is confirmed"), "{findings}");
    assert!(server.place.log().contains("the writer stops"), "{}", server.place.log());
    assert!(import(server, &dice.keys(1)).is_ok_and(|reply| !reply.ok), "an import is refused");
    let mut phone = Phone::new(server, Way::Tls, dice.draw(), ledger).impatient();
    assert!(matches!(phone.submit(code), Err(Failed::Refused(_))), "a report is refused");
    answers(server, &server.trust(), ledger);
}

/// Readers find the newest release that was told of, or a newer one, and can verify it.
pub(crate) fn answers(server: &Server, trust: &Trust, ledger: &Shared) {
    let newest = open(ledger).releases.last_key_value().map_or(0, |(serial, _)| *serial);
    if newest == 0 {
        return;
    }
    let checkpoint = udp_client(server.udp(), trust.clone()).checkpoint().expect("a verified checkpoint");
    assert!(u64::from(checkpoint.serial()) >= newest, "what was told of is seen");
    let mut phone = SetClient::new(trust.clone(), 1);
    let synced = tls_client(server.tls(), trust.clone()).sync(&mut phone, false).expect("a verified sync");
    assert_eq!(synced.root, checkpoint.root());
}

/// What one fault struck.
#[derive(Debug, Default, Clone, Copy)]
struct Struck {
    start: u32,
    writer: u32,
    nothing_that_matters: u32,
}

/// A server whose n-th `call` fails with `error`, under load; then one whose calls do not fail.
fn suffer(call: &str, error: &str, when: u32, dice: &mut Dice, struck: &mut Struck) {
    let what = format!("{call} {error} at {when}");
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), "origin");
    let well = place.start().without_decoys();
    let mut hand = codes(&well, "clinic", (PHONES as usize * CODES + 1) as u32);
    let ledger: Shared = Arc::new(Mutex::new(Ledger::default()));
    release(&well, &ledger).expect("a first release");
    well.stop();
    let last = hand.pop().expect("a code");
    let hands = hand.chunks(CODES).map(<[String]>::to_vec).collect();
    match start(&faulty(&place, call, error, &when.to_string(), None)) {
        None => struck.start += 1,
        Some(server) => {
            if strain(&server, hands, dice, &ledger) {
                struck.writer += 1;
                has_stopped(&server, &last, dice, &ledger);
            } else {
                struck.nothing_that_matters += 1;
                answers(&server, &server.trust(), &ledger);
            }
            let before = open(&ledger).receipts();
            println!("{what}: {} faults, {before} receipts", faults(&place));
            server.stop();
        }
    }
    assert!(faults(&place) > 0, "{what}: no call was made to fail");
    let server = place.start();
    settle(&server, &mut open(&ledger), dir.path());
    ask_again(&server, dice, &ledger);
    server.stop();
}

/// A spread of faults; each has to strike what it says at least once.
fn spread(call: &str, error: &str, whens: &[u32], strikes: impl Fn(&Struck) -> bool) {
    if !may_trace() {
        return;
    }
    let began = Instant::now();
    let mut dice = Dice::new(fresh_seed(call));
    let mut struck = Struck::default();
    for when in whens {
        suffer(call, error, *when, &mut dice, &mut struck);
    }
    println!("{call} {error}: {struck:?} in {} s", began.elapsed().as_secs());
    assert!(strikes(&struck), "{struck:?}");
}

#[test]
fn nothing_is_confirmed_after_a_write_that_failed() {
    spread("pwrite64", "EIO", &[2, 7, 11, 18, 34], |struck| struck.start > 0 && struck.writer > 2);
}

#[test]
fn nothing_is_confirmed_after_a_write_without_space() {
    spread("pwrite64", "ENOSPC", &[2, 8, 13, 27], |struck| struck.start > 0 && struck.writer > 1);
}

#[test]
fn nothing_is_confirmed_after_a_sync_that_failed() {
    spread("fdatasync", "EIO", &[1, 4, 6, 13], |struck| struck.start > 0 && struck.writer > 1);
    spread("fsync", "EIO", &[1, 2, 6, 9], |struck| struck.start > 0);
}

#[test]
fn nothing_is_confirmed_after_a_rename_that_failed() {
    spread("rename", "EIO", &[1, 2, 4], |struck| struck.start > 0);
}

#[test]
fn a_founding_that_fails_is_made_again() {
    if !may_trace() {
        return;
    }
    for (call, last) in [("pwrite64", 15), ("fdatasync", 12), ("fsync", 12), ("rename", 12)] {
        for when in (1..=last).step_by(2) {
            let dir = tempfile::tempdir().expect("a directory");
            let place = Place::new(dir.path(), "origin");
            let started = start(&faulty(&place, call, "EIO", &when.to_string(), None));
            if let Some(server) = started {
                server.kill();
            }
            assert_eq!(faults(&place), 1, "{call} {when}");
            let server = place.start();
            assert_eq!(server.release().0, 1, "{call} {when}");
            server.stop();
        }
    }
}

#[test]
fn a_segment_without_space_turns_away_and_is_prepared_later() {
    if !may_trace() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), "origin");
    let mut dice = Dice::new(fresh_seed("segments"));
    let ledger: Shared = Arc::new(Mutex::new(Ledger::default()));
    place.start().without_decoys().stop();
    let next: PathBuf = place.data.join("journal/segment-0000000002.journal.new");
    let server = start(&faulty(&place, "pwrite64", "ENOSPC", "1", Some(&next))).expect("it starts");
    bring(&server, &dice.keys(30), &ledger).expect("room");
    turn(&server, &mut dice, &ledger).expect("room");
    let many = dice.keys(20_000);
    let refused = import(&server, &many).expect("a reply");
    let why = refused.error.unwrap_or_default();
    assert!(!refused.ok && why.contains("the disk of the journal is full"), "{why}");
    assert_eq!(faults(&place), 1);
    assert!(server.place.log().contains("the disk of the journal is full"), "{}", server.place.log());
    open(&ledger).decide(many.iter().copied(), Fate::Out);
    answers(&server, &server.trust(), &ledger);
    withdraw_key(&server, &mut dice, &ledger).expect("a withdrawal goes on");
    until("it goes on by itself", || bring(&server, &many, &ledger).ok());
    settle(&server, &mut open(&ledger), dir.path());
    server.stop();
    settle(&place.start(), &mut open(&ledger), dir.path());
}
