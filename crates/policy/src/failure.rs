//! Failures, for which the gateway responds itself, and causes, for which a response is cut.

use waypost_wire::grpc::GrpcCode;
use waypost_wire::request::RequestError;
use waypost_wire::response::fault::ResponseFault;
use waypost_wire::tls_alert::TlsAlert;

/// The party that ended an exchange, for the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The client.
    Client,
    /// The gateway.
    Gateway,
    /// The service.
    Service,
}

/// The cause of a cut: an exchange or a tunnel ended after its response had begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The client's connection or stream broke.
    ClientReset,
    /// The client closed its connection before its response.
    ClientClosed,
    /// The client accepted no bytes for too long.
    ClientStalled,
    /// The service's connection broke in a tunnel.
    ServiceReset,
    /// The service's response ended before its body did.
    ResponseIncomplete,
    /// The service's response broke its framing, or the protocol.
    ResponseMalformed(ResponseFault),
    /// The service paused within its response for too long.
    ResponseStalled,
    /// Nothing moved in a tunnel for too long.
    TunnelIdle,
    /// A failure that came too late for a response of the gateway's own.
    Failed(Failure),
}

/// The rule by which the gateway refuses a request, for the access log. The names are a stable interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuser {
    /// The clients that have access, by address.
    Access,
    /// The origins whose pages may ask.
    Cors,
    /// The clients that may pass, by what they prove.
    Auth,
    /// The rate of requests.
    Rate,
    /// The size of a body.
    Body,
    /// A limit of the head, or of the requests and connections of a service.
    Limit,
    /// The cache: the client wants nothing but what is stored, and nothing is.
    Cache,
}

/// The failure that an error response of the gateway reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The request is malformed or not supported.
    Request(RequestError),
    /// The head did not arrive in time.
    HeadTimeout,
    /// The `Forwarded` header of a trusted proxy is malformed.
    ForwardedMalformed,
    /// The forwarding headers of a trusted proxy name different clients.
    ClientsDisagree,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body came more slowly than those of others while connections ran short.
    BodyDisplaced,
    /// The body ended early.
    BodyIncomplete,
    /// The body violates its transfer coding.
    BodyMalformed,
    /// The body exceeds the limit of the route, or of the listener.
    BodyTooLarge,
    /// The listener does not serve this host.
    HostNotServed,
    /// No route matches the request.
    NoRoute,
    /// The client's address has no access to the route.
    AccessDenied,
    /// The request carries no credentials that the route asks for.
    NoCredentials,
    /// The credentials of the request are wrong.
    BadCredentials,
    /// It is known who sends the request, and that one may not pass.
    NotAllowed,
    /// It could not be found out who sends the request.
    AuthUnavailable,
    /// The service that is asked who may pass gave no usable response.
    AskFailed,
    /// The service that is asked who may pass did not respond in time.
    AskTimeout,
    /// The client sends more requests than a rate limit lets pass.
    RateLimited {
        /// Whole seconds after which one passes.
        retry_after: u32,
    },
    /// All arms of the split have weight 0.
    NoArm,
    /// The rewritten path has no safe normal form.
    Rewrite,
    /// The service has no endpoint, or none whose name resolves.
    NoEndpoint,
    /// The service has as many requests as its limit allows, and none ended in time.
    RequestLimit,
    /// The service has as many connections as its limit allows, and none was free in time.
    ConnectionLimit,
    /// The gateway has no file descriptor left for a connection.
    NoDescriptor,
    /// No endpoint accepts connections.
    ConnectionRefused,
    /// No endpoint accepted a connection in time.
    ConnectTimeout,
    /// The TLS handshake with the service failed.
    TlsToService,
    /// The service's certificate is not trusted, or is not for its host.
    CertificateOfService,
    /// The service ended the TLS connection with an alert, in the handshake or before it responded. In TLS 1.3 a service
    /// judges the client's certificate after the client's handshake is complete (RFC 8446 §4.4.2.4).
    TlsAlert(TlsAlert),
    /// The client was served a certificate for another host, and asks for one that has its own.
    Misdirected,
    /// The client floods its HTTP/2 connection with frames. The connection is closed without a response.
    TooManyFrames,
    /// The service closed the connection without responding.
    ConnectionTerminated,
    /// The service did not respond in time.
    ResponseTimeout,
    /// The service did not accept the request in time.
    WriteTimeout,
    /// The exchange exceeded the route's timeout.
    RouteTimeout,
    /// The service's response is not valid HTTP.
    InvalidResponse(ResponseFault),
}

