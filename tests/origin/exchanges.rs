//! `protocol-spec/vectors/exchange.json`: questions to a small set and the answers a server must give, to the byte.
//!
//! The test lives the same short life each time and compares; `TEKD_WRITE_VECTORS=1` writes the file anew.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tekd::engine::ParamsChange;
use tekd::release::delta::Header;
use tekd::wire::layout::SealedQuestion;
use tekd::wire::question::{Bucket, Fetch, Notify, Proof, ProofKind, Sync};
use tekd::wire::{Answer, Expected, Key, Operation, QuestionBuilder, parse_answer};
use zerocopy::FromBytes;

use super::checks::Watcher;
use super::world::{Dice, NOON, PEER, World, keys_of_day};

const SET: u32 = 1;
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/protocol-spec/vectors/exchange.json");
const ABOUT: [&str; 12] = [
    "Questions to one small set and the answers a server must give, byte for byte. Binary values are in hex.",
    "trust: what a client of the service is configured with (3.5.3).",
    "set, schema: the set and the name of its schema. now: Unix time of all exchanges.",
    "checkpoint: the body of a CHECKPOINT answer (2.2.1), which verifies under trust.",
    "manifest: the manifest that the checkpoint names (3.6).",
    "live: all public entries of the newest version in key order. They give the checkpoint's count and root.",
    "history: all its history entries (3.1.4). They give the history digest.",
    "objects: what SYNC names, kind 1 live or 2 history, with version `from` 0 for nothing.",
    "cookie: the cookie of the client's address at that time, by 1.6.3 with a secret of 32 bytes 07 and 192.0.2.1.",
    "exchanges: transport `udp` or `stream`; clauses that the answer follows; question and answer, whole frames.",
    "Before each exchange the server has made what earlier ones asked for and were told to wait for (PENDING).",
    "A client checks that each answer is one to its question, and what is proved in it against the checkpoint.",
];

struct Recorder {
    world: World,
    exchanges: Vec<Value>,
}

impl Recorder {
    /// Records one exchange; the answer.
    fn take(
        &mut self,
        name: &str,
        clauses: &[&str],
        stream: bool,
        ask: impl FnOnce(&QuestionBuilder, &mut [u8]) -> usize,
    ) -> Vec<u8> {
        let q = self.world.question(SET);
        let mut question = vec![0; 4096];
        let n = ask(&q, &mut question);
        question.truncate(n);
        self.frame(name, clauses, stream, &question)
    }

