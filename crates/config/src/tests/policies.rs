//! Policies that routes and listeners share.

use waypost_plan::access::BodyLimit;
use waypost_plan::origin::Source;
use waypost_plan::policies::{Policies, PolicySet, Upgrade};
use waypost_plan::value::ValueName;

use super::*;

/// Two listeners, two services and these lines.
fn plan(lines: &str) -> Plan {
    let text =
        format!("services: {{ a: {{ endpoints: [http://a] }}, b: {{ endpoints: [http://b] }} }}\n{lines}");
    match load_text(text.clone()) {
        Ok(loaded)
            if loaded
                .warnings
                .iter()
                .all(|found| found.code == Code::UnusedService) =>
        {
            loaded.plan
        }
        Ok(loaded) => panic!("{text}\n{:#?}", super::lines(&loaded.warnings)),
        Err(found) => panic!("{text}\n{:#?}", super::lines(&found)),
    }
}

fn plain(lines: &str) -> Plan {
    plan(&format!("listeners: [{{ bind: 127.0.0.1:8080 }}]\n{lines}"))
}

/// The policies of the first route, as by the first listener.
fn first(plan: &Plan) -> &Policies {
    plan.policies(&plan.routes()[0], &plan.listeners()[0])
}

fn millis(policies: &PolicySet) -> Option<u128> {
    policies.timeout.map(|time| time.as_millis())
}

/// The lines that a route's response headers insert, and `-name` for those that they remove.
fn headers(policies: &PolicySet, removed: &[&str]) -> Vec<String> {
    let edits = &policies.response_headers;
    let lines = edits.lines();
    let lines = lines.map(|(name, value)| format!("{name}={}", value.as_literal().unwrap()));
    let is_gone = |name: &&&str| edits.drops(name.as_bytes());
    let gone = removed.iter().filter(is_gone).map(|name| format!("-{name}"));
    lines.chain(gone).collect()
}

#[test]
fn the_nearest_place_that_has_a_key_counts() {
    const POLICIES: &str = "policies: { slow: { timeout: 1m, limits: { body_bytes: 1KiB } }, \
         fast: { timeout: 1s, upgrade: [] } }\n";
    for (route, timeout, body, upgrade) in [
        ("", None, BodyLimit::OfListener, true),
        ("use: slow", Some(60_000), BodyLimit::Bytes(1024), true),
        ("use: [slow, fast]", Some(1000), BodyLimit::Bytes(1024), false),
        ("use: [fast, slow]", Some(60_000), BodyLimit::Bytes(1024), false),
        (
            "use: [slow, fast], timeout: 5s",
            Some(5000),
            BodyLimit::Bytes(1024),
            false,
        ),
        (
            "use: [slow, fast], timeout: none",
            None,
            BodyLimit::Bytes(1024),
            false,
        ),
        (
            "use: [slow, fast], timeout: off, limits: off",
            None,
            BodyLimit::OfListener,
            false,
        ),
        ("use: fast, upgrade: off", Some(1000), BodyLimit::OfListener, true),
        (
            "use: fast, upgrade: \"off\"",
            Some(1000),
            BodyLimit::OfListener,
            true,
        ),
        (
            "use: fast, upgrade: [x]",
            Some(1000),
            BodyLimit::OfListener,
            false,
        ),
    ] {
        let others = "- { name: s, match: { path: /s }, to: b, use: slow }\n\
                      - { name: f, match: { path: /f }, to: b, use: fast }\n";
        let comma = if route.is_empty() { "" } else { ", " };
        let plan = plain(&format!(
            "{POLICIES}routes:\n- {{ name: r, to: a{comma}{route} }}\n{others}"
        ));
        let policies = first(&plan);
        assert_eq!(millis(policies), timeout, "{route}");
        assert_eq!(policies.body, body, "{route}");
        assert_eq!(policies.upgrade.allows(b"websocket"), upgrade, "{route}");
        if route.contains("[x]") {
            assert_eq!(policies.upgrade, Upgrade::Only(["x".into()].into()));
        }
    }
}

#[test]
fn a_policy_takes_away_what_an_earlier_one_says() {
    let plan = plain(
        "policies: { a: { timeout: 1s, response_headers: { set: { x: a } } }, b: { timeout: off, response_headers: off }, \
         c: { response_headers: { set: { y: c } } } }\n\
         routes: [{ name: r, to: a, use: [a, b, c] }, { name: s, match: { path: /s }, to: b, use: [b, a] }]\n",
    );
    let policies = first(&plan);
    assert_eq!(millis(policies), None);
    assert_eq!(headers(policies, &["x"]), ["y=c"]);
    assert_eq!(millis(&plan.routes()[1].policies), Some(1000));
    assert_eq!(headers(&plan.routes()[1].policies, &[]), ["x=a"]);
}

