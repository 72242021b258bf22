//! Plans of rollouts: their meaning, and the mistakes in them.

use std::sync::Arc;

use std::time::Duration;

use waypost_plan::failures::{FailureRule, StatusSet};
use waypost_plan::rollout::{OnSuccess, RolloutPlan, RouteRollout};
use waypost_rollout::evidence::betting::Tolerance;
use waypost_rollout::judge::settings::JudgeSettings;
use waypost_rollout::ramp::plan::{Percent, Proof, RampPlan, Rules, Step, Then};
use waypost_rollout::ramp::window::Window;

use super::*;

/// Two versions of a service, without a route.
const VERSIONS: &str = "\
listeners: [{ bind: 127.0.0.1:8080 }]
services: { users-v1: { endpoints: [] }, users-v2: { endpoints: [] } }
";

/// A configuration with a plan in place, its keys from line 7, column 5.
fn in_place(keys: &str) -> String {
    let keys = keys.replace('\n', "\n    ");
    format!(
        "{VERSIONS}routes:\n- name: users\n  to: {{ users-v1: 100, users-v2: 0 }}\n  rollout:\n    {keys}\n"
    )
}

/// A configuration with a named plan, its keys from line 6, column 5.
fn named(keys: &str) -> String {
    let keys = keys.replace('\n', "\n    ");
    format!(
        "{VERSIONS}routes: [{{ name: users, to: {{ users-v1: 100, users-v2: 0 }}, rollout: steady }}]\n\
        rollouts:\n  steady:\n    {keys}\n"
    )
}

/// A configuration with this route on line 4, and the named plan `steady` on line 5.
fn with_route(route: &str, steady: &str) -> String {
    format!(
        "{}routes:\n- {{ name: users, {route} }}\nrollouts: {{ steady: {{ {steady} }} }}\n",
        VERSIONS.replace(" } }\n", " }, users-v3: { endpoints: [] } }\n")
    )
}

fn rollout_of(config: &str) -> RouteRollout {
    let loaded = load_text(config).unwrap_or_else(|found| panic!("{config}\n{:#?}", lines(&found)));
    let route = &loaded.plan.routes()[0];
    let rollout = route.forward().unwrap().split_policies.rollout.clone();
    rollout.expect("a route with a rollout")
}

/// The plan with these keys, which is the same in place and named.
fn plan(keys: &str) -> RolloutPlan {
    let own = rollout_of(&in_place(keys));
    let shared = rollout_of(&named(keys));
    assert_eq!((own.name, shared.name.as_deref()), (None, Some("steady")));
    assert_eq!(own.plan, shared.plan, "{keys}");
    (*own.plan).clone()
}

fn judge(keys: &str) -> JudgeSettings {
    let plan = plan(&format!("steps: [5, 100]\njudge: {keys}"));
    plan.judge.expect("a judge that is on")
}

fn percent(thousandths: u64) -> Percent {
    Percent::from_thousandths(thousandths).unwrap()
}

