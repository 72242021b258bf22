//! Hosts and host patterns.

use std::net::Ipv6Addr;

use waypost_plan::service::SentHost;
use waypost_plan::value::ValueTemplate;
use waypost_route::host::{HostPattern, HostPatternError};
use waypost_wire::authority::{Authority, AuthorityError};

use crate::diagnostic::Code;
use crate::keys::At;
use crate::lower::pattern::{NOTHING_NEGATED, Pattern};
use crate::lower::value;
use crate::problems::{Problems, quote};
use crate::suggest::correction::{before_path, corrected, plain};
use crate::suggest::variable::{self, Place};
use crate::values::Text;

/// Lowers a host pattern, of a listener or of a match.
pub(super) fn pattern(written: &At<Text>, problems: &mut Problems) -> Option<HostPattern> {
    let text = &*written.value;
    match HostPattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let meant = corrected(text, |text| HostPattern::parse(text).map(drop), correct_pattern);
            let replacement = match (&error, &meant) {
                (_, Some(host)) if is_dotted(text, host) => None,
                (_, Some(host)) => Some(plain(host).into_owned()),
                _ => None,
            };
            // The host is the same, only said in another way.
            let is_same = matches!(error, HostPatternError::Scheme | HostPatternError::TrailingDot)
                && meant
                    .as_deref()
                    .is_some_and(|host| !text.trim_end_matches('/').contains(&format!("{host}/")));
            let help = match (&error, meant) {
                (_, Some(host)) if is_dotted(text, &host) => Some(format!(
                    "for it and all hosts below it write `[{host}, \"*.{host}\"]`"
                )),
                (HostPatternError::BareWildcard, _) => {
                    Some("leave the key out to take every host".to_owned())
                }
                (HostPatternError::Scheme, Some(host)) => Some(format!("leave the scheme out: `{host}`")),
                (HostPatternError::Scheme, None) => Some("write the name of a host alone".to_owned()),
                (_, Some(host)) if text.parse::<Ipv6Addr>().is_ok() => {
                    Some(format!("write `{host}`: an IPv6 address stands in brackets"))
                }
                (HostPatternError::Port, Some(host)) => Some(format!(
                    "write `{host}`: the port is compared nowhere, the listener's `bind` has it"
                )),
                (HostPatternError::Port, None) => {
                    Some("leave the port out, it is compared nowhere".to_owned())
                }
                (HostPatternError::TrailingDot, Some(host)) => {
                    Some(format!("write `{host}`, which covers it too"))
                }
                (HostPatternError::Character('!'), _) => Some(NOTHING_NEGATED.to_owned()),
                (HostPatternError::Character('/'), _) => Some("a path goes into `path`".to_owned()),
                (HostPatternError::Character(odd), _) if !odd.is_ascii() => {
                    Some("write international names in their `xn--` form".to_owned())
                }
                _ => None,
            };
            let problem = problems
                .add(
                    Code::BadHost,
                    written.span,
                    format!("{} is not a host pattern: {error}", quote(text)),
                )
                .help_if(help);
            match replacement {
                Some(replacement) if is_same => problem.mend(written.span, text, replacement),
                Some(replacement) => problem.propose(written.span, text, replacement),
                None => problem,
            };
            None
        }
    }
}

/// Returns true for `.example.org`, as nginx and cookies write a host with everything below it.
fn is_dotted(text: &str, host: &str) -> bool {
    text.strip_prefix('.')
        .is_some_and(|rest| rest.eq_ignore_ascii_case(host))
}

/// Mends one error of a host pattern.
fn correct_pattern(text: &str, error: &HostPatternError) -> Option<String> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some(format!("[{address}]"));
    }
    match error {
        HostPatternError::Scheme => Some(before_path(text.split_once("://")?.1).to_owned()),
        HostPatternError::Port => Some(text.rsplit_once(':')?.0.to_owned()),
        HostPatternError::TrailingDot => Some(text.trim_end_matches('.').to_owned()),
        _ => text
            .strip_prefix('.')
            .filter(|rest| !rest.starts_with('.'))
            .map(str::to_owned),
    }
}

