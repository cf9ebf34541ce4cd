//! The whole conversation: documents, lines, limits, a call over a socket.

use std::io::{BufReader, Cursor, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::framing::read_bounded_line;
use super::*;

fn read(text: &str) -> Result<Option<ControlRequest>, ControlError> {
    read_request(&mut Cursor::new(text.as_bytes()))
}

fn key() -> Base64 {
    Base64((0..16).collect())
}

/// Commands with the document each must be, so that no name changes unseen.
fn every_command() -> Vec<(ControlRequest, Value)> {
    let settings = SetSettings { interval_s: Some(900), decoys: Some(false), ..SetSettings::default() };
    let import_key = ImportKey {
        key: key(),
        rolling_start_number: 2_992_542,
        rolling_period: 144,
        report_type: Some(1),
        transmission_risk: None,
        days_since_onset: Some(-2),
    };
    use ControlRequest as R;
    vec![
        (R::Status {}, json!({"command": "status"})),
        (R::Health {}, json!({"command": "health"})),
        (R::Stats {}, json!({"command": "stats"})),
        (R::Metrics {}, json!({"command": "metrics"})),
        (R::SetList {}, json!({"command": "set-list"})),
        (R::SetShow { set: 1 }, json!({"command": "set-show", "set": 1})),
        (
            R::SetCreate {
                set: 2,
                settings: SetSettings { schema: Some("dp3t".into()), ..Default::default() },
            },
            json!({"command": "set-create", "set": 2, "settings": {"schema": "dp3t"}}),
        ),
        (
            R::SetConfigure { set: 1, settings },
            json!({"command": "set-configure", "set": 1, "settings": {"interval_s": 900, "decoys": false}}),
        ),
        (
            R::ImportBegin { set: 1, source: "export.zip".into(), signature: SignatureState::Unchecked },
            json!({"command": "import-begin", "set": 1, "source": "export.zip", "signature": "unchecked"}),
        ),
        (
            R::ImportKeys { import: 7, keys: vec![import_key] },
            json!({"command": "import-keys", "import": 7, "keys": [{
                "key": "AAECAwQFBgcICQoLDA0ODw==", "rollingStartNumber": 2_992_542, "rollingPeriod": 144,
                "reportType": 1, "daysSinceOnset": -2}]}),
        ),
        (R::ImportCommit { import: 7 }, json!({"command": "import-commit", "import": 7})),
        (
            R::KeyWithdraw { set: 1, key: key(), reason: "mix-up".into(), urgent: true, dry_run: false },
            json!({"command": "key-withdraw", "set": 1, "key": "AAECAwQFBgcICQoLDA0ODw==",
                "reason": "mix-up", "urgent": true, "dry_run": false}),
        ),
        (
            R::ReleaseNow { set: 1, allow_small: true },
            json!({"command": "release-now", "set": 1, "allow_small": true}),
        ),
        (R::ReleaseList { set: 1 }, json!({"command": "release-list", "set": 1})),
        (R::ReleaseShow { set: 1, serial: 9 }, json!({"command": "release-show", "set": 1, "serial": 9})),
        (R::ReleaseHeld { set: None }, json!({"command": "release-held", "set": null})),
        (
            R::ReleaseApprove { set: 1, reason: "clock set".into() },
            json!({"command": "release-approve", "set": 1, "reason": "clock set"}),
        ),
        (R::SnapshotNow {}, json!({"command": "snapshot-now"})),
        (R::KeysList {}, json!({"command": "keys-list"})),
        (
            R::KeysExportRoot { path: PathBuf::from("/media/root.key") },
            json!({"command": "keys-export-root", "path": "/media/root.key"}),
        ),
        (
            R::KeysExportCodes { path: PathBuf::from("/media/codes.key") },
            json!({"command": "keys-export-codes", "path": "/media/codes.key"}),
        ),
        (R::KeysRotateSeal {}, json!({"command": "keys-rotate-seal"})),
        (R::KeysRotateOnline {}, json!({"command": "keys-rotate-online"})),
        (R::KeysRotateTls {}, json!({"command": "keys-rotate-tls"})),
        (R::Drain {}, json!({"command": "drain"})),
        (R::Undrain {}, json!({"command": "undrain"})),
        (R::Shutdown {}, json!({"command": "shutdown"})),
    ]
}

/// Those about providers and their codes.
fn commands_of_authority() -> Vec<(ControlRequest, Value)> {
    use ControlRequest as R;
    let key_document = json!({"algorithm": "es256", "public_key": "AAECAwQFBgcICQoLDA0ODw==", "key_id": "k1",
        "not_after": 1_800_000_000});
    let signer = SignerKey {
        algorithm: "es256".into(),
        public_key: key(),
        key_id: Some("k1".into()),
        not_before: None,
        not_after: Some(1_800_000_000),
    };
    let reason = || "mix-up".to_owned();
    vec![
        (
            R::ProviderAdd { name: "clinic".into(), key: None, issuer: None, audience: None, set: 1 },
            json!({"command": "provider-add", "name": "clinic", "key": null, "set": 1}),
        ),
        (
            R::ProviderAdd {
                name: "clinic".into(),
                key: Some(signer.clone()),
                issuer: Some("iss".into()),
                audience: Some("aud".into()),
                set: 2,
            },
            json!({"command": "provider-add", "name": "clinic", "key": key_document, "issuer": "iss",
                "audience": "aud", "set": 2}),
        ),
        (R::ProviderList {}, json!({"command": "provider-list"})),
        (R::ProviderShow { provider: 3 }, json!({"command": "provider-show", "provider": 3})),
        (
            R::ProviderKeyAdd { provider: 3, key: signer },
            json!({"command": "provider-key-add", "provider": 3, "key": key_document}),
        ),
        (
            R::ProviderKeyRevoke {
                provider: 3,
                fingerprint: "00ff".into(),
                since: Some(7),
                reason: reason(),
                dry_run: true,
            },
            json!({
                "command": "provider-key-revoke",
                "provider": 3,
                "fingerprint": "00ff",
                "since": 7,
                "reason": "mix-up",
                "dry_run": true,
            }),
        ),
        (
            R::ProviderSuspend { provider: 3, reason: reason() },
            json!({"command": "provider-suspend", "provider": 3, "reason": "mix-up"}),
        ),
        (
            R::ProviderResume { provider: 3, reason: reason() },
            json!({"command": "provider-resume", "provider": 3, "reason": "mix-up"}),
        ),
        (
            R::ProviderRevoke { provider: 3, since: Some(7), reason: reason(), dry_run: true },
            json!({"command": "provider-revoke", "provider": 3, "since": 7, "reason": "mix-up", "dry_run": true}),
        ),
        (
            R::CodesIssue {
                provider: 3,
                set: 1,
                count: 10,
                lifetime_s: 604_800,
                report_type: "confirmed".into(),
                onset_day: Some(20_781),
            },
            json!({"command": "codes-issue", "provider": 3, "set": 1, "count": 10, "lifetime_s": 604_800,
                "report_type": "confirmed", "onset_day": 20_781}),
        ),
        (R::CodesList {}, json!({"command": "codes-list"})),
        (
            R::CodesCheck { code: TypedCode("0000-0000-0000".into()) },
            json!({"command": "codes-check", "code": "0000-0000-0000"}),
        ),
        (R::CodesShow { batch: 2 }, json!({"command": "codes-show", "batch": 2})),
        (
            R::CodesRevoke { batch: 2, retroactive: true, reason: reason(), dry_run: false },
            json!({"command": "codes-revoke", "batch": 2, "retroactive": true, "reason": "mix-up",
                "dry_run": false}),
        ),
    ]
}

/// Those about what was reported.
fn commands_of_reports() -> Vec<(ControlRequest, Value)> {
    use ControlRequest as R;
    let (report, reason) = (|| "07".repeat(16), || "mix-up".to_owned());
    vec![
        (R::ReportShow { report: report() }, json!({"command": "report-show", "report": report()})),
        (
            R::ReportList { set: None, provider: Some(3), batch: None, limit: 50 },
            json!({"command": "report-list", "set": null, "provider": 3, "batch": null, "limit": 50}),
        ),
        (
            R::ReportWithdraw { report: report(), reason: reason(), urgent: true, dry_run: false },
            json!({"command": "report-withdraw", "report": report(), "reason": "mix-up", "urgent": true,
                "dry_run": false}),
        ),
        (
            R::Rollback { to: 12, provider: Some(3), reason: reason(), urgent: false, dry_run: true },
            json!({"command": "rollback", "to": 12, "provider": 3, "reason": "mix-up", "urgent": false,
                "dry_run": true}),
        ),
        (R::Reinstate { seq: 13 }, json!({"command": "reinstate", "seq": 13})),
    ]
}

fn all_commands() -> Vec<(ControlRequest, Value)> {
    [every_command(), commands_of_authority(), commands_of_reports()].concat()
}

#[test]
fn what_changes_something_is_a_deed_unless_it_says_otherwise() {
    let line = "{\"command\":\"rollback\",\"to\":1,\"provider\":null,\"reason\":\"x\"}\n";
    let rollback =
        ControlRequest::Rollback { to: 1, provider: None, reason: "x".into(), urgent: false, dry_run: false };
    assert_eq!(read(line).unwrap(), Some(rollback));
    let line = "{\"command\":\"provider-revoke\",\"provider\":1,\"reason\":\"x\",\"dryrun\":true}\n";
    assert!(read(line).unwrap_err().to_string().contains("unknown field `dryrun`"));
}

#[test]
fn every_command_is_one_line_and_reads_back() {
    for (request, document) in all_commands() {
        let mut line = Vec::new();
        write_request(&mut line, &request).unwrap();
        assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
        assert_eq!(serde_json::from_slice::<Value>(&line).unwrap(), document);
        assert_eq!(read_request(&mut Cursor::new(line)).unwrap(), Some(request));
    }
}

#[test]
fn requests_follow_one_another_until_the_stream_ends() {
    let mut stream = Cursor::new(b"{\"command\":\"drain\"}\n{\"command\":\"undrain\"}\n");
    assert_eq!(read_request(&mut stream).unwrap(), Some(ControlRequest::Drain {}));
    assert_eq!(read_request(&mut stream).unwrap(), Some(ControlRequest::Undrain {}));
    assert_eq!(read_request(&mut stream).unwrap(), None);
}

#[test]
fn a_field_that_is_not_known_is_refused_and_not_skipped() {
    let line = "{\"command\":\"release-now\",\"set\":1,\"dry_run\":true}\n";
    let e = read(line).unwrap_err();
    assert!(e.to_string().starts_with("not a request: unknown field `dry_run`"), "{e}");
    let line = "{\"command\":\"set-configure\",\"set\":1,\"settings\":{\"interval\":900}}\n";
    assert!(read(line).unwrap_err().to_string().contains("unknown field `interval`"));
    let line = "{\"command\":\"status\",\"extra\":1}\n";
    assert!(read(line).is_err());
}

#[test]
fn an_unknown_command_is_malformed_and_the_next_line_can_be_read() {
    let mut stream = Cursor::new(b"{\"command\":\"explode\"}\nnonsense\n\n{\"command\":\"status\"}\n");
    let e = read_request(&mut stream).unwrap_err();
    assert!(e.to_string().starts_with("not a request: unknown variant `explode`"), "{e}");
    assert!(matches!(read_request(&mut stream), Err(ControlError::Malformed { .. })));
    assert!(matches!(read_request(&mut stream), Err(ControlError::Malformed { .. })));
    assert_eq!(read_request(&mut stream).unwrap(), Some(ControlRequest::Status {}));
}

#[test]
fn text_that_is_no_base64_is_refused_without_repeating_it() {
    let line = "{\"command\":\"key-withdraw\",\"set\":1,\"key\":\"SECRET!!\",\"reason\":\"x\"}\n";
    let text = read(line).unwrap_err().to_string();
    assert!(text.contains("expected standard base64"), "{text}");
    assert!(!text.contains("SECRET"), "{text}");
}

#[test]
fn the_debug_text_of_a_request_shows_no_key() {
    for (request, _) in all_commands() {
        let text = format!("{request:?}");
        let secrets = ["AAECAwQF", "0, 1, 2, 3", "0000-0000"];
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}

#[test]
fn a_stream_that_ends_inside_a_line_is_closed_and_not_a_request() {
    let e = read("{\"command\":\"status\"}").unwrap_err();
    assert_eq!(e.to_string(), "the control socket closed before the request was complete");
}

#[test]
fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
    let line = |length: usize| {
        let mut bytes = vec![b'x'; length - 1];
        bytes.push(b'\n');
        read_bounded_line(&mut Cursor::new(bytes), "request", 16)
    };
    assert_eq!(line(16).unwrap().unwrap().len(), 15);
    assert!(matches!(line(17), Err(ControlError::LineTooLong)));
}

#[test]
fn an_endless_line_is_read_no_further_than_the_limit() {
    let mut reader = BufReader::new(std::io::repeat(b'x').take(u64::MAX));
    let e = read_line(&mut reader, "request").unwrap_err();
    assert_eq!(e.to_string(), "a line on the control socket is longer than 67108864 bytes");
    assert_eq!(e.exit(), Exit::Failed);
}

#[test]
fn the_longest_chunk_of_an_import_fits_one_line() {
    let key = ImportKey {
        key: Base64(vec![0xff; 32]),
        rolling_start_number: u32::MAX,
        rolling_period: u32::MAX,
        report_type: Some(u32::MAX),
        transmission_risk: Some(i32::MIN),
        days_since_onset: Some(i32::MIN),
    };
    let request = ControlRequest::ImportKeys { import: u64::MAX, keys: vec![key; MAX_IMPORT_CHUNK] };
    let mut line = Vec::new();
    write_request(&mut line, &request).unwrap();
    assert!(line.len() < MAX_LINE);
}

#[test]
fn replies_say_how_it_ended() {
    for (reply, document) in [
        (ControlReply::done(json!({"a": 1})), json!({"ok": true, "exit": 0, "result": {"a": 1}})),
        (
            ControlReply::degraded(json!({}), "the root keys are in the data directory"),
            json!({"ok": true, "exit": 5, "error": "the root keys are in the data directory", "result": {}}),
        ),
        (ControlReply::failed("no such set"), json!({"ok": false, "exit": 1, "error": "no such set"})),
        (
            ControlReply::failed_with(json!({"accepted": 0}), "no key was accepted"),
            json!({"ok": false, "exit": 1, "error": "no key was accepted", "result": {"accepted": 0}}),
        ),
        (ControlReply::usage("what?"), json!({"ok": false, "exit": 2, "error": "what?"})),
        (ControlReply::refused("no"), json!({"ok": false, "exit": 4, "error": "no"})),
    ] {
        let mut line = Vec::new();
        write_reply(&mut line, &reply).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&line).unwrap(), document);
        assert_eq!(serde_json::from_slice::<ControlReply>(&line).unwrap(), reply);
    }
    assert!(serde_json::from_value::<ControlReply>(json!({"ok": true, "exit": 6})).is_err());
}

