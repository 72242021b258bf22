use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::Route;
use crate::attribute::Attribute;
use crate::rank::Criterion;
use crate::table::tests::{request, table_text};
use crate::{reference, testing};

/// Formats each finding as a line: `b.0 unreachable by a.0`, `a.0 b.0 ambiguous: GET /x`, `a.0 impossible: header x`;
/// and `a.0 inexact`.
fn lines(routes: &[Route], entrances: &[Entrance]) -> Vec<String> {
    let table = Table::new(routes.to_vec()).unwrap();
    let analysis = analyse(&table, entrances);
    let name = |at: &Position| format!("{}.{}", routes[at.route].name, at.alternative);
    let mut lines: Vec<String> = analysis
        .findings
        .iter()
        .map(|finding| match finding {
            Finding::Unreachable { at, shadowed_by, .. } => {
                let by: Vec<String> = shadowed_by.iter().map(name).collect();
                format!("{} unreachable by {}", name(at), by.join(" "))
            }
            Finding::Ambiguous {
                first,
                second,
                witness,
            } => {
                format!("{} {} ambiguous: {witness}", name(first), name(second))
            }
            Finding::Impossible { at, reason } => format!("{} impossible: {}", name(at), reason.condition),
        })
        .collect();
    lines.extend(analysis.inexact.iter().map(|at| format!("{} inexact", name(at))));
    assert!(!analysis.truncated);
    lines
}

fn check(routes: &str, expected: &[&str]) {
    check_served(routes, "", expected);
}

/// Like [`check`], with only these hosts served.
fn check_served(routes: &str, served: &str, expected: &[&str]) {
    let entrances = match served {
        "" => Vec::new(),
        served => vec![entrance("plain", "http", served)],
    };
    check_entrances(routes, &entrances, expected);
}

fn check_entrances(routes: &str, entrances: &[Entrance], expected: &[&str]) {
    assert_eq!(
        lines(&testing::routes(routes), entrances),
        expected,
        "{routes} on {entrances:?}"
    );
}

fn entrance(listener: &str, scheme: &'static str, hosts: &str) -> Entrance {
    let hosts = hosts.split_whitespace();
    Entrance {
        listener: listener.into(),
        scheme,
        hosts: hosts.map(|host| HostPattern::parse(host).unwrap()).collect(),
        is_plain: true,
        needs_name: false,
        needs_name_without_host: false,
    }
}

#[test]
fn listener_and_scheme_are_decided_by_the_entrances() {
    let both = [entrance("plain", "http", ""), entrance("tls", "https", "")];
    let pair = |known: &str| format!("a /a {known} h:x=1\n b /a {known} q:y=1");
    check_entrances(&pair(""), &both, &[]);
    check_entrances(
        "a /a a:listener=plain\n b /a a:scheme=https\n c /a",
        &both,
        &["c.0 unreachable by a.0 b.0"],
    );
    check("a /a a:listener=plain\n b /a a:scheme=https\n c /a", &[]);
    check(
        "a /a a:scheme=http\n b /a a:scheme=https\n c /a",
        &["c.0 unreachable by a.0 b.0"],
    );
    check_entrances(
        "a /a a:listener=plain|tls\n b /a",
        &both,
        &["b.0 unreachable by a.0"],
    );
    check("a /a a:listener=plain|tls\n b /a", &[]);
    check_entrances(
        "a /a a:listener=tls|plain GET\n b /a a:listener=tls|other GET",
        &both,
        &[
            "b.0 unreachable by a.0",
            "a.0 b.0 ambiguous: GET /a --listener tls",
        ],
    );
    check_entrances(
        "a x.y /a a:scheme=https h:x=1\n b x.y /a a:scheme=https c:y=1",
        &both,
        &["a.0 b.0 ambiguous: GET https://x.y/a -H 'x: 1' -H 'cookie: y=1' --listener tls"],
    );
    // Only one of the listeners serves the host.
    let hosts = [entrance("plain", "http", "a.b"), entrance("tls", "https", "*.c")];
    check_entrances(
        "a x.c /a a:scheme=https\n b x.c /a",
        &hosts,
        &["b.0 unreachable by a.0"],
    );
    check_entrances("a x.c /a a:scheme=http\n b x.c /a", &hosts, &[]);
    check_entrances(
        "a h:x=1\n b h:y=1\n c a.b /*",
        &hosts,
        &["a.0 b.0 ambiguous: GET https://x.c/x -H 'x: 1' -H 'y: 1'"],
    );
    // What only a proxy can say has no witness, but is possible.
    let behind = [
        entrance("plain", "http", ""),
        Entrance {
            is_plain: false,
            ..entrance("plain", "https", "")
        },
    ];
    check_entrances("a /a a:scheme=http\n b /a", &behind, &["b.0 inexact"]);
}

