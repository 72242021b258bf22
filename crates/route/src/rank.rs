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
//! > 6. client_ip given.
//! > 7. File name (bytes), then position.
//!
//! A condition on an attribute, such as the client's certificate, counts as one on a header.
//!
//! Routes are given in the order of 7, so their positions in the list are compared.

use std::cmp::Reverse;

use crate::alternative::Alternative;
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

/// Lines 1 to 6 of the specification. The derived order compares the fields from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Specificity {
    host: HostRank,
    path: PathRank,
    method_given: Reverse<bool>,
    fields: Reverse<usize>,
    query: Reverse<usize>,
    client_ip_given: Reverse<bool>,
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
        Self {
            specificity: Specificity {
                host: HostRank::of(&alternative.host),
                path: PathRank::of(&alternative.path),
                method_given: Reverse(!alternative.methods.is_empty()),
                fields: Reverse(
                    alternative.headers.len() + alternative.attributes.len() + alternative.cookies.len(),
                ),
                query: Reverse(alternative.query.len()),
                client_ip_given: Reverse(!alternative.client_ips.is_empty()),
            },
            position,
        }
    }

    /// Returns true if the two differ in declared order only.
    pub fn equal_but_for_order(&self, other: &Self) -> bool {
        self.specificity == other.specificity
    }

    /// Returns the position of the alternative.
    pub fn position(&self) -> Position {
        self.position
    }
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
            "/a ip:10.0.0.1",
            "/a",
        ]);
    }

    #[test]
    fn declared_order_decides_between_equals() {
        for (first, second) in [
            ("/a/{x}", "/b/{y}"),
            ("~a", "~^/longer/regex$"),
            ("GET", "/* POST,PUT"),
            ("a.b /a h:x=1", "c.d /b c:y=!"),
            ("*.a.b /a ip:10.0.0.1", "*.c.d /b ip:::1,::2"),
        ] {
            assert!(rank(first, 0) < rank(second, 1), "`{first}`, `{second}`");
            assert!(rank(second, 0) < rank(first, 1), "`{first}`, `{second}`");
            assert!(rank(first, 0).equal_but_for_order(&rank(second, 1)));
        }
    }
}
