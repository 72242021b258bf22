//! Requests from pages of other origins.

use waypost_plan::cors::{Cors, Origins, Permitted};

use super::*;

fn cors_of(route: &str) -> Option<Cors> {
    let text = format!("{BASE}routes: [{{ name: r, to: a, {route} }}]\n");
    match load_text(text.clone()) {
        Ok(loaded) => {
            assert_eq!(lines(&loaded.warnings), [""; 0], "{text}");
            let policies = &loaded.plan.routes()[0].policies;
            policies.cors.as_deref().cloned()
        }
        Err(found) => panic!("{text}\n{:#?}", lines(&found)),
    }
}

fn listed(names: &str) -> Permitted {
    Permitted::Listed(names.into())
}

#[test]
fn what_is_left_out_has_the_defaults_of_the_reference() {
    let cors = cors_of("cors: { origins: [https://a.test] }").unwrap();
    let Origins::Listed(origins) = &cors.origins else {
        panic!("{cors:?}")
    };
    assert!(origins.covers(b"https://a.test"));
    assert_eq!(cors.methods, listed("GET, HEAD, POST, PUT, PATCH, DELETE"));
    assert_eq!(cors.headers, listed("authorization, content-type"));
    assert_eq!(&*cors.expose, "");
    assert_eq!(
        (cors.credentials, cors.max_age, cors.private_network),
        (false, None, false)
    );
}

#[test]
fn lists_are_one_text_and_a_star_is_all() {
    let cors = cors_of(
        "cors: { origins: \"*\", methods: [GET, PURGE, GET], headers: [X-A, x-b, x-a], expose: [ETag], max_age: 1h30m, \
         private_network: true }",
    )
    .unwrap();
    assert_eq!(cors.origins, Origins::Any);
    assert_eq!(cors.methods, listed("GET, PURGE"));
    assert_eq!(cors.headers, listed("x-a, x-b"));
    assert_eq!(&*cors.expose, "etag");
    assert_eq!(cors.max_age, Some(5400));
    assert!(cors.private_network);
    for all in ["\"*\"", "[\"*\"]"] {
        let cors = cors_of(&format!(
            "cors: {{ origins: {all}, methods: {all}, headers: {all}, expose: {all}, max_age: 0s }}"
        ))
        .unwrap();
        assert_eq!(cors.origins, Origins::Any, "{all}");
        assert_eq!(
            (cors.methods, cors.headers),
            (Permitted::Any, Permitted::Any),
            "{all}"
        );
        assert_eq!((&*cors.expose, cors.max_age), ("*", Some(0)), "{all}");
    }
    let none = cors_of("cors: { origins: [http://a], methods: [], headers: [], expose: [] }").unwrap();
    assert_eq!((none.methods, none.headers), (listed(""), listed("")));
    assert_eq!(cors_of("cors: off"), None);
}

#[test]
fn the_nearest_place_counts_as_a_whole() {
    let plan = |route: &str| {
        let text = format!(
            "listeners: [{{ bind: 127.0.0.1:8080, cors: {{ origins: [http://listener], credentials: true }} }}]\n\
             services: {{ a: {{ endpoints: [http://a] }} }}\n\
             policies: {{ web: {{ cors: {{ origins: [http://web] }} }} }}\n\
             routes: [{{ name: r, to: a{route} }}, {{ name: w, match: {{ path: /w }}, use: web, to: a }}]\n"
        );
        load_text(text).map_err(|found| lines(&found)).unwrap().plan
    };
    for (route, origin, credentials) in [
        ("", Some("http://listener"), true),
        (", use: web", Some("http://web"), false),
        (
            ", use: web, cors: { origins: [http://route] }",
            Some("http://route"),
            false,
        ),
        (", use: web, cors: off", None, false),
        (", cors: off", None, false),
    ] {
        let plan = plan(route);
        let cors = &plan.policies(&plan.routes()[0], &plan.listeners()[0]).cors;
        assert_eq!(cors.is_some(), origin.is_some(), "{route}");
        if let (Some(cors), Some(origin)) = (cors, origin) {
            let Origins::Listed(origins) = &cors.origins else {
                panic!("{cors:?}")
            };
            assert!(origins.covers(origin.as_bytes()), "{route}");
            assert_eq!(cors.credentials, credentials, "{route}");
        }
    }
}

