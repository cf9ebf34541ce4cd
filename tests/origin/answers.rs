//! What the gate answers: each operation, each refusal of the protocol, cookies, limits, flags, and that no
//! unproved question gets more than it brought.

use std::net::IpAddr;
use std::sync::Arc;

use tekd::engine::{
    Carrier, Cookies, DEFAULT_PARAMS, Gate, Limiter, Outcome, Params, Peer, Respond, Silence, Slot,
};
use tekd::release::{LogTree, Manifest, Schema, log_leaf_hash, verify_consistency, verify_inclusion};
use tekd::wire::layout::SealedQuestion;
use tekd::wire::question::{Bucket, Fetch, Notify, Proof, ProofKind, Sync};
use tekd::wire::{FLAG_DRAINING, FLAG_STALE, Key, Operation, QuestionBuilder, ResultCode};
use zerocopy::FromZeros;

use super::checks::Watcher;
use super::world::{Dice, NOON, PEER, World, day_start, imported, keys_of_day, seed};

/// 16-byte keys; 32-byte keys; no release yet; a set nobody made.
const SHORT: u32 = 1;
const LONG: u32 = 2;
const YOUNG: u32 = 3;
const NONE: u32 = 4;

struct Fixture {
    world: World,
    keys: Vec<Key>,
    long_keys: Vec<Key>,
}

/// An origin with `n` keys in set 1, three releases, and two more sets.
fn fixture(n: usize) -> Fixture {
    let mut world = World::new(NOON, 21);
    let mut dice = Dice::new(21);
    let quiet = Params { decoys: false, min_reports: 1, ..DEFAULT_PARAMS };
    world.create_set(LONG, Params { schema: Schema::Dp3t, ..quiet });
    let long = (0..40).map(|_| imported(dice.key(32), day_start(NOON, 2), 144)).collect::<Vec<_>>();
    world.import(LONG, long.clone());
    let short = keys_of_day(&mut dice, NOON, 2, n);
    world.import(SHORT, short.clone());
    for set in [SHORT, LONG, SHORT, SHORT] {
        world.release(set, true).expect("a release");
        world.pass(10);
        world.import(SHORT, keys_of_day(&mut dice, NOON, 3, 1));
    }
    world.create_set(YOUNG, quiet);
    let keys = |imported: &[tekd::engine::ImportedKey]| imported.iter().map(|k| k.key).collect();
    Fixture { keys: keys(&short), long_keys: keys(&long), world }
}

/// An answer, read at its offsets.
struct Got(Vec<u8>);

impl Got {
    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.0[at..at + 2].try_into().unwrap())
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    fn flags(&self) -> u16 {
        self.u16(2)
    }

    fn cookie(&self) -> u64 {
        self.u64(24)
    }

    fn result(&self) -> ResultCode {
        ResultCode::from_u16(self.u16(36)).expect("a known result")
    }

    fn wait(&self) -> u16 {
        self.u16(38)
    }

    fn version(&self) -> u64 {
        self.u64(40)
    }

    fn info(&self) -> u32 {
        self.u32(48)
    }

    fn body(&self) -> &[u8] {
        &self.0[64..]
    }
}

/// What every answer has in common with its question (spec 1.1.2, 1.3.3, 1.4.1).
fn checked(question: &[u8], answer: Vec<u8>) -> Got {
    let got = Got(answer);
    assert_eq!(got.u32(4) as usize, got.0.len());
    assert_eq!(got.0[1], question[1] | 0x80);
    assert_eq!(got.0[8..24], question[8..24], "service and transaction");
    if got.0[0] == 0x81 {
        assert_eq!(got.0[32..36], question[32..36], "set");
        if got.result() != ResultCode::Ok {
            assert_eq!(got.0.len(), 64, "{:?}", got.result());
            let detailed = [ResultCode::Critical, ResultCode::Truncated, ResultCode::Range];
            assert!(got.info() == 0 || detailed.contains(&got.result()));
        }
    }
    got
}

type Ask<'a> = &'a dyn Fn(&QuestionBuilder, &mut [u8]) -> usize;

impl Fixture {
    fn question(&mut self, set: u32, cookie: u64, pad_to: usize, ask: Ask<'_>) -> Vec<u8> {
        let q = QuestionBuilder { cookie, pad_to, ..self.world.question(set) };
        let mut out = vec![0; 4096];
        let n = ask(&q, &mut out);
        out.truncate(n);
        out
    }

