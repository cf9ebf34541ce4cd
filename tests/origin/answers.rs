//! What the gate answers: each operation, each refusal of the protocol, cookies, limits, flags, and that no
//! unproved question gets more than it brought.

use tekd::release::{LogTree, log_leaf_hash, verify_consistency, verify_inclusion};
use tekd::wire::question::ProofKind;
use tekd::wire::{Key, ResultCode};

use super::asking::*;
use super::world::{NOON, PEER, day_start, imported};

#[test]
fn info_says_version_node_and_time_and_gives_a_cookie() {
    // spec 2.1
    let mut f = fixture(100);
    let got = f.udp(SHORT, 0, &info);
    assert_eq!((got.result(), got.0.len(), got.version()), (ResultCode::Ok, 64, f.version(SHORT)));
    assert_eq!((got.u32(48), got.0[52], got.0[53]), (1, 1, 1), "node, least and newest protocol version");
    assert_eq!(got.u64(56), f.world.set(SHORT).time());
    assert_ne!(got.cookie(), 0);
    assert!(got.wait() > 0 && got.wait() <= 900, "until the next border: {}", got.wait());
    assert_eq!(f.tls(SHORT, &info).cookie(), 0, "no cookie on a stream (1.6.4)");
    let young = f.udp(YOUNG, 0, &info);
    assert_eq!((young.result(), young.version(), young.u64(56)), (ResultCode::Ok, 0, 0), "2.1.2");
    assert_eq!(f.udp(NONE, 0, &info).result(), ResultCode::Set);
}

#[test]
fn a_checkpoint_fits_a_datagram_for_who_pays_or_has_proved() {
    // spec 2.2, 1.3.5
    let mut f = fixture(100);
    let short = f.udp(SHORT, 0, &checkpoint);
    assert_eq!((short.result(), short.0.len()), (ResultCode::Truncated, 64));
    assert_ne!(short.cookie(), 0, "a fresh cookie comes with it");
    let full = f.udp(SHORT, short.cookie(), &checkpoint);
    assert_eq!((full.result(), full.version()), (ResultCode::Ok, f.version(SHORT)));
    assert_eq!(full.0.len(), short.info() as usize, "the detail was its length");
    assert_eq!(full.0.len(), 64 + 208 + 80 + 80 + 80, "one signature each");
    let padded = f.question(SHORT, 0, 1232, &checkpoint);
    let padded = checked(&padded, f.world.udp(&padded, PEER).unwrap());
    assert_eq!(padded.body(), full.body());
    assert_eq!(f.tls(SHORT, &checkpoint).body(), full.body());
    assert_eq!(f.udp(YOUNG, 0, &checkpoint).result(), ResultCode::Unavailable);
}

#[test]
fn lookup_answers_in_place() {
    // spec 2.3
    let mut f = fixture(100);
    let keys: Vec<Key> = f.keys[..32].to_vec();
    let got = f.udp(SHORT, 0, &lookup(&keys));
    assert_eq!((got.result(), got.body().len()), (ResultCode::Ok, 32 * 32));
    for (slot, key) in got.body().chunks_exact(32).zip(&keys) {
        assert_eq!((&slot[..16], slot[28]), (key.as_bytes(), 1));
    }
    let long: Vec<Key> = f.long_keys[..24].to_vec();
    let got = f.udp(LONG, 0, &lookup(&long));
    assert_eq!((got.result(), got.body().len()), (ResultCode::Ok, 24 * 48));
    assert!(got.body().chunks_exact(48).all(|slot| slot[44] == 1));
    assert_eq!(f.udp(SHORT, 0, &lookup(&long)).result(), ResultCode::Set, "of another length");
    assert_eq!(f.udp(LONG, 0, &lookup(&keys)).result(), ResultCode::Set);
    assert_eq!(f.udp(YOUNG, 0, &lookup(&keys)).result(), ResultCode::Unavailable);
    // A client may want less than that.
    let mut question = f.question(SHORT, 0, 0, &lookup(&keys[..1]));
    question[36..38].copy_from_slice(&64u16.to_le_bytes());
    let got = checked(&question, f.world.udp(&question, PEER).unwrap());
    assert_eq!((got.result(), got.info()), (ResultCode::Truncated, 96));
}

