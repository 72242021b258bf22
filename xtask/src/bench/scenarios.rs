//! All scenarios.

use crate::bench::contender::{Contender, Peer};
use crate::bench::layout::{Extra, Kind as RouteKind, Layout};
use crate::bench::load::Load;
use crate::bench::machine::ENDPOINTS_MAX;
use crate::bench::scenario::{Cpu, GATEWAYS, Kind, Scenario, Unit};
use crate::bench::special;

/// All scenarios, in order of execution.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = vec![
        Scenario {
            name: "plain",
            title: "HTTP/1.1, 64 connections, 1 KiB answers, 100 routes",
            kind: Kind::Cpu(Cpu {
                load: Load::http1(64),
                subject: waypost(Layout::PLAIN),
                others: [&[Peer::Floor][..], &GATEWAYS]
                    .concat()
                    .into_iter()
                    .map(|peer| Contender::new(peer, Layout::PLAIN))
                    .collect(),
                targets: vec![
                    ("nginx", 0.92),
                    ("haproxy", 0.80),
                    ("envoy", 0.40),
                    ("floor", 1.12),
                ],
                unit: Unit::Request,
            }),
        },
        compared(
            "access-log",
            "the same, with an access log as JSON",
            Layout {
                access_log: true,
                ..Layout::PLAIN
            },
            Load::http1(64),
            &[Peer::Nginx, Peer::Envoy, Peer::Traefik],
            &[("nginx", 0.92)],
        ),
    ];
    all.extend(routes());
    all.extend(extras());
    all.extend(endpoints());
    all.extend(bodies());
    all.extend(protocols());
    all.extend([
        special("idle", "10,000 idle connections", special::idle::run),
        special(
            "latency",
            "512 connections at half of what saturates",
            special::latency::run,
        ),
        special(
            "memory",
            "100,000 routes: memory, time to load, a swap under load",
            special::memory::run,
        ),
        special(
            "reload",
            "10,000 routes, loaded anew every second at half load",
            special::reload::run,
        ),
    ]);
    all
}

