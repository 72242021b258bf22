//! Configurations with one mistake each: code, place and hint.

use super::*;

#[test]
fn binds() {
    for (bind, advice) in [
        ("localhost:80", "write `127.0.0.1:80`"),
        ("example.com:80", "the hosts to serve go into `hosts`"),
        ("0.0.0.0", "add one: `0.0.0.0:8080`"),
        ("8080", "write `0.0.0.0:8080`"),
        ("\":8080\"", "write `0.0.0.0:8080`"),
        ("\"*:8080\"", "write `0.0.0.0:8080`"),
        ("http://0.0.0.0:80", "leave it out: `0.0.0.0:80`"),
        ("\"::1\"", "`[::1]:8080`"),
        ("x", "an IP address and a port"),
        ("0.0.0.0:99999", "an IP address and a port"),
        ("/run/a.sock", "write `unix:/run/a.sock`"),
        ("unix:a.sock", "an absolute path such as `unix:/run/waypost.sock`"),
        ("unix:///run/a.sock", "write `unix:/run/a.sock`"),
        ("unix:/run/", "is not the path of a socket"),
    ] {
        check(
            format!("listeners: [{{ bind: {bind} }}]\n"),
            &[&format!("1:21 bad-bind {advice}")],
        );
    }
    check(
        "listeners: [{ bind: 0.0.0.0:80 }, { bind: 0.0.0.0:80, name: x }]\n",
        &["1:43 duplicate-name each listener its own address"],
    );
    check(
        "listeners: [{ bind: unix:/run/a.sock, name: x }, { bind: unix:/run/a.sock, name: y }]\n",
        &["1:58 duplicate-name each listener its own address"],
    );
    check(
        "listeners: [{ bind: 0.0.0.0:80, name: x }, { bind: 0.0.0.0:81, name: x }]\n",
        &["1:70 duplicate-name a listener named `x`"],
    );
    check(
        "listeners: [{ bind: 0.0.0.0:0, name: x }, { bind: 0.0.0.0:0, name: y }]\n",
        &[],
    );
    check("listeners: []\n", &["1:12 no-listeners"]);
    check("services: {}\n", &["1:1 no-listeners"]);
}

#[test]
fn listener_limits() {
    let check = |keys: &str, expected: &[&str]| {
        check(format!("listeners:\n- bind: 0.0.0.0:80\n  {keys}\n"), expected);
    };
    check("limits: { headers: 0 }", &["3:22 out-of-range 1 to"]);
    check(
        "limits: { headers: 1.5 }",
        &["3:22 wrong-type expected a whole number"],
    );
    check(
        "limits: { headers: 99999999999999999999 }",
        &["3:22 out-of-range too large"],
    );
    check(
        "limits: { header_bytes: 64KB }",
        &["3:27 bad-value did you mean `64KiB`?"],
    );
    check(
        "limits: { body_bytes: 10 m }",
        &["3:25 bad-value did you mean `10MiB`?"],
    );
    check("limits: { body_bytes: off }", &["3:25 bad-value write `none`"]);
    check("limits: { body_bytes: false }", &["3:25 bad-value write `none`"]);
    check(
        "limits: { connections: 0 }",
        &["3:26 out-of-range write a number from 1 to"],
    );
    check(
        "limits: { header_bytes: 1 }",
        &["3:27 out-of-range write a size from `1KiB` to `1MiB`"],
    );
    check(
        "limits: { target_bytes: 128KiB }",
        &["3:27 out-of-range raise `header_bytes`"],
    );
    check(
        "limits: { header_timeout: 5 }",
        &["3:29 bad-value did you mean `5s`?"],
    );
    check(
        "limits: { header_timeout: 0s }",
        &["3:29 out-of-range write a duration from `1ms` to `24h`"],
    );
    check("limits: { body_bytes: nnoe }", &["3:25 bad-value"]);
    check("limits: { body_rate: 0 }", &["3:24 out-of-range write `none`"]);
    check("limits: { body_rate: off }", &["3:24 bad-value write `none`"]);
    check(
        "limits: { body_rate: 1KB }",
        &["3:24 bad-value did you mean `1KiB`?"],
    );
    check("limits: { body_rate: 1KiB }", &[]);
    check("limits: { body_rate: 1KiB/s }", &[]);
    check("limits: { body_rate: 1KiB/m }", &["3:24 bad-value"]);
    check("limits: { body_rate: 0/s }", &["3:24 out-of-range write `none`"]);
    check("limits: { body_rate: none }", &[]);
    check("half_close: sevre", &["3:15 unknown-word did you mean `serve`?"]);
    check("half_close: end", &[]);
    check("limits: { body_bytes: none, connections: 1 }", &[]);
    check(
        "limits: { underscores: kepe }",
        &["3:26 unknown-word did you mean `keep`?"],
    );
    check(
        "paths: { dot_segment_parameters: kep }",
        &["3:36 unknown-word did you mean `keep`?"],
    );
    check(
        "paths: { encoded_slash: true }",
        &["3:27 wrong-type (write `refuse` or `keep`)"],
    );
    check(
        "trusted_proxies: [10.0.0.1/8]",
        &["3:21 bad-network the network is `10.0.0.0/8`"],
    );
    trusted_proxies(&check);
    check("hosts: [a:80]", &["3:11 bad-host write `a`"]);
    check("hosts: a", &["3:10 wrong-type put it into a list"]);
    check("hosts: []", &["3:10 empty-list"]);
    check("name: a b", &["3:9 bad-name"]);
    check("name:", &["3:7 null-value give a value"]);
}

#[test]
fn the_way_back_is_switched_off_where_there_is_one() {
    let check = |host: &str, rewrite: &str, expected: &[&str]| {
        crate::tests::check(
            format!(
                "listeners: [{{ bind: 0.0.0.0:80 }}]\nservices: {{ a: {{ endpoints: [http://a], host: {host} }} }}\n\
                 routes: [{{ name: a, to: a, rewrite: {{ {rewrite} }} }}]\n"
            ),
            expected,
        );
    };
    check("endpoint", "reverse: off", &[]);
    check("a.test", "path: /x, reverse: off", &[]);
    check(
        "client",
        "reverse: off",
        &["3:28 missing-key the rewrite rewrites nothing"],
    );
    check(
        "client",
        "path: /x, reverse: off",
        &["3:49 conflicting-keys without `prefix` or `host`"],
    );
    check("endpoint", "", &["3:28 missing-key the rewrite rewrites nothing"]);
}

fn trusted_proxies(check: &dyn Fn(&str, &[&str])) {
    for (written, expected) in [
        ("10.0.0.0/8", "3:20 wrong-type put it into a list: `[10.0.0.0/8]`"),
        ("{}", "3:20 missing-key add `from: [10.0.0.0/8]`"),
        ("{ hops: 1 }", "3:20 missing-key add `from: [10.0.0.0/8]`"),
        ("{ from: [] }", "3:28 empty-list"),
        ("{ from: 10.0.0.0/8 }", "3:28 wrong-type put it into a list"),
        (
            "{ from: [10.0.0.1/8] }",
            "3:29 bad-network the network is `10.0.0.0/8`",
        ),
        (
            "{ from: [10.0.0.0/8], hops: 0 }",
            "3:48 out-of-range 1 is the address that the nearest proxy wrote",
        ),
        (
            "{ from: [10.0.0.0/8], hops: 101 }",
            "3:48 out-of-range a number from 1 to 100",
        ),
        ("{ from: [10.0.0.0/8], hops: -1 }", "3:48 wrong-type"),
        (
            "{ from: [10.0.0.0/8], hops: 1, header: x-real-ip }",
            "3:51 conflicting-keys keep one of them",
        ),
        (
            "{ from: [10.0.0.0/8], header: x-real-ip, hops: 1 }",
            "3:61 conflicting-keys keep one of them",
        ),
        (
            "{ from: [10.0.0.0/8], header: a b }",
            "3:50 bad-name a name such as `cf-connecting-ip`",
        ),
        (
            "{ from: [10.0.0.0/8], header: Forwarded }",
            "3:50 bad-name leave `header` out",
        ),
        (
            "{ from: [10.0.0.0/8], header: Host }",
            "3:50 bad-name has no address of a client",
        ),
        (
            "{ from: [10.0.0.0/8], host: forwared }",
            "3:48 unknown-word did you mean `forwarded`?",
        ),
        (
            "{ from: [10.0.0.0/8], depth: 2 }",
            "3:42 unknown-key did you mean `hops`?",
        ),
        (
            "{ cidrs: [10.0.0.0/8], real_ip_header: x-real-ip }",
            "3:22 unknown-key did you mean `from`?",
        ),
    ] {
        let mut expected = vec![expected];
        if written.contains("real_ip_header") {
            expected.push("3:43 unknown-key did you mean `header`?");
        }
        check(&format!("trusted_proxies: {written}"), &expected);
    }
    let passing = "tls: { passthrough: true }, proxy_protocol: required, trusted_proxies";
    crate::tests::check(
        format!(
            "listeners: [{{ bind: 0.0.0.0:80, {passing}: {{ from: [10.0.0.0/8], hops: 1, host: forwarded }} }}]\n\
             services: {{ a: {{ endpoints: [http://a] }} }}\nroutes: [{{ name: a, passthrough: a }}]\n"
        ),
        &[
            "1:126 conflicting-keys sees no requests",
            "1:135 conflicting-keys sees no requests",
        ],
    );
}

#[test]
fn public_services_that_get_the_host_of_clients() {
    let check = |service: &str, route: &str, expected: &[&str]| {
        crate::tests::check(
            format!(
                "listeners: [{{ bind: 0.0.0.0:80 }}]\nservices:\n  a: {{ {service} }}\nroutes: [{{ name: a, {route} }}]\n"
            ),
            expected,
        );
    };
    let foreign: &[&str] =
        &["3:19 foreign-host add `host: endpoint` to the service, so that it gets `api.example.org`"];
    let public = "endpoints: [https://api.example.org]";
    check(public, "to: a", foreign);
    check(
        "endpoints: [http://10.0.0.1, https://api.example.org.:8443]",
        "to: a",
        foreign,
    );
    check(
        public,
        "to: a, rewrite: { prefix: / }, match: { path: /a/* }",
        foreign,
    );
    check(
        public,
        "match: { host: [api.example.org, a.example.org] }, to: a",
        foreign,
    );
    check("endpoints: [https://api.example.org], pool: {}", "to: a", foreign);
    // A mirror gets the same.
    crate::tests::check(
        "listeners: [{ bind: 0.0.0.0:80 }]\nservices:\n  a: { endpoints: [https://api.example.org] }\n  b: { endpoints: [http://b] }\n\
         routes: [{ name: a, to: b, mirror: { to: a } }]\n",
        foreign,
    );
    for host in ["client", "endpoint", "a.test"] {
        check(&format!("{public}, host: {host}"), "to: a", &[]);
    }
    check(public, "to: a, rewrite: { host: b.test }", &[]);
    // A policy may say it, of the route or of every listener by which its requests come in.
    let shared = |listeners: &str, route: &str, expected: &[&str]| {
        crate::tests::check(
            format!(
                "policies: {{ far: {{ rewrite: {{ host: b.test }} }} }}\nservices:\n  a: {{ {public} }}\n\
                 listeners: [{{ bind: 0.0.0.0:80, {listeners} }}]\nroutes: [{{ name: a, {route} }}]\n"
            ),
            expected,
        );
    };
    shared("name: x", "to: a, use: far", &[]);
    shared("use: far", "to: a", &[]);
    shared("use: far", "to: a, rewrite: off", foreign);
    shared("use: far }, { bind: 0.0.0.0:81", "to: a", foreign);
    shared(
        "use: far, name: x }, { bind: 0.0.0.0:81",
        "to: a, match: { listener: x }",
        &[],
    );
    shared(
        "use: far }, { bind: 0.0.0.0:81, hosts: [c.test]",
        "to: a, match: { host: d.test }",
        &[],
    );
    check(public, "match: { host: api.example.org }, to: a", &[]);
    for endpoint in [
        "http://api.example.org",
        "h2c://api.example.org",
        "https://10.0.0.1",
        "https://orders",
        "https://orders.internal",
        "https://orders.shop.svc",
        "https://orders.shop.svc.cluster.local",
        "https://nas.lan",
        "https://nas.home.arpa",
        "https://a.test",
        "https://a.localhost",
        "srv+https://_https._tcp.example.org",
    ] {
        check(&format!("endpoints: [{endpoint}]"), "to: a", &[]);
    }
    for endpoint in [
        "https://api.notinternal",
        "https://arpa.example",
        "https://local.io",
    ] {
        let name = endpoint.trim_start_matches("https://");
        check(
            &format!("endpoints: [{endpoint}]"),
            "to: a",
            &[&format!("3:19 foreign-host `{name}`")],
        );
    }
}

