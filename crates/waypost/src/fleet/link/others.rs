//! Questions to the other instances of the fleet, over their admin APIs.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use waypost_admin::access::{FLEET_TOKEN, PASSED_ON};
use waypost_admin::fleet::{Answers, EachAnswer, Others, Question};
use waypost_admin::problem::Problem;
use waypost_fleet::view::View;

use super::{Shared, lock};
use crate::remote::Client;

/// The time that an instance gets to say what it has counted, and that all get together.
const SERIES_PATIENCE: Duration = Duration::from_secs(2);
const SERIES_PATIENCE_IN_ALL: Duration = Duration::from_secs(60);

/// The time within which a leader that can be asked says that it is there.
const SILENCE: Duration = Duration::from_secs(1);

/// The time that the answer of the leader takes beyond that of those it asks.
const WAY: Duration = Duration::from_secs(1);

/// Instances that are asked at the same time.
const AT_ONCE: usize = 64;

/// Bytes of the series of an instance, at most.
const SERIES_BYTES_MAX: usize = 64 << 20;

/// Asks the leader for the figures of all instances. If this instance leads, or no leader answers, all other ones that live are
/// asked for theirs.
pub(super) fn ask(shared: &Arc<Shared>, question: Question) -> Answers {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let leads = question.is_passed_on || shared.fence().is_some();
        if !leads
            && let Some(path) = &question.of_all
            && let Some(answer) = ask_leader(&shared, path, question.patience_in_all + WAY).await
        {
            return Others::OfAll(answer);
        }
        Others::OfEach {
            answers: ask_each(&shared, question),
            leads,
        }
    })
}

/// Asks all other instances that live for the counts of all their series. Those that do not answer are left out.
pub(super) async fn ask_for_series(shared: &Arc<Shared>) -> Vec<(String, Bytes)> {
    let question = Question {
        of_all: None,
        own: "/api/v1/fleet/series".to_owned(),
        is_passed_on: false,
        patience: SERIES_PATIENCE,
        patience_in_all: SERIES_PATIENCE_IN_ALL,
        bytes_max: SERIES_BYTES_MAX,
    };
    let mut answers = ask_each(shared, question);
    let mut all = Vec::new();
    while let Some((id, answer)) = answers.recv().await {
        all.extend(answer.map(|bytes| (id, bytes)));
    }
    all
}

async fn ask_leader(shared: &Shared, path: &str, patience: Duration) -> Option<Bytes> {
    let view = shared.view();
    let id = view.leader()?.instance;
    let admin = view.instances.get(&*id)?.value.admin.clone()?;
    let client = Client::of_instance(&id, &admin, patience).ok()?;
    let own = shared.id();
    let client = client.on_behalf_of(own.to_string(), shared.token());
    let passed_on = [(PASSED_ON, &*own)];
    let probe = Client::of_instance(&id, &admin, SILENCE).ok()?;
    tokio::select! {
        answer = client.get_bytes(path, &passed_on) => answer.ok()?.ok(),
        () = silence(&probe) => None,
    }
}

/// Ends if an instance does not answer at all: one that stands still takes connections for as long as its lease holds.
async fn silence(probe: &Client) {
    if probe.get_bytes("/healthz", &[]).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Asks all other instances that live. Those without an address, and those that do not answer in time, have no answer.
fn ask_each(shared: &Arc<Shared>, question: Question) -> EachAnswer {
    let (to, answers) = mpsc::channel(AT_ONCE);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let deadline = Instant::now() + question.patience_in_all;
        let view = shared.view();
        let token = shared.token();
        let mut asked = JoinSet::new();
        let own = shared.id();
        for (id, record) in view.instances.iter().filter(|(id, _)| **id != own) {
            if asked.len() >= AT_ONCE
                && let Some(Ok(answer)) = asked.join_next().await
                && to.send(answer).await.is_err()
            {
                return;
            }
            let (id, admin) = (id.to_string(), record.value.admin.clone());
            let (own, token, question) = (own.to_string(), token.clone(), question.clone());
            let shared = Arc::clone(&shared);
            asked.spawn(async move {
                let answer = timeout_at(deadline, async {
                    let client = Client::of_instance(&id, &admin?, question.patience).ok()?;
                    let client = client.on_behalf_of(own, token.clone()).up_to(question.bytes_max);
                    let response = client.get_bytes(&question.own, &[]).await.ok()?;
                    let is_accepted = !matches!(&response, Err(problem) if is_refusal(problem));
                    shared.note_access(&id, token.as_deref(), is_accepted);
                    response.ok()
                });
                let answer = answer.await.ok().flatten();
                (id, answer)
            });
        }
        while let Some(answer) = asked.join_next().await {
            // Without a reader, the questions that are left end with this task.
            if let Ok(answer) = answer
                && to.send(answer).await.is_err()
            {
                return;
            }
        }
    });
    answers
}

/// Returns true if another instance does not accept the token.
fn is_refusal(problem: &Problem) -> bool {
    matches!(problem.status, 401 | 403)
}

impl Shared {
    /// Notes if another instance accepts the token of this one. That it refuses a former one says nothing.
    fn note_access(&self, id: &str, token: Option<&str>, is_accepted: bool) {
        let mut refusing = lock(&self.refusing);
        if is_accepted {
            refusing.remove(id);
        } else if self.token().as_deref() == token {
            refusing.insert(id.to_owned());
        }
    }

    /// The instances that live and do not accept the token of this one, in a sentence each.
    pub(super) fn refusals(&self, view: &View) -> Vec<String> {
        let refusing = lock(&self.refusing);
        let live = refusing.iter().filter(|id| view.instances.contains_key(&***id));
        let told = live.map(|id| {
            format!(
                "instance {id} does not accept the token of this one, so its figures are missing here; give all instances the \
                 same token, under the name `{FLEET_TOKEN}`"
            )
        });
        told.collect()
    }

    /// The token that instances ask each other with: that of the name [`FLEET_TOKEN`], else the first that may change things.
    pub(super) fn token(&self) -> Option<String> {
        let file = lock(&self.token_file).clone()?;
        token_of(&fs::read_to_string(file).ok()?)
    }
}

fn token_of(text: &str) -> Option<String> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let tokens = lines.filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [token] => Some(("", token)),
            [_, _, "read"] => None,
            [name, token, ..] => Some((name, token)),
            [] => None,
        }
    });
    let tokens: Vec<(&str, &str)> = tokens.collect();
    let own = tokens.iter().find(|(name, _)| *name == FLEET_TOKEN);
    own.or(tokens.first()).map(|(_, token)| (*token).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_have_a_token_of_their_own_if_there_is_one() {
        for (text, expected) in [
            ("ann abc\nfleet def\n", Some("def")),
            ("# tokens\n\nbob xyz read\nann abc\n", Some("abc")),
            ("abc\n", Some("abc")),
            ("fleet abc read\n", None),
            ("", None),
        ] {
            assert_eq!(token_of(text).as_deref(), expected, "{text:?}");
        }
    }
}
