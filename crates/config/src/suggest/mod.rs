//! Suggestions for misspelt and foreign words.

pub(crate) mod correction;
pub(crate) mod foreign;
pub(crate) mod path;

/// The candidate closest to `text`, if any is close enough to be a misspelling of it.
pub(crate) fn nearest<'c>(text: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let chars = text.chars().count();
    let mistakes_max = (chars / 3).clamp(1, 4);
    if chars > 100 {
        return None;
    }
    let lower = text.to_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(text.len()) <= mistakes_max)
        .map(|candidate| {
            let plain = candidate.to_lowercase().replace('-', "_");
            (strsim::damerau_levenshtein(&lower, &plain), candidate)
        })
        .filter(|&(distance, candidate)| {
            // `a` is not a misspelt `b`: something has to be left of what was written.
            distance <= mistakes_max && distance < candidate.chars().count().min(chars)
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let keys = ["name", "bind", "hosts", "header_bytes", "headers"];
        for (text, expected) in [
            ("nmae", Some("name")),
            ("Name", Some("name")),
            ("header-bytes", Some("header_bytes")),
            ("host", Some("hosts")),
            ("header", Some("headers")),
            ("x", None),
            ("zzzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, keys), expected, "{text}");
        }
    }
}
