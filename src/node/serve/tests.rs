//! A start that shows readers what they saw last while the private state is read; and when it does not.

use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::*;
use crate::client::{Client, SetClient, SyncMode, TlsCarrier, UdpCarrier};
use crate::engine::{ImportedKey, Input, Random, Reply};
use crate::node::{AskError, NOBODY, SystemClock, read_state};
use crate::release::{Fields, Trust};
use crate::service::config::Overrides;
use crate::store::{DiskFile, RealDisk};
use crate::time::interval_of;
use crate::wire::Key;
use crate::wire::report::ReportType;

/// What should be the case is so well within this.
const DEADLINE: Duration = Duration::from_secs(30);

/// The disk of this machine, on which nobody opens a snapshot while the door is closed.
#[derive(Clone, Default)]
struct Door(Arc<(Mutex<Waits>, Condvar)>);

#[derive(Default)]
struct Waits {
    closed: bool,
    /// Somebody stands before the door.
    waits: bool,
    /// Nothing is made in the journal's directory.
    keeps_journal: bool,
}

impl Door {
    fn closed() -> Self {
        let door = Door::default();
        door.set(true);
        door
    }

    fn set(&self, closed: bool) {
        self.0.0.lock().unwrap().closed = closed;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let mut waits = self.0.0.lock().unwrap();
        waits.waits = true;
        self.0.1.notify_all();
        while waits.closed {
            waits = self.0.1.wait(waits).unwrap();
        }
    }

    /// Returns once somebody stands before it.
    fn somebody_waits(&self) {
        let waits = self.0.0.lock().unwrap();
        let (waits, _) = self.0.1.wait_timeout_while(waits, DEADLINE, |waits| !waits.waits).unwrap();
        assert!(waits.waits, "nobody reads the snapshot");
    }
}

