//! What must hold after every release: what readers are answered is what the model has, and it is proved.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tekd::release::delta::{
    ApplyLimits, DeltaContext, Header, apply_history, apply_live, encode_history, encode_live, prefer_full,
};
use tekd::release::tree::{prefix_of, root_of, verify_bucket};
use tekd::release::{
    Checkpoint, LiveSet, LogTree, Manifest, Schema, Verifier, log_leaf_hash, manifest_digest,
    parse_answer_prefix, verify_consistency, verify_inclusion,
};
use tekd::wire::layout::ObjectDescriptor;
use tekd::wire::question::{Bucket, Fetch, Proof, ProofKind, Sync};
use tekd::wire::{AnswerBody, Expected, Key, Operation, ResultCode, parse_answer};

use super::naive::{Naive, Release};
use super::world::{Dice, PEER, World};

/// A client, a node and a witness of one set, who remember every version.
pub(crate) struct Watcher {
    set: u32,
    verifier: Verifier,
    /// What was live at each version.
    seen: BTreeMap<u64, LiveSet>,
    histories: BTreeMap<u64, Vec<u8>>,
    checkpoints: Vec<Checkpoint>,
    /// Deltas applied.
    pub(crate) applied: u64,
}

/// The result and body of an OK answer on a stream.
fn ok<T>(
    answer: &[u8],
    question: &tekd::wire::QuestionBuilder,
    operation: Operation,
    read: impl FnOnce(&tekd::wire::Answer, AnswerBody<'_>) -> T,
) -> T {
    let expected = Expected { service: question.service, txid: question.txid, set: question.set, operation };
    let view = parse_answer(answer, &expected, true).expect("a sound answer");
    read(view.header, view.body)
}

impl Watcher {
    pub(crate) fn new(world: &World, set: u32) -> Watcher {
        Watcher {
            set,
            verifier: Verifier::new(world.trust(), set),
            seen: BTreeMap::new(),
            histories: BTreeMap::new(),
            checkpoints: Vec::new(),
            applied: 0,
        }
    }

    /// The newest checkpoint, asked for and verified.
    pub(crate) fn checkpoint(&mut self, world: &mut World) -> Checkpoint {
        let q = world.question(self.set);
        let mut out = [0; 64];
        let n = q.checkpoint(&mut out).unwrap();
        let answer = world.tls(&out[..n]).expect("an answer");
        let (parsed, _) = parse_answer_prefix(&answer[64..]).expect("a CHECKPOINT body");
        ok(&answer, &q, Operation::Checkpoint, |h, _| {
            assert_eq!(h.version.get(), parsed.checkpoint.version());
        });
        self.verifier.accept(&parsed).expect("a checkpoint that verifies")
    }

    /// The objects that lead from `from` to the newest version, made if need be.
    pub(crate) fn sync(&self, world: &mut World, from: u64, history: bool) -> Vec<ObjectDescriptor> {
        for _ in 0..2 {
            let q = world.question(self.set);
            let mut out = [0; 64];
            let asked = Sync { version: from, history };
            let n = q.sync(asked, &mut out).unwrap();
            let answer = world.tls(&out[..n]).expect("an answer");
            let objects = ok(&answer, &q, Operation::Sync, |_, body| match body {
                AnswerBody::Sync(sync) => Some(sync.read(asked).expect("objects that chain").to_vec()),
                AnswerBody::Refused(r) if r.result == ResultCode::Pending => None,
                other => panic!("{other:?}"),
            });
            if let Some(objects) = objects {
                return objects;
            }
            assert!(
                world.builder.grant_wishes().expect("an object") > 0,
                "who is told to wait is not forgotten"
            );
        }
        panic!("still pending after the wish was granted");
    }

    /// An object, fetched whole.
    pub(crate) fn fetch(&self, world: &mut World, digest: &[u8; 32]) -> Option<Vec<u8>> {
        let mut object = Vec::new();
        loop {
            let q = world.question(self.set);
            let mut out = [0; 128];
            let asked = Fetch { digest, offset: object.len() as u32, length: 1 << 19 };
            let n = q.fetch(&asked, &mut out).unwrap();
            let answer = world.tls(&out[..n]).expect("an answer");
            let total = ok(&answer, &q, Operation::Fetch, |_, body| match body {
                AnswerBody::Fetch(part) => {
                    let part = part.read(&asked).expect("the part that was asked for");
                    object.extend_from_slice(part.bytes);
                    Some(part.total as usize)
                }
                AnswerBody::Refused(r) if r.result == ResultCode::Gone => None,
                other => panic!("{other:?}"),
            })?;
            if object.len() == total {
                assert_eq!(Sha256::digest(&object)[..], digest[..]);
                return Some(object);
            }
        }
    }

    /// A client that holds `base` syncs to the newest version.
    pub(crate) fn follow(
        &self,
        world: &mut World,
        schema: Schema,
        base: &LiveSet,
        checkpoint: &Checkpoint,
    ) -> LiveSet {
        let mut set = base.clone();
        for object in self.sync(world, base.version(), false) {
            let bytes = self.fetch(world, &object.digest).expect("what SYNC names can be fetched");
            assert_eq!(bytes.len(), object.length.get() as usize);
            if object.from.get() == 0 {
                set = LiveSet::empty(schema);
            }
            let limits = ApplyLimits::for_live(
                checkpoint.service(),
                self.set,
                schema,
                checkpoint.count(),
                set.count(),
            );
            set = apply_live(schema, &set, &bytes, &limits).expect("a delta that applies");
        }
        set
    }

    /// Everything that must hold of the newest release.
    pub(crate) fn check(&mut self, world: &mut World, model: &Naive, dice: &mut Dice) {
        let release = model.newest().expect("a release");
        let schema = model.schema();
        let checkpoint = self.checkpoint(world);
        let live = self.check_checkpoint(world, &checkpoint, schema, release);
        self.check_deltas(world, &checkpoint, schema, &live, dice);
        self.check_history(world, &checkpoint, schema, release, dice);
        self.check_answers(world, &checkpoint, schema, &live, model, dice);
        self.check_proofs(world, &checkpoint, dice);
        let bytes = world.origin.state().to_bytes();
        let read = tekd::engine::State::from_bytes(&bytes).expect("a snapshot of our own");
        assert!(read.to_bytes() == bytes, "a state read back gives the same bytes");
        self.seen.insert(checkpoint.version(), live);
        self.histories.insert(checkpoint.version(), release.history.clone());
        self.checkpoints.push(checkpoint);
        // A month of versions is enough to keep.
        if self.seen.len() > 40 {
            self.seen.pop_first();
            self.histories.pop_first();
        }
    }

    fn check_checkpoint(&self, world: &mut World, c: &Checkpoint, schema: Schema, r: &Release) -> LiveSet {
        let version = world.origin.state().version(r.serial);
        assert_eq!((c.version(), c.time(), c.horizon()), (version, r.time, r.horizon));
        assert_eq!(c.count(), (r.live.len() / schema.public_len()) as u64);
        assert_eq!(c.schema(), schema.number());
        assert_eq!(c.root(), root_of(schema, &r.live).expect("in order"));
        assert_eq!(c.history()[..], Sha256::digest(&r.history)[..]);
        assert_eq!(world.set(self.set).live(), c.count());
        let manifest = self.fetch(world, &c.manifest()).expect("the manifest can be fetched");
        assert_eq!(manifest_digest(&manifest), c.manifest());
        let manifest = Manifest::parse_matching(&manifest, c).expect("the manifest of the checkpoint");
        assert_eq!(c.fresh_until() - c.time(), u64::from(manifest.fresh_s));
        let empty = LiveSet::empty(schema);
        let full = self.follow(world, schema, &empty, c);
        assert!(full.entries() == r.live, "the full set of version {version:#x} is the model's");
        assert!(full.matches(c.version(), c.horizon(), c.count(), &c.root()));
        full
    }

    fn context(&self, c: &Checkpoint, schema: Schema) -> DeltaContext {
        DeltaContext { service: c.service(), set: self.set, schema, horizon: c.horizon() }
    }

    /// From every version that is remembered, and from one of them the way a client goes.
    fn check_deltas(
        &mut self,
        world: &mut World,
        c: &Checkpoint,
        schema: Schema,
        live: &LiveSet,
        dice: &mut Dice,
    ) {
        let view = world.view.load();
        let table = &view.set(self.set).unwrap().release.as_ref().unwrap().generation;
        let context = self.context(c, schema);
        let encode = |from| encode_live(&context, from, c.version(), table.entry_bytes()).expect("a delta");
        let full = encode(0);
        for (version, base) in self.seen.iter().filter(|(_, base)| base.schema() == schema) {
            let delta = encode(*version);
            let limits = ApplyLimits::for_live(c.service(), self.set, schema, c.count(), base.count());
            let offered = if prefer_full(delta.len() as u64, full.len() as u64) { &full } else { &delta };
            let reached = apply_live(schema, base, offered, &limits).expect("a delta that applies");
            assert!(reached == *live, "{version:#x} leads to {:#x}", c.version());
            self.applied += 1;
        }
        let held: Vec<&LiveSet> = self.seen.values().filter(|base| base.schema() == schema).collect();
        if !held.is_empty() {
            let base = held[dice.below(held.len())];
            assert!(self.follow(world, schema, base, c) == *live);
        }
    }

    /// A node's way: from nothing, and from a version it held.
    fn check_history(&self, world: &World, c: &Checkpoint, schema: Schema, r: &Release, dice: &mut Dice) {
        let view = world.view.load();
        let view = view.set(self.set).unwrap().release.as_ref().unwrap();
        assert!(view.generation.entry_bytes() == r.history, "the table is the model's history");
        let leaves: Vec<[u8; 32]> = self.checkpoints.iter().map(|c| log_leaf_hash(c.as_bytes())).collect();
        let mut from = vec![(0, &[][..], 0)];
        if let Some(at) = (!self.histories.is_empty()).then(|| dice.below(self.histories.len())) {
            let (version, entries) = self.histories.iter().nth(at).unwrap();
            if self.seen[version].schema() == schema {
                let checkpoint = self.checkpoints.iter().find(|c| c.version() == *version).unwrap();
                from.push((*version, entries, checkpoint.log_size() as usize));
            }
        }
        for (version, base, known) in from {
            let entries = view.generation.entry_bytes();
            let object =
                encode_history(&self.context(c, schema), version, c.version(), entries, &leaves[known..])
                    .unwrap();
            if Header::read(&object).expect("a header of ours").kept == 0 && !base.is_empty() {
                // The horizon may have moved back since the set was empty (3.2.2): who held more starts anew.
                continue;
            }
            let held = (base.len() / schema.entry_len()) as u64;
            let limits =
                ApplyLimits::for_history(c.service(), self.set, schema, c.count(), held, c.log_size());
            let reached = apply_history(schema, version, base, &object, &limits).expect("it applies");
            assert!(reached.entries == r.history, "the history from {version:#x} is the direct one");
            assert!(reached.matches(c.version(), c.horizon(), c.count(), &c.root(), &c.history()));
            let mut log = LogTree::new();
            leaves[..known].iter().chain(&reached.leaves).for_each(|leaf| log.push(*leaf));
            assert_eq!((log.len(), log.root()), (c.log_size(), c.log_root()));
        }
    }

    fn check_answers(
        &self,
        world: &mut World,
        c: &Checkpoint,
        schema: Schema,
        live: &LiveSet,
        model: &Naive,
        dice: &mut Dice,
    ) {
        let claimed = model.claimed();
        let mut keys: Vec<Key> = (0..3).map(|_| dice.key(schema.key_len())).collect();
        keys.extend((0..5).filter(|_| !claimed.is_empty()).map(|_| claimed[dice.below(claimed.len())]));
        self.check_lookup(world, c, schema, live, &keys);
        let key = keys[dice.below(keys.len())];
        for bits in [c.bits(), dice.below(usize::from(c.bits()) + 1) as u8] {
            self.check_bucket(world, c, schema, live, key, bits, dice);
        }
    }

    fn check_lookup(&self, world: &mut World, c: &Checkpoint, schema: Schema, live: &LiveSet, keys: &[Key]) {
        let q = world.question(self.set);
        let mut out = [0; 1232];
        let n = q.lookup(keys, &mut out).unwrap();
        let answer = world.udp(&out[..n], PEER).expect("an answer");
        assert_eq!(answer.len(), n, "LOOKUP is answered in place");
        ok(&answer, &q, Operation::Lookup, |head, body| {
            let AnswerBody::Lookup(slots) = body else { panic!("{body:?}") };
            assert_eq!(head.version.get(), c.version());
            for (slot, key) in slots.read(keys).expect("the keys asked for").zip(keys) {
                let found = live.find(key.as_bytes());
                assert_eq!(slot.fields.is_some(), found.is_some());
                if let (Some(slot), Some(entry)) = (slot.fields, found) {
                    let (fields, zeros) = slot.split_at(schema.fields_len());
                    assert_eq!(fields, &entry[schema.key_len()..]);
                    assert!(zeros.iter().all(|byte| *byte == 0));
                }
            }
        });
    }

    #[allow(clippy::too_many_arguments)]
    fn check_bucket(
        &self,
        world: &mut World,
        c: &Checkpoint,
        schema: Schema,
        live: &LiveSet,
        key: Key,
        bits: u8,
        dice: &mut Dice,
    ) {
        let mut prefix = [0; 16];
        prefix.copy_from_slice(&key.as_bytes()[..16]);
        let view = world.view.load();
        let table = &view.set(self.set).unwrap().release.as_ref().unwrap().generation;
        let held = dice.below(usize::from(bits) + 1) as u8;
        let asked = Bucket { prefix: &prefix, bits, held };
        let q = world.question(self.set);
        let mut out = [0; 64];
        let n = q.bucket(&asked, &mut out).unwrap();
        let answer = world.tls(&out[..n]).expect("an answer");
        if bits < c.bits() {
            assert!(answer.len().is_multiple_of(8192), "padded on a stream");
        }
        let number = prefix_of(key.as_bytes(), bits);
        ok(&answer, &q, Operation::Bucket, |head, body| {
            let AnswerBody::Bucket(bucket) = body else { panic!("{body:?}") };
            let found = bucket.read(&asked, schema.public_len()).expect("a bucket");
            assert_eq!((head.version.get(), found.depth), (c.version(), c.bits()));
            let node = if held == 0 {
                c.root()
            } else {
                *table.node(held, prefix_of(key.as_bytes(), held)).expect("a node of the tree")
            };
            let path = found.siblings.concat();
            verify_bucket(&node, c.bits(), bits, held, number, schema, found.entries, &path).expect("proved");
            let inside = |e: &&[u8]| prefix_of(e, bits) == number;
            let expected: Vec<u8> =
                live.entries().chunks_exact(schema.public_len()).filter(inside).flatten().copied().collect();
            assert_eq!(found.entries, expected);
        });
    }

    fn check_proofs(&self, world: &mut World, c: &Checkpoint, dice: &mut Dice) {
        let size = c.log_size();
        assert_eq!(size, self.checkpoints.len() as u64, "one release, one leaf");
        if size == 0 {
            return;
        }
        let index = dice.below(size as usize);
        let leaf = log_leaf_hash(self.checkpoints[index].as_bytes());
        let proof = self.proof(world, ProofKind::Inclusion, index as u64, size);
        assert!(verify_inclusion(&leaf, index as u64, size, &proof, &c.log_root()));
        let older = &self.checkpoints[index];
        let proof = self.proof(world, ProofKind::Consistency, older.log_size(), size);
        let roots = (&older.log_root(), &c.log_root());
        assert!(verify_consistency(older.log_size(), size, roots.0, roots.1, &proof));
    }

    fn proof(&self, world: &mut World, kind: ProofKind, first: u64, second: u64) -> Vec<[u8; 32]> {
        let q = world.question(self.set);
        let mut out = [0; 64];
        let n = q.proof(Proof { kind, first, second }, &mut out).unwrap();
        let answer = world.tls(&out[..n]).expect("an answer");
        ok(&answer, &q, Operation::Proof, |_, body| match body {
            AnswerBody::Proof(hashes) => hashes.to_vec(),
            other => panic!("{other:?}"),
        })
    }
}
