//! Regexes that cover every path of a pattern, decided on automata of a bounded size.
//!
//! The paths of a pattern are an automaton of a few states for each byte of it. Its product with the lazily built
//! automaton of the regex is searched for a path that the regex does not match. If there is none, the regex covers the
//! pattern. The paths are a few more than those in normal form, so what is proved holds for these. Whether a regex matches
//! none of them is decided alike.

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input};

use crate::path::{PathPattern, Segment};
use crate::regex::{self, Regex};

/// Maximum number of states of one product. Past it, nothing is said.
const STATES_MAX: usize = 2_000;

/// Maximum number of transitions of all products of an analysis.
const TRANSITIONS_MAX: usize = 10_000_000;

/// Maximum memory of an automaton, in bytes.
const BYTES_MAX: usize = 1 << 20;

/// Decides which regexes cover which patterns, and remembers it.
#[derive(Debug)]
pub(super) struct Coverings {
    automata: HashMap<Regex, Option<Box<Automaton>>>,
    known: HashMap<(Regex, PathPattern), bool>,
    transitions: usize,
}

/// The automaton of a regex, with the states that are built so far. They stay until the end: without room for another one,
/// the search is given up.
#[derive(Debug)]
struct Automaton {
    dfa: DFA,
    cache: Cache,
}

/// The state of a search for a match, after some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Search {
    Running(LazyStateID),
    /// A match was found.
    Matched,
    /// None can come any more.
    Dead,
}

/// The paths of a pattern, as states.
#[derive(Debug, Default)]
struct Paths(Vec<State>);

/// A state of [`Paths`]: the next ones by index.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// True if a path may end here.
    ends: bool,
    slash: Option<usize>,
    literal: Option<(u8, usize)>,
    /// After any byte of a segment.
    any: Option<usize>,
}

/// A state of the product: of the paths, of the covering regex, and of the covered one.
type Product = (usize, Search, Search);

impl Coverings {
    pub(super) fn new() -> Self {
        Self {
            automata: HashMap::new(),
            known: HashMap::new(),
            transitions: TRANSITIONS_MAX,
        }
    }

    /// Returns true if `regex` matches every path that `pattern` covers; false if it does not, or that is not known.
    pub(super) fn covers(&mut self, regex: &Regex, pattern: &PathPattern) -> bool {
        let key = (regex.clone(), pattern.clone());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let covers = self.decide(regex, pattern).unwrap_or(false);
        self.known.insert(key, covers);
        covers
    }

    /// Returns true if `regex` matches no path that `pattern` covers; false if it does, or that is not known.
    pub(super) fn excludes(&mut self, regex: &Regex, pattern: &PathPattern) -> bool {
        let found = match pattern {
            PathPattern::Regex(covered) => match (Automaton::of(regex), Automaton::of(covered)) {
                (Some(mut matching), Some(mut covered)) => {
                    self.search(&Paths::of(pattern), &mut matching, true, Some(&mut covered))
                }
                _ => None,
            },
            _ => Automaton::of(regex)
                .and_then(|mut matching| self.search(&Paths::of(pattern), &mut matching, true, None)),
        };
        found.unwrap_or(false)
    }

    /// `None` if it could not be decided.
    fn decide(&mut self, regex: &Regex, pattern: &PathPattern) -> Option<bool> {
        let covered = match pattern {
            PathPattern::Regex(other) if other == regex => return Some(true),
            PathPattern::Regex(other) => Some(other),
            _ => None,
        };
        for regex in covered.into_iter().chain([regex]) {
            if let Entry::Vacant(entry) = self.automata.entry(regex.clone()) {
                entry.insert(Automaton::of(regex).map(Box::new));
            }
        }
        // Both are changed while they run, so they are taken out.
        let mut covering = self.automata.get_mut(regex)?.take()?;
        let other = covered.and_then(|other| self.automata.get_mut(other)?.take());
        let found = match (covered, other) {
            (Some(covered), Some(mut other)) => {
                let found = self.search(&Paths::of(pattern), &mut covering, false, Some(&mut other));
                self.automata.insert(covered.clone(), Some(other));
                found
            }
            (Some(_), None) => None,
            (None, _) => self.search(&Paths::of(pattern), &mut covering, false, None),
        };
        self.automata.insert(regex.clone(), Some(covering));
        found
    }