#[test]
fn services() {
    let check = |service: &str, expected: &[&str]| {
        check(
            format!("listeners: [{{ bind: 0.0.0.0:80 }}]\nservices:\n  a: {service}\n"),
            expected,
        );
    };
    check("{ endpoints: [http://a] }", &["3:3 unused-service"]);
    check("{}", &["3:6 missing-key add `endpoints: ["]);
    check("{ endpoints: http://a }", &["3:19 wrong-type put it into a list"]);
    check(
        "{ endpoints: [http://a, ftp://a] }",
        &["3:30 bad-endpoint write `http://a`"],
    );
    check(
        "{ endpoints: [], balance: least_conn }",
        &["3:32 unknown-word found `least_conn` (write `least_request`)"],
    );
    check(
        "{ endpoints: [], balance: IP_hash }",
        &["3:32 unknown-word write `{ hash: { client_ip: true } }`"],
    );
    check(
        "{ endpoints: [], balance: round-robin }",
        &["3:32 unknown-word did you mean `round_robin`?"],
    );
    check(
        "{ endpoints: [], balance: true }",
        &["3:32 wrong-type write `round_robin` or `least_request` or `random`"],
    );
    check(
        "{ endpoints: [], balance: [random] }",
        &["3:32 wrong-type or a mapping, found a list"],
    );
    check(
        "{ endpoints: [], balance: {} }",
        &["3:32 missing-key a `balance` has no `hash`"],
    );
    check(
        "{ endpoints: [], balance: { hash: {} } }",
        &["3:34 missing-key add one of `header`, `cookie`, `client_ip`, `path`"],
    );
    check(
        "{ endpoints: [], balance: { hash: { header: a, path: true } } }",
        &["3:53 conflicting-keys there is either `header` or `path`"],
    );
    check(
        "{ endpoints: [], balance: { hash: { header: \"x y\" } } }",
        &["3:50 bad-name `x y` is not the name of a header"],
    );
    check(
        "{ endpoints: [], balance: { hash: { cookie: \"a=b\" } } }",
        &["3:50 bad-name is not the name of a cookie"],
    );
    check(
        "{ endpoints: [], balance: { hash: { client_ip: false } } }",
        &["3:53 bad-value `client_ip` is `true` or not there"],
    );
    check(
        "{ endpoints: [], balance: { hash: { path: /a } } }",
        &["3:48 wrong-type expected `true` or `false`"],
    );
    check(
        "{ endpoints: [], panic: 101 }",
        &["3:30 out-of-range write a number from 0 to 100"],
    );
    check(
        "{ endpoints: [], slow_start: 0s }",
        &["3:35 out-of-range the duration is out of range: 1ms to 24h"],
    );
    check(
        "{ endpoints: [], slow_start: 30 }",
        &["3:35 bad-value did you mean `30s`?"],
    );
    check(
        "{ endpoints: [], panic: off }",
        &["3:30 wrong-type expected a percentage"],
    );
    check(
        "{ endpoints: [], host: https://orders.test/ }",
        &["3:29 bad-host leave the scheme out: `orders.test`"],
    );
    check("{ endpoints: [], host: a b }", &["3:29 bad-host"]);
    check("{ endpoints: [], host: \"*.test\" }", &["3:29 bad-host"]);
    check(
        "{ endpoints: [], host: $http_host }",
        &["3:29 bad-host write `client` for the host of the request"],
    );
    check(
        "{ endpoints: [], host: Client }",
        &["3:29 unknown-word did you mean `client`?"],
    );
    check(
        "{ endpoints: [], host: endpoints }",
        &["3:29 unknown-word did you mean `endpoint`?"],
    );
    check(
        "{ endpoints: [], host: true }",
        &["3:29 wrong-type write `client` or `endpoint`"],
    );
    check(
        "{ endpoints: [{ url: srv+http://_http._tcp.a.test, weight: 2 }] }",
        &["3:57 conflicting-keys leave `weight` out"],
    );
    check(
        "{ endpoints: [srv+http://a.test:80] }",
        &["3:20 bad-endpoint write `srv+http://a.test`"],
    );
    check(
        "{ endpoints: [{ weight: 2 }] }",
        &["3:20 missing-key an endpoint has no `url` (add `url: http://"],
    );
    check(
        "{ endpoints: [{ url: http://a, weight: 1001 }] }",
        &["3:45 out-of-range write a number from 0 to 1000"],
    );
    check(
        "{ endpoints: [{ url: http://a, weight: 0.5 }] }",
        &["3:45 wrong-type expected a whole number"],
    );
    check(
        "{ endpoints: [{ url: http://a, backup: yes }] }",
        &["3:45 wrong-type write `true`"],
    );
    check(
        "{ endpoints: [{ url: a:80, wieght: 2 }] }",
        &[
            "3:27 bad-endpoint write `http://a:80`",
            "3:33 unknown-key did you mean `weight`?",
        ],
    );
    check(
        "{ endpoints: [[http://a]] }",
        &["3:20 wrong-type expected a URL, or a mapping, found a list"],
    );
    check(
        "{ endpoints: [http://a:1, { url: http://a:1, weight: 3 }, http://a:2] }",
        &["3:3 unused-service", "3:32 no-effect only the first one counts"],
    );
    check(
        "{ endpoints: [http://a/x] }",
        &["3:20 bad-endpoint `rewrite: { prefix: … }`"],
    );
    check(
        "{ endpoints: [], timeouts: { idle: 2d } }",
        &["3:41 bad-value the units of a duration"],
    );
    check(
        "{ endpoints: [], pool: { idle_max: 1000000 } }",
        &["3:41 out-of-range"],
    );
    check(
        "{ endpoints: [], limits: { requests: 0, connections: 10000001 } }",
        &["3:43 out-of-range from 1 to", "3:59 out-of-range from 1 to"],
    );
    check(
        "{ endpoints: [], limits: { requests: none } }",
        &["3:43 wrong-type expected a whole number"],
    );
    check(
        "{ endpoints: [], limits: { requests: 1, waiting: 1, wait: 0s } }",
        &["3:64 out-of-range from `1ms` to"],
    );
    check(
        "{ endpoints: [], limits: { requests: 1, waiting: 1, wait: 5 } }",
        &["3:64 bad-value"],
    );
    check(
        "{ endpoints: [], limits: { waiting: 100, wait: 2s } }",
        &[
            "3:3 unused-service",
            "3:42 no-effect add `requests` or `connections`, or remove `waiting`",
            "3:53 no-effect add `requests` or `connections`, or remove `wait`",
        ],
    );
    check(
        "{ endpoints: [], limits: { connections: 1, wait: 2s } }",
        &[
            "3:3 unused-service",
            "3:55 no-effect add `waiting`, or remove `wait`",
        ],
    );
    check(
        "{ endpoints: [], limits: { request: 1 } }",
        &["3:33 unknown-key did you mean `requests`?"],
    );
    check("[http://a]", &["3:6 wrong-type expected a service, found a list"]);
    // A list in one text is only read where a variable brings it; each part is named by itself.
    check(
        "{ endpoints: [\"http://a, http://b\"] }",
        &["3:20 bad-endpoint make each an item of the list: `http://a`, `http://b`"],
    );
    check(
        "{ endpoints: [\"${BAD_LIST}\"] }",
        &[
            "3:20 bad-endpoint `b:80` has no scheme (write `http://b:80`)",
            "3:20 bad-endpoint `ftp://c` has another scheme",
        ],
    );
    check(
        "{ endpoints: [\"http://${WORD} b\"] }",
        &["3:20 bad-endpoint `b` has no scheme (write `http://b`)"],
    );
}

#[test]
fn hosts_and_paths() {
    for (host, advice) in [
        ("\"*\"", "leave the key out"),
        ("a.*.b", "as the first label"),
        ("http://a", "leave the scheme out: `a`"),
        ("a:80", "write `a`"),
        ("a.", "write `a`"),
        (
            "http://API.example.com:8080/x",
            "leave the scheme out: `API.example.com`",
        ),
        ("http://*", "write the name of a host alone"),
        ("\"::1\"", "write `[::1]`: an IPv6 address stands in brackets"),
        ("\"[::1]:80\"", "write `[::1]`"),
        ("\":80\"", "leave the port out"),
        ("a/b", "a path goes into `path`"),
        ("bücher.example", "`xn--`"),
        ("\"\"", "empty"),
    ] {
        check_route(
            &format!("to: a, match: {{ host: {host} }}"),
            &[&format!("4:36 bad-host {advice}")],
        );
    }
    for (path, advice) in [
        ("orders", "did you mean `/orders`?"),
        ("api/**", "(a path begins with `/`)"),
        ("^/(a", "(a regex begins with `~`)"),
        ("\"*\"", "write `/*`"),
        ("http://a/b", "the host goes into `host`"),
        ("^/a", "for a regex write `~^/a`"),
        ("/a?b=1", "go into `query`"),
        ("/a*", "write `/a/*`, or `~^/a` for a prefix of bytes"),
        ("/users/:id", "write `/users/{id}`"),
        ("/x/**", "write `/x/*`"),
        ("\"/x/{*rest}\"", "write `/x/*`"),
        ("\"/x/{**rest}\"", "write `/x/*`"),
        ("[/a, /b/**, /c]", "write `/b/*`"),
        ("/a//b", "are merged"),
        ("/a/../b", "are resolved"),
        ("/a%2Fb", "`paths: { encoded_slash: keep }`"),
        ("/a%5Cb", "are refused"),
        ("/a/..;/b", "`paths: { dot_segment_parameters: keep }`"),
        ("/a/%2e;x=1/*", "`paths: { dot_segment_parameters: keep }`"),
        ("/a%zz", "`%25`"),
        ("/a b", "`%20`"),
        ("\"/{a}/{a}\"", "a name of its own"),
        ("\"/{1}\"", "not beginning with a digit"),
    ] {
        let column = if path.starts_with('[') { 41 } else { 36 };
        check_route(
            &format!("to: a, match: {{ path: {path} }}"),
            &[&format!("4:{column} bad-path {advice}")],
        );
    }
    check_route(
        "to: a, match: { path: [] }",
        &["4:36 empty-list the list is empty"],
    );
    check_route("to: a, match: { path: ~^( }", &["4:36 bad-regex unclosed group"]);
    check_route(
        "to: a, match: { path: \"${REGEX}\" }",
        &["4:36 bad-path in front of the variable: `~${NAME}`"],
    );
    check_route(
        "to: a, match: { path: \"~(?!a)\" }",
        &["4:36 bad-regex look-around"],
    );
    check(
        "listeners: [{ bind: 0.0.0.0:80, hosts: [a.b] }]\nservices: { a: { endpoints: [] } }\nroutes:\n- \
        { name: r, match: { host: [a.b, b.c] }, to: a }\n",
        &["4:35 unreachable-route no listener serves `b.c`"],
    );
}

#[test]
fn lists_of_paths_are_checked_path_by_path() {
    check_route(
        "to: a, match: { path: [\"/u/{id}\", /x] }, rewrite: { path: \"/{id}\" }",
        &["4:74 unknown-value `{id}` is not bound by the path of every alternative"],
    );
    check_route(
        "to: a, match: { path: [/x/*, /y] }, rewrite: { prefix: / }",
        &["4:61 bad-rewrite `prefix` needs a path pattern that ends in `/*`"],
    );
    check_route(
        "to: a, match: { host: [a.b, c.d], path: [/x/*, /y, /x/*] }",
        &["4:65 unreachable-route another alternative of the route takes the same requests"],
    );
    let list = |name: &str, count: usize| {
        let items: Vec<String> = (0..count).map(|n| format!("{name}{n}")).collect();
        items.join(", ")
    };
    check_route(
        &format!(
            "to: a, match: {{ host: [{}], path: [{}] }}",
            list("h", 1001),
            list("/p", 1000)
        ),
        &["4:28 out-of-range more alternatives than the 1000000"],
    );
}

