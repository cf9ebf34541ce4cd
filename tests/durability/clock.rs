//! A wall clock that is a day wrong, under the real server: a shim between it and the system shifts the one
//! clock and leaves the other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tekd::service::control::{ControlRequest, Exit};
use tekd::wire::report::Outcome;

use super::account::{ask_again, settle};
use super::dice::Dice;
use super::keys::fresh_seed;
use super::ledger::Ledger;
use super::operator::{bring, codes, release};
use super::phone::{Failed, Phone, Shared, Way, open};
use super::server::{Place, Server, until};
use super::shim::under;
use super::tekctl::{operate, run};

pub(crate) const DAY: i64 = 86_400;

/// A clock that can be set.
pub(crate) struct Clock {
    shift: PathBuf,
}

impl Clock {
    pub(crate) fn new(dir: &Path) -> Self {
        let clock = Clock { shift: dir.join("shift") };
        clock.set(0);
        clock
    }

    /// Makes the clock wrong by so many seconds.
    pub(crate) fn set(&self, seconds: i64) {
        let aside = self.shift.with_extension("new");
        std::fs::write(&aside, seconds.to_string()).expect("written");
        std::fs::rename(aside, &self.shift).expect("renamed");
    }

    /// `place` with a server that goes by it; `dir` has room for the shim.
    pub(crate) fn before(&self, place: Place, dir: &Path) -> Place {
        under(place, dir, "shift.c", "CLOCK_SHIFT", &self.shift)
    }
}

/// Releases are held, and everybody who looks is told.
pub(crate) fn is_held(server: &Server, ledger: &Shared) {
    let data = &server.place.data;
    let (code, lines, said) = until("an alarm", || {
        let health = run(data, &["health"]);
        health.1[0].to_string().contains("\"clock\"").then_some(health)
    });
    assert_eq!(code, Some(5), "{said}");
    let finding = lines[0].to_string();
    assert!(finding.contains("releases are held") && finding.contains("release approve"), "{finding}");
    assert_eq!(server.metric("tekd_health{property=\"clock\"}"), 1.0);
    let serial = server.serial();
    let refused = server.command(&ControlRequest::ReleaseNow { set: 1, allow_small: true });
    assert!(!refused.ok && refused.exit == Exit::Refused, "{refused:?}");
    assert_eq!(server.serial(), serial, "no release came out");
    let newest = open(ledger).releases.last_key_value().map_or(0, |(serial, _)| *serial);
    assert_eq!(serial, newest);
}

/// An operator says that the clock is right, and releases go on.
pub(crate) fn is_let_go(server: &Server, ledger: &Shared) {
    operate(&server.place.data, &["release", "approve", "--reason", "the clock was looked at"], 0);
    release(server, ledger).expect("releases go on");
    let findings = server.command(&ControlRequest::Health {}).result.unwrap_or_default().to_string();
    assert!(!findings.contains("\"clock\""), "{findings}");
}

#[test]
fn a_clock_that_jumps_by_a_day_holds_releases_until_it_is_approved() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::new(dir.path());
    let place = clock.before(Place::new(dir.path(), "origin"), dir.path());
    let ledger: Shared = Arc::new(Mutex::new(Ledger::default()));
    let mut dice = Dice::new(fresh_seed("clocks"));
    let server = place.start().without_decoys();
    let mut hand = codes(&server, "clinic", 4);
    bring(&server, &dice.keys(20), &ledger).expect("confirmed");
    release(&server, &ledger).expect("a release");
    for jump in [DAY, 0] {
        clock.set(jump);
        is_held(&server, &ledger);
        // A clock in doubt judges nobody: whoever reports comes back.
        let mut phone = Phone::new(&server, Way::Tls, dice.draw(), &ledger).impatient();
        let held = phone.submit(&hand.pop().expect("a code"));
        assert!(matches!(held, Err(Failed::Refused(Outcome::Busy))), "{held:?}");
        is_let_go(&server, &ledger);
        ask_again(&server, &mut dice, &ledger);
    }
    settle(&server, &mut open(&ledger), dir.path());
    server.stop();
    // The journal has a release of tomorrow: a start is asked about that once more.
    let server = place.start();
    is_held(&server, &ledger);
    is_let_go(&server, &ledger);
    settle(&server, &mut open(&ledger), dir.path());
}

#[test]
fn a_start_with_a_clock_behind_the_journal_or_far_ahead_holds_releases() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::new(dir.path());
    let place = clock.before(Place::new(dir.path(), "origin"), dir.path());
    let ledger: Shared = Arc::new(Mutex::new(Ledger::default()));
    let mut dice = Dice::new(fresh_seed("clocks"));
    let server = place.start().without_decoys();
    bring(&server, &dice.keys(20), &ledger).expect("confirmed");
    release(&server, &ledger).expect("a release");
    server.stop();
    clock.set(-DAY);
    let server = place.start();
    is_held(&server, &ledger);
    clock.set(0);
    server.stop();
    let server = place.start();
    release(&server, &ledger).expect("with the right clock nothing is held");
    server.stop();
    clock.set(4 * DAY);
    let server = place.start();
    is_held(&server, &ledger);
    is_let_go(&server, &ledger);
    settle(&server, &mut open(&ledger), dir.path());
    server.stop();
}