#[test]
fn buckets_have_their_range_and_their_padding() {
    // spec 2.4
    let mut f = fixture(40_000);
    let cookie = f.cookie();
    let key = f.keys[7];
    let depth = 13;
    let whole = f.udp(SHORT, cookie, &bucket(start(&key), depth, 0));
    assert_eq!((whole.result(), &whole.body()[..3]), (ResultCode::Ok, &[depth, depth, 0][..]));
    let entries = whole.u32(68) as usize;
    assert_eq!(whole.body().len(), 8 + entries * 24 + 13 * 32, "not padded on UDP");
    assert!(whole.body()[8..8 + entries * 24].chunks_exact(24).any(|e| &e[..16] == key.as_bytes()));
    let unproved = f.udp(SHORT, 0, &bucket(start(&key), depth, 0));
    assert_eq!(unproved.result(), ResultCode::Truncated);
    assert!((65..=whole.0.len()).contains(&(unproved.info() as usize)), "a length it has at least (1.4)");
    let wide = f.udp(SHORT, cookie, &bucket(start(&key), 1, 0));
    assert_eq!(wide.result(), ResultCode::Truncated, "try a stream");
    for bits in 1..depth {
        let got = f.tls(SHORT, &bucket(start(&key), bits, 0));
        assert_eq!(got.result(), ResultCode::Ok);
        assert!(got.0.len().is_multiple_of(8192), "{} at {bits}", got.0.len());
    }
    let leaf = f.tls(SHORT, &bucket(start(&key), depth, depth));
    assert_eq!(leaf.body().len(), 8 + entries * 24, "one leaf is not padded, who holds all gets no path");
    for bits in [0, depth + 1, 32, 33, 200] {
        let got = f.tls(SHORT, &bucket(start(&key), bits, 0));
        assert_eq!((got.result(), got.info()), (ResultCode::Range, u32::from(depth)), "{bits}");
    }
    let mut question = f.question(SHORT, 0, 0, &bucket(start(&key), 5, 5));
    question[38] = 6;
    assert_eq!(checked(&question, f.world.tls(&question).unwrap()).result(), ResultCode::Malformed);
    assert_eq!(f.tls(YOUNG, &bucket([0; 16], 0, 0)).result(), ResultCode::Unavailable);
}

#[test]
fn entries_that_were_withdrawn_are_looked_at_up_to_a_number() {
    // spec 2.4.6
    let mut f = fixture(10);
    let alike = |n: u16| Key::from_slice(&[&[0; 14][..], &n.to_be_bytes()].concat()).unwrap();
    let keys: Vec<Key> = (0..1026).map(alike).collect();
    f.world.import(SHORT, keys.iter().map(|key| imported(*key, day_start(NOON, 2), 144)).collect());
    f.world.release(SHORT, true).expect("a release");
    let ask = |f: &mut Fixture| {
        let cookie = f.cookie();
        let depth = f.tls(SHORT, &bucket([0; 16], 200, 0)).info() as u8;
        let asked = bucket([0; 16], depth, depth);
        (f.udp(SHORT, cookie, &asked).result(), f.tls(SHORT, &asked).u32(68))
    };
    assert_eq!(ask(&mut f), (ResultCode::Truncated, 1026));
    for key in &keys[..1020] {
        f.world.withdraw(SHORT, *key, false).expect("a withdrawal");
    }
    f.world.release(SHORT, true).expect("a release");
    let (udp, on_stream) = ask(&mut f);
    assert_eq!(udp, ResultCode::Truncated, "six would fit, behind as many as are not looked at");
    assert!((6..20).contains(&on_stream), "{on_stream}");
}

#[test]
fn sync_offers_what_is_made_and_remembers_what_is_not() {
    // spec 2.5
    let mut f = fixture(200);
    let newest = f.version(SHORT);
    let current = f.udp(SHORT, 0, &sync(newest, false));
    assert_eq!((current.result(), current.version(), current.0.len()), (ResultCode::Ok, newest, 64));
    assert_eq!(current.0[48], 0, "no objects: current");
    assert_eq!(f.udp(SHORT, 0, &sync(newest, true)).0[48], 0);
    let cookie = f.cookie();
    let full = f.udp(SHORT, cookie, &sync(0, false));
    assert_eq!((full.result(), full.0[48], full.body().len()), (ResultCode::Ok, 1, 56));
    assert_eq!((full.u64(64), full.u64(72), full.0[84]), (0, newest, 1), "from nothing, live");
    assert_eq!(full.wait(), 0, "there is something to fetch now");
    let unproved = f.udp(SHORT, 0, &sync(0, false));
    assert_eq!((unproved.result(), unproved.info()), (ResultCode::Truncated, 120));
    let delta = f.udp(SHORT, cookie, &sync(newest - 1, false));
    assert_eq!((delta.u64(64), delta.u64(72)), (newest - 1, newest));
    for unknown in [newest + 1, 7, newest + (1 << 32), u64::MAX] {
        let got = f.udp(SHORT, cookie, &sync(unknown, false));
        assert_eq!(got.body(), full.body(), "2.5.5: {unknown:#x}");
    }
    // A history is not made before a node asks.
    let pending = f.udp(SHORT, 0, &sync(newest - 2, true));
    assert_eq!((pending.result(), pending.wait()), (ResultCode::Pending, 1));
    assert_eq!(f.world.builder.grant_wishes().unwrap(), 1);
    let got = f.udp(SHORT, cookie, &sync(newest - 2, true));
    assert_eq!((got.result(), got.0[84]), (ResultCode::Ok, 2));
    assert_eq!(f.udp(YOUNG, 0, &sync(0, false)).result(), ResultCode::Unavailable);
}

