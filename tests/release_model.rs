//! Random lives of a set against a naive model: every delta leads where the model is, every root
//! is the model's, equal inputs give equal bytes, and no damaged or invented object does more than
//! be refused (protocol-spec 3.2, 3.3, 3.8).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use sha2::{Digest, Sha256};
use tekd::release::delta::{
    ApplyLimits, DeltaContext, HEADER_LEN, Header, Kind, apply_history, apply_live, encode_history,
    encode_live,
};
use tekd::release::{Fields, Hash, LIVE, LiveSet, ONSET_NONE, Schema, build_tree};

const SERVICE: [u8; 8] = *b"service.";
const SET: u32 = 7;
const INCARNATION: u64 = 3 << 32;

/// Runs a property with a seed that is printed, or given in `TEKD_SEED`.
fn check<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let random = || std::hash::RandomState::new().build_hasher().finish();
    let seed = std::env::var("TEKD_SEED").map_or_else(|_| random(), |text| text.parse().expect("a number"));
    println!("TEKD_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, rng).run(strategy, test).unwrap();
}

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A key of a small pool is published, anew or again, with some fields.
    Publish(u8, u8),
    /// A live key is withdrawn.
    Withdraw(u8),
    /// Time goes on by so many intervals of the horizon.
    Expire(u8),
    /// The release is made.
    Release,
}

fn ops(most: usize) -> impl Strategy<Value = (Schema, Vec<Op>)> {
    let op = prop_oneof![
        8 => (any::<u8>(), any::<u8>()).prop_map(|(key, fields)| Op::Publish(key, fields)),
        3 => any::<u8>().prop_map(Op::Withdraw),
        1 => (0..40_u8).prop_map(Op::Expire),
        2 => Just(Op::Release),
    ];
    (prop::sample::select(Schema::ALL.to_vec()), vec(op, 0..most))
}

/// A key of the pool. Every fourth shares its first eight bytes with another.
fn key(schema: Schema, number: u8) -> Vec<u8> {
    let digest = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(bytes).into() };
    let mut key = digest(&[number]);
    if number & 3 == 3 {
        key[..8].copy_from_slice(&digest(&[number - 1])[..8]);
    }
    key[..schema.key_len()].to_vec()
}

fn fields(schema: Schema, choice: u8) -> Fields {
    let onset = if choice.is_multiple_of(3) { ONSET_NONE } else { (choice % 29) as i8 - 14 };
    let start = 1000 + u32::from(choice % 5) * 10;
    schema.coarsen(Fields { start, period: 144, report: choice % 5, risk: choice % 9, onset })
}

/// An entry as the model keeps it: its place in the order, fields, and the serial of its end.
type Entries = BTreeMap<(Vec<u8>, u32), (Fields, u32)>;

#[derive(Clone, Default)]
struct Version {
    horizon: u32,
    entries: Entries,
    leaves: usize,
}

/// All versions of a life, from 0.
fn live_a_life(schema: Schema, ops: &[Op]) -> Vec<Version> {
    let mut versions = vec![Version::default()];
    let mut now = Version { horizon: 1100, ..Version::default() };
    for op in ops.iter().chain([&Op::Release]) {
        let serial = versions.len() as u32;
        match *op {
            Op::Publish(number, choice) => {
                let key = key(schema, number);
                // A key withdrawn in this very release is not published again before the next.
                let busy = now
                    .entries
                    .iter()
                    .any(|((k, add), (_, del))| *k == key && (*del == LIVE || *add == serial));
                if !busy {
                    now.entries.insert((key, serial), (fields(schema, choice), LIVE));
                }
            }
            Op::Withdraw(number) => {
                let key = key(schema, number);
                let live = now
                    .entries
                    .iter_mut()
                    .find(|((k, add), (_, del))| *k == key && *del == LIVE && *add < serial);
                if let Some((_, (_, del))) = live {
                    *del = serial;
                }
            }
            Op::Expire(by) => now.horizon += u32::from(by),
            Op::Release => {
                let horizon = now.horizon;
                now.entries.retain(|_, (fields, _)| fields.start + u32::from(fields.period) > horizon);
                now.leaves = serial as usize - 1;
                versions.push(now.clone());
            }
        }
    }
    versions
}

