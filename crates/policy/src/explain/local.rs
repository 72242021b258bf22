//! The responses of the gateway itself.

use waypost_plan::listener::Listener;
use waypost_plan::policies::PolicySet;
use waypost_plan::route::Route;
use waypost_wire::request::RequestHead;
use waypost_wire::version::Version;

use super::{Explainer, Explanation, Outcome, ShownPage, State, headers_of, origins};
use crate::decision::DecisionBuffers;
use crate::decision::place::ValuePlace;
use crate::error_format::ErrorFormat;
use crate::error_page::{Page, PageScope};
use crate::failure::Failure;
use crate::head::edits::{DebugHeaders, KeepAlive};
use crate::head::local::LocalResponse;

impl<S: State> Explainer<'_, S> {
    /// Explains the response for a failure.
    pub(super) fn failure(
        &self,
        failure: Failure,
        route: Option<&Route>,
        listener: &Listener,
        buffers: &DecisionBuffers,
        policies: &PolicySet,
    ) -> Explanation {
        let outcome = match failure {
            Failure::HostNotServed | Failure::NoRoute => Outcome::NotFound,
            Failure::Misdirected
            | Failure::AccessDenied
            | Failure::RateLimited { .. }
            | Failure::NoCredentials
            | Failure::BadCredentials
            | Failure::NotAllowed => Outcome::Refused,
            failure if failure.closes() => Outcome::Refused,
            _ => Outcome::Unavailable,
        };
        let format = if self.is_parsed {
            ErrorFormat::of(&self.head, self.buffer)
        } else {
            ErrorFormat::Text
        };
        let mut out = Vec::new();
        let local = self.local(route, !failure.closes(), listener, buffers);
        let mut page = PageScope::of(policies, self.compiled).of_failure(failure, &format);
        self.fill(page.as_mut(), listener, buffers);
        match &page {
            Some(page) => local.write_page(page, Some(failure), &policies.response_headers, &mut out),
            None => local.write_failure(failure, &format, &policies.response_headers, &mut out),
        };
        let status = format.status(failure).http_status();
        Explanation {
            status: Some(page.as_ref().map_or(status, |page| page.status)),
            reason: Some(failure.message()),
            page: page.map(|page| shown(&page, failure.status(), route, listener)),
            ..self.blank(outcome, route, headers_of(&out))
        }
    }

    /// Fills values of the request into a page. One that cannot be read has those of its connection alone.
    pub(super) fn fill(&self, page: Option<&mut Page<'_>>, listener: &Listener, buffers: &DecisionBuffers) {
        let Some(page) = page else { return };
        let unread = RequestHead::default();
        let request = self.readable(listener, &unread);
        let place = ValuePlace::of(self.compiled.plan(), buffers);
        let values = place.values(&request, self.state, &buffers.request_id);
        page.fill(&values.known_as(buffers.identity()));
    }

    /// A local response in the name of `route`. It has no date: the explanation is about the rules, whenever it is asked
    /// for.
    pub(super) fn local<'r>(
        &'r self,
        route: Option<&'r Route>,
        is_open: bool,
        listener: &Listener,
        buffers: &'r DecisionBuffers,
    ) -> LocalResponse<'r> {
        let debug = self.compiled.plan().settings().debug_headers;
        // A question without a host is written as HTTP/1.0, but does not stand for a client of that version.
        let asks_to_close =
            self.is_parsed && self.head.version() == Version::Http11 && !self.head.keeps_alive();
        LocalResponse {
            keep_alive: KeepAlive::when(is_open && !asks_to_close, Version::Http11),
            to_head: false,
            filled_lines: buffers.filled.response_lines(),
            filled_body: buffers.filled.body(),
            rate: buffers.rate.fields(),
            challenges: buffers.filled.challenges(),
            request_id: buffers.sent_id(listener, self.normalized.client()),
            debug: debug.then(|| DebugHeaders {
                revision: self.state.revision(),
                route: route.map_or("", |route| &*route.matching.name),
            }),
            date: None,
            cors: buffers.cors.lines(),
        }
    }
}

/// A page in place of an error with the status `replaces`.
pub(super) fn shown(page: &Page<'_>, replaces: u16, route: Option<&Route>, listener: &Listener) -> ShownPage {
    let from = match page.source {
        None => origins::TOP.to_owned(),
        Some(source) => origins::name(source, route, listener),
    };
    ShownPage {
        from,
        replaces,
        file: page.configured.file().map(str::to_owned),
    }
}
