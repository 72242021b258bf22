//! Credentials, as a request carries them.

use std::borrow::Cow;

use waypost_plan::auth::Place;
use waypost_route::query;

use crate::request::IncomingRequest;

/// The credentials at a place of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// There are none, or they are empty.
    Nothing,
    /// These.
    One(Cow<'a, [u8]>),
    /// Several. Services may take another one of them than the gateway, so none counts.
    Several,
}

impl<'a> Found<'a> {
    fn add(&mut self, value: Cow<'a, [u8]>) {
        *self = match self {
            Self::Nothing if value.is_empty() => return,
            Self::Nothing => Self::One(value),
            Self::One(_) | Self::Several => Self::Several,
        };
    }
}

/// The credentials at `place`.
pub(crate) fn at<'a>(place: &Place, request: &IncomingRequest<'a>) -> Found<'a> {
    let mut found = Found::Nothing;
    let lines = |name: &str, visit: &mut dyn FnMut(&'a [u8])| {
        for field in request.head.fields() {
            if field
                .name
                .of(request.buffer)
                .eq_ignore_ascii_case(name.as_bytes())
            {
                visit(field.value.of(request.buffer));
            }
        }
    };
    match place {
        Place::Header(name) => lines(name, &mut |value| found.add(Cow::Borrowed(value))),
        Place::Cookie(name) => lines("cookie", &mut |line| {
            for part in line.split(|&byte| byte == b';') {
                let part = part.trim_ascii();
                if is_cookie(part, name) {
                    let value = memchr::memchr(b'=', part).map_or(part.len(), |at| at + 1);
                    found.add(Cow::Borrowed(&part[value..]));
                }
            }
        }),
        Place::Query(name) => {
            let parts = request.query.unwrap_or_default().split(|&byte| byte == b'&');
            for part in parts.filter(|part| query::is_named(part, name)) {
                let mut value = Vec::new();
                if query::find(part, name, &mut value).is_some() {
                    found.add(Cow::Owned(value));
                }
            }
        }
    }
    found
}

/// Returns true if `part`, what stands between two `;`, is a cookie of this name.
fn is_cookie(part: &[u8], name: &str) -> bool {
    let end = memchr::memchr(b'=', part).unwrap_or(part.len());
    part[..end].trim_ascii() == name.as_bytes()
}

/// Appends a `cookie` line without the cookies of these names; nothing if no other is left.
pub(crate) fn write_cookies<'n, I: Iterator<Item = &'n str>>(
    value: &[u8],
    hidden: impl Fn() -> I,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(b"cookie: ");
    let mut is_first = true;
    for part in value.split(|&byte| byte == b';') {
        let part = part.trim_ascii();
        if part.is_empty() || hidden().any(|name| is_cookie(part, name)) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(part);
    }
    match is_first {
        true => out.truncate(start),
        false => out.extend_from_slice(b"\r\n"),
    }
}

/// Appends `query` without the parameters of these names. Returns false if there was nothing else in it.
pub fn write_query<'n, I: Iterator<Item = &'n str>>(
    query: &[u8],
    hidden: impl Fn() -> I,
    out: &mut Vec<u8>,
) -> bool {
    let mut is_first = true;
    for part in query.split(|&byte| byte == b'&') {
        if hidden().any(|name| query::is_named(part, name)) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            out.push(b'&');
        }
        out.extend_from_slice(part);
    }
    !is_first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_parameters_and_cookies_are_left_out() {
        let names = ["apikey", "t k"];
        for (query, expected) in [
            ("apikey=1", None),
            ("a=1&apikey=2&b=3", Some("a=1&b=3")),
            ("a=1&api%6Bey=2&apikey&t+k=1&t%20k", Some("a=1")),
            ("APIKEY=1&apikeys=2", Some("APIKEY=1&apikeys=2")),
            ("a=%20&&b=+", Some("a=%20&&b=+")),
            ("", Some("")),
        ] {
            let mut out = Vec::new();
            let is_left = write_query(query.as_bytes(), || names.into_iter(), &mut out);
            let out = String::from_utf8(out).unwrap();
            assert_eq!(is_left.then_some(out.as_str()), expected, "{query}");
        }
        for (line, expected) in [
            ("apikey=1", ""),
            ("a=1; apikey=2;b=3", "cookie: a=1; b=3\r\n"),
            ("a=1; apikey =2; apikey", "cookie: a=1\r\n"),
            ("ApiKey=1", "cookie: ApiKey=1\r\n"),
            (";;", ""),
        ] {
            let mut out = Vec::new();
            write_cookies(line.as_bytes(), || names.into_iter(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{line}");
        }
    }
}
