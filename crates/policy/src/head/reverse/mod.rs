//! The way back: a service's references to itself, in the client's terms.
//!
//! Behind a rewrite of prefix or host, a service sees other paths and another host than the client, and speaks of them in
//! `Location`, `Content-Location`, `Refresh` and `Set-Cookie`. Only exact and unambiguous cases are mapped:
//!
//! - A path that begins with the replacement, by whole segments, has the client's prefix in its place. Behind a stripped
//!   prefix, each path has the client's in front.
//! - A path that begins with the client's prefix already, and not by way of the replacement, stays: the service knows the
//!   prefix, by `x-forwarded-prefix` or its own configuration. With the replacement behind the prefix, as frameworks put
//!   it together, it is mapped. Both hold with the prefix of trusted proxies in front of the client's, too.
//! - A URL of the host that the service was sent, or of its endpoint, becomes one of the client's scheme and host. A URL of
//!   the host that the client itself asked for, or that its request names, is mapped only where its path is.
//! - `https` stays for a client of `http`, since a service that demands TLS would be asked in clear text again, for ever.
//!   A service that is itself asked over TLS says `https` of its own hosts in any case, so there it is the client's scheme.
//! - All else stays: other hosts, relative references, paths with dot segments or a backslash.

use waypost_plan::redirect::Scheme;
use waypost_plan::rewrite::Rewrite;
use waypost_plan::service::{Endpoint, EndpointScheme, SentHost};
use waypost_plan::value::Values;
use waypost_route::path::PathPattern;
use waypost_wire::authority::Authority;
use waypost_wire::write;

use crate::forwarded::append_prefix_in_front;
use crate::request::IncomingRequest;

/// The way back of one request, in memory that is reused for the next one.
#[derive(Debug, Default)]
pub struct WayBack {
    /// The prefix that the client sees, without trailing slash; empty for none.
    prefix: Vec<u8>,
    /// The prefix that the service sees in its place, likewise.
    replacement: Vec<u8>,
    /// True if these differ.
    moves_prefix: bool,
    /// The client's prefix behind that of trusted proxies, as their client sees it; empty if they took none off.
    outer_prefix: Vec<u8>,
    /// The client's scheme.
    scheme: Option<Scheme>,
    /// The host and port of the client's URL; empty for none.
    authority: Vec<u8>,
    /// The length of the host in it.
    host_bytes: usize,
    /// The port in it, which is not the scheme's default.
    port: Option<u16>,
    /// The `Host` of the request.
    asked: NamedHost,
    /// The `Host` that the service gets; none for its endpoint's.
    sent: NamedHost,
    /// The service's endpoint.
    endpoint: NamedHost,
    /// True if the endpoint is asked over TLS.
    uses_tls: bool,
}

/// A host in its normal form, and its port.
#[derive(Debug, Default)]
struct NamedHost {
    /// Empty for none.
    host: Vec<u8>,
    port: Option<u16>,
}

/// A reference's host, from the client's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The host that the client asked for.
    Own,
    /// A host that only the gateway knows.
    Internal,
}

