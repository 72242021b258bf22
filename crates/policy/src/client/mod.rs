//! The client of a request, as one fact: its address, and the scheme, host and port that it used.
//!
//! They are the connection's own, or, behind a trusted proxy, those that the proxy names. They are found once for each
//! request, and all that speaks of the client takes them from here: conditions, redirects, cookies, headers for services,
//! the log and `explain`.
//!
//! # What a trusted proxy says
//!
//! Proxies speak three families of headers: `Forwarded`, `X-Forwarded-*` and `X-Real-IP`. Each of the four facts is that
//! of the first family, in this order, which states it validly; an invalid scheme, host or port counts as none.
//!
//! Each proxy adds the address of its own peer to a list, so a list is read from the right, up to the first address that
//! is not a trusted proxy's: what stands to the left of it was not written by one. A node that has no address, such as
//! `unknown`, ends the search too. Scheme, host and port are taken from the same place in their lists, since they belong to
//! the client's own hop; from the left-most where a list is shorter, as proxies mostly set them to a single value.
//!
//! A proxy that speaks one family may pass on what its client sent of another. So families that name different clients
//! are refused. An address that is a trusted proxy's is no contradiction: the family ends one hop earlier.
//!
//! Where the listener says that a certain entry of `X-Forwarded-For`, or a header of another name, has the client, that one
//! alone is read; all others may be what the client sent. Scheme, host and port are those of `X-Forwarded-*`, at the place
//! of the client in `X-Forwarded-For`. Without a client there, the peer is the client, and what it passes on of other
//! addresses ends here.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use waypost_plan::listener::Listener;
use waypost_plan::redirect::Scheme;
use waypost_plan::trusted_proxies::ClientSource;
use waypost_wire::authority::Authority;
use waypost_wire::field::{self, FieldKind};
use waypost_wire::forwarded::{self, Element};
use waypost_wire::request::RequestHead;

use crate::failure::Failure;
use crate::peer::Peer;
use crate::request_id;

/// The client's side of a request, in memory that is reused for the next one.
#[derive(Debug, Clone)]
pub struct ClientSide {
    /// The address of the client.
    ip: IpAddr,
    /// The scheme that it used.
    scheme: Scheme,
    /// The port in its URL; `None` if it has none.
    url_port: Option<u16>,
    /// The port that it connected to in front of this listener; `None` if it connected here.
    port_in_front: Option<u16>,
    /// Its host and port, as a trusted proxy names them; empty for the request's own.
    authority: Vec<u8>,
    /// The host in `authority`, in its normal form.
    host: Vec<u8>,
    /// True if `authority` lacks a port that is not the scheme's default.
    lacks_port: bool,
    /// The trust in the peer's headers.
    trust: Trust,
    /// The id of the request, as a trusted proxy gives it; empty for none.
    request_id: Vec<u8>,
}

/// The trust in what the peer says about its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// None: it is the client, or may be.
    Untrusted,
    /// Its headers are believed, but for those that name other addresses: it is the client.
    Unnamed,
    /// Its headers are believed. A list is continued if it names the client, else begun anew.
    Trusted {
        /// True if `Forwarded` names the client.
        forwarded: bool,
        /// True if `X-Forwarded-For` does.
        x_forwarded_for: bool,
    },
}

/// The result of a search along a list of addresses.
#[derive(Debug, Clone, Copy)]
struct Search {
    /// The last address that was written by a trusted proxy.
    client: Option<IpAddr>,
    /// The place where the search ended, counted from the right, from 1.
    place: usize,
}

/// The scheme, host and port of the client, as far as a trusted proxy names them.
struct Named<'a> {
    scheme: Option<Scheme>,
    authority: Option<Cow<'a, [u8]>>,
    port: Option<u16>,
}

impl Default for ClientSide {
    fn default() -> Self {
        Self {
            ip: Ipv4Addr::UNSPECIFIED.into(),
            scheme: Scheme::Http,
            url_port: None,
            port_in_front: None,
            authority: Vec::new(),
            host: Vec::new(),
            lacks_port: false,
            trust: Trust::Untrusted,
            request_id: Vec::new(),
        }
    }
}

