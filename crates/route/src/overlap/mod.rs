//! What in a table cannot be meant: alternatives that no request can reach, and pairs that only the order
//! of declaration separates.
//!
//! Every finding is a proof. An alternative is unreachable when, in each part of the hosts and
//! paths that it covers, no values of method, headers, cookies, query and client address make it hold
//! and all better ones fail. A pair is ambiguous when a witness request, which was run on the table, fits
//! both. Where a regex leaves the answer open, the alternative is named in [`Analysis::inexact`].
//!
//! Paths are taken as listeners make them unless they are told otherwise: without empty segments in the
//! middle. An alternative that only a kept `//` reaches counts as unreachable. So does one that only methods
//! reach that no route ever sees.

mod address;
mod assignment;
mod example;
mod place;
#[cfg(test)]
mod tests;
mod witness;

use std::fmt;
use std::ops::ControlFlow;

use hashbrown::HashMap;

use crate::alternative::Alternative;
use crate::condition::{FieldCondition, ValueCondition};
use crate::host::HostPattern;
use crate::overlap::assignment::{Assignment, Outcome, Variable};
use crate::overlap::place::{Fresh, VARIANTS};
use crate::path::{PathPattern, Segment};
use crate::rank::{Position, Rank};
use crate::table::{Found, Scratch, Table};

pub use crate::overlap::witness::Witness;

/// How many candidates and pairs are looked at in one analysis. Tables in which many alternatives share one
/// host and path would take time by the square of their number.
const STEPS_MAX: usize = 10_000_000;

/// What a pair of regexes counts.
const REGEX_PAIR_STEPS: usize = 2_000;

/// The most better alternatives of one cell that are searched together.
const COVERING_MAX: usize = 512;

/// The most alternatives that are taken out one by one to name only those that matter.
const MINIMISED_MAX: usize = 24;

/// What was found in a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Analysis {
    /// The findings, in declared order of the alternative that each is about.
    pub findings: Vec<Finding>,
    /// Alternatives for which a regex, the number of others on the same paths, or the hosts that are served
    /// left it undecided whether they are unreachable or ambiguous; in declared order.
    pub inexact: Vec<Position>,
    /// Whether there was too much to look at, so that findings may be missing.
    pub truncated: bool,
    /// Routes of which every alternative is unreachable or impossible, by index.
    pub unreachable_routes: Vec<usize>,
}

/// Something that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No request reaches the alternative, since better ones take all that it could.
    Unreachable {
        /// The alternative.
        at: Position,
        /// Those that together take its requests; never empty.
        shadowed_by: Vec<Position>,
    },
    /// Alternatives of two routes whose ranks are equal but for the order fit one request.
    Ambiguous {
        /// The one that wins since it was declared earlier.
        first: Position,
        /// The other one.
        second: Position,
        /// A request that both fit and that `first` takes.
        witness: Witness,
    },
    /// The conditions contradict one another.
    Impossible {
        /// The alternative.
        at: Position,
        /// What contradicts.
        reason: Contradiction,
    },
}

/// What no request can fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The condition's name, as `explain` prints it: `header x-tier`.
    pub condition: String,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no request fulfils all conditions on `{}`", self.condition)
    }
}

impl Finding {
    /// The alternative that the finding is about; the second one of a pair.
    pub fn position(&self) -> Position {
        match self {
            Self::Unreachable { at, .. } | Self::Impossible { at, .. } => *at,
            Self::Ambiguous { second, .. } => *second,
        }
    }
}

/// Whether requests with this method are answered before any route is looked for, so that none matches it.
pub fn is_refused_method(method: &str) -> bool {
    matches!(method, "CONNECT" | "TRACE")
}

/// Analyses `table`. Only requests for the `served` hosts come this far; with none, those for every host do.
pub fn analyse(table: &Table, served: &[HostPattern]) -> Analysis {
    let mut analyst = Analyst::new(table, served);
    let unreachable = analyst.find_unreachable();
    analyst.find_ambiguous();
    let mut analysis = analyst.analysis;
    analysis.findings.sort_by_key(Finding::position);
    analysis.inexact.sort_unstable();
    analysis.inexact.dedup();
    for (index, route) in table.routes().iter().enumerate() {
        let alternatives = 0..route.alternatives.len();
        if !alternatives.is_empty()
            && alternatives
                .map(|alternative| Position {
                    route: index,
                    alternative,
                })
                .all(|at| unreachable.contains(&at))
        {
            analysis.unreachable_routes.push(index);
        }
    }
    analysis
}

/// Alternatives that may cover the same paths of the same hosts with ranks that differ by their conditions
/// only: one host, and one path apart from the names of parameters. All regexes of a host are one group.
type Group = Vec<usize>;

