//! no-trace: no address and no key in anything that a server writes about itself, however much it is told
//! to say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tekd::client::SetClient;
use tekd::service::control::{Base64, ControlRequest};
use tekd::wire::Key;

use super::answers::until_serial;
use super::asker::Asker;
use super::clients::{tls_client, udp_client};
use super::imported::import_all;
use super::keys::keys;
use super::published::quic_client;
use super::server::{Place, Server};
use super::stream::Stream;
use super::tree::contents;

/// A life that touches everything: import, withdrawal, releases, every client operation, junk.
fn live(server: &Server, some: &[Key]) {
    let trust = server.trust();
    for mut client in [
        udp_client(server.udp(), trust.clone()),
        tls_client(server.tls(), trust.clone()),
        quic_client(server.quic(), trust.clone()),
    ] {
        client.lookup(some).expect("an answer");
        client.info().expect("an answer");
        let prefix: [u8; 16] = some[0].as_bytes().try_into().expect("16 bytes");
        let bits = client.checkpoint().expect("a checkpoint").bits();
        client.bucket(&prefix, bits).expect("a proved bucket");
        client.sync(&mut SetClient::new(trust.clone(), 1), false).expect("a sync");
    }
    let mut asker = Asker::new(server.udp(), trust.service);
    asker.silent(&[0x81; 700], "junk");
    let mut stream = Stream::open(server.tls());
    stream.send(some[0].as_bytes());
    stream.cut();
}

/// What a server says of itself.
fn said(server: &Server) -> String {
    let stats = server.done(&ControlRequest::Stats {});
    let health = server.command(&ControlRequest::Health {}).result.expect("findings");
    let page = server.metrics();
    let log = server.place.log();
    let lines: Vec<&str> = log.lines().filter(|line| !line.contains(" serving from ")).collect();
    assert!(lines.len() < log.lines().count(), "the line that names the listening addresses: {log}");
    format!("{stats}\n{health}\n{page}\n{}", lines.join("\n"))
}

#[track_caller]
fn assert_no_trace(text: &str, some: &[Key]) {
    for address in ["127.0.0.1", "::1", "localhost"] {
        assert!(!text.contains(address), "{address} in:\n{text}");
    }
    let lower = text.to_lowercase();
    for key in some {
        let bytes = key.as_bytes();
        let numbers = format!("{bytes:?}");
        assert!(
            !lower.contains(&hex::encode(bytes)) && !lower.contains(&hex::encode(&bytes[..8])),
            "a key in hex"
        );
        assert!(!text.contains(STANDARD.encode(bytes).trim_end_matches('=')), "a key in base64");
        assert!(!text.contains(numbers.trim_matches(['[', ']'])), "a key in numbers");
    }
}

#[test]
fn nothing_that_is_written_names_an_address_or_a_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let some = keys(1, 120);
    let talkative = |place: Place| place.with("--log-level", "trace");
    let origin = talkative(Place::new(dir.path(), "origin")).start().without_decoys();
    import_all(&origin, &some);
    origin.release();
    let node = talkative(Place::new(dir.path(), "node")).with("--log-format", "json");
    let node = node.following(origin.tls(), &origin.ready.trust).start();
    until_serial(&mut Asker::new(node.udp(), origin.trust().service), 1);
    for server in [&origin, &node] {
        live(server, &some);
    }
    origin.done(&ControlRequest::KeyWithdraw {
        set: 1,
        key: Base64(some[0].as_bytes().to_vec()),
        reason: "a mistake".to_owned(),
        urgent: true,
        dry_run: false,
    });
    origin.done(&ControlRequest::SnapshotNow {});
    origin.release();
    for server in [&origin, &node] {
        assert_no_trace(&said(server), &some);
    }
    let (origin_place, node_place) = (origin.place.clone(), node.place.clone());
    origin.kill();
    let failed = "tekd_upstream_polls_total{result=\"failed\"}";
    super::server::until("a poll that fails", || (node.metric(failed) > 1.0).then_some(()));
    assert_no_trace(&said(&node), &some);
    node.stop();
    for place in [&origin_place, &node_place] {
        for (name, _) in contents(&place.data).iter().filter(|(_, digest)| digest.is_some()) {
            let bytes = std::fs::read(place.data.join(name)).expect("a file");
            let found = bytes.windows(9).any(|window| window == b"127.0.0.1");
            assert!(!found, "an address in {}", name.display());
        }
    }
}
