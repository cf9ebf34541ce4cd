//! Nanoseconds of an answer to a LOOKUP of one key, without the network: through the gate, from a set in
//! memory.
//!
//! `cargo bench --bench answer [-- --keys N]`. The questions are many and in no order, so that the table
//! comes from memory as it does in a server and not from a cache that one question warmed for the next.

mod set;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tekd::engine::{
    AnswerCounters, Carrier, Cookies, Gate, Moment, Objects, Outcome, Peer, Place, ReleaseView, Respond,
    SetView, Slot, View, build_from,
};
use tekd::release::{Checkpoint, CheckpointFields, LogTree};
use tekd::store::Published;
use tekd::wire::{Key, MAX_DATAGRAM, QuestionBuilder};

use set::{Bench, SCHEMA, SERVICE, SET};

const BATCH: usize = 64;
const PEER: Peer = Peer { ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), port: 7, carrier: Carrier::Udp };
const NOW: Moment = Moment { unix: 1_790_000_000, monotonic_ms: 1 };
/// Bytes of a LOOKUP of one key, and of its answer.
const LOOKUP: usize = 96;
/// Where the state of the key stands in an answer.
const STATE: usize = 92;

fn main() {
    let mut bench = Bench::new();
    let entries = set::entries(bench.keys);
    let view = Arc::new(Published::new(Arc::new(view(&entries))));
    let mut cookies = Cookies::new([7; 32], SERVICE);
    cookies.at(NOW.unix);
    let cookie = u64::from_le_bytes(cookies.make(PEER.ip));
    let mut gate = Gate::new(view, cookies, None, Arc::new(AnswerCounters::default()));
    let count = if bench.smoke { 4 * BATCH } else { 1 << 17 };
    let hits: Vec<Key> = (0..count).map(|at| entries[scattered(at, entries.len())].0).collect();
    let misses: Vec<Key> = (0..count).map(stranger).collect();
    for (kind, keys, state) in [("hit", hits, 1), ("miss", misses, 0)] {
        let questions = questions(&keys, cookie);
        for batch in [1, BATCH] {
            let what = format!("LOOKUP, one key, {kind}, batches of {batch}");
            let mut out = vec![0; BATCH * MAX_DATAGRAM];
            let mut found = 0;
            bench.time(&what, count, "an answer", || {
                found = ask(&mut gate, &questions, batch, state, &mut out);
                [&found.to_le_bytes()[..], &out[..LOOKUP]].concat()
            });
            assert_eq!(found, count, "{what}");
        }
    }
    bench.finish();
}

/// Answers all questions in batches; returns how many said `state` of their key.
fn ask(gate: &mut Gate, questions: &[u8], batch: usize, state: u8, out: &mut [u8]) -> usize {
    let mut found = 0;
    for asked in questions.chunks_exact(batch * LOOKUP) {
        let mut rooms = out.chunks_exact_mut(MAX_DATAGRAM);
        if let [one] = asked.as_chunks::<LOOKUP>().0 {
            let mut slots = [Slot::new(one, PEER, rooms.next().expect("room for a batch"))];
            gate.respond(NOW, &mut slots);
            found += usize::from(says(&slots[0], state));
        } else {
            let mut requests = asked.chunks_exact(LOOKUP);
            let mut slots: [Slot<'_>; BATCH] = std::array::from_fn(|_| {
                let request = requests.next().expect("a whole batch");
                Slot::new(request, PEER, rooms.next().expect("room for a batch"))
            });
            gate.respond(NOW, &mut slots);
            found += slots.iter().filter(|slot| says(slot, state)).count();
        }
        black_box(&mut *out);
    }
    found
}

fn says(slot: &Slot<'_>, state: u8) -> bool {
    slot.outcome == Outcome::Respond(LOOKUP) && slot.answer[STATE] == state
}

fn questions(keys: &[Key], cookie: u64) -> Vec<u8> {
    let mut questions = vec![0; keys.len() * LOOKUP];
    for (txid, (key, out)) in (0..).zip(keys.iter().zip(questions.chunks_exact_mut(LOOKUP))) {
        let builder = QuestionBuilder { cookie, ..QuestionBuilder::new(SERVICE, SET, txid) };
        builder.lookup(&[*key], out).expect("one key fits");
    }
    questions
}

/// A position that `at` is scattered to: neighbours lie far apart.
fn scattered(at: usize, length: usize) -> usize {
    ((number(at) as u128 * length as u128) >> 64) as usize
}

fn stranger(at: usize) -> Key {
    let half = number(at).to_be_bytes();
    Key::from_slice(&[half, half].concat()).expect("16 bytes")
}

fn number(at: usize) -> u64 {
    let mixed = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn view(entries: &[(Key, tekd::release::Fields)]) -> View {
    let (context, outcome) = set::outcome(1, entries.len(), Vec::new());
    let table =
        build_from(&context, &set::history(entries), &outcome, Place::Memory).expect("a sorted history");
    let checkpoint = Checkpoint::new(&CheckpointFields {
        set: SET,
        service: SERVICE,
        version: context.version,
        time: outcome.time,
        fresh_until: u64::MAX,
        horizon: outcome.horizon,
        schema: SCHEMA.number(),
        bits: outcome.bits,
        count: outcome.live,
        log_size: 0,
        root: table.built.root,
        log_root: tekd::release::EMPTY_ROOT,
        manifest: [0; 32],
        history: table.built.history_digest,
        key_epoch: 1,
    });
    let release = ReleaseView {
        checkpoint,
        checkpoint_answer: Arc::new(Vec::new()),
        generation: table.generation,
        bridges: Arc::default(),
        log: Arc::new(LogTree::new()),
        objects: Objects::default(),
    };
    View::empty(SERVICE, 1).with_set(SetView {
        set: SET,
        schema: SCHEMA,
        interval_s: 900,
        next_release: 0,
        manifest: Arc::new(Vec::new()),
        release: Some(release),
    })
}
