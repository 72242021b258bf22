use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::explain::Scope;
use crate::{reference, testing};

/// `expected` is the route's name and the index of the alternative: `users.0`; `none` for no route.
fn check(routes: &str, request: &str, expected: &str) {
    let routes = testing::routes(routes);
    let owned = testing::request(request);
    let table = Table::new(routes.clone()).unwrap();
    let found = table.find(&owned.request(), &mut Scratch::new());
    assert_eq!(found, reference::find(&routes, &owned.request()), "{request}");
    let name = found.map_or_else(
        || "none".to_owned(),
        |found| format!("{}.{}", routes[found.route].name, found.alternative),
    );
    assert_eq!(name, expected, "{request}");
}

#[test]
fn more_specific_host_wins_and_falls_back_to_a_wildcard() {
    let routes = "
        any   /*
        wild  *.b    /*
        wider *.a.b  /*  GET
        exact x.a.b  /x/*";
    check(routes, "GET x.a.b/x/1", "exact.0");
    check(routes, "GET x.a.b/y", "wider.0");
    check(routes, "PUT x.a.b/y", "wild.0");
    check(routes, "GET y.x.a.b/y", "wider.0");
    check(routes, "GET a.b/", "wild.0");
    check(routes, "GET b/", "any.0");
    check(routes, "GET /", "any.0");
}

#[test]
fn more_specific_path_wins_and_falls_back_to_a_shorter_one() {
    let routes = "
        root   /*
        a      /a/*
        ab     /a/b/*    h:x=1
        p      /{p}/b/*  h:y=1
        exact  /a/b      GET
        closed /a/{x}    POST
        regex  ~^/a/.$   PUT";
    check(routes, "GET /a/b", "exact.0");
    check(routes, "POST /a/b", "closed.0");
    check(routes, "PUT /a/b", "regex.0");
    check(routes, "HEAD /a/b h:x=1", "ab.0");
    check(routes, "HEAD /a/b h:y=1", "p.0");
    check(routes, "HEAD /a/b", "a.0");
    check(routes, "HEAD /x/b", "root.0");
}

#[test]
fn longest_prefix_wins_over_header_count() {
    let routes = "
        short /a/*    GET h:x=1 h:y=1
        long  /a/b/*";
    check(routes, "GET /a/b/c h:x=1 h:y=1", "long.0");
    check(routes, "GET /a/c h:x=1 h:y=1", "short.0");
}

#[test]
fn literals_win_from_the_left() {
    let routes = "
        pp /{a}/{b}
        pl /{a}/b
        lp /a/{b}";
    check(routes, "GET /a/b", "lp.0");
    check(routes, "GET /x/b", "pl.0");
    check(routes, "GET /x/y", "pp.0");
    check(routes, "GET /x/", "none");
}

#[test]
fn regexes_rank_by_conditions_then_order() {
    let routes = "
        first  ~^/v[0-9]
        second ~^/v1/longer
        third  ~^/v  h:x=1";
    check(routes, "GET /v1/longer", "first.0");
    check(routes, "GET /v1 h:x=1", "third.0");
    check(routes, "GET /vx", "none");
}

#[test]
fn best_alternative_of_a_route_wins() {
    let routes = "
        a /*
        a /x/*
        b /x  POST";
    check(routes, "GET /x", "a.1");
    check(routes, "POST /x", "b.0");
    check(routes, "GET /", "a.0");
}

#[test]
fn empty_segments_are_segments_but_never_parameters() {
    let routes = "
        p /{a}/{b}/*
        a /a/*
        s /a/";
    check(routes, "GET /a/", "s.0");
    check(routes, "GET /a//b", "a.0");
    check(routes, "GET /a/b/", "p.0");
    check(routes, "GET //b", "none");
}

#[test]
fn found_has_the_given_position_of_a_route() {
    let routes = testing::routes(
        "
        a /*
        b /x",
    );
    let table = Table::with_positions([3, 7].into_iter().zip(routes).collect()).unwrap();
    let owned = testing::request("GET /x");
    let found = table.find(&owned.request(), &mut Scratch::new());
    assert_eq!(found.map(|found| found.route), Some(7));
    let considered = table.explain(&owned.request(), Scope::All);
    let positions: Vec<usize> = considered.iter().map(|considered| considered.route).collect();
    assert_eq!(positions, [7, 3]);
}

#[test]
fn an_empty_table_finds_nothing() {
    check("", "GET a.b/x", "none");
}

pub(crate) fn hundred_thousand_prefixes() -> Vec<Route> {
    let text: String = (0..100_000)
        .map(|n| format!("r{n} a.b /api/service-{n}/*\n"))
        .collect();
    text.lines().flat_map(testing::routes).collect()
}

#[test]
fn a_hundred_thousand_routes_build_and_match_quickly() {
    let routes = hundred_thousand_prefixes();
    let started = Instant::now();
    let table = Table::new(routes).unwrap();
    // Generous for a debug build on a busy machine; quadratic time would take far longer.
    assert!(started.elapsed() < Duration::from_secs(20));
    let owned = testing::request("GET a.b/api/service-99999/x/y");
    let found = table.find(&owned.request(), &mut Scratch::new());
    assert_eq!(
        found,
        Some(Found {
            route: 99_999,
            alternative: 0
        })
    );
}

#[test]
fn hostile_paths_and_hosts_take_linear_time() {
    let table = Table::new(testing::routes(
        "
        a /{a}/{b}/{c}/*
        b /x/{b}/x/*  h:x=1
        c /*          h:x=1
        d *.b         /{a}/x
        e ~x{3}$",
    ))
    .unwrap();
    let mut scratch = Scratch::new();
    let mut owned = testing::request("GET /");
    owned.host = Some("a.".repeat(4096) + "b");
    for path in [
        "/".repeat(8192),
        "/x".repeat(4096),
        "/".to_owned() + &"x".repeat(8191),
    ] {
        owned.path = path;
        let started = Instant::now();
        for _ in 0..20 {
            table.find(&owned.request(), &mut scratch);
        }
        assert!(started.elapsed() < Duration::from_secs(1), "{:.20}", owned.path);
    }
}

/// A random alternative, from an alphabet so small that tables and requests often collide.
pub(crate) fn alternative() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        3 => Just(""), 2 => Just("a.b"), 1 => Just("b"), 1 => Just("x.a.b"), 2 => Just("*.b"), 2 => Just("*.a.b"),
    ];
    let segment = prop_oneof![Just("a"), Just("b"), Just("{x}")];
    let literal_path = (prop::collection::vec(segment, 0..4), 0..3).prop_map(|(segments, end)| {
        let mut path = String::new();
        for (index, segment) in segments.iter().enumerate() {
            path.push('/');
            path.push_str(&segment.replace('x', &format!("x{index}")));
        }
        path.push_str(match (end, segments.is_empty()) {
            (0, false) => "",
            (1, _) | (0, true) => "/",
            _ => "/*",
        });
        path
    });
    let regex = prop_oneof![Just("~^/a"), Just("~b$"), Just("~^/[ab]/"), Just("~")].prop_map(str::to_owned);
    let path = prop_oneof![1 => Just(String::new()), 8 => literal_path, 2 => regex];
    let method = prop_oneof![4 => Just(""), 1 => Just("GET"), 1 => Just("POST,PUT"), 1 => Just("PUT")];
    let value = || {
        prop_oneof![
            Just("1"),
            Just("2"),
            Just("1|2"),
            Just("~^1"),
            Just("*"),
            Just("!")
        ]
    };
    let field = (
        prop_oneof![
            Just("h:x"),
            Just("h:y"),
            Just("q:p"),
            Just("q:q"),
            Just("c:s"),
            Just("c:t"),
            Just("h:cookie"),
            Just("a:subject"),
            Just("a:san")
        ],
        value(),
    )
        .prop_map(|(name, value)| format!("{name}={value}"));
    let fields = prop_oneof![3 => Just(Vec::new()), 2 => prop::collection::vec(field, 1..3)];
    let ip = prop_oneof![
        6 => Just(""), 1 => Just("ip:10.0.0.0/8"), 1 => Just("ip:10.0.0.0/9,::/0"), 1 => Just("ip:10.128.0.0/9")
    ];
    let entrance = prop_oneof![
        8 => Just(""),
        1 => Just("a:listener=plain"),
        1 => Just("a:listener=tls"),
        1 => Just("a:listener=plain|tls"),
        1 => Just("a:scheme=http"),
        1 => Just("a:scheme=https"),
        1 => Just("a:listener=behind a:scheme=https"),
    ];
    (host, path, method, fields, ip, entrance).prop_map(|(host, path, method, fields, ip, entrance)| {
        format!("{host} {path} {method} {} {ip} {entrance}", fields.join(" "))
    })
}

pub(crate) fn table_text(lines: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec((0..6_u8, alternative()), lines).prop_map(|lines| {
        let lines: Vec<String> = lines
            .iter()
            .map(|(route, line)| format!("r{route} {line}"))
            .collect();
        lines.join("\n")
    })
}

pub(crate) fn request() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        Just(""),
        Just("a.b"),
        Just("b"),
        Just("x.a.b"),
        Just("c.b"),
        Just("y.x.a.b"),
        Just("c")
    ];
    let path = prop::collection::vec(
        prop_oneof![3 => Just("a"), 3 => Just("b"), 1 => Just("c"), 1 => Just("")],
        1..5,
    )
    .prop_map(|segments| format!("/{}", segments.join("/")));
    let query = prop_oneof![
        Just(""),
        Just("?p=1"),
        Just("?p=2&q"),
        Just("?q=1&p=1&q=2"),
        Just("?%70=%31"),
        Just("?")
    ];
    let method = prop_oneof![Just("GET"), Just("PUT"), Just("POST")];
    let header = prop_oneof![
        Just("h:x=1"),
        Just("h:X=2"),
        Just("h:y=1"),
        Just("h:y="),
        Just("c:s=1"),
        Just("c:t=2;s=2"),
        Just("c:1"),
        Just("a:subject=1"),
        Just("a:san=1"),
        Just("a:san=2")
    ];
    let headers = prop::collection::vec(header, 0..4);
    let ip = prop_oneof![
        Just(""),
        Just("ip:10.0.0.1"),
        Just("ip:10.200.0.1"),
        Just("ip:::1")
    ];
    let entrance = prop_oneof![
        Just(""),
        Just("a:listener=tls a:scheme=https"),
        Just("a:listener=behind"),
        Just("a:listener=behind a:scheme=https"),
    ];
    (method, host, path, query, headers, ip, entrance).prop_map(
        |(method, host, path, query, headers, ip, entrance)| {
            format!(
                "{method} {host}{path}{query} {} {ip} {entrance}",
                headers.join(" ")
            )
        },
    )
}

/// Many alternatives with few paths, whose lists are indexed by fields.
fn crowded_text() -> impl Strategy<Value = String> {
    let line = (
        prop_oneof![4 => Just("/a/*"), 1 => Just("/a/b"), 1 => Just("~^/a")],
        alternative(),
    );
    prop::collection::vec(line, 12..80).prop_map(|lines| {
        let lines = lines.iter().enumerate().map(|(route, (path, line))| {
            // The words of an alternative without its path and host.
            let words = line.split(' ').filter(|word| word.contains(':'));
            format!("r{route} {path} {}", words.collect::<Vec<_>>().join(" "))
        });
        lines.collect::<Vec<_>>().join("\n")
    })
}

/// Checks that table, reference and explain agree on each request.
fn agree(text: &str, requests: &[String]) -> Result<(), TestCaseError> {
    let routes = testing::routes(text);
    let table = Table::new(routes.clone()).unwrap();
    let mut scratch = Scratch::new();
    for request in requests {
        let owned = testing::request(request);
        let found = table.find(&owned.request(), &mut scratch);
        prop_assert_eq!(
            found,
            reference::find(&routes, &owned.request()),
            "{} on\n{}",
            request,
            text
        );
        for scope in [Scope::HostCovers, Scope::All] {
            let first = table
                .explain(&owned.request(), scope)
                .into_iter()
                .find(|considered| considered.failed.is_none())
                .map(|considered| Found {
                    route: considered.route,
                    alternative: considered.alternative,
                });
            prop_assert_eq!(found, first, "{} on\n{}", request, text);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn table_reference_and_explain_agree(
        text in table_text(0..12),
        requests in prop::collection::vec(request(), 12),
    ) {
        agree(&text, &requests)?;
    }
}

proptest! {
    // Each has several times as many alternatives.
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn crowded_tables_reference_and_explain_agree(
        text in crowded_text(),
        requests in prop::collection::vec(request(), 12),
    ) {
        agree(&text, &requests)?;
    }
}
