//! Authentication: its ways, and the conditions on who may pass.

use std::sync::Arc;

use waypost_plan::auth::allow::{Allow, ClaimCondition};
use waypost_plan::auth::jwt::Jwt;
use waypost_plan::auth::{Auth, Place, Way};
use waypost_route::condition::ValueCondition;
use waypost_route::regex::Regex;
use waypost_wire::token;

use crate::collections::OneOrMany;
use crate::diagnostic::Code;
use crate::document::auth as document;
use crate::files::Mention;
use crate::keys::{At, Mapping as _};
use crate::lower::pattern::report_regex;
use crate::lower::{Context, header_name};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::values::{Bare, Text};

mod ask;
mod basic;
mod jwt;
mod key;

/// The ways, for hints.
const WAYS: &str = "`key: { header: x-api-key, file: keys }` or `jwt: { issuer: …, audience: …, keys: … }`";

/// Lowers an `auth`. What is reported is left out.
pub(super) fn auth(written: &At<&document::Auth>, context: &mut Context<'_>) -> Arc<Auth> {
    let given = written.value;
    let own = given.way.read_keys();
    let mut ways = Vec::new();
    match (&given.any, &*own) {
        (Some(any), []) => {
            for one in &any.value.0 {
                ways.extend(way(&one.value, one.span, context));
            }
        }
        (Some(any), [(key, span), ..]) => {
            let message = format!("`any` stands in place of a way, and `{}` is one", key.name);
            context
                .problems
                .add(Code::ConflictingKeys, any.key, message)
                .label(*span, "the way")
                .help("put it into the list of `any`");
        }
        (None, _) => ways.extend(way(&given.way, written.key, context)),
    }
    report_same_places(&ways, written.key, context.problems);
    let entries = given.allow.iter().flat_map(|allow| &allow.value.0);
    let allow = entries.filter_map(|entry| allow_entry(entry, context.problems));
    let allow: Box<[Allow]> = allow.collect();
    Arc::new(Auth {
        ways: ways.into(),
        allow,
    })
}

/// Lowers a way. `span` is where one is missing.
fn way(given: &document::Way, span: Span, context: &mut Context<'_>) -> Option<Way> {
    let keys = given.read_keys();
    if let [(first, at), (second, span), ..] = &*keys {
        let message = format!("`{}` and `{}` are two ways", first.name, second.name);
        context
            .problems
            .add(Code::ConflictingKeys, *span, message)
            .label(*at, "the first")
            .help(format!(
                "write `any: [{{ {}: … }}, {{ {}: … }}]`; the first that the request carries credentials for decides",
                first.name, second.name
            ));
        return None;
    }
    if let Some(written) = &given.key {
        return key::way(written, context).map(Way::Key);
    }
    if let Some(written) = &given.jwt {
        return jwt::way(written, context).map(Way::Jwt);
    }
    if let Some(written) = &given.basic {
        return basic::way(written, context).map(Way::Basic);
    }
    if let Some(written) = &given.ask {
        return ask::way(written, context).map(Way::Ask);
    }
    // A way that could not be read, and a misspelt one, are reported already.
    let others = ["allow", "any"];
    if given.given.keys().all(|key| others.contains(&key)) {
        context
            .problems
            .add(
                Code::MissingKey,
                span,
                "nobody can prove who they are: there is no way",
            )
            .help(format!("add one, such as {WAYS}"));
    }
    None
}

/// Reports ways that never decide, since one in front of them takes all of their requests.
fn report_same_places(ways: &[Way], span: Span, problems: &mut Problems) {
    for (at, way) in ways.iter().enumerate() {
        let takes_all = |other: &Way| match (other, way) {
            (Way::Ask(_), _) => true,
            (Way::Basic(_), Way::Basic(_)) => true,
            // A token is for the one that it can be verified by.
            (Way::Jwt(_), Way::Jwt(_)) => false,
            // A scheme says which of them a value of `authorization` is for.
            (Way::Basic(_), _) => false,
            (Way::Jwt(other), _) if other.place == Place::Header(Jwt::HEADER.into()) => false,
            _ => other.place().is_some() && other.place() == way.place(),
        };
        let (message, help) = match ways[..at].iter().find(|other| takes_all(other)) {
            None => continue,
            Some(Way::Ask(_)) => (
                format!(
                    "`{}` never decides: `ask` is in front of it, and every request is asked for",
                    way.kind().as_str()
                ),
                "put `ask` at the end of `any`",
            ),
            Some(Way::Key(key)) if matches!(way, Way::Key(_)) => (
                format!(
                    "two ways of `any` have their keys in the {}, and the first decides",
                    key.place
                ),
                "put the keys of both into one file",
            ),
            Some(Way::Basic(_)) => (
                "two ways of `any` have their credentials at one place, and the first decides".to_owned(),
                "put the users of both into one file",
            ),
            Some(other) => (
                format!(
                    "`{}` never decides: `{}` in front of it takes all that stands there",
                    way.kind().as_str(),
                    other.kind().as_str()
                ),
                "give each its own place, or put `jwt` and `basic` in front of a `key` in `authorization`",
            ),
        };
        problems.add(Code::NoEffect, span, message).help(help);
    }
}

