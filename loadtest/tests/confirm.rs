//! Reports end to end, small: a real server confirms what is sent to it, and nothing is lost or wrong.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tekd::service::control::{ControlClient, ControlRequest};
use tekd::service::readyfile::ReadyFile;
use tekd_load::{ConfirmError, ConfirmOptions, OriginError, ServerError, confirm};

/// The server beside the load generator; `None` if it is not built, which is said.
fn tekd() -> Option<PathBuf> {
    let tekd = Path::new(env!("CARGO_BIN_EXE_tekd-load")).with_file_name("tekd");
    if tekd.is_file() {
        return Some(tekd);
    }
    eprintln!("skipped: there is no {} to report to; build the workspace", tekd.display());
    None
}

/// A process that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server on a new directory in `dir`, with a release; ends when dropped.
fn serve(tekd: &Path, dir: &Path) -> (Ended, ReadyFile) {
    let ready = dir.join("ready.json");
    let child = Command::new(tekd)
        .args([
            "serve",
            "--udp",
            "127.0.0.1:0",
            "--tls",
            "127.0.0.1:0",
            "--quic",
            "127.0.0.1:0",
            "--log-level",
            "warn",
        ])
        .args(["--data".as_ref(), dir.join("data").as_os_str()])
        .args(["--control".as_ref(), dir.join("control.sock").as_os_str()])
        .args(["--ready-file".as_ref(), ready.as_os_str()])
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let server = Ended(child);
    let file = loop {
        let read = std::fs::read(&ready).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(file) = read {
            break file;
        }
        std::thread::yield_now();
    };
    (server, file)
}

fn ask(server: &ReadyFile, request: &ControlRequest) -> Value {
    let reply = ControlClient::connect(&server.control).expect("it listens").call(request, |_| ());
    let reply = reply.expect("it answers");
    assert!(reply.ok, "{:?}", reply.error);
    reply.result.expect("a document")
}

/// `tekd-load submit` with `arguments` to a server: its exit code and report.
fn submit(ready: &Path, codes: &Path, arguments: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_tekd-load"))
        .args(["submit", "--json", "--ready-file"])
        .args([ready.as_os_str(), "--codes".as_ref(), codes.as_os_str()])
        .args(arguments)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {text}"));
    (output.status.code().expect("it ends by itself"), report)
}

#[test]
fn every_report_gets_a_receipt_that_verifies_and_a_code_that_is_spent_gets_none() {
    let Some(tekd) = tekd() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let (_server, ready) = serve(&tekd, dir.path());
    ask(&ready, &ControlRequest::ReleaseNow { set: 1, allow_small: true });
    let (name, key) = ("load".to_owned(), None);
    ask(&ready, &ControlRequest::ProviderAdd { name, key, issuer: None, audience: None, set: 1 });
    let issue = ControlRequest::CodesIssue {
        provider: 1,
        set: 1,
        count: 60,
        lifetime_s: 3600,
        report_type: "confirmed".to_owned(),
        onset_day: None,
    };
    let codes = dir.path().join("codes.json");
    std::fs::write(&codes, ask(&ready, &issue).to_string()).expect("written");
    let file = dir.path().join("ready.json");
    // More time than the codes last: the run ends with them.
    let (exit, report) = submit(&file, &codes, &["--window", "20", "--duration", "60s", "--timeout", "60s"]);
    let counts = ["sent", "answered", "lost", "wrong", "refused"].map(|name| report[name].as_u64());
    assert_eq!((exit, counts), (0, [60, 60, 0, 0, 0].map(Some)), "{report}");
    assert!(
        report["p50_us"].as_f64().is_some_and(|p50| p50 >= 249_000.0),
        "not before the deadline: {report}"
    );
    // Other patients, in an open loop and over QUIC, find the codes spent.
    let open =
        ["--transport", "quic", "--rate", "300", "--duration", "1s", "--timeout", "60s", "--seed", "2"];
    let (exit, report) = submit(&file, &codes, &open);
    let counts = ["sent", "answered", "lost", "wrong", "refused"].map(|name| report[name].as_u64());
    assert_eq!((exit, counts), (1, [60, 0, 0, 60, 0].map(Some)), "{report}");
}

fn options(tekd: PathBuf, dir: &Path) -> ConfirmOptions {
    let length = Duration::from_millis(1200);
    ConfirmOptions { dir: dir.to_path_buf(), tekd, rounds: 1, length, keys: 14, lines: Some(16), seed: 1 }
}

#[test]
fn what_is_sent_is_confirmed_and_every_yardstick_measures_something() {
    let Some(tekd) = tekd() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let found = confirm(&options(tekd, dir.path())).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((found.answered, found.lost, found.wrong, found.refused), (found.sent, 0, 0, 0), "{found:?}");
    assert!(found.sent > 0 && found.rounds.len() == 1, "{found:?}");
    let round = &found.median;
    for number in [round.confirmed, round.synced_groups, round.public_key, round.ratio, round.write_ms] {
        assert!(number.is_finite() && number > 0.0, "{found:?}");
    }
    assert!(round.group >= 1.0 && round.receipt_p99_ms > 0.0, "{found:?}");
    assert!(round.write_p99_ms >= round.write_ms && round.pause_ms > 0.0, "{found:?}");
    assert_eq!(found.to_string().lines().count(), 8, "{found}");
}

#[test]
fn a_server_that_does_not_start_ends_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let refused = confirm(&options("/bin/false".into(), dir.path()));
    let Err(ConfirmError::Origin(OriginError::Server(ServerError::Ended { .. }))) = refused else {
        panic!("{refused:?}");
    };
}