#[test]
fn listeners_and_schemes_that_nothing_comes_by() {
    let check_match = |matching: &str, expected: &[&str]| {
        let listeners = "{ bind: 0.0.0.0:80, name: plain, redirect: { scheme: https } }, \
            { bind: 0.0.0.0:443, name: tls, hosts: [a.b, \"*.c\"], tls: { certificates: [{ cert: a, key: b }] } }, \
            { bind: 0.0.0.0:444, name: through, tls: { passthrough: true } }";
        check(
            format!(
                "listeners: [{listeners}]\nservices: {{ a: {{ endpoints: [http://a] }} }}\nroutes:\n\
                - {{ name: r, to: a, match: {{ {matching} }} }}\n- {{ name: p, passthrough: a }}\n"
            ),
            expected,
        );
    };
    check_match("listener: tls", &[]);
    check_match("listener: [plain, tls], scheme: https", &[]);
    check_match("listener: tsl", &["4:40 unknown-listener did you mean `tls`?"]);
    check_match("listener: [tls, x]", &["4:46 unknown-listener"]);
    check_match("listener: []", &["4:40 empty-list"]);
    check_match("scheme: ftp", &["4:38 unknown-word"]);
    check_match(
        "listener: through",
        &["4:40 unreachable-route passes TLS connections through"],
    );
    check_match(
        "listener: plain",
        &["4:40 unreachable-route redirects every request"],
    );
    check_match(
        "listener: tls, scheme: http",
        &["4:53 unreachable-route use this scheme"],
    );
    check_match(
        "scheme: http",
        &["4:38 unreachable-route redirects every request"],
    );
    check_match(
        "listener: tls, host: d.e",
        &["4:51 unreachable-route its listeners do not serve `d.e`"],
    );
    check_match("listener: tls, host: x.c", &[]);
}

#[test]
fn proofs_know_the_listeners() {
    let listeners = "listeners: [{ bind: 0.0.0.0:80, name: plain }, { bind: 0.0.0.0:443, name: tls, \
        tls: { certificates: [{ cert: a, key: b }] } }]\nservices: { a: { endpoints: [http://a] } }\nroutes:\n";
    check(
        format!(
            "{listeners}- {{ name: r, to: a, match: {{ scheme: http }} }}\n\
            - {{ name: s, to: a, match: {{ listener: tls }} }}\n- {{ name: t, to: a }}\n"
        ),
        &["6:11 unreachable-route no request reaches the route `t`"],
    );
    check(
        format!(
            "{listeners}- {{ name: r, to: a, match: {{ listener: tls, headers: {{ x: \"1\" }} }} }}\n\
            - {{ name: s, to: a, match: {{ listener: [tls, plain], cookies: {{ y: \"1\" }} }} }}\n"
        ),
        &["5:28 ambiguous-routes GET /x -H 'x: 1' -H 'cookie: y=1' --listener tls"],
    );
    // A request without host has no scheme, so it would come in by the first one.
    let pair = "routes:\n- { name: r, to: a, match: { headers: { x: \"1\" } } }\n\
                - { name: s, to: a, match: { cookies: { y: \"1\" } } }\nservices: { a: { endpoints: [http://127.0.0.1:1] } }\n";
    let plain = |redirect: &str| format!("{{ bind: 0.0.0.0:80, name: plain, redirect: {{ {redirect} }} }}");
    let tls = "{ bind: 0.0.0.0:443, name: tls, tls: { certificates: [{ cert: a, key: b }] } }";
    check(
        format!("listeners: [{}, {tls}]\n{pair}", plain("host: a.b")),
        &["4:28 ambiguous-routes GET /x -H 'x: 1' -H 'cookie: y=1' --listener tls"],
    );
    // Nothing comes to these routes.
    check(format!("listeners: [{}]\n{pair}", plain("scheme: https")), &[]);
}

#[test]
fn redirects_that_lead_every_request_back() {
    let loops = |route: &str| {
        let line = format!("- {{ name: r, {route} }}");
        let column = line.find("redirect").unwrap() + 1;
        check_route(route, &[&format!("4:{column} redirect-loop back to its own URL")]);
    };
    loops("redirect: { scheme: http }");
    loops("redirect: { scheme: http, port: 80 }");
    loops("match: { host: A.b }, redirect: { host: a.B, status: 301 }");
    loops("match: { host: a.b, path: [/x, /y/*] }, redirect: { host: a.b, scheme: http }");
    loops("match: { path: /x/y }, redirect: { path: /x/./y }");
    loops("match: { path: /x }, redirect: { regex: [\"^/y\", /z] }");
    loops("match: { path: /x/* }, redirect: { regex: [\"^/y\", /z] }");
    loops("match: { path: \"/u/{Id}/x\" }, redirect: { path: \"/u/{Id}/x\" }");
    loops("match: { path: /x/* }, redirect: { prefix: /x/ }");
    loops("match: { path: \"/{s}/x/*\" }, redirect: { prefix: \"/{s}/x\", scheme: http }");
    loops("redirect: { prefix: / }");
    loops("match: { host: a.b, path: /x }, redirect: { url: \"http://A.b/x\" }");
    loops("match: { host: a.b, path: / }, redirect: { url: \"http://a.b:80\" }");
    loops("match: { path: ~^/x, scheme: http }, redirect: { scheme: http }");
    for fine in [
        "redirect: { scheme: https }",
        "redirect: { scheme: http, port: 8080 }",
        "redirect: { port: 8443 }",
        "redirect: { host: a.b }",
        "match: { host: [a.b, c.d] }, redirect: { host: a.b }",
        "match: { host: \"*.b\" }, redirect: { host: a.b }",
        "match: { path: /x/* }, redirect: { path: /x }",
        "match: { host: a.b, path: /x }, redirect: { url: \"https://a.b/x\" }",
        "match: { host: a.b, path: /x }, redirect: { url: \"http://a.b/x?y\" }",
        "match: { host: a.b, path: /x }, redirect: { url: \"http://a.b:8080/x\" }",
        "match: { host: a.b, path: /x/* }, redirect: { url: \"http://a.b/x\" }",
        "match: { path: /x }, redirect: { url: \"http://a.b/x\" }",
        "match: { path: /x/* }, redirect: { prefix: /y }",
        "match: { path: /x/* }, redirect: { regex: [\"/y\", /z] }",
        "match: { path: \"/{a}/{b}\" }, redirect: { path: \"/{b}/{a}\" }",
        "match: { path: ~^/x }, redirect: { path: /x }",
        "match: [{ path: /x }, { path: /y }], redirect: { path: /x }",
    ] {
        let listeners = "listeners: [{ bind: 127.0.0.1:8080 }]\n";
        check(format!("{listeners}routes: [{{ name: r, {fine} }}]\n"), &[]);
    }
}

#[test]
fn redirect_loops_know_the_listeners() {
    let listeners = |plain: &str| {
        format!(
            "listeners: [{{ bind: 0.0.0.0:80, name: plain{plain} }}, {{ bind: 0.0.0.0:443, name: tls, \
            tls: {{ certificates: [{{ cert: a, key: b }}] }} }}]\n"
        )
    };
    let check_route = |plain: &str, route: &str, expected: &[&str]| {
        check(
            format!("{}routes:\n- {{ name: r, {route} }}\n", listeners(plain)),
            expected,
        );
    };
    let to_https = "redirect: { scheme: https }";
    check_route("", to_https, &[]);
    check_route("", &format!("match: {{ scheme: http }}, {to_https}"), &[]);
    check_route(
        "",
        &format!("match: {{ scheme: https }}, {to_https}"),
        &["3:40 redirect-loop add `scheme: http` to the match"],
    );
    check_route(
        "",
        &format!("match: {{ listener: tls }}, {to_https}"),
        &["3:40 redirect-loop"],
    );
    check_route("", &format!("match: {{ listener: plain }}, {to_https}"), &[]);
    // The other listener redirects what is not `https`.
    check_route(", redirect: { scheme: https }", to_https, &["3:14 redirect-loop"]);
    check_route(
        ", hosts: [a.b]",
        &format!("match: {{ host: c.d }}, {to_https}"),
        &["3:36 redirect-loop"],
    );
    check_route(
        ", trusted_proxies: [10.0.0.0/8]",
        &format!("match: {{ listener: plain }}, {to_https}"),
        &[],
    );
    check_route(", scheme: https", to_https, &["3:14 redirect-loop"]);
    check_route(
        "",
        "redirect: { prefix: / } }\n- { name: s, redirect: { host: \"{host}\" }",
        &["3:14 redirect-loop", "4:14 redirect-loop"],
    );
    // Where a listener keeps them, there is something to replace.
    let merged = "redirect: { regex: [//, /] }";
    check_route("", merged, &["3:14 redirect-loop"]);
    check_route(", paths: { double_slash: keep }", merged, &[]);
    let check_listener = |keys: &str, expected: &[&str]| {
        check(
            format!(
                "listeners: [{{ bind: 0.0.0.0:80, {keys} }}]\nroutes: [{{ name: r, respond: {{ status: 200 }} }}]\n"
            ),
            expected,
        );
    };
    let tls = "tls: { certificates: [{ cert: a, key: b }] }";
    let at = |column: usize| format!("1:{column} redirect-loop back to its own URL");
    check_listener("redirect: { scheme: https }", &[]);
    check_listener("redirect: { scheme: http }", &[&at(33)]);
    check_listener("redirect: { prefix: /, status: 308 }", &[&at(33)]);
    check_listener(&format!("{tls}, redirect: {{ scheme: https }}"), &[&at(79)]);
    check_listener(
        &format!("{tls}, redirect: {{ scheme: https, port: 443 }}"),
        &[&at(79)],
    );
    check_listener(&format!("{tls}, redirect: {{ scheme: https, port: 8443 }}"), &[]);
    check_listener("hosts: [a.b], redirect: { host: a.b }", &[&at(47)]);
    check_listener("hosts: [a.b, c.d], redirect: { host: a.b }", &[]);
    check_listener("redirect: { host: a.b }", &[]);
    check_listener(
        &format!("{tls}, trusted_proxies: [10.0.0.1], redirect: {{ scheme: https }}"),
        &[],
    );
}

#[test]
fn only_keys_of_the_top_level_are_ignored() {
    check(format!("{BASE}xa: 1\n"), &["3:1 unknown-key"]);
    check_route(
        "to: a, x-note: 1",
        &["4:21 unknown-key `x-note` is not a key of a route"],
    );
    check(format!("{BASE}x-a: 1\nx-a: 2\n"), &["4:1 duplicate-key"]);
}

