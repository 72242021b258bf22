//! Checking the certificates of a listener: dates, and names beside the listener's hosts.

use std::sync::Arc;

use jiff::Timestamp;
use waypost_config::diagnostic::Code;
use waypost_plan::listener::{Listener, TlsTermination};
use waypost_route::host::HostPattern;
use waypost_tls::identity::Identity;
use waypost_tls::name::CertificateName;

/// A certificate that ends sooner gets a warning.
const ENDS_SOON_DAYS: i64 = 14;

const DAY: i64 = 24 * 60 * 60;

/// A warning about a certificate.
pub(super) struct Finding<'a> {
    /// The file, as the config names it.
    pub(super) path: &'a str,
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) help: &'static str,
}

/// Warnings about the certificates of a listener. `identities` are parallel to the certificates of `end`.
pub(super) fn check<'a>(
    listener: &Listener,
    end: &'a TlsTermination,
    identities: &[Arc<Identity>],
    now: Timestamp,
) -> Vec<Finding<'a>> {
    let mut findings = Vec::new();
    for (files, identity) in end.certificates.iter().zip(identities) {
        let path = &*files.cert;
        findings.extend(check_dates(path, identity, now.as_second()));
        if !identity.has_alternative_names() {
            findings.push(Finding {
                path,
                code: Code::CertificateNames,
                message: format!("`{path}` has no alternative names, which clients require"),
                help: "get a certificate with a `subjectAltName`",
            });
        }
        findings.extend(check_names(path, identity, listener));
    }
    findings.extend(check_hosts(listener, end, identities));
    findings
}

fn check_dates<'a>(path: &'a str, identity: &Identity, now: i64) -> Option<Finding<'a>> {
    let left = identity.not_after() - now;
    let message = if left < 0 {
        format!("`{path}` has ended {}", days_ago(-left))
    } else if identity.not_before() > now {
        format!("`{path}` is not valid yet")
    } else if left < ENDS_SOON_DAYS * DAY {
        format!("`{path}` ends {}", in_days(left))
    } else {
        return None;
    };
    Some(Finding {
        path,
        code: Code::CertificateTime,
        message,
        help: "renew it; the files are read again when they change",
    })
}

/// Names of a certificate that no host of the listener overlaps.
fn check_names<'a>(path: &'a str, identity: &Identity, listener: &Listener) -> Option<Finding<'a>> {
    let is_useless = |name: &&CertificateName| {
        let pattern = HostPattern::parse(&name.to_string());
        pattern.is_ok_and(|pattern| !listener.hosts.iter().any(|host| host.overlaps(&pattern)))
    };
    let useless: Vec<String> = identity
        .names()
        .iter()
        .filter(is_useless)
        .map(|name| format!("`{name}`"))
        .collect();
    (!listener.hosts.is_empty() && !useless.is_empty()).then(|| Finding {
        path,
        code: Code::CertificateNames,
        message: format!(
            "`{path}` is for {}, which the listener's `hosts` turn away",
            useless.join(", ")
        ),
        help: "add them to `hosts`, or use another certificate",
    })
}

/// Hosts of the listener that no certificate is for.
fn check_hosts<'a>(
    listener: &Listener,
    end: &'a TlsTermination,
    identities: &[Arc<Identity>],
) -> impl Iterator<Item = Finding<'a>> {
    let path = end.certificates.first().map_or("", |files| &*files.cert);
    listener.hosts.iter().filter_map(move |host| {
        let text = host.to_string();
        // A listener's wildcard takes more labels than a certificate's; one more label is all a certificate can cover.
        let example = text
            .strip_prefix("*.")
            .map_or_else(|| text.clone(), |rest| format!("x.{rest}"));
        let is_served = identities.iter().any(|identity| identity.serves(&example));
        (!is_served).then(|| Finding {
            path,
            code: Code::CertificateNames,
            message: format!("no certificate of the listener is for its host `{text}`"),
            help: "add a certificate; its clients are shown the first one",
        })
    })
}

fn in_days(seconds: i64) -> String {
    match seconds / DAY {
        0 => "within a day".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    }
}

fn days_ago(seconds: i64) -> String {
    match seconds / DAY {
        0 => "today".to_owned(),
        1 => "1 day ago".to_owned(),
        days => format!("{days} days ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_never_zero() {
        assert_eq!(in_days(0), "within a day");
        assert_eq!(in_days(DAY), "in 1 day");
        assert_eq!(in_days(3 * DAY - 1), "in 2 days");
        assert_eq!(days_ago(1), "today");
        assert_eq!(days_ago(2 * DAY - 1), "1 day ago");
        assert_eq!(days_ago(2 * DAY), "2 days ago");
    }
}