fn allow_entry(written: &At<document::Allow>, problems: &mut Problems) -> Option<Allow> {
    let given = &written.value;
    let has_claims = given
        .claims
        .as_ref()
        .is_some_and(|claims| !claims.value.0.is_empty());
    // What could not be read is reported already.
    let is_read = given.claims.is_some() || given.given.keys().next().is_none();
    if given.identity.is_none() && given.groups.is_none() && !has_claims && is_read {
        problems
            .add(Code::MissingKey, written.span, "the entry lets everybody pass")
            .help("add `identity`, `groups` or `claims`, or leave `allow` out");
        return None;
    }
    let identity = given.identity.as_ref();
    let groups = given.groups.as_ref();
    let claims = given.claims.iter().flat_map(|claims| &claims.value.0);
    let claims: Vec<ClaimCondition> = claims
        .map(|(name, values)| ClaimCondition {
            name: (**name).into(),
            values: conditions(&values.value, problems),
        })
        .collect();
    Some(Allow {
        identity: identity.map(|values| conditions(&values.value, problems)),
        groups: groups.map(|values| conditions(&values.value, problems)),
        claims: claims.into(),
    })
}

fn conditions(written: &OneOrMany<Bare>, problems: &mut Problems) -> Box<[ValueCondition]> {
    let conditions = written.0.iter().filter_map(|value| match &value.value {
        Bare::Text(text) if text.is_empty() => {
            problems
                .add(Code::EmptyCondition, value.span, "nothing verified is empty")
                .help("write the text, or leave it out");
            None
        }
        Bare::Text(text) => Some(ValueCondition::Equals((**text).into())),
        Bare::Regex(regex) => match Regex::new(regex) {
            Ok(regex) => Some(ValueCondition::Matches(regex)),
            Err(error) => {
                report_regex(&error, value.span, problems);
                None
            }
        },
    });
    conditions.collect()
}

/// The place of credentials: one of these, which are `header`, `query` and `cookie`.
fn place(
    of: Span,
    [header, query, cookie]: [Option<&At<Text>>; 3],
    problems: &mut Problems,
) -> Option<Place> {
    let mut given = [header, query, cookie].into_iter().flatten();
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        problems
            .add(
                Code::ConflictingKeys,
                second.key,
                "the credentials stand at one place",
            )
            .label(first.key, "the first")
            .help("keep one of them, or make two ways of it with `any`");
        return None;
    }
    if let Some(header) = header {
        let name = header_name::of(header, problems)?;
        if RESERVED.contains(&&*name) {
            problems
                .add(
                    Code::BadName,
                    header.span,
                    format!("{} never carries credentials", quote(&name)),
                )
                .help("choose another header, such as `x-api-key`");
            return None;
        }
        return Some(Place::Header(name));
    }
    if let Some(query) = query {
        if query.value.is_empty() {
            report_empty(query, problems);
            return None;
        }
        return Some(Place::Query((*query.value).into()));
    }
    if let Some(cookie) = cookie {
        if !token::is_token(cookie.value.as_bytes()) {
            problems
                .add(
                    Code::BadName,
                    cookie.span,
                    format!("{} is not the name of a cookie", quote(&cookie.value)),
                )
                .help("a cookie's name has letters, digits, `-`, `_` and a few others");
            return None;
        }
        return Some(Place::Cookie((*cookie.value).into()));
    }
    problems
        .add(Code::MissingKey, of, "there is no place for the credentials")
        .help("add `header: x-api-key`, or `query` or `cookie` with a name");
    None
}

/// Headers that are framing, hop-by-hop or the gateway's own.
const RESERVED: [&str; 13] = [
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
];

fn report_empty(written: &At<Text>, problems: &mut Problems) {
    problems
        .add(Code::BadName, written.span, "the name is empty")
        .help("write the name of a query parameter, such as `apikey`");
}

/// Lowers the path of a file by which clients are known; `example` is one.
fn file(written: &At<Text>, example: &str, context: &mut Context<'_>) -> Option<Box<str>> {
    let path = &*written.value;
    let help = if path.is_empty() || path.ends_with('/') {
        format!("write the path of a file, such as `{example}`")
    } else if path.contains('\0') {
        "leave the control character out".to_owned()
    } else {
        context.files.auth.push(Mention {
            path: path.into(),
            place: written.span,
        });
        return Some(path.into());
    };
    let message = format!("{} is not the path of a file", quote(path));
    context
        .problems
        .add(Code::BadValue, written.span, message)
        .help(help);
    None
}
