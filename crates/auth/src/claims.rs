//! The claims about a client whose token was verified.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

/// The claims of a verified token.
#[derive(Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

/// Claims are the business of who they are about.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

impl Claims {
    /// The claims in an object.
    pub fn new(object: Map<String, Value>) -> Self {
        Self(object)
    }

    /// The value of a claim. A name with dots that is no claim itself leads into objects, as `realm_access.roles`.
    pub fn value(&self, name: &str) -> Option<&Value> {
        find(&self.0, name)
    }

    /// A claim as text: a text, a number or a boolean as it is, the members of a list with commas between them. Absent are
    /// objects, `null`, and values with control characters or blanks around them, which could not stand in a header or would
    /// be others there.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        let text = match self.value(name)? {
            Value::Array(members) => {
                let texts: Option<Vec<_>> = members.iter().map(scalar).collect();
                Cow::Owned(texts?.join(","))
            }
            value => scalar(value)?,
        };
        is_kept_by_headers(&text).then_some(text)
    }

    /// The texts of a claim that lists some: the texts in a list, or the words of one text, as in `scope`.
    pub fn members(&self, name: &str) -> Vec<&str> {
        let texts: Vec<&str> = match self.value(name) {
            Some(Value::Array(members)) => members.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(text)) => text.split(' ').filter(|word| !word.is_empty()).collect(),
            _ => Vec::new(),
        };
        texts
            .into_iter()
            .filter(|text| !text.chars().any(char::is_control))
            .collect()
    }

    /// The names and values, in the order of the token.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

fn find<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(name) {
        return Some(value);
    }
    name.match_indices('.').find_map(|(at, _)| {
        let inner = object.get(&name[..at])?.as_object()?;
        find(inner, &name[at + 1..])
    })
}

/// Returns true if `text` is the same when a header has it: blanks around a value do not survive (RFC 9110 §5.5).
pub(crate) fn is_kept_by_headers(text: &str) -> bool {
    text.trim_matches([' ', '\t']) == text && !text.chars().any(char::is_control)
}

fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn claims(text: &str) -> Claims {
        Claims::new(json::object(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_claim_is_a_text_if_it_can_stand_in_a_header() {
        let claims = claims(
            r#"{"sub":"ann","n":7,"f":1.5,"yes":true,"nothing":null,"list":["a","b",3],"empty":"","none":[],
                "mixed":["a",{}],"object":{"x":{"y":"deep"}},"lines":"a\r\nb","nul":"\u0000","del":"\u007f","c1":"\u0085",
                "inlist":["a","\n"],"before":" ann","behind":"ann ","within":["a b"," c"],"umlaut":"Jörg","https://x.example/roles":["r"],"a.b":"flat","a":{"b":"nested","c":"d"}}"#,
        );
        for (name, expected) in [
            ("sub", Some("ann")),
            ("n", Some("7")),
            ("f", Some("1.5")),
            ("yes", Some("true")),
            ("nothing", None),
            ("absent", None),
            ("list", Some("a,b,3")),
            ("empty", Some("")),
            ("none", Some("")),
            ("mixed", None),
            ("object", None),
            ("object.x", None),
            ("object.x.y", Some("deep")),
            ("object.x.z", None),
            ("sub.x", None),
            ("lines", None),
            ("nul", None),
            ("del", None),
            ("c1", None),
            ("inlist", None),
            // A service would read another value.
            ("before", None),
            ("behind", None),
            ("within", Some("a b, c")),
            ("umlaut", Some("Jörg")),
            ("https://x.example/roles", Some("r")),
            ("a.b", Some("flat")),
            ("a.c", Some("d")),
            ("", None),
            (".", None),
        ] {
            assert_eq!(claims.text(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_claim_lists_texts_or_words() {
        let claims = claims(
            r#"{"scope":"orders:read  orders:write","groups":["a b","c",7,"d\n"],"roles":{"all":["r"]},"n":1}"#,
        );
        for (name, expected) in [
            ("scope", &["orders:read", "orders:write"][..]),
            ("groups", &["a b", "c"]),
            ("roles.all", &["r"]),
            ("roles", &[]),
            ("n", &[]),
            ("absent", &[]),
        ] {
            assert_eq!(claims.members(name), expected, "{name}");
        }
    }

    #[test]
    fn claims_are_not_shown() {
        assert!(!format!("{:?}", claims(r#"{"sub":"ann"}"#)).contains("ann"));
    }
}
