//! Indexes of long lists of candidates, by a field that many of them compare with a text.
//!
//! A thousand routes for one path that differ in the value of a header are one list. Instead of a scan, the value is
//! looked up. Left are the candidates that want this value, and those that do not compare the field with a text. All of
//! their conditions are still evaluated: the index only leaves out candidates that cannot match.

use hashbrown::HashMap;

use crate::alternative::Alternative;
use crate::attribute::Attribute;
use crate::condition::{FieldCondition, ValueCondition};
use crate::cookie;
use crate::query;
use crate::request::Request;
use crate::table::TableError;
use crate::table::keys::Keys;
use crate::table::lists::{Candidate, ListId, Lists};

/// Lists of up to this length are scanned: a lookup costs as much.
const SCANNED_MAX: usize = 8;
/// Maximum depth of indexes within indexes, each by another field.
const DEPTH_MAX: usize = 4;

/// The indexes of long lists.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    by_list: HashMap<ListId, Split>,
    /// List of each value, by the list that it is a part of.
    values: Keys,
}

/// The parts of a list.
#[derive(Debug)]
struct Split {
    field: Field<Box<str>>,
    /// Candidates that do not compare the field with a text.
    rest: ListId,
}

/// A field of a request, by name or by attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Field<N> {
    Attribute(Attribute),
    Header(N),
    Cookie(N),
    Query(N),
}

/// A cursor over several lists, merged by rank. Its memory is reused.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The rest of each list.
    ranges: Vec<(usize, usize)>,
}

impl Dispatch {
    /// Indexes the long ones among `lists`. Their parts are added as further lists. `alternative` gives the alternative
    /// of a candidate.
    pub(super) fn new<'a>(
        lists: &mut Lists,
        alternative: impl Fn(Candidate) -> &'a Alternative,
    ) -> Result<Self, TableError> {
        let mut dispatch = Self::default();
        for list in 0..lists.len() {
            dispatch.split(list, lists, &alternative, &mut Vec::new())?;
        }
        Ok(dispatch)
    }

    fn split<'a>(
        &mut self,
        list: ListId,
        lists: &mut Lists,
        alternative: &impl Fn(Candidate) -> &'a Alternative,
        used: &mut Vec<Field<&'a str>>,
    ) -> Result<(), TableError> {
        if lists.list(list).len() <= SCANNED_MAX || used.len() >= DEPTH_MAX {
            return Ok(());
        }
        let candidates = lists.list(list).to_vec();
        let Some(field) = most_wanted(candidates.iter().map(|one| alternative(*one)), used) else {
            return Ok(());
        };
        let mut rest = Vec::new();
        // In the order of their first candidates: the same routes always give the same table.
        let mut parts: Vec<(&str, Vec<Candidate>)> = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for candidate in candidates {
            match field.wanted_by(alternative(candidate)) {
                None => rest.push(candidate),
                Some(value) => {
                    let at = *known.entry(value).or_insert_with(|| {
                        parts.push((value, Vec::new()));
                        parts.len() - 1
                    });
                    parts[at].1.push(candidate);
                }
            }
        }
        used.push(field);
        let rest = lists.add(&rest)?;
        for (value, part) in parts {
            let part = lists.add(&part)?;
            self.values.insert(list, value.as_bytes(), part)?;
            self.split(part, lists, alternative, used)?;
        }
        self.split(rest, lists, alternative, used)?;
        used.pop();
        self.by_list.insert(
            list,
            Split {
                field: field.to_owned(),
                rest,
            },
        );
        Ok(())
    }

    /// Sets `parts` to the candidates of `list` that may match `request`.
    pub(super) fn choose(
        &self,
        list: ListId,
        lists: &Lists,
        request: &Request<'_>,
        value: &mut Vec<u8>,
        parts: &mut Parts,
    ) {
        parts.ranges.clear();
        self.add(list, lists, request, value, parts);
    }

    fn add(
        &self,
        list: ListId,
        lists: &Lists,
        request: &Request<'_>,
        value: &mut Vec<u8>,
        parts: &mut Parts,
    ) {
        let range = lists.range(list);
        let is_long = range.1 - range.0 > SCANNED_MAX;
        let Some(split) = is_long.then(|| self.by_list.get(&list)).flatten() else {
            if range.0 < range.1 {
                parts.ranges.push(range);
            }
            return;
        };
        if let Some(seen) = split.field.of(request, value)
            && let Some(part) = self.values.find(list, seen)
        {
            self.add(part, lists, request, value, parts);
        }
        self.add(split.rest, lists, request, value, parts);
    }
}

impl Parts {
    /// Returns the next candidate in rank order.
    pub(super) fn next(&mut self, lists: &Lists) -> Option<Candidate> {
        let first = |&(from, _): &(usize, usize)| lists.candidate(from);
        let best = match self.ranges.len() {
            0 => return None,
            1 => 0,
            _ => {
                let ranges = self.ranges.iter().enumerate();
                ranges.min_by_key(|(_, range)| first(range))?.0
            }
        };
        let range = &mut self.ranges[best];
        let candidate = lists.candidate(range.0);
        range.0 += 1;
        if range.0 == range.1 {
            self.ranges.swap_remove(best);
        }
        Some(candidate)
    }
}