#[test]
fn the_example_of_the_language_loads() {
    let keys = "\
canary: users-v2
baseline: users-v1
steps: [1, { percent: 5, at_least: 5m }, 25, { percent: 50, approve: true }, 100]
at_least: 1m
requests: 100
evidence: step
warmup: 30s
hold: 2h
then: hold
windows: [\"Mon-Fri 09:00-17:00 Europe/Berlin\"]
judge:
  false_rollbacks: 1
  false_promotions: 5
  errors: { ratio: 1.5, plus: 0.5 }
  client_errors: { ratio: 2, plus: 5 }
  abandoned: { ratio: 2, plus: 2 }
  latency: { p50: 20, p90: 20, p99: 50 }
  patience: 5";
    let mut steps: Vec<Step> = [1, 5, 25, 50, 100]
        .map(|share| Step::to(percent(share * 1000)))
        .into();
    steps[1].at_least = Some(300);
    steps[3].approve = true;
    let expected = RolloutPlan {
        ramp: RampPlan {
            steps,
            rules: Rules {
                at_least: 60,
                requests: 100.0,
                proof: Proof::Step,
                approve: false,
            },
            warmup: 30,
            hold: 7200,
            then: Then::Hold,
            windows: vec![Window::parse("Mon-Fri 09:00-17:00 Europe/Berlin").unwrap()],
        },
        judge: Some(JudgeSettings::default()),
        failures: FailureRule::default(),
        canary: Some("users-v2".into()),
        baseline: Some("users-v1".into()),
        before_step: None,
        notify: None,
        on_change: false,
        on_success: OnSuccess::Dial,
    };
    assert_eq!(plan(keys), expected);
    // All of it but the steps is the default.
    let short = plan("steps: [1, { percent: 5, at_least: 5m }, 25, { percent: 50, approve: true }, 100]");
    let mut without_names = RolloutPlan {
        canary: None,
        baseline: None,
        ..expected
    };
    without_names.ramp.windows.clear();
    assert_eq!(short, without_names);
    assert!(load_text(in_place(keys)).unwrap().warnings.is_empty());
}

#[test]
fn keys_change_what_they_say() {
    let default = plan("steps: [100]");
    assert_eq!(default, RolloutPlan::default());
    let changed = plan(
        "steps: [0.5, 100]\nat_least: 1500ms\nrequests: 0\nevidence: none\nwarmup: 0s\nhold: 720h\nthen: rollback",
    );
    let rules = Rules {
        at_least: 2,
        requests: 0.0,
        proof: Proof::None,
        approve: false,
    };
    let ramp = RampPlan {
        steps: vec![Step::to(percent(500)), Step::to(Percent::ALL)],
        rules,
        warmup: 0,
        hold: 30 * 24 * 60 * 60,
        then: Then::RollBack,
        windows: Vec::new(),
    };
    assert_eq!(changed.ramp, ramp);
    assert_eq!(changed.judge.unwrap().warmup, 0);
    assert_eq!(plan("steps: [1]\nthen: promote").ramp.then, Then::Promote);
    assert_eq!(
        plan("steps: [1]\nevidence: rollout").ramp.rules.proof,
        Proof::Rollout
    );
    let step = "{ percent: 2.125, at_least: 10m, requests: 7, evidence: rollout, approve: true }";
    let expected = Step {
        percent: percent(2125),
        at_least: Some(600),
        requests: Some(7.0),
        proof: Some(Proof::Rollout),
        approve: true,
    };
    assert_eq!(plan(&format!("steps: [{step}]")).ramp.steps, [expected]);
}

#[test]
fn judges_judge_what_they_are_told_to() {
    let default = JudgeSettings::default();
    for keys in [
        "{}",
        "{ errors: {} }",
        "{ latency: {} }",
        "{ client_errors: {}, abandoned: {} }",
    ] {
        assert_eq!(judge(keys), default, "{keys}");
    }
    assert_eq!(plan("steps: [1]\njudge: off").judge, None);
    let without_errors = JudgeSettings {
        errors: None,
        ..default
    };
    assert_eq!(judge("{ errors: off }"), without_errors);
    for (keys, latency) in [
        ("off", [None; 3]),
        ("{ p50: 20 }", [Some(0.2), None, None]),
        ("{ p99: 62.5 }", [None, None, Some(0.625)]),
        ("{ p90: 10, p99: 100 }", [None, Some(0.1), Some(1.0)]),
    ] {
        let expected = JudgeSettings {
            latency,
            ..default.clone()
        };
        assert_eq!(judge(&format!("{{ latency: {keys} }}")), expected, "{keys}");
    }
    let tolerance = |ratio, plus| Some(Tolerance { ratio, plus });
    let rates = |keys: &str| {
        let settings = judge(keys);
        [settings.errors, settings.client_errors, settings.abandoned]
    };
    let [errors, client_errors, abandoned] = [default.errors, default.client_errors, default.abandoned];
    for (keys, expected) in [
        (
            "{ errors: { ratio: 2 } }",
            [tolerance(2.0, 0.005), client_errors, abandoned],
        ),
        (
            "{ errors: { plus: 0.25, max: 5 } }",
            [tolerance(1.5, 0.0025), client_errors, abandoned],
        ),
        (
            "{ client_errors: { plus: 10 } }",
            [errors, tolerance(2.0, 0.1), abandoned],
        ),
        (
            "{ client_errors: off, abandoned: { ratio: 3.5 } }",
            [errors, None, tolerance(3.5, 0.02)],
        ),
    ] {
        assert_eq!(rates(keys), expected, "{keys}");
    }
    assert_eq!(judge("{ errors: { max: 5 } }").errors_max, Some(0.05));
    let budgets = judge("{ false_rollbacks: 0.1, false_promotions: 50, patience: 30 }");
    assert_eq!(
        (
            budgets.false_rollbacks,
            budgets.false_promotions,
            budgets.patience
        ),
        (0.001, 0.5, 30.0)
    );
}

#[test]
fn variables_fill_plans() {
    let config = in_place("steps: [\"${N:-5}\", 100]\ncanary: ${NAME:-users-v2}\njudge: ${JUDGE:-off}");
    let plan = rollout_of(&config).plan;
    assert_eq!(plan.ramp.steps[0], Step::to(percent(5000)));
    assert_eq!((plan.canary.as_deref(), &plan.judge), (Some("users-v2"), &None));
}

#[test]
fn files_of_a_directory_unite_their_rollouts() {
    let files = [
        source(
            "d/a.yaml",
            format!(
                "{VERSIONS}routes: [{{ name: users, to: {{ users-v1: 1, users-v2: 0 }}, rollout: slow }}]\n\
                rollouts: {{ fast: {{ steps: [50, 100] }} }}\n"
            ),
        ),
        source("d/b.yaml", "rollouts: { slow: { steps: [1, 2, 100] } }\n"),
    ];
    let loaded = load(&files, Kind::Directory, &environment).unwrap();
    let names: Vec<&str> = loaded.plan.rollouts().iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["fast", "slow"]);
    let rollout = loaded.plan.routes()[0]
        .forward()
        .unwrap()
        .split_policies
        .rollout
        .clone()
        .unwrap();
    assert_eq!(rollout.plan.ramp.steps.len(), 3);
    assert!(Arc::ptr_eq(&rollout.plan, &loaded.plan.rollouts()[1].1));

    let twice = [
        files[0].clone(),
        source(
            "d/b.yaml",
            "rollouts: { fast: { steps: [1, 100] }, slow: { steps: [100] } }\n",
        ),
    ];
    let found = load(&twice, Kind::Directory, &environment).unwrap_err();
    assert_eq!(
        lines(&found),
        ["1:13 duplicate-name a rollout named `fast` is declared already (give one of the two another name)"]
    );
}

