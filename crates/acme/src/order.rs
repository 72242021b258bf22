//! The course of an order (RFC 8555 §7.4): begun, proven, completed.

use std::time::Duration;

use instant_acme::{
    AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, OrderStatus, RetryPolicy,
};

use crate::account::{Account, failure};
use crate::certificate::CertificateId;
use crate::client::Client;
use crate::failure::{Failure, Refusal, Why, shown};
use crate::way::Way;

/// The first wait between two questions about an order. Further ones are longer.
const POLL_MIN: Duration = Duration::from_millis(250);
/// The factor between two waits.
const POLL_FACTOR: f32 = 1.4;
/// The time in which the authority has to see that the hosts are served here.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(3 * 60);
/// The time in which it has to issue the certificate.
pub const ISSUE_TIMEOUT: Duration = Duration::from_secs(3 * 60);
/// The most characters of a token. RFC 8555 §8.1 asks for 22 at least.
const TOKEN_MAX: usize = 256;

/// A challenge, and the answer that the authority has to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The host, in lower case.
    pub host: String,
    /// The way in which the authority will look.
    pub way: Way,
    /// The authority's token.
    pub token: String,
    /// The token and the thumbprint of the account's key.
    pub key_authorization: String,
}

/// An order that was begun.
pub struct Order {
    inner: instant_acme::Order,
    client: Client,
    answers: Vec<Answer>,
}

impl Account {
    /// Begins an order for `hosts`, to be proven by the first of `ways` that the authority offers for each. `replaces` is the
    /// certificate that it renews, at an authority that wants to know (RFC 9773 §5).
    ///
    /// # Errors
    /// The authority cannot be asked, refuses, or offers no possible way.
    pub async fn begin(
        &self,
        hosts: &[Box<str>],
        ways: &[Way],
        replaces: Option<&CertificateId>,
    ) -> Result<Order, Failure> {
        let identifiers: Vec<Identifier> = hosts
            .iter()
            .map(|host| Identifier::Dns(host.to_string()))
            .collect();
        let mut inner = match self.new_order(&identifiers, replaces).await {
            // It may have been replaced already, or be one that the authority does not know.
            Err(error) if replaces.is_some() && is_about_the_order(&error) => {
                self.new_order(&identifiers, None).await
            }
            begun => begun,
        }
        .map_err(|error| failure(&self.client, error))?;
        let answers = answers(&mut inner, ways, &self.client).await?;
        Ok(Order {
            inner,
            client: self.client.clone(),
            answers,
        })
    }

    async fn new_order(
        &self,
        identifiers: &[Identifier],
        replaces: Option<&CertificateId>,
    ) -> Result<instant_acme::Order, Error> {
        let wanted = NewOrder::new(identifiers);
        let wanted = match replaces {
            Some(id) => wanted.replaces(id.to_wire()),
            None => wanted,
        };
        self.inner.new_order(&wanted).await
    }
}

impl Order {
    /// The answers that the authority has to see before the order is completed. None for hosts that it has seen lately.
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }

    /// Has the authority look at the answers, and issue a certificate for a request (DER). Returns its chain (PEM), unchecked.
    ///
    /// # Errors
    /// The authority cannot be asked, is not convinced, or takes too long.
    pub async fn complete(mut self, request: &[u8]) -> Result<String, Failure> {
        self.invite().await?;
        let ready = self.inner.poll_ready(&patience(PROOF_TIMEOUT)).await;
        match ready {
            Ok(OrderStatus::Ready) => {}
            Err(Error::Timeout(_)) => return Err(Why::TimedOut("looked at the challenges").into()),
            Err(Error::Other(error)) => return Err(failure(&self.client, Error::Other(error))),
            refused => {
                if let Some(why) = self.unproven().await {
                    return Err(why.into());
                }
                let error = refused.err().unwrap_or(Error::Str("a reason for the refusal"));
                return Err(failure(&self.client, error));
            }
        }
        let finalized = self.inner.finalize_csr(request).await;
        finalized.map_err(|error| failure(&self.client, error))?;
        match self.inner.poll_certificate(&patience(ISSUE_TIMEOUT)).await {
            Ok(chain) => Ok(chain),
            Err(Error::Timeout(_)) => Err(Why::TimedOut("issued the certificate").into()),
            Err(error) => Err(failure(&self.client, error)),
        }
    }

    /// Tells the authority that the answers are there.
    async fn invite(&mut self) -> Result<(), Failure> {
        let Self {
            inner,
            client,
            answers,
        } = self;
        let mut authorizations = inner.authorizations();
        while let Some(next) = authorizations.next().await {
            let mut authorization = next.map_err(|error| failure(client, error))?;
            let host = authorization.identifier().to_string();
            let answer = answers.iter().find(|answer| answer.host == host);
            let Some(answer) = answer.filter(|_| authorization.status == AuthorizationStatus::Pending) else {
                continue;
            };
            let way = answer.way;
            let Some(mut challenge) = authorization.challenge(way.kind()) else {
                continue;
            };
            match challenge.set_ready().await {
                Ok(()) => {}
                Err(Error::Api(problem)) => {
                    let refusal = Refusal::of(&problem);
                    return Err(Failure {
                        why: Why::Unproven {
                            host: shown(&host),
                            way,
                            refusal,
                        },
                        retry_after: client.take_asked(),
                    });
                }
                Err(error) => return Err(failure(client, error)),
            }
        }
        Ok(())
    }

    /// The reason for which the authority is not convinced, if it tells one.
    async fn unproven(&mut self) -> Option<Why> {
        let mut authorizations = self.inner.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let host = authorization.identifier().to_string();
            let Ok(state) = authorization.refresh().await else {
                continue;
            };
            let failed = state.challenges.iter().find_map(|challenge| {
                let problem = challenge.error.as_ref()?;
                let way = match challenge.r#type {
                    ChallengeType::Http01 => Way::Http,
                    ChallengeType::TlsAlpn01 => Way::TlsAlpn,
                    _ => return None,
                };
                Some((way, Refusal::of(problem)))
            });
            if let Some((way, refusal)) = failed {
                let host = shown(&host);
                return Some(Why::Unproven { host, way, refusal });
            }
        }
        None
    }
}

