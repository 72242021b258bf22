//! Calls of the gateway itself to services, such as the hooks of rollouts.
//!
//! They go the way of clients' requests, with the service's endpoints, TLS and protocol, but on a thread of their own: no
//! worker is disturbed, and the control waits for none of them.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use waypost_plan::duration;
use waypost_plan::rollout::Destination;
use waypost_plan::service::SentHost;
use waypost_proxy::generation::Generation;
use waypost_proxy::priority::{Priority, lower};
use waypost_proxy::thread;
use waypost_transport::clock::{Clock, Ticks};
use waypost_upstream::call::{self, Answer, BodyNeed, Call, CallError};
use waypost_upstream::connect::ConnectError;
use waypost_upstream::local::{LocalService, Upstreams};
use waypost_upstream::notice::Notice;
use waypost_upstream::service::ServiceState;
use waypost_wire::write;

/// Timeout of an answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum calls at a time; further ones wait.
pub(crate) const CALLS_MAX: usize = 128;
/// Bytes of a response's body that are read.
pub(crate) const RESPONSE_BYTES_MAX: usize = 64 << 10;
/// Bytes of the first line of a response's body that are shown.
const LINE_BYTES_MAX: usize = 200;
/// The wait for the body of a response, whose status is what matters.
const BODY_WAIT: Duration = Duration::from_millis(500);

/// Makes calls to services.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The thread's inbox, once it is started.
    inbox: OnceLock<mpsc::Sender<Order>>,
    /// Receives notices about endpoints.
    notices: mpsc::WeakSender<Notice>,
}

/// A POST of JSON.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) service: Arc<ServiceState>,
    /// The path, with the query.
    pub(crate) path: Box<str>,
    pub(crate) body: Vec<u8>,
}

/// A post that was not answered with 2xx.
#[derive(Debug)]
pub(crate) enum PostError {
    /// It was answered otherwise.
    Answered(Answer),
    /// It was not answered within [`TIMEOUT`].
    TimedOut,
    /// It was not answered.
    Call(CallError),
    /// It could not be sent.
    Thread(io::Error),
}

/// A post, and the receiver of its result.
#[derive(Debug)]
struct Order {
    post: Post,
    reply: oneshot::Sender<Result<(), PostError>>,
}

impl Caller {
    pub(crate) fn new(notices: mpsc::WeakSender<Notice>) -> Self {
        Self {
            inbox: OnceLock::new(),
            notices,
        }
    }