#[test]
fn steps_rise() {
    let check = |steps: &str, expected: &[&str]| check(in_place(&format!("steps: {steps}")), expected);
    check("[1, 5, 100]", &[]);
    check(
        "[1, 25, 5, 100]",
        &["7:20 bad-rollout 5 % comes after 25 % (write rising shares"],
    );
    check("[5, 5]", &["7:16 bad-rollout 5 % comes after 5 %"]);
    check("[5, 0]", &["7:16 bad-rollout 0 % comes after 5 %"]);
    check(
        "[1, { percent: 0.5 }]",
        &["7:27 bad-rollout 0.5 % comes after 1 %"],
    );
    check(
        "[0, 5, 100]",
        &["7:13 bad-rollout the first step gives the canary nothing (begin with a share above 0"],
    );
    check(
        "[]",
        &["7:12 empty-list (write shares, such as `[1, 5, 25, 50, 100]`"],
    );
    check("5", &["7:12 wrong-type put it into a list"]);
    check("[5%, 100]", &["7:13 wrong-type write `5`"]);
    check("[five]", &["7:13 wrong-type (write a number such as `10`"]);
    check("[1, 101]", &["7:16 out-of-range 0 to 100"]);
    check("[-1, 5]", &["7:13 wrong-type expected a percentage"]);
    check("[0.0005]", &["7:13 wrong-type three decimals at most"]);
    check(
        "[1, { at_least: 1m }, 100]",
        &["7:16 missing-key a step has no `percent`"],
    );
    check("[{ percent: 1, wait: 5m }]", &["7:27 unknown-key"]);
    check(
        "[{ percent: 1, hold: 5m }]",
        &["7:27 unknown-key `hold` is a key of a rollout"],
    );
    check(
        "[{ percent: 1, approve: yes }]",
        &["7:36 wrong-type (write `true`)"],
    );
    // One mistake hides no other.
    check(
        "[{ at_least: x, requests: 2000000000 }, 5, 1]",
        &[
            "7:13 missing-key",
            "7:25 bad-value",
            "7:38 out-of-range",
            "7:55 bad-rollout 1 % comes after 5 %",
        ],
    );
    super::check(
        in_place("at_least: 1m"),
        &["7:5 missing-key a rollout has no `steps` (add `steps: [1, 5,"],
    );
    super::check(
        in_place("then: wait\njudge: { patience: 0 }"),
        &["7:5 missing-key", "7:11 unknown-word", "8:24 out-of-range"],
    );
}

#[test]
fn values_have_their_ranges() {
    let check =
        |keys: &str, expected: &[&str]| check(in_place(&format!("steps: [1, 100]\n{keys}")), expected);
    check(
        "at_least: 721h",
        &["8:15 out-of-range write a duration from `0s` to `720h`"],
    );
    check("hold: 60", &["8:11 bad-value did you mean `60s`?"]);
    check(
        "requests: 1000000001",
        &["8:15 out-of-range a number from 0 to 1000000000"],
    );
    check("evidence: steps", &["8:15 unknown-word did you mean `step`?"]);
    check(
        "evidence: off",
        &["8:15 unknown-word expected `step` or `rollout` or `none`"],
    );
    check("then: roll_back", &["8:11 unknown-word did you mean `rollback`?"]);
    check("judge: false", &["8:12 wrong-type (write `off`)"]);
    check("judge: none", &["8:12 wrong-type (write `off`)"]);
    check(
        "judge: a:80",
        &["8:12 wrong-type (write `{ false_rollbacks: 0.1 }`, or `off`)"],
    );
    let check = |keys: &str, expected: &[&str]| check(&format!("judge: {{ {keys} }}"), expected);
    check(
        "false_rollbacks: 0",
        &["8:31 out-of-range write a percentage from `0.001` to `50`"],
    );
    check(
        "false_rollbacks: 50.001",
        &["8:31 out-of-range 0.001 to 50 percent"],
    );
    check("false_promotions: 51", &["8:32 out-of-range"]);
    check("false_promotions: 101", &["8:32 out-of-range 0 to 100"]);
    check("patience: 0", &["8:24 out-of-range a number from 1 to 3600"]);
    check("errors: 5", &["8:22 wrong-type (write `{ ratio: 2 }`, or `off`)"]);
    check(
        "latency: 20",
        &["8:23 wrong-type (write `{ p50: 20 }`, or `off`)"],
    );
    check("errors: { ratio: -1 }", &["8:31 wrong-type such as `2` or `1.5`"]);
    check("errors: { ratio: 1e9 }", &["8:31 wrong-type"]);
    check("errors: { ratio: inf }", &["8:31 wrong-type"]);
    check("errors: { ratio: .5 }", &["8:31 wrong-type"]);
    check("errors: { ratio: 1.5.2 }", &["8:31 wrong-type"]);
    check("errors: { ratio: 1000001 }", &["8:31 out-of-range 0 to 1000000"]);
    check(
        &format!("errors: {{ ratio: {} }}", "9".repeat(400)),
        &["8:31 out-of-range 0 to 1000000"],
    );
    check("errors: { max: 200 }", &["8:29 out-of-range 0 to 100"]);
    check("latency: { p95: 20 }", &["8:25 unknown-key did you mean `p90`?"]);
    check("latency: { p99: [] }", &["8:30 wrong-type expected a number"]);
    check(
        "client_errors: { max: 5 }",
        &["8:31 unknown-key `max` is a key of a margin of errors"],
    );
}

