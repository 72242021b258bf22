//! Suggestions for misspelt and foreign words.

pub(crate) mod correction;
pub(crate) mod flow;
pub(crate) mod foreign;
pub(crate) mod location;
pub(crate) mod other_config;
pub(crate) mod path;
pub(crate) mod rate;
pub(crate) mod resilience;
pub(crate) mod rule;
pub(crate) mod service;
pub(crate) mod shape;
pub(crate) mod variable;

/// The candidate closest to `text`, if any is close enough to be a misspelling of it.
pub(crate) fn nearest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    near(text, candidates)
        .min_by_key(|&(distance, candidate)| {
            let lengths_differ = candidate.len().abs_diff(text.len());
            (distance, lengths_differ, letters(candidate) != letters(text))
        })
        .map(|(_, candidate)| candidate)
}

/// The letters of a word: with the same ones, two are swapped more likely than one is mistaken.
fn letters(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.to_lowercase().chars().collect();
    letters.sort_unstable();
    letters
}

/// The only candidate that `text` can be a misspelling of.
pub(crate) fn only_near<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let mut near = near(text, candidates);
    let (_, only) = near.next()?;
    near.next().is_none().then_some(only)
}

/// The candidates that `text` can be a misspelling of, with the number of mistakes.
fn near<'c>(
    text: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> impl Iterator<Item = (usize, &'c str)> {
    let chars = text.chars().count();
    let mistakes_max = (chars / 3).clamp(1, 4);
    // A longer one is no misspelt word.
    let is_word = chars <= 100;
    let lower = if is_word {
        text.to_lowercase().replace('-', "_")
    } else {
        String::new()
    };
    let length = text.len();
    candidates
        .into_iter()
        .filter(move |candidate| is_word && candidate.len().abs_diff(length) <= mistakes_max)
        .map(move |candidate| {
            let plain = candidate.to_lowercase().replace('-', "_");
            (strsim::damerau_levenshtein(&lower, &plain), candidate)
        })
        .filter(move |&(distance, candidate)| {
            // `a` is not a misspelt `b`: something has to be left of what was written.
            distance <= mistakes_max && distance < candidate.chars().count().min(chars)
        })
}

#[cfg(test)]
mod tests {
    use super::{nearest, only_near};

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let keys = ["name", "bind", "hosts", "header_bytes", "headers"];
        for (text, expected) in [
            ("nmae", Some("name")),
            ("Name", Some("name")),
            ("header-bytes", Some("header_bytes")),
            ("host", Some("hosts")),
            ("header", Some("headers")),
            ("haeder", Some("headers")),
            ("bidn", Some("bind")),
            ("x", None),
            ("zzzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, keys), expected, "{text}");
        }
    }

    #[test]
    fn a_word_near_several_is_near_none_of_them_alone() {
        let keys = ["header", "headers", "query"];
        assert_eq!(only_near("qurey", keys), Some("query"));
        assert_eq!(only_near("heaedr", keys), None);
        assert_eq!(only_near("zzz", keys), None);
    }
}
