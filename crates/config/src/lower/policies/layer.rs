//! The policies that one place says: a policy, a listener or a route.

use std::sync::Arc;
use std::time::Duration;

use waypost_plan::access::{Access, BodyLimit};
use waypost_plan::auth::Auth;
use waypost_plan::cors::Cors;
use waypost_plan::error_pages::ErrorPage;
use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::policies::{RouteTimeouts, Upgrade};
use waypost_plan::rate::{Rate, RateScope};
use waypost_plan::retry::Retry;
use waypost_plan::rewrite::Rewrite;
use waypost_plan::set_cookie::SetCookie;

use super::{auth, cors, keys};
use crate::document;
use crate::either::Removable;
use crate::keys::At;
use crate::lower::pattern::Pattern;
use crate::lower::{Context, error_pages, header_edits, retry, rewrite, set_cookie};
use crate::place::Span;
use crate::problems::Problems;

/// A key as one place says it.
pub(super) struct Said<T> {
    pub(super) key: Span,
    pub(super) span: Span,
    /// `None` for `off`.
    pub(super) value: Option<T>,
}

/// A `retry`, with the place of the timeout of its attempts.
pub(super) struct PlacedRetry {
    pub(super) retry: Retry,
    pub(super) timeout: Option<Span>,
}

/// The keys that one place says.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) access: Option<Said<Access>>,
    pub(super) auth: Option<Said<Arc<Auth>>>,
    pub(super) rate: Option<Said<Arc<Rate>>>,
    pub(super) limits: Option<Said<BodyLimit>>,
    pub(super) rewrite: Option<Said<Rewrite>>,
    pub(super) request_headers: Option<Said<HeaderEdits>>,
    pub(super) response_headers: Option<Said<HeaderEdits>>,
    pub(super) timeout: Option<Said<Duration>>,
    pub(super) timeouts: Option<Said<RouteTimeouts>>,
    pub(super) retry: Option<Said<PlacedRetry>>,
    pub(super) hedge: Option<Said<Duration>>,
    pub(super) upgrade: Option<Said<Upgrade>>,
    pub(super) grpc_web: Option<Said<bool>>,
    pub(super) set_cookie: Option<Said<SetCookie>>,
    pub(super) cors: Option<Said<Arc<Cors>>>,
    pub(super) errors: Option<Said<Arc<[ErrorPage]>>>,
    /// True if `retry` could not be read, which is reported already.
    pub(super) is_retry_misread: bool,
}

impl Layer {
    /// Lowers the keys of a policy or a route, which `scope` is; `patterns` are those of the route.
    pub(super) fn of(
        written: &document::route::Policy,
        patterns: &[Pattern],
        scope: RateScope,
        context: &mut Context<'_>,
    ) -> Self {
        let rewrite = said(&written.rewrite, |given| {
            rewrite::rewrite(&given, patterns, context)
        });
        let errors = said(&written.errors, |given| {
            error_pages::of(given.value, patterns, context)
        });
        let auth = said(&written.auth, |given| auth::auth(&given, context));
        let problems = &mut *context.problems;
        if let (Some(Some(_)), Some(Some(edits))) = (
            written.cors.as_ref().map(|cors| cors.given()),
            written.response_headers.as_ref().map(|edits| edits.given()),
        ) {
            cors::report_edits(edits.value, problems);
        }
        let numbers = context.policies.rates();
        Self {
            auth,
            rate: said(&written.rate, |given| numbers.rate(&given, scope, problems)),
            rewrite,
            errors,
            request_headers: said(&written.request_headers, |given| {
                header_edits::of_requests(given.value, patterns, problems)
            }),
            response_headers: said(&written.response_headers, |given| {
                header_edits::of_responses(given.value, patterns, problems)
            }),
            timeout: said(&written.timeout, |given| keys::whole(&given, problems)),
            timeouts: said(&written.timeouts, |given| keys::timeouts(&given, problems)),
            limits: said(&written.limits, |given| keys::body_limit(&given)),
            access: said(&written.access, |given| keys::access(&given, problems)),
            retry: said(&written.retry, |given| PlacedRetry {
                retry: retry::retry(&given, problems),
                timeout: given.value.timeout.as_ref().map(|timeout| timeout.span),
            }),
            hedge: said(&written.hedge, |given| retry::hedge(&given, problems)),
            upgrade: said(&written.upgrade, |given| keys::upgrade(&given, problems)),
            grpc_web: said(&written.grpc_web, |given| *given.value),
            set_cookie: said(&written.set_cookie, |given| set_cookie::of(&given, problems)),
            cors: said(&written.cors, |given| Arc::new(cors::of(&given, problems))),
            is_retry_misread: written.retry.is_none() && written.given.keys().any(|key| key == "retry"),
        }
    }

