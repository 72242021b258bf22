//! Long lists of candidates, told apart by a field that many of them want to equal something.
//!
//! A thousand routes of one path that differ in the value of a header are one list. To go through it costs as much as it
//! is long; here the value is looked up, and what is left are the candidates that want this value, and those that do not
//! say what they want it to be. Whether a candidate takes the request is still asked of all its conditions: this only
//! leaves out those that cannot.

use hashbrown::HashMap;

use crate::alternative::Alternative;
use crate::condition::{FieldCondition, ValueCondition};
use crate::cookie;
use crate::query;
use crate::request::Request;
use crate::table::TableError;
use crate::table::keys::Keys;
use crate::table::lists::{Candidate, ListId, Lists};

/// Up to this many candidates are gone through: a look-up costs as much.
const GONE_THROUGH_MAX: usize = 8;
/// How many fields, one after the other, a list is told apart by.
const DEPTH_MAX: usize = 4;

/// What tells long lists apart.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    by_list: HashMap<ListId, Split>,
    /// The list of each value, by the list that it is a part of.
    values: Keys,
}

/// The parts of a list.
#[derive(Debug)]
struct Split {
    field: Field,
    /// The candidates that do not want the field to equal anything.
    rest: ListId,
}

/// A field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Field {
    kind: Kind,
    name: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Header,
    Cookie,
    Query,
}

/// Candidates of several lists that are gone through in one rank order. Its memory is kept.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// What is left of each list.
    ranges: Vec<(usize, usize)>,
}

impl Dispatch {
    /// Tells apart those of the first `count` lists that are long. Their parts are further lists. `alternative` is the one
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
        used: &mut Vec<Field>,
    ) -> Result<(), TableError> {
        if lists.list(list).len() <= GONE_THROUGH_MAX || used.len() >= DEPTH_MAX {
            return Ok(());
        }
        let candidates = lists.list(list).to_vec();
        let Some(field) = most_wanted(candidates.iter().map(|one| alternative(*one)), used) else {
            return Ok(());
        };
        let mut rest = Vec::new();
        // In the order of their first candidates, so that the same routes give the same table.
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
        used.push(field.clone());
        let rest = lists.add(&rest)?;
        for (value, part) in parts {
            let part = lists.add(&part)?;
            self.values.insert(list, value.as_bytes(), part)?;
            self.split(part, lists, alternative, used)?;
        }
        self.split(rest, lists, alternative, used)?;
        used.pop();
        self.by_list.insert(list, Split { field, rest });
        Ok(())
    }

    /// Has `parts` be the candidates of `list` that may take `request`.
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
        let is_long = range.1 - range.0 > GONE_THROUGH_MAX;
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
    /// The next candidate in rank order.
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

impl Field {
    /// What `alternative` wants it to equal.
    fn wanted_by<'a>(&self, alternative: &'a Alternative) -> Option<&'a str> {
        let conditions = match self.kind {
            Kind::Header => &alternative.headers,
            Kind::Cookie => &alternative.cookies,
            Kind::Query => &alternative.query,
        };
        conditions.iter().find_map(|condition| match &condition.value {
            ValueCondition::Equals(value) if condition.name == self.name => Some(&**value),
            _ => None,
        })
    }

    /// Its value in `request`; `scratch` is overwritten.
    fn of<'s>(&self, request: &Request<'_>, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
        match self.kind {
            Kind::Header => request.header(&self.name, scratch),
            Kind::Cookie => cookie::find(request.headers, &self.name, scratch),
            Kind::Query => query::find(request.query?, &self.name, scratch),
        }
    }
}

/// The field, other than those `used`, that most of the alternatives want to equal something; `None` when those are few.
fn most_wanted<'a>(alternatives: impl Iterator<Item = &'a Alternative>, used: &[Field]) -> Option<Field> {
    let mut counts: HashMap<(Kind, &str), usize> = HashMap::new();
    for alternative in alternatives {
        let kinds = [
            (Kind::Header, &alternative.headers),
            (Kind::Cookie, &alternative.cookies),
            (Kind::Query, &alternative.query),
        ];
        for (kind, conditions) in kinds {
            let wants = |condition: &&FieldCondition| matches!(condition.value, ValueCondition::Equals(_));
            for condition in conditions.iter().filter(wants) {
                *counts.entry((kind, &condition.name)).or_default() += 1;
            }
        }
    }
    let is_new = |(kind, name): &(Kind, &str)| {
        !used
            .iter()
            .any(|field| field.kind == *kind && *field.name == **name)
    };
    let many = counts
        .into_iter()
        .filter(|(field, count)| *count > GONE_THROUGH_MAX && is_new(field));
    // Of those that as many want, always the same one.
    let (kind, name) = many
        .max_by_key(|((kind, name), count)| (*count, *kind as u8, *name))?
        .0;
    Some(Field {
        kind,
        name: name.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::request::Headers;
    use crate::table::{Found, Scratch, Table};
    use crate::testing;

    /// Counts how often a header is looked up.
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

    /// The route that takes the request, and how many headers were looked up for it.
    fn find(text: &str, request: &str) -> (Option<usize>, usize) {
        let table = Table::new(testing::routes(text)).unwrap();
        let asked = testing::request(request);
        let mut request = asked.request();
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
    fn a_thousand_values_of_a_header_are_told_apart_by_a_look_up() {
        let text = routes(1000, |at| format!("h:tenant={at}"));
        assert_eq!(find(&text, "GET /a/b h:tenant=777"), (Some(777), 2));
        assert_eq!(find(&text, "GET /a/b h:tenant=x"), (None, 1));
        assert_eq!(find(&text, "GET /a/b"), (None, 1));
    }

    #[test]
    fn two_fields_are_told_apart_one_after_the_other() {
        let text = routes(1000, |at| format!("h:tenant={} h:version={}", at / 20, at % 20));
        let (found, looked_up) = find(&text, "GET /a/b h:tenant=7 h:version=3");
        assert_eq!(found, Some(143));
        assert!(looked_up <= 6, "{looked_up} headers were looked up");
    }

    #[test]
    fn those_that_say_nothing_of_the_field_keep_their_rank() {
        let mut text = routes(100, |at| format!("h:tenant={at}"));
        // More conditions make a higher rank, none a lower one.
        text.push_str("\nspecial /a/* h:beta=* h:debug=*\nrest /a/*");
        assert_eq!(find(&text, "GET /a/b h:tenant=7").0, Some(7));
        assert_eq!(find(&text, "GET /a/b h:tenant=7 h:beta=1 h:debug=1").0, Some(100));
        assert_eq!(find(&text, "GET /a/b h:tenant=x").0, Some(101));
    }
}