#[test]
fn windows_are_read_each_with_its_place() {
    let check = |windows: &str, expected: &[&str]| {
        check(
            in_place(&format!("steps: [1, 100]\nwindows: {windows}")),
            expected,
        );
    };
    check(
        "[\"Mon-Fri 09:00-17:00 Europe/Berlin\", Sat-Sun 22:00-02:00 UTC]",
        &[],
    );
    check("[\"${WINDOW:-Mon 09:00-17:00 UTC}\"]", &[]);
    check("[]", &["8:14 empty-list (write a window, such as"]);
    check("Mon-Fri 09:00-17:00 UTC", &["8:14 wrong-type put it into a list"]);
    check(
        "[7]",
        &["8:15 bad-value a window is made of days, times and a time zone (write all of them, in quotes:"],
    );
    check(
        "[{}]",
        &["8:15 wrong-type expected a window, as `DAYS HH:MM-HH:MM ZONE`"],
    );
    check(
        "[Mon-Fri 09:00-17:00]",
        &["8:15 bad-value the window has no time zone (add it at the end, such as `Europe/Berlin`"],
    );
    check(
        "[Mon-Fri 9:00-17:00 UTC]",
        &["8:15 bad-value `9:00-17:00` are not two times of the day (write them as `09:00-17:00`"],
    );
    check(
        "[Mon-Fri 09:00-09:00 UTC]",
        &["8:15 bad-value `09:00-09:00` ends when it begins (write `00:00-24:00` for whole days)"],
    );
    check(
        "[Mon,Wed 09:00-17:00 UTC]",
        &["8:15 bad-value a window is made of days, times and a time zone (write all of them, in quotes:"],
    );
    // One mistake hides no other.
    check(
        "[Mon 00:00-24:00 UTC, Mo-Fri 09:00-17:00 UTC, Mon 09:00-17:00 Europe/Berln, Mon 09:00-17:00 Here]",
        &[
            "8:36 bad-value `Mo` is no day of the week (the days are `Mon`, `Tue`",
            "8:60 bad-value there is no time zone named `Europe/Berln` (did you mean `Europe/Berlin`?)",
            "8:90 bad-value there is no time zone named `Here` (write a name of the time zone database",
        ],
    );
}

#[test]
fn services_of_plans_are_arms_of_the_route() {
    let steps = "steps: [1, 100]";
    check(
        in_place(&format!("canary: user-v2\n{steps}")),
        &[
            "7:13 unknown-service the canary `user-v2` is not a service of this route's `to` (did you mean `users-v2`?)",
        ],
    );
    check(
        in_place(&format!("baseline: orders\n{steps}")),
        &["7:15 unknown-service the baseline `orders` is not a service of this route's `to` (add it to `to`"],
    );
    check(
        in_place(&format!("canary: users-v2\nbaseline: users-v2\n{steps}")),
        &["8:15 bad-rollout the canary `users-v2` is compared with itself (name the old version"],
    );
    check(
        in_place(&format!("canary: {{}}\nbaseline: users-v2\n{steps}")),
        &["7:13 wrong-type"],
    );
    // A named plan is checked where a route names it, with the plan's place.
    let config = named(&format!("canary: users-v2\nbaseline: users-v1\n{steps}"));
    check(config.clone(), &[]);
    let other = config
        .replace("users-v2: 0 }", "users-v3: 0 }")
        .replace("services: {", "services: { users-v3: { endpoints: [] },");
    let found = load_text(other).unwrap_err();
    let shown = lines(&found);
    assert!(
        shown[0].contains("unknown-service the canary `users-v2` is not a service of this route's `to`"),
        "{shown:#?}"
    );
    let label = &found[0].labels[1];
    assert_eq!(
        (label.place.line, label.place.column, &*label.text),
        (6, 13, "the plan names it here")
    );
    // A service that does not exist is reported once, with the plan.
    check(
        named(&format!("canary: user-v2\n{steps}")),
        &["6:13 unknown-service there is no service named `user-v2` (did you mean"],
    );
    check(
        format!(
            "{VERSIONS}routes: [{{ name: r, to: {{ users-v1: 1, users-v2: 1 }} }}]\nrollouts: {{ steady: {{ {steps}, baseline: nobody }} }}\n"
        ),
        &["4:50 unknown-service there is no service named `nobody`"],
    );
}

