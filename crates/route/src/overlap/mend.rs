//! The changes that mend unreachable alternatives.

use crate::overlap::assignment::Solution;
use crate::overlap::{Analyzer, COVERING_MAX};
use crate::path::PathPattern;
use crate::rank::{Criterion, Position};

/// The change that lets an unreachable alternative get requests, or the reason that none can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    /// Its route, declared before this alternative's, would get requests: their ranks are equal but for order.
    DeclareBefore(Position),
    /// This alternative matches the same requests, so one of the two is useless.
    Same(Position),
    /// This alternative alone takes its requests, and ranks before it by this criterion.
    Outrank(Position, Criterion),
    /// Several take its requests together. Each of them is needed for that.
    Narrow,
}

impl Analyzer<'_> {
    /// The change for the alternative at `place`, whose requests go to `by`.
    pub(super) fn mend(&mut self, place: usize, by: &[usize]) -> Mend {
        let rank = self.rank(place);
        let route = self.position(place).route;
        let single = match by {
            [one] => Some(*one),
            _ => None,
        };
        if let Some(one) = single
            && self.match_same_paths(one, place)
            && self.implies(one, place)
        {
            return Mend::Same(self.position(one));
        }
        let mut alike = by.iter().copied();
        let first_alike = alike.find(|&other| {
            self.position(other).route != route && self.rank(other).equal_but_for_order(&rank)
        });
        if let Some(first) = first_alike
            && self.is_reached_before(place, first)
        {
            return Mend::DeclareBefore(self.position(first));
        }
        match single {
            Some(one) => Mend::Outrank(self.position(one), self.rank(one).criterion(&rank)),
            None => Mend::Narrow,
        }
    }

    /// Returns true if requests that match `a` always match `b`, which is on the same paths.
    fn implies(&self, a: usize, b: usize) -> bool {
        let found = self.solve(&[self.alternative(a)], &[self.alternative(b)]);
        matches!(found, Solution::Nothing { .. })
    }

    fn match_same_paths(&self, a: usize, b: usize) -> bool {
        // All regexes of a host are one group.
        self.group_of[a] == self.group_of[b]
            && (!self.is_regex(a) || self.alternative(a).path == self.alternative(b).path)
    }

    /// Returns true if a request would reach the alternative at `place`, were it the next better one than `first`.
    fn is_reached_before(&mut self, place: usize, first: usize) -> bool {
        let wanted = [self.alternative(place)];
        let pattern = &wanted[0].path;
        let paths: Vec<String> = match pattern {
            PathPattern::Regex(_) => self.fresh.common_paths(pattern, pattern),
            _ => {
                let cells = self.fresh.cells(pattern);
                cells.map(|cell| self.fresh.path(pattern, cell, 0)).collect()
            }
        };
        paths.into_iter().any(|path| {
            let Some(better) = self.better(first, &path, &wanted) else {
                return false;
            };
            let better = self.alternatives(&better);
            better.len() <= COVERING_MAX && matches!(self.solve(&wanted, &better), Solution::Found(_))
        })
    }
}
