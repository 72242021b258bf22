//! The way back: a service's references to itself, in the client's terms.
//!
//! Behind a rewrite of prefix or host, a service sees other paths and another host than the client, and speaks of them in
//! `Location`, `Content-Location`, `Refresh` and `Set-Cookie`. Only exact and unambiguous cases are mapped:
//!
//! - A path that begins with the replacement, by whole segments, has the client's prefix in its place. Behind a stripped
//!   prefix, each path has the client's in front.
//! - A path that begins with the client's prefix already, and not by way of the replacement, stays: the service knows the
//!   prefix, by `x-forwarded-prefix` or its own configuration. With the replacement behind the prefix, as frameworks put
//!   it together, it is mapped.
//! - A URL of the host that the service was sent, or of its endpoint, becomes one of the client's scheme and host. A URL of
//!   the host that the client itself asked for is mapped only where its path is.
//! - All else stays: other hosts, relative references, paths with dot segments or a backslash.

use waypost_plan::redirect::Scheme;
use waypost_plan::rewrite::Rewrite;
use waypost_route::path::PathPattern;
use waypost_wire::authority::Authority;
use waypost_wire::field::trim_blanks;
use waypost_wire::write;

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
    /// The client's scheme.
    scheme: Option<Scheme>,
    /// The host and port of the client's URL; empty for none.
    authority: Vec<u8>,
    /// The length of the host in it.
    host_bytes: usize,
    /// The `Host` that the service gets; none for its endpoint's.
    sent: NamedHost,
    /// The service's endpoint.
    endpoint: NamedHost,
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
    /// Finds the way back of `request`, whose path `pattern` covers. The endpoint is not known yet.
    pub(crate) fn find(&mut self, rewrite: &Rewrite, request: &IncomingRequest<'_>, pattern: &PathPattern) {
        self.tidy(usize::MAX);
        let path = request.normalized.path();
        let options = request.listener.paths;
        let prefix = rewrite
            .path
            .replaced_prefix(path, pattern, options, &mut self.replacement);
        self.prefix.extend_from_slice(prefix.unwrap_or_default());
        self.moves_prefix = prefix.is_some() && self.prefix != self.replacement;
        let url = request.url();
        self.scheme = Some(url.scheme);
        self.authority.extend_from_slice(url.host.unwrap_or_default());
        self.host_bytes = self.authority.len();
        if let Some(port) = url.port.filter(|&port| port != url.scheme.default_port()) {
            self.authority.push(b':');
            write::decimal(&mut self.authority, port.into());
        }
        let rewritten = rewrite.host.as_deref().map(str::as_bytes);
        let sent = rewritten.or_else(|| request.head.authority(request.buffer));
        self.sent.set(sent.unwrap_or_default());
    }

    /// Notes the authority of the endpoint that the request goes to.
    pub fn set_endpoint(&mut self, authority: &[u8]) {
        self.endpoint.set(authority);
    }

    /// Discards memory beyond `keep` bytes each.
    pub(crate) fn tidy(&mut self, keep: usize) {
        for bytes in [
            &mut self.prefix,
            &mut self.replacement,
            &mut self.authority,
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

    /// The value that the client gets in place of a service's; `None` if it stays.
    pub(crate) fn map(&self, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            7 if is("refresh") => self.refresh(value),
            8 if is("location") => self.reference(value),
            10 if is("set-cookie") => self.set_cookie(value),
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
        let place = self.place_of(authority, scheme.or(self.scheme)?)?;
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

    /// The place that an authority stands for; `None` for another host.
    fn place_of(&self, authority: &[u8], scheme: Scheme) -> Option<Place> {
        let mut named = NamedHost::default();
        named.set(authority);
        if named.host.is_empty() {
            return None;
        }
        let port_of = |named: &NamedHost| named.port.unwrap_or(scheme.default_port());
        let is_port_of_endpoint = port_of(&named) == port_of(&self.endpoint);
        if named.host == self.endpoint.host && is_port_of_endpoint {
            return Some(Place::Internal);
        }
        if named.host != self.sent.host {
            return None;
        }
        let is_own = named.host == self.host();
        if port_of(&named) == port_of(&self.sent) {
            return Some(if is_own { Place::Own } else { Place::Internal });
        }
        // A server may add the port that it listens on to the name that it was sent. Where the client knows the name, the
        // port may be another server's.
        (is_port_of_endpoint && !is_own).then_some(Place::Internal)
    }

    /// Maps an absolute path, with its query and fragment.
    fn path(&self, target: &[u8]) -> Option<Vec<u8>> {
        let end = target.iter().position(|byte| matches!(byte, b'?' | b'#'));
        let (path, tail) = target.split_at(end.unwrap_or(target.len()));
        let rest = self.behind_replacement(path)?;
        let rest = match (&self.prefix[..], rest) {
            (b"", b"") => b"/",
            (_, rest) => rest,
        };
        Some([&self.prefix, rest, tail].concat())
    }

    /// The rest of a service's path behind the replacement; `None` if it is not mapped.
    fn behind_replacement<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        if !self.moves_prefix || path.contains(&b'\\') || path.split(|&byte| byte == b'/').any(is_dots) {
            return None;
        }
        if !self.prefix.is_empty()
            && let Some(rest) = behind(path, &self.prefix)
            && behind(&self.replacement, &self.prefix).is_none()
        {
            return behind(rest, &self.replacement).filter(|_| !self.replacement.is_empty());
        }
        let rest = behind(path, &self.replacement)?;
        // Without a prefix in front, `//` would begin an authority.
        (!self.prefix.is_empty() || !rest.starts_with(b"//")).then_some(rest)
    }

    /// Maps the URL of `Refresh`, as in `5; url=/login`.
    fn refresh(&self, value: &[u8]) -> Option<Vec<u8>> {
        let after_blanks = |at: usize| {
            let blanks = value[at..].iter().position(|byte| !matches!(byte, b' ' | b'\t'));
            at + blanks.unwrap_or(value.len() - at)
        };
        let at = value.iter().position(|byte| matches!(byte, b';' | b','))? + 1;
        let at = after_blanks(at);
        if !value.get(at..at + 3)?.eq_ignore_ascii_case(b"url") {
            return None;
        }
        let at = after_blanks(at + 3);
        if value.get(at) != Some(&b'=') {
            return None;
        }
        let at = after_blanks(at + 1);
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

    /// Maps `Path` and `Domain` of a cookie; all other attributes stay byte for byte.
    fn set_cookie(&self, value: &[u8]) -> Option<Vec<u8>> {
        let mut parts = value.split(|&byte| byte == b';');
        let pair = parts.next()?;
        // Browsers refuse such a cookie with any path but `/`.
        if trim_blanks(pair)
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"__host-"))
        {
            return None;
        }
        let mut out = pair.to_vec();
        let mut is_changed = false;
        for part in parts {
            let name_end = part.iter().position(|&byte| byte == b'=').unwrap_or(part.len());
            let name = trim_blanks(&part[..name_end]);
            let written = part.get(name_end + 1..).unwrap_or_default();
            let attribute = trim_blanks(written);
            let mapped = if name.eq_ignore_ascii_case(b"path") {
                self.cookie_path(attribute)
            } else if name.eq_ignore_ascii_case(b"domain") && self.is_internal_domain(attribute) {
                is_changed = true;
                match self.cookie_domain() {
                    Some(domain) => Some(domain.to_vec()),
                    None => continue,
                }
            } else {
                None
            };
            out.push(b';');
            if let Some(mapped) = mapped {
                is_changed = true;
                let blanks = written
                    .iter()
                    .take_while(|byte| matches!(byte, b' ' | b'\t'))
                    .count();
                let start = name_end + 1 + blanks;
                for piece in [&part[..start], &mapped, &part[start + attribute.len()..]] {
                    out.extend_from_slice(piece);
                }
            } else {
                out.extend_from_slice(part);
            }
        }
        is_changed.then_some(out)
    }

    /// Maps the path of a cookie. `/` is the whole of the service, and so becomes the prefix alone.
    fn cookie_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        if path.first() != Some(&b'/') {
            return None;
        }
        let rest: &[u8] = match self.behind_replacement(path)? {
            b"/" if self.replacement.is_empty() && !self.prefix.is_empty() => b"",
            b"" if self.prefix.is_empty() => b"/",
            rest => rest,
        };
        Some([&self.prefix, rest].concat())
    }

    /// Returns true if a cookie's domain is a host of the service that the client does not know.
    fn is_internal_domain(&self, domain: &[u8]) -> bool {
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
    fn cookie_domain(&self) -> Option<&[u8]> {
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
