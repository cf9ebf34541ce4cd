//! Every operation against an honest server, and against one that is behind, busy or restless.

use std::sync::Mutex;
use std::time::Duration;

use super::fake::{BEGAN, Fake, SET, fields, key};
use super::{by_datagrams, datagrams, random, stream, streaming};
use crate::client::{
    Change, Client, ClientError, Data, FailureKind, HistoryClient, SetClient, SyncMode, Unverifiable,
    load_state, save_state,
};
use crate::release::{Age, LiveSet, LogTree};
use crate::wire::{Key, Operation, ResultCode};

fn held(server: &Mutex<Fake>) -> SetClient {
    SetClient::new(server.lock().unwrap().trust(), SET)
}

fn count(server: &Mutex<Fake>, operation: Operation) -> usize {
    server.lock().unwrap().asked.iter().filter(|asked| **asked == operation).count()
}

#[test]
fn info_tells_what_the_server_says_of_itself() {
    let server = Mutex::new(Fake::with_history(40));
    let info = by_datagrams(&server).info().unwrap();
    assert_eq!((info.version, info.node, info.least, info.newest), (1 << 32 | 3, 9, 1, 1));
    assert_eq!((info.checkpoint_time, info.wait_s), (BEGAN + 90_000, 5));
    assert!(!info.stale && !info.draining);
}

#[test]
fn a_checkpoint_takes_one_datagram_and_is_verified() {
    let server = Mutex::new(Fake::with_history(40));
    let mut client = by_datagrams(&server);
    let checkpoint = client.checkpoint().unwrap();
    assert_eq!(checkpoint, server.lock().unwrap().checkpoint());
    assert_eq!((client.newest(), count(&server, Operation::Checkpoint)), (Some(&checkpoint), 1));
}

#[test]
fn a_set_comes_whole_then_by_deltas_then_not_at_all() {
    for on_stream in [false, true] {
        let server = Mutex::new(Fake::new());
        let keys: Vec<_> = (0..50).map(|i| (key(i), fields((i % 14) as u32))).collect();
        server.lock().unwrap().release(0, &keys, &[]);
        let mut set = held(&server);
        let mut client = if on_stream { streaming(&server) } else { by_datagrams(&server) };
        let report = client.sync(&mut set, false).unwrap();
        assert_eq!((report.mode, report.from, report.to), (SyncMode::Full, 0, 1 << 32 | 1));
        assert_eq!(report.change, Change { added: 50, removed: 0, expired: 0 });
        assert_eq!((report.live, report.wait_s), (50, 5));

        // One day later the oldest day has expired: keys 13, 27 and 41.
        server.lock().unwrap().release(86_400, &[(key(90), fields(0))], &[key(3), key(4)]);
        let report = client.sync(&mut set, false).unwrap();
        assert_eq!((report.mode, report.from, report.to), (SyncMode::Delta, 1 << 32 | 1, 1 << 32 | 2));
        assert_eq!(report.change, Change { added: 1, removed: 2, expired: 3 });
        assert_eq!((report.live, report.root), (46, server.lock().unwrap().checkpoint().root()));
        assert_eq!(set.data(), Some(&server.lock().unwrap().live()));
        assert!(report.bytes < 400, "{} bytes", report.bytes);

        let report = client.sync(&mut set, false).unwrap();
        assert_eq!((report.mode, report.change, report.bytes), (SyncMode::Current, Change::default(), 0));
        let report = client.sync(&mut set, true).unwrap();
        assert_eq!((report.mode, report.change), (SyncMode::Full, Change::default()));
    }
}