#[test]
fn edits_are_joined_from_the_outside_in() {
    let plan = plan(
        "listeners:\n\
         - { bind: 127.0.0.1:1, use: edge, response_headers: { set: { x-l: l, x-a: l }, remove: [server] } }\n\
         - { bind: 127.0.0.1:2 }\n\
         policies:\n\
         \x20 edge: { response_headers: { set: { x-e: e, x-l: e } }, request_headers: { set: { x-q: e } } }\n\
         \x20 web: { response_headers: { set: { x-a: web, x-b: web } } }\n\
         \x20 app: { response_headers: { set: { X-B: app }, add: { server: app } } }\n\
         routes:\n\
         - { name: r, to: a, use: [web, app], response_headers: { remove: [x-e], set: { x-r: r } } }\n\
         - { name: s, match: { path: /s }, redirect: { scheme: https }, use: web }\n\
         - { name: t, match: { path: /t }, to: b, response_headers: off, request_headers: off }\n\
         - { name: u, match: { path: /u }, to: b }\n",
    );
    let by =
        |route: usize, listener: usize| plan.policies(&plan.routes()[route], &plan.listeners()[listener]);
    let all = ["server", "x-e", "x-a"];
    assert_eq!(
        headers(by(0, 0), &all),
        [
            "x-l=l",
            "x-a=web",
            "X-B=app",
            "x-r=r",
            "server=app",
            "-x-e",
            "-x-a"
        ]
    );
    assert_eq!(
        headers(by(0, 1), &all),
        ["x-a=web", "X-B=app", "x-r=r", "server=app", "-x-e", "-x-a"]
    );
    assert_eq!(
        headers(by(1, 0), &["server"]),
        ["x-e=e", "x-l=l", "x-a=web", "x-b=web", "-server"]
    );
    assert!(headers(by(2, 0), &all).is_empty());
    assert_eq!(
        headers(by(3, 0), &["server"]),
        ["x-e=e", "x-l=l", "x-a=l", "-server"]
    );
    assert!(headers(by(3, 1), &all).is_empty());
    let request: Vec<&str> = by(3, 0).request_headers.lines().map(|(name, _)| name).collect();
    assert_eq!(request, ["x-q"]);
    assert!(by(2, 0).request_headers.lines().next().is_none());
    // Before a route is known, the listener's count.
    let own = &plan.listeners()[0].policies;
    assert_eq!(headers(own, &["server"]), ["x-e=e", "x-l=l", "x-a=l", "-server"]);
}

#[test]
fn a_listeners_policies_are_the_outermost() {
    let plan = plan(
        "listeners: [{ bind: 127.0.0.1:1, use: [wide, narrow] }, { bind: 127.0.0.1:2 }, { bind: 127.0.0.1:3, use: wide }]\n\
         policies: { wide: { timeout: 1m, retry: {}, limits: { body_bytes: 9 } }, narrow: { timeout: 1s }, own: { timeout: 2s } }\n\
         routes:\n\
         - { name: none, to: a }\n\
         - { name: used, match: { path: /u }, to: a, use: own }\n\
         - { name: said, match: { path: /s }, to: b, timeout: 3s, limits: { body_bytes: none } }\n\
         - { name: off, match: { path: /o }, to: b, timeout: off, retry: off }\n",
    );
    let by = |route: usize, listener: usize| {
        let policies = plan.policies(&plan.routes()[route], &plan.listeners()[listener]);
        (millis(policies), policies.retry.is_some(), policies.body)
    };
    let (nine, none) = (BodyLimit::Bytes(9), BodyLimit::OfListener);
    for (route, expected) in [
        [
            (Some(1000), true, nine),
            (None, false, none),
            (Some(60_000), true, nine),
        ],
        [
            (Some(2000), true, nine),
            (Some(2000), false, none),
            (Some(2000), true, nine),
        ],
        [
            (Some(3000), true, BodyLimit::Unlimited),
            (Some(3000), false, BodyLimit::Unlimited),
            (Some(3000), true, BodyLimit::Unlimited),
        ],
        [(None, false, nine), (None, false, none), (None, false, nine)],
    ]
    .into_iter()
    .enumerate()
    {
        for (listener, expected) in expected.into_iter().enumerate() {
            assert_eq!(by(route, listener), expected, "route {route} by {listener}");
        }
    }
}

#[test]
fn a_rollout_of_a_policy_counts_for_routes_with_a_split() {
    let plan = plain(
        "rollouts: { steady: { steps: [5, 100] }, quick: { steps: [100] } }\n\
         policies: { canary: { rollout: steady }, inline: { rollout: { steps: [1, 2, 100] } } }\n\
         routes:\n\
         - { name: split, to: { a: 1, b: 0 }, use: canary }\n\
         - { name: single, match: { path: /s }, to: a, use: canary }\n\
         - { name: own, match: { path: /o }, to: { a: 1, b: 0 }, use: canary, rollout: quick }\n\
         - { name: off, match: { path: /f }, to: { a: 1, b: 0 }, use: canary, rollout: off }\n\
         - { name: last, match: { path: /l }, to: { a: 1, b: 0 }, use: [canary, inline] }\n",
    );
    let steps: Vec<Option<(usize, Option<&str>)>> = plan
        .routes()
        .iter()
        .map(|route| {
            let rollout = route.forward().unwrap().split_policies.rollout.as_ref()?;
            Some((rollout.plan.ramp.steps.len(), rollout.policy.as_deref()))
        })
        .collect();
    assert_eq!(
        steps,
        [
            Some((2, Some("canary"))),
            None,
            Some((1, None)),
            None,
            Some((3, Some("inline")))
        ]
    );
}

