//! Lookup of cookies.
//!
//! The `cookie` lines count as one, joined by `; `: split at `;`, trimmed, split at the first `=`. The
//! first cookie of a name counts; names and values are bytes, nothing is decoded.

use crate::request::Headers;

/// Returns the value of the first cookie named `name`, copied into `scratch`.
///
/// A part without `=` is a cookie with an empty value.
pub fn find<'s>(headers: &dyn Headers, name: &str, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
    let mut found = false;
    headers.lines("cookie", &mut |line| {
        if found {
            return;
        }
        for part in line.split(|&byte| byte == b';') {
            let part = part.trim_ascii();
            let (part_name, value) = match memchr::memchr(b'=', part) {
                Some(at) => (&part[..at], &part[at + 1..]),
                None => (part, &part[part.len()..]),
            };
            if !part.is_empty() && part_name == name.as_bytes() {
                found = true;
                scratch.clear();
                scratch.extend_from_slice(value);
                return;
            }
        }
    });
    found.then_some(scratch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], name: &str, expected: Option<&str>) {
        let headers: Vec<(String, Vec<u8>)> = lines
            .iter()
            .map(|line| ("Cookie".to_owned(), line.as_bytes().to_vec()))
            .collect();
        let mut scratch = Vec::new();
        let found = find(&headers, name, &mut scratch);
        assert_eq!(found, expected.map(str::as_bytes), "{lines:?} / {name}");
    }

    #[test]
    fn first_cookie_of_a_name_counts_over_all_lines() {
        check(&["a=1; b=2", "a=3; c=4"], "a", Some("1"));
        check(&["a=1; b=2", "a=3; c=4"], "c", Some("4"));
        check(&["a=1;b=2"], "b", Some("2"));
        check(&["a=x=y"], "a", Some("x=y"));
        check(&["a"], "a", Some(""));
        check(&["A=1"], "a", None);
        check(&[";;"], "", None);
    }
}
