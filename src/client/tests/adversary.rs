//! Whoever stands in between can refuse or delay, never lie: whatever is changed, lost, doubled or
//! repeated on the way, a client holds the old set or the true new one.

use std::sync::Mutex;

use proptest::prelude::*;

use super::fake::{BEGAN, Fake, SET, fields, key};
use super::{client_by, random, streaming};
use crate::client::{
    Client, ClientError, Data, Follower, HistoryClient, MemoryDatagrams, MemoryStream, Patience, SetClient,
    SyncMode, Unverifiable,
};
use crate::release::{Fields, VerifyError};
use crate::wire::{Operation, ResultCode};

/// A server two releases further than the client that comes with it.
fn one_behind<D: Data + Clone>() -> (Mutex<Fake>, Follower<D>) {
    let mut fake = Fake::new();
    fake.release(0, &(0..40).map(|i| (key(i), fields((i % 14) as u32))).collect::<Vec<_>>(), &[]);
    let server = Mutex::new(fake);
    let mut follower = Follower::new(server.lock().unwrap().trust(), SET);
    streaming(&server).sync(&mut follower, false).unwrap();
    server.lock().unwrap().release(50_000, &[(key(80), fields(0))], &[key(1)]);
    server.lock().unwrap().release(90_000, &[(key(81), fields(0)), (key(1), fields(3))], &[key(2)]);
    (server, follower)
}

/// A client whose `number`-th answer is changed by `change`.
fn client_with<'s>(
    server: &'s Mutex<Fake>,
    number: usize,
    change: impl Fn(&mut Vec<u8>) + Send + 's,
) -> Client<'s> {
    let mut answers = 0;
    client_by(
        server,
        MemoryStream::new(move |question: &[u8]| {
            let mut answer = server.lock().unwrap().answer(question, true)?;
            if answers == number {
                change(&mut answer);
            }
            answers += 1;
            Some(answer)
        }),
    )
}

/// Syncs through `client` and checks that the outcome is the old data or the true new ones.
fn old_or_true<D: Data + PartialEq + Clone>(
    client: &mut Client<'_>,
    old: &Follower<D>,
    truth: &[u8],
    what: &str,
) -> bool {
    let mut follower = old.clone();
    let synced = client.sync(&mut follower, false);
    let entries = follower.data().unwrap().entries();
    match &synced {
        Ok(report) => {
            assert!(entries == truth, "{what}: a wrong set was taken over");
            assert_eq!((report.to, report.live), (1 << 32 | 3, 39), "{what}");
        }
        Err(error) => {
            assert!(entries == old.data().unwrap().entries(), "{what}: {error}, and the old set is gone");
            assert_eq!(follower.version(), old.version(), "{what}");
        }
    }
    follower.data().unwrap().check(follower.checkpoint().unwrap()).unwrap();
    synced.is_ok()
}

/// Lengths of the answers of one sync that nobody disturbs.
fn answers_of<D: Data + Clone>(server: &Mutex<Fake>, follower: &Follower<D>) -> Vec<usize> {
    let lengths = Mutex::new(Vec::new());
    let carrier = MemoryStream::new(|question: &[u8]| {
        let answer = server.lock().unwrap().answer(question, true)?;
        lengths.lock().unwrap().push(answer.len());
        Some(answer)
    });
    client_by(server, carrier).sync(&mut follower.clone(), false).unwrap();
    lengths.into_inner().unwrap()
}

#[test]
fn no_byte_of_any_answer_can_be_changed_into_a_wrong_set() {
    let (server, old) = one_behind::<crate::release::LiveSet>();
    let truth = server.lock().unwrap().live().entries().to_vec();
    let lengths = answers_of(&server, &old);
    assert_eq!(lengths.len(), 3, "checkpoint, sync, delta");
    let mut refused = 0;
    for (number, length) in lengths.into_iter().enumerate() {
        for at in 0..length {
            let mut client = client_with(&server, number, |answer| answer[at] ^= 1 << (at % 8));
            let arrived = old_or_true(&mut client, &old, &truth, &format!("answer {number}, byte {at}"));
            refused += usize::from(!arrived);
        }
    }
    assert!(refused > 300, "only {refused} changes were noticed");
}