#[test]
fn reachable_routes_have_no_findings() {
    // A client of a unix socket has no address, so it reaches `b`.
    check("a / ip:0.0.0.0/0,::/0\n b /", &[]);
    check("a /a/*\n b /b/*\n c /*\n d *.a.b /*\n e x.a.b /* GET", &[]);
    check("a /users/* h:x-api-version=2\n b /users/*", &[]);
    check("a /a/{x} GET\n b /a/{y} POST", &[]);
    check("a ~^/v1/\n b ~^/v2/", &[]);
    check("", &[]);
}

#[test]
fn one_better_alternative_shadows_another() {
    check("a /a\n b /a GET", &[]);
    check(
        "a / ip:0.0.0.0/0\n b / ip:10.0.0.1",
        &[
            "b.0 unreachable by a.0",
            "a.0 b.0 ambiguous: GET / --client-ip 10.0.0.1",
        ],
    );
    check(
        "a / GET,POST\n b / GET",
        &["b.0 unreachable by a.0", "a.0 b.0 ambiguous: GET /"],
    );
    check("a ~^/a h:x=*\n b ~^/a", &[]);
    check("a ~^/a h:x=* c:y=1\n b ~^/a h:x=1 c:y=1", &[]);
}

#[test]
fn narrower_kinds_of_conditions_are_reached() {
    for kind in ["h", "c", "q", "a"] {
        let name = if kind == "a" { "san" } else { "x" };
        let routes = |values: [&str; 3]| {
            let lines = values.iter().enumerate();
            let lines = lines.map(|(index, value)| format!("r{index} /a {kind}:{name}={value}\n"));
            lines.collect::<String>()
        };
        for values in [["*", "~1|2", "1"], ["~1|2", "*", "1"], ["1", "~1|2", "*"]] {
            assert_eq!(
                lines(&testing::routes(&routes(values)), &[]),
                Vec::<String>::new(),
                "{kind} {values:?}"
            );
        }
    }
}

/// Checks the change for the only unreachable alternative.
fn check_mend(routes: &str, expected: Mend) {
    let table = Table::new(testing::routes(routes)).unwrap();
    let analysis = analyse(&table, &[]);
    let mends = analysis.findings.iter().filter_map(|finding| match finding {
        Finding::Unreachable { mend, .. } => Some(*mend),
        _ => None,
    });
    assert_eq!(mends.collect::<Vec<_>>(), [expected], "{routes}");
}

#[test]
fn unreachable_routes_are_mended_by_order_or_conditions() {
    let at = |route, alternative| Position { route, alternative };
    let before = |route| Mend::DeclareBefore(at(route, 0));
    check_mend("a / GET,POST\n b / GET", before(0));
    check_mend("a / ip:10.0.0.0/8\n b / ip:10.0.0.1", before(0));
    check_mend("z /z\n a / h:x=~1|2 GET,PUT\n b / h:x=~1|2 GET", before(1));
    check_mend(
        "a / ip:10.0.0.0/9 q:x=1\n b / ip:10.128.0.0/9 q:x=1\n c / q:x=1 ip:10.0.0.0/8",
        before(0),
    );
    for same in ["a /a/{x}\n b /a/{y}", "a ~^/a h:x=1\n b ~^/a h:x=1"] {
        check_mend(same, Mend::Same(at(0, 0)));
    }
    check_mend("a / GET,PUT\n a / GET", Mend::Outrank(at(0, 0), Criterion::Order));
    check_mend(
        "a / h:cookie=* h:x=* c:s=*\n b / h:x=1 c:s=1",
        Mend::Outrank(at(0, 0), Criterion::Fields),
    );
    check_mend("a /a h:x=*\n b /a h:x=!\n c /a", Mend::Narrow);
}

