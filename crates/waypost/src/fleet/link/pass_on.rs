//! Commands that are the leader's: this instance asks it over its admin API, and answers what it answers.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout_at};
use waypost_admin::access::{BEHALF, PASSED_ON};
use waypost_admin::command::{Command, ReplySender};
use waypost_admin::problem::Problem;
use waypost_admin::rollout::RolloutAction;
use waypost_fleet::view::View;

use super::{Fleet, Picture, Shared};
use crate::remote::Client;
use crate::remote::client::{Unreachable, segment};

/// The time that a leader gets to answer, as long as it leads: less than this instance's own client waits.
const TIMEOUT: Duration = Duration::from_secs(50);

/// The wait for a leader that can be asked to do something: one that has died or stands still leads until its lease ends, and
/// the next one has to begin.
const ACT_PATIENCE: Duration = Duration::from_secs(15);

/// The wait for a leader that can be asked to tell something. This instance knows most of it, too.
const LOOK_PATIENCE: Duration = Duration::from_secs(3);

/// The statuses of something that is otherwise than the question supposes, such as after it was carried out.
const CHANGED: [u16; 3] = [404, 409, 412];

/// The wait before the same leader is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// The beginning of the paths of routes.
const PATH: &str = "/api/v1/routes";

/// A request to the leader.
struct Question {
    method: &'static str,
    path: String,
    body: Option<Vec<u8>>,
    versions: Option<Vec<String>>,
    by: Option<String>,
    /// True if it makes no difference whether it is carried out once or twice.
    is_repeatable: bool,
    /// The sign that it was carried out, if there is one to be seen afterwards.
    sign: Option<Sign>,
}

/// A rollout whose state says that something was done.
struct Sign {
    /// The path of the rollout.
    path: String,
    states: &'static [&'static str],
}

impl Sign {
    /// The sign of an action on the rollout of a route.
    fn of(route: &str, action: RolloutAction) -> Option<Self> {
        let states: &[&str] = match action {
            RolloutAction::Pause => &["paused"],
            RolloutAction::Resume => &["waiting", "running"],
            RolloutAction::Abort => &["aborted"],
            RolloutAction::Finish => &["finished"],
            RolloutAction::Promote | RolloutAction::Approve => return None,
        };
        Some(Self {
            path: format!("{PATH}/{}/rollout", segment(route)),
            states,
        })
    }
}

/// The reason why a leader did not answer.
enum Silence {
    /// It was not asked, or did nothing as it does not lead.
    Unasked(String),
    /// It may have carried it out.
    Lost(String),
}

impl Fleet {
    /// Has the leader carry out a command, and replies with its answer. `token_file` is the file with the tokens of the admin
    /// APIs, which all instances share. A command that is no leader's matter is returned.
    pub(crate) fn pass_on(&self, command: Command, token_file: Option<PathBuf>) -> Option<Command> {
        self.set_token_file(token_file);
        let shared = Arc::clone(&self.shared);
        match command {
            Command::Dial {
                route,
                weights,
                force,
                versions,
                by,
                reply,
            } => {
                let query = if force { "?force=true" } else { "" };
                let path = format!("{PATH}/{}/split{query}", segment(&route));
                let question = Question {
                    versions,
                    ..dial(path, weights, by)
                };
                ask(shared, question, reply);
            }
            Command::DialDeal {
                deal,
                weights,
                by,
                reply,
            } => {
                let path = format!("/api/v1/deals/{}/split", segment(&deal));
                ask(shared, dial(path, weights, by), reply);
            }
            Command::StartRollout {
                route,
                start,
                versions,
                by,
                reply,
            } => {
                let question = Question {
                    method: "POST",
                    path: format!("{PATH}/{}/rollout", segment(&route)),
                    body: serde_json::to_vec(&start).ok(),
                    versions,
                    by: Some(by),
                    is_repeatable: false,
                    sign: None,
                };
                ask(shared, question, reply);
            }
            Command::RolloutAct {
                route,
                action,
                write,
                versions,
                by,
                reply,
            } => {
                let query = if write { "?write=true" } else { "" };
                // The state does not say if the config was written.
                let sign = Sign::of(&route, action).filter(|_| !write);
                let question = Question {
                    method: "POST",
                    path: format!("{PATH}/{}/rollout/{}{query}", segment(&route), action.as_str()),
                    body: None,
                    versions,
                    by: Some(by),
                    // Two of these are two steps.
                    is_repeatable: !matches!(action, RolloutAction::Promote | RolloutAction::Approve),
                    sign,
                };
                ask(shared, question, reply);
            }
            Command::RolloutOf { route, reply } => {
                let path = format!("{PATH}/{}/rollout", segment(&route));
                ask(shared, look(path), reply);
            }
            Command::Rollouts { reply } => {
                ask(shared, look("/api/v1/rollouts".to_owned()), reply);
            }
            Command::RolloutHistory { route, reply } => {
                let path = format!("{PATH}/{}/rollout/history", segment(&route));
                ask(shared, look(path), reply);
            }
            other => return Some(other),
        }
        None
    }
}

