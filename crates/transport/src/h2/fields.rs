//! Conversion of heads between HTTP/2 and the HTTP/1 format.
//!
//! A head received over HTTP/2 is written in HTTP/1 format and then parsed like any other, so HTTP/2 admits nothing
//! that HTTP/1 would reject. An outgoing head was written by the gateway itself; splitting it needs no further
//! validation.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri};
use memchr::{memchr, memchr_iter};
use waypost_wire::{token, write};

/// An outgoing head in HTTP/1 format, split into its parts.
struct Head<'a> {
    /// The start line, without its line ending.
    line: &'a [u8],
    /// The field lines.
    lines: &'a [u8],
    /// The number of field lines.
    count: usize,
    /// The length of the head, including the empty line.
    length: usize,
}

/// A request whose fields violate RFC 9113 §8.2; its stream is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The protocol upgrade requested by an extended CONNECT (RFC 8441).
#[derive(Debug, Clone, Copy)]
pub struct Upgrade<'a> {
    /// The value of `:protocol`.
    pub protocol: &'a str,
    /// Random bits for `sec-websocket-key`, which the HTTP/2 handshake does not have.
    pub key: [u64; 2],
}

impl<'a> Head<'a> {
    /// Splits the head at the start of `bytes`.
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

/// Appends the head of a request in HTTP/1 format. The body's length is that of `content-length`; without it, the body
/// ends with its stream. With `upgrade`, appends the equivalent HTTP/1 upgrade request.
///
/// # Errors
/// When a field value begins or ends with whitespace, the upgrade's protocol is not a token, or there is no path.
pub fn write_request(
    head: &http::request::Parts,
    upgrade: Option<Upgrade<'_>>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    // The protocol becomes a field value, and `h2` only checks that it is UTF-8.
    if upgrade.is_some_and(|upgrade| !token::is_token(upgrade.protocol.as_bytes())) {
        return Err(Malformed);
    }
    let authority = head.uri.authority().map(Authority::as_str);
    // Scanning all names is cheaper than a hash lookup.
    let has = |wanted: HeaderName| head.headers.keys().any(|name| *name == wanted);
    let (has_host, has_cookies) = (has(header::HOST), has(header::COOKIE));
    let target = match head.uri.path_and_query() {
        // Without `:path`, `h2` gives an empty path, which reads as `/`. With an authority, it refuses that itself.
        Some(path)
            if authority.is_none() && path.as_str() == "/" && *path != PathAndQuery::from_static("/") =>
        {
            return Err(Malformed);
        }
        Some(path) => path.as_str(),
        None => "/",
    };
    let method = if upgrade.is_some() {
        &Method::GET
    } else {
        &head.method
    };
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    match authority {
        Some(authority) if *method == Method::CONNECT => out.extend_from_slice(authority.as_bytes()),
        // An absolute target lets the parser check that `:authority` and `Host` agree, and that the scheme is HTTP's. A
        // target that is not a path is written as is; the parser rejects any but `OPTIONS *`.
        Some(authority) if target.starts_with('/') && (has_host || !is_http_scheme(head.uri.scheme())) => {
            out.extend_from_slice(head.uri.scheme_str().unwrap_or("http").as_bytes());
            out.extend_from_slice(b"://");
            out.extend_from_slice(authority.as_bytes());
            out.extend_from_slice(target.as_bytes());
        }
        _ => out.extend_from_slice(target.as_bytes()),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = authority
        && (!has_host || (target == "*" && !agree(authority, &head.headers)))
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
    if has_cookies {
        // RFC 9113 §8.2.3: cookie fields are joined with `; ` outside of HTTP/2.
        let mut separator: &[u8] = b"cookie: ";
        for cookie in head.headers.get_all(header::COOKIE) {
            out.extend_from_slice(separator);
            out.extend_from_slice(checked(cookie)?);
            separator = b"; ";
        }
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in &head.headers {
        // The gateway generates the key.
        let is_replaced = upgrade.is_some() && name == header::SEC_WEBSOCKET_KEY;
        if name != header::COOKIE && !is_replaced {
            write::field(out, name.as_str().as_bytes(), checked(value)?);
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Returns true if `:authority` and `Host` name the same host. Otherwise both are written, and the parser rejects two hosts.
fn agree(authority: &str, fields: &HeaderMap) -> bool {
    let normal = |authority: &[u8]| {
        let mut host = Vec::new();
        waypost_wire::authority::Authority::parse(authority)
            .ok()?
            .normalize_into(&mut host);
        Some(host)
    };
    let mut hosts = fields.get_all(header::HOST).iter();
    hosts.all(|host| normal(host.as_bytes()) == normal(authority.as_bytes()))
}

/// The length of a body that `fields` announce, which `h2` has checked.
pub(super) fn length(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_http_scheme(scheme: Option<&Scheme>) -> bool {
    scheme.is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS)
}

/// Returns the value's bytes, rejecting leading and trailing whitespace (RFC 9113 §8.2.1).
fn checked(value: &HeaderValue) -> Result<&[u8], Malformed> {
    let bytes = value.as_bytes();
    let is_whitespace = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if is_whitespace(bytes.first()) || is_whitespace(bytes.last()) {
        return Err(Malformed);
    }
    Ok(bytes)
}

/// Appends the head of a response in HTTP/1 format.
///
/// # Errors
/// When the status is 101, which HTTP/2 does not use (RFC 9113 §8.6).
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

/// Appends trailers as lines followed by an empty line; appends nothing if there are none.
pub(crate) fn write_trailers(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        write::field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    if !fields.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
}

/// Converts the request head at the start of `bytes`. Also returns its length.
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
        Ok(!is_host && !is_connection_specific(name))
    })?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_parts(uri).map_err(io::Error::other)?;
    *request.headers_mut() = fields;
    *request.version_mut() = http::Version::HTTP_2;
    Ok((request, head.length))
}

/// Percent-encodes bytes of a target that the HTTP/1 parser accepts but that are invalid in a URI.
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

/// Converts the response head at the start of `bytes`. Also returns its length.
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
        Ok(!is_connection_specific(name))
    })?;
    Ok((response, head.length))
}

