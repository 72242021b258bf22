//! Filling templates in, by the rules of the place.
//!
//! - A header or a body takes a value as it is; a header whose whole text is one absent value is not written.
//! - In a path, a value stays inside its segment. A parameter, a cookie or a query parameter is as the client sent it, so
//!   its `%XX` stay; in other values, `%` is text and encoded. A segment that a value makes `.` or `..`, or that begins with
//!   `..;`, is an error. A `/` of a value is `%2F`, which the options of the listener allow or refuse. `{path}`, and the
//!   named group of a regex, bring their segments along.
//! - In a query, a value stays inside its parameter. A `{query}` that is a parameter, or the whole query, is inserted byte
//!   for byte.
//! - In a host, the whole has to be a valid host.

use waypost_wire::authority::Authority;
use waypost_wire::path::{self, PathError, PathOptions};

use crate::value::{PartRef, ValueName, ValueTemplate, Values};

/// A template whose result is not valid at its place; such a request gets 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// The path has no safe normal form.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A value makes a segment that leads elsewhere.
    #[error("a value makes a segment `.` or `..`")]
    DotSegment,
    /// The host is none.
    #[error("a value makes no valid host")]
    Host,
}

impl ValueTemplate {
    /// Appends the text with its values as they are.
    pub fn fill(&self, values: &dyn Values, out: &mut Vec<u8>) {
        for part in self.parts() {
            match part {
                PartRef::Text(text) => out.extend_from_slice(text.as_bytes()),
                PartRef::Value(name) => {
                    values.append(name, out);
                }
            }
        }
    }