fn history(schema: Schema, entries: &Entries) -> Vec<u8> {
    let mut bytes = Vec::new();
    for ((key, add), (fields, del)) in entries {
        schema.history_entry(key, fields, *add, *del, &mut bytes);
    }
    bytes
}

fn live(schema: Schema, version: &Version, serial: u32) -> LiveSet {
    let mut bytes = Vec::new();
    for ((key, add), (fields, del)) in &version.entries {
        if *add <= serial && serial < *del {
            schema.public_entry(key, fields, &mut bytes);
        }
    }
    LiveSet::new(schema, number(serial), version.horizon, bytes).expect("the model is in order")
}

fn number(serial: u32) -> u64 {
    if serial == 0 { 0 } else { INCARNATION | u64::from(serial) }
}

fn context(schema: Schema, horizon: u32) -> DeltaContext {
    DeltaContext { service: SERVICE, set: SET, schema, horizon }
}

fn leaf(index: usize) -> Hash {
    Sha256::digest(index.to_le_bytes()).into()
}

fn live_limits(schema: Schema, count: u64, held: u64) -> ApplyLimits {
    ApplyLimits::for_live(SERVICE, SET, schema, count, held)
}

fn history_limits(schema: Schema, leaves: usize) -> ApplyLimits {
    ApplyLimits::for_history(SERVICE, SET, schema, 0, 0, leaves as u64)
}

#[test]
fn every_delta_leads_to_the_model() {
    check(150, &ops(120), |(schema, ops)| {
        let versions = live_a_life(schema, &ops);
        let to = versions.len() as u32 - 1;
        let newest = &versions[to as usize];
        let (history, expected) = (history(schema, &newest.entries), live(schema, newest, to));
        let tree = build_tree(schema, &history, to);
        prop_assert_eq!((tree.count, tree.root), (expected.count(), expected.root()));
        for from in 0..to {
            let base = live(schema, &versions[from as usize], from);
            let context = context(schema, newest.horizon);
            let delta = encode_live(&context, number(from), number(to), &history)?;
            prop_assert_eq!(&delta, &encode_live(&context, number(from), number(to), &history)?);
            let result =
                apply_live(schema, &base, &delta, &live_limits(schema, expected.count(), base.count()))?;
            prop_assert!(result == expected, "from {} to {}", from, to);
            prop_assert!(result.matches(number(to), newest.horizon, tree.count, &tree.root));
        }
        Ok(())
    });
}

#[test]
fn histories_from_nothing_and_from_every_version_are_the_direct_history() {
    check(150, &ops(120), |(schema, ops)| {
        let versions = live_a_life(schema, &ops);
        let to = versions.len() as u32 - 1;
        let newest = &versions[to as usize];
        let expected = history(schema, &newest.entries);
        for from in 0..to {
            let before = &versions[from as usize];
            let base = history(schema, &before.entries);
            let first = if from == 0 { 0 } else { before.leaves };
            let leaves: Vec<Hash> = (first..newest.leaves).map(leaf).collect();
            let context = context(schema, newest.horizon);
            let delta = encode_history(&context, number(from), number(to), &expected, &leaves)?;
            prop_assert_eq!(&delta, &encode_history(&context, number(from), number(to), &expected, &leaves)?);
            let limits = history_limits(schema, newest.leaves);
            let result = apply_history(schema, number(from), &base, &delta, &limits)?;
            prop_assert!(result.entries == expected, "from {} to {}", from, to);
            prop_assert_eq!(&result.leaves, &leaves);
            let live = live(schema, newest, to);
            let digest: Hash = Sha256::digest(&expected).into();
            prop_assert!(result.matches(number(to), newest.horizon, live.count(), &live.root(), &digest));
        }
        Ok(())
    });
}

