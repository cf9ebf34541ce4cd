//! A node whose upstream or trust is wrong keeps what it verified, and says so.

use std::path::Path;

use tekd::client::SetClient;
use tekd::service::control::{ControlRequest, Exit};

use super::answers::{result_of, until_serial};
use super::asker::Asker;
use super::clients::{tls_client, udp_client};
use super::imported::import_all;
use super::keys::keys;
use super::relay::Relay;
use super::server::{Place, Server, until};
use tekd::wire::{Operation, ResultCode};

const POLLS_FAILED: &str = "tekd_upstream_polls_total{result=\"failed\"}";

/// Waits until another poll of the node has failed, and returns what its log says then.
fn after_a_failed_poll(node: &Server) -> String {
    let failed = node.metric(POLLS_FAILED);
    until("a poll that fails", || (node.metric(POLLS_FAILED) > failed).then(|| node.place.log()))
}

#[test]
fn a_node_keeps_its_release_while_somebody_changes_what_it_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = Place::new(dir.path(), "origin").start().without_decoys();
    import_all(&origin, &keys(1, 100));
    origin.release();
    let relay = Relay::to(origin.udp());
    let node = Place::new(dir.path(), "node").following(relay.address, &origin.ready.trust).start();
    let mut asker = Asker::new(node.udp(), origin.trust().service);
    until_serial(&mut asker, 1);
    for (operation, serial, says) in
        [(Operation::Checkpoint, 2, "the checkpoint"), (Operation::Fetch, 3, "digest")]
    {
        relay.change(operation as u8);
        import_all(&origin, &keys(serial, 10));
        let (released, root) = origin.release();
        assert_eq!(released, serial);
        node.place.forget_log();
        let log = after_a_failed_poll(&node);
        assert_eq!(asker.version(), 1 << 32 | (serial - 1), "the release before is served");
        assert!(log.contains("set 1 is served as it was"), "{log}");
        let health = node.command(&ControlRequest::Health {});
        assert_eq!(health.exit, Exit::Degraded);
        let text = health.result.expect("findings").to_string();
        assert!(text.contains("upstream") && text.contains(says), "{text}");
        relay.change(0);
        until_serial(&mut asker, serial);
        let trusted = udp_client(node.udp(), origin.trust()).checkpoint().expect("a verified checkpoint");
        assert_eq!(hex::encode(trusted.root()), root, "an honest answer is believed again");
    }
    let log = node.place.log();
    assert!(!log.contains(&relay.address.to_string()), "{log}");
}

/// A trust file that differs from the origin's in `change`.
fn changed_trust(
    origin: &Server,
    dir: &Path,
    change: impl FnOnce(&mut serde_json::Value),
) -> std::path::PathBuf {
    let text = std::fs::read(&origin.ready.trust).expect("a trust file");
    let mut trust: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    change(&mut trust);
    let file = dir.join("changed.json");
    std::fs::write(&file, trust.to_string()).expect("written");
    file
}

#[test]
fn a_node_under_other_roots_takes_nothing_new_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = Place::new(dir.path(), "origin").start().without_decoys();
    let stranger = Place::new(dir.path(), "stranger").start();
    import_all(&origin, &keys(1, 100));
    let (_, root) = origin.release();
    let node = Place::new(dir.path(), "node").following(origin.udp(), &origin.ready.trust).start();
    let mut asker = Asker::new(node.udp(), origin.trust().service);
    until_serial(&mut asker, 1);
    let place = node.place.clone();
    node.stop();
    let roots = serde_json::from_slice::<serde_json::Value>(
        &std::fs::read(&stranger.ready.trust).expect("a trust file"),
    )
    .expect("JSON")["roots"]
        .clone();
    let wrong = changed_trust(&origin, dir.path(), |trust| trust["roots"] = roots);
    origin.release();
    let node = place.with("--trust", &wrong).start();
    after_a_failed_poll(&node);
    let mut asker = Asker::new(node.udp(), origin.trust().service);
    assert_eq!(asker.version(), 1 << 32 | 1);
    let log = node.place.log();
    assert!(log.contains("set 1 is served as it was") && log.contains("not believed"), "{log}");
    let mut phone = SetClient::new(origin.trust(), 1);
    let synced = tls_client(node.tls(), origin.trust()).sync(&mut phone, false).expect("a sync");
    assert_eq!(hex::encode(synced.root), root);
}

#[test]
fn a_node_of_another_service_serves_nothing_and_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = Place::new(dir.path(), "origin").start().without_decoys();
    origin.release();
    let wrong = changed_trust(&origin, dir.path(), |trust| trust["service"] = "0102030405060708".into());
    let node = Place::new(dir.path(), "node").following(origin.tls(), &wrong).start();
    let mut asker = Asker::new(node.udp(), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(asker.version(), 0, "INFO of a set without a release is OK with version 0 (spec 2.1.2)");
    let mut frame = vec![0; 1232];
    let length = asker.builder().checkpoint(&mut frame).expect("a question");
    assert_eq!(result_of(&asker.ask(&frame[..length])), ResultCode::Unavailable);
    let health = node.command(&ControlRequest::Health {});
    let text = health.result.expect("findings").to_string();
    assert!(text.contains("no release of set 1 could be verified here yet"), "{text}");
    node.stop();
}
