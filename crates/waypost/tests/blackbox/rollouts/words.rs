//! Words and numbers on a rollout: its status, its history.

use serde_json::{Value, json};

use super::{Bench, has_lack, judged};
use crate::support::command::waypost_in;

/// The text with each number replaced by `#`, as many depend on the dice.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    let mut inside = false;
    for letter in text.chars() {
        let is_digit = letter.is_ascii_digit() || (inside && matches!(letter, ',' | '.'));
        match (is_digit, inside) {
            (true, false) => masked.push('#'),
            (true, true) => {}
            (false, _) => masked.push(letter),
        }
        inside = is_digit;
    }
    masked
}

impl Bench {
    /// The text of `rollout status users`.
    fn told(&self) -> String {
        self.gateway
            .command(&["rollout", "status", "users"])
            .expect(0)
            .stdout
    }
}

#[test]
fn rollout_without_traffic_names_what_it_waits_for() {
    let bench = Bench::new(&judged("[50, 100]").replace("at_least: 0s", "at_least: 10s"));
    bench.start();
    bench.gateway.pass(4);
    let text = bench.told();
    let head = "users      v2 against v1      step 1 of 2: 50 %      for 4s (at least 10s)      holding\n";
    assert_eq!(
        masked(&text),
        masked(&format!(
            "{head}  failures   v2 none so far     v1 none so far     tolerated 20 %\n  next       to 100 % when \
             failures are shown to be tolerable and 6s more have passed; needs about 20 more requests, and v2 gets none\n"
        ))
    );
    assert!(text.starts_with(head), "{text}");
    let status = bench.status();
    assert_eq!(
        json!([
            status["state"],
            status["at_least_seconds"],
            status["needed_seconds"]
        ]),
        json!(["running", 10, null])
    );
    assert!(status["needed_requests"].as_u64().unwrap() >= 20, "{status}");
}

#[test]
fn proof_and_suspicion_are_shown_in_columns() {
    let bench = Bench::new(&judged("[50, 100]").replace("requests: 20", "requests: 1000000"));
    bench.start();
    for _ in 0..10 {
        bench.second();
    }
    let told = masked(&bench.told());
    let told = ["hours", "days"]
        .iter()
        .fold(told, |told, unit| told.replace(unit, "ages"));
    let expected = "users      v# against v#      step # of #: # %      for #s (at least #s)      holding\n  failures   v# \
                    # % of #     v# # % of #     tolerated # % (proved)\n  next       to # % when # more requests are \
                    counted; needs about # more requests, # ages at this rate\n";
    assert_eq!(told, expected);
    bench.v2.set_broken(true);
    let luck = "             luck alone makes a good version look this bad in # of # rollouts; rolls back at # of #\n";
    let told = (0..30).map(|_| {
        bench.second();
        let text = bench.told();
        let line = bench.gateway.command(&["status"]).expect(0).stdout;
        let is_suspected = line.contains("%, luck alone");
        assert_eq!(is_suspected, text.contains(" luck alone makes"), "{text}{line}");
        text
    });
    let suspected: Vec<String> = told
        .take_while(|text| text.contains("holding"))
        .filter(|text| text.contains("luck"))
        .collect();
    let (first, last) = (&suspected[0], suspected.last().unwrap());
    assert_eq!(masked(first).lines().nth(2), Some(luck.trim_end()), "{first}");
    assert!(last.contains("rolls back at 1 of 100"), "{last}");
    // Once it is over, the counts of the verdict remain.
    let text = bench.told();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("users      v2 against v1      at 0 % since 20"),
        "{text}"
    );
    assert!(lines[0].ends_with("Z      rolled back"), "{text}");
    assert!(lines[1].starts_with("  failures   v2 "), "{text}");
    let history = bench.gateway.admin_json("/api/v1/routes/users/rollout/history");
    let (verdict, first) = (&history[0]["metrics"][0], &history[1]["metrics"]);
    assert_eq!(
        json!([verdict["metric"], verdict["baseline_bad"], first]),
        json!(["errors", 0, []]),
        "{history}"
    );
    assert!(verdict["evidence"].as_f64().unwrap() >= 100.0, "{history}");
    assert_eq!(bench.status()["metrics"][0], *verdict);
    let why = masked(lines.last().unwrap());
    let part = "v# failed # % of its requests (# of #), v# # % in the same # second";
    assert!(why.starts_with(&format!("  why        {part}")), "{text}");
    assert!(
        why.ends_with("# % was tolerated. Luck alone does this in fewer than # of # rollouts"),
        "{text}"
    );
}

