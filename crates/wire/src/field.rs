//! Header fields: ranges of the receive buffer, and the kinds that a gateway handles specially.

/// A byte range of the buffer that a head was parsed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes of `buffer` in this range.
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..self.end as usize]
    }

    /// The range of `part`, which is a slice of `buffer`.
    pub(crate) fn within(buffer: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(buffer.as_ptr().addr());
        debug_assert!(start + part.len() <= buffer.len());
        Self {
            start: start as u32,
            end: (start + part.len()) as u32,
        }
    }
}

/// One header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name, a token.
    pub name: Span,
    /// The value, without surrounding blanks.
    pub value: Span,
    /// The kind of field that the name denotes.
    pub kind: FieldKind,
}

/// Fields that a gateway handles specially. Names are matched case-insensitively.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Any other field; it is forwarded.
    Other,
    /// `Host`.
    Host,
    /// `Content-Length`.
    ContentLength,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Connection`.
    Connection,
    /// `TE`, of which only `trailers` is forwarded.
    Te,
    /// `Upgrade`, forwarded only on routes that allow it.
    Upgrade,
    /// Hop-by-hop fields: `Keep-Alive`, `Proxy-Connection`, `HTTP2-Settings`, `Proxy-Authenticate`,
    /// `Proxy-Authorization`.
    HopByHop,
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `X-Forwarded-Proto`.
    XForwardedProto,
    /// `X-Forwarded-Host`.
    XForwardedHost,
    /// `X-Forwarded-Port`.
    XForwardedPort,
    /// `X-Forwarded-Prefix`.
    XForwardedPrefix,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Real-IP`.
    XRealIp,
    /// `X-Forwarded-Client-Cert`.
    XForwardedClientCert,
    /// Any other field by which a proxy tells of its client, or of the request that it got: `X-Forwarded-*`,
    /// `X-Original-*`, `X-Rewrite-*`, `X-Envoy-*`, and a closed list of names such as `True-Client-IP`. Servers believe
    /// them, so only a trusted proxy may send them.
    Forwarding,
    /// `X-Waypost-*`: the gateway's own.
    Waypost,
    /// `Expect`.
    Expect,
    /// `Authorization` or `Cookie`, which `Connection` must not nominate.
    Credentials,
    /// `Accept`.
    Accept,
    /// `Content-Type`.
    ContentType,
    /// `Date`, which is added to responses that lack it.
    Date,
    /// `X-Request-Id`, which is the gateway's own on listeners that say so.
    RequestId,
}

impl FieldKind {
    // Inlined, so that the common names are decided where lines are parsed; the rare ones are not.
    #[inline(always)]
    fn of(name: &[u8]) -> Self {
        // Length and first letter alone decide most of the fields that real clients send.
        let Some(first) = name.first() else {
            return Self::Other;
        };
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match (name.len(), first | 0x20) {
            (2, b't') if is("te") => Self::Te,
            (4, b'h') if is("host") => Self::Host,
            (4, b'd') if is("date") => Self::Date,
            (6, b'a') if is("accept") => Self::Accept,
            (6, b'c') if is("cookie") => Self::Credentials,
            (6, b'e') if is("expect") => Self::Expect,
            (7, b'u') if is("upgrade") => Self::Upgrade,
            (9, b'x') if is("x-real-ip") => Self::XRealIp,
            (9, b'f') if is("forwarded") => Self::Forwarded,
            (10, b'c') if is("connection") => Self::Connection,
            (10, b'k') if is("keep-alive") => Self::HopByHop,
            (12, b'c') if is("content-type") => Self::ContentType,
            (13, b'a') if is("authorization") => Self::Credentials,
            (14, b'c') if is("content-length") => Self::ContentLength,
            (14, b'h') if is("http2-settings") => Self::HopByHop,
            (15, b'x') if is("x-forwarded-for") => Self::XForwardedFor,
            (16, b'x') if is("x-forwarded-host") => Self::XForwardedHost,
            (16, b'x') if is("x-forwarded-port") => Self::XForwardedPort,
            (16, b'p') if is("proxy-connection") => Self::HopByHop,
            (17, b'x') if is("x-forwarded-proto") => Self::XForwardedProto,
            (17, b't') if is("transfer-encoding") => Self::TransferEncoding,
            (18, b'x') if is("x-forwarded-prefix") => Self::XForwardedPrefix,
            (18, b'p') if is("proxy-authenticate") => Self::HopByHop,
            (19, b'p') if is("proxy-authorization") => Self::HopByHop,
            (23, b'x') if is("x-forwarded-client-cert") => Self::XForwardedClientCert,
            (_, b'x') => Self::of_extension(name),
            (9.., b'c' | b'd' | b'f' | b'p' | b't' | b'w') => Self::of_client(name),
            _ => Self::Other,
        }
    }

