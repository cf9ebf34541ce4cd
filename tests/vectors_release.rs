//! The vectors of protocol-spec/vectors/release.json, which another program wrote from the text of
//! the specification: what it encodes this decodes, what this encodes are its bytes, and what it
//! says is broken is refused (3.1–3.3, 3.7, 3.8).
#![cfg(feature = "net")] // JSON is read by a library of that feature.

use serde_json::Value;
use sha2::{Digest, Sha256};
use tekd::release::bits::{BitReader, BitWriter};
use tekd::release::delta::{
    ApplyLimits, DeltaContext, Header, TupleMode, apply_history, apply_live, encode_history, encode_live,
};
use tekd::release::rans::{self, Model, RansReader, Scale};
use tekd::release::schema::expired;
use tekd::release::{EntryView, Fields, Hash, LIVE, LiveSet, Schema, build_tree, rice, tree};

/// One case, with the parts of a case read by name.
struct Case<'a>(&'a Value);

impl Case<'_> {
    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("{name} is a number in {}", self.0))
    }

    fn numbers(&self, name: &str) -> Vec<u64> {
        self.0[name].as_array().expect(name).iter().map(|n| n.as_u64().expect(name)).collect()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        hex::decode(self.0[name].as_str().unwrap_or_else(|| panic!("{name} in {}", self.0))).expect("hex")
    }

    fn hash(&self, name: &str) -> Hash {
        self.bytes(name).try_into().expect("32 bytes")
    }

    fn schema(&self) -> Schema {
        Schema::from_number(self.number("schema") as u16).expect("a schema")
    }

    fn fields(&self, name: &str) -> Fields {
        let values: Vec<i64> =
            self.0[name].as_array().expect(name).iter().map(|n| n.as_i64().expect(name)).collect();
        let [start, period, report, risk, onset] = values.try_into().expect("five fields");
        Fields {
            start: start as u32,
            period: period as u16,
            report: report as u8,
            risk: risk as u8,
            onset: onset as i8,
        }
    }
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../protocol-spec/vectors/release.json")).expect("JSON")
}