impl ClientSide {
    /// Finds the client of a request.
    ///
    /// # Errors
    /// A trusted proxy contradicts itself, or its `Forwarded` is malformed. The client is its peer then.
    pub(crate) fn find(
        &mut self,
        listener: &Listener,
        peer: &Peer,
        head: &RequestHead,
        buffer: &[u8],
    ) -> Result<(), Failure> {
        self.ip = peer.ip();
        self.scheme = listener.client_scheme.unwrap_or(peer.scheme);
        self.url_port = head.port();
        self.port_in_front = None;
        self.authority.clear();
        self.host.clear();
        self.lacks_port = false;
        self.trust = Trust::Untrusted;
        self.request_id.clear();
        // TLS ends in front, if not here.
        let mut is_in_front = self.scheme != peer.scheme;
        if listener.trusts(peer.ip()) {
            self.take_id(head, buffer);
            let speaks = match &listener.trusted_proxies.client {
                ClientSource::Lists => self.believe(listener, head, buffer)?,
                source => self.believe_one(source, head, buffer),
            };
            is_in_front = speaks || is_in_front;
        }
        if is_in_front {
            self.port_in_front = Some(self.url_port.unwrap_or(self.scheme.default_port()));
        }
        Ok(())
    }

    /// Takes over the id that a trusted proxy gives the request, if it is sound.
    fn take_id(&mut self, head: &RequestHead, buffer: &[u8]) {
        let mut ids = lines(head, buffer, FieldKind::RequestId);
        if let (Some(id), None) = (ids.next(), ids.next())
            && request_id::is_valid(id)
        {
            self.request_id.extend_from_slice(id);
        }
    }

    /// Takes over what a trusted proxy says. Returns true if it speaks of a client of its own.
    #[inline(never)]
    fn believe(&mut self, listener: &Listener, head: &RequestHead, buffer: &[u8]) -> Result<bool, Failure> {
        self.trust = Trust::Trusted {
            forwarded: true,
            x_forwarded_for: true,
        };
        let mut elements = Vec::new();
        for line in lines(head, buffer, FieldKind::Forwarded) {
            forwarded::parse(line, &mut elements).map_err(|_| Failure::ForwardedMalformed)?;
        }
        let nodes = elements.iter().rev();
        let nodes = nodes.map(|element| element.node.as_deref().and_then(forwarded::address));
        let forwarded = Search::along(listener, nodes);
        let entries = list_from_right(head, buffer, FieldKind::XForwardedFor);
        let x_forwarded_for = Search::along(listener, entries.map(forwarded::address));
        let mut x_real_ip = lines(head, buffer, FieldKind::XRealIp).map(forwarded::address);
        let named = [forwarded.client, x_forwarded_for.client]
            .into_iter()
            .chain(&mut x_real_ip)
            .flatten();
        // A proxy is a client only where no family names another.
        let (mut client, mut proxy) = (None, None);
        for address in named {
            if listener.trusts(address) {
                proxy = proxy.or(Some(address));
            } else if client.replace(address).is_some_and(|other| other != address) {
                return Err(Failure::ClientsDisagree);
            }
        }
        let client = client.or(proxy);
        if let Some(client) = client {
            self.ip = client;
            self.trust = Trust::Trusted {
                forwarded: forwarded.client == Some(client),
                x_forwarded_for: x_forwarded_for.client == Some(client),
            };
        }
        let element = elements.len().checked_sub(forwarded.place);
        let element = element
            .and_then(|at| elements.get(at))
            .filter(|_| forwarded.place > 0);
        let named = Named::of(element, x_forwarded_for.place, head, buffer);
        self.take(&named, head, buffer);
        Ok(client.is_some() || named.says_something())
    }

