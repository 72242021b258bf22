//! Checking the certificates of a listener: dates, and names beside the listener's hosts.

use std::sync::Arc;

use jiff::Timestamp;
use waypost_config::diagnostic::Code;
use waypost_plan::certificate_source::CertificateSource;
use waypost_plan::listener::{Listener, TlsTermination};
use waypost_route::host::HostPattern;
use waypost_tls::identity::Identity;
use waypost_tls::name::CertificateName;

/// A certificate that ends sooner gets a warning.
const ENDS_SOON_DAYS: i64 = 14;

const DAY: i64 = 24 * 60 * 60;

/// A warning about a certificate.
pub(super) struct Finding<'a> {
    /// The certificate that it is about.
    pub(super) of: &'a CertificateSource,
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) help: &'static str,
}

/// Warnings about the certificates of a listener. `identities` are parallel to the certificates of `end`.
pub(super) fn check<'a>(
    listener: &'a Listener,
    end: &'a TlsTermination,
    identities: &'a [Arc<Identity>],
    now: Timestamp,
) -> Vec<Finding<'a>> {
    let mut findings = Vec::new();
    for (source, identity) in end.certificates.iter().zip(identities) {
        // The gateway renews one that an authority issues, for the names that the config says.
        let CertificateSource::Files(files) = source else {
            continue;
        };
        let mut find = |code, message, help| {
            findings.push(Finding {
                of: source,
                code,
                message,
                help,
            });
        };
        let path = &*files.cert;
        if let Some(message) = check_dates(path, identity, now.as_second()) {
            let help = "renew it; the files are read again when they change";
            find(Code::CertificateTime, message, help);
        }
        if !identity.has_alternative_names() {
            let message = format!("`{path}` has no alternative names, which clients require");
            find(
                Code::CertificateNames,
                message,
                "get a certificate with a `subjectAltName`",
            );
        }
        if let Some(message) = check_names(path, identity, listener) {
            find(
                Code::CertificateNames,
                message,
                "add them to `hosts`, or use another certificate",
            );
        }
    }
    findings.extend(check_hosts(listener, end, identities));
    findings
}

fn check_dates(path: &str, identity: &Identity, now: i64) -> Option<String> {
    let left = identity.not_after() - now;
    if left < 0 {
        Some(format!("`{path}` has ended {}", days_ago(-left)))
    } else if identity.not_before() > now {
        Some(format!("`{path}` is not valid yet"))
    } else if left < ENDS_SOON_DAYS * DAY {
        Some(format!("`{path}` ends {}", in_days(left)))
    } else {
        None
    }
}

/// Names of a certificate that no host of the listener overlaps.
fn check_names(path: &str, identity: &Identity, listener: &Listener) -> Option<String> {
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
    (!listener.hosts.is_empty() && !useless.is_empty()).then(|| {
        format!(
            "`{path}` is for {}, which the listener's `hosts` turn away",
            useless.join(", ")
        )
    })
}

/// Hosts of the listener that no certificate is for.
fn check_hosts<'a>(
    listener: &'a Listener,
    end: &'a TlsTermination,
    identities: &'a [Arc<Identity>],
) -> impl Iterator<Item = Finding<'a>> {
    let first = end.certificates.first();
    listener.hosts.iter().filter_map(move |host| {
        let text = host.to_string();
        // A listener's wildcard takes more labels than a certificate's; one more label is all a certificate can cover.
        let example = text
            .strip_prefix("*.")
            .map_or_else(|| text.clone(), |rest| format!("x.{rest}"));
        let mut sources = end.certificates.iter().zip(identities);
        let is_served = sources.any(|(source, identity)| match source {
            CertificateSource::Files(_) => identity.serves(&example),
            // One for these hosts may still have to be issued.
            CertificateSource::Acme(acme) => acme.hosts.iter().any(|host| **host == *example),
        });
        let of = first.filter(|_| !is_served)?;
        Some(Finding {
            of,
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