impl Field<&str> {
    /// Returns the text that `alternative` compares the field with.
    fn wanted_by<'a>(&self, alternative: &'a Alternative) -> Option<&'a str> {
        wanted(alternative).find_map(|(field, text)| (field == *self).then_some(text))
    }

    fn to_owned(self) -> Field<Box<str>> {
        match self {
            Self::Attribute(attribute) => Field::Attribute(attribute),
            Self::Header(name) => Field::Header(name.into()),
            Self::Cookie(name) => Field::Cookie(name.into()),
            Self::Query(name) => Field::Query(name.into()),
        }
    }
}

impl Field<Box<str>> {
    /// Returns its value in `request`; `scratch` is overwritten.
    fn of<'s>(&self, request: &Request<'_>, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
        match self {
            Self::Attribute(attribute) => request.attribute(*attribute, scratch),
            Self::Header(name) => request.header(name, scratch),
            Self::Cookie(name) => cookie::find(request.headers, name, scratch),
            Self::Query(name) => query::find(request.query?, name, scratch),
        }
    }
}

/// Returns the fields that `alternative` compares with a text, each with the text.
fn wanted(alternative: &Alternative) -> impl Iterator<Item = (Field<&str>, &str)> {
    let attributes = alternative
        .attributes
        .iter()
        .map(|condition| (Field::Attribute(condition.attribute), &condition.value));
    attributes
        .chain(named(Field::Header, &alternative.headers))
        .chain(named(Field::Cookie, &alternative.cookies))
        .chain(named(Field::Query, &alternative.query))
        .filter_map(|(field, condition)| match condition {
            ValueCondition::Equals(text) => Some((field, &**text)),
            _ => None,
        })
}

fn named<'a>(
    field: fn(&'a str) -> Field<&'a str>,
    conditions: &'a [FieldCondition],
) -> impl Iterator<Item = (Field<&'a str>, &'a ValueCondition)> {
    conditions
        .iter()
        .map(move |condition| (field(&condition.name), &condition.value))
}

/// Returns the field, other than those `used`, that most alternatives compare with a text; `None` if those are few.
fn most_wanted<'a>(
    alternatives: impl Iterator<Item = &'a Alternative>,
    used: &[Field<&'a str>],
) -> Option<Field<&'a str>> {
    let mut counts: HashMap<Field<&str>, usize> = HashMap::new();
    for (field, _) in alternatives.flat_map(wanted) {
        *counts.entry(field).or_default() += 1;
    }
    let many = counts
        .into_iter()
        .filter(|(field, count)| *count > SCANNED_MAX && !used.contains(field));
    // The field itself breaks ties: the same routes always give the same table.
    Some(many.max_by_key(|(field, count)| (*count, *field))?.0)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::request::Headers;
    use crate::table::{Found, Scratch, Table};
    use crate::testing;

    /// Counts lookups of headers.
    struct Counting<'h> {
        headers: &'h dyn Headers,
        looked_up: Cell<usize>,
    }

    impl Headers for Counting<'_> {
        fn lines(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
            self.looked_up.set(self.looked_up.get() + 1);
            self.headers.lines(name, visit);
        }
    }

    /// Returns the route that wins, and the number of header lookups.
    fn find(text: &str, request: &str) -> (Option<usize>, usize) {
        let table = Table::new(testing::routes(text)).unwrap();
        let owned = testing::request(request);
        let mut request = owned.request();
        let counting = Counting {
            headers: request.headers,
            looked_up: Cell::new(0),
        };
        request.headers = &counting;
        let found = table.find(&request, &mut Scratch::new());
        (found.map(|Found { route, .. }| route), counting.looked_up.get())
    }

    fn routes(count: usize, fields: impl Fn(usize) -> String) -> String {
        let lines = (0..count).map(|at| format!("r{at} /a/* {}", fields(at)));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn values_of_a_header_are_indexed() {
        let text = routes(1000, |at| format!("h:tenant={at}"));
        assert_eq!(find(&text, "GET /a/b h:tenant=777"), (Some(777), 2));
        assert_eq!(find(&text, "GET /a/b h:tenant=x"), (None, 1));
        assert_eq!(find(&text, "GET /a/b"), (None, 1));
    }

    #[test]
    fn values_of_an_attribute_are_indexed() {
        let text = routes(1000, |at| format!("a:san={at}"));
        assert_eq!(find(&text, "GET /a/b a:san=777").0, Some(777));
        assert_eq!(find(&text, "GET /a/b a:subject=777").0, None);
    }

    #[test]
    fn two_fields_are_indexed_one_within_the_other() {
        let text = routes(1000, |at| format!("h:tenant={} h:version={}", at / 20, at % 20));
        let (found, looked_up) = find(&text, "GET /a/b h:tenant=7 h:version=3");
        assert_eq!(found, Some(143));
        assert!(looked_up <= 6, "{looked_up} headers were looked up");
    }

    #[test]
    fn candidates_without_the_field_keep_their_rank() {
        let mut text = routes(100, |at| format!("h:tenant={at}"));
        // More conditions make a higher rank, none a lower one.
        text.push_str("\nspecial /a/* h:beta=* h:debug=*\nrest /a/*");
        assert_eq!(find(&text, "GET /a/b h:tenant=7").0, Some(7));
        assert_eq!(find(&text, "GET /a/b h:tenant=7 h:beta=1 h:debug=1").0, Some(100));
        assert_eq!(find(&text, "GET /a/b h:tenant=x").0, Some(101));
    }
}