#[test]
fn routes_for_which_the_same_is_said_share_it() {
    let mut text = "policies: { web: { timeout: 15s, retry: {}, response_headers: { set: { x: y } } }, \
                    slow: { timeout: 1m } }\n\
                    routes:\n"
        .to_owned();
    let count = 1000;
    for at in 0..count {
        let more = ["use: web", "use: [web, slow]", "timeout: 2s, use: web"][at / (count / 3 + 1)];
        text.push_str(&format!(
            "- {{ name: r{at}, match: {{ path: /{at} }}, to: a, {more} }}\n"
        ));
    }
    let plan = plain(&text);
    let mut distinct: Vec<&Policies> = Vec::new();
    for route in plan.routes() {
        if !distinct.iter().any(|known| known.is_shared_with(&route.policies)) {
            distinct.push(&route.policies);
        }
    }
    assert_eq!(distinct.len(), 3);
    assert_eq!(size_of::<Policies>(), 8);
}

#[test]
fn every_key_knows_where_it_comes_from() {
    let plan = plan(
        "listeners: [{ bind: 127.0.0.1:1, use: edge, response_headers: { set: { x: l } } }]\n\
         policies: { edge: { timeout: 1s, access: { deny: [10.0.0.0/8] } }, web: { retry: {}, timeout: 2s, response_headers: { set: { y: w } } } }\n\
         routes: [{ name: r, to: a, use: web, grpc_web: true, access: off }]\n",
    );
    let origins: Vec<(&str, Vec<Source>)> = first(&plan)
        .origins()
        .iter()
        .map(|origin| (origin.key, origin.sources.to_vec()))
        .collect();
    assert_eq!(
        origins,
        [
            ("timeout", vec![Source::Policy("web".into())]),
            ("retry", vec![Source::Policy("web".into())]),
            ("grpc_web", vec![Source::Route]),
            (
                "response_headers",
                vec![Source::Listener, Source::Policy("web".into())]
            ),
        ]
    );
}

#[test]
fn policies_of_a_directory_unite() {
    let files = [
        source(
            "d/a.yaml",
            format!("{BASE}policies: {{ web: {{ timeout: 1s }} }}\nx-a: 1\n"),
        ),
        source(
            "d/b.yaml",
            "x-a: 2\npolicies: { api: { retry: {} } }\nroutes: [{ name: r, to: a, use: [web, api] }]\n",
        ),
    ];
    let loaded = load(&files, Kind::Directory, &environment).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", lines(&loaded.warnings));
    let policies = &loaded.plan.routes()[0].policies;
    assert_eq!((millis(policies), policies.retry.is_some()), (Some(1000), true));
    let twice = [
        files[0].clone(),
        source("d/b.yaml", "policies: { web: { timeout: 2s } }\n"),
    ];
    let found = load(&twice, Kind::Directory, &environment).unwrap_err();
    assert!(lines(&found)[0].contains("duplicate-name a policy named `web` is declared already"));
}

/// Checks a config with `BASE` on lines 1 and 2, these lines from line 3.
fn check_lines(lines: &str, expected: &[&str]) {
    check(format!("{BASE}{lines}"), expected);
}

#[test]
fn names_of_policies() {
    check_lines(
        "policies: { web: { timeout: 1s } }\nroutes: [{ name: r, to: a, use: [wbe, web] }]\n",
        &["4:34 unknown-policy did you mean `web`?"],
    );
    check_lines(
        "routes: [{ name: r, to: a, use: web }]\n",
        &["3:33 unknown-policy no policy is declared"],
    );
    check(
        "listeners: [{ bind: 127.0.0.1:80, use: web }]\nroutes: []\n",
        &["1:40 unknown-policy no policy is declared"],
    );
    check_lines(
        "policies: { \"a b\": { timeout: 1s } }\nroutes: [{ name: r, to: a, use: a b }]\n",
        &["3:13 bad-name"],
    );
    check_lines(
        "policies: { web: { timeout: 1s } }\nroutes: [{ name: r, to: a, use: [web, web] }]\n",
        &["4:39 no-effect used already"],
    );
    check_lines(
        "policies: { web: { timeout: 1s } }\nroutes: [{ name: r, to: a, use: [] }]\n",
        &["4:33 empty-list"],
    );
    check_lines(
        "policies: { web: { timeout: x } }\nroutes: [{ name: r, to: a, use: web }]\n",
        &["3:29 bad-value"],
    );
    // Names of a file that could not be read are not reported as unknown.
    check_lines(
        "polices: { web: {} }\nroutes: [{ name: r, to: a, use: web }]\n",
        &["3:1 unknown-key did you mean `policies`?"],
    );
}