#[test]
fn rate_limits() {
    let check = |rate: &str, expected: &[&str]| {
        let lines = format!("to: a, rate: {rate}");
        check_route(&lines, expected);
    };
    check("{ requests: 10, per: 1s }", &[]);
    check(
        "[{ requests: 10, per: 1s }, { requests: 1000, per: 1h, by: { header: x-tenant } }]",
        &[],
    );
    check("off", &[]);
    check(
        "{ requests: 10, per: 1s, by: identity }",
        &["4:27 no-effect add `auth`, or write `by: client_ip`"],
    );
    check("{ per: 1s }", &["4:27 missing-key add `requests: 10`"]);
    check("{ requests: 10 }", &["4:27 missing-key add `per: 1s`"]);
    check(
        "{ requests: 0, per: 1s }",
        &["4:39 out-of-range write 1 at least"],
    );
    check("{ requests: -1, per: 1s }", &["4:39 wrong-type"]);
    check("{ requests: 1.5, per: 1s }", &["4:39 wrong-type"]);
    check(
        "{ requests: 2000000000, per: 1s }",
        &["4:39 out-of-range 1 to 1000000000"],
    );
    check(
        "{ requests: 10, per: 0s }",
        &["4:48 out-of-range `1ms` to `8760h`"],
    );
    check(
        "{ requests: 10, per: 9000h }",
        &["4:48 out-of-range `1ms` to `8760h`"],
    );
    check("{ requests: 10, per: 1 }", &["4:48 bad-value did you mean `1s`?"]);
    check(
        "{ requests: 10, per: minute }",
        &["4:48 bad-value did you mean `1m`?"],
    );
    check(
        "{ requests: 10, per: 1d }",
        &["4:48 bad-value did you mean `24h`?"],
    );
    check(
        "{ requests: 10, per: 1s, burst: 0 }",
        &["4:59 out-of-range write 1 for"],
    );
    check(
        "{ requests: 1, per: 24h, burst: 100000 }",
        &["4:59 out-of-range write 3650 at most"],
    );
    check(
        "{ requests: 10, per: 1s, by: ip }",
        &["4:56 unknown-word write `client_ip`"],
    );
    check(
        "{ requests: 10, per: 1s, by: clientip }",
        &["4:56 unknown-word did you mean `client_ip`?"],
    );
    check("{ requests: 10, per: 1s, by: weather }", &["4:56 unknown-word"]);
    check(
        "{ requests: 10, per: 1s, by: $binary_remote_addr }",
        &["4:56 unknown-word write `client_ip`"],
    );
    check(
        "{ requests: 10, per: 1s, by: consumer }",
        &["4:56 unknown-word write `identity`"],
    );
    check(
        "{ requests: 10, per: 1s, by: X-Tenant }",
        &["4:56 unknown-word write `{ header: x-tenant }`"],
    );
    check(
        "{ requests: 10, per: 1s, by: {} }",
        &["4:52 missing-key add one of `header`, `cookie`"],
    );
    check(
        "{ requests: 10, per: 1s, by: { header: host } }",
        &["4:66 bad-name tells clients apart"],
    );
    check(
        "{ requests: 10, per: 1s, by: { header: \"a b\" } }",
        &["4:66 bad-name"],
    );
    check(
        "{ requests: 10, per: 1s, by: { cookie: \"a=b\" } }",
        &["4:66 bad-name"],
    );
    check(
        "{ requests: 10, per: 1s, by: { header: a, cookie: b } }",
        &["4:69 conflicting-keys keep one"],
    );
    check(
        "{ requests: 10, per: 1s, by: { ip_strategy: x } }",
        &["4:58 unknown-key write `by: client_ip`"],
    );
    check("{ requests: 10, per: 1s, headers: none }", &["4:61 unknown-word"]);
    check(
        "{ requests: 10, per: 1s, report_only: maybe }",
        &["4:65 wrong-type"],
    );
    check("[]", &["4:27 empty-list"]);
    check("false", &["4:27 wrong-type write `off`"]);
    // Other gateways.
    check("10r/s", &["4:27 wrong-type write `{ requests: 10, per: 1s }`"]);
    check(
        "\"zone=a rate=5r/m burst=3\"",
        &["4:27 wrong-type write `{ requests: 5, per: 1m, burst: 4 }`"],
    );
    check(
        "{ average: 10, per: 1s }",
        &["4:29 unknown-key did you mean `requests`?"],
    );
    check(
        "{ requests_per_unit: 10, unit: hour }",
        &[
            "4:29 unknown-key did you mean `requests`?",
            "4:52 unknown-key did you mean `per`?",
        ],
    );
    check(
        "{ requests: 5, minute: 10, per: 1s }",
        &["4:42 unknown-key `per: 1m`"],
    );
    check(
        "{ requests: 5, per: 1s, nodelay: true }",
        &["4:51 unknown-key refused, not held back"],
    );
    check(
        "{ requests: 5, per: 1s, rejected_code: 503 }",
        &["4:51 unknown-key `errors: ["],
    );
    check_route(
        "to: a, rate_limit: { requests: 5, per: 1s }",
        &["4:21 unknown-key did you mean `rate`?"],
    );
    check_route(
        "passthrough: a, rate: { requests: 5, per: 1s }",
        &["4:30 conflicting-keys"],
    );
    let many = ["{ requests: 1, per: 1s }"; 9].join(", ");
    check(&format!("[{many}]"), &["4:27 out-of-range 8 limits at most"]);
}

#[test]
fn guards_and_timeouts_of_routes() {
    for (keys, expected) in [
        ("to: a, access: {}", "4:21 missing-key add `allow` or `deny`"),
        ("to: a, access: { allow: [] }", "4:38 empty-list"),
        (
            "to: a, access: { allow: [10.0.0.1/8] }",
            "4:39 bad-network the network is `10.0.0.0/8`",
        ),
        (
            "to: a, access: { deny: 10.0.0.0/8 }",
            "4:37 wrong-type put it into a list",
        ),
        (
            "to: a, access: { deny: [all] }",
            "4:38 bad-network with `allow`, every other client is denied",
        ),
        (
            "to: a, access: { allow: [localhost] }",
            "4:39 bad-network `127.0.0.1`",
        ),
        (
            "to: a, access: { sourceRange: [10.0.0.0/8] }",
            "4:31 unknown-key did you mean `allow`?",
        ),
        (
            "to: a, limits: { max_body_size: 1MiB }",
            "4:31 unknown-key did you mean `body_bytes`?",
        ),
        (
            "to: a, rewrite: { query: { replace: { a: b } } }",
            "4:41 unknown-key did you mean `set`?",
        ),
        (
            "passthrough: a, limits: { body_bytes: 1 }",
            "4:30 conflicting-keys",
        ),
        ("to: a, retry: { timeout: off }", "4:39 bad-value write `none`"),
        (
            "to: a, timeouts: { response: off }",
            "4:43 bad-value write `none`",
        ),
        ("to: a, timeouts: { response: 0s }", "4:43 out-of-range"),
        ("to: a, timeouts: { response: 25h }", "4:43 out-of-range"),
        ("to: a, timeouts: { write: 1s }", "4:33 unknown-key"),
        (
            "to: a, limits: { body_bytes: off }",
            "4:43 bad-value write `none`",
        ),
        (
            "respond: { status: 200 }, timeouts: { idle: 1s }",
            "4:40 conflicting-keys goes with `to`",
        ),
    ] {
        check_route(keys, &[expected]);
    }
}

#[test]
fn queries_and_urls() {
    for (route, expected) in [
        (
            "to: a, rewrite: { query: \"?a=1\" }",
            "bad-rewrite leave the `?` out",
        ),
        ("to: a, rewrite: { query: \"a=1#b\" }", "bad-rewrite no fragment"),
        (
            "to: a, rewrite: { query: \"a=b c\" }",
            "bad-rewrite a space as `%20`",
        ),
        ("to: a, rewrite: { query: \"a=%zz\" }", "bad-rewrite `%25`"),
        (
            "to: a, rewrite: { query: \"a={id}\" }",
            "unknown-value bound in the pattern",
        ),
        (
            "to: a, rewrite: { query: {} }",
            "missing-key the query stays as it is",
        ),
        (
            "to: a, rewrite: { query: { set: {} } }",
            "missing-key the query stays as it is",
        ),
        (
            "to: a, rewrite: { query: { remove: [] } }",
            "missing-key the query stays as it is",
        ),
        (
            "to: a, rewrite: { query: { set: { a: \"{b}\" } } }",
            "unknown-value bound in the pattern",
        ),
        (
            "to: a, rewrite: { query: { set: { \"\": 1 } } }",
            "bad-rewrite a parameter has a name",
        ),
        (
            "to: a, rewrite: { query: { set: { a: 1 }, remove: [a] } }",
            "bad-rewrite edited twice",
        ),
        ("to: a, rewrite: { query: { replace: { a: 1 } } }", "unknown-key"),
        ("to: a, rewrite: { query: [a] }", "wrong-type"),
        ("redirect: { query: \"{query}\" }", "redirect-loop"),
        ("redirect: { url: /x }", "bad-rewrite goes into `path`"),
        ("redirect: { url: www.a.b/x }", "bad-rewrite write the whole URL"),
        (
            "redirect: { url: \"https:///x\" }",
            "bad-rewrite a host follows the scheme",
        ),
        (
            "redirect: { url: \"https://a.b/x y\" }",
            "bad-rewrite a space as `%20`",
        ),
        (
            "redirect: { url: \"https://a.b/{x}\" }",
            "unknown-value bound in the pattern",
        ),
        (
            "redirect: { url: https://a.b/x, host: a.b }",
            "conflicting-keys the whole `Location`",
        ),
        (
            "redirect: { url: https://a.b/x, query: \"\" }",
            "conflicting-keys the whole `Location`",
        ),
    ] {
        let found = match load_text(format!("{BASE}routes:\n- {{ name: r, {route} }}\n")) {
            Ok(loaded) => lines(&loaded.warnings),
            Err(found) => lines(&found),
        };
        let (code, part) = expected.split_once(' ').unwrap_or((expected, ""));
        let [only] = &found[..] else {
            panic!("{route}: {found:#?}");
        };
        assert!(
            only.contains(&format!(" {code} ")) && only.contains(part),
            "{route}: {only}"
        );
    }
}

#[test]
fn timeouts_of_requests_where_connections_pass_through() {
    check_route(
        "passthrough: a, timeouts: { tunnel: none, idle: 1s }",
        &["4:14 unreachable-route", "4:56 no-effect `connect` and `tunnel`"],
    );
}

#[test]
fn nothing_is_negated_by_an_exclamation_mark() {
    let warning = |column| format!("4:{column} foreign-value nothing is negated by `!`");
    for (matching, column) in [
        ("headers: { x: \"!1\" }", 44),
        ("headers: { x: \"!~^1\" }", 44),
        ("query: { x: \"!\" }", 42),
        ("cookies: { x: \"!a\" }", 44),
        ("method: \"!GET\"", 38),
    ] {
        check_route(&format!("to: a, match: {{ {matching} }}"), &[&warning(column)]);
    }
    check_route("to: a, match: { headers: { x: \"a!\" } }", &[]);
    check_route("to: a, match: { headers: { x: \"${BANG}\" } }", &[]);
    check_route("respond: { status: 444 }", &["4:33 out-of-range write `403`"]);
}

#[test]
fn conditions() {
    check_route(
        "to: a, match: { headers: { Host: a } }",
        &["4:41 bad-condition use `host:`"],
    );
    check_route(
        "to: a, match: { headers: { a b: a } }",
        &["4:41 bad-condition `a b` is not the name"],
    );
    check_route("to: a, match: { headers: { x: null } }", &["4:44 null-value"]);
    check_route(
        "to: a, match: { headers: { x: [a] } }",
        &["4:44 wrong-type found a list"],
    );
    check_route(
        "to: a, match: { headers: { x: \" a\" } }",
        &["4:44 impossible-match"],
    );
    check_route(
        "to: a, match: { headers: { x: 1, X: 2 } }",
        &["4:47 duplicate-key two conditions"],
    );
    check_route(
        "to: a, match: { headers: { x: \"~(\" } }",
        &["4:44 bad-regex unclosed group"],
    );
    check_route(
        "to: a, match: { headers: { x: \"~(\\\\w{500}){500}\" } }",
        &["4:44 bad-regex too large"],
    );
    check_route(
        "to: a, match: { cookies: { x: \"a;b\" } }",
        &["4:44 impossible-match"],
    );
    check_route(
        "to: a, match: { cookies: { \"a=b\": 1 } }",
        &["4:41 bad-condition"],
    );
    check_route(
        "to: a, match: { method: get }",
        &["4:38 lower-case-method write `GET`"],
    );
    check_route(
        "to: a, match: { method: \"*\" }",
        &["4:38 bad-condition leave `method` out"],
    );
    check_route(
        "to: a, match: { method: CONNECT }",
        &["4:38 impossible-match responds to `CONNECT` itself, with 501"],
    );
    check_route(
        "to: a, match: { method: [TRACE, CONNECT] }",
        &["4:38 impossible-match `TRACE` and `CONNECT`"],
    );
    check_route("to: a, match: { method: [TRACE, GET] }", &[]);
    check_route("to: a, match: { method: [] }", &["4:38 empty-list"]);
    check_route("to: a, match: []", &["4:28 empty-list"]);
    check_route("to: a, match: ", &["4:26 null-value"]);
    check_route("to: a, match: { client_ip: 10.0.0.0/33 }", &["4:41 bad-network"]);
    check_route(
        "to: a, match: { client_ip: \"10.0.0.1:80\" }",
        &["4:41 bad-network leave the port out"],
    );
    check_route(
        "to: a, match: { client_ip: \"::ffff:10.1.0.0/104\" }",
        &["4:41 bad-network the network is `10.0.0.0/8`"],
    );
    check_route(
        "to: a, match: { path: /a, paths: /b }",
        &["4:40 unknown-key did you mean `path`?"],
    );
}