    fn udp(&mut self, set: u32, cookie: u64, ask: Ask<'_>) -> Got {
        let question = self.question(set, cookie, 0, ask);
        checked(&question, self.world.udp(&question, PEER).expect("an answer"))
    }

    fn tls(&mut self, set: u32, ask: Ask<'_>) -> Got {
        let question = self.question(set, 0, 0, ask);
        checked(&question, self.world.tls(&question).expect("an answer"))
    }

    fn cookie(&mut self) -> u64 {
        self.udp(SHORT, 0, &info).cookie()
    }

    fn version(&self, set: u32) -> u64 {
        self.world.origin.state().version(self.world.set(set).serial())
    }
}

fn info(q: &QuestionBuilder, out: &mut [u8]) -> usize {
    q.info(out).unwrap()
}

fn checkpoint(q: &QuestionBuilder, out: &mut [u8]) -> usize {
    q.checkpoint(out).unwrap()
}

fn manifest(q: &QuestionBuilder, out: &mut [u8]) -> usize {
    q.manifest(out).unwrap()
}

fn sealed(q: &QuestionBuilder, out: &mut [u8]) -> usize {
    q.sealed(&SealedQuestion::new_zeroed(), out).unwrap()
}

fn notify(q: &QuestionBuilder, out: &mut [u8]) -> usize {
    q.notify(Notify { version: 1 }, out).unwrap()
}

fn lookup(keys: &[Key]) -> impl Fn(&QuestionBuilder, &mut [u8]) -> usize {
    move |q, out| q.lookup(keys, out).unwrap()
}

fn sync(version: u64, history: bool) -> impl Fn(&QuestionBuilder, &mut [u8]) -> usize {
    move |q, out| q.sync(Sync { version, history }, out).unwrap()
}

fn fetch(digest: [u8; 32], offset: u32, length: u32) -> impl Fn(&QuestionBuilder, &mut [u8]) -> usize {
    move |q, out| q.fetch(&Fetch { digest: &digest, offset, length }, out).unwrap()
}

fn bucket(prefix: [u8; 16], bits: u8, held: u8) -> impl Fn(&QuestionBuilder, &mut [u8]) -> usize {
    move |q, out| q.bucket(&Bucket { prefix: &prefix, bits, held }, out).unwrap()
}

fn proof(kind: ProofKind, first: u64, second: u64) -> impl Fn(&QuestionBuilder, &mut [u8]) -> usize {
    move |q, out| q.proof(Proof { kind, first, second }, out).unwrap()
}

fn start(key: &Key) -> [u8; 16] {
    key.as_bytes()[..16].try_into().unwrap()
}

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
    assert_eq!((unproved.result(), unproved.info() as usize), (ResultCode::Truncated, whole.0.len()));
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

#[test]
fn what_only_streams_carry_is_refused_on_udp() {
    // spec 1.5.5, 2.8, 2.9.5, 2.10
    let mut f = fixture(10);
    assert_eq!(f.udp(SHORT, 0, &manifest).result(), ResultCode::Transport);
    assert_eq!(f.udp(SHORT, 0, &notify).result(), ResultCode::Transport);
    let got = f.tls(SHORT, &manifest);
    assert_eq!((got.result(), got.body()), (ResultCode::Ok, f.world.set(SHORT).manifest()));
    assert_eq!(Manifest::parse_unverified(got.body()).unwrap().set, SHORT);
    assert_eq!(
        f.tls(YOUNG, &manifest).body(),
        f.world.set(YOUNG).manifest(),
        "also before its first release"
    );
    assert_eq!(f.tls(SHORT, &sealed).result(), ResultCode::Refused);
    assert_eq!(f.tls(SHORT, &notify).result(), ResultCode::Refused);
    for ask in [&manifest as Ask<'_>, &sealed, &notify] {
        assert_eq!(f.tls(NONE, ask).result(), ResultCode::Set);
    }
    // A SEALED frame that UDP could carry is TRANSPORT, not MALFORMED (1.4.3).
    let mut question = f.question(SHORT, 0, 0, &info);
    question[1] = Operation::Sealed as u8;
    assert_eq!(checked(&question, f.world.udp(&question, PEER).unwrap()).result(), ResultCode::Transport);
    assert_eq!(checked(&question, f.world.tls(&question).unwrap()).result(), ResultCode::Malformed);
}