    /// Takes over what a trusted proxy says, with the client from one header. Returns true if it speaks of a client of its
    /// own.
    #[inline(never)]
    fn believe_one(&mut self, source: &ClientSource, head: &RequestHead, buffer: &[u8]) -> bool {
        // An empty element counts for nothing (RFC 9110 §5.6.1).
        let entries = || {
            let entries = list_from_right(head, buffer, FieldKind::XForwardedFor);
            entries.filter(|entry| !entry.is_empty()).map(forwarded::address)
        };
        let (client, hop) = match source {
            ClientSource::Header(name) => {
                let client = only_address(name, head, buffer);
                let hop = client.and_then(|client| entries().position(|entry| entry == Some(client)));
                (client, hop.map(|hop| hop + 1))
            }
            ClientSource::Hop(hop) => (entries().nth(hop.get() - 1).flatten(), Some(hop.get())),
            ClientSource::Lists => (None, None),
        };
        self.trust = match client {
            Some(_) => Trust::Trusted {
                forwarded: false,
                x_forwarded_for: hop.is_some(),
            },
            None => Trust::Unnamed,
        };
        self.ip = client.unwrap_or(self.ip);
        let place = hop.filter(|_| client.is_some()).unwrap_or_default();
        let named = Named::of(None, place, head, buffer);
        self.take(&named, head, buffer);
        client.is_some() || named.says_something()
    }

    /// Takes over scheme, host and port.
    fn take(&mut self, named: &Named<'_>, head: &RequestHead, buffer: &[u8]) {
        self.scheme = named.scheme.unwrap_or(self.scheme);
        let own = head.authority(buffer).unwrap_or_default();
        let authority = match (&named.authority, named.port) {
            (Some(authority), _) => &authority[..],
            // The request's own port is another than the client's.
            (None, Some(port)) if self.url_port.is_some_and(|own| own != port) => own,
            _ => b"",
        };
        if let Ok(parsed) = Authority::parse(authority) {
            parsed.normalize_into(&mut self.host);
            let is_own = named.authority.is_none();
            self.authority
                .extend_from_slice(if is_own { parsed.host } else { authority });
            self.url_port = if is_own { None } else { parsed.port };
        }
        if let Some(port) = named.port {
            self.lacks_port = self.url_port.is_none() && port != self.scheme.default_port();
            self.url_port = self.url_port.or(Some(port));
        }
    }

    /// The client's address.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The scheme that the client used.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The port that the client connected to in front of this listener; `None` if it connected here.
    pub(crate) fn port_in_front(&self) -> Option<u16> {
        self.port_in_front
    }

    /// The port in the client's URL; `None` if it has none.
    pub(crate) fn url_port(&self) -> Option<u16> {
        self.url_port
    }

    /// The host in its normal form, as a trusted proxy names it; `None` for the request's own.
    pub(crate) fn host(&self) -> Option<&[u8]> {
        (!self.host.is_empty()).then_some(&self.host)
    }

    /// The host and port, as a trusted proxy names them; `None` for the request's own.
    pub(crate) fn authority(&self) -> Option<&[u8]> {
        (!self.authority.is_empty()).then_some(&self.authority)
    }

    /// A port that the authority lacks: it is neither in it nor the scheme's default.
    pub(crate) fn lacking_port(&self) -> Option<u16> {
        self.url_port.filter(|_| self.lacks_port)
    }

    /// The id of the request, as a trusted proxy gives it.
    pub fn request_id(&self) -> Option<&[u8]> {
        (!self.request_id.is_empty()).then_some(&self.request_id)
    }

    /// Forgets the last request, where the next one, of `peer`, cannot be read.
    pub(crate) fn forget(&mut self, peer: &Peer) {
        self.request_id.clear();
        self.authority.clear();
        self.host.clear();
        self.ip = peer.ip();
        self.scheme = peer.scheme;
        self.url_port = None;
    }

    /// The trust in the peer's headers.
    pub(crate) fn trust(&self) -> Trust {
        self.trust
    }
}