/// What a search for a request came to. Alternatives are named by their place in rank order.
enum Verdict {
    Witness(Witness),
    /// There is none: these take it.
    Taken {
        by: Vec<usize>,
    },
    Undecided,
    /// The budget is used up.
    Stopped,
}

struct Analyst<'t> {
    table: &'t Table,
    /// The hosts whose requests come this far; empty when all do.
    served: &'t [HostPattern],
    order: Vec<Found>,
    fresh: Fresh,
    groups: Vec<Group>,
    /// The group of each alternative.
    group_of: Vec<usize>,
    /// Alternatives that are known to hold for no request.
    impossible: Vec<bool>,
    scratch: Scratch,
    steps: usize,
    analysis: Analysis,
}

impl<'t> Analyst<'t> {
    fn new(table: &'t Table, served: &'t [HostPattern]) -> Self {
        let order: Vec<Found> = table.in_rank_order().collect();
        let mut keys: HashMap<(&HostPattern, String), usize> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        let mut group_of = Vec::with_capacity(order.len());
        for (place, &found) in order.iter().enumerate() {
            let alternative = table.alternative(found);
            let key = (&alternative.host, group_text(&alternative.path));
            let group = *keys.entry(key).or_insert_with(|| {
                groups.push(Group::new());
                groups.len() - 1
            });
            groups[group].push(place);
            group_of.push(group);
        }
        Self {
            table,
            served,
            fresh: Fresh::of(table.routes()),
            groups,
            group_of,
            impossible: vec![false; order.len()],
            order,
            scratch: Scratch::new(),
            steps: STEPS_MAX,
            analysis: Analysis::default(),
        }
    }

    /// Reports impossible and unreachable alternatives; returns both.
    fn find_unreachable(&mut self) -> hashbrown::HashSet<Position> {
        let mut unreachable = hashbrown::HashSet::new();
        for place in 0..self.order.len() {
            let alternative = self.alternative(place);
            let at = self.position(place);
            if let Outcome::Nothing { empty } = assignment::find(&[alternative], &[]) {
                let condition = empty.map_or_else(|| "header cookie".to_owned(), condition_name);
                let reason = Contradiction { condition };
                self.analysis.findings.push(Finding::Impossible { at, reason });
                self.impossible[place] = true;
                unreachable.insert(at);
                continue;
            }
            match self.search(&[place], place) {
                Verdict::Witness(_) => {}
                Verdict::Taken { by } => {
                    let shadowed_by = by.into_iter().map(|place| self.position(place)).collect();
                    self.analysis
                        .findings
                        .push(Finding::Unreachable { at, shadowed_by });
                    unreachable.insert(at);
                }
                Verdict::Undecided => self.analysis.inexact.push(at),
                Verdict::Stopped => self.analysis.truncated = true,
            }
        }
        unreachable
    }

    fn find_ambiguous(&mut self) {
        let table = self.table;
        let rank = |place: usize, order: &[Found]| {
            let Found { route, alternative } = order[place];
            Rank::of(table.alternative(order[place]), Position { route, alternative })
        };
        for group in 0..self.groups.len() {
            if self.groups[group].len() < 2 {
                continue;
            }
            let group = self.groups[group].clone();
            let ranks: Vec<Rank> = group.iter().map(|&place| rank(place, &self.order)).collect();
            for (index, &first) in group.iter().enumerate() {
                for (later, &second) in group.iter().enumerate().skip(index + 1) {
                    // A group is in rank order, so equal ones stand together.
                    if !ranks[index].equal_but_for_order(&ranks[later]) {
                        break;
                    }
                    if self.steps == 0 {
                        self.analysis.truncated = true;
                        break;
                    }
                    self.steps -= 1;
                    self.compare(first, second);
                }
            }
        }
    }

    fn compare(&mut self, first: usize, second: usize) {
        let (a, b) = (self.alternative(first), self.alternative(second));
        let of_one_route = self.order[first].route == self.order[second].route;
        if of_one_route || self.impossible[first] || self.impossible[second] || !may_hold_together(a, b) {
            return;
        }
        if let (PathPattern::Regex(a), PathPattern::Regex(b)) = (&a.path, &b.path) {
            if example::are_disjoint(a, b) {
                return;
            }
            // The search runs both on many examples.
            self.steps = self.steps.saturating_sub(REGEX_PAIR_STEPS);
        }
        let (first_at, second_at) = (self.position(first), self.position(second));
        match self.search(&[first, second], first) {
            Verdict::Witness(witness) => self.analysis.findings.push(Finding::Ambiguous {
                first: first_at,
                second: second_at,
                witness,
            }),
            Verdict::Taken { .. } => {}
            Verdict::Undecided => self.analysis.inexact.extend([first_at, second_at]),
            Verdict::Stopped => self.analysis.truncated = true,
        }
    }

