//! The user's token, shared by all calls of a client.

use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use tokio::time::Instant;

use super::connection::{Connection, Terms, Token};
use super::verdict::{Subject, Verdict, answered_badly, judge};
use crate::error::Error;
use crate::messages::auth::{AuthenticateRequest, AuthenticateResponse};
use crate::method::Call;
use crate::options::{Options, User, UserAnew};

/// The message of a cluster that asks for no user.
const NOT_ENABLED: &str = "etcdserver: authentication is not enabled";

/// The user's token.
#[derive(Debug)]
pub(super) struct Session {
    user: Mutex<Option<User>>,
    anew: Option<UserAnew>,
    ticket: Mutex<Ticket>,
    /// Held while a token is asked for, so that calls do not all ask.
    asking: tokio::sync::Mutex<()>,
}

/// The proof of the user, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ticket {
    /// It was not asked for, or is no longer valid.
    Missing,
    /// The cluster asks for no user.
    NotNeeded,
    /// A token.
    Token(Token),
}

impl Ticket {
    pub(super) fn token(&self) -> Option<Token> {
        match self {
            Self::Token(token) => Some(token.clone()),
            Self::Missing | Self::NotNeeded => None,
        }
    }
}

impl Session {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            user: Mutex::new(options.user.clone()),
            anew: options.user_anew.clone(),
            ticket: Mutex::new(Ticket::Missing),
            asking: tokio::sync::Mutex::new(()),
        }
    }

    /// The name of the user.
    pub(super) fn user(&self) -> Option<String> {
        lock(&self.user).as_ref().map(|user| user.name.clone())
    }

    /// The proof to show to the cluster; asks for a token if there is none.
    pub(super) async fn ticket(&self, connection: &Connection, until: Instant) -> Result<Ticket, Verdict> {
        if lock(&self.user).is_none() {
            return Ok(Ticket::NotNeeded);
        }
        let _asking = self.asking.lock().await;
        let ticket = lock(&self.ticket).clone();
        if ticket != Ticket::Missing {
            return Ok(ticket);
        }
        // Only who asks changes the user.
        let Some(user) = lock(&self.user).clone() else {
            return Ok(Ticket::NotNeeded);
        };
        let asked = ask(&user, connection, until).await;
        let other = match &asked {
            Err(Verdict::Final(Error::Unauthenticated { .. })) => self.anew(&user),
            _ => None,
        };
        let ticket = match other {
            Some(other) => {
                let ticket = ask(&other, connection, until).await?;
                *lock(&self.user) = Some(other);
                ticket
            }
            None => asked?,
        };
        lock(&self.ticket).clone_from(&ticket);
        Ok(ticket)
    }

    /// The user as it is by now, if that is another one.
    fn anew(&self, before: &User) -> Option<User> {
        let UserAnew(look) = self.anew.as_ref()?;
        look().filter(|user| user != before)
    }

    /// Forgets what is not valid any more, unless it was renewed already. Returns false if there is no user to renew it.
    pub(super) fn forget(&self, ticket: &Ticket) -> bool {
        let mut current = lock(&self.ticket);
        if *current == *ticket {
            *current = Ticket::Missing;
        }
        lock(&self.user).is_some()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask(user: &User, connection: &Connection, until: Instant) -> Result<Ticket, Verdict> {
    let request = AuthenticateRequest {
        name: user.name.clone(),
        password: user.password.clone(),
    };
    let terms = Terms {
        token: None,
        wants_leader: true,
        until: Some(until),
    };
    let subject = Subject {
        is_write: request.is_write(),
        lease: None,
        response_bytes_max: 0,
    };
    let message = request.encode_to_vec().into();
    let response = match connection.unary(AuthenticateRequest::PATH, message, &terms).await {
        Ok(response) => response,
        Err(status) if status.message() == NOT_ENABLED => return Ok(Ticket::NotNeeded),
        Err(status) => return Err(judge(&status, subject)),
    };
    let token = AuthenticateResponse::decode(response)
        .ok()
        .and_then(|response| Token::try_from(response.token).ok())
        .filter(|token| !token.is_empty())
        .ok_or_else(|| answered_badly(Error::malformed("the token cannot be sent back"), subject))?;
    Ok(Ticket::Token(token))
}
