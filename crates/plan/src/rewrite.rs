//! Rewrites of path, host and query for a service.

use waypost_route::path::PathPattern;
use waypost_wire::path::{self, PathError, PathOptions};

use crate::query::QueryRewrite;
use crate::template::Replacement;
use crate::value::fill::FillError;
use crate::value::listed::ListedNames;
use crate::value::{ValueTemplate, Values};

/// A rewrite of path, host and query for a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// Rewrite of the path.
    pub path: PathRewrite,
    /// `Host` header; `None` keeps the client's.
    pub host: Option<ValueTemplate>,
    /// Rewrite of the query.
    pub query: QueryRewrite,
    /// Mapping of responses back.
    pub reverse: Reverse,
}

/// Mapping of a service's references to itself back to the paths and the host that the client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reverse {
    /// Mapped, where a prefix or the host is rewritten.
    #[default]
    On,
    /// Left as they are.
    Off,
}

/// A rewrite of the path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PathRewrite {
    /// Keeps the path.
    #[default]
    Keep,
    /// Replaces the prefix of the pattern, in front of `/*`.
    Prefix(Box<ValueTemplate>),
    /// Replaces the whole path.
    Path(Box<ValueTemplate>),
    /// Replaces every match of a regex.
    Regex(Box<Replacement>),
}

impl Rewrite {
    /// No rewrite.
    pub(crate) const NONE: Self = Self {
        path: PathRewrite::Keep,
        host: None,
        query: QueryRewrite::Keep,
        reverse: Reverse::On,
    };

    /// Puts parameters in the place of the values of these names.
    pub(crate) fn shadow(&mut self, names: ListedNames) {
        if let PathRewrite::Prefix(template) | PathRewrite::Path(template) = &mut self.path {
            template.shadow(names);
        }
        if let Some(host) = &mut self.host {
            host.shadow(names);
        }
        self.query.shadow(names);
    }

    /// Returns true if the service sees another place than the client, and the way back can be computed: a prefix or the
    /// host is rewritten.
    pub fn moves(&self) -> bool {
        self.host.is_some() || matches!(self.path, PathRewrite::Prefix(_))
    }
}

impl PathRewrite {
    /// Returns true if the path is kept.
    pub fn keeps(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The prefix of `path` that is replaced, if a prefix is; `pattern` covers the path. Appends what stands in its place,
    /// in its normal form and without trailing slash.
    pub fn replaced_prefix<'p>(
        &self,
        path: &'p [u8],
        pattern: &PathPattern,
        options: PathOptions,
        values: &dyn Values,
        out: &mut Vec<u8>,
    ) -> Option<&'p [u8]> {
        let Self::Prefix(template) = self else {
            return None;
        };
        let binding = pattern.bind(path)?;
        let prefix = &path[..binding.prefix_len?];
        let mut filled = Vec::new();
        template.fill_path(values, options, &mut filled).ok()?;
        let slashes = filled.iter().take_while(|&&byte| byte == b'/').count();
        let mut scratch = Vec::new();
        let normal = path::normalize(&filled[slashes.saturating_sub(1)..], options, &mut scratch).ok()?;
        out.extend_from_slice(normal.strip_suffix(b"/").unwrap_or(normal));
        Some(prefix)
    }

    /// Appends the normal form of the rewritten `path`, which `pattern` covers, with `values` filled in.
    ///
    /// # Errors
    /// If the result has no safe normal form; such a request cannot be forwarded (500).
    pub fn apply(
        &self,
        path: &[u8],
        pattern: &PathPattern,
        options: PathOptions,
        values: &dyn Values,
        out: &mut Vec<u8>,
    ) -> Result<(), FillError> {
        let mut rewritten = Vec::new();
        match self {
            Self::Keep => rewritten.extend_from_slice(path),
            Self::Prefix(template) => {
                let binding = pattern.bind(path).ok_or(PathError::NoSlash)?;
                template.fill_path(values, options, &mut rewritten)?;
                if rewritten.last() == Some(&b'/') {
                    rewritten.pop();
                }
                rewritten.extend_from_slice(&path[binding.prefix_len.unwrap_or(path.len())..]);
                if rewritten.is_empty() {
                    rewritten.push(b'/');
                }
            }
            Self::Path(template) => template.fill_path(values, options, &mut rewritten)?,
            Self::Regex(replacement) => replacement.replace_all(path, &mut rewritten),
        }
        // `//host/x` would be read as an authority, so a rewritten path never begins with `//`.
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
    use crate::value::Parameters;
    use waypost_route::regex::Regex;
    use waypost_wire::path::DoubleSlash;

    fn apply(rewrite: &PathRewrite, pattern: &str, path: &str) -> Result<String, FillError> {
        let pattern = PathPattern::parse(pattern).unwrap();
        let options = PathOptions {
            double_slash: DoubleSlash::Keep,
            ..PathOptions::default()
        };
        let mut out = Vec::new();
        let values = Parameters::of(path.as_bytes(), &pattern);
        rewrite.apply(path.as_bytes(), &pattern, options, &values, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn prefix(to: &str, pattern: &str, path: &str) -> String {
        let rewrite = PathRewrite::Prefix(ValueTemplate::parse(to).unwrap().into());
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
    fn rewritten_paths_never_begin_with_two_slashes() {
        assert_eq!(prefix("/", "/foo/*", "/foo//evil.example/x"), "/evil.example/x");
        let strip = Replacement::parse(Regex::new("^/foo").unwrap(), "").unwrap();
        assert_eq!(
            apply(&PathRewrite::Regex(strip.into()), "/*", "/foo//a/../b"),
            Ok("/b".to_owned())
        );
    }

    #[test]
    fn unsafe_results_are_errors() {
        let to = Replacement::parse(Regex::new("^/.*").unwrap(), "/../x").unwrap();
        assert_eq!(
            apply(&PathRewrite::Regex(to.into()), "/*", "/a"),
            Err(PathError::Climbs.into())
        );
        let cut = Replacement::parse(Regex::new("^/a/x").unwrap(), "/").unwrap();
        assert_eq!(
            apply(&PathRewrite::Regex(cut.into()), "/*", "/a/x..;y/b"),
            Err(PathError::DotParameters.into())
        );
    }
}
