//! Routes compiled for matching.
//!
//! A request costs one hash of its host (and one for each label that a wildcard may stand for), one hash of
//! its path, one walk over its segments, and one search for all regexes of the host; then the candidates
//! that cover host and path are asked for their other conditions, in rank order; of many that differ in what a field has
//! to be, only those that want what it is. None of this depends on how many routes there are.

mod build;
mod dispatch;
mod keys;
mod lists;
mod regexes;
#[cfg(test)]
pub(crate) mod tests;
mod trie;

use std::fmt;
use std::ops::ControlFlow;

use regex_automata::PatternSet;

use crate::Route;
use crate::alternative::Alternative;
use crate::host::HostPattern;
use crate::request::Request;
use crate::table::dispatch::{Dispatch, Parts};
use crate::table::keys::Keys;
use crate::table::lists::{Candidate, EMPTY, ListId, Lists};
use crate::table::regexes::Regexes;
use crate::table::trie::{NodeId, Trie, Walk};

/// Routes compiled for matching; immutable.
pub struct Table {
    routes: Box<[Route]>,
    /// All alternatives in rank order.
    entries: Box<[Entry]>,
    /// The site of each host, by kind ([`EXACT`], [`WILDCARD`]) and name or suffix.
    hosts: Keys,
    /// The longest suffix of a wildcard; 0 without any.
    wildcard_len_max: usize,
    any: Option<SiteId>,
    sites: Box<[Site]>,
    /// The list of each exact path, by site.
    exact_paths: Keys,
    trie: Trie,
    lists: Lists,
    dispatch: Dispatch,
}

/// Which alternative takes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Found {
    /// The index of the route among those that the table was made from.
    pub route: usize,
    /// The index of the alternative in that route.
    pub alternative: usize,
}

/// Memory that [`Table::find`] works in. Once it has grown to what the requests need, finding allocates
/// nothing. It belongs to no table and carries nothing from one request to the next.
#[derive(Debug)]
pub struct Scratch {
    places: Places,
    /// The value of the field that is being compared.
    value: Vec<u8>,
    parts: Parts,
    /// The candidates of all regexes that were found.
    candidates: Vec<Candidate>,
}

/// Why routes cannot be compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// More alternatives, path segments or bytes of them than 32 bits can count.
    #[error("the routes have more alternatives or path segments than a table can hold")]
    TooLarge,
}

/// Where a walk through the paths of one host stands.
#[derive(Debug)]
struct Places {
    walk: Walk,
    patterns: PatternSet,
    /// The lists of all regexes that were found.
    found: Vec<ListId>,
}

/// Candidates that cover a path, equal in rank but for their other conditions.
enum Covering<'p> {
    List(ListId),
    /// Those of several regexes.
    Regexes(&'p [ListId]),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    route: u32,
    alternative: u32,
}

type SiteId = u32;

/// Keys of `hosts`: an exact name.
const EXACT: u32 = 0;
/// Keys of `hosts`: what follows the `*` of a wildcard.
const WILDCARD: u32 = 1;

/// The paths of one host pattern.
#[derive(Debug)]
struct Site {
    root: NodeId,
    has_exact_paths: bool,
    regexes: Option<Box<Regexes>>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            places: Places {
                walk: Walk::default(),
                patterns: PatternSet::new(0),
                found: Vec::new(),
            },
            value: Vec::new(),
            parts: Parts::default(),
            candidates: Vec::new(),
        }
    }
}

impl Scratch {
    /// Scratch memory that has yet to grow.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Table {
    /// Compiles `routes`, given in declared order.
    ///
    /// # Errors
    /// When there are more than 32 bits can count.
    pub fn new(routes: Vec<Route>) -> Result<Self, TableError> {
        build::build(routes)
    }

    /// The routes that the table was made from, in the order given.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The best alternative whose conditions all hold; `None` when there is none.
    pub fn find(&self, request: &Request<'_>, scratch: &mut Scratch) -> Option<Found> {
        if let Some(host) = request.host {
            if let Some(site) = self.hosts.find(EXACT, host)
                && let Some(found) = self.find_at(site, request, scratch)
            {
                return Some(found);
            }
            // The first byte is never the dot of a suffix: `*` stands for one label at least. Suffixes longer
            // than any that is known are skipped, so that a host of thousands of labels costs nothing.
            let mut from = host.len().saturating_sub(self.wildcard_len_max).max(1);
            while let Some(dot) = host.get(from..).and_then(|rest| memchr::memchr(b'.', rest)) {
                if let Some(site) = self.hosts.find(WILDCARD, &host[from + dot..])
                    && let Some(found) = self.find_at(site, request, scratch)
                {
                    return Some(found);
                }
                from += dot + 1;
            }
        }
        self.find_at(self.any?, request, scratch)
    }