#[test]
fn actions() {
    check_route("match: {}", &["4:11 missing-key add `to: NAME`"]);
    check_route("to: b", &["4:18 unknown-service"]);
    check_route("to: { a: 1, b: 1 }", &["4:26 unknown-service"]);
    check_route("to: [a]", &["4:18 wrong-type (write `a` without the brackets)"]);
    check_route("to: [a, b]", &["4:18 wrong-type write a split as"]);
    check_route("to: { a: -1 }", &["4:23 wrong-type digits only"]);
    check_route("to: { a: 0.5 }", &["4:23 wrong-type digits only"]);
    check_route(
        "to: a, respond: { status: 200 }",
        &["4:21 conflicting-keys either `to` or `respond`"],
    );
    check_route(
        "respond: { status: 200 }, timeout: 1s",
        &["4:40 conflicting-keys goes with `to`"],
    );
    check_route(
        "redirect: { port: 1 }, rewrite: { path: /a }, request_headers: {}",
        &["4:37 conflicting-keys", "4:60 conflicting-keys"],
    );
    check_route("respond: { status: 100 }", &["4:33 out-of-range 200 to 599"]);
    check_route("respond: {}", &["4:23 missing-key add `status: 410`"]);
    check_route(
        "respond: { status: 200, body: true }",
        &["4:44 wrong-type quote it"],
    );
    check_route("redirect: {}", &["4:14 missing-key leads back"]);
    check_route("redirect: { status: 301 }", &["4:14 missing-key leads back"]);
    check_route("redirect: { status: 300, port: 1 }", &["4:34 out-of-range"]);
    check_route(
        "redirect: { scheme: ftp }",
        &["4:34 unknown-word `http` or `https`"],
    );
    check_route(
        "redirect: { host: a:80 }",
        &["4:32 bad-host write `host: a` and `port: 80`"],
    );
    check_route("redirect: { port: 0 }", &["4:32 out-of-range"]);
    check_route("to: a, timeout: 1y", &["4:30 bad-value"]);
    check_route("to: a, rewrite: {}", &["4:21 missing-key rewrites nothing"]);
    check_route(
        "to: a, rewrite: { reverse: off }",
        &["4:21 missing-key rewrites nothing"],
    );
    check_route(
        "to: a, rewrite: { path: /x, reverse: off }",
        &["4:42 conflicting-keys cannot be undone"],
    );
    check_route(
        "to: a, rewrite: { host: b, reverse: never }",
        &["4:50 unknown-word `on` or `off`"],
    );
    check_route(
        "to: a, rewrite: { host: http://a }",
        &["4:38 bad-host leave the scheme out: `a`"],
    );
}

#[test]
fn rewrites() {
    check_route(
        "match: { path: /a }, to: a, rewrite: { prefix: /b }",
        &["4:53 bad-rewrite end the pattern in `/*`"],
    );
    check_route("to: a, rewrite: { prefix: /b }", &[]);
    check_route(
        "to: a, rewrite: { path: b }",
        &["4:38 bad-rewrite did you mean `/b`?"],
    );
    check_route(
        "to: a, rewrite: { path: \"/{\" }",
        &["4:40 bad-rewrite without its partner"],
    );
    check_route("to: a, rewrite: { path: /a?b }", &["4:38 bad-rewrite query"]);
    check_route(
        "to: a, rewrite: { path: /../a }",
        &["4:38 bad-rewrite climbs above"],
    );
    check_route(
        "to: a, rewrite: { path: \"/%zz\" }",
        &["4:38 bad-rewrite can never be a path"],
    );
    check_route(
        "match: { path: \"/{shop}\" }, to: a, rewrite: { path: \"/{shp}\" }",
        &["4:68 unknown-value did you mean `{shop}`?"],
    );
    check_route(
        "match: [{ path: \"/{b}\" }, { path: /c }], to: a, rewrite: { path: \"/{b}\" }",
        &["4:81 unknown-value `{b}` is not bound"],
    );
    check_route(
        "to: a, rewrite: { regex: [a, b], path: /c }",
        &["4:32 conflicting-keys"],
    );
    check_route("to: a, rewrite: { regex: [a] }", &["4:39 wrong-type two texts"]);
    check_route("to: a, rewrite: { regex: [\"(\", b] }", &["4:40 bad-regex"]);
    check_route(
        "to: a, rewrite: { regex: [a, $1] }",
        &["4:43 bad-rewrite no group `1`"],
    );
    check_route(
        "to: a, rewrite: { regex: [~^/a, b] }",
        &["4:40 bad-regex without a `~`"],
    );
}

#[test]
fn literals_of_replacements() {
    // The same text is held to the same rules as a path, a prefix, and a replacement; of a rewrite and of a redirect.
    for (text, advice) in [
        ("/find?a=1", "a `?` of the path itself is `%3F`"),
        ("/find#a", "a `#` of the path itself is `%23`"),
        ("/a%2Fb", "`paths: { encoded_slash: keep }`"),
        ("/a%2fb", "`paths: { encoded_slash: keep }`"),
        ("/a%5Cb", "leave it out"),
        ("/a%00b", "leave it out"),
        ("/a/..;/b", "`paths: { dot_segment_parameters: keep }`"),
        ("/a/%2e%2e%3bx", "`paths: { dot_segment_parameters: keep }`"),
        ("/a%zz", "`%25`"),
        ("/a%", "`%25`"),
        ("/a%2", "`%25`"),
        ("/a b", "a space as `%20`"),
        ("/a\\\\b", "there are no escapes"),
        ("/a\\tb", "a space as `%20`"),
        ("/a\\x7fb", "a space as `%20`"),
    ] {
        for action in ["to: a, rewrite", "redirect"] {
            for key in ["path: TEXT", "prefix: TEXT", "regex: [\"^/x(.*)\", TEXT]"] {
                let (before, after) = key.split_once("TEXT").unwrap();
                let before = format!("- {{ name: r, {action}: {{ {before}");
                let rest = if action == "redirect" {
                    "- { name: s, match: { path: /s }, to: a }\n"
                } else {
                    ""
                };
                check(
                    format!("{BASE}routes:\n{before}\"{text}\"{after} }} }}\n{rest}"),
                    &[&format!("4:{} bad-rewrite {advice}", before.len() + 1)],
                );
            }
        }
    }
    for (from, to, advice) in [
        ("^/x", "y", "a path begins with `/`"),
        ("^/(.*)", "y$1", "a path begins with `/`"),
        ("(.*)", "/%$1", "`%25`"),
        ("(.*)", "/%2$1", "`%25`"),
        ("(.*)", "/$1?a=1", "the query of the request stays"),
        ("(.*)", "$2", "no group `2`"),
        ("(.*)", "$name", "no group `name`"),
        ("(?<n>.*)", "/$n/$m", "no group `m`"),
        ("(.*)", "$1x", "no group `1x`"),
        ("(.*)", "/a$", "a literal `$` is `$$`"),
    ] {
        check_route(
            &format!("to: a, rewrite: {{ regex: [\"{from}\", \"{to}\"] }}"),
            &[&format!("4:{} bad-rewrite {advice}", 44 + from.len())],
        );
    }
    for (from, to) in [
        ("^/x", "/../y"),
        ("^/.*", "/a/../../b"),
        ("^/x", "/../$0"),
        ("^/x", "/../.."),
    ] {
        check_route(
            &format!("to: a, rewrite: {{ regex: [\"{from}\", \"{to}\"] }}"),
            &[&format!("4:{} bad-rewrite leave the `..` out", 44 + from.len())],
        );
    }
    // Whether these have a path depends on the request.
    for (from, to) in [
        ("^/x", ""),
        ("^/x(.*)", "$1"),
        ("/x", "y"),
        ("/x", "/../y"),
        ("^/x(.*)", "/a/../$1/.."),
        ("^/x", "/.."),
        ("^/x(.*)", "/%41$1%20%25$$"),
        ("^/x", "/a%3Fb"),
        ("^/x", "/ü{}|"),
        ("^/x", "//a//b"),
        ("%25", "%"),
        ("%25(.)", "/%2$1"),
    ] {
        check_route(
            &format!("to: a, rewrite: {{ regex: [\"{from}\", \"{to}\"] }}"),
            &[],
        );
    }
    // As in a path, `%2F` is there where a listener keeps it.
    for key in ["path: /a%2Fb", "regex: [\"^/x\", /a%2Fb]"] {
        check(
            format!(
                "listeners: [{{ bind: 127.0.0.1:80, paths: {{ encoded_slash: keep }} }}]\n\
                services: {{ a: {{ endpoints: [] }} }}\nroutes:\n- {{ name: r, to: a, rewrite: {{ {key} }} }}\n"
            ),
            &[],
        );
    }
    // A listener's redirect.
    check(
        "listeners: [{ bind: 127.0.0.1:80, redirect: { regex: [\"^/x\", \"/y?z\"] } }]\n",
        &["1:62 bad-rewrite `url: URL`"],
    );
}

#[test]
fn hints_at_other_ways_to_say_it_are_valid() {
    check(
        format!(
            "{BASE}routes:\n- {{ name: r, match: {{ path: /x }}, respond: {{ status: 302 }}, \
            response_headers: {{ set: {{ location: \"https://a/find?a=1\" }} }} }}\n\
            - {{ name: s, to: a, rewrite: {{ regex: [^/x, /find%3Fa%23b] }}, request_headers: {{ set: {{ x-a: 1 }} }} }}\n"
        ),
        &[],
    );
}

#[test]
fn sticky_splits() {
    check_route(
        "to: a, sticky: {}",
        &["4:21 missing-key add one of `header`, `cookie`"],
    );
    check_route(
        "to: a, sticky: { deal: spring }",
        &["4:21 missing-key add one of `header`, `cookie`"],
    );
    check_route("to: a, sticky: { client_ip: true, deal: spring-2026.b_C }", &[]);
    for deal in ["a b", "\"\"", "a/b", "ü"] {
        check_route(
            &format!("to: a, sticky: {{ client_ip: true, deal: {deal} }}"),
            &["4:54 bad-name a name has letters, digits"],
        );
    }
    check_route(
        "to: a, sticky: { cookie: { name: side, same_site: none, secure: false } }",
        &["4:70 conflicting-keys leave `secure` out"],
    );
    check_route(
        "to: a, sticky: { cookie: { name: __Secure-side, secure: false } }",
        &["4:62 conflicting-keys leave `secure` out"],
    );
    check_route(
        "to: a, sticky: { cookie: { name: side, same_site: Lax } }",
        &["4:64 unknown-word did you mean `lax`?"],
    );
    check_route(
        "to: a, sticky: { cookie: { name: side, http_only: on } }",
        &["4:64 wrong-type write `true`"],
    );
    for attributes in [
        "same_site: none",
        "same_site: none, secure: true",
        "same_site: strict, secure: false, http_only: false",
    ] {
        check_route(
            &format!("to: a, sticky: {{ cookie: {{ name: side, {attributes} }} }}"),
            &[],
        );
    }
}

#[test]
fn uneven_deals() {
    let check = |one: &str, other: &str, expected: &[&str]| {
        check(
            format!(
                "listeners: [{{ bind: 127.0.0.1:80 }}]\n\
                services: {{ a: {{ endpoints: [] }}, b: {{ endpoints: [] }}, c: {{ endpoints: [] }} }}\nroutes:\n\
                - {{ name: r, match: {{ path: /r }}, {one} }}\n- {{ name: s, match: {{ path: /s }}, {other} }}\n\
                - {{ name: t, match: {{ path: /t }}, to: {{ a: 1, b: 1, c: 1 }} }}\n"
            ),
            expected,
        );
    };
    check(
        "to: { a: 1, b: 1 }, sticky: { cookie: x, deal: d }",
        "to: { b: 1, c: 1 }, sticky: { cookie: { name: x, max_age: 1h }, deal: d }",
        &[],
    );
    check(
        "to: { a: 1, b: 1 }, sticky: { cookie: x, deal: d }",
        "to: a, sticky: { header: x, deal: e }",
        &[],
    );
    check(
        "to: { a: 1, b: 1 }, sticky: { cookie: x, deal: d }",
        "to: a, sticky: { cookie: x, deal: d }",
        &["5:69 uneven-deal splits of 2 services and of 1 service"],
    );
    check(
        "to: { a: 1, b: 1 }, sticky: { cookie: x, deal: d }",
        "to: { a: 1, b: 1 }, sticky: { header: x, deal: d }",
        &["5:82 uneven-deal by the cookie `x` and by the header `x`"],
    );
    check(
        "to: { a: 1, b: 1 }, sticky: { client_ip: true, deal: d }",
        "to: { a: 1, b: 1 }, sticky: { header: x, deal: d }",
        &["5:82 uneven-deal by their address and by the header `x`"],
    );
    check(
        "to: { a: 1, b: 1 }, sticky: { cookie: x, deal: d }",
        "to: { a: 1, b: 1 }, sticky: { cookie: { name: x, path: /s }, deal: d }",
        &["5:102 uneven-deal different paths or domains"],
    );
}

