//! Rewrites of the query, for services and for redirects.

use waypost_route::query;

use crate::value::fill::{encode, in_parameter};
use crate::value::listed::ListedNames;
use crate::value::{ValueName, ValueTemplate, Values};

/// A rewrite of the query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum QueryRewrite {
    /// Keeps it byte for byte.
    #[default]
    Keep,
    /// Replaces it by this text; an empty one drops it.
    Replace(ValueTemplate),
    /// Edits its parameters.
    Edit(Box<QueryEdits>),
}

/// Edits of the parameters of a query. A name is in at most one of the lists. Parameters that are not named keep their bytes
/// and their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryEdits {
    /// Parameters that replace all of their name, at the place of the first, else at the end.
    pub set: Vec<Parameter>,
    /// Parameters to add at the end.
    pub add: Vec<Parameter>,
    /// Names to remove.
    pub remove: Vec<Box<str>>,
}

/// A parameter of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    name: Box<str>,
    /// `name=`, encoded.
    begin: Box<str>,
    /// The value, its texts encoded.
    value: ValueTemplate,
}

impl Parameter {
    /// Returns the parameter. What would end it in a query is percent-encoded; an encoded byte is not encoded twice.
    pub fn new(name: &str, value: &ValueTemplate) -> Self {
        Self {
            name: name.into(),
            begin: (encoded(name) + "=").into(),
            value: value.map_text(encoded),
        }
    }

    fn write(&self, values: &dyn Values, out: &mut Vec<u8>) {
        out.extend_from_slice(self.begin.as_bytes());
        self.value.fill_parameter(values, out);
    }
}

impl QueryRewrite {
    /// Returns true if the query is kept.
    pub fn keeps(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// Puts parameters in the place of the values of these names.
    pub(crate) fn shadow(&mut self, names: ListedNames) {
        match self {
            Self::Keep => {}
            Self::Replace(template) => template.shadow(names),
            Self::Edit(edits) => {
                for parameter in edits.set.iter_mut().chain(&mut edits.add) {
                    parameter.value.shadow(names);
                }
            }
        }
    }

    /// The same, with the query itself kept where it would be replaced by `{query}`.
    #[must_use]
    pub fn simplified(self) -> Self {
        match self {
            Self::Replace(template) if template.sole_name() == Some(&ValueName::Query) => Self::Keep,
            other => other,
        }
    }

    /// Appends the rewritten `query`, which has no `?`, behind a `?`; nothing if there is none. `values` are filled in.
    pub fn write(&self, query: Option<&[u8]>, values: &dyn Values, out: &mut Vec<u8>) {
        match self {
            Self::Keep => {
                if let Some(query) = query {
                    out.push(b'?');
                    out.extend_from_slice(query);
                }
            }
            Self::Replace(template) => {
                let start = out.len();
                out.push(b'?');
                template.fill_query(values, out);
                if out.len() == start + 1 {
                    out.truncate(start);
                }
            }
            Self::Edit(edits) => edits.write(query, values, out),
        }
    }
}

impl QueryEdits {
    fn write(&self, query: Option<&[u8]>, values: &dyn Values, out: &mut Vec<u8>) {
        let mut separator = b'?';
        let mut begin = |out: &mut Vec<u8>| out.push(std::mem::replace(&mut separator, b'&'));
        let mut is_set = vec![false; self.set.len()];
        for part in query
            .filter(|query| !query.is_empty())
            .into_iter()
            .flat_map(|query| query.split(|&byte| byte == b'&'))
        {
            if self.remove.iter().any(|name| query::is_named(part, name)) {
                continue;
            }
            let mut set = self.set.iter();
            match set.position(|parameter| query::is_named(part, &parameter.name)) {
                Some(at) if is_set[at] => {}
                Some(at) => {
                    is_set[at] = true;
                    begin(out);
                    self.set[at].write(values, out);
                }
                None => {
                    begin(out);
                    out.extend_from_slice(part);
                }
            }
        }
        let missing = self.set.iter().zip(&is_set).filter(|(_, is_set)| !**is_set);
        let missing = missing.map(|(parameter, _)| parameter);
        for parameter in missing.chain(&self.add) {
            begin(out);
            parameter.write(values, out);
        }
    }
}

/// Percent-encodes `text` for a name or a value; what is encoded already stays.
fn encoded(text: &str) -> String {
    let mut out = Vec::new();
    encode(text.as_bytes(), true, in_parameter, &mut out);
    // All that is left is ASCII.
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::NoValues;

    fn check(rewrite: &QueryRewrite, query: Option<&str>, expected: &str) {
        let mut out = Vec::new();
        rewrite.write(query.map(str::as_bytes), &NoValues, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            expected,
            "{rewrite:?} of {query:?}"
        );
    }

    fn edits(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> QueryRewrite {
        let parameters = |all: &[(&str, &str)]| {
            let all = all.iter();
            all.map(|(name, value)| Parameter::new(name, &(*value).into()))
                .collect()
        };
        QueryRewrite::Edit(Box::new(QueryEdits {
            set: parameters(set),
            add: parameters(add),
            remove: remove.iter().map(|name| (*name).into()).collect(),
        }))
    }

    #[test]
    fn a_text_replaces_the_query_or_drops_it() {
        check(&QueryRewrite::Keep, Some("a=%20"), "?a=%20");
        check(&QueryRewrite::Keep, Some(""), "?");
        check(&QueryRewrite::Keep, None, "");
        check(&QueryRewrite::Replace("b=1".into()), Some("a"), "?b=1");
        check(&QueryRewrite::Replace("b=1".into()), None, "?b=1");
        check(&QueryRewrite::Replace("".into()), Some("a"), "");
    }

    #[test]
    fn parameters_that_are_not_named_keep_bytes_and_order() {
        let query = Some("x=%2f&a=1&&y&%61=2&b=3");
        check(&edits(&[], &[], &["a"]), query, "?x=%2f&&y&b=3");
        check(&edits(&[("a", "9")], &[], &[]), query, "?x=%2f&a=9&&y&b=3");
        check(
            &edits(&[("c", "9")], &[], &[]),
            query,
            "?x=%2f&a=1&&y&%61=2&b=3&c=9",
        );
        check(
            &edits(&[], &[("a", "9")], &[]),
            query,
            "?x=%2f&a=1&&y&%61=2&b=3&a=9",
        );
        check(
            &edits(&[("y", "1")], &[("z", "2")], &["x", "b"]),
            query,
            "?a=1&&y=1&%61=2&z=2",
        );
        check(&edits(&[], &[], &["a"]), Some("a=1&a"), "");
        check(&edits(&[], &[], &["a"]), None, "");
        check(&edits(&[("a", "1")], &[], &[]), None, "?a=1");
        check(&edits(&[("a", "1")], &[], &[]), Some(""), "?a=1");
        check(&edits(&[], &[], &["a"]), Some(""), "");
        check(&edits(&[("a b", "")], &[], &[]), Some("a+b=1&a%20b=2"), "?a%20b=");
    }

    #[test]
    fn values_stay_inside_their_parameter() {
        check(
            &edits(&[("n&", "a&b=c#d +é")], &[], &[]),
            None,
            "?n%26=a%26b%3Dc%23d%20%2B%C3%A9",
        );
        check(&edits(&[("n", "%20%2")], &[], &[]), None, "?n=%20%252");
        check(&edits(&[("n", "/a?b:c@d,e")], &[], &[]), None, "?n=/a?b:c@d,e");
    }
}