/// The values of the metric label `reason`: the rules that refuse requests, and the kinds of other failures. They are a
/// stable interface.
pub const REASONS: [&str; 44] = [
    Refuser::Access.as_str(),
    Refuser::Cors.as_str(),
    Refuser::Auth.as_str(),
    Refuser::Rate.as_str(),
    Refuser::Body.as_str(),
    Refuser::Limit.as_str(),
    Refuser::Cache.as_str(),
    "bare_line_end",
    "request_line",
    "version",
    "header",
    "framing",
    "host_count",
    "host",
    "host_disagrees",
    "method",
    "target",
    "head_incomplete",
    "path",
    "forwarded",
    "clients_disagree",
    "head_timeout",
    "body_timeout",
    "body_displaced",
    "body_incomplete",
    "body_malformed",
    "host_not_served",
    "no_route",
    "no_arm",
    "rewrite",
    "no_endpoint",
    "no_descriptor",
    "connection_refused",
    "connect_timeout",
    "tls_to_service",
    "certificate_of_service",
    "tls_alert_received",
    "misdirected",
    "too_many_frames",
    "connection_terminated",
    "response_timeout",
    "write_timeout",
    "route_timeout",
    "invalid_response",
];

impl Failure {
    /// The value of the metric label `reason`, one of [`REASONS`]. What a rule refuses has the word of the access log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::AccessDenied => Refuser::Access.as_str(),
            // `waypost_auth` tells them apart.
            Self::NoCredentials
            | Self::BadCredentials
            | Self::NotAllowed
            | Self::AuthUnavailable
            | Self::AskFailed
            | Self::AskTimeout => Refuser::Auth.as_str(),
            Self::RateLimited { .. } => Refuser::Rate.as_str(),
            Self::BodyTooLarge => Refuser::Body.as_str(),
            // `waypost_limit_refusals` tells those of a service apart.
            Self::RequestLimit | Self::ConnectionLimit => Refuser::Limit.as_str(),
            Self::Request(error) => match error {
                RequestError::LineEnd(_) => "bare_line_end",
                RequestError::RequestLine => "request_line",
                RequestError::Version => "version",
                RequestError::TargetTooLong | RequestError::HeadTooLarge | RequestError::TooManyFields => {
                    Refuser::Limit.as_str()
                }
                RequestError::Field => "header",
                RequestError::Framing(_) => "framing",
                RequestError::HostCount => "host_count",
                RequestError::Host(_) => "host",
                RequestError::HostDisagrees => "host_disagrees",
                RequestError::Method => "method",
                RequestError::Target(_) => "target",
                RequestError::Incomplete => "head_incomplete",
                RequestError::Path(_) => "path",
            },
            Self::ForwardedMalformed => "forwarded",
            Self::ClientsDisagree => "clients_disagree",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::BodyDisplaced => "body_displaced",
            Self::BodyIncomplete => "body_incomplete",
            Self::BodyMalformed => "body_malformed",
            Self::HostNotServed => "host_not_served",
            Self::NoRoute => "no_route",
            Self::NoArm => "no_arm",
            Self::Rewrite => "rewrite",
            Self::NoEndpoint => "no_endpoint",
            Self::NoDescriptor => "no_descriptor",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsToService => "tls_to_service",
            Self::CertificateOfService => "certificate_of_service",
            Self::TlsAlert(_) => "tls_alert_received",
            Self::Misdirected => "misdirected",
            Self::TooManyFrames => "too_many_frames",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ResponseTimeout => "response_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::RouteTimeout => "route_timeout",
            Self::InvalidResponse(_) => "invalid_response",
        }
    }

    /// The status of the response.
    pub fn status(self) -> u16 {
        match self {
            Self::Request(error) => error.status(),
            Self::HeadTimeout | Self::BodyTimeout | Self::BodyDisplaced => 408,
            Self::ForwardedMalformed | Self::ClientsDisagree => 400,
            Self::BodyIncomplete | Self::BodyMalformed => 400,
            Self::BodyTooLarge => 413,
            Self::HostNotServed | Self::NoRoute => 404,
            Self::NoCredentials | Self::BadCredentials => 401,
            Self::AccessDenied | Self::NotAllowed => 403,
            Self::NoArm | Self::Rewrite => 500,
            Self::NoEndpoint
            | Self::RequestLimit
            | Self::ConnectionLimit
            | Self::NoDescriptor
            | Self::AuthUnavailable => 503,
            Self::Misdirected => 421,
            Self::RateLimited { .. } | Self::TooManyFrames => 429,
            Self::ConnectionRefused
            | Self::ConnectionTerminated
            | Self::InvalidResponse(_)
            | Self::TlsToService
            | Self::CertificateOfService
            | Self::TlsAlert(_)
            | Self::AskFailed => 502,
            Self::ConnectTimeout
            | Self::ResponseTimeout
            | Self::WriteTimeout
            | Self::RouteTimeout
            | Self::AskTimeout => 504,
        }
    }

    /// The error type of RFC 9209 §2.3.
    pub fn proxy_error(self) -> &'static str {
        match self {
            Self::Request(_) | Self::HeadTimeout | Self::BodyTimeout | Self::BodyIncomplete => {
                "http_request_error"
            }
            Self::ForwardedMalformed | Self::ClientsDisagree => "http_request_error",
            Self::BodyMalformed | Self::BodyTooLarge => "http_request_error",
            Self::HostNotServed | Self::NoRoute => "destination_not_found",
            Self::AccessDenied
            | Self::NoCredentials
            | Self::BadCredentials
            | Self::NotAllowed
            | Self::RateLimited { .. } => "http_request_denied",
            Self::AuthUnavailable | Self::AskFailed | Self::AskTimeout => "proxy_internal_error",
            Self::NoArm => "destination_unavailable",
            Self::Rewrite => "proxy_configuration_error",
            Self::NoEndpoint => "destination_unavailable",
            Self::RequestLimit | Self::ConnectionLimit | Self::NoDescriptor | Self::BodyDisplaced => {
                "connection_limit_reached"
            }
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectTimeout => "connection_timeout",
            Self::TlsToService => "tls_protocol_error",
            Self::CertificateOfService => "tls_certificate_error",
            Self::TlsAlert(_) => "tls_alert_received",
            Self::Misdirected | Self::TooManyFrames => "http_request_error",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ResponseTimeout | Self::RouteTimeout => "http_response_timeout",
            Self::WriteTimeout => "connection_write_timeout",
            Self::InvalidResponse(fault) => fault.rule.proxy_error(),
        }
    }

    /// The rule that refused the request, if one did: nothing has failed.
    pub fn refuser(self) -> Option<Refuser> {
        match self {
            Self::AccessDenied => Some(Refuser::Access),
            Self::NoCredentials
            | Self::BadCredentials
            | Self::NotAllowed
            | Self::AuthUnavailable
            | Self::AskFailed
            | Self::AskTimeout => Some(Refuser::Auth),
            Self::RateLimited { .. } => Some(Refuser::Rate),
            Self::BodyTooLarge => Some(Refuser::Body),
            Self::RequestLimit
            | Self::ConnectionLimit
            | Self::Request(
                RequestError::TargetTooLong | RequestError::HeadTooLarge | RequestError::TooManyFields,
            ) => Some(Refuser::Limit),
            _ => None,
        }
    }

    /// The seconds after which the client may ask again, where the gateway can tell.
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Self::RateLimited { retry_after } => Some(retry_after),
            Self::RequestLimit | Self::ConnectionLimit => Some(1),
            _ => None,
        }
    }

    /// The fault of the service's response, if it is to blame.
    pub fn response_fault(self) -> Option<ResponseFault> {
        match self {
            Self::InvalidResponse(fault) => Some(fault),
            _ => None,
        }
    }

    /// The message that the client reads.
    pub fn message(self) -> String {
        match self {
            Self::Request(error) => error.to_string(),
            Self::ForwardedMalformed => "the forwarded header is malformed".to_owned(),
            Self::ClientsDisagree => "the forwarding headers name different clients".to_owned(),
            Self::HeadTimeout => "the request head did not arrive in time".to_owned(),
            Self::BodyTimeout => "the request body did not arrive in time".to_owned(),
            Self::BodyDisplaced => "the request body came too slowly while connections ran short".to_owned(),
            Self::BodyIncomplete => "the request body ended early".to_owned(),
            Self::BodyMalformed => "the request body is malformed".to_owned(),
            Self::BodyTooLarge => "the request body is too large".to_owned(),
            Self::HostNotServed => "this host is not served here".to_owned(),
            Self::NoRoute => "no route takes this request".to_owned(),
            Self::AccessDenied => "this address has no access".to_owned(),
            Self::NoCredentials => "the request has no credentials".to_owned(),
            Self::BadCredentials => "the credentials are not valid".to_owned(),
            Self::NotAllowed => "these credentials do not suffice".to_owned(),
            Self::AuthUnavailable | Self::AskFailed => "the credentials could not be verified".to_owned(),
            Self::AskTimeout => "the credentials could not be verified in time".to_owned(),
            Self::RateLimited { .. } => "there were too many requests".to_owned(),
            Self::NoArm => "the route sends its traffic nowhere".to_owned(),
            Self::Rewrite => {
                "the route's rewrite or redirect makes a path or a host that is not valid".to_owned()
            }
            Self::NoEndpoint => "the service has no endpoint that is ready".to_owned(),
            Self::RequestLimit | Self::ConnectionLimit => {
                "the service is busy with as many requests as it may have".to_owned()
            }
            Self::NoDescriptor => "the gateway has no more connections to give".to_owned(),
            Self::ConnectionRefused => "the service refused the connection".to_owned(),
            Self::ConnectTimeout => "the service could not be reached in time".to_owned(),
            Self::TlsToService => "the TLS handshake with the service failed".to_owned(),
            Self::CertificateOfService => "the certificate of the service cannot be trusted".to_owned(),
            Self::TlsAlert(alert) => format!("the service ended the TLS connection with the alert {alert}"),
            Self::TooManyFrames => "the connection is flooded with frames".to_owned(),
            Self::Misdirected => "this connection's certificate is not for this host".to_owned(),
            Self::ConnectionTerminated => "the service closed the connection before it responded".to_owned(),
            Self::ResponseTimeout => "the service did not respond in time".to_owned(),
            Self::WriteTimeout => "the service did not accept the request in time".to_owned(),
            Self::RouteTimeout => "the exchange took longer than its route allows".to_owned(),
            Self::InvalidResponse(_) => "the service sent an invalid response".to_owned(),
        }
    }

    /// Returns true if the client's connection cannot be reused: its bytes cannot be trusted, or some are unread.
    pub fn closes(self) -> bool {
        matches!(
            self,
            Self::Request(_)
                | Self::ForwardedMalformed
                | Self::ClientsDisagree
                | Self::HeadTimeout
                | Self::BodyTimeout
                | Self::BodyDisplaced
                | Self::BodyIncomplete
                | Self::BodyMalformed
                | Self::BodyTooLarge
        )
    }

    /// The party to blame, for the access log.
    pub fn blame(self) -> Blame {
        match self {
            Self::Request(_)
            | Self::ForwardedMalformed
            | Self::ClientsDisagree
            | Self::HeadTimeout
            | Self::BodyTimeout
            | Self::BodyIncomplete
            | Self::BodyMalformed
            | Self::BodyTooLarge
            | Self::AccessDenied
            | Self::NoCredentials
            | Self::BadCredentials
            | Self::NotAllowed
            | Self::RateLimited { .. }
            | Self::Misdirected
            | Self::TooManyFrames => Blame::Client,
            Self::HostNotServed
            | Self::NoRoute
            | Self::AuthUnavailable
            | Self::AskFailed
            | Self::AskTimeout
            | Self::NoArm
            | Self::Rewrite
            | Self::NoEndpoint
            | Self::RequestLimit
            | Self::ConnectionLimit
            | Self::NoDescriptor
            | Self::BodyDisplaced
            | Self::RouteTimeout => Blame::Gateway,
            Self::ConnectionRefused
            | Self::ConnectTimeout
            | Self::TlsToService
            | Self::CertificateOfService
            | Self::TlsAlert(_)
            | Self::ConnectionTerminated
            | Self::ResponseTimeout
            | Self::WriteTimeout
            | Self::InvalidResponse(_) => Blame::Service,
        }
    }

    /// Returns true if the failure tells how good the service is: it failed, or could not be asked. What the gateway refuses by
    /// itself says nothing of it.
    pub fn tells_of_service(self) -> bool {
        match self.blame() {
            Blame::Service => true,
            Blame::Client => false,
            Blame::Gateway => matches!(
                self,
                Self::NoEndpoint
                    | Self::RequestLimit
                    | Self::ConnectionLimit
                    | Self::NoDescriptor
                    | Self::RouteTimeout
            ),
        }
    }

    /// The status of a call that fails this way.
    pub fn grpc_code(self) -> GrpcCode {
        match self {
            Self::RouteTimeout | Self::ResponseTimeout | Self::BodyTimeout => GrpcCode::DEADLINE_EXCEEDED,
            Self::NoRoute | Self::HostNotServed => GrpcCode::UNIMPLEMENTED,
            Self::BodyDisplaced => GrpcCode::RESOURCE_EXHAUSTED,
            failure => match failure.status() {
                401 => GrpcCode::UNAUTHENTICATED,
                403 => GrpcCode::PERMISSION_DENIED,
                413 | 414 | 429 | 431 => GrpcCode::RESOURCE_EXHAUSTED,
                501 => GrpcCode::UNIMPLEMENTED,
                502..=504 => GrpcCode::UNAVAILABLE,
                _ => GrpcCode::INTERNAL,
            },
        }
    }
}

