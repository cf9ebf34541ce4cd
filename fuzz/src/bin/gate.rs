//! The whole answering boundary over a small world: datagrams of all kinds of sources in one batch, the same
//! in DATAGRAM frames of QUIC, and the same frame on a stream.
//!
//! Beside not panicking: every slot ends once, no unproved source gets more than it sent and no path more
//! than it takes, every answer is one a client accepts, and what it says of keys, buckets, objects and proofs
//! is true.

#![no_main]

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use tekd::engine::{
    AnswerCounters, Carrier, Cookies, Gate, Limiter, Moment, Outcome, Peer, Respond, Slot, Ticket, View,
};
use tekd::release::tree::verify_bucket;
use tekd::release::{Checkpoint, Schema, log_leaf_hash, verify_consistency, verify_inclusion};
use tekd::store::Published;
use tekd::wire::question::{Bucket, Fetch, Notify, Parsed, Proof, ProofKind, Sync, parse};
use tekd::wire::{
    AnswerBody, Body, Expected, Key, MAX_ANSWER_STREAM, MAX_DATAGRAM, Operation, Question, QuestionBuilder,
    parse_answer,
};
use tekd_fuzz::world::{self, SERVICE};
use zerocopy::FromBytes;

const SECRET: [u8; 32] = [9; 32];
const NOW: Moment = Moment { unix: world::TIME + 60, monotonic_ms: 1_000 };
/// Bytes of the shortest answer.
const HEADER: usize = 64;
/// A source of each kind: IPv4, IPv6, one that nothing can be sent to, and one over its limit.
const SOURCES: [(&str, u16); 4] =
    [("192.0.2.7", 5353), ("2001:db8::1", 8353), ("224.0.0.1", 1), ("198.51.100.1", 9)];

struct Server {
    gate: Gate,
    view: Arc<View>,
    cookies: Cookies,
    buffers: [Vec<u8>; SLOTS],
    stream: Vec<u8>,
}

/// Each source with and without the right cookie.
const SLOTS: usize = 2 * SOURCES.len();

thread_local! {
    static SERVER: RefCell<Server> = RefCell::new(Server::new());
}

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    SERVER.with_borrow_mut(|server| {
        let ours = addressed(input);
        for input in [input, &ours[..]] {
            server.datagrams(input);
            server.quic_datagrams(input);
            server.frame(input);
        }
    });
});

impl Server {
    fn new() -> Self {
        let view = Arc::new(world::view());
        let limiter = Limiter::new(2048, [3; 16]);
        let (spent, _) = SOURCES[3];
        for proved in [false, true] {
            let _ = std::iter::repeat_with(|| limiter.admit(address(spent), proved, 4096, NOW.monotonic_ms))
                .take(100)
                .count();
        }
        let mut cookies = Cookies::new(SECRET, SERVICE);
        let published = Arc::new(Published::new(Arc::clone(&view)));
        let limiter = Some(Arc::new(limiter));
        let gate = Gate::new(published, cookies.clone(), limiter, Arc::new(AnswerCounters::default()));
        cookies.at(NOW.unix);
        let buffers = std::array::from_fn(|_| vec![0; MAX_DATAGRAM]);
        Server { gate, view, cookies, buffers, stream: vec![0; MAX_ANSWER_STREAM] }
    }

    fn datagrams(&mut self, input: &[u8]) {
        let peers: [Peer; SLOTS] = std::array::from_fn(|at| {
            let (ip, port) = SOURCES[at / 2];
            Peer { ip: address(ip), port, carrier: Carrier::Udp }
        });
        let requests: [Vec<u8>; SLOTS] = std::array::from_fn(|at| {
            let mut request = input.to_vec();
            if let (1, Ok((question, _))) = (at % 2, Question::mut_from_prefix(&mut request)) {
                question.cookie = u64::from_le_bytes(self.cookies.make(peers[at].ip)).into();
            }
            request
        });
        // Time goes on, so that only the source that spends everything is over its limit.
        let unspent = Moment { monotonic_ms: NOW.monotonic_ms + self.tick(), ..NOW };
        let mut slots: Vec<Slot<'_>> = Vec::with_capacity(SLOTS);
        for ((request, peer), answer) in requests.iter().zip(peers).zip(&mut self.buffers) {
            slots
                .push(Slot { outcome: Outcome::Later(Ticket(u64::MAX)), ..Slot::new(request, peer, answer) });
        }
        self.gate.respond(unspent, &mut slots);
        for (at, slot) in slots.iter().enumerate() {
            match slot.outcome {
                Outcome::Later(_) => panic!("a datagram has no outcome"),
                Outcome::Ignore(_) => {}
                Outcome::Respond(length) => {
                    assert!(at / 2 != 2, "an answer to where nothing can be sent");
                    assert!((64..=MAX_DATAGRAM).contains(&length));
                    assert!(slot.proved || length <= slot.request.len(), "more than it sent");
                    judge(&self.view, slot.request, &slot.answer[..length], false);
                }
            }
            assert!(at % 2 == 1 || !slot.proved || has_cookie(slot.request, &self.cookies, peers[at].ip));
        }
    }