#[test]
fn keys_that_a_policy_cannot_have() {
    check_lines(
        "policies: { web: { use: other }, other: { timeout: 1s } }\nroutes: [{ name: r, to: a, use: [web, other] }]\n",
        &["3:20 unknown-key a policy uses no other"],
    );
    for key in [
        "name: x",
        "match: {}",
        "to: a",
        "redirect: {}",
        "respond: {}",
        "passthrough: a",
        "sticky: {}",
        "force: {}",
        "mirror: {}",
    ] {
        check_lines(
            &format!("policies: {{ web: {{ {key} }} }}\nroutes: [{{ name: r, to: a, use: web }}]\n"),
            &["3:20 unknown-key is not a key of a policy"],
        );
    }
}

#[test]
fn what_is_off_in_other_words() {
    check_route("to: a, retry: false", &["4:28 wrong-type write `off`"]);
    check_route("to: a, timeout: no", &["4:30 wrong-type write `off`"]);
    check_route("to: a, access: OFF", &["4:29 wrong-type write `off`"]);
    check_route("to: a, grpc_web: no", &["4:31 wrong-type write `false`"]);
    check_route("to: a, grpc_web: false, upgrade: []", &[]);
    check_route("to: a, sticky: off", &["4:29 wrong-type"]);
    // What is not there cannot be taken away, but `off` is not `[]`.
    check_route("to: a, upgrade: off", &["4:21 no-effect write `[]`"]);
    check_route("to: a, retry: off, timeout: off, access: off", &[]);
}

#[test]
fn policies_without_users_and_keys_without_effect() {
    check_lines(
        "policies: { web: { timeout: 1s }, api: { retry: {} } }\nroutes: [{ name: r, to: a, use: api }]\n",
        &["3:13 unused-policy no route and no listener uses the policy `web`"],
    );
    check_lines(
        "policies: { web: { timeout: 1s, response_headers: { set: { x: y } } } }\n\
         routes: [{ name: r, to: a }, { name: s, match: { path: /s }, redirect: { scheme: https }, use: web }]\n",
        &["3:20 no-effect no route that uses it forwards requests"],
    );
    check_lines(
        "rollouts: { steady: { steps: [1, 100] } }\npolicies: { web: { rollout: steady } }\nroutes: [{ name: r, to: a, use: web }]\n",
        &["4:20 no-effect has two services"],
    );
    // One user that heeds a key is enough.
    check_lines(
        "policies: { web: { timeout: 1s } }\nroutes:\n- { name: r, to: a, use: web }\n- { name: s, match: { path: /s }, redirect: { scheme: https }, use: web }\n",
        &[],
    );
    check(
        "listeners: [{ bind: 127.0.0.1:80, use: web }]\nservices: { a: { endpoints: [http://a] } }\n\
         policies: { web: { timeout: 1s } }\nroutes: [{ name: r, to: a }]\n",
        &[],
    );
    check(
        "listeners: [{ bind: 127.0.0.1:80, use: web }]\n\
         policies: { web: { timeout: 1s } }\nroutes: [{ name: r, redirect: { path: /x }, match: { path: /y } }]\n",
        &["2:20 no-effect no route that uses it forwards requests"],
    );
}

#[test]
fn connections_that_pass_through_have_policies_too() {
    const CONFIG: &str = "services: { a: { endpoints: [http://a] } }\n\
         listeners: [{ bind: 127.0.0.1:80, tls: { passthrough: true }, use: [web, far] }]\n";
    let plan = plan(&format!(
        "{}policies: {{ web: {{ access: {{ deny: [10.0.0.0/8] }} }}, far: {{ timeouts: {{ connect: 9s }} }}, near: {{ timeouts: {{ connect: 1s }} }} }}\n\
         routes: [{{ name: r, passthrough: a, use: near }}, {{ name: s, match: {{ host: s.test }}, passthrough: b }}]\n",
        &CONFIG[CONFIG.find("listeners").unwrap()..]
    ));
    let connect = |route: usize| {
        let policies = plan.policies(&plan.routes()[route], &plan.listeners()[0]);
        assert!(!policies.access.admits("10.0.0.1".parse().unwrap()));
        policies.timeouts.connect.map(|time| time.as_secs())
    };
    assert_eq!([connect(0), connect(1)], [Some(1), Some(9)]);
    check(
        format!(
            "{CONFIG}policies: {{ web: {{ timeout: 1s }}, far: {{ timeouts: {{ connect: 9s }} }} }}\n\
             routes: [{{ name: r, passthrough: a }}]\n"
        ),
        &["3:20 no-effect no route that uses it forwards requests"],
    );
    check(
        "listeners: [{ bind: 127.0.0.1:80, tls: { passthrough: true }, response_headers: {} }]\n\
         services: { a: { endpoints: [http://a] } }\nroutes: [{ name: r, passthrough: a }]\n",
        &["1:63 conflicting-keys sees no requests"],
    );
}