#[test]
fn several_objects_lead_there_as_well_as_one() {
    // spec 2.5.3
    let server = Mutex::new(Fake::new());
    server.lock().unwrap().release(0, &(0..9).map(|i| (key(i), fields(0))).collect::<Vec<_>>(), &[]);
    server.lock().unwrap().step_by_step = true;
    let (mut set, mut node) = (held(&server), HistoryClient::new(server.lock().unwrap().trust(), SET));
    let mut client = streaming(&server);
    client.sync(&mut set, false).unwrap();
    client.sync(&mut node, false).unwrap();
    let many: Vec<_> = (100..300).map(|i| (key(i), fields(1))).collect();
    server.lock().unwrap().release(900, &many, &[key(1)]);
    server.lock().unwrap().release(1_800, &[], &many.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    server.lock().unwrap().release(2_700, &[(key(1), fields(0))], &[key(2)]);
    let report = client.sync(&mut set, false).unwrap();
    assert_eq!((report.mode, report.live), (SyncMode::Delta, 8));
    assert_eq!(set.data(), Some(&server.lock().unwrap().live()));
    client.sync(&mut node, false).unwrap();
    assert_eq!(node.data().unwrap().entries(), server.lock().unwrap().history());
}

#[test]
fn a_node_gets_history_and_log_whole_and_by_deltas() {
    // spec 4.4.1
    let server = Mutex::new(Fake::with_history(60));
    let mut node = HistoryClient::new(server.lock().unwrap().trust(), SET);
    let mut client = by_datagrams(&server);
    let report = client.sync(&mut node, false).unwrap();
    assert_eq!((report.mode, report.change.added), (SyncMode::Full, server.lock().unwrap().live().count()));
    server.lock().unwrap().release(90_900, &[(key(200), fields(0))], &[key(5)]);
    let report = client.sync(&mut node, false).unwrap();
    assert_eq!((report.mode, report.change), (SyncMode::Delta, Change { added: 1, removed: 1, expired: 0 }));
    let server = server.lock().unwrap();
    let data = node.data().unwrap();
    assert_eq!(data.entries(), server.history());
    let mut log = LogTree::new();
    data.leaves().iter().for_each(|leaf| log.push(*leaf));
    assert_eq!((log.len(), log.root()), (3, server.checkpoint().log_root()));
    assert_eq!(node.answer().unwrap().checkpoint, server.checkpoint());
    assert_eq!(node.manifest().unwrap().interval_s, 900);
}

#[test]
fn the_manifest_is_that_of_the_checkpoint_and_is_fetched_once() {
    let server = Mutex::new(Fake::with_history(20));
    let mut client = by_datagrams(&server);
    let report = client.manifest().unwrap();
    assert_eq!((report.manifest.interval_s, report.digest), (900, client.newest().unwrap().manifest()));
    let mut set = held(&server);
    client.sync(&mut set, false).unwrap();
    assert_eq!(set.manifest_bytes(), Some(report.bytes.as_slice()));
    let fetched = count(&server, Operation::Fetch);
    server.lock().unwrap().release(90_900, &[], &[]);
    client.sync(&mut set, false).unwrap();
    assert_eq!(count(&server, Operation::Fetch), fetched + 1, "the delta alone");
}

#[test]
fn keys_are_looked_up_in_as_many_questions_as_it_takes() {
    let server = Mutex::new(Fake::with_history(70));
    let keys: Vec<Key> = (0..70).map(|i| Key::from_slice(&key(i)).unwrap()).collect();
    let report = by_datagrams(&server).lookup(&keys).unwrap();
    let live = server.lock().unwrap().live();
    for (key, fields) in keys.iter().zip(&report.keys) {
        assert_eq!(fields.is_some(), live.find(key.as_bytes()).is_some());
    }
    assert_eq!(report.keys[3], Some(fields(3)));
    assert_eq!((report.version, count(&server, Operation::Lookup)), (live.version(), 3));
}

#[test]
fn a_bucket_is_proved_and_a_wrong_prefix_refused() {
    let server = Mutex::new(Fake::with_history(200));
    let mut client = streaming(&server);
    let live = server.lock().unwrap().live();
    let b = server.lock().unwrap().checkpoint().bits();
    for bits in [0, 1, b] {
        let report = client.bucket(&key(7), bits).unwrap();
        let under = |entry: &&[u8]| bits == 0 || entry[0] >> (8 - bits) == key(7)[0] >> (8 - bits);
        let expected: Vec<&[u8]> = live.entries().chunks_exact(24).filter(under).map(|e| &e[..16]).collect();
        let found: Vec<&[u8]> = report.keys.iter().map(|(key, _)| key.as_bytes()).collect();
        assert_eq!(found, expected, "{bits} bits");
    }
    let error = client.bucket(&key(7), b + 1).unwrap_err();
    let refused = error.refused().unwrap();
    assert_eq!((refused.result, refused.info, error.exit_code()), (ResultCode::Range, u32::from(b), 4));
}

#[test]
fn a_bucket_too_long_for_datagrams_goes_by_the_stream_if_there_is_one() {
    // spec 1.3.5
    let server = Mutex::new(Fake::with_history(200));
    let error = by_datagrams(&server).bucket(&[0; 16], 0).unwrap_err();
    assert_eq!(error.refused().unwrap().result, ResultCode::Truncated);
    assert!(error.to_string().contains("--transport tls"), "{error}");
    let report = by_datagrams(&server).with_stream(stream(&server)).bucket(&[0; 16], 0).unwrap();
    assert_eq!(report.keys.len() as u64, server.lock().unwrap().live().count());
}

#[test]
fn the_log_proves_older_checkpoints() {
    let server = Mutex::new(Fake::new());
    let mut seen = Vec::new();
    for i in 0..9 {
        server.lock().unwrap().release(i * 900, &[(key(i), fields(0))], &[]);
        seen.push(server.lock().unwrap().checkpoint());
    }
    let mut client = by_datagrams(&server);
    for older in &seen[..8] {
        assert_eq!(client.prove_inclusion(older).unwrap(), seen[8]);
        assert_eq!(client.prove_consistency(older).unwrap(), seen[8]);
    }
    let mut other = Fake::with_history(3);
    other.forget_newest();
    let error = client.prove_inclusion(&other.checkpoint()).unwrap_err();
    assert!(matches!(error.unverifiable(), Some(Unverifiable::Log { first: 1, second: 8, .. })), "{error}");
    assert!(client.prove_consistency(&other.checkpoint()).is_err());
}

#[test]
fn objects_too_long_for_datagrams_need_a_stream() {
    // spec 2.6.3
    let server = Mutex::new(Fake::new());
    let keys: Vec<_> = (0..22_000).map(|i| (key(i), fields((i % 14) as u32))).collect();
    server.lock().unwrap().release(0, &keys, &[]);
    let mut set = held(&server);
    let error = by_datagrams(&server).sync(&mut set, false).unwrap_err();
    assert!(matches!(error, ClientError::NeedsStream { length: 262_145.., .. }), "{error}");
    assert!(error.to_string().contains("--transport tls") && set.data().is_none());
    let report = by_datagrams(&server).with_stream(stream(&server)).sync(&mut set, false).unwrap();
    assert_eq!((report.live, report.mode), (22_000, SyncMode::Full));
}

#[test]
fn what_only_streams_serve_says_so_on_datagrams() {
    let server = Mutex::new(Fake::with_history(5));
    let error = by_datagrams(&server).ask(&crate::client::Ask::Manifest).unwrap_err();
    assert!(matches!(error, ClientError::NeedsStream { length: 0, .. }), "{error}");
    assert_eq!(error.kind(), FailureKind::Refused);
}

#[test]
fn pending_is_waited_for_as_the_server_says_and_no_longer_than_patience() {
    // spec 2.5.4, 4.5.1
    for (times, wait, slept, arrives) in [
        (2, 3, vec![3, 3], true),
        (2, 0, vec![1, 1], true),
        (9, 10, vec![10; 3], false),
        (1, 500, vec![], false),
    ] {
        let server = Mutex::new(Fake::with_history(20));
        server.lock().unwrap().holding = Some((times, ResultCode::Pending, wait));
        let slept_s = Mutex::new(Vec::new());
        let sleep = |time: Duration| slept_s.lock().unwrap().push(time.as_secs());
        let trust = server.lock().unwrap().trust();
        let mut client = Client::new(stream(&server), trust, SET, random(1), sleep);
        let mut set = held(&server);
        let synced = client.sync(&mut set, false);
        assert_eq!((*slept_s.lock().unwrap()).clone(), slept);
        match synced {
            Ok(report) => assert!(arrives && report.mode == SyncMode::Full),
            Err(error) => {
                let refused = error.refused().unwrap();
                assert_eq!((arrives, refused.result, refused.wait_s), (false, ResultCode::Pending, wait));
            }
        }
    }
}

#[test]
fn a_set_without_a_release_and_a_set_of_nobody_are_refused() {
    let server = Mutex::new(Fake::new());
    let error = by_datagrams(&server).checkpoint().unwrap_err();
    assert_eq!(error.refused().unwrap().result, ResultCode::Unavailable);
    let mut trust = server.lock().unwrap().trust();
    trust.sets.push(77);
    let error = Client::new(stream(&server), trust, 77, random(2), super::no_sleep).checkpoint().unwrap_err();
    assert_eq!((error.refused().unwrap().result, error.exit_code()), (ResultCode::Set, 4));
}

#[test]
fn a_release_in_between_costs_a_round_and_a_restless_server_three() {
    // spec 4.3.2
    let server = Mutex::new(Fake::with_history(20));
    let mut set = held(&server);
    server.lock().unwrap().restless = 1;
    streaming(&server).sync(&mut set, false).unwrap();
    assert_eq!((count(&server, Operation::Checkpoint), set.version()), (2, 1 << 32 | 4));
    server.lock().unwrap().restless = 9;
    let error = streaming(&server).sync(&mut set, false).unwrap_err();
    assert!(matches!(error, ClientError::NoAgreement { rounds: 3, .. }), "{error}");
    assert_eq!((count(&server, Operation::Checkpoint), set.version()), (5, 1 << 32 | 4));
    assert!(error.to_string().contains("serial 4 in incarnation 1 stays"), "{error}");
}

#[test]
fn a_silent_server_is_unreachable_unless_a_stream_reaches_it() {
    // spec 4.5.5
    let server = Mutex::new(Fake::with_history(20));
    let silent = || crate::client::MemoryDatagrams::new(|_: &[u8]| Vec::new());
    let error = super::client_by(&server, silent()).checkpoint().unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (FailureKind::Unreachable, 3));
    assert!(error.to_string().contains("CHECKPOINT of set 1: memory did not answer"), "{error}");
    assert!(super::client_by(&server, silent()).with_stream(stream(&server)).checkpoint().is_ok());
}

