//! Cookies of services: their paths, domains and flags, as a route rewrites them.

use crate::clients::ask;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::Service;

/// A service that sets these cookies.
fn setting(cookies: &[&str]) -> Service {
    let lines: String = cookies
        .iter()
        .map(|cookie| format!("Set-Cookie: {cookie}\r\n"))
        .collect();
    Service::responding(format!(
        "HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\nX-Other: a=1; Path=/\r\n\r\n"
    ))
}

/// Checks the cookies that clients get of a service with a route.
fn check(route: &str, set: &[&str], expected: &[&str]) {
    let service = setting(set);
    let gateway = Gateway::with(
        Config::new()
            .service(&service, "")
            .route(&format!("name: r, to: service, {route}")),
    );
    for response in ask(&gateway, "http://a.test/shop/x", &[]) {
        assert_eq!(response.values("set-cookie"), expected, "{route}");
        assert_eq!(response.values("x-other"), ["a=1; Path=/"]);
    }
}

#[test]
fn paths_and_domains_are_replaced_line_by_line() {
    check(
        "set_cookie: { path: { /: /shop, /api: /v2/, /api/old/: / }, \
         domain: { orders.internal: example.com, .Gone.internal: \"\" } }",
        &[
            "a=1; Path=/; HttpOnly",
            "b=2; Domain=.ORDERS.internal; path=/cart; Max-Age=5",
            "c=3; Path=/api/x",
            "d=4; Path=/api/old/y; Domain=gone.internal",
            "e=5; Path=/apix; Domain=a.orders.internal",
            "f",
            "g=7; Path=relative",
        ],
        &[
            "a=1; Path=/shop; HttpOnly",
            "b=2; Domain=example.com; path=/shop/cart; Max-Age=5",
            "c=3; Path=/v2/x",
            "d=4; Path=/y",
            "e=5; Path=/shop/apix; Domain=a.orders.internal",
            "f",
            "g=7; Path=relative",
        ],
    );
}

#[test]
fn flags_are_added_where_missing_and_replaced_where_present() {
    check(
        "set_cookie: { secure: true, http_only: true, same_site: strict }",
        &[
            "a=1",
            "b=2; SECURE; httponly; samesite=None",
            "c=3; SameSite; SameSite=Lax; Path=/",
            "=; Path=/",
            "__Host-d=4; Path=/; Secure",
        ],
        &[
            "a=1; Secure; HttpOnly; SameSite=Strict",
            "b=2; SECURE; httponly; samesite=Strict",
            "c=3; SameSite=Strict; Path=/; Secure; HttpOnly",
            "=; Path=/",
            "__Host-d=4; Path=/; Secure; HttpOnly; SameSite=Strict",
        ],
    );
    check(
        "set_cookie: { secure: false }",
        &["a=1; Secure; Path=/", "__Secure-b=2; Secure"],
        &["a=1; Path=/", "__Secure-b=2; Secure"],
    );
}

#[test]
fn rewrite_maps_only_what_set_cookie_does_not_replace() {
    check(
        "match: { path: /shop/* }, rewrite: { prefix: /v2, host: in.test }, \
         set_cookie: { path: { /v2/cart: /basket }, domain: { in.test: example.com } }",
        &[
            "a=1; Path=/v2/cart/1; Domain=in.test",
            "b=2; Path=/v2/x",
            "c=3; Path=/other",
        ],
        &[
            "a=1; Path=/basket/1; Domain=example.com",
            "b=2; Path=/shop/x",
            "c=3; Path=/other",
        ],
    );
}

#[test]
fn only_cookies_of_the_service_are_rewritten() {
    // Not the gateway's own, and header edits come after.
    check(
        "sticky: { cookie: { name: side, path: /, http_only: false } }, set_cookie: { path: { /: /x }, http_only: true }, \
         response_headers: { set: { set-cookie: mine=1 } }",
        &["a=1"],
        &["mine=1"],
    );
    let service = setting(&["a=1; Path=/"]);
    let gateway = Gateway::with(Config::new().service(&service, "").route(
        "name: r, to: service, sticky: { cookie: { name: side, path: / } }, set_cookie: { path: { /: /x } }",
    ));
    for response in ask(&gateway, "http://a.test/", &[]) {
        let cookies = response.values("set-cookie");
        assert_eq!(cookies[0], "a=1; Path=/x");
        assert!(
            cookies[1].starts_with("side=") && cookies[1].contains("; Path=/;"),
            "{}",
            cookies[1]
        );
    }
}
