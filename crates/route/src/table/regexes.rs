//! Simultaneous search for the path regexes of one host.

use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Input, MatchKind, PatternSet, meta};

use crate::regex::{self, Regex};
use crate::table::lists::ListId;

/// Maximum memory of the lazy DFA of one automaton, per thread, in bytes. With less, hundreds of regexes
/// thrash its cache of states.
const SEARCH_BYTES_MAX: usize = 16 << 20;

/// Distinct regexes and the candidates of each.
#[derive(Debug)]
pub(super) struct Regexes {
    /// As few automata as the size limit allows, usually one.
    automata: Vec<Automaton>,
    /// List of each regex.
    lists: Box<[ListId]>,
}

#[derive(Debug)]
struct Automaton {
    compiled: meta::Regex,
    /// Index in `lists` of its first regex.
    first: usize,
}

impl Regexes {
    pub(super) fn new(expressions: &[(Regex, ListId)]) -> Self {
        let texts: Vec<&str> = expressions.iter().map(|(regex, _)| regex.as_str()).collect();
        let mut automata = Vec::new();
        // Ranges to compile, the first at the end. A range that is too large is halved.
        let mut waiting = Vec::from([(0, texts.len())]);
        while let Some((from, to)) = waiting.pop() {
            let range = from..to;
            let compiled = match range.len() {
                0 => continue,
                1 => Ok(expressions[range.start].0.compiled().clone()),
                _ => meta::Regex::builder()
                    .syntax(regex::syntax_config())
                    .configure(
                        regex::meta_config()
                            .match_kind(MatchKind::All)
                            .hybrid_cache_capacity(SEARCH_BYTES_MAX)
                            .which_captures(WhichCaptures::None),
                    )
                    .build_many(&texts[range.clone()]),
            };
            match compiled {
                Ok(compiled) => automata.push(Automaton {
                    compiled,
                    first: range.start,
                }),
                Err(_) => {
                    let middle = from + range.len() / 2;
                    waiting.push((middle, to));
                    waiting.push((from, middle));
                }
            }
        }
        Self {
            automata,
            lists: expressions.iter().map(|(_, list)| *list).collect(),
        }
    }

    /// Calls `visit` with the list of each regex that has a match in `path`. `set` is overwritten, and
    /// enlarged if it is too small.
    pub(super) fn each_match(&self, path: &[u8], set: &mut PatternSet, mut visit: impl FnMut(ListId)) {
        for automaton in &self.automata {
            let len = automaton.compiled.pattern_len();
            if len == 1 {
                if automaton.compiled.is_match(path) {
                    visit(self.lists[automaton.first]);
                }
                continue;
            }
            if set.capacity() < len {
                *set = PatternSet::new(len);
            }
            set.clear();
            automaton
                .compiled
                .which_overlapping_matches(&Input::new(path), set);
            for pattern in set.iter().take(set.len()) {
                visit(self.lists[automaton.first + pattern.as_usize()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regexes(expressions: &[String]) -> Regexes {
        let expressions: Vec<(Regex, ListId)> = expressions
            .iter()
            .zip(1..)
            .map(|(text, list)| (Regex::new(text).unwrap(), list))
            .collect();
        Regexes::new(&expressions)
    }

    fn matches(regexes: &Regexes, path: &str) -> Vec<ListId> {
        let mut set = PatternSet::new(0);
        let mut found = Vec::new();
        regexes.each_match(path.as_bytes(), &mut set, |list| found.push(list));
        found
    }

    #[test]
    fn every_matching_regex_is_visited() {
        let texts = ["^/a", "b$", "^/c", "", "[0-9]"].map(str::to_owned);
        let all = regexes(&texts);
        assert_eq!(matches(&all, "/a/b"), [1, 2, 4]);
        assert_eq!(matches(&all, "/c7"), [3, 4, 5]);
        assert_eq!(matches(&regexes(&texts[..1]), "/a"), [1]);
    }

    #[test]
    fn regexes_too_large_for_one_automaton_use_several() {
        let texts: Vec<String> = (0..8).map(|n| format!(r"^/{n}/\w{{60}}$")).collect();
        let all = regexes(&texts);
        assert!(all.automata.len() > 1);
        for n in 0..8 {
            let path = format!("/{n}/{}", "x".repeat(60));
            assert_eq!(matches(&all, &path), [n + 1]);
        }
    }
}
