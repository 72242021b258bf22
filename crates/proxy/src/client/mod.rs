//! A client: whoever asks, on a connection of HTTP/1 or on a stream of HTTP/2, and is answered.
//!
//! [`admission`] finds out what a new connection speaks. [`http1`] has one task read requests one after the other, and
//! see each through to the end of its answer; [`http2`] has a task for each stream. What becomes of a request is the same
//! for both, and stands here.

pub(crate) mod admission;
pub(crate) mod answering;
mod connection;
mod forward;
mod http1;
pub(crate) mod http2;
pub(crate) mod peer;
pub(crate) mod reading;
mod tunnel;

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::time::Instant;
use waypost_plan::listener::Listener;
use waypost_plan::route::Action;
use waypost_route::table::Found;
use waypost_wire::request::RequestError;
use waypost_wire::scan::HeadEnd;

use crate::access_log::Record;
use crate::answer::Failure;
use crate::client::answering::Keeps;
use crate::client::peer::Peer;
use crate::client::tunnel::Tunnel;
use crate::client_head::DebugHeaders;
use crate::decide::{self, FieldLines};
use crate::exchange::WRITE_STALL;
use crate::generation::ListenerId;
use crate::link::Link;
use crate::meter::Meter;
use crate::timer::Timer;
use crate::worker::{Snapshot, Worker, Workspace, complain};

/// How much of each word of a refused request's first line is logged.
const LOGGED_WORD_BYTES_MAX: usize = 1024;
/// Why most exchanges end, in the access log.
const COMPLETE: &str = "complete";

/// A client.
pub(crate) struct Client {
    worker: Rc<Worker>,
    link: Link,
    peer: Rc<Peer>,
    listener_id: ListenerId,
    /// The listener as the last request saw it.
    listener: Rc<Listener>,
    timer: Timer,
    /// The present request's line in the access log, if there is to be one.
    record: Option<Record>,
    /// What the present request is counted by; taken once it is.
    meter: Option<Meter>,
    /// Whether an answer is under way that the end of the connection would complete.
    open_ended: bool,
    /// What the connection is to become, once its last request is answered.
    tunnel: Option<Tunnel>,
}

/// What comes after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Another request.
    Request,
    /// The end, after the client had a chance to read the answer.
    Linger,
    /// The end, in order.
    Close,
    /// Nothing: what had woken the connection was no request.
    Nothing,
    /// The connection turns out to speak HTTP/2.
    Http2,
    /// The connection is a tunnel from now on.
    Tunnel,
}

impl Client {
    pub(crate) fn new(
        worker: Rc<Worker>,
        link: Link,
        peer: Rc<Peer>,
        listener_id: ListenerId,
        listener: Rc<Listener>,
    ) -> Self {
        Self {
            timer: Timer::new(worker.clock().about_now() + WRITE_STALL),
            worker,
            link,
            peer,
            listener_id,
            listener,
            record: None,
            meter: None,
            open_ended: false,
            tunnel: None,
        }
    }

    /// Begins to note and to count what is known of a request that comes now.
    fn expect_request(&mut self, snapshot: &Rc<Snapshot>) {
        if snapshot.logs {
            self.record = Some(Record::new(self.peer.ip(), snapshot.generation.number()));
        }
        self.meter = Some(Meter::start(Rc::clone(snapshot), self.worker.clock()));
    }

    /// Forgets the request that was expected: none has come.
    fn expect_nothing(&mut self) {
        self.record = None;
        self.meter = None;
    }

    /// Answers the request whose head stands, read and judged, in front of the workspace's buffer.
    async fn handle(
        &mut self,
        workspace: &mut Workspace,
        snapshot: &Snapshot,
        listener: &Listener,
        end: HeadEnd,
    ) -> Next {
        workspace.note_kind();
        let established = self.establish(workspace, listener);
        self.note_request(workspace);
        let refusal = match established {
            Err(error) => Some(Failure::Request(error)),
            Ok(()) => decide::announces_too_much(listener, &workspace.head).then_some(Failure::BodyTooLarge),
        };
        if let Some(failure) = refusal {
            return self
                .answer_failure(workspace, snapshot, failure, "", Keeps::No)
                .await;
        }
        let host = workspace.facts.host();
        let elsewhere = if !self.peer.may_ask_for(host) {
            Some(Failure::Misdirected)
        } else if !listener.serves(host) {
            Some(Failure::HostNotServed)
        } else {
            None
        };
        if let Some(failure) = elsewhere {
            return self.answer_instead(workspace, snapshot, end, failure, "").await;
        }
        if let Some(redirect) = &listener.redirect {
            return self
                .redirect_all(workspace, snapshot, listener, end, redirect)
                .await;
        }
        let fields = FieldLines {
            head: &workspace.head,
            buffer: workspace.from_client.filled(),
            peer: &self.peer,
        };
        let request = workspace.facts.request(&fields);
        let found = snapshot
            .generation
            .table()
            .find(&request, &mut workspace.matching);
        let Some(found) = found else {
            return self
                .answer_instead(workspace, snapshot, end, Failure::NoRoute, "")
                .await;
        };
        self.act(workspace, snapshot, listener, end, found).await
    }

