//! A JSON object whose members each stand once, at every depth.
//!
//! Two readers of one JWT must not see two values of one claim, and JSON leaves open which of two equal
//! members counts; so an object with two is no object here. What the members mean is for the caller.

use core::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Greatest whole number that JSON with a fraction tells exactly.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// An object read from text.
#[derive(Debug)]
pub(super) struct JsonObject(Map<String, Value>);

impl JsonObject {
    /// Reads exactly one object; anything else, and an object with a member twice, is `None`.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        match serde_json::from_slice(text) {
            Ok(Once(Value::Object(members))) => Some(Self(members)),
            _ => None,
        }
    }

    /// A member; `null` is none.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A member that is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }
}

/// A number of seconds or intervals: not negative, a fraction is floored.
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64().filter(|number| (0.0..=MAX_EXACT).contains(number))?;
        Some(number.floor() as u64)
    })
}

/// A value in which no object has a member twice.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OnceVisitor).map(Once)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with every member once")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Once(item)) = from.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            let Once(value) = from.next_value()?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_stands_twice_is_refused_at_every_depth() {
        assert!(JsonObject::read(br#"{"a":1,"b":{"a":[{"a":1},{"a":null}]}}"#).is_some());
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"b":[{"a":1,"a":2}]}"#,
            r#"{"a":1} {}"#,
            r#"{"a":1"#,
            r#"{"a":NaN}"#,
            r#"[{"a":1}]"#,
            "\u{feff}{}",
            "",
        ] {
            assert!(JsonObject::read(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn numbers_are_floored_and_never_negative() {
        let text = br#"{"n":7,"f":1.6e9,"half":1600000000.9,"text":"7","minus":-1,"less":-0.5,"far":1e300,"null":null,
            "most":18446744073709551615}"#;
        let object = JsonObject::read(text).expect("an object");
        let number = |name: &str| object.get(name).and_then(whole);
        assert_eq!(number("n"), Some(7));
        assert_eq!(number("f"), Some(1_600_000_000));
        assert_eq!(number("half"), Some(1_600_000_000));
        assert_eq!(number("most"), Some(u64::MAX));
        for name in ["text", "minus", "less", "far", "null", "none"] {
            assert_eq!(number(name), None, "{name}");
        }
        assert_eq!((object.text("text"), object.text("n")), (Some("7"), None));
    }
}