fn routes() -> Vec<Scenario> {
    let many = |name, title, kind, size, peers: &[Peer], targets: &[(&'static str, f64)]| {
        let layout = Layout::routes(kind, size);
        let mut scenario = compared(name, title, layout, Load::http1(64), peers, targets);
        if let Kind::Cpu(cpu) = &mut scenario.kind {
            cpu.others.insert(
                0,
                Contender {
                    label: "waypost, 100 routes",
                    ..waypost(Layout::PLAIN)
                },
            );
        }
        scenario
    };
    vec![
        many(
            "routes-10k",
            "10,000 prefix routes on one host, random paths",
            RouteKind::Prefix,
            10_000,
            &GATEWAYS,
            &[("waypost, 100 routes", 1.05)],
        ),
        many(
            "routes-100k",
            "100,000 prefix routes on one host, random paths",
            RouteKind::Prefix,
            100_000,
            &[Peer::Nginx, Peer::Haproxy],
            &[("waypost, 100 routes", 1.10)],
        ),
        many(
            "hosts",
            "10,000 hosts with 10 routes each",
            RouteKind::Hosts,
            10_000,
            &[Peer::Nginx, Peer::Haproxy, Peer::Envoy],
            &[("nginx", 1.0), ("haproxy", 1.0), ("envoy", 1.0)],
        ),
        many(
            "headers",
            "1,000 routes that differ only in a header",
            RouteKind::Headers,
            1_000,
            &GATEWAYS,
            &[("nginx", 1.0), ("haproxy", 1.0), ("envoy", 1.0), ("traefik", 1.0)],
        ),
        many(
            "regex",
            "1,000 routes by regular expression",
            RouteKind::Regex,
            1_000,
            &GATEWAYS,
            &[("nginx", 1.0), ("haproxy", 1.0), ("envoy", 1.0), ("traefik", 1.0)],
        ),
    ]
}

/// Work besides routing, compared with Waypost without it.
fn extras() -> Vec<Scenario> {
    let beside_plain = |name, title, extra, header, most| Scenario {
        name,
        title,
        kind: Kind::Cpu(Cpu {
            load: Load::Http1 {
                connections: 64,
                answer: None,
                body: 0,
                header,
            },
            subject: waypost(Layout {
                extra,
                ..Layout::PLAIN
            }),
            others: vec![Contender {
                label: "waypost, plain",
                ..waypost(Layout::PLAIN)
            }],
            targets: vec![("waypost, plain", most)],
            unit: Unit::Request,
        }),
    };
    vec![
        beside_plain(
            "sticky",
            "a split that clients stay on by a cookie",
            Extra::Sticky,
            Some("Cookie: cohort=%d"),
            1.10,
        ),
        beside_plain(
            "mirror",
            "a tenth of the requests mirrored",
            Extra::Mirror,
            None,
            1.25,
        ),
        beside_plain(
            "edits",
            "header edits: three in requests, two in answers",
            Extra::Edits,
            Some("x-internal: %d"),
            1.05,
        ),
        beside_plain(
            "templates",
            "values of the request in three headers",
            Extra::Templates,
            Some("x-tenant: %d"),
            1.08,
        ),
        with_tokens(),
        with_new_tokens(),
        beside_plain(
            "key",
            "keys of clients, in a header",
            Extra::Key,
            Some("x-api-key: wp_bench_0123456789abcdefghijklmnopqrstuv"),
            1.05,
        ),
        beside_plain(
            "cors",
            "requests of pages of another origin",
            Extra::Cors,
            Some("Origin: https://app%d.example.com"),
            1.04,
        ),
        rate(),
    ]
}

/// A bucket for each of 100,000 clients. The one of Envoy is for all of them.
fn rate() -> Scenario {
    let with = |extra| Layout {
        extra,
        ..Layout::PLAIN
    };
    let limited = with(Extra::Rate);
    let plain = Contender {
        label: "waypost, no limit",
        ..waypost(with(Extra::Clients))
    };
    let peers = [Peer::Nginx, Peer::Envoy].map(|peer| Contender::new(peer, limited));
    Scenario {
        name: "rate",
        title: "a rate limit by client address, 100,000 of them",
        kind: Kind::Cpu(Cpu {
            load: Load::Http1 {
                connections: 64,
                answer: None,
                body: 0,
                header: Some("X-Forwarded-For: %a"),
            },
            subject: waypost(limited),
            others: [plain].into_iter().chain(peers).collect(),
            targets: vec![("waypost, no limit", 1.06), ("nginx", 0.92), ("envoy", 0.40)],
            unit: Unit::Request,
        }),
    }
}

/// A token of RS256 that comes again and again, as those of clients do; Envoy has a cache for them, too.
fn with_tokens() -> Scenario {
    let layout = Layout {
        extra: Extra::Jwt,
        ..Layout::PLAIN
    };
    let load = Load::Http1 {
        connections: 64,
        answer: None,
        body: 0,
        header: Some(concat!(
            "Authorization: Bearer ",
            include_str!("../../../bench/peers/token.txt")
        )),
    };
    let targets = [("waypost, plain", 1.15), ("envoy", 0.30)];
    let mut scenario = compared(
        "jwt",
        "tokens signed with RS256, verified before",
        layout,
        load,
        &[Peer::Envoy],
        &targets,
    );
    if let Kind::Cpu(cpu) = &mut scenario.kind {
        cpu.others.insert(
            0,
            Contender {
                label: "waypost, plain",
                ..waypost(Layout::PLAIN)
            },
        );
    }
    scenario
}

/// Tokens of RS256 of which none is remembered when it comes again: each is verified.
fn with_new_tokens() -> Scenario {
    Scenario {
        name: "jwt-new",
        title: "tokens signed with RS256, never verified before",
        kind: Kind::Cpu(Cpu {
            load: Load::Http1 {
                connections: 64,
                answer: None,
                body: 0,
                header: Some("Authorization: Bearer @target/bench/tokens.txt"),
            },
            subject: waypost(Layout {
                extra: Extra::NewJwt,
                ..Layout::PLAIN
            }),
            others: vec![Contender {
                label: "waypost, plain",
                ..waypost(Layout::PLAIN)
            }],
            targets: Vec::new(),
            unit: Unit::Request,
        }),
    }
}

/// Several endpoints, and what to do about them.
fn endpoints() -> Vec<Scenario> {
    let with_header = Load::Http1 {
        connections: 64,
        answer: None,
        body: 0,
        header: Some("x-user: %d"),
    };
    let beside = |name, title, layout, load, label, other, most| Scenario {
        name,
        title,
        kind: Kind::Cpu(Cpu {
            load,
            subject: waypost(layout),
            others: vec![Contender {
                label,
                ..waypost(other)
            }],
            targets: vec![(label, most)],
            unit: Unit::Request,
        }),
    };
    let three = Layout::balanced(3, Extra::Nothing);
    vec![
        compared(
            "balance",
            "three endpoints with health checks, the least busy one takes the request",
            Layout::balanced(3, Extra::LeastRequest),
            Load::http1(64),
            &[Peer::Nginx, Peer::Haproxy],
            &[("nginx", 0.92)],
        ),
        beside(
            "endpoints-1k",
            "1,000 endpoints of one service, round robin",
            Layout::balanced(ENDPOINTS_MAX, Extra::Nothing),
            Load::http1(64),
            "waypost, 3 endpoints",
            three,
            1.05,
        ),
        beside(
            "hash",
            "three endpoints, by a hash of a header",
            Layout::balanced(3, Extra::Hash),
            with_header,
            "waypost, round robin",
            three,
            1.03,
        ),
        beside(
            "retry",
            "a retry that is never used",
            Layout {
                extra: Extra::Retry,
                ..Layout::PLAIN
            },
            Load::http1(64),
            "waypost, plain",
            Layout::PLAIN,
            1.01,
        ),
        special(
            "dead-third",
            "one of three endpoints dies, at half load",
            special::dead_third::run,
        ),
        special("checks", "10,000 health checks a second", special::checks::run),
        special(
            "upgrade",
            "upgrades under a keep-alive client",
            special::upgrade::run,
        ),
    ]
}

fn bodies() -> Vec<Scenario> {
    let mebibytes = |name, title, of_one: u64, connections| Scenario {
        name,
        title,
        kind: Kind::Cpu(Cpu {
            load: Load::Http1 {
                connections,
                answer: Some(of_one << 20),
                body: 0,
                header: None,
            },
            subject: waypost(Layout::PLAIN),
            others: GATEWAYS
                .into_iter()
                .map(|peer| Contender::new(peer, Layout::PLAIN))
                .collect(),
            targets: vec![("envoy", 0.70), ("nginx", 0.40)],
            unit: Unit::Mebibyte(of_one),
        }),
    };
    vec![
        compared(
            "post",
            "POST of 16 KiB",
            Layout::PLAIN,
            Load::Http1 {
                connections: 64,
                answer: None,
                body: 16 << 10,
                header: None,
            },
            &GATEWAYS,
            &[("nginx", 0.92)],
        ),
        mebibytes("answers-1m", "answers of 1 MiB", 1, 16),
        mebibytes("answers-100m", "answers of 100 MiB", 100, 4),
    ]
}

fn protocols() -> Vec<Scenario> {
    let tls = Layout {
        tls: true,
        ..Layout::PLAIN
    };
    let handshakes = |name, title, resumed| {
        let load = Load::Handshakes {
            connections: 16,
            resumed,
        };
        let mut scenario = compared(name, title, tls, load, &GATEWAYS, &[("nginx", 0.95)]);
        if let Kind::Cpu(cpu) = &mut scenario.kind {
            cpu.unit = Unit::Handshake;
        }
        scenario
    };
    let http2 = Layout {
        http2: true,
        ..Layout::PLAIN
    };
    let calls = Layout {
        grpc: true,
        http2: true,
        ..Layout::PLAIN
    };
    let mut grpc = compared(
        "grpc",
        "unary calls of gRPC, HTTP/2 on both sides",
        calls,
        Load::Calls {
            connections: 16,
            streams: 10,
        },
        &GATEWAYS,
        &[("envoy", 0.60), ("nginx", 0.90)],
    );
    if let Kind::Cpu(cpu) = &mut grpc.kind {
        cpu.unit = Unit::Call;
    }
    vec![
        compared(
            "tls",
            "HTTP/1.1 under TLS 1.3, connections kept",
            tls,
            Load::Http1Tls { connections: 64 },
            &GATEWAYS,
            &[("nginx", 0.95)],
        ),
        handshakes("tls-full", "full handshakes of TLS 1.3, one request each", false),
        handshakes(
            "tls-resumed",
            "resumed handshakes of TLS 1.3, one request each",
            true,
        ),
        compared(
            "http2",
            "HTTP/2 in, HTTP/1.1 out",
            http2,
            Load::Http2 {
                connections: 16,
                streams: 10,
            },
            &GATEWAYS,
            &[("haproxy", 0.90), ("nginx", 0.80)],
        ),
        grpc,
    ]
}

fn waypost(layout: Layout) -> Contender {
    Contender::new(Peer::Waypost, layout)
}

/// Waypost against peers with the same layout.
fn compared(
    name: &'static str,
    title: &'static str,
    layout: Layout,
    load: Load,
    peers: &[Peer],
    targets: &[(&'static str, f64)],
) -> Scenario {
    Scenario {
        name,
        title,
        kind: Kind::Cpu(Cpu {
            load,
            subject: waypost(layout),
            others: peers.iter().map(|peer| Contender::new(*peer, layout)).collect(),
            targets: targets.to_vec(),
            unit: Unit::Request,
        }),
    }
}

fn special(
    name: &'static str,
    title: &'static str,
    run: fn(&super::machine::Machine, &super::options::Options) -> anyhow::Result<super::report::Section>,
) -> Scenario {
    Scenario {
        name,
        title,
        kind: Kind::Special(run),
    }
}