    fn frame(&mut self, name: &str, clauses: &[&str], stream: bool, question: &[u8]) -> Vec<u8> {
        let answer = if stream { self.world.tls(question) } else { self.world.udp(question, PEER) };
        let answer = answer.expect("an answer");
        if let Some(operation) = Operation::from_u8(question[1]) {
            let expected = Expected {
                service: question[8..16].try_into().unwrap(),
                txid: u64::from_le_bytes(question[16..24].try_into().unwrap()),
                set: u32::from_le_bytes(question[32..36].try_into().unwrap()),
                operation,
            };
            parse_answer(&answer, &expected, stream).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        self.exchanges.push(json!({
            "name": name,
            "clauses": clauses,
            "transport": if stream { "stream" } else { "udp" },
            "question": hex::encode(question),
            "answer": hex::encode(&answer),
        }));
        self.world.builder.grant_wishes().expect("objects");
        answer
    }
}

/// Three releases: thirty keys; ten more, and two withdrawn; nothing.
fn life() -> (World, Vec<Key>) {
    let mut world = World::new(NOON, 2026);
    let mut dice = Dice::new(2026);
    let change = ParamsChange { decoys: Some(false), min_reports: Some(1), ..ParamsChange::default() };
    world.configure(SET, change);
    let first = keys_of_day(&mut dice, NOON, 2, 30);
    world.import(SET, first.clone());
    world.tick_to(SET, NOON + 900);
    world.import(SET, keys_of_day(&mut dice, NOON, 5, 10));
    world.withdraw(SET, first[4].key, false).unwrap();
    world.withdraw(SET, first[9].key, false).unwrap();
    world.tick_to(SET, NOON + 1800);
    world.tick_to(SET, NOON + 2700);
    world.pass(60);
    (world, first.iter().map(|k| k.key).collect())
}

fn questions(r: &mut Recorder, keys: &[Key], cookie: u64, digests: &[[u8; 32]]) {
    let version = r.world.origin.state().version(r.world.set(SET).serial());
    let proved = |q: &QuestionBuilder| QuestionBuilder { cookie, ..*q };
    let prefix: [u8; 16] = keys[0].as_bytes().try_into().unwrap();
    r.take("INFO", &["2.1.1", "1.6.4"], false, |q, out| q.info(out).unwrap());
    r.take("INFO on a stream", &["2.1.1", "1.6.4"], true, |q, out| q.info(out).unwrap());
    r.take("a checkpoint does not fit an unproved question", &["1.3.5"], false, |q, out| {
        q.checkpoint(out).unwrap()
    });
    r.take("CHECKPOINT with a cookie", &["2.2.1", "1.6.1"], false, |q, out| {
        proved(q).checkpoint(out).unwrap()
    });
    r.take("CHECKPOINT with padding", &["2.2.1", "1.2.4"], false, |q, out| {
        QuestionBuilder { pad_to: 1232, ..*q }.checkpoint(out).unwrap()
    });
    let gone = keys[4];
    r.take("LOOKUP of a live key", &["2.3.2"], false, |q, out| q.lookup(&keys[..1], out).unwrap());
    r.take("LOOKUP of a live key, a withdrawn one and one that never was", &["2.3.2"], false, |q, out| {
        let unknown = Key::from_slice(&[0x5a; 16]).unwrap();
        q.lookup(&[keys[1], gone, unknown], out).unwrap()
    });
    r.take("LOOKUP of keys of another length", &["2.3.1"], false, |q, out| {
        q.lookup(&[Key::from_slice(&[1; 32]).unwrap()], out).unwrap()
    });
    for (name, bits, held) in
        [("BUCKET, one leaf", 3, 0), ("BUCKET, one leaf, for who holds two levels", 3, 2)]
    {
        r.take(name, &["2.4.3", "2.4.4"], false, |q, out| {
            proved(q).bucket(&Bucket { prefix: &prefix, bits, held }, out).unwrap()
        });
    }
    r.take("BUCKET of half the set, padded", &["2.4.3", "2.4.5"], true, |q, out| {
        q.bucket(&Bucket { prefix: &prefix, bits: 1, held: 0 }, out).unwrap()
    });
    r.take("BUCKET of the whole set", &["2.4.3", "2.4.5"], true, |q, out| {
        q.bucket(&Bucket { prefix: &[0; 16], bits: 0, held: 0 }, out).unwrap()
    });
    r.take("BUCKET below the leaves", &["2.4.2"], true, |q, out| {
        q.bucket(&Bucket { prefix: &prefix, bits: 4, held: 0 }, out).unwrap()
    });
    for (name, held, history) in [
        ("SYNC, current", version, false),
        ("SYNC from nothing", 0, false),
        ("SYNC, one release behind", version - 1, false),
        ("SYNC from a version that is not known", version + 5, false),
        ("SYNC of a node from nothing: being made", 0, true),
        ("SYNC of a node from nothing", 0, true),
        ("SYNC of a node, two releases behind: being made", version - 2, true),
        ("SYNC of a node, two releases behind", version - 2, true),
    ] {
        r.take(name, &["2.5"], false, |q, out| proved(q).sync(Sync { version: held, history }, out).unwrap());
    }
    for (i, digest) in digests.iter().enumerate() {
        r.take(&format!("FETCH object {i}"), &["2.6.1"], true, |q, out| {
            q.fetch(&Fetch { digest, offset: 0, length: u32::MAX }, out).unwrap()
        });
    }
    let digest = &digests[0];
    r.take("FETCH gives an unproved question as much as it brought", &["2.6.2", "1.3.4"], false, |q, out| {
        q.fetch(&Fetch { digest, offset: 16, length: 1000 }, out).unwrap()
    });
    r.take("FETCH beyond the end", &["2.6.2"], false, |q, out| {
        q.fetch(&Fetch { digest, offset: 1 << 20, length: 1 }, out).unwrap()
    });
    r.take("FETCH of what is not held", &["2.6.2"], false, |q, out| {
        q.fetch(&Fetch { digest: &[0xee; 32], offset: 0, length: 1 }, out).unwrap()
    });
    for (name, kind, first, second) in [
        ("PROOF that the first checkpoint is in the log", ProofKind::Inclusion, 0, 2),
        ("PROOF that the log only grew", ProofKind::Consistency, 1, 2),
        ("PROOF about a log that is longer than there is", ProofKind::Consistency, 1, 3),
    ] {
        r.take(name, &["2.7"], true, |q, out| q.proof(Proof { kind, first, second }, out).unwrap());
    }
    r.take("MANIFEST", &["2.8.1"], true, |q, out| q.manifest(out).unwrap());
    r.take("MANIFEST on UDP", &["1.5.5"], false, |q, out| q.manifest(out).unwrap());
    r.take("SEALED, not opened here", &["2.9.5"], true, |q, out| {
        let sealed = SealedQuestion::read_from_bytes(&[0; 4032]).unwrap();
        q.sealed(&sealed, out).unwrap()
    });
    r.take("NOTIFY, not listened to", &["2.10.1"], true, |q, out| {
        q.notify(Notify { version: version + 1 }, out).unwrap()
    });
    let mut info = vec![0; 64];
    r.world.question(SET).info(&mut info).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut question = info.clone();
        change(&mut question);
        let len = question.len() as u32;
        question[4..8].copy_from_slice(&len.to_le_bytes());
        question
    };
    r.frame("another version", &["1.1.6"], false, &with(&|q| q[0] = 0x82));
    r.frame("a greased operation", &["2.0.1"], false, &with(&|q| q[1] = 0x2f));
    r.frame("a set that is not there", &["1.4"], false, &with(&|q| q[32] = 9));
    r.frame("an unknown critical TLV", &["1.2.3"], false, &with(&|q| q.extend([0x42, 0x80, 0, 0])));
    r.frame("an unknown TLV", &["1.2.3"], false, &with(&|q| q.extend([0x42, 0, 0, 0])));
    r.frame("a TLV that is cut", &["1.2.2"], false, &with(&|q| q.extend([1, 0, 9, 0])));
    r.frame("greased flags", &["1.1.7"], false, &with(&|q| q[3] = 0xf0));
}

