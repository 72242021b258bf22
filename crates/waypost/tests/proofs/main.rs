//! Diagnostics that claim something of all requests are true: random configs, and random requests near the routes that the
//! diagnostics are about.
//!
//! Each config is written from a model with the places of its conditions, loaded, and asked. Requests are decided by the
//! naive reference; witnesses, a share of the others, and the `Location` of redirects by what decides on live traffic.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod config;
mod sample;

use fastrand::Rng;
use waypost_config::diagnostic::{Code, Diagnostic};
use waypost_config::{Kind, Loaded, Source};
use waypost_plan::listener::Listener;
use waypost_policy::explain::{Explanation, Question};
use waypost_proxy::generation::{Generation, KnownEndpoints};
use waypost_route::Route;
use waypost_route::reference;
use waypost_route::table::Found;

use crate::config::{Config, Entry, Leading};
use crate::sample::Sample;

/// Requests near a route that is said to be unreachable: the first ones, and all others.
const NEAR: [usize; 2] = [10_000, 500];
/// The routes near which there are most requests.
const FIRST: usize = 10;
/// The first of them are explained, too.
const EXPLAINED: usize = 100;
/// Configs with the conditions of requests.
const CONFIGS: usize = 250;
/// Configs of one redirect among other routes.
const REDIRECTS: usize = 700;
/// Times that requests near a redirect are asked if all lead to their own URL.
const MORE: usize = 60;
/// Requests near a redirect.
const NEAR_REDIRECT: usize = 40;

/// A fragment and a port that no config has otherwise.
const ODD_FRAGMENT: &str = "#odd";
const ODD_PORT: &str = "18443";

fn load(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let source = Source {
        name: "waypost.yaml".to_owned(),
        text: text.as_bytes().into(),
    };
    waypost_config::load(&[source], Kind::File, &|_| None)
}

/// A config that is loaded and can be asked.
struct Running {
    text: String,
    loaded: Loaded,
    generation: Generation,
    routes: Vec<Route>,
}

impl Running {
    fn of(text: String) -> Result<Self, Vec<Diagnostic>> {
        let loaded = load(&text)?;
        let generation = Generation::compile(loaded.plan.clone()).unwrap();
        let routes = loaded.plan.request_routes();
        Ok(Self {
            text,
            generation,
            routes: routes.into_iter().map(|(_, route)| route).collect(),
            loaded,
        })
    }

    fn listeners(&self) -> Vec<&Listener> {
        self.loaded
            .plan
            .listeners()
            .iter()
            .map(|listener| &**listener)
            .collect()
    }

    fn explain(&self, question: &Question) -> Explanation {
        let explained = self.generation.explain(question, KnownEndpoints::Declared);
        explained.unwrap_or_else(|error| panic!("{error}: {question:?} on\n{}", self.text))
    }

    /// The alternatives among `claimed` that some request reaches.
    fn reached(&self, claimed: &[Found], near: usize, rng: &mut Rng) -> Vec<Found> {
        let listeners = self.listeners();
        let mut reached: Vec<Found> = Vec::new();
        let mut explained = 0;
        for at in claimed {
            let alternative = &self.routes[at.route].alternatives[at.alternative];
            for _ in 0..near / claimed.len() {
                let Some(asked) = Sample::near(alternative, &listeners, rng) else {
                    continue;
                };
                let winner = reference::find(&self.routes, &asked.request());
                if explained < EXPLAINED {
                    explained += 1;
                    let question = asked.question(&listeners);
                    let explanation = self.explain(&question);
                    let named = winner.map(|winner| &*self.routes[winner.route].name);
                    assert_eq!(
                        explanation.route.as_deref(),
                        named,
                        "{question:?} on\n{}",
                        self.text
                    );
                }
                if let Some(winner) = winner
                    && claimed.contains(&winner)
                    && !reached.contains(&winner)
                {
                    reached.push(winner);
                }
            }
        }
        reached
    }
}

/// The witness of a diagnostic: the request that the first route takes, and the second would.
fn witness(message: &str) -> (Question, String, String) {
    let (pair, shown) = message.split_once(", which takes `").unwrap();
    let names: Vec<&str> = pair.split('`').collect();
    let words = shlex::split(shown.strip_suffix('`').unwrap()).unwrap();
    let mut words = words.into_iter();
    let mut question = Question {
        method: words.next().unwrap(),
        url: words.next().unwrap(),
        headers: Vec::new(),
        client_ip: None,
        listener: None,
        all: false,
    };
    while let Some(option) = words.next() {
        let value = words.next().unwrap();
        match &*option {
            "-H" => {
                let (name, value) = value.split_once(": ").unwrap();
                question.headers.push((name.to_owned(), value.to_owned()));
            }
            "--client-ip" => question.client_ip = Some(value.parse().unwrap()),
            "--listener" => question.listener = Some(value),
            _ => panic!("{message}"),
        }
    }
    (question, names[3].to_owned(), names[1].to_owned())
}

