//! Path patterns as written: their literal text gets the normal form that requests get.

use waypost_route::path::{PathPattern, PathPatternError};
use waypost_wire::path::{self, PathError, PathOptions};

/// Why a text is no path pattern.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PatternError {
    /// It is not in the language of patterns.
    #[error(transparent)]
    Pattern(#[from] PathPatternError),
    /// A request with this path would be refused, so the pattern could never match.
    #[error("no request can have this path: {0}")]
    Refused(PathError),
}

/// Reads a path pattern; `options` say which paths any listener lets in.
///
/// # Errors
/// When it is not in the language of patterns, or when no request could ever have such a path.
pub fn parse(text: &str, options: PathOptions) -> Result<PathPattern, PatternError> {
    if !text.starts_with('/') {
        return Ok(PathPattern::parse(text)?);
    }
    let mut normal = Vec::with_capacity(text.len());
    for (index, segment) in text.split('/').enumerate() {
        if index > 0 {
            normal.push(b'/');
        }
        // What has a meaning in patterns, or none at all, is for the pattern's own parser to judge.
        if segment.contains(['{', '}', '*', '?', '#']) {
            normal.extend_from_slice(segment.as_bytes());
        } else {
            path::encode_into(segment.as_bytes(), options, &mut normal).map_err(PatternError::Refused)?;
        }
    }
    Ok(PathPattern::parse(&String::from_utf8_lossy(&normal))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(parse(text, PathOptions::default()).unwrap().to_string(), expected);
    }

    #[test]
    fn literals_are_normalised_and_parameters_stay() {
        check("/%7euser/{id}/*", "/~user/{id}/*");
        check("/ü", "/%C3%BC");
        check("/%7bx%7d", "/%7Bx%7D");
        check("/a|b", "/a%7Cb");
        check("~^/%7e", "~^/%7e");
    }

    #[test]
    fn what_no_request_can_have_is_refused() {
        for (text, message) in [
            ("/a%2Fb", "no request can have"),
            ("/a b", "no request can have"),
            ("/%2e%2e/a", "no `..` segments"),
            ("/a/{x y}", "no parameter name"),
        ] {
            let error = parse(text, PathOptions::default()).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
