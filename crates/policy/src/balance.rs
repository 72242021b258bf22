//! The value of a request by which a service keeps it at one endpoint.

use std::io::Write as _;

use waypost_plan::balance::HashKey;
use waypost_route::cookie;
use waypost_route::request::Request;

use crate::peer::Peer;

/// The value of a request; `None` without one, or with an empty one. `scratch` is overwritten.
pub fn value<'s>(key: &HashKey, request: &Request<'_>, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
    let value = match key {
        HashKey::Header(name) => request.header(name, scratch)?,
        HashKey::Cookie(name) => cookie::find(request.headers, name, scratch)?,
        HashKey::ClientIp if request.client_ip.is_unspecified() => return None,
        HashKey::ClientIp => {
            scratch.clear();
            // Writing to a Vec cannot fail.
            let _ = write!(scratch, "{}", request.client_ip);
            scratch
        }
        HashKey::Path => {
            scratch.clear();
            scratch.extend_from_slice(request.path);
            scratch
        }
    };
    (!value.is_empty()).then_some(value)
}

/// The value of a TLS connection that is passed through: it has none but its client's address.
pub fn connection_value<'p>(key: &HashKey, peer: &'p Peer) -> Option<&'p [u8]> {
    match key {
        HashKey::ClientIp => (!peer.is_unaddressed()).then_some(peer.ip_text().as_bytes()),
        HashKey::Header(_) | HashKey::Cookie(_) | HashKey::Path => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &HashKey, headers: &[(&str, &str)], expected: Option<&str>) {
        let headers: Vec<(String, Vec<u8>)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        let request = Request {
            host: Some(b"a.example"),
            path: b"/orders/7",
            query: Some(b"page=2"),
            method: b"GET",
            client_ip: [10, 0, 0, 7].into(),
            headers: &headers,
            attributes: &waypost_route::attribute::NoAttributes,
        };
        let mut scratch = b"before".to_vec();
        let found = value(key, &request, &mut scratch);
        assert_eq!(found, expected.map(str::as_bytes), "{key:?} {headers:?}");
    }

    #[test]
    fn header_cookie_address_or_path_is_the_value() {
        let header = HashKey::Header("x-user".into());
        check(&header, &[("X-User", " 7 ")], Some("7"));
        check(&header, &[("x-user", "7"), ("x-user", "8")], Some("7, 8"));
        check(&header, &[("x-user", "")], None);
        check(&header, &[("x-other", "7")], None);
        let cookie = HashKey::Cookie("sid".into());
        check(&cookie, &[("cookie", "a=b; sid=7; sid=8")], Some("7"));
        check(&cookie, &[("cookie", "sid=")], None);
        check(&cookie, &[], None);
        check(&HashKey::ClientIp, &[], Some("10.0.0.7"));
        check(&HashKey::Path, &[], Some("/orders/7"));
    }

    #[test]
    fn a_passed_through_connection_has_the_address_of_its_client_alone() {
        let address = "[2001:db8::7]:1234".parse().unwrap();
        let peer = Peer::in_clear(address, address);
        let value = connection_value(&HashKey::ClientIp, &peer);
        assert_eq!(value, Some(&b"2001:db8::7"[..]));
        for key in [
            HashKey::Path,
            HashKey::Header("a".into()),
            HashKey::Cookie("a".into()),
        ] {
            assert_eq!(connection_value(&key, &peer), None);
        }
    }
}
