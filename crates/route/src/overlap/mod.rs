//! Overlap analysis: alternatives that no request can reach, and pairs that differ in declared order only.
//!
//! Every finding is a proof. An alternative is unreachable if, in each cell of the hosts and paths that it
//! covers, no values of method, headers, attributes, cookies, query, client address, listener and scheme make it hold
//! while all better ones fail. A pair is ambiguous if a witness request, which was run on the table, matches both. If
//! regexes leave it undecided, the alternative is listed in [`Analysis::inexact`].
//!
//! Paths have no empty segments in the middle, as by default. An alternative that is reached only by a kept
//! `//`, or only by methods that never reach a route, counts as unreachable.

mod address;
mod assignment;
mod covering;
mod entrance;
mod example;
mod mend;
mod place;
mod reached;
#[cfg(test)]
mod tests;
mod witness;

use std::fmt;
use std::ops::ControlFlow;

use hashbrown::HashMap;

use crate::alternative::Alternative;
use crate::condition::{FieldCondition, ValueCondition};
use crate::host::HostPattern;
use crate::overlap::assignment::{Assignment, Solution, Variable};
use crate::overlap::covering::Coverings;
use crate::overlap::place::{Fresh, VARIANTS};
use crate::path::{PathPattern, Segment};
use crate::rank::{Position, Rank};
use crate::regex::Regex;
use crate::table::{Found, Scratch, Table};

pub use crate::overlap::entrance::Entrance;
pub use crate::overlap::mend::Mend;
pub use crate::overlap::reached::requests_to;
pub use crate::overlap::witness::Witness;

/// Maximum number of candidates and pairs in one analysis. Tables in which many alternatives share one host and
/// path would take quadratic time.
const STEPS_MAX: usize = 10_000_000;

/// Steps for a pair of regexes.
const REGEX_PAIR_STEPS: usize = 2_000;

/// Maximum number of better alternatives of one cell in one search.
const COVERING_MAX: usize = 512;

/// Maximum size of a proof that is minimised by removing alternatives one by one.
const MINIMISED_MAX: usize = 24;

/// The result of an analysis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Findings, in declared order of their alternatives.
    pub findings: Vec<Finding>,
    /// Alternatives for which regexes, the number of others on the same paths, or the served hosts left the result
    /// undecided; in declared order.
    pub inexact: Vec<Position>,
    /// True if the analysis hit a limit, so findings may be missing.
    pub truncated: bool,
    /// Routes of which every alternative is unreachable or impossible, by position, in ascending order.
    pub unreachable_routes: Vec<usize>,
}

/// A likely mistake in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No request reaches the alternative: better ones match all of its requests.
    Unreachable {
        /// The alternative.
        at: Position,
        /// Alternatives that together match its requests; never empty.
        shadowed_by: Vec<Position>,
        /// The change that mends it.
        mend: Mend,
    },
    /// A request matches alternatives of two routes whose ranks differ in declared order only.
    Ambiguous {
        /// The winner, declared earlier.
        first: Position,
        /// The other one.
        second: Position,
        /// A request that matches both and goes to `first`.
        witness: Witness,
    },
    /// The conditions contradict each other.
    Impossible {
        /// The alternative.
        at: Position,
        /// The contradiction.
        reason: Contradiction,
    },
}

/// Conditions that no request can fulfil together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Name of the condition as printed by `explain`: `header x-tier`.
    pub condition: String,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no request fulfils all conditions on `{}`", self.condition)
    }
}

impl Finding {
    /// Returns the alternative of the finding; the second one of a pair.
    pub fn position(&self) -> Position {
        match self {
            Self::Unreachable { at, .. } | Self::Impossible { at, .. } => *at,
            Self::Ambiguous { second, .. } => *second,
        }
    }
}

/// Analyses `table` for requests that come in by `entrances`; by any if there are none.
pub fn analyse(table: &Table, entrances: &[Entrance]) -> Analysis {
    let mut analyzer = Analyzer::new(table, entrances);
    let unreachable = analyzer.find_unreachable();
    analyzer.find_ambiguous();
    let mut analysis = analyzer.analysis;
    analysis.findings.sort_by_key(Finding::position);
    analysis.inexact.sort_unstable();
    analysis.inexact.dedup();
    for (position, route) in table.routes() {
        let alternatives = 0..route.alternatives.len();
        if !alternatives.is_empty()
            && alternatives
                .map(|alternative| Position {
                    route: *position,
                    alternative,
                })
                .all(|at| unreachable.contains(&at))
        {
            analysis.unreachable_routes.push(*position);
        }
    }
    analysis
}