    /// Lowers the keys of a listener.
    pub(super) fn of_listener(written: &document::listener::Listener, context: &mut Context<'_>) -> Self {
        let errors = said(&written.errors, |given| {
            error_pages::of(given.value, &[Pattern::everything()], context)
        });
        let auth = said(&written.auth, |given| auth::auth(&given, context));
        let problems = &mut *context.problems;
        let label = written.name.as_ref().or(written.bind.as_ref());
        let scope = RateScope::Listener(label.map_or("", |label| &*label.value).into());
        let numbers = context.policies.rates();
        let rate = said(&written.rate, |given| numbers.rate(&given, scope, problems));
        let mut edits = |written: &Option<Box<At<document::route::HeaderEdits>>>, lower: Lower| {
            let written = written.as_ref()?;
            Some(Said {
                key: written.key,
                span: written.span,
                value: Some(lower(&written.value, &[], problems)),
            })
        };
        Self {
            request_headers: edits(&written.request_headers, header_edits::of_requests),
            response_headers: edits(&written.response_headers, header_edits::of_responses),
            auth,
            cors: said(&written.cors, |given| Arc::new(cors::of(&given, problems))),
            errors,
            rate,
            ..Self::default()
        }
    }

    /// Returns true if nothing is left of an outer `key` with values of requests.
    pub(super) fn takes_away(&self, key: &str) -> bool {
        let is_off =
            |edits: &Option<Said<HeaderEdits>>| edits.as_ref().is_some_and(|said| said.value.is_none());
        match key {
            "rewrite" => self.rewrite.is_some(),
            "request_headers" => is_off(&self.request_headers),
            "errors" => self.errors.as_ref().is_some_and(|said| said.value.is_none()),
            _ => is_off(&self.response_headers),
        }
    }

    /// Returns true if nothing is said.
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            access,
            auth,
            rate,
            limits,
            rewrite,
            request_headers,
            response_headers,
            timeout,
            timeouts,
            retry,
            hedge,
            upgrade,
            grpc_web,
            set_cookie,
            cors,
            errors,
            is_retry_misread,
        } = self;
        access.is_none()
            && auth.is_none()
            && rate.is_none()
            && limits.is_none()
            && rewrite.is_none()
            && request_headers.is_none()
            && response_headers.is_none()
            && timeout.is_none()
            && timeouts.is_none()
            && retry.is_none()
            && hedge.is_none()
            && upgrade.is_none()
            && grpc_web.is_none()
            && set_cookie.is_none()
            && cors.is_none()
            && errors.is_none()
            && !is_retry_misread
    }
}

/// Lowers edits of headers.
type Lower = fn(&document::route::HeaderEdits, &[Pattern], &mut Problems) -> HeaderEdits;

/// Lowers a key, unless it is `off`.
pub(super) fn said<W, T>(
    written: &Option<Box<At<Removable<W>>>>,
    lower: impl FnOnce(At<&W>) -> T,
) -> Option<Said<T>> {
    let written = written.as_deref()?;
    Some(Said {
        key: written.key,
        span: written.span,
        value: written.given().map(lower),
    })
}