impl Refuser {
    /// The value of `refused_by` in the access log, and of the metric label `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Cors => "cors",
            Self::Auth => "auth",
            Self::Rate => "rate",
            Self::Body => "body",
            Self::Limit => "limit",
            Self::Cache => "cache",
        }
    }
}

impl Blame {
    /// The value of `ended_by` in the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Service => "service",
        }
    }
}

impl Cause {
    /// The party to blame.
    pub fn blame(self) -> Blame {
        match self {
            Self::ClientReset | Self::ClientClosed | Self::ClientStalled => Blame::Client,
            Self::ServiceReset
            | Self::ResponseIncomplete
            | Self::ResponseMalformed(_)
            | Self::ResponseStalled => Blame::Service,
            Self::TunnelIdle => Blame::Gateway,
            Self::Failed(failure) => failure.blame(),
        }
    }

    /// The fault of the service's response, if it is to blame.
    pub fn response_fault(self) -> Option<ResponseFault> {
        match self {
            Self::ResponseMalformed(fault) => Some(fault),
            Self::Failed(failure) => failure.response_fault(),
            _ => None,
        }
    }

    /// The value of `reason` in the access log: the error type of RFC 9209 §2.3 where there is one.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ClientReset | Self::ServiceReset => "connection reset",
            Self::ClientClosed => "connection closed",
            Self::ClientStalled => "write stall",
            Self::ResponseIncomplete => "http_response_incomplete",
            Self::ResponseMalformed(fault) => fault.rule.proxy_error(),
            Self::ResponseStalled => "connection_read_timeout",
            Self::TunnelIdle => "idle timeout",
            Self::Failed(failure) => failure.proxy_error(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use waypost_plan::error_pages::GATEWAY_STATUSES;
    use waypost_wire::authority::AuthorityError;
    use waypost_wire::framing::FramingError;
    use waypost_wire::path::PathError;
    use waypost_wire::response::fault::ResponseRule;
    use waypost_wire::scan::BareLineEnd;
    use waypost_wire::target::TargetError;

    use super::*;

    /// One failure at least for each reason and each status.
    fn failures() -> Vec<Failure> {
        let requests = [
            RequestError::LineEnd(BareLineEnd),
            RequestError::RequestLine,
            RequestError::Version,
            RequestError::TargetTooLong,
            RequestError::HeadTooLarge,
            RequestError::TooManyFields,
            RequestError::Field,
            RequestError::Framing(FramingError::Both),
            RequestError::Framing(FramingError::UnknownCoding),
            RequestError::HostCount,
            RequestError::Host(AuthorityError::Empty),
            RequestError::HostDisagrees,
            RequestError::Method,
            RequestError::Target(TargetError::Form),
            RequestError::Incomplete,
            RequestError::Path(PathError::Encoded(0)),
        ];
        let others = [
            Failure::ForwardedMalformed,
            Failure::ClientsDisagree,
            Failure::HeadTimeout,
            Failure::BodyTimeout,
            Failure::BodyDisplaced,
            Failure::BodyIncomplete,
            Failure::BodyMalformed,
            Failure::BodyTooLarge,
            Failure::HostNotServed,
            Failure::NoRoute,
            Failure::AccessDenied,
            Failure::NoCredentials,
            Failure::BadCredentials,
            Failure::NotAllowed,
            Failure::AuthUnavailable,
            Failure::AskFailed,
            Failure::AskTimeout,
            Failure::RateLimited { retry_after: 7 },
            Failure::NoArm,
            Failure::Rewrite,
            Failure::NoEndpoint,
            Failure::RequestLimit,
            Failure::ConnectionLimit,
            Failure::NoDescriptor,
            Failure::ConnectionRefused,
            Failure::ConnectTimeout,
            Failure::TlsToService,
            Failure::CertificateOfService,
            Failure::TlsAlert(TlsAlert(40)),
            Failure::Misdirected,
            Failure::TooManyFrames,
            Failure::ConnectionTerminated,
            Failure::ResponseTimeout,
            Failure::WriteTimeout,
            Failure::RouteTimeout,
            Failure::InvalidResponse(ResponseFault::of(ResponseRule::ALL[0])),
        ];
        requests.map(Failure::Request).into_iter().chain(others).collect()
    }

    #[test]
    fn statuses_that_can_have_a_page_are_those_of_failures() {
        let failures = failures();
        let mut reasons: BTreeSet<&str> = failures.iter().map(|failure| failure.reason()).collect();
        // A preflight that allows nothing is no failure, and there is no cache yet.
        reasons.extend([Refuser::Cors.as_str(), Refuser::Cache.as_str()]);
        assert_eq!(reasons, BTreeSet::from(REASONS));
        for failure in &failures {
            if let Some(refuser) = failure.refuser() {
                assert_eq!(failure.reason(), refuser.as_str(), "{failure:?}");
            }
        }
        // A flooded connection is closed without a response.
        let responds = |failure: &&Failure| **failure != Failure::TooManyFrames;
        let statuses: BTreeSet<u16> = failures
            .iter()
            .filter(responds)
            .map(|failure| failure.status())
            .collect();
        assert_eq!(statuses, BTreeSet::from(GATEWAY_STATUSES));
    }
}
