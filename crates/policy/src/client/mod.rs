//! The client of a request: the peer of its connection, or the client of a trusted proxy in front.

use std::net::{IpAddr, SocketAddr};

use waypost_plan::listener::Listener;
use waypost_plan::redirect::Scheme;
use waypost_wire::field::{self, FieldKind};
use waypost_wire::request::RequestHead;

use crate::peer::Peer;

/// The client's address: the peer's, or, behind a trusted proxy, the right-most address of `X-Forwarded-For` that is not a
/// trusted proxy itself.
///
/// An entry that is not an address ends the search: entries to its left were not written by a trusted proxy.
pub fn ip(listener: &Listener, peer: IpAddr, head: &RequestHead, buffer: &[u8]) -> IpAddr {
    if !listener.trusts(peer) {
        return peer;
    }
    let mut client = peer;
    let lines = head
        .fields()
        .iter()
        .rev()
        .filter(|field| field.kind == FieldKind::XForwardedFor);
    for line in lines {
        for entry in line
            .value
            .of(buffer)
            .rsplit(|&byte| byte == b',')
            .map(field::trim_blanks)
        {
            let Some(address) = parse_entry(entry) else {
                return client;
            };
            client = address;
            if !listener.trusts(address) {
                return client;
            }
        }
    }
    client
}

/// Returns true if the client itself uses TLS: on this connection, or according to a trusted proxy in front.
pub fn uses_tls(listener: &Listener, peer: &Peer, head: &RequestHead, buffer: &[u8]) -> bool {
    let forwarded = head
        .fields()
        .iter()
        .find(|field| field.kind == FieldKind::XForwardedProto);
    match forwarded.filter(|_| listener.trusts(peer.ip())) {
        Some(field) => field.value.of(buffer).eq_ignore_ascii_case(b"https"),
        None => peer.scheme == Scheme::Https,
    }
}

/// `192.0.2.1`, `2001:db8::1`, or either with a port.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare
        .parse()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}