    /// The kind of a field by which single proxies tell of their client, apart from those that begin with `x`.
    #[inline(never)]
    fn of_client(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            9 if is("client-ip") => Self::Forwarding,
            10 if is("cf-visitor") || is("fastly-ssl") => Self::Forwarding,
            13 if is("fly-client-ip") => Self::Forwarding,
            14 if is("true-client-ip") || is("cf-pseudo-ipv4") => Self::Forwarding,
            15 if is("front-end-https") || is("proxy-client-ip") => Self::Forwarding,
            16 if is("cf-connecting-ip") || is("do-connecting-ip") || is("fastly-client-ip") => {
                Self::Forwarding
            }
            18 if is("cf-connecting-ipv6") || is("wl-proxy-client-ip") => Self::Forwarding,
            25 if is("cloudfront-viewer-address") => Self::Forwarding,
            26 if is("cloudfront-forwarded-proto") => Self::Forwarding,
            _ => Self::Other,
        }
    }

    /// The kind of a field whose name begins with `x`, but for those of a kind of their own.
    #[inline(never)]
    fn of_extension(name: &[u8]) -> Self {
        let Some(third) = name.get(2) else {
            return Self::Other;
        };
        let begins = |prefix: &str| {
            let start = name.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let is_forwarding = match third | 0x20 {
            b'w' if begins("x-waypost-") => return Self::Waypost,
            b'a' => is("x-appengine-user-ip") || is("x-azure-clientip") || is("x-azure-socketip"),
            b'c' => is("x-client-ip") || is("x-cluster-client-ip"),
            b'e' => begins("x-envoy-"),
            b'f' => begins("x-forwarded-") || is("x-forwarded"),
            b'h' => is("x-http-host-override"),
            b'n' => is("x-nf-client-connection-ip"),
            b'o' => begins("x-original-") || is("x-originating-ip"),
            b'p' => is("x-proxyuser-ip"),
            b'r' if is("x-request-id") => return Self::RequestId,
            b'r' => begins("x-rewrite-") || is("x-remote-addr") || is("x-remote-ip"),
            b's' => is("x-scheme"),
            b'u' => is("x-url-scheme"),
            _ => false,
        };
        if is_forwarding {
            Self::Forwarding
        } else {
            Self::Other
        }
    }

    /// The kind of the field that servers take `name` for if they treat `_` like `-`, as those do that pass headers on
    /// as variables.
    pub fn of_dashed(name: &[u8]) -> Self {
        let dashed: Vec<u8> = name
            .iter()
            .map(|byte| if *byte == b'_' { b'-' } else { *byte })
            .collect();
        Self::of(&dashed)
    }

    /// Returns true for a field that does not simply travel from end to end: it ends at the gateway, is written by it, or is
    /// believed by servers.
    pub fn is_of_the_gateway(self) -> bool {
        !matches!(
            self,
            Self::Other
                | Self::Expect
                | Self::Credentials
                | Self::Accept
                | Self::ContentType
                | Self::Date
                | Self::RequestId
        )
    }

    /// Returns true if `Connection` may nominate the field as hop-by-hop.
    fn may_be_nominated(self, name: &[u8]) -> bool {
        match self {
            Self::Other => !name.eq_ignore_ascii_case(b"trailer"),
            Self::Expect
            | Self::Accept
            | Self::ContentType
            | Self::Date
            | Self::RequestId
            | Self::Te
            | Self::Upgrade
            | Self::HopByHop => true,
            _ => false,
        }
    }
}

/// Header fields that cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A malformed line: no colon, a blank in front of the colon, a folded line or a control character.
    #[error("a header line is malformed")]
    Malformed,
    /// More lines than the limit.
    #[error("there are too many header lines")]
    TooMany,
}

/// Fields parsed on the first attempt, without an allocation; ordinary requests have fewer.
const USUAL: usize = 32;

/// Parses the field lines of `head` from offset `from` to its end, including the empty line, into `fields`.
///
/// # Errors
/// A malformed line, or more than `fields_max` lines.
pub fn parse(head: &[u8], from: usize, fields_max: usize, fields: &mut Vec<Field>) -> Result<(), FieldError> {
    fields.clear();
    let lines = &head[from..];
    let mut usual = [httparse::EMPTY_HEADER; USUAL];
    match parse_lines(head, lines, &mut usual[..USUAL.min(fields_max)], fields) {
        Err(FieldError::TooMany) if fields_max > USUAL => {
            let mut many = vec![httparse::EMPTY_HEADER; fields_max];
            parse_lines(head, lines, &mut many, fields)
        }
        result => result,
    }
}

fn parse_lines<'b>(
    head: &'b [u8],
    lines: &'b [u8],
    space: &mut [httparse::Header<'b>],
    fields: &mut Vec<Field>,
) -> Result<(), FieldError> {
    let found = match httparse::parse_headers(lines, space) {
        Ok(httparse::Status::Complete((read, found))) if read == lines.len() => found,
        Err(httparse::Error::TooManyHeaders) => return Err(FieldError::TooMany),
        Ok(_) | Err(_) => return Err(FieldError::Malformed),
    };
    fields.extend(found.iter().map(|header| Field {
        name: Span::within(head, header.name.as_bytes()),
        value: Span::within(head, trim_blanks(header.value)),
        kind: FieldKind::of(header.name.as_bytes()),
    }));
    Ok(())
}