#[test]
fn no_byte_of_any_answer_can_be_changed_into_a_wrong_history() {
    let (server, old) = one_behind::<crate::client::History>();
    let truth = server.lock().unwrap().history().to_vec();
    for (number, length) in answers_of(&server, &old).into_iter().enumerate() {
        for at in 0..length {
            let mut client = client_with(&server, number, |answer| answer[at] ^= 0x80 >> (at % 8));
            old_or_true(&mut client, &old, &truth, &format!("answer {number}, byte {at}"));
        }
    }
}

#[test]
fn no_byte_of_a_bucket_can_be_changed() {
    let server = Mutex::new(Fake::with_history(60));
    let truth = streaming(&server).bucket(&key(9), 2).unwrap();
    for at in 0..64 + 8 + truth.keys.len() * 24 + 2 * 32 {
        let mut client = client_with(&server, 1, |answer| answer[at] ^= 1 << (at % 8));
        if let Ok(report) = client.bucket(&key(9), 2) {
            assert_eq!(report, truth, "byte {at}");
        }
    }
}

#[test]
fn a_delta_that_fails_is_followed_once_by_the_full_set() {
    // spec 4.1.4
    let (server, mut set) = one_behind();
    let mut client = client_with(&server, 2, |answer| *answer.last_mut().unwrap() ^= 1);
    let report = client.sync(&mut set, false).unwrap();
    assert_eq!(report.mode, SyncMode::Full);
    assert!(matches!(report.delta_failed, Some(Unverifiable::Digest { .. })), "{report:?}");
    assert_eq!(set.data(), Some(&server.lock().unwrap().live()));
}

#[test]
fn if_the_full_set_fails_too_that_is_told_and_the_old_set_stays() {
    // spec 4.1.4
    let (server, mut set): (_, SetClient) = one_behind();
    let before = set.data().cloned();
    let carrier = MemoryStream::new(|question: &[u8]| {
        let mut answer = server.lock().unwrap().answer(question, true)?;
        if question[1] == Operation::Fetch as u8 {
            *answer.last_mut().unwrap() ^= 1;
        }
        Some(answer)
    });
    let error = client_by(&server, carrier).sync(&mut set, false).unwrap_err();
    assert!(matches!(error.unverifiable(), Some(Unverifiable::Digest { .. })), "{error}");
    assert!(error.to_string().contains("serial 1 in incarnation 1 stays"), "{error}");
    assert_eq!((set.data().cloned(), error.exit_code()), (before, 1));
    let asked = server.lock().unwrap().asked.clone();
    assert_eq!(asked.iter().filter(|asked| **asked == Operation::Sync).count(), 3, "first sync, delta, full");
}

#[test]
fn an_older_checkpoint_is_refused_and_the_newer_set_stays() {
    // spec 4.1.1
    let server = Mutex::new(Fake::with_history(30));
    let mut set = SetClient::new(server.lock().unwrap().trust(), SET);
    streaming(&server).sync(&mut set, false).unwrap();
    let (before, mut client) = (set.clone(), streaming(&server));
    client.checkpoint().unwrap();
    server.lock().unwrap().forget_newest();
    let error = client.sync(&mut set, false).unwrap_err();
    assert!(error.unverifiable().is_some_and(Unverifiable::is_behind), "{error}");
    assert_eq!(set, before);
    assert!(client.checkpoint().unwrap_err().unverifiable().unwrap().is_behind());
}

#[test]
fn a_server_that_lags_behind_a_change_of_the_online_key_is_only_behind() {
    // spec 3.5.2, 4.1.1
    let server = Mutex::new(Fake::with_history(30));
    let mut set = SetClient::new(server.lock().unwrap().trust(), SET);
    server.lock().unwrap().delegate(BEGAN + 95_000);
    server.lock().unwrap().release(100_000, &[(key(998), fields(0))], &[]);
    streaming(&server).sync(&mut set, false).unwrap();
    let before = set.clone();
    server.lock().unwrap().forget_newest();
    let error = streaming(&server).sync(&mut set, false).unwrap_err();
    assert!(error.to_string().contains("delegation of epoch"), "{error}");
    assert!(error.unverifiable().is_some_and(Unverifiable::is_behind), "{error}");
    assert_eq!(set, before);
}