#[test]
fn ambiguous_pairs_have_a_witness() {
    check(
        "a /a/*\n b /a/*",
        &["b.0 unreachable by a.0", "a.0 b.0 ambiguous: GET /a/x"],
    );
    check(
        "a h:x=1\n b c:y=1",
        &["a.0 b.0 ambiguous: GET /x -H 'x: 1' -H 'cookie: y=1'"],
    );
    check(
        "a *.b /{x} q:p=1\n b *.b /{y} q:q=1",
        &["a.0 b.0 ambiguous: GET 'http://x.b/x?p=1&q=1'"],
    );
    check(
        "a a:san=1\n b h:x=1",
        &["a.0 b.0 ambiguous: GET /x -H 'x: 1' # client_cert san: 1"],
    );
    check("a ~^/a\n b ~b$", &["a.0 b.0 ambiguous: GET /ab"]);
}

#[test]
fn witness_has_a_served_host() {
    let pair = "a h:x=1\n b h:y=1";
    let shown = |host: &str| format!("a.0 b.0 ambiguous: GET http://{host}/x -H 'x: 1' -H 'y: 1'");
    check_served(pair, "api.b", &[&shown("api.b")]);
    check_served(pair, "*.b", &[&shown("x.b")]);
    check_served("a x.c h:x=1\n b x.c h:y=1", "*.b *.c", &[&shown("x.c")]);
    check_served("a *.c h:x=1\n b *.c h:y=1", "*.b y.c", &[&shown("y.c")]);
    // If another route matches all of the first host, the next one is tried.
    let taken = "a h:x=1\n b h:y=1\n c a.b /*";
    check_served(taken, "a.b c.b", &[&shown("c.b")]);
    check_served(taken, "a.b", &["a.0 inexact", "b.0 inexact"]);
}

#[test]
fn alternatives_of_one_route_are_not_ambiguous() {
    check("a h:x=1\n a h:y=1", &[]);
}

#[test]
fn contradicting_conditions_are_impossible() {
    check("a h:x=1 h:x=2", &["a.0 impossible: header x"]);
    check("a h:x=* h:x=!", &["a.0 impossible: header x"]);
    check("a a:san=1 a:san=2", &["a.0 impossible: client_cert san"]);
    check("a c:x=1 c:x=2", &["a.0 impossible: cookie x"]);
    check("a q:x=1 q:x=~2", &["a.0 impossible: query x"]);
    check("a c:x=1;2", &["a.0 impossible: cookie x"]);
    check("a ip:::ffff:10.0.0.0/104", &["a.0 impossible: client_ip"]);
    check("a h:cookie=! c:x=1", &["a.0 impossible: cookie x"]);
}

#[test]
fn undecided_alternatives_are_listed() {
    check("a h:x=~.|^$ GET\n b h:x=* GET", &["b.0 inexact"]);
    check("a ~^/a.*q$\n b ~^/a.*r$", &["a.0 inexact", "b.0 inexact"]);
}

#[test]
fn regexes_take_over_what_they_cover() {
    check("a ~^/a(/|$)\n b /a/*", &["b.0 unreachable by a.0"]);
    check("a ~^/a/\n b /a/*", &[]);
    check("a ~^/a/\n b /a/*\n c /a", &["b.0 unreachable by c.0 a.0"]);
    check("a ~^/a\n b /a/{x}/*\n c /a/b", &["b.0 unreachable by a.0"]);
    check("a x.y ~^/a\n b /a/*", &[]);
    check("a ~^/a\n b x.y /a/*", &[]);
    check("a ~^/a GET\n b /a/* GET,PUT", &[]);
    check("a ~^/a GET,PUT\n b /a/* GET", &["b.0 unreachable by a.0"]);
    check(
        "a ~^/a\n b ~^/ab",
        &["b.0 unreachable by a.0", "a.0 b.0 ambiguous: GET /ab"],
    );
    check("a ~^/ab\n b ~^/a", &["a.0 b.0 ambiguous: GET /ab"]);
    check_mend(
        "a ~^/a\n b ~^/ab",
        Mend::DeclareBefore(Position {
            route: 0,
            alternative: 0,
        }),
    );
    check_mend(
        "a ~^/a\n b /a/*",
        Mend::Outrank(
            Position {
                route: 0,
                alternative: 0,
            },
            Criterion::Path,
        ),
    );
}

