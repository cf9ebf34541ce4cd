//! Every question that a phone asks by datagram, answered by the real gate from a real release.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tekd::engine::{
    AnswerCounters, Cookies, Gate, ImportedKey, Input, Limiter, Moment, ParamsChange, Random, Respond,
    Seeded, Slot, View,
};
use tekd::node::{Clock, Origin, OriginHandle, OriginOptions, TableStore};
use tekd::release::Fields;
use tekd::store::{MemoryDisk, MemoryMode, Published};
use tekd::transport::{UdpPlan, UdpWorker, bind};
use tekd::wire::question::{Bucket, Sync};
use tekd::wire::{Key, MAX_DATAGRAM, QuestionBuilder, ResultCode};

use super::counting::allocations;

const NOW: Moment = Moment { unix: 1_790_000_000, monotonic_ms: 0 };
/// Keys in the set.
const KEYS: usize = 5_000;
/// Datagrams before counting begins: a thread's first look at a view allocates once.
const WARM: usize = 200;
/// Datagrams of each kind that are counted.
const COUNTED: usize = 4_000;
/// Datagrams under way at a time.
const WINDOW: usize = 50;

struct Still;

impl Clock for Still {
    fn now(&self) -> Moment {
        NOW
    }
}

/// The gate, which tells how often its thread has allocated: at the start of each batch, so that all of the
/// batch before, sending included, is in the number.
struct Watched {
    gate: Gate,
    allocated: Arc<AtomicU64>,
}

impl Respond for Watched {
    fn respond(&mut self, now: Moment, slots: &mut [Slot<'_>]) {
        self.allocated.store(allocations(), Ordering::SeqCst);
        self.gate.respond(now, slots);
    }
}

fn keys(seed: u64) -> Vec<Key> {
    let mut random = Seeded::new(seed);
    let mut key = [0; 16];
    let next = || {
        random.fill(&mut key);
        Key::from_slice(&key).expect("16 bytes")
    };
    std::iter::repeat_with(next).take(KEYS).collect()
}

/// An origin in memory that has released the keys of seed 1.
fn origin() -> OriginHandle {
    let disk = Arc::new(MemoryDisk::new());
    let dir = PathBuf::from("/data");
    let options = OriginOptions { disk: disk.clone(), dir: dir.clone(), segment_bytes: 1 << 20 };
    let origin = Origin::open(options, NOW, Box::new(Seeded::new(1))).expect("an origin");
    let view = Arc::new(Published::new(Arc::new(View::empty(origin.identity().service_id, 1))));
    let store = TableStore { disk, dir: Some(dir), mode: MemoryMode::Copy };
    let origin = OriginHandle::start(origin, store, view, Arc::new(Still)).expect("threads");
    let change = ParamsChange { decoys: Some(false), ..ParamsChange::default() };
    origin.ask(Input::Configure { set: 1, change }).expect("configured");
    let start = u32::try_from(NOW.unix / 86_400 - 2).expect("days fit") * 144;
    let fields = Fields { start, period: 144, report: 1, risk: 3, onset: 0 };
    let keys = keys(1).into_iter().map(|key| ImportedKey { key, fields, period: 144 }).collect();
    origin.ask(Input::Import { set: 1, provider: "import".to_owned(), keys }).expect("imported");
    origin.ask(Input::Release { set: 1, allow_small: true }).expect("released");
    origin
}

struct Asked {
    client: UdpSocket,
    allocated: Arc<AtomicU64>,
}

impl Asked {
    /// Sends `count` questions in windows; each has to be answered by `result`, in full.
    fn ask(&self, count: usize, result: ResultCode, question: &mut impl FnMut(&mut [u8]) -> usize) {
        let mut buffer = [0; 2048];
        for _ in 0..count / WINDOW {
            for _ in 0..WINDOW {
                let length = question(&mut buffer[..MAX_DATAGRAM]);
                self.client.send(&buffer[..length]).expect("sent");
            }
            for _ in 0..WINDOW {
                let length = self.client.recv(&mut buffer).expect("an answer");
                assert!(length >= 64);
                assert_eq!(u16::from_le_bytes([buffer[36], buffer[37]]), result as u16);
            }
        }
    }

