//! A gate before a set in memory, and questions to it: each with the valid cookie of its source, many and in
//! no order, so that the table comes from memory as it does in a server and not from a cache that one
//! question warmed for the next.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tekd::engine::{
    AnswerCounters, BuiltTable, Carrier, Cookies, Gate, Limiter, Moment, Objects, Outcome, Peer, ReleaseView,
    Respond, SetView, Slot, View,
};
use tekd::release::{Checkpoint, CheckpointFields, EMPTY_ROOT, LogTree};
use tekd::store::Published;
use tekd::store::generation::Generation;
use tekd::wire::question::Bucket;
use tekd::wire::{HEADER_LEN, Key, MAX_DATAGRAM, QuestionBuilder};

use crate::keys::{SCHEMA, TIME};
use crate::set::{SERVICE, SET};

/// When all is asked.
pub(crate) const NOW: Moment = Moment { unix: 1_790_000_000, monotonic_ms: 1 };
/// Most questions of a batch.
pub(crate) const BATCH_MAX: usize = 64;
/// Bytes a second of the limiter: it charges, and never refuses.
const RATE: u64 = 1 << 40;
/// Bytes of a LOOKUP of one key, and of its answer.
pub(crate) const LOOKUP: usize = 96;
/// Where the state of the key stands in an answer.
const STATE: usize = 92;

/// `count` keys of a table, in no order.
pub(crate) fn hits(table: &Generation, count: usize) -> Vec<Key> {
    let key = |at| Key::from_slice(table.key(scattered(at, table.len()))).expect("16 bytes");
    (0..count).map(key).collect()
}

/// `count` keys that no set has.
pub(crate) fn misses(count: usize) -> Vec<Key> {
    let half = |at| number(at).to_be_bytes();
    (0..count).map(|at| Key::from_slice(&[half(at), half(at)].concat()).expect("16 bytes")).collect()
}

/// A position below `length` that `at` is scattered to: neighbours lie far apart.
pub(crate) fn scattered(at: usize, length: usize) -> usize {
    ((number(at) as u128 * length as u128) >> 64) as usize
}

fn number(at: usize) -> u64 {
    let mixed = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Where questions come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sources {
    /// This machine, which is exempt from the limiter.
    Exempt,
    /// Many addresses, each charged to its prefix.
    Charged,
}

impl Sources {
    /// The source of question `at`: of the charged ones there are 2^16.
    fn peer(self, at: usize) -> Peer {
        let [.., a, b] = (at as u64).wrapping_mul(40_503).to_be_bytes();
        let ip = match self {
            Self::Exempt => Ipv4Addr::LOCALHOST,
            Self::Charged => Ipv4Addr::new(10, a, b, 7),
        };
        Peer { ip: IpAddr::V4(ip), port: 7, carrier: Carrier::Udp }
    }
}

/// Questions of one length, back to back, and who asks each.
pub(crate) struct Questions {
    pub(crate) bytes: Vec<u8>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) len: usize,
}

impl Questions {
    /// `count` questions of `len` bytes, each written by `write`.
    fn new(
        count: usize,
        len: usize,
        sources: Sources,
        write: impl Fn(&QuestionBuilder, usize, &mut [u8]) -> usize,
    ) -> Self {
        let cookies = cookies();
        let mut bytes = vec![0; count * len];
        let peers: Vec<Peer> = (0..count).map(|at| sources.peer(at)).collect();
        for (at, (peer, out)) in peers.iter().zip(bytes.chunks_exact_mut(len)).enumerate() {
            let cookie = u64::from_le_bytes(cookies.make(peer.ip));
            let builder = QuestionBuilder { cookie, ..QuestionBuilder::new(SERVICE, SET, at as u64) };
            assert_eq!(write(&builder, at, out), len);
        }
        Questions { bytes, peers, len }
    }

    /// A LOOKUP of each key.
    pub(crate) fn lookups(keys: &[Key], sources: Sources) -> Self {
        Self::new(keys.len(), LOOKUP, sources, |question, at, out| {
            question.lookup(&keys[at..=at], out).expect("one key fits")
        })
    }

    /// A BUCKET of each key, which is to be proved up to the root.
    pub(crate) fn buckets(keys: &[Key], bits: u8, sources: Sources) -> Self {
        Self::new(keys.len(), HEADER_LEN, sources, |question, at, out| {
            let prefix = keys[at].as_bytes().first_chunk().expect("16 bytes");
            question.bucket(&Bucket { prefix, bits, held: 0 }, out).expect("it fits")
        })
    }