#[test]
fn origins_that_no_page_has_are_refused_with_the_one_that_is_meant() {
    for (origin, expected) in [
        ("\"null\"", "`null` is the origin of every page"),
        (
            "https://app.example.com/",
            "browsers send `https://app.example.com`",
        ),
        (
            "https://app.example.com/shop",
            "browsers send `https://app.example.com`",
        ),
        (
            "https://u:p@app.example.com",
            "browsers send `https://app.example.com`",
        ),
        (
            "app.example.com",
            "write the scheme of the page, too: `https://app.example.com`",
        ),
        ("wss://app.example.com", "browsers send `https://app.example.com`"),
        ("file:///srv", "serve them"),
        ("https://*", "write `origins: \"*\"` for all pages"),
        ("https://app.*.example.com", "`*.` stands for the first labels"),
        ("https://*app.example.com", "`*.` stands for the first labels"),
        ("\"*://app.example.com\"", "list each scheme"),
        ("http://localhost:*", "list each port"),
        ("https://app.example.com:99999", "the port is not a number"),
        ("https://bücher.example", "`xn--` form"),
        ("\"*\"", "`*` stands alone"),
        ("https://b.test", "is in the list already"),
        ("https://B.test:443", "is in the list already"),
    ] {
        let code = match origin {
            "\"*\"" => "bad-value",
            _ if expected.contains("already") => "no-effect",
            _ => "bad-origin",
        };
        let route = format!("to: a, cors: {{ origins: [https://b.test, {origin}] }}");
        check_route(
            &route,
            &[&format!(
                "4:{} {code} {expected}",
                "- { name: r, to: a, cors: { origins: [https://b.test, ".len() + 1
            )],
        );
    }
}

#[test]
fn mistakes_of_other_keys() {
    for (keys, expected) in [
        (
            "cors: { origins: \"*\", credentials: true }",
            &["credentials: | conflicting-keys list the origins of your pages"][..],
        ),
        (
            "cors: { origins: [\"*\"], credentials: true }",
            &["credentials: | conflicting-keys list the origins of your pages"],
        ),
        (
            "cors: { origins: [http://a], expose: \"*\", credentials: true }",
            &["\"*\" | conflicting-keys list the headers"],
        ),
        (
            "cors: { origins: [] }",
            &["[] | empty-list add the origins of your pages"],
        ),
        ("cors: {}", &["{} | missing-key `origins`"]),
        (
            "cors: { origins: https://a.test }",
            &["https | wrong-type [https://a.test]"],
        ),
        ("cors: \"*\"", &["\"*\" | wrong-type { origins: \"*\" }"]),
        (
            "cors: https://a.test",
            &["https | wrong-type { origins: [https://a.test] }"],
        ),
        (
            "cors: [https://a.test]",
            &["[https | wrong-type { origins: [https://a.test] }"],
        ),
        (
            "cors: { origins: [http://a], methods: [get] }",
            &["get | lower-case-method write `GET`"],
        ),
        (
            "cors: { origins: [http://a], methods: [TRACE] }",
            &["TRACE | bad-value no page may use `TRACE`"],
        ),
        (
            "cors: { origins: [http://a], methods: [GET, \"*\"] }",
            &["\"*\" | bad-value `*` stands alone"],
        ),
        (
            "cors: { origins: [http://a], headers: [\"a b\"] }",
            &["\"a b\" | bad-name `a b`"],
        ),
        (
            "cors: { origins: [http://a], max_age: 1500ms }",
            &["1500ms | out-of-range whole seconds"],
        ),
        (
            "cors: { origins: [http://a], allowCredentials: true }",
            &["allowCredentials | unknown-key credentials"],
        ),
        (
            "accessControlAllowOriginList: [https://a.test]",
            &["accessControl | unknown-key cors: { origins:"],
        ),
        (
            "enable-cors: true",
            &["enable-cors | unknown-key cors: { origins:"],
        ),
        (
            "cors: { origins: [http://a] }, response_headers: { set: { access-control-allow-origin: \"*\" } }",
            &["access-control | no-effect `cors` says it"],
        ),
        (
            "cors: { origins: [http://a] }, response_headers: { remove: [Access-Control-Max-Age] }",
            &["Access-Control | no-effect `cors` says it"],
        ),
        (
            "cors: off, response_headers: { set: { access-control-allow-origin: \"*\" } }",
            &[],
        ),
    ] {
        check_keys(keys, expected);
    }
}