#[test]
fn header_edits() {
    check_route(
        "to: a, request_headers: { set: { host: b, te: x, \"a b\": c, x: \"\\r\" }, remove: [x] }",
        &[
            "4:47 bad-header-edit `rewrite: { host: … }`",
            "4:56 bad-header-edit set by the gateway itself",
            "4:63 bad-header-edit not a header name",
            "4:76 bad-header-edit control character",
        ],
    );
    check_route(
        "to: a, response_headers: { set: { x: b }, add: { X: c } }",
        &["4:63 bad-header-edit edited twice"],
    );
    check_route(
        "to: a, response_headers: { set: { x: true } }",
        &["4:51 wrong-type quote it"],
    );
}

#[test]
fn names() {
    check(
        format!(
            "{BASE}routes:\n- {{ name: r, to: a }}\n- {{ name: r, to: a }}\n- {{ name: a/b, to: a }}\n- {{ to: a }}\n"
        ),
        &["5:11 duplicate-name", "6:11 bad-name", "7:3 missing-key"],
    );
    check(
        format!("{BASE}routes:\n- {{ name: 7, to: a }}\n- {{ name: true, to: a }}\n"),
        &["5:11 wrong-type quote it"],
    );
}

#[test]
fn tests_of_the_configuration() {
    let check = |test: &str, expected: &[&str]| {
        check(
            format!("{BASE}routes: [{{ name: r, to: a }}]\ntests:\n- {{ {test} }}\n"),
            expected,
        );
    };
    check("request: GET /x, expect: { route: r }", &[]);
    check(
        "request: GET /x, expect: {}",
        &["5:22 missing-key expects nothing"],
    );
    check("request: GET /x", &["5:3 missing-key `expect`"]);
    check(
        "request: /x, expect: { route: r }",
        &["5:14 bad-value write `GET /x`"],
    );
    check(
        "request: GET, expect: { route: r }",
        &["5:14 bad-value has no URL"],
    );
    check(
        "request: GET a.b/x, expect: { route: r }",
        &["5:14 bad-value `GET http://a.b/x`"],
    );
    check(
        "request: GET /x HTTP/1.1, expect: { route: r }",
        &["5:14 bad-value `GET /x`"],
    );
    check("request: GET /x, expect: { route: rr }", &["5:39 unknown-route"]);
    check(
        "request: GET /x, expect: { service: b }",
        &["5:41 unknown-service"],
    );
    check(
        "request: GET /x, expect: { arms: [b] }",
        &["5:39 unknown-service"],
    );
    check(
        "request: GET /x, expect: { arms: { b: 1 } }",
        &["5:40 unknown-service"],
    );
    check(
        "request: GET /x, expect: { outcome: foward }",
        &["5:41 unknown-word did you mean `forward`?"],
    );
    check("request: GET /x, expect: { status: 99 }", &["5:40 out-of-range"]);
    check(
        "request: GET /x, expect: { path: a }",
        &["5:38 bad-value begins with `/`"],
    );
    check(
        "request: GET /x, listener: l, expect: { route: r }",
        &["5:32 unknown-listener"],
    );
    check(
        "request: GET /x, listener: \"127.0.0.1:8080\", expect: { route: r }",
        &[],
    );
    check(
        "request: GET /x, client_ip: 10.0.0.0/8, expect: { route: r }",
        &["5:33 bad-network"],
    );
}

#[test]
fn settings() {
    check(
        "listeners: [{ bind: 0.0.0.0:80 }]\nworkers: 0\n",
        &["2:10 out-of-range"],
    );
    check(
        "listeners: [{ bind: 0.0.0.0:80 }]\ndebug_headers: yes\n",
        &["2:16 wrong-type (write `true`)"],
    );
    check(
        "listeners: [{ bind: 0.0.0.0:80 }]\naccess_log: true\n",
        &["2:13 wrong-type write `off`, `stdout` or a path"],
    );
    check(
        "listeners: [{ bind: 0.0.0.0:80 }]\naccess_log: \"\"\n",
        &["2:13 bad-value"],
    );
    check(
        "listeners: [{ bind: 0.0.0.0:80 }]\ndrain_timeout: 25h\n",
        &["2:16 out-of-range 0s to 24h"],
    );
    check("listeners: [{ bind: 0.0.0.0:80 }]\ndrain_timeout: 0s\n", &[]);
}

#[test]
fn variables() {
    check(
        "listeners: [{ bind: \"${UNSET}\" }]\n",
        &["1:21 unset-variable `UNSET`"],
    );
    check(
        "listeners: [{ bind: ${PORT} }]\n",
        &["1:22 syntax has to be quoted"],
    );
}

#[test]
fn empty_variables() {
    for (text, place) in [
        ("listeners: [{ bind: \"${EMPTY}\" }]\n".to_owned(), "1:21"),
        (
            "listeners: [{ bind: \"127.0.0.1:80${EMPTY}\" }]\n".to_owned(),
            "1:21",
        ),
        (format!("{BASE}drain_timeout: ${{EMPTY}}\n"), "3:16"),
    ] {
        check(
            text,
            &[&format!(
                "{place} unset-variable write `${{EMPTY:-}}` where empty is meant"
            )],
        );
    }
    for (route, column) in [
        ("to: a, match: { headers: { x: \"${EMPTY}\" } }", 44),
        ("to: a, match: { headers: { x: \"Bearer ${EMPTY}\" } }", 44),
        ("to: a, match: { headers: { x: \"~^${EMPTY}$\" } }", 44),
        ("to: a, match: { query: { x: \"${EMPTY}\" } }", 42),
        ("to: a, match: { cookies: { x: \"${EMPTY}\" } }", 44),
        ("to: a, match: { path: \"${EMPTY}/*\" }", 36),
        ("to: \"${EMPTY}\"", 18),
        ("to: a, force: { header: x, values: { y: \"${EMPTY}\" } }", 54),
        ("to: a, request_headers: { set: { x: \"${EMPTY}\" } }", 50),
        ("to: a, rewrite: { host: \"${EMPTY}\" }", 38),
    ] {
        check_route(route, &[&format!("4:{column} unset-variable `EMPTY` is empty")]);
    }
    check_route(
        "to: a, request_headers: { set: { x: \"${EMPTY:-}\", y: \"${UNSET:-}\" } }",
        &[],
    );
    check_route("to: \"${EMPTY:-a}\"", &[]);
    check(
        format!("{BASE}tests: [{{ request: \"GET /${{EMPTY}}\", expect: {{ route: null }} }}]\n"),
        &["3:20 unset-variable `EMPTY` is empty"],
    );
}

#[test]
fn conditions_on_an_empty_value() {
    for (route, column) in [
        ("to: a, match: { headers: { x: \"\" } }", 44),
        ("to: a, match: { headers: { x: \"${EMPTY:-}\" } }", 44),
        ("to: a, match: { query: { x: \"${UNSET:-}\" } }", 42),
        ("to: a, match: { cookies: { x: \"\" } }", 44),
    ] {
        check_route(
            route,
            &[&format!("4:{column} empty-condition write `true` for any value")],
        );
    }
    check(
        format!("{BASE}routes:\n- name: r\n  to: a\n  match:\n    query:\n      x: ${{EMPTY:-}}\n"),
        &["8:10 empty-condition"],
    );
}

#[test]
fn unquoted_values_that_yaml_misreads() {
    for (route, advice) in [
        ("match: { path: /users/{id} }, to: a", "`\"/users/{id}\"`"),
        ("match: {path: /{a}/x/{b}/y}, to: a", "`\"/{a}/x/{b}/y\"`"),
        ("match: [{ path: \"/{c}\" }, { path: /{a} }], to: a", "`\"/{a}\"`"),
        ("rewrite: { path: /v1/{id}.json }, to: a", "`\"/v1/{id}.json\"`"),
    ] {
        let text = format!("{BASE}routes:\n- name: r\n  {}\n", route.replace(", to: a", ""));
        let flow = format!("{BASE}routes:\n- {{ name: r, {route} }}\n");
        for text in [text, flow] {
            let found = load_text(text.clone()).unwrap_err();
            assert_eq!(found[0].code, Code::Syntax, "{text}{found:#?}");
            let help = found[0].help.as_deref().unwrap_or("-");
            assert!(help.contains(advice), "{text}{help}");
        }
    }
    for hosts in ["[*.example.com]", "[a.b, *.example.com]", "*.example.com"] {
        check(
            format!("listeners:\n- bind: 0.0.0.0:80\n  hosts: {hosts}\n"),
            &[&format!(
                "3:{} alias has to be quoted, as in `\"*.example.com\"`",
                10 + hosts.find('*').unwrap()
            )],
        );
    }
    check(
        "listeners:\n  - bind: 127.0.0.1:0\n\thosts: [a]\n",
        &["3:1 tab-indentation indent with spaces"],
    );
    // Other syntax errors get no such hint.
    for text in [
        "routes: [{ a: \"/{b}\" }, { c: d ]\n",
        "routes: [{ a:{b} ]\n",
        "a: {b}}\n",
    ] {
        let found = load_text(text).unwrap_err();
        assert_eq!(found[0].help, None, "{text}{found:#?}");
    }
}

#[test]
fn mistakes_do_not_hide_others() {
    check(
        format!(
            "{BASE}routes:\n- {{ name: r, to: b, timeout: x }}\n- {{ name: s, match: {{ path: a }}, to: a, zzz: 1 }}\nworkers: x\n"
        ),
        &[
            "4:18 unknown-service",
            "4:30 bad-value",
            "5:29 bad-path",
            "5:41 unknown-key",
            "6:10 wrong-type",
        ],
    );
    // An item that cannot be read is not reported as missing too.
    check(
        "listeners: [{ bind: 0.0.0.0:80 }]\nservices: { a: http://x }\nroutes: [{ name: r, to: a }]\n",
        &["2:16 wrong-type expected a service"],
    );
    check(
        "listeners:\n- bind 127.0.0.1:0\nservices: {}\n",
        &["2:3 wrong-type expected a listener"],
    );
    check(
        "listeners: []\nworkers: x\n",
        &["1:12 no-listeners", "2:10 wrong-type"],
    );
    // A misspelt `services` makes no unknown services.
    check(
        "listeners: [{ bind: 0.0.0.0:80 }]\nservces: {}\nroutes: [{ name: r, to: a }]\n",
        &["2:1 unknown-key did you mean `services`?"],
    );
}

#[test]
fn conflicts_between_files_name_both_places() {
    let files = [
        source(
            "a.yaml",
            format!("{BASE}routes: [{{ name: r, to: a }}]\nworkers: 1\n"),
        ),
        source(
            "b.yaml",
            "services: { a: { endpoints: [] } }\nroutes: [{ name: r, to: a }]\nworkers: 2\n",
        ),
    ];
    let found = load(&files, Kind::Directory, &environment).unwrap_err();
    let shown: Vec<String> = found
        .iter()
        .map(|found| {
            let places = found.labels.iter().map(|label| {
                let place = &label.place;
                format!("{}:{}:{}", place.file, place.line, place.column)
            });
            format!("{} {}", found.code, places.collect::<Vec<_>>().join(" "))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "duplicate-name b.yaml:1:13 a.yaml:2:13",
            "duplicate-name b.yaml:2:18 a.yaml:3:18",
            "duplicate-key b.yaml:3:1 a.yaml:4:1",
        ]
    );
    let nothing = load(&[], Kind::Directory, &environment).unwrap_err();
    assert_eq!(nothing[0].code, Code::EmptyFile);
}

