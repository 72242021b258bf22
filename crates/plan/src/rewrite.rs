//! Rewrites: the path and host that a service sees instead of the client's.

use waypost_route::path::PathPattern;
use waypost_wire::path::{self, PathError, PathOptions};

use crate::template::{PathTemplate, Replacement};

/// What a service sees instead of the client's path and host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// The path.
    pub path: PathRewrite,
    /// The `Host` header; `None` leaves the client's.
    pub host: Option<Box<str>>,
}

/// What becomes of a path. The query stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PathRewrite {
    /// It stays.
    #[default]
    Keep,
    /// The part that the pattern took in front of `/*` is replaced.
    Prefix(Box<PathTemplate>),
    /// All of it is replaced.
    Path(Box<PathTemplate>),
    /// Every match of an expression is replaced.
    Regex(Box<Replacement>),
}

impl Rewrite {
    /// Nothing is rewritten.
    pub(crate) const NONE: Self = Self {
        path: PathRewrite::Keep,
        host: None,
    };
}

impl PathRewrite {
    /// Whether the path stays as it is.
    pub fn keeps(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// Appends what becomes of `path`, which `pattern` covers, in its normal form.
    ///
    /// # Errors
    /// When what comes out has no safe normal form; such a request cannot be forwarded (500).
    pub fn apply(
        &self,
        path: &[u8],
        pattern: &PathPattern,
        options: PathOptions,
        out: &mut Vec<u8>,
    ) -> Result<(), PathError> {
        let mut rewritten = Vec::new();
        match self {
            Self::Keep => rewritten.extend_from_slice(path),
            Self::Prefix(template) => {
                let binding = pattern.bind(path).ok_or(PathError::NoSlash)?;
                template.fill(path, &binding, &mut rewritten);
                if rewritten.last() == Some(&b'/') {
                    rewritten.pop();
                }
                rewritten.extend_from_slice(&path[binding.prefix_len.unwrap_or(path.len())..]);
                if rewritten.is_empty() {
                    rewritten.push(b'/');
                }
            }
            Self::Path(template) => {
                let binding = pattern.bind(path).ok_or(PathError::NoSlash)?;
                template.fill(path, &binding, &mut rewritten);
            }
            Self::Regex(replacement) => replacement.replace_all(path, &mut rewritten),
        }
        // Taken for an authority, `//host/x` would lead elsewhere: nothing that was rewritten begins so.
        let slashes = rewritten.iter().take_while(|&&byte| byte == b'/').count();
        let start = if self.keeps() {
            0
        } else {
            slashes.saturating_sub(1)
        };
        let mut scratch = Vec::new();
        let normal = path::normalize(&rewritten[start..], options, &mut scratch)?;
        let slashes = normal.iter().take_while(|&&byte| byte == b'/').count();
        let start = if self.keeps() {
            0
        } else {
            slashes.saturating_sub(1)
        };
        out.extend_from_slice(&normal[start..]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_route::regex::Regex;
    use waypost_wire::path::{DoubleSlash, EncodedSlash};

    fn apply(rewrite: &PathRewrite, pattern: &str, path: &str) -> Result<String, PathError> {
        let pattern = PathPattern::parse(pattern).unwrap();
        let options = PathOptions {
            encoded_slash: EncodedSlash::Refuse,
            double_slash: DoubleSlash::Keep,
        };
        let mut out = Vec::new();
        rewrite.apply(path.as_bytes(), &pattern, options, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn prefix(to: &str, pattern: &str, path: &str) -> String {
        let rewrite = PathRewrite::Prefix(PathTemplate::parse(to).unwrap().into());
        apply(&rewrite, pattern, path).unwrap()
    }

    #[test]
    fn prefixes_follow_the_gateway_api_table() {
        for (pattern, to, path, expected) in [
            ("/foo/*", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo/*", "/xyz/", "/foo/bar", "/xyz/bar"),
            ("/foo/*", "/xyz", "/foo", "/xyz"),
            ("/foo/*", "/xyz", "/foo/", "/xyz/"),
            ("/foo/*", "/", "/foo/bar", "/bar"),
            ("/foo/*", "/", "/foo/", "/"),
            ("/foo/*", "/", "/foo", "/"),
            ("/*", "/v2", "/", "/v2/"),
            ("/*", "/v2", "/a", "/v2/a"),
            ("/s/{shop}/*", "/{shop}/v2", "/s/7/x", "/7/v2/x"),
        ] {
            assert_eq!(prefix(to, pattern, path), expected, "{pattern} → {to} on {path}");
        }
    }

    #[test]
    fn nothing_rewritten_begins_with_two_slashes() {
        assert_eq!(prefix("/", "/foo/*", "/foo//evil.example/x"), "/evil.example/x");
        let strip = Replacement::parse(Regex::new("^/foo").unwrap(), "").unwrap();
        assert_eq!(
            apply(&PathRewrite::Regex(strip.into()), "/*", "/foo//a/../b"),
            Ok("/b".to_owned())
        );
    }

    #[test]
    fn what_has_no_safe_form_is_an_error() {
        let to = Replacement::parse(Regex::new("^/.*").unwrap(), "/../x").unwrap();
        assert_eq!(
            apply(&PathRewrite::Regex(to.into()), "/*", "/a"),
            Err(PathError::Climbs)
        );
    }
}