#[test]
fn a_route_is_unreachable_when_all_its_alternatives_are() {
    let routes = testing::routes("a /a/*\n b /a/*\n b /b/*\n c /a/*\n c h:x=1 h:x=2");
    let analysis = analyse(&Table::new(routes).unwrap(), &[]);
    assert_eq!(analysis.unreachable_routes, [2]);
}

#[test]
fn a_hundred_thousand_prefixes_are_analysed_quickly() {
    let table = Table::new(crate::table::tests::hundred_thousand_prefixes()).unwrap();
    let started = Instant::now();
    assert_eq!(analyse(&table, &[]), Analysis::default());
    // Generous for a debug build on a busy machine; quadratic time would take far longer.
    assert!(started.elapsed() < Duration::from_secs(30));
}

fn tenants(count: usize) -> Analysis {
    let text: String = (0..count).map(|n| format!("r{n} /a h:tenant=t{n}\n")).collect();
    let routes: Vec<Route> = text.lines().flat_map(testing::routes).collect();
    analyse(&Table::new(routes).unwrap(), &[])
}

#[test]
fn many_values_of_one_header_are_distinguished() {
    assert_eq!(tenants(1000), Analysis::default());
}

#[test]
fn too_many_alternatives_on_one_path_truncate_the_analysis() {
    let analysis = tenants(10_000);
    assert!(analysis.truncated);
    assert_eq!((analysis.findings, analysis.inexact), (vec![], vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn findings_are_never_wrong(
        text in table_text(0..8),
        requests in prop::collection::vec(request(), 60),
        knows_entrances in any::<bool>(),
    ) {
        let routes = testing::routes(&text);
        let table = Table::new(routes.clone()).unwrap();
        let entrances = if knows_entrances { three_entrances() } else { Vec::new() };
        let analysis = analyse(&table, &entrances);
        let found = |at: &Position| Found { route: at.route, alternative: at.alternative };
        for finding in &analysis.findings {
            if let Finding::Ambiguous { first, second, witness } = finding {
                let request = witness.request();
                prop_assert!(!knows_entrances || comes_in(&request, &entrances, true), "{} on\n{}", witness, text);
                prop_assert_eq!(reference::find(&routes, &request), Some(found(first)), "{} on\n{}", witness, text);
                let second = &routes[second.route].alternatives[second.alternative];
                prop_assert!(second.first_failed(&request, &mut Vec::new()).is_none(), "{} on\n{}", witness, text);
                prop_assert!(first.route != finding.position().route);
            }
        }
        let unreachable: Vec<Found> = analysis.findings.iter().filter_map(|finding| match finding {
            Finding::Unreachable { at, .. } | Finding::Impossible { at, .. } => Some(found(at)),
            Finding::Ambiguous { .. } => None,
        }).collect();
        for finding in &analysis.findings {
            if let Finding::Unreachable { at, mend: Mend::DeclareBefore(before), .. } = finding {
                let mut moved = routes.clone();
                let route = moved.remove(at.route);
                moved.insert(before.route, route);
                let moved_to = Position { route: before.route, ..*at };
                let mended = analyse(&Table::new(moved).unwrap(), &entrances);
                let still = mended.findings.iter().any(|finding| {
                    matches!(finding, Finding::Unreachable { at, .. } if *at == moved_to)
                });
                prop_assert!(before.route < at.route && !still, "{:?} before {:?} on\n{}", at, before, text);
            }
        }
        for request in &requests {
            let owned = testing::request(request);
            if owned.path.contains("//") || (knows_entrances && !comes_in(&owned.request(), &entrances, false)) {
                continue;
            }
            let winner = reference::find(&routes, &owned.request());
            prop_assert!(winner.is_none_or(|winner| !unreachable.contains(&winner)), "{} on\n{}", request, text);
        }
    }

    /// Every alternative is either reached by some request of a universe in which each has a representative,
    /// or reported. Paths, methods and two headers only, so that the universe is small enough to enumerate.
    #[test]
    fn nothing_unreachable_is_missed_without_regexes(text in small_table()) {
        let routes = testing::routes(&text);
        let table = Table::new(routes.clone()).unwrap();
        let analysis = analyse(&table, &[]);
        prop_assert!(analysis.inexact.is_empty() && !analysis.truncated);
        let mut winners: Vec<Found> = Vec::new();
        for request in small_universe() {
            winners.extend(reference::find(&routes, &testing::request(&request).request()));
        }
        for (found, _) in table.in_rank_order() {
            let reported = analysis.findings.iter().any(|finding| match finding {
                Finding::Unreachable { at, .. } | Finding::Impossible { at, .. } => {
                    (at.route, at.alternative) == (found.route, found.alternative)
                }
                Finding::Ambiguous { .. } => false,
            });
            prop_assert_eq!(reported, !winners.contains(&found), "{:?} on\n{}", found, text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn ten_thousand_requests_near_an_unreachable_alternative_do_not_reach_it(
        text in table_text(6..12),
        seed in any::<u64>(),
        knows_entrances in any::<bool>(),
    ) {
        let routes = testing::routes(&text);
        let entrances = if knows_entrances { three_entrances() } else { Vec::new() };
        let analysis = analyse(&Table::new(routes.clone()).unwrap(), &entrances);
        let first = analysis.findings.iter().find_map(|finding| match finding {
            Finding::Unreachable { at, .. } => Some(*at),
            _ => None,
        });
        if let Some(at) = first {
            let alternative = &routes[at.route].alternatives[at.alternative];
            let mut dice = Dice(seed | 1);
            let mut near = 0;
            for _ in 0..10_000 {
                let owned = request_near(alternative, &mut dice);
                let request = owned.request();
                if knows_entrances && !comes_in(&request, &entrances, false) {
                    continue;
                }
                near += usize::from(alternative.first_failed(&request, &mut Vec::new()).is_none());
                let winner = reference::find(&routes, &request);
                let reached = Found { route: at.route, alternative: at.alternative };
                prop_assert!(winner != Some(reached), "{:?} on\n{}", owned, text);
            }
            prop_assert!(near > 100, "{} near {:?} on\n{}", near, at, text);
        }
    }
}

/// Xorshift.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

/// A request that mostly fulfils the conditions of `alternative`, with more around them.
fn request_near(alternative: &Alternative, dice: &mut Dice) -> testing::OwnedRequest {
    let host = match &alternative.host {
        HostPattern::Any => dice.pick(&["", "a.b", "b", "x.a.b", "c"]).to_owned(),
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::Wildcard(suffix) => format!("{}{suffix}", dice.pick(&["x", "a", "c.a"])),
    };
    let mut path = String::new();
    let segments = ["a", "b", "c", "ab", "x7"];
    let add = |path: &mut String, dice: &mut Dice| {
        path.push('/');
        path.push_str(dice.pick(&segments));
    };
    match &alternative.path {
        PathPattern::Exact(text) => path.push_str(text),
        PathPattern::Template(parts) | PathPattern::Open(parts) => {
            for part in parts {
                match part {
                    Segment::Literal(text) => path.push_str(&format!("/{text}")),
                    Segment::Parameter(_) => add(&mut path, dice),
                }
            }
        }
        PathPattern::Regex(_) => {}
    }
    if !matches!(alternative.path, PathPattern::Exact(_) | PathPattern::Template(_)) {
        for _ in 0..dice.roll(4) {
            add(&mut path, dice);
        }
        if path.is_empty() || dice.roll(4) == 0 {
            path.push('/');
        }
    }
    let method = match alternative.methods.len() {
        0 => dice.pick(&["GET", "PUT", "POST", "HEAD"]).to_owned(),
        count => alternative.methods[dice.roll(count)].to_string(),
    };
    let mut words = vec![method, String::new()];
    let mut query: Vec<String> = Vec::new();
    let fields = [
        ("h", &alternative.headers),
        ("c", &alternative.cookies),
        ("q", &alternative.query),
    ];
    let fields = fields.iter().flat_map(|(kind, fields)| {
        fields
            .iter()
            .map(move |field| (*kind, field.name.to_string(), &field.value))
    });
    let attributes = alternative.attributes.iter().map(|condition| {
        let name = condition.attribute.to_string().replace("client_cert ", "");
        ("a", name, &condition.value)
    });
    let mut given: Vec<String> = Vec::new();
    for (kind, name, value) in fields.chain(attributes) {
        given.push(format!("{kind}:{name}"));
        let value = match value {
            _ if dice.roll(20) == 0 => dice.pick(&["1", "2", "17"]).to_owned(),
            ValueCondition::Absent => continue,
            ValueCondition::Present => dice.pick(&["1", "2", "x"]).to_owned(),
            ValueCondition::Matches(_) => dice.pick(&["1", "17"]).to_owned(),
            value => value.texts()[dice.roll(value.texts().len())].to_string(),
        };
        match kind {
            "q" => query.push(format!("{name}={value}")),
            "c" => words.push(format!("c:{name}={value}")),
            _ => words.push(format!("{kind}:{name}={value}")),
        }
    }
    for (name, word) in [
        ("h:x", "h:x=1"),
        ("h:y", "h:y=2"),
        ("c:s", "c:s=1"),
        ("a:san", "a:san=1"),
        ("a:listener", "a:listener=tls"),
        ("a:scheme", "a:scheme=https"),
    ] {
        if dice.roll(4) == 0 && !given.iter().any(|given| given == name) {
            words.push(word.to_owned());
        }
    }
    for name in ["p", "q"] {
        if dice.roll(4) == 0 && !given.iter().any(|given| *given == format!("q:{name}")) {
            query.push(format!("{name}={}", dice.pick(&["1", "2"])));
        }
    }
    let addresses = ["10.0.0.1", "10.200.0.1", "::1", "127.0.0.1"];
    words.push(format!("ip:{}", dice.pick(&addresses)));
    let query = if query.is_empty() {
        String::new()
    } else {
        format!("?{}", query.join("&"))
    };
    words[1] = format!("{host}{path}{query}");
    testing::request(&words.join(" "))
}

/// A listener in clear text, one under TLS for some hosts, and one behind a proxy.
fn three_entrances() -> Vec<Entrance> {
    vec![
        entrance("plain", "http", ""),
        entrance("tls", "https", "a.b *.b"),
        entrance("behind", "http", ""),
        Entrance {
            is_plain: false,
            ..entrance("behind", "https", "")
        },
    ]
}

fn comes_in(request: &crate::request::Request<'_>, entrances: &[Entrance], plainly: bool) -> bool {
    let text = |attribute| {
        let mut scratch = Vec::new();
        let value = request.attribute(attribute, &mut scratch).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    };
    let (listener, scheme) = (text(Attribute::Listener), text(Attribute::Scheme));
    let host = request.host.map(|host| std::str::from_utf8(host).unwrap());
    entrances.iter().any(|entrance| {
        *entrance.listener == *listener
            && entrance.scheme == scheme
            && entrance.serves(host)
            && (entrance.is_plain || !plainly)
    })
}

fn small_table() -> impl Strategy<Value = String> {
    let path = prop::sample::select(vec![
        "/", "/a", "/a/", "/{x}", "/{x}/", "/a/{x}", "/{x}/a", "/{x}/{y}", "/*", "/a/*", "/{x}/*", "/a/a/*",
    ]);
    let host = prop::sample::select(vec!["", "", "a.b", "*.b"]);
    let method = prop::sample::select(vec!["", "", "GET", "PUT,POST"]);
    let header = prop::sample::select(vec![
        "",
        "",
        "h:x=1",
        "h:x=*",
        "h:x=!",
        "c:s=1",
        "c:s=!",
        "h:cookie=*",
    ]);
    let line = (0..4_u8, host, path, method, header.clone(), header)
        .prop_map(|(route, host, path, method, a, b)| format!("r{route} {host} {path} {method} {a} {b}"));
    prop::collection::vec(line, 1..8).prop_map(|lines| lines.join("\n"))
}

fn small_universe() -> Vec<String> {
    let mut all = Vec::new();
    for host in ["", "a.b", "c.b"] {
        for path in [
            "/", "/a", "/c", "/a/", "/c/", "/a/a", "/a/c", "/c/a", "/c/c", "/a/a/", "/a/c/", "/c/a/",
            "/c/c/", "/a/a/c", "/a/c/c", "/c/a/c", "/c/c/c", "/a/a/c/", "/a/c/c/", "/c/a/c/", "/c/c/c/",
        ] {
            for method in ["GET", "PUT", "HEAD"] {
                for x in ["", "h:x=1", "h:x=2"] {
                    for s in ["", "c:s=1", "c:s=2", "c:t=1"] {
                        all.push(format!("{method} {host}{path} {x} {s}"));
                    }
                }
            }
        }
    }
    all
}
