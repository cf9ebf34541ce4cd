//! The operator's side against slips and malice of whoever may reach it: control socket and metrics page.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;
use tekd::service::control::{ControlRequest, ImportKey, SignatureState};

use super::clients::tls_client;
use super::directories::refused;
use super::imported::import_all;
use super::keys::keys;
use super::server::{NEVER, Place, Server, until};

fn raw(server: &Server) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(&server.ready.control).expect("a connection");
    stream.set_read_timeout(Some(NEVER)).expect("a timeout");
    BufReader::new(stream)
}

/// Sends one line as it is and reads the reply.
fn say(socket: &mut BufReader<UnixStream>, line: &[u8]) -> Value {
    socket.get_mut().write_all(line).and_then(|()| socket.get_mut().write_all(b"\n")).expect("sent");
    let mut reply = String::new();
    socket.read_line(&mut reply).expect("a reply");
    serde_json::from_str(&reply).expect("JSON")
}

#[test]
fn what_is_no_command_is_refused_and_the_conversation_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Place::new(dir.path(), "origin").start();
    let mut socket = raw(&server);
    let nested = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let lines: [&[u8]; 9] = [
        b"",
        b"{",
        b"null",
        b"\xff\xfe",
        b"{\"command\":\"no-such-command\"}",
        b"{\"command\":\"status\",\"dry_run\":true}",
        b"{\"command\":\"release-now\",\"set\":-1}",
        b"{\"command\":\"key-withdraw\",\"set\":1,\"key\":\"!\",\"reason\":\"\"}",
        &nested,
    ];
    for line in lines {
        let reply = say(&mut socket, line);
        assert_eq!((&reply["ok"], &reply["exit"]), (&Value::Bool(false), &Value::from(2)), "{reply}");
        assert!(reply["error"].as_str().is_some_and(|e| e.starts_with("not a request: ")), "{reply}");
    }
    let status = say(&mut socket, b"{\"command\":\"status\"}");
    assert_eq!(status["result"]["sets"][0]["serial"], 0);
}

#[test]
fn a_new_online_key_holds_through_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), "origin");
    let server = place.start();
    let (serial, root) = server.release();
    server.done(&ControlRequest::KeysRotateOnline {});
    server.stop();
    let server = place.start();
    let checkpoint =
        tls_client(server.tls(), server.trust()).checkpoint().expect("verified under the key before");
    assert_eq!((u64::from(checkpoint.serial()), hex::encode(checkpoint.root())), (serial, root));
    let (serial, _) = server.release();
    let checkpoint =
        tls_client(server.tls(), server.trust()).checkpoint().expect("verified under the new key");
    assert_eq!((u64::from(checkpoint.serial()), checkpoint.key_epoch()), (serial, 2));
}

#[test]
fn a_line_without_end_costs_its_connection_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Place::new(dir.path(), "origin").start();
    let mut socket = raw(&server);
    let part = vec![b' '; 1 << 20];
    // One part more than a line may have: the last write may find the connection closed.
    for _ in 0..=tekd::service::control::MAX_LINE >> 20 {
        if socket.get_mut().write_all(&part).is_err() {
            break;
        }
    }
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    assert!(rest.is_empty(), "no reply to a line that was not read");
    assert_eq!(server.serial(), 0);
}

#[test]
fn too_many_operators_are_told_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Place::new(dir.path(), "origin").start();
    let mut open: Vec<BufReader<UnixStream>> = (0..32).map(|_| raw(&server)).collect();
    for socket in &mut open {
        assert_eq!(say(socket, b"{\"command\":\"status\"}")["ok"], true);
    }
    let mut refusal = String::new();
    raw(&server).read_line(&mut refusal).expect("a reply");
    assert!(refusal.contains("32 control connections are open, the most allowed"), "{refusal}");
    drop(open);
    until("a free place", || {
        let mut socket = raw(&server);
        let _ = socket.get_mut().write_all(b"{\"command\":\"status\"}\n");
        let mut reply = String::new();
        socket.read_line(&mut reply).is_ok_and(|_| reply.contains("\"ok\":true")).then_some(())
    });
}

#[test]
fn an_import_that_is_not_committed_is_forgotten() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Place::new(dir.path(), "origin").start().without_decoys();
    let mut control = server.control();
    let begin =
        ControlRequest::ImportBegin { set: 1, source: "test".into(), signature: SignatureState::Unchecked };
    let import = control.call(&begin, |_| ()).expect("a reply").result.expect("an import")["import"].as_u64();
    let import = import.expect("a number");
    let key = ImportKey {
        key: tekd::service::control::Base64(vec![7; 16]),
        rolling_start_number: 0,
        rolling_period: 144,
        report_type: None,
        transmission_risk: None,
        days_since_onset: None,
    };
    let add = ControlRequest::ImportKeys { import, keys: vec![key] };
    assert!(control.call(&add, |_| ()).expect("a reply").ok);
    drop(control);
    let elsewhere = server.command(&ControlRequest::ImportCommit { import });
    assert!(!elsewhere.ok && elsewhere.error.is_some_and(|e| e.contains("was begun on this connection")));
    assert_eq!(server.done(&ControlRequest::Status {})["sets"][0]["live"], 0);
}