#[test]
fn services_that_only_a_plan_names_are_unused() {
    check(
        "listeners: [{ bind: 127.0.0.1:8080 }]\nservices: { a: { endpoints: [] }, b: { endpoints: [] } }\n\
        routes: [{ name: r, to: a }]\nrollouts: { steady: { canary: b, steps: [1, 100] } }\n",
        &["2:35 unused-service"],
    );
}

#[test]
fn rollouts_need_a_split() {
    let steady = "steps: [1, 100]";
    let split = "to: { users-v1: 100, users-v2: 0, users-v3: 0 }";
    check(with_route(&format!("{split}, rollout: steady"), steady), &[]);
    for (route, place) in [
        ("to: { users-v1: 1 }, rollout: steady", "4:39"),
        ("to: {}, rollout: steady", "4:26"),
        ("to: users-v1, rollout: steady", "4:32"),
        ("to: users-v1, rollout: { steps: [1, 100] }", "4:32"),
    ] {
        let found = load_text(with_route(route, steady)).unwrap_err();
        let errors: Vec<&Diagnostic> = found.iter().filter(|found| found.is_error()).collect();
        assert_eq!(errors.len(), 1, "{found:#?}");
        let shown = &lines(&found)[found.len() - 1];
        assert!(
            shown.starts_with(&format!(
                "{place} bad-rollout a rollout needs two services in `to`"
            )),
            "{shown}"
        );
    }
    let hint = load_text(with_route("to: users-v1, rollout: steady", steady)).unwrap_err();
    assert!(hint.iter().any(|found| {
        found.help.as_deref()
            == Some("write `to: { users-v1: 100, NEW: 0 }`, with the name of the new version")
    }));
    // A weight that could not be read is an arm all the same.
    check(
        with_route("to: { users-v1: x, users-v2: 0 }, rollout: steady", steady)
            .replace(", users-v3: { endpoints: [] }", ""),
        &["4:34 wrong-type"],
    );
    check(
        with_route("redirect: { path: /x }, rollout: steady", steady).replace("services: {", "#"),
        &["4:42 conflicting-keys `rollout` has no meaning beside `redirect`"],
    );
    check(
        with_route("respond: { status: 200 }, rollout: { steps: [] }", steady).replace("services: {", "#"),
        &["4:44 conflicting-keys", "4:62 empty-list"],
    );
}

/// Two routes of a deal, with these keys, and a plan.
fn dealt(first: &str, second: &str, plan: &str) -> String {
    format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]
services: {{ a1: {{ endpoints: [] }}, a2: {{ endpoints: [] }}, b1: {{ endpoints: [] }}, b2: {{ endpoints: [] }} }}
rollouts: {{ steady: {{ {plan} }} }}
routes:
  - {{ name: a, match: {{ path: /a }}, to: {{ a1: 1, a2: 0 }}, sticky: {{ client_ip: true, deal: d }}, {first} }}
  - {{ name: b, match: {{ path: /b }}, to: {{ b1: 1, b2: 0 }}, sticky: {{ client_ip: true, deal: d }}, {second} }}
"
    )
}

#[test]
fn plan_of_a_deal_names_a_service_of_any_of_its_routes() {
    let steady = "rollout: steady";
    check(dealt(steady, steady, "steps: [5, 100]"), &[]);
    check(dealt(steady, steady, "canary: b2, steps: [5, 100]"), &[]);
    check(
        dealt("", steady, "canary: a2, baseline: a1, steps: [5, 100]"),
        &[],
    );
    check(
        dealt(steady, "", "canary: a3, steps: [5, 100]"),
        &["3:31 unknown-service `a3`"],
    );
    check(
        dealt("rollout: { canary: b3, steps: [1] }", "", "steps: [5, 100]"),
        &["5:116 unknown-service the canary `b3` is not a service of this route's `to`"],
    );
    check(
        dealt(steady, "rollout: { steps: [1] }", "steps: [5, 100]"),
        &["6:97 uneven-deal the routes of the deal `d` have different plans"],
    );
}

