//! Health of a service's endpoints.

use waypost_plan::health::FailureKind;

use crate::collections::{Named, NonEmptyList, OneOrMany};
use crate::document::Document;
use crate::either::TrueOrText;
use crate::keys::Presence::{Default as Fallback, Optional};
use crate::keys::keys;
use crate::numbers::Whole;
use crate::statuses::StatusRange;
use crate::times::{DurationText, TimeoutText};
use crate::values::{Text, words};

/// The standing of an endpoint before its first check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Initially {
    /// It takes requests.
    Healthy,
    /// It takes none.
    Unhealthy,
}

words! {
    Initially { "healthy" => Initially::Healthy, "unhealthy" => Initially::Unhealthy }
    FailureKind {
        "connect" => FailureKind::Connect,
        "reset" => FailureKind::Reset,
        "timeout" => FailureKind::Timeout,
        "5xx" => FailureKind::ServerError,
        "grpc" => FailureKind::Grpc,
    }
}

keys! {
    root Document;

    /// Checks of the endpoints, with the TLS and the protocol of requests. One of `path`, `grpc` and `tcp` says what is asked.
    ///
    /// An endpoint is checked as soon as it is known, and the first check decides alone. One that fails its checks takes no
    /// requests while there are others; those that it has under way go on.
    HealthCheck, "the `health` of a service" {
        /// Path of an HTTP request, with or without a query.
        path: Text = Optional, "/healthz";
        /// Asks `grpc.health.v1.Health/Check` over HTTP/2: `true` about the server as a whole, or about a service of it.
        grpc: TrueOrText = Optional, "orders.v1.Orders";
        /// Connects only, with the TLS handshake of `https://` endpoints.
        tcp: bool = Fallback("false"), "true";
        /// Time from the end of a check to the next, give or take a tenth.
        interval: DurationText = Fallback("10s"), "2s";
        /// Timeout of a check.
        timeout: TimeoutText = Fallback("2s"), "500ms";
        /// Failed checks in a row by which an endpoint goes down.
        unhealthy: Whole = Fallback("3"), "2";
        /// Passed checks in a row by which it comes up again.
        healthy: Whole = Fallback("2"), "1";
        /// Statuses of a healthy endpoint: single ones, ranges such as `200-299`, or classes such as `2xx`. Only with `path`.
        status: OneOrMany<StatusRange> = Fallback("[200-299]"), "[200-299, 401]";
        /// Method of the request. Only with `path`.
        method: Text = Fallback("GET"), "HEAD";
        /// Host of the request; the service's `host` if that is a fixed one, else that of the endpoint's URL. Only with
        /// `path` or `grpc`.
        host: Text = Optional, "orders.internal";
        /// Header fields of the request. Only with `path` or `grpc`.
        headers: Named<Text> = Optional, "{ x-probe: waypost }";
        /// Another port of the endpoint to check.
        port: Whole = Optional, "9000";
        /// Standing of an endpoint before its first check.
        initially: Initially = Fallback("healthy"), "unhealthy";
    }

    /// Ejection of endpoints by the outcomes of requests: for a while, an endpoint takes none while there are others.
    ///
    /// Without the key, an endpoint is ejected for 10s, or until a connection succeeds, when one fails.
    Ejection, "the `eject` of a service" {
        /// Failures in a row, of any kind in `of` and seen by any worker. Defaults to 5, but to none beside `rate`.
        failures: Whole = Optional, "5";
        /// Share of failures among the requests of the `window`, in percent. With `failures` too, either ejects.
        rate: Whole = Optional, "50";
        /// Least number of requests in the window. Only with `rate`.
        requests: Whole = Fallback("20"), "100";
        /// Window of the share. Only with `rate`.
        window: DurationText = Fallback("10s"), "30s";
        /// Failures that count: no connection (`connect`), one that breaks, or a malformed response (`reset`), no response in
        /// time (`timeout`), a response of class `5xx`, or a gRPC status that blames the server (`grpc`): 2, 4, 13, 14 or 15.
        of: NonEmptyList<FailureKind> = Fallback("[connect, reset, timeout]"), "[connect, reset, timeout, 5xx]";
        /// Duration of an ejection, up to 5m. It is multiplied by the number of ejections in a row: of those between which the
        /// endpoint has not answered well for 1s. The product is 5m at most.
        duration as "for": DurationText = Fallback("30s"), "10s";
        /// Largest share of the endpoints that is ejected at a time, in percent. It rounds down; the only endpoint of a service is
        /// never ejected.
        max: Whole = Fallback("50"), "30";
    }
}
