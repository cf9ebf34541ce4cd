//! Live deltas applied by a client that holds a small set, in all schemas.
//!
//! Beside not panicking: memory stays within a small multiple of what was received and held; what
//! comes out is in key order and as many entries as the header says; a full made from it leads there.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tekd::release::delta::{ApplyLimits, DeltaContext, Header, apply_live, encode_live};
use tekd::release::{LIVE, LiveSet, Schema};
use tekd_fuzz::{bounded, mend, world};

/// Entries a receiver is willing to hold.
const MOST: u64 = 1 << 20;

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    apply(input);
    if let Some(mended) = mend::mend(input, 1) {
        apply(&mended);
    }
});

fn apply(object: &[u8]) {
    let schema = mend::schema(object);
    let base = base(schema);
    let mut limits = ApplyLimits::for_live(world::SERVICE, world::SHORT, schema, MOST, base.count());
    limits.max_after = MOST;
    let most = mend::memory(object.len(), base.entries().len());
    let Ok(result) = bounded::within(most, || apply_live(schema, &base, object, &limits)) else { return };
    let header = Header::read(object).expect("an object that was applied has a header");
    assert_eq!((result.version(), result.horizon()), (header.to, header.horizon));
    assert_eq!(result.count(), u64::from(header.after));
    let entries = result.entries().to_vec();
    let sorted = LiveSet::new(schema, header.to, header.horizon, entries).expect("keys ascend");
    assert!(sorted.matches(result.version(), result.horizon(), result.count(), &result.root()));
    for entry in result.entries().chunks_exact(schema.public_len()) {
        schema.read_fields(&entry[schema.key_len()..]).expect("fields are of the schema");
        assert!(result.find(&entry[..schema.key_len()]) == Some(entry));
    }
    full(schema, &result);
}

/// A full of the result leads to the result.
fn full(schema: Schema, set: &LiveSet) {
    let mut history = Vec::new();
    for entry in set.entries().chunks_exact(schema.public_len()) {
        history.extend_from_slice(entry);
        history.extend_from_slice(&(set.version() as u32).to_le_bytes());
        history.extend_from_slice(&LIVE.to_le_bytes());
    }
    if schema.views(&history).any(|entry| entry.expired(set.horizon())) || set.version() as u32 == LIVE {
        return;
    }
    let horizon = set.horizon();
    let context = DeltaContext { service: world::SERVICE, set: world::SHORT, schema, horizon };
    let Ok(object) = encode_live(&context, 0, set.version(), &history) else { return };
    let mut limits = ApplyLimits::for_live(world::SERVICE, world::SHORT, schema, MOST, 0);
    limits.max_after = MOST;
    assert_eq!(apply_live(schema, &LiveSet::empty(schema), &object, &limits).as_ref(), Ok(set));
}

fn base(schema: Schema) -> LiveSet {
    let history = world::history_at(schema, 2);
    LiveSet::from_history(schema, world::version(2), world::HORIZON, &history).expect("it is in order")
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for schema in Schema::ALL {
        for (from, horizon) in [(0, world::HORIZON), (world::version(2), world::HORIZON + 200)] {
            let context = DeltaContext { service: world::SERVICE, set: world::SHORT, schema, horizon };
            let object = encode_live(&context, from, world::VERSION, &world::history(schema));
            seeds.push(object.expect("the history is in order"));
        }
    }
    seeds
}