#[test]
fn a_rewrite_of_a_policy_fits_every_route_that_uses_it() {
    const POLICIES: &str =
        "policies: { web: { rewrite: { path: \"/x/{id}\" } }, sub: { rewrite: { prefix: /v2 } } }\nroutes:\n";
    let route = |keys: &str| {
        format!(
            "{POLICIES}- {{ name: ok, match: {{ path: \"/ok/{{id}}/*\" }}, to: a, use: web }}\n\
             - {{ name: open, match: {{ path: /open/* }}, to: a, use: sub }}\n- {{ name: r, {keys} }}\n"
        )
    };
    for (keys, expected) in [
        ("match: { path: \"/users/{id}\" }, to: a, use: web", None),
        (
            "match: { path: \"/users/{user}\" }, to: a, use: web",
            Some("7:60 unknown-value the policy `web` needs `{id}`"),
        ),
        (
            "match: { path: \"/users/{ID}\" }, to: a, use: web",
            Some("7:58 unknown-value the path has `{ID}`"),
        ),
        ("to: a, use: web", Some("7:26 unknown-value needs `{id}`")),
        (
            "match: { path: /x }, to: a, use: sub",
            Some("7:47 bad-rewrite ends in `/*`"),
        ),
        // A later one, the route's own, none at all, and an action that rewrites nothing.
        ("match: { path: /x/* }, to: a, use: [web, sub]", None),
        (
            "match: { path: /x }, to: a, use: web, rewrite: { path: /y }",
            None,
        ),
        ("match: { path: /x }, to: a, use: web, rewrite: off", None),
        ("match: { path: /x }, redirect: { path: /y }, use: web", None),
    ] {
        check_lines(&route(keys), &expected.into_iter().collect::<Vec<&str>>());
    }
    let found = load_text(format!("{BASE}{}", route("match: { path: /x }, to: a, use: web"))).unwrap_err();
    let places: Vec<(u32, &str)> = found[0]
        .labels
        .iter()
        .map(|label| (label.place.line as u32, &*label.text))
        .collect();
    assert_eq!(places, [(7, ""), (7, "not bound here"), (3, "it stands here")]);
}

#[test]
fn parameters_in_headers_of_a_policy_are_bound_by_every_user() {
    const POLICIES: &str = "policies: { web: { response_headers: { set: { x-id: \"{id} of {host}\" } } } }\nroutes:\n\
         - { name: ok, match: { path: \"/ok/{id}\" }, to: a, use: web }\n";
    for (keys, expected) in [
        (
            "match: { path: \"/u/{id}\" }, redirect: { scheme: https }, use: web",
            None,
        ),
        (
            "match: { path: /u }, redirect: { scheme: https }, use: web",
            Some("6:69 unknown-value the policy `web` needs `{id}`"),
        ),
        (
            "match: { path: /u }, to: a, use: web, response_headers: off",
            None,
        ),
        (
            "match: { path: /u }, to: a, use: web, response_headers: { set: { x-id: x } }",
            Some("6:47 unknown-value needs `{id}`"),
        ),
    ] {
        check_lines(
            &format!("{POLICIES}- {{ name: r, {keys} }}\n"),
            &expected.into_iter().collect::<Vec<&str>>(),
        );
    }
    check_lines(
        "policies: { web: { response_headers: { set: { x: \"{hots}\" } } } }\nroutes: [{ name: r, to: a, use: web }]\n",
        &["4:33 unknown-value did you mean `{host}`?"],
    );
}

/// Lowers a config whose only warnings are those of shadowed values.
fn shadowing(lines: &str, expected: &[&str]) -> Plan {
    let text = format!("services: {{ a: {{ endpoints: [http://a] }} }}\n{lines}");
    let loaded =
        load_text(text.clone()).unwrap_or_else(|found| panic!("{text}\n{:#?}", super::lines(&found)));
    check(text, expected);
    loaded.plan
}

/// The values of the response headers of a route by a listener, with braces.
fn texts(plan: &Plan, route: usize, listener: usize) -> Vec<(String, bool)> {
    let policies = plan.policies(&plan.routes()[route], &plan.listeners()[listener]);
    let lines = policies.response_headers.lines();
    lines
        .map(|(name, value)| {
            let is_parameter = |name: &ValueName| matches!(name, ValueName::Parameter(_));
            (format!("{name}={value}"), value.names().any(is_parameter))
        })
        .collect()
}

