//! Keys and ranges of them.

/// A key, or all keys between two.
///
/// ```
/// use waypost_etcd::key::KeyRange;
///
/// let range = KeyRange::prefix("/waypost/");
/// assert!(range.contains(b"/waypost/config"));
/// assert!(!range.contains(b"/waypost0"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    start: Vec<u8>,
    /// As etcd writes it: empty for the key `start` alone, `[0]` for all keys from `start` on, else the first key behind.
    end: Vec<u8>,
}

impl KeyRange {
    /// One key.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self {
            start: key.into(),
            end: Vec::new(),
        }
    }

    /// All keys that begin with `prefix`; with an empty one, all keys.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let prefix = prefix.into();
        if prefix.is_empty() {
            return Self::all();
        }
        Self {
            end: behind(&prefix),
            start: prefix,
        }
    }

    /// All keys.
    pub fn all() -> Self {
        Self {
            start: vec![0],
            end: vec![0],
        }
    }

    /// The keys from `start` on that are less than `end`.
    pub fn between(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        Self {
            start: start.into(),
            end: end.into(),
        }
    }

    /// The part of this range that begins behind `key`.
    #[must_use]
    pub fn after(&self, key: &[u8]) -> Self {
        let mut start = key.to_vec();
        start.push(0);
        Self {
            start: start.max(self.start.clone()),
            end: self.end.clone(),
        }
    }

    /// The first key that can be in the range.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// The end as etcd writes it: empty if the range is the key [`start`](Self::start) alone, one zero byte if it has no
    /// end, else the first key behind the range.
    pub fn end(&self) -> &[u8] {
        &self.end
    }

    /// Returns true if `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match &*self.end {
            [] => key == self.start,
            [0] => key >= &*self.start,
            end => key >= &*self.start && key < end,
        }
    }

    /// Returns true if every key of `other` is in this range.
    pub fn covers(&self, other: &Self) -> bool {
        if other.end.is_empty() {
            return self.contains(&other.start);
        }
        if self.end.is_empty() || other.start < self.start {
            return false;
        }
        match (&*self.end, &*other.end) {
            ([0], _) => true,
            (_, [0]) => false,
            (end, other) => other <= end,
        }
    }
}

/// The first key behind all that begin with `prefix`; `[0]`, which means no end, if there is none.
fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_key_of_its_length() {
        for (prefix, end) in [
            (&b"a"[..], &b"b"[..]),
            (b"/x/", b"/x0"),
            (b"a\xff", b"b"),
            (b"\xff\xff", b"\0"),
            (b"", b"\0"),
        ] {
            assert_eq!(KeyRange::prefix(prefix).end(), end, "{prefix:?}");
        }
    }

    #[test]
    fn a_range_contains_what_lies_between_its_ends() {
        let range = KeyRange::prefix("/a/");
        for (key, is_in) in [
            ("/a/", true),
            ("/a/b", true),
            ("/a", false),
            ("/a0", false),
            ("/b", false),
        ] {
            assert_eq!(range.contains(key.as_bytes()), is_in, "{key}");
        }
        assert!(KeyRange::key("/a").contains(b"/a"));
        assert!(!KeyRange::key("/a").contains(b"/a/"));
        assert!(KeyRange::all().contains(b"\0"));
        assert!(!range.after(b"/a/b").contains(b"/a/b"));
        assert!(range.after(b"/a/b").contains(b"/a/b\0"));
    }

    #[test]
    fn a_range_covers_what_lies_in_it_as_a_whole() {
        let prefix = KeyRange::prefix("/a/");
        for (other, is_covered) in [
            (KeyRange::key("/a/b"), true),
            (KeyRange::prefix("/a/b/"), true),
            (KeyRange::prefix("/a/"), true),
            (KeyRange::prefix("/"), false),
            (KeyRange::key("/b"), false),
            (KeyRange::between("/a/b", [0]), false),
            (KeyRange::all(), false),
        ] {
            assert_eq!(prefix.covers(&other), is_covered, "{other:?}");
            assert!(KeyRange::all().covers(&other));
        }
        assert!(!KeyRange::key("/a").covers(&KeyRange::prefix("/a")));
    }
}