    /// Appends the line of a header, unless all of its text is one value that is absent.
    pub fn fill_header(&self, name: &str, values: &dyn Values, out: &mut Vec<u8>) {
        let line = out.len();
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        let start = out.len();
        match self.sole_name() {
            Some(sole) if !values.append(sole, out) => {
                out.truncate(line);
                return;
            }
            Some(_) => {}
            None => self.fill(values, out),
        }
        // An absent value can leave blanks at the ends, which HTTP/2 does not allow (RFC 9113 §8.2.1).
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let blanks = out[start..].iter().take_while(|byte| is_blank(byte)).count();
        out.drain(start..start + blanks);
        while out.len() > start && out.last().is_some_and(is_blank) {
            out.pop();
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends a host, which may have a port if `with_port`.
    ///
    /// # Errors
    /// The text and the values make no valid host.
    pub fn fill_host(
        &self,
        values: &dyn Values,
        with_port: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), FillError> {
        let start = out.len();
        self.fill(values, out);
        if self.is_literal() {
            return Ok(());
        }
        match Authority::parse(&out[start..]) {
            Ok(host) if with_port || host.port.is_none() => Ok(()),
            _ => Err(FillError::Host),
        }
    }

    /// Appends a path, or the prefix of one.
    ///
    /// # Errors
    /// A value leads out of its segment.
    pub fn fill_path(
        &self,
        values: &dyn Values,
        options: PathOptions,
        out: &mut Vec<u8>,
    ) -> Result<(), FillError> {
        let start = out.len();
        // Where the segments begin that have values in them.
        let mut open: Option<usize> = None;
        let mut value = Vec::new();
        for part in self.parts() {
            match part {
                PartRef::Text(text) => {
                    let (inside, behind) = text.split_at(text.find('/').unwrap_or(text.len()));
                    out.extend_from_slice(inside.as_bytes());
                    if !behind.is_empty()
                        && let Some(open) = open.take()
                    {
                        check_segments(&out[open..], options)?;
                    }
                    out.extend_from_slice(behind.as_bytes());
                }
                PartRef::Value(name) => {
                    let slash = out[start..].iter().rposition(|&byte| byte == b'/');
                    let segment = slash.map_or(start, |slash| start + slash + 1);
                    open = open.or(Some(segment));
                    value.clear();
                    values.append(name, &mut value);
                    match name {
                        ValueName::Path => {
                            let follows = out.len() > start && out.last() == Some(&b'/');
                            out.extend_from_slice(&value[usize::from(follows && !value.is_empty())..]);
                        }
                        // As matched: of a path in its normal form.
                        ValueName::Parameter(_) => {
                            encode(&value, true, |byte| in_segment(byte) || byte == b'/', out);
                        }
                        name => encode(&value, name.is_as_sent(), in_segment, out),
                    }
                }
            }
        }
        match open {
            Some(open) => check_segments(&out[open..], options),
            None => Ok(()),
        }
    }

    /// Appends a query.
    pub fn fill_query(&self, values: &dyn Values, out: &mut Vec<u8>) {
        let start = out.len();
        let mut parts = self.parts().peekable();
        let mut value = Vec::new();
        // Set behind an absent query, whose `&` goes with it.
        let mut skips_ampersand = false;
        while let Some(part) = parts.next() {
            match part {
                PartRef::Text(text) => {
                    let text = match std::mem::take(&mut skips_ampersand) {
                        true => text.strip_prefix('&').unwrap_or(text),
                        false => text,
                    };
                    out.extend_from_slice(text.as_bytes());
                }
                PartRef::Value(name) => {
                    value.clear();
                    values.append(name, &mut value);
                    let begins = out.len() == start || out.last() == Some(&b'&');
                    let ends = match parts.peek() {
                        None => true,
                        Some(PartRef::Text(text)) => text.starts_with('&'),
                        Some(PartRef::Value(_)) => false,
                    };
                    if *name != ValueName::Query || !begins || !ends {
                        encode_in_query(&value, name, out);
                    } else if !value.is_empty() {
                        out.extend_from_slice(&value);
                    } else if out.len() > start {
                        out.pop();
                    } else {
                        skips_ampersand = true;
                    }
                }
            }
        }
    }

    /// Appends the value of a query parameter. Its texts are encoded already.
    pub(crate) fn fill_parameter(&self, values: &dyn Values, out: &mut Vec<u8>) {
        let mut value = Vec::new();
        for part in self.parts() {
            match part {
                PartRef::Text(text) => out.extend_from_slice(text.as_bytes()),
                PartRef::Value(name) => {
                    value.clear();
                    values.append(name, &mut value);
                    encode_in_query(&value, name, out);
                }
            }
        }
    }
}

/// Checks segments that have values in them.
fn check_segments(segments: &[u8], options: PathOptions) -> Result<(), FillError> {
    let mut normal = Vec::new();
    for segment in segments.split(|&byte| byte == b'/') {
        normal.clear();
        path::encode_into(segment, options, &mut normal)?;
        let leads_out = match normal.strip_prefix(b"..") {
            Some(rest) => rest.is_empty() || rest.starts_with(b";") || rest.starts_with(b"%3B"),
            None => &normal[..] == b".",
        };
        if leads_out {
            return Err(FillError::DotSegment);
        }
    }
    Ok(())
}

/// Characters of a segment (RFC 3986 §3.3).
fn in_segment(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// Characters of the name or value of a parameter (RFC 3986 §3.4), but `+`, which stands for a space.
pub(crate) fn in_parameter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$'()*,;:@/?".contains(&byte)
}

fn encode_in_query(value: &[u8], name: &ValueName, out: &mut Vec<u8>) {
    match name {
        // Its `+` and `=` are the client's.
        ValueName::QueryParameter(_) => {
            encode(
                value,
                true,
                |byte| in_parameter(byte) || matches!(byte, b'+' | b'='),
                out,
            );
        }
        name => encode(value, name.is_as_sent(), in_parameter, out),
    }
}

/// Appends `value` with all bytes percent-encoded but those that `keeps` has; where `is_encoded`, `%XX` stays.
pub(crate) fn encode(value: &[u8], is_encoded: bool, keeps: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    for (at, &byte) in value.iter().enumerate() {
        let begins_encoding = || {
            let digits = value.get(at + 1..at + 3);
            is_encoded && digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        if keeps(byte) || (byte == b'%' && begins_encoding()) {
            out.push(byte);
        } else {
            path::push_encoded(byte, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use waypost_wire::path::{DotSegmentParameters, EncodedSlash};

    use super::*;

    struct Named<'a>(&'a [(&'a str, &'a str)]);

    impl Values for Named<'_> {
        fn append(&self, name: &ValueName, out: &mut Vec<u8>) -> bool {
            let name = name.to_string();
            let found = self.0.iter().find(|(known, _)| *known == name);
            found
                .inspect(|(_, value)| out.extend_from_slice(value.as_bytes()))
                .is_some()
        }
    }

    fn text(fill: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        fill(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn path_of(template: &str, values: &[(&str, &str)], options: PathOptions) -> Result<String, FillError> {
        let mut out = Vec::new();
        let template = ValueTemplate::parse(template).unwrap();
        template.fill_path(&Named(values), options, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn headers_take_values_as_they_are() {
        for (template, value, expected) in [
            ("{header.x}", Some("a b%\"é"), "n: a b%\"é\r\n"),
            ("{header.x}", Some(""), "n: \r\n"),
            ("{header.x}", None, ""),
            ("<{header.x}>", None, "n: <>\r\n"),
            ("a {header.x}", None, "n: a\r\n"),
            ("{header.x} a", None, "n: a\r\n"),
            ("{header.x}{header.x}", None, "n: \r\n"),
            ("fixed", None, "n: fixed\r\n"),
        ] {
            let values: Vec<(&str, &str)> = value.map(|value| ("header.x", value)).into_iter().collect();
            let template = ValueTemplate::parse(template).unwrap();
            let line = text(|out| template.fill_header("n", &Named(&values), out));
            assert_eq!(line, expected, "{template} of {value:?}");
        }
    }

    #[test]
    fn values_stay_inside_their_segment() {
        for (name, value, expected) in [
            ("header.x", "a b", "/p/a%20b/q"),
            ("header.x", "a%20b", "/p/a%2520b/q"),
            ("header.x", "a?b#c", "/p/a%3Fb%23c/q"),
            ("header.x", "é", "/p/%C3%A9/q"),
            ("header.x", "a;b=c,d:e@f", "/p/a;b=c,d:e@f/q"),
            ("header.x", "...", "/p/.../q"),
            ("query.x", "a%20b+c", "/p/a%20b+c/q"),
            ("query.x", "a%b", "/p/a%25b/q"),
            ("cookie.x", "a%2Cb\"", "/p/a%2Cb%22/q"),
            ("id", "a%20b", "/p/a%20b/q"),
            ("id", "a/b", "/p/a/b/q"),
            ("path", "/a/b", "/p/a/b/q"),
            ("method", "GET", "/p/GET/q"),
        ] {
            let template = format!("/p/{{{name}}}/q");
            let filled = path_of(&template, &[(name, value)], PathOptions::default());
            assert_eq!(filled.as_deref(), Ok(expected), "{name} = {value}");
        }
        let filled = |template, path| path_of(template, &[("path", path)], PathOptions::default());
        assert_eq!(filled("/v2{path}", "/a").as_deref(), Ok("/v2/a"));
        assert_eq!(filled("{path}", "/a/").as_deref(), Ok("/a/"));
        assert_eq!(filled("/p/{header.x}", "").as_deref(), Ok("/p/"));
    }

    #[test]
    fn values_that_lead_out_of_their_segment_are_refused() {
        let encoded = |at| Err(FillError::Path(PathError::Encoded(at)));
        for (template, value, expected) in [
            ("/{header.x}", ".", Err(FillError::DotSegment)),
            ("/{header.x}", "..", Err(FillError::DotSegment)),
            ("/{header.x}/a", "..;x", Err(FillError::DotSegment)),
            ("/{query.x}", "%2e%2E", Err(FillError::DotSegment)),
            ("/{query.x}", "..%3Bx", Err(FillError::DotSegment)),
            ("/.{header.x}", ".", Err(FillError::DotSegment)),
            ("/{header.x}.", ".", Err(FillError::DotSegment)),
            ("/a/{path}.", "/b/", Err(FillError::DotSegment)),
            ("/{id}", "a/..", Err(FillError::DotSegment)),
            ("/{header.x}", "a/b", encoded(1)),
            ("/{query.x}", "a%2fb", encoded(1)),
            ("/{header.x}", "\\", encoded(0)),
        ] {
            let name = &template[template.find('{').unwrap() + 1..template.find('}').unwrap()];
            let filled = path_of(template, &[(name, value)], PathOptions::default());
            assert_eq!(filled, expected, "{template} of {value}");
        }
        let keeps = PathOptions {
            encoded_slash: EncodedSlash::Keep,
            dot_segment_parameters: DotSegmentParameters::Keep,
            ..PathOptions::default()
        };
        let filled = |value| path_of("/{header.x}", &[("header.x", value)], keeps);
        assert_eq!(filled("a/b").as_deref(), Ok("/a%2Fb"));
        assert_eq!(filled("..;"), Err(FillError::DotSegment));
        assert_eq!(filled(".;").as_deref(), Ok("/.;"));
    }

    #[test]
    fn values_stay_inside_their_parameter() {
        for (template, name, value, expected) in [
            (
                "a={header.x}",
                "header.x",
                "b&c=d +#%20",
                "a=b%26c%3Dd%20%2B%23%2520",
            ),
            ("a={query.x}", "query.x", "b%20+c=d", "a=b%20+c=d"),
            ("a={cookie.x}", "cookie.x", "b%20+%", "a=b%20%2B%25"),
            ("a={path}", "path", "/b/%20", "a=/b/%2520"),
            ("a={query}&b", "query", "c=d&e", "a=c%3Dd%26e&b"),
            ("{query}", "query", "c=%zz&d", "c=%zz&d"),
            ("a&{query}&b", "query", "c&d", "a&c&d&b"),
            ("a&{query}", "query", "", "a"),
            ("{query}&a", "query", "", "a"),
            ("a&{query}&b", "query", "", "a&b"),
            ("{query}", "query", "", ""),
        ] {
            let template = ValueTemplate::parse(template).unwrap();
            let query = text(|out| template.fill_query(&Named(&[(name, value)]), out));
            assert_eq!(query, expected, "{template} of {value}");
        }
    }

    #[test]
    fn hosts_are_valid_or_refused() {
        for (template, value, with_port, is_valid) in [
            ("{header.x}.example.org", "a", false, true),
            ("{header.x}.example.org", "", false, false),
            ("{header.x}", "a:80", false, false),
            ("{header.x}", "a:80", true, true),
            ("{header.x}", "a b", true, false),
            ("{header.x}", "u@a", true, false),
            ("{header.x}", "a/b", true, false),
            ("{header.x}", "", true, false),
        ] {
            let template = ValueTemplate::parse(template).unwrap();
            let filled = template.fill_host(&Named(&[("header.x", value)]), with_port, &mut Vec::new());
            assert_eq!(filled.is_ok(), is_valid, "{template} of {value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_value_leaves_its_segment_or_parameter(value in "[ -~é]{0,12}|[./;%2eEfF\\\\]{0,8}", keeps: bool) {
            let options = PathOptions {
                encoded_slash: if keeps { EncodedSlash::Keep } else { EncodedSlash::Refuse },
                dot_segment_parameters: if keeps { DotSegmentParameters::Keep } else { DotSegmentParameters::Refuse },
                ..PathOptions::default()
            };
            for name in ["header.x", "query.x", "cookie.x"] {
                let values = [(name, &*value)];
                if let Ok(path) = path_of(&format!("/a/x{{{name}}}/b"), &values, options)
                    && let Ok(normal) = path::normalize(path.as_bytes(), options, &mut Vec::new())
                {
                    let segments: Vec<&[u8]> = normal.split(|&byte| byte == b'/').collect();
                    proptest::prop_assert_eq!(segments.len(), 4, "{}", &path);
                    proptest::prop_assert_eq!((segments[1], segments[3]), (&b"a"[..], &b"b"[..]));
                }
                if let Ok(path) = path_of(&format!("/a/{{{name}}}/b"), &values, options)
                    && let Ok(normal) = path::normalize(path.as_bytes(), options, &mut Vec::new())
                {
                    let begins = normal.starts_with(b"/a/") && normal.ends_with(b"/b");
                    proptest::prop_assert!(begins, "{}", &path);
                }
                let template = ValueTemplate::parse(&format!("a={{{name}}}&b")).unwrap();
                let query = text(|out| template.fill_query(&Named(&values), out));
                let parts: Vec<&str> = query.split('&').collect();
                proptest::prop_assert!(parts.len() == 2 && parts[1] == "b", "{}", &query);
                proptest::prop_assert!(!query.contains(['#', ' ', '"']), "{}", &query);
            }
        }
    }
}