#[test]
fn two_checkpoints_of_one_version_are_kept_as_evidence() {
    // spec 3.4.6, 4.1.2
    let server = Mutex::new(Fake::with_history(30));
    let trust = server.lock().unwrap().trust();
    let mut set = SetClient::new(trust.clone(), SET);
    let mut client = streaming(&server);
    client.sync(&mut set, false).unwrap();
    client.checkpoint().unwrap();
    let data = set.data().cloned();
    server.lock().unwrap().forget_newest();
    server.lock().unwrap().release(90_000, &[(key(999), fields(0))], &[]);
    for _ in 0..9 {
        let error = client.sync(&mut set, false).unwrap_err();
        let Some(Unverifiable::Checkpoint(what)) = error.unverifiable() else { panic!("{error}") };
        assert!(matches!(**what, VerifyError::Equivocation { .. }), "{error}");
    }
    assert_eq!((set.data().cloned(), set.evidence().len()), (data, 1));
    let pair = &set.evidence()[0];
    assert_eq!(pair.kept.checkpoint.version(), pair.other.checkpoint.version());
    assert_eq!(pair.other.checkpoint, server.lock().unwrap().checkpoint());
    let back = SetClient::from_bytes(trust, SET, &set.to_bytes()).unwrap();
    assert_eq!(back.evidence(), set.evidence());
    assert!(client.checkpoint().unwrap_err().unverifiable().unwrap().is_equivocation());
    assert_eq!(client.evidence(), set.evidence());
}

#[test]
fn an_object_longer_than_any_honest_one_is_not_fetched() {
    // spec 3.8.12
    let (server, mut set): (_, SetClient) = one_behind();
    let limit = 4096 + 39 * (16 + 24) + 4 * 40;
    for (announced, told) in [(limit + 1, true), (limit, false), (u32::MAX, true)] {
        server.lock().unwrap().announced = Some(announced);
        server.lock().unwrap().asked.clear();
        let error = streaming(&server).sync(&mut set, false).unwrap_err();
        let fetched = server.lock().unwrap().asked.contains(&Operation::Fetch);
        match error.unverifiable() {
            Some(Unverifiable::Length { length, limit: most }) => {
                assert!(told && !fetched);
                assert_eq!((*length, *most), (u64::from(announced), u64::from(limit)));
            }
            Some(Unverifiable::Part { .. }) => assert!(!told && fetched),
            _ => panic!("{error}"),
        }
    }
    assert_eq!(set.version(), 1 << 32 | 1);
}

/// Syncs with the checkpoint of one server and the objects of another that made something else of it.
fn sync_with_liar<D: Data>(
    truth: &Mutex<Fake>,
    liar: &Mutex<Fake>,
    follower: &mut Follower<D>,
) -> ClientError {
    let carrier = MemoryStream::new(|question: &[u8]| {
        let lies = [Operation::Sync as u8, Operation::Fetch as u8].contains(&question[1]);
        let server = if lies { liar } else { truth };
        server.lock().unwrap().answer(question, true)
    });
    client_by(truth, carrier).sync(follower, false).unwrap_err()
}

#[test]
fn objects_that_are_sound_and_lead_elsewhere_are_not_taken_over() {
    // spec 3.7.1, 4.1.3
    let keys: Vec<_> = (0..20).map(|i| (key(i), fields(0))).collect();
    let made = |first: &[([u8; 16], Fields)], between_s| {
        let mut fake = Fake::new();
        fake.release(0, first, &[]);
        fake.release(between_s, &[], &[]);
        fake.release(1_800, &[], &[key(3)]);
        Mutex::new(fake)
    };
    let truth = made(&keys, 900);
    let mut other_key = keys.clone();
    other_key[7].0[15] ^= 1;
    let mut other_risk = keys.clone();
    other_risk[7].1.risk = 3;
    for (liar, set_differs, what) in [
        (made(&keys[1..], 900), Some("count"), "a key less"),
        (made(&other_key, 900), Some("root"), "another key"),
        (made(&other_risk, 900), Some("root"), "another risk"),
        (made(&keys, 901), None, "another checkpoint in the log"),
    ] {
        let trust = truth.lock().unwrap().trust();
        let (mut set, mut node) = (SetClient::new(trust.clone(), SET), HistoryClient::new(trust, SET));
        if let Some(field) = set_differs {
            let error = sync_with_liar(&truth, &liar, &mut set);
            assert!(matches!(error.unverifiable(), Some(Unverifiable::Mismatch(_))), "{what}: {error}");
            assert!(error.to_string().contains(field), "{what}: {error}");
        }
        let error = sync_with_liar(&truth, &liar, &mut node);
        assert!(matches!(error.unverifiable(), Some(Unverifiable::Mismatch(_))), "{what}: {error}");
        assert!(set.data().is_none() && node.data().is_none(), "{what}");
    }
}

