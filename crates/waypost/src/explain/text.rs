//! Explanations as text.

use std::fmt::Write as _;

use waypost_policy::explain::{
    Arm, Authentication, Because, Considered, CrossOrigin, Explanation, Outcome, PolicyOrigin, Question,
    RateStanding, Retry, Rollout, Stopped,
};

use crate::output::count;

/// An explanation in a few words: `users → users-v1`.
pub(crate) fn in_short(explanation: &Explanation) -> String {
    let by_listener = explanation
        .listener
        .as_ref()
        .map(|listener| format!("listener {listener}"));
    let route = explanation
        .route
        .as_deref()
        .or(by_listener.as_deref())
        .unwrap_or("no route");
    match explanation.outcome {
        Outcome::Forward => format!("{route} → {}", destination(explanation)),
        Outcome::Redirect => {
            format!(
                "{route} → {} {}",
                status(explanation),
                explanation.location.as_deref().unwrap_or_default()
            )
        }
        Outcome::Respond | Outcome::Unavailable => format!("{route} → {}", status(explanation)),
        Outcome::NotFound | Outcome::Refused => status(explanation),
    }
}

/// An explanation in full.
pub(crate) fn in_words(question: &Question, explanation: &Explanation) -> String {
    let mut text = format!("{} {}\n", question.method, explanation.url);
    let verdict = match explanation.outcome {
        Outcome::Forward => format!("goes to {}", destination(explanation)),
        Outcome::Redirect => {
            format!(
                "is redirected: {} to {}",
                status(explanation),
                explanation.location.as_deref().unwrap_or_default()
            )
        }
        Outcome::Respond if explanation.route.is_none() => {
            format!("gets a response from the gateway itself: {}", status(explanation))
        }
        Outcome::Respond => format!("gets a response from the route itself: {}", status(explanation)),
        Outcome::NotFound => format!("is not found: {}", status(explanation)),
        Outcome::Refused => format!("is refused: {}", status(explanation)),
        Outcome::Unavailable => format!("cannot be served: {}", status(explanation)),
    };
    line(&mut text, "outcome", &verdict);
    if let Some(reason) = &explanation.reason {
        line(&mut text, "reason", reason);
    }
    if let Some(stopped) = &explanation.stopped {
        line(&mut text, "stopped", &stopped_in_words(stopped));
    }
    if let Some(page) = &explanation.page {
        let file = page.file.as_deref().map(|file| format!("{}, ", printable(file)));
        let file = file.unwrap_or_default();
        let words = format!("{file}of {}, in place of a {}", page.from, page.replaces);
        line(&mut text, "page", &words);
    }
    if let Some(listener) = &explanation.listener {
        line(&mut text, "listener", listener);
    }
    line(&mut text, "route", explanation.route.as_deref().unwrap_or("none"));
    if !explanation.uses.is_empty() {
        line(&mut text, "uses", &explanation.uses.join(", "));
    }
    if let Some(cohort) = &explanation.cohort {
        line(&mut text, "cohort", cohort);
    }
    if let Some(rollout) = &explanation.rollout {
        line(&mut text, "rollout", &rollout_in_words(rollout));
    }
    if let Some(auth) = &explanation.auth {
        line(&mut text, "auth", &auth_in_words(auth));
    }
    for standing in &explanation.rate {
        line(&mut text, "rate", &rate_in_words(standing));
    }
    if let Some(timeout) = &explanation.timeout {
        line(&mut text, "timeout", &format!("{timeout} for the whole exchange"));
    }
    if let Some(retry) = &explanation.retry {
        line(&mut text, "retry", &retry_in_words(retry));
    }
    if let Some(hedge) = &explanation.hedge {
        line(&mut text, "hedge", &format!("at another endpoint after {hedge}"));
    }
    if let Some(cors) = &explanation.cors {
        line(&mut text, "cors", &cors_in_words(cors, explanation));
    }
    if explanation.outcome == Outcome::Forward {
        line(&mut text, "host", explanation.host.as_deref().unwrap_or("none"));
    }
    if !explanation.path.is_empty() {
        let query = explanation
            .query
            .as_ref()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        line(&mut text, "path", &format!("{}{query}", explanation.path));
    }
    let whose = if explanation.outcome == Outcome::Forward {
        "headers for the service"
    } else {
        "headers for the client"
    };
    let _ = writeln!(text, "  {whose}");
    for (name, value) in &explanation.headers {
        let _ = writeln!(text, "    {}: {}", printable(name), printable(value));
    }
    if let Some(cors) = &explanation.cors
        && explanation.outcome == Outcome::Forward
    {
        text.push_str("  headers for the page\n");
        for (name, value) in &cors.headers {
            let _ = writeln!(text, "    {}: {}", printable(name), printable(value));
        }
    }
    if !explanation.policies.is_empty() {
        text.push_str("  policies\n");
        for (key, PolicyOrigin { from, used_by }) in &explanation.policies {
            let used_by = used_by
                .as_ref()
                .map(|listener| format!("; the {listener} uses it"));
            let _ = writeln!(text, "    {key}: {from}{}", used_by.unwrap_or_default());
        }
    }
    if !explanation.considered.is_empty() {
        text.push_str("  considered, in order of rank\n");
        considered(&explanation.considered, &mut text);
    }
    text
}

