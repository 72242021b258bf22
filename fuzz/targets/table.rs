//! The compiled table, the naive reference and `explain` select the same alternative for a request.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use waypost_fuzz::choices::Choices;
use waypost_route::alternative::Alternative;
use waypost_route::attribute::{Attribute, AttributeCondition};
use waypost_route::condition::{FieldCondition, ValueCondition};
use waypost_route::explain::Scope;
use waypost_route::host::HostPattern;
use waypost_route::path::PathPattern;
use waypost_route::regex::Regex;
use waypost_route::request::Request;
use waypost_route::table::{Found, Scratch, Table};
use waypost_route::{Route, reference};

/// Requests per table.
const REQUESTS: usize = 8;

// So few words that tables and requests often match.
const HOST_PATTERNS: [&str; 6] = ["", "a.b", "b", "x.a.b", "*.b", "*.a.b"];
const HOSTS: [&str; 7] = ["", "a.b", "b", "x.a.b", "c.b", "y.x.a.b", "c"];
const PATH_REGEXES: [&str; 4] = ["~^/a", "~b$", "~^/[ab]/", "~x{2}"];
const PATTERN_SEGMENTS: [&str; 4] = ["a", "b", "x", "{p}"];
const SEGMENTS: [&str; 5] = ["a", "b", "x", "", "%20"];
const METHODS: [&str; 3] = ["GET", "PUT", "POST"];
const QUERIES: [&str; 6] = ["p=1", "p=2&q", "q=1&p=1&q=2", "%70=%31", "p=%&&q==1", ""];
const NETWORKS: [&str; 4] = ["10.0.0.0/8", "10.128.0.0/9", "::/0", "127.0.0.1/32"];
const ADDRESSES: [&str; 4] = ["127.0.0.1", "10.0.0.1", "10.200.0.1", "::1"];
const LINES: [(&str, &str); 8] = [
    ("p", "1"),
    ("P", "2"),
    ("q", ""),
    ("q", "1"),
    ("cookie", "p=1"),
    ("Cookie", "q=2; p=2"),
    ("cookie", " p ; q=1;"),
    ("cookie", "p"),
];

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let routes: Vec<Route> = (0..choices.below(9))
        .map(|index| Route {
            name: format!("r{index}").into(),
            alternatives: (0..=choices.below(3))
                .map(|_| alternative(&mut choices))
                .collect(),
        })
        .collect();
    let table = Table::new(routes.clone()).expect("a few routes fit");
    let mut scratch = Scratch::new();
    for _ in 0..REQUESTS {
        check(&table, &routes, &mut choices, &mut scratch);
        if !choices.are_left() {
            break;
        }
    }
});

fn check(table: &Table, routes: &[Route], choices: &mut Choices<'_>, scratch: &mut Scratch) {
    let host = choices.one_of(&HOSTS);
    let path = path(choices, &SEGMENTS);
    let lines: Vec<(String, Vec<u8>)> = (0..choices.below(4))
        .map(|_| choices.one_of(&LINES))
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect();
    let attributes: Vec<(Attribute, Vec<u8>)> = (0..choices.below(3))
        .map(|_| (attribute(choices), choices.one_of(&["1", "2"]).into()))
        .collect();
    let request = Request {
        host: (!host.is_empty()).then_some(host.as_bytes()),
        path: path.as_bytes(),
        query: (choices.below(2) == 1).then(|| choices.one_of(&QUERIES).as_bytes()),
        method: choices.one_of(&METHODS).as_bytes(),
        client_ip: choices.one_of(&ADDRESSES).parse::<IpAddr>().expect("an address"),
        headers: &lines,
        attributes: &attributes,
    };
    let expected = reference::find(routes, &request);
    assert_eq!(
        table.find(&request, scratch),
        expected,
        "{path} at {host} with {lines:?}"
    );
    for scope in [Scope::HostCovers, Scope::All] {
        let considered = table.explain(&request, scope);
        let first = considered.iter().find(|considered| considered.failed.is_none());
        let first = first.map(|first| Found {
            route: first.route,
            alternative: first.alternative,
        });
        assert_eq!(first, expected, "explain {path} at {host} with {lines:?}");
    }
}

fn alternative(choices: &mut Choices<'_>) -> Alternative {
    let host = choices.one_of(&HOST_PATTERNS);
    Alternative {
        host: match host {
            "" => HostPattern::Any,
            host => HostPattern::parse(host).expect("a pattern"),
        },
        path: path_pattern(choices),
        methods: some(choices, |choices| choices.one_of(&METHODS).into()).into(),
        headers: some(choices, condition).into(),
        attributes: some(choices, |choices| AttributeCondition {
            attribute: attribute(choices),
            value: value_condition(choices),
        })
        .into(),
        cookies: some(choices, condition).into(),
        query: some(choices, condition).into(),
        client_ips: some(choices, |choices| {
            choices.one_of(&NETWORKS).parse().expect("a network")
        })
        .into(),
    }
}

fn path_pattern(choices: &mut Choices<'_>) -> PathPattern {
    let text = match choices.below(8) {
        0 => return PathPattern::any(),
        1 => choices.one_of(&PATH_REGEXES).to_owned(),
        kind => {
            let mut text = path(choices, &PATTERN_SEGMENTS);
            if kind > 4 {
                text.push_str("/*");
            }
            // Parameter names must be unique.
            let parts: Vec<&str> = text.split("{p}").collect();
            let named = parts.iter().enumerate().skip(1);
            named.fold(parts[0].to_owned(), |text, (index, part)| {
                format!("{text}{{p{index}}}{part}")
            })
        }
    };
    PathPattern::parse(&text).expect("a pattern")
}

fn path(choices: &mut Choices<'_>, segments: &[&str]) -> String {
    (0..=choices.below(4))
        .map(|_| format!("/{}", choices.one_of(segments)))
        .collect()
}

fn attribute(choices: &mut Choices<'_>) -> Attribute {
    match choices.below(4) {
        0 => Attribute::ClientCertificateSubject,
        1 => Attribute::Listener,
        2 => Attribute::Scheme,
        _ => Attribute::ClientCertificateSan,
    }
}

fn value_condition(choices: &mut Choices<'_>) -> ValueCondition {
    match choices.below(6) {
        5 => ValueCondition::OneOf(["1".into(), "3".into()].into()),
        0 => ValueCondition::Equals("1".into()),
        1 => ValueCondition::Equals("2".into()),
        2 => ValueCondition::Matches(Regex::new("^1").expect("an expression")),
        3 => ValueCondition::Present,
        _ => ValueCondition::Absent,
    }
}

fn condition(choices: &mut Choices<'_>) -> FieldCondition {
    FieldCondition {
        name: choices.one_of(&["p", "q"]).into(),
        value: value_condition(choices),
    }
}

/// Usually nothing, else one or two items.
fn some<T>(choices: &mut Choices<'_>, mut one: impl FnMut(&mut Choices<'_>) -> T) -> Vec<T> {
    let count = choices.below(6).saturating_sub(3);
    (0..count).map(|_| one(choices)).collect()
}