/// Runs over the cases of a list, which must not be empty.
fn each(list: &Value, test: impl Fn(Case<'_>)) {
    let cases = list.as_array().expect("a list of cases");
    assert!(!cases.is_empty());
    cases.iter().for_each(|case| test(Case(case)));
}

#[test]
fn schemas_coarsen_and_write_as_the_text_says() {
    let vectors = &vectors()["schema"];
    each(&vectors["coarsening"], |case| {
        let (schema, coarsened) = (case.schema(), case.fields("coarsened"));
        assert_eq!(schema.coarsen(case.fields("fields")), coarsened);
        let mut bytes = vec![0xFF; schema.fields_len()];
        schema.write_fields(&coarsened, &mut bytes);
        assert_eq!(bytes, case.bytes("bytes"));
        assert_eq!(schema.read_fields(&bytes), Ok(coarsened));
    });
    each(&vectors["entries"], |case| {
        let (schema, fields, expected) = (case.schema(), case.fields("fields"), case.bytes("history"));
        let (add, del) = (case.number("add_serial") as u32, case.number("del_serial") as u32);
        let mut entry = Vec::new();
        schema.history_entry(&case.bytes("key"), &fields, add, del, &mut entry);
        assert_eq!(entry, expected);
        let view = EntryView::new(schema, &expected).expect("one entry");
        assert_eq!((view.public, view.key), (&case.bytes("public")[..], &case.bytes("key")[..]));
        assert_eq!((view.add_serial, view.del_serial), (add, del));
    });
    each(&vectors["refused"], |case| {
        assert!(case.schema().read_fields(&case.bytes("bytes")).is_err(), "{}", case.0);
    });
    each(&vectors["expiry"], |case| {
        let expected = case.0["expired"].as_bool().expect("a truth");
        assert_eq!(expired(&case.bytes("bytes"), case.number("horizon") as u32), expected, "{}", case.0);
    });
}

#[test]
fn trees_have_the_depths_and_roots_of_the_text() {
    let vectors = &vectors()["tree"];
    each(&vectors["depths"], |case| {
        let [n, b] = [0, 1].map(|i| case.0[i].as_u64().expect("a number"));
        assert_eq!(u64::from(tree::depth(n)), b, "{n} entries");
    });
    each(&vectors["trees"], |case| {
        let entries = case.bytes("entries");
        let set = LiveSet::new(case.schema(), 1, 0, entries).expect("a sorted set");
        assert_eq!((set.count(), set.root()), (case.number("count"), case.hash("root")));
        assert_eq!(u64::from(tree::depth(set.count())), case.number("b"));
    });
}

#[test]
fn rice_codes_and_their_parameters_are_those_of_the_text() {
    let vectors = &vectors()["code"];
    let check = |numbers: &[u64], k: u32, bytes: &[u8]| {
        let mut writer = BitWriter::default();
        numbers.iter().for_each(|&x| rice::put(&mut writer, x, k));
        assert_eq!(writer.finish(), bytes);
        let mut reader = BitReader::new(bytes);
        numbers.iter().for_each(|&x| assert_eq!(reader.take_rice(k), Ok(x)));
        assert_eq!(reader.finish(), Ok(()));
    };
    each(&vectors["rice"], |case| {
        check(&case.numbers("numbers"), case.number("k") as u32, &case.bytes("bytes"));
    });
    each(&vectors["removals"], |case| {
        let gaps = case.numbers("gaps");
        let choice = rice::choose_removal_k(&gaps.iter().map(|&gap| gap as u32).collect::<Vec<_>>());
        assert_eq!(u64::from(choice.k), case.number("k"), "{}", case.0);
        check(&gaps, choice.k, &case.bytes("bytes"));
    });
}

#[test]
fn frequencies_and_entropy_codes_are_those_of_the_text() {
    let vectors = &vectors()["code"];
    let narrow = |numbers: Vec<u64>| numbers.into_iter().map(|n| n as u32).collect::<Vec<_>>();
    let scale = |case: &Case<'_>| match case.number("bits") {
        16 => Scale::Narrow,
        18 => Scale::Wide,
        other => panic!("no scale of {other} bits"),
    };
    each(&vectors["frequencies"], |case| {
        let found = rans::frequencies(&narrow(case.numbers("counts")), scale(&case));
        assert_eq!(found, narrow(case.numbers("frequencies")));
    });
    each(&vectors["rans"], |case| {
        let (table, code) = (narrow(case.numbers("frequencies")), case.bytes("bytes"));
        let symbols: Vec<u16> = case.numbers("symbols").into_iter().map(|s| s as u16).collect();
        let scale = scale(&case);
        assert_eq!(rans::encode(&symbols, &table, scale), code);
        let mut reader = RansReader::new(Model::new(&table, scale).expect("a table"), &code).expect("a code");
        symbols.iter().for_each(|&symbol| assert_eq!(reader.take(), Ok(symbol)));
        assert_eq!(reader.finish(), Ok(()));
    });
}

/// Service and set of all deltas.
fn identity(vectors: &Value) -> ([u8; 8], u32) {
    let whole = Case(vectors);
    (whole.bytes("service").try_into().expect("8 bytes"), whole.number("set") as u32)
}

