//! The number of allocations in a plain exchange, and in one that a rate limit counts, has a fixed upper bound.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Builder;
use waypost_plan::Plan;
use waypost_plan::builder::PlanBuilder;
use waypost_plan::listener::{Bind, Listener};
use waypost_plan::policies::PolicySet;
use waypost_plan::rate::{Rate, RateKey, RateLimit, RateScope};
use waypost_plan::route::{Action, Forward, Route};
use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme, Service};
use waypost_plan::settings::Settings;
use waypost_proxy::gateway::Gateway;
use waypost_proxy::generation::Generation;
use waypost_route::alternative::Alternative;
use waypost_route::path::PathPattern;
use waypost_route::split::Split;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Maximum allocations of an exchange over kept-alive connections: the future that serves the request.
const ALLOCATIONS_MAX: usize = 1;
const EXCHANGES: usize = 1000;

const REQUEST: &[u8] =
    b"GET /orders/7?page=2 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: test\r\nAccept: */*\r\n\
                         Accept-Language: en\r\nAccept-Encoding: gzip\r\nX-Request-Id: 1\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: test\r\nDate: Sat, 28 Nov 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n\
                        Content-Length: 5\r\n\r\nhello";

/// A service that sends the same response to every request, without allocating.
fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            thread::spawn(move || {
                let mut received = [0; 4096];
                let mut filled = 0;
                while let Ok(count) = socket.read(&mut received[filled..]) {
                    filled += count;
                    if count == 0 {
                        return;
                    }
                    if received[..filled].ends_with(b"\r\n\r\n") {
                        filled = 0;
                        socket.write_all(RESPONSE).unwrap();
                    }
                }
            });
        }
    });
    address
}

/// A limit for each client that is not reached.
fn rate() -> Arc<Rate> {
    let limit = RateLimit {
        requests: 1_000_000,
        per: Duration::from_secs(1),
        burst: 1_000_000,
        by: RateKey::ClientIp,
        report_only: false,
        headers: true,
    };
    Arc::new(Rate::new(0, RateScope::Route("orders".into()), vec![limit]))
}

fn plan(service: SocketAddr, rate: Option<Arc<Rate>>) -> Plan {
    let mut builder = PlanBuilder::default();
    let bind = Bind::tcp("127.0.0.1:0".parse().unwrap());
    builder.add_listener(Listener::new(bind)).unwrap();
    let (authority, host) = (service.to_string().into(), EndpointHost::Address(service.ip()));
    let endpoint = Endpoint::new(authority, host, service.port(), EndpointScheme::Http);
    let orders = builder
        .add_service(Service::new("orders".into(), vec![endpoint]))
        .unwrap();
    let alternative = Alternative {
        path: PathPattern::parse("/orders/*").unwrap(),
        ..Alternative::default()
    };
    let matching = waypost_route::Route {
        name: "orders".into(),
        alternatives: [alternative].into(),
    };
    let action = Action::Forward(Forward::to(vec![orders], Split::new(&[1])));
    let policies = PolicySet {
        rate,
        ..PolicySet::default()
    };
    let route = Route {
        policies: policies.into(),
        ..Route::new(matching, action)
    };
    builder.add_route(route).unwrap();
    builder.set_settings(Settings {
        workers: NonZeroUsize::new(1),
        ..Settings::default()
    });
    builder.build().unwrap()
}

#[test]
fn an_exchange_allocates_little() {
    // One after the other: allocations are those of the process.
    check(None);
    check(Some(rate()));
}

fn check(rate: Option<Arc<Rate>>) {
    let control = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    let generation = Generation::compile(plan(service(), rate)).unwrap();
    let (gateway, listening) = here
        .block_on(Gateway::start(generation, control.handle().clone()))
        .unwrap();

    let mut client = TcpStream::connect(listening[0].tcp().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();
    let mut response = [0; 4096];
    let mut exchange = || {
        client.write_all(REQUEST).unwrap();
        let mut filled = 0;
        while !response[..filled].ends_with(b"hello") {
            let count = client.read(&mut response[filled..]).unwrap();
            assert!(count > 0, "the gateway closed the connection");
            filled += count;
        }
        assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
    };
    for _ in 0..100 {
        exchange();
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..EXCHANGES {
        exchange();
    }
    let used = region.change();
    let all = used.allocations + used.reallocations;
    // Some allocations belong to no request, such as a timer's.
    let most = EXCHANGES * ALLOCATIONS_MAX + EXCHANGES / 100;
    assert!(
        all <= most,
        "{EXCHANGES} exchanges allocated {all} times, not {most}"
    );
    here.block_on(gateway.drain(Duration::ZERO));
}
