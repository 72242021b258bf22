//! Heads of HTTP/2 as HTTP/1 writes them, and back.
//!
//! What comes from a peer is written down here and then read by the parser that reads every head, so that nothing is
//! let through that HTTP/1 would not say. What goes out was written by the gateway itself; taking it apart again needs
//! no second judgement.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri};
use memchr::{memchr, memchr_iter};
use waypost_wire::{token, write};

/// A head of the gateway's own, told apart.
struct Head<'a> {
    line: &'a [u8],
    /// The fields, a line each.
    lines: &'a [u8],
    /// How many they are.
    count: usize,
    /// The whole length, with the empty line.
    length: usize,
}

/// Why the fields of a request break RFC 9113 §8.2, so that its stream is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// What an extended CONNECT asks for (RFC 8441).
#[derive(Debug, Clone, Copy)]
pub struct Upgrade<'a> {
    /// The value of `:protocol`.
    pub protocol: &'a str,
    /// Random bits, for the key of a WebSocket's handshake, which HTTP/2 does not need.
    pub key: [u64; 2],
}

impl<'a> Head<'a> {
    /// The head that `bytes` begin with.
    fn split(bytes: &'a [u8]) -> io::Result<Self> {
        let mut ends = memchr_iter(b'\n', bytes).map(|at| at + 1);
        let fields_start = ends.next().ok_or(io::ErrorKind::InvalidData)?;
        let (mut start, mut count) = (fields_start, 0);
        for end in ends {
            if end - start <= b"\r\n".len() {
                return Ok(Self {
                    line: bytes[..fields_start].trim_ascii_end(),
                    lines: &bytes[fields_start..start],
                    count,
                    length: end,
                });
            }
            start = end;
            count += 1;
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Appends a request's head. The body's length is what `content-length` says; without it, the body ends with its
/// stream. With `upgrade`, it is the request of HTTP/1 that asks for the same.
///
/// # Errors
/// When a value begins or ends with a blank.
pub fn write_request(
    head: &http::request::Parts,
    upgrade: Option<Upgrade<'_>>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    // It becomes a value of a line, and the library has only looked whether it is UTF-8.
    if upgrade.is_some_and(|upgrade| !token::is_token(upgrade.protocol.as_bytes())) {
        return Err(Malformed);
    }
    let authority = head.uri.authority().map(Authority::as_str);
    // To look at all names takes less than to look one up.
    let has = |wanted: HeaderName| head.headers.keys().any(|name| *name == wanted);
    let (has_host, has_crumbs) = (has(header::HOST), has(header::COOKIE));
    let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let method = if upgrade.is_some() {
        &Method::GET
    } else {
        &head.method
    };
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    match authority {
        Some(authority) if *method == Method::CONNECT => out.extend_from_slice(authority.as_bytes()),
        // Both have to name the same host, as an absolute target and `Host` have to; and a scheme has to be one of HTTP.
        // What is no path is left to be refused as such.
        Some(authority) if target.starts_with('/') && (has_host || !is_of_http(head.uri.scheme())) => {
            out.extend_from_slice(head.uri.scheme_str().unwrap_or("http").as_bytes());
            out.extend_from_slice(b"://");
            out.extend_from_slice(authority.as_bytes());
            out.extend_from_slice(target.as_bytes());
        }
        _ => out.extend_from_slice(target.as_bytes()),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = authority
        && !has_host
    {
        write::field(out, b"host", authority.as_bytes());
    }
    if let Some(Upgrade { protocol, key }) = upgrade {
        out.extend_from_slice(b"connection: upgrade\r\n");
        write::field(out, b"upgrade", protocol.as_bytes());
        if protocol.eq_ignore_ascii_case("websocket") {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&key[0].to_be_bytes());
            bytes[8..].copy_from_slice(&key[1].to_be_bytes());
            write::field(out, b"sec-websocket-key", STANDARD.encode(bytes).as_bytes());
        }
    }
    if has_crumbs {
        // RFC 9113 §8.2.3: one line again, before anybody reads it who knows no crumbs.
        let mut before: &[u8] = b"cookie: ";
        for crumb in head.headers.get_all(header::COOKIE) {
            out.extend_from_slice(before);
            out.extend_from_slice(checked(crumb)?);
            before = b"; ";
        }
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in &head.headers {
        // The key of the handshake is the gateway's.
        let is_replaced = upgrade.is_some() && name == header::SEC_WEBSOCKET_KEY;
        if name != header::COOKIE && !is_replaced {
            write::field(out, name.as_str().as_bytes(), checked(value)?);
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn is_of_http(scheme: Option<&Scheme>) -> bool {
    scheme.is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS)
}

/// A value without blanks at its ends, which no value has (RFC 9113 §8.2.1).
fn checked(value: &HeaderValue) -> Result<&[u8], Malformed> {
    let bytes = value.as_bytes();
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if is_blank(bytes.first()) || is_blank(bytes.last()) {
        return Err(Malformed);
    }
    Ok(bytes)
}

/// Appends an answer's head.
///
/// # Errors
/// When the status is `101`, which HTTP/2 does not have.
pub(crate) fn write_response(status: StatusCode, fields: &HeaderMap, out: &mut Vec<u8>) -> io::Result<()> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(io::ErrorKind::InvalidData.into());
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(write::reason(status.as_u16()).as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in fields {
        write::field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Appends trailers as lines with an empty one behind them; nothing without any.
pub(crate) fn write_trailers(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        write::field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    if !fields.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
}

/// The request whose head `bytes` begin with, and how long that is.
pub(crate) fn request(bytes: &[u8], scheme: &str) -> io::Result<(Request<()>, usize)> {
    let head = Head::split(bytes)?;
    let mut words = head.line.split(|&byte| byte == b' ');
    let method = words.next().map(Method::from_bytes);
    let (Some(Ok(method)), Some(raw)) = (method, words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let target = PathAndQuery::try_from(raw)
        .or_else(|_| PathAndQuery::try_from(encoded(raw)))
        .map_err(io::Error::other)?;
    let mut fields = HeaderMap::new();
    let mut uri = http::uri::Parts::default();
    uri.path_and_query = Some(target);
    uri.scheme = Scheme::try_from(scheme).ok();
    append_all(&mut fields, head.lines, head.count, |name, value| {
        let is_host = name.eq_ignore_ascii_case(b"host");
        if is_host {
            uri.authority = Some(Authority::try_from(value).map_err(io::Error::other)?);
        }
        Ok(!is_host && !is_of_connection(name))
    })?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_parts(uri).map_err(io::Error::other)?;
    *request.headers_mut() = fields;
    *request.version_mut() = http::Version::HTTP_2;
    Ok((request, head.length))
}

/// A target whose query has bytes that HTTP/1 lets through, but that no URI has: they are percent-encoded.
fn encoded(target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len() * 2);
    for &byte in target {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'`' | b'^' | b'{' | b'|' | b'}') {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

/// The answer whose head `bytes` begin with, and how long that is.
pub(crate) fn response(bytes: &[u8]) -> io::Result<(Response<()>, usize)> {
    let head = Head::split(bytes)?;
    let status = head
        .line
        .split(|&byte| byte == b' ')
        .nth(1)
        .map(StatusCode::from_bytes);
    let Some(Ok(status)) = status else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut response = Response::new(());
    *response.status_mut() = status;
    append_all(response.headers_mut(), head.lines, head.count, |name, _| {
        Ok(!is_of_connection(name))
    })?;
    Ok((response, head.length))
}

/// Trailers out of their lines.
pub(crate) fn trailers(lines: &[u8]) -> io::Result<HeaderMap> {
    let mut fields = HeaderMap::new();
    let count = memchr_iter(b'\n', lines).count();
    append_all(&mut fields, lines, count, |_, _| Ok(true))?;
    Ok(fields)
}

fn next_field<'a>(lines: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let colon = memchr(b':', lines)?;
    let end = memchr(b'\r', &lines[colon..])? + colon;
    let (name, value) = (&lines[..colon], &lines[colon + 1..end]);
    *lines = lines.get(end + 2..).unwrap_or_default();
    Some((name, value.trim_ascii()))
}

/// Fields that HTTP/2 does not have (RFC 9113 §8.2.2).
fn is_of_connection(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"transfer-encoding")
}

/// Appends the fields that `lines` hold, `count` at most, as far as `keeps` says so of their names and values.
fn append_all(
    fields: &mut HeaderMap,
    lines: &[u8],
    count: usize,
    mut keeps: impl FnMut(&[u8], &[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    fields.reserve(count);
    // The values are parts of one copy, rather than a copy each.
    let all = Bytes::copy_from_slice(lines);
    let mut lines = &all[..];
    while let Some((name, value)) = next_field(&mut lines) {
        if keeps(name, value)? {
            let name = HeaderName::from_bytes(name).map_err(io::Error::other)?;
            let value = HeaderValue::from_maybe_shared(all.slice_ref(value)).map_err(io::Error::other)?;
            fields.try_append(name, value).map_err(io::Error::other)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(head: http::request::Builder) -> Result<String, Malformed> {
        let (head, ()) = head.body(()).unwrap().into_parts();
        let mut out = Vec::new();
        write_request(&head, None, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_authority_becomes_the_host() {
        let head = Request::get("https://a.b:1/c?d").header("x", "1");
        assert_eq!(
            written(head).unwrap(),
            "GET /c?d HTTP/1.1\r\nhost: a.b:1\r\nx: 1\r\n\r\n"
        );
    }

    #[test]
    fn an_authority_beside_a_host_is_left_to_be_compared() {
        let head = Request::get("https://a.b/c").header("host", "d");
        assert_eq!(
            written(head).unwrap(),
            "GET https://a.b/c HTTP/1.1\r\nhost: d\r\n\r\n"
        );
    }

    #[test]
    fn a_scheme_of_something_else_is_left_to_be_refused() {
        let head = Request::get("ftp://a.b/c");
        assert_eq!(
            written(head).unwrap(),
            "GET ftp://a.b/c HTTP/1.1\r\nhost: a.b\r\n\r\n"
        );
    }

    #[test]
    fn an_upgrade_is_asked_for_with_a_key_of_the_gateways() {
        let upgraded = |protocol| {
            let head = Request::builder()
                .method("CONNECT")
                .uri("https://a/ws")
                .header("sec-websocket-key", "theirs")
                .header("x", "1");
            let (head, ()) = head.body(()).unwrap().into_parts();
            let mut out = Vec::new();
            write_request(
                &head,
                Some(Upgrade {
                    protocol,
                    key: [0, 1],
                }),
                &mut out,
            )?;
            Ok(String::from_utf8(out).unwrap())
        };
        assert_eq!(
            upgraded("websocket"),
            Ok("GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAQ==\r\nx: 1\r\n\r\n".to_owned())
        );
        for protocol in ["", "websocket\r\nx-evil: 1", "a b", "websocket\r\n\r\n"] {
            assert_eq!(upgraded(protocol), Err(Malformed), "{protocol:?}");
        }
    }

    #[test]
    fn crumbs_become_one_cookie() {
        let head = Request::get("/").header("cookie", "a=1").header("cookie", "b=2");
        assert_eq!(
            written(head).unwrap(),
            "GET / HTTP/1.1\r\ncookie: a=1; b=2\r\n\r\n"
        );
    }

    #[test]
    fn blanks_at_the_ends_of_a_value_are_malformed() {
        for value in [" a", "a ", "\ta", " "] {
            assert_eq!(
                written(Request::get("/").header("x", value)),
                Err(Malformed),
                "{value:?}"
            );
        }
    }

    #[test]
    fn a_head_of_ours_is_taken_apart() {
        let bytes =
            b"PUT /a?b HTTP/1.1\r\nHost: h:1\r\nTE: trailers\r\nconnection: te\r\nx: \r\ny: 1:2\r\n\r\nbody";
        let (request, length) = request(bytes, "https").unwrap();
        assert_eq!(&bytes[length..], b"body");
        assert_eq!(request.uri(), "https://h:1/a?b");
        let fields: Vec<_> = request.headers().iter().collect();
        assert_eq!(fields.len(), 3);
        assert_eq!(
            (&request.headers()["te"], &request.headers()["y"]),
            (
                &HeaderValue::from_static("trailers"),
                &HeaderValue::from_static("1:2")
            )
        );
        let (odd, _) = super::request(b"GET /a?b=\xff<\"> HTTP/1.1\r\nHost: h\r\n\r\n", "http").unwrap();
        assert_eq!(odd.uri().query(), Some("b=%FF%3C%22%3E"));
        let (response, length) = response(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert_eq!((response.status().as_u16(), length), (204, 27));
    }
}
