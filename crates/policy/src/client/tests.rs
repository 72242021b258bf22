//! Table tests of what is found of a request's client.

use std::net::SocketAddr;

use waypost_plan::listener::Bind;
use waypost_plan::trusted_proxies::{ClientSource, TrustedProxies};
use waypost_wire::request::HeadLimits;
use waypost_wire::scan::HeadScan;

use super::*;

/// A listener in clear text that trusts 127.0.0.0/8, 10.0.0.0/8 and fd00::/8.
fn listener() -> Listener {
    let mut listener = Listener::new(Bind::tcp(([127, 0, 0, 1], 8080).into()));
    let trusted = ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"];
    listener.trusted_proxies = TrustedProxies::of(trusted.map(|network| network.parse().unwrap()).into());
    listener
}

/// Finds the client of a request of `peer` to `host`, with these further lines. Shows its address, its scheme, host and
/// port as `Forwarded` has them, the port in its URL, and the port in front.
fn find(listener: &Listener, peer: &str, host: &str, lines: &[&str]) -> Result<String, Failure> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let buffer = format!("GET / HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n").into_bytes();
    let end = HeadScan::default().advance(&buffer).unwrap().unwrap();
    let mut head = RequestHead::default();
    head.parse(&buffer, end, &HeadLimits::UNLIMITED).unwrap();
    let peer = Peer::in_clear(
        SocketAddr::new(peer.parse().unwrap(), 4711),
        "127.0.0.1:8080".parse().unwrap(),
    );
    let mut client = ClientSide::default();
    // What an earlier request left behind makes no difference.
    client.authority.extend_from_slice(b"stale:1");
    client.host.extend_from_slice(b"stale");
    client.lacks_port = true;
    client.find(listener, &peer, &head, &buffer)?;
    let (ip, scheme) = (client.ip(), client.scheme().as_str());
    let own = head.authority(&buffer).unwrap();
    let authority = String::from_utf8_lossy(client.authority().unwrap_or(own));
    let lacking = client
        .lacking_port()
        .map_or(String::new(), |port| format!("+{port}"));
    let url_port = client.url_port().map_or("-".to_owned(), |port| port.to_string());
    let port = client.port_in_front();
    let port = port.map_or("-".to_owned(), |port| port.to_string());
    Ok(format!("{ip} {scheme} {authority}{lacking} {url_port} {port}"))
}

/// Checks what is found behind a trusted proxy that names its client in one header.
fn check_one(source: ClientSource, lines: &[&str], expected: &str) {
    let mut listener = listener();
    listener.trusted_proxies.client = source;
    let found = find(&listener, "127.0.0.1", "a", lines);
    assert_eq!(found.as_deref(), Ok(expected), "{lines:?}");
    let found = find(&listener, "192.0.2.9", "a", lines);
    assert_eq!(found.as_deref(), Ok("192.0.2.9 http a - -"), "{lines:?}");
}

/// Checks what is found behind a trusted proxy.
fn check(host: &str, lines: &[&str], expected: &str) {
    let found = find(&listener(), "127.0.0.1", host, lines);
    assert_eq!(found.as_deref(), Ok(expected), "{lines:?}");
}

fn refuses(lines: &[&str], expected: Failure) {
    let found = find(&listener(), "127.0.0.1", "a", lines);
    assert_eq!(found, Err(expected), "{lines:?}");
}

#[test]
fn an_untrusted_peer_is_the_client() {
    let told = [
        "Forwarded: for=192.0.2.1;host=b;proto=https",
        "X-Forwarded-For: 192.0.2.2",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: b",
        "X-Forwarded-Port: 9",
        "X-Real-IP: 192.0.2.3",
        "Forwarded: \"",
    ];
    let found = find(&listener(), "192.0.2.9", "a:81", &told);
    assert_eq!(found.as_deref(), Ok("192.0.2.9 http a:81 81 -"));
    // A trusted proxy that says nothing speaks for itself.
    check("a:81", &[], "127.0.0.1 http a:81 81 -");
}

#[test]
fn each_family_names_the_client() {
    check("a", &["X-Forwarded-For: 192.0.2.1"], "192.0.2.1 http a - 80");
    check("a", &["X-Real-IP: 192.0.2.1"], "192.0.2.1 http a - 80");
    check("a", &["X-Real-IP: [2001:db8::1]:80"], "2001:db8::1 http a - 80");
    check("a", &["Forwarded: for=192.0.2.1"], "192.0.2.1 http a - 80");
    check(
        "a",
        &["Forwarded: for=\"[2001:db8::1]:4711\";proto=https;host=b.example"],
        "2001:db8::1 https b.example - 443",
    );
    check(
        "a",
        &["X-Forwarded-For: 192.0.2.1:80", "X-Forwarded-Proto: HTTPS"],
        "192.0.2.1 https a - 443",
    );
}