#[test]
fn deltas_are_made_and_applied_to_the_byte() {
    let vectors = vectors();
    let (service, set) = identity(&vectors);
    each(&vectors["deltas"], |case| {
        let name = &case.0["name"];
        let (schema, horizon) = (case.schema(), case.number("horizon") as u32);
        let (from, to, count) = (case.number("from"), case.number("to"), case.number("count"));
        let (history, base, delta, result) =
            (case.bytes("history"), case.bytes("base"), case.bytes("delta"), case.bytes("result"));
        let context = DeltaContext { service, set, schema, horizon };
        if case.number("kind") == 1 {
            assert_eq!(encode_live(&context, from, to, &history), Ok(delta.clone()), "{name}");
            let base = LiveSet::new(schema, from, 0, base).expect("a sorted base");
            let limits = ApplyLimits::for_live(service, set, schema, count, base.count());
            let live =
                apply_live(schema, &base, &delta, &limits).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(live.entries(), result, "{name}");
            assert!(live.matches(to, horizon, count, &case.hash("root")), "{name}");
        } else {
            let leaves: Vec<Hash> = case.0["leaves"]
                .as_array()
                .expect("leaves")
                .iter()
                .map(|leaf| {
                    hex::decode(leaf.as_str().expect("hex")).expect("hex").try_into().expect("32 bytes")
                })
                .collect();
            assert_eq!(encode_history(&context, from, to, &history, &leaves), Ok(delta.clone()), "{name}");
            let limits = ApplyLimits::for_history(service, set, schema, count, 1000, leaves.len() as u64);
            let whole = apply_history(schema, from, &base, &delta, &limits)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((&whole.entries, &whole.leaves), (&result, &leaves), "{name}");
            assert_eq!(build_tree(schema, &result, to as u32).root, case.hash("root"), "{name}");
            assert!(whole.matches(to, horizon, count, &case.hash("root"), &case.hash("digest")), "{name}");
        }
    });
}

/// Applies an object to its base; the error as text.
fn apply(case: &Case<'_>, service: [u8; 8], set: u32) -> Result<(), String> {
    let (schema, version, base, delta) =
        (case.schema(), case.number("base_version"), case.bytes("base"), case.bytes("delta"));
    if case.number("kind") == 1 {
        let base = LiveSet::new(schema, version, 0, base).expect("a sorted base");
        let limits = ApplyLimits::for_live(service, set, schema, 1000, base.count());
        apply_live(schema, &base, &delta, &limits).map(drop).map_err(|error| error.to_string())
    } else {
        let limits = ApplyLimits::for_history(service, set, schema, 1000, 1000, 9);
        apply_history(schema, version, &base, &delta, &limits).map(drop).map_err(|error| error.to_string())
    }
}

#[test]
fn what_is_broken_is_refused_and_what_is_whole_is_not() {
    let vectors = vectors();
    let (service, set) = identity(&vectors);
    each(&vectors["accept"], |case| assert_eq!(apply(&case, service, set), Ok(()), "{}", case.0["name"]));
    each(&vectors["reject"], |case| {
        let refusal = apply(&case, service, set);
        println!("{} ({}): {refusal:?}", case.0["name"], case.0["clause"]);
        assert!(refusal.is_err(), "{} ({})", case.0["name"], case.0["clause"]);
    });
}

/// The full whose making and digest are also in the second implementation's own tests.
#[test]
fn a_full_of_many_tuples_has_the_wide_table_of_the_text() {
    let (schema, service) = (Schema::GaenMinimal, *b"tekd1\xa0\xb1\xc2");
    let full = |distinct: u32, period: u16| {
        let mut history = Vec::new();
        for i in 0..3000_u32 {
            let key = u128::from(i + 1) * (u128::MAX / 3001);
            let fields = Fields { start: 3_000_000 + i % distinct, period, report: 1, ..Fields::default() };
            schema.history_entry(&key.to_be_bytes(), &fields, 1, LIVE, &mut history);
        }
        let context = DeltaContext { service, set: 1, schema, horizon: 0 };
        let delta = encode_live(&context, 0, 1, &history).expect("a full");
        let limits = ApplyLimits::for_live(service, 1, schema, 3000, 0);
        let live = apply_live(schema, &LiveSet::empty(schema), &delta, &limits).expect("its own full");
        assert_eq!(live, LiveSet::from_history(schema, 1, 0, &history).expect("a sorted history"));
        delta
    };
    let mode = |delta: &[u8]| Header::read(delta).expect("a header").tuple_mode;
    assert_eq!(mode(&full(1024, 144)), TupleMode::Coded);
    assert_eq!(mode(&full(1025, 16_384)), TupleMode::Coded);
    assert_eq!(mode(&full(1025, 16_383)), TupleMode::Wide);
    let digest = hex::encode(Sha256::digest(full(1300, 144)));
    assert_eq!(digest, "7e4d49c5781eee87265cd1392b7ac9e2978c47a86c64f87249297c07fa6943d3");
}
