//! A request in progress: from its parsed head to the end of its response.
//!
//! The decision is made by `policy` ([`waypost_policy::decision`]); here it is carried out. [`local`] sends responses of
//! the gateway's own, [`forward`] has a service respond to what [`announced`] finds sound, [`mirror`] copies requests,
//! and [`rest`] is about what comes of them behind their response. HTTP/1 connections and HTTP/2 streams are served alike.

pub(crate) mod announced;
pub(crate) mod ask;
pub(crate) mod auth;
pub(crate) mod client;
mod forward;
pub(crate) mod local;
pub(crate) mod mirror;
mod password;
pub(crate) mod rest;
mod sample;
pub(crate) mod watch;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use waypost_plan::balance::Balance;
use waypost_plan::listener::Listener;
use waypost_plan::service::ServiceId;
use waypost_policy::arm::ArmChoice;
use waypost_policy::auth::Judged;
use waypost_policy::balance;
use waypost_policy::decision::{self, Decision, Environment, Verdict};
use waypost_policy::failure::Failure;
use waypost_policy::rate::Counting;
use waypost_policy::request::IncomingRequest;
use waypost_policy::request_id::{RequestId, Uuid};
use waypost_policy::step::Step;
use waypost_policy::values::Circumstances;
use waypost_upstream::balance::hash;
use waypost_upstream::lease::Lease;
use waypost_upstream::local::LocalService;
use waypost_wire::framing::Framing;

use crate::local::Worker;
use crate::local::buffers::RequestBuffers;
use crate::local::observation::Observation;
use crate::local::snapshot::Snapshot;
use crate::observe::metrics::Side;
use crate::request::client::Client;
pub(crate) use crate::request::forward::attempt::outcome_of_cut;
pub(crate) use crate::request::forward::failure_of;
use crate::request::local::OnBehalf;
use crate::request::rest::Rest;

/// A request in progress, with everything that serves it.
pub(crate) struct ActiveRequest<'c> {
    pub(crate) client: &'c mut Client,
    pub(crate) buffers: &'c mut RequestBuffers,
    pub(crate) snapshot: &'c Rc<Snapshot>,
    /// The listener that accepted it.
    pub(crate) listener: &'c Listener,
    /// Bytes of the head, in front of the client's buffer.
    pub(crate) head_bytes: usize,
}

/// The next step of a connection after a request.
#[derive(Debug)]
pub(crate) enum Next {
    /// Another request.
    Request,
    /// Close after the rest of the request was discarded, so that the client can read the response.
    Linger,
    /// Close after the rest of the request was relayed to a service that has responded.
    Rest(Box<Rest>),
    /// Close.
    Close,
    /// The connection is a tunnel from now on.
    Tunnel(Box<Tunnel>),
}

/// The status that stands for a passed-through connection, which has none.
pub(crate) const PASSED_THROUGH: u16 = 200;

/// The service's end of a tunnel.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// The lease of the link to the service.
    pub(crate) lease: Lease,
    /// The status of the service's response; `None` for a connection that is passed through.
    pub(crate) status: Option<u16>,
    /// The idle timeout.
    pub(crate) idle: Duration,
}

/// The environment of decisions about live traffic.
pub(crate) struct LiveTraffic<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) observation: &'a mut Observation,
    /// The last roll.
    pub(crate) rolled: Cell<u64>,
}

/// The circumstances of a request.
pub(crate) struct Now<'a> {
    worker: &'a Worker,
    snapshot: &'a Snapshot,
    /// The time at which it came, if that is known.
    time: Option<Timestamp>,
}

impl LiveTraffic<'_> {
    fn now(&self) -> Now<'_> {
        Now {
            worker: self.worker,
            snapshot: self.snapshot,
            time: self.observation.time(),
        }
    }
}

impl Circumstances for LiveTraffic<'_> {
    fn new_id(&self) -> Uuid {
        self.now().new_id()
    }

    fn unix_seconds(&self) -> u64 {
        self.now().unix_seconds()
    }

    fn unix_ms(&self) -> u64 {
        self.now().unix_ms()
    }

    fn revision(&self) -> u64 {
        self.now().revision()
    }
}

impl Circumstances for Now<'_> {
    fn new_id(&self) -> Uuid {
        self.worker.new_id(self.time)
    }

    fn unix_seconds(&self) -> u64 {
        let time = self.time.unwrap_or_else(Timestamp::now);
        u64::try_from(time.as_second()).unwrap_or_default()
    }

    fn unix_ms(&self) -> u64 {
        let time = self.time.unwrap_or_else(Timestamp::now);
        u64::try_from(time.as_millisecond()).unwrap_or_default()
    }

    fn revision(&self) -> u64 {
        self.snapshot.generation.number()
    }
}