#[test]
fn lists_are_searched_from_the_right() {
    check(
        "a",
        &["X-Forwarded-For: 192.0.2.1, 192.0.2.2, 10.0.0.1"],
        "192.0.2.2 http a - 80",
    );
    check(
        "a",
        &["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 10.0.0.1,fd00::1"],
        "192.0.2.1 http a - 80",
    );
    check(
        "a",
        &[
            "Forwarded: for=192.0.2.1, for=192.0.2.2",
            "Forwarded: for=10.0.0.1",
        ],
        "192.0.2.2 http a - 80",
    );
    // The left-most proxy, where nothing else is named.
    check(
        "a",
        &["X-Forwarded-For: 10.0.0.2, 10.0.0.1"],
        "10.0.0.2 http a - 80",
    );
    // No address, no further search.
    for node in ["unknown", "_hidden", "\"_h:80\"", "", "a.example", "192.0.2.256"] {
        check(
            "a",
            &[&format!("Forwarded: for=192.0.2.1, for={node}, for=10.0.0.1")],
            "10.0.0.1 http a - 80",
        );
    }
    check(
        "a",
        &["X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.1"],
        "10.0.0.1 http a - 80",
    );
    check("a", &["X-Forwarded-For: unknown"], "127.0.0.1 http a - -");
}

#[test]
fn scheme_and_host_belong_to_the_hop_of_the_client() {
    check(
        "a",
        &[
            "Forwarded: for=192.0.2.9;proto=http;host=forged, for=192.0.2.1;proto=https;host=b, for=10.0.0.1;proto=http;host=c",
        ],
        "192.0.2.1 https b - 443",
    );
    check(
        "a",
        &[
            "X-Forwarded-For: 192.0.2.9, 192.0.2.1, 10.0.0.1",
            "X-Forwarded-Proto: http, https, http",
            "X-Forwarded-Host: forged, b, c",
            "X-Forwarded-Port: 1",
            "X-Forwarded-Port: 8443, 2",
        ],
        "192.0.2.1 https b+8443 8443 8443",
    );
    // A single value is that of the client's hop, however long the list of addresses is.
    check(
        "a",
        &[
            "X-Forwarded-For: 192.0.2.1, 10.0.0.2, 10.0.0.1",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: b, c",
        ],
        "192.0.2.1 https b - 443",
    );
    // The word of the peer, where only the peer is trusted.
    check(
        "a",
        &["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https, http"],
        "192.0.2.1 http a - 80",
    );
    check(
        "a",
        &["X-Forwarded-Proto: http, https"],
        "127.0.0.1 https a - 443",
    );
    // A node without an address is a client all the same.
    check(
        "a",
        &["Forwarded: for=unknown;proto=https;host=b"],
        "127.0.0.1 https b - 443",
    );
    check("a", &["Forwarded: proto=https;host=b"], "127.0.0.1 https b - 443");
}

#[test]
fn each_fact_is_of_the_first_family_that_states_it() {
    let both = [
        "X-Real-IP: 192.0.2.1",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: b",
        "X-Forwarded-Port: 8443",
    ];
    check(
        "a",
        &[&both[..], &["Forwarded: for=192.0.2.1;proto=http;host=c"]].concat(),
        "192.0.2.1 http c - 80",
    );
    check(
        "a",
        &[&both[..], &["Forwarded: for=192.0.2.1"]].concat(),
        "192.0.2.1 https b+8443 8443 8443",
    );
}