    /// The same from sources that have proved their addresses, on paths that take no more than `longest`.
    fn quic_datagrams(&mut self, input: &[u8]) {
        let longest =
            HEADER + input.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (MAX_DATAGRAM - HEADER + 1);
        let unspent = Moment { monotonic_ms: NOW.monotonic_ms + self.tick(), ..NOW };
        let mut slots: Vec<Slot<'_>> = Vec::with_capacity(SOURCES.len());
        for ((ip, port), answer) in SOURCES.iter().zip(&mut self.buffers) {
            let peer = Peer { ip: address(ip), port: *port, carrier: Carrier::QuicDatagram };
            let unanswered = Outcome::Later(Ticket(u64::MAX));
            slots.push(Slot { outcome: unanswered, ..Slot::new(input, peer, &mut answer[..longest]) });
        }
        self.gate.answer_datagrams(&self.view, unspent, &mut slots);
        for (at, slot) in slots.iter().enumerate() {
            match slot.outcome {
                Outcome::Later(_) => panic!("a datagram has no outcome"),
                Outcome::Ignore(_) => {}
                Outcome::Respond(length) => {
                    assert!(at != 2 && slot.proved, "an answer to who cannot have proved its address");
                    assert!((HEADER..=longest).contains(&length));
                    judge(&self.view, input, &slot.answer[..length], false);
                }
            }
        }
    }