    /// Searches for a path that `covered` matches, if given, and `regex` matches or not, as `matches` says; returns true if
    /// there is none.
    fn search(
        &mut self,
        paths: &Paths,
        regex: &mut Automaton,
        matches: bool,
        mut covered: Option<&mut Automaton>,
    ) -> Option<bool> {
        let bytes = representatives(regex, covered.as_deref());
        let other = match covered.as_deref_mut() {
            Some(covered) => covered.start()?,
            None => Search::Matched,
        };
        let start: Product = (0, regex.start()?, other);
        let decided = if matches { Search::Dead } else { Search::Matched };
        let mut seen: HashSet<Product> = HashSet::from_iter([start]);
        let mut waiting = vec![start];
        while let Some((at, search, other)) = waiting.pop() {
            let state = paths.0[at];
            if state.ends {
                let other_matches = match covered.as_deref_mut() {
                    Some(covered) => covered.end(other)? == Search::Matched,
                    None => true,
                };
                if other_matches && (regex.end(search)? == Search::Matched) == matches {
                    return Some(false);
                }
            }
            let mut step = |byte: u8, next: usize| -> Option<()> {
                self.transitions = self.transitions.checked_sub(1)?;
                let search = regex.step(search, byte)?;
                let other = match covered.as_deref_mut() {
                    Some(covered) => covered.step(other, byte)?,
                    None => other,
                };
                // Whatever follows is decided, or not matched by the other.
                if search != decided && other != Search::Dead && seen.insert((next, search, other)) {
                    waiting.push((next, search, other));
                }
                (seen.len() <= STATES_MAX).then_some(())
            };
            if let Some(next) = state.slash {
                step(b'/', next)?;
            }
            if let Some((byte, next)) = state.literal {
                step(byte, next)?;
            }
            if let Some(next) = state.any {
                for &byte in &bytes {
                    step(byte, next)?;
                }
            }
        }
        Some(true)
    }
}

impl Automaton {
    /// `None` if it is too large.
    fn of(regex: &Regex) -> Option<Self> {
        let config = DFA::config()
            .cache_capacity(BYTES_MAX)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(0))
            // It fails for bytes that are not ASCII, which no path has.
            .unicode_word_boundary(true);
        let nfa = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(BYTES_MAX))
            .which_captures(WhichCaptures::None);
        let dfa = DFA::builder()
            .syntax(regex::syntax_config())
            .configure(config)
            .thompson(nfa)
            .build(regex.as_str())
            .ok()?;
        let cache = dfa.create_cache();
        Some(Self { dfa, cache })
    }

    fn start(&mut self) -> Option<Search> {
        let input = Input::new("").anchored(Anchored::No);
        let state = self.dfa.start_state_forward(&mut self.cache, &input).ok()?;
        Search::of(state)
    }

    fn step(&mut self, search: Search, byte: u8) -> Option<Search> {
        match search {
            Search::Running(state) => Search::of(self.dfa.next_state(&mut self.cache, state, byte).ok()?),
            done => Some(done),
        }
    }

    /// The result at the end of the path.
    fn end(&mut self, search: Search) -> Option<Search> {
        match search {
            Search::Running(state) => Search::of(self.dfa.next_eoi_state(&mut self.cache, state).ok()?),
            done => Some(done),
        }
    }
}

impl Search {
    /// `None` where the automaton gives up.
    fn of(state: LazyStateID) -> Option<Self> {
        if state.is_quit() {
            return None;
        }
        Some(if state.is_match() {
            Self::Matched
        } else if state.is_dead() {
            Self::Dead
        } else {
            Self::Running(state)
        })
    }
}

/// Bytes of segments, one of each class that the automata tell apart.
fn representatives(covering: &Automaton, covered: Option<&Automaton>) -> Vec<u8> {
    let mut seen = HashSet::new();
    let class = |automaton: &Automaton, byte| automaton.dfa.byte_classes().get(byte);
    let mut bytes: Vec<u8> = (b'!'..=b'~')
        .filter(|byte| !b"\"#/<>?\\^`{|}".contains(byte))
        .collect();
    bytes.retain(|&byte| seen.insert((class(covering, byte), covered.map(|covered| class(covered, byte)))));
    bytes
}

impl Paths {
    fn of(pattern: &PathPattern) -> Self {
        let mut paths = Self::default();
        let start = paths.add();
        let mut at = start;
        match pattern {
            PathPattern::Exact(text) => {
                for segment in text.split('/').skip(1) {
                    at = paths.slash(at);
                    at = paths.literal(at, segment);
                }
            }
            PathPattern::Template(segments) | PathPattern::Open(segments) => {
                for segment in segments {
                    at = paths.slash(at);
                    at = match segment {
                        Segment::Literal(text) => paths.literal(at, text),
                        Segment::Parameter(_) => paths.parameter(at),
                    };
                }
            }
            // Of all paths.
            PathPattern::Regex(_) => {}
        }
        if matches!(pattern, PathPattern::Open(_) | PathPattern::Regex(_)) {
            let after_slash = paths.slash(at);
            let segment = paths.parameter(after_slash);
            paths.0[segment].slash = Some(after_slash);
            paths.0[after_slash].ends = true;
            paths.0[segment].ends = true;
        }
        // Every path begins with a slash.
        paths.0[at].ends = at != start;
        paths
    }

