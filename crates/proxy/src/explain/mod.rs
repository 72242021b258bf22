//! What becomes of a request, and for every other route why not.
//!
//! The question is written as the bytes of a request and goes through the very functions that traffic goes
//! through, so that the answer cannot differ from what happens.

mod answer;
mod question;

use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::listener::{Listener, ListenerTls};
use waypost_plan::redirect::{Redirect, Scheme};
use waypost_plan::route::{Action, Forward, Route};
use waypost_plan::service::ServiceId;
use waypost_route::explain::Scope;
use waypost_route::path::PathPattern;
use waypost_route::request::Request;
use waypost_route::split::Split;
use waypost_route::table::{Found, Scratch, Table};
use waypost_wire::field::{self, Version};
use waypost_wire::request::RequestHead;
use waypost_wire::scan::{HeadEnd, HeadScan};

use crate::answer::{Envelope, ErrorForm, Failure};
use crate::arm::{self, Decider};
use crate::client::peer::Peer;
use crate::client_head::{DebugHeaders, Persistence};
use crate::decide::{self, Facts, FieldLines};
use crate::generation::Generation;
use crate::service_head::ServiceHead;

pub use answer::{Answer, Arm, Because, Considered, Outcome};
pub use question::{Question, QuestionError};

/// Says what becomes of a request.
///
/// # Errors
/// When the question names a listener that does not exist, or could not be sent as one request.
pub fn explain(generation: &Generation, question: &Question) -> Result<Answer, QuestionError> {
    let (buffer, host_named) = question.bytes()?;
    let listener = question.listener(generation)?;
    let mut asked = Asked {
        generation,
        question,
        buffer: &buffer,
        head: RequestHead::default(),
        parsed: false,
        facts: Facts::default(),
        peer: question.peer(),
    };
    // Without a listener named, the host decides; until it is known, the first one's limits are as good as any.
    let first = listener.unwrap_or(&generation.plan().listeners()[0]);
    let refused = asked.read(first).err();
    let chosen = match listener {
        Some(listener) => listener,
        None => {
            let serving = generation
                .plan()
                .listeners()
                .iter()
                .find(|listener| listener.serves(asked.facts.host()));
            serving.map_or(first, |listener| &**listener)
        }
    };
    // Another listener may read the path otherwise.
    let refused = if std::ptr::eq(chosen, first) {
        refused
    } else {
        asked.read(chosen).err()
    };
    if let Some(error) = refused {
        let mut answer = asked.failure(Failure::Request(error), None);
        if !host_named {
            answer.host = None;
        }
        return Ok(answer);
    }
    Ok(asked.answer(chosen))
}

/// A question on its way through the gateway.
struct Asked<'a> {
    generation: &'a Generation,
    question: &'a Question,
    buffer: &'a [u8],
    head: RequestHead,
    /// Whether `head` has been read to its end.
    parsed: bool,
    facts: Facts,
    peer: Peer,
}