#[test]
fn change_of_larger_splits_needs_a_canary() {
    let split = "to: { users-v1: 10, users-v2: 0, users-v3: 90 }, rollout: steady";
    check(
        with_route(split, "steps: [1, 100], on_change: true"),
        &["4:76 bad-rollout a change of 3 weights does not say which service is rolled out"],
    );
    let named = "steps: [1], on_change: true, on_success: write, canary: users-v2, baseline: users-v1";
    check(with_route(split, named), &[]);
}

#[test]
fn larger_splits_name_the_baseline() {
    let split = "to: { users-v1: 10, users-v2: 0, users-v3: 90 }, rollout:";
    let without = with_route(
        &format!("{split} {{ canary: users-v2, steps: [1, 100] }}"),
        "steps: [1]",
    );
    check(
        without.clone(),
        &[
            "4:86 bad-rollout the canary `users-v2` could be compared with any of the 2 other services (name one in the plan, \
              such as `baseline: users-v3`)",
        ],
    );
    check(
        without.replace("canary: users-v2", "canary: users-v2, baseline: users-v3"),
        &[],
    );
    check(
        with_route(&format!("{split} steady"), "steps: [1, 100], canary: users-v2"),
        &["4:76 bad-rollout such as `baseline: users-v3`"],
    );
    // Without a canary in the plan, `waypost rollout start` is told.
    check(with_route(&format!("{split} steady"), "steps: [1, 100]"), &[]);
}

#[test]
fn names_of_plans_are_resolved() {
    let split = "to: { users-v1: 100, users-v2: 0, users-v3: 0 }";
    let check = |rollout: &str, expected: &[&str]| {
        check(
            with_route(&format!("{split}, rollout: {rollout}"), "steps: [1, 100]"),
            expected,
        );
    };
    check(
        "stedy",
        &["4:76 unknown-rollout there is no rollout named `stedy` (did you mean `steady`?)"],
    );
    check(
        "never",
        &["4:76 unknown-rollout (declare it, or name one of the rollouts that exist)"],
    );
    check("true", &["4:76 wrong-type expected"]);
    check(
        "[1, 100]",
        &["4:76 wrong-type expected the name of one of `rollouts`, or a mapping, found a list"],
    );
    super::check(
        with_route(&format!("{split}, rollout: x"), "").replace("rollouts: { steady: {  } }", ""),
        &["4:76 unknown-rollout (no rollout is declared)"],
    );
    // Of a plan with a mistake, the name is known; of misspelt `rollouts`, none is.
    super::check(
        with_route(&format!("{split}, rollout: steady"), "steps: []"),
        &["5:30 empty-list"],
    );
    super::check(
        with_route(&format!("{split}, rollout: steady"), "steps: [1]").replace("rollouts:", "rollots:"),
        &["5:1 unknown-key did you mean `rollouts`?"],
    );
    super::check(
        with_route(split, "steps: [1]").replace("steady", "\"a b\""),
        &["5:13 bad-name `a b` is not a name for a rollout"],
    );
    super::check(
        with_route(split, "steps: [1] }, steady: { steps: [2]"),
        &["5:37 duplicate-key"],
    );
    super::check(
        with_route(split, "steps: [1]").replace("{ steps: [1] }", "5"),
        &["5:21 wrong-type expected a rollout"],
    );
}

#[test]
fn judges_have_something_to_judge() {
    let check = |judge: &str, expected: &[&str]| {
        check(
            in_place(&format!("steps: [1, 100]\njudge: {{ {judge} }}")),
            expected,
        );
    };
    let others = "client_errors: off, abandoned: off";
    check(
        &format!("errors: off, {others}, latency: off"),
        &["8:5 bad-rollout the judge has nothing to judge by (leave one of `errors`,"],
    );
    check(&format!("errors: off, {others}, latency: {{ p99: 50 }}"), &[]);
    check(
        &format!("errors: off, {others}, latency: {{ p99: x }}"),
        &["8:79 wrong-type"],
    );
    check("errors: off, latency: off", &[]);
}

#[test]
fn margins_of_nothing_are_warned_of() {
    let check = |judge: &str, expected: &[&str]| {
        let config = in_place(&format!("steps: [1, 100]\njudge: {{ {judge} }}"));
        assert!(load_text(config.clone()).is_ok());
        check(config, expected);
    };
    check(
        "errors: { plus: 0, ratio: 1 }",
        &["8:14 no-margin tolerate a little, such as `{ ratio: 1.5, plus: 0.5 }`"],
    );
    check("client_errors: { plus: 0, ratio: 0.5 }", &["8:14 no-margin"]);
    check("abandoned: { plus: 0, ratio: 1 }", &["8:14 no-margin"]);
    check("errors: { plus: 0 }", &[]);
    check("errors: { plus: 0.5, ratio: 1 }", &[]);
    check("errors: { max: 0 }", &["8:24 no-margin such as `max: 1`"]);
    check("errors: { plus: 95 }", &["8:14 no-margin so much is tolerated"]);
    check("abandoned: { plus: 100 }", &["8:14 no-margin or write `off`"]);
    check("errors: { max: 96 }", &["8:24 no-margin so much is tolerated"]);
    check("errors: { plus: 94 }", &[]);
    check(
        "latency: { p50: 0 }",
        &["8:25 no-margin no slower than the same version"],
    );
}