/// Returns true if `regex` matches no path that `pattern` covers; false if it does, or that is not known.
///
/// As everywhere here, paths have no empty segments in the middle.
pub fn excludes(regex: &Regex, pattern: &PathPattern) -> bool {
    Coverings::new().excludes(regex, pattern)
}

/// Alternatives with the same host and the same path, apart from the names of parameters. Their ranks differ by
/// their other conditions only. All regexes of a host are one group.
type Group = Vec<usize>;

/// The result of a search for a request. Alternatives are given by their index in rank order.
enum Verdict {
    Witness(Witness),
    /// There is none: these alternatives match instead.
    Taken {
        by: Vec<usize>,
    },
    Undecided,
    /// The steps are used up.
    Stopped,
}

struct Analyzer<'t> {
    table: &'t Table,
    /// The ways in, plain ones first; never empty.
    entrances: Vec<Entrance>,
    /// True if the entrances were given, rather than made of the conditions.
    knows_entrances: bool,
    /// All alternatives in rank order.
    order: Vec<(Found, &'t Alternative)>,
    fresh: Fresh,
    coverings: Coverings,
    groups: Vec<Group>,
    /// Group of each alternative.
    group_of: Vec<usize>,
    /// True for alternatives that no request can match.
    impossible: Vec<bool>,
    scratch: Scratch,
    steps: usize,
    analysis: Analysis,
}

impl<'t> Analyzer<'t> {
    fn new(table: &'t Table, entrances: &[Entrance]) -> Self {
        let order: Vec<(Found, &Alternative)> = table.in_rank_order().collect();
        let knows_entrances = !entrances.is_empty();
        let mut entrances = match knows_entrances {
            true => entrances.to_vec(),
            false => entrance::of_conditions(order.iter().map(|(_, alternative)| *alternative)),
        };
        entrances.sort_by_key(|entrance| !entrance.is_plain);
        let mut keys: HashMap<(&HostPattern, String), usize> = HashMap::new();
        let mut groups: Vec<Group> = Vec::new();
        let mut group_of = Vec::with_capacity(order.len());
        for (place, (_, alternative)) in order.iter().enumerate() {
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
            entrances,
            knows_entrances,
            fresh: Fresh::of(order.iter().map(|(_, alternative)| *alternative)),
            coverings: Coverings::new(),
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
            if let Solution::Nothing { empty } = assignment::find(&[alternative], &[], None) {
                let condition = empty.map_or_else(|| "header cookie".to_owned(), condition_name);
                let reason = Contradiction { condition };
                self.analysis.findings.push(Finding::Impossible { at, reason });
                self.impossible[place] = true;
                unreachable.insert(at);
                continue;
            }
            if !self
                .ways_in(alternative)
                .any(|entrance| entrance.fulfils(alternative))
            {
                // Not a matter of other routes.
                self.impossible[place] = true;
                unreachable.insert(at);
                continue;
            }
            match self.search(&[place], place) {
                Verdict::Witness(_) => {}
                Verdict::Taken { by } => {
                    let mend = self.mend(place, &by);
                    let shadowed_by = by.into_iter().map(|place| self.position(place)).collect();
                    self.analysis.findings.push(Finding::Unreachable {
                        at,
                        shadowed_by,
                        mend,
                    });
                    unreachable.insert(at);
                }
                Verdict::Undecided => self.analysis.inexact.push(at),
                Verdict::Stopped => self.analysis.truncated = true,
            }
        }
        unreachable
    }

