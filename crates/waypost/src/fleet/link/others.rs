//! Questions to the other instances of the fleet, over their admin APIs.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use waypost_admin::access::FLEET_TOKEN;
use waypost_admin::fleet::Answers;
use waypost_admin::stats::Stats;

use super::{Shared, lock};
use crate::remote::Client;

/// The time that an instance gets to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Instances that are asked at the same time.
const AT_ONCE: usize = 64;

/// Asks all other instances that live for a path. Those without an address, and those that do not answer, are named.
pub(super) fn ask(shared: &Arc<Shared>, path: &str) -> Answers {
    let view = shared.view();
    let token = shared.token();
    let own = shared.id.clone();
    let path: Arc<str> = path.into();
    Box::pin(async move {
        let mut answers = Vec::new();
        let mut asked = JoinSet::new();
        for (id, record) in view.instances.iter().filter(|(id, _)| ***id != *own) {
            if asked.len() >= AT_ONCE
                && let Some(Ok(answer)) = asked.join_next().await
            {
                answers.push(answer);
            }
            let (id, admin, path) = (id.to_string(), record.value.admin.clone(), Arc::clone(&path));
            let (own, token) = (own.clone(), token.clone());
            asked.spawn(async move {
                let answer = match admin {
                    Some(admin) => answer(&id, &admin, &path, own, token).await,
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
    })
}

async fn answer(id: &str, admin: &str, path: &str, own: String, token: Option<String>) -> Option<Stats> {
    let client = Client::of_instance(id, admin, TIMEOUT).ok()?;
    let client = client.on_behalf_of(own, token);
    client.ask("GET", path, &[], None).await.ok()?.ok()
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
