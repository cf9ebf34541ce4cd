//! Backups: made beside a server under load, put back, adopted; cut, and made of one another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekd::client::SetClient;
use tekd::engine::{Random, Seeded};
use tekd::service::control::{ControlClient, ControlRequest};
use tekd::wire::Key;

use super::answers::until_serial;
use super::asker::Asker;
use super::clients::tls_client;
use super::directories::{refused, released};
use super::imported::import_all;
use super::keys::{fresh_seed, import, keys, now};
use super::server::{Place, Server, serial_and_root, until};
use super::tree::{contents, copy};

/// Lives of the log, each begun from a backup of the one before.
const LIVES: u64 = 3;
/// Codes a life has for its patients.
const CODES: u32 = 100;
/// Backups that are cut.
const CUTS: u32 = 12;

fn tekctl(data: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tekctl"));
    command.arg("--json").arg("--data").arg(data).args(words).env_remove("TEKD_DATA");
    command
}

/// Runs an operator's command that has to end with `code`, and returns its document and what it says besides.
#[track_caller]
fn operate(data: &Path, words: &[&str], code: i32) -> (Value, String) {
    let Output { status, stdout, stderr } = tekctl(data, words).output().expect("tekctl can be run");
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(code), "{words:?}: {said}");
    (serde_json::from_slice(&stdout).expect("one document"), said)
}

#[track_caller]
fn back_up(data: &Path, to: &Path) -> Value {
    operate(data, &["backup", to.to_str().expect("text")], 0).0
}

/// What the servers confirmed to somebody.
#[derive(Debug, Default, Clone)]
struct Ledger {
    releases: BTreeMap<u64, String>,
    keys: Vec<Key>,
    /// What each receipt says: report and event.
    reports: BTreeMap<String, u64>,
}