impl Asked<'_> {
    fn read(&mut self, listener: &Listener) -> Result<(), waypost_wire::request::RequestError> {
        let limits = decide::head_limits(listener);
        let end = HeadScan::default().advance(self.buffer)?;
        let end = end.ok_or(waypost_wire::request::RequestError::RequestLine)?;
        self.parsed = false;
        self.head.parse(self.buffer, end, &limits)?;
        self.parsed = true;
        self.peer.scheme = if listener.ends_tls() {
            Scheme::Https
        } else {
            Scheme::Http
        };
        self.facts
            .establish(listener, &self.peer, &self.head, self.buffer, &mut Vec::new())
    }

    fn answer(&self, listener: &Listener) -> Answer {
        if decide::announces_too_much(listener, &self.head) {
            return self.failure(Failure::BodyTooLarge, None);
        }
        if !listener.serves(self.facts.host()) {
            return self.failure(Failure::HostNotServed, None);
        }
        if listener.tls == ListenerTls::PassesThrough {
            return self.pass_through();
        }
        if let Some(redirect) = &listener.redirect {
            let edits = HeaderEdits::default();
            return self.redirect(listener, None, redirect, &PathPattern::any(), &edits);
        }
        let fields = FieldLines {
            head: &self.head,
            buffer: self.buffer,
            peer: &self.peer,
        };
        let request = self.facts.request(&fields);
        let found = self.generation.table().find(&request, &mut Scratch::default());
        let mut answer = match found {
            None => self.failure(Failure::NoRoute, None),
            Some(found) => self.act(listener, found),
        };
        answer.considered = self.considered(self.generation.table(), &request);
        answer
    }

    /// What becomes of a connection that asks for the host of the request; of the rest of it, nothing is seen.
    fn pass_through(&self) -> Answer {
        let request = Request {
            host: self.facts.host(),
            path: b"/",
            query: None,
            method: b"",
            client_ip: self.peer.ip(),
            headers: &Vec::new(),
        };
        let table = self.generation.passing_through();
        let found = table.find(&request, &mut Scratch::default());
        let route = found.map(|found| (found, &self.generation.plan().routes()[found.route]));
        let mut answer = match route {
            Some((found, route)) => match &route.action {
                Action::Forward(forward) => {
                    let decider = arm::decider(&forward.policies, &request, &mut Vec::new(), &mut Vec::new());
                    self.with_arms(forward, decider, found, route, |id| match id {
                        Some(_) => self.blank(Outcome::Forward, Some(route), Vec::new()),
                        None => self.failure(Failure::NoEndpoint, Some(route)),
                    })
                }
                _ => self.failure(Failure::NoRoute, None),
            },
            None => Answer {
                status: None,
                headers: Vec::new(),
                ..self.failure(Failure::NoRoute, None)
            },
        };
        answer.considered = self.considered(table, &request);
        answer
    }

    fn act(&self, listener: &Listener, found: Found) -> Answer {
        let route = &self.generation.plan().routes()[found.route];
        let pattern = &route.matching.alternatives[found.alternative].path;
        let envelope = self.envelope(&route.matching.name, true);
        match &route.action {
            Action::Forward(forward) => self.forward(listener, route, forward, found),
            Action::Redirect(redirect) => {
                self.redirect(listener, Some(route), redirect, pattern, &route.response_headers)
            }
            Action::Respond(respond) => {
                let mut out = Vec::new();
                envelope.write_respond(respond, &route.response_headers, &mut out);
                Answer {
                    status: Some(respond.status),
                    ..self.blank(Outcome::Respond, Some(route), headers_of(&out))
                }
            }
        }
    }

    fn redirect(
        &self,
        listener: &Listener,
        route: Option<&Route>,
        redirect: &Redirect,
        pattern: &PathPattern,
        edits: &HeaderEdits,
    ) -> Answer {
        let url = self.facts.url(&self.head, self.buffer);
        let mut location = Vec::new();
        if redirect
            .location(&url, pattern, listener.paths, &mut location)
            .is_err()
        {
            return self.failure(Failure::Rewrite, route);
        }
        let name = route.map_or("", |route| &*route.matching.name);
        let mut out = Vec::new();
        self.envelope(name, true)
            .write_redirect(redirect.status, &location, edits, &mut out);
        let headers = headers_of(&out);
        let location = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("location"));
        Answer {
            status: Some(redirect.status),
            location: location.map(|(_, value)| value.clone()),
            ..self.blank(Outcome::Redirect, route, headers.clone())
        }
    }

    fn forward(&self, listener: &Listener, route: &Route, forward: &Forward, found: Found) -> Answer {
        let plan = self.generation.plan();
        let mut path = Vec::new();
        let pattern = &route.matching.alternatives[found.alternative].path;
        let rewritten =
            forward
                .policies
                .rewrite
                .path
                .apply(self.facts.path(), pattern, listener.paths, &mut path);
        let fields = FieldLines {
            head: &self.head,
            buffer: self.buffer,
            peer: &self.peer,
        };
        let decider = arm::decider(
            &forward.policies,
            &self.facts.request(&fields),
            &mut Vec::new(),
            &mut Vec::new(),
        );
        self.with_arms(forward, decider, found, route, |id| {
            if rewritten.is_err() {
                return self.failure(Failure::Rewrite, Some(route));
            }
            let Some(id) = id else {
                return self.failure(Failure::NoEndpoint, Some(route));
            };
            let endpoint = &plan.service(id).endpoints[0];
            let head = ServiceHead {
                head: &self.head,
                buffer: self.buffer,
                facts: &self.facts,
                listener,
                forward,
                peer: &self.peer,
                path: &path,
            };
            let mut out = Vec::new();
            head.write(endpoint.authority.as_bytes(), &mut out);
            let headers = headers_of(&out);
            let host = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
            Answer {
                host: host.map(|(_, value)| value.clone()),
                path: text(&path),
                ..self.blank(Outcome::Forward, Some(route), headers.clone())
            }
        })
    }

    /// What becomes of a request, or of a connection, between the arms of `forward`; `to` says what the service gets, if
    /// one has an endpoint.
    fn with_arms(
        &self,
        forward: &Forward,
        decider: Decider,
        found: Found,
        route: &Route,
        to: impl FnOnce(Option<ServiceId>) -> Answer,
    ) -> Answer {
        let plan = self.generation.plan();
        let live = self.generation.live_weights(found.route);
        let split = &Split::new(live.as_deref().unwrap_or(forward.split.weights()));
        // The arms that may get the request, by position.
        let candidates: Vec<usize> = match decider {
            Decider::Forced(arm) => vec![arm],
            Decider::Cohort(roll) => split.pick(roll).into_iter().collect(),
            Decider::Dice { .. } => {
                let weights = split.weights().iter().enumerate();
                weights
                    .filter(|(_, weight)| **weight > 0)
                    .map(|(arm, _)| arm)
                    .collect()
            }
        };
        let ready = candidates
            .iter()
            .map(|arm| forward.arms[*arm])
            .find(|id| !plan.service(*id).endpoints.is_empty());
        let mut answer = match ready {
            _ if candidates.is_empty() => self.failure(Failure::NoArm, Some(route)),
            ready => to(ready),
        };
        let name = |arm: usize| plan.service(forward.arms[arm]).name.to_string();
        match decider {
            _ if forward.arms.len() == 1 => answer.service = Some(name(0)),
            Decider::Forced(arm) => answer.service = Some(name(arm)),
            Decider::Cohort(_) | Decider::Dice { .. } => {
                let weights = split.weights().iter().enumerate();
                let arms = weights.map(|(arm, weight)| Arm {
                    service: name(arm),
                    weight: *weight,
                });
                answer.arms = Some(arms.collect());
            }
        }
        if let (Decider::Cohort(_), [arm]) = (decider, &candidates[..]) {
            answer.cohort = Some(name(*arm));
        }
        answer
    }

    fn failure(&self, failure: Failure, route: Option<&Route>) -> Answer {
        let outcome = match failure {
            Failure::HostNotServed | Failure::NoRoute => Outcome::NotFound,
            failure if failure.closes() => Outcome::Refused,
            _ => Outcome::Unavailable,
        };
        let mut out = Vec::new();
        let form = if self.parsed {
            ErrorForm::of(&self.head, self.buffer)
        } else {
            ErrorForm::Text
        };
        let route_name = route.map_or("", |route| &route.matching.name);
        self.envelope(route_name, !failure.closes())
            .write_failure(failure, &form, &mut out);
        Answer {
            status: Some(form.status(failure)),
            reason: Some(failure.message()),
            ..self.blank(outcome, route, headers_of(&out))
        }
    }

    fn envelope<'r>(&self, route: &'r str, keeps: bool) -> Envelope<'r> {
        let debug = self.generation.plan().settings().debug_headers;
        Envelope {
            persistence: Persistence::of(Version::Http11, keeps),
            to_head: false,
            debug: debug.then(|| DebugHeaders {
                revision: self.generation.number(),
                route,
            }),
            // The answer is about the rules, whenever it is asked for.
            clock: None,
        }
    }

    fn blank(&self, outcome: Outcome, route: Option<&Route>, headers: Vec<(String, String)>) -> Answer {
        Answer {
            outcome,
            status: None,
            reason: None,
            route: route.map(|route| route.matching.name.to_string()),
            service: None,
            arms: None,
            cohort: None,
            location: None,
            host: self.facts.host().map(text),
            path: text(self.facts.path()),
            query: self.head.query(self.buffer).map(text),
            headers,
            revision: None,
            considered: Vec::new(),
        }
    }

    fn considered(&self, table: &Table, request: &Request<'_>) -> Vec<Considered> {
        let scope = if self.question.all {
            Scope::All
        } else {
            Scope::HostCovers
        };
        let considered = table
            .explain(request, scope)
            .into_iter()
            .map(|considered| Considered {
                route: table.routes()[considered.route].name.to_string(),
                alternative: considered.alternative,
                matched: considered.failed.is_none(),
                because: considered.failed.map(|condition| Because {
                    condition: condition.name(),
                    wants: condition.wants(),
                    saw: condition.saw(request),
                }),
            });
        considered.collect()
    }
}

/// The fields of a head that has just been written.
fn headers_of(head: &[u8]) -> Vec<(String, String)> {
    let Ok(Some(HeadEnd {
        first_line_end, end, ..
    })) = HeadScan::default().advance(head)
    else {
        return Vec::new();
    };
    let head = &head[..end];
    let mut fields = Vec::new();
    // As many as there can be lines.
    if field::parse(head, first_line_end + 2, head.len() / 4 + 1, &mut fields).is_err() {
        return Vec::new();
    }
    fields
        .iter()
        .map(|field| (text(field.name.of(head)), text(field.value.of(head))))
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