#[test]
fn refusals_come_in_their_order() {
    // spec 1.4.3
    let mut f = fixture(10);
    let key = f.keys[0];
    let sound = f.question(NONE, 0, 0, &lookup(&[key]));
    let mut ask = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut question = sound.clone();
        change(&mut question);
        let len = question.len() as u32;
        question[4..8].copy_from_slice(&len.to_le_bytes());
        let udp = f.world.udp(&question, PEER).map(|a| checked(&question, a).result());
        assert_eq!(udp, f.world.tls(&question).map(|a| checked(&question, a).result()));
        udp
    };
    assert_eq!(ask(&|_| {}), Some(ResultCode::Set), "last: the set");
    assert_eq!(ask(&|q| q.extend([0x77, 0x80, 0, 0])), Some(ResultCode::Critical));
    assert_eq!(ask(&|q| q.extend([0x77, 0, 0, 0])), Some(ResultCode::Set), "unknown but not critical");
    assert_eq!(ask(&|q| q.extend([0x77, 0x80, 0, 0, 0])), Some(ResultCode::Malformed), "before CRITICAL");
    assert_eq!(
        ask(&|q| q.extend([0x77, 0x80, 0, 0, 1, 0, 0, 0])),
        Some(ResultCode::Malformed),
        "out of order"
    );
    assert_eq!(ask(&|q| q[38] = 0), Some(ResultCode::Malformed), "no slot");
    assert_eq!(ask(&|q| q[38] = 33), Some(ResultCode::Malformed), "too many");
    assert_eq!(ask(&|q| q.truncate(80)), Some(ResultCode::Malformed), "half a slot");
    assert_eq!(
        ask(&|q| {
            q[1] = 0x0f;
            q[38] = 0;
        }),
        Some(ResultCode::Operation),
        "before MALFORMED"
    );
    assert_eq!(
        ask(&|q| {
            q[0] = 0xbf;
            q[1] = 0x0f;
        }),
        Some(ResultCode::Version),
        "before OPERATION"
    );
    assert_eq!(ask(&|q| q[8] ^= 1), None, "before everything: another's service id");
    assert_eq!(ask(&|q| q[1] |= 0x80), None, "no answer to an answer");
    assert_eq!(ask(&|q| q[0] = 0x40), None);
    assert_eq!(ask(&|q| q.truncate(63)), None);
}

#[test]
fn another_version_is_told_ours() {
    // spec 1.1.6
    let mut f = fixture(10);
    let mut question = f.question(SHORT, 5, 200, &info);
    question[0] = 0x82;
    for answer in [f.world.udp(&question, PEER), f.world.tls(&question)] {
        let got = checked(&question, answer.unwrap());
        assert_eq!((got.0[0], got.0.len(), got.result()), (0x80, 64, ResultCode::Version));
        assert_eq!(got.0[48..], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((got.flags(), got.cookie(), got.u32(32), got.version()), (0, 0, 0, 0));
    }
}

#[test]
fn silence_has_its_reasons() {
    // spec 1.1.4, 1.1.5
    let mut f = fixture(10);
    let sound = f.question(SHORT, 0, 0, &info);
    let silent = |f: &mut Fixture, question: &[u8], peer: Peer| {
        let before: Vec<u64> = f.world.counters.silent().map(|(_, n)| n).collect();
        assert_eq!(f.world.udp(question, peer), None);
        let mut grown = f.world.counters.silent().zip(before).filter(|((_, n), old)| n > old);
        let ((reason, _), _) = grown.next().expect("one counter grows");
        assert!(grown.next().is_none());
        reason
    };
    let with = |at: usize, byte: u8| {
        let mut question = sound.clone();
        question[at] = byte;
        question
    };
    assert_eq!(silent(&mut f, &sound[..63], PEER), Silence::Length);
    assert_eq!(silent(&mut f, &with(4, 65), PEER), Silence::Length);
    assert_eq!(silent(&mut f, &[&sound[..], &[0]].concat(), PEER), Silence::Length);
    assert_eq!(silent(&mut f, &with(0, 0xc0), PEER), Silence::FirstByte);
    assert_eq!(silent(&mut f, &with(9, sound[9] ^ 4), PEER), Silence::Service);
    assert_eq!(silent(&mut f, &with(1, 0x81), PEER), Silence::Reply);
    for address in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "::", "ff02::1", "::ffff:224.0.0.1"] {
        let peer = Peer { ip: address.parse().unwrap(), ..PEER };
        assert_eq!(silent(&mut f, &sound, peer), Silence::Source, "{address}");
    }
    assert_eq!(silent(&mut f, &sound, Peer { port: 0, ..PEER }), Silence::Source);
    let mut long = sound.clone();
    long.extend([1, 0, 0, 0].repeat(300));
    let len = long.len() as u32;
    long[4..8].copy_from_slice(&len.to_le_bytes());
    assert_eq!(silent(&mut f, &long, PEER), Silence::Length, "longer than a datagram");
}

