//! Matching does not allocate once its scratch memory has grown.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

use std::alloc::System;
use std::net::Ipv4Addr;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use waypost_route::Route;
use waypost_route::alternative::Alternative;
use waypost_route::attribute::{Attribute, AttributeCondition};
use waypost_route::condition::{FieldCondition, ValueCondition};
use waypost_route::host::HostPattern;
use waypost_route::path::PathPattern;
use waypost_route::request::Request;
use waypost_route::table::{Scratch, Table};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn equals(name: &str, value: &str) -> FieldCondition {
    FieldCondition {
        name: name.into(),
        value: ValueCondition::Equals(value.into()),
    }
}

/// Routes of every kind, and many that differ in one field.
fn routes() -> Vec<Route> {
    let path = |text: &str| Alternative {
        path: PathPattern::parse(text).unwrap(),
        ..Alternative::default()
    };
    let mut alternatives = vec![
        path("/exact"),
        path("/users/{id}/cart"),
        path("/shops/{shop}/*"),
        path("/orders/*"),
        path("~^/v[0-9]+/one$"),
        path("~^/v[0-9]+/two$"),
        Alternative {
            host: HostPattern::parse("*.example.net").unwrap(),
            ..path("/wild/*")
        },
        Alternative {
            cookies: [equals("beta", "1")].into(),
            query: [equals("preview", "1")].into(),
            ..path("/fields/*")
        },
        Alternative {
            attributes: [AttributeCondition {
                attribute: Attribute::ClientCertificateSan,
                value: ValueCondition::Equals("spiffe://x/web".into()),
            }]
            .into(),
            ..path("/attributes/*")
        },
    ];
    alternatives.extend((0..100).map(|tenant| Alternative {
        headers: [equals("x-tenant", &tenant.to_string())].into(),
        ..path("/tenants/*")
    }));
    let named = alternatives.into_iter().enumerate();
    named
        .map(|(at, alternative)| Route {
            name: format!("r{at}").into(),
            alternatives: [alternative].into(),
        })
        .collect()
}

#[test]
fn matching_allocates_nothing() {
    let table = Table::new(routes()).unwrap();
    let headers: Vec<(String, Vec<u8>)> = vec![
        ("x-tenant".to_owned(), b"77".to_vec()),
        ("cookie".to_owned(), b"a=b; beta=1".to_vec()),
    ];
    let attributes = vec![(Attribute::ClientCertificateSan, b"spiffe://x/web".to_vec())];
    let cases: [(&str, &str, Option<usize>); 12] = [
        ("a.example", "/exact", Some(0)),
        ("a.example", "/users/7/cart", Some(1)),
        ("a.example", "/shops/7/x/y", Some(2)),
        ("a.example", "/orders/7", Some(3)),
        ("a.example", "/v12/one", Some(4)),
        ("a.example", "/v12/two", Some(5)),
        ("b.a.example.net", "/wild/x", Some(6)),
        ("a.example", "/fields/x", Some(7)),
        ("a.example", "/attributes/x", Some(8)),
        ("a.example", "/tenants/x", Some(9 + 77)),
        ("a.example", "/ordersX", None),
        ("a.example", "/v12/three", None),
    ];
    let mut scratch = Scratch::new();
    let mut find_all = || {
        for (host, path, expected) in cases {
            let request = Request {
                host: Some(host.as_bytes()),
                path: path.as_bytes(),
                query: Some(b"x=%20&preview=1"),
                method: b"GET",
                client_ip: Ipv4Addr::LOCALHOST.into(),
                headers: &headers,
                attributes: &attributes,
            };
            let found = table.find(&request, &mut scratch);
            assert_eq!(found.map(|found| found.route), expected, "{host}{path}");
        }
    };
    find_all();
    let region = Region::new(ALLOCATOR);
    for _ in 0..100 {
        find_all();
    }
    let used = region.change();
    assert_eq!((used.allocations, used.reallocations), (0, 0));
}
