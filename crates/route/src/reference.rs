//! The reference implementation of matching: the specification in code, slow and simple.
//!
//! It evaluates every alternative on split and copied texts. It shares only the patterns with the compiled
//! [`Table`](crate::table::Table), so a mistake in either shows as a difference. The tests and `cases/` run
//! both.

use std::cmp::Ordering;

use crate::Route;
use crate::alternative::Alternative;
use crate::attribute::Attribute;
use crate::condition::{FieldCondition, ValueCondition};
use crate::host::HostPattern;
use crate::path::{PathPattern, Segment};
use crate::request::Request;
use crate::table::Found;

/// Returns the alternative that matches `request` and wins; positions are indices into `routes`.
pub fn find(routes: &[Route], request: &Request<'_>) -> Option<Found> {
    let mut best: Option<(&Alternative, Found)> = None;
    for (route_index, route) in routes.iter().enumerate() {
        for (index, alternative) in route.alternatives.iter().enumerate() {
            if !takes(alternative, request) {
                continue;
            }
            // In declared order: a later one must be better, not equal.
            if best.is_none_or(|(winner, _)| order(alternative, winner) == Ordering::Less) {
                let found = Found {
                    route: route_index,
                    alternative: index,
                };
                best = Some((alternative, found));
            }
        }
    }
    best.map(|(_, found)| found)
}

/// Returns true if all conditions hold.
fn takes(alternative: &Alternative, request: &Request<'_>) -> bool {
    let method = text(request.method);
    let methods = &alternative.methods;
    host_covers(&alternative.host, request.host)
        && path_covers(&alternative.path, request.path)
        && (methods.is_empty() || methods.iter().any(|known| **known == *method))
        && all_hold(&alternative.headers, |name| header(request, name))
        && alternative
            .attributes
            .iter()
            .all(|condition| holds(&condition.value, attribute(request, condition.attribute)))
        && all_hold(&alternative.cookies, |name| cookie(request, name))
        && all_hold(&alternative.query, |name| parameter(request, name))
        && (alternative.client_ips.is_empty()
            || (!request.client_ip.is_unspecified()
                && alternative
                    .client_ips
                    .iter()
                    .any(|network| network.contains(&request.client_ip))))
}

fn host_covers(pattern: &HostPattern, host: Option<&[u8]>) -> bool {
    let host = host.map(text);
    match (pattern, host) {
        (HostPattern::Any, _) => true,
        (_, None) => false,
        (HostPattern::Exact(name), Some(host)) => **name == *host,
        (HostPattern::Wildcard(suffix), Some(host)) => {
            let wanted: Vec<&str> = suffix[1..].split('.').collect();
            let labels: Vec<&str> = host.split('.').collect();
            labels.len() > wanted.len() && labels[labels.len() - wanted.len()..] == wanted[..]
        }
    }
}

fn path_covers(pattern: &PathPattern, path: &[u8]) -> bool {
    let whole = text(path);
    let Some(rest) = whole.strip_prefix('/') else {
        return false;
    };
    let found: Vec<&str> = rest.split('/').collect();
    let begins_with = |segments: &[Segment]| {
        segments.len() <= found.len()
            && segments.iter().zip(&found).all(|(segment, found)| match segment {
                Segment::Literal(literal) => **literal == **found,
                Segment::Parameter(_) => !found.is_empty(),
            })
    };
    match pattern {
        PathPattern::Exact(exact) => **exact == *whole,
        PathPattern::Template(segments) => segments.len() == found.len() && begins_with(segments),
        PathPattern::Open(segments) => begins_with(segments),
        PathPattern::Regex(regex) => regex.is_match(path),
    }
}

fn all_hold(conditions: &[FieldCondition], value_of: impl Fn(&str) -> Option<Vec<u8>>) -> bool {
    conditions
        .iter()
        .all(|condition| holds(&condition.value, value_of(&condition.name)))
}

fn holds(condition: &ValueCondition, value: Option<Vec<u8>>) -> bool {
    match condition {
        ValueCondition::Present => value.is_some(),
        ValueCondition::Absent => value.is_none(),
        ValueCondition::Equals(wanted) => value.is_some_and(|value| wanted.as_bytes() == value),
        ValueCondition::OneOf(wanted) => {
            value.is_some_and(|value| wanted.iter().any(|wanted| wanted.as_bytes() == value))
        }
        ValueCondition::Matches(regex) => value.is_some_and(|value| regex.is_match(&value)),
    }
}

fn lines(request: &Request<'_>, name: &str) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    request.headers.lines(name, &mut |line| lines.push(line.to_vec()));
    lines
}

fn header(request: &Request<'_>, name: &str) -> Option<Vec<u8>> {
    joined(&lines(request, name))
}

fn attribute(request: &Request<'_>, attribute: Attribute) -> Option<Vec<u8>> {
    let mut values = Vec::new();
    let mut visit = |value: &[u8]| values.push(value.to_vec());
    request.attributes.values(attribute, &mut visit);
    joined(&values)
}

fn joined(values: &[Vec<u8>]) -> Option<Vec<u8>> {
    (!values.is_empty()).then(|| values.join(&b", "[..]).trim_ascii().to_vec())
}