#[test]
fn age_is_judged_by_the_data_and_never_by_a_clock_that_lags() {
    // spec 4.2
    let server = Mutex::new(Fake::with_history(20));
    let mut set = held(&server);
    assert_eq!(set.age(BEGAN), None);
    streaming(&server).sync(&mut set, false).unwrap();
    let time = BEGAN + 90_000;
    assert_eq!(set.age(0), Some((Age::Fresh, 0)));
    assert_eq!(set.age(time + 2_001), Some((Age::Stale, 2_001)));
    assert_eq!(set.age(time + 400_001), Some((Age::TooOld, 400_001)), "as the manifest says");
    // A newer checkpoint that the data do not reach makes them old all the same.
    server.lock().unwrap().release(90_000 + 5_000, &[], &[]);
    server.lock().unwrap().holding = Some((1, ResultCode::Busy, 600));
    streaming(&server).sync(&mut set, false).unwrap_err();
    assert_eq!(set.age(time), Some((Age::Stale, 5_000)));
}

#[test]
fn state_comes_back_from_bytes_and_goes_on() {
    // spec 4.3.3
    let server = Mutex::new(Fake::with_history(40));
    let trust = server.lock().unwrap().trust();
    let (mut set, mut node) = (held(&server), HistoryClient::new(trust.clone(), SET));
    assert_eq!(SetClient::from_bytes(trust.clone(), SET, &set.to_bytes()).unwrap(), set);
    let mut client = streaming(&server);
    client.sync(&mut set, false).unwrap();
    client.sync(&mut node, false).unwrap();
    assert_eq!(HistoryClient::from_bytes(trust.clone(), SET, &node.to_bytes()).unwrap(), node);
    assert!(SetClient::from_bytes(trust.clone(), SET, &node.to_bytes()).is_err(), "another kind");
    let mut back = SetClient::from_bytes(trust.clone(), SET, &set.to_bytes()).unwrap();
    assert_eq!(back, set);
    server.lock().unwrap().release(91_000, &[(key(300), fields(0))], &[]);
    assert_eq!(client.sync(&mut back, false).unwrap().mode, SyncMode::Delta);
    let mut other = trust;
    other.service = *b"another!";
    assert!(SetClient::from_bytes(other, SET, &set.to_bytes()).is_err(), "another service");
}

