//! Values of a request in configured texts.

use super::*;

/// A route with `text` in a response header.
fn header(text: &str) -> String {
    format!("to: a, match: {{ path: \"/u/{{id}}\" }}, response_headers: {{ set: {{ x-a: '{text}' }} }}")
}

#[test]
fn every_name_may_stand_in_every_place() {
    for name in [
        "request_id",
        "client_ip",
        "host",
        "port",
        "scheme",
        "method",
        "path",
        "query",
        "time",
        "route",
        "service",
        "listener",
        "revision",
        "header.User-Agent",
        "cookie.side",
        "query.page",
        "client_cert.subject",
        "id",
    ] {
        for route in [
            "to: a, request_headers: { set: { x: \"{V}\" }, add: { y: \"a {V}\" } }",
            "to: a, response_headers: { set: { x: \"{V}\" }, add: { y: \"{V};a\" } }",
            "respond: { status: 200, body: \"{V} {{}}\" }",
            "to: a, rewrite: { path: \"/x/{V}\", host: \"{V}.a\", query: \"a={V}\" }",
            "to: a, rewrite: { query: { set: { a: \"{V}\" }, add: { b: \"{V}\" } } }",
            "redirect: { path: \"/x/{V}/y\", host: \"{V}\", query: \"{V}\" }",
            "redirect: { url: \"https://{V}.example.org/{V}?a={V}#{V}\" }",
        ] {
            if matches!(name, "query" | "path") && route.contains("url") {
                continue;
            }
            let route = route.replace("{V}", &format!("{{{name}}}"));
            let text = format!(
                "{BASE}routes:\n- {{ name: r, match: {{ path: \"/u/{{id}}\" }}, {route} }}\n\
                - {{ name: s, match: {{ path: /s }}, to: a }}\n"
            );
            check(text, &[]);
        }
    }
}

#[test]
fn unknown_names_are_errors_with_the_nearest() {
    for (text, hint) in [
        ("{client_iq}", "did you mean `{client_ip}`?"),
        ("{Host}", "did you mean `{host}`?"),
        ("{remote_addr}", "did you mean `{client_ip}`?"),
        ("{ip}", "did you mean `{client_ip}`?"),
        ("{uri}", "did you mean `{path}`?"),
        ("{request_uri}", "did you mean `{path}?{query}`?"),
        ("{http_x_tenant}", "did you mean `{header.x-tenant}`?"),
        ("{headers.x-a}", "did you mean `{header.x-a}`?"),
        ("{hedaer.x-a}", "did you mean `{header.x-a}`?"),
        ("{cookies.a}", "did you mean `{cookie.a}`?"),
        ("{args.a}", "did you mean `{query.a}`?"),
        ("{ids}", "did you mean `{id}`?"),
        ("{client_cert.subjct}", "did you mean `{client_cert.subject}`?"),
        ("{ host }", "write `{host}`, without blanks"),
        ("{1}", "(?<x>…)"),
        ("{tenant}", "bound in the pattern"),
    ] {
        check_route(&header(text), &[&format!("4:82 unknown-value {hint}")]);
        check_route(
            &header(&format!("é {text}")),
            &[&format!("4:84 unknown-value {hint}")],
        );
    }
}