impl Trust {
    /// Returns true if the peer's headers are believed.
    pub(crate) fn is_given(self) -> bool {
        self != Self::Untrusted
    }

    /// Returns true if the client is the one that the peer names, or may name.
    pub(crate) fn names_client(self) -> bool {
        matches!(self, Self::Trusted { .. })
    }
}

impl Search {
    /// Searches from the right for the first address that is not a trusted proxy's.
    fn along(listener: &Listener, nodes: impl Iterator<Item = Option<IpAddr>>) -> Self {
        let mut search = Self {
            client: None,
            place: 0,
        };
        for node in nodes {
            search.place += 1;
            let Some(address) = node else { break };
            search.client = Some(address);
            if !listener.trusts(address) {
                break;
            }
        }
        search
    }
}

impl<'a> Named<'a> {
    fn says_something(&self) -> bool {
        self.scheme.is_some() || self.authority.is_some() || self.port.is_some()
    }

    /// Takes each value from the element of `Forwarded`, else from the element of `X-Forwarded-*` at this place.
    fn of(element: Option<&Element<'a>>, place: usize, head: &RequestHead, buffer: &'a [u8]) -> Self {
        let at = |kind| {
            let mut values = list_from_right(head, buffer, kind).take(place.max(1));
            let mut last = values.next()?;
            values.for_each(|value| last = value);
            Some(last)
        };
        let is_valid = |authority: &[u8]| Authority::parse(authority).is_ok();
        let forwarded_host = element.and_then(|element| element.host.clone());
        let forwarded_host = forwarded_host.filter(|host| is_valid(host));
        Self {
            scheme: element
                .and_then(|element| scheme(element.proto.as_deref()?))
                .or_else(|| scheme(at(FieldKind::XForwardedProto)?)),
            // A host without a port is one of the default port in `Forwarded`; other proxies name the port apart.
            port: match &forwarded_host {
                Some(_) => None,
                None => at(FieldKind::XForwardedPort).and_then(port),
            },
            authority: forwarded_host.or_else(|| {
                let host = at(FieldKind::XForwardedHost).filter(|host| is_valid(host));
                host.map(Cow::Borrowed)
            }),
        }
    }
}

fn lines<'a>(
    head: &RequestHead,
    buffer: &'a [u8],
    kind: FieldKind,
) -> impl DoubleEndedIterator<Item = &'a [u8]> {
    let fields = head.fields().iter().filter(move |field| field.kind == kind);
    fields.map(|field| field.value.of(buffer))
}

/// The address in the only line of a header; `None` if it has another number of lines or of addresses.
fn only_address(name: &str, head: &RequestHead, buffer: &[u8]) -> Option<IpAddr> {
    let mut lines = head.fields().iter().filter(|field| {
        let line = field.name.of(buffer);
        line.eq_ignore_ascii_case(name.as_bytes())
    });
    let line = lines.next()?;
    match lines.next() {
        Some(_) => None,
        None => forwarded::address(line.value.of(buffer)),
    }
}

/// The entries of a list header, from the right.
fn list_from_right<'a>(
    head: &RequestHead,
    buffer: &'a [u8],
    kind: FieldKind,
) -> impl Iterator<Item = &'a [u8]> {
    lines(head, buffer, kind)
        .rev()
        .flat_map(|line| line.rsplit(|&byte| byte == b',').map(field::trim_blanks))
}

/// The scheme of `http` or `https`; of `ws` and `wss` too, as Traefik writes them for WebSocket.
fn scheme(text: &[u8]) -> Option<Scheme> {
    let is = |known: &str| text.eq_ignore_ascii_case(known.as_bytes());
    if is("https") || is("wss") {
        Some(Scheme::Https)
    } else if is("http") || is("ws") {
        Some(Scheme::Http)
    } else {
        None
    }
}

/// A port from 1 to 65535.
fn port(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 5 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = text
        .iter()
        .fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'));
    u16::try_from(number).ok().filter(|&port| port > 0)
}

#[cfg(test)]
mod tests;