#[test]
fn a_parameter_of_a_route_wins_over_a_name_of_the_list_in_shared_texts() {
    let plan = shadowing(
        "listeners: [{ bind: 127.0.0.1:80 }]\n\
         policies:\n\
         \x20 web: { response_headers: { set: { x: \"{host}\", y: \"{path}\" } }, rewrite: { path: \"/x/{host}\", query: \"{query}\" } }\n\
         routes:\n\
         - { name: a, match: { path: \"/a/{host}\" }, to: a, use: web }\n\
         - { name: b, match: { path: \"/b/{id}\" }, to: a, use: web }\n\
         - { name: c, match: { path: \"/c/{id}\" }, to: a, use: web }\n\
         - { name: d, match: { path: \"/d/{host}\" }, to: a, use: web }\n\
         - { name: e, match: { path: \"/e/{host}\" }, to: a, use: web, response_headers: off, rewrite: off }\n\
         - { name: f, match: { path: \"/f/{query}\" }, to: a, use: web }\n\
         - { name: g, match: { path: \"~^/g/(?<host>.*)\" }, redirect: { path: /x }, use: web }\n",
        &[
            "6:29 shadowed-value `{host}` of the policy `web` is the parameter of the path",
            "9:29 shadowed-value",
            "11:29 shadowed-value `{query}`",
            "12:29 shadowed-value",
        ],
    );
    let (host, listed) = (("x={host}".to_owned(), true), ("x={host}".to_owned(), false));
    let path = ("y={path}".to_owned(), false);
    for (route, expected) in [(0, &host), (1, &listed), (3, &host), (5, &listed), (6, &host)] {
        assert_eq!(
            texts(&plan, route, 0),
            [expected.clone(), path.clone()],
            "{route}"
        );
    }
    let policies = |route: usize| &plan.routes()[route].policies;
    assert!(policies(0).is_shared_with(policies(3)));
    assert!(policies(1).is_shared_with(policies(2)));
    assert!(!policies(0).is_shared_with(policies(1)));
    assert!(policies(0).rewrite.query.keeps());
    assert!(!policies(5).rewrite.query.keeps());
}

#[test]
fn a_parameter_of_a_route_wins_in_the_texts_of_a_listener() {
    let plan = shadowing(
        "listeners:\n\
         - { bind: 127.0.0.1:80, response_headers: { set: { x: \"{host}\" } }, use: web }\n\
         - { bind: 127.0.0.1:81 }\n\
         policies: { web: { response_headers: { set: { y: \"{path}\" } } } }\n\
         routes:\n\
         - { name: a, match: { path: \"/a/{host}\" }, to: a }\n\
         - { name: b, match: { path: /b }, to: a }\n\
         - { name: c, match: { path: \"/c/{path}\" }, to: a, use: web }\n",
        &[
            "7:29 shadowed-value `{host}` of the listener is the parameter",
            "9:29 shadowed-value `{path}` of the policy `web`",
        ],
    );
    let by = |route, listener| {
        let texts = texts(&plan, route, listener);
        texts
            .into_iter()
            .map(|(_, is_parameter)| is_parameter)
            .collect::<Vec<bool>>()
    };
    for (route, expected) in [(0, [false, true]), (1, [false, false]), (2, [false, true])] {
        assert_eq!(by(route, 0), expected, "{route}");
    }
    assert_eq!(by(0, 1), [false; 0]);
    assert_eq!(by(2, 1), [true]);
}

#[test]
fn a_shared_text_means_the_same_on_all_paths_of_a_route() {
    check_lines(
        "policies: { web: { response_headers: { set: { x: \"{host}\" } } } }\n\
         routes: [{ name: r, match: { path: [/x, \"/y/{host}\"] }, to: a, use: web }]\n",
        &["4:41 unknown-value not in every path of this route"],
    );
}

#[test]
fn parameters_in_the_texts_of_a_listener_are_bound_by_every_route() {
    let config = |keys: &str| {
        format!(
            "listeners: [{{ bind: 127.0.0.1:80, response_headers: {{ set: {{ x: \"{{id}}\" }} }} }}]\n\
             services: {{ a: {{ endpoints: [http://a] }} }}\n\
             routes: [{{ name: ok, match: {{ path: \"/ok/{{id}}\" }}, to: a }}, {{ name: r, match: {{ {keys} }}]\n"
        )
    };
    check(config("path: \"/r/{id}\" }, to: a"), &[]);
    check(config("path: /r }, to: a, response_headers: off"), &[]);
    check(
        config("path: /r }, to: a"),
        &["1:66 unknown-value the listener needs `{id}`"],
    );
}

