//! Destinations of the gateway's own requests: hooks and notifications of rollouts.

use waypost_plan::rollout::Destination;

use super::*;

/// A configuration whose rollout has these keys from line 5, column 5, with a service beside those of the split.
fn config(keys: &str) -> String {
    let keys = keys.replace('\n', "\n    ");
    format!(
        "listeners: [{{ bind: 127.0.0.1:8080 }}]\n\
        services: {{ v1: {{ endpoints: [] }}, v2: {{ endpoints: [] }}, gatekeeper: {{ endpoints: [] }} }}\n\
        routes: [{{ name: users, to: {{ v1: 1, v2: 0 }}, rollout: steady }}]\n\
        rollouts:\n  steady:\n    {keys}\n    steps: [1, 100]\n"
    )
}

#[test]
fn destinations_name_a_service_and_a_path() {
    let loaded = load_text(config(
        "hooks: { before_step: { to: gatekeeper, path: '/may?key=%20a' } }\nnotify: { to: v1, path: / }",
    ))
    .unwrap();
    assert!(loaded.warnings.is_empty(), "the service of a hook is used");
    let (_, plan) = &loaded.plan.rollouts()[0];
    let destination = |service: &str, path: &str| {
        Some(Destination {
            service: service.into(),
            path: path.into(),
        })
    };
    assert_eq!(
        (&plan.before_step, &plan.notify),
        (
            &destination("gatekeeper", "/may?key=%20a"),
            &destination("v1", "/")
        )
    );
    let shown = plan.before_step.as_ref().map(ToString::to_string);
    assert_eq!(shown.as_deref(), Some("gatekeeper/may"), "without the query");
}

#[test]
fn wrong_destinations_are_refused() {
    for (keys, expected) in [
        (
            "notify: { to: gatekeper, path: / }",
            "6:19 unknown-service did you mean `gatekeeper`?",
        ),
        (
            "hooks: { before_step: { to: x, path: / } }",
            "6:33 unknown-service there is no service named `x`",
        ),
        (
            "hooks: { before_step: { to: gatekeeper } }",
            "6:27 missing-key `path`",
        ),
        ("notify: { path: / }", "6:13 missing-key `to`"),
        ("hooks: {}", "6:12 missing-key `before_step`"),
        (
            "hooks: { before_steps: { to: gatekeeper, path: / } }",
            "6:14 unknown-key did you mean `before_step`?",
        ),
        ("notify: gatekeeper", "6:13 wrong-type"),
    ] {
        check(config(keys), &[expected]);
    }
}

#[test]
fn path_is_that_of_a_request() {
    for (path, expected) in [
        (
            "may",
            "`may` is not the path of a request (begin it with a slash: `/may`)",
        ),
        ("http://a/may", "name the service in `to`"),
        ("''", "is not the path of a request"),
        ("/a#b", "has a fragment"),
        ("/50%", "has a `%` without two digits behind it"),
        ("/%zz", "has a `%` without two digits behind it"),
        (
            "/ü",
            "`ü` cannot stand in the path of a request (write `%C3%BC` for it",
        ),
        ("'/a b'", "write `%20` for it"),
        ("'/{id}'", "write `%7B` for it"),
    ] {
        check(
            config(&format!("notify: {{ to: gatekeeper, path: {path} }}")),
            &[&format!("6:37 bad-path {expected}")],
        );
    }
}
