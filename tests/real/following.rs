//! A second process: a public node that serves what its origin released, and goes on alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tekd::client::SetClient;
use tekd::node::{Serving, SteppedClock};
use tekd::service::config::{self, Overrides};
use tekd::service::control::{Base64, ControlRequest};
use tekd::store::RealDisk;
use tekd::wire::question::Sync;
use tekd::wire::{FLAG_STALE, Key};

use super::answers::{FLAGS, u16_at, until_serial};
use super::asker::Asker;
use super::clients::{tls_client, udp_client};
use super::imported::import_all;
use super::keys::keys;
use super::published::{fetched, offered};
use super::server::{Place, Server, until};

const POLLS_DONE: &str = "tekd_upstream_polls_total{result=\"done\"}";
const POLLS_FAILED: &str = "tekd_upstream_polls_total{result=\"failed\"}";

/// An origin whose first release has the keys of `seed`, and a node that has it.
fn origin_and_node(dir: &Path, seed: u64, upstream: fn(&Server) -> std::net::SocketAddr) -> (Server, Server) {
    let origin = Place::new(dir, "origin").start().without_decoys();
    import_all(&origin, &keys(seed, 400));
    origin.release();
    let node = Place::new(dir, "node").following(upstream(&origin), &origin.ready.trust).start();
    until_serial(&mut Asker::new(node.udp(), origin.trust().service), 1);
    (origin, node)
}

fn withdraw(server: &Server, key: &Key) {
    server.done(&ControlRequest::KeyWithdraw {
        set: 1,
        key: Base64(key.as_bytes().to_vec()),
        reason: "a test".to_owned(),
        urgent: true,
        dry_run: false,
    });
}

/// From, to, length and digest of an object.
type Offered = (u64, u64, u32, [u8; 32]);

/// Descriptors and digests that a server offers from every version and from nothing, live and history.
fn all_objects(server: &Server, newest: u64) -> BTreeMap<(u64, bool), Vec<Offered>> {
    let mut client = tls_client(server.tls(), server.trust());
    let mut found = BTreeMap::new();
    for serial in 0..newest {
        let held = if serial == 0 { 0 } else { 1 << 32 | serial };
        for history in [false, true] {
            let (to, objects) = offered(&mut client, Sync { version: held, history });
            assert_eq!(to & 0xffff_ffff, newest, "from {serial}");
            let described = |o: &tekd::wire::layout::ObjectDescriptor| {
                let bytes = fetched(&mut client, &o.digest, o.length.get());
                let digest: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&bytes).into();
                assert_eq!(digest, o.digest, "what was fetched is what was described");
                (o.from.get(), o.to.get(), o.length.get(), digest)
            };
            found.insert((serial, history), objects.iter().map(described).collect());
        }
    }
    found
}

#[test]
fn a_node_has_each_release_within_one_poll_and_the_same_objects() {
    let dir = tempfile::tempdir().expect("a directory");
    let (origin, node) = origin_and_node(dir.path(), 1, Server::tls);
    let trust = origin.trust();
    let mut asker = Asker::new(node.udp(), trust.service);
    for round in 2..=6 {
        import_all(&origin, &keys(round, 40));
        withdraw(&origin, &keys(1, 400)[usize::try_from(round).expect("small")]);
        let (serial, root) = origin.release();
        assert_eq!(serial, round);
        let polls = node.metric(POLLS_DONE);
        until_serial(&mut asker, serial);
        // One poll may have been under way when the release came, the next one brings it.
        let passed = node.metric(POLLS_DONE) - polls;
        assert!(passed <= 2.0, "serial {serial} came after {passed} polls");
        let checkpoint = udp_client(node.udp(), trust.clone()).checkpoint().expect("a verified checkpoint");
        assert_eq!((hex::encode(checkpoint.root()), u64::from(checkpoint.serial())), (root, serial));
        assert_eq!(node.serial(), serial);
    }
    let (at_origin, at_node) = (all_objects(&origin, 6), all_objects(&node, 6));
    assert_eq!(at_origin.len(), 12);
    assert_eq!(at_node, at_origin, "the node's objects are the origin's, to the byte");
    let mut phone = SetClient::new(trust.clone(), 1);
    let report = tls_client(node.tls(), trust).sync(&mut phone, false).expect("a sync");
    assert_eq!(report.live, 400 + 5 * 40 - 5);
}

