//! Generated data behind a real worker: what is asked for is right, and the generator sees when it is not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tekd::engine::{AnswerCounters, Cookies, Gate, Moment, Respond, Seeded, Slot, View};
use tekd::gaen::{Epidemic, Package};
use tekd::node::{Builder, Clock, Origin, OriginOptions, SteppedClock, TableStore, bring_up};
use tekd::release::Trust;
use tekd::store::{MemoryMode, Published, RealDisk};
use tekd::time::start_of;
use tekd::transport::{UdpPlan, UdpWorker, bind};
use tekd::wire::Key;
use tekd_load::{
    GeneratedData, Lookups, Pace, Plan, Report, greet, measure, read_keys, write_data_directory, write_keys,
    write_packages,
};

const NEWEST_DAY: u32 = 20_700 * 144;
const KEYS: u64 = 3000;
const SEED: u64 = 7;
/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Every file below `dir` that does not depend on where and when it was made, with its bytes.
fn files(dir: &Path, below: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(below).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(dir, &path, found);
        } else {
            let name = path.strip_prefix(dir).expect("below").display().to_string();
            found.insert(name, std::fs::read(&path).expect("a file"));
        }
    }
}

fn made(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    files(dir, dir, &mut found);
    found
}

#[test]
fn packages_of_one_seed_are_equal_to_the_byte_and_hold_every_key() {
    let [first, second, other] = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
    let told = write_packages(first.path(), KEYS, SEED, NEWEST_DAY).expect("written");
    write_packages(second.path(), KEYS, SEED, NEWEST_DAY).expect("written");
    write_packages(other.path(), KEYS, SEED + 1, NEWEST_DAY).expect("written");
    assert_eq!(made(first.path()), made(second.path()));
    assert_ne!(made(first.path()), made(other.path()));
    let mut keys = Vec::new();
    for package in &told.packages {
        let zip = std::fs::read(&package.file).expect("there");
        let read = Package::read(&zip).expect("whole");
        assert_eq!((package.bytes, package.keys), (zip.len(), read.keys.len()));
        keys.extend(read.keys);
    }
    let reports = Epidemic::new(SEED).reports(KEYS, NEWEST_DAY).expect("a midnight");
    let mut wanted: Vec<_> = reports.flat_map(|report| report.keys).collect();
    keys.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
}

#[test]
fn a_data_directory_of_one_seed_is_equal_to_the_byte() {
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let told = write_data_directory(first.path(), KEYS, SEED, NEWEST_DAY).expect("made");
    write_data_directory(second.path(), KEYS, SEED, NEWEST_DAY).expect("made");
    assert_eq!((told.keys, told.set, told.serial), (KEYS, 1, 1));
    let (mut first, mut second) = (made(first.path()), made(second.path()));
    // The identity knows the inode of its own file, so that a copy is told from the original.
    let identities: Vec<_> = first.keys().filter(|name| name.contains("identity")).cloned().collect();
    assert_eq!(identities.len(), 1, "{:?}", first.keys());
    for files in [&mut first, &mut second] {
        files.retain(|name, _| !identities.contains(name));
    }
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (name, bytes) in &first {
        assert!(second[name] == *bytes, "{name} differs");
    }
}

/// A gate that says of every tenth question that its key is not there.
struct Liar {
    gate: Gate,
    count: u64,
    every: u64,
}