fn document() -> Value {
    let (mut world, keys) = life();
    let watcher = Watcher::new(&world, SET);
    let version = world.origin.state().version(world.set(SET).serial());
    let mut objects = Vec::new();
    let mut digests = Vec::new();
    for (from, history) in [(0, false), (version - 1, false), (0, true), (version - 2, true)] {
        // In a world of its own: what is made here must not be there before the exchanges ask.
        let mut other = life().0;
        let offer = watcher.sync(&mut other, from, history).pop().expect("one object");
        let bytes = watcher.fetch(&mut other, &offer.digest).expect("what SYNC names");
        let header = Header::read(&bytes).expect("an object of ours");
        digests.push(offer.digest);
        objects.push(json!({
            "from": header.from, "to": header.to, "kind": offer.kind,
            "digest": hex::encode(offer.digest), "bytes": hex::encode(&bytes),
        }));
    }
    let mut bare = vec![0; 64];
    world.question(SET).info(&mut bare).unwrap();
    let cookie = Answer::read_from_prefix(&world.udp(&bare, PEER).unwrap()).unwrap().0.cookie.get();
    let view = world.view.load();
    let set = view.set(SET).unwrap();
    let release = set.release.as_ref().unwrap();
    let live: Vec<String> =
        release.generation.iter().filter(|e| e[28..] == [0xff; 4]).map(|e| hex::encode(&e[..24])).collect();
    let history: Vec<String> = release.generation.iter().map(hex::encode).collect();
    assert_eq!((live.len(), history.len()), (38, 40));
    let manifest = set.manifest.to_vec();
    assert_eq!(Sha256::digest(&manifest)[..], release.checkpoint.manifest());
    let trust: Value = serde_json::from_str(&world.trust().to_json()).unwrap();
    let (now, body) = (world.now.unix, hex::encode(&*release.checkpoint_answer));
    let mut recorder = Recorder { world, exchanges: Vec::new() };
    questions(&mut recorder, &keys, cookie, &digests);
    json!({
        "about": ABOUT,
        "format": 1,
        "trust": trust,
        "set": SET,
        "schema": "gaen-minimal",
        "now": now,
        "checkpoint": body,
        "manifest": hex::encode(manifest),
        "live": live,
        "history": history,
        "objects": objects,
        "cookie": hex::encode(cookie.to_le_bytes()),
        "exchanges": recorder.exchanges,
    })
}

#[test]
fn a_server_gives_the_answers_of_the_exchange_vectors() {
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("TEKD_WRITE_VECTORS").is_some_and(|v| v == "1") {
        std::fs::write(FILE, &text).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).expect("the vectors are part of the repository");
    let (made, kept): (Value, Value) =
        (serde_json::from_str(&text).unwrap(), serde_json::from_str(&kept).expect("JSON"));
    let exchanges = |v: &Value| v["exchanges"].as_array().cloned().unwrap();
    for (made, kept) in exchanges(&made).iter().zip(&exchanges(&kept)) {
        assert_eq!(made, kept, "TEKD_WRITE_VECTORS=1 writes the file anew");
    }
    assert_eq!(made, kept, "TEKD_WRITE_VECTORS=1 writes the file anew");
}