    /// Looks for a request that all of `required` fit and that `winner`, which is the best of them, takes.
    /// They are of one group.
    fn search(&mut self, required: &[usize], winner: usize) -> Verdict {
        let wanted: Vec<&Alternative> = required.iter().map(|&place| self.alternative(place)).collect();
        let pattern = &wanted[0].path;
        if let PathPattern::Regex(_) = pattern {
            return self.search_regex(&wanted, winner);
        }
        let mut taken_by: Vec<usize> = Vec::new();
        let mut undecided = false;
        for cell in self.fresh.cells(pattern) {
            let mut proven = false;
            for variant in 0..VARIANTS {
                let path = self.fresh.path(pattern, cell, variant);
                let Some(better) = self.better(winner, &path, &wanted) else {
                    return Verdict::Stopped;
                };
                let sure: Vec<usize> = better
                    .iter()
                    .copied()
                    .filter(|&place| !self.is_regex(place))
                    .collect();
                let outcome = if better.len() > COVERING_MAX {
                    Outcome::TooMany
                } else {
                    assignment::find(&wanted, &self.alternatives(&better))
                };
                match outcome {
                    Outcome::Found(assignment) => match self.witness(&wanted, winner, path, assignment) {
                        Some(witness) => return Verdict::Witness(witness),
                        None => undecided = true,
                    },
                    Outcome::Regex | Outcome::TooMany => undecided = true,
                    Outcome::Nothing { .. } => {}
                }
                if sure.len() == better.len() {
                    proven = self.add_proof(&wanted, &sure, &mut taken_by);
                    break;
                }
                // Another fresh segment may get around the regexes; what is sure to cover all of them may not.
                if variant == 0 && self.add_proof(&wanted, &sure, &mut taken_by) {
                    proven = true;
                    break;
                }
            }
            undecided |= !proven;
        }
        if undecided {
            Verdict::Undecided
        } else {
            taken_by.sort_unstable();
            taken_by.dedup();
            Verdict::Taken { by: taken_by }
        }
    }

    fn search_regex(&mut self, wanted: &[&'t Alternative], winner: usize) -> Verdict {
        let (first, last) = (wanted[0], wanted[wanted.len() - 1]);
        for path in self.fresh.common_paths(&first.path, &last.path) {
            let Some(better) = self.better(winner, &path, wanted) else {
                return Verdict::Stopped;
            };
            if better.len() <= COVERING_MAX
                && let Outcome::Found(assignment) = assignment::find(wanted, &self.alternatives(&better))
                && let Some(witness) = self.witness(wanted, winner, path, assignment)
            {
                return Verdict::Witness(witness);
            }
        }
        // The same expression covers the same paths, whichever they are.
        let group = &self
            .groups
            .get(self.group_of[winner])
            .map_or(&[][..], |group| group);
        let same: Vec<usize> = group
            .iter()
            .copied()
            .take_while(|&place| place < winner)
            .filter(|&place| {
                wanted
                    .iter()
                    .any(|wanted| wanted.path == self.alternative(place).path)
            })
            .take(COVERING_MAX)
            .collect();
        let mut taken_by = Vec::new();
        if self.add_proof(wanted, &same, &mut taken_by) {
            Verdict::Taken { by: taken_by }
        } else {
            Verdict::Undecided
        }
    }

    /// The alternatives that are better than `winner` and cover the fresh host of its pattern, and `path`;
    /// `None` when the budget is used up.
    ///
    /// Those of other host patterns are either worse, or do not cover the fresh host. Those that plainly
    /// cannot hold together with `wanted` are left out: they fail of themselves.
    fn better(&mut self, winner: usize, path: &str, wanted: &[&Alternative]) -> Option<Vec<usize>> {
        let mut better = Vec::new();
        let host = &self.alternative(winner).host;
        let (table, order) = (self.table, &self.order);
        let steps = &mut self.steps;
        self.table
            .each_covering(host, path.as_bytes(), &mut self.scratch, |place| {
                if place >= winner || *steps == 0 || better.len() > COVERING_MAX {
                    return ControlFlow::Break(());
                }
                *steps -= 1;
                let alternative = table.alternative(order[place]);
                if wanted.iter().all(|wanted| may_hold_together(wanted, alternative)) {
                    better.push(place);
                }
                ControlFlow::Continue(())
            });
        (self.steps > 0).then_some(better)
    }

    /// Whether `wanted` cannot hold without one of `better`; if so, adds those that matter to `taken_by`.
    fn add_proof(&self, wanted: &[&Alternative], better: &[usize], taken_by: &mut Vec<usize>) -> bool {
        let proves = |better: &[usize]| {
            matches!(
                assignment::find(wanted, &self.alternatives(better)),
                Outcome::Nothing { .. }
            )
        };
        if better.len() > COVERING_MAX || !proves(better) {
            return false;
        }
        // One that suffices is the easiest to understand.
        if let Some(&one) = better.iter().find(|&&one| proves(&[one])) {
            taken_by.push(one);
            return true;
        }
        let mut needed = better.to_vec();
        if needed.len() <= MINIMISED_MAX {
            for index in (0..needed.len()).rev() {
                let mut fewer = needed.clone();
                fewer.remove(index);
                if proves(&fewer) {
                    needed = fewer;
                }
            }
        }
        taken_by.extend(needed);
        true
    }

    /// The request, if it proves on the table that `winner` takes it and all of `wanted` fit.
    fn witness(
        &mut self,
        wanted: &[&Alternative],
        winner: usize,
        path: String,
        assignment: Assignment,
    ) -> Option<Witness> {
        let mut witness = Witness {
            host: None,
            path,
            method: assignment.method.unwrap_or_else(|| "GET".to_owned()),
            query: assignment.query,
            headers: assignment.headers,
            client_ip: assignment.client_ip.unwrap_or(address::DEFAULT),
        };
        let (fresh, pattern) = (&self.fresh, &wanted[0].host);
        let own = fresh.host(pattern);
        let is_served = |host: &Option<String>| {
            let host = host.as_deref().map(str::as_bytes);
            self.served.is_empty() || self.served.iter().any(|served| served.covers(host))
        };
        let own = is_served(&own).then_some(own);
        // The better ones were found for the pattern's own host; whether they are the same ones for another
        // host shows when the table is asked.
        let others = self
            .served
            .iter()
            .map(|served| fresh.host(served))
            .filter(|host| pattern.covers(host.as_deref().map(str::as_bytes)));
        let mut value = Vec::new();
        for host in own.into_iter().chain(others) {
            if self.steps == 0 {
                return None;
            }
            self.steps -= 1;
            witness.host = host;
            let request = witness.request();
            let all_fit = wanted
                .iter()
                .all(|of| of.first_failed(&request, &mut value).is_none());
            if all_fit && self.table.find(&request, &mut self.scratch) == Some(self.order[winner]) {
                return Some(witness);
            }
        }
        None
    }

    fn alternative(&self, place: usize) -> &'t Alternative {
        self.table.alternative(self.order[place])
    }