#[test]
fn a_listener_needs_parameters_of_the_routes_that_it_reaches() {
    let config = |routes: &str| {
        format!(
            "listeners: [{{ name: own, bind: 127.0.0.1:80, hosts: [\"*.a.test\"], use: web }}, {{ name: other, bind: 127.0.0.1:81 }}]\n\
             services: {{ a: {{ endpoints: [http://a] }} }}\n\
             policies: {{ web: {{ request_headers: {{ set: {{ x: \"{{id}}\" }} }} }} }}\n\
             routes: [{{ name: ok, match: {{ path: \"/ok/{{id}}\" }}, to: a }}, {{ name: r, match: {routes}, to: a }}]\n"
        )
    };
    // Requests by the other listener alone.
    check(config("{ host: b.test, path: /r }"), &[]);
    check(config("{ listener: other, path: /r }"), &[]);
    check(
        config("[{ listener: other, path: /r }, { path: \"/r/{id}\" }]"),
        &[],
    );
    check(
        config("[{ host: b.test, path: /r }, { host: x.a.test, path: \"/r/{id}\" }]"),
        &[],
    );
    let missing: &[&str] = &["1:72 unknown-value the policy `web` needs `{id}`"];
    check(config("{ path: /r }"), missing);
    check(config("{ host: x.a.test, path: /r }"), missing);
    check(config("{ listener: own, path: /r }"), missing);
    check(config("{ listener: [other, own], path: /r }"), missing);
    check(
        config("[{ host: b.test, path: \"/r/{id}\" }, { host: x.a.test, path: /r }]"),
        missing,
    );
}

#[test]
fn a_rewrite_of_a_listener_fits_every_route_without_one() {
    check(
        "listeners: [{ bind: 127.0.0.1:80, use: web }]\nservices: { a: { endpoints: [http://a] } }\n\
         policies: { web: { rewrite: { path: \"/x/{id}\" } } }\nroutes:\n\
         - { name: r, match: { path: \"/r/{id}\" }, to: a }\n\
         - { name: s, match: { path: /s }, to: a, rewrite: off }\n\
         - { name: t, match: { path: /t }, to: a }\n",
        &["1:40 unknown-value the policy `web` needs `{id}`"],
    );
}

#[test]
fn a_hedge_is_judged_with_the_retry_in_force() {
    let with = |policy: &str, route: &str| {
        format!("policies: {{ web: {{ {policy} }} }}\nroutes: [{{ name: r, to: a, {route} }}]\n")
    };
    for (policy, route, expected) in [
        ("hedge: 95ms, retry: {}", "use: web", vec![]),
        ("retry: {}", "use: web, hedge: 95ms", vec![]),
        ("hedge: 95ms", "use: web, retry: {}", vec![]),
        (
            "hedge: 95ms",
            "use: web",
            vec!["4:33 missing-key add `retry: {}`"],
        ),
        (
            "hedge: 95ms, retry: {}",
            "use: web, retry: off",
            vec!["4:33 missing-key write `hedge: off`"],
        ),
        (
            "hedge: 95ms, retry: {}",
            "use: web, retry: off, hedge: off",
            vec![],
        ),
        (
            "timeout: 1s",
            "use: web, hedge: 95ms",
            vec!["4:38 missing-key add `retry: {}`"],
        ),
        (
            "hedge: 95ms, retry: {}",
            "use: web, timeout: 50ms",
            vec!["3:27 no-effect the hedge never comes"],
        ),
        (
            "retry: { timeout: 90ms }",
            "use: web, hedge: 95ms",
            vec!["4:45 no-effect the hedge never comes"],
        ),
        ("hedge: 95ms, retry: x", "use: web", vec!["3:40 wrong-type"]),
    ] {
        check_lines(&with(policy, route), &expected);
    }
}

#[test]
fn error_pages_of_all_places_are_joined() {
    use waypost_plan::error_pages::{ErrorsFrom, PageBody};

    let policies = "policies: { edge: { errors: [{ status: [403, 404], body: edge }] }, \
         web: { errors: [{ status: 5xx, body: web }, { status: 403, body: web }] }, \
         api: { errors: [{ status: 503, body: api }] }, none: { errors: off } }\n";
    let listener = "listeners: [{ bind: 127.0.0.1:8080, name: l, use: edge, errors: [{ status: 404, body: listener }] }]\n";
    // The texts for 403, 404, 502 and 503, and the places that an explanation names.
    for (route, texts, places) in [
        ("", ["edge", "listener", "-", "-"], 2),
        ("use: web", ["web", "listener", "web", "web"], 3),
        ("use: [web, api]", ["web", "listener", "web", "api"], 4),
        ("use: [api, web]", ["web", "listener", "web", "web"], 4),
        (
            "use: [web, api], errors: [{ status: 502, body: route }]",
            ["web", "listener", "route", "api"],
            5,
        ),
        ("use: [web, api], errors: off", ["-", "-", "-", "-"], 0),
        ("use: [web, none, api]", ["-", "-", "-", "api"], 1),
        (
            "use: none, errors: [{ status: 403, body: route }]",
            ["route", "-", "-", "-"],
            1,
        ),
    ] {
        let used = ["web", "api", "none"]
            .map(|name| format!("{{ name: {name}, match: {{ path: /{name} }}, to: b, use: {name} }}"));
        let plan = plan(&format!(
            "{listener}{policies}errors: [{{ status: 400, body: top }}]\n\
             routes: [{{ name: a, to: a, {route} }}, {}]",
            used.join(", ")
        ));
        let policies = first(&plan);
        let found = [403, 404, 502, 503].map(|status| {
            let found = policies.errors.find(status, ErrorsFrom::Gateway);
            found.map_or("-", |(page, _)| match &page.body {
                PageBody::Text(text) => text.as_literal().unwrap_or("a template"),
                PageBody::File(_) => "a file",
            })
        });
        assert_eq!(found, texts, "{route}");
        let mut origins = policies.origins().iter();
        let origin = origins.find(|origin| origin.key == "errors");
        assert_eq!(origin.map_or(0, |origin| origin.sources.len()), places, "{route}");
        assert_eq!(
            policies.errors.are_last(),
            route.contains("off") || route.contains("none")
        );
    }
}

