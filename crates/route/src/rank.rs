//! The specificity of alternatives, which decides which route wins.
//!
//! The order is defined here only; all other code sorts by [`Rank`]. The specification:
//!
//! > 1. Host: exact, then wildcard with more labels, then none.
//! > 2. Path: exact, closed template, regex, open (prefix or template with `/*`). Two closed templates: the
//! >    leftmost literal segment where the other has a parameter wins. Two open ones: more segments (`*` is
//! >    none), then the leftmost literal. Regexes are equal here. No path means `/*`, equal in rank.
//! > 3. Method given.
//! > 4. Number of header and cookie conditions, every entry counts, `false` too.
//! > 5. Number of query conditions.
//! > 6. client_ip given, then listener, then scheme.
//! > 7. Kinds of the conditions on headers, cookies and query, taken together: more that want an exact value, then
//! >    more with a regex. `true` and `false` rank alike.
//! > 8. File name (bytes), then position.
//!
//! A condition on any other attribute, such as the client's certificate, counts as one on a header.
//!
//! Routes are given in the order of 8, so their positions in the list are compared.

use std::cmp::Reverse;

use crate::alternative::Alternative;
use crate::attribute::{Attribute, AttributeCondition};
use crate::condition::ValueCondition;
use crate::host::HostPattern;
use crate::path::{PathPattern, Segment};

/// The place of an alternative in the total order; the smaller rank wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    specificity: Specificity,
    position: Position,
}

/// The position of an alternative, counted from 0 in declared order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Position of the route.
    pub route: usize,
    /// Index of the alternative in its route.
    pub alternative: usize,
}

/// Lines 1 to 7 of the specification. The derived order compares the fields from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Specificity {
    host: HostRank,
    path: PathRank,
    method_given: Reverse<bool>,
    fields: Reverse<usize>,
    query: Reverse<usize>,
    client_ip_given: Reverse<bool>,
    listener_given: Reverse<bool>,
    scheme_given: Reverse<bool>,
    exact_values: Reverse<usize>,
    regexes: Reverse<usize>,
}

