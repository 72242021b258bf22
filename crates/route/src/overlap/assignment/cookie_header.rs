//! The `cookie` header, together with conditions on single cookies.

use crate::cookie;
use crate::overlap::assignment::Variable;

/// The `cookie` header, if there are conditions on it and on cookies.
#[derive(Debug, Clone)]
pub(super) enum CookieHeader {
    /// Unconstrained: there are conditions on one of the two only.
    Free,
    /// Absent, and with it all cookies.
    Absent,
    /// This text, which determines the cookies.
    Text(Vec<u8>),
    /// Made of the cookies, and of one with this name, so that it equals no text in a condition.
    Made(String),
}

impl CookieHeader {
    /// Returns the headers to try. `texts` represent all values of the header.
    pub(super) fn candidates(variables: &[Variable<'_>], texts: impl FnOnce() -> Vec<Vec<u8>>) -> Vec<Self> {
        let any_cookie = variables
            .iter()
            .any(|variable| matches!(variable, Variable::Cookie(_)));
        if !any_cookie || !variables.contains(&Variable::Header("cookie")) {
            return vec![Self::Free];
        }
        let texts = texts();
        let mut name = "x".to_owned();
        let occurs = |name: &str| {
            variables.contains(&Variable::Cookie(name))
                || texts
                    .iter()
                    .any(|text| memchr::memmem::find(text, name.as_bytes()).is_some())
        };
        while occurs(&name) {
            name.push('x');
        }
        let texts = texts.into_iter().map(Self::Text);
        [Self::Absent, Self::Made(name)]
            .into_iter()
            .chain(texts)
            .collect()
    }
}

/// Returns the part of a `cookie` header for one cookie (RFC 6265 §4.2.1).
pub(super) fn part(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"=", value].concat()
}

/// Returns the value of the cookie named `name` in a `cookie` header of one line.
pub(super) fn value(line: &[u8], name: &str) -> Option<Vec<u8>> {
    let headers = vec![("cookie".to_owned(), line.to_vec())];
    cookie::find(&headers, name, &mut Vec::new()).map(<[u8]>::to_vec)
}
