//! Path patterns as configured. Their literal text is normalised like the path of a request.

use waypost_route::path::{PathPattern, PathPatternError};
use waypost_wire::path::{self, DotSegmentParameters, PathError, PathOptions};

/// An error in a path pattern.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PatternError {
    /// Invalid syntax.
    #[error(transparent)]
    Pattern(#[from] PathPatternError),
    /// Requests with such a path are refused, so the pattern could never match.
    #[error("no request can have this path: {0}")]
    Refused(PathError),
}

/// Parses a path pattern. `options` are the union of what the listeners accept.
///
/// # Errors
/// If the syntax is invalid, or if no request can have such a path.
pub fn parse(text: &str, options: PathOptions) -> Result<PathPattern, PatternError> {
    if !text.starts_with('/') {
        return Ok(PathPattern::parse(text)?);
    }
    let mut normal = Vec::with_capacity(text.len());
    for (index, segment) in text.split('/').enumerate() {
        if index > 0 {
            normal.push(b'/');
        }
        // Left to the pattern's own parser: these characters are syntax, or errors.
        if segment.contains(['{', '}', '*', '?', '#']) {
            normal.extend_from_slice(segment.as_bytes());
        } else {
            let start = normal.len();
            path::encode_into(segment.as_bytes(), options, &mut normal).map_err(PatternError::Refused)?;
            if options.dot_segment_parameters == DotSegmentParameters::Refuse
                && path::is_dot_with_parameters(&normal[start..])
            {
                return Err(PatternError::Refused(PathError::DotParameters));
            }
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
        check("/..a;x/.well-known;y", "/..a;x/.well-known;y");
    }

    #[test]
    fn paths_that_no_request_can_have_are_refused() {
        for (text, message) in [
            ("/a%2Fb", "no request can have"),
            ("/a b", "no request can have"),
            ("/a/..;/b", "no request can have"),
            ("/a/%2e;x/*", "no request can have"),
            ("/{id}/..%3b", "no request can have"),
            ("/%2e%2e/a", "no `..` segments"),
            ("/a/{x y}", "not a parameter name"),
        ] {
            let error = parse(text, PathOptions::default()).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