#[test]
fn keys_without_effect_are_warned_of() {
    let check = |keys: &str, expected: &[&str]| {
        let config = in_place(&format!("steps: [1, 100]\njudge: off\n{keys}"));
        assert!(load_text(config.clone()).is_ok());
        check(config, expected);
    };
    check("at_least: 5m\nrequests: 0", &[]);
    check(
        "warmup: 1m",
        &["8:5 no-effect without a judge, `warmup` does nothing (leave them out, or `judge: off`)"],
    );
    check(
        "hold: 1h\nevidence: step",
        &["8:5 no-effect without a judge, `evidence` and `hold` do nothing"],
    );
    check(
        "hold: 1h\nevidence: rollout\nthen: promote\nwarmup: 0s",
        &["8:5 no-effect without a judge, `evidence`, `warmup`, `hold` and `then` do nothing"],
    );
    // Requests are waited for, for so long.
    check("hold: 1h\nthen: rollback\nevidence: none", &[]);
    check(
        "hold: 1h\nthen: rollback\nwarmup: 0s",
        &["8:5 no-effect without a judge, `warmup` does nothing"],
    );
}

#[test]
fn proofs_that_take_longer_than_hold_are_warned_of() {
    let check = |keys: &str, expected: &[&str]| {
        let config = in_place(keys);
        assert!(load_text(config.clone()).is_ok());
        check(config, expected);
    };
    // 940 requests, and 100 in a minute.
    check("steps: [1, 100]\nhold: 10m", &[]);
    check(
        "steps: [1, 100]\nhold: 9m",
        &[
            "7:13 slow-proof the proof of `errors` takes longer than `hold`: it needs about 940 requests of the canary, which are 9m24s",
        ],
    );
    check(
        "steps: [1, 100]\njudge: { abandoned: { plus: 0.001 } }",
        &["7:13 slow-proof the proof of `abandoned` takes longer than `hold`"],
    );
    check("steps: [1, 100]\nhold: 9m\nevidence: none", &[]);
    check("steps: [1, 100]\nhold: 9m\njudge: off", &["9:5 no-effect"]);
    check("steps: [100]\nhold: 9m", &[]);
    check("steps: [1, 100]\nhold: 9m\nrequests: 0", &[]);
    check(
        "steps: [{ percent: 1, requests: 200 }, { percent: 10, evidence: none }, 50, 75]\nhold: 9m",
        &["7:77 slow-proof"],
    );
    check(
        "steps: [{ percent: 1, at_least: 3h, requests: 100000 }, 100]",
        &[
            "7:24 slow-proof `hold` ends after 2h, before this step can: it takes 3h at least (raise `hold` above 3h",
        ],
    );
    check(
        "steps: [1, 100]\nwarmup: 3h",
        &["7:13 slow-proof it takes 3h at least"],
    );
}

#[test]
fn misspelt_keys_of_judges_are_named() {
    check(
        in_place("steps: [1, 100]\njudge: { erors: off }"),
        &["8:14 unknown-key did you mean `errors`?"],
    );
}

#[test]
fn plans_say_what_fails() {
    let set = |list: &[std::ops::RangeInclusive<u16>]| {
        let mut set = StatusSet::default();
        list.iter().for_each(|statuses| set.add(statuses.clone()));
        set
    };
    let default = FailureRule::default();
    for (keys, expected) in [
        ("{}", default.clone()),
        ("off", default.clone()),
        ("{ errors: { statuses: [5xx] } }", default.clone()),
        (
            "{ errors: { statuses: [5xx, 429], exclude: [501] } }",
            FailureRule {
                statuses: set(&[500..=599, 429..=429]),
                exclude: set(&[501..=501]),
                ..default.clone()
            },
        ),
        (
            "{ errors: { statuses: [\"404\", 1xx] } }",
            FailureRule {
                statuses: set(&[404..=404, 100..=199]),
                ..default.clone()
            },
        ),
        // The gateway's own responses are failures whatever is listed.
        (
            "{ errors: { statuses: [429], exclude: [5xx] } }",
            FailureRule {
                statuses: set(&[429..=429]),
                exclude: set(&[500..=599]),
                ..default.clone()
            },
        ),
        (
            "{ late: 10s }",
            FailureRule {
                late: Some(Duration::from_secs(10)),
                ..default.clone()
            },
        ),
        (
            "{ late: 1ms, errors: { max: 5 } }",
            FailureRule {
                late: Some(Duration::from_millis(1)),
                ..default
            },
        ),
    ] {
        let plan = plan(&format!("steps: [5, 100]\njudge: {keys}"));
        assert_eq!(plan.failures, expected, "{keys}");
    }
    let same = "{ ratio: 1.5, plus: 0.5, statuses: [429] }";
    assert_eq!(judge(&format!("{{ errors: {same} }}")), JudgeSettings::default());
}

