//! Routes compiled for matching.
//!
//! A lookup takes one hash of the host (and one for each label that a wildcard may cover), one hash of the
//! path, one walk over its segments, and one search for all regexes of the host. Then the other conditions of
//! the candidates, which cover host and path, are evaluated in rank order. Long lists of candidates are indexed by
//! the value of a field. The time does not depend on the number of routes.

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

/// An immutable table of routes, compiled for matching.
pub struct Table {
    /// The routes in declared order, with their positions.
    routes: Box<[(usize, Route)]>,
    /// All alternatives in rank order.
    entries: Box<[Entry]>,
    /// Site of each host, by kind ([`EXACT`], [`WILDCARD`]) and name or suffix.
    hosts: Keys,
    /// Length of the longest wildcard suffix; 0 without any.
    wildcard_len_max: usize,
    any: Option<SiteId>,
    sites: Box<[Site]>,
    /// List of each exact path, by site.
    exact_paths: Keys,
    trie: Trie,
    lists: Lists,
    dispatch: Dispatch,
}

/// The alternative that matches a request and wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Found {
    /// Position of the route: its index, or the position given to [`Table::with_positions`].
    pub route: usize,
    /// Index of the alternative in that route.
    pub alternative: usize,
}

/// Scratch memory of [`Table::find`]. Once it has grown as needed, lookups do not allocate. It can be used with
/// any table and carries nothing from one request to the next.
#[derive(Debug)]
pub struct Scratch {
    places: Places,
    /// Value of the field that is being compared.
    value: Vec<u8>,
    parts: Parts,
    /// Candidates of all matching regexes.
    candidates: Vec<Candidate>,
}

/// An error in compiling routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The number of alternatives, path segments or bytes of them exceeds 32 bits.
    #[error("the routes have more alternatives or path segments than a table can hold")]
    TooLarge,
}

/// State of a lookup in the paths of one host.
#[derive(Debug)]
struct Places {
    walk: Walk,
    patterns: PatternSet,
    /// Lists of all matching regexes.
    found: Vec<ListId>,
}

/// Candidates that cover a path with equal rank so far.
enum Covering<'p> {
    List(ListId),
    /// The lists of several regexes.
    Regexes(&'p [ListId]),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Position of the route.
    position: u32,
    /// Index of the route in the table.
    route: u32,
    /// Index of the alternative in the route.
    alternative: u32,
}

type SiteId = u32;

/// Keys of `hosts`: an exact name.
const EXACT: u32 = 0;
/// Keys of `hosts`: the suffix after the `*` of a wildcard.
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
    /// Returns empty scratch memory.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Table {
    /// Compiles `routes`, given in declared order. Their positions are their indices.
    ///
    /// # Errors
    /// If a count exceeds 32 bits.
    pub fn new(routes: Vec<Route>) -> Result<Self, TableError> {
        Self::with_positions(routes.into_iter().enumerate().collect())
    }

    /// Compiles some routes of a longer list, given in declared order, each with its position there. [`Found`] refers to
    /// a route by this position.
    ///
    /// # Errors
    /// If a count or a position exceeds 32 bits.
    pub fn with_positions(routes: Vec<(usize, Route)>) -> Result<Self, TableError> {
        build::build(routes)
    }

    /// Returns the best alternative of which all conditions hold.
    pub fn find(&self, request: &Request<'_>, scratch: &mut Scratch) -> Option<Found> {
        if let Some(host) = request.host {
            if let Some(site) = self.hosts.find(EXACT, host)
                && let Some(found) = self.find_at(site, request, scratch)
            {
                return Some(found);
            }
            // The first byte is never the dot of a suffix: `*` covers at least one label. Suffixes longer than
            // any known one are skipped, so a host of thousands of labels costs nothing.
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

    /// Returns all routes in declared order, with their positions.
    pub(crate) fn routes(&self) -> &[(usize, Route)] {
        &self.routes
    }

    /// Returns all alternatives in rank order.
    pub(crate) fn in_rank_order(&self) -> impl ExactSizeIterator<Item = (Found, &Alternative)> {
        self.entries
            .iter()
            .map(|entry| (entry.found(), self.alternative(*entry)))
    }

    fn alternative(&self, entry: Entry) -> &Alternative {
        &self.routes[entry.route as usize].1.alternatives[entry.alternative as usize]
    }

    /// Calls `visit` with each alternative with exactly the host pattern `host` whose path pattern covers
    /// `path`, in rank order, by its index in that order.
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
            // The result says only whether `visit` broke off.
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
        let entry = self.entries[candidate.order as usize];
        let takes = candidate.unconditional
            || self
                .alternative(entry)
                .first_failed_beside_path(request, value)
                .is_none();
        if takes {
            ControlFlow::Break(entry.found())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Calls `visit` with the candidates of `site` that cover `path`, in rank order, until it breaks off.
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
            route: self.position as usize,
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