    fn find_ambiguous(&mut self) {
        for group in 0..self.groups.len() {
            if self.groups[group].len() < 2 {
                continue;
            }
            let group = self.groups[group].clone();
            let ranks: Vec<Rank> = group.iter().map(|&place| self.rank(place)).collect();
            for (index, &first) in group.iter().enumerate() {
                for (later, &second) in group.iter().enumerate().skip(index + 1) {
                    // A group is in rank order, so equal ranks are adjacent.
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
        let of_one_route = self.position(first).route == self.position(second).route;
        if of_one_route || self.impossible[first] || self.impossible[second] || !may_hold_together(a, b) {
            return;
        }
        if let (PathPattern::Regex(a), PathPattern::Regex(b)) = (&a.path, &b.path) {
            if example::are_disjoint(a, b) {
                return;
            }
            // The search evaluates both on many examples.
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

    /// Searches for a request that matches all of `required` and goes to `winner`, the best of them. They are in one
    /// group.
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
                let solution = if better.len() > COVERING_MAX {
                    Solution::TooMany
                } else {
                    self.solve(&wanted, &self.alternatives(&better))
                };
                match solution {
                    Solution::Found(assignment) => match self.witness(&wanted, winner, path, assignment) {
                        Some(witness) => return Verdict::Witness(witness),
                        None => undecided = true,
                    },
                    Solution::Regex | Solution::TooMany => undecided = true,
                    Solution::Nothing { .. } => {}
                }
                // These cover all paths of the cell.
                let mut sure = better.clone();
                sure.retain(|&place| {
                    self.covers(place, pattern) || self.covers(place, &self.fresh.pattern(pattern, cell))
                });
                if sure.len() == better.len() {
                    proven = self.add_proof(&wanted, &sure, &mut taken_by);
                    break;
                }
                // Another fresh segment may avoid the other regexes.
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
                && let Solution::Found(assignment) = self.solve(wanted, &self.alternatives(&better))
                && let Some(witness) = self.witness(wanted, winner, path, assignment)
            {
                return Verdict::Witness(witness);
            }
        }
        let group = &self.groups[self.group_of[winner]];
        let earlier = group.iter().copied().take_while(|&place| place < winner);
        let mut same: Vec<usize> = earlier.take(COVERING_MAX).collect();
        same.retain(|&place| wanted.iter().any(|wanted| self.covers(place, &wanted.path)));
        let mut taken_by = Vec::new();
        if self.add_proof(wanted, &same, &mut taken_by) {
            Verdict::Taken { by: taken_by }
        } else {
            Verdict::Undecided
        }
    }

    /// Returns the alternatives that are better than `winner` and cover the fresh host of its pattern, and `path`;
    /// `None` if the steps are used up.
    ///
    /// Alternatives of other host patterns are worse, or do not cover the fresh host. Those that obviously cannot
    /// hold together with `wanted` are left out.
    fn better(&mut self, winner: usize, path: &str, wanted: &[&Alternative]) -> Option<Vec<usize>> {
        let mut better = Vec::new();
        let host = &self.alternative(winner).host;
        let order = &self.order;
        let steps = &mut self.steps;
        self.table
            .each_covering(host, path.as_bytes(), &mut self.scratch, |place| {
                if place >= winner || *steps == 0 || better.len() > COVERING_MAX {
                    return ControlFlow::Break(());
                }
                *steps -= 1;
                let (_, alternative) = order[place];
                if wanted.iter().all(|wanted| may_hold_together(wanted, alternative)) {
                    better.push(place);
                }
                ControlFlow::Continue(())
            });
        (self.steps > 0).then_some(better)
    }

    /// Returns true if `wanted` cannot hold without one of `better`, and adds the ones that prove it to `taken_by`.
    fn add_proof(&self, wanted: &[&Alternative], better: &[usize], taken_by: &mut Vec<usize>) -> bool {
        let proves = |better: &[usize]| {
            matches!(
                self.solve(wanted, &self.alternatives(better)),
                Solution::Nothing { .. }
            )
        };
        if better.len() > COVERING_MAX || !proves(better) {
            return false;
        }
        // A single one is the easiest to understand.
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

    /// Returns the request if, on the table, it matches all of `wanted` and goes to `winner`.
    fn witness(
        &mut self,
        wanted: &[&Alternative],
        winner: usize,
        path: String,
        assignment: Assignment,
    ) -> Option<Witness> {
        let pattern = &wanted[0].host;
        let matters = assignment.entrance.is_some();
        let chosen = assignment.entrance.map(|at| &self.entrances[at]);
        let entrances = self.entrances.iter().filter(|entrance| entrance.is_plain);
        let entrances: Vec<&Entrance> = match chosen {
            Some(chosen) => entrances.filter(|entrance| **entrance == *chosen).collect(),
            None => entrances.collect(),
        };
        let mut witness = Witness {
            host: None,
            path,
            method: assignment.method.unwrap_or_else(|| "GET".to_owned()),
            query: assignment.query,
            headers: assignment.headers,
            attributes: assignment.attributes,
            client_ip: assignment.client_ip.unwrap_or(address::DEFAULT),
            names_listener: matters,
        };
        // The better alternatives were found for the pattern's own host. For other hosts, the lookup in the table
        // decides.
        let fresh = &self.fresh;
        let own = entrances.iter().map(|entrance| (*entrance, fresh.host(pattern)));
        let others = entrances.iter().flat_map(|entrance| {
            let hosts = entrance.hosts.iter().map(|served| fresh.host(served));
            hosts.map(|host| (*entrance, host))
        });
        let of_client = witness.attributes.len();
        let mut value = Vec::new();
        for (entrance, host) in own.chain(others) {
            if !pattern.covers(host.as_deref().map(str::as_bytes)) || !entrance.serves(host.as_deref()) {
                continue;
            }
            if self.steps == 0 {
                return None;
            }
            self.steps -= 1;
            witness.host = host;
            witness.attributes.truncate(of_client);
            if matters || self.knows_entrances {
                witness.attributes.extend(entrance.attributes());
            }
            let needs_name = match &witness.host {
                Some(_) => entrance.needs_name,
                None => entrance.needs_name_without_host,
            };
            witness.names_listener = matters || needs_name;
            let request = witness.request();
            let all_fit = wanted
                .iter()
                .all(|of| of.first_failed(&request, &mut value).is_none());
            if all_fit && self.table.find(&request, &mut self.scratch) == Some(self.order[winner].0) {
                return Some(witness);
            }
        }
        None
    }

    /// The entrances of requests for hosts of `alternative`.
    fn ways_in(&self, alternative: &Alternative) -> impl Iterator<Item = &Entrance> {
        let entrances = self.entrances.iter();
        entrances.filter(|entrance| entrance.overlaps(&alternative.host))
    }

    /// Finds values for which all of `required` and none of `avoided` hold, apart from host and path. All are on the host
    /// pattern of the first.
    fn solve<'a>(&self, required: &[&'a Alternative], avoided: &[&'a Alternative]) -> Solution<'a> {
        let host = required.first().map_or(&HostPattern::Any, |first| &first.host);
        let entrances = self.entrances.iter().enumerate();
        let ways_in: Vec<(usize, &Entrance)> = entrances
            .filter(|(_, entrance)| entrance.overlaps(host))
            .collect();
        assignment::find(required, avoided, Some(&ways_in))
    }

    fn alternative(&self, place: usize) -> &'t Alternative {
        self.order[place].1
    }

    fn alternatives(&self, places: &[usize]) -> Vec<&'t Alternative> {
        places.iter().map(|&place| self.alternative(place)).collect()
    }

    fn position(&self, place: usize) -> Position {
        let Found { route, alternative } = self.order[place].0;
        Position { route, alternative }
    }

    fn rank(&self, place: usize) -> Rank {
        Rank::of(self.alternative(place), self.position(place))
    }

    /// Returns true if the alternative at `place`, which covers a path of `pattern` with fresh segments, covers all paths of
    /// it.
    fn covers(&mut self, place: usize, pattern: &PathPattern) -> bool {
        let PathPattern::Regex(regex) = &self.alternative(place).path else {
            return true;
        };
        if let PathPattern::Regex(other) = pattern {
            // Examples are cheaper than automata.
            let mut examples = example::of(other)
                .into_iter()
                .filter(|path| path.starts_with(b"/"));
            if !examples.all(|path| regex.is_match(&path)) {
                return false;
            }
        }
        self.coverings.covers(regex, pattern)
    }

    fn is_regex(&self, place: usize) -> bool {
        matches!(self.alternative(place).path, PathPattern::Regex(_))
    }
}

/// Returns false if methods or values obviously exclude each other, as for versions selected by a header. It saves
/// the search.
fn may_hold_together(a: &Alternative, b: &Alternative) -> bool {
    let clash = |a: &[FieldCondition], b: &[FieldCondition]| {
        a.iter()
            .any(|a| b.iter().any(|b| a.name == b.name && exclude(&a.value, &b.value)))
    };
    let attributes_clash = a.attributes.iter().any(|a| {
        let mut others = b.attributes.iter();
        others.any(|b| a.attribute == b.attribute && exclude(&a.value, &b.value))
    });
    let methods_meet = a.methods.is_empty()
        || b.methods.is_empty()
        || a.methods.iter().any(|method| b.methods.contains(method));
    methods_meet
        && !clash(&a.headers, &b.headers)
        && !attributes_clash
        && !clash(&a.cookies, &b.cookies)
        && !clash(&a.query, &b.query)
}

/// Returns true if both compare with texts, of which they have none in common.
fn exclude(a: &ValueCondition, b: &ValueCondition) -> bool {
    let (a, b) = (a.texts(), b.texts());
    !a.is_empty() && !b.is_empty() && !a.iter().any(|a| b.contains(a))
}

/// Returns the key of a group: the same text for patterns that cover the same paths, and for all regexes.
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
        Variable::Attribute(attribute) => attribute.to_string(),
        Variable::Cookie(name) => format!("cookie {name}"),
        Variable::Query(name) => format!("query {name}"),
        Variable::ClientIp => "client_ip".to_owned(),
        Variable::Entrance => "listener".to_owned(),
    }
}