#[test]
fn a_node_follows_an_origin_that_serves_datagrams_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path(), "origin").with("--tls", "off");
    let origin = place.start().without_decoys();
    import_all(&origin, &keys(1, 400));
    let (_, root) = origin.release();
    let node = Place::new(dir.path(), "node").following(origin.udp(), &origin.ready.trust).start();
    until_serial(&mut Asker::new(node.udp(), origin.trust().service), 1);
    let checkpoint = tls_client(node.tls(), origin.trust()).checkpoint().expect("a verified checkpoint");
    assert_eq!(hex::encode(checkpoint.root()), root);
}

#[test]
fn a_node_outlives_its_origin_and_starts_again_from_what_it_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let (origin, node) = origin_and_node(dir.path(), 1, Server::udp);
    let trust = origin.trust();
    let root = udp_client(origin.udp(), trust.clone()).checkpoint().expect("a checkpoint").root();
    let failed = node.metric(POLLS_FAILED);
    origin.kill();
    until("a poll that fails", || (node.metric(POLLS_FAILED) > failed).then_some(()));
    serves_alone(&node, root);
    let health = node.command(&ControlRequest::Health {});
    let text = health.result.expect("findings").to_string();
    assert!(text.contains("the last poll of set 1 failed"), "{text}");
    let log = node.place.log();
    assert!(log.contains("set 1 is served as it was"), "{log}");
    let (place, udp) = (node.place.clone(), node.udp());
    node.kill();
    assert_ne!(udp.port(), 0);
    let again = place.start();
    serves_alone(&again, root);
    again.stop();
    stale_past_fresh_until(&place, &trust);
}

/// Everything a phone asks is answered, and nothing says that it is old.
fn serves_alone(node: &Server, root: [u8; 32]) {
    let trust = node.trust();
    let mut client = udp_client(node.udp(), trust.clone());
    assert_eq!(client.checkpoint().expect("a verified checkpoint").root(), root);
    let info = client.info().expect("an answer");
    assert!(!info.stale, "the release is fresh");
    let found = client.lookup(&keys(1, 400)[..64]).expect("an answer");
    assert!(found.keys.iter().all(Option::is_some));
    let mut phone = SetClient::new(trust.clone(), 1);
    let report = tls_client(node.tls(), trust).sync(&mut phone, false).expect("a sync");
    assert_eq!((report.live, report.root), (400, root));
}

/// The node of `place` on a clock of its own: not stale at the last fresh second, stale after it.
fn stale_past_fresh_until(place: &Place, trust: &tekd::release::Trust) {
    let overrides = Overrides {
        data: Some(place.data.clone()),
        udp: Some("127.0.0.1:0".to_owned()),
        tls: Some("off".to_owned()),
        upstream: Some("127.0.0.1:1".to_owned()),
        trust: Some(place.data.with_file_name("origin").join("trust.json")),
        ..Overrides::default()
    };
    let config = config::load(&RealDisk, None, |_| None, &overrides).expect("a configuration");
    let clock = Arc::new(SteppedClock::new(super::keys::now()));
    let serving = Serving::start(&config, Arc::new(RealDisk), Arc::clone(&clock) as _).expect("a node");
    let udp = serving.ready.udp.expect("UDP is on");
    let checkpoint = udp_client(udp, trust.clone()).checkpoint().expect("a verified checkpoint");
    let mut asker = Asker::new(udp, trust.service);
    let mut flags = || {
        let info = asker.info();
        u16_at(&asker.ask(&info), FLAGS) & FLAG_STALE
    };
    clock.advance(checkpoint.fresh_until() - super::keys::now().min(checkpoint.fresh_until()));
    let late = tekd::node::Clock::now(&*clock).unix.saturating_sub(checkpoint.fresh_until());
    assert!(late <= 1, "at most the second that passed");
    if late == 0 {
        assert_eq!(flags(), 0, "fresh to the last second");
    }
    clock.advance(2);
    assert_eq!(flags(), FLAG_STALE, "stale once that is past");
}
