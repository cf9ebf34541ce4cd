//! Every vector of protocol-spec/vectors/reports.json: what is sealed, and what authorises it.
#![cfg(feature = "net")]

mod grants;
mod sealed;

use serde_json::Value;
use tekd::wire::report::{Outcome, SentKey};

fn document() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/protocol-spec/vectors/reports.json");
    let text = std::fs::read_to_string(path).expect("the vectors are part of the repository");
    serde_json::from_str(&text).expect("the vectors are JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}"))
}

fn number<T: TryFrom<u64>>(value: &Value) -> T {
    let n = value.as_u64().unwrap_or_else(|| panic!("not a number: {value}"));
    T::try_from(n).unwrap_or_else(|_| panic!("too large: {n}"))
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(text(value)).expect("bytes are hex")
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap_or_else(|_| panic!("not {N} bytes: {value}"))
}

/// Bytes whose zeros at the end are left out in the vectors.
fn padded<const N: usize>(value: &Value) -> [u8; N] {
    let mut whole = bytes(value);
    assert!(whole.len() <= N, "{} bytes, at most {N}", whole.len());
    whole.resize(N, 0);
    whole.try_into().expect("resized to it")
}

/// A message with the bytes of `put` written over its own.
fn with(message: &[u8], put: &Value) -> Vec<u8> {
    let mut changed = message.to_vec();
    for change in list(put) {
        let (at, over) = (number::<usize>(&change["at"]), bytes(&change["bytes"]));
        changed[at..at + over.len()].copy_from_slice(&over);
    }
    changed
}

fn outcome(name: &Value) -> Outcome {
    Outcome::from_name(&text(name).to_lowercase()).unwrap_or_else(|| panic!("no outcome {name}"))
}

/// Keys as a request has them, with their bytes kept apart.
struct Keys(Vec<(Vec<u8>, u32, u32, u8)>);

impl Keys {
    fn of(value: &Value) -> Self {
        let key = |k: &Value| {
            (bytes(&k["key"]), number(&k["start"]), number(&k["period"]), number::<u8>(&k["risk"]))
        };
        Keys(list(value).iter().map(key).collect())
    }

    fn sent(&self) -> Vec<SentKey<'_>> {
        self.0.iter().map(|k| SentKey { key: &k.0, start: k.1, period: k.2, risk: k.3 }).collect()
    }
}