/// The line of the specification by which two ranks differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// Line 1.
    Host,
    /// Line 2.
    Path,
    /// Line 3.
    Method,
    /// Line 4.
    Fields,
    /// Line 5.
    Query,
    /// Line 6.
    ClientIp,
    /// Line 6, by the listener.
    Listener,
    /// Line 6, by the scheme.
    Scheme,
    /// Line 7.
    Kinds,
    /// Line 8.
    Order,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum HostRank {
    Exact,
    Wildcard { labels: Reverse<usize> },
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum PathRank {
    Exact,
    Closed(Box<[SegmentRank]>),
    Regex,
    Open(Reverse<usize>, Box<[SegmentRank]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SegmentRank {
    Literal,
    Parameter,
}

impl Rank {
    /// Returns the rank of `alternative` at `position`.
    pub fn of(alternative: &Alternative, position: Position) -> Self {
        let with =
            |is: fn(&ValueCondition) -> bool| Reverse(values_of(alternative).filter(|of| is(of)).count());
        Self {
            specificity: Specificity {
                host: HostRank::of(&alternative.host),
                path: PathRank::of(&alternative.path),
                method_given: Reverse(!alternative.methods.is_empty()),
                fields: Reverse(
                    alternative.headers.len() + of_client(alternative).count() + alternative.cookies.len(),
                ),
                query: Reverse(alternative.query.len()),
                client_ip_given: Reverse(!alternative.client_ips.is_empty()),
                listener_given: Reverse(gives(alternative, Attribute::Listener)),
                scheme_given: Reverse(gives(alternative, Attribute::Scheme)),
                exact_values: with(|value| matches!(value, ValueCondition::Equals(_))),
                regexes: with(|value| matches!(value, ValueCondition::Matches(_))),
            },
            position,
        }
    }

    /// Returns true if the two differ in declared order only.
    pub fn equal_but_for_order(&self, other: &Self) -> bool {
        self.specificity == other.specificity
    }

    /// Returns the first line of the specification by which the two differ.
    pub fn criterion(&self, other: &Self) -> Criterion {
        let (a, b) = (&self.specificity, &other.specificity);
        match () {
            () if a.host != b.host => Criterion::Host,
            () if a.path != b.path => Criterion::Path,
            () if a.method_given != b.method_given => Criterion::Method,
            () if a.fields != b.fields => Criterion::Fields,
            () if a.query != b.query => Criterion::Query,
            () if a.client_ip_given != b.client_ip_given => Criterion::ClientIp,
            () if a.listener_given != b.listener_given => Criterion::Listener,
            () if a.scheme_given != b.scheme_given => Criterion::Scheme,
            () if a != b => Criterion::Kinds,
            () => Criterion::Order,
        }
    }

    /// Returns the position of the alternative.
    pub fn position(&self) -> Position {
        self.position
    }
}

/// The conditions on attributes that count like those on headers.
fn of_client(alternative: &Alternative) -> impl Iterator<Item = &AttributeCondition> {
    let attributes = alternative.attributes.iter();
    attributes.filter(|condition| !condition.attribute.is_entrance())
}

fn gives(alternative: &Alternative, attribute: Attribute) -> bool {
    let mut attributes = alternative.attributes.iter();
    attributes.any(|condition| condition.attribute == attribute)
}

/// The conditions on values: of headers, attributes of the client, cookies and query parameters.
fn values_of(alternative: &Alternative) -> impl Iterator<Item = &ValueCondition> {
    let fields = [&alternative.headers, &alternative.cookies, &alternative.query];
    let fields = fields.into_iter().flatten().map(|field| &field.value);
    fields.chain(of_client(alternative).map(|attribute| &attribute.value))
}

impl HostRank {
    fn of(pattern: &HostPattern) -> Self {
        match pattern {
            HostPattern::Exact(_) => Self::Exact,
            HostPattern::Wildcard(suffix) => Self::Wildcard {
                labels: Reverse(suffix.matches('.').count()),
            },
            HostPattern::Any => Self::Any,
        }
    }
}

impl PathRank {
    fn of(pattern: &PathPattern) -> Self {
        let kinds = |segments: &[Segment]| segments.iter().map(SegmentRank::of).collect();
        match pattern {
            PathPattern::Exact(_) => Self::Exact,
            PathPattern::Template(segments) => Self::Closed(kinds(segments)),
            PathPattern::Regex(_) => Self::Regex,
            PathPattern::Open(segments) => Self::Open(Reverse(segments.len()), kinds(segments)),
        }
    }
}

impl SegmentRank {
    fn of(segment: &Segment) -> Self {
        match segment {
            Segment::Literal(_) => Self::Literal,
            Segment::Parameter(_) => Self::Parameter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn rank(line: &str, route: usize) -> Rank {
        let routes = testing::routes(&format!("r {line}"));
        let position = Position {
            route,
            alternative: 0,
        };
        Rank::of(&routes[0].alternatives[0], position)
    }

    /// Each line wins over all below it, whatever the declared order.
    fn check(lines: &[&str]) {
        for (index, better) in lines.iter().enumerate() {
            for worse in &lines[index + 1..] {
                assert!(rank(better, 1) < rank(worse, 0), "`{better}` over `{worse}`");
                assert!(!rank(better, 0).equal_but_for_order(&rank(worse, 0)));
            }
        }
    }

    #[test]
    fn more_specific_host_wins_over_everything_else() {
        check(&["a.b /*", "*.a.b /x", "*.b /x GET h:a=1", "/x GET h:a=1 q:a=1"]);
    }

    #[test]
    fn paths_rank_exact_template_regex_open() {
        check(&[
            "/a/b", "/a/{x}", "/{x}/a", "/{x}/{y}", "~^/a", "/a/b/*", "/a/{x}/*", "/{x}/a/*", "/a/*",
            "/{x}/*", "/*",
        ]);
    }

    #[test]
    fn conditions_rank_method_then_fields_then_query_then_client() {
        check(&[
            "/a GET",
            "/a h:a=1 a:san=x c:b=!",
            "/a h:a=1 a:san=x",
            "/a h:a=! q:a=1",
            "/a c:a=1",
            "/a q:a=1 q:b=1",
            "/a q:a=1 ip:10.0.0.0/8",
            "/a q:a=1",
            "/a ip:10.0.0.1 a:listener=x",
            "/a ip:10.0.0.1",
            "/a a:listener=x|y a:scheme=http",
            "/a a:listener=x",
            "/a a:scheme=http",
            "/a",
        ]);
    }

    #[test]
    fn listener_and_scheme_are_no_fields_and_have_no_kind() {
        for (a, b) in [
            ("/a a:listener=x", "/a a:listener=x|y"),
            ("/a h:x=* a:listener=x", "/a h:x=! a:listener=x|y"),
        ] {
            assert!(rank(a, 0).equal_but_for_order(&rank(b, 1)), "`{a}`, `{b}`");
        }
        check(&["/a h:x=!", "/a a:listener=x a:scheme=http"]);
    }

    #[test]
    fn kinds_rank_exact_then_regex_then_present_and_absent() {
        check(&[
            "/a h:a=1 c:b=2 q:c=3",
            "/a h:a=1 c:b=2 q:c=~3",
            "/a h:a=1 c:b=2 q:c=*",
            "/a a:san=1 c:b=~2 q:c=~3",
            "/a h:a=* c:b=~2 q:c=3",
            "/a h:a=1 c:b=! q:c=*",
            "/a h:a=~1 c:b=~2 q:c=~3",
            "/a h:a=~1 c:b=* q:c=~3",
            "/a a:san=* c:b=! q:c=~3",
            "/a h:a=* c:b=! q:c=*",
        ]);
        // Numbers rank before kinds.
        check(&[
            "/a h:a=* h:b=!",
            "/a h:a=* q:a=1",
            "/a h:a=1",
            "/a q:a=* q:b=*",
            "/a q:a=1",
        ]);
        check(&["/a q:a=* ip:10.0.0.1", "/a q:a=1"]);
    }

    #[test]
    fn criterion_is_the_first_difference() {
        use Criterion as C;
        for (a, b, expected) in [
            ("a.b /a", "/a GET", C::Host),
            ("/a", "/{x} GET", C::Path),
            ("/a GET", "/a h:a=1", C::Method),
            ("/a h:a=1", "/a q:a=1", C::Fields),
            ("/a q:a=1", "/a ip:::1", C::Query),
            ("/a ip:::1 h:a=1", "/a h:a=~1", C::ClientIp),
            ("/a ip:::1", "/a a:listener=x", C::ClientIp),
            ("/a a:listener=x", "/a a:scheme=http", C::Listener),
            ("/a a:scheme=http", "/a", C::Scheme),
            ("/a h:a=~1", "/a h:a=*", C::Kinds),
            ("/a h:a=1", "/a c:a=1", C::Order),
        ] {
            assert_eq!(rank(a, 0).criterion(&rank(b, 1)), expected, "`{a}`, `{b}`");
            assert_eq!(rank(b, 0).criterion(&rank(a, 1)), expected, "`{b}`, `{a}`");
        }
    }

    #[test]
    fn declared_order_decides_between_equals() {
        for (first, second) in [
            ("/a/{x}", "/b/{y}"),
            ("~a", "~^/longer/regex$"),
            ("GET", "/* POST,PUT"),
            ("a.b /a h:x=1", "c.d /b c:y=1"),
            ("/a h:x=*", "/a c:y=!"),
            ("/a h:x=1 q:y=~2", "/a h:x=~1 q:y=2"),
            ("*.a.b /a ip:10.0.0.1", "*.c.d /b ip:::1,::2"),
        ] {
            assert!(rank(first, 0) < rank(second, 1), "`{first}`, `{second}`");
            assert!(rank(second, 0) < rank(first, 1), "`{first}`, `{second}`");
            assert!(rank(first, 0).equal_but_for_order(&rank(second, 1)));
        }
    }
}
