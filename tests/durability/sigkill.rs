//! SIGKILL at any moment loses nothing that was confirmed, and doubles nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::account::{ask_again, settle};
use super::dice::Dice;
use super::keys::fresh_seed;
use super::ledger::Ledger;
use super::operator::{codes, turn, work};
use super::phone::{Failed, Phone, Shared, Way, open};
use super::server::{Place, Server};
use super::shim::under;

/// Rounds unless `TEKD_KILL_ROUNDS` says otherwise.
const ROUNDS: u64 = 20;
/// Rounds after which another directory is begun: each is rebuilt from event one in each round.
const ROUNDS_OF_A_LIFE: u64 = 20;
/// Phones that report at once over TLS.
const TLS_PHONES: u64 = 8;
/// Codes of a round: more than its phones spend.
const CODES: u32 = 90;
/// Milliseconds until the server is killed, at most.
const LONGEST: u64 = 900;

fn rounds() -> u64 {
    let given = std::env::var("TEKD_KILL_ROUNDS").ok();
    given.map_or(ROUNDS, |text| text.parse().expect("TEKD_KILL_ROUNDS is a number"))
}

/// Starts a phone that reports under the codes until the server is gone.
fn spawn(mut phone: Phone, codes: Vec<String>, killed: &Arc<AtomicBool>) -> JoinHandle<()> {
    let killed = Arc::clone(killed);
    std::thread::spawn(move || {
        for code in &codes {
            match phone.live(code) {
                Ok(()) => {}
                Err(Failed::Silent(error)) => {
                    return assert!(killed.load(Ordering::SeqCst), "a server that runs is silent: {error}");
                }
                Err(Failed::Refused(outcome)) => panic!("a good report ended with {outcome:?}"),
            }
        }
    })
}

/// Load from all sides until SIGKILL after some milliseconds.
fn round(server: Server, dice: &mut Dice, ledger: &Shared) {
    let mut hand = codes(&server, &format!("clinic {}", dice.draw()), CODES);
    let killed = Arc::new(AtomicBool::new(false));
    let mut deal = || hand.split_off(hand.len() - CODES as usize / (TLS_PHONES as usize + 1));
    let mut phones: Vec<_> = (0..TLS_PHONES)
        .map(|_| spawn(Phone::new(&server, Way::Tls, dice.draw(), ledger), deal(), &killed))
        .collect();
    // Nobody tells who asks over QUIC that the server is gone: it is left alone, and asks an empty address.
    let _over_quic = spawn(Phone::new(&server, Way::Quic, dice.draw(), ledger), deal(), &killed);
    let after = Duration::from_micros(dice.below(LONGEST * 1000));
    let (begun, begins) = channel();
    let mut operators = Dice::new(dice.draw());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            work(&server, &mut operators, ledger, || {
                // The first one counts.
                let _ = begun.send(());
            });
        });
        begins.recv().expect("a first turn");
        std::thread::sleep(after);
        killed.store(true, Ordering::SeqCst);
        server.send("KILL");
    });
    for phone in phones.drain(..) {
        phone.join().expect("every answer before the end was right");
    }
    server.kill();
}

/// Kills servers that have just been started.
fn kill_at_start(place: &Place, dice: &mut Dice) {
    let mut started = place.command().spawn().expect("tekd can be run");
    std::thread::sleep(Duration::from_micros(dice.below(60_000)));
    started.kill().expect("a child can be killed");
    started.wait().expect("a child can be waited for");
}

/// A directory and its rounds; returns how many receipts and replies were confirmed in it.
fn life(place: &Place, rounds: u64, dice: &mut Dice, scratch: &Path, told: &mut dyn FnMut(&Ledger)) {
    let ledger: Shared = Arc::new(Mutex::new(Ledger::default()));
    for _ in 0..rounds {
        if dice.one_in(4) {
            kill_at_start(place, dice);
        }
        let server = place.start().without_decoys();
        settle(&server, &mut open(&ledger), scratch);
        ask_again(&server, dice, &ledger);
        round(server, dice, &ledger);
        told(&open(&ledger));
    }
    let server = place.start();
    settle(&server, &mut open(&ledger), scratch);
    ask_again(&server, dice, &ledger);
    server.stop();
    settle(&place.start(), &mut open(&ledger), scratch);
}

#[test]
fn what_was_confirmed_before_sigkill_is_there_once_after_it() {
    let seed = fresh_seed("SIGKILL");
    let mut dice = Dice::new(seed);
    let (all, began) = (rounds(), Instant::now());
    let (mut done, mut receipts, mut replies) = (0, 0, 0);
    while done < all {
        let dir = tempfile::tempdir().expect("a directory");
        let place = Place::new(dir.path(), "origin");
        let rounds = ROUNDS_OF_A_LIFE.min(all - done);
        let (mut in_life, before) = ((0, 0), (receipts, replies));
        let mut told = |ledger: &Ledger| {
            done += 1;
            in_life = (ledger.receipts() as u64, ledger.replies);
            let (receipts, replies) = (before.0 + in_life.0, before.1 + in_life.1);
            let seconds = began.elapsed().as_secs();
            println!("round {done} of {all}: {receipts} receipts, {replies} replies, {seconds} s");
        };
        life(&place, rounds, &mut dice, dir.path(), &mut told);
        (receipts, replies) = (before.0 + in_life.0, before.1 + in_life.1);
    }
    assert!(receipts >= all && replies >= all, "the server was busy: {receipts} receipts, {replies} replies");
    println!("{all} rounds: {receipts} receipts and {replies} replies were confirmed; 0 lost, 0 doubled");
}

/// That the account is no formality: a disk on which nothing arrives for a while is found out.
#[test]
fn a_disk_that_lies_is_found_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let lying = dir.path().join("lying");
    let place = under(Place::new(dir.path(), "origin"), dir.path(), "lie.c", "LYING", &lying);
    let mut dice = Dice::new(fresh_seed("a disk that lies"));
    let ledger: Shared = Arc::new(Mutex::new(Ledger::default()));
    let server = place.start().without_decoys();
    let hand = codes(&server, "clinic", 2);
    let mut phone = Phone::new(&server, Way::Tls, dice.draw(), &ledger);
    turn(&server, &mut dice, &ledger).expect("confirmed");
    phone.submit(&hand[0]).expect("a receipt");
    server.kill();
    let server = place.start();
    settle(&server, &mut open(&ledger), dir.path());
    std::fs::write(&lying, "").expect("a file");
    let mut phone = Phone::new(&server, Way::Tls, dice.draw(), &ledger);
    phone.submit(&hand[1]).expect("a receipt that is a lie");
    server.kill();
    std::fs::remove_file(&lying).expect("removed");
    let server = place.start();
    let found = catch_unwind(AssertUnwindSafe(|| settle(&server, &mut open(&ledger), dir.path())));
    let why = found.expect_err("a report was lost");
    let why = why
        .downcast::<String>()
        .map_or_else(|other| format!("{:?}", other.downcast_ref::<&str>()), |text| *text);
    assert!(why.contains("a key was confirmed and is missing"), "{why}");
}