#[test]
fn a_delta_cares_only_for_what_its_version_holds() {
    check(60, &ops(120), |(schema, ops)| {
        let versions = live_a_life(schema, &ops);
        for to in 1..versions.len() as u32 {
            let version = &versions[to as usize];
            let context = context(schema, version.horizon);
            // A newer history without an expiry in between holds all of the older one and more.
            let newer = versions.iter().rposition(|newer| newer.horizon == version.horizon).expect("itself");
            let (own, newer) = (history(schema, &version.entries), history(schema, &versions[newer].entries));
            for from in 0..to {
                let (from, to) = (number(from), number(to));
                prop_assert_eq!(
                    encode_live(&context, from, to, &own)?,
                    encode_live(&context, from, to, &newer)?
                );
                let both = [&own, &newer].map(|history| encode_history(&context, from, to, history, &[]));
                prop_assert_eq!(both[0].clone()?, both[1].clone()?);
            }
        }
        Ok(())
    });
}

/// A delta of each kind between two versions, with what it should lead to.
struct Small {
    schema: Schema,
    base: LiveSet,
    live: LiveSet,
    delta: Vec<u8>,
    base_history: Vec<u8>,
    history: Vec<u8>,
    history_delta: Vec<u8>,
}

impl Small {
    fn of(schema: Schema, ops: &[Op]) -> Self {
        let versions = live_a_life(schema, ops);
        let to = versions.len() as u32 - 1;
        let from = to / 2;
        let (before, newest) = (&versions[from as usize], &versions[to as usize]);
        let history_bytes = history(schema, &newest.entries);
        let context = context(schema, newest.horizon);
        Self {
            schema,
            base: live(schema, before, from),
            live: live(schema, newest, to),
            delta: encode_live(&context, number(from), number(to), &history_bytes).unwrap(),
            base_history: history(schema, &before.entries),
            history_delta: encode_history(&context, number(from), number(to), &history_bytes, &[leaf(1)])
                .unwrap(),
            history: history_bytes,
        }
    }

    /// Applies a damaged live delta: it must be refused or lead elsewhere, unless nothing but the
    /// choice of a parameter is changed, with which the same sections happen to say the same.
    fn damaged_live(&self, delta: &[u8]) -> Result<(), TestCaseError> {
        let excused = differs_in_choice_alone(delta, &self.delta);
        let limits = live_limits(self.schema, self.live.count() + 1000, 1 << 20);
        if let Ok(set) = apply_live(self.schema, &self.base, delta, &limits) {
            let (live, root) = (&self.live, self.live.root());
            prop_assert!(excused || !set.matches(live.version(), live.horizon(), live.count(), &root));
            prop_assert!(
                LiveSet::new(self.schema, 1, 0, set.entries().to_vec()).is_ok(),
                "in order in any case"
            );
        }
        Ok(())
    }

    fn damaged_history(&self, delta: &[u8]) -> Result<(), TestCaseError> {
        let excused = differs_in_choice_alone(delta, &self.history_delta);
        let limits = history_limits(self.schema, 1);
        if let Ok(result) =
            apply_history(self.schema, self.base.version(), &self.base_history, delta, &limits)
        {
            let (live, root) = (&self.live, self.live.root());
            let digest: Hash = Sha256::digest(&self.history).into();
            let matches = result.matches(live.version(), live.horizon(), live.count(), &root, &digest);
            prop_assert!(excused || !matches || result.leaves != [leaf(1)]);
        }
        Ok(())
    }
}

/// Whether two objects differ only in `removal_k`, `key_k` or `serial_bits`: a decoder does not
/// judge how they were chosen (3.8.2).
fn differs_in_choice_alone(damaged: &[u8], delta: &[u8]) -> bool {
    let differ = |(at, (a, b)): (usize, (&u8, &u8))| a == b || [13, 14, 92].contains(&at);
    damaged.len() == delta.len() && damaged.iter().zip(delta).enumerate().all(differ)
}

