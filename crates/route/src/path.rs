//! Path patterns: exact, template, regex, and prefix by whole segments.
//!
//! A path is split at `/` into segments: `/orders/7` has `orders` and `7`, `/orders/` has `orders` and an
//! empty one, `/` has one empty one. A pattern that ends in `/*` is *open*: it covers every path that
//! begins with its segments. Any other is *closed*.

use std::fmt;
use std::ops::Range;

use crate::regex::{Regex, RegexError};

/// A pattern for paths. Literal text is in normal form, like the path of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// `/orders`: exactly this path, including the trailing slash or its absence.
    Exact(Box<str>),
    /// `/users/{id}/cart`: a closed template with at least one parameter.
    Template(Box<[Segment]>),
    /// `~^/v[0-9]+/`: has a match in the path.
    Regex(Regex),
    /// `/orders/*` or `/shops/{shop}/*`, as the segments in front of the `*`; none for `/*`.
    Open(Box<[Segment]>),
}

/// One segment of a template.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This text.
    Literal(Box<str>),
    /// `{name}`: any non-empty segment.
    Parameter(Box<str>),
}

/// The parts of a path that a pattern binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathBinding<'p> {
    /// Length of the prefix covered in front of `/*`; `None` for closed patterns and regexes.
    pub prefix_len: Option<usize>,
    /// Parameters, or the participating named groups of a regex, as ranges of the path.
    pub parameters: Vec<(&'p str, Range<usize>)>,
}

/// An error in a path pattern.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PathPatternError {
    /// Neither `/…` nor `~…`.
    #[error("a path pattern begins with `/`, or with `~` for a regex")]
    NoSlash,
    /// `//`.
    #[error("a path pattern has no empty segments (`//`)")]
    EmptySegment,
    /// `.` or `..` as a segment.
    #[error("a path pattern has no `{0}` segments")]
    DotSegment(Box<str>),
    /// `?` or `#`.
    #[error("`{0}` is not allowed in a path pattern")]
    Character(char),
    /// `*` that is not the last segment.
    #[error("`*` may only be the last segment, as in `/orders/*`")]
    Star,
    /// Braces that do not enclose a whole segment.
    #[error(
        "a parameter is a whole segment, as in `/users/{{id}}`; a literal brace is written `%7B` or `%7D`"
    )]
    PartialParameter,
    /// Not `[A-Za-z_][A-Za-z0-9_]*`.
    #[error("`{0}` is not a parameter name: letters, digits and `_`, not beginning with a digit")]
    ParameterName(Box<str>),
    /// `:name` as a whole segment, as other routers write a parameter.
    #[error("a parameter is written in braces, so `{0}` would be that text alone")]
    Colon(Box<str>),
    /// One name in two segments.
    #[error("the parameter `{0}` is used twice")]
    ParameterTwice(Box<str>),
    /// The regex after `~` does not compile.
    #[error("{0}")]
    Regex(#[from] RegexError),
}

impl PathPattern {
    /// Returns the pattern of an alternative without path: `/*`.
    pub fn any() -> Self {
        Self::Open(Box::default())
    }