    /// The allocations that a kind of question cost the worker.
    fn cost(&self, result: ResultCode, mut question: impl FnMut(&mut [u8]) -> usize) -> u64 {
        self.ask(WARM, result, &mut question);
        self.ask(WINDOW, result, &mut question);
        let before = self.allocated.load(Ordering::SeqCst);
        self.ask(COUNTED, result, &mut question);
        self.ask(WINDOW, result, &mut question);
        self.allocated.load(Ordering::SeqCst) - before
    }
}

/// Every kind of question that is answered without work, and one that is refused.
#[test]
fn no_answer_costs_the_worker_an_allocation() {
    let origin = origin();
    let view = Arc::clone(origin.view());
    let (service, version, bits) = {
        let view = view.load();
        let release = view.set(1).and_then(|set| set.release.clone()).expect("a release");
        assert_eq!(release.checkpoint.count(), KEYS as u64);
        (view.service, release.checkpoint.version(), release.checkpoint.bits())
    };
    let limiter = Some(Arc::new(Limiter::new(1 << 20, [7; 16])));
    let gate = Gate::new(view, Cookies::new([5; 32], service), limiter, Arc::new(AnswerCounters::default()));
    let allocated = Arc::new(AtomicU64::new(0));
    let watched = Watched { gate, allocated: Arc::clone(&allocated) };
    let server = bind("127.0.0.1:0".parse().expect("an address"), 1).expect("a socket").remove(0);
    let client = UdpSocket::bind("127.0.0.1:0").expect("an ephemeral port");
    client.connect(server.local_addr().expect("bound")).expect("connected");
    client.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let worker = UdpWorker::spawn("udp-0", server, UdpPlan::default(), || NOW, watched).expect("a thread");
    let asked = Asked { client, allocated };

    let ask = QuestionBuilder::new(service, 1, 7);
    let padded = QuestionBuilder { pad_to: MAX_DATAGRAM, ..ask };
    let (hits, misses) = (keys(1), keys(2));
    let mut at = 0;
    let mut next = |of: &[Key], count: usize| {
        at = (at + 37) % (KEYS - 32);
        <[Key]>::to_vec(&of[at..at + count])
    };
    let long_enough = "the buffer holds every question";
    let ok = ResultCode::Ok;
    let costs = [
        ("INFO", asked.cost(ok, |out| ask.info(out).expect(long_enough))),
        ("CHECKPOINT", asked.cost(ok, |out| padded.checkpoint(out).expect(long_enough))),
        ("LOOKUP, a hit", asked.cost(ok, |out| ask.lookup(&next(&hits, 1), out).expect(long_enough))),
        ("LOOKUP, a miss", asked.cost(ok, |out| ask.lookup(&next(&misses, 1), out).expect(long_enough))),
        ("LOOKUP, 32 hits", asked.cost(ok, |out| ask.lookup(&next(&hits, 32), out).expect(long_enough))),
        ("LOOKUP, 32 misses", asked.cost(ok, |out| ask.lookup(&next(&misses, 32), out).expect(long_enough))),
        (
            "BUCKET",
            asked.cost(ok, |out| {
                let key = next(&hits, 1)[0];
                let prefix = key.as_bytes().try_into().expect("16 bytes");
                padded.bucket(&Bucket { prefix, bits, held: 0 }, out).expect(long_enough)
            }),
        ),
        (
            "SYNC when current",
            asked.cost(ok, |out| ask.sync(Sync { version, history: false }, out).expect(long_enough)),
        ),
        (
            "a CHECKPOINT that does not fit",
            asked.cost(ResultCode::Truncated, |out| ask.checkpoint(out).expect(long_enough)),
        ),
    ];
    worker.join().expect("a clean end");
    for (what, cost) in costs {
        assert_eq!(cost, 0, "{what} costs allocations over {COUNTED} datagrams");
    }
}