/// Chooses a challenge for each host that the authority has not seen lately.
async fn answers(
    order: &mut instant_acme::Order,
    ways: &[Way],
    client: &Client,
) -> Result<Vec<Answer>, Failure> {
    let mut answers = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next.map_err(|error| failure(client, error))?;
        let host = authorization.identifier().to_string();
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            other => {
                let state = format!("{other:?}").to_lowercase();
                return Err(
                    Why::Protocol(format!("the authorization for `{}` is {state}", shown(&host))).into(),
                );
            }
        }
        let offered = |way: &&Way| {
            let kind = way.kind();
            authorization
                .challenges
                .iter()
                .any(|challenge| challenge.r#type == kind)
        };
        let Some(&way) = ways.iter().find(offered) else {
            let offered = authorization
                .challenges
                .iter()
                .map(|challenge| name(&challenge.r#type));
            return Err(Why::NoWay {
                host: shown(&host),
                offered: listed(offered),
                possible: listed(ways.iter().map(ToString::to_string)),
            }
            .into());
        };
        let Some(challenge) = authorization.challenge(way.kind()) else {
            continue;
        };
        if !is_token(&challenge.token) {
            return Err(Why::Protocol(format!("the token for `{}` is not base64url", shown(&host))).into());
        }
        answers.push(Answer {
            way,
            token: challenge.token.clone(),
            key_authorization: challenge.key_authorization().as_str().to_owned(),
            host,
        });
    }
    Ok(answers)
}

fn patience(timeout: Duration) -> RetryPolicy {
    RetryPolicy::new()
        .initial_delay(POLL_MIN)
        .backoff(POLL_FACTOR)
        .timeout(timeout)
}

/// Returns true if the authority may take the order otherwise: it has refused this one, and not for having had too many.
fn is_about_the_order(error: &Error) -> bool {
    let Error::Api(problem) = error else { return false };
    let kind = problem.r#type.as_deref().unwrap_or_default();
    !kind.ends_with(":rateLimited") && !kind.ends_with(":accountDoesNotExist")
}

/// RFC 8555 §8.1: a token is base64url without padding.
fn is_token(token: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !token.is_empty() && token.len() <= TOKEN_MAX && token.bytes().all(is_good)
}

fn name(kind: &ChallengeType) -> String {
    match kind {
        ChallengeType::Http01 => Way::Http.to_string(),
        ChallengeType::TlsAlpn01 => Way::TlsAlpn.to_string(),
        ChallengeType::Dns01 => "dns-01".to_owned(),
        ChallengeType::Unknown(name) => shown(name),
        _ => "another".to_owned(),
    }
}

/// The words with commas, or `nothing`.
fn listed(words: impl Iterator<Item = String>) -> String {
    match words.collect::<Vec<String>>().join(", ") {
        words if words.is_empty() => "nothing".to_owned(),
        words => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_base64url() {
        assert!(is_token("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"));
        assert!(is_token("a-b_C9"));
        for bad in ["", "a/b", "a.b", "a b", "a=", "é", &"a".repeat(257)] {
            assert!(!is_token(bad), "{bad}");
        }
    }

    #[test]
    fn order_is_tried_without_its_predecessor_if_it_was_refused_for_it() {
        let error = |kind: &str| {
            let json = format!(r#"{{"type":"urn:ietf:params:acme:error:{kind}"}}"#);
            Error::Api(serde_json::from_str(&json).unwrap())
        };
        assert!(!is_about_the_order(&error("rateLimited")));
        assert!(is_about_the_order(&error("alreadyReplaced")));
        assert!(!is_about_the_order(&Error::Str("x")));
    }
}
