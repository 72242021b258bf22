//! The status of a request, and the one notion of a failed request.
//!
//! Metrics, statistics, the access log and rollouts all ask [`RequestStatus::has_failed`].

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
}

/// Bits of [`RequestStatus::key`] for the HTTP status.
const HTTP_BITS: u32 = 10;
/// The bit of [`RequestStatus::key`] for a failed request.
const FAILED: u16 = 1 << 15;

impl RequestStatus {
    /// The status of a response to a request that is no call. One of class 5xx is a failure.
    pub fn http(status: u16) -> Self {
        Self {
            http: status,
            grpc: None,
            failed: status >= 500,
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
        }
    }

    /// The status of an error response of the gateway: `http`, and `grpc` if it responds to a call. It is a failure if
    /// the same error is a 5xx over HTTP, and not the client's fault.
    pub fn error(failure: Failure, http: u16, grpc: Option<GrpcCode>) -> Self {
        Self {
            http,
            grpc,
            failed: failure.status() >= 500 && failure.blame() != Blame::Client,
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

    /// A number for this status: 10 bits for the HTTP status, 5 for the code, 1 for a failure. It is never `u16::MAX`.
    pub fn key(self) -> u16 {
        let code = self.grpc.map_or(0, |code| u16::from(code.number()) + 1);
        let failed = if self.failed { FAILED } else { 0 };
        self.http.min(999) | (code << HTTP_BITS) | failed
    }

    /// The status with this [`RequestStatus::key`].
    pub fn from_key(key: u16) -> Self {
        let code = ((key & !FAILED) >> HTTP_BITS).checked_sub(1);
        Self {
            http: key & ((1 << HTTP_BITS) - 1),
            grpc: code.and_then(|code| GrpcCode::new(code as u8)),
            failed: key & FAILED != 0,
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
    use super::*;
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
                for failed in [false, true] {
                    let status = RequestStatus { http, grpc, failed };
                    assert_eq!(RequestStatus::from_key(status.key()), status);
                    assert!(keys.insert(status.key()) && status.key() != u16::MAX);
                }
            }
        }
    }
}
