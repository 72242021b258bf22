//! Questions to the other instances of the fleet, over their admin APIs.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use waypost_admin::access::{FLEET_TOKEN, PASSED_ON};
use waypost_admin::fleet::{Answers, OthersStats, StatsQuestion};
use waypost_admin::stats::Stats;

use super::{Shared, lock};
use crate::remote::Client;

/// The time that an instance gets to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The time that the leader gets to ask all others, and answer.
const LEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Instances that are asked at the same time.
const AT_ONCE: usize = 64;

/// Bytes of the series of an instance, at most.
const SERIES_BYTES_MAX: usize = 64 << 20;

/// Asks the leader for the figures of all instances. If this instance leads, or no leader answers, all other ones that live are
/// asked for theirs.
pub(super) fn ask(shared: &Arc<Shared>, question: StatsQuestion) -> Answers {
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let leads = question.is_passed_on || shared.fence().is_some();
        if !leads && let Some(stats) = ask_leader(&shared, &question.of_all).await {
            return OthersStats::OfAll(Box::new(stats));
        }
        let answers = ask_each(&shared, move |client| {
            let path = question.own.clone();
            async move { json::<Stats>(&client, &path, &[]).await }
        });
        OthersStats::OfEach {
            answers: answers.await,
            leads,
        }
    })
}

/// Asks all other instances that live for the counts of all their series. Those that do not answer are left out.
pub(super) async fn ask_for_series(shared: &Arc<Shared>) -> Vec<(String, Bytes)> {
    let answers = ask_each(shared, |client| async move {
        let client = client.up_to(SERIES_BYTES_MAX);
        client.get_bytes("/api/v1/fleet/series").await.ok()?.ok()
    });
    let answers = answers.await.into_iter();
    answers.filter_map(|(id, bytes)| Some((id, bytes?))).collect()
}

async fn ask_leader(shared: &Shared, path: &str) -> Option<Stats> {
    let view = shared.view();
    let id = view.leader()?.instance;
    let admin = view.instances.get(&*id)?.value.admin.clone()?;
    let client = Client::of_instance(&id, &admin, LEADER_TIMEOUT).ok()?;
    let own = shared.id();
    let client = client.on_behalf_of(own.to_string(), shared.token());
    json(&client, path, &[(PASSED_ON, &*own)]).await
}

async fn json<T: DeserializeOwned>(client: &Client, path: &str, headers: &[(&str, &str)]) -> Option<T> {
    client.ask("GET", path, headers, None).await.ok()?.ok()
}

/// Asks all other instances that live by `ask`. Those without an address, and those that do not answer, have no answer.
async fn ask_each<T, A>(
    shared: &Arc<Shared>,
    ask: impl Fn(Client) -> A + Clone + Send + 'static,
) -> Vec<(String, Option<T>)>
where
    T: Send + 'static,
    A: Future<Output = Option<T>> + Send,
{
    let view = shared.view();
    let token = shared.token();
    let mut answers = Vec::new();
    let mut asked = JoinSet::new();
    let own = shared.id();
    for (id, record) in view.instances.iter().filter(|(id, _)| **id != own) {
        if asked.len() >= AT_ONCE
            && let Some(Ok(answer)) = asked.join_next().await
        {
            answers.push(answer);
        }
        let (id, admin) = (id.to_string(), record.value.admin.clone());
        let (own, token, ask) = (own.to_string(), token.clone(), ask.clone());
        asked.spawn(async move {
            let client = admin.and_then(|admin| Client::of_instance(&id, &admin, TIMEOUT).ok());
            let answer = match client {
                Some(client) => ask(client.on_behalf_of(own, token)).await,
                None => None,
            };
            (id, answer)
        });
    }
    while let Some(answer) = asked.join_next().await {
        answers.extend(answer.ok());
    }
    answers.sort_by(|(one, _), (other, _)| one.cmp(other));
    answers
}

impl Shared {
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