impl WayBack {
    /// Finds the way back of `request`, whose path `pattern` covers. `filled_host` is the host that the rewrite gives where
    /// `values` are filled in. The endpoint is not known yet.
    pub(crate) fn find(
        &mut self,
        rewrite: &Rewrite,
        host: &SentHost,
        request: &IncomingRequest<'_>,
        pattern: &PathPattern,
        values: &dyn Values,
        filled_host: &[u8],
    ) {
        self.tidy(usize::MAX);
        let path = request.normalized.path();
        let options = request.listener.paths;
        let prefix = rewrite
            .path
            .replaced_prefix(path, pattern, options, values, &mut self.replacement);
        self.prefix.extend_from_slice(prefix.unwrap_or_default());
        self.moves_prefix = prefix.is_some() && self.prefix != self.replacement;
        append_prefix_in_front(
            request.normalized.client(),
            request.head,
            request.buffer,
            &mut self.outer_prefix,
        );
        if !self.outer_prefix.is_empty() {
            self.outer_prefix.extend_from_slice(&self.prefix);
        }
        let url = request.url();
        self.scheme = Some(url.scheme);
        self.authority.extend_from_slice(url.host.unwrap_or_default());
        self.host_bytes = self.authority.len();
        self.port = url.port.filter(|&port| port != url.scheme.default_port());
        if let Some(port) = self.port {
            self.authority.push(b':');
            write::decimal(&mut self.authority, port.into());
        }
        let rewritten = rewrite.host.as_ref().map(|host| match host.as_literal() {
            Some(host) => host.as_bytes(),
            None => filled_host,
        });
        let asked = request.head.authority(request.buffer).unwrap_or_default();
        self.asked.set(asked);
        let sent = match host {
            SentHost::Client => asked,
            SentHost::Endpoint => &[],
            SentHost::Named(name) => name.as_bytes(),
        };
        self.sent.set(rewritten.unwrap_or(sent));
    }

    /// Notes the endpoint that the request goes to.
    pub(crate) fn set_endpoint(&mut self, endpoint: &Endpoint) {
        self.endpoint.set(endpoint.authority.as_bytes());
        self.uses_tls = endpoint.scheme == EndpointScheme::Https;
    }

    /// Discards memory beyond `keep` bytes each.
    pub(crate) fn tidy(&mut self, keep: usize) {
        for bytes in [
            &mut self.prefix,
            &mut self.replacement,
            &mut self.outer_prefix,
            &mut self.authority,
            &mut self.asked.host,
            &mut self.sent.host,
            &mut self.endpoint.host,
        ] {
            bytes.clear();
            bytes.shrink_to(keep);
        }
    }

    /// The value of `x-forwarded-prefix`: the client's prefix, where the service sees another.
    pub(crate) fn forwarded_prefix(&self) -> Option<&[u8]> {
        (self.moves_prefix && !self.prefix.is_empty()).then_some(&self.prefix)
    }

