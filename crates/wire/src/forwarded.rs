//! `Forwarded` (RFC 7239): a list of elements, one for each proxy that a request went through.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use crate::field::trim_blanks;
use crate::token;

/// One element: what a proxy says about the request that it received. Values are without quotes; absent ones are `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element<'a> {
    /// `for`: the node that the request came from.
    pub node: Option<Cow<'a, [u8]>>,
    /// `host`: the request's `Host`.
    pub host: Option<Cow<'a, [u8]>>,
    /// `proto`: the request's scheme.
    pub proto: Option<Cow<'a, [u8]>>,
}

/// A line that has no reading, or several: an unbalanced quote, a parameter twice in one element, or no pair at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the forwarded header is malformed")]
pub struct Malformed;

/// Appends the elements of one line, from left to right.
///
/// Proxies exist that write addresses and ports without the quotes that RFC 7239 §4 demands, so an unquoted value is
/// read up to its delimiter.
///
/// # Errors
/// The line is malformed; elements in front of the fault are appended.
pub fn parse<'a>(line: &'a [u8], elements: &mut Vec<Element<'a>>) -> Result<(), Malformed> {
    let mut rest = line;
    loop {
        let mut element = Element::default();
        let mut names = Names::default();
        loop {
            rest = trim_blanks(rest);
            // An element, and a list, may have empty members (RFC 9110 §5.6.1.2).
            if !matches!(rest.first(), None | Some(b',' | b';')) {
                rest = pair(rest, &mut element, &mut names)?;
            }
            match rest.split_first() {
                Some((b';', after)) => rest = after,
                _ => break,
            }
        }
        if names.any {
            elements.push(element);
        }
        match rest.split_first() {
            None => return Ok(()),
            Some((_, after)) => rest = after,
        }
    }
}

/// The parameters that an element has so far.
#[derive(Default)]
struct Names {
    any: bool,
    by: bool,
}

/// Takes one `name=value` off `text`. Returns the rest, which is empty or begins with a delimiter.
fn pair<'a>(text: &'a [u8], element: &mut Element<'a>, names: &mut Names) -> Result<&'a [u8], Malformed> {
    let at = memchr::memchr(b'=', text).ok_or(Malformed)?;
    let name = &text[..at];
    if !token::is_token(name) {
        return Err(Malformed);
    }
    let (value, rest) = match &text[at + 1..] {
        [b'"', quoted @ ..] => quoted_string(quoted)?,
        plain => {
            let end = plain.iter().position(|byte| matches!(byte, b',' | b';'));
            let (value, rest) = plain.split_at(end.unwrap_or(plain.len()));
            let value = trim_blanks(value);
            if value.iter().any(|&byte| byte <= b' ' || byte == b'"') {
                return Err(Malformed);
            }
            (Cow::Borrowed(value), rest)
        }
    };
    let rest = trim_blanks(rest);
    if !matches!(rest.first(), None | Some(b',' | b';')) {
        return Err(Malformed);
    }
    names.any = true;
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let place = if is("for") {
        &mut element.node
    } else if is("host") {
        &mut element.host
    } else if is("proto") {
        &mut element.proto
    } else {
        if is("by") && std::mem::replace(&mut names.by, true) {
            return Err(Malformed);
        }
        return Ok(rest);
    };
    // Each parameter is there once at most (RFC 7239 §4).
    match place.replace(value) {
        Some(_) => Err(Malformed),
        None => Ok(rest),
    }
}

/// Takes a quoted string, whose opening quote is read, off `text` (RFC 9110 §5.6.4). Returns its value and the rest.
fn quoted_string(text: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), Malformed> {
    let mut owned: Option<Vec<u8>> = None;
    let mut bytes = text.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => {
                let value = owned.map_or(Cow::Borrowed(&text[..at]), Cow::Owned);
                return Ok((value, &text[at + 1..]));
            }
            b'\\' => {
                let unescaped = owned.get_or_insert_with(|| text[..at].to_vec());
                let (_, &escaped) = bytes.next().ok_or(Malformed)?;
                unescaped.push(escaped);
            }
            _ => {
                if let Some(unescaped) = &mut owned {
                    unescaped.push(byte);
                }
            }
        }
    }
    Err(Malformed)
}

