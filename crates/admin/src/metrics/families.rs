//! All metrics, each defined once.

/// A metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The name, without the suffix of its kind.
    pub name: &'static str,
    /// The kind.
    pub kind: MetricKind,
    /// The help text: short, with a full stop.
    pub help: &'static str,
    /// The label names.
    pub labels: &'static [&'static str],
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A value that only grows. Its samples have the suffix `_total`.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Counts of observations below bounds.
    Histogram,
}

impl MetricKind {
    /// The name of the type in the exposition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Declares the metrics and the list of all metrics.
macro_rules! families {
    ($($constant:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: Family = Family {
                name: $name,
                kind: MetricKind::$kind,
                help: $help,
                labels: &[$($label),*],
            };
        )+
        /// All metrics, in the order of the exposition.
        pub const ALL: &[Family] = &[$($constant),+];
    };
}

families! {
    BUILD_INFO Gauge "waypost_build_info" ["version"] "Always 1, labelled with the version.";
    START_TIME Gauge "waypost_start_time_seconds" [] "Start time of the process, in seconds since the Unix epoch.";
    REVISION Gauge "waypost_config_revision" [] "Revision of the active config.";
    RELOADS Counter "waypost_config_loads" ["outcome"] "Config loads by outcome: applied or refused.";
    LOADED Gauge "waypost_config_last_load_successful" [] "1 if the last config load succeeded, else 0.";
    DAMAGED Gauge "waypost_state_damaged_files" [] "Damaged state files that were set aside at startup.";
    STATE_WRITABLE Gauge "waypost_state_writable" [] "1 if dials and revisions can be stored, else 0.";
    FLEET_INSTANCES Gauge "waypost_fleet_instances" ["state"] "Instances of the fleet that live, as this one sees them, by state: ok, lagging, unhealthy or error. Absent outside of a fleet, as are the other metrics of the fleet.";
    FLEET_LEADER Gauge "waypost_fleet_leader" [] "1 if this instance leads the fleet, else 0.";
    FLEET_AVAILABLE Gauge "waypost_fleet_etcd_available" [] "1 if etcd answers this instance, else 0.";
    FLEET_STORE_REVISION Gauge "waypost_fleet_store_revision" [] "The revision of the store of etcd up to which this instance knows changes.";
    FLEET_CANARY Gauge "waypost_fleet_canary" [] "1 while instances of the fleet try a config before all take it, else 0.";
    STALE_FILES Gauge "waypost_stale_files" [] "Files, such as certificates, whose current version is unusable and whose last good version stays in use.";
    ACME_ORDERS Counter "waypost_acme_orders" ["result"] "Orders of certificates by result: issued or failed.";
    KEY_SET_AGE Gauge "waypost_key_set_age_seconds" ["url"] "Seconds since a key set was last fetched; absent while it has never been.";
    KEY_SET_FETCHES Counter "waypost_key_set_fetches" ["url", "result"] "Fetches of a key set by result: succeeded or failed.";
    CERTIFICATE_DAYS Gauge "waypost_certificate_days_to_expiry" ["listener", "certificate"] "Days until a listener's certificate expires; negative once it has expired. The label `certificate` is its file, or the first of its hosts if an authority issues it.";
    CERTIFICATE_SELF_SIGNED Gauge "waypost_certificate_self_signed" ["listener", "certificate"] "1 if a listener's certificate is self-signed, else 0. One that an authority issues is, until it has been issued.";
    REQUESTS Counter "waypost_requests" ["route", "service", "code", "grpc_code"] "Requests by route, service and response status. The code is 0 if the client disconnected before the response, the service is empty if the gateway responded itself, and the route is empty if none matched. Calls of gRPC and gRPC-Web have a `grpc_code`, 0 to 16: their `grpc-status`, or the one that clients take for a missing one.";
    FAILED Counter "waypost_failed_requests" ["route", "service"] "Failed requests: responses of class 5xx, calls with a `grpc-status` that blames the server (2, 4, 12, 13, 14, 15), and responses that were cut, unless by the client.";
    DURATION Histogram "waypost_request_duration_seconds" ["route", "service"] "Time from the first byte of a request to the last byte of its response, in seconds.";
    UPSTREAM_DURATION Histogram "waypost_upstream_duration_seconds" ["route", "service"] "Time taken by the service once a connection to it was ready, in seconds.";
    RETRIES Counter "waypost_retries" ["route", "service"] "Retried attempts to reach a service.";
    MIRRORED Counter "waypost_mirrored_requests" ["route", "service", "outcome"] "Mirrored requests by outcome: responded, failed, or not sent because of too many concurrent copies or a limit of the service (dropped_too_many), a body over the limit (dropped_too_long) or a request that ended early (dropped_incomplete).";
    REFUSALS Counter "waypost_refusals" ["reason"] "Error responses of the gateway itself, by reason. Where a rule refused the request, that is the word of `refused_by` in the access log: access, cors, auth, rate, body, limit or cache. Preflights that allow nothing count, too.";
    RATE_LIMITED Counter "waypost_rate_limited" ["route"] "Requests over a rate limit of their route: refused, or, with `report_only`, let pass.";
    RATE_KEYS Gauge "waypost_rate_keys" ["policy"] "Keys, such as client addresses, that a rate limit keeps buckets for: of a policy by its name, else of `route NAME` or `listener NAME`.";
    RATE_EVICTED Counter "waypost_rate_evictions" ["policy"] "Buckets that gave way to a new key, as their rate limit had as many keys as it may have.";
    RATE_UNPLACED Counter "waypost_rate_unplaced_requests" ["policy"] "Requests of new keys that shared a bucket, as all others were used up and may not give way.";
    AUTH Counter "waypost_auth" ["route", "way", "result"] "Requests of a route with `auth`, by the way that decided (key, jwt, basic, ask, or none where the request carried no credentials) and the result: passed, no_credentials, bad_credentials, not_allowed, or unavailable where it could not be found out who asks.";
    CONNECTIONS_OPEN Gauge "waypost_connections_open" [] "Open client connections.";
    CONNECTIONS Counter "waypost_connections" [] "Accepted client connections.";
    HANDSHAKES_FAILED Counter "waypost_tls_handshake_failures" [] "Failed or timed-out client TLS handshakes.";
    ACME_CHALLENGES Counter "waypost_acme_challenges" ["type"] "Challenges of authorities that were answered, by type: `http-01` in clear text, `tls-alpn-01` in a TLS handshake.";
    PROXY_HEADERS Counter "waypost_proxy_header_failures" ["reason"] "Client connections closed for their PROXY header, by reason: missing, malformed, or from a peer that is not in `trusted_proxies` (untrusted).";
    PANICS Counter "waypost_panics" [] "Internal faults that ended a connection; please report them.";
    UPSTREAM_OPENED Counter "waypost_upstream_connections" ["service"] "Opened connections to a service.";
    UPSTREAM_REUSED Counter "waypost_upstream_connections_reused" ["service"] "Reuses of an idle connection to a service.";
    UPSTREAM_FAILED Counter "waypost_upstream_connect_failures" ["service"] "Failed attempts to connect to a service.";
    UPSTREAM_IDLE Gauge "waypost_upstream_connections_idle" ["service"] "Idle connections to a service.";
    RETRIES_DENIED Counter "waypost_retries_denied" ["service"] "Retries and hedges that the budget of a service denied.";
    LIMIT_USED Gauge "waypost_limit_used" ["service", "limit"] "Requests in flight, or open connections, of a service that limits them.";
    LIMIT Gauge "waypost_limit" ["service", "limit"] "Limit of a service on `requests` in flight or open `connections`.";
    LIMIT_WAITING Gauge "waypost_limit_waiting_requests" ["service"] "Requests that wait because a limit of their service is reached.";
    LIMIT_REFUSALS Counter "waypost_limit_refusals" ["service", "limit"] "Requests refused because a limit of their service was reached, by the limit: requests or connections.";
    PANIC_MODE Gauge "waypost_panic_mode" ["service"] "1 while a service uses all of its endpoints because too few of them are available, else 0.";
    ENDPOINT_UP Gauge "waypost_endpoint_up" ["service", "endpoint"] "1 if an endpoint, named by its address, takes requests; 0 while it fails its checks, is ejected or is drained.";
    ENDPOINT_EJECTIONS Counter "waypost_endpoint_ejections" ["service", "endpoint"] "Ejections of an endpoint after failures.";
    HEALTH_CHECKS Counter "waypost_health_checks" ["service", "result"] "Checks of the endpoints of a service by result: passed or failed.";
    INVALID_RESPONSES Counter "waypost_invalid_responses" ["service", "cause"] "Invalid responses of a service, by the rule that they broke, such as `header_name` or `chunk_size`.";
    LOG_LOST Counter "waypost_access_log_lost_lines" ["reason"] "Access log lines lost because the writer was behind or the destination was not writable.";
    ROLLOUT_STEP Gauge "waypost_rollout_step" ["route", "canary"] "Number of the step of a rollout under way, from 1.";
    ROLLOUT_SHARE Gauge "waypost_rollout_share" ["route", "canary"] "Share of the canary of a rollout under way, 0 to 1.";
    ROLLOUT_EVIDENCE Gauge "waypost_rollout_evidence" ["route", "canary"] "Evidence that the canary of a rollout under way is worse than tolerated; it is rolled back at 1 / `false_rollbacks`.";
    ROLLOUT_VERDICTS Counter "waypost_rollout_verdicts" ["route", "verdict"] "Ended rollouts: finished, rolled_back or aborted.";
    ROLLOUT_NOTIFICATIONS Counter "waypost_rollout_notifications" ["result"] "Notifications of rollouts: delivered, failed in all attempts, or dropped because too many waited.";
    WEIGHT_DECLARED Gauge "waypost_split_weight_declared" ["route", "service"] "Weight of a service in a split, as declared in the config.";
    WEIGHT_LIVE Gauge "waypost_split_weight" ["route", "service"] "Live weight of a service in a split.";
}

/// The reference page.
pub fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\nThis page is generated from the code. `GET /metrics` on the admin address returns the Prometheus \
         text format, or OpenMetrics if `Accept` asks for it.\n\nA route and each service that it can lead to have a \
         series from their first request on. No label value comes from a request. Counters restart at 0 with the \
         process, and when a route is removed and added again. A response is counted before its last byte is sent, so \
         a client that has read a response finds it counted.\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for family in ALL {
        let suffix = if family.kind == MetricKind::Counter {
            "_total"
        } else {
            ""
        };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        page.push_str(&format!(
            "| `{}{suffix}` | {} | {} | {} |\n",
            family.name,
            family.kind.as_str(),
            labels.join(", "),
            family.help
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages;

    #[test]
    fn reference_page_is_up_to_date() {
        pages::check("metrics.md", &reference());
    }

    #[test]
    fn names_follow_prometheus_conventions() {
        for family in ALL {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(family.name.bytes().all(fits), "{}", family.name);
            assert!(family.name.starts_with("waypost_"), "{}", family.name);
            assert!(!family.name.ends_with("_total"), "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
        }
    }
}
