//! History deltas applied by a node that holds a small history, in all schemas.
//!
//! Beside not panicking: memory stays within a small multiple of what was received and held; what
//! comes out is in the order of (key, add_serial), as many entries and leaves as the header says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tekd::release::delta::{ApplyLimits, DeltaContext, Header, apply_history, encode_history};
use tekd::release::{EntryView, Schema};
use tekd_fuzz::{bounded, mend, world};

/// Leaves that the log may have.
const LEAVES: u64 = 1 << 10;

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    apply(input);
    if let Some(mended) = mend::mend(input, 2) {
        apply(&mended);
    }
});

fn apply(object: &[u8]) {
    let schema = mend::schema(object);
    let base = world::history_at(schema, 2);
    let held = (base.len() / schema.entry_len()) as u64;
    let limits = ApplyLimits::for_history(world::SERVICE, world::SHORT, schema, held, held, LEAVES);
    let most = mend::memory(object.len(), base.len());
    let applied = bounded::within(most, || apply_history(schema, world::version(2), &base, object, &limits));
    let Ok(result) = applied else { return };
    let header = Header::read(object).expect("an object that was applied has a header");
    assert_eq!((result.version, result.horizon), (header.to, header.horizon));
    assert_eq!(result.entries.len(), header.after as usize * schema.entry_len());
    assert_eq!(result.leaves.len(), header.leaves as usize);
    let entries: Vec<EntryView<'_>> = schema.views(&result.entries).collect();
    let place = |entry: &EntryView<'_>| (entry.key.to_vec(), entry.add_serial);
    assert!(entries.windows(2).all(|two| place(&two[0]) < place(&two[1])), "entries ascend");
    for entry in &entries {
        schema.read_fields(entry.fields).expect("fields are of the schema");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for schema in Schema::ALL {
        for (from, horizon) in [(0, world::HORIZON), (world::version(2), world::HORIZON + 200)] {
            let context = DeltaContext { service: world::SERVICE, set: world::SHORT, schema, horizon };
            let history = world::history(schema);
            let object = encode_history(&context, from, world::VERSION, &history, world::log().leaves());
            seeds.push(object.expect("the history is in order"));
        }
    }
    seeds
}