#[test]
fn invalid_values_count_as_none() {
    for proto in ["", "on", "ftp", "https://", "https http"] {
        check(
            "a",
            &[&format!("X-Forwarded-Proto: {proto}"), "X-Real-IP: 192.0.2.1"],
            "192.0.2.1 http a - 80",
        );
    }
    for host in ["", "b c", "b/c", "u@b", "b\";x", "b:99999", "\u{fc}.example"] {
        check(
            "a",
            &[&format!("X-Forwarded-Host: {host}"), "X-Real-IP: 192.0.2.1"],
            "192.0.2.1 http a - 80",
        );
    }
    for port in ["", "0", "65536", "+80", "80x", "000080"] {
        check(
            "a",
            &[&format!("X-Forwarded-Port: {port}"), "X-Real-IP: 192.0.2.1"],
            "192.0.2.1 http a - 80",
        );
    }
    check(
        "a",
        &[
            "Forwarded: for=192.0.2.1;proto=x;host=\"b/c\"",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: b",
        ],
        "192.0.2.1 https b - 443",
    );
    check("a", &["X-Forwarded-Proto: wss"], "127.0.0.1 https a - 443");
    check("a", &["X-Forwarded-Proto: ws"], "127.0.0.1 http a - 80");
}

#[test]
fn the_port_is_that_of_the_clients_url() {
    // The host's own port, and the one apart, in this order.
    check(
        "a:81",
        &["X-Forwarded-Host: B:8080"],
        "127.0.0.1 http B:8080 8080 8080",
    );
    check(
        "a:81",
        &["X-Forwarded-Host: b:8080", "X-Forwarded-Port: 9"],
        "127.0.0.1 http b:8080 8080 8080",
    );
    check(
        "a:81",
        &["X-Forwarded-Host: b", "X-Forwarded-Port: 9"],
        "127.0.0.1 http b+9 9 9",
    );
    check("a:81", &["X-Forwarded-Host: b"], "127.0.0.1 http b - 80");
    // The request's own host, but another port.
    check("a:81", &["X-Forwarded-Port: 9"], "127.0.0.1 http a+9 9 9");
    check("a", &["X-Forwarded-Port: 9"], "127.0.0.1 http a+9 9 9");
    check("a:9", &["X-Forwarded-Port: 9"], "127.0.0.1 http a:9 9 9");
    check(
        "[::1]:81",
        &["X-Forwarded-Port: 443", "X-Forwarded-Proto: https"],
        "127.0.0.1 https [::1] 443 443",
    );
    check(
        "a:81",
        &["X-Forwarded-Proto: https"],
        "127.0.0.1 https a:81 81 81",
    );
}

#[test]
fn families_that_name_different_clients_are_refused() {
    for lines in [
        ["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.2"],
        ["X-Forwarded-For: 192.0.2.1", "X-Real-IP: 192.0.2.2"],
        ["Forwarded: for=192.0.2.1", "X-Real-IP: 192.0.2.2"],
        ["X-Real-IP: 192.0.2.1", "X-Real-IP: 192.0.2.2"],
        [
            "X-Forwarded-For: 192.0.2.1, 10.0.0.1",
            "Forwarded: for=192.0.2.2, for=10.0.0.1",
        ],
    ] {
        refuses(&lines, Failure::ClientsDisagree);
    }
    // A family that ends at a proxy says less, not something else.
    for lines in [
        ["X-Forwarded-For: 192.0.2.1, 10.0.0.1", "X-Real-IP: 10.0.0.1"],
        ["X-Forwarded-For: 10.0.0.1", "X-Real-IP: 192.0.2.1"],
        ["X-Forwarded-For: 192.0.2.1", "Forwarded: for=10.0.0.1"],
        ["X-Forwarded-For: 192.0.2.1", "Forwarded: for=unknown"],
        ["X-Forwarded-For: 192.0.2.1", "X-Real-IP: unknown"],
        [
            "X-Forwarded-For: 192.0.2.9, 192.0.2.1",
            "Forwarded: for=192.0.2.8, for=\"192.0.2.1:80\"",
        ],
    ] {
        check("a", &lines, "192.0.2.1 http a - 80");
    }
}

#[test]
fn a_malformed_forwarded_is_refused() {
    for line in ["for=\"192.0.2.1", "for=192.0.2.1;for=192.0.2.2", "192.0.2.1"] {
        let lines = [&*format!("Forwarded: {line}"), "Forwarded: for=192.0.2.1"];
        refuses(&lines, Failure::ForwardedMalformed);
    }
}

#[test]
fn a_listener_knows_the_scheme_of_its_clients() {
    let mut listener = listener();
    listener.client_scheme = Some(Scheme::Https);
    let check = |peer: &str, host: &str, lines: &[&str], expected: &str| {
        let found = find(&listener, peer, host, lines);
        assert_eq!(found.as_deref(), Ok(expected), "{lines:?}");
    };
    check("192.0.2.9", "a", &[], "192.0.2.9 https a - 443");
    check("192.0.2.9", "a:8443", &[], "192.0.2.9 https a:8443 8443 8443");
    check("127.0.0.1", "a", &[], "127.0.0.1 https a - 443");
    check(
        "127.0.0.1",
        "a",
        &["X-Real-IP: 192.0.2.1"],
        "192.0.2.1 https a - 443",
    );
    check(
        "127.0.0.1",
        "a",
        &["X-Forwarded-Proto: http"],
        "127.0.0.1 http a - 80",
    );
}

