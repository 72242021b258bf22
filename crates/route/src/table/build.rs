//! The builder of tables.

use hashbrown::HashMap;

use crate::Route;
use crate::alternative::Alternative;
use crate::host::HostPattern;
use crate::path::PathPattern;
use crate::rank::{Position, Rank};
use crate::regex::Regex;
use crate::table::dispatch::Dispatch;
use crate::table::keys::Keys;
use crate::table::lists::{Candidate, EMPTY, ListId, ListsBuilder};
use crate::table::regexes::Regexes;
use crate::table::trie::Trie;
use crate::table::{EXACT, Entry, Site, SiteId, Table, TableError, WILDCARD};

/// A table under construction; alternatives are added in rank order.
struct Builder {
    hosts: Keys,
    wildcard_len_max: usize,
    any: Option<SiteId>,
    sites: Vec<Site>,
    /// List of each exact path, by site.
    exact_paths: Keys,
    trie: Trie,
    lists: ListsBuilder,
    /// Distinct regexes of each site.
    regexes: HashMap<SiteId, SiteRegexes>,
}

#[derive(Default)]
struct SiteRegexes {
    expressions: Vec<(Regex, ListId)>,
    by_text: HashMap<Box<str>, usize>,
}

pub(super) fn build(routes: Vec<(usize, Route)>) -> Result<Table, TableError> {
    let mut ranks: Vec<Rank> = Vec::new();
    for (route, (_, of)) in routes.iter().enumerate() {
        for (alternative, pattern) in of.alternatives.iter().enumerate() {
            ranks.push(Rank::of(pattern, Position { route, alternative }));
        }
    }
    ranks.sort_unstable();
    let mut builder = Builder {
        hosts: Keys::default(),
        wildcard_len_max: 0,
        any: None,
        sites: Vec::new(),
        exact_paths: Keys::default(),
        trie: Trie::default(),
        lists: ListsBuilder::new(),
        regexes: HashMap::new(),
    };
    let mut entries = Vec::with_capacity(ranks.len());
    for (order, rank) in ranks.iter().enumerate() {
        let Position { route, alternative } = rank.position();
        let (position, of) = &routes[route];
        builder.add(to_u32(order)?, &of.alternatives[alternative])?;
        entries.push(Entry {
            position: to_u32(*position)?,
            route: to_u32(route)?,
            alternative: to_u32(alternative)?,
        });
    }
    for (site, regexes) in builder.regexes {
        builder.sites[site as usize].regexes = Some(Box::new(Regexes::new(&regexes.expressions)));
    }
    let mut lists = builder.lists.finish();
    let dispatch = Dispatch::new(&mut lists, |candidate| {
        let Position { route, alternative } = ranks[candidate.order as usize].position();
        &routes[route].1.alternatives[alternative]
    })?;
    lists.shrink();
    builder.exact_paths.map_values(|list| lists.compact(list));
    builder.trie.map_lists(|list| lists.compact(list));
    Ok(Table {
        routes: routes.into(),
        entries: entries.into(),
        hosts: builder.hosts,
        wildcard_len_max: builder.wildcard_len_max,
        any: builder.any,
        sites: builder.sites.into(),
        exact_paths: builder.exact_paths,
        trie: builder.trie,
        lists,
        dispatch,
    })
}

impl Builder {
    fn add(&mut self, order: u32, alternative: &Alternative) -> Result<(), TableError> {
        let candidate = Candidate {
            order,
            unconditional: is_unconditional(alternative),
        };
        let site = self.site(&alternative.host)?;
        let root = self.sites[site as usize].root;
        match &alternative.path {
            PathPattern::Exact(path) => match self.exact_paths.find(site, path.as_bytes()) {
                Some(list) => {
                    self.lists.push(list, candidate)?;
                }
                None => {
                    let list = self.lists.push(EMPTY, candidate)?;
                    self.exact_paths.insert(site, path.as_bytes(), list)?;
                    self.sites[site as usize].has_exact_paths = true;
                }
            },
            PathPattern::Template(segments) => {
                let node = self.trie.insert(root, segments)?;
                let node = self.trie.node_mut(node);
                node.closed = self.lists.push(node.closed, candidate)?;
            }
            PathPattern::Open(segments) => {
                let node = self.trie.insert(root, segments)?;
                let node = self.trie.node_mut(node);
                node.open = self.lists.push(node.open, candidate)?;
            }
            PathPattern::Regex(regex) => {
                let regexes = self.regexes.entry(site).or_default();
                match regexes.by_text.get(regex.as_str()) {
                    Some(&index) => {
                        self.lists.push(regexes.expressions[index].1, candidate)?;
                    }
                    None => {
                        let list = self.lists.push(EMPTY, candidate)?;
                        regexes
                            .by_text
                            .insert(regex.as_str().into(), regexes.expressions.len());
                        regexes.expressions.push((regex.clone(), list));
                    }
                }
            }
        }
        Ok(())
    }

    fn site(&mut self, host: &HostPattern) -> Result<SiteId, TableError> {
        let known = match host {
            HostPattern::Any => self.any,
            HostPattern::Exact(name) => self.hosts.find(EXACT, name.as_bytes()),
            HostPattern::Wildcard(suffix) => self.hosts.find(WILDCARD, suffix.as_bytes()),
        };
        if let Some(site) = known {
            return Ok(site);
        }
        let site = to_u32(self.sites.len())?;
        self.sites.push(Site {
            root: self.trie.add_root()?,
            has_exact_paths: false,
            regexes: None,
        });
        match host {
            HostPattern::Any => self.any = Some(site),
            HostPattern::Exact(name) => self.hosts.insert(EXACT, name.as_bytes(), site)?,
            HostPattern::Wildcard(suffix) => {
                self.hosts.insert(WILDCARD, suffix.as_bytes(), site)?;
                self.wildcard_len_max = self.wildcard_len_max.max(suffix.len());
            }
        }
        Ok(site)
    }
}

fn is_unconditional(alternative: &Alternative) -> bool {
    alternative.methods.is_empty()
        && alternative.headers.is_empty()
        && alternative.attributes.is_empty()
        && alternative.cookies.is_empty()
        && alternative.query.is_empty()
        && alternative.client_ips.is_empty()
}

fn to_u32(index: usize) -> Result<u32, TableError> {
    u32::try_from(index).map_err(|_| TableError::TooLarge)
}