fn cookie(request: &Request<'_>, name: &str) -> Option<Vec<u8>> {
    let all = lines(request, "cookie").join(&b"; "[..]);
    let mut parts = all.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    parts.find_map(|part| {
        let (found, value) = split_at_equals(part);
        (!part.is_empty() && found == name.as_bytes()).then(|| value.to_vec())
    })
}

fn parameter(request: &Request<'_>, name: &str) -> Option<Vec<u8>> {
    request.query?.split(|&byte| byte == b'&').find_map(|part| {
        let (found, value) = split_at_equals(part);
        (!part.is_empty() && decoded(found) == name.as_bytes()).then(|| decoded(value))
    })
}

fn split_at_equals(part: &[u8]) -> (&[u8], &[u8]) {
    match part.iter().position(|&byte| byte == b'=') {
        Some(at) => (&part[..at], &part[at + 1..]),
        None => (part, &[]),
    }
}

fn decoded(raw: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        let digits = raw
            .get(at + 1..at + 3)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match (raw[at], digits) {
            (b'%', Some(digits)) => {
                plain.extend(u8::from_str_radix(&text(digits), 16));
                at += 3;
            }
            (byte, _) => {
                plain.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    plain
}

/// Compares two alternatives that match the same request, apart from declared order: `Less` if `a` is better.
fn order(a: &Alternative, b: &Alternative) -> Ordering {
    let by_host = host_class(&a.host).cmp(&host_class(&b.host));
    let more = |count: fn(&Alternative) -> usize| count(b).cmp(&count(a));
    by_host
        .then_with(|| path_order(&a.path, &b.path))
        .then_with(|| more(|of| usize::from(!of.methods.is_empty())))
        .then_with(|| more(|of| of.headers.len() + of.cookies.len() + certificates(of)))
        .then_with(|| more(|of| of.query.len()))
        .then_with(|| more(|of| usize::from(!of.client_ips.is_empty())))
        .then_with(|| more(|of| with(of, Attribute::Listener).min(1)))
        .then_with(|| more(|of| with(of, Attribute::Scheme).min(1)))
        .then_with(|| more(|of| count(of, |value| matches!(value, ValueCondition::Equals(_)))))
        .then_with(|| more(|of| count(of, |value| matches!(value, ValueCondition::Matches(_)))))
}

/// The number of conditions on the client's certificate.
fn certificates(alternative: &Alternative) -> usize {
    with(alternative, Attribute::ClientCertificateSubject)
        + with(alternative, Attribute::ClientCertificateSan)
}

/// The number of conditions on `attribute`.
fn with(alternative: &Alternative, attribute: Attribute) -> usize {
    let attributes = alternative.attributes.iter();
    attributes
        .filter(|condition| condition.attribute == attribute)
        .count()
}

/// The number of conditions on values that are of a kind.
fn count(alternative: &Alternative, is: fn(&ValueCondition) -> bool) -> usize {
    let of = |fields: &[FieldCondition]| fields.iter().filter(|field| is(&field.value)).count();
    let is_certificate = |attribute| !matches!(attribute, Attribute::Listener | Attribute::Scheme);
    let certificates = alternative.attributes.iter();
    let certificates = certificates.filter(|one| is_certificate(one.attribute) && is(&one.value));
    of(&alternative.headers) + certificates.count() + of(&alternative.cookies) + of(&alternative.query)
}

/// 0 for an exact host, the maximum for any host; a wildcard is smaller the more labels it has.
fn host_class(pattern: &HostPattern) -> usize {
    match pattern {
        HostPattern::Exact(_) => 0,
        HostPattern::Wildcard(suffix) => usize::MAX - suffix.split('.').count(),
        HostPattern::Any => usize::MAX,
    }
}

fn path_order(a: &PathPattern, b: &PathPattern) -> Ordering {
    let class = |pattern: &PathPattern| match pattern {
        PathPattern::Exact(_) => 0,
        PathPattern::Template(_) => 1,
        PathPattern::Regex(_) => 2,
        PathPattern::Open(_) => 3,
    };
    match (a, b) {
        (PathPattern::Template(a), PathPattern::Template(b)) => leftmost_literal(a, b),
        (PathPattern::Open(a), PathPattern::Open(b)) => {
            b.len().cmp(&a.len()).then_with(|| leftmost_literal(a, b))
        }
        _ => class(a).cmp(&class(b)),
    }
}

fn leftmost_literal(a: &[Segment], b: &[Segment]) -> Ordering {
    for pair in a.iter().zip(b) {
        match pair {
            (Segment::Literal(_), Segment::Parameter(_)) => return Ordering::Less,
            (Segment::Parameter(_), Segment::Literal(_)) => return Ordering::Greater,
            _ => {}
        }
    }
    Ordering::Equal
}

fn text(bytes: &[u8]) -> String {
    // One character for each byte keeps different bytes different.
    if bytes.is_ascii() || std::str::from_utf8(bytes).is_err() {
        bytes.iter().map(|&byte| char::from(byte)).collect()
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    }
}
