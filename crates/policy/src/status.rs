//! The status of a request, and the one notion of a failed request.
//!
//! Metrics, statistics and the access log ask [`RequestStatus::has_failed`]; rollouts [`RequestStatus::kind`], which is the
//! same unless a plan has a rule of its own.

use waypost_plan::failures::FailureRule;
use waypost_wire::grpc::GrpcCode;

use crate::failure::{Blame, Cause, Failure};

/// The status of a request that has ended, as it is counted and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct RequestStatus {
    /// The HTTP status; 0 without a response, whose client had disconnected.
    http: u16,
    /// The status of a gRPC or gRPC-Web call; `None` for any other request.
    grpc: Option<GrpcCode>,
    /// True if the request failed.
    failed: bool,
    /// True if the gateway responded in place of the service; not told apart for calls.
    is_own: bool,
}

/// The kind of a request, by which arms are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusKind {
    /// None of the others.
    Fine,
    /// It failed.
    Failed,
    /// The client is to blame: a response of class 4xx, or a call with a code that says so.
    ClientError,
    /// Its client left.
    Abandoned,
}

/// Bits of [`RequestStatus::key`] for the HTTP status.
const HTTP_BITS: u32 = 10;
/// The bit of [`RequestStatus::key`] for a failed request.
const FAILED: u16 = 1 << 15;
/// Stands in place of a code for responses of the gateway's own.
const OWN: u16 = 31;

impl RequestStatus {
    /// The status of a response to a request that is no call. One of class 5xx is a failure.
    pub fn http(status: u16) -> Self {
        Self {
            http: status,
            grpc: None,
            failed: status >= 500,
            is_own: false,
        }
    }

    /// The status of a response to a call. `code` is its `grpc-status`; without one, the HTTP status gives the code, as it
    /// does for clients of gRPC. The codes that blame the server are failures.
    pub fn call(status: u16, code: Option<GrpcCode>) -> Self {
        let code = code.unwrap_or_else(|| of_http(status));
        Self {
            http: status,
            grpc: Some(code),
            failed: blames_server(code),
            is_own: false,
        }
    }

    /// The status of an error response of the gateway: `http`, and `grpc` if it responds to a call. It is a failure if
    /// the same error is a 5xx over HTTP, and not the client's fault.
    pub fn error(failure: Failure, http: u16, grpc: Option<GrpcCode>) -> Self {
        Self {
            http,
            grpc,
            failed: failure.status() >= 500 && failure.blame() != Blame::Client,
            is_own: grpc.is_none(),
        }
    }

    /// The status of a refusal that a service which was asked gave: `http` as it is, and `grpc` of a call. It is no failure.
    pub fn refused(http: u16, grpc: Option<GrpcCode>) -> Self {
        Self {
            http,
            grpc,
            failed: false,
            is_own: false,
        }
    }

    /// This status, of a response that was cut: a failure whatever it said, unless the client is to blame.
    pub fn cut(self, cause: Cause) -> Self {
        let by_client = cause.blame() == Blame::Client;
        Self {
            grpc: self
                .grpc
                .map(|code| if by_client { GrpcCode::CANCELLED } else { code }),
            failed: !by_client,
            ..self
        }
    }

    /// This status, of a response that an error page takes the place of: the client gets `http`, and it fails if the
    /// service's response does.
    pub fn replaced(self, http: u16) -> Self {
        Self { http, ..self }
    }

    /// The HTTP status; 0 without a response, whose client had disconnected.
    pub fn http_status(self) -> u16 {
        self.http
    }

    /// The code of a gRPC or gRPC-Web call; `None` for any other request.
    pub fn grpc_code(self) -> Option<GrpcCode> {
        self.grpc
    }

    /// Returns true if the request failed at the service, or at the gateway in its place.
    pub fn has_failed(self) -> bool {
        self.failed
    }

    /// The kind of the request, with these failures; RESOURCE_EXHAUSTED counts as a 429 does. Without a rule of its own, a plan has the failures of
    /// [`RequestStatus::has_failed`].
    pub fn kind(self, rule: &FailureRule) -> StatusKind {
        let is_cut = self.failed && !self.is_own && self.grpc.is_none() && self.http < 500;
        // A call is judged by its code, and by its HTTP status where that is an error.
        let http = match self.grpc {
            Some(GrpcCode::RESOURCE_EXHAUSTED) if self.http == 200 => 429,
            _ => self.http,
        };
        let has_status = !is_cut && (self.grpc.is_none() || http != 200);
        if has_status && rule.exclude.contains(http) {
            return StatusKind::Fine;
        }
        let is_listed = has_status && rule.statuses.contains(http);
        let fails_anyway = self.failed && (is_cut || self.is_own || self.grpc.is_some());
        if is_listed || fails_anyway {
            return StatusKind::Failed;
        }
        match self.grpc {
            Some(GrpcCode::CANCELLED) => StatusKind::Abandoned,
            Some(GrpcCode::OK) => StatusKind::Fine,
            Some(_) => StatusKind::ClientError,
            None if self.http == 0 => StatusKind::Abandoned,
            None if (400..500).contains(&self.http) => StatusKind::ClientError,
            None => StatusKind::Fine,
        }
    }