    fn alternatives(&self, places: &[usize]) -> Vec<&'t Alternative> {
        places.iter().map(|&place| self.alternative(place)).collect()
    }

    fn position(&self, place: usize) -> Position {
        let Found { route, alternative } = self.order[place];
        Position { route, alternative }
    }

    fn is_regex(&self, place: usize) -> bool {
        matches!(self.alternative(place).path, PathPattern::Regex(_))
    }
}

/// `false` when methods or values plainly exclude each other, as those of versions told apart by a header
/// do. It spares the search.
fn may_hold_together(a: &Alternative, b: &Alternative) -> bool {
    let clash = |a: &[FieldCondition], b: &[FieldCondition]| {
        a.iter().any(|a| {
            b.iter().any(|b| match (&a.value, &b.value) {
                (ValueCondition::Equals(x), ValueCondition::Equals(y)) => a.name == b.name && x != y,
                _ => false,
            })
        })
    };
    let methods_meet = a.methods.is_empty()
        || b.methods.is_empty()
        || a.methods.iter().any(|method| b.methods.contains(method));
    methods_meet
        && !clash(&a.headers, &b.headers)
        && !clash(&a.cookies, &b.cookies)
        && !clash(&a.query, &b.query)
}

/// The same for patterns that cover the same paths, and for all regexes.
fn group_text(pattern: &PathPattern) -> String {
    match pattern {
        PathPattern::Exact(text) => text.to_string(),
        PathPattern::Regex(_) => "~".to_owned(),
        PathPattern::Template(segments) | PathPattern::Open(segments) => {
            let mut text = String::new();
            for segment in segments {
                text.push('/');
                text.push_str(match segment {
                    Segment::Literal(literal) => literal,
                    // No literal has braces.
                    Segment::Parameter(_) => "{}",
                });
            }
            text.push_str(if pattern.is_open() { "/*" } else { "" });
            text
        }
    }
}

fn condition_name(variable: Variable<'_>) -> String {
    match variable {
        Variable::Method => "method".to_owned(),
        Variable::Header(name) => format!("header {name}"),
        Variable::Cookie(name) => format!("cookie {name}"),
        Variable::Query(name) => format!("query {name}"),
        Variable::ClientIp => "client_ip".to_owned(),
    }
}