    /// INFO.
    pub(crate) fn infos(count: usize, sources: Sources) -> Self {
        Self::new(count, HEADER_LEN, sources, |question, _, out| question.info(out).expect("it fits"))
    }
}

fn cookies() -> Cookies {
    let mut cookies = Cookies::new([7; 32], SERVICE);
    cookies.at(NOW.unix);
    cookies
}

/// A limiter that charges what it is asked and refuses nothing.
pub(crate) fn limiter() -> Limiter {
    Limiter::new(RATE, [3; 16])
}

/// A gate before the first release of a set.
pub(crate) fn gate(table: &BuiltTable, bits: u8) -> Gate {
    let view = Arc::new(Published::new(Arc::new(view(table, bits))));
    Gate::new(view, cookies(), Some(Arc::new(limiter())), Arc::new(AnswerCounters::default()))
}

fn view(table: &BuiltTable, bits: u8) -> View {
    let meta = table.generation.meta();
    let checkpoint = Checkpoint::new(&CheckpointFields {
        set: SET,
        service: SERVICE,
        version: crate::set::version(1),
        time: TIME,
        fresh_until: u64::MAX,
        horizon: meta.horizon,
        schema: SCHEMA.number(),
        bits,
        count: table.generation.live(),
        log_size: 0,
        root: table.built.root,
        log_root: EMPTY_ROOT,
        manifest: [0; 32],
        history: table.built.history_digest,
        key_epoch: 1,
    });
    let release = ReleaseView {
        checkpoint,
        checkpoint_answer: Arc::new(Vec::new()),
        generation: Arc::clone(&table.generation),
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

/// Whether an answer is right.
pub(crate) type IsRight = fn(&Slot<'_>) -> bool;

/// Room for the answers of a batch.
pub(crate) fn room() -> Vec<u8> {
    vec![0; BATCH_MAX * MAX_DATAGRAM]
}

/// Answers all questions in batches of `N`; returns how many answers are right.
pub(crate) fn ask<const N: usize>(
    gate: &mut Gate,
    questions: &Questions,
    out: &mut [u8],
    is_right: IsRight,
) -> usize {
    const { assert!(N <= BATCH_MAX) };
    let mut right = 0;
    let batches = questions.bytes.chunks_exact(N * questions.len).zip(questions.peers.chunks_exact(N));
    for (asked, peers) in batches {
        let mut questions = asked.chunks_exact(questions.len).zip(peers);
        let mut rooms = out.chunks_exact_mut(MAX_DATAGRAM);
        let mut slots: [Slot<'_>; N] = std::array::from_fn(|_| {
            let (question, peer) = questions.next().expect("a whole batch");
            Slot::new(question, *peer, rooms.next().expect("room for a batch"))
        });
        gate.respond(NOW, &mut slots);
        right += slots.iter().filter(|slot| is_right(slot)).count();
        black_box(&mut *out);
    }
    right
}

/// Whether the answer says that its key is there.
pub(crate) fn is_present(slot: &Slot<'_>) -> bool {
    slot.outcome == Outcome::Respond(LOOKUP) && slot.answer[STATE] == 1
}

/// Whether the answer says that its key is not there.
pub(crate) fn is_absent(slot: &Slot<'_>) -> bool {
    slot.outcome == Outcome::Respond(LOOKUP) && slot.answer[STATE] == 0
}

/// Whether the answer has a body.
pub(crate) fn has_body(slot: &Slot<'_>) -> bool {
    matches!(slot.outcome, Outcome::Respond(len) if len > HEADER_LEN)
}

/// Whether the answer is a header alone.
pub(crate) fn is_header(slot: &Slot<'_>) -> bool {
    slot.outcome == Outcome::Respond(HEADER_LEN)
}

/// Searches the table for all keys in batches of `N`, as an answerer does; returns how many are there.
pub(crate) fn find<const N: usize>(table: &Generation, keys: &[Key]) -> usize {
    let (batches, _) = keys.as_chunks::<N>();
    let mut found = 0;
    for batch in batches {
        batch.iter().for_each(|key| table.foresee_slot(key.as_bytes()));
        batch.iter().for_each(|key| table.foresee_entries(key.as_bytes()));
        found += batch.iter().filter(|key| table.find_live(key.as_bytes()).is_some()).count();
    }
    found
}