    /// Finds the normal form of the request that has been read.
    fn establish(&self, workspace: &mut Workspace, listener: &Listener) -> Result<(), RequestError> {
        let Workspace {
            head,
            from_client,
            facts,
            bytes,
            ..
        } = workspace;
        facts.establish(listener, &self.peer, head, from_client.filled(), bytes)
    }

    /// Does what the route says.
    async fn act(
        &mut self,
        workspace: &mut Workspace,
        snapshot: &Snapshot,
        listener: &Listener,
        end: HeadEnd,
        found: Found,
    ) -> Next {
        // In front of the route, so that both come from memory together.
        if let Some(meter) = &mut self.meter {
            meter.has_route(found.route);
        }
        let route = &snapshot.generation.plan().routes()[found.route];
        if let Some(record) = &mut self.record {
            record.route = Some(Arc::clone(&route.matching.name));
        }
        match &route.action {
            Action::Forward(forward) => {
                self.forward(workspace, snapshot, listener, end, route, forward, found)
                    .await
            }
            Action::Redirect(redirect) => {
                self.redirect(workspace, snapshot, listener, end, route, redirect, found)
                    .await
            }
            // A success would tell the client that its tunnel is there (RFC 8441 §5).
            Action::Respond(respond) if workspace.demands_upgrade && respond.status < 300 => {
                let failure = Failure::Request(RequestError::Method);
                self.answer_instead(workspace, snapshot, end, failure, &route.matching.name)
                    .await
            }
            Action::Respond(respond) => self.respond(workspace, snapshot, end, route, respond).await,
        }
    }

    /// Whether the client's connection may go on after this request.
    fn may_persist(&self, workspace: &Workspace) -> bool {
        workspace.head.keeps_alive() && !self.worker.is_closing(self.listener_id)
    }

    /// The listener by which the connection came in, as `snapshot` has it; once it is gone, as it was.
    fn listener_in(&mut self, snapshot: &Snapshot) -> Rc<Listener> {
        if let Some(listener) = snapshot.listener(self.listener_id)
            && !Rc::ptr_eq(listener, &self.listener)
        {
            self.listener = Rc::clone(listener);
        }
        Rc::clone(&self.listener)
    }

    /// Notes what was asked, for the log: host and path in their normal form, or as sent if they have none.
    fn note_request(&mut self, workspace: &Workspace) {
        if let Some(record) = &mut self.record {
            let buffer = workspace.from_client.filled();
            record.client = workspace.facts.client_ip();
            record.method = workspace.head.method(buffer).to_vec();
            record.host = workspace.facts.host().unwrap_or_default().to_vec();
            record.path = workspace.facts.path().to_vec();
            record.query = workspace.head.query(buffer).map(<[u8]>::to_vec);
        }
    }

    /// Notes as much of a refused request's first line as can be told apart.
    fn note_first_line(&mut self, workspace: &Workspace) {
        if let Some(record) = &mut self.record {
            let bytes = workspace
                .from_client
                .filled()
                .get(workspace.scan.start()..)
                .unwrap_or_default();
            let line = bytes
                .split(|byte| matches!(byte, b'\r' | b'\n'))
                .next()
                .unwrap_or_default();
            let mut words = line.split(|&byte| byte == b' ');
            let short =
                |word: Option<&[u8]>| word.map(|word| word[..word.len().min(LOGGED_WORD_BYTES_MAX)].to_vec());
            record.method = short(words.next()).unwrap_or_default();
            record.path = short(words.next()).unwrap_or_default();
        }
    }

    fn note_failure(&mut self, failure: Failure) {
        self.note_end(failure.culprit(), failure.proxy_error());
    }

    fn note_end(&mut self, by: &'static str, reason: &'static str) {
        if let Some(record) = &mut self.record {
            record.ended = Some((by, reason));
        }
    }

    /// Counts the request, unless it is counted already. `status` 0 is no answer.
    fn count(&mut self, status: u16, asked: Option<Instant>) {
        if let Some(meter) = self.meter.take() {
            meter.count(&self.worker, status, asked);
        }
    }

    /// Writes the request's line.
    fn log(&mut self) {
        if let Some(record) = self.record.take() {
            self.worker.log(&record);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A request that is cut off, at the end of a drain or by a panic, has a line too.
        self.log();
        self.count(0, None);
        if self.open_ended
            && let Link::Socket(socket) = &self.link
        {
            // Only a reset tells the client that this is not all.
            let _ = SockRef::from(socket.tcp()).set_linger(Some(Duration::ZERO));
        }
        if std::thread::panicking() {
            self.worker.recorder().own().panics.add(1);
            complain("a connection was ended by a fault of the gateway; please report the message above");
        }
    }
}

/// What `debug_headers` adds to an answer.
fn debug_headers<'a>(snapshot: &Snapshot, route: &'a str) -> Option<DebugHeaders<'a>> {
    let wanted = snapshot.generation.plan().settings().debug_headers;
    wanted.then(|| DebugHeaders {
        revision: snapshot.generation.number(),
        route,
    })
}

/// Whether a request may be sent a second time when nobody knows what became of the first
/// (RFC 9110 §9.2.2).
fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE")
}

/// A future in memory of its own, made there: `Box::pin` has it made elsewhere and copied, all the kilobytes of it.
#[inline(always)]
fn in_place<F: Future>(future: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::into_pin(Box::write(Box::new_uninit(), future()))
}