    /// Sends a post. Dropping the future gives it up.
    ///
    /// # Errors
    /// The service does not answer with 2xx.
    pub(crate) async fn post(&self, post: Post) -> Result<(), PostError> {
        let inbox = match self.inbox.get() {
            Some(inbox) => inbox,
            None => {
                let started = start(self.notices.clone()).map_err(PostError::Thread)?;
                self.inbox.get_or_init(|| started)
            }
        };
        let gone = || PostError::Thread(io::ErrorKind::BrokenPipe.into());
        let (reply, answer) = oneshot::channel();
        inbox.send(Order { post, reply }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Starts the thread that makes the calls. It ends with its inbox.
fn start(notices: mpsc::WeakSender<Notice>) -> io::Result<mpsc::Sender<Order>> {
    let (orders, inbox) = mpsc::channel(CALLS_MAX);
    // Requests of clients must not wait for it.
    let prepare = || lower(Priority::Low);
    thread::start("calls".to_owned(), prepare, move |ticks| {
        run(ticks, inbox, notices)
    })?;
    Ok(orders)
}

async fn run(ticks: Ticks, mut inbox: mpsc::Receiver<Order>, notices: mpsc::WeakSender<Notice>) {
    // Without workers, no one hears of endpoints.
    let notices = notices.upgrade().unwrap_or_else(|| mpsc::channel(1).0);
    // No connection is kept: calls are rare.
    let upstreams = Rc::new(Upstreams::new(Clock::new(ticks), 0, notices.clone()));
    let permits = Arc::new(Semaphore::new(CALLS_MAX));
    let mut cursor = 0_usize;
    while let Some(Order { post, mut reply }) = inbox.recv().await {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let upstreams = Rc::clone(&upstreams);
        let service = Arc::clone(&post.service);
        let service = Rc::new(LocalService::new(
            service,
            cursor,
            Arc::default(),
            notices.clone(),
            Rc::clone(upstreams.clock()),
        ));
        cursor = cursor.wrapping_add(1);
        tokio::task::spawn_local(async move {
            let sent = tokio::select! {
                sent = send(&upstreams, &service, &post) => sent,
                () = reply.closed() => return,
            };
            drop(permit);
            let _ = reply.send(sent);
        });
    }
}

async fn send(upstreams: &Upstreams, service: &Rc<LocalService>, post: &Post) -> Result<(), PostError> {
    let deadline = Instant::now() + TIMEOUT;
    let called = call::call(upstreams, service, &post.call(), deadline).await;
    match called {
        Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
        Ok(answer) => Err(PostError::Answered(answer)),
        Err(CallError::TimedOut | CallError::Connect(ConnectError::DeadlinePassed)) => {
            Err(PostError::TimedOut)
        }
        Err(error) => Err(PostError::Call(error)),
    }
}

impl Post {
    fn call(&self) -> Call {
        let mut message = Vec::with_capacity(256 + self.body.len());
        message.extend_from_slice(b"POST ");
        message.extend_from_slice(self.path.as_bytes());
        message.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        let mut authority_at = Some(message.len());
        if let SentHost::Named(name) = &self.service.service().host {
            message.extend_from_slice(name.as_bytes());
            authority_at = None;
        }
        message.extend_from_slice(b"\r\n");
        let version = env!("CARGO_PKG_VERSION");
        write::field(
            &mut message,
            b"user-agent",
            format!("waypost/{version}").as_bytes(),
        );
        write::field(&mut message, b"content-type", b"application/json");
        write::content_length(&mut message, self.body.len() as u64);
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(&self.body);
        Call {
            message,
            authority_at,
            is_head: false,
            is_idempotent: false,
            response_bytes_max: RESPONSE_BYTES_MAX,
            response_bytes_kept: LINE_BYTES_MAX,
            may_wait: true,
            body: BodyNeed::None(BODY_WAIT),
            keeps_head: false,
            key: None,
        }
    }
}

impl fmt::Display for PostError {
    /// As the end of a sentence about the service.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answer) => {
                let line = first_line(&answer.body);
                write!(f, "answered {}", answer.status)?;
                match line.is_empty() {
                    true => Ok(()),
                    false => write!(f, ": {line}"),
                }
            }
            Self::TimedOut => write!(f, "did not answer within {}", duration::format(TIMEOUT)),
            Self::Call(error) => write!(f, "did not answer: {error}"),
            Self::Thread(error) => write!(f, "was not asked: {error}"),
        }
    }
}

/// The state of the service that a destination names, if the config has it.
pub(crate) fn service(generation: &Generation, destination: &Destination) -> Option<Arc<ServiceState>> {
    let mut services = generation.services().iter();
    let found = services.find(|state| *state.service().name == *destination.service);
    found.map(Arc::clone)
}

/// The first line of a body, for people: no byte of it can move a terminal's cursor.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let mut line: String = line.chars().filter(|char| !char.is_control()).collect();
    // A character that was cut off at the end.
    if line.ends_with(char::REPLACEMENT_CHARACTER) {
        line.pop();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &[u8], expected: &str) {
        let answer = Answer {
            status,
            body: body.to_vec(),
        };
        assert_eq!(PostError::Answered(answer).to_string(), expected);
    }

    #[test]
    fn first_line_of_an_answer_is_shown() {
        check(403, b"", "answered 403");
        check(
            403,
            b"no deploys on Friday\nnor today",
            "answered 403: no deploys on Friday",
        );
        check(500, b"\r\n\r\n  oops \r\n", "answered 500: oops");
        check(302, b"a\x1b[2Jb\tc\x07", "answered 302: a[2Jbc");
        check(503, b"na\xc3", "answered 503: na");
        check(503, b"\xff\xfe", "answered 503: \u{fffd}");
    }

    #[test]
    fn silence_is_told_from_refusal() {
        let check = |error: PostError, expected: &str| assert_eq!(error.to_string(), expected);
        check(PostError::TimedOut, "did not answer within 5s");
        check(
            PostError::Call(ConnectError::Refused.into()),
            "did not answer: connection refused",
        );
    }
}
