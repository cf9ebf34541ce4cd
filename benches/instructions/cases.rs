//! What is counted: one piece of work each, on small sets, without threads, clocks or chance.

use std::sync::Arc;

use tekd::engine::{Admission, BuiltTable, Place, next_table};
use tekd::release::LiveSet;
use tekd::release::delta::{ApplyLimits, DeltaContext, apply_live, encode_live};
use tekd::release::tree::depth;
use tekd::store::generation::Generation;
use tekd::wire::{Key, Parsed, parse};

use crate::asking::{
    self, IsRight, LOOKUP, NOW, Questions, Sources, ask, has_body, is_absent, is_header, is_present,
};
use crate::keys::{Entries, SCHEMA};
use crate::set::{self, SERVICE, SET, version};

/// Keys of every set.
const KEYS: usize = 1024;
/// Questions that are asked of it.
const QUESTIONS: usize = 256;
/// Every how many keys one comes with the second release.
const SECOND_OF: usize = 10;

/// A piece of work; what it returns is the same each time.
pub(crate) type Work = Box<dyn FnMut() -> usize>;

/// A piece of work and its name.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// How many answers, keys or entries it is for; counts are told for one.
    pub(crate) units: usize,
    /// Makes all that is not to be counted.
    pub(crate) make: fn() -> Work,
}

const fn case(name: &'static str, units: usize, make: fn() -> Work) -> Case {
    Case { name, units, make }
}

/// All that is counted.
pub(crate) const CASES: [Case; 16] = [
    case("LOOKUP, hit, exempt, batches of 1", QUESTIONS, || hit::<1>(Sources::Exempt)),
    case("LOOKUP, hit, exempt, batches of 32", QUESTIONS, || hit::<32>(Sources::Exempt)),
    case("LOOKUP, hit, charged, batches of 32", QUESTIONS, || hit::<32>(Sources::Charged)),
    case("LOOKUP, miss, exempt, batches of 1", QUESTIONS, miss::<1>),
    case("LOOKUP, miss, exempt, batches of 32", QUESTIONS, miss::<32>),
    case("BUCKET with its proof, batches of 32", QUESTIONS, buckets),
    case("INFO, batches of 32", QUESTIONS, infos),
    case("LOOKUP read (parse)", QUESTIONS, reading),
    case("limiter, charged", QUESTIONS, limiter),
    case("search of the table, batches of 32", QUESTIONS, search),
    case("release: merge and tree, in memory", KEYS, release),
    case("delta: encoded", KEYS, || delta(Delta::Encoded)),
    case("delta: applied", KEYS, || delta(Delta::Applied)),
    case("full: encoded", KEYS, || full(Delta::Encoded)),
    case("full: applied", KEYS, || full(Delta::Applied)),
    case("full: verified", KEYS, || full(Delta::Verified)),
];

fn table() -> BuiltTable {
    set::table(set::entries(KEYS))
}

fn asked<const N: usize>(table: &BuiltTable, questions: Questions, is_right: IsRight) -> Work {
    let mut gate = asking::gate(table, depth(KEYS as u64));
    let mut out = asking::room();
    Box::new(move || {
        let right = ask::<N>(&mut gate, &questions, &mut out, is_right);
        assert_eq!(right, QUESTIONS);
        right
    })
}

fn hit<const N: usize>(sources: Sources) -> Work {
    let table = table();
    let keys = asking::hits(&table.generation, QUESTIONS);
    asked::<N>(&table, Questions::lookups(&keys, sources), is_present)
}

fn miss<const N: usize>() -> Work {
    let questions = Questions::lookups(&asking::misses(QUESTIONS), Sources::Exempt);
    asked::<N>(&table(), questions, is_absent)
}

fn buckets() -> Work {
    let table = table();
    let keys = asking::hits(&table.generation, QUESTIONS);
    asked::<32>(&table, Questions::buckets(&keys, depth(KEYS as u64), Sources::Exempt), has_body)
}

fn infos() -> Work {
    asked::<32>(&table(), Questions::infos(QUESTIONS, Sources::Exempt), is_header)
}

fn reading() -> Work {
    let questions = Questions::lookups(&asking::misses(QUESTIONS), Sources::Charged);
    Box::new(move || {
        let asked = questions.bytes.chunks_exact(LOOKUP);
        asked.filter(|asked| matches!(parse(asked, &SERVICE, false), Parsed::Question(..))).count()
    })
}

fn limiter() -> Work {
    let questions = Questions::lookups(&asking::misses(QUESTIONS), Sources::Charged);
    let limiter = asking::limiter();
    Box::new(move || {
        let passes = |ip| limiter.admit(ip, true, LOOKUP as u64, NOW.monotonic_ms) == Admission::Pass;
        questions.peers.iter().filter(|peer| passes(peer.ip)).count()
    })
}

fn search() -> Work {
    let table = table().generation;
    let keys: Vec<Key> = asking::hits(&table, QUESTIONS);
    Box::new(move || asking::find::<32>(&table, &keys))
}

/// The first release of a set, and what the second adds.
fn two_releases() -> (BuiltTable, Entries) {
    let (mut first, mut second) = (Entries::new(), Entries::new());
    for (at, entry) in set::entries(KEYS).into_iter().enumerate() {
        if at % SECOND_OF == 0 { &mut second } else { &mut first }.push(entry);
    }
    (set::table(first), second)
}

fn release() -> Work {
    let (before, adds) = two_releases();
    let (context, outcome) = set::outcome(2, KEYS, adds);
    Box::new(move || {
        let after = next_table(&context, Some(&before), &outcome, Place::Memory).expect("additions in order");
        after.generation.len()
    })
}

/// What is done with a delta.
#[derive(Clone, Copy)]
enum Delta {
    Encoded,
    Applied,
    Verified,
}

/// The delta over one release.
fn delta(done: Delta) -> Work {
    let (before, adds) = two_releases();
    let (context, outcome) = set::outcome(2, KEYS, adds);
    let after = next_table(&context, Some(&before), &outcome, Place::Memory).expect("additions in order");
    let (horizon, entries) = (outcome.horizon, before.generation.entry_bytes());
    let base = LiveSet::from_history(SCHEMA, version(1), horizon, entries).expect("a history");
    doing(done, base, Arc::clone(&after.generation))
}

/// The delta from nothing.
fn full(done: Delta) -> Work {
    doing(done, LiveSet::empty(SCHEMA), table().generation)
}

fn doing(done: Delta, base: LiveSet, after: Arc<Generation>) -> Work {
    let horizon = after.meta().horizon;
    let context = DeltaContext { service: SERVICE, set: SET, schema: SCHEMA, horizon };
    let limits = ApplyLimits::for_live(SERVICE, SET, SCHEMA, after.live(), base.count());
    let newest = after.meta().version;
    let encode = move |base: &LiveSet| {
        encode_live(&context, base.version(), newest, after.entry_bytes()).expect("in order")
    };
    let object = encode(&base);
    let apply = move |base: &LiveSet| apply_live(SCHEMA, base, &object, &limits).expect("just made");
    match done {
        Delta::Encoded => Box::new(move || encode(&base).len()),
        Delta::Applied => Box::new(move || apply(&base).entries().len()),
        Delta::Verified => {
            let set = apply(&base);
            Box::new(move || usize::from(set.root()[0]))
        }
    }
}
