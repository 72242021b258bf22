//! JSON from outside, read once and strictly: no name twice in an object, no depth without a bound.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The levels of objects and lists in each other, at most.
pub const DEPTH_MAX: usize = 16;

/// The object that `text` is, to its last byte. A name that stands twice is refused: readers disagree on which counts
/// (RFC 8725 §2.4, RFC 7515 §4).
pub(crate) fn object(text: &[u8]) -> Option<Map<String, Value>> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict(DEPTH_MAX).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Reads a value of at most this depth.
#[derive(Clone, Copy)]
struct Strict(usize);

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth = self.0.checked_sub(1).ok_or_else(|| E::custom("too deep"))?;
        Ok(Self(depth))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("no number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom("a name twice"));
            }
            let value = map.next_value_seed(inner)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_object_without_repetitions_and_of_little_depth_is_read() {
        let nested = |levels: usize| format!(r#"{{"a":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
        for (text, expected) in [
            (r#"{}"#, true),
            (r#" {"a": 1, "b": [null, true, -1, 1.5, "x"]} "#, true),
            (r#"{"a":1,"a":1}"#, false),
            (r#"{"a":1,"\u0061":2}"#, false),
            (r#"{"a":{"b":1,"b":2}}"#, false),
            (r#"[{"a":1}]"#, false),
            (r#""{}""#, false),
            (r#"{"a":NaN}"#, false),
            (r#"{"a":Infinity}"#, false),
            (r#"{"a":1e999}"#, false),
            (r#"{"a":01}"#, false),
            (r#"{"a":"\ud800"}"#, false),
            (r#"{"a":1}{}"#, false),
            (r#"{"a":1} x"#, false),
            ("{\"a\":\"\u{7}\"}", false),
            ("{\"a\":1}\0", false),
            ("\u{feff}{\"a\":1}", false),
            (r#"{'a':1}"#, false),
            (r#"{"a":1,}"#, false),
            (r#"{"a""#, false),
            ("", false),
            (&nested(15), true),
            (&nested(16), false),
            (&nested(100_000), false),
        ] {
            let shown = text.get(..60).unwrap_or(text);
            assert_eq!(object(text.as_bytes()).is_some(), expected, "{shown}");
        }
        assert!(object(b"{\"a\":\"\xff\"}").is_none());
    }
}