fn look(path: String) -> Question {
    Question {
        method: "GET",
        path,
        body: None,
        versions: None,
        by: None,
        is_repeatable: true,
        sign: None,
    }
}

fn dial(path: String, weights: Option<Vec<(String, u64)>>, by: String) -> Question {
    let body = weights.map(|weights| {
        let weights = weights
            .into_iter()
            .map(|(service, weight)| (service, weight.into()));
        let weights: serde_json::Map<String, serde_json::Value> = weights.collect();
        serde_json::Value::Object(weights).to_string().into_bytes()
    });
    Question {
        method: if body.is_some() { "PUT" } else { "DELETE" },
        path,
        body,
        versions: None,
        by: Some(by),
        is_repeatable: true,
        sign: None,
    }
}

/// Asks the leader on a task of its own.
fn ask<T: DeserializeOwned + Send + 'static>(shared: Arc<Shared>, question: Question, reply: ReplySender<T>) {
    tokio::spawn(async move {
        let answer = answer(&shared, question).await;
        // Its client may have gone.
        let _ = reply.send(answer);
    });
}

/// The answer of the leader. One that dies or stands still is followed by another, which is asked then.
async fn answer<T: DeserializeOwned>(shared: &Shared, question: Question) -> Result<T, Problem> {
    let patience = match question.method {
        "GET" => LOOK_PATIENCE,
        _ => ACT_PATIENCE,
    };
    let began = Instant::now();
    let deadline = began + patience;
    // The reason for which it may have been carried out.
    let mut lost = None::<String>;
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let view = shared.led_view(rest).await.map_err(|error| error.problem())?;
        let Some(leader) = view.leader() else {
            return Err(Problem::store_away("no instance leads the fleet right now"));
        };
        let id = &leader.instance;
        let mut pictures = shared.picture.subscribe();
        let fence = Some(&leader.fence);
        let is_replaced =
            |picture: &Picture| picture.view.leader().as_ref().map(|leader| &leader.fence) != fence;
        let patience = TIMEOUT.saturating_sub(began.elapsed());
        let answer = if **id == *shared.id() && shared.fence().is_none() {
            Err(Silence::Unasked("its lease may have ended".to_owned()))
        } else {
            tokio::select! {
                biased;
                answer = ask_leader(shared, &view, id, &question, patience) => answer,
                Ok(_) = pictures.wait_for(is_replaced) => Err(Silence::Lost("it does not lead any more".to_owned())),
                () = sleep_until(deadline), if question.method == "GET" => Err(Silence::Lost("it takes too long".to_owned())),
            }
        };
        let silence = match answer {
            Ok(Err(problem)) if CHANGED.contains(&problem.status) && lost.is_some() => {
                if let Some(done) = look_for_sign(shared, &view, id, &question, patience).await {
                    return Ok(done);
                }
                return Err(Problem::outcome_unknown(format!(
                    "the leader before did not answer, and may have done it ({}); the present one says: {}",
                    lost.unwrap_or_default(),
                    problem.detail
                )));
            }
            Ok(answer) => return answer,
            Err(silence) => silence,
        };
        let (why, until) = match silence {
            Silence::Lost(why) if !question.is_repeatable => {
                return Err(Problem::outcome_unknown(format!(
                    "the leader of the fleet, {id}, did not answer, and may have done it: {why}; look at the rollout before you try again"
                )));
            }
            Silence::Lost(why) => {
                lost = Some(why.clone());
                // The same one is not asked to do it again.
                (why, deadline)
            }
            Silence::Unasked(why) => (why, Instant::now() + PAUSE),
        };
        let _ = timeout_at(until.min(deadline), pictures.wait_for(is_replaced)).await;
        if Instant::now() >= deadline {
            let detail = format!("the leader of the fleet, {id}, does not answer: {why}");
            return Err(match lost {
                Some(_) if question.method != "GET" => Problem::outcome_unknown(detail),
                _ => Problem::store_away(detail),
            });
        }
    }
}

