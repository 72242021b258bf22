//! Examples of texts that a regex matches, generated from its syntax.

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use crate::regex::Regex;

/// Number of texts to try, each with other branches and characters.
const VARIANTS: usize = 8;

/// Maximum number of examples.
const EXAMPLES_MAX: usize = 12;

/// Maximum length of an example; repetitions can require any length.
const LEN_MAX: usize = 1024;

/// Preferred characters of a class, in this order: easy to read and valid in any field.
const PREFERRED: [char; 10] = ['a', '7', 'x', 'Z', '-', '_', '0', '.', '/', ' '];

/// Returns texts that `regex` matches; empty if none could be generated.
pub(super) fn of(regex: &Regex) -> Vec<Vec<u8>> {
    let Some(hir) = syntax(regex) else {
        return Vec::new();
    };
    let mut examples: Vec<Vec<u8>> = Vec::new();
    for variant in 0..VARIANTS {
        let mut example = Vec::new();
        if !write(&hir, variant, &mut example) {
            continue;
        }
        // Assertions such as `\b` are ignored while writing, so the result is checked. Unanchored regexes also match
        // with more text around it.
        let around = [
            example.clone(),
            [&example[..], b"x"].concat(),
            [b"x", &example[..]].concat(),
        ];
        for example in around {
            if regex.is_match(&example) && !examples.contains(&example) {
                examples.push(example);
            }
        }
    }
    examples.truncate(EXAMPLES_MAX);
    examples
}

/// Returns true if no text can match both because they are anchored with different prefixes; false if that is not
/// obvious.
pub(super) fn are_disjoint(a: &Regex, b: &Regex) -> bool {
    let Some((a, b)) = beginnings(a).zip(beginnings(b)) else {
        return false;
    };
    a.iter()
        .all(|a| b.iter().all(|b| !a.starts_with(b) && !b.starts_with(a)))
}

/// Returns prefixes of which every matching text has one.
fn beginnings(regex: &Regex) -> Option<Vec<Vec<u8>>> {
    let hir = syntax(regex)?;
    if !hir.properties().look_set_prefix().contains(Look::Start) {
        return None;
    }
    let found = Extractor::new().extract(&hir);
    Some(
        found
            .literals()?
            .iter()
            .map(|literal| literal.as_bytes().to_vec())
            .collect(),
    )
}

fn syntax(regex: &Regex) -> Option<Hir> {
    let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
    parser.parse(regex.as_str()).ok()
}

/// Appends an example of `hir`, whose depth the parser bounds. Returns false if there is none.
fn write(hir: &Hir, variant: usize, out: &mut Vec<u8>) -> bool {
    if out.len() > LEN_MAX {
        return false;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => {
            out.extend_from_slice(&literal.0);
            true
        }
        HirKind::Class(class) => write_class(class, variant, out),
        HirKind::Capture(capture) => write(&capture.sub, variant, out),
        HirKind::Concat(parts) => parts.iter().all(|part| write(part, variant, out)),
        HirKind::Alternation(branches) => write(&branches[variant / 2 % branches.len()], variant, out),
        HirKind::Repetition(repetition) => {
            let more = repetition.max.is_none_or(|max| max > repetition.min);
            let count = repetition.min + u32::from(more && variant % 2 == 1);
            for _ in 0..count {
                let before = out.len();
                if !write(&repetition.sub, variant, out) {
                    return false;
                }
                if out.len() == before {
                    break;
                }
            }
            true
        }
    }
}

fn write_class(class: &Class, variant: usize, out: &mut Vec<u8>) -> bool {
    let has = |wanted: char| match class {
        Class::Unicode(class) => class
            .iter()
            .any(|range| range.start() <= wanted && wanted <= range.end()),
        Class::Bytes(class) => class
            .iter()
            .any(|range| char::from(range.start()) <= wanted && wanted <= char::from(range.end())),
    };
    let preferred = PREFERRED.iter().cycle().skip(variant / 2).take(PREFERRED.len());
    if let Some(&found) = preferred.into_iter().find(|&&wanted| has(wanted)) {
        out.push(found as u8);
        return true;
    }
    match class {
        Class::Unicode(class) => {
            let Some(range) = class
                .iter()
                .find(|range| range.end() > ' ')
                .or(class.iter().next())
            else {
                return false;
            };
            let found = if range.end() > ' ' {
                range.start().max('!')
            } else {
                range.start()
            };
            out.extend_from_slice(found.encode_utf8(&mut [0; 4]).as_bytes());
        }
        Class::Bytes(class) => {
            let Some(range) = class
                .iter()
                .find(|range| range.end() > b' ')
                .or(class.iter().next())
            else {
                return false;
            };
            out.push(if range.end() > b' ' {
                range.start().max(b'!')
            } else {
                range.start()
            });
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(regex: &str, expected: &str) {
        let examples = of(&Regex::new(regex).unwrap());
        let examples: Vec<_> = examples
            .iter()
            .map(|text| String::from_utf8_lossy(text))
            .collect();
        assert!(
            examples.iter().any(|text| text == expected),
            "{regex}: {examples:?}"
        );
    }

    #[test]
    fn examples_follow_the_syntax() {
        check("^/v[0-9]+/", "/v7/");
        check("^(gold|silver)$", "gold");
        check("^(gold|silver)$", "silver");
        check("", "");
        check(r"^\w{3}!?$", "aaa");
        check(r"^\w{3}!?$", "aaa!");
        check("[^a-zA-Z0-9._/ -]", "!");
        check("é", "é");
    }

    #[test]
    fn different_prefixes_are_disjoint() {
        let disjoint = |a, b| are_disjoint(&Regex::new(a).unwrap(), &Regex::new(b).unwrap());
        assert!(disjoint("^/v1/", "^/v2/"));
        assert!(disjoint("^/(a|b)", "^/[cd]x*$"));
        assert!(!disjoint("^/v1", "^/v1/x"));
        assert!(!disjoint("/v1/", "^/v2/"));
        assert!(!disjoint("^/v1/|x", "^/v2/"));
        assert!(!disjoint("(?m)^/v1/", "(?m)^/v2/"));
    }

    #[test]
    fn regex_without_matches_has_no_example() {
        assert!(of(&Regex::new(r"[^\s\S]").unwrap()).is_empty());
        assert!(of(&Regex::new(r"a\bb").unwrap()).is_empty());
        assert!(of(&Regex::new(r"(a{1000}){3}").unwrap()).is_empty());
    }
}
