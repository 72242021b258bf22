//! The health of a fleet: the leader asks each instance for its reasons, and gathers them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, Operation, QueryParams, json, status};
use crate::access::PASSED_ON;
use crate::fleet::{Answered, Question};
use crate::problem::Problem;
use crate::reasons::gathered::{OfFleet, gather};
use crate::reasons::{Reason, Word};
use crate::state::AppState;

/// The time that an instance gets to answer, and that all get together.
const PATIENCE: Duration = Duration::from_millis(800);
const PATIENCE_IN_ALL: Duration = Duration::from_secs(2);
/// Bytes of the reasons of an instance, at most: some ten of each kind.
const BYTES_MAX: usize = 1 << 20;
/// Reasons of an instance, at most.
const REASONS_MAX: usize = 1000;
/// Seconds for which those who ask share an answer.
const SHARED: u64 = 2;

/// The health of all instances of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FleetHealth {
    /// The worst word of all instances, as each has it in its status; at least `attention` if one does not answer.
    pub word: Word,
    /// The reasons of all instances, errors first, at most ten of each kind. One that not all instances have names those that
    /// do.
    pub reasons: Vec<Reason>,
    /// The number of instances that have answered.
    pub instances: usize,
    /// The ids of instances that do not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// True if no leader of the fleet answered, so that this instance has asked each other one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
}

/// The query.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HealthQuery {
    own: bool,
}

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation {
        method: "get",
        path: "/api/v1/fleet/health",
        summary: "The health of all instances of the fleet in one word, with the reasons and the instances that have them, which its leader gathers",
        query: &[("own", "boolean", "`true` for the health of this instance alone")],
        body: Vec::new(),
        response: vec![json::<FleetHealth>()],
        problems: &[404, 421, 422, 503],
        handler: || get(health),
    }]
}

async fn health(
    State(state): App,
    headers: HeaderMap,
    QueryParams(wanted): QueryParams<HealthQuery>,
) -> Result<Json<FleetHealth>, Problem> {
    state.instance().ok_or_else(super::fleet::no_fleet)?;
    if wanted.own {
        let reasons = status::reasons_of(&state)?;
        return Ok(Json(FleetHealth {
            word: Word::of(&reasons),
            reasons,
            instances: 1,
            ..FleetHealth::default()
        }));
    }
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default() / SHARED;
    let round = state.rounds_of_health.of(&(), now);
    let is_passed_on = headers.contains_key(PASSED_ON);
    let all = round.get_or_try_init(|| async {
        let all = ask(&state, is_passed_on).await?;
        Ok::<_, Problem>(Arc::new(all))
    });
    let OfFleet {
        reasons,
        instances,
        missing,
        direct,
    } = all.await?.as_ref().clone();
    Ok(Json(FleetHealth {
        word: Word::of(&reasons),
        reasons,
        instances,
        missing,
        direct,
    }))
}

async fn ask(state: &AppState, is_passed_on: bool) -> Result<OfFleet, Problem> {
    let question = Question {
        of_all: Some("/api/v1/fleet/health".to_owned()),
        own: "/api/v1/fleet/health?own=true".to_owned(),
        is_passed_on,
        patience: PATIENCE,
        patience_in_all: PATIENCE_IN_ALL,
        bytes_max: BYTES_MAX,
    };
    let read = |bytes: &[u8]| {
        let health = serde_json::from_slice::<FleetHealth>(bytes).ok();
        health.filter(|health| health.instances > 0)
    };
    let (mut told, mut missing) = (Vec::new(), Vec::new());
    let mut direct = false;
    match state.ask_others(question, read).await {
        None => {}
        Some(Answered::OfAll(health)) => {
            return Ok(OfFleet {
                reasons: health.reasons,
                instances: health.instances,
                missing: health.missing,
                direct: health.direct,
            });
        }
        Some(Answered::OfEach { mut answers, leads }) => {
            direct = !leads;
            while let Some((id, answer)) = answers.recv().await {
                match answer.and_then(|bytes| read(&bytes)) {
                    Some(mut health) => {
                        health.reasons.truncate(REASONS_MAX);
                        told.push((id, health.reasons));
                    }
                    None => missing.push(id),
                }
            }
        }
    }
    let own = state.instance().unwrap_or_default();
    told.push((own.to_string(), status::reasons_of(state)?));
    missing.sort_unstable();
    let instances = told.len();
    // Off the async thread: those of a thousand instances take some milliseconds.
    let gathered = tokio::task::spawn_blocking(move || (gather(told, &missing), missing));
    let (reasons, missing) = gathered.await.map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the reasons of the instances could not be gathered",
        )
    })?;
    Ok(OfFleet {
        reasons,
        instances,
        missing,
        direct,
    })
}
