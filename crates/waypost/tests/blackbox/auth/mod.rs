//! Authentication: the clients that may pass, the credentials that stay here, and all that must not be shown of them.

use http::Request;
use serde_json::{Value, json};

use crate::support::client::request;
use crate::support::gateway::Gateway;
use crate::support::http2::Http2Client;
use crate::support::message::{Message, seen};

mod edits;
mod forged;
mod jwt;
mod key_sets;
mod keys;
mod secrets;

/// Responses to a GET with these header lines, over HTTP/1 and HTTP/2.
fn ask(gateway: &Gateway, url: &str, fields: &[(&str, &str)]) -> [Message; 2] {
    let lines: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let client = Http2Client::connect(gateway.address());
    let wanted = fields.iter().fold(Request::get(url), |wanted, (name, value)| {
        wanted.header(name.to_ascii_lowercase(), *value)
    });
    [
        gateway.ask(request("GET", url, &lines)),
        client.ask(wanted.body(()).unwrap(), ""),
    ]
}

/// Checks status and challenges over both protocols.
fn check(gateway: &Gateway, url: &str, fields: &[(&str, &str)], status: u16, challenges: &[&str]) {
    for response in ask(gateway, url, fields) {
        let found = (response.status(), response.values("www-authenticate"));
        assert_eq!(found, (status, challenges.to_vec()), "{url} {fields:?}");
    }
}

/// The values of a header of the request that the service got, over both protocols.
fn sent(gateway: &Gateway, url: &str, fields: &[(&str, &str)], name: &str) -> [Vec<String>; 2] {
    ask(gateway, url, fields).map(|response| {
        assert_eq!(response.status(), 200, "{url} {fields:?}");
        let fields = seen(&response).into_iter();
        fields
            .filter(|(found, _)| found.replace('_', "-") == name)
            .map(|(_, value)| value)
            .collect()
    })
}

/// An explanation of a GET with these headers.
fn explained(gateway: &Gateway, url: &str, fields: &[(&str, &str)]) -> Value {
    gateway.explain_question(&json!({ "url": url, "headers": fields }))
}
