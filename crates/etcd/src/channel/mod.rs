//! Calls to a cluster: picks a member, shows the token, tries again where that is lawful.

pub(crate) mod codec;
mod connection;
mod line;
mod session;
pub(crate) mod verdict;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use prost::Message as _;
use tokio::time::{self, Instant};
use tonic::Streaming;

use self::connection::{Connection, Terms};
use self::session::{Session, Ticket};
use self::verdict::{Subject, Verdict, answered_badly, judge, unanswered};
use crate::error::{Access, Error, TooLarge};
use crate::key::KeyRange;
use crate::messages::auth::{AuthRoleGetRequest, AuthUserGetRequest, Permission, PermissionType};
use crate::method::Call;
use crate::options::Options;

/// Roles of a user that are looked at to name a missing permission.
const ROLES_MAX: usize = 32;

/// Renewals of the token in one call. A change of users or roles can make a new one old again.
const RENEWALS_MAX: u32 = 2;

/// A cluster; clones share connection and token.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    shared: Arc<Shared>,
    deadline: Duration,
}

#[derive(Debug)]
struct Shared {
    options: Options,
    current: Mutex<Current>,
    /// Held while a member is looked for, so that calls do not all look for one.
    connecting: tokio::sync::Mutex<()>,
    connections: AtomicU64,
    session: Session,
}

/// The member in use.
#[derive(Debug)]
struct Current {
    endpoint: usize,
    connection: Option<Connection>,
}

/// A stream that was accepted.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The messages of the server.
    pub(crate) messages: Streaming<Bytes>,
    ticket: Ticket,
    connection: Connection,
}