impl Disk for Door {
    fn create(&self, path: &Path) -> std::io::Result<Box<dyn DiskFile>> {
        if path.parent().is_some_and(|dir| dir.ends_with("journal")) && self.0.0.lock().unwrap().keeps_journal
        {
            return Err(std::io::Error::other("on purpose"));
        }
        RealDisk.create(path)
    }
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn DiskFile>> {
        if path.parent().is_some_and(|dir| dir.ends_with("snapshots")) {
            self.pass();
        }
        RealDisk.open(path)
    }
    fn open_write(&self, path: &Path) -> std::io::Result<Box<dyn DiskFile>> {
        RealDisk.open_write(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.remove(path)
    }
    fn create_dir(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.create_dir(path)
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<PathBuf>> {
        RealDisk.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn inode(&self, path: &Path) -> std::io::Result<u64> {
        RealDisk.inode(path)
    }

    fn born(&self, path: &Path) -> std::io::Result<u64> {
        RealDisk.born(path)
    }
}

struct Place(tempfile::TempDir);

impl Place {
    /// A directory that has lived: forty keys, one release, a base.
    fn lived() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        let mut serving = place.start(Arc::new(RealDisk)).unwrap();
        place.publish(&serving, 1);
        serving.stop();
        place
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn start(&self, disk: Arc<dyn Disk>) -> Result<Serving, ServeError> {
        let overrides = Overrides {
            data: Some(self.data()),
            udp: Some("127.0.0.1:0".to_owned()),
            tls: Some("127.0.0.1:0".to_owned()),
            quic: Some("off".to_owned()),
            ..Overrides::default()
        };
        let config = config::load(&RealDisk, None, |_| None, &overrides).unwrap();
        Serving::start(&config, disk, Arc::new(SystemClock::new()))
    }

    fn publish(&self, serving: &Serving, round: u8) {
        let origin = serving.private().unwrap().wait().unwrap();
        origin.ask(imported(round)).unwrap();
        let released = origin.ask(Input::Release { set: 1, allow_small: true }).unwrap();
        assert!(matches!(released, Reply::Released(_)), "{released:?}");
    }

    fn trust(&self) -> Trust {
        Trust::parse_json(&std::fs::read_to_string(trust_path(&self.data())).unwrap()).unwrap()
    }

    fn options(&self) -> OriginOptions {
        OriginOptions { disk: Arc::new(RealDisk), dir: self.data(), segment_bytes: 1 << 20 }
    }

    /// What a start shows before it reads the state.
    fn shows(&self) -> Result<u32, Unshown> {
        let (_, sets) = showing::look(&self.options(), None, MemoryMode::Copy)?;
        Ok(sets[0].verified.answer.checkpoint.serial())
    }

    fn shown_file(&self) -> PathBuf {
        self.data().join("sets/1/shown.tekd")
    }

    fn events(&self) -> u64 {
        let serving = self.start(Arc::new(RealDisk)).unwrap();
        serving.private().unwrap().wait().unwrap().look(|o| o.head().seq).unwrap()
    }
}

fn key(round: u8, i: u8) -> Key {
    let mut bytes = [round; 16];
    bytes[15] = i;
    Key::from_slice(&bytes).unwrap()
}

/// Forty keys whose embargo is over.
fn imported(round: u8) -> Input {
    let start = (interval_of(SystemClock::new().now().unix) / 144 - 3) * 144;
    let fields = Fields { start, period: 144, report: ReportType::Confirmed as u8, risk: 0, onset: 0 };
    let keys = (0..40).map(|i| ImportedKey { key: key(round, i), fields, period: 144 }).collect();
    Input::Import { set: 1, provider: "import".to_owned(), keys }
}

fn random(out: &mut [u8]) {
    SystemRandom.fill(out);
}

fn udp(serving: &Serving, trust: Trust) -> Client<'static> {
    Client::new(UdpCarrier::new(serving.ready.udp.unwrap()), trust, 1, random, std::thread::sleep)
}

#[test]
fn verified_questions_are_answered_before_the_state_is_read() {
    let place = Place::lived();
    let door = Door::closed();
    let mut serving = place.start(Arc::new(door.clone())).unwrap();
    let private = Arc::clone(serving.private().unwrap());
    door.somebody_waits();
    let (trust, serial) = (place.trust(), place.shows().unwrap());
    let mut client = udp(&serving, trust.clone());
    assert_eq!(client.checkpoint().unwrap().serial(), serial);
    let found = client.lookup(&[key(1, 7)]).unwrap();
    assert!(found.keys[0].is_some());
    assert!(!client.bucket(&[1; 16], 0).unwrap().keys.is_empty());

    // The private half says that it is being read, and how far that is.
    assert!(private.origin().is_none());
    let findings = serving.commands.findings(Duration::ZERO);
    let writing = findings.iter().find(|finding| finding.property == "writing").unwrap();
    assert!(writing.text.contains("still being read, 0 of"), "{}", writing.text);
    let page = serving.commands.metrics_page();
    assert!(page.contains("tekd_state_unread_events ") && !page.contains("tekd_state_unread_events 0\n"));
    assert!(matches!(private.wait_for(Duration::ZERO), Err(AskError::Reading { read: 0, of: 1.. })));

    door.set(false);
    place.publish(&serving, 2);
    assert_eq!(client.checkpoint().unwrap().serial(), serial + 1);
    let mut phone = SetClient::new(trust.clone(), 1);
    let stream = TlsCarrier::new(serving.ready.tls.unwrap(), None);
    let report = Client::new(stream, trust, 1, random, std::thread::sleep).sync(&mut phone, false).unwrap();
    assert_eq!(report.mode, SyncMode::Full);
    assert!(serving.commands.metrics_page().contains("tekd_state_unread_events 0\n"));
    serving.stop();
}

#[test]
fn who_stops_while_the_state_is_read_waits_for_nothing_and_loses_nothing() {
    let place = Place::lived();
    let events = place.events();
    let door = Door::closed();
    let serving = place.start(Arc::new(door.clone())).unwrap();
    door.somebody_waits();
    drop(serving);
    // Whoever came too late for the directory goes on reading, and writes nothing.
    let again = place.events();
    door.set(false);
    assert!(again >= events && place.events() >= again);
}

#[test]
fn a_state_that_cannot_be_read_ends_the_process_with_its_error() {
    let place = Place::lived();
    let door = Door::default();
    door.0.0.lock().unwrap().keeps_journal = true;
    let mut signals = Signals::catch().unwrap();
    let serving = place.start(Arc::new(door.clone())).unwrap();
    let early = serving.wait(&mut signals).unwrap_err().to_string();
    assert!(early.contains("on purpose"), "{early}");
    assert!(matches!(serving.private().unwrap().wait(), Err(AskError::Stopped(why)) if why == early));
    drop(serving);
    std::fs::remove_file(place.shown_file()).unwrap();
    assert_eq!(place.start(Arc::new(door)).unwrap_err().to_string(), early);
}

#[test]
fn what_is_not_the_newest_or_not_whole_is_not_shown() {
    let place = Place::lived();
    let first = std::fs::read(place.shown_file()).unwrap();
    let journal = place.0.path().join("older");
    copy(&place.data().join("journal"), &journal);
    assert_eq!(place.shows().unwrap(), 1);
    let mut serving = place.start(Arc::new(RealDisk)).unwrap();
    place.publish(&serving, 2);
    serving.stop();
    assert_eq!(place.shows().unwrap(), 2);
    let second = std::fs::read(place.shown_file()).unwrap();

    // An older release, with a newer one in the journal.
    std::fs::write(place.shown_file(), &first).unwrap();
    assert!(matches!(place.shows(), Err(Unshown::Newer { set: 1, .. })));
    // Any byte of it changed.
    for at in (0..second.len()).step_by(7) {
        let mut damaged = second.clone();
        damaged[at] ^= 4;
        std::fs::write(place.shown_file(), &damaged).unwrap();
        assert!(place.shows().is_err(), "byte {at}");
    }
    std::fs::write(place.shown_file(), &second).unwrap();
    assert_eq!(place.shows().unwrap(), 2);
    // A journal that ends before it.
    let newest = place.0.path().join("newest");
    copy(&place.data().join("journal"), &newest);
    copy(&journal, &place.data().join("journal"));
    let shows = place.shows();
    assert!(matches!(shows, Err(Unshown::Elsewhere | Unshown::Journal(_))), "{shows:?}");
    copy(&newest, &place.data().join("journal"));
    assert_eq!(place.shows().unwrap(), 2);
    // A generation that is not there.
    std::fs::remove_file(place.data().join("sets/1/gen-0000000100000002.tekd")).unwrap();
    assert!(matches!(place.shows(), Err(Unshown::Generation(_))));
}

#[test]
fn a_release_that_is_decided_and_not_published_leaves_readers_the_one_before() {
    let place = Place::lived();
    let clock = SystemClock::new();
    let mut origin = Origin::open(place.options(), clock.now(), Box::new(SystemRandom)).unwrap();
    let release = Input::Release { set: 1, allow_small: true };
    origin.step(clock.now(), vec![(NOBODY, imported(2)), (NOBODY, release)]).unwrap();
    assert!(origin.state().set(1).unwrap().in_flight());
    drop(origin);
    assert_eq!(place.shows().unwrap(), 1);
    let door = Door::closed();
    let serving = place.start(Arc::new(door.clone())).unwrap();
    let serial = || serving.view().load().set(1).unwrap().release.as_ref().unwrap().checkpoint.serial();
    assert_eq!(serial(), 1);
    door.set(false);
    serving.private().unwrap().wait().unwrap();
    assert_eq!(serial(), 2);
}

#[test]
fn readers_who_were_shown_something_else_than_the_state_says_are_shown_nothing_more() {
    let place = Place::lived();
    let (identity, sets) = showing::look(&place.options(), None, MemoryMode::Copy).unwrap();
    let serving = place.start(Arc::new(RealDisk)).unwrap();
    place.publish(&serving, 2);
    drop(serving);
    let view = Arc::new(Published::new(Arc::new(View::empty(identity.service_id, 0))));
    let store = TableStore { disk: Arc::new(RealDisk), dir: Some(place.data()), mode: MemoryMode::Copy };
    let mut builder = Builder::new(store, view);
    for set in sets {
        builder.show_again(set, SystemClock::new().now().unix).unwrap();
    }
    let state = read_state(Arc::new(RealDisk), &place.data(), &identity).unwrap();
    let error = builder.confirm(&state).unwrap_err().to_string();
    assert!(error.contains("set 1 were shown version 4294967297"), "{error}");
    assert!(error.contains("says version 4294967298"), "{error}");
    assert!(matches!(place.shows(), Err(Unshown::Unreadable { .. })), "it is not shown again");
}

#[test]
fn what_only_the_mirror_has_is_waited_for() {
    let place = Place::lived();
    let mirror = place.0.path().join("mirror");
    copy(&place.data().join("journal"), &mirror);
    let look =
        || showing::look(&place.options(), Some(&mirror), MemoryMode::Copy).map(|(_, sets)| sets.len());
    assert_eq!(look().unwrap(), 1);
    let older = place.0.path().join("older");
    copy(&place.data().join("journal"), &older);
    let shown = std::fs::read(place.shown_file()).unwrap();
    let serving = place.start(Arc::new(RealDisk)).unwrap();
    place.publish(&serving, 2);
    drop(serving);
    assert!(matches!(look(), Err(Unshown::NotLevel)), "the mirror is behind");
    copy(&place.data().join("journal"), &mirror);
    assert_eq!(look().unwrap(), 1);
    // The journal is put back as it was, and so is what was shown.
    copy(&older, &place.data().join("journal"));
    std::fs::write(place.shown_file(), shown).unwrap();
    std::fs::remove_dir_all(place.data().join("snapshots")).unwrap();
    assert!(matches!(look(), Err(Unshown::NotLevel)), "the journal is behind");
    assert_eq!(place.shows().unwrap(), 1, "alone it would be shown");
}

#[test]
fn a_copy_is_refused_and_a_new_incarnation_shows_nothing_old() {
    let place = Place::lived();
    let identity = place.data().join("identity");
    let bytes = std::fs::read(&identity).unwrap();
    // The name before it is kept, so that the system does not give its inode again.
    std::fs::rename(&identity, place.0.path().join("before")).unwrap();
    std::fs::write(&identity, bytes).unwrap();
    assert!(matches!(place.shows(), Err(Unshown::Identity(_))));
    assert!(matches!(place.start(Arc::new(RealDisk)), Err(ServeError::Identity(_) | ServeError::Origin(_))));
    Identity::adopt(&RealDisk, &place.data(), 0).unwrap();
    assert!(matches!(place.shows(), Err(Unshown::Other { .. })));
    // The first release of the new incarnation is shown again.
    let mut serving = place.start(Arc::new(RealDisk)).unwrap();
    place.publish(&serving, 2);
    serving.stop();
    assert!(place.shows().unwrap() > 1);
}

#[test]
fn a_key_that_is_gone_or_roots_of_another_are_found_before_anything_is_shown() {
    let place = Place::lived();
    let online = place.data().join("keys/online-1.key");
    let key = std::fs::read(&online).unwrap();
    std::fs::remove_file(&online).unwrap();
    assert!(matches!(place.shows(), Err(Unshown::Origin(OriginError::Mixed { .. }))));
    assert!(matches!(place.start(Arc::new(RealDisk)), Err(ServeError::Origin(OriginError::Mixed { .. }))));
    std::fs::write(&online, key).unwrap();
    let codes = place.data().join("keys/codes.key");
    let key = std::fs::read(&codes).unwrap();
    std::fs::write(&codes, &key[..3]).unwrap();
    assert!(matches!(place.shows(), Err(Unshown::Origin(OriginError::Key(_)))));
    std::fs::write(&codes, key).unwrap();
    let trust = std::fs::read(trust_path(&place.data())).unwrap();
    let other = Place::lived();
    std::fs::copy(trust_path(&other.data()), trust_path(&place.data())).unwrap();
    assert!(matches!(place.shows(), Err(Unshown::Origin(OriginError::Mixed { .. }))));
    std::fs::write(trust_path(&place.data()), trust).unwrap();
    assert_eq!(place.shows().unwrap(), 1);
}

/// The files of a directory, in place of what is there.
fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