#[test]
fn unreachable_and_ambiguous_routes() {
    let check = |routes: &str, expected: &[&str]| check(format!("{BASE}routes:\n{routes}"), expected);
    check(
        "- { name: r, match: { path: /a/* }, to: a }\n- { name: s, match: { path: /a/* }, to: a }\n",
        &["5:11 unreachable-route no request reaches the route `s`"],
    );
    // The hint says what mends it.
    let twice = |first: &str, second: &str| {
        format!("- {{ name: r, match: {first}, to: a }}\n- {{ name: s, match: {second}, to: a }}\n")
    };
    check(
        &twice("{ path: /a/* }", "{ path: /a/* }"),
        &["5:11 unreachable-route (remove it, or add a condition: `r` takes the same requests)"],
    );
    let pair = |reversed: bool| {
        let (wide, narrow) = ("{ method: [GET, PUT] }", "{ method: GET }");
        if reversed {
            twice(narrow, wide)
        } else {
            twice(wide, narrow)
        }
    };
    let (in_order, order) = (
        &pair(false),
        "(declare it before `r`: only their order decides between them)",
    );
    check(in_order, &[&format!("5:11 unreachable-route {order}")]);
    check(&pair(true), &["5:21 ambiguous-routes only the order"]);
    check(
        "- { name: r, match: [{ path: /a }, { path: /a }], to: a }\n",
        &["4:36 unreachable-route (remove it: another alternative of the route takes the same requests)"],
    );
    for (wide, narrow) in [
        ("{ headers: { x: true } }", "{ headers: { x: 1 } }"),
        ("{ headers: { x: '~^[0-9]' } }", "{ headers: { x: 1 } }"),
        ("{ cookies: { x: true } }", "{ cookies: { x: '~^1' } }"),
        ("{ query: { x: true } }", "{ query: { x: 1 } }"),
    ] {
        check(&twice(wide, narrow), &[]);
        check(&twice(narrow, wide), &[]);
    }
    check(
        "- { name: r, match: { headers: { x: 1 } }, to: a }\n- { name: s, match: { headers: { y: 1 } }, to: a }\n",
        &["5:21 ambiguous-routes separates `s` from `r`, which takes `GET"],
    );
    check(
        "- { name: r, match: { path: /a/* }, to: a }\n- { name: s, match: [{ path: /a/* }, { path: /b }], to: a }\n",
        &[
            "5:22 unreachable-route this alternative of `s`",
            "5:22 ambiguous-routes which takes `GET /a/x`",
        ],
    );
    check(
        "- { name: r, match: { headers: { cookie: a=1 }, cookies: { a: false } }, to: a }\n",
        &["4:21 impossible-match"],
    );
    let pair = "- { name: r, match: { headers: { x: 1 } }, to: a }\n- { name: s, match: { headers: { y: 1 } }, to: a }\n";
    self::check(
        BASE.replace(":8080", ":8080, hosts: [\"*.a.b\"]") + "routes:\n" + pair,
        &["5:21 ambiguous-routes which takes `GET http://x.a.b/x -H"],
    );
}

#[test]
fn sticky() {
    for sticky in [
        "{ header: X-User }",
        "{ cookie: side }",
        "{ cookie: { name: side, path: /a, max_age: 8760h, domain: example.com } }",
        "{ client_ip: true }",
    ] {
        check_route(&format!("to: a, sticky: {sticky}"), &[]);
    }
    check_route(
        "to: a, sticky: {}",
        &["4:21 missing-key one of `header`, `cookie`, `client_ip`"],
    );
    check_route(
        "to: a, sticky: { header: x, cookie: y }",
        &["4:42 conflicting-keys either `header` or `cookie`"],
    );
    check_route(
        "to: a, sticky: { client_ip: false }",
        &["4:42 bad-value `true` or not there"],
    );
    check_route(
        "to: a, sticky: { header: a b }",
        &["4:39 bad-name not the name of a header"],
    );
    check_route(
        "to: a, sticky: { header: Host }",
        &["4:39 bad-name tells clients apart"],
    );
    check_route(
        "to: a, sticky: { cookie: a=b }",
        &["4:39 bad-name not the name of a cookie"],
    );
    check_route(
        "to: a, sticky: { cookie: { name: a, path: b } }",
        &["4:56 bad-value not the path of a cookie"],
    );
    check_route(
        "to: a, sticky: { cookie: { name: a, domain: \"a; Secure\" } }",
        &["4:58 bad-value not the domain of a cookie"],
    );
    check_route(
        "to: a, sticky: { cookie: { name: a, max_age: 500ms } }",
        &["4:59 out-of-range 1s to 9600h"],
    );
    check_route(
        "to: a, sticky: { cookie: { name: __Host-a, path: /b } }",
        &["4:47 conflicting-keys leave both out"],
    );
    check_route(
        "respond: { status: 200 }, sticky: { client_ip: true }",
        &["4:40 conflicting-keys goes with `to`"],
    );
}

#[test]
fn forced_arms() {
    check_route("to: a, force: { header: x, values: { always: a } }", &[]);
    check_route("to: { a: 1 }, force: { cookie: x, values: { always: a } }", &[]);
    check_route(
        "to: { a: 1 }, force: { header: x, values: { always: aaa } }",
        &["4:66 unknown-service weight 0"],
    );
    check_route("to: a, force: { header: x }", &["4:28 missing-key add `values:"]);
    check_route(
        "to: a, force: { values: { x: a } }",
        &["4:21 missing-key one of `header`, `cookie`"],
    );
    check_route(
        "to: a, force: { header: x, cookie: y, values: { x: a } }",
        &["4:41 conflicting-keys either `header` or `cookie`"],
    );
}

#[test]
fn mirrors() {
    for share in [
        "",
        ", percent: 0.125",
        ", percent: 100",
        ", fraction: { numerator: 1, denominator: 1000 }",
    ] {
        check_route(&format!("to: a, mirror: {{ to: a{share} }}"), &[]);
    }
    check_route(
        "to: a, mirror: { to: b }",
        &["4:35 unknown-service no service named `b`"],
    );
    check_route("to: a, mirror: { percent: 5 }", &["4:29 missing-key add `to:"]);
    check_route(
        "to: a, mirror: { to: a, percent: 101 }",
        &["4:47 out-of-range 0 to 100"],
    );
    check_route(
        "to: a, mirror: { to: a, percent: 5% }",
        &["4:47 wrong-type write `5`"],
    );
    check_route(
        "to: a, mirror: { to: a, percent: 5, fraction: { numerator: 1 } }",
        &["4:50 conflicting-keys either `percent` or `fraction`"],
    );
    check_route(
        "to: a, mirror: { to: a, fraction: { numerator: 7, denominator: 5 } }",
        &["4:61 out-of-range more than all"],
    );
    check_route(
        "to: a, mirror: { to: a, fraction: { numerator: 0, denominator: 0 } }",
        &["4:77 out-of-range denominator is 0"],
    );
}

#[test]
fn admin_addresses() {
    let check = |admin: &str, expected: &[&str]| {
        check(
            format!("listeners: [{{ bind: 127.0.0.1:8080 }}]\nadmin: {admin}\n"),
            expected,
        );
    };
    for admin in [
        "off",
        "{}",
        "{ bind: 127.0.0.1:0 }",
        "{ bind: \"[::1]:9900\" }",
        "{ bind: unix:/run/waypost.sock }",
        "{ bind: 0.0.0.0:9900, token_file: /etc/waypost/tokens }",
    ] {
        check(admin, &[]);
    }
    check("{ bind: 0.0.0.0:9900 }", &["2:16 open-admin add a `token_file`"]);
    check(
        "{ bind: localhost:9900 }",
        &["2:16 bad-bind write `127.0.0.1:9900`"],
    );
    check("{ bind: 127.0.0.1 }", &["2:16 bad-bind `127.0.0.1:9900`"]);
    check(
        "{ bind: /run/x.sock }",
        &["2:16 bad-bind write `unix:/run/x.sock`"],
    );
    check("{ bind: \"unix:\" }", &["2:16 bad-bind an IP address and a port"]);
    check("on", &["2:8 wrong-type or `off`"]);
    check(
        "127.0.0.1:9900",
        &["2:8 wrong-type write `{ bind: 127.0.0.1:9900 }`"],
    );
    check("{ token_file: \"\" }", &["2:22 bad-value a path such as"]);
    check("{ show_headers: [] }", &[]);
    check("{ show_headers: [X-Tenant, user-agent] }", &[]);
    check("{ show_headers: [\"a b\"] }", &["2:25 bad-name letters, digits"]);
    check(
        "{ show_headers: [x-tenant, Authorization] }",
        &["2:35 bad-value leave it out"],
    );
    check("{ show_headers: [cookie] }", &["2:25 bad-value leave it out"]);
}

#[test]
fn state_and_metrics() {
    let check = |line: &str, expected: &[&str]| {
        check(
            format!("listeners: [{{ bind: 127.0.0.1:8080 }}]\n{line}\n"),
            expected,
        );
    };
    check("state: /var/lib/waypost", &[]);
    check("state: { keep: 5 }", &[]);
    check("metrics: { code: class }", &[]);
    check("state: \"\"", &["2:8 bad-value a path such as"]);
    check("state: { keep: 0 }", &["2:16 out-of-range 1 to 10000"]);
    check(
        "metrics: { code: family }",
        &["2:18 unknown-word `exact` or `class`"],
    );
}

#[test]
fn tls_of_listeners() {
    let check = |keys: &str, expected: &[&str]| {
        check(format!("listeners:\n- bind: 0.0.0.0:80\n  {keys}\n"), expected);
    };
    check("tls: {}", &["3:3 missing-key or `passthrough: true`"]);
    check("tls: { certificates: [] }", &["3:24 empty-list"]);
    check(
        "tls: { certificates: [{ cert: a }] }",
        &["3:25 missing-key add `key:"],
    );
    check(
        "tls: { certificates: [{ cert: \"\", key: b }] }",
        &["3:33 bad-value a path such as"],
    );
    check(
        "tls: { passthrough: true, certificates: [{ cert: a, key: b }] }",
        &["3:29 conflicting-keys does not terminate TLS"],
    );
    check(
        "tls: { certificates: [{ cert: a, key: b }], client_auth: { ca: c, mode: maybe } }",
        &["3:75 unknown-word `optional` or `required`"],
    );
    check(
        "proxy_protocol: required",
        &["3:3 conflicting-keys `trusted_proxies`"],
    );
    check(
        "{proxy_protocol: required, trusted_proxies: []}"
            .trim_matches(['{', '}'])
            .replace(", ", "\n  ")
            .as_str(),
        &["3:3 conflicting-keys `trusted_proxies`"],
    );
    check(
        "tls: { passthrough: true }\n  redirect: { scheme: https }",
        &["4:3 conflicting-keys sees no requests"],
    );
    check(
        "tls: { passthrough: true }\n  limits: { body_bytes: 1KiB }",
        &["4:13 conflicting-keys sees no requests"],
    );
    check(
        "tls: { passthrough: true }\n  half_close: end",
        &["4:3 conflicting-keys sees no requests"],
    );
    check(
        "tls: { certificates: [{ cert: a, key: b }] }\n  redirect: { scheme: https }",
        &["4:3 redirect-loop in clear text"],
    );
    check(
        "scheme: https\n  redirect: { scheme: https }",
        &["4:3 redirect-loop in clear text"],
    );
    check(
        "tls: { certificates: [{ cert: a, key: b }] }\n  scheme: http",
        &["4:3 conflicting-keys leave `scheme` out"],
    );
    check(
        "tls: { passthrough: true }\n  scheme: https",
        &["4:3 conflicting-keys sees no requests"],
    );
    check("scheme: tcp", &["3:11 unknown-word `http` or `https`"]);
}

#[test]
fn tls_of_services() {
    let check = |keys: &str, expected: &[&str]| {
        check(
            format!(
                "listeners: [{{ bind: 0.0.0.0:80 }}]\nservices:\n  a: {{ {keys} }}\nroutes: [{{ name: r, to: a }}]\n"
            ),
            expected,
        );
    };
    check(
        "endpoints: [http://a], tls: { ca: x }",
        &["3:31 conflicting-keys `https://`"],
    );
    check(
        "endpoints: [https://a], tls: { ca: x, insecure: true }",
        &["3:46 conflicting-keys leave `insecure` out"],
    );
    check(
        "endpoints: [https://a], tls: { insecure: true }",
        &["3:39 insecure-service set `ca`"],
    );
    check(
        "endpoints: [https://a], tls: { server_name: \"https://b\" }",
        &["3:52 bad-host without scheme and port"],
    );
    check(
        "endpoints: [http://a], proxy_protocol: v3",
        &["3:47 unknown-word `v1` or `v2`"],
    );
}