impl Channel {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            deadline: options.deadline,
            shared: Arc::new(Shared {
                session: Session::new(&options),
                options,
                current: Mutex::new(Current {
                    endpoint: 0,
                    connection: None,
                }),
                connecting: tokio::sync::Mutex::new(()),
                connections: AtomicU64::new(0),
            }),
        }
    }

    pub(crate) fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            deadline,
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    /// When a call that begins now has to be over.
    pub(crate) fn until(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// Sends a request and reads its response.
    pub(crate) async fn call<C: Call>(&self, request: &C) -> Result<C::Response, Error> {
        match self.attempts(request).await {
            Ok(response) => Ok(response),
            Err(Verdict::Final(error)) => Err(error),
            Err(Verdict::Elsewhere(reason)) => Err(Error::Unavailable { reason }),
            Err(Verdict::Renew(reason)) => Err(Error::Unauthenticated { reason }),
            Err(Verdict::Denied) => Err(self.denied(request.accesses()).await),
        }
    }

    /// Tries until there is an answer, another attempt is not lawful, or the time is over.
    async fn attempts<C: Call>(&self, request: &C) -> Result<C::Response, Verdict> {
        let until = self.until();
        let message = self.encode(request).map_err(Verdict::Final)?;
        let mut renewals = 0;
        let mut failures = 0;
        let mut last = None;
        loop {
            let connection = match self.connection(until, u32::MAX).await {
                Ok(connection) => connection,
                // A member that says why not says more than one that cannot be reached.
                Err(reason) => return Err(Verdict::Elsewhere(last.unwrap_or(reason))),
            };
            // The ticket is asked for by a call that writes nothing: without it nothing was proposed.
            let ticket = time::timeout_at(until, self.shared.session.ticket(&connection, until))
                .await
                .unwrap_or_else(|_| Err(Verdict::Elsewhere(LATE.to_owned())));
            let (ticket, verdict) = match ticket {
                Ok(ticket) => {
                    let answer = self
                        .attempt(request, message.clone(), &connection, &ticket, until)
                        .await;
                    match answer {
                        Ok(response) => return Ok(response),
                        Err(verdict) => (ticket, verdict),
                    }
                }
                Err(verdict) => (Ticket::Missing, verdict),
            };
            match verdict {
                Verdict::Renew(_) if renewals < RENEWALS_MAX && self.shared.session.forget(&ticket) => {
                    renewals += 1;
                }
                Verdict::Elsewhere(reason) => {
                    self.abandon(&connection);
                    failures += 1;
                    if !self.waits(failures, until).await {
                        return Err(Verdict::Elsewhere(reason));
                    }
                    last = Some(reason);
                }
                Verdict::Final(Error::OutcomeUnknown { .. }) => {
                    self.abandon(&connection);
                    return Err(verdict);
                }
                verdict => return Err(verdict),
            }
        }
    }

    async fn attempt<C: Call>(
        &self,
        request: &C,
        message: Bytes,
        connection: &Connection,
        ticket: &Ticket,
        until: Instant,
    ) -> Result<C::Response, Verdict> {
        let subject = self.subject(request);
        let terms = Terms {
            token: ticket.token(),
            wants_leader: request.wants_leader(),
            until: Some(until),
        };
        // A member may stand still. A read has time to ask another one.
        let now = Instant::now();
        let patience = if subject.is_write || self.options().endpoints.len() == 1 {
            until
        } else {
            now + until.saturating_duration_since(now) / 2
        };
        let answer = time::timeout_at(patience, connection.unary(C::PATH, message, &terms)).await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(status)) => return Err(judge(&status, subject)),
            Err(_) => return Err(unanswered(LATE.to_owned(), subject)),
        };
        C::Response::decode(response)
            .map_err(|error| answered_badly(Error::malformed(error.to_string()), subject))
    }

    fn subject(&self, request: &impl Call) -> Subject {
        Subject {
            is_write: request.is_write(),
            lease: request.lease(),
            response_bytes_max: self.options().response_bytes_max,
        }
    }

    fn encode(&self, request: &impl Call) -> Result<Bytes, Error> {
        let bytes = request.encoded_len();
        let max = self.options().request_bytes_max;
        if bytes > max {
            return Err(Error::TooLarge(TooLarge::Request { bytes, max }));
        }
        Ok(request.encode_to_vec().into())
    }

    /// Waits before the next attempt, once every member had its turn. Returns false if there is no time for one.
    async fn waits(&self, failures: u32, until: Instant) -> bool {
        let members = u32::try_from(self.options().endpoints.len()).unwrap_or(u32::MAX);
        let rounds = failures / members.max(1);
        if !failures.is_multiple_of(members.max(1)) {
            return Instant::now() < until;
        }
        let wait = Instant::now() + self.options().back_off.wait(rounds, fastrand::f64());
        if wait >= until {
            return false;
        }
        time::sleep_until(wait).await;
        true
    }

    /// The connection in use, or one to the next member that answers, if there is one until then or in so many rounds. Fails
    /// with the reason why the last one did not answer.
    async fn connection(&self, until: Instant, rounds: u32) -> Result<Connection, String> {
        let mut last = None;
        let connected = time::timeout_at(until, self.connect(rounds, &mut last)).await;
        match connected {
            Ok(Some(connection)) => Ok(connection),
            _ => Err(last.unwrap_or_else(|| "no member answered in time".to_owned())),
        }
    }

    async fn connect(&self, rounds: u32, last: &mut Option<String>) -> Option<Connection> {
        let options = self.options();
        let mut failures = 0;
        let _connecting = loop {
            if let Some(connection) = self.usable() {
                return Some(connection);
            }
            let connecting = self.shared.connecting.lock().await;
            if self.usable().is_none() {
                break connecting;
            }
        };
        loop {
            for _ in 0..options.endpoints.len() {
                let endpoint = self.lock().endpoint;
                let Some(address) = options.endpoints.get(endpoint) else {
                    continue;
                };
                let id = self.shared.connections.fetch_add(1, Ordering::Relaxed);
                let opening = Connection::open(address, options, id);
                let reason = match time::timeout(options.connect, opening).await {
                    Ok(Ok(connection)) => {
                        self.lock().connection = Some(connection.clone());
                        return Some(connection);
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "it does not answer in time".to_owned(),
                };
                *last = Some(format!("{address}: {reason}"));
                self.lock().pass_over(options.endpoints.len());
            }
            failures += 1;
            if failures >= rounds {
                return None;
            }
            time::sleep(options.back_off.wait(failures, fastrand::f64())).await;
        }
    }

    fn usable(&self) -> Option<Connection> {
        let current = self.lock();
        current
            .connection
            .clone()
            .filter(|connection| !connection.is_closed())
    }

    /// Lets the next call go to the next member, if `connection` is still in use.
    fn abandon(&self, connection: &Connection) {
        let mut current = self.lock();
        if current
            .connection
            .as_ref()
            .is_some_and(|current| current.id == connection.id)
        {
            current.pass_over(self.options().endpoints.len());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.shared.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a stream of messages in both directions, in one attempt, for which each member is tried once. The server accepts it with its first message.
    pub(crate) async fn open(
        &self,
        path: &'static str,
        messages: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Opened, Verdict> {
        let until = self.until();
        let connection = self.connection(until, 1).await.map_err(Verdict::Elsewhere)?;
        let opening = async {
            let ticket = self.shared.session.ticket(&connection, until).await?;
            let terms = Terms {
                token: ticket.token(),
                wants_leader: true,
                until: None,
            };
            match connection.stream(path, messages, &terms).await {
                Ok(messages) => Ok((messages, ticket)),
                Err(status) => {
                    let verdict = judge(&status, self.stream_subject());
                    if let Verdict::Renew(_) = verdict {
                        self.shared.session.forget(&ticket);
                    }
                    Err(verdict)
                }
            }
        };
        let opened = time::timeout_at(until, opening)
            .await
            .unwrap_or_else(|_| Err(Verdict::Elsewhere(LATE.to_owned())));
        match opened {
            Ok((messages, ticket)) => Ok(Opened {
                messages,
                ticket,
                connection,
            }),
            Err(verdict) => {
                if let Verdict::Elsewhere(_) = verdict {
                    self.abandon(&connection);
                }
                Err(verdict)
            }
        }
    }

    /// Judges the end of a stream.
    pub(crate) fn ended(&self, stream: &Opened, status: &tonic::Status) -> Verdict {
        let verdict = judge(status, self.stream_subject());
        match verdict {
            Verdict::Elsewhere(_) => self.abandon(&stream.connection),
            Verdict::Renew(_) => {
                self.renew(stream);
            }
            _ => {}
        }
        verdict
    }

    /// Lets the next call go to another member than the one of `stream`.
    pub(crate) fn leave(&self, stream: &Opened) {
        self.abandon(&stream.connection);
    }

    /// Forgets the token that `stream` was opened with. Returns false if there is no user to renew it.
    pub(crate) fn renew(&self, stream: &Opened) -> bool {
        self.shared.session.forget(&stream.ticket)
    }

    fn stream_subject(&self) -> Subject {
        Subject {
            is_write: false,
            lease: None,
            response_bytes_max: self.options().response_bytes_max,
        }
    }

    /// Names the first of `accesses` that the user lacks. etcd does not say which; users may look at their own roles.
    pub(crate) async fn denied(&self, accesses: Vec<(Access, KeyRange)>) -> Error {
        let mut accesses = accesses.into_iter();
        let Some(first) = accesses.next() else {
            return Error::PermissionDenied {
                access: Access::Administer,
                key: Vec::new(),
            };
        };
        let mut rest = accesses.peekable();
        if rest.peek().is_none() {
            return Error::denied(first);
        }
        let permissions = self.permissions().await.unwrap_or_default();
        let all = || std::iter::once(first.clone()).chain(rest.clone());
        let missing = all().find(|(access, keys)| !is_allowed(&permissions, *access, keys));
        Error::denied(missing.unwrap_or(first))
    }

    /// The permissions of this client's user; `None` if they cannot be found out.
    async fn permissions(&self) -> Option<Vec<Permission>> {
        let name = self.shared.session.user()?;
        let user = self.attempts(&AuthUserGetRequest { name }).await.ok()?;
        let mut permissions = Vec::new();
        for role in user.roles.into_iter().take(ROLES_MAX) {
            let role = self.attempts(&AuthRoleGetRequest { role }).await.ok()?;
            permissions.extend(role.perm);
        }
        Some(permissions)
    }
}

/// The reason where a deadline passes.
const LATE: &str = "the deadline passed";

impl Current {
    /// Goes to the next member.
    fn pass_over(&mut self, members: usize) {
        self.connection = None;
        self.endpoint = (self.endpoint + 1) % members.max(1);
    }
}

/// Returns true if one of the permissions allows it as a whole.
fn is_allowed(permissions: &[Permission], access: Access, keys: &KeyRange) -> bool {
    permissions.iter().any(|permission| {
        let is_of_kind = match permission.kind() {
            PermissionType::ReadWrite => true,
            PermissionType::Read => access == Access::Read,
            PermissionType::Write => access == Access::Write,
        };
        is_of_kind && KeyRange::between(&*permission.key, &*permission.range_end).covers(keys)
    })
}
