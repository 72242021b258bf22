//! The PROXY protocol, from clients and to services.

use crate::support::client::Client;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::{Service, ok};

const HEADER: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

fn gateway(service: &Service, keys: &str) -> Gateway {
    Gateway::with(Config::listening(&[keys]).all_to(service))
}

/// A version 2 header for the same client.
fn binary() -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    bytes.extend([192, 0, 2, 7, 198, 51, 100, 1]);
    bytes.extend(4711_u16.to_be_bytes());
    bytes.extend(443_u16.to_be_bytes());
    bytes
}

#[test]
fn header_from_a_trusted_proxy_sets_the_client() {
    let service = Service::echo("a");
    for mode in ["required", "optional"] {
        let gateway = gateway(
            &service,
            &format!("proxy_protocol: {mode}, trusted_proxies: [127.0.0.1]"),
        );
        for header in [HEADER.as_bytes().to_vec(), binary()] {
            let response = gateway.ask([&header, GET.as_bytes()].concat());
            let headers = response.json()["headers"].to_string();
            for told in [
                r#"["x-forwarded-for","192.0.2.7"]"#,
                r#"["x-real-ip","192.0.2.7"]"#,
            ] {
                assert!(headers.contains(told), "{told} in {headers}");
            }
            // Byte by byte.
            let mut client = gateway.connect();
            for byte in &header {
                client.send([*byte]);
            }
            assert_eq!(client.ask(GET).status(), 200);
        }
        // UNKNOWN: the client is the proxy itself.
        let response = gateway.ask(format!("PROXY UNKNOWN\r\n{GET}"));
        assert!(
            response.text().contains(r#"["x-real-ip","127.0.0.1"]"#),
            "{}",
            response.text()
        );
    }
}

#[test]
fn header_from_other_peers_refused() {
    let service = Service::echo("a");
    let closed = |client: &mut Client| client.try_response().is_none();
    let required = gateway(&service, "proxy_protocol: required, trusted_proxies: [127.0.0.1]");
    assert!(closed(required.connect().send(GET)), "no header");
    for bad in [
        "PROXY TCP4 x y 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n",
        "PROXY \r\n",
    ] {
        assert!(closed(required.connect().send(format!("{bad}{GET}"))), "{bad:?}");
    }
    let optional = gateway(&service, "proxy_protocol: optional, trusted_proxies: [127.0.0.1]");
    assert_eq!(optional.ask(GET).status(), 200);
    let far = gateway(
        &service,
        "proxy_protocol: required, trusted_proxies: [192.0.2.0/24]",
    );
    assert!(
        closed(far.connect().send(format!("{HEADER}{GET}"))),
        "an untrusted peer"
    );
    // Without `proxy_protocol`, a header is a malformed request.
    for keys in [
        "proxy_protocol: optional, trusted_proxies: [192.0.2.0/24]",
        "name: plain",
    ] {
        let gateway = gateway(&service, keys);
        assert_eq!(gateway.ask(format!("{HEADER}{GET}")).status(), 400, "{keys}");
    }
}

#[test]
fn connections_closed_for_their_header_are_counted_and_reported() {
    let service = Service::echo("a");
    let count = |gateway: &Gateway, reason: &str| {
        let metrics = gateway.metrics();
        let series = format!("waypost_proxy_header_failures_total{{reason=\"{reason}\"}} ");
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(&*series))
            .map(str::to_owned);
        value.unwrap_or_else(|| panic!("no {series} in {metrics}"))
    };
    for tls in ["", ", tls: { passthrough: true }"] {
        let keys = format!("name: edge, proxy_protocol: required, trusted_proxies: [127.0.0.1]{tls}");
        let routes = if tls.is_empty() {
            "match: { path: /x }, to: a"
        } else {
            "passthrough: a"
        };
        let gateway = Gateway::with(
            Config::listening(&[&keys])
                .service(&service, "")
                .route(&format!("name: all, {routes}")),
        );
        assert!(gateway.connect().send(GET).try_response().is_none());
        gateway.wait_for(
            "waypost: the listener `edge` closed a connection from 127.0.0.1, without a PROXY header",
        );
        // One line a minute.
        for bad in ["PROXY TCP4 x y 1 2\r\n", "\x16\x03\x01", GET] {
            assert!(gateway.connect().send(bad).try_response().is_none(), "{bad:?}");
        }
        // A health check of the port is no client.
        drop(gateway.connect());
        assert_eq!(count(&gateway, "missing"), "3");
        assert_eq!(count(&gateway, "malformed"), "1");
        assert_eq!(count(&gateway, "untrusted"), "0");
        let said = gateway.said();
        assert_eq!(
            said.iter().filter(|line| line.contains("PROXY")).count(),
            1,
            "{said:?}"
        );
    }
    let far = gateway(
        &service,
        "proxy_protocol: required, trusted_proxies: [192.0.2.0/24]",
    );
    assert!(far.connect().send(GET).try_response().is_none());
    far.wait_for_part("closed a connection from 127.0.0.1, whose PROXY header is required, and not believed");
    assert_eq!(count(&far, "untrusted"), "1");
    let optional = gateway(&service, "proxy_protocol: optional, trusted_proxies: [127.0.0.1]");
    assert_eq!(optional.ask(GET).status(), 200);
    assert!(
        optional
            .connect()
            .send("PROXY TCP4 x y 1 2\r\n")
            .try_response()
            .is_none()
    );
    optional.wait_for_part("with a malformed PROXY header");
    assert_eq!(
        (count(&optional, "missing"), count(&optional, "malformed")),
        ("0".to_owned(), "1".to_owned())
    );
}

#[test]
fn header_sent_on_every_service_connection() {
    let service = Service::scripted(|talk| {
        while talk.request().is_some() {
            talk.send(ok("ok"));
        }
    });
    for (version, begins) in [
        ("v1", "PROXY TCP4 192.0.2.7 127.0.0.1 4711 "),
        ("v2", "\r\n\r\n\0\r\nQUIT\n"),
    ] {
        let before = service.connections();
        let gateway = Gateway::with(
            Config::listening(&["proxy_protocol: required, trusted_proxies: [127.0.0.1]"])
                .service(&service, &format!("proxy_protocol: {version}"))
                .route("name: all, to: service"),
        );
        let mut client = gateway.connect();
        client.send(HEADER);
        for _ in 0..2 {
            client.send(GET);
        }
        service.wait_until(|connections| connections.len() == before + 2);
        service.wait_until(|connections| connections[before + 1].ends_with(b"\r\n\r\n"));
        for received in &service.received()[before..] {
            assert!(received.starts_with(begins), "{version}: {received:?}");
        }
    }
}