    /// The value that the client gets in place of a service's; `None` if it stays. Cookies have their own
    /// [way](crate::head::cookies).
    pub(crate) fn map(&self, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            7 if is("refresh") => self.refresh(value),
            8 if is("location") => self.reference(value),
            16 if is("content-location") => self.reference(value),
            _ => None,
        }
    }

    /// Maps a URI reference (RFC 3986 §4.1).
    fn reference(&self, value: &[u8]) -> Option<Vec<u8>> {
        let begins = |start: &str| {
            let found = value.get(..start.len())?;
            let found = found.eq_ignore_ascii_case(start.as_bytes());
            found.then(|| &value[start.len()..])
        };
        let (scheme, rest) = if let Some(rest) = begins("http://") {
            (Some(Scheme::Http), rest)
        } else if let Some(rest) = begins("https://") {
            (Some(Scheme::Https), rest)
        } else if let Some(rest) = begins("//") {
            (None, rest)
        } else if value.first() == Some(&b'/') {
            return self.path(value);
        } else {
            return None;
        };
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
        let (authority, target) = rest.split_at(end.unwrap_or(rest.len()));
        let mut named = NamedHost::default();
        named.set(authority);
        let place = self.place_of(&named, scheme.or(self.scheme)?)?;
        let mapped = match target.first() {
            Some(b'/') => self.path(target),
            // An empty path is `/` (RFC 9110 §4.2.3).
            _ => self.path(&[b"/", target].concat()),
        };
        let target = match (place, &mapped) {
            (Place::Own, None) => return None,
            (_, Some(mapped)) => mapped,
            (Place::Internal, None) => target,
        };
        let mut out = Vec::new();
        if self.keeps_https(scheme, place) {
            let authority = match place {
                Place::Own if named.host == self.host() => authority,
                // The port of TLS beside a port of clear text is not known.
                _ if self.port.is_some() || self.authority.is_empty() => return None,
                _ => self.host(),
            };
            for part in [b"https://", authority, target] {
                out.extend_from_slice(part);
            }
            return Some(out);
        }
        if self.authority.is_empty() {
            // Nothing but the path, which must not begin with an authority then.
            if target.first() != Some(&b'/') {
                out.push(b'/');
            }
            out.extend_from_slice(target);
            return (!out.starts_with(b"//")).then_some(out);
        }
        if scheme.is_some() {
            out.extend_from_slice(self.scheme?.as_str().as_bytes());
            out.push(b':');
        }
        for part in [b"//", &self.authority[..], target] {
            out.extend_from_slice(part);
        }
        Some(out)
    }

    /// Returns true if a URL with this scheme stays one of `https`, though the client uses `http`.
    fn keeps_https(&self, scheme: Option<Scheme>, place: Place) -> bool {
        scheme == Some(Scheme::Https)
            && self.scheme == Some(Scheme::Http)
            && !(self.uses_tls && place == Place::Internal)
    }

    /// The place that a host stands for, in a URL with this scheme; `None` for another host.
    fn place_of(&self, named: &NamedHost, scheme: Scheme) -> Option<Place> {
        if named.host.is_empty() {
            return None;
        }
        let port_of = |named: &NamedHost| named.port.unwrap_or(scheme.default_port());
        let has_port_of = |known: &NamedHost| port_of(named) == port_of(known);
        let is = |known: &NamedHost| named.host == known.host && has_port_of(known);
        if is(&self.endpoint) {
            return Some(Place::Internal);
        }
        let is_host_of_client = named.host == self.host();
        if is_host_of_client && (self.is_port_of_client(named.port, scheme) || is(&self.asked)) {
            return Some(Place::Own);
        }
        // A server may add the port that it listens on to the name that it was sent. Where the client knows the name, the
        // port may be another server's.
        let adds_port = named.host == self.sent.host && has_port_of(&self.endpoint) && !is_host_of_client;
        if is(&self.sent) || adds_port {
            return Some(Place::Internal);
        }
        is(&self.asked).then_some(Place::Own)
    }

    /// Returns true for the port of the client's URL. The default ports of both schemes stand for each other.
    fn is_port_of_client(&self, port: Option<u16>, scheme: Scheme) -> bool {
        let is_default = port.is_none_or(|port| port == scheme.default_port());
        let own = self.port.or(self.scheme.map(Scheme::default_port));
        (is_default && self.port.is_none()) || Some(port.unwrap_or(scheme.default_port())) == own
    }

    /// Maps an absolute path, with its query and fragment.
    fn path(&self, target: &[u8]) -> Option<Vec<u8>> {
        let end = target.iter().position(|byte| matches!(byte, b'?' | b'#'));
        let (path, tail) = target.split_at(end.unwrap_or(target.len()));
        let (prefix, rest) = self.exchanged(path)?;
        let rest = match (prefix, rest) {
            (b"", b"") => b"/",
            (_, rest) => rest,
        };
        Some([prefix, rest, tail].concat())
    }

    /// The client's prefix for a service's path, and the rest of the path behind it; `None` if it is not mapped.
    fn exchanged<'p>(&'p self, path: &'p [u8]) -> Option<(&'p [u8], &'p [u8])> {
        if !self.moves_prefix || path.contains(&b'\\') || path.split(|&byte| byte == b'/').any(is_dots) {
            return None;
        }
        for prefix in [&self.outer_prefix[..], &self.prefix[..]] {
            if !prefix.is_empty()
                && let Some(rest) = behind(path, prefix)
                && behind(&self.replacement, prefix).is_none()
            {
                let rest = behind(rest, &self.replacement).filter(|_| !self.replacement.is_empty())?;
                return Some((prefix, rest));
            }
        }
        let rest = behind(path, &self.replacement)?;
        // Without a prefix in front, `//` would begin an authority.
        (!self.prefix.is_empty() || !rest.starts_with(b"//")).then_some((&self.prefix[..], rest))
    }

    /// Maps the URL of `Refresh`, as in `5; url=/login` or `5; /login`.
    fn refresh(&self, value: &[u8]) -> Option<Vec<u8>> {
        let after_blanks = |at: usize| {
            let blanks = value[at..].iter().position(|byte| !matches!(byte, b' ' | b'\t'));
            at + blanks.unwrap_or(value.len() - at)
        };
        let at = after_blanks(value.iter().position(|byte| matches!(byte, b';' | b','))? + 1);
        // Browsers do without `url=`.
        let behind_name = || {
            let name = value.get(at..at + 3)?;
            let at = after_blanks(at + name.len());
            let is_named = name.eq_ignore_ascii_case(b"url") && value.get(at) == Some(&b'=');
            is_named.then(|| after_blanks(at + 1))
        };
        let at = behind_name().unwrap_or(at);
        let (start, end) = match value.get(at)? {
            quote @ (b'"' | b'\'') => {
                let length = value[at + 1..].iter().position(|byte| byte == quote)?;
                (at + 1, at + 1 + length)
            }
            _ => (at, value.len()),
        };
        let mapped = self.reference(&value[start..end])?;
        Some([&value[..start], &mapped, &value[end..]].concat())
    }

    /// Maps the path of a cookie. `/` is the whole of the service, and so becomes the prefix alone.
    pub(crate) fn cookie_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        if path.first() != Some(&b'/') {
            return None;
        }
        let (prefix, rest) = self.exchanged(path)?;
        let rest: &[u8] = match rest {
            b"/" if self.replacement.is_empty() && !prefix.is_empty() => b"",
            b"" if prefix.is_empty() => b"/",
            rest => rest,
        };
        Some([prefix, rest].concat())
    }

    /// Returns true if a cookie's domain is a host of the service that the client does not know.
    pub(crate) fn is_internal_domain(&self, domain: &[u8]) -> bool {
        let mut named = NamedHost::default();
        named.set(domain.strip_prefix(b".").unwrap_or(domain));
        let NamedHost { host, port } = named;
        let is_known = host == self.host();
        !host.is_empty()
            && port.is_none()
            && !is_known
            && (host == self.sent.host || host == self.endpoint.host)
    }

    /// The domain of the client's cookies; `None` if its host is none, so that a cookie is for that host alone.
    pub(crate) fn cookie_domain(&self) -> Option<&[u8]> {
        let host = self.host();
        let is_address = host.starts_with(b"[")
            || std::str::from_utf8(host).is_ok_and(|host| host.parse::<std::net::Ipv4Addr>().is_ok());
        (!host.is_empty() && !is_address).then_some(host)
    }

    /// The host of the client's URL.
    fn host(&self) -> &[u8] {
        &self.authority[..self.host_bytes]
    }
}

impl NamedHost {
    /// Takes over an authority; none if it is not valid.
    fn set(&mut self, authority: &[u8]) {
        self.host.clear();
        self.port = None;
        if let Ok(parsed) = Authority::parse(authority) {
            parsed.normalize_into(&mut self.host);
            self.port = parsed.port;
        }
    }
}

/// The part of `path` behind `prefix`, which must end at the end of a segment.
fn behind<'p>(path: &'p [u8], prefix: &[u8]) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(prefix)?;
    matches!(rest.first(), None | Some(b'/')).then_some(rest)
}

/// Returns true for a dot segment, however it is written.
fn is_dots(segment: &[u8]) -> bool {
    let mut rest = segment.split(|&byte| byte == b';').next().unwrap_or_default();
    let mut dots = 0;
    loop {
        rest = match rest {
            [] => return dots == 1 || dots == 2,
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return false,
        };
        dots += 1;
    }
}

#[cfg(test)]
mod tests;