/// Parses trailer lines.
pub(crate) fn trailers(lines: &[u8]) -> io::Result<HeaderMap> {
    let mut fields = HeaderMap::new();
    let count = memchr_iter(b'\n', lines).count();
    append_all(&mut fields, lines, count, |_, _| Ok(true))?;
    Ok(fields)
}

/// Splits the next field off `lines`. Returns its name and value.
fn next_field<'a>(lines: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let colon = memchr(b':', lines)?;
    let end = memchr(b'\r', &lines[colon..])? + colon;
    let (name, value) = (&lines[..colon], &lines[colon + 1..end]);
    *lines = lines.get(end + 2..).unwrap_or_default();
    Some((name, value.trim_ascii()))
}

/// Returns true for connection-specific fields, which HTTP/2 forbids (RFC 9113 §8.2.2).
fn is_connection_specific(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"transfer-encoding")
}

/// Appends the fields in `lines` for which `keep` returns true. `count` is the capacity to reserve.
fn append_all(
    fields: &mut HeaderMap,
    lines: &[u8],
    count: usize,
    mut keep: impl FnMut(&[u8], &[u8]) -> io::Result<bool>,
) -> io::Result<()> {
    fields.reserve(count);
    // The values are slices of one copy of the lines.
    let all = Bytes::copy_from_slice(lines);
    let mut lines = &all[..];
    while let Some((name, value)) = next_field(&mut lines) {
        if keep(name, value)? {
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
    fn authority_becomes_host() {
        let head = Request::get("https://a.b:1/c?d").header("x", "1");
        assert_eq!(
            written(head).unwrap(),
            "GET /c?d HTTP/1.1\r\nhost: a.b:1\r\nx: 1\r\n\r\n"
        );
    }

    #[test]
    fn authority_and_host_are_both_kept() {
        let head = Request::get("https://a.b/c").header("host", "d");
        assert_eq!(
            written(head).unwrap(),
            "GET https://a.b/c HTTP/1.1\r\nhost: d\r\n\r\n"
        );
    }

    #[test]
    fn target_of_the_server_is_kept() {
        let written = |authority: &str, host: Option<&str>| {
            let uri = http::Uri::builder()
                .scheme("https")
                .authority(authority)
                .path_and_query("*");
            let mut head = Request::options(uri.build().unwrap());
            if let Some(host) = host {
                head = head.header("host", host);
            }
            written(head).unwrap()
        };
        let expected = |host: &str| format!("OPTIONS * HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(written("a:1", None), expected("a:1"));
        assert_eq!(written("a:1", Some("A.")), expected("A."));
        assert_eq!(written("[::1]", Some("[0::1]:2")), expected("[0::1]:2"));
        // The parser rejects two hosts.
        assert_eq!(written("a", Some("b")), expected("a\r\nhost: b"));
    }

    #[test]
    fn other_scheme_is_kept() {
        let head = Request::get("ftp://a.b/c");
        assert_eq!(
            written(head).unwrap(),
            "GET ftp://a.b/c HTTP/1.1\r\nhost: a.b\r\n\r\n"
        );
    }

    #[test]
    fn extended_connect_becomes_an_upgrade_with_a_generated_key() {
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
    fn cookie_fields_are_joined() {
        let head = Request::get("/").header("cookie", "a=1").header("cookie", "b=2");
        assert_eq!(
            written(head).unwrap(),
            "GET / HTTP/1.1\r\ncookie: a=1; b=2\r\n\r\n"
        );
    }

    #[test]
    fn leading_or_trailing_whitespace_is_malformed() {
        for value in [" a", "a ", "\ta", " "] {
            assert_eq!(
                written(Request::get("/").header("x", value)),
                Err(Malformed),
                "{value:?}"
            );
        }
    }

    #[test]
    fn outgoing_heads_are_split() {
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