#[test]
fn a_cookie_proves_an_address_for_an_hour_and_its_neighbours() {
    // spec 1.6
    let mut f = fixture(10);
    let cookie = f.cookie();
    assert_eq!(f.udp(SHORT, cookie, &checkpoint).cookie(), 0, "a present cookie needs no other");
    // All devices behind one address have the same one, whatever the port.
    let question = f.question(SHORT, cookie, 0, &checkpoint);
    let result = |f: &mut Fixture, ip: &str, port: u16| {
        let peer = Peer { ip: ip.parse().unwrap(), port, carrier: Carrier::Udp };
        checked(&question, f.world.udp(&question, peer).unwrap()).result()
    };
    assert_eq!(result(&mut f, "192.0.2.1", 9), ResultCode::Ok);
    assert_eq!(result(&mut f, "::ffff:192.0.2.1", 9), ResultCode::Ok, "mapped");
    assert_eq!(result(&mut f, "192.0.2.2", 9), ResultCode::Truncated, "of another address");
    f.world.pass(3600);
    let next_hour = f.udp(SHORT, cookie, &checkpoint);
    assert_eq!(next_hour.result(), ResultCode::Ok);
    assert!(next_hour.cookie() != 0 && next_hour.cookie() != cookie, "time for a new one");
    f.world.pass(3600);
    assert_eq!(
        f.udp(SHORT, cookie, &checkpoint).result(),
        ResultCode::Truncated,
        "wrong is unproved (1.6.5)"
    );
    assert_eq!(f.udp(SHORT, 1, &info).result(), ResultCode::Ok);
    // A clock an hour behind its neighbour's accepts the neighbour's.
    let ahead = f.cookie();
    f.world.now.unix -= 3600;
    assert_eq!(f.udp(SHORT, ahead, &checkpoint).result(), ResultCode::Ok);
    let counts = f.world.counters.cookies();
    assert!(counts.iter().all(|(_, n)| *n > 0), "{counts:?}");
}

#[test]
fn who_asks_too_much_without_proof_is_told_to_bring_a_cookie() {
    // spec 1.4: COOKIE
    let f = fixture(10);
    let service = f.world.origin.identity().service_id;
    let limiter = Arc::new(Limiter::new(6400, [3; 16]));
    let mut gate = Gate::new(
        Arc::clone(&f.world.view),
        Cookies::new([7; 32], service),
        Some(limiter),
        Arc::clone(&f.world.counters),
    );
    let mut ask = |cookie: u64| {
        let q = QuestionBuilder { cookie, ..QuestionBuilder::new(service, SHORT, 5) };
        let (mut question, mut out) = ([0; 64], [0; 1232]);
        q.info(&mut question).unwrap();
        let mut slots = [Slot::new(&question, PEER, &mut out)];
        gate.respond(f.world.now, &mut slots);
        match slots[0].outcome {
            Outcome::Respond(n) => Some(checked(&question, out[..n].to_vec())),
            _ => None,
        }
    };
    let answers: Vec<Option<Got>> = (0..1000).map(|_| ask(0)).collect();
    let ok = |a: &&Option<Got>| a.as_ref().is_some_and(|g| g.result() == ResultCode::Ok);
    assert_eq!(answers.iter().filter(ok).count(), 250, "2.5 s of 6400 bytes per second in 64");
    let slips: Vec<&Got> = answers.iter().flatten().filter(|g| g.result() == ResultCode::Cookie).collect();
    assert_eq!(slips.len(), 375, "every second one is told");
    let cookie = slips[0].cookie();
    assert_eq!(ask(cookie).map(|g| g.result()), Some(ResultCode::Ok), "who comes with it is answered");
    assert_eq!(f.world.counters.slipped(), 375);
}

#[test]
fn flags_tell_who_leaves_and_what_is_old() {
    // spec 1.1.7
    let mut f = fixture(10);
    assert_eq!(f.udp(SHORT, 0, &info).flags(), 0);
    let view = f.world.view.load();
    let fresh_until = view.set(SHORT).unwrap().release.as_ref().unwrap().checkpoint.fresh_until();
    f.world.now.unix = fresh_until;
    assert_eq!(f.udp(SHORT, 0, &info).flags(), 0);
    f.world.now.unix = fresh_until + 1;
    assert_eq!(f.udp(SHORT, 0, &info).flags(), FLAG_STALE);
    assert_eq!(f.udp(YOUNG, 0, &info).flags(), 0, "what is not there is not old");
    view.set_draining(true);
    assert_eq!(f.tls(SHORT, &checkpoint).flags(), FLAG_STALE | FLAG_DRAINING);
}