#[test]
fn truncated_and_bit_flipped_deltas_are_refused_or_lead_elsewhere() {
    check(25, &ops(60), |(schema, ops)| {
        let small = Small::of(schema, &ops);
        for cut in 0..small.delta.len() {
            prop_assert!(
                apply_live(schema, &small.base, &small.delta[..cut], &live_limits(schema, 1000, 0)).is_err()
            );
        }
        for bit in 0..small.delta.len() * 8 {
            let mut delta = small.delta.clone();
            delta[bit / 8] ^= 1 << (bit % 8);
            small.damaged_live(&delta)?;
        }
        for bit in 0..small.history_delta.len() * 8 {
            let mut delta = small.history_delta.clone();
            delta[bit / 8] ^= 1 << (bit % 8);
            small.damaged_history(&delta)?;
        }
        Ok(())
    });
}

#[test]
fn rewritten_bytes_never_panic() {
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 1..12);
    check(400, &(ops(40), damage), |((schema, ops), damage)| {
        let small = Small::of(schema, &ops);
        let (mut delta, mut history_delta) = (small.delta.clone(), small.history_delta.clone());
        for (at, value) in damage {
            let (at, history_at) = (at.index(delta.len()), at.index(history_delta.len()));
            delta[at] = value;
            history_delta[history_at] = value;
        }
        if delta != small.delta {
            small.damaged_live(&delta)?;
        }
        if history_delta != small.history_delta {
            small.damaged_history(&history_delta)?;
        }
        Ok(())
    });
}

/// A header that adds up, over sections of arbitrary bytes.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let numbers = (0..40_u32, 0..40_u32, 0..32_u8, 0..64_u8, any::<u32>(), 0..4_u32);
    let sections = (vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..40));
    (
        prop::sample::select(Schema::ALL.to_vec()),
        any::<bool>(),
        any::<bool>(),
        numbers,
        sections,
        any::<u64>(),
    )
        .prop_map(
            |(
                schema,
                history,
                plain,
                (removed, added, removal_k, key_k, base, rows),
                (removals, bytes, serials),
                seed,
            )| {
                let kind = if history { Kind::History } else { Kind::Live };
                let tails = added as usize * (schema.key_len() - 8);
                let tuples = if plain { added as usize * 6 } else { 8 + bytes.len() / 40 * 4 };
                let header = Header {
                    schema,
                    kind,
                    removal_k: if removed > 0 { removal_k } else { 0 },
                    key_k: if added > 0 { key_k } else { 0 },
                    tuple_mode: if plain && added > 0 {
                        tekd::release::delta::TupleMode::Plain
                    } else {
                        tekd::release::delta::TupleMode::Coded
                    },
                    service: SERVICE,
                    set: SET,
                    horizon: 0,
                    from: 1,
                    to: 9,
                    kept: 40,
                    removed,
                    added,
                    after: 40 + added - if history { 0 } else { removed },
                    start_base: if added > 0 { base } else { 0 },
                    rows: if plain || added == 0 { 0 } else { rows.max(1) },
                    removal_len: if removed > 0 { removals.len() as u32 } else { 0 },
                    gap_len: if added > 0 { bytes.len() as u32 } else { 0 },
                    tuple_len: if added > 0 { tuples as u32 } else { 0 },
                    serial_len: if history && removed + added > 0 { serials.len() as u32 } else { 0 },
                    leaves: 0,
                    serial_bits: if history && removed + added > 0 { 2 } else { 0 },
                    serial_base: if history && removed + added > 0 { 2 } else { 0 },
                };
                let mut object = header.write().to_vec();
                let mut state = seed;
                let mut noise = |len: usize, object: &mut Vec<u8>| {
                    for _ in 0..len {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        object.push((state >> 56) as u8 & (state >> 48) as u8 & (state >> 40) as u8);
                    }
                };
                noise(header.rows as usize * 8, &mut object);
                object.extend_from_slice(&removals[..header.removal_len as usize]);
                object.extend_from_slice(&bytes[..header.gap_len as usize]);
                noise(tails, &mut object);
                noise(header.tuple_len as usize, &mut object);
                object.extend_from_slice(&serials[..header.serial_len as usize]);
                object
            },
        )
}

