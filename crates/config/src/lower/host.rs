//! Hosts and host patterns.

use waypost_route::host::{HostPattern, HostPatternError};
use waypost_wire::authority::{Authority, AuthorityError};

use crate::diagnostic::Code;
use crate::keys::At;
use crate::problems::{Problems, quote};
use crate::values::Text;

/// Lowers a host pattern, of a listener or of a match.
pub(super) fn pattern(written: &At<Text>, problems: &mut Problems) -> Option<HostPattern> {
    let text = &*written.value;
    match HostPattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let help = match error {
                HostPatternError::BareWildcard => Some("leave the key out to take every host".to_owned()),
                HostPatternError::Scheme => text
                    .split_once("://")
                    .map(|(_, rest)| format!("leave the scheme out: `{}`", rest.trim_end_matches('/'))),
                HostPatternError::Port => text.rsplit_once(':').map(|(host, _)| {
                    format!("write `{host}`: the port is compared nowhere, the listener's `bind` has it")
                }),
                HostPatternError::TrailingDot => Some(format!(
                    "write `{}`, which covers it too",
                    text.trim_end_matches('.')
                )),
                HostPatternError::Character('/') => Some("a path goes into `path`".to_owned()),
                HostPatternError::Character(odd) if !odd.is_ascii() => {
                    Some("write international names in their `xn--` form".to_owned())
                }
                _ => None,
            };
            problems
                .add(
                    Code::BadHost,
                    written.span,
                    format!("{} is not a host pattern: {error}", quote(text)),
                )
                .help_if(help);
            None
        }
    }
}

/// Parses a host, possibly with a port. Clients may leave a port empty; in a config, that is a mistake.
pub(super) fn authority(text: &str) -> Result<Authority<'_>, AuthorityError> {
    match Authority::parse(text.as_bytes()) {
        Ok(_) if text.ends_with(':') => Err(AuthorityError::Port),
        parsed => parsed,
    }
}

/// Checks a `Host` header: a host, possibly with a port.
pub(super) fn check_authority(written: &At<Text>, problems: &mut Problems) {
    let text = &*written.value;
    if let Err(error) = authority(text) {
        let help = text
            .split_once("://")
            .map(|(_, rest)| format!("leave the scheme out: `{rest}`"));
        problems
            .add(
                Code::BadHost,
                written.span,
                format!("{} is not a host: {error}", quote(text)),
            )
            .help_if(help);
    }
}