    fn add(&mut self) -> usize {
        self.0.push(State::default());
        self.0.len() - 1
    }

    fn slash(&mut self, at: usize) -> usize {
        let next = self.add();
        self.0[at].slash = Some(next);
        next
    }

    fn literal(&mut self, mut at: usize, text: &str) -> usize {
        for byte in text.bytes() {
            let next = self.add();
            self.0[at].literal = Some((byte, next));
            at = next;
        }
        at
    }

    /// One byte of a segment or more.
    fn parameter(&mut self, at: usize) -> usize {
        let next = self.add();
        self.0[at].any = Some(next);
        self.0[next].any = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(regex: &str, pattern: &str, expected: bool) {
        let regex = Regex::new(regex).unwrap();
        let pattern = PathPattern::parse(pattern).unwrap();
        let covers = Coverings::new().covers(&regex, &pattern);
        assert_eq!(covers, expected, "{regex:?} over {pattern}");
    }

    #[test]
    fn regexes_with_a_literal_prefix_cover_what_lies_below() {
        check("^/api", "/api/*", true);
        check("^/api(/|$)", "/api/*", true);
        check("^/api/", "/api/v1/*", true);
        check("^/api/", "/api/*", false);
        check("^/api/", "/api/{x}/y", true);
        check("^/api/", "/api", false);
        check("^/api/", "/api/", true);
        check("/api", "/x/api/*", true);
        check("api", "/x/{y}/*", false);
        check("", "/*", true);
        check("^/", "/*", true);
        check("^/[^/]+$", "/{x}", true);
        check("^/[^/]+$", "/{x}/", false);
        check("^/[^/]*$", "/{x}/*", false);
        check("^/a/.*$", "/a/{x}/b", true);
        check("(?i)^/API", "/api/x", true);
        check(r"^/\w+", "/{x}", false);
        check(r"\bapi\b", "/api/*", true);
        check(r"^/v[0-9]+/", "/v1/*", false);
        check(r"^/v[0-9]+(/|$)", "/v1/*", true);
        check(r"^/a(/[^/]+)*/?$", "/a/*", true);
        check(r"^/a(/[^/]+)*$", "/a/*", false);
    }

    #[test]
    fn regexes_exclude_what_they_never_match() {
        let excludes = |regex: &str, pattern: &str| {
            let regex = Regex::new(regex).unwrap();
            Coverings::new().excludes(&regex, &PathPattern::parse(pattern).unwrap())
        };
        for (regex, pattern, expected) in [
            ("^/b", "/a/*", true),
            ("^/a", "/a/*", false),
            ("b", "/a/*", false),
            ("b", "/a/{x}", false),
            ("//", "/*", true),
            ("^/a$", "/a/{x}", true),
            ("^/a$", "/a/*", false),
            ("^/b", "~^/a", true),
            ("b$", "~^/a", false),
            ("^/a", "~^/a/b", false),
            ("^/a$", "~^/a/b", true),
            (r"^/\w", "/{x}", false),
        ] {
            assert_eq!(excludes(regex, pattern), expected, "{regex} on {pattern}");
        }
    }

    #[test]
    fn regexes_cover_narrower_ones() {
        check("^/a", "~^/ab", true);
        check("^/ab", "~^/a", false);
        check("^/v[0-9]+/", "~^/v[12]/x$", true);
        check("^/v[12]/", "~^/v[0-9]/", false);
        check("b$", "~^/a.*b$", true);
        check("^/a.*b$", "~b$", false);
        check("x", "~^/[xy]$", false);
        check("^/.", "~^/[xy]$", true);
        // No path has a blank.
        check("^/x", "~ ", true);
    }

    #[test]
    fn nothing_is_said_past_the_bounds() {
        check(r"^/(\w{20}){10}|^/", "/*", false);
        let mut coverings = Coverings::new();
        coverings.transitions = 3;
        let regex = Regex::new("^/api").unwrap();
        assert!(!coverings.covers(&regex, &PathPattern::parse("/api/*").unwrap()));
    }
}
