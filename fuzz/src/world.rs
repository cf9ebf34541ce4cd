//! A small world: a service with three sets, made once, that targets ask, sync from and verify.
//!
//! Its keys are spread over all prefixes, its entries have three releases of history, and its
//! signing keys are known, so that a target can sign what an input says.

use std::sync::Arc;

use tekd::engine::{Kind, Objects, ReleaseView, SetView, Shelf, Source, View};
use tekd::release::{
    Checkpoint, CheckpointFields, Delegation, DelegationFields, Fields, LIVE, LogTree, Manifest, Schema,
    SigningKey, Trust, build_tree, compose_answer_body, log_leaf_hash, manifest_digest,
};
use tekd::store::generation::{Generation, GenerationMeta};

/// Id of the service.
pub const SERVICE: [u8; 8] = *b"smallone";
/// The set of short keys.
pub const SHORT: u32 = 1;
/// The set of long keys.
pub const LONG: u32 = 2;
/// The set without a release.
pub const EMPTY: u32 = 3;
/// Serial of the newest release.
pub const SERIAL: u32 = 3;
/// Its version.
pub const VERSION: u64 = version(SERIAL);
/// Its time, Unix seconds.
pub const TIME: u64 = 1_790_000_000;
/// Its horizon, an interval number.
pub const HORIZON: u32 = (TIME / 600) as u32 - 14 * 144;
/// Keys of a set.
pub const KEYS: u32 = 50;

/// The version of a serial.
pub const fn version(serial: u32) -> u64 {
    1 << 32 | serial as u64
}

/// The root key.
pub fn root() -> SigningKey {
    SigningKey::from_secret([1; 32])
}

/// The online key.
pub fn online() -> SigningKey {
    SigningKey::from_secret([2; 32])
}

/// What clients believe.
pub fn trust() -> Trust {
    Trust { service: SERVICE, threshold: 1, roots: vec![root().public()], sets: vec![SHORT, LONG, EMPTY] }
}

/// The delegation of the online key with its signatures.
pub fn delegation() -> Vec<u8> {
    let online = online().public();
    Delegation::new(&DelegationFields {
        epoch: 1,
        service: SERVICE,
        not_before: 0,
        not_after: 2 * TIME,
        online,
    })
    .sign(&[root()])
}

/// Key `number` of a schema: ascending, spread over all prefixes, the first two of each four close.
pub fn key(schema: Schema, number: u32) -> Vec<u8> {
    let head = if number % 4 == 1 { number - 1 } else { number };
    let mut key = (head * (u32::MAX / KEYS)).to_be_bytes().to_vec();
    key.resize(schema.key_len(), number as u8);
    key
}

/// Coarsened fields of key `number`.
pub fn fields(schema: Schema, number: u32) -> Fields {
    let start = HORIZON + 144 * (number % 14);
    schema.coarsen(Fields {
        start,
        period: 144,
        report: 1,
        risk: (number % 9) as u8,
        onset: (number % 5) as i8,
    })
}

/// All history entries at the newest release: each seventh key was withdrawn by it, each
/// fourteenth has come back.
pub fn history(schema: Schema) -> Vec<u8> {
    let mut entries = Vec::new();
    for number in 0..KEYS {
        let (key, fields) = (key(schema, number), fields(schema, number));
        let add = 1 + number % 3;
        let gone = number % 7 == 0 && add < SERIAL;
        schema.history_entry(&key, &fields, add, if gone { SERIAL } else { LIVE }, &mut entries);
        if gone && number % 14 == 0 {
            schema.history_entry(&key, &fields, SERIAL, LIVE, &mut entries);
        }
    }
    entries
}

/// The entries of `history` that release `serial` had.
pub fn history_at(schema: Schema, serial: u32) -> Vec<u8> {
    let mut entries = Vec::new();
    for entry in schema.views(&history(schema)).filter(|entry| entry.add_serial <= serial) {
        let del = if entry.del_serial <= serial { entry.del_serial } else { LIVE };
        entries.extend_from_slice(entry.public);
        entries.extend_from_slice(&entry.add_serial.to_le_bytes());
        entries.extend_from_slice(&del.to_le_bytes());
    }
    entries
}

