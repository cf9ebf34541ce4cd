//! Every vector of protocol-spec/vectors/frames.json against both halves of the wire.
#![cfg(feature = "net")]

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tekd::wire::contents::AnswerBody;
use tekd::wire::question::{Bucket, Fetch, Sync};
use tekd::wire::{
    AnswerView, Body, Expected, Key, Operation, Parsed, Question, ResultCode, ServiceId, SilentReason, parse,
    parse_answer, refuse, version_answer,
};

struct Vectors {
    service: ServiceId,
    document: Value,
}

impl Vectors {
    fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/protocol-spec/vectors/frames.json");
        let text = std::fs::read_to_string(path).expect("the vectors are part of the repository");
        let document: Value = serde_json::from_str(&text).expect("the vectors are JSON");
        let service = bytes(&document["service"]).try_into().expect("a service id has 8 bytes");
        Vectors { service, document }
    }

    fn group(&self, name: &str) -> &[Value] {
        self.document[name].as_array().expect("a group is a list of vectors")
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(text(value)).expect("bytes are hex")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"))
}

fn on_stream(vector: &Value) -> bool {
    match text(&vector["transport"]) {
        "udp" => false,
        "stream" => true,
        other => panic!("no transport is called {other}"),
    }
}

fn operation(name: &Value) -> Operation {
    let known = Operation::ALL.into_iter().find(|operation| operation.name() == text(name));
    known.unwrap_or_else(|| panic!("no operation is called {name}"))
}

fn hexes<T: AsRef<[u8]>>(items: impl IntoIterator<Item = T>) -> Value {
    items.into_iter().map(hex::encode).collect()
}

/// The fields of `expected`, each compared with what was read.
fn agree(name: &str, expected: &Value, read: &Map<String, Value>) {
    for (field, value) in expected.as_object().expect("an expectation has fields") {
        assert_eq!(read.get(field), Some(value), "{name}: {field}");
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("no fields: {other}"),
    }
}

fn question_fields(header: &Question, body: &Body<'_>) -> Map<String, Value> {
    let mut read = fields(match body {
        Body::Info | Body::Checkpoint | Body::Manifest => json!({}),
        Body::Lookup(lookup) => json!({"slot_len": lookup.slot_len, "keys": hexes(lookup.keys())}),
        Body::Bucket(bucket) => json!({"bits": bucket.bits, "held": bucket.held, "node": bucket.node()}),
        Body::Sync(sync) => json!({"version": sync.version, "history": sync.history}),
        Body::Fetch(fetch) => {
            json!({"digest": hex::encode(fetch.digest), "offset": fetch.offset, "length": fetch.length})
        }
        Body::Proof(proof) => json!({"kind": proof.kind as u8, "first": proof.first, "second": proof.second}),
        Body::Sealed(sealed) => json!({
            "kem": sealed.kem.get(), "kdf": sealed.kdf.get(), "aead": sealed.aead.get(),
            "key_id": hex::encode(sealed.key_id),
        }),
        Body::Notify(notify) => json!({"version": notify.version}),
    });
    read.insert("op".into(), body.operation().name().into());
    read.insert("set".into(), header.set.get().into());
    read.insert("txid".into(), header.txid.get().into());
    read.insert("cookie".into(), header.cookie.get().into());
    read.insert("max_answer".into(), header.max_answer.get().into());
    read
}

fn reason(silent: SilentReason) -> &'static str {
    match silent {
        SilentReason::Length => "length",
        SilentReason::FirstByte => "first_byte",
        SilentReason::Service => "service",
        SilentReason::Reply => "reply",
    }
}

#[test]
fn a_server_meets_every_question_as_the_vectors_say() {
    let vectors = Vectors::load();
    for vector in vectors.group("questions") {
        let (name, frame, expect) = (text(&vector["name"]), bytes(&vector["frame"]), &vector["expect"]);
        let mut out = [0xee; 64];
        match parse(&frame, &vectors.service, on_stream(vector)) {
            Parsed::Silent(silent) => assert_eq!(expect, &json!({"silent": reason(silent)}), "{name}"),
            Parsed::Refuse { result, info, header } => {
                assert_eq!(expect, &json!({"refuse": result.name(), "info": info}), "{name}");
                refuse(header, result, info, 0, 0, &mut out);
                assert_eq!(hex::encode(out), text(&vector["answer"]), "{name}");
            }
            Parsed::OtherVersion(header) => {
                assert_eq!(expect, &json!({"other_version": header.first_byte & 0x3f}), "{name}");
                version_answer(header, &mut out);
                assert_eq!(hex::encode(out), text(&vector["answer"]), "{name}");
            }
            Parsed::Question(header, body) => {
                assert!(expect["question"].is_object(), "{name}: read as {body:?}");
                agree(name, &expect["question"], &question_fields(header, &body));
            }
        }
    }
}