/// A server for one connection that says `lines` once a request came.
fn server(lines: &'static [u8]) -> (ControlClient, std::thread::JoinHandle<ControlRequest>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        let request = read_request(&mut BufReader::new(&theirs)).unwrap().unwrap();
        std::io::Write::write_all(&mut &theirs, lines).unwrap();
        request
    });
    (ControlClient::over(ours).unwrap(), thread)
}

#[test]
fn a_call_hears_progress_and_then_the_reply() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        let mut requests = Vec::new();
        while let Some(request) = read_request(&mut reader).unwrap() {
            for done in [1, 2] {
                let progress = Progress { what: "keys".into(), done, total: Some(2) };
                write_progress(&mut writer, &progress).unwrap();
            }
            write_reply(&mut writer, &ControlReply::done(json!({"n": requests.len()}))).unwrap();
            requests.push(request);
        }
        requests
    });
    let mut client = ControlClient::connect(&path).unwrap();
    let mut heard = Vec::new();
    let first = client.call(&ControlRequest::SnapshotNow {}, |p| heard.push(p.done)).unwrap();
    let second = client.call(&ControlRequest::Status {}, |p| heard.push(p.done)).unwrap();
    drop(client);
    assert_eq!(first.result, Some(json!({"n": 0})));
    assert_eq!(second.result, Some(json!({"n": 1})));
    assert_eq!(heard, [1, 2, 1, 2]);
    assert_eq!(thread.join().unwrap(), [ControlRequest::SnapshotNow {}, ControlRequest::Status {}]);
}