/// The table of the newest release.
pub fn generation(set: u32, schema: Schema) -> Generation {
    let history = history(schema);
    let tree = build_tree(schema, &history, SERIAL);
    let meta = GenerationMeta {
        service: SERVICE,
        set,
        schema: schema.number(),
        key_len: schema.key_len() as u8,
        entry_len: schema.entry_len() as u8,
        version: VERSION,
        time: TIME,
        horizon: HORIZON,
        bits: tree.b,
    };
    Generation::in_memory(meta, history, tree.nodes).expect("the history is in order")
}

/// The manifest of a set, signed.
pub fn manifest(set: u32, schema: Schema) -> Vec<u8> {
    let manifest = Manifest {
        service: SERVICE,
        set,
        number: 1,
        time: TIME,
        schema: schema.number(),
        retention_days: 14,
        interval_s: 900,
        fresh_s: 2400,
        too_old_s: 604_800,
        min_protocol: 1,
        max_keys: 30,
        max_period: 144,
        key_epoch: 1,
        ..Manifest::default()
    };
    manifest.encode_signed(&online()).expect("nothing in it is too long")
}

/// The leaf hashes of the checkpoint log below the newest release.
pub fn log() -> LogTree {
    let mut log = LogTree::new();
    for serial in 1..SERIAL {
        log.push(log_leaf_hash(&serial.to_le_bytes()));
    }
    log
}

/// What the newest checkpoint of a set says.
pub fn checkpoint(set: u32, schema: Schema) -> CheckpointFields {
    let generation = generation(set, schema);
    let log = log();
    CheckpointFields {
        set,
        service: SERVICE,
        version: VERSION,
        time: TIME,
        fresh_until: TIME + 2400,
        horizon: HORIZON,
        schema: schema.number(),
        bits: generation.meta().bits,
        count: generation.live(),
        log_size: log.len(),
        root: *generation.root(),
        log_root: log.root(),
        manifest: manifest_digest(&manifest(set, schema)),
        history: *generation.digest(),
        key_epoch: 1,
    }
}

/// The body of a CHECKPOINT answer that says `fields`, signed.
pub fn signed(fields: &CheckpointFields) -> Vec<u8> {
    let checkpoint = Checkpoint::new(fields);
    compose_answer_body(checkpoint.as_bytes(), &checkpoint.sign(&online()), &delegation())
}

/// All three sets as readers see them.
pub fn view() -> View {
    let next_release = TIME + 900;
    let mut view = View::empty(SERVICE, 7);
    for (set, schema) in [(SHORT, Schema::GaenMinimal), (LONG, Schema::Dp3t)] {
        let manifest = Arc::new(manifest(set, schema));
        let release = Some(release(set, schema, Arc::clone(&manifest)));
        view = view.with_set(SetView { set, schema, interval_s: 900, next_release, manifest, release });
    }
    let (schema, manifest) = (Schema::GaenFull, Arc::new(manifest(EMPTY, Schema::GaenFull)));
    view.with_set(SetView { set: EMPTY, schema, interval_s: 900, next_release, manifest, release: None })
}

fn release(set: u32, schema: Schema, manifest: Arc<Vec<u8>>) -> ReleaseView {
    let fields = checkpoint(set, schema);
    let generation = Arc::new(generation(set, schema));
    let objects = objects(set, schema, &generation, &manifest);
    ReleaseView {
        checkpoint: Checkpoint::new(&fields),
        checkpoint_answer: Arc::new(signed(&fields)),
        generation,
        bridges: Arc::default(),
        log: Arc::new(log()),
        objects,
    }
}

/// The full set, deltas from both releases before, and a history.
fn objects(set: u32, schema: Schema, generation: &Arc<Generation>, manifest: &Arc<Vec<u8>>) -> Objects {
    let mut shelf = Shelf::new();
    let mut source = Source {
        service: SERVICE,
        set,
        schema,
        version: 0,
        time: TIME,
        horizon: HORIZON,
        generation: Arc::clone(generation),
        leaves: Arc::new(log().leaves().to_vec()),
        manifest: Arc::clone(manifest),
    };
    for serial in 1..=SERIAL {
        source.version = version(serial);
        shelf.release(&source).expect("the history is in order");
    }
    shelf.want(&source, Kind::History, 0).expect("the history is in order");
    shelf.objects()
}
