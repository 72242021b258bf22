//! Commands that are the leader's: this instance asks it over its admin API, and answers what it answers.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use waypost_admin::access::{BEHALF, PASSED_ON};
use waypost_admin::command::{Command, ReplySender};
use waypost_admin::problem::Problem;

use super::{Fleet, Shared};
use crate::remote::Client;
use crate::remote::client::segment;

/// The time that a leader gets to answer: less than this instance's own client waits.
const TIMEOUT: Duration = Duration::from_secs(50);

/// The wait for a leader, where there is none: an election takes no longer, unless a lease has to end.
const LEADER_PATIENCE: Duration = Duration::from_secs(3);

/// The beginning of the paths of routes.
const PATH: &str = "/api/v1/routes";

/// A request to the leader.
struct Question {
    method: &'static str,
    path: String,
    body: Option<Vec<u8>>,
    versions: Option<Vec<String>>,
    by: Option<String>,
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
                let question = Question {
                    method: "POST",
                    path: format!("{PATH}/{}/rollout/{}{query}", segment(&route), action.as_str()),
                    body: None,
                    versions,
                    by: Some(by),
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

async fn answer<T: DeserializeOwned>(shared: &Shared, question: Question) -> Result<T, Problem> {
    let view = shared.led_view(LEADER_PATIENCE).await;
    let view = view.map_err(|error| error.problem())?;
    let Some(leader) = view.leader() else {
        return Err(Problem::store_away("no instance leads the fleet right now"));
    };
    let id = &*leader.instance;
    let admin = view
        .instances
        .get(id)
        .and_then(|leader| leader.value.admin.clone());
    let Some(admin) = admin else {
        let detail = format!("the leader of the fleet, {id}, has no admin API that others reach");
        return Err(Problem::store_away(detail));
    };
    let failed = |error: anyhow::Error| {
        Problem::store_away(format!(
            "the leader of the fleet, {id}, does not answer: {error:#}"
        ))
    };
    let own = shared.id();
    let by = question.by.unwrap_or_else(|| own.to_string());
    let client = Client::of_instance(id, &admin, TIMEOUT).map_err(failed)?;
    let client = client.on_behalf_of(by.clone(), shared.token());
    let tags = question.versions.map(tags);
    let mut headers = vec![(PASSED_ON, &*own), (BEHALF, &*by)];
    headers.extend(tags.as_deref().map(|tags| ("if-match", tags)));
    client
        .ask(question.method, &question.path, &headers, question.body)
        .await
        .map_err(failed)?
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