    /// Milliseconds that let every source pass again but for the one that spent all.
    fn tick(&self) -> u64 {
        thread_local!(static TICKS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
        TICKS.set(TICKS.get() + 2_000);
        TICKS.get()
    }

    fn frame(&mut self, input: &[u8]) {
        let peer = Peer { ip: address("192.0.2.7"), port: 1, carrier: Carrier::Tls };
        match self.gate.answer_frame(&self.view, NOW, peer, input, &mut self.stream) {
            Outcome::Later(_) => panic!("nothing is sealed to this server"),
            Outcome::Ignore(_) => {}
            Outcome::Respond(length) => {
                assert!((64..=MAX_ANSWER_STREAM).contains(&length));
                judge(&self.view, input, &self.stream[..length], true);
            }
        }
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn has_cookie(request: &[u8], cookies: &Cookies, ip: IpAddr) -> bool {
    let cookie = Question::ref_from_prefix(request).map_or(0, |(question, _)| question.cookie.get());
    cookies.check(ip, cookie.to_le_bytes()) != tekd::engine::Proof::None
}

/// The input with the first fields of a question to this server, so that what follows is read.
fn addressed(input: &[u8]) -> Vec<u8> {
    let mut frame = input.to_vec();
    frame.resize(frame.len().clamp(64, 4096), 0);
    let length = frame.len() as u32;
    if let Ok((question, _)) = Question::mut_from_prefix(&mut frame) {
        question.first_byte = 0x81;
        question.operation = 1 + question.operation % 11;
        question.length = length.into();
        question.service = SERVICE;
        if question.set.get() > world::EMPTY {
            question.set = (1 + question.set.get() % 3).into();
        }
    }
    frame
}

/// Reads an answer as a client does, and compares what it says with the world.
fn judge(view: &View, request: &[u8], answer: &[u8], on_stream: bool) {
    let (asked, _) = Question::ref_from_prefix(request).expect("only whole headers are answered");
    let (txid, set) = (asked.txid.get(), asked.set.get());
    let Some(operation) = Operation::from_u8(asked.operation) else {
        assert_eq!(answer.len(), 64, "what is no operation is refused in a header");
        return;
    };
    let expected = Expected { service: SERVICE, txid, set, operation };
    let read = parse_answer(answer, &expected, on_stream).expect("a client accepts what a server answers");
    if let AnswerBody::Refused(_) = read.body {
        return;
    }
    let Parsed::Question(_, question) = parse(request, &SERVICE, on_stream) else {
        panic!("what is no question has an answer with a body");
    };
    let schema = if set == world::LONG { Schema::Dp3t } else { Schema::GaenMinimal };
    is_true(view, schema, &question, &read.body, set);
}

fn is_true(view: &View, schema: Schema, question: &Body<'_>, answer: &AnswerBody<'_>, set: u32) {
    let set = view.set(set).expect("only sets that are there have an answer with a body");
    let release = set.release.as_ref();
    let newest = || &release.expect("a set without a release only has a manifest").checkpoint;
    match (question, answer) {
        (Body::Lookup(asked), AnswerBody::Lookup(found)) => {
            let keys: Vec<Key> = asked.keys().map(|key| Key::from_slice(key).expect("a key")).collect();
            let slots = found.read(&keys).expect("the slots of the keys that were asked for");
            for (slot, key) in slots.zip(&keys) {
                assert_eq!(
                    slot.fields.map(|fields| &fields[..8]),
                    live_fields(schema, key.as_bytes()).as_deref()
                );
            }
        }
        (Body::Bucket(asked), AnswerBody::Bucket(found)) => bucket(newest(), schema, asked, found),
        (Body::Sync(asked), AnswerBody::Sync(found)) => {
            found.read(*asked).expect("objects that lead to the newest version");
        }
        (Body::Fetch(asked), AnswerBody::Fetch(found)) => {
            let part = found.read(asked).expect("a part of what was asked for");
            let objects = &release.expect("objects are of releases").objects;
            let object = objects.get(asked.digest).expect("the object that was asked for");
            assert_eq!(part.bytes, &object[asked.offset as usize..][..part.bytes.len()]);
        }
        (Body::Proof(asked), AnswerBody::Proof(hashes)) => assert!(proves(*asked, hashes)),
        (Body::Checkpoint, AnswerBody::Checkpoint(found)) => {
            assert_eq!(found.checkpoint, newest().as_bytes());
        }
        (Body::Info, AnswerBody::Info(_)) => {}
        (Body::Manifest, AnswerBody::Manifest(bytes)) => assert_eq!(*bytes, &set.manifest[..]),
        _ => panic!("an answer to another question"),
    }
}

fn live_fields(schema: Schema, key: &[u8]) -> Option<Vec<u8>> {
    static HISTORIES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let both = || [Schema::GaenMinimal, Schema::Dp3t].map(world::history);
    let history = &HISTORIES.get_or_init(both)[usize::from(schema == Schema::Dp3t)];
    let live = |entry: &tekd::release::EntryView<'_>| entry.key == key && entry.live_at(world::SERIAL);
    schema.views(history).find(live).map(|entry| entry.fields.to_vec())
}

fn bucket(
    checkpoint: &Checkpoint,
    schema: Schema,
    asked: &Bucket<'_>,
    found: &tekd::wire::contents::BucketAnswer<'_>,
) {
    let contents = found.read(asked, schema.public_len()).expect("a bucket as it was asked for");
    if asked.held == 0 {
        let prefix = asked.node().expect("a prefix that was answered");
        verify_bucket(
            &checkpoint.root(),
            checkpoint.bits(),
            asked.bits,
            0,
            prefix,
            schema,
            contents.entries,
            contents.siblings.as_flattened(),
        )
        .expect("a bucket that gives the root");
    }
}

fn proves(asked: Proof, hashes: &[[u8; 32]]) -> bool {
    let log = world::log();
    let root = |size| log.root_at(size).expect("a size that was answered");
    match asked.kind {
        ProofKind::Inclusion => {
            let leaf = log_leaf_hash(&(asked.first as u32 + 1).to_le_bytes());
            verify_inclusion(&leaf, asked.first, asked.second, hashes, &root(asked.second))
        }
        ProofKind::Consistency => {
            verify_consistency(asked.first, asked.second, &root(asked.first), &root(asked.second), hashes)
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let view = world::view();
    let mut seeds = Vec::new();
    for (set, schema) in [(world::SHORT, Schema::GaenMinimal), (world::LONG, Schema::Dp3t)] {
        let builder = QuestionBuilder::new(SERVICE, set, 77);
        let padded = QuestionBuilder { pad_to: 1000, ..builder };
        let objects = &view.set(set).and_then(|set| set.release.as_ref()).expect("it has a release").objects;
        let keys: Vec<Key> = (0..9).filter_map(|n| Key::from_slice(&world::key(schema, n * 5))).collect();
        let mut out = [0; 4096];
        let mut add =
            |built: Result<usize, _>, out: &[u8]| seeds.push(out[..built.expect("it fits")].to_vec());
        add(builder.info(&mut out), &out);
        add(padded.checkpoint(&mut out), &out);
        add(builder.lookup(&keys, &mut out), &out);
        for (bits, held) in [(0, 0), (3, 0), (3, 2)] {
            add(padded.bucket(&Bucket { prefix: &[0x20; 16], bits, held }, &mut out), &out);
        }
        for (kind, history) in [(tekd::engine::Kind::Live, false), (tekd::engine::Kind::History, true)] {
            for from in [0, world::version(2)] {
                add(builder.sync(Sync { version: from, history }, &mut out), &out);
                let Some(offer) = objects.offer(kind, from) else { continue };
                let fetch = Fetch { digest: &offer.digest, offset: 0, length: 1000 };
                add(padded.fetch(&fetch, &mut out), &out);
            }
        }
        for kind in [ProofKind::Inclusion, ProofKind::Consistency] {
            add(padded.proof(Proof { kind, first: 1, second: 2 }, &mut out), &out);
        }
        add(builder.manifest(&mut out), &out);
        add(builder.notify(Notify { version: 5 }, &mut out), &out);
    }
    seeds
}