/// The permission of the page.
fn cors_in_words(cors: &CrossOrigin, explanation: &Explanation) -> String {
    let asks = explanation
        .stopped
        .as_ref()
        .is_some_and(|stopped| stopped.step == "cors");
    let may = match asks {
        true => "the page may send the request",
        false => "the page may read the response",
    };
    match &cors.because {
        None => may.to_owned(),
        Some(because) => format!("{}: {}", may.replace("may", "may not"), printable(because)),
    }
}

/// The step, and the place of the policy that judged.
fn stopped_in_words(stopped: &Stopped) -> String {
    let from = stopped.from.as_ref().map(|from| format!(", by the {from}"));
    format!(
        "at step {}, {}{}",
        stopped.number,
        stopped.step.replace('_', " "),
        from.unwrap_or_default()
    )
}

fn considered(all: &[Considered], text: &mut String) {
    let name = |considered: &Considered| {
        let several = all.iter().filter(|other| other.route == considered.route).count() > 1;
        if several {
            format!("{}[{}]", considered.route, considered.alternative)
        } else {
            considered.route.clone()
        }
    };
    let width = all
        .iter()
        .map(|considered| name(considered).chars().count())
        .max()
        .unwrap_or(0);
    let mut taken = false;
    for considered in all {
        let verdict = match &considered.because {
            Some(Because {
                condition,
                wants,
                saw,
                hint,
            }) => {
                let saw = saw.as_deref().map_or("none".into(), printable);
                let hint = hint.as_deref().map(|hint| format!("; {}", printable(hint)));
                let hint = hint.unwrap_or_default();
                format!("no: {condition} wants {}, saw {saw}{hint}", printable(wants))
            }
            None if taken => "would match, but comes later".to_owned(),
            None => {
                taken = true;
                "takes it".to_owned()
            }
        };
        let _ = writeln!(text, "    {:width$}  {verdict}", name(considered));
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "  {key:8} {}", printable(value));
}

fn destination(explanation: &Explanation) -> String {
    if let Some(service) = &explanation.service {
        return service.clone();
    }
    let arms = explanation.arms.as_deref().unwrap_or_default();
    let sum: u128 = arms.iter().map(|arm| u128::from(arm.weight)).sum();
    let share = |Arm { service, weight }: &Arm| {
        let percent = *weight as f64 * 100.0 / sum as f64;
        // Two decimals distinguish the shares that are dialed in practice.
        let percent = format!("{percent:.2}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned();
        format!("{service} {percent}%")
    };
    arms.iter().map(share).collect::<Vec<String>>().join(", ")
}

/// The plan of a rollout, or the step that it is at, which a running gateway alone knows.
fn rollout_in_words(rollout: &Rollout) -> String {
    if let (Some(canary), Some(step), Some(percent)) = (&rollout.canary, rollout.step, rollout.percent) {
        return format!("of {canary}, at step {step} of {}: {percent} %", rollout.steps);
    }
    let plan = rollout
        .plan
        .as_ref()
        .map_or_else(|| "its own plan".to_owned(), |plan| format!("the plan `{plan}`"));
    format!(
        "by {plan} of {}, once it is started",
        count(rollout.steps, "step")
    )
}

/// The findings of `auth`: `key in header x-api-key: passed, as acme, of gold, eu`.
fn auth_in_words(auth: &Authentication) -> String {
    let way = auth.way.as_deref();
    let place = auth.place.as_ref().map(|place| format!(" in {place}"));
    let way = way.map_or_else(String::new, |way| format!("{way}{}: ", place.unwrap_or_default()));
    let result = match &*auth.result {
        "unknown" => "not known here",
        "unavailable" => "cannot be found out",
        result => &result.replace('_', " "),
    };
    let identity = auth.identity.as_ref().map(|name| format!(", as {name}"));
    let groups = match auth.groups.is_empty() {
        true => String::new(),
        false => format!(", of {}", auth.groups.join(", ")),
    };
    format!("{way}{result}{}{groups}", identity.unwrap_or_default())
}

/// A rate limit: `10 in 1s, by client_ip; 9 would remain`.
fn rate_in_words(standing: &RateStanding) -> String {
    let RateStanding {
        requests,
        per,
        burst,
        by,
        ..
    } = standing;
    let burst = match burst == requests {
        true => String::new(),
        false => format!(", {burst} at once"),
    };
    let counted_by = standing.counted_by.as_ref();
    let counted_by = counted_by.map_or_else(String::new, |key| format!(", which is not there, so by {key}"));
    let rest = match standing.retry_after {
        Some(seconds) => format!("used up, for {seconds} s"),
        None => format!("{} would remain", standing.remaining),
    };
    let only = if standing.report_only {
        "; only reported"
    } else {
        ""
    };
    format!("{requests} in {per}{burst}, by {by}{counted_by}; {rest}{only}")
}

/// The retries of a route: `2 further attempts on connect, 503, of GET, HEAD, each within 1s; 20 % of the requests`.
fn retry_in_words(retry: &Retry) -> String {
    let attempts = count(retry.attempts as usize, "further attempt");
    let within = retry.timeout.as_ref();
    let within = within.map_or_else(String::new, |timeout| format!(", each within {timeout}"));
    format!(
        "{attempts} on {}, of {}{within}; at most {} % of the service's requests",
        retry.on.join(", "),
        retry.methods.join(", "),
        retry.budget
    )
}

fn status(explanation: &Explanation) -> String {
    explanation
        .status
        .map_or_else(String::new, |status| status.to_string())
}

/// Text from a request, with control characters escaped.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}