#[test]
fn other_commands_name_a_rollout_under_way() {
    let bench = Bench::new(&judged("[2.5, 100]"));
    let question = json!({ "url": "http://a/users/7" });
    let asked = |question: &Value| bench.gateway.explain_question(question)["rollout"].clone();
    assert_eq!(
        asked(&question),
        json!({ "plan": "plan", "steps": 2 }),
        "none is under way"
    );
    bench.start();
    bench.second();
    assert_eq!(
        asked(&question),
        json!({ "plan": "plan", "steps": 2, "canary": "v2", "step": 1, "percent": 2.5 })
    );
    assert_eq!(asked(&json!({ "url": "http://a/old" })), json!(null));
    let told = |arguments: &[&str]| bench.gateway.command(arguments).expect(0).stdout;
    let stats = told(&["stats", "users"]);
    let line = "a rollout of v2 on users is at step 1 of 2, 2.5 %: waypost rollout status users";
    assert_eq!(stats.lines().last(), Some(line), "{stats}");
    let stats = bench.gateway.admin_json("/api/v1/stats?route=users");
    assert_eq!(stats["routes"][0]["rollout"]["canary"], "v2", "{stats}");
    for (arguments, part) in [
        (&["status"], "rollout    users of v2: step 1 of 2, 2.5 %\n"),
        (&["routes"], "step 1 of 2: 2.5 %"),
    ] {
        let text = told(arguments);
        assert!(text.contains(part), "{text}");
    }
    let route = bench.gateway.admin_json("/api/v1/routes/users");
    assert_eq!(route["rollout"], "step 1 of 2: 2.5 %");
    bench.act("abort");
    assert_eq!(asked(&question), json!({ "plan": "plan", "steps": 2 }));
    assert!(!told(&["stats", "users"]).contains("rollout"));
}

#[test]
fn offline_explanation_names_the_plan() {
    let bench = Bench::new(&judged("[50, 100]"));
    let file = bench.gateway.directory().join("waypost.yaml");
    let explained = waypost_in(
        bench.gateway.directory(),
        &["explain", file.to_str().unwrap(), "GET", "http://a/users/7"],
    );
    let text = explained.expect(0).stdout;
    assert!(
        text.contains("  rollout  by the plan `plan` of 2 steps, once it is started\n"),
        "{text}"
    );
}

#[test]
fn numbers_stand_beside_the_words() {
    let bench = Bench::new(&judged("[50, 75, 100]"));
    bench.start();
    bench.seconds_to(75.0, 60);
    bench.second();
    let history = bench.gateway.admin_json("/api/v1/routes/users/rollout/history");
    let proof = masked(history[0]["summary"].as_str().unwrap());
    assert_eq!(
        proof,
        "v# failed # % of its requests (# of #), v# # % in the same step: not worse than tolerated, as is proved"
    );
    let status = bench.status();
    let metric = &status["metrics"][0];
    assert_eq!(metric["tolerated"], 0.2, "{status}");
    let number = |value: &Value| value.as_u64().unwrap();
    // Of both steps, and of this one.
    assert!(
        number(&metric["canary_requests"]) > number(&metric["step"]["canary_requests"]),
        "{status}"
    );
    assert_eq!(metric["step"]["canary_requests"], status["step_requests"]);
    assert_eq!(metric["step"]["canary_bad"], 0);
    assert!(has_lack(&status, "to be shown tolerable"), "{status}");
    assert_eq!(metric["needed_requests"], status["needed_requests"]);
    assert!(number(&status["needed_seconds"]) > 0, "{status}");
    let summary = masked(status["summary"].as_str().unwrap());
    assert!(
        summary.starts_with("# %: no sign of damage; about # more requests to v# (# second"),
        "{status}"
    );
    assert!(
        summary.contains("until failures are shown to be within tolerance"),
        "{status}"
    );
}