    /// Parses a pattern whose literal segments are in normal form already.
    ///
    /// # Errors
    /// If the syntax is invalid.
    pub fn parse(text: &str) -> Result<Self, PathPatternError> {
        if let Some(regex) = text.strip_prefix('~') {
            return Ok(Self::Regex(Regex::new(regex)?));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PathPatternError::NoSlash);
        };
        let parts: Vec<&str> = rest.split('/').collect();
        let (parts, open) = match parts.split_last() {
            Some((&"*", front)) => (front, true),
            _ => (&parts[..], false),
        };
        let mut segments = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let last_of_closed = !open && index + 1 == parts.len();
            if part.is_empty() && !last_of_closed {
                return Err(PathPatternError::EmptySegment);
            }
            segments.push(Segment::parse(part)?);
        }
        let mut names: Vec<&str> = Vec::new();
        for segment in &segments {
            if let Segment::Parameter(name) = segment {
                if names.contains(&&**name) {
                    return Err(PathPatternError::ParameterTwice(name.clone()));
                }
                names.push(name);
            }
        }
        Ok(if open {
            Self::Open(segments.into())
        } else if names.is_empty() {
            Self::Exact(text.into())
        } else {
            Self::Template(segments.into())
        })
    }

    /// Returns true if the pattern covers `path`, which is in normal form.
    pub fn covers(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == path,
            Self::Template(segments) => {
                let mut rest = Segments::of(path);
                segments
                    .iter()
                    .all(|segment| rest.next().is_some_and(|found| segment.covers(&path[found])))
                    && rest.next().is_none()
            }
            Self::Open(segments) => {
                let mut rest = Segments::of(path);
                segments
                    .iter()
                    .all(|segment| rest.next().is_some_and(|found| segment.covers(&path[found])))
            }
            Self::Regex(regex) => regex.is_match(path),
        }
    }

    /// Returns the prefix and the parameters of `path`; `None` if the pattern does not cover it.
    pub fn bind(&self, path: &[u8]) -> Option<PathBinding<'_>> {
        let mut binding = PathBinding {
            prefix_len: None,
            parameters: Vec::new(),
        };
        match self {
            Self::Exact(_) => self.covers(path).then_some(binding),
            Self::Template(segments) | Self::Open(segments) => {
                let mut rest = Segments::of(path);
                let mut prefix_len = 0;
                for segment in segments {
                    let found = rest.next()?;
                    if !segment.covers(&path[found.clone()]) {
                        return None;
                    }
                    prefix_len = found.end;
                    if let Segment::Parameter(name) = segment {
                        binding.parameters.push((name, found));
                    }
                }
                if matches!(self, Self::Open(_)) {
                    binding.prefix_len = Some(prefix_len);
                } else if rest.next().is_some() {
                    return None;
                }
                Some(binding)
            }
            Self::Regex(regex) => {
                let mut captures = regex.compiled().create_captures();
                regex.compiled().captures(path, &mut captures);
                if !captures.is_match() {
                    return None;
                }
                binding.parameters = regex
                    .group_names()
                    .filter_map(|name| Some((name, captures.get_group_by_name(name)?.range())))
                    .collect();
                Some(binding)
            }
        }
    }

    /// Returns true if the pattern ends in `/*`.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// Returns the names that [`PathPattern::bind`] can bind: parameters, or the named groups of a regex.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Exact(_) => Vec::new(),
            Self::Template(segments) | Self::Open(segments) => segments
                .iter()
                .filter_map(|segment| match segment {
                    Segment::Parameter(name) => Some(&**name),
                    Segment::Literal(_) => None,
                })
                .collect(),
            Self::Regex(regex) => regex.group_names().collect(),
        }
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PathPatternError> {
        if text == "." || text == ".." {
            return Err(PathPatternError::DotSegment(text.into()));
        }
        if let Some(odd) = text.chars().find(|c| matches!(c, '?' | '#')) {
            return Err(PathPatternError::Character(odd));
        }
        if text.contains('*') {
            return Err(PathPatternError::Star);
        }
        let begins_name = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        if let Some(name) = text.strip_prefix(':')
            && name.bytes().next().is_some_and(begins_name)
        {
            return Err(PathPatternError::Colon(text.into()));
        }
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        match inner {
            Some(name) if !name.contains(['{', '}']) => {
                let mut bytes = name.bytes();
                if !bytes.next().is_some_and(begins_name)
                    || !bytes.all(|byte| begins_name(byte) || byte.is_ascii_digit())
                {
                    return Err(PathPatternError::ParameterName(name.into()));
                }
                Ok(Self::Parameter(name.into()))
            }
            _ if text.contains(['{', '}']) => Err(PathPatternError::PartialParameter),
            _ => Ok(Self::Literal(text.into())),
        }
    }

    /// Returns true if the segment covers `found`.
    pub fn covers(&self, found: &[u8]) -> bool {
        match self {
            Self::Literal(text) => text.as_bytes() == found,
            Self::Parameter(_) => !found.is_empty(),
        }
    }
}

/// The segments of a path, as ranges of it.
pub struct Segments<'a> {
    path: &'a [u8],
    /// Start of the next segment; past the end if there is none.
    next: usize,
}

impl<'a> Segments<'a> {
    /// Returns the segments of `path`, which begins with `/`.
    pub fn of(path: &'a [u8]) -> Self {
        Self { path, next: 1 }
    }
}