#[test]
fn arbitrary_sections_under_a_plausible_header_never_panic() {
    check(4000, &plausible(), |object| {
        let header = Header::read(&object)?;
        let schema = header.schema;
        let mut entries = Vec::new();
        let mut history = Vec::new();
        for number in 0..40_u8 {
            let mut key = vec![number * 6; schema.key_len()];
            key[8..].fill(0);
            let fields = Fields { period: 144, ..Fields::default() };
            schema.public_entry(&key, &fields, &mut entries);
            schema.history_entry(&key, &fields, 1, LIVE, &mut history);
        }
        match header.kind {
            Kind::Live => {
                let base = LiveSet::new(schema, 1, 0, entries)?;
                if let Ok(set) = apply_live(schema, &base, &object, &live_limits(schema, 100, 1000)) {
                    prop_assert_eq!(set.count(), u64::from(header.after));
                    prop_assert!(LiveSet::new(schema, 9, 0, set.entries().to_vec()).is_ok());
                }
            }
            Kind::History => {
                if let Ok(result) = apply_history(schema, 1, &history, &object, &history_limits(schema, 0)) {
                    prop_assert_eq!(result.entries.len(), header.after as usize * schema.entry_len());
                }
            }
        }
        Ok(())
    });
}

#[test]
fn arbitrary_bytes_never_panic() {
    let bytes = (vec(any::<u8>(), 0..400), any::<bool>());
    check(2000, &bytes, |(mut bytes, headed)| {
        if headed && bytes.len() > HEADER_LEN {
            bytes[..12].copy_from_slice(b"TEKDDLT1\x01\0\x01\0");
            bytes[93..96].fill(0);
            bytes[100..128].fill(0);
        }
        for schema in Schema::ALL {
            let (live, history) = (live_limits(schema, 1000, 0), history_limits(schema, 9));
            let _ = apply_live(schema, &LiveSet::empty(schema), &bytes, &live).is_ok();
            let _ = apply_history(schema, 0, &[], &bytes, &history).is_ok();
        }
        Ok(())
    });
}

#[test]
fn what_was_not_asked_for_is_refused_before_it_is_read() {
    let schema = Schema::GaenMinimal;
    let mut history = Vec::new();
    schema.history_entry(&[9; 16], &fields(schema, 1), 1, LIVE, &mut history);
    let delta = encode_live(&context(schema, 0), 0, number(1), &history).unwrap();
    let empty = LiveSet::empty(schema);
    let good = live_limits(schema, 1, 0);
    assert!(apply_live(schema, &empty, &delta, &good).is_ok());
    let text = |limits: ApplyLimits| apply_live(schema, &empty, &delta, &limits).unwrap_err().to_string();
    assert!(text(ApplyLimits { max_after: 0, ..good }).contains("1 entries, more than 0"));
    assert!(text(ApplyLimits { max_length: 100, ..good }).contains("more than 100"));
    assert!(text(ApplyLimits { set: 8, ..good }).contains("set is 7, not 8"));
    assert!(text(ApplyLimits { service: [0; 8], ..good }).contains("service"));
    assert!(apply_live(Schema::GaenFull, &LiveSet::empty(Schema::GaenFull), &delta, &good).is_err());
    assert!(apply_history(schema, 0, &[], &delta, &history_limits(schema, 0)).is_err());
    let other = LiveSet::new(schema, number(5), 0, Vec::new()).unwrap();
    let later = encode_live(&context(schema, 0), number(4), number(6), &history).unwrap();
    assert!(apply_live(schema, &other, &later, &good).is_err(), "the base is of another version");
    assert!(encode_live(&context(schema, 0), number(6), number(6), &history).is_err());
    assert!(encode_live(&context(schema, 0), number(6), number(4), &history).is_err());
}