#[test]
fn fetch_gives_ranges_of_what_there_is() {
    // spec 2.6
    let mut f = fixture(40_000);
    let cookie = f.cookie();
    let full = f.udp(SHORT, cookie, &sync(0, false));
    let digest: [u8; 32] = full.body()[24..56].try_into().unwrap();
    let total = full.u32(80);
    assert!(total > 262_144);
    let whole = f.tls(SHORT, &fetch(digest, 0, u32::MAX));
    assert_eq!((whole.result(), whole.version(), whole.wait()), (ResultCode::Ok, 0, 0));
    assert_eq!((whole.u32(48), whole.u32(52), whole.u32(56)), (0, total, total));
    let part = f.tls(SHORT, &fetch(digest, 100, 50));
    assert_eq!((part.u32(48), part.u32(52), part.u32(56)), (100, total, 50));
    assert_eq!(part.body(), &whole.body()[100..150]);
    let end = f.tls(SHORT, &fetch(digest, total - 1, 50));
    assert_eq!((end.u32(56), end.body()), (1, &whole.body()[whole.body().len() - 1..]));
    assert_eq!(f.tls(SHORT, &fetch(digest, 5, 0)).body(), b"");
    let beyond = f.tls(SHORT, &fetch(digest, total, 1));
    assert_eq!((beyond.result(), beyond.info()), (ResultCode::Range, total));
    assert_eq!(f.tls(SHORT, &fetch([9; 32], 0, 1)).result(), ResultCode::Gone);
    assert_eq!(f.udp(SHORT, cookie, &fetch(digest, 0, 1)).result(), ResultCode::Transport, "2.6.3");
    // A small object on UDP: as much as fits, and as much as was paid for.
    let delta = f.udp(SHORT, cookie, &sync(f.version(SHORT) - 1, false));
    let digest: [u8; 32] = delta.body()[24..56].try_into().unwrap();
    let got = f.udp(SHORT, 0, &fetch(digest, 0, 1000));
    assert_eq!((got.result(), got.0.len(), got.u32(56)), (ResultCode::Ok, 96, 32), "as long as the question");
    let proved = f.udp(SHORT, cookie, &fetch(digest, 0, 1000));
    assert_eq!(proved.u32(56), proved.u32(52).min(1000));
    let mut question = f.question(SHORT, 0, 0, &fetch(digest, 0, 1000));
    question[36..38].copy_from_slice(&64u16.to_le_bytes());
    assert_eq!(checked(&question, f.world.udp(&question, PEER).unwrap()).result(), ResultCode::Truncated);
}

#[test]
fn proofs_are_those_of_the_log() {
    // spec 2.7
    let mut f = fixture(10);
    for _ in 0..9 {
        f.world.release(SHORT, true).unwrap();
    }
    let published: Vec<[u8; 32]> = f
        .world
        .records(1)
        .iter()
        .filter_map(|r| match super::world::event(r) {
            tekd::engine::Event::Published(p) if p.set == SHORT => Some(log_leaf_hash(&p.checkpoint)),
            _ => None,
        })
        .collect();
    let size = published.len() as u64 - 1;
    let root = |size: u64| {
        let mut log = LogTree::new();
        published[..size as usize].iter().for_each(|leaf| log.push(*leaf));
        log.root()
    };
    let hashes = |got: &Got| -> Vec<[u8; 32]> {
        assert_eq!(usize::from(got.0[48]) * 32, got.body().len());
        got.body().chunks_exact(32).map(|h| h.try_into().unwrap()).collect()
    };
    for newer in 0..=size {
        for older in 0..=newer {
            let got = f.tls(SHORT, &proof(ProofKind::Consistency, older, newer));
            assert_eq!(got.result(), ResultCode::Ok, "{older} {newer}");
            assert!(verify_consistency(older, newer, &root(older), &root(newer), &hashes(&got)));
            let got = f.tls(SHORT, &proof(ProofKind::Inclusion, older, newer));
            if older == newer {
                assert_eq!((got.result(), got.info()), (ResultCode::Range, size as u32));
                continue;
            }
            let leaf = &published[older as usize];
            assert!(verify_inclusion(leaf, older, newer, &hashes(&got), &root(newer)));
        }
    }
    for (kind, first, second) in [
        (ProofKind::Consistency, 0, size + 1),
        (ProofKind::Consistency, 3, 2),
        (ProofKind::Inclusion, 0, size + 1),
        (ProofKind::Inclusion, u64::MAX, u64::MAX),
    ] {
        let got = f.tls(SHORT, &proof(kind, first, second));
        assert_eq!((got.result(), got.info()), (ResultCode::Range, size as u32), "{first} {second}");
    }
    let mut question = f.question(SHORT, 0, 0, &proof(ProofKind::Inclusion, 0, 1));
    question[38] = 2;
    assert_eq!(checked(&question, f.world.tls(&question).unwrap()).result(), ResultCode::Malformed);
    assert_eq!(f.tls(YOUNG, &proof(ProofKind::Inclusion, 0, 1)).result(), ResultCode::Unavailable);
}