#[test]
fn secrets_and_the_control_socket_are_the_owners_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Place::new(dir.path(), "origin").start();
    let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    let data = &server.place.data;
    assert_eq!((mode(data), mode(&data.join("keys"))), (0o700, 0o700));
    assert_eq!(mode(&server.ready.control), 0o600);
    let files: BTreeSet<_> =
        std::fs::read_dir(data.join("keys")).expect("keys").map(|e| e.expect("a key").path()).collect();
    assert!(files.len() >= 5, "{files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600));
}

#[test]
fn a_control_path_that_is_somebody_elses_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Place::new(dir.path(), "first").start();
    let precious = dir.path().join("precious");
    std::fs::write(&precious, "not a socket").expect("written");
    let second = Place::new(dir.path(), "second");
    second.start().stop();
    refused(&second.clone().with("--control", &precious), &["it is no socket", "--control"]);
    assert_eq!(std::fs::read(&precious).expect("a file"), b"not a socket");
    refused(&second.clone().with("--control", &first.ready.control), &["another process listens there"]);
    assert_eq!(first.serial(), 0, "the first one is still reached");
    let place = second.with("--control", dir.path().join("control"));
    place.start().kill();
    assert!(dir.path().join("control").exists(), "SIGKILL leaves the socket");
    assert_eq!(place.start().serial(), 0, "and the next start replaces it");
}

/// Asks the metrics page over HTTP.
fn get(page: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(page).expect("a connection");
    stream.set_read_timeout(Some(NEVER)).expect("a timeout");
    stream.write_all(request).expect("sent");
    let mut answer = String::new();
    // A request that is refused unread may reset the connection.
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// Checks the text format to the letter, and returns the families.
fn families(page: &str) -> BTreeSet<String> {
    let name_ok = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let (mut helped, mut typed, mut seen) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("a text");
            assert!(!text.is_empty() && helped.insert(name.to_owned()), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert!(helped.contains(name) && typed.insert(name.to_owned()), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            let (name, labels) = sample.split_once('{').map_or((sample, None), |(n, l)| (n, Some(l)));
            let mut parts = ["_bucket", "_sum", "_count"].iter().filter_map(|part| name.strip_suffix(part));
            let name = parts.rfind(|of| typed.contains(*of)).unwrap_or(name);
            assert!(name.starts_with("tekd_") && name_ok(name) && typed.contains(name), "{line}");
            for label in labels.iter().flat_map(|l| l.strip_suffix('}').expect("a brace").split(',')) {
                let (label, text) = label.split_once('=').expect("a value");
                assert!(
                    name_ok(label) && text.len() >= 2 && text.starts_with('"') && text.ends_with('"'),
                    "{line}"
                );
            }
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            assert!(seen.insert(sample.to_owned()), "twice: {line}");
        }
    }
    assert_eq!(helped, typed);
    typed
}

#[test]
fn the_metrics_page_keeps_the_grammar_and_answers_one_question() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Place::new(dir.path(), "origin").start().without_decoys();
    import_all(&server, &keys(1, 50));
    server.release();
    let page = server.ready.metrics.expect("metrics are on");
    let answer = get(page, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").expect("headers");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let found = families(body);
    assert_eq!(families(&server.metrics()), found, "the same page by the control socket");
    for name in [
        "tekd_requests_total",
        "tekd_responses_total",
        "tekd_dropped_total",
        "tekd_udp_total",
        "tekd_tls_total",
        "tekd_quic_total",
        "tekd_set_serial",
        "tekd_set_keys",
        "tekd_journal_write_seconds",
        "tekd_journal_group_events",
        "tekd_receipt_seconds",
        "tekd_build_seconds",
        "tekd_writer_queue",
        "tekd_set_held_keys",
        "tekd_health",
    ] {
        assert!(found.contains(name), "{name} is not in {found:?}");
    }
    assert_eq!(
        (server.metric("tekd_set_serial{set=\"1\"}"), server.metric("tekd_set_keys{set=\"1\"}")),
        (1.0, 50.0)
    );
    assert_eq!(server.metric("tekd_health{property=\"clock\"}"), 0.0);
    assert_eq!(server.metric("tekd_health{property=\"root-key-offline\"}"), 1.0);
    assert!(server.metric("tekd_journal_write_seconds_count") >= 4.0, "found, configure, import, release");
    assert!(server.metric("tekd_build_seconds_count") >= 1.0);
    server.done(&ControlRequest::SnapshotNow {});
    assert!(server.metric("tekd_snapshot_age_seconds") < 60.0);
    assert!(server.metric("tekd_journal_bytes_to_oldest_base") >= 1e6, "a segment has a mebibyte");
    assert!(get(page, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(get(page, b"\0\xff\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert_eq!(get(page, &[b'x'; 16_384]), "", "a request without end is not answered");
    let slow = TcpStream::connect(page).expect("a connection");
    assert!(
        get(page, b"GET /metrics HTTP/1.1\r\n\r\n").contains("200 OK"),
        "who says nothing holds nobody up for long"
    );
    drop(slow);
}