#[test]
fn a_server_that_goes_before_the_reply_is_unreachable() {
    let (mut client, thread) = server(b"{\"progress\":{\"what\":\"keys\",\"done\":1}}\n");
    let e = client.call(&ControlRequest::Status {}, |_| ()).unwrap_err();
    assert_eq!(e.to_string(), "the control socket closed before the reply was complete");
    assert_eq!(e.exit(), Exit::Unreachable);
    thread.join().unwrap();
}

#[test]
fn a_reply_that_is_none_is_named_by_its_field() {
    let (mut client, thread) = server(b"{\"ok\":true,\"exit\":0,\"more\":1}\n");
    let e = client.call(&ControlRequest::Status {}, |_| ()).unwrap_err();
    assert!(e.to_string().starts_with("not a reply: unknown field `more`"), "{e}");
    thread.join().unwrap();
}

#[test]
fn a_server_that_is_not_there_is_named_with_what_to_do() {
    let e = ControlClient::connect(Path::new("/nonexistent/control.sock")).unwrap_err();
    assert_eq!(
        e.to_string(),
        "no server answers at /nonexistent/control.sock: No such file or directory (os error 2)\n\
         start one with `tekd serve --data DIR`, or say where it is with --data DIR or --control PATH"
    );
    assert_eq!(e.exit(), Exit::Unreachable);
}

#[test]
fn a_path_too_long_for_a_socket_is_refused_with_its_length() {
    let longest = PathBuf::from(format!("/{}", "d".repeat(MAX_SOCKET_PATH - 1)));
    assert!(check_socket_path(&longest).is_ok());
    let path = PathBuf::from(format!("/{}", "d".repeat(MAX_SOCKET_PATH)));
    let e = ControlClient::connect(&path).unwrap_err();
    assert_eq!(
        e.to_string(),
        format!(
            "the path of the control socket has 108 bytes, at most 107 are possible: {}\n\
             name a shorter one with --control or control in [listen]",
            path.display()
        )
    );
    assert_eq!(e.exit(), Exit::Usage);
}

#[test]
fn a_reply_that_is_printed_shows_no_code() {
    let reply = ControlReply::done(json!({ "codes": ["1A2B-3C4D-5E6F"] }));
    let printed = format!("{reply:?} {:?}", ServerLine::Reply(reply.clone()));
    assert!(printed.contains("result: true") && !printed.contains("1A2B"), "{printed}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let mut stream = Cursor::new(bytes);
        while let Ok(Some(_)) | Err(ControlError::Malformed { .. }) = read_request(&mut stream) {}
    }
}