#[test]
fn upgrades_calls_and_connections() {
    check_route("to: a, upgrade: [h2c]", &["4:31 bad-value `http2: true`"]);
    check_route("to: a, upgrade: [HTTP/2.0]", &["4:31 bad-value `http2: true`"]);
    check_route("to: a, upgrade: [\"a b\"]", &["4:31 bad-value `websocket`"]);
    check_route(
        "respond: { status: 200 }, upgrade: []",
        &["4:40 conflicting-keys goes with `to`"],
    );
    check_route(
        "respond: { status: 200 }, grpc_web: true",
        &["4:40 conflicting-keys goes with `to`"],
    );
    check_route(
        "to: a, match: { grpc: {} }",
        &["4:30 missing-key add `service` or `method`"],
    );
    check_route(
        "to: a, match: { path: /x, grpc: { service: a.B } }",
        &["4:30 conflicting-keys leave `path` out"],
    );
    check_route(
        "to: a, match: { grpc: { service: \"a/b\" } }",
        &["4:47 bad-condition such as `shop.Orders`"],
    );
    check_route(
        "to: a, match: { grpc: { service: a.B, method: c.d } }",
        &["4:60 bad-condition the method alone"],
    );
    check_route(
        "to: a, match: { grpc: { service: a.B }, method: GET }",
        &["4:54 impossible-match leave `method` out"],
    );
    for (service, warned) in [
        ("endpoints: [http://a]", true),
        ("endpoints: [https://a]", true),
        ("endpoints: [h2c://a, http://b]", true),
        ("endpoints: [h2c://a]", false),
        ("endpoints: [http://a], http2: true", false),
        ("endpoints: [https://a], http2: true", false),
        ("endpoints: []", false),
    ] {
        for route in ["to: a", "to: { b: 1, a: 0 }", "to: a, grpc_web: true"] {
            check(
                format!(
                    "listeners: [{{ bind: 127.0.0.1:80 }}]\nservices:\n  b: {{ endpoints: [h2c://b] }}\n  a: {{ {service} }}\n\
                    routes:\n- {{ name: r, match: [{{ path: /x }}, {{ grpc: {{ service: s.T }} }}], {route} }}\n\
                    - {{ name: s, match: {{ path: /s }}, to: b }}\n"
                ),
                if warned {
                    &[
                        "6:38 grpc-without-http2 add `http2: true` to `a`, or write its endpoints with `h2c://`",
                    ]
                } else {
                    &[]
                },
            );
        }
    }
    check_route(
        "respond: { status: 200 }, match: { grpc: { service: a.B } }",
        &["2:13 unused-service"],
    );
    check_route(
        "to: a, match: { client_cert: { san: x } }",
        &["4:30 impossible-match add `client_auth:"],
    );
    check_route(
        "passthrough: a, match: { host: h, path: /x }",
        &["4:48 conflicting-keys only `host`, `client_ip` and `listener`"],
    );
    check_route(
        "passthrough: a, match: { host: h }",
        &["4:14 unreachable-route `tls: { passthrough: true }`"],
    );
    check_route(
        "passthrough: a, to: a",
        &["4:14 conflicting-keys keep one of them"],
    );
}

#[test]
fn name_servers() {
    let check = |resolver: &str, expected: &[&str]| {
        let routes = "routes: [{ name: r, to: a }]";
        check(format!("{BASE}{routes}\nresolver: {resolver}\n"), expected);
    };
    for server in [
        "dns.internal",
        "\"10.0.0.53:0\"",
        "\"tls://10.0.0.53\"",
        "\"10.0.0\"",
    ] {
        check(
            &format!("{{ nameservers: [{server}] }}"),
            &["4:27 bad-value with a port if it is not 53"],
        );
    }
    check("{ nameservers: [] }", &["4:26 empty-list leave the key out"]);
    check(
        "{ servers: [10.0.0.1] }",
        &["4:13 unknown-key did you mean `nameservers`?"],
    );
    check("10.0.0.53", &["4:11 wrong-type expected the resolver"]);
}

#[test]
fn retries_and_hedges() {
    let check = |keys: &str, expected: &[&str]| check_route(&format!("to: a, {keys}"), expected);
    check("retry: true", &["4:28 wrong-type expected a `retry`"]);
    check("retry: 2", &["4:28 wrong-type expected a `retry`"]);
    check("retry: { attempts: 0 }", &["4:40 out-of-range leave `retry` out"]);
    check("retry: { attempts: 11 }", &["4:40 out-of-range from 1 to 10"]);
    check("retry: { on: [] }", &["4:34 empty-list write reasons"]);
    for (reason, expected) in [
        ("200", "out-of-range 400 to 599"),
        ("399", "out-of-range 400 to 599"),
        ("600", "out-of-range 400 to 599"),
        ("4xx", "unknown-word a status from 400 to 599, or `5xx`"),
        ("5XX", "unknown-word did you mean `5xx`?"),
        ("http_503", "unknown-word did you mean `503`?"),
        ("refused-stream", "unknown-word did you mean `refused_stream`?"),
        ("connect-failure", "unknown-word write `connect`"),
        ("error", "unknown-word write `reset`"),
        ("gateway-error", "unknown-word write `502, 503, 504`"),
        ("non_idempotent", "unknown-word list the methods in `methods`"),
        ("sometimes", "unknown-word write `connect`, `reset`"),
        ("{}", "wrong-type a status"),
    ] {
        check(
            &format!("retry: {{ on: [503, {reason}] }}"),
            &[&format!("4:40 {expected}")],
        );
    }
    check("retry: { budget: 101 }", &["4:38 out-of-range from 0 to 100"]);
    check("retry: { backoff: 2s }", &["4:39 out-of-range 0s to 1s"]);
    check("retry: { timeout: 0s }", &["4:39 out-of-range 1ms to 24h"]);
    check("retry: { methods: [] }", &["4:39 empty-list"]);
    check(
        "retry: { methods: [GET, post] }",
        &["4:45 bad-value write `POST`"],
    );
    check(
        "retry: { methods: [\"*\"] }",
        &["4:40 bad-value list the methods"],
    );
    check("retry: { methods: [TRACE] }", &["4:40 bad-value never forwarded"]);
    check("retry: { methods: [a b] }", &["4:40 bad-value names of methods"]);
    check("retry: { body: 2MiB }", &["4:36 out-of-range 0 to 1MiB"]);
    check(
        "retry: { hedge: 95ms }",
        &["4:30 unknown-key `hedge` is a key of a route"],
    );
    check("hedge: 95ms", &["4:21 missing-key add `retry: {}`"]);
    check("hedge: 0s, retry: {}", &["4:28 out-of-range 1ms to 24h"]);
    check(
        "hedge: 2s, retry: { timeout: 2s }, timeout: 1s",
        &[
            "4:28 no-effect never comes",
            "4:50 no-effect the request is before",
        ],
    );
    check_route(
        "respond: { status: 200 }, retry: {}, hedge: 1s",
        &[
            "4:40 conflicting-keys goes with `to`",
            "4:51 conflicting-keys goes with `to`",
        ],
    );
}

#[test]
fn rewritten_cookies() {
    let check = |set_cookie: &str, expected: &[&str]| {
        check_route(&format!("to: a, set_cookie: {set_cookie}"), expected);
    };
    check("{}", &["4:33 missing-key add one of `path`, `domain`"]);
    check(
        "{ path: {}, secure: true }",
        &["4:41 empty-list add one, such as `path: { /: /shop }`"],
    );
    for (from, advice) in [
        ("app", "begins with `/`"),
        ("/app/*", "write `/app`"),
        ("/*", "write `/`"),
        ("~^/app", "compared as text"),
        ("\"/a;b\"", "begins with `/`"),
        ("/ä", "begins with `/`"),
    ] {
        check(
            &format!("{{ path: {{ {from}: /x }} }}"),
            &[&format!("4:43 bad-value {advice}")],
        );
    }
    check("{ path: { /a: x } }", &["4:47 bad-value is not the path"]);
    check(
        "{ path: { a: x } }",
        &["4:43 bad-value `a`", "4:46 bad-value `x`"],
    );
    check("{ path: { /a: /x, /a/: /y } }", &["4:51 duplicate-name `/a/`"]);
    for (from, advice) in [
        (
            "\"*.a.test\"",
            "write `a.test`: a cookie of a domain is for all hosts below",
        ),
        ("https://a.test/", "write `a.test`: cookies know neither"),
        ("\"a.test:80\"", "write `a.test`"),
        ("a b", "write the name of a host"),
        ("..a", "write the name of a host"),
        ("ä.test", "`xn--` form"),
        ("\"\"", "write the name of a host"),
    ] {
        check(
            &format!("{{ domain: {{ {from}: x.test }} }}"),
            &[&format!("4:45 bad-host {advice}")],
        );
    }
    check("{ domain: { a.test: x:1 } }", &["4:53 bad-host write `x`"]);
    check(
        "{ domain: { a.test: x, .A.test: y } }",
        &["4:56 duplicate-name `.A.test` is replaced already"],
    );
    check("{ secure: 1 }", &["4:43 wrong-type"]);
    check("{ same_site: Lax }", &["4:46 unknown-word did you mean `lax`?"]);
    check("{ same_site: none }", &["4:35 no-effect add `secure: true`"]);
    check(
        "{ same_site: none, secure: false }",
        &["4:52 conflicting-keys write `secure: true`"],
    );
    check("{ same_site: none, secure: true }", &[]);
    check_route(
        "respond: { status: 200 }, set_cookie: { secure: true }",
        &["4:40 conflicting-keys `set_cookie` goes with `to`"],
    );
}

#[test]
fn error_pages() {
    // On line 3.
    let check = |pages: &str, expected: &[&str]| {
        let routes =
            "routes: [{ name: r, match: { path: /r }, to: a }, { name: s, respond: { status: 410 } }]";
        check(format!("{BASE}errors: {pages}\n{routes}\n"), expected);
    };
    check("[]", &["3:9 empty-list"]);
    check("[{ status: 503, body: x }]", &[]);
    check("[{ body: x }]", &["3:10 missing-key add `status:"]);
    check(
        "[{ status: 503 }]",
        &["3:10 missing-key add `body` with the text, or `file`"],
    );
    check(
        "[{ status: 503, body: x, file: x }]",
        &["3:34 conflicting-keys keep one of them"],
    );
    check("[{ status: [], body: x }]", &["3:20 empty-list"]);
    check("[{ status: 200, body: x }]", &["3:20 out-of-range 400 to 599"]);
    check(
        "[{ status: 3xx, body: x }]",
        &["3:20 out-of-range `4xx` or `5xx`"],
    );
    check("[{ status: 600, body: x }]", &["3:20 out-of-range"]);
    check(
        "[{ status: 500-599, body: x }]",
        &["3:20 bad-value did you mean `5xx`?"],
    );
    check(
        "[{ status: 5XX, body: x }]",
        &["3:20 bad-value did you mean `5xx`?"],
    );
    check(
        "[{ status: [503, 502, 503], body: x }]",
        &["3:31 bad-error-page leave one of them out"],
    );
    check("[{ status: [503, 5xx], body: x }]", &["3:21 no-effect"]);
    check(
        "[{ status: 503, body: x, from: upstream }]",
        &["3:40 unknown-word `gateway` or `service`"],
    );
    check(
        "[{ status: 503, body: x, as: 199 }]",
        &["3:38 out-of-range 200 to 599"],
    );
    check("[{ status: 503, body: x, as: 204 }]", &["3:38 ignored-body"]);
    check("[{ status: 503, body: \"\", as: 204 }]", &[]);
    check(
        "[{ status: 503, body: x, content_type: \" x\" }]",
        &["3:48 bad-value write a type"],
    );
    check(
        "[{ status: 503, body: x, headers: { content-length: 5 } }]",
        &["3:45 bad-header-edit frames a message"],
    );
    check(
        "[{ status: 503, body: x, headers: { Content-Type: text/html } }]",
        &["3:45 bad-error-page write `content_type: text/html`"],
    );
    check(
        "[{ status: 503, body: 'see {request_id}', headers: { x-a: '{host} {service}' } }]",
        &[],
    );
    check(
        "[{ status: 503, body: '{id}' }]",
        &["3:32 unknown-value bound in the pattern of a route"],
    );
    check(
        "[{ status: 503, body: x, headers: { x-a: '{hots}' } }]",
        &["3:51 unknown-value did you mean `{host}`?"],
    );
    check(
        "[{ status: 503, body: '$host' }]",
        &["3:31 foreign-value write `{host}`"],
    );
    check(
        "[{ status: 503, body: '{\"error\": {}} {{host}}', headers: { x-a: '{{}' } }]",
        &[],
    );
    check(
        "[{ status: 503, file: \"https://cdn/sorry.html\" }]",
        &["3:31 bad-error-page pages are files on this machine"],
    );
    check(
        "[{ status: 503, file: errors/ }]",
        &["3:31 bad-error-page the path of a file"],
    );
    // The gateway never makes these by itself, but a route does one of them.
    check(
        "[{ status: [404, 418, 410], body: x }]",
        &["3:26 unused-error-page add `from: service`"],
    );
    check("[{ status: 418, from: service, body: x }]", &[]);
    check(
        "[{ status: 5xx, body: x }, { status: 502, from: service, body: y }, { status: [502, 503], body: z }]",
        &["3:87 unused-error-page put it in front"],
    );
}