/// Mends one error of a host that may have a port.
fn correct_authority(text: &str, _: &AuthorityError) -> Option<String> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some(format!("[{address}]"));
    }
    match text.split_once("://") {
        Some((_, rest)) => Some(before_path(rest).to_owned()),
        // A port where none belongs, or an empty one.
        None if Authority::parse(text.as_bytes()).is_ok() => Some(text.rsplit_once(':')?.0.to_owned()),
        None => None,
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
    if let Err(error) = authority(&written.value) {
        report(written, error, authority, problems);
    }
}

/// Checks the `Host` that a service gets.
pub(super) fn check_sent(written: &At<SentHost>, problems: &mut Problems) {
    let SentHost::Named(name) = &written.value else {
        return;
    };
    match variable::find(name, Place::Host) {
        Some(_) => {
            let message = format!("{} is not a host", quote(name));
            problems
                .add(Code::BadHost, written.span, message)
                .help("write `client` for the host of the request, `endpoint` for that of the endpoint, or a fixed host");
        }
        None => check_authority(&written.with(Text::from(&**name)), problems),
    }
}

/// Lowers a `Host` header with values in it.
pub(super) fn authority_template(
    written: &At<Text>,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> Option<ValueTemplate> {
    template(written, authority, patterns, problems)
}

/// Lowers a host without a port, with values in it.
pub(super) fn portless_template(
    written: &At<Text>,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> Option<ValueTemplate> {
    template(written, portless, patterns, problems)
}

fn template(
    written: &At<Text>,
    check: Check,
    patterns: &[Pattern],
    problems: &mut Problems,
) -> Option<ValueTemplate> {
    let errors = problems.errors();
    let template = match value::template(written, Place::Host, patterns, problems) {
        Ok(template) => template,
        Err(error) => {
            value::report_brace(&error, "a host", Code::BadHost, written, problems);
            return None;
        }
    };
    if problems.errors() > errors {
        return None;
    }
    if let Err(error) = check_filled(&template, check) {
        report(written, error, check, problems);
        return None;
    }
    Some(template)
}

/// Checks the text around the values of a template.
fn check_filled(template: &ValueTemplate, check: Check) -> Result<(), AuthorityError> {
    // A value may be a label, or a port.
    let checked = check(&template.filled_with("x")).map(drop);
    checked.or_else(|error| check(&template.filled_with("1")).map(drop).map_err(|_| error))
}

/// Parses a host.
type Check = fn(&str) -> Result<Authority<'_>, AuthorityError>;

fn portless(text: &str) -> Result<Authority<'_>, AuthorityError> {
    match authority(text) {
        Ok(Authority { port: Some(_), .. }) => Err(AuthorityError::Port),
        parsed => parsed,
    }
}

/// Reports a host that `check` refuses.
fn report(written: &At<Text>, error: AuthorityError, check: Check, problems: &mut Problems) {
    let text = &*written.value;
    let problem = problems.add(
        Code::BadHost,
        written.span,
        format!("{} is not a host: {error}", quote(text)),
    );
    if let Some(found) = variable::find(text, Place::Host) {
        let meant = variable::replaced(text, Place::Host).filter(|meant| {
            ValueTemplate::parse(meant).is_ok_and(|meant| check_filled(&meant, check).is_ok())
        });
        problem
            .help(variable::hint_at(text, found, Place::Host, meant.as_deref()))
            .propose_if(written.span, text, meant);
        return;
    }
    if let Some(host) = corrected(text, |text| check(text).map(drop), correct_authority) {
        let help = if text.contains("://") {
            format!("leave the scheme out: `{host}`")
        } else {
            format!("write `{host}`")
        };
        problem.help(help).propose(written.span, text, plain(&host));
    }
}