/// Imports and releases in turns until it is told to stop or the server is gone.
fn operators(server: &Server, seed: u64, ledger: &Mutex<Ledger>, stop: &AtomicBool) {
    for turn in 0.. {
        let batch = keys(seed + turn, 7);
        match import(server, &batch) {
            Ok(reply) if reply.ok => ledger.lock().expect("no panic").keys.extend(batch),
            _ => return,
        }
        let Ok(mut control) = ControlClient::connect(&server.ready.control) else { return };
        let release = ControlRequest::ReleaseNow { set: 1, allow_small: true };
        let Ok(reply) = control.call(&release, |_| ()) else { return };
        let (serial, root) = serial_and_root(&reply.result.unwrap_or_else(|| panic!("{:?}", reply.error)));
        ledger.lock().expect("no panic").releases.insert(serial, root);
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Patients report one after another until the server is gone.
fn patients(server: &Server, dir: &Path, codes: &[String], ledger: &Mutex<Ledger>, stop: &AtomicBool) {
    let file = dir.join("keys.json");
    for code in codes {
        let mut key = [0; 16];
        Seeded::new(fresh_seed("a patient")).fill(&mut key);
        let start = (now() / 86_400 - 2) * 144;
        let key = json!({ "key": STANDARD.encode(key), "rollingStartNumber": start, "rollingPeriod": 144 });
        std::fs::write(&file, json!({ "temporaryExposureKeys": [key] }).to_string()).expect("a file");
        let mut phone = Command::new(env!("CARGO_BIN_EXE_tekctl"));
        phone.args(["--json", "--transport", "tls", "--server", &server.tls().to_string(), "--trust"]);
        phone.arg(&server.ready.trust).args(["submit", "--code", code, "--keys"]).arg(&file);
        let told = phone.output().expect("tekctl can be run");
        if !told.status.success() {
            assert!(stop.load(Ordering::Relaxed), "{told:?}");
            return;
        }
        let told: Value = serde_json::from_slice(&told.stdout).expect("one document");
        let (report, seq) = (told["report"].as_str().expect("hex"), told["seq"].as_u64().expect("a number"));
        ledger.lock().expect("no panic").reports.insert(report.to_owned(), seq);
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

fn codes(server: &Server) -> Vec<String> {
    let name = format!("clinic {}", fresh_seed("a clinic"));
    let clinic = ControlRequest::ProviderAdd { name, key: None, issuer: None, audience: None, set: 1 };
    let provider = server.done(&clinic)["provider"].as_u64().expect("a number");
    let codes = server.done(&ControlRequest::CodesIssue {
        provider: u32::try_from(provider).expect("a small number"),
        set: 1,
        count: CODES,
        lifetime_s: 86_400,
        report_type: "confirmed".to_owned(),
        onset_day: None,
    });
    let codes = codes["codes"].as_array().expect("codes").iter();
    codes.map(|code| code.as_str().expect("a code").to_owned()).collect()
}

/// Everything in the ledger is there.
fn check(server: &Server, ledger: &Ledger) {
    let listed = server.done(&ControlRequest::ReleaseList { set: 1 });
    let listed: BTreeMap<u64, String> =
        listed.as_array().expect("a list").iter().map(serial_and_root).collect();
    for (serial, root) in ledger.releases.iter().rev().take(listed.len()) {
        assert_eq!(listed.get(serial), Some(root), "release {serial} was confirmed");
    }
    for (report, seq) in &ledger.reports {
        let (shown, _) = operate(&server.place.data, &["report", "show", report], 0);
        assert_eq!(shown["seq"].as_u64(), Some(*seq), "{shown}");
    }
    server.release();
    let mut phone = SetClient::new(server.trust(), 1);
    tls_client(server.tls(), server.trust()).sync(&mut phone, false).expect("a verified sync");
    let set = phone.data().expect("a set");
    let entries = set.entries().chunks_exact(set.schema().public_len());
    let live: BTreeSet<&[u8]> = entries.map(|entry| &entry[..16]).collect();
    assert!(
        ledger.keys.iter().all(|key| live.contains(key.as_bytes())),
        "a key was confirmed and is missing"
    );
}

/// Puts a backup back in a place of its own: refused as it is, and served once it is adopted.
fn put_back(dir: &Path, backup: &Path, name: &str, codes_key: Option<&Path>) -> Place {
    let place = Place::new(dir, name);
    copy(backup, &place.data);
    refused(&place, &["is a copy or a restored backup of a data directory", "tekctl adopt"]);
    if let Some(key) = codes_key {
        std::fs::copy(key, place.data.join("keys/codes.key")).expect("a copy");
        assert_eq!(operate(&place.data, &["adopt"], 0).0["void_codes"], 0);
    } else {
        let (adopted, said) = operate(&place.data, &["adopt"], 5);
        let void = adopted["void_codes"].as_u64().expect("a number");
        assert!(void > 0 && said.contains(&format!("{void} outstanding code")), "{adopted} {said}");
    }
    place
}

#[test]
fn what_was_confirmed_before_a_backup_is_there_when_the_origin_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut random = Seeded::new(fresh_seed("backups"));
    let mut place = Place::new(dir.path(), "origin");
    let mut confirmed = Ledger::default();
    for life in 1..=LIVES {
        let server = place.start().without_decoys();
        server.release();
        check(&server, &confirmed);
        let codes = codes(&server);
        let (ledger, stop) = (Mutex::new(confirmed.clone()), AtomicBool::new(false));
        let backup = dir.path().join(format!("backup-{life}"));
        let mut seed = [0; 8];
        random.fill(&mut seed);
        let seed = u64::from_le_bytes(seed) >> 1;
        std::thread::scope(|scope| {
            scope.spawn(|| operators(&server, seed, &ledger, &stop));
            scope.spawn(|| patients(&server, dir.path(), &codes, &ledger, &stop));
            let before = confirmed.reports.len();
            until("some reports", || {
                (ledger.lock().expect("no panic").reports.len() > before + 2).then_some(())
            });
            std::thread::sleep(Duration::from_micros(seed % 100_000));
            confirmed = ledger.lock().expect("no panic").clone();
            let made = back_up(&place.data, &backup);
            stop.store(true, Ordering::Relaxed);
            let verified = operate(&backup, &["journal", "verify"], 0).0;
            for field in ["events", "groups", "chain"] {
                assert_eq!(made[field], verified[field], "{made}");
            }
            assert!(made["seconds"].is_f64() && made["bytes"].as_u64() > Some(1 << 20), "{made}");
            assert_eq!(made["path"].as_str(), backup.to_str());
        });
        server.kill();
        let codes_key = place.data.join("keys/codes.key");
        let codes_key = (life % 2 == 0).then_some(&*codes_key);
        assert!(!backup.join("keys/codes.key").exists() && !backup.join("sets").exists());
        place = put_back(dir.path(), &backup, &format!("life-{}", life + 1), codes_key);
    }
    let server = place.start();
    check(&server, &confirmed);
    let version = tls_client(server.tls(), server.trust()).checkpoint().expect("verified").version();
    assert_eq!(version >> 32, LIVES + 1, "no version of an earlier life is signed again");
    println!(
        "{} reports, {} keys, {} releases",
        confirmed.reports.len(),
        confirmed.keys.len(),
        version & 0xffff
    );
    server.stop();
}

/// Kills a program at once and says whether it was still at work.
fn cut(mut program: Child) -> bool {
    program.kill().expect("a child can be killed");
    program.wait().expect("a child can be waited for").code().is_none()
}

#[test]
fn a_backup_that_is_cut_leaves_nothing_that_looks_like_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Place::new(dir.path(), "origin").start().without_decoys();
    import_all(&server, &keys(1, 2000));
    server.release();
    let data = &server.place.data;
    let (to, unfinished) = (dir.path().join("backup"), dir.path().join("backup.tekd-backup.new"));
    let mut cuts = 0;
    for round in 0..CUTS {
        let mut command = tekctl(data, &["backup", to.to_str().expect("text")]);
        let program = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("tekctl can be run");
        if round % 2 == 0 {
            until("the backup is begun", || unfinished.exists().then_some(()));
        }
        std::thread::sleep(Duration::from_millis(u64::from(round) * 4));
        cuts += u32::from(cut(program));
        if to.exists() {
            operate(&to, &["journal", "verify"], 0);
            std::fs::remove_dir_all(&to).expect("removed");
        }
    }
    assert!(cuts > 0, "none was cut");
    std::fs::create_dir_all(unfinished.join("journal")).expect("a directory");
    std::fs::write(unfinished.join("journal/head"), "half").expect("a file");
    back_up(data, &to);
    assert!(to.join("identity").exists() && !unfinished.exists(), "the next one cleans up");
    let before = contents(&to);
    let (_, said) = operate(data, &["backup", to.to_str().expect("text")], 2);
    assert!(said.contains("is not empty"), "{said}");
    assert_eq!(contents(&to), before, "what is there is not written over");
    server.stop();
}

#[test]
fn a_backup_of_a_backup_holds_the_same_and_is_put_back_as_well() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, root) = released(dir.path(), "origin");
    std::fs::write(place.data.join("tekd.toml"), "# ours\n").expect("a file");
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let made = back_up(&place.data, &first);
    std::fs::create_dir(&second).expect("an empty directory is as good as none");
    let again = back_up(&first, &second);
    assert_eq!((&made["chain"], &made["events"]), (&again["chain"], &again["events"]));
    let head = Path::new("journal/head");
    let without_head = |dir: &Path| {
        let mut all = contents(dir);
        assert!(all.remove(head).is_some());
        all
    };
    let (original, copied) = (without_head(&first), without_head(&second));
    assert_eq!(original, copied);
    assert!(copied.contains_key(Path::new("tekd.toml")) && copied.contains_key(Path::new("trust.json")));
    let held = contents(&place.data);
    for (name, digest) in &copied {
        assert!(
            held.get(name) == Some(digest) || name == Path::new("identity"),
            "{} is as it was",
            name.display()
        );
    }
    std::fs::remove_dir_all(&place.data).expect("the original is lost");
    let place = Place::new(dir.path(), "second");
    refused(&place, &["is a copy or a restored backup of a data directory", "tekctl adopt"]);
    operate(&place.data, &["adopt"], 0);
    assert_eq!(place.start().release().1, root);
}