impl Iterator for Segments<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let rest = self.path.get(self.next..)?;
        let end = self.next + memchr::memchr(b'/', rest).unwrap_or(rest.len());
        let found = self.next..end;
        self.next = end + 1;
        Some(found)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Regex(regex) => write!(f, "~{}", regex.as_str()),
            Self::Template(segments) | Self::Open(segments) => {
                for segment in segments {
                    match segment {
                        Segment::Literal(text) => write!(f, "/{text}")?,
                        Segment::Parameter(name) => write!(f, "/{{{name}}}")?,
                    }
                }
                f.write_str(if self.is_open() { "/*" } else { "" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, path: &str) -> bool {
        let pattern = PathPattern::parse(pattern).unwrap();
        let covers = pattern.covers(path.as_bytes());
        assert_eq!(
            covers,
            pattern.bind(path.as_bytes()).is_some(),
            "{pattern} on {path}"
        );
        covers
    }

    #[test]
    fn prefixes_match_whole_segments() {
        for path in ["/orders", "/orders/", "/orders/7", "/orders/7/x"] {
            assert!(covers("/orders/*", path), "{path}");
        }
        for path in ["/ordersX", "/order", "/", "/Orders", "/x/orders"] {
            assert!(!covers("/orders/*", path), "{path}");
        }
        assert!(covers("/*", "/"));
        assert!(covers("/*", "/a/b"));
    }

    #[test]
    fn a_trailing_slash_is_part_of_closed_patterns() {
        assert!(covers("/orders", "/orders"));
        assert!(!covers("/orders", "/orders/"));
        assert!(covers("/orders/", "/orders/"));
        assert!(!covers("/users/{id}", "/users/7/"));
        assert!(covers("/users/{id}/", "/users/7/"));
    }

    #[test]
    fn parameter_binds_one_non_empty_segment() {
        assert!(covers("/users/{id}/cart", "/users/7/cart"));
        assert!(!covers("/users/{id}/cart", "/users//cart"));
        assert!(!covers("/users/{id}", "/users/"));
        assert!(!covers("/users/{id}", "/users/7/8"));
        assert!(covers("/users/{id}/*", "/users/7"));
        assert!(covers("/users/{id}/*", "/users/7/8/9"));
    }

    fn bound(pattern: &str, path: &str) -> (Option<usize>, Vec<(String, String)>) {
        let pattern = PathPattern::parse(pattern).unwrap();
        let binding = pattern.bind(path.as_bytes()).unwrap();
        let parameters = binding
            .parameters
            .into_iter()
            .map(|(name, range)| (name.to_owned(), path[range].to_owned()))
            .collect();
        (binding.prefix_len, parameters)
    }

    #[test]
    fn binding_gives_prefix_and_parameters() {
        let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(bound("/a/{b}/*", "/a/x/y"), (Some(4), vec![named("b", "x")]));
        assert_eq!(bound("/*", "/a"), (Some(0), vec![]));
        assert_eq!(bound("/a/*", "/a"), (Some(2), vec![]));
        assert_eq!(bound("/a/{b}", "/a/x"), (None, vec![named("b", "x")]));
        assert_eq!(
            bound("~^/v(?P<major>[0-9]+)/(.*)", "/v12/x"),
            (None, vec![named("major", "12")])
        );
    }

    #[test]
    fn invalid_patterns_are_refused() {
        for (text, message) in [
            ("orders", "begins with `/`"),
            ("", "begins with `/`"),
            ("*", "begins with `/`"),
            ("//a", "no empty segments"),
            ("/a//b", "no empty segments"),
            ("/a//*", "no empty segments"),
            ("/a/../b", "no `..` segments"),
            ("/a/.", "no `.` segments"),
            ("/a?b", "`?` is not allowed"),
            ("/a#b", "`#` is not allowed"),
            ("/a*", "`*` may only be the last"),
            ("/*/a", "`*` may only be the last"),
            ("/a/**", "`*` may only be the last"),
            ("/a/{b}c", "whole segment"),
            ("/a/{b", "whole segment"),
            ("/a/{}", "not a parameter name"),
            ("/a/{1b}", "not a parameter name"),
            ("/a/{b-c}", "not a parameter name"),
            ("/a/{é}", "not a parameter name"),
            ("/a/:b", "in braces"),
            ("/:b/*", "in braces"),
            ("/{a}/{a}", "is used twice"),
            ("~(", "unclosed group"),
        ] {
            let error = PathPattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn patterns_print_as_written() {
        for text in [
            "/",
            "/a",
            "/a/",
            "/*",
            "/a/*",
            "/a/{b}",
            "/a/{B}/{b}",
            "/{_shopId7}/*",
            "~^/a",
            "/a:b",
            "/:",
            "/:7",
        ] {
            assert_eq!(PathPattern::parse(text).unwrap().to_string(), text);
        }
    }
}