    /// A number for this status: 10 bits for the HTTP status, 5 for the code, 1 for a failure. It is never `u16::MAX`.
    pub fn key(self) -> u16 {
        let code = match self.grpc {
            Some(code) => u16::from(code.number()) + 1,
            None if self.is_own => OWN,
            None => 0,
        };
        let failed = if self.failed { FAILED } else { 0 };
        self.http.min(999) | (code << HTTP_BITS) | failed
    }

    /// The status with this [`RequestStatus::key`].
    pub fn from_key(key: u16) -> Self {
        let code = (key & !FAILED) >> HTTP_BITS;
        let number = code.checked_sub(1).filter(|_| code != OWN);
        Self {
            http: key & ((1 << HTTP_BITS) - 1),
            grpc: number.and_then(|number| GrpcCode::new(number as u8)),
            failed: key & FAILED != 0,
            is_own: code == OWN,
        }
    }
}

/// Returns true for the codes that are failures of the server. RESOURCE_EXHAUSTED counts as a 429 does, the others as
/// statuses of class 4xx.
fn blames_server(code: GrpcCode) -> bool {
    matches!(
        code,
        GrpcCode::UNKNOWN
            | GrpcCode::DEADLINE_EXCEEDED
            | GrpcCode::UNIMPLEMENTED
            | GrpcCode::INTERNAL
            | GrpcCode::UNAVAILABLE
            | GrpcCode::DATA_LOSS
    )
}