impl Environment for LiveTraffic<'_> {
    fn roll(&self) -> u64 {
        let roll = self.worker.roll();
        self.rolled.set(roll);
        roll
    }

    fn new_cookie(&self) -> Option<[u64; 2]> {
        Some([self.worker.roll(), self.worker.roll()])
    }

    fn has_endpoint(&self, service: ServiceId) -> bool {
        self.snapshot.generation.service(service).has_endpoints()
    }

    fn nanos(&self) -> u64 {
        self.snapshot.generation.nanos(self.worker.clock().coarse_now())
    }

    fn counting(&self) -> Counting {
        Counting::Counts
    }

    fn found(&mut self, position: usize) {
        // Before the route itself is touched, so that the core overlaps both cache misses.
        self.observation.set_route(position);
    }
}

impl LiveTraffic<'_> {
    /// Notes the decision.
    pub(crate) fn note(&mut self, decision: &Decision<'_>) {
        let plan = self.snapshot.generation.plan();
        let Some(route) = decision.route.map(|route| &plan.routes()[route]) else {
            return;
        };
        self.observation.set_route_name(&route.matching.name);
        if let (Some((arm, choice)), Some(forward)) = (decision.arm, route.forward()) {
            let roll = match choice {
                ArmChoice::Forced(_) => None,
                ArmChoice::Cohort(roll) => Some(roll),
                ArmChoice::Dice { .. } => Some(self.rolled.get()),
            };
            let service = &plan.service(forward.arms[arm]).name;
            self.observation.set_arm(arm, roll, service);
        }
    }
}

impl LiveTraffic<'_> {
    /// Notes who sends the request.
    fn note_auth(&mut self, judged: &Judged, decision: &Decision<'_>) {
        self.observation.set_identity(judged.identity.as_ref());
        let plan = self.snapshot.generation.plan();
        if let Some(route) = decision.route.map(|route| &plan.routes()[route]) {
            let recorder = self.worker.recorder();
            recorder.count_auth(&route.matching.name, judged.kind, judged.result);
        }
    }
}

