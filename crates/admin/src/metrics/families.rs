//! Every metric, once.

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The name, without what a kind adds to it.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// What it tells, in a sentence without a full stop.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

/// The kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows; its samples end in `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts below bounds.
    Histogram,
}

impl Kind {
    /// The word in the exposition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Declares the metrics, and the list of all.
macro_rules! families {
    ($($constant:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $constant: Family = Family {
                name: $name,
                kind: Kind::$kind,
                help: $help,
                labels: &[$($label),*],
            };
        )+
        /// All of them, in the order of the exposition.
        pub const ALL: &[Family] = &[$($constant),+];
    };
}

families! {
    BUILD_INFO Gauge "waypost_build_info" ["version"] "Always 1; the version is a label";
    START_TIME Gauge "waypost_start_time_seconds" [] "When the process started, in seconds since 1970";
    REVISION Gauge "waypost_config_revision" [] "The revision of the config that is in force";
    RELOADS Counter "waypost_config_loads" ["outcome"] "Configs that came into force (applied) or were refused";
    LOADED Gauge "waypost_config_last_load_successful" [] "Whether the last config that was read came into force";
    DAMAGED Gauge "waypost_state_damaged_files" [] "Files of the state that were found damaged, and were set aside";
    STATE_WRITABLE Gauge "waypost_state_writable" [] "Whether dials and revisions can be stored, as far as is known";
    STALE_FILES Gauge "waypost_stale_files" [] "Files, such as certificates, that cannot be used, so that their last good version stays in use";
    CERTIFICATE_DAYS Gauge "waypost_certificate_days_to_expiry" ["listener", "certificate"] "Days until a listener's certificate ends, with fractions; below 0 once it has";
    REQUESTS Counter "waypost_requests" ["route", "service", "code"] "Requests by route, service and status of the answer; code 0 is a client that left before the answer, an empty service one that the gateway answered itself, an empty route one that no route took";
    DURATION Histogram "waypost_request_duration_seconds" ["route", "service"] "From the first byte of a request to the last of its answer";
    UPSTREAM_DURATION Histogram "waypost_upstream_duration_seconds" ["route", "service"] "The part of it that the service took, its connection ready";
    RETRIES Counter "waypost_retries" ["route", "service"] "Further attempts at a service";
    MIRRORED Counter "waypost_mirrored_requests" ["route", "service", "outcome"] "Copies of requests by what became of them: answered, failed, or not sent, as too many were under way (dropped_too_many), the body was too long (dropped_too_long), or the request ended before its body did (dropped_incomplete)";
    REFUSALS Counter "waypost_refusals" ["reason"] "Requests that the gateway answered with an error of its own";
    CONNECTIONS_OPEN Gauge "waypost_connections_open" [] "Clients that are connected";
    CONNECTIONS Counter "waypost_connections" [] "Clients that were accepted";
    HANDSHAKES_FAILED Counter "waypost_tls_handshake_failures" [] "TLS handshakes with clients that came to nothing, those that took too long among them";
    PANICS Counter "waypost_panics" [] "Faults of the gateway that ended a connection; please report them";
    UPSTREAM_OPENED Counter "waypost_upstream_connections" ["service"] "Connections to a service that were opened";
    UPSTREAM_REUSED Counter "waypost_upstream_connections_reused" ["service"] "Times that an idle connection to a service was used again";
    UPSTREAM_FAILED Counter "waypost_upstream_connect_failures" ["service"] "Connections to a service that did not come about";
    UPSTREAM_IDLE Gauge "waypost_upstream_connections_idle" ["service"] "Connections to a service that are kept idle";
    LOG_LOST Counter "waypost_access_log_lost_lines" ["reason"] "Lines that never reached the access log: its writer was behind, or its destination unwritable";
    WEIGHT_DECLARED Gauge "waypost_split_weight_declared" ["route", "service"] "The weight that the config declares";
    WEIGHT_LIVE Gauge "waypost_split_weight" ["route", "service"] "The weight that is live";
}

/// The reference page.
pub fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\nThis page is made from the code. `GET /metrics` on the admin address gives the Prometheus text \
         format, or OpenMetrics to whoever asks for it with `Accept`.\n\nThere is a series for each route and each \
         service that it can lead to, once it has had a request; no label comes from a request. A counter starts anew \
         when its route goes and returns, and with the process. An answer is counted before its last byte leaves, so \
         whoever has read it finds it counted.\n\n| metric | kind | labels | what it tells |\n|---|---|---|---|\n",
    );
    for family in ALL {
        let ending = if family.kind == Kind::Counter {
            "_total"
        } else {
            ""
        };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        page.push_str(&format!(
            "| `{}{ending}` | {} | {} | {}. |\n",
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
    fn the_page_in_docs_is_up_to_date() {
        pages::check("metrics.md", &reference());
    }

    #[test]
    fn names_are_as_prometheus_wants_them() {
        for family in ALL {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(family.name.bytes().all(fits), "{}", family.name);
            assert!(family.name.starts_with("waypost_"), "{}", family.name);
            assert!(!family.name.ends_with("_total"), "{}", family.name);
        }
    }
}
