//! Configs that are not applied: the answer to a request by one, and the requests that one would move.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use waypost_admin::command::{Answer, Change, Move, Replaced};
use waypost_admin::problem::Problem;
use waypost_config::diagnostic::Diagnostic;
use waypost_config::overlap;
use waypost_plan::Plan;
use waypost_plan::difference::{Changes, Difference};
use waypost_plan::test_case::TestCase;
use waypost_policy::explain::{Explanation, Question};
use waypost_proxy::generation::{Generation, KnownEndpoints};
use waypost_route::overlap::Witness;

use super::change::refused;
use super::{Control, patience};
use crate::certificates::Certificates;
use crate::load;

/// Requests of tests, of the routes before and of those after that are compared at most.
const COMPARED_MAX: usize = 200;
/// The same with very many routes.
const COMPARED_MIN: usize = 10;
/// Routes that are looked at for requests of one of these kinds.
const LOOKS_MAX: usize = 2_000_000;
/// Requests that are listed at most.
const LISTED_MAX: usize = 50;

impl Control {
    /// Explains a request by a config that is not applied. Its tests may fail.
    pub(super) async fn explain_draft(
        &mut self,
        draft: Replaced,
        question: Question,
    ) -> Result<Explanation, Problem> {
        let texts = self.changed_texts(&Change {
            what: draft,
            if_match: vec!["*".to_owned()],
            dry_run: true,
            confirm: None,
            canary: None,
            by: String::new(),
        })?;
        let own = texts.clone();
        let compile = move || {
            let loaded = load::load(&own)?;
            Ok::<_, Vec<Diagnostic>>((load::compile(&loaded)?, loaded))
        };
        let compiled = self.background.run(patience(&texts), compile).await;
        let (generation, loaded) = compiled.map_err(|diagnostics| refused(&diagnostics))?;
        // Certificates decide about 421. Those that cannot be read are taken to cover every host.
        let files = Certificates::default().read(&loaded, &texts, &self.source);
        let generation = generation.secured(files.materials);
        self.state.dials.apply_to(&generation);
        let explain = move || generation.explain(&question, KnownEndpoints::Declared);
        let explained = self.background.run(patience(&texts), explain).await;
        explained.map_err(|error| Problem::invalid(error.to_string()))
    }

    /// The requests that `candidate` would move, compared beside the control's own work.
    pub(super) async fn moves_by(&mut self, candidate: Generation) -> (Vec<Move>, usize) {
        self.state.dials.apply_to(&candidate);
        let before: Arc<Generation> = self.gateway.generation();
        let compare = move || moves(&before, &candidate);
        self.background.run(Duration::ZERO, compare).await
    }
}

/// The requests that get another answer by `after`: some of them, and their number.
///
/// Compared are the requests of the tests of both, and one for each alternative of the routes that differ.
fn moves(before: &Generation, after: &Generation) -> (Vec<Move>, usize) {
    let max = compared_max(before.plan(), after.plan());
    let mut compared: Vec<Compared> = Vec::new();
    let tests = before.plan().tests().iter().chain(after.plan().tests());
    let mut tests = tests.map(Compared::of_test);
    add(&mut compared, max, &mut tests);
    let difference = Difference::between(before.plan(), after.plan());
    add(
        &mut compared,
        max,
        &mut of_routes(before.plan(), &difference, &difference.routes.removed, max),
    );
    add(
        &mut compared,
        max,
        &mut of_routes(after.plan(), &difference, &difference.routes.added, max),
    );
    let mut moved = Vec::new();
    for Compared { request, question } in compared {
        let (was, is) = (answer(before, &question), answer(after, &question));
        if was != is {
            moved.push(Move {
                request,
                before: was,
                after: is,
            });
        }
    }
    let total = moved.len();
    moved.truncate(LISTED_MAX);
    (moved, total)
}