/// What an answer's body says, read against what was asked; or the clause it breaks.
fn answer_fields(
    view: &AnswerView<'_>,
    asked: &Value,
) -> Result<Map<String, Value>, tekd::wire::AnswerError> {
    let mut read = fields(match view.body {
        AnswerBody::Refused(refusal) => panic!("a refusal has no fields: {refusal:?}"),
        AnswerBody::Info(info) => json!({
            "node": info.node.get(), "least": info.least, "newest": info.newest, "time": info.checkpoint_time.get(),
        }),
        AnswerBody::Checkpoint(answer) => json!({
            "checkpoint": hex::encode(answer.checkpoint), "signatures": hex::encode(answer.signatures),
            "delegation": hex::encode(answer.delegation),
            "delegation_signatures": hex::encode(answer.delegation_signatures),
        }),
        AnswerBody::Lookup(answer) => {
            let keys: Vec<Key> =
                asked["keys"].as_array().expect("keys were asked for").iter().map(key).collect();
            let fields: Vec<_> = answer.read(&keys)?.map(|slot| slot.fields.map(hex::encode)).collect();
            json!({"fields": fields})
        }
        AnswerBody::Bucket(answer) => {
            let prefix = bytes(&asked["prefix"]).try_into().expect("a prefix has 16 bytes");
            let (bits, held) = (number(&asked["bits"]) as u8, number(&asked["held"]) as u8);
            let entry_len = number(&asked["entry_len"]) as usize;
            let contents = answer.read(&Bucket { prefix: &prefix, bits, held }, entry_len)?;
            json!({
                "depth": contents.depth, "entries": hex::encode(contents.entries),
                "siblings": hexes(contents.siblings),
            })
        }
        AnswerBody::Sync(answer) => {
            let history = asked["history"].as_bool().expect("history is a flag");
            let objects = answer.read(Sync { version: number(&asked["version"]), history })?;
            let described = objects.iter().map(|object| {
                json!({
                    "from": object.from.get(), "to": object.to.get(), "length": object.length.get(),
                    "kind": object.kind, "digest": hex::encode(object.digest),
                })
            });
            json!({"objects": described.collect::<Value>()})
        }
        AnswerBody::Fetch(answer) => {
            let digest = bytes(&asked["digest"]).try_into().expect("a digest has 32 bytes");
            let (offset, length) = (number(&asked["offset"]) as u32, number(&asked["length"]) as u32);
            let part = answer.read(&Fetch { digest: &digest, offset, length })?;
            json!({"total": part.total, "bytes": hex::encode(part.bytes)})
        }
        AnswerBody::Proof(hashes) => json!({"hashes": hexes(hashes)}),
        AnswerBody::Manifest(manifest) => json!({"manifest": hex::encode(manifest)}),
        AnswerBody::Sealed(sealed) => json!({"nonce": hex::encode(sealed.nonce)}),
        AnswerBody::Notify => json!({}),
    });
    read.insert("op".into(), asked["op"].clone());
    read.insert("version".into(), view.header.version.get().into());
    read.insert("cookie".into(), view.header.cookie.get().into());
    read.insert("wait".into(), view.header.wait.get().into());
    read.insert("flags".into(), view.header.flags.get().into());
    Ok(read)
}

fn key(value: &Value) -> Key {
    Key::from_slice(&bytes(value)).expect("a key has 16 or 32 bytes")
}

#[test]
fn a_client_hears_every_answer_as_the_vectors_say() {
    let vectors = Vectors::load();
    for vector in vectors.group("answers") {
        let (name, frame, asked) = (text(&vector["name"]), bytes(&vector["frame"]), &vector["asked"]);
        let expect = &vector["expect"];
        let expected = Expected {
            service: vectors.service,
            txid: number(&asked["txid"]),
            set: number(&asked["set"]) as u32,
            operation: operation(&asked["op"]),
        };
        let heard = parse_answer(&frame, &expected, on_stream(vector)).and_then(|view| match view.body {
            AnswerBody::Refused(refusal) => {
                Ok(json!({"refused": {"result": refusal.result.name(), "info": refusal.info}}))
            }
            _ => answer_fields(&view, asked).map(|fields| json!({"answer": fields})),
        });
        match heard {
            Err(error) => {
                let broken = json!({"error": error.clause(), "ignore": error.is_foreign()});
                assert_eq!(expect, &broken, "{name}: {error}");
            }
            Ok(Value::Object(read)) if read.contains_key("answer") => {
                assert!(expect["answer"].is_object(), "{name}: read as {read:?}");
                agree(name, &expect["answer"], read["answer"].as_object().expect("an answer has fields"));
            }
            Ok(refused) => assert_eq!(expect, &refused, "{name}"),
        }
    }
}

#[test]
fn the_vectors_reach_every_operation_refusal_and_silence() {
    let vectors = Vectors::load();
    let questions = vectors.group("questions");
    let seen = |path: [&str; 2], group: &[Value]| -> BTreeSet<String> {
        let found =
            group.iter().map(|vector| path.iter().fold(&vector["expect"], |value, step| &value[*step]));
        found.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let operations: BTreeSet<String> =
        Operation::ALL.iter().map(|operation| operation.name().to_owned()).collect();
    assert_eq!(seen(["question", "op"], questions), operations);
    assert_eq!(seen(["answer", "op"], vectors.group("answers")), operations);
    let results = ResultCode::ALL.iter().filter(|&&result| result != ResultCode::Ok);
    let results: BTreeSet<String> = results.map(|result| result.name().to_owned()).collect();
    assert_eq!(seen(["refused", "result"], vectors.group("answers")), results);
    for (key, all) in [
        ("refuse", &["CRITICAL", "MALFORMED", "OPERATION", "TRANSPORT"]),
        ("silent", &["first_byte", "length", "reply", "service"]),
    ] {
        let found: BTreeSet<&str> =
            questions.iter().filter_map(|vector| vector["expect"][key].as_str()).collect();
        assert_eq!(found, all.iter().copied().collect(), "{key}");
    }
}
