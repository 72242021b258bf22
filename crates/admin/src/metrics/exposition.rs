//! Exposition formats: Prometheus text 0.0.4 and OpenMetrics 1.0, which differ in details only.

use std::fmt::Write as _;

use crate::metrics::families::{Family, MetricKind};

/// An exposition format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Dialect {
    /// The format that an `Accept` header prefers.
    pub fn accepted(accept: Option<&str>) -> Self {
        let asks = accept.is_some_and(|accept| {
            accept.split(',').any(|range| {
                range
                    .trim()
                    .to_ascii_lowercase()
                    .starts_with("application/openmetrics-text")
            })
        });
        if asks { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes metric families and their samples.
pub(super) struct Writer {
    dialect: Dialect,
    out: String,
    name: &'static str,
    kind: MetricKind,
}

impl Writer {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            out: String::new(),
            name: "",
            kind: MetricKind::Gauge,
        }
    }

    /// Starts a family. Its samples follow.
    pub(super) fn family(&mut self, family: &Family) -> &mut Self {
        (self.name, self.kind) = (family.name, family.kind);
        let suffix = match self.dialect {
            Dialect::Prometheus => self.suffix(),
            Dialect::OpenMetrics => "",
        };
        let Family { name, help, kind, .. } = family;
        let kind = kind.as_str();
        // Writing to a `String` cannot fail.
        let _ = write!(
            self.out,
            "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"
        );
        self
    }

    fn suffix(&self) -> &'static str {
        match self.kind {
            MetricKind::Counter => "_total",
            MetricKind::Gauge | MetricKind::Histogram => "",
        }
    }

    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: u64) -> &mut Self {
        let suffix = self.suffix();
        self.line(suffix, labels, None, &value.to_string());
        self
    }

    pub(super) fn sample_float(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        let suffix = self.suffix();
        self.line(suffix, labels, None, &value.to_string());
        self
    }

    /// Writes a histogram. `buckets` are upper bounds with their cumulative counts.
    pub(super) fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        buckets: &[(f64, u64)],
        count: u64,
        sum: f64,
    ) {
        for (bound, below) in buckets {
            // OpenMetrics requires canonical floats, such as `1.0`.
            self.line("_bucket", labels, Some(&format!("{bound:?}")), &below.to_string());
        }
        self.line("_bucket", labels, Some("+Inf"), &count.to_string());
        self.line("_sum", labels, None, &format!("{sum:?}"));
        self.line("_count", labels, None, &count.to_string());
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], le: Option<&str>, value: &str) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        let labels = labels.iter().copied().chain(le.map(|le| ("le", le)));
        let mut separator = '{';
        for (name, text) in labels {
            self.out.push(separator);
            separator = ',';
            let _ = write!(self.out, "{name}=\"");
            for character in text.chars() {
                match character {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    other => self.out.push(other),
                }
            }
            self.out.push('"');
        }
        if separator == ',' {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }

    pub(super) fn finish(mut self) -> String {
        if self.dialect == Dialect::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::families;

    fn written(dialect: Dialect) -> String {
        let mut out = Writer::new(dialect);
        out.family(&families::RETRIES).sample(&[("route", "a\"\\\nb")], 3);
        out.family(&families::REVISION).sample(&[], 7);
        out.family(&families::DURATION)
            .histogram(&[("route", "r")], &[(0.5, 1), (10.0, 2)], 3, 12.25);
        out.finish()
    }

    #[test]
    fn prometheus_families_have_the_suffix() {
        assert_eq!(
            written(Dialect::Prometheus),
            "# HELP waypost_retries_total Retried attempts to reach a service.\n\
             # TYPE waypost_retries_total counter\n\
             waypost_retries_total{route=\"a\\\"\\\\\\nb\"} 3\n\
             # HELP waypost_config_revision Revision of the active config.\n\
             # TYPE waypost_config_revision gauge\n\
             waypost_config_revision 7\n\
             # HELP waypost_request_duration_seconds Time from the first byte of a request to the last byte of its response, in seconds.\n\
             # TYPE waypost_request_duration_seconds histogram\n\
             waypost_request_duration_seconds_bucket{route=\"r\",le=\"0.5\"} 1\n\
             waypost_request_duration_seconds_bucket{route=\"r\",le=\"10.0\"} 2\n\
             waypost_request_duration_seconds_bucket{route=\"r\",le=\"+Inf\"} 3\n\
             waypost_request_duration_seconds_sum{route=\"r\"} 12.25\n\
             waypost_request_duration_seconds_count{route=\"r\"} 3\n"
        );
    }

    #[test]
    fn openmetrics_families_have_no_suffix_and_the_text_an_end() {
        let text = written(Dialect::OpenMetrics);
        assert!(text.starts_with("# HELP waypost_retries Retried"), "{text}");
        assert!(text.contains("\nwaypost_retries_total{"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn dialect_follows_accept_header() {
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(Dialect::accepted(Some(prometheus)), Dialect::OpenMetrics);
        assert_eq!(Dialect::accepted(Some("*/*")), Dialect::Prometheus);
        assert_eq!(Dialect::accepted(None), Dialect::Prometheus);
    }
}
