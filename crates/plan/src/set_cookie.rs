//! Rewrites of the cookies that services set.

use crate::sticky::SameSite;

/// Rewrites of attributes of cookies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetCookie {
    /// Paths without trailing slash and what takes their place; the longest first, so that the first that covers a path
    /// counts.
    paths: Vec<(Box<str>, Box<str>)>,
    /// Domains in lower case without leading dot, and what takes their place; empty for no domain.
    domains: Vec<(Box<str>, Box<str>)>,
    /// `Secure`: added, or taken off.
    pub secure: Option<bool>,
    /// `HttpOnly`: added, or taken off.
    pub http_only: Option<bool>,
    /// `SameSite`.
    pub same_site: Option<SameSite>,
}

/// The replacement is there already for this path or domain, which may be written in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Twice;

impl SetCookie {
    /// Rewrites of flags alone.
    pub fn of_flags(secure: Option<bool>, http_only: Option<bool>, same_site: Option<SameSite>) -> Self {
        Self {
            secure,
            http_only,
            same_site,
            ..Self::default()
        }
    }

    /// Replaces the path `from`, and the beginning of paths below it, by `to`. Both begin with `/`.
    ///
    /// # Errors
    /// If it is replaced already.
    pub fn replace_path(&mut self, from: &str, to: &str) -> Result<(), Twice> {
        let from = from.trim_end_matches('/');
        if self.paths.iter().any(|(known, _)| **known == *from) {
            return Err(Twice);
        }
        let at = self.paths.partition_point(|(known, _)| known.len() >= from.len());
        self.paths.insert(at, (from.into(), to.into()));
        Ok(())
    }

    /// Replaces the domain `from` by `to`; empty for none, so that the cookie is for the host of the request alone.
    ///
    /// # Errors
    /// If it is replaced already.
    pub fn replace_domain(&mut self, from: &str, to: &str) -> Result<(), Twice> {
        let from = without_dot(from.as_bytes());
        if self.domain(from).is_some() {
            return Err(Twice);
        }
        let from = String::from_utf8_lossy(from).to_ascii_lowercase();
        self.domains.push((from.into(), to.into()));
        Ok(())
    }

    /// The path that takes the place of a cookie's; `None` if it stays, as one that does not begin with `/` and so is none.
    pub fn path(&self, path: &[u8]) -> Option<Vec<u8>> {
        // Anything else is no path, and the browser takes that of the request (RFC 6265bis §5.6.4).
        if path.first() != Some(&b'/') {
            return None;
        }
        let (rest, to) = self.paths.iter().find_map(|(from, to)| {
            let rest = path.strip_prefix(from.as_bytes())?;
            matches!(rest.first(), None | Some(b'/')).then_some((rest, to.as_bytes()))
        })?;
        // `/` is the whole of itself.
        if rest.is_empty() || path == b"/" {
            return Some(to.to_vec());
        }
        Some([to.strip_suffix(b"/").unwrap_or(to), rest].concat())
    }

    /// The domain that takes the place of a cookie's, which is compared without case and leading dot; empty for none.
    /// `None` if it stays.
    pub fn domain(&self, domain: &[u8]) -> Option<&str> {
        let domain = without_dot(domain);
        let mut domains = self.domains.iter();
        let found = domains.find(|(from, _)| from.as_bytes().eq_ignore_ascii_case(domain));
        found.map(|(_, to)| &**to)
    }
}

fn without_dot(domain: &[u8]) -> &[u8] {
    domain.strip_prefix(b".").unwrap_or(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_cookie(paths: &[(&str, &str)], domains: &[(&str, &str)]) -> SetCookie {
        let mut set_cookie = SetCookie::default();
        for (from, to) in paths {
            set_cookie.replace_path(from, to).unwrap();
        }
        for (from, to) in domains {
            set_cookie.replace_domain(from, to).unwrap();
        }
        set_cookie
    }

    #[test]
    fn longest_path_of_whole_segments_is_replaced() {
        let rules = set_cookie(
            &[("/", "/app"), ("/a", "/x/"), ("/a/b/", "/"), ("/a/bc", "/y")],
            &[],
        );
        for (path, expected) in [
            ("/", "/app"),
            ("/other", "/app/other"),
            ("/ab", "/app/ab"),
            ("/a", "/x/"),
            ("/a/", "/x/"),
            ("/a/c", "/x/c"),
            ("/a/b", "/"),
            ("/a/b/", "/"),
            ("/a/b/c/", "/c/"),
            ("/a/bc/d", "/y/d"),
            ("/a/bcd", "/x/bcd"),
            ("/A/b", "/app/A/b"),
        ] {
            let found = rules
                .path(path.as_bytes())
                .map(|path| String::from_utf8(path).unwrap());
            assert_eq!(found.as_deref(), Some(expected), "{path}");
        }
        let rules = set_cookie(&[("/old", "/new")], &[]);
        for path in ["/", "/olden", "old", "", "/x/old"] {
            assert_eq!(rules.path(path.as_bytes()), None, "{path}");
        }
        let all = set_cookie(&[("/", "/app")], &[]);
        for path in ["", "x", "x/"] {
            assert_eq!(all.path(path.as_bytes()), None, "{path}");
        }
        assert_eq!(rules.path(b"/old/").as_deref(), Some(&b"/new/"[..]));
    }

    #[test]
    fn domains_compare_without_case_and_leading_dot() {
        let rules = set_cookie(&[], &[(".Orders.internal", "example.com"), ("b.test", "")]);
        for (domain, expected) in [
            ("orders.internal", Some("example.com")),
            (".ORDERS.INTERNAL", Some("example.com")),
            ("a.orders.internal", None),
            ("..orders.internal", None),
            ("b.test", Some("")),
            ("", None),
        ] {
            assert_eq!(rules.domain(domain.as_bytes()), expected, "{domain}");
        }
    }

    #[test]
    fn nothing_is_replaced_twice() {
        let mut rules = set_cookie(&[("/a/", "/x")], &[("a.test", "b.test")]);
        assert_eq!(rules.replace_path("/a", "/y"), Err(Twice));
        assert_eq!(rules.replace_domain(".A.test", ""), Err(Twice));
    }
}