/// The answer to a question that an earlier leader has carried out, as far as the rollout says so.
async fn look_for_sign<T: DeserializeOwned>(
    shared: &Shared,
    view: &View,
    leader: &str,
    question: &Question,
    patience: Duration,
) -> Option<T> {
    let sign = question.sign.as_ref()?;
    let look = look(sign.path.clone());
    let seen = ask_leader::<serde_json::Value>(shared, view, leader, &look, patience).await;
    let rollout = seen.ok()?.ok()?;
    let state = rollout["state"].as_str()?;
    sign.states
        .contains(&state)
        .then(|| serde_json::from_value(rollout).ok())?
}

async fn ask_leader<T: DeserializeOwned>(
    shared: &Shared,
    view: &View,
    id: &str,
    question: &Question,
    patience: Duration,
) -> Result<Result<T, Problem>, Silence> {
    let record = view.instances.get(id);
    let Some(admin) = record.and_then(|leader| leader.value.admin.clone()) else {
        return Err(Silence::Unasked(
            "it has no admin API that others reach".to_owned(),
        ));
    };
    let silence = |error: anyhow::Error| {
        let why = format!("{error:#}");
        match error.downcast_ref::<Unreachable>() {
            Some(_) => Silence::Unasked(why),
            None => Silence::Lost(why),
        }
    };
    let own = shared.id();
    let by = question.by.clone().unwrap_or_else(|| own.to_string());
    let client = Client::of_instance(id, &admin, patience).map_err(silence)?;
    let client = client.on_behalf_of(by.clone(), shared.token());
    let tags = question.versions.clone().map(tags);
    let mut headers = vec![(PASSED_ON, &*own), (BEHALF, &*by)];
    headers.extend(tags.as_deref().map(|tags| ("if-match", tags)));
    let answer = client
        .ask(question.method, &question.path, &headers, question.body.clone())
        .await;
    match answer.map_err(silence)? {
        Err(problem) if problem.status == StatusCode::MISDIRECTED_REQUEST.as_u16() => {
            Err(Silence::Unasked(problem.detail))
        }
        answer => Ok(answer),
    }
}

/// Versions as `If-Match` has them.
fn tags(versions: Vec<String>) -> String {
    let mut text = String::new();
    for version in versions {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = match &*version {
            "*" => write!(text, "{separator}*"),
            version => write!(text, "{separator}\"{version}\""),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_entity_tags() {
        for (versions, expected) in [(&["a", "b"][..], "\"a\", \"b\""), (&["*"], "*")] {
            let versions = versions.iter().map(|version| (*version).to_owned());
            assert_eq!(tags(versions.collect()), expected);
        }
    }
}
