//! Headers of the gateway that clients write elsewhere, and credentials that texts of the config would repeat.

use http::{HeaderMap, HeaderValue, Request};
use serde_json::{Value, json};

use super::ask;
use super::keys::customers;
use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::service::Service;

const HEAD: &str =
    "POST /x HTTP/1.1\r\nHost: a.test\r\nX-Api-Key: gold-key\r\nTransfer-Encoding: chunked\r\n\r\n";
const TRAILERS: [(&str, &str); 6] = [
    ("x-user", "eve"),
    ("X-API-KEY", "free-key"),
    ("x-secret", "eve"),
    ("authorization", "Basic eve"),
    ("x_user", "eve"),
    ("x-sum", "7"),
];

fn trailers_that_arrive(response: &Value) -> Vec<String> {
    let trailers = response["trailers"].as_array().unwrap().iter();
    trailers
        .map(|line| line[0].as_str().unwrap().to_ascii_lowercase())
        .collect()
}

#[test]
fn trailers_are_no_way_around_the_headers_of_the_gateway() {
    let service = Service::echo("a");
    let config = Config::new().service(&service, "").route(
        "name: r, to: a, request_headers: { set: { x-user: '{identity}' }, remove: [x-secret] }, \
         auth: { key: { header: x-api-key, file: keys } }",
    );
    let gateway = Gateway::beside(&[("keys", &customers())], config);
    let lines = TRAILERS
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .concat();
    let first = gateway.ask(format!("{HEAD}3\r\nabc\r\n0\r\n{lines}\r\n"));
    assert_eq!(trailers_that_arrive(&first.json()), ["x-sum"]);
    let client = Http2Client::connect(gateway.address());
    let request = Request::post("http://a.test/x").header("x-api-key", "gold-key");
    let mut stream = client.open(request.body(()).unwrap(), false);
    stream.send(b"abc", false);
    let mut trailers = HeaderMap::new();
    for (name, value) in TRAILERS {
        trailers.append(
            name.parse::<http::HeaderName>().unwrap(),
            HeaderValue::from_static(value),
        );
    }
    stream.sender.send_trailers(trailers).unwrap();
    let second = stream.response().unwrap();
    assert_eq!(trailers_that_arrive(&second.json()), ["x-sum"]);
}

#[test]
fn pages_and_edits_do_not_repeat_credentials_of_the_query() {
    let service = Service::echo("a");
    let key = "auth: { key: { query: apikey, file: keys } }";
    let texts = "errors: [{ status: [401, 403, 404], body: 'P {query}|{query.apikey}|{query.a}', \
                 headers: { location: 'https://login.test/?{query}' } }], \
                 response_headers: { set: { x-query: '{query}' } }";
    let config = Config::new()
        .service(&service, "")
        .route(&format!("name: in, match: {{ path: /in }}, to: a, {key}, {texts}"))
        .route(&format!(
            "name: closed, match: {{ path: /closed }}, to: a, access: {{ deny: [127.0.0.0/8] }}, {key}, {texts}"
        ))
        .route(&format!("name: gone, match: {{ path: /gone }}, respond: {{ status: 404 }}, {key}, {texts}"))
        .route(&format!("name: open, match: {{ path: /open }}, respond: {{ status: 404 }}, {texts}"));
    let gateway = Gateway::beside(&[("keys", &customers())], config);
    for (path, query, status, shown) in [
        ("in", "a=1&apikey=guess", 401, "a=1||1"),
        ("in", "a=1", 401, "a=1||1"),
        ("in", "apikey=guess", 401, "||"),
        ("closed", "a=1&apikey=gold-key&b", 403, "a=1&b||1"),
        ("gone", "a=1&apikey=gold-key&b", 404, "a=1&b||1"),
        // What means nothing there is no secret.
        ("open", "a=1&apikey=x", 404, "a=1&apikey=x|x|1"),
    ] {
        let url = format!("http://a.test/{path}?{query}");
        for response in ask(&gateway, &url, &[]) {
            assert_eq!(response.status(), status, "{url}");
            assert_eq!(response.text(), format!("P {shown}"), "{url}");
            let (query, _) = shown.split_once('|').unwrap();
            let location = format!("https://login.test/?{query}");
            assert_eq!(response.header("location"), Some(&*location), "{url}");
            assert_eq!(response.header("x-query").unwrap_or_default(), query, "{url}");
        }
        let explained = gateway.explain_question(&json!({ "url": url }));
        assert!(!explained.to_string().contains("gold-key"), "{explained}");
    }
}
