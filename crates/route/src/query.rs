//! Lookup of query parameters.
//!
//! It is split at `&`, each part at its first `=`; name and value are percent-decoded and `+` is a space.
//! A part without `=` is present and empty. The first part of a name counts. Decoding is for matching only:
//! the query is forwarded byte for byte.

/// Returns the value of the first part named `name`, decoded into `scratch`.
pub fn find<'s>(query: &[u8], name: &str, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
    for part in query.split(|&byte| byte == b'&') {
        let (raw_name, raw_value) = match memchr::memchr(b'=', part) {
            Some(at) => (&part[..at], &part[at + 1..]),
            None => (part, &part[part.len()..]),
        };
        if raw_name.is_empty() && part.is_empty() {
            continue;
        }
        if decoded_equals(raw_name, name.as_bytes()) {
            scratch.clear();
            scratch.extend(decoded(raw_value));
            return Some(scratch);
        }
    }
    None
}

/// Returns the value of the first part named `name`, as it is.
pub fn find_raw<'q>(query: &'q [u8], name: &str) -> Option<&'q [u8]> {
    let mut parts = query.split(|&byte| byte == b'&');
    let part = parts.find(|part| is_named(part, name))?;
    let value = memchr::memchr(b'=', part).map_or(part.len(), |at| at + 1);
    Some(&part[value..])
}

/// Returns true if `part`, what stands between two `&`, is a parameter of this name.
pub fn is_named(part: &[u8], name: &str) -> bool {
    let end = memchr::memchr(b'=', part).unwrap_or(part.len());
    !part.is_empty() && decoded_equals(&part[..end], name.as_bytes())
}

fn decoded_equals(raw: &[u8], plain: &[u8]) -> bool {
    decoded(raw).eq(plain.iter().copied())
}

/// A `%` without two hex digits is literal.
fn decoded(raw: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = raw;
    std::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        if first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        rest = tail;
        Some(if first == b'+' { b' ' } else { first })
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, name: &str, expected: Option<&str>) {
        let mut scratch = Vec::new();
        let found = find(query.as_bytes(), name, &mut scratch);
        assert_eq!(found, expected.map(str::as_bytes), "{query} / {name}");
        assert_eq!(find_raw(query.as_bytes(), name).is_some(), found.is_some());
    }

    #[test]
    fn first_of_a_name_counts_and_a_part_without_equals_is_empty() {
        check("a=1&b=2&a=3", "a", Some("1"));
        check("a&b=2", "a", Some(""));
        check("a=&b=2", "a", Some(""));
        check("&&b=2", "b", Some("2"));
        check("b=2", "a", None);
        check("", "", None);
        check("=x", "", Some("x"));
        check("a=b=c", "a", Some("b=c"));
    }

    #[test]
    fn raw_values_keep_their_encoding() {
        let raw = |query: &'static str| find_raw(query.as_bytes(), "a");
        assert_eq!(raw("b=1&%61=c%2Bd+e=f&a=2"), Some(&b"c%2Bd+e=f"[..]));
        assert_eq!(raw("a&a=1"), Some(&b""[..]));
        assert_eq!(raw("b"), None);
    }

    #[test]
    fn names_and_values_are_decoded() {
        check("a%20b=c%2Bd+e", "a b", Some("c+d e"));
        check("a=%zz%4", "a", Some("%zz%4"));
        check("%61=1", "a", Some("1"));
    }
}
