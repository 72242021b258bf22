//! Pages of what is listed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// Entries on a page, by default.
const LIMIT: usize = 100;
/// Entries on a page, at most.
const LIMIT_MAX: usize = 1000;

/// The place of a page among all that a search finds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// The number of all, without the search.
    pub all: usize,
    /// The number of those that the search finds.
    pub matching: usize,
    /// The number of those before this page.
    pub offset: usize,
    /// The offset of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<usize>,
    /// The revision that has them.
    pub revision: u64,
}

/// The part that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) offset: usize,
    pub(super) limit: usize,
}

impl Part {
    /// The part that a query asks for.
    pub(super) fn of(offset: Option<usize>, limit: Option<usize>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(LIMIT);
        match limit {
            1..=LIMIT_MAX => Ok(Self {
                offset: offset.unwrap_or(0),
                limit,
            }),
            _ => Err(Problem::invalid(format!(
                "`limit` is a number from 1 to {LIMIT_MAX}"
            ))),
        }
    }

    /// Its place, with so many entries on the page.
    pub(super) fn place(self, on_page: usize, matching: usize, all: usize, revision: u64) -> Place {
        let end = self.offset.saturating_add(on_page);
        Place {
            all,
            matching,
            offset: self.offset,
            next_offset: (end < matching).then_some(end),
            revision,
        }
    }
}

/// The name of an order, and true if it is the other way around: `-name`.
pub(super) fn order(sort: &str) -> (&str, bool) {
    sort.strip_prefix('-').map_or((sort, false), |name| (name, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_a_place() {
        let check = |offset, limit, on_page, matching, next_offset| {
            let part = Part::of(Some(offset), Some(limit)).unwrap();
            assert_eq!(part.place(on_page, matching, 900, 3).next_offset, next_offset);
        };
        check(0, 10, 10, 25, Some(10));
        check(20, 10, 5, 25, None);
        check(30, 10, 0, 25, None);
        check(0, 10, 10, 10, None);
        check(usize::MAX, 1, 0, 1, None);
        let usual = Part::of(None, None).unwrap();
        assert_eq!((usual.offset, usual.limit), (0, LIMIT));
        for limit in [0, LIMIT_MAX + 1] {
            assert_eq!(Part::of(None, Some(limit)).unwrap_err().status, 422);
        }
        assert_eq!((order("-name"), order("name")), (("name", true), ("name", false)));
    }
}
