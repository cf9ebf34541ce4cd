//! What asks a server, end to end and small: every operation over every transport, and a name server that is
//! not always right.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A process that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn load(arguments: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_tekd-load")).arg("--json").args(arguments).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let report =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {said}"));
    (output.status.code().expect("it ends by itself"), report)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

/// The server beside the load generator on generated keys, with its ready file and the keys; `None` if it is
/// not built, which is said.
fn serve(dir: &Path) -> Option<(Ended, PathBuf, PathBuf)> {
    let tekd = Path::new(env!("CARGO_BIN_EXE_tekd-load")).with_file_name("tekd");
    if !tekd.is_file() {
        eprintln!("skipped: there is no {} to ask; build the workspace", tekd.display());
        return None;
    }
    let [data, keys, ready] = ["data", "keys.jsonl", "ready.json"].map(|name| dir.join(name));
    load(&["generate", "--keys", "1500", "--journal", "--out", text(&data), "--keys-out", text(&keys)]);
    let any = "127.0.0.1:0";
    let child = Command::new(tekd)
        .args(["serve", "--udp", any, "--tls", any, "--quic", any, "--log-level", "warn"])
        .args(["--data", text(&data), "--control", text(&dir.join("control.sock"))])
        .args(["--ready-file", text(&ready)])
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let server = Ended(child);
    while !ready.exists() {
        std::thread::yield_now();
    }
    Some((server, ready, keys))
}

/// All answers were right, and every question has one.
fn all_right(exit: i32, report: &Value) {
    let [sent, answered] = ["sent", "answered"].map(|name| report[name].as_u64().expect("a number"));
    assert!(exit == 0 && answered == sent && sent > 0, "{report}");
    assert!(report["server_cpu_ns_per_answer"].is_u64() && report["p50_us"].as_f64() > Some(0.0), "{report}");
}

#[test]
fn every_operation_is_answered_right_over_every_transport() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some((_server, ready, keys)) = serve(dir.path()) else { return };
    let (ready, keys) = (text(&ready), text(&keys));
    for transport in ["udp", "tls", "quic"] {
        let common =
            ["--ready-file", ready, "--transport", transport, "--duration", "200ms", "--timeout", "60s"];
        let run = |operation: &[&str]| {
            let (exit, report) = load(&[operation, &common].concat());
            all_right(exit, &report);
            report
        };
        run(&["lookup", "--keys", keys, "--hit-ratio", "1", "--keys-per-question", "3"]);
        run(&["checkpoint", "--window", "3"]);
        let bucket = run(&["bucket"]);
        assert!(bucket["of_these"]["proved"].as_u64() > Some(0), "{bucket}");
        let sync = run(&["sync", "--rate", "400"]);
        assert_eq!(sync["sent"], 80, "an open loop sends its number: {sync}");
        assert!(sync["of_these"]["fetch"].as_u64() > sync["of_these"]["sync"].as_u64(), "{sync}");
        let mixed = run(&["mixed", "--keys", keys, "--mix", "lookup=2,sync=1"]);
        let kinds: Vec<&String> = mixed["of_these"].as_object().expect("two kinds").keys().collect();
        assert_eq!(kinds, ["lookup", "sync"]);
    }
    let trains = ["lookup", "--ready-file", ready, "--keys", keys, "--train", "8", "--duration", "200ms"];
    let (exit, report) = load(&trains);
    all_right(exit, &report);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some((_server, ready, _)) = serve(dir.path()) else { return };
    let common = ["--ready-file", text(&ready)];
    for refused in [
        &["lookup", "--train", "8", "--window", "4"][..],
        &["lookup", "--train", "8", "--transport", "quic"],
        &["lookup", "--transport", "tls", "--connections", "2", "--window", "3"],
        &["lookup", "--transport", "quic", "--connections", "1", "--window", "17"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_tekd-load")).args(refused).args(common).output();
        assert_eq!(output.expect("it runs").status.code(), Some(2), "{refused:?}");
    }
}

/// A name server that says of every tenth question that its name does not exist, twice that it does of every
/// seventh, and nothing to every eleventh.
fn name_server() -> std::net::SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let address = socket.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        for count in 1_u64.. {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { return };
            let mut answer = buffer[..length].to_vec();
            (answer[2], answer[7]) = (0x84, 1);
            answer[3] = if count.is_multiple_of(10) { 3 } else { 0 };
            answer.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x02");
            let times = if count.is_multiple_of(7) { 2 } else { u64::from(!count.is_multiple_of(11)) };
            for _ in 0..times {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

#[test]
fn wrong_missing_and_doubled_answers_of_a_name_server_are_told_apart() {
    let dir = tempfile::tempdir().expect("a directory");
    let names = dir.path().join("names");
    std::fs::write(&names, "a.example\nb.example\nc.example A\n").expect("written");
    let server = name_server().to_string();
    let run = ["--rate", "1000", "--duration", "700ms", "--timeout", "2s"];
    let (exit, report) = load(&[&["dns", "--server", &server, "--names", text(&names)], &run[..]].concat());
    let count = |name: &str| report[name].as_u64().expect("a number");
    assert_eq!((exit, count("sent")), (1, 700), "{report}");
    // Of 70 one in ten, six are one in eleven and get no answer; of 63 one in eleven, nine get two.
    assert!((60..=64).contains(&count("wrong")), "{report}");
    assert!(count("lost") >= 54 && (90..=100).contains(&count("stray")), "{report}");
    assert_eq!(count("answered") + count("wrong") + count("lost"), 700, "{report}");
}