#[test]
fn a_hop_is_counted_from_the_right() {
    let check = |hops: usize, lines: &[&str], expected: &str| {
        check_one(ClientSource::Hop(hops.try_into().unwrap()), lines, expected);
    };
    let list = [
        "X-Forwarded-For: 192.0.2.1, 192.0.2.2",
        "X-Forwarded-For: 10.0.0.1",
    ];
    check(1, &list, "10.0.0.1 http a - 80");
    check(2, &list, "192.0.2.2 http a - 80");
    check(3, &list, "192.0.2.1 http a - 80");
    // Beyond the list, and where there is no address: the peer.
    check(4, &list, "127.0.0.1 http a - -");
    check(1, &[], "127.0.0.1 http a - -");
    check(
        2,
        &["X-Forwarded-For: 192.0.2.1, unknown, 192.0.2.3"],
        "127.0.0.1 http a - -",
    );
    check(
        2,
        &["X-Forwarded-For: 192.0.2.1, , 192.0.2.3,"],
        "192.0.2.1 http a - 80",
    );
    check(
        2,
        &["X-Forwarded-For: [2001:db8::1]:80, 192.0.2.3:81"],
        "2001:db8::1 http a - 80",
    );
    // Scheme, host and port stand at the same place, or alone.
    check(
        2,
        &[
            list[0],
            list[1],
            "X-Forwarded-Proto: http, https, http",
            "X-Forwarded-Host: forged, b, c",
            "X-Forwarded-Port: 8443",
        ],
        "192.0.2.2 https b+8443 8443 8443",
    );
    check(
        9,
        &[
            list[0],
            "X-Forwarded-Proto: http, https",
            "X-Forwarded-Host: b, c",
        ],
        "127.0.0.1 https c - 443",
    );
    // All other families may be what the client sent.
    check(
        1,
        &[
            "X-Forwarded-For: 192.0.2.1",
            "Forwarded: for=192.0.2.8;proto=https;host=forged",
            "Forwarded: \"",
            "X-Real-IP: 192.0.2.9",
        ],
        "192.0.2.1 http a - 80",
    );
}

#[test]
fn a_header_has_exactly_one_address() {
    let check = |lines: &[&str], expected: &str| {
        check_one(ClientSource::Header("cf-connecting-ip".into()), lines, expected);
    };
    check(&["CF-Connecting-IP: 192.0.2.1"], "192.0.2.1 http a - 80");
    check(&["cf-connecting-ip: 2001:db8::1"], "2001:db8::1 http a - 80");
    check(&["cf-connecting-ip: ::ffff:192.0.2.1"], "192.0.2.1 http a - 80");
    // A proxy as a client, too.
    check(&["cf-connecting-ip: 10.0.0.1"], "10.0.0.1 http a - 80");
    for value in [
        "",
        "192.0.2.1, 192.0.2.2",
        "192.0.2.1 192.0.2.2",
        "unknown",
        "192.0.2",
        "192.0.2.1,",
    ] {
        check(&[&format!("cf-connecting-ip: {value}")], "127.0.0.1 http a - -");
    }
    check(
        &["cf-connecting-ip: 192.0.2.1", "cf-connecting-ip: 192.0.2.1"],
        "127.0.0.1 http a - -",
    );
    let told = [
        "X-Forwarded-For: 192.0.2.1, 192.0.2.2",
        "X-Forwarded-Proto: https, http",
        "X-Forwarded-Host: b, c",
        "X-Real-IP: 192.0.2.3",
        "Forwarded: for=192.0.2.4;host=d",
    ];
    check(&told, "127.0.0.1 http c - 80");
    // The rest is of the client's place in the list, if it is there.
    let first = [&["cf-connecting-ip: 192.0.2.1"], &told[..]].concat();
    check(&first, "192.0.2.1 https b - 443");
    let other = [&["cf-connecting-ip: 192.0.2.7"], &told[..]].concat();
    check(&other, "192.0.2.7 http c - 80");
}