#[test]
fn text_with_braces_is_text_where_texts_are_free() {
    for body in [
        r#"{"error": "gone"}"#,
        r#"{"a": {"b": {}}, "id": "{request_id}"}"#,
        r#"{{"a": "{request_id}"}}"#,
        "body{margin:0}",
        "{ not a name }",
        "{}",
    ] {
        check_route(
            &format!("respond: {{ status: 410, body: '{body}' }}"),
            &["2:13 unused-service"],
        );
    }
    check_route(&header(r#"{"group":"default","max_age":60}"#), &[]);
}

#[test]
fn parameters_win_over_other_names_and_are_bound_by_all() {
    check_route(
        "to: a, match: { path: \"/x/{host}\" }, request_headers: { set: { x: \"{host}\" } }",
        &["4:81 shadowed-value the parameter of the path"],
    );
    check_route("to: a, match: { path: \"/x/{host}\" }", &[]);
    check_route(
        "to: a, match: [{ path: \"/x/{host}\" }, { path: /y }], request_headers: { set: { x: \"{host}\" } }",
        &["4:97 unknown-value not bound by the path of every alternative"],
    );
    check_route(
        "respond: { status: 200, body: \"{id}\" }, match: [{ path: \"/x/{id}\" }, { host: a.b }]",
        &["4:45 unknown-value not bound by the path of every alternative"],
    );
    check_route(
        "to: a, match: { path: \"~^/(?<v>v[0-9])/\" }, response_headers: { set: { x: \"{v}\" } }",
        &[],
    );
}

#[test]
fn variables_of_other_gateways_are_warnings_with_our_word() {
    for (text, hint) in [
        ("$host", "write `{host}`"),
        ("$remote_addr", "write `{client_ip}`"),
        ("$request_id", "write `{request_id}`"),
        ("$uri", "write `{path}`"),
        ("%[src]", "write `{client_ip}`"),
        ("%{Host}", "write `{host}`"),
        ("%REQ(x-a)%", "write `{header.x-a}`"),
        ("%DOWNSTREAM_REMOTE_ADDRESS%", "write `{client_ip}`"),
        ("{http.request.host}", "write `{host}`"),
        ("{{ .Request.Host }}", "write `{host}`"),
        ("$(headers.x)", "write `{header.x}`"),
    ] {
        check_route(&header(text), &[&format!("4:81 foreign-value {hint}")]);
        check_route(
            &format!("to: a, rewrite: {{ host: '{text}' }}"),
            &[&format!("4:38 bad-host {}", hint.trim_end_matches('`'))],
        );
    }
    for (route, expected) in [
        (
            "to: a, rewrite: { path: /x/$uri }",
            "4:38 foreign-value write `/x/{path}`",
        ),
        (
            "to: a, rewrite: { path: '/x/{http.request.host}' }",
            "4:38 foreign-value write `/x/{host}`",
        ),
        (
            "to: a, rewrite: { path: '{http.request.uri}' }",
            "4:38 bad-rewrite `{path}`",
        ),
        (
            "to: a, rewrite: { query: a=$arg_b }",
            "4:39 foreign-value write `a={query.b}`",
        ),
        (
            "to: a, rewrite: { query: { set: { a: $host } } }",
            "4:51 foreign-value `{host}`",
        ),
        (
            "redirect: { url: \"https://a.b$request_uri\" }",
            "4:31 bad-rewrite write `https://a.b{path}?{query}`",
        ),
        (
            "redirect: { url: \"https://a.b/$uri\" }",
            "4:31 foreign-value write `https://a.b/{path}`",
        ),
        ("redirect: { host: $host }", "4:32 bad-host `{host}`"),
        // The groups of a regex.
        (
            "to: a, rewrite: { path: /x/$1 }",
            "4:38 foreign-value name the group in the path's regex",
        ),
        (
            "to: a, rewrite: { prefix: /x/$1 }, match: { path: /a/* }",
            "4:40 foreign-value write `{name}`",
        ),
        ("to: a, rewrite: { query: a=$1 }", "4:39 foreign-value `{name}`"),
        ("redirect: { path: /$2 }", "4:32 foreign-value `{name}`"),
        ("redirect: { url: https://a.b/$1 }", "4:31 foreign-value `{name}`"),
        ("redirect: { host: $1.a.b }", "4:32 bad-host `{name}`"),
        ("to: a, rewrite: { path: '/x/\\1' }", "4:38 bad-rewrite `{name}`"),
        // What cannot be at its place is an error in any case, with ours as the hint.
        (
            "to: a, rewrite: { path: '/x/%{Host}' }",
            "4:38 bad-rewrite write `/x/{host}`",
        ),
        (
            "to: a, rewrite: { path: '/x/%REQ(x-a)%' }",
            "4:38 bad-rewrite write `/x/{header.x-a}`",
        ),
        (
            "to: a, rewrite: { path: '/x/{{ .Request.Host }}' }",
            "4:38 bad-rewrite write `/x/{host}`",
        ),
        (
            "redirect: { query: 'a=%[src]' }",
            "4:33 bad-rewrite write `a={client_ip}`",
        ),
        (
            "to: a, rewrite: { host: '%{X-T}i.a.b' }",
            "4:38 bad-host write `{header.x-t}.a.b`",
        ),
        (
            "to: a, response_headers: { set: { x: '{env.HOME}' } }",
            "4:51 foreign-value write `${HOME}`",
        ),
    ] {
        let unused = ["2:13 unused-service"];
        let warns = route.starts_with("redirect") && expected.contains("foreign-value");
        let expected: Vec<&str> = unused
            .iter()
            .copied()
            .filter(|_| warns)
            .chain([expected])
            .collect();
        check_route(route, &expected);
    }
}

#[test]
fn texts_that_cannot_be_at_their_place_are_errors() {
    for (route, expected) in [
        (
            "to: a, rewrite: { path: \"x/{host}\" }",
            "4:38 bad-rewrite did you mean `/x/{host}`?",
        ),
        (
            "to: a, rewrite: { path: \"{host}/x\" }",
            "4:38 bad-rewrite did you mean `/{host}/x`?",
        ),
        (
            "to: a, rewrite: { path: \"/{host}?x\" }",
            "4:38 bad-rewrite stays, behind the new path",
        ),
        (
            "to: a, rewrite: { path: \"/{\\\"a\\\"}\" }",
            "4:38 bad-rewrite no value has such a name",
        ),
        (
            "to: a, rewrite: { path: \"/{host}/%zz\" }",
            "4:38 bad-rewrite `%25`",
        ),
        (
            "to: a, rewrite: { host: \"{host}/x\" }",
            "4:38 bad-host is not a host",
        ),
        (
            "to: a, rewrite: { query: \"?{query}\" }",
            "4:39 bad-rewrite leave the `?` out",
        ),
        ("redirect: { host: \"{host}:80\" }", "4:32 bad-host `port: 80`"),
        (
            "redirect: { url: \"{host}/x\" }",
            "4:31 bad-rewrite the whole URL",
        ),
        (
            "redirect: { url: \"https://{query}\" }",
            "4:31 bad-rewrite in front of `{query}`",
        ),
        (
            "redirect: { url: \"https://{host} {path}\" }",
            "4:31 bad-rewrite a host follows",
        ),
        (
            "redirect: { url: \"{scheme}://{host}{path}?{query}\" }",
            "4:14 redirect-loop",
        ),
        ("redirect: { host: \"{host}\" }", "4:14 redirect-loop"),
        ("redirect: { path: \"{path}\" }", "4:14 redirect-loop"),
    ] {
        check_route(route, &[expected]);
    }
    check_route(
        "to: a, rewrite: { path: \"{path}/x\", host: \"{host}:{port}\" }",
        &[],
    );
    check_route(
        "to: a, request_headers: { set: { x: \"a {host}\\n\" } }",
        &["4:50 bad-header-edit control character"],
    );
}

#[test]
fn request_ids_are_sent_where_a_listener_says_so() {
    let loaded = load_text(
        "listeners: [{ bind: 127.0.0.1:8080, request_id: true }, { bind: 127.0.0.1:8081 }]\nroutes: []\n",
    );
    let plan = loaded.unwrap().plan;
    let sends: Vec<bool> = plan
        .listeners()
        .iter()
        .map(|listener| listener.request_id)
        .collect();
    assert_eq!(sends, [true, false]);
    check(
        "listeners: [{ bind: 127.0.0.1:8080, request_id: true, tls: { passthrough: true } }]\n",
        &["1:37 conflicting-keys sees no requests"],
    );
}