#[test]
fn no_unproved_question_gets_more_than_it_brought() {
    // spec 1.3.4; the assertion is where the world sends the answer off
    let mut f = fixture(300);
    let (keys, long) = (f.keys.clone(), f.long_keys.clone());
    let newest = f.version(SHORT);
    let digest: [u8; 32] = {
        let cookie = f.cookie();
        f.udp(SHORT, cookie, &sync(0, false)).body()[24..56].try_into().unwrap()
    };
    let (one, many, longs) = (lookup(&keys[..1]), lookup(&keys[..32]), lookup(&long[..24]));
    let (current, held, nodes) = (sync(newest, false), sync(newest - 1, false), sync(0, true));
    let (object, gone) = (fetch(digest, 0, u32::MAX), fetch([1; 32], 0, 1));
    let (all, leaf) = (bucket([0; 16], 0, 0), bucket(start(&keys[0]), 6, 2));
    let included = proof(ProofKind::Inclusion, 0, 2);
    let asks: [Ask<'_>; 15] = [
        &info,
        &checkpoint,
        &one,
        &many,
        &longs,
        &current,
        &held,
        &nodes,
        &object,
        &gone,
        &all,
        &leaf,
        &included,
        &manifest,
        &notify,
    ];
    for ask in asks {
        for set in [SHORT, LONG, YOUNG, NONE] {
            for pad_to in (64..=1232).step_by(4) {
                let question = f.question(set, 0, pad_to, ask);
                let answer = f.world.udp(&question, PEER).expect("a sound question is answered");
                assert!(checked(&question, answer).0.len() <= question.len());
            }
        }
    }
}

#[test]
fn whatever_arrives_the_gate_keeps_its_rules() {
    let mut f = fixture(300);
    let mut dice = Dice::new(seed());
    let service = f.world.origin.identity().service_id;
    let cookie = f.cookie();
    let watcher = Watcher::new(&f.world, SHORT);
    let digest = watcher.sync(&mut f.world, 0, false)[0].digest;
    let mut results = std::collections::BTreeMap::new();
    for _ in 0..60_000 {
        let len = 64 + dice.below(1169);
        let mut question: Vec<u8> = (0..len).map(|_| dice.pick(&[0, 0, 0, 1, 2, 32, 255])).collect();
        question[0] = dice.pick(&[0x81, 0x81, 0x81, 0x82, 0x80]);
        question[1] = dice.below(13) as u8;
        question[4..8].copy_from_slice(&(len as u32).to_le_bytes());
        question[8..16].copy_from_slice(&service);
        question[32..36].copy_from_slice(&(dice.below(5) as u32).to_le_bytes());
        if dice.one_in(3) {
            question[24..32].copy_from_slice(&cookie.to_le_bytes());
        }
        if question[1] == 7 && dice.one_in(2) {
            question[48..64].fill(0);
            (question[48], question[56]) = (dice.below(3) as u8, dice.below(4) as u8);
        }
        if dice.one_in(2) && len >= 96 {
            question[64..96].copy_from_slice(&digest);
        }
        if dice.one_in(2) {
            // One TLV that fills the frame, so that what is before it is read.
            let body = match question[1] {
                3 => 64 + 32 * usize::from(question[38]),
                6 => 96,
                _ => 64,
            };
            question.truncate(body.max(64));
            question.resize(body, 0);
            let len = question.len() as u32;
            question[4..8].copy_from_slice(&len.to_le_bytes());
        }
        let peer = Peer { ip: IpAddr::from([192, 0, 2, dice.pick(&[1, 1, 2])]), ..PEER };
        if let Some(answer) = f.world.udp(&question, peer) {
            let got = checked(&question, answer);
            *results.entry((question[1], got.u16(36))).or_insert(0) += 1;
        }
        if let Some(answer) = f.world.tls(&question) {
            checked(&question, answer);
        }
    }
    println!("{results:?}");
    for operation in [1, 2, 3, 4, 5, 6, 7] {
        assert!(results.contains_key(&(operation, 0)), "{operation} was never answered");
    }
}