#[test]
fn an_object_that_is_gone_is_asked_for_anew() {
    // spec 2.6.4
    let (server, mut set): (_, SetClient) = one_behind();
    let mut gone = 0;
    let carrier = MemoryStream::new(|question: &[u8]| {
        let mut question = question.to_vec();
        if question[1] == Operation::Fetch as u8 && gone < 2 {
            gone += 1;
            question[64] ^= 1;
        }
        server.lock().unwrap().answer(&question, true)
    });
    let report = client_by(&server, carrier).sync(&mut set, false).unwrap();
    assert_eq!((report.mode, report.to), (SyncMode::Delta, 1 << 32 | 3));
}

#[test]
fn a_refusal_changes_nothing_and_is_told_as_one() {
    let (server, mut set): (_, SetClient) = one_behind();
    let before = set.data().cloned();
    server.lock().unwrap().holding = Some((1, ResultCode::Refused, 0));
    let error = streaming(&server).sync(&mut set, false).unwrap_err();
    assert!(matches!(error, ClientError::Refused { operation: Operation::Sync, .. }), "{error}");
    assert_eq!(set.data().cloned(), before);
}

/// A path that loses, doubles, holds back and damages datagrams as `dice` say.
fn unsteady<'s>(
    server: &'s Mutex<Fake>,
    mut dice: impl FnMut(&mut [u8]) + Send + 's,
) -> MemoryDatagrams<impl FnMut(&[u8]) -> Vec<Vec<u8>>> {
    let mut late: Vec<Vec<u8>> = Vec::new();
    MemoryDatagrams::new(move |question: &[u8]| {
        let mut roll = [0; 5];
        dice(&mut roll);
        let mut arriving = Vec::new();
        if roll[0] >= 64 {
            arriving.extend(server.lock().unwrap().answer(question, false));
        }
        if roll[1] < 64 {
            arriving.extend(arriving.clone());
        }
        if roll[2] < 64 {
            late.append(&mut arriving);
        } else if roll[2] < 128 {
            arriving.append(&mut late);
        }
        if roll[3] < 32
            && let Some(datagram) = arriving.first_mut()
        {
            let at = usize::from(roll[4]) % datagram.len();
            datagram[at] ^= 0x10;
        }
        arriving
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lost_doubled_late_and_damaged_datagrams_cost_time_and_nothing_else(seed in any::<u64>()) {
        let (server, old) = one_behind::<crate::release::LiveSet>();
        let truth = server.lock().unwrap().live().entries().to_vec();
        let patience = Patience { datagrams_ms: 10_000_000, ..Patience::default() };
        let mut client = client_by(&server, unsteady(&server, random(seed))).with_patience(patience, 30);
        old_or_true(&mut client, &old, &truth, &format!("seed {seed}"));
    }

    #[test]
    fn whatever_bytes_come_instead_of_an_answer_nothing_is_taken_over(
        number in 0usize..4,
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        from in 0usize..600,
    ) {
        let (server, old) = one_behind::<crate::client::History>();
        let truth = server.lock().unwrap().history().to_vec();
        let mut client = client_with(&server, number, |answer| {
            answer.truncate(from);
            answer.extend_from_slice(&bytes);
            let length = answer.len() as u32;
            if let Some(field) = answer.get_mut(4..8) {
                field.copy_from_slice(&length.to_le_bytes());
            }
        });
        old_or_true(&mut client, &old, &truth, &format!("answer {number} cut at {from}"));
    }
}

#[test]
fn lost_datagrams_alone_never_stop_a_sync() {
    for seed in 0..20 {
        let (server, mut node): (_, HistoryClient) = one_behind();
        let mut dice = random(seed);
        let carrier = MemoryDatagrams::new(|question: &[u8]| {
            let mut roll = [0];
            dice(&mut roll);
            let answer = server.lock().unwrap().answer(question, false);
            answer.filter(|_| roll[0] >= 100).into_iter().collect()
        });
        let patience = Patience { datagrams_ms: 10_000_000, ..Patience::default() };
        client_by(&server, carrier).with_patience(patience, 30).sync(&mut node, false).unwrap();
        assert_eq!(node.data().unwrap().entries(), server.lock().unwrap().history(), "seed {seed}");
    }
}