    /// The alternative at `found`, which this table gave.
    pub fn alternative(&self, found: Found) -> &Alternative {
        &self.routes[found.route].alternatives[found.alternative]
    }

    /// All alternatives in rank order.
    pub(crate) fn in_rank_order(&self) -> impl ExactSizeIterator<Item = Found> {
        self.entries.iter().map(|entry| entry.found())
    }

    /// Calls `visit` with each alternative of exactly the host pattern `host` whose path pattern covers
    /// `path`, in rank order, as its place in that order.
    pub(crate) fn each_covering(
        &self,
        host: &HostPattern,
        path: &[u8],
        scratch: &mut Scratch,
        mut visit: impl FnMut(usize) -> ControlFlow<()>,
    ) {
        let site = match host {
            HostPattern::Any => self.any,
            HostPattern::Exact(name) => self.hosts.find(EXACT, name.as_bytes()),
            HostPattern::Wildcard(suffix) => self.hosts.find(WILDCARD, suffix.as_bytes()),
        };
        if let Some(site) = site {
            // What stopped the visits is of no interest here.
            let candidates = &mut scratch.candidates;
            let _ = self.each_covering_list(site, path, &mut scratch.places, |covering| {
                candidates.clear();
                match covering {
                    Covering::List(list) => match lists::single(list) {
                        Some(candidate) => candidates.push(candidate),
                        None => candidates.extend(self.lists.list(list)),
                    },
                    Covering::Regexes(lists) => {
                        candidates.extend(lists.iter().flat_map(|list| self.lists.list(*list)));
                        candidates.sort_unstable();
                    }
                }
                candidates
                    .iter()
                    .try_for_each(|candidate| visit(candidate.order as usize))
            });
        }
    }

    fn find_at(&self, site: SiteId, request: &Request<'_>, scratch: &mut Scratch) -> Option<Found> {
        let Scratch {
            places,
            value,
            parts,
            candidates,
        } = scratch;
        let stopped = self.each_covering_list(site, request.path, places, |covering| {
            match covering {
                Covering::List(EMPTY) => {}
                Covering::List(list) => {
                    if let Some(candidate) = lists::single(list) {
                        return self.try_candidate(candidate, request, value);
                    }
                    self.dispatch.choose(list, &self.lists, request, value, parts);
                    while let Some(candidate) = parts.next(&self.lists) {
                        self.try_candidate(candidate, request, value)?;
                    }
                }
                Covering::Regexes(lists) => {
                    candidates.clear();
                    for &list in lists {
                        self.dispatch.choose(list, &self.lists, request, value, parts);
                        while let Some(candidate) = parts.next(&self.lists) {
                            candidates.push(candidate);
                        }
                    }
                    candidates.sort_unstable();
                    for &candidate in candidates.iter() {
                        self.try_candidate(candidate, request, value)?;
                    }
                }
            }
            ControlFlow::Continue(())
        });
        stopped.break_value()
    }

    /// Breaks with the candidate if its other conditions hold.
    fn try_candidate(
        &self,
        candidate: Candidate,
        request: &Request<'_>,
        value: &mut Vec<u8>,
    ) -> ControlFlow<Found> {
        let found = self.entries[candidate.order as usize].found();
        let takes = candidate.unconditional
            || self
                .alternative(found)
                .first_failed_beside_path(request, value)
                .is_none();
        if takes {
            ControlFlow::Break(found)
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Calls `visit` with the candidates of `site` that cover `path`, in rank order, until it breaks.
    fn each_covering_list<B>(
        &self,
        site: SiteId,
        path: &[u8],
        places: &mut Places,
        mut visit: impl FnMut(Covering<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let site_id = site;
        let site = &self.sites[site_id as usize];
        if site.has_exact_paths
            && let Some(list) = self.exact_paths.find(site_id, path)
        {
            visit(Covering::List(list))?;
        }
        let Places {
            walk,
            patterns,
            found,
        } = places;
        self.trie.walk(site.root, path, walk);
        for &node in walk.closed() {
            visit(Covering::List(self.trie.node(node).closed))?;
        }
        if let Some(regexes) = &site.regexes {
            found.clear();
            regexes.each_match(path, patterns, |list| found.push(list));
            visit(Covering::Regexes(found))?;
        }
        for level in walk.open() {
            for &node in level {
                visit(Covering::List(self.trie.node(node).open))?;
            }
        }
        ControlFlow::Continue(())
    }
}

impl Entry {
    fn found(self) -> Found {
        Found {
            route: self.route as usize,
            alternative: self.alternative as usize,
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}