#[test]
fn unreachable_routes_are_reached_by_no_request_and_witnesses_by_their_own() {
    let mut rng = Rng::with_seed(19);
    let (mut unreachable, mut ambiguous) = (0, 0);
    for _ in 0..CONFIGS {
        let routes = rng.usize(2..8);
        let config = Config::random(&mut rng, routes);
        // Conditions that contradict each other are errors.
        let Ok(running) = Running::of(config.text()) else {
            continue;
        };
        for warning in &running.loaded.warnings {
            let shown = || format!("{}\n{}", warning.message, running.text);
            match warning.code {
                Code::AmbiguousRoutes => {
                    ambiguous += 1;
                    let (question, first, second) = witness(&warning.message);
                    let explanation = running.explain(&question);
                    assert_eq!(explanation.route.as_deref(), Some(&*first), "{}", shown());
                    let mut considered = explanation.considered.iter();
                    let fits = considered.any(|one| one.route == second && one.matched);
                    assert!(fits, "{} does not match {question:?}: {}", second, shown());
                }
                Code::UnreachableRoute => {
                    let place = &warning.labels[0].place;
                    let Some((route, entry)) = config.route_at(place.line) else {
                        continue;
                    };
                    let line = running.text.lines().nth(place.line - 1).unwrap();
                    let entries = &config.routes[route].entries;
                    let claimed: Vec<usize> = match entry {
                        None => (0..running.routes[route].alternatives.len()).collect(),
                        Some(entry) => {
                            let before: usize = entries[..entry].iter().map(Entry::len).sum();
                            let at = entries[entry].alternatives_at(&line[place.column - 1..]);
                            at.into_iter().map(|index| before + index).collect()
                        }
                    };
                    let claimed: Vec<Found> = claimed
                        .into_iter()
                        .map(|alternative| Found { route, alternative })
                        .collect();
                    // A place in a list of paths stands for one of the hosts.
                    let is_one_of_them = entry.is_some() && warning.message.starts_with("no request reaches");
                    let reached =
                        running.reached(&claimed, NEAR[usize::from(unreachable >= FIRST)], &mut rng);
                    match is_one_of_them {
                        true => assert!(reached.len() < claimed.len(), "{reached:?}: {}", shown()),
                        false => assert_eq!(reached, [], "{}", shown()),
                    }
                    unreachable += 1;
                }
                _ => {}
            }
        }
    }
    assert!(
        unreachable > 100 && ambiguous > 100,
        "{unreachable} unreachable, {ambiguous} ambiguous"
    );
}

/// Makes the redirect differ in nothing but a mark, that can be taken out of its `Location` again.
fn marked(redirect: &Leading) -> Leading {
    let mut marked = redirect.clone();
    match &mut marked.url {
        None => marked.port = Some(ODD_PORT),
        // No request has a fragment, so a URL with one is no request's own.
        Some(url) => url.push_str(ODD_FRAGMENT),
    }
    marked
}

/// The requests that its redirect answers, each with the `Location` without the mark.
fn answered(running: &Running, route: usize, rng: &mut Rng) -> Vec<(Sample, String)> {
    let listeners = running.listeners();
    let alternatives = &running.routes[route].alternatives;
    let mut answered = Vec::new();
    for _ in 0..NEAR_REDIRECT {
        let alternative = &alternatives[rng.usize(..alternatives.len())];
        let Some(asked) = Sample::near(alternative, &listeners, rng).filter(|asked| asked.host.is_some())
        else {
            continue;
        };
        let explanation = running.explain(&asked.question(&listeners));
        if explanation.route.as_deref() == Some(&*running.routes[route].name)
            && let Some(location) = explanation.location
        {
            answered.push((
                asked,
                location
                    .replace(&format!(":{ODD_PORT}"), "")
                    .replace(ODD_FRAGMENT, ""),
            ));
        }
    }
    answered
}

/// Returns true if a client that follows the redirect comes to where it was. A port that the redirect has beside `url` is
/// judged as the one that it was written with.
fn leads_back(redirect: &Leading, asked: &Sample, location: &str) -> bool {
    let (host, scheme) = (asked.client_host().unwrap(), asked.scheme());
    let default = if scheme == "http" { "80" } else { "443" };
    let own = |target: &str| format!("{scheme}://{host}{target}");
    match &redirect.url {
        // What a fixed URL leads to has no other query, and leads to itself.
        Some(url) if !url.contains('{') => {
            let (location, own) = (location.replace(&format!(":{default}"), ""), own(&asked.path));
            location == own || format!("{location}/") == own
        }
        _ => {
            redirect.port.is_none_or(|port| port == default)
                && location.eq_ignore_ascii_case(&own(&asked.target()))
        }
    }
}

#[test]
fn redirect_loops_lead_every_request_to_its_own_url_and_no_others_do() {
    let mut rng = Rng::with_seed(20);
    let (mut loops, mut others) = (0, 0);
    for _ in 0..REDIRECTS {
        let routes = rng.usize(..3);
        let mut config = Config::random(&mut rng, routes + 1);
        let route = rng.usize(..=routes);
        let redirect = Leading::random(&mut rng);
        config.routes[route].redirect = Some(redirect.clone());
        let text = config.text();
        let leads_away = |one: &&(Sample, String)| !leads_back(&redirect, &one.0, &one.1);
        match load(&text) {
            Err(errors) if errors.iter().any(|error| error.code == Code::RedirectLoop) => {
                config.routes[route].redirect = Some(marked(&redirect));
                let Ok(running) = Running::of(config.text()) else {
                    continue;
                };
                let answered = answered(&running, route, &mut rng);
                let away = answered.iter().find(leads_away);
                assert!(away.is_none(), "{away:?} on\n{text}");
                loops += 1;
            }
            // Another mistake, such as a parameter that the pattern does not bind.
            Err(_) => {}
            Ok(_) => {
                // Others may take what it would lead away, which is not considered.
                config.routes = vec![config.routes.swap_remove(route)];
                let running = Running::of(config.text()).unwrap();
                let mut led_back = 0;
                let away = (0..MORE).find_map(|_| {
                    let answered = answered(&running, 0, &mut rng);
                    led_back += answered.len();
                    answered.into_iter().find(|one| leads_away(&one))
                });
                assert!(
                    away.is_some() || led_back < MORE,
                    "{led_back} requests on\n{}",
                    running.text
                );
                others += usize::from(away.is_some());
            }
        }
    }
    assert!(loops > 50 && others > 100, "{loops} loops, {others} others");
}