impl ActiveRequest<'_> {
    /// Serves the request, whose head is parsed.
    pub(crate) async fn serve(&mut self) -> Next {
        self.buffers.note_kind();
        self.buffers.decision.forget();
        self.keep_head();
        let normalized = self.normalize();
        let secret = self.snapshot.generation.compiled().secret_queries();
        self.client.observation.note_request(self.buffers, secret);
        if let Err(failure) = normalized {
            let of = self.of_listener();
            return self.fail(failure, of).await;
        }
        // A body that was announced as empty is waited for to its end, also where the gateway responds itself.
        if self.buffers.head.framing() == Framing::Length(0) {
            let of = self.of_listener();
            if let Some(next) = self.refuse_unsound(of).await {
                return next;
            }
        }
        if let Some(key_authorization) = self.asked_challenge() {
            return in_place(|| self.answer_challenge(&key_authorization)).await;
        }
        let snapshot = Rc::clone(self.snapshot);
        let mut decision = self.decide(&snapshot);
        if let Verdict::Wait(way) = decision.verdict {
            decision = match in_place(|| self.decide_later(way, &decision, &snapshot)).await {
                Ok(decision) => decision,
                Err(next) => return next,
            };
        }
        let route = decision.route.map_or("", |route| {
            &*snapshot.generation.plan().routes()[route].matching.name
        });
        let of = OnBehalf {
            route,
            policies: decision.policies(self.listener),
        };
        match decision.verdict {
            Verdict::Fail(failure) => self.fail(failure, of).await,
            Verdict::Redirect { status } => self.redirect(status, of).await,
            Verdict::Respond(respond) => {
                if decision.stopped == Some(Step::Cors) && !self.buffers.decision.cors.is_granted() {
                    self.client.observation.deny_preflight(&self.client.worker);
                }
                self.respond(respond, of).await
            }
            Verdict::Forward(forwarding) => self.forward(forwarding, decision.route).await,
            // A decision waits once at most.
            Verdict::Wait(_) => self.fail(Failure::AuthUnavailable, of).await,
        }
    }

    /// Keeps the head where error pages have values of the request in them: it may be gone when they are sent.
    fn keep_head(&mut self) {
        let buffers = &mut *self.buffers;
        buffers.kept_head.clear();
        if self.snapshot.generation.compiled().pages_have_values() {
            let head = buffers.from_client.filled().get(..self.head_bytes);
            buffers.kept_head.extend_from_slice(head.unwrap_or_default());
        }
    }

    /// Brings the request into its normal form.
    fn normalize(&mut self) -> Result<(), Failure> {
        let RequestBuffers {
            head,
            from_client,
            normalized,
            decision,
            ..
        } = &mut *self.buffers;
        let scratch = &mut decision.scratch;
        normalized.fill(
            self.listener,
            &self.client.peer,
            head,
            from_client.filled(),
            scratch,
        )
    }

    /// The answer to the challenge that the request asks for in clear text; `None` if it asks for none.
    fn asked_challenge(&self) -> Option<Box<str>> {
        let challenges = self.snapshot.generation.challenges();
        if !challenges.any() || self.listener.terminates_tls() {
            return None;
        }
        let method = self.buffers.head.method(self.buffers.from_client.filled());
        let normalized = &self.buffers.normalized;
        challenges.response(method, normalized.matched_host(), normalized.path())
    }

    /// Decides what happens to the request.
    fn decide<'p>(&mut self, snapshot: &'p Snapshot) -> Decision<'p> {
        let RequestBuffers {
            head,
            from_client,
            normalized,
            decision: buffers,
            demands_upgrade,
            ..
        } = &mut *self.buffers;
        let request = IncomingRequest {
            head,
            buffer: from_client.filled(),
            normalized,
            peer: &self.client.peer,
            listener: self.listener,
            query: head.query(from_client.filled()),
            demands_upgrade: *demands_upgrade,
        };
        let mut live = LiveTraffic {
            worker: &self.client.worker,
            snapshot,
            observation: &mut self.client.observation,
            rolled: Cell::default(),
        };
        let decision = decision::decide(snapshot.generation.compiled(), &request, &mut live, buffers);
        live.note(&decision);
        if buffers.rate.is_over()
            && let Some(route) = decision.route
        {
            let worker = &self.client.worker;
            worker.with_counters(snapshot, route, Side::Gateway, |counters| {
                counters.count_limited();
            });
        }
        if let Some(judged) = &buffers.judged {
            live.note_auth(judged, &decision);
        }
        if let Some(id) = buffers.request_id.get() {
            self.client.observation.note_id(id);
        }
        decision
    }

    /// The id that services and clients get, if the listener sends one.
    fn sent_id(&self) -> Option<RequestId<'_>> {
        let client = self.buffers.normalized.client();
        self.buffers.decision.sent_id(self.listener, client)
    }

    /// The request, as rules see it.
    fn incoming(&self) -> IncomingRequest<'_> {
        IncomingRequest {
            head: &self.buffers.head,
            buffer: self.buffers.from_client.filled(),
            normalized: &self.buffers.normalized,
            peer: &self.client.peer,
            listener: self.listener,
            query: self.buffers.head.query(self.buffers.from_client.filled()),
            demands_upgrade: self.buffers.demands_upgrade,
        }
    }

    /// The circumstances of the request.
    fn now(&self) -> Now<'_> {
        Now {
            worker: &self.client.worker,
            snapshot: self.snapshot,
            time: self.client.observation.time(),
        }
    }

    /// The hash of the value by which `service` balances its requests, if it has one.
    fn balance_key(&self, service: &LocalService, scratch: &mut Vec<u8>) -> Option<u64> {
        let Balance::Hash(key) = &service.declared().balance else {
            return None;
        };
        let request = self.incoming();
        let fields = request.fields();
        balance::value(key, &request.conditions(&fields), scratch).map(hash::key)
    }

    /// Returns true if the client's connection may stay open after this request.
    fn may_keep_alive(&self) -> bool {
        self.buffers.head.keeps_alive() && !self.client.worker.is_closing(self.client.listener_id)
    }
}

/// Returns true if a request may be sent again when the fate of the first attempt is unknown (RFC 9110 §9.2.2): its method
/// is one of [`waypost_plan::retry::IDEMPOTENT`].
fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE")
}

/// Constructs a future in its box: `Box::pin` would construct it on the stack and copy its kilobytes.
#[inline(always)]
pub(crate) fn in_place<F: Future>(future: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::into_pin(Box::write(Box::new_uninit(), future()))
}