impl Respond for Liar {
    fn respond(&mut self, now: Moment, slots: &mut [Slot<'_>]) {
        self.gate.respond(now, slots);
        for slot in slots {
            self.count += 1;
            if self.count.is_multiple_of(self.every) && slot.request.len() == 96 {
                slot.answer[80..96].fill(0);
            }
        }
    }
}

/// Starts a worker on the data of `data` that lies in one of `every` answers.
fn serve(data: &GeneratedData, every: u64) -> (UdpWorker, std::net::SocketAddr, Trust) {
    let clock = SteppedClock::new(start_of(NEWEST_DAY) + 3 * 86_400);
    let disk = Arc::new(RealDisk);
    let options = OriginOptions { disk: disk.clone(), dir: data.data.clone(), segment_bytes: 16 << 20 };
    let mut origin = Origin::open(options, clock.now(), Box::new(Seeded::new(1))).expect("an origin");
    let view = Arc::new(Published::new(Arc::new(View::empty(origin.identity().service_id, 1))));
    let store = TableStore { disk, dir: Some(data.data.clone()), mode: MemoryMode::Copy };
    bring_up(&mut origin, &mut Builder::new(store, Arc::clone(&view)), &clock).expect("tables");
    let cookies = Cookies::new([9; 32], origin.identity().service_id);
    let gate = Gate::new(view, cookies, None, Arc::new(AnswerCounters::default()));
    let socket = bind("127.0.0.1:0".parse().expect("an address"), 1).expect("a socket").remove(0);
    let address = socket.local_addr().expect("bound");
    let liar = Liar { gate, count: 0, every };
    let worker =
        UdpWorker::spawn("liar", socket, UdpPlan::default(), move || clock.now(), liar).expect("a thread");
    let text = std::fs::read_to_string(&data.trust).expect("a trust file");
    (worker, address, Trust::parse_json(&text).expect("whole"))
}

/// Half of the keys asked for are in the set.
fn ask(
    server: std::net::SocketAddr,
    trust: &Trust,
    hits: Vec<Key>,
    per_question: usize,
    pace: Pace,
) -> Report {
    let mut lookups =
        Lookups::new(trust.service, 1, Arc::new(hits), 0.5, per_question, 11).expect("something to ask");
    let cookie = greet(server, trust.service, 1, 99).expect("a server that is there");
    assert_ne!(cookie, 0);
    lookups.set_cookie(cookie);
    let length = Duration::from_millis(200);
    let plan = Plan {
        server,
        pace,
        length,
        patience: PATIENCE,
        pid: Some(std::process::id()),
        spin: false,
        train: 1,
    };
    measure(&plan, &mut lookups).expect("measured")
}

fn hits(dir: &Path) -> Vec<Key> {
    let file = dir.join("keys.jsonl");
    let reports = Epidemic::new(SEED).reports(KEYS, NEWEST_DAY).expect("a midnight");
    write_keys(&file, reports.flat_map(|report| report.keys).collect()).expect("written");
    read_keys(&file).expect("whole")
}

#[test]
fn every_generated_key_is_found_in_open_and_closed_loop() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = write_data_directory(&dir.path().join("data"), KEYS, SEED, NEWEST_DAY).expect("made");
    let (worker, server, trust) = serve(&data, u64::MAX);
    let hits = hits(dir.path());
    assert_eq!(hits.len() as u64, KEYS);
    for (per_question, pace) in [(1, Pace::Rate(2000)), (1, Pace::Window(32)), (32, Pace::Window(8))] {
        let report = ask(server, &trust, hits.clone(), per_question, pace);
        let bad = (report.lost, report.wrong, report.refused, report.stray);
        assert_eq!(bad, (0, 0, 0, 0), "{report:?}");
        assert!(report.answered == report.sent && report.sent > 0, "{report:?}");
        assert!(0.0 < report.p50_us && report.p50_us <= report.p99_us && report.p99_us <= report.max_us);
        if pace == Pace::Rate(2000) {
            assert_eq!(report.sent, 400);
        }
    }
    worker.join().expect("a clean end");
}

#[test]
fn a_server_that_denies_keys_is_found_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = write_data_directory(&dir.path().join("data"), KEYS, SEED, NEWEST_DAY).expect("made");
    let (worker, server, trust) = serve(&data, 10);
    let report = ask(server, &trust, hits(dir.path()), 1, Pace::Rate(2000));
    // One in ten is denied, half of these were keys of the set.
    assert_eq!(report.sent, 400);
    assert!((5..=36).contains(&report.wrong), "{report:?}");
    assert_eq!(report.answered + report.wrong, report.sent);
    worker.join().expect("a clean end");
}

#[test]
fn a_foreign_service_is_not_answered_and_that_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = write_data_directory(&dir.path().join("data"), 100, SEED, NEWEST_DAY).expect("made");
    let (worker, server, _) = serve(&data, u64::MAX);
    assert!(greet(server, *b"foreign!", 1, 1).is_err());
    worker.join().expect("a clean end");
}
