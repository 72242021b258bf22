//! Configs that are not applied: the answer to a request by one, and the requests that one would move.

use std::sync::Arc;
use std::time::Duration;

use waypost_admin::command::{Answer, Change, Move, Replaced};
use waypost_admin::problem::Problem;
use waypost_config::diagnostic::Diagnostic;
use waypost_policy::explain::{Explanation, Question};
use waypost_proxy::generation::{Generation, KnownEndpoints};

use super::change::refused;
use super::{Control, patience};
use crate::certificates::Certificates;
use crate::load;

/// Requests that are compared at most.
const COMPARED_MAX: usize = 200;
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

/// The requests of the tests of both that get another answer by `after`: some of them, and their number.
pub(super) fn moves(before: &Generation, after: &Generation) -> (Vec<Move>, usize) {
    let tests = before.plan().tests().iter().chain(after.plan().tests());
    let mut questions: Vec<Question> = Vec::new();
    for question in tests.map(load::question) {
        if questions.len() < COMPARED_MAX && !questions.contains(&question) {
            questions.push(question);
        }
    }
    let mut moved = Vec::new();
    for question in questions {
        let (was, is) = (answer(before, &question), answer(after, &question));
        if was != is {
            moved.push(Move {
                request: format!("{} {}", question.method, question.url),
                before: was,
                after: is,
            });
        }
    }
    let total = moved.len();
    moved.truncate(LISTED_MAX);
    (moved, total)
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