/// The address of a node, as in `for` or `X-Forwarded-For`: `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`, each also
/// with a port. `None` for `unknown`, an obfuscated identifier such as `_hidden`, and any other text.
///
/// An IPv4-mapped address is IPv4.
pub fn address(node: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(node).ok()?;
    // A port may be obfuscated too (RFC 7239 §6.3).
    let text = match text.rsplit_once(":_") {
        Some((host, port)) if !port.is_empty() && port.bytes().all(is_obfuscated_byte) => host,
        _ => text,
    };
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare
        .parse()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

fn is_obfuscated_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `for`, `host` and `proto` of each element, with `-` for an absent one.
    fn check(line: &str, expected: Result<&[&str], Malformed>) {
        let mut elements = Vec::new();
        let parsed = parse(line.as_bytes(), &mut elements).map(|()| {
            let show = |value: &Option<Cow<'_, [u8]>>| match value {
                Some(value) => String::from_utf8_lossy(value).into_owned(),
                None => "-".to_owned(),
            };
            let elements = elements.iter();
            let shown = elements.map(|element| {
                let Element { node, host, proto } = element;
                format!("{} {} {}", show(node), show(host), show(proto))
            });
            shown.collect::<Vec<_>>()
        });
        let expected = expected.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
        assert_eq!(parsed, expected, "{line}");
    }

    #[test]
    fn elements_are_parsed() {
        check("for=192.0.2.1", Ok(&["192.0.2.1 - -"]));
        check(
            "For=\"[2001:db8::1]:4711\";Proto=https;HOST=a.example;by=203.0.113.1",
            Ok(&["[2001:db8::1]:4711 a.example https"]),
        );
        check(
            "for=a, for=b ;proto=http,\tfor=\"c\" ; host=\"h:1\" ",
            Ok(&["a - -", "b - http", "c h:1 -"]),
        );
        // Empty members count for nothing.
        check("", Ok(&[]));
        check(", ;;, for=a;, ", Ok(&["a - -"]));
        check("secret=x", Ok(&["- - -"]));
        check("for=", Ok(&[" - -"]));
        check("for=a,", Ok(&["a - -"]));
        check("for=\"\"", Ok(&[" - -"]));
    }

    #[test]
    fn quoted_values_hold_delimiters_and_escapes() {
        check(
            r#"for="a, for=b;proto=x", for=c"#,
            Ok(&["a, for=b;proto=x - -", "c - -"]),
        );
        check(r#"for="a\"b\\";host="\h""#, Ok(&["a\"b\\ h -"]));
    }

    #[test]
    fn values_without_their_quotes_are_read_up_to_the_delimiter() {
        check(
            "for=[2001:db8::1]:1;host=a.example:8080;proto=https",
            Ok(&["[2001:db8::1]:1 a.example:8080 https"]),
        );
        check("for=2001:db8::1", Ok(&["2001:db8::1 - -"]));
    }

    #[test]
    fn lines_without_one_reading_are_malformed() {
        for line in [
            "for=\"a",
            "for=\"a\\",
            "for=\"a\\\"",
            "for=\"a\"b",
            "for=\"a\" b",
            "for=a\"b\"",
            "for=a b",
            "for=a;for=b",
            "for=a;FOR=a",
            "proto=http;host=a;proto=https",
            "by=a;by=b",
            "192.0.2.1",
            "for",
            "=a",
            "for =a",
            "f or=a",
            "for=a, b",
            // A client's open quote in front of a proxy's element.
            "for=\", for=\"[2001:db8::1]\";proto=http",
        ] {
            check(line, Err(Malformed));
        }
    }

    #[test]
    fn an_element_more_is_read_as_written() {
        for line in [
            "",
            ",",
            ";",
            "for=a;",
            "for=a,",
            "for=\"a\"",
            "for=\"a, \\\"b\"",
            "for=",
            "for=\"\"",
            "x=1; ",
        ] {
            let mut elements = Vec::new();
            assert_eq!(parse(line.as_bytes(), &mut elements), Ok(()), "{line}");
            let extended = format!("{line}, for=192.0.2.1;host=\"h:1\"");
            let mut more = Vec::new();
            assert_eq!(parse(extended.as_bytes(), &mut more), Ok(()), "{line}");
            let last = more.pop().unwrap();
            assert_eq!(more, elements, "{line}");
            assert_eq!(last.node.as_deref(), Some(&b"192.0.2.1"[..]));
            assert_eq!(last.host.as_deref(), Some(&b"h:1"[..]));
        }
    }

    #[test]
    fn nodes_are_addresses_with_or_without_port() {
        for (node, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("192.0.2.1:_abc", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("[2001:db8::1]:_p", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("unknown", None),
            ("_hidden", None),
            ("_hidden:80", None),
            ("unknown:_p", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:_", None),
            ("192.0.2.1:70000", None),
            ("[192.0.2.1", None),
            ("fe80::1%eth0", None),
            ("a.example", None),
            ("", None),
            ("\u{e9}", None),
        ] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(address(node.as_bytes()), expected, "{node}");
        }
    }
}