/// Returns `value` without surrounding spaces and tabs (RFC 9110 §5.6.3).
pub fn trim_blanks(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value
        .iter()
        .position(|byte| !is_blank(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !is_blank(byte))
        .map_or(start, |last| last + 1);
    &value[start..end]
}

/// The non-empty elements of a comma-separated list, trimmed (RFC 9110 §5.6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(trim_blanks)
        .filter(|element| !element.is_empty())
}

/// The options of a message's `Connection` lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionOptions {
    /// `close`.
    pub close: bool,
    /// `keep-alive`.
    pub keep_alive: bool,
    /// `upgrade`.
    pub upgrade: bool,
    /// Any option other than these and `te`: a field nominated as hop-by-hop.
    pub nominates: bool,
}

impl ConnectionOptions {
    /// Adds the options of one line.
    pub(crate) fn add(&mut self, value: &[u8]) {
        for option in list(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else if !option.eq_ignore_ascii_case(b"te") {
                self.nominates = true;
            }
        }
    }
}

/// Returns true if a `Connection` line among `fields` nominates `field` as hop-by-hop.
pub fn is_nominated(buffer: &[u8], fields: &[Field], field: &Field) -> bool {
    let name = field.name.of(buffer);
    field.kind.may_be_nominated(name)
        && fields
            .iter()
            .filter(|other| other.kind == FieldKind::Connection)
            .flat_map(|line| list(line.value.of(buffer)))
            .any(|option| option.eq_ignore_ascii_case(name))
}

/// Returns true if servers may take `name` for the header `known`: without case, and with `_` for `-`.
#[inline]
pub fn is_taken_for(name: &[u8], known: &str) -> bool {
    // Most names differ in length already.
    name.len() == known.len() && is_alike(name, known)
}

#[inline(never)]
fn is_alike(name: &[u8], known: &str) -> bool {
    let dashed = |byte: &u8| {
        if *byte == b'_' {
            b'-'
        } else {
            byte.to_ascii_lowercase()
        }
    };
    name.iter()
        .map(dashed)
        .eq(known.bytes().map(|byte| dashed(&byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarding_fields_are_told_by_family_and_name() {
        for name in [
            "X-Forwarded-Ssl",
            "x-forwarded-scheme",
            "x-forwarded-server",
            "x-forwarded-uri",
            "x-forwarded-method",
            "x-forwarded-by",
            "x-forwarded-",
            "x-forwarded",
            "X-Forwarded-Anything-Else",
            "X-Original-URL",
            "x-original-host",
            "x-original-forwarded-for",
            "X-Rewrite-URL",
            "X-Client-IP",
            "x-cluster-client-ip",
            "True-Client-IP",
            "CF-Connecting-IP",
            "cf-connecting-ipv6",
            "cf-pseudo-ipv4",
            "cf-visitor",
            "fastly-client-ip",
            "fastly-ssl",
            "fly-client-ip",
            "do-connecting-ip",
            "client-ip",
            "proxy-client-ip",
            "WL-Proxy-Client-IP",
            "front-end-https",
            "cloudfront-viewer-address",
            "cloudfront-forwarded-proto",
            "x-appengine-user-ip",
            "x-azure-clientip",
            "x-azure-socketip",
            "x-nf-client-connection-ip",
            "x-originating-ip",
            "x-proxyuser-ip",
            "x-remote-addr",
            "x-remote-ip",
            "x-scheme",
            "x-url-scheme",
            "x-http-host-override",
            "X-Envoy-External-Address",
            "x-envoy-internal",
            "x-envoy-original-path",
        ] {
            assert_eq!(FieldKind::of(name.as_bytes()), FieldKind::Forwarding, "{name}");
            let underscored = name.replace('-', "_");
            assert_eq!(
                FieldKind::of_dashed(underscored.as_bytes()),
                FieldKind::Forwarding
            );
        }
        for name in ["x-waypost-mirror", "X-Waypost-Anything", "x-waypost-"] {
            assert_eq!(FieldKind::of(name.as_bytes()), FieldKind::Waypost, "{name}");
        }
        for name in [
            "x",
            "x-",
            "x-f",
            "x-request-ids",
            "x-forwardedfor",
            "x-originals",
            "x-rewriter",
            "x-envoys",
            "x-waypost",
            "x-http-method-override",
            "x_forwarded_for",
            "x-forwarded_for",
            "client-id",
            "cf-ray",
            "cache-control",
            "from",
            "pragma",
            "via",
        ] {
            assert_eq!(FieldKind::of(name.as_bytes()), FieldKind::Other, "{name}");
        }
        assert_eq!(FieldKind::of(b"X-Request-ID"), FieldKind::RequestId);
    }

    #[test]
    fn fields_with_underscores_are_taken_for_those_with_dashes() {
        for (name, expected) in [
            ("x_forwarded_for", true),
            ("X_Forwarded-Proto", true),
            ("x_waypost_mirror", true),
            ("x_real_ip", true),
            ("content_length", true),
            ("transfer_encoding", true),
            ("content_type", false),
            ("x_request_id", false),
        ] {
            let kind = FieldKind::of_dashed(name.as_bytes());
            assert_eq!(kind.is_of_the_gateway(), expected, "{name}");
        }
    }
}