/// The code of a call whose response has no `grpc-status` ("HTTP to gRPC Status Code Mapping", gRPC documentation).
fn of_http(status: u16) -> GrpcCode {
    match status {
        400 => GrpcCode::INTERNAL,
        401 => GrpcCode::UNAUTHENTICATED,
        403 => GrpcCode::PERMISSION_DENIED,
        404 => GrpcCode::UNIMPLEMENTED,
        429 | 502..=504 => GrpcCode::UNAVAILABLE,
        _ => GrpcCode::UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::*;
    use waypost_plan::failures::StatusSet;
    use waypost_wire::request::RequestError;
    use waypost_wire::response::fault::{ResponseFault, ResponseRule};

    #[test]
    fn server_faults_are_failures() {
        for code in 0..=16 {
            let failed = matches!(code, 2 | 4 | 12..=15);
            let status = RequestStatus::call(200, GrpcCode::new(code));
            assert_eq!(status.has_failed(), failed, "{code}");
        }
        for status in [0, 101, 200, 404, 429, 499] {
            assert!(!RequestStatus::http(status).has_failed(), "{status}");
        }
        for status in [500, 503, 599] {
            assert!(RequestStatus::http(status).has_failed(), "{status}");
        }
    }

    #[test]
    fn call_without_a_status_is_judged_by_http() {
        for (status, code, failed) in [
            (200, 2, true),
            (400, 13, true),
            (401, 16, false),
            (403, 7, false),
            (404, 12, true),
            (418, 2, true),
            (429, 14, true),
            (503, 14, true),
        ] {
            let call = RequestStatus::call(status, None);
            let found = call.grpc_code().map(GrpcCode::number);
            assert_eq!((found, call.has_failed()), (Some(code), failed), "{status}");
        }
    }

    #[test]
    fn cut_is_a_failure_unless_the_client_is_to_blame() {
        for cause in [
            Cause::ResponseIncomplete,
            Cause::ResponseMalformed(ResponseFault::of(ResponseRule::ChunkSize)),
            Cause::ResponseStalled,
            Cause::Failed(Failure::RouteTimeout),
        ] {
            assert!(RequestStatus::http(200).cut(cause).has_failed(), "{cause:?}");
            let call = RequestStatus::call(200, Some(GrpcCode::OK)).cut(cause);
            assert!(call.has_failed(), "{cause:?}");
        }
        for cause in [
            Cause::ClientReset,
            Cause::ClientStalled,
            Cause::Failed(Failure::BodyTimeout),
        ] {
            assert!(!RequestStatus::http(200).cut(cause).has_failed(), "{cause:?}");
            let call = RequestStatus::call(200, None).cut(cause);
            assert_eq!(
                (call.grpc_code(), call.has_failed()),
                (Some(GrpcCode::CANCELLED), false)
            );
        }
    }

    #[test]
    fn errors_of_the_gateway_fail_alike_over_http_and_grpc() {
        for (failure, failed) in [
            (Failure::NoEndpoint, true),
            (Failure::RouteTimeout, true),
            (Failure::NoArm, true),
            (Failure::NoRoute, false),
            (Failure::BodyTimeout, false),
            (Failure::BodyTooLarge, false),
            (Failure::Request(RequestError::Method), false),
        ] {
            let http = RequestStatus::error(failure, failure.status(), None);
            let call = RequestStatus::error(failure, 200, Some(failure.grpc_code()));
            assert_eq!(
                (http.has_failed(), call.has_failed()),
                (failed, failed),
                "{failure:?}"
            );
        }
    }

    #[test]
    fn keys_are_distinct() {
        let mut keys = std::collections::HashSet::new();
        for http in [0, 1, 101, 200, 503, 999] {
            for grpc in std::iter::once(None).chain((0..=16).map(GrpcCode::new)) {
                for (failed, is_own) in [(false, false), (true, false), (false, true), (true, true)] {
                    if is_own && grpc.is_some() {
                        continue;
                    }
                    let status = RequestStatus {
                        http,
                        grpc,
                        failed,
                        is_own,
                    };
                    assert_eq!(RequestStatus::from_key(status.key()), status);
                    assert!(keys.insert(status.key()) && status.key() != u16::MAX);
                }
            }
        }
    }

    fn rule(statuses: &[RangeInclusive<u16>], exclude: &[RangeInclusive<u16>]) -> FailureRule {
        let mut rule = FailureRule::default();
        if !statuses.is_empty() {
            rule.statuses = StatusSet::default();
        }
        statuses.iter().for_each(|one| rule.statuses.add(one.clone()));
        exclude.iter().for_each(|one| rule.exclude.add(one.clone()));
        rule
    }

    /// Statuses of each kind.
    fn samples() -> Vec<(&'static str, RequestStatus)> {
        let http = RequestStatus::http;
        let call = |status, code| RequestStatus::call(status, GrpcCode::new(code));
        let own = |failure: Failure| RequestStatus::error(failure, failure.status(), None);
        vec![
            ("left", http(0)),
            ("200", http(200)),
            ("404", http(404)),
            ("429", http(429)),
            ("501", http(501)),
            ("503", http(503)),
            ("cut 200", http(200).cut(Cause::ResponseIncomplete)),
            ("cut 404", http(404).cut(Cause::ServiceReset)),
            ("own 502", own(Failure::ConnectionRefused)),
            ("own 504", own(Failure::ResponseTimeout)),
            ("ok", call(200, 0)),
            ("cancelled", call(200, 1)),
            ("not found", call(200, 5)),
            ("exhausted", call(200, 8)),
            ("unimplemented", call(200, 12)),
            ("unavailable", call(200, 14)),
            ("call 503", RequestStatus::call(503, None)),
        ]
    }

    #[test]
    fn plans_without_a_rule_count_what_has_failed() {
        for (name, status) in samples() {
            let kind = status.kind(&FailureRule::default());
            assert_eq!(kind == StatusKind::Failed, status.has_failed(), "{name}");
            let expected = match name {
                "left" | "cancelled" => StatusKind::Abandoned,
                "404" | "429" | "not found" | "exhausted" => StatusKind::ClientError,
                "200" | "ok" => StatusKind::Fine,
                _ => StatusKind::Failed,
            };
            assert_eq!(kind, expected, "{name}");
        }
    }

    #[test]
    fn rules_change_which_responses_fail() {
        let check = |rule: FailureRule, changed: &[(&str, StatusKind)]| {
            for (name, status) in samples() {
                let changed = changed.iter().find(|(other, _)| *other == name);
                let expected = changed.map_or(status.kind(&FailureRule::default()), |(_, kind)| *kind);
                assert_eq!(status.kind(&rule), expected, "{name} by {rule:?}");
            }
        };
        use StatusKind::{Failed, Fine};
        check(
            rule(&[500..=599, 429..=429], &[501..=501]),
            &[("429", Failed), ("exhausted", Failed), ("501", Fine)],
        );
        check(rule(&[], &[501..=501]), &[("501", Fine)]);
        // What never came, or was cut, fails whatever is listed.
        check(rule(&[501..=501], &[]), &[("503", Fine)]);
        check(
            rule(&[], &[500..=599]),
            &[
                ("501", Fine),
                ("503", Fine),
                ("own 502", Fine),
                ("own 504", Fine),
                ("call 503", Fine),
            ],
        );
        check(
            rule(&[400..=499], &[404..=404, 504..=504]),
            &[
                ("404", Fine),
                ("429", Failed),
                ("exhausted", Failed),
                ("501", Fine),
                ("503", Fine),
                ("own 504", Fine),
            ],
        );
    }
}