/// A request whose answers are compared.
struct Compared {
    /// As it is shown: the arguments of `waypost explain`.
    request: String,
    question: Question,
}

impl Compared {
    fn of_test(test: &TestCase) -> Self {
        let question = load::question(test);
        Self {
            request: format!("{} {}", question.method, question.url),
            question,
        }
    }

    /// A request of which `explain` can be asked, and not all can: none has the certificate of a client.
    fn of_witness(witness: &Witness) -> Option<Self> {
        let mut attributes = witness.attributes.iter();
        if attributes.any(|(attribute, _)| !attribute.is_entrance()) {
            return None;
        }
        let headers = witness.headers.iter();
        let headers =
            headers.map(|(name, value)| Some((name.clone(), String::from_utf8(value.clone()).ok()?)));
        Some(Self {
            request: witness.to_string(),
            question: Question {
                method: witness.method.clone(),
                url: witness.url(),
                headers: headers.collect::<Option<_>>()?,
                client_ip: Some(witness.client_ip),
                listener: witness.listener().map(str::to_owned),
                all: false,
            },
        })
    }
}

/// The number of requests of each kind that are compared: each is explained, which looks at every route.
fn compared_max(before: &Plan, after: &Plan) -> usize {
    let routes = before.routes().len().max(after.routes().len()).max(1);
    (LOOKS_MAX / routes).clamp(COMPARED_MIN, COMPARED_MAX)
}

/// Adds requests that are not compared yet, `max` at most.
fn add(compared: &mut Vec<Compared>, max: usize, more: &mut dyn Iterator<Item = Compared>) {
    let max = compared.len() + max;
    for one in more {
        if compared.len() == max {
            return;
        }
        let is_known = compared.iter().any(|known| {
            let (known, one) = (&known.question, &one.question);
            let client_ip = |question: &Question| question.client_ip.unwrap_or(Ipv4Addr::LOCALHOST.into());
            client_ip(known) == client_ip(one)
                && (&known.method, &known.url, &known.headers) == (&one.method, &one.url, &one.headers)
                && known.listener == one.listener
        });
        if !is_known {
            compared.push(one);
        }
    }
}

/// Requests that routes of a plan take: those that it has alone and those that the other one has too, with other contents. If
/// listeners or the order of routes differ, any may.
fn of_routes(
    plan: &Plan,
    difference: &Difference,
    own: &[Arc<str>],
    max: usize,
) -> impl Iterator<Item = Compared> {
    let any = difference.reordered || difference.listeners != Changes::default();
    let names: HashSet<&str> = own
        .iter()
        .chain(&difference.routes.changed)
        .map(|name| &**name)
        .collect();
    let witnesses = match any || !names.is_empty() {
        true => overlap::requests_to(plan, |name| any || names.contains(name), max),
        false => Vec::new(),
    };
    witnesses
        .into_iter()
        .filter_map(|witness| Compared::of_witness(&witness))
}

fn answer(generation: &Generation, question: &Question) -> Answer {
    let explained = match generation.explain(question, KnownEndpoints::Declared) {
        Ok(explained) => explained,
        // Such as a listener that only the other config has.
        Err(error) => {
            return Answer {
                outcome: error.to_string(),
                ..Answer::default()
            };
        }
    };
    let outcome = serde_json::to_value(explained.outcome).ok();
    let is_forwarded = explained.service.is_some() || explained.arms.is_some();
    let arms = explained.arms.into_iter().flatten();
    let arms = arms.filter(|arm| arm.weight > 0).map(|arm| arm.service);
    let services = match explained.service {
        Some(service) => vec![service],
        None => arms.collect(),
    };
    Answer {
        outcome: outcome
            .as_ref()
            .and_then(|outcome| outcome.as_str())
            .unwrap_or_default()
            .to_owned(),
        route: explained.route,
        services,
        status: explained.status,
        location: explained.location,
        path: is_forwarded.then_some(explained.path),
    }
}