#[test]
fn a_state_with_any_byte_changed_or_missing_is_refused() {
    let server = Mutex::new(Fake::with_history(6));
    let mut set = held(&server);
    streaming(&server).sync(&mut set, false).unwrap();
    let (trust, bytes) = (server.lock().unwrap().trust(), set.to_bytes());
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1 << (at % 8);
        assert!(SetClient::from_bytes(trust.clone(), SET, &other).is_err(), "byte {at} changed");
        assert!(SetClient::from_bytes(trust.clone(), SET, &bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_state_file_is_replaced_whole_and_an_interruption_leaves_the_old_one() {
    // spec 4.3.3
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.state");
    let server = Mutex::new(Fake::with_history(30));
    let trust = server.lock().unwrap().trust();
    let mut set: SetClient = load_state(&path, trust.clone(), SET).unwrap();
    assert_eq!(set.version(), 0, "no file is an empty state");
    streaming(&server).sync(&mut set, false).unwrap();
    save_state(&path, &set).unwrap();
    assert_eq!(load_state::<LiveSet>(&path, trust.clone(), SET).unwrap(), set);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    // An interruption before the renaming leaves a part of the new state beside the old one.
    std::fs::write(folder.path().join("set.state.1.new"), &set.to_bytes()[..100]).unwrap();
    assert_eq!(load_state::<LiveSet>(&path, trust.clone(), SET).unwrap(), set);

    std::fs::write(&path, b"something else").unwrap();
    let error = load_state::<LiveSet>(&path, trust.clone(), SET).unwrap_err();
    assert!(error.to_string().contains("set.state") && error.to_string().contains("move it away"), "{error}");
    let missing = folder.path().join("nowhere").join("set.state");
    assert!(save_state(&missing, &set).unwrap_err().to_string().starts_with("writing the state file"));
}

#[test]
fn datagrams_carry_a_whole_sync_in_few_questions() {
    let server = Mutex::new(Fake::with_history(40));
    let mut set = held(&server);
    super::client_by(&server, datagrams(&server)).sync(&mut set, false).unwrap();
    assert_eq!(server.lock().unwrap().asked.len(), 4, "checkpoint, sync, object, manifest");
}