#[test]
fn a_backup_put_back_twice_goes_on_above_what_a_node_knows() {
    let dir = tempfile::tempdir().expect("a directory");
    let (place, _) = released(dir.path(), "origin");
    let backup = dir.path().join("backup");
    back_up(&place.data, &backup);
    let second = put_back(dir.path(), &backup, "second", Some(&place.data.join("keys/codes.key")));
    let origin = second.start();
    for seed in 0..3 {
        import_all(&origin, &keys(seed, 20));
        origin.release();
    }
    let (serial, _) = origin.release();
    let mut phone = SetClient::new(origin.trust(), 1);
    tls_client(origin.tls(), origin.trust()).sync(&mut phone, false).expect("a verified sync");
    let node = Place::new(dir.path(), "node").following(origin.tls(), &origin.ready.trust).start();
    until_serial(&mut Asker::new(node.udp(), origin.trust().service), serial);
    origin.kill();
    let third = dir.path().join("third");
    copy(&backup, &third);
    let server = node.udp().to_string();
    let (adopted, _) = operate(&third, &["adopt", "--server", &server], 0);
    assert_eq!((&adopted["before"], &adopted["incarnation"]), (&json!(1), &json!(3)), "{adopted}");
    assert_eq!(adopted["node"], json!([{ "set": 1, "incarnation": 2, "serial": serial }]));
    node.kill();
    let before = contents(&third);
    operate(&third, &["adopt", "--server", &server, "--transport", "tls"], 3);
    assert_eq!(contents(&third), before, "whoever cannot be asked changes nothing");
    let third = Place::new(dir.path(), "third").start();
    let (next, _) = third.release();
    assert_eq!(next, serial + 1, "serials go on above what the node had, though the backup ended before");
    assert!(!third.place.data.join("adoption").exists(), "the journal has it now");
    // Who synced from what the backup does not have gets the full set, and it verifies.
    let before = phone.version();
    tls_client(third.tls(), third.trust()).sync(&mut phone, false).expect("a verified sync");
    assert!(phone.version() > before && phone.version() >> 32 == 3);
    third.stop();
}

#[test]
fn what_is_no_origin_is_not_backed_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let (empty, to) = (dir.path().join("empty"), dir.path().join("backup"));
    std::fs::create_dir(&empty).expect("a directory");
    let (_, said) = operate(&empty, &["backup", to.to_str().expect("text")], 2);
    assert!(said.contains("holds no tekd data") && said.contains("--data DIR"), "{said}");
    assert_eq!(contents(dir.path()).len(), 1, "nothing was made");
}