#[test]
fn failures_that_make_no_sense_are_reported() {
    let check = |judge: &str, expected: &[&str]| {
        check(
            in_place(&format!("steps: [1, 100]\njudge: {{ {judge} }}")),
            expected,
        );
    };
    let statuses =
        |list: &str, expected: &[&str]| check(&format!("errors: {{ statuses: {list} }}"), expected);
    statuses("[5xx, 429]", &[]);
    statuses("[]", &["8:34 empty-list such as `[5xx, 429]`"]);
    statuses("5xx", &["8:34 wrong-type put it into a list"]);
    statuses("[5XX]", &["8:35 bad-value did you mean `5xx`?"]);
    statuses(
        "[server]",
        &["8:35 bad-value write a status such as `429`, or a class such as `5xx`"],
    );
    statuses("[4x, xx]", &["8:35 bad-value", "8:39 bad-value"]);
    statuses(
        "[\"500-510\"]",
        &["8:35 bad-value expected a status, or a class of them, found `500-510`"],
    );
    statuses("[-1]", &["8:35 bad-value"]);
    statuses(
        "[99, 600, 6xx, 99999999]",
        &[
            "8:35 out-of-range 100 to 599",
            "8:39 out-of-range 100 to 599",
            "8:44 out-of-range a class from `1xx` to `5xx`",
            "8:49 out-of-range",
        ],
    );
    statuses(
        "[{ from: 500 }]",
        &["8:35 wrong-type expected a status, or a class of them"],
    );
    statuses(
        "[503, 5xx]",
        &["8:35 no-effect another item of the list has this already (leave one of them out)"],
    );
    statuses("[429, 429]", &["8:40 no-effect"]);
    let both = |lists: &str, expected: &[&str]| check(&format!("errors: {{ {lists} }}"), expected);
    both(
        "exclude: [501, 5xx]",
        &[
            "8:24 bad-rollout all statuses of failures are excluded, so no response fails",
            "8:34 no-effect",
        ],
    );
    both("statuses: [5xx], exclude: [501]", &[]);
    both(
        "statuses: [5xx, 501], exclude: [501]",
        &[
            "8:40 no-effect",
            "8:56 bad-rollout a status cannot be both a failure and excluded (leave it out of one",
        ],
    );
    both("statuses: [501], exclude: [5xx]", &["8:51 bad-rollout"]);
    both(
        "statuses: [5xx], exclude: [5xx]",
        &["8:51 bad-rollout both a failure and excluded"],
    );
    both(
        "exclude: [404]",
        &["8:34 no-effect this is excluded from the failures, and is none (leave it out of `exclude`"],
    );
    both("statuses: [500], exclude: [501, 502]", &["8:51 no-effect"]);
    check(
        "late: 0s",
        &["8:20 out-of-range write a duration from `1ms` to `1h`"],
    );
    check("late: 61m", &["8:20 out-of-range"]);
    check("late: 10", &["8:20 bad-value did you mean `10s`?"]);
    check(
        "late: 10s, errors: off",
        &["8:14 no-effect late requests count as failed, and failures are not judged"],
    );
}

/// Writes a hint's value in place of the mistake; the mistake is gone.
#[test]
fn hints_lead_to_a_configuration_that_loads() {
    for (mistake, hint) in [
        ("steps: []", "steps: [1, 5, 25, 50, 100]"),
        ("steps: [5, 1]", "steps: [1, 5, 25, 50, 100]"),
        ("steps: [0]", "steps: [1]"),
        (
            "at_least: 1m",
            "steps: [1, 5, 25, { percent: 50, approve: true }, 100]",
        ),
        ("steps: [1]\njudge: false", "steps: [1]\njudge: off"),
        (
            "steps: [1]\njudge: on",
            "steps: [1]\njudge: { false_rollbacks: 0.1 }",
        ),
        (
            "steps: [1]\njudge: { errors: 5 }",
            "steps: [1]\njudge: { errors: { ratio: 2 } }",
        ),
        (
            "steps: [1]\njudge: { errors: { plus: 0, ratio: 1 } }",
            "steps: [1]\njudge: { errors: { ratio: 1.5, plus: 0.5 } }",
        ),
    ] {
        let found = match load_text(in_place(mistake)) {
            Ok(loaded) => loaded.warnings,
            Err(found) => found,
        };
        let value = hint.rsplit_once("judge: ").or(hint.split_once(": ")).unwrap().1;
        let value = value.strip_prefix("{ errors: ").unwrap_or(value);
        let value = value
            .strip_suffix(" } }")
            .unwrap_or(value)
            .trim_matches(['[', ']']);
        let help = found[0].help.as_deref().unwrap();
        assert!(help.contains(value), "{help} does not show {value}");
        check(in_place(hint), &[]);
    }
}