#[test]
fn error_pages_need_the_parameters_of_their_texts() {
    const POLICIES: &str = "policies: { web: { errors: [{ status: 503, body: \"{id} {host}\", headers: { x-a: '{tenant}' } }] } }";
    let with = |uses: &str, routes: &str| {
        let listener = format!("listeners: [{{ bind: 127.0.0.1:8080, name: l{uses} }}]");
        format!("{listener}\nservices: {{ a: {{ endpoints: [http://a] }} }}\n{POLICIES}\nroutes:\n{routes}\n")
    };
    let bound = "- { name: r, match: { path: \"/{tenant}/{id}\" }, to: a, use: web }";
    check(with("", bound), &[]);
    check(
        with(
            "",
            &format!(
                "{bound}\n- {{ name: s, match: {{ path: \"/x/{{id}}\" }}, respond: {{ status: 503 }}, use: web }}"
            ),
        ),
        &["6:73 unknown-value the policy `web` needs `{tenant}`"],
    );
    check(
        with(
            "",
            &format!("{bound}\n- {{ name: s, to: a, use: web, errors: off }}"),
        ),
        &[],
    );
    check(
        with(
            ", use: web",
            "- { name: r, match: { path: \"/{tenant}/{id}\" }, to: a }",
        ),
        &[
            "1:51 unknown-value the policy `web` needs `{id}` in error pages",
            "1:51 unknown-value the policy `web` needs `{tenant}` in error pages",
        ],
    );
    check(
        format!(
            "{}routes: [{{ name: r, match: {{ path: \"/{{id}}\" }}, to: a }}]\n",
            BASE.replacen(
                "bind: 127.0.0.1:8080",
                "bind: 127.0.0.1:8080, errors: [{ status: 404, body: '{id}' }]",
                1
            )
        ),
        &["1:68 unknown-value bound in the pattern of a route"],
    );
    check_route(
        "match: { path: \"/{id}\" }, to: a, errors: [{ status: 503, body: '{id}', headers: { x-a: '{ids}' } }]",
        &["4:102 unknown-value did you mean `{id}`?"],
    );
}

#[test]
fn a_rate_belongs_to_the_place_that_says_it() {
    use waypost_plan::rate::{RateKey, RateScope};
    let plan = plan(
        "listeners: [{ bind: 127.0.0.1:8080, name: public, rate: { requests: 9, per: 1s } }]\n\
         policies: { web: { rate: { requests: 10, per: 1m, burst: 20, by: { header: X-Tenant } } } }\n\
         routes:\n\
         - { name: one, match: { path: /1 }, to: a, use: web }\n\
         - { name: two, match: { path: /2 }, to: a, use: web, timeout: 1s }\n\
         - { name: own, match: { path: /3 }, to: a, use: web, rate: [{ requests: 1, per: 1s }, { requests: 5, per: 1m }] }\n\
         - { name: none, match: { path: /4 }, to: a, use: web, rate: off }\n\
         - { name: outer, match: { path: /5 }, to: b }\n",
    );
    let rate = |position: usize| {
        let policies = plan.policies(&plan.routes()[position], &plan.listeners()[0]);
        policies.rate.clone()
    };
    let web = rate(0).unwrap();
    assert_eq!(*web.scope(), RateScope::Policy("web".into()));
    assert_eq!(
        web.number(),
        rate(1).unwrap().number(),
        "one table for all that use it"
    );
    let limit = &web.limits()[0];
    assert_eq!((limit.requests, limit.burst), (10, 20));
    assert_eq!(limit.by, RateKey::Header("x-tenant".into()));
    assert!(limit.headers && !limit.report_only);
    let own = rate(2).unwrap();
    assert_eq!(
        (own.scope(), own.limits().len()),
        (&RateScope::Route("own".into()), 2)
    );
    assert_eq!(own.limits()[1].burst, 5);
    assert_eq!(rate(3), None);
    let outer = rate(4).unwrap();
    assert_eq!(*outer.scope(), RateScope::Listener("public".into()));
    let mut numbers = [web.number(), own.number(), outer.number()];
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
}
